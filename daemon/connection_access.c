/*
 * connection_access: what the rules and quotas have to say to a connection (connection.h): at accept, whether it may be
 * there; at hello, what it may do with the store; and at each limit, who was kept waiting or refused.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "daemon/config.h"
#include "daemon/connection.h"
#include "daemon/log.h"
#include "daemon/server.h"
#include "daemon/stats.h"
#include "daemon/store.h"

/* ---- counting ---- */

static void count_refusal(enum refusal_kind refusal)
{
	switch (refusal) {
#define X(constant, name)                                                                                              \
	case REFUSAL_##constant:                                                                                       \
		stats_add(name, 1);                                                                                    \
		break;
		REFUSAL_LIST(X)
#undef X
	case REFUSAL_NONE:
	case REFUSAL_COUNT:
		break;
	}
}

void connection_refused(struct connection *connection, enum refusal_kind refusal, const char *text)
{
	uint64_t untold;

	count_refusal(refusal);
	if (!account_refuse(connection->account, refusal, server_now_ms(connection->server), &untold))
		return;
	log_write(LOG_WARNING, PEER_FORMAT "%s%s: %s: %s", PEER_ARGUMENTS(&connection->peer),
		  connection->name[0] != '\0' ? " " : "", connection->name,
		  refusal == REFUSAL_DENIED ? "denied" : "over a quota", text);
	if (untold > 0)
		log_write(LOG_WARNING, "uid %u: the same %llu more times since it was logged last",
			  (unsigned)connection->peer.uid, (unsigned long long)untold);
}

/* ---- accept ---- */

/* Who is it? What is not known then counts as nobody. False without memory. */
static bool read_peer(struct connection *connection)
{
	int fd = -1;

	uv_fileno((const uv_handle_t *)&connection->pipe, &fd);
	if (peer_read(fd, &connection->peer) != 0)
		log_write(LOG_ERROR, "the kernel does not tell who a peer is: %s", strerror(errno));
	else if (permission_needs_groups(connection->config->permission) &&
		 peer_read_groups(fd, &connection->peer) != 0)
		log_write(LOG_ERROR, PEER_FORMAT ": the kernel does not tell its groups: %s",
			  PEER_ARGUMENTS(&connection->peer), strerror(errno));
	connection->quota = quota_of_user(connection->config->quota, connection->peer.uid);
	connection->has_quota =
	    connection->quota.requests != QUOTA_UNLIMITED || connection->quota.request_bytes != QUOTA_UNLIMITED;
	connection->account = account_get(&connection->server->accounts, connection->peer.uid);
	return connection->account != NULL;
}

/* It is told why, and closed. Who was refused for itself is logged by its account. */
static void turn_away(struct connection *connection, int code, const char *reason)
{
	stats_add(connections_refused, 1);
	connection->turned_away = true;
	connection->server->turned_away++;
	connection_end(connection, 0, reason);
	connection->end_code = code;
}

bool connection_admit(struct connection *connection)
{
	const struct server *server = connection->server;
	struct account *account;
	const char *reason;

	if (!read_peer(connection)) {
		log_write(LOG_ERROR, PEER_FORMAT ": out of memory", PEER_ARGUMENTS(&connection->peer));
		connection_drop(connection);
		return false;
	}
	account = connection->account;
	reason = permission_connect(connection->config->permission, &connection->peer);
	if (reason != NULL) {
		connection_refused(connection, REFUSAL_DENIED, reason);
		turn_away(connection, ERROR_DENIED, reason);
	} else if (server->connection_count - server->turned_away > server->config->max_connections) {
		notice_limit(&connection->server->notices, NOTICE_limit_max_connections,
			     server_now_ms(connection->server), &connection->peer, "");
		turn_away(connection, ERROR_TOO_MANY_CONNECTIONS,
			  "the limit of connections is reached (max-connections)");
	} else if (account->connection_count >= connection->quota.connections) {
		reason = "this user's quota of connections is used up";
		connection_refused(connection, REFUSAL_CONNECTIONS, reason);
		turn_away(connection, ERROR_TOO_MANY_CONNECTIONS, reason);
	} else {
		DL_APPEND2(account->connections, connection, account_prev, account_next);
		account->connection_count++;
		connection->admitted = true;
	}
	return connection->admitted;
}

void connection_leave_account(struct connection *connection)
{
	struct account *account = connection->account;

	if (account == NULL)
		return;
	if (connection->admitted) {
		DL_DELETE2(account->connections, connection, account_prev, account_next);
		account->connection_count--;
	}
	account_release(&connection->server->accounts, account);
}

/* ---- requests in flight ---- */

