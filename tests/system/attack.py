"""The attacker (attacker.c) as a context manager, for tests and the benchmark."""

import os
import re
import select
import subprocess

from harness import PROGRAM as DAEMON
from harness import DaemonFailed

PROGRAM = os.path.join(os.path.dirname(DAEMON), "..", "tests", "system", "attacker")
WAIT_SECONDS = 120      # a bound, not an expectation


class Attack:
    """So many connections of a kind, from the beginning of the block to its end. What came of it is in `result` then."""

    def __init__(self, kind, socket, connections, size=None, wait=True):
        self.words = [PROGRAM, kind, socket, str(connections)] + ([] if size is None else [str(size)])
        self.wait_until_begun, self.process, self.result = wait, None, {}

    def __enter__(self):
        self.process = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        if self.wait_until_begun:
            try:
                self.begun()
            except BaseException:
                self.__exit__(None)
                raise
        return self

    def begun(self):
        """Each connection has got as far as it gets by itself."""
        if self._line() != "begun":
            raise DaemonFailed("the attacker has ended")

    def _line(self):
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self.process.stdout], [], [], WAIT_SECONDS)[0]:
                raise DaemonFailed("the attacker gets nowhere")
            got = os.read(self.process.stdout.fileno(), 1)
            if not got:
                break
            line += got
        return line.decode().strip()

    def end(self):
        """Stop it, and take what it tells."""
        self.process.stdin.close()
        line = self._line()
        while line == "begun":
            line = self._line()
        self.result = {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", line)}
        if self.process.wait(WAIT_SECONDS) != 0:
            raise DaemonFailed("the attacker failed")

    def __exit__(self, kind, *exception):
        try:
            if kind is None and self.process.poll() is None:
                self.end()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
