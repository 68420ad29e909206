/*
 * facts: looking at tables: what is there of a store, before anything is decided or made (sqlite.h). Writer thread.
 *
 * Names come from clients and may be any text: they go into SQL between double quotes with quotes doubled (%w), never
 * bare.
 */
#include "daemon/sqlite/sqlite.h"

#include "protocol/json.h"

#include <stdlib.h>
#include <string.h>

/* How many documents are looked at to tell what is in a table: refusals must be quick on large files too. */
#define PROBE_DOCUMENTS 1000

const char *const sqlite_default_meta[] = {[LAYOUT_1] = "kyneta_meta", [LAYOUT_2] = "kyneta_doc_meta"};

/* ---- the shape of a table ---- */

struct column {
	const char *name;
	const char *type;
	int not_null;
	int key; /* its place in the primary key; 0: not in it */
};

static const struct column META_COLUMNS[] = {{"doc_id", "TEXT", 1, 1}, {"data", "TEXT", 1, 0}, {NULL, NULL, 0, 0}};
static const struct column STORE_COLUMNS[] = {{"key", "TEXT", 1, 1}, {"value", "TEXT", 1, 0}, {NULL, NULL, 0, 0}};
static const struct column OWN_COLUMNS[] = {{"key", "BLOB", 1, 1}, {"value", "BLOB", 0, 0}, {NULL, NULL, 0, 0}};
static const struct column RECORDS_COLUMNS[] = {
    {"doc_id", "TEXT", 1, 1},  {"seq", "INTEGER", 1, 2}, {"kind", "TEXT", 1, 0},
    {"payload", "TEXT", 0, 0}, {"blob", "BLOB", 0, 0},	 {NULL, NULL, 0, 0},
};

static bool text_is(sqlite3_stmt *row, int column, const char *text)
{
	const unsigned char *value = sqlite3_column_text(row, column);

	return value != NULL && strcmp((const char *)value, text) == 0;
}

static bool text_is_folded(sqlite3_stmt *row, int column, const char *text)
{
	const unsigned char *value = sqlite3_column_text(row, column);

	return value != NULL && sqlite3_stricmp((const char *)value, text) == 0;
}

/* Prepares @format with the table's name and looks at each row it gives, until @row says no. *match: all said yes. */
static int each_row(sqlite3 *db, const char *format, const char *table,
		    bool (*row)(sqlite3_stmt *statement, int number, const void *context), const void *context,
		    bool *match, int *rows, struct failure *failure)
{
	sqlite3_stmt *statement = NULL;
	int result, code = sqlite_prepare(db, &statement, format, table, "", failure);

	*match = true;
	*rows = 0;
	if (code != 0)
		return code;
	while ((result = sqlite3_step(statement)) == SQLITE_ROW && *match)
		*match = row(statement, (*rows)++, context);
	if (result != SQLITE_DONE && result != SQLITE_ROW)
		code = sqlite_trouble(db, result, STAGE_STATEMENT, "look at a table", failure);
	sqlite3_finalize(statement);
	return code;
}

/* PRAGMA table_list: schema, name, type, ncol, wr, strict */
static bool row_of_kind(sqlite3_stmt *row, int number, const void *context)
{
	(void)number;
	(void)context;
	return text_is(row, 2, "table") && sqlite3_column_int(row, 4) == 1;
}

/* PRAGMA table_xinfo: cid, name, type, notnull, dflt_value, pk, hidden */
static bool row_of_column(sqlite3_stmt *row, int number, const void *context)
{
	const struct column *columns = context, *column = &columns[number];

	/* Counting goes no further than the end mark: the row that comes upon it ends it. */
	return column->name != NULL && text_is(row, 1, column->name) && text_is_folded(row, 2, column->type) &&
	       sqlite3_column_int(row, 3) == column->not_null && sqlite3_column_type(row, 4) == SQLITE_NULL &&
	       sqlite3_column_int(row, 5) == column->key && sqlite3_column_int(row, 6) == 0;
}

/* PRAGMA index_xinfo of a table without rowid, which is its primary key: seqno, cid, name, desc, coll, key */
static bool row_of_key(sqlite3_stmt *row, int number, const void *context)
{
	(void)number;
	(void)context;
	return sqlite3_column_int(row, 5) == 0 || (sqlite3_column_int(row, 3) == 0 && text_is(row, 4, "BINARY"));
}

static int count_columns(const struct column *columns)
{
	int count = 0;

	while (columns[count].name != NULL)
		count++;
	return count;
}

/* Is the table exactly what the daemon would make, column for column, ordered by bytes? */
static int has_shape(sqlite3 *db, const char *table, const struct column *columns, bool *match, struct failure *failure)
{
	int rows,
	    code = each_row(db, "PRAGMA main.table_list(\"%w\")", table, row_of_kind, NULL, match, &rows, failure);

	if (code != 0 || !*match)
		return code;
	*match = rows == 1;
	if (!*match)
		return 0;
	code = each_row(db, "PRAGMA main.table_xinfo(\"%w\")", table, row_of_column, columns, match, &rows, failure);
	if (code != 0 || !*match)
		return code;
	*match = rows == count_columns(columns);
	if (!*match)
		return 0;
	return each_row(db, "PRAGMA main.index_xinfo(\"%w\")", table, row_of_key, NULL, match, &rows, failure);
}

