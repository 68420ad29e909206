/* The SQLite engine: opening and taking in use, and that looking changes nothing; the reserve. */
#include "tests/unit/sqlite_scratch.h"

#include <sys/wait.h>

TestSuite(sqlite, .init = sqlite_scratch_make, .fini = sqlite_scratch_remove);

/* ---- opening ---- */

Test(sqlite, new_database)
{
	open_engine();
	cr_assert(file_there(""));
	close_engine();
	cr_assert_str_eq(file_text("PRAGMA page_size"), "8192");
	cr_assert_str_eq(file_text("PRAGMA auto_vacuum"), "2");
	cr_assert_str_eq(file_text("PRAGMA journal_mode"), "wal");
	cr_assert_str_eq(file_text("PRAGMA encoding"), "UTF-8");
	cr_assert_str_eq(file_text("SELECT count(*) FROM sqlite_schema"), "0");
	cr_assert_not(file_there("-journal"));
	cr_assert_not(file_there("-wal"));
	cr_assert_not(file_there(".reserve"));
}

Test(sqlite, empty_file_is_a_new_database)
{
	fclose(fopen(path, "w"));
	open_engine();
	close_engine();
	cr_assert_str_eq(file_text("PRAGMA page_size"), "8192");
}

Test(sqlite, existing_database_keeps_its_page_size)
{
	other_program("PRAGMA page_size=1024; CREATE TABLE notes (x); INSERT INTO notes VALUES ('kept');");
	open_engine();
	use_store(LAYOUT_2);
	close_engine();
	cr_assert_str_eq(file_text("PRAGMA page_size"), "1024");
	cr_assert_str_eq(file_text("PRAGMA auto_vacuum"), "0");
	cr_assert_str_eq(file_text("SELECT x FROM notes"), "kept");
}

static void assert_not_opened(int code, const char *message)
{
	cr_assert_eq(class->open(&options, &engine, &failure), code, "%d %s", failure.code, failure.message);
	cr_assert_null(engine);
	cr_assert_eq(failure.code, code);
	cr_assert_not_null(strstr(failure.message, message), "%s", failure.message);
	cr_assert_not_null(strstr(failure.message, options.path), "%s", failure.message);
	cr_assert_null(strchr(failure.message, '\n'));
}

static void write_file(const char *bytes, size_t size)
{
	FILE *file = fopen(path, "wb");

	cr_assert_eq(fwrite(bytes, 1, size, file), size);
	fclose(file);
}

Test(sqlite, not_a_database)
{
	char page[5000];

	/* One byte is an empty database to SQLite: it once wrote such. */
	for (size_t size = 2; size <= sizeof(page); size = size * 3 + 1) {
		memset(page, 'x', size);
		write_file(page, size);
		struct buffer before = folder_state();

		assert_not_opened(ERROR_CORRUPT, "is not a SQLite database");
		assert_folder_state(&before, "not a database");
	}
}

Test(sqlite, damaged_header)
{
	struct buffer bytes = BUFFER_EMPTY;

	other_program("CREATE TABLE t (x)");
	read_whole(path, &bytes);
	memset(bytes.data + 16, 0xff, 2); /* the page size */
	write_file((const char *)bytes.data, bytes.size);
	buffer_free(&bytes);
	assert_not_opened(ERROR_CORRUPT, "is not a SQLite database");
}

Test(sqlite, utf16_is_refused)
{
	static const char *const encodings[] = {"UTF-16le", "UTF-16be"};

	for (int i = 0; i < 2; i++) {
		char sql[100];

		unlink(path);
		snprintf(sql, sizeof(sql), "PRAGMA encoding='%s'; CREATE TABLE t (x)", encodings[i]);
		other_program(sql);
		struct buffer before = folder_state();

		assert_not_opened(ERROR_CORRUPT, encodings[i]);
		assert_folder_state(&before, "UTF-16");
	}
}

Test(sqlite, no_folder)
{
	static char nowhere[sizeof(path) + 16];

	snprintf(nowhere, sizeof(nowhere), "%s/no/where.db", folder);
	options.path = nowhere;
	assert_not_opened(ERROR_BAD_ARGUMENT, "there is no folder");
}

Test(sqlite, folder_is_a_file)
{
	static char below[sizeof(path) + 16];

	fclose(fopen(path, "w"));
	snprintf(below, sizeof(below), "%s/x.db", path);
	options.path = below;
	assert_not_opened(ERROR_BAD_ARGUMENT, "is not a folder");
}

