"""The disk of a daemon, as a test wants it: the test's half of libdisk.so (disk.h tells what it does).

    disk = Disk(directory)
    disk.set(simulate=1, stop_kinds=SYNCS, stop_at=12, stop_mode=MODES["TEAR"], seed=3)
    Daemon(directory, environment=disk.environment())
    disk.control.stopped                            what happened, at any time

KINDS and MODES are by name what disk.h calls them; a set of kinds is made by kinds("READ", "WRITE"), and spelled
by spelled().
"""

import ctypes
import mmap
import os
import re

from harness import PROGRAM, ROOT

LIBRARY = os.path.join(os.path.dirname(PROGRAM), "..", "tests", "faults", "libdisk.so")

SHORT, SHORT_FULL = 1000, 1001

with open(os.path.join(ROOT, "tests", "faults", "disk.h"), encoding="utf-8") as _file:
    _header = _file.read()


def _names(list_name):
    text = _header[_header.index("#define %s(X)" % list_name):]
    return re.findall(r"^\s*X\((\w+),", text[:text.index("\n\n")], re.M)


def _numbers(list_name):
    return {name: number for number, name in enumerate(_names(list_name))}


KINDS, MODES = _numbers("DISK_KIND_LIST"), _numbers("DISK_STOP_LIST")


_SETS = {"SYNCS": [name for name in KINDS if name.startswith("SYNC_")],
         "CHANGES": ["WRITE", "TRUNCATE", "DELETE", "OPEN"],
         "LOCKS": ["LOCK", "SHM_LOCK"]}


def kinds(*names):
    return sum(1 << KINDS[one] for name in names for one in _SETS.get(name, [name]))


SYNCS, CHANGES, LOCKS = kinds("SYNCS"), kinds("CHANGES"), kinds("LOCKS")


def spelled(number):
    """A set of kinds as words joined by +, which kinds(*words.split("+")) understands; - for none."""
    words = []
    for name in [*_SETS, *KINDS]:
        if number & kinds(name) == kinds(name):
            words.append(name)
            number &= ~kinds(name)
    return "+".join(words) or "-"


class _Control(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in re.findall(r"^\t_Atomic uint32_t (\w+);", _header, re.M)] \
        + [("counts", ctypes.c_uint32 * len(KINDS))]


class Disk:
    def __init__(self, directory):
        self.path = os.path.join(directory, "disk")
        with open(self.path, "wb") as file:
            file.write(bytes(ctypes.sizeof(_Control)))
        with open(self.path, "r+b") as file:
            self.control = _Control.from_buffer(mmap.mmap(file.fileno(), 0))

    def environment(self):
        return {"LD_PRELOAD": LIBRARY, "KYNETA_DISK_FILE": self.path}

    def set(self, **fields):
        for name, value in fields.items():
            setattr(self.control, name, value)

    def count(self, kind):
        return self.control.counts[KINDS[kind]]

    def stopped_at(self):
        return list(KINDS)[self.control.stopped_at]
