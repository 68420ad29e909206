/*
 * lockfile: at most one daemon per database, and per socket.
 *
 * A lock on its own file beside the thing it stands for ("….lock"): the database itself must not be opened for this,
 * closing any descriptor of it would drop SQLite's locks. The file holds one line about who has it. It is never
 * removed: removing it would race with the next daemon that opens it.
 */
#ifndef KYNETA_DAEMON_LOCKFILE_H
#define KYNETA_DAEMON_LOCKFILE_H

/*
 * lockfile_take(path, about, fd, message, size) - lock "<path>.lock" (symbolic links in path resolved, so that two
 * names of one file are one lock) and write @about (one line: pid, socket, database) into it. 0 and *fd, to be kept
 * open; or -1 with one line in @message that names the holder ("… is in use by kyneta-stored, pid 4711, socket …") or
 * says why the lock cannot be had (no folder, no permission). The lock goes with the process.
 */
int lockfile_take(const char *path, const char *about, int *fd, char *message, unsigned long size);

#endif
