/* The SQLite engine: opening, taking in use, making stores, transactions beside another program, the log, closing. */
#include "tests/unit/sqlite_scratch.h"

#include <pthread.h>
#include <sys/wait.h>

TestSuite(sqlite, .init = sqlite_scratch_make, .fini = sqlite_scratch_remove);

#define META_1 "{\"syncProtocol\":{}}"
#define META_2 "{\"syncMode\":{}}"

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
	assert_not_opened(ERROR_IO_ERROR, "there is no folder");
}

Test(sqlite, folder_is_a_file)
{
	static char below[sizeof(path) + 16];

	fclose(fopen(path, "w"));
	snprintf(below, sizeof(below), "%s/x.db", path);
	options.path = below;
	assert_not_opened(ERROR_IO_ERROR, "is not a folder");
}

Test(sqlite, path_is_a_folder)
{
	options.path = folder;
	assert_not_opened(ERROR_IO_ERROR, "it is a folder");
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

/* ---- making a store ---- */

static void assert_made(enum layout layout, const char *meta, const char *records, const char *store)
{
	char sql[300];

	snprintf(sql, sizeof(sql),
		 "SELECT group_concat(name) FROM (SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name)");
	cr_assert_not_null(strstr(file_text(sql), meta));
	cr_assert_not_null(strstr(file_text(sql), records));
	if (layout == LAYOUT_1) {
		cr_assert_null(strstr(file_text(sql), "store"));
		return;
	}
	snprintf(sql, sizeof(sql), "SELECT key || value FROM \"%s\"", store);
	cr_assert_str_eq(file_text(sql), "format{\"major\":1,\"minor\":0}");
}

Test(sqlite, make_layout_1)
{
	const struct engine_tables *tables;

	open_engine();
	tables = use_store(LAYOUT_1);
	cr_assert_eq(tables->layout, LAYOUT_1);
	cr_assert_eq(find_named(NULL, NULL, NULL), tables);
	close_engine();
	assert_made(LAYOUT_1, "kyneta_meta", "kyneta_records", NULL);
}

Test(sqlite, make_layout_2)
{
	const struct engine_tables *tables;

	open_engine();
	tables = use_store(LAYOUT_2);
	cr_assert_eq(tables->layout, LAYOUT_2);
	cr_assert_eq(find_named(NULL, NULL, NULL), tables);
	close_engine();
	assert_made(LAYOUT_2, "kyneta_doc_meta", "kyneta_records", "kyneta_store_meta");
}

#define ODD "x\"; DROP TABLE y; --"

Test(sqlite, odd_names)
{
	static const char *const names[][3] = {
	    {"m", "r", "s"},	{ODD, ODD "r", ODD "s"}, {"select", "table", "from"},
	    {"'", "`", "[]"},	{"%w%s%q", "?1", ":a"},	 {"\xc3\xa9", "\xf0\x9f\x98\x80", "\n\t"},
	    {" ", "  ", "   "},
	};

	other_program("CREATE TABLE y (x)");
	open_engine();
	assert_ok(class->take(engine, &failure));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct engine_tables *tables = find_named(names[i][0], names[i][1], names[i][2]), *again;

		cr_assert_eq(tables->layout_forced, LAYOUT_2);
		begin(true);
		assert_ok(class->create(engine, tables, LAYOUT_2, &tables, &failure));
		put(tables, "doc", 0, "{}");
		put_meta(tables, "doc", META_2);
		commit();
		again = find_named(names[i][0], names[i][1], names[i][2]);
		cr_assert_eq(again, tables);
		cr_assert_eq(again->layout, LAYOUT_2);
		cr_assert_str_eq(again->description, names[i][1]);
	}
	close_engine();
	cr_assert_str_eq(file_text("SELECT count(*) FROM y"), "0");
	cr_assert_str_eq(file_text("SELECT doc_id FROM \"x\"\"; DROP TABLE y; --\""), "doc");
	cr_assert_str_eq(file_text("SELECT seq FROM \"x\"\"; DROP TABLE y; --r\""), "0");
}

Test(sqlite, names_that_cannot_be)
{
	static const char *const bad[][3] = {
	    {"sqlite_x", "r", NULL},
	    {"m", "SQLITE_r", NULL},
	    {"m", "r", "sqlite_"},
	    {"kyneta_stored", "r", NULL},
	    {"m", "m", NULL},
	    {"m", "M", NULL},
	    {"m", "r", "R"},
	    {"s", "r", "S"},
	    {"m", "kyneta_store_meta", NULL},
	    {NULL, "kyneta_doc_meta", NULL},
	    {"m", "kyneta_stored2", NULL},
	};
	struct table_names names = {SPAN_LITERAL("a\0b"), SPAN_NONE, SPAN_NONE, 0};
	const struct engine_tables *tables;

	open_engine();
	cr_assert_eq(class->find(engine, &names, &tables, &failure), ERROR_BAD_ARGUMENT);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		names = named(bad[i][0], bad[i][1], bad[i][2], 0);
		cr_assert_eq(class->find(engine, &names, &tables, &failure), ERROR_BAD_ARGUMENT, "%zu", i);
	}
}

Test(sqlite, key_is_folded_as_sqlite_folds)
{
	open_engine();
	cr_assert_str_eq(find_named("m", "Records\xc3\x89", NULL)->key, "records\xc3\x89");
}

