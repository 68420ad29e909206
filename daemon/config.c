#include "daemon/config.h"

#include "daemon/log.h"
#include "daemon/option.h"

#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PROGRAM "kyneta-stored"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* Where the one line about what is wrong goes. */
struct report {
	char *message;
	size_t size;
};

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

void config_defaults(struct config *config)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (option_rows[i].kind == KIND_TEXT)
			set_text(config, &option_rows[i], option_rows[i].initial_text);
		else
			set_number(config, &option_rows[i], option_rows[i].initial);
	}
}

/* ---- complaints ---- */

__attribute__((format(printf, 2, 3))) static void complain(const struct report *report, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(report->message, report->size, format, arguments);
	va_end(arguments);
}

static void complain_of_value(const struct report *report, const char *prefix, const struct option_row *row,
			      const char *text)
{
	char takes[OPTION_TEXT_SIZE], quoted[OPTION_TEXT_SIZE];

	option_print_takes(row, takes);
	log_escape(text, strlen(text), quoted, sizeof(quoted));
	complain(report, "%s%s takes %s, got \"%s\"", prefix, row->name, takes, quoted);
}

static void complain_of_name(const struct report *report, const char *prefix, const char *what, const char *dashes,
			     const char *name)
{
	const struct option_row *meant = option_nearest(name);
	char quoted[OPTION_TEXT_SIZE];

	log_escape(name, strlen(name), quoted, sizeof(quoted));
	if (meant != NULL)
		complain(report, "%sunknown %s %s%s; did you mean %s%s?", prefix, what, dashes, quoted, dashes,
			 meant->name);
	else
		complain(report, "%sunknown %s %s%s; --help tells them all", prefix, what, dashes, quoted);
}

/* Takes @text for @row's option, or complains. A path must live as long as the process. */
static bool set_option(struct config *config, const struct option_row *row, const char *text, const char *prefix,
		       const struct report *report)
{
	uint64_t value;

	if (row->kind == KIND_TEXT && text[0] != '\0') {
		set_text(config, row, text);
		return true;
	}
	if (row->kind != KIND_TEXT && option_parse(row, text, &value)) {
		set_number(config, row, value);
		return true;
	}
	complain_of_value(report, prefix, row, text);
	return false;
}

/* ---- the file ---- */

/* A file on its way through inih, which calls back for each line and for each key. */
struct file {
	FILE *stream;
	const char *path;
	struct config *config;
	struct report report;
	unsigned line;
	unsigned bad_line; /* the first whose complaint is in the report; 0: none */
	char prefix[OPTION_TEXT_SIZE];
};

static void set_bad(struct file *file)
{
	char path[OPTION_TEXT_SIZE - 16];

	file->bad_line = file->line;
	log_escape(file->path, strlen(file->path), path, sizeof(path));
	snprintf(file->prefix, sizeof(file->prefix), "%s:%u: ", path, file->line);
}

/*
 * fgets for inih, that counts the lines and refuses what inih would misread without a word: lines that it would cut,
 * and NUL. Blanks before a key are skipped, because to inih such a line continues the one before it.
 */
static char *read_line(char *out, int size, void *context)
{
	struct file *file = context;
	size_t length = 0, limit = (size_t)size - 2;
	bool text = false, bad = false;
	int byte;

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
	if (bad && file->bad_line == 0) {
		set_bad(file);
		complain(&file->report, "%sa line is text of at most %zu bytes", file->prefix, limit);
	}
	out[bad ? 0 : length++] = '\n';
	out[bad ? 1 : length] = '\0';
	return out;
}

/* Paths from files: kept for good, in one place, so that one which the command line overrides is no leak. */
struct kept_text {
	struct kept_text *next;
	char text[];
};

static struct kept_text *kept_texts;

static const char *keep_text(const char *text)
{
	size_t size = strlen(text) + 1;
	struct kept_text *kept = malloc(sizeof(*kept) + size);

	if (kept == NULL)
		return NULL;
	kept->next = kept_texts;
	kept_texts = kept;
	return memcpy(kept->text, text, size);
}

