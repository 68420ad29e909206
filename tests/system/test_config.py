#!/usr/bin/env python3
"""Files of options: what --check-config tells of them, and what a running daemon makes of new ones (SIGHUP)."""

import contextlib
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from harness import PROGRAM, ROOT, Daemon, expect_equal, main, test  # noqa: E402
from kyneta_store_client import APPEND, LOAD_ALL, PING, Connection, Store, entry, meta  # noqa: E402

META = ('{"replicaType":["plain",1,0],"syncMode":{"writerModel":"serialized","delivery":"delta-capable",'
        '"durability":"persistent"},"schemaHash":"00"}')
BUILD = os.environ.get("KYNETA_BUILD") or os.path.join(ROOT, "build")
WRONG_OPTIONS = 2
FRAME_TOO_LARGE, TOO_MANY_CONNECTIONS = 101, 404
PATIENCE_SECONDS = 60
READ_AGAIN, REFUSED = "notice: the configuration was read again", "error: the configuration stays as it was: "

# Nobody else can trace a traced process: not the search for leaks at its end either.
TRACED = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


class Configured(Daemon):
    """A daemon that reads the file `ini` in its folder, and what is in `ini.d`."""

    def __init__(self, text="", **options):
        super().__init__(**options)
        os.mkdir(os.path.join(self.directory, "ini.d"))
        self.file = os.path.join(self.directory, "ini")
        self.options["config"] = self.file
        self.write(text)

    def start(self):
        """Returns when it serves, and has said so."""
        before = self.log().count(": ready, ")
        super().start()
        wait_for("being ready", lambda: self.log().count(": ready, ") > before)
        return self

    def write(self, text, drop_in=None):
        """All at once, since it may be read at any time."""
        path = self.file
        if drop_in is not None:
            path = os.path.join(self.file + ".d", drop_in)
        with open(path + "~", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(path + "~", path)

    def lines(self):
        """Its log, without times."""
        return [line.split(" ", 1)[1] for line in self.log().splitlines() if " " in line]

    def reload(self, text=None, said=READ_AGAIN):
        """Reads this text, with SIGHUP; returns what it logs from then on, up to what is said last of all."""
        if text is not None:
            self.write(text)
        before = len(self.lines())
        self.signal(signal.SIGHUP)
        wait_for("an answer to SIGHUP", lambda: any(line.startswith(said) for line in self.lines()[before:]))
        # All of it is written in one go, before anybody is served: an answer comes after it.
        with Store(self.socket) as store:
            store.ping()
        return self.lines()[before:]


def wait_for(what, condition):
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("no sign of " + what)
        time.sleep(0.01)


def run(*arguments, **options):
    """The program with these arguments, which must not become a daemon."""
    return subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=PATIENCE_SECONDS, check=False, **options)


def limits(connection):
    """What a connection is told of its limits: frame, requests in flight, page."""
    return connection.hello()[6:9]


def append(connection, id, size):
    """The first two words of the answer to an append of this size, or None. Large ones have a document of their own."""
    reply = connection.request(id, APPEND, "large" if size > 50000 else "doc", [meta(META), entry("1", "x" * size)])
    return reply and reply[:2]


def page(connection, id):
    """How many records are in the first page of the document."""
    return len(connection.request(id, LOAD_ALL, "doc")[2])


# ---- limits -------------------------------------------------------------------------------------------------------


@test("a reload changes the limits for new connections, and old ones keep theirs")
def _():
    with Configured("max-frame-bytes = 1M\nmax-requests-per-connection = 5\npage-bytes = 64K\n") as daemon:
        with Connection(daemon.socket) as old, Connection(daemon.socket) as new, Connection(daemon.socket) as late:
            before = limits(old)
            expect_equal(append(old, 2, 90000), [2, 0], "an append")
            for id in range(3, 20):
                expect_equal(append(old, id, 10000), [id, 0], "an append")
            pages = page(old, 20)
            daemon.reload("max-frame-bytes = 32K\nmax-requests-per-connection = 9\npage-bytes = 16K\n")
            # It was accepted before: saying hello later makes no difference.
            expect_equal(limits(late), before, "limits of a connection without a hello yet")
            expect_equal(append(old, 21, 90000), [21, 0], "a large append on an old connection")
            expect_equal(page(old, 22), pages, "records in a page of an old connection")
            new.close()
            with Connection(daemon.socket) as new:
                expect_equal(limits(new), [32768, 9, 16384], "limits of a new connection")
                expect_equal(append(new, 2, 10000), [2, 0], "an append")
                assert page(new, 3) < pages
                expect_equal(append(new, 4, 90000), [0, FRAME_TOO_LARGE], "a large append on a new connection")
            expect_equal(append(old, 23, 90000), [23, 0], "a large append on an old connection")


