/*
 * seen: which documents an import has met. Eight bytes of the SHA-256 of each id, in an open hash table.
 */
#ifndef KYNETA_CTL_SEEN_H
#define KYNETA_CTL_SEEN_H

#include "protocol/span.h"

struct seen;

/* seen_new() - none yet. NULL: no memory. */
struct seen *seen_new(void);

void seen_free(struct seen *seen);

enum seen_result { SEEN_FAILED = -1, SEEN_NEW = 0, SEEN_BEFORE = 1 };

/* seen_add(seen, id) - note @id. Was it noted before? SEEN_FAILED: no memory, or libcrypto failed. */
enum seen_result seen_add(struct seen *seen, struct span id);

/* seen_has(seen, id) - was it noted? */
bool seen_has(const struct seen *seen, struct span id);

#endif
