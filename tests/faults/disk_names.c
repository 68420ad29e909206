/*
 * disk_names: which files are there, and whether that is on the disk (disk.h).
 *
 * The real folder holds the files as the process sees them. A file that was removed lies under another name until the
 * folder is synced, so that a power cut can bring it back.
 */
#include "tests/faults/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MADE "made"

struct name {
	struct name *before; /* what happened before it */
	char *path;
	char *aside; /* removed: where the file lies now; NULL: it was made */
};

static struct name *names; /* the latest first */

static void add(const char *path, char *aside)
{
	struct name *name = calloc(1, sizeof(*name));

	if (name == NULL)
		abort();
	name->path = strdup(path);
	name->aside = aside;
	if (name->path == NULL)
		abort();
	name->before = names;
	names = name;
}

void names_made(const char *path)
{
	add(path, NULL);
}

int names_remove(const char *path)
{
	static unsigned count;
	char *aside;

	if (asprintf(&aside, "%s.removed-%d-%u", path, (int)getpid(), ++count) < 0)
		abort();
	if (rename(path, aside) != 0) {
		free(aside);
		return errno;
	}
	if (image_find(path) != NULL)
		image_removed(image_find(path));
	add(path, aside);
	return 0;
}

/* It happened, and cannot be undone any more. */
static void make_final(const struct name *name)
{
	if (name->aside != NULL)
		unlink(name->aside);
}

/* It never happened. */
static void undo(const struct name *name)
{
	if (name->aside != NULL)
		rename(name->aside, name->path);
	else
		unlink(name->path);
}

/* The latest @undone are undone, the others made final. */
static void settle(uint64_t undone)
{
	while (names != NULL) {
		struct name *name = names;

		if (undone > 0) {
			undo(name);
			undone--;
		} else {
			make_final(name);
		}
		names = name->before;
		free(name->path);
		free(name->aside);
		free(name);
	}
}

void names_sync(void)
{
	settle(0);
}

static void scribble(const char *path, uint64_t *random)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	struct stat status;
	bool failed = fd < 0 || fstat(fd, &status) != 0;

	for (off_t at = 0; !failed && at < status.st_size; at += (off_t)sizeof(uint64_t)) {
		uint64_t bytes = disk_random(random);

		failed = pwrite(fd, &bytes, sizeof(bytes), at) < 0;
	}
	if (fd >= 0)
		close(fd);
}

/* What lies beside the database and nobody syncs: the shared index, the reserve, the lock file. */
static void garble(const char *database, enum disk_stop mode, uint64_t *random)
{
	static const char *const suffixes[] = {"-shm", ".reserve", ".lock"};

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s%s", database, suffixes[i]);
		if (mode == DISK_DROP)
			unlink(path);
		else if (mode == DISK_TEAR)
			scribble(path, random);
	}
}

/* ---- from one process to the next: lines of "made" or the name aside, a blank, and the path ---- */

static FILE *open_unsynced(const char *database, bool write)
{
	char path[PATH_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "%s.names.unsynced", database);
	file = fopen(path, write ? "we" : "re");
	if (!write)
		unlink(path);
	return file;
}

void names_load(const char *database)
{
	FILE *file = open_unsynced(database, false);
	char aside[PATH_MAX], path[PATH_MAX];

	while (file != NULL && fscanf(file, "%4095s %4095[^\n]", aside, path) == 2)
		add(path, strcmp(aside, MADE) == 0 ? NULL : strdup(aside));
	if (file != NULL)
		fclose(file);
}

static void leave(FILE *file, const struct name *name)
{
	if (name == NULL)
		return;
	leave(file, name->before);
	fprintf(file, "%s %s\n", name->aside == NULL ? MADE : name->aside, name->path);
}

static void leave_unsynced(const char *database)
{
	FILE *file = names == NULL ? NULL : open_unsynced(database, true);

	if (file == NULL)
		return;
	leave(file, names);
	fclose(file);
}

void names_end(const char *database, enum disk_stop mode, uint64_t *random)
{
	uint64_t count = 0;

	if (database[0] == '\0')
		return;
	if (mode == DISK_STAY) {
		leave_unsynced(database);
		return;
	}
	for (struct name *name = names; name != NULL; name = name->before)
		count++;
	if (mode == DISK_DROP)
		settle(count);
	else if (mode == DISK_TEAR)
		settle(disk_random(random) % (count + 1));
	else
		settle(0);
	garble(database, mode, random);
}
