/*
 * connection_read: reads start when there is room for their replies (connection.h).
 *
 * A reply is charged before it is made, to the connection and to all together: a page as large as it may become. Only a
 * first record or id may be larger than a page, and metadata than was thought: a reader that comes upon one gives the
 * job back with what it needs, and it starts again when there is room for that. Where a page ends before a large
 * record, the next page is charged with that at once.
 *
 * Peers that do not take their replies must not keep everybody from reading: whoever holds none gets a small page
 * although there is no room left in all. A reply too large for that goes beyond the limit if no other one does.
 */
#include "daemon/connection.h"
#include "daemon/server.h"

/* What a page may take where there is no room left; and what every page may, however little was asked for. */
#define SMALL_PAGE_BYTES (16 * 1024)

/* What a reply has beside its records, ids or metadata. */
#define REPLY_OTHER_BYTES 512

/* Most metadata is smaller; beyond, the connection's last one tells. */
#define META_BYTES 512

static uint64_t at_least(uint64_t bytes, uint64_t least)
{
	return bytes < least ? least : bytes;
}

/* What the reply of a read that is about to start may take; of one that was given back, what it said. */
static uint64_t need_of(const struct connection *connection, const struct job *job)
{
	if (job->reply_needs > 0)
		return job->reply_needs + REPLY_OTHER_BYTES;
	switch (job->request.operation) {
	case OPERATION_LOAD_ALL:
		return at_least(job->request.limit, job->request.has_cursor ? connection->next_record_bytes : 0) +
		       REPLY_OTHER_BYTES;
	case OPERATION_LIST_DOC_IDS:
		return job->request.limit + REPLY_OTHER_BYTES;
	case OPERATION_CURRENT_META:
		return at_least(connection->last_meta_bytes, META_BYTES) + REPLY_OTHER_BYTES;
	default:
		return 0;
	}
}

static bool is_page(const struct job *job)
{
	return job->request.operation == OPERATION_LOAD_ALL || job->request.operation == OPERATION_LIST_DOC_IDS;
}

/* Of what one connection has: a page may begin where there is any room, a larger reply must fit or be alone. */
static bool has_own_room(const struct connection *connection, uint64_t need)
{
	uint64_t held = connection->out_bytes + connection->reply_reserved;
	uint64_t most = connection->config->max_reply_bytes_per_connection;

	if (need <= connection->config->page_bytes + REPLY_OTHER_BYTES)
		return held < most;
	return held == 0 || held + need <= most;
}

/* The same of what all together have. *beyond: only because nobody else is beyond the limit. */
static bool has_common_room(const struct connection *connection, uint64_t need, bool *beyond)
{
	const struct server *server = connection->server;
	uint64_t held = server->reply_bytes + server->reply_reserved, most = server->config->max_reply_bytes;

	*beyond = false;
	if (need <= connection->config->page_bytes + REPLY_OTHER_BYTES ? held < most : held + need <= most)
		return true;
	*beyond = connection->out_bytes + connection->reply_reserved == 0 && server->beyond == NULL;
	return *beyond;
}

/* Is there room for this read? It may have to do with a small page. */
static bool find_room(struct connection *connection, struct job *job, uint64_t *need)
{
	bool beyond;

	*need = need_of(connection, job);
	if (!has_own_room(connection, *need))
		return false;
	if (has_common_room(connection, *need, &beyond)) {
		if (beyond)
			connection->server->beyond = connection;
		return true;
	}
	if (connection->out_bytes + connection->reply_reserved == 0 && job->reply_needs == 0) {
		if (is_page(job) && job->request.limit > SMALL_PAGE_BYTES)
			job->request.limit = SMALL_PAGE_BYTES;
		*need = SMALL_PAGE_BYTES + REPLY_OTHER_BYTES;
		return true;
	}
	server_wait(connection->server, connection);
	return false;
}

static void start(struct connection *connection, struct job *job, uint64_t need)
{
	job->reply_needs = 0;
	job->reply_reserved = need;
	connection->reply_reserved += need;
	connection->server->reply_reserved += need;
	if (job->request.operation == OPERATION_CLOSE)
		job_list_push(&connection->server->to_writer, job);
	else
		job_list_push(&connection->server->to_readers, job);
}

/* Nobody takes the replies any more: what would be read for nothing is not read. Only close has an effect. */
static void skip(struct connection *connection, struct job *job)
{
	if (job->request.operation == OPERATION_CLOSE) {
		start(connection, job, 0);
		return;
	}
	order_done(&connection->order, job);
	connection_discharge(connection, job);
}

/* The next read: one that waits for room, or else one whose turn it is. Limits hold from here on. */
static struct job *next_read(struct connection *connection)
{
	uint64_t most = connection->config->page_bytes;
	struct job *job;

	if (connection->reads.head != NULL)
		return job_list_pop(&connection->reads);
	job = order_next_read(&connection->order);
	if (job != NULL && (job->request.limit == 0 || job->request.limit > most))
		job->request.limit = most;
	return job;
}

void connection_read_pump(struct connection *connection)
{
	struct job *job;
	uint64_t need;

	while ((job = next_read(connection)) != NULL) {
		if (connection->mute) {
			skip(connection, job);
		} else if (find_room(connection, job, &need)) {
			start(connection, job, need);
		} else {
			job_list_unpop(&connection->reads, job);
			break;
		}
	}
}

bool connection_read_answered(struct connection *connection, struct job *job)
{
	connection->reply_reserved -= job->reply_reserved;
	connection->server->reply_reserved -= job->reply_reserved;
	connection->server->freed |= job->reply_reserved > 0;
	job->reply_reserved = 0;
	if (job->reply_needs > 0) {
		job_list_unpop(&connection->reads, job);
		return false;
	}
	if (job->request.operation == OPERATION_LOAD_ALL)
		connection->next_record_bytes = job->next_record_bytes;
	else if (job->request.operation == OPERATION_CURRENT_META)
		connection->last_meta_bytes = job->reply.size;
	return true;
}

void connection_read_leave(struct connection *connection)
{
	struct server *server = connection->server;

	if (server->beyond != connection)
		return;
	server->beyond = NULL;
	server->freed = true;
}

void connection_read_drop(struct connection *connection, void (*drop)(struct job *job))
{
	struct job *job;

	while ((job = job_list_pop(&connection->reads)) != NULL) {
		order_done(&connection->order, job);
		drop(job);
	}
}
