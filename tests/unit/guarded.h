/*
 * guarded: bytes that end where memory ends, so that reading one too many is a crash in any build.
 */
#ifndef KYNETA_TESTS_UNIT_GUARDED_H
#define KYNETA_TESTS_UNIT_GUARDED_H

#include "protocol/span.h"

#include <criterion/criterion.h>
#include <sys/mman.h>
#include <unistd.h>

struct guarded {
	uint8_t *start; /* of the mapping */
	size_t room;	/* bytes before the page that cannot be read */
	size_t page;
};

/* guarded_make(room) - a place for at most @room bytes. */
static inline struct guarded guarded_make(size_t room)
{
	struct guarded guarded;

	guarded.page = (size_t)sysconf(_SC_PAGESIZE);
	guarded.room = (room + guarded.page) / guarded.page * guarded.page;
	guarded.start =
	    mmap(NULL, guarded.room + guarded.page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert(guarded.start != MAP_FAILED);
	cr_assert_eq(mprotect(guarded.start + guarded.room, guarded.page, PROT_NONE), 0);
	return guarded;
}

/* guarded_copy(guarded, bytes) - the bytes, at the very end of the place; valid until the next copy. */
static inline struct span guarded_copy(const struct guarded *guarded, struct span bytes)
{
	uint8_t *at = guarded->start + guarded->room - bytes.size;

	cr_assert_leq(bytes.size, guarded->room);
	if (bytes.size > 0)
		memcpy(at, bytes.data, bytes.size);
	return span_of(at, bytes.size);
}

static inline void guarded_free(struct guarded *guarded)
{
	munmap(guarded->start, guarded->room + guarded->page);
}

#endif
