/* The command line, and how ids and texts are written on a terminal. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include "client/ctl/ctl.h"
#include "client/ctl/ids.h"

static const struct command commands[] = {
    {"ping", COMMAND_PING, false, 0, 0, "", "", "", NULL},
    {"list", COMMAND_LIST, false, 0, 1, "[PREFIX]", "", "", NULL},
    {"append", COMMAND_APPEND, true, 1, -1, "DOC [RECORD...]", "", "", NULL},
    {"import", COMMAND_IMPORT, true, 0, 1, "[FILE]", "", "", NULL},
    {NULL, COMMAND_PING, false, 0, 0, NULL, NULL, NULL, NULL},
};

/* getopt permutes the array it is given, and the options point into it: a copy, good until the next call. */
static int parse(struct options *options, const char *const *words)
{
	static char texts[1024];
	static char *argv[32];
	size_t at = 0;
	int argc = 0;

	for (; words[argc] != NULL; argc++) {
		argv[argc] = texts + at;
		at += (size_t)snprintf(texts + at, sizeof(texts) - at, "%s", words[argc]) + 1;
		cr_assert(at < sizeof(texts) && argc < 31);
	}
	argv[argc] = NULL;
	return options_parse(options, commands, argc, argv);
}

#define WORDS(...) ((const char *const[]){"kyneta-storectl", __VA_ARGS__, NULL})

static void set_up(void)
{
	unsetenv("KYNETA_STORE_SOCKET");
}

TestSuite(ctl_options, .init = set_up);

Test(ctl_options, defaults)
{
	struct options options;

	cr_assert_eq(parse(&options, WORDS("ping")), 0);
	cr_expect_eq(options.action, OPTIONS_RUN);
	cr_expect_eq(options.command, &commands[0]);
	cr_expect_str_eq(options.socket, KYNETA_STORE_DEFAULT_SOCKET);
	cr_expect_str_eq(options.socket_origin, "the default");
	cr_expect_eq(options.timeout_ms, 5000);
	cr_expect_eq(options.durability, KYNETA_STORE_DEFAULT);
	cr_expect_eq(options.kind, KYNETA_STORE_SINCE);
	cr_expect_str_eq(options.store, "main");
	cr_expect(!options.json && !options.has_expect && options.meta_table == NULL);
}

Test(ctl_options, the_environment_names_the_socket)
{
	struct options options;

	setenv("KYNETA_STORE_SOCKET", "/tmp/a", 1);
	cr_assert_eq(parse(&options, WORDS("ping")), 0);
	cr_expect_str_eq(options.socket, "/tmp/a");
	cr_assert_eq(parse(&options, WORDS("ping", "--socket", "/tmp/b")), 0);
	cr_expect_str_eq(options.socket, "/tmp/b");
	setenv("KYNETA_STORE_SOCKET", "", 1);
	cr_assert_eq(parse(&options, WORDS("ping")), 0);
	cr_expect_str_eq(options.socket, KYNETA_STORE_DEFAULT_SOCKET);
}

Test(ctl_options, options_stand_anywhere)
{
	struct options options;

	cr_assert_eq(parse(&options, WORDS("-j", "--expect", "3:17", "append", "-t", "0.25", "a doc", "{}",
					   "--durability", "committed", "[]", "--layout=2")),
		     0);
	cr_expect(options.json && options.has_expect);
	cr_expect_eq(options.expect.generation, 3);
	cr_expect_eq(options.expect.next, 17);
	cr_expect_eq(options.timeout_ms, 250);
	cr_expect_eq(options.durability, KYNETA_STORE_COMMITTED);
	cr_expect_eq(options.layout, 2);
	cr_assert_eq(options.argument_count, 3);
	cr_expect_str_eq(options.arguments[0], "a doc");
	cr_expect_str_eq(options.arguments[1], "{}");
	cr_expect_str_eq(options.arguments[2], "[]");
}

Test(ctl_options, two_dashes_end_them)
{
	struct options options;

	cr_assert_eq(parse(&options, WORDS("append", "--json", "--", "--json", "-x")), 0);
	cr_assert_eq(options.argument_count, 2);
	cr_expect_str_eq(options.arguments[0], "--json");
	cr_expect_str_eq(options.arguments[1], "-x");
}

