/*
 * disk_image: what is in a file, and what of it is on the disk (disk.h).
 *
 * On the disk is what the real file holds. In memory is the file as it reads, and the list of changes that make the one
 * into the other. The images of a process are few and small: none is ever freed.
 */
#include "tests/faults/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a disk writes whole or not at all. */
#define SECTOR_BYTES 512

struct change {
	struct change *next;
	bool truncates; /* to @offset bytes; else writes @size bytes at @offset */
	bool lost;	/* a sync has failed: it never arrives */
	uint64_t offset;
	size_t size;
	uint8_t data[];
};

struct image {
	struct image *next;
	char *path; /* NULL: removed */
	int fd;	    /* never closed: closing it would drop SQLite's locks */
	uint8_t *data;
	uint64_t size, capacity;
	struct change *changes, **tail;
};

static struct image *images;

struct image *image_find(const char *path)
{
	struct image *image = images;

	while (image != NULL && (image->path == NULL || strcmp(image->path, path) != 0))
		image = image->next;
	return image;
}

static bool reserve(struct image *image, uint64_t size)
{
	uint64_t capacity = image->capacity;
	uint8_t *data;

	if (size <= capacity)
		return true;
	while (capacity < size)
		capacity = capacity == 0 ? 1 << 16 : 2 * capacity;
	data = realloc(image->data, capacity);
	if (data == NULL)
		return false;
	memset(data + image->capacity, 0, capacity - image->capacity);
	image->data = data;
	image->capacity = capacity;
	return true;
}

void image_removed(struct image *image)
{
	free(image->path);
	image->path = NULL;
}

bool image_read(const struct image *image, void *out, size_t size, uint64_t offset)
{
	uint64_t there = offset >= image->size ? 0 : image->size - offset;

	if (there > size)
		there = size;
	if (there > 0)
		memcpy(out, image->data + offset, there);
	memset((uint8_t *)out + there, 0, size - there);
	return there == size;
}

static struct change *add_change(struct image *image, const void *data, size_t size, uint64_t offset)
{
	struct change *change = calloc(1, sizeof(*change) + size);

	if (change == NULL)
		return NULL;
	change->offset = offset;
	change->size = size;
	if (size > 0)
		memcpy(change->data, data, size);
	*image->tail = change;
	image->tail = &change->next;
	return change;
}

bool image_write(struct image *image, const void *data, size_t size, uint64_t offset)
{
	if (!reserve(image, offset + size) || add_change(image, data, size, offset) == NULL)
		return false;
	memcpy(image->data + offset, data, size);
	if (image->size < offset + size)
		image->size = offset + size;
	return true;
}

bool image_truncate(struct image *image, uint64_t size)
{
	struct change *change = reserve(image, size) ? add_change(image, NULL, 0, size) : NULL;

	if (change == NULL)
		return false;
	change->truncates = true;
	if (size < image->size)
		memset(image->data + size, 0, image->size - size);
	image->size = size;
	return true;
}

uint64_t image_size(const struct image *image)
{
	return image->size;
}

/* ---- from the disk ---- */

/* The file beside the real one in which a process leaves what is not synced. */
static FILE *open_unsynced(const struct image *image, bool write)
{
	char *path;
	FILE *file;

	if (asprintf(&path, "%s.unsynced", image->path) < 0)
		abort();
	file = fopen(path, write ? "we" : "re");
	if (!write)
		unlink(path);
	free(path);
	return file;
}

/* What the process before this one has left: written once more, and not synced. */
static bool load_unsynced(struct image *image)
{
	FILE *file = open_unsynced(image, false);
	bool done = true;
	struct change head;

	while (file != NULL && done && fread(&head, sizeof(head), 1, file) == 1) {
		uint8_t *data = malloc(head.size + 1);

		done = data != NULL && fread(data, 1, head.size, file) == head.size &&
		       (head.truncates ? image_truncate(image, head.offset)
				       : image_write(image, data, head.size, head.offset));
		free(data);
	}
	if (file != NULL)
		fclose(file);
	return done;
}

static void leave_unsynced(const struct image *image)
{
	FILE *file = image->path == NULL || image->changes == NULL ? NULL : open_unsynced(image, true);

	if (file == NULL)
		return;
	for (const struct change *change = image->changes; change != NULL; change = change->next)
		if (!change->lost)
			fwrite(change, sizeof(*change) + change->size, 1, file);
	fclose(file);
}

