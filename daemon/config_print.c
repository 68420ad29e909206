/* config_print: what is printed (config_parts.h). */
#include "daemon/config_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "daemon/log.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* ---- text ---- */

/* Width of what is printed to be kept in a file. */
#define FILE_COLUMNS 100

static size_t columns(FILE *out)
{
	struct winsize window;

	if (ioctl(fileno(out), TIOCGWINSZ, &window) != 0 || window.ws_col == 0)
		return 80;
	return window.ws_col < 40 ? 40 : window.ws_col > 120 ? 120 : window.ws_col;
}

/* Words of @text, each line behind @prefix, up to @width columns, then a newline. @at: where the line stands already.
 */
static void print_wrapped(FILE *out, const char *prefix, size_t at, size_t width, const char *text)
{
	size_t indent = strlen(prefix);

	while (*text != '\0') {
		size_t word = strcspn(text, " ");
		bool first = at == indent;

		if (!first && at + 1 + word > width) {
			fprintf(out, "\n%s", prefix);
			at = indent;
			first = true;
		}
		fprintf(out, "%s%.*s", first ? "" : " ", (int)word, text);
		at += word + !first;
		text += word;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

/* A paragraph of its own. */
static void print_paragraph(FILE *out, const char *prefix, size_t width, const char *text)
{
	fputs(prefix, out);
	print_wrapped(out, prefix, strlen(prefix), width, text);
}

enum config_result config_flush(struct complaints *complaints)
{
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return CONFIG_DONE;
	complaints_add(complaints, "cannot write to stdout: %s", strerror(errno));
	return CONFIG_WRONG;
}

/* ---- help ---- */

#define INDENT "      "

static void print_row(FILE *out, const struct option_row *row, size_t width)
{
	static const char *const values[] = {
	    [KIND_TEXT] = "PATH", [KIND_SIZE] = "SIZE",	  [KIND_COUNT] = "NUMBER",    [KIND_SECONDS] = "SECONDS",
	    [KIND_MODE] = "MODE", [KIND_GROUP] = "GROUP", [KIND_DURABILITY] = "WHAT", [KIND_LEVEL] = "LEVEL",
	};
	char initial[OPTION_TEXT_SIZE], range[OPTION_TEXT_SIZE], rest[2 * OPTION_TEXT_SIZE];
	int at;

	option_print_default(row, initial);
	option_print_range(row, range);
	snprintf(rest, sizeof(rest), "%s%schanges by %s", row->kind == KIND_TEXT ? "" : range,
		 row->kind == KIND_TEXT ? "" : "; ", option_when(row));
	fprintf(out, "  --%s %s\n", row->name, values[row->kind]);
	print_paragraph(out, INDENT, width, row->reason);
	at = fprintf(out, INDENT "default %s;", initial);
	print_wrapped(out, INDENT, at < 0 ? 0 : (size_t)at, width, rest);
}

void config_print_help(FILE *out)
{
	static const struct {
		const char *name, *meaning;
	} others[] = {
	    {"--config FILE",
	     "read options from FILE, which must be there, instead of " CONFIG_PATH
	     ", which need not; then from FILE.d/*.conf, by "
	     "name; the command line wins. Lines are \"name = value\", names as here without dashes, in a section "
	     "[" PROGRAM
	     "] or in none; # or ; begins a comment. Other sections say who may do what (--example-config)"},
	    {"--check-config",
	     "do not run: print what would be in force and where each value is from, or what is wrong"},
	    {"--quiet", "with --check-config: print only what is wrong"},
	    {"--example-config", "print a file with every option and its default, commented out"},
	    {"-h, --help", "print this"},
	    {"--version", "print the version"},
	    {"--options", "print name, default, range, what makes a new value take effect, and meaning of each option, "
			  "separated by tabs"},
	};
	static const char *const signals[] = {
	    "SIGTERM, SIGINT: take nothing new, finish what was accepted, checkpoint, end. The same again: end at "
	    "once; the database is consistent all the same.",
	    "SIGHUP: read the files again. A mistake anywhere, and all stays as it was; else what can change does, and "
	    "the log names what takes a restart.",
	};
	static const char *const exits[][2] = {
#define X(constant, status, meaning) {#status, meaning},
	    EXIT_LIST(X)
#undef X
	};
	size_t width = columns(out);

	fputs("Usage: " PROGRAM " [OPTION]...\n", out);
	print_paragraph(out, "", width,
			"Keeps documents in one SQLite database and serves them on a Unix socket to many processes. "
			"kyneta-storectl talks to it.");
	fputs("\nOptions (sizes are bytes, or take K, M, G for 1024, 1024^2, 1024^3)\n\n", out);
	for (size_t i = 0; i < OPTION_COUNT; i++)
		print_row(out, &option_rows[i], width);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		fprintf(out, "  %s\n", others[i].name);
		print_paragraph(out, INDENT, width, others[i].meaning);
	}
	fputs("\nSignals\n\n", out);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		print_paragraph(out, INDENT, width, signals[i]);
	fputs("\nExit status\n\n", out);
	for (size_t i = 0; i < ARRAY_SIZE(exits); i++) {
		fprintf(out, "  %s   ", exits[i][0]);
		print_wrapped(out, INDENT, strlen(INDENT), width, exits[i][1]);
	}
}

void config_print_options(FILE *out)
{
	char initial[OPTION_TEXT_SIZE], range[OPTION_TEXT_SIZE];

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		option_print_default(&option_rows[i], initial);
		option_print_range(&option_rows[i], range);
		fprintf(out, "%s\t%s\t%s\t%s\t%s\n", option_rows[i].name, initial, range, option_when(&option_rows[i]),
			option_rows[i].reason);
	}
}

