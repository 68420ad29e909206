/*
 * permission: who may connect, and who may do what with which store.
 *
 * Read from the sections [access], [store NAME] and [create] of the configuration (setting.h); immutable then. root and
 * the user that the daemon runs as may do everything. For everybody else:
 *
 *   [access]  Whoever is listed may connect. Without the section, everybody whom the socket's own permissions let in.
 *   [store]   NAME is the name of a store's table of metadata, or a pattern of such names (fnmatch(3)). Of the sections
 *             that fit, one decides: the exact name before any pattern, a longer pattern before a shorter one. Whoever
 *             it lists under read may read, under write also write, under administer also have the store exclusively
 *             and see what others do with the daemon. A key that it lacks lists nobody. A store that no section fits
 *             is open to everybody who may connect.
 *   [create]  Whoever may write a store may make it only if one of their patterns fits. Without the section, anyhow.
 *
 * Names of tables fold as in SQLite, by ASCII alone. Any thread.
 */
#ifndef KYNETA_DAEMON_PERMISSION_H
#define KYNETA_DAEMON_PERMISSION_H

#include "daemon/principals.h"
#include "daemon/setting.h"

/* What one peer may do with one store. */
enum right {
	RIGHT_READ = 1 << 0,
	RIGHT_WRITE = 1 << 1,
	RIGHT_ADMINISTER = 1 << 2,
	RIGHT_CREATE = 1 << 3,
	RIGHTS_ALL = RIGHT_READ | RIGHT_WRITE | RIGHT_ADMINISTER | RIGHT_CREATE,
};

struct permission;

/*
 * permission_new(settings, count, complaints) - what the settings say, each mistake in them a complaint. NULL only
 * without memory, which is a complaint too.
 */
struct permission *permission_new(const struct setting *settings, size_t count, struct complaints *complaints);
void permission_free(struct permission *permission);

/* permission_needs_groups(permission) - does it take a peer's supplementary groups to decide? */
bool permission_needs_groups(const struct permission *permission);

/* permission_connect(permission, peer) - NULL: it may; else why not, naming the rule; lives as long as @permission. */
const char *permission_connect(const struct permission *permission, const struct peer *peer);

/* permission_rights(permission, peer, store) - what it may do with the store of this name: bits of enum right. */
unsigned permission_rights(const struct permission *permission, const struct peer *peer, const char *store);

/* permission_explain(permission, store, right, text, size) - which rule keeps somebody out who lacks @right. */
void permission_explain(const struct permission *permission, const char *store, enum right right, char *text,
			size_t size);

/* permission_rules_stores(permission) - is there any rule about stores? permission_binds(permission, peer) - and does
 * it concern this peer? */
bool permission_rules_stores(const struct permission *permission);
bool permission_binds(const struct permission *permission, const struct peer *peer);

#endif
