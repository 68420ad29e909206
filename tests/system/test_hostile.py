#!/usr/bin/env python3
"""Peers that mean harm, or are broken: whoever behaves is served meanwhile, and the limit that acted is told and counted."""

import os
import resource
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from attack import Attack  # noqa: E402
from harness import SANITIZED, Daemon, Skip, expect_equal, main, note, test  # noqa: E402
from kyneta_store_client import Store, entry, meta  # noqa: E402

META = ('{"replicaType":["plain",1,0],"syncMode":{"writerModel":"serialized","delivery":"delta-capable",'
        '"durability":"persistent"},"schemaHash":"00"}')
PATIENCE_SECONDS = 120

# Never to be reached: a test that waits for it fails.
FOR_EVER = 86400

KIB, MIB = 1 << 10, 1 << 20


class Bystander:
    """A client that behaves, in a session of its own; at the end everything that it wrote must be there, once."""

    def __init__(self, daemon):
        self.daemon, self.versions = daemon, []
        self.store = Store(daemon.socket, deadline=PATIENCE_SECONDS)
        self.store.append("by", [meta(META)])
        self.store.append("big", [meta(META), entry("1", "x" * 60000)])

    def __enter__(self):
        return self

    def __exit__(self, kind, *exception):
        if kind is not None:
            self.store.abandon()
            return
        records, _ = self.store.load_all("by")
        expect_equal([record[3] for record in records[1:]], self.versions, "what the bystander wrote")
        self.store.close()

    def work(self, rounds=20):
        """A bit of everything."""
        for _ in range(rounds):
            self.versions.append(str(len(self.versions)))
            self.store.append("by", [entry(self.versions[-1], "data")])
            expect_equal(self.store.current_meta("by")[0], META)
            self.store.ping()
        expect_equal(len(self.store.load_all("big")[0]), 2)
        expect_equal("by" in list(self.store.list_doc_ids()), True)

    def until(self, counter, condition):
        """Work on until one of the daemon's counters is so."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition(found := self.store.stats()[counter]):
            if time.monotonic() > end:
                raise AssertionError("%s is %d for ever" % (counter, found))
            self.work(1)
        return found


def expect_told(daemon, attack, text):
    """The log names the peer."""
    line = "pid %d uid %d" % (attack.process.pid, os.getuid())
    if not any(line in found and text in found for found in daemon.log().splitlines()):
        raise AssertionError("the log does not say of %s: %s" % (line, text))


def expect_quiet(daemon, most):
    lines = daemon.log().count("\n")
    note("%d lines in the log" % lines)
    expect_equal(lines <= most, True, "%d lines in the log, %d at most" % (lines, most))


# ---- each attack, and the limits that act -------------------------------------------------------------------------

SMALL = {"max_frame_bytes": MIB, "max_request_bytes_per_connection": 2 * MIB, "max_request_bytes": 8 * MIB,
         "page_bytes": 64 * KIB, "max_reply_bytes_per_connection": 256 * KIB, "max_reply_bytes": 4 * MIB}
ATTACKS = [
    # what, kind, connections, bytes, options, counter that must move, what is told of the peer
    ("peers that connect and say nothing", "silent", 200, None, {"hello_timeout": 1}, "limit_hello_timeout", "(hello-timeout)"),
    ("slow loris: frames that come byte by byte", "dribble", 200, 1000, {"frame_timeout": 1}, "limit_frame_timeout",
     "(frame-timeout)"),
    ("peers that ask and never read", "deaf", 50, None, {"reply_timeout": 1}, "limit_reply_timeout", "(reply-timeout)"),
    ("peers that ask and never read are held back before", "deaf", 50, None, {},
     "limit_max_reply_bytes_per_connection", "(max-reply-bytes-per-connection)"),
    ("so many of them that there is no room for replies in all", "deaf", 100, None, {}, "limit_max_reply_bytes",
     "(max-reply-bytes)"),
    ("writers that never stop", "flood", 50, None, {"max_requests_per_connection": 100},
     "limit_max_requests_per_connection", "(max-requests-per-connection)"),
    ("so many of them that there is no room for requests in all", "flood", 100, None, {"max_requests_per_connection": 100, "max_requests": 1000},
     "limit_max_requests", "(max-requests)"),
    ("the largest requests, as fast as possible", "large", 100, MIB, {}, "limit_max_request_bytes", "(max-request-bytes)"),
    ("requests that are too large", "large", 50, 2 * MIB, {}, "limit_max_frame_bytes", "(max-frame-bytes"),
    ("peers that die in the middle of a frame", "cut", 50, 512 * KIB, {}, None, "in the middle of a frame"),
    ("peers that close their half", "half", 50, None, {}, None, None),
    ("garbage", "garbage", 50, None, {}, "bad_frames", "(max-frame-bytes"),
    ("a storm of connections", "storm", 50, None, {}, None, None),
    ("more connections than may be", "idle", 100, None, {"max_connections": 50}, "limit_max_connections",
     "(max-connections)"),
]


def attack_once(kind, connections, size, options, counter, told):
    with Daemon(**{**SMALL, **options}) as daemon:
        with Bystander(daemon) as bystander:
            waits = kind not in ("large", "garbage", "flood", "deaf") and counter != "limit_max_connections"
            with Attack(kind, daemon.socket, connections, size, wait=waits) as attack:
                if counter is not None:
                    bystander.until(counter, lambda found: found > 0)
                bystander.work()
            note("%s: %s" % (kind, ", ".join("%s %d" % item for item in attack.result.items())))
            bystander.work()
            # Nothing of them stays.
            bystander.until("connections", lambda found: found == 1)
            bystander.until("request_bytes", lambda found: found < 1024)
            bystander.until("reply_bytes", lambda found: found == 0)
            expect_equal(bystander.store.stats()["stash_bytes"], 0, "stash_bytes")
            if told is not None:
                expect_told(daemon, attack, told)
            expect_quiet(daemon, 100)


for _what, *_arguments in ATTACKS:
    test(_what)(lambda arguments=tuple(_arguments): attack_once(*arguments))


# ---- many ---------------------------------------------------------------------------------------------------------


def allow_descriptors(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))
    except (OSError, ValueError):
        raise Skip("only %d descriptors may be open" % hard) from None


@test("%d connections, and a storm beside them" % (2000 if SANITIZED else 10000))
def _():
    many = 2000 if SANITIZED else 10000
    allow_descriptors(many + 1000)
    with Daemon() as daemon:
        with Bystander(daemon) as bystander:
            descriptors = daemon.descriptors()
            with Attack("idle", daemon.socket, many) as idle:
                expect_equal(bystander.store.stats()["connections"], many + 1)
                with Attack("storm", daemon.socket, 50) as storm:
                    bystander.work()
                note("%d connections and %d beside them: %.1f MiB resident" % (
                    many, storm.result["connects"], daemon.peak_rss_kib() / 1024))
                expect_equal(idle.process.poll(), None)
            expect_equal(idle.result["ends"], 0, "idle connections that were closed")
            bystander.until("connections", lambda found: found == 1)
            expect_equal(daemon.descriptors(), descriptors)
        expect_quiet(daemon, 100)


# What the options allow by default, and what is not counted: the program itself, and what malloc keeps.
BOUND = {"max-request-bytes": 512 * MIB, "max-reply-bytes": 256 * MIB, "cache-bytes": 64 * MIB,
         "document-cache-bytes": 32 * MIB, "readers' caches": 4 * MIB, "everything else": 64 * MIB}
FRAME_BYTES = 64 * MIB      # max-frame-bytes
# A daemon that holds no bound ends here, and not the machine.
RESCUE = ["prlimit", "--data=%d" % (4 << 30)]


@test("%d clients send the largest frames as fast as they can: the daemon's memory keeps its bound" % (100 if SANITIZED else 1000))
def _():
    many, bound = 100 if SANITIZED else 1000, sum(BOUND.values())
    allow_descriptors(many + 1000)
    with Daemon(wrapper=[] if SANITIZED else RESCUE) as daemon:
        with Bystander(daemon) as bystander:
            with Attack("large", daemon.socket, many, FRAME_BYTES, wait=False) as attack:
                bystander.until("limit_max_request_bytes", lambda found: found > 0)
                bystander.until("errors", lambda found: found >= 20)      # answers to such frames
                for _ in range(3):
                    bystander.work()
                    held = bystander.store.stats()["request_bytes"]
                    expect_equal(held <= BOUND["max-request-bytes"], True, "%d bytes of requests" % held)
                peak = daemon.peak_rss_kib() * KIB
            note("%d clients, frames of %d MiB, %d MiB sent and %d frames answered: %d MiB resident at most, %d MiB is the bound"
                 % (many, FRAME_BYTES // MIB, attack.result["bytes"] // MIB, attack.result["answers"], peak // MIB,
                    bound // MIB))
            # A sanitizer keeps what was freed.
            expect_equal(peak <= bound or SANITIZED, True, "%d bytes resident" % peak)


# ---- descriptors --------------------------------------------------------------------------------------------------

DESCRIPTORS = 100


def calls_of(daemon, work):
    """How often the daemon's threads asked for events or connections while @work was done."""
    path = os.path.join(daemon.directory, "strace")
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", path, "-e", "trace=epoll_wait,epoll_pwait,accept,accept4",
                               "-p", str(daemon.pid)])
    try:
        end = time.monotonic() + PATIENCE_SECONDS
        while not os.path.exists(path) or os.stat(path).st_size == 0:
            work(1)         # until it is attached
            if tracer.poll() is not None or time.monotonic() > end:
                raise AssertionError("strace does not attach")
        before = os.stat(path).st_size
        work(100)
        with open(path, encoding="utf-8") as file:
            file.seek(before)
            return file.read().count("\n")
    finally:
        tracer.send_signal(signal.SIGTERM)
        tracer.wait()


