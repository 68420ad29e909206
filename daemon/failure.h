/*
 * failure: what went wrong, in one place of fixed size.
 *
 * Functions that can fail return 0 or a code of protocol/error.h, and say more here. The first one who sees a failure
 * fills it in; callers pass it up untouched.
 */
#ifndef KYNETA_DAEMON_FAILURE_H
#define KYNETA_DAEMON_FAILURE_H

#include "protocol/error.h"

#define FAILURE_MESSAGE_SIZE 1024

struct failure {
	int code; /* enum error_code */
	/*
	 * Whether a transaction that ended this way happened is not known (a failed fsync or write-back): the process
	 * must answer what waits with OUTCOME_UNKNOWN and end without closing the database.
	 */
	bool fatal;
	const char *detail;		    /* static: "mixed-layouts" … for ERROR_INCOMPATIBLE_FORMAT; else NULL */
	char message[FAILURE_MESSAGE_SIZE]; /* UTF-8, cut at a character */
};

/* failure_set(failure, code, format, …) - fill it in (fatal false, detail NULL); returns @code. @failure may be NULL.
 */
int failure_set(struct failure *failure, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* failure_no_memory(failure) - the commonest one; returns ERROR_IO_ERROR. */
static inline int failure_no_memory(struct failure *failure)
{
	failure_set(failure, ERROR_IO_ERROR, "out of memory");
	return ERROR_IO_ERROR;
}

#endif
