#!/usr/bin/env python3
"""A host of the C client whose memory runs out: each allocation of a set of calls, alone and with some that follow.

client_out_of_memory.py does one of them, and tells how. (Each allocation of a daemon: test_memory.py.)
"""

import collections
import itertools
import os
import sys

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), folder) for folder in (".", "../python")]

from client_out_of_memory import NO_MEMORY, Shortage, make_store, run  # noqa: E402
from harness import Daemon, main, note, test  # noqa: E402
from many import each  # noqa: E402

ALLOCATIONS_LEAST = 50      # of calls that are worth their name


def sweep(mode, times):
    told, broken, fired, last, duplicates = collections.Counter(), [], 0, 0, 0
    with Daemon(durability="committed") as daemon:
        make_store(daemon.socket)
        for shortage, result in each(run, (Shortage(daemon.socket, mode, at, times) for at in itertools.count(1))):
            if result.broken is None and result.failed == 0:
                break
            fired, last, duplicates = fired + 1, shortage.at, duplicates + result.duplicates
            told.update(result.told)
            if result.broken or result.failed == 0:
                broken.append("tests/faults/client_out_of_memory.py %s %d %d: %s" % (
                    mode, shortage.at, times, result.broken or "it never failed"))
    note("%d allocations up to the %dth failed%s; %d calls failed, %d were not taken; %d writes that were sent again "
         "had been carried out" % (
             fired, last, "" if times == 1 else ", with %d that follow each" % (times - 1),
             sum(count for (code, outcome), count in told.items() if code == NO_MEMORY and outcome is not None),
             told[NO_MEMORY, None], duplicates))
    assert not broken, "\n".join(broken[:20])
    assert last >= ALLOCATIONS_LEAST, last
    # Who waits for each answer has nothing on its way when the connection is cut.
    assert duplicates > 0 or mode == "blocking"


for _mode in ("blocking", "queued"):
    test("%s calls: every allocation fails, alone" % _mode)(lambda mode=_mode: sweep(mode, 1))
    test("%s calls: every allocation fails, with those that follow" % _mode)(lambda mode=_mode: sweep(mode, 5))


if __name__ == "__main__":
    main()
