#include "daemon/option.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/principals.h"

/* The default of a path is text, that of everything else a number. */
#define INITIAL_TEXT(initial)	   .initial_text = (initial)
#define INITIAL_SIZE(number)	   .initial = (number)
#define INITIAL_COUNT(number)	   .initial = (number)
#define INITIAL_SECONDS(number)	   .initial = (number)
#define INITIAL_GROUP(number)	   .initial = (number)
#define INITIAL_MODE(number)	   .initial = (number)
#define INITIAL_DURABILITY(number) .initial = (number)
#define INITIAL_LEVEL(number)	   .initial = (number)

const struct option_row option_rows[OPTION_COUNT] = {
#define X(option, effect, field, spelling, start, low, high, why)                                                      \
	{.kind = KIND_##option,                                                                                        \
	 .when = WHEN_##effect,                                                                                        \
	 .name = (spelling),                                                                                           \
	 .offset = offsetof(struct config, field),                                                                     \
	 INITIAL_##option(start),                                                                                      \
	 .least = (low),                                                                                               \
	 .most = (high),                                                                                               \
	 .reason = (why)},
    OPTION_TABLE(X)
#undef X
};

/* Words that stand for numbers. */
struct choice {
	const char *name;
	uint64_t value;
};

static const struct choice durabilities[] = {{"synced", 1}, {"committed", 0}, {NULL, 0}};

static const struct choice levels[] = {
#define X(constant, number, name) {#name, number},
    LOG_LEVEL_LIST(X)
#undef X
	{NULL, 0}};

static const struct choice *choices_of(const struct option_row *row)
{
	if (row->kind == KIND_DURABILITY)
		return durabilities;
	return row->kind == KIND_LEVEL ? levels : NULL;
}

#define OWN_GROUP "own"

