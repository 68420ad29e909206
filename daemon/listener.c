#include "daemon/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The kernel takes 108 bytes, and a NUL belongs to them. */
#define PATH_LIMIT (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

static int new_socket(char *message, size_t size)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		snprintf(message, size, "cannot make a socket: %s", strerror(errno));
	return fd;
}

/* Is nobody behind this socket file any more? 1 yes, 0 no with @message, -1 not known with @message. */
static int is_stale(const struct sockaddr_un *address, char *message, size_t size)
{
	int fd = new_socket(message, size);
	int result, error;

	if (fd < 0)
		return -1;
	do
		result = connect(fd, (const struct sockaddr *)address, sizeof(*address));
	while (result != 0 && errno == EINTR);
	error = result == 0 ? 0 : errno;
	close(fd);
	switch (error) {
	case ECONNREFUSED:
	case ENOENT:
		return 1;
	case 0:
	case EAGAIN:	 /* its backlog is full */
	case EPROTOTYPE: /* not a stream */
		snprintf(message, size, "socket %s is in use by another process", address->sun_path);
		return 0;
	default:
		snprintf(message, size, "socket %s exists, and cannot be asked whether it is in use: %s",
			 address->sun_path, strerror(error));
		return -1;
	}
}

/* Makes room for bind: nothing there, or a stale socket. 0, or -1 with @message. */
static int clear_path(const struct sockaddr_un *address, char *message, size_t size)
{
	const char *path = address->sun_path;
	struct stat status;

	if (lstat(path, &status) != 0) {
		if (errno == ENOENT)
			return 0;
		snprintf(message, size, "cannot listen on %s: %s", path, strerror(errno));
		return -1;
	}
	if (!S_ISSOCK(status.st_mode)) {
		snprintf(message, size, "cannot listen on %s: there is something else of that name, not a socket",
			 path);
		return -1;
	}
	if (is_stale(address, message, size) != 1)
		return -1;
	if (unlink(path) != 0 && errno != ENOENT) {
		snprintf(message, size, "cannot replace the stale socket %s: %s", path, strerror(errno));
		return -1;
	}
	return 0;
}

/*
 * Gives a socket file that nobody may use yet its group, and with that its mode. Neither follows a link: whoever put
 * one in its place must not be helped.
 */
static int set_group(const char *path, unsigned mode, gid_t group)
{
	if (lchown(path, (uid_t)-1, group) != 0)
		return -1;
	return fchmodat(AT_FDCWD, path, (mode_t)mode, AT_SYMLINK_NOFOLLOW);
}

/* Binds with the mode in place from the first instant: until listen nobody gets in, but a chmod later would race. */
static int bind_with_mode(int fd, const struct sockaddr_un *address, unsigned mode)
{
	mode_t saved = umask((mode_t)(~mode & 0777));
	int result = bind(fd, (const struct sockaddr *)address, sizeof(*address));
	int error = errno;

	umask(saved);
	errno = error;
	return result;
}

int listener_open(const char *path, unsigned mode, gid_t group, int *fd, char *message, unsigned long size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = strlen(path);
	int opened;

	/* An empty name would be bound to an abstract one. */
	if (length == 0 || length > PATH_LIMIT) {
		snprintf(message, size,
			 "cannot listen on \"%.300s\": a socket's path has 1 to %zu bytes, this one has %zu", path,
			 PATH_LIMIT, length);
		return -1;
	}
	memcpy(address.sun_path, path, length);
	if (clear_path(&address, message, size) != 0)
		return -1;
	opened = new_socket(message, size);
	if (opened < 0)
		return -1;
	if (bind_with_mode(opened, &address, group == (gid_t)-1 ? mode : 0) != 0) {
		if (errno == ENOENT)
			snprintf(message, size, "cannot listen on %s: its folder does not exist", path);
		else
			snprintf(message, size, "cannot listen on %s: %s", path, strerror(errno));
		goto fail;
	}
	if (group != (gid_t)-1 && set_group(address.sun_path, mode, group) != 0) {
		snprintf(message, size, "cannot give %s to group %u (socket-group): %s", path, (unsigned)group,
			 strerror(errno));
		unlink(path);
		goto fail;
	}
	if (listen(opened, LISTENER_BACKLOG) != 0) {
		snprintf(message, size, "cannot listen on %s: %s", path, strerror(errno));
		unlink(path);
		goto fail;
	}
	*fd = opened;
	return 0;
fail:
	close(opened);
	return -1;
}
