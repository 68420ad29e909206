#include "daemon/permission.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <utlist.h>

#include "daemon/pattern.h"

#define SEPARATORS " \t,"

/* [store NAME] */
struct store_rule {
	struct store_rule *next;
	const char *name; /* the setting's */
	struct principals readers, writers, administrators;
};

/* A line of [create]. */
struct create_rule {
	struct create_rule *next;
	struct principals who;
	char patterns[]; /* each ends with NUL, the last one with two */
};

struct permission {
	uid_t owner;
	bool access_given;
	struct principals access;
	struct store_rule *stores;
	struct create_rule *creates;
};

/* ---- reading ---- */

static bool is_section(const struct setting *setting, const char *section)
{
	return strcmp(setting->section, section) == 0;
}

static bool is_key(const struct setting *setting, const char *key)
{
	return strcmp(setting->key, key) == 0;
}

static void complain(struct complaints *complaints, const struct setting *setting, const char *about,
		     const char *message)
{
	if (message[0] == '\0')
		complaints->no_memory = true;
	else
		complaints_add_at(complaints, setting->file, setting->line, "%s: %s", about, message);
}

static void read_access(struct permission *permission, const struct setting *setting, struct complaints *complaints)
{
	char message[PRINCIPALS_MESSAGE_SIZE];
	int result;

	permission->access_given = true;
	if (is_key(setting, "groups"))
		result = principals_add_groups(&permission->access, setting->value, message);
	else
		result = principals_add(&permission->access, setting->value, message);
	if (result != 0)
		complain(complaints, setting, setting->key, message);
}

/* The rule of this name, made if there is none. NULL without memory. */
static struct store_rule *store_rule(struct permission *permission, const char *name)
{
	struct store_rule *rule;

	LL_FOREACH (permission->stores, rule) {
		if (strcasecmp(rule->name, name) == 0)
			return rule;
	}
	rule = calloc(1, sizeof(*rule));
	if (rule == NULL)
		return NULL;
	rule->name = name;
	LL_APPEND(permission->stores, rule);
	return rule;
}

static bool read_store(struct permission *permission, const struct setting *setting, struct complaints *complaints)
{
	struct store_rule *rule = store_rule(permission, setting->name);
	char message[PRINCIPALS_MESSAGE_SIZE];
	struct principals *list;

	if (rule == NULL)
		return false;
	if (is_key(setting, "read"))
		list = &rule->readers;
	else
		list = is_key(setting, "write") ? &rule->writers : &rule->administrators;
	if (principals_add(list, setting->value, message) != 0)
		complain(complaints, setting, setting->key, message);
	return true;
}

/* Words, each behind the other with a NUL at its end, and an empty one behind the last. */
static void split(const char *text, char *out)
{
	for (text += strspn(text, SEPARATORS); *text != '\0'; text += strspn(text, SEPARATORS)) {
		size_t length = strcspn(text, SEPARATORS);

		memcpy(out, text, length);
		out[length] = '\0';
		out += length + 1;
		text += length;
	}
	*out = '\0';
}

static bool read_create(struct permission *permission, const struct setting *setting, struct complaints *complaints)
{
	struct create_rule *rule = calloc(1, sizeof(*rule) + strlen(setting->value) + 2);
	char message[PRINCIPALS_MESSAGE_SIZE];

	if (rule == NULL)
		return false;
	LL_APPEND(permission->creates, rule);
	split(setting->value, rule->patterns);
	/* Its key is what is wrong then, and quoted in the message. */
	if (principals_add(&rule->who, setting->key, message) != 0)
		complain(complaints, setting, "[create]", message);
	return true;
}

struct permission *permission_new(const struct setting *settings, size_t count, struct complaints *complaints)
{
	struct permission *permission = calloc(1, sizeof(*permission));
	bool remembered = permission != NULL;

	for (size_t i = 0; remembered && i < count; i++) {
		if (is_section(&settings[i], "access"))
			read_access(permission, &settings[i], complaints);
		else if (is_section(&settings[i], "store"))
			remembered = read_store(permission, &settings[i], complaints);
		else if (is_section(&settings[i], "create"))
			remembered = read_create(permission, &settings[i], complaints);
	}
	if (!remembered) {
		complaints->no_memory = true;
		permission_free(permission);
		return NULL;
	}
	permission->owner = geteuid();
	return permission;
}

