/*
 * connection_write: writes are handed to the writer in turn (connection.h).
 *
 * The writes of a connection go in the order sent. What all together have with the writer is about two batches, so that
 * it never waits for more; beyond, connections take turns, so that whoever sends many waits for itself and nobody else
 * does. A connection that has none with the writer may hand over a small one at any time.
 */
#include <utlist.h>

#include "daemon/connection.h"
#include "daemon/server.h"

#define BATCHES_OUT	  2
#define SMALL_WRITE_BYTES (64 * 1024)

static bool has_room(const struct server *server, const struct job *job)
{
	const struct config *config = server->config;

	if (server->writes_out == 0)
		return true;
	return server->writes_out < BATCHES_OUT * config->batch_requests &&
	       server->write_bytes_out + job->frame_size <= BATCHES_OUT * config->batch_bytes;
}

static void hand_over(struct connection *connection)
{
	struct server *server = connection->server;
	struct job *job = order_next_write(&connection->order);

	job->counted_out = true;
	connection->writes_out++;
	server->writes_out++;
	server->write_bytes_out += job->frame_size;
	job_list_push(&server->to_writer, job);
}

static void await_turn(struct connection *connection)
{
	if (connection->awaits_turn)
		return;
	connection->awaits_turn = true;
	DL_APPEND2(connection->server->turns, connection, turn_prev, turn_next);
	connection->server->turns_count++;
}

void connection_write_leave(struct connection *connection)
{
	if (!connection->awaits_turn)
		return;
	connection->awaits_turn = false;
	DL_DELETE2(connection->server->turns, connection, turn_prev, turn_next);
	connection->server->turns_count--;
}

void connection_write_pump(struct connection *connection)
{
	const struct server *server = connection->server;
	const struct job *job;

	while ((job = order_peek_write(&connection->order)) != NULL) {
		bool first = connection->writes_out == 0 && job->frame_size <= SMALL_WRITE_BYTES;

		if (!first && (server->turns != NULL || !has_room(server, job))) {
			await_turn(connection);
			break;
		}
		hand_over(connection);
	}
}

void connection_write_turns(struct server *server)
{
	/* So that one round is about one batch, however many take part. */
	uint64_t share = server->turns_count == 0 ? 0 : server->config->batch_requests / server->turns_count + 1;

	while (server->turns != NULL) {
		struct connection *connection = server->turns;
		const struct job *job = order_peek_write(&connection->order);

		for (uint64_t i = 0; job != NULL && i < share && has_room(server, job); i++) {
			hand_over(connection);
			job = order_peek_write(&connection->order);
		}
		if (job != NULL && !has_room(server, job))
			break; /* its turn goes on when there is */
		connection_write_leave(connection);
		if (job != NULL)
			await_turn(connection);
	}
}

void connection_write_answered(struct connection *connection, struct job *job)
{
	struct server *server = connection->server;

	if (!job->counted_out)
		return;
	job->counted_out = false;
	connection->writes_out--;
	server->writes_out--;
	server->write_bytes_out -= job->frame_size;
}
