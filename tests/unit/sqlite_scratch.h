/*
 * sqlite_scratch: a database in a folder of its own, for the tests of the SQLite engine; and another program that uses
 * it: a plain connection, which is what SQLite's locks take it for.
 */
#ifndef KYNETA_TESTS_UNIT_SQLITE_SCRATCH_H
#define KYNETA_TESTS_UNIT_SQLITE_SCRATCH_H

#include "daemon/engine.h"
#include "protocol/buffer.h"
#include "tests/unit/scratch.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FIXTURES "/../shared/fixtures/"

static const struct engine_class *const class = &engine_sqlite;
static char folder[SCRATCH_SIZE], path[SCRATCH_SIZE + 16];
static struct engine *engine;
static struct engine_options options;
static struct failure failure;
static unsigned waits; /* calls of options.waiting */
static char waited_for[256];

static inline void count_waits(void *context, const char *what)
{
	(void)context;
	waits++;
	snprintf(waited_for, sizeof(waited_for), "%s", what);
}

static inline void sqlite_scratch_make(void)
{
	scratch_make(folder);
	snprintf(path, sizeof(path), "%s/exchange.db", folder);
	options = (struct engine_options){.path = path,
					  .wal_limit_bytes = 4 << 20,
					  .cache_bytes = 8 << 20,
					  .reader_cache_bytes = 1 << 20,
					  .waiting = count_waits};
	engine = NULL;
	waits = 0;
}

static inline void sqlite_scratch_remove(void)
{
	if (engine != NULL)
		cr_expect_eq(class->close(engine, true, &failure), 0, "%s", failure.message);
	scratch_remove(folder);
}

#define assert_ok(call) cr_assert_eq(call, 0, "%s", failure.message)

static inline void open_engine(void)
{
	assert_ok(class->open(&options, &engine, &failure));
}

static inline void close_engine(void)
{
	assert_ok(class->close(engine, true, &failure));
	engine = NULL;
}

/* ---- the other program ---- */

static inline sqlite3 *other_open(const char *name)
{
	sqlite3 *db;

	cr_assert_eq(sqlite3_open(name, &db), SQLITE_OK);
	return db;
}

static inline void other_run(sqlite3 *db, const char *sql)
{
	char *message = NULL;

	cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, &message), SQLITE_OK, "%s: %s", sql, message);
}

static inline void other_program(const char *sql)
{
	sqlite3 *db = other_open(path);

	other_run(db, sql);
	cr_assert_eq(sqlite3_close(db), SQLITE_OK);
}

/* The first value that @sql gives, as text; valid until the next call. */
static inline const char *other_text(sqlite3 *db, const char *sql)
{
	static char text[4096];
	sqlite3_stmt *statement;

	cr_assert_eq(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
	cr_assert_eq(sqlite3_step(statement), SQLITE_ROW, "%s", sql);
	snprintf(text, sizeof(text), "%s",
		 sqlite3_column_type(statement, 0) == SQLITE_NULL ? "NULL"
								  : (const char *)sqlite3_column_text(statement, 0));
	sqlite3_finalize(statement);
	return text;
}

static inline const char *file_text(const char *sql)
{
	sqlite3 *db = other_open(path);
	const char *text = other_text(db, sql);

	cr_assert_eq(sqlite3_close(db), SQLITE_OK);
	return text;
}

/* ---- files ---- */

static inline void read_whole(const char *name, struct buffer *out)
{
	FILE *file = fopen(name, "rb");
	char bytes[65536];
	size_t size;

	cr_assert_not_null(file, "%s", name);
	while ((size = fread(bytes, 1, sizeof(bytes), file)) > 0)
		buffer_append(out, bytes, size);
	fclose(file);
	cr_assert_not(out->failed);
}

static inline void copy_file(const char *from, const char *to)
{
	struct buffer bytes = BUFFER_EMPTY;
	FILE *file;

	read_whole(from, &bytes);
	file = fopen(to, "wb");
	cr_assert_not_null(file, "%s", to);
	cr_assert_eq(fwrite(bytes.data, 1, bytes.size, file), bytes.size);
	fclose(file);
	buffer_free(&bytes);
}

static inline bool file_there(const char *suffix)
{
	char name[SCRATCH_SIZE + 64];

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	return access(name, F_OK) == 0;
}

static inline int scratch_is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* Every file of the folder, name and bytes: two such texts are equal only if nothing has changed. No connection may be
 * open. */
static inline struct buffer folder_state(void)
{
	struct buffer state = BUFFER_EMPTY;
	struct dirent **entries;
	int count = scandir(folder, &entries, scratch_is_visible, alphasort);

	cr_assert_geq(count, 0);
	for (int i = 0; i < count; i++) {
		char name[SCRATCH_SIZE + 264];

		snprintf(name, sizeof(name), "%s/%s", folder, entries[i]->d_name);
		buffer_append(&state, name, strlen(name) + 1);
		read_whole(name, &state);
		free(entries[i]);
	}
	free(entries);
	return state;
}

static inline void assert_folder_state(struct buffer *before, const char *about)
{
	struct buffer after = folder_state();

	cr_assert(span_equal(buffer_span(before), buffer_span(&after)), "%s: the files have changed", about);
	buffer_free(before);
	buffer_free(&after);
}

/* The path of a fixture, or NULL if there are none here. */
static inline const char *fixture(const char *name)
{
	static char full[512];

	snprintf(full, sizeof(full), "%s" FIXTURES "%s", SOURCE_ROOT, name);
	return access(full, R_OK) == 0 ? full : NULL;
}

/* ---- stores ---- */

static inline struct span maybe(const char *text)
{
	return text == NULL ? SPAN_NONE : span_of_string(text);
}

static inline struct table_names named(const char *meta, const char *records, const char *store, uint64_t layout)
{
	return (struct table_names){maybe(meta), maybe(records), maybe(store), layout, 0};
}

static inline const struct engine_tables *find_named(const char *meta, const char *records, const char *store)
{
	struct table_names names = named(meta, records, store, 0);
	const struct engine_tables *tables;

	assert_ok(class->find(engine, &names, &tables, &failure));
	return tables;
}

static inline void begin(bool synced)
{
	bool foreign;

	assert_ok(class->begin(engine, synced, &foreign, &failure));
}

static inline void commit(void)
{
	assert_ok(class->commit(engine, &failure));
}

/* The default store, taken, and made of @layout if it is not there. */
static inline const struct engine_tables *use_store(enum layout layout)
{
	const struct engine_tables *tables = find_named(NULL, NULL, NULL);

	assert_ok(class->take(engine, &failure));
	if (tables->layout != LAYOUT_NONE)
		return tables;
	begin(true);
	assert_ok(class->create(engine, tables, layout, &tables, &failure));
	commit();
	return tables;
}

static inline void put(const struct engine_tables *tables, const char *document, uint64_t seq, const char *payload)
{
	struct engine_row row = {
	    .kind = SPAN_LITERAL("entry"), .has_payload = true, .payload = span_of_string(payload)};

	assert_ok(class->put_row(engine, tables, span_of_string(document), seq, &row, &failure));
}

static inline void put_meta(const struct engine_tables *tables, const char *document, const char *meta)
{
	assert_ok(class->put_meta(engine, tables, span_of_string(document), span_of_string(meta), &failure));
}

#endif
