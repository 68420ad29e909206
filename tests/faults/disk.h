/*
 * disk: what a test may do to the disk of a daemon, down to cutting its power.
 *
 * libdisk.so is loaded in front of a kyneta-stored that a test starts. Its constructor makes itself SQLite's default
 * VFS, on top of the one for Unix; everything SQLite does to its files goes through it, and is counted by kind. The
 * test and the library share a struct disk_control through a file that both map: the test says what is to happen before
 * it starts the daemon (or while that runs), and reads what happened. tests/faults/disk.py is the test's half, and
 * reads the lists below from this file.
 *
 *   failing    the Nth operation of some kinds fails, alone or with all that follow. Everything else is the Unix VFS's.
 *   losing     (simulate) what is written stays in memory, where reads see it, and reaches the real files only when it
 *              is synced; names of files that were made or removed become final only when their folder is. At the Nth
 *              operation of some kinds power is cut: of what is not synced nothing, all, or a part arrives on the
 *              disk, and the process is killed. If the process ends otherwise, the next one finds what is not synced
 *              in files of the same names with "unsynced" at their ends, and goes on from there.
 *   forgetting (skip, with simulate) syncs of some kinds do nothing. So the tests of losing are tested: a daemon that
 *              leaves such a sync out must be caught.
 *
 * Outside of SQLite lie the reserve, the lock file and the shared index (-shm, which SQLite maps into memory). Nobody
 * syncs them, so a power cut may lose or garble them.
 *
 *   disk.c        the control, counting, the VFS
 *   disk_file.c   an open file: SQLite's methods
 *   disk_image.c  what is in a file, and what of it is on the disk
 *   disk_names.c  which files are there, and whether that is on the disk
 *   disk_calls.c  the few calls that do not come from SQLite
 *
 * One mutex, in disk.c, guards all of it: disk_lock; a thread may take it again. Files named below are absolute paths,
 * as SQLite has them.
 */
#ifndef KYNETA_TESTS_FAULTS_DISK_H
#define KYNETA_TESTS_FAULTS_DISK_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISK_FILE_VARIABLE "KYNETA_DISK_FILE"

/* X(kind, what it is) */
#define DISK_KIND_LIST(X)                                                                                              \
	X(READ, "xRead")                                                                                               \
	X(WRITE, "xWrite")                                                                                             \
	X(TRUNCATE, "xTruncate")                                                                                       \
	X(LOCK, "xLock: a lock on the database")                                                                       \
	X(SHM_LOCK, "xShmLock: a lock on the shared index; giving one back is not counted")                            \
	X(SHM_MAP, "xShmMap: a part of the shared index")                                                              \
	X(OPEN, "xOpen of the database, its log or journal")                                                           \
	X(DELETE, "xDelete")                                                                                           \
	X(SYNC_COMMIT, "sync of the log that makes a commit durable")                                                  \
	X(SYNC_HEADER, "sync of the log's new header, when it starts over")                                            \
	X(SYNC_BEFORE, "sync of the log before a checkpoint moves it into the database")                               \
	X(SYNC_AFTER, "sync of the database after a checkpoint has written to it")                                     \
	X(SYNC_REQUEST, "sync of the log outside of any transaction: somebody asked for what is committed")            \
	X(SYNC_OTHER, "sync of a journal, or of the database outside of a checkpoint")                                 \
	X(SYNC_FOLDER, "sync of the folder: the names of files")

enum disk_kind {
#define X(kind, meaning) DISK_##kind,
	DISK_KIND_LIST(X)
#undef X
	    DISK_KINDS,
};

/* X(mode, what becomes of what is not synced when power is cut) */
#define DISK_STOP_LIST(X)                                                                                              \
	X(DROP, "nothing of it arrives")                                                                               \
	X(KEEP, "all of it arrives")                                                                                   \
	X(TEAR, "a part arrives, chosen by the seed: sectors, writes, late writes without early ones, one file, …")    \
	X(STAY, "the machine stays up: the next process finds all of it, as little synced as before")

enum disk_stop {
#define X(mode, meaning) DISK_##mode,
	DISK_STOP_LIST(X)
#undef X
};

/* In place of an errno: no failure, but the system carries out one half, so that it must be asked for the other. */
#define DISK_SHORT 1000
/* … and has no space for the other half. */
#define DISK_SHORT_FULL 1001

