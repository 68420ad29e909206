#include "daemon/setting.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"

#define COMPLAINT_SIZE 1024

/* What log_escape makes of a byte at most. */
#define ESCAPED_SIZE 4

static void add(struct complaints *complaints, const char *text)
{
	size_t size = strlen(text) + 1;
	struct complaint *complaint = malloc(sizeof(*complaint) + size);

	if (complaint == NULL) {
		complaints->no_memory = true;
		return;
	}
	complaint->next = NULL;
	memcpy(complaint->text, text, size);
	if (complaints->first == NULL)
		complaints->first = complaint;
	else
		*complaints->last = complaint;
	complaints->last = &complaint->next;
}

void complaints_add(struct complaints *complaints, const char *format, ...)
{
	char text[COMPLAINT_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	add(complaints, text);
}

void complaints_add_at(struct complaints *complaints, const char *file, unsigned line, const char *format, ...)
{
	char text[COMPLAINT_SIZE];
	va_list arguments;
	int length;

	length = snprintf(text, sizeof(text), "%.500s:%u: ", file, line);
	va_start(arguments, format);
	vsnprintf(text + length, sizeof(text) - (size_t)length, format, arguments);
	va_end(arguments);
	add(complaints, text);
}

void complaints_tell(const struct complaints *complaints, void (*tell)(void *context, const char *line), void *context)
{
	char line[ESCAPED_SIZE * COMPLAINT_SIZE];

	for (const struct complaint *complaint = complaints->first; complaint != NULL; complaint = complaint->next) {
		log_escape(complaint->text, strlen(complaint->text), line, sizeof(line));
		tell(context, line);
	}
	if (complaints->no_memory)
		tell(context, "out of memory");
}

void complaints_free(struct complaints *complaints)
{
	struct complaint *complaint;

	while ((complaint = complaints->first) != NULL) {
		complaints->first = complaint->next;
		free(complaint);
	}
	*complaints = (struct complaints){0};
}
