#include "tests/contract/database.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

/* Read-only handles never checkpoint, and leave a file that the daemon was killed over as it is. */
static sqlite3 *open_database(const struct stored *of, int flags)
{
	sqlite3 *db;
	int result = sqlite3_open_v2(of->database, &db, flags, NULL);

	cr_assert_eq(result, SQLITE_OK, "%s: %s", of->database, sqlite3_errstr(result));
	sqlite3_busy_timeout(db, HARNESS_PATIENCE_MS);
	return db;
}

static void write_value(FILE *out, sqlite3_value *value)
{
	int size = sqlite3_value_bytes(value);
	const unsigned char *bytes = sqlite3_value_blob(value);

	switch (sqlite3_value_type(value)) {
	case SQLITE_NULL:
		fprintf(out, "NULL");
		break;
	case SQLITE_TEXT:
		fprintf(out, "'");
		fwrite(bytes, 1, (size_t)size, out);
		fprintf(out, "'");
		break;
	case SQLITE_BLOB:
		fprintf(out, "x'");
		for (int i = 0; i < size; i++)
			fprintf(out, "%02x", bytes[i]);
		fprintf(out, "'");
		break;
	default:
		fprintf(out, "%s", (const char *)sqlite3_value_text(value));
	}
}

char *database_rows(const struct stored *of, const char *sql)
{
	sqlite3 *db = open_database(of, SQLITE_OPEN_READONLY);
	sqlite3_stmt *statement;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int result = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

	cr_assert_eq(result, SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
	while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
		for (int i = 0; i < sqlite3_column_count(statement); i++) {
			fprintf(out, "%s", i == 0 ? "" : "|");
			write_value(out, sqlite3_column_value(statement, i));
		}
		fprintf(out, "\n");
	}
	cr_assert_eq(result, SQLITE_DONE, "%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_finalize(statement);
	sqlite3_close(db);
	fclose(out);
	return text;
}

long long database_number(const struct stored *of, const char *sql)
{
	char *text = database_rows(of, sql);
	long long number = atoll(text);

	free(text);
	return number;
}

void database_execute(const struct stored *of, const char *sql)
{
	sqlite3 *db = open_database(of, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
	char *message = NULL;

	cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, &message), SQLITE_OK, "%s: %s", sql, message);
	sqlite3_close(db);
}
