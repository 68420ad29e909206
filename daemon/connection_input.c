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

/* Has the peer, or have all together, left so much untaken that nothing more can be answered? Every request has an
 * answer, and many small ones add up as well. */
static bool replies_full(const struct connection *connection)
{
	const struct server *server = connection->server;

	return connection->out_bytes >= connection->config->max_reply_bytes_per_connection ||
	       (connection->out_bytes > 0 && server->reply_bytes >= server->config->max_reply_bytes);
}

/* Is there room for one more request of so many bytes? Whoever has nothing in flight and has taken its replies is
 * always let in: the limits must not lock up. */
static bool admits(const struct connection *connection, size_t length)
{
	const struct server *server = connection->server;
	const struct config *own = connection->config, *all = server->config;
	uint64_t charge = sizeof(struct job) + length;

	if (replies_full(connection))
		return false;
	if (connection->in_flight >= own->max_requests_per_connection || server->in_flight >= all->max_requests)
		return false;
	if (connection->request_bytes > 0 && connection->request_bytes + charge > own->max_request_bytes_per_connection)
		return false;
	return server->request_bytes == 0 || server->request_bytes + charge <= all->max_request_bytes;
}

/* May frames be taken now? */
static bool takes(const struct connection *connection)
{
	return !connection->no_more &&
	       (connection->state == CONNECTION_GREETING || connection->state == CONNECTION_OPEN);
}

static void bad_frame(struct connection *connection, int code, const char *reason)
{
	stats_add(bad_frames, 1);
	connection_end(connection, code, reason);
}

/* A header is complete: get the job for its frame. False: not now (a limit), or never (an error, the connection is
 * ending). */
static bool begin_frame(struct connection *connection)
{
	uint32_t length = frame_length(connection->header);

	if (length == 0) {
		bad_frame(connection, ERROR_MALFORMED, "a frame of no bytes");
		return false;
	}
	if (length > frame_limit(connection)) {
		bad_frame(connection, ERROR_FRAME_TOO_LARGE,
			  connection->state == CONNECTION_GREETING ? "a frame before hello has at most 4096 bytes"
								   : "the frame is larger than the limit");
		return false;
	}
	if (!admits(connection, length)) {
		connection->held_back = true;
		connection->server->starved = true;
		return false;
	}
	if (connection->has_quota && !connection_within_quota(connection, sizeof(struct job) + length)) {
		connection->held_back = true;
		return false;
	}
	connection->partial = job_new(length);
	if (connection->partial == NULL) {
		connection->held_back = true; /* no memory is a limit as well: try again when something was freed */
		connection->server->starved = true;
		return false;
	}
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
	connection_input_stop(connection);
	if (size == 0 || connection->state == CONNECTION_ENDING || connection->no_more)
		return;
	buffer_append(&connection->stash, data, size);
	if (connection->stash.failed)
		connection_drop(connection);
}

static void end_of_input(struct connection *connection, ssize_t status)
{
	connection_input_stop(connection);
	if (connection->header_have > 0)
		log_write(LOG_INFO, PEER_FORMAT ": the peer went away in the middle of a frame",
			  PEER_ARGUMENTS(&connection->peer));
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
	buffer->len = SERVER_SCRATCH_SIZE;
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
	if (connection->reading || connection->no_more)
		return;
	if (connection->server->draining && connection->drain_bytes == 0)
		return;
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
}

void connection_input_resume(struct connection *connection)
{
	struct buffer *stash = &connection->stash;

	connection->held_back = false;
	connection->stash_taken +=
	    take(connection, stash->data + connection->stash_taken, stash->size - connection->stash_taken);
	if (connection->held_back || !takes(connection))
		return;
	buffer_free(stash);
	connection->stash_taken = 0;
	connection_input_start(connection);
}

void connection_input_free(struct connection *connection)
{
	buffer_free(&connection->stash);
	connection->stash_taken = 0;
	if (connection->partial != NULL)
		connection_discharge(connection, connection->partial);
	connection->partial = NULL;
}
