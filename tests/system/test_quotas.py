#!/usr/bin/env python3
"""Quotas of users and of stores: who is over one is refused or waits, others do not notice, and counts stay true."""

import errno
import os
import random
import signal
import sqlite3
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from harness import ROOT, START_SECONDS, expect_equal, main, note, test  # noqa: E402
from kyneta_store_client import (APPEND, CLOSE, CURRENT_META, DELETE, LOAD_ALL, NOT_APPLIED, PING, REPLACE, RESUME,  # noqa: E402
                                 STATS, Store, StoreError, entry, frame, meta)
from msgpack_subset import pack  # noqa: E402
from peers import ReachableDaemon, connect_as  # noqa: E402

META = ('{"replicaType":["plain",1,0],"syncMode":{"writerModel":"serialized","delivery":"delta-capable",'
        '"durability":"persistent"},"schemaHash":"00"}')
FRAME_TOO_LARGE, BUSY, TOO_MANY_CONNECTIONS, DISK_FULL = 101, 400, 404, 500
STORE = "kyneta_doc_meta"
ANNA, BERT = 61001, 61002

# What the quota counts, asked of the file itself.
COUNT = """SELECT (SELECT coalesce(sum(length(CAST(doc_id AS BLOB)) + coalesce(length(CAST(payload AS BLOB)), 0)
                                       + coalesce(length(blob), 0)), 0) FROM kyneta_records)
                + (SELECT coalesce(sum(length(CAST(doc_id AS BLOB)) + length(CAST(data AS BLOB))), 0)
                   FROM kyneta_doc_meta),
                  (SELECT count(*) FROM kyneta_doc_meta)"""


def opened(daemon, uid, **arguments):
    connection = connect_as(daemon, uid)
    connection.hello_reply = connection.hello(**arguments)
    expect_equal(connection.hello_reply[1], 0, "hello of uid %d: %r" % (uid, connection.hello_reply))
    return connection


def stats(daemon):
    """The counters, by root's connection, which is kept: while the writer is stopped no hello is answered."""
    if not hasattr(daemon, "watch") or daemon.watch.daemon != daemon.pid:
        daemon.watch = opened(daemon, 0)
        daemon.watch.daemon, daemon.watch.id = daemon.pid, 1
    daemon.watch.id += 1
    return daemon.watch.request(daemon.watch.id, STATS)[2]


def until(what, condition):
    end = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("never: " + what)
        time.sleep(0.01)


def of_user(daemon, name, uid=ANNA):
    return stats(daemon)["users"][str(uid)][name]


class StoppedWriter:
    """While it lasts no write is carried out: another program has the database's lock."""

    def __init__(self, daemon):
        self.database = sqlite3.connect(daemon.database, timeout=START_SECONDS, isolation_level=None)

    def __enter__(self):
        self.database.execute("BEGIN IMMEDIATE")

    def __exit__(self, *exception):
        self.database.execute("ROLLBACK")
        self.database.close()


def make_document(daemon):
    with Store(daemon.socket) as store:
        store.append("doc", [meta(META)])


def appends(ids, size=1):
    return b"".join(frame(pack([id, APPEND, "doc", [entry(str(id), "x" * size)]])) for id in ids)


def expect_answers(connection, ids):
    for id in ids:
        expect_equal(connection.receive()[:2], [id, 0], "an answer")


# ---- connections --------------------------------------------------------------------------------------------------


