"""A client of kyneta-stored, written from protocol/PROTOCOL.md alone. Python's standard library only.

Three layers, each of use without the ones above it:

    pack, unpack    the part of msgpack that the protocol speaks (msgpack_subset.py)
    Connection      one socket: frames out, frames in, nothing remembered. For tests that craft every byte
    Store           a store as a host uses it: calls, pipelining, one session over many connections

Blocking, one thread. A Store's calls wait for their answers; its submit() does not: it returns a Call, and any number of
them may be under way. Bytes move, in both directions at once, whenever something waits.
"""

import os
import random
import select
import socket
import struct
import time

from msgpack_subset import pack, unpack

MAGIC = "kyneta-store"
VERSION = 1

HELLO, APPEND, LOAD_ALL, REPLACE, DELETE, CURRENT_META, LIST_DOC_IDS, CLOSE, PING, SYNC, STATS, RESUME = range(12)
WRITES = (APPEND, REPLACE, DELETE)

READ_WRITE, READ_ONLY, EXCLUSIVE = 0, 1, 2
COMMITTED, SYNCED = 0, 1
ENTIRETY, SINCE = 0, 1
JSON, BINARY = 0, 1

NOT_APPLIED, UNKNOWN = 0, 1

DRAINING_EVENT = 1
CODES = {
    100: "malformed", 101: "frame_too_large", 102: "no_common_version", 103: "hello_expected", 104: "unknown_op",
    105: "bad_argument",
    200: "entry_before_meta", 201: "meta_missing", 202: "replica_type_mismatch", 203: "sync_mode_mismatch",
    204: "bad_meta", 205: "too_large",
    300: "conflict", 301: "changed",
    400: "busy", 401: "denied", 402: "read_only", 403: "store_in_use", 404: "too_many_connections",
    500: "disk_full", 501: "io_error", 502: "corrupt", 503: "draining", 504: "incompatible_format", 505: "no_such_store",
}
BUSY, TOO_MANY_CONNECTIONS, CHANGED, DRAINING = 400, 404, 301, 503

REPLY_LIMIT = 1 << 30


class StoreError(Exception):
    """What the daemon refused, or (code None) what the client had to give up."""

    def __init__(self, code, message, outcome=None, *detail):
        super().__init__("%s: %s" % (CODES.get(code, code), message) if code else message)
        self.code, self.message, self.outcome, self.detail = code, message, outcome, detail

    def from_outside(self):
        """Did the write fail for a reason outside itself? Such a failure latches its document."""
        return self.code is None or 400 <= self.code < 600


# ---- messages -----------------------------------------------------------------------------------------------------


def frame(body):
    """A frame around these bytes."""
    return struct.pack(">I", len(body)) + body


def trimmed(message):
    """A message without the nils at its end, which mean nothing."""
    message = list(message)
    while message and message[-1] is None:
        message.pop()
    return message


def meta(json_text):
    """A metadata record."""
    return [0, json_text]


def entry(version, data, kind=SINCE, encoding=None, lineage=None):
    """An entry; its encoding, unless given, is what fits the type of @data."""
    if encoding is None:
        encoding = JSON if isinstance(data, str) else BINARY
    return [1, kind, encoding, version, data] + ([] if lineage is None else [lineage])


# ---- one connection -----------------------------------------------------------------------------------------------


