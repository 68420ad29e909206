"""comparison - what the scripts of this folder share: the build, the servers to compare with, rounds and medians.

Only what was measured in the same round is compared: subjects take turns, each round gives ratios, and the median of the
rounds' ratios counts. Every server has a temporary folder of its own and ends with the script.
"""

import contextlib
import json
import os
import pathlib
import pwd
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FIXTURES = pathlib.Path(os.environ.get("KYNETA_FIXTURES", ROOT.parent / "shared/fixtures")).resolve()
SESSION = f"{FIXTURES}/session-exchange.ndjson.gz:3433-30773"
PAPER = f"{FIXTURES}/editing-yjs-paper.ndjson.gz"


class Failed(Exception):
    """Something could not be measured; the text says what."""


def say(text):
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)


def run_main(main):
    """Run a script's main; its servers end whatever ends it."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        sys.exit(main())
    except Failed as failure:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)


# ---- the build ----


class Build:
    """The programs of one build directory; built, with the backends unless nobody asks, if they are not there."""

    def __init__(self, directory, install=True, backends=True):
        self.directory = pathlib.Path(directory).resolve()
        self.bench_path = self.directory / "tests/bench/kyneta-store-bench"
        self.daemon_path = self.directory / "daemon/kyneta-stored"
        if install and backends:
            subprocess.run([ROOT / "tests/setup", "bench"], check=True)
        if backends and not self.has_backends():
            # Those whose libraries were not there when it was configured.
            again = ["--reconfigure"] if (self.directory / "build.ninja").exists() else []
            subprocess.run(["meson", "setup", *again, self.directory, ROOT], check=True, stdout=sys.stderr)
        subprocess.run(["ninja", "-C", self.directory], check=True, stdout=sys.stderr)

    def has_backends(self):
        if not self.bench_path.exists():
            return False
        usage = subprocess.run([self.bench_path, "--help"], stdout=subprocess.PIPE, text=True, check=False).stdout
        return "redis" in usage and "postgres" in usage

    def bench(self, *options, folder):
        """One run of kyneta-store-bench; what it found."""
        command = [str(self.bench_path), "--json", "--folder", str(folder), *map(str, options)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise Failed("failed: " + " ".join(command))
        return json.loads(done.stdout)

    def machine(self, folder):
        """What is physically here, in words."""
        command = [self.bench_path, "--machine", "--folder", folder]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    def round(self, *options, folder):
        """One round of one subject; its figures."""
        return self.bench("--rounds", 1, *options, folder=folder)["store"]["median"]


# ---- folders and servers ----


@contextlib.contextmanager
def temporary_folder(parent):
    """Removed at the end. Others may enter it: PostgreSQL does not run as root."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kyneta-compare-", dir=parent))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def stop(process, number):
    process.send_signal(number)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(what, is_there, process):
    """Until a server answers."""
    for _ in range(1200):
        if process.poll() is not None:
            raise Failed(f"{what} ended with {process.returncode}")
        if is_there():
            return
        time.sleep(0.05)
    raise Failed(f"{what} does not answer")


@contextlib.contextmanager
def daemon(build, folder, name, *options, wrapper=()):
    """A daemon of its own for several runs of kyneta-store-bench; gives its socket. wrapper: words before the command."""
    home = folder / name
    home.mkdir()
    process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *wrapper, build.daemon_path, "--config", "/dev/null", "--socket",
                                home / "socket", "--database", home / "bench.db", "--log-level", "warning", *options])
    try:
        wait_for("kyneta-stored", (home / "socket").exists, process)
        yield str(home / "socket")
    finally:
        stop(process, signal.SIGTERM)
        shutil.rmtree(home, ignore_errors=True)


def find_redis():
    """The server's program, and the name that it must be called by: Debian's redis-tools has it without the service."""
    for name in ("redis-server", "redis-check-rdb", "redis-check-aof"):
        path = shutil.which(name)
        if path:
            return path
    raise Failed("Redis is not installed: tests/setup bench")


