/*
 * claim: who has a store open how.
 *
 * Any number may read. Any number may write, unless one has the store exclusively; exclusive access is refused while
 * anybody else has it open for writing. A claim outlives its connection by the claim timeout if it has a session,
 * restarts of the daemon included (it is written down, batch.h), so that its holder finds the store as it left it. Loop
 * thread only.
 */
#ifndef KYNETA_DAEMON_CLAIM_H
#define KYNETA_DAEMON_CLAIM_H

#include "daemon/store.h"

struct claim_request {
	struct connection *connection;
	enum access_mode mode;
	bool create;
	const uint8_t *session; /* NULL: none */
	uint64_t now_ms, claim_timeout_ms;
};

/* claim_restore(store, claimant, until_ms) - once per store: the claim that was written down before the daemon
 * started. */
void claim_restore(struct store *store, const uint8_t *claimant, uint64_t until_ms);

/*
 * claim_open(store, request, reason) - may it? 0 and it is counted in; or NO_SUCH_STORE, STORE_IN_USE and *reason, a
 * static text. *claim_changed: the claim is another than before and must be written down (store->held says what).
 */
int claim_open(struct store *store, const struct claim_request *request, bool *claim_changed, const char **reason);

/*
 * claim_close(store, request, ended) - the connection is gone. @ended: its session was closed too, or it had none that
 * could come back. Returns whether the claim is given up and must be removed.
 */
bool claim_close(struct store *store, const struct claim_request *request, bool ended);

#endif
