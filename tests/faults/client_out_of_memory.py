#!/usr/bin/env python3
"""A host whose memory runs out in the middle of a set of calls (memory_client.c), and whether it was told the truth.

    client_out_of_memory.py blocking|queued AT TIMES        one of them, told in full

run() is one of them, on a daemon that has all the memory it wants: the Nth allocation of the host fails, and so many
after it. A call may fail. The host must not crash or hang, its handle works when there is memory again, and what it was
told is what the daemon holds: what was acknowledged is there, once, in order; what was not applied is not; what nobody
knew may be; and behind a write that failed from outside there is nothing of its document until resume.
"""

import collections
import os
import subprocess
import sys
import tempfile

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), folder) for folder in (".", "../python")]

from aftermath import FOLDER  # noqa: E402
from harness import PROGRAM, Daemon  # noqa: E402
from kyneta_store_client import Store, entry, meta  # noqa: E402
from memory import Memory  # noqa: E402
from records import Broken, meta_json  # noqa: E402

CLIENT = os.path.join(os.path.dirname(PROGRAM), "..", "tests", "faults", "memory-client")
WAIT_SECONDS = 240      # a bound, not an expectation

META = 0
SMALL_TIMES, LARGE_TIMES = 10, 40000    # a word in its data

ENTRY_BEFORE_META, FROM_OUTSIDE, READ_ONLY, NO_MEMORY = 200, 400, 402, 1001
NOT_APPLIED, UNKNOWN = 0, 1

Shortage = collections.namedtuple("Shortage", "socket mode at times")


class Result:
    def __init__(self):
        self.failed = 0                         # allocations
        self.broken = None
        self.lines = []                         # what the host was told
        self.told = collections.Counter()       # errors: (code, outcome), or (code, None) of calls that were not taken
        self.duplicates = 0                     # writes that were sent again, and had been carried out


def make_store(socket):
    """Before the first host, which begins by reading."""
    with Store(socket) as store:
        store.append("first", [meta(meta_json("m"))])


