#!/usr/bin/env python3
"""Backups as README.md tells to make them: while others write, of one moment, and good for a daemon to start on."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from harness import PROGRAM, ROOT, Daemon, expect_equal, main, test  # noqa: E402
from kyneta_store_client import COMMITTED, Store, entry, meta  # noqa: E402

STORECTL = os.environ.get("KYNETA_STORECTL_BIN") or os.path.join(
    os.path.dirname(os.path.dirname(PROGRAM)), "client", "ctl", "kyneta-storectl")
META = ('{"replicaType":["plain",1,0],"syncMode":{"writerModel":"serialized","delivery":"delta-capable",'
        '"durability":"persistent"},"schemaHash":"00"}')
DOCUMENTS = 10
LOG_BYTES = 1 << 16             # so small that it is moved into the database all the time
WAIT_SECONDS = 120              # a bound, not an expectation


class Writer(threading.Thread):
    """Appends 1, 2, 3 … to ten documents in turn until it is stopped, and tells what was acknowledged."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.store = Store(daemon.socket)
        self.acknowledged = 0           # appends in all
        self.changed = threading.Condition()
        self.stopping = False
        for number in range(DOCUMENTS):
            self.store.append("doc%d" % number, [meta(META)])

    def run(self):
        while not self.stopping:
            number = self.acknowledged
            self.store.append("doc%d" % (number % DOCUMENTS), [entry(str(number // DOCUMENTS), "x" * 1000)],
                              durability=COMMITTED)
            with self.changed:
                self.acknowledged += 1
                self.changed.notify_all()

    def wait_for(self, more):
        """Until so many more are acknowledged; how many there are then."""
        with self.changed:
            wanted = self.acknowledged + more
            if not self.changed.wait_for(lambda: self.acknowledged >= wanted, WAIT_SECONDS):
                raise AssertionError("the writer stands still at %d" % self.acknowledged)
            return self.acknowledged

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self.stopping = True
        self.join(WAIT_SECONDS)
        self.store.close()


def commands(text, paths):
    """The lines of README.md that make a backup, with other paths."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        block = next(block for block in re.findall(r"^```sh\n(.*?)^```", file.read(), re.M | re.S) if text in block)
    for path, other in paths.items():
        expect_equal(path in block, True, path)
        block = block.replace(path, other)
    return block


def run(script, **environment):
    result = subprocess.run(["bash", "-e", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            timeout=WAIT_SECONDS, env={**os.environ, **environment})
    expect_equal((result.returncode, result.stderr), (0, ""), script)


def appended(documents):
    """How many appends of the writer these documents hold: the first so many, and no other."""
    entries = {name: [record[3] for record in records[1:]] for name, records in documents.items()}
    total = sum(len(versions) for versions in entries.values())
    for number in range(DOCUMENTS):
        count = (total - number + DOCUMENTS - 1) // DOCUMENTS
        expect_equal(entries["doc%d" % number], [str(version) for version in range(count)], "doc%d" % number)
    return total


def documents_of(daemon):
    with Store(daemon.socket) as store:
        return {name: store.load_all(name)[0] for name in store.list_doc_ids()}


@test("a copy by SQLite under load is one moment of the database, and the daemon does not notice")
def _():
    with tempfile.TemporaryDirectory(prefix="kyneta-") as directory, Daemon(wal_bytes=LOG_BYTES) as daemon:
        backup = os.path.join(directory, "exchange.db")
        with Writer(daemon) as writer:
            before = writer.wait_for(500)
            run(commands("VACUUM INTO", {"/var/lib/kyneta-store/exchange.db": daemon.database,
                                         "/var/backups/exchange.db": backup}))
            after = writer.acknowledged
            writer.wait_for(100)
        expect_equal(os.stat(backup).st_mode & 0o777, 0o600, "mode of the backup")
        with Store(daemon.socket) as store:
            expect_equal(store.stats()["foreign_changes"], 0, "changes by another program")
        expect_equal(re.findall(r" (?:warning|error|critical): .*", daemon.log()), [], "complaints")

        database = sqlite3.connect(backup)
        expect_equal(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        database.close()
        # A start on the backup, and the way back into its place after a crash, which leaves a log.
        with Daemon(database=backup) as other:
            total = appended(documents_of(other))
            expect_equal(before <= total <= after + 1, True, "%d, %d, %d" % (before, total, after))
        daemon.kill()
        expect_equal(os.path.getsize(daemon.database + "-wal") > 0, True, "a log is left")
        for suffix in "-wal", "-shm":
            os.remove(daemon.database + suffix)
        shutil.copy(backup, daemon.database)
        daemon.start()
        expect_equal(appended(documents_of(daemon)), total, "what is there again")


@test("an export under load holds of each document what was there when its turn came, and imports into an empty store")
def _():
    with tempfile.TemporaryDirectory(prefix="kyneta-") as directory, Daemon(wal_bytes=LOG_BYTES) as daemon:
        backup = os.path.join(directory, "backup.ndjson")
        path = os.path.dirname(STORECTL) + os.pathsep + os.environ["PATH"]
        with Writer(daemon) as writer:
            before = writer.wait_for(500)
            run(commands("export > /var/backups", {"/var/backups/exchange.ndjson": backup}),
                PATH=path, KYNETA_STORE_SOCKET=daemon.socket)
            after = writer.wait_for(100)
        with Daemon() as other:
            run("kyneta-storectl import %s >/dev/null" % backup, PATH=path, KYNETA_STORE_SOCKET=other.socket)
            found = documents_of(other)
        expect_equal(len(found), DOCUMENTS)
        for name, records in found.items():
            versions = [record[3] for record in records[1:]]
            expect_equal(versions, [str(version) for version in range(len(versions))], name)
            expect_equal(before // DOCUMENTS <= len(versions) <= after // DOCUMENTS + 1, True, "%s: %d" % (name, len(versions)))


if __name__ == "__main__":
    main()
