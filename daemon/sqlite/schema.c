/*
 * schema: looking at tables, and making new ones (sqlite.h). Writer thread.
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

static const char *const DEFAULT_META[] = {[LAYOUT_1] = "kyneta_meta", [LAYOUT_2] = "kyneta_doc_meta"};
static const char DEFAULT_RECORDS[] = "kyneta_records";
static const char DEFAULT_STORE[] = "kyneta_store_meta";
static const char FORMAT_ROW[] = "{\"major\":1,\"minor\":0}";

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

static const char META_SQL[] = "CREATE TABLE IF NOT EXISTS main.\"%w\" (\n"
			       "        doc_id  TEXT PRIMARY KEY,\n"
			       "        data    TEXT NOT NULL\n"
			       "      ) WITHOUT ROWID";
static const char RECORDS_SQL[] = "CREATE TABLE IF NOT EXISTS main.\"%w\" (\n"
				  "        doc_id  TEXT    NOT NULL,\n"
				  "        seq     INTEGER NOT NULL,\n"
				  "        kind    TEXT    NOT NULL,\n"
				  "        payload TEXT,\n"
				  "        blob    BLOB,\n"
				  "        PRIMARY KEY (doc_id, seq)\n"
				  "      ) WITHOUT ROWID";
static const char STORE_SQL[] = "CREATE TABLE IF NOT EXISTS main.\"%w\" (\n"
				"        key   TEXT PRIMARY KEY,\n"
				"        value TEXT NOT NULL\n"
				"      ) WITHOUT ROWID";

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

/*
 * Whether the first row of some document is a meta with the key of the other layout: then a package of another layout
 * has written to these records, and this store is not all there is.
 */
