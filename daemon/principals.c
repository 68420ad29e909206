#include "daemon/principals.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEPARATORS " \t,"

/* Names of users as long as any system takes. */
#define WORD_SIZE 128

enum lookup { LOOKUP_USER, LOOKUP_GROUP };

static int fail(char *message, const char *what, const char *word, const char *why)
{
	snprintf(message, PRINCIPALS_MESSAGE_SIZE, "%s \"%.120s\"%s%.64s", what, word, why[0] == '\0' ? "" : ": ", why);
	return -1;
}

/* Is the word a number? Then it is one that an id may have, or *@bad. */
static bool take_number(const char *word, uint32_t *id, bool *bad)
{
	char *end;
	unsigned long long number;

	if (word[0] == '\0' || word[strspn(word, "0123456789")] != '\0')
		return false;
	errno = 0;
	number = strtoull(word, &end, 10);
	/* The largest one stands for none. */
	*bad = errno != 0 || number >= UINT32_MAX;
	*id = (uint32_t)number;
	return true;
}

static int look_up(enum lookup kind, const char *word, uint32_t *id, char *message)
{
	const char *noun = kind == LOOKUP_USER ? "user" : "group";
	char what[32];
	bool bad, found;

	if (take_number(word, id, &bad)) {
		snprintf(what, sizeof(what), "no %s can have the number", noun);
		return bad ? fail(message, what, word, "") : 0;
	}
	errno = 0;
	if (kind == LOOKUP_USER) {
		const struct passwd *entry = getpwnam(word);

		found = entry != NULL;
		*id = found ? entry->pw_uid : 0;
	} else {
		const struct group *entry = getgrnam(word);

		found = entry != NULL;
		*id = found ? entry->gr_gid : 0;
	}
	if (found)
		return 0;
	/* Whatever else errno may say of a name that is not there (getpwnam(3) lists some), it was looked for. */
	if (errno == EIO || errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
		snprintf(what, sizeof(what), "cannot look up the %s", noun);
		return fail(message, what, word, strerror(errno));
	}
	snprintf(what, sizeof(what), "there is no %s", noun);
	return fail(message, what, word, "");
}

int principals_user(const char *word, uid_t *uid, char message[PRINCIPALS_MESSAGE_SIZE])
{
	return look_up(LOOKUP_USER, word, uid, message);
}

int principals_group(const char *word, gid_t *gid, char message[PRINCIPALS_MESSAGE_SIZE])
{
	return look_up(LOOKUP_GROUP, word, gid, message);
}

/* Users and groups have ids of one type. */
static int add_id(uint32_t **ids, size_t *count, uint32_t id, char *message)
{
	uint32_t *grown = realloc(*ids, (*count + 1) * sizeof(*grown));

	if (grown == NULL) {
		message[0] = '\0';
		return -1;
	}
	grown[(*count)++] = id;
	*ids = grown;
	return 0;
}

static int add_word(struct principals *list, const char *word, bool all_groups, char *message)
{
	bool is_group = all_groups || word[0] == '@';
	uint32_t id;

	if (strcmp(word, "*") == 0) {
		list->everybody = true;
		return 0;
	}
	if (look_up(is_group ? LOOKUP_GROUP : LOOKUP_USER, word + (word[0] == '@'), &id, message) != 0)
		return -1;
	return is_group ? add_id(&list->groups, &list->group_count, id, message)
			: add_id(&list->users, &list->user_count, id, message);
}

static int add_words(struct principals *list, const char *text, bool all_groups, char *message)
{
	char word[WORD_SIZE];

	for (text += strspn(text, SEPARATORS); *text != '\0'; text += strspn(text, SEPARATORS)) {
		size_t length = strcspn(text, SEPARATORS);

		if (length >= sizeof(word))
			return fail(message, "nobody has a name like", text, "");
		memcpy(word, text, length);
		word[length] = '\0';
		if (add_word(list, word, all_groups, message) != 0)
			return -1;
		text += length;
	}
	return 0;
}

int principals_add(struct principals *list, const char *text, char message[PRINCIPALS_MESSAGE_SIZE])
{
	return add_words(list, text, false, message);
}

int principals_add_groups(struct principals *list, const char *text, char message[PRINCIPALS_MESSAGE_SIZE])
{
	return add_words(list, text, true, message);
}

static bool has_group(const struct principals *list, gid_t group)
{
	for (size_t i = 0; i < list->group_count; i++)
		if (list->groups[i] == group)
			return true;
	return false;
}

bool principals_include(const struct principals *list, const struct peer *peer)
{
	if (peer->uid == (uid_t)-1)
		return false;
	if (list->everybody || has_group(list, peer->gid))
		return true;
	for (size_t i = 0; i < list->user_count; i++)
		if (list->users[i] == peer->uid)
			return true;
	for (size_t i = 0; i < peer->group_count; i++)
		if (has_group(list, peer->groups[i]))
			return true;
	return false;
}

void principals_free(struct principals *list)
{
	free(list->users);
	free(list->groups);
	*list = (struct principals){0};
}
