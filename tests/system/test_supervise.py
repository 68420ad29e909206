#!/usr/bin/env python3
"""What the daemon and a service manager say to each other, with the test in the manager's place.

systemd/test_units.py has the real one; here is what cannot be seen through it: each message, and what is said while a
start or the writer is held up.
"""

import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

from faults import Faults  # noqa: E402
from harness import Daemon, DaemonFailed, expect_equal, main, test  # noqa: E402
from kyneta_store_client import APPEND, REPLACE, Connection, Store, entry, meta  # noqa: E402

META = ('{"replicaType":["plain",1,0],"syncMode":{"writerModel":"concurrent","delivery":"delta-capable",'
        '"durability":"persistent"},"schemaHash":"0"}')
WAIT_SECONDS = 120      # a bound, not an expectation
WATCHDOG_USEC = 400000
SILENCE_SECONDS = 2     # twenty times what lies between two feeds

# Puts the descriptors that it inherits where a service manager does, and becomes the program.
ACTIVATE = """
import os, sys
fds, names, program = sys.argv[1].split(","), sys.argv[2], sys.argv[3:]
spare = [os.dup(int(fd)) for fd in fds]
for number, fd in enumerate(spare, 3):
    os.dup2(fd, number)
    os.set_inheritable(number, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names)
os.execv(program[0], program)
"""


