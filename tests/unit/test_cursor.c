/* Cursors come back as they went out, and nothing else is taken for one. */
#include <criterion/criterion.h>

#include "daemon/cursor.h"

static struct buffer bytes;

static void fini(void)
{
	buffer_free(&bytes);
}

TestSuite(cursor, .fini = fini);

Test(cursor, load_round_trip)
{
	struct load_cursor cursor = {7, UINT64_MAX - 1, UINT64_MAX}, back;

	cursor_put_load(&bytes, "records", SPAN_LITERAL("doc"), cursor);
	cr_assert(cursor_get_load(buffer_span(&bytes), "records", SPAN_LITERAL("doc"), &back));
	cr_assert_eq(back.generation, 7);
	cr_assert_eq(back.next, UINT64_MAX - 1);
	cr_assert_eq(back.end, UINT64_MAX);
}

Test(cursor, belongs_to_its_store_and_document)
{
	struct load_cursor back;

	cursor_put_load(&bytes, "records", SPAN_LITERAL("doc"), (struct load_cursor){1, 2, 3});
	cr_assert_not(cursor_get_load(buffer_span(&bytes), "records", SPAN_LITERAL("dod"), &back));
	cr_assert_not(cursor_get_load(buffer_span(&bytes), "record", SPAN_LITERAL("doc"), &back));
	cr_assert_not(cursor_get_load(buffer_span(&bytes), "recordsd", SPAN_LITERAL("oc"), &back));
}

Test(cursor, every_changed_bit_is_noticed)
{
	struct load_cursor back;

	cursor_put_load(&bytes, "records", SPAN_LITERAL("doc"), (struct load_cursor){1, 2, 3});
	for (size_t i = 0; i < bytes.size * 8; i++) {
		bytes.data[i / 8] ^= (uint8_t)(1u << i % 8);
		cr_assert_not(cursor_get_load(buffer_span(&bytes), "records", SPAN_LITERAL("doc"), &back), "bit %zu",
			      i);
		bytes.data[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	for (size_t size = 0; size < bytes.size; size++)
		cr_assert_not(cursor_get_load(span_of(bytes.data, size), "records", SPAN_LITERAL("doc"), &back));
}

Test(cursor, listing)
{
	struct span last;
	struct load_cursor load;

	cursor_put_list(&bytes, "records", SPAN_LITERAL("pre"), SPAN_LITERAL("prefix\0x"));
	cr_assert(cursor_get_list(buffer_span(&bytes), "records", SPAN_LITERAL("pre"), &last));
	cr_assert(span_equal(last, SPAN_LITERAL("prefix\0x")));
	cr_assert_not(cursor_get_list(buffer_span(&bytes), "records", SPAN_LITERAL("pref"), &last));
	cr_assert_not(cursor_get_load(buffer_span(&bytes), "records", SPAN_LITERAL("pre"), &load));
	buffer_reset(&bytes);
	cursor_put_list(&bytes, "records", SPAN_NONE, SPAN_LITERAL(""));
	cr_assert(cursor_get_list(buffer_span(&bytes), "records", SPAN_LITERAL(""), &last));
	cr_assert_eq(last.size, 0);
}
