#!/usr/bin/env python3
"""Another program on the daemon's database, while the daemon runs: it reads, writes, drops and upgrades."""

import os
import sqlite3
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from harness import Daemon, expect_equal, main, test  # noqa: E402
from kyneta_store_client import (APPEND, CHANGED, COMMITTED, EXCLUSIVE, LOAD_ALL, REPLACE, RESUME, STATS,  # noqa: E402
                                 Connection, Store, StoreError, entry, meta)

MODE = '{"writerModel":"serialized","delivery":"delta-capable","durability":"persistent"}'
META = '{"replicaType":["plain",1,0],"syncMode":%s,"schemaHash":"00"}' % MODE
META_1 = META.replace("syncMode", "syncProtocol")
CONFLICT, INCOMPATIBLE_FORMAT = 300, 504
PATIENCE_SECONDS = 60


def execute(daemon, *statements):
    """Change the file as another program would."""
    database = sqlite3.connect(daemon.database, timeout=PATIENCE_SECONDS, isolation_level=None)
    for statement in statements:
        database.execute(statement)
    database.close()


def refused(call, *arguments, **options):
    """What the daemon says against it: code and detail."""
    try:
        call(*arguments, **options)
    except StoreError as error:
        return [error.code] + [str(detail) for detail in error.detail]
    return [0]


class Watch:
    """A connection that looks at the daemon's counters; hello was said while the writer was free."""

    def __init__(self, daemon):
        self.connection = Connection(daemon.socket)
        self.connection.hello()
        self.id = 1

    def counters(self):
        self.id += 1
        return self.connection.request(self.id, STATS)[2]

    def until(self, counter, value):
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            found = self.counters()[counter]
            if found == value:
                return
            if time.monotonic() > end:
                raise AssertionError("%s is %d and not %d" % (counter, found, value))


@test("a document that another program replaced: a cursor of before is changed, an expect is a conflict")
def _():
    with Daemon() as daemon, Store(daemon.socket) as store:
        store.append("doc", [meta(META), entry("1", "x" * 100), entry("2", "y" * 100)])
        with Connection(daemon.socket) as connection:
            connection.hello()
            _, code, records, at, cursor = connection.request(2, LOAD_ALL, "doc", None, 100)
            expect_equal((code, len(records), cursor is None), (0, 1, False), "the first page")
            execute(daemon, "UPDATE kyneta_records SET payload = replace(payload, 'y', 'z') WHERE doc_id = 'doc'")
            store.append("other", [meta(META)])     # the daemon's next write: it notices
            expect_equal(connection.request(3, LOAD_ALL, "doc", cursor, 100)[1], CHANGED, "the next page")
            expect_equal(connection.request(4, REPLACE, "doc", [meta(META)], None, at)[1], CONFLICT, "a replace")
        expect_equal(store.load_all("doc")[0][2][4], "z" * 100, "what is read now")
        expect_equal(store.stats()["foreign_changes"], 1, "changes noticed")


@test("a store whose table of records is dropped is refused, others are served")
def _():
    with Daemon() as daemon, Store(daemon.socket, session=None) as store:
        store.append("doc", [meta(META), entry("1", "x")])
        with Store(daemon.socket, store={"meta": "m", "records": "r", "store": "s"}) as other:
            other.append("doc", [meta(META)])
            execute(daemon, "DROP TABLE kyneta_records")
            expect_equal(refused(store.load_all, "doc")[0], INCOMPATIBLE_FORMAT, "a read")
            for _ in range(2):
                expect_equal(refused(store.append, "doc", [entry("2", "x")])[0], INCOMPATIBLE_FORMAT, "an append")
                expect_equal(refused(store.append, "new", [meta(META)])[0], INCOMPATIBLE_FORMAT, "an append")
                expect_equal(refused(store.delete, "doc")[0], INCOMPATIBLE_FORMAT, "a delete")
                expect_equal(refused(store.load_all, "doc")[0], INCOMPATIBLE_FORMAT, "a read")
            with Connection(daemon.socket) as connection:
                expect_equal(connection.hello()[1], INCOMPATIBLE_FORMAT, "a hello")
            other.append("doc", [entry("1", "y")])
            expect_equal(len(other.load_all("doc")[0]), 2, "records of the other store")


