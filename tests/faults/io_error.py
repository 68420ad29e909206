#!/usr/bin/env python3
"""A disk that fails in the middle of the workload, and what must be true then and afterwards.

    io_error.py KINDS AT TIMES ERROR LOSE       one of them, told in full: KINDS are names of disk.h, joined by +; ERROR is
                                                EIO, ENOSPC …, SHORT or SHORT_FULL; LOSE is 0 or 1

run() is one fault: the Nth operation of some kinds fails, and so many after it. The daemon may refuse what it is asked, end
and say why, or not start and say why. It must not lie: afterwards, on a disk that does not fail, all that was acknowledged
is there, nothing that was refused is, and what nobody knew is answered. If it lives on, it works again once the disk does.

lose: what is not synced never reaches the disk once a sync has failed, even if the next one succeeds. (Linux may do that.)
"""

import collections
import errno
import os
import shutil
import sys
import tempfile

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), folder) for folder in (".", "../python")]

from aftermath import FOLDER, OPTIONS, aftermath  # noqa: E402
from disk import SHORT, SHORT_FULL, Disk, kinds, spelled  # noqa: E402
from harness import Daemon, DaemonFailed  # noqa: E402
from records import Broken  # noqa: E402
from workload import SHORT as SCRIPT  # noqa: E402
from workload import Gone, Play, Refused  # noqa: E402

FOR_GOOD = 1 << 30

CLOSED_MOST = 10000     # a bound, not an expectation

ERRORS = {"SHORT": SHORT, "SHORT_FULL": SHORT_FULL, **{name: number for number, name in errno.errorcode.items()}}

# Exit statuses. What a disk cannot read back SQLite holds to be damaged.
DAMAGED, COULD_NOT_WRITE, COULD_NOT_START = 1, 3, 5

Fault = collections.namedtuple("Fault", "kinds at times error lose", defaults=(False,))


def named(fault):
    error = next(name for name, number in ERRORS.items() if number == fault.error)
    return "%s %d %d %s %d" % (spelled(fault.kinds), fault.at, fault.times, error, fault.lose)


class Result:
    def __init__(self):
        self.failed = 0                         # operations
        self.broken = None
        self.ends = collections.Counter()       # by exit status
        self.told = collections.Counter()       # errors that clients got: (code, outcome)
        self.resent = self.duplicates = 0


def run(fault, keep=False):
    """Returns a Result."""
    directory = tempfile.mkdtemp(prefix="kyneta-io-", dir=FOLDER)
    disk = Disk(directory)
    disk.set(simulate=fault.lose, fail_kinds=fault.kinds, fail_at=fault.at, fail_times=fault.times, fail_error=fault.error)
    daemon = Daemon(directory, disk.environment(), **OPTIONS)
    play, result = Play(daemon, SCRIPT), Result()
    try:
        play_lives(daemon, play, result, _Failing(disk, fault))
        for client in play.clients:
            result.told.update(client.link.told)
        _, result.resent, result.duplicates = aftermath(Daemon(directory, **OPTIONS), play, fault.lose)
    except Broken as broken:
        result.broken = str(broken)
    finally:
        result.failed = disk.control.failed
        daemon.kill()
        for client in play.clients:
            client.link.abandon()
        if not keep:
            shutil.rmtree(directory)
    return result


class _Failing:
    """What fails, for play_lives."""

    def __init__(self, disk, fault):
        self.disk, self.fault = disk, fault

    def begin(self):
        """A daemon accepts connections."""

    def repair_alive(self):
        """The daemon still lives at the end: mend what fails, if it has failed. Can it be done?"""
        if self.disk.control.failed:
            self.disk.set(fail_at=0)
        return self.disk.control.failed > 0

    def repair_dead(self):
        """The daemon has ended: mend what fails for good. May another one go on?"""
        if self.fault.times == FOR_GOOD:
            self.disk.set(fail_at=0)
        return not self.fault.lose


def play_lives(daemon, play, result, failing):
    """The whole of the workload, with as many daemons as it takes."""
    while not play.over() or daemon.running():
        status = _live(daemon, play, failing)
        result.ends[status] += 1
        if status == 0:
            continue
        _check_end(daemon, status)
        for client in play.clients:
            client.lose_session()
        if not failing.repair_dead():
            return


def _live(daemon, play, failing):
    """One life of the daemon. Returns its exit status."""
    try:
        daemon.start()
    except DaemonFailed:
        return daemon.wait()
    failing.begin()
    for _ in range(CLOSED_MOST):
        try:
            play.try_to_go_on()
            play.run()
            if failing.repair_alive():
                _check_that_all_works(play)
            daemon.terminate()
            break
        except Gone:
            # A connection may be closed without an answer; a daemon that ends does not listen any more.
            if not daemon.accepts():
                break
    status = daemon.wait()
    play.drain()
    return status


def _check_that_all_works(play):
    """The disk does again."""
    try:
        play.go_on()
        before = {client: len(client.writes) for client in play.clients}
        play.one_more_wave()
    except Refused as refused:
        raise Broken("the disk works again, and a hello is refused: %s" % refused) from None
    for client, count in before.items():
        for write in client.writes[count:]:
            if write.failed():
                raise Broken("the disk works again, and %s fails: %s" % (write, write.call.error))


def _check_end(daemon, status):
    """It says why, in the last lines of its log."""
    log = daemon.log().splitlines()[-3:]
    why = {DAMAGED: "malformed", COULD_NOT_WRITE: " critical: ", COULD_NOT_START: "kyneta-stored: "}
    if status not in why or not any(why[status] in line for line in log):
        raise Broken("the daemon ended with status %d: %s" % (status, daemon.log()))


def _parse(words):
    return Fault(kinds(*words[0].split("+")), int(words[1]), int(words[2]), ERRORS[words[3]], words[4:5] == ["1"])


def main():
    result = run(_parse(sys.argv[1:]), keep=True)
    print("%d operations failed; exit statuses %s; clients were told %s; %d writes sent again, %d of them were there"
          % (result.failed, dict(result.ends), dict(result.told), result.resent, result.duplicates))
    print(result.broken or "every promise was kept")
    return 1 if result.broken else 0


if __name__ == "__main__":
    sys.exit(main())
