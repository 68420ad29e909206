/*
 * The SQLite engine without memory: every allocation on the way of a write and a read fails once, and then it and all
 * after it: those of SQLite, and those of the engine itself. Nothing crashes, nothing is half done, and nothing but a
 * commit leaves the truth unknown.
 */
#include "tests/unit/allocations.h"
#include "tests/unit/sqlite_seen.h"

/* Found by the SQLite library before the C library's: a few hundred rounds need not wait for the disk. */
int fdatasync(int fd)
{
	(void)fd;
	return 0;
}

int fsync(int fd)
{
	(void)fd;
	return 0;
}

static sqlite3_mem_methods real;
static unsigned until_failure; /* 0: none fails; 1: the next one */
static bool for_good;	       /* those after it too */
static bool failed;

static bool fails(void)
{
	if (until_failure == 0 || --until_failure > 0)
		return false;
	failed = true;
	if (for_good)
		until_failure = 1;
	return true;
}

static void *failing_malloc(int size)
{
	return fails() ? NULL : real.xMalloc(size);
}

static void *failing_realloc(void *memory, int size)
{
	return fails() ? NULL : real.xRealloc(memory, size);
}

static void set_up(void)
{
	sqlite3_mem_methods methods;

	cr_assert_eq(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real), SQLITE_OK);
	methods = real;
	methods.xMalloc = failing_malloc;
	methods.xRealloc = failing_realloc;
	cr_assert_eq(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods), SQLITE_OK);
	sqlite_scratch_make();
}

TestSuite(sqlite_memory, .init = set_up, .fini = sqlite_seen_remove);

static const struct engine_tables *tables;

static bool wants_memory(int code)
{
	if (code == 0)
		return false;
	/* A statement that could not be prepared is no foreign table. */
	cr_assert_eq(code, ERROR_IO_ERROR, "%d %s", code, failure.message);
	cr_assert_eq(code, failure.code);
	return true;
}

/* One write, as far as it comes. Fatal: whether it happened is not known. */
static bool write_one(uint64_t seq, bool *fatal)
{
	struct engine_row row = {.kind = SPAN_LITERAL("entry"), .has_payload = true, .payload = SPAN_LITERAL("{}")};
	struct buffer meta = BUFFER_EMPTY;
	bool found, foreign;
	uint64_t next;

	*fatal = false;
	if (wants_memory(class->begin(engine, false, &foreign, &failure)))
		return false;
	if (wants_memory(class->get_document(engine, tables, SPAN_LITERAL("a"), &found, &meta, &next, &failure)) ||
	    wants_memory(class->put_row(engine, tables, SPAN_LITERAL("a"), seq, &row, &failure)) ||
	    wants_memory(
		class->put_meta(engine, tables, SPAN_LITERAL("a"), SPAN_LITERAL("{\"syncMode\":{}}"), &failure)) ||
	    wants_memory(class->put_own(engine, SPAN_LITERAL("k"), SPAN_LITERAL("v"), &failure)) ||
	    wants_memory(class->delete_own(engine, SPAN_LITERAL("l"), &failure)) ||
	    wants_memory(class->delete_rows(engine, tables, SPAN_LITERAL("b"), &failure))) {
		buffer_free(&meta);
		cr_assert_not(failure.fatal);
		class->rollback(engine);
		return false;
	}
	buffer_free(&meta);
	if (!wants_memory(class->commit(engine, &failure)))
		return true;
	*fatal = failure.fatal;
	return false;
}

static uint64_t next_of_a(void)
{
	struct buffer meta = BUFFER_EMPTY;
	uint64_t next;
	bool found;

	assert_ok(class->get_document(engine, tables, SPAN_LITERAL("a"), &found, &meta, &next, &failure));
	buffer_free(&meta);
	return next;
}

static void open_again(bool clean)
{
	if (engine != NULL)
		assert_ok(class->close(engine, clean, &failure));
	engine = NULL;
	open_engine();
	tables = use_store(LAYOUT_2);
}

enum way { SQLITE_ONCE, SQLITE_FOR_GOOD, ENGINE_FOR_GOOD, WAYS };

