/*
 * json: a second opinion (jansson) on random texts, whole and damaged.
 */
#include "tests/unit/guarded.h"
#include "tests/unit/random.h"
#include "tests/unit/second_opinion.h"

#include <criterion/criterion.h>
#include <math.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))

static void append_text(struct buffer *out, const char *text)
{
	buffer_append(out, text, strlen(text));
}

static const char *pick(struct random *random, const char *const *table, size_t length)
{
	return table[random_below(random, (uint32_t)length)];
}

static void random_space(struct random *random, struct buffer *out)
{
	static const char *const spaces[] = {"", "", "", "", "", " ", "\n", "\t", "\r\n", "   "};

	append_text(out, pick(random, spaces, LENGTH(spaces)));
}

static void random_string(struct random *random, struct buffer *out)
{
	static const char *const pieces[] = {"a",
					     "key",
					     "\\n",
					     "\\\"",
					     "\\\\",
					     "\\/",
					     "\\u0041",
					     "\\u00e9",
					     "\xc3\xa9",
					     "\\ud83d\\ude00",
					     "\xf0\x9f\x98\x80",
					     "0123456789abcdef",
					     " ",
					     "]",
					     "}",
					     ",",
					     ":",
					     "\\b",
					     "\\u2028"};

	buffer_append_byte(out, '"');
	for (uint32_t i = random_below(random, 6); i > 0; i--)
		append_text(out, pick(random, pieces, LENGTH(pieces)));
	buffer_append_byte(out, '"');
}

static void random_json(struct random *random, struct buffer *out, unsigned depth)
{
	static const char *const scalars[] = {"null", "true", "false", "0",	   "-1",
					      "12",   "1.5",  "1e3",   "-0.25E-2", "9007199254740991"};
	uint32_t choice = random_below(random, depth == 0 ? 6 : 10);
	uint32_t count = random_below(random, 4);

	random_space(random, out);
	if (choice < 3) {
		append_text(out, pick(random, scalars, LENGTH(scalars)));
	} else if (choice < 6) {
		random_string(random, out);
	} else {
		buffer_append_byte(out, choice < 8 ? '[' : '{');
		for (uint32_t i = 0; i < count; i++) {
			if (i > 0)
				buffer_append_byte(out, ',');
			random_space(random, out);
			if (choice >= 8) {
				random_string(random, out);
				random_space(random, out);
				buffer_append_byte(out, ':');
			}
			random_json(random, out, depth - 1);
		}
		random_space(random, out);
		buffer_append_byte(out, choice < 8 ? ']' : '}');
	}
	random_space(random, out);
}

static void compare_string(struct json_value ours, const char *text, size_t size, struct buffer *scratch)
{
	buffer_reset(scratch);
	json_string_decode(ours, scratch);
	cr_assert(span_equal(buffer_span(scratch), span_of(text, size)));
}

/* The same tree, member by member and element by element. */
static void compare_trees(struct json_value ours, const json_t *theirs, struct buffer *scratch)
{
	struct json_iterator iterator = json_iterate(ours);
	struct json_value key, value;
	int64_t integer;
	size_t count = 0;

	switch (json_typeof(theirs)) {
	case JANSSON_OBJECT:
		cr_assert_eq(ours.type, JSON_OBJECT);
		while (json_next_member(&iterator, &key, &value)) {
			struct json_value last;

			buffer_reset(scratch);
			json_string_decode(key, scratch);
			buffer_append_byte(scratch, 0);
			/* Of members with one key both take the last. */
			cr_assert(json_member(ours, (const char *)scratch->data, &last));
			if (last.text.data == value.text.data) {
				count++;
				compare_trees(value, json_object_get(theirs, (const char *)scratch->data), scratch);
			}
		}
		cr_assert_eq(count, json_object_size(theirs));
		break;
	case JANSSON_ARRAY:
		cr_assert_eq(ours.type, JSON_ARRAY);
		while (json_next_element(&iterator, &value))
			compare_trees(value, json_array_get(theirs, count++), scratch);
		cr_assert_eq(count, json_array_size(theirs));
		break;
	case JANSSON_STRING:
		cr_assert_eq(ours.type, JSON_STRING);
		compare_string(ours, json_string_value(theirs), json_string_length(theirs), scratch);
		break;
	case JANSSON_INTEGER:
		cr_assert(json_integer(ours, &integer));
		cr_assert_eq(integer, json_integer_value(theirs));
		break;
	case JANSSON_REAL:
		cr_assert_eq(ours.type, JSON_NUMBER);
		cr_assert_eq(json_integer(ours, &integer), floor(json_real_value(theirs)) == json_real_value(theirs));
		break;
	case JANSSON_TRUE:
		cr_assert_eq(ours.type, JSON_TRUE);
		break;
	case JANSSON_FALSE:
		cr_assert_eq(ours.type, JSON_FALSE);
		break;
	case JANSSON_NULL:
		cr_assert_eq(ours.type, JSON_NULL);
		break;
	}
}

Test(json, random_documents_mean_the_same_to_another_parser)
{
	struct guarded place = guarded_make(1u << 16);
	struct buffer text = BUFFER_EMPTY, scratch = BUFFER_EMPTY;
	struct random random = {3};
	json_error_t error;
	json_t *theirs;

	for (unsigned round = 0; round < 10000; round++) {
		struct span copy;

		buffer_reset(&text);
		random_json(&random, &text, 5);
		copy = guarded_copy(&place, buffer_span(&text));
		theirs = second_opinion(copy, &error);
		cr_assert_not_null(theirs, "%s: %.*s", error.text, (int)text.size, text.data);
		cr_assert(json_check(copy, 6), "%.*s", (int)text.size, text.data);
		compare_trees(json_root(copy), theirs, &scratch);
		json_decref(theirs);
	}
	buffer_free(&text);
	buffer_free(&scratch);
	guarded_free(&place);
}

Test(json, damaged_documents_are_refused_by_both)
{
	static const char alphabet[] = "{}[]\",:\\u0dDeE1.+- tnf\x01\x80\xc3\xff";
	struct guarded place = guarded_make(1u << 16);
	struct buffer text = BUFFER_EMPTY;
	struct random random = {7};
	unsigned good = 0, bad = 0;
	json_error_t error;
	json_t *theirs;

	for (unsigned round = 0; round < 60000; round++) {
		struct span copy;

		buffer_reset(&text);
		random_json(&random, &text, 3);
		for (uint32_t i = random_below(&random, 3) + 1; i > 0; i--) {
			uint8_t *byte = &text.data[random_below(&random, (uint32_t)text.size)];

			*byte = (uint8_t)alphabet[random_below(&random, sizeof(alphabet) - 1)];
		}
		if (random_below(&random, 4) == 0)
			text.size = random_below(&random, (uint32_t)text.size + 1);
		copy = guarded_copy(&place, buffer_span(&text));
		theirs = second_opinion(copy, &error);
		if (theirs == NULL && !second_opinion_counts(&error))
			continue;
		cr_assert_eq(json_check(copy, JSON_DEPTH_MAX), theirs != NULL, "%.*s", (int)copy.size, copy.data);
		good += theirs != NULL;
		bad += theirs == NULL;
		json_decref(theirs);
	}
	cr_assert_gt(good, 1000);
	cr_assert_gt(bad, 1000);
	buffer_free(&text);
	guarded_free(&place);
}
