/* The SQLite engine: the log stays bounded beside readers, and is gone after a close or a restart. */
#include "tests/unit/sqlite_scratch.h"

#include <sys/wait.h>

TestSuite(sqlite_log, .init = sqlite_scratch_make, .fini = sqlite_scratch_remove);

#define META_2 "{\"syncMode\":{}}"

/* ---- the log ---- */

static unsigned closed, opened;

static void gate_close(void *context)
{
	(void)context;
	cr_assert_eq(closed, opened);
	closed++;
}

static void gate_open(void *context)
{
	(void)context;
	opened++;
	cr_assert_eq(closed, opened);
}

static const struct engine_gate gate = {gate_close, gate_open, NULL};

static uint64_t log_file_bytes(void)
{
	char name[sizeof(path) + 8];
	struct stat status;

	snprintf(name, sizeof(name), "%s-wal", path);
	return stat(name, &status) == 0 ? (uint64_t)status.st_size : 0;
}

static void grow_log(const struct engine_tables *tables, uint64_t *seq)
{
	char payload[10000];

	memset(payload, 'x', sizeof(payload) - 1);
	payload[sizeof(payload) - 1] = '\0';
	for (int i = 0; i < 50; i++) {
		begin(false);
		put(tables, "a", (*seq)++, payload);
		commit();
	}
}

Test(sqlite_log, log_grows_until_a_checkpoint_and_is_written_over_then)
{
	const struct engine_tables *tables;
	struct engine_checkpoint_result result;
	uint64_t seq = 0, before, peak;

	open_engine();
	tables = use_store(LAYOUT_2);
	grow_log(tables, &seq);
	before = class->log_bytes(engine);
	peak = log_file_bytes();
	cr_assert_gt(before, 50 * 8192);
	cr_assert_eq(before, peak);
	for (int round = 0; round < 5; round++) {
		assert_ok(class->checkpoint(engine, &gate, &result, &failure));
		cr_assert(result.complete);
		cr_assert_gt(result.log_bytes_before, 50 * 8192);
		cr_assert_eq(class->log_bytes(engine), 0);
		cr_assert_eq(closed, (unsigned)round + 1);
		grow_log(tables, &seq);
		cr_assert_leq(class->log_bytes(engine), log_file_bytes());
	}
	/* Not truncated, and hardly more than what one round writes. */
	cr_assert_geq(log_file_bytes(), peak);
	cr_assert_lt(log_file_bytes(), 2 * peak);
}

static bool any_row(void *context, uint64_t seq, const struct engine_row *row)
{
	(void)seq;
	(void)row;
	++*(unsigned *)context;
	return true;
}

Test(sqlite_log, log_starts_over_between_readers)
{
	const struct engine_tables *tables;
	struct engine_checkpoint_result result;
	struct engine_reader *reader;
	uint64_t seq = 0, peak = 0;

	open_engine();
	tables = use_store(LAYOUT_2);
	assert_ok(class->reader_open(engine, &reader, &failure));
	for (int round = 0; round < 8; round++) {
		unsigned rows = 0;

		grow_log(tables, &seq);
		peak = peak == 0 ? log_file_bytes() : peak;
		/* A page is read, and over when the gate is closed. */
		assert_ok(class->reader_begin(reader, &failure));
		assert_ok(
		    class->reader_rows(reader, tables, SPAN_LITERAL("a"), 0, UINT64_MAX, any_row, &rows, &failure));
		class->reader_end(reader);
		cr_assert_eq(rows, seq);
		assert_ok(class->checkpoint(engine, &gate, &result, &failure));
		cr_assert(result.complete);
	}
	cr_assert_lt(log_file_bytes(), 2 * peak);
	class->reader_close(reader);
}

