#include "tests/bench/raw.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tests/bench/clock.h"

/* What statements are, as far as it is counted. */
enum kind { KIND_OTHER, KIND_ROW, KIND_COMMIT, KIND_ROLLBACK };

struct replay {
	const struct raw_options *options;
	struct raw_result *result;
	sqlite3 *db;
	sqlite3_stmt *statements[LOG_STATEMENTS_MAX];
	enum kind kinds[LOG_STATEMENTS_MAX];
	char *filler; /* for values of which only the size is known */
	bool measuring;
	uint64_t batch_rows; /* of the transaction in progress */
	/* When each of the last in_flight rows was committed: a ring. */
	uint64_t *committed_ns;
	uint64_t committed;
};

static int fail(struct replay *replay, const char *what)
{
	fprintf(stderr, "kyneta-store-bench: raw SQLite: %s: %s\n", what,
		replay->db == NULL ? "no memory" : sqlite3_errmsg(replay->db));
	return -1;
}

static bool begins_with(const char *text, const char *prefix)
{
	while (*text == ' ')
		text++;
	return strncasecmp(text, prefix, strlen(prefix)) == 0;
}

/* ---- one entry each ---- */

static int prepare(struct replay *replay, const struct log_entry *entry)
{
	const char *sql = (const char *)(entry + 1);
	sqlite3_stmt **statement = &replay->statements[entry->statement];

	sqlite3_finalize(*statement);
	*statement = NULL;
	replay->kinds[entry->statement] = begins_with(sql, "INSERT INTO") ? KIND_ROW
					  : begins_with(sql, "COMMIT")	  ? KIND_COMMIT
					  : begins_with(sql, "ROLLBACK")  ? KIND_ROLLBACK
									  : KIND_OTHER;
	if (sqlite3_prepare_v3(replay->db, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL) != SQLITE_OK)
		return fail(replay, sql);
	return 0;
}