void permission_free(struct permission *permission)
{
	struct store_rule *store, *next_store;
	struct create_rule *create, *next_create;

	if (permission == NULL)
		return;
	principals_free(&permission->access);
	LL_FOREACH_SAFE(permission->stores, store, next_store)
	{
		principals_free(&store->readers);
		principals_free(&store->writers);
		principals_free(&store->administrators);
		free(store);
	}
	LL_FOREACH_SAFE(permission->creates, create, next_create)
	{
		principals_free(&create->who);
		free(create);
	}
	free(permission);
}

bool permission_needs_groups(const struct permission *permission)
{
	const struct store_rule *store;
	const struct create_rule *create;
	size_t groups = permission->access.group_count;

	LL_FOREACH (permission->stores, store) {
		groups += store->readers.group_count + store->writers.group_count + store->administrators.group_count;
	}
	LL_FOREACH (permission->creates, create) {
		groups += create->who.group_count;
	}
	return groups > 0;
}

/* ---- deciding ---- */

static bool is_privileged(const struct permission *permission, const struct peer *peer)
{
	return peer->uid == 0 || peer->uid == permission->owner;
}

const char *permission_connect(const struct permission *permission, const struct peer *peer)
{
	if (!permission->access_given || is_privileged(permission, peer) ||
	    principals_include(&permission->access, peer))
		return NULL;
	return "[access] lists neither this user nor any of its groups";
}

bool permission_rules_stores(const struct permission *permission)
{
	return permission->stores != NULL || permission->creates != NULL;
}

bool permission_binds(const struct permission *permission, const struct peer *peer)
{
	return permission_rules_stores(permission) && !is_privileged(permission, peer);
}

static const struct store_rule *rule_of(const struct permission *permission, const char *store)
{
	const struct store_rule *rule, *best = NULL;
	size_t best_closeness = 0;

	LL_FOREACH (permission->stores, rule) {
		size_t close = pattern_closeness(rule->name, store);

		/* Of two that fit alike the later one: drop-ins come later. */
		if (close > 0 && close >= best_closeness) {
			best = rule;
			best_closeness = close;
		}
	}
	return best;
}

static bool may_create(const struct permission *permission, const struct peer *peer, const char *store)
{
	const struct create_rule *rule;

	if (permission->creates == NULL)
		return true;
	LL_FOREACH (permission->creates, rule) {
		if (!principals_include(&rule->who, peer))
			continue;
		for (const char *at = rule->patterns; *at != '\0'; at += strlen(at) + 1)
			if (pattern_closeness(at, store) > 0)
				return true;
	}
	return false;
}

unsigned permission_rights(const struct permission *permission, const struct peer *peer, const char *store)
{
	const struct store_rule *rule = rule_of(permission, store);
	unsigned rights = RIGHT_READ | RIGHT_WRITE | RIGHT_ADMINISTER;

	if (is_privileged(permission, peer))
		return RIGHTS_ALL;
	if (rule != NULL && !principals_include(&rule->administrators, peer)) {
		rights = RIGHT_READ | RIGHT_WRITE;
		if (!principals_include(&rule->writers, peer))
			rights = principals_include(&rule->readers, peer) ? RIGHT_READ : 0;
	}
	if ((rights & RIGHT_WRITE) != 0 && may_create(permission, peer, store))
		rights |= RIGHT_CREATE;
	return rights;
}

void permission_explain(const struct permission *permission, const char *store, enum right right, char *text,
			size_t size)
{
	const struct store_rule *rule = rule_of(permission, store);
	const char *key = right == RIGHT_READ ? "read" : right == RIGHT_WRITE ? "write" : "administer";

	/* A store without a rule is denied to nobody but for its making. */
	if (right == RIGHT_CREATE || rule == NULL)
		snprintf(text, size, "[create] does not let this user make the store %.200s", store);
	else
		snprintf(text, size, "[store %.200s] does not let this user %s the store", rule->name, key);
}
