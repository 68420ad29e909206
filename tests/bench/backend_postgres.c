/*
 * PostgreSQL: the same tables, prepared statements, libpq's pipeline mode (backend.h).
 *
 * Everything that is sent in one turn is one pipeline with one sync at its end, and so one transaction with one commit:
 * the best that a client can do there. (It takes the whole turn back if one of its statements fails, which the daemon
 * does not; nothing fails here.) An append is answered when its pipeline's sync is, since only that means committed.
 *
 * Whether committed means fsynced is the server's configuration: synchronous_commit.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/backend.h"
#include "tests/bench/payload.h"

/* Type numbers, as in PostgreSQL's catalogue. */
#define TYPE_BYTEA 17
#define TYPE_INT8  20
#define TYPE_TEXT  25

static const char reset_sql[] = "DROP TABLE IF EXISTS kyneta_records; DROP TABLE IF EXISTS kyneta_doc_meta;"
				"CREATE TABLE kyneta_doc_meta (doc_id text PRIMARY KEY, data text NOT NULL);"
				"CREATE TABLE kyneta_records (doc_id text NOT NULL, seq bigint NOT NULL, kind text NOT "
				"NULL, payload text, blob bytea,"
				" PRIMARY KEY (doc_id, seq))";

static const char append_sql[] =
    "INSERT INTO kyneta_records (doc_id, seq, kind, payload, blob) VALUES ($1, $2, $3, $4, $5)";
static const char meta_sql[] =
    "INSERT INTO kyneta_doc_meta (doc_id, data) VALUES ($1, $2) ON CONFLICT (doc_id) DO UPDATE SET data = $2";
static const char look_sql[] = "SELECT data FROM kyneta_doc_meta WHERE doc_id = $1";

struct postgres_link {
	struct backend_link base;
	PGconn *connection;
	/* Requests whose sync is not there yet: a ring; capacity is a power of two. NULL is a sync. */
	void **ring;
	size_t capacity, head, tail;
	bool open; /* something was sent since the last sync */
	bool unsent;
	struct buffer payload, id;
};

static int fail(PGconn *connection, const char *what)
{
	fprintf(stderr, "kyneta-store-bench: PostgreSQL: %s: %s\n", what, PQerrorMessage(connection));
	return -1;
}

static PGconn *connect_server(const char *address)
{
	PGconn *connection = PQconnectdb(address);

	if (PQstatus(connection) == CONNECTION_OK)
		return connection;
	fail(connection, address);
	PQfinish(connection);
	return NULL;
}

static void ignore_notice(void *context, const char *message)
{
	(void)context;
	(void)message;
}

static int run(PGconn *connection, const char *sql)
{
	PGresult *result = PQexec(connection, sql);
	int failed = PQresultStatus(result) == PGRES_COMMAND_OK ? 0 : fail(connection, sql);

	PQclear(result);
	return failed;
}

static int postgres_reset(const char *address)
{
	PGconn *connection = connect_server(address);
	int failed;

	if (connection == NULL)
		return -1;
	PQsetNoticeProcessor(connection, ignore_notice, NULL);
	failed = run(connection, reset_sql);
	/* What was dropped shall not be written during what follows. */
	if (failed == 0)
		failed = run(connection, "CHECKPOINT");
	PQfinish(connection);
	return failed;
}

static int prepare(PGconn *connection, const char *name, const char *sql, int count)
{
	static const Oid types[] = {TYPE_TEXT, TYPE_INT8, TYPE_TEXT, TYPE_TEXT, TYPE_BYTEA};
	static const Oid texts[] = {TYPE_TEXT, TYPE_TEXT};
	PGresult *result = PQprepare(connection, name, sql, count, count == 5 ? types : texts);
	int failed = PQresultStatus(result) == PGRES_COMMAND_OK ? 0 : fail(connection, sql);

	PQclear(result);
	return failed;
}

static int postgres_open(const char *address, struct backend_link **out)
{
	struct postgres_link *link = calloc(1, sizeof(*link));

	if (link == NULL)
		return -1;
	link->connection = connect_server(address);
	if (link->connection == NULL) {
		free(link);
		return -1;
	}
	if (prepare(link->connection, "append", append_sql, 5) != 0 ||
	    prepare(link->connection, "meta", meta_sql, 2) != 0 || prepare(link->connection, "look", look_sql, 1) != 0)
		goto failed;
	if (PQsetnonblocking(link->connection, 1) != 0 || PQenterPipelineMode(link->connection) != 1) {
		fail(link->connection, "pipeline mode");
		goto failed;
	}
	link->base = (struct backend_link){.backend = &backend_postgres, .fd = PQsocket(link->connection)};
	*out = &link->base;
	return 0;
failed:
	PQfinish(link->connection);
	free(link);
	return -1;
}

static void postgres_close(struct backend_link *base)
{
	struct postgres_link *link = (struct postgres_link *)base;

	PQfinish(link->connection);
	free(link->ring);
	buffer_free(&link->payload);
	buffer_free(&link->id);
	free(link);
}

/* ---- sending ---- */

