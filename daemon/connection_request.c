/* connection_request: what becomes of a frame: checked, put in order, handed over, answered (connection.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/claim.h"
#include "daemon/connection.h"
#include "daemon/latency.h"
#include "daemon/log.h"
#include "daemon/server.h"
#include "daemon/stats.h"
#include "daemon/writer.h"

#define DAEMON_NAME "kyneta-stored " KYNETA_VERSION

/* Writes of one connection that are worth handing over before the turn's end; and if nobody else asks for anything:
 * more than may be done at once. */
#define FEED_WRITES	 16
#define FEED_LONE_WRITES (WRITER_AT_ONCE_REQUESTS + 1)

void connection_charge(struct connection *connection, struct job *job)
{
	struct server *server = connection->server;

	job->connection = connection;
	job->charge = sizeof(*job) + job->frame_size;
	connection->request_bytes += job->charge;
	connection->in_flight++;
	server->request_bytes += job->charge;
	server->large_bytes += job->large ? job->charge : 0;
	server->in_flight++;
	connection->account->request_bytes += job->charge;
	connection->account->in_flight++;
	stats_set(request_bytes, server->request_bytes);
	stats_set(requests_in_flight, server->in_flight);
}

void connection_discharge(struct connection *connection, struct job *job)
{
	struct server *server = connection->server;

	connection->request_bytes -= job->charge;
	connection->in_flight--;
	server->request_bytes -= job->charge;
	server->large_bytes -= job->large ? job->charge : 0;
	server->in_flight--;
	server->freed = true;
	connection->account->request_bytes -= job->charge;
	connection->account->in_flight--;
	if (connection->account->waited_for)
		connection_quota_freed(connection->account);
	stats_set(request_bytes, server->request_bytes);
	stats_set(requests_in_flight, server->in_flight);
	connection_touch(connection);
	job_free(job);
}

/* ---- answers ---- */

static void send_failure(struct connection *connection, const struct job *job)
{
	struct error_detail detail = {.position = job->at, .lowest = PROTOCOL_VERSION, .highest = PROTOCOL_VERSION};

	if (job->detail != NULL)
		detail.text = span_of_string(job->detail);
	connection_error(connection, job->request.id, job->code, job_message(job), job->outcome, &detail);
}

static void send_result(struct connection *connection, struct job *job)
{
	struct buffer *out;
	size_t before;

	if (job->reply.size > 0) {
		connection_out_take(connection, &job->reply);
		return;
	}
	out = connection_out(connection);
	if (out == NULL)
		return;
	before = out->size;
	if (operation_is_write(job->request.operation))
		reply_encode_write(out, job->request.id, job->at, job->duplicate);
	else
		reply_encode_empty(out, job->request.id);
	connection_out_done(connection, out, before);
}

/* Refuses a request that goes no further. */
static void refuse(struct connection *connection, struct job *job, int code, const char *message)
{
	job_fail(job, code, operation_is_write(job->request.operation) ? OUTCOME_NOT_APPLIED : OUTCOME_NONE, message);
	send_failure(connection, job);
	connection_discharge(connection, job);
}

/* ---- hello ---- */

static struct claim_request claim_request(struct connection *connection)
{
	struct server *server = connection->server;

	return (struct claim_request){
	    .connection = connection,
	    .mode = connection->access,
	    .create = connection->create,
	    .session = connection->handle != NULL ? connection->handle->id : NULL,
	    .now_ms = server_now_ms(server),
	    .claim_timeout_ms = connection->config->claim_timeout * 1000,
	};
}

static void end_hello(struct connection *connection, struct job *job, int code, const char *message)
{
	job_fail(job, code, OUTCOME_NONE, message);
	send_failure(connection, job);
	connection_discharge(connection, job);
	connection_end(connection, 0, "hello was refused");
}

static void refuse_hello(struct connection *connection, struct job *job, int code, const char *message)
{
	connection_notice(connection, NOTICE_HELLO_REFUSED, LOG_WARNING, "hello refused: %s: %s",
			  error_name((uint64_t)code), message);
	end_hello(connection, job, code, message);
}

