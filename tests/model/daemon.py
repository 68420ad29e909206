"""The daemon: a loop that reads connections, a writer that commits batches.

Each method is one step of one thread; the schedule decides which comes next, and a crash may
come between any two. The writer's stages are

    idle -> ran (rules checked, changes made in memory) -> committed (in the log; a crash
    keeps it, power loss may not) -> answering (synced if anybody asked) -> idle

What the daemon keeps in memory only: the connections with their latches, the writer's queue,
and `state`, which is the committed state, plus failures that no transaction carried to disk
yet (a full disk fails writes exactly when it cannot store that it did).
"""

from rules import (APPLIED, BAD_ARGUMENT, BUSY, CONFLICT, DISK_FULL, DRAINING, IN_FLIGHT_LIMIT, IO_ERROR, NAMES,
                   NO_META, from_outside)
from storage import SessionRow

WRITES = ("append", "replace", "delete")
BATCH_LIMIT = 4
# By how much a start after power loss raises the generations' floor: more than can be unsynced.
FLOOR_STEP = 1000


class Request:
    """What goes over the wire. `ghost` is the call behind it, for the checks alone."""

    __slots__ = ("id", "kind", "doc", "rows", "synced", "expect", "session", "ghost")

    def __init__(self, id, kind, doc=None, rows=(), synced=False, expect=None, session=None, ghost=None):
        self.id, self.kind, self.doc, self.rows = id, kind, doc, rows
        self.synced, self.expect, self.session, self.ghost = synced, expect, session, ghost


class Reply:
    __slots__ = ("id", "code", "unknown", "at", "duplicate", "rows", "through")

    def __init__(self, id, code=APPLIED, unknown=False, at=None, duplicate=False, rows=None, through=None):
        self.id, self.code, self.unknown = id, code, unknown
        self.at, self.duplicate, self.rows, self.through = at, duplicate, rows, through


class Connection:
    """A socket, both directions with what is in flight, and the daemon's state about it."""

    def __init__(self, number):
        self.number = number
        # On the way; inbox is what the daemon has not read.
        self.inbox, self.outbox = [], []
        self.client_gone = self.daemon_gone = False
        # The daemon's side.
        self.session = None
        self.hello = None              # waiting for its answer
        self.turn = 0                  # the how-many-th hello it was
        self.last_id = 0
        self.waiting = []              # requests read, not yet with writer or reader
        self.jobs = 0                  # with the writer
        self.latch = {}                # doc -> code
        self.reading = True

    def busy(self):
        return bool(self.waiting or self.jobs)

    def reply(self, reply):
        if not self.client_gone and not self.daemon_gone:
            self.outbox.append(reply)


class Job:
    """A request with the writer."""

    __slots__ = ("conn", "request", "refused", "fault", "reply", "applied")

    def __init__(self, conn, request, refused):
        self.conn, self.request = conn, request
        self.refused = refused         # by the loop (a quota)
        self.fault = None              # what the database said when this write was tried
        self.reply = None
        self.applied = False


