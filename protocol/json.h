/*
 * json: JSON text, looked at in place.
 *
 * Metadata is kept verbatim and rows are exactly the bytes JSON.stringify gives, so what is
 * needed is not a tree but views: where a value begins and ends in the text. json_check() says
 * once whether a text is JSON (RFC 8259, strictly, as JSON.parse); everything below it then walks
 * checked text, cannot fail on it, and allocates nothing.
 */
#ifndef KYNETA_PROTOCOL_JSON_H
#define KYNETA_PROTOCOL_JSON_H

#include "protocol/buffer.h"
#include "protocol/span.h"

/* How deep a store's metadata may be; and what it stands in: a record, in an array, in a line of a session. */
#define JSON_DEPTH_MAX	     512
#define JSON_CHECK_DEPTH_MAX (JSON_DEPTH_MAX + 64)

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_value {
	enum json_type type;
	struct span text; /* the whole value as written, quotes and brackets included */
};

/* Walks the members of one object or the elements of one array. */
struct json_iterator {
	const uint8_t *at;
	const uint8_t *end;
};

/*
 * json_check(text, depth_max) - is @text exactly one JSON value (white space around it allowed), valid
 * UTF-8, nested at most @depth_max arrays and objects deep (<= JSON_CHECK_DEPTH_MAX)?
 */
bool json_check(struct span text, unsigned depth_max);

/* json_root(text) - the value of a checked text. */
struct json_value json_root(struct span text);

/* json_iterate(value) - start over the members of an object or the elements of an array. */
struct json_iterator json_iterate(struct json_value value);

/* json_next_member(iterator, key, value) - the next member of an object; false at the end. */
bool json_next_member(struct json_iterator *iterator, struct json_value *key, struct json_value *value);

/* json_next_element(iterator, value) - the next element of an array; false at the end. */
bool json_next_element(struct json_iterator *iterator, struct json_value *value);

/*
 * json_member(object, name, value) - the member @name of an object (the last one, as JSON.parse takes it);
 * escapes in keys are understood. False if there is none.
 */
bool json_member(struct json_value object, const char *name, struct json_value *value);

/* json_string_equal(a, b) - do two strings mean the same characters, however they are escaped? */
bool json_string_equal(struct json_value a, struct json_value b);

/* json_string_is(value, text) - is @value a string that means exactly @text (plain ASCII)? */
bool json_string_is(struct json_value value, const char *text);

/* json_string_decode(value, out) - append the characters a string means, as UTF-8; a lone surrogate gives U+FFFD. */
void json_string_decode(struct json_value value, struct buffer *out);

/* json_string_plain(value) - a string without any escape: its characters are the text between the quotes. */
bool json_string_plain(struct json_value value, struct span *characters);

/* json_integer(value, out) - a number that is an integer in JavaScript's safe range (1, 1.0 and 1e2 are). */
bool json_integer(struct json_value value, int64_t *out);

/*
 * json_escape(out, text) - append valid UTF-8 as a JSON string, quotes included, exactly as JSON.stringify does:
 * only the quote, the backslash and U+0000-001F are escaped.
 */
void json_escape(struct buffer *out, struct span text);

#endif
