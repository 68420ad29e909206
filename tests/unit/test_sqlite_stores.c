/* The SQLite engine: making stores, under whatever names. */
#include "tests/unit/sqlite_scratch.h"

TestSuite(sqlite_stores, .init = sqlite_scratch_make, .fini = sqlite_scratch_remove);

#define META_1 "{\"syncProtocol\":{}}"
#define META_2 "{\"syncMode\":{}}"

/* ---- making a store ---- */

static void assert_made(enum layout layout, const char *meta, const char *records, const char *store)
{
	char sql[300];

	snprintf(sql, sizeof(sql),
		 "SELECT group_concat(name) FROM (SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name)");
	cr_assert_not_null(strstr(file_text(sql), meta));
	cr_assert_not_null(strstr(file_text(sql), records));
	if (layout == LAYOUT_1) {
		cr_assert_null(strstr(file_text(sql), "store"));
		return;
	}
	snprintf(sql, sizeof(sql), "SELECT key || value FROM \"%s\"", store);
	cr_assert_str_eq(file_text(sql), "format{\"major\":1,\"minor\":0}");
}

Test(sqlite_stores, make_layout_1)
{
	const struct engine_tables *tables;

	open_engine();
	tables = use_store(LAYOUT_1);
	cr_assert_eq(tables->layout, LAYOUT_1);
	cr_assert_eq(find_named(NULL, NULL, NULL), tables);
	close_engine();
	assert_made(LAYOUT_1, "kyneta_meta", "kyneta_records", NULL);
}

Test(sqlite_stores, make_layout_2)
{
	const struct engine_tables *tables;

	open_engine();
	tables = use_store(LAYOUT_2);
	cr_assert_eq(tables->layout, LAYOUT_2);
	cr_assert_eq(find_named(NULL, NULL, NULL), tables);
	close_engine();
	assert_made(LAYOUT_2, "kyneta_doc_meta", "kyneta_records", "kyneta_store_meta");
}

#define ODD "x\"; DROP TABLE y; --"

Test(sqlite_stores, odd_names)
{
	static const char *const names[][3] = {
	    {"m", "r", "s"},	{ODD, ODD "r", ODD "s"}, {"select", "table", "from"},
	    {"'", "`", "[]"},	{"%w%s%q", "?1", ":a"},	 {"\xc3\xa9", "\xf0\x9f\x98\x80", "\n\t"},
	    {" ", "  ", "   "},
	};

	other_program("CREATE TABLE y (x)");
	open_engine();
	assert_ok(class->take(engine, &failure));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct engine_tables *tables = find_named(names[i][0], names[i][1], names[i][2]), *again;

		cr_assert_eq(tables->layout_forced, LAYOUT_2);
		begin(true);
		assert_ok(class->create(engine, tables, LAYOUT_2, &tables, &failure));
		put(tables, "doc", 0, "{}");
		put_meta(tables, "doc", META_2);
		commit();
		again = find_named(names[i][0], names[i][1], names[i][2]);
		cr_assert_eq(again, tables);
		cr_assert_eq(again->layout, LAYOUT_2);
		cr_assert_str_eq(again->description, names[i][1]);
	}
	close_engine();
	cr_assert_str_eq(file_text("SELECT count(*) FROM y"), "0");
	cr_assert_str_eq(file_text("SELECT doc_id FROM \"x\"\"; DROP TABLE y; --\""), "doc");
	cr_assert_str_eq(file_text("SELECT seq FROM \"x\"\"; DROP TABLE y; --r\""), "0");
}

Test(sqlite_stores, names_that_cannot_be)
{
	static const char *const bad[][3] = {
	    {"sqlite_x", "r", NULL},
	    {"m", "SQLITE_r", NULL},
	    {"m", "r", "sqlite_"},
	    {"kyneta_stored", "r", NULL},
	    {"m", "m", NULL},
	    {"m", "M", NULL},
	    {"m", "r", "R"},
	    {"s", "r", "S"},
	    {"m", "kyneta_store_meta", NULL},
	    {NULL, "kyneta_doc_meta", NULL},
	    {"m", "kyneta_stored2", NULL},
	};
	struct table_names names = {SPAN_LITERAL("a\0b"), SPAN_NONE, SPAN_NONE, 0, 0};
	const struct engine_tables *tables;

	open_engine();
	cr_assert_eq(class->find(engine, &names, &tables, &failure), ERROR_BAD_ARGUMENT);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		names = named(bad[i][0], bad[i][1], bad[i][2], 0);
		cr_assert_eq(class->find(engine, &names, &tables, &failure), ERROR_BAD_ARGUMENT, "%zu", i);
	}
}

