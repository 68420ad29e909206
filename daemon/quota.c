#include "daemon/quota.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "daemon/option.h"
#include "daemon/pattern.h"

/* Every limit: in which section, and what it takes. */
static const struct limit {
	const char *section;
	struct option_row row; /* its offset is that in struct user_quota or struct store_quota */
} limits[] = {
    {"quota",
     {.name = "connections", .kind = KIND_COUNT, .most = 1000000, .offset = offsetof(struct user_quota, connections)}},
    {"quota",
     {.name = "requests",
      .kind = KIND_COUNT,
      .least = 1,
      .most = 10000000,
      .offset = offsetof(struct user_quota, requests)}},
    {"quota",
     {.name = "request-bytes",
      .kind = KIND_SIZE,
      .least = 64 * 1024, /* a hello must fit in any case, and a request of some use */
      .most = 1024 * 1024 * CONFIG_MIB,
      .offset = offsetof(struct user_quota, request_bytes)}},
    {"quota-store",
     {.name = "stored-bytes",
      .kind = KIND_SIZE,
      .most = 1024 * 1024 * CONFIG_MIB,
      .offset = offsetof(struct store_quota, stored_bytes)}},
    {"quota-store",
     {.name = "documents",
      .kind = KIND_COUNT,
      .most = UINT64_C(1) << 40,
      .offset = offsetof(struct store_quota, documents)}},
};

/* One limit of one section. */
struct limit_rule {
	struct limit_rule *next;
	const struct limit *limit;
	const char *name; /* of the section: a store's, a user's; "": each user */
	uid_t uid;	  /* of the user named */
	uint64_t value;
};

struct quota {
	struct limit_rule *users, *stores;
};

/* ---- reading ---- */

static const struct limit *limit_of(const struct setting *setting)
{
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (strcmp(limits[i].section, setting->section) == 0 && strcmp(limits[i].row.name, setting->key) == 0)
			return &limits[i];
	return NULL;
}

static void complain_of_value(struct complaints *complaints, const struct setting *setting, const struct limit *limit)
{
	char takes[OPTION_TEXT_SIZE];

	option_print_takes(&limit->row, takes);
	complaints_add_at(complaints, setting->file, setting->line, "%s takes %s, or unlimited, got \"%.200s\"",
			  setting->key, takes, setting->value);
}

/* Takes one setting. False without memory. */
static bool read_limit(struct quota *quota, const struct setting *setting, const struct limit *limit,
		       struct complaints *complaints)
{
	struct limit_rule *rule = calloc(1, sizeof(*rule));
	bool of_user = strcmp(limit->section, "quota") == 0;
	char message[PRINCIPALS_MESSAGE_SIZE];

	if (rule == NULL)
		return false;
	rule->limit = limit;
	rule->name = setting->name;
	rule->value = QUOTA_UNLIMITED;
	if (of_user)
		LL_APPEND(quota->users, rule);
	else
		LL_APPEND(quota->stores, rule);
	if (strcmp(setting->value, "unlimited") != 0 && !option_parse(&limit->row, setting->value, &rule->value))
		complain_of_value(complaints, setting, limit);
	if (of_user && rule->name[0] != '\0' && principals_user(rule->name, &rule->uid, message) != 0)
		complaints_add_at(complaints, setting->file, setting->line, "[quota %.100s]: %s", rule->name, message);
	return true;
}

struct quota *quota_new(const struct setting *settings, size_t count, struct complaints *complaints)
{
	struct quota *quota = calloc(1, sizeof(*quota));
	bool remembered = quota != NULL;

	for (size_t i = 0; remembered && i < count; i++) {
		const struct limit *limit = limit_of(&settings[i]);

		if (limit != NULL)
			remembered = read_limit(quota, &settings[i], limit, complaints);
	}
	if (remembered)
		return quota;
	complaints->no_memory = true;
	quota_free(quota);
	return NULL;
}

void quota_free(struct quota *quota)
{
	struct limit_rule *rule, *next;

	if (quota == NULL)
		return;
	LL_FOREACH_SAFE(quota->users, rule, next)
	{
		free(rule);
	}
	LL_FOREACH_SAFE(quota->stores, rule, next)
	{
		free(rule);
	}
	free(quota);
}

/* ---- what is in force ---- */

static void set_limit(void *limits_of_one, const struct limit_rule *rule)
{
	memcpy((char *)limits_of_one + rule->limit->row.offset, &rule->value, sizeof(rule->value));
}

struct user_quota quota_of_user(const struct quota *quota, uid_t uid)
{
	struct user_quota found = {QUOTA_UNLIMITED, QUOTA_UNLIMITED, QUOTA_UNLIMITED};
	const struct limit_rule *rule;

	LL_FOREACH (quota->users, rule) {
		if (rule->name[0] == '\0')
			set_limit(&found, rule);
	}
	LL_FOREACH (quota->users, rule) {
		if (rule->name[0] != '\0' && rule->uid == uid)
			set_limit(&found, rule);
	}
	return found;
}

struct store_quota quota_of_store(const struct quota *quota, const char *store)
{
	struct store_quota found = {QUOTA_UNLIMITED, QUOTA_UNLIMITED};
	size_t closest[sizeof(found)] = {0}; /* by offset */
	const struct limit_rule *rule;

	LL_FOREACH (quota->stores, rule) {
		size_t close = pattern_closeness(rule->name, store), *before = &closest[rule->limit->row.offset];

		if (close == 0 || close < *before)
			continue;
		*before = close;
		set_limit(&found, rule);
	}
	return found;
}
