#include "daemon/connection.h"

#include <assert.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "daemon/claim.h"
#include "daemon/log.h"
#include "daemon/server.h"
#include "daemon/stats.h"

/* The part of drain-timeout after which a peer that takes no reply is given up. */
#define DRAIN_REPLY_SHARE 3

/* The part of reply-timeout and frame-timeout that is left while room for requests or replies is short. */
#define SHORT_SHARE 12

/* A line about a peer is cut there. */
#define NOTICE_TEXT_SIZE 512

/* How long a connection that was turned away is listened to, and how many are at once. */
#define LINGER_MS     1000
#define LINGERING_MAX 16

/* Which state may follow which: [from] is a set of bits. */
#define TO(name) (1u << CONNECTION_##name)
static const unsigned allowed_moves[] = {
    [CONNECTION_GREETING] = TO(WAITING) | TO(ENDING),
    [CONNECTION_WAITING] = TO(HELLO) | TO(ENDING),
    [CONNECTION_HELLO] = TO(OPEN) | TO(ENDING),
    [CONNECTION_OPEN] = TO(ENDING),
    [CONNECTION_ENDING] = TO(CLOSED),
    [CONNECTION_CLOSED] = 0,
};

void connection_set_state(struct connection *connection, enum connection_state state)
{
	assert(allowed_moves[connection->state] & (1u << state));
	connection->state = state;
	connection_touch(connection);
}

void connection_touch(struct connection *connection)
{
	if (connection->dirty || connection->state == CONNECTION_CLOSED)
		return;
	connection->dirty = true;
	LL_PREPEND2(connection->server->dirty, connection, dirty_next);
}

/* It stays where it is, and libuv takes no other before it, nor asks for one: the next that closes, or the tick, tries
 * again. */
static void wait_to_accept(struct server *server, struct server_listener *listener, const char *what)
{
	if (listener->waits)
		return;
	listener->waits = true;
	stats_add(accepts_paused, 1);
	if (notice_due(&server->notices, NOTICE_ACCEPT, server_now_ms(server)))
		log_write(LOG_ERROR, "there is no %s for another connection beside %llu: it waits", what,
			  (unsigned long long)server->connection_count);
}

void connection_accept(struct server *server, struct server_listener *listener)
{
	bool has_descriptor = server_has_descriptor(server);
	struct connection *connection = has_descriptor ? calloc(1, sizeof(*connection)) : NULL;

	if (connection == NULL) {
		wait_to_accept(server, listener, has_descriptor ? "memory" : "descriptor");
		return;
	}
	listener->waits = false;
	uv_pipe_init(&server->loop, &connection->pipe, 0);
	connection->server = server;
	connection->config = config_ref(server->config);
	connection->pipe.data = connection;
	connection->since_ms = server_now_ms(server);
	connection->held_by = NOTICE_COUNT;
	DL_APPEND(server->connections, connection);
	server->connection_count++;
	stats_set(connections, server->connection_count);
	stats_add(connections_accepted, 1);
	if (uv_accept((uv_stream_t *)&listener->pipe, (uv_stream_t *)&connection->pipe) != 0) {
		connection_drop(connection);
		return;
	}
	if (connection_admit(connection))
		connection_input_start(connection);
}

/* ---- the end ---- */

void connection_end(struct connection *connection, int code, const char *reason)
{
	if (connection->state >= CONNECTION_ENDING)
		return;
	connection_input_stop(connection);
	connection_input_free(connection);
	connection->no_more = true;
	connection->end_code = code;
	connection->end_reason = reason;
	log_write(LOG_DEBUG, PEER_FORMAT ": ending: %s", PEER_ARGUMENTS(&connection->peer), reason);
	if (connection->waiting != NULL) {
		struct job *job = connection->waiting;

		connection->waiting = NULL;
		connection_discharge(connection, job);
	}
	connection_set_state(connection, CONNECTION_ENDING);
}

void connection_reject(struct connection *connection, int code, const char *reason)
{
	connection_notice(connection, NOTICE_MALFORMED, LOG_WARNING, "%s: %s", error_name((uint64_t)code), reason);
	connection_end(connection, code, reason);
}

void connection_notice(struct connection *connection, enum notice notice, enum log_level level, const char *format, ...)
{
	struct server *server = connection->server;
	char text[NOTICE_TEXT_SIZE];
	va_list arguments;

	if (!notice_due(&server->notices, notice, server_now_ms(server)))
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	log_write(level, PEER_FORMAT "%s%s: %s", PEER_ARGUMENTS(&connection->peer),
		  connection->name[0] != '\0' ? " " : "", connection->name, text);
}

void connection_drop(struct connection *connection)
{
	connection->mute = true;
	connection_end(connection, 0, "dropped");
	connection_touch(connection);
}

