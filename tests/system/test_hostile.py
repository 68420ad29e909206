#!/usr/bin/env python3
"""Peers that mean harm, or are broken: whoever behaves is served meanwhile, and the limit that acted is told and counted."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from attack import Attack  # noqa: E402
from harness import Daemon, expect_equal, main, test  # noqa: E402
from kyneta_store_client import Store, entry, meta  # noqa: E402

META = ('{"replicaType":["plain",1,0],"syncMode":{"writerModel":"serialized","delivery":"delta-capable",'
        '"durability":"persistent"},"schemaHash":"00"}')

# Never to be reached: a test that waits for it fails.
FOR_EVER = 86400


# ---- a daemon that stops ------------------------------------------------------------------------------------------


@test("a daemon that is told to stop does, though its peers never stop sending")
def _():
    with Daemon(drain_timeout=FOR_EVER) as daemon:
        with Store(daemon.socket, session=None) as store, Attack("flood", daemon.socket, 20) as attack:
            store.append("doc", [meta(META), entry("1", "x")])
            expect_equal(daemon.terminate(), 0, "exit status")
            attack.end()
        daemon.start()
        with Store(daemon.socket) as store:
            expect_equal(len(store.load_all("doc")[0]), 2, "records")


@test("nor do peers that never take their replies keep it")
def _():
    with Daemon(drain_timeout=3) as daemon:
        with Store(daemon.socket, session=None) as store, Attack("deaf", daemon.socket, 5):
            store.append("big", [meta(META), entry("1", "x" * 200000)])
            while store.stats()["reply_bytes"] < 1 << 20:
                pass
            expect_equal(daemon.terminate(), 0, "exit status")


if __name__ == "__main__":
    main()