/* Digits and nothing else, then a suffix if @suffixes. */
static bool parse_number(const char *text, unsigned base, bool suffixes, uint64_t *value)
{
	static const char letters[] = "kKmMgG";
	uint64_t number = 0;
	const char *at = text, *letter;

	for (; *at >= '0' && (unsigned)(*at - '0') < base; at++)
		if (__builtin_mul_overflow(number, base, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
			return false;
	if (at == text)
		return false;
	if (suffixes && *at != '\0' && (letter = strchr(letters, *at)) != NULL) {
		if (__builtin_mul_overflow(number, UINT64_C(1) << ((letter - letters) / 2 * 10 + 10), &number))
			return false;
		at++;
	}
	*value = number;
	return *at == '\0';
}

static bool parse_group(const char *text, uint64_t *value)
{
	char message[PRINCIPALS_MESSAGE_SIZE];
	gid_t group = CONFIG_GROUP_OWN;

	if (strcmp(text, OWN_GROUP) != 0 && principals_group(text, &group, message) != 0)
		return false;
	*value = group;
	return true;
}

bool option_parse(const struct option_row *row, const char *text, uint64_t *value)
{
	const struct choice *choice = choices_of(row);

	if (choice != NULL) {
		for (; choice->name != NULL; choice++) {
			if (strcmp(choice->name, text) == 0) {
				*value = choice->value;
				return true;
			}
		}
		return false;
	}
	if (row->kind == KIND_GROUP)
		return parse_group(text, value);
	if (!parse_number(text, row->kind == KIND_MODE ? 8 : 10, row->kind == KIND_SIZE, value))
		return false;
	return *value >= row->least && *value <= row->most;
}

void option_print_value(const struct option_row *row, uint64_t value, char out[OPTION_TEXT_SIZE])
{
	const struct choice *choice = choices_of(row);
	unsigned shift = 0;

	for (; choice != NULL && choice->name != NULL; choice++) {
		if (choice->value == value) {
			snprintf(out, OPTION_TEXT_SIZE, "%s", choice->name);
			return;
		}
	}
	if (row->kind == KIND_MODE) {
		snprintf(out, OPTION_TEXT_SIZE, "%04" PRIo64, value);
		return;
	}
	if (row->kind == KIND_GROUP && value == CONFIG_GROUP_OWN) {
		snprintf(out, OPTION_TEXT_SIZE, OWN_GROUP);
		return;
	}
	while (row->kind == KIND_SIZE && shift < 3 && value != 0 && value % 1024 == 0) {
		value /= 1024;
		shift++;
	}
	snprintf(out, OPTION_TEXT_SIZE, "%" PRIu64 "%.*s", value, shift == 0 ? 0 : 1,
		 shift == 0 ? "" : &"KMG"[shift - 1]);
}

void option_print_default(const struct option_row *row, char out[OPTION_TEXT_SIZE])
{
	if (row->kind == KIND_TEXT)
		snprintf(out, OPTION_TEXT_SIZE, "%s", row->initial_text);
	else
		option_print_value(row, row->initial, out);
}

void option_print_range(const struct option_row *row, char out[OPTION_TEXT_SIZE])
{
	const struct choice *choice = choices_of(row);
	char least[OPTION_TEXT_SIZE], most[OPTION_TEXT_SIZE];
	size_t length = 0;

	if (choice == NULL && row->kind == KIND_TEXT) {
		snprintf(out, OPTION_TEXT_SIZE, "a path");
		return;
	}
	if (row->kind == KIND_GROUP) {
		snprintf(out, OPTION_TEXT_SIZE, OWN_GROUP " or a group");
		return;
	}
	if (choice == NULL) {
		option_print_value(row, row->least, least);
		option_print_value(row, row->most, most);
		snprintf(out, OPTION_TEXT_SIZE, "%.60s to %.60s", least, most);
		return;
	}
	for (size_t i = 0; choice[i].name != NULL; i++) {
		const char *between = i == 0 ? "" : choice[i + 1].name == NULL ? " or " : ", ";

		length += (size_t)snprintf(out + length, OPTION_TEXT_SIZE - length, "%s%s", between, choice[i].name);
	}
}

void option_print_takes(const struct option_row *row, char out[OPTION_TEXT_SIZE])
{
	static const char *const nouns[] = {
	    [KIND_TEXT] = "",
	    [KIND_SIZE] = "a size from ",
	    [KIND_COUNT] = "a number from ",
	    [KIND_SECONDS] = "seconds from ",
	    [KIND_MODE] = "an octal mode from ",
	    [KIND_GROUP] = "",
	    [KIND_DURABILITY] = "",
	    [KIND_LEVEL] = "",
	};
	char range[OPTION_TEXT_SIZE];

	option_print_range(row, range);
	snprintf(out, OPTION_TEXT_SIZE, "%s%.120s", nouns[row->kind], range);
}

const char *option_when(const struct option_row *row)
{
	static const char *const names[] = {
	    [WHEN_RELOAD] = "reload",
	    [WHEN_CONNECTION] = "reload, for new connections",
	    [WHEN_RESTART] = "restart",
	};

	return names[row->when];
}

/* Levenshtein's distance, in one row of its table; names longer than that are far away. */
static size_t distance(const char *a, const char *b)
{
	size_t cost[OPTION_TEXT_SIZE];
	size_t length = strlen(b);

	if (length >= OPTION_TEXT_SIZE)
		return SIZE_MAX;
	for (size_t j = 0; j <= length; j++)
		cost[j] = j;
	for (size_t i = 1; a[i - 1] != '\0'; i++) {
		size_t diagonal = cost[0];

		cost[0] = i;
		for (size_t j = 1; j <= length; j++) {
			size_t least = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = cost[j];
			if (cost[j] + 1 < least)
				least = cost[j] + 1;
			if (cost[j - 1] + 1 < least)
				least = cost[j - 1] + 1;
			cost[j] = least;
		}
	}
	return cost[length];
}

const struct option_row *option_find(const char *name)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (strcmp(option_rows[i].name, name) == 0)
			return &option_rows[i];
	return NULL;
}

const struct option_row *option_nearest(const char *name)
{
	const struct option_row *best = NULL;
	size_t best_distance = SIZE_MAX;

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		size_t length = strlen(option_rows[i].name);
		size_t away = distance(option_rows[i].name, name);

		if (name[0] != '\0' && strncmp(option_rows[i].name, name, strlen(name)) == 0)
			return &option_rows[i];
		if (away < best_distance && away <= length / 3 + 1) {
			best_distance = away;
			best = &option_rows[i];
		}
	}
	return best;
}
