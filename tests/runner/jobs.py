"""Jobs that are under way: processes with a limit, and what they used.

A job's process leads a session of its own; with it ends what it has started and not made a session for. A job has:

    begun               True from jobs.begin() on
    limit               seconds that it may take
    command()           (words, environment beside this process's)
    log                 where its output goes
    done(status, seconds, cpu)      is called once; status is None if it took longer than its limit
"""

import os
import selectors
import signal
import socket
import subprocess
import sys
import time

GRACE_SECONDS = 30      # between SIGTERM and SIGKILL


class Result:
    """What came of a job: tests passed, failed and skipped, and a note for each that failed or was skipped."""

    def __init__(self, name, log):
        self.name, self.log = name, log
        self.seconds = self.cpu = 0
        self.passed = self.failed = self.skipped = 0
        self.notes = []

    def fail(self, note):
        self.failed += 1
        self.notes.append("failed: " + note)


class _Process:
    def __init__(self, job):
        self.job = job
        words, environment = job.command()
        with open(job.log, "wb") as log:
            # env: what cannot be started says so in the log, and ends as it would in a shell.
            self.process = subprocess.Popen(["env", "--", *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, env={**os.environ, **environment})
        self.begun = time.monotonic()
        self.deadline = self.begun + job.limit
        self.took_too_long = False
        self.descriptor = os.pidfd_open(self.process.pid)

    def signal(self, number):
        """To all of its processes; there may be none any more."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def cut_off(self):
        """Its time is over: first an order, which leaves it time to tell and to clear up, then the end."""
        self.signal(signal.SIGKILL if self.took_too_long else signal.SIGTERM)
        self.took_too_long = True
        self.deadline = time.monotonic() + GRACE_SECONDS

    def end(self):
        """It has ended: collect it, and what it has left behind."""
        self.signal(signal.SIGKILL)
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        os.close(self.descriptor)
        self.job.done(None if self.took_too_long else self.process.returncode, time.monotonic() - self.begun,
                      usage.ru_utime + usage.ru_stime)


class Stopped(Exception):
    """This program was told to stop, and has ended its jobs. Has the signal's number."""

    def __init__(self, number):
        self.number = number


class Jobs:
    def __init__(self):
        self.selector = selectors.DefaultSelector()
        # Signals arrive as bytes, and so only where they are waited for.
        self.signals, end = socket.socketpair()
        end.setblocking(False)
        self.end_of_signals = end
        signal.set_wakeup_fd(end.fileno())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, frame: None)
        self.selector.register(self.signals, selectors.EVENT_READ)
        self.under_way = []

    def begin(self, job):
        job.begun = True
        process = _Process(job)
        self.selector.register(process.descriptor, selectors.EVENT_READ, process)
        self.under_way.append(process)

    def wait(self):
        """Wait until some have ended, if there are any; returns them."""
        ended = []
        while self.under_way and not ended:
            for process in self.under_way:
                if process.deadline <= time.monotonic():
                    process.cut_off()
            deadline = min(process.deadline for process in self.under_way)
            for key, _ in self.selector.select(max(0, deadline - time.monotonic())):
                if key.fileobj is self.signals:
                    self._stop(self.signals.recv(1)[0])
                self.selector.unregister(key.fd)
                self.under_way.remove(key.data)
                key.data.end()
                ended.append(key.data.job)
        return ended

    def _stop(self, number):
        for process in self.under_way:
            process.signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        for process in self.under_way:
            try:
                process.process.wait(max(0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                print("does not end: " + process.job.log, file=sys.stderr)
            process.signal(signal.SIGKILL)
        raise Stopped(number)
