#include "daemon/claim.h"

#include <assert.h>

void claim_restore(struct store *store, const uint8_t *claimant, uint64_t until_ms)
{
	if (store->claim_read)
		return;
	store->claim_read = true;
	if (claimant == NULL)
		return;
	store->held = true;
	store->holder = NULL;
	store->holder_has_session = true;
	memcpy(store->holder_session, claimant, SESSION_SIZE);
	store->held_until_ms = until_ms;
}

static bool is_holder(const struct store *store, const uint8_t *session)
{
	return store->held && store->holder_has_session && session != NULL &&
	       memcmp(store->holder_session, session, SESSION_SIZE) == 0;
}

static void let_go(struct store *store)
{
	store->held = false;
	store->holder = NULL;
	store->holder_has_session = false;
}

static void hold(struct store *store, const struct claim_request *request)
{
	store->held = true;
	store->holder = request->connection;
	store->holder_has_session = request->session != NULL;
	if (request->session != NULL)
		memcpy(store->holder_session, request->session, SESSION_SIZE);
}

int claim_open(struct store *store, const struct claim_request *request, bool *claim_changed, const char **reason)
{
	bool exists = engine_tables_exist(atomic_load(&store->tables));

	*claim_changed = false;
	if (!exists && (request->mode == ACCESS_READ_ONLY || !request->create)) {
		*reason = "the store does not exist, and was not to be made";
		return ERROR_NO_SUCH_STORE;
	}
	if (store->held && store->holder == NULL && request->now_ms >= store->held_until_ms) {
		let_go(store);
		*claim_changed = true;
	}
	if (request->mode == ACCESS_READ_ONLY) {
		store->connections++;
		return 0;
	}
	if (store->held && !is_holder(store, request->session)) {
		*reason = "another client has the store exclusively";
		return ERROR_STORE_IN_USE;
	}
	if (request->mode == ACCESS_EXCLUSIVE && store->writers > 0) {
		*reason = "the store is open for writing, so it cannot be had exclusively";
		return ERROR_STORE_IN_USE;
	}
	if (request->mode == ACCESS_EXCLUSIVE) {
		*claim_changed |= !store->held;
		hold(store, request);
	} else if (store->held) {
		let_go(store); /* the holder came back and no longer wants it alone */
		*claim_changed = true;
	}
	store->connections++;
	store->writers++;
	return 0;
}

bool claim_close(struct store *store, const struct claim_request *request, bool ended)
{
	assert(store->connections > 0);
	store->connections--;
	if (request->mode == ACCESS_READ_ONLY)
		return false;
	assert(store->writers > 0);
	store->writers--;
	if (!store->held || store->holder != request->connection)
		return false;
	store->holder = NULL;
	store->held_until_ms = request->now_ms + request->claim_timeout_ms;
	if (!ended && store->holder_has_session)
		return false;
	let_go(store);
	return true;
}