@test("connections: one more is refused, another user's are not; there is room again when one has gone")
def _():
    with ReachableDaemon("[quota]\nconnections = 2\n[quota root]\nconnections = unlimited\n") as daemon:
        held = [opened(daemon, ANNA), opened(daemon, ANNA)]
        refused = connect_as(daemon, ANNA)
        reply = refused.receive()
        expect_equal(reply[:2], [0, TOO_MANY_CONNECTIONS], "one more")
        expect_equal("quota of connections" in reply[2], True, reply[2])
        expect_equal(refused.receive(), None, "what follows")
        others = [opened(daemon, BERT), opened(daemon, BERT)]
        for connection in others + held:
            expect_equal(connection.request(2, PING), [2, 0], "a ping meanwhile")
        found = stats(daemon)
        expect_equal((found["over_connections"], found["connections_refused"]), (1, 1), "in all")
        expect_equal([found["users"][str(uid)]["over_connections"] for uid in (ANNA, BERT)], [1, 0], "by user")
        expect_equal(found["users"][str(ANNA)]["quota_connections"], 2, "the quota")
        expect_equal("pid %d uid %d: over a quota: " % (refused.pid, ANNA) in daemon.log(), True, "logged")
        # It may stay as long as it likes to be refused: that takes nobody's place.
        held[0].close()
        until("there is room", lambda: of_user(daemon, "connections") == 1)
        opened(daemon, ANNA).close()


# ---- requests in flight -------------------------------------------------------------------------------------------


@test("requests: beyond the quota a user's requests wait and a hello is refused; another user goes on; nothing is lost")
def _():
    with ReachableDaemon("[quota %d]\nrequests = 4\n" % ANNA) as daemon:
        make_document(daemon)
        one, two, other = opened(daemon, ANNA), opened(daemon, ANNA), opened(daemon, BERT)
        stats(daemon)
        expect_equal([one.hello_reply[7], other.hello_reply[7]], [4, 1024], "in-flight limits that hello tells")
        with StoppedWriter(daemon):
            one.send_bytes(appends(range(2, 22)))
            until("the quota is used up", lambda: of_user(daemon, "requests_in_flight") == 4)
            two.send(2, PING)
            with connect_as(daemon, ANNA) as third:
                reply = third.hello()
                expect_equal(reply[1], BUSY, "a hello meanwhile")
                expect_equal("quota of requests" in reply[2], True, reply[2])
                expect_equal(third.receive(), None, "what follows")
            for id in range(2, 50):
                expect_equal(other.request(id, CURRENT_META, "doc")[2], META, "another user's read")
            expect_equal(of_user(daemon, "requests_in_flight"), 4, "in flight")
        expect_answers(one, range(2, 22))
        expect_equal(two.receive(), [2, 0], "the ping that waited")
        expect_equal(len(one.request(22, LOAD_ALL, "doc")[2]), 21, "records")
        expect_equal([of_user(daemon, "over_requests", uid) > 0 for uid in (ANNA, BERT)], [True, False], "counted")
        with opened(daemon, ANNA) as connection:
            expect_equal(connection.request(2, PING), [2, 0], "a hello later")


@test("request-bytes: the same for the bytes of requests; a request that would never fit is refused at its first bytes")
def _():
    quota = 65536
    with ReachableDaemon("[quota]\nrequest-bytes = %d\n[quota root]\nrequest-bytes = unlimited\n" % quota) as daemon:
        make_document(daemon)
        one, two, other = opened(daemon, ANNA), opened(daemon, ANNA), opened(daemon, BERT)
        stats(daemon)
        limit = one.hello_reply[6]
        expect_equal(quota - 2048 < limit < quota, True, "the frame limit that hello tells is %d" % limit)
        with StoppedWriter(daemon):
            one.send_bytes(appends(range(2, 4), 40000))
            two.send_bytes(appends(range(2, 4), 40000))
            until("the quota is used up", lambda: of_user(daemon, "request_bytes") > 40000)
            expect_equal(other.request(2, CURRENT_META, "doc")[2], META, "another user's read")
            other.send_bytes(appends([3], 40000))
            until("another user's write is taken", lambda: of_user(daemon, "request_bytes", BERT) > 40000)
            expect_equal(of_user(daemon, "request_bytes") <= quota, True, "bytes in flight")
        for connection in (one, two):
            expect_answers(connection, range(2, 4))
        expect_answers(other, [3])
        expect_equal([of_user(daemon, "over_request_bytes", uid) > 0 for uid in (ANNA, BERT)], [True, False], "counted")
        one.send_bytes((limit + 1).to_bytes(4, "big"))
        expect_equal(one.receive()[:2], [0, FRAME_TOO_LARGE], "a request that would never fit")
        two.send_bytes(appends([4], limit - 100))
        expect_answers(two, [4])


