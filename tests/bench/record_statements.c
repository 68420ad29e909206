/*
 * libbench-record.so: loaded into the daemon, notes what its writer does to the database (statement_log.h).
 *
 * Stands in front of the SQLite functions that the daemon calls. Only the connection that was opened for writing is
 * looked at, and by its one thread, so nothing here needs a lock.
 */
#include <dlfcn.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/bench/statement_log.h"

#define PUBLIC __attribute__((visibility("default")))

/* The function behind ours, looked up once. ISO C knows no way from an object pointer to a function pointer. */
#define REAL(name)                                                                                                     \
	static __typeof__(name) *real;                                                                                 \
	do {                                                                                                           \
		if (real == NULL) {                                                                                    \
			void *symbol = dlsym(RTLD_NEXT, #name);                                                        \
			memcpy(&real, &symbol, sizeof(real));                                                          \
		}                                                                                                      \
	} while (0)

struct value {
	uint8_t type;
	uint32_t size;
	int64_t integer;
	const void *bytes;
};

struct statement {
	sqlite3_stmt *handle;
	struct value values[LOG_PARAMETERS_MAX];
	uint8_t count;
};

static struct statement_log *statement_log;
static sqlite3 *writer;
static struct statement statements[LOG_STATEMENTS_MAX];
static unsigned statements_count, last_used;

/* In sqlite3_exec, which calls some of the functions below itself; and itself, when it reads the schema. */
static __thread unsigned execute_depth;

__attribute__((constructor)) static void start(void)
{
	const char *text = getenv(LOG_VARIABLE);
	void *memory;
	int fd;

	if (text == NULL)
		return;
	fd = atoi(text);
	memory = mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	close(fd);
	if (memory != MAP_FAILED)
		statement_log = memory;
}

/* ---- entries ---- */

/* Room for one entry of @size bytes; NULL: the log is full. The entry is not there before entry_end(). */
static struct log_entry *entry_begin(uint64_t size)
{
	uint64_t end = atomic_load_explicit(&statement_log->end, memory_order_relaxed);

	if (end + size > LOG_BYTES) {
		atomic_store(&statement_log->overflow, true);
		return NULL;
	}
	return (struct log_entry *)(void *)((char *)statement_log + end);
}

static void entry_end(uint64_t size)
{
	uint64_t end = atomic_load_explicit(&statement_log->end, memory_order_relaxed);

	atomic_store_explicit(&statement_log->end, end + size, memory_order_release);
}

static void note_text(enum log_kind kind, uint16_t number, const char *text)
{
	uint64_t size = log_round(sizeof(struct log_entry) + strlen(text) + 1);
	struct log_entry *entry = entry_begin(size);

	if (entry == NULL)
		return;
	*entry = (struct log_entry){.size = (uint32_t)size, .kind = (uint8_t)kind, .statement = number};
	memcpy(entry + 1, text, strlen(text) + 1);
	entry_end(size);
}

/* Keys, and what is short, word for word. */
static bool is_kept(unsigned parameter, const struct value *value)
{
	return value->type >= LOG_TEXT && (parameter == 0 || value->size <= LOG_VALUE_MAX);
}

static void note_step(const struct statement *statement)
{
	uint64_t size = sizeof(struct log_entry) + statement->count * sizeof(struct log_value);
	struct log_entry *entry;
	char *at;

	for (unsigned i = 0; i < statement->count; i++)
		if (is_kept(i, &statement->values[i]))
			size += log_round(statement->values[i].size);
	entry = entry_begin(size);
	if (entry == NULL)
		return;
	*entry = (struct log_entry){.size = (uint32_t)size,
				    .kind = LOG_STEP,
				    .count = statement->count,
				    .statement = (uint16_t)(statement - statements)};
	at = (char *)(entry + 1);
	for (unsigned i = 0; i < statement->count; i++) {
		const struct value *value = &statement->values[i];
		struct log_value *out = (struct log_value *)(void *)at;

		*out = (struct log_value){value->type, is_kept(i, value), value->size, value->integer};
		at += sizeof(*out);
		if (!out->there)
			continue;
		memcpy(at, value->bytes, value->size);
		at += log_round(value->size);
	}
	entry_end(size);
}

/* ---- statements ---- */

/* Reading changes nothing; a pragma that only asks has no value. */
static bool is_noted(const char *sql)
{
	while (*sql == ' ')
		sql++;
	if (strncasecmp(sql, "SELECT", 6) == 0)
		return false;
	return strncasecmp(sql, "PRAGMA", 6) != 0 || strchr(sql, '=') != NULL;
}

static void remember(sqlite3 *db, sqlite3_stmt *handle, const char *sql)
{
	unsigned number = 0;

	if (statement_log == NULL || db != writer || handle == NULL || execute_depth > 0 || !is_noted(sql))
		return;
	while (number < statements_count && statements[number].handle != NULL)
		number++;
	if (number == LOG_STATEMENTS_MAX) {
		atomic_store(&statement_log->overflow, true);
		return;
	}
	if (number == statements_count)
		statements_count++;
	statements[number] = (struct statement){.handle = handle};
	note_text(LOG_PREPARE, (uint16_t)number, sql);
}

/* NULL: none that is noted. */
static struct statement *find(sqlite3_stmt *handle)
{
	if (statement_log == NULL || handle == NULL || sqlite3_db_handle(handle) != writer)
		return NULL;
	if (statements[last_used].handle == handle)
		return &statements[last_used];
	for (unsigned i = 0; i < statements_count; i++) {
		if (statements[i].handle == handle) {
			last_used = i;
			return &statements[i];
		}
	}
	return NULL;
}

static void bind(sqlite3_stmt *handle, int index, struct value value)
{
	struct statement *statement = find(handle);

	if (statement == NULL)
		return;
	if (index < 1 || index > LOG_PARAMETERS_MAX) {
		atomic_store(&statement_log->overflow, true);
		return;
	}
	statement->values[index - 1] = value;
	if (index > statement->count)
		statement->count = (uint8_t)index;
}

/* ---- what the daemon calls ---- */

PUBLIC int sqlite3_open_v2(const char *path, sqlite3 **db, int flags, const char *vfs)
{
	int result;

	REAL(sqlite3_open_v2);
	result = real(path, db, flags, vfs);
	if (result == SQLITE_OK && (flags & SQLITE_OPEN_READWRITE) != 0)
		writer = *db;
	return result;
}

PUBLIC int sqlite3_prepare_v2(sqlite3 *db, const char *sql, int size, sqlite3_stmt **statement, const char **tail)
{
	int result;

	REAL(sqlite3_prepare_v2);
	result = real(db, sql, size, statement, tail);
	if (result == SQLITE_OK)
		remember(db, *statement, sql);
	return result;
}

PUBLIC int sqlite3_prepare_v3(sqlite3 *db, const char *sql, int size, unsigned flags, sqlite3_stmt **statement,
			      const char **tail)
{
	int result;

	REAL(sqlite3_prepare_v3);
	result = real(db, sql, size, flags, statement, tail);
	if (result == SQLITE_OK)
		remember(db, *statement, sql);
	return result;
}

PUBLIC int sqlite3_finalize(sqlite3_stmt *handle)
{
	struct statement *statement = find(handle);

	REAL(sqlite3_finalize);
	if (statement != NULL)
		statement->handle = NULL;
	return real(handle);
}

PUBLIC int sqlite3_bind_null(sqlite3_stmt *statement, int index)
{
	REAL(sqlite3_bind_null);
	bind(statement, index, (struct value){.type = LOG_NULL});
	return real(statement, index);
}

PUBLIC int sqlite3_bind_int64(sqlite3_stmt *statement, int index, sqlite3_int64 integer)
{
	REAL(sqlite3_bind_int64);
	bind(statement, index, (struct value){.type = LOG_INTEGER, .integer = integer});
	return real(statement, index, integer);
}

PUBLIC int sqlite3_bind_text64(sqlite3_stmt *statement, int index, const char *text, sqlite3_uint64 size,
			       void (*destructor)(void *), unsigned char encoding)
{
	REAL(sqlite3_bind_text64);
	bind(statement, index, (struct value){.type = LOG_TEXT, .size = (uint32_t)size, .bytes = text});
	return real(statement, index, text, size, destructor, encoding);
}

PUBLIC int sqlite3_bind_blob64(sqlite3_stmt *statement, int index, const void *blob, sqlite3_uint64 size,
			       void (*destructor)(void *))
{
	REAL(sqlite3_bind_blob64);
	bind(statement, index, (struct value){.type = LOG_BLOB, .size = (uint32_t)size, .bytes = blob});
	return real(statement, index, blob, size, destructor);
}

PUBLIC int sqlite3_step(sqlite3_stmt *handle)
{
	int result;

	REAL(sqlite3_step);
	result = real(handle);
	/* What failed changed nothing. What waited for a lock is stepped again. */
	if (result == SQLITE_DONE || result == SQLITE_ROW) {
		const struct statement *statement = find(handle);

		if (statement != NULL)
			note_step(statement);
	}
	return result;
}

PUBLIC int sqlite3_exec(sqlite3 *db, const char *sql, int (*callback)(void *, int, char **, char **), void *context,
			char **message)
{
	int result;

	REAL(sqlite3_exec);
	execute_depth++;
	result = real(db, sql, callback, context, message);
	execute_depth--;
	if (result == SQLITE_OK && execute_depth == 0 && statement_log != NULL && db == writer && is_noted(sql))
		note_text(LOG_EXECUTE, 0, sql);
	return result;
}

PUBLIC int sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *frames, int *moved)
{
	int result;
	struct log_entry *entry;

	REAL(sqlite3_wal_checkpoint_v2);
	result = real(db, name, mode, frames, moved);
	if (result != SQLITE_OK || statement_log == NULL || db != writer)
		return result;
	entry = entry_begin(sizeof(*entry));
	if (entry != NULL) {
		*entry =
		    (struct log_entry){.size = sizeof(*entry), .kind = LOG_CHECKPOINT, .statement = (uint16_t)mode};
		entry_end(sizeof(*entry));
	}
	return result;
}
