/*
 * fields: several members of one JSON object, found in a single walk over it.
 *
 * json_member() walks the whole object for each name; a line of a session may hold megabytes.
 */
#ifndef KYNETA_CTL_FIELDS_H
#define KYNETA_CTL_FIELDS_H

#include "protocol/json.h"

struct field {
	const char *name; /* plain ASCII */
	struct json_value value;
};

/* fields_read(object, fields, count) - fill in the values; one that is absent is left as it was. The last of a name
 * counts. */
static inline void fields_read(struct json_value object, struct field *fields, size_t count)
{
	struct json_iterator members = json_iterate(object);
	struct json_value key, value;

	if (object.type != JSON_OBJECT)
		return;
	while (json_next_member(&members, &key, &value)) {
		for (size_t i = 0; i < count; i++) {
			if (json_string_is(key, fields[i].name)) {
				fields[i].value = value;
				break;
			}
		}
	}
}

/* field_is(field, type) - is it there, and of this type? */
static inline bool field_is(const struct field *field, enum json_type type)
{
	return field->value.text.data != NULL && field->value.type == type;
}

/* field_has(field) - is it there? */
static inline bool field_has(const struct field *field)
{
	return field->value.text.data != NULL;
}

#endif
