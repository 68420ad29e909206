/* config_file: the file and its drop-ins (config_parts.h). */
#include "daemon/config_parts.h"

#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"

enum section_naming { NAMING_NONE, NAMING_REQUIRED, NAMING_OPTIONAL };

static const struct section {
	const char *name;
	enum section_naming naming;
} sections[] = {
#define X(section, naming, words, example, meaning) {(section), NAMING_##naming},
    SECTION_TABLE(X)
#undef X
};

/* "[access], [store NAME], …", for a complaint. */
#define SECTION_WORDS_NONE(section, words)     "[" section "]"
#define SECTION_WORDS_REQUIRED(section, words) "[" section " " words "]"
#define SECTION_WORDS_OPTIONAL(section, words) "[" section "], [" section " " words "]"
static const char section_words[] = "[" PROGRAM "]"
#define X(section, naming, words, example, meaning) ", " SECTION_WORDS_##naming(section, words)
    SECTION_TABLE(X)
#undef X
    ;

static const struct key {
	const char *section, *name;
} keys[] = {
#define X(section, key, example, meaning) {(section), (key)},
    SETTING_TABLE(X)
#undef X
};

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* The longest line: what inih takes unless it was built for more, so that a file is one everywhere. */
#define LINE_BYTES_MAX 198

/* A file on its way through inih, which asks for each line and calls back for each key. */
struct file {
	FILE *stream;
	const char *path;
	struct config *config;
	struct complaints *complaints;
	unsigned line;
	bool key_due; /* the line must be a key, and inih has not said so yet */

	/* the section that the line is in */
	enum { OPTIONS, SETTINGS, UNKNOWN } in;
	const struct section *section; /* of SETTINGS */
	const char *name;
};

static void complain(struct file *file, const char *what)
{
	complaints_add_at(file->complaints, file->path, file->line, "%s", what);
}

/* ---- sections ---- */

/* "[kind name]", without the brackets. */
static void enter_section(struct file *file, char *text)
{
	char quoted[OPTION_TEXT_SIZE], *kind, *name;

	log_escape(text, strlen(text), quoted, sizeof(quoted));
	kind = text + strspn(text, " \t");
	name = kind + strcspn(kind, " \t");
	if (*name != '\0')
		*name++ = '\0';
	name += strspn(name, " \t");
	for (size_t length = strlen(name); length > 0 && strchr(" \t", name[length - 1]) != NULL; length--)
		name[length - 1] = '\0';

	file->in = UNKNOWN;
	if (strcmp(kind, PROGRAM) == 0 && *name == '\0') {
		file->in = OPTIONS;
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		if (strcmp(sections[i].name, kind) != 0)
			continue;
		if (sections[i].naming == (*name == '\0' ? NAMING_REQUIRED : NAMING_NONE))
			break;
		file->section = &sections[i];
		file->name = config_keep_text(file->config, name);
		if (file->name == NULL)
			file->complaints->no_memory = true;
		else
			file->in = SETTINGS;
		return;
	}
	complaints_add_at(file->complaints, file->path, file->line, "unknown section [%s]; there are %s", quoted,
			  section_words);
}

/* inih cuts a section's name and overlooks what follows its bracket: so it is read here. False: it is none. */
static bool take_section(struct file *file, char *line)
{
	char *end = line + 1;

	while (*end != '\0' && *end != ']' && !(*end == ';' && strchr(" \t", end[-1]) != NULL))
		end++;
	if (*end != ']')
		return false;
	*end++ = '\0';
	end += strspn(end, " \t\r");
	if (*end != '\0' && *end != ';' && *end != '#')
		return false;
	enter_section(file, line + 1);
	return true;
}

/* ---- lines ---- */

static void expect_no_key(struct file *file)
{
	if (file->key_due)
		complain(file, "a line is \"key = value\", [section], or a comment after # or ;");
	file->key_due = false;
}