Test(sqlite, rolled_back_store_is_not_made)
{
	const struct engine_tables *none, *made, *again;

	open_engine();
	none = find_named(NULL, NULL, NULL);
	assert_ok(class->take(engine, &failure));
	begin(false);
	assert_ok(class->create(engine, none, LAYOUT_2, &made, &failure));
	put(made, "a", 0, "{}");
	class->rollback(engine);
	cr_assert_eq(find_named(NULL, NULL, NULL), none);
	/* The statements of the first attempt are still good for the second. */
	begin(false);
	assert_ok(class->create(engine, none, LAYOUT_2, &again, &failure));
	cr_assert_eq(again, made);
	put(made, "a", 0, "{}");
	commit();
	cr_assert_str_eq(file_text("SELECT count(*) FROM kyneta_records"), "1");
}

Test(sqlite, another_program_makes_the_store_first)
{
	const struct engine_tables *none, *made = NULL;

	open_engine();
	none = find_named(NULL, NULL, NULL);
	assert_ok(class->take(engine, &failure));
	other_program("CREATE TABLE kyneta_meta (doc_id TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;"
		      "CREATE TABLE kyneta_records (doc_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, "
		      "payload TEXT, "
		      "blob BLOB, PRIMARY KEY (doc_id, seq)) WITHOUT ROWID;");
	begin(false);
	cr_assert_eq(class->create(engine, none, LAYOUT_2, &made, &failure), ERROR_INCOMPATIBLE_FORMAT);
	cr_assert_str_eq(failure.detail, "mixed-layouts");
	cr_assert_null(made);
	assert_ok(class->create(engine, none, LAYOUT_1, &made, &failure));
	cr_assert_eq(made->layout, LAYOUT_1);
	class->rollback(engine);
}

Test(sqlite, leftovers_are_completed)
{
	const struct engine_tables *tables;

	other_program("CREATE TABLE kyneta_store_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
		      "INSERT INTO kyneta_store_meta VALUES ('format', '{\"major\":1,\"minor\":4}');");
	open_engine();
	tables = find_named(NULL, NULL, NULL);
	cr_assert_eq(tables->layout_forced, LAYOUT_2);
	assert_ok(class->take(engine, &failure));
	begin(true);
	cr_assert_eq(class->create(engine, tables, LAYOUT_1, &tables, &failure), ERROR_INCOMPATIBLE_FORMAT);
	assert_ok(class->create(engine, tables, LAYOUT_2, &tables, &failure));
	commit();
	cr_assert_eq(find_named(NULL, NULL, NULL)->layout, LAYOUT_2);
	cr_assert_str_eq(file_text("SELECT value FROM kyneta_store_meta"), "{\"major\":1,\"minor\":4}");
}

Test(sqlite, several_stores_in_one_file)
{
	const struct engine_tables *a, *b;

	open_engine();
	a = use_store(LAYOUT_1);
	b = find_named("m", "r", "s");
	begin(true);
	assert_ok(class->create(engine, b, LAYOUT_2, &b, &failure));
	put(a, "doc", 0, "in a");
	put_meta(a, "doc", META_1);
	put(b, "doc", 0, "in b");
	put_meta(b, "doc", META_2);
	commit();
	close_engine();
	open_engine();
	cr_assert_eq(find_named(NULL, NULL, NULL)->layout, LAYOUT_1);
	cr_assert_eq(find_named("m", "r", "s")->layout, LAYOUT_2);
	cr_assert_str_eq(file_text("SELECT payload FROM r"), "in b");
	cr_assert_str_eq(file_text("SELECT payload FROM kyneta_records"), "in a");
}

/* ---- another program beside ---- */

static bool begin_foreign(void)
{
	bool foreign;

	assert_ok(class->begin(engine, false, &foreign, &failure));
	return foreign;
}

Test(sqlite, own_changes_are_not_foreign)
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

Test(sqlite, changes_of_another_program_are_seen_once)
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

Test(sqlite, changes_between_open_and_take_are_seen)
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

Test(sqlite, begin_waits_for_a_lock_and_says_so)
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

Test(sqlite, take_waits_for_a_lock)
{
	struct holder holder;

	other_program("CREATE TABLE t (x)");
	open_engine();
	hold(&holder, "BEGIN IMMEDIATE; INSERT INTO t VALUES (1)");
	assert_ok(class->take(engine, &failure));
	cr_assert_not(holder.held);
	let_go(&holder);
}

Test(sqlite, open_waits_for_an_exclusive_lock)
{
	struct holder holder;

	other_program("CREATE TABLE t (x)");
	hold(&holder, "BEGIN EXCLUSIVE");
	open_engine();
	cr_assert_not(holder.held);
	let_go(&holder);
}

Test(sqlite, dropped_table)
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

Test(sqlite, changed_schema_is_no_failure)
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

Test(sqlite, rollback_twice_and_outside)
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

Test(sqlite, row_that_is_there_already)
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

Test(sqlite, failure_may_be_absent)
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

Test(sqlite, log_grows_until_a_checkpoint_and_is_written_over_then)
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

Test(sqlite, log_starts_over_between_readers)
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

Test(sqlite, reader_of_another_program_does_not_stop_the_writer)
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

Test(sqlite, close_beside_a_reader_of_another_program)
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

Test(sqlite, clean_close_leaves_one_file)
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

Test(sqlite, unclean_close_leaves_the_log)
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

Test(sqlite, own_file_of_a_killed_daemon_is_recovered_at_open)
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

Test(sqlite, log_of_another_program_is_emptied_when_taken)
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
