"""A workload for a daemon whose disk fails: some clients, who write a little of everything in waves.

    play = Play(daemon, WHOLE)
    play.run()              the whole of it; Gone is raised when the daemon is not there any more
    play.go_on()            when it is there again: everything that is unanswered is answered

In a wave all clients send, then all wait, so that their writes share transactions. (In one that is `alone` each client
waits before the next one sends: the daemon does the same to its files each time.) Waves come in all mixtures of synced
and committed, and there are two stores, a client without a session, sessions that end, documents that are replaced,
deleted and made again, records that need pages of their own, a refused write now and then, and a document that several
clients append to. Every write has a number among its client's; what was answered when it was sent is kept with it.
"""

import collections
import select

from kyneta_store_client import (APPEND, COMMITTED, CURRENT_META, DELETE, LIST_DOC_IDS, LOAD_ALL, NOT_APPLIED, REPLACE,
                                 SYNC, SYNCED, UNKNOWN, Connection, Store, StoreError)
from records import record_of, table_names

WAIT_SECONDS = 120      # a bound, not an expectation

SHARED = "shared"       # a document that several clients write to
GOODBYE = "goodbye "    # the beginning of the names of some last documents


CLIENTS = {"alice": {}, "bob": {}, "carol": {"store": "second"}, "dave": {"session": None}}


class Gone(Exception):
    """The daemon is not there."""


class Refused(Exception):
    """A hello was answered with an error."""


class Write:
    """One write of a client. before: of each client, how many of its writes had been answered when this was sent."""

    __slots__ = ("client", "number", "operation", "document", "words", "durability", "expect", "before", "call")

    def __init__(self, client, operation, document, words, durability, expect):
        self.client, self.number = client, len(client.writes)
        self.operation, self.document, self.words = operation, document, words
        self.durability, self.expect = durability, expect
        self.before = self.call = None

    def __str__(self):
        names = {APPEND: "append", REPLACE: "replace", DELETE: "delete"}
        return "%s: write %d, %s %s of %s" % (
            self.client.name, self.number, "synced" if self.durability == SYNCED else "committed",
            names[self.operation], self.document)

    def answered(self):
        """By the daemon, which knew: what a client gives up has no code."""
        error = self.call.error
        return self.call.done and (error is None or (error.code is not None and error.outcome != UNKNOWN))

    def failed(self):
        """For a reason outside itself, and it was not applied."""
        error = self.call.error
        return self.call.done and error is not None and error.from_outside() and error.outcome == NOT_APPLIED

    def acknowledged(self):
        return self.call.done and self.call.error is None


class _Store(Store):
    """Tries to connect once: whether there is a daemon is its test's affair. Notes each error: (code, outcome)."""

    def __init__(self, *arguments, **options):
        self.told = collections.Counter()
        super().__init__(*arguments, **options)

    def _connect(self, until):
        try:
            connection = Connection(self.path, timeout=WAIT_SECONDS)
        except OSError:
            raise Gone from None
        failure = self._say_hello(connection)
        if failure is None:
            return True
        connection.close()
        if isinstance(failure, StoreError):
            self.told[failure.code, failure.outcome] += 1
            raise Refused(str(failure))
        raise Gone

    def _answered(self, id, code, *results):
        if code != 0:
            self.told[code, (results + (None, None))[1]] += 1
        super()._answered(id, code, *results)


