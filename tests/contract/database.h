/*
 * database: a test's own look into the daemon's file, and its hand in it: what another program would see and do.
 */
#ifndef KYNETA_TESTS_CONTRACT_DATABASE_H
#define KYNETA_TESTS_CONTRACT_DATABASE_H

#include "tests/contract/harness.h"

/* database_rows(stored, sql) - what a query gives: a line per row, columns as SQL literals, "|" between them.
 * Allocated. */
char *database_rows(const struct stored *stored, const char *sql);

/* database_number(stored, sql) - the one number a query gives. */
long long database_number(const struct stored *stored, const char *sql);

/* database_execute(stored, sql) - change the file (made if it is not there), in journal mode or WAL as it is. */
void database_execute(const struct stored *stored, const char *sql);

/* ROWS(sql, lines) - the query gives exactly these lines. */
#define ROWS(sql, lines)                                                                                               \
	do {                                                                                                           \
		char *rows_found = database_rows(&stored, sql);                                                        \
		cr_assert_str_eq(rows_found, lines, "%s gives\n%s", sql, rows_found);                                  \
		free(rows_found);                                                                                      \
	} while (0)

#endif
