/*
 * sqlite: opening, taking in use and closing the database (sqlite.h).
 *
 * Opening an existing file only looks at it: whether the daemon may use it is known when the first store is accepted.
 * Then it is taken: WAL, and everything in it durable. A file that has the daemon's own table was taken before, and is
 * recovered at once: what a killed daemon has acknowledged may be in the kernel's cache alone, and "it is there" must
 * mean "it is on the disk" before anybody is told.
 */
#include "daemon/sqlite/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* A log larger than this takes noticeable time to recover. */
#define LARGE_LOG_BYTES (64 << 20)

/*
 * The page cache until the file is taken. Looking for a store reads whole records, however large, just to find the next
 * document: nothing that should stay in memory.
 */
#define LOOK_CACHE_KIB 1024

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

/* Counting allocations takes a global lock for each of them, and nobody asks for the counts. */
static void configure_library(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/* ---- what is at the path ---- */

static int cannot_open(const char *path, int error, struct failure *failure)
{
	int code = error == EACCES || error == EPERM || error == EROFS ? ERROR_DENIED : ERROR_IO_ERROR;

	return failure_set(failure, code, "cannot open database %s: %s", path, strerror(error));
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static int check_folder(const char *path, struct failure *failure)
{
	struct stat status;
	char *folder = folder_of(path);
	int code = 0;

	if (folder == NULL)
		return failure_set(failure, ERROR_IO_ERROR, "out of memory");
	if (stat(folder, &status) != 0)
		code = errno == ENOENT ? failure_set(failure, ERROR_BAD_ARGUMENT,
						     "cannot open database %s: there is no folder %s", path, folder)
				       : cannot_open(path, errno, failure);
	else if (!S_ISDIR(status.st_mode))
		code = failure_set(failure, ERROR_BAD_ARGUMENT, "cannot open database %s: %s is not a folder", path,
				   folder);
	else if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) != 0)
		code = failure_set(
		    failure, errno == EACCES || errno == EROFS ? ERROR_DENIED : ERROR_IO_ERROR,
		    "cannot open database %s: no permission to write in folder %s (its log lies beside it): %s", path,
		    folder, strerror(errno));
	free(folder);
	return code;
}

/* Says in plain words what SQLite would only call "unable to open database file". */
static int check_path(const char *path, struct failure *failure)
{
	struct stat status;
	int code = check_folder(path, failure);

	if (code != 0)
		return code;
	if (stat(path, &status) != 0)
		return errno == ENOENT ? 0 : cannot_open(path, errno, failure);
	if (!S_ISREG(status.st_mode))
		return failure_set(failure, ERROR_BAD_ARGUMENT, "cannot open database %s: it is %s", path,
				   S_ISDIR(status.st_mode) ? "a folder" : "not a regular file");
	if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) != 0)
		return cannot_open(path, errno, failure);
	return 0;
}

/* ---- open ---- */

/* The one value that @sql gives, as text. */
static int read_text(struct sqlite_engine *engine, const char *sql, const char *what, char *out, size_t size,
		     struct failure *failure)
{
	sqlite3_stmt *statement = NULL;
	int code = 0, result = sqlite3_prepare_v2(engine->db, sql, -1, &statement, NULL);

	out[0] = '\0';
	if (result == SQLITE_OK)
		result = sqlite3_step(statement);
	if (result == SQLITE_ROW) {
		snprintf(out, size, "%s", (const char *)sqlite3_column_text(statement, 0));
		/* To its end: what a statement changes it commits there. */
		result = sqlite3_step(statement);
	}
	if (result != SQLITE_DONE)
		code = sqlite_trouble(engine->db, result, STAGE_STATEMENT, what, failure);
	sqlite3_finalize(statement);
	return code;
}

static int use_log(struct sqlite_engine *engine, struct failure *failure)
{
	char mode[16];
	int code, count = 0;

	sqlite_patience_start(engine, false, 0);
	do {
		code =
		    read_text(engine, "PRAGMA journal_mode=WAL", "use a write-ahead log", mode, sizeof(mode), failure);
		/* It reads before it writes, and then the busy handler is not asked. */
	} while (code == ERROR_BUSY && sqlite_busy(engine, count++) != 0);
	if (code == 0 && strcmp(mode, "wal") != 0)
		code =
		    failure_set(failure, ERROR_IO_ERROR,
				"its file system does not offer what a write-ahead log needs (shared memory, locks)");
	return code;
}

