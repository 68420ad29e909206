"""What the tests in Python share: a daemon of their own, and results in TAP.

    from harness import Daemon, main, test

    @test("two clients see the same document")
    def _():
        with Daemon(durability="committed") as daemon:
            ...

    if __name__ == "__main__":
        main()

main() runs the tests in the order in which they are written and prints TAP; with arguments, only those whose names
contain one of them. A test fails by raising; the log of every daemon that it had is shown then.

Each Daemon has its own folder with its own socket and database, and ends only processes that it has started itself.
The program is $KYNETA_STORED_BIN, or build/daemon/kyneta-stored. KYNETA_KEEP=1 keeps the folders.
"""

import multiprocessing
import multiprocessing.connection
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("KYNETA_STORED_BIN") or os.path.join(ROOT, "build", "daemon", "kyneta-stored")
SANITIZED = os.environ.get("KYNETA_SANITIZED") == "1"

# Bounds, not expectations: reaching one of them is a failure.
START_SECONDS = 120
STOP_SECONDS = 120
TEST_SECONDS = 600

_daemons_of_this_test = []


class DaemonFailed(Exception):
    """The daemon did not start, or did not end as it should."""


class Daemon:
    """A kyneta-stored. Options as keywords: Daemon(page_bytes=4096) is --page-bytes 4096. It reads no file of options,
    whatever the machine has, unless config names one.

    wrapper: words before the command. pass_fds: descriptors that it inherits.
    directory: where socket, database and log are; by default a new one that goes with the Daemon.
    As a context manager: started at the beginning; at the end terminated, which must give exit status 0.
    """

    def __init__(self, directory=None, environment=None, wrapper=(), pass_fds=(), **options):
        self.own_directory = directory is None
        self.directory = directory or tempfile.mkdtemp(prefix="kyneta-")
        self.socket = os.path.join(self.directory, "socket")
        self.database = os.path.join(self.directory, "exchange.db")
        self.log_path = os.path.join(self.directory, "log")
        self.options = {"config": "/dev/null", "socket": self.socket, "database": self.database, **options}
        self.environment = {**os.environ, **(environment or {})}
        self.wrapper = list(wrapper)
        self.pass_fds = pass_fds
        self.process = None
        _daemons_of_this_test.append(self)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            _explain()
            self._remove()
            raise

    def __exit__(self, kind, *exception):
        try:
            if kind is None:
                self.stop()
            else:
                _explain()
                self.kill()
        except DaemonFailed:
            _explain()
            raise
        finally:
            self._remove()

    # -- start and end

    def command(self):
        words = self.wrapper + [PROGRAM]
        for name, value in self.options.items():
            words += ["--" + name.replace("_", "-"), str(value)]
        return words

    def start(self):
        """Start it; returns when it accepts connections."""
        if self.running():
            raise DaemonFailed("it is running already")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.environment, pass_fds=self.pass_fds)
        bound, pause = time.monotonic() + START_SECONDS, 0.001
        while not self.accepts():
            if self.process.poll() is not None:
                raise DaemonFailed("exit status %d at its start" % self.process.returncode)
            if time.monotonic() > bound:
                self.kill()
                raise DaemonFailed("does not accept connections")
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        return self

    def accepts(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(self.socket)
            except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
                return False
            return True

    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        """Wait for its end; returns the exit status (negative: the signal that ended it)."""
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise DaemonFailed("did not end within %d s" % STOP_SECONDS) from None

    def terminate(self):
        """SIGTERM, and wait; returns the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def stop(self):
        """End it as an administrator does, which must succeed. Does nothing if it has been ended already."""
        if self.process is None:
            return
        if self.process.returncode is None:
            status = self.terminate()
            if status != 0:
                raise DaemonFailed("exit status %d after SIGTERM" % status)

    def kill(self):
        """SIGKILL, and wait: a crash."""
        if self.running():
            self.process.kill()
            self.process.wait()

    def restart(self):
        """Stop and start again, on the same socket and database."""
        self.stop()
        return self.start()

    def crash(self):
        """Kill and start again."""
        self.kill()
        return self.start()

    def _remove(self):
        if self.own_directory and os.environ.get("KYNETA_KEEP") != "1":
            shutil.rmtree(self.directory, ignore_errors=True)

    # -- looking at it

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        """Everything it has written so far, over all its lives."""
        return _read(self.log_path)

    def rss_kib(self):
        """Resident memory now."""
        return self._status("VmRSS")

    def peak_rss_kib(self):
        """The most resident memory it ever had (since reset_peak_rss)."""
        return self._status("VmHWM")

    def reset_peak_rss(self):
        with open("/proc/%d/clear_refs" % self.pid, "w") as file:
            file.write("5")

    def _status(self, name):
        return int(re.search(r"^%s:\s+(\d+) kB" % name, _read("/proc/%d/status" % self.pid), re.M).group(1))

    def descriptors(self):
        """How many descriptors it has open."""
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def wal_bytes(self):
        """Size of the write-ahead log's file; 0 if there is none."""
        try:
            return os.stat(self.database + "-wal").st_size
        except FileNotFoundError:
            return 0


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _explain():
    """Print what became of the daemons of this test, and what they said, as TAP comments; each once."""
    for daemon in _daemons_of_this_test:
        if daemon.process is not None and daemon.process.poll() is not None:
            print("# daemon: exit status %d" % daemon.process.returncode)
        for line in daemon.log().splitlines()[-100:]:
            print("# daemon: " + line)
    _daemons_of_this_test.clear()
    sys.stdout.flush()


# ---- several processes ------------------------------------------------------------------------------------------------


def in_processes(calls):
    """Make each call, (function, argument…), in a process of its own, all beginning at once. Their results, in order.

    The first one that fails ends all of them, and is raised here. Open no connection before.
    """
    context = multiprocessing.get_context("fork")
    start = context.Barrier(len(calls), timeout=START_SECONDS)
    workers, results = {}, {}
    try:
        for number, call in enumerate(calls):
            pipe, end = context.Pipe(duplex=False)
            workers[pipe] = (number, context.Process(target=_work, args=(start, end) + call, daemon=True))
            workers[pipe][1].start()
            end.close()
        while len(results) < len(calls):
            for pipe in multiprocessing.connection.wait([pipe for pipe in workers if workers[pipe][0] not in results]):
                results[workers[pipe][0]] = _result(pipe)
        return [results[number] for number in range(len(calls))]
    finally:
        for _, process in workers.values():
            process.kill()
            process.join()


def _work(start, pipe, function, *arguments):
    signal.alarm(TEST_SECONDS)
    try:
        start.wait()
        answer = (function(*arguments), None)
    except Exception:
        answer = (None, traceback.format_exc())
    pipe.send(answer)


def _result(pipe):
    try:
        result, failure = pipe.recv()
    except EOFError:
        failure = "a process died"
    if failure is not None:
        raise AssertionError(failure)
    return result


# ---- tests --------------------------------------------------------------------------------------------------------

_tests = []


class Skip(Exception):
    """Raised by a test that cannot run here; says why."""


def test(name):
    """Decorator: a test of this name."""
    def register(function):
        _tests.append((name, function))
        return function
    return register


def expect_equal(found, expected, what=""):
    if found != expected:
        raise AssertionError("%sexpected %r, found %r" % (what and what + ": ", expected, found))


def note(text):
    """A line beside the results."""
    for line in str(text).splitlines():
        print("# " + line, flush=True)


def _took_too_long(number, frame):
    raise TimeoutError("a test may take %d s" % TEST_SECONDS)


def _told_to_stop(number, frame):
    sys.exit(128 + number)      # an exception: daemons are ended and folders removed on its way out


def main():
    """Run the tests, print TAP, end the process: 0 if none failed."""
    signal.signal(signal.SIGALRM, _took_too_long)
    signal.signal(signal.SIGTERM, _told_to_stop)
    chosen = [(name, function) for name, function in _tests
              if not sys.argv[1:] or any(word in name for word in sys.argv[1:])]
    print("TAP version 13\n1..%d" % len(chosen), flush=True)
    failures = 0
    for number, (name, function) in enumerate(chosen, 1):
        _daemons_of_this_test.clear()
        signal.alarm(TEST_SECONDS)
        try:
            function()
            print("ok %d - %s" % (number, name), flush=True)
        except Skip as reason:
            print("ok %d - %s # SKIP %s" % (number, name, reason), flush=True)
        except Exception:
            failures += 1
            note(traceback.format_exc())
            _explain()
            print("not ok %d - %s" % (number, name), flush=True)
        signal.alarm(0)
    sys.exit(1 if failures else 0)
