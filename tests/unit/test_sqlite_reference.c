/* The SQLite engine on files that the reference has written: every row is a record, and the record is that row, byte
 * for byte. */
#include "daemon/row.h"
#include "tests/unit/sqlite_seen.h"

#include <zlib.h>

TestSuite(sqlite_reference, .init = sqlite_scratch_make, .fini = sqlite_seen_remove);

static struct buffer encoded, decoded;
static uint64_t rows_checked;
static bool epochs; /* rows as 2.2.0 wrote them are expected */

static bool same_in_our_words(struct span theirs, struct span ours)
{
	static const char epoch[] = "\"epoch\":", lineage[] = "\"lineage\":";
	const uint8_t *found = memmem(theirs.data, theirs.size, epoch, sizeof(epoch) - 1);
	struct buffer text = BUFFER_EMPTY;
	bool same;

	if (found == NULL)
		return span_equal(theirs, ours);
	size_t before = (size_t)(found - theirs.data);

	buffer_append(&text, theirs.data, before);
	buffer_append(&text, lineage, sizeof(lineage) - 1);
	buffer_append(&text, found + sizeof(epoch) - 1, theirs.size - before - (sizeof(epoch) - 1));
	same = epochs && span_equal(buffer_span(&text), ours);
	buffer_free(&text);
	return same;
}

/* The record of a row, made a row again, is that row, byte for byte. */
static bool check_row(void *context, uint64_t seq, const struct engine_row *row)
{
	struct engine_row back;
	struct record record;
	const char *reason;

	(void)context;
	cr_assert_eq(row_decode(row, &decoded, &record, &reason), 0, "%d: %s", (int)seq, reason);
	cr_assert_eq(row_encode(&record, &encoded, &back), 0);
	cr_assert(span_equal(row->kind, back.kind));
	cr_assert_eq(row->has_payload, back.has_payload);
	cr_assert(same_in_our_words(row->payload, back.payload));
	cr_assert_eq(row->has_blob, back.has_blob);
	cr_assert(!row->has_blob || span_equal(row->blob, back.blob));
	rows_checked++;
	return true;
}

/* Every row of the store: as many as SQL counts. */
static void check_store(const char *meta, const char *records, const char *store, enum layout layout)
{
	const struct engine_tables *tables = find_named(meta, records, store);
	char sql[200];
	const uint8_t *at;

	cr_assert_eq(tables->layout, layout, "layout %d", (int)tables->layout);
	assert_ok(class->take(engine, &failure));
	list(tables, SPAN_NONE, false, SPAN_NONE);
	/* Ids may hold NUL: ask SQL for them instead of taking the listing apart. */
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM \"%s\"",
		 meta != NULL  ? meta
		 : layout == 1 ? "kyneta_meta"
			       : "kyneta_doc_meta");
	cr_assert_eq((unsigned)atoi(file_text(sql)), seen.count);

	sqlite3 *db = other_open(path);
	sqlite3_stmt *statement;

	snprintf(sql, sizeof(sql), "SELECT DISTINCT doc_id FROM \"%s\"", records != NULL ? records : "kyneta_records");
	cr_assert_eq(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	rows_checked = 0;
	assert_ok(class->reader_begin(reader, &failure));
	while (sqlite3_step(statement) == SQLITE_ROW) {
		at = sqlite3_column_text(statement, 0);
		assert_ok(class->reader_rows(reader, tables, span_of(at, (size_t)sqlite3_column_bytes(statement, 0)), 0,
					     UINT64_MAX, check_row, NULL, &failure));
	}
	class->reader_end(reader);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM \"%s\"", records != NULL ? records : "kyneta_records");
	cr_assert_eq((uint64_t)atoi(file_text(sql)), rows_checked);
	cr_assert_gt(rows_checked, 0);
	buffer_free(&encoded);
	buffer_free(&decoded);
}

