#!/usr/bin/env python3
"""The examples do what they say, and what `meson install` installs is enough to build them and other programs."""

import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

from harness import PROGRAM, ROOT, SANITIZED, Daemon, expect_equal, main, test  # noqa: E402

BUILD = os.path.dirname(os.path.dirname(PROGRAM))
EXAMPLES = os.path.join(ROOT, "client", "examples")
HEADER = os.path.join(ROOT, "client", "include", "kyneta", "store.h")
STATIC = os.path.join(BUILD, "client", "libkyneta-store.a")
SHARED = os.path.join(BUILD, "client", "libkyneta-store.so.0")

# A library with sanitizers in it wants programs with sanitizers.
FLAGS = ["-fsanitize=address,undefined"] if SANITIZED else []
WAIT_SECONDS = 120              # a bound, not an expectation

BLOCKING = """\
appended; the next record will be number 2
example/blocking holds:
  meta   {"replicaType":["plain",1,0],"syncMode":{"writerModel":"serialized","delivery":"delta-capable",\
"durability":"persistent"},"schemaHash":"example"}
  entry  version 1, 17 bytes: {"hello":"world"}
2 records
"""
LIBUV = """\
all writes are answered
loaded 101 records
closed
"""


def run(*command, **environment):
    """What it prints; it must succeed, and complain of nothing."""
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT_SECONDS,
                            env={**os.environ, **environment})
    expect_equal((result.returncode, result.stderr), (0, ""), " ".join(command))
    return result.stdout


def check_example(command, output, **environment):
    """It finds the daemon by its argument and by the environment, and can be run again on what it left."""
    with Daemon() as daemon:
        expect_equal(run(command, daemon.socket, **environment), output)
        expect_equal(run(command, KYNETA_STORE_SOCKET=daemon.socket, **environment), output)


@test("the blocking example")
def _():
    check_example(os.path.join(BUILD, "client", "example-blocking"), BLOCKING)


@test("the libuv example")
def _():
    check_example(os.path.join(BUILD, "client", "example-libuv"), LIBUV)


# ---- the header and the symbols -----------------------------------------------------------------------------------------


@test("the header is C11 and C++11 by itself, without a warning")
def _():
    with tempfile.TemporaryDirectory(prefix="kyneta-") as directory:
        for compiler, standard, suffix in (("gcc", "c11", "c"), ("clang", "c11", "c"), ("g++", "c++11", "cc"),
                                           ("g++", "c++20", "cc"), ("clang++", "c++17", "cc")):
            source = os.path.join(directory, "program." + suffix)
            with open(source, "w", encoding="utf-8") as file:
                file.write('#include "%s"\n'
                           "struct kyneta_store_options options = KYNETA_STORE_OPTIONS_INIT;\n"
                           "struct kyneta_store_write wish = KYNETA_STORE_WRITE_INIT;\n" % HEADER)
            run(compiler, "-std=" + standard, "-fsyntax-only", "-Wall", "-Wextra", "-pedantic", "-Wconversion", "-Werror",
                source)


def declared():
    """The functions of the header."""
    with open(HEADER, encoding="utf-8") as file:
        return sorted(re.findall(r"KYNETA_STORE_API\s+[^;(]*?\b(kyneta_store_\w+)\s*\(", file.read()))


def defined(*arguments):
    """The global symbols that are defined there, but for what sanitizers add."""
    lines = [line.split() for line in run("nm", "--defined-only", *arguments).splitlines()]
    names = {fields[2].split("@")[0] for fields in lines if len(fields) == 3 and fields[1].isupper()}
    return sorted(name for name in names if not name.startswith(("__asan", "__odr_asan", "__ubsan")))


@test("both libraries show the functions of the header and nothing else")
def _():
    expect_equal(len(declared()) > 30, True, str(declared()))
    expect_equal(defined("--extern-only", STATIC), declared())
    expect_equal([name for name in defined("--dynamic", SHARED) if not re.match(r"KYNETA_STORE_\d+$", name)], declared())


# ---- an installed tree ----------------------------------------------------------------------------------------------------


def needed(path):
    """The shared libraries that a program asks for."""
    return re.findall(r"NEEDED\s+(\S+)", run("objdump", "-p", path))


def find(directory, name):
    return next(os.path.join(folder, name) for folder, _, names in os.walk(directory) if name in names)


class Installed:
    """What `meson install` put below a folder, as pkg-config tells of it."""

    def __init__(self, directory):
        self.directory = directory
        run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", directory)
        self.folder = os.path.dirname(find(directory, "kyneta-store.pc"))
        self.libraries = os.path.dirname(find(directory, "libkyneta-store.a"))

    def flags(self, *arguments):
        return run("pkg-config", *arguments, "kyneta-store", PKG_CONFIG_PATH=self.folder,
                   PKG_CONFIG_SYSROOT_DIR=self.directory).split()

    def compile(self, name, *more, static=False):
        program = os.path.join(self.directory, name + ("-static" if static else ""))
        flags = self.flags("--cflags", "--libs", *(["--static"] if static else []))
        if static:
            flags = ["-l:libkyneta-store.a" if flag == "-lkyneta-store" else flag for flag in flags]
        run("cc", "-Wall", "-Wextra", "-Werror", *FLAGS, os.path.join(EXAMPLES, name + ".c"), "-o", program, *flags, *more)
        expect_equal("libkyneta-store.so.0" in needed(program), not static, str(needed(program)))
        return program


@test("the examples build against an installed tree, with the shared and with the static library")
def _():
    libuv = run("pkg-config", "--cflags", "--libs", "libuv").split()
    with tempfile.TemporaryDirectory(prefix="kyneta-") as directory:
        installed = Installed(directory)
        for name in "kyneta-stored", "kyneta-storectl", "store.h", "libkyneta-store.so":
            find(directory, name)
        expect_equal(installed.flags("--modversion"), run(find(directory, "kyneta-stored"), "--version").split()[1:])
        for name, more, output in ("blocking", [], BLOCKING), ("libuv", libuv, LIBUV):
            check_example(installed.compile(name, *more), output, LD_LIBRARY_PATH=installed.libraries)
            check_example(installed.compile(name, *more, static=True), output)


if __name__ == "__main__":
    main()
