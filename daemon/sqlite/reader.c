/*
 * reader: read-only handles on the database (sqlite.h). Each is used by one thread at a time, beside the writer.
 *
 * A reader has a connection, a page cache and prepared statements of its own. It never writes and never checkpoints,
 * not even when it is closed. What stands in its way is waited out: a host would take a failed read for an empty
 * document.
 */
#include "daemon/sqlite/sqlite.h"

#include "protocol/utf8.h"

#include <stdio.h>
#include <stdlib.h>

enum reader_statement {
	READER_DOCUMENT,
	READER_ROWS,
	READER_DOCUMENTS_FROM,
	READER_DOCUMENTS_AFTER,
	READER_STATEMENTS,
};

static const char ROWS_SQL[] = "SELECT seq, kind, payload, blob FROM main.\"%w\" "
			       "WHERE doc_id = ?1 AND seq >= ?2 AND seq < ?3 ORDER BY seq";

static const char *const READER_SQL[] = {
    [READER_DOCUMENT] = SQLITE_DOCUMENT_SQL,
    [READER_ROWS] = ROWS_SQL,
    [READER_DOCUMENTS_FROM] = "SELECT doc_id FROM main.\"%w\" WHERE doc_id >= ?1 ORDER BY doc_id",
    [READER_DOCUMENTS_AFTER] = "SELECT doc_id FROM main.\"%w\" WHERE doc_id > ?1 ORDER BY doc_id",
};

struct reader_statements {
	sqlite3_stmt *of[READER_STATEMENTS];
};

struct sqlite_reader {
	struct engine_reader base;
	struct sqlite_engine *engine; /* own_table alone may be looked at from this thread */
	sqlite3 *db;
	sqlite3_stmt *begin, *end, *own;
	struct reader_statements *statements; /* by the number of the tables */
	unsigned count;
};

static struct sqlite_reader *sqlite_reader(struct engine_reader *reader)
{
	return (struct sqlite_reader *)reader;
}

/* Another program recovers the log, or has the file for itself: wait until it is done. */
static int wait_for_it(void *context, int count)
{
	(void)context;
	sqlite3_sleep(count < 4 ? 1 << count : 20);
	return 1;
}

