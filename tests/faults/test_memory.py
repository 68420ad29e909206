#!/usr/bin/env python3
"""A daemon whose memory runs out: each allocation of a set of requests, alone and with some that follow.

out_of_memory.py does one of them, and tells how. Whose allocations they are does not matter: the daemon's, SQLite's, the
event loop's. (A host's: test_client_memory.py.)
"""

import collections
import itertools
import os
import re
import socket
import sys
import tempfile
import time

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), folder) for folder in (".", "../python")]

from aftermath import FOLDER, OPTIONS  # noqa: E402
from harness import Daemon, DaemonFailed, expect_equal, main, note, test  # noqa: E402
from io_error import COULD_NOT_START, COULD_NOT_WRITE  # noqa: E402
from kyneta_store_client import (APPEND, COMMITTED, NOT_APPLIED, UNKNOWN, Connection, Store, StoreError,  # noqa: E402
                                 entry, frame, meta)
from many import each  # noqa: E402
from memory import Memory  # noqa: E402
from msgpack_subset import pack  # noqa: E402
from out_of_memory import Shortage, run, wait_until_ready  # noqa: E402
from records import Broken, meta_json  # noqa: E402
from workload import WAIT_SECONDS  # noqa: E402

ALLOCATIONS_LEAST = 500     # of requests that are worth their name

START_ALLOCATIONS_LEAST = 200
PIPELINES_LEAST = 100
SAYS_WHY = re.compile("^kyneta-stored: .|critical: ending: ", re.M)

ENTRY_BEFORE_META = 200
IO_ERROR, BUSY = 501, 400
TOLD = {(IO_ERROR, None), (IO_ERROR, NOT_APPLIED), (IO_ERROR, UNKNOWN), (ENTRY_BEFORE_META, NOT_APPLIED)}


def sweep(times, step, first=1):
    ends, told, broken, fired, last = collections.Counter(), collections.Counter(), [], 0, 0
    for shortage, result in each(run, (Shortage(at, times) for at in itertools.count(first, step))):
        if result.broken is None and result.failed == 0:
            break
        fired, last = fired + 1, shortage.at
        ends.update(result.ends)
        told.update(result.told)
        if result.broken or not set(result.told) <= TOLD:
            broken.append("tests/faults/out_of_memory.py %d %d: %s" % (*shortage, result.broken or dict(result.told)))
    note("%d allocations up to the %dth failed%s; daemons that could not start %d, ended %d, went on %d; %d calls failed "
         "as not applied, %d with outcome unknown, %d others"
         % (fired, last, "" if times == 1 else ", with %d that follow each" % (times - 1), ends[COULD_NOT_START],
            ends[COULD_NOT_WRITE], ends[0], *(told[IO_ERROR, outcome] for outcome in (NOT_APPLIED, UNKNOWN, None))))
    assert not broken, "\n".join(broken[:20])
    assert last >= ALLOCATIONS_LEAST, last


@test("every allocation fails, alone")
def _():
    sweep(1, 1)


@test("every allocation of a sample fails, with those that follow")
def _():
    # Not more of them: a connection for which there is no memory waits a second each time.
    sweep(3, 7, 4)


# ---- pipelines ----------------------------------------------------------------------------------------------------

PIPELINE = ("1", "2", "3")
# A write whose refusal cannot be remembered either has failed so many times.
FOLLOWING_MOST = 16


def append_all(connection, document):
    """The writes of the pipeline, all at once; their answers, as far as there are any: version -> (code, outcome)."""
    connection.send_bytes(b"".join(frame(pack([2 + int(version), APPEND, document, [entry(version, "data")], COMMITTED]))
                                   for version in PIPELINE))
    answers = {}
    while len(answers) < len(PIPELINE) and (reply := connection.receive()) is not None:
        answers[str(reply[0] - 2)] = (reply[1], reply[3] if reply[1] else None)
    return answers


def check_told(store, document, answers, what):
    """What the document holds is what was told, and it is the beginning of the pipeline."""
    found = tuple(record[3] for record in store.load_all(document)[0][1:])
    told = tuple(version for version in PIPELINE if answers.get(version, (None,))[0] == 0)
    untold = tuple(version for version in PIPELINE if version not in answers)
    refused = [answer for answer in answers.values() if answer not in ((0, None), (IO_ERROR, NOT_APPLIED))]
    assert not refused, "%s: told %s" % (what, refused)
    assert found == PIPELINE[:len(found)], "%s: it holds %s, told %s" % (what, found, answers)
    assert set(told) <= set(found) <= set(told + untold), "%s: it holds %s, told %s" % (what, found, answers)


def pipeline(daemon, memory, store, at, times):
    """Returns how many allocations failed."""
    session, document = os.urandom(16), "%d.%d" % (at, times)
    with Connection(daemon.socket) as connection:
        connection.hello(session=session)
        expect_equal(connection.request(2, APPEND, document, [meta(meta_json("m"))], COMMITTED)[1], 0)
        memory.control.count = memory.control.failed = 0
        memory.control.fail_at, memory.control.fail_times = at, times
        memory.control.armed = 1
        answers = append_all(connection, document)
        memory.control.armed = 0
    check_told(store, document, answers, "who heard the answers")
    # Who did not sends all of it again.
    with Connection(daemon.socket) as connection:
        connection.hello(session=session)
        answers = append_all(connection, document)
    expect_equal(len(answers), len(PIPELINE), "answers")
    check_told(store, document, answers, "who asks again")
    return memory.control.failed