@test("hello-timeout: an old connection may take the time that it was given")
def _():
    with Configured("hello-timeout = 86400\n") as daemon:
        with Connection(daemon.socket) as old:
            daemon.reload("hello-timeout = 1\n")
            with Connection(daemon.socket) as new:
                expect_equal(new.receive(), None, "what a new connection gets that does not say hello")
            expect_equal(old.hello()[1], 0, "hello of an old one")


@test("max-connections: less lets nobody new in and ends nobody, more lets in at once")
def _():
    with Configured() as daemon, contextlib.ExitStack() as stack:
        def connect():
            return stack.enter_context(Connection(daemon.socket))

        connections = [connect() for _ in range(4)]
        for connection in connections:
            expect_equal(connection.hello()[1], 0, "hello")
        daemon.write("max-connections = 4\n")
        daemon.signal(signal.SIGHUP)
        wait_for("the reload", lambda: READ_AGAIN in daemon.lines())
        expect_equal(connect().receive()[:2], [0, TOO_MANY_CONNECTIONS], "a fifth connection")
        for connection in connections:
            expect_equal(connection.request(2, PING), [2, 0], "an old connection")
        daemon.write("max-connections = 5\n")
        daemon.signal(signal.SIGHUP)
        wait_for("the reload", lambda: daemon.lines().count(READ_AGAIN) == 2)
        expect_equal(connect().hello()[1], 0, "hello of a fifth connection")
        expect_equal(connect().receive()[:2], [0, TOO_MANY_CONNECTIONS], "a sixth connection")


@test("max-connections that there are no descriptors for are told of at a reload, too")
def _():
    few = resource.RLIMIT_NOFILE, (1024, 1024)
    with Configured("max-connections = 100\n", wrapper=["prlimit", "--nofile=1024:1024"]) as daemon:
        expect_equal(resource.prlimit(daemon.pid, few[0]), few[1])
        expect_equal([line for line in daemon.lines() if "descriptors" in line], [])
        daemon.reload("max-connections = 2000\n")
        wait_for("the warning", lambda: "warning: only 1024 descriptors may be open: fewer than max-connections (2000) "
                                        "and 64 more" in daemon.lines())


@test("log-level: what is said from then on")
def _():
    with Configured() as daemon:
        def debugs():
            with Store(daemon.socket) as store:
                store.ping()
            return sum(line.startswith("debug: ") for line in daemon.lines())

        expect_equal(debugs(), 0)
        assert "notice: log-level: debug, was info" in daemon.reload("log-level = debug\n")
        wait_for("a line of level debug", debugs)
        # Also what is said about this reload itself.
        kept = "warning: readers stays 2: 5 takes a restart"
        said = daemon.reload("log-level = warning\nreaders = 5\n", kept)
        expect_equal([line for line in said if line != kept and not line.startswith("debug: ")], [])
        expect_equal(daemon.reload(said=kept), [kept])


# ---- what is refused, and what cannot change ----------------------------------------------------------------------


BROKEN = "log-level = debug\nmax-frame-bytes = 8K\nreaders = 0\n\nmax-stoers = 5\nno line\n[nowhere]\n"


def mistakes(file):
    return [file + ":3: readers takes a number from 1 to 64, got \"0\"",
            file + ":5: unknown key max-stoers; did you mean max-stores?",
            file + ":6: a line is \"key = value\", [section], or a comment after # or ;",
            file + ":7: unknown section [nowhere]; there are "]


def expect_lines(found, expected):
    """One line for each, which begins with it."""
    expect_equal([line[:len(start)] for line, start in zip(found, expected)], expected)
    expect_equal(len(found), len(expected), "number of lines")


@test("a broken configuration is refused by a reload, each mistake with a line, and nothing changes")
def _():
    with Configured() as daemon, Connection(daemon.socket) as old:
        before = limits(old)
        said = daemon.reload(BROKEN, REFUSED)
        expect_lines([line for line in said if line.startswith(REFUSED)],
                     [REFUSED + line for line in mistakes(daemon.file)])
        expect_equal(append(old, 2, 10), [2, 0], "an append on an old connection")
        with Connection(daemon.socket) as new:
            expect_equal(limits(new), before, "limits of a new connection")
            expect_equal(append(new, 2, 9000), [2, 0], "an append on a new connection")
        expect_equal([line for line in daemon.lines() if line.startswith("debug: ")], [])
        # The file is gone, and comes back.
        os.unlink(daemon.file)
        expect_lines(daemon.reload(said=REFUSED)[:1], [REFUSED + "--config takes a file, cannot open " + daemon.file])
        assert "notice: max-stores: 5, was 256" in daemon.reload("max-stores = 5\n")


