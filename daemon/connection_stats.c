/*
 * connection_stats: the answer to `stats` (connection.h): the daemon's counters, and what each user and each open store
 * has of it.
 *
 * Everybody sees the counters, and itself. Who may administer the store that it has open sees all users and stores.
 *
 * A map begins with the number of its pairs, which is known when they are written: so each map is put together for
 * itself and then goes into the one around it.
 */
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "daemon/config.h"
#include "daemon/connection.h"
#include "daemon/latency.h"
#include "daemon/server.h"
#include "daemon/stats.h"
#include "daemon/store.h"

#define DAEMON_NAME "kyneta-stored " KYNETA_VERSION

/* Users, and stores, in one answer: what is beyond is told as a number. */
#define SHOWN_MAX 1024

/* A uid in digits. */
#define UID_TEXT_SIZE 16

struct map {
	struct buffer pairs;
	uint32_t count;
	uint32_t omitted;
};

static void put(struct map *map, const char *name, uint64_t value)
{
	stats_uint(&map->pairs, name, value);
	map->count++;
}

static void put_limit(struct map *map, const char *name, uint64_t limit)
{
	if (limit != QUOTA_UNLIMITED)
		put(map, name, limit);
}

/* Moves @inner into @map. */
static void put_map(struct map *map, const char *name, struct map *inner)
{
	stats_map(&map->pairs, name, inner->count, buffer_span(&inner->pairs));
	map->pairs.failed |= inner->pairs.failed;
	map->count++;
	buffer_free(&inner->pairs);
}

/* One more of the many; or the number of those that are too many. */
static bool has_room(struct map *map)
{
	if (map->count < SHOWN_MAX)
		return true;
	map->omitted++;
	return false;
}

/* ---- users ---- */

static void put_user(struct map *users, const struct config *config, const struct account *account)
{
	struct user_quota quota = quota_of_user(config->quota, account->uid);
	struct map user = {0};
	char uid[UID_TEXT_SIZE];

	if (!has_room(users))
		return;
	put(&user, "connections", account->connection_count);
	put_limit(&user, "quota_connections", quota.connections);
	put(&user, "requests_in_flight", account->in_flight);
	put_limit(&user, "quota_requests", quota.requests);
	put(&user, "request_bytes", account->request_bytes);
	put_limit(&user, "quota_request_bytes", quota.request_bytes);
#define X(constant, name) put(&user, #name, account->refused[REFUSAL_##constant]);
	REFUSAL_LIST(X)
#undef X
	snprintf(uid, sizeof(uid), "%u", (unsigned)account->uid);
	put_map(users, uid, &user);
}

static void put_users(struct map *all, const struct connection *connection, bool everybody)
{
	const struct server *server = connection->server;
	const struct account *account, *next;
	struct map users = {0};

	if (!everybody)
		put_user(&users, server->config, connection->account);
	HASH_ITER (hh, server->accounts.table, account, next) {
		if (everybody)
			put_user(&users, server->config, account);
	}
	put_map(all, "users", &users);
	if (users.omitted > 0)
		put(all, "users_omitted", users.omitted);
}

/* ---- stores ---- */

static void put_store(struct map *stores, const struct config *config, const struct store *store)
{
	const char *name = store_name(atomic_load(&store->tables));
	struct store_quota quota = quota_of_store(config->quota, name);
	uint64_t bytes, documents;
	bool counted = usage_shown(&store->usage, &bytes, &documents);
	struct map map = {0};

	if (!has_room(stores))
		return;
	put(&map, "connections", store->connections);
	put(&map, "writers", store->writers);
	if (counted)
		put(&map, "stored_bytes", bytes);
	put_limit(&map, "quota_stored_bytes", quota.stored_bytes);
	if (counted)
		put(&map, "documents", documents);
	put_limit(&map, "quota_documents", quota.documents);
	put(&map, "denied", store->refusals[REFUSAL_DENIED]);
	put(&map, "over_stored_bytes", store->refusals[REFUSAL_STORED_BYTES]);
	put(&map, "over_documents", store->refusals[REFUSAL_DOCUMENTS]);
	put_map(stores, name, &map);
}

static void put_stores(struct map *all, const struct connection *connection, bool every)
{
	const struct server *server = connection->server;
	const struct store *store;
	struct map stores = {0};

	DL_FOREACH2(server->open_stores, store, open_next)
	{
		if (every || store == connection->store)
			put_store(&stores, server->config, store);
	}
	put_map(all, "stores_open", &stores);
	if (stores.omitted > 0)
		put(all, "stores_omitted", stores.omitted);
}

/* ---- the answer ---- */

static bool may_see_all(const struct connection *connection)
{
	const struct engine_tables *tables = atomic_load(&connection->store->tables);

	for (enum layout layout = LAYOUT_1; layout <= LAYOUT_2; layout++)
		if (tables->metadata[layout] != NULL && !grant_allows(&connection->grant, layout, RIGHT_ADMINISTER))
			return false;
	return true;
}

void connection_answer_stats(struct connection *connection, uint64_t id)
{
	struct buffer *out = connection_out(connection);
	const struct server *server = connection->server;
	bool sees_all = may_see_all(connection);
	struct map all = {0};
	size_t before, mark;

	if (out == NULL)
		return;
	stats_text(&all.pairs, "daemon", SPAN_LITERAL(DAEMON_NAME));
	all.count++;
	put(&all, "pid", (uint64_t)uv_os_getpid());
	put(&all, "uptime_seconds", (server_now_ms(connection->server) - server->started_ms) / 1000);
#define X(name, meaning) put(&all, #name, stats_get(name));
	STATS_LIST(X)
#undef X
	latency_stats(&all.pairs);
	all.count += latency_pairs();
	put_users(&all, connection, sees_all);
	put_stores(&all, connection, sees_all);
	before = out->size;
	mark = stats_begin(out, id, all.count);
	buffer_append(out, all.pairs.data, all.pairs.size);
	out->failed |= all.pairs.failed;
	stats_end(out, mark);
	buffer_free(&all.pairs);
	connection_out_done(connection, out, before);
}
