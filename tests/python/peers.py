"""Connections of other users, by the kernel's word: for tests of who may do what. They take root.

    with ReachableDaemon("[access]\\nusers = 1001\\n") as daemon:
        connection = connect_as(daemon, uid=1001, groups=[2000])

A process with these ids connects, which is what the kernel remembers, and hands the socket over to the test.
"""

import os
import shutil
import socket
import stat
import subprocess

from harness import ROOT, Daemon, Skip
from kyneta_store_client import Connection

STORECTL = os.environ.get("KYNETA_STORECTL_BIN") or os.path.join(ROOT, "build", "client", "ctl", "kyneta-storectl")


class ReachableDaemon(Daemon):
    """A daemon with these sections in its configuration, in a folder that every user can look into."""

    def __init__(self, rules="", owner=None, **options):
        if os.getuid() != 0:
            raise Skip("acting as another user takes root")
        super().__init__(**{"socket_mode": "0666", **options})
        os.chmod(self.directory, 0o755)
        self.options["config"] = os.path.join(self.directory, "conf")
        self.write_rules(rules)
        if owner is not None:
            os.chown(self.directory, owner, owner)
            self.wrapper = ["setpriv", "--reuid=%d" % owner, "--regid=%d" % owner, "--clear-groups"]

    def write_rules(self, rules):
        with open(self.options["config"], "w", encoding="utf-8") as file:
            file.write(rules)

    def command(self):
        """As of every daemon, but the program is one that its user can run."""
        words = super().command()
        words[len(self.wrapper)] = self.reachable(words[len(self.wrapper)])
        return words

    def reachable(self, path):
        """This program where every user can run it: the tests may lie in root's home."""
        folders = [path[:at] for at, letter in enumerate(path) if letter == "/" and at > 0]
        if all(os.stat(folder).st_mode & stat.S_IXOTH for folder in folders):
            return path
        copy = os.path.join(self.directory, os.path.basename(path))
        if not os.path.exists(copy):
            shutil.copy(path, copy)
        return copy

    def program_for_all(self):
        """kyneta-storectl where every user can run it."""
        folder = os.path.join(self.directory, "bin")
        program = os.path.join(folder, "ctl", "kyneta-storectl")
        if not os.path.exists(program):
            os.makedirs(os.path.dirname(program))
            shutil.copy(STORECTL, program)
            library = os.path.join(os.path.dirname(STORECTL), "..", "libkyneta-store.so.0")
            shutil.copy(library, os.path.join(folder, "libkyneta-store.so.0"))
        return program

    def storectl(self, *words, uid):
        """Run it as this user: its exit status, and what it printed."""
        result = subprocess.run([self.program_for_all(), "--socket", self.socket, "--timeout", "120", *words],
                                user=uid, group=uid, extra_groups=[], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, cwd="/")
        return result.returncode, result.stdout.decode()


class Peer(Connection):
    """A Connection over a socket that another process has connected."""

    def __init__(self, connected, pid, timeout=60):
        self.socket, self.received, self.pid = connected, bytearray(), pid
        self.socket.settimeout(timeout)


def connect_as(daemon, uid, gid=None, groups=()):
    """Connect as this user. OSError as the other process had it."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        _connect(theirs, daemon.socket, uid, uid if gid is None else gid, groups)
    theirs.close()
    try:
        word, descriptors, _, _ = socket.recv_fds(ours, 16, 1)
    finally:
        ours.close()
        os.waitpid(pid, 0)
    if not descriptors:
        raise OSError(int(word), os.strerror(int(word)))
    return Peer(socket.socket(fileno=descriptors[0]), pid)


def _connect(back, path, uid, gid, groups):
    """The other process: ends with a word to the test, the socket or errno."""
    try:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connected.connect(path)
        socket.send_fds(back, [b"0"], [connected.fileno()])
    except OSError as error:
        back.send(b"%d" % error.errno)
    finally:
        os._exit(0)
