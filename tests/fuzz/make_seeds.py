#!/usr/bin/env python3
"""Make seeds for the fuzz targets: make_seeds.py FOLDER

Recorded sessions (tests/fixtures, and those of $KYNETA_FIXTURES if they are there) are sent to a daemon frame by frame;
what went over the socket, and what is in the database afterwards, becomes inputs in FOLDER/TARGET, beside every row of
the table of bad input in PROTOCOL.md. Of inputs of the same shape only the first one is kept.
"""

import base64
import hashlib
import itertools
import json
import os
import sqlite3
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

import kyneta_store_client as client  # noqa: E402
import protocol_document  # noqa: E402
from harness import ROOT, Daemon  # noqa: E402
from kyneta_store_client import Connection, frame  # noqa: E402
from msgpack_subset import pack, unpack  # noqa: E402

FIXTURES = os.environ.get("KYNETA_FIXTURES") or os.path.join(ROOT, "..", "shared", "fixtures")
LARGEST = 2000          # bytes of a seed
CALLS_IN_ONE = 8        # of a connection's stream
CLIENT_CALLS = (client.APPEND, client.LOAD_ALL, client.LIST_DOC_IDS, client.CURRENT_META, client.REPLACE, client.DELETE,
                client.RESUME, client.SYNC, client.PING)    # as fuzz_client.c makes them, round and round
CLIENT_CALLS_MADE = 16

OPERATIONS = {"append": client.APPEND, "replace": client.REPLACE, "delete": client.DELETE, "currentMeta": client.CURRENT_META,
              "loadAll": client.LOAD_ALL, "listDocIds": client.LIST_DOC_IDS}


class Seeds:
    def __init__(self, folder):
        self.folder = folder
        self.shapes = set()
        self.count = 0

    def add(self, target, data, shape=None):
        """One input; a shape that has been seen already is passed over."""
        key = (target, data if shape is None else shape)
        if key in self.shapes or len(data) > LARGEST:
            return
        self.shapes.add(key)
        self.count += 1
        os.makedirs(os.path.join(self.folder, target), exist_ok=True)
        with open(os.path.join(self.folder, target, hashlib.sha1(data).hexdigest()), "wb") as file:
            file.write(data)


# ---- sessions -----------------------------------------------------------------------------------------------------------


def sessions():
    for folder, names in ((os.path.join(ROOT, "tests", "fixtures"), ("sample",)), (FIXTURES, ("session-small", "session-surrogates"))):
        for name, layout in itertools.product(names, (1, 2)):
            path = os.path.join(folder, "%s.v%d.ndjson" % (name, layout))
            if os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    yield layout, [json.loads(line) for line in file]


def text(value):
    """As JSON.stringify writes it."""
    return json.dumps(value, ensure_ascii=any(0xd800 <= ord(c) <= 0xdfff for c in json.dumps(value, ensure_ascii=False)),
                      separators=(",", ":"))


def scalar(value):
    """No lone surrogates: they cannot be sent."""
    return value.encode("utf-8", "replace").decode()


def record_of(recorded):
    if recorded["kind"] == "meta":
        return client.meta(text(recorded["meta"]))
    payload = recorded["payload"]
    data = payload["data"]
    return client.entry(scalar(recorded["version"]), base64.b64decode(data["$base64"]) if isinstance(data, dict) else scalar(data),
                        client.ENTIRETY if payload["kind"] == "entirety" else client.SINCE,
                        client.BINARY if payload["encoding"] == "binary" else client.JSON, payload.get("lineage"))


def request_of(call):
    """[operation, argument…], or None for what is no request."""
    operation = OPERATIONS.get(call["op"])
    try:
        records = [record_of(recorded) for recorded in call.get("records", [call["record"]] if "record" in call else [])]
    except (KeyError, TypeError):
        return None     # a record of an unknown kind, which cannot be sent
    if operation in (client.APPEND, client.REPLACE):
        return [operation, call["docId"], records]
    if operation == client.LIST_DOC_IDS:
        return [operation, call.get("prefix")]
    return None if operation is None else [operation, call["docId"]]