bool connection_within_quota(struct connection *connection, uint64_t charge)
{
	const struct account *account = connection->account;
	bool over_bytes = account->request_bytes + charge > connection->quota.request_bytes;

	/* A hello is read in any case: it is refused when it is whole. */
	if (connection->state == CONNECTION_GREETING ||
	    (account->in_flight < connection->quota.requests && !over_bytes)) {
		connection->waits_for_quota = false;
		return true;
	}
	connection->account->waited_for = true;
	if (!connection->waits_for_quota && over_bytes)
		connection_refused(connection, REFUSAL_REQUEST_BYTES,
				   "its requests wait: this user's quota of request-bytes is used up");
	else if (!connection->waits_for_quota)
		connection_refused(connection, REFUSAL_REQUESTS,
				   "its requests wait: this user's quota of requests is used up");
	connection->waits_for_quota = true;
	return false;
}

uint64_t connection_frame_limit(const struct connection *connection)
{
	uint64_t most = connection->config->max_frame_bytes, quota = connection->quota.request_bytes;

	/* A request that would never fit must not be begun. */
	return quota - sizeof(struct job) < most ? quota - sizeof(struct job) : most;
}

uint64_t connection_in_flight_limit(const struct connection *connection)
{
	uint64_t most = connection->config->max_requests_per_connection;

	return connection->quota.requests < most ? connection->quota.requests : most;
}

void connection_quota_freed(struct account *account)
{
	struct connection *connection;

	account->waited_for = false;
	DL_FOREACH2(account->connections, connection, account_next)
	{
		if (connection->held_back)
			connection_touch(connection);
	}
}

const char *connection_over_quota(struct connection *connection)
{
	const struct account *account = connection->account;
	const char *reason = NULL;

	/* The hello itself is counted already. */
	if (account->in_flight > connection->quota.requests) {
		reason = "this user's quota of requests is used up";
		connection_refused(connection, REFUSAL_REQUESTS, reason);
	} else if (account->request_bytes > connection->quota.request_bytes) {
		reason = "this user's quota of request-bytes is used up";
		connection_refused(connection, REFUSAL_REQUEST_BYTES, reason);
	}
	return reason;
}

/* ---- hello ---- */

void connection_prepare_hello(const struct connection *connection, struct job *hello)
{
	const struct permission *permission = connection->config->permission;

	hello->quota = connection->config->quota;
	hello->bound = permission_binds(permission, &connection->peer);
	hello->vouches = !hello->bound && permission_rules_stores(permission) && connection->access != ACCESS_READ_ONLY;
}

static void decide(struct connection *connection, const struct engine_tables *tables)
{
	const struct config *config = connection->config;

	for (int layout = LAYOUT_1; layout <= LAYOUT_2; layout++) {
		const char *name = tables->metadata[layout];

		if (name == NULL)
			continue;
		connection->grant.in[layout].rights = permission_rights(config->permission, &connection->peer, name);
		connection->grant.in[layout].quota = quota_of_store(config->quota, name);
	}
}

/* In some layout that the store has, or may still get? */
static bool has_right(const struct connection *connection, enum right right)
{
	return grant_allows(&connection->grant, LAYOUT_1, right) || grant_allows(&connection->grant, LAYOUT_2, right);
}

int connection_grant(struct connection *connection, char *text, size_t size)
{
	static const enum right needed[] = {
	    [ACCESS_READ_WRITE] = RIGHT_WRITE,
	    [ACCESS_READ_ONLY] = RIGHT_READ,
	    [ACCESS_EXCLUSIVE] = RIGHT_ADMINISTER,
	};
	const struct engine_tables *tables = atomic_load(&connection->store->tables);
	const struct permission *permission = connection->config->permission;
	bool makes = !engine_tables_exist(tables) && connection->access != ACCESS_READ_ONLY && connection->create;
	enum right lacking = 0;

	decide(connection, tables);
	if (!has_right(connection, needed[connection->access]))
		lacking = needed[connection->access];
	else if (makes && !has_right(connection, RIGHT_CREATE))
		lacking = RIGHT_CREATE;
	if (lacking == 0)
		return 0;
	permission_explain(permission, store_name(tables), lacking, text, size);
	connection_refused(connection, REFUSAL_DENIED, text);
	return ERROR_DENIED;
}

void connection_opened(struct connection *connection, const struct job *hello)
{
	struct server *server = connection->server;
	struct store *store = connection->store;
	const struct engine_tables *tables = atomic_load(&store->tables);
	struct job *pair;

	connection->opened = true;
	if (store->connections == 1)
		DL_APPEND2(server->open_stores, store, open_prev, open_next);
	if (!hello->vouches || hello->pairing == PAIRING_SAME || tables->is_default || !engine_tables_exist(tables))
		return;
	pair = job_new(0);
	if (pair == NULL)
		return; /* the next one writes it down */
	pair->kind = JOB_PAIR;
	pair->store = store;
	job_list_push(&server->to_writer, pair);
}

void connection_left(struct connection *connection)
{
	connection->opened = false;
	if (connection->store->connections == 0)
		DL_DELETE2(connection->server->open_stores, connection->store, open_prev, open_next);
}

void connection_job_refused(struct connection *connection, const struct job *job)
{
	connection->store->refusals[job->refusal]++;
	connection_refused(connection, job->refusal,
			   job->message != NULL ? job->message : error_meaning((uint64_t)job->code));
}
