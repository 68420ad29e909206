/* log: prefixes, levels, what is escaped, where a line is cut. */
#include "daemon/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The linker puts this in place of write(2) in log.c (--wrap): the next calls fail with these, or write one byte for
 * -1. */
static int write_errors[4];

ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);

ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
	int error = write_errors[0];

	memmove(write_errors, write_errors + 1, sizeof(write_errors) - sizeof(write_errors[0]));
	if (error <= 0)
		return __real_write(fd, bytes, error < 0 ? 1 : size);
	errno = error;
	return -1;
}

static int saved_stderr, reading_end;

/* From here to end_capture stderr is a pipe. */
static void begin_capture(void)
{
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_geq(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20), 0);
	saved_stderr = dup(STDERR_FILENO);
	cr_assert_geq(dup2(ends[1], STDERR_FILENO), 0);
	close(ends[1]);
	reading_end = ends[0];
}

static size_t end_capture(char *out, size_t size)
{
	size_t length = 0;
	ssize_t got;

	cr_assert_geq(dup2(saved_stderr, STDERR_FILENO), 0);
	close(saved_stderr);
	while ((got = read(reading_end, out + length, size - 1 - length)) > 0)
		length += (size_t)got;
	out[length] = '\0';
	close(reading_end);
	return length;
}

static void assert_matches(const char *text, const char *pattern)
{
	regex_t regex;

	cr_assert_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	cr_assert_eq(regexec(&regex, text, 0, NULL, 0), 0, "%s does not match %s", text, pattern);
	regfree(&regex);
}

/* What a text is in the log, without prefix and newline. */
static void assert_escaped(const char *text, size_t size, const char *expected)
{
	char out[256];

	cr_assert_eq(log_escape(text, size, out, sizeof(out)), strlen(expected));
	cr_assert_str_eq(out, expected);
}

Test(log, prefix_has_time_and_level)
{
	char out[1024];

	unsetenv("JOURNAL_STREAM");
	begin_capture();
	log_write(LOG_WARNING, "peer pid %d", 4711);
	end_capture(out, sizeof(out));
	assert_matches(out,
		       "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z warning: peer pid 4711\n$");
}

