#!/usr/bin/env python3
"""Who may connect, and who may do what with which store: by real users and groups, as the kernel tells them."""

import errno
import grp
import os
import pwd
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from harness import ROOT, START_SECONDS, expect_equal, main, test  # noqa: E402
from kyneta_store_client import (APPEND, CURRENT_META, DELETE, EXCLUSIVE, LIST_DOC_IDS, LOAD_ALL, NOT_APPLIED, PING,  # noqa: E402
                                 READ_ONLY, STATS, Store, entry, meta)
from peers import ReachableDaemon, connect_as  # noqa: E402

META = ('{"replicaType":["plain",1,0],"syncMode":{"writerModel":"serialized","delivery":"delta-capable",'
        '"durability":"persistent"},"schemaHash":"00"}')
META_1 = META.replace("syncMode", "syncProtocol")
DENIED, READ_ONLY_CODE, STORE_IN_USE, NO_SUCH_STORE = 401, 402, 403, 505

# Nobody has these; what the kernel compares are numbers.
ANNA, BERT, CARL, OWNER = 61001, 61002, 61003, 61009
TEAM, STAFF = 62001, 62002


def named(name):
    return {"meta": name, "records": name + "_records", "store": name + "_store"}


def make_store(daemon, name=None):
    """A store with a document, made by root. None: the default one."""
    with Store(daemon.socket, store=named(name) if name else None) as store:
        store.append("doc", [meta(META), entry("1", "x")])


def hello_code(daemon, uid, store=None, access=None, **ids):
    """What a hello of this user is answered: 0, or a code."""
    with connect_as(daemon, uid, **ids) as connection:
        return connection.hello(store=store, access=access)[1]


def opened(daemon, uid, store=None, access=None, **ids):
    connection = connect_as(daemon, uid, **ids)
    reply = connection.hello(store=store, access=access)
    expect_equal(reply[1], 0, "hello of uid %d: %r" % (uid, reply))
    return connection


def expect_denied(reply, rule):
    """It is an error `denied`, and its message names the rule."""
    expect_equal(reply[1], DENIED, "code of %r" % reply)
    if rule not in reply[2]:
        raise AssertionError("%r does not name %r" % (reply[2], rule))


def expect_turned_away(connection, rule):
    with connection:
        reply = connection.receive()
        expect_equal(reply[0], 0, "id")
        expect_denied(reply, rule)
        expect_equal(connection.receive(), None, "what follows")


def until(what, condition):
    end = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("never: " + what)
        time.sleep(0.01)


def stats(daemon):
    with opened(daemon, 0) as connection:
        return connection.request(2, STATS)[2]


# ---- connecting ---------------------------------------------------------------------------------------------------


@test("without [access] everybody is welcome whom the socket's mode lets in")
def _():
    with ReachableDaemon() as daemon:
        for uid in (0, ANNA, BERT):
            expect_equal(hello_code(daemon, uid), 0, "uid %d" % uid)


@test("with [access] a stranger is denied at once: told the rule, closed, logged with pid and uid, counted")
def _():
    with ReachableDaemon("[access]\nusers = %d\n" % ANNA) as daemon:
        stranger = connect_as(daemon, BERT)
        expect_turned_away(stranger, "[access]")
        until("the log has a line", lambda: "pid %d uid %d: denied: [access]" % (stranger.pid, BERT) in daemon.log())
        expect_equal(hello_code(daemon, ANNA), 0, "who is listed")
        expect_equal(hello_code(daemon, 0), 0, "root")
        found = stats(daemon)
        expect_equal((found["denied"], found["connections_refused"], found["users"][str(BERT)]["denied"]), (1, 1, 1))


@test("groups of [access]: primary and supplementary ones, each by itself; no other")
def _():
    with ReachableDaemon("[access]\ngroups = %d\n" % TEAM) as daemon:
        expect_equal(hello_code(daemon, ANNA, gid=TEAM), 0, "primary group")
        expect_equal(hello_code(daemon, ANNA, gid=STAFF, groups=[1, TEAM, 3]), 0, "supplementary group")
        many = list(range(70000, 70400))
        expect_equal(hello_code(daemon, ANNA, gid=STAFF, groups=many + [TEAM]), 0, "one of 401 groups")
        expect_turned_away(connect_as(daemon, ANNA, gid=STAFF, groups=many), "[access]")
        expect_turned_away(connect_as(daemon, TEAM, gid=STAFF), "[access]")      # a user of that number