static int enqueue(struct postgres_link *link, void *token)
{
	if (link->tail - link->head == link->capacity) {
		size_t capacity = link->capacity == 0 ? 64 : link->capacity * 2;
		void **ring = calloc(capacity, sizeof(*ring));

		if (ring == NULL)
			return -1;
		for (size_t i = link->head; i != link->tail; i++)
			ring[i & (capacity - 1)] = link->ring[i & (link->capacity - 1)];
		free(link->ring);
		link->ring = ring;
		link->capacity = capacity;
	}
	link->ring[link->tail++ & (link->capacity - 1)] = token;
	return 0;
}

/* libpq wants the text NUL-terminated, even where it is told the size. */
static const char *terminated(struct buffer *buffer, struct span text)
{
	buffer_reset(buffer);
	buffer_append(buffer, text.data, text.size);
	buffer_append_byte(buffer, 0);
	return (const char *)buffer->data;
}

static int send_record(struct postgres_link *link, const char *id, int id_size, uint64_t seq,
		       const struct kyneta_store_record *record)
{
	uint64_t big_endian = htobe64(seq);
	bool meta = record->type == KYNETA_STORE_META, blob = !meta && !record->data_is_text;
	const char *values[5] = {id, (const char *)&big_endian, meta ? "meta" : "entry", NULL,
				 blob ? (record->data_size > 0 ? record->data : "") : NULL};
	int sizes[5] = {id_size, 8, meta ? 4 : 5, 0, blob ? (int)record->data_size : 0};
	static const int binary[5] = {0, 1, 0, 0, 1};

	buffer_reset(&link->payload);
	payload_write(&link->payload, record);
	sizes[3] = (int)link->payload.size;
	buffer_append_byte(&link->payload, 0);
	values[3] = (const char *)link->payload.data;
	if (PQsendQueryPrepared(link->connection, "append", 5, values, sizes, binary, 0) != 1)
		return fail(link->connection, "send");
	if (meta) {
		const char *both[2] = {id, values[3]};

		if (PQsendQueryPrepared(link->connection, "meta", 2, both, NULL, NULL, 0) != 1)
			return fail(link->connection, "send");
	}
	return 0;
}

static int postgres_send(struct backend_link *base, const struct work_request *request, void *token)
{
	struct postgres_link *link = (struct postgres_link *)base;
	const char *id = terminated(&link->id, request->document);
	uint64_t seq;

	link->open = true;
	if (request->operation == WORK_META) {
		if (PQsendQueryPrepared(link->connection, "look", 1, &id, NULL, NULL, 0) != 1)
			return fail(link->connection, "send");
		return enqueue(link, token);
	}
	seq = atomic_fetch_add(request->next, request->count);
	for (size_t i = 0; i < request->count; i++)
		if (send_record(link, id, (int)request->document.size, seq + i, &request->records[i]) != 0)
			return -1;
	return enqueue(link, token);
}

static int postgres_push(struct backend_link *base)
{
	struct postgres_link *link = (struct postgres_link *)base;
	int left;

	if (link->open) {
		if (PQpipelineSync(link->connection) != 1)
			return fail(link->connection, "sync");
		link->open = false;
		link->unsent = true;
		if (enqueue(link, NULL) != 0)
			return -1;
	}
	if (!link->unsent)
		return 0;
	left = PQflush(link->connection);
	if (left < 0)
		return fail(link->connection, "write");
	link->unsent = left > 0;
	return 0;
}

static short postgres_events(const struct backend_link *base)
{
	return ((const struct postgres_link *)base)->unsent ? POLLIN | POLLOUT : POLLIN;
}

/* ---- receiving ---- */

/* Everything up to the next sync is committed. */
static void take_sync(struct postgres_link *link)
{
	void *token;

	while ((token = link->ring[link->head++ & (link->capacity - 1)]) != NULL)
		link->base.done(token, NULL, 0);
}

static int postgres_process(struct backend_link *base)
{
	struct postgres_link *link = (struct postgres_link *)base;

	if (PQconsumeInput(link->connection) != 1)
		return fail(link->connection, "read");
	while (!PQisBusy(link->connection)) {
		PGresult *result = PQgetResult(link->connection);
		ExecStatusType status = PQresultStatus(result);

		if (result == NULL) {
			/* The end of one statement's results; or there is nothing more. */
			if (link->head == link->tail || PQisBusy(link->connection))
				break;
			result = PQgetResult(link->connection);
			status = PQresultStatus(result);
			if (result == NULL)
				break;
		}
		PQclear(result);
		if (status == PGRES_PIPELINE_SYNC)
			take_sync(link);
		else if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
			return fail(link->connection, "a statement");
	}
	return postgres_push(base);
}

const struct backend backend_postgres = {
    .name = "postgres",
    .operations = 1u << WORK_APPEND | 1u << WORK_META,
    .reset = postgres_reset,
    .open = postgres_open,
    .close = postgres_close,
    .send = postgres_send,
    .push = postgres_push,
    .events = postgres_events,
    .process = postgres_process,
};
