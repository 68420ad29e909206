#!/usr/bin/env python3
"""Bounds that no single request reaches: no memory for a connection, answers that nobody takes, batches, the age of sessions;
and what is in a socket when the daemon is told to stop."""

import errno
import os
import resource
import signal
import sqlite3
import struct
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from faults import Faults  # noqa: E402
from harness import SANITIZED, Daemon, Skip, expect_equal, main, test  # noqa: E402
from kyneta_store_client import (APPEND, PING, READ_ONLY, STATS, VERSION, Connection, Store,  # noqa: E402
                                 entry, frame, meta)
from msgpack_subset import pack  # noqa: E402

META = ('{"replicaType":["plain",1,0],"syncMode":{"writerModel":"serialized","delivery":"delta-capable",'
        '"durability":"persistent"},"schemaHash":"00"}')
BAD_ARGUMENT, NO_COMMON_VERSION = 105, 102
STORAGE_FAILED = 3
PATIENCE_SECONDS = 60
SESSION = bytes(range(16))

# What one answer to STATS has at most.
STATS_BYTES = 8192


class Watch:
    """A connection that looks at the daemon's counters."""

    def __init__(self, daemon):
        self.connection = Connection(daemon.socket)
        self.connection.hello()
        self.id = 1

    def read(self, counter):
        self.id += 1
        return self.connection.request(self.id, STATS)[2][counter]

    def until(self, counter, least):
        end = time.monotonic() + PATIENCE_SECONDS
        while self.read(counter) < least:
            if time.monotonic() > end:
                raise AssertionError("%s never reaches %d" % (counter, least))


# ---- connections --------------------------------------------------------------------------------------------------


@test("a connection that there is no memory for waits until there is some")
def _():
    if SANITIZED:
        return      # a sanitizer needs more memory than a limit leaves it
    some, most = 2100, 4000     # descriptors up to 4,094 go into the table that 2,100 need
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most + 100, max(hard, most + 100)))
    except (OSError, ValueError):
        raise Skip("only %d descriptors may be open" % hard) from None
    with Daemon(hello_timeout=86400) as daemon:
        # First make the event loop's table large enough: nobody can wait for that.
        connections = [Connection(daemon.socket) for _ in range(some)]
        Watch(daemon).until("connections", some + 1)
        for connection in connections:
            connection.close()
        before = resource.prlimit(daemon.pid, resource.RLIMIT_AS)
        resource.prlimit(daemon.pid, resource.RLIMIT_AS, (4096, before[1]))
        connections = []
        while "no memory for another connection" not in daemon.log():
            connections.append(Connection(daemon.socket))
            expect_equal(len(connections) <= most, True, "connections without memory")
        resource.prlimit(daemon.pid, resource.RLIMIT_AS, before)
        for connection in connections:
            expect_equal(connection.hello()[1], 0, "a hello")
            connection.close()


# ---- endings ------------------------------------------------------------------------------------------------------


@test("what a host wrote before it went is carried out, though the daemon is told to stop first")
def _():
    with Daemon() as daemon:
        for number in (signal.SIGTERM, signal.SIGINT):
            connection = Connection(daemon.socket)
            expect_equal(connection.hello()[1], 0, "hello")
            daemon.signal(signal.SIGSTOP)
            # In one piece: many small ones would fill the socket.
            connection.send_bytes(b"".join(frame(pack([id, APPEND, "doc", [meta(META)]])) for id in range(2, 302)))
            connection.close()
            daemon.signal(number)
            daemon.signal(signal.SIGCONT)
            expect_equal(daemon.wait(), 0, "exit status")
            daemon.start()
        with Store(daemon.socket) as store:
            expect_equal(len(store.load_all("doc")[0]), 600, "records")


# ---- answers that nobody takes ------------------------------------------------------------------------------------


class Flood:
    """A peer that asks so many times for so much, on a thread of its own, and reads nothing until finish()."""

    def __init__(self, daemon, operation, count):
        self.connection, self.count = Connection(daemon.socket), count
        self.connection.hello()
        requests = b"".join(frame(pack([id, operation])) for id in range(2, count + 2))
        self.thread = threading.Thread(target=self.connection.send_bytes, args=(requests,))
        self.thread.start()

    def finish(self):
        for id in range(2, self.count + 2):
            expect_equal(self.connection.receive()[:2], [id, 0], "an answer")
        self.thread.join()
        self.connection.close()


