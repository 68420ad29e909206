#!/usr/bin/env python3
"""tests/run itself, on a tree of its own with suites that pass, fail, hang and die."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "python"))

from harness import expect_equal, main, test  # noqa: E402

HANGS_SECONDS = 300     # what hangs by design ends by itself, too, should nobody end it
RUN_SECONDS = 120       # a bound, not an expectation


class Tree:
    """A tree with tests/run, its runner, a setup that does nothing, and these suites."""

    def __init__(self, table, scripts):
        self.directory = tempfile.mkdtemp(prefix="kyneta-")
        self.put("tests/setup", "exit 0")
        self.put("tests/suites", table)
        for name, script in scripts.items():
            self.put(name, script)
        shutil.copy(os.path.join(ROOT, "tests", "run"), self.path("tests/run"))
        shutil.copytree(HERE, self.path("tests/runner"), ignore=shutil.ignore_patterns("test_*", "__pycache__"))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def put(self, name, text):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text if name.endswith((".build", ".txt", ".c")) else "#!/bin/bash\n" + text + "\n")
        os.chmod(path, 0o755)

    def exists(self, name):
        return os.path.exists(self.path(name))

    def begin(self, *words, in_ci=False):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KYNETA_") and name != "CI"}
        return subprocess.Popen([self.path("tests/run"), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, env={**environment, **({"CI": "true"} if in_ci else {})})

    def run(self, *words, in_ci=False):
        process = self.begin(*words, in_ci=in_ci)
        output = process.communicate(timeout=RUN_SECONDS)[0]
        return process.returncode, output.splitlines()


def results(lines):
    """The lines about suites, without their seconds: (name, text)."""
    found = (re.fullmatch(r"(\S+) +[\d.]+ s +[\d.]+ s CPU   (.*)", line) for line in lines)
    return [(match[1], match[2]) for match in found if match]


def check(table, scripts, words, status, expected, last, notes=(), in_ci=False):
    """Run them: the lines about suites are these, the last line is this, and every note is a line."""
    with Tree(table, scripts) as tree:
        found, lines = tree.run(*words, in_ci=in_ci)
        try:
            expect_equal(results(lines), expected)
            expect_equal((found, lines[-1]), (status, last))
            for wanted in notes:
                assert wanted in lines, wanted
        except AssertionError:
            print("".join("# tests/run: %s\n" % line for line in lines), end="")
            raise


PASS = "echo 1..2; echo ok 1 - one; echo ok 2 - two"
FAIL = "echo 1..2; echo ok 1 - one; echo not ok 2 - two; exit 1"
SKIP = "echo 1..2; echo ok 1 - one; echo 'ok 2 - two # SKIP not here'"


@test("what passes, fails and is skipped is counted, in the order of the table")
def _():
    table = "b none 1 60 ./fail\na none 1 60 ./pass\nc none 1 60 ./skip"
    scripts = {"pass": PASS, "fail": FAIL, "skip": SKIP}
    expected = [("b", "1 passed, 1 failed"), ("a", "2 passed"), ("c", "1 passed, 1 skipped")]
    notes = ["b failed: two", "c skipped: two # SKIP not here", "---- the end of build/test-logs/b.log", "not ok 2 - two"]
    check(table, scripts, [], 1, expected, "4 passed, 1 failed, 1 skipped", notes)
    check(table, scripts, ["a"], 0, expected[1:2], "2 passed, 0 failed, 0 skipped")
    check(table, scripts, ["a", "c"], 0, expected[1:], "3 passed, 0 failed, 1 skipped")


@test("what is skipped in CI failed")
def _():
    check("c none 1 60 ./skip", {"skip": SKIP}, [], 1, [("c", "1 passed, 1 failed")], "1 passed, 1 failed, 0 skipped",
          ["c skipped: two # SKIP not here"], in_ci=True)
    check("c none 1 60 ./none", {"none": "echo '1..0 # skip no disk'"}, [], 1, [("c", "0 passed, 1 failed")],
          "0 passed, 1 failed, 0 skipped", ["c skipped: 1..0 # skip no disk"], in_ci=True)


@test("a suite with a * is one for each file; some of them can be named")
def _():
    table = "kind-asan none 1 60 bash kinds/*.sh --end"
    scripts = {"kinds/test_b.sh": PASS, "kinds/kind-a.sh": '[ "$1" = --end ] && ' + PASS}
    check(table, scripts, [], 0, [("kind-asan/a", "2 passed"), ("kind-asan/b", "2 passed")], "4 passed, 0 failed, 0 skipped")
    check(table, scripts, ["kind-asan/b"], 0, [("kind-asan/b", "2 passed")], "2 passed, 0 failed, 0 skipped")
    check(table, {}, [], 1, [("kind-asan", "0 passed, 1 failed")], "0 passed, 1 failed, 0 skipped",
          ["kind-asan failed: no file is kinds/*.sh"])


@test("a suite that dies, says too little or too much, or ends badly has failed")
def _():
    for script, note, counts in [
            ("echo ok 1 - one; kill -SEGV $$", "it printed no plan (1..N), status -11", (1, 1)),
            ("echo 1..2; echo ok 1 - one; kill -SEGV $$", "it planned 2 tests and ran 1, status -11", (1, 1)),
            ("echo 1..1; echo ok 1 - one; echo ok 2 - two", "it planned 1 tests and ran 2, status 0", (2, 1)),
            (PASS + "; exit 3", "it ended with status 3", (2, 1)),
            ("echo 1..1; echo 'Bail out! no disk'; exit 1", "it planned 2 tests and ran 1, status 1", (0, 2)),
            (PASS + '; path=${ASAN_OPTIONS#*log_path=}; echo leak >"$path.1"', "it made a sanitizer complain", (2, 1)),
    ]:
        check("a none 1 60 ./a", {"a": script}, [], 1, [("a", "%d passed, %d failed" % counts)],
              "%d passed, %d failed, 0 skipped" % counts, ["a failed: " + note])
    check("a none 1 60 ./missing", {}, [], 1, [("a", "0 passed, 1 failed")], "0 passed, 1 failed, 0 skipped",
          ["a failed: it printed no plan (1..N), status 127"])


@test("a suite that hangs is ended with what it started, named, and its last words shown; the others go on")
def _():
    scripts = {"hang": "mkfifo fifo; (exec 3<>fifo; sleep %d) & echo 1..2; echo ok 1; echo '# last words'; wait" % HANGS_SECONDS, "pass": PASS}
    with Tree("hang none 1 1 ./hang\npass none 1 60 ./pass", scripts) as tree:
        status, lines = tree.run()
        expect_equal(results(lines), [("hang", "1 passed, 1 failed"), ("pass", "2 passed")])
        expect_equal((status, lines[-1]), (1, "3 passed, 1 failed, 0 skipped"))
        assert "# last words" in lines and "hang failed: it took longer than its 1 s" in lines, lines
        # Nobody has the fifo open any more: so nobody can write to it.
        with contextlib.suppress(OSError):
            os.close(os.open(tree.path("fifo"), os.O_WRONLY | os.O_NONBLOCK))
            raise AssertionError("what it started is there")


@test("as many run at a time as there are jobs; one that takes all is alone")
def _():
    # Each of the two waits for the other.
    meet = "mkfifo fifo-$1 2>/dev/null; mkfifo fifo-$2 2>/dev/null; echo >fifo-$2 & read <fifo-$1; wait; " + PASS
    table = "first none 1 60 ./first\nalone none all 60 ./alone\nsecond none 1 60 ./second"
    scripts = {"first": "set -- a b; " + meet + "; : >first-ended", "second": "set -- b a; " + meet + "; : >second-ended",
               "alone": "[ -e first-ended -a -e second-ended ] && " + PASS}
    expected = [("first", "2 passed"), ("alone", "2 passed"), ("second", "2 passed")]
    check(table, scripts, ["--jobs", "2"], 0, expected, "6 passed, 0 failed, 0 skipped")


@test("one job at a time if one is asked for")
def _():
    one = "mkdir running && " + PASS + " && rmdir running"
    check("a none 1 60 ./a\nb none 1 60 ./a\nc none 2 60 ./a", {"a": one}, ["--jobs", "1"], 0,
          [(name, "2 passed") for name in "abc"], "6 passed, 0 failed, 0 skipped")


@test("a build is a test; what needs one that failed is not run")
def _():
    table = "a plain 1 60 ./pass\nb none 1 60 ./pass"
    scripts = {"pass": PASS, "meson.build": "project('a', 'c')\nexecutable('a', 'a.c')\n",
               "meson_options.txt": "option('tests', type: 'feature', value: 'auto')\n"}
    check(table, {**scripts, "a.c": "int main(void) { return 0; }\n"}, [], 0,
          [("build-plain", "1 passed"), ("a", "2 passed"), ("b", "2 passed")], "5 passed, 0 failed, 0 skipped")
    check(table, {**scripts, "a.c": "#warning something\nint main(void) { return 0; }\n"}, [], 1,
          [("build-plain", "0 passed, 1 failed"), ("b", "2 passed")], "2 passed, 1 failed, 0 skipped", ["build-plain failed: status 1"])


@test("told to stop, it ends what it started")
def _():
    script = "trap 'echo ended >ended; exit 1' TERM; mkfifo fifo; echo >ready; read <fifo"
    with Tree("a none 1 60 ./a", {"a": script, "wait": "read <ready"}) as tree:
        os.mkfifo(tree.path("ready"))
        process = tree.begin()
        with open(tree.path("ready"), encoding="utf-8") as ready:
            ready.read()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=RUN_SECONDS)
        expect_equal(process.returncode, 128 + signal.SIGTERM)
        assert tree.exists("ended")


@test("what nobody has heard of is refused, with status 2; --list tells the names")
def _():
    with Tree("a none 1 60 ./pass # a comment\n\n", {"pass": PASS}) as tree:
        for words in (["b"], ["--what"], ["--jobs", "0"]):
            status, lines = tree.run(*words)
            expect_equal((status, results(lines)), (2, []), words)
        expect_equal(tree.run("--list"), (0, ["a                none       ./pass"]))


if __name__ == "__main__":
    main()
