/*
 * json: tables of what is JSON and what is not, what strings and numbers mean, and a second opinion (jansson) on random
 * texts.
 */
#include "protocol/json.h"
#include "tests/unit/guarded.h"
#include "tests/unit/random.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))
/* With its NULs: text and size. */
#define T(literal)                                                                                                     \
	{                                                                                                              \
		literal, sizeof(literal) - 1                                                                           \
	}

struct text {
	const char *text;
	size_t size;
};

static const struct text valid[] = {
    T("null"),
    T("true"),
    T("false"),
    T("0"),
    T("-0"),
    T("1"),
    T("-1"),
    T("10"),
    T("1.0"),
    T("-0.0"),
    T("0.5"),
    T("1e1"),
    T("1E1"),
    T("1e+1"),
    T("1e-1"),
    T("1.5e+10"),
    T("0e0"),
    T("0E+0"),
    T("123456789012345678901234567890"),
    T("1e400"),
    T("-1e-400"),
    T("0.00000000000000000000000000000000001"),
    T("\"\""),
    T("\"a\""),
    T("\"\\\"\""),
    T("\"\\\\\""),
    T("\"\\/\""),
    T("\"\\b\\f\\n\\r\\t\""),
    T("\"\\u0000\""),
    T("\"\\u0041\\u00e9\\uFFFF\\ufFfE\""),
    T("\"\\ud800\""),
    T("\"\\udfff\""),
    T("\"\\ud83d\\ude00\""),
    T("\"\\ude00\\ud83d\""),
    T("\"\\uD800\\u0041\""),
    T("\"\x7f\""),
    T("\"\xc3\xa9\""),
    T("\"\xe2\x80\xa8\xe2\x80\xa9\""),
    T("\"\xf0\x9f\x98\x80\""),
    T("\"\xef\xbf\xbf\""),
    T("\"\xef\xbb\xbf\""),
    T("\"/\""),
    T("\"'\""),
    T("\" \""),
    T("[]"),
    T("[ ]"),
    T("[1]"),
    T("[1,2]"),
    T("[ 1 , 2 ]"),
    T("[[],[]]"),
    T("[{}]"),
    T("[null,true,false]"),
    T("{}"),
    T("{ }"),
    T("{\"a\":1}"),
    T("{ \"a\" : 1 , \"b\" : 2 }"),
    T("{\"\":0}"),
    T("{\"a\":1,\"a\":2}"),
    T("{\"a\":[{\"b\":{}}]}"),
    T("{\"\\u0061\":null}"),
    T(" null"),
    T("null "),
    T("\t\n\r {} \t\n\r"),
    T("[\n1\n]"),
    T("{\"a\"\t:\n\r1}"),
    T("[\"]\"]"),
    T("[\"\\\"]\"]"),
    T("{\"}\":\"{\"}"),
    T("[1.1,-1.1e1,\"\",{}]"),
    T("\"01234567\\\"89abcdef\""),
    T("\"0123456\\\"\""),
    T("\"01234567890123456789012\\n\""),
};

