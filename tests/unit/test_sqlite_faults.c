/*
 * The SQLite engine when the disk fails: what is rolled back and can go on, and what leaves the truth unknown
 * (failure.fatal).
 *
 * Writes fail through SQLite's own table of system calls. fsync and fdatasync are not in it: this program has functions
 * of these names, which the SQLite library finds first.
 */
#include "tests/unit/sqlite_scratch.h"

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>

/* ---- syncs ---- */

static int sync_error; /* what every sync of a file whose name ends in sync_suffix fails with */
static const char *sync_suffix;
static unsigned log_syncs, database_syncs, folder_syncs;

static bool ends_in(const char *name, const char *suffix)
{
	size_t size = strlen(name), suffix_size = strlen(suffix);

	return size >= suffix_size && strcmp(name + size - suffix_size, suffix) == 0;
}

static int count_sync(int fd, long call)
{
	char link[64], name[512];
	ssize_t size;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	size = readlink(link, name, sizeof(name) - 1);
	name[size < 0 ? 0 : size] = '\0';
	if (ends_in(name, "-wal"))
		log_syncs++;
	else if (ends_in(name, ".db"))
		database_syncs++;
	else if (strcmp(name, folder) == 0)
		folder_syncs++;
	if (sync_error != 0 && ends_in(name, sync_suffix)) {
		errno = sync_error;
		return -1;
	}
	return (int)syscall(call, fd);
}

int fdatasync(int fd)
{
	return count_sync(fd, SYS_fdatasync);
}

int fsync(int fd)
{
	return count_sync(fd, SYS_fsync);
}

static void forget_syncs(void)
{
	log_syncs = database_syncs = folder_syncs = 0;
}

/* ---- writes ---- */

static int write_error;	     /* what every write fails with … */
static size_t write_size;    /* … that is of this size; 0: of any */
static unsigned writes_left; /* … after so many of them went well */
static ssize_t (*real_pwrite)(int fd, const void *bytes, size_t size, off_t offset);

/* A thread that is another program, and stays in its first write until the engine says that it waits. */
static __thread bool slow;
static bool in_slow_write;

static void stay_until_waited_for(void)
{
	__atomic_store_n(&in_slow_write, true, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&waits, __ATOMIC_SEQ_CST) == 0)
		sqlite3_sleep(1);
}

static ssize_t failing_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
	if (slow)
		stay_until_waited_for();
	if (write_error == 0 || (write_size != 0 && size != write_size) || (writes_left > 0 && writes_left-- > 0))
		return real_pwrite(fd, bytes, size, offset);
	errno = write_error;
	return -1;
}

/* ---- reads ---- */

static int read_error; /* what every read fails with */

static ssize_t failing_pread(int fd, void *bytes, size_t size, off_t offset)
{
	if (read_error == 0)
		return pread(fd, bytes, size, offset);
	errno = read_error;
	return -1;
}

static bool put_in_place(const char *name, sqlite3_syscall_ptr function)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	return vfs->xGetSystemCall(vfs, name) != NULL && vfs->xSetSystemCall(vfs, name, function) == SQLITE_OK;
}

static void set_up(void)
{
	bool reads = put_in_place("pread", (sqlite3_syscall_ptr)failing_pread);
	bool writes = put_in_place("pwrite", (sqlite3_syscall_ptr)failing_pwrite);

	real_pwrite = pwrite;
	reads |= put_in_place("pread64", (sqlite3_syscall_ptr)failing_pread);
	writes |= put_in_place("pwrite64", (sqlite3_syscall_ptr)failing_pwrite);
	cr_assert(reads && writes);
	sqlite_scratch_make();
}

static void tear_down(void)
{
	write_error = sync_error = read_error = 0;
	sqlite_scratch_remove();
}

TestSuite(sqlite_faults, .init = set_up, .fini = tear_down);

static const struct engine_tables *tables;

static void open_store(void)
{
	open_engine();
	tables = use_store(LAYOUT_2);
	begin(true);
	put(tables, "a", 0, "before");
	put_meta(tables, "a", "{\"syncMode\":{}}");
	assert_ok(class->put_own(engine, SPAN_LITERAL("k"), SPAN_LITERAL("v"), &failure));
	commit();
}

/* What the store holds of "a", and that it takes the next. */
static void assert_goes_on(uint64_t expected)
{
	struct buffer meta = BUFFER_EMPTY;
	uint64_t next;
	bool found;

	write_error = sync_error = 0;
	tables = find_named(NULL, NULL, NULL);
	assert_ok(class->get_document(engine, tables, SPAN_LITERAL("a"), &found, &meta, &next, &failure));
	cr_assert_eq(next, expected);
	buffer_free(&meta);
	begin(true);
	put(tables, "a", next, "after");
	commit();
	close_engine();
	open_engine();
	tables = find_named(NULL, NULL, NULL);
	assert_ok(class->get_document(engine, tables, SPAN_LITERAL("a"), &found, &meta, &next, &failure));
	cr_assert_eq(next, expected + 1);
	buffer_free(&meta);
}

