#include "daemon/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Hardly anybody is in more groups; who is costs one more call. */
#define GROUPS_FIRST 32

int peer_read(int fd, struct peer *peer)
{
	struct ucred credentials;
	socklen_t size = sizeof(credentials);

	*peer = (struct peer){.pid = -1, .uid = (uid_t)-1, .gid = (gid_t)-1};
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
		return -1;
	*peer = (struct peer){.pid = credentials.pid, .uid = credentials.uid, .gid = credentials.gid};
	return 0;
}

int peer_read_groups(int fd, struct peer *peer)
{
	socklen_t size = GROUPS_FIRST * sizeof(gid_t);
	gid_t *groups = malloc(size), *grown;
	int result;

	if (groups == NULL)
		return -1;
	result = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size);
	if (result != 0 && errno == ERANGE) {
		/* The kernel has put the size it wants in @size; a peer's list does not change any more. */
		grown = realloc(groups, size);
		if (grown == NULL)
			goto fail;
		groups = grown;
		result = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size);
	}
	if (result != 0)
		goto fail;
	peer_free(peer);
	peer->groups = groups;
	peer->group_count = size / sizeof(gid_t);
	return 0;
fail:
	free(groups);
	return -1;
}

void peer_free(struct peer *peer)
{
	free(peer->groups);
	peer->groups = NULL;
	peer->group_count = 0;
}