static const struct text invalid[] = {
    T(""),
    T(" "),
    T("\0"),
    T("null\0"),
    T("n"),
    T("nul"),
    T("nulls"),
    T("Null"),
    T("NaN"),
    T("Infinity"),
    T("-Infinity"),
    T("undefined"),
    T("tru"),
    T("truE"),
    T("fals"),
    T("true false"),
    T("1 2"),
    T("+1"),
    T("-"),
    T("--1"),
    T("01"),
    T("-01"),
    T("00"),
    T("1."),
    T(".5"),
    T("-.5"),
    T("1.e1"),
    T("1e"),
    T("1e+"),
    T("1e-"),
    T("1E"),
    T("1e1.5"),
    T("0x10"),
    T("1_000"),
    T("1a"),
    T("-a"),
    T("0e"),
    T("1..2"),
    T("1.2.3"),
    T("1e1e1"),
    T("\xef\xbc\x91"),
    T("\""),
    T("\"a"),
    T("\"\\\""),
    T("\"\\"),
    T("\"\\u"),
    T("\"\\u0"),
    T("\"\\u00"),
    T("\"\\u000"),
    T("\"\\u0000"),
    T("\"\\u000\""),
    T("\"\\u000g\""),
    T("\"\\u 000\""),
    T("\"\\u-000\""),
    T("\"\\U0041\""),
    T("\"\\x41\""),
    T("\"\\a\""),
    T("\"\\v\""),
    T("\"\\'\""),
    T("\"\\0\""),
    T("\"\\ \""),
    T("\"\n\""),
    T("\"\t\""),
    T("\"\0\""),
    T("\"\x1f\""),
    T("\"0123456789abcdef\x1f\""),
    T("\"0123456\x01\""),
    T("'a'"),
    T("a"),
    T("\"a\"b"),
    T("\"a\"\"b\""),
    T("\"\xff\""),
    T("\"\xc3\""),
    T("\"\xc0\x80\""),
    T("\"\xed\xa0\x80\""),
    T("\"\xf4\x90\x80\x80\""),
    T("\"\xe2\x80\""),
    T("\xc3\xa9"),
    T("[\xc3\xa9]"),
    T("["),
    T("[1"),
    T("[1,"),
    T("[1,]"),
    T("[,1]"),
    T("[,]"),
    T("[1,,2]"),
    T("[1 2]"),
    T("[1:2]"),
    T("[1;2]"),
    T("]"),
    T("[]]"),
    T("[[]"),
    T("[}"),
    T("[1}"),
    T("[\"a\""),
    T("[\"a\",\n4\n,1,"),
    T("{"),
    T("{\"a\""),
    T("{\"a\":"),
    T("{\"a\":1"),
    T("{\"a\":1,"),
    T("{\"a\":1,}"),
    T("{,\"a\":1}"),
    T("{\"a\"}"),
    T("{\"a\",1}"),
    T("{\"a\" 1}"),
    T("{\"a\"::1}"),
    T("{:1}"),
    T("{a:1}"),
    T("{1:1}"),
    T("{'a':1}"),
    T("{null:1}"),
    T("{[]:1}"),
    T("{{}:1}"),
    T("{\"a\":}"),
    T("{\"a\":1 \"b\":2}"),
    T("{\"a\":1;\"b\":2}"),
    T("{\"a\":1]"),
    T("}"),
    T("{}}"),
    T("{}{}"),
    T("{},"),
    T("[],"),
    T(","),
    T(":"),
    T("{\"a\":1,,\"b\":2}"),
    T("// c\n1"),
    T("/* c */1"),
    T("1 // c"),
    T("# c\n1"),
    T("\xef\xbb\xbf{}"),
    T("\xc2\xa0 1"),
    T("\v1"),
    T("\f1"),
    T("[\v]"),
    T("[1\f]"),
    T("\xe2\x80\xa8[]"),
    T("<a>"),
    T("[\"\\\x00\"]"),
    T("[\\u0020]"),
    T("\\u0031"),
    T("[1]x"),
    T("[1]\0"),
    T("{\"a\":\"b\"}#"),
    T("[\"a\0b\"]"),
    T("*"),
    T("{*}"),
    T("[-]"),
    T("[-1.]"),
    T("[1.0e]"),
};

static struct span span_of_text(struct text text)
{
	return span_of(text.text, text.size);
}

Test(json, valid_texts)
{
	struct guarded place = guarded_make(256);

	for (size_t i = 0; i < LENGTH(valid); i++)
		cr_expect(json_check(guarded_copy(&place, span_of_text(valid[i])), JSON_DEPTH_MAX), "valid: %s",
			  valid[i].text);
	guarded_free(&place);
}

Test(json, invalid_texts)
{
	struct guarded place = guarded_make(256);

	for (size_t i = 0; i < LENGTH(invalid); i++)
		cr_expect(!json_check(guarded_copy(&place, span_of_text(invalid[i])), JSON_DEPTH_MAX), "invalid: %s",
			  invalid[i].text);
	guarded_free(&place);
}

/* Cut short anywhere a text is not JSON, unless what is cut off was white space or digits. */
Test(json, valid_texts_cut_short)
{
	struct guarded place = guarded_make(256);
	struct span text;
	bool number;

	for (size_t i = 0; i < LENGTH(valid); i++) {
		text = span_of_text(valid[i]);
		number = strspn(valid[i].text, "-0123456789") > 0;
		for (size_t size = 0; size < text.size; size++) {
			bool good = json_check(guarded_copy(&place, span_of(text.data, size)), JSON_DEPTH_MAX);
			bool blank = strspn(valid[i].text + size, " \t\n\r") == text.size - size;

			if (!number && !blank)
				cr_expect(!good, "%.*s", (int)size, valid[i].text);
		}
	}
	guarded_free(&place);
}