/* Is there anything of this name? (Triggers have names of their own.) */
static int name_is_taken(sqlite3 *db, const char *table, bool *taken, struct failure *failure)
{
	sqlite3_stmt *statement = NULL;
	int result,
	    code = sqlite_prepare(
		db, &statement, "SELECT 1 FROM main.sqlite_schema WHERE name = ?1 COLLATE NOCASE AND type <> 'trigger'",
		"", "", failure);

	if (code != 0)
		return code;
	result = sqlite_bind_text(statement, 1, span_of_string(table));
	if (result == SQLITE_OK)
		result = sqlite3_step(statement);
	*taken = result == SQLITE_ROW;
	if (result != SQLITE_ROW && result != SQLITE_DONE)
		code = sqlite_trouble(db, result, STAGE_STATEMENT, "look for a table", failure);
	sqlite3_finalize(statement);
	return code;
}

static int has_rows(sqlite3 *db, const char *table, bool *found, struct failure *failure)
{
	sqlite3_stmt *statement = NULL;
	int result, code = sqlite_prepare(db, &statement, "SELECT 1 FROM main.\"%w\" LIMIT 1", table, "", failure);

	if (code != 0)
		return code;
	result = sqlite3_step(statement);
	*found = result == SQLITE_ROW;
	if (result != SQLITE_ROW && result != SQLITE_DONE)
		code = sqlite_trouble(db, result, STAGE_STATEMENT, "look into a table", failure);
	sqlite3_finalize(statement);
	return code;
}

static int look_at_table(sqlite3 *db, const char *name, const struct column *columns, struct sqlite_table *table,
			 struct failure *failure)
{
	bool yes;
	int code = name_is_taken(db, name, &yes, failure);

	*table = (struct sqlite_table){name, TABLE_ABSENT};
	if (code != 0 || !yes)
		return code;
	table->state = TABLE_FOREIGN;
	code = has_shape(db, name, columns, &yes, failure);
	if (code != 0 || !yes)
		return code;
	code = has_rows(db, name, &yes, failure);
	table->state = yes ? TABLE_FILLED : TABLE_EMPTY;
	return code;
}

int sqlite_own_table_found(struct sqlite_engine *engine, bool *found, struct failure *failure)
{
	struct sqlite_table table;
	int code = look_at_table(engine->db, SQLITE_OWN_TABLE, OWN_COLUMNS, &table, failure);

	*found = table.state != TABLE_ABSENT;
	if (code != 0 || table.state != TABLE_FOREIGN)
		return code;
	code = failure_set(failure, ERROR_INCOMPATIBLE_FORMAT,
			   "%s has a table " SQLITE_OWN_TABLE " that is not this daemon's: rename that table",
			   engine->path);
	if (failure != NULL)
		failure->detail = "foreign-table";
	return code;
}

/* ---- what is in a table ---- */

/* The layout of a meta by its key; LAYOUT_NONE if it has neither or both, or is no JSON object. */
static enum layout key_of_meta(struct span text)
{
	struct json_value object, value;
	bool one, two;

	if (!json_check(text, JSON_DEPTH_MAX))
		return LAYOUT_NONE;
	object = json_root(text);
	if (object.type != JSON_OBJECT)
		return LAYOUT_NONE;
	one = json_member(object, meta_key(LAYOUT_1), &value);
	two = json_member(object, meta_key(LAYOUT_2), &value);
	if (one == two)
		return LAYOUT_NONE;
	return one ? LAYOUT_1 : LAYOUT_2;
}

/* The key of the first meta that tells. */
static int look_at_metas(sqlite3 *db, const char *table, enum layout *key, struct failure *failure)
{
	sqlite3_stmt *statement = NULL;
	int result = SQLITE_DONE,
	    code = sqlite_prepare(db, &statement, "SELECT data FROM main.\"%w\" ORDER BY doc_id", table, "", failure);

	*key = LAYOUT_NONE;
	if (code != 0)
		return code;
	for (int i = 0; i < PROBE_DOCUMENTS && *key == LAYOUT_NONE; i++) {
		result = sqlite3_step(statement);
		if (result != SQLITE_ROW)
			break;
		*key = key_of_meta(sqlite_column(statement, 0));
	}
	if (result != SQLITE_ROW && result != SQLITE_DONE)
		code = sqlite_trouble(db, result, STAGE_STATEMENT, "look at metadata", failure);
	sqlite3_finalize(statement);
	return code;
}

