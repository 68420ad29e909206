/*
 * allocations: count them, and let one of them fail. Linked with --wrap for malloc, calloc and realloc.
 *
 * Only what the program under test itself calls is counted; libraries keep their own way to the allocator.
 */
#ifndef KYNETA_TESTS_UNIT_ALLOCATIONS_H
#define KYNETA_TESTS_UNIT_ALLOCATIONS_H

#include <stddef.h>
#include <stdint.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static unsigned long allocations_made;
static unsigned long allocations_until_failure; /* 0: none fails; 1: the next one and all after it fail */

static inline int allocation_fails(void)
{
	allocations_made++;
	if (allocations_until_failure == 0)
		return 0;
	if (allocations_until_failure == 1)
		return 1;
	allocations_until_failure--;
	return 0;
}

void *__wrap_malloc(size_t size)
{
	return allocation_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return allocation_fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	return allocation_fails() ? NULL : __real_realloc(memory, size);
}

#endif