/* Nothing may be closed after a fatal failure: the process is to end. */
static void abandon(void)
{
	write_error = sync_error = 0;
	assert_ok(class->close(engine, false, &failure));
	engine = NULL;
}

/* ---- durability ---- */

Test(sqlite_faults, synced_commits_sync_and_others_do_not)
{
	open_store();
	for (uint64_t seq = 1; seq < 9; seq++) {
		bool synced = seq == 2 || seq == 5 || seq == 6;

		forget_syncs();
		begin(synced);
		put(tables, "a", seq, "x");
		commit();
		cr_assert_eq(log_syncs, synced ? 1 : 0, "%d", (int)seq);
		cr_assert_eq(database_syncs, 0);
	}
}

Test(sqlite_faults, sync_syncs_the_log)
{
	open_store();
	begin(false);
	put(tables, "a", 1, "x");
	commit();
	forget_syncs();
	assert_ok(class->sync(engine, &failure));
	cr_assert_eq(log_syncs, 1);
}

Test(sqlite_faults, sync_before_anything_was_written)
{
	other_program("CREATE TABLE t (x)");
	open_engine();
	assert_ok(class->sync(engine, &failure));
	assert_ok(class->take(engine, &failure));
	assert_ok(class->sync(engine, &failure));
}

Test(sqlite_faults, first_sync_puts_the_log_s_name_on_the_disk)
{
	open_engine();
	tables = use_store(LAYOUT_2);
	cr_assert_gt(folder_syncs, 0);
	close_engine();
	open_engine();
	tables = find_named(NULL, NULL, NULL);
	assert_ok(class->take(engine, &failure));
	forget_syncs();
	begin(false);
	put(tables, "a", 0, "x");
	commit();
	assert_ok(class->sync(engine, &failure));
	cr_assert_gt(folder_syncs, 0);
}

Test(sqlite_faults, new_database_is_on_the_disk)
{
	open_engine();
	cr_assert_gt(database_syncs, 0);
	cr_assert_gt(folder_syncs, 0);
}

Test(sqlite_faults, taking_syncs_what_nobody_did)
{
	other_program("PRAGMA synchronous=OFF; CREATE TABLE t (x)");
	forget_syncs();
	open_engine();
	find_named(NULL, NULL, NULL);
	cr_assert_eq(database_syncs + log_syncs + folder_syncs, 0);
	assert_ok(class->take(engine, &failure));
	cr_assert_gt(database_syncs, 0);
	cr_assert_gt(folder_syncs, 0);
}

Test(sqlite_faults, opening_an_own_file_syncs_it_even_if_its_log_is_empty)
{
	open_store();
	close_engine();
	forget_syncs();
	open_engine();
	cr_assert_gt(database_syncs, 0);
	cr_assert_gt(folder_syncs, 0);
}

static void *checkpoint_slowly(void *db)
{
	slow = true;
	other_run(db, "PRAGMA wal_checkpoint");
	return NULL;
}