class Client:
    def __init__(self, play, name, store="default", session=...):
        self.play, self.name, self.store = play, name, store
        self.writes = []
        self.synced = 0             # so many of them are synced for sure
        self.ended = False          # it has sent its close, or is about to
        self.calls = []             # everything else
        self.link = _Store(play.daemon.socket, name, table_names(store), session=session)

    def lose_session(self):
        """The daemon has died: without a session nobody knows what of its writes is there. It leaves."""
        if self.link.session is None:
            self.ended = True
            self.link.abandon()

    def send(self, operation, document, words=(), durability=SYNCED, expect=None):
        if self.ended:
            return
        self.play.take_turn(self)
        write = Write(self, operation, document, tuple(words), durability, expect)
        write.before = {client: client.answered() for client in self.play.clients}
        records = () if operation == DELETE else ([record_of(word) for word in words],)
        self.writes.append(write)
        write.call = self.link.submit(operation, document, *records, durability, expect)
        self.play.sent(self)

    def ask(self, operation, *arguments):
        if self.ended:
            return
        self.play.take_turn(None)
        call = self.link.submit(operation, *arguments)
        self.calls.append((call, len(self.writes)))
        self.play.take_turn(self)
        self.play.sent(self)

    def answered(self):
        """So many of its first writes were answered."""
        count = len(self.writes)
        while count > 0 and not self.writes[count - 1].answered():
            count -= 1
        return count

    def settle(self):
        """Wait for every answer; after a failure from outside, have writes taken again."""
        self.link.flush()
        self.note_synced()
        if any(era == self.link.era for era, _, _ in self.link.latched.values()):
            self.link.resume()

    def note_synced(self):
        for write in self.writes[self.synced:]:
            if write.durability == SYNCED and write.acknowledged():
                self.synced = write.number + 1
        for call, writes in self.calls:
            if call.operation == SYNC and call.done and call.error is None:
                self.synced = max(self.synced, writes)

    def close(self):
        self.ended = True
        try:
            self.link.close()
        except StoreError:
            self.link.abandon()     # it could not be ended, and stays in the file

    def drain(self):
        """The daemon is gone: take what it still said."""
        while self.link.socket is not None:
            if not select.select([self.link.socket], [], [], WAIT_SECONDS)[0]:
                raise AssertionError("%s: the socket of a dead daemon is open" % self.name)
            self.link._receive_some()
        self.note_synced()


class Play:
    def __init__(self, daemon, script):
        self.daemon, self.script = daemon, script
        self.clients = []
        self.turn = None        # whose it is, where each sends alone
        self.waves = 0          # begun
        self.refused = 0        # of them cut short, because a hello was refused
        self.words = 0

    def join(self, name, **options):
        client = Client(self, name, **options)
        self.clients.append(client)
        return client

    def client(self, name):
        """One of those who stay; it joins when it is first asked for."""
        for client in self.clients:
            if client.name == name:
                return client
        return self.join(name, **CLIENTS[name])

    def named(self, kinds):
        """A new record for each kind."""
        self.words += len(kinds)
        return ["%s%d" % (kind, self.words - number) for number, kind in enumerate(kinds)]

    def run(self):
        if not self.clients and not self.refused:
            self.waves = 0      # the daemon did not come up for the first
        while not self.over():
            self.waves += 1
            self.wave(self.script.waves[self.waves - 1])
            if self.waves == self.script.restart_after:
                self.daemon.terminate()
                raise Gone

    def wave(self, send):
        try:
            send(self, self.waves - 1)
            self.settle()
        except Refused:
            self.refused += 1       # whoever it was tries again in the next one

    def take_turn(self, client):
        """@client is about to send."""
        if self.script.alone and self.turn is not client:
            if self.turn is not None:
                self.turn.settle()
            self.turn = client

    def sent(self, client):
        """@client has something to send; where it is alone, all of it goes out together."""
        if not self.script.alone:
            client.link.push()

    def settle(self):
        for client in self.clients:
            if not client.ended:
                client.settle()

    def drain(self):
        for client in self.clients:
            client.drain()

    def over(self):
        return self.waves == len(self.script.waves)

    def go_on(self):
        """Raises Refused if somebody is still not let in."""
        for client in self.clients:
            if client.link.ended is None:
                client.link.ping()      # connects, if nothing else does
                client.settle()
            if client.ended and client.link.ended is None:
                client.close()

    def try_to_go_on(self):
        try:
            self.go_on()
        except Refused:
            self.refused += 1

    def one_more_wave(self):
        """Raises Refused."""
        _usual(self, self.waves)
        self.settle()

    def own_documents(self, store):
        """Pairs of client and document, of those that one client alone writes to."""
        return sorted({(client, write.document) for client in self.clients if client.store == store
                       for write in client.writes if write.document != SHARED}, key=lambda pair: pair[1])

    def say_goodbye(self):
        """A last write of each client, which shows that things go on; then it leaves."""
        for client in self.clients:
            if client.link.ended is None and not client.ended:
                client.link.append(GOODBYE + client.name, [record_of("m")])
                client.close()

    @staticmethod
    def without_goodbyes(documents):
        return {store: {name: rows for name, rows in streams.items() if not name.startswith(GOODBYE)}
                for store, streams in documents.items()}


# ---- waves ------------------------------------------------------------------------------------------------------------


def _durability(wave, number):
    """Mixed, all synced, and two in a row all committed."""
    style = wave % 4
    return (SYNCED, COMMITTED)[(wave + number) % 2] if style == 0 else SYNCED if style == 1 else COMMITTED


