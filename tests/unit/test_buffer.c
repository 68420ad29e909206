/*
 * buffer and frame: growth, failure that sticks, and lengths that are right.
 */
#include "protocol/buffer.h"
#include "protocol/frame.h"
#include "tests/unit/allocations.h"

#include <criterion/criterion.h>

Test(buffer, starts_empty_and_is_freed_twice)
{
	struct buffer buffer = BUFFER_EMPTY;

	cr_assert_eq(buffer_span(&buffer).size, 0);
	buffer_append(&buffer, NULL, 0);
	cr_assert_eq(buffer.size, 0);
	cr_assert_null(buffer.data);
	buffer_append_byte(&buffer, 'x');
	buffer_free(&buffer);
	cr_assert_null(buffer.data);
	buffer_free(&buffer);
	buffer_append_byte(&buffer, 'y');
	cr_assert_eq(buffer.size, 1);
	buffer_free(&buffer);
}

Test(buffer, keeps_what_was_written_while_it_grows)
{
	struct buffer buffer = BUFFER_EMPTY;
	uint8_t piece[37];

	allocations_made = 0;
	for (unsigned i = 0; i < 30000; i++) {
		memset(piece, (int)(i % 251), sizeof(piece));
		if (i % 2 == 0)
			buffer_append(&buffer, piece, sizeof(piece));
		else
			buffer_append_byte(&buffer, piece[0]);
	}
	cr_assert(!buffer.failed);
	cr_assert_eq(buffer.size, 15000 * (sizeof(piece) + 1));
	cr_assert_lt(allocations_made, 16, "doubling needs few allocations, not %lu", allocations_made);
	for (size_t i = 0, at = 0; i < 30000; i++) {
		for (size_t k = 0; k < (i % 2 == 0 ? sizeof(piece) : 1); k++)
			cr_assert_eq(buffer.data[at++], i % 251);
	}
	buffer_free(&buffer);
}

Test(buffer, reserves_once)
{
	struct buffer buffer = BUFFER_EMPTY;

	cr_assert(buffer_reserve(&buffer, 100000));
	allocations_made = 0;
	for (unsigned i = 0; i < 100000; i++)
		buffer_append_byte(&buffer, 'a');
	cr_assert(buffer_reserve(&buffer, 0));
	cr_assert_eq(allocations_made, 0);
	cr_assert_eq(buffer.capacity, 100000);
	buffer_free(&buffer);
}

Test(buffer, refuses_sizes_that_overflow)
{
	struct buffer buffer = BUFFER_EMPTY;

	buffer_append(&buffer, "abc", 3);
	allocations_made = 0;
	cr_assert(!buffer_reserve(&buffer, SIZE_MAX));
	cr_assert(buffer.failed);
	buffer_reset(&buffer);
	buffer_append(&buffer, "abc", 3);
	cr_assert(!buffer_reserve(&buffer, SIZE_MAX - 2));
	buffer_reset(&buffer);
	buffer_append(&buffer, "abc", 3);
	cr_assert(!buffer_reserve(&buffer, (size_t)PTRDIFF_MAX - 2));
	cr_assert_eq(allocations_made, 0, "no allocator was asked for what cannot be");
	cr_assert_eq(buffer.size, 3);
	buffer_free(&buffer);
}

Test(buffer, failure_sticks_until_reset)
{
	struct buffer buffer = BUFFER_EMPTY;

	buffer_append(&buffer, "kept", 4);
	allocations_until_failure = 1;
	cr_assert(!buffer_reserve(&buffer, 1000));
	allocations_until_failure = 0;
	cr_assert(buffer.failed);
	cr_assert(!buffer_reserve(&buffer, 1), "even though there is room");
	buffer_append(&buffer, "lost", 4);
	buffer_append_byte(&buffer, 'x');
	cr_assert_eq(buffer.size, 4);
	cr_assert_eq(memcmp(buffer.data, "kept", 4), 0);
	buffer_reset(&buffer);
	cr_assert(!buffer.failed);
	cr_assert_eq(buffer.size, 0);
	cr_assert_eq(buffer.capacity, 256, "the memory is kept");
	buffer_append(&buffer, "new", 3);
	cr_assert_eq(buffer.size, 3);
	buffer_free(&buffer);
}

Test(frame, lengths_are_big_endian)
{
	static const struct {
		uint32_t length;
		uint8_t header[FRAME_HEADER_SIZE];
	} table[] = {
	    {0, {0, 0, 0, 0}},
	    {1, {0, 0, 0, 1}},
	    {0x01020304, {1, 2, 3, 4}},
	    {UINT32_MAX, {0xff, 0xff, 0xff, 0xff}},
	};
	uint8_t header[FRAME_HEADER_SIZE];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		cr_assert_eq(frame_length(table[i].header), table[i].length);
		frame_put_length(header, table[i].length);
		cr_assert_arr_eq(header, table[i].header, FRAME_HEADER_SIZE);
	}
}

Test(frame, frames_follow_each_other)
{
	static const uint8_t expected[] = {0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0, 0, 0, 0, 0, 1, 'd'};
	struct buffer out = BUFFER_EMPTY;
	size_t mark;

	mark = frame_begin(&out);
	buffer_append(&out, "abc", 3);
	frame_end(&out, mark);
	mark = frame_begin(&out);
	frame_end(&out, mark);
	mark = frame_begin(&out);
	buffer_append(&out, "d", 1);
	frame_end(&out, mark);
	cr_assert_eq(out.size, sizeof(expected));
	cr_assert_arr_eq(out.data, expected, sizeof(expected));
	buffer_free(&out);
}

Test(frame, a_failed_buffer_stays_failed)
{
	struct buffer out = BUFFER_EMPTY;
	size_t mark;

	allocations_until_failure = 1;
	mark = frame_begin(&out);
	buffer_append(&out, "abc", 3);
	frame_end(&out, mark);
	allocations_until_failure = 0;
	cr_assert(out.failed);
	cr_assert_null(out.data);
	buffer_free(&out);
}
