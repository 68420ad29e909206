#include "tests/bench/naive.h"

#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/clock.h"
#include "tests/bench/generator.h"

#define BUSY_TIMEOUT_MS 5000

static const char schema[] =
    "PRAGMA page_size=8192; PRAGMA journal_mode=WAL;"
    "CREATE TABLE kyneta_records(doc_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, payload TEXT,"
    " blob BLOB, PRIMARY KEY (doc_id, seq)) WITHOUT ROWID";

/* In memory shared by all. */
struct part {
	uint64_t requests;
	bool failed;
	struct histogram latency;
};

struct shared {
	_Atomic int phase; /* enum load_phase */
	struct part parts[];
};

struct process {
	sqlite3 *db;
	sqlite3_stmt *begin, *insert, *commit;
	char document[32];
	const struct work *work;
	uint64_t seq;
};

static int fail(sqlite3 *db)
{
	fprintf(stderr, "kyneta-store-bench: naive: %s\n", db == NULL ? strerror(errno) : sqlite3_errmsg(db));
	return -1;
}

static int open_database(struct process *process, const char *path, const char *sql)
{
	if (sqlite3_open(path, &process->db) != SQLITE_OK ||
	    sqlite3_busy_timeout(process->db, BUSY_TIMEOUT_MS) != SQLITE_OK ||
	    sqlite3_exec(process->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return fail(process->db);
	return 0;
}

static int prepare(struct process *process)
{
	const struct {
		const char *sql;
		sqlite3_stmt **statement;
	} list[] = {
	    {"BEGIN IMMEDIATE", &process->begin},
	    {"INSERT INTO kyneta_records VALUES (?1, ?2, 'entry', ?3, ?4)", &process->insert},
	    {"COMMIT", &process->commit},
	};

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (sqlite3_prepare_v2(process->db, list[i].sql, -1, list[i].statement, NULL) != SQLITE_OK)
			return fail(process->db);
	return 0;
}

/* Steps until it is done: who waited in vain for the lock begins to wait again. */
static int step(struct process *process, sqlite3_stmt *statement)
{
	int result;

	do {
		sqlite3_step(statement);
		result = sqlite3_reset(statement);
	} while ((result & 0xff) == SQLITE_BUSY);
	return result == SQLITE_OK ? 0 : fail(process->db);
}

static int append(struct process *process)
{
	static const char payload[] = "{\"kind\":\"since\",\"encoding\":\"binary\",\"version\":\"1\"}";
	const struct work *work = process->work;

	sqlite3_bind_text(process->insert, 1, process->document, -1, SQLITE_STATIC);
	sqlite3_bind_int64(process->insert, 2, (sqlite3_int64)process->seq++);
	sqlite3_bind_text(process->insert, 3, payload, -1, SQLITE_STATIC);
	sqlite3_bind_blob64(process->insert, 4, work->data, work->bytes, SQLITE_STATIC);
	if (step(process, process->begin) != 0 || step(process, process->insert) != 0)
		return -1;
	return step(process, process->commit);
}

static int run_process(const char *path, const struct work *work, unsigned number, struct shared *shared)
{
	struct process process = {.work = work};
	struct part *part = &shared->parts[number];
	int failed;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(process.document, sizeof(process.document), "bench/%u", number);
	failed = open_database(&process, path,
			       work->durability == KYNETA_STORE_COMMITTED ? "PRAGMA synchronous=NORMAL"
									  : "PRAGMA synchronous=FULL");
	if (failed == 0)
		failed = prepare(&process);
	while (failed == 0 && atomic_load(&shared->phase) != PHASE_STOPPING) {
		uint64_t start = clock_ns();

		failed = append(&process);
		if (atomic_load(&shared->phase) == PHASE_WARMING)
			continue;
		/* One that began before the end and ended after it counts: it is what somebody waited. */
		histogram_record(&part->latency, clock_ns() - start);
		part->requests += atomic_load(&shared->phase) == PHASE_COUNTING;
	}
	part->failed = failed != 0;
	return failed == 0 ? 0 : 1;
}

static int make_database(const char *path)
{
	struct process process = {.db = NULL};
	int failed = open_database(&process, path, schema);

	sqlite3_close(process.db);
	return failed;
}

static void count(struct shared *shared, const struct work *work, struct load_result *result)
{
	uint64_t start;

	clock_wait_until(clock_ns() + (uint64_t)(work->warm_up * (double)NS_PER_SECOND));
	start = clock_ns();
	atomic_store(&shared->phase, PHASE_COUNTING);
	clock_wait_until(start + (uint64_t)(work->seconds * (double)NS_PER_SECOND));
	result->seconds = clock_seconds(clock_ns() - start);
	atomic_store(&shared->phase, PHASE_STOPPING);
}

int naive_run(const char *database, const struct work *work, struct load_result *result)
{
	size_t size = sizeof(struct shared) + work->connections * sizeof(struct part);
	struct shared *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t *pids = calloc(work->connections, sizeof(*pids));
	int failed = 0, status;

	memset(result, 0, sizeof(*result));
	if (shared == MAP_FAILED || pids == NULL)
		failed = fail(NULL);
	else
		failed = make_database(database);
	fflush(NULL);
	for (unsigned i = 0; failed == 0 && i < work->connections; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(run_process(database, work, i, shared));
		failed = pids[i] < 0 ? fail(NULL) : 0;
	}
	if (failed == 0)
		count(shared, work, result);
	else if (shared != MAP_FAILED)
		atomic_store(&shared->phase, PHASE_STOPPING);
	for (unsigned i = 0; pids != NULL && i < work->connections && pids[i] > 0; i++) {
		waitpid(pids[i], &status, 0);
		failed |= status;
		result->requests += shared->parts[i].requests;
		histogram_merge(&result->all, &shared->parts[i].latency);
	}
	free(pids);
	if (shared != MAP_FAILED)
		munmap(shared, size);
	return failed == 0 ? 0 : -1;
}