@test("names of users and groups are looked up; an empty list is nobody; the daemon's own user and root come in always")
def _():
    nobody, mail = pwd.getpwnam("nobody").pw_uid, grp.getgrnam("mail").gr_gid
    with ReachableDaemon("[access]\nusers = nobody, %d @mail\n" % ANNA) as daemon:
        expect_equal(hello_code(daemon, nobody), 0, "nobody")
        expect_equal(hello_code(daemon, ANNA), 0, "a number")
        expect_equal(hello_code(daemon, BERT, gid=mail), 0, "a group's member")
        expect_turned_away(connect_as(daemon, BERT), "[access]")
    with ReachableDaemon("[access]\nusers =\n", owner=OWNER) as daemon:
        expect_equal(os.stat(daemon.socket).st_uid, OWNER, "the socket's owner")
        expect_equal(hello_code(daemon, OWNER), 0, "the daemon's own user")
        expect_equal(hello_code(daemon, 0), 0, "root")
        expect_turned_away(connect_as(daemon, ANNA), "[access]")


@test("a stranger that comes again and again is logged once, and counted each time")
def _():
    with ReachableDaemon("[access]\nusers =\n") as daemon:
        for _ in range(50):
            expect_turned_away(connect_as(daemon, BERT), "[access]")
        expect_equal(stats(daemon)["users"][str(BERT)]["denied"], 50, "counted")
        lines = daemon.log().count("uid %d: denied" % BERT)
        expect_equal(1 <= lines < 10, True, "%d lines" % lines)


@test("a stranger whose hello comes late hears the answer all the same")
def _():
    with ReachableDaemon("[access]\nusers =\n") as daemon:
        # It is waited for only a moment, which may be too short for a test on a busy machine: but not each time.
        for attempt in range(1, 51):
            with connect_as(daemon, BERT) as stranger:
                until("it is turned away", lambda: stats(daemon)["denied"] == attempt)
                try:
                    expect_equal(stranger.hello()[:2], [0, DENIED], "what is answered")
                    return
                except ConnectionError:
                    pass
        raise AssertionError("its hello never gets through")


@test("strangers that stay on the line keep nobody out")
def _():
    with ReachableDaemon("[access]\nusers = %d\n" % ANNA, max_connections=2) as daemon:
        strangers = [connect_as(daemon, BERT) for _ in range(40)]
        for stranger in strangers:
            expect_denied(stranger.receive(), "[access]")
        with opened(daemon, ANNA), opened(daemon, ANNA):
            pass
        until("the strangers are gone", lambda: stats(daemon)["connections"] == 1)
        for stranger in strangers:
            stranger.close()


# ---- the socket ---------------------------------------------------------------------------------------------------


@test("socket-mode and socket-group: the kernel lets in whom they say")
def _():
    with ReachableDaemon(socket_mode="0660", socket_group=TEAM) as daemon:
        found = os.stat(daemon.socket)
        expect_equal((stat.S_IMODE(found.st_mode), found.st_gid), (0o660, TEAM), "mode and group")
        expect_equal(hello_code(daemon, ANNA, groups=[TEAM]), 0, "a member of the group")
        expect_equal(hello_code(daemon, ANNA, gid=TEAM), 0, "whose primary group it is")
        try:
            connect_as(daemon, ANNA).close()
        except OSError as error:
            expect_equal(error.errno, errno.EACCES, "errno of a stranger")
        else:
            raise AssertionError("a stranger has connected")


# ---- stores -------------------------------------------------------------------------------------------------------

RULES = """
[store kyneta_doc_meta]
read = %d
write = @%d
administer = %d
""" % (ANNA, TEAM, CARL)


@test("read: reads, and cannot write, neither openly nor by the way")
def _():
    with ReachableDaemon(RULES) as daemon:
        make_store(daemon)
        with connect_as(daemon, ANNA) as connection:
            expect_denied(connection.hello(), "[store kyneta_doc_meta]")
            expect_equal(connection.receive(), None, "the end")
        expect_equal(hello_code(daemon, ANNA, access=EXCLUSIVE), DENIED, "exclusively")
        with opened(daemon, ANNA, access=READ_ONLY) as connection:
            expect_equal(len(connection.request(2, LOAD_ALL, "doc")[2]), 2, "records")
            expect_equal(connection.request(3, CURRENT_META, "doc")[2], META, "metadata")
            expect_equal(connection.request(4, LIST_DOC_IDS)[2], ["doc"], "documents")
            expect_equal(connection.request(5, APPEND, "doc", [entry("2", "y")])[1::2], [READ_ONLY_CODE, NOT_APPLIED])
            expect_equal(connection.request(6, DELETE, "doc")[1::2], [READ_ONLY_CODE, NOT_APPLIED], "a delete")
            expect_equal(len(connection.request(7, LOAD_ALL, "doc")[2]), 2, "records then")


