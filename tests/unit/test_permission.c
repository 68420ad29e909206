/* permission: what each rule lets whom do, and what is said of mistakes in them. */
#include "daemon/permission.h"

#include "tests/unit/allocations.h"
#include "tests/unit/rules.h"

#include <unistd.h>

#define RW (RIGHT_READ | RIGHT_WRITE)

static struct permission *permission;

static void read_rules(const struct setting *settings, size_t count)
{
	struct complaints complaints = {0};

	permission_free(permission);
	permission = permission_new(settings, count, &complaints);
	take_complaints(&complaints);
}

#define RULES(...)                                                                                                     \
	do {                                                                                                           \
		const struct setting settings_of_test[] = {__VA_ARGS__};                                               \
		read_rules(settings_of_test, sizeof(settings_of_test) / sizeof(settings_of_test[0]));                  \
	} while (0)

static void forget_rules(void)
{
	permission_free(permission);
	permission = NULL;
}

TestSuite(permission, .fini = forget_rules);

static unsigned rights(uid_t uid, const char *store)
{
	struct peer peer = peer_of(uid, 60000);

	return permission_rights(permission, &peer, store);
}

static bool may_connect(uid_t uid, gid_t gid, gid_t group)
{
	struct peer peer = peer_of(uid, gid);

	peer.groups = &group;
	peer.group_count = 1;
	return permission_connect(permission, &peer) == NULL;
}

Test(permission, without_rules_everybody_may_do_everything)
{
	struct peer peer = peer_of(61001, 61001);

	read_rules(NULL, 0);
	cr_assert(may_connect(61001, 1, 2));
	cr_assert_eq(rights(61001, "notes"), RIGHTS_ALL);
	cr_assert_not(permission_needs_groups(permission));
	cr_assert_not(permission_rules_stores(permission));
	cr_assert_not(permission_binds(permission, &peer));
}

Test(permission, root_and_the_daemons_user_may_always_do_everything)
{
	struct peer root = peer_of(0, 0), own = peer_of(geteuid(), 60000), other = peer_of(61001, 0);

	RULES(SETTING("access", "", "users", ""), SETTING("store", "*", "read", ""), SETTING("create", "", "bin", ""));
	cr_assert_null(permission_connect(permission, &root));
	cr_assert_null(permission_connect(permission, &own));
	cr_assert_str_eq(permission_connect(permission, &other),
			 "[access] lists neither this user nor any of its groups");
	cr_assert_eq(rights(0, "notes"), RIGHTS_ALL);
	cr_assert_eq(rights(geteuid(), "notes"), RIGHTS_ALL);
	cr_assert_eq(rights(61001, "notes"), 0);
	cr_assert(permission_rules_stores(permission));
	cr_assert(permission_binds(permission, &other));
	cr_assert_not(permission_binds(permission, &root));
}

Test(permission, lists_hold_names_and_numbers_of_users_and_groups)
{
	RULES(SETTING("access", "", "users", "\t61001,bin , @62001 "), SETTING("access", "", "groups", "62002 @62003"));
	cr_assert_str_eq(message, "");
	cr_assert(may_connect(61001, 1, 1));
	cr_assert(may_connect(2, 1, 1)); /* Debian's bin */
	cr_assert(may_connect(61009, 62001, 1));
	cr_assert(may_connect(61009, 1, 62001));
	cr_assert(may_connect(61009, 62002, 1));
	cr_assert(may_connect(61009, 1, 62003));
	cr_assert_not(may_connect(61009, 61001, 2));
	cr_assert_not(may_connect(62001, 1, 1));
	cr_assert(permission_needs_groups(permission));
	RULES(SETTING("access", "", "users", "*"));
	cr_assert(may_connect(61009, 1, 1));
	cr_assert_not(may_connect((uid_t)-1, (gid_t)-1, 1), "a peer that is not known is everybody");
	cr_assert_not(permission_needs_groups(permission));
}

Test(permission, a_right_brings_the_lesser_ones)
{
	RULES(SETTING("store", "s", "read", "1"), SETTING("store", "s", "write", "2"),
	      SETTING("store", "s", "administer", "3"), SETTING("create", "", "2", "*"));
	cr_assert_eq(rights(1, "s"), RIGHT_READ);
	cr_assert_eq(rights(2, "s"), RW | RIGHT_CREATE);
	cr_assert_eq(rights(3, "s"), RW | RIGHT_ADMINISTER);
	cr_assert_eq(rights(4, "s"), 0);
	cr_assert_eq(rights(4, "other"), RW | RIGHT_ADMINISTER);
}

