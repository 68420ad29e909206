#!/usr/bin/env python3
"""A power cut in the middle of the workload, and what must be true afterwards.

    power_cut.py KINDS AT MODE SEED SKIP [KINDS AT MODE SEED SKIP]

tells one of them in full; KINDS and SKIP are names of disk.h, joined by +, or - for none.

run() is one power cut: a new daemon on a disk that loses what is not synced (disk.h), the workload, the cut at an
operation of the disk; then a daemon on a plain disk, which recovers. What it finds must be what Verdict allows, the
clients send again what was unanswered, go on writing, and all of it must be there in the end.

With a second cut, another daemon comes in between, on such a disk, too. If the first one's end was the daemon's alone
(STAY), it goes on with the workload, and everything acknowledged must be there; else it has just begun to recover when
power is cut again.
"""

import collections
import os
import shutil
import sys
import tempfile

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), folder) for folder in (".", "../python")]

from aftermath import FOLDER, OPTIONS, aftermath  # noqa: E402
from disk import MODES, Disk, kinds, spelled  # noqa: E402
from harness import Daemon, DaemonFailed  # noqa: E402
from records import Broken  # noqa: E402
from workload import WHOLE, Gone, Play  # noqa: E402

Cut = collections.namedtuple("Cut", "kinds at mode seed skip then", defaults=(0, None))


def named(cut):
    """A cut as the words that make it again."""
    words = "%s %d %s %d %s" % (spelled(cut.kinds), cut.at, list(MODES)[cut.mode], cut.seed, spelled(cut.skip))
    return words + " " + named(cut.then) if cut.then else words


class Result:
    def __init__(self):
        self.stops = []             # at which kinds of operation; none: the workload was over before
        self.broken = None          # what a promise was broken by
        self.lost = 0               # writes that were answered as committed, and are gone
        self.resent = self.duplicates = 0

    def add(self, aftermath):
        self.lost, self.resent, self.duplicates = aftermath


def run(cut, keep=False):
    """Returns a Result."""
    directory = tempfile.mkdtemp(prefix="kyneta-cut-", dir=FOLDER)
    disk = Disk(directory)
    daemon = Daemon(directory, disk.environment(), **OPTIONS)
    play, result = Play(daemon, WHOLE), Result()
    try:
        _prepare(disk, cut)
        _until_cut(daemon, disk, play)
        if disk.control.stopped and cut.then:
            result.stops.append(disk.stopped_at())
            _second(daemon, disk, play, cut)
        if disk.control.stopped:
            result.stops.append(disk.stopped_at())
        lost_power = len(result.stops) > (cut.mode == MODES["STAY"])
        result.add(aftermath(Daemon(directory, **OPTIONS), play, lost_power))
    except Broken as broken:
        result.broken = str(broken)
    finally:
        daemon.kill()
        for client in play.clients:
            client.link.abandon()
        if not keep:
            shutil.rmtree(directory)
    return result


def _prepare(disk, cut):
    disk.set(simulate=1, stop_kinds=cut.kinds, stop_at=cut.at, stop_mode=cut.mode, seed=cut.seed, skip=cut.skip,
             stop_count=0, stopped=0)


def _until_cut(daemon, disk, play):
    while True:
        try:
            daemon.start()
            play.go_on()
            play.run()
        except (Gone, DaemonFailed):
            pass
        else:
            daemon.terminate()
        status = daemon.wait()
        play.drain()
        if disk.control.stopped or (status == 0 and play.over()):
            return
        if status != 0:
            raise Broken("the daemon ended with status %d: %s" % (status, daemon.log()))


def _second(daemon, disk, play, cut):
    _prepare(disk, cut.then)
    if cut.mode == MODES["STAY"]:
        for client in play.clients:
            client.lose_session()
        _until_cut(daemon, disk, play)
        return
    try:
        daemon.start()
    except DaemonFailed:
        if not disk.control.stopped:
            raise Broken("the daemon does not recover: " + daemon.log()) from None
    # To such a disk this is a power cut, too: nothing that is not synced arrives.
    daemon.kill()


def _parse(words):
    if not words:
        return None
    chosen = [0 if word == "-" else kinds(*word.split("+")) for word in (words[0], words[4])]
    return Cut(chosen[0], int(words[1]), MODES[words[2]], int(words[3]), chosen[1], _parse(words[5:]))


def main():
    result = run(_parse(sys.argv[1:]), keep=True)
    print("ended at %s; %d writes lost that were committed, %d sent again, %d of them were there"
          % (" and at ".join(result.stops) or "the end", result.lost, result.resent, result.duplicates))
    print(result.broken or "every promise was kept")
    return 1 if result.broken else 0


if __name__ == "__main__":
    sys.exit(main())
