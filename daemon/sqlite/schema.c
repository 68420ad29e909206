/*
 * schema: which tables a store has, and making new ones (sqlite.h). Writer thread.
 *
 * Names come from clients and may be any text: they go into SQL between double quotes with quotes doubled (%w), never
 * bare.
 */
#include "daemon/sqlite/sqlite.h"

#include <stdlib.h>
#include <string.h>

static const char FORMAT_ROW[] = "{\"major\":1,\"minor\":0}";

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

/* ---- which store ---- */

/* Looks and decides. Inside a transaction of whatever kind, so that everything seen is one state. */
static int detect(sqlite3 *db, const struct sqlite_names *asked, uint64_t asked_layout, uint64_t noted_layout,
		  struct sqlite_finding *finding, struct failure *failure)
{
	struct sqlite_facts facts;
	int code = sqlite_look(db, asked, asked_layout, noted_layout, &facts, failure);

	if (code == 0)
		code = sqlite_detect(&facts, finding, failure);
	if (code == 0 && finding->layout != LAYOUT_NONE && facts.records.state == TABLE_FILLED)
		code = sqlite_look_at_records(db, asked->records, finding->layout, &facts.records_key, failure);
	if (code == 0 && finding->layout != LAYOUT_NONE)
		code = sqlite_detect_mixed_records(&facts, finding->layout, failure);
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
					  uint64_t asked_layout, const struct sqlite_finding *finding)
{
	for (struct sqlite_tables *each = engine->tables; each != NULL; each = each->next)
		if (each->base.layout == finding->layout && each->base.layout_forced == finding->forced &&
		    each->base.is_there == finding->is_there && each->asked_layout == asked_layout &&
		    names_equal_or_none(each->asked.meta, asked->meta) &&
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
	return asked->meta != NULL ? asked->meta : sqlite_default_meta[layout];
}

/* The tables of a store that was found so: the same object as last time, or a new one. */
static int tables_of(struct sqlite_engine *engine, const struct sqlite_names *asked, uint64_t asked_layout,
		     const struct sqlite_finding *finding, const struct engine_tables **out, struct failure *failure)
{
	struct sqlite_tables *tables = known_tables(engine, asked, asked_layout, finding);
	enum layout layout = finding->layout;
	bool failed = false;

	if (tables != NULL) {
		*out = &tables->base;
		return 0;
	}
	tables = tables_new(engine);
	if (tables == NULL)
		return failure_set(failure, ERROR_IO_ERROR, "out of memory");
	tables->base.layout = layout;
	tables->base.layout_forced = finding->forced;
	tables->base.is_there = finding->is_there;
	tables->base.key = copy_folded(asked->records, &failed);
	tables->base.description = copy(asked->records, &failed);
	for (enum layout each = LAYOUT_1; each <= LAYOUT_2; each++)
		tables->base.metadata[each] = copy(
		    metadata_in(asked, asked_layout, layout != LAYOUT_NONE ? layout : finding->forced, each), &failed);
	tables->base.is_default =
	    sqlite3_stricmp(asked->records, SQLITE_DEFAULT_RECORDS) == 0 && layout != LAYOUT_NONE &&
	    (asked->meta == NULL || sqlite3_stricmp(asked->meta, sqlite_default_meta[layout]) == 0);
	tables->asked_layout = asked_layout;
	tables->asked.meta = copy(asked->meta, &failed);
	tables->asked.records = copy(asked->records, &failed);
	tables->asked.store = copy(asked->store, &failed);
	if (layout != LAYOUT_NONE) {
		tables->found.meta = copy(asked->meta != NULL ? asked->meta : sqlite_default_meta[layout], &failed);
		tables->found.records = copy(asked->records, &failed);
		if (layout == LAYOUT_2)
			tables->found.store = copy(asked->store != NULL ? asked->store : SQLITE_DEFAULT_STORE, &failed);
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
	const char *store = asked->store != NULL ? asked->store : SQLITE_DEFAULT_STORE;
	bool clash = same(asked->records, store);

	for (int layout = asked->store != NULL ? LAYOUT_2 : LAYOUT_1; layout <= LAYOUT_2; layout++) {
		const char *meta = asked->meta != NULL ? asked->meta : sqlite_default_meta[layout];

		clash = clash || same(meta, asked->records) || same(meta, store);
	}
	return clash ? failure_set(failure, ERROR_BAD_ARGUMENT, "two tables of the store would have the same name") : 0;
}

static int take_names(struct sqlite_names *asked, const struct table_names *names, struct failure *failure)
{
	int code = take_name(&asked->records, names->records, SQLITE_DEFAULT_RECORDS, failure);

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
	struct sqlite_finding finding;
	int code = take_names(&asked, names, failure);

	if (code == 0)
		code = sqlite_run(engine, "BEGIN", "look at the tables", failure);
	if (code == 0) {
		sqlite_patience_start(engine, false, 0);
		code = detect(engine->db, &asked, names->layout, names->noted, &finding, failure);
		/* Nothing was written: how this ends makes no difference. */
		sqlite_rollback(base);
	}
	if (code == 0)
		code = tables_of(engine, &asked, names->layout, &finding, tables, failure);
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
	const char *store = asked->store != NULL ? asked->store : SQLITE_DEFAULT_STORE;
	struct sqlite_finding made = {.layout = layout}, found;
	/* Another program may have been quicker: what is there now counts, and what counts is locked. */
	int code = detect(engine->db, asked, tables->asked_layout, 0, &found, failure);
	enum layout other = found.layout != LAYOUT_NONE ? found.layout : found.forced;

	if (code == 0 && other != LAYOUT_NONE && other != layout) {
		code = failure_set(failure, ERROR_INCOMPATIBLE_FORMAT,
				   found.layout != LAYOUT_NONE
				       ? "the tables of %s are there by now, and are of layout %d"
				       : "what is there by now leaves the tables of %s no other layout than %d",
				   tables->base.description, (int)other);
		if (failure != NULL)
			failure->detail = "mixed-layouts";
	}
	if (code == 0)
		code = run_formatted(engine, META_SQL, asked->meta != NULL ? asked->meta : sqlite_default_meta[layout],
				     failure);
	if (code == 0)
		code = run_formatted(engine, RECORDS_SQL, asked->records, failure);
	if (code == 0 && layout == LAYOUT_2)
		code = run_formatted(engine, STORE_SQL, store, failure);
	if (code == 0 && layout == LAYOUT_2)
		code = put_format(engine, store, failure);
	if (code == 0)
		code = tables_of(engine, asked, tables->asked_layout, &made, created, failure);
	return code;
}
