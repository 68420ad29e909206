#!/usr/bin/env python3
"""Recorded sessions of real hosts, replayed through kyneta-storectl: every expectation holds, and the database is row for
row the one that the reference wrote.

Each session in both layouts, one call at a time and with as many in flight as the recording had. The sessions are read from
$KYNETA_FIXTURES; without them only the project's own sample is replayed.
"""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from harness import ROOT, Daemon, expect_equal, main, note, test  # noqa: E402

STORECTL = os.environ.get("KYNETA_STORECTL_BIN") or os.path.join(ROOT, "build", "client", "ctl", "kyneta-storectl")
FIXTURES = os.environ.get("KYNETA_FIXTURES") or os.path.join(ROOT, "..", "shared", "fixtures")

# calls and checked reads of each session, so that a replay that skips some cannot pass
SIZES = {"session-small": (200, 16), "session-large": (55, 0), "session-exchange": (42442, 0)}
MOST_IN_FLIGHT = {"session-exchange": 199}


def fixture(name):
    return os.path.join(FIXTURES, name)


def session_file(name, layout, folder):
    """The session in the form of this layout; derived where it is not recorded."""
    for ending in (".v%d.ndjson" % layout, ".ndjson.gz" if layout == 2 else None):
        if ending and os.path.exists(fixture(name + ending)):
            return fixture(name + ending)
    path = os.path.join(folder, name + ".v1.ndjson")
    with open(path, "wb") as file:
        subprocess.run([sys.executable, fixture("to_v1.py"), fixture(name + ".ndjson.gz")], stdout=file, check=True)
    return path


def golden_file(name, layout, folder):
    for ending in (".v%d.db" % layout, ".v%d.db.gz" % layout):
        if os.path.exists(fixture(name + ending)):
            return fixture(name + ending)
    path = os.path.join(folder, "golden.v1.db")
    subprocess.run([sys.executable, fixture("to_v1.py"), "--db", fixture(name + ".v2.db.gz"), path], check=True)
    return path


def replay(daemon, path, layout, *options):
    result = subprocess.run([STORECTL, "--socket", daemon.socket, "--timeout", "120", "--json", "replay", path, "--layout", str(layout),
                             *options], stdout=subprocess.PIPE, text=True)
    if result.returncode != 0:
        raise AssertionError("replay ended with %d: %s" % (result.returncode, result.stdout[-2000:]))
    return json.loads(result.stdout.splitlines()[-1])


def verify(golden, database, *options):
    """The checker of the recordings looks at every row, byte for byte."""
    result = subprocess.run([sys.executable, fixture("verify_golden.py"), golden, database, "--extra-ok", *options],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        raise AssertionError("the database differs from the golden one:\n" + result.stdout[-4000:])
    compared = result.stdout.count(": equal:")
    if compared == 0:
        raise AssertionError("nothing was compared:\n" + result.stdout)
    return compared


def run_session(name, layout, *options):
    with Daemon() as daemon:
        path = session_file(name, layout, daemon.directory)
        golden = golden_file(name, layout, daemon.directory)
        summary = replay(daemon, path, layout, *options)
        calls, refused = SIZES[name]
        expect_equal(summary["calls"], calls, "calls")
        expect_equal(summary["refused"], refused, "calls refused as the session expects")
        expect_equal(summary["mismatches"], 0, "mismatches")
        if "--in-flight" in options and name in MOST_IN_FLIGHT:
            expect_equal(summary["maxInFlight"], MOST_IN_FLIGHT[name], "most calls in flight")
        daemon.stop()
        tables = verify(golden, daemon.database)
        expect_equal(tables, {1: 2, 2: 3}[layout] * (3 if name == "session-exchange" else 1), "tables compared")
        note("%s, layout %d: %d calls, %d tables equal to the reference's" % (name, layout, calls, tables))


if os.path.isdir(FIXTURES):
    for session in SIZES:
        for number in (2, 1):
            for words in ((), ("--in-flight",)):
                test("%s, layout %d%s" % (session, number, ", as many in flight as recorded" if words else ""))(
                    lambda session=session, number=number, words=words: run_session(session, number, *words))


@test("the project's own sample")
def _():
    for layout in (2, 1):
        path = os.path.join(ROOT, "tests", "fixtures", "sample.v%d.ndjson" % layout)
        for options in ((), ("--in-flight",)):
            with Daemon() as daemon:
                summary = replay(daemon, path, layout, *options)
                expect_equal(summary["mismatches"], 0, "mismatches")
                with open(path, encoding="utf-8") as file:
                    expect_equal(summary["calls"], sum(1 for _ in file), "calls")


if __name__ == "__main__":
    main()
