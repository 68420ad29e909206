/*
 * statements: the writer's statements on rows, metadata and own rows (sqlite.h), and what readers share with them: the
 * calls that take a connection. Writer thread.
 *
 * The hot path: each statement is prepared once per store and kept; values are bound where they lie (SQLITE_STATIC),
 * since the statement is reset before the call returns; nothing is formatted or allocated here.
 */
#include "daemon/sqlite/sqlite.h"

#include "protocol/utf8.h"

/* What is counted of a row of the records: bytes, which length() of a text does not give. */
#define RECORD_BYTES                                                                                                   \
	"coalesce(sum(length(CAST(doc_id AS BLOB)) + coalesce(length(CAST(payload AS BLOB)), 0) + "                    \
	"coalesce(length(blob), 0)), 0)"

/* REPLACE looks for its place in the tree once; measured, an upsert is no faster. */
static const char *const WRITER_SQL[] = {
    [WRITER_PUT_ROW] = "INSERT INTO main.\"%w\" (doc_id, seq, kind, payload, blob) VALUES (?1, ?2, ?3, ?4, ?5)",
    [WRITER_PUT_ENTRY] = "INSERT INTO main.\"%w\" (doc_id, seq, kind, payload, blob) VALUES (?1, ?2, 'entry', ?3, ?4)",
    [WRITER_PUT_META] = "REPLACE INTO main.\"%w\" (doc_id, data) VALUES (?1, ?2)",
    [WRITER_DELETE_ROWS] = "DELETE FROM main.\"%w\" WHERE doc_id = ?1",
    [WRITER_DELETE_META] = "DELETE FROM main.\"%w\" WHERE doc_id = ?1",
    [WRITER_DOCUMENT] = SQLITE_DOCUMENT_SQL,
    [WRITER_DOCUMENT_BYTES] = "SELECT " RECORD_BYTES " FROM main.\"%w\" WHERE doc_id = ?1",
    [WRITER_STORE_BYTES] = "SELECT records.bytes + metas.bytes, metas.count FROM (SELECT count(*) AS count, "
			   "coalesce(sum(length(CAST(doc_id AS BLOB)) + length(CAST(data AS BLOB))), 0) AS bytes "
			   "FROM main.\"%w\") AS metas, (SELECT " RECORD_BYTES " AS bytes FROM main.\"%w\") AS records",
};

static const char OWN_TABLE_SQL[] =
    "CREATE TABLE IF NOT EXISTS main." SQLITE_OWN_TABLE " (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID";

static const char *const OWN_SQL[] = {
    [OWN_PUT] = "REPLACE INTO main." SQLITE_OWN_TABLE " (key, value) VALUES (?1, ?2)",
    [OWN_DELETE] = "DELETE FROM main." SQLITE_OWN_TABLE " WHERE key = ?1",
    [OWN_GET] = "SELECT value FROM main." SQLITE_OWN_TABLE " WHERE key = ?1",
    [OWN_EACH] = "SELECT key, value FROM main." SQLITE_OWN_TABLE " WHERE key >= ?1 ORDER BY key",
};

/* ---- shared with readers ---- */

int sqlite_prepare(sqlite3 *db, sqlite3_stmt **statement, const char *format, const char *name, const char *name2,
		   struct failure *failure)
{
	char *sql;
	int result;

	if (*statement != NULL)
		return 0;
	sql = sqlite3_mprintf(format, name, name2);
	if (sql == NULL)
		return failure_set(failure, ERROR_IO_ERROR, "out of memory");
	result = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
	/*
	 * A table that is not there may have come since the schema was read: SQLite looks, but if it cannot read, it
	 * keeps that to itself.
	 */
	if (result == SQLITE_ERROR) {
		result = sqlite3_exec(db, "PRAGMA main.schema_version", NULL, NULL, NULL);
		if (result == SQLITE_OK)
			result = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
	}
	sqlite3_free(sql);
	return result == SQLITE_OK ? 0 : sqlite_trouble(db, result, STAGE_STATEMENT, "prepare a statement", failure);
}

/* No bytes are still a text or blob, not NULL: so never a NULL pointer. */
static const void *bytes_of(struct span span)
{
	return span.data == NULL ? "" : (const void *)span.data;
}

int sqlite_bind_text(sqlite3_stmt *statement, int index, struct span text)
{
	return sqlite3_bind_text64(statement, index, bytes_of(text), text.size, SQLITE_STATIC, SQLITE_UTF8);
}

int sqlite_bind_blob(sqlite3_stmt *statement, int index, struct span blob)
{
	return sqlite3_bind_blob64(statement, index, bytes_of(blob), blob.size, SQLITE_STATIC);
}