Test(ctl_options, there_are_two_versions)
{
	struct options options;

	cr_assert_eq(parse(&options, WORDS("--version")), 0);
	cr_expect_eq(options.action, OPTIONS_VERSION);
	cr_assert_eq(parse(&options, WORDS("ping", "-V")), 0);
	cr_expect_eq(options.action, OPTIONS_VERSION);
	cr_assert_eq(parse(&options, WORDS("append", "a", "--entry", "x", "--version", "v1", "--kind", "entirety")), 0);
	cr_expect_eq(options.action, OPTIONS_RUN);
	cr_expect_str_eq(options.version, "v1");
	cr_expect_eq(options.kind, KYNETA_STORE_ENTIRETY);
}

Test(ctl_options, help)
{
	struct options options;

	cr_assert_eq(parse(&options, WORDS("--help")), 0);
	cr_expect(options.action == OPTIONS_HELP && options.command == NULL);
	cr_assert_eq(parse(&options, WORDS("help")), 0);
	cr_expect(options.action == OPTIONS_HELP && options.command == NULL);
	cr_assert_eq(parse(&options, WORDS("help", "append")), 0);
	cr_expect(options.action == OPTIONS_HELP && options.command == &commands[2]);
	cr_assert_eq(parse(&options, WORDS("append", "--help")), 0);
	cr_expect(options.action == OPTIONS_HELP && options.command == &commands[2]);
}

Test(ctl_options, numbers_have_their_bounds)
{
	struct options options;

	cr_assert_eq(parse(&options, WORDS("ping", "-t", "0")), 0);
	cr_expect_eq(options.timeout_ms, -1);
	cr_assert_eq(parse(&options, WORDS("ping", "-t", "0.0001")), 0);
	cr_expect_eq(options.timeout_ms, 1);
	cr_assert_eq(parse(&options, WORDS("append", "a", "--expect", "18446744073709551615:0")), 0);
	cr_expect_eq(options.expect.generation, UINT64_MAX);
}

Test(ctl_options, mistakes_are_told_in_one_line, .init = cr_redirect_stderr)
{
	const char *const *const wrong[] = {
	    (const char *const[]){"kyneta-storectl", NULL},
	    WORDS("frob"),
	    WORDS("help", "frob"),
	    WORDS("--frob"),
	    WORDS("-x", "ping"),
	    WORDS("ping", "-x"),
	    WORDS("ping", "--json=1"),
	    WORDS("ping", "--timeout"),
	    WORDS("ping", "-t"),
	    WORDS("ping", "-t", ""),
	    WORDS("ping", "-t", "5s"),
	    WORDS("ping", "-t", "-1"),
	    WORDS("ping", "-t", "nan"),
	    WORDS("ping", "-t", "1e7"),
	    WORDS("ping", "--socket", ""),
	    WORDS("ping", "argument"),
	    WORDS("ping", "--expect", "1:2"),
	    WORDS("--merge", "ping"),
	    WORDS("list", "a", "b"),
	    WORDS("append"),
	    WORDS("append", "a", "--expect", "1"),
	    WORDS("append", "a", "--expect", ":1"),
	    WORDS("append", "a", "--expect", "1:"),
	    WORDS("append", "a", "--expect", "1:2x"),
	    WORDS("append", "a", "--expect", "18446744073709551616:0"),
	    WORDS("append", "a", "--layout", "3"),
	    WORDS("append", "a", "--durability", "maybe"),
	    WORDS("append", "a", "--entry", "x", "--kind", "delta"),
	    WORDS("append", "a", "--entry", "x", "--binary", "y"),
	    WORDS("append", "a", "--version", "v"),
	    WORDS("append", "a", "--lineage", "l"),
	    WORDS("import", "--merge", "--overwrite"),
	};
	size_t count = sizeof(wrong) / sizeof(wrong[0]), lines = 0;
	struct options options;
	FILE *told;
	int byte;

	for (size_t i = 0; i < count; i++)
		cr_expect_eq(parse(&options, wrong[i]), CTL_USAGE, "%zu", i);
	fflush(stderr);
	told = cr_get_redirected_stderr();
	for (size_t i = 0; i < count; i++) {
		char line[512] = "";

		cr_assert_not_null(fgets(line, sizeof(line), told), "%zu", i);
		cr_expect_eq(strncmp(line, "kyneta-storectl: ", 17), 0, "%s", line);
		lines++;
	}
	byte = fgetc(told);
	cr_expect_eq(byte, EOF, "more than a line for each");
	cr_expect_eq(lines, count);
}

