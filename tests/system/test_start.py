#!/usr/bin/env python3
"""When the daemon does not start it says why in one line: README.md's table is made true, row by row.

Each row names what is wrong, what is said, and the exit status. Here is how to make each one wrong; a row without a
way and a way without a row are failures. Words in capitals stand for what differs from case to case (see `names`).
"""

import contextlib
import os
import random
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

from harness import PROGRAM, ROOT, Daemon, DaemonFailed, expect_equal, main, note, test  # noqa: E402
from kyneta_store_client import Connection, Store, entry, meta  # noqa: E402

NOBODY = 65534
WAIT_SECONDS = 120  # a bound, not an expectation


def rows():
    """What is wrong -> (what is said, exit status)."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        section = file.read().split("### When it does not start\n")[1].split("\n#")[0]
    return {what: (said, int(status)) for what, said, status in
            re.findall(r"^\| ([^|]+) \| `([^|]*)` \| (\d) \|$", section, re.M)}


WAYS = {}  # what is wrong -> a context manager that makes it wrong for a Case


def way(what):
    def remember(function):
        assert what not in WAYS
        WAYS[what] = contextlib.contextmanager(function)
        return function
    return remember


# Nobody else can trace a traced process: not the search for leaks at its end either.
TRACED = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


def strace(injection):
    """What to put before a command so that something happens to its system calls (strace(1), inject)."""
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + injection.split(":")[0], "-e", "inject=" + injection]


class Case:
    """One attempt to start: its folder, the command line, and what stands for the words of the table."""

    def __init__(self, directory):
        self.directory = directory
        self.program = PROGRAM
        self.socket = self.path("socket")
        self.database = self.path("database")
        self.options = []
        self.names = {}
        self.as_nobody = False
        self.wrapper = []
        self.limits = {}

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, content=b"", mode=0o644):
        with open(self.path(name), "wb") as file:
            file.write(content)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def folder(self, name, mode=0o755):
        os.mkdir(self.path(name))
        os.chmod(self.path(name), mode)
        return self.path(name)

    def leave_root(self):
        """Permissions mean nothing to root. The program may stand where nobody else may look."""
        if os.geteuid() == 0:
            self.program = shutil.copy(PROGRAM, self.path("kyneta-stored"))
            self.as_nobody = True

    def break_call(self, call, error):
        """The program finds this system call failing, each time."""
        self.wrapper = strace("%s:error=%s" % (call, error))

    def run(self):
        command = self.wrapper + [self.program, "--config", "/dev/null", "--socket", self.socket, "--database", self.database]
        command += self.options
        who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if self.as_nobody else {}
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT_SECONDS, cwd="/",
                              env={**os.environ, **TRACED} if self.wrapper else None, preexec_fn=self.limit, **who)

    def limit(self):
        for limit, value in self.limits.items():
            resource.setrlimit(limit, (value, value))

    def expected(self, said):
        names = {"SOCKET": self.socket, "DATABASE": self.database, **self.names}
        return re.sub(r"\b(%s)\b" % "|".join(names), lambda match: str(names[match.group(0)]), said)


# Makes sockets where a service manager does, and becomes the program: how many, and of which kind.
HAND_OVER = """
import os, socket, sys
count, kind = int(sys.argv[1]), int(sys.argv[2])
for number in range(3, 3 + count):
    made = socket.socket(socket.AF_UNIX, kind)
    os.dup2(made.fileno(), 100 + number)
for number in range(3, 3 + count):
    os.dup2(100 + number, number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count), LISTEN_FDNAMES=":".join(["NAME"] * count))
