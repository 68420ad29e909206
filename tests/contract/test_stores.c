/*
 * Stores: which tables they are, how they come to be, what they get along with, and which are refused.
 */
#include "tests/contract/calls.h"
#include "tests/contract/database.h"
#include "tests/contract/wire.h"

#include <stdio.h>
#include <stdlib.h>

TestSuite(stores, .init = harness_init, .fini = harness_fini, .timeout = 120);

#define TABLES "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'kyneta_stored' ORDER BY name"

/* The layout that hello tells now. */
static int layout_now(void)
{
	kyneta_store *store = store_open();
	int layout = store_layout(store);

	store_leave(store);
	return layout;
}

/* ---- how a store is made ---- */

Test(stores, store_is_made_by_its_first_write)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	cr_assert_eq(store_layout(store), 0);
	EMPTY(store, S("doc"));
	CURRENT(store, S("doc"), NULL);
	NONE_LISTED(store, S(""));
	OK(DELETE(store, S("doc")));
	FAILS(200, APPEND(store, S("doc"), since("v", "x")));
	ROWS(TABLES, "");
	cr_assert_eq(layout_now(), 0);
	OK(APPEND(store, S("doc"), meta(META)));
	ROWS(TABLES, "'kyneta_doc_meta'\n'kyneta_records'\n'kyneta_store_meta'\n");
	cr_assert_eq(layout_now(), 2);
	store_leave(store);
	stored_end(&stored);
}

/* Two that opened it before it was there: both see it afterwards. */
Test(stores, store_that_another_made_is_there)
{
	kyneta_store *store, *other;

	stored_start(&stored, NULL);
	store = store_open();
	other = store_open();
	OK(REPLACE(store, S("doc"), meta(META), since("v", "x")));
	STREAM(other, S("doc"), meta(META), since("v", "x"));
	OK(APPEND(other, S("doc"), since("v", "y")));
	LISTED(other, S(""), S("doc"));
	store_leave(store);
	store_leave(other);
	stored_end(&stored);
}

/* What the tables are, to the letter that other programs look at. */
Test(stores, new_store_has_the_tables_of_layout_2)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	store_leave(store);
	stored_stop(&stored);
	ROWS("SELECT key, value FROM kyneta_store_meta", "'format'|'{\"major\":1,\"minor\":0}'\n");
	ROWS("SELECT name, type, \"notnull\", pk FROM pragma_table_info('kyneta_doc_meta')",
	     "'doc_id'|'TEXT'|1|1\n'data'|'TEXT'|1|0\n");
	ROWS("SELECT name, type, \"notnull\", pk FROM pragma_table_info('kyneta_records')",
	     "'doc_id'|'TEXT'|1|1\n'seq'|'INTEGER'|1|2\n'kind'|'TEXT'|1|0\n'payload'|'TEXT'|0|0\n'blob'|'BLOB'|0|0\n");
	ROWS("SELECT name, type, \"notnull\", pk FROM pragma_table_info('kyneta_store_meta')",
	     "'key'|'TEXT'|1|1\n'value'|'TEXT'|1|0\n");
	ROWS("SELECT name, wr FROM pragma_table_list WHERE name LIKE 'kyneta%' ORDER BY name",
	     "'kyneta_doc_meta'|1\n'kyneta_records'|1\n'kyneta_store_meta'|1\n'kyneta_stored'|1\n");
	ROWS("PRAGMA page_size", "8192\n");
	ROWS("PRAGMA auto_vacuum", "2\n");
	ROWS("PRAGMA encoding", "'UTF-8'\n");
	ROWS("PRAGMA journal_mode", "'wal'\n");
	ROWS("PRAGMA integrity_check", "'ok'\n");
	stored_end(&stored);
}

Test(stores, first_meta_of_1_x_makes_a_store_of_layout_1)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META_V1), since("v", "x")));
	STREAM(store, S("doc"), meta(META_V1), since("v", "x"));
	cr_assert_eq(layout_now(), 1);
	store_leave(store);
	stored_stop(&stored);
	ROWS(TABLES, "'kyneta_meta'\n'kyneta_records'\n");
	stored_restart(&stored);
	cr_assert_eq(layout_now(), 1);
	stored_end(&stored);
}

