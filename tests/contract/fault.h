/*
 * fault: what a test may do to the daemon's disk.
 *
 * libfault.so is loaded in front of the C library into a daemon that a test starts (stored_start with faults). It
 * shares this struct with the test, through a file that both map: the test reads the counts and sets the faults, at any
 * time. Only the calls that SQLite makes for its files are looked at (pread, pwrite, fsync, fdatasync, open), and those
 * for the reserve (posix_fallocate, unlink).
 */
#ifndef KYNETA_TESTS_CONTRACT_FAULT_H
#define KYNETA_TESTS_CONTRACT_FAULT_H

#include <stdatomic.h>
#include <stdint.h>

#define FAULT_FILE_VARIABLE "KYNETA_FAULT_FILE"

struct fault_control {
	_Atomic uint32_t syncs;	      /* begun: fsync and fdatasync */
	_Atomic uint32_t syncs_ended; /* and returned */
	_Atomic uint32_t hold;	      /* not 0: every sync waits until it is (a futex: fault_release) */
	_Atomic int sync_error;	      /* errno of every sync; 0: none */
	_Atomic int write_error;      /* errno of every write and reservation; 0: none */
	_Atomic int read_error;	      /* errno of every read; 0: none */
	_Atomic int open_error;	      /* errno of every attempt to open a file of a write-ahead log; 0: none */
	_Atomic int reserve_helps; /* not 0: once the reserve is removed, writes succeed (reservations still do not) */
};

#endif
