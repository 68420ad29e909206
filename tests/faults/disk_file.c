/*
 * disk_file: an open file, as SQLite uses it (disk.h).
 *
 * Behind ours lies the Unix VFS's own, for locks and the shared index, and while nothing is simulated for everything.
 */
#include "tests/faults/disk.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* The locks of the shared index by which SQLite says what it is doing (wal.c). */
#define LOCK_WRITE	0
#define LOCK_CHECKPOINT 1

#define LOG_HEADER_BYTES 32

struct file {
	sqlite3_file base;
	struct image *image; /* NULL while nothing is simulated */
	bool is_log, is_database;
	bool folder_synced;   /* a log's or journal's name is synced with its first sync */
	bool header_was_last; /* the latest write was that of a log's new header */
	int last_errno;
	/* the Unix VFS's own comes after this, aligned */
	max_align_t real[];
};

/* What the daemon's one writing connection is doing. */
static bool writing, checkpointing;

static struct file *file_of(sqlite3_file *base)
{
	return (struct file *)base;
}

static sqlite3_file *real_of(sqlite3_file *base)
{
	return (sqlite3_file *)file_of(base)->real;
}

int disk_file_size(void)
{
	return (int)sizeof(struct file);
}

/* Fails an operation in SQLite's words, and in the system's. */
static int fail(sqlite3_file *base, int result, int error)
{
	file_of(base)->last_errno = error;
	errno = error;
	return result;
}

static bool is_full(int error)
{
	return error == ENOSPC || error == EDQUOT;
}

static int close_file(sqlite3_file *base)
{
	int result = real_of(base)->pMethods == NULL ? SQLITE_OK : real_of(base)->pMethods->xClose(real_of(base));

	base->pMethods = NULL;
	return result;
}

static int read_file(sqlite3_file *base, void *out, int size, sqlite3_int64 offset)
{
	struct file *file = file_of(base);
	int error, result = SQLITE_OK;

	disk_lock();
	error = disk_begin(DISK_READ);
	if (error != 0 && error != DISK_SHORT) {
		result = fail(base, SQLITE_IOERR_READ, error);
	} else if (file->image == NULL) {
		disk_short(error);
		result = real_of(base)->pMethods->xRead(real_of(base), out, size, offset);
		disk_short(0);
	} else if (!image_read(file->image, out, (size_t)size, (uint64_t)offset)) {
		result = SQLITE_IOERR_SHORT_READ;
	}
	disk_unlock();
	return result;
}

static int write_file(sqlite3_file *base, const void *data, int size, sqlite3_int64 offset)
{
	struct file *file = file_of(base);
	int error, result = SQLITE_OK;

	disk_lock();
	error = disk_begin(DISK_WRITE);
	file->header_was_last = file->is_log && offset == 0 && size == LOG_HEADER_BYTES;
	if (error != 0 && error < DISK_SHORT) {
		result = fail(base, is_full(error) ? SQLITE_FULL : SQLITE_IOERR_WRITE, error);
	} else if (file->image == NULL) {
		file->last_errno = 0;
		disk_short(error);
		result = real_of(base)->pMethods->xWrite(real_of(base), data, size, offset);
		disk_short(0);
	} else if (!image_write(file->image, data, (size_t)size, (uint64_t)offset)) {
		result = SQLITE_IOERR_NOMEM;
	}
	disk_unlock();
	return result;
}

static int truncate_file(sqlite3_file *base, sqlite3_int64 size)
{
	struct file *file = file_of(base);
	int error, result = SQLITE_OK;

	disk_lock();
	error = disk_begin(DISK_TRUNCATE);
	if (error != 0)
		result = fail(base, SQLITE_IOERR_TRUNCATE, error);
	else if (file->image == NULL)
		result = real_of(base)->pMethods->xTruncate(real_of(base), size);
	else if (!image_truncate(file->image, (uint64_t)size))
		result = SQLITE_IOERR_NOMEM;
	disk_unlock();
	return result;
}

static enum disk_kind sync_kind(const struct file *file)
{
	if (file->is_database)
		return checkpointing ? DISK_SYNC_AFTER : DISK_SYNC_OTHER;
	if (!file->is_log)
		return DISK_SYNC_OTHER;
	if (checkpointing)
		return DISK_SYNC_BEFORE;
	if (!writing)
		return DISK_SYNC_REQUEST;
	return file->header_was_last ? DISK_SYNC_HEADER : DISK_SYNC_COMMIT;
}

static int sync_image(sqlite3_file *base, enum disk_kind kind)
{
	struct file *file = file_of(base);
	int error = disk_skips(kind) ? 0 : image_sync(file->image);

	if (error != 0)
		return fail(base, SQLITE_IOERR_FSYNC, error);
	if (file->is_database || file->folder_synced)
		return SQLITE_OK;
	/* As the Unix VFS does it, which does not look at the result either. */
	file->folder_synced = true;
	disk_sync_folder();
	return SQLITE_OK;
}

static int sync_file(sqlite3_file *base, int flags)
{
	struct file *file = file_of(base);
	enum disk_kind kind;
	int error, result;

	disk_lock();
	kind = sync_kind(file);
	error = disk_begin(kind);
	if (error != 0) {
		if (file->image != NULL)
			image_lose(file->image);
		result = fail(base, SQLITE_IOERR_FSYNC, error);
	} else if (file->image == NULL) {
		result = real_of(base)->pMethods->xSync(real_of(base), flags);
	} else {
		result = sync_image(base, kind);
	}
	disk_unlock();
	return result;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *size)
{
	struct file *file = file_of(base);

	if (file->image == NULL)
		return real_of(base)->pMethods->xFileSize(real_of(base), size);
	disk_lock();
	*size = (sqlite3_int64)image_size(file->image);
	disk_unlock();
	return SQLITE_OK;
}

