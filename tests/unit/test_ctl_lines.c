/* Lines of files, plain and gzipped; and the set of ids that an import has met. */
#include <criterion/criterion.h>
#include <zlib.h>

#include "client/ctl/lines.h"
#include "client/ctl/seen.h"
#include "scratch.h"

static char folder[SCRATCH_SIZE];
static char path[SCRATCH_SIZE + 16];

static void set_up(void)
{
	scratch_make(folder);
	snprintf(path, sizeof(path), "%s/file", folder);
}

static void tear_down(void)
{
	scratch_remove(folder);
}

TestSuite(ctl_lines, .init = set_up, .fini = tear_down);

static void write_file(const void *data, size_t size)
{
	FILE *file = fopen(path, "wb");

	cr_assert_not_null(file);
	cr_assert_eq(fwrite(data, 1, size, file), size);
	cr_assert_eq(fclose(file), 0);
}

static struct lines *open_file(void)
{
	struct lines *lines;
	const char *reason = "";

	cr_assert_eq(lines_open(&lines, path, &reason), 0, "%s", reason);
	return lines;
}

static void expect_line(struct lines *lines, const char *text, uint64_t number)
{
	const char *reason = "";
	struct span line;

	cr_assert_eq(lines_next(lines, &line, &reason), LINES_ONE, "%s", reason);
	cr_expect(span_equal(line, span_of_string(text)), "%.*s", (int)line.size, line.data);
	cr_expect_eq(lines_number(lines), number);
}

static void expect_end(struct lines *lines)
{
	const char *reason = "";
	struct span line;

	cr_expect_eq(lines_next(lines, &line, &reason), LINES_END, "%s", reason);
	cr_expect_eq(lines_next(lines, &line, &reason), LINES_END, "%s", reason);
	lines_close(lines);
}

Test(ctl_lines, blank_lines_count_and_are_passed_over)
{
	static const char text[] = "\none\n \t\r\n\ntwo \r\nthree";
	struct lines *lines;

	write_file(text, sizeof(text) - 1);
	lines = open_file();
	expect_line(lines, "one", 2);
	expect_line(lines, "two \r", 5);
	expect_line(lines, "three", 6);
	expect_end(lines);
}

Test(ctl_lines, an_empty_file_has_none)
{
	struct lines *lines;

	write_file("", 0);
	lines = open_file();
	cr_expect_eq(lines_percent(lines), -1);
	expect_end(lines);
	write_file("\n\n\n", 3);
	expect_end(open_file());
}

/* Lines of all lengths around the size of a chunk, so that each end falls on, before and behind a seam. */
Test(ctl_lines, lines_may_be_longer_than_what_is_read_at_once)
{
	static const size_t lengths[] = {1, 131070, 131071, 131072, 131073, 1, 393216, 2, 262143, 1000000};
	size_t count = sizeof(lengths) / sizeof(lengths[0]);
	gzFile file = gzopen(path, "wb1");
	char *text = malloc(1000001);
	struct lines *lines;

	cr_assert(file != NULL && text != NULL);
	for (size_t i = 0; i < count; i++) {
		memset(text, 'a' + (int)i, lengths[i]);
		text[lengths[i]] = '\n';
		cr_assert_gt(gzwrite(file, text, (unsigned)lengths[i] + 1), 0);
	}
	cr_assert_eq(gzclose(file), Z_OK);
	lines = open_file();
	for (size_t i = 0; i < count; i++) {
		memset(text, 'a' + (int)i, lengths[i]);
		text[lengths[i]] = '\0';
		expect_line(lines, text, i + 1);
	}
	cr_expect_eq(lines_percent(lines), 100);
	expect_end(lines);
	free(text);
}

Test(ctl_lines, a_gzipped_file_cut_short_is_no_end)
{
	char line[64], packed[65536];
	const char *reason = "";
	struct lines *lines;
	enum lines_result result;
	struct span span;
	size_t size;
	FILE *plain;
	gzFile file = gzopen(path, "wb");

	for (int i = 0; i < 2000; i++) {
		snprintf(line, sizeof(line), "%d %d\n", i, i * i * 7919);
		cr_assert_gt(gzwrite(file, line, (unsigned)strlen(line)), 0);
	}
	cr_assert_eq(gzclose(file), Z_OK);
	plain = fopen(path, "rb");
	size = fread(packed, 1, sizeof(packed), plain);
	fclose(plain);
	cr_assert_lt(size, sizeof(packed));
	for (size_t cut = 1; cut < 20; cut += 3) {
		write_file(packed, size - cut * 7 % (size / 2) - 1);
		lines = open_file();
		while ((result = lines_next(lines, &span, &reason)) == LINES_ONE)
			;
		cr_expect_eq(result, LINES_FAILED, "cut %zu", cut);
		lines_close(lines);
	}
	packed[size / 2] ^= 0x55;
	write_file(packed, size);
	lines = open_file();
	while ((result = lines_next(lines, &span, &reason)) == LINES_ONE)
		;
	cr_expect_eq(result, LINES_FAILED);
	lines_close(lines);
}

Test(ctl_lines, what_cannot_be_read_says_why)
{
	struct lines *lines;
	const char *reason = "";
	struct span line;

	cr_expect_eq(lines_open(&lines, path, &reason), -1);
	cr_expect_str_eq(reason, "No such file or directory");
	cr_assert_eq(lines_open(&lines, folder, &reason), 0);
	cr_expect_eq(lines_next(lines, &line, &reason), LINES_FAILED);
	cr_expect_str_eq(reason, "Is a directory");
	lines_close(lines);
	lines_close(NULL);
}

Test(ctl_seen, remembers_what_it_met)
{
	struct seen *seen = seen_new();
	char id[16];

	cr_assert_not_null(seen);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 5000; i++) {
			snprintf(id, sizeof(id), "%d", i);
			cr_assert_eq(seen_has(seen, span_of_string(id)), round == 1);
			cr_assert_eq(seen_add(seen, span_of_string(id)), round == 0 ? SEEN_NEW : SEEN_BEFORE);
		}
	}
	cr_expect_eq(seen_add(seen, SPAN_NONE), SEEN_NEW, "the empty id is one like any other");
	cr_expect_eq(seen_add(seen, SPAN_NONE), SEEN_BEFORE);
	seen_free(seen);
	seen_free(NULL);
}
