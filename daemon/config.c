#include "daemon/config.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config_parts.h"
#include "daemon/log.h"
#include "daemon/option.h"
#include "daemon/permission.h"
#include "daemon/quota.h"

struct config_text {
	struct config_text *next;
	char text[];
};

/* ---- values ---- */

static void *field_of(struct config *config, const struct option_row *row)
{
	return (char *)config + row->offset;
}

static void set_number(struct config *config, const struct option_row *row, uint64_t value)
{
	memcpy(field_of(config, row), &value, sizeof(value));
}

static void set_text(struct config *config, const struct option_row *row, const char *text)
{
	memcpy(field_of(config, row), &text, sizeof(text));
}

const char *config_keep_text(struct config *config, const char *text)
{
	size_t size = strlen(text) + 1;
	struct config_text *kept = malloc(sizeof(*kept) + size);

	if (kept == NULL)
		return NULL;
	kept->next = config->texts;
	config->texts = kept;
	return memcpy(kept->text, text, size);
}

bool config_set(struct config *config, const struct option_row *row, const char *text,
		const struct config_source *source, struct complaints *complaints)
{
	char takes[OPTION_TEXT_SIZE], quoted[OPTION_TEXT_SIZE];
	uint64_t value;

	config->sources[row - option_rows] = *source;
	if (row->kind == KIND_TEXT && text[0] != '\0') {
		set_text(config, row, text);
		return true;
	}
	if (row->kind != KIND_TEXT && option_parse(row, text, &value)) {
		set_number(config, row, value);
		return true;
	}
	option_print_takes(row, takes);
	log_escape(text, strlen(text), quoted, sizeof(quoted));
	if (source->origin == CONFIG_FILE)
		complaints_add_at(complaints, source->file, source->line, "%s takes %s, got \"%s\"", row->name, takes,
				  quoted);
	else
		complaints_add(complaints, "--%s takes %s, got \"%s\"", row->name, takes, quoted);
	return false;
}

/* ---- the whole ---- */

/* What the settings mean, in the place of what those before meant. False without memory. */
static bool read_rules(struct config *config, struct complaints *complaints)
{
	permission_free(config->permission);
	quota_free(config->quota);
	config->permission = permission_new(config->settings, config->setting_count, complaints);
	config->quota = quota_new(config->settings, config->setting_count, complaints);
	return config->permission != NULL && config->quota != NULL;
}

struct config *config_new(void)
{
	struct config *config = calloc(1, sizeof(*config));
	struct complaints complaints = {0};

	if (config == NULL)
		return NULL;
	config->references = 1;
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (option_rows[i].kind == KIND_TEXT)
			set_text(config, &option_rows[i], option_rows[i].initial_text);
		else
			set_number(config, &option_rows[i], option_rows[i].initial);
	}
	if (read_rules(config, &complaints))
		return config;
	complaints_free(&complaints);
	config_unref(config);
	return NULL;
}

struct config *config_ref(struct config *config)
{
	config->references++;
	return config;
}

void config_unref(struct config *config)
{
	struct config_text *text;

	if (config == NULL || --config->references > 0)
		return;
	while ((text = config->texts) != NULL) {
		config->texts = text->next;
		free(text);
	}
	permission_free(config->permission);
	quota_free(config->quota);
	free(config->settings);
	free(config->files);
	free(config);
}

static const struct option_row *row_at(size_t offset)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (option_rows[i].offset == offset)
			return &option_rows[i];
	abort(); /* a relation names a field of the table */
}

/* Is the first option's value within the second's, less @margin? Complains if not. */
static void check_relation(const struct config *config, size_t first, size_t second, uint64_t margin,
			   struct complaints *complaints)
{
	const struct option_row *small = row_at(first), *large = row_at(second);
	uint64_t small_value, large_value;
	char small_text[OPTION_TEXT_SIZE], large_text[OPTION_TEXT_SIZE], margin_text[OPTION_TEXT_SIZE];

	memcpy(&small_value, (const char *)config + first, sizeof(small_value));
	memcpy(&large_value, (const char *)config + second, sizeof(large_value));
	if (small_value + margin <= large_value || (margin > 0 && large_value == 0))
		return;
	option_print_value(small, small_value, small_text);
	option_print_value(large, large_value, large_text);
	option_print_value(large, margin, margin_text);
	if (margin == 0)
		complaints_add(complaints, "--%s (%s) must be at least --%s (%s)", large->name, large_text, small->name,
			       small_text);
	else
		complaints_add(complaints, "--%s (%s) must be 0, or at least --%s (%s) and %s", large->name, large_text,
			       small->name, small_text, margin_text);
}