int sqlite_look_at_records(sqlite3 *db, const char *table, enum layout layout, enum layout *key,
			   struct failure *failure)
{
	static const char sql[] = "SELECT doc_id, kind, payload FROM main.\"%w\" WHERE (doc_id, seq) > (?1, ?2) "
				  "ORDER BY doc_id, seq LIMIT 1";
	struct buffer document = BUFFER_EMPTY;
	sqlite3_stmt *statement = NULL;
	int64_t seq = -1;
	int result = SQLITE_ROW, code = sqlite_prepare(db, &statement, sql, table, "", failure);

	*key = LAYOUT_NONE;
	for (int i = 0; code == 0 && i < PROBE_DOCUMENTS; i++) {
		result = sqlite_bind_text(statement, 1, buffer_span(&document));
		if (result == SQLITE_OK)
			result = sqlite3_bind_int64(statement, 2, seq);
		if (result == SQLITE_OK)
			result = sqlite3_step(statement);
		if (result != SQLITE_ROW)
			break;
		struct span id = sqlite_column(statement, 0);

		buffer_reset(&document);
		buffer_append(&document, id.data, id.size);
		seq = INT64_MAX;
		if (text_is(statement, 1, "meta"))
			*key = key_of_meta(sqlite_column(statement, 2));
		if (*key != LAYOUT_NONE && *key != layout)
			break;
		sqlite3_reset(statement);
		if (document.failed)
			code = failure_set(failure, ERROR_IO_ERROR, "out of memory");
	}
	if (code == 0 && result != SQLITE_ROW && result != SQLITE_DONE)
		code = sqlite_trouble(db, result, STAGE_STATEMENT, "look at records", failure);
	sqlite3_finalize(statement);
	buffer_free(&document);
	return code;
}

static enum sqlite_format format_of(struct span text)
{
	struct json_value object, value;
	int64_t major;

	if (!json_check(text, JSON_DEPTH_MAX))
		return FORMAT_MALFORMED;
	object = json_root(text);
	if (object.type != JSON_OBJECT || !json_member(object, "major", &value) || value.type != JSON_NUMBER ||
	    !json_integer(value, &major))
		return FORMAT_MALFORMED;
	return major == 1 ? FORMAT_1 : FORMAT_OTHER_MAJOR;
}

static int look_at_format(sqlite3 *db, struct sqlite_facts *facts, struct failure *failure)
{
	sqlite3_stmt *statement = NULL;
	int result, code = sqlite_prepare(db, &statement, "SELECT value FROM main.\"%w\" WHERE key = 'format'",
					  facts->store.name, "", failure);

	if (code != 0)
		return code;
	result = sqlite3_step(statement);
	if (result == SQLITE_ROW) {
		struct span text = sqlite_column(statement, 0);
		size_t size = text.size < sizeof(facts->format_text) ? text.size : sizeof(facts->format_text) - 1;

		facts->format = format_of(text);
		if (size > 0)
			memcpy(facts->format_text, text.data, size);
		facts->format_text[size] = '\0';
	} else if (result != SQLITE_DONE) {
		code = sqlite_trouble(db, result, STAGE_STATEMENT, "look for the format", failure);
	}
	sqlite3_finalize(statement);
	return code;
}

/* ---- all of it ---- */

int sqlite_look(sqlite3 *db, const struct sqlite_names *asked, uint64_t asked_layout, uint64_t noted_layout,
		struct sqlite_facts *facts, struct failure *failure)
{
	int code;

	*facts =
	    (struct sqlite_facts){.meta_given = asked->meta != NULL,
				  .store_given = asked->store != NULL,
				  .asked_layout = asked_layout,
				  .noted_layout = noted_layout,
				  .records_is_default = sqlite3_stricmp(asked->records, SQLITE_DEFAULT_RECORDS) == 0};
	code = look_at_table(db, asked->records, RECORDS_COLUMNS, &facts->records, failure);
	if (code == 0)
		code = look_at_table(db, asked->store != NULL ? asked->store : SQLITE_DEFAULT_STORE, STORE_COLUMNS,
				     &facts->store, failure);
	if (code == 0 && facts->store.state == TABLE_FILLED)
		code = look_at_format(db, facts, failure);
	for (int layout = LAYOUT_1; code == 0 && layout <= LAYOUT_2; layout++) {
		const char *name = sqlite_default_meta[layout];

		code = look_at_table(db, name, META_COLUMNS, &facts->default_meta[layout], failure);
		if (code != 0)
			break;
		facts->meta_is_default[layout] = asked->meta == NULL || sqlite3_stricmp(asked->meta, name) == 0;
		facts->meta[layout] = facts->default_meta[layout];
		if (asked->meta != NULL)
			code = look_at_table(db, asked->meta, META_COLUMNS, &facts->meta[layout], failure);
		if (code == 0 && facts->meta[layout].state == TABLE_FILLED)
			code = look_at_metas(db, facts->meta[layout].name, &facts->key[layout], failure);
	}
	/* Asked for by the store's name alone, the store is of layout 2: its metadata is not kyneta_meta. */
	if (facts->store_given && asked->meta == NULL)
		facts->meta_is_default[LAYOUT_1] = false;
	return code;
}
