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
import os
import random
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

from harness import Daemon, expect_equal, main, note, test  # noqa: E402
from kyneta_store_client import Store, entry, meta  # noqa: E402
from logged_client import meta_json, read_file  # noqa: E402
from restart_client import Client, Replay, ask_all, check_own, check_shared  # noqa: E402

KILLS, CLIENTS = 20, 4
HELD_EVERY = 5          # each fifth kill is a held one
ANSWERS = (1, 100, 1000) # a client has so many calls answered between two kills
BALLAST_BYTES = 2 << 20  # several times what a socket takes


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
        clients = [Client(daemon.socket, daemon.directory, number) for number in range(CLIENTS)]
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