/* The log's size as the file system has it; SQLite alone may open it. */
static uint64_t log_file_bytes(struct sqlite_engine *engine)
{
	const char *name = sqlite3_filename_wal(sqlite3_db_filename(engine->db, "main"));
	struct stat status;

	return name != NULL && stat(name, &status) == 0 ? (uint64_t)status.st_size : 0;
}

static int connect_database(struct sqlite_engine *engine, struct failure *failure)
{
	static const char format[] = "PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; PRAGMA secure_delete=OFF; "
				     "PRAGMA foreign_keys=OFF; PRAGMA trusted_schema=OFF; PRAGMA synchronous=FULL; "
				     "PRAGMA cache_size=-%u";
	char sql[sizeof(format) + 16];
	int result = sqlite3_open_v2(engine->path, &engine->db,
				     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
					 SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE,
				     NULL);

	if (result != SQLITE_OK)
		return sqlite_trouble(engine->db, result, STAGE_STATEMENT, "open", failure);
	sqlite3_busy_handler(engine->db, sqlite_busy, engine);
	sqlite3_db_config(engine->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(engine->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	sqlite3_db_config(engine->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	/* Takes the place of SQLite's own checkpoints too. */
	sqlite3_wal_hook(engine->db, sqlite_log_hook, engine);
	sqlite_watch(engine);

	engine->log_found = log_file_bytes(engine) > 0;
	if (log_file_bytes(engine) > LARGE_LOG_BYTES && engine->options.waiting != NULL)
		engine->options.waiting(engine->options.context, "reading a large write-ahead log");
	snprintf(sql, sizeof(sql), format, LOOK_CACHE_KIB);
	engine->synchronous = 2;
	return sqlite_run(engine, sql, "open", failure);
}

static int prepare_statements(struct sqlite_engine *engine, struct failure *failure)
{
	const struct {
		const char *sql;
		sqlite3_stmt **statement;
	} list[] = {
	    {"BEGIN IMMEDIATE", &engine->begin_statement},
	    {"COMMIT", &engine->commit_statement},
	    {"ROLLBACK", &engine->rollback_statement},
	    {"PRAGMA main.data_version", &engine->version_statement},
	};
	int code = 0;

	for (size_t i = 0; code == 0 && i < sizeof(list) / sizeof(list[0]); i++)
		code = sqlite_prepare(engine->db, list[i].statement, list[i].sql, "", "", failure);
	return code;
}

/* page_size and auto_vacuum can only be set while there is no page yet; switching to WAL writes the first. */
static int make_new(struct sqlite_engine *engine, struct failure *failure)
{
	int code = sqlite_run(engine, "PRAGMA page_size=8192; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA encoding='UTF-8'",
			      "make a new database", failure);

	if (code == 0)
		code = use_log(engine, failure);
	/* Among the rest this puts the file's name on the disk. */
	return code == 0 ? sqlite_settle(engine, true, failure) : code;
}

/* Looks at a database that is there. Recovers it if it was in use by the daemon; else nothing changes. */
static int look_at_existing(struct sqlite_engine *engine, struct failure *failure)
{
	char encoding[16], mode[16];
	bool own_table;
	int code = read_text(engine, "PRAGMA encoding", "open", encoding, sizeof(encoding), failure);

	if (code == 0 && strcmp(encoding, "UTF-8") != 0)
		code = failure_set(failure, ERROR_CORRUPT,
				   "its text is stored as %s, only UTF-8 databases can be served", encoding);
	if (code == 0 && sqlite3_db_readonly(engine->db, "main") != 0)
		code = failure_set(failure, ERROR_DENIED, "it cannot be written to");
	if (code == 0)
		code = sqlite_own_table_found(engine, &own_table, failure);
	if (code == 0)
		code = read_text(engine, "PRAGMA journal_mode", "open", mode, sizeof(mode), failure);
	if (code != 0)
		return code;
	atomic_store(&engine->own_table, own_table);
	return own_table && strcmp(mode, "wal") == 0 ? sqlite_settle(engine, true, failure) : 0;
}

static int look(struct sqlite_engine *engine, struct failure *failure)
{
	char pages[32], page_bytes[32];
	int code = read_text(engine, "PRAGMA page_count", "open", pages, sizeof(pages), failure);

	if (code == 0)
		code = strcmp(pages, "0") == 0 ? make_new(engine, failure) : look_at_existing(engine, failure);
	if (code == 0)
		code = read_text(engine, "PRAGMA page_size", "open", page_bytes, sizeof(page_bytes), failure);
	if (code == 0)
		code = sqlite_data_version(engine, &engine->data_version, failure);
	if (code == 0)
		engine->page_bytes = strtoull(page_bytes, NULL, 10);
	return code;
}

static void free_tables(struct sqlite_tables *tables)
{
	while (tables != NULL) {
		struct sqlite_tables *next = tables->next;

		sqlite_tables_free(tables);
		tables = next;
	}
}

static void free_engine(struct sqlite_engine *engine)
{
	free_tables(engine->tables);
	free_tables(engine->forgotten);
	free(engine->statements);
	free(engine->waiting_text);
	free(engine->path);
	free(engine);
}

/* Lets go of the database. @checkpoint: the last one to close it empties and removes the log. */
static int disconnect(struct sqlite_engine *engine, bool checkpoint, struct failure *failure)
{
	int result;

	for (unsigned i = 0; i < engine->tables_count; i++)
		for (int which = 0; which < WRITER_STATEMENTS; which++)
			sqlite3_finalize(engine->statements[i].of[which]);
	for (int which = 0; which < OWN_STATEMENTS; which++)
		sqlite3_finalize(engine->own[which]);
	sqlite3_finalize(engine->begin_statement);
	sqlite3_finalize(engine->commit_statement);
	sqlite3_finalize(engine->rollback_statement);
	sqlite3_finalize(engine->version_statement);
	if (engine->db != NULL)
		sqlite3_db_config(engine->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, checkpoint ? 0 : 1, NULL);
	result = sqlite3_close(engine->db);
	return result == SQLITE_OK ? 0 : sqlite_trouble(engine->db, result, STAGE_STATEMENT, "close", failure);
}

static struct sqlite_engine *new_engine(const struct engine_options *options)
{
	struct sqlite_engine *engine = calloc(1, sizeof(*engine));

	if (engine == NULL)
		return NULL;
	engine->base.class = &engine_sqlite;
	engine->options = *options;
	atomic_init(&engine->own_table, false);
	/* To SQLite a bare name could be a URI, or ":memory:". */
	if (asprintf(&engine->path, "%s%s", options->path[0] == '/' ? "" : "./", options->path) < 0)
		engine->path = NULL;
	if (asprintf(&engine->waiting_text, "another program has locked %s", options->path) < 0)
		engine->waiting_text = NULL;
	engine->options.path = engine->path;
	if (engine->path == NULL || engine->waiting_text == NULL) {
		free_engine(engine);
		return NULL;
	}
	return engine;
}

/* Is there no room for the files of its log? SQLite says only that it could not open something. */
static bool no_inodes(const struct sqlite_engine *engine)
{
	struct statvfs status;

	return (sqlite3_errcode(engine->db) & 0xff) == SQLITE_CANTOPEN && statvfs(engine->path, &status) == 0 &&
	       status.f_files > 0 && status.f_ffree == 0;
}

/* A failure on the way in, told by the name of the database. */
static int open_failed(struct sqlite_engine *engine, const char *path, const struct failure *inner,
		       struct failure *failure)
{
	if (sqlite3_errcode(engine->db) == SQLITE_NOTADB)
		return failure_set(failure, ERROR_CORRUPT, "cannot open database %s: it is not a SQLite database",
				   path);
	if (no_inodes(engine))
		return failure_set(failure, ERROR_DISK_FULL, "cannot open database %s: no inode is left for its log",
				   path);
	failure_set(failure, inner->code, "cannot open database %s: %s", path, inner->message);
	if (failure != NULL) {
		failure->fatal = inner->fatal;
		failure->detail = inner->detail;
	}
	return inner->code;
}

static int open_once(const struct engine_options *options, struct engine **out, struct failure *failure)
{
	struct sqlite_engine *engine = new_engine(options);
	struct failure inner = {.code = 0};
	int code;

	if (engine == NULL)
		return failure_set(failure, ERROR_IO_ERROR, "out of memory");
	code = connect_database(engine, &inner);
	if (code == 0)
		code = prepare_statements(engine, &inner);
	if (code == 0)
		code = look(engine, &inner);
	if (code == 0) {
		*out = &engine->base;
		return 0;
	}
	code = open_failed(engine, options->path, &inner, failure);
	/* On a full disk even reading the log may need room: that is what the reserve is for. */
	if (code == ERROR_DISK_FULL)
		sqlite_release_reserve(&engine->base);
	disconnect(engine, !engine->log_found, NULL);
	free_engine(engine);
	return code;
}

static int sqlite_open(const struct engine_options *options, struct engine **out, struct failure *failure)
{
	int code = check_path(options->path, failure);

	if (code != 0)
		return code;
	pthread_once(&library_once, configure_library);
	code = open_once(options, out, failure);
	return code == ERROR_DISK_FULL ? open_once(options, out, failure) : code;
}

/* ---- take ---- */

static int take_once(struct sqlite_engine *engine, struct failure *failure)
{
	int code = use_log(engine, failure);

	return code == 0 ? sqlite_settle(engine, true, failure) : code;
}

static int use_cache(struct sqlite_engine *engine, struct failure *failure)
{
	char sql[64];

	snprintf(sql, sizeof(sql), "PRAGMA cache_size=-%llu",
		 (unsigned long long)(engine->options.cache_bytes / 1024 + 1));
	return sqlite_run(engine, sql, "set the page cache", failure);
}

static int sqlite_take(struct engine *base, struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);
	struct failure reserve;
	int64_t version = engine->data_version;
	int code;

	if (engine->taken)
		return 0;
	/* Switching to WAL moves the data version by itself: tell it apart from another program's writes. */
	code = sqlite_data_version(engine, &version, failure);
	if (code != 0)
		return code;
	engine->foreign = engine->foreign || version != engine->data_version;
	code = take_once(engine, failure);
	if (code == ERROR_DISK_FULL) {
		sqlite_release_reserve(base);
		code = take_once(engine, failure);
	}
	if (code == 0)
		code = use_cache(engine, failure);
	if (code == 0)
		code = sqlite_data_version(engine, &engine->data_version, failure);
	if (code != 0)
		return code;
	engine->taken = true;
	if (sqlite_restore_reserve(base, &reserve) != 0 && engine->options.waiting != NULL)
		engine->options.waiting(engine->options.context, reserve.message);
	return 0;
}

/* ---- close ---- */

static int sqlite_close(struct engine *base, bool clean, struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);
	bool checkpoint = engine->taken ? clean : !engine->log_found;
	int code = 0, closing;

	if (engine->taken && clean) {
		code = sqlite_settle(engine, false, failure);
		if (code == ERROR_DISK_FULL) {
			sqlite_release_reserve(base);
			code = sqlite_settle(engine, false, failure);
		}
		/* Another program still reads, or there is no space: the log stays, and is as good as the database. */
		if (code != 0)
			checkpoint = false;
		if (code == ERROR_BUSY || code == ERROR_DISK_FULL)
			code = 0;
	}
	closing = disconnect(engine, checkpoint, code == 0 ? failure : NULL);
	free_engine(engine);
	return code != 0 ? code : closing;
}

const struct engine_class engine_sqlite = {
    .name = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .find = sqlite_find,
    .take = sqlite_take,
    .forget = sqlite_forget,
    .begin = sqlite_begin,
    .try_begin = sqlite_try_begin,
    .commit = sqlite_commit,
    .sync_us = sqlite_sync_us,
    .rollback = sqlite_rollback,
    .sync = sqlite_sync,
    .log_bytes = sqlite_log_bytes,
    .checkpoint = sqlite_checkpoint,
    .release_reserve = sqlite_release_reserve,
    .restore_reserve = sqlite_restore_reserve,
    .set_growth = sqlite_set_growth,
    .unused_bytes = sqlite_unused_bytes,
    .in_transaction = sqlite_in_transaction,
    .create = sqlite_create,
    .put_row = sqlite_put_row,
    .put_meta = sqlite_put_meta,
    .delete_rows = sqlite_delete_rows,
    .delete_meta = sqlite_delete_meta,
    .put_own = sqlite_put_own,
    .delete_own = sqlite_delete_own,
    .each_own = sqlite_each_own,
    .get_own = sqlite_get_own,
    .get_document = sqlite_get_document,
    .document_bytes = sqlite_document_bytes,
    .store_bytes = sqlite_store_bytes,
    .reader_open = sqlite_reader_open,
    .reader_close = sqlite_reader_close,
    .reader_begin = sqlite_reader_begin,
    .reader_end = sqlite_reader_end,
    .reader_get_own = sqlite_reader_get_own,
    .reader_get_document = sqlite_reader_get_document,
    .reader_rows = sqlite_reader_rows,
    .reader_documents = sqlite_reader_documents,
};
