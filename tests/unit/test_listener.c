/* listener: what may be replaced and what never, the mode, and a reason for each refusal. */
#include "daemon/listener.h"

#include "tests/unit/scratch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY	 65534
#define NO_GROUP ((gid_t)-1)
#define GROUP	 62001

/* The linker puts these in place of the system calls of listener.c (--wrap): each fails once with what a test asks for.
 */
static int socket_error, connect_error, listen_error, lchown_error;

/* What the socket was like at two instants: when it had a name, and when it was about to take connections. */
static struct stat when_bound, when_listening;

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __real_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);
int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog);
int __real_bind(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size);
int __real_lchown(const char *name, uid_t owner, gid_t group);
int __wrap_lchown(const char *name, uid_t owner, gid_t group);

static bool fails(int *error)
{
	errno = *error;
	*error = 0;
	return errno != 0;
}

int __wrap_socket(int domain, int type, int protocol)
{
	return fails(&socket_error) ? -1 : __real_socket(domain, type, protocol);
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size)
{
	return fails(&connect_error) ? -1 : __real_connect(fd, address, size);
}

static char folder[SCRATCH_SIZE], path[SCRATCH_SIZE + 16], message[1024];

int __wrap_listen(int fd, int backlog)
{
	stat(path, &when_listening);
	return fails(&listen_error) ? -1 : __real_listen(fd, backlog);
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size)
{
	int result = __real_bind(fd, address, size), error = errno;

	stat(path, &when_bound);
	errno = error;
	return result;
}

int __wrap_lchown(const char *name, uid_t owner, gid_t group)
{
	return fails(&lchown_error) ? -1 : __real_lchown(name, owner, group);
}

static void set_up(void)
{
	scratch_make(folder);
	snprintf(path, sizeof(path), "%s/socket", folder);
	message[0] = '\0';
}

static void tear_down(void)
{
	scratch_remove(folder);
}

TestSuite(listener, .init = set_up, .fini = tear_down);

static int open_listener(const char *name)
{
	int fd = -1;

	if (listener_open(name, 0660, NO_GROUP, &fd, message, sizeof(message)) != 0) {
		cr_assert_eq(fd, -1);
		cr_assert_null(strchr(message, '\n'));
		return -1;
	}
	return fd;
}

static void assert_refused(const char *name, const char *expected)
{
	cr_assert_eq(open_listener(name), -1);
	cr_assert_not_null(strstr(message, name), "\"%s\" does not name %s", message, name);
	cr_assert_not_null(strstr(message, expected), "\"%s\" has no \"%s\"", message, expected);
}

static struct sockaddr_un address_of(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
	return address;
}