static struct span nested(char *text, unsigned depth, bool objects)
{
	size_t size = 0;

	for (unsigned i = 0; i < depth; i++) {
		if (objects && i % 2 == 0) {
			memcpy(text + size, "{\"\":", 4);
			size += 4;
		} else {
			text[size++] = '[';
		}
	}
	text[size++] = '1';
	for (unsigned i = depth; i > 0; i--)
		text[size++] = objects && (i - 1) % 2 == 0 ? '}' : ']';
	return span_of(text, size);
}

Test(json, depth_is_bounded)
{
	static char text[8 * 1000];

	for (unsigned limit = 0; limit <= JSON_CHECK_DEPTH_MAX + 1; limit++) {
		for (unsigned depth = limit < 2 ? 0 : limit - 2; depth < limit + 3; depth++) {
			bool expected = depth <= limit && depth <= JSON_CHECK_DEPTH_MAX;

			cr_expect_eq(json_check(nested(text, depth, false), limit), expected, "%u of %u", depth, limit);
			cr_expect_eq(json_check(nested(text, depth, true), limit), expected, "%u of %u", depth, limit);
		}
	}
	cr_expect(!json_check(nested(text, 900, true), UINT32_MAX));
	cr_expect(json_check(nested(text, 512, true), UINT32_MAX));
	/* Beside each other they do not add up. */
	cr_expect(json_check(SPAN_LITERAL("[[],[],{\"a\":[],\"b\":{}}]"), 3));
	cr_expect(!json_check(SPAN_LITERAL("[[],[],{\"a\":[],\"b\":{}}]"), 2));
}

Test(json, a_nesting_bomb_is_refused)
{
	size_t size = 1u << 20;
	char *bomb = malloc(size);

	cr_assert_not_null(bomb);
	memset(bomb, '[', size);
	cr_expect(!json_check(span_of(bomb, size), JSON_DEPTH_MAX));
	for (size_t i = 0; i + 5 <= size; i += 5)
		memcpy(bomb + i, "{\"a\":", 5);
	cr_expect(!json_check(span_of(bomb, size), JSON_DEPTH_MAX));
	free(bomb);
}

/* ---- strings ---- */

static struct json_value value_of(const char *text)
{
	struct span span = span_of_string(text);

	cr_assert(json_check(span, JSON_DEPTH_MAX), "%s", text);
	return json_root(span);
}

Test(json, what_strings_mean)
{
	static const struct {
		const char *written;
		struct text means;
	} table[] = {
	    {"\"\"", T("")},
	    {"\"abc\"", T("abc")},
	    {"  \"abc\"\n", T("abc")},
	    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", T("\"\\/\b\f\n\r\t")},
	    {"\"\\u0000x\\u001f\\u007f\"", T("\0x\x1f\x7f")},
	    {"\"\\u00e9\\u07ff\\u0800\\uFFFD\\uffff\"", T("\xc3\xa9\xdf\xbf\xe0\xa0\x80\xef\xbf\xbd\xef\xbf\xbf")},
	    {"\"\\ud83d\\ude00\"", T("\xf0\x9f\x98\x80")},
	    {"\"\\uD800\\uDC00\\uDBFF\\uDFFF\"", T("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")},
	    {"\"\\ud800\"", T("\xef\xbf\xbd")},
	    {"\"\\udbff x\"", T("\xef\xbf\xbd x")},
	    {"\"\\udc00\\udfff\"", T("\xef\xbf\xbd\xef\xbf\xbd")},
	    {"\"\\ude00\\ud83d\"", T("\xef\xbf\xbd\xef\xbf\xbd")},
	    {"\"\\ud83d\\ud83d\\ude00\"", T("\xef\xbf\xbd\xf0\x9f\x98\x80")},
	    {"\"\\ud83d\\n\"", T("\xef\xbf\xbd\n")},
	    {"\"\\ud83d\\u0041\"", T("\xef\xbf\xbd"
				     "A")},
	    {"\"\\ud7ff\\ue000\"", T("\xed\x9f\xbf\xee\x80\x80")},
	    {"\"lone \\ud800 x, raw \xf0\x9f\x98\x80, \\\\ud800\"",
	     T("lone \xef\xbf\xbd x, raw \xf0\x9f\x98\x80, \\ud800")},
	};
	struct buffer out = BUFFER_EMPTY;
	struct span plain;

	for (size_t i = 0; i < LENGTH(table); i++) {
		struct json_value value = value_of(table[i].written);

		buffer_reset(&out);
		buffer_append(&out, "before", 6);
		json_string_decode(value, &out);
		cr_assert(!out.failed);
		cr_assert_eq(out.size, 6 + table[i].means.size, "%s", table[i].written);
		cr_expect_eq(memcmp(out.data + 6, table[i].means.text, table[i].means.size), 0, "%s", table[i].written);
		cr_expect_eq(json_string_plain(value, &plain), strchr(table[i].written, '\\') == NULL);
	}
	cr_assert(json_string_plain(value_of(" \"as it is\" "), &plain));
	cr_expect(span_equal(plain, SPAN_LITERAL("as it is")));
	cr_assert(json_string_plain(value_of("\"\""), &plain));
	cr_expect_eq(plain.size, 0);
	cr_expect(!json_string_plain(value_of("1"), &plain));
	buffer_free(&out);
}

