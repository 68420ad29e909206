/*
 * handle: options, the life of a handle, and the turn that everything else happens in.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "client/handle.h"
#include "protocol/frame.h"
#include "protocol/utf8.h"

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

uint64_t handle_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* ---- options ---- */

static bool is_name(const char *name)
{
	return name == NULL || utf8_valid(span_of_string(name));
}

static bool are_valid(const struct kyneta_store_options *options)
{
	return is_name(options->name) && is_name(options->meta_table) && is_name(options->records_table) &&
	       is_name(options->store_table) && options->layout >= 0 && options->layout <= 2 &&
	       options->access >= KYNETA_STORE_READ_WRITE && options->access <= KYNETA_STORE_EXCLUSIVE &&
	       options->durability >= KYNETA_STORE_DEFAULT && options->durability <= KYNETA_STORE_SYNCED &&
	       options->deadline_ms >= -1 && options->backoff_base_ms >= 0 && options->backoff_max_ms >= 0;
}

static int read_options(kyneta_store *store, const struct kyneta_store_options *given, struct kyneta_store_error *error)
{
	static const struct kyneta_store_options defaults = KYNETA_STORE_OPTIONS_INIT;
	size_t path_most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
	const char *path;

	store->options = defaults;
	/* A caller compiled against a later header has more fields; an earlier one does not exist yet. */
	if (given != NULL && given->size < sizeof(*given))
		return failure_fill(error, KYNETA_STORE_EMISUSE, KYNETA_STORE_NO_OUTCOME,
				    "options must start from KYNETA_STORE_OPTIONS_INIT");
	if (given != NULL)
		store->options = *given;
	if (!are_valid(&store->options))
		return failure_fill(error, KYNETA_STORE_EMISUSE, KYNETA_STORE_NO_OUTCOME,
				    "an option is out of its range");
	path = store->options.path;
	if (path == NULL || path[0] == '\0')
		path = getenv("KYNETA_STORE_SOCKET");
	if (path == NULL || path[0] == '\0')
		path = KYNETA_STORE_DEFAULT_SOCKET;
	if (strlen(path) > path_most)
		return failure_fill(
		    error, KYNETA_STORE_ESOCKET, KYNETA_STORE_NO_OUTCOME,
		    "the path of the socket is longer than %zu bytes, which is all that the kernel takes: %s",
		    path_most, path);
	store->path = strdup(path);
	if (store->path == NULL)
		return failure_fill(error, KYNETA_STORE_EMEMORY, KYNETA_STORE_NO_OUTCOME, "no memory for a handle");
	return 0;
}

static struct span optional(const char *name)
{
	return name == NULL ? SPAN_NONE : span_of_string(name);
}

static int make_hello(kyneta_store *store, struct kyneta_store_error *error)
{
	const struct kyneta_store_options *options = &store->options;
	struct request request = {
	    .id = HELLO_ID,
	    .operation = OPERATION_HELLO,
	    .hello =
		{
		    .lowest = PROTOCOL_VERSION,
		    .highest = PROTOCOL_VERSION,
		    .client = optional(options->name),
		    .meta_table = optional(options->meta_table),
		    .records_table = optional(options->records_table),
		    .store_table = optional(options->store_table),
		    .layout = (uint64_t)options->layout,
		    .create = !options->no_create,
		    .access = (uint64_t)options->access,
		    .has_session = !options->no_session,
		    .session = span_of(store->session, sizeof(store->session)),
		},
	};

	request_encode(&store->hello, &request, NULL, 0);
	if (store->hello.failed)
		return failure_fill(error, KYNETA_STORE_EMEMORY, KYNETA_STORE_NO_OUTCOME, "no memory for a handle");
	if (store->hello.size > FRAME_HELLO_MAX)
		return failure_fill(error, KYNETA_STORE_EMISUSE, KYNETA_STORE_NO_OUTCOME,
				    "the names in the options are longer than hello can hold (%d bytes in all)",
				    FRAME_HELLO_MAX);
	return 0;
}

/* ---- new and free ---- */

static void release(kyneta_store *store)
{
	latch_clear(&store->latches);
	queue_deinit(&store->queue);
	connection_deinit(store);
	buffer_free(&store->hello);
	buffer_free(&store->scratch);
	free(store->path);
	free(store);
}