class Manager:
    """The socket that NOTIFY_SOCKET names, and the messages that have come: lists of (name, value)."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.messages = []

    def take(self, seconds):
        """The next message, or None if none comes."""
        self.socket.settimeout(seconds)
        try:
            text = self.socket.recv(65536).decode()
        except TimeoutError:
            return None
        message = dict(line.split("=", 1) for line in text.splitlines())
        self.messages.append(message)
        return message

    def wait(self, name, pattern="", count=1):
        """The next messages with this variable, whose value matches; all others are passed over."""
        bound = time.monotonic() + WAIT_SECONDS
        while count > 0:
            message = self.take(max(bound - time.monotonic(), 0.001))
            if message is None:
                raise AssertionError("no %s=%s; there was %s" % (name, pattern, self.messages))
            if name in message and re.search(pattern, message[name]):
                count -= 1
        return message

    def seen(self, name):
        return [message[name] for message in self.messages if name in message]

    def empty(self):
        while self.take(0.001) is not None:
            pass


@contextlib.contextmanager
def managed(daemon, **environment):
    """A manager for @daemon, which is started."""
    manager = Manager(daemon.directory)
    daemon.environment.update(NOTIFY_SOCKET=manager.path, **environment)
    try:
        with daemon:
            yield manager
    finally:
        manager.socket.close()


def listening(path, kind=socket.SOCK_STREAM, listen=True):
    """A socket bound to @path."""
    bound = socket.socket(socket.AF_UNIX, kind)
    bound.bind(path)
    if listen:
        bound.listen(16)
    return bound


def activated(daemon, sockets, names):
    """@daemon is given @sockets when it is started."""
    daemon.wrapper = [sys.executable, "-c", ACTIVATE, ",".join(str(each.fileno()) for each in sockets), names]
    daemon.pass_fds = [each.fileno() for each in sockets]


def until(condition):
    bound = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > bound:
            raise AssertionError("it does not come about")
        time.sleep(0.01)


# ---- messages ---------------------------------------------------------------------------------------------------------


@test("ready once it listens, status lines, stopping")
def _():
    daemon = Daemon()
    with managed(daemon) as manager:
        manager.wait("READY", "^1$")
        expect_equal(manager.seen("STATUS"), ["opening the database " + daemon.database])
        manager.wait("STATUS", "^serving 0 connections, 0 stores, 0 appends$")
        with Store(daemon.socket) as store:
            store.append("doc", [meta(META)])
            manager.wait("STATUS", "^serving 1 connection, 1 store, 1 append$")
        expect_equal(manager.seen("STOPPING"), [])
        daemon.stop()
        manager.wait("STOPPING", "^1$")
        manager.wait("STATUS", "^closing the database " + re.escape(daemon.database) + "$")
        expect_equal(manager.seen("READY"), ["1"])
        expect_equal(manager.seen("WATCHDOG"), [], "nobody asked for it")


@test("reloading, and ready again, whatever the configuration says")
def _():
    daemon = Daemon()
    path = os.path.join(daemon.directory, "ini")
    for text in ("", "[kyneta-stored]\nreaders = none\n"):
        with open(path, "w") as file:
            file.write(text)
        if not text:
            daemon.options["config"] = path
            manager = Manager(daemon.directory)
            daemon.environment.update(NOTIFY_SOCKET=manager.path)
            daemon.start()
            manager.wait("READY")
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        daemon.signal(signal.SIGHUP)
        message = manager.wait("RELOADING", "^1$")
        expect_equal(before <= int(message["MONOTONIC_USEC"]), True, "its time")
        manager.wait("READY", "^1$")
    daemon.stop()
    manager.socket.close()
    daemon._remove()


@test("a start that fails says why in the status line")
def _():
    daemon = Daemon()
    with open(daemon.database, "wb") as file:
        file.write(b"no database" * 100)
    manager = Manager(daemon.directory)
    daemon.environment.update(NOTIFY_SOCKET=manager.path)
    try:
        daemon.start()
    except DaemonFailed:
        pass
    expect_equal(daemon.wait(), 1, "exit status")
    manager.wait("STATUS", "^cannot open database .*: it is not a SQLite database$")
    expect_equal(manager.seen("READY"), [])
    manager.socket.close()
    daemon._remove()


@test("a start that is held up is not ready, tells why, and may take longer")
def _():
    daemon = Daemon()
    daemon.start()
    with Store(daemon.socket) as store:
        store.append("doc", [meta(META)])
    daemon.kill()       # so that the next one has a log to move
    other = sqlite3.connect(daemon.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    manager = Manager(daemon.directory)
    daemon.environment.update(NOTIFY_SOCKET=manager.path)
    process = subprocess.Popen(daemon.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env=daemon.environment)
    try:
        manager.wait("STATUS", "^another program has locked ")
        message = manager.wait("EXTEND_TIMEOUT_USEC", count=2)
        expect_equal(int(message["EXTEND_TIMEOUT_USEC"]) >= 30000000, True, str(message))
        expect_equal(manager.seen("READY"), [])
        other.execute("ROLLBACK")
        manager.wait("READY")
        process.terminate()
        expect_equal(process.wait(WAIT_SECONDS), 0, "exit status")
    finally:
        process.kill()
        process.wait()
        other.close()
        manager.socket.close()
        daemon._remove()


@test("a stop that is held up may take longer as long as the writer gets anywhere")
def _():
    daemon = Daemon()
    with managed(daemon) as manager:
        with Store(daemon.socket) as store:
            store.append("doc", [meta(META)])
        other = sqlite3.connect(daemon.database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        store = Store(daemon.socket, reconnect=False)
        call = store.submit(APPEND, "doc", [entry("1", b"1")])
        store.push()
        until(lambda: "another program has locked" in daemon.log())
        daemon.signal(signal.SIGTERM)
        manager.wait("STOPPING")
        manager.wait("EXTEND_TIMEOUT_USEC", count=2)
        other.execute("ROLLBACK")
        call.result()
        expect_equal(daemon.wait(), 0, "exit status")
        other.close()


# ---- watchdog ---------------------------------------------------------------------------------------------------------


@test("the watchdog is fed while there is nothing to do, and while the writer waits for another program")
def _():
    daemon = Daemon()
    with managed(daemon, WATCHDOG_USEC=str(WATCHDOG_USEC)) as manager, Store(daemon.socket) as store:
        manager.wait("WATCHDOG", "^1$", count=5)
        store.append("doc", [meta(META)])
        other = sqlite3.connect(daemon.database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        call = store.submit(APPEND, "doc", [entry("1", b"1")])
        store.push()
        until(lambda: "another program has locked" in daemon.log())
        manager.empty()
        manager.wait("WATCHDOG", count=5)
        other.execute("ROLLBACK")
        other.close()
        call.result()


@test("the watchdog is not fed while the writer hangs, and is again when it goes on")
def _():
    daemon = Daemon()
    faults = Faults(os.path.join(daemon.directory, "faults"))
    daemon.environment.update(faults.environment())
    with managed(daemon, WATCHDOG_USEC=str(WATCHDOG_USEC)) as manager:
        with Store(daemon.socket) as store, Store(daemon.socket) as other:
            store.append("doc", [meta(META)])
            faults.hold_syncs(True)
            call = store.submit(REPLACE, "doc", [meta(META)])    # that the loop leaves to the writer
            store.push()
            until(lambda: faults.syncs()[0] > faults.syncs()[1])
            manager.empty()
            for _ in range(4):      # of the time before, and status lines
                if manager.take(SILENCE_SECONDS) is None:
                    break
            expect_equal(manager.take(SILENCE_SECONDS), None)
            other.ping()        # the loop turns
            expect_equal(manager.seen("WATCHDOG") != [], True, "fed before")
            faults.hold_syncs(False)
            manager.wait("WATCHDOG", count=5)
            call.result()


# ---- sockets ----------------------------------------------------------------------------------------------------------


@test("sockets of the service manager: all are served, none is bound, locked or removed, and they outlive the daemon")
def _():
    daemon = Daemon()
    paths = [os.path.join(daemon.directory, name) for name in ("first", "second")]
    sockets = [listening(path) for path in paths]
    activated(daemon, sockets, "kyneta-stored.socket:extra")
    daemon.socket = daemon.options["socket"] = paths[0]     # as it is by default
    with daemon:
        for number, path in enumerate(paths):
            with Store(path) as store:
                store.append("doc %d" % number, [meta(META)])
        for text in ("serving %s, given by the service manager as kyneta-stored.socket" % paths[0],
                     "serving %s, given by the service manager as extra" % paths[1],
                     "socket (%s) and socket-mode are not used" % paths[0],
                     "ready, socket %s, %s, database" % tuple(paths)):
            expect_equal(text in daemon.log(), True, text)
        with open(daemon.database + ".lock") as file:
            expect_equal("socket %s, %s, database" % tuple(paths) in file.read(), True, "the lock's text")
        store = Store(paths[1])
        daemon.stop()
        expect_equal([os.path.exists(path) for path in paths + [path + ".lock" for path in paths]],
                     [True, True, False, False])
        waiting = [Connection(path) for path in paths]      # nobody is there, and nobody is refused
        daemon.start()
        for each in waiting:
            each.hello()
            each.close()
        store.append("doc 3", [meta(META)])
        expect_equal(store.connects, 2, "connections of a client that stayed")
        store.close()
    for each in sockets:
        each.close()


def refused(daemon, given, said):
    """@daemon does not start with these sockets, and says why."""
    activated(daemon, given, ":".join(["name"] * len(given)))
    try:
        daemon.start()
    except DaemonFailed:
        pass
    expect_equal(daemon.wait(), 1, "exit status")
    expect_equal(daemon.log().splitlines()[-1], "kyneta-stored: " + said)
    for each in given:
        each.close()


@test("what is not a Unix stream socket that listens, or too many, is refused")
def _():
    daemon = Daemon()
    wrong = "descriptor %d (name) from the service manager is not a Unix stream socket that listens"

    def path(name):
        return os.path.join(daemon.directory, name)

    tcp = socket.socket()
    tcp.bind(("127.0.0.1", 0))
    tcp.listen()
    refused(daemon, [tcp], wrong % 3)
    refused(daemon, [listening(path("a")), listening(path("b"), listen=False)], wrong % 4)
    refused(daemon, [listening(path("c"), socket.SOCK_SEQPACKET)], wrong % 3)
    refused(daemon, [listening(path("d"), socket.SOCK_DGRAM, listen=False)], wrong % 3)
    refused(daemon, [listening(path("e%d" % number)) for number in range(17)],
            "the service manager gives 17 sockets, at most 16 can be served")
    daemon._remove()


if __name__ == "__main__":
    main()
