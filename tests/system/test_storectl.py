#!/usr/bin/env python3
"""kyneta-storectl as people and scripts use it: what it prints, how it ends, what it leaves behind when it is stopped."""

import gzip
import json
import os
import pty
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from harness import ROOT, START_SECONDS, Daemon, expect_equal, main, test  # noqa: E402

STORECTL = os.environ.get("KYNETA_STORECTL_BIN") or os.path.join(ROOT, "build", "client", "ctl", "kyneta-storectl")
SAMPLE = os.path.join(ROOT, "tests", "fixtures", "sample.v2.ndjson")

META = ('{"replicaType":["plain",1,0],"syncMode":{"writerModel":"serialized","delivery":"delta-capable",'
        '"durability":"persistent"},"schemaHash":"00"}')

OK, FAILED, USAGE, UNREACHABLE, MISMATCH, NOT_FOUND = range(6)


def environment(daemon):
    return {**os.environ, "KYNETA_STORE_SOCKET": daemon.socket if daemon else "/nonexistent/socket"}


def command(*words):
    # Far more than any of these takes; a machine under load must not end them.
    return [STORECTL, "--timeout", "120", *words]


def run(daemon, *words, stdin="", status=OK):
    """Run a command, which must end with @status; gives what it printed. A failure is told in one line, and only a failure."""
    result = subprocess.run(command(*words), env=environment(daemon), input=stdin.encode(), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
    told = result.stderr.decode()
    if result.returncode != status:
        raise AssertionError("%s ended with %d, not %d: %s" % (words, result.returncode, status, told))
    expect_equal(told.count("\n"), 0 if status in (OK, MISMATCH) else 1, "lines on stderr, %r" % told)
    return result.stdout.decode() if status == OK else told + result.stdout.decode()


def expect_in(part, text):
    if part not in text:
        raise AssertionError("%r is not in %r" % (part, text))


def append_line(doc, record):
    return json.dumps({"op": "append", "docId": doc, "record": record}, ensure_ascii=False, separators=(",", ":")) + "\n"


def meta_record():
    return {"kind": "meta", "meta": json.loads(META)}


def entry_record(data, version="1"):
    return {"kind": "entry", "payload": {"kind": "since", "encoding": "json", "data": data}, "version": version}


def many_documents(count):
    return "".join(append_line("doc/%06d" % i, record) for i in range(count) for record in (meta_record(), entry_record("[]")))


def write_file(daemon, name, text):
    path = os.path.join(daemon.directory, name)
    with open(path, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    return path


# ---- one document -------------------------------------------------------------------------------------------------


@test("a document's life")
def _():
    with Daemon() as daemon:
        run(daemon, "list", status=NOT_FOUND)       # the store has not been made yet
        run(daemon, "meta", "a", status=NOT_FOUND)
        expect_in("layout\t0\n", run(daemon, "ping"))
        expect_in("entry_before_meta: Store: first record for doc 'a' must be meta, got entry",
                  run(daemon, "append", "a", "--entry", "{}", status=FAILED))
        expect_equal(run(daemon, "append", "a", "--meta", META, "--entry", "{}", "--kind", "entirety", "--version", "v0"), "0:2\n")
        expect_equal(run(daemon, "append", "a", "--binary", "-", "--version", "v1", "--lineage", "l", stdin="\0x"), "0:3\n")
        expect_equal(run(daemon, "load", "a").splitlines()[1:], ["1\tentirety\tjson\t2\tv0\t{}", "2\tsince\tbinary\t2\tv1\t0078"])
        expect_equal(run(daemon, "meta", "a"), "meta\t%s\nrecords\t3\nposition\t0:3\n" % META)
        records = run(daemon, "load", "a", "--json")
        expect_equal(json.loads(records.splitlines()[2]),
                     {"kind": "entry", "version": "v1", "payload": {"kind": "since", "encoding": "binary",
                                                                    "data": {"$base64": "AHg="}, "lineage": "l"}})
        run(daemon, "replace", "b", stdin=records)
        expect_equal(run(daemon, "load", "b", "--json"), records)
        run(daemon, "append", "b", *records.splitlines()[1:])
        run(daemon, "append", "b", "--file", write_file(daemon, "records", records))
        expect_equal(json.loads(run(daemon, "meta", "b", "--json"))["next"], 8)
        expect_in("meta_missing", run(daemon, "replace", "b", "--entry", "x", status=FAILED))
        expect_equal(run(daemon, "list"), "a\nb\n")
        expect_equal(run(daemon, "list", "b", "--json"), '{"docId":"b"}\n')
        run(daemon, "delete", "b")
        run(daemon, "delete", "b")
        run(daemon, "load", "b", status=NOT_FOUND)
        run(daemon, "meta", "b", status=NOT_FOUND)
        stats = json.loads(run(daemon, "stats", "--json"))
        expect_equal(stats["deletes"], 2)
        if not 0 < stats["delete_p50_us"] <= stats["delete_p99_us"] <= stats["delete_max_us"]:
            raise AssertionError("no latencies: %r" % stats)


@test("top looks again and again, and counts what happened between two looks")
def _():
    with Daemon() as daemon:
        run(daemon, "append", "a", "--meta", META, "--entry", "x")
        looks = [json.loads(line) for line in run(daemon, "top", "--json", "-n", "3", "-i", "0.01").splitlines()]
        expect_equal(len(looks), 3)
        for look in looks:
            expect_equal(look["append"]["perSecond"], 0)        # it was before the first look
            if not look["append"]["p50Us"] > 0 or not look["requestsPerSecond"] > 0:
                raise AssertionError("not what happened: %r" % look)
        expect_in("append\t", run(daemon, "top", "-n", "1", "-i", "0.01"))
        run(daemon, "top", "-n", "0", status=USAGE)
        run(daemon, "top", "-i", "0", status=USAGE)


@test("a write that expects a position")
def _():
    with Daemon() as daemon:
        at = run(daemon, "append", "a", "--meta", META).strip()
        after = run(daemon, "append", "a", "--entry", "x", "--expect", at).strip()
        expect_in("(it stands at %s)" % after, run(daemon, "append", "a", "--entry", "y", "--expect", at, status=FAILED))
        run(daemon, "replace", "a", "--meta", META, "--expect", at, status=FAILED)
        run(daemon, "delete", "a", "--expect", at, status=FAILED)
        run(daemon, "delete", "a", "--expect", after)


@test("records that are none")
def _():
    with Daemon() as daemon:
        for record in ("x", "{}", '{"kind":"weird"}', '{"kind":"entry","version":"1","payload":{}}'):
            expect_in("record 1: ", run(daemon, "append", "a", record, status=FAILED))
        expect_in("line 2: not JSON", run(daemon, "append", "a", stdin=json.dumps(meta_record()) + "\n{", status=FAILED))
        expect_in("bad_meta", run(daemon, "append", "a", "--meta", '{"a":1}', status=FAILED))
        expect_in("No such file", run(daemon, "append", "a", "--file", "/nonexistent", status=FAILED))
        expect_in("No such file", run(daemon, "append", "a", "--binary", "/nonexistent", status=FAILED))
        run(daemon, "append", "a", status=FAILED)       # none at all
        run(daemon, "list", status=NOT_FOUND)


@test("ids that play tricks")
def _():
    ids = ["", "\x1b[31mred\n", "a\\nb", "nul\0\"quoted\"", "\u202egpj.exe", "\u009b31m", "日本語 😀"]
    with Daemon() as daemon:
        run(daemon, "import", stdin="".join(append_line(doc, meta_record()) for doc in ids))
        listed = run(daemon, "list").splitlines()
        expect_equal(len(listed), len(ids))
        for line in listed:
            if any(ord(character) < 32 or 0x7f <= ord(character) < 0xa0 or character == "\u202e" for character in line):
                raise AssertionError("a terminal would act upon %r" % line)
            expect_equal(run(daemon, "meta", "--escaped", line).splitlines()[1], "records\t1")
            run(daemon, "delete", "--escaped", line)
        expect_equal(run(daemon, "list"), "")


@test("an exclusive writer keeps nobody out when it is done, and leaves no session behind")
def _():
    with Daemon() as daemon:
        run(daemon, "append", "a", "--meta", META, "--exclusive")
        run(daemon, "append", "a", "--entry", "x", "--exclusive")
        run(daemon, "delete", "a", "--exclusive")
        run(daemon, "replay", SAMPLE, "--exclusive")
        run(daemon, "import", "--overwrite", "--exclusive", SAMPLE)
        run(daemon, "append", "a", "--meta", META)
        daemon.stop()
        with sqlite3.connect(daemon.database) as database:
            kept = database.execute("SELECT count(*) FROM kyneta_stored WHERE substr(key, 1, 1) = x'73'").fetchone()
        expect_equal(kept, (0,), "rows of sessions")


@test("chosen tables and layout")
def _():
    names = ["--meta-table", "m", "--records-table", 'r"; --']
    with Daemon() as daemon:
        run(daemon, "append", "a", "--meta", META, *names, "--store-table", "s")
        expect_in("layout\t2\n", run(daemon, "ping", *names, "--store-table", "s"))
        expect_equal(run(daemon, "list", *names, "--store-table", "s"), "a\n")
        run(daemon, "append", "a", "--meta", META.replace("syncMode", "syncProtocol"), "--meta-table", "m1", "--records-table", "r1",
            "--layout", "1")
        expect_in("layout\t1\n", run(daemon, "ping", "--meta-table", "m1", "--records-table", "r1"))
        expect_in("bad_argument", run(daemon, "list", "--store-table", "sqlite_x", status=FAILED))


# ---- nobody there -------------------------------------------------------------------------------------------------


def answer_nonsense(listening):
    """Accept whoever comes, and say what no daemon says."""
    while True:
        try:
            peer, _ = listening.accept()
        except OSError:     # shut down
            return
        with peer:
            try:
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                peer.recv(65536)
            except OSError:
                pass


@test("no daemon, a socket that nobody serves, one who never answers, one who is no daemon")
def _():
    with Daemon() as daemon:
        pass
    folder = os.path.dirname(daemon.socket)
    os.makedirs(folder, exist_ok=True)
    quickly = ("--timeout", "0.2")
    told = run(None, "ping", *quickly, status=UNREACHABLE)
    expect_in("/nonexistent/socket ($KYNETA_STORE_SOCKET)", told)
    expect_in("systemctl status kyneta-stored", told)
    for words in (["list"], ["append", "a", "--entry", "x"], ["export"], ["import"], ["stats"]):
        run(None, *words, *quickly, status=UNREACHABLE)
    run(None, "ping", "--socket", "x" * 200, status=UNREACHABLE)
    path = os.path.join(folder, "mute")
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(path)
        expect_in("Connection refused", run(None, "ping", "--socket", path, *quickly, status=UNREACHABLE))
        mute.listen(16)
        expect_in("--socket", run(None, "ping", "--socket", path, *quickly, status=UNREACHABLE))
        run(None, "append", "a", "--meta", META, "--socket", path, *quickly, status=UNREACHABLE)
        answering = threading.Thread(target=answer_nonsense, args=(mute,))
        answering.start()
        try:
            expect_in("is it kyneta-stored's", run(None, "append", "a", "--meta", META, "--socket", path, status=UNREACHABLE))
        finally:
            mute.shutdown(socket.SHUT_RDWR)
            answering.join()
    os.unlink(path)
    os.rmdir(folder)


@test("a stopped daemon: the outcome of a write is unknown")
def _():
    with Daemon() as daemon:
        first = subprocess.Popen(command("import", "--merge", "--timeout", "0.3"), env=environment(daemon), stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_for_log(daemon, "kyneta-storectl: ")
        daemon.signal(signal.SIGSTOP)
        try:
            output, told = first.communicate(many_documents(100).encode())
        finally:
            daemon.signal(signal.SIGCONT)
        expect_equal(first.returncode, UNREACHABLE, told)
        expect_in(b"outcome unknown", told)


def wait_for_log(daemon, text):
    bound = time.monotonic() + START_SECONDS
    while text not in daemon.log():
        if time.monotonic() > bound:
            raise AssertionError("the daemon never said %r" % text)
        time.sleep(0.01)


# ---- output -------------------------------------------------------------------------------------------------------


@test("a full disk under the output is told, a closed pipe is not")
def _():
    with Daemon() as daemon:
        run(daemon, "import", stdin=many_documents(20000))
        for words in (["list"], ["export"], ["load", "doc/000001"]):
            with open("/dev/full", "wb") as full:
                result = subprocess.run(command(*words), env=environment(daemon), stdout=full, stderr=subprocess.PIPE)
            expect_equal(result.returncode, FAILED)
            expect_in(b"No space left", result.stderr)
        for words in (["list"], ["export"]):
            for ignored in (False, True):   # some parents leave SIGPIPE ignored behind
                reader, writer = os.pipe()
                process = subprocess.Popen(command(*words), env=environment(daemon), stdout=writer, stderr=subprocess.PIPE,
                                           restore_signals=not ignored)
                os.close(writer)
                os.read(reader, 100)
                os.close(reader)
                expect_equal(process.communicate()[1], b"")
                expect_equal(process.returncode, FAILED if ignored else -signal.SIGPIPE)


@test("on a terminal: aligned, cut to its width, nothing that it would act upon")
def _():
    with Daemon() as daemon:
        run(daemon, "append", "a", "--meta", META, "--entry", "\x1b[31m\n" + "x" * 5000, "--version", "v\t1")
        master, slave = pty.openpty()
        process = subprocess.Popen(command("load", "a"), env=environment(daemon), stdout=slave, stderr=slave)
        os.close(slave)
        output = b""
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:     # EIO: the other side is closed
                break
            if not part:
                break
            output += part
        os.close(master)
        expect_equal(process.wait(), OK)
        lines = output.decode().replace("\r\n", "\n").splitlines()
        expect_equal(len(lines), 2)
        expect_in("4.9 KiB", lines[1])
        expect_in("\\u001b[31m\\nxxx", lines[1])
        for line in lines:
            if len(line) > 100 or any(ord(character) < 32 for character in line):
                raise AssertionError("not fit for a terminal: %r" % line)


@test("help, version and mistakes on the command line")
def _():
    expect_in("exit status:", run(None, "--help"))
    for name in ("ping", "stats", "top", "list", "meta", "load", "append", "replace", "delete", "replay", "export", "import"):
        expect_in("usage: kyneta-storectl " + name, run(None, "help", name))
        expect_equal(run(None, name, "--help"), run(None, "help", name))
    expect_in("kyneta-storectl ", run(None, "--version"))
    for words in ([], ["frob"], ["ping", "x"], ["ping", "--merge"], ["append"], ["list", "--expect", "1:1"]):
        run(None, *words, status=USAGE)
    expect_in("not valid UTF-8", run(None, "meta", b"\xff", status=USAGE))
    expect_in("not an id", run(None, "meta", "--escaped", "\\x", status=USAGE))


# ---- replay -------------------------------------------------------------------------------------------------------


def session(*calls):
    return "".join(json.dumps(call, ensure_ascii=False, separators=(",", ":")) + "\n" for call in calls)


@test("whatever is not as recorded is found")
def _():
    append = {"op": "append", "docId": "a", "record": meta_record()}
    entry = {"op": "append", "docId": "a", "record": entry_record("x")}
    wrong = [
        {"op": "currentMeta", "docId": "a", "expect": None},
        {"op": "currentMeta", "docId": "b", "expect": json.loads(META)},
        {"op": "loadAll", "docId": "a", "expect": []},
        {"op": "loadAll", "docId": "a", "expect": [meta_record(), entry_record("y")]},
        {"op": "loadAll", "docId": "a", "expect": [meta_record(), entry_record("x"), entry_record("x")]},
        {"op": "loadAll", "docId": "a", "expect": {"count": 2, "sha256": "0" * 64}},
        {"op": "listDocIds", "expect": []},
        {"op": "listDocIds", "prefix": "b", "expect": ["b"]},
        {**entry, "error": "no"},
        {"op": "append", "docId": "b", "record": entry_record("x")},
        {"op": "append", "docId": "b", "record": entry_record("x"), "error": "another text"},
        {"op": "append", "docId": "b", "record": {"kind": "weird"}},
    ]
    with Daemon() as daemon:
        for number, call in enumerate(wrong):
            run(daemon, "delete", "a")
            lines = session({"op": "open"}, append, entry, call, {"op": "close"})
            for options in ((), ("--in-flight",)):
                told = run(daemon, "replay", "-", "--json", *options, stdin=session({"op": "delete", "docId": "a"}) + lines[lines.index("\n") + 1:],
                           status=MISMATCH).splitlines()
                expect_equal(json.loads(told[0])["line"], 4, "case %d" % number)
                expect_equal(json.loads(told[-1])["mismatches"], 1, "case %d" % number)
        told = run(daemon, "replay", "-", "--continue", "--json", status=MISMATCH,
                   stdin=session({"op": "delete", "docId": "a"}, append, entry, *wrong)).splitlines()
        expect_equal(json.loads(told[-1])["mismatches"], len(wrong))
        expect_equal(json.loads(told[-1])["calls"], len(wrong) + 3)


@test("a session that cannot be read")
def _():
    with Daemon() as daemon:
        expect_in("line 2: ", run(daemon, "replay", "-", stdin='{"op":"open"}\nx\n', status=FAILED))
        expect_in("open already", run(daemon, "replay", "-", stdin=session({"op": "open"}, {"op": "open"}), status=FAILED))
        expect_in("No such file", run(daemon, "replay", "/nonexistent", status=FAILED))
        with open(SAMPLE, "rb") as file:
            packed = gzip.compress(file.read())
        expect_in("cut short", run(daemon, "replay", write_file(daemon, "cut.gz", packed[:-20]), status=FAILED))
    with Daemon() as daemon:
        run(daemon, "replay", write_file(daemon, "whole.gz", packed))


# ---- export and import --------------------------------------------------------------------------------------------


@test("what was exported can be imported, and is the same again")
def _():
    with Daemon() as daemon, Daemon() as other:
        run(daemon, "replay", SAMPLE)
        lines = run(daemon, "export")
        if '"op":"replace"' not in lines:
            raise AssertionError("no document in the sample begins with an entry")
        summary = json.loads(run(other, "import", "--json", stdin=lines))
        expect_equal(summary["written"], lines.count("\n"))
        expect_equal(run(other, "export"), lines)
        each = lines.split("\n")[:-1]     # there are other line separators in the texts
        expect_equal(run(other, "export", "todo/"), "".join(line + "\n" for line in each if '"docId":"todo/' in line))
        expect_in("exists already", run(other, "import", stdin=lines, status=FAILED))
        expect_equal(run(other, "export"), lines)
        run(other, "import", "--overwrite", stdin=lines)
        expect_equal(run(other, "export"), lines)
        run(other, "import", "--merge", stdin=append_line("notes/welcome", entry_record("merged")))
        expect_in('"data":"merged"', run(other, "load", "notes/welcome", "--json"))
        run(other, "import", write_file(other, "lines.gz", gzip.compress(lines.encode())), "--overwrite")
        expect_equal(run(other, "export"), lines)
        clear = session(*({"op": "delete", "docId": json.loads(line)["docId"]} for line in each))
        run(other, "replay", "-", stdin=clear + lines)
        expect_equal(run(other, "export"), lines)


@test("the writes of a recorded session are imported, of one store, without those that were refused")
def _():
    with Daemon() as daemon, Daemon() as other:
        run(daemon, "replay", SAMPLE)
        with open(SAMPLE, encoding="utf-8") as file:
            recorded = file.read()
        foreign = append_line("foreign", meta_record()).replace('{"op"', '{"store":"other","op"')
        run(other, "import", stdin=foreign + recorded)
        expect_equal(run(other, "export"), run(daemon, "export"))
        run(other, "import", "--store", "other", stdin=foreign + recorded)
        expect_equal(run(other, "list", "foreign"), "foreign\n")


@test("import stops at the first line that fails, or goes on")
def _():
    lines = [append_line("a", meta_record()), append_line("b", entry_record("x")), "{\n", append_line("c", meta_record()),
             append_line("c", entry_record("half a pair")).replace("half a pair", "\\ud800")]
    with Daemon() as daemon:
        expect_in("line 2, b: entry_before_meta", run(daemon, "import", stdin=lines[0] + lines[1], status=FAILED))
        result = subprocess.run(command("import", "--continue", "--json"), env=environment(daemon), input="".join(lines).encode(),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        expect_equal(result.returncode, FAILED)
        expect_equal([line.split(b":")[1].split(b",")[0] for line in sorted(result.stderr.splitlines())],
                     [b" import line 1", b" import line 2", b" import line 3", b" import line 5"])
        summary = json.loads(result.stdout)
        expect_equal((summary["written"], summary["failed"]), (1, 4))
        expect_equal(run(daemon, "list"), "a\nc\n")


@test("import and export ride through crashes of the daemon")
def _():
    lines = many_documents(30000)
    with Daemon() as daemon:
        path = write_file(daemon, "many", lines)
        importing = subprocess.Popen(command("import", "--json", path), env=environment(daemon), stdout=subprocess.PIPE)
        for _ in range(3):
            daemon.crash()
        output = importing.communicate()[0]
        expect_equal(importing.returncode, OK)
        expect_equal(json.loads(output)["written"], 60000)
        exporting = subprocess.Popen(command("export"), env=environment(daemon), stdout=subprocess.PIPE)
        begin = exporting.stdout.read(100000)
        daemon.crash()
        if begin + exporting.communicate()[0] != lines.encode():
            raise AssertionError("the export is not what was imported")
        expect_equal(exporting.returncode, OK)


@test("a large document that is replaced while it is read is exported whole, or taken back and begun anew")
def _():
    big = [append_line("big", meta_record())] + [append_line("big", entry_record("x" * 10000, str(i))) for i in range(4000)]
    small = json.dumps(meta_record()) + "\n"
    with Daemon() as daemon, Daemon() as other:
        run(daemon, "import", stdin=append_line("a", meta_record()) + "".join(big) + append_line("z", meta_record()))
        exporting = subprocess.Popen(command("export"), env=environment(daemon), stdout=subprocess.PIPE)
        begin = exporting.stdout.read(1000000)
        run(daemon, "replace", "big", stdin=small)
        lines = (begin + exporting.communicate()[0]).decode()
        expect_equal(exporting.returncode, OK)
        expect_in('{"op":"delete","docId":"big"}\n', lines)
        run(other, "import", stdin=lines)
        expect_equal(run(other, "export"), run(daemon, "export"))

        run(daemon, "import", "--overwrite", stdin="".join(big))
        loading = subprocess.Popen(command("load", "big", "--json"), env=environment(daemon), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        loading.stdout.read(1000000)
        run(daemon, "replace", "big", stdin=small)
        expect_in(b"restarted", loading.communicate()[1])
        expect_equal(loading.returncode, FAILED)


# ---- stopped ------------------------------------------------------------------------------------------------------


@test("Ctrl-C: what was taken is finished, and how far it came is told")
def _():
    with Daemon() as daemon:
        importing = subprocess.Popen(command("import", "--json"), env=environment(daemon), stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        lines = many_documents(100000).encode()
        os.set_blocking(importing.stdin.fileno(), True)
        importing.stdin.write(lines[:len(lines) // 2])      # more than it reads ahead: some of it was taken
        importing.stdin.flush()
        importing.send_signal(signal.SIGINT)
        output, told = importing.communicate()
        expect_equal(importing.returncode, 130, told)
        expect_in(b"interrupted after line ", told)
        last = int(told.split()[-1])
        expect_equal(json.loads(output)["written"], last)
        expect_equal(run(daemon, "export"), "".join(line.decode() for line in lines.splitlines(True)[:last]))

        exporting = subprocess.Popen(command("export"), env=environment(daemon), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        exporting.stdout.read(1)
        exporting.send_signal(signal.SIGTERM)
        output, told = exporting.communicate()
        if exporting.returncode != OK:      # it may have been through
            expect_equal(exporting.returncode, 128 + signal.SIGTERM)
            expect_in(b"interrupted after ", told)


if __name__ == "__main__":
    main()
