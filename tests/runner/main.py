"""tests/run: build with every compiler, run the suites of tests/suites, several at a time, and count what they say.

Everything that is done is a job: a build or a suite. A job begins when what it needs is built and as many cores as it takes
are left of --jobs; the first in the table goes first. A suite that takes all is alone, and so comes last. Each job prints one
line when it and everything before it in the table has ended: the lines are always in the same order.

A job's output is kept in build/test-logs/NAME.log, and its end shown if the job failed. A suite fails if it says so in its TAP,
ends with another status than 0, prints another number of tests than it planned, is not done within its limit, or if a
sanitizer found something in any process that it started. Builds count as tests: a warning is a failure.
"""

import argparse
import os
import signal
import sys
import time

import builds
from jobs import Jobs, Stopped
from suites import Line, Suite, read_table

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOGS = os.path.join(ROOT, "build", "test-logs")
LINES_SHOWN = 150


class Report:
    """Prints results in the order of the table, and adds them up."""

    def __init__(self, in_ci):
        self.in_ci = in_ci
        self.passed = self.failed = self.skipped = 0
        self.cpu = 0
        self.notes = []
        self.begun = time.monotonic()

    def add(self, result):
        """What is skipped in CI failed."""
        failed, skipped = result.failed, result.skipped
        if self.in_ci:
            failed, skipped = failed + skipped, 0
        self.passed += result.passed
        self.failed += failed
        self.skipped += skipped
        self.cpu += result.cpu
        self.notes += ["%s %s" % (result.name, note) for note in result.notes]
        text = "%d passed" % result.passed + (", %d failed" % failed if failed else "") + (", %d skipped" % skipped if skipped else "")
        print("%-28s %6.1f s %6.1f s CPU   %s" % (result.name, result.seconds, result.cpu, text), flush=True)
        if failed and result.log:
            self._show(result.log)

    def _show(self, log):
        print("---- the end of " + os.path.relpath(log, ROOT))
        with open(log, encoding="utf-8", errors="replace") as file:
            sys.stdout.writelines(line.rstrip("\n") + "\n" for line in file.readlines()[-LINES_SHOWN:])
        print("----", flush=True)

    def end(self):
        """The last lines; returns the exit status."""
        for note in self.notes:
            print(note)
        print("%.0f s, %.0f s CPU" % (time.monotonic() - self.begun, self.cpu))
        print("%d passed, %d failed, %d skipped" % (self.passed, self.failed, self.skipped), flush=True)
        return 1 if self.failed else 0


class Plan:
    """What is left to do, in the order of the table."""

    def __init__(self, lines, cores):
        self.cores = cores
        # A build stands before the first line that needs it.
        self.entries, self.builds = [], {}
        for line in lines:
            for name in line.builds:
                if name not in self.builds:
                    self.builds[name] = builds.Build(name, cores, ROOT, LOGS)
                    self.entries.append(self.builds[name])
            self.entries.append(line)

    def expand(self):
        """A line whose builds have ended becomes the suites that it stands for; nothing if one of them failed."""
        entries = []
        for entry in self.entries:
            if isinstance(entry, Line) and all(self.builds[name].result for name in entry.builds):
                built = not any(self.builds[name].result.failed for name in entry.builds)
                entries += entry.suites(ROOT, LOGS, self.cores) if built else []
            else:
                entries.append(entry)
        self.entries = entries

    def next(self, free):
        """The first that can begin with so many free cores. None: nothing can. One build at a time, before everything else:
        it keeps all cores busy that are left to it, and others wait for it."""
        waiting = [entry for entry in self.entries if not isinstance(entry, Line) and not entry.begun and entry.cores <= free]
        building = any(build.begun and not build.result for build in self.builds.values())
        return next((entry for entry in sorted(waiting, key=lambda entry: isinstance(entry, Suite))
                     if isinstance(entry, Suite) or not building), None)

    def ended(self):
        """Takes what has ended from the front, and returns its results."""
        results = []
        while self.entries and not isinstance(self.entries[0], Line) and self.entries[0].result:
            results.append(self.entries.pop(0).result)
        return results


def run(plan, report, cores):
    jobs, free = Jobs(), cores
    while plan.entries:
        plan.expand()
        for result in plan.ended():
            report.add(result)
        job = plan.next(free)
        while job:
            free -= job.cores
            jobs.begin(job)
            job = plan.next(free)
        ended = jobs.wait()
        assert ended or not plan.entries
        free += sum(job.cores for job in ended)


def options(names):
    parser = argparse.ArgumentParser(
        prog="tests/run",
        description="Installs what the tests need (Debian 12, as root or with sudo), builds, and runs every suite, or those "
        'named: "unit" is all of unit/..., "unit/log" only that one. The last line is "N passed, N failed, N skipped"; the '
        "exit status is 1 if anything failed, and in CI (CI=true) also if anything was skipped.")
    parser.add_argument("--list", action="store_true", help="tell the names of the suites, and how they are run")
    parser.add_argument("--jobs", type=int, metavar="N", default=len(os.sched_getaffinity(0)) + 1,
                        help="so many at a time (one more than there are cores, since they wait a lot: %(default)s)")
    parser.add_argument("suites", nargs="*", metavar="SUITE")
    chosen = parser.parse_args()
    if chosen.jobs < 1:
        parser.error("--jobs takes a number from 1 on")
    for name in chosen.suites:
        if name.split("/")[0] not in names:
            parser.error('there is no suite "%s"; --list tells the names' % name)
    return chosen


def main():
    os.chdir(ROOT)
    table = read_table(os.path.join(ROOT, "tests", "suites"))
    chosen = options({line.name for line in table})
    if chosen.list:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        print("\n".join(map(str, table)))
        return 0
    os.makedirs(LOGS, exist_ok=True)
    for line in table:
        line.wanted = chosen.suites
    report = Report(os.environ.get("CI") == "true")
    try:
        run(Plan([line for line in table if line.is_wanted(line.name)], chosen.jobs), report, chosen.jobs)
    except Stopped as stopped:
        return 128 + stopped.number
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
