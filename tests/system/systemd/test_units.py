#!/usr/bin/env python3
"""The units on a real systemd. Runs as root inside of the box (box), which has nothing else to do and is thrown away.

    tests/system/systemd/box python3 tests/system/systemd/test_units.py [WORD...]

Each test has a daemon of its own: an instance of the template, named after the test, or the plain unit. Where a test wants
something else than what is shipped, a drop-in says so.
"""

import grp
import json
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "..", "python"), os.path.join(HERE, "..")]

from faults import Faults, library  # noqa: E402
from harness import ROOT, expect_equal, main, note  # noqa: E402
from harness import test as harness_test  # noqa: E402
from kyneta_store_client import APPEND, REPLACE, Connection, Store, entry, meta  # noqa: E402
from logged_client import meta_json, read_file  # noqa: E402
from restart_client import Client, Replay, ask_all, check_own, check_shared  # noqa: E402

BUILD = os.environ["KYNETA_BUILD"]
USER = GROUP = "kyneta-store"
NOBODY = 65534
RUN, STATE = "/run/kyneta-store", "/var/lib/kyneta-store"
PROBE = os.path.join(BUILD, "tests", "system", "sandbox-probe")
EXPOSURE_MOST = 0.8         # of systemd-analyze security
CLIENTS, RESTARTS, KILLS = 8, 10, 3
CALLS_BETWEEN = 200         # of each client between two restarts
WAIT_SECONDS = 120          # a bound, not an expectation


def test(name):
    """As of the harness; when a test fails, what the journal has to say is shown."""
    def register(function):
        def run_and_explain():
            try:
                function()
            except BaseException:
                note(run("journalctl", "--no-pager", "--output=short-monotonic", "--lines=60", check=False))
                raise
        return harness_test(name)(run_and_explain)
    return register


# ---- systemd ----------------------------------------------------------------------------------------------------------


def run(*command, check=True, **options):
    """A command's output, both streams."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=WAIT_SECONDS, **options)
    if check and done.returncode != 0:
        raise AssertionError("%s: status %d: %s" % (" ".join(command), done.returncode, done.stdout))
    return done.stdout


def until(condition, what):
    bound = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > bound:
            raise AssertionError("not within %d s: %s" % (WAIT_SECONDS, what))
        time.sleep(0.02)


class Unit:
    """A daemon's two units: of the template, or the plain ones if there is no name."""

    def __init__(self, name=None):
        suffix = "" if name is None else "@" + name
        self.service, self.socket = "kyneta-stored%s.service" % suffix, "kyneta-stored%s.socket" % suffix
        self.path = os.path.join(RUN, (name or "kyneta-store") + ".sock")
        self.state = os.path.join(STATE, name or "").rstrip("/")
        self.database = os.path.join(self.state, "exchange.db")

    def show(self, name, unit=None):
        return run("systemctl", "show", "--property", name, "--value", unit or self.service).strip()

    def is_active(self):
        return self.show("ActiveState") == "active"

    def pid(self):
        return int(self.show("MainPID"))

    def drop_in(self, text, unit=None):
        folder = "/etc/systemd/system/%s.d" % (unit or self.service)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "test.conf"), "w") as file:
            file.write(text)
        run("systemctl", "daemon-reload")

    def make_state(self):
        """The folder of the database, as systemd makes it."""
        os.makedirs(self.state, mode=0o700, exist_ok=True)
        self.own(self.state)

    def own(self, path):
        os.chown(path, pwd.getpwnam(USER).pw_uid, grp.getgrnam(GROUP).gr_gid)

    def listen(self):
        run("systemctl", "start", self.socket)

    def stop(self):
        run("systemctl", "stop", self.socket, self.service)
        expect_equal((self.show("ActiveState"), self.show("Result")), ("inactive", "success"), self.service)

    def executable(self):
        """The program, and the folder of the shared libraries: nothing else can be executed."""
        return [path.split(":")[0] for path in self.show("BindReadOnlyPaths").split()]

    def journal(self):
        """What the journal has of the service: (priority, text, is it the daemon's own)."""
        run("journalctl", "--sync")
        lines = run("journalctl", "--unit", self.service, "--output", "json").splitlines()
        return [(int(line["PRIORITY"]), line["MESSAGE"], line["SYSLOG_IDENTIFIER"] == "kyneta-stored")
                for line in map(json.loads, lines) if line.get("MESSAGE")]

    def said(self):
        """The daemon's own lines."""
        return [(priority, text) for priority, text, own in self.journal() if own]

    def says(self, pattern, own=False):
        return any(re.search(pattern, text) for _, text, is_own in self.journal() if is_own or not own)


