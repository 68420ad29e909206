/* account: there while a user has connections, kept a while if it was refused something, logged seldom. */
#include "daemon/account.h"

#include "tests/unit/allocations.h"

#include <criterion/criterion.h>

static struct accounts accounts;

static void forget_accounts(void)
{
	accounts_free(&accounts);
}

TestSuite(account, .fini = forget_accounts);

Test(account, is_one_for_all_connections_of_a_user)
{
	struct account *first = account_get(&accounts, 1), *other = account_get(&accounts, 2);

	cr_assert_neq(first, other);
	cr_assert_eq(account_get(&accounts, 1), first);
	account_release(&accounts, first);
	cr_assert_eq(account_get(&accounts, 1), first);
	account_release(&accounts, first);
	account_release(&accounts, first);
	cr_assert_eq(HASH_COUNT(accounts.table), 1);
	account_release(&accounts, other);
	cr_assert_eq(HASH_COUNT(accounts.table), 0);
	cr_assert_eq(accounts.idle, 0);
}

Test(account, that_was_refused_something_is_kept_and_the_oldest_go)
{
	uint64_t untold;

	for (uid_t uid = 0; uid < 3 * ACCOUNTS_KEPT; uid++) {
		struct account *account = account_get(&accounts, uid);

		account_refuse(account, REFUSAL_DENIED, 1, &untold);
		account_release(&accounts, account);
	}
	cr_assert_eq(HASH_COUNT(accounts.table), ACCOUNTS_KEPT);
	cr_assert_eq(accounts.idle, ACCOUNTS_KEPT);
	cr_assert_eq(account_get(&accounts, 3 * ACCOUNTS_KEPT - 1)->refused[REFUSAL_DENIED], 1);
	cr_assert_eq(account_get(&accounts, 0)->refused[REFUSAL_DENIED], 0);
	cr_assert_eq(accounts.idle, ACCOUNTS_KEPT - 1);
}

Test(account, one_refusal_of_a_kind_is_logged_then_one_in_a_while)
{
	struct account *account = account_get(&accounts, 1);
	uint64_t untold = 77;

	cr_assert(account_refuse(account, REFUSAL_DENIED, 0, &untold));
	cr_assert_eq(untold, 0);
	for (int i = 0; i < 5; i++)
		cr_assert_not(account_refuse(account, REFUSAL_DENIED, ACCOUNT_LOG_INTERVAL_MS, &untold));
	cr_assert(account_refuse(account, REFUSAL_REQUESTS, 1, &untold), "another kind");
	cr_assert_eq(untold, 0);
	cr_assert(account_refuse(account, REFUSAL_DENIED, ACCOUNT_LOG_INTERVAL_MS + 1, &untold));
	cr_assert_eq(untold, 5);
	cr_assert_not(account_refuse(account, REFUSAL_DENIED, ACCOUNT_LOG_INTERVAL_MS + 2, &untold));
	cr_assert_eq(account->refused[REFUSAL_DENIED], 8);
	account_release(&accounts, account);
}

Test(account, no_memory)
{
	allocations_until_failure = 1;
	cr_assert_null(account_get(&accounts, 1));
	/* The account itself, then its place in the table. */
	allocations_until_failure = 2;
	cr_assert_null(account_get(&accounts, 1));
	allocations_until_failure = 0;
	cr_assert_eq(accounts.idle, 0);
	account_release(&accounts, account_get(&accounts, 1));
}
