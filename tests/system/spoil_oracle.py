#!/usr/bin/env python3
"""The oracle of soak: content with every history that a daemon which keeps its promises can make, and with no other.

A little world makes histories: clients that call without waiting, a daemon that carries out and answers, crashes between
the two, clients that die or run out of time. As they are, the oracle must allow them. Then each has one thing spoiled, in
every way that a broken daemon or library would, and the oracle must complain, and about that.
"""

import collections
import copy
import os
import random
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

from harness import expect_equal, main, note, test  # noqa: E402
from oracle import Oracle, Violation  # noqa: E402

DOCUMENTS = ["own/1", "shared/1", "shared/2"]
CLIENTS = ["1.1", "2.1", "3.1"]
IMPATIENT = "3.1"
EVENTS = 400
HISTORIES = 150
SPOILED = 25            # so many of each kind
OUT_OF_TIME = ["1000", "0", "-", "no", "answer", "/"]   # and not applied


# ---- a world that keeps its promises --------------------------------------------------------------------------------


class Pending:
    """A call that is not answered yet."""

    def __init__(self, number, kind, *arguments):
        self.number, self.kind, self.arguments = number, kind, arguments
        self.result = None      # what the daemon made of it: a letter and words
        self.applied = False


class World:
    def __init__(self, seed, documents):
        self.dice = random.Random(seed)
        self.time = 0
        self.documents = documents          # name -> (generation, words)
        self.generations = max(generation for generation, _ in documents.values())
        self.events = []                    # (client, words of a line)
        self.queues = {client: [] for client in CLIENTS}
        self.numbers, self.records = collections.Counter(), 0
        self.failed = {client: set() for client in CLIENTS}    # documents without resume
        self.seen = {}                      # (client, document) -> position
        self.dead = []

    def state(self, document):
        generation, words = self.documents[document]
        return (generation, len(words)), list(words)

    def states(self):
        return {document: self.state(document) for document in self.documents}

    def log(self, client, kind, number, *words):
        self.time += 1
        self.events.append((client, [kind, str(number), str(self.time), *words]))

    # -- the clients

    def call(self, client):
        dice, kind = self.dice, self.dice.choice("wwwwwwlcis" + "u" * bool(self.failed[client]))
        document = dice.choice(DOCUMENTS)
        arguments = []
        if kind == "w":
            operation = dice.choice("aaaaaaarrd")
            words = []
            for _ in range({"a": dice.choice((1, 1, 2, 3)), "r": dice.randint(1, 3), "d": 0}[operation]):
                self.records += 1
                words.append("%s%s.%d" % (dice.choice("sb"), client, self.records))
            if operation == "r" or operation == "a" and dice.random() < 0.2:
                words[0] = "m" + words[0][1:]
            expect = self.seen.get((client, document)) if dice.random() < 0.2 else None
            arguments = [operation, document, show(expect), *words]
        elif kind in "lc":
            arguments = [document]
        elif kind == "i":
            arguments = [dice.choice(("", "own/", "shared/"))]
        elif kind == "u":
            self.failed[client].clear()
        self.numbers[client] += 1
        call = Pending(self.numbers[client], kind, *arguments)
        self.log(client, kind, call.number, *arguments)
        if kind == "w" and document in self.failed[client]:
            self.log(client, "f", call.number, *OUT_OF_TIME)
        else:
            self.queues[client].append(call)

    def answer(self, client):
        """The first call that the daemon has carried out."""
        queue = self.queues[client]
        call = next((call for call in queue if call.result is not None), None)
        if call is None:
            return
        queue.remove(call)
        kind, *words = call.result
        if kind == "a" and words[1] == "1":
            words[0] = show(self.state(call.arguments[1])[0])
        self.log(client, kind, call.number, *words)
        if kind in "ar" and words[-1:] != ["1"]:
            document = call.arguments[1] if kind == "a" else call.arguments[0]
            self.seen[client, document] = tuple(map(int, words[0].split(".")))

    def run_out_of_time(self, client):
        """The first write that is not carried out: it never will be, or is in the daemon's hands and will be at once."""
        queue = self.queues[client]
        call = next((call for call in queue if call.kind == "w" and call.result is None), None)
        if call is None or any(other.result is None for other in queue[:queue.index(call)]):
            return
        document = call.arguments[1]
        sent = self.dice.random() < 0.5
        if sent and self.dice.random() < 0.5:
            self.serve(call)
        queue.remove(call)
        self.log(client, "f", call.number, "1000", "1" if sent else "0", *OUT_OF_TIME[2:])
        self.failed[client].add(document)
        # Behind it, nothing is sent before resume.
        for other in queue[:]:
            if other.number > call.number and other.kind == "u":
                self.failed[client].discard(document)
                break
            if other.kind == "w" and other.arguments[1] == document and other.result is None:
                queue.remove(other)
                self.log(client, "f", other.number, *OUT_OF_TIME)

    def die(self, client):
        """Some of what it sent is carried out; nobody hears of it."""
        for call in self.queues[client]:
            if self.dice.random() < 0.3:
                break
            self.serve(call)
        self.queues[client] = []
        self.failed[client].clear()
        self.dead.append(client)

    # -- the daemon

    def serve_next(self, client):
        call = next((call for call in self.queues[client] if call.result is None), None)
        if call is not None:
            self.serve(call)

    def serve(self, call):
        if call.result is None:
            call.result = getattr(self, "serve_" + call.kind)(call, *call.arguments)

    def serve_w(self, call, operation, document, expect, *words):
        at, stream = self.state(document)
        if expect != "-" and expect != show(at):
            return ["f", "300", "0", show(at), "not", "there", "/"]
        if operation == "a":
            if not stream and words[0][0] != "m":
                return ["f", "200", "0", "-", "no", "meta", "/"]
            self.documents[document] = at[0], stream + list(words)
        elif operation == "r" or stream:
            self.generations += 1
            self.documents[document] = self.generations, list(words)
        call.applied = True
        return ["a", show(self.state(document)[0]), "0"]

    def serve_l(self, call, document):
        at, stream = self.state(document)
        return ["r", show(at), *stream]

    def serve_c(self, call, document):
        at, stream = self.state(document)
        return ["m", show(at), next((word for word in reversed(stream) if word[0] == "m"), "-")]

    def serve_i(self, call, prefix):
        return ["d", *sorted(document for document, (_, stream) in self.documents.items()
                             if stream and document.startswith(prefix))]

    def serve_s(self, call):
        return ["o"]

    serve_u = serve_s

    def crash(self):
        """What was carried out is answered later, as a duplicate; a read is asked again."""
        for queue in self.queues.values():
            for call in queue:
                if call.kind != "w":
                    call.result = None
                elif call.applied:
                    call.result[2] = "1"

    # -- all of it

    def run(self):
        for _ in range(EVENTS):
            living = [client for client in CLIENTS if client not in self.dead]
            client, step = self.dice.choice(living), self.dice.random()
            if step < 0.4:
                self.call(client)
            elif step < 0.7:
                self.serve_next(client)
            elif step < 0.96:
                self.answer(client)
            elif step < 0.98:
                self.crash()
            elif step < 0.997 or len(living) == 1:
                if client == IMPATIENT:
                    self.run_out_of_time(client)
            else:
                self.die(client)
        return self

    def finish(self):
        for client, queue in self.queues.items():
            while queue:
                self.serve_next(client)
                self.answer(client)
        return self


