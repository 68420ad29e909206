/* The SQLite engine: another program on the same file, which locks, writes, and changes tables; transactions. */
#include "tests/unit/sqlite_scratch.h"

#include <pthread.h>

TestSuite(sqlite_beside, .init = sqlite_scratch_make, .fini = sqlite_scratch_remove);

/* ---- another program beside ---- */

static bool begin_foreign(void)
{
	bool foreign;

	assert_ok(class->begin(engine, false, &foreign, &failure));
	return foreign;
}

Test(sqlite_beside, own_changes_are_not_foreign)
{
	const struct engine_tables *tables;
	struct engine_checkpoint_result result;

	other_program("CREATE TABLE t (x)");
	open_engine();
	tables = use_store(LAYOUT_2);
	for (uint64_t seq = 0; seq < 5; seq++) {
		cr_assert_not(begin_foreign(), "%d", (int)seq);
		put(tables, "a", seq, "{}");
		if (seq % 2 == 0)
			commit();
		else
			class->rollback(engine);
		assert_ok(class->checkpoint(engine, NULL, &result, &failure));
		assert_ok(class->sync(engine, &failure));
	}
	cr_assert_not(begin_foreign());
	class->rollback(engine);
}

Test(sqlite_beside, changes_of_another_program_are_seen_once)
{
	const struct engine_tables *tables;
	sqlite3 *db;

	open_engine();
	tables = use_store(LAYOUT_2);
	db = other_open(path);
	other_run(db, "INSERT INTO kyneta_records VALUES ('a', 0, 'meta', '{}', NULL)");
	cr_assert(begin_foreign());
	put(tables, "a", 1, "{}");
	commit();
	cr_assert_not(begin_foreign());
	class->rollback(engine);
	other_run(db, "SELECT count(*) FROM kyneta_records");
	cr_assert_not(begin_foreign());
	class->rollback(engine);
	other_run(db, "DELETE FROM kyneta_records");
	cr_assert(begin_foreign());
	class->rollback(engine);
	cr_assert_not(begin_foreign());
	class->rollback(engine);
	sqlite3_close(db);
}

Test(sqlite_beside, changes_between_open_and_take_are_seen)
{
	open_engine();
	other_program("CREATE TABLE t (x)");
	assert_ok(class->take(engine, &failure));
	cr_assert(begin_foreign());
	class->rollback(engine);
}

struct holder {
	pthread_t thread;
	sqlite3 *db;
	volatile bool held;
};

/* Lets go of the lock after the engine has waited for it long enough to say so. */
static void *hold_until_told(void *context)
{
	struct holder *holder = context;

	while (__atomic_load_n(&waits, __ATOMIC_SEQ_CST) == 0)
		sqlite3_sleep(1);
	holder->held = false;
	sqlite3_exec(holder->db, "COMMIT", NULL, NULL, NULL);
	return NULL;
}

static void hold(struct holder *holder, const char *sql)
{
	holder->db = other_open(path);
	other_run(holder->db, sql);
	holder->held = true;
	cr_assert_eq(pthread_create(&holder->thread, NULL, hold_until_told, holder), 0);
}

static void let_go(struct holder *holder)
{
	cr_assert_eq(pthread_join(holder->thread, NULL), 0);
	cr_assert_eq(sqlite3_close(holder->db), SQLITE_OK);
}

Test(sqlite_beside, begin_waits_for_a_lock_and_says_so)
{
	struct holder holder;

	open_engine();
	use_store(LAYOUT_2);
	hold(&holder, "BEGIN IMMEDIATE; INSERT INTO kyneta_records VALUES ('a', 0, 'meta', '{}', NULL)");
	cr_assert(begin_foreign());
	cr_assert_not(holder.held);
	class->rollback(engine);
	let_go(&holder);
	cr_assert_not_null(strstr(waited_for, "another program has locked"));
	cr_assert_not_null(strstr(waited_for, path));
}

Test(sqlite_beside, take_waits_for_a_lock)
{
	struct holder holder;

	other_program("CREATE TABLE t (x)");
	open_engine();
	hold(&holder, "BEGIN IMMEDIATE; INSERT INTO t VALUES (1)");
	assert_ok(class->take(engine, &failure));
	cr_assert_not(holder.held);
	let_go(&holder);
}