static int execute(struct replay *replay, const struct log_entry *entry)
{
	static const char default_cache[] = "PRAGMA cache_size=-2000";
	const char *sql = (const char *)(entry + 1);

	if (sqlite3_exec(replay->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return fail(replay, sql);
	if (replay->options->sqlite_defaults && strstr(sql, "cache_size") != NULL &&
	    sqlite3_exec(replay->db, default_cache, NULL, NULL, NULL) != SQLITE_OK)
		return fail(replay, default_cache);
	return 0;
}

static int bind(struct replay *replay, sqlite3_stmt *statement, const struct log_entry *entry)
{
	const char *at = (const char *)(entry + 1);
	int result = SQLITE_OK;

	for (int i = 1; result == SQLITE_OK && i <= entry->count; i++) {
		const struct log_value *value = (const struct log_value *)(const void *)at;
		const char *bytes = (const char *)(value + 1);

		at = bytes;
		if (value->there)
			at += log_round(value->size);
		else
			bytes = replay->filler;
		if (value->type == LOG_NULL)
			result = sqlite3_bind_null(statement, i);
		else if (value->type == LOG_INTEGER)
			result = sqlite3_bind_int64(statement, i, value->integer);
		else if (value->type == LOG_TEXT)
			result = sqlite3_bind_text64(statement, i, bytes, value->size, SQLITE_STATIC, SQLITE_UTF8);
		else
			result = sqlite3_bind_blob64(statement, i, bytes, value->size, SQLITE_STATIC);
	}
	return result;
}

/* The rows of a batch are answered together, and each lets the client send the next. */
static void committed(struct replay *replay)
{
	uint64_t now = clock_ns(), in_flight = replay->options->in_flight;

	for (; replay->batch_rows > 0; replay->batch_rows--) {
		uint64_t *sent = &replay->committed_ns[replay->committed++ % in_flight];

		if (replay->measuring)
			histogram_record(&replay->result->latency, now - *sent);
		*sent = now;
	}
	replay->result->transactions += replay->measuring;
}

static int step(struct replay *replay, const struct log_entry *entry)
{
	sqlite3_stmt *statement = replay->statements[entry->statement];
	int result = bind(replay, statement, entry);

	if (result == SQLITE_OK)
		result = sqlite3_step(statement);
	sqlite3_reset(statement);
	if (result != SQLITE_DONE && result != SQLITE_ROW)
		return fail(replay, sqlite3_sql(statement));
	if (replay->kinds[entry->statement] == KIND_ROW) {
		replay->batch_rows++;
		replay->result->rows += replay->measuring;
	} else if (replay->kinds[entry->statement] == KIND_COMMIT) {
		committed(replay);
	} else if (replay->kinds[entry->statement] == KIND_ROLLBACK) {
		replay->batch_rows = 0;
	}
	return 0;
}

static int checkpoint(struct replay *replay, const struct log_entry *entry)
{
	if (replay->options->sqlite_defaults)
		return 0;
	replay->result->checkpoints += replay->measuring && entry->statement == SQLITE_CHECKPOINT_RESTART;
	if (sqlite3_wal_checkpoint_v2(replay->db, "main", entry->statement, NULL, NULL) != SQLITE_OK)
		return fail(replay, "checkpoint");
	return 0;
}

static int carry_out(struct replay *replay, const struct log_entry *entry)
{
	switch ((enum log_kind)entry->kind) {
	case LOG_PREPARE:
		return prepare(replay, entry);
	case LOG_EXECUTE:
		return execute(replay, entry);
	case LOG_STEP:
		return step(replay, entry);
	case LOG_CHECKPOINT:
		return checkpoint(replay, entry);
	}
	return fail(replay, "an entry of an unknown kind");
}

/* ---- all of it ---- */

static const struct log_entry *entry_at(const struct replay *replay, uint64_t at)
{
	return (const struct log_entry *)(const void *)((const char *)replay->options->log + at);
}

static uint32_t largest_value(const struct log_entry *entry)
{
	const char *at = (const char *)(entry + 1);
	uint32_t largest = 0;

	for (unsigned i = 0; entry->kind == LOG_STEP && i < entry->count; i++) {
		const struct log_value *value = (const struct log_value *)(const void *)at;

		at += sizeof(*value) + (value->there ? log_round(value->size) : 0);
		if (value->size > largest)
			largest = value->size;
	}
	return largest;
}

/* Bytes for the largest value; and the log is in memory after this. */
static int make_filler(struct replay *replay)
{
	uint64_t end = atomic_load(&replay->options->log->end);
	uint32_t largest = 0;

	for (uint64_t at = sizeof(*replay->options->log); at < end; at += entry_at(replay, at)->size)
		if (largest_value(entry_at(replay, at)) > largest)
			largest = largest_value(entry_at(replay, at));
	replay->filler = malloc((size_t)largest + 1);
	for (uint32_t i = 0; replay->filler != NULL && i < largest; i++)
		replay->filler[i] = (char)('a' + i % 26);
	return replay->filler == NULL ? fail(replay, "no memory") : 0;
}

static int carry_out_until(struct replay *replay, uint64_t *at, uint64_t end)
{
	while (*at < end) {
		const struct log_entry *entry = entry_at(replay, *at);

		if (carry_out(replay, entry) != 0)
			return -1;
		*at += entry->size;
	}
	return 0;
}

static int run(struct replay *replay)
{
	const struct raw_options *options = replay->options;
	uint64_t at = sizeof(*options->log), start, cpu;

	if (make_filler(replay) != 0 || carry_out_until(replay, &at, options->begin) != 0)
		return -1;
	start = clock_ns();
	cpu = clock_cpu_ns();
	replay->measuring = true;
	if (carry_out_until(replay, &at, options->end) != 0)
		return -1;
	replay->measuring = false;
	replay->result->seconds = clock_seconds(clock_ns() - start);
	replay->result->cpu = clock_seconds(clock_cpu_ns() - cpu) / replay->result->seconds;
	return carry_out_until(replay, &at, atomic_load(&options->log->end));
}

static int connect_database(struct replay *replay)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* as the daemon */
	if (sqlite3_open_v2(replay->options->database, &replay->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		return fail(replay, "open");
	/* When to checkpoint stands in the log. */
	if (!replay->options->sqlite_defaults)
		sqlite3_wal_autocheckpoint(replay->db, 0);
	return 0;
}

int raw_run(const struct raw_options *options, struct raw_result *result)
{
	struct replay replay = {.options = options, .result = result};
	int failed = -1;

	memset(result, 0, sizeof(*result));
	replay.committed_ns = calloc(options->in_flight, sizeof(*replay.committed_ns));
	if (atomic_load(&options->log->overflow))
		fprintf(stderr, "kyneta-store-bench: raw SQLite: the log of statements is not whole\n");
	else if (atomic_load(&options->log->end) == sizeof(*options->log))
		fprintf(stderr, "kyneta-store-bench: raw SQLite: the daemon did not load what notes its statements\n");
	else if (replay.committed_ns == NULL)
		fail(&replay, "start");
	else if (connect_database(&replay) == 0)
		failed = run(&replay);
	for (unsigned i = 0; i < LOG_STATEMENTS_MAX; i++)
		sqlite3_finalize(replay.statements[i]);
	sqlite3_close(replay.db);
	free(replay.committed_ns);
	free(replay.filler);
	return failed;
}

/* ---- comparing ---- */

static const char compare_sql[] =
    "SELECT (SELECT count(*) FROM kyneta_doc_meta), (SELECT count(*) FROM kyneta_stored), count(*), total(seq), "
    "total(length(blob)), total(length(CAST(payload AS BLOB))) FROM kyneta_records";

static int summary(const char *path, char *out, size_t size)
{
	sqlite3_stmt *statement = NULL;
	sqlite3 *db = NULL;
	size_t used = 0;
	int result = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);

	out[0] = '\0';
	if (result == SQLITE_OK)
		result = sqlite3_prepare_v2(db, compare_sql, -1, &statement, NULL);
	if (result == SQLITE_OK)
		result = sqlite3_step(statement);
	for (int i = 0; result == SQLITE_ROW && i < sqlite3_column_count(statement); i++)
		used += (size_t)snprintf(out + used, size - used, " %.0f", sqlite3_column_double(statement, i));
	if (result != SQLITE_ROW)
		fprintf(stderr, "kyneta-store-bench: %s: %s\n", path, sqlite3_errmsg(db));
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return result == SQLITE_ROW ? 0 : -1;
}

int raw_compare(const char *database, const char *raw_database)
{
	char found[256], expected[256];

	if (summary(database, expected, sizeof(expected)) != 0 || summary(raw_database, found, sizeof(found)) != 0)
		return -1;
	if (strcmp(found, expected) == 0)
		return 0;
	fprintf(stderr, "kyneta-store-bench: raw SQLite did other work than the daemon:%s instead of%s\n", found,
		expected);
	return -1;
}
