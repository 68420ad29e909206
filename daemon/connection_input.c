/* connection_input: bytes become frames (connection.h). */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "daemon/clock.h"
#include "daemon/connection.h"
#include "daemon/log.h"
#include "daemon/server.h"
#include "daemon/stats.h"
#include "protocol/frame.h"

/* The rest of a frame at least this large is read to where it belongs; less goes through the scratch buffer, with what
 * follows it. */
#define DIRECT_READ_MIN (16 * 1024)

static uint64_t frame_limit(const struct connection *connection)
{
	return connection->state == CONNECTION_GREETING ? FRAME_HELLO_MAX : connection_frame_limit(connection);
}

/*
 * Room for requests. What is charged are whole frames, from their headers on, and in all together also what was
 * received beyond a limit (the stash). Two rules keep a few from taking everything: of the bytes of all together,
 * connections that hold much have three quarters; and whoever holds nothing may send one small request, whatever others
 * hold. One large frame is let in although it does not fit if there is no other: the limits must not lock up.
 */
#define SMALL_REQUEST_BYTES (16 * 1024)
#define SMALL_HOLD_BYTES    (64 * 1024)

/* Of max-request-bytes: received beyond a limit, at most. */
#define STASH_PART 16

static bool is_large(const struct connection *connection, uint64_t charge)
{
	return connection->request_bytes + charge > SMALL_HOLD_BYTES;
}

/* Is there room in what all together may have? */
static bool has_common_bytes(const struct connection *connection, uint64_t charge)
{
	const struct server *server = connection->server;
	uint64_t most = server->config->max_request_bytes;

	if (connection->in_flight == 0 && charge <= SMALL_REQUEST_BYTES)
		return true;
	if (!is_large(connection, charge))
		return server->request_bytes + charge <= most;
	return server->large_bytes == 0 ||
	       (server->large_bytes + charge <= most - most / 4 && server->request_bytes + charge <= most);
}

/* The limit that keeps one more request of so many bytes out; or NOTICE_COUNT. */
static enum notice limit_for(const struct connection *connection, uint64_t charge)
{
	const struct server *server = connection->server;
	const struct config *own = connection->config, *all = server->config;

	/* Every request has an answer, and many small ones add up as well. */
	if (connection->out_bytes >= own->max_reply_bytes_per_connection)
		return NOTICE_limit_max_reply_bytes_per_connection;
	if (connection->out_bytes > 0 && server->reply_bytes >= all->max_reply_bytes)
		return NOTICE_limit_max_reply_bytes;
	if (connection->in_flight >= own->max_requests_per_connection)
		return NOTICE_limit_max_requests_per_connection;
	if (connection->in_flight > 0 && server->in_flight >= all->max_requests)
		return NOTICE_limit_max_requests;
	if (connection->request_bytes > 0 && connection->request_bytes + charge > own->max_request_bytes_per_connection)
		return NOTICE_limit_max_request_bytes_per_connection;
	return has_common_bytes(connection, charge) ? NOTICE_COUNT : NOTICE_limit_max_request_bytes;
}

/* It waits for @limit, or (NOTICE_COUNT) for memory. Counted and told once, however often it looks in vain. */
static void hold_back(struct connection *connection, enum notice limit)
{
	struct server *server = connection->server;

	connection->held_back = true;
	if (connection->held_by != limit && limit != NOTICE_COUNT)
		notice_limit(&server->notices, limit, server_now_ms(server), &connection->peer, connection->name);
	connection->held_by = limit;
	if (limit == NOTICE_COUNT || limit == NOTICE_limit_max_requests || limit == NOTICE_limit_max_request_bytes ||
	    limit == NOTICE_limit_max_reply_bytes)
		server_wait(server, connection);
}

/* May frames be taken now? */
static bool takes(const struct connection *connection)
{
	return !connection->no_more &&
	       (connection->state == CONNECTION_GREETING || connection->state == CONNECTION_OPEN);
}

