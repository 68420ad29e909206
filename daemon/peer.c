#include "daemon/peer.h"

#include <sys/socket.h>

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
