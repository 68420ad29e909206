#!/usr/bin/env python3
"""A disk that is full, on small file systems in memory: what goes on, what is refused, and that nothing is torn.

The tests mount a file system of their own, in a mount namespace that ends with them (unshare(1)): as root, or where users
may have namespaces.
"""

import errno
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from harness import Daemon, DaemonFailed, expect_equal, main, note, test  # noqa: E402
from kyneta_store_client import (APPEND, NOT_APPLIED, Connection, Store, StoreError, entry, meta)  # noqa: E402

META = ('{"replicaType":["plain",1,0],"syncMode":{"writerModel":"serialized","delivery":"delta-capable",'
        '"durability":"persistent"},"schemaHash":"00"}')
DISK_FULL = 500
CANNOT_START_NOW = 5
PATIENCE_SECONDS = 60

KIB, MIB = 1 << 10, 1 << 20
WAL = 256 * KIB
RESERVE = WAL + 16 * MIB        # the least that goes with such a log
ROOM = 8 * MIB                  # beside the reserve
INODES = 64


class FullDisk(Daemon):
    """A daemon whose folder is a file system of its own, with a ballast in it that can be taken out."""

    def __init__(self, ballast=0, room=ROOM, **options):
        super().__init__(wal_bytes=WAL, reserve_bytes=RESERVE, **options)
        subprocess.check_call(["mount", "-t", "tmpfs", "-o", "size=%d,nr_inodes=%d" % (RESERVE + room, INODES),
                               "kyneta-test", self.directory])
        self.ballast = os.path.join(self.directory, "ballast")
        self.reserve = self.database + ".reserve"
        self.load(ballast)

    def load(self, size=None):
        """Take so much of the space, or all that is left. Returns how much that was."""
        taken = 0
        with open(self.ballast, "ab", buffering=0) as file:
            try:
                while size is None or taken < size:
                    taken += file.write(bytes(min(64 * KIB, size - taken if size is not None else 64 * KIB)))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        return taken

    def unload(self):
        os.unlink(self.ballast)

    def reserve_bytes(self):
        return os.stat(self.reserve).st_blocks * 512 if os.path.exists(self.reserve) else 0

    def check(self, expected):
        """Stop it; the database is whole, and has exactly these documents: {id: entries' versions}."""
        self.stop()
        database = sqlite3.connect(self.database)
        expect_equal(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        database.close()
        self.start()
        with Store(self.socket) as store:
            expect_equal(sorted(store.list_doc_ids()), sorted(expected))
            for document, versions in expected.items():
                expect_equal([record[3] for record in store.load_all(document)[0] if record[0] == 1], versions, document)

    def _remove(self):
        subprocess.check_call(["umount", "--lazy", self.directory])
        super()._remove()


def data(size):
    return os.urandom(size)


def refused(call, *arguments, **options):
    """The call finds no space, and says that nothing was done."""
    try:
        call(*arguments, **options)
    except StoreError as error:
        expect_equal((error.code, error.outcome), (DISK_FULL, NOT_APPLIED), str(error))
        return
    raise AssertionError("there is space on a full disk")


def fill(store, document, size, expected, most=10000):
    """Append until there is no space; returns how many found some."""
    versions = expected.setdefault(document, [])
    before = len(versions)
    if not versions:
        store.append(document, [meta(META)])
    while len(versions) - before < most:
        version = str(len(versions))
        try:
            store.append(document, [entry(version, data(size))])
        except StoreError as error:
            expect_equal((error.code, error.outcome), (DISK_FULL, NOT_APPLIED), str(error))
            store.resume()
            return len(versions) - before
        versions.append(version)
    return most


def until_written(store, document, version, size, expected):
    """There is space again: it is noticed, sooner or later and without a restart."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            store.append(document, [entry(version, data(size))])
            expected[document].append(version)
            return
        except StoreError as error:
            expect_equal((error.code, error.outcome), (DISK_FULL, NOT_APPLIED), str(error))
            store.resume()
        if time.monotonic() > end:
            raise AssertionError("there is space, and nothing is written")


def versions_of(store, document):
    return [record[3] for record in store.load_all(document)[0] if record[0] == 1]


# ---- full ---------------------------------------------------------------------------------------------------------


@test("full: writes are refused, reads, deletes and replaces go on, what is free inside is used, and then it is over")
def _():
    expected = {}
    with FullDisk(ballast=4 * MIB) as daemon, Store(daemon.socket) as store:
        for document in ("a", "b", "c"):
            fill(store, document, 8000, expected, most=60)
        expect_equal(daemon.reserve_bytes(), RESERVE)
        filled = fill(store, "big", 8000, expected)
        note("%d records of 8,000 bytes fit beside the reserve" % filled)
        expect_equal(daemon.reserve_bytes(), 0)
        expect_equal(store.stats()["disk_is_full"], 1)

        # Refused: whatever needs more than is there.
        refused(store.append, "new", [meta(META)])
        refused(store.append, "a", [entry("x", b"x")])
        refused(store.replace, "a", [meta(META), entry("x", data(32 * MIB))])
        store.resume()

        # Reads.
        for document, versions in expected.items():
            expect_equal(versions_of(store, document), versions, document)
        expect_equal(list(store.list_doc_ids()), sorted(expected))
        expect_equal(store.current_meta("a")[0], META)

        # Replaces: by less, by as much in more records than there were, and by what is spare.
        store.replace("b", [meta(META), entry("half", data(30 * 8000))])
        store.replace("c", [meta(META)] + [entry(str(i), data(800)) for i in range(600)])
        expected["b"], expected["c"] = ["half"], [str(i) for i in range(600)]
        store.replace("d", [meta(META), entry("spare", data(MIB))])
        expected["d"] = ["spare"]

        # What a delete has freed is there for everybody, although the disk is as full as before.
        store.delete("big")
        del expected["big"]
        expect_equal(store.stats()["disk_is_full"], 1)
        refused(store.append, "a", [entry("x", data(10 * MIB))])            # beyond what is unused
        refused(store.replace, "b", [meta(META), entry("x", data(12 * MIB))])   # and what is spare; the log has room
        store.resume()
        again = fill(store, "instead", 8000, expected)
        note("%d fit into what %d of them left" % (again, filled))
        if not 0.9 * filled < again <= 1.2 * filled + 60:
            raise AssertionError("%d records fit where %d were" % (again, filled))
        refused(store.append, "a", [entry("x", data(100000))])
        store.resume()

        # Space returns.
        daemon.unload()
        until_written(store, "a", "after", 100, expected)
        expect_equal(store.stats()["disk_is_full"], 0)
        expect_equal(daemon.reserve_bytes(), RESERVE)
        fill(store, "b", 8000, expected, most=60)
        expect_equal(daemon.log().count("the disk is full"), 1)
        expect_equal(daemon.log().count("there is space on the disk again"), 1)
        daemon.check(expected)


@test("full for good: a thousand deletes, and replaces of as much, find room; a stop is clean")
def _():
    with FullDisk() as daemon, Store(daemon.socket) as store:
        names = ["small %d" % i for i in range(1000)]
        for call in [store.submit(APPEND, name, [meta(META), entry("0", data(300))]) for name in names]:
            call.result()
        expected = {name: ["0"] for name in names}
        store.append("again", [meta(META), entry("r", data(100000))])
        fill(store, "big", 8000, expected)
        daemon.load()           # others take what the reserve gave back, but for what the log has
        for i in range(20):
            store.replace("again", [meta(META), entry("r%d" % i, data(100000))])
        expected["again"] = ["r19"]
        daemon.unload()
        daemon.load(4 * MIB)
        for name in names:
            store.delete(name)
            del expected[name]
        daemon.check(expected)


@test("one write that is too large for a full disk spoils no other in its batch")
def _():
    expected = {}
    with FullDisk() as daemon, Store(daemon.socket) as store:
        fill(store, "a", 8000, expected, most=60)
        fill(store, "b", 8000, expected)
        daemon.load()           # nothing is left but what the log has
        with Connection(daemon.socket) as connection:
            connection.hello()
            other = sqlite3.connect(daemon.database, timeout=PATIENCE_SECONDS, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")        # until all of them are there
            for id in range(2, 22):
                if id % 2:
                    connection.send(id, 4, "nothing %d" % id)
                else:
                    connection.send(id, 3, "b" if id == 2 else "c %d" % id, [meta(META), entry("x", data(MIB if id == 2 else 100))])
            end = time.monotonic() + PATIENCE_SECONDS
            while store.stats()["requests_in_flight"] < 21 and time.monotonic() < end:
                pass
            other.execute("ROLLBACK")
            other.close()
            codes = {}
            for _ in range(20):
                reply = connection.receive()
                codes[reply[0]] = reply[1]
        expect_equal(codes, {id: DISK_FULL if id == 2 else 0 for id in range(2, 22)})
        expected.update({"c %d" % id: ["x"] for id in range(4, 22, 2)})
        daemon.stop()           # the log stays, if the database cannot grow by it
        daemon.unload()
        daemon.start()
        daemon.check(expected)


class Writer(threading.Thread):
    """Appends in a pipeline of its own for as long as it is asked to, and keeps what was acknowledged."""

    def __init__(self, daemon, name):
        super().__init__()
        self.name, self.acknowledged, self.refused, self.failure = name, [], 0, None
        self.stopping = threading.Event()
        self.store = Store(daemon.socket)
        self.store.append(name, [meta(META)])

    def run(self):
        try:
            number = 0
            while not self.stopping.is_set():
                calls = []
                for number in range(number + 1, number + 9):
                    calls.append((str(number), self.store.submit(APPEND, self.name, [entry(str(number), data(3000))])))
                self._collect(calls)
        except Exception as failure:
            self.failure = failure

    def _collect(self, calls):
        for version, call in calls:
            try:
                call.result()
                self.acknowledged.append(version)
            except StoreError as error:
                expect_equal((error.code, error.outcome), (DISK_FULL, NOT_APPLIED), str(error))
                self.refused += 1
        if self.refused:
            self.store.resume()

    def finish(self):
        self.stopping.set()
        self.join()
        self.store.close()
        if self.failure:
            raise self.failure


@test("others fill the disk and empty it, again and again, under writers: each acknowledged write is there once")
def _():
    with FullDisk(room=24 * MIB) as daemon:
        writers = [Writer(daemon, "writer %d" % i) for i in range(4)]
        with Store(daemon.socket) as store:
            for writer in writers:
                writer.start()
            for _ in range(3):
                before = store.stats()["appends"]
                daemon.load()
                until(store, lambda stats: stats["disk_is_full"] == 1)
                full = store.stats()["errors"]
                until(store, lambda stats: stats["errors"] > full + 50)
                daemon.unload()
                until(store, lambda stats: stats["disk_is_full"] == 0 and stats["appends"] > before + 100)
            for writer in writers:
                writer.finish()
            expect_equal(sum(writer.refused for writer in writers) > 0, True, "writes refused")
            note("%d writes acknowledged, %d refused; found full %d times" % (
                sum(len(writer.acknowledged) for writer in writers), sum(writer.refused for writer in writers),
                store.stats()["disk_full"]))
        daemon.check({writer.name: writer.acknowledged for writer in writers})


def until(store, condition):
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition(store.stats()):
        if time.monotonic() > end:
            raise AssertionError(store.stats())


# ---- starting on a full disk --------------------------------------------------------------------------------------


@test("a start on a full disk has the reserve's space to recover, reads and deletes, and later everything")
def _():
    expected = {}
    with FullDisk() as daemon:
        with Store(daemon.socket) as store:
            fill(store, "a", 8000, expected, most=25)
            daemon.kill()       # with a log that must be moved
            daemon.load()
            daemon.start()
            expect_equal(versions_of(store, "a"), expected["a"])
            daemon.load()       # what the log had
            refused(store.append, "a", [entry("x", data(100000))])
            store.resume()
            store.replace("a", [meta(META), entry("x", data(100000))])
            expected["a"] = ["x"]
            daemon.unload()
            until_written(store, "a", "after", 8000, expected)
        daemon.check(expected)


@test("a full disk without a reserve: one line and no start, and a start when there is space")
def _():
    expected = {}
    with FullDisk() as daemon:
        with Store(daemon.socket) as store:
            fill(store, "a", 8000, expected, most=100)
        daemon.kill()
        os.unlink(daemon.reserve)
        os.unlink(daemon.database + "-shm")
        daemon.load()
        try:
            daemon.start()
        except DaemonFailed:
            expect_equal(daemon.process.returncode, CANNOT_START_NOW)
        else:
            raise AssertionError("it starts without space for its log's index")
        daemon.unload()
        daemon.start()
        daemon.check(expected)


# ---- inodes -------------------------------------------------------------------------------------------------------


def use_up_inodes(daemon):
    made = []
    try:
        for _ in range(2 * INODES):
            made.append(tempfile.mktemp(dir=daemon.directory))
            os.close(os.open(made[-1], os.O_CREAT | os.O_WRONLY))
    except OSError as error:
        expect_equal(error.errno, errno.ENOSPC)
        made.pop()
        return made
    raise AssertionError("there are more inodes than %d" % INODES)


@test("no inode is left: a daemon that runs needs none; one that does not start says so, and starts when there are some")
def _():
    expected = {}
    with FullDisk() as daemon:
        with Store(daemon.socket) as store:
            store.append("a", [meta(META)])
            expected["a"] = []
            made = use_up_inodes(daemon)
            fill(store, "a", 8000, expected, most=100)     # beyond a checkpoint
            store.replace("b", [meta(META), entry("0", data(100000))])
            expected["b"] = ["0"]
            expect_equal(store.stats()["disk_full"], 0)
            store.close()
        daemon.stop()
        made += use_up_inodes(daemon)
        try:
            daemon.start()
        except DaemonFailed:
            expect_equal(daemon.process.returncode, CANNOT_START_NOW)
        else:
            raise AssertionError("it starts without inodes for its log")
        if "no inode is left" not in daemon.log():
            raise AssertionError("it does not say what is missing")
        for path in made:
            os.unlink(path)
        daemon.start()
        daemon.check(expected)


if __name__ == "__main__":
    if os.environ.get("KYNETA_OWN_MOUNTS") != "1":
        os.environ["KYNETA_OWN_MOUNTS"] = "1"
        words = ["unshare", "--mount"] + ([] if os.getuid() == 0 else ["--map-root-user"])
        os.execvp(words[0], words + [sys.executable] + sys.argv)
    main()
