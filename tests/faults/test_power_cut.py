#!/usr/bin/env python3
"""Power cuts at every point of a workload: what was acknowledged as synced is there, whole, and nothing is there twice.

power_cut.py does one of them, and tells how. And the other way around: on a disk that leaves out one kind of sync, the
same cuts must break a promise, or this test would not notice a daemon that forgets it.
"""

import collections
import itertools
import os
import sys

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), folder) for folder in (".", "../python")]

from disk import CHANGES, MODES, SYNCS, kinds  # noqa: E402
from harness import main, note, test  # noqa: E402
from many import each  # noqa: E402
from power_cut import Cut, named, run  # noqa: E402

DROP, KEEP, TEAR, STAY = (MODES[name] for name in ("DROP", "KEEP", "TEAR", "STAY"))

SYNCS_LEAST = 80        # of a workload that is worth its name
MUTATION_CUTS_MOST = 2000


class Tally:
    """What many cuts came to."""

    def __init__(self):
        self.cuts = self.lost = self.resent = self.duplicates = self.after_the_end = 0
        self.stops = collections.Counter()
        self.broken = []

    def add(self, cut, result):
        self.cuts += 1
        self.after_the_end += not result.stops
        self.stops.update(result.stops)
        self.lost += result.lost
        self.resent += result.resent
        self.duplicates += result.duplicates
        if result.broken:
            self.broken.append("tests/faults/power_cut.py %s: %s" % (named(cut), result.broken))

    def tell(self, what):
        note("%s: %d cuts at %d operations (%s)" % (
            what, self.cuts - self.after_the_end, sum(self.stops.values()),
            ", ".join("%s %d" % pair for pair in self.stops.most_common())))
        note("%d committed writes lost, none that was synced; %d writes sent again, %d of them were there"
             % (self.lost, self.resent, self.duplicates))
        assert not self.broken, "\n".join(self.broken)


def cut_everywhere(operations, modes, step=1):
    """Cut power at each of these operations, until the workload ends before it comes so far. Returns how many, and a Tally."""
    tally = Tally()
    last = 0
    cuts = (Cut(operations, at, mode, seed) for at in itertools.count(1, step) for mode, seed in modes)
    for cut, result in each(run, cuts):
        tally.add(cut, result)
        if result.stops:
            last = max(last, cut.at)
        elif cut.at > last + 2 * step:
            break
    return last, tally


@test("power is cut at every sync: nothing, all or parts of what is not synced arrive")
def _():
    syncs, tally = cut_everywhere(SYNCS, [(DROP, 0), (KEEP, 0)] + [(TEAR, seed) for seed in range(6)])
    tally.tell("%d syncs" % syncs)
    assert syncs >= SYNCS_LEAST, syncs


@test("power is cut at every other change of a file, and a part of what is not synced arrives")
def _():
    changes, tally = cut_everywhere(CHANGES, [(TEAR, 0)])
    tally.tell("%d changes" % changes)
    assert changes >= SYNCS_LEAST, changes


@test("power is cut once more while the daemon recovers")
def _():
    tally = Tally()
    firsts = [Cut(SYNCS, at, mode, at) for at in range(4, SYNCS_LEAST, 16) for mode in (KEEP, TEAR)]
    seconds = [Cut(SYNCS | CHANGES, at, TEAR, at) for at in range(1, 25)]
    for cut, result in each(run, (first._replace(then=then) for first in firsts for then in seconds)):
        tally.add(cut, result)
    tally.tell("%d first cuts, %d second ones" % (len(firsts), len(seconds)))


@test("the daemon dies with nothing lost, another goes on, and then power is cut")
def _():
    tally = Tally()
    # Most of them while a commit is under way that somebody waits for, and hears of from the next daemon.
    deaths = [Cut(SYNCS, at, STAY, 0) for at in range(12, SYNCS_LEAST, 3)]
    cuts = [Cut(SYNCS, at, mode, at) for at, mode in zip((1, 2, 3, 4, 5, 8, 13, 21, 34), itertools.cycle((DROP, TEAR)))]
    for cut, result in each(run, (death._replace(then=then) for death in deaths for then in cuts)):
        tally.add(cut, result)
    tally.tell("%d deaths, %d cuts" % (len(deaths), len(cuts)))


def caught(kind):
    """The first cut that breaks a promise on a disk that leaves out this kind of sync."""
    modes = [(DROP, 0)] + [(TEAR, seed) for seed in range(6)]
    cuts = (Cut(SYNCS, at, mode, seed, kinds(kind)) for at in itertools.count(1) for mode, seed in modes)
    for cut, result in each(run, itertools.islice(cuts, MUTATION_CUTS_MOST)):
        if result.broken:
            return cut, result
    raise AssertionError("no cut of %d was noticed" % MUTATION_CUTS_MOST)


def mutation(kind, meaning):
    @test("without a sync of %s a promise is broken" % meaning)
    def _():
        cut, result = caught(kind)
        note("caught at sync %d, a %s (power_cut.py %s): %s"
             % (cut.at, result.stops[-1], named(cut), result.broken.splitlines()[0]))


mutation("SYNC_COMMIT", "the log at a commit")
mutation("SYNC_HEADER", "the log's new header")
mutation("SYNC_BEFORE", "the log before a checkpoint")
mutation("SYNC_AFTER", "the database after a checkpoint")
mutation("SYNC_REQUEST", "the log when a client asks for it")
mutation("SYNC_OTHER", "a journal, or the database by itself")
mutation("SYNC_FOLDER", "the folder")


if __name__ == "__main__":
    main()
