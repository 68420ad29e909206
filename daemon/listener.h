/*
 * listener: the listening Unix socket.
 */
#ifndef KYNETA_DAEMON_LISTENER_H
#define KYNETA_DAEMON_LISTENER_H

#include <sys/types.h>

#define LISTENER_BACKLOG 4096

/*
 * listener_open(path, mode, group, fd, message, size) - bind and listen (non-blocking, CLOEXEC, backlog
 * LISTENER_BACKLOG). The socket has @mode from its first instant (umask around bind; call before threads start); or,
 * with a @group that is not (gid_t)-1, no permissions at all until it has that group, and then @mode. A stale socket
 * file is replaced; a live one (somebody accepts) and anything that is not a socket never are. 0 and *fd; or -1 with
 * one line in @message that names the path and what is wrong (over 107 bytes, no folder, no permission, in use, not a
 * socket).
 */
int listener_open(const char *path, unsigned mode, gid_t group, int *fd, char *message, unsigned long size);

#endif