Test(sqlite_beside, open_waits_for_an_exclusive_lock)
{
	struct holder holder;

	other_program("CREATE TABLE t (x)");
	hold(&holder, "BEGIN EXCLUSIVE");
	open_engine();
	cr_assert_not(holder.held);
	let_go(&holder);
}

Test(sqlite_beside, dropped_table)
{
	const struct engine_tables *tables;
	struct engine_row row = {.kind = SPAN_LITERAL("meta"), .has_payload = true, .payload = SPAN_LITERAL("{}")};
	struct buffer meta = BUFFER_EMPTY;
	uint64_t next;
	bool found;

	open_engine();
	tables = use_store(LAYOUT_2);
	begin(true);
	put(tables, "a", 0, "{}");
	commit();
	other_program("DROP TABLE kyneta_records");
	cr_assert(begin_foreign());
	cr_assert_eq(class->put_row(engine, tables, SPAN_LITERAL("a"), 1, &row, &failure), ERROR_INCOMPATIBLE_FORMAT);
	cr_assert_str_eq(failure.detail, "foreign-table");
	cr_assert_not(failure.fatal);
	cr_assert_eq(class->get_document(engine, tables, SPAN_LITERAL("a"), &found, &meta, &next, &failure),
		     ERROR_INCOMPATIBLE_FORMAT);
	class->rollback(engine);
	/* And when it is there again, so is the store. */
	other_program("CREATE TABLE kyneta_records (doc_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, "
		      "payload TEXT, "
		      "blob BLOB, PRIMARY KEY (doc_id, seq)) WITHOUT ROWID");
	cr_assert(begin_foreign());
	assert_ok(class->put_row(engine, tables, SPAN_LITERAL("a"), 1, &row, &failure));
	commit();
}

Test(sqlite_beside, changed_schema_is_no_failure)
{
	const struct engine_tables *tables;

	open_engine();
	tables = use_store(LAYOUT_2);
	begin(true);
	put(tables, "a", 0, "{}");
	commit();
	other_program("CREATE TABLE more (x); CREATE INDEX more_x ON more (x);");
	begin(true);
	put(tables, "a", 1, "{}");
	commit();
}

/* ---- transactions ---- */

Test(sqlite_beside, rollback_twice_and_outside)
{
	const struct engine_tables *tables;

	open_engine();
	tables = use_store(LAYOUT_2);
	class->rollback(engine);
	begin(true);
	cr_assert(class->in_transaction(engine));
	put(tables, "a", 0, "{}");
	class->rollback(engine);
	cr_assert_not(class->in_transaction(engine));
	class->rollback(engine);
	begin(true);
	put(tables, "a", 0, "{}");
	commit();
	cr_assert_not(class->in_transaction(engine));
}

Test(sqlite_beside, row_that_is_there_already)
{
	const struct engine_tables *tables;
	struct engine_row row = {.kind = SPAN_LITERAL("meta"), .has_payload = true, .payload = SPAN_LITERAL("{}")};

	open_engine();
	tables = use_store(LAYOUT_2);
	begin(true);
	put(tables, "a", 0, "{}");
	cr_assert_eq(class->put_row(engine, tables, SPAN_LITERAL("a"), 0, &row, &failure), ERROR_IO_ERROR);
	cr_assert_not(failure.fatal);
	/* The statement alone failed. */
	cr_assert(class->in_transaction(engine));
	put(tables, "a", 1, "{}");
	commit();
	cr_assert_str_eq(file_text("SELECT count(*) FROM kyneta_records"), "2");
}

Test(sqlite_beside, failure_may_be_absent)
{
	const struct engine_tables *tables;
	struct engine_row row = {.kind = SPAN_LITERAL("meta"), .has_payload = true, .payload = SPAN_LITERAL("{}")};

	open_engine();
	tables = use_store(LAYOUT_2);
	begin(true);
	put(tables, "a", 0, "{}");
	cr_assert_eq(class->put_row(engine, tables, SPAN_LITERAL("a"), 0, &row, NULL), ERROR_IO_ERROR);
	class->rollback(engine);
}
