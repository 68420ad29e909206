/*
 * frame: a u32 big-endian length, then that many bytes: exactly one msgpack array.
 */
#ifndef KYNETA_PROTOCOL_FRAME_H
#define KYNETA_PROTOCOL_FRAME_H

#include "protocol/buffer.h"

#define FRAME_HEADER_SIZE 4

/* Before hello nobody needs more. */
#define FRAME_HELLO_MAX 4096

/* The default of the daemon's limit for requests, in bytes without the header. */
#define FRAME_LIMIT_DEFAULT (64u << 20)

/* What a reply may have at most: a page is small, but a record larger than a page comes alone. */
#define FRAME_REPLY_MAX (1u << 30)

static inline uint32_t frame_length(const uint8_t header[FRAME_HEADER_SIZE])
{
	return (uint32_t)header[0] << 24 | (uint32_t)header[1] << 16 | (uint32_t)header[2] << 8 | header[3];
}

static inline void frame_put_length(uint8_t header[FRAME_HEADER_SIZE], uint32_t length)
{
	header[0] = (uint8_t)(length >> 24);
	header[1] = (uint8_t)(length >> 16);
	header[2] = (uint8_t)(length >> 8);
	header[3] = (uint8_t)length;
}

/* frame_begin(out) - leave room for a header; returns the mark that frame_end wants. Frames can follow each other. */
size_t frame_begin(struct buffer *out);

/* frame_end(out, mark) - everything since frame_begin is the frame: write its length. A failed buffer stays failed. */
void frame_end(struct buffer *out, size_t mark);

#endif
