/* config: every option good and bad, by its table; files with line numbers; what is printed. */
#include "daemon/config.h"

#include "tests/unit/allocations.h"
#include "tests/unit/scratch.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define ARGUMENTS_MAX 80

static struct config *config;
static struct complaints complaints;
static char message[4096]; /* the complaints, a newline between two */

/* The arguments of the last config_read: a configuration points into them. */
static char program[] = "kyneta-stored", *arguments[ARGUMENTS_MAX] = {program};
static int count = 1;

static void drop_arguments(void)
{
	while (count > 1)
		free(arguments[--count]);
}

__attribute__((format(printf, 1, 2))) static void add_argument(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	cr_assert_lt(count, ARGUMENTS_MAX);
	cr_assert_geq(vasprintf(&arguments[count++], format, list), 0);
	va_end(list);
}

static void add_line(void *context, const char *line)
{
	size_t length = strlen(message);

	(void)context;
	snprintf(message + length, sizeof(message) - length, "%s%s", length == 0 ? "" : "\n", line);
}

static enum config_result read_again(void)
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
static enum config_result read_arguments(const char *first, ...)
{
	va_list list;

	drop_arguments();
	va_start(list, first);
	for (const char *argument = first; argument != NULL; argument = va_arg(list, const char *))
		add_argument("%s", argument);
	va_end(list);
	return read_again();
}

static void assert_wrong(enum config_result result, const char *expected)
{
	cr_assert_eq(result, CONFIG_WRONG, "taken, instead of: %s", expected);
	cr_assert_str_eq(message, expected);
}

static void assert_right(enum config_result result)
{
	cr_assert_eq(result, CONFIG_RUN, "%s", message);
}

enum kind { TEXT, SIZE, COUNT, SECONDS, MODE, DURABILITY, LEVEL };

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

static uint64_t number_of(const struct option *option)
{
	uint64_t value;

	memcpy(&value, (const char *)config + option->offset, sizeof(value));
	return value;
}

static bool is_number(const struct option *option)
{
	return option->kind == SIZE || option->kind == COUNT || option->kind == SECONDS || option->kind == MODE;
}

static void print_number(const struct option *option, uint64_t value, char out[64])
{
	snprintf(out, 64, option->kind == MODE ? "%" PRIo64 : "%" PRIu64, value);
}

/* --name=value for every number, least or most of all; the reserve then has no room above the largest log. */
static void read_all(bool most)
{
	char text[64];

	drop_arguments();
	for (size_t i = 0; i < OPTIONS; i++) {
		uint64_t value = most ? options[i].most : options[i].least;

		if (!is_number(&options[i]))
			continue;
		if (strcmp(options[i].name, "reserve-bytes") == 0)
			value = 0;
		print_number(&options[i], value, text);
		add_argument("--%s=%s", options[i].name, text);
	}
	assert_right(read_again());
	for (size_t i = 0; i < OPTIONS; i++)
		if (is_number(&options[i]) && strcmp(options[i].name, "reserve-bytes") != 0)
			cr_assert_eq(number_of(&options[i]), most ? options[i].most : options[i].least, "%s",
				     options[i].name);
}