def running(unit):
    """@unit listens and, with its first connection, runs."""
    unit.listen()
    with Store(unit.path) as store:
        store.append("doc", [meta(meta_json(0))])
    until(unit.is_active, "%s is active" % unit.service)
    return unit


def as_user(uid, gid, groups, function):
    """@function's result in a process of this user; an OSError is its result too."""
    end, pipe = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        try:
            result = function()
        except OSError as error:
            result = type(error).__name__
        os.write(pipe, json.dumps(result).encode())
        os._exit(0)
    os.close(pipe)
    with os.fdopen(end) as file:
        result = json.loads(file.read() or "null")
    os.waitpid(child, 0)
    return result


# ---- installed ----------------------------------------------------------------------------------------------------------


@test("the units are correct, plain and as templates, and expose at most %s" % EXPOSURE_MOST)
def _():
    run("systemd-sysusers")
    run("systemd-tmpfiles", "--create")
    run("systemctl", "daemon-reload")
    units = [name for unit in (Unit(), Unit("name")) for name in (unit.service, unit.socket)]
    expect_equal(run("systemd-analyze", "verify", *units), "", "systemd-analyze verify")
    folder = run("systemctl", "show", "--property", "FragmentPath", "--value", units[0]).strip()
    for name in ("kyneta-stored.service", "kyneta-stored@.service"):
        told = run("systemd-analyze", "security", "--offline=yes", "--no-pager",
                   os.path.join(os.path.dirname(folder), name))
        exposure = float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", told).group(1))
        note("%s: exposure %s" % (name, exposure))
        expect_equal(exposure <= EXPOSURE_MOST, True, told)


@test("the time to stop covers what drain-timeout may take")
def _():
    options = dict(line.split("\t")[:2] for line in run("kyneta-stored", "--options").splitlines())
    drain = int(options["drain-timeout"])
    told = Unit().show("TimeoutStopUSec")
    match = re.fullmatch(r"(?:(\d+)min)? ?(?:(\d+)s)?", told)
    expect_equal(int(match.group(1) or 0) * 60 + int(match.group(2) or 0) >= 3 * drain, True, "%s, %d s" % (told, drain))


@test("the first connection starts the daemon, as its own user; the socket has its owner and mode, the files are its alone")
def _():
    unit = Unit()
    expect_equal(unit.is_active(), False)
    unit.listen()
    expect_equal(unit.show("ActiveState"), "inactive", "before anybody has come")
    status = os.stat(unit.path)
    expect_equal((status.st_uid, status.st_gid, status.st_mode & 0o7777),
                 (0, grp.getgrnam(GROUP).gr_gid, 0o660), "the socket")
    folder = os.stat(RUN)
    expect_equal((folder.st_uid, folder.st_gid, folder.st_mode & 0o7777), (0, 0, 0o755), "its folder")
    run("kyneta-storectl", "--socket", unit.path, "ping")
    # READY has come: until then it is "activating".
    until(unit.is_active, "active")
    with Store(unit.path) as store:
        store.append("doc", [meta(meta_json(0))])
        until(lambda: unit.show("StatusText") == "serving 1 connection, 1 store, 1 append", "the status line")
    user = pwd.getpwnam(USER)
    expect_equal((user.pw_shell, user.pw_dir), ("/usr/sbin/nologin", STATE))
    daemon = os.stat("/proc/%d" % unit.pid())
    expect_equal((daemon.st_uid, daemon.st_gid), (user.pw_uid, user.pw_gid), "the process")
    for path, mode in ((STATE, 0o700), (unit.database, 0o600), (unit.database + "-wal", 0o600)):
        status = os.stat(path)
        expect_equal((status.st_uid, status.st_gid, status.st_mode & 0o7777), (user.pw_uid, user.pw_gid, mode), path)
    expect_equal(unit.says("^serving %s, given by the service manager as kyneta-stored.socket$" % unit.path, own=True), True)
    expect_equal(unit.says("ready, socket %s, database %s$" % (unit.path, unit.database), own=True), True)


