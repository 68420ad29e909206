/*
 * memory: a process that runs out of memory when a test says so.
 *
 * libmemory.so is loaded in front of the C library into a daemon or a client that a test starts. While it is armed
 * every allocation of the process counts, whoever makes it: the daemon, SQLite, libuv, the client library, the C
 * library. The Nth fails, and so many after it. The test shares the struct through a file that both map;
 * tests/faults/memory.py reads its names from here.
 */
#ifndef KYNETA_TESTS_FAULTS_MEMORY_H
#define KYNETA_TESTS_FAULTS_MEMORY_H

#include <stdatomic.h>
#include <stdint.h>

#define MEMORY_FILE_VARIABLE "KYNETA_MEMORY_FILE"

struct memory_control {
	_Atomic uint32_t armed;
	_Atomic uint32_t fail_at; /* 0: none */
	_Atomic uint32_t fail_times;
	_Atomic uint32_t count;	 /* allocations while armed */
	_Atomic uint32_t failed; /* of them failed */
};

#endif
