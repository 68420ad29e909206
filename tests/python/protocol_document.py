"""PROTOCOL.md as data: its tables and its examples, for the tests that hold it to its word.

    messages(text)       every example message, in order
    table(text, name)    the rows of the table under <!-- table: name -->
    bad_inputs(text)     the rows of the table of bad input, with their bytes
    value(text)          what stands after "=>" in an example

Run by itself it writes the bytes of every example anew from its value, for those who add one:

    python3 tests/python/protocol_document.py            rewrites protocol/PROTOCOL.md
"""

import json
import os
import re
import struct

import kyneta_store_client as client

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "protocol", "PROTOCOL.md")

# The names of arguments and results, for the comments beside the bytes.
ARGUMENTS = {
    client.HELLO: ("magic", "lowest", "highest", "client", "store", "access", "session"),
    client.APPEND: ("doc", "records", "durability", "expect"),
    client.LOAD_ALL: ("doc", "cursor", "limit"),
    client.REPLACE: ("doc", "records", "durability", "expect"),
    client.DELETE: ("doc", "durability", "expect"),
    client.CURRENT_META: ("doc",),
    client.LIST_DOC_IDS: ("prefix", "cursor", "limit"),
}
RESULTS = {
    client.HELLO: ("version", "daemon", "layout", "through", "frame limit", "in-flight limit", "page limit"),
    client.APPEND: ("at", "duplicate"), client.REPLACE: ("at", "duplicate"), client.DELETE: ("at", "duplicate"),
    client.LOAD_ALL: ("records", "at", "cursor"),
    client.CURRENT_META: ("meta", "at"),
    client.LIST_DOC_IDS: ("docs", "cursor"),
    client.STATS: ("stats",),
}
OPERATIONS = ("hello", "append", "load_all", "replace", "delete", "current_meta", "list_doc_ids", "close", "ping", "sync",
              "stats", "resume")


def read():
    with open(PATH, encoding="utf-8") as file:
        return file.read()


class Any:
    """A value that stands for any of its type: written ~value."""

    def __init__(self, example):
        self.example = example

    def __repr__(self):
        return "~%r" % (self.example,)


def plain(found):
    """The value with every ~value taken as it is written."""
    if isinstance(found, Any):
        return plain(found.example)
    if isinstance(found, list):
        return [plain(element) for element in found]
    if isinstance(found, dict):
        return {key: plain(element) for key, element in found.items()}
    return found


# ---- values: JSON, and nil, h'00ff' for bytes, ~value for any value of this type ---------------------------------------

_TOKEN = re.compile(r"""\s*(?: (?P<string>"(?:[^"\\]|\\.)*") | h'(?P<hex>[0-9a-f\s]*)' | (?P<number>\d+)
                             | (?P<word>nil|true|false) | (?P<mark>[][{}:,~]) )""", re.X)
_WORDS = {"nil": None, "true": True, "false": False}


def value(text):
    found, end = _value(text, 0)
    if text[end:].strip():
        raise ValueError("left over: " + text[end:])
    return found


def _token(text, at):
    match = _TOKEN.match(text, at)
    if not match:
        raise ValueError("not a value: " + text[at:])
    return match, match.end()


def _value(text, at):
    match, at = _token(text, at)
    if match["string"] is not None:
        return json.loads(match["string"]), at
    if match["hex"] is not None:
        return bytes.fromhex(match["hex"]), at
    if match["number"] is not None:
        return int(match["number"]), at
    if match["word"] is not None:
        return _WORDS[match["word"]], at
    if match["mark"] == "~":
        example, at = _value(text, at)
        return Any(example), at
    if match["mark"] == "[":
        return _elements(text, at)
    if match["mark"] == "{":
        return _members(text, at)
    raise ValueError("not a value: " + text[at:])


def _elements(text, at):
    elements = []
    while not text[at:].lstrip().startswith("]"):
        element, at = _value(text, at)
        elements.append(element)
        if text[at:].lstrip().startswith(","):
            at = _token(text, at)[1]
    return elements, _token(text, at)[1]


def _members(text, at):
    members = {}
    while not text[at:].lstrip().startswith("}"):
        key, at = _value(text, at)
        mark, at = _token(text, at)
        if mark["mark"] != ":":
            raise ValueError("':' expected: " + text[at:])
        members[key], at = _value(text, at)
        if text[at:].lstrip().startswith(","):
            at = _token(text, at)[1]
    return members, _token(text, at)[1]


# ---- examples ---------------------------------------------------------------------------------------------------------

