#!/usr/bin/env python3
"""A daemon whose memory runs out: each allocation of a set of requests, alone and with some that follow.

out_of_memory.py does one of them, and tells how. Whose allocations they are does not matter: the daemon's, SQLite's, the
event loop's. (A host's: test_client_memory.py.)
"""

import collections
import itertools
import os
import sys

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), folder) for folder in (".", "../python")]

from harness import main, note, test  # noqa: E402
from io_error import COULD_NOT_START, COULD_NOT_WRITE  # noqa: E402
from kyneta_store_client import NOT_APPLIED, UNKNOWN  # noqa: E402
from many import each  # noqa: E402
from out_of_memory import Shortage, run  # noqa: E402

ALLOCATIONS_LEAST = 500     # of requests that are worth their name

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


if __name__ == "__main__":
    main()