static int fill_in(kyneta_store *store, const struct kyneta_store_options *options, struct kyneta_store_error *error)
{
	int code = read_options(store, options, error);

	if (code == 0)
		code = connection_init(store, error);
	if (code == 0)
		code = make_hello(store, error);
	/* What the pointers point to is the caller's; the one that is used later was copied. */
	store->options.path = NULL;
	store->options.name = NULL;
	store->options.meta_table = NULL;
	store->options.records_table = NULL;
	store->options.store_table = NULL;
	return code;
}

int kyneta_store_new(const struct kyneta_store_options *options, kyneta_store **store, struct kyneta_store_error *error)
{
	kyneta_store *made;
	int code;

	if (store == NULL)
		return failure_fill(error, KYNETA_STORE_EMISUSE, KYNETA_STORE_NO_OUTCOME, "store must not be NULL");
	made = calloc(1, sizeof(*made));
	if (made == NULL)
		return failure_fill(error, KYNETA_STORE_EMEMORY, KYNETA_STORE_NO_OUTCOME, "no memory for a handle");
	made->connection.socket = -1;
	made->connection.epoll = -1;
	LIST_INIT(&made->streams);
	TAILQ_INIT(&made->closing);
	if (!queue_init(&made->queue))
		code = failure_fill(error, KYNETA_STORE_EMEMORY, KYNETA_STORE_NO_OUTCOME, "no memory for a handle");
	else
		code = fill_in(made, options, error);
	if (code != 0) {
		release(made);
		return code;
	}
	*store = made;
	return 0;
}

void kyneta_store_free(kyneta_store *store)
{
	struct kyneta_store_error error;

	if (store == NULL || store->in_callback)
		return;
	failure_fill(&error, KYNETA_STORE_ECLOSED, KYNETA_STORE_NO_OUTCOME, "the handle was freed");
	store->options.state = NULL;
	handle_end(store, &error);
	release(store);
}

/* ---- callbacks ---- */

void handle_state(kyneta_store *store, const struct kyneta_store_error *error)
{
	if (store->options.state == NULL)
		return;
	store->in_callback = true;
	switch (store->connection.phase) {
	case PHASE_WAITING:
	case PHASE_HELLO:
		store->options.state(store->options.state_context, KYNETA_STORE_CONNECTING, error);
		break;
	case PHASE_READY:
		store->options.state(store->options.state_context, KYNETA_STORE_READY, error);
		break;
	case PHASE_CLOSED:
		store->options.state(store->options.state_context, KYNETA_STORE_CLOSED, error);
		break;
	}
	store->in_callback = false;
}

static void call_back(kyneta_store *store, const struct call *call, const struct kyneta_store_answer *answer)
{
	store->queue.waiting--;
	if (call->done == NULL)
		return;
	store->in_callback = true;
	call->done(call->context, answer);
	store->in_callback = false;
}

void handle_finish(kyneta_store *store, struct call *call, const struct full_answer *answer)
{
	call_back(store, call, &answer->public);
	free(call);
}

void handle_fail(kyneta_store *store, struct call *call, const struct kyneta_store_error *error)
{
	struct full_answer answer = {.public = {.error = error}};
	kyneta_store_stream *stream = call->stream;

	if (stream == NULL) {
		handle_finish(store, call, &answer);
		return;
	}
	free(call);
	stream_error(store, stream, error);
}

/* Calls that ended on this side. */
static void run_ended(kyneta_store *store)
{
	struct full_answer well = {.reply = NULL};
	struct kyneta_store_error error;
	struct call *call;

	while ((call = TAILQ_FIRST(&store->queue.ended)) != NULL) {
		TAILQ_REMOVE(&store->queue.ended, call, link);
		if (call->abandoned) {
			free(call);
			continue;
		}
		if (call->ended_code == 0) {
			handle_finish(store, call, &well);
			continue;
		}
		failure_fill(&error, call->ended_code, call->ended_outcome, "%s", call->ended_reason);
		handle_fail(store, call, &error);
	}
}

/* ---- deadlines ---- */

