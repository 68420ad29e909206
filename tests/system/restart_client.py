"""Drives restart_client.c, and judges what its processes wrote down: whatever happened to the daemon meanwhile, no call failed,
and the file holds what was acknowledged, once, in order.
"""

import collections
import json
import os
import select
import subprocess

from harness import PROGRAM as DAEMON
from harness import DaemonFailed, expect_equal
from logged_client import position, row_of

PROGRAM = os.path.join(os.path.dirname(DAEMON), "..", "tests", "system", "restart-client")

WAIT_SECONDS = 120      # a bound, not an expectation


# ---- clients ----------------------------------------------------------------------------------------------------------


class Client:
    """A restart_client of the daemon at @socket, and its log in @directory."""

    def __init__(self, socket, directory, number):
        self.number = number
        self.unanswered = self.held = 0     # writes, at all kills; those of them that had been carried out
        self.log = os.path.join(directory, "client %d" % number)
        self.process = subprocess.Popen([PROGRAM, socket, str(number), self.log], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, bufsize=0)

    def tell(self, command):
        self.process.stdin.write(command.encode() + b"\n")

    def answer(self, kind):
        """The rest of its one line, which must begin with @kind, as words."""
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self.process.stdout], [], [], WAIT_SECONDS)[0]:
                raise DaemonFailed("client %d does not answer" % self.number)
            got = os.read(self.process.stdout.fileno(), 256)
            if not got:
                raise DaemonFailed("client %d has ended" % self.number)
            line += got
        words = line.decode().split()
        expect_equal(words[0], kind)
        return words[1:]

    def end(self):
        expect_equal(self.process.wait(WAIT_SECONDS), 0, "client %d" % self.number)

    def abandon(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def ask_all(clients, command, kind):
    for client in clients:
        client.tell(command)
    return [client.answer(kind) for client in clients]


# ---- what must be there -----------------------------------------------------------------------------------------------


class Replay:
    """A client's log: what its own documents hold, what it appended to the shared one, in order."""

    def __init__(self, path):
        self.documents = collections.defaultdict(tuple)
        self.shared = []        # appended to it: lists of words
        self.told = []          # (next, words) of appends to it that were answered when they were carried out
        self.calls = self.duplicates = 0
        self.operations = collections.Counter()
        self.generations = collections.defaultdict(list)     # of each own document: (call, generation, does it rise)
        self.writes = {}        # on their way: call -> (document, words, length then, does the generation rise)
        self.loads = {}         # on their way: call -> (document, contents that they may see)
        with open(path, encoding="utf-8") as file:
            for line in file:
                kind, call, _, *rest = line.split()
                getattr(self, "_" + kind)(int(call), *rest)
        expect_equal((len(self.writes), len(self.loads)), (0, 0), "calls without an answer")
        self._check_generations()

    def _check_generations(self):
        """Answers come in any order; what was sent later has the higher number."""
        for answers in self.generations.values():
            before = 0
            for call, generation, rises in sorted(answers):
                if generation < before + rises:
                    raise AssertionError("call %d: generation %d after %d" % (call, generation, before))
                before = generation

    def _w(self, call, operation, document, expect, *words):
        self.calls += 1
        self.operations[operation] += 1
        if document == "shared":
            self.shared.append(words)
            self.writes[call] = (document, words, None, None)
            return
        before = self.documents[document]
        now = before + words if operation == "a" else words
        self.documents[document] = now
        # To delete what is not there changes nothing.
        self.writes[call] = (document, words, len(now), operation == "r" or operation == "d" and before != ())
        for loading, contents in self.loads.values():
            if loading == document:
                contents.append(now)

    def _a(self, call, at, duplicate):
        document, words, length, rises = self.writes.pop(call)
        if duplicate == "1":
            self.duplicates += 1
            return
        generation, next = position(at)
        if document == "shared":
            self.told.append((next, words))
            return
        expect_equal(next, length, "call %d: next" % call)
        self.generations[document].append((call, generation, rises))

    def _l(self, call, document):
        self.calls += 1
        self.operations["l"] += 1
        self.loads[call] = (document, [self.documents[document]])

    def _r(self, call, at, *words):
        document, contents = self.loads.pop(call)
        # It sees everything that was sent before it; and, if it was sent again, may see what was sent after it.
        if document != "ballast" and words not in contents:
            raise AssertionError("call %d: %s holds %s" % (call, document, " ".join(words)))

    def _f(self, call, *words):
        raise AssertionError("call %d failed: %s" % (call, " ".join(words)))


def check_own(streams, replays):
    """Each client's own documents hold exactly what it wrote."""
    expected = {document: [row_of(word) for word in words]
                for replay in replays for document, words in replay.documents.items() if words}
    for document in sorted(set(expected) | set(streams)):
        expect_equal(streams.get(document, []), expected.get(document, []), document)


def check_shared(rows, replays):
    """All that each client appended is there, once, in its order, and where it was told."""
    expect_equal(rows[0], row_of("m0"))
    words = [json.loads(payload)["version"] for _, payload, _ in rows[1:]]
    expect_equal(rows[1:], [row_of(word) for word in words])
    appended = [[word for call in replay.shared for word in call] for replay in replays]
    expect_equal(collections.Counter(words), collections.Counter(sum(appended, [])), "how often each record is there")
    for number, mine in enumerate(appended):
        own = ("s%d." % number, "b%d." % number)
        expect_equal([word for word in words if word.startswith(own)], [word for word in mine if word.startswith(own)],
                     "order of client %d" % number)
    for replay in replays:
        for next, call in replay.told:
            # The metadata is the record before words[0].
            expect_equal(tuple(words[next - 1 - len(call):next - 1]), call, "records up to %d" % next)
    told = [next for replay in replays for next, _ in replay.told]
    expect_equal(len(set(told)), len(told), "no place is told twice")
