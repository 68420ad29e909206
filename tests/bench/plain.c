#include "plain.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int append(sqlite3_stmt *statement, sqlite3_int64 seq, const void *data, size_t size)
{
	static const char payload[] = "{\"kind\":\"since\",\"encoding\":\"binary\",\"version\":\"1\"}";
	int result;

	sqlite3_bind_text(statement, 1, "bench/0", -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 2, seq);
	sqlite3_bind_text(statement, 3, payload, -1, SQLITE_STATIC);
	sqlite3_bind_blob64(statement, 4, data, size, SQLITE_STATIC);
	result = sqlite3_step(statement); /* autocommit: one transaction each */
	sqlite3_reset(statement);
	return result == SQLITE_DONE ? 0 : -1;
}

int plain_run(const char *database, const struct load_options *options, struct load_result *result)
{
	char *data = calloc(1, options->entry_bytes + 1);
	sqlite3_stmt *statement = NULL;
	sqlite3 *db = NULL;
	int failed = 0;
	double start;

	if (data == NULL || sqlite3_open(database, &db) != SQLITE_OK ||
	    sqlite3_exec(db,
			 "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
			 "CREATE TABLE kyneta_records(doc_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, "
			 "payload TEXT,"
			 " blob BLOB, PRIMARY KEY (doc_id, seq)) WITHOUT ROWID",
			 NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(db, "INSERT INTO kyneta_records VALUES (?1, ?2, 'entry', ?3, ?4)", -1, &statement,
			       NULL) != SQLITE_OK) {
		fprintf(stderr, "kyneta-store-bench: SQLite: %s\n", db == NULL ? "no memory" : sqlite3_errmsg(db));
		failed = -1;
		goto out;
	}
	start = now();
	result->requests = 0;
	do {
		failed = append(statement, (sqlite3_int64)result->requests++, data, options->entry_bytes);
		result->seconds = now() - start;
	} while (failed == 0 && result->seconds < options->seconds);
out:
	sqlite3_finalize(statement);
	sqlite3_close(db);
	free(data);
	return failed;
}
