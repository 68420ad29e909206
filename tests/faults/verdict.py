"""What a file may hold after the daemon ended in the middle of a workload, and what clients may be told afterwards.

    verdict = Verdict(play, cut=True)           cut: power was lost; else nothing that was answered may be missing
                                                renumbered: the daemon took a failure of the disk for another program's
                                                write, and gave documents new generations
    verdict.found(documents, throughs)          the file as a daemon has recovered it, and of each client `through`
    ... everything unanswered is answered
    verdict.finished(documents)

All raise Broken. What is there must be what some first writes of each client make, one after the other (shared documents
are looked at record by record):

  - for a client with a session, its first writes up to `through`, exactly;
  - all that were acknowledged as synced, whether by themselves or by a sync; without a power cut all acknowledged;
  - what had been answered before any write was sent that is there: the log keeps the order.

Then each unanswered write is answered by whether it was there: as a duplicate, or as it is carried out now.
"""

from kyneta_store_client import APPEND, REPLACE
from records import Broken, words_of
from workload import SHARED

NOWHERE = [0, 999]      # a position that no document has
ENTRY_BEFORE_META, META_MISSING, CONFLICT = 200, 201, 300


def _metadata(words):
    return any(word[0] == "m" for word in words)


class Verdict:
    def __init__(self, play, cut, renumbered=False):
        self.clients, self.cut, self.renumbered = play.clients, cut, renumbered
        self.words = [word for client in self.clients for write in client.writes for word in write.words]
        self.there = {}             # client -> so many of its first writes
        self.shared = ()            # words of the shared document
        self.unanswered = {client: {write for write in client.writes if not write.answered()}
                           for client in self.clients}
        # (store, document, at) -> words, as far as clients were told
        self.told = {}

    # -- what a write makes of documents

    def _apply(self, documents, write, anew=False):
        """Returns the code of its refusal, or 0. anew: it is sent again, and was not there when power was cut."""
        rows = documents.get(write.document, ())
        if write.failed():
            return write.call.error.code
        if self.renumbered and write.expect is not None and write.call.error and write.call.error.code == CONFLICT:
            return CONFLICT
        if write.expect == NOWHERE or (write.expect is not None and anew and self.cut):
            return CONFLICT
        if write.operation == APPEND:
            if not rows and not _metadata(write.words):
                return ENTRY_BEFORE_META
            documents[write.document] = rows + write.words
        elif write.operation == REPLACE:
            if not _metadata(write.words):
                return META_MISSING
            documents[write.document] = write.words
        else:
            documents.pop(write.document, None)
        return 0

    def _own(self, client):
        return [write for write in client.writes if write.document != SHARED]

    def _states(self, client):
        """The client's own documents after none, one, two … of its writes."""
        documents, states = {}, [{}]
        for write in client.writes:
            code = self._apply(documents, write) if write.document != SHARED or write.failed() else 0
            states.append(dict(documents))
            self._check_answer(write, code, documents)
        return states

    def _check_answer(self, write, code, documents):
        """What was answered before the end."""
        call = write.call
        if write in self.unanswered[write.client]:
            return
        told = call.error.code if call.error else 0
        if told != code:
            raise Broken("%s was answered with %d, which should be %d" % (write, told, code))
        if told == 0 and write.document != SHARED and not call.answer[1]:
            at = tuple(call.answer[0])
            self.told[write.client.store, write.document, at] = documents.get(write.document, ())

    # -- what is there

    def found(self, documents, throughs):
        streams = self._words_of(documents)
        self.shared = streams["default"].pop(SHARED, ())
        for client in self.clients:
            names = {write.document for write in self._own(client)}
            mine = {name: streams[client.store].pop(name) for name in names if name in streams[client.store]}
            self.there[client] = self._count(client, mine, throughs.get(client))
        left = [name for store in streams.values() for name in store]
        if left:
            raise Broken("documents that nobody made: %s" % left)
        for client in self.clients:
            self._check_acknowledged(client)
            self._check_order(client)
        self._check_shared(self.shared, {client: client.writes[:count] for client, count in self.there.items()})

    def _words_of(self, documents):
        return {store: {name: words_of(rows, self.words) for name, rows in streams.items()}
                for store, streams in documents.items()}

    def _count(self, client, mine, through):
        """So many of its first writes have made what is there."""
        states = self._states(client)
        fitting = [count for count, state in enumerate(states) if state == mine]
        if not fitting:
            raise Broken("%s: no first writes of it make %s; all of them make %s" % (client.name, mine, states[-1]))
        if through is None:
            return fitting[-1]
        count = sum(write.call.id is not None and write.call.id <= through for write in client.writes)
        if client.ended and through == 0 and len(client.writes) in fitting:
            return len(client.writes)       # its session has ended as well
        if count not in fitting:
            raise Broken("%s: through says that %d writes are there, and the documents say %s"
                         % (client.name, count, fitting))
        return count

    def _check_acknowledged(self, client):
        least = client.synced
        if not self.cut:
            least = max([write.number + 1 for write in client.writes if write.acknowledged()], default=0)
        if self.there[client] < least:
            raise Broken("%s was acknowledged, and is lost: %d writes are there"
                         % (client.writes[least - 1], self.there[client]))

    def _check_order(self, client):
        count = self.there[client]
        if count == 0 or not self.cut:
            return
        for other, answered in client.writes[count - 1].before.items():
            if self.there[other] < answered:
                raise Broken("%s is there, and %s, which was answered before, is not"
                             % (client.writes[count - 1], other.writes[answered - 1]))

    def _check_shared(self, words, carried_out):
        """Each client's records are there once, in its order."""
        for client, writes in carried_out.items():
            mine = [word for write in writes if write.document == SHARED and not write.failed() for word in write.words]
            known = set(word for write in client.writes for word in write.words)
            there = [word for word in words if word in known]
            if there != mine:
                raise Broken("%s has appended %s to the shared document, which has %s" % (client.name, mine, there))

    def check_position(self, client, document, at):
        """Where an own document stands now. Nobody may take it for another state that he was told of."""
        documents = {}
        for write in client.writes[:self.there[client]]:
            if write.document != SHARED:
                self._apply(documents, write)
        told = self.told.get((client.store, document, tuple(at)))
        if told is not None and told != documents.get(document, ()):
            raise Broken("%s stands at %s, where it held %s; now it holds %s"
                         % (document, at, told, documents.get(document)))

    # -- afterwards

    def finished(self, documents):
        """Everything was sent again and answered; nothing else was written."""
        streams = self._words_of(documents)
        shared = streams["default"].pop(SHARED, ())
        carried_out = {client: self._settle(client, streams[client.store]) for client in self.clients}
        left = [name for store in streams.values() for name in store]
        if left:
            raise Broken("documents that nobody made: %s" % left)
        if shared[:len(self.shared)] != self.shared:
            raise Broken("the shared document held %s, and now %s" % (self.shared, shared))
        self._check_shared(shared, carried_out)

    def _settle(self, client, streams):
        """Compare the client's documents and answers with what its writes make. Returns those that were carried out."""
        documents, carried_out = {}, []
        for write in client.writes:
            there = write.number < self.there[client]
            if write.failed():
                continue
            if self._sent_again(write, there) or there:
                code = self._apply(documents, write, not there) if write.document != SHARED else 0
                if code == 0:
                    carried_out.append(write)
                self._check_late_answer(write, there, code)
        for name in {write.document for write in self._own(client)}:
            found, expected = streams.pop(name, ()), documents.get(name, ())
            if found != expected:
                raise Broken("%s: %s holds %s, and should hold %s" % (client.name, name, found, expected))
        return carried_out

    def _sent_again(self, write, there):
        """Was it answered only afterwards?"""
        if write not in self.unanswered[write.client]:
            return False
        if not write.call.done:
            raise Broken("%s was never answered" % write)
        if write.answered():
            return True
        if write.client.link.session is not None and there:
            raise Broken("%s is there, and its client was told: %s" % (write, write.call.error))
        return False

    def _check_late_answer(self, write, there, code):
        call = write.call
        if write not in self.unanswered[write.client] or not write.answered():
            return
        told = call.error.code if call.error else 0
        if told != code:
            raise Broken("%s was sent again and answered with %d, which should be %d" % (write, told, code))
        if told == 0 and bool(call.answer[1]) != there:
            raise Broken("%s was sent again; it was %sthere, and called %s"
                         % (write, "" if there else "not ", "a duplicate" if call.answer[1] else "new"))