Test(json, strings_that_are_equal)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} table[] = {
	    {"\"\"", "\"\"", true},
	    {"\"a\"", "\"a\"", true},
	    {"\"a\"", "\"\\u0061\"", true},
	    {"\"\\u0061b\\u0063\"", "\"a\\u0062c\"", true},
	    {"\"\\/\"", "\"/\"", true},
	    {"\"\\n\"", "\"\\u000A\"", true},
	    {"\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"", true},
	    {"\"\\uD83D\\uDE00\"", "\"\\ud83d\\ude00\"", true},
	    {"\"\\ud800\"", "\"\\uD800\"", true},
	    {"\"\\ud800\"", "\"\\ud801\"", false},
	    {"\"\\ud800\"", "\"\\ufffd\"", false},
	    {"\"\\ud800\"", "\"\xef\xbf\xbd\"", false},
	    {"\"a\"", "\"b\"", false},
	    {"\"a\"", "\"ab\"", false},
	    {"\"\\u0061\"", "\"ab\"", false},
	    {"\"\\u0061b\"", "\"a\"", false},
	    {"\"\"", "\"\\u0000\"", false},
	    {"\"1\"", "1", false},
	    {"1", "1", false},
	};

	for (size_t i = 0; i < LENGTH(table); i++) {
		cr_expect_eq(json_string_equal(value_of(table[i].a), value_of(table[i].b)), table[i].equal, "%s %s",
			     table[i].a, table[i].b);
		cr_expect_eq(json_string_equal(value_of(table[i].b), value_of(table[i].a)), table[i].equal, "%s %s",
			     table[i].b, table[i].a);
	}
	cr_expect(json_string_is(value_of("\"since\""), "since"));
	cr_expect(json_string_is(value_of("\"\\u0073inc\\u0065\""), "since"));
	cr_expect(json_string_is(value_of("\"\""), ""));
	cr_expect(!json_string_is(value_of("\"sinc\""), "since"));
	cr_expect(!json_string_is(value_of("\"sinces\""), "since"));
	cr_expect(!json_string_is(value_of("\"\\u0073inces\""), "since"));
	cr_expect(!json_string_is(value_of("\"sinc\\u0066\""), "since"));
	cr_expect(!json_string_is(value_of("\"\\n\""), "\\n"), "what is written is not what it means");
	cr_expect(!json_string_is(value_of("null"), "null"));
}

/* ---- numbers ---- */

Test(json, integers)
{
	static const struct {
		const char *text;
		bool is_integer;
		int64_t value;
	} table[] = {
	    {"0", true, 0},
	    {"-0", true, 0},
	    {"-0.0e5", true, 0},
	    {"0e99999999999999999999", true, 0},
	    {"0.000e-99999999999999999999", true, 0},
	    {"1", true, 1},
	    {"-1", true, -1},
	    {"1.0", true, 1},
	    {"1e2", true, 100},
	    {"1E+2", true, 100},
	    {"100e-2", true, 1},
	    {"1.5e1", true, 15},
	    {"0.1e1", true, 1},
	    {"0.001e3", true, 1},
	    {"-12300.00e-2", true, -123},
	    {"10203040506070", true, INT64_C(10203040506070)},
	    {"9007199254740991", true, INT64_C(9007199254740991)},
	    {"-9007199254740991", true, -INT64_C(9007199254740991)},
	    {"9007199254740991.000", true, INT64_C(9007199254740991)},
	    {"900719925474099100000e-5", true, INT64_C(9007199254740991)},
	    {"1e15", true, INT64_C(1000000000000000)},
	    {"9007199254740992", false, 0},
	    {"-9007199254740992", false, 0},
	    {"1e16", false, 0},
	    {"1e400", false, 0},
	    {"1e99999999999999999999", false, 0},
	    {"1e-99999999999999999999", false, 0},
	    {"18446744073709551617", false, 0},
	    {"10000000000000000000000000000000000000001", false, 0},
	    {"0.5", false, 0},
	    {"1.5", false, 0},
	    {"15e-1", false, 0},
	    {"1e-1", false, 0},
	    {"1.00000000000000000001", false, 0},
	    {"\"1\"", false, 0},
	    {"null", false, 0},
	    {"true", false, 0},
	    {"[1]", false, 0},
	    {"{}", false, 0},
	};
	int64_t value;

	for (size_t i = 0; i < LENGTH(table); i++) {
		value = 77;
		cr_expect_eq(json_integer(value_of(table[i].text), &value), table[i].is_integer, "%s", table[i].text);
		cr_expect_eq(value, table[i].is_integer ? table[i].value : 77, "%s", table[i].text);
	}
}