/* Sets of kinds: bit k stands for kind k. All fields are 32 bits, in this order; disk.py reads their names from here.
 */
struct disk_control {
	/* the test's */
	_Atomic uint32_t simulate;
	_Atomic uint32_t skip;	     /* kinds of sync that do nothing */
	_Atomic uint32_t stop_kinds; /* power is cut at one of these, before it is carried out … */
	_Atomic uint32_t stop_at;    /* … at the so many-th; 0: never */
	_Atomic uint32_t stop_mode;
	_Atomic uint32_t seed;
	_Atomic uint32_t fail_kinds; /* one of these fails … */
	_Atomic uint32_t fail_at;    /* … the so many-th; 0: none */
	_Atomic uint32_t fail_times; /* … and so many in all, one after the other */
	_Atomic uint32_t fail_error; /* errno, DISK_SHORT, DISK_SHORT_FULL */
	/* the library's */
	_Atomic uint32_t stop_count; /* operations of stop_kinds that began */
	_Atomic uint32_t fail_count; /* operations of fail_kinds that began */
	_Atomic uint32_t failed;     /* of them failed */
	_Atomic uint32_t stopped;    /* 1: power was cut */
	_Atomic uint32_t stopped_at; /* at an operation of this kind */
	_Atomic uint32_t counts[DISK_KINDS];
};

/* ---- disk.c ---- */

extern struct disk_control *disk_control; /* NULL: this process is none of ours */

static inline bool disk_simulates(void)
{
	return disk_control != NULL && disk_control->simulate != 0;
}

void disk_lock(void);
void disk_unlock(void);

/*
 * disk_begin(kind) - an operation begins; with the lock held. Does not return if power is cut here. Returns 0, or what
 * it must fail with (fail_error).
 */
int disk_begin(enum disk_kind kind);

/* disk_skips(kind) - does this sync do nothing? */
bool disk_skips(enum disk_kind kind);

/* disk_sync_folder() - a sync of the folder, counted and carried out; with the lock held. Returns 0 or an errno. */
int disk_sync_folder(void);

/* ---- disk_file.c ---- */

/* disk_file_size() - what an open file of ours takes before the Unix VFS's own. */
int disk_file_size(void);

/* disk_file_open(real_vfs, path, file, flags, out_flags) - xOpen of the database, its log or journal. */
int disk_file_open(sqlite3_vfs *real, const char *path, sqlite3_file *file, int flags, int *out_flags);

/* ---- disk_image.c: with the lock held ---- */

struct image;

/* image_open(path) - the image of a file that is there; the same one for each who opens it. NULL: no memory. */
struct image *image_open(const char *path);

/* image_find(path) - or NULL. */
struct image *image_find(const char *path);

/* image_removed(image) - its file has no name any more; whoever has it open may go on. */
void image_removed(struct image *image);

/* image_read(image, out, size, offset) - false: the end of the file came before, and the rest is zeros. */
bool image_read(const struct image *image, void *out, size_t size, uint64_t offset);
bool image_write(struct image *image, const void *data, size_t size, uint64_t offset); /* false: no memory */
bool image_truncate(struct image *image, uint64_t size);			       /* false: no memory */
uint64_t image_size(const struct image *image);

/* image_sync(image) - everything written so far is on the disk. Returns 0 or an errno. */
int image_sync(struct image *image);

/* image_lose(image) - a sync failed: what was not synced will never be, whoever tries again; reads go on seeing it. */
void image_lose(struct image *image);

/* images_end(mode, random) - the process ends: what is not synced arrives or not. */
void images_end(enum disk_stop mode, uint64_t *random);

/* ---- disk_names.c: with the lock held ---- */

/* names_load(database) - a process begins: what the one before it has left. */
void names_load(const char *database);
void names_made(const char *path);
/* names_remove(path) - remove the file. Returns 0 or an errno. */
int names_remove(const char *path);
void names_sync(void);
/* names_end(database, mode, random) - the process ends: what was not synced happened or not. And what lies beside the
 * database and nobody syncs: it is lost, or garbled. */
void names_end(const char *database, enum disk_stop mode, uint64_t *random);

/* ---- disk_calls.c ---- */

/* disk_short(error) - the next read or write of this thread is carried out by halves: DISK_SHORT, DISK_SHORT_FULL, 0.
 */
void disk_short(int error);

/* ---- chance: the same for the same seed ---- */

static inline uint64_t disk_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

#endif
