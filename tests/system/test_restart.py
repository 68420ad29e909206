#!/usr/bin/env python3
"""The daemon is killed and started again while clients work: no call fails, nothing is lost, nothing is there twice.

The clients are programs over libkyneta-store (restart_client.c), each with several calls in flight for each document; they
know nothing of what happens to the daemon. At each kill writes are unanswered, in one of two ways:

  stopped   the daemon is stopped wherever it happens to be, the clients read what has come and send as much as
            they may; then it is killed.
  held      the clients read nothing any more, and the answers to their last writes stand behind a page that fills the
            socket; when these writes are committed, the daemon is killed. All of them will be sent again, and must
            be answered as carried out.

What the clients wrote down is then replayed here, and the file must be that.
"""

import collections
import json
import os
import random
import select
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

from harness import PROGRAM as DAEMON
from harness import Daemon, DaemonFailed, expect_equal, main, note, test  # noqa: E402
from kyneta_store_client import Store, entry, meta  # noqa: E402
from logged_client import meta_json, position, read_file, row_of  # noqa: E402

PROGRAM = os.path.join(os.path.dirname(DAEMON), "..", "tests", "system", "restart-client")

KILLS, CLIENTS = 20, 4
HELD_EVERY = 5          # each fifth kill is a held one
ANSWERS = (1, 100, 1000) # a client has so many calls answered between two kills
BALLAST_BYTES = 2 << 20  # several times what a socket takes
WAIT_SECONDS = 120      # a bound, not an expectation


# ---- clients ----------------------------------------------------------------------------------------------------------


class Client:
    """A restart_client and its log."""

    def __init__(self, daemon, number):
        self.number = number
        self.unanswered = self.held = 0     # writes, at all kills; those of them that had been carried out
        self.log = os.path.join(daemon.directory, "client %d" % number)
        self.process = subprocess.Popen([PROGRAM, daemon.socket, str(number), self.log], stdin=subprocess.PIPE,
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


# ---- kills ------------------------------------------------------------------------------------------------------------


def kill_stopped(daemon, clients):
    daemon.signal(signal.SIGSTOP)
    os.waitid(os.P_PID, daemon.pid, os.WSTOPPED)
    answers = ask_all(clients, "status", "unanswered")
    daemon.crash()
    return [int(unanswered) for unanswered, in answers]


def kill_held(daemon, clients):
    answers = ask_all(clients, "hold", "held")
    with Store(daemon.socket) as store:
        for _, document, length in answers:
            # The writes of a session are carried out in order: the last one is committed, so all are.
            while store.current_meta(document)[1][1] != int(length):
                pass
    daemon.crash()
    ask_all(clients, "go", "going")
    for client, (held, _, _) in zip(clients, answers):
        client.held += int(held)
    return [int(held) for held, _, _ in answers]


def crash_again_and_again(daemon, clients):
    """Returns what each client tells of itself at the end: calls, resent, duplicates, connects."""
    dice = random.Random(1)
    for kill in range(1, KILLS + 1):
        for client in clients:
            client.tell("run %d" % dice.choice(ANSWERS))
        for client in clients:
            client.answer("ran")
        unanswered = (kill_held if kill % HELD_EVERY == 0 else kill_stopped)(daemon, clients)
        expect_equal(all(count > 0 for count in unanswered), True, "kill %d: unanswered writes %s" % (kill, unanswered))
        for client, count in zip(clients, unanswered):
            client.unanswered += count
    return [[int(word) for word in words] for words in ask_all(clients, "finish", "finished")]


# ---- what must be there -----------------------------------------------------------------------------------------------


class Replay:
    """A client's log: what its own documents hold, what it appended to the shared one, in order."""

    def __init__(self, path):
        self.documents = collections.defaultdict(tuple)
        self.shared = []        # appended to it: lists of words
        self.told = []          # (next, words) of appends to it that were answered when they were carried out
        self.calls = self.duplicates = 0
        self.operations = collections.Counter()
        self.generations = collections.defaultdict(int)
        self.writes = {}        # on their way: call -> (document, words, length then, does the generation rise)
        self.loads = {}         # on their way: call -> (document, contents that they may see)
        with open(path, encoding="utf-8") as file:
            for line in file:
                kind, call, _, *rest = line.split()
                getattr(self, "_" + kind)(int(call), *rest)
        expect_equal((len(self.writes), len(self.loads)), (0, 0), "calls without an answer")

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
        before = self.generations[document]
        if generation < before + rises:
            raise AssertionError("call %d: generation %d after %d" % (call, generation, before))
        self.generations[document] = generation

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


def check_counts(clients, replays, finished):
    """Every call was answered; what was unanswered at a kill was sent again, and not carried out again."""
    operations = sum((replay.operations for replay in replays), collections.Counter())
    calls, resent, duplicates, connects = (sum(column) for column in zip(*finished))
    note("%d calls: %d appends, %d replaces, %d deletes, %d loads" % (calls, *(operations[letter] for letter in "ardl")))
    note("%d sent again, %d answered as carried out before, %d connections" % (resent, duplicates, connects))
    for client, replay, (calls, resent, duplicates, connects) in zip(clients, replays, finished):
        expect_equal(replay.calls, calls, "calls")
        expect_equal(replay.duplicates, duplicates, "duplicates")
        expect_equal(connects > KILLS, True, "%d connections" % connects)
        expect_equal(resent >= client.unanswered > 0, True, "%d sent again of %d" % (resent, client.unanswered))
        expect_equal(duplicates >= client.held > 0, True, "%d duplicates of %d" % (duplicates, client.held))
        expect_equal(all(replay.operations[letter] > 0 for letter in "ardl"), True, str(replay.operations))


# ---- the test -----------------------------------------------------------------------------------------------------------


@test("%d kills, %d clients: every call succeeds, and the file holds what was acknowledged, once, in order" % (KILLS, CLIENTS))
def _():
    with Daemon() as daemon:
        with Store(daemon.socket) as store:
            store.append("shared", [meta(meta_json(0))])
            # The large record first: it is the first page.
            store.replace("ballast", [entry("all", b"\0" * BALLAST_BYTES), meta(meta_json(0))])
        clients = [Client(daemon, number) for number in range(CLIENTS)]
        try:
            finished = crash_again_and_again(daemon, clients)
            for client in clients:
                client.end()
        finally:
            for client in clients:
                client.abandon()
        daemon.stop()

        replays = [Replay(client.log) for client in clients]
        check_counts(clients, replays, finished)
        streams = read_file(daemon.database)
        check_shared(streams.pop("shared"), replays)
        expect_equal(len(streams.pop("ballast")), 2)
        check_own(streams, replays)


if __name__ == "__main__":
    main()
