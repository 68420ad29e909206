#!/usr/bin/env python3
"""A disk that fails: every operation of a workload, one after the other, alone or with all that follow.

io_error.py does one of them, and tells how. Here is what clients may be told and how the daemon may end, by what failed.
"""

import collections
import itertools
import os
import sys

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), folder) for folder in (".", "../python")]

from disk import LOCKS, SYNCS, kinds, spelled  # noqa: E402
from harness import main, note, test  # noqa: E402
from io_error import COULD_NOT_START, COULD_NOT_WRITE, ERRORS, FOR_GOOD, Fault, named, run  # noqa: E402
from kyneta_store_client import NOT_APPLIED, UNKNOWN  # noqa: E402
from many import each  # noqa: E402

OPERATIONS_LEAST = 100  # of a workload that is worth its name

# What clients may be told besides what the rules of documents say of their writes.
ENTRY_BEFORE_META, CONFLICT = 200, 300
DISK_FULL, IO_ERROR = 500, 501
NOTHING = set()
UNKNOWN_OR_NOT = {(IO_ERROR, None), (IO_ERROR, NOT_APPLIED), (IO_ERROR, UNKNOWN)}
FULL = {(DISK_FULL, None), (DISK_FULL, NOT_APPLIED)}

totals = collections.Counter()      # kinds of operation -> so many


class Sweep:
    """Faults of some kinds of operations with one error: all of them."""

    def __init__(self, operations, error, times=FOR_GOOD, told=NOTHING, ends=(0,), lives=None, lose=False):
        self.operations, self.error, self.lose = operations, ERRORS[error], lose
        self.times = times              # once, and so many; if nobody is to notice, these from the first one only
        self.told, self.ends = told, set(ends)
        self.lives = lives              # so many daemons may go on after this at most
        self.counts = collections.Counter()
        self.broken = []

    def run(self):
        for times in (1, self.times):
            self._each_in_turn(times)
        count = self.counts["operations"]
        note("%s, %s%s: %d operations, each failed once and %s with those that follow; the daemon did not start %d "
             "times, ended %d times, went on %d times; %d calls failed as not applied, %d with outcome unknown, %d others; "
             "%d writes were sent again, %d of them were there" % (
                 spelled(self.operations), next(name for name in ERRORS if ERRORS[name] == self.error),
                 ", and what was not synced is lost" if self.lose else "", count,
                 "the first" if self.told == NOTHING else "each",
                 self.counts["end", COULD_NOT_START], self.counts["end", COULD_NOT_WRITE], self.counts["went on"],
                 self.counts["told", NOT_APPLIED], self.counts["told", UNKNOWN], self.counts["told", None],
                 self.counts["resent"], self.counts["duplicates"]))
        totals[self.operations] = count
        assert not self.broken, "\n".join(self.broken[:20])

    def _each_in_turn(self, times):
        faults = (Fault(self.operations, at, times, self.error, self.lose) for at in itertools.count(1))
        for fault, result in each(run, faults):
            if result.broken is None and result.failed == 0:
                break
            self.counts["operations"] = max(fault.at, self.counts["operations"])
            self._look_at(fault, result)
            if self.told == NOTHING and times > 1:
                break

    def _look_at(self, fault, result):
        if result.broken:
            self.broken.append("tests/faults/io_error.py %s: %s" % (named(fault), result.broken))
        for (code, outcome), count in result.told.items():
            if code not in (ENTRY_BEFORE_META, CONFLICT):
                self.counts["told", outcome] += count
                if (code, outcome) not in self.told:
                    self.broken.append("tests/faults/io_error.py %s: clients were told %s" % (named(fault), result.told))
        for status, count in result.ends.items():
            self.counts["end", status] += count
            if status not in self.ends | {0}:
                self.broken.append("tests/faults/io_error.py %s: exit status %d" % (named(fault), status))
        ended = any(status != 0 for status in result.ends)
        self.counts["went on"] += not ended
        if self.lives is not None and self.counts["went on"] > self.lives:
            self.broken.append("tests/faults/io_error.py %s: the daemon went on" % named(fault))
        self.counts["resent"] += result.resent
        self.counts["duplicates"] += result.duplicates


EITHER = (COULD_NOT_START, COULD_NOT_WRITE)


def sweep(name, *arguments, **options):
    @test(name)
    def _():
        Sweep(*arguments, **options).run()


sweep("reads fail", kinds("READ"), "EIO", told=UNKNOWN_OR_NOT, ends=EITHER)
sweep("reads get one half: nobody notices", kinds("READ"), "SHORT")
# The last transaction, two writes, is about the clean end itself: without it the next start is as after a crash.
sweep("writes fail: the daemon ends", kinds("WRITE"), "EIO", told=UNKNOWN_OR_NOT, ends=EITHER, lives=8)
sweep("writes find no space", kinds("WRITE"), "ENOSPC", told=FULL, ends=EITHER)
sweep("writes are carried out by half: nobody notices", kinds("WRITE"), "SHORT")
sweep("writes find space for one half", kinds("WRITE"), "SHORT_FULL", told=FULL, ends=EITHER)
# SQLite has the folder synced for a new log, and ignores what comes of it; the daemon does it once more.
sweep("syncs fail: the daemon ends", SYNCS & ~kinds("SYNC_FOLDER"), "EIO", told=UNKNOWN_OR_NOT, ends=EITHER, lives=0)
sweep("syncs fail and lose everything: the daemon ends", SYNCS & ~kinds("SYNC_FOLDER"), "EIO", told=UNKNOWN_OR_NOT,
      ends=EITHER, lives=0, lose=True)
sweep("syncs of the folder fail", kinds("SYNC_FOLDER"), "EIO", told=UNKNOWN_OR_NOT, ends=EITHER)
sweep("files cannot be made shorter", kinds("TRUNCATE"), "EIO", told=UNKNOWN_OR_NOT, ends=EITHER)
sweep("locks fail", LOCKS, "EIO", told=UNKNOWN_OR_NOT, ends=EITHER)
sweep("locks are taken for a while: everybody waits", LOCKS, "EAGAIN", times=50)
sweep("files cannot be opened or removed", kinds("OPEN", "DELETE"), "EIO", told=UNKNOWN_OR_NOT, ends=EITHER)
sweep("the shared index cannot be mapped", kinds("SHM_MAP"), "EIO", told=UNKNOWN_OR_NOT, ends=EITHER)
sweep("the shared index finds no space", kinds("SHM_MAP"), "ENOSPC", told=FULL | UNKNOWN_OR_NOT, ends=EITHER)


@test("every operation has failed")
def _():
    note("%d operations in all: %s" % (sum(totals.values()), ", ".join(
        "%s %d" % (spelled(operations), count) for operations, count in totals.items())))
    assert sum(totals.values()) >= OPERATIONS_LEAST, totals


if __name__ == "__main__":
    main()