Test(sqlite_log, reader_of_another_program_does_not_stop_the_writer)
{
	const struct engine_tables *tables;
	struct engine_checkpoint_result result;
	uint64_t seq = 0;
	sqlite3 *db;

	open_engine();
	tables = use_store(LAYOUT_2);
	grow_log(tables, &seq);
	db = other_open(path);
	other_run(db, "BEGIN; SELECT count(*) FROM kyneta_records");
	grow_log(tables, &seq);
	assert_ok(class->checkpoint(engine, &gate, &result, &failure));
	cr_assert_not(result.complete);
	cr_assert_eq(closed, opened);
	cr_assert_gt(class->log_bytes(engine), 0);
	grow_log(tables, &seq);
	other_run(db, "COMMIT");
	assert_ok(class->checkpoint(engine, &gate, &result, &failure));
	cr_assert(result.complete);
	sqlite3_close(db);
}

Test(sqlite_log, close_beside_a_reader_of_another_program)
{
	const struct engine_tables *tables;
	uint64_t seq = 0;
	sqlite3 *db;

	open_engine();
	tables = use_store(LAYOUT_2);
	db = other_open(path);
	other_run(db, "BEGIN; SELECT count(*) FROM kyneta_records");
	grow_log(tables, &seq);
	close_engine();
	cr_assert_str_eq(other_text(db, "SELECT count(*) FROM kyneta_records"), "0");
	other_run(db, "COMMIT");
	cr_assert_str_eq(other_text(db, "SELECT count(*) FROM kyneta_records"), "50");
	sqlite3_close(db);
}

Test(sqlite_log, clean_close_leaves_one_file)
{
	const struct engine_tables *tables;
	uint64_t seq = 0;

	open_engine();
	tables = use_store(LAYOUT_2);
	grow_log(tables, &seq);
	close_engine();
	cr_assert_not(file_there("-wal"));
	cr_assert_not(file_there("-shm"));
	cr_assert_str_eq(file_text("SELECT count(*) FROM kyneta_records"), "50");
}

Test(sqlite_log, unclean_close_leaves_the_log)
{
	const struct engine_tables *tables;
	uint64_t seq = 0;

	open_engine();
	tables = use_store(LAYOUT_2);
	grow_log(tables, &seq);
	assert_ok(class->close(engine, false, &failure));
	engine = NULL;
	cr_assert_gt(log_file_bytes(), 0);
	cr_assert_str_eq(file_text("SELECT count(*) FROM kyneta_records"), "50");
}

/* Ends as a killed daemon does: no destructor, no close. */
static void in_a_killed_process(void (*work)(void))
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		work();
		_exit(7);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static void write_and_die(void)
{
	const struct engine_tables *tables;
	uint64_t seq = 0;

	open_engine();
	tables = use_store(LAYOUT_2);
	begin(false);
	assert_ok(class->put_own(engine, SPAN_LITERAL("k"), SPAN_LITERAL("v"), &failure));
	put_meta(tables, "a", META_2);
	commit();
	grow_log(tables, &seq);
	begin(false);
	put(tables, "a", seq, "never committed");
}

Test(sqlite_log, own_file_of_a_killed_daemon_is_recovered_at_open)
{
	in_a_killed_process(write_and_die);
	cr_assert_gt(log_file_bytes(), 0);
	open_engine();
	/* Before anything is found or taken. */
	cr_assert_eq(log_file_bytes(), 0);
	cr_assert_eq(find_named(NULL, NULL, NULL)->layout, LAYOUT_2);
	cr_assert_str_eq(file_text("SELECT count(*) FROM kyneta_records"), "50");
}

static void other_program_dies(void)
{
	sqlite3 *db = other_open(path);

	other_run(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; CREATE TABLE t (x); INSERT INTO t VALUES (1);");
}

Test(sqlite_log, log_of_another_program_is_emptied_when_taken)
{
	in_a_killed_process(other_program_dies);
	cr_assert_gt(log_file_bytes(), 0);
	open_engine();
	find_named(NULL, NULL, NULL);
	cr_assert_gt(log_file_bytes(), 0);
	assert_ok(class->take(engine, &failure));
	cr_assert_eq(log_file_bytes(), 0);
	cr_assert_str_eq(file_text("SELECT x FROM t"), "1");
}
