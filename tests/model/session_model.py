#!/usr/bin/env python3
"""A model checker of the protocol's promises about sessions.

    tests/model/session_model.py                    20,000 random schedules; 0 violations
    tests/model/session_model.py --mutations        leave each rule out; each must be missed
    tests/model/session_model.py --without latch    leave one out, and see what goes wrong

The protocol in short (protocol/PROTOCOL.md has it in full). A client keeps a session over
many connections. Its requests have increasing ids; it does not wait between them. The daemon
reads each connection in order; one writer takes what is queued, in batches, and commits each
batch in one transaction, together with a row per session: `through`, the highest id that was
carried out, and the ids below it that were not, with their codes. When a connection is lost,
or the daemon killed, the client connects again, says hello with its session (which takes it
over from the old connection), and sends what is unanswered again under the same ids. The row
tells the daemon what was done before, so nothing is lost and nothing done twice, however
alike the records are; the latch (see client.py) keeps later writes of a pipeline from being
applied where an earlier one failed for want of space, say, so that there are no holes.

The model runs a few clients, their connections, a daemon and its disk through random
schedules: every step of every part is an event, and crashes, power loss, lost connections,
take-overs, deadlines and failing writes come between any two. Checked along the way and at
the end of each schedule:

  - a write acknowledged as applied is there exactly once; nothing is applied twice
  - a write answered as not applied is not there
  - a session's writes of one document are applied in the order sent
  - no hole: no later write of a pipeline is applied to a document after an earlier one failed
    from outside or became unknown, without resume between; and none fails after it for no reason
  - every call is answered exactly once
  - `expect` never lets a lost update through
  - a document's generation never goes back, and no [generation, next] ever names two states,
    over crashes and power loss
  - writes acknowledged as synced, and writes a `sync` covers, survive power loss; writes
    acknowledged as committed survive a crash of the daemon

Each rule of the protocol (rules.py) can be left out. A rule whose removal is never noticed
would be either unneeded or unchecked, so --mutations fails then.

Not modelled: pages of reads, listings, several stores, access, clients without a session (they
are promised nothing about sending again).

Files: rules.py (the rules) · storage.py (what is committed, what is synced) · daemon.py (loop
and writer) · client.py · world.py (schedules and promises).
"""

import argparse
import sys
import time

sys.dont_write_bytecode = True         # leave nothing behind in the source tree

from rules import RULES
from world import check, schedule

# Within how many schedules --mutations must notice each removal. The rarest took 12,225.
MUTATION_SCHEDULES = 60000


def search(rules, first_seed, count):
    """The first schedule that breaks a promise: (schedules run, seed, promise), or None."""
    for seed in range(first_seed, first_seed + count):
        broken = check(rules, *schedule(seed))
        if broken:
            return seed - first_seed + 1, seed, broken
    return None


def shorten(rules, clients, events):
    """Leave out events as long as some promise is still broken."""
    size = len(events) // 2
    while size:
        start, before = 0, len(events)
        while start < len(events):
            fewer = events[:start] + events[start + size:]
            if check(rules, clients, fewer):
                events = fewer
            else:
                start += size
        if size > 1 or len(events) == before:
            size //= 2
    return events


def show(rules, clients, events):
    """Print a schedule step by step. Returns the promise it broke, or None."""
    log = []
    broken = check(rules, clients, events, log)
    for line in log:
        print("  " + line)
    print("  " + ("VIOLATION: " + broken if broken else "no violation"))
    return broken


def run_schedules(rules, options):
    found = search(rules, options.seed, options.schedules)
    if not found:
        print("%d schedules, 0 violations" % options.schedules)
        return 0
    count, seed, broken = found
    clients, events = schedule(seed)
    short = shorten(rules, clients, events)
    print("seed %d: %s\nshortened from %d events to %d:" % (seed, broken, len(events), len(short)))
    show(rules, clients, short)
    without = "".join(" --without " + rule for rule in options.without)
    print("in full: session_model.py%s --replay %d" % (without, seed))
    print("%d schedules, 1 violation" % count)
    return 1


def run_mutations(options):
    """Every rule must be missed when it is left out, and nothing when none is."""
    found, furthest, width = 0, options.schedules, max(map(len, RULES))
    for rule in RULES:
        result = search(set(RULES) - {rule}, options.seed, MUTATION_SCHEDULES)
        if result:
            found, furthest = found + 1, max(furthest, result[0])
            print("%-*s  after %5d schedules: %s" % (width, rule, result[0], result[2]), flush=True)
        else:
            print("%-*s  NOT FOUND in %d schedules" % (width, rule, MUTATION_SCHEDULES), flush=True)
    # With all rules kept, the very schedules that noticed must pass.
    options.schedules = furthest
    green = run_schedules(set(RULES), options) == 0
    print("%d rules, %d found" % (len(RULES), found))
    return 0 if green and found == len(RULES) else 1


def list_rules():
    width = max(map(len, RULES))
    for rule, why in RULES.items():
        print("%-*s  %s" % (width, rule, why))
    return 0


def parse(arguments):
    parser = argparse.ArgumentParser(
        description="Check the session rules of the protocol against random schedules of crashes, power loss, lost "
                    "connections, take-overs and failing writes. Exit status: 0 no violation, 1 violation, 2 usage.",
        epilog="The model is documentation too: start with the text at the head of session_model.py.")
    parser.add_argument("--schedules", type=int, default=20000, metavar="N", help="how many to run (default 20000)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="the first schedule's seed (default 1); "
                        "schedule i has seed S+i")
    parser.add_argument("--without", action="append", default=[], choices=RULES, metavar="RULE",
                        help="leave this rule out (may be repeated): a violation is found, shortened and printed")
    parser.add_argument("--mutations", action="store_true", help="leave out each rule in turn; fails unless every "
                        "removal is noticed and the whole protocol is not")
    parser.add_argument("--replay", type=int, metavar="SEED", help="print this seed's schedule step by step")
    parser.add_argument("--list", action="store_true", help="list the rules and what each is for")
    return parser.parse_args(arguments)


def main(arguments):
    options = parse(arguments)
    rules = set(RULES) - set(options.without)
    if options.list:
        return list_rules()
    if options.replay is not None:
        return 1 if show(rules, *schedule(options.replay)) else 0
    started = time.monotonic()
    result = run_mutations(options) if options.mutations else run_schedules(rules, options)
    print("%.1f s" % (time.monotonic() - started))
    return result


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:
        sys.exit(1)
