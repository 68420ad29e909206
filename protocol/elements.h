/*
 * elements: read a positional array. Inside protocol/ only.
 *
 * An element that is absent at the end means nil; elements beyond those asked for are passed over. Each element_ call
 * takes the next element if it is of that type and returns true, else leaves everything as it is.
 */
#ifndef KYNETA_PROTOCOL_ELEMENTS_H
#define KYNETA_PROTOCOL_ELEMENTS_H

#include "protocol/message.h"

struct elements {
	struct unpack unpack;
	uint32_t left;
};

/* elements_enter(unpack, elements) - the elements of the array that is next at @unpack, which stays where it is. */
static inline bool elements_enter(const struct unpack *unpack, struct elements *elements)
{
	elements->unpack = *unpack;
	return unpack_array(&elements->unpack, &elements->left);
}

/* elements_leave(elements, unpack) - pass over what is left of the array; @unpack then stands behind it. */
bool elements_leave(struct elements *elements, struct unpack *unpack);

static inline bool element_nil(struct elements *elements)
{
	if (elements->left == 0)
		return true;
	if (!unpack_nil(&elements->unpack))
		return false;
	elements->left--;
	return true;
}

static inline bool element_bool(struct elements *elements, bool *out)
{
	if (elements->left == 0 || !unpack_bool(&elements->unpack, out))
		return false;
	elements->left--;
	return true;
}

static inline bool element_uint(struct elements *elements, uint64_t *out)
{
	if (elements->left == 0 || !unpack_uint(&elements->unpack, out))
		return false;
	elements->left--;
	return true;
}

static inline bool element_str(struct elements *elements, struct span *out)
{
	if (elements->left == 0 || !unpack_str(&elements->unpack, out))
		return false;
	elements->left--;
	return true;
}

static inline bool element_bin(struct elements *elements, struct span *out)
{
	if (elements->left == 0 || !unpack_bin(&elements->unpack, out))
		return false;
	elements->left--;
	return true;
}

static inline bool element_map(struct elements *elements, struct unpack *map, uint32_t *pairs)
{
	*map = elements->unpack;
	if (elements->left == 0 || !unpack_map(map, pairs) || !unpack_skip(&elements->unpack))
		return false;
	elements->left--;
	return true;
}

/* element_position(elements, out) - [generation, next] */
bool element_position(struct elements *elements, struct position *out);

/*
 * element_records(elements, list) - an array of records, every one checked. NULL, or a static text that says what is
 * wrong.
 */
const char *element_records(struct elements *elements, struct record_list *list);

/* pack_position(out, position) - [generation, next] */
void pack_position(struct buffer *out, struct position position);

/* record_packed_max(record) - what record_pack() needs at most. */
size_t record_packed_max(const struct record *record);

#endif
