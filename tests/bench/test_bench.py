#!/usr/bin/env python3
"""kyneta-store-bench measures what it says: the work that was asked for, all of it, beside a yardstick that did the same."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from harness import ROOT, Daemon, expect_equal, main, test  # noqa: E402
from kyneta_store_client import Store  # noqa: E402

BENCH = os.path.join(os.environ.get("KYNETA_BUILD", os.path.join(ROOT, "build")), "tests", "bench", "kyneta-store-bench")
SHORT = ["--rounds", "1", "--seconds", "0.2", "--warm-up", "0.05"]


def run(*options, folder, status=0):
    done = subprocess.run([BENCH, "--folder", folder, *map(str, options)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode != status:
        raise AssertionError("status %d, expected %d: %s" % (done.returncode, status, done.stderr))
    expect_equal([name for name in os.listdir(folder) if name.startswith("kyneta-bench")], [], "left behind")
    return done


def measure(*options):
    with tempfile.TemporaryDirectory(prefix="kyneta-") as folder:
        return json.loads(run("--json", *options, folder=folder).stdout)


def appended(daemon):
    with Store(daemon.socket) as client:
        return client.stats()["appends"]


@test("without options it prints the first figure: at 8 x 64 at least five times the loop")
def _():
    with tempfile.TemporaryDirectory(prefix="kyneta-") as folder:
        printed = run(*SHORT, folder=folder).stdout
    for row in ("SQLite, one transaction each", "daemon, 1 x 1 in flight", "daemon, 8 x 1 in flight", "daemon, 8 x 64 in flight"):
        if row not in printed:
            raise AssertionError("%r is not in %s" % (row, printed))
    ratio = float(printed.split("8 x 64 in flight")[1].split()[1])
    if ratio < 5:
        raise AssertionError("8 x 64 is %.2f times the loop" % ratio)


@test("exactly as many requests as asked for, over connections, documents and generators")
def _():
    with Daemon() as daemon:
        measure("--address", daemon.socket, "--connections", 7, "--in-flight", 3, "--generators", 2, "--documents", 5,
                "--requests", 1001, "--rounds", 1)
        # … and one for each document's metadata
        expect_equal(appended(daemon), 1006)


@test("every operation of a mix, on bytes and text")
def _():
    for text in ([], ["--text"]):
        found = measure("--mix", "append=2,replace=1,load_all=1,current_meta=1,list=1", "--documents", 20, "--records", 3,
                        "--matches", 10, "--connections", 4, "--in-flight", 8, *text, *SHORT)
        if not found["store"]["median"]["rate"] > 0 or not found["store"]["median"]["items_rate"] > 0:
            raise AssertionError(found)


# The benchmark compares both databases itself, and fails if they differ.
@test("the yardstick does the daemon's work in the daemon's batches")
def _():
    for words in (["--connections", 1], ["--connections", 8, "--in-flight", 64], ["--mix", "append=3,replace=1", "--text"],
                  ["--documents", 100, "--connections", 4, "--in-flight", 8, "--durability", "committed", "--raw-defaults"],
                  ["--bytes", 0], ["--bytes", 300000, "--connections", 2], ["--in-flight", 64, "--", "--wal-bytes", "256K"]):
        found = measure("--raw", *SHORT, *words)
        batches = found["store"]["median"]["batch"], found["raw"]["median"]["batch"]
        if "--mix" not in words and not 0.5 < batches[0] / batches[1] < 2:
            raise AssertionError("%s: batches of %g and %g" % (words, *batches))
        if "--wal-bytes" in words and not found["raw"]["median"]["checkpoints"] > 0:
            raise AssertionError("the daemon's checkpoints are not there")


@test("recorded calls are sent again, by each host to documents of its own")
def _():
    meta = {"replicaType": ["x", 1, 0], "schemaHash": "00",
            "syncMode": {"writerModel": "serialized", "delivery": "delta-capable", "durability": "persistent"}}
    entry = {"kind": "entry", "version": "é", "payload": {"kind": "since", "encoding": "binary", "data": {"$base64": "AAEC"}}}
    calls = [{"op": "open"}, {"op": "append", "docId": "a\n", "record": {"kind": "meta", "meta": meta}},
             *[{"op": "append", "docId": "a\n", "record": entry}] * 8, {"op": "currentMeta", "docId": "a\n", "expect": None}]
    with tempfile.TemporaryDirectory(prefix="kyneta-") as folder:
        path = os.path.join(folder, "trace.ndjson")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(call) + "\n" for call in calls)
        with Daemon() as daemon:
            # 10 calls of the file: three passes of two hosts
            measure("--address", daemon.socket, "--trace", path, "--connections", 2, "--requests", 60, "--rounds", 1)
            expect_equal(appended(daemon), 54)
            with Store(daemon.socket) as client:
                documents = list(client.list_doc_ids())
            expect_equal(len(documents), 6, "documents")
        measure("--trace", path + ":2-10", "--raw", "--in-flight", 16, *SHORT)


@test("a slow fsync slows the daemon, the yardstick and processes alike")
def _():
    for words in (["--raw"], ["--backend", "processes"]):
        found = measure("--slow-fsync", 20, *SHORT, *words)
        for name in ("store", "raw"):
            if name in found and not found[name]["median"]["p50_us"] >= 19800:
                raise AssertionError("%s %s" % (name, found[name]))


@test("an open loop charges a stall to all that had to wait, a closed one to those that were in flight")
def _():
    for words, least in ((["--rate", "200"], 0.9), ([], 0)):
        with Daemon() as daemon, tempfile.TemporaryDirectory(prefix="kyneta-") as folder:
            bench = subprocess.Popen([BENCH, "--folder", folder, "--json", "--address", daemon.socket, "--rounds", "1", "--warm-up", "0",
                                      "--seconds", "2", "--durability", "committed", *words], stdout=subprocess.PIPE, text=True)
            while appended(daemon) < 20:
                pass
            # As long as the stall is long, whoever is slow meanwhile.
            daemon.signal(signal.SIGSTOP)
            time.sleep(1)
            daemon.signal(signal.SIGCONT)
            found = json.loads(bench.communicate()[0])["store"]["median"]
        # 200 of 400 were due during the stall, and waited half of it on average.
        if words and found["p99_us"] < least * 1e6:
            raise AssertionError("the stall is missing: %s" % found)
        if not words and found["p99_us"] > 500000:
            raise AssertionError("one request of thousands waited, not one of a hundred: %s" % found)
        if found["max_us"] < 900000:
            raise AssertionError("nobody waited: %s" % found)


@test("idle connections and a large load beside the work")
def _():
    found = measure("--idle", 50, "--load-beside", "2M", "--connections", 2, *SHORT)["store"]["median"]
    if not found["beside_rate"] > 0 or not found["memory_kib"] > 0:
        raise AssertionError(found)


@test("hostile prints the p99 of a client alone, beside an attack, and under it")
def _():
    with tempfile.TemporaryDirectory(prefix="kyneta-") as folder:
        output = os.path.join(folder, "figures")
        done = subprocess.run([os.path.join(ROOT, "tests", "bench", "hostile"), "--build", os.path.join(os.path.dirname(BENCH), "../.."),
                               "--rounds", "1", "--seconds", "0.2", "--folder", folder, "--output", output, "storm", "descriptors"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        expect_equal(done.returncode, 0, done.stderr)
        with open(output, encoding="utf-8") as file:
            found = json.load(file)
        expect_equal(os.listdir(folder), ["figures"], "left behind")
    expect_equal({name: list(subjects) for name, subjects in found.items()},
                 dict.fromkeys(("storm", "descriptors"), ["alone", "beside", "attacked"]))
    if not all(round["p99_us"] > 0 for subjects in found.values() for rounds in subjects.values() for round in rounds):
        raise AssertionError(found)
    if len([line for line in done.stdout.splitlines() if line.count("**") == 4]) != 2:
        raise AssertionError(done.stdout)


@test("bad options: one line that names them, status 2")
def _():
    with tempfile.TemporaryDirectory(prefix="kyneta-") as folder:
        for words in (["--connections", "0"], ["--mix", "appendix"], ["--mix", "append=0"], ["--durability", "maybe"],
                      ["--backend", "paper"], ["--fast"], ["--bytes", "12q"], ["--raw", "--mix", "current_meta"]):
            lines = run(*words, folder=folder, status=2).stderr.splitlines()
            if len(lines) != 1 or words[0] not in lines[0]:
                raise AssertionError("%s: %s" % (words, lines))


@test("a measurement that is broken off leaves nothing behind")
def _():
    with tempfile.TemporaryDirectory(prefix="kyneta-") as folder:
        bench = subprocess.Popen([BENCH, "--folder", folder, "--json", "--raw", "--seconds", "600"])
        while not any(os.path.exists(os.path.join(folder, name, "bench.db-wal")) for name in os.listdir(folder)):
            time.sleep(0.01)
        bench.terminate()
        bench.wait()
        expect_equal(os.listdir(folder), [])


if __name__ == "__main__":
    main()
