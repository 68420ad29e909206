/*
 * rules: settings as a configuration has them, for the tests of what they mean.
 */
#ifndef KYNETA_TESTS_UNIT_RULES_H
#define KYNETA_TESTS_UNIT_RULES_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "daemon/peer.h"
#include "daemon/setting.h"

/* SETTING("store", "notes", "read", "bin") - a line of [store notes]. */
#define SETTING(section, name, key, value) ((struct setting){section, name, key, value, "file", __COUNTER__ + 1})

static char message[2048]; /* complaints, a newline behind each */

static inline void add_line(void *context, const char *line)
{
	(void)context;
	strncat(message, line, sizeof(message) - strlen(message) - 1);
	strncat(message, "\n", sizeof(message) - strlen(message) - 1);
}

/* Moves what is in @complaints to message. */
static inline void take_complaints(struct complaints *complaints)
{
	message[0] = '\0';
	complaints_tell(complaints, add_line, NULL);
	complaints_free(complaints);
}

static inline struct peer peer_of(uid_t uid, gid_t gid)
{
	return (struct peer){.pid = 1, .uid = uid, .gid = gid};
}

#endif
