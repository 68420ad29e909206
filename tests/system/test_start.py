#!/usr/bin/env python3
"""When the daemon does not start it says why in one line: README.md's table is made true, row by row.

Each row names what is wrong, what is said, and the exit status. Here is how to make each one wrong; a row without a
way and a way without a row are failures. Words in capitals stand for what differs from case to case (see `names`).
"""

import contextlib
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

from harness import PROGRAM, ROOT, Daemon, expect_equal, main, test  # noqa: E402

NOBODY = 65534
WAIT_SECONDS = 120  # a bound, not an expectation


def rows():
    """What is wrong -> (what is said, exit status)."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        section = file.read().split("### When it does not start\n")[1].split("\n#")[0]
    return {what: (said, int(status)) for what, said, status in
            re.findall(r"^\| ([^|`]+) \| `([^|]*)` \| (\d) \|$", section, re.M)}


WAYS = {}  # what is wrong -> a context manager that makes it wrong for a Case


def way(what):
    def remember(function):
        assert what not in WAYS
        WAYS[what] = contextlib.contextmanager(function)
        return function
    return remember


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

    def run(self):
        command = [self.program, "--socket", self.socket, "--database", self.database] + self.options
        who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if self.as_nobody else {}
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT_SECONDS, cwd="/", **who)

    def expected(self, said):
        names = {"SOCKET": self.socket, "DATABASE": self.database, **self.names}
        return re.sub(r"\b(%s)\b" % "|".join(names), lambda match: str(names[match.group(0)]), said)


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


# ---- in use -----------------------------------------------------------------------------------------------------------


@way("another kyneta-stored has the database")
def _(case):
    with Daemon() as other:
        case.database = other.database
        case.names.update(PID=other.pid, OTHER=other.socket)
        yield
        other.accepts()


@way("another kyneta-stored has the socket")
def _(case):
    with Daemon() as other:
        case.socket = other.socket
        case.names.update(PID=other.pid, OTHER=other.database)
        yield
        other.accepts()


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


@way("the database is a folder")
def _(case):
    case.folder("database")
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
            with subprocess.Popen([PROGRAM, "--socket", path, "--database", os.path.join(directory, "database")],
                                  stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as daemon:
                while not connects(path):
                    expect_equal(daemon.poll(), None)
                daemon.terminate()
                expect_equal(daemon.wait(WAIT_SECONDS), 0)
                expect_equal(os.path.exists(path), False, "the socket")


for what in WAYS:
    test("does not start: " + what)(lambda what=what: check(what))


if __name__ == "__main__":
    main()