/* ---- ids and texts ---- */

/* What list prints of an id. */
static struct buffer listed(const char *id, size_t size)
{
	struct output output = {.mode = OUTPUT_PLAIN};
	struct buffer out = BUFFER_EMPTY;
	char *text = NULL;
	size_t text_size = 0;

	output.file = open_memstream(&text, &text_size);
	cr_assert_not_null(output.file);
	output_id(&output, span_of(id, size));
	cr_assert_eq(output_finish(&output), 0);
	cr_assert_eq(fclose(output.file), 0);
	cr_assert(text_size > 0 && text[text_size - 1] == '\n');
	text[text_size - 1] = '\0';
	buffer_append(&out, text, text_size);
	free(text);
	return out;
}

Test(ctl_ids, what_list_prints_can_be_given_back)
{
	static const struct {
		const char *id;
		size_t size;
		const char *listed;
	} cases[] = {
	    {"", 0, ""},
	    {"plain/1", 7, "plain/1"},
	    {"grüße 😀 “x” \"y\" /", 26, "grüße 😀 “x” \"y\" /"},
	    {"a\\nb", 4, "a\\\\nb"},
	    {"a\nb\tc\0d\x1b[31m\x7f", 13, "a\\nb\\tc\\u0000d\\u001b[31m\\u007f"},
	    {"\xc2\x9b"
	     "31m",
	     5, "\\u009b31m"},
	    {"\xe2\x80\xae"
	     "gpj.exe",
	     10, "\\u202egpj.exe"},
	    {"\xe2\x80\xa8\xef\xbb\xbf", 6, "\\u2028\\ufeff"},
	    {"\xf3\xa0\x81\xa1", 4, "\\udb40\\udc61"},
	    {"\\\"\\\\", 4, "\\\\\"\\\\\\\\"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buffer text = listed(cases[i].id, cases[i].size), storage = BUFFER_EMPTY;
		struct span id;

		cr_expect_str_eq((const char *)text.data, cases[i].listed);
		cr_assert_eq(ids_read((const char *)text.data, true, &storage, &id), 0, "%s", cases[i].listed);
		cr_expect(span_equal(id, span_of(cases[i].id, cases[i].size)), "%s", cases[i].listed);
		buffer_free(&text);
		buffer_free(&storage);
	}
}

Test(ctl_ids, what_is_none_is_refused)
{
	static const char *const wrong[] = {"\\", "\\x", "\\u12", "\\ud800", "a\nb", "\xff", "\"\\"};
	struct buffer storage = BUFFER_EMPTY;
	struct span id;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_expect_eq(ids_read(wrong[i], true, &storage, &id), -1, "%zu", i);
	cr_expect_eq(ids_read("a\\x\n", false, &storage, &id), 0);
	cr_expect_eq(id.size, 4);
	cr_expect_eq(ids_read("\xff", false, &storage, &id), -1);
	buffer_free(&storage);
}

static void expect_visible(const char *text, size_t limit, const char *expected)
{
	struct buffer out = BUFFER_EMPTY;

	output_visible(&out, span_of_string(text), limit);
	buffer_append_byte(&out, '\0');
	cr_expect_str_eq((const char *)out.data, expected);
	buffer_free(&out);
}

Test(ctl_output, texts_are_made_visible_and_cut)
{
	expect_visible("a\\b", 0, "a\\b");
	expect_visible("grüße", 3, "grü…");
	expect_visible("grüße", 5, "grüße");
	expect_visible("\x1b]0;title\x07", 0, "\\u001b]0;title\\u0007");
	expect_visible("cut \xe2\x80", 0, "cut \xef\xbf\xbd\xef\xbf\xbd");
	expect_visible("\xff\xc0", 0, "\xef\xbf\xbd\xef\xbf\xbd");
}

Test(ctl_output, sizes_are_for_people)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {{0, "0 B"},
		     {1023, "1023 B"},
		     {1024, "1.0 KiB"},
		     {1234567, "1.2 MiB"},
		     {1048575, "1.0 MiB"},
		     {(uint64_t)3 << 30, "3.0 GiB"},
		     {UINT64_MAX, "16.0 EiB"}};
	char text[OUTPUT_SIZE_TEXT];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		output_human_size(text, cases[i].bytes);
		cr_expect_str_eq(text, cases[i].text);
	}
}