struct span sqlite_column(sqlite3_stmt *statement, int index)
{
	/* The pointer first, then the size. As a blob: text as it is, whatever is in it. */
	const void *data = sqlite3_column_blob(statement, index);

	return span_of(data, (size_t)sqlite3_column_bytes(statement, index));
}

static int damaged(struct span document, const char *what, struct failure *failure)
{
	return failure_set(failure, ERROR_CORRUPT, "%s of document '%.*s' is damaged", what,
			   (int)(document.size < 200 ? document.size : 200), (const char *)bytes_of(document));
}

/* Reads what SQLITE_DOCUMENT_SQL gave. */
static int take_document(sqlite3_stmt *statement, struct span document, bool *found, struct buffer *meta,
			 uint64_t *next, struct failure *failure)
{
	int meta_type = sqlite3_column_type(statement, 0), seq_type = sqlite3_column_type(statement, 1);

	*next = 0;
	if (seq_type != SQLITE_NULL) {
		sqlite3_int64 seq = sqlite3_column_int64(statement, 1);

		if (seq_type != SQLITE_INTEGER || seq == INT64_MAX)
			return damaged(document, "the last row", failure);
		if (seq >= 0)
			*next = (uint64_t)seq + 1;
	}
	*found = meta_type != SQLITE_NULL;
	if (!*found)
		return 0;
	struct span text = sqlite_column(statement, 0);

	if (meta_type != SQLITE_TEXT || !utf8_valid(text))
		return damaged(document, "the metadata", failure);
	buffer_append(meta, text.data, text.size);
	return meta->failed ? failure_set(failure, ERROR_IO_ERROR, "out of memory") : 0;
}

int sqlite_read_document(sqlite3 *db, sqlite3_stmt *statement, struct span document, bool *found, struct buffer *meta,
			 uint64_t *next, struct failure *failure)
{
	int code, result = sqlite_bind_text(statement, 1, document);

	if (result == SQLITE_OK)
		result = sqlite3_step(statement);
	if (result == SQLITE_ROW)
		code = take_document(statement, document, found, meta, next, failure);
	else
		code = sqlite_trouble(db, result, STAGE_STATEMENT, "read a document", failure);
	sqlite3_reset(statement);
	return code;
}

/*
 * A statement on the own table failed: 0 if only because there is no such table yet, and then *missing. The statement,
 * prepared or not, is gone then.
 */
static int own_trouble(sqlite3 *db, sqlite3_stmt **statement, int result, const char *what, bool *missing,
		       struct failure *failure)
{
	int code = 0;

	*missing = sqlite_table_missing(db);
	if (!*missing)
		code = sqlite_trouble(db, result, STAGE_STATEMENT, what, failure);
	if (*missing) {
		sqlite3_finalize(*statement);
		*statement = NULL;
	} else {
		sqlite3_reset(*statement);
	}
	return code;
}