static int configure(struct sqlite_reader *reader, struct failure *failure)
{
	static const char format[] = "PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; PRAGMA query_only=ON; "
				     "PRAGMA trusted_schema=OFF; PRAGMA cache_size=-%llu";
	char sql[sizeof(format) + 32];
	int result;

	sqlite3_busy_handler(reader->db, wait_for_it, NULL);
	sqlite3_db_config(reader->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_db_config(reader->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	snprintf(sql, sizeof(sql), format, (unsigned long long)(reader->engine->options.reader_cache_bytes / 1024 + 1));
	result = sqlite3_exec(reader->db, sql, NULL, NULL, NULL);
	if (result == SQLITE_OK)
		result = sqlite3_prepare_v3(reader->db, "BEGIN", -1, SQLITE_PREPARE_PERSISTENT, &reader->begin, NULL);
	if (result == SQLITE_OK)
		result = sqlite3_prepare_v3(reader->db, "COMMIT", -1, SQLITE_PREPARE_PERSISTENT, &reader->end, NULL);
	return result == SQLITE_OK
		   ? 0
		   : sqlite_trouble(reader->db, result, STAGE_STATEMENT, "open the database for reading", failure);
}

int sqlite_reader_open(struct engine *base, struct engine_reader **out, struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);
	struct sqlite_reader *reader = calloc(1, sizeof(*reader));
	int code, result;

	if (reader == NULL)
		return failure_set(failure, ERROR_IO_ERROR, "out of memory");
	reader->base.class = base->class;
	reader->engine = engine;
	result = sqlite3_open_v2(
	    engine->path, &reader->db,
	    SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE, NULL);
	if (result != SQLITE_OK)
		code = sqlite_trouble(reader->db, result, STAGE_STATEMENT, "open the database for reading", failure);
	else
		code = configure(reader, failure);
	if (code != 0) {
		sqlite_reader_close(&reader->base);
		return code;
	}
	*out = &reader->base;
	return 0;
}

void sqlite_reader_close(struct engine_reader *base)
{
	struct sqlite_reader *reader = sqlite_reader(base);

	if (reader == NULL)
		return;
	for (unsigned i = 0; i < reader->count; i++)
		for (int which = 0; which < READER_STATEMENTS; which++)
			sqlite3_finalize(reader->statements[i].of[which]);
	free(reader->statements);
	sqlite3_finalize(reader->begin);
	sqlite3_finalize(reader->end);
	sqlite3_finalize(reader->own);
	sqlite3_close(reader->db);
	free(reader);
}

int sqlite_reader_begin(struct engine_reader *base, struct failure *failure)
{
	struct sqlite_reader *reader = sqlite_reader(base);
	int result;

	/* The snapshot itself is taken by the first read after this. */
	sqlite3_step(reader->begin);
	result = sqlite3_reset(reader->begin);
	return result == SQLITE_OK ? 0 : sqlite_trouble(reader->db, result, STAGE_STATEMENT, "begin to read", failure);
}

void sqlite_reader_end(struct engine_reader *base)
{
	struct sqlite_reader *reader = sqlite_reader(base);

	if (sqlite3_get_autocommit(reader->db) != 0)
		return;
	sqlite3_step(reader->end);
	if (sqlite3_reset(reader->end) != SQLITE_OK)
		sqlite3_exec(reader->db, "ROLLBACK", NULL, NULL, NULL);
}

static int grow(struct sqlite_reader *reader, unsigned count, struct failure *failure)
{
	struct reader_statements *statements = reallocarray(reader->statements, count, sizeof(*statements));

	if (statements == NULL)
		return failure_set(failure, ERROR_IO_ERROR, "out of memory");
	for (unsigned i = reader->count; i < count; i++)
		statements[i] = (struct reader_statements){{NULL}};
	reader->statements = statements;
	reader->count = count;
	return 0;
}

static int reader_statement(struct sqlite_reader *reader, const struct engine_tables *base, enum reader_statement which,
			    sqlite3_stmt **statement, struct failure *failure)
{
	const struct sqlite_tables *tables = (const struct sqlite_tables *)base;
	int code = 0;

	if (tables->number >= reader->count)
		code = grow(reader, tables->number + 1, failure);
	if (code != 0)
		return code;
	sqlite3_stmt **kept = &reader->statements[tables->number].of[which];

	if (*kept == NULL)
		code = sqlite_prepare(reader->db, kept, READER_SQL[which],
				      which == READER_ROWS ? tables->found.records : tables->found.meta,
				      tables->found.records, failure);
	*statement = *kept;
	return code;
}

int sqlite_reader_get_own(struct engine_reader *base, struct span key, bool *found, struct buffer *value,
			  struct failure *failure)
{
	struct sqlite_reader *reader = sqlite_reader(base);

	*found = false;
	if (!atomic_load(&reader->engine->own_table))
		return 0;
	return sqlite_read_own(reader->db, &reader->own, key, found, value, failure);
}

int sqlite_reader_get_document(struct engine_reader *base, const struct engine_tables *tables, struct span document,
			       bool *found, struct buffer *meta, uint64_t *next, struct failure *failure)
{
	struct sqlite_reader *reader = sqlite_reader(base);
	sqlite3_stmt *statement;
	int code;

	*found = false;
	*next = 0;
	if (tables->layout == LAYOUT_NONE)
		return 0;
	code = reader_statement(reader, tables, READER_DOCUMENT, &statement, failure);
	return code != 0 ? code : sqlite_read_document(reader->db, statement, document, found, meta, next, failure);
}

static struct span value_bytes(sqlite3_value *value)
{
	const void *data = sqlite3_value_blob(value);

	return span_of(data, (size_t)sqlite3_value_bytes(value));
}

/*
 * The row that @statement stands on. Types are what they are by the file; row_decode says what is no record.
 *
 * One call per column that locks, looks for errors and unlocks; the connection is without mutex and used by one thread
 * at a time, so what it returns is as good as protected.
 */
static struct engine_row row_of(sqlite3_stmt *statement)
{
	sqlite3_value *payload = sqlite3_column_value(statement, 2), *blob = sqlite3_column_value(statement, 3);
	struct engine_row row = {.kind = value_bytes(sqlite3_column_value(statement, 1)),
				 .has_payload = sqlite3_value_type(payload) == SQLITE_TEXT,
				 .has_blob = sqlite3_value_type(blob) == SQLITE_BLOB};

	if (row.has_payload)
		row.payload = value_bytes(payload);
	if (row.has_blob)
		row.blob = value_bytes(blob);
	return row;
}

/* Seqs are SQLite's signed integers; no row is beyond them. */
static sqlite3_int64 bounded(uint64_t seq)
{
	return seq > INT64_MAX ? INT64_MAX : (sqlite3_int64)seq;
}

int sqlite_reader_rows(struct engine_reader *base, const struct engine_tables *tables, struct span document,
		       uint64_t first, uint64_t end,
		       bool (*each)(void *context, uint64_t seq, const struct engine_row *row), void *context,
		       struct failure *failure)
{
	struct sqlite_reader *reader = sqlite_reader(base);
	sqlite3_stmt *statement;
	int result, code;

	if (tables->layout == LAYOUT_NONE)
		return 0;
	code = reader_statement(reader, tables, READER_ROWS, &statement, failure);
	if (code != 0)
		return code;
	result = sqlite_bind_text(statement, 1, document);
	if (result == SQLITE_OK)
		result = sqlite3_bind_int64(statement, 2, bounded(first));
	if (result == SQLITE_OK)
		result = sqlite3_bind_int64(statement, 3, bounded(end));
	if (result == SQLITE_OK)
		result = sqlite3_step(statement);
	while (result == SQLITE_ROW) {
		struct engine_row row = row_of(statement);

		if (!each(context, (uint64_t)sqlite3_column_int64(statement, 0), &row))
			break;
		result = sqlite3_step(statement);
	}
	if (result != SQLITE_ROW && result != SQLITE_DONE)
		code = sqlite_trouble(reader->db, result, STAGE_STATEMENT, "read rows", failure);
	sqlite3_reset(statement);
	return code;
}

/* The ids from where @statement stands, as far as they begin with @prefix. @result: of the first step. */
static int give_documents(struct sqlite_reader *reader, sqlite3_stmt *statement, int result, struct span prefix,
			  bool (*each)(void *context, struct span document), void *context, struct failure *failure)
{
	while (result == SQLITE_ROW) {
		/* Blobs come after all texts. Nobody can ask for such a document: the reference cannot write one
		 * either. */
		if (sqlite3_column_type(statement, 0) != SQLITE_TEXT)
			return 0;
		struct span document = sqlite_column(statement, 0);

		if (!sqlite_begins_with(document, prefix))
			return 0;
		if (!utf8_valid(document))
			return failure_set(failure, ERROR_CORRUPT, "there is a document whose id is not valid UTF-8");
		if (!each(context, document))
			return 0;
		result = sqlite3_step(statement);
	}
	return result == SQLITE_DONE ? 0
				     : sqlite_trouble(reader->db, result, STAGE_STATEMENT, "list documents", failure);
}

int sqlite_reader_documents(struct engine_reader *base, const struct engine_tables *tables, struct span prefix,
			    bool has_after, struct span after, bool (*each)(void *context, struct span document),
			    void *context, struct failure *failure)
{
	struct sqlite_reader *reader = sqlite_reader(base);
	/* All that begin with the prefix lie together, and begin at the prefix itself. */
	bool from_prefix = !has_after || span_compare(after, prefix) < 0;
	sqlite3_stmt *statement;
	int result, code;

	if (tables->layout == LAYOUT_NONE)
		return 0;
	code = reader_statement(reader, tables, from_prefix ? READER_DOCUMENTS_FROM : READER_DOCUMENTS_AFTER,
				&statement, failure);
	if (code != 0)
		return code;
	result = sqlite_bind_text(statement, 1, from_prefix ? prefix : after);
	if (result == SQLITE_OK)
		result = sqlite3_step(statement);
	code = give_documents(reader, statement, result, prefix, each, context, failure);
	sqlite3_reset(statement);
	return code;
}
