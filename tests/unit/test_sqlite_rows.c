/* The SQLite engine: rows, metadata, own rows, pages and listings. */
#include "tests/unit/sqlite_seen.h"

#define META_2 "{\"syncMode\":{}}"

/* What writer and reader say of a document must be the same. */
static void assert_document(const struct engine_tables *tables, struct span document, const char *meta, uint64_t next)
{
	struct buffer by_writer = BUFFER_EMPTY, by_reader = BUFFER_EMPTY;
	uint64_t writer_next = 77, reader_next = 77;
	bool writer_found, reader_found;

	assert_ok(class->get_document(engine, tables, document, &writer_found, &by_writer, &writer_next, &failure));
	assert_ok(class->reader_begin(reader, &failure));
	assert_ok(
	    class->reader_get_document(reader, tables, document, &reader_found, &by_reader, &reader_next, &failure));
	class->reader_end(reader);
	cr_assert_eq(writer_found, meta != NULL);
	cr_assert_eq(reader_found, meta != NULL);
	cr_assert_eq(writer_next, next, "next %d", (int)writer_next);
	cr_assert_eq(reader_next, next);
	if (meta != NULL) {
		cr_assert(span_equal(buffer_span(&by_writer), span_of_string(meta)));
		cr_assert(span_equal(buffer_span(&by_reader), span_of_string(meta)));
	}
	buffer_free(&by_writer);
	buffer_free(&by_reader);
}

TestSuite(sqlite_rows, .init = sqlite_scratch_make, .fini = sqlite_seen_remove);

/* ---- documents ---- */

Test(sqlite_rows, unknown_document)
{
	const struct engine_tables *tables = store_with_reader();

	assert_document(tables, SPAN_LITERAL("nobody"), NULL, 0);
	read_rows(tables, SPAN_LITERAL("nobody"), 0, UINT64_MAX);
	cr_assert_eq(seen.count, 0);
}

Test(sqlite_rows, store_that_is_not_made_is_empty)
{
	const struct engine_tables *tables;

	open_engine();
	tables = find_named(NULL, NULL, NULL);
	assert_ok(class->take(engine, &failure));
	assert_ok(class->reader_open(engine, &reader, &failure));
	assert_document(tables, SPAN_LITERAL("a"), NULL, 0);
	read_rows(tables, SPAN_LITERAL("a"), 0, UINT64_MAX);
	list(tables, SPAN_NONE, false, SPAN_NONE);
	cr_assert_eq(seen.count, 0);
	begin(true);
	assert_ok(class->delete_rows(engine, tables, SPAN_LITERAL("a"), &failure));
	assert_ok(class->delete_meta(engine, tables, SPAN_LITERAL("a"), &failure));
	commit();
	cr_assert_str_eq(file_text("SELECT count(*) FROM sqlite_schema"), "0");
}

Test(sqlite_rows, written_replaced_deleted)
{
	const struct engine_tables *tables = store_with_reader();
	struct span a = SPAN_LITERAL("a");

	begin(true);
	put(tables, "a", 0, "zero");
	put_meta(tables, "a", "first");
	put(tables, "a", 1, "one");
	put_meta(tables, "a", "second");
	put(tables, "b", 0, "other");
	put_meta(tables, "b", "b");
	commit();
	assert_document(tables, a, "second", 2);
	read_rows(tables, a, 0, UINT64_MAX);
	assert_seen("entry\0zero\0(none)\0entry\0one\0(none)\0");

	begin(true);
	assert_ok(class->delete_rows(engine, tables, a, &failure));
	put(tables, "a", 0, "new");
	commit();
	assert_document(tables, a, "second", 1);

	begin(true);
	assert_ok(class->delete_rows(engine, tables, a, &failure));
	assert_ok(class->delete_meta(engine, tables, a, &failure));
	assert_ok(class->delete_meta(engine, tables, a, &failure));
	commit();
	assert_document(tables, a, NULL, 0);
	assert_document(tables, SPAN_LITERAL("b"), "b", 1);
}

static uint64_t bytes_of(const struct engine_tables *tables, const char *document)
{
	uint64_t bytes = 77;

	assert_ok(class->document_bytes(engine, tables, span_of_string(document), &bytes, &failure));
	return bytes;
}

static void assert_store_bytes(const struct engine_tables *tables, uint64_t bytes, uint64_t documents)
{
	uint64_t found_bytes = 77, found_documents = 77;

	assert_ok(class->store_bytes(engine, tables, &found_bytes, &found_documents, &failure));
	cr_assert_eq(found_bytes, bytes, "%d bytes", (int)found_bytes);
	cr_assert_eq(found_documents, documents, "%d documents", (int)found_documents);
}