Test(stores, layout_option_decides_for_a_new_store)
{
	struct kyneta_store_options options = options_for(&stored);
	kyneta_store *store;

	stored_start(&stored, NULL);
	options.layout = 1;
	store = store_open_with(&options);
	FAILS(204, APPEND(store, S("doc"), meta(META)));
	ROWS(TABLES, "");
	OK(APPEND(store, S("doc"), meta(META_V1)));
	store_leave(store);
	ROWS(TABLES, "'kyneta_meta'\n'kyneta_records'\n");
	/* One that exists is used as found. */
	options.layout = 2;
	store = store_open_with(&options);
	cr_assert_eq(store_layout(store), 1);
	OK(APPEND(store, S("doc"), meta(META_V1)));
	store_leave(store);
	stored_end(&stored);
}

Test(stores, layout_2_by_option)
{
	struct kyneta_store_options options = options_for(&stored);
	kyneta_store *store;

	stored_start(&stored, NULL);
	options.layout = 2;
	store = store_open_with(&options);
	FAILS(204, APPEND(store, S("doc"), meta(META_V1)));
	OK(APPEND(store, S("doc"), meta(META)));
	store_leave(store);
	ROWS(TABLES, "'kyneta_doc_meta'\n'kyneta_records'\n'kyneta_store_meta'\n");
	stored_end(&stored);
}

Test(stores, store_named_means_layout_2)
{
	struct kyneta_store_options options = options_named(NULL, NULL, "mine");
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open_with(&options);
	FAILS(204, APPEND(store, S("doc"), meta(META_V1)));
	OK(APPEND(store, S("doc"), meta(META)));
	store_leave(store);
	ROWS(TABLES, "'kyneta_doc_meta'\n'kyneta_records'\n'mine'\n");
	options.layout = 1;
	FAILS(105, store_try(&options));
	stored_end(&stored);
}

/* `meta` names the metadata table of either layout. */
Test(stores, meta_names_the_table_of_either_layout)
{
	struct kyneta_store_options options = options_named("m", "r", NULL);
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open_with(&options);
	OK(APPEND(store, S("doc"), meta(META_V1)));
	store_leave(store);
	ROWS(TABLES, "'m'\n'r'\n");
	stored_stop(&stored);
	stored_restart(&stored);
	store = store_open_with(&options);
	cr_assert_eq(store_layout(store), 1);
	STREAM(store, S("doc"), meta(META_V1));
	store_leave(store);
	stored_end(&stored);
}

/* A store of layout 1 beside the table in which the default one keeps its format: made, and emptied. */
static void make_and_empty(const struct kyneta_store_options *options)
{
	kyneta_store *store = store_open();

	OK(APPEND(store, S("doc"), meta(META)));
	store_leave(store);
	store = store_open_with(options);
	OK(APPEND(store, S("doc"), meta(META_V1)));
	OK(DELETE(store, S("doc")));
	store_leave(store);
}

/* A store whose documents were all deleted is no less there than before, nor of another layout. */
Test(stores, emptied_store_is_there_after_a_restart)
{
	struct kyneta_store_options options = options_named("m", "r", NULL);
	kyneta_store *store;

	stored_start(&stored, NULL);
	make_and_empty(&options);
	stored_stop(&stored);
	stored_restart(&stored);
	options.access = KYNETA_STORE_READ_ONLY;
	store = store_open_with(&options);
	cr_assert_eq(store_layout(store), 1);
	EMPTY(store, S("doc"));
	store_leave(store);
	options.access = KYNETA_STORE_READ_WRITE;
	options.layout = 2;
	store = store_open_with(&options);
	cr_assert_eq(store_layout(store), 1);
	FAILS(204, APPEND(store, S("doc"), meta(META)));
	OK(APPEND(store, S("doc"), meta(META_V1)));
	store_leave(store);
	stored_end(&stored);
}

/* Where neither the tables nor the daemon's own tell which layout it has: its next meta does. */
Test(stores, emptied_store_from_elsewhere_gets_the_layout_of_its_next_meta)
{
	struct kyneta_store_options options = options_named("m", "r", NULL);
	kyneta_store *store;

	stored_start(&stored, NULL);
	make_and_empty(&options);
	stored_stop(&stored);
	database_execute(&stored, "DELETE FROM kyneta_stored");
	stored_restart(&stored);
	options.access = KYNETA_STORE_READ_ONLY;
	store = store_open_with(&options);
	cr_assert_eq(store_layout(store), 0);
	EMPTY(store, S("doc"));
	NONE_LISTED(store, S(""));
	store_leave(store);
	options.access = KYNETA_STORE_READ_WRITE;
	store = store_open_with(&options);
	OK(APPEND(store, S("doc"), meta(META)));
	store_leave(store);
	store = store_open_with(&options);
	cr_assert_eq(store_layout(store), 2);
	STREAM(store, S("doc"), meta(META));
	store_leave(store);
	stored_end(&stored);
}

