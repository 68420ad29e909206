/* memory: counts allocations, and lets some of them fail (memory.h). */
#include "tests/faults/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

/* glibc's own names: dlsym would allocate. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

static struct memory_control *control;

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv(MEMORY_FILE_VARIABLE);
	int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
	void *memory;

	if (fd < 0)
		return;
	memory = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory != MAP_FAILED)
		control = memory;
	close(fd);
}

static bool fails(void)
{
	uint32_t number, first;

	if (control == NULL || control->armed == 0)
		return false;
	number = ++control->count;
	first = control->fail_at;
	if (first == 0 || number < first || number - first >= control->fail_times)
		return false;
	control->failed++;
	errno = ENOMEM;
	return true;
}

PUBLIC void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

PUBLIC void *calloc(size_t count, size_t size)
{
	return fails() ? NULL : __libc_calloc(count, size);
}

PUBLIC void *realloc(void *memory, size_t size)
{
	return fails() ? NULL : __libc_realloc(memory, size);
}