/* What is this line, which has no blanks at its begin? */
static void classify(struct file *file, const char *text, size_t length)
{
	char line[LINE_BYTES_MAX + 1];
	static const char mark[] = "\xef\xbb\xbf";

	if (file->line == 1 && length >= 3 && memcmp(text, mark, 3) == 0) {
		text += 3;
		length -= 3;
	}
	if (length == 0 || text[0] == '\r' || strchr(";#", text[0]) != NULL)
		return;
	memcpy(line, text, length);
	line[length] = '\0';
	file->key_due = line[0] != '[' || !take_section(file, line);
}

/*
 * fgets for inih, that counts the lines and refuses what inih would misread without a word: lines that it would cut,
 * and NUL. Blanks before a key are skipped, because to inih such a line continues the one before it.
 */
static char *read_line(char *out, int size, void *context)
{
	struct file *file = context;
	size_t length = 0, limit = (size_t)size - 2 < LINE_BYTES_MAX ? (size_t)size - 2 : LINE_BYTES_MAX;
	bool text = false, bad = false;
	int byte;

	expect_no_key(file);
	file->line++;
	while ((byte = getc(file->stream)) != EOF && byte != '\n') {
		if (!text && (byte == ' ' || byte == '\t'))
			continue;
		text = true;
		bad = bad || byte == '\0' || length == limit;
		if (!bad)
			out[length++] = (char)byte;
	}
	if (byte == EOF && !text)
		return NULL;
	if (bad)
		complaints_add_at(file->complaints, file->path, file->line, "a line is text of at most %zu bytes",
				  limit);
	else
		classify(file, out, length);
	out[bad ? 0 : length++] = '\n';
	out[bad ? 1 : length] = '\0';
	return out;
}

static void take_option(struct file *file, const char *key, const char *value)
{
	const struct config_source source = {CONFIG_FILE, file->path, file->line};
	const struct option_row *row = option_find(key);
	char prefix[512];

	if (row == NULL) {
		snprintf(prefix, sizeof(prefix), "%.480s:%u: ", file->path, file->line);
		config_complain_of_name(file->complaints, prefix, "key", "", key);
	} else if (row->kind == KIND_TEXT && (value = config_keep_text(file->config, value)) == NULL) {
		file->complaints->no_memory = true;
	} else {
		config_set(file->config, row, value, &source, file->complaints);
	}
}

static bool is_key(const char *section, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i].section, section) == 0 &&
		    (keys[i].name[0] == '\0' || strcmp(keys[i].name, name) == 0))
			return name[0] != '\0';
	return false;
}

static void complain_of_key(struct file *file, const char *name)
{
	char quoted[OPTION_TEXT_SIZE], known[OPTION_TEXT_SIZE];
	size_t length = 0;

	log_escape(name, strlen(name), quoted, sizeof(quoted));
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i].section, file->section->name) == 0)
			length +=
			    (size_t)snprintf(known + length, sizeof(known) - length, "%s%s", length == 0 ? "" : ", ",
					     keys[i].name[0] == '\0' ? "a name" : keys[i].name);
	complaints_add_at(file->complaints, file->path, file->line, "unknown key %s; [%s] takes %s", quoted,
			  file->section->name, known);
}

/* The place of this key's setting: that of an earlier line, or a new one. NULL without memory. */
static struct setting *setting_for(struct file *file, const char *key)
{
	struct config *config = file->config;
	struct setting *grown;

	for (size_t i = 0; i < config->setting_count; i++)
		if (strcmp(config->settings[i].section, file->section->name) == 0 &&
		    strcmp(config->settings[i].name, file->name) == 0 && strcmp(config->settings[i].key, key) == 0)
			return &config->settings[i];
	grown = realloc(config->settings, (config->setting_count + 1) * sizeof(*grown));
	if (grown == NULL)
		return NULL;
	config->settings = grown;
	return &grown[config->setting_count++];
}

