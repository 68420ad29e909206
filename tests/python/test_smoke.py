#!/usr/bin/env python3
"""Every operation once or twice, by a client that was written from PROTOCOL.md, against a real daemon."""

import os
import sqlite3

import kyneta_store_client as client
from harness import Daemon, expect_equal, main, test
from kyneta_store_client import Connection, Store, StoreError, entry, meta

SYNC_MODE = '{"writerModel":"serialized","delivery":"delta-capable","durability":"persistent"}'
META = '{"replicaType":["plain",1,0],"syncMode":%s,"schemaHash":"00"}' % SYNC_MODE
META_OF_LAYOUT_1 = META.replace("syncMode", "syncProtocol")
OTHER_META = '{"schemaHash":"01", "replicaType":["plain",1,7],"extra":{"kept":[1,2]},"syncMode":%s}' % SYNC_MODE

TEXTS = ["", "\0", "a\0b", "\u2028", "😀", "\"quoted\" \\ / \x7f \x1f", "ä" * 5000, "%", "_", "🏁\uffff"]


def expect_error(code, call, *arguments, **keywords):
    """The call is refused with this code; returns the error."""
    try:
        call(*arguments, **keywords)
    except StoreError as error:
        expect_equal(error.code, code, str(error))
        return error
    raise AssertionError("%d expected, but it succeeded" % code)


@test("hello tells versions and limits")
def _():
    with Daemon() as daemon, Connection(daemon.socket) as connection:
        id, code, version, name, layout, through, frame_limit, in_flight_limit, page_limit = connection.hello("smoke")
        expect_equal([id, code, version, layout, through], [1, 0, 1, 0, 0])
        expect_equal([frame_limit, in_flight_limit, page_limit], [64 << 20, 1024, 1 << 20])
        expect_equal(type(name), str)
        expect_equal(connection.request(2, client.PING), [2, 0])


@test("what is appended is loaded, to the byte")
def _():
    records = [meta(META), entry("v1", "{}"), entry("v2", b"\0\xff", client.ENTIRETY, lineage="main"),
               entry("", "", client.SINCE, client.BINARY), entry("", b"", client.ENTIRETY, client.JSON, ""), meta(OTHER_META)]
    records += [entry(text, text, lineage=text) for text in TEXTS]
    with Daemon() as daemon, Store(daemon.socket) as store:
        for record in records:
            store.append("doc", [record])
        found, at = store.load_all("doc")
        expect_equal(found, records)
        expect_equal(at[1], len(records))
        expect_equal(store.current_meta("doc"), (OTHER_META, at))
        one_page, _ = store.load_all("doc", limit=1)
        expect_equal(one_page, records, "in pages of one record")
        store.append("at once", records)
        expect_equal(store.load_all("at once")[0], records, "appended at once")
        daemon.restart()
        expect_equal(store.load_all("doc"), (records, at), "after a restart")
        expect_equal(store.connects, 2)


@test("documents of any name, listed by prefix in the order of their bytes")
def _():
    names = sorted(TEXTS + ["a", "A", "b", "a%", "a%b", "axb", "a_b"], key=str.encode)
    with Daemon() as daemon, Store(daemon.socket) as store:
        for name in names:
            store.append(name, [meta(META)])
        expect_equal(list(store.list_doc_ids()), names)
        expect_equal(list(store.list_doc_ids("")), names)
        expect_equal(list(store.list_doc_ids(limit=1)), names, "one a page")
        for prefix in names + ["c"]:
            expect_equal(list(store.list_doc_ids(prefix)), [name for name in names if name.startswith(prefix)], repr(prefix))
        for name in names:
            expect_equal(store.load_all(name)[0], [meta(META)], repr(name))


