"""The database as the protocol sees it: committed states, the last of which a crash leaves.

A State is everything one transaction may change: streams, generations, session rows. The
disk is the list of states that were committed; up to `synced` they survive power loss, all
of them survive a crash of the daemon. (In SQLite: frames in the WAL, and its last fsync.)
"""

from typing import NamedTuple


class SessionRow(NamedTuple):
    """What the daemon stores per session: see PROTOCOL.md, Sessions."""

    through: int = 0
    failed: dict = {}          # id -> code, never changed in place


class State:
    """One committed state. Streams are tuples of rows; a row is known by a number.

    All records have identical contents as far as the daemon goes: it never looks at a row's
    number, which is there for the checks alone. So is `history`, the writes that were
    carried out, in order.
    """

    __slots__ = ("streams", "generations", "counter", "floor", "sessions", "history")

    def __init__(self, streams):
        self.streams = streams
        self.generations = {}
        self.counter = 0           # the last generation given
        self.floor = 0             # the generation of documents that have no row for it
        self.sessions = {}
        self.history = ()

    def copy(self):
        other = State(dict(self.streams))
        other.generations = dict(self.generations)
        other.counter = self.counter
        other.floor = self.floor
        other.sessions = dict(self.sessions)
        other.history = self.history
        return other

    def at(self, doc):
        """Where the document stands: [generation, next]."""
        return (max(self.generations.get(doc, 0), self.floor), len(self.streams.get(doc, ())))

    def apply(self, request, generation_outlives_delete):
        """Carry out a write whose checks have passed."""
        doc = request.doc
        if request.kind == "append":
            self.streams[doc] += request.rows
        else:
            self.counter += 1
            self.generations[doc] = self.counter
            self.streams[doc] = request.rows
            if request.kind == "delete":
                del self.streams[doc]
                if not generation_outlives_delete:
                    del self.generations[doc]
        self.history += (request.ghost.number,)


class Disk:
    """What outlives the daemon."""

    def __init__(self, state):
        self.log = [state]
        self.synced = 0

    @property
    def state(self):
        return self.log[-1]

    @property
    def last(self):
        return len(self.log) - 1

    def commit(self, state):
        self.log.append(state)

    def sync(self):
        self.synced = self.last

    def drop_last(self):
        """A failed write-back: what was written may not be what is read."""
        if self.last > self.synced:
            self.log.pop()

    def lose_power(self, keep):
        """Commits after the last sync survive up to any point, in order."""
        del self.log[self.synced + 1 + keep:]
        self.synced = self.last