def _share(play, client, durability):
    """To the shared document, which alice makes."""
    made = any(write.document == SHARED and write.acknowledged() for other in play.clients for write in other.writes)
    if made or client.name == "alice":
        client.send(APPEND, SHARED, play.named("bt" if made else "m"), durability)


def _first(play, wave):
    """Documents are made. The store in this wave, the second one in the next."""
    alice = play.client("alice")
    _share(play, alice, SYNCED)
    alice.send(APPEND, "alice 1", play.named("m"))
    alice.send(APPEND, "alice 1", play.named("t"), COMMITTED)
    alice.settle()
    for name in ("bob", "carol", "dave"):
        play.client(name).send(APPEND, name + " 1", play.named("m"), _durability(wave, len(name)))


def _second(play, wave):
    play.client("alice").send(APPEND, "alice 2", play.named("mbt"), COMMITTED)
    play.client("carol").send(REPLACE, "carol 2", play.named("Bm"))
    play.client("bob").ask(LOAD_ALL, SHARED)


def _usual(play, wave):
    alice, bob, carol, dave = (play.client(name) for name in ("alice", "bob", "carol", "dave"))
    alice.send(APPEND, "alice 1", play.named("t"), _durability(wave, 0))
    _share(play, alice, _durability(wave, 1))
    _share(play, bob, _durability(wave, 1))
    bob.send(APPEND, "bob 1", play.named("b"), _durability(wave, 0))
    carol.send(APPEND, "carol 1", play.named("t"), _durability(wave, 1))
    dave.send(APPEND, "dave 1", play.named("tb"), _durability(wave, 0))


def _reshape(play, wave):
    alice, bob, carol, dave = (play.client(name) for name in ("alice", "bob", "carol", "dave"))
    alice.send(REPLACE, "alice 1", play.named("mB"), _durability(wave, 1))
    alice.send(APPEND, "alice 1", play.named("t"), _durability(wave, 1))
    bob.send(DELETE, "bob 1", (), _durability(wave, 0))
    bob.send(APPEND, "bob 1", play.named("mt"), _durability(wave, 0))
    carol.send(DELETE, "carol 2", (), _durability(wave, 0))
    carol.send(APPEND, "carol 2", play.named("mb"), _durability(wave, 1))
    dave.send(REPLACE, "dave 1", play.named("tm"), _durability(wave, 1))


def _refused(play, wave):
    alice, bob = play.client("alice"), play.client("bob")
    alice.send(APPEND, "nobody", play.named("t"), _durability(wave, 0))
    alice.send(REPLACE, "alice 2", play.named("mt"), _durability(wave, 0), [0, 999])
    bob.send(APPEND, "bob 1", play.named("t"), _durability(wave, 1))
    bob.ask(SYNC)
    play.client("dave").ask(CURRENT_META, "dave 1")


def _guest(play, wave):
    """A session that begins and ends; and `expect`, which lets this through if nobody is told lies."""
    carol, guest = play.client("carol"), play.join("guest %d" % wave)
    guest.send(APPEND, guest.name, play.named("m"), COMMITTED)
    guest.settle()
    if guest.writes[-1].acknowledged():
        guest.send(APPEND, guest.name, play.named("b"), COMMITTED, guest.writes[-1].call.answer[0])
    carol.send(APPEND, "carol 1", play.named("m" if not carol.writes[2:] else "t"), COMMITTED)
    guest.close()
    carol.ask(SYNC)


# restart_after: so many waves, the daemon is stopped and started again.
Script = collections.namedtuple("Script", "waves restart_after alone")

WHOLE = Script([_first, _second] + [_guest, _usual, _usual, _usual, _reshape, _usual, _refused, _usual, _usual]
               + [_usual, _reshape, _guest, _usual, _usual, _refused], 11, False)

# Enough of everything, and so little that each of its operations can fail in turn.
SHORT = Script([_first, _second, _usual, _reshape, _guest, _refused], 4, True)


def _few(play, wave):
    alice = play.client("alice")
    alice.send(APPEND, "alice 1", play.named("mt"))
    alice.send(APPEND, "alice 1", play.named("b"), COMMITTED)
    alice.ask(LOAD_ALL, "alice 1")
    alice.send(REPLACE, "alice 2", play.named("mB"))
    alice.send(DELETE, "alice 2", (), COMMITTED)
    alice.ask(CURRENT_META, "alice 1")
    alice.ask(LIST_DOC_IDS)
    alice.ask(SYNC)


# For faults of which there are many: one of each.
FEW = Script([_few], 0, True)
