/* config: what is printed: help, tables, a configuration, the example of one. */
#include "tests/unit/config_reading.h"

#include <fcntl.h>

TestSuite(config_print, .init = make_folders, .fini = remove_folder);

/* What is printed on stdout for these arguments. */
static char *printed_with(const char *option, const char *second, const char *third)
{
	static char out[65536];
	int saved = dup(STDOUT_FILENO);
	FILE *file = tmpfile();
	size_t length;

	cr_assert_not_null(file);
	fflush(stdout);
	cr_assert_geq(dup2(fileno(file), STDOUT_FILENO), 0);
	cr_assert_eq(read_arguments(option, second, third, NULL), CONFIG_DONE, "%s", message);
	cr_assert_geq(dup2(saved, STDOUT_FILENO), 0);
	close(saved);
	rewind(file);
	length = fread(out, 1, sizeof(out) - 1, file);
	out[length] = '\0';
	fclose(file);
	return out;
}

static char *printed_by(const char *option)
{
	return printed_with(option, NULL, NULL);
}

Test(config_print, version)
{
	cr_assert_str_eq(printed_by("--version"), "kyneta-stored " KYNETA_VERSION "\n");
}

Test(config_print, help_has_every_option_in_80_columns)
{
	char *help = printed_by("--help"), name[64];

	for (size_t i = 0; i < OPTIONS; i++) {
		snprintf(name, sizeof(name), "\n  --%s ", options[i].name);
		cr_assert_not_null(strstr(help, name), "%s", name);
	}
#define X(constant, status, meaning) cr_assert_not_null(strstr(help, "\n  " #status "   "));
	EXIT_LIST(X)
#undef X
	cr_assert_not_null(strstr(help, "default 64M; 4K to 1G; changes by reload, for new connections\n"));
	cr_assert_not_null(strstr(help, "\n  --config FILE\n"));
	for (char *line; (line = strsep(&help, "\n")) != NULL;)
		cr_assert_leq(strlen(line), 80, "%s", line);
	cr_assert_eq(strncmp(printed_by("-h"), "Usage: kyneta-stored ", 21), 0);
}

Test(config_print, options_are_a_table)
{
	char *table = printed_by("--options"), *line;
	size_t rows = 0;

	while ((line = strsep(&table, "\n")) != NULL && *line != '\0') {
		cr_assert_lt(rows, OPTIONS);
		cr_assert_str_eq(strsep(&line, "\t"), options[rows].name);
		cr_assert_neq(*strsep(&line, "\t"), '\0');
		cr_assert_neq(*strsep(&line, "\t"), '\0');
		cr_assert_not_null(strstr("reload, for new connections|restart", strsep(&line, "\t")));
		cr_assert_not_null(line);
		cr_assert_null(strchr(line, '\t'));
		rows++;
	}
	cr_assert_eq(rows, OPTIONS);
}

Test(config_print, stdout_that_cannot_be_written)
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

/* ---- a configuration and the example of one ---- */

/* The line that begins with @start, cut off from the others. NULL: there is none. */
static char *line_of(char *text, const char *start)
{
	static char line[4096];

	for (; text != NULL; text = strchr(text, '\n')) {
		text += *text == '\n';
		if (strncmp(text, start, strlen(start)) == 0) {
			snprintf(line, sizeof(line), "%.*s", (int)strcspn(text, "\n"), text);
			return line;
		}
	}
	return NULL;
}

static void assert_line(char *text, const char *key, const char *value, const char *source)
{
	char start[256];
	const char *line;

	snprintf(start, sizeof(start), "%s =", key);
	line = line_of(text, start);
	cr_assert_not_null(line, "%s", key);
	snprintf(start, sizeof(start), "%s = %s ", key, value);
	cr_assert_eq(strncmp(line, start, strlen(start)), 0, "%s", line);
	cr_assert_str_eq(strstr(line, " ; ") + 3, source);
}

