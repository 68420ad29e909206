/*
 * metadata: two texts with a NUL between them, read as StoreMeta and compared.
 *
 * Whether a text is one is decided a second time by the rules, on the tree that jansson makes of it. What was read lies
 * within the text, the comparison is fair to both sides, and what is told about a difference is valid UTF-8. Reading
 * allocates nothing.
 */
#include <math.h>

#include "protocol/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/allocations.h"
#include "tests/unit/second_opinion.h"

#define SAFE_INTEGER_MAX 9007199254740991.0

/* ---- the rules, on jansson's tree ---- */

/* Nested deeper than a meta may be? Brackets outside of strings; the text is known to be JSON. */
static bool is_too_deep(struct span text)
{
	unsigned depth = 0, most = 0;
	bool in_string = false;

	for (size_t i = 0; i < text.size; i++) {
		char byte = (char)text.data[i];

		if (in_string) {
			in_string = byte != '"';
			i += byte == '\\';
		} else if (byte == '"') {
			in_string = true;
		} else if (byte == '[' || byte == '{') {
			most = ++depth > most ? depth : most;
		} else if (byte == ']' || byte == '}') {
			depth--;
		}
	}
	return most > JSON_DEPTH_MAX;
}

static bool is_safe_integer(const json_t *value)
{
	double number = json_number_value(value);

	return (jansson_is(value, JANSSON_INTEGER) || jansson_is(value, JANSSON_REAL)) && floor(number) == number &&
	       fabs(number) <= SAFE_INTEGER_MAX;
}

static bool is_mode(const json_t *value)
{
	return jansson_is(value, JANSSON_OBJECT) && jansson_is(json_object_get(value, "writerModel"), JANSSON_STRING) &&
	       jansson_is(json_object_get(value, "delivery"), JANSSON_STRING) &&
	       jansson_is(json_object_get(value, "durability"), JANSSON_STRING);
}

static bool is_meta(const json_t *root)
{
	const json_t *replica = json_object_get(root, "replicaType");
	const json_t *mode = json_object_get(root, "syncMode"), *protocol = json_object_get(root, "syncProtocol");

	return jansson_is(replica, JANSSON_ARRAY) && json_array_size(replica) == 3 &&
	       jansson_is(json_array_get(replica, 0), JANSSON_STRING) && is_safe_integer(json_array_get(replica, 1)) &&
	       is_safe_integer(json_array_get(replica, 2)) && (mode == NULL) != (protocol == NULL) &&
	       is_mode(mode != NULL ? mode : protocol) &&
	       jansson_is(json_object_get(root, "schemaHash"), JANSSON_STRING);
}

/* Reals are rounded when they are read, so that one beside an integer looks like it: about those nobody is asked. */
static bool holds_real(const json_t *root)
{
	const json_t *replica = json_object_get(root, "replicaType");

	return jansson_is(json_array_get(replica, 1), JANSSON_REAL) ||
	       jansson_is(json_array_get(replica, 2), JANSSON_REAL);
}

static void compare_text(struct json_value ours, const json_t *theirs)
{
	struct buffer decoded = BUFFER_EMPTY;

	json_string_decode(ours, &decoded);
	MUST(span_equal(buffer_span(&decoded), span_of(json_string_value(theirs), json_string_length(theirs))),
	     "another text than jansson's");
	buffer_free(&decoded);
}

static void compare_with_jansson(const struct meta *meta, const json_t *root)
{
	const json_t *replica = json_object_get(root, "replicaType");
	const json_t *mode = json_object_get(root, meta_key(meta->layout));

	compare_text(meta->replica_name, json_array_get(replica, 0));
	MUST((double)meta->replica_major == json_number_value(json_array_get(replica, 1)), "major");
	MUST((double)meta->replica_minor == json_number_value(json_array_get(replica, 2)), "minor");
	compare_text(meta->writer_model, json_object_get(mode, "writerModel"));
	compare_text(meta->delivery, json_object_get(mode, "delivery"));
	compare_text(meta->durability, json_object_get(mode, "durability"));
}

static void ask_jansson(struct span text, const struct meta *meta, bool good, const char *reason)
{
	json_error_t error;
	json_t *root = second_opinion(text, &error);

	if (root == NULL) {
		MUST(!good || !second_opinion_counts(&error), "jansson refuses it: %s", error.text);
		return;
	}
	if (good) {
		MUST(is_meta(root) && !is_too_deep(text), "by the rules it is none");
		compare_with_jansson(meta, root);
	} else if (!holds_real(root)) {
		MUST(!is_meta(root) || is_too_deep(text), "by the rules it is one, and refused: %s", reason);
	}
	json_decref(root);
}

/* ---- one, and two ---- */

static bool read(struct span text, struct meta *meta)
{
	unsigned long allocations = allocations_made;
	const char *reason = NULL;
	bool good = meta_read(text, meta, &reason) == 0;

	MUST(allocations_made == allocations, "it allocates");
	MUST(good || (reason != NULL && *reason != '\0'), "no reason");
	if (good) {
		MUST(meta->layout == LAYOUT_1 || meta->layout == LAYOUT_2, "layout %d", (int)meta->layout);
		MUST(span_equal(meta->text, text), "not verbatim");
		MUST(is_within(meta->sync_mode.text, text) && is_within(meta->replica_name.text, text),
		     "a view outside");
		MUST(meta_compare(meta, meta) == META_SAME, "it differs from itself");
	}
	ask_jansson(text, meta, good, reason);
	return good;
}

static void compare(const struct meta *a, const struct meta *b)
{
	enum meta_difference difference = meta_compare(a, b);
	struct buffer text = BUFFER_EMPTY;

	MUST(meta_compare(b, a) == difference, "the order matters");
	for (unsigned i = 0; difference != META_SAME && i < 4; i++) {
		buffer_reset(&text);
		meta_mismatch_text(&text, difference, a, b, i % 2 == 1, i < 2 ? LAYOUT_1 : LAYOUT_2);
		MUST(!text.failed && utf8_valid(buffer_span(&text)), "what is told is not UTF-8");
	}
	buffer_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size), first = cut_to_nul(&input);
	struct meta a, b;

	if (read(first, &a) && read(input, &b))
		compare(&a, &b);
	return 0;
}