class Daemon:
    """One life of the daemon, from its start to its end."""

    def __init__(self, world, power_was_lost):
        self.world, self.rules, self.disk = world, world.rules, world.disk
        self.connections = []
        self.hellos = 0
        self.queue, self.batch, self.stage = [], [], "idle"
        self.next_state = self.rows_left = None
        self.draining = False          # about to end: what was read is carried out, no more
        self.commits = False           # has the batch a transaction of its own?
        self.latches = {}
        state = self.disk.state.copy()
        if "counter-durable" not in self.rules:
            state.counter = 0
        if power_was_lost and "floor-after-power-loss" in self.rules:
            state.counter = state.floor = state.counter + FLOOR_STEP
            self.disk.commit(state)
        if "start-syncs" in self.rules:
            self.disk.sync()
        self.state = state
        self.synced = self.disk.last   # what the daemon believes
        world.visible(state)

    # ---- the loop -------------------------------------------------------------------

    def readable(self):
        return [c for c in self.connections if c.inbox and c.reading and not c.hello and not c.daemon_gone
                and len(c.waiting) + c.jobs < IN_FLIGHT_LIMIT]

    def read(self, conn, refuse):
        """Read one frame. `refuse`: a quota is exhausted, should this be a write."""
        request = conn.inbox.pop(0)
        self.world.say("daemon reads %s from connection %d", request.ghost or "hello", conn.number)
        if request.kind == "hello":
            self.take_hello(conn, request)
        elif request.id <= conn.last_id:
            conn.reply(Reply(request.id, BAD_ARGUMENT))
        else:
            conn.last_id = request.id
            self.take(conn, request, refuse)
        self.settle()

    def take(self, conn, request, refuse):
        if request.kind == "resume" and "resume-in-place" not in self.rules:
            conn.latch.clear()
            conn.reply(Reply(request.id))
            return
        if self.draining and request.kind != "close":
            if "draining-refuses-rest" in self.rules or request.kind in WRITES and request.id % 2:
                conn.reply(Reply(request.id, DRAINING))
                return
        if refuse and request.kind in WRITES and "refusals-recorded" not in self.rules:
            conn.latch[request.doc] = BUSY
            conn.reply(Reply(request.id, BUSY))
            return
        conn.waiting.append((request, BUSY if refuse else None))
        self.hand_over(conn)

    def hand_over(self, conn):
        """Give the writer what may go to it: a write waits for earlier reads of its document."""
        being_read = set()
        for item in list(conn.waiting):
            request, refused = item
            if request.kind == "read":
                being_read.add(request.doc)
            elif request.doc in being_read or (request.kind == "close" and being_read):
                if "id-order" in self.rules:
                    break
            else:
                if "latch-in-writer" not in self.rules and request.kind in WRITES:
                    refused = refused or conn.latch.get(request.doc)
                conn.waiting.remove(item)
                conn.jobs += 1
                self.queue.append(Job(conn, request, refused))

    def answerable_reads(self):
        """A read waits for the connection's earlier writes of its document."""
        found = []
        for conn in self.connections:
            written = {job.request.doc for job in self.queue + self.batch if job.conn is conn}
            for item in conn.waiting:
                if item[0].kind != "read":
                    written.add(item[0].doc)
                elif item[0].doc not in written:
                    found.append((conn, item))
        return found

    def answer_read(self, conn, item):
        conn.waiting.remove(item)
        doc = item[0].doc
        self.world.say("daemon answers %s", item[0].ghost)
        conn.reply(Reply(item[0].id, at=self.state.at(doc), rows=self.state.streams.get(doc, ())))
        self.hand_over(conn)
        self.settle()

    # ---- sessions and connections ----------------------------------------------------

    def take_hello(self, conn, request):
        self.hellos += 1
        conn.hello, conn.session, conn.turn = request, request.session, self.hellos
        if "takeover-stops-reading" in self.rules:
            for older in self.older(conn):
                older.reading = False

    def older(self, conn):
        """The connections this one takes the session over from."""
        return [c for c in self.connections if c.session == conn.session and c.turn < conn.turn and not c.daemon_gone]

    def settle(self):
        """Answer hellos whose turn it is; close what has nothing more to do."""
        for conn in sorted(self.connections, key=lambda c: c.turn):
            if conn.hello and conn.reading:
                self.answer_hello(conn)
            at_end = not conn.reading or (conn.client_gone and not conn.inbox)
            if at_end and not conn.busy():
                conn.daemon_gone = True
        self.connections = [c for c in self.connections if not c.daemon_gone]

    def answer_hello(self, conn):
        older = self.older(conn)
        if "takeover-waits" in self.rules and any(c.busy() for c in older):
            return
        if "takeover-stops-reading" in self.rules:
            for other in older:
                if not other.busy():
                    other.daemon_gone = True
        conn.hello = None
        row = self.state.sessions.get(conn.session, SessionRow())
        self.world.say("daemon answers hello of connection %d: through %d", conn.number, row.through)
        conn.reply(Reply(1, through=row.through))

    def stop_reading(self, conn):
        """The daemon drops a connection (a peer that dribbles, say); what was read is carried out."""
        conn.reading = False
        self.world.say("daemon drops connection %d", conn.number)
        self.settle()

    # ---- the writer ------------------------------------------------------------------

    def write_step(self, dice):
        """The writer's next step. Returns False if the daemon ended."""
        if self.stage == "idle":
            self.form_batch(dice)
        elif self.stage == "ran":
            self.commit(dice)
        elif self.stage == "rows apart":
            self.disk.commit(self.rows_left)
            self.stage = "committed"
        elif self.stage == "committed":
            return self.sync(dice)
        else:
            self.answer()
        return True

    def form_batch(self, dice):
        size = 1 + dice.pick(BATCH_LIMIT)
        self.batch, self.queue = self.queue[:size], self.queue[size:]
        if self.world.disk_full:
            for job in self.batch:
                job.fault = DISK_FULL
        elif not dice.pick(8):
            self.batch[dice.pick(len(self.batch))].fault = (DISK_FULL, IO_ERROR)[dice.pick(2)]
        self.run_batch()
        self.stage = "ran"
        if "reply-after-commit" not in self.rules:
            for job in self.batch:
                job.conn.reply(job.reply)

    def run_batch(self):
        """Run the batch until no statement fails; the culprits fail alone."""
        told = set()
        overlay = self.state.copy()
        while True:
            self.latches = {}
            for job in self.batch:
                if self.run(overlay, job) and job not in told:
                    told.add(job)
                    break              # a statement failed: roll back
            else:
                break
            dirty, overlay = overlay, self.state.copy()
            if "overlay-discarded" not in self.rules:
                overlay.sessions, overlay.counter = dirty.sessions, dirty.counter
        self.next_state = overlay
        if self.world.verbose:
            self.world.say("writer runs a batch: %s", ", ".join(
                "%s %s" % (j.request.ghost, NAMES[j.reply.code] + " (duplicate)" * j.reply.duplicate)
                for j in self.batch))

    def run(self, overlay, job):
        """Carry out one job in the overlay. Returns True when the database failed under it."""
        request, job.applied = job.request, False
        latch = self.latches.setdefault(job.conn, dict(job.conn.latch))
        if request.kind not in WRITES:
            if request.kind == "resume" and "resume-in-place" in self.rules:
                latch.clear()
            if request.kind == "close":
                overlay.sessions.pop(job.conn.session, None)
            job.reply = Reply(request.id)
            return False
        row = overlay.sessions.get(job.conn.session, SessionRow())
        known = request.id <= row.through and "check-through" in self.rules
        code = self.check(overlay, job, row, latch, known)
        statement_failed = False
        if code is None:
            if job.fault:
                code, statement_failed = job.fault, True
            else:
                self.world.carrying_out(overlay, request)
                overlay.apply(request, "generation-outlives-delete" in self.rules)
                job.applied = True
        job.reply = Reply(request.id, code or APPLIED, at=overlay.at(request.doc), duplicate=known and not code)
        if code and from_outside(code) and "latch" in self.rules:
            if not known or "replayed-failure-latches" in self.rules:
                latch.setdefault(request.doc, code)
        if not known:
            overlay.sessions[job.conn.session] = self.note(row, request.id, code)
        return statement_failed

    def check(self, overlay, job, row, latch, known):
        """The order of checks: session; quota, latch; expect; the document's own rules.

        Returns None (go on and apply), or the code. A duplicate is APPLIED or its old code.
        """
        request, doc = job.request, job.request.doc
        conflict = self.conflicts(overlay, request)
        if job.refused and "session-before-refusal" not in self.rules:
            return job.refused
        if conflict and "session-before-expect" not in self.rules:
            return CONFLICT
        if known:
            return row.failed.get(request.id, APPLIED)
        request.ghost.latched = not job.refused and doc in latch
        if job.refused:
            return job.refused
        if doc in latch and "latch-in-writer" in self.rules:
            return latch[doc]
        if conflict:
            return CONFLICT
        if request.kind == "append" and doc not in overlay.streams:
            return NO_META
        return None

    def conflicts(self, overlay, request):
        if request.expect is None:
            return False
        at = overlay.at(request.doc)
        if "expect-generation" not in self.rules:
            return request.expect[1] != at[1]
        return request.expect != at

    def note(self, row, id, code):
        """The session's row after this write."""
        failed = dict(row.failed)
        if code is None:
            if "applied-clears-failed" in self.rules:
                failed.pop(id, None)
            return SessionRow(max(row.through, id), failed)
        if "keep-failed" in self.rules:
            failed[id] = code
        # One less than the limit is enough: one that may be asked for again is `through` itself.
        limit = IN_FLIGHT_LIMIT - 1 if "failed-window" in self.rules else IN_FLIGHT_LIMIT - 2
        return SessionRow(row.through, dict(sorted(failed.items())[-limit:]))

    def trimmed(self, sessions):
        """Left out, `window-counts-failures` measures the window in ids."""
        if "window-counts-failures" in self.rules:
            return sessions
        return {session: SessionRow(row.through, {id: code for id, code in row.failed.items()
                                                  if id > row.through - IN_FLIGHT_LIMIT})
                for session, row in sessions.items()}

    def commit(self, dice):
        changed = any(job.applied or job.request.kind == "close" for job in self.batch)
        if changed and not dice.pick(12):
            return self.commit_fails()
        for job in self.batch:
            job.request.ghost.own_fault = 0 < job.reply.code < 400
        state = self.next_state
        state.sessions = self.trimmed(state.sessions)
        self.stage, self.commits = "committed", True
        # With failures alone there need not be a transaction: asked again, they are tried again.
        if not changed and dice.pick(2):
            self.commits = False
            return None
        if "row-in-batch" not in self.rules:
            self.rows_left = state
            state = state.copy()
            state.sessions = self.state.sessions
            self.stage = "rows apart"
        self.world.say("writer commits")
        self.disk.commit(state)
        return None

    def commit_fails(self):
        """COMMIT found the disk full: nothing was done; all that would have been fails."""
        self.world.say("commit fails: disk_full")
        for job in self.batch:
            if job.applied:
                job.fault = DISK_FULL
        self.run_batch()

    def wants_sync(self):
        jobs = self.batch
        if "batch-synced" not in self.rules:
            jobs = jobs[:1]
        for job in jobs:
            if job.request.kind == "sync" and "sync-syncs" in self.rules:
                return True
            if job.request.synced and job.reply.code == APPLIED:
                if not job.reply.duplicate or "duplicate-synced" in self.rules:
                    return True
        return False

    def sync(self, dice):
        """Sync if anybody asked; then everything is true for everybody."""
        if self.wants_sync() and self.synced < self.disk.last:
            if not dice.pick(20):
                return self.sync_fails(dice)
            self.world.say("writer syncs")
            self.disk.sync()
            self.synced = self.disk.last
        self.state = self.next_state
        self.world.visible(self.state)
        for conn, latch in self.latches.items():
            conn.latch = latch
        self.stage = "answering"
        return True

    def sync_fails(self, dice):
        """Whether the batch is there is unknown, until the next start has looked."""
        self.world.say("fsync fails")
        if "failed-sync-unknown" not in self.rules:
            for job in self.batch:
                if job.applied:
                    job.reply = Reply(job.request.id, IO_ERROR)
            self.state, self.stage = self.next_state, "answering"
            return True
        for job in self.batch:
            if dice.pick(2):
                job.conn.reply(Reply(job.request.id, IO_ERROR, unknown=True))
        if self.commits and dice.pick(2):
            self.disk.drop_last()
        return False

    def answer(self):
        """Answer one connection's part of the batch: a crash may come before the next one's."""
        conn = self.batch[0].conn
        for job in [j for j in self.batch if j.conn is conn]:
            conn.jobs -= 1
            if "reply-after-commit" in self.rules:
                conn.reply(job.reply)
            if job.request.kind == "close":
                conn.reading = False
        self.batch = [j for j in self.batch if j.conn is not conn]
        if not self.batch:
            self.stage = "idle"
        self.settle()

    def forget_sessions(self, sessions):
        """Seven days after their last use."""
        state = self.state.copy()
        for session in sessions:
            state.sessions.pop(session, None)
        self.state = state
        self.disk.commit(state)
