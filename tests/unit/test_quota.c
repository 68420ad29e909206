/* quota: which limits are in force for whom. */
#include "daemon/quota.h"

#include "tests/unit/allocations.h"
#include "tests/unit/rules.h"

static struct quota *quota;

static void read_rules(const struct setting *settings, size_t count)
{
	struct complaints complaints = {0};

	quota_free(quota);
	quota = quota_new(settings, count, &complaints);
	take_complaints(&complaints);
}

#define RULES(...)                                                                                                     \
	do {                                                                                                           \
		const struct setting settings_of_test[] = {__VA_ARGS__};                                               \
		read_rules(settings_of_test, sizeof(settings_of_test) / sizeof(settings_of_test[0]));                  \
	} while (0)

static void forget_rules(void)
{
	quota_free(quota);
	quota = NULL;
}

TestSuite(quota, .fini = forget_rules);

static void assert_user(uid_t uid, uint64_t connections, uint64_t requests, uint64_t request_bytes)
{
	struct user_quota found = quota_of_user(quota, uid);

	cr_assert_eq(found.connections, connections);
	cr_assert_eq(found.requests, requests);
	cr_assert_eq(found.request_bytes, request_bytes);
}

static void assert_store(const char *store, uint64_t stored_bytes, uint64_t documents)
{
	struct store_quota found = quota_of_store(quota, store);

	cr_assert_eq(found.stored_bytes, stored_bytes, "%s", store);
	cr_assert_eq(found.documents, documents, "%s", store);
	cr_assert_eq(store_quota_any(&found), stored_bytes != QUOTA_UNLIMITED || documents != QUOTA_UNLIMITED);
}

Test(quota, nothing_is_limited_by_itself)
{
	read_rules(NULL, 0);
	assert_user(1, QUOTA_UNLIMITED, QUOTA_UNLIMITED, QUOTA_UNLIMITED);
	assert_store("s", QUOTA_UNLIMITED, QUOTA_UNLIMITED);
}

Test(quota, a_users_section_comes_before_that_of_all_key_by_key)
{
	RULES(SETTING("quota", "bin", "connections", "7"), SETTING("quota", "", "connections", "5"),
	      SETTING("quota", "", "requests", "100"), SETTING("quota", "2", "request-bytes", "64K"),
	      SETTING("quota", "3", "requests", "unlimited"));
	cr_assert_str_eq(message, "");
	assert_user(1, 5, 100, QUOTA_UNLIMITED);
	assert_user(2, 7, 100, 65536); /* Debian's bin */
	assert_user(3, 5, QUOTA_UNLIMITED, QUOTA_UNLIMITED);
}

Test(quota, the_closest_section_of_a_store_comes_first_key_by_key)
{
	RULES(SETTING("quota-store", "notes", "documents", "1"), SETTING("quota-store", "no*", "documents", "2"),
	      SETTING("quota-store", "n*", "stored-bytes", "3K"), SETTING("quota-store", "*", "stored-bytes", "4"),
	      SETTING("quota-store", "nil", "stored-bytes", "unlimited"));
	assert_store("Notes", 3072, 1);
	assert_store("nobody", 3072, 2);
	assert_store("new", 3072, QUOTA_UNLIMITED);
	assert_store("x", 4, QUOTA_UNLIMITED);
	assert_store("nil", QUOTA_UNLIMITED, QUOTA_UNLIMITED);
}

Test(quota, every_mistake_is_told)
{
	struct setting settings[] = {SETTING("quota", "", "connections", "-1"),
				     SETTING("quota", "", "requests", "0"),
				     SETTING("quota", "", "request-bytes", "1K"),
				     SETTING("quota-store", "*", "stored-bytes", "much"),
				     SETTING("quota-store", "*", "documents", "1K"),
				     SETTING("quota", "nobody-of-that-name", "connections", "1")};

	for (unsigned i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		settings[i].line = i + 1;
	read_rules(settings, sizeof(settings) / sizeof(settings[0]));
	cr_assert_str_eq(message, "file:1: connections takes a number from 0 to 1000000, or unlimited, got \"-1\"\n"
				  "file:2: requests takes a number from 1 to 10000000, or unlimited, got \"0\"\n"
				  "file:3: request-bytes takes a size from 64K to 1024G, or unlimited, got \"1K\"\n"
				  "file:4: stored-bytes takes a size from 0 to 1024G, or unlimited, got \"much\"\n"
				  "file:5: documents takes a number from 0 to 1099511627776, or unlimited, got \"1K\"\n"
				  "file:6: [quota nobody-of-that-name]: there is no user \"nobody-of-that-name\"\n");
}

Test(quota, no_memory)
{
	const struct setting settings[] = {SETTING("quota", "", "connections", "1"),
					   SETTING("quota-store", "*", "documents", "1")};
	unsigned long until = 0;

	do {
		allocations_until_failure = ++until;
		read_rules(settings, 2);
		allocations_until_failure = 0;
		if (quota == NULL)
			cr_assert_str_eq(message, "out of memory\n");
	} while (quota == NULL);
	cr_assert_eq(until, 4);
}