static void frame_too_large(struct connection *connection)
{
	struct server *server = connection->server;

	stats_add(bad_frames, 1);
	notice_limit(&server->notices, NOTICE_limit_max_frame_bytes, server_now_ms(server), &connection->peer,
		     connection->name);
	connection_end(connection, ERROR_FRAME_TOO_LARGE,
		       connection->state == CONNECTION_GREETING ? "a frame before hello has at most 4096 bytes"
								: "the frame is larger than the limit");
}

/* A header is complete: get the job for its frame. False: not now (a limit), or never (an error, the connection is
 * ending). */
static bool begin_frame(struct connection *connection)
{
	uint32_t length = frame_length(connection->header);
	uint64_t charge = sizeof(struct job) + length;
	enum notice limit;

	if (length == 0) {
		stats_add(bad_frames, 1);
		connection_reject(connection, ERROR_MALFORMED, "a frame of no bytes");
		return false;
	}
	if (length > frame_limit(connection)) {
		frame_too_large(connection);
		return false;
	}
	limit = limit_for(connection, charge);
	if (limit != NOTICE_COUNT) {
		hold_back(connection, limit);
		return false;
	}
	if (connection->has_quota && !connection_within_quota(connection, charge)) {
		connection->held_back = true;
		return false;
	}
	connection->partial = job_new(length);
	if (connection->partial == NULL) {
		hold_back(connection, NOTICE_COUNT); /* no memory is a limit as well */
		return false;
	}
	connection->held_by = NOTICE_COUNT;
	connection->partial->large = is_large(connection, charge);
	connection_charge(connection, connection->partial);
	connection->partial_have = 0;
	return true;
}

static void frame_arrived(struct connection *connection)
{
	struct job *job = connection->partial;

	connection->partial = NULL;
	connection->header_have = 0;
	connection->frame_since_ms = 0;
	connection_request(connection, job);
}

/* Takes what can be taken of @data; returns how much. Stops at a limit, and when the state does not take frames. */
static size_t take(struct connection *connection, const uint8_t *data, size_t size)
{
	size_t taken = 0;

	while (takes(connection) && (taken < size || connection->header_have == FRAME_HEADER_SIZE)) {
		size_t left = size - taken, part;

		if (connection->header_have < FRAME_HEADER_SIZE) {
			part = FRAME_HEADER_SIZE - connection->header_have;
			part = left < part ? left : part;
			memcpy(connection->header + connection->header_have, data + taken, part);
			connection->header_have += part;
			taken += part;
			if (connection->frame_since_ms == 0)
				connection->frame_since_ms = server_now_ms(connection->server);
			continue;
		}
		if (connection->partial == NULL && !begin_frame(connection))
			break;
		part = connection->partial->frame_size - connection->partial_have;
		part = left < part ? left : part;
		if (part > 0) /* a limit may have kept just the header, and nothing is left */
			memcpy(connection->partial->frame + connection->partial_have, data + taken, part);
		connection->partial_have += part;
		taken += part;
		if (connection->partial_have == connection->partial->frame_size)
			frame_arrived(connection);
		else if (taken == size)
			break;
	}
	return taken;
}

/* Keeps what could not be taken, and stops reading until it can. */
static void put_aside(struct connection *connection, const uint8_t *data, size_t size)
{
	struct buffer *stash = &connection->stash;

	connection_input_stop(connection);
	if (size == 0 || connection->state == CONNECTION_ENDING || connection->no_more)
		return;
	connection->server->stash_bytes -= stash->capacity;
	buffer_append(stash, data, size);
	connection->server->stash_bytes += stash->capacity;
	stats_set(stash_bytes, connection->server->stash_bytes);
	if (stash->failed)
		connection_drop(connection);
}

static void free_stash(struct connection *connection)
{
	if (connection->stash.capacity == 0)
		return;
	connection->server->stash_bytes -= connection->stash.capacity;
	stats_set(stash_bytes, connection->server->stash_bytes);
	buffer_free(&connection->stash);
	connection->stash_taken = 0;
}

/*
 * How much may be read to where it does not belong: no more than what may have to be put aside. If all together have
 * put enough aside already, just the rest of the header, or of a frame that is too small to be read directly.
 */
