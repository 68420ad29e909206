/*
 * pack: write msgpack to a buffer. Inside protocol/ only.
 *
 * The bytes are msgpack-c's. Whoever writes a message reserves about what it needs first; after that each of these is
 * a handful of stores.
 */
#ifndef KYNETA_PROTOCOL_PACK_H
#define KYNETA_PROTOCOL_PACK_H

#include "protocol/buffer.h"

#include <msgpack.h>

/* What the heads of a message with a dozen elements need at most. */
#define PACK_HEADS_SIZE 128

static inline int pack_write(void *data, const char *bytes, size_t size)
{
	struct buffer *out = data;

	if (size <= out->capacity - out->size && !out->failed) {
		memcpy(out->data + out->size, bytes, size);
		out->size += size;
	} else {
		buffer_append(out, bytes, size);
	}
	return 0;
}

static inline void pack_nil(struct buffer *out)
{
	msgpack_packer packer = {out, pack_write};

	msgpack_pack_nil(&packer);
}

static inline void pack_bool(struct buffer *out, bool value)
{
	msgpack_packer packer = {out, pack_write};

	if (value)
		msgpack_pack_true(&packer);
	else
		msgpack_pack_false(&packer);
}

static inline void pack_uint(struct buffer *out, uint64_t value)
{
	msgpack_packer packer = {out, pack_write};

	msgpack_pack_uint64(&packer, value);
}

static inline void pack_array(struct buffer *out, size_t count)
{
	msgpack_packer packer = {out, pack_write};

	msgpack_pack_array(&packer, count);
}

static inline void pack_map(struct buffer *out, size_t pairs)
{
	msgpack_packer packer = {out, pack_write};

	msgpack_pack_map(&packer, pairs);
}

/* A length of 4 GiB cannot be written; such a frame could not be sent either. */
static inline bool pack_fits(struct buffer *out, struct span value)
{
	if (value.size > UINT32_MAX)
		out->failed = true;
	return !out->failed;
}

static inline void pack_str(struct buffer *out, struct span value)
{
	msgpack_packer packer = {out, pack_write};

	if (!pack_fits(out, value))
		return;
	msgpack_pack_str(&packer, value.size);
	buffer_append(out, value.data, value.size);
}

static inline void pack_bin(struct buffer *out, struct span value)
{
	msgpack_packer packer = {out, pack_write};

	if (!pack_fits(out, value))
		return;
	msgpack_pack_bin(&packer, value.size);
	buffer_append(out, value.data, value.size);
}

#endif
