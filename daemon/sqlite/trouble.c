/*
 * trouble: what an SQLite result code means for the daemon.
 *
 * The question behind it: is it certain that nothing happened? A failed statement can always be rolled back. A failed
 * commit was not written if a write of the log failed for lack of space: the frame that makes it valid is the last one,
 * and the next transaction writes over the others. Everything else that goes wrong in a commit (an fsync, the shared
 * index after the frames were written, memory for that index) leaves frames behind that the next recovery may or may
 * not take for a transaction: fatal, and recovery decides.
 */
#include "daemon/sqlite/sqlite.h"

#include <errno.h>
#include <string.h>

/* Was it lack of space, or of room for another file? SQLite tells only ENOSPC in write(2) apart, as SQLITE_FULL. */
static bool no_space(int result, int system_error)
{
	int base = result & 0xff;

	if (base == SQLITE_FULL)
		return true;
	return (base == SQLITE_IOERR || base == SQLITE_CANTOPEN) && (system_error == ENOSPC || system_error == EDQUOT);
}

static bool sync_failed(int result)
{
	return result == SQLITE_IOERR_FSYNC || result == SQLITE_IOERR_DIR_FSYNC;
}

static bool no_memory(int result)
{
	return (result & 0xff) == SQLITE_NOMEM || result == SQLITE_IOERR_NOMEM;
}

static bool is_fatal(int result, enum sqlite_stage stage, int system_error)
{
	/* What the kernel had taken may be lost, of this transaction or of those before it. */
	if (sync_failed(result))
		return true;
	switch (stage) {
	case STAGE_STATEMENT:
		return false;
	case STAGE_CHECKPOINT:
		/* The log still has everything unless the database could not be written for another reason than space.
		 */
		return (result == SQLITE_IOERR_WRITE || result == SQLITE_IOERR_TRUNCATE) &&
		       !no_space(result, system_error);
	case STAGE_COMMIT:
		if (result == SQLITE_IOERR_WRITE)
			return !no_space(result, system_error);
		return (result & 0xff) == SQLITE_IOERR || no_memory(result);
	}
	return true;
}

static int code_of(int result, int system_error)
{
	if (no_space(result, system_error))
		return ERROR_DISK_FULL;
	switch (result & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return ERROR_CORRUPT;
	case SQLITE_TOOBIG:
		return ERROR_TOO_LARGE;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL: /* lost a race for the shared index many times over */
		return ERROR_BUSY;
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_READONLY:
		return ERROR_DENIED;
	case SQLITE_CANTOPEN:
		return system_error == EACCES || system_error == EPERM || system_error == EROFS ? ERROR_DENIED
												: ERROR_IO_ERROR;
	case SQLITE_ERROR:
	case SQLITE_SCHEMA:
		/* The daemon's statements are fixed: what one refers to was changed by another program. */
		return ERROR_INCOMPATIBLE_FORMAT;
	default:
		return ERROR_IO_ERROR;
	}
}

static int file_error(sqlite3 *db, int which)
{
	sqlite3_file *file = NULL;
	int error = 0;

	if (sqlite3_file_control(db, "main", which, &file) == SQLITE_OK && file != NULL && file->pMethods != NULL &&
	    file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &error) != SQLITE_OK)
		error = 0;
	return error;
}

/*
 * What the system said. A connection knows it of statements, but not of COMMIT or a checkpoint; then the file that was
 * written to does: of its last failure, which is this one.
 */
static int system_error_of(sqlite3 *db, int result, enum sqlite_stage stage)
{
	int base = result & 0xff, error;

	if (base != SQLITE_IOERR && base != SQLITE_CANTOPEN)
		return 0;
	error = stage == STAGE_STATEMENT ? sqlite3_system_errno(db) : 0;
	if (error == 0 && stage == STAGE_CHECKPOINT)
		error = file_error(db, SQLITE_FCNTL_FILE_POINTER);
	if (error == 0)
		error = file_error(db, SQLITE_FCNTL_JOURNAL_POINTER);
	return error;
}

int sqlite_trouble(sqlite3 *db, int result, enum sqlite_stage stage, const char *what, struct failure *failure)
{
	int system_error = system_error_of(db, result, stage);
	bool fatal = is_fatal(result, stage, system_error);
	/* Full or not, "it was not applied" cannot be said. */
	int code = fatal ? ERROR_IO_ERROR : code_of(result, system_error);
	const char *text = sqlite3_extended_errcode(db) == result ? sqlite3_errmsg(db) : sqlite3_errstr(result);

	if (system_error != 0)
		failure_set(failure, code, "%s: %s (SQLite %d): %s", what, text, result, strerror(system_error));
	else
		failure_set(failure, code, "%s: %s (SQLite %d)", what, text, result);
	if (failure != NULL) {
		failure->fatal = fatal;
		if (code == ERROR_INCOMPATIBLE_FORMAT)
			failure->detail = "foreign-table";
	}
	return code;
}

bool sqlite_table_missing(sqlite3 *db)
{
	static const char text[] = "no such table";

	return (sqlite3_errcode(db) & 0xff) == SQLITE_ERROR && strncmp(sqlite3_errmsg(db), text, sizeof(text) - 1) == 0;
}
