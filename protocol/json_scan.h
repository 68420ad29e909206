/*
 * json_scan: the smallest steps over JSON text, for the checker and the walker. Inside protocol/ only.
 *
 * Strings are the bulk of every text, so what stands for itself in them is passed over eight bytes at a time.
 */
#ifndef KYNETA_PROTOCOL_JSON_SCAN_H
#define KYNETA_PROTOCOL_JSON_SCAN_H

#include "protocol/span.h"

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

/* Is a byte of the word zero? */
static inline uint64_t json_has_zero(uint64_t word)
{
	return (word - JSON_WORD_ONES) & ~word & JSON_WORD_HIGH;
}

static inline uint64_t json_has_special(uint64_t word)
{
	uint64_t below_space = (word - JSON_WORD_ONES * 0x20) & ~word & JSON_WORD_HIGH;

	return below_space | json_has_zero(word ^ (JSON_WORD_ONES * '"')) |
	       json_has_zero(word ^ (JSON_WORD_ONES * '\\'));
}

/* The first special byte at or after @at. */
static inline const uint8_t *json_skip_plain(const uint8_t *at, const uint8_t *end)
{
	uint64_t word[2];

	while (end - at >= 16) {
		memcpy(word, at, sizeof(word));
		if ((json_has_special(word[0]) | json_has_special(word[1])) != 0)
			break;
		at += 16;
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
