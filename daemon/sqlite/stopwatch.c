/*
 * stopwatch: how long the syncs of the log take (sqlite.h). Writer thread.
 *
 * A commit writes, computes checksums and syncs; only the last says how fast the disk is, and SQLite does not tell. So
 * the log's file object gets a copy of its own methods with a sync that looks at the clock.
 */
#include "daemon/clock.h"
#include "daemon/sqlite/sqlite.h"

static int timed_sync(sqlite3_file *file, int flags)
{
	/* The methods are the first member of the stopwatch. */
	struct sqlite_stopwatch *stopwatch = (struct sqlite_stopwatch *)(uintptr_t)file->pMethods;
	uint64_t start = clock_us();
	int result = stopwatch->own->xSync(file, flags);

	stopwatch->sync_us += clock_us() - start;
	return result;
}

void sqlite_stopwatch_start(struct sqlite_engine *engine)
{
	struct sqlite_stopwatch *stopwatch = &engine->stopwatch;
	sqlite3_file *file = NULL;

	stopwatch->sync_us = 0;
	if (sqlite3_file_control(engine->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file) != SQLITE_OK ||
	    file == NULL || file->pMethods == NULL || file->pMethods == &stopwatch->methods)
		return;
	stopwatch->own = file->pMethods;
	stopwatch->methods = *file->pMethods;
	stopwatch->methods.xSync = timed_sync;
	file->pMethods = &stopwatch->methods;
}

uint64_t sqlite_sync_us(struct engine *base)
{
	return sqlite_engine(base)->stopwatch.sync_us;
}
