/* The SQLite engine: whatever takes long tells that there is progress. */
#include "tests/unit/sqlite_scratch.h"

#include <errno.h>
#include <sys/wait.h>

static unsigned beats;

static void count_beat(void *context)
{
	++*(unsigned *)context;
}

static void set_up(void)
{
	sqlite_scratch_make();
	options.progress = count_beat;
	options.context = &beats;
}

TestSuite(sqlite_watch, .init = set_up, .fini = sqlite_scratch_remove);

#define PAGES 200

Test(sqlite_watch, checkpoint_beats_with_every_page)
{
	const struct engine_tables *tables;
	struct engine_checkpoint_result result;
	char payload[8000];

	memset(payload, 'x', sizeof(payload) - 1);
	payload[sizeof(payload) - 1] = '\0';
	open_engine();
	tables = use_store(LAYOUT_2);
	begin(false);
	for (uint64_t seq = 0; seq < PAGES; seq++)
		put(tables, "a", seq, payload);
	beats = 0;
	commit();
	cr_assert_geq(beats, PAGES, "%u beats of a commit", beats);
	beats = 0;
	assert_ok(class->checkpoint(engine, NULL, &result, &failure));
	cr_assert(result.complete);
	cr_assert_geq(beats, PAGES, "%u beats of a checkpoint", beats);
}

/* Everything is in the page cache: only the statement itself can tell. */
Test(sqlite_watch, long_statement_beats)
{
	const struct engine_tables *tables;

	open_engine();
	tables = use_store(LAYOUT_2);
	begin(false);
	for (uint64_t seq = 0; seq < 20000; seq++)
		put(tables, "a", seq, "{}");
	beats = 0;
	assert_ok(class->delete_rows(engine, tables, SPAN_LITERAL("a"), &failure));
	cr_assert_geq(beats, 5, "%u beats", beats);
	commit();
}

/* Leaves a log of @frames behind, as a program does that is killed. The same two pages again and again. */
static void leave_log(unsigned frames)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		sqlite3 *db = other_open(path);

		other_run(db, "PRAGMA page_size=512; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; "
			      "PRAGMA synchronous=OFF; CREATE TABLE IF NOT EXISTS t(x); INSERT INTO t VALUES(1)");
		for (unsigned i = 0; i < frames; i++)
			other_run(db, "UPDATE t SET x = x + 1");
		_exit(0);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
}

Test(sqlite_watch, recovery_of_a_large_log_beats)
{
	unsigned small;

	leave_log(100);
	beats = 0;
	open_engine();
	small = beats;
	close_engine();
	cr_assert_eq(unlink(path), 0);
	for (size_t i = 0; i < 2; i++) {
		char name[sizeof(path) + 8];

		snprintf(name, sizeof(name), "%s%s", path, i == 0 ? "-wal" : "-shm");
		cr_assert(unlink(name) == 0 || errno == ENOENT);
	}

	leave_log(4 * 4096);
	beats = 0;
	open_engine();
	cr_assert_geq(beats, small + 4, "%u beats, %u of a small log", beats, small);
}