os.execv(sys.argv[3], sys.argv[3:])
"""


# ---- options ----------------------------------------------------------------------------------------------------------


@way("an unknown option")
def _(case):
    case.options = ["--readres=2"]
    yield


@way("an option without its value")
def _(case):
    case.options = ["--readers"]
    yield


@way("a value that an option does not take")
def _(case):
    case.options = ["--batch-requests", "x"]
    yield


@way("limits that contradict each other")
def _(case):
    case.options = ["--max-frame-bytes=256M"]
    yield


@way("a word that is no option")
def _(case):
    case.options = ["start"]
    yield


@way("a file of options that is not there")
def _(case):
    case.names["FILE"] = case.path("ini")
    case.options = ["--config", case.path("ini")]
    yield


@way("a mistake in a file of options")
def _(case):
    case.names["FILE"] = case.write("ini", b"[kyneta-stored]\nreaders = 0\n")
    case.options = ["--config", case.path("ini")]
    yield


@way("a line of a file of options that is none")
def _(case):
    case.names["FILE"] = case.write("ini", b"readers\n")
    case.options = ["--config", case.path("ini")]
    yield


# ---- in use -----------------------------------------------------------------------------------------------------------


def serves(daemon):
    with Store(daemon.socket) as store:
        store.ping()


@way("another kyneta-stored has the database")
def _(case):
    with Daemon() as other:
        case.database = other.database
        case.names.update(PID=other.pid, OTHER=other.socket)
        yield
        serves(other)


@way("another kyneta-stored has the socket")
def _(case):
    with Daemon() as other:
        case.socket = other.socket
        case.names.update(PID=other.pid, OTHER=other.database)
        yield
        serves(other)


@way("another program has the socket")
def _(case):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, \
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        listener.bind(case.socket)
        listener.listen()
        yield
        client.connect(case.socket)


# ---- the socket -------------------------------------------------------------------------------------------------------


@way("the socket's name is that of something else")
def _(case):
    case.write("socket", b"precious")
    yield
    with open(case.socket, "rb") as file:
        expect_equal(file.read(), b"precious")


@way("the socket's path is too long")
def _(case):
    case.socket = case.path("s" * (108 - len(case.path(""))))
    yield


@way("the socket's folder is not there")
def _(case):
    case.socket = case.path("missing/socket")
    yield


@way("no permission in the socket's folder")
def _(case):
    case.database = os.path.join(case.folder("free", 0o777), "database")
    case.socket = os.path.join(case.folder("locked", 0o555), "socket")
    case.leave_root()
    yield


# ---- the database -----------------------------------------------------------------------------------------------------


@way("the database's folder is not there")
def _(case):
    case.database = case.path("missing/database")
    yield


@way("no permission in the database's folder")
def _(case):
    case.socket = os.path.join(case.folder("free", 0o777), "socket")
    case.database = os.path.join(case.folder("locked", 0o555), "database")
    case.leave_root()
    yield


@way("no permission to look into a folder on the way")
def _(case):
    case.socket = os.path.join(case.folder("free", 0o777), "socket")
    case.database = os.path.join(case.folder("locked", 0), "database")
    case.leave_root()
    try:
        yield
    finally:
        os.chmod(case.path("locked"), 0o755) # to be removed


@way("a file where a folder should be")
def _(case):
    case.write("file")
    case.database = case.path("file/database")
    yield


@way("links that lead in a circle")
def _(case):
    os.symlink("database", case.database)
    yield


@way("a file system without locks")
def _(case):
    case.break_call("flock", "ENOLCK")
    yield


@way("no permission to write the database")
def _(case):
    free = case.folder("free", 0o777)
    case.socket, case.database = os.path.join(free, "socket"), os.path.join(free, "database")
    with contextlib.closing(sqlite3.connect(case.database)) as database:
        database.execute("CREATE TABLE other (a)")
    os.chmod(case.database, 0o444)
    case.leave_root()
    yield


@way("the database is not one of SQLite")
def _(case):
    content = b"These are notes that somebody would like to keep.\n" * 100
    case.write("database", content)
    yield
    with open(case.database, "rb") as file:
        expect_equal(file.read(), content)


@way("the database is encrypted")
def _(case):
    case.write("database", bytes(random.Random(1).randbytes(65536)))
    yield


@way("the database is damaged")
def _(case):
    with contextlib.closing(sqlite3.connect(case.database)) as database:
        database.execute("CREATE TABLE other (a)")
    with open(case.database, "r+b") as file:
        file.seek(100)      # behind the header
        file.write(b"\xff" * 1000)
    yield


@way("the database's text is not UTF-8")
def _(case):
    with contextlib.closing(sqlite3.connect(case.database)) as database:
        database.execute("PRAGMA encoding = 'UTF-16le'")
        database.execute("CREATE TABLE other (a)")
    yield


@way("the database is a folder")
def _(case):
    case.folder("database")
    yield


@way("the database is a pipe or a device")
def _(case):
    os.mkfifo(case.database)
    yield


@way("the disk is full")
def _(case):
    case.break_call("pwrite64", "ENOSPC")
    yield


@way("the disk fails")
def _(case):
    case.names["FOLDER"] = case.directory
    case.break_call("fsync", "EIO")
    yield


# ---- the system -------------------------------------------------------------------------------------------------------


@way("a socket of the service manager is not one that the daemon can serve")
def _(case):
    case.wrapper = [sys.executable, "-c", HAND_OVER, "1", str(int(socket.SOCK_DGRAM))]
    yield


@way("the service manager gives too many sockets")
def _(case):
    case.wrapper = [sys.executable, "-c", HAND_OVER, "17", str(int(socket.SOCK_STREAM))]
    yield


@way("too few descriptors (`ulimit -n`)")
def _(case):
    case.limits[resource.RLIMIT_NOFILE] = 32
    yield


@way("too many processes and threads (`ulimit -u`)")
def _(case):
    case.break_call("clone,clone3", "EAGAIN")
    yield


@way("the kernel has no room for another event loop")
def _(case):
    case.break_call("epoll_create1", "EMFILE")
    yield


# ---- the table --------------------------------------------------------------------------------------------------------


@test("every row of README.md's table can be made, and every way to fail has its row")
def _():
    expect_equal(sorted(rows()), sorted(WAYS))


def check(what):
    said, status = rows()[what]
    directory = tempfile.mkdtemp(prefix="kyneta-")
    os.chmod(directory, 0o755)
    try:
        case = Case(directory)
        with WAYS[what](case):
            result = case.run()
            expect_equal(result.stderr.decode(), case.expected("kyneta-stored: %s\n" % said))
            expect_equal((result.returncode, result.stdout), (status, b""))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


# ---- and when it has only just started --------------------------------------------------------------------------------


def connects(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == 0


@test("told to stop the moment that it listens, it ends in order")
def _():
    for _attempt in range(30):
        with tempfile.TemporaryDirectory(prefix="kyneta-") as directory:
            path = os.path.join(directory, "socket")
            with subprocess.Popen([PROGRAM, "--config", "/dev/null", "--socket", path, "--database",
                                   os.path.join(directory, "database")], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as daemon:
                while not connects(path):
                    expect_equal(daemon.poll(), None)
                daemon.terminate()
                expect_equal(daemon.wait(WAIT_SECONDS), 0)
                expect_equal(os.path.exists(path), False, "the socket")


# ---- what is there already ----------------------------------------------------------------------------------------------

META = ('{"replicaType":["plain",1,0],"syncMode":{"writerModel":"serialized","delivery":"delta-capable",'
        '"durability":"persistent"},"schemaHash":"00"}')

# The system calls by which a start changes something: kills come before each of them.
CHANGES = "flock", "ftruncate", "pwrite64", "fdatasync", "fsync", "unlink", "bind", "listen", "clone3"


@test("a stale socket is replaced, and a live one stays with its daemon")
def _():
    with Daemon() as daemon:
        inode = os.stat(daemon.socket).st_ino
        case = Case(daemon.directory)
        case.socket, case.database = daemon.socket, case.path("another")
        expect_equal(case.run().returncode, 1)
        expect_equal(os.stat(daemon.socket).st_ino, inode)
        serves(daemon)
        daemon.kill()
        expect_equal(os.path.exists(daemon.socket), True)
        daemon.start()
        serves(daemon)
        daemon.stop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(daemon.socket)
            listener.listen()
        daemon.start()
        serves(daemon)


def start_and_kill(daemon, call, number):
    """Start it and kill it when it makes this system call for the @number th time. False if it never did."""
    daemon.wrapper = strace("%s:signal=SIGKILL:when=%d" % (call, number))
    daemon.environment.update(TRACED)
    try:
        daemon.start()
        with Connection(daemon.socket) as connection:
            served = connection.hello() is not None
    except (DaemonFailed, OSError):
        served = False
    finally:
        daemon.wrapper = []
    if served:
        with open("/proc/%d/task/%d/children" % (daemon.pid, daemon.pid), encoding="ascii") as file:
            os.kill(int(file.read()), signal.SIGKILL)
    expect_equal(daemon.wait(), -signal.SIGKILL)
    return not served


def steps(daemon):
    """Kill it at every step of its start, from what is there then; yields after each, to look at what is left."""
    count = 0
    for call in CHANGES:
        number = 1
        while start_and_kill(daemon, call, number):
            number += 1
            count += 1
            yield "%s %d" % (call, number)
    note("killed at %d steps" % count)


def append_one(daemon, number):
    with Store(daemon.socket) as store:
        store.append("document", [meta(META)] if number == 0 else [entry(str(number), b"")])


def numbers(daemon):
    with Store(daemon.socket) as store:
        return [int(record[3]) if record[0] == 1 else 0 for record in store.load_all("document")[0]]


@test("killed at any step of its first start, it starts again")
def _():
    with tempfile.TemporaryDirectory(prefix="kyneta-") as directory:
        daemon = Daemon(directory)
        for step in steps(daemon):
            daemon.start()
            append_one(daemon, 0)
            expect_equal(numbers(daemon), [0], step)
            daemon.stop()
            for name in os.listdir(directory):
                if name != "log":
                    os.unlink(os.path.join(directory, name))


@test("killed at any step of its recovery, it starts again and has everything")
def _():
    with Daemon() as daemon:
        count = 1
        append_one(daemon, 0)
        daemon.kill()
        for step in steps(daemon):
            daemon.start()
            expect_equal(numbers(daemon), list(range(count)), step)
            append_one(daemon, count)
            count += 1
            daemon.kill()


@test("where the machine does not say which boot this is, a crash counts as one of the machine")
def _():
    def generation(daemon):
        with Store(daemon.socket) as store:
            return store.current_meta("document")[1][0]

    with Daemon() as daemon:
        append_one(daemon, 0)
        before = generation(daemon)
        daemon.crash()
        expect_equal(generation(daemon), before, "the machine is still up")
        daemon.stop()
        daemon.wrapper = strace("openat:error=ENOENT") + ["-P", "/proc/sys/kernel/random/boot_id"]
        daemon.environment.update(TRACED)
        daemon.start()
        append_one(daemon, 1)
        before = generation(daemon)
        with open("/proc/%d/task/%d/children" % (daemon.pid, daemon.pid), encoding="ascii") as file:
            os.kill(int(file.read()), signal.SIGKILL)
        daemon.wait()
        daemon.start()
        expect_equal(generation(daemon) > before, True, "generations %d, %d" % (before, generation(daemon)))
        with open("/proc/%d/task/%d/children" % (daemon.pid, daemon.pid), encoding="ascii") as file:
            os.kill(int(file.read()), signal.SIGTERM)
        expect_equal(daemon.wait(), 0)


# ---- and all the rest ---------------------------------------------------------------------------------------------------


@test("a path with an end of line in it makes one line all the same")
def _():
    with tempfile.TemporaryDirectory(prefix="kyneta-") as directory:
        case = Case(directory)
        case.database = case.path("a\nb/database")
        result = case.run()
        expect_equal(result.stderr.decode(), "kyneta-stored: the folder of %s does not exist\n" %
                     case.database.replace("\n", "\\x0a"))
        expect_equal(result.returncode, 1)
        case.options = ["--config", case.path("a\nb")]
        result = case.run()
        expect_equal((result.stderr.count(b"\n"), result.returncode), (1, 2), result.stderr)


@test("few descriptors are a warning")
def _():
    with Daemon(wrapper=["prlimit", "--nofile=64:64"]) as daemon:
        serves(daemon)
        expect_equal("warning: only 64 descriptors may be open" in daemon.log(), True)


@test("--help, --version and --options answer on stdout and end with 0")
def _():
    for option, begin in ("--help", "Usage: kyneta-stored "), ("-h", "Usage: "), ("--version", "kyneta-stored "), \
            ("--options", "socket\t"):
        result = subprocess.run([PROGRAM, option], stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT_SECONDS)
        expect_equal((result.returncode, result.stderr), (0, b""), option)
        expect_equal(result.stdout.decode().startswith(begin), True, option)


for what in WAYS:
    test("does not start: " + what)(lambda what=what: check(what))


if __name__ == "__main__":
    main()