# ---- what a store holds -------------------------------------------------------------------------------------------


def of_store(daemon, *names):
    found = stats(daemon)["stores_open"][STORE]
    return tuple(found.get(name) for name in names)


def expect_count(daemon, what=""):
    """What the daemon tells is what is there."""
    database = sqlite3.connect(daemon.database, timeout=START_SECONDS)
    expected = database.execute(COUNT).fetchone()
    database.close()
    expect_equal(of_store(daemon, "stored_bytes", "documents"), expected, what)
    return expected


def expect_busy(reply, quota):
    expect_equal([reply[1], reply[3]], [BUSY, NOT_APPLIED], "code and outcome of %r" % reply)
    expect_equal(("quota of %s is used up" % quota) in reply[2], True, reply[2])


def rules(stored_bytes="unlimited", documents="unlimited", store="*"):
    return "[quota-store %s]\nstored-bytes = %s\ndocuments = %s\n" % (store, stored_bytes, documents)


@test("stored-bytes: what does not fit is refused, not applied; what makes the store smaller is carried out; others go on")
def _():
    with ReachableDaemon(rules(stored_bytes=10000, store=STORE)) as daemon:
        with opened(daemon, ANNA) as connection, \
                opened(daemon, BERT, store={"meta": "m", "records": "r", "store": "s"}) as other:
            expect_equal(connection.request(2, APPEND, "a", [meta(META), entry("1", "x" * 4000)])[1], 0, "fits")
            expect_equal(connection.request(3, APPEND, "b", [meta(META), entry("1", b"x" * 4000)])[1], 0, "fits")
            before = expect_count(daemon)
            expect_busy(connection.request(4, APPEND, "a", [entry("2", "x" * 4000)]), "stored-bytes")
            expect_busy(connection.request(5, APPEND, "a", [entry("3", "x")]), "stored-bytes")     # latched
            expect_equal(connection.request(6, RESUME)[1], 0, "resume")
            expect_equal(connection.request(7, APPEND, "a", [entry("3", "x")])[1], 0, "a small one")
            expect_busy(connection.request(8, REPLACE, "b", [meta(META), entry("4", b"x" * 8000)]), "stored-bytes")
            expect_equal(other.request(2, APPEND, "a", [meta(META), entry("1", "x" * 20000)])[1], 0, "another store")
            expect_equal(connection.request(9, RESUME)[1], 0, "resume")
            expect_equal(connection.request(10, REPLACE, "b", [meta(META), entry("4", b"x" * 1000)])[1], 0, "smaller")
            expect_equal(connection.request(11, APPEND, "a", [entry("5", "x" * 2500)])[1], 0, "fits now")
            expect_busy(connection.request(12, APPEND, "a", [entry("6", "x" * 2500)]), "stored-bytes")
            expect_equal(connection.request(13, DELETE, "b")[1], 0, "a delete")
            expect_equal(connection.request(14, RESUME)[1], 0, "resume")
            expect_equal(connection.request(15, APPEND, "a", [entry("6", "x" * 1000)])[1], 0, "fits after the delete")
            expect_equal([record[3] for record in connection.request(16, LOAD_ALL, "a")[2][1:]], ["1", "3", "5", "6"])
            after = expect_count(daemon)
            expect_equal((before[1], after[1]), (2, 1), "documents")
            # 4, 5 is a latch, 8, 12
            expect_equal(of_store(daemon, "over_stored_bytes", "quota_stored_bytes"), (3, 10000), "counted")
            expect_equal([of_user(daemon, "over_stored_bytes", uid) for uid in (ANNA, BERT)], [3, 0], "by user")