Test(sqlite_stores, key_is_folded_as_sqlite_folds)
{
	open_engine();
	cr_assert_str_eq(find_named("m", "Records\xc3\x89", NULL)->key, "records\xc3\x89");
}

Test(sqlite_stores, rolled_back_store_is_not_made)
{
	const struct engine_tables *none, *made, *again;

	open_engine();
	none = find_named(NULL, NULL, NULL);
	assert_ok(class->take(engine, &failure));
	begin(false);
	assert_ok(class->create(engine, none, LAYOUT_2, &made, &failure));
	put(made, "a", 0, "{}");
	class->rollback(engine);
	cr_assert_eq(find_named(NULL, NULL, NULL), none);
	/* The statements of the first attempt are still good for the second. */
	begin(false);
	assert_ok(class->create(engine, none, LAYOUT_2, &again, &failure));
	cr_assert_eq(again, made);
	put(made, "a", 0, "{}");
	commit();
	cr_assert_str_eq(file_text("SELECT count(*) FROM kyneta_records"), "1");
}

Test(sqlite_stores, another_program_makes_the_store_first)
{
	const struct engine_tables *none, *made = NULL;

	open_engine();
	none = find_named(NULL, NULL, NULL);
	assert_ok(class->take(engine, &failure));
	other_program("CREATE TABLE kyneta_meta (doc_id TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;"
		      "CREATE TABLE kyneta_records (doc_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, "
		      "payload TEXT, "
		      "blob BLOB, PRIMARY KEY (doc_id, seq)) WITHOUT ROWID;");
	begin(false);
	cr_assert_eq(class->create(engine, none, LAYOUT_2, &made, &failure), ERROR_INCOMPATIBLE_FORMAT);
	cr_assert_str_eq(failure.detail, "mixed-layouts");
	cr_assert_null(made);
	assert_ok(class->create(engine, none, LAYOUT_1, &made, &failure));
	cr_assert_eq(made->layout, LAYOUT_1);
	class->rollback(engine);
}

Test(sqlite_stores, another_program_makes_half_a_store_first)
{
	const struct engine_tables *none, *made = NULL;

	open_engine();
	none = find_named(NULL, NULL, NULL);
	assert_ok(class->take(engine, &failure));
	other_program("CREATE TABLE kyneta_records (doc_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, "
		      "payload TEXT, blob BLOB, PRIMARY KEY (doc_id, seq)) WITHOUT ROWID;"
		      "INSERT INTO kyneta_records VALUES ('a', 0, 'meta', '{}', NULL);");
	begin(false);
	cr_assert_eq(class->create(engine, none, LAYOUT_1, &made, &failure), ERROR_INCOMPATIBLE_FORMAT);
	cr_assert_null(made);
	class->rollback(engine);
	cr_assert_str_eq(file_text("SELECT count(*) FROM sqlite_schema WHERE type = 'table'"), "1");
}

Test(sqlite_stores, leftovers_are_completed)
{
	const struct engine_tables *tables;

	other_program("CREATE TABLE kyneta_store_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
		      "INSERT INTO kyneta_store_meta VALUES ('format', '{\"major\":1,\"minor\":4}');");
	open_engine();
	tables = find_named(NULL, NULL, NULL);
	cr_assert_eq(tables->layout_forced, LAYOUT_2);
	assert_ok(class->take(engine, &failure));
	begin(true);
	cr_assert_eq(class->create(engine, tables, LAYOUT_1, &tables, &failure), ERROR_INCOMPATIBLE_FORMAT);
	assert_ok(class->create(engine, tables, LAYOUT_2, &tables, &failure));
	commit();
	cr_assert_eq(find_named(NULL, NULL, NULL)->layout, LAYOUT_2);
	cr_assert_str_eq(file_text("SELECT value FROM kyneta_store_meta"), "{\"major\":1,\"minor\":4}");
}

Test(sqlite_stores, several_stores_in_one_file)
{
	const struct engine_tables *a, *b;

	open_engine();
	a = use_store(LAYOUT_1);
	b = find_named("m", "r", "s");
	begin(true);
	assert_ok(class->create(engine, b, LAYOUT_2, &b, &failure));
	put(a, "doc", 0, "in a");
	put_meta(a, "doc", META_1);
	put(b, "doc", 0, "in b");
	put_meta(b, "doc", META_2);
	commit();
	close_engine();
	open_engine();
	cr_assert_eq(find_named(NULL, NULL, NULL)->layout, LAYOUT_1);
	cr_assert_eq(find_named("m", "r", "s")->layout, LAYOUT_2);
	cr_assert_str_eq(file_text("SELECT payload FROM r"), "in b");
	cr_assert_str_eq(file_text("SELECT payload FROM kyneta_records"), "in a");
}