/* Its format row would be taken for the default store's, which would be refused from then on. */
Test(stores, store_that_would_spoil_another_is_not_made)
{
	struct kyneta_store_options options = options_named("m", "r", NULL);
	kyneta_store *early, *store;

	stored_start(&stored, NULL);
	early = store_open_with(&options);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META_V1)));
	store_leave(store);
	FAILS(504, APPEND(early, S("doc"), meta(META)));
	store_leave(early);
	store = store_open_with(&options);
	REFUSED(204,
		"the metadata has the key syncMode, but with these names, beside what is there, the store can only get "
		"layout 1, whose key is syncProtocol; for layout 2, name each of its tables",
		APPEND(store, S("doc"), meta(META)));
	store_leave(store);
	options = options_named("m", "r", "s");
	store = store_open_with(&options);
	OK(APPEND(store, S("doc"), meta(META)));
	store_leave(store);
	stored_stop(&stored);
	stored_restart(&stored);
	store = store_open();
	STREAM(store, S("doc"), meta(META_V1));
	store_leave(store);
	store = store_open_with(&options);
	STREAM(store, S("doc"), meta(META));
	store_leave(store);
	stored_end(&stored);
}

/* A meta with the other key is refused, and the text says what to do. */
Test(stores, meta_of_the_other_layout_is_refused)
{
	struct kyneta_store_options options = options_named("m1", "r1", NULL);
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	REFUSED(
	    204,
	    "the metadata has the key syncProtocol, but this store has layout 2, whose key is syncMode; migrate the "
	    "store (or the client) first",
	    APPEND(store, S("new"), meta(META_V1)));
	cr_assert_eq(failure.outcome, KYNETA_STORE_NOT_APPLIED);
	FAILS(204, REPLACE(store, S("doc"), meta(META_V1)));
	STREAM(store, S("doc"), meta(META));
	store_leave(store);
	store = store_open_with(&options);
	OK(APPEND(store, S("doc"), meta(META_V1)));
	REFUSED(
	    204,
	    "the metadata has the key syncMode, but this store has layout 1, whose key is syncProtocol; migrate the "
	    "store (or the client) first",
	    APPEND(store, S("new"), meta(META)));
	store_leave(store);
	stored_end(&stored);
}

/* ---- names ---- */

static const char *const odd_names[][3] = {
    {"x\"; DROP TABLE y; --", "r\"; DROP TABLE y; --", "s'; DELETE FROM y; --"},
    {"m [1]", "r `1`", "s (1)"},
    {"select", "table", "index"},
    {"\xc3\xa9 meta", "\xf0\x9f\x98\x80", " "},
    {"m%w%s%n", "r?1", "s:x@y$z"},
};

Test(stores, tables_may_have_any_name)
{
	stored_start(&stored, NULL);
	stored_stop(&stored);
	database_execute(&stored, "CREATE TABLE y (a); INSERT INTO y VALUES (1), (2)");
	stored_restart(&stored);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(odd_names) / sizeof(odd_names[0]); i++) {
			const char *const *names = odd_names[i];
			struct kyneta_store_options options = options_named(names[0], names[1], names[2]);
			kyneta_store *store = store_open_with(&options);

			if (round == 0)
				OK(APPEND(store, S("doc"), meta(META)));
			OK(APPEND(store, S("doc"), since("v", names[1])));
			OK(REPLACE(store, S("doc"), meta(META), since("v", names[0])));
			STREAM(store, S("doc"), meta(META), since("v", names[0]));
			LISTED(store, S("d"), S("doc"));
			OK(DELETE(store, S("doc")));
			OK(APPEND(store, S("doc"), meta(META)));
			store_leave(store);
		}
		stored_stop(&stored);
		stored_restart(&stored);
	}
	stored_stop(&stored);
	ROWS("SELECT * FROM y", "1\n2\n");
	ROWS("SELECT count(*) FROM sqlite_master WHERE type = 'table'", "17\n");
	ROWS("SELECT * FROM \"s'; DELETE FROM y; --\"", "'format'|'{\"major\":1,\"minor\":0}'\n");
	stored_end(&stored);
}