/* ---- walking ---- */

Test(json, members_and_elements)
{
	struct json_value root =
	    value_of(" { \"a\" : 1 , \"b\":[ true ,null,\"]\" , {}],\"\\u0061\":\"}\" ,\"c\":{\"a\":false}} ");
	struct json_value value, key;
	struct json_iterator iterator;
	unsigned count = 0;

	cr_assert_eq(root.type, JSON_OBJECT);
	cr_assert(json_member(root, "a", &value), "the last one counts");
	cr_expect(span_equal(value.text, SPAN_LITERAL("\"}\"")));
	cr_assert(json_member(root, "b", &value));
	cr_assert_eq(value.type, JSON_ARRAY);
	cr_expect(span_equal(value.text, SPAN_LITERAL("[ true ,null,\"]\" , {}]")));
	iterator = json_iterate(value);
	cr_assert(json_next_element(&iterator, &value) && value.type == JSON_TRUE && value.text.size == 4);
	cr_assert(json_next_element(&iterator, &value) && value.type == JSON_NULL);
	cr_assert(json_next_element(&iterator, &value) && json_string_is(value, "]"));
	cr_assert(json_next_element(&iterator, &value) && value.type == JSON_OBJECT && value.text.size == 2);
	cr_assert(!json_next_element(&iterator, &value));
	cr_assert(!json_next_element(&iterator, &value), "and again");
	cr_assert(json_member(root, "c", &value));
	cr_assert(json_member(value, "a", &value) && value.type == JSON_FALSE);
	value = root;
	cr_expect(!json_member(root, "d", &value));
	cr_expect(!json_member(root, "", &value));
	cr_expect_eq(value.text.data, root.text.data, "untouched");
	cr_expect(!json_member(value_of("[\"a\",1]"), "a", &value));
	cr_expect(!json_member(value_of("\"a\""), "a", &value));
	for (iterator = json_iterate(root); json_next_member(&iterator, &key, &value); count++)
		cr_expect_eq(key.type, JSON_STRING);
	cr_expect_eq(count, 4);
	iterator = json_iterate(value_of("{ }"));
	cr_expect(!json_next_member(&iterator, &key, &value));
	iterator = json_iterate(value_of("\"{a:1}\""));
	cr_expect(!json_next_element(&iterator, &value), "a string holds nothing");
}

/* Text that was never checked may give nonsense, but nothing outside of it is ever looked at. */
Test(json, unchecked_text_is_never_left)
{
	static const char alphabet[] = "{}[]\",:\\u0dDeE1.- tn\x01\xff";
	struct guarded place = guarded_make(32);
	struct random random = {11};
	struct buffer out = BUFFER_EMPTY;
	char bytes[32];

	for (unsigned round = 0; round < 200000; round++) {
		size_t size = random_below(&random, sizeof(bytes)), steps = 0;
		struct json_value value, key, member;
		struct json_iterator iterator;
		int64_t integer;

		for (size_t i = 0; i < size; i++)
			bytes[i] = alphabet[random_below(&random, sizeof(alphabet) - 1)];
		value = json_root(guarded_copy(&place, span_of(bytes, size)));
		iterator = json_iterate(value);
		while (json_next_element(&iterator, &member))
			cr_assert_lt(steps++, sizeof(bytes));
		iterator = json_iterate(value);
		while (json_next_member(&iterator, &key, &member)) {
			cr_assert_lt(steps++, 2 * sizeof(bytes));
			buffer_reset(&out);
			json_string_decode(member, &out);
			json_string_equal(key, member);
			json_string_is(member, "u0dD");
			json_integer(member, &integer);
		}
		buffer_reset(&out);
		json_string_decode(value, &out);
		json_integer(value, &integer);
	}
	buffer_free(&out);
	guarded_free(&place);
}