@test("small answers that a peer does not take hold its requests back, and none is lost")
def _():
    with Daemon(page_bytes=4096, max_reply_bytes_per_connection=65536) as daemon:
        watch = Watch(daemon)
        flood = Flood(daemon, STATS, 5000)
        watch.until("reply_bytes", 65536)
        for _ in range(50):
            if (found := watch.read("reply_bytes")) > 65536 + STATS_BYTES:
                raise AssertionError("%d bytes of answers are held" % found)
        flood.finish()


@test("answers of all connections together are bounded, and whoever takes its own is served")
def _():
    with Daemon(page_bytes=4096, max_reply_bytes_per_connection=65536, max_reply_bytes=131072) as daemon:
        watch = Watch(daemon)
        floods = [Flood(daemon, STATS, 2000) for _ in range(8)]
        watch.until("reply_bytes", 131072)
        for _ in range(50):
            if (found := watch.read("reply_bytes")) > 131072 + len(floods) * STATS_BYTES:
                raise AssertionError("%d bytes of answers are held" % found)
        for flood in floods:
            flood.finish()


@test("a peer that pings and takes no answer is closed after reply-timeout")
def _():
    with Daemon(page_bytes=4096, max_reply_bytes_per_connection=4096, reply_timeout=1) as daemon:
        watch = Watch(daemon)
        connection = Connection(daemon.socket)
        connection.hello()
        pings = b"".join(frame(pack([id, PING])) for id in range(2, 1000000))

        def pour():
            try:
                connection.send_bytes(pings)
            except ConnectionError:
                pass

        thread = threading.Thread(target=pour)
        thread.start()
        watch.until("timeouts", 1)
        thread.join()
        connection.close()


# ---- batches ------------------------------------------------------------------------------------------------------