Test(permission, closest_section_decides_whatever_the_order)
{
	const struct setting name = SETTING("store", "Notes_Private", "read", "1");
	const struct setting longer = SETTING("store", "notes_pr*", "read", "2");
	const struct setting shorter = SETTING("store", "notes_*", "read", "3");
	const struct setting all = SETTING("store", "*", "read", "4");

	for (int order = 0; order < 2; order++) {
		if (order == 0)
			RULES(name, longer, shorter, all);
		else
			RULES(all, shorter, longer, name);
		for (uid_t uid = 1; uid <= 4; uid++) {
			cr_assert_eq(rights(uid, "notes_private"), uid == 1 ? RIGHT_READ : 0);
			cr_assert_eq(rights(uid, "NOTES_PRAGUE"), uid == 2 ? RIGHT_READ : 0);
			cr_assert_eq(rights(uid, "notes_x"), uid == 3 ? RIGHT_READ : 0);
			cr_assert_eq(rights(uid, "x"), uid == 4 ? RIGHT_READ : 0);
		}
	}
	/* Alike: the later one. */
	RULES(SETTING("store", "a*", "read", "1"), SETTING("store", "*b", "read", "2"));
	cr_assert_eq(rights(2, "ab"), RIGHT_READ);
	cr_assert_eq(rights(1, "ab"), 0);
}

Test(permission, create_takes_the_right_to_write_and_a_pattern)
{
	RULES(SETTING("create", "", "1", "a_*, b?  c"), SETTING("create", "", "@60000", "all_*"),
	      SETTING("store", "a_closed", "read", "1"));
	cr_assert(rights(1, "A_x") & RIGHT_CREATE);
	cr_assert(rights(1, "bx") & RIGHT_CREATE);
	cr_assert(rights(1, "c") & RIGHT_CREATE);
	cr_assert(rights(2, "all_x") & RIGHT_CREATE);
	cr_assert_not(rights(1, "b") & RIGHT_CREATE);
	cr_assert_not(rights(1, "cx") & RIGHT_CREATE);
	cr_assert_not(rights(2, "a_x") & RIGHT_CREATE);
	cr_assert_eq(rights(1, "a_closed"), RIGHT_READ);
}

Test(permission, reasons_name_the_rule)
{
	char text[256];

	RULES(SETTING("store", "notes*", "read", "1"), SETTING("create", "", "1", "x"));
	permission_explain(permission, "notes_1", RIGHT_WRITE, text, sizeof(text));
	cr_assert_str_eq(text, "[store notes*] does not let this user write the store");
	permission_explain(permission, "notes_1", RIGHT_READ, text, sizeof(text));
	cr_assert_str_eq(text, "[store notes*] does not let this user read the store");
	permission_explain(permission, "notes_1", RIGHT_ADMINISTER, text, sizeof(text));
	cr_assert_str_eq(text, "[store notes*] does not let this user administer the store");
	permission_explain(permission, "notes_1", RIGHT_CREATE, text, sizeof(text));
	cr_assert_str_eq(text, "[create] does not let this user make the store notes_1");
}

Test(permission, every_mistake_is_told_with_its_place)
{
	struct setting settings[] = {
	    SETTING("access", "", "users", "nobody-of-that-name"), SETTING("access", "", "groups", "no-group"),
	    SETTING("store", "s", "read", "4294967295"), SETTING("store", "s", "write", "@99999999999999999999"),
	    SETTING("create", "", "a\nb", "x")};
	char expected[1024];

	for (unsigned i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		settings[i].line = i + 1;
	read_rules(settings, sizeof(settings) / sizeof(settings[0]));
	snprintf(expected, sizeof(expected),
		 "file:1: users: there is no user \"nobody-of-that-name\"\n"
		 "file:2: groups: there is no group \"no-group\"\n"
		 "file:3: read: no user can have the number \"4294967295\"\n"
		 "file:4: write: no group can have the number \"99999999999999999999\"\n"
		 "file:5: [create]: there is no user \"a\\x0ab\"\n");
	cr_assert_str_eq(message, expected);
}

Test(permission, long_words_are_no_names)
{
	char word[400];

	memset(word, 'x', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	RULES(SETTING("access", "", "users", word));
	cr_assert_not_null(strstr(message, "users: nobody has a name like \"xxx"), "%s", message);
}

Test(permission, no_memory)
{
	const struct setting settings[] = {SETTING("access", "", "users", "1 2 @3"), SETTING("store", "a", "read", "4"),
					   SETTING("store", "a", "write", "5"), SETTING("store", "b", "read", "@6"),
					   SETTING("create", "", "7", "a b")};
	unsigned long until = 0;

	do {
		allocations_until_failure = ++until;
		read_rules(settings, sizeof(settings) / sizeof(settings[0]));
		allocations_until_failure = 0;
		cr_assert(permission != NULL || strcmp(message, "out of memory\n") == 0, "%s", message);
	} while (permission == NULL || message[0] != '\0');
	cr_assert_gt(until, 10);
	cr_assert_eq(rights(4, "a"), RIGHT_READ);
}
