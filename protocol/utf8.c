/*
 * utf8: nearly all text is ASCII, so that is looked at eight bytes at a time; the rest a character at a time.
 */
#include "protocol/utf8.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)

static inline uint64_t load_word(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

static inline bool continues(uint8_t byte)
{
	return (byte & 0xc0) == 0x80;
}

/* The size of the valid character of two to four bytes at @at, of which @left bytes are there; 0 if it is none. */
static inline size_t character_size(const uint8_t *at, size_t left)
{
	uint8_t first = at[0];

	if (first < 0xc2)
		return 0;
	if (first < 0xe0)
		return left >= 2 && continues(at[1]) ? 2 : 0;
	if (first < 0xf0) {
		if (left < 3 || !continues(at[1]) || !continues(at[2]))
			return 0;
		if (first == 0xe0 && at[1] < 0xa0) /* overlong */
			return 0;
		if (first == 0xed && at[1] >= 0xa0) /* a surrogate */
			return 0;
		return 3;
	}
	if (first > 0xf4 || left < 4 || !continues(at[1]) || !continues(at[2]) || !continues(at[3]))
		return 0;
	if (first == 0xf0 && at[1] < 0x90) /* overlong */
		return 0;
	if (first == 0xf4 && at[1] >= 0x90) /* above U+10FFFF */
		return 0;
	return 4;
}

static inline const uint8_t *skip_ascii(const uint8_t *at, const uint8_t *end)
{
	while (end - at >= 32 &&
	       ((load_word(at) | load_word(at + 8) | load_word(at + 16) | load_word(at + 24)) & HIGH_BITS) == 0)
		at += 32;
	while (end - at >= 8 && (load_word(at) & HIGH_BITS) == 0)
		at += 8;
	while (at < end && *at < 0x80)
		at++;
	return at;
}

size_t utf8_prefix(struct span text)
{
	const uint8_t *at = text.data, *end;
	size_t size;

	if (text.size == 0)
		return 0;
	end = at + text.size;
	for (;;) {
		at = skip_ascii(at, end);
		/* Where one character is not ASCII the next one seldom is. */
		while (at < end && *at >= 0x80) {
			size = character_size(at, (size_t)(end - at));
			if (size == 0)
				return (size_t)(at - text.data);
			at += size;
		}
		if (at == end)
			return text.size;
	}
}

bool utf8_valid(struct span text)
{
	return utf8_prefix(text) == text.size;
}