class Connection:
    """A socket to the daemon. Sends and receives whole frames, or any bytes at all."""

    def __init__(self, path, timeout=60):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.received = bytearray()
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def send_bytes(self, data):
        self.socket.sendall(data)

    def send(self, *message):
        self.send_bytes(frame(pack(message)))

    def receive_bytes(self):
        """The bytes of the next frame; None when the daemon has closed the connection."""
        while True:
            body = take_frame(self.received)
            if body is not None:
                return body
            try:
                data = self.socket.recv(1 << 18)
            except (ConnectionResetError, BrokenPipeError):
                return None
            if not data:
                return None
            self.received += data

    def receive(self):
        """The next message; None when the daemon has closed the connection."""
        body = self.receive_bytes()
        return None if body is None else unpack(body)

    def request(self, *message):
        """Send a request and return the next message, which is its reply if nothing else is under way."""
        self.send(*message)
        return self.receive()

    def hello(self, client=None, store=None, access=None, session=None, lowest=VERSION, highest=VERSION):
        """Say hello; returns the reply, whatever it is."""
        return self.request(*trimmed((1, HELLO, MAGIC, lowest, highest, client, store, access, session)))

    def half_close(self):
        """Nothing more will be sent; replies still come."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()


def take_frame(received):
    """Cut the first whole frame off the front of a bytearray and return its body, or None."""
    if len(received) < 4:
        return None
    size = struct.unpack_from(">I", received)[0]
    if size > REPLY_LIMIT:
        raise StoreError(None, "the daemon announces a frame of %d bytes" % size)
    if len(received) - 4 < size:
        return None
    body = bytes(memoryview(received)[4:4 + size])
    del received[:4 + size]
    return body


# ---- a store ------------------------------------------------------------------------------------------------------


class Call:
    """A request on its way to its answer."""

    __slots__ = ("store", "id", "number", "era", "operation", "arguments", "sent", "renumber", "answer", "error", "done")

    def __init__(self, store, operation, arguments):
        self.store, self.operation, self.arguments = store, operation, arguments
        self.id = self.number = None
        self.era = 0            # how many resumes came before it
        self.sent = False       # perhaps in part, perhaps on a connection that is gone
        self.renumber = False   # refused with 503: asked again under a new id
        self.answer = self.error = None
        self.done = False

    @property
    def document(self):
        return self.arguments[0] if self.operation in WRITES + (LOAD_ALL, CURRENT_META) else None

    def is_write(self):
        return self.operation in WRITES

    def result(self, timeout=None):
        """The results of the reply, a list; waits for it. StoreError if it was refused."""
        self.store.wait(self, timeout)
        if self.error is not None:
            raise self.error
        return self.answer

    def finish(self, answer=None, error=None):
        self.answer, self.error, self.done = answer, error, True


class Store:
    """One store, as one host uses it.

    A lost connection is not an error: the store connects again, in the same session, and sends again what is unanswered.
    session: None has none (an unanswered write then ends as unknown); by default sixteen random bytes.
    deadline: seconds until a call is given up; None waits for ever.
    """

    def __init__(self, path, client=None, store=None, access=None, session=..., reconnect=True, deadline=None):
        self.path, self.reconnect, self.deadline = path, reconnect, deadline
        self.hello_arguments = (client, store, access)
        self.session = os.urandom(16) if session is ... else session
        self.socket, self.draining, self.ended = None, False, None
        self.incoming, self.outgoing = bytearray(), bytearray()
        self.unanswered = {}            # by id, in the order of the ids
        self.next_id, self.next_number, self.era = 2, 0, 0
        self.latched = {}               # document -> (era, number, error) of the write that failed from outside
        self.acknowledged = 0           # the highest id of a write known to be carried out
        self.close_sent = False
        self.connects = self.resent = self.duplicates = 0
        self._connect(self._until(deadline))

    def __enter__(self):
        return self

    def __exit__(self, kind, *exception):
        if kind is None:
            self.close()
        else:
            self.abandon()

    # -- the operations

    def append(self, document, records, durability=None, expect=None):
        """Add records at the end, together or not at all. Returns where the document stands, [generation, next]."""
        return self.submit(APPEND, document, records, durability, expect).result()[0]

    def replace(self, document, records, durability=None, expect=None):
        return self.submit(REPLACE, document, records, durability, expect).result()[0]

    def delete(self, document, durability=None, expect=None):
        return self.submit(DELETE, document, durability, expect).result()[0]

    def current_meta(self, document):
        """The metadata's JSON (None: no such document) and where the document stands."""
        return tuple(self.submit(CURRENT_META, document).result()[:2])

    def pages(self, document, limit=None):
        """Every record, a page at a time: yields (records, at). StoreError with CHANGED if the document is replaced."""
        cursor = None
        while True:
            records, at, cursor = _padded(self.submit(LOAD_ALL, document, cursor, limit).result(), 3)
            yield records, at
            if cursor is None:
                return

    def load_all(self, document, limit=None):
        """All records and where the document stands, of one moment; starts over when the document is replaced meanwhile."""
        while True:
            records = []
            try:
                for page, at in self.pages(document, limit):
                    records += page
                return records, at
            except StoreError as error:
                if error.code != CHANGED:
                    raise

    def list_doc_ids(self, prefix=None, limit=None):
        """Yields the ids that have metadata, in the order of their bytes."""
        cursor = None
        while True:
            documents, cursor = _padded(self.submit(LIST_DOC_IDS, prefix, cursor, limit).result(), 2)
            yield from documents
            if cursor is None:
                return

    def ping(self):
        self.submit(PING).result()

    def sync(self):
        self.submit(SYNC).result()

    def stats(self):
        return self.submit(STATS).result()[0]

    def resume(self):
        """Writes to documents with a failed write are taken again, from here on."""
        self.submit(RESUME).result()

    def push(self):
        """Send what the socket takes now, without waiting and without receiving."""
        while self.socket is not None and self.outgoing and select.select([], [self.socket], [], 0)[1]:
            self._send_some()

    def flush(self):
        """Wait until everything submitted is answered; errors stay with their calls."""
        while self.unanswered:
            self._turn(None)

    def close(self):
        """Finish what was submitted, end the session. Twice is harmless.

        `close` is sent when nothing else is unanswered: it ends the session, and with it the daemon's memory of what was
        carried out.
        """
        if self.socket is None or self.ended:
            return
        self.flush()
        call = self.submit(CLOSE)
        self.close_sent = True
        call.result()
        self.abandon()

    def abandon(self):
        """Drop the connection as it is, session and all unanswered calls with it."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None
        self._end(StoreError(None, "closed", UNKNOWN))

    # -- calls

    def submit(self, operation, *arguments):
        """Send a request without waiting for its answer; waits only while too much is under way."""
        if self.ended:
            raise self.ended
        call = Call(self, operation, arguments)
        call.number, self.next_number, call.era = self.next_number, self.next_number + 1, self.era
        if operation == RESUME:
            self.era += 1
        failure = self._latch_of(call)
        if failure:
            call.finish(error=failure)
            return call
        while self._window_is_full():
            self._turn(None)
        if self.ended:
            raise self.ended
        self._enroll(call)
        if not self.draining:
            self._send(call)
        return call

    def wait(self, call, timeout=None):
        """Move bytes until @call is answered. Past the deadline the call is given up: a write's outcome is then unknown."""
        until = self._until(self.deadline if timeout is None else timeout)
        while not call.done:
            if not self._turn(until):
                self._give_up(call)

    def _until(self, seconds):
        return None if seconds is None else time.monotonic() + seconds

    def _give_up(self, call):
        error = StoreError(None, "no answer before the deadline", UNKNOWN if call.is_write() else None)
        del self.unanswered[call.id]
        self._latch(call, error)
        call.finish(error=error)

    def _enroll(self, call):
        call.id, self.next_id = self.next_id, self.next_id + 1
        self.unanswered[call.id] = call

    def _send(self, call):
        call.sent = True
        self.outgoing += frame(pack(trimmed((call.id, call.operation) + call.arguments)))

    def _window_is_full(self):
        """No more in flight than the daemon allows, and no more ids since the oldest unanswered one than it remembers."""
        if not self.unanswered:
            return False
        return self.next_id - next(iter(self.unanswered)) >= self.in_flight_limit

    def _latch(self, call, error):
        if call.is_write() and error.from_outside():
            known = self.latched.get(call.document)
            if known is None or known[0] < call.era:
                self.latched[call.document] = (call.era, call.number, error)

    def _latch_of(self, call):
        """The error that @call must fail with, because an earlier write to its document did; or None."""
        if call.is_write() and call.document in self.latched:
            era, number, error = self.latched[call.document]
            if era == call.era and number < call.number:
                return StoreError(error.code, error.message, NOT_APPLIED, *error.detail)
        return None

    # -- bytes

    def _turn(self, until):
        """Send and receive what can be, waiting for at least something. False when @until has passed."""
        if self.socket is None:
            return self._connect(until)
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            return False
        readable, writable, _ = select.select([self.socket], [self.socket] if self.outgoing else [], [], left)
        if readable:
            self._receive_some()
        if writable and self.socket is not None:
            self._send_some()
        return True

    def _send_some(self):
        try:
            del self.outgoing[:self.socket.send(memoryview(self.outgoing)[:1 << 18].tobytes())]
        except BlockingIOError:
            pass
        except (ConnectionResetError, BrokenPipeError):
            # What the daemon answered before it went can still be read; the end of that says that it is gone.
            self.outgoing.clear()
            self.draining = True

    def _receive_some(self):
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._lost()
            return
        self.incoming += data
        self._receive()

    def _receive(self):
        while True:
            body = take_frame(self.incoming)
            if body is None:
                return
            message = unpack(body)
            if message[0] == 0:
                self._unasked(message)
            else:
                self._answered(*message)

    def _unasked(self, message):
        if message[1] == DRAINING_EVENT:
            self.draining = True
        elif message[1] >= 100:
            self._end(StoreError(*message[1:]))

    def _answered(self, id, code, *results):
        call = self.unanswered.get(id)
        if call is None:
            return              # given up
        if code == 0:
            del self.unanswered[id]
            if call.is_write():
                self.acknowledged = max(self.acknowledged, id)
                self.duplicates += results[1]
            call.finish(answer=list(results))
            return
        error = StoreError(code, *_padded(results, 2))
        if self.reconnect and code == DRAINING:
            self.draining, call.renumber = True, call.is_write()
        elif self.reconnect and self.session and error.outcome == UNKNOWN:
            self.draining = True    # the daemon ends; the next one knows
        else:
            del self.unanswered[id]
            self._latch(call, error)
            call.finish(error=error)

    def _lost(self):
        """The connection is gone."""
        self.socket.close()
        self.socket = None
        self.incoming.clear()
        self.outgoing.clear()
        if not self.reconnect:
            self._end(StoreError(None, "the connection is lost", UNKNOWN))
            return
        if self.close_sent and all(call.operation == CLOSE for call in self.unanswered.values()):
            self._finish_all()      # everything else was answered: the session has ended, or will by itself
        elif self.session is None:
            self._forget_what_was_sent("the connection is lost")

    def _finish_all(self):
        for call in self.unanswered.values():
            call.finish(answer=[])
        self.unanswered.clear()

    def _forget_what_was_sent(self, why):
        """What became of the writes under way cannot be asked."""
        for call in list(self.unanswered.values()):
            if call.is_write() and call.sent and not call.renumber:
                error = StoreError(None, why, UNKNOWN)
                del self.unanswered[call.id]
                self._latch(call, error)
                call.finish(error=error)

    def _end(self, error):
        """Nothing more can be done for this store."""
        self.ended = self.ended or error
        for call in self.unanswered.values():
            outcome = (UNKNOWN if call.sent else NOT_APPLIED) if call.is_write() else None
            call.finish(error=StoreError(error.code, error.message, outcome, *error.detail))
        self.unanswered.clear()

    # -- connecting, and again

    def _connect(self, until):
        """One hello after the other until one is answered. False when @until has passed."""
        wait = 0.02
        while True:
            try:
                connection = Connection(self.path, timeout=max(0.001, until - time.monotonic()) if until else None)
            except OSError as error:    # nobody listens yet
                failure = error
            else:
                failure = self._say_hello(connection)
                if failure is None:
                    return True
                connection.close()
            if isinstance(failure, StoreError) and failure.code not in (BUSY, TOO_MANY_CONNECTIONS, DRAINING):
                self._end(failure)
                raise failure
            if not self.reconnect:
                raise failure
            if until is not None and time.monotonic() + wait > until:
                if self.connects == 0:
                    raise failure
                return False
            time.sleep(wait * random.uniform(0.5, 1))
            wait = min(2 * wait, 1)

    def _say_hello(self, connection):
        """Returns None when this is the store's connection now, or what is in the way."""
        try:
            reply = connection.hello(*self.hello_arguments, session=self.session)
        except OSError as error:        # not answered in time
            return error
        if reply is None:
            return ConnectionResetError("closed before hello was answered")
        if reply[1]:
            return StoreError(*_padded(reply[1:], 3))
        self._connected(connection, reply)
        return None

    def _connected(self, connection, reply):
        (_, _, self.version, self.daemon, self.layout, self.through, self.frame_limit, self.in_flight_limit,
         self.page_limit) = _padded(reply, 9)[:9]
        self.socket, self.incoming = connection.socket, connection.received
        self.socket.setblocking(False)
        self.outgoing.clear()
        self.draining = False
        self.connects += 1
        if self.session is not None and self.through == 0 and self.acknowledged:
            self._forget_what_was_sent("the daemon does not know this session any more")
            self.acknowledged = 0
        self._settle()
        self._receive()

    def _settle(self):
        """Send what is unanswered again, in order: PROTOCOL.md, "Sending again"."""
        later, moved = [], {}
        for call in list(self.unanswered.values()):
            failure = self._latch_of(call)
            if call.renumber:
                moved.setdefault(call.document, call)
            if call.document in moved or (moved and call.document is None):
                del self.unanswered[call.id]
                later.append(call)
            elif failure and call.id > self.through:
                del self.unanswered[call.id]
                call.finish(error=failure)
            else:
                self.resent += call.sent
                self._send(call)
        for call in later:
            call.renumber = False
            self._enroll(call)
            self._send(call)


def _padded(values, count):
    """At least @count values: those that are absent are nil."""
    return list(values) + [None] * (count - len(values))
