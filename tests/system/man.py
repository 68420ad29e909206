#!/usr/bin/env python3
"""The manual pages: installed, without anything that mandoc warns of, and complete.

What a page lists is made from the programs, the header and PROTOCOL.md when the tree is built (protocol/man/page.py).
Here the pages as installed are read, as a terminal shows them, and compared with the same sources by other ways.
"""

import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

import protocol_document  # noqa: E402
from harness import PROGRAM, ROOT, expect_equal, main, test  # noqa: E402

BUILD = os.path.dirname(os.path.dirname(PROGRAM))
STORECTL = os.path.join(BUILD, "client", "ctl", "kyneta-storectl")
HEADER = os.path.join(ROOT, "client", "include", "kyneta", "store.h")
LIBRARY = os.path.join(BUILD, "client", "libkyneta-store.so.0")
WAIT_SECONDS = 120              # a bound, not an expectation

# scdoc begins every paragraph with .PP, also where there is none before it. It has no effect.
HARMLESS = re.compile(r"WARNING: skipping paragraph macro: PP (empty|after S[HS])$")

PROGRAM_PAGES = {"kyneta-stored.8", "kyneta-storectl.1", "kyneta-stored.conf.5", "kyneta-store-protocol.7", "libkyneta-store.3"}

# Pages of others that ours may name.
ELSEWHERE = {"fork(2)", "poll(2)", "sd_listen_fds(3)", "sqlite3(1)", "systemd(1)", "systemd.service(5)", "systemd.socket(5)"}


def run(*command, cwd=None):
    result = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8",
                            timeout=WAIT_SECONDS)
    expect_equal((result.returncode, result.stderr), (0, ""), " ".join(command))
    return result.stdout


class Pages:
    """What `meson install` puts into the folder of manual pages: name.section -> path."""

    def __init__(self):
        self.holder = tempfile.TemporaryDirectory(prefix="kyneta-")
        run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--tags", "man", "--destdir", self.holder.name)
        self.paths = {name: os.path.join(path, name) for path, _, names in os.walk(self.holder.name) for name in names}
        self.shown = {}

    def folder(self):
        return os.path.dirname(os.path.dirname(self.paths["kyneta-stored.8"]))

    def target(self, name):
        """The page that an alias stands for, or the page itself."""
        with open(self.paths[name], encoding="utf-8") as file:
            match = re.fullmatch(r"\.so (man\d)/(\S+)\n", file.read())
        return match[2] if match else name

    def own(self):
        return sorted(name for name in self.paths if self.target(name) == name)

    def text(self, name):
        """As a very wide terminal shows it: paragraphs are lines."""
        if name not in self.shown:
            text = run("mandoc", "-T", "utf8", "-O", "width=1000", self.paths[name], cwd=self.folder())
            self.shown[name] = re.sub(r".\x08", "", text).replace("\u2010", "-")
        return self.shown[name]

    def references(self, name):
        """What stands in bold before a section in parentheses."""
        with open(self.paths[name], encoding="utf-8") as file:
            return re.findall(r"\\fB([\w.-]+)\\fR\((\d)\)", file.read().replace(r"\-", "-"))

    def section(self, name, title):
        return re.search(r"^%s\n(.*?)(?=^\S|\Z)" % re.escape(title), self.text(name), re.M | re.S)[1]


pages = Pages()


def heads(text):
    """The lines of a page after which the next is indented more: the words of its lists."""
    lines = [line for line in text.splitlines() if line.strip()]
    depth = [len(line) - len(line.lstrip()) for line in lines]
    return [line.strip() for line, here, next_one in zip(lines, depth, depth[1:]) if next_one > here]


def exit_statuses(text):
    return {int(status) for status in re.findall(r"^ +(\d+)  ", text, re.M)}


def public_functions():
    return {line.split()[2].split("@")[0] for line in run("nm", "-D", "--defined-only", LIBRARY).splitlines()
            if " T " in line}


def without_comments(path):
    with open(path, encoding="utf-8") as file:
        return re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)


