#!/usr/bin/env python3
"""Many processes share one store: nothing is lost, nothing is there twice, each one's order is kept."""

import json
import os
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

import kyneta_store_client as client  # noqa: E402
from harness import Daemon, expect_equal, in_processes, main, note, test  # noqa: E402
from kyneta_store_client import Store, StoreError, entry, meta  # noqa: E402

META = ('{"replicaType":["plain",1,0],"syncMode":{"writerModel":"concurrent","delivery":"delta-capable",'
        '"durability":"persistent"},"schemaHash":"00"}')

PROCESSES, RECORDS = 8, 2000
SHARED = "shared"


# ---- appending --------------------------------------------------------------------------------------------------------


def own(process):
    return "own %d" % process


def append_to_both(path, process):
    """A process: its records to the shared document and to its own, as fast as they go. Where each came to stand."""
    with Store(path, client="process %d" % process) as store:
        calls = {SHARED: [], own(process): []}
        store.append(own(process), [meta(META)])
        for number in range(RECORDS):
            for document in calls:
                calls[document].append(store.submit(client.APPEND, document, [entry("%d.%d" % (process, number), document)]))
        return {document: [call.result()[0] for call in submitted] for document, submitted in calls.items()}


def check_stream(what, records, process_of_each, positions):
    """@records are the document's, without the first; @positions[process] what its appends were answered."""
    versions = [record[3] for record in records]
    expect_equal(len(set(versions)), len(versions), "%s: none is there twice" % what)
    for process in process_of_each:
        mine = [version for version in versions if version.startswith("%d." % process)]
        expect_equal(mine, ["%d.%d" % (process, number) for number in range(RECORDS)], "%s: order of %d" % (what, process))
        # next was 1 after the metadata: record number n of the stream was answered with next n + 1.
        answered = [versions[next - 2] for _, next in positions[process]]
        expect_equal(answered, mine, "%s: positions told to %d" % (what, process))


@test("%d processes append %d records each to a shared document and to their own" % (PROCESSES, RECORDS))
def _():
    with Daemon() as daemon:
        with Store(daemon.socket) as store:
            store.append(SHARED, [meta(META)])
        positions = in_processes([(append_to_both, daemon.socket, process) for process in range(PROCESSES)])
        with Store(daemon.socket) as store:
            records, at = store.load_all(SHARED)
            expect_equal(at[1], 1 + PROCESSES * RECORDS)
            expect_equal(records[0], meta(META))
            check_stream(SHARED, records[1:], range(PROCESSES), [told[SHARED] for told in positions])
            for process in range(PROCESSES):
                records, _ = store.load_all(own(process))
                check_stream(own(process), records[1:], [process], {process: positions[process][own(process)]})
            stats = store.stats()
            note("%d records in %d commits" % (stats["appends"], stats["batches"]))
        daemon.stop()
        check_file(daemon.database)


def check_file(path):
    """The same, as another program sees it."""
    database = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
    streams = {}
    for document, seq, kind, payload in database.execute(
            "SELECT doc_id, seq, kind, payload FROM kyneta_records ORDER BY doc_id, seq"):
        streams.setdefault(document, []).append((seq, kind, payload))
    expect_equal(database.execute("PRAGMA integrity_check").fetchone(), ("ok",))
    database.close()
    expect_equal(sorted(streams), sorted([SHARED] + [own(process) for process in range(PROCESSES)]))
    expect_equal(sum(len(stream) - 1 for stream in streams.values()), 2 * PROCESSES * RECORDS)
    for document, stream in streams.items():
        expect_equal([seq for seq, _, _ in stream], list(range(len(stream))), "%s: seq" % document)
        expect_equal([kind for _, kind, _ in stream], ["meta"] + ["entry"] * (len(stream) - 1), "%s: kind" % document)
        versions = [json.loads(payload)["version"] for _, _, payload in stream[1:]]
        processes = range(PROCESSES) if document == SHARED else [int(document.split()[1])]
        for process in processes:
            expect_equal([version for version in versions if version.startswith("%d." % process)],
                         ["%d.%d" % (process, number) for number in range(RECORDS)], "%s in the file" % document)


# ---- compacting while others append -------------------------------------------------------------------------------------

APPENDERS, COMPACTORS, BURSTS, BURST = 5, 3, 25, 20
DONE = "done"       # a document that says which appenders are done


def append_in_bursts(path, process):
    """After each burst it waits until somebody has compacted: else the appenders would be done before the first could."""
    with Store(path, client="appender %d" % process) as store:
        for burst in range(BURSTS):
            generation = store.current_meta(SHARED)[1][0]
            calls = [store.submit(client.APPEND, SHARED, [entry("%d.%d" % (process, burst * BURST + number), "")])
                     for number in range(BURST)]
            for call in calls:
                call.result()
            while store.current_meta(SHARED)[1][0] == generation:
                pass
        store.append(DONE, [entry(str(process), "")])


def content(records):
    """Everything a document says: what was compacted, then what was appended since."""
    tokens = []
    for record in records:
        if record[0] == 1:
            tokens += json.loads(record[4]) if record[1] == client.ENTIRETY else [record[3]]
    return tokens


def compact(path, process):
    """Until all appenders are done. Returns how often it compacted, and how often somebody was faster."""
    compacted = conflicts = 0
    with Store(path, client="compactor %d" % process) as store:
        while store.current_meta(DONE)[1][1] < 1 + APPENDERS:
            records, at = store.load_all(SHARED)
            try:
                store.replace(SHARED, [meta(META), entry("all", json.dumps(content(records)), client.ENTIRETY)], expect=at)
                compacted += 1
            except StoreError as error:
                expect_equal(error.code, 300, str(error))
                conflicts += 1
    return compacted, conflicts


@test("replace with expect loses nothing that another process appended")
def _():
    with Daemon() as daemon:
        with Store(daemon.socket) as store:
            store.append(SHARED, [meta(META)])
            store.append(DONE, [meta(META)])
        results = in_processes([(append_in_bursts, daemon.socket, process) for process in range(APPENDERS)] +
                               [(compact, daemon.socket, process) for process in range(COMPACTORS)])[APPENDERS:]
        compacted, conflicts = (sum(column) for column in zip(*results))
        note("compacted %d times; %d times somebody was faster" % (compacted, conflicts))
        expect_equal(compacted >= BURSTS, True)
        with Store(daemon.socket) as store:
            tokens = content(store.load_all(SHARED)[0])
        expect_equal(len(tokens), APPENDERS * BURSTS * BURST)
        for process in range(APPENDERS):
            expect_equal([token for token in tokens if token.startswith("%d." % process)],
                         ["%d.%d" % (process, number) for number in range(BURSTS * BURST)], "appender %d" % process)


if __name__ == "__main__":
    main()
