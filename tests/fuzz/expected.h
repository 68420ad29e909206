/*
 * expected: what a daemon must answer to a stream of bytes, by PROTOCOL.md alone: which requests are in it, that each
 * of them gets one reply, with which code if only one is possible, and how the connection ends.
 *
 * What becomes of a request that is in order depends on the store, and is left open.
 */
#ifndef KYNETA_TESTS_FUZZ_EXPECTED_H
#define KYNETA_TESTS_FUZZ_EXPECTED_H

#include "tests/fuzz/fuzz.h"

#define EXPECTED_MAX 4096 /* requests of one stream; more are cut off it */

/* Any code is right. */
#define EXPECTED_ANY (-1)

struct expected_reply {
	uint64_t id;
	uint64_t operation;
	int code; /* or EXPECTED_ANY */
	bool answered;
};

struct expected {
	struct expected_reply replies[EXPECTED_MAX];
	unsigned count, answered;
	int end_code;	/* of the error about the connection itself that comes last; 0: none */
	bool ended;	/* nothing may come any more */
	size_t size;	/* how much of the stream this is about */
	bool refused;	/* hello was: nothing behind it counts */
	bool has_hello; /* there was one that is in order: */
	struct hello hello;
	unsigned writes; /* answered, also with an error */
	bool closed;	 /* close was answered */
};

/* expected_read(expected, stream, frame_limit) - what must come. @stream must outlive it. */
void expected_read(struct expected *expected, struct span stream, size_t frame_limit);

/* expected_reply(expected, body) - this came; it must be expected. The reply, decoded. */
struct reply expected_reply(struct expected *expected, struct span body);

/* expected_end(expected) - nothing more came. */
void expected_end(const struct expected *expected);

#endif
