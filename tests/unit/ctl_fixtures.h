/*
 * ctl_fixtures: the lines of recorded sessions, for tests of kyneta-storectl's parts.
 *
 * The sample sessions of the source tree are always there; the recorded ones of $KYNETA_FIXTURES (else
 * ../shared/fixtures beside the source tree) are used where they are.
 */
#ifndef KYNETA_TESTS_UNIT_CTL_FIXTURES_H
#define KYNETA_TESTS_UNIT_CTL_FIXTURES_H

#include "client/ctl/lines.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void ctl_fixtures_each_line(const char *path, void (*each)(struct span line, void *context),
					  void *context)
{
	enum lines_result result;
	struct lines *lines;
	const char *reason;
	struct span line;

	cr_assert_eq(lines_open(&lines, path, &reason), 0, "%s: %s", path, reason);
	while ((result = lines_next(lines, &line, &reason)) == LINES_ONE)
		each(line, context);
	cr_assert_eq(result, LINES_END);
	cr_assert_gt(lines_number(lines), 5);
	lines_close(lines);
}

/* Calls @each for all lines of all sessions. */
static inline void ctl_fixtures_each(void (*each)(struct span line, void *context), void *context)
{
	static const char *const recorded[] = {"session-small.v1.ndjson", "session-small.v2.ndjson"};
	const char *folder = getenv("KYNETA_FIXTURES");
	char path[4096];

	ctl_fixtures_each_line(SOURCE_ROOT "/tests/fixtures/sample.v1.ndjson", each, context);
	ctl_fixtures_each_line(SOURCE_ROOT "/tests/fixtures/sample.v2.ndjson", each, context);
	for (size_t i = 0; i < sizeof(recorded) / sizeof(recorded[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder != NULL ? folder : SOURCE_ROOT "/../shared/fixtures",
			 recorded[i]);
		if (access(path, R_OK) == 0)
			ctl_fixtures_each_line(path, each, context);
	}
}

#endif