static int bound_socket(const char *name, int type)
{
	struct sockaddr_un address = address_of(name);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	cr_assert_geq(fd, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int connect_to(const char *name)
{
	struct sockaddr_un address = address_of(name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	cr_assert_geq(fd, 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void assert_accepts(int fd, const char *name)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	int client = connect_to(name), accepted;

	cr_assert_geq(client, 0);
	cr_assert_eq(poll(&poll_fd, 1, -1), 1);
	accepted = accept(fd, NULL, NULL);
	cr_assert_geq(accepted, 0);
	close(accepted);
	close(client);
}

Test(listener, listens)
{
	int fd = open_listener(path);

	cr_assert_geq(fd, 0);
	cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	cr_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_accepts(fd, path);
	cr_assert_eq(accept(fd, NULL, NULL), -1);
	cr_assert_eq(errno, EAGAIN);
	close(fd);
}

Test(listener, mode_is_exact_whatever_the_umask)
{
	static const unsigned modes[] = {0660, 0600, 0777, 0666, 0};
	static const mode_t masks[] = {0, 022, 0777};
	struct stat status;

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		for (size_t j = 0; j < sizeof(masks) / sizeof(masks[0]); j++) {
			int fd;

			umask(masks[j]);
			cr_assert_eq(listener_open(path, modes[i], NO_GROUP, &fd, message, sizeof(message)), 0, "%s",
				     message);
			cr_assert_eq(umask(masks[j]), masks[j]);
			cr_assert_eq(stat(path, &status), 0);
			cr_assert_eq(status.st_mode & 07777, modes[i]);
			close(fd);
			cr_assert_eq(unlink(path), 0);
		}
	}
	umask(022);
}

Test(listener, nobody_may_use_it_before_it_has_its_group)
{
	gid_t group = geteuid() == 0 ? GROUP : getegid();
	int fd;

	umask(0);
	cr_assert_eq(listener_open(path, 0660, group, &fd, message, sizeof(message)), 0, "%s", message);
	cr_assert_eq(when_bound.st_mode & 07777, 0);
	cr_assert_eq(when_listening.st_mode & 07777, 0660);
	cr_assert_eq(when_listening.st_gid, group);
	cr_assert_eq(when_listening.st_uid, geteuid());
	assert_accepts(fd, path);
	close(fd);
	umask(022);
}

Test(listener, group_that_it_cannot_have)
{
	int fd = -1;

	lchown_error = EPERM;
	cr_assert_eq(listener_open(path, 0660, GROUP, &fd, message, sizeof(message)), -1);
	cr_assert_not_null(strstr(message, "to group 62001 (socket-group): Operation not permitted"), "%s", message);
	cr_assert_eq(access(path, F_OK), -1, "a socket that nobody listens on is left behind");
	cr_assert_eq(fd, -1);
}

Test(listener, stale_socket_is_replaced)
{
	int fd;

	close(open_listener(path));
	cr_assert_eq(connect_to(path), -1);
	fd = open_listener(path);
	cr_assert_geq(fd, 0, "%s", message);
	assert_accepts(fd, path);
	close(fd);
}

Test(listener, socket_that_nobody_listens_on_is_stale)
{
	int bound = bound_socket(path, SOCK_STREAM), fd = open_listener(path);

	cr_assert_geq(fd, 0, "%s", message);
	close(fd);
	close(bound);
}

Test(listener, live_socket_is_left_alone)
{
	int fd = open_listener(path);

	cr_assert_geq(fd, 0);
	assert_refused(path, "is in use");
	/* The attempt counts as a connection that has gone again. */
	close(accept(fd, NULL, NULL));
	assert_accepts(fd, path);
	close(fd);
}

Test(listener, live_socket_with_a_full_backlog_is_left_alone)
{
	int bound = bound_socket(path, SOCK_STREAM), clients[8], count = 0;

	cr_assert_eq(listen(bound, 0), 0);
	while (count < 8 && (clients[count] = connect_to(path)) >= 0)
		count++;
	cr_assert_lt(count, 8);
	cr_assert_eq(errno, EAGAIN);
	assert_refused(path, "is in use");
	while (count > 0)
		close(clients[--count]);
	close(bound);
}

Test(listener, datagram_socket_in_use_is_left_alone)
{
	int bound = bound_socket(path, SOCK_DGRAM);

	assert_refused(path, "is in use");
	cr_assert_eq(access(path, F_OK), 0);
	close(bound);
}

Test(listener, other_files_are_left_alone)
{
	struct stat status;

	close(creat(path, 0600));
	assert_refused(path, "not a socket");
	cr_assert_eq(lstat(path, &status), 0);
	cr_assert(S_ISREG(status.st_mode));
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(mkdir(path, 0700), 0);
	assert_refused(path, "not a socket");
	cr_assert_eq(rmdir(path), 0);
	cr_assert_eq(symlink("nothing", path), 0);
	assert_refused(path, "not a socket");
	cr_assert_eq(lstat(path, &status), 0);
	cr_assert(S_ISLNK(status.st_mode));
}

Test(listener, path_of_107_bytes_but_not_108)
{
	char longest[109];
	int fd, length = snprintf(longest, sizeof(longest), "%s/", folder);

	memset(longest + length, 'a', sizeof(longest) - 1 - (size_t)length);
	longest[108] = '\0';
	assert_refused(longest, "a socket's path has 1 to 107 bytes, this one has 108");
	longest[107] = '\0';
	fd = open_listener(longest);
	cr_assert_geq(fd, 0, "%s", message);
	assert_accepts(fd, longest);
	close(fd);
	assert_refused("", "a socket's path has 1 to 107 bytes, this one has 0");
}

Test(listener, at_is_a_name_like_any_other)
{
	int fd;

	cr_assert_eq(chdir(folder), 0);
	fd = open_listener("@abstract");
	cr_assert_geq(fd, 0, "%s", message);
	cr_assert_eq(access("@abstract", F_OK), 0);
	close(fd);
}

Test(listener, no_folder)
{
	char name[SCRATCH_SIZE + 16];

	snprintf(name, sizeof(name), "%s/no/socket", folder);
	assert_refused(name, "its folder does not exist");
	close(creat(path, 0600));
	snprintf(name, sizeof(name), "%s/socket/s", folder);
	assert_refused(name, "Not a directory");
}

/* Runs as nobody in a folder that has only these permissions; exits 0 if it was refused for them. */
static int refused_as_nobody(mode_t mode)
{
	int status, fd;
	pid_t child;

	cr_assert_eq(chmod(folder, mode), 0);
	child = fork();
	if (child == 0) {
		if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) != 0)
			_exit(2);
		if (listener_open(path, 0600, NO_GROUP, &fd, message, sizeof(message)) != -1)
			_exit(3);
		_exit(strstr(message, "Permission denied") != NULL && strstr(message, path) != NULL ? 0 : 4);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(chmod(folder, 0755), 0);
	return status;
}

Test(listener, no_permission)
{
	int fd;

	cr_assert_eq(refused_as_nobody(0555), 0);
	cr_assert_eq(refused_as_nobody(0444), 0);
	/* A stale socket that may not be replaced, or not even asked. */
	cr_assert_eq(listener_open(path, 0777, NO_GROUP, &fd, message, sizeof(message)), 0);
	close(fd);
	cr_assert_eq(refused_as_nobody(0555), 0);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(listener_open(path, 0, NO_GROUP, &fd, message, sizeof(message)), 0);
	cr_assert_eq(refused_as_nobody(0555), 0);
	cr_assert_eq(access(path, F_OK), 0);
	close(fd);
}

Test(listener, system_calls_that_fail)
{
	int fd;

	socket_error = EMFILE;
	cr_assert_eq(open_listener(path), -1);
	cr_assert_str_eq(message, "cannot make a socket: Too many open files");
	listen_error = ENOBUFS;
	assert_refused(path, "No buffer space available");
	cr_assert_eq(access(path, F_OK), -1, "a socket that nobody listens on is left behind");
	fd = open_listener(path);
	cr_assert_geq(fd, 0);
	/* What is not known to be stale is not replaced. */
	socket_error = EMFILE;
	cr_assert_eq(open_listener(path), -1);
	connect_error = ENOBUFS;
	assert_refused(path, "cannot be asked whether it is in use: No buffer space available");
	connect_error = EINTR;
	assert_refused(path, "is in use");
	assert_accepts(fd, path);
	close(fd);
	/* Gone between two looks. */
	connect_error = ENOENT;
	fd = open_listener(path);
	cr_assert_geq(fd, 0, "%s", message);
	close(fd);
}

Test(listener, no_descriptor_is_left_behind)
{
	int before = dup(0), after;

	close(before);
	for (int i = 0; i < 8; i++) {
		int fd = open_listener(path);

		assert_refused(path, "is in use");
		close(fd);
		cr_assert_eq(unlink(path), 0);
		listen_error = ENOBUFS;
		assert_refused(path, "No buffer space");
		cr_assert_eq(mkdir(path, 0700), 0);
		assert_refused(path, "not a socket");
		cr_assert_eq(rmdir(path), 0);
	}
	after = dup(0);
	cr_assert_eq(after, before);
	close(after);
}
