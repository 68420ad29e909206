/*
 * Files: stores that must not be touched, and those that the reference's releases wrote.
 */
#include "tests/contract/calls.h"
#include "tests/contract/database.h"

#include <stdio.h>
#include <stdlib.h>

TestSuite(files, .init = harness_init, .fini = harness_fini, .timeout = 120);

/* ---- stores that are refused ---- */

/* The default store is refused for this reason, the file stays as it is, and other stores are served. */
static void must_refuse(const char *detail)
{
	struct kyneta_store_options options = options_for(&stored), other = options_named("om", "or", "os");
	size_t size_before, size_after;
	void *before = file_read(stored.database, &size_before), *after;
	kyneta_store *store;

	stored_start(&stored, NULL);
	for (int i = 0; i < 2; i++) {
		FAILS(504, store_try(&options));
		cr_assert_str_eq(failure.detail, detail, "%s: %s", failure.detail, failure.message);
		cr_assert_gt(failure.message_size, 20, "it must say what to do");
	}
	options.access = KYNETA_STORE_READ_ONLY;
	FAILS(504, store_try(&options));
	stored_stop(&stored);
	after = file_read(stored.database, &size_after);
	cr_assert(size_before == size_after && memcmp(before, after, size_before) == 0, "the file was changed");
	free(before);
	free(after);
	/* Another one in the same file. */
	stored_restart(&stored);
	store = store_open_with(&other);
	OK(APPEND(store, S("doc"), meta(META)));
	options.access = KYNETA_STORE_READ_WRITE;
	FAILS(504, store_try(&options));
	STREAM(store, S("doc"), meta(META));
	store_leave(store);
	stored_end(&stored);
}

static void copy_fixture(const char *name)
{
	const char *path = fixture_path(name);

	if (path == NULL)
		cr_skip_test("%s is not on this machine", name);
	file_copy(path, stored.database);
}

/* Layout 2, as a package writes it. */
#define LAYOUT_2_TABLES                                                                                                \
	"CREATE TABLE kyneta_doc_meta (doc_id TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;"                    \
	"CREATE TABLE kyneta_records (doc_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, payload TEXT, "  \
	"blob BLOB, PRIMARY KEY (doc_id, seq)) WITHOUT ROWID;"                                                         \
	"CREATE TABLE kyneta_store_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
#define DOCUMENT_ROWS                                                                                                  \
	"INSERT INTO kyneta_doc_meta VALUES ('doc', '" META "');"                                                      \
	"INSERT INTO kyneta_records VALUES ('doc', 0, 'meta', '" META "', NULL);"
#define FORMAT_ROW(value) "INSERT INTO kyneta_store_meta VALUES ('format', '" value "');"

Test(files, file_opened_by_2_x_is_refused)
{
	copy_fixture("versions/damaged-v1-opened-by-v2.db");
	must_refuse("mixed-layouts");
}

Test(files, file_written_by_2_x_is_refused)
{
	copy_fixture("versions/damaged-v1-written-by-v2.db");
	must_refuse("mixed-layouts");
}

Test(files, wrong_major_is_refused)
{
	database_execute(&stored, LAYOUT_2_TABLES DOCUMENT_ROWS FORMAT_ROW("{\"major\":2,\"minor\":0}"));
	must_refuse("incompatible-major");
}

Test(files, malformed_format_row_is_refused)
{
	database_execute(&stored, LAYOUT_2_TABLES DOCUMENT_ROWS FORMAT_ROW("1.0"));
	must_refuse("malformed-version");
}

Test(files, unversioned_data_is_refused)
{
	database_execute(&stored, LAYOUT_2_TABLES DOCUMENT_ROWS);
	must_refuse("unversioned-existing-data");
}

Test(files, records_without_their_metadata_are_refused)
{
	database_execute(&stored, LAYOUT_2_TABLES DOCUMENT_ROWS FORMAT_ROW(
				      "{\"major\":1,\"minor\":0}") "DELETE FROM kyneta_doc_meta");
	must_refuse("mixed-layouts");
}

Test(files, records_whose_metadata_table_is_gone_are_refused)
{
	database_execute(&stored, LAYOUT_2_TABLES DOCUMENT_ROWS FORMAT_ROW(
				      "{\"major\":1,\"minor\":0}") "DROP TABLE kyneta_doc_meta");
	must_refuse("mixed-layouts");
}

Test(files, table_of_another_shape_is_refused)
{
	database_execute(&stored, "CREATE TABLE kyneta_records (doc_id TEXT, seq INTEGER)");
	must_refuse("foreign-table");
}

Test(files, table_with_rowids_is_refused)
{
	database_execute(&stored, "CREATE TABLE kyneta_doc_meta (doc_id TEXT PRIMARY KEY, data TEXT NOT NULL)");
	must_refuse("foreign-table");
}

Test(files, rules_hold_for_chosen_names_too)
{
	struct kyneta_store_options options = options_named("m", "r", "s");
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open_with(&options);
	OK(APPEND(store, S("doc"), meta(META)));
	store_leave(store);
	stored_stop(&stored);
	database_execute(&stored, "UPDATE s SET value = '{\"major\":3,\"minor\":0}'");
	stored_restart(&stored);
	FAILS(504, store_try(&options));
	cr_assert_str_eq(failure.detail, "incompatible-major");
	stored_stop(&stored);
	database_execute(&stored, "UPDATE s SET value = 'nonsense'");
	stored_restart(&stored);
	FAILS(504, store_try(&options));
	cr_assert_str_eq(failure.detail, "malformed-version");
	stored_stop(&stored);
	database_execute(&stored, "DELETE FROM s");
	stored_restart(&stored);
	FAILS(504, store_try(&options));
	cr_assert_str_eq(failure.detail, "unversioned-existing-data");
	stored_end(&stored);
}

