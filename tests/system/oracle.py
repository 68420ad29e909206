"""Which states of the documents, and which answers, a history of calls allows.

    oracle = Oracle(states_at_the_start)
    oracle.take("3.1", line)...         what client 3.1 wrote into its log (logged_client.h), in its order
    oracle.check(states)                raises Violation; states: document -> (position, words), as they are now
    oracle.check(states, quiet=True)    the same when every call must have been answered; what was checked is then
                                        put together to `states`, and the next history goes on from there

No record is ever written twice, so a record's name tells which write it came from. The generation and place that an
answer or a read gives are a place in the document's whole history, which positions order. So most promises become one:
no two things seen stand in the same place, and nothing stands in two places. What else must hold:

  - An acknowledged write is there, once, whole, where it was said to be, until a later replace or delete.
  - A write that was refused, or failed and said that it was not applied, is nowhere. An unanswered one may be there, once.
  - What one client called for one document took effect in this order. Nothing of a pipeline is missing between two
    writes of it that are there; behind a write that failed from outside, nothing is, until resume.
  - What was answered before a call was made is seen by that call, whoever made either. Positions never go back.
  - A read gives one state that the document had: whole writes, nothing of two generations.
  - `expect` lets a write through only at exactly that position; a conflict tells another one.
  - Only what may fail fails.

Clients that have died, and writes whose outcome is unknown, leave open whether they took effect, once more: their
writes may come up until the next history has ended.
"""

import bisect
import collections

from logged_client import position

FOREVER = float("inf")

APPLIED, REFUSED, OPEN = "applied", "refused", "open"   # what a write did; open: nobody knows

ENTRY_BEFORE_META, CONFLICT, DEADLINE, RESTARTED = 200, 300, 1000, 1006
FROM_OUTSIDE = 400

COMPLAINTS_SHOWN = 20


class Violation(Exception):
    """Promises that were broken."""

    def __init__(self, *complaints):
        more = len(complaints) - COMPLAINTS_SHOWN
        super().__init__("\n".join(complaints[:COMPLAINTS_SHOWN] + (("and %d more" % more,) if more > 0 else ())))
        self.complaints = complaints


class Call:
    """One line of a log, and its answer."""

    __slots__ = ("client", "number", "kind", "start", "end", "operation", "document", "expect", "words", "prefix",
                 "answer", "at", "duplicate", "code", "outcome", "found", "lower", "resumes")

    def __init__(self, client, number, kind, start):
        self.client, self.number, self.kind, self.start = client, number, kind, start
        self.end, self.answer = FOREVER, None
        self.operation = self.document = self.expect = self.prefix = self.at = self.code = self.outcome = None
        self.words, self.found, self.duplicate, self.resumes = (), (), False, 0
        self.lower = None               # the highest position that was answered before this call

    def __str__(self):
        what = {"l": "load", "c": "current_meta", "i": "list", "s": "sync", "u": "resume"}.get(self.kind)
        what = what or {"a": "append", "r": "replace", "d": "delete"}[self.operation]
        return "client %s, call %d (%s %s)" % (self.client, self.number, what, self.document or "")

    @property
    def is_write(self):
        return self.kind == "w"

    @property
    def effect(self):
        """Of a write: did it take effect?"""
        if self.answer == "ok":
            return APPLIED
        return REFUSED if self.answer == "failed" and self.outcome == 0 else OPEN

    def may_happen_during(self, other):
        """May this write have taken effect between the beginning and the end of that call?"""
        if self.effect == OPEN:
            return self.start < other.end
        return self.effect == APPLIED and self.start < other.end and self.end > other.start