static void accept_hello(struct connection *connection, struct job *job)
{
	const struct config *config = connection->config;
	const struct engine_tables *tables = atomic_load(&connection->store->tables);
	struct hello_reply reply = {
	    .version = PROTOCOL_VERSION,
	    .daemon = SPAN_LITERAL(DAEMON_NAME),
	    .through = job->through,
	    .layout = (uint64_t)tables->layout,
	    .frame_limit = connection_frame_limit(connection),
	    .in_flight_limit = connection_in_flight_limit(connection),
	    .page_limit = config->page_bytes,
	};
	static const char *const modes[] = {"read-write", "read-only", "exclusive"};
	struct buffer *out = connection_out(connection);
	size_t before;

	connection_notice(connection, NOTICE_HELLO, LOG_INFO, "store %s, layout %d, %s%s", tables->description,
			  (int)tables->layout, modes[connection->access],
			  connection->handle != NULL ? ", session" : "");
	if (out != NULL) {
		before = out->size;
		reply_encode_hello(out, job->request.id, &reply);
		connection_out_done(connection, out, before);
	}
	connection_discharge(connection, job);
	if (connection->state == CONNECTION_HELLO)
		connection_set_state(connection, CONNECTION_OPEN);
}

/* The claim of a store changed: have it written down. False without memory. */
static bool write_claim(struct connection *connection, struct store *store, struct connection *answer_to)
{
	struct job *job = job_new(0);

	if (job == NULL)
		return false;
	job->kind = JOB_CLAIM;
	job->store = store;
	job->connection = answer_to;
	job->claimed = store->held && store->holder_has_session;
	memcpy(job->claimant, store->holder_session, SESSION_SIZE);
	job_list_push(&connection->server->to_writer, job);
	return true;
}

/* The writer has found the store and read the session. */
static void hello_found(struct connection *connection, struct job *job)
{
	struct claim_request request = claim_request(connection);
	struct server *server = connection->server;
	char text[JOB_MESSAGE_SIZE];
	bool claim_changed;
	const char *reason;
	int code;

	if (job->refusal != REFUSAL_NONE) {
		snprintf(text, sizeof(text), "%s", job->message != NULL ? job->message : "");
		connection_refused(connection, job->refusal, text);
		end_hello(connection, job, job->code, text);
		return;
	}
	if (job->code != 0) {
		refuse_hello(connection, job, job->code, job->message != NULL ? job->message : "");
		return;
	}
	connection->store = job->store;
	connection->session = job->session;
	claim_restore(job->store, job->claimed ? job->claimant : NULL,
		      server->started_ms + server->config->claim_timeout * 1000);
	code = connection_grant(connection, text, sizeof(text));
	if (code != 0) {
		end_hello(connection, job, code, text);
		return;
	}
	code = claim_open(job->store, &request, &claim_changed, &reason);
	if (code != 0) {
		refuse_hello(connection, job, code, reason);
		return;
	}
	connection_opened(connection, job);
	if (!claim_changed) {
		accept_hello(connection, job);
	} else if (write_claim(connection, job->store, connection)) {
		connection->greeting = job; /* answered when the claim is written down */
	} else {
		refuse_hello(connection, job, ERROR_IO_ERROR, "out of memory");
	}
}

static void claim_written(struct connection *connection, struct job *claim)
{
	struct job *job = connection->greeting;

	connection->greeting = NULL;
	if (job != NULL && claim->code != 0)
		refuse_hello(connection, job, claim->code, claim->message != NULL ? claim->message : "");
	else if (job != NULL)
		accept_hello(connection, job);
	job_free(claim);
}

void connection_hello_go(struct connection *connection)
{
	struct job *job = connection->waiting;

	connection->waiting = NULL;
	connection_set_state(connection, CONNECTION_HELLO);
	job->kind = JOB_HELLO;
	job_list_push(&connection->server->to_writer, job);
	connection_touch(connection);
}

/* Finds or makes the place of a session's name. NULL without memory. */
static struct handle *handle_get(struct server *server, const uint8_t *id)
{
	struct handle *handle;

