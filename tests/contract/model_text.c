#include "tests/contract/model_text.h"

#include <stdarg.h>
#include <stdio.h>

void text_add(struct text *text, const char *format, ...)
{
	size_t room = sizeof(text->bytes) - text->size;
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vsnprintf(text->bytes + text->size, room, format, arguments);
	va_end(arguments);
	if (size > 0)
		text->size += (size_t)size < room ? (size_t)size : room - 1;
}

void text_add_bytes(struct text *text, struct span bytes)
{
	size_t room = sizeof(text->bytes) - 1 - text->size;
	size_t size = bytes.size < room ? bytes.size : room;

	if (size > 0)
		memcpy(text->bytes + text->size, bytes.data, size);
	text->size += size;
}

void text_append(char *out, size_t size, const char *more)
{
	size_t used = strlen(out);

	snprintf(out + used, size - used, "%s", more);
}

void text_append_number(char *out, size_t size, unsigned number)
{
	size_t used = strlen(out);

	snprintf(out + used, size - used, "%u ", number);
}

void text_failure(char *out, size_t size, int code, int outcome, const struct text *message)
{
	size_t used = strlen(out);

	used += (size_t)snprintf(out + used, size - used, "%d, outcome %d ", code, outcome);
	if (message == NULL)
		return;
	for (size_t i = 0; i < message->size && used + 5 < size; i++) {
		unsigned char byte = (unsigned char)message->bytes[i];

		used += (size_t)(byte < ' ' ? snprintf(out + used, size - used, "\\x%02x", byte)
					    : snprintf(out + used, size - used, "%c", byte));
	}
}