def batches_of(daemon, size, count):
    """So many appends of this size, all queued while the writer cannot begin: how many batches are they?"""
    with Store(daemon.socket) as store:
        store.append("doc", [meta(META)])
        watch = Watch(daemon)
        before = watch.read("batches")
        with Connection(daemon.socket) as connection:
            connection.hello()
            other = sqlite3.connect(daemon.database, timeout=PATIENCE_SECONDS, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            for id in range(2, count + 2):
                connection.send(id, APPEND, "doc", [entry("1", "x" * size)])
            watch.until("requests_in_flight", count + 1)
            other.execute("ROLLBACK")
            other.close()
            for id in range(2, count + 2):
                expect_equal(connection.receive()[:2], [id, 0], "an answer")
        return watch.read("batches") - before


@test("batch-requests: no batch has more")
def _():
    with Daemon(batch_requests=10) as daemon:
        found = batches_of(daemon, 10, 100)
        if not 10 <= found <= 20:
            raise AssertionError("100 appends in %d batches" % found)


@test("batch-bytes: no batch has more, but for a request that is larger by itself")
def _():
    with Daemon(batch_bytes=16384) as daemon:
        found = batches_of(daemon, 5000, 60)        # three fit
        if not 20 <= found <= 30:
            raise AssertionError("60 appends in %d batches" % found)
        expect_equal(batches_of(daemon, 50000, 5), 5, "batches of five larger ones")


def reload(daemon, text):
    """Has it read this text as its file of options."""
    with open(daemon.options["config"], "w", encoding="utf-8") as file:
        file.write(text)
    before = daemon.log().count("the configuration was read again")
    daemon.signal(signal.SIGHUP)
    end = time.monotonic() + PATIENCE_SECONDS
    while daemon.log().count("the configuration was read again") == before:
        if time.monotonic() > end:
            raise AssertionError("no answer to SIGHUP")
        time.sleep(0.01)


@test("batch-requests and batch-bytes: another limit holds after a reload, and the default after it is gone")
def _():
    with tempfile.NamedTemporaryFile(prefix="kyneta-") as file, Daemon(config=file.name) as daemon:
        expect_equal(batches_of(daemon, 10, 100) <= 2, True, "one batch")
        reload(daemon, "batch-requests = 5\n")
        if not 20 <= (found := batches_of(daemon, 10, 100)) <= 30:
            raise AssertionError("100 appends in %d batches" % found)
        reload(daemon, "batch-bytes = 4096\n")
        expect_equal(batches_of(daemon, 5000, 5), 5, "batches of five large ones")
        reload(daemon, "")
        expect_equal(batches_of(daemon, 10, 100) <= 2, True, "one batch")


# ---- sessions -----------------------------------------------------------------------------------------------------


def session_age(daemon, session=SESSION, make=None):
    """How long ago, by its row, a session was used last; None if there is no row. @make: first make it so."""
    database = sqlite3.connect(daemon.database, timeout=PATIENCE_SECONDS, isolation_level=None)
    key = "substr(key, 1, 17) = x'73%s'" % session.hex()
    if make is not None:
        database.execute("UPDATE kyneta_stored SET value = CAST(substr(value, 1, 8) || ? || substr(value, 17) AS BLOB) "
                         "WHERE " + key, (struct.pack(">Q", int(time.time()) - make),))
    row = database.execute("SELECT value FROM kyneta_stored WHERE " + key).fetchone()
    database.close()
    return None if row is None else int(time.time()) - struct.unpack(">Q", row[0][8:16])[0]


def make_session(daemon, session):
    with Connection(daemon.socket) as connection:
        connection.hello(session=session)
        expect_equal(connection.request(2, APPEND, "doc", [meta(META)])[1], 0, "an append")


@test("a hello renews its session, even if nothing is ever written again")
def _():
    with Daemon(session_timeout=7000) as daemon:
        make_session(daemon, SESSION)
        for age, renewed in ((500, False), (1500, True), (6900, True)):
            daemon.stop()
            session_age(daemon, make=age)
            daemon.start()
            with Connection(daemon.socket) as connection:
                expect_equal(connection.hello(session=SESSION, access=READ_ONLY)[5], 2, "through")
                expect_equal(session_age(daemon) < 500, renewed, "renewed at the age of %d" % age)


@test("session-timeout: a session is forgotten, others are not")
def _():
    other = bytes(16)
    with Daemon(session_timeout=60) as daemon:
        make_session(daemon, SESSION)
        make_session(daemon, other)
        daemon.stop()
        session_age(daemon, make=61)
        session_age(daemon, other, make=-1000)
        daemon.start()
        with Store(daemon.socket, session=None) as store:
            store.append("doc", [meta(META)])       # whoever comes first sets the writer to work
            store.append("doc", [meta(META)])
        expect_equal(session_age(daemon), None, "the old one")
        with Connection(daemon.socket) as connection:
            expect_equal(connection.hello(session=SESSION)[5], 0, "its through")
        with Connection(daemon.socket) as connection:
            expect_equal(connection.hello(session=other)[5], 2, "through of the other")


@test("session-timeout: after a reload with a shorter one the next write has old sessions forgotten")
def _():
    with tempfile.NamedTemporaryFile(prefix="kyneta-") as file, Daemon(config=file.name) as daemon:
        make_session(daemon, SESSION)
        session_age(daemon, make=500)
        with Store(daemon.socket, session=None) as store:
            store.append("doc", [meta(META)])
            store.append("doc", [meta(META)])
            expect_equal(session_age(daemon) >= 500, True, "it is there")
            reload(daemon, "session-timeout = 60\n")
            store.append("doc", [meta(META)])
            store.append("doc", [meta(META)])       # the writer is through with what follows the one before
        expect_equal(session_age(daemon), None, "the old one")


@test("a disk that fails while sessions are forgotten ends the daemon like one that fails a write")
def _():
    with Daemon(session_timeout=60, reserve_bytes=0) as daemon:
        make_session(daemon, SESSION)
        daemon.stop()
        session_age(daemon, make=61)
        faults = Faults(os.path.join(daemon.directory, "faults"))
        daemon.environment.update(faults.environment())
        daemon.start()
        faults.fail_writes(errno.EIO)
        with Connection(daemon.socket) as connection:
            connection.hello()
            connection.receive()                    # the end
        expect_equal(daemon.wait(), STORAGE_FAILED, "exit status")


# ---- versions -----------------------------------------------------------------------------------------------------


@test("a hello of another version is told so, whatever else is in it")
def _():
    with Daemon() as daemon:
        for store, access, session in ((None, None, None), (7, None, None), ({"meta": ""}, 9, None), (None, 0, "x")):
            with Connection(daemon.socket) as connection:
                reply = connection.hello(5, store, access, session, VERSION + 1, VERSION + 2)
                expect_equal([reply[1]] + reply[4:], [NO_COMMON_VERSION, VERSION, VERSION], "a hello")
                expect_equal(connection.receive(), None, "what follows")
            with Connection(daemon.socket) as connection:
                reply = connection.hello(5, store, access, session, VERSION, VERSION + 2)
                expect_equal(reply[1], BAD_ARGUMENT, "the same with version 1 in it")


if __name__ == "__main__":
    main()
