/*
 * span: bytes that somebody else owns.
 *
 * Everything decoded from a frame is a view into that frame: valid as long as the frame is.
 */
#ifndef KYNETA_PROTOCOL_SPAN_H
#define KYNETA_PROTOCOL_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const uint8_t *data; /* may be NULL only if size is 0 */
	size_t size;
};

#define SPAN_NONE	   ((struct span){NULL, 0})
#define SPAN_LITERAL(text) ((struct span){(const uint8_t *)(text), sizeof(text) - 1})

static inline struct span span_of(const void *data, size_t size)
{
	return (struct span){data, size};
}

static inline struct span span_of_string(const char *string)
{
	return (struct span){(const uint8_t *)string, strlen(string)};
}

static inline bool span_equal(struct span a, struct span b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* The order of listings: by bytes, a prefix before what it begins. */
static inline int span_compare(struct span a, struct span b)
{
	size_t common = a.size < b.size ? a.size : b.size;
	int order = common == 0 ? 0 : memcmp(a.data, b.data, common);

	if (order != 0)
		return order;
	return a.size < b.size ? -1 : a.size > b.size;
}

#endif