/* ---- escaping ---- */

Test(json, escaped_as_stringify_does)
{
	static const struct {
		struct text text;
		const char *written;
	} table[] = {
	    {T(""), "\"\""},
	    {T("abc"), "\"abc\""},
	    {T("\"\\/"), "\"\\\"\\\\/\""},
	    {T("\x00\x01\x02\x03\x04\x05\x06\x07"), "\"\\u0000\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\""},
	    {T("\b\t\n\x0b\f\r\x0e\x0f"), "\"\\b\\t\\n\\u000b\\f\\r\\u000e\\u000f\""},
	    {T("\x10\x19\x1a\x1b\x1c\x1d\x1e\x1f"), "\"\\u0010\\u0019\\u001a\\u001b\\u001c\\u001d\\u001e\\u001f\""},
	    {T(" \x7f"), "\" \x7f\""},
	    {T("\xc2\x80\xc3\xa9\xe2\x80\xa8\xe2\x80\xa9\xef\xbf\xbf"),
	     "\"\xc2\x80\xc3\xa9\xe2\x80\xa8\xe2\x80\xa9\xef\xbf\xbf\""},
	    {T("\xf0\x9f\x98\x80"), "\"\xf0\x9f\x98\x80\""},
	    {T("{\"a\":\"t1 \\\\ \\u0001\"}"), "\"{\\\"a\\\":\\\"t1 \\\\\\\\ \\\\u0001\\\"}\""},
	    {T("0123456\n01234567\n0123456789abcdef\""), "\"0123456\\n01234567\\n0123456789abcdef\\\"\""},
	};
	struct buffer out = BUFFER_EMPTY;

	for (size_t i = 0; i < LENGTH(table); i++) {
		buffer_reset(&out);
		json_escape(&out, span_of_text(table[i].text));
		cr_assert(span_equal(buffer_span(&out), span_of_string(table[i].written)), "%.*s instead of %s",
			  (int)out.size, out.data, table[i].written);
	}
	buffer_reset(&out);
	json_escape(&out, SPAN_NONE);
	cr_assert(span_equal(buffer_span(&out), SPAN_LITERAL("\"\"")));
	buffer_reset(&out);
	json_escape(&out, span_of("", SIZE_MAX));
	cr_assert(out.failed);
	buffer_free(&out);
}

/* What is escaped is one JSON string and means what it was, whatever stands where in a word. */
Test(json, escaping_and_decoding_give_the_same)
{
	static const char *const pieces[] = {"a",
					     "\"",
					     "\\",
					     "\n",
					     "\x01",
					     "\x1f",
					     " ",
					     "\x7f",
					     "\xc3\xa9",
					     "\xe2\x80\xa8",
					     "\xf0\x9f\x98\x80",
					     "0123456789abcdef",
					     "!",
					     "#",
					     "[",
					     "]",
					     "\xc2\x80",
					     "\xdf\xbf"};
	struct guarded place = guarded_make(1024);
	struct buffer text = BUFFER_EMPTY, written = BUFFER_EMPTY, decoded = BUFFER_EMPTY;
	struct random random = {5};

	for (unsigned round = 0; round < 20000; round++) {
		buffer_reset(&text);
		buffer_reset(&written);
		buffer_reset(&decoded);
		for (uint32_t i = random_below(&random, 40); i > 0; i--) {
			const char *piece = pieces[random_below(&random, LENGTH(pieces))];

			buffer_append(&text, piece, strlen(piece));
		}
		if (random_below(&random, 4) == 0)
			buffer_append_byte(&text, 0);
		json_escape(&written, guarded_copy(&place, buffer_span(&text)));
		cr_assert(json_check(guarded_copy(&place, buffer_span(&written)), 0));
		json_string_decode(json_root(guarded_copy(&place, buffer_span(&written))), &decoded);
		cr_assert(span_equal(buffer_span(&decoded), buffer_span(&text)), "%.*s", (int)written.size,
			  written.data);
	}
	buffer_free(&text);
	buffer_free(&written);
	buffer_free(&decoded);
	guarded_free(&place);
}