def show(position):
    return "-" if position is None else "%d.%d" % position


def start(seed):
    return {document: (0, []) for document in DOCUMENTS}, World(seed, {document: (0, []) for document in DOCUMENTS})


def judge(before, events, states, dead, quiet):
    """What the oracle complains about; None: nothing."""
    oracle = Oracle({document: ((generation, len(words)), words) for document, (generation, words) in before.items()},
                    with_deadline=[IMPATIENT])
    oracle.dead.update(dead)
    try:
        for client, words in events:
            oracle.take(client, " ".join(words))
        oracle.check(states, quiet)
    except Violation as violation:
        return "\n".join(violation.complaints)
    return None


@test("%d histories that keep every promise are allowed, under way and at the end" % HISTORIES)
def _():
    operations = collections.Counter()
    for seed in range(HISTORIES):
        before, world = start(seed)
        world.run()
        expect_equal(judge(before, world.events, world.states(), world.dead, False), None, "history %d, under way" % seed)
        world.finish()
        expect_equal(judge(before, world.events, world.states(), world.dead, True), None, "history %d" % seed)
        operations.update(words[0] for _, words in world.events)
    note("%d events: %s" % (sum(operations.values()), dict(sorted(operations.items()))))


@test("histories that follow each other are allowed")
def _():
    for seed in range(HISTORIES // 10):
        documents = {document: (0, []) for document in DOCUMENTS}
        oracle = Oracle({document: ((0, 0), []) for document in DOCUMENTS}, with_deadline=[IMPATIENT])
        for part in range(5):
            world = World("%d/%d" % (seed, part), documents)
            # Each part has its own clients: names of records are not used again.
            rename = {client: "%s%d" % (client, part) for client in CLIENTS}
            world.run().finish()
            for client, words in world.events:
                oracle.take(rename[client], " ".join(renamed(words, part)))
            oracle.with_deadline.add(rename[IMPATIENT])
            oracle.dead.update(rename[client] for client in world.dead)
            documents = {document: (generation, renamed(words, part))
                         for document, (generation, words) in world.documents.items()}
            oracle.check({document: ((generation, len(words)), words)
                          for document, (generation, words) in documents.items()}, quiet=True)


def renamed(words, part):
    """Records of this part under names that no other part has."""
    return [re.sub(r"^([msb]\d\.1)\.", r"\g<1>%d." % part, word) for word in words]


# ---- spoiled ----------------------------------------------------------------------------------------------------------


class Spoil:
    """A history, and what is known about it, to be spoiled in place."""

    def __init__(self, seed, finished=True):
        self.dice = random.Random(seed)
        self.before, world = start(seed)
        world.run()
        if finished:
            world.finish()
        self.finished, self.dead = finished, world.dead
        self.events, self.states = copy.deepcopy(world.events), world.states()
        self.calls = {(client, words[1]): words for client, words in self.events if words[0] in "wlcisu"}
        self.write_of = {word: (client, words) for (client, _), words in self.calls.items() if words[0] == "w"
                         for word in words[6:]}

    def groups(self, document):
        """The final stream in whole writes."""
        stream, groups = self.states[document][1], []
        while stream:
            size = len(self.write_of[stream[0]][1][6:])
            groups.append(stream[:size])
            stream = stream[size:]
        return groups

    def set_stream(self, document, words, generation=None):
        at, _ = self.states[document]
        self.states[document] = (at[0] if generation is None else generation, len(words)), words

    def answers(self, kind):
        return [(client, words) for client, words in self.events if words[0] == kind]

    def choose(self, candidates):
        candidates = list(candidates)
        return self.dice.choice(candidates) if candidates else None

    def acknowledged(self, word):
        """Was the write that made it answered as carried out, with its place?"""
        client, call = self.write_of[word]
        return any(who == client and words[0] == "a" and words[1] == call[1] and words[4] == "0"
                   for who, words in self.events)


_spoilers = []


def spoiler(name, complaint, finished=True):
    def register(function):
        _spoilers.append((name, complaint, finished, function))
        return function
    return register


def documents_with(spoil, groups):
    return [document for document in DOCUMENTS if len(spoil.groups(document)) >= groups]


@spoiler("the last acknowledged write is lost", "had been answered before")
def _(spoil):
    document = spoil.choose(document for document in documents_with(spoil, 2)
                            if spoil.acknowledged(spoil.groups(document)[-1][0]))
    if document is None:
        return False
    spoil.set_stream(document, sum(spoil.groups(document)[:-1], []))
    return True


@spoiler("an acknowledged write is lost, and others are behind it", "and was|stands at")
def _(spoil):
    document = spoil.choose(document for document in documents_with(spoil, 3))
    if document is None:
        return False
    groups = spoil.groups(document)
    lost = spoil.choose(index for index in range(1, len(groups) - 1) if spoil.acknowledged(groups[index][0]))
    if lost is None:
        return False
    del groups[lost]
    spoil.set_stream(document, sum(groups, []))
    return True


@spoiler("a write is there twice", "stands at|and was|found a part")
def _(spoil):
    document = spoil.choose(documents_with(spoil, 1))
    if document is None:
        return False
    groups = spoil.groups(document)
    spoil.set_stream(document, sum(groups + [spoil.dice.choice(groups)], []))
    return True


@spoiler("a write of an older generation is there again", "stands at|two generations|had been answered before")
def _(spoil):
    document = spoil.choose(documents_with(spoil, 1))
    if document is None:
        return False
    there = set(spoil.states[document][1])
    old = spoil.choose(words[6:] for (_, _), words in spoil.calls.items() if words[0] == "w" and words[3] == "a" and
                       words[4] == document and spoil.acknowledged(words[6]) and not there & set(words[6:]))
    if old is None:
        return False
    spoil.set_stream(document, spoil.states[document][1] + old)
    return True


@spoiler("two writes have changed places", "stands at|and was|took effect at|no metadata|found a part")
def _(spoil):
    document = spoil.choose(documents_with(spoil, 3))
    if document is None:
        return False
    groups = spoil.groups(document)
    index = spoil.choose(index for index in range(1, len(groups) - 1)
                         if spoil.acknowledged(groups[index][0]) or
                         spoil.write_of[groups[index][0]][0] == spoil.write_of[groups[index + 1][0]][0])
    if index is None:
        return False
    groups[index], groups[index + 1] = groups[index + 1], groups[index]
    spoil.set_stream(document, sum(groups, []))
    return True


@spoiler("a write is torn", "found a part")
def _(spoil):
    document = spoil.choose(document for document in DOCUMENTS if any(len(group) > 1 for group in spoil.groups(document)))
    if document is None:
        return False
    groups = spoil.groups(document)
    del spoil.dice.choice([group for group in groups if len(group) > 1])[spoil.dice.choice((0, -1))]
    spoil.set_stream(document, sum(groups, []))
    return True


@spoiler("a record is damaged", "which nobody has written|found a part")
def _(spoil):
    document = spoil.choose(documents_with(spoil, 1))
    if document is None:
        return False
    words = spoil.states[document][1]
    words[spoil.dice.randrange(len(words))] = "!s1.1.1"
    return True


@spoiler("a read mixes two generations", "stands at|two generations|and was|found a part")
def _(spoil):
    loads = [(spoil.calls[client, words[1]][3], words) for client, words in spoil.answers("r") if len(words) > 5]
    pairs = [(one, other) for name, one in loads for other_name, other in loads
             if name == other_name and one[3].split(".")[0] != other[3].split(".")[0]]
    pair = spoil.choose(pairs)
    if pair is None:
        return False
    one, other = pair
    cut = spoil.dice.randint(5, len(one) - 1)
    words = other[5:][:len(one) - cut]
    one[cut:cut + len(words)] = words
    return bool(words)


@spoiler("a read does not see what was acknowledged before", "had been answered before|before earlier calls of this client")
def _(spoil):
    loads = [(spoil.calls[client, words[1]], words) for client, words in spoil.answers("r")]
    triples = [(old, load, answer) for call, load in loads for old_call, old in loads for answer_call, answer in loads
               if call[3] == old_call[3] == answer_call[3] and place_of(old) < place_of(answer) and
               int(answer[2]) < int(call[2])]
    triple = spoil.choose(triples)
    if triple is None:
        return False
    old, load, _ = triple
    load[3:] = old[3:]
    return True


def place_of(answer):
    generation, place = answer[3].split(".")
    return int(generation), int(place)


@spoiler("a client does not see its own earlier write, which was not answered yet", "before earlier calls of this client")
def _(spoil):
    candidates = []
    for client, words in spoil.answers("r"):
        call = spoil.calls[client, words[1]]
        at = [int(number) for number in words[3].split(".")]
        last = words[-1]
        if at[1] < 2 or last not in spoil.write_of or spoil.write_of[last][0] != client:
            continue
        write = spoil.write_of[last][1]
        answer = [other for who, other in spoil.events if who == client and other[0] == "a" and other[1] == write[1]]
        others = [other for who, other in spoil.events if other[0] == "r" and other is not words and
                  spoil.calls[who, other[1]][3] == call[3] and last in other]
        if write[3] == "a" and int(write[1]) < int(call[1]) and answer and int(answer[0][2]) > int(call[2]) and not others \
                and answer[0][4] == "0" and len(write[6:]) < at[1]:
            candidates.append((words, at, len(write[6:])))
    chosen = spoil.choose(candidates)
    if chosen is None:
        return False
    words, at, size = chosen
    words[3] = "%d.%d" % (at[0], at[1] - size)
    del words[-size:]
    return True


@spoiler("a generation goes back", "had been answered before|had more|and was|stands at")
def _(spoil):
    document = spoil.choose(document for document in DOCUMENTS if spoil.states[document][0][0] > 0)
    if document is None:
        return False
    spoil.set_stream(document, spoil.states[document][1], spoil.states[document][0][0] - 1)
    return True


@spoiler("a refused write is there", "was not applied")
def _(spoil):
    refused = [words for client, words in spoil.answers("f") if spoil.calls[client, words[1]][0] == "w" and words[4] == "0"
               for words in [spoil.calls[client, words[1]]] if words[3] == "a" and spoil.states[words[4]][1]]
    call = spoil.choose(refused)
    if call is None:
        return False
    spoil.set_stream(call[4], spoil.states[call[4]][1] + call[6:])
    return True


@spoiler("what was sent before a write that is there is missing", "is missing before", finished=False)
def _(spoil):
    answered = {(client, words[1]) for client, words in spoil.events if words[0] in "armdof"}
    for document in spoil.dice.sample(DOCUMENTS, len(DOCUMENTS)):
        groups = spoil.groups(document)
        for index in range(1, len(groups) - 1):
            client, words = spoil.write_of[groups[index][0]]
            mine = [other for other in groups if spoil.write_of[other[0]][0] == client]
            place = mine.index(groups[index])
            if (client, words[1]) in answered or words[5] != "-" or not 0 < place < len(mine) - 1 or \
                    any(words[0] == "r" and groups[index][0] in words for _, words in spoil.events):
                continue
            # Only where nothing that stands behind it tells its own place.
            if any(spoil.acknowledged(other[0]) for other in groups[index + 1:]):
                continue
            del groups[index]
            spoil.set_stream(document, sum(groups, []))
            return True
    return False


@spoiler("a write that was answered as carried out before is lost",
         "as a duplicate|is missing before|had been answered before|and was|stands at")
def _(spoil):
    for client, words in spoil.answers("a"):
        call = spoil.calls[client, words[1]]
        document, stream = call[4], spoil.states[call[4]][1]
        if words[4] == "1" and call[3] == "a" and call[6] in stream[1:] and \
                not any(other[0] == "r" and call[6] in other for _, other in spoil.events):
            spoil.set_stream(document, [word for word in stream if word not in call[6:]])
            return True
    return False


@spoiler("a write is carried out although it expected another position", "expected")
def _(spoil):
    chosen = spoil.choose(words for client, words in spoil.answers("a")
                          if spoil.calls[client, words[1]][3] == "a" and words[4] == "0")
    if chosen is None:
        return False
    call = next(spoil.calls[client, words[1]] for client, words in spoil.answers("a") if words is chosen)
    generation, next_place = chosen[3].split(".")
    call[5] = "%s.%d" % (generation, max(0, int(next_place) - len(call[6:]) - 1)) if int(next_place) > len(call[6:]) \
        else "%s.7777" % generation
    return True


@spoiler("a conflict tells the very position that was expected", "failed with 300")
def _(spoil):
    chosen = spoil.choose((client, words) for client, words in spoil.answers("f") if words[3] == "300")
    if chosen is None:
        return False
    client, words = chosen
    words[5] = spoil.calls[client, words[1]][5]
    return True


@spoiler("a call fails that may not", "failed with 501")
def _(spoil):
    client, words = spoil.dice.choice(spoil.answers("a") + spoil.answers("r"))
    words[:] = ["f", words[1], words[2], "501", "-1", "-", "broken", "/"]
    return True


@spoiler("a call is never answered", "was never answered")
def _(spoil):
    index = spoil.choose(index for index, (client, words) in enumerate(spoil.events)
                         if words[0] in "rmdo" and client not in spoil.dead)
    del spoil.events[index]
    return True


@spoiler("a call is answered twice", "was answered twice")
def _(spoil):
    spoil.events.append(spoil.dice.choice(spoil.answers("a")))
    return True


@spoiler("another metadata than the document's is given", "found m")
def _(spoil):
    metas = [(spoil.calls[client, words[1]][3], words) for client, words in spoil.answers("m")
             if words[4] in spoil.write_of and spoil.acknowledged(words[4])]
    pairs = [(one, other) for name, one in metas for other_name, other in metas if name == other_name and one[4] != other[4]]
    pair = spoil.choose(pairs)
    if pair is None:
        return False
    pair[0][4] = pair[1][4]
    return True


@spoiler("a document is not listed", "was not listed")
def _(spoil):
    spoil.events.append(("1.1", ["i", "100000", "999990", ""]))
    documents = sorted(document for document in DOCUMENTS if spoil.states[document][1])
    if not documents or spoil.dead:
        return False
    documents.remove(spoil.dice.choice(documents))
    spoil.events.append(("1.1", ["d", "100000", "999999", *documents]))
    # Somebody must have been told that it is there.
    for number, document in enumerate(DOCUMENTS):
        at, words = spoil.states[document]
        spoil.events.insert(-2, ("1.1", ["l", str(100001 + number), "999980", document]))
        spoil.events.insert(-2, ("1.1", ["r", str(100001 + number), "999981", show(at), *words]))
    # What an impatient client left open may be a delete.
    return not any(words[0] == "f" and words[4] == "1" for _, words in spoil.events)


@spoiler("a document is listed that is not there", "was listed")
def _(spoil):
    document = spoil.choose(document for document in DOCUMENTS if not spoil.states[document][1])
    if document is None or spoil.dead or any(words[0] == "f" and words[4] == "1" for _, words in spoil.events):
        return False
    at, _ = spoil.states[document]
    spoil.events += [("1.1", ["l", "100001", "999980", document]), ("1.1", ["r", "100001", "999981", show(at)]),
                     ("1.1", ["i", "100002", "999990", document]), ("1.1", ["d", "100002", "999999", document])]
    return True


@spoiler("a write is carried out behind one that failed, without resume", "there was no resume")
def _(spoil):
    latched = {}
    for client, words in spoil.events:
        if words[0] == "u":
            latched.pop(client, None)
        if words[0] == "f" and words[3] == "1000" and words[4] == "0" and spoil.calls[client, words[1]][0] == "w":
            call = spoil.calls[client, words[1]]
            first = latched.setdefault(client, {}).setdefault(call[4], call)
            if first is not call and call[3] == "a" and spoil.states[call[4]][1] and \
                    int(first[1]) < int(call[1]) and not any(who == client and other[0] == "u" and
                                                             int(first[1]) < int(other[1]) < int(call[1])
                                                             for who, other in spoil.events):
                stream = spoil.states[call[4]][1] + call[6:]
                spoil.set_stream(call[4], stream)
                words[:] = ["a", words[1], words[2], show(spoil.states[call[4]][0]), "0"]
                return True
    return False


def check_spoiler(name, complaint, finished, function):
    done = seed = 0
    while done < SPOILED:
        seed += 1
        if seed > 80 * HISTORIES:
            raise AssertionError("only %d histories can be spoiled like that" % done)
        spoil = Spoil(seed, finished)
        if not function(spoil):
            continue
        done += 1
        found = judge(spoil.before, spoil.events, spoil.states, spoil.dead, finished)
        if found is None or not re.search(complaint, found):
            raise AssertionError("history %d, spoiled: the oracle says %s" % (seed, found))


for spoiled in _spoilers:
    test("the oracle notices: " + spoiled[0])(lambda spoiled=spoiled: check_spoiler(*spoiled))

if __name__ == "__main__":
    main()