class Oracle:
    def __init__(self, states, with_deadline=()):
        self.with_deadline = set(with_deadline)     # clients whose calls may run out of time
        self.dead = set()                           # clients that were killed
        self.left_open = []                         # writes of the history before
        self._begin(states)

    def _begin(self, states):
        self.base = states                          # document -> (position, words), at the beginning
        self.calls = collections.defaultdict(dict)  # client -> number -> Call
        self.resumes = collections.Counter()        # client -> how many so far

    # -- logs

    def take(self, client, line):
        kind, number, time, *rest = line.split(" ")
        number, time = int(number), int(time)
        calls = self.calls[client]
        if kind in "wlcisu":
            call = calls[number] = Call(client, number, kind, time)
            self._take_call(call, rest)
            return
        call = calls[number]
        if call.answer is not None:
            raise Violation("%s was answered twice" % call)
        call.end = time
        self._take_answer(call, kind, rest)

    def _take_call(self, call, words):
        if call.kind == "w":
            call.operation, call.document, expect, *call.words = words
            call.expect = position(expect)
            call.resumes = self.resumes[call.client]
        elif call.kind in "lc":
            call.document, = words
        elif call.kind == "i":
            call.prefix = words[0] if words else ""
        elif call.kind == "u":
            self.resumes[call.client] += 1

    def _take_answer(self, call, kind, words):
        call.answer = "failed" if kind == "f" else "ok"
        if kind == "f":
            call.code, call.outcome, call.at = int(words[0]), int(words[1]), position(words[2])
            call.found = words[words.index("/") + 1:]
        elif kind == "d":
            call.found = words
        elif kind != "o":
            call.at = position(words[0])
            call.duplicate = kind == "a" and words[1] == "1"
            call.found = words[1:] if kind in "rm" else ()

    # -- the check

    def check(self, states, quiet=False):
        check = _Check(self, states)
        check.run(quiet)
        if check.complaints:
            raise Violation(*check.complaints)
        if quiet:
            # What has been seen is known, and may not come again.
            self.left_open = [call for call in check.calls if call.is_write and call.effect == OPEN and
                              not any(word in check.where for word in call.words)]
            self._begin(states)