static bool equal_texts(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static bool equal_numbers(uint64_t a, uint64_t b)
{
	return a == b;
}

Test(config, defaults)
{
	assert_right(read_arguments(NULL));
#define EQUAL(a, b)						 _Generic((a), const char * : equal_texts, uint64_t : equal_numbers)(a, b)
#define X(kind, when, field, name, initial, least, most, reason) cr_assert(EQUAL(config->field, initial), name);
	OPTION_TABLE(X)
#undef X
}

Test(config, defaults_are_within_their_ranges)
{
	assert_right(read_arguments(NULL));
	for (size_t i = 0; i < OPTIONS; i++)
		if (options[i].kind != TEXT)
			cr_assert(number_of(&options[i]) >= options[i].least &&
				  number_of(&options[i]) <= options[i].most);
}

Test(config, every_range_is_open_to_its_ends)
{
	read_all(false);
	read_all(true);
}

static void assert_refused(const struct option *option, const char *value)
{
	char argument[256], name[64], start[128], end[256];

	snprintf(argument, sizeof(argument), "--%s=%s", option->name, value);
	cr_assert_eq(read_arguments(argument, NULL), CONFIG_WRONG, "%s", argument);
	snprintf(start, sizeof(start), "--%s takes ", option->name);
	snprintf(end, sizeof(end), ", got \"%s\"", value);
	cr_assert_eq(strncmp(message, start, strlen(start)), 0, "%s: %s", argument, message);
	cr_assert_str_eq(message + strlen(message) - strlen(end), end);
	cr_assert_null(strchr(message, '\n'));
	/* The same in two arguments. */
	snprintf(name, sizeof(name), "--%s", option->name);
	cr_assert_eq(read_arguments(name, value, NULL), CONFIG_WRONG);
	cr_assert_str_eq(message + strlen(message) - strlen(end), end);
}

Test(config, every_option_refuses_what_it_does_not_take)
{
	static const char *const bad[] = {"",
					  "x",
					  "-1",
					  "+5",
					  " 5",
					  "5 ",
					  "0x10",
					  "5.0",
					  "1T",
					  "1KB",
					  "K",
					  "1 K",
					  "18446744073709551616",
					  "99999999999999999999999999"};
	char text[64];

	for (size_t i = 0; i < OPTIONS; i++) {
		if (options[i].kind == TEXT) {
			assert_refused(&options[i], "");
			continue;
		}
		for (size_t j = 0; j < sizeof(bad) / sizeof(bad[0]); j++)
			assert_refused(&options[i], bad[j]);
		if (!is_number(&options[i]))
			continue;
		print_number(&options[i], options[i].most + 1, text);
		assert_refused(&options[i], text);
		if (options[i].least > 0) {
			print_number(&options[i], options[i].least - 1, text);
			assert_refused(&options[i], text);
		}
		if (options[i].kind != SIZE)
			assert_refused(&options[i], "1K");
	}
}

Test(config, every_option_wants_a_value)
{
	char name[64], start[128];

	for (size_t i = 0; i < OPTIONS; i++) {
		snprintf(name, sizeof(name), "--%s", options[i].name);
		snprintf(start, sizeof(start), "--%s takes ", options[i].name);
		cr_assert_eq(read_arguments(name, NULL), CONFIG_WRONG);
		cr_assert_eq(strncmp(message, start, strlen(start)), 0, "%s", message);
		cr_assert_str_eq(message + strlen(message) - 13, ", got nothing");
	}
}

Test(config, sizes_have_suffixes)
{
	assert_right(
	    read_arguments("--wal-bytes", "65536", "--page-bytes", "2k", "--cache-bytes=3M", "--batch-bytes=1G", NULL));
	cr_assert_eq(config->wal_bytes, 65536);
	cr_assert_eq(config->page_bytes, 2048);
	cr_assert_eq(config->cache_bytes, 3 * CONFIG_MIB);
	cr_assert_eq(config->batch_bytes, 1024 * CONFIG_MIB);
	/* 2^64 + 4096 must not become 4096. */
	assert_wrong(read_arguments("--batch-bytes=18014398509481988K", NULL),
		     "--batch-bytes takes a size from 4K to 1G, got \"18014398509481988K\"");
	assert_wrong(read_arguments("--batch-bytes=17179869185G", NULL),
		     "--batch-bytes takes a size from 4K to 1G, got \"17179869185G\"");
}

Test(config, words)
{
	assert_right(read_arguments("--durability=committed", "--log-level=warning", NULL));
	cr_assert_eq(config->durability, 0);
	cr_assert_eq(config->log_level, 4);
	assert_right(read_arguments("--durability=synced", "--log-level=critical", NULL));
	cr_assert_eq(config->durability, 1);
	cr_assert_eq(config->log_level, 2);
	assert_wrong(read_arguments("--durability=sync", NULL), "--durability takes synced or committed, got \"sync\"");
	assert_wrong(read_arguments("--log-level", "loud", NULL),
		     "--log-level takes critical, error, warning, notice, info or debug, got \"loud\"");
}

Test(config, messages_say_what_an_option_takes)
{
	assert_wrong(read_arguments("--batch-requests", "x", NULL),
		     "--batch-requests takes a number from 1 to 65536, got \"x\"");
	assert_wrong(read_arguments("--hello-timeout", "0", NULL),
		     "--hello-timeout takes seconds from 1 to 86400, got \"0\"");
	assert_wrong(read_arguments("--socket-mode", "0888", NULL),
		     "--socket-mode takes an octal mode from 0000 to 0777, got \"0888\"");
	assert_wrong(read_arguments("--socket", "", NULL), "--socket takes a path, got \"\"");
	assert_wrong(read_arguments("--readers", "1\n2", NULL),
		     "--readers takes a number from 1 to 64, got \"1\\x0a2\"");
	assert_wrong(read_arguments("--config", NULL), "--config takes a file, got nothing");
	assert_wrong(read_arguments("--help=more", NULL), "--help takes no value");
	assert_wrong(read_arguments("--version=2", NULL), "--version takes no value");
}

Test(config, long_values_are_cut)
{
	char value[100000];

	memset(value, 'x', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	cr_assert_eq(read_arguments("--readers", value, NULL), CONFIG_WRONG);
	cr_assert_lt(strlen(message), 300);
	memcpy(value, "--", 2);
	cr_assert_eq(read_arguments(value, NULL), CONFIG_WRONG);
	cr_assert_lt(strlen(message), 300);
}

Test(config, unknown_options_suggest_the_nearest)
{
	assert_wrong(read_arguments("--batch-request-s=5", NULL),
		     "unknown option --batch-request-s; did you mean --batch-requests?");
	assert_wrong(read_arguments("--lgo-level", "3", NULL), "unknown option --lgo-level; did you mean --log-level?");
	assert_wrong(read_arguments("--max", NULL), "unknown option --max; did you mean --max-connections?");
	assert_wrong(read_arguments("--colour", NULL), "unknown option --colour; --help tells them all");
	assert_wrong(read_arguments("-x", NULL), "unknown option -x; --help tells them all");
	assert_wrong(read_arguments("file", NULL), "takes options only, got \"file\"");
	assert_wrong(read_arguments("--readers=1", "--", "--readers=2", NULL),
		     "takes options only, got \"--readers=2\"");
}

Test(config, the_later_wins)
{
	assert_right(read_arguments("--readers=1", "--readers", "3", NULL));
	cr_assert_eq(config->readers, 3);
	/* But what is said must be right all the same. */
	cr_assert_eq(read_arguments("--readers=0", "--readers", "3", NULL), CONFIG_WRONG);
}

Test(config, limits_must_fit_each_other)
{
	assert_wrong(read_arguments("--max-frame-bytes=256M", NULL),
		     "--max-request-bytes-per-connection (128M) must be at least --max-frame-bytes (256M)");
	assert_wrong(read_arguments("--max-request-bytes=100000000", NULL),
		     "--max-request-bytes (100000000) must be at least --max-request-bytes-per-connection (128M)");
	assert_wrong(read_arguments("--page-bytes=8M", NULL),
		     "--max-reply-bytes-per-connection (4M) must be at least --page-bytes (8M)");
	assert_wrong(read_arguments("--max-reply-bytes=2M", NULL),
		     "--max-reply-bytes (2M) must be at least --max-reply-bytes-per-connection (4M)");
	assert_wrong(read_arguments("--max-requests=5", NULL),
		     "--max-requests (5) must be at least --max-requests-per-connection (1024)");
	assert_wrong(read_arguments("--wal-bytes=64M", NULL),
		     "--reserve-bytes (48M) must be 0, or at least --wal-bytes (64M) and 16M");
	assert_right(read_arguments("--wal-bytes=64M", "--reserve-bytes=80M", NULL));
	assert_right(read_arguments("--wal-bytes=64M", "--reserve-bytes=0", NULL));
	assert_right(read_arguments("--max-frame-bytes=128M", NULL));
}

/* ---- files ---- */

static char folder[SCRATCH_SIZE], path[SCRATCH_SIZE + 8];

static void make_folder(void)
{
	scratch_make(folder);
	snprintf(path, sizeof(path), "%s/ini", folder);
}

static void remove_folder(void)
{
	scratch_remove(folder);
}

TestSuite(config_file, .init = make_folder, .fini = remove_folder);

static void write_bytes(const char *bytes, size_t size)
{
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file);
	cr_assert_eq(fwrite(bytes, 1, size, file), size);
	cr_assert_eq(fclose(file), 0);
}

static enum config_result read_text(const char *text)
{
	write_bytes(text, strlen(text));
	return read_arguments("--config", path, NULL);
}

/* @expected follows the file's name. */
static void assert_wrong_file(const char *text, const char *expected)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "%s%s", path, expected);
	assert_wrong(read_text(text), whole);
}

