#!/usr/bin/env python3
"""page.py SCDOC VERSION PAGE.scd [NAME=PATH]... - a man page on stdout, from its source and from what it describes.

A page's source is scdoc(5), with one thing more: lines that begin with @. Each stands for a list that exists elsewhere,
and is taken from there whenever the tree is built, so that no page tells of an option or a code that is not there:

    stored=kyneta-stored     @options @keys @sections @signals @exits
    storectl=...             @ctl-options @ctl-commands @ctl-exits
    header=kyneta/store.h    @declare NAME...: functions, types, macros, without comments; @codes: the library's own errors
    protocol=PROTOCOL.md     @table NAME: its rows as a list; NAME as in <!-- table: NAME -->
    both                     @daemon-codes: the daemon's errors, by the names that the header has for them
    example=FILE             @example: the file as it is
"""

import re
import subprocess
import sys
import textwrap

# Of declarations: what a terminal of 80 columns shows.
WIDTH = 68


def escape(text):
    """Text that scdoc takes for text, also at the beginning of a line."""
    return re.sub(r"([\\_*`\[\]|#])", r"\\\1", text)


def inline(text):
    """A cell of a Markdown table: `code` is bold, of links the words are left."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    parts = text.split("`")
    return "".join("*%s*" % escape(part) if i % 2 else escape(part) for i, part in enumerate(parts))


def sentence(text):
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "…")) else text + "."


def entry(head, *paragraphs):
    """A word and, indented, what it means."""
    return "%s\n\t%s\n" % (head, "++\n".join(paragraph for paragraph in paragraphs if paragraph))


def literal(text):
    return "```\n%s\n```\n" % text.strip("\n")


def usage(head):
    """-s, --socket PATH: options bold, what they take underlined."""
    return re.sub(r"(?<![-\w])(--?[A-Za-z][\w-]*)|([A-Za-z]\S*)",
                  lambda match: "*%s*" % match[1] if match[1] else "_%s_" % escape(match[2]), head)


class Stored:
    """kyneta-stored: what --options, --help and --example-config print."""

    def __init__(self, path):
        self.path = path
        help_text = self._run("--help")
        # A head after two blanks, then what it means after six.
        self.heads = [(match[1], " ".join(match[2].split()))
                      for match in re.finditer(r"^  (\S[^\n]*)\n((?:      [^\n]*\n)+)", help_text, re.M)]
        self.help = help_text

    def _run(self, option):
        return subprocess.run([self.path, option], check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8").stdout

    def _rows(self):
        for line in self._run("--options").splitlines():
            yield line.split("\t")

    def options(self):
        takes = {head.split()[0]: head for head, _ in self.heads if head.startswith("--")}
        of_table = set()
        for name, default, _, _, reason in self._rows():
            of_table.add("--" + name)
            yield entry(usage(takes["--" + name]), sentence(escape(reason)), "Default: *%s*." % escape(default))
        for head, meaning in self.heads:
            if head.startswith("-") and head.split()[0] not in of_table:
                yield entry(usage(head), sentence(escape(meaning)))

    def keys(self):
        for name, default, takes, when, reason in self._rows():
            yield entry("*%s*" % escape(name), sentence(escape(reason)),
                        sentence("Takes %s; changes by %s" % (escape(takes), escape(when))),
                        "Default: *%s*." % escape(default))

    def sections(self):
        """The example's blocks: comments, then a commented [section] or key = value. Options come before the first."""
        section = False
        for block in re.split(r"\n\n+", self._run("--example-config")):
            lines = block.strip().splitlines()
            meaning = " ".join(line[2:] for line in lines if line.startswith("# "))
            line = next((line[1:] for line in lines if re.match(r"#[\[\w]", line)), "")
            if line.startswith("["):
                section = True
                yield "## " + line + "\n"
                yield sentence(escape(meaning)) + "\n"
            elif section and line:
                yield entry("*%s*" % escape(line), sentence(escape(meaning)))

    def signals(self):
        part = re.search(r"^Signals\n\n(.*?)\n\n", self.help, re.M | re.S)[1]
        for match in re.finditer(r"(SIG[A-Z]+(?:, SIG[A-Z]+)*): (.*?)(?=\s+SIG[A-Z]+[,:]|\Z)", " ".join(part.split())):
            yield entry("*%s*" % match[1].replace(", ", "*, *"), sentence(escape(match[2])))

    def exits(self):
        part = re.search(r"^Exit status\n\n(.*)\Z", self.help, re.M | re.S)[1]
        for match in re.finditer(r"^  (\d+) +(.*(?:\n      .*)*)", part, re.M):
            yield entry("*%s*" % match[1], sentence(escape(" ".join(match[2].split()))))