/* ---- a configuration ---- */

/* Where the comment begins, if the value leaves room. */
#define SOURCE_COLUMN 48

/* "key = value", both escaped, padded for the source that follows. */
static void print_value(FILE *out, const char *key, const char *value)
{
	char escaped_key[1024], escaped_value[4096];
	int at;

	log_escape(key, strlen(key), escaped_key, sizeof(escaped_key));
	log_escape(value, strlen(value), escaped_value, sizeof(escaped_value));
	at = fprintf(out, "%s =%s%s", escaped_key, escaped_value[0] == '\0' ? "" : " ", escaped_value);
	fprintf(out, "%*s ; ", at < SOURCE_COLUMN ? SOURCE_COLUMN - at : 0, "");
}

static void print_place(FILE *out, const char *file, unsigned line)
{
	char escaped[4096];

	log_escape(file, strlen(file), escaped, sizeof(escaped));
	fprintf(out, "%s:%u\n", escaped, line);
}

static void print_option(FILE *out, const struct config *config, const struct option_row *row)
{
	const struct config_source *source = &config->sources[row - option_rows];
	char value[OPTION_TEXT_SIZE];
	const char *text = value;

	config_print_field(config, row, value);
	if (row->kind == KIND_TEXT) /* whole, whatever its length */
		memcpy(&text, (const char *)config + row->offset, sizeof(text));
	print_value(out, row->name, text);
	if (source->origin == CONFIG_FILE)
		print_place(out, source->file, source->line);
	else
		fputs(source->origin == CONFIG_DEFAULT ? "default\n" : "command line\n", out);
}

static bool is_same_section(const struct setting *a, const struct setting *b)
{
	return strcmp(a->section, b->section) == 0 && strcmp(a->name, b->name) == 0;
}