/* Another connection may wait for the session. */
static void leave_handle(struct connection *connection)
{
	struct handle *handle = connection->handle;

	connection->handle = NULL;
	if (handle == NULL)
		return;
	if (handle->waiting == connection)
		handle->waiting = NULL;
	if (handle->holder != connection)
		return;
	handle->holder = handle->waiting;
	handle->waiting = NULL;
	if (handle->holder != NULL) {
		connection_hello_go(handle->holder);
	} else {
		HASH_DEL(connection->server->handles, handle);
		free(handle);
	}
}

static void leave_store(struct connection *connection)
{
	struct server *server = connection->server;
	struct job *leave = connection->leave;
	struct claim_request request = {
	    .connection = connection,
	    .mode = connection->access,
	    .now_ms = server_now_ms(server),
	    .claim_timeout_ms = connection->config->claim_timeout * 1000,
	};

	if (connection->opened && claim_close(connection->store, &request, connection->session_ended)) {
		struct job *claim = job_new(0);

		if (claim != NULL) { /* without memory the claim runs out by itself */
			claim->kind = JOB_CLAIM;
			claim->store = connection->store;
			job_list_push(&server->to_writer, claim);
		}
	}
	if (connection->opened)
		connection_left(connection);
	connection->leave = NULL;
	if (connection->session == NULL) {
		job_free(leave);
		return;
	}
	leave->kind = JOB_LEAVE;
	leave->session = connection->session;
	leave->store = connection->store;
	connection->session = NULL;
	job_list_push(&server->to_writer, leave);
}

static void on_closed(uv_handle_t *handle)
{
	struct connection *connection = handle->data;
	struct server *server = connection->server;

	connection_out_free(connection);
	connection_read_leave(connection);
	connection_write_leave(connection);
	DL_DELETE(server->connections, connection);
	server_wait_no_more(server, connection);
	server->connection_count--;
	if (connection->turned_away)
		server->turned_away--;
	stats_set(connections, server->connection_count);
	connection_leave_account(connection);
	peer_free(&connection->peer);
	config_unref(connection->config);
	free(connection);
	server_accept_waiting(server);
}

static void connection_close(struct connection *connection)
{
	if (connection->lingers)
		connection->server->lingering--;
	log_write(LOG_DEBUG, PEER_FORMAT ": closed: %s", PEER_ARGUMENTS(&connection->peer), connection->end_reason);
	leave_store(connection);
	leave_handle(connection);
	connection_set_state(connection, CONNECTION_CLOSED);
	uv_close((uv_handle_t *)&connection->pipe, on_closed);
}

/*
 * Whoever is turned away has probably not sent its hello yet. Were the socket closed under it, its write would fail,
 * and not every client looks for an answer then: so what it sends is read and forgotten, until it has heard and closes.
 * For a moment only, and never for many.
 */
static bool linger(struct connection *connection)
{
	struct server *server = connection->server;
	int fd;

	if (connection->lingers)
		return !server->draining && server_now_ms(server) < connection->linger_until_ms;
	if (!connection->turned_away || connection->mute || server->draining || server->lingering >= LINGERING_MAX ||
	    uv_fileno((const uv_handle_t *)&connection->pipe, &fd) != 0 || shutdown(fd, SHUT_WR) != 0)
		return false;
	connection->lingers = true;
	connection->linger_until_ms = server_now_ms(server) + LINGER_MS;
	server->lingering++;
	connection_input_discard(connection);
	return true;
}

/* Everything accepted is answered: say the last word, and close once it is written. */
static void finish(struct connection *connection)
{
	if (connection->end_code != 0) {
		int code = connection->end_code;

		connection->end_code = 0;
		connection_error(connection, 0, code, span_of_string(connection->end_reason), OUTCOME_NONE, NULL);
	}
	connection_out_flush(connection);
	if ((connection->mute || connection_out_empty(connection)) && !linger(connection))
		connection_close(connection);
}

/* ---- turns of the loop ---- */

/*
 * Have bytes come that were not read, or (POLLOUT) has the peer taken what it was sent? A loop that stood still for a
 * while, as on a machine that was asleep, looks at the time before it looks at its sockets: the delay is its own then.
 */
static bool has_moved(const struct connection *connection, short events)
{
	struct pollfd poll_fd = {.events = events};

	return uv_fileno((const uv_handle_t *)&connection->pipe, &poll_fd.fd) == 0 && poll(&poll_fd, 1, 0) > 0 &&
	       (poll_fd.revents & events) != 0;
}

/* Bytes that have arrived and were not read. */
static int unread_bytes(const struct connection *connection)
{
	int fd, bytes = 0;

	if (uv_fileno((const uv_handle_t *)&connection->pipe, &fd) != 0 || ioctl(fd, FIONREAD, &bytes) != 0)
		return 0;
	return bytes;
}

