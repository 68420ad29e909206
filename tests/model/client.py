"""A client: calls go into a pipeline, over one connection after another.

A call is answered exactly once: applied, failed, or unknown (its deadline passed). What is
unanswered when a connection is lost is sent again after the next hello, in the order of the
ids and under the same ids. The exception keeps a pipeline without holes:

**The local latch.** When a write failed from outside (4xx, 5xx), the daemon fails every later
write of *that connection* to that document. A new connection knows nothing of it. Suppose 5
fails with disk_full and the client hears so; 6, to the same document, was under way when the
connection broke. Sent again, 6 would be applied, 5 never: a hole. So the client remembers
which documents had failed writes, and after the next hello fails later writes to them by
itself, with the same code, until `resume`. The same goes for a write whose deadline passed:
it is not sent again, so nothing behind it may be.

But only what is above the hello's `through`: an unanswered write that is not above it may have
been applied (its reply was lost), so it is sent again for its answer. What is above `through`
was not carried out and never will be, because the daemon answers hello only after the old
connection's queue is done, and reads no more from it.

Two answers are none: outcome unknown (a failed fsync) and draining (503) come from a daemon that
is about to end. What they answer stays unanswered, and the next daemon is asked.
"""

from daemon import WRITES, Connection, Request
from rules import BAD_ARGUMENT, DRAINING, IN_FLIGHT_LIMIT, IO_ERROR, NAMES, Violation, from_outside


class Call:
    """A call of the application, and what the checks know about it."""

    __slots__ = ("number", "client", "session", "id", "kind", "doc", "rows", "synced", "expect", "believed", "answer",
                 "code", "latched", "own_fault", "covers")

    def __init__(self, number, client, kind, doc):
        self.number, self.client, self.session, self.id = number, client.name, client.session, None
        self.kind, self.doc, self.rows, self.synced = kind, doc, (), False
        self.expect = self.believed = None    # [generation, next], and the rows it stood for
        self.answer = self.code = None
        self.latched = False                  # failed because another one had
        self.own_fault = False                # the daemon refused it for what it is (2xx, 300)
        self.covers = ()                      # a sync: the acknowledged writes it promises

    def __str__(self):
        text = "%s:%d %s %s" % (self.client, self.id, self.kind, self.doc or "")
        if self.synced:
            text += " synced"
        if self.expect:
            text += " expect %d,%d" % self.expect
        return text.strip()


