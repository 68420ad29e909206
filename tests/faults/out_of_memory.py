#!/usr/bin/env python3
"""A daemon whose memory runs out in the middle of a set of requests, and what must be true then and afterwards.

    out_of_memory.py AT TIMES       one of them, told in full

run() is one of them: from the moment the daemon is ready the Nth allocation fails, and so many after it. A
call may fail, a connection may be closed, and a commit whose outcome nobody knows ends the daemon, which says why. It
must not crash, and must not lie: afterwards all that was acknowledged is there, and nothing that was refused.
"""

import collections
import os
import shutil
import sys
import tempfile
import time

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), folder) for folder in (".", "../python")]

from aftermath import FOLDER, OPTIONS, aftermath  # noqa: E402
from harness import Daemon, DaemonFailed  # noqa: E402
from io_error import Result, play_lives  # noqa: E402
from memory import Memory  # noqa: E402
from records import Broken  # noqa: E402
from workload import FEW, WAIT_SECONDS, Play  # noqa: E402

Shortage = collections.namedtuple("Shortage", "at times")


def wait_until_ready(daemon):
    """It listens before it is through with starting."""
    bound = time.monotonic() + WAIT_SECONDS
    while " ready, " not in daemon.log():
        if not daemon.running():
            raise DaemonFailed("the daemon ended while it started")
        if time.monotonic() > bound:
            raise Broken("the daemon does not become ready")
        time.sleep(0.001)


class _Failing:
    """What fails, for play_lives."""

    def __init__(self, memory, daemon):
        self.memory, self.daemon = memory, daemon

    def begin(self):
        """Starts are another test's: test_memory.py."""
        wait_until_ready(self.daemon)
        self.memory.control.armed = 1

    def repair_alive(self):
        self.memory.control.armed = 0
        return True

    def repair_dead(self):
        self.memory.control.armed = 0
        return True


def run(shortage, keep=False):
    """Returns a Result."""
    directory = tempfile.mkdtemp(prefix="kyneta-memory-", dir=FOLDER)
    memory = Memory(directory)
    memory.control.fail_at, memory.control.fail_times = shortage
    daemon = Daemon(directory, memory.environment(), **OPTIONS)
    play, result = Play(daemon, FEW), Result()
    try:
        play_lives(daemon, play, result, _Failing(memory, daemon))
        for client in play.clients:
            result.told.update(client.link.told)
        _, result.resent, result.duplicates = aftermath(Daemon(directory, **OPTIONS), play, False)
    except Broken as broken:
        result.broken = str(broken)
    finally:
        result.failed = memory.control.failed
        daemon.kill()
        for client in play.clients:
            client.link.abandon()
        if not keep:
            shutil.rmtree(directory)
    return result


def main():
    result = run(Shortage(int(sys.argv[1]), int(sys.argv[2])), keep=True)
    print("%d allocations failed; exit statuses %s; clients were told %s; %d writes sent again, %d of them were there"
          % (result.failed, dict(result.ends), dict(result.told), result.resent, result.duplicates))
    print(result.broken or "every promise was kept")
    return 1 if result.broken else 0


if __name__ == "__main__":
    sys.exit(main())