Test(log, journal_gets_a_priority)
{
	struct stat status;
	char out[1024], stream[64];

	begin_capture();
	cr_assert_eq(fstat(STDERR_FILENO, &status), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_write(LOG_ERROR, "no space");
	end_capture(out, sizeof(out));
	cr_assert_str_eq(out, "<3>no space\n");
}

Test(log, inherited_journal_stream_is_not_ours)
{
	char out[1024];

	setenv("JOURNAL_STREAM", "1:1", 1);
	begin_capture();
	log_write(LOG_ERROR, "no space");
	end_capture(out, sizeof(out));
	assert_matches(out, "Z error: no space\n$");
}

Test(log, level_drops_what_matters_less)
{
	char out[1024];

	begin_capture();
	log_write(LOG_DEBUG, "not by default");
	log_set_level(LOG_WARNING);
	log_write(LOG_NOTICE, "dropped");
	log_write(LOG_WARNING, "kept");
	log_set_level(LOG_DEBUG);
	log_write(LOG_DEBUG, "kept too");
	end_capture(out, sizeof(out));
	cr_assert(log_enabled(LOG_DEBUG));
	cr_assert_null(strstr(out, "not by default"));
	cr_assert_null(strstr(out, "dropped"));
	assert_matches(out, "warning: kept\n.*debug: kept too\n$");
}

Test(log, nobody_forges_a_line)
{
	char out[1024];

	begin_capture();
	log_write(LOG_INFO, "doc '%s'", "a\n2026-01-01T00:00:00.000Z error: forged");
	end_capture(out, sizeof(out));
	assert_matches(out, "^[^\n]* info: doc 'a\\\\x0a2026[^\n]*'\n$");
}

Test(log, escapes_what_is_no_text)
{
	assert_escaped("plain", 5, "plain");
	assert_escaped("", 0, "");
	assert_escaped("a\0b", 3, "a\\x00b");
	assert_escaped("\t\r\x1b[31m\x7f", 8, "\\x09\\x0d\\x1b[31m\\x7f");
	assert_escaped("caf\xc3\xa9 \xf0\x9f\x98\x80", 10, "caf\xc3\xa9 \xf0\x9f\x98\x80");
	assert_escaped("\xc2\x85\xc2\xa0", 4, "\\xc2\\x85\xc2\xa0");
	assert_escaped("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa", 9, "\\xe2\\x80\\xa8\\xe2\\x80\\xa9\xe2\x80\xaa");
	assert_escaped("\xff\xc3(\x80\xed\xa0\x80\xc0\x80", 9, "\\xff\\xc3(\\x80\\xed\\xa0\\x80\\xc0\\x80");
	assert_escaped("cut \xe2\x82", 6, "cut \\xe2\\x82");
}

Test(log, escape_is_cut_at_a_character)
{
	char out[8];

	cr_assert_eq(log_escape("123456789", 9, out, sizeof(out)), 7);
	cr_assert_str_eq(out, "1234567");
	cr_assert_eq(log_escape("123456\xc3\xa9", 8, out, sizeof(out)), 6);
	cr_assert_str_eq(out, "123456");
	cr_assert_eq(log_escape("1234\n", 5, out, sizeof(out)), 4);
	cr_assert_eq(log_escape("12", 2, out, 0), 0);
	cr_assert_eq(log_escape("12", 2, out, 1), 0);
	cr_assert_str_eq(out, "");
}

Test(log, long_lines_are_cut_at_a_character)
{
	char text[6001], out[8192];
	const char *body;

	for (size_t shift = 0; shift < 3; shift++) {
		memset(text, 'x', shift);
		for (size_t i = shift; i + 3 <= 6000; i += 3)
			memcpy(text + i, "\xe2\x82\xac", 4);
		begin_capture();
		log_write(LOG_INFO, "%s", text);
		end_capture(out, sizeof(out));
		body = strstr(out, "info: ") + 6;
		cr_assert_eq(strlen(body), 1 + shift + (4000 - shift) / 3 * 3);
		cr_assert_eq(strncmp(body, text, strlen(body) - 1), 0);
	}
}

Test(log, errno_is_kept)
{
	char out[1024];

	begin_capture();
	errno = ENOSPC;
	log_write(LOG_INFO, "%s", "cut short");
	cr_assert_eq(errno, ENOSPC);
	log_write(LOG_DEBUG, "not written");
	cr_assert_eq(errno, ENOSPC);
	end_capture(out, sizeof(out));
	assert_matches(out, "info: cut short\n$");
}

Test(log, closed_stderr_is_survived)
{
	int saved = dup(STDERR_FILENO);

	close(STDERR_FILENO);
	errno = 0;
	log_write(LOG_ERROR, "nobody hears this");
	cr_assert_eq(errno, 0);
	cr_assert_geq(dup2(saved, STDERR_FILENO), 0);
	close(saved);
}

Test(log, interrupted_and_partial_writes_go_on)
{
	static const int errors[] = {EINTR, -1, EINTR};
	char out[1024];

	begin_capture();
	memcpy(write_errors, errors, sizeof(errors));
	log_write(LOG_INFO, "whole");
	end_capture(out, sizeof(out));
	assert_matches(out, "^[0-9T:.-]+Z info: whole\n$");
}

Test(log, line_that_cannot_be_written_is_lost)
{
	char out[1024];

	begin_capture();
	errno = 0;
	write_errors[0] = EAGAIN;
	log_write(LOG_INFO, "lost");
	cr_assert_eq(errno, 0);
	log_write(LOG_INFO, "next");
	end_capture(out, sizeof(out));
	assert_matches(out, "^[0-9T:.-]+Z info: next\n$");
}

#define THREADS 4
#define LINES	200

static void *write_lines(void *context)
{
	char text[301];

	memset(text, *(char *)context, 300);
	text[300] = '\0';
	for (int i = 0; i < LINES; i++)
		log_write(LOG_INFO, "%s", text);
	return NULL;
}

Test(log, lines_of_threads_do_not_mix)
{
	static char out[1 << 20];
	char letters[] = "abcd", expected[302];
	pthread_t threads[THREADS];
	size_t lines = 0;

	begin_capture();
	for (size_t i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, write_lines, &letters[i]), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	end_capture(out, sizeof(out));
	for (char *rest = out, *line; (line = strsep(&rest, "\n")) != NULL && *line != '\0'; lines++) {
		const char *text = strstr(line, "info: ") + 6;

		memset(expected, *text, 300);
		expected[300] = '\0';
		cr_assert_str_eq(text, expected);
	}
	cr_assert_eq(lines, THREADS * LINES);
}