@test("stored-bytes: exactly so many fit, and not one more")
def _():
    with ReachableDaemon(rules(stored_bytes=1000)) as daemon:
        with opened(daemon, ANNA) as connection:
            expect_equal(connection.request(2, APPEND, "a", [meta(META)])[1], 0, "the document")
            left = 1000 - expect_count(daemon)[0]
            payload = len('{"kind":"since","encoding":"binary","version":"v"}')
            data = left - len("a") - payload
            expect_busy(connection.request(3, APPEND, "a", [entry("v", b"x" * (data + 1))]), "stored-bytes")
            connection.request(4, RESUME)
            expect_equal(connection.request(5, APPEND, "a", [entry("v", b"x" * data)])[1], 0, "the last ones")
            expect_equal(expect_count(daemon)[0], 1000, "bytes")


@test("documents: one more is refused; one that is there can be written, and another made when one has gone")
def _():
    with ReachableDaemon(rules(documents=2)) as daemon:
        with opened(daemon, ANNA) as connection:
            for id, document in ((2, "a"), (3, "b")):
                expect_equal(connection.request(id, APPEND, document, [meta(META)])[1], 0, document)
            expect_busy(connection.request(4, APPEND, "c", [meta(META)]), "documents")
            expect_busy(connection.request(5, REPLACE, "d", [meta(META)]), "documents")
            expect_equal(connection.request(6, APPEND, "a", [meta(META), entry("1", "x")])[1], 0, "one that is there")
            expect_equal(connection.request(7, REPLACE, "b", [meta(META)])[1], 0, "and another")
            expect_equal(connection.request(8, DELETE, "a")[1], 0, "a delete")
            expect_equal(connection.request(9, RESUME)[1], 0, "resume")
            expect_equal(connection.request(10, APPEND, "c", [meta(META)])[1], 0, "another one")
            expect_busy(connection.request(11, APPEND, "d", [meta(META)]), "documents")
            expect_count(daemon)
            expect_equal(of_store(daemon, "over_documents", "quota_documents"), (3, 2), "counted")


@test("a quota below what is stored already: nothing grows, but what makes it smaller or leaves it as it is is carried out")
def _():
    with ReachableDaemon("") as daemon:
        with opened(daemon, ANNA) as connection:
            for id, document in ((2, "a"), (3, "b"), (4, "c")):
                connection.request(id, APPEND, document, [meta(META), entry("1", b"x" * 1000)])
        daemon.write_rules(rules(stored_bytes=1000, documents=1))
        daemon.restart()
        with opened(daemon, ANNA) as connection:
            expect_busy(connection.request(2, APPEND, "a", [entry("2", b"x")]), "stored-bytes")
            connection.request(3, RESUME)
            expect_equal(connection.request(4, REPLACE, "a", [meta(META), entry("1", b"x" * 1000)])[1], 0, "the same")
            expect_equal(connection.request(5, REPLACE, "a", [meta(META), entry("1", b"x" * 900)])[1], 0, "smaller")
            expect_equal(connection.request(6, DELETE, "b")[1], 0, "a delete")
            expect_equal(expect_count(daemon)[1], 2, "documents")
        daemon.write_rules(rules(documents=1))
        daemon.restart()
        with opened(daemon, ANNA) as connection:
            expect_equal(connection.request(2, APPEND, "a", [meta(META)])[1], 0, "a write to a document that is there")
            expect_busy(connection.request(3, APPEND, "b", [meta(META)]), "documents")


