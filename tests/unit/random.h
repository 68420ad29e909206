/*
 * random: the same numbers in every run (xorshift64*), so that a failure can be seen again.
 */
#ifndef KYNETA_TESTS_UNIT_RANDOM_H
#define KYNETA_TESTS_UNIT_RANDOM_H

#include <stdint.h>

struct random {
	uint64_t state; /* not 0 */
};

static inline uint64_t random_next(struct random *random)
{
	random->state ^= random->state >> 12;
	random->state ^= random->state << 25;
	random->state ^= random->state >> 27;
	return random->state * UINT64_C(0x2545f4914f6cdd1d);
}

/* random_below(random, limit) - 0 … @limit - 1 */
static inline uint32_t random_below(struct random *random, uint32_t limit)
{
	return (uint32_t)((random_next(random) >> 32) % limit);
}

/* random_number(random) - of any magnitude, each number of bits as likely as any other. */
static inline uint64_t random_number(struct random *random)
{
	return random_next(random) >> random_below(random, 64);
}

#endif
