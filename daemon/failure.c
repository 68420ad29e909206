#include "daemon/failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Where to cut @text of @size bytes so that no character is cut in half: its last byte may be the beginning of one. */
static size_t whole_characters(const char *text, size_t size)
{
	size_t start = size;

	while (start > 0 && size - start < 3 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
		start--;
	if (start == 0 || (unsigned char)text[start - 1] < 0xc0)
		return size;
	unsigned char lead = (unsigned char)text[start - 1];
	size_t needs = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;

	return size - (start - 1) >= needs ? size : start - 1;
}

int failure_set(struct failure *failure, int code, const char *format, ...)
{
	va_list arguments;
	int size;

	if (failure == NULL)
		return code;
	failure->code = code;
	failure->fatal = false;
	failure->detail = NULL;
	va_start(arguments, format);
	size = vsnprintf(failure->message, sizeof(failure->message), format, arguments);
	va_end(arguments);
	if (size < 0)
		failure->message[0] = '\0';
	else if ((size_t)size >= sizeof(failure->message))
		failure->message[whole_characters(failure->message, sizeof(failure->message) - 1)] = '\0';
	return code;
}
