"""The rules of the protocol, each a switch the checker can leave out.

A rule's name is what `session_model.py --without NAME` takes. The code asks
`"name" in self.rules` at the one place where the rule is kept; what it does
otherwise is the mistake an implementer would most likely make there.
"""

RULES = {
    # The session's row, kept by the daemon's writer.
    "row-in-batch": "the session's row is stored in the transaction of the batch itself; apart from it, a crash "
                    "between the two doubles the batch",
    "check-through": "a write whose id is not above `through` is answered, never carried out again",
    "keep-failed": "ids that were not carried out are stored beside `through`; else asking again hears 'applied'",
    "refusals-recorded": "a write refused before the writer (a quota) is recorded in its turn, like any failure",
    "failed-window": "as many failed ids are kept as requests may be in flight (less one: `through` is one of them)",
    "window-counts-failures": "the window counts failed writes, not distance between ids: reads use up ids too",
    "client-in-flight": "the client keeps the in-flight limit: a reply written is not a reply received, so the "
                        "daemon's own bound does not limit what may be asked again",
    "given-up-counts": "... and counts the writes it gave up: they may be among the daemon's failed ids all the same",
    "draining-refuses-rest": "once a draining daemon refused a request (503), it refuses all that follow it, resume "
                             "and reads included; so 503 means: ask the next daemon, under the same id",
    "applied-clears-failed": "an id that failed above `through`, was sent again and applied leaves the failed list",
    "session-before-expect": "whether it was carried out is looked up before `expect`, which its own effect made false",
    "session-before-refusal": "... and before quotas, which would call an applied write 'not applied'",
    "id-order": "a write held back by an earlier read of its document holds back all later writes of the session; "
                "overtaken by a higher id, it would seem carried out",
    "close-after-answers": "close ends the session's row, so a client sends it once all its writes are answered",
    "week-away": "a client away longer than sessions are kept gives up what is unanswered and starts a new session",

    # Commit, crash and power.
    "reply-after-commit": "no reply before the commit",
    "batch-synced": "a batch is synced when any member asks for it",
    "overlay-discarded": "what a batch changed in memory is thrown away when it is rolled back",
    "failed-sync-unknown": "after a failed fsync nothing is answered as not applied, and the daemon ends",
    "duplicate-synced": "a duplicate that asks for `synced` waits until what it did is synced",
    "start-syncs": "a start makes everything it finds durable before the first hello: a crash leaves commits that "
                   "are there but not synced",
    "sync-syncs": "`sync` covers everything acknowledged in the session, on earlier connections too",
    "sync-notices-loss": "a hello whose `through` is below an acknowledged write tells the client that power was "
                         "lost; `sync` must not say all is well then",

    # Connections: take-over and sending again.
    "takeover-waits": "the new hello is answered after what the old connection had queued",
    "takeover-stops-reading": "from then on nothing is read from the old connection, and it is closed",
    "same-ids": "a write sent again keeps its id",
    "resend-in-order": "unanswered requests are sent again in the order of their ids, before anything new",

    # The latch: no holes in a pipeline.
    "latch": "after a failure from outside, later writes of the connection to that document fail alike",
    "latch-in-writer": "the latch holds for what was queued already when the failure came",
    "replayed-failure-latches": "a failure from outside answered from the stored list latches the new connection too",
    "local-latch": "the client remembers over a reconnect which documents are latched; the daemon does not",
    "ask-below-through": "... but fails by itself only what is above `through`; the rest may have been applied: ask",
    "resume-in-place": "`resume` has its place in the pipeline: it lifts what failed before it, for what comes after",
    "resume-resent": "an unanswered `resume` is sent again in its place",

    # Generations and expect.
    "counter-durable": "the generation counter is stored with the change that used it",
    "generation-outlives-delete": "a deleted document keeps its generation",
    "expect-generation": "`expect` compares the generation, not only next",
    "floor-after-power-loss": "a start after power loss raises the floor of all generations by more than can have been "
                              "lost, so that no [generation, next] ever names two states",
    "expect-from-answers": "a client expects only what an answer told it, never what it hopes its pipeline makes",
    "duplicate-not-basis": "a duplicate's `at` is today's and may count records the client never saw",
}

# The fewest that make pipelines, windows and limits matter; a real daemon has 1,024.
IN_FLIGHT_LIMIT = 3

# Names, not numbers, in traces; the numbers are those on the wire.
APPLIED, BAD_ARGUMENT, NO_META, CONFLICT, BUSY, DISK_FULL, IO_ERROR, DRAINING = 0, 105, 200, 300, 400, 500, 501, 503
NAMES = {APPLIED: "applied", BAD_ARGUMENT: "bad_argument", NO_META: "entry_before_meta", CONFLICT: "conflict",
         BUSY: "busy", DISK_FULL: "disk_full", IO_ERROR: "io_error", DRAINING: "draining"}


def from_outside(code):
    """Did the write fail for a reason that is not its own? Those latch the document."""
    return code >= 400


class Violation(Exception):
    """A promise of the protocol was broken."""
