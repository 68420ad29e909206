#include "plain.h"

#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/clock.h"

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

int plain_run(const char *database, size_t bytes, double seconds, double *rate)
{
	char *data = calloc(1, bytes + 1);
	sqlite3_stmt *statement = NULL;
	sqlite3 *db = NULL;
	uint64_t start, took, count = 0;
	int failed = 0;

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
	start = clock_ns();
	do {
		failed = append(statement, (sqlite3_int64)count++, data, bytes);
		took = clock_ns() - start;
	} while (failed == 0 && clock_seconds(took) < seconds);
	*rate = (double)count / clock_seconds(took);
out:
	sqlite3_finalize(statement);
	sqlite3_close(db);
	free(data);
	return failed;
}
