#!/usr/bin/env python3
"""The table of bad input in PROTOCOL.md, sent byte by byte; the daemon serves everybody else, and keeps nothing of it."""

import sqlite3

import kyneta_store_client as client
import protocol_document as document
from harness import SANITIZED, Daemon, expect_equal, main, note, test
from kyneta_store_client import Connection, Store, entry, meta

META = ('{"replicaType":["plain",1,0],"syncMode":{"writerModel":"serialized","delivery":"delta-capable",'
        '"durability":"persistent"},"schemaHash":"00"}')
INPUTS = document.bad_inputs(document.read())

FRAMES, FRAMES_BEFORE, GROWTH_KIB = 10000, 100, 1024


def send_row(daemon, row, probe):
    """Send one row on a connection of its own; returns (code of the last reply, does the connection live?)."""
    with Connection(daemon.socket) as connection:
        replies = []
        for kind, data in row.sent:
            send(connection, kind, data)
            if kind == "hello":
                expect_equal(connection.receive()[:2], [1, 0], "%s: hello" % row.name)
        while len(replies) < expected_replies(row):
            message = connection.receive()
            if message is None:
                return (replies[-1][1] if replies else None), False
            replies.append(message)
        if not row.lives:
            expect_equal(connection.receive(), None, "%s: another message" % row.name)
            return (replies[-1][1] if replies else None), False
        if probe:
            expect_equal(connection.request(1 << 40, client.PING), [1 << 40, 0], "%s: ping after it" % row.name)
        return replies[-1][1], True


def send(connection, kind, data):
    """The daemon may close while a long one is being sent."""
    try:
        if kind == "eof":
            connection.half_close()
        else:
            connection.send_bytes(data)
    except (BrokenPipeError, ConnectionResetError):
        pass


def expected_replies(row):
    """How many replies to wait for: one for each frame that is whole, or wrong from its head on; none for none."""
    return 0 if row.code is None else sum(kind == "send" for kind, _ in row.sent)


@test("each kind of bad input gets its code, and costs at most its own connection")
def _():
    wrong = []
    with Daemon() as daemon, Store(daemon.socket) as bystander:
        bystander.append("by", [meta(META)])
        for number, row in enumerate(INPUTS):
            found = send_row(daemon, row, probe=True)
            if found != (row.code, row.lives):
                wrong.append("%s: %s %s expected, %s %s found" % (
                    row.name, row.code, "lives" if row.lives else "closed", found[0], "lives" if found[1] else "closed"))
            expect_equal(bystander.append("by", [entry(row.name, "x")])[1], number + 2)
        expect_equal(list(bystander.list_doc_ids()), ["by"])
    expect_equal(wrong, [], "rows of the table")


@test("bad input does no harm to what comes before and after it on the connection")
def _():
    with Daemon() as daemon, Connection(daemon.socket) as connection:
        connection.hello()
        connection.send(2, client.APPEND, "doc", [meta(META)])
        connection.send(3, 99)
        connection.send(4, client.APPEND, "doc", [])
        connection.send(5, client.APPEND, "doc", [entry("v", "x")])
        connection.send_bytes(client.frame(b"\xc1"))
        connection.send(6, client.APPEND, "doc", [entry("never read", "x")])
        replies = {}
        while True:
            message = connection.receive()
            if message is None:
                break
            replies[message[0]] = message
        expect_equal({id: message[1] for id, message in replies.items()}, {2: 0, 3: 104, 4: 105, 5: 0, 0: 100})
        with Store(daemon.socket) as store:
            expect_equal(store.load_all("doc")[0], [meta(META), entry("v", "x")])


@test("a table named like an attack is just a name")
def _():
    attack = 'x"; DROP TABLE y; --'
    names = {"meta": attack, "records": "y", "store": "'; DELETE FROM y; --"}
    with Daemon() as daemon:
        with Store(daemon.socket, store=names) as store:
            store.append("doc", [meta(META), entry("v", "x")])
            store.replace("doc", [meta(META), entry("v", "y")])
            store.append("gone", [meta(META)])
            store.delete("gone")
        daemon.restart()
        with Store(daemon.socket, store=names) as store:
            expect_equal(store.load_all("doc")[0], [meta(META), entry("v", "y")])
            expect_equal(list(store.list_doc_ids("d")), ["doc"])
        daemon.stop()
        database = sqlite3.connect(daemon.database)
        tables = {name for name, in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        expect_equal(tables, set(names.values()) | {"kyneta_stored"})
        expect_equal(database.execute("SELECT count(*) FROM y").fetchone(), (2,))
        database.close()


@test("%d bad frames leave no more than %d KiB behind" % (FRAMES, GROWTH_KIB))
def _():
    # Those that send a megabyte each would only measure the machine.
    rows = [row for row in INPUTS if sum(len(data) for _, data in row.sent) < 100000]
    with Daemon() as daemon:
        for number in range(FRAMES_BEFORE):
            send_row(daemon, rows[number % len(rows)], probe=False)
        before, descriptors = settled_rss(daemon), daemon.descriptors()
        for number in range(FRAMES_BEFORE, FRAMES):
            send_row(daemon, rows[number % len(rows)], probe=False)
        after = settled_rss(daemon)
        note("resident: %d KiB after %d, %d KiB after %d" % (before, FRAMES_BEFORE, after, FRAMES))
        expect_equal(daemon.descriptors(), descriptors, "descriptors")
        # A sanitizer keeps what was freed.
        if not SANITIZED:
            expect_equal(after - before <= GROWTH_KIB, True, "%d KiB more" % (after - before))


def settled_rss(daemon):
    """Resident memory when every connection is gone."""
    with Connection(daemon.socket) as connection:
        connection.hello()
        id = 2
        while connection.request(id, client.STATS)[2]["connections"] > 1:
            id += 1
        connection.request(id + 1, client.CLOSE)
        expect_equal(connection.receive(), None)
    return daemon.rss_kib()


@test("a peer that says nothing, or half of something, is closed; others are not")
def _():
    with Daemon(hello_timeout=1, frame_timeout=1) as daemon, Store(daemon.socket) as bystander:
        with Connection(daemon.socket) as silent, Connection(daemon.socket) as dribbling, Connection(daemon.socket) as idle:
            dribbling.hello()
            idle.hello()
            dribbling.send_bytes(bytes.fromhex("00 00 00 03 92"))
            expect_equal(silent.receive(), None)
            expect_equal(dribbling.receive(), None)
            expect_equal(idle.request(2, client.PING), [2, 0])
        bystander.ping()


@test("the limits of frames and connections are those of the options")
def _():
    with Daemon(max_frame_bytes=8192, max_connections=2) as daemon, Connection(daemon.socket) as first:
        expect_equal(first.hello()[6], 8192)
        with Connection(daemon.socket) as second:
            second.hello()
            with Connection(daemon.socket) as third:
                expect_equal(third.receive()[:2], [0, 404])
                expect_equal(third.receive(), None)
            largest = bytes.fromhex("93 02 08 c5") + (8192 - 6).to_bytes(2, "big") + bytes(8192 - 6)
            second.send_bytes(client.frame(largest))
            expect_equal(second.receive(), [2, 0])
            second.send_bytes((8193).to_bytes(4, "big"))
            expect_equal(second.receive()[:2], [0, 101])
            expect_equal(second.receive(), None)
        expect_equal(first.request(2, client.PING), [2, 0])


if __name__ == "__main__":
    main()