class _Check:
    """One look at a history. `now` is as if somebody had read every document after everything else."""

    def __init__(self, oracle, states):
        self.oracle, self.states = oracle, states
        self.calls = [call for calls in oracle.calls.values() for call in calls.values()]
        self.complaints = []
        self.now = []
        for document, (at, words) in states.items():
            call = Call("-", 0, "l", FOREVER)
            call.document, call.answer, call.at, call.found = document, "ok", at, words
            self.now.append(call)
        self.by_document = collections.defaultdict(list)
        for call in oracle.left_open + self.calls + self.now:
            if call.document is not None:
                self.by_document[call.document].append(call)
        # What was written: word -> (call, index). Of what was there before, only where it stood matters.
        self.written = {word: (call, index) for call in oracle.left_open + self.calls if call.is_write
                        for index, word in enumerate(call.words)}
        self.placed = {}                # (document, generation) -> {place: word}
        self.where = {}                 # word -> (document, generation, place)
        self.known = {}                 # (document, generation) -> so many records are all known
        self.replaced_at = {}           # (document, generation) -> its last length
        self.answered = {}              # document -> times, positions: the highest that was answered by then

    def complain(self, text, *arguments):
        self.complaints.append(text % arguments)

    def run(self, quiet):
        for document, (at, words) in self.oracle.base.items():
            self.place(document, at[0], 0, words, "the beginning")
        for call in self.calls:
            self.check_answer(call, quiet)
        for document, calls in self.by_document.items():
            self.sweep(document, calls)
        for call in self.calls + self.now:
            self.put_in_place(call)
        for call in self.calls + self.now:
            self.check_found(call)
        for key, length in self.replaced_at.items():
            if max(self.placed.get(key, {}), default=-1) >= length:
                self.complain("%s, generation %d: was replaced or deleted expecting %d records, and had more", *key, length)
        for calls in self.oracle.calls.values():
            self.check_pipelines(calls.values())
        self.check_listings()

    # -- answers by themselves

    def check_answer(self, call, quiet):
        if call.answer is None:
            if quiet and call.client not in self.oracle.dead:
                self.complain("%s was never answered", call)
        elif call.answer == "failed" and not self.may_fail(call):
            self.complain("%s failed with %s (outcome %s)", call, call.code, call.outcome)
        elif call.answer == "ok" and call.is_write and not call.duplicate:
            self.check_position(call)

    def may_fail(self, call):
        if call.code == ENTRY_BEFORE_META:
            return call.operation == "a" and not any(word[0] == "m" for word in call.words) and call.outcome == 0
        if call.code == CONFLICT:
            return call.expect is not None and call.at is not None and call.at != call.expect and call.outcome == 0
        if call.code == RESTARTED:
            return call.kind == "l"
        return call.code == DEADLINE and call.client in self.oracle.with_deadline

    def check_position(self, call):
        generation, next = call.at
        expect = call.expect
        if call.operation != "a" and next != len(call.words) or next < len(call.words):
            self.complain("%s took the document to %d records", call, next)
        elif expect is None:
            return
        elif call.operation == "a" and call.at != (expect[0], expect[1] + len(call.words)):
            self.complain("%s expected %s and took the document to %s", call, expect, call.at)
        elif (call.operation == "r" or call.operation == "d" and expect[1] > 0) and generation <= expect[0]:
            self.complain("%s expected generation %d and made %d", call, expect[0], generation)
        elif call.operation != "a" and generation != expect[0]:
            self.replaced_at[call.document, expect[0]] = expect[1]

    # -- the order of time

    def sweep(self, document, calls):
        """Whoever calls after an answer sees what was answered; positions never go back."""
        highest = self.oracle.base.get(document, ((0, 0), ()))[0]
        times, positions = [-FOREVER], [highest]
        events = sorted([(call.start, 0, number, call) for number, call in enumerate(calls)] +
                        [(call.end, 1, number, call) for number, call in enumerate(calls) if call.at is not None])
        for time, is_end, _, call in events:
            if not is_end:
                call.lower = highest
                continue
            self.check_lower(call)
            if call.at > highest:
                highest = call.at
                times.append(time)
                positions.append(highest)
        self.answered[document] = times, positions
        for call in calls:
            if call.code == ENTRY_BEFORE_META and call.lower[1] > 0 and not self.may_be_deleted(calls, call):
                self.complain("%s was refused as a first record, and the document stood at %s", call, call.lower)

    def check_lower(self, call):
        """@call.lower was answered before it was made: so this is behind it."""
        before = call.at
        if call.is_write and call.answer == "ok" and not call.duplicate:
            before = self.position_before(call, call.at)
        if before < call.lower:
            self.complain("%s saw or made %s, when %s had been answered before", call, call.at, call.lower)

    @staticmethod
    def position_before(call, at):
        """The highest position at which this can have found the document that it took to @at, or read at @at."""
        if call.operation == "r":
            return at[0] - 1, FOREVER
        return at[0], at[1] - len(call.words)

    @staticmethod
    def may_be_deleted(calls, seen_by):
        return any(call.operation == "d" and call.may_happen_during(seen_by) for call in calls)

    # -- places

    def place(self, document, generation, start, words, who):
        placed = self.placed.setdefault((document, generation), {})
        for place, word in enumerate(words, start):
            here = placed.setdefault(place, word)
            if here is not word and here != word:
                self.complain("%s, generation %d: record %d is %s by %s, and was %s", document, generation, place, word,
                              who, here)
            there = self.where.setdefault(word, (document, generation, place))
            if there != (document, generation, place):
                self.complain("%s stands at %s and, by %s, at %s", word, there, who, (document, generation, place))

    def put_in_place(self, call):
        if call.answer != "ok" or call.at is None:
            return
        generation, next = call.at
        if call.kind == "l":
            if len(call.found) != next:
                self.complain("%s gave %d records of %d", call, len(call.found), next)
            self.place(call.document, generation, 0, call.found, call)
            key = call.document, generation
            self.known[key] = max(self.known.get(key, 0), next)
        elif call.is_write and not call.duplicate:
            self.place(call.document, generation, next - len(call.words), call.words, call)

    # -- what was read

    def check_found(self, call):
        if call.kind == "l":
            self.check_words(call)
        elif call.kind == "c" and call.answer == "ok":
            self.check_meta(call)
        elif call.is_write and call.effect == REFUSED:
            self.check_is_nowhere(call)
        elif call.is_write and call.effect == APPLIED and call.duplicate:
            self.check_is_there(call)

    def check_words(self, call):
        """Whole writes, and all of one state."""
        found, index, behind = call.found, 0, None
        while index < len(found):
            word = found[index]
            group, first = self.group_of(call, word)
            if group is None:
                return
            if first != 0 or found[index:index + len(group)] != group:
                # The last one may be cut where a load was given up.
                if first != 0 or call.answer == "ok" or found[index:] != group[:len(found) - index]:
                    self.complain("%s found a part of a write: %s of %s", call, " ".join(found[index:index + len(group)]),
                                  " ".join(group))
                    return
            place = self.where.get(word)
            if place is not None and behind is not None and place[1] != behind[1]:
                self.complain("%s found records of two generations: %s and %s", call, behind, place)
            behind = place or behind
            index += len(group)
        if found and call.answer == "ok" and not any(word[0] == "m" for word in self.group_of(call, found[0])[0]):
            self.complain("%s found %s, and no metadata before", call, found[0])

    def group_of(self, call, word):
        """The words that were written with @word, and its place among them."""
        if word not in self.written:
            # It was there before: checked then; here it is a group by itself, with what stands behind it.
            if word in self.oracle.base.get(call.document, (None, ()))[1]:
                words = self.oracle.base[call.document][1]
                return words, words.index(word)
            self.complain("%s found %s, which nobody has written there", call, word)
            return None, 0
        write, index = self.written[word]
        if write.document != call.document or write.start > call.end:
            self.complain("%s found %s, which %s has written", call, word, write)
            return None, 0
        return write.words, index

    def check_meta(self, call):
        generation, next = call.at
        word, = call.found
        if (word == "-") != (next == 0):
            self.complain("%s found %s, and the document stands at %s", call, word, call.at)
        if word == "-" or next == 0:
            return
        place = self.where.get(word)
        if place is None:
            self.group_of(call, word)       # it must have been written at least
            return
        later = [here for index, here in self.placed[place[:2]].items() if place[2] < index < next and here[0] == "m"]
        if place[:2] != (call.document, generation) or place[2] >= next or later:
            self.complain("%s found %s, which stands at %s, and the document at %s", call, word, place, call.at)

    def check_is_nowhere(self, write):
        for word in write.words:
            if word in self.where:
                self.complain("%s was not applied (%s), and %s stands at %s", write, write.code, word, self.where[word])

    def check_is_there(self, write):
        """A duplicate's answer does not tell where it is. If the document was not replaced since, it must be seen."""
        at = self.states[write.document][0]
        if at[0] != write.lower[0]:
            return
        if write.operation == "d" and write.lower[1] > 0 or write.words and write.words[0] not in self.where:
            self.complain("%s was acknowledged (as a duplicate), and is not there", write)

    # -- pipelines

    def check_pipelines(self, calls):
        last = {}                       # document -> the last position that an own write took it to
        latched = {}                    # document -> the write that failed from outside, until resume
        waiting = collections.defaultdict(list) # document -> writes since the last one that is placed
        for call in calls:
            if call.kind == "u":
                latched.clear()
            if call.document is None:
                continue
            at = self.position_of(call)
            self.check_latch(call, latched)
            if at is None:
                if call.is_write and call.effect != REFUSED:
                    waiting[call.document].append(call)
                continue
            if self.position_before(call, at) < last.get(call.document, (0, 0)):
                self.complain("%s took effect at %s, before earlier calls of this client: %s", call, at,
                              last[call.document])
            if not call.is_write:
                continue
            self.check_hole(call, at, last.get(call.document), waiting.pop(call.document, ()))
            last[call.document] = max(at, last.get(call.document, (0, 0)))

    def position_of(self, call):
        """Where a call took the document, or found it, as far as that is known."""
        if call.is_write and (call.duplicate or call.effect == OPEN):
            place = self.where.get(call.words[-1]) if call.words else None
            return None if place is None or place[0] != call.document else (place[1], place[2] + 1)
        return call.at if call.answer == "ok" else None

    def check_latch(self, call, latched):
        """Behind a write that failed from outside and was not applied, none is before resume."""
        if not call.is_write:
            return
        failed = latched.get(call.document)
        if failed is not None and (call.effect == APPLIED or self.position_of(call) is not None):
            self.complain("%s took effect, though %s had failed and there was no resume", call, failed)
        if call.effect == REFUSED and call.code >= FROM_OUTSIDE:
            latched.setdefault(call.document, call)

    def check_hole(self, call, at, last, waiting):
        """Between two writes that left their records in one generation, none is missing that nothing could refuse."""
        if last is None or last[0] != at[0] or self.known.get((call.document, at[0]), 0) < at[1]:
            return
        for write in waiting:
            # Without a document, an append may be refused, and a delete does nothing.
            must = write.expect is None and (last[1] > 0 or write.operation == "r")
            if write.effect == APPLIED:
                must = last[1] > 0 or write.operation != "d"
            elif write.answer == "failed" and write.resumes != call.resumes:
                must = False
            if must:
                self.complain("%s is missing before %s, which took effect at %s", write, call, at)

    # -- listings

    def check_listings(self):
        for call in self.calls:
            if call.kind != "i" or call.answer != "ok":
                continue
            found = set(call.found)
            if list(call.found) != sorted(found) or not all(name.startswith(call.prefix) for name in found):
                self.complain("%s with prefix \"%s\" gave %s", call, call.prefix, " ".join(call.found))
            for document in set(self.states) | found:
                if document.startswith(call.prefix):
                    self.check_listed(call, document, document in found)

    def check_listed(self, call, document, is_listed):
        """A document that was there all the time is listed, one that never was is not."""
        times, positions = self.answered.get(document, ([-FOREVER], [(0, 0)]))
        lower = positions[bisect.bisect_left(times, call.start) - 1]
        existed = lower[1] > 0
        if existed == is_listed:
            return
        for other in self.by_document[document]:
            if other.is_write and (other.operation == "d") == existed and other.may_happen_during(call):
                return
        self.complain("%s: %s was %slisted, and stood at %s", call, document, "" if is_listed else "not ", lower)
