/*
 * disk_calls: calls of the C library that do not come through SQLite's VFS, or come out below it (disk.h).
 *
 *   fsync, fdatasync   of a folder: the daemon's own
 *   pread, pwrite      SQLite's, which now and then get one half done
 *   fopen              of the boot's id: where power is cut, the machine starts anew
 */
/* Both names of each function are wanted: the one with 64 is not to stand for the other. */
#undef _FILE_OFFSET_BITS
/* Nor are these functions to be defined by the C library's headers already. */
#undef _FORTIFY_SOURCE

#include "tests/faults/disk.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

#define BOOT_PATH "/proc/sys/kernel/random/boot_id"

/* The function that is hidden behind ours. ISO C knows no way from an object pointer to a function pointer. */
#define REAL(name, pointer)                                                                                            \
	do {                                                                                                           \
		void *symbol = dlsym(RTLD_NEXT, name);                                                                 \
		memcpy(&(pointer), &symbol, sizeof(pointer));                                                          \
	} while (0)

static _Thread_local int shortened; /* DISK_SHORT, DISK_SHORT_FULL: the next one; 0: none */
static _Thread_local bool full;	    /* the one after that finds no space */

void disk_short(int error)
{
	shortened = error;
	full = false;
}

/* How much of @size is carried out now; 0: no space is left. */
static size_t part_of(size_t size)
{
	if (full)
		return 0;
	if (shortened == 0 || size < 2)
		return size;
	full = shortened == DISK_SHORT_FULL;
	shortened = 0;
	return size / 2;
}

PUBLIC ssize_t pread64(int fd, void *data, size_t size, off64_t offset)
{
	ssize_t (*real)(int, void *, size_t, off64_t);

	REAL("pread64", real);
	return real(fd, data, part_of(size), offset);
}

PUBLIC ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
	return pread64(fd, data, size, offset);
}

PUBLIC ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
	ssize_t (*real)(int, const void *, size_t, off64_t);
	size_t part = part_of(size);

	if (part == 0 && size > 0) {
		errno = ENOSPC;
		return -1;
	}
	REAL("pwrite64", real);
	return real(fd, data, part, offset);
}

PUBLIC ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
	return pwrite64(fd, data, size, offset);
}

static bool is_folder(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
}

static int sync_with(const char *name, int fd)
{
	int (*real)(int), error = 0;

	REAL(name, real);
	if (disk_control == NULL || !is_folder(fd))
		return real(fd);
	disk_lock();
	error = disk_sync_folder();
	disk_unlock();
	if (error == 0 && !disk_simulates())
		return real(fd);
	errno = error;
	return error == 0 ? 0 : -1;
}

PUBLIC int fsync(int fd)
{
	return sync_with("fsync", fd);
}

PUBLIC int fdatasync(int fd)
{
	return sync_with("fdatasync", fd);
}

PUBLIC FILE *fopen64(const char *path, const char *mode)
{
	static char boot[] = "the boot before power was cut\n";
	FILE *(*real)(const char *, const char *);

	REAL("fopen64", real);
	if (disk_simulates() && strcmp(path, BOOT_PATH) == 0)
		return fmemopen(boot, sizeof(boot) - 1, "r");
	return real(path, mode);
}

PUBLIC FILE *fopen(const char *path, const char *mode)
{
	return fopen64(path, mode);
}