@test("any number of allocations fails in a row: no pipeline has a hole, and who asks again hears the truth")
def _():
    with tempfile.TemporaryDirectory(prefix="kyneta-memory-", dir=FOLDER) as directory:
        memory, broken, fired = Memory(directory), [], 0
        with Daemon(directory, memory.environment(), **OPTIONS) as daemon, Store(daemon.socket) as store:
            for times in range(1, FOLLOWING_MOST + 1):
                for at in itertools.count(1):
                    try:
                        if pipeline(daemon, memory, store, at, times) == 0:
                            break
                    except AssertionError as error:
                        broken.append("%d allocations from the %dth: %s" % (times, at, error))
                    fired += 1
        note("%d times up to %d allocations failed in a row" % (fired, FOLLOWING_MOST))
    assert not broken, "\n".join(broken[:20])
    assert fired >= PIPELINES_LEAST, fired


# ---- the start ----------------------------------------------------------------------------------------------------


class Start:
    """A start at which an allocation fails: `failed` of them did; `status` if it ended; `wrong`: what should not be."""

    def __init__(self, at):
        with tempfile.TemporaryDirectory(prefix="kyneta-memory-", dir=FOLDER) as directory:
            memory = Memory(directory)
            memory.control.fail_at, memory.control.fail_times, memory.control.armed = at, 1, 1
            daemon = Daemon(directory, memory.environment(), **OPTIONS)
            try:
                self.status, self.wrong = self._start(daemon, memory), None
                if self.status is not None and (self.status != COULD_NOT_START or not SAYS_WHY.search(daemon.log())):
                    self.wrong = "status %d: %s" % (self.status, daemon.log())
            except (Broken, DaemonFailed, StoreError) as failure:
                self.status, self.wrong = None, "%s: %s" % (failure, daemon.log())
            finally:
                daemon.kill()
            self.failed = memory.control.failed

    @staticmethod
    def _start(daemon, memory):
        """Its exit status; None if it started, and then it must work."""
        try:
            daemon.start()
            wait_until_ready(daemon)
        except DaemonFailed:
            return daemon.wait()
        memory.control.armed = 0
        with Store(daemon.socket) as store:
            store.append("doc", [meta(meta_json("m"))])
        daemon.stop()
        return None


@test("every allocation of a start fails, alone: it starts all the same, or says why not")
def _():
    wrong, ended, fired = [], collections.Counter(), 0
    for at, start in each(Start, itertools.count(1)):
        if start.wrong:
            wrong.append("the %dth: %s" % (at, start.wrong))
        elif start.failed == 0:
            break
        fired += 1
        ended[start.status] += 1
    note("%d allocations failed; %d daemons started, %d said why not" % (fired, ended[None], fired - ended[None]))
    assert not wrong, "\n".join(wrong[:20])
    assert fired >= START_ALLOCATIONS_LEAST, fired


# ---- many connections ---------------------------------------------------------------------------------------------

CROWD = 40      # more than the event loop's table has room for at first


class Crowd:
    """Connections come, and an allocation fails: `failed` of them did; how the daemon ended; what was `wrong`."""

    def __init__(self, at):
        self.status = self.wrong = None
        with tempfile.TemporaryDirectory(prefix="kyneta-memory-", dir=FOLDER) as directory:
            memory = Memory(directory)
            memory.control.fail_at, memory.control.fail_times = at, 1
            daemon = Daemon(directory, memory.environment(), **OPTIONS)
            try:
                daemon.start()
                wait_until_ready(daemon)
                self._come(daemon, memory)
            except (Broken, DaemonFailed, StoreError, AssertionError) as failure:
                self.wrong = "%s: %s" % (failure, daemon.log())
            finally:
                daemon.kill()
            self.failed = memory.control.failed

    def _come(self, daemon, memory):
        crowd = [socket.socket(socket.AF_UNIX) for _ in range(CROWD)]
        with Store(daemon.socket) as store:
            store.append("doc", [meta(meta_json("m"))])
            while store.stats()["connections"] > 1:     # whoever asked whether it listens
                pass
            before = daemon.descriptors()
            memory.control.armed = 1
            self._connect(crowd, daemon, before, memory)
            memory.control.armed = 0
            self.status = daemon.terminate()
            store.abandon()
        for one in crowd:
            one.close()
        if self.status != 0:
            expect_equal((self.status, "ending: no memory" in daemon.log()), (COULD_NOT_START, True), "status and reason")
        daemon.start()
        with Store(daemon.socket) as store:
            expect_equal(len(store.load_all("doc")[0]), 1, "records")

    @staticmethod
    def _connect(crowd, daemon, before, memory):
        """Until all of them are taken, or one allocation has failed."""
        bound = time.monotonic() + WAIT_SECONDS
        try:
            for one in crowd:
                one.connect(daemon.socket)
            while memory.control.failed == 0 and daemon.descriptors() < before + CROWD:
                if time.monotonic() > bound:
                    raise Broken("connections are not taken")
                time.sleep(0.001)
        except OSError:
            pass        # the daemon is there no more


@test("every allocation fails, alone, while %d connections come: the daemon goes on, or says why not" % CROWD)
def _():
    wrong, fired, ended = [], 0, 0
    for at, crowd in each(Crowd, itertools.count(1)):
        if crowd.wrong:
            wrong.append("the %dth: %s" % (at, crowd.wrong))
        elif crowd.failed == 0:
            break
        fired, ended = fired + 1, ended + (crowd.status != 0)
    note("%d allocations failed; %d daemons ended for it, and said why" % (fired, ended))
    assert not wrong, "\n".join(wrong[:20])
    assert fired >= CROWD and 1 <= ended <= fired // CROWD, (fired, ended)


if __name__ == "__main__":
    main()
