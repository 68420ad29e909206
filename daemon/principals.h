/*
 * principals: users and groups, as a rule lists them.
 *
 * A list is words with blanks or commas in between: a user's name or number, a group's after @, or * for everybody who
 * is known. Names are looked up when the list is read, so that deciding costs a comparison of numbers; a name that is
 * not known is a mistake in the rule. A peer is on the list by its user, by its primary group or by one of its
 * supplementary groups (peer.h).
 */
#ifndef KYNETA_DAEMON_PRINCIPALS_H
#define KYNETA_DAEMON_PRINCIPALS_H

#include <stdbool.h>

#include "daemon/peer.h"

struct principals {
	uid_t *users;
	gid_t *groups;
	size_t user_count, group_count;
	bool everybody;
};

/* Room for a message of principals_add and its like. */
#define PRINCIPALS_MESSAGE_SIZE 256

/*
 * principals_add(list, text, message) - add the words of @text. 0; or -1 and @message says what is wrong with them, and
 * may quote anything (it is empty if there was no memory).
 * principals_add_groups(list, text, message) - the same for words that name groups, with or without @.
 */
int principals_add(struct principals *list, const char *text, char message[PRINCIPALS_MESSAGE_SIZE]);
int principals_add_groups(struct principals *list, const char *text, char message[PRINCIPALS_MESSAGE_SIZE]);

/* principals_include(list, peer) - is the peer on it? One that is not known is on none. */
bool principals_include(const struct principals *list, const struct peer *peer);

void principals_free(struct principals *list);

/* principals_user(word, uid, message), principals_group(word, gid, message) - one user, one group (without @). */
int principals_user(const char *word, uid_t *uid, char message[PRINCIPALS_MESSAGE_SIZE]);
int principals_group(const char *word, gid_t *gid, char message[PRINCIPALS_MESSAGE_SIZE]);

#endif
