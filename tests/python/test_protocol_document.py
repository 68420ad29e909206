#!/usr/bin/env python3
"""PROTOCOL.md keeps its word: tables against the headers, examples against their bytes, the conversation against a daemon."""

import os
import re

import kyneta_store_client as client
import protocol_document as document
from harness import ROOT, Daemon, expect_equal, main, test

TEXT = document.read()


def header(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read().replace("\\\n", " ")


# ---- tables -----------------------------------------------------------------------------------------------------------


def error_list():
    """ERROR_LIST of protocol/error.h: (code, name, meaning) each."""
    return [(int(code), name, meaning) for code, name, meaning in
            re.findall(r'X\([A-Z_]+, (\d+), (\w+), "([^"]*)"\)', header("protocol", "error.h"))]


@test("the table of errors is ERROR_LIST")
def _():
    written = [(int(row[0]), row[1].strip("`"), row[2]) for row in document.table(TEXT, "errors")]
    expect_equal(written, error_list())
    expect_equal(client.CODES, {code: name for code, name, _ in written}, "CODES of the client")


@test("every error has an example")
def _():
    shown = {message.value[1] for message in document.messages(TEXT) if message.direction == "<" and message.value[1] >= 100}
    expect_equal(sorted({code for code, _, _ in error_list()} - shown), [])


@test("the table of operations is OPERATION_LIST, and every operation has an example")
def _():
    listed = [(int(number), name) for number, name in
              re.findall(r"X\([A-Z_]+, (\d+), (\w+)\)", header("protocol", "message.h"))]
    written = [(int(number), name) for number, name in re.findall(r"^\| (\d+) \| `(\w+)` \|", TEXT, re.M) if int(number) < 100]
    expect_equal(written, listed)
    expect_equal(list(enumerate(document.OPERATIONS)), listed)
    requests = {message.value[1] for message in document.messages(TEXT) if message.direction == ">" and message.value}
    expect_equal(sorted({number for number, _ in listed} - requests), [])
    replies = answered_operations()
    expect_equal(sorted({number for number, _ in listed} - replies), [])


def answered_operations():
    asked, found = {}, set()
    for message in document.messages(TEXT):
        if message.value is None:
            continue
        if message.direction == ">":
            asked[message.connection, message.value[0]] = message.value[1]
        elif message.value[0] and message.value[1] == 0:
            found.add(asked[message.connection, message.value[0]])
    return found


UNITS = {"MiB": 1 << 20, "s": 1, "days": 86400, "": 1}


@test("the table of limits is in OPTION_TABLE, with the same defaults")
def _():
    options = dict(re.findall(r'X\(\w+, \w+, \w+, "([a-z-]+)", ([^,]+),', header("daemon", "config.h")))
    for name, default, _ in document.table(TEXT, "limits"):
        number, unit = re.fullmatch(r"([\d,]+) ?(\w*)", default).groups()
        factors = options[name.strip("`")].replace("CONFIG_MIB", str(1 << 20)).split("*")
        expected = 1
        for factor in factors:
            expected *= int(factor)
        expect_equal(int(number.replace(",", "")) * UNITS[unit], expected, name)


# ---- examples ---------------------------------------------------------------------------------------------------------


@test("every example's bytes say what stands beside them, in the shortest forms")
def _():
    for message in document.messages(TEXT):
        if message.direction == "|":
            continue
        if message.value_text == document.NOT_A_MESSAGE:
            expect_no_message(message)
            continue
        body = message.data[4:]
        expect_equal(int.from_bytes(message.data[:4], "big"), len(body), "%r: length" % message)
        expect_equal(client.unpack(body), document.plain(message.value), repr(message))
        expect_equal(client.pack(document.plain(message.value)), body, "%r: packed again" % message)


def expect_no_message(message):
    if int.from_bytes(message.data[:4], "big") != len(message.data) - 4:
        return
    try:
        client.unpack(message.data[4:])
    except ValueError:
        return
    raise AssertionError("%r is a message" % message)


@test("the comments beside the bytes are those that the values give")
def _():
    if document.rewrite(TEXT) != TEXT:
        raise AssertionError("run tests/python/protocol_document.py")


@test("the table of bad input can be read, and names each case once")
def _():
    rows = document.bad_inputs(TEXT)
    names = [row.name for row in rows]
    expect_equal(len(set(names)), len(names))
    known = {0, None} | {code for code, _, _ in error_list()}
    for row in rows:
        if row.code not in known:
            raise AssertionError("%s: code %r" % (row.name, row.code))


@test("every link in the document leads somewhere")
def _():
    heads = {"#" + re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.*)$", TEXT, re.M)}
    expect_equal(sorted(set(re.findall(r"\]\((#[^)]*)\)", TEXT)) - heads), [])


# ---- the conversation -------------------------------------------------------------------------------------------------


class Conversation:
    """Plays the client's part against a daemon. What stands behind ~ in a reply is remembered for later requests."""

    def __init__(self, path):
        self.path = path
        self.connections = {}
        self.meaning = {}       # a uint or bin behind ~ -> what this daemon says instead

    def play(self, message):
        if message.direction == ">":
            self.connection(message).send_bytes(self.request(message))
        elif message.direction == "<":
            found = self.connection(message).receive()
            if found is None:
                raise AssertionError("%r: the daemon closed the connection" % message)
            self.compare(client.trimmed(found), client.trimmed(message.value), message)
        else:
            expect_equal(self.connection(message).receive_bytes(), None, repr(message))

    def connection(self, message):
        if message.connection not in self.connections:
            self.connections[message.connection] = client.Connection(self.path)
        return self.connections[message.connection]

    def request(self, message):
        if message.value is None:
            return message.data
        return client.frame(client.pack(self.spoken(message.value)))

    def spoken(self, value):
        if isinstance(value, document.Any):
            return self.meaning.get(value.example, value.example)
        if isinstance(value, list):
            return [self.spoken(element) for element in value]
        return value

    def compare(self, found, expected, message):
        if isinstance(expected, document.Any):
            expect_equal(type(found), type(expected.example), "%r: type" % message)
            if isinstance(found, dict):
                self.compare_members(found, expected.example, message)
            elif not isinstance(found, str):
                expect_equal(self.meaning.setdefault(expected.example, found), found, "%r: %r again" % (message, expected))
        elif isinstance(expected, list):
            expect_equal(len(found), len(expected), "%r: elements of %r" % (message, found))
            for one, other in zip(found, expected):
                self.compare(one, other, message)
        else:
            expect_equal(found, expected, repr(message))

    def compare_members(self, found, expected, message):
        for key, value in expected.items():
            expect_equal(type(found.get(key)), type(value), "%r: %s" % (message, key))


@test("a daemon holds up its part of the conversation")
def _():
    with Daemon() as daemon:
        conversation = Conversation(daemon.socket)
        for message in document.messages(TEXT):
            if message.connection != "-":
                conversation.play(message)
        for connection in conversation.connections.values():
            connection.close()


if __name__ == "__main__":
    main()