static void check_relations(const struct config *config, struct complaints *complaints)
{
#define X(first, second, margin)                                                                                       \
	check_relation(config, offsetof(struct config, first), offsetof(struct config, second), margin, complaints);
	OPTION_RELATION_LIST(X)
#undef X
}

enum config_result config_read(struct config **out, int argc, char **argv, struct complaints *complaints)
{
	static const struct config_source source = {.origin = CONFIG_COMMAND_LINE};
	struct config_arguments arguments = {0};
	enum config_result result = config_read_arguments(&arguments, argc, argv, complaints);
	struct config *config;

	if (result == CONFIG_DONE)
		return result;
	config = config_new();
	if (config == NULL) {
		complaints->no_memory = true;
		return CONFIG_WRONG;
	}
	config_read_files(config, arguments.file, complaints);
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (arguments.given[i] != NULL)
			config_set(config, &option_rows[i], arguments.given[i], &source, complaints);
	read_rules(config, complaints);
	/* Of values that are not taken nothing more can be said. */
	if (!complaints_any(complaints))
		check_relations(config, complaints);
	if (complaints_any(complaints)) {
		config_unref(config);
		return CONFIG_WRONG;
	}
	if (arguments.check) {
		if (!arguments.quiet)
			config_print(stdout, config);
		config_unref(config);
		return config_flush(complaints);
	}
	*out = config;
	return CONFIG_RUN;
}

/* ---- the next configuration ---- */

void config_print_field(const struct config *config, const struct option_row *row, char out[OPTION_TEXT_SIZE])
{
	const char *text;
	uint64_t value;

	if (row->kind == KIND_TEXT) {
		memcpy(&text, (const char *)config + row->offset, sizeof(text));
		log_escape(text, strlen(text), out, OPTION_TEXT_SIZE);
	} else {
		memcpy(&value, (const char *)config + row->offset, sizeof(value));
		option_print_value(row, value, out);
	}
}

static bool is_same(const struct config *a, const struct config *b, const struct option_row *row)
{
	const char *text_a, *text_b;

	if (row->kind != KIND_TEXT)
		return memcmp((const char *)a + row->offset, (const char *)b + row->offset, sizeof(uint64_t)) == 0;
	memcpy(&text_a, (const char *)a + row->offset, sizeof(text_a));
	memcpy(&text_b, (const char *)b + row->offset, sizeof(text_b));
	return strcmp(text_a, text_b) == 0;
}

/* What is @old's, and perhaps goes with it, becomes @config's own. */
static bool keep_field(struct config *config, const struct config *old, const struct option_row *row)
{
	struct config_source source = old->sources[row - option_rows];
	const char *text;
	uint64_t value;

	if (source.file != NULL && (source.file = config_keep_text(config, source.file)) == NULL)
		return false;
	config->sources[row - option_rows] = source;
	if (row->kind == KIND_TEXT) {
		memcpy(&text, (const char *)old + row->offset, sizeof(text));
		text = config_keep_text(config, text);
		if (text != NULL)
			set_text(config, row, text);
		return text != NULL;
	}
	memcpy(&value, (const char *)old + row->offset, sizeof(value));
	set_number(config, row, value);
	return true;
}

static bool has_setting(const struct config *config, const struct setting *wanted)
{
	for (size_t i = 0; i < config->setting_count; i++) {
		const struct setting *setting = &config->settings[i];

		if (strcmp(setting->section, wanted->section) == 0 && strcmp(setting->name, wanted->name) == 0 &&
		    strcmp(setting->key, wanted->key) == 0)
			return strcmp(setting->value, wanted->value) == 0;
	}
	return false;
}

/* Whatever their order: of each key there is one. */
static bool are_same_settings(const struct config *a, const struct config *b)
{
	if (a->setting_count != b->setting_count)
		return false;
	for (size_t i = 0; i < a->setting_count; i++)
		if (!has_setting(b, &a->settings[i]))
			return false;
	return true;
}

int config_keep_started(struct config *config, const struct config *old, struct complaints *changes,
			struct complaints *kept)
{
	char before[OPTION_TEXT_SIZE], after[OPTION_TEXT_SIZE];

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option_row *row = &option_rows[i];

		if (is_same(config, old, row))
			continue;
		config_print_field(old, row, before);
		config_print_field(config, row, after);
		if (row->when != WHEN_RESTART) {
			complaints_add(changes, "%s: %s, was %s%s", row->name, after, before,
				       row->when == WHEN_CONNECTION ? "; connections that are there keep it" : "");
			continue;
		}
		complaints_add(kept, "%s stays %s: %s takes a restart", row->name, before, after);
		if (!keep_field(config, old, row))
			return -1;
	}
	if (!are_same_settings(config, old))
		complaints_add(changes, "who may do what, and how much: changed; connections that are there keep it");
	return 0;
}
