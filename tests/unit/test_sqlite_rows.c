/* The SQLite engine: rows, metadata, own rows, pages and listings, and the files of the reference byte for byte. */
#include "daemon/row.h"
#include "tests/unit/sqlite_scratch.h"

#include <zlib.h>

#define META_2 "{\"syncMode\":{}}"

/* ---- what was read ---- */

struct seen {
	unsigned count;
	unsigned stop_after; /* 0: never */
	uint64_t last_seq;
	struct buffer bytes; /* of everything, each with a NUL behind it */
};

static struct seen seen;

static void append(struct span span)
{
	buffer_append(&seen.bytes, span.data, span.size);
	buffer_append_byte(&seen.bytes, 0);
}

static bool see_row(void *context, uint64_t seq, const struct engine_row *row)
{
	(void)context;
	seen.count++;
	seen.last_seq = seq;
	append(row->kind);
	append(row->has_payload ? row->payload : SPAN_LITERAL("(none)"));
	append(row->has_blob ? row->blob : SPAN_LITERAL("(none)"));
	return seen.count != seen.stop_after;
}

static bool see_document(void *context, struct span document)
{
	(void)context;
	seen.count++;
	append(document);
	return seen.count != seen.stop_after;
}

static bool see_own(void *context, struct span key, struct span value)
{
	(void)context;
	seen.count++;
	append(key);
	append(value);
	return seen.count != seen.stop_after;
}

static void see_nothing(void)
{
	buffer_free(&seen.bytes);
	seen = (struct seen){0, 0, 0, BUFFER_EMPTY};
}

#define assert_seen(literal)                                                                                           \
	do {                                                                                                           \
		cr_assert_eq(seen.bytes.size, sizeof(literal) - 1, "%zu bytes", seen.bytes.size);                      \
		cr_assert_eq(memcmp(seen.bytes.data, literal, sizeof(literal) - 1), 0);                                \
	} while (0)

static struct engine_reader *reader;

static const struct engine_tables *store_with_reader(void)
{
	const struct engine_tables *tables;

	open_engine();
	tables = use_store(LAYOUT_2);
	assert_ok(class->reader_open(engine, &reader, &failure));
	return tables;
}

static void tear_down(void)
{
	see_nothing();
	class->reader_close(reader);
	reader = NULL;
	sqlite_scratch_remove();
}

static void read_rows(const struct engine_tables *tables, struct span document, uint64_t first, uint64_t end)
{
	unsigned stop_after = seen.stop_after;

	see_nothing();
	seen.stop_after = stop_after;
	assert_ok(class->reader_begin(reader, &failure));
	assert_ok(class->reader_rows(reader, tables, document, first, end, see_row, NULL, &failure));
	class->reader_end(reader);
}

static void list(const struct engine_tables *tables, struct span prefix, bool has_after, struct span after)
{
	unsigned stop_after = seen.stop_after;

	see_nothing();
	seen.stop_after = stop_after;
	assert_ok(class->reader_begin(reader, &failure));
	assert_ok(class->reader_documents(reader, tables, prefix, has_after, after, see_document, NULL, &failure));
	class->reader_end(reader);
}

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

TestSuite(sqlite_rows, .init = sqlite_scratch_make, .fini = tear_down);

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

/* ---- the reference's files ---- */

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

Test(sqlite_rows, files_of_the_reference)
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
Test(sqlite_rows, lone_surrogates_of_the_reference)
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

Test(sqlite_rows, three_stores_of_a_recorded_session)
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
