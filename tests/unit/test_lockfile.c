/* lockfile: one holder at a time, whatever name the file goes by; the loser learns who it is. */
#include "daemon/lockfile.h"

#include "tests/unit/scratch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

/* The linker puts these in place of the system calls of lockfile.c (--wrap): each fails once with what a test asks for.
 */
static int flock_error, write_error;

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);
ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);

static bool fails(int *error)
{
	errno = *error;
	*error = 0;
	return errno != 0;
}

int __wrap_flock(int fd, int operation)
{
	return fails(&flock_error) ? -1 : __real_flock(fd, operation);
}

ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
	return fails(&write_error) ? -1 : __real_write(fd, bytes, size);
}

static char folder[SCRATCH_SIZE], path[SCRATCH_SIZE + 16], message[1024];

static void set_up(void)
{
	scratch_make(folder);
	snprintf(path, sizeof(path), "%s/db", folder);
	message[0] = '\0';
}

static void tear_down(void)
{
	scratch_remove(folder);
}

TestSuite(lockfile, .init = set_up, .fini = tear_down);

static int take(const char *name, const char *about)
{
	int fd = -1;

	if (lockfile_take(name, about, &fd, message, sizeof(message)) != 0) {
		cr_assert_eq(fd, -1);
		cr_assert_null(strchr(message, '\n'));
		return -1;
	}
	return fd;
}

static void assert_refused(const char *name, const char *expected)
{
	cr_assert_eq(take(name, "pid 2"), -1);
	cr_assert_not_null(strstr(message, expected), "\"%s\" has no \"%s\"", message, expected);
}

static void link_to(const char *target, const char *name)
{
	char link[SCRATCH_SIZE + 16];

	snprintf(link, sizeof(link), "%s/%s", folder, name);
	cr_assert_eq(symlink(target, link), 0);
}

static const char *below(const char *name)
{
	static char full[SCRATCH_SIZE + 64];

	snprintf(full, sizeof(full), "%s/%s", folder, name);
	return full;
}

Test(lockfile, another_process_is_refused_and_told_by_whom)
{
	int fd = take(path, "pid 4711, socket /run/a.sock");
	int status;
	pid_t child;

	cr_assert_geq(fd, 0);
	cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	child = fork();
	if (child == 0) {
		int other;
		int refused = lockfile_take(path, "pid 1", &other, message, sizeof(message));

		/* Closing any descriptor of the file does not give the lock away. */
		close(open(below("db.lock"), O_RDWR));
		refused += lockfile_take(path, "pid 1", &other, message, sizeof(message));
		_exit(refused == -2 && strstr(message, "/db is in use by kyneta-stored, pid 4711, socket /run/a.sock")
			  ? 0
			  : 1);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
	close(open(below("db.lock"), O_RDWR));
	assert_refused(path, "is in use by kyneta-stored, pid 4711, socket /run/a.sock");
	close(fd);
}

Test(lockfile, goes_with_the_process)
{
	pid_t child = fork();
	int status, fd;

	if (child == 0)
		_exit(take(path, "a much longer line about the one that has gone meanwhile") >= 0 ? 0 : 1);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
	fd = take(path, "pid 5");
	cr_assert_geq(fd, 0);
	assert_refused(path, "kyneta-stored, pid 5");
	cr_assert_str_eq(strstr(message, "pid 5"), "pid 5");
	close(fd);
	fd = take(path, "pid 6");
	cr_assert_geq(fd, 0);
	cr_assert_eq(access(below("db.lock"), F_OK), 0);
	close(fd);
}

Test(lockfile, does_not_make_or_touch_the_thing_itself)
{
	int fd = take(path, "pid 1");

	cr_assert_geq(fd, 0);
	cr_assert_eq(access(path, F_OK), -1);
	close(fd);
}

Test(lockfile, two_names_are_one_lock)
{
	int fd;

	cr_assert_eq(mkdir(below("real"), 0755), 0);
	link_to("real", "alias");
	link_to("real/db", "direct");
	link_to("alias/db", "again");
	/* The database does not exist yet: links to nothing are followed to where it would be made. */
	fd = take(below("direct"), "pid 1");
	cr_assert_geq(fd, 0);
	cr_assert_eq(access(below("real/db.lock"), F_OK), 0);
	assert_refused(below("real/db"), "pid 1");
	assert_refused(below("alias/db"), "pid 1");
	assert_refused(below("again"), "pid 1");
	assert_refused(below("alias/../real/./db"), "pid 1");
	close(creat(below("real/db"), 0600));
	assert_refused(below("again"), "pid 1");
	assert_refused(below("alias/../real/./db"), "pid 1");
	close(fd);
}

Test(lockfile, relative_names_work)
{
	int fd;

	cr_assert_eq(chdir(folder), 0);
	fd = take("db", "pid 1");
	cr_assert_geq(fd, 0);
	assert_refused("./db", "pid 1");
	assert_refused(path, "pid 1");
	close(fd);
}

Test(lockfile, absolute_link_to_nothing)
{
	char target[SCRATCH_SIZE + 16];
	int fd;

	snprintf(target, sizeof(target), "%s/elsewhere", folder);
	link_to(target, "db");
	fd = take(path, "pid 1");
	cr_assert_geq(fd, 0);
	cr_assert_eq(access(below("elsewhere.lock"), F_OK), 0);
	close(fd);
}

Test(lockfile, says_why_not)
{
	char long_path[5000];

	assert_refused(below("no/db"), "the folder of ");
	cr_assert_not_null(strstr(message, "does not exist"));
	close(creat(below("file"), 0600));
	assert_refused(below("file/db"), "Not a directory");
	link_to("loop", "loop");
	assert_refused(below("loop"), "Too many levels of symbolic links");
	memset(long_path, 'a', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	assert_refused(long_path, "File name too long");
}

Test(lockfile, lock_that_is_a_link_is_refused)
{
	link_to("file", "db.lock");
	assert_refused(path, "cannot open");
	cr_assert_eq(access(below("file"), F_OK), -1);
}

Test(lockfile, holder_without_a_name)
{
	int fd = take(path, "");

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, 0), 0);
	assert_refused(path, "is in use by another kyneta-stored");
	close(fd);
}

