"""The suites: lines of the table, the jobs that they stand for, and what their TAP says."""

import glob
import os
import re
import subprocess

import builds
from jobs import Result


class Line:
    """A line of tests/suites, which tells what is in it."""

    def __init__(self, words):
        self.name, self.build_words = words[0], words[1]
        self.builds = [name for name in words[1].split("+") if name != "none"]
        for name in self.builds:
            if name not in builds.KINDS:
                raise SystemExit('tests/suites: unknown build "%s"' % name)
        self.cores, self.limit, self.words = "1", 0, words[4:]
        if len(words) > 2:
            self.cores, self.limit = words[2], int(words[3])
        self.wanted = []        # names of suites; none: all

    def __str__(self):
        return ("%-16s %-10s %s" % (self.name, self.build_words, " ".join(self.words))).rstrip()

    def is_wanted(self, name):
        """Is the suite, or the line that makes it, asked for?"""
        return not self.wanted or any(
            name == want or name.startswith(want + "/") or want.startswith(name + "/") for want in self.wanted)

    def suites(self, root, logs, cores):
        """The jobs: one, or one for each file that a word with a * matches."""
        build = self.build_words.split("+")[0]
        words = [word.replace("{build}", builds.directory_of(build)) for word in self.words]
        if not words:
            return []

        def suite(name, command):
            taken = cores if self.cores == "all" else min(cores, int(self.cores))
            return Suite(name, build, command, taken, self.limit, root, logs)

        at = next((at for at, word in enumerate(words) if "*" in word), None)
        if at is None:
            return [suite(self.name, words)]
        found = [suite(name, words[:at] + [path] + words[at + 1:])
                 for path in sorted(glob.glob(words[at], root_dir=root)) if os.path.isfile(os.path.join(root, path))
                 for name in [self._name_for(path)] if self.is_wanted(name)]
        return found or [NoSuite(self.name, words[at])]

    def _name_for(self, path):
        """contract-asan and contract-files give contract-asan/files; system and test_start.py give system/start."""
        one = os.path.splitext(os.path.basename(path))[0]
        return self.name + "/" + one.removeprefix(self.name.split("-")[0] + "-").removeprefix("test_")


def read_table(path):
    with open(path, encoding="utf-8") as file:
        lines = [line.split("#")[0].split() for line in file]
    return [Line(words) for words in lines if words]


class NoSuite:
    """What is left of a line that stands for nothing: a job that has ended already."""

    begun = True

    def __init__(self, name, pattern):
        self.name = name
        self.result = Result(name, None)
        self.result.fail("no file is " + pattern)


class Suite:
    """A job. Counts what the suite printed, and looks for what it does not say itself."""

    def __init__(self, name, build, words, cores, limit, root, logs):
        self.name, self.build, self.words, self.cores, self.limit = name, build, words, cores, limit
        self.directory = os.path.normpath(os.path.join(root, builds.directory_of(build)))
        self.base = os.path.join(logs, name.replace("/", "-"))
        self.log = self.base + ".log"
        self.begun, self.result = False, None

    def command(self):
        for path in self._sanitizer_logs():
            os.unlink(path)
        log_path = "log_path=%s.sanitizer" % self.base
        return _wrapper(self.build) + self.words, {
            "KYNETA_BUILD": self.directory,
            "KYNETA_STORED_BIN": os.path.join(self.directory, "daemon", "kyneta-stored"),
            "KYNETA_STORECTL_BIN": os.path.join(self.directory, "client", "ctl", "kyneta-storectl"),
            "KYNETA_SANITIZED": "1" if self.build in ("asan", "tsan") else "",
            "ASAN_OPTIONS": "detect_leaks=1:" + log_path,
            "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1:" + log_path,
            "TSAN_OPTIONS": "exitcode=66:report_thread_leaks=0:" + log_path,
        }

    def _sanitizer_logs(self):
        return glob.glob(glob.escape(self.base + ".sanitizer") + ".*")

    def done(self, status, seconds, cpu):
        result = Result(self.name, self.log)
        result.seconds, result.cpu = seconds, cpu
        with open(self.log, encoding="utf-8", errors="replace") as file:
            planned = count_tap(file, result)
        ran = result.passed + result.failed + result.skipped
        reason = None
        if status is None:
            reason = "took longer than its %d s" % self.limit
        elif planned is None:
            reason = "printed no plan (1..N), status %d" % status
        elif planned != ran:
            reason = "planned %d tests and ran %d, status %d" % (planned, ran, status)
        elif status != 0 and not result.failed:
            reason = "ended with status %d" % status
        complaints = self._sanitizer_logs()
        if complaints:
            reason = "made a sanitizer complain"
            with open(self.log, "ab") as log:
                for path in complaints:
                    with open(path, "rb") as file:
                        log.write(file.read())
        if reason:
            result.fail("it " + reason)
        self.result = result


def _wrapper(build):
    """ThreadSanitizer wants the addresses where it expects them; some kernels spread them farther."""
    words = ["setarch", "--addr-no-randomize"]
    if build == "tsan" and subprocess.run(words + ["true"], stderr=subprocess.DEVNULL).returncode == 0:
        return words
    return []


def count_tap(lines, result):
    """Adds what these lines say to the result; returns how many tests they plan, None: they do not say."""
    planned = None
    for line in map(str.rstrip, lines):
        skip = re.search(r"# *skip", line, re.I)
        plan = re.match(r"1\.\.(\d+)", line)
        said = re.match(r"(not )?ok(?=[ \t]|$)[ \t]*\d*[ \t]*(?:- )?(.*)", line)
        if plan:
            planned = int(plan[1])
        if plan and planned == 0 and skip:
            planned, result.skipped = 1, result.skipped + 1
            result.notes.append("skipped: " + line)
        elif said and skip:
            result.skipped += 1
            result.notes.append("skipped: " + said[2])
        elif said and said[1]:
            result.fail(said[2])
        elif said:
            result.passed += 1
        elif line.startswith("Bail out!"):
            result.fail(line)
            planned = None if planned is None else planned + 1
    return planned