@test("mandoc warns of nothing in any page")
def _():
    found = []
    for name in pages.own():
        result = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", pages.paths[name]], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=WAIT_SECONDS)
        found += [line for line in (result.stdout + result.stderr).splitlines() if not HARMLESS.search(line)]
    expect_equal(found, [])


@test("the pages of the programs, the file, the library and the protocol are installed, in the folders of their sections")
def _():
    expect_equal(PROGRAM_PAGES - set(pages.own()), set())
    for name, path in pages.paths.items():
        expect_equal(os.path.basename(os.path.dirname(path)), "man" + name.rsplit(".", 1)[1])


@test("every public function has a page that names and declares it")
def _():
    expect_equal(public_functions() - {name[:-2] for name in pages.paths if name.endswith(".3")}, set())
    for function in sorted(public_functions()):
        page = pages.target(function + ".3")
        expect_equal(function in re.split(r"[\s,]+", pages.section(page, "NAME")), True, "%s, NAME of %s" % (function, page))
        expect_equal(function + "(" in pages.section(page, "SYNOPSIS"), True, "%s, SYNOPSIS of %s" % (function, page))
        expect_equal(function in pages.section(page, "DESCRIPTION"), True, "%s, DESCRIPTION of %s" % (function, page))


@test("no page is about a function that is not there")
def _():
    named = {word for name in pages.own() for word in re.findall(r"\bkyneta_store_\w+(?=\(\)|\(3\))", pages.text(name))}
    expect_equal(named - public_functions() - {"kyneta_store_record"}, set())
    aliases = {name[:-2] for name in pages.paths if name.startswith("kyneta_store_")}
    expect_equal(aliases - public_functions(), {"kyneta_store_record"})


@test("man finds a function by its alias")
def _():
    text = run("mandoc", "-T", "utf8", os.path.join("man3", "kyneta_store_replace.3"), cwd=pages.folder())
    expect_equal(re.sub(r".\x08", "", text).split()[0], "kyneta_store_append(3)")


@test("every public structure is declared by a page that tells of all its fields, and every constant stands in some page")
def _():
    header = without_comments(HEADER)
    own = [name for name in pages.own() if name.endswith(".3")]
    structures = re.findall(r"^struct (\w+) \{(.*?)^\};", header, re.M | re.S)
    expect_equal(len(structures) >= 7, True, str(len(structures)))
    for structure, body in structures:
        fields = re.findall(r"(\w+)(?:\[\d+\])?;|\(\*(\w+)\)\(", body)
        page = next((name for name in own if "struct %s {" % structure in pages.text(name)), None)
        expect_equal(page is not None, True, structure)
        words = set(re.findall(r"\w+", " ".join(heads(pages.section(page, "DESCRIPTION")))))
        missing = {field or function for field, function in fields} - words
        # What it takes no list to understand is told in a sentence.
        text = pages.section(page, "DESCRIPTION")
        expect_equal({field for field in missing if not re.search(r"\b%s\b" % field, text)}, set(), structure)
    everything = " ".join(pages.text(name) for name in own)
    constants = set(re.findall(r"\bKYNETA_STORE_(?!API\b|H\b)[A-Z_]+\b", header))
    expect_equal({constant for constant in constants if not re.search(r"\b%s\b" % constant, everything)}, set())


@test("kyneta-stored(8) and kyneta-stored.conf(5) have every option with its default, and no other")
def _():
    rows = [line.split("\t") for line in run(PROGRAM, "--options").splitlines()]
    listed = [head.split()[0] for head in heads(pages.section("kyneta-stored.8", "OPTIONS"))]
    expect_equal(listed[:len(rows)], ["--" + row[0] for row in rows])
    others = set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", run(PROGRAM, "--help"), re.M)) - {"--" + row[0] for row in rows}
    expect_equal(set(re.findall(r"--[a-z-]+", " ".join(
        head for head in heads(pages.section("kyneta-stored.8", "OPTIONS"))[len(rows):]))), others)
    expect_equal(heads(pages.section("kyneta-stored.conf.5", "OPTIONS")), [row[0] for row in rows])
    for page in "kyneta-stored.8", "kyneta-stored.conf.5":
        defaults = re.findall(r"Default: (.*)\.$", pages.section(page, "OPTIONS"), re.M)
        expect_equal(defaults, [row[1] for row in rows], page)