/* While the daemon stops: what had arrived by then is taken, and nothing more, however much the peer sends. */
static void drain_step(struct connection *connection)
{
	if (connection->state != CONNECTION_GREETING && connection->state != CONNECTION_OPEN)
		return;
	if (!connection->held_back && connection->stash.size == 0 && connection->drain_bytes == 0)
		connection_end(connection, 0, "the daemon stops");
}

void connection_turn(struct connection *connection)
{
	connection->dirty = false;
	if (connection->state == CONNECTION_CLOSED)
		return;
	connection_pump(connection);
	if (connection->state == CONNECTION_GREETING || connection->state == CONNECTION_OPEN) {
		if (!connection->reading && !connection->no_more) {
			connection_input_resume(connection);
			connection_pump(connection);
		}
		if (connection->server->draining)
			drain_step(connection);
	}
	if (connection->state == CONNECTION_ENDING && connection->in_flight == 0)
		finish(connection);
	else
		connection_out_flush(connection);
}

static void time_out(struct connection *connection, enum notice limit, uint64_t now_ms)
{
	stats_add(timeouts, 1);
	notice_limit(&connection->server->notices, limit, now_ms, &connection->peer, connection->name);
	connection_drop(connection);
}

/* Has the peer taken nothing of its replies for too long, while it goes on asking (or is to be closed)? */
static bool replies_stuck(struct connection *connection, uint64_t now_ms, uint64_t timeout_ms)
{
	size_t queued = uv_stream_get_write_queue_size((uv_stream_t *)&connection->pipe);

	if (connection->writing == 0 || queued < connection->out_last_bytes)
		connection->out_progress_ms = now_ms;
	connection->out_last_bytes = queued;
	if (now_ms - connection->out_progress_ms < timeout_ms || has_moved(connection, POLLOUT))
		return false;
	return connection->in_flight > 0 || connection->state == CONNECTION_ENDING || connection->stash.size > 0 ||
	       unread_bytes(connection) > 0;
}

/* Is so much of it used that whoever holds it up harms others? */
static bool is_short(uint64_t used, uint64_t most)
{
	return used >= most - most / 4;
}

/* A daemon that stops does not wait as long as it may for whoever does not take its replies; nor one that is short of
 * room for those of others. */
static uint64_t reply_timeout_ms(const struct connection *connection)
{
	const struct server *server = connection->server;
	uint64_t timeout_ms = connection->config->reply_timeout * 1000;
	uint64_t drain_ms = server->config->drain_timeout * 1000 / DRAIN_REPLY_SHARE;

	if (is_short(server->reply_bytes + server->reply_reserved, server->config->max_reply_bytes) ||
	    is_short(server->request_bytes, server->config->max_request_bytes) ||
	    is_short(server->in_flight, server->config->max_requests))
		timeout_ms /= SHORT_SHARE;
	return server->draining && drain_ms < timeout_ms ? drain_ms : timeout_ms;
}

static uint64_t frame_timeout_ms(const struct connection *connection)
{
	const struct server *server = connection->server;
	uint64_t timeout_ms = connection->config->frame_timeout * 1000;

	return is_short(server->request_bytes, server->config->max_request_bytes) ? timeout_ms / SHORT_SHARE
										  : timeout_ms;
}

static bool hello_is_late(const struct connection *connection, uint64_t now_ms)
{
	return connection->state == CONNECTION_GREETING &&
	       now_ms - connection->since_ms >= connection->config->hello_timeout * 1000 &&
	       !has_moved(connection, POLLIN);
}

static bool frame_is_late(const struct connection *connection, uint64_t now_ms)
{
	return connection->state < CONNECTION_ENDING && connection->reading && connection->frame_since_ms != 0 &&
	       now_ms - connection->frame_since_ms >= frame_timeout_ms(connection) && !has_moved(connection, POLLIN);
}

void connection_tick(struct connection *connection, uint64_t now_ms)
{
	if (connection->state == CONNECTION_CLOSED)
		return;
	if (connection->lingers)
		connection_touch(connection);
	if (hello_is_late(connection, now_ms))
		time_out(connection, NOTICE_limit_hello_timeout, now_ms);
	else if (frame_is_late(connection, now_ms))
		time_out(connection, NOTICE_limit_frame_timeout, now_ms);
	else if (!connection->mute && replies_stuck(connection, now_ms, reply_timeout_ms(connection)))
		time_out(connection, NOTICE_limit_reply_timeout, now_ms);
	else if (connection->mute && connection->state < CONNECTION_ENDING && connection->no_more)
		connection_drop(connection);
}

void connection_drain(struct connection *connection)
{
	struct buffer *out;
	size_t before;

	connection_touch(connection);
	connection->drain_bytes = (size_t)unread_bytes(connection);
	if (connection->drain_bytes == 0)
		connection_input_stop(connection);
	if (connection->state != CONNECTION_OPEN)
		return;
	out = connection_out(connection);
	if (out == NULL)
		return;
	before = out->size;
	reply_encode_event(out, EVENT_DRAINING);
	connection_out_done(connection, out, before);
}