Test(sqlite, path_is_a_folder)
{
	options.path = folder;
	assert_not_opened(ERROR_BAD_ARGUMENT, "it is a folder");
}

/* Opens as somebody who may do less than root, in a process of its own: is it refused, and does it say what @message
 * says? */
static void assert_denied(const char *message)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		if (geteuid() == 0 && seteuid(65534) != 0)
			_exit(2);
		_exit(class->open(&options, &engine, &failure) == ERROR_DENIED &&
			      strstr(failure.message, message) != NULL && strstr(failure.message, path) != NULL
			  ? 0
			  : 1);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
}

Test(sqlite, no_permission)
{
	other_program("CREATE TABLE t (x)");
	cr_assert_eq(chmod(folder, 0777), 0);
	cr_assert_eq(chmod(path, 0), 0);
	assert_denied("Permission denied");
}

Test(sqlite, folder_that_cannot_be_written)
{
	cr_assert_eq(chmod(folder, 0555), 0);
	assert_denied("no permission to write in folder");
	cr_assert_eq(chmod(folder, 0755), 0);
}

Test(sqlite, names_that_mean_something_to_sqlite_are_files)
{
	static const char *const names[] = {":memory:", "file:x.db?mode=memory", "x.db"};

	cr_assert_eq(chdir(folder), 0);
	for (int i = 0; i < 3; i++) {
		options.path = names[i];
		open_engine();
		close_engine();
		cr_assert_eq(access(names[i], F_OK), 0, "%s", names[i]);
	}
}

Test(sqlite, table_of_our_name_is_another_program_s)
{
	struct buffer before;

	other_program("CREATE TABLE kyneta_stored (x)");
	before = folder_state();
	assert_not_opened(ERROR_INCOMPATIBLE_FORMAT, "rename that table");
	cr_assert_str_eq(failure.detail, "foreign-table");
	assert_folder_state(&before, "own table");
}

/* ---- looking changes nothing, taking does ---- */

static bool is_wal(void)
{
	struct buffer bytes = BUFFER_EMPTY;
	bool wal;

	read_whole(path, &bytes);
	wal = bytes.data[18] == 2 && bytes.data[19] == 2;
	buffer_free(&bytes);
	return wal;
}

Test(sqlite, found_but_not_taken)
{
	struct buffer before;

	other_program("CREATE TABLE kyneta_meta (doc_id TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID");
	before = folder_state();
	open_engine();
	find_named(NULL, NULL, NULL);
	close_engine();
	assert_folder_state(&before, "found");
}

Test(sqlite, refused_file_with_a_log_keeps_it)
{
	struct buffer before, after;
	char log[sizeof(path) + 8], copy[sizeof(path) + 16], copied_log[sizeof(path) + 24];
	sqlite3 *db = other_open(path);

	/* A copy taken while its owner runs: the log holds everything. */
	other_run(db, "PRAGMA journal_mode=WAL; CREATE TABLE kyneta_meta (x); INSERT INTO kyneta_meta VALUES (1);");
	snprintf(log, sizeof(log), "%s-wal", path);
	snprintf(copy, sizeof(copy), "%s.copy", path);
	snprintf(copied_log, sizeof(copied_log), "%s-wal", copy);
	copy_file(path, copy);
	copy_file(log, copied_log);
	cr_assert_eq(sqlite3_close(db), SQLITE_OK);
	before = BUFFER_EMPTY;
	after = BUFFER_EMPTY;
	read_whole(copy, &before);
	read_whole(copied_log, &before);

	options.path = copy;
	open_engine();
	struct table_names names = named(NULL, NULL, NULL, 0);
	const struct engine_tables *tables;

	cr_assert_eq(class->find(engine, &names, &tables, &failure), ERROR_INCOMPATIBLE_FORMAT);
	close_engine();
	read_whole(copy, &after);
	read_whole(copied_log, &after);
	cr_assert(span_equal(buffer_span(&before), buffer_span(&after)));
	buffer_free(&before);
	buffer_free(&after);
}

Test(sqlite, taken_file_is_in_wal_mode)
{
	other_program("CREATE TABLE t (x)");
	cr_assert_not(is_wal());
	open_engine();
	find_named(NULL, NULL, NULL);
	assert_ok(class->take(engine, &failure));
	assert_ok(class->take(engine, &failure));
	close_engine();
	cr_assert(is_wal());
	cr_assert_not(file_there("-wal"));
	cr_assert_not(file_there("-shm"));
}