static int own_prepare(sqlite3 *db, sqlite3_stmt **statement, enum sqlite_own_statement which)
{
	if (*statement != NULL)
		return SQLITE_OK;
	return sqlite3_prepare_v3(db, OWN_SQL[which], -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
}

int sqlite_read_own(sqlite3 *db, sqlite3_stmt **statement, struct span key, bool *found, struct buffer *value,
		    struct failure *failure)
{
	bool missing;
	int result = own_prepare(db, statement, OWN_GET);

	*found = false;
	if (result == SQLITE_OK)
		result = sqlite_bind_blob(*statement, 1, key);
	if (result == SQLITE_OK)
		result = sqlite3_step(*statement);
	if (result == SQLITE_ROW) {
		struct span bytes = sqlite_column(*statement, 0);

		*found = true;
		buffer_append(value, bytes.data, bytes.size);
		sqlite3_reset(*statement);
		return value->failed ? failure_set(failure, ERROR_IO_ERROR, "out of memory") : 0;
	}
	if (result != SQLITE_DONE)
		return own_trouble(db, statement, result, "read an own row", &missing, failure);
	sqlite3_reset(*statement);
	return 0;
}

/* ---- the writer ---- */

/* The store's statement, prepared. */
static int writer_statement(struct sqlite_engine *engine, const struct engine_tables *base,
			    enum sqlite_writer_statement which, sqlite3_stmt **statement, struct failure *failure)
{
	const struct sqlite_tables *tables = (const struct sqlite_tables *)base;
	sqlite3_stmt **kept = &engine->statements[tables->number].of[which];
	const char *name = tables->found.meta;
	int code = 0;

	if (*kept == NULL) {
		if (which == WRITER_PUT_ROW || which == WRITER_PUT_ENTRY || which == WRITER_DELETE_ROWS ||
		    which == WRITER_DOCUMENT_BYTES)
			name = tables->found.records;
		code = sqlite_prepare(engine->db, kept, WRITER_SQL[which], name, tables->found.records, failure);
	}
	*statement = *kept;
	return code;
}

/* Carries out a bound statement that gives no rows. @result: of the binding. */
static int finish(struct sqlite_engine *engine, sqlite3_stmt *statement, int result, const char *what,
		  struct failure *failure)
{
	int code;

	if (result == SQLITE_OK)
		result = sqlite3_step(statement);
	if (result == SQLITE_DONE) {
		sqlite3_reset(statement);
		return 0;
	}
	code = sqlite_trouble(engine->db, result, STAGE_STATEMENT, what, failure);
	sqlite3_reset(statement);
	return code;
}

/* Nearly every row is an entry: its statement says so itself, which saves one value to bind and to copy. */
int sqlite_put_row(struct engine *base, const struct engine_tables *tables, struct span document, uint64_t seq,
		   const struct engine_row *row, struct failure *failure)
{
	bool entry = span_equal(row->kind, SPAN_LITERAL("entry"));
	struct sqlite_engine *engine = sqlite_engine(base);
	sqlite3_stmt *statement;
	int result,
	    index = 3,
	    code = writer_statement(engine, tables, entry ? WRITER_PUT_ENTRY : WRITER_PUT_ROW, &statement, failure);

	if (code != 0)
		return code;
	result = sqlite_bind_text(statement, 1, document);
	if (result == SQLITE_OK)
		result = sqlite3_bind_int64(statement, 2, (sqlite3_int64)seq);
	if (result == SQLITE_OK && !entry)
		result = sqlite_bind_text(statement, index++, row->kind);
	if (result == SQLITE_OK)
		result = row->has_payload ? sqlite_bind_text(statement, index, row->payload)
					  : sqlite3_bind_null(statement, index);
	index++;
	if (result == SQLITE_OK)
		result =
		    row->has_blob ? sqlite_bind_blob(statement, index, row->blob) : sqlite3_bind_null(statement, index);
	return finish(engine, statement, result, "write a row", failure);
}

int sqlite_put_meta(struct engine *base, const struct engine_tables *tables, struct span document, struct span meta,
		    struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);
	sqlite3_stmt *statement;
	int result, code = writer_statement(engine, tables, WRITER_PUT_META, &statement, failure);

	if (code != 0)
		return code;
	result = sqlite_bind_text(statement, 1, document);
	if (result == SQLITE_OK)
		result = sqlite_bind_text(statement, 2, meta);
	return finish(engine, statement, result, "write metadata", failure);
}

static int delete_from(struct engine *base, const struct engine_tables *tables, enum sqlite_writer_statement which,
		       struct span document, struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);
	sqlite3_stmt *statement;
	int code;

	if (tables->layout == LAYOUT_NONE)
		return 0;
	code = writer_statement(engine, tables, which, &statement, failure);
	return code != 0 ? code
			 : finish(engine, statement, sqlite_bind_text(statement, 1, document), "delete", failure);
}

int sqlite_delete_rows(struct engine *engine, const struct engine_tables *tables, struct span document,
		       struct failure *failure)
{
	return delete_from(engine, tables, WRITER_DELETE_ROWS, document, failure);
}

int sqlite_delete_meta(struct engine *engine, const struct engine_tables *tables, struct span document,
		       struct failure *failure)
{
	return delete_from(engine, tables, WRITER_DELETE_META, document, failure);
}

int sqlite_get_document(struct engine *base, const struct engine_tables *tables, struct span document, bool *found,
			struct buffer *meta, uint64_t *next, struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);
	sqlite3_stmt *statement;
	int code;

	*found = false;
	*next = 0;
	if (tables->layout == LAYOUT_NONE)
		return 0;
	code = writer_statement(engine, tables, WRITER_DOCUMENT, &statement, failure);
	if (code != 0)
		return code;
	sqlite_patience_start(engine, false, 0);
	return sqlite_read_document(engine->db, statement, document, found, meta, next, failure);
}

/* Runs a statement that gives one row of figures, of which @second may be NULL. */
static int read_figures(struct sqlite_engine *engine, sqlite3_stmt *statement, uint64_t *first, uint64_t *second,
			struct failure *failure)
{
	int code = 0, result;

	sqlite_patience_start(engine, false, 0);
	result = sqlite3_step(statement);
	if (result == SQLITE_ROW) {
		*first = (uint64_t)sqlite3_column_int64(statement, 0);
		if (second != NULL)
			*second = (uint64_t)sqlite3_column_int64(statement, 1);
	} else {
		code = sqlite_trouble(engine->db, result, STAGE_STATEMENT, "count what is stored", failure);
	}
	sqlite3_reset(statement);
	return code;
}

