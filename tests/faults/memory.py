"""The memory of a daemon or a client, as a test wants it: the test's half of libmemory.so (memory.h tells what it does)."""

import ctypes
import mmap
import os
import re

from harness import PROGRAM, ROOT

LIBRARY = os.path.join(os.path.dirname(PROGRAM), "..", "tests", "faults", "libmemory.so")

with open(os.path.join(ROOT, "tests", "faults", "memory.h"), encoding="utf-8") as _file:
    _fields = re.findall(r"^\t_Atomic uint32_t (\w+);", _file.read(), re.M)


class _Control(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in _fields]


class Memory:
    def __init__(self, directory):
        self.path = os.path.join(directory, "memory")
        with open(self.path, "wb") as file:
            file.write(bytes(ctypes.sizeof(_Control)))
        with open(self.path, "r+b") as file:
            self.control = _Control.from_buffer(mmap.mmap(file.fileno(), 0))

    def environment(self):
        return {"LD_PRELOAD": LIBRARY, "KYNETA_MEMORY_FILE": self.path}