Test(config_file, keys_in_a_section_or_in_none)
{
	assert_right(read_text("# comment\n\nsocket = /tmp/a b.sock\nreaders=3 ; why\n\n[kyneta-stored]\n"
			       "  ; another\n  wal-bytes = 16M\n\tlog-level: debug\r\n"));
	cr_assert_str_eq(config->socket, "/tmp/a b.sock");
	cr_assert_eq(config->readers, 3);
	cr_assert_eq(config->wal_bytes, 16 * CONFIG_MIB);
	cr_assert_eq(config->log_level, 7);
	assert_right(read_text(""));
	cr_assert_str_eq(config->socket, "/run/kyneta-store/kyneta-store.sock");
	assert_right(read_text("\xef\xbb\xbfreaders = 5"));
	cr_assert_eq(config->readers, 5);
}

Test(config_file, the_command_line_wins)
{
	write_bytes("readers = 3\nmax-stores = 7\n", 27);
	assert_right(read_arguments("--readers=4", "--config", path, NULL));
	cr_assert_eq(config->readers, 4);
	cr_assert_eq(config->max_stores, 7);
}

Test(config_file, every_key_is_checked)
{
	char text[128], start[128];

	for (size_t i = 0; i < OPTIONS; i++) {
		snprintf(text, sizeof(text), "[kyneta-stored]\n\n%s = %s\n", options[i].name,
			 options[i].kind == TEXT ? "" : "x");
		snprintf(start, sizeof(start), "%s:3: %s takes ", path, options[i].name);
		cr_assert_eq(read_text(text), CONFIG_WRONG);
		cr_assert_eq(strncmp(message, start, strlen(start)), 0, "%s", message);
	}
}

