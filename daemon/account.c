#include "daemon/account.h"

#include <stdlib.h>

struct account *account_get(struct accounts *accounts, uid_t uid)
{
	struct account *account;

	HASH_FIND(hh, accounts->table, &uid, sizeof(uid), account);
	if (account == NULL) {
		account = calloc(1, sizeof(*account));
		if (account == NULL)
			return NULL;
		account->uid = uid;
		HASH_ADD(hh, accounts->table, uid, sizeof(uid), account);
		if (!hash_added(account->hh)) {
			free(account);
			return NULL;
		}
		accounts->idle++;
	}
	if (account->references++ == 0)
		accounts->idle--;
	return account;
}

static void drop(struct accounts *accounts, struct account *account)
{
	HASH_DEL(accounts->table, account);
	accounts->idle--;
	free(account);
}

static bool was_refused(const struct account *account)
{
	for (int i = 0; i < REFUSAL_COUNT; i++)
		if (account->refused[i] > 0)
			return true;
	return false;
}

void account_release(struct accounts *accounts, struct account *account)
{
	struct account *oldest, *next;

	if (--account->references > 0)
		return;
	accounts->idle++;
	if (!was_refused(account)) {
		drop(accounts, account);
		return;
	}
	/* The table keeps the order in which they came. */
	HASH_ITER (hh, accounts->table, oldest, next) {
		if (accounts->idle <= ACCOUNTS_KEPT)
			break;
		if (oldest->references == 0)
			drop(accounts, oldest);
	}
}

bool account_refuse(struct account *account, enum refusal_kind refusal, uint64_t now_ms, uint64_t *untold)
{
	account->refused[refusal]++;
	*untold = account->log[refusal].untold;
	if (account->log[refusal].told_ms != 0 && now_ms - account->log[refusal].told_ms < ACCOUNT_LOG_INTERVAL_MS) {
		account->log[refusal].untold++;
		return false;
	}
	account->log[refusal].told_ms = now_ms == 0 ? 1 : now_ms;
	account->log[refusal].untold = 0;
	return true;
}

void accounts_free(struct accounts *accounts)
{
	struct account *account, *next;

	HASH_ITER (hh, accounts->table, account, next) {
		HASH_DEL(accounts->table, account);
		free(account);
	}
	accounts->idle = 0;
}