@test("limits that do not fit those of the command line are refused")
def _():
    with Configured(max_frame_bytes="1M") as daemon:
        expect_lines(daemon.reload("max-request-bytes-per-connection = 512K\n", REFUSED)[:1],
                     [REFUSED + "--max-request-bytes-per-connection (512K) must be at least --max-frame-bytes (1M)"])


@test("what takes a restart is named with its old and its new value, and comes with the restart")
def _():
    daemon = Configured()
    del daemon.options["database"]
    daemon.write("readers = 3\ndatabase = %s\n" % daemon.database)
    with daemon:
        database = os.path.join(daemon.directory, "other.db")
        said = daemon.reload("readers = 5\ncache-bytes = 1M\nmax-stores = 9\ndatabase = %s\n" % database)
        expect_equal(sorted(line for line in said if line.startswith("warning: ")), sorted([
            "warning: readers stays 3: 5 takes a restart",
            "warning: cache-bytes stays 64M: 1M takes a restart",
            "warning: database stays %s: %s takes a restart" % (daemon.database, database)]))
        assert "notice: max-stores: 9, was 256" in said
        expect_equal(os.path.exists(database), False, "the other database")
        # It stays a difference, told each time.
        assert "warning: readers stays 3: 5 takes a restart" in daemon.reload()
        daemon.restart()
        expect_equal(os.path.exists(database), True, "the other database")
        expect_equal([line for line in daemon.reload() if line.startswith("warning: ")], [])


@test("the command line wins over what is read again, drop-ins over the file")
def _():
    with Configured("max-frame-bytes = 64K\npage-bytes = 8K\n", max_requests_per_connection=7) as daemon:
        daemon.write("page-bytes = 4K\n", "10.conf")
        daemon.write("page-bytes = 2K\n", "20.conf")
        daemon.reload("max-frame-bytes = 32K\npage-bytes = 8K\nmax-requests-per-connection = 3\n")
        with Connection(daemon.socket) as connection:
            expect_equal(limits(connection), [32768, 7, 2048])
        os.unlink(daemon.file + ".d/20.conf")
        daemon.reload()
        with Connection(daemon.socket) as connection:
            expect_equal(limits(connection), [32768, 7, 4096])


# ---- SIGHUP at any time -------------------------------------------------------------------------------------------


@test("reloads under load cost nobody an answer")
def _():
    with Configured() as daemon, Store(daemon.socket) as store:
        store.append("doc", [meta(META)])
        for number in range(100):
            daemon.write("max-frame-bytes = %dM\nbatch-requests = %d\nmax-stores = %s\n" % (
                number % 8 + 1, number % 16 + 1, 0 if number % 3 == 0 else 9))
            daemon.signal(signal.SIGHUP)
            calls = [store.submit(APPEND, "doc", [entry(str(number), b"")]) for _ in range(10)]
            for call in calls:
                call.result()
            with Connection(daemon.socket) as connection:
                expect_equal(connection.hello()[1], 0, "hello")
        expect_equal(len(store.load_all("doc")[0]), 1001, "records")


def hangup_at(call, when="1+"):
    """What makes SIGHUP come at such system calls: each, or the one of this number."""
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e",
            "inject=%s:signal=SIGHUP:when=%s" % (call, when)]


@test("SIGHUP while it starts is answered once it serves")
def _():
    # While it reads the folder of drop-ins, and when it takes its locks.
    for call in "getdents64", "flock":
        with Configured(wrapper=hangup_at(call, "1"), environment=TRACED) as daemon:
            wait_for("the reload", lambda: READ_AGAIN in daemon.lines())
            end(daemon)


@test("SIGHUP while it ends does not keep it from closing the database")
def _():
    with Configured(wrapper=hangup_at("unlink"), environment=TRACED) as daemon:
        with Store(daemon.socket) as store:
            store.append("doc", [meta(META)])
        end(daemon)
        expect_equal(daemon.lines()[-1], "notice: ended")


def end(daemon):
    """SIGTERM for the daemon below strace."""
    with open("/proc/%d/task/%d/children" % (daemon.pid, daemon.pid), encoding="ascii") as file:
        os.kill(int(file.read()), signal.SIGTERM)
    expect_equal(daemon.wait(), 0, "exit status")


# ---- --check-config -----------------------------------------------------------------------------------------------


