/*
 * notation: msgpack written as one would write it on paper, for tables of messages.
 *
 *   [2, 1, "doc", [[1, 0, 1, "v", b"\x00"]], nil, {"a": true}]
 *
 * "…" is a str, b"…" a bin, e"…" an ext (\xNN for any byte, a backslash before a quote or itself); numbers are the
 * shortest form, s8:5 s16:5 s32:5 s64:5 the signed forms and u8: … u64: the unsigned ones; f is a float.
 */
#ifndef KYNETA_TESTS_UNIT_NOTATION_H
#define KYNETA_TESTS_UNIT_NOTATION_H

#include "protocol/buffer.h"

#include <criterion/criterion.h>
#include <msgpack.h>
#include <stdlib.h>

static inline int notation_write(void *data, const char *bytes, size_t size)
{
	buffer_append(data, bytes, size);
	return 0;
}

static inline const char *notation_space(const char *at)
{
	while (*at == ' ' || *at == ',' || *at == ':')
		at++;
	return at;
}

static inline const char *notation_string(const char *at, struct buffer *string)
{
	char hex[3] = {0};

	for (at++; *at != '"'; at++) {
		cr_assert_neq(*at, 0, "a string without its end");
		if (*at == '\\' && at[1] == 'x') {
			memcpy(hex, at + 2, 2);
			buffer_append_byte(string, (uint8_t)strtoul(hex, NULL, 16));
			at += 3;
		} else {
			at += *at == '\\';
			buffer_append_byte(string, (uint8_t)*at);
		}
	}
	return at + 1;
}

/* The forms that choose their own width: u8:5, s64:-1 … */
static inline const char *notation_wide(const char *at, msgpack_packer *packer)
{
	bool is_signed = *at == 's';
	char *end;
	unsigned long width = strtoul(at + 1, &end, 10);
	unsigned long long value = strtoull(end + 1, &end, 10);

	if (width == 8)
		is_signed ? msgpack_pack_fix_int8(packer, (int8_t)value)
			  : msgpack_pack_fix_uint8(packer, (uint8_t)value);
	else if (width == 16)
		is_signed ? msgpack_pack_fix_int16(packer, (int16_t)value)
			  : msgpack_pack_fix_uint16(packer, (uint16_t)value);
	else if (width == 32)
		is_signed ? msgpack_pack_fix_int32(packer, (int32_t)value)
			  : msgpack_pack_fix_uint32(packer, (uint32_t)value);
	else
		is_signed ? msgpack_pack_fix_int64(packer, (int64_t)value) : msgpack_pack_fix_uint64(packer, value);
	return end;
}

/* The shortest form. */
static inline const char *notation_number(const char *at, msgpack_packer *packer)
{
	char *end;

	cr_assert(*at == '-' || (*at >= '0' && *at <= '9'), "not the notation: %s", at);
	if (*at == '-')
		msgpack_pack_int64(packer, strtoll(at, &end, 10));
	else
		msgpack_pack_uint64(packer, strtoull(at, &end, 10));
	return end;
}

static inline const char *notation_value(const char *at, struct buffer *out);

static inline const char *notation_container(const char *at, struct buffer *out, msgpack_packer *packer)
{
	struct buffer inner = BUFFER_EMPTY;
	char close = *at == '[' ? ']' : '}';
	size_t count = 0;

	for (at = notation_space(at + 1); *at != close; at = notation_space(at), count++) {
		cr_assert_neq(*at, 0, "a bracket without its end");
		at = notation_value(at, &inner);
	}
	if (close == ']')
		msgpack_pack_array(packer, count);
	else
		msgpack_pack_map(packer, count / 2);
	buffer_append(out, inner.data, inner.size);
	buffer_free(&inner);
	return at + 1;
}

static inline const char *notation_value(const char *at, struct buffer *out)
{
	msgpack_packer packer = {out, notation_write};
	struct buffer string = BUFFER_EMPTY;

	if (*at == '[' || *at == '{')
		return notation_container(at, out, &packer);
	if (*at == '"') {
		at = notation_string(at, &string);
		msgpack_pack_str_with_body(&packer, string.data, string.size);
	} else if (*at == 'b' && at[1] == '"') {
		at = notation_string(at + 1, &string);
		msgpack_pack_bin_with_body(&packer, string.data, string.size);
	} else if (*at == 'e' && at[1] == '"') {
		at = notation_string(at + 1, &string);
		msgpack_pack_ext_with_body(&packer, string.data, string.size, 1);
	} else if (strncmp(at, "nil", 3) == 0) {
		msgpack_pack_nil(&packer);
		at += 3;
	} else if (strncmp(at, "true", 4) == 0) {
		msgpack_pack_true(&packer);
		at += 4;
	} else if (strncmp(at, "false", 5) == 0) {
		msgpack_pack_false(&packer);
		at += 5;
	} else if (*at == 'f') {
		msgpack_pack_double(&packer, 1.5);
		at++;
	} else if (*at == 's' || *at == 'u') {
		at = notation_wide(at, &packer);
	} else {
		at = notation_number(at, &packer);
	}
	buffer_free(&string);
	return at;
}

/* notation_pack(text, out) - the values of the text, one after the other; @out is reset first. */
static inline struct span notation_pack(const char *text, struct buffer *out)
{
	buffer_reset(out);
	for (text = notation_space(text); *text != 0; text = notation_space(text))
		text = notation_value(text, out);
	cr_assert(!out->failed);
	return buffer_span(out);
}

#endif
