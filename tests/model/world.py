"""The world around daemon and clients: the schedule's events, and the promises checked.

A schedule is a list of (event, number); the number decides whatever the event leaves open,
and an event that cannot happen is skipped. So any part of a schedule is a schedule too, and
one that breaks a promise can be shortened by leaving events out. After the last event come no
more faults: everything is delivered, every call must get its answer, and after a final crash
(or power loss) the disk must hold what was promised.
"""

import random

from client import Call, Client
from daemon import WRITES, Connection, Daemon
from rules import NAMES, Violation, from_outside
from storage import Disk, State

# (event, how often), one profile per schedule: calm ones reach deep pipelines, wild ones corners; in
# lonely ones hardly a reply arrives, in hasty ones clients come back before the daemon has read all.
CALM = {"call": 36, "connect": 10, "send": 18, "loop": 22, "reader": 8, "writer": 30, "receive": 12, "quiet": 4,
        "lose": 4, "give up": 1, "disk": 1, "crash": 2, "drain": 1, "start": 10, "drop": 1}
WILD = {"call": 34, "connect": 14, "send": 18, "loop": 22, "reader": 4, "writer": 26, "receive": 10, "quiet": 4,
        "lose": 6, "give up": 2, "crash": 2, "power": 2, "drain": 1, "start": 14, "drop": 2, "week": 1}
LONELY = {"call": 40, "connect": 12, "greet": 20, "send": 26, "loop": 28, "reader": 12, "writer": 34, "receive": 2,
          "quiet": 1, "lose": 3, "give up": 16, "crash": 1, "power": 1, "start": 10, "drop": 1, "disk": 3}
HASTY = {"call": 34, "connect": 12, "greet": 16, "send": 26, "loop": 10, "reader": 6, "writer": 18, "receive": 8,
         "quiet": 2, "lose": 16, "give up": 8, "crash": 2, "drain": 1, "start": 10, "drop": 2, "disk": 1}
PROFILES = ((CALM, 2), (WILD, 2), (WILD, 3), (LONELY, 1), (LONELY, 2), (HASTY, 1), (HASTY, 2))