@test("no descriptor is left: connections wait, the loop does not spin, and they are taken when there are some")
def _():
    with Daemon(wrapper=["prlimit", "--nofile=%d:%d" % (DESCRIPTORS, DESCRIPTORS)]) as daemon:
        with Bystander(daemon) as bystander:
            work = (lambda rounds: [bystander.store.ping() for _ in range(rounds)])
            with Attack("idle", daemon.socket, DESCRIPTORS, wait=False) as first:
                bystander.until("accepts_paused", lambda found: found > 0)
                taken = bystander.store.stats()["connections"]
                calls = calls_of(daemon, work)
                note("%d connections with %d descriptors; %d calls for events or connections during 100 requests" % (
                    taken, DESCRIPTORS, calls))
                expect_equal(DESCRIPTORS // 2 < taken < DESCRIPTORS, True, "connections taken")
                expect_equal(calls <= 1000, True, "%d calls" % calls)
                bystander.work()
                with Attack("idle", daemon.socket, 20, wait=False) as second:
                    bystander.work()
                    expect_equal(bystander.store.stats()["connections"], taken, "connections")
                    expect_equal(daemon.log().count("there is no descriptor for another connection"), 1, "lines about it")
                    first.end()
                    second.begun()
                    bystander.until("connections", lambda found: found == 21)


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
