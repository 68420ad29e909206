"""Records by name, what they are on the wire and in the file, and what the documents of a file hold.

A record has a name, a word, that no other record has: m… is metadata, t… an entry with text, b… one with bytes, B… one
with so many that it takes pages of its own. Its content follows from its name, so that half of it, or another's, shows.
"""

import hashlib
import sqlite3

from kyneta_store_client import entry, meta

# A store's tables: metadata, records, format. The first is the one that a hello without names gets.
STORES = {
    "default": ("kyneta_doc_meta", "kyneta_records", "kyneta_store_meta"),
    "second": ("second meta", "second records", "second store"),
}


class Broken(Exception):
    """A promise was broken: what is, against what should be."""


def table_names(store):
    """What a hello says to get this store."""
    return None if store == "default" else dict(zip(("meta", "records", "store"), STORES[store]))


def meta_json(word):
    return ('{"replicaType":["plain",1,0],"syncMode":{"writerModel":"concurrent","delivery":"delta-capable",'
            '"durability":"persistent"},"schemaHash":"%s"}' % word)


def text_of(word):
    return "%s, text " % word * 4


_bytes = {}


def bytes_of(word):
    if word not in _bytes:
        _bytes[word] = hashlib.shake_128(word.encode()).digest(12000 if word[0] == "B" else 1200)
    return _bytes[word]


def record_of(word):
    """As it goes over the wire."""
    if word[0] == "m":
        return meta(meta_json(word))
    return entry(word, text_of(word) if word[0] == "t" else bytes_of(word))


def row_of(word):
    """As it lies in the file: kind, payload, blob."""
    if word[0] == "m":
        return "meta", meta_json(word), None
    if word[0] == "t":
        return "entry", '{"kind":"since","encoding":"json","version":"%s","data":"%s"}' % (word, text_of(word)), None
    return "entry", '{"kind":"since","encoding":"binary","version":"%s"}' % word, bytes_of(word)


_words = {}


def words_of(rows, words):
    """The names of these rows, among @words; Broken if one is none of them, or not whole."""
    for word in words:
        _words.setdefault(row_of(word), word)
    try:
        return tuple(_words[row] for row in rows)
    except KeyError as row:
        raise Broken("a record that nobody wrote: %.200s" % row) from None


def read_file(path):
    """store -> document -> rows; checked for what must hold whatever anybody did. Nobody may be writing."""
    try:
        database = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
        try:
            found = database.execute("PRAGMA integrity_check").fetchone()[0]
            if found != "ok":
                raise Broken("integrity_check: " + found)
            tables = {name for name, in database.execute("SELECT name FROM sqlite_master")}
            return {store: _read_store(database, *STORES[store]) if STORES[store][1] in tables else {}
                    for store in STORES}
        finally:
            database.close()
    except sqlite3.Error as error:
        raise Broken("the file cannot be read: %s" % error) from None


def _read_store(database, metas, records, _):
    streams = {}
    for document, seq, *row in database.execute(
            'SELECT doc_id, seq, kind, payload, blob FROM "%s" ORDER BY doc_id, seq' % records):
        rows = streams.setdefault(document, [])
        if seq != len(rows):
            raise Broken("%s: record %d stands in place %d" % (document, seq, len(rows)))
        rows.append(tuple(row))
    index = dict(database.execute('SELECT doc_id, data FROM "%s"' % metas))
    if index != {document: [payload for kind, payload, _ in rows if kind == "meta"][-1]
                 for document, rows in streams.items()}:
        raise Broken("the index of metadata is not that of the streams")
    return streams
