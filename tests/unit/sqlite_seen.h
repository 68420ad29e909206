/*
 * sqlite_seen: what a reader of the engine gave, for tests to look at.
 */
#ifndef KYNETA_TESTS_UNIT_SQLITE_SEEN_H
#define KYNETA_TESTS_UNIT_SQLITE_SEEN_H

#include "tests/unit/sqlite_scratch.h"

struct seen {
	unsigned count;
	unsigned stop_after; /* 0: never */
	uint64_t last_seq;
	struct buffer bytes; /* of everything, each with a NUL behind it */
};

static struct seen seen;

static inline void append(struct span span)
{
	buffer_append(&seen.bytes, span.data, span.size);
	buffer_append_byte(&seen.bytes, 0);
}

static inline bool see_row(void *context, uint64_t seq, const struct engine_row *row)
{
	(void)context;
	seen.count++;
	seen.last_seq = seq;
	append(row->kind);
	append(row->has_payload ? row->payload : SPAN_LITERAL("(none)"));
	append(row->has_blob ? row->blob : SPAN_LITERAL("(none)"));
	return seen.count != seen.stop_after;
}

static inline bool see_document(void *context, struct span document)
{
	(void)context;
	seen.count++;
	append(document);
	return seen.count != seen.stop_after;
}

static inline bool see_own(void *context, struct span key, struct span value)
{
	(void)context;
	seen.count++;
	append(key);
	append(value);
	return seen.count != seen.stop_after;
}

static inline void see_nothing(void)
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

static inline const struct engine_tables *store_with_reader(void)
{
	const struct engine_tables *tables;

	open_engine();
	tables = use_store(LAYOUT_2);
	assert_ok(class->reader_open(engine, &reader, &failure));
	return tables;
}

static inline void sqlite_seen_remove(void)
{
	see_nothing();
	class->reader_close(reader);
	reader = NULL;
	sqlite_scratch_remove();
}

static inline void read_rows(const struct engine_tables *tables, struct span document, uint64_t first, uint64_t end)
{
	unsigned stop_after = seen.stop_after;

	see_nothing();
	seen.stop_after = stop_after;
	assert_ok(class->reader_begin(reader, &failure));
	assert_ok(class->reader_rows(reader, tables, document, first, end, see_row, NULL, &failure));
	class->reader_end(reader);
}

static inline void list(const struct engine_tables *tables, struct span prefix, bool has_after, struct span after)
{
	unsigned stop_after = seen.stop_after;

	see_nothing();
	seen.stop_after = stop_after;
	assert_ok(class->reader_begin(reader, &failure));
	assert_ok(class->reader_documents(reader, tables, prefix, has_after, after, see_document, NULL, &failure));
	class->reader_end(reader);
}

#endif