/* inih goes on after an error: only the first is told. Returns nonzero, inih's success, always; bad_line tells. */
static int take_key(void *context, const char *section, const char *name, const char *value)
{
	struct file *file = context;

	if (file->bad_line != 0)
		return 1;
	set_bad(file);
	if (section[0] != '\0' && strcmp(section, PROGRAM) != 0) {
		char quoted[OPTION_TEXT_SIZE];

		log_escape(section, strlen(section), quoted, sizeof(quoted));
		complain(&file->report, "%sunknown section [%s]; there is only [" PROGRAM "]", file->prefix, quoted);
		return 1;
	}
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (strcmp(option_rows[i].name, name) != 0)
			continue;
		if (option_rows[i].kind == KIND_TEXT && (value = keep_text(value)) == NULL)
			complain(&file->report, "%sout of memory", file->prefix);
		else if (set_option(file->config, &option_rows[i], value, file->prefix, &file->report))
			file->bad_line = 0;
		return 1;
	}
	complain_of_name(&file->report, file->prefix, "key", "", name);
	return 1;
}

static bool read_file(struct config *config, const char *path, const struct report *report)
{
	struct file file = {.path = path, .config = config, .report = *report};
	bool unreadable;
	int result, error;

	file.stream = fopen(path, "re");
	if (file.stream == NULL) {
		complain(report, "--config takes a file, cannot open %s: %s", path, strerror(errno));
		return false;
	}
	errno = 0;
	result = ini_parse_stream(read_line, &file, take_key, &file);
	error = errno;
	unreadable = ferror(file.stream) != 0;
	fclose(file.stream);
	if (unreadable) {
		complain(report, "--config takes a file, cannot read %s: %s", path, strerror(error));
		return false;
	}
	/* A line that is neither a key nor a section nor a comment; it may come before the line of another complaint.
	 */
	if (result > 0 && (file.bad_line == 0 || (unsigned)result < file.bad_line)) {
		file.line = (unsigned)result;
		set_bad(&file);
		complain(report, "%sa line is \"key = value\", [" PROGRAM "], or a comment after # or ;", file.prefix);
	} else if (result < 0) {
		complain(report, "--config %s: out of memory", path);
		return false;
	}
	return file.bad_line == 0;
}

/* ---- the command line ---- */

/* What getopt_long returns for the options that are not in the table; a row's number is counted from ROW_FIRST. */
enum { ARGUMENT_CONFIG = 256, ARGUMENT_VERSION, ARGUMENT_OPTIONS, ROW_FIRST };

struct command_line {
	const char *given[OPTION_COUNT]; /* the text for each row; NULL: not given */
	const char *file;
};

static void print_help(FILE *out);
static void print_options(FILE *out);

/* Answers on stdout, or complains that it cannot be written. */
static enum config_result answer(int option, const struct report *report)
{
	if (option == ARGUMENT_VERSION)
		puts(PROGRAM " " KYNETA_VERSION);
	else if (option == ARGUMENT_OPTIONS)
		print_options(stdout);
	else
		print_help(stdout);
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return CONFIG_DONE;
	complain(report, "cannot write to stdout: %s", strerror(errno));
	return CONFIG_WRONG;
}

/* getopt_long found no such option, no value, or one too many: says which. */
static void complain_of_argument(const struct report *report, int found, char **argv)
{
	const char *argument = argv[optind - 1];
	char takes[OPTION_TEXT_SIZE], name[OPTION_TEXT_SIZE];

	if (found == ':' && optopt >= ROW_FIRST) {
		option_print_takes(&option_rows[optopt - ROW_FIRST], takes);
		complain(report, "--%s takes %s, got nothing", option_rows[optopt - ROW_FIRST].name, takes);
	} else if (found == ':') {
		complain(report, "--config takes a file, got nothing");
	} else if (optopt >= ARGUMENT_CONFIG || (optopt == 'h' && strncmp(argument, "--", 2) == 0)) {
		log_escape(argument, strcspn(argument, "="), name, sizeof(name));
		complain(report, "%s takes no value", name);
	} else if (optopt != 0) {
		complain(report, "unknown option -%c; --help tells them all", optopt);
	} else {
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(argument + 2, "="), argument + 2);
		complain_of_name(report, "", "option", "--", name);
	}
}

