#!/usr/bin/env python3
"""Large documents, many documents and slow readers cost neither memory nor log, and keep nobody waiting.

The clients are programs over libkyneta-store (big_client.c). A reader pauses for KYNETA_PAUSE_SECONDS (60); the million
documents are listed meanwhile, by another daemon. Under sanitizers everything is smaller, and memory means nothing.
"""

import concurrent.futures
import os
import select
import sqlite3
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

from harness import PROGRAM as DAEMON  # noqa: E402
from harness import SANITIZED, Daemon, DaemonFailed, expect_equal, main, note, test  # noqa: E402
from kyneta_store_client import Store  # noqa: E402

PROGRAM = os.path.join(os.path.dirname(DAEMON), "..", "tests", "system", "big-client")

MIB = 1 << 20
GROWTH_KIB = 16 << 10           # each side may grow by less
BIG, BIG_MIB = "big", 64 if SANITIZED else 1024
HOT, HOT_MIB = "hot", 8         # loaded without pause
LOADERS, WRITERS = 4, 2
PAUSE_SECONDS = float(os.environ.get("KYNETA_PAUSE_SECONDS", "2" if SANITIZED else "60"))
CHECKPOINTS = 5
LIMITS = {"wal_bytes": 32 * MIB, "batch_bytes": 8 * MIB, "readers": 2}
DOCUMENTS = 20000 if SANITIZED else 1000000
WAIT_SECONDS = 300              # a bound, not an expectation

META = ('{"replicaType":["plain",1,0],"syncMode":{"writerModel":"concurrent","delivery":"delta-capable",'
        '"durability":"persistent"},"schemaHash":"00"}')


# ---- clients ----------------------------------------------------------------------------------------------------------


class Client:
    """A big_client; as a context manager it ends at the latest with the block."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        bufsize=0)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def answer(self, kind):
        """The numbers of its next line, which must begin with @kind."""
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self.process.stdout], [], [], WAIT_SECONDS)[0]:
                raise DaemonFailed("big_client says nothing")
            got = os.read(self.process.stdout.fileno(), 1)
            if not got:
                raise DaemonFailed("big_client has ended")
            line += got
        words = line.decode().split()
        expect_equal(words[0], kind)
        return [int(word) for word in words[1:]]

    def go_on(self):
        self.process.stdin.write(b"\n")

    def last(self, kind):
        """Its last line; what it did, and how far its memory has grown, KiB."""
        count, before, peak = self.answer(kind)
        expect_equal(self.process.wait(WAIT_SECONDS), 0, "exit status")
        return count, peak - before


def run(kind, *arguments):
    with Client(*arguments) as client:
        return client.last(kind)


def expect_small(what, grown_kib):
    note("%s grew by %.1f MiB" % (what, grown_kib / 1024))
    expect_equal(SANITIZED or grown_kib < GROWTH_KIB, True, "%s grew by %d KiB" % (what, grown_kib))


class Growth:
    """How far a daemon's memory grows in the block, at its peak."""

    def __init__(self, daemon):
        self.daemon = daemon

    def __enter__(self):
        self.daemon.reset_peak_rss()
        self.before = self.daemon.rss_kib()

    def __exit__(self, kind, *exception):
        if kind is None:
            expect_small("the daemon", self.daemon.peak_rss_kib() - self.before)


def fill(daemon, document, mib):
    with Client("fill", daemon.socket, document, mib) as client:
        return client.answer("filled")[0]


# ---- many documents -----------------------------------------------------------------------------------------------------


def ids():
    """As bytes, in their order. Among them some that another collation would put elsewhere, and prefixes that a pattern
    would take for more than they are."""
    odd = ["", "\0", "a\0b", "Doc/1", "DOC/0", "döc/0", "doc", "doc/", "doc0", "doc.", "doc/\uffff", "doc/\U0001f600",
           "doc/" + "x" * 5000, "50%_\\", "50%_\\a", "50%a", "50x_\\a", "z\u2028", "\U0010ffff"]
    every = [id.encode() for id in odd] + [b"doc/%07d" % number for number in range(DOCUMENTS - len(odd))]
    return sorted(every)


def make_file(path, ids):
    """A store of layout 2 with these documents, as the reference would leave it."""
    database = sqlite3.connect(path)
    database.executescript("""
        PRAGMA page_size = 8192; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
        CREATE TABLE kyneta_doc_meta (doc_id TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
        CREATE TABLE kyneta_records (doc_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, payload TEXT,
            blob BLOB, PRIMARY KEY (doc_id, seq)) WITHOUT ROWID;
        CREATE TABLE kyneta_store_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
        INSERT INTO kyneta_store_meta VALUES ('format', '{"major":1,"minor":0}');""")
    rows = [(id.decode(), META) for id in ids]
    database.executemany("INSERT INTO kyneta_doc_meta VALUES (?, ?)", rows)
    database.executemany("INSERT INTO kyneta_records VALUES (?, 0, 'meta', ?, NULL)", rows)
    database.commit()
    database.close()


def check_listing(daemon, every, prefix=None):
    path = os.path.join(daemon.directory, "listing")
    arguments = [] if prefix is None else [prefix]
    expected = [id for id in every if id.startswith(os.fsencode(prefix or ""))]
    with Growth(daemon):
        count, grown = run("listed", "list", daemon.socket, path, *arguments)
    expect_equal(count, len(expected), "ids that begin with %r" % prefix)
    with open(path, "rb") as file:
        expect_equal(file.read() == b"".join(struct.pack(">I", len(id)) + id for id in expected), True,
                     "the ids that begin with %r, in their order" % prefix)
    os.unlink(path)
    expect_small("the client that lists %d" % count, grown)