Test(files, minor_of_the_format_never_matters)
{
	kyneta_store *store;

	database_execute(&stored, LAYOUT_2_TABLES DOCUMENT_ROWS FORMAT_ROW("{\"major\":1,\"minor\":99}"));
	stored_start(&stored, NULL);
	store = store_open();
	STREAM(store, S("doc"), meta(META));
	OK(APPEND(store, S("doc"), since("v", "x")));
	store_leave(store);
	stored_stop(&stored);
	ROWS("SELECT value FROM kyneta_store_meta", "'{\"major\":1,\"minor\":99}'\n");
	stored_end(&stored);
}

Test(files, file_that_is_not_sqlite_ends_the_daemon)
{
	static const char text[1024] = "this is a text and no database, though it is long enough to be one";

	file_write(stored.database, text, sizeof(text));
	stored_launch(&stored);
	cr_assert_eq(stored_wait(&stored), 1);
	cr_assert(stored_has_said(&stored, "it is not a SQLite database"));
	stored_end(&stored);
}

/* ---- files that the reference's releases wrote ---- */

/* The four documents that every version file holds; texts differ by the release. */
static void must_serve(const char *name, int layout, const char *lineage)
{
	kyneta_store *store;
	char *before;
	const char *all = "SELECT doc_id, seq, kind, payload, blob FROM kyneta_records WHERE doc_id <> 'new' "
			  "ORDER BY doc_id, seq";

	copy_fixture(name);
	before = database_rows(&stored, all);
	stored_start(&stored, NULL);
	store = store_open();
	cr_assert_eq(store_layout(store), layout);
	LISTED(store, S(""), S("eph/1"), S("plain/1"), S("plain/2"), S("yjs/1"));
	LISTED(store, S("plain/"), S("plain/1"), S("plain/2"));
	cr_assert_eq(count_records(store, S("plain/1")), 4);
	cr_assert_eq(count_records(store, S("yjs/1")), 3);
	cr_assert_eq(count_records(store, S("eph/1")), 2);
	cr_assert_eq(count_records(store, S("plain/2")), 2);
	cr_assert_eq(stored_has_said(&stored, "error:"), false);
	/* It is written in its own layout, and what was there stays to the byte. */
	OK(APPEND(store, S("new"), meta(layout == 1 ? META_V1 : META), since("v", "x")));
	FAILS(204, APPEND(store, S("new"), meta(layout == 1 ? META : META_V1)));
	STREAM(store, S("new"), meta(layout == 1 ? META_V1 : META), since("v", "x"));
	store_leave(store);
	stored_stop(&stored);
	ROWS(all, before);
	ROWS("PRAGMA integrity_check", "'ok'\n");
	if (lineage != NULL)
		cr_assert_not_null(strstr(before, lineage));
	free(before);
	stored_end(&stored);
}

Test(files, file_of_1_6_1_is_served)
{
	must_serve("versions/v1.6.1.db", 1, NULL);
}

Test(files, file_of_2_1_0_is_served)
{
	must_serve("versions/v2.1.0.db", 2, NULL);
}

Test(files, file_of_2_2_0_is_served)
{
	must_serve("versions/v2.2.0.db", 2, "\"epoch\":\"4e920da5e77fffec\"");
}

Test(files, file_of_2_3_2_is_served)
{
	must_serve("versions/v2.3.2.db", 2, "\"lineage\":\"4e920da5e77fffec\"");
}

/* The golden files of a whole session: every document is read, and the file is not changed by that. */
static bool read_one(void *context, const char *id, size_t id_size)
{
	size_t *counts = context;
	kyneta_store *other = store_open();

	counts[0]++;
	counts[1] += count_records(other, span_of(id, id_size));
	store_leave(other);
	return true;
}

static void must_serve_golden(const char *name, int layout)
{
	const char *all = "SELECT * FROM kyneta_records ORDER BY doc_id, seq";
	size_t counts[2] = {0, 0};
	kyneta_store *store;
	char *before;

	copy_fixture(name);
	before = database_rows(&stored, all);
	stored_start(&stored, NULL);
	store = store_open();
	cr_assert_eq(store_layout(store), layout);
	OK(kyneta_store_list_doc_ids(store, "", 0, read_one, counts, &failure));
	cr_assert_eq(counts[0], 39);
	cr_assert_eq(counts[1], 95);
	store_leave(store);
	stored_stop(&stored);
	ROWS(all, before);
	free(before);
	stored_end(&stored);
}

Test(files, golden_file_of_layout_1_is_served)
{
	must_serve_golden("session-small.v1.db", 1);
}

Test(files, golden_file_of_layout_2_is_served)
{
	must_serve_golden("session-small.v2.db", 2);
}

/* Lone surrogates as a real host left them. */
Test(files, golden_files_with_surrogates_are_served)
{
	kyneta_store *store;

	copy_fixture("session-surrogates.v2.db");
	stored_start(&stored, NULL);
	store = store_open();
	{
		size_t counts[2] = {0, 0};

		OK(kyneta_store_list_doc_ids(store, "", 0, read_one, counts, &failure));
		cr_assert_eq(counts[0], (size_t)database_number(&stored, "SELECT count(*) FROM kyneta_doc_meta"));
		cr_assert_eq(counts[1], (size_t)database_number(&stored, "SELECT count(*) FROM kyneta_records"));
	}
	store_leave(store);
	stored_end(&stored);
}
