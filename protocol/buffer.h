/*
 * buffer: bytes that grow, for what is being written.
 *
 * A failed allocation is sticky: later calls do nothing, and the one who finishes the buffer
 * looks at `failed` once. So encoders read as straight lines.
 */
#ifndef KYNETA_PROTOCOL_BUFFER_H
#define KYNETA_PROTOCOL_BUFFER_H

#include "protocol/span.h"

struct buffer {
	uint8_t *data;
	size_t size;
	size_t capacity;
	bool failed;
};

#define BUFFER_EMPTY ((struct buffer){NULL, 0, 0, false})

/* buffer_free(buffer) - release the bytes; the buffer is empty and usable afterwards. */
void buffer_free(struct buffer *buffer);

/* buffer_reserve(buffer, extra) - make room for @extra more bytes. False (and failed set) if there is no memory. */
bool buffer_reserve(struct buffer *buffer, size_t extra);

/* buffer_append(buffer, data, size) - copy bytes to the end. */
void buffer_append(struct buffer *buffer, const void *data, size_t size);

/* buffer_append_byte(buffer, byte) - one byte to the end. */
void buffer_append_byte(struct buffer *buffer, uint8_t byte);

/* buffer_reset(buffer) - forget the content and the failure, keep the memory. */
void buffer_reset(struct buffer *buffer);

static inline struct span buffer_span(const struct buffer *buffer)
{
	return (struct span){buffer->data, buffer->size};
}

#endif