@contextlib.contextmanager
def redis(folder, appendfsync):
    """Redis 7 with an append-only file; gives its socket."""
    home = folder / f"redis-{appendfsync}"
    home.mkdir()
    address = home / "socket"
    # Without rewriting the file, which would only slow it down.
    options = ["--port", "0", "--unixsocket", address, "--dir", home, "--save", "", "--appendonly", "yes",
               "--appendfsync", appendfsync, "--auto-aof-rewrite-percentage", "0", "--daemonize", "no"]
    with open(home / "log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "bash", "-c", 'exec -a redis-server "$0" "$@"',
                                    find_redis(), *options], stdout=log, stderr=log)
    try:
        ping = ["redis-cli", "-s", address, "ping"]
        wait_for("Redis", lambda: subprocess.run(ping, capture_output=True, check=False).stdout == b"PONG\n", process)
        yield str(address)
    finally:
        stop(process, signal.SIGTERM)


def postgres_program(name):
    for folder in sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / name).exists():
            return folder / name
    path = shutil.which(name)
    if path is None:
        raise Failed("PostgreSQL is not installed: tests/setup bench")
    return path


def without_root():
    """The words before a program that refuses to run as root; and whose folder it needs."""
    if os.geteuid() != 0:
        return [], None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"], user
    raise Failed("there is no user whom PostgreSQL could run as")


@contextlib.contextmanager
def postgres(folder, synchronous_commit):
    """PostgreSQL on a socket; gives its connection string."""
    home = folder / f"postgres-{synchronous_commit}"
    home.mkdir()
    words, user = without_root()
    if user is not None:
        os.chown(home, user.pw_uid, user.pw_gid)
    made = subprocess.run([*words, postgres_program("initdb"), "-D", home / "data", "-U", "bench", "-A", "trust", "-E", "UTF8",
                           "--locale=C", "-N"], capture_output=True, text=True, check=False, cwd=home)
    if made.returncode != 0:
        raise Failed("initdb: " + made.stderr)
    settings = {"listen_addresses": "", "unix_socket_directories": home, "synchronous_commit": synchronous_commit,
                "max_connections": 200, "max_wal_size": "4GB", "shared_buffers": "512MB"}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with open(folder / f"postgres-{synchronous_commit}.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(["setpriv", "--pdeathsig", "INT", *words, postgres_program("postgres"), "-D", home / "data",
                                    *options], stdout=log, stderr=log, cwd=home)
    try:
        ready = [postgres_program("pg_isready"), "-h", home, "-U", "bench", "-d", "postgres"]
        wait_for("PostgreSQL", lambda: subprocess.run(ready, capture_output=True, check=False).returncode == 0, process)
        yield f"host={home} user=bench dbname=postgres"
    finally:
        stop(process, signal.SIGINT)


def install_reference(folder):
    """better-sqlite3, if node and the npm registry are there; gives the folder, or None and why not."""
    home = folder / "node"
    if shutil.which("node") is None or shutil.which("npm") is None:
        return None, "node and npm are not installed"
    home.mkdir()
    say("installing better-sqlite3")
    done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent", "better-sqlite3@^12"], cwd=home,
                          capture_output=True, text=True, check=False, timeout=600)
    if done.returncode != 0:
        return None, "better-sqlite3 could not be installed: " + (done.stderr.strip().splitlines() or ["?"])[-1]
    return home, None


def run_reference(home, folder, size, seconds):
    """Appends as the reference store does them; its figures."""
    with temporary_folder(folder) as own:
        done = subprocess.run(["node", HERE / "reference.mjs", home, own / "bench.db", str(size), str(seconds)],
                              stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Failed("reference.mjs failed")
    return json.loads(done.stdout)


# ---- rounds ----


def alternate(subjects, rounds, title=""):
    """Call each of @subjects (name -> function that gives figures) in turn, @rounds times. name -> list of figures."""
    found = {name: [] for name in subjects}
    for number in range(rounds):
        for name, measure in subjects.items():
            say(f"{title}{number + 1}/{rounds} {name}")
            found[name].append(measure())
    return found


def median(found, name, figure="rate"):
    return statistics.median(one[figure] for one in found[name])


def ratio(found, name, other, figure="rate"):
    """The median of the rounds' ratios."""
    return statistics.median(a[figure] / b[figure] for a, b in zip(found[name], found[other]))


def thousands(rate):
    """31,234/s as "31.2 k/s"."""
    if rate >= 1e6:
        return f"{rate / 1e6:.2f} M/s"
    return f"{rate / 1e3:.1f} k/s" if rate >= 1e3 else f"{rate:.0f} /s"


def markdown(head, rows):
    """A table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)