Test(sqlite_rows, bytes_of_a_document_and_of_a_store_are_counted)
{
	struct engine_row row = {.kind = SPAN_LITERAL("entry"), .has_blob = true, .blob = SPAN_LITERAL("\0\xff\0")};
	const struct engine_tables *tables;

	open_engine();
	tables = find_named(NULL, NULL, NULL);
	cr_assert_eq(bytes_of(tables, "a"), 0);
	assert_store_bytes(tables, 0, 0);
	tables = use_store(LAYOUT_2);
	assert_store_bytes(tables, 0, 0);
	begin(true);
	put(tables, "\xc3\xa4", 0, "\xe2\x82\xac"); /* bytes, not characters */
	put(tables, "b", 0, "");
	assert_ok(class->put_row(engine, tables, SPAN_LITERAL("b"), 1, &row, &failure));
	row = (struct engine_row){.kind = SPAN_LITERAL("entry")};
	assert_ok(class->put_row(engine, tables, SPAN_LITERAL("b"), 2, &row, &failure));
	put_meta(tables, "b", "{}");
	/* The writer sees its own changes. */
	cr_assert_eq(bytes_of(tables, "\xc3\xa4"), 2 + 3);
	cr_assert_eq(bytes_of(tables, "b"), 1 + 1 + 3 + 1);
	cr_assert_eq(bytes_of(tables, "c"), 0);
	assert_store_bytes(tables, 2 + 3 + 1 + 1 + 3 + 1 + 1 + 2, 1);
	commit();
	assert_store_bytes(tables, 2 + 3 + 1 + 1 + 3 + 1 + 1 + 2, 1);
}

Test(sqlite_rows, writer_sees_its_own_changes_before_the_commit_and_readers_do_not)
{
	const struct engine_tables *tables = store_with_reader();
	struct buffer meta = BUFFER_EMPTY;
	uint64_t next;
	bool found;

	begin(true);
	put(tables, "a", 0, "x");
	put_meta(tables, "a", META_2);
	assert_ok(class->get_document(engine, tables, SPAN_LITERAL("a"), &found, &meta, &next, &failure));
	cr_assert(found);
	cr_assert_eq(next, 1);
	buffer_free(&meta);
	read_rows(tables, SPAN_LITERAL("a"), 0, UINT64_MAX);
	cr_assert_eq(seen.count, 0);
	commit();
	read_rows(tables, SPAN_LITERAL("a"), 0, UINT64_MAX);
	cr_assert_eq(seen.count, 1);
}

Test(sqlite_rows, one_snapshot_is_one_state)
{
	const struct engine_tables *tables = store_with_reader();
	struct buffer meta = BUFFER_EMPTY;
	uint64_t next;
	bool found;

	begin(true);
	put(tables, "a", 0, "x");
	commit();
	assert_ok(class->reader_begin(reader, &failure));
	assert_ok(class->reader_get_document(reader, tables, SPAN_LITERAL("a"), &found, &meta, &next, &failure));
	begin(true);
	put(tables, "a", 1, "y");
	commit();
	assert_ok(class->reader_rows(reader, tables, SPAN_LITERAL("a"), 0, UINT64_MAX, see_row, NULL, &failure));
	class->reader_end(reader);
	cr_assert_eq(seen.count, next);
	read_rows(tables, SPAN_LITERAL("a"), 0, UINT64_MAX);
	cr_assert_eq(seen.count, 2);
}

Test(sqlite_rows, seq_is_the_last_and_one)
{
	const struct engine_tables *tables = store_with_reader();

	other_program(
	    "INSERT INTO kyneta_records VALUES ('gap', 0, 'meta', '{}', NULL), ('gap', 41, 'meta', '{}', NULL),"
	    "('negative', -7, 'meta', '{}', NULL), ('last', 9223372036854775806, 'meta', '{}', NULL),"
	    "('full', 9223372036854775807, 'meta', '{}', NULL), ('text', 'abc', 'meta', '{}', NULL)");
	assert_document(tables, SPAN_LITERAL("gap"), NULL, 42);
	assert_document(tables, SPAN_LITERAL("negative"), NULL, 0);
	assert_document(tables, SPAN_LITERAL("last"), NULL, INT64_MAX);
	struct buffer meta = BUFFER_EMPTY;
	uint64_t next;
	bool found;

	cr_assert_eq(class->get_document(engine, tables, SPAN_LITERAL("full"), &found, &meta, &next, &failure),
		     ERROR_CORRUPT);
	cr_assert_eq(class->get_document(engine, tables, SPAN_LITERAL("text"), &found, &meta, &next, &failure),
		     ERROR_CORRUPT);
}