#define NO_LINE	 "a line is \"key = value\", [section], or a comment after # or ;"
#define SECTIONS "[kyneta-stored], [access], [store NAME], [create], [quota], [quota USER], [quota-store NAME]"
#define MISTAKES "readers\nreaders = 0\n[nowhere]\nreaders = 0\n[store a]\nred = x\n[store"

Test(config_file, mistakes_are_told_with_their_line)
{
	assert_wrong_file("\nreaders = 3\nreaders = 0\n", ":3: readers takes a number from 1 to 64, got \"0\"");
	assert_wrong_file("readrs = 3", ":1: unknown key readrs; did you mean readers?");
	assert_wrong_file("[kyneta-stored]\nzzz = 3", ":2: unknown key zzz; --help tells them all");
	assert_wrong_file("config = other.ini", ":1: unknown key config; --help tells them all");
	assert_wrong_file("readers = 3\nreaders\n", ":2: " NO_LINE);
	assert_wrong_file("[kyneta-stored\n", ":1: " NO_LINE);
	assert_wrong_file("[kyneta-stored] readers = 5\n", ":1: " NO_LINE);
	assert_wrong_file("[kyneta-stored ; no]\n", ":1: " NO_LINE);
	assert_wrong_file("socket = /tmp/a\n  readers = 99\n", ":2: readers takes a number from 1 to 64, got \"99\"");
}

Test(config_file, every_mistake_is_told)
{
	char expected[1024];

	write_bytes(MISTAKES, strlen(MISTAKES));
	snprintf(expected, sizeof(expected),
		 "--max-stores takes a number from 1 to 65536, got \"0\"\n"
		 "takes options only, got \"word\"\n"
		 "%s:1: " NO_LINE "\n"
		 "%s:2: readers takes a number from 1 to 64, got \"0\"\n"
		 "%s:3: unknown section [nowhere]; there are " SECTIONS "\n"
		 "%s:6: unknown key red; [store] takes read, write, administer\n"
		 "%s:7: " NO_LINE,
		 path, path, path, path, path);
	assert_wrong(read_arguments("--max-stores=0", "--config", path, "word", NULL), expected);
}

Test(config_file, lines_that_would_be_misread_are_refused)
{
	char text[1024], expected[256];

	/* The longest that is taken, and one more. */
	snprintf(text, sizeof(text), "\nsocket = /%0186d\n", 0);
	cr_assert_eq(strlen(text) - 2, 196);
	assert_right(read_text(text));
	cr_assert_eq(strlen(config->socket), 187);
	snprintf(text, sizeof(text), "\nsocket = /%0400d\nreaders = 2\n", 0);
	assert_wrong_file(text, ":2: a line is text of at most 198 bytes");
	write_bytes("readers = 3\0", 12);
	snprintf(expected, sizeof(expected), "%s:1: a line is text of at most 198 bytes", path);
	assert_wrong(read_arguments("--config", path, NULL), expected);
}