/* ---- the reserve ---- */

static uint64_t reserve_bytes(void)
{
	char name[sizeof(path) + 16];
	struct stat status;

	snprintf(name, sizeof(name), "%s.reserve", path);
	return stat(name, &status) == 0 ? (uint64_t)status.st_blocks * 512 : 0;
}

Test(sqlite, reserve_is_made_given_back_and_made_again)
{
	options.reserve_bytes = 1 << 20;
	open_engine();
	cr_assert_eq(reserve_bytes(), 0);
	use_store(LAYOUT_2);
	cr_assert_geq(reserve_bytes(), 1 << 20);
	class->release_reserve(engine);
	cr_assert_not(file_there(".reserve"));
	class->release_reserve(engine);
	assert_ok(class->restore_reserve(engine, &failure));
	cr_assert_geq(reserve_bytes(), 1 << 20);
	close_engine();

	/* Another size next time; none at all. */
	options.reserve_bytes = 1 << 16;
	open_engine();
	assert_ok(class->take(engine, &failure));
	cr_assert_lt(reserve_bytes(), 1 << 20);
	cr_assert_geq(reserve_bytes(), 1 << 16);
	close_engine();
	options.reserve_bytes = 0;
	open_engine();
	assert_ok(class->take(engine, &failure));
	cr_assert_not(file_there(".reserve"));
}

Test(sqlite, reserve_that_cannot_be_made_is_told)
{
	options.reserve_bytes = UINT64_C(1) << 60;
	open_engine();
	assert_ok(class->take(engine, &failure));
	cr_assert_not_null(strstr(waited_for, "aside"), "%s", waited_for);
	cr_assert_neq(class->restore_reserve(engine, &failure), 0);
	cr_assert_not(file_there(".reserve"));
}

/* ---- a database that may not grow ---- */

static const struct engine_tables *tables;

static int put_large(uint64_t seq)
{
	static uint8_t bytes[100000];
	struct engine_row row = {.kind = SPAN_LITERAL("entry"), .has_payload = true, .payload = SPAN_LITERAL("{}")};
	int code;

	row.has_blob = true;
	row.blob = span_of(bytes, sizeof(bytes));
	begin(false);
	code = class->put_row(engine, tables, SPAN_LITERAL("a"), seq, &row, &failure);
	if (code == 0)
		commit();
	else
		class->rollback(engine);
	return code;
}

static uint64_t unused(void)
{
	uint64_t bytes;

	assert_ok(class->unused_bytes(engine, &bytes, &failure));
	return bytes;
}

Test(sqlite, growth_is_limited_to_what_is_unused_or_spare)
{
	uint64_t seq = 0;

	options.reserve_bytes = 3 << 20; /* a third of it is spare: ten rows */
	open_engine();
	tables = use_store(LAYOUT_2);
	for (; seq < 20; seq++)
		assert_ok(put_large(seq));
	cr_assert_eq(unused(), 0);
	assert_ok(class->set_growth(engine, GROWTH_NONE, &failure));
	cr_assert_eq(put_large(seq), ERROR_DISK_FULL);
	assert_ok(class->set_growth(engine, GROWTH_SPARE, &failure));
	for (; seq < 30; seq++)
		assert_ok(put_large(seq));
	cr_assert_eq(put_large(seq), ERROR_DISK_FULL);

	/* Within what is unused all is free; the limit is counted from where it began. */
	begin(false);
	assert_ok(class->delete_rows(engine, tables, SPAN_LITERAL("a"), &failure));
	commit();
	cr_assert_gt(unused(), 30 * 100000);
	assert_ok(class->set_growth(engine, GROWTH_NONE, &failure));
	for (seq = 0; seq < 30; seq++)
		assert_ok(put_large(seq));
	cr_assert_eq(put_large(seq), ERROR_DISK_FULL);
	assert_ok(class->set_growth(engine, GROWTH_FREE, &failure));
	for (; seq < 60; seq++)
		assert_ok(put_large(seq));
}

Test(sqlite, reserve_is_made_again_with_a_margin_while_growth_is_limited)
{
	options.reserve_bytes = 1 << 20;
	open_engine();
	use_store(LAYOUT_2);
	class->release_reserve(engine);
	assert_ok(class->set_growth(engine, GROWTH_NONE, &failure));
	assert_ok(class->restore_reserve(engine, &failure));
	cr_assert_geq(reserve_bytes(), 1 << 20);
	cr_assert_lt(reserve_bytes(), 2 << 20);
}