Test(sqlite_rows, damaged_metadata)
{
	const struct engine_tables *tables = store_with_reader();
	struct buffer meta = BUFFER_EMPTY;
	uint64_t next;
	bool found;

	other_program("INSERT INTO kyneta_doc_meta VALUES ('blob', x'7b7d'), ('bytes', CAST(x'ff' AS TEXT))");
	cr_assert_eq(class->get_document(engine, tables, SPAN_LITERAL("blob"), &found, &meta, &next, &failure),
		     ERROR_CORRUPT);
	cr_assert_eq(class->get_document(engine, tables, SPAN_LITERAL("bytes"), &found, &meta, &next, &failure),
		     ERROR_CORRUPT);
	cr_assert_eq(meta.size, 0);
}

/* ---- ids and values ---- */

Test(sqlite_rows, ids_of_all_kinds)
{
	const struct engine_tables *tables = store_with_reader();
	char *long_id = malloc(5001);

	memset(long_id, 'l', 5000);
	long_id[5000] = '\0';
	const struct span ids[] = {
	    SPAN_NONE,
	    SPAN_LITERAL(""),
	    SPAN_LITERAL("\0"),
	    SPAN_LITERAL("a\0"),
	    SPAN_LITERAL("a\0b"),
	    SPAN_LITERAL("a"),
	    SPAN_LITERAL("A"),
	    SPAN_LITERAL("%_\\'\""),
	    SPAN_LITERAL("\xc3\xa9"),
	    SPAN_LITERAL("e\xcc\x81"),
	    SPAN_LITERAL("\xe2\x80\xa8"),
	    SPAN_LITERAL("\xf0\x9f\x98\x80"),
	    span_of(long_id, 4999),
	    span_of(long_id, 5000),
	};
	size_t count = sizeof(ids) / sizeof(ids[0]);

	begin(true);
	for (size_t i = 1; i < count; i++) {
		char text[16];
		struct engine_row row = {.kind = SPAN_LITERAL("meta"), .has_payload = true};

		snprintf(text, sizeof(text), "%zu", i);
		row.payload = span_of_string(text);
		assert_ok(class->put_row(engine, tables, ids[i], i, &row, &failure));
		assert_ok(class->put_meta(engine, tables, ids[i], row.payload, &failure));
	}
	commit();
	for (size_t i = 0; i < count; i++) {
		char text[16];

		snprintf(text, sizeof(text), "%zu", i == 0 ? 1 : i);
		assert_document(tables, ids[i], text, (i == 0 ? 1 : i) + 1);
	}
	list(tables, SPAN_NONE, false, SPAN_NONE);
	cr_assert_eq(seen.count, count - 1);
	cr_assert_str_eq(file_text("SELECT count(*) FROM kyneta_records WHERE typeof(doc_id) = 'text'"), "13");
	free(long_id);
}

Test(sqlite_rows, values_of_all_kinds)
{
	const struct engine_tables *tables = store_with_reader();
	struct span a = SPAN_LITERAL("a");
	struct engine_row rows[] = {
	    {.kind = SPAN_LITERAL("entry"),
	     .has_payload = true,
	     .payload = SPAN_NONE,
	     .has_blob = true,
	     .blob = SPAN_NONE},
	    {.kind = SPAN_LITERAL("entry"), .has_payload = true, .payload = SPAN_LITERAL("nul \0 within")},
	    {.kind = SPAN_LITERAL("entry"), .has_payload = false, .has_blob = true, .blob = SPAN_LITERAL("\0\xff")},
	    {.kind = SPAN_LITERAL(""), .has_payload = true, .payload = SPAN_LITERAL("x")},
	};

	begin(true);
	for (uint64_t i = 0; i < 4; i++)
		assert_ok(class->put_row(engine, tables, a, i, &rows[i], &failure));
	commit();
	read_rows(tables, a, 0, UINT64_MAX);
	assert_seen("entry\0\0\0entry\0nul \0 within\0(none)\0entry\0(none)\0\0\xff\0\0x\0(none)\0");
	cr_assert_str_eq(file_text("SELECT group_concat(typeof(payload) || typeof(blob)) FROM kyneta_records"),
			 "textblob,textnull,nullblob,textnull");
	cr_assert_str_eq(file_text("SELECT length(blob) FROM kyneta_records WHERE seq = 0"), "0");
}

