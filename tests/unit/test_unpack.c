/*
 * unpack: every form at its edges, every bomb, and msgpack-c as the second opinion on random values.
 */
#include "protocol/unpack.h"
#include "tests/unit/guarded.h"
#include "tests/unit/notation.h"
#include "tests/unit/random.h"

#include <criterion/criterion.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))
#define B(literal)                                                                                                     \
	{                                                                                                              \
		literal, sizeof(literal) - 1                                                                           \
	}

struct bytes {
	const char *bytes;
	size_t size;
};

static struct span span_of_bytes(struct bytes bytes)
{
	return span_of(bytes.bytes, bytes.size);
}

/* ---- every form ---- */

Test(unpack, types)
{
	static const struct {
		struct bytes bytes;
		enum unpack_type type;
	} table[] = {
	    {B(""), UNPACK_END},
	    {B("\xc0"), UNPACK_NIL},
	    {B("\xc1"), UNPACK_INVALID},
	    {B("\xc2"), UNPACK_BOOL},
	    {B("\xc3"), UNPACK_BOOL},
	    {B("\x00"), UNPACK_UINT},
	    {B("\x7f"), UNPACK_UINT},
	    {B("\xcc\x80"), UNPACK_UINT},
	    {B("\xcd\x00\x01"), UNPACK_UINT},
	    {B("\xce\xff\xff\xff\xff"), UNPACK_UINT},
	    {B("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), UNPACK_UINT},
	    {B("\xd0\x7f"), UNPACK_UINT},
	    {B("\xd0\x80"), UNPACK_NEGATIVE},
	    {B("\xd1\x7f\xff"), UNPACK_UINT},
	    {B("\xd1\x80\x00"), UNPACK_NEGATIVE},
	    {B("\xd2\x7f\xff\xff\xff"), UNPACK_UINT},
	    {B("\xd2\xff\xff\xff\xff"), UNPACK_NEGATIVE},
	    {B("\xd3\x7f\xff\xff\xff\xff\xff\xff\xff"), UNPACK_UINT},
	    {B("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), UNPACK_NEGATIVE},
	    {B("\xe0"), UNPACK_NEGATIVE},
	    {B("\xff"), UNPACK_NEGATIVE},
	    {B("\xca\x00\x00\x00\x00"), UNPACK_FLOAT},
	    {B("\xcb\x00\x00\x00\x00\x00\x00\x00\x00"), UNPACK_FLOAT},
	    {B("\xa0"), UNPACK_STR},
	    {B("\xd9\x01"
	       "a"),
	     UNPACK_STR},
	    {B("\xda\x00\x01"
	       "a"),
	     UNPACK_STR},
	    {B("\xdb\x00\x00\x00\x01"
	       "a"),
	     UNPACK_STR},
	    {B("\xc4\x00"), UNPACK_BIN},
	    {B("\xc5\x00\x00"), UNPACK_BIN},
	    {B("\xc6\x00\x00\x00\x00"), UNPACK_BIN},
	    {B("\x90"), UNPACK_ARRAY},
	    {B("\xdc\x00\x00"), UNPACK_ARRAY},
	    {B("\xdd\x00\x00\x00\x00"), UNPACK_ARRAY},
	    {B("\x80"), UNPACK_MAP},
	    {B("\xde\x00\x00"), UNPACK_MAP},
	    {B("\xdf\x00\x00\x00\x00"), UNPACK_MAP},
	    {B("\xc7\x00\x01"), UNPACK_EXT},
	    {B("\xc8\x00\x00\x01"), UNPACK_EXT},
	    {B("\xc9\x00\x00\x00\x00\x01"), UNPACK_EXT},
	    {B("\xd4\x01x"), UNPACK_EXT},
	    {B("\xd5\x01xx"), UNPACK_EXT},
	    {B("\xd6\x01xxxx"), UNPACK_EXT},
	    {B("\xd7\x01xxxxxxxx"), UNPACK_EXT},
	    {B("\xd8\x01xxxxxxxxxxxxxxxx"), UNPACK_EXT},
	};
	struct guarded place = guarded_make(32);

	for (size_t i = 0; i < LENGTH(table); i++) {
		struct span bytes = guarded_copy(&place, span_of_bytes(table[i].bytes));
		struct unpack unpack = unpack_start(bytes);
		bool good = table[i].type != UNPACK_INVALID && table[i].type != UNPACK_END;

		cr_expect_eq(unpack_peek(&unpack), table[i].type, "row %zu", i);
		cr_expect_eq(unpack_check(bytes), good, "row %zu", i);
		cr_expect_eq(unpack_skip(&unpack), good, "row %zu", i);
		cr_expect_eq(unpack.at == unpack.end, good || bytes.size == 0, "row %zu", i);
		/* One byte less of a value is none; one byte more is one too many. */
		for (size_t size = 1; size < bytes.size; size++) {
			bytes = guarded_copy(&place, span_of(table[i].bytes.bytes, size));
			unpack = unpack_start(bytes);
			cr_expect_eq(unpack_peek(&unpack), UNPACK_INVALID, "row %zu cut to %zu", i, size);
			cr_expect(!unpack_check(bytes), "row %zu cut to %zu", i, size);
			cr_expect(!unpack_skip(&unpack), "row %zu cut to %zu", i, size);
			cr_expect_eq(unpack.at, bytes.data, "untouched");
		}
	}
	guarded_free(&place);
}

Test(unpack, uints)
{
	static const struct {
		const char *text;
		uint64_t value;
	} table[] = {
	    {"0", 0},
	    {"127", 127},
	    {"128", 128},
	    {"255", 255},
	    {"256", 256},
	    {"65535", 65535},
	    {"65536", 65536},
	    {"4294967295", UINT32_MAX},
	    {"4294967296", UINT64_C(4294967296)},
	    {"18446744073709551615", UINT64_MAX},
	    {"u8:0", 0},
	    {"u16:5", 5},
	    {"u32:6", 6},
	    {"u64:7", 7},
	    {"s8:127", 127},
	    {"s16:0", 0},
	    {"s16:32767", 32767},
	    {"s32:2147483647", INT32_MAX},
	    {"s64:9223372036854775807", INT64_MAX},
	    {"s64:1", 1},
	};
	static const char *const others[] = {
	    "-1",  "-32",  "-33", "s8:128", "s16:65535", "s32:4294967295", "s64:18446744073709551615",
	    "nil", "true", "f",	  "\"1\"",  "b\"1\"",	 "e\"1\"",	   "[1]",
	    "{}"};
	struct buffer out = BUFFER_EMPTY;
	struct unpack unpack;
	uint64_t value;

	for (size_t i = 0; i < LENGTH(table); i++) {
		unpack = unpack_start(notation_pack(table[i].text, &out));
		cr_assert(unpack_uint(&unpack, &value), "%s", table[i].text);
		cr_expect_eq(value, table[i].value, "%s", table[i].text);
		cr_expect_eq(unpack.at, unpack.end, "%s", table[i].text);
	}
	for (size_t i = 0; i < LENGTH(others); i++) {
		value = 99;
		unpack = unpack_start(notation_pack(others[i], &out));
		cr_expect(!unpack_uint(&unpack, &value), "%s", others[i]);
		cr_expect_eq(value, 99);
		cr_expect_eq(unpack.at, out.data, "%s", others[i]);
	}
	buffer_free(&out);
}

/* Each taker takes its own type, and leaves every other where it is. */
Test(unpack, takers)
{
	static const char *const values[] = {"nil",	"true",	 "5", "\"s\"",	"b\"b\"",
					     "[1,2,3]", "{1:2}", "f", "e\"x\"", "-1"};
	struct buffer out = BUFFER_EMPTY;

	for (size_t i = 0; i < LENGTH(values); i++) {
		struct unpack start = unpack_start(notation_pack(values[i], &out)), unpack = start;
		struct span text = SPAN_NONE;
		uint32_t count = 0;
		bool flag = false;
		uint64_t number = 0;

		cr_expect_eq(unpack_nil(&unpack), i == 0);
		cr_expect_eq(unpack.at == start.at, i != 0);
		unpack = start;
		cr_expect_eq(unpack_bool(&unpack, &flag), i == 1);
		cr_expect_eq(flag, i == 1);
		unpack = start;
		cr_expect_eq(unpack_uint(&unpack, &number), i == 2);
		unpack = start;
		cr_expect_eq(unpack_str(&unpack, &text), i == 3);
		cr_expect_eq(span_equal(text, SPAN_LITERAL("s")), i == 3);
		unpack = start;
		cr_expect_eq(unpack_bin(&unpack, &text), i == 4);
		cr_expect_eq(span_equal(text, SPAN_LITERAL("b")), i == 4);
		unpack = start;
		cr_expect_eq(unpack_array(&unpack, &count), i == 5);
		cr_expect_eq(count, i == 5 ? 3 : 0);
		unpack = start;
		cr_expect_eq(unpack_map(&unpack, &count), i == 6);
		unpack = unpack_start(SPAN_NONE);
		cr_expect(!unpack_nil(&unpack) && !unpack_bool(&unpack, &flag) && !unpack_uint(&unpack, &number) &&
			  !unpack_str(&unpack, &text) && !unpack_bin(&unpack, &text) &&
			  !unpack_array(&unpack, &count) && !unpack_map(&unpack, &count) && !unpack_skip(&unpack));
	}
	buffer_free(&out);
}

/* ---- hostile ---- */

Test(unpack, bombs_and_garbage)
{
	static const struct bytes table[] = {
	    B("\xdd\xff\xff\xff\xff"),
	    B("\xdd\x00\x00\x00\x01"),
	    B("\xdf\xff\xff\xff\xff"),
	    B("\xdf\x00\x00\x00\x01\xc0"),
	    B("\xdc\xff\xff"),
	    B("\xde\xff\xff\xc0\xc0"),
	    B("\x9f"),
	    B("\x8f\xc0"),
	    B("\x91"),
	    B("\x81\xc0"),
	    B("\xdb\xff\xff\xff\xff"),
	    B("\xc6\xff\xff\xff\xff"),
	    B("\xc9\xff\xff\xff\xff\x01"),
	    B("\xc9\xff\xff\xff\xff"),
	    B("\xc7\x01\x01"),
	    B("\xd9\x02x"),
	    B("\xa2x"),
	    B("\xc4\x01"),
	    B("\xc0\xc0"),
	    B("\x90\x00"),
	    B("\x91\xc1"),
	    B("\x92\xc0"),
	    B("\x92\x01\xdd\xff\xff\xff"),
	    B("\xa1\xff"),
	    B("\xa2\xc0\x80"),
	    B("\xa3\xed\xa0\x80"),
	    B("\x91\xa1\x80"),
	    B("\x81\xa1\xff\xc0"),
	    B("\x81\xc0\xa1\xff"),
	    B("\xa4\xf4\x90\x80\x80"),
	    B("\x91\x91\x91\x91\x91\xc0"),
	    B("\x91\x91\x91\x91\x90"),
	    B("\x81\xc0\x81\xc0\x81\xc0\x81\xc0\x80"),
	    B("\x81\x91\x91\x91\x90\xc0"),
	    /* Each level announces as much as its bytes allow. */
	    B("\x9f\x9f\x9f\x9f\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01"),
	};
	struct guarded place = guarded_make(64);

	for (size_t i = 0; i < LENGTH(table); i++)
		cr_expect(!unpack_check(guarded_copy(&place, span_of_bytes(table[i]))), "row %zu", i);
	guarded_free(&place);
}

/* Whoever enters a container unchecked gets a count that the bytes could hold: it may be used as it is. */
Test(unpack, counts_that_cannot_be_are_not_given)
{
	static const struct bytes table[] = {
	    B("\x81\xc0"),
	    B("\x82\xc0\xc0\xc0"),
	    B("\xde\x00\x01\xc0"),
	    B("\xdf\x00\x00\x00\x02\xc0\xc0\xc0"),
	    B("\x92\xc0"),
	    B("\xdc\x00\x01"),
	    B("\xdc\x00\x02\xc0"),
	    B("\xdd\x00\x00\x00\x02\xc0"),
	    B("\xdf\x80\x00\x00\x01"),
	};

	for (size_t i = 0; i < LENGTH(table); i++) {
		struct unpack unpack = unpack_start(span_of_bytes(table[i]));
		uint32_t count = 77;

		cr_expect(!unpack_map(&unpack, &count) && !unpack_array(&unpack, &count), "row %zu", i);
		cr_expect_eq(count, 77);
		cr_expect_eq(unpack_peek(&unpack), UNPACK_INVALID);
	}
}

Test(unpack, four_deep_is_enough_and_five_too_many)
{
	static const struct {
		const char *text;
		bool good;
	} table[] = {
	    {"[[[[]]]]", true},
	    {"[[[[1,\"a\",f,e\"x\"]]],[[[]]]]", true},
	    {"{1:{2:{3:{4:5}}}}", true},
	    {"{[[[1]]]:1}", true},
	    {"[[[[[]]]]]", false},
	    {"[[[[{}]]]]", false},
	    {"{1:{2:{3:{4:[]}}}}", false},
	    {"[[],[[[[]]]]]", false},
	    {"[[[[]]],[[[]]],[[[]]]]", true},
	};
	struct buffer out = BUFFER_EMPTY;
	struct unpack unpack;

	for (size_t i = 0; i < LENGTH(table); i++) {
		cr_expect_eq(unpack_check(notation_pack(table[i].text, &out)), table[i].good, "%s", table[i].text);
		unpack = unpack_start(buffer_span(&out));
		cr_expect_eq(unpack_skip(&unpack), table[i].good, "%s", table[i].text);
	}
	buffer_free(&out);
}

Test(unpack, a_nesting_bomb_costs_nothing)
{
	size_t size = 1u << 20;
	uint8_t *bomb = malloc(size);

	cr_assert_not_null(bomb);
	memset(bomb, 0x91, size);
	cr_expect(!unpack_check(span_of(bomb, size)));
	memset(bomb, 0x81, size);
	cr_expect(!unpack_check(span_of(bomb, size)));
	free(bomb);
}

/* ---- the second opinion ---- */

/* A random value with whatever msgpack knows; returns how deep it is. */
static unsigned random_value(struct random *random, msgpack_packer *packer, unsigned depth)
{
	static const char *const texts[] = {"", "a", "\xc3\xa9", "\xf0\x9f\x98\x80 and more",
					    "01234567890123456789012345678901234567"};
	const char *text = texts[random_below(random, LENGTH(texts))];
	uint32_t count = random_below(random, 20), choice = random_below(random, depth == 0 ? 9 : 12);
	unsigned deepest = 0, below;

	switch (choice) {
	case 0:
		msgpack_pack_nil(packer);
		return 0;
	case 1:
		random_below(random, 2) == 0 ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
		return 0;
	case 2:
		msgpack_pack_uint64(packer, random_number(random));
		return 0;
	case 3:
		msgpack_pack_int64(packer, (int64_t)random_next(random) >> random_below(random, 64));
		return 0;
	case 4:
		msgpack_pack_fix_int32(packer, (int32_t)random_next(random));
		return 0;
	case 5:
		msgpack_pack_str_with_body(packer, text, strlen(text));
		return 0;
	case 6:
		msgpack_pack_bin_with_body(packer, text, strlen(text));
		return 0;
	case 7:
		msgpack_pack_double(packer, 1.25);
		return 0;
	case 8:
		msgpack_pack_ext_with_body(packer, text, strlen(text), 7);
		return 0;
	case 9:
		msgpack_pack_map(packer, count);
		count *= 2;
		break;
	default:
		msgpack_pack_array(packer, count);
	}
	for (uint32_t i = 0; i < count; i++) {
		below = random_value(random, packer, depth - 1);
		deepest = below > deepest ? below : deepest;
	}
	return deepest + 1;
}

static void compare_value(struct unpack *unpack, const msgpack_object *object);

static void compare_body(bool taken, struct span ours, const char *theirs, uint32_t size)
{
	cr_assert(taken);
	cr_assert(span_equal(ours, span_of(theirs, size)));
}

static void compare_container(struct unpack *unpack, const msgpack_object *object)
{
	uint32_t count;

	if (object->type == MSGPACK_OBJECT_ARRAY) {
		cr_assert(unpack_array(unpack, &count));
		cr_assert_eq(count, object->via.array.size);
		for (uint32_t i = 0; i < count; i++)
			compare_value(unpack, &object->via.array.ptr[i]);
		return;
	}
	cr_assert(unpack_map(unpack, &count));
	cr_assert_eq(count, object->via.map.size);
	for (uint32_t i = 0; i < count; i++) {
		compare_value(unpack, &object->via.map.ptr[i].key);
		compare_value(unpack, &object->via.map.ptr[i].val);
	}
}

static void compare_value(struct unpack *unpack, const msgpack_object *object)
{
	struct span body = SPAN_NONE;
	uint64_t number;
	bool flag;

	switch (object->type) {
	case MSGPACK_OBJECT_NIL:
		cr_assert(unpack_nil(unpack));
		break;
	case MSGPACK_OBJECT_BOOLEAN:
		cr_assert(unpack_bool(unpack, &flag));
		cr_assert_eq(flag, object->via.boolean);
		break;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		cr_assert(unpack_uint(unpack, &number));
		cr_assert_eq(number, object->via.u64);
		break;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		cr_assert_eq(unpack_peek(unpack), UNPACK_NEGATIVE);
		cr_assert(unpack_skip(unpack));
		break;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		cr_assert_eq(unpack_peek(unpack), UNPACK_FLOAT);
		cr_assert(unpack_skip(unpack));
		break;
	case MSGPACK_OBJECT_EXT:
		cr_assert_eq(unpack_peek(unpack), UNPACK_EXT);
		cr_assert(unpack_skip(unpack));
		break;
	case MSGPACK_OBJECT_STR:
		compare_body(unpack_str(unpack, &body), body, object->via.str.ptr, object->via.str.size);
		break;
	case MSGPACK_OBJECT_BIN:
		compare_body(unpack_bin(unpack, &body), body, object->via.bin.ptr, object->via.bin.size);
		break;
	case MSGPACK_OBJECT_ARRAY:
	case MSGPACK_OBJECT_MAP:
		compare_container(unpack, object);
		break;
	}
}

Test(unpack, random_values_are_read_as_msgpack_c_reads_them)
{
	struct guarded place = guarded_make(1u << 22);
	struct buffer out = BUFFER_EMPTY;
	struct random random = {17};
	unsigned deep = 0;

	for (unsigned round = 0; round < 3000; round++) {
		msgpack_packer packer = {&out, notation_write};
		msgpack_unpacked unpacked;
		struct span bytes;
		struct unpack unpack;
		size_t offset = 0;
		unsigned depth;

		buffer_reset(&out);
		depth = random_value(&random, &packer, random_below(&random, 6));
		if (out.size > place.room)
			continue;
		bytes = guarded_copy(&place, buffer_span(&out));
		cr_assert_eq(unpack_check(bytes), depth <= UNPACK_DEPTH_MAX);
		deep += depth > UNPACK_DEPTH_MAX;
		msgpack_unpacked_init(&unpacked);
		cr_assert_eq(msgpack_unpack_next(&unpacked, (const char *)bytes.data, bytes.size, &offset),
			     MSGPACK_UNPACK_SUCCESS);
		if (depth <= UNPACK_DEPTH_MAX) {
			unpack = unpack_start(bytes);
			compare_value(&unpack, &unpacked.data);
			cr_assert_eq(unpack.at, unpack.end);
		}
		msgpack_unpacked_destroy(&unpacked);
	}
	cr_assert_gt(deep, 50);
	buffer_free(&out);
	guarded_free(&place);
}

/* Damaged bytes: what passes is one whole value to msgpack-c too, and is read the same. */
Test(unpack, damaged_values_that_pass_are_values)
{
	struct guarded place = guarded_make(1u << 16);
	struct buffer out = BUFFER_EMPTY;
	struct random random = {23};
	unsigned good = 0, bad = 0;

	for (unsigned round = 0; round < 60000; round++) {
		msgpack_packer packer = {&out, notation_write};
		msgpack_unpacked unpacked;
		struct unpack unpack;
		struct span bytes;
		size_t offset = 0;

		buffer_reset(&out);
		random_value(&random, &packer, 2);
		if (out.size > place.room)
			continue;
		for (uint32_t i = random_below(&random, 3) + 1; i > 0; i--)
			out.data[random_below(&random, (uint32_t)out.size)] = (uint8_t)random_next(&random);
		bytes = guarded_copy(&place, buffer_span(&out));
		unpack = unpack_start(bytes);
		if (!unpack_skip(&unpack))
			cr_assert_eq(unpack.at, bytes.data);
		if (!unpack_check(bytes)) {
			bad++;
			continue;
		}
		good++;
		msgpack_unpacked_init(&unpacked);
		cr_assert_eq(msgpack_unpack_next(&unpacked, (const char *)bytes.data, bytes.size, &offset),
			     MSGPACK_UNPACK_SUCCESS);
		cr_assert_eq(offset, bytes.size);
		unpack = unpack_start(bytes);
		compare_value(&unpack, &unpacked.data);
		msgpack_unpacked_destroy(&unpacked);
	}
	cr_assert_gt(good, 1000);
	cr_assert_gt(bad, 1000);
	buffer_free(&out);
	guarded_free(&place);
}
