/*
 * unpack: read msgpack in place, from bytes nobody vouches for.
 *
 * unpack_check() looks at a whole frame once: structure against the bytes that are there, depth, UTF-8.
 * After that the calls below only have to ask for the types they expect. They also stay within their bytes on unchecked
 * input: nothing here trusts a declared length. No allocation.
 */
#ifndef KYNETA_PROTOCOL_UNPACK_H
#define KYNETA_PROTOCOL_UNPACK_H

#include "protocol/span.h"

/* Arrays and maps in each other, the outermost array counted. */
#define UNPACK_DEPTH_MAX 4

struct unpack {
	const uint8_t *at;
	const uint8_t *end;
};

enum unpack_type {
	UNPACK_END, /* no byte left */
	UNPACK_NIL,
	UNPACK_BOOL,
	UNPACK_UINT, /* also non-negative values in a signed form: libraries differ */
	UNPACK_NEGATIVE,
	UNPACK_FLOAT,
	UNPACK_STR,
	UNPACK_BIN,
	UNPACK_ARRAY,
	UNPACK_MAP,
	UNPACK_EXT,
	UNPACK_INVALID, /* 0xc1, or cut short */
};

/* unpack_check(bytes) - exactly one msgpack value, whole, at most UNPACK_DEPTH_MAX deep, every str valid UTF-8? */
bool unpack_check(struct span bytes);

static inline struct unpack unpack_start(struct span bytes)
{
	return (struct unpack){bytes.data, bytes.size == 0 ? bytes.data : bytes.data + bytes.size};
}

/* unpack_peek(unpack) - the type of the next value. */
enum unpack_type unpack_peek(const struct unpack *unpack);

/* Each takes the next value if it is of that type and returns true, else leaves everything as it is. */
bool unpack_nil(struct unpack *unpack);
bool unpack_bool(struct unpack *unpack, bool *out);
bool unpack_uint(struct unpack *unpack, uint64_t *out);
bool unpack_str(struct unpack *unpack, struct span *out);
bool unpack_bin(struct unpack *unpack, struct span *out);
bool unpack_array(struct unpack *unpack, uint32_t *count); /* enters it */
bool unpack_map(struct unpack *unpack, uint32_t *pairs);   /* enters it */

/* unpack_skip(unpack) - pass over the next value, whole. False if it is cut short or too deep. */
bool unpack_skip(struct unpack *unpack);

#endif