Test(config_file, no_memory)
{
	unsigned long until = 0;

	write_bytes("socket = /a\n[store a]\nread = b\nwrite = c\n", 40);
	assert_right(read_arguments("--config", path, NULL));
	do {
		allocations_until_failure = ++until;
		if (read_again() == CONFIG_WRONG)
			cr_assert_str_eq(message, "out of memory");
		allocations_until_failure = 0;
	} while (config == NULL);
	cr_assert_gt(until, 8);
	cr_assert_eq(config->setting_count, 2);
}

Test(config_file, file_that_cannot_be_read)
{
	char expected[256];

	snprintf(expected, sizeof(expected), "--config takes a file, cannot open %s: No such file or directory", path);
	assert_wrong(read_arguments("--config", path, NULL), expected);
	snprintf(expected, sizeof(expected), "--config takes a file, cannot read %s: Is a directory", folder);
	assert_wrong(read_arguments("--config", folder, NULL), expected);
}

Test(config_file, limits_are_checked_after_the_command_line)
{
	write_bytes("max-frame-bytes = 256M\n", 23);
	assert_wrong(read_arguments("--config", path, NULL),
		     "--max-request-bytes-per-connection (128M) must be at least --max-frame-bytes (256M)");
	assert_right(read_arguments("--config", path, "--max-request-bytes-per-connection=256M", NULL));
}

/* ---- what is printed ---- */

/* What an option prints on stdout. */
static char *printed_by(const char *option)
{
	static char out[65536];
	int saved = dup(STDOUT_FILENO);
	FILE *file = tmpfile();
	size_t length;

	cr_assert_not_null(file);
	fflush(stdout);
	cr_assert_geq(dup2(fileno(file), STDOUT_FILENO), 0);
	cr_assert_eq(read_arguments(option, NULL), CONFIG_DONE);
	cr_assert_geq(dup2(saved, STDOUT_FILENO), 0);
	close(saved);
	rewind(file);
	length = fread(out, 1, sizeof(out) - 1, file);
	out[length] = '\0';
	fclose(file);
	return out;
}

Test(config, version)
{
	cr_assert_str_eq(printed_by("--version"), "kyneta-stored " KYNETA_VERSION "\n");
}

Test(config, help_has_every_option_in_80_columns)
{
	char *help = printed_by("--help"), name[64];

	for (size_t i = 0; i < OPTIONS; i++) {
		snprintf(name, sizeof(name), "\n  --%s ", options[i].name);
		cr_assert_not_null(strstr(help, name), "%s", name);
	}
#define X(constant, status, meaning) cr_assert_not_null(strstr(help, "\n  " #status "   "));
	EXIT_LIST(X)
#undef X
	cr_assert_not_null(strstr(help, "default 64M; 4K to 1G\n"));
	cr_assert_not_null(strstr(help, "\n  --config FILE\n"));
	for (char *line; (line = strsep(&help, "\n")) != NULL;)
		cr_assert_leq(strlen(line), 80, "%s", line);
	cr_assert_eq(strncmp(printed_by("-h"), "Usage: kyneta-stored ", 21), 0);
}

Test(config, options_are_a_table)
{
	char *table = printed_by("--options"), *line;
	size_t rows = 0;

	while ((line = strsep(&table, "\n")) != NULL && *line != '\0') {
		cr_assert_lt(rows, OPTIONS);
		cr_assert_str_eq(strsep(&line, "\t"), options[rows].name);
		cr_assert_neq(*strsep(&line, "\t"), '\0');
		cr_assert_neq(*strsep(&line, "\t"), '\0');
		cr_assert_not_null(line);
		cr_assert_null(strchr(line, '\t'));
		rows++;
	}
	cr_assert_eq(rows, OPTIONS);
}

Test(config, stdout_that_cannot_be_written)
{
	int saved = dup(STDOUT_FILENO), full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	enum config_result result;

	fflush(stdout);
	cr_assert_geq(dup2(full, STDOUT_FILENO), 0);
	result = read_arguments("--help", NULL);
	cr_assert_geq(dup2(saved, STDOUT_FILENO), 0);
	assert_wrong(result, "cannot write to stdout: No space left on device");
	clearerr(stdout);
	close(saved);
	close(full);
}
