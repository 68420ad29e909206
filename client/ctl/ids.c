#include "client/ctl/ids.h"

#include "client/ctl/record_json.h"
#include "protocol/utf8.h"

/* The escapes are JSON's, only that a quote need not be escaped: so put it in quotes and read it as a JSON string. */
static void quote(struct buffer *out, struct span text)
{
	buffer_append_byte(out, '"');
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] == '"')
			buffer_append_byte(out, '\\');
		buffer_append_byte(out, text.data[i]);
		if (text.data[i] == '\\' && i + 1 < text.size)
			buffer_append_byte(out, text.data[++i]);
	}
	buffer_append_byte(out, '"');
}

int ids_read(const char *argument, bool escaped, struct buffer *storage, struct span *id)
{
	struct span text = span_of_string(argument);
	struct buffer quoted = BUFFER_EMPTY;
	size_t start = storage->size;
	const char *reason;
	int rc = -1;

	if (!escaped) {
		*id = text;
		return utf8_valid(text) ? 0 : -1;
	}
	quote(&quoted, text);
	if (!quoted.failed && json_check(buffer_span(&quoted), 1) && buffer_reserve(storage, quoted.size)) {
		rc = record_json_text(json_root(buffer_span(&quoted)), storage, id, &reason);
		/* Without an escape it is a view into what is freed here. */
		if (rc == 0 && storage->size == start) {
			buffer_append(storage, id->data, id->size);
			*id = span_of(storage->data + start, id->size);
		}
	}
	buffer_free(&quoted);
	return rc;
}
