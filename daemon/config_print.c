#include "daemon/config_parts.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

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

void config_print_help(FILE *out)
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

void config_print_options(FILE *out)
{
	char initial[OPTION_TEXT_SIZE], range[OPTION_TEXT_SIZE];

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		option_print_default(&option_rows[i], initial);
		option_print_range(&option_rows[i], range);
		fprintf(out, "%s\t%s\t%s\t%s\n", option_rows[i].name, initial, range, option_rows[i].reason);
	}
}
