#include "daemon/lockfile.h"

#include "daemon/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* As many as the kernel follows. */
#define LINKS_MAX 40

#define SUFFIX ".lock"

/* Replaces the last component of @path by @target, or all of it if @target is absolute. 0, or -1 and errno. */
static int follow_link(char path[PATH_MAX], const char *target)
{
	char *slash = strrchr(path, '/');
	size_t folder = target[0] == '/' || slash == NULL ? 0 : (size_t)(slash - path) + 1;

	if (folder + strlen(target) >= PATH_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(path + folder, target);
	return 0;
}

/* The folder of @path resolved, its last component as it is. 0, or -1 and errno. */
static int resolve_folder(const char *path, char resolved[PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	const char *name = slash == NULL ? path : slash + 1;
	char folder[PATH_MAX] = ".";
	size_t length, size;

	if (slash != NULL)
		snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	if (realpath(folder, resolved) == NULL)
		return -1;
	length = strlen(resolved);
	size = strlen(name) + 1;
	if (length + 1 + size > PATH_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (length > 1) /* the root ends with its slash */
		resolved[length++] = '/';
	memcpy(resolved + length, name, size);
	return 0;
}

/*
 * The one name of the file that @path names, whether it exists or not yet: a link to nothing is followed too, because
 * the database would be made where it points. 0, or -1 and errno.
 */
static int resolve(const char *path, char resolved[PATH_MAX])
{
	char at[PATH_MAX], target[PATH_MAX];

	if (strlen(path) >= sizeof(at)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(at, path);
	for (int links = 0; links < LINKS_MAX; links++) {
		ssize_t length;

		if (realpath(at, resolved) != NULL)
			return 0;
		if (errno != ENOENT)
			return -1;
		length = readlink(at, target, sizeof(target) - 1);
		if (length < 0)
			return errno == ENOENT ? resolve_folder(at, resolved) : -1;
		target[length] = '\0';
		if (follow_link(at, target) != 0)
			return -1;
	}
	errno = ELOOP;
	return -1;
}

/* Who holds the lock, as it wrote itself; empty if it has not yet. */
static void read_holder(int fd, char *holder, size_t size)
{
	char line[512];
	ssize_t length = pread(fd, line, sizeof(line), 0);
	const char *end;

	holder[0] = '\0';
	if (length <= 0)
		return;
	end = memchr(line, '\n', (size_t)length);
	log_escape(line, end == NULL ? (size_t)length : (size_t)(end - line), holder, size);
}

/* The lock is what counts: on a full disk the daemon starts without its name in the file. */
static void write_holder(int fd, const char *about)
{
	char line[512];
	int length = snprintf(line, sizeof(line) - 1, "%s", about);

	if (length < 0 || ftruncate(fd, 0) != 0)
		return;
	if ((size_t)length > sizeof(line) - 2)
		length = (int)sizeof(line) - 2;
	line[length++] = '\n';
	if (write(fd, line, (size_t)length) < length && ftruncate(fd, 0) != 0)
		return;
}

static int lock(const char *path, int fd, char *message, size_t size)
{
	char holder[512];

	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK) {
			snprintf(message, size, "cannot lock %s" SUFFIX ": %s", path, strerror(errno));
			return -1;
		}
		read_holder(fd, holder, sizeof(holder));
		if (holder[0] == '\0')
			snprintf(message, size, "%s is in use by another kyneta-stored", path);
		else
			snprintf(message, size, "%s is in use by kyneta-stored, %s", path, holder);
		return -1;
	}
	return 0;
}

int lockfile_take(const char *path, const char *about, int *fd, char *message, unsigned long size)
{
	char resolved[PATH_MAX], name[PATH_MAX + sizeof(SUFFIX)];
	int taken;

	if (resolve(path, resolved) != 0) {
		if (errno == ENOENT)
			snprintf(message, size, "the folder of %.300s does not exist", path);
		else
			snprintf(message, size, "cannot use %.300s: %s", path, strerror(errno));
		return -1;
	}
	snprintf(name, sizeof(name), "%s" SUFFIX, resolved);
	/*
	 * Only its owner may open it: whoever can open it can lock it. flock(2), because the locks of fcntl(2) go when
	 * the process closes any descriptor of the file.
	 */
	taken = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
	if (taken < 0) {
		snprintf(message, size, "cannot open %s: %s", name, strerror(errno));
		return -1;
	}
	if (lock(resolved, taken, message, size) != 0) {
		close(taken);
		return -1;
	}
	write_holder(taken, about);
	*fd = taken;
	return 0;
}