	HASH_FIND(hh, server->handles, id, SESSION_SIZE, handle);
	if (handle != NULL)
		return handle;
	handle = calloc(1, sizeof(*handle));
	if (handle == NULL)
		return NULL;
	memcpy(handle->id, id, SESSION_SIZE);
	HASH_ADD(hh, server->handles, id, SESSION_SIZE, handle);
	if (!hash_added(handle->hh)) {
		free(handle);
		return NULL;
	}
	return handle;
}

/* A hello for a session that another connection holds takes it over, once that one has finished. */
static bool take_session(struct connection *connection, const uint8_t *id)
{
	struct handle *handle = handle_get(connection->server, id);
	struct connection *holder, *waiting;

	if (handle == NULL)
		return false;
	connection->handle = handle;
	holder = handle->holder;
	waiting = handle->waiting;
	if (holder == NULL) {
		handle->holder = connection;
		return true;
	}
	handle->waiting = connection;
	stats_add(takeovers, 1);
	connection_notice(connection, NOTICE_TAKEOVER, LOG_INFO, "takes its session over from an older connection");
	if (waiting != NULL)
		connection_drop(waiting);
	connection_end(holder, 0, "its session was taken over");
	return true;
}

/* Are these versions, and is ours not among them? Then nothing else that the hello says is ours to judge. */
static bool speaks_others(const struct hello *hello)
{
	return hello->lowest > 0 && hello->highest >= hello->lowest &&
	       (hello->lowest > PROTOCOL_VERSION || hello->highest < PROTOCOL_VERSION);
}

static void request_hello(struct connection *connection, struct job *job)
{
	const struct hello *hello = &job->request.hello;
	const char *reason;
	size_t size = hello->client.size < CONNECTION_NAME_SIZE ? hello->client.size : CONNECTION_NAME_SIZE - 1;

	if (size > 0)
		memcpy(connection->name, hello->client.data, size);
	connection->last_id = HELLO_ID;
	connection->access = (enum access_mode)hello->access;
	connection->create = hello->create;
	if (connection->server->draining) {
		refuse_hello(connection, job, ERROR_DRAINING, "the daemon is stopping");
		return;
	}
	reason = connection_over_quota(connection);
	if (reason != NULL) {
		end_hello(connection, job, ERROR_BUSY, reason);
		return;
	}
	connection_prepare_hello(connection, job);
	connection->leave = job_new(0);
	if (connection->leave == NULL || (hello->has_session && !take_session(connection, hello->session.data))) {
		refuse_hello(connection, job, ERROR_IO_ERROR, "out of memory");
		return;
	}
	connection->waiting = job;
	connection_set_state(connection, CONNECTION_WAITING);
	if (connection->handle == NULL || connection->handle->holder == connection)
		connection_hello_go(connection);
}

/* ---- requests ---- */

/* The first frame. Any error to it closes. */
static void request_greeting(struct connection *connection, struct job *job, int code, const char *reason)
{
	if (job->request.operation != OPERATION_HELLO) {
		refuse(connection, job, ERROR_HELLO_EXPECTED, "the first request must be hello");
		connection_end(connection, 0, "no hello");
	} else if (speaks_others(&job->request.hello)) {
		refuse_hello(connection, job, ERROR_NO_COMMON_VERSION, "this daemon speaks version 1");
	} else if (code != 0) {
		refuse_hello(connection, job, code, reason);
	} else {
		request_hello(connection, job);
	}
}

static bool worth_feeding(const struct connection *connection)
{
	const struct server *server = connection->server;
	bool lone = connection->in_flight == server->in_flight;

	return connection->order.writes.count >= (lone ? FEED_LONE_WRITES : FEED_WRITES) &&
	       writer_hungry(server->writer);
}

/* A pipeline of writes keeps both threads busy if the writer does not wait for the last one to be read. */
static void feed(struct connection *connection)
{
	struct server *server = connection->server;

	connection_write_pump(connection);
	if (server->to_writer.count >= FEED_WRITES)
		server_feed(server);
}