class Dice:
    """Decisions out of one number."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value

    def pick(self, sides):
        self.value, result = divmod(self.value, sides)
        return result


def schedule(seed):
    """(number of clients, events) of a seed."""
    rng = random.Random(seed)
    profile, clients = PROFILES[rng.randrange(len(PROFILES))]
    count = rng.randrange(60, 260)
    kinds = rng.choices(list(profile), list(profile.values()), k=count)
    return clients, [(kind, rng.getrandbits(48)) for kind in kinds]


class World:
    def __init__(self, rules, clients, log=None):
        self.rules, self.log, self.verbose = rules, log, log is not None
        self.calls, self.sessions, self.rows_made, self.connections_made = {}, 0, 4, 0
        self.resumes = {}              # session -> numbers of its resume calls
        self.lost_to_power, self.reported = set(), set()
        self.generations_seen = {}     # doc -> the highest generation that was visible
        self.states_seen = {}          # (doc, [generation, next]) -> rows
        self.initial = {"shared": (1, 2), "other": (3,), "own-A": (4,)}
        self.disk = Disk(State(dict(self.initial)))
        self.daemon, self.power_was_lost, self.disk_full = None, False, False
        self.daemon = Daemon(self, False)
        self.clients = [Client(self, "ABC"[i], ("shared", "shared", "other", "own-" + "ABC"[i]))
                        for i in range(clients)]

    def say(self, text, *parts):
        if self.verbose:
            self.log.append(text % parts)

    # ---- events ----------------------------------------------------------------------

    def run(self, events):
        for kind, number in events:
            EVENTS[kind](self, Dice(number))
        self.finish(Dice(len(events)))

    def any_client(self, dice, condition):
        able = [client for client in self.clients if condition(client)]
        return able[dice.pick(len(able))] if able else None

    def event_call(self, dice):
        client = self.any_client(dice, Client.may_call)
        if client:
            client.call(dice)

    def event_connect(self, dice):
        client = self.any_client(dice, lambda c: c.conn is None)
        if client and self.daemon:
            client.connect()

    def event_send(self, dice):
        client = self.any_client(dice, lambda c: c.to_send and not c.conn.daemon_gone)
        if client:
            client.send(1 + dice.pick(3))

    def event_receive(self, dice):
        client = self.any_client(dice, lambda c: c.conn and (c.conn.outbox or c.conn.daemon_gone))
        if client and client.conn.outbox:
            client.receive(1 + dice.pick(3))
        elif client:
            client.forget_connection()

    def event_greet(self, dice):
        """A client hears the answer to its hello, and nothing else yet."""
        client = self.any_client(dice, lambda c: c.conn and not c.said_hello)
        if client and self.daemon and client.conn.inbox and client.conn in self.daemon.readable():
            self.daemon.read(client.conn, False)
        if client and client.conn.outbox:
            client.receive(1)

    def event_lose(self, dice):
        client = self.any_client(dice, lambda c: c.conn)
        if client:
            client.lose(dice)
            if self.daemon:
                self.daemon.settle()
                if dice.pick(2):
                    client.connect()

    def event_give_up(self, dice):
        client = self.any_client(dice, lambda c: c.unanswered)
        if client:
            client.give_up(dice)

    def event_loop(self, dice):
        for _ in range(1 + dice.pick(3)):
            able = self.daemon.readable() if self.daemon else None
            if able:
                self.daemon.read(able[dice.pick(len(able))], not dice.pick(24))

    def event_reader(self, dice):
        able = self.daemon.answerable_reads() if self.daemon else None
        if able:
            self.daemon.answer_read(*able[dice.pick(len(able))])

    def event_writer(self, dice):
        daemon = self.daemon
        if daemon and (daemon.queue or daemon.stage != "idle") and not daemon.write_step(dice):
            self.end_daemon("the daemon ends by itself")

    def event_quiet(self, dice):
        """For one client, nothing goes wrong for a while."""
        client = self.any_client(dice, lambda c: c.conn or self.daemon)
        if client and self.daemon:
            self.drive(client)

    def event_drop(self, dice):
        if self.daemon and self.daemon.connections:
            self.daemon.stop_reading(self.daemon.connections[dice.pick(len(self.daemon.connections))])

    def event_disk(self, dice):
        """The disk fills up, or has space again."""
        self.disk_full = not self.disk_full
        self.say("the disk is full" if self.disk_full else "the disk has space again")

    def event_drain(self, dice):
        if self.daemon and not self.daemon.draining:
            self.say("the daemon is asked to end")
            self.daemon.draining = True

    def event_crash(self, dice):
        if self.daemon:
            self.end_daemon("the daemon crashes")

    def event_power(self, dice):
        """Power loss. (Clients go on: they may be elsewhere, behind a forwarded socket.)"""
        before = set(self.disk.state.history)
        self.disk.lose_power(dice.pick(self.disk.last - self.disk.synced + 1))
        lost = before.difference(self.disk.state.history)
        self.lost_to_power |= lost
        self.power_was_lost = True
        self.end_daemon("power is lost")
        self.say("... and with it %s", ", ".join(str(self.calls[n]) for n in sorted(lost)) or "nothing")

    def event_start(self, dice):
        if self.daemon is None:
            self.say("the daemon starts")
            self.daemon = Daemon(self, self.power_was_lost)
            self.power_was_lost = False

    def event_week(self, dice):
        """Who is not connected stays away for more than seven days."""
        if not self.daemon or self.daemon.stage != "idle" or self.daemon.queue:
            return
        away = [c for c in self.clients if c.conn is None
                and all(c.session != other.session for other in self.daemon.connections)]
        if away:
            self.say("a week passes without %s", ", ".join(c.name for c in away))
            self.daemon.forget_sessions([c.session for c in away])
            for client in away:
                self.stay_away(client)

    def stay_away(self, client):
        if "week-away" in self.rules:
            for call in list(client.unanswered.values()):
                client.finish(call, "unknown")
            client.start_session()

    def end_daemon(self, why):
        self.say(why)
        if self.daemon:
            for conn in self.daemon.connections:
                conn.daemon_gone = True
        self.daemon = None

    # ---- what daemon and clients report ------------------------------------------------

    def connect(self):
        self.connections_made += 1
        conn = Connection(self.connections_made)
        self.daemon.connections.append(conn)
        return conn

    def new_session(self):
        self.sessions += 1
        return self.sessions

    def new_call(self, client, kind, doc):
        call = Call(len(self.calls) + 1, client, kind, doc)
        self.calls[call.number] = call
        if kind == "resume":
            self.resumes.setdefault(call.session, []).append(call.number)
        return call

    @property
    def calls_made(self):
        return len(self.calls)

    def new_rows(self, count):
        self.rows_made += count
        return tuple(range(self.rows_made - count + 1, self.rows_made + 1))

    def acknowledged(self, session):
        return [call for call in self.calls.values() if call.session == session and call.kind in WRITES
                and call.answer == "applied" and call.number not in self.reported]

    def report_loss(self):
        self.reported |= self.lost_to_power

    # ---- promises, along the way --------------------------------------------------------

    def carrying_out(self, overlay, request):
        """No lost update: who expects, writes over exactly what he knows."""
        call = request.ghost
        if request.expect and overlay.streams.get(call.doc, ()) != call.believed:
            raise Violation("lost update: %s is applied on a state its caller does not know" % call)

    def visible(self, state):
        """A committed state can be seen from now on."""
        for doc in ("shared", "other", "own-A", "own-B", "own-C"):
            at, rows = state.at(doc), state.streams.get(doc, ())
            if at[0] < self.generations_seen.get(doc, 0):
                raise Violation("the generation of %s goes back to %d" % (doc, at[0]))
            self.generations_seen[doc] = at[0]
            if self.states_seen.setdefault((doc, at), rows) != rows:
                raise Violation("[%d, %d] of %s has named another state before" % (*at, doc))
        self.check_history(state)

    def check_history(self, state):
        """Nothing twice; a session's writes of one document in the order sent."""
        latest = {}
        for number in state.history:
            call = self.calls[number]
            before = latest.get((call.session, call.doc), 0)
            if before == number or state.history.count(number) > 1:
                raise Violation("%s is applied twice" % call)
            if before > number:
                raise Violation("%s is applied after %s, sent later" % (call, self.calls[before]))
            if call.answer == "failed":
                raise Violation("%s is there, but was answered as %s, not applied" % (call, NAMES[call.code]))
            latest[call.session, call.doc] = number

    def answer(self, call, answer, code):
        if call.answer:
            raise Violation("%s is answered twice" % call)
        call.answer, call.code = answer, code
        if call.kind not in WRITES:
            return
        there = call.number in self.disk.state.history
        if answer == "applied" and not there and call.number not in self.lost_to_power:
            raise Violation("%s is acknowledged, but is not there" % call)
        if answer == "failed" and there:
            raise Violation("%s is there, but was answered as %s, not applied" % (call, NAMES[code]))

    # ---- and at the end -----------------------------------------------------------------

    def finish(self, dice):
        """Let everything arrive without faults; end with a crash or power loss; check it all."""
        self.say("-- no more faults --")
        self.disk_full = False
        if self.daemon and self.daemon.draining:
            self.end_daemon("the daemon ends")
        for _ in range(12):
            self.event_start(dice)
            for client in self.clients:
                self.drive(client)
            if all(call.answer for call in self.calls.values()):
                break
        for call in self.calls.values():
            if not call.answer:
                raise Violation("%s is never answered" % call)
        self.event_power(dice) if len(self.calls) % 2 else self.end_daemon("the daemon crashes")
        self.check_end()

    def drive(self, client):
        if client.conn is None or client.conn.daemon_gone:
            client.forget_connection()
            client.connect()
        for _ in range(2):
            client.send(len(client.to_send))
            self.drain()
            if client.conn:
                client.receive(len(client.conn.outbox))

    def drain(self):
        """The daemon carries out all it can."""
        while self.daemon:
            able, reads = self.daemon.readable(), self.daemon.answerable_reads()
            if able:
                self.daemon.read(able[0], False)
            elif reads:
                self.daemon.answer_read(*reads[0])
            elif self.daemon.queue or self.daemon.stage != "idle":
                self.daemon.write_step(NoFault())
            else:
                return

    def check_end(self):
        state = self.disk.state
        self.check_history(state)
        self.check_streams(state)
        for call in self.calls.values():
            if call.kind in WRITES:
                self.check_write(call, state)
            if call.kind == "sync" and call.answer == "applied":
                for covered in call.covers:
                    if covered.number not in state.history:
                        raise Violation("%s was acknowledged, then synced by %s, and is lost" % (covered, call))

    def check_write(self, call, state):
        there = call.number in state.history
        if call.answer == "applied" and not there and (call.synced or call.number not in self.lost_to_power):
            raise Violation("%s was acknowledged and is lost" % call)
        if call.latched and call.answer == "failed" and not any(self.failed_outside(c) for c in self.earlier(call)):
            raise Violation("%s fails for a failure that was resumed from" % call)
        if there:
            for other in self.earlier(call):
                # Of one whose caller heard `unknown`, the reason may have been its own.
                if self.failed_outside(other) and not other.own_fault and other.number not in state.history:
                    raise Violation("a hole: %s is applied, %s before it failed" % (call, other))

    def earlier(self, call):
        """Writes of the same pipeline to the same document, with no resume between."""
        resumes = self.resumes.get(call.session, ())
        return [other for other in self.calls.values() if other.number < call.number and other.doc == call.doc
                and other.session == call.session and other.kind in WRITES
                and not any(other.number < resume < call.number for resume in resumes)]

    @staticmethod
    def failed_outside(call):
        return call.answer == "unknown" or (call.answer == "failed" and from_outside(call.code))

    def check_streams(self, state):
        """The streams are what the history makes."""
        streams = dict(self.initial)
        for number in state.history:
            call = self.calls[number]
            if call.kind == "append":
                streams[call.doc] = streams.get(call.doc, ()) + call.rows
            elif call.kind == "replace":
                streams[call.doc] = call.rows
            else:
                streams.pop(call.doc, None)
        if streams != state.streams:
            raise Violation("the streams are not what the writes make")


class NoFault:
    """Dice for the end: large batches, no faults."""

    def pick(self, sides):
        return sides - 1


EVENTS = {name.replace("event_", "").replace("_", " "): method
          for name, method in vars(World).items() if name.startswith("event_")}


def check(rules, clients, events, log=None):
    """Run one schedule. Returns the promise it broke, or None."""
    try:
        World(rules, clients, log).run(events)
    except Violation as violation:
        return str(violation)
    return None