_BLOCK = re.compile(r"^```example\n(.*?)^```$", re.M | re.S)
_HEAD = re.compile(r"^(?P<connection>[A-Z-])(?P<direction>[<>|]) ?(?P<title>.*)$")
NOT_A_MESSAGE = "(not a message)"


class Message:
    """One example: connection ("-": belongs to none), direction ("|": the daemon closes), bytes as sent, value."""

    def __init__(self, line, head):
        self.line = line
        self.connection, self.direction, self.title = head["connection"], head["direction"], head["title"]
        self.data, self.value = b"", None
        self.value_text = None

    def __repr__(self):
        return "line %d, %s%s %s" % (self.line, self.connection, self.direction, self.title)


def messages(text):
    found = []
    for block in _BLOCK.finditer(text):
        found += _block_messages(block[1], text.count("\n", 0, block.start(1)) + 1)
    return found


def _block_messages(block, first_line):
    found = []
    for line, content in enumerate(block.splitlines(), first_line):
        head = _HEAD.match(content)
        if head:
            found.append(Message(line, head))
        elif content.startswith("=>"):
            found[-1].value_text = content[2:].strip()
        elif content.strip() and found and found[-1].value_text is not None:
            found[-1].value_text += " " + content.strip()
        elif content.strip():
            found[-1].data += bytes.fromhex(content.split("#")[0])
    for message in found:
        if message.value_text not in (None, NOT_A_MESSAGE):
            message.value = value(message.value_text)
    return found


# ---- tables -----------------------------------------------------------------------------------------------------------


def table(text, name):
    """The rows under <!-- table: name -->, without the head; a list of cells each, outer spaces removed."""
    rows = re.search(r"^<!-- table: %s -->\n((?:\|.*\n)+)" % re.escape(name), text, re.M)
    if not rows:
        raise ValueError("no table " + name)
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]] for line in rows[1].splitlines()]
    return cells[2:]


class BadInput:
    """What to send on a new connection, the code of the last reply (None: no reply), and whether the connection lives."""

    def __init__(self, name, sent, code, lives):
        self.name, self.sent, self.code, self.lives = name, sent, code, lives


def bad_inputs(text):
    found = []
    for name, sent, code, then in table(text, "bad input"):
        if then not in ("lives", "closed"):
            raise ValueError("%s: lives or closed, not %r" % (name, then))
        found.append(BadInput(name, items(sent.strip("`")), None if code == "none" else int(code), then == "lives"))
    return found


HELLO_ITEM = 'frame:95 01 00 ac "kyneta-store" 01 01'
_BYTES = re.compile(r'\s*(?:"([^"]*)"|([0-9a-f]{2})(?:\*(\d+))?)')


def items(text):
    """What a row of bad input sends: a list of ("hello", bytes), ("send", bytes) and ("eof", b"")."""
    found = []
    for item in text.split(";"):
        kind, _, rest = item.strip().partition(":")
        if kind == "hello":
            found.append(("hello", items(HELLO_ITEM)[0][1]))
        elif kind == "frame":
            found.append(("send", client.frame(_item_bytes(rest))))
        elif kind == "hex":
            found.append(("send", _item_bytes(rest)))
        elif kind == "eof":
            found.append(("eof", b""))
        else:
            raise ValueError("not an input: " + item)
    return found


def _item_bytes(text):
    out, at, text = b"", 0, text.rstrip()
    while at < len(text):
        match = _BYTES.match(text, at)
        if not match:
            raise ValueError("not bytes: " + text[at:])
        out += match[1].encode("utf-8") if match[1] is not None else bytes.fromhex(match[2]) * int(match[3] or 1)
        at = match.end()
    return out


# ---- writing the bytes of examples ----------------------------------------------------------------------------------------

WIDTH = 18      # bytes in a line with a comment
LONG = 32       # bytes in a line of a long text


class _Dump:
    """Bytes with comments, in lines; short neighbours share one."""

    def __init__(self):
        self.lines = []             # [bytes, [comment, …]]
        self.closed = True          # the next one begins a line

    def add(self, data, comment):
        last = self.lines[-1] if self.lines else None
        if not self.closed and len(last[0]) + len(data) <= WIDTH and len(", ".join(last[1] + [comment])) <= 62:
            last[0] += data
            last[1].append(comment)
        else:
            self.lines.append([data, [comment]])
        self.closed = len(data) > WIDTH

    def next_line(self):
        self.closed = True

    def text(self):
        out = []
        for data, comments in self.lines:
            head = len(data) if len(data) <= WIDTH else 1 if data[0] < 0xc0 else 2 if data[0] in (0xd9, 0xc4) else 3
            out.append("%-*s  # %s" % (WIDTH * 3 - 1, data[:head].hex(" "), ", ".join(comments)))
            for at in range(head, len(data), LONG):
                out.append(data[at:at + LONG].hex(" "))
        return out