Test(sqlite_rows, row_beyond_what_the_database_can_hold)
{
	const struct engine_tables *tables = store_with_reader();
	/* Never touched: SQLite refuses by the size. */
	static const uint8_t byte;
	struct engine_row row = {.kind = SPAN_LITERAL("entry"), .has_payload = true, .payload = SPAN_LITERAL("{}")};

	row.has_blob = true;
	row.blob = span_of(&byte, 1000000001);
	begin(true);
	put(tables, "a", 0, "x");
	cr_assert_eq(class->put_row(engine, tables, SPAN_LITERAL("a"), 1, &row, &failure), ERROR_TOO_LARGE);
	row.blob = span_of(&byte, (size_t)5 << 30);
	cr_assert_eq(class->put_row(engine, tables, SPAN_LITERAL("a"), 1, &row, &failure), ERROR_TOO_LARGE);
	cr_assert_eq(class->put_meta(engine, tables, SPAN_LITERAL("a"), span_of(&byte, 1000000001), &failure),
		     ERROR_TOO_LARGE);
	cr_assert_not(failure.fatal);
	cr_assert(class->in_transaction(engine));
	put(tables, "a", 1, "y");
	commit();
	assert_document(tables, SPAN_LITERAL("a"), NULL, 2);
}

/* ---- pages ---- */

Test(sqlite_rows, ranges_and_stopping)
{
	const struct engine_tables *tables = store_with_reader();
	struct span a = SPAN_LITERAL("a");

	begin(true);
	for (uint64_t seq = 0; seq < 10; seq++) {
		char text[8];

		snprintf(text, sizeof(text), "%d", (int)seq);
		put(tables, "a", seq, text);
		put(tables, "a\1", seq, "another");
	}
	commit();
	read_rows(tables, a, 3, 5);
	assert_seen("entry\0"
		    "3\0(none)\0entry\0"
		    "4\0(none)\0");
	read_rows(tables, a, 8, 100);
	cr_assert_eq(seen.count, 2);
	read_rows(tables, a, 5, 5);
	cr_assert_eq(seen.count, 0);
	read_rows(tables, a, UINT64_MAX, UINT64_MAX);
	cr_assert_eq(seen.count, 0);
	seen.stop_after = 4;
	read_rows(tables, a, 2, UINT64_MAX);
	cr_assert_eq(seen.count, 4);
	cr_assert_eq(seen.last_seq, 5);
	/* What was left in the middle does not show in the next. */
	seen.stop_after = 0;
	read_rows(tables, a, 0, 2);
	assert_seen("entry\0"
		    "0\0(none)\0entry\0"
		    "1\0(none)\0");
}

/* ---- listings ---- */