Test(stores, bad_table_names_are_refused)
{
	static const char *const bad[] = {"sqlite_x", "SQLITE_master", "Sqlite_", "kyneta_stored", "KYNETA_stored2"};
	struct hello hello;

	stored_start(&stored, NULL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct kyneta_store_options options = options_named(bad[i], NULL, NULL);

		FAILS(105, store_try(&options));
		options = options_named(NULL, bad[i], NULL);
		FAILS(105, store_try(&options));
		options = options_named(NULL, NULL, bad[i]);
		FAILS(105, store_try(&options));
	}
	hello = hello_plain();
	hello.records_table = S("a\0b");
	cr_assert_eq(wire_refused(&stored, &hello), 105);
	ROWS(TABLES, "");
	stored_end(&stored);
}

/* ---- neighbours ---- */

Test(stores, stores_in_one_file_know_nothing_of_each_other)
{
	struct kyneta_store_options options[] = {options_named(NULL, NULL, NULL), options_named("m2", "r2", "s2"),
						 options_named("m1", "r1", NULL)};
	const char *metas[] = {META, META_WITH("[\"yjs\",5,0]", OTHER_SYNC_MODE, "h"), META_V1};
	kyneta_store *opened[3];

	stored_start(&stored, NULL);
	for (size_t i = 0; i < 3; i++) {
		opened[i] = store_open_with(&options[i]);
		OK(APPEND(opened[i], S("doc"), meta(metas[i])));
		for (size_t n = 0; n < i; n++)
			OK(APPEND(opened[i], S("doc"), since("v", "x")));
	}
	for (size_t i = 0; i < 3; i++) {
		cr_assert_eq(count_records(opened[i], S("doc")), i + 1);
		CURRENT(opened[i], S("doc"), metas[i]);
		OK(APPEND(opened[i], S("other"), meta(metas[i])));
	}
	OK(DELETE(opened[0], S("doc")));
	OK(REPLACE(opened[1], S("doc"), meta(metas[1])));
	LISTED(opened[0], S(""), S("other"));
	LISTED(opened[1], S(""), S("doc"), S("other"));
	STREAM(opened[2], S("doc"), meta(META_V1), since("v", "x"), since("v", "x"));
	for (size_t i = 0; i < 3; i++)
		store_leave(opened[i]);
	stored_end(&stored);
}

/* Names are SQLite's: it does not tell their case apart. */
Test(stores, names_in_another_case_are_the_same_store)
{
	struct kyneta_store_options options = options_named("Meta", "Records", "Store");
	kyneta_store *store, *other;

	stored_start(&stored, NULL);
	store = store_open_with(&options);
	OK(APPEND(store, S("doc"), meta(META)));
	options = options_named("mETA", "RECORDS", "store");
	other = store_open_with(&options);
	OK(APPEND(other, S("doc"), since("v", "x")));
	OK(APPEND(store, S("doc"), since("v", "y")));
	STREAM(other, S("doc"), meta(META), since("v", "x"), since("v", "y"));
	store_leave(store);
	store_leave(other);
	stored_end(&stored);
}

Test(stores, store_named_in_other_words_is_the_same_store_before_it_is_made)
{
	struct kyneta_store_options options = options_named("Meta", "Records", "Store");
	kyneta_store *store, *other;

	stored_start(&stored, NULL);
	/* The default names, said and not said. */
	store = store_open();
	options = options_named(NULL, "kyneta_records", NULL);
	other = store_open_with(&options);
	store_leave(store_open_with(&options));
	OK(APPEND(other, S("doc"), meta(META)));
	OK(APPEND(store, S("doc"), since("v", "x")));
	STREAM(other, S("doc"), meta(META), since("v", "x"));
	store_leave(store);
	store_leave(other);
	/* Another case. */
	options = options_named("Meta", "Records", "Store");
	store = store_open_with(&options);
	options = options_named("mETA", "RECORDS", "store");
	other = store_open_with(&options);
	OK(APPEND(store, S("doc"), meta(META)));
	STREAM(other, S("doc"), meta(META));
	store_leave(store);
	store_leave(other);
	stored_end(&stored);
}