/* Puts a request where its turn comes. */
static void enqueue(struct connection *connection, struct job *job)
{
	if (job->request.document.data == NULL)
		job->request.document = SPAN_LITERAL("");
	job->store = connection->store;
	job->session = connection->session;
	job->grant = &connection->grant;
	if (job->request.operation == OPERATION_CLOSE)
		connection->no_more = true;
	if (!order_add(&connection->order, job)) {
		/* Out of memory, and out of its place in the order: no answer is the only true one. */
		connection_discharge(connection, job);
		connection_drop(connection);
	} else if (worth_feeding(connection)) {
		feed(connection);
	}
}

static void request_open(struct connection *connection, struct job *job, int code, const char *reason)
{
	struct request *request = &job->request;
	bool is_write = operation_is_write(request->operation);

	if (code == 0 && request->operation == OPERATION_HELLO) {
		refuse(connection, job, ERROR_BAD_ARGUMENT, "hello was said already");
		return;
	}
	if (request->id == 0) {
		/* An error with id 0 speaks of the connection itself, which ends with it. */
		connection_discharge(connection, job);
		connection_reject(connection, ERROR_BAD_ARGUMENT, "the id must be 2 or more");
		return;
	}
	if (request->id <= connection->last_id) {
		refuse(connection, job, ERROR_BAD_ARGUMENT, "ids must increase on a connection");
		return;
	}
	connection->last_id = request->id;
	/* A write that is refused here takes its place among the writes all the same: its session remembers it. */
	if (is_write && connection->access == ACCESS_READ_ONLY)
		job_fail(job, ERROR_READ_ONLY, OUTCOME_NOT_APPLIED, "the store was opened for reading only");
	else if (is_write && code != 0)
		job_fail(job, code, OUTCOME_NOT_APPLIED, reason);
	else if (code != 0) {
		refuse(connection, job, code, reason);
		return;
	}
	if (request->operation == OPERATION_PING) {
		send_result(connection, job);
		connection_discharge(connection, job);
	} else if (request->operation == OPERATION_STATS) {
		connection_answer_stats(connection, request->id);
		connection_discharge(connection, job);
	} else {
		enqueue(connection, job);
	}
}

void connection_request(struct connection *connection, struct job *job)
{
	const char *reason = "";
	int code = request_decode(span_of(job->frame, job->frame_size), &job->request, &reason);

	job->arrived_us = connection->server->now_us;
	stats_add(requests, 1);
	connection_touch(connection);
	if (code == ERROR_MALFORMED) {
		stats_add(bad_frames, 1);
		connection_discharge(connection, job);
		connection_reject(connection, code, reason);
	} else if (connection->state == CONNECTION_GREETING) {
		request_greeting(connection, job, code, reason);
	} else {
		request_open(connection, job, code, reason);
	}
}

/* ---- to the threads and back ---- */

void connection_pump(struct connection *connection)
{
	/* Reads that are skipped make way for writes. */
	if (connection->mute)
		connection_read_pump(connection);
	connection_write_pump(connection);
	connection_read_pump(connection);
}

void connection_answer(struct connection *connection, struct job *job)
{
	connection_touch(connection);
	if (job->kind == JOB_HELLO) {
		hello_found(connection, job);
		return;
	}
	if (job->kind == JOB_CLAIM) {
		claim_written(connection, job);
		return;
	}
	if (!connection_read_answered(connection, job))
		return;
	connection_write_answered(connection, job);
	order_done(&connection->order, job);
	if (job->refusal != REFUSAL_NONE)
		connection_job_refused(connection, job);
	latency_record(job->request.operation, connection->server->now_us - job->arrived_us);
	if (job->unanswered)
		connection_drop(connection);
	else if (job->code != 0)
		send_failure(connection, job);
	else
		send_result(connection, job);
	if (job->request.operation == OPERATION_CLOSE && job->code == 0) {
		connection->session_ended = true;
		connection_end(connection, 0, "closed by the client");
	}
	connection_discharge(connection, job);
}
