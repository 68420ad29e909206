#!/usr/bin/env python3
"""README.md's "Run it for real", line by line, on a system that was booted for it (box), as root. The box has built and
installed already. Each test goes on where the one before it ended."""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python"))
from harness import ROOT, expect_equal, main, test  # noqa: E402

SAMPLE = os.path.join(ROOT, "tests", "fixtures", "sample.v2.ndjson")
DOCUMENT = "notes/welcome"      # of the sample
WAIT_SECONDS = 120              # a bound, not an expectation

# What the box has done, and what shows more than a screen.
DONE = ("tests/setup ", "meson ")


def run(script):
    """Its status and what it prints."""
    done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=WAIT_SECONDS,
                          env={**os.environ, "SYSTEMD_PAGER": "cat"})
    return done.returncode, done.stdout


def must(script):
    status, output = run(script)
    if status != 0:
        journal = run("journalctl --unit 'kyneta-stored*' --lines 50")[1]
        raise AssertionError("%s\nended with %d:\n%s\n%s" % (script, status, output, journal))
    return output


def blocks(heading):
    """The shell lines below a heading of the README, a string for each block."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        section = re.search(r"^### %s\n(.*?)(?=^##)" % re.escape(heading), file.read(), re.M | re.S)[1]
    found = re.findall(r"^```sh\n(.*?)^```", section, re.M | re.S)
    return ["".join(line for line in block.splitlines(True) if not line.startswith(DONE)) for block in found]


def ping_as_service():
    return run("runuser -u www-data -- kyneta-storectl ping")[0]


@test("Install it: a socket waits, and the first connection starts the daemon")
def _():
    install, = blocks("Install it")
    must(install)
    expect_equal(run("systemctl is-active kyneta-stored.socket kyneta-stored.service")[1].split(), ["active", "inactive"])
    expect_equal(must("stat --format '%U %G %a' /var/lib/kyneta-store").split(), ["kyneta-store", "kyneta-store", "700"])
    must("kyneta-storectl import " + SAMPLE)
    expect_equal(must("systemctl is-active kyneta-stored").strip(), "active")


@test("Let your service in: not before, and then")
def _():
    expect_equal(ping_as_service(), 3)
    let_in, = blocks("Let your service in")
    must(let_in)
    expect_equal(ping_as_service(), 0)


@test("Check it")
def _():
    check, = blocks("Check it")
    must("journalctl --sync")
    output = must(check)
    for wanted in "roundTripMs", "appends", "Status: ", "ready":
        expect_equal(wanted in output, True, wanted)


@test("Configure it: a drop-in is in force after a reload")
def _():
    must("mkdir -p /etc/kyneta-stored.conf.d && echo 'page-bytes = 2M' > /etc/kyneta-stored.conf.d/local.conf")
    configure, = blocks("Configure it")
    expect_equal(re.findall(r"^(page-bytes = 2M) +; (\S+)", must(configure), re.M),
                 [("page-bytes = 2M", "/etc/kyneta-stored.conf.d/local.conf:1")])
    # The order to reload is given when systemctl returns; that it is carried out, and in the journal, takes a moment.
    must("until journalctl --sync && journalctl --unit kyneta-stored | grep page-bytes; do sleep 0.1; done")


@test("Upgrade it: another process, the same documents")
def _():
    before = must("systemctl show --property MainPID kyneta-stored")
    upgrade, = blocks("Upgrade it")
    must(upgrade)
    must("kyneta-storectl meta " + DOCUMENT)
    expect_equal(must("systemctl show --property MainPID kyneta-stored") == before, False, before)


@test("Back it up, and go back")
def _():
    database, documents, back = blocks("Back it up")
    must(database)
    must(documents)
    kept = must("kyneta-storectl load --json " + DOCUMENT)
    must("kyneta-storectl delete " + DOCUMENT)
    must(back)
    expect_equal(must("kyneta-storectl load --json " + DOCUMENT), kept)
    expect_equal(kept != "", True)
    must("kyneta-storectl import --overwrite /var/backups/exchange.ndjson")
    expect_equal(must("kyneta-storectl load --json " + DOCUMENT), kept)


@test("a daemon for another database")
def _():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        command = re.search(r"`(systemctl enable --now kyneta-stored@notes.socket)`", file.read())[1]
    must(command)
    must("kyneta-storectl --socket /run/kyneta-store/notes.sock import " + SAMPLE)
    must("test -f /var/lib/kyneta-store/notes/exchange.db")


if __name__ == "__main__":
    main()
