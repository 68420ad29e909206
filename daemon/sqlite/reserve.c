/*
 * reserve: disk space kept aside (sqlite.h), in a file "….reserve" beside the database. Writer thread.
 *
 * On a full disk nothing works: even a delete needs room in the log, and moving the log into the database may make that
 * grow. The file is given back then, and made again when there is space.
 */
#include "daemon/sqlite/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *reserve_path(const struct sqlite_engine *engine)
{
	char *path;

	return asprintf(&path, "%s.reserve", engine->path) < 0 ? NULL : path;
}

void sqlite_release_reserve(struct engine *base)
{
	char *path = reserve_path(sqlite_engine(base));

	if (path == NULL)
		return;
	/* Removing a name can need space where the file system copies on write; emptying the file then may not. */
	if (unlink(path) != 0 && errno != ENOENT && truncate(path, 0) != 0)
		(void)unlink(path);
	free(path);
}

/* Space for @bytes in a file of this name: 0, or what stood in the way. */
static int allocate(const char *path, uint64_t bytes)
{
	struct stat status;
	int error, fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return errno;
	error = fstat(fd, &status) != 0 ? errno : 0;
	if (error == 0 && (uint64_t)status.st_size != bytes) {
		/* Smaller options since last time give the difference back. */
		error = ftruncate(fd, 0) != 0 ? errno : posix_fallocate(fd, 0, (off_t)bytes);
		if (error != 0)
			(void)unlink(path); /* half a reserve is none, and takes what others could use */
	}
	close(fd);
	return error;
}

int sqlite_restore_reserve(struct engine *base, struct failure *failure)
{
	struct sqlite_engine *engine = sqlite_engine(base);
	char *path;
	int error, code = 0;

	if (engine->options.reserve_bytes == 0) {
		sqlite_release_reserve(base);
		return 0;
	}
	path = reserve_path(engine);
	if (path == NULL)
		return failure_set(failure, ERROR_IO_ERROR, "out of memory");
	error = allocate(path, engine->options.reserve_bytes);
	if (error != 0)
		code = failure_set(failure, error == ENOSPC || error == EDQUOT ? ERROR_DISK_FULL : ERROR_IO_ERROR,
				   "cannot keep %llu bytes aside in %s: %s",
				   (unsigned long long)engine->options.reserve_bytes, path, strerror(error));
	free(path);
	return code;
}