@test("replace, delete and positions")
def _():
    with Daemon() as daemon, Store(daemon.socket) as store:
        expect_equal(store.current_meta("doc")[0], None)
        expect_equal(store.load_all("doc")[0], [])
        nowhere = store.load_all("doc")[1]
        at = store.append("doc", [meta(META), entry("v1", "1")], expect=nowhere)
        expect_equal(at, [nowhere[0], 2])
        compacted = [entry("v1", "1", client.ENTIRETY), meta(OTHER_META), entry("v2", "2")]
        after = store.replace("doc", compacted, expect=at)
        expect_equal((after[0] > at[0], after[1]), (True, 3))
        expect_equal(store.load_all("doc"), (compacted, after))
        expect_equal(expect_error(300, store.replace, "doc", compacted, expect=at).detail, (after,))
        expect_equal(store.append("doc", [entry("v3", "3")]), [after[0], 4])
        gone = store.delete("doc")
        expect_equal((gone[0] > after[0], gone[1]), (True, 0))
        expect_equal(store.load_all("doc"), ([], gone))
        expect_equal(store.delete("doc"), gone, "deleted twice")
        expect_equal(store.replace("new", [meta(META)])[1], 1)


@test("the rules of metadata, with their exact texts")
def _():
    other_type = META.replace('"plain",1', '"plain",2')
    other_mode = META.replace("serialized", "concurrent")
    with Daemon() as daemon, Store(daemon.socket) as store:
        expect_equal(expect_error(200, store.append, "doc", [entry("v", "x")]).message,
                     "Store: first record for doc 'doc' must be meta, got entry")
        expect_equal(expect_error(201, store.replace, "doc", [entry("v", "x")]).message,
                     "Store: batch must contain at least one meta record")
        store.append("doc", [meta(META)])
        expect_equal(expect_error(202, store.append, "doc", [meta(other_type)]).message,
                     "Store: replicaType mismatch for document — existing [plain,1,0] vs incoming [plain,2,0]")
        expect_equal(expect_error(203, store.append, "doc", [meta(other_mode)]).message,
                     "Store: syncMode mismatch for document — existing %s vs incoming %s" %
                     (SYNC_MODE, SYNC_MODE.replace("serialized", "concurrent")))
        expect_equal(expect_error(202, store.replace, "two", [meta(META), meta(other_type)]).message,
                     "Store: replicaType mismatch within batch — [plain,1,0] vs [plain,2,0]")
        expect_error(204, store.append, "doc", [meta("{}")])
        expect_error(204, store.append, "doc", [meta(META_OF_LAYOUT_1)])
        expect_equal(store.load_all("doc")[0], [meta(META)], "nothing of it was applied")
        expect_equal(list(store.list_doc_ids()), ["doc"])


