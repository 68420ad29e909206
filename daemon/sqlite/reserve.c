/*
 * reserve: disk space kept aside (sqlite.h), in a file "….reserve" beside the database, and how the database does
 * without more of it. Writer thread.
 *
 * On a full disk nothing works: even a delete needs room in the log, and moving the log into the database may make that
 * grow. The file is given back then: two thirds of it are for the log, and a third is what the database may grow by
 * (SQLite itself refuses the page that is too many), for writes that free space. The log may not keep what a large
 * transaction had made of it. The file is made again when there is space.
 */
#include "daemon/sqlite/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Of the reserve: what the database may grow by on a full disk; what must be free beside it before that is over. */
#define SPARE_PART  3
#define MARGIN_PART 8

#define MARGIN_MIN_BYTES (1 << 20)

static char *reserve_path(const struct sqlite_engine *engine)
{
	char *path;

	return asprintf(&path, "%s.reserve", engine->path) < 0 ? NULL : path;
}

void sqlite_release_reserve(struct engine *base)
{
	char *path = reserve_path(sqlite_engine(base));

	if (path == NULL)
		return;
	/* Removing a name can need space where the file system copies on write; emptying the file then may not. */
	if (unlink(path) != 0 && errno != ENOENT && truncate(path, 0) != 0)
		(void)unlink(path);
	free(path);
}

/* Could there be so much space? Quotas and what is set aside for root show only when it is asked for. */
static bool may_have(const char *path, uint64_t bytes)
{
	struct statvfs status;

	return statvfs(path, &status) != 0 || (uint64_t)status.f_bfree * status.f_frsize >= bytes;
}

/* A file of @bytes that have their space, if @margin more could have it too: 0, or what stood in the way. */
static int allocate(int fd, uint64_t bytes, uint64_t margin)
{
	/* Smaller options since last time give the difference back. */
	int error = ftruncate(fd, 0) != 0 ? errno : 0;

	if (error == 0 && bytes + margin > 0)
		error = posix_fallocate(fd, 0, (off_t)(bytes + margin));
	if (error == 0 && margin > 0)
		error = ftruncate(fd, (off_t)bytes) != 0 ? errno : 0;
	return error;
}

static int make_reserve(const struct sqlite_engine *engine, const char *path, uint64_t margin)
{
	uint64_t bytes = engine->options.reserve_bytes;
	struct stat status;
	uint64_t had = stat(path, &status) == 0 ? (uint64_t)status.st_size : 0;
	int error, fd;

	/* Not even tried in vain: for that moment it would take from others what is left. */
	if (had < bytes + margin && !may_have(engine->path, bytes + margin - had))
		return ENOSPC;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return errno;
	error = fstat(fd, &status) != 0 ? errno : 0;
	if (error == 0 && ((uint64_t)status.st_size != bytes || margin > 0))
		error = allocate(fd, bytes, margin);
	if (error != 0 || bytes == 0)
		(void)unlink(path); /* half a reserve is none, and takes what others could use */
	close(fd);
	return error;
}

int sqlite_restore_reserve(struct engine *base, struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);
	uint64_t bytes = engine->options.reserve_bytes, margin = 0;
	char *path;
	int error, code = 0;

	if (!engine->taken)
		return 0;
	if (engine->growth != GROWTH_FREE)
		margin = bytes / MARGIN_PART > MARGIN_MIN_BYTES ? bytes / MARGIN_PART : MARGIN_MIN_BYTES;
	if (bytes + margin == 0) {
		sqlite_release_reserve(base);
		return 0;
	}
	path = reserve_path(engine);
	if (path == NULL)
		return failure_set(failure, ERROR_IO_ERROR, "out of memory");
	error = make_reserve(engine, path, margin);
	if (error != 0)
		code = failure_set(failure, error == ENOSPC || error == EDQUOT ? ERROR_DISK_FULL : ERROR_IO_ERROR,
				   "cannot keep %llu bytes aside in %s: %s", (unsigned long long)bytes, path,
				   strerror(error));
	free(path);
	return code;
}

/* ---- growth ---- */

/* The one number that a PRAGMA gives. */
static int read_number(struct sqlite_engine *engine, const char *sql, uint64_t *number, struct failure *failure)
{
	sqlite3_stmt *statement = NULL;
	int code = sqlite_prepare(engine->db, &statement, sql, "", "", failure), result;

	if (code != 0)
		return code;
	result = sqlite3_step(statement);
	if (result == SQLITE_ROW)
		*number = (uint64_t)sqlite3_column_int64(statement, 0);
	else
		code = sqlite_trouble(engine->db, result, STAGE_STATEMENT, "measure the database", failure);
	sqlite3_finalize(statement);
	return code;
}

int sqlite_unused_bytes(struct engine *base, uint64_t *bytes, struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);
	uint64_t pages = 0;
	int code = read_number(engine, "PRAGMA main.freelist_count", &pages, failure);

	*bytes = pages * engine->page_bytes;
	return code;
}

/* From free to limited: notes where the database stands. */
static int begin_limit(struct sqlite_engine *engine, struct failure *failure)
{
	char sql[64];
	int code = read_number(engine, "PRAGMA main.max_page_count", &engine->pages_most, failure);

	if (code == 0)
		code = read_number(engine, "PRAGMA main.page_count", &engine->pages_full, failure);
	snprintf(sql, sizeof(sql), "PRAGMA main.journal_size_limit=%llu",
		 (unsigned long long)engine->options.wal_limit_bytes);
	return code == 0 ? sqlite_run(engine, sql, "limit the log", failure) : code;
}

int sqlite_set_growth(struct engine *base, enum engine_growth growth, struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);
	uint64_t pages;
	char sql[64];
	int code = 0;

	if (growth == engine->growth)
		return 0;
	if (engine->growth == GROWTH_FREE)
		code = begin_limit(engine, failure);
	else if (growth == GROWTH_FREE)
		code = sqlite_run(engine, "PRAGMA main.journal_size_limit=-1", "free the log", failure);
	pages = engine->pages_full;
	if (growth == GROWTH_FREE)
		pages = engine->pages_most;
	else if (growth == GROWTH_SPARE)
		pages += engine->options.reserve_bytes / SPARE_PART / engine->page_bytes;
	/* Never below what the database has: SQLite sees to that. */
	snprintf(sql, sizeof(sql), "PRAGMA main.max_page_count=%llu", (unsigned long long)pages);
	if (code == 0)
		code = sqlite_run(engine, sql, "limit the database", failure);
	if (code == 0)
		engine->growth = growth;
	return code;
}
