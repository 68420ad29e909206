#!/usr/bin/env python3
"""Helgrind and memcheck over short workloads: a second opinion on races, and no wrong access and no leak, to the end.

The library and the daemon together in one process (races.c), and then each as itself: kyneta-stored and kyneta-storectl.
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

import kyneta_store_client as client  # noqa: E402
import protocol_document as document  # noqa: E402
from harness import ROOT, Daemon, expect_equal, main, test  # noqa: E402
from kyneta_store_client import Connection, Store, entry, meta  # noqa: E402

BUILD = os.environ.get("KYNETA_BUILD") or os.path.join(ROOT, "build")
STORECTL = os.environ.get("KYNETA_STORECTL_BIN") or os.path.join(BUILD, "client", "ctl", "kyneta-storectl")
RACES = os.path.join(BUILD, "tests", "race", "races")

FOUND = 99      # the exit status if valgrind has found something
VALGRIND = ["valgrind", "--quiet", "--error-exitcode=%d" % FOUND, "--num-callers=30"]
HELGRIND = VALGRIND + ["--tool=helgrind", "--suppressions=" + os.path.join(ROOT, "tests", "race", "helgrind.supp")]
MEMCHECK = VALGRIND + ["--tool=memcheck", "--leak-check=full", "--show-leak-kinds=definite,possible",
                       "--errors-for-leak-kinds=definite,possible"]

META = ('{"replicaType":["plain",1,0],"syncMode":{"writerModel":"serialized","delivery":"delta-capable",'
        '"durability":"persistent"},"schemaHash":"00"}')


def run(*command):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        raise AssertionError("%s\nended with %d%s" % (
            result.stdout[-20000:], result.returncode, ": valgrind found something" if result.returncode == FOUND else ""))
    return result.stdout


@test("helgrind: hosts against the daemon, in one process")
def _():
    run(*HELGRIND, RACES, "--steps", "1000", "--lives", "2")


@test("memcheck: hosts against the daemon, in one process")
def _():
    run(*MEMCHECK, RACES, "--steps", "2000", "--lives", "3")


def send_row(path, row):
    """One of the bad inputs of PROTOCOL.md; the daemon may close while it is being sent."""
    with Connection(path) as connection:
        for kind, data in row.sent:
            try:
                connection.half_close() if kind == "eof" else connection.send_bytes(data)
            except (BrokenPipeError, ConnectionResetError):
                return
            if kind == "hello":
                connection.receive()


@test("memcheck: kyneta-stored, on every kind of bad input, vanishing peers, and pages")
def _():
    with Daemon(wrapper=MEMCHECK, page_bytes=1024, wal_bytes="64K") as daemon:
        for row in document.bad_inputs(document.read()):
            send_row(daemon.socket, row)
        with Store(daemon.socket) as store:
            for number in range(20):
                store.append("doc %d" % number, [meta(META)] + [entry("v", "x" * 300)] * 20)
            store.replace("doc 0", [meta(META), entry("v", b"y" * 100000)])
            store.delete("doc 1")
            expect_equal(len(list(store.list_doc_ids("doc "))), 19)
            for name in store.list_doc_ids():
                store.load_all(name)
            expect_equal(store.stats()["checkpoints"] > 0, True)


@test("memcheck: kyneta-storectl and kyneta-stored, on a recorded session")
def _():
    sample = os.path.join(ROOT, "tests", "fixtures", "sample.v2.ndjson")
    with Daemon(wrapper=MEMCHECK) as daemon:
        for words in (["replay", sample, "--in-flight"], ["stats"], ["list"], ["export"]):
            run(*MEMCHECK, STORECTL, "--socket", daemon.socket, "--timeout", "120", *words)


if __name__ == "__main__":
    main()