class Client:
    def __init__(self, world, name, docs):
        self.world, self.rules, self.name, self.docs = world, world.rules, name, docs
        self.conn, self.said_hello, self.to_send = None, False, []
        self.start_session()

    def start_session(self):
        self.session = self.world.new_session()
        self.next_id = 2
        self.unanswered = {}           # id -> call
        self.write_ids = []            # every write that may be in the daemon's failed list
        self.highest_applied = 0
        self.lost = False              # power loss took acknowledged writes
        self.failures = []             # (number of the call, doc, code): from outside, not resumed
        self.resumes = []
        self.latches_older_than = 0    # failures of calls up to this number count: the rest, the daemon's latch has
        self.closing = False
        self.known = {}                # doc -> ([generation, next], rows): what an answer told

    # ---- calls -----------------------------------------------------------------------

    def may_call(self):
        if self.closing:
            return False
        if "client-in-flight" not in self.rules:
            return len(self.unanswered) < 3 * IN_FLIGHT_LIMIT
        return len(self.unanswered) < IN_FLIGHT_LIMIT and self.span() < IN_FLIGHT_LIMIT

    def span(self):
        """Writes since the oldest unanswered one. The daemon keeps the failed ones of so many.

        Those that were given up count: they are not unanswered, but may be in the list.
        """
        if "given-up-counts" not in self.rules:
            return 0
        oldest = min((id for id, call in self.unanswered.items() if call.kind in WRITES), default=self.next_id)
        return sum(1 for id in self.write_ids if id >= oldest)

    def call(self, dice):
        kind = CALLS[dice.pick(len(CALLS))]
        if kind == "close" and self.unanswered and "close-after-answers" in self.rules:
            return
        doc = self.docs[dice.pick(len(self.docs))] if kind in WRITES or kind == "read" else None
        call = self.world.new_call(self, kind, doc)
        call.id, self.next_id = self.next_id, self.next_id + 1
        if kind in WRITES:
            self.prepare_write(call, dice)
        elif kind == "sync":
            call.covers = self.world.acknowledged(self.session)
        elif kind == "resume":
            self.resumes.append(call.number)
        elif kind == "close":
            self.closing = True
        self.world.say("%s calls %s", self.name, call)
        self.unanswered[call.id] = call
        if self.said_hello:
            if self.latched(call):
                self.fail_latched(call)
            elif kind == "sync" and self.lost:
                self.fail_syncs([call])
            else:
                self.to_send.append(call)

    def prepare_write(self, call, dice):
        doc = call.doc
        self.write_ids.append(call.id)
        call.synced = bool(dice.pick(2))
        if call.kind == "append" or (call.kind == "replace" and dice.pick(3)):
            call.rows = self.world.new_rows(1)
        elif call.kind == "replace":
            call.rows = self.world.new_rows(2)
        under_way = any(other.doc == doc and other.kind in WRITES for other in self.unanswered.values())
        hopes = "expect-from-answers" not in self.rules
        if doc in self.known and dice.pick(2) and (hopes or not under_way):
            call.expect, call.believed = self.known[doc]
            if hopes and call.kind == "append":
                (generation, next), rows = self.known[doc]
                self.known[doc] = ((generation, next + 1), rows + call.rows)

    def latched(self, call):
        """The code of an outside failure before this write, with no resume between; or None."""
        if call.kind not in WRITES or "local-latch" not in self.rules:
            return None
        for number, doc, code in self.failures:
            if doc == call.doc and number < call.number and number <= self.latches_older_than:
                if not any(number < resume < call.number for resume in self.resumes):
                    return code
        return None

    def fail_latched(self, call):
        code, call.latched = self.latched(call), True
        self.world.say("%s fails %s by itself: latched", self.name, call)
        self.finish(call, "failed", code)

    def finish(self, call, answer, code=None):
        del self.unanswered[call.id]
        if call in self.to_send:
            self.to_send.remove(call)
        if call.kind in WRITES and code and from_outside(code):
            self.failures.append((call.number, call.doc, code))
        self.world.answer(call, answer, code)

    def give_up(self, dice):
        """A deadline passes. What is under way may still be carried out; it is not sent again."""
        calls = [call for call in self.unanswered.values() if call.kind not in ("resume", "close")]
        if not calls:
            return
        # Deadlines differ from call to call; often it is the last one's that passes.
        call = calls[-1] if dice.pick(2) else calls[dice.pick(len(calls))]
        queued = call in self.to_send
        self.world.say("%s gives up %s: unknown", self.name, call)
        self.finish(call, "unknown", IO_ERROR)
        if call.kind in WRITES:
            self.known.pop(call.doc, None)
        if queued:                     # on a live connection the pipeline stays whole
            self.to_send.append(call)
            self.to_send.sort(key=lambda c: c.id)

    # ---- connections -----------------------------------------------------------------

    def connect(self):
        """Connect and say hello; a lost connection's replies are lost."""
        if self.closing and not [c for c in self.unanswered.values() if c.kind != "close"]:
            # Nothing is unanswered but the close: no need to go back for it.
            for call in list(self.unanswered.values()):
                self.finish(call, "applied")
            self.start_session()
            return
        self.conn, self.said_hello, self.to_send = self.world.connect(), False, []
        self.conn.inbox.append(Request(1, "hello", session=self.session))
        self.world.say("%s says hello on connection %d", self.name, self.conn.number)

    def lose(self, dice):
        """The connection breaks; of what is under way a part arrives."""
        self.world.say("%s loses connection %d", self.name, self.conn.number)
        self.conn.client_gone = True
        if dice.pick(2):
            del self.conn.inbox[dice.pick(len(self.conn.inbox) + 1):]
        self.forget_connection()

    def forget_connection(self):
        self.conn, self.said_hello, self.to_send = None, False, []

    def on_hello(self, through):
        """Settle what is unanswered: fail it here, or send it again."""
        self.said_hello = True
        self.latches_older_than = self.world.calls_made
        if through < self.highest_applied and "sync-notices-loss" in self.rules:
            self.lost = True
        again, syncs = [], []
        for call in sorted(self.unanswered.values(), key=lambda c: c.id):
            done = call.id <= through and "ask-below-through" in self.rules
            if self.latched(call) and not done:
                self.fail_latched(call)
            elif call.kind == "sync" and self.lost:
                syncs.append(call)
            elif call.kind == "resume" and "resume-resent" not in self.rules:
                self.finish(call, "applied")
            else:
                again.append(call)
        self.fail_syncs(syncs)
        if "same-ids" not in self.rules:
            self.give_new_ids(again)
        if "resend-in-order" not in self.rules:
            again.reverse()
        self.to_send = again
        for call in again:             # the caller may want more by now
            if call.kind in WRITES and call.number % 2 == 0:
                call.synced = True

    def fail_syncs(self, calls):
        """Power took writes that had been acknowledged as committed: say so, once."""
        for call in calls:
            self.world.say("%s fails %s: acknowledged writes were lost", self.name, call)
            self.finish(call, "failed", IO_ERROR)
        if calls:
            self.lost = False
            self.world.report_loss()

    def give_new_ids(self, calls):
        for call in calls:
            del self.unanswered[call.id]
        for call in calls:
            call.id, self.next_id = self.next_id, self.next_id + 1
            self.unanswered[call.id] = call

    def send(self, count):
        for call in self.to_send[:count]:
            self.conn.inbox.append(Request(call.id, call.kind, call.doc, call.rows, call.synced, call.expect,
                                           self.session, call))
        del self.to_send[:count]

    # ---- answers ---------------------------------------------------------------------

    def receive(self, count):
        for reply in self.conn.outbox[:count]:
            self.conn.outbox.pop(0)
            if reply.id == 1:
                self.on_hello(reply.through)
                continue
            call = self.unanswered.get(reply.id)
            if call:                   # else it was given up
                self.take(call, reply)
                if self.conn is None:
                    return

    def take(self, call, reply):
        if reply.code == BAD_ARGUMENT:
            raise Violation("%s is refused as a bad argument" % call)
        if reply.unknown or reply.code == DRAINING:  # the daemon is about to end: ask the next one
            return
        if reply.code:
            self.world.say("%s hears: %s failed, %s", self.name, call, NAMES[reply.code])
            self.finish(call, "failed", reply.code)
            return
        self.world.say("%s hears: %s done%s", self.name, call, " (duplicate)" * reply.duplicate)
        if call.kind in WRITES:
            self.highest_applied = max(self.highest_applied, call.id)
            self.learn(call, reply)
        elif call.kind == "read":
            self.known[call.doc] = (reply.at, reply.rows)
        self.finish(call, "applied")
        if call.kind == "close":
            self.forget_connection()
            self.start_session()

    def learn(self, call, reply):
        """What the document is now, if this answer tells."""
        before = self.known.pop(call.doc, None)
        if "expect-from-answers" not in self.rules and call.kind == "append":
            if before:
                self.known[call.doc] = before
        elif reply.duplicate and "duplicate-not-basis" in self.rules:
            return
        elif call.kind != "append":
            self.known[call.doc] = (reply.at, call.rows)
        elif before and reply.at == (before[0][0], before[0][1] + 1):
            # Exactly one record more than known: our own.
            self.known[call.doc] = (reply.at, before[1] + call.rows)


# How often each call is made.
CALLS = (("append",) * 10 + ("replace",) * 4 + ("delete",) * 2 + ("read",) * 5 + ("resume",) * 2 + ("sync",) * 2 +
         ("close",))