@test("what a failed commit took back is not counted")
def _():
    library = os.path.join(os.environ.get("KYNETA_BUILD") or os.path.join(ROOT, "build"), "tests", "contract",
                           "libfault.so")
    with ReachableDaemon(rules(stored_bytes=1000000)) as daemon:
        faults = os.path.join(daemon.directory, "faults")
        with open(faults, "wb") as file:
            file.write(bytes(4096))
        daemon.stop()
        daemon.environment.update(LD_PRELOAD=library, KYNETA_FAULT_FILE=faults, ASAN_OPTIONS=":".join(
            filter(None, [os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0"])))
        daemon.start()
        make_document(daemon)
        with opened(daemon, ANNA) as connection:
            stats(daemon)
            with open(faults, "r+b") as file:
                file.seek(16)                                       # write_error (tests/contract/fault.h)
                file.write(struct.pack("=i", errno.ENOSPC))
            reply = connection.request(2, APPEND, "doc", [entry("1", b"x" * 5000)])
            expect_equal([reply[1], reply[3]], [DISK_FULL, NOT_APPLIED], "an append")
            with open(faults, "r+b") as file:
                file.seek(16)
                file.write(struct.pack("=i", 0))
            connection.request(3, RESUME)
            expect_equal(connection.request(4, APPEND, "doc", [entry("2", b"y")])[1], 0, "one later")
            expect_count(daemon)


@test("one batch of many writes is counted as it goes: as many as fit are applied")
def _():
    with ReachableDaemon(rules(documents=10)) as daemon:
        make_document(daemon)
        with opened(daemon, ANNA) as connection:
            stats(daemon)
            with StoppedWriter(daemon):
                for id in range(2, 32):
                    connection.send(id, APPEND, "doc %d" % id, [meta(META)])
                until("all are queued", lambda: of_user(daemon, "requests_in_flight") == 30)
            codes = [connection.receive()[1] for _ in range(30)]
            expect_equal(codes, [0] * 9 + [BUSY] * 21, "codes")
            expect_equal(expect_count(daemon)[1], 10, "documents")


def write_at_random(store, generator, count):
    """A pipeline of all kinds of writes to a few documents; some are refused."""
    calls = []
    for number in range(count):
        document = "\u00e4" * generator.randrange(4)
        records = [generator.choice([entry(str(number), "\u20ac\n" * generator.randrange(200)),
                                     entry(str(number), os.urandom(generator.randrange(500)), lineage="l"),
                                     meta(META), meta(META.replace("00", "0" * generator.randrange(90)))])
                   for _ in range(generator.randrange(1, 4))]
        kind = generator.choice([APPEND] * 4 + [REPLACE] * 2 + [DELETE])
        calls.append(store.submit(kind, document, records) if kind != DELETE else store.submit(kind, document))
        if generator.random() < 0.2:
            store.submit(RESUME)
    store.flush()
    return sum(call.error is not None for call in calls)


@test("the count is what is there, whatever is written; over restarts, crashes and other programs' writes")
def _():
    seed = random.randrange(1 << 32)
    note("seed %d" % seed)
    generator = random.Random(seed)
    with ReachableDaemon(rules(stored_bytes=20000, documents=3)) as daemon:
        refused = 0
        for life in range(6):
            with Store(daemon.socket) as store:
                refused += write_at_random(store, generator, 300)
                expect_count(daemon, "life %d" % life)
                if life % 3 == 2:
                    database = sqlite3.connect(daemon.database, timeout=START_SECONDS)
                    database.execute("DELETE FROM kyneta_records WHERE seq > 2")
                    database.execute("INSERT OR REPLACE INTO kyneta_doc_meta VALUES ('theirs', '{}')")
                    database.commit()
                    database.close()
                    if life == 5:
                        store.resume()
                        store.delete("")        # now it is seen at once, else at the end
            (daemon.restart, daemon.crash, daemon.restart)[life % 3]()
        with Store(daemon.socket):
            expect_count(daemon, "at the end")
        expect_equal(refused > 0, True, "some were refused")


def usage_rows(daemon):
    database = sqlite3.connect(daemon.database, timeout=START_SECONDS)
    found = database.execute("SELECT count(*) FROM kyneta_stored WHERE substr(key, 1, 1) = x'75'").fetchone()[0]
    database.close()
    return found


@test("a restart does not count anew; a store that was changed without a quota, or by another program, is counted anew")
def _():
    with ReachableDaemon(rules(documents=2)) as daemon:
        make_document(daemon)
        expect_equal(usage_rows(daemon), 1, "rows")
        daemon.restart()
        with Store(daemon.socket) as store:
            expect_count(daemon, "after a restart")
            expect_equal(daemon.log().count("counted for its quota"), 0, "times it was read")
            # Another program's change is seen at the next write.
            database = sqlite3.connect(daemon.database, timeout=START_SECONDS, isolation_level=None)
            database.execute("DELETE FROM kyneta_records")
            store.append("doc", [meta(META), entry("1", "x")])
            expect_equal(expect_count(daemon, "after another program")[1], 1, "documents")
            expect_equal(daemon.log().count("counted for its quota"), 1, "times it was read")
        # And if there is none before the daemon ends, then by its last look.
        until("the session is closed", lambda: of_store(daemon, "connections") == (1,))
        database.execute("INSERT INTO kyneta_doc_meta VALUES ('theirs', '{}')")
        daemon.restart()
        with Store(daemon.socket) as store:
            expect_equal(expect_count(daemon, "after another program and a restart")[1], 2, "documents")
            try:
                store.append("doc 3", [meta(META)])
            except StoreError as error:
                expect_equal(error.code, BUSY, "code of one too many")
            else:
                raise AssertionError("one too many was taken")
        database.close()
        daemon.write_rules("")
        daemon.restart()
        expect_equal(usage_rows(daemon), 1, "rows: nothing has changed")
        with Store(daemon.socket) as store:
            store.append("doc 4", [meta(META)])
        expect_equal(usage_rows(daemon), 0, "rows: it is wrong now")
        daemon.write_rules(rules(documents=3))
        daemon.restart()
        with Store(daemon.socket) as store:
            expect_equal(expect_count(daemon, "counted again")[1], 3, "documents")


# ---- other quotas -------------------------------------------------------------------------------------------------


@test("after a reload new connections have the new quotas, those that are there keep theirs")
def _():
    with ReachableDaemon(rules(documents=1) + "[quota]\nrequests = 7\n") as daemon:
        make_document(daemon)
        with opened(daemon, ANNA) as old:
            expect_equal(old.hello_reply[7], 7, "in-flight limit")
            daemon.write_rules(rules(documents=2) + "[quota]\nrequests = 9\n")
            daemon.signal(signal.SIGHUP)
            until("the new quota holds", lambda: of_store(daemon, "quota_documents") == (2,))
            expect_busy(old.request(2, APPEND, "a", [meta(META)]), "documents")
            with opened(daemon, ANNA) as new:
                expect_equal(new.hello_reply[7], 9, "in-flight limit")
                expect_equal(new.request(2, APPEND, "a", [meta(META)])[1], 0, "a second document")
                expect_busy(new.request(3, APPEND, "b", [meta(META)]), "documents")


@test("kyneta-storectl stats shows users, stores and quotas")
def _():
    with ReachableDaemon(rules(documents=1) + "[quota %d]\nconnections = 5\n" % ANNA) as daemon:
        make_document(daemon)
        status, told = daemon.storectl("stats", uid=ANNA)
        lines = dict(line.split("\t") for line in told.splitlines())
        expect_equal(status, 0, told)
        expect_equal([lines["users.%d.connections" % ANNA], lines["users.%d.quota_connections" % ANNA],
                      lines["stores_open.%s.documents" % STORE], lines["stores_open.%s.quota_documents" % STORE]],
                     ["1", "5", "1", "1"])


@test("what is not limited is not counted: no rows, no figures")
def _():
    with ReachableDaemon("[quota-store other]\ndocuments = 1\n") as daemon:
        make_document(daemon)
        with Store(daemon.socket) as store:
            store.append("doc 2", [meta(META)])
            expect_equal(of_store(daemon, "stored_bytes", "documents", "quota_documents"), (None, None, None))
        expect_equal(usage_rows(daemon), 0, "rows")


if __name__ == "__main__":
    main()