Test(stores, two_stores_share_no_table)
{
	struct kyneta_store_options options = options_named("m", "r", "s");
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open_with(&options);
	OK(APPEND(store, S("doc"), meta(META)));
	options = options_named("m2", "r", "s2");
	cr_assert_neq(store_try(&options), 0);
	STREAM(store, S("doc"), meta(META));
	store_leave(store);
	stored_end(&stored);
}

Test(stores, tables_of_two_stores_are_no_third)
{
	struct kyneta_store_options options = options_named("m", "r", "s");
	kyneta_store *first, *second;

	stored_start(&stored, NULL);
	first = store_open_with(&options);
	OK(APPEND(first, S("doc"), meta(META), since("v", "x")));
	options = options_named("m2", "r2", "s2");
	second = store_open_with(&options);
	OK(APPEND(second, S("other"), meta(META)));
	options = options_named("m2", "r", "s2");
	cr_assert_eq(store_try(&options), KYNETA_STORE_EBAD_ARGUMENT);
	/* Both are as they were, to the clients that have them open. */
	STREAM(first, S("doc"), meta(META), since("v", "x"));
	LISTED(first, S(""), S("doc"));
	LISTED(second, S(""), S("other"));
	store_leave(first);
	store_leave(second);
	stored_end(&stored);
}

Test(stores, more_stores_than_max_stores_are_refused)
{
	struct kyneta_store_options options = options_named("m", "r", "s");
	struct hello hello = hello_plain();
	kyneta_store *store;

	stored_start(&stored, "--max-stores", "1", NULL);
	store = store_open_with(&options);
	OK(APPEND(store, S("doc"), meta(META)));
	cr_assert_eq(wire_refused(&stored, &hello), 400);
	OK(APPEND(store, S("doc"), since("v", "x")));
	store_leave(store);
	stored_end(&stored);
}

Test(stores, other_tables_stay_as_they_are)
{
#define OTHERS                                                                                                         \
	"CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT UNIQUE);"                                               \
	"INSERT INTO notes VALUES (1, 'one'), (2, NULL);"                                                              \
	"CREATE VIEW v AS SELECT text FROM notes; CREATE INDEX i ON notes (text, id);"                                 \
	"CREATE TRIGGER t AFTER DELETE ON notes BEGIN INSERT INTO notes (text) VALUES ('again'); END;"                 \
	"CREATE TABLE kyneta_mine (x); PRAGMA user_version = 77; PRAGMA application_id = 99"
	char *before, *after;
	kyneta_store *store;

	database_execute(&stored, OTHERS);
	before = database_rows(&stored, "SELECT type, name, sql FROM sqlite_master ORDER BY name");
	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	OK(REPLACE(store, S("doc"), meta(META)));
	OK(DELETE(store, S("doc")));
	store_leave(store);
	stored_stop(&stored);
	after = database_rows(&stored, "SELECT type, name, sql FROM sqlite_master WHERE tbl_name NOT IN "
				       "('kyneta_doc_meta', 'kyneta_records', 'kyneta_store_meta', 'kyneta_stored') "
				       "ORDER BY name");
	cr_assert_str_eq(before, after);
	ROWS("SELECT * FROM notes", "1|'one'\n2|NULL\n");
	ROWS("PRAGMA user_version", "77\n");
	ROWS("PRAGMA application_id", "99\n");
	ROWS("PRAGMA page_size", "4096\n"); /* an existing file keeps what it has */
	free(before);
	free(after);
	stored_end(&stored);
#undef OTHERS
}

/* The daemon's own table, and no other: taken away, everything works. */
Test(stores, file_without_the_daemons_table_works)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(REPLACE(store, S("doc"), meta(META), since("v", "x")));
	store_leave(store);
	stored_stop(&stored);
	database_execute(&stored, "DROP TABLE kyneta_stored");
	stored_restart(&stored);
	store = store_open();
	STREAM(store, S("doc"), meta(META), since("v", "x"));
	OK(APPEND(store, S("doc"), since("v", "y")));
	OK(REPLACE(store, S("doc"), meta(META)));
	STREAM(store, S("doc"), meta(META));
	store_leave(store);
	stored_end(&stored);
}
