/*
 * watch: what goes on in the files of the writer's connection (sqlite.h). Writer thread.
 *
 * A statement or a checkpoint is one call, however long it takes, and SQLite tells nothing of it. So the objects that
 * it has for the database and the log get copies of their own methods, which say that something was done. Recovery of a
 * log is seen by the pieces of the shared index that it maps, one for every 4096 pages: the log's own object is made
 * and used within one call. The clock around the log's sync tells how fast the disk is: a commit writes and
 * computes checksums too.
 */
#include "daemon/clock.h"
#include "daemon/sqlite/sqlite.h"

/* Between two calls of the progress handler: far below a millisecond. */
#define STEPS_PER_CALL 4096

static struct sqlite_watch *watch_of(sqlite3_file *file)
{
	/* The methods are its first member. */
	return (struct sqlite_watch *)(uintptr_t)file->pMethods;
}

static int watched_read(sqlite3_file *file, void *data, int size, sqlite3_int64 offset)
{
	sqlite_progress(watch_of(file)->engine);
	return watch_of(file)->own->xRead(file, data, size, offset);
}

static int watched_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
	sqlite_progress(watch_of(file)->engine);
	return watch_of(file)->own->xWrite(file, data, size, offset);
}

static int watched_sync(sqlite3_file *file, int flags)
{
	struct sqlite_watch *watch = watch_of(file);
	uint64_t start = clock_us();
	int result;

	sqlite_progress(watch->engine);
	result = watch->own->xSync(file, flags);
	sqlite_progress(watch->engine);
	watch->sync_us += clock_us() - start;
	return result;
}

static int watched_map(sqlite3_file *file, int piece, int size, int extend, void volatile **memory)
{
	sqlite_progress(watch_of(file)->engine);
	return watch_of(file)->own->xShmMap(file, piece, size, extend, memory);
}

static void watch_file(struct sqlite_engine *engine, int which, struct sqlite_watch *watch)
{
	sqlite3_file *file = NULL;

	if (sqlite3_file_control(engine->db, "main", which, &file) != SQLITE_OK || file == NULL ||
	    file->pMethods == NULL || file->pMethods == &watch->methods)
		return;
	watch->engine = engine;
	watch->own = file->pMethods;
	watch->methods = *file->pMethods;
	watch->methods.xRead = watched_read;
	watch->methods.xWrite = watched_write;
	watch->methods.xSync = watched_sync;
	if (watch->methods.iVersion >= 2)
		watch->methods.xShmMap = watched_map;
	file->pMethods = &watch->methods;
}

static int on_steps(void *context)
{
	sqlite_progress(context);
	return 0;
}

void sqlite_watch(struct sqlite_engine *engine)
{
	watch_file(engine, SQLITE_FCNTL_FILE_POINTER, &engine->database_watch);
	sqlite3_progress_handler(engine->db, STEPS_PER_CALL, on_steps, engine);
}

void sqlite_watch_commit(struct sqlite_engine *engine)
{
	/* Each new log has an object of its own. */
	watch_file(engine, SQLITE_FCNTL_JOURNAL_POINTER, &engine->log_watch);
	engine->log_watch.sync_us = 0;
}

uint64_t sqlite_sync_us(struct engine *base)
{
	return sqlite_engine(base)->log_watch.sync_us;
}
