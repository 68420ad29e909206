/*
 * option: the rows of OPTION_TABLE at run time, and what one option takes.
 *
 * Text to value and back, and words for people. Knows neither where the text comes from nor what the value is for.
 * Only config's files include it.
 */
#ifndef KYNETA_DAEMON_OPTION_H
#define KYNETA_DAEMON_OPTION_H

#include <stddef.h>

#include "daemon/config.h"

/* Room for a value or a range as text. A path given may be longer: it is cut where it is quoted. */
#define OPTION_TEXT_SIZE 160

enum option_kind { KIND_TEXT, KIND_SIZE, KIND_COUNT, KIND_SECONDS, KIND_MODE, KIND_GROUP, KIND_DURABILITY, KIND_LEVEL };

/* When a value that was read again takes effect. */
enum option_when { WHEN_RELOAD, WHEN_CONNECTION, WHEN_RESTART };

/* A row of OPTION_TABLE. */
struct option_row {
	enum option_kind kind;
	enum option_when when;
	const char *name;
	size_t offset; /* of its field in struct config */
	const char *initial_text;
	uint64_t initial, least, most;
	const char *reason;
};

extern const struct option_row option_rows[OPTION_COUNT];

/* option_parse(row, text, value) - the number that @text stands for; false if it is not taken. Not for KIND_TEXT. */
bool option_parse(const struct option_row *row, const char *text, uint64_t *value);

/* option_print_value(row, value, out) - a number as the option would take it: "64M", "synced", "0660". */
void option_print_value(const struct option_row *row, uint64_t value, char out[OPTION_TEXT_SIZE]);
void option_print_default(const struct option_row *row, char out[OPTION_TEXT_SIZE]);

/* option_print_range(row, out) - "4K to 1G", "synced or committed". option_print_takes: "a size from 4K to 1G". */
void option_print_range(const struct option_row *row, char out[OPTION_TEXT_SIZE]);
void option_print_takes(const struct option_row *row, char out[OPTION_TEXT_SIZE]);

/* option_when(row) - what makes a new value take effect: "reload", "reload, for new connections", "restart". */
const char *option_when(const struct option_row *row);

/* option_find(name) - its row, or NULL. */
const struct option_row *option_find(const char *name);

/*
 * option_nearest(name) - the option that was probably meant: one that begins like this, else one that differs in a
 * third of its letters at most; or NULL.
 */
const struct option_row *option_nearest(const char *name);

#endif
