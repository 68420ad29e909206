/* notice: a few lines of each kind, the number of the others later, and every limit counted. */
#include "daemon/notice.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/stats.h"

static struct notices notices;
static int saved, lines;
static FILE *written;
static char text[8192];

static void set_up(void)
{
	written = tmpfile();
	saved = dup(STDERR_FILENO);
	cr_assert(written != NULL && saved >= 0);
	fflush(stderr);
	cr_assert_geq(dup2(fileno(written), STDERR_FILENO), 0);
}

static void tear_down(void)
{
	dup2(saved, STDERR_FILENO);
	close(saved);
	fclose(written);
}

TestSuite(notice, .init = set_up, .fini = tear_down);

/* What was written since the last look; in @lines how many lines. */
static void look(void)
{
	static long at;
	size_t size;

	fseek(written, at, SEEK_SET);
	size = fread(text, 1, sizeof(text) - 1, written);
	at += (long)size;
	text[size] = '\0';
	lines = 0;
	for (const char *c = text; *c != '\0'; c++)
		lines += *c == '\n';
}

static void act(int times, uint64_t now_ms)
{
	struct peer peer = {.pid = 77, .uid = 88};

	for (int i = 0; i < times; i++)
		notice_limit(&notices, NOTICE_limit_frame_timeout, now_ms, &peer, "host");
}

Test(notice, tells_who_and_which_limit)
{
	act(1, 5);
	look();
	cr_assert_eq(lines, 1);
	cr_assert_not_null(strstr(text, "warning: pid 77 uid 88 host: "), "%s", text);
	cr_assert_not_null(strstr(text, "(frame-timeout)"), "%s", text);
	cr_assert_eq(stats_get(limit_frame_timeout), 1);
	cr_assert_eq(stats_get(limit_hello_timeout), 0);
}

Test(notice, leaves_out_what_is_too_much_and_says_how_much)
{
	uint64_t now = 1000;

	act(1000, now);
	look();
	cr_assert_eq(lines, NOTICE_LINES);
	cr_assert_eq(stats_get(limit_frame_timeout), 1000);
	/* Kinds do not take each other's lines. */
	cr_assert(notice_due(&notices, NOTICE_HELLO, now));
	notices_tick(&notices, now + NOTICE_INTERVAL_MS - 1);
	look();
	cr_assert_eq(lines, 0);
	now += NOTICE_INTERVAL_MS;
	notices_tick(&notices, now);
	look();
	cr_assert_eq(lines, 1);
	cr_assert_not_null(strstr(text, "990 more: "), "%s", text);
	/* And from the beginning. */
	act(1, now);
	look();
	cr_assert_eq(lines, 1);
	notices_tick(&notices, now + 2 * NOTICE_INTERVAL_MS);
	look();
	cr_assert_eq(lines, 0);
}

Test(notice, a_few_now_and_then_are_all_told)
{
	for (uint64_t i = 0; i < 30; i++) {
		act(NOTICE_LINES, 1000 + i * NOTICE_INTERVAL_MS);
		notices_tick(&notices, 1000 + i * NOTICE_INTERVAL_MS);
		look();
		cr_assert_eq(lines, NOTICE_LINES, "round %d", (int)i);
	}
}

Test(notice, every_line_is_there_for_whoever_looks_for_details)
{
	log_set_level(LOG_DEBUG);
	act(50, 1);
	look();
	cr_assert_eq(lines, 50);
}

Test(notice, other_kinds_are_summed_up_too)
{
	for (int i = 0; i < 25; i++)
		notice_due(&notices, NOTICE_HELLO, 1);
	notices_tick(&notices, 1 + NOTICE_INTERVAL_MS);
	look();
	cr_assert_eq(lines, 1);
	cr_assert_not_null(strstr(text, "info: 15 more hellos were accepted"), "%s", text);
}