Test(sqlite_rows, listing_by_prefix)
{
	const struct engine_tables *tables = store_with_reader();
	static const struct span ids[] = {
	    {(const uint8_t *)"", 0},
	    {(const uint8_t *)"A", 1},
	    {(const uint8_t *)"a", 1},
	    {(const uint8_t *)"a\0", 2},
	    {(const uint8_t *)"a\0b", 3},
	    {(const uint8_t *)"a%", 2},
	    {(const uint8_t *)"a/b", 3},
	    {(const uint8_t *)"a_", 2},
	    {(const uint8_t *)"ab", 2},
	    {(const uint8_t *)"b", 1},
	    {(const uint8_t *)"\xc3\xa9", 2},
	    {(const uint8_t *)"\xf4\x8f\xbf\xbf", 4},
	    {(const uint8_t *)"\xf4\x8f\xbf\xbf!", 5},
	};

	begin(true);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		assert_ok(class->put_meta(engine, tables, ids[i], SPAN_LITERAL("{}"), &failure));
	commit();

	list(tables, SPAN_NONE, false, SPAN_NONE);
	assert_seen("\0A\0a\0a\0\0a\0b\0a%\0a/b\0a_\0ab\0b\0\xc3\xa9\0\xf4\x8f\xbf\xbf\0\xf4\x8f\xbf\xbf!\0");
	list(tables, SPAN_LITERAL("a"), false, SPAN_NONE);
	assert_seen("a\0a\0\0a\0b\0a%\0a/b\0a_\0ab\0");
	list(tables, SPAN_LITERAL("a\0"), false, SPAN_NONE);
	assert_seen("a\0\0a\0b\0");
	list(tables, SPAN_LITERAL("a%"), false, SPAN_NONE);
	assert_seen("a%\0");
	list(tables, SPAN_LITERAL("a_"), false, SPAN_NONE);
	assert_seen("a_\0");
	list(tables, SPAN_LITERAL("\xf4\x8f\xbf\xbf"), false, SPAN_NONE);
	assert_seen("\xf4\x8f\xbf\xbf\0\xf4\x8f\xbf\xbf!\0");
	/* The bytes of a character's beginning: no valid text, but a prefix. */
	list(tables, SPAN_LITERAL("\xc3"), false, SPAN_NONE);
	assert_seen("\xc3\xa9\0");
	list(tables, SPAN_LITERAL("\xff"), false, SPAN_NONE);
	cr_assert_eq(seen.count, 0);
	list(tables, SPAN_LITERAL("zz"), false, SPAN_NONE);
	cr_assert_eq(seen.count, 0);

	list(tables, SPAN_NONE, true, SPAN_LITERAL("b"));
	assert_seen("\xc3\xa9\0\xf4\x8f\xbf\xbf\0\xf4\x8f\xbf\xbf!\0");
	list(tables, SPAN_NONE, true, SPAN_NONE);
	cr_assert_eq(seen.count, 12);
	list(tables, SPAN_LITERAL("a"), true, SPAN_LITERAL("a%"));
	assert_seen("a/b\0a_\0ab\0");
	list(tables, SPAN_LITERAL("a"), true, SPAN_LITERAL("a%x"));
	assert_seen("a/b\0a_\0ab\0");
	list(tables, SPAN_LITERAL("a"), true, SPAN_LITERAL("A"));
	assert_seen("a\0a\0\0a\0b\0a%\0a/b\0a_\0ab\0");
	list(tables, SPAN_LITERAL("a"), true, SPAN_LITERAL("a"));
	assert_seen("a\0\0a\0b\0a%\0a/b\0a_\0ab\0");
	list(tables, SPAN_LITERAL("a"), true, SPAN_LITERAL("b"));
	cr_assert_eq(seen.count, 0);
	seen.stop_after = 2;
	list(tables, SPAN_LITERAL("a"), false, SPAN_NONE);
	assert_seen("a\0a\0\0");
}

Test(sqlite_rows, listing_by_pages_is_the_listing)
{
	const struct engine_tables *tables = store_with_reader();
	struct buffer last = BUFFER_EMPTY, all = BUFFER_EMPTY;
	bool has_last = false;

	begin(true);
	for (int i = 0; i < 300; i++) {
		char id[16];

		snprintf(id, sizeof(id), "%d", i * 7919 % 300);
		put_meta(tables, id, "{}");
	}
	commit();
	do {
		seen.stop_after = 7;
		list(tables, SPAN_LITERAL("1"), has_last, buffer_span(&last));
		seen.stop_after = 0;
		buffer_append(&all, seen.bytes.data, seen.bytes.size);
		buffer_reset(&last);
		for (size_t at = seen.bytes.size; seen.count > 0 && at > 0; at--)
			if (at == 1 || seen.bytes.data[at - 2] == 0) {
				buffer_append(&last, seen.bytes.data + at - 1, seen.bytes.size - at);
				if (at - 1 < seen.bytes.size - 1)
					break;
				buffer_reset(&last);
			}
		has_last = true;
	} while (seen.count == 7);
	list(tables, SPAN_LITERAL("1"), false, SPAN_NONE);
	cr_assert_eq(seen.count, 111);
	cr_assert(span_equal(buffer_span(&all), buffer_span(&seen.bytes)));
	buffer_free(&last);
	buffer_free(&all);
}

Test(sqlite_rows, listing_with_damaged_ids)
{
	const struct engine_tables *tables = store_with_reader();

	other_program("INSERT INTO kyneta_doc_meta VALUES ('a', '{}'), (x'6162', '{}')");
	list(tables, SPAN_NONE, false, SPAN_NONE);
	assert_seen("a\0");
	other_program("INSERT INTO kyneta_doc_meta VALUES (CAST(x'ff' AS TEXT), '{}')");
	assert_ok(class->reader_begin(reader, &failure));
	cr_assert_eq(class->reader_documents(reader, tables, SPAN_NONE, false, SPAN_NONE, see_document, NULL, &failure),
		     ERROR_CORRUPT);
	class->reader_end(reader);
}

/* ---- own rows ---- */