def shape_of(message):
    """What two messages have in common that only differ in their content."""
    if isinstance(message, (list, tuple)):
        inner = [shape_of(part) for part in message]
        return (len(inner),) + tuple(dict.fromkeys(inner))
    if isinstance(message, (str, bytes)):
        return type(message).__name__, len(message).bit_length() // 2, isinstance(message, str) and not message.isascii()
    return type(message).__name__, message if isinstance(message, int) and message < 16 else 0


def run_session(seeds, layout, calls):
    """Over a socket, and into the database."""
    with Daemon(durability="committed", page_bytes=1024) as daemon:
        with Connection(daemon.socket) as connection:
            hello = [1, client.HELLO, client.MAGIC, 1, 1, "seeds"]
            add_exchange(seeds, hello, connection.request(*hello))
            requests = [request for request in map(request_of, calls) if request is not None]
            for id, request in enumerate(requests + [[client.SYNC], [client.STATS], [client.RESUME], [client.PING]], 2):
                add_exchange(seeds, [id] + request, connection.request(id, *request))
        for start in range(0, len(requests), CALLS_IN_ONE):
            add_stream(seeds, layout, hello, requests[start:start + CALLS_IN_ONE])
        daemon.stop()
        add_rows(seeds, daemon.database)


def add_exchange(seeds, request, reply):
    """Both directions of one call."""
    shape = (request[1], shape_of(request[2:]))
    seeds.add("requests", pack(request), shape)
    seeds.add("frames", frame(pack(request)), shape)
    shape = (request[1], shape_of(reply[1:]))
    seeds.add("replies", bytes([request[1]]) + pack(reply), shape)
    seeds.add("frames", frame(pack(reply)), ("reply",) + shape)
    if request[1] in (client.APPEND, client.REPLACE):
        for record in request[3]:
            if record[0] == 0:
                seeds.add("metadata", record[1].encode(), shape_of(sorted(json.loads(record[1]))))
                seeds.add("metadata", record[1].encode() + b"\0" + record[1].encode().replace(b"plain", b"other"))


def add_stream(seeds, layout, hello, requests):
    stream = frame(pack(hello))
    for id, request in enumerate(requests, 2):
        stream += frame(pack([id] + request))
    shape = tuple(sorted({(request[0], shape_of(request[1:])) for request in requests}))
    seeds.add("connection", bytes([0, 0]) + stream, shape)
    seeds.add("connection", bytes([layout, 7]) + stream, ("there",) + shape)