Test(lockfile, what_the_holder_wrote_stays_one_line)
{
	char about[2000];
	int fd;

	memset(about, 'x', sizeof(about));
	about[sizeof(about) - 1] = '\0';
	fd = take(path, about);
	cr_assert_geq(fd, 0);
	assert_refused(path, "kyneta-stored, xxx");
	cr_assert_eq(ftruncate(fd, 0), 0);
	cr_assert_eq(pwrite(fd, "a\x1b[1mb\nc", 8, 0), 8);
	assert_refused(path, "kyneta-stored, a\\x1b[1mb");
	close(fd);
}

Test(lockfile, lock_that_cannot_be_had)
{
	int before = dup(0), after, fd;

	close(before);
	flock_error = ENOLCK;
	assert_refused(path, "/db.lock: No locks available");
	after = dup(0);
	cr_assert_eq(after, before, "a descriptor is left behind");
	close(after);
	flock_error = EINTR;
	fd = take(path, "pid 1");
	cr_assert_geq(fd, 0, "%s", message);
	flock_error = EINTR;
	assert_refused(path, "pid 1");
	close(fd);
}

Test(lockfile, full_disk_does_not_keep_it_from_starting)
{
	int fd;

	close(take(path, "pid 1, who has gone"));
	write_error = ENOSPC;
	fd = take(path, "pid 2");
	cr_assert_geq(fd, 0);
	/* Nobody is better than the wrong one. */
	assert_refused(path, "is in use by another kyneta-stored");
	close(fd);
}

Test(lockfile, no_permission)
{
	int status;
	pid_t child;

	cr_assert_eq(chmod(folder, 0755), 0);
	child = fork();
	if (child == 0) {
		int fd;

		/* Root is let in everywhere; whoever else runs this does not own the folder of root. */
		if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) != 0)
			_exit(2);
		if (geteuid() != NOBODY && chmod(folder, 0555) != 0)
			_exit(3);
		if (lockfile_take(path, "pid 1", &fd, message, sizeof(message)) != -1)
			_exit(4);
		_exit(strstr(message, "Permission denied") != NULL && strstr(message, path) != NULL ? 0 : 5);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(chmod(folder, 0755), 0);
	cr_assert_eq(status, 0);
}