class Storectl:
    """kyneta-storectl: what help, and help of each command, print."""

    def __init__(self, path):
        self.path = path
        self.help = self._run()
        self.common = self._options(self.help)

    def _run(self, *command):
        return subprocess.run([self.path, "help", *command], check=True, stdout=subprocess.PIPE, text=True,
                              encoding="utf-8").stdout

    @staticmethod
    def _options(text):
        return re.findall(r"^  (-\S.*?)  +(\S.*)$", text, re.M)

    def ctl_options(self):
        for head, meaning in self.common:
            yield entry(usage(head), sentence(escape(meaning)))

    def ctl_commands(self):
        for name in re.findall(r"^  ([a-z]+)\b", self.help.split("commands:")[1].split("\n\n")[0], re.M):
            text = self._run(name)
            arguments = re.match(r"usage: \S+ \S+ ?(.*?) ?\[OPTION\.\.\.\]\n", text)[1]
            parts = text.split("\n\n")
            own = [option for option in self._options(text) if option not in self.common]
            yield "## %s%s\n" % (name, " " + arguments if arguments else "")
            yield sentence(escape(parts[1])) + "\n"
            if not parts[2].startswith("options:"):
                yield from self._paragraphs(parts[2])
            for head, meaning in own:
                yield entry(usage(head), sentence(escape(meaning)))

    @staticmethod
    def _paragraphs(text):
        """Lines that are indented stand as they are."""
        for match in re.finditer(r"((?:^  .*\n?)+)|((?:^\S.*\n?)+)", text, re.M):
            if match[1]:
                yield literal(textwrap.dedent(match[1]))
            else:
                yield escape(" ".join(match[2].split())) + "\n"

    def ctl_exits(self):
        for status, meaning in re.findall(r"^ +(\d+)  (.*)$", self.help.split("exit status:")[1], re.M):
            yield entry("*%s*" % status, sentence(escape(meaning)))


class Header:
    """A C header: its declarations by name."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.whole = file.read()
        text = re.sub(r"/\*.*?\*/", "", self.whole, flags=re.S)
        self.text = re.sub(r"[ \t]+$", "", text, flags=re.M)

    def declare(self, *names):
        """Types and macros stand alone, functions that follow each other together."""
        yield literal("#include <kyneta/store.h>\n\n" + "\n\n".join(self._declaration(name) for name in names))

    def _declaration(self, name):
        word = re.escape(name)
        match = re.search(r"^KYNETA_STORE_API\s+([^;]*?\b%s\([^;]*\);)" % word, self.text, re.M)
        if match:
            return self._wrap(match[1])
        match = re.search(r"^typedef [^;]*(?:\(\*%s\)\([^;]*| %s);" % (word, word), self.text, re.M)
        if match:
            return self._wrap(match[0])
        match = re.search(r"^(?:struct|enum) %s \{.*?\};" % word, self.text, re.M | re.S)
        if match:
            text = match[0]
            if "\n" not in text and len(text) > WIDTH:
                text = re.sub(r"(?<=\{) |(?<=,) | (?=\})", "\n", text)
            lines = [re.sub(r"[ \t]+", " ", line.strip()) for line in text.splitlines() if line.strip()]
            return "\n".join(line if line[-1] in "{;" and not i or line == "};" else "    " + line
                             for i, line in enumerate(lines))
        match = re.search(r"^#define %s\b(.*)" % word, self.text, re.M)
        if match:
            value = match[1].strip()
            return "#define %s%s" % (name, " " + value if value.startswith('"') else "")
        raise SystemExit("page.py: the header does not declare " + name)

    def _codes(self, least, most):
        """Constant, number and comment, which stands before the constant or behind it."""
        body = re.search(r"^enum kyneta_store_error_code \{(.*?)^\};", self.whole, re.M | re.S)[1]
        comment = r"/\*((?:[^*]|\*(?!/))*)\*/"
        for match in re.finditer(r"(?:%s\n)?\s*(KYNETA_STORE_E\w+) = (\d+),?[ \t]*(?:%s)?" % (comment, comment), body):
            if least <= int(match[3]) < most:
                meaning = re.sub(r"\s+\*?\s*", " ", match[4] or match[1] or "").strip()
                yield match[2], int(match[3]), meaning

    def codes(self):
        for constant, number, meaning in self._codes(1000, 10000):
            yield entry("*%s* (%d)" % (escape(constant), number), sentence(escape(meaning)))

    def daemon_codes(self, protocol):
        """The meaning is the protocol's: the comments above these constants are about all of them."""
        meanings = {int(row[0]): row[2] for row in protocol.rows("errors")}
        for constant, number, _ in self._codes(100, 1000):
            yield entry("*%s* (%d)" % (escape(constant), number), sentence(inline(meanings[number])))

    @staticmethod
    def _wrap(text):
        """Lines are broken between parameters only."""
        text = re.sub(r"(?<!,) ", "\0", " ".join(text.split()))
        return "\n".join(textwrap.wrap(text, WIDTH, subsequent_indent="    ", break_long_words=False,
                                       break_on_hyphens=False)).replace("\0", " ")


