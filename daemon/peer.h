/*
 * peer: who is at the other end of a Unix socket, by the kernel's word. Any thread.
 *
 * The kernel notes it when the peer connects: what the process does to its ids later, and to whom it hands the
 * socket, changes nothing.
 */
#ifndef KYNETA_DAEMON_PEER_H
#define KYNETA_DAEMON_PEER_H

#include <stddef.h>
#include <sys/types.h>

struct peer {
	pid_t pid;     /* -1: not known; 0: outside of our PID namespace */
	uid_t uid;     /* (uid_t)-1, which nobody has: not known */
	gid_t gid;     /* its primary group; (gid_t)-1: not known */
	gid_t *groups; /* its supplementary groups, once they were read */
	size_t group_count;
};

/* How a peer is named in the log: printf(PEER_FORMAT, PEER_ARGUMENTS(&peer)). */
#define PEER_FORMAT	     "pid %d uid %u"
#define PEER_ARGUMENTS(peer) (int)(peer)->pid, (unsigned)(peer)->uid

/* peer_read(fd, peer) - the peer of a connected socket. 0; or -1 with errno set, and nothing known in @peer. */
int peer_read(int fd, struct peer *peer);

/* peer_read_groups(fd, peer) - its supplementary groups too, of which there may be 65,536. 0, or -1 with errno set. */
int peer_read_groups(int fd, struct peer *peer);

/* peer_free(peer) - give back what peer_read_groups took. Once or more often. */
void peer_free(struct peer *peer);

#endif