/* The section of the setting at @first, with all its keys, unless an earlier one had it printed. */
static void print_section(FILE *out, const struct config *config, size_t first)
{
	const struct setting *settings = config->settings;
	char escaped[1024];

	for (size_t i = 0; i < first; i++)
		if (is_same_section(&settings[i], &settings[first]))
			return;
	log_escape(settings[first].name, strlen(settings[first].name), escaped, sizeof(escaped));
	fprintf(out, "\n[%s%s%s]\n", settings[first].section, escaped[0] == '\0' ? "" : " ", escaped);
	for (size_t i = first; i < config->setting_count; i++) {
		if (!is_same_section(&settings[i], &settings[first]))
			continue;
		print_value(out, settings[i].key, settings[i].value);
		print_place(out, settings[i].file, settings[i].line);
	}
}

void config_print(FILE *out, const struct config *config)
{
	char escaped[4096];

	fputs("# " PROGRAM " " KYNETA_VERSION " would run with this.\n", out);
	for (size_t i = 0; i < config->file_count; i++) {
		log_escape(config->files[i], strlen(config->files[i]), escaped, sizeof(escaped));
		fprintf(out, "# read %s\n", escaped);
	}
	fputs("\n[" PROGRAM "]\n", out);
	for (size_t i = 0; i < OPTION_COUNT; i++)
		print_option(out, config, &option_rows[i]);
	for (size_t i = 0; i < config->setting_count; i++)
		print_section(out, config, i);
}

/* ---- the example ---- */

static void print_example_option(FILE *out, const struct option_row *row)
{
	char initial[OPTION_TEXT_SIZE], range[OPTION_TEXT_SIZE], takes[2 * OPTION_TEXT_SIZE];

	option_print_default(row, initial);
	option_print_range(row, range);
	snprintf(takes, sizeof(takes), "%s; changes by %s", range, option_when(row));
	fputc('\n', out);
	print_paragraph(out, "# ", FILE_COLUMNS, row->reason);
	print_paragraph(out, "# ", FILE_COLUMNS, takes);
	fprintf(out, "#%s = %s\n", row->name, initial);
}

void config_print_example(FILE *out)
{
	static const char *const head[] = {
	    "The configuration of " PROGRAM ". Every option stands here with its default, commented out.",
	    "Of several values the last wins: this file, then kyneta-stored.conf.d/*.conf by name, then the command "
	    "line. "
	    "\"" PROGRAM " --check-config\" says what would be in force and where it is from, or what is wrong; SIGHUP "
	    "(systemctl reload) has a running daemon read everything again: what cannot change then, it names in its "
	    "log.",
	    "A line has at most 198 bytes. Sizes are bytes, or take K, M, G for 1024, 1024^2, 1024^3; a comment after "
	    "a "
	    "value begins with a blank and a semicolon.",
	};
	static const struct {
		const char *section, *example, *meaning;
	} sections[] = {
#define X(section, naming, words, example, meaning) {(section), (example), (meaning)},
	    SECTION_TABLE(X)
#undef X
	};
	static const struct {
		const char *section, *example, *meaning;
	} settings[] = {
#define X(section, key, example, meaning) {(section), (example), (meaning)},
	    SETTING_TABLE(X)
#undef X
	};

	for (size_t i = 0; i < ARRAY_SIZE(head); i++) {
		if (i > 0)
			fputs("#\n", out);
		print_paragraph(out, "# ", FILE_COLUMNS, head[i]);
	}
	fputs("\n[" PROGRAM "]\n", out);
	for (size_t i = 0; i < OPTION_COUNT; i++)
		print_example_option(out, &option_rows[i]);
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		fputs("\n\n", out);
		print_paragraph(out, "# ", FILE_COLUMNS, sections[i].meaning);
		fprintf(out, "#%s\n", sections[i].example);
		for (size_t j = 0; j < ARRAY_SIZE(settings); j++) {
			if (strcmp(settings[j].section, sections[i].section) != 0)
				continue;
			fputc('\n', out);
			print_paragraph(out, "# ", FILE_COLUMNS, settings[j].meaning);
			fprintf(out, "#%s\n", settings[j].example);
		}
	}
}