@test("a store of layout 1 that another program upgrades is refused from then on, and keeps what it has")
def _():
    with Daemon() as daemon, Store(daemon.socket, session=None) as store:
        store.append("doc", [meta(META_1), entry("1", "x")])
        execute(daemon,
                "CREATE TABLE kyneta_doc_meta (doc_id TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID",
                "CREATE TABLE kyneta_store_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
                """INSERT INTO kyneta_store_meta VALUES ('format', '{"major":1,"minor":0}')""")
        expect_equal(refused(store.append, "doc", [entry("2", "x")]), [INCOMPATIBLE_FORMAT, "mixed-layouts"], "a write")
        expect_equal(refused(store.append, "doc", [entry("2", "x")]), [INCOMPATIBLE_FORMAT, "mixed-layouts"], "again")
        with Connection(daemon.socket) as connection:
            reply = connection.hello()
            expect_equal((reply[1], reply[4]), (INCOMPATIBLE_FORMAT, "mixed-layouts"), "a hello")
        # The other program takes it back.
        execute(daemon, "DROP TABLE kyneta_doc_meta", "DROP TABLE kyneta_store_meta")
        with Store(daemon.socket) as again:
            again.append("doc", [entry("2", "x")])
            expect_equal(len(again.load_all("doc")[0]), 3, "records")


@test("more documents latched than are told apart: all are, until resume")
def _():
    with Daemon() as daemon, Connection(daemon.socket) as connection:
        connection.hello()
        expect_equal(connection.request(2, APPEND, "doc", [meta(META_1)], 0)[1], 0, "an append")
        execute(daemon, "CREATE TABLE kyneta_doc_meta (doc_id TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID")
        id = 2
        for _ in range(50):
            for id in range(id + 1, id + 101):
                connection.send(id, APPEND, "document %d" % id, [meta(META_1)], 0)
            codes = {connection.receive()[1] for _ in range(100)}
            expect_equal(codes, {INCOMPATIBLE_FORMAT}, "codes of 100 appends")
        execute(daemon, "DROP TABLE kyneta_doc_meta")
        with Connection(daemon.socket) as other:
            other.hello()
            expect_equal(other.request(2, APPEND, "doc", [entry("1", "x")], 0)[1], 0, "an append of somebody else")
        reply = connection.request(id + 1, APPEND, "doc", [entry("1", "x")], 0)
        expect_equal(reply[1:4], [INCOMPATIBLE_FORMAT, "an earlier write of this connection failed; resume first", 0],
                     "an append to a document that never failed")
        expect_equal(connection.request(id + 2, RESUME)[1], 0, "resume")
        expect_equal(connection.request(id + 3, APPEND, "doc", [entry("2", "x")], 0)[1], 0, "an append after it")


@test("every table dropped: the store is not made any more, and is made again by its first write")
def _():
    with Daemon() as daemon, Store(daemon.socket) as store:
        store.append("doc", [meta(META), entry("1", "x")])
        execute(daemon, "DROP TABLE kyneta_records", "DROP TABLE kyneta_doc_meta", "DROP TABLE kyneta_store_meta")
        store.append("doc", [meta(META)])
        expect_equal(len(store.load_all("doc")[0]), 1, "records")


@test("the daemon's own table dropped: everything goes on")
def _():
    with Daemon() as daemon, Store(daemon.socket) as store:
        store.append("doc", [meta(META), entry("1", "x")])
        execute(daemon, "DROP TABLE kyneta_stored")
        store.append("doc", [entry("2", "x")])
        store.replace("doc", [meta(META), entry("3", "x")])
        expect_equal(len(store.load_all("doc")[0]), 2, "records")


