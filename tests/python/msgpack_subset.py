"""The part of msgpack that the protocol speaks (PROTOCOL.md, Values): pack(value), unpack(data). Standard library only.

nil, bool, uint, str, bin, array and map are None, bool, int, str, bytes, list and dict.
"""

import struct


def pack(value):
    """The bytes of a value, in the shortest forms."""
    out = bytearray()
    _pack(out, value)
    return bytes(out)


def _pack(out, value):
    if value is None:
        out.append(0xc0)
    elif value is False or value is True:
        out.append(0xc3 if value else 0xc2)
    elif isinstance(value, int):
        _pack_uint(out, value)
    elif isinstance(value, str):
        text = value.encode("utf-8")
        _pack_head(out, len(text), 0xa0, 32, (0xd9, 0xda, 0xdb))
        out += text
    elif isinstance(value, (bytes, bytearray, memoryview)):
        _pack_head(out, len(value), 0, 0, (0xc4, 0xc5, 0xc6))
        out += value
    elif isinstance(value, (list, tuple)):
        _pack_head(out, len(value), 0x90, 16, (None, 0xdc, 0xdd))
        for element in value:
            _pack(out, element)
    elif isinstance(value, dict):
        _pack_head(out, len(value), 0x80, 16, (None, 0xde, 0xdf))
        for key, element in value.items():
            _pack(out, key)
            _pack(out, element)
    else:
        raise TypeError("no msgpack form for %r" % (value,))


def _pack_uint(out, value):
    if 0 <= value < 0x80:
        out.append(value)
    elif 0 <= value < 0x100:
        out += struct.pack(">BB", 0xcc, value)
    elif 0 <= value < 0x10000:
        out += struct.pack(">BH", 0xcd, value)
    elif 0 <= value < 0x100000000:
        out += struct.pack(">BI", 0xce, value)
    else:
        out += struct.pack(">BQ", 0xcf, value)  # struct.error for what is no uint


def _pack_head(out, size, fix, fix_below, wide):
    """The head of something with a length; @wide are its forms with one, two and four bytes of length."""
    if size < fix_below:
        out.append(fix | size)
    elif size < 0x100 and wide[0] is not None:
        out += struct.pack(">BB", wide[0], size)
    elif size < 0x10000:
        out += struct.pack(">BH", wide[1], size)
    else:
        out += struct.pack(">BI", wide[2], size)


def unpack(data):
    """The one value in @data, whatever forms it is written in. ValueError if that is not what is there."""
    try:
        value, end = _unpack(memoryview(data), 0)
    except (IndexError, struct.error, RecursionError) as error:
        raise ValueError("cut short or too deep") from error
    if end != len(data):
        raise ValueError("%d bytes left over" % (len(data) - end))
    return value


_NUMBERS = {0xca: ">f", 0xcb: ">d", 0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q",
            0xd0: ">b", 0xd1: ">h", 0xd2: ">i", 0xd3: ">q"}
_LENGTHS = {0xd9: ">B", 0xda: ">H", 0xdb: ">I", 0xc4: ">B", 0xc5: ">H", 0xc6: ">I",
            0xdc: ">H", 0xdd: ">I", 0xde: ">H", 0xdf: ">I"}


def _unpack(data, at):
    tag = data[at]
    at += 1
    if tag < 0x80:
        return tag, at
    if tag < 0x90:
        return _unpack_map(data, at, tag & 0x0f)
    if tag < 0xa0:
        return _unpack_array(data, at, tag & 0x0f)
    if tag < 0xc0:
        return _unpack_text(data, at, tag & 0x1f)
    if tag >= 0xe0:
        return tag - 0x100, at
    if tag in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[tag], at
    if tag in _NUMBERS:
        form = _NUMBERS[tag]
        return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
    if tag in _LENGTHS:
        form = _LENGTHS[tag]
        size, at = struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
        if tag >= 0xde:
            return _unpack_map(data, at, size)
        if tag >= 0xdc:
            return _unpack_array(data, at, size)
        if tag >= 0xd9:
            return _unpack_text(data, at, size)
        return _unpack_bytes(data, at, size)
    raise ValueError("0x%02x is not used here" % tag)


def _unpack_bytes(data, at, size):
    if len(data) - at < size:
        raise ValueError("cut short")
    return bytes(data[at:at + size]), at + size


def _unpack_text(data, at, size):
    raw, at = _unpack_bytes(data, at, size)
    return raw.decode("utf-8"), at


def _unpack_array(data, at, count):
    elements = []
    for _ in range(count):
        element, at = _unpack(data, at)
        elements.append(element)
    return elements, at


def _unpack_map(data, at, pairs):
    found = {}
    for _ in range(pairs):
        key, at = _unpack(data, at)
        found[key], at = _unpack(data, at)
    return found, at
