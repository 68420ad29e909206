#!/usr/bin/env python3
"""Hellos that name stores which are never made cost nothing that stays, and nobody else a place."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from harness import SANITIZED, Daemon, expect_equal, main, note, test  # noqa: E402
from kyneta_store_client import Connection, Store, entry, meta  # noqa: E402

META = ('{"replicaType":["plain",1,0],"syncMode":{"writerModel":"serialized","delivery":"delta-capable",'
        '"durability":"persistent"},"schemaHash":"00"}')
BUSY = 400


def names(number):
    return {"records": "records%d" % number, "meta": "meta%d" % number}


@test("names come and go, memory stays")
def _():
    with Daemon(max_stores=8) as daemon:
        with Store(daemon.socket) as store:
            store.append("a", [meta(META), entry("1", "x")])
        for number in range(3000):
            with Connection(daemon.socket) as connection:
                expect_equal(connection.hello(store=names(number))[1], 0, "hello")
            if number == 500:
                before = daemon.rss_kib()
        after = daemon.rss_kib()
        note("resident: %d KiB after 500 names, %d KiB after 3000" % (before, after))
        if not SANITIZED and after > before + 512:
            raise AssertionError("memory grows with names")
        with Store(daemon.socket) as store:
            expect_equal(len(store.load_all("a")[0]), 2, "records of the store that is there")


@test("the limit of stores, and room again when somebody leaves")
def _():
    with Daemon(max_stores=4) as daemon:
        held = [Connection(daemon.socket) for _ in range(5)]
        codes = [connection.hello(store=names(number))[1] for number, connection in enumerate(held)]
        expect_equal(codes, [0, 0, 0, 0, BUSY], "codes of five hellos")
        held[0].request(2, 7)  # close; its place is free when the daemon has closed
        expect_equal(held[0].receive(), None, "end of the connection")
        with Connection(daemon.socket) as connection:
            expect_equal(connection.hello(store=names(9))[1], 0, "hello after one has left")
        for connection in held:
            connection.close()


if __name__ == "__main__":
    main()