@test("a store's layout follows from its first metadata, or from hello")
def _():
    with Daemon() as daemon:
        with Store(daemon.socket) as store:
            expect_equal(store.layout, 0)
            store.append("doc", [meta(META_OF_LAYOUT_1)])
        with Store(daemon.socket) as store:
            expect_equal(store.layout, 1)
        tables = {"meta": "other_meta", "records": "other records", "store": "other-store"}
        with Store(daemon.socket, store=tables) as store:
            expect_error(204, store.append, "doc", [meta(META_OF_LAYOUT_1)])
            store.resume()
            store.append("doc", [meta(META)])
        with Store(daemon.socket, store=tables) as store:
            expect_equal((store.layout, list(store.list_doc_ids())), (2, ["doc"]))
        daemon.stop()
        with sqlite3.connect(daemon.database) as database:
            names = {name for name, in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        expect_equal(names >= {"kyneta_meta", "kyneta_records", *tables.values()}, True, repr(names))
        database.close()


@test("sync, ping, stats")
def _():
    with Daemon() as daemon, Store(daemon.socket) as store:
        before = store.stats()
        store.append("doc", [meta(META)], durability=client.COMMITTED)
        store.append("doc", [entry("v", "x")], durability=client.SYNCED)
        store.sync()
        store.ping()
        after = store.stats()
        expect_equal(after["appends"] - before["appends"], 2)
        expect_equal({type(value) for value in after.values()} <= {int, str, dict}, True)


@test("many requests under way at once, in order per document")
def _():
    with Daemon() as daemon, Store(daemon.socket) as store:
        calls = []
        for document in ("a", "b", "c"):
            calls.append(store.submit(client.APPEND, document, [meta(META)]))
        for number in range(1000):
            for document in ("a", "b", "c"):
                calls.append(store.submit(client.APPEND, document, [entry(str(number), document)], client.COMMITTED))
        reads = [store.submit(client.CURRENT_META, document) for document in ("a", "b", "c")]
        for read in reads:
            expect_equal(read.result()[1][1], 1001, "a read sees the writes before it")
        for number, call in enumerate(calls):
            expect_equal(call.result()[0][1], number // 3 + 1)
        for document in ("a", "b", "c"):
            expect_equal([record[3] for record in store.load_all(document, limit=1000)[0][1:]], [str(n) for n in range(1000)])


@test("a replace between two pages makes the next one fail")
def _():
    with Daemon() as daemon, Store(daemon.socket) as store, Store(daemon.socket) as other:
        store.append("doc", [meta(META)] + [entry(str(n), "x" * 100) for n in range(100)])
        pages = store.pages("doc", limit=500)
        first, at = next(pages)
        other.append("doc", [entry("later", "")])
        next(pages)
        other.replace("doc", [meta(META)])
        expect_error(301, next, pages)
        expect_equal((first[0], at[1]), (meta(META), 101))


@test("a cursor outlives a restart, and belongs to one document")
def _():
    with Daemon() as daemon, Store(daemon.socket) as store:
        records = [meta(META)] + [entry(str(n), "x" * 100) for n in range(100)]
        store.append("doc", records)
        store.append("other", records)
        first, _, cursor = store.submit(client.LOAD_ALL, "doc", None, 500).result()
        daemon.restart()
        rest, _, cursor_after = store.submit(client.LOAD_ALL, "doc", cursor).result()
        expect_equal((first + rest, cursor_after), (records, None))
        expect_error(105, store.submit(client.LOAD_ALL, "other", cursor).result)
        expect_error(105, store.submit(client.LIST_DOC_IDS, None, cursor).result)
        docs, listing = store.submit(client.LIST_DOC_IDS, "", None, 1).result()
        expect_equal(docs, ["doc"])
        expect_error(105, store.submit(client.LIST_DOC_IDS, "other", listing).result)


@test("read-only access, exclusive access, stores that must exist")
def _():
    with Daemon() as daemon:
        expect_error(505, Store, daemon.socket, access=client.READ_ONLY)
        expect_error(505, Store, daemon.socket, store={"create": False})
        with Store(daemon.socket) as store:
            store.append("doc", [meta(META)])
            expect_error(403, Store, daemon.socket, access=client.EXCLUSIVE)
            with Store(daemon.socket, access=client.READ_ONLY) as reader:
                expect_equal(reader.load_all("doc")[0], [meta(META)])
                expect_error(402, reader.delete, "doc")
        with Store(daemon.socket, access=client.EXCLUSIVE) as owner:
            expect_error(403, Store, daemon.socket)
            with Store(daemon.socket, access=client.READ_ONLY) as reader:
                expect_equal(list(reader.list_doc_ids()), ["doc"])
            daemon.restart()
            expect_error(403, Store, daemon.socket)
            owner.append("doc", [entry("v", "x")])
        Store(daemon.socket).close()


@test("a failed write latches its document until resume")
def _():
    with Daemon() as daemon:
        with Store(daemon.socket) as store:
            store.append("doc", [meta(META)])
        with Connection(daemon.socket) as connection:
            connection.hello(access=client.READ_ONLY)
            expect_equal(connection.request(2, client.DELETE, "doc")[:2], [2, 402])
            expect_equal(connection.request(3, client.RESUME), [3, 0])
            expect_equal(connection.request(4, client.DELETE, "doc")[:2], [4, 402])
            expect_equal(connection.request(5, client.CURRENT_META, "doc")[2], META)


@test("what was sent twice is carried out once")
def _():
    session = bytes(range(16))
    with Daemon() as daemon:
        with Connection(daemon.socket) as first, Connection(daemon.socket) as second:
            expect_equal(first.hello(session=session)[5], 0)
            first.request(2, client.APPEND, "doc", [meta(META)])
            first.request(3, client.APPEND, "doc", [entry("v", "x")])
            first.request(4, client.APPEND, "none", [entry("v", "x")])
            through = second.hello(session=session)[5]
            expect_equal(through in (3, 4), True)
            expect_equal(first.receive(), None, "the first connection was taken over")
            expect_equal(second.request(3, client.APPEND, "doc", [entry("v", "x")])[3], True)
            expect_equal(second.request(4, client.APPEND, "none", [entry("v", "x")])[1], 200)
            expect_equal(second.request(5, client.CURRENT_META, "doc")[3][1], 2)
        daemon.crash()
        with Connection(daemon.socket) as third:
            expect_equal(third.hello(session=session)[5] in (3, 4), True, "through after a crash")
            expect_equal(third.request(3, client.APPEND, "doc", [entry("v", "x")])[2][1], 2)
            expect_equal(third.request(6, client.CLOSE), [6, 0])
            expect_equal(third.receive(), None)
        with Connection(daemon.socket) as fourth:
            expect_equal(fourth.hello(session=session)[5], 0, "the session ended with close")


@test("a crash under a client's feet is invisible to it")
def _():
    with Daemon() as daemon, Store(daemon.socket) as store:
        store.append("doc", [meta(META)])
        for life in range(5):
            calls = [store.submit(client.APPEND, "doc", [entry("%d.%d" % (life, n), "x")], client.COMMITTED) for n in range(100)]
            store.push()
            daemon.crash()
            for call in calls:
                call.result()
        versions = [record[3] for record in store.load_all("doc")[0][1:]]
        expect_equal(versions, ["%d.%d" % (life, n) for life in range(5) for n in range(100)])


@test("half-close: what was sent before it is carried out and answered")
def _():
    with Daemon() as daemon:
        with Connection(daemon.socket) as connection:
            connection.hello()
            connection.send(2, client.APPEND, "doc", [meta(META)])
            connection.send(3, client.LOAD_ALL, "doc")
            connection.half_close()
            expect_equal(connection.receive()[:2], [2, 0])
            expect_equal(connection.receive()[2], [meta(META)])
            expect_equal(connection.receive(), None)
        with Connection(daemon.socket) as connection:
            connection.hello()
            connection.send(2, client.DELETE, "doc")
        with Store(daemon.socket) as store:
            while store.current_meta("doc")[0] is not None:
                pass            # the delete was received; nothing says when it is carried out


@test("draining: told, then everything sent is answered, then the end")
def _():
    with Daemon() as daemon:
        with Connection(daemon.socket) as connection:
            connection.hello()
            connection.request(2, client.APPEND, "doc", [meta(META)])
            expect_equal(daemon.terminate(), 0)
            expect_equal(connection.receive(), [0, client.DRAINING_EVENT])
            expect_equal(connection.receive(), None)
        daemon.start()
        with Store(daemon.socket) as store:
            expect_equal(store.current_meta("doc")[0], META)


@test("a record larger than a page, and one as large as a frame may be")
def _():
    big = os.urandom(1 << 20) * 63
    with Daemon() as daemon, Store(daemon.socket) as store:
        store.append("doc", [meta(META), entry("small", "x")])
        store.append("doc", [entry("big", big)])
        store.append("doc", [entry("small again", "x")])
        sizes = []
        for records, _ in store.pages("doc"):
            sizes.append(len(records))
            if len(records) == 1 and records[0][3] == "big":
                expect_equal(records[0][4] == big, True)
        expect_equal(sizes, [2, 1, 1])


if __name__ == "__main__":
    main()
