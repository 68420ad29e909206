/*
 * utf8: against a slow second opinion that decodes to a code point and asks whether that is the way to write it.
 */
#include "protocol/utf8.h"
#include "tests/unit/guarded.h"

#include <criterion/criterion.h>

/* The size of the character at @at, or 0: by the definition, not by the ranges that follow from it. */
static size_t slow_character(const uint8_t *at, size_t left)
{
	static const struct {
		uint8_t mask, mark;
		uint32_t lowest;
	} shapes[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

	for (size_t size = 1; size <= 4 && size <= left; size++) {
		uint32_t point = at[0] & (uint8_t)~shapes[size - 1].mask;

		if ((at[0] & shapes[size - 1].mask) != shapes[size - 1].mark)
			continue;
		for (size_t i = 1; i < size; i++) {
			if (at[i] >> 6 != 2)
				return 0;
			point = point << 6 | (at[i] & 0x3f);
		}
		if (point < shapes[size - 1].lowest || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
			return 0;
		return size;
	}
	return 0;
}

static size_t slow_prefix(struct span text)
{
	size_t at = 0, size;

	while (at < text.size) {
		size = slow_character(text.data + at, text.size - at);
		if (size == 0)
			break;
		at += size;
	}
	return at;
}

static void compare(struct span text)
{
	size_t expected = slow_prefix(text), found = utf8_prefix(text);

	if (found != expected || utf8_valid(text) != (expected == text.size)) {
		for (size_t i = 0; i < text.size; i++)
			cr_log_error("%02x", text.data[i]);
		cr_assert_fail("prefix %zu instead of %zu", found, expected);
	}
}

Test(utf8, empty)
{
	cr_assert(utf8_valid(SPAN_NONE));
	cr_assert(utf8_valid(span_of("", 0)));
	cr_assert_eq(utf8_prefix(SPAN_NONE), 0);
}

Test(utf8, every_sequence_of_one_two_and_three_bytes)
{
	struct guarded place = guarded_make(4);
	uint8_t bytes[3];

	for (unsigned i = 0; i < 0x100; i++) {
		bytes[0] = (uint8_t)i;
		compare(guarded_copy(&place, span_of(bytes, 1)));
	}
	for (unsigned i = 0; i < 0x10000; i++) {
		bytes[0] = (uint8_t)(i >> 8);
		bytes[1] = (uint8_t)i;
		compare(guarded_copy(&place, span_of(bytes, 2)));
	}
	for (unsigned i = 0x800000; i < 0x1000000; i++) {
		bytes[0] = (uint8_t)(i >> 16);
		bytes[1] = (uint8_t)(i >> 8);
		bytes[2] = (uint8_t)i;
		compare(span_of(bytes, 3));
	}
	guarded_free(&place);
}

Test(utf8, four_bytes_at_every_edge)
{
	static const uint8_t edges[] = {0x00, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff};
	struct guarded place = guarded_make(4);
	uint8_t bytes[4];

	for (unsigned first = 0xe0; first < 0x100; first++) {
		for (size_t i = 0; i < sizeof(edges) * sizeof(edges) * sizeof(edges); i++) {
			bytes[0] = (uint8_t)first;
			bytes[1] = edges[i % sizeof(edges)];
			bytes[2] = edges[i / sizeof(edges) % sizeof(edges)];
			bytes[3] = edges[i / sizeof(edges) / sizeof(edges)];
			compare(guarded_copy(&place, span_of(bytes, 4)));
		}
	}
	guarded_free(&place);
}

/* Whatever stands around it in words of eight and blocks of thirty-two. */
Test(utf8, a_character_at_every_place)
{
	static const char *const characters[] = {
	    "\xc3\xa9",		"\xe2\x80\xa8", "\xf0\x9f\x98\x80", "\x80",	    "\xed\xa0\x80",
	    "\xf4\x90\x80\x80", "\xc0\x80",	"\xe2\x80",	    "\xf0\x9f\x98", "\xff"};
	struct guarded place = guarded_make(128);
	uint8_t text[128];
	size_t size;

	for (size_t c = 0; c < sizeof(characters) / sizeof(characters[0]); c++) {
		for (size_t before = 0; before < 70; before++) {
			for (size_t after = 0; after < 40; after++) {
				size = strlen(characters[c]);
				memset(text, 'a', sizeof(text));
				memcpy(text + before, characters[c], size);
				compare(guarded_copy(&place, span_of(text, before + size + after)));
			}
		}
	}
	guarded_free(&place);
}

Test(utf8, nul_and_every_ascii_are_text)
{
	uint8_t text[128];

	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)i;
	cr_assert(utf8_valid(span_of(text, sizeof(text))));
	for (unsigned i = 0; i < sizeof(text); i++) {
		text[i] |= 0x80;
		cr_assert_eq(utf8_prefix(span_of(text, sizeof(text))), i);
		text[i] &= 0x7f;
	}
}