static size_t scratch_room(const struct connection *connection)
{
	const struct server *server = connection->server;

	if (server->stash_bytes + SERVER_SCRATCH_SIZE <= server->config->max_request_bytes / STASH_PART)
		return SERVER_SCRATCH_SIZE;
	return connection->partial != NULL ? connection->partial->frame_size - connection->partial_have
					   : FRAME_HEADER_SIZE - connection->header_have;
}

static void end_of_input(struct connection *connection, ssize_t status)
{
	connection_input_stop(connection);
	if (connection->header_have > 0)
		connection_notice(connection, NOTICE_CUT_FRAME, LOG_INFO, "it went away in the middle of a frame");
	connection->no_more = true;
	if (status != UV_EOF)
		connection->mute = true;
	connection_end(connection, 0, "end of input");
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
	struct connection *connection = handle->data;
	struct job *job = connection->partial;

	(void)suggested;
	buffer->base = (char *)connection->server->scratch;
	buffer->len = scratch_room(connection);
	if (job != NULL && job->frame_size - connection->partial_have >= DIRECT_READ_MIN) {
		buffer->base = (char *)job->frame + connection->partial_have;
		buffer->len = job->frame_size - connection->partial_have;
	}
	if (connection->server->draining && buffer->len > connection->drain_bytes)
		buffer->len = connection->drain_bytes;
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
	struct connection *connection = stream->data;
	size_t size = (size_t)count, taken;

	if (count == 0)
		return;
	connection->server->now_us = clock_us();
	connection_touch(connection);
	if (count < 0) {
		end_of_input(connection, count);
		return;
	}
	if (connection->server->draining)
		connection->drain_bytes -= size;
	if (connection->server->draining && connection->drain_bytes == 0)
		connection_input_stop(connection);
	if ((uint8_t *)buffer->base != connection->server->scratch) {
		connection->partial_have += size;
		if (connection->partial_have == connection->partial->frame_size)
			frame_arrived(connection);
		return;
	}
	taken = take(connection, connection->server->scratch, size);
	if (taken < size || connection->held_back || !takes(connection))
		put_aside(connection, connection->server->scratch + taken, size - taken);
}

void connection_input_start(struct connection *connection)
{
	uint64_t now_ms = server_now_ms(connection->server);

	if (connection->reading || connection->no_more)
		return;
	if (connection->server->draining && connection->drain_bytes == 0)
		return;
	/* How long it was not read is our limit, not the peer's delay. */
	if (connection->frame_since_ms > connection->stopped_ms)
		connection->frame_since_ms = now_ms;
	else if (connection->frame_since_ms != 0)
		connection->frame_since_ms += now_ms - connection->stopped_ms;
	connection->reading = uv_read_start((uv_stream_t *)&connection->pipe, on_alloc, on_read) == 0;
	if (!connection->reading)
		connection_drop(connection);
}

static void on_discarded(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
	struct connection *connection = stream->data;

	(void)buffer;
	if (count >= 0)
		return;
	connection_input_stop(connection);
	connection->linger_until_ms = 0;
	connection_touch(connection);
}

void connection_input_discard(struct connection *connection)
{
	connection->reading = uv_read_start((uv_stream_t *)&connection->pipe, on_alloc, on_discarded) == 0;
}

void connection_input_stop(struct connection *connection)
{
	if (!connection->reading)
		return;
	uv_read_stop((uv_stream_t *)&connection->pipe);
	connection->reading = false;
	connection->stopped_ms = server_now_ms(connection->server);
}

void connection_input_resume(struct connection *connection)
{
	struct buffer *stash = &connection->stash;

	connection->held_back = false;
	connection->stash_taken +=
	    take(connection, stash->data + connection->stash_taken, stash->size - connection->stash_taken);
	if (connection->held_back || !takes(connection))
		return;
	free_stash(connection);
	connection_input_start(connection);
}

void connection_input_free(struct connection *connection)
{
	free_stash(connection);
	if (connection->partial != NULL)
		connection_discharge(connection, connection->partial);
	connection->partial = NULL;
}
