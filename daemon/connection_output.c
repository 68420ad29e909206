/* connection_output: replies are gathered, and written once per loop turn (connection.h). */
#include <stdlib.h>
#include <string.h>

#include "daemon/connection.h"
#include "daemon/log.h"
#include "daemon/server.h"
#include "daemon/stats.h"

/* Small replies share a chunk up to this size. */
#define CHUNK_SIZE (64 * 1024)

static void account(struct connection *connection, size_t more, size_t less)
{
	connection->out_bytes += more - less;
	connection->server->reply_bytes += more - less;
	stats_set(reply_bytes, connection->server->reply_bytes);
	if (less <= more)
		return;
	connection->server->freed = true;
	if (connection->server->beyond == connection && connection->out_bytes + connection->reply_reserved == 0)
		connection->server->beyond = NULL;
	if (connection->held_back || connection->reads.head != NULL)
		connection_touch(connection); /* what it has out may be what holds it back */
}

static struct chunk *add_chunk(struct connection *connection)
{
	struct chunk *chunk = calloc(1, sizeof(*chunk));

	if (chunk == NULL)
		return NULL;
	if (connection->out_tail == NULL)
		connection->out_head = chunk;
	else
		connection->out_tail->next = chunk;
	connection->out_tail = chunk;
	return chunk;
}

static void drop_head(struct connection *connection)
{
	struct chunk *chunk = connection->out_head;

	connection->out_head = chunk->next;
	if (connection->out_head == NULL)
		connection->out_tail = NULL;
	account(connection, 0, chunk->bytes.size);
	buffer_free(&chunk->bytes);
	free(chunk);
}

struct buffer *connection_out(struct connection *connection)
{
	struct chunk *chunk = connection->out_tail;

	if (connection->mute)
		return NULL;
	/* Not one that is being written: it must not move. */
	if (chunk == NULL || chunk == connection->writing_last || chunk->bytes.size >= CHUNK_SIZE)
		chunk = add_chunk(connection);
	if (chunk == NULL) {
		connection_drop(connection);
		return NULL;
	}
	return &chunk->bytes;
}

void connection_out_done(struct connection *connection, struct buffer *out, size_t before)
{
	account(connection, out->size, before);
	connection_touch(connection);
	if (out->failed)
		connection_drop(connection); /* a reply is missing: no other may follow */
}

void connection_out_take(struct connection *connection, struct buffer *bytes)
{
	struct chunk *chunk = connection->mute ? NULL : add_chunk(connection);

	if (chunk == NULL) {
		buffer_free(bytes);
		if (!connection->mute)
			connection_drop(connection);
		return;
	}
	chunk->bytes = *bytes;
	*bytes = BUFFER_EMPTY;
	account(connection, chunk->bytes.size, 0);
	connection_touch(connection);
}

void connection_error(struct connection *connection, uint64_t id, int code, struct span message,
		      enum error_outcome outcome, const struct error_detail *detail)
{
	struct buffer *out = connection_out(connection);
	size_t before;

	stats_add(errors, 1);
	if (out == NULL)
		return;
	before = out->size;
	reply_encode_error(out, id, (uint64_t)code, message, outcome, detail);
	connection_out_done(connection, out, before);
}

/* The first bytes of @count chunks were sent. */
static void sent(struct connection *connection, size_t count)
{
	while (count > 0) {
		struct chunk *chunk = connection->out_head;
		size_t left = chunk->bytes.size - chunk->sent;

		if (count < left) {
			chunk->sent += count;
			return;
		}
		count -= left;
		drop_head(connection);
	}
}

static unsigned collect(const struct connection *connection, uv_buf_t *buffers, struct chunk **last)
{
	unsigned count = 0;

	for (struct chunk *chunk = connection->out_head; chunk != NULL && count < CONNECTION_WRITE_BUFFERS;
	     chunk = chunk->next) {
		if (chunk->bytes.size == chunk->sent)
			break;
		buffers[count++] =
		    (uv_buf_t){.base = (char *)chunk->bytes.data + chunk->sent, .len = chunk->bytes.size - chunk->sent};
		*last = chunk;
	}
	return count;
}

/* The peer takes no more: what it asked for is still carried out. */
static void be_mute(struct connection *connection)
{
	connection->mute = true;
	while (connection->out_head != NULL && connection->writing == 0)
		drop_head(connection);
	connection_touch(connection);
}

static void on_written(uv_write_t *request, int status)
{
	struct connection *connection = request->data;

	for (; connection->writing > 0; connection->writing--)
		drop_head(connection);
	connection->writing_last = NULL;
	connection->out_progress_ms = server_now_ms(connection->server);
	if (status < 0)
		be_mute(connection);
	connection_touch(connection);
}

/* The socket is full: libuv writes the rest when it can. */
static void write_later(struct connection *connection)
{
	uv_buf_t buffers[CONNECTION_WRITE_BUFFERS];
	unsigned count = collect(connection, buffers, &connection->writing_last);

	connection->write.data = connection;
	connection->out_progress_ms = server_now_ms(connection->server);
	connection->writing = count;
	if (uv_write(&connection->write, (uv_stream_t *)&connection->pipe, buffers, count, on_written) != 0) {
		connection->writing = 0;
		connection->writing_last = NULL;
		be_mute(connection);
	}
}

void connection_out_flush(struct connection *connection)
{
	uv_buf_t buffers[CONNECTION_WRITE_BUFFERS];
	struct chunk *last;

	while (connection->writing == 0 && connection->out_head != NULL && connection->state != CONNECTION_CLOSED) {
		unsigned count = collect(connection, buffers, &last);
		int result = count == 0 ? 0 : uv_try_write((uv_stream_t *)&connection->pipe, buffers, count);

		if (count == 0) {
			drop_head(connection);
		} else if (result >= 0) {
			sent(connection, (size_t)result);
		} else if (result == UV_EAGAIN) {
			write_later(connection);
		} else {
			be_mute(connection);
		}
	}
}

bool connection_out_empty(const struct connection *connection)
{
	return connection->out_head == NULL;
}

void connection_out_free(struct connection *connection)
{
	connection->writing = 0;
	while (connection->out_head != NULL)
		drop_head(connection);
}