static enum config_result read_command_line(struct command_line *line, int argc, char **argv,
					    const struct report *report)
{
	struct option options[OPTION_COUNT + 5] = {
	    {"config", required_argument, NULL, ARGUMENT_CONFIG},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, ARGUMENT_VERSION},
	    {"options", no_argument, NULL, ARGUMENT_OPTIONS},
	};
	struct config checked;
	int found;

	for (size_t i = 0; i < OPTION_COUNT; i++)
		options[i + 4] = (struct option){option_rows[i].name, required_argument, NULL, ROW_FIRST + (int)i};
	optind = 0; /* glibc's way to begin anew */
	opterr = 0;
	while ((found = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (found) {
		case ARGUMENT_CONFIG:
			line->file = optarg;
			break;
		case 'h':
		case ARGUMENT_VERSION:
		case ARGUMENT_OPTIONS:
			return answer(found, report);
		case ':':
		case '?':
			complain_of_argument(report, found, argv);
			return CONFIG_WRONG;
		default:
			if (!set_option(&checked, &option_rows[found - ROW_FIRST], optarg, "--", report))
				return CONFIG_WRONG;
			line->given[found - ROW_FIRST] = optarg;
		}
	}
	if (optind < argc) {
		char quoted[OPTION_TEXT_SIZE];

		log_escape(argv[optind], strlen(argv[optind]), quoted, sizeof(quoted));
		complain(report, "takes options only, got \"%s\"", quoted);
		return CONFIG_WRONG;
	}
	return CONFIG_RUN;
}

static const struct option_row *row_at(size_t offset)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (option_rows[i].offset == offset)
			return &option_rows[i];
	abort(); /* a relation names a field of the table */
}

/* Is the first option's value within the second's, less @margin? Complains if not. */
static bool check_relation(const struct config *config, size_t first, size_t second, uint64_t margin,
			   const struct report *report)
{
	const struct option_row *small = row_at(first), *large = row_at(second);
	uint64_t small_value, large_value;
	char small_text[OPTION_TEXT_SIZE], large_text[OPTION_TEXT_SIZE], margin_text[OPTION_TEXT_SIZE];

	memcpy(&small_value, (const char *)config + first, sizeof(small_value));
	memcpy(&large_value, (const char *)config + second, sizeof(large_value));
	if (small_value + margin <= large_value || (margin > 0 && large_value == 0))
		return true;
	option_print_value(small, small_value, small_text);
	option_print_value(large, large_value, large_text);
	option_print_value(large, margin, margin_text);
	if (margin == 0)
		complain(report, "--%s (%s) must be at least --%s (%s)", large->name, large_text, small->name,
			 small_text);
	else
		complain(report, "--%s (%s) must be 0, or at least --%s (%s) and %s", large->name, large_text,
			 small->name, small_text, margin_text);
	return false;
}

enum config_result config_read(struct config *config, int argc, char **argv, char *message, unsigned long size)
{
	struct report report = {message, size};
	struct command_line line = {0};
	enum config_result result = read_command_line(&line, argc, argv, &report);

	if (result != CONFIG_RUN)
		return result;
	config_defaults(config);
	if (line.file != NULL && !read_file(config, line.file, &report))
		return CONFIG_WRONG;
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (line.given[i] != NULL && !set_option(config, &option_rows[i], line.given[i], "--", &report))
			return CONFIG_WRONG;
#define X(first, second, margin)                                                                                       \
	if (!check_relation(config, offsetof(struct config, first), offsetof(struct config, second), margin, &report)) \
		return CONFIG_WRONG;
	OPTION_RELATION_LIST(X)
#undef X
	return CONFIG_RUN;
}

/* ---- help ---- */

#define INDENT 6