@test("write means read as well; administer means all, and exclusive access takes it; who is not listed gets nothing")
def _():
    with ReachableDaemon(RULES) as daemon:
        make_store(daemon)
        with opened(daemon, BERT, groups=[TEAM]) as connection:
            expect_equal(connection.request(2, APPEND, "doc", [entry("2", "y")])[1], 0, "an append")
            expect_equal(len(connection.request(3, LOAD_ALL, "doc")[2]), 3, "records")
        expect_equal(hello_code(daemon, BERT, groups=[TEAM], access=READ_ONLY), 0, "a writer, to read")
        expect_equal(hello_code(daemon, BERT, groups=[TEAM], access=EXCLUSIVE), DENIED, "a writer, exclusively")
        with opened(daemon, CARL, access=EXCLUSIVE) as connection:
            expect_equal(connection.request(2, APPEND, "doc", [entry("3", "z")])[1], 0, "an append")
            expect_equal(hello_code(daemon, BERT, groups=[TEAM]), STORE_IN_USE, "another writer meanwhile")
        for access in (None, READ_ONLY, EXCLUSIVE):
            expect_equal(hello_code(daemon, BERT, access=access), DENIED, "who is not listed")
            expect_equal(hello_code(daemon, 0, store=named("free"), access=access and READ_ONLY),
                         NO_SUCH_STORE if access else 0, "root, another store")
        expect_equal(hello_code(daemon, BERT, store=named("free")), 0, "a store without a section")


@test("of several sections the closest decides; names fold as SQLite folds them")
def _():
    rules = """
[store notes_privately]
write = %d
[store notes_private*]
read = %d
[store notes_*]
read = %d
[store *]
read =
""" % (CARL, BERT, ANNA)
    names = ("else", "notes_all", "notes_private", "notes_privately")
    allowed = {"else": (), "notes_all": (ANNA,), "notes_private": (BERT,), "notes_privately": (CARL,)}
    with ReachableDaemon(rules) as daemon:
        for name in names:
            make_store(daemon, name)
        for name in names:
            for uid in (ANNA, BERT, CARL):
                for spelled in (name, name.upper()):
                    expect_equal(hello_code(daemon, uid, store=named(spelled), access=READ_ONLY),
                                 0 if uid in allowed[name] else DENIED, "uid %d, store %s" % (uid, spelled))


@test("[create]: stores are made by those whose patterns fit; others use what is there")
def _():
    with ReachableDaemon("[create]\n%d = a_* shared\n@%d = *\n" % (ANNA, TEAM)) as daemon:
        for name, code in (("a_1", 0), ("A_2", 0), ("shared", 0), ("b_1", DENIED)):
            with connect_as(daemon, ANNA) as connection:
                reply = connection.hello(store=named(name))
                expect_equal(reply[1], code, "hello for %s" % name)
                if code == 0:
                    expect_equal(connection.request(2, APPEND, "doc", [meta(META)])[1], 0, "the first write")
                else:
                    expect_denied(reply, "[create]")
        expect_equal(hello_code(daemon, BERT, store=named("b_1")), DENIED, "without any pattern")
        with opened(daemon, BERT, store=named("a_1")) as connection:
            expect_equal(connection.request(2, APPEND, "doc", [entry("1", "x")])[1], 0, "a write to what is there")
        with opened(daemon, CARL, groups=[TEAM], store=named("b_1")) as connection:
            expect_equal(connection.request(2, APPEND, "doc", [meta(META)])[1], 0, "by a group's pattern")