static void fill_deadline(const kyneta_store *store, const struct call *call, struct kyneta_store_error *error)
{
	const struct kyneta_store_error *failure = &store->last_failure;

	if (failure->code != 0)
		failure_fill(error, KYNETA_STORE_EDEADLINE, call_outcome(call), "no answer in %d ms; %s",
			     store->options.deadline_ms, failure->message);
	else
		failure_fill(error, KYNETA_STORE_EDEADLINE, call_outcome(call), "no answer in %d ms",
			     store->options.deadline_ms);
}

static void expire(kyneta_store *store, struct call *call)
{
	struct full_answer answer = {.reply = NULL};
	kyneta_store_stream *stream = call->stream;
	struct kyneta_store_error error;

	fill_deadline(store, call, &error);
	answer.public.error = &error;
	if (call->operation == OPERATION_CLOSE) {
		handle_end(store, &error);
		return;
	}
	if (operation_is_write(call->operation))
		latch_add(&store->latches, call, KYNETA_STORE_EDEADLINE);
	if (stream == NULL)
		call_back(store, call, &answer.public);
	queue_abandon(&store->queue, call);
	if (stream != NULL)
		stream_error(store, stream, &error);
}

static void run_deadlines(kyneta_store *store)
{
	struct call *call = TAILQ_FIRST(&store->queue.deadlines);
	uint64_t now;

	if (call == NULL)
		return;
	now = handle_clock_ns();
	while (call != NULL && call->deadline_ns <= now) {
		expire(store, call);
		call = TAILQ_FIRST(&store->queue.deadlines);
	}
}

/* ---- the end ---- */

/* The callbacks of everything that is in the queue. */
static void end_calls(kyneta_store *store, const struct kyneta_store_error *error)
{
	struct kyneta_store_error own;
	struct call *call;

	queue_disconnect(&store->queue);
	while ((call = TAILQ_FIRST(&store->queue.calls)) != NULL) {
		queue_remove(&store->queue, call);
		if (call->stream != NULL) { /* the stream is told below */
			free(call);
			continue;
		}
		own = *error;
		own.outcome = call_outcome(call);
		handle_fail(store, call, &own);
	}
	while ((call = TAILQ_FIRST(&store->closing)) != NULL) {
		TAILQ_REMOVE(&store->closing, call, link);
		queue_leave(&store->queue, call);
		own = *error;
		own.outcome = KYNETA_STORE_NO_OUTCOME;
		handle_fail(store, call, &own);
	}
}

void handle_end(kyneta_store *store, const struct kyneta_store_error *error)
{
	struct kyneta_store_error kept = *error; /* @error may be last_failure */
	bool was_closed = store->connection.phase == PHASE_CLOSED;

	connection_close(store, PHASE_CLOSED);
	if (!was_closed) {
		store->ended_code = kept.code;
		store->last_failure = kept;
	}
	kept.outcome = KYNETA_STORE_NO_OUTCOME;
	end_calls(store, &kept);
	run_ended(store); /* before the streams go: pages are among them */
	stream_end_all(store, &kept);
	if (!was_closed)
		handle_state(store, &kept);
}

void handle_closed(kyneta_store *store)
{
	struct full_answer well = {.reply = NULL};
	struct call *call;

	connection_close(store, PHASE_CLOSED);
	queue_disconnect(&store->queue);
	store->ended_code = KYNETA_STORE_ECLOSED;
	store->close_done = true;
	while ((call = TAILQ_FIRST(&store->queue.calls)) != NULL) { /* nothing but close can be there */
		queue_remove(&store->queue, call);
		handle_finish(store, call, &well);
	}
	while ((call = TAILQ_FIRST(&store->closing)) != NULL) {
		TAILQ_REMOVE(&store->closing, call, link);
		queue_leave(&store->queue, call);
		handle_finish(store, call, &well);
	}
	handle_state(store, NULL);
}

/* Is close all that is left to do? */
static bool is_only_closing(const kyneta_store *store)
{
	const struct call *call = TAILQ_FIRST(&store->queue.calls);

	return store->close_asked && store->connection.phase != PHASE_CLOSED && TAILQ_EMPTY(&store->queue.ended) &&
	       LIST_EMPTY(&store->streams) && (call == NULL || call->operation == OPERATION_CLOSE);
}