@test("a reader that stays: the log grows and says why, and starts over when it has gone")
def _():
    with Daemon(wal_bytes=65536) as daemon, Store(daemon.socket) as store:
        store.append("doc", [meta(META)])
        reader = sqlite3.connect(daemon.database, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM kyneta_records").fetchone()
        while daemon.wal_bytes() < 1 << 20:
            store.append("doc", [entry("1", "x" * 20000)])
        if "another program reads the database" not in daemon.log():
            raise AssertionError("nothing is said of the reader")
        before = store.stats()["checkpoints_complete"]
        reader.execute("ROLLBACK")
        reader.close()
        end = time.monotonic() + PATIENCE_SECONDS
        while store.stats()["checkpoints_complete"] == before and time.monotonic() < end:
            store.append("doc", [entry("1", "x" * 20000)])
        size = daemon.wal_bytes()
        for _ in range(20):
            store.append("doc", [entry("1", "x" * 20000)])
        expect_equal(daemon.wal_bytes(), size, "size of the log, which is written over")


@test("a lock that another program holds is waited out, and everything that came meanwhile is in order")
def _():
    names = {"records": "r", "meta": "m1", "store": "s1"}
    with Daemon() as daemon, Store(daemon.socket) as store:
        store.append("doc", [meta(META)])
        watch = Watch(daemon)
        for _ in range(10):
            holder = Connection(daemon.socket)
            expect_equal(holder.hello(store=names, access=EXCLUSIVE)[1], 0, "exclusive access")
            other = sqlite3.connect(daemon.database, timeout=PATIENCE_SECONDS, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            call = store.submit(APPEND, "doc", [entry("1", "x")])
            store.push()
            watch.until("requests_in_flight", 2)    # the append, and what asks for this
            # While the writer waits: exclusive access ends, and the tables are asked for under other names.
            holder.half_close()
            next_one = Connection(daemon.socket)
            watch.until("connections", 3)   # the store's, its own, and next_one
            next_one.send(1, 0, "kyneta-store", 1, 1, None, {"records": "r", "meta": "m2", "store": "s2"})
            watch.until("requests_in_flight", 3)    # and the hello
            other.execute("ROLLBACK")
            other.close()
            expect_equal(next_one.receive()[1], 0, "a hello for the same table")
            store.wait(call)
            for connection in (holder, next_one):
                connection.close()


def append_until(daemon, connection, reached):
    """Lone appends, until the daemon's counters say enough. Before the first of them its writer may not be idle yet."""
    watch, end, number = Watch(daemon), time.monotonic() + PATIENCE_SECONDS, 2
    connection.request(number, APPEND, "doc", [meta(META)], COMMITTED)
    while not reached(watch.counters()):
        number += 1
        connection.request(number, APPEND, "doc", [entry("1", "x" * 100)], COMMITTED)
        if time.monotonic() > end:
            raise AssertionError("not reached: %r" % watch.counters())
    return watch, number


@test("a lone append that meets the lock of another program keeps the loop from nothing")
def _():
    with Daemon() as daemon, Connection(daemon.socket) as connection:
        connection.hello()
        watch, number = append_until(daemon, connection, lambda counters: counters["at_once"] > 0)
        other = sqlite3.connect(daemon.database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        connection.send(number + 1, APPEND, "doc", [entry("2", "y")], COMMITTED)
        watch.until("requests_in_flight", 2)     # the append and this one
        other.execute("ROLLBACK")
        other.close()
        expect_equal(connection.receive()[:2], [number + 1, 0], "the append, once the lock is gone")


@test("the log of lone appends is moved into the database all the same")
def _():
    with Daemon(wal_bytes="64K", reserve_bytes=0) as daemon, Connection(daemon.socket) as connection:
        connection.hello()
        append_until(daemon, connection, lambda counters: counters["checkpoints"] > 3 and counters["at_once"] > 100)



if __name__ == "__main__":
    main()