/* The error that a lock fails with. Who finds it taken may try again; everything else is an error. */
static int lock_failure(sqlite3_file *base, int error, int result)
{
	return error == EAGAIN ? SQLITE_BUSY : fail(base, result, error);
}

static int begin(enum disk_kind kind)
{
	int error;

	disk_lock();
	error = disk_begin(kind);
	disk_unlock();
	return error;
}

static int lock_file(sqlite3_file *base, int level)
{
	int error = begin(DISK_LOCK);

	if (error != 0)
		return lock_failure(base, error, SQLITE_IOERR_LOCK);
	return real_of(base)->pMethods->xLock(real_of(base), level);
}

static int unlock_file(sqlite3_file *base, int level)
{
	return real_of(base)->pMethods->xUnlock(real_of(base), level);
}

static int check_reserved_lock(sqlite3_file *base, int *out)
{
	return real_of(base)->pMethods->xCheckReservedLock(real_of(base), out);
}

static int file_control(sqlite3_file *base, int operation, void *argument)
{
	struct file *file = file_of(base);

	/* Room may be made in advance: in the real file that would be a write. */
	if (file->image != NULL && operation == SQLITE_FCNTL_SIZE_HINT)
		return SQLITE_OK;
	if (operation == SQLITE_FCNTL_LAST_ERRNO && file->last_errno != 0) {
		*(int *)argument = file->last_errno;
		return SQLITE_OK;
	}
	return real_of(base)->pMethods->xFileControl(real_of(base), operation, argument);
}

static int sector_size(sqlite3_file *base)
{
	return real_of(base)->pMethods->xSectorSize(real_of(base));
}

static int device_characteristics(sqlite3_file *base)
{
	return real_of(base)->pMethods->xDeviceCharacteristics(real_of(base));
}

static int shm_map(sqlite3_file *base, int region, int size, int extend, void volatile **out)
{
	int error = begin(DISK_SHM_MAP);

	if (error != 0)
		return fail(base, is_full(error) ? SQLITE_IOERR_SHMSIZE : SQLITE_IOERR_SHMMAP, error);
	return real_of(base)->pMethods->xShmMap(real_of(base), region, size, extend, out);
}

static void note_lock(int offset, int count, bool held)
{
	disk_lock();
	if (offset <= LOCK_WRITE && LOCK_WRITE < offset + count)
		writing = held;
	if (offset <= LOCK_CHECKPOINT && LOCK_CHECKPOINT < offset + count)
		checkpointing = held;
	disk_unlock();
}

static int shm_lock(sqlite3_file *base, int offset, int count, int flags)
{
	int error = (flags & SQLITE_SHM_LOCK) != 0 ? begin(DISK_SHM_LOCK) : 0, result;

	if (error != 0)
		return lock_failure(base, error, SQLITE_IOERR_SHMLOCK);
	result = real_of(base)->pMethods->xShmLock(real_of(base), offset, count, flags);
	if (result == SQLITE_OK && (flags & SQLITE_SHM_EXCLUSIVE) != 0)
		note_lock(offset, count, (flags & SQLITE_SHM_LOCK) != 0);
	return result;
}

static void shm_barrier(sqlite3_file *base)
{
	real_of(base)->pMethods->xShmBarrier(real_of(base));
}

static int shm_unmap(sqlite3_file *base, int remove)
{
	return real_of(base)->pMethods->xShmUnmap(real_of(base), remove);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = close_file,
    .xRead = read_file,
    .xWrite = write_file,
    .xTruncate = truncate_file,
    .xSync = sync_file,
    .xFileSize = file_size,
    .xLock = lock_file,
    .xUnlock = unlock_file,
    .xCheckReservedLock = check_reserved_lock,
    .xFileControl = file_control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = device_characteristics,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

static int open_real(sqlite3_vfs *real, const char *path, sqlite3_file *base, int flags, int *out_flags)
{
	struct file *file = file_of(base);
	bool made = access(path, F_OK) != 0;
	int result = real->xOpen(real, path, real_of(base), flags, out_flags);

	if (result != SQLITE_OK || !disk_simulates())
		return result;
	if (made)
		names_made(path);
	file->image = image_open(path);
	if (file->image != NULL)
		return SQLITE_OK;
	real_of(base)->pMethods->xClose(real_of(base));
	return SQLITE_NOMEM;
}

int disk_file_open(sqlite3_vfs *real, const char *path, sqlite3_file *base, int flags, int *out_flags)
{
	struct file *file = file_of(base);
	int error, result;

	memset(file, 0, sizeof(*file));
	file->is_log = (flags & SQLITE_OPEN_WAL) != 0;
	file->is_database = (flags & SQLITE_OPEN_MAIN_DB) != 0;
	disk_lock();
	error = disk_begin(DISK_OPEN);
	result = error != 0 ? fail(base, SQLITE_CANTOPEN, error) : open_real(real, path, base, flags, out_flags);
	disk_unlock();
	if (result == SQLITE_OK)
		base->pMethods = &methods;
	return result;
}
