/*
 * second_opinion: jansson, beside protocol/json.h.
 *
 * The two speak of the same things: jansson's names are moved out of the way.
 */
#ifndef KYNETA_TESTS_UNIT_SECOND_OPINION_H
#define KYNETA_TESTS_UNIT_SECOND_OPINION_H

#include <string.h>

#include "protocol/json.h"

#define json_type    jansson_type
#define json_integer jansson_integer
#define JSON_OBJECT  JANSSON_OBJECT
#define JSON_ARRAY   JANSSON_ARRAY
#define JSON_STRING  JANSSON_STRING
#define JSON_INTEGER JANSSON_INTEGER
#define JSON_REAL    JANSSON_REAL
#define JSON_TRUE    JANSSON_TRUE
#define JSON_FALSE   JANSSON_FALSE
#define JSON_NULL    JANSSON_NULL
#include <jansson.h>
#undef json_type
#undef json_integer
#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_STRING
#undef JSON_TRUE
#undef JSON_FALSE
#undef JSON_NULL

/* jansson_is(value, type) - jansson's own macros for it speak of types by names that are ours now. NULL is of none. */
static inline bool jansson_is(const json_t *value, jansson_type type)
{
	return value != NULL && json_typeof(value) == type;
}

/* second_opinion(text, error) - what jansson makes of it; NULL if it refuses. It overlooks a NUL behind a number, so it
 * is not asked about any: JSON has none. */
static inline json_t *second_opinion(struct span text, json_error_t *error)
{
	if (text.size > 0 && memchr(text.data, '\0', text.size) != NULL) {
		*error = (json_error_t){.text = "a NUL byte"};
		return NULL;
	}
	return json_loadb((const char *)text.data, text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, error);
}

/*
 * second_opinion_counts(error) - is a refusal one of JSON? jansson also refuses lone surrogates, NUL in a key, numbers
 * beyond its range and what is nested deeper than 2,048: about those it is not asked.
 */
static inline bool second_opinion_counts(const json_error_t *error)
{
	return json_error_code(error) != json_error_numeric_overflow &&
	       json_error_code(error) != json_error_stack_overflow &&
	       json_error_code(error) != json_error_null_byte_in_key && strstr(error->text, "\\u") == NULL &&
	       strstr(error->text, "Unicode") == NULL;
}

#endif