static int look_at_records(sqlite3 *db, const char *table, enum layout layout, enum layout *key,
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

/* ---- which store ---- */

static int look_at_all(sqlite3 *db, const struct sqlite_names *asked, uint64_t asked_layout, struct sqlite_facts *facts,
		       struct failure *failure)
{
	int code;

	*facts = (struct sqlite_facts){.meta_given = asked->meta != NULL,
				       .store_given = asked->store != NULL,
				       .asked_layout = asked_layout,
				       .records_is_default = sqlite3_stricmp(asked->records, DEFAULT_RECORDS) == 0};
	code = look_at_table(db, asked->records, RECORDS_COLUMNS, &facts->records, failure);
	if (code == 0)
		code = look_at_table(db, asked->store != NULL ? asked->store : DEFAULT_STORE, STORE_COLUMNS,
				     &facts->store, failure);
	if (code == 0 && facts->store.state == TABLE_FILLED)
		code = look_at_format(db, facts, failure);
	for (int layout = LAYOUT_1; code == 0 && layout <= LAYOUT_2; layout++) {
		const char *name = DEFAULT_META[layout];

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

/* Looks and decides. Inside a transaction of whatever kind, so that everything seen is one state. */
static int detect(sqlite3 *db, const struct sqlite_names *asked, uint64_t asked_layout, enum layout *layout,
		  enum layout *forced, struct failure *failure)
{
	struct sqlite_facts facts;
	int code = look_at_all(db, asked, asked_layout, &facts, failure);

	if (code == 0)
		code = sqlite_detect(&facts, layout, forced, failure);
	if (code == 0 && *layout != LAYOUT_NONE && facts.records.state == TABLE_FILLED)
		code = look_at_records(db, asked->records, *layout, &facts.records_key, failure);
	if (code == 0 && *layout != LAYOUT_NONE)
		code = sqlite_detect_mixed_records(&facts, *layout, failure);
	return code;
}

/* ---- struct sqlite_tables ---- */

static void names_free(struct sqlite_names *names)
{
	free(names->meta);
	free(names->records);
	free(names->store);
}

/* Everything but its number. */
static void tables_clear(struct sqlite_tables *tables)
{
	unsigned number = tables->number;

	names_free(&tables->asked);
	names_free(&tables->found);
	free(tables->base.key);
	free(tables->base.description);
	for (int layout = LAYOUT_1; layout <= LAYOUT_2; layout++)
		free(tables->base.metadata[layout]);
	*tables = (struct sqlite_tables){.number = number};
}

void sqlite_tables_free(struct sqlite_tables *tables)
{
	if (tables == NULL)
		return;
	tables_clear(tables);
	free(tables);
}

void sqlite_forget(struct engine *base, const struct engine_tables *tables)
{
	struct sqlite_engine *engine = (struct sqlite_engine *)base;

	for (struct sqlite_tables **at = &engine->tables; *at != NULL; at = &(*at)->next) {
		struct sqlite_tables *each = *at;

		if (&each->base != tables || tables->layout != LAYOUT_NONE)
			continue;
		/* No statement was ever prepared for it, on any connection: its number can be another's. */
		*at = each->next;
		tables_clear(each);
		each->next = engine->forgotten;
		engine->forgotten = each;
		return;
	}
}

/* An object with a number that no other has: a forgotten one, or a new one. NULL: no memory. */
static struct sqlite_tables *tables_new(struct sqlite_engine *engine)
{
	struct sqlite_writer_statements *statements;
	struct sqlite_tables *tables = engine->forgotten;

	if (tables != NULL) {
		engine->forgotten = tables->next;
		return tables;
	}
	statements = reallocarray(engine->statements, engine->tables_count + 1, sizeof(*statements));
	if (statements == NULL)
		return NULL;
	engine->statements = statements;
	statements[engine->tables_count] = (struct sqlite_writer_statements){{NULL}};
	tables = calloc(1, sizeof(*tables));
	if (tables != NULL)
		tables->number = engine->tables_count++;
	return tables;
}

static bool names_equal_or_none(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static struct sqlite_tables *known_tables(struct sqlite_engine *engine, const struct sqlite_names *asked,
					  uint64_t asked_layout, enum layout layout, enum layout forced)
{
	for (struct sqlite_tables *each = engine->tables; each != NULL; each = each->next)
		if (each->base.layout == layout && each->base.layout_forced == forced &&
		    each->asked_layout == asked_layout && names_equal_or_none(each->asked.meta, asked->meta) &&
		    names_equal_or_none(each->asked.records, asked->records) &&
		    names_equal_or_none(each->asked.store, asked->store))
			return each;
	return NULL;
}

/* A copy; NULL for NULL, and *failed if there is no memory. */
static char *copy(const char *text, bool *failed)
{
	char *out = text == NULL ? NULL : strdup(text);

	if (text != NULL && out == NULL)
		*failed = true;
	return out;
}

/* As SQLite folds the names of tables: A to Z alone. */
static char *copy_folded(const char *text, bool *failed)
{
	char *out = copy(text, failed);

	for (char *at = out; at != NULL && *at != '\0'; at++)
		if (*at >= 'A' && *at <= 'Z')
			*at = (char)(*at - 'A' + 'a');
	return out;
}

/* The name of the metadata table that a store, asked for and found so, has or would get in this layout. */
static const char *metadata_in(const struct sqlite_names *asked, uint64_t asked_layout, enum layout found,
			       enum layout layout)
{
	bool possible = found != LAYOUT_NONE ? found == layout
			: asked_layout != 0  ? asked_layout == (uint64_t)layout
					     : asked->store == NULL || layout == LAYOUT_2;

	if (!possible)
		return NULL;
	return asked->meta != NULL ? asked->meta : DEFAULT_META[layout];
}

/* The tables of a store that was found so: the same object as last time, or a new one. */
static int tables_of(struct sqlite_engine *engine, const struct sqlite_names *asked, uint64_t asked_layout,
		     enum layout layout, enum layout forced, const struct engine_tables **out, struct failure *failure)
{
	struct sqlite_tables *tables = known_tables(engine, asked, asked_layout, layout, forced);
	bool failed = false;

	if (tables != NULL) {
		*out = &tables->base;
		return 0;
	}
	tables = tables_new(engine);
	if (tables == NULL)
		return failure_set(failure, ERROR_IO_ERROR, "out of memory");
	tables->base.layout = layout;
	tables->base.layout_forced = forced;
	tables->base.key = copy_folded(asked->records, &failed);
	tables->base.description = copy(asked->records, &failed);
	for (enum layout each = LAYOUT_1; each <= LAYOUT_2; each++)
		tables->base.metadata[each] =
		    copy(metadata_in(asked, asked_layout, layout != LAYOUT_NONE ? layout : forced, each), &failed);
	tables->base.is_default = sqlite3_stricmp(asked->records, DEFAULT_RECORDS) == 0 && layout != LAYOUT_NONE &&
				  (asked->meta == NULL || sqlite3_stricmp(asked->meta, DEFAULT_META[layout]) == 0);
	tables->asked_layout = asked_layout;
	tables->asked.meta = copy(asked->meta, &failed);
	tables->asked.records = copy(asked->records, &failed);
	tables->asked.store = copy(asked->store, &failed);
	if (layout != LAYOUT_NONE) {
		tables->found.meta = copy(asked->meta != NULL ? asked->meta : DEFAULT_META[layout], &failed);
		tables->found.records = copy(asked->records, &failed);
		if (layout == LAYOUT_2)
			tables->found.store = copy(asked->store != NULL ? asked->store : DEFAULT_STORE, &failed);
	}
	if (failed) {
		tables_clear(tables);
		tables->next = engine->forgotten;
		engine->forgotten = tables;
		return failure_set(failure, ERROR_IO_ERROR, "out of memory");
	}
	tables->next = engine->tables;
	engine->tables = tables;
	*out = &tables->base;
	return 0;
}

/* ---- find ---- */

static bool begins_with(const char *name, const char *prefix)
{
	return sqlite3_strnicmp(name, prefix, (int)strlen(prefix)) == 0;
}

static int check_name(const char *name, struct failure *failure)
{
	if (begins_with(name, "sqlite_") || begins_with(name, SQLITE_OWN_TABLE))
		return failure_set(failure, ERROR_BAD_ARGUMENT, "a store's table cannot be named %s", name);
	return 0;
}

static int take_name(char **name, struct span given, const char *otherwise, struct failure *failure)
{
	bool failed = false;

	if (given.size > 0 && memchr(given.data, '\0', given.size) != NULL)
		return failure_set(failure, ERROR_BAD_ARGUMENT, "a table name holds NUL");
	if (given.size == 0) {
		*name = copy(otherwise, &failed);
	} else {
		*name = strndup((const char *)given.data, given.size);
		failed = *name == NULL;
	}
	if (failed)
		return failure_set(failure, ERROR_IO_ERROR, "out of memory");
	return *name == NULL ? 0 : check_name(*name, failure);
}

static bool same(const char *a, const char *b)
{
	return sqlite3_stricmp(a, b) == 0;
}

/* No two of the tables that the store has, or could get, may be one. */
static int check_distinct(const struct sqlite_names *asked, struct failure *failure)
{
	const char *store = asked->store != NULL ? asked->store : DEFAULT_STORE;
	bool clash = same(asked->records, store);

	for (int layout = asked->store != NULL ? LAYOUT_2 : LAYOUT_1; layout <= LAYOUT_2; layout++) {
		const char *meta = asked->meta != NULL ? asked->meta : DEFAULT_META[layout];

		clash = clash || same(meta, asked->records) || same(meta, store);
	}
	return clash ? failure_set(failure, ERROR_BAD_ARGUMENT, "two tables of the store would have the same name") : 0;
}

static int take_names(struct sqlite_names *asked, const struct table_names *names, struct failure *failure)
{
	int code = take_name(&asked->records, names->records, DEFAULT_RECORDS, failure);

	if (code == 0)
		code = take_name(&asked->meta, names->meta, NULL, failure);
	if (code == 0)
		code = take_name(&asked->store, names->store, NULL, failure);
	return code != 0 ? code : check_distinct(asked, failure);
}

int sqlite_find(struct engine *base, const struct table_names *names, const struct engine_tables **tables,
		struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);
	struct sqlite_names asked = {NULL, NULL, NULL};
	enum layout layout, forced;
	int code = take_names(&asked, names, failure);

	if (code == 0)
		code = sqlite_run(engine, "BEGIN", "look at the tables", failure);
	if (code == 0) {
		sqlite_patience_start(engine, false, 0);
		code = detect(engine->db, &asked, names->layout, &layout, &forced, failure);
		/* Nothing was written: how this ends makes no difference. */
		sqlite_rollback(base);
	}
	if (code == 0)
		code = tables_of(engine, &asked, names->layout, layout, forced, tables, failure);
	names_free(&asked);
	return code;
}

/* ---- create ---- */

static int run_formatted(struct sqlite_engine *engine, const char *format, const char *name, struct failure *failure)
{
	char *sql = sqlite3_mprintf(format, name);
	int code;

	if (sql == NULL)
		return failure_set(failure, ERROR_IO_ERROR, "out of memory");
	code = sqlite_run(engine, sql, "make a table", failure);
	sqlite3_free(sql);
	return code;
}

static int put_format(struct sqlite_engine *engine, const char *store, struct failure *failure)
{
	sqlite3_stmt *statement = NULL;
	int result, code = sqlite_prepare(engine->db, &statement,
					  "INSERT OR IGNORE INTO main.\"%w\" (key, value) VALUES ('format', ?1)", store,
					  "", failure);

	if (code != 0)
		return code;
	result = sqlite_bind_text(statement, 1, span_of_string(FORMAT_ROW));
	if (result == SQLITE_OK)
		result = sqlite3_step(statement);
	if (result != SQLITE_DONE)
		code = sqlite_trouble(engine->db, result, STAGE_STATEMENT, "write the format row", failure);
	sqlite3_finalize(statement);
	return code;
}

int sqlite_create(struct engine *base, const struct engine_tables *wanted, enum layout layout,
		  const struct engine_tables **created, struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);
	const struct sqlite_tables *tables = (const struct sqlite_tables *)wanted;
	const struct sqlite_names *asked = &tables->asked;
	const char *store = asked->store != NULL ? asked->store : DEFAULT_STORE;
	enum layout found, forced;
	/* Another program may have been quicker: what is there now counts, and what counts is locked. */
	int code = detect(engine->db, asked, tables->asked_layout, &found, &forced, failure);

	if (code == 0 && ((found != LAYOUT_NONE && found != layout) || (forced != LAYOUT_NONE && forced != layout))) {
		code = failure_set(failure, ERROR_INCOMPATIBLE_FORMAT,
				   "the tables of %s are there by now, and are of layout %d", tables->base.description,
				   (int)(found != LAYOUT_NONE ? found : forced));
		if (failure != NULL)
			failure->detail = "mixed-layouts";
	}
	if (code == 0)
		code =
		    run_formatted(engine, META_SQL, asked->meta != NULL ? asked->meta : DEFAULT_META[layout], failure);
	if (code == 0)
		code = run_formatted(engine, RECORDS_SQL, asked->records, failure);
	if (code == 0 && layout == LAYOUT_2)
		code = run_formatted(engine, STORE_SQL, store, failure);
	if (code == 0 && layout == LAYOUT_2)
		code = put_format(engine, store, failure);
	if (code == 0)
		code = tables_of(engine, asked, tables->asked_layout, layout, LAYOUT_NONE, created, failure);
	return code;
}
