/*
 * frame: the length is known only when the message is written, so its place is left open and filled in at the end.
 */
#include "protocol/frame.h"

size_t frame_begin(struct buffer *out)
{
	static const uint8_t header[FRAME_HEADER_SIZE];
	size_t mark = out->size;

	buffer_append(out, header, sizeof(header));
	return mark;
}

void frame_end(struct buffer *out, size_t mark)
{
	size_t length;

	if (out->failed)
		return;
	length = out->size - mark - FRAME_HEADER_SIZE;
	if (length > UINT32_MAX) {
		out->failed = true;
		return;
	}
	frame_put_length(out->data + mark, (uint32_t)length);
}