@test("[create]: a store that its users have emptied is still there after a restart, and needs no making")
def _():
    emptied = {"meta": "m", "records": "r"}
    with ReachableDaemon("[create]\n%d = other\n[store m]\nwrite = %d\n" % (ANNA, ANNA)) as daemon:
        make_store(daemon)
        with opened(daemon, 0, store=emptied) as root:
            expect_equal(root.request(2, APPEND, "doc", [meta(META_1)])[1], 0, "root makes it")
        for life in ("as it was made", "emptied", "after a restart"):
            with opened(daemon, ANNA, store=emptied) as connection:
                expect_equal(connection.request(2, DELETE, "doc")[1], 0, life)
                expect_equal(connection.request(3, APPEND, "doc", [meta(META_1)])[1], 0, life)
                expect_equal(connection.request(4, DELETE, "doc")[1], 0, life)
            if life == "emptied":
                daemon.restart()
        expect_equal(hello_code(daemon, ANNA, store=named("new")), DENIED, "what is not there")


@test("a store that is not made yet may get either layout, and with it the name that the rules know")
def _():
    rules = "[create]\n%d = kyneta_doc_meta\n[store kyneta_meta]\nread = %d\n" % (ANNA, BERT)
    with ReachableDaemon(rules) as daemon:
        with opened(daemon, ANNA) as connection:
            reply = connection.request(2, APPEND, "doc", [meta(META_1)])
            expect_denied(reply, "[create]")
            expect_equal(reply[3], NOT_APPLIED, "outcome")
        with opened(daemon, ANNA) as early, opened(daemon, 0) as root:
            expect_equal(root.request(2, APPEND, "doc", [meta(META_1)])[1], 0, "root makes it of layout 1")
            expect_denied(early.request(2, APPEND, "doc", [meta(META_1)]), "[store]")
            expect_denied(early.request(3, LOAD_ALL, "doc"), "[store]")
        expect_equal(hello_code(daemon, BERT, access=READ_ONLY), 0, "its reader")
        expect_equal(stats(daemon)["denied"], 3, "counted")


@test("whoever may open one store does not get at another's records by naming them")
def _():
    with ReachableDaemon("[store a*]\nwrite = %d\n[store b]\nwrite = %d\n" % (ANNA, BERT)) as daemon:
        for uid, name in ((ANNA, "a"), (BERT, "b")):
            with opened(daemon, uid, store=named(name)) as connection:
                expect_equal(connection.request(2, APPEND, "doc", [meta(META), entry("1", "of " + name)])[1], 0)
        mixed = {"meta": "a", "records": "b_records", "store": "a_store"}
        for life in ("as they were made", "after a restart"):
            expect_denied_or_bad(daemon, ANNA, mixed, life)
            expect_denied_or_bad(daemon, ANNA, {"meta": "a9", "records": "b_records", "store": "s9"}, life)
            for uid, name in ((ANNA, "a"), (BERT, "b")):
                with opened(daemon, uid, store=named(name)) as connection:
                    expect_equal(connection.request(2, LOAD_ALL, "doc")[2][1][4], "of " + name, life)
            daemon.restart()


def expect_denied_or_bad(daemon, uid, store, what):
    with connect_as(daemon, uid) as connection:
        reply = connection.hello(store=store)
        expect_equal(reply[1] in (DENIED, 105, 504), True, "%s: %r" % (what, reply))


@test("tables that another program has made are known to belong together once root has opened them to write")
def _():
    with ReachableDaemon("[store a]\nwrite = %d\n" % ANNA) as daemon:
        make_store(daemon, "a")
        daemon.stop()
        database = sqlite3.connect(daemon.database)
        database.execute("DROP TABLE kyneta_stored")
        database.commit()
        database.close()
        daemon.start()
        with connect_as(daemon, ANNA) as connection:
            expect_denied(connection.hello(store=named("a")), "[store]")
        expect_equal(hello_code(daemon, 0, store=named("a"), access=READ_ONLY), 0, "root, to read")
        expect_equal(hello_code(daemon, ANNA, store=named("a")), DENIED, "then")
        expect_equal(hello_code(daemon, 0, store=named("a")), 0, "root, to write")
        until("it is written down", lambda: hello_code(daemon, ANNA, store=named("a")) == 0)


# ---- what one sees of the others ----------------------------------------------------------------------------------


@test("stats: who may administer the store sees every user and store, others see themselves")
def _():
    with ReachableDaemon(RULES) as daemon:
        make_store(daemon)
        make_store(daemon, "other")
        with opened(daemon, BERT, groups=[TEAM]) as writer, opened(daemon, ANNA, store=named("other")):
            found = writer.request(2, STATS)[2]
            expect_equal((list(found["users"]), list(found["stores_open"])), ([str(BERT)], ["kyneta_doc_meta"]))
            with opened(daemon, CARL) as administrator:
                found = administrator.request(2, STATS)[2]
                expect_equal(sorted(found["users"]), sorted(map(str, (ANNA, BERT, CARL))), "users")
                expect_equal(found["stores_open"], {
                    "kyneta_doc_meta": {"connections": 2, "writers": 2, "denied": 0, "over_stored_bytes": 0,
                                        "over_documents": 0},
                    "other": {"connections": 1, "writers": 1, "denied": 0, "over_stored_bytes": 0, "over_documents": 0}})


