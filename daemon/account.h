/*
 * account: what one user has of the daemon now, over all of its connections, and what it was refused.
 *
 * There is one for each user that has a connection. That of a user that was refused something stays a while longer, so
 * that whoever looks at the counters still finds it. Loop thread only.
 */
#ifndef KYNETA_DAEMON_ACCOUNT_H
#define KYNETA_DAEMON_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/hash.h"
#include "daemon/refusal.h"

/* Accounts without a connection that are kept for their counters; the oldest go first. */
#define ACCOUNTS_KEPT 256

/* One refusal of a kind is logged, then one in this time, with the number of those in between. */
#define ACCOUNT_LOG_INTERVAL_MS 10000

struct account {
	UT_hash_handle hh;
	uid_t uid;
	unsigned references;		/* connections that have it, refused ones too */
	struct connection *connections; /* that were let in */
	uint64_t connection_count;
	uint64_t in_flight, request_bytes; /* of these connections */
	bool waited_for;		   /* one of them waits for these to shrink */
	uint64_t refused[REFUSAL_COUNT];
	struct {
		uint64_t told_ms; /* when one was logged last; 0: never */
		uint64_t untold;  /* since then */
	} log[REFUSAL_COUNT];
};

struct accounts {
	struct account *table;
	unsigned idle; /* without a connection */
};

/* account_get(accounts, uid) - the user's account, with one reference more. NULL without memory. */
struct account *account_get(struct accounts *accounts, uid_t uid);

/* account_release(accounts, account) - one reference less. */
void account_release(struct accounts *accounts, struct account *account);

/* account_refuse(account, refusal, now_ms, untold) - count it. True: log it, with *@untold others since the last one.
 */
bool account_refuse(struct account *account, enum refusal_kind refusal, uint64_t now_ms, uint64_t *untold);

void accounts_free(struct accounts *accounts);

#endif