def run(shortage):
    """Returns a Result."""
    result = Result()
    with tempfile.TemporaryDirectory(prefix="kyneta-memory-", dir=FOLDER) as directory:
        memory = Memory(directory)
        memory.control.fail_at, memory.control.fail_times = shortage.at, shortage.times
        memory.control.armed = 1
        tag = "%s.%d.%d" % (shortage.mode, shortage.at, shortage.times)
        host = subprocess.Popen([CLIENT, shortage.socket, tag, shortage.mode], env={**os.environ, **memory.environment()},
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            _listen(host, memory, result)
            judge = Judge(result.lines, shortage.mode == "queued")
            result.told, result.duplicates = judge.told, judge.duplicates
            judge.check_store(shortage.socket, tag)
        except Broken as broken:
            result.broken = str(broken)
        finally:
            result.failed = memory.control.failed
            host.kill()
            host.communicate()
    return result


def _listen(host, memory, result):
    for line in host.stdout:        # it ends with the host, whose calls have deadlines
        result.lines.append(line.rstrip("\n"))
        if result.lines[-1] == "done":
            memory.control.armed = 0
            host.stdin.write("\n")
            host.stdin.flush()
    if host.wait(WAIT_SECONDS) != 0:
        raise Broken("the host ended with status %d: %s" % (host.returncode, host.stderr.read()))


class _Write:
    def __init__(self, operation, document, words, resumes):
        self.operation, self.document, self.words = operation, document, tuple(words)
        self.resumes = resumes      # before it
        self.code = self.outcome = self.next = self.duplicate = None

    def play(self, states):
        """What its document may hold after it, if it may have held one of @states before."""
        if self.code == ENTRY_BEFORE_META:
            return states & {()}
        after = {state + self.words if self.operation == "a" else self.words for state in states}
        if self.code == 0:
            return after if self.duplicate else {state for state in after if len(state) == self.next}
        return after | states if self.outcome == UNKNOWN else states


# bounds: of each document, how many of its writes had been called, when the read was called and when it was answered.
_Read = collections.namedtuple("_Read", "kind what found complete called answered")


class Judge:
    """What a host was told, line by line, and whether it can be true."""

    def __init__(self, lines, pipelines):
        self.pipelines = pipelines      # calls are queued: failed writes hold up those behind them
        self.writes, self.reads = collections.defaultdict(list), []
        self.open, self.resumes, self.recovered = {}, 0, False
        self.told, self.duplicates = collections.Counter(), 0
        for line in lines:
            kind, *words = line.split()
            getattr(self, "_" + kind)(*words)
        if self.open:
            raise Broken("calls without an answer: %s" % sorted(self.open))
        for document in self.writes:
            self._check_pipeline(document)
        self.states = {document: self._play(document) for document in self.writes}
        for read in self.reads:
            self._check_read(read)

    # -- calls

    def _w(self, call, operation, document, *words):
        write = _Write(operation, document, words, self.resumes)
        self.writes[document].append(write)
        self.open[call] = ("w", write, [], None)

    def _read(self, kind, call, what=None):
        self.open[call] = (kind, what, [], self._called())

    def _called(self):
        return {document: len(writes) for document, writes in self.writes.items()}

    def _l(self, call, document):
        self._read("l", call, document)

    def _c(self, call, document):
        self._read("c", call, document)

    def _i(self, call, prefix):
        self._read("i", call, prefix)

    def _s(self, call):
        self._read("s", call)

    _p = _t = _e = _s

    def _u(self, call):
        self.resumes += 1
        self._read("u", call)

    # -- answers

    def _opened(self, code):
        if int(code) not in (0, NO_MEMORY) or (self.recovered and int(code) != 0):
            raise Broken("opening failed: %s" % code)
        self.resumes += 1       # a handle without a past

    def _done(self):
        self.recovered = True

    def _end(self, call):
        if call not in self.open:
            raise Broken("call %s ended, and had ended before" % call)
        return self.open.pop(call)

    def _x(self, call, word):
        self.open[call][2].append(word)

    def _a(self, call, next, duplicate):
        write = self._end(call)[1]
        write.code, write.next, write.duplicate = 0, int(next), duplicate == "1"
        self.duplicates += write.duplicate

    def _m(self, call, next, word):
        _, document, _, called = self._end(call)
        self.reads.append(_Read("c", document, [word], True, called, self._called()))

    def _o(self, call):
        kind, what, found, called = self._end(call)
        if kind in "li":
            self.reads.append(_Read(kind, what, found, True, called, self._called()))

    def _f(self, call, code, outcome):
        kind, what, found, called = self._end(call)
        self._tell(call, int(code), int(outcome))
        if kind == "w":
            what.code, what.outcome = int(code), int(outcome)
            if what.outcome not in (NOT_APPLIED, UNKNOWN):
                raise Broken("call %s failed, and nobody says whether it was applied" % call)
        elif kind == "l":
            self.reads.append(_Read(kind, what, found, False, called, self._called()))

    def _n(self, call, code):
        kind, what, _, _ = self._end(call)
        self._tell(call, int(code), None)
        if kind == "w":
            self.writes[what.document].remove(what)
        self.resumes -= kind == "u"

    def _tell(self, call, code, outcome):
        self.told[code, outcome] += 1
        if code not in (ENTRY_BEFORE_META, READ_ONLY, NO_MEMORY) or (self.recovered and code == NO_MEMORY):
            raise Broken("call %s failed: %d" % (call, code))

    # -- what can be true

    def _check_pipeline(self, document):
        failed = None
        for write in self.writes[document] if self.pipelines else ():
            if write.code == 0 and failed is not None and failed.resumes == write.resumes:
                raise Broken("%s: %s was carried out behind a write that failed" % (document, write.words))
            if write.code >= FROM_OUTSIDE:
                failed = write

    def _play(self, document):
        """What the document may hold after each of its writes."""
        states = [{()}]
        for write in self.writes[document]:
            states.append(write.play(states[-1]))
            if not states[-1]:
                raise Broken("%s: of a document that may hold %s nobody can be told: %s" % (
                    document, states[-2], vars(write)))
        return states

    def _seen(self, read, document):
        """What a read may see of a document: everything that was called before it, and, sent again, what came later."""
        first, last = read.called.get(document, 0), read.answered.get(document, 0)
        return set().union(*self.states.get(document, [{()}])[first:last + 1])

    def _check_read(self, read):
        if read.kind == "i":
            documents = {document: self._seen(read, document) for document in self.states}
            right = (read.found == sorted(set(read.found)) and set(read.found) <= set(documents) and
                     all(any(states) if document in read.found else () in states
                         for document, states in documents.items()))
        elif read.kind == "c":
            right = any(read.found == ([word for word in state if word[0] == "m"] or ["-"])[-1:]
                        for state in self._seen(read, read.what))
        else:
            right = any(tuple(read.found) == (state if read.complete else state[:len(read.found)])
                        for state in self._seen(read, read.what))
        if not right:
            raise Broken("a read of %s gave %s" % (read.what, read.found))

    def check_store(self, socket, tag):
        with Store(socket) as store:
            for document, states in self.states.items():
                found = tuple(_word_of(record) for record in store.load_all(document)[0])
                if found not in states[-1]:
                    raise Broken("%s holds %s, and should hold %s" % (document, found, states[-1]))
            unknown = set(store.list_doc_ids(tag + "/")) - set(self.states)
            if unknown:
                raise Broken("documents that nobody made: %s" % unknown)


def _word_of(record):
    """The record's word, if all of it is as it was made."""
    word = record[1].rsplit('"', 2)[1] if record[0] == META else record[3]
    data = word * (LARGE_TIMES if word[0] == "B" else SMALL_TIMES)
    if record != (meta(meta_json(word)) if record[0] == META else entry(word, data if word[0] == "s" else data.encode())):
        raise Broken("a record that nobody wrote: %.200s" % (record,))
    return word


def main():
    with Daemon() as daemon:
        make_store(daemon.socket)
        result = run(Shortage(daemon.socket, sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
    for line in result.lines:
        print(line)
    print("%d allocations failed; it was told %s; %d writes sent again had been carried out"
          % (result.failed, dict(result.told), result.duplicates))
    print(result.broken or "every promise was kept")
    return 1 if result.broken else 0


if __name__ == "__main__":
    sys.exit(main())