# ---- other rules --------------------------------------------------------------------------------------------------


@test("after a reload new connections have the new rules, those that are there keep theirs")
def _():
    with ReachableDaemon("[access]\nusers = %d\n" % ANNA) as daemon:
        make_store(daemon)
        with opened(daemon, ANNA) as old:
            daemon.write_rules("[access]\nusers = %d\n[store *]\nread = %d\n" % (BERT, BERT))
            daemon.signal(signal.SIGHUP)
            until("the new rules hold", lambda: hello_code(daemon, BERT, access=READ_ONLY) == 0)
            expect_turned_away(connect_as(daemon, ANNA), "[access]")
            expect_equal(hello_code(daemon, BERT), DENIED, "to write")
            expect_equal(old.request(2, APPEND, "doc", [entry("2", "y")])[1], 0, "a write on the old connection")
            daemon.write_rules("[access]\nusers = no-such-user\n")
            daemon.signal(signal.SIGHUP)
            until("the mistake is logged", lambda: 'users: there is no user "no-such-user"' in daemon.log())
            expect_equal(hello_code(daemon, BERT, access=READ_ONLY), 0, "the rules before the mistake")


@test("the rules that README.md shows are good ones")
def _():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        shown = file.read().split("```ini\n")[1].split("```")[0]
    daemon = ReachableDaemon(shown)
    checked = subprocess.run(daemon.command() + ["--check-config"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
    shutil.rmtree(daemon.directory)
    told = " ".join(checked.stdout.decode().split())
    expect_equal(checked.returncode, 0, told)
    for line in ("users = www-data 1000 ;", "read = ;", "www-data = notes_* drafts ;", "documents = 100000 ;"):
        expect_equal(line in told, True, "%r in %r" % (line, told))


@test("kyneta-storectl as another user: one line that names the rule, and no endless trying")
def _():
    with ReachableDaemon("[access]\nusers = %d\n[store *]\nread = %d\n" % (ANNA, ANNA)) as daemon:
        make_store(daemon)
        expect_equal(daemon.storectl("list", uid=ANNA), (0, "doc\n"), "its reader")
        for uid, words, rule in ((BERT, ["list"], "[access]"), (ANNA, ["delete", "doc"], "[store *]")):
            status, told = daemon.storectl(*words, uid=uid)
            expect_equal((status, told.count("\n"), "denied" in told, rule in told), (1, 1, True, True), told)
        expect_equal(stats(daemon)["denied"], 2, "connections and hellos that were denied")


ATTEMPTS = 20
SCRIPT = """
import { createDaemonStore } from "./js/src/index.js"
for (let i = 0; i < %d; i++) {
  try {
    await (await createDaemonStore({ path: process.argv[2] })).close()
    console.log("opened")
  } catch (error) {
    console.log(error.code, error.message)
  }
}
""" % ATTEMPTS


@test("the JavaScript client as another user: each attempt is told the rule, whenever its hello comes")
def _():
    with ReachableDaemon("[access]\nusers = %d\n" % ANNA) as daemon:
        shutil.copytree(os.path.join(ROOT, "client", "js", "src"), os.path.join(daemon.directory, "js", "src"))
        shutil.copy(os.path.join(ROOT, "client", "js", "package.json"), os.path.join(daemon.directory, "js"))
        script = os.path.join(daemon.directory, "attempts.mjs")
        with open(script, "w", encoding="utf-8") as file:
            file.write(SCRIPT)
        node = daemon.reachable(os.path.realpath(shutil.which("node")))
        for uid, expected in ((BERT, "denied [access] lists neither this user nor any of its groups"), (ANNA, "opened")):
            told = subprocess.run([node, script, daemon.socket], user=uid, group=uid, extra_groups=[], cwd="/",
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, timeout=START_SECONDS)
            expect_equal(told.stdout.decode().splitlines(), [expected] * ATTEMPTS, "uid %d" % uid)


if __name__ == "__main__":
    main()
