"""A daemon's disk that does what a test wants: libfault.so (tests/contract/fault.h) from Python."""

import ctypes
import mmap
import os
import struct

from harness import Skip

FUTEX, FUTEX_WAKE = 202, 1      # of x86-64


def library():
    path = os.path.join(os.environ.get("KYNETA_BUILD", ""), "tests", "contract", "libfault.so")
    if not os.path.exists(path):
        raise Skip("there is no libfault.so in KYNETA_BUILD")
    return path


class Faults:
    """The words that test and daemon share, in a file of its own; environment() is for the daemon."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as file:
            file.write(bytes(4096))
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 4096)

    def environment(self):
        return {"LD_PRELOAD": library(), "KYNETA_FAULT_FILE": self.path,
                "ASAN_OPTIONS": ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0"]))}

    def syncs(self):
        """Those that have begun, and those that have ended."""
        return struct.unpack_from("=II", self.memory, 0)

    def hold_syncs(self, on):
        """Every sync waits, as long as it is on."""
        word = ctypes.c_uint32.from_buffer(self.memory, 8)
        word.value = int(on)
        ctypes.CDLL(None).syscall(FUTEX, ctypes.byref(word), FUTEX_WAKE, 2 ** 31 - 1)

    def fail_writes(self, error):
        """Every write fails with this errno; 0: none."""
        struct.pack_into("=i", self.memory, 16, error)