static bool load(struct image *image)
{
	struct stat status;

	image->fd = open(image->path, O_RDWR | O_CLOEXEC);
	if (image->fd < 0 || fstat(image->fd, &status) != 0 || !reserve(image, (uint64_t)status.st_size))
		return false;
	image->size = (uint64_t)status.st_size;
	return pread(image->fd, image->data, image->size, 0) == status.st_size;
}

struct image *image_open(const char *path)
{
	struct image *image = image_find(path);

	if (image != NULL)
		return image;
	image = calloc(1, sizeof(*image));
	if (image == NULL)
		return NULL;
	image->path = strdup(path);
	image->tail = &image->changes;
	if (image->path == NULL || !load(image) || !load_unsynced(image)) {
		free(image->path);
		free(image);
		return NULL;
	}
	image->next = images;
	images = image;
	return image;
}

/* ---- to the disk ---- */

static int put(const struct image *image, const uint8_t *data, size_t size, uint64_t offset)
{
	while (size > 0) {
		ssize_t count = pwrite(image->fd, data, size, (off_t)offset);

		if (count < 0)
			return errno;
		data += count;
		size -= (size_t)count;
		offset += (uint64_t)count;
	}
	return 0;
}

static int carry_out(const struct image *image, const struct change *change)
{
	if (change->truncates)
		return ftruncate(image->fd, (off_t)change->offset) == 0 ? 0 : errno;
	return put(image, change->data, change->size, change->offset);
}

int image_sync(struct image *image)
{
	struct change *change;
	int error = 0;

	while ((change = image->changes) != NULL && error == 0) {
		if (!change->lost)
			error = carry_out(image, change);
		image->changes = change->next;
		free(change);
	}
	if (image->changes == NULL)
		image->tail = &image->changes;
	return error;
}

void image_lose(struct image *image)
{
	for (struct change *change = image->changes; change != NULL; change = change->next)
		change->lost = true;
}

/* ---- the end ---- */

/* How a power cut tears a file: each has its way by itself. */
enum tear {
	TEAR_NOTHING, /* of it arrives */
	TEAR_ALL,
	TEAR_SECTORS, /* some do, some do not */
	TEAR_WRITES,  /* each whole or not at all */
	TEAR_EARLY,   /* the first ones do */
	TEAR_LATE,    /* the last ones do: disks write in whatever order they like */
	TEARS,
};

/* One in two, one in eight, or seven in eight: a few survivors find other faults than a few losses. */
static bool survives(uint64_t *random, unsigned eighths)
{
	return disk_random(random) % 8 < eighths;
}

static void put_sectors(const struct image *image, const struct change *change, uint64_t *random, unsigned eighths)
{
	uint64_t from = change->offset, end = change->offset + change->size;

	while (from < end) {
		uint64_t to = (from / SECTOR_BYTES + 1) * SECTOR_BYTES;

		if (to > end)
			to = end;
		if (survives(random, eighths))
			put(image, change->data + (from - change->offset), to - from, from);
		from = to;
	}
}

static void tear(const struct image *image, uint64_t *random)
{
	static const unsigned chances[] = {1, 4, 7};
	enum tear way = (enum tear)(disk_random(random) % TEARS);
	unsigned eighths = chances[disk_random(random) % 3];
	uint64_t count = 0, cut, number = 0;

	for (const struct change *change = image->changes; change != NULL; change = change->next)
		count++;
	cut = disk_random(random) % (count + 1);
	for (const struct change *change = image->changes; change != NULL; change = change->next, number++) {
		bool early = number < cut;

		if (change->lost)
			continue;
		if (way == TEAR_SECTORS && !change->truncates)
			put_sectors(image, change, random, eighths);
		else if (way == TEAR_ALL || (way == TEAR_EARLY && early) || (way == TEAR_LATE && !early) ||
			 (way == TEAR_WRITES && survives(random, eighths)))
			carry_out(image, change);
	}
}

void images_end(enum disk_stop mode, uint64_t *random)
{
	for (struct image *image = images; image != NULL; image = image->next) {
		if (mode == DISK_KEEP)
			image_sync(image);
		else if (mode == DISK_TEAR)
			tear(image, random);
		else if (mode == DISK_STAY)
			leave_unsynced(image);
	}
}