@test("--check-config tells what would be in force, and touches nothing")
def _():
    with Configured("readers = 3\n[store a]\nread = root\n") as daemon:
        daemon.write("max-stores = 5\n", "a.conf")
        found = run("--check-config", *daemon.command()[1:], "--page-bytes=2K")
        expect_equal((found.returncode, found.stderr), (0, ""))
        lines = [re.sub(" +;", " ;", line) for line in found.stdout.splitlines()]
        for line in ("readers = 3 ; %s:1" % daemon.file, "max-stores = 5 ; %s.d/a.conf:1" % daemon.file,
                     "page-bytes = 2K ; command line", "durability = synced ; default", "[store a]",
                     "read = root ; %s:3" % daemon.file):
            assert line in lines, line
        with Store(daemon.socket) as store:
            store.ping()
    found = run("--check-config", "--config", "/dev/null", "--socket", "/nowhere/socket", "--database", "/nowhere/database")
    expect_equal((found.returncode, found.stderr), (0, ""))


@test("--check-config --quiet prints nothing if nothing is wrong")
def _():
    found = run("--check-config", "--quiet", "--config", "/dev/null")
    expect_equal((found.returncode, found.stdout, found.stderr), (0, "", ""))


@test("--check-config tells every mistake, and ends with the status of wrong options")
def _():
    with Configured() as daemon:
        daemon.write(BROKEN)
        daemon.write("max-stores = 0\n", "a.conf")
        found = run("--check-config", "--config", daemon.file, "--page-bytes=1")
        expect_equal((found.returncode, found.stdout), (WRONG_OPTIONS, ""))
        expect_lines(found.stderr.splitlines(), ["kyneta-stored: " + line for line in [
            "--page-bytes takes a size from 1K to 64M, got \"1\"", *mistakes(daemon.file),
            daemon.file + ".d/a.conf:1: max-stores takes a number from 1 to 65536, got \"0\""]])
        # A daemon does not start from it, and says the same.
        again = run("--config", daemon.file, "--page-bytes=1")
        expect_equal((again.returncode, again.stderr), (WRONG_OPTIONS, found.stderr))


# ---- the default file ---------------------------------------------------------------------------------------------


def default_path():
    return re.search(r"instead of\s+(\S+),", run("--help").stdout).group(1)


def run_with_default(folder, *arguments):
    """The program where the default file's folder is this one, in a mount namespace of its own."""
    command = "mount --bind %s %s && exec %s" % (
        shlex.quote(folder), shlex.quote(os.path.dirname(default_path())), shlex.join([PROGRAM, *arguments]))
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return subprocess.run(["unshare", "--mount", *user, "sh", "-c", command], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


@test("without --config the default file is read, with its drop-ins, if it is there")
def _():
    path = default_path()
    name = os.path.basename(path)
    expect_equal(name, "kyneta-stored.conf")
    with Configured() as daemon:
        folder = os.path.join(daemon.directory, "etc")
        os.mkdir(folder)
        found = run_with_default(folder, "--check-config")
        expect_equal((found.returncode, found.stderr), (0, ""))
        expect_equal([line for line in found.stdout.splitlines() if "=" in line and not line.endswith("; default")], [])
        os.mkdir(os.path.join(folder, name + ".d"))
        with open(os.path.join(folder, name + ".d", "a.conf"), "w", encoding="utf-8") as file:
            file.write("max-stores = 5\n")
        found = run_with_default(folder, "--check-config")
        assert re.search(r"^max-stores = 5 +; %s.d/a.conf:1$" % path, found.stdout, re.M), found
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write("readers = 5\nmax-stores = 7\n")
        found = run_with_default(folder, "--check-config")
        assert re.search(r"^readers = 5 +; %s:1$" % path, found.stdout, re.M), found
        assert re.search(r"^max-stores = 5 +; ", found.stdout, re.M), found
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write("readers = 0\n")
        expect_equal(run_with_default(folder).returncode, WRONG_OPTIONS, "exit status")
        expect_equal(run_with_default(folder, "--check-config", "--config", "/dev/null").returncode, 0, "exit status")


# ---- what is installed --------------------------------------------------------------------------------------------


@test("an example is installed where it is looked for, and what is there already is kept")
def _():
    with Configured() as daemon:
        def install():
            subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", daemon.directory],
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
            with open(daemon.directory + default_path(), encoding="utf-8") as file:
                return file.read()

        expect_equal(install(), run("--example-config").stdout, "the example")
        with open(daemon.directory + default_path(), "w", encoding="utf-8") as file:
            file.write("readers = 3\n")
        expect_equal(install(), "readers = 3\n", "an administrator's file")


if __name__ == "__main__":
    main()