/* Of this alone SQLite does not ask the busy handler. */
Test(sqlite_faults, checkpoint_of_another_program_is_waited_out)
{
	sqlite3 *db = other_open(path);
	pthread_t thread;

	other_run(db, "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t (x)");
	cr_assert_eq(pthread_create(&thread, NULL, checkpoint_slowly, db), 0);
	while (!__atomic_load_n(&in_slow_write, __ATOMIC_SEQ_CST))
		sqlite3_sleep(1);
	open_engine();
	cr_assert_eq(waits, 0);
	assert_ok(class->take(engine, &failure));
	cr_assert_gt(waits, 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	sqlite3_close(db);
}

/* ---- a full disk ---- */

static void assert_full(int error)
{
	open_store();
	begin(true);
	put(tables, "a", 1, "does not fit");
	write_error = error;
	cr_assert_eq(class->commit(engine, &failure), ERROR_DISK_FULL, "%d %s", failure.code, failure.message);
	cr_assert_not(failure.fatal);
	cr_assert_not(class->in_transaction(engine));
	assert_goes_on(1);
}

Test(sqlite_faults, no_space_at_commit)
{
	assert_full(ENOSPC);
}

Test(sqlite_faults, no_quota_at_commit)
{
	assert_full(EDQUOT);
}

/* However many writes of a commit went well: without the last it did not happen. */
Test(sqlite_faults, no_space_after_some_writes)
{
	open_store();
	for (unsigned well = 0; well < 4; well++) {
		char payload[20000];

		memset(payload, 'x', sizeof(payload) - 1);
		payload[sizeof(payload) - 1] = '\0';
		begin(true);
		put(tables, "a", 1, payload);
		writes_left = well;
		write_error = ENOSPC;
		cr_assert_eq(class->commit(engine, &failure), ERROR_DISK_FULL);
		write_error = 0;
		writes_left = 0;
	}
	assert_goes_on(1);
}

/* A transaction larger than the cache goes to the log before its commit. */
static void spill(int error, int expected)
{
	struct engine_row row = {.kind = SPAN_LITERAL("entry"), .has_payload = true, .payload = SPAN_LITERAL("{}")};
	uint8_t *blob = calloc(1, 1 << 20);
	int code = 0;

	options.cache_bytes = 1 << 20;
	open_store();
	row.has_blob = true;
	row.blob = span_of(blob, 1 << 20);
	begin(true);
	write_error = error;
	for (uint64_t seq = 1; seq < 9 && code == 0; seq++)
		code = class->put_row(engine, tables, SPAN_LITERAL("a"), seq, &row, &failure);
	cr_assert_eq(code, expected, "%d %s", code, failure.message);
	cr_assert_not(failure.fatal);
	class->rollback(engine);
	cr_assert_not(class->in_transaction(engine));
	assert_goes_on(1);
	free(blob);
}

Test(sqlite_faults, no_space_in_a_statement)
{
	spill(ENOSPC, ERROR_DISK_FULL);
}

Test(sqlite_faults, no_quota_in_a_statement)
{
	spill(EDQUOT, ERROR_DISK_FULL);
}

Test(sqlite_faults, write_error_in_a_statement_is_rolled_back)
{
	spill(EIO, ERROR_IO_ERROR);
}

Test(sqlite_faults, no_space_for_a_checkpoint)
{
	struct engine_checkpoint_result result;

	open_store();
	begin(true);
	put(tables, "a", 1, "x");
	commit();
	write_error = ENOSPC;
	cr_assert_eq(class->checkpoint(engine, NULL, &result, &failure), ERROR_DISK_FULL);
	cr_assert_not(failure.fatal);
	cr_assert_not(result.complete);
	write_error = 0;
	assert_ok(class->checkpoint(engine, NULL, &result, &failure));
	cr_assert(result.complete);
	assert_goes_on(2);
}

Test(sqlite_faults, no_space_for_recovery_is_taken_from_the_reserve)
{
	options.reserve_bytes = 1 << 16;
	open_store();
	assert_ok(class->close(engine, false, &failure));
	engine = NULL;
	cr_assert(file_there(".reserve"));
	write_error = ENOSPC;
	cr_assert_eq(class->open(&options, &engine, &failure), ERROR_DISK_FULL, "%s", failure.message);
	cr_assert_not(file_there(".reserve"));
	write_error = 0;
	open_engine();
	assert_goes_on(1);
}

/* ---- reading ---- */

/* SQLite alone would say that there is no such table. */
Test(sqlite_faults, new_table_that_cannot_be_read_is_not_missing)
{
	const struct engine_tables *second;
	struct buffer meta = BUFFER_EMPTY;
	struct engine_reader *reader;
	uint64_t next;
	bool found;

	open_store();
	assert_ok(class->reader_open(engine, &reader, &failure));
	assert_ok(class->reader_get_document(reader, tables, SPAN_LITERAL("a"), &found, &meta, &next, &failure));
	second = find_named("m2", "r2", "s2");
	begin(true);
	assert_ok(class->create(engine, second, LAYOUT_2, &second, &failure));
	commit();
	read_error = ESTALE;
	cr_assert_eq(class->reader_get_document(reader, second, SPAN_LITERAL("a"), &found, &meta, &next, &failure),
		     ERROR_IO_ERROR, "%d %s", failure.code, failure.message);
	read_error = 0;
	assert_ok(class->reader_get_document(reader, second, SPAN_LITERAL("a"), &found, &meta, &next, &failure));
	cr_assert_not(found);
	class->reader_close(reader);
	buffer_free(&meta);
}

/* ---- the truth is unknown ---- */

Test(sqlite_faults, failed_sync_at_commit_is_fatal)
{
	open_store();
	begin(true);
	put(tables, "a", 1, "x");
	sync_error = EIO;
	sync_suffix = "-wal";
	cr_assert_eq(class->commit(engine, &failure), ERROR_IO_ERROR);
	cr_assert(failure.fatal);
	cr_assert_not_null(strstr(failure.message, "Input/output error"), "%s", failure.message);
	abandon();
}

Test(sqlite_faults, no_space_found_out_by_a_sync_is_fatal_too)
{
	open_store();
	begin(true);
	put(tables, "a", 1, "x");
	sync_error = ENOSPC;
	sync_suffix = "-wal";
	cr_assert_eq(class->commit(engine, &failure), ERROR_IO_ERROR);
	cr_assert(failure.fatal);
	abandon();
}

Test(sqlite_faults, failed_write_at_commit_is_fatal)
{
	open_store();
	begin(false);
	put(tables, "a", 1, "x");
	write_error = EIO;
	cr_assert_eq(class->commit(engine, &failure), ERROR_IO_ERROR);
	cr_assert(failure.fatal);
	abandon();
}

Test(sqlite_faults, failed_sync_is_fatal)
{
	open_store();
	sync_error = EIO;
	sync_suffix = "-wal";
	cr_assert_eq(class->sync(engine, &failure), ERROR_IO_ERROR);
	cr_assert(failure.fatal);
	abandon();
}

Test(sqlite_faults, failed_sync_of_the_database_in_a_checkpoint_is_fatal)
{
	struct engine_checkpoint_result result;

	open_store();
	sync_error = EIO;
	sync_suffix = ".db";
	cr_assert_eq(class->checkpoint(engine, NULL, &result, &failure), ERROR_IO_ERROR);
	cr_assert(failure.fatal);
	abandon();
}

Test(sqlite_faults, failed_write_in_a_checkpoint_is_fatal)
{
	struct engine_checkpoint_result result;

	open_store();
	write_error = EIO;
	cr_assert_eq(class->checkpoint(engine, NULL, &result, &failure), ERROR_IO_ERROR);
	cr_assert(failure.fatal);
	abandon();
}

/* The shared index grows after the frames of the commit were written: recovery would find the transaction. */
Test(sqlite_faults, no_space_for_the_index_at_commit_is_fatal)
{
	struct engine_row row = {.kind = SPAN_LITERAL("entry"), .has_payload = true, .payload = SPAN_LITERAL("{}")};
	uint8_t *blob = calloc(1, 40 << 20);

	options.cache_bytes = 100 << 20;
	open_store();
	row.has_blob = true;
	row.blob = span_of(blob, 40 << 20);
	begin(false);
	assert_ok(class->put_row(engine, tables, SPAN_LITERAL("a"), 1, &row, &failure));
	write_error = ENOSPC;
	write_size = 1;
	cr_assert_eq(class->commit(engine, &failure), ERROR_IO_ERROR, "%s", failure.message);
	cr_assert(failure.fatal);
	abandon();
	free(blob);
	open_engine();
	write_size = 0;
	assert_goes_on(2);
}

Test(sqlite_faults, failed_recovery_is_no_start)
{
	open_store();
	assert_ok(class->close(engine, false, &failure));
	engine = NULL;
	sync_error = EIO;
	sync_suffix = ".db";
	cr_assert_eq(class->open(&options, &engine, &failure), ERROR_IO_ERROR);
	cr_assert_not_null(strstr(failure.message, path));
	cr_assert_null(engine);
	sync_error = 0;
	open_engine();
	assert_goes_on(1);
}

Test(sqlite_faults, failed_sync_when_taking_is_no_start)
{
	other_program("CREATE TABLE t (x)");
	open_engine();
	sync_error = EIO;
	sync_suffix = ".db";
	cr_assert_eq(class->take(engine, &failure), ERROR_IO_ERROR);
	sync_error = 0;
	assert_ok(class->take(engine, &failure));
}

/* SQLite says "wal" first and commits the change then. */
Test(sqlite_faults, failed_switch_to_the_log_is_told)
{
	other_program("CREATE TABLE t (x)");
	open_engine();
	sync_error = EIO;
	sync_suffix = "-journal";
	cr_assert_eq(class->take(engine, &failure), ERROR_IO_ERROR);
	cr_assert(failure.fatal);
	sync_error = 0;
	assert_ok(class->take(engine, &failure));
	cr_assert(file_there("-wal"));
}

Test(sqlite_faults, failed_checkpoint_when_closing_is_told)
{
	open_store();
	sync_error = EIO;
	sync_suffix = ".db";
	cr_assert_eq(class->close(engine, true, &failure), ERROR_IO_ERROR);
	engine = NULL;
	sync_error = 0;
	/* The log is still there, and nothing is lost. */
	cr_assert(file_there("-wal"));
	open_engine();
	assert_goes_on(1);
}
