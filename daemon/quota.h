/*
 * quota: how much one user may have at once, and how much one store may hold.
 *
 * Read from the sections [quota], [quota USER] and [quota-store NAME] of the configuration (setting.h); immutable then.
 * Each limit comes from the closest section that has its key: [quota USER] before [quota]; the exact name of a store's
 * table of metadata before a pattern (fnmatch(3)), a longer pattern before a shorter one. What no section limits is not
 * limited, nor what is "unlimited". Any thread.
 */
#ifndef KYNETA_DAEMON_QUOTA_H
#define KYNETA_DAEMON_QUOTA_H

#include <stdint.h>

#include "daemon/principals.h"
#include "daemon/setting.h"

#define QUOTA_UNLIMITED UINT64_MAX

/* On all connections of one user together. */
struct user_quota {
	uint64_t connections;
	uint64_t requests;	/* received and not answered */
	uint64_t request_bytes; /* of these */
};

struct store_quota {
	uint64_t stored_bytes; /* usage.h says which */
	uint64_t documents;
};

struct quota;

/* quota_new(settings, count, complaints) - as permission_new. */
struct quota *quota_new(const struct setting *settings, size_t count, struct complaints *complaints);
void quota_free(struct quota *quota);

/* quota_of_user(quota, uid), quota_of_store(quota, store) - the limits that are in force. */
struct user_quota quota_of_user(const struct quota *quota, uid_t uid);
struct store_quota quota_of_store(const struct quota *quota, const char *store);

static inline bool store_quota_any(const struct store_quota *quota)
{
	return quota->stored_bytes != QUOTA_UNLIMITED || quota->documents != QUOTA_UNLIMITED;
}

#endif