static const struct {
	const char *name;
	enum layout layout;
	const char *detail;
} FILES[] = {
    {"session-small.v1.db", LAYOUT_1, NULL},
    {"session-small.v2.db", LAYOUT_2, NULL},
    {"versions/v1.6.1.db", LAYOUT_1, NULL},
    {"versions/v2.1.0.db", LAYOUT_2, NULL},
    {"versions/v2.2.0.db", LAYOUT_2, NULL},
    {"versions/v2.3.2.db", LAYOUT_2, NULL},
    {"versions/damaged-v1-opened-by-v2.db", LAYOUT_NONE, "mixed-layouts"},
    {"versions/damaged-v1-written-by-v2.db", LAYOUT_NONE, "mixed-layouts"},
};

static void assert_refused(const char *name, const char *detail)
{
	struct table_names names = named(NULL, NULL, NULL, 0);
	const struct engine_tables *tables;
	struct buffer before = folder_state();

	open_engine();
	cr_assert_eq(class->find(engine, &names, &tables, &failure), ERROR_INCOMPATIBLE_FORMAT, "%s", name);
	cr_assert_str_eq(failure.detail, detail, "%s: %s", name, failure.detail);
	close_engine();
	assert_folder_state(&before, name);
}

Test(sqlite_reference, files_of_the_reference)
{
	for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
		const char *from = fixture(FILES[i].name);

		if (from == NULL)
			cr_skip_test("no fixtures here");
		copy_file(from, path);
		if (FILES[i].detail != NULL) {
			assert_refused(FILES[i].name, FILES[i].detail);
			continue;
		}
		epochs = strstr(FILES[i].name, "v2.2.0") != NULL;
		open_engine();
		assert_ok(class->reader_open(engine, &reader, &failure));
		check_store(NULL, NULL, NULL, FILES[i].layout);
		class->reader_close(reader);
		reader = NULL;
		close_engine();
	}
}

/* A lone surrogate is read as U+FFFD; the rest of such a row and its neighbours as ever. */
Test(sqlite_reference, lone_surrogates_of_the_reference)
{
	const char *from = fixture("session-surrogates.v2.db");
	struct engine_row row = {.kind = SPAN_LITERAL("entry"), .has_payload = true};
	const char *reason;
	struct record record;

	if (from == NULL)
		cr_skip_test("no fixtures here");
	copy_file(from, path);
	const struct engine_tables *tables = store_with_reader();

	read_rows(tables, SPAN_LITERAL("surr"), 1, 2);
	cr_assert_eq(seen.count, 1);
	row.payload = span_of_string((const char *)seen.bytes.data + sizeof("entry"));
	cr_assert_eq(row_decode(&row, &decoded, &record, &reason), 0);
	cr_assert(span_equal(record.version, SPAN_LITERAL("v\xef\xbf\xbd")));
	cr_assert(span_equal(record.data, SPAN_LITERAL("lone high \xef\xbf\xbd x")));
	buffer_free(&decoded);
}

static void unpack_file(const char *from)
{
	gzFile file = gzopen(from, "rb");
	FILE *to = fopen(path, "wb");
	char bytes[65536];
	int size;

	cr_assert_not_null(file);
	cr_assert_not_null(to);
	while ((size = gzread(file, bytes, sizeof(bytes))) > 0)
		cr_assert_eq(fwrite(bytes, 1, (size_t)size, to), (size_t)size);
	cr_assert_eq(size, 0);
	gzclose(file);
	fclose(to);
}

Test(sqlite_reference, three_stores_of_a_recorded_session)
{
	const char *from = fixture("session-exchange.v2.db.gz");

	if (from == NULL)
		cr_skip_test("no fixtures here");
	unpack_file(from);
	open_engine();
	assert_ok(class->reader_open(engine, &reader, &failure));
	check_store(NULL, NULL, NULL, LAYOUT_2);
	cr_assert_eq(rows_checked, 34337);
	check_store("relay_doc_meta", "relay_records", "relay_store_meta", LAYOUT_2);
	cr_assert_eq(rows_checked, 212);
	check_store("bob_doc_meta", "bob_records", "bob_store_meta", LAYOUT_2);
	cr_assert_eq(rows_checked, 939);
}
