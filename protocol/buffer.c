/*
 * buffer: growth is by doubling, so that appending costs the same however large the buffer has become.
 */
#include "protocol/buffer.h"

#include <stdlib.h>

/* Enough for any reply but a page. */
#define BUFFER_FIRST_CAPACITY 256

void buffer_free(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = BUFFER_EMPTY;
}

bool buffer_reserve(struct buffer *buffer, size_t extra)
{
	size_t wanted, capacity;
	uint8_t *data;

	if (buffer->failed)
		return false;
	if (extra <= buffer->capacity - buffer->size)
		return true;
	/* No object is larger than PTRDIFF_MAX, so doubling below it cannot overflow. */
	if (extra > (size_t)PTRDIFF_MAX - buffer->size)
		goto fail;
	wanted = buffer->size + extra;
	capacity = buffer->capacity < BUFFER_FIRST_CAPACITY ? BUFFER_FIRST_CAPACITY : buffer->capacity * 2;
	if (capacity < wanted)
		capacity = wanted;
	data = realloc(buffer->data, capacity);
	if (data == NULL)
		goto fail;
	buffer->data = data;
	buffer->capacity = capacity;
	return true;

fail:
	buffer->failed = true;
	return false;
}

void buffer_append(struct buffer *buffer, const void *data, size_t size)
{
	if (size == 0 || !buffer_reserve(buffer, size))
		return;
	memcpy(buffer->data + buffer->size, data, size);
	buffer->size += size;
}

void buffer_append_byte(struct buffer *buffer, uint8_t byte)
{
	if (!buffer_reserve(buffer, 1))
		return;
	buffer->data[buffer->size++] = byte;
}

void buffer_reset(struct buffer *buffer)
{
	buffer->size = 0;
	buffer->failed = false;
}