def list_documents():
    daemon = Daemon()
    every = ids()
    make_file(daemon.database, every)
    with daemon:
        for prefix in (None, "", "doc/", "doc/01", "DOC/", "50%_\\", "doc/\U0001f600", "doc/x", "none"):
            check_listing(daemon, every, prefix)


class Later:
    """A function that is run on a thread from start() on, or by result()."""

    def __init__(self, function):
        self.function = function
        self.pool = concurrent.futures.ThreadPoolExecutor(1)
        self.future = None

    def start(self):
        self.future = self.future or self.pool.submit(self.function)

    def running(self):
        return self.future is not None and not self.future.done()

    def result(self):
        self.start()
        return self.future.result()


listing = Later(list_documents)


# ---- a large document -----------------------------------------------------------------------------------------------------

# Filled once; the test that comes first does it.
_big = {}


def big_daemon():
    if not _big:
        daemon = _big["daemon"] = Daemon(**LIMITS)
        daemon.start()
        _big["entries"] = fill(daemon, BIG, BIG_MIB)
        fill(daemon, HOT, HOT_MIB)
        daemon.restart() # with nothing in its caches
    return _big["daemon"]


@test("a document of %d MiB streams, and neither side grows by %d MiB" % (BIG_MIB, GROWTH_KIB >> 10))
def _():
    daemon = big_daemon()
    with Growth(daemon):
        entries, grown = run("streamed", "stream", daemon.socket, BIG, BIG_MIB)
    expect_equal(entries, _big["entries"])
    expect_small("the client", grown)


# ---- slow readers -------------------------------------------------------------------------------------------------------


def watch(daemon, store, before):
    """For as long as the pause is, and until there were checkpoints enough. Returns the size that the log's file had at most."""
    begun = time.monotonic()
    wal = 0
    while True:
        paused = time.monotonic() - begun
        complete = store.stats()["checkpoints_complete"] - before["checkpoints_complete"]
        wal = max(wal, daemon.wal_bytes())
        if paused >= PAUSE_SECONDS and complete >= CHECKPOINTS and not listing.running():
            note("paused for %.0f s: %d checkpoints" % (paused, complete))
            return wal
        if paused > PAUSE_SECONDS + WAIT_SECONDS:
            raise AssertionError("%d checkpoints in %.0f s, and the listing %s" %
                                 (complete, paused, "runs" if listing.running() else "is done"))
        time.sleep(0.02)


def check_log(stats, wal):
    bound = LIMITS["wal_bytes"] + LIMITS["batch_bytes"]
    note("the log had at most %.1f MiB, its file %.1f; the bound is %.1f" %
         (stats["wal_peak_bytes"] / MIB, wal / MIB, bound / MIB))
    expect_equal(LIMITS["wal_bytes"] < stats["wal_peak_bytes"] <= bound, True, "wal_peak_bytes")
    expect_equal(wal <= bound, True, "the file of the log")


def check_gate(stats):
    """When the writer starts the log over it waits for pages that are being read, and for no other."""
    note("readers were kept out for at most %.1f ms; at most %d pages were waited for" %
         (stats["gate_closed_max_us"] / 1000, stats["gate_pages_max"]))
    expect_equal(0 < stats["gate_pages_max"] <= LIMITS["readers"], True, "pages that a checkpoint waited for")


@test("two readers pause for %g s, %d clients load and %d write: the log stays bounded" % (PAUSE_SECONDS, LOADERS, WRITERS))
def _():
    daemon = big_daemon()
    # One holds its stream; the other does not even read its socket.
    readers = [Client("stream", daemon.socket, BIG, BIG_MIB, how) for how in ("pause", "stop")]
    loaders = [Client("load", daemon.socket, HOT, HOT_MIB) for _ in range(LOADERS)]
    writers = [Client("write", daemon.socket, number) for number in range(WRITERS)]
    try:
        for client, begun in [(client, "paused") for client in readers] + [(client, "begun") for client in loaders + writers]:
            client.answer(begun)
        listing.start()
        with Store(daemon.socket) as store:
            wal = watch(daemon, store, store.stats())
            for client in readers:
                client.go_on()
            results = [("reader", client.last("streamed")) for client in readers]
            for client in loaders + writers:
                client.process.stdin.close()
            results += [("loader", client.last("loaded")) for client in loaders]
            results += [("writer", client.last("wrote")) for client in writers]
            wal = max(wal, daemon.wal_bytes())
            stats = store.stats()
    finally:
        for client in readers + loaders + writers:
            client.__exit__()
    for who, (count, grown) in results:
        note("%s: %d" % (who, count))
        if who != "writer":
            expect_small(who, grown)
    expect_equal([count for who, (count, _) in results if who == "reader"], [_big["entries"]] * len(readers))
    check_log(stats, wal)
    check_gate(stats)


@test("%d documents are listed in the order of their bytes, in constant memory" % DOCUMENTS)
def _():
    listing.result()


if __name__ == "__main__":
    try:
        main()
    finally:
        if _big:
            _big["daemon"].__exit__(sys.exc_info()[0] if sys.exc_info()[0] is not SystemExit else None)
