/* libfault.so: a disk that does what a test wants (fault.h). */
/* Both names of each function are wanted: the one with 64 is not to stand for the other. */
#undef _FILE_OFFSET_BITS
/* Nor are these functions to be defined by the C library's headers already. */
#undef _FORTIFY_SOURCE

#include "tests/contract/fault.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

static struct fault_control *control;

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv(FAULT_FILE_VARIABLE);
	int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
	void *memory;

	if (fd < 0)
		return;
	memory = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory != MAP_FAILED)
		control = memory;
	close(fd);
}

/* The function that is hidden behind ours. ISO C knows no way from an object pointer to a function pointer. */
#define REAL(name, pointer)                                                                                            \
	do {                                                                                                           \
		void *symbol = dlsym(RTLD_NEXT, name);                                                                 \
		memcpy(&(pointer), &symbol, sizeof(pointer));                                                          \
	} while (0)

static void wait_while_held(void)
{
	uint32_t hold;

	while ((hold = atomic_load(&control->hold)) != 0)
		syscall(SYS_futex, &control->hold, FUTEX_WAIT, hold, NULL, NULL, 0);
}

/*
 * A disk that takes its time. On a fast one the daemon's loop carries a lone append out itself, and what is held would
 * be the loop; behind this one all writes are the writer's.
 */
static int sync_with(const char *name, int fd)
{
	static const struct timespec slow = {0, 2000000};
	int (*real)(int);
	int result, error;

	REAL(name, real);
	if (control == NULL)
		return real(fd);
	nanosleep(&slow, NULL);
	atomic_fetch_add(&control->syncs, 1);
	wait_while_held();
	error = atomic_load(&control->sync_error);
	result = error != 0 ? -1 : real(fd);
	if (error != 0)
		errno = error;
	atomic_fetch_add(&control->syncs_ended, 1);
	return result;
}

PUBLIC int fsync(int fd)
{
	return sync_with("fsync", fd);
}

PUBLIC int fdatasync(int fd)
{
	return sync_with("fdatasync", fd);
}

static int write_error(void)
{
	return control == NULL ? 0 : atomic_load(&control->write_error);
}

PUBLIC ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
	ssize_t (*real)(int, const void *, size_t, off64_t);
	int error = write_error();

	if (error != 0) {
		errno = error;
		return -1;
	}
	REAL("pwrite64", real);
	return real(fd, data, size, offset);
}

PUBLIC ssize_t pread64(int fd, void *data, size_t size, off64_t offset)
{
	ssize_t (*real)(int, void *, size_t, off64_t);
	int error = control == NULL ? 0 : atomic_load(&control->read_error);

	if (error != 0) {
		errno = error;
		return -1;
	}
	REAL("pread64", real);
	return real(fd, data, size, offset);
}

PUBLIC ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
	return pread64(fd, data, size, offset);
}

PUBLIC ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
	return pwrite64(fd, data, size, offset);
}

/* The reserve: what is asked for here is what is missing when a disk is full. */
PUBLIC int posix_fallocate64(int fd, off64_t offset, off64_t size)
{
	int (*real)(int, off64_t, off64_t);
	int error = write_error();

	if (error != 0 || (control != NULL && atomic_load(&control->reserve_helps) == 2))
		return error != 0 ? error : ENOSPC;
	REAL("posix_fallocate64", real);
	return real(fd, offset, size);
}

PUBLIC int posix_fallocate(int fd, off_t offset, off_t size)
{
	return posix_fallocate64(fd, offset, size);
}

static int ends_with(const char *path, const char *suffix)
{
	size_t size = strlen(path), suffix_size = strlen(suffix);

	return size > suffix_size && strcmp(path + size - suffix_size, suffix) == 0;
}

PUBLIC int open64(const char *path, int flags, ...)
{
	int (*real)(const char *, int, mode_t);
	int error = control == NULL || !ends_with(path, "-wal") ? 0 : atomic_load(&control->open_error);
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	if (error != 0) {
		errno = error;
		return -1;
	}
	REAL("open64", real);
	return real(path, flags, mode);
}

PUBLIC int unlink(const char *path)
{
	int (*real)(const char *);
	int once = 1;

	REAL("unlink", real);
	/* 2: the reserve is gone, and there is just as much room as it gave back. */
	if (control != NULL && ends_with(path, ".reserve") &&
	    atomic_compare_exchange_strong(&control->reserve_helps, &once, 2))
		atomic_store(&control->write_error, 0);
	return real(path);
}