@test("members of the group may connect, others not, and the daemon knows who they are")
def _():
    unit = running(Unit("group"))

    def hello():
        with Connection(unit.path) as connection:
            return connection.hello()[1]

    expect_equal(as_user(NOBODY, NOBODY, [], hello), "PermissionError", "a stranger")
    expect_equal(as_user(NOBODY, NOBODY, [grp.getgrnam(GROUP).gr_gid], hello), 0, "a member")
    expect_equal(unit.says(r"^pid \d+ uid %d: " % NOBODY, own=True), True, "the uid in the log")
    unit.stop()


@test("several sockets of one daemon are all served")
def _():
    unit = Unit("several")
    second = os.path.join(RUN, "several-more.sock")
    unit.drop_in("[Socket]\nListenStream=%s\n" % second, unit.socket)
    running(unit)
    with Store(second) as store:
        expect_equal(store.current_meta("doc")[1][1], 1)
    expect_equal(unit.says("ready, socket %s, %s, " % (unit.path, second), own=True), True)
    unit.stop()
    expect_equal((os.path.exists(unit.path), os.path.exists(second)), (False, False), "what is left of them")


@test("without the socket unit it makes its own socket")
def _():
    with open(run("systemctl", "show", "--property", "FragmentPath", "--value", Unit("x").service).strip()) as file:
        text = file.read()
    path = os.path.join(STATE, "alone", "socket")
    text = re.sub(r"(?m)^(Requires|After|Also)=.*\n", "", text).replace("%i", "alone")
    with open("/etc/systemd/system/kyneta-alone.service", "w") as file:
        file.write(re.sub(r"(?m)^(ExecStart=.*)$", r"\1 --socket " + path, text))
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "kyneta-alone")
    with Store(path) as store:
        store.append("doc", [meta(meta_json(0))])
    run("systemctl", "stop", "kyneta-alone")
    expect_equal(os.path.exists(path), False)


@test("reload reads the configuration again, and the daemon goes on")
def _():
    unit = running(Unit("reload"))
    pid = unit.pid()
    run("systemctl", "reload", unit.service)
    until(lambda: unit.says("^the configuration was read again$", own=True), "reloaded")
    until(unit.is_active, "active")
    expect_equal(unit.pid(), pid)
    unit.stop()


@test("reload of a configuration with a mistake in it fails, and the daemon goes on as it was")
def _():
    unit = running(Unit("mistake"))
    pid, drop_in = unit.pid(), "/etc/kyneta-stored.conf.d/mistake.conf"
    os.makedirs(os.path.dirname(drop_in), exist_ok=True)
    with open(drop_in, "w") as file:
        file.write("readers = none\n")
    try:
        found = subprocess.run(["systemctl", "reload", unit.service], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        expect_equal(found.returncode != 0, True, "the reload failed")
        until(lambda: unit.says("readers takes a number"), "told what is wrong")
        expect_equal((unit.is_active(), unit.pid()), (True, pid))
    finally:
        os.unlink(drop_in)
    run("systemctl", "reload", unit.service)
    until(lambda: unit.says("^the configuration was read again$", own=True), "reloaded")
    expect_equal(unit.pid(), pid)
    unit.stop()


# ---- the sandbox --------------------------------------------------------------------------------------------------------

NEEDED = ("write to the state folder", "unix socket", "thread", "random numbers", "the boot's identity")


def probed(output):
    return dict(line.split(": ", 1) for line in output.splitlines())


@test("inside of the sandbox nothing works that the daemon does not need; outside all of it does")
def _():
    unit = Unit("probe")
    unit.make_state()
    program, libraries = unit.executable()
    for path in ("/etc/open", "/usr/open", libraries + "/open", "/run/open", "/run/lock/open", "/home/open", "/var/lib/open"):
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o1777)
    other = Unit("other")
    other.make_state()
    with open("/tmp/open", "w"):
        pass
    outside = probed(run("setpriv", "--reuid", USER, "--regid", GROUP, "--init-groups",
                         PROBE, env={**os.environ, "STATE_DIRECTORY": unit.state, "PROBE_LIBRARIES": libraries}))
    # In the daemon's place, and nothing else is different.
    unit.drop_in("[Service]\nType=oneshot\nRestart=no\nStandardOutput=file:/run/probed\nEnvironment=PROBE_LIBRARIES=%s\n"
                 "BindReadOnlyPaths=\nBindReadOnlyPaths=%s:%s %s\n" % (libraries, PROBE, program, libraries))
    run("systemctl", "start", unit.service)
    with open("/run/probed") as file:
        inside = probed(file.read())
    for name, answer in inside.items():
        note("%-40s %s" % (name, answer))
    expect_equal(list(inside), list(outside))
    expect_equal([name for name, answer in outside.items() if answer != "yes"], [], "not possible even outside")
    expect_equal([name for name, answer in inside.items() if answer == "yes"], list(NEEDED))
    run("systemctl", "stop", unit.socket)