static void take_setting(struct file *file, const char *key, const char *value)
{
	const char *kept_key, *kept_value;
	struct setting *setting;

	if (!is_key(file->section->name, key)) {
		complain_of_key(file, key);
		return;
	}
	kept_key = config_keep_text(file->config, key);
	kept_value = config_keep_text(file->config, value);
	setting = kept_key == NULL || kept_value == NULL ? NULL : setting_for(file, key);
	if (setting == NULL)
		file->complaints->no_memory = true;
	else
		*setting =
		    (struct setting){file->section->name, file->name, kept_key, kept_value, file->path, file->line};
}

/* Called by inih for a key; nonzero is its success. Built so, it also calls for a line without "=", and for sections.
 */
static int take_key(void *context, const char *section, const char *key, const char *value)
{
	struct file *file = context;

	(void)section;
	if (key == NULL || value == NULL)
		return 1;
	file->key_due = false;
	if (file->in == OPTIONS)
		take_option(file, key, value);
	else if (file->in == SETTINGS)
		take_setting(file, key, value);
	return 1;
}

/* ---- files ---- */

/* Remembers that this file was read; its name, or NULL without memory. */
static const char *keep_file(struct config *config, const char *path)
{
	const char *kept = config_keep_text(config, path);
	const char **grown;

	if (kept == NULL)
		return NULL;
	grown = realloc(config->files, (config->file_count + 1) * sizeof(*grown));
	if (grown == NULL)
		return NULL;
	config->files = grown;
	return grown[config->file_count++] = kept;
}

static void parse(struct file *file, const char *prefix)
{
	struct complaint *const *last = file->complaints->last;
	int result, error;

	errno = 0;
	result = ini_parse_stream(read_line, file, take_key, file);
	error = errno;
	if (ferror(file->stream)) {
		complaints_add(file->complaints, "%scannot read %s: %s", prefix, file->path, strerror(error));
	} else if (result < 0) {
		file->complaints->no_memory = true;
	} else if (result > 0 && file->complaints->last == last) {
		file->line = (unsigned)result;
		complain(file, "this line cannot be read");
	}
}

/* @prefix: who asks for it. It may be absent if @optional. */
static void read_file(struct config *config, const char *path, const char *prefix, bool optional,
		      struct complaints *complaints)
{
	struct file file = {.config = config, .complaints = complaints};

	file.stream = fopen(path, "re");
	if (file.stream == NULL) {
		if (errno == ENOMEM)
			complaints->no_memory = true;
		else if (!optional || errno != ENOENT)
			complaints_add(complaints, "%scannot open %s: %s", prefix, path, strerror(errno));
		return;
	}
	file.path = keep_file(config, path);
	if (file.path == NULL)
		complaints->no_memory = true;
	else
		parse(&file, prefix);
	fclose(file.stream);
}

/* ---- drop-ins ---- */

/* What ends in .conf and is not hidden, as an editor's own files are. */
static int is_drop_in(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return entry->d_name[0] != '.' && length > 5 && strcmp(entry->d_name + length - 5, ".conf") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void read_drop_ins(struct config *config, const char *folder, struct complaints *complaints)
{
	struct dirent **entries;
	int count = scandir(folder, &entries, is_drop_in, by_name);
	char *path;

	if (count < 0) {
		if (errno != ENOENT)
			complaints_add(complaints, "cannot read the folder %s: %s", folder, strerror(errno));
		return;
	}
	for (int i = 0; i < count; i++) {
		if (asprintf(&path, "%s/%s", folder, entries[i]->d_name) < 0) {
			complaints->no_memory = true;
		} else {
			read_file(config, path, "", false, complaints);
			free(path);
		}
		free(entries[i]);
	}
	free(entries);
}

void config_read_files(struct config *config, const char *path, struct complaints *complaints)
{
	bool optional = path == NULL;
	char *folder;

	if (optional)
		path = CONFIG_PATH;
	read_file(config, path, optional ? "" : "--config takes a file, ", optional, complaints);
	if (asprintf(&folder, "%s.d", path) < 0) {
		complaints->no_memory = true;
		return;
	}
	read_drop_ins(config, folder, complaints);
	free(folder);
}
