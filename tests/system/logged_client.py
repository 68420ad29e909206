"""What the logs of logged_client.h mean, and the rows that a file must have for them."""

import collections
import json
import sqlite3

from harness import expect_equal


def position(word):
    """GENERATION.NEXT as a pair; None for -."""
    if word == "-":
        return None
    generation, next = word.split(".")
    return int(generation), int(next)


# ---- records ----------------------------------------------------------------------------------------------------------


def meta_json(name):
    return ('{"replicaType":["plain",1,0],"syncMode":{"writerModel":"concurrent","delivery":"delta-capable",'
            '"durability":"persistent"},"schemaHash":"%s"}' % name)


def data_of(word):
    weight = sum(word.encode())
    return word * (200 if weight % 61 == 0 else 1 + weight % 8)


def row_of(word):
    """A record's row: kind, payload, blob."""
    if word[0] == "m":
        return "meta", meta_json(word[1:]), None
    if word[0] == "s":
        return "entry", '{"kind":"since","encoding":"json","version":"%s","data":"%s"}' % (word, data_of(word)), None
    return "entry", '{"kind":"since","encoding":"binary","version":"%s"}' % word, data_of(word).encode()


def word_of(kind, payload):
    """The word of a row that row_of() may have made; compare with row_of() to know."""
    fields = json.loads(payload)
    return "m" + fields["schemaHash"] if kind == "meta" else fields["version"]


def record_of(word):
    """A record as it goes over the wire."""
    if word[0] == "m":
        return [0, meta_json(word[1:])]
    data = data_of(word)
    return [1, 1, 0, word, data] if word[0] == "s" else [1, 1, 1, word, data.encode()]


def word_of_record(record):
    """The word of a record that came over the wire; with ! before it if it is not whole."""
    word = "m" + json.loads(record[1])["schemaHash"] if record[0] == 0 else record[3]
    return word if record == record_of(word) else "!" + word


# ---- files ------------------------------------------------------------------------------------------------------------


def read_file(path):
    """The documents of a file, as rows; checked for what must hold whatever the clients did."""
    database = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
    try:
        expect_equal(database.execute("PRAGMA integrity_check").fetchone(), ("ok",))
        streams = collections.defaultdict(list)
        for document, seq, *row in database.execute(
                "SELECT doc_id, seq, kind, payload, blob FROM kyneta_records ORDER BY doc_id, seq"):
            expect_equal(seq, len(streams[document]), "%s: seq" % document)
            streams[document].append(tuple(row))
        metas = dict(database.execute("SELECT doc_id, data FROM kyneta_doc_meta"))
    finally:
        database.close()
    for document, rows in streams.items():
        expect_equal(metas.pop(document), [payload for kind, payload, _ in rows if kind == "meta"][-1], document)
    expect_equal(metas, {}, "documents without records")
    return dict(streams)