@test("kyneta-stored.conf(5) has every section and key of the example")
def _():
    text = pages.section("kyneta-stored.conf.5", "SECTIONS")
    example = run(PROGRAM, "--example-config")
    wanted = re.findall(r"^#(\[.*\]|\S+ = .*)$", example[example.index("#[access]"):], re.M)
    expect_equal(len(wanted) > 10, True, str(wanted))
    expect_equal([line for line in wanted if line not in text], [])


@test("kyneta-stored(8) has the exit statuses and signals that --help tells")
def _():
    told = run(PROGRAM, "--help").split("Exit status")[1]
    expect_equal({int(head) for head in heads(pages.section("kyneta-stored.8", "EXIT STATUS"))}, exit_statuses(told))
    expect_equal(heads(pages.section("kyneta-stored.8", "SIGNALS")), ["SIGTERM, SIGINT", "SIGHUP"])


@test("kyneta-storectl(1) has every command, its options, and the exit statuses")
def _():
    told = run(STORECTL, "help")
    commands = re.findall(r"^  ([a-z]+)\b", told.split("commands:")[1].split("\n\n")[0], re.M)
    text = pages.section("kyneta-storectl.1", "COMMANDS")
    expect_equal(re.findall(r"^   ([a-z]+)\b", text, re.M), commands)
    expect_equal(len(commands) >= 11, True)
    common = set(re.findall(r"--[a-z-]+", " ".join(re.findall(r"^  (-.*?)  ", told, re.M))))
    expect_equal(set(re.findall(r"--[a-z-]+", " ".join(heads(pages.section("kyneta-storectl.1", "OPTIONS"))))), common)
    for command, part in zip(commands, re.split(r"^   [a-z]+\b", text, flags=re.M)[1:]):
        options = {option for head in re.findall(r"^  (-.*?)  ", run(STORECTL, "help", command), re.M)
                   for option in re.findall(r"--[a-z-]+", head)}
        in_page = {option for head in heads(part) if head.startswith("-") for option in re.findall(r"--[a-z-]+", head)}
        # --version is another option for commands that take records.
        expect_equal((options - in_page) <= common, True, "%s: %s" % (command, options - in_page - common))
        expect_equal(in_page <= options, True, "%s: %s" % (command, in_page - options))
    expect_equal({int(head) for head in heads(pages.section("kyneta-storectl.1", "EXIT STATUS"))},
                 exit_statuses(told.split("exit status:")[1]))


@test("kyneta-store-protocol(7) has the operations and the errors, and the library's page the errors by its names")
def _():
    document = protocol_document.read()
    errors = [(row[0], row[1].strip("`")) for row in protocol_document.table(document, "errors")]
    expect_equal([tuple(head.split()) for head in heads(pages.section("kyneta-store-protocol.7", "ERRORS"))], errors)
    operations = [(row[0], row[1].strip("`")) for row in protocol_document.table(document, "operations")]
    expect_equal(len(operations), 12)
    text = pages.section("kyneta-store-protocol.7", "DESCRIPTION")
    expect_equal([tuple(head.split()) for head in heads(text) if re.fullmatch(r"\d+ \w+", head)], operations)
    text = pages.section("kyneta_store_error_name.3", "ERRORS")
    codes = [head for head in heads(text) if head.startswith("KYNETA_STORE_E")]
    constants = re.findall(r"\b(KYNETA_STORE_E\w+) = (\d{3,})", without_comments(HEADER))
    expect_equal(codes, ["%s (%s)" % constant for constant in constants])
    expect_equal([head for head in codes if int(head.split("(")[1][:-1]) < 1000],
                 ["KYNETA_STORE_E%s (%s)" % (name.upper(), code) for code, name in errors])


@test("pages name only pages that are there")
def _():
    named = {"%s(%s)" % reference for name in pages.own() for reference in pages.references(name)}
    expect_equal(len(named) > 10, True, str(named))
    here = {"%s(%s)" % tuple(name.rsplit(".", 1)) for name in pages.paths}
    expect_equal(named - here - ELSEWHERE, set())


if __name__ == "__main__":
    main()
