/*
 * json_scan: the smallest steps over JSON text, for the checker and the walker. Inside protocol/ only.
 *
 * Strings are the bulk of every text, so what stands for itself in them is passed over eight bytes at a time.
 */
#ifndef KYNETA_PROTOCOL_JSON_SCAN_H
#define KYNETA_PROTOCOL_JSON_SCAN_H

#include "protocol/span.h"

#include <endian.h>

#define JSON_WORD_ONES UINT64_C(0x0101010101010101)
#define JSON_WORD_HIGH UINT64_C(0x8080808080808080)

static inline bool json_is_space(uint8_t byte)
{
	return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

static inline bool json_is_digit(uint8_t byte)
{
	return byte >= '0' && byte <= '9';
}

static inline const uint8_t *json_skip_space(const uint8_t *at, const uint8_t *end)
{
	while (at < end && json_is_space(*at))
		at++;
	return at;
}

/* A byte that cannot stand for itself inside a string. */
static inline bool json_is_special(uint8_t byte)
{
	return byte < 0x20 || byte == '"' || byte == '\\';
}

/* The high bit of every byte that is zero; of some above the first one too. */
static inline uint64_t json_zero_bytes(uint64_t word)
{
	return (word - JSON_WORD_ONES) & ~word & JSON_WORD_HIGH;
}

/* The high bit of every special byte; of some above the first one too. */
static inline uint64_t json_special_bytes(uint64_t word)
{
	uint64_t below_space = (word - JSON_WORD_ONES * 0x20) & ~word & JSON_WORD_HIGH;

	return below_space | json_zero_bytes(word ^ (JSON_WORD_ONES * '"')) |
	       json_zero_bytes(word ^ (JSON_WORD_ONES * '\\'));
}

/* The first special byte at or after @at. */
static inline const uint8_t *json_skip_plain(const uint8_t *at, const uint8_t *end)
{
	uint64_t word;

	for (; end - at >= 8; at += 8) {
		memcpy(&word, at, sizeof(word));
		word = json_special_bytes(le64toh(word));
		if (word != 0)
			return at + __builtin_ctzll(word) / 8;
	}
	while (at < end && !json_is_special(*at))
		at++;
	return at;
}

static inline int json_hex_value(uint8_t digit)
{
	if (json_is_digit(digit))
		return digit - '0';
	digit |= 0x20;
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Four hex digits, all there; -1 if they are none. */
static inline int json_hex4(const uint8_t *at)
{
	int value = 0, digit;

	for (int i = 0; i < 4; i++) {
		digit = json_hex_value(at[i]);
		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

#endif
