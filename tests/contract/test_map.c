/*
 * The map: README.md tells which test stands for which rule. It must tell the truth about the tests that there are.
 */
#include "protocol/error.h"
#include "tests/contract/harness.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 1000

struct names {
	char *name[NAMES_MAX];
	size_t count;
};

static bool has_name(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->name[i], name) == 0)
			return true;
	return false;
}

static void add_name(struct names *names, char *name)
{
	cr_assert_lt(names->count, NAMES_MAX);
	names->name[names->count++] = name;
}

static char *read_text(const char *name)
{
	char path[512];
	size_t size = 0;
	char *text;

	snprintf(path, sizeof(path), "%s/tests/contract/%s", SOURCE_ROOT, name);
	text = file_read(path, &size);
	cr_assert_not_null(text, "%s", path);
	text[size] = '\0';
	return text;
}

/* Every Test(suite, name) at the start of a line. */
static void read_tests(struct names *tests, const char *file)
{
	char *text = read_text(file), *at = text;

	while ((at = strstr(at, "\nTest(")) != NULL) {
		char suite[64], test[128], *name;

		at++;
		cr_assert_eq(sscanf(at, "Test(%63[a-z_0-9], %127[a-z_0-9]", suite, test), 2, "%.60s", at);
		cr_assert_gt(asprintf(&name, "%s/%s", suite, test), 0);
		cr_assert_not(has_name(tests, name), "%s is there twice", name);
		add_name(tests, name);
	}
	free(text);
}

/* Everything in backquotes that has a slash and no blank. */
static void read_map(struct names *map, const char *text)
{
	for (const char *at = text; (at = strchr(at, '`')) != NULL;) {
		const char *end = strchr(++at, '`');
		size_t size;

		cr_assert_not_null(end);
		size = (size_t)(end - at);
		if (memchr(at, '/', size) != NULL && memchr(at, ' ', size) == NULL && memchr(at, '\n', size) == NULL)
			add_name(map, strndup(at, size));
		at = end + 1;
	}
}

static void free_names(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->name[i]);
}

Test(map, every_test_stands_for_a_rule)
{
	static struct names tests, map;
	char *text = read_text("README.md");
	char path[512];
	struct dirent *file;
	DIR *folder;

	snprintf(path, sizeof(path), "%s/tests/contract", SOURCE_ROOT);
	folder = opendir(path);
	cr_assert_not_null(folder);
	while ((file = readdir(folder)) != NULL)
		if (strncmp(file->d_name, "test_", 5) == 0 && strcmp(file->d_name, "test_map.c") != 0)
			read_tests(&tests, file->d_name);
	closedir(folder);
	read_map(&map, text);
	cr_assert_gt(tests.count, 100);
	for (size_t i = 0; i < tests.count; i++)
		cr_expect(has_name(&map, tests.name[i]), "README.md does not tell what %s is for", tests.name[i]);
	for (size_t i = 0; i < map.count; i++)
		cr_expect(has_name(&tests, map.name[i]), "README.md names %s, which is no test", map.name[i]);
	free_names(&tests);
	free_names(&map);
	free(text);
}

Test(map, every_code_has_a_test)
{
	static const struct {
		int code;
		const char *name;
	} codes[] = {
#define X(constant, number, word, meaning) {number, #word},
	    ERROR_LIST(X)
#undef X
	};
	char *text = read_text("README.md");

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		char row[128], *found;

		snprintf(row, sizeof(row), "\n| %d | `%s` | `", codes[i].code, codes[i].name);
		found = strstr(text, row);
		cr_expect_not_null(found, "%d %s has no row with a test", codes[i].code, codes[i].name);
	}
	free(text);
}