static void fail_from(unsigned allocation, enum way way)
{
	failed = false;
	for_good = way == SQLITE_FOR_GOOD;
	until_failure = way == ENGINE_FOR_GOOD ? 0 : allocation;
	allocations_until_failure = way == ENGINE_FOR_GOOD ? allocation : 0;
}

static void fail_no_more(void)
{
	failed = failed || allocations_until_failure == 1;
	until_failure = 0;
	allocations_until_failure = 0;
}

Test(sqlite_memory, writing)
{
	for (enum way way = 0; way < WAYS; way++)
		for (unsigned allocation = 1;; allocation++) {
			bool fatal, done;
			uint64_t before;

			open_again(true);
			before = next_of_a();
			fail_from(allocation, way);
			done = write_one(before, &fatal);
			fail_no_more();
			if (fatal) {
				open_again(false);
				cr_assert(next_of_a() == before || next_of_a() == before + 1);
				continue;
			}
			cr_assert_not(class->in_transaction(engine));
			cr_assert_eq(next_of_a(), done ? before + 1 : before);
			cr_assert(write_one(next_of_a(), &fatal));
			if (!failed)
				break;
		}
}

static bool read_all(void)
{
	struct buffer value = BUFFER_EMPTY;
	bool found, done = false;
	uint64_t next;

	if (wants_memory(class->reader_open(engine, &reader, &failure)))
		return false;
	if (!wants_memory(class->reader_begin(reader, &failure))) {
		done = !wants_memory(class->reader_get_own(reader, SPAN_LITERAL("k"), &found, &value, &failure)) &&
		       !wants_memory(class->reader_get_document(reader, tables, SPAN_LITERAL("a"), &found, &value,
								&next, &failure)) &&
		       !wants_memory(class->reader_rows(reader, tables, SPAN_LITERAL("a"), 0, UINT64_MAX, see_row, NULL,
							&failure)) &&
		       !wants_memory(class->reader_documents(reader, tables, SPAN_NONE, false, SPAN_NONE, see_document,
							     NULL, &failure));
		class->reader_end(reader);
	}
	class->reader_close(reader);
	reader = NULL;
	buffer_free(&value);
	return done;
}

Test(sqlite_memory, reading)
{
	bool fatal;

	open_again(true);
	cr_assert(write_one(0, &fatal));
	for (enum way way = 0; way < WAYS; way++)
		for (unsigned allocation = 1;; allocation++) {
			bool done;

			see_nothing();
			fail_from(allocation, way);
			done = read_all();
			fail_no_more();
			/* What was read whole, was read right: SQLite does without some allocations. */
			cr_assert(!done || seen.count == 2);
			if (!failed)
				break;
		}
}

/* Opens, finds or makes the store, and writes; as far as it comes. */
static bool open_and_make(void)
{
	struct table_names names = named(NULL, NULL, NULL, 0);
	struct engine_checkpoint_result result;
	bool foreign;

	if (wants_memory(class->open(&options, &engine, &failure))) {
		cr_assert_null(engine);
		return false;
	}
	if (wants_memory(class->find(engine, &names, &tables, &failure)) ||
	    wants_memory(class->take(engine, &failure)) || wants_memory(class->begin(engine, true, &foreign, &failure)))
		return false;
	if (tables->layout == LAYOUT_NONE && wants_memory(class->create(engine, tables, LAYOUT_2, &tables, &failure)))
		return false;
	return !wants_memory(class->commit(engine, &failure)) &&
	       !wants_memory(class->checkpoint(engine, NULL, &result, &failure));
}

Test(sqlite_memory, opening_finding_and_making)
{
	for (enum way way = 0; way < WAYS; way++)
		/* The first rounds are about a new file, those after the first success about one that is there. */
		for (unsigned allocation = 1, made = 0; made < 2; allocation++) {
			bool done;

			fail_from(allocation, way);
			done = open_and_make();
			fail_no_more();
			if (engine != NULL) {
				class->rollback(engine);
				close_engine();
			}
			if (done && !failed) {
				made++;
				allocation = 0;
			}
		}
}