static void assert_own(struct span key, const char *value)
{
	struct buffer by_writer = BUFFER_EMPTY, by_reader = BUFFER_EMPTY;
	bool writer_found, reader_found;

	assert_ok(class->get_own(engine, key, &writer_found, &by_writer, &failure));
	assert_ok(class->reader_begin(reader, &failure));
	assert_ok(class->reader_get_own(reader, key, &reader_found, &by_reader, &failure));
	class->reader_end(reader);
	cr_assert_eq(writer_found, value != NULL);
	cr_assert_eq(reader_found, value != NULL);
	if (value != NULL) {
		cr_assert(span_equal(buffer_span(&by_writer), span_of_string(value)));
		cr_assert(span_equal(buffer_span(&by_reader), span_of_string(value)));
	}
	buffer_free(&by_writer);
	buffer_free(&by_reader);
}

Test(sqlite_rows, own_rows)
{
	store_with_reader();
	assert_own(SPAN_LITERAL("k"), NULL);
	assert_ok(class->each_own(engine, SPAN_NONE, see_own, NULL, &failure));
	begin(false);
	assert_ok(class->delete_own(engine, SPAN_LITERAL("k"), &failure));
	commit();
	cr_assert_str_eq(file_text("SELECT count(*) FROM sqlite_schema WHERE name = 'kyneta_stored'"), "0");

	begin(false);
	assert_ok(class->put_own(engine, SPAN_LITERAL("k"), SPAN_LITERAL("v"), &failure));
	assert_ok(class->put_own(engine, SPAN_LITERAL("k"), SPAN_LITERAL("w"), &failure));
	assert_ok(class->put_own(engine, SPAN_LITERAL("k\0x"), SPAN_NONE, &failure));
	assert_ok(class->put_own(engine, SPAN_LITERAL("l"), SPAN_LITERAL("z"), &failure));
	assert_ok(class->put_own(engine, SPAN_LITERAL("j"), SPAN_LITERAL("y"), &failure));
	assert_ok(class->each_own(engine, SPAN_LITERAL("k"), see_own, NULL, &failure));
	assert_seen("k\0w\0k\0x\0\0");
	commit();
	assert_own(SPAN_LITERAL("k"), "w");
	assert_own(SPAN_LITERAL("k\0x"), "");
	assert_own(SPAN_LITERAL("nobody"), NULL);

	see_nothing();
	seen.stop_after = 3;
	assert_ok(class->each_own(engine, SPAN_NONE, see_own, NULL, &failure));
	assert_seen("j\0y\0k\0w\0k\0x\0\0");
	begin(false);
	assert_ok(class->delete_own(engine, SPAN_LITERAL("k"), &failure));
	commit();
	assert_own(SPAN_LITERAL("k"), NULL);
	cr_assert_str_eq(file_text("SELECT group_concat(typeof(key) || typeof(value)) FROM kyneta_stored"),
			 "blobblob,blobblob,blobblob");
}

Test(sqlite_rows, own_table_rolled_back_and_made_again)
{
	store_with_reader();
	begin(false);
	assert_ok(class->put_own(engine, SPAN_LITERAL("k"), SPAN_LITERAL("v"), &failure));
	class->rollback(engine);
	assert_own(SPAN_LITERAL("k"), NULL);
	begin(false);
	assert_ok(class->put_own(engine, SPAN_LITERAL("k"), SPAN_LITERAL("v"), &failure));
	commit();
	assert_own(SPAN_LITERAL("k"), "v");
}

Test(sqlite_rows, own_table_dropped_by_another_program)
{
	store_with_reader();
	begin(false);
	assert_ok(class->put_own(engine, SPAN_LITERAL("k"), SPAN_LITERAL("v"), &failure));
	commit();
	assert_own(SPAN_LITERAL("k"), "v");
	assert_ok(class->each_own(engine, SPAN_NONE, see_own, NULL, &failure));
	other_program("DROP TABLE kyneta_stored");
	assert_own(SPAN_LITERAL("k"), NULL);
	see_nothing();
	assert_ok(class->each_own(engine, SPAN_NONE, see_own, NULL, &failure));
	cr_assert_eq(seen.count, 0);
	begin(false);
	assert_ok(class->delete_own(engine, SPAN_LITERAL("k"), &failure));
	assert_ok(class->put_own(engine, SPAN_LITERAL("k"), SPAN_LITERAL("again"), &failure));
	commit();
	assert_own(SPAN_LITERAL("k"), "again");
}
