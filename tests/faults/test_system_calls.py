#!/usr/bin/env python3
"""System calls that fail: for a sample of them what io_error.py shows for all operations of the disk, with nothing of ours
between the daemon and the kernel. strace makes them fail; it counts them for each thread by itself.
"""

import collections
import os
import shutil
import sys
import tempfile

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), folder) for folder in (".", "../python")]

from aftermath import FOLDER, OPTIONS, aftermath  # noqa: E402
from harness import Daemon, main, note, test  # noqa: E402
from io_error import COULD_NOT_START, COULD_NOT_WRITE, DAMAGED, SCRIPT, Result, play_lives  # noqa: E402
from many import each  # noqa: E402
from records import Broken  # noqa: E402
from workload import Play  # noqa: E402

Injection = collections.namedtuple("Injection", "call error when")


class _Strace:
    """What fails, for play_lives: it can be mended between two daemons only."""

    def __init__(self, daemon, log, injection):
        self.daemon, self.injection = daemon, injection
        daemon.wrapper = ["strace", "-D", "-f", "-qq", "-o", log, "-e", "trace=" + injection.call,
                          "-e", "inject=%s:error=%s:when=%s" % injection]

    def begin(self):
        pass

    def repair_alive(self):
        return False

    def repair_dead(self):
        self.daemon.wrapper = []
        return True


def run(injection):
    directory = tempfile.mkdtemp(prefix="kyneta-calls-", dir=FOLDER)
    daemon = Daemon(directory, **OPTIONS)
    play, result = Play(daemon, SCRIPT), Result()
    log = os.path.join(directory, "strace")
    try:
        play_lives(daemon, play, result, _Strace(daemon, log, injection))
        for client in play.clients:
            result.told.update(client.link.told)
        with open(log, encoding="utf-8") as file:
            result.failed = file.read().count("(INJECTED)")
        _, result.resent, result.duplicates = aftermath(Daemon(directory, **OPTIONS), play, False)
    except Broken as broken:
        result.broken = str(broken)
    finally:
        daemon.kill()
        for client in play.clients:
            client.link.abandon()
        shutil.rmtree(directory)
    return result


def sample(call, error, *whens):
    @test("%s fails with %s: %s" % (call, error, ", ".join(whens)))
    def _():
        broken, ends, told, resent = [], collections.Counter(), collections.Counter(), 0
        for injection, result in each(run, [Injection(call, error, when) for when in whens]):
            if result.broken is None and not result.failed:
                result.broken = "it did not come to pass"
            ends.update(result.ends)
            told.update(result.told)
            resent += result.resent
            if result.broken:
                broken.append("inject=%s:error=%s:when=%s: %s" % (*injection, result.broken))
        note("%d daemons that did not start, %d that ended; %d calls failed; %d writes were sent again"
             % (ends[COULD_NOT_START] + ends[DAMAGED], ends[COULD_NOT_WRITE],
                sum(count for (code, _), count in told.items() if code >= 400), resent))
        assert not broken, "\n".join(broken)


sample("fdatasync", "EIO", "1", "2", "3", "4", "6", "9", "2+", "5+")
sample("fdatasync", "ENOSPC", "5")
sample("fsync", "EIO", "1", "2")
sample("pwrite64", "EIO", "3", "8", "13", "18", "10+")
sample("pwrite64", "ENOSPC", "3", "8", "13", "18", "10+")
sample("pwrite64", "EDQUOT", "17", "12+")
sample("pread64", "EIO", "7", "11", "16", "12+")
sample("ftruncate", "EIO", "1", "2", "3", "1+")
sample("fcntl", "ENOLCK", "9", "30", "61")
sample("unlink", "EIO", "1", "2")


if __name__ == "__main__":
    main()