/*
 * Close goes when nothing else is left. Then it is only about the daemon's memory of the session, which ends by itself
 * some day: if there never was a connection, or the daemon cannot be reached, the handle is closed without it. Hosts
 * and the daemon often stop together, and none shall wait for the other.
 */
static void run_close(kyneta_store *store)
{
	const struct connection *connection = &store->connection;
	struct call *call = TAILQ_FIRST(&store->closing);

	if (!is_only_closing(store))
		return;
	if (connection->phase == PHASE_WAITING && (store->connects == 0 || connection->attempts > 1)) {
		handle_closed(store);
		return;
	}
	if (call == NULL || !TAILQ_EMPTY(&store->queue.calls))
		return;
	TAILQ_REMOVE(&store->closing, call, link);
	queue_place(&store->queue, call);
}

/* ---- the turn ---- */

void handle_turn(kyneta_store *store)
{
	run_deadlines(store);
	connection_attempt(store);
	connection_receive(store);
	stream_run(store);
	run_ended(store);
	connection_leave_when_drained(store);
	run_close(store);
	connection_send(store);
	if (!TAILQ_EMPTY(&store->queue.ended)) {
		run_ended(store);
		run_close(store);
		connection_send(store);
	}
}

int kyneta_store_process(kyneta_store *store)
{
	if (store == NULL || store->in_callback)
		return KYNETA_STORE_EMISUSE;
	handle_turn(store);
	return store->connection.phase == PHASE_CLOSED && !store->close_done ? store->ended_code : 0;
}

void kyneta_store_push(kyneta_store *store)
{
	/* When the socket is full, it says so itself as soon as it is not. */
	if (store != NULL && store->connection.phase == PHASE_READY && !store->connection.want_write)
		connection_send(store);
}

int kyneta_store_fd(const kyneta_store *store)
{
	return store->connection.epoll;
}

short kyneta_store_events(const kyneta_store *store)
{
	(void)store;
	return POLLIN;
}

static int ms_until(uint64_t moment_ns)
{
	uint64_t now = handle_clock_ns();
	uint64_t left = moment_ns > now ? (moment_ns - now + NS_PER_MS - 1) / NS_PER_MS : 0;

	return left > INT_MAX ? INT_MAX : (int)left;
}

int kyneta_store_timeout(const kyneta_store *store)
{
	const struct connection *connection = &store->connection;
	const struct call *call = TAILQ_FIRST(&store->queue.deadlines);
	int timeout = -1, until;

	if (!TAILQ_EMPTY(&store->queue.ended) || store->streams_due)
		return 0;
	if (connection->phase == PHASE_CLOSED)
		return -1;
	if (connection_could_send(store) && !connection->want_write)
		return 0;
	if (!TAILQ_EMPTY(&store->closing) && TAILQ_EMPTY(&store->queue.calls) && LIST_EMPTY(&store->streams))
		return 0;
	if (connection->phase == PHASE_WAITING)
		timeout = connection->retry_ns == 0 ? 0 : ms_until(connection->retry_ns);
	if (call == NULL)
		return timeout;
	until = ms_until(call->deadline_ns);
	return timeout < 0 || until < timeout ? until : timeout;
}

/* ---- what is known ---- */

void kyneta_store_get_status(const kyneta_store *store, struct kyneta_store_status *status)
{
	static const int states[] = {
	    [PHASE_WAITING] = KYNETA_STORE_CONNECTING,
	    [PHASE_HELLO] = KYNETA_STORE_CONNECTING,
	    [PHASE_READY] = KYNETA_STORE_READY,
	    [PHASE_CLOSED] = KYNETA_STORE_CLOSED,
	};

	memset(status, 0, sizeof(*status));
	status->state = states[store->connection.phase];
	status->layout = store->layout;
	status->queued = store->queue.waiting + store->streams_open;
	status->queued_bytes = store->queue.bytes;
	status->connects = store->connects;
	status->resent = store->resent;
	status->duplicates = store->duplicates;
	status->restarts = store->restarts;
	memcpy(status->daemon, store->daemon, sizeof(status->daemon));
}

const char *kyneta_store_version(void)
{
	return KYNETA_VERSION;
}