class Protocol:
    """PROTOCOL.md: its tables."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.text = file.read()

    def rows(self, name):
        table = re.search(r"<!-- table: %s -->\n((?:\|.*\n)+)" % re.escape(name), self.text)
        if not table:
            raise SystemExit("page.py: there is no table " + name)
        for row in table[1].splitlines()[2:]:
            yield [cell.strip() for cell in row.split("|")[1:-1]]

    def table(self, name):
        for cells in self.rows(name):
            head, rest = self._head(name, cells)
            yield entry(head, *rest)

    @staticmethod
    def _head(name, cells):
        if name == "operations":
            number, operation, arguments, results = cells
            return ("%s %s" % (number, inline(operation)),
                    ["Arguments: %s." % inline(arguments) if arguments else "No arguments.",
                     "Results: %s." % inline(results) if results else "No results."])
        if name == "errors":
            return "%s %s" % (cells[0], inline(cells[1])), [sentence(inline("; ".join(filter(None, cells[2:]))))]
        raise SystemExit("page.py: how is the table %s to be told?" % name)


def expand(source, lists):
    for line in source:
        if not line.startswith("@"):
            yield line
            continue
        name, *words = line[1:].split()
        if name not in lists:
            raise SystemExit("page.py: @%s stands for nothing that was given" % name)
        yield "\n".join(lists[name](*words))


def main(scdoc, version, page, *sources):
    lists, header, protocol = {}, None, None
    for source in sources:
        kind, path = source.split("=", 1)
        if kind == "stored":
            stored = Stored(path)
            lists.update(options=stored.options, keys=stored.keys, sections=stored.sections, signals=stored.signals,
                         exits=stored.exits)
        elif kind == "storectl":
            storectl = Storectl(path)
            lists.update({"ctl-options": storectl.ctl_options, "ctl-commands": storectl.ctl_commands,
                          "ctl-exits": storectl.ctl_exits})
        elif kind == "header":
            header = Header(path)
            lists.update(declare=header.declare, codes=header.codes)
        elif kind == "protocol":
            protocol = Protocol(path)
            lists["table"] = protocol.table
        elif kind == "example":
            with open(path, encoding="utf-8") as file:
                text = file.read().expandtabs(8)
            lists["example"] = lambda text=text: [literal(text)]
        else:
            raise SystemExit("page.py: unknown source " + source)
    if header and protocol:
        lists["daemon-codes"] = lambda: header.daemon_codes(protocol)
    with open(page, encoding="utf-8") as file:
        name = file.readline().strip()
        text = "".join(expand(file, lists))
    heading = '%s "kyneta-stored %s"\n' % (name, version)
    done = subprocess.run([scdoc], input=heading + text, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    if done.returncode:
        sys.stderr.write("page.py: scdoc does not take %s:\n" % page)
        for number, line in enumerate((heading + text).splitlines(), 1):
            sys.stderr.write("%5d  %s\n" % (number, line))
        raise SystemExit(1)
    sys.stdout.write(done.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
