/*
 * config_reading: configurations as the daemon reads them: from arguments of a test, and files in a folder of its own.
 *
 * What was read last is in config, its complaints in message, a newline between two. No file of the machine is read.
 */
#ifndef KYNETA_TESTS_UNIT_CONFIG_READING_H
#define KYNETA_TESTS_UNIT_CONFIG_READING_H

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/config.h"
#include "tests/unit/scratch.h"

#define ARGUMENTS_MAX 80

static struct config *config;
static struct complaints complaints;
static char message[4096]; /* the complaints, a newline between two */

/* The arguments of the last config_read: a configuration points into them. */
static char program[] = "kyneta-stored", no_file[] = "--config=/dev/null",
	    *arguments[ARGUMENTS_MAX] = {program, no_file};
static int count = 2;

static inline void drop_arguments(void)
{
	while (count > 2)
		free(arguments[--count]);
}

__attribute__((format(printf, 1, 2))) static inline void add_argument(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	cr_assert_lt(count, ARGUMENTS_MAX);
	cr_assert_geq(vasprintf(&arguments[count++], format, list), 0);
	va_end(list);
}

static inline void add_line(void *context, const char *line)
{
	size_t length = strlen(message);

	(void)context;
	snprintf(message + length, sizeof(message) - length, "%s%s", length == 0 ? "" : "\n", line);
}

static inline enum config_result read_again(void)
{
	enum config_result result;

	config_unref(config);
	config = NULL;
	message[0] = '\0';
	result = config_read(&config, count, arguments, &complaints);
	complaints_tell(&complaints, add_line, NULL);
	cr_assert_eq(result == CONFIG_WRONG, complaints_any(&complaints));
	cr_assert_eq(result == CONFIG_RUN, config != NULL);
	complaints_free(&complaints);
	return result;
}

/* config_read of these arguments, up to a NULL. */
static inline enum config_result read_arguments(const char *first, ...)
{
	va_list list;

	drop_arguments();
	va_start(list, first);
	for (const char *argument = first; argument != NULL; argument = va_arg(list, const char *))
		add_argument("%s", argument);
	va_end(list);
	return read_again();
}

static inline void assert_wrong(enum config_result result, const char *expected)
{
	cr_assert_eq(result, CONFIG_WRONG, "taken, instead of: %s", expected);
	cr_assert_str_eq(message, expected);
}

static inline void assert_right(enum config_result result)
{
	cr_assert_eq(result, CONFIG_RUN, "%s", message);
}

enum kind { TEXT, SIZE, COUNT, SECONDS, MODE, GROUP, DURABILITY, LEVEL };

struct option {
	enum kind kind;
	const char *name;
	size_t offset;
	uint64_t least, most;
};

static const struct option options[] = {
#define X(kind, when, field, name, initial, least, most, reason)                                                       \
	{kind, name, offsetof(struct config, field), least, most},
    OPTION_TABLE(X)
#undef X
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

static inline uint64_t number_of(const struct option *option)
{
	uint64_t value;

	memcpy(&value, (const char *)config + option->offset, sizeof(value));
	return value;
}

static inline bool equal_texts(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static inline bool equal_numbers(uint64_t a, uint64_t b)
{
	return a == b;
}

#define EQUAL(a, b) _Generic((a), const char * : equal_texts, uint64_t : equal_numbers)(a, b)

/* ---- files ---- */

static char folder[SCRATCH_SIZE], path[SCRATCH_SIZE + 8], drop_ins[SCRATCH_SIZE + 8];

static inline void make_folder(void)
{
	scratch_make(folder);
	snprintf(path, sizeof(path), "%s/ini", folder);
	snprintf(drop_ins, sizeof(drop_ins), "%s/ini.d", folder);
}

/* The same, and one for drop-ins. */
static inline void make_folders(void)
{
	make_folder();
	cr_assert_eq(mkdir(drop_ins, 0700), 0);
}

static inline void remove_folder(void)
{
	scratch_remove(folder);
}

static inline void write_file(const char *name, const char *bytes, size_t size)
{
	FILE *file = fopen(name, "w");

	cr_assert_not_null(file);
	cr_assert_eq(fwrite(bytes, 1, size, file), size);
	cr_assert_eq(fclose(file), 0);
}

static inline void write_bytes(const char *bytes, size_t size)
{
	write_file(path, bytes, size);
}

static inline void write_text(const char *text)
{
	write_bytes(text, strlen(text));
}

static inline void write_drop_in(const char *name, const char *text)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "%s/%s", drop_ins, name);
	write_file(whole, text, strlen(text));
}

static inline enum config_result read_text(const char *text)
{
	write_text(text);
	return read_arguments("--config", path, NULL);
}

#endif
