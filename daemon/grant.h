/*
 * grant: what one connection may do with the store that it has open, and how much that store may hold.
 *
 * Decided when its hello is answered, by the rules that were in force when it was accepted; never changed then. A store
 * that is not made yet may get the one or the other layout, and with that the one or the other name by which the rules
 * know it: so everything is decided for each layout, and looked up by the layout that the store has when it counts.
 */
#ifndef KYNETA_DAEMON_GRANT_H
#define KYNETA_DAEMON_GRANT_H

#include "daemon/permission.h"
#include "daemon/quota.h"
#include "protocol/meta.h"

struct grant {
	struct {
		unsigned rights; /* bits of enum right; none in a layout that the store cannot have */
		struct store_quota quota;
	} in[LAYOUT_2 + 1];
};

/* grant_allows(grant, layout, right) - may it, with the store as it is? What is not made yet can be read by anybody. */
static inline bool grant_allows(const struct grant *grant, enum layout layout, enum right right)
{
	return (grant->in[layout].rights & right) != 0;
}

#endif