Test(config_print, check_config_tells_what_would_be_in_force)
{
	char place[SCRATCH_SIZE + 32], *text;

	write_drop_in("1.conf", "[store a]\nwrite = 3\n[access]\nusers = 4\n[store a]\nread = 5\n");
	write_text("socket = /a b\nwal-bytes = 16384K\n[store a]\nread = 2\n");
	snprintf(place, sizeof(place), "--config=%s", path);
	text = printed_with("--check-config", "--readers=5", place);
	for (size_t i = 0; i < OPTIONS; i++) {
		snprintf(place, sizeof(place), "%s =", options[i].name);
		cr_assert_not_null(line_of(text, place), "%s", options[i].name);
	}
	snprintf(place, sizeof(place), "%s:1", path);
	assert_line(text, "socket", "/a b", place);
	snprintf(place, sizeof(place), "%s:2", path);
	assert_line(text, "wal-bytes", "16M", place);
	assert_line(text, "readers", "5", "command line");
	assert_line(text, "durability", "synced", "default");
	/* One section, although its lines are far from each other. */
	snprintf(place, sizeof(place), "%s/1.conf:6", drop_ins);
	assert_line(text, "read", "5", place);
	snprintf(place, sizeof(place), "%s/1.conf:2", drop_ins);
	assert_line(text, "write", "3", place);
	cr_assert_null(strstr(strstr(text, "\n[store a]\n") + 1, "\n[store a]\n"));
	snprintf(place, sizeof(place), "# read %s/1.conf", drop_ins);
	cr_assert_not_null(line_of(text, place));
}

Test(config_print, what_check_config_prints_is_a_configuration)
{
	char first[65536], place[SCRATCH_SIZE + 32], *second;

	write_text("readers = 5\ndatabase = /x\n[store *]\nread =\n[create]\nroot = b c\n");
	snprintf(place, sizeof(place), "--config=%s", path);
	snprintf(first, sizeof(first), "%s", printed_with("--check-config", place, NULL));
	write_text(first);
	second = printed_with("--check-config", place, NULL);
	cr_assert_not_null(strstr(line_of(second, "readers ="), path));
	for (char *line = strtok(first, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		size_t length = strcspn(line, ";");

		line[length] = '\0';
		if (line[0] != '#')
			cr_assert_not_null(line_of(second, line), "%s", line);
	}
}

Test(config_print, check_config_tells_what_is_wrong)
{
	char expected[256];

	write_text("readers = 0\n");
	snprintf(expected, sizeof(expected), "%s:1: readers takes a number from 1 to 64, got \"0\"", path);
	assert_wrong(read_arguments("--check-config", "--config", path, NULL), expected);
	assert_wrong(read_arguments("--max-frame-bytes=256M", "--check-config", NULL),
		     "--max-request-bytes-per-connection (128M) must be at least --max-frame-bytes (256M)");
	assert_wrong(read_arguments("--check-config", "--quiet", "--config", path, NULL), expected);
	assert_wrong(read_arguments("--quiet", NULL), "--quiet goes with --check-config");
}

/* Every line "#key = value" and "#[section]" without its mark. */
static void uncomment(char *text)
{
	char *out = text;

	for (const char *at = text; *at != '\0'; at++) {
		bool start = at == text || at[-1] == '\n';

		if (!start || at[0] != '#' || at[1] == ' ' || at[1] == '\n')
			*out++ = *at;
	}
	*out = '\0';
}

Test(config_print, the_example_has_everything_and_changes_nothing)
{
	static const char *const sections[] =
	    {
#define X(section, naming, words, example, meaning) example,
		SECTION_TABLE(X)
#undef X
	    },
				 *const settings[] = {
#define X(section, key, example, meaning) example,
				     SETTING_TABLE(X)
#undef X
				 };
	char *text = printed_by("--example-config"), wanted[256];

	write_text(text);
	assert_right(read_arguments("--config", path, NULL));
	for (size_t i = 0; i < OPTIONS; i++)
		cr_assert_eq(config->sources[i].origin, CONFIG_DEFAULT);
	cr_assert_eq(config->setting_count, 0);

	uncomment(text = printed_by("--example-config"));
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		snprintf(wanted, sizeof(wanted), "\n%s\n", sections[i]);
		cr_assert_not_null(strstr(text, wanted), "%s", wanted);
	}
	write_text(text);
	assert_right(read_arguments("--config", path, NULL));
	for (size_t i = 0; i < OPTIONS; i++)
		cr_assert_eq(config->sources[i].origin, CONFIG_FILE, "%s is not in the example", options[i].name);
	cr_assert_eq(config->setting_count, sizeof(settings) / sizeof(settings[0]));
#define X(kind, when, field, name, initial, least, most, reason) cr_assert(EQUAL(config->field, initial), "%s", name);
	OPTION_TABLE(X)
#undef X
}

Test(config_print, the_example_has_short_lines)
{
	char *text = printed_by("--example-config");

	for (char *line; (line = strsep(&text, "\n")) != NULL;)
		cr_assert_leq(strlen(line), 100, "%s", line);
}