static size_t columns(FILE *out)
{
	struct winsize window;

	if (ioctl(fileno(out), TIOCGWINSZ, &window) != 0 || window.ws_col == 0)
		return 80;
	return window.ws_col < 40 ? 40 : window.ws_col > 120 ? 120 : window.ws_col;
}

/* Words of @text between @indent and @width columns, then a newline. @at: where the line stands already. */
static void print_wrapped(FILE *out, const char *text, size_t indent, size_t at, size_t width)
{
	while (*text != '\0') {
		size_t word = strcspn(text, " ");
		bool first = at == indent;

		if (!first && at + 1 + word > width) {
			fprintf(out, "\n%*s", (int)indent, "");
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

static void print_row(FILE *out, const struct option_row *row, size_t width)
{
	static const char *const values[] = {
	    [KIND_TEXT] = "PATH", [KIND_SIZE] = "SIZE",	      [KIND_COUNT] = "NUMBER", [KIND_SECONDS] = "SECONDS",
	    [KIND_MODE] = "MODE", [KIND_DURABILITY] = "WHAT", [KIND_LEVEL] = "LEVEL",
	};
	char initial[OPTION_TEXT_SIZE], range[OPTION_TEXT_SIZE];
	int at;

	option_print_default(row, initial);
	option_print_range(row, range);
	fprintf(out, "  --%s %s\n%*s", row->name, values[row->kind], INDENT, "");
	print_wrapped(out, row->reason, INDENT, INDENT, width);
	at = fprintf(out, "%*sdefault %s%s", INDENT, "", initial, row->kind == KIND_TEXT ? "" : ";");
	print_wrapped(out, row->kind == KIND_TEXT ? "" : range, INDENT, at < 0 ? 0 : (size_t)at, width);
}

static void print_help(FILE *out)
{
	static const struct {
		const char *name, *meaning;
	} others[] = {
	    {"--config FILE",
	     "read options from FILE first: \"name = value\" lines, names as here without dashes, in a section "
	     "[" PROGRAM "] or in none; # or ; begins a comment"},
	    {"-h, --help", "print this"},
	    {"--version", "print the version"},
	    {"--options", "print name, default, range and meaning of each option, separated by tabs"},
	};
	static const char *const exits[][2] = {
#define X(constant, status, meaning) {#status, meaning},
	    EXIT_LIST(X)
#undef X
	};
	size_t width = columns(out);

	fputs("Usage: " PROGRAM " [OPTION]...\n", out);
	print_wrapped(out,
		      "Keeps documents in one SQLite database and serves them on a Unix socket to many processes. "
		      "kyneta-storectl talks to it.",
		      0, 0, width);
	fputs("\nOptions (sizes are bytes, or take K, M, G for 1024, 1024^2, 1024^3)\n\n", out);
	for (size_t i = 0; i < OPTION_COUNT; i++)
		print_row(out, &option_rows[i], width);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		fprintf(out, "  %s\n%*s", others[i].name, INDENT, "");
		print_wrapped(out, others[i].meaning, INDENT, INDENT, width);
	}
	fputs("\nSignals\n\n", out);
	fprintf(out, "%*s", INDENT, "");
	print_wrapped(
	    out,
	    "SIGTERM, SIGINT: take nothing new, finish what was accepted, checkpoint, end. The same again: end at "
	    "once; the database is consistent all the same.",
	    INDENT, INDENT, width);
	fputs("\nExit status\n\n", out);
	for (size_t i = 0; i < ARRAY_SIZE(exits); i++) {
		fprintf(out, "  %s   ", exits[i][0]);
		print_wrapped(out, exits[i][1], INDENT, INDENT, width);
	}
}

static void print_options(FILE *out)
{
	char initial[OPTION_TEXT_SIZE], range[OPTION_TEXT_SIZE];

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		option_print_default(&option_rows[i], initial);
		option_print_range(&option_rows[i], range);
		fprintf(out, "%s\t%s\t%s\t%s\n", option_rows[i].name, initial, range, option_rows[i].reason);
	}
}