def add_rows(seeds, path):
    database = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
    database.text_factory = bytes
    for kind, payload, blob in database.execute("SELECT kind, payload, blob FROM kyneta_records"):
        how = (4 if kind == b"meta" else 0) | (2 if blob is not None else 0)
        part = b"" if blob is None else bytes([min(len(blob), 255)]) + blob[:255]
        keys = tuple(json.loads(payload)) if kind != b"meta" else ()
        seeds.add("rows", bytes([how]) + part + payload, (how, keys, b"\\" in payload, payload.isascii(), len(payload).bit_length() // 2))
    database.close()


# ---- what no session holds ------------------------------------------------------------------------------------------------


def add_bad_inputs(seeds):
    for row in protocol_document.bad_inputs(protocol_document.read()):
        stream = b"".join(data for kind, data in row.sent if kind != "eof")
        seeds.add("connection", bytes([2, 0]) + stream)
        seeds.add("frames", stream)
        for kind, data in row.sent:
            if kind == "send" and len(data) > 4:
                seeds.add("requests", data[4:])


def add_hellos(seeds):
    """Every way to open a store, and a write."""
    meta = '{"replicaType":["plain",1,0],"%s":{"writerModel":"serialized","delivery":"delta-capable","durability":"persistent"},"schemaHash":"00"}'
    stores = (None, {"meta": "m", "records": "r"}, {"meta": "m", "records": "r", "store": "s"}, {"layout": 1}, {"layout": 2}, {"create": False})
    for store, access, session, layout in itertools.product(stores, (None, 1, 2), (None, b"0123456789abcdef"), (0, 1, 2)):
        stream = frame(pack([1, client.HELLO, client.MAGIC, 1, 1, None, store, access, session]))
        for id, operation in ((3, client.APPEND), (5, client.REPLACE)):
            stream += frame(pack([id, operation, "a", [client.meta(meta % ("syncProtocol" if layout == 1 else "syncMode")),
                                                       client.entry("1", "x")], 1, None]))
        stream += frame(pack([6, client.DELETE, "ab", 0, [1, 30]])) + frame(pack([7, client.CLOSE]))
        seeds.add("connection", bytes([layout, 64]) + stream)
        seeds.add("requests", stream[4:4 + struct.unpack(">I", stream[:4])[0]])


def add_replies(seeds):
    """What fuzz_client.c must hear to be content."""
    hello = [1, 0, 1, "daemon", 2, 0, 65536, 64, 1024]
    records = [client.meta('{"a":1}'), client.entry("1", "x"), client.entry("2", b"y", lineage="l")]
    results = {client.APPEND: [[1, 2], False], client.REPLACE: [[3, 1], True], client.DELETE: [[4, 0], False],
               client.LOAD_ALL: [records, [1, 6], b"cursor"], client.LIST_DOC_IDS: [["p1", "p2"], b"cursor"],
               client.CURRENT_META: ['{"a":1}', [1, 2]], client.RESUME: [], client.SYNC: [], client.PING: []}
    last = {client.LOAD_ALL: [records, [1, 6]], client.LIST_DOC_IDS: [["p3"]]}
    for start in range(len(CLIENT_CALLS)):
        made = [CLIENT_CALLS[(start + number) % len(CLIENT_CALLS)] for number in range(CLIENT_CALLS_MADE)]
        good = frame(pack(hello))
        for id, operation in enumerate(made, 2):
            good += frame(pack([id, 0] + results[operation]))
        for id, operation in enumerate([operation for operation in made if operation in last], 2 + CLIENT_CALLS_MADE):
            good += frame(pack([id, 0] + last[operation]))
        for flags in range(8):
            seeds.add("client", bytes([start << 3 | flags, 32 * flags]) + good)
        for code, outcome in ((300, 0), (301, None), (500, 0), (501, 1), (503, 0), (205, 0)):
            bad = frame(pack(hello)) + frame(pack([2, code, "message", outcome, [1, 2]]))
            seeds.add("client", bytes([start << 3, 0]) + bad + good[len(frame(pack(hello))):])
    seeds.add("client", bytes([0, 0]) + frame(pack([0, 1])) + frame(pack(hello)) + frame(pack([0, 1])))
    seeds.add("client", bytes([0, 0]) + frame(pack([1, 504, "message", None, "mixed-layouts"])))
    seeds.add("client", bytes([0, 0]) + frame(pack([0, 404, "message"])))


def add_cursors(seeds):
    numbers = (0, 1, 10, 11, 30, 31, 2 ** 32, 2 ** 63 - 1, 2 ** 63, 2 ** 64 - 1)
    for document, limit, next, end in itertools.product(range(4), (0, 20, 255), numbers, numbers):
        seeds.add("cursors", bytes([1 | document << 2, limit, 0]) + struct.pack(">QQ", next, end))
    for prefix, limit, last in itertools.product(range(4), (0, 255), (b"", b"a0", b"b2", b"b3", b"\xff", b"a\0b", "é".encode())):
        seeds.add("cursors", bytes([3 | prefix << 2, limit]) + last)
    for document in range(4):
        seeds.add("cursors", bytes([document << 2]))
        seeds.add("cursors", bytes([2 | document << 2]))
        seeds.add("cursors", bytes([document << 2, 1]) + bytes(32))


def add_records(seeds):
    texts = (b"", b"v", b'"\\/\b\f\n\r\t\x00\x1f\x7f', "é\u2028\U0001f600".encode(), b"\xed\xa0\x80", b"x" * 100)
    for how, version, lineage, data in itertools.product(range(1, 32, 2), texts, texts, texts):
        if how & 16 or not lineage:
            parts = bytes([len(version)]) + version + (bytes([len(lineage)]) + lineage if how & 16 else b"") + data
            seeds.add("rows", bytes([how]) + parts)


def add_versions(seeds):
    folder = os.path.join(FIXTURES, "versions")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        add_rows(seeds, os.path.join(folder, name))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.splitlines()[0])
    seeds = Seeds(sys.argv[1])
    for layout, calls in sessions():
        run_session(seeds, layout, calls)
    for add in (add_bad_inputs, add_hellos, add_replies, add_cursors, add_records, add_versions):
        add(seeds)
    print("%d seeds in %s" % (seeds.count, seeds.folder))


if __name__ == "__main__":
    main()
