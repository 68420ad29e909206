"""The builds: what each is, and the job that configures and compiles it.

Called with a directory, a number of processes, targets and Meson's options, this file is that job's program.
"""

import os
import subprocess
import sys

from jobs import Result

LIMIT_SECONDS = 900


class Kind:
    """options: of Meson. targets: what of it is compiled; none: all."""

    def __init__(self, directory, compiler, options=(), targets=()):
        self.directory, self.compiler = directory, compiler
        self.options, self.targets = ["-Dtests=enabled", *options], list(targets)


# Sanitizers make gcc warn of what is not so (as its manual says): warnings are the other builds' business. What is said of
# places needs the numbers of lines, and none of a debugger's other tables; optimising as usual takes twice as long.
_SANITIZER = ["-Dwerror=false", "-Db_lundef=false", "-Ddebug=false", "-Dc_args=-g1"]

KINDS = {
    "plain": Kind("build", "gcc", ["-Dwerror=true"]),
    "asan": Kind("build-asan", "gcc", ["-Db_sanitize=address,undefined", "-Doptimization=1", *_SANITIZER]),
    "clang": Kind("build-clang", "clang", ["-Dwerror=true", "-Doptimization=1", "-Ddebug=false"]),
    # Criterion's programs do not start under ThreadSanitizer.
    "tsan": Kind("build-tsan", "gcc", ["-Db_sanitize=thread", *_SANITIZER], ["race"]),
    "fuzz": Kind("build-fuzz", "clang", ["-Dfuzzer=true", "-Db_sanitize=address,undefined", *_SANITIZER], ["fuzz"]),
}


def directory_of(name):
    return KINDS[name].directory if name != "none" else "."


class Build:
    """A job: one test, which passes if it compiles without a warning."""

    cores = 1
    limit = LIMIT_SECONDS

    def __init__(self, name, processes, root, logs):
        self.name, self.kind, self.processes = "build-" + name, KINDS[name], processes
        self.directory = os.path.join(root, self.kind.directory)
        self.log = os.path.join(logs, self.name + ".log")
        self.begun, self.result = False, None

    def command(self):
        return ([sys.executable, os.path.abspath(__file__), self.directory, str(self.processes), ",".join(self.kind.targets),
                 *self.kind.options], {"CC": self.kind.compiler})

    def done(self, status, seconds, cpu):
        self.result = Result(self.name, self.log)
        self.result.seconds, self.result.cpu = seconds, cpu
        if status == 0:
            self.result.passed = 1
        else:
            self.result.fail("it took too long" if status is None else "status %d" % status)


def configure_and_compile(directory, processes, targets, options):
    """Configure unless that was done with the same options before, and compile."""
    mark = os.path.join(directory, ".tests-run")
    wanted = " ".join(options)
    if not os.path.exists(os.path.join(directory, "build.ninja")):
        subprocess.run(["meson", "setup", directory, *options], check=True)
    elif _read(mark) != wanted:
        subprocess.run(["meson", "configure", directory, *options], check=True)
    with open(mark, "w", encoding="utf-8") as file:
        file.write(wanted)
    subprocess.run(["ninja", "-j", processes, "-k", "0", "-C", directory, *targets], check=True)


def _read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    try:
        configure_and_compile(sys.argv[1], sys.argv[2], [target for target in sys.argv[3].split(",") if target], sys.argv[4:])
    except subprocess.CalledProcessError as failed:
        sys.exit("%s: status %d" % (" ".join(failed.cmd), failed.returncode))