int sqlite_document_bytes(struct engine *base, const struct engine_tables *tables, struct span document,
			  uint64_t *bytes, struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);
	sqlite3_stmt *statement;
	int result, code;

	*bytes = 0;
	if (tables->layout == LAYOUT_NONE)
		return 0;
	code = writer_statement(engine, tables, WRITER_DOCUMENT_BYTES, &statement, failure);
	if (code != 0)
		return code;
	result = sqlite_bind_text(statement, 1, document);
	if (result != SQLITE_OK)
		return sqlite_trouble(engine->db, result, STAGE_STATEMENT, "count what is stored", failure);
	return read_figures(engine, statement, bytes, NULL, failure);
}

int sqlite_store_bytes(struct engine *base, const struct engine_tables *tables, uint64_t *bytes, uint64_t *documents,
		       struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);
	sqlite3_stmt *statement;
	int code;

	*bytes = 0;
	*documents = 0;
	if (tables->layout == LAYOUT_NONE)
		return 0;
	code = writer_statement(engine, tables, WRITER_STORE_BYTES, &statement, failure);
	return code != 0 ? code : read_figures(engine, statement, bytes, documents, failure);
}

/* ---- own rows ---- */

static int make_own_table(struct sqlite_engine *engine, struct failure *failure)
{
	/* Before it can be seen: a reader that looks for nothing loses nothing. */
	atomic_store(&engine->own_table, true);
	return sqlite_run(engine, OWN_TABLE_SQL, "make the daemon's table", failure);
}

static int put_own_once(struct sqlite_engine *engine, struct span key, struct span value, bool *missing,
			struct failure *failure)
{
	sqlite3_stmt **statement = &engine->own[OWN_PUT];
	int result = own_prepare(engine->db, statement, OWN_PUT);

	*missing = false;
	if (result == SQLITE_OK)
		result = sqlite_bind_blob(*statement, 1, key);
	if (result == SQLITE_OK)
		result = sqlite_bind_blob(*statement, 2, value);
	if (result == SQLITE_OK)
		result = sqlite3_step(*statement);
	if (result != SQLITE_DONE)
		return own_trouble(engine->db, statement, result, "write an own row", missing, failure);
	sqlite3_reset(*statement);
	return 0;
}

int sqlite_put_own(struct engine *base, struct span key, struct span value, struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);
	bool missing;
	int code = put_own_once(engine, key, value, &missing, failure);

	if (code != 0 || !missing)
		return code;
	code = make_own_table(engine, failure);
	if (code == 0)
		code = put_own_once(engine, key, value, &missing, failure);
	if (code == 0 && missing)
		code = failure_set(failure, ERROR_IO_ERROR, "the daemon's table cannot be made");
	return code;
}

int sqlite_delete_own(struct engine *base, struct span key, struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);
	sqlite3_stmt **statement = &engine->own[OWN_DELETE];
	bool missing;
	int result = own_prepare(engine->db, statement, OWN_DELETE);

	if (result == SQLITE_OK)
		result = sqlite_bind_blob(*statement, 1, key);
	if (result == SQLITE_OK)
		result = sqlite3_step(*statement);
	if (result != SQLITE_DONE)
		return own_trouble(engine->db, statement, result, "delete an own row", &missing, failure);
	sqlite3_reset(*statement);
	return 0;
}

int sqlite_get_own(struct engine *base, struct span key, bool *found, struct buffer *value, struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);

	*found = false;
	if (!atomic_load(&engine->own_table))
		return 0;
	sqlite_patience_start(engine, false, 0);
	return sqlite_read_own(engine->db, &engine->own[OWN_GET], key, found, value, failure);
}

int sqlite_each_own(struct engine *base, struct span prefix,
		    bool (*each)(void *context, struct span key, struct span value), void *context,
		    struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);
	sqlite3_stmt **statement = &engine->own[OWN_EACH];
	bool missing;
	int result;

	if (!atomic_load(&engine->own_table))
		return 0;
	sqlite_patience_start(engine, false, 0);
	result = own_prepare(engine->db, statement, OWN_EACH);
	if (result == SQLITE_OK)
		result = sqlite_bind_blob(*statement, 1, prefix);
	if (result == SQLITE_OK)
		result = sqlite3_step(*statement);
	while (result == SQLITE_ROW) {
		struct span key = sqlite_column(*statement, 0);

		if (!sqlite_begins_with(key, prefix) || !each(context, key, sqlite_column(*statement, 1)))
			break;
		result = sqlite3_step(*statement);
	}
	if (result != SQLITE_ROW && result != SQLITE_DONE)
		return own_trouble(engine->db, statement, result, "read own rows", &missing, failure);
	sqlite3_reset(*statement);
	return 0;
}
