/* disk: the control, counting, cutting the power, and the VFS itself (disk.h). */
#include "tests/faults/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct disk_control *disk_control;

/* SQLite's sync of a log syncs the folder, too, which comes back here. */
static pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static sqlite3_vfs vfs, *unix_vfs;
static char database[4096]; /* its path, once it was opened */

void disk_lock(void)
{
	pthread_mutex_lock(&mutex);
}

void disk_unlock(void)
{
	pthread_mutex_unlock(&mutex);
}

/* ---- operations ---- */

static bool in_set(uint32_t set, enum disk_kind kind)
{
	return (set >> kind & 1) != 0;
}

static void end(enum disk_stop mode)
{
	uint64_t random = (uint64_t)disk_control->seed << 32 | disk_control->stop_at;

	images_end(mode, &random);
	names_end(database, mode, &random);
}

/* The lock is never given back: nothing more happens to the files. */
static _Noreturn void cut_power(enum disk_kind kind)
{
	end((enum disk_stop)disk_control->stop_mode);
	disk_control->stopped_at = kind;
	disk_control->stopped = 1;
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

int disk_begin(enum disk_kind kind)
{
	struct disk_control *control = disk_control;
	uint32_t number;

	control->counts[kind]++;
	if (in_set(control->stop_kinds, kind) && ++control->stop_count == control->stop_at)
		cut_power(kind);
	if (!in_set(control->fail_kinds, kind))
		return 0;
	number = ++control->fail_count;
	if (control->fail_at == 0 || number < control->fail_at || number - control->fail_at >= control->fail_times)
		return 0;
	control->failed++;
	return (int)control->fail_error;
}

bool disk_skips(enum disk_kind kind)
{
	return in_set(disk_control->skip, kind);
}

int disk_sync_folder(void)
{
	int error = disk_begin(DISK_SYNC_FOLDER);

	if (error == 0 && !disk_skips(DISK_SYNC_FOLDER))
		names_sync();
	return error;
}

/* ---- the VFS ---- */

/* The first file of all: the daemon has one database. */
static void begin_with(const char *name)
{
	disk_lock();
	snprintf(database, sizeof(database), "%s", name);
	if (disk_simulates())
		names_load(database);
	disk_unlock();
}

static int open_file(sqlite3_vfs *self, sqlite3_filename name, sqlite3_file *file, int flags, int *out_flags)
{
	(void)self;
	file->pMethods = NULL;
	if ((flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL)) == 0)
		return unix_vfs->xOpen(unix_vfs, name, file, flags, out_flags);
	if (database[0] == '\0' && (flags & SQLITE_OPEN_MAIN_DB) != 0)
		begin_with(name);
	return disk_file_open(unix_vfs, name, file, flags, out_flags);
}

static int fail_with(int result, int error)
{
	errno = error;
	return result;
}

static int delete_file(sqlite3_vfs *self, const char *path, int sync_folder)
{
	int error, result = SQLITE_OK;

	(void)self;
	disk_lock();
	error = disk_begin(DISK_DELETE);
	if (error != 0) {
		result = fail_with(SQLITE_IOERR_DELETE, error);
	} else if (!disk_simulates()) {
		result = unix_vfs->xDelete(unix_vfs, path, sync_folder);
	} else {
		error = names_remove(path);
		if (error != 0)
			result = fail_with(error == ENOENT ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE, error);
		else if (sync_folder != 0 && (error = disk_sync_folder()) != 0)
			result = fail_with(SQLITE_IOERR_DIR_FSYNC, error);
	}
	disk_unlock();
	return result;
}

static int access_file(sqlite3_vfs *self, const char *path, int flags, int *out)
{
	int result;

	(void)self;
	disk_lock();
	result = unix_vfs->xAccess(unix_vfs, path, flags, out);
	/* An empty file counts as none, and the real one may be empty yet. */
	if (result == SQLITE_OK && flags == SQLITE_ACCESS_EXISTS && image_find(path) != NULL)
		*out = image_size(image_find(path)) > 0;
	disk_unlock();
	return result;
}

static void map_control(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *memory;

	if (fd < 0)
		return;
	memory = mmap(NULL, sizeof(*disk_control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory != MAP_FAILED)
		disk_control = memory;
	close(fd);
}

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv(DISK_FILE_VARIABLE);

	if (path != NULL)
		map_control(path);
	if (disk_control == NULL)
		return;
	/* As the daemon would, who comes too late now: registering starts the library. */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	unix_vfs = sqlite3_vfs_find("unix");
	vfs = *unix_vfs;
	vfs.zName = "disk";
	vfs.szOsFile += disk_file_size();
	vfs.xOpen = open_file;
	vfs.xDelete = delete_file;
	vfs.xAccess = access_file;
	sqlite3_vfs_register(&vfs, 1);
}

/* An end without a power cut. */
__attribute__((destructor)) static void finish(void)
{
	if (!disk_simulates())
		return;
	disk_lock();
	end(DISK_STAY);
	disk_unlock();
}
