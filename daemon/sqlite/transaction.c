/* transaction: begin, commit, rollback, and waiting for the locks of other programs (sqlite.h). Writer thread. */
#include "daemon/clock.h"
#include "daemon/sqlite/sqlite.h"

#define WAIT_STEP_MAX_MS 20
#define TELL_EVERY_US	 1000000

void sqlite_patience_start(struct sqlite_engine *engine, bool limited, uint64_t budget_us)
{
	engine->patience = (struct sqlite_patience){.limited = limited, .budget_us = budget_us};
}

/*
 * Waits a little for a lock that another program holds: 1, 2, 4 … 20 ms. A write never gives up, since its client
 * cannot do better than wait either; a checkpoint does, since it can be done later.
 */
int sqlite_busy(void *context, int count)
{
	struct sqlite_engine *engine = context;
	struct sqlite_patience *patience = &engine->patience;
	uint64_t now = clock_us();

	if (count == 0) {
		patience->started_us = now;
		patience->told_us = now;
	}
	if (patience->limited && now - patience->started_us >= patience->budget_us)
		return 0;
	if (now - patience->told_us >= TELL_EVERY_US) {
		patience->told_us = now;
		if (engine->options.waiting != NULL)
			engine->options.waiting(engine->options.context, engine->waiting_text);
	}
	sqlite_progress(engine);
	sqlite3_sleep(count < 4 ? 1 << count : WAIT_STEP_MAX_MS);
	return 1;
}

int sqlite_run(struct sqlite_engine *engine, const char *sql, const char *what, struct failure *failure)
{
	int result;

	sqlite_patience_start(engine, false, 0);
	result = sqlite3_exec(engine->db, sql, NULL, NULL, NULL);
	return result == SQLITE_OK ? 0 : sqlite_trouble(engine->db, result, STAGE_STATEMENT, what, failure);
}

int sqlite_synchronous(struct sqlite_engine *engine, int level, struct failure *failure)
{
	int code;

	if (engine->synchronous == level)
		return 0;
	/* Takes effect when it is prepared: so never a prepared statement that is kept. */
	code = sqlite_run(engine, level == 2 ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL",
			  "set durability", failure);
	if (code == 0)
		engine->synchronous = level;
	return code;
}

/* The one number that @statement gives. */
static int step_number(struct sqlite_engine *engine, sqlite3_stmt *statement, int64_t *number, struct failure *failure)
{
	int code = 0, result = sqlite3_step(statement);

	if (result == SQLITE_ROW)
		*number = sqlite3_column_int64(statement, 0);
	else
		code = sqlite_trouble(engine->db, result, STAGE_STATEMENT, "look for changes", failure);
	sqlite3_reset(statement);
	return code;
}

int sqlite_data_version(struct sqlite_engine *engine, int64_t *version, struct failure *failure)
{
	return step_number(engine, engine->version_statement, version, failure);
}

static int begin(struct engine *base, bool synced, bool wait, bool *foreign, struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);
	int64_t version = engine->data_version;
	int result, code = sqlite_synchronous(engine, synced ? 2 : 1, failure);

	if (code != 0)
		return code;
	sqlite_patience_start(engine, !wait, 0);
	sqlite3_step(engine->begin_statement);
	result = sqlite3_reset(engine->begin_statement);
	if (result != SQLITE_OK)
		return sqlite_trouble(engine->db, result, STAGE_STATEMENT, "begin a transaction", failure);
	code = sqlite_data_version(engine, &version, failure);
	if (code != 0) {
		sqlite_rollback(base);
		return code;
	}
	*foreign = engine->foreign || version != engine->data_version;
	engine->foreign = false;
	engine->data_version = version;
	return 0;
}

int sqlite_begin(struct engine *base, bool synced, bool *foreign, struct failure *failure)
{
	return begin(base, synced, true, foreign, failure);
}

int sqlite_try_begin(struct engine *base, bool synced, bool *foreign, struct failure *failure)
{
	return begin(base, synced, false, foreign, failure);
}

int sqlite_commit(struct engine *base, struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);
	int code, result;

	sqlite_patience_start(engine, false, 0);
	sqlite_watch_commit(engine);
	sqlite3_step(engine->commit_statement);
	result = sqlite3_reset(engine->commit_statement);
	if (result == SQLITE_OK)
		return 0;
	code = sqlite_trouble(engine->db, result, STAGE_COMMIT, "commit", failure);
	sqlite_rollback(base);
	return code;
}

bool sqlite_in_transaction(struct engine *base)
{
	return sqlite3_get_autocommit(sqlite_engine(base)->db) == 0;
}

void sqlite_rollback(struct engine *base)
{
	struct sqlite_engine *engine = sqlite_engine(base);

	/* SQLite rolls back by itself after some failures. */
	if (!sqlite_in_transaction(base))
		return;
	sqlite3_step(engine->rollback_statement);
	sqlite3_reset(engine->rollback_statement);
}