def _head(packed_value):
    """Only the head of an array or map."""
    empty = [None] * len(packed_value) if isinstance(packed_value, list) else dict.fromkeys(map(str, range(len(packed_value))))
    return client.pack(empty)[:1 if len(packed_value) < 16 else 3]


def _dump_value(dump, name, found):
    if name == "records":
        dump.add(_head(found), "records: %d" % len(found))
        for record in found:
            _dump_record(dump, record)
        dump.next_line()
    elif name == "stats" or (name == "store" and found):
        dump.add(_head(found), "%s: map of %d" % (name, len(found)))
        for key, element in found.items():
            dump.next_line()
            dump.add(client.pack(key), json.dumps(key))
            dump.add(client.pack(element), _brief(element))
        dump.next_line()
    elif isinstance(found, list) and name == "docs":
        dump.add(_head(found), "docs: %d" % len(found))
        for element in found:
            dump.add(client.pack(element), _brief(element))
    else:
        dump.add(client.pack(found), ("%s %s" % (name, _brief(found))).strip())


def _dump_record(dump, record):
    dump.next_line()
    if record[0] == 0:
        dump.add(_head(record) + client.pack(record[0]), "record: metadata")
        dump.add(client.pack(record[1]), _brief(record[1]))
        return
    dump.add(_head(record) + client.pack(record[0]), "record: entry")
    for name, element in zip(("kind", "encoding", "version", "data", "lineage"), record[1:]):
        dump.add(client.pack(element), "%s %s" % (name, _brief(element)))


def _brief(found):
    if found is None or isinstance(found, bool):
        return {None: "nil", True: "true", False: "false"}[found]
    if isinstance(found, str):
        return "str of %d" % len(found.encode()) if len(found.encode()) > 12 else json.dumps(found, ensure_ascii=False)
    if isinstance(found, bytes):
        return "bin of %d" % len(found)
    if isinstance(found, list):
        return "[%s]" % ", ".join(map(_brief, found))
    return str(found)


def dump(message, operation):
    """The lines of bytes of one example; @operation is that of the request (for a reply, of the one it answers)."""
    found = plain(message.value)
    body = client.pack(found)
    out = _Dump()
    out.add(struct.pack(">I", len(body)), "%d bytes" % len(body))
    out.add(_head(found), "array of %d" % len(found))
    out.add(client.pack(found[0]), "id %d" % found[0] if found[0] else "unasked")
    if message.direction == ">":
        out.add(client.pack(found[1]), "op %d %s" % (found[1], dict(enumerate(OPERATIONS)).get(found[1], "?")))
        names = ARGUMENTS.get(found[1], ())
    elif found[0] == 0 and found[1] < 100:
        out.add(client.pack(found[1]), "event 1, draining")
        names = ()
    elif found[1]:
        out.add(client.pack(found[1]), "%d %s" % (found[1], client.CODES[found[1]]))
        names = ("message", "outcome", "detail", "detail")
    else:
        out.add(client.pack(found[1]), "done")
        names = RESULTS.get(operation, ())
    for name, element in zip(tuple(names) + ("",) * len(found), found[2:]):
        _dump_value(out, name, element)
    return out.text()


def rewrite(text):
    """The document with the bytes of every example made anew from its value."""
    operations = {}

    def block(match):
        out = []
        for message in _block_messages(match[1], 0):
            unasked = message.connection == "-" and message.value[0] == 0
            out += [""] if out and (message.direction == ">" or unasked) else []
            out.append(("%s%s %s" % (message.connection, message.direction, message.title)).rstrip())
            if message.direction == "|":
                continue
            if message.value_text == NOT_A_MESSAGE:
                out.append(message.data.hex(" "))
            else:
                found = plain(message.value)
                if message.direction == ">":
                    operations[message.connection, found[0]] = found[1]
                out += dump(message, operations.get((message.connection, found[0])))
            out.append("=> " + message.value_text)
        return "```example\n" + "\n".join(out) + "\n```"
    return _BLOCK.sub(block, text)


if __name__ == "__main__":
    rewritten = rewrite(read())
    with open(PATH, "w", encoding="utf-8") as document:
        document.write(rewritten)
