/*
 * probe: what can a program do here? For test_units.py, in the daemon's place inside of its sandbox, and outside of it.
 *
 * Tries each thing that a daemon taken over might want, as the daemon's user and without capabilities, and prints a
 * line for each: NAME and "yes", or why not. Arguments are of no account: it is started as if it were the daemon. In
 * the environment: STATE_DIRECTORY, and PROBE_LIBRARIES, the folder of the shared libraries.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOADER	   "/lib64/ld-linux-x86-64.so.2"
#define PAGE_BYTES 4096

static void say(const char *name, bool can)
{
	printf("%s: %s\n", name, can ? "yes" : strerror(errno));
}

static bool can_write(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return false;
	close(fd);
	unlink(path);
	return true;
}

static bool can_socket(int family, int type)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/* The child's exit status, or -1: 0 is what /bin/true gives. */
static bool can_execute(const char *path, const char *argument)
{
	int status, sent = 0, pipe_fds[2];
	pid_t child;

	if (pipe2(pipe_fds, O_CLOEXEC) != 0)
		return false;
	child = fork();
	if (child == 0) {
		close(STDERR_FILENO);
		execl(path, path, argument, NULL);
		sent = errno;
		if (write(pipe_fds[1], &sent, sizeof(sent)) < 0)
			_exit(126);
		_exit(127);
	}
	close(pipe_fds[1]);
	if (child < 0 || waitpid(child, &status, 0) != child)
		return false;
	if (read(pipe_fds[0], &sent, sizeof(sent)) != sizeof(sent))
		sent = ENOEXEC;
	close(pipe_fds[0]);
	errno = sent;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* A copy of /bin/true that is the caller's own. */
static bool copy_true(int to)
{
	char bytes[PAGE_BYTES];
	ssize_t size;
	int from = open("/bin/true", O_RDONLY | O_CLOEXEC);

	if (from < 0 || to < 0)
		return false;
	while ((size = read(from, bytes, sizeof(bytes))) > 0)
		if (write(to, bytes, (size_t)size) != size)
			break;
	close(from);
	return size == 0;
}

static bool can_execute_copy(const char *folder)
{
	char path[256];
	int fd, error;
	bool can;

	snprintf(path, sizeof(path), "%s/true", folder);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
	can = copy_true(fd);
	close(fd);
	can = can && can_execute(path, NULL);
	error = errno;
	unlink(path);
	errno = error;
	return can;
}

static bool can_execute_memory(void)
{
	char path[64];
	int fd = memfd_create("true", 0);
	bool can;

	if (!copy_true(fd))
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	can = can_execute(path, NULL);
	close(fd);
	return can;
}

static bool can_map_executable(void)
{
	void *memory = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory != MAP_FAILED;
}

static bool can_make_executable(void)
{
	void *memory = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory != MAP_FAILED && mprotect(memory, PAGE_BYTES, PROT_READ | PROT_EXEC) == 0;
}

static bool can_set_suid(const char *folder)
{
	char path[256];
	int fd, error;
	bool can;

	snprintf(path, sizeof(path), "%s/suid", folder);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	can = fd >= 0 && fchmod(fd, 04700) == 0;
	error = errno;
	close(fd);
	unlink(path);
	errno = error;
	return can;
}

static bool can_read_memory(void)
{
	char from = 'x', to = 0;
	struct iovec local = {&to, 1}, remote = {&from, 1};

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1;
}

static bool can_batch(void)
{
	struct sched_param none = {0};

	return sched_setscheduler(0, SCHED_BATCH, &none) == 0;
}

static void *nothing(void *context)
{
	return context;
}

static bool can_thread(void)
{
	pthread_t thread;

	errno = pthread_create(&thread, NULL, nothing, NULL);
	return errno == 0 && pthread_join(thread, NULL) == 0;
}

int main(void)
{
	const char *state = getenv("STATE_DIRECTORY"), *libraries = getenv("PROBE_LIBRARIES");
	char path[256];

	if (state == NULL || libraries == NULL)
		return 1;
	/* What the daemon needs. */
	snprintf(path, sizeof(path), "%s/probe", state);
	say("write to the state folder", can_write(path));
	say("unix socket", can_socket(AF_UNIX, SOCK_STREAM));
	say("thread", can_thread());
	say("random numbers", access("/dev/urandom", R_OK) == 0);
	say("the boot's identity", access("/proc/sys/kernel/random/boot_id", R_OK) == 0);

	/* What it does not. The folders called open are everybody's. */
	say("write to /etc", can_write("/etc/open/probe"));
	say("write to /usr", can_write("/usr/open/probe"));
	snprintf(path, sizeof(path), "%s/open/probe", libraries);
	say("write to the libraries' folder", can_write(path));
	say("write to /run", can_write("/run/open/probe"));
	say("write to /run/lock", can_write("/run/lock/open/probe"));
	say("write to /home", can_write("/home/open/probe"));
	say("write to /var/lib", can_write("/var/lib/open/probe"));
	say("write to another database's folder", can_write("/var/lib/kyneta-store/other/probe"));
	say("write to shared memory", can_write("/dev/shm/probe"));
	say("see the temporary files of others", access("/tmp/open", F_OK) == 0);
	say("see the processes of others", access("/proc/1", F_OK) == 0);
	say("internet socket", can_socket(AF_INET, SOCK_STREAM));
	say("internet socket, version 6", can_socket(AF_INET6, SOCK_DGRAM));
	say("netlink socket", can_socket(AF_NETLINK, SOCK_RAW));
	say("execute a program", can_execute("/bin/true", NULL));
	say("execute a program through the loader", can_execute(LOADER, "/bin/true"));
	say("execute a file of its own", can_execute_copy(state));
	say("execute a temporary file", can_execute_copy("/tmp"));
	say("execute memory", can_execute_memory());
	say("map memory to write and execute", can_map_executable());
	say("make memory executable", can_make_executable());
	say("set the user id bit", can_set_suid(state));
	say("read the memory of a process", can_read_memory());
	say("change its scheduling", can_batch());
	say("change its priority", setpriority(PRIO_PROCESS, 0, 19) == 0);
	say("change its personality", personality(ADDR_NO_RANDOMIZE) != -1);
	return 0;
}
