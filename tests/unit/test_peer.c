/* peer: the ids of the process that connected, as they were then. */
#include "daemon/peer.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define OTHER_UID 65534
#define OTHER_GID 12

/* In the place of the system call of peer.c: fails with what a test asks for, from the second call on if it says so. */
static int getsockopt_error, getsockopt_calls_before;

int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
	if (getsockopt_error != 0 && getsockopt_calls_before-- <= 0) {
		errno = getsockopt_error;
		return -1;
	}
	return __real_getsockopt(fd, level, name, value, size);
}

/* Connects as somebody else if it may, as itself after that, and stays until its end is closed. */
static void run_client(const struct sockaddr_un *address, socklen_t size)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	bool is_root = getuid() == 0;
	char byte;

	if (is_root && (setegid(OTHER_GID) != 0 || seteuid(OTHER_UID) != 0))
		_exit(2);
	if (connect(fd, (const struct sockaddr *)address, size) != 0)
		_exit(3);
	if (is_root && seteuid(0) != 0)
		_exit(4);
	_exit(read(fd, &byte, 1) == 0 ? 0 : 5);
}

Test(peer, tells_who_connected, .timeout = 30)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t size = sizeof(sa_family_t); /* the kernel finds a name */
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	bool is_root = getuid() == 0;
	struct peer peer;
	int fd, status;
	pid_t child;

	cr_assert_eq(bind(listener, (const struct sockaddr *)&address, size), 0);
	size = sizeof(address);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	cr_assert_eq(listen(listener, 1), 0);
	child = fork();
	if (child == 0)
		run_client(&address, size);
	fd = accept(listener, NULL, NULL);
	cr_assert_geq(fd, 0);
	cr_assert_eq(peer_read(fd, &peer), 0);
	cr_assert_eq(peer.pid, child);
	cr_assert_eq(peer.uid, is_root ? OTHER_UID : getuid());
	cr_assert_eq(peer.gid, is_root ? OTHER_GID : getgid());
	close(fd);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the client ended with %#x", (unsigned)status);
	close(listener);
}

Test(peer, is_nobody_where_it_is_not_known)
{
	struct peer peer = {.pid = 1, .uid = 0, .gid = 0};
	char text[64];
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(peer_read(fds[0], &peer), -1);
	cr_assert_eq(errno, ENOTSOCK);
	cr_assert_eq(peer.pid, -1);
	cr_assert_eq(peer.uid, (uid_t)-1);
	cr_assert_eq(peer.gid, (gid_t)-1);
	snprintf(text, sizeof(text), PEER_FORMAT, PEER_ARGUMENTS(&peer));
	cr_assert_str_eq(text, "pid -1 uid 4294967295");
}

/* A socket whose peer was in so many groups when it connected: this process itself. */
static int connected_in_groups(size_t count)
{
	gid_t groups[1000];
	int fds[2];

	for (size_t i = 0; i < count; i++)
		groups[i] = 70000 + (gid_t)i;
	cr_assert_eq(setgroups(count, groups), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	close(fds[0]);
	return fds[1];
}

Test(peer, tells_its_groups_however_many)
{
	static const size_t counts[] = {0, 1, 32, 33, 1000};
	struct peer peer = {.pid = 1};

	if (geteuid() != 0)
		cr_skip_test("only root may choose its groups");
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		int fd = connected_in_groups(counts[i]);

		cr_assert_eq(peer_read_groups(fd, &peer), 0);
		cr_assert_eq(peer.group_count, counts[i]);
		for (size_t j = 0; j < counts[i]; j++)
			cr_assert_eq(peer.groups[j], 70000 + j);
		close(fd);
	}
	peer_free(&peer);
	cr_assert_eq(peer.group_count, 0);
	peer_free(&peer);
}

Test(peer, groups_that_are_not_told_are_none)
{
	struct peer peer = {.pid = 1};
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	getsockopt_error = ENOPROTOOPT;
	cr_assert_eq(peer_read_groups(fds[0], &peer), -1);
	cr_assert_eq(errno, ENOPROTOOPT);
	cr_assert_eq(peer.group_count, 0);
	close(fds[0]);
	close(fds[1]);
	if (geteuid() != 0)
		return;
	/* Between the two calls that a long list takes. */
	fds[0] = connected_in_groups(100);
	getsockopt_calls_before = 1;
	cr_assert_eq(peer_read_groups(fds[0], &peer), -1);
	cr_assert_eq(peer.group_count, 0);
	close(fds[0]);
}