def mounts(pid):
    """What is mounted for this process, by place: the options."""
    with open("/proc/%d/mountinfo" % pid) as file:
        # The later covers the earlier. /run/host is the box's own.
        return {words[4]: words[5].split(",") for words in map(str.split, file) if not words[4].startswith("/run/host/")}


@test("the daemon itself has no capabilities, no new privileges, a filter of system calls, no network, and little to write to")
def _():
    unit = running(Unit("state"))
    with open("/proc/%d/status" % unit.pid()) as file:
        status = dict(re.findall(r"(?m)^(\w+):\s+(.*)$", file.read()))
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        expect_equal(int(status[name], 16), 0, name)
    expect_equal((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"), "NoNewPrivs, Seccomp")
    found = mounts(unit.pid())
    expect_equal(sorted(path for path, options in found.items() if "rw" in options),
                 ["/dev/mqueue", "/dev/pts", "/proc", "/tmp", unit.state, "/var/tmp"], "writable")
    expect_equal(sorted(path for path, options in found.items() if "noexec" not in options),
                 sorted(unit.executable() + ["/run/systemd/incoming"]), "executable")
    with open("/proc/%d/net/dev" % unit.pid()) as file:
        expect_equal(re.findall(r"(?m)^\s*(\w+):", file.read()), ["lo"], "interfaces")
    # What root brings along into its view of the files cannot be executed there either.
    done = subprocess.run(["nsenter", "--target", str(unit.pid()), "--mount", "/bin/true"], capture_output=True, text=True)
    expect_equal((done.returncode != 0, "Permission denied" in done.stderr), (True, True), done.stderr)
    unit.stop()


# ---- restarts ---------------------------------------------------------------------------------------------------------


class Prober(threading.Thread):
    """Connects again and again, and counts who is refused."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.connected, self.refused, self.ended = path, 0, [], False
        self.start()

    def run(self):
        while not self.ended:
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(self.path)
                    self.connected += 1
                except OSError as error:
                    self.refused.append(str(error))
            time.sleep(0.002)   # not a flood

    def end(self):
        self.ended = True
        self.join()


def let_work(clients):
    """Each client has some more calls answered, so it has found the daemon that runs now."""
    ask_all(clients, "run %d" % CALLS_BETWEEN, "ran")


def restart(unit):
    before = unit.pid()
    run("systemctl", "restart", unit.service)
    expect_equal(unit.pid() != before, True, "another process")


def kill_stopped(unit, clients):
    """Stopped wherever it is, so that each client has writes under way; then killed."""
    pid, restarts = unit.pid(), int(unit.show("NRestarts"))
    os.kill(pid, signal.SIGSTOP)
    unanswered = [int(count) for count, in ask_all(clients, "status", "unanswered")]
    os.kill(pid, signal.SIGKILL)
    until(lambda: unit.pid() not in (0, pid) and unit.is_active(), "it runs again")
    expect_equal(int(unit.show("NRestarts")), restarts + 1, "restarts by systemd")
    expect_equal(all(count > 0 for count in unanswered), True, "unanswered writes: %s" % unanswered)
    return unanswered


def work_through(unit, directory):
    """Clients work, the daemon is restarted and killed; what each tells at the end: calls, resent, duplicates, connects."""
    clients = [Client(unit.path, directory, number) for number in range(CLIENTS)]
    unanswered = [0] * CLIENTS
    try:
        let_work(clients)
        for number in range(RESTARTS):
            restart(unit)
            let_work(clients)
            # So many restarts within seconds are not what the limit of starts is for.
            run("systemctl", "reset-failed", unit.service)
        for _ in range(KILLS):
            unanswered = [sum(pair) for pair in zip(unanswered, kill_stopped(unit, clients))]
            let_work(clients)
        finished = [[int(word) for word in words] for words in ask_all(clients, "finish", "finished")]
        for client in clients:
            client.end()
    finally:
        for client in clients:
            client.abandon()
    return clients, unanswered, finished


@test("%d restarts and %d kills under %d writing clients: nobody is refused, no call fails, nothing is lost, nothing is there twice"
      % (RESTARTS, KILLS, CLIENTS))
def _():
    unit = running(Unit("restarts"))
    with Store(unit.path) as store:
        store.append("shared", [meta(meta_json(0))])
        store.delete("doc")
    prober = Prober(unit.path)
    clients, unanswered, finished = work_through(unit, "/tmp")
    prober.end()
    unit.stop()

    calls, resent, duplicates, connects = zip(*finished)
    note("%d calls, %d connections, %d sent again, %d answered as carried out before; %d connections beside"
         % (sum(calls), sum(connects), sum(resent), sum(duplicates), prober.connected))
    expect_equal(prober.refused, [])
    # Each has seen each restart and each kill, and connected once for it; what was under way at a kill was sent again.
    expect_equal(connects, (1 + RESTARTS + KILLS,) * CLIENTS, "connections")
    expect_equal([mine >= least > 0 for mine, least in zip(resent, unanswered)], [True] * CLIENTS,
                 "sent again %s, unanswered at kills %s" % (resent, unanswered))
    expect_equal(sum("Failed with result" in text for _, text, _ in unit.journal()), KILLS, "ends that were failures")
    replays = [Replay(client.log) for client in clients]
    expect_equal([replay.calls for replay in replays], list(calls))
    streams = read_file(unit.database)
    check_shared(streams.pop("shared"), replays)
    check_own(streams, replays)


@test("a writer that hangs is found by the watchdog, and the daemon started again; its client only waits")
def _():
    unit = Unit("hang")
    unit.make_state()
    faults = Faults(os.path.join(unit.state, "faults"))
    unit.own(faults.path)
    # Only there can shared libraries be.
    preload = os.path.join(unit.executable()[1], "libkyneta-fault.so")
    with open(library(), "rb") as source, open(preload, "wb") as copy:
        copy.write(source.read())
    unit.drop_in("[Service]\nWatchdogSec=2s\nLimitCORE=0\nEnvironment=LD_PRELOAD=%s KYNETA_FAULT_FILE=%s\n"
                 % (preload, faults.path))
    running(unit)
    pid = unit.pid()
    with Store(unit.path) as store:
        store.append("doc", [entry("1", b"1")])
        for operation, records in ((APPEND, [entry("2", b"2")]), (REPLACE, [meta(meta_json(1)), entry("3", b"3")])):
            # An append is carried out by the loop if it is alone, a replace by the writer: both must not hang.
            restarts = int(unit.show("NRestarts"))
            faults.hold_syncs(True)
            call = store.submit(operation, "doc", records)
            store.push()
            until(lambda: int(unit.show("NRestarts")) > restarts, "started again")
            faults.hold_syncs(False)
            call.result()
            until(unit.is_active, "active")
        expect_equal(unit.pid() != pid, True, "another process")
        expect_equal(store.connects, 3)
        expect_equal(len(store.load_all("doc")[0]), 2)
    expect_equal(sum("Watchdog timeout" in text for _, text, _ in unit.journal()), 2)
    unit.stop()


@test("stopping leaves nothing but the database, and the sockets' folder")
def _():
    unit = running(Unit("stop"))
    unit.stop()
    expect_equal((os.path.exists(unit.path), os.path.isdir(RUN)), (False, True))
    expect_equal(sorted(os.listdir(unit.state)), ["exchange.db", "exchange.db.lock", "exchange.db.reserve"])


# ---- what cannot start ------------------------------------------------------------------------------------------------


def expect_refused(unit, status, said):
    """It does not start: one line says why, the exit status is as documented, and it is not tried again."""
    expect_equal(run("systemctl", "start", unit.service, check=False) != "", True, "systemctl complains")
    until(lambda: unit.show("ActiveState") == "failed", "it has failed")
    expect_equal((unit.show("Result"), unit.show("ExecMainStatus"), unit.show("NRestarts")), ("exit-code", str(status), "0"),
                 unit.service)
    (priority, text), = unit.said()
    expect_equal(re.search(said, text) is not None, True, "%s: %s" % (said, text))
    expect_equal(priority <= 3, True, "priority %d" % priority)
    expect_equal(unit.show("StatusText"), text)
    run("systemctl", "stop", unit.socket)


@test("a refused file: status 1, and no second try")
def _():
    unit = Unit("refused")
    unit.make_state()
    with open(unit.database, "wb") as file:
        file.write(b"no database " * 100)
    unit.own(unit.database)
    expect_refused(unit, 1, "^cannot open database %s: it is not a SQLite database$" % unit.database)


def with_options(unit, options):
    unit.drop_in("[Service]\nExecStart=\nExecStart=%s %s\n" % (unit.executable()[0], options))


@test("a bad option: status 2, and no second try")
def _():
    unit = Unit("option")
    with_options(unit, "--readers 0")
    expect_refused(unit, 2, '^--readers takes a number from 1 to 64, got "0"$')


@test("a missing folder: status 1, and no second try")
def _():
    unit = Unit("folder")
    path = os.path.join(unit.state, "none", "exchange.db")
    with_options(unit, "--database " + path)
    expect_refused(unit, 1, "^the folder of %s does not exist$" % path)


@test("no permission: status 1, and no second try")
def _():
    unit = Unit("permission")
    unit.make_state()
    with open(unit.database, "wb"):
        pass
    os.chmod(unit.database, 0o600)
    expect_refused(unit, 1, "^cannot open database %s: Permission denied$" % unit.database)


@test("a socket path that is too long: status 1, and no second try; by systemd's own word if the path is the socket unit's")
def _():
    name = "kyneta-alone.service"      # as above
    with open("/etc/systemd/system/" + name) as file:
        text = file.read()
    path = os.path.join(STATE, "alone", "x" * 100)
    with open("/etc/systemd/system/" + name, "w") as file:
        file.write(re.sub(r"--socket \S+", "--socket " + path, text))
    run("systemctl", "daemon-reload")
    unit = Unit("none")
    unit.service = name
    before = len(unit.said())
    run("systemctl", "start", name, check=False)
    until(lambda: unit.show("ActiveState") == "failed", "it has failed")
    expect_equal((unit.show("ExecMainStatus"), unit.show("NRestarts")), ("1", "0"))
    (priority, text), = unit.said()[before:]
    expect_equal("a socket's path has 1 to 107 bytes, this one has %d" % len(path) in text, True, text)

    unit = Unit("x" * 100)
    run("systemctl", "start", unit.socket, check=False)
    expect_equal(unit.show("ActiveState", unit.socket) in ("failed", "inactive"), True)


@test("a client that waits at the socket of a daemon that cannot start has it tried a few times, no more")
def _():
    unit = Unit("loop")
    with_options(unit, "--readers 0")
    unit.listen()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(unit.path)
        until(lambda: unit.show("ActiveState", unit.socket) == "failed", "the socket gives up")
    expect_equal(unit.show("Result", unit.socket), "service-start-limit-hit")
    tries = len(unit.said())
    note("%d tries" % tries)
    expect_equal(2 <= tries <= 10, True, "%d tries" % tries)


@test("a full disk: status 5, tried again until there is room")
def _():
    unit = Unit("full")
    os.makedirs(unit.state)
    run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", unit.state)
    with open(os.path.join(unit.state, "ballast"), "wb") as file:
        try:
            file.write(bytes(1 << 20))
            file.flush()
        except OSError:
            pass
    run("systemctl", "start", "--no-block", unit.service)
    until(lambda: int(unit.show("NRestarts")) >= 2, "it is tried again")
    until(lambda: unit.show("ExecMainStatus") == "5", "status 5")
    expect_equal(unit.says("^cannot open database .*disk is full", own=True), True)
    os.unlink(os.path.join(unit.state, "ballast"))
    run("mount", "-o", "remount,size=256m", unit.state)
    until(unit.is_active, "active")
    unit.stop()


if __name__ == "__main__":
    expect_equal(os.getpid() != 1 and ROOT == "/project", True, "this is not the box")
    main()
