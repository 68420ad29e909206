/*
 * checkpoint: moving the log into the database, and making sure that what is there is on the disk (sqlite.h). Writer
 * thread.
 *
 * SQLite starts its log over only when the whole of it is in the database and no reader looks into it at that moment;
 * with readers back to back that moment never comes. So the bulk of the work is done beside the readers (PASSIVE), and
 * then, with the gate closed, the little that is left and the new start (RESTART). The file keeps its size: writing
 * over it syncs faster than letting it grow again.
 */
#include "daemon/clock.h"
#include "daemon/sqlite/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAME_HEADER_BYTES 24
#define LOG_HEADER_BYTES   32

/* How long a reader of another program may hold up the new start: nobody of ours reads meanwhile. */
#define RESTART_PATIENCE_US 50000

int sqlite_log_hook(void *context, sqlite3 *db, const char *name, int frames)
{
	struct sqlite_engine *engine = context;

	(void)db;
	(void)name;
	engine->log_frames = (uint64_t)frames;
	return SQLITE_OK;
}

static uint64_t frames_bytes(const struct sqlite_engine *engine, uint64_t frames)
{
	return frames == 0 ? 0 : LOG_HEADER_BYTES + frames * (FRAME_HEADER_BYTES + engine->page_bytes);
}

uint64_t sqlite_log_bytes(struct engine *base)
{
	struct sqlite_engine *engine = sqlite_engine(base);

	return frames_bytes(engine, engine->log_frames);
}

/*
 * Syncs one of the files that SQLite has open, through its own file object. The first sync of a log or journal object
 * syncs the folder too, so that a new log is there after a power failure.
 */
static int sync_file(struct sqlite_engine *engine, int which, const char *what, struct failure *failure)
{
	sqlite3_file *file = NULL;
	int code, result = sqlite3_file_control(engine->db, "main", which, &file);

	if (result != SQLITE_OK)
		return sqlite_trouble(engine->db, result, STAGE_STATEMENT, what, failure);
	if (file == NULL || file->pMethods == NULL)
		return 0; /* never opened, so nothing was written through it */
	errno = 0;
	result = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
	if (result == SQLITE_OK)
		return 0;
	code = failure_set(failure, ERROR_IO_ERROR, "%s: %s (SQLite %d): %s", what, sqlite3_errstr(result), result,
			   strerror(errno));
	if (failure != NULL)
		failure->fatal = true;
	return code;
}

int sqlite_sync(struct engine *base, struct failure *failure)
{
	return sync_file(sqlite_engine(base), SQLITE_FCNTL_JOURNAL_POINTER, "sync the log", failure);
}

int sqlite_sync_folder(struct sqlite_engine *engine, struct failure *failure)
{
	const char *path = sqlite3_db_filename(engine->db, "main");
	const char *slash = path == NULL ? NULL : strrchr(path, '/');
	int fd, code = 0;

	if (slash == NULL)
		return failure_set(failure, ERROR_IO_ERROR, "%s: no folder", engine->path);
	char *folder = slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));

	if (folder == NULL)
		return failure_set(failure, ERROR_IO_ERROR, "out of memory");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0) {
		code = failure_set(failure, ERROR_IO_ERROR, "cannot sync the folder %s: %s", folder, strerror(errno));
		if (failure != NULL)
			failure->fatal = fd >= 0;
	}
	if (fd >= 0)
		close(fd);
	free(folder);
	return code;
}

int sqlite_settle(struct sqlite_engine *engine, bool patient, struct failure *failure)
{
	int result, count = 0, code = sqlite_synchronous(engine, 2, failure);

	if (code != 0)
		return code;
	sqlite_patience_start(engine, !patient, RESTART_PATIENCE_US);
	do {
		result = sqlite3_wal_checkpoint_v2(engine->db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
		/* The busy handler is asked about readers and writers, not about another checkpoint. */
	} while (patient && (result & 0xff) == SQLITE_BUSY && sqlite_busy(engine, count++) != 0);
	if (result != SQLITE_OK)
		return sqlite_trouble(engine->db, result, STAGE_CHECKPOINT, "empty the log", failure);
	engine->log_frames = 0;
	/*
	 * SQLite syncs what it moves. What was in the database already may never have been synced by whoever wrote it
	 * (another program without sync; a log that was empty because the program was killed just after moving it).
	 */
	code = sync_file(engine, SQLITE_FCNTL_FILE_POINTER, "sync the database", failure);
	if (code == 0)
		code = sqlite_sync_folder(engine, failure);
	return code;
}

int sqlite_checkpoint(struct engine *base, const struct engine_gate *gate, struct engine_checkpoint_result *out,
		      struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);
	uint64_t start = clock_us(), closed;
	int result, frames = -1;

	*out = (struct engine_checkpoint_result){.log_bytes_before = sqlite_log_bytes(base)};
	result = sqlite3_wal_checkpoint_v2(engine->db, "main", SQLITE_CHECKPOINT_PASSIVE, &frames, NULL);
	closed = clock_us();
	out->passive_us = closed - start;
	if (frames > 0)
		out->log_bytes_before = frames_bytes(engine, (uint64_t)frames);
	if (result != SQLITE_OK && (result & 0xff) != SQLITE_BUSY)
		return sqlite_trouble(engine->db, result, STAGE_CHECKPOINT, "checkpoint", failure);

	if (gate != NULL)
		gate->close(gate->context);
	sqlite_patience_start(engine, true, RESTART_PATIENCE_US);
	result = sqlite3_wal_checkpoint_v2(engine->db, "main", SQLITE_CHECKPOINT_RESTART, NULL, NULL);
	if (gate != NULL)
		gate->open(gate->context);
	out->gate_closed_us = clock_us() - closed;
	if (result == SQLITE_OK) {
		out->complete = true;
		engine->log_frames = 0;
		return 0;
	}
	/* A reader or checkpoint of another program is in the way: the log goes on growing until it is gone. */
	if ((result & 0xff) == SQLITE_BUSY)
		return 0;
	return sqlite_trouble(engine->db, result, STAGE_CHECKPOINT, "checkpoint", failure);
}
