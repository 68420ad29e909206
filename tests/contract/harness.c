#include "tests/contract/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOREDS_MAX 4

/* Between two looks at something that has no event. Not a measure of time: only how often is asked. */
#define LOOK_AGAIN_MS 2

struct stored stored;

/* Those that must be cleared away. */
static struct stored *storeds[STOREDS_MAX];

/* ---- folders ---- */

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

static void remove_folder(const char *folder)
{
	nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A process that outlives a crash of this one by what it takes to remove the folder. */
static int guard_folder(const char *folder)
{
	int ends[2];
	char byte;
	pid_t pid;

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		setsid();
		dup2(ends[0], STDIN_FILENO);
		close(STDOUT_FILENO);
		close(STDERR_FILENO);
		close_range(3, UINT_MAX, 0);
		while (read(STDIN_FILENO, &byte, 1) < 0 && errno == EINTR)
			;
		remove_folder(folder);
		_exit(0);
	}
	close(ends[0]);
	return ends[1];
}

static void set_path(char path[HARNESS_PATH_SIZE], const struct stored *of, const char *name)
{
	snprintf(path, HARNESS_PATH_SIZE, "%s/%s", of->folder, name);
}

void stored_prepare(struct stored *of)
{
	size_t i = 0;

	*of = (struct stored){0};
	/* A socket's path must be short, whatever TMPDIR says. */
	snprintf(of->folder, sizeof(of->folder), "/tmp/kyneta-contract-XXXXXX");
	cr_assert_not_null(mkdtemp(of->folder));
	set_path(of->socket, of, "socket");
	set_path(of->database, of, "exchange.db");
	set_path(of->log, of, "log");
	of->guard = guard_folder(of->folder);
	while (i < STOREDS_MAX && storeds[i] != NULL && storeds[i] != of)
		i++;
	cr_assert_lt(i, STOREDS_MAX);
	storeds[i] = of;
}

static void clear_away(struct stored *of)
{
	if (of->fault != NULL)
		munmap(of->fault, sizeof(*of->fault));
	remove_folder(of->folder);
	close(of->guard);
	of->folder[0] = '\0';
	of->fault = NULL;
}

static void show_log(const struct stored *of)
{
	size_t size = 0;
	char *text = file_read(of->log, &size);

	fprintf(stderr, "---- the daemon in %s said:\n%.*s----\n", of->folder, (int)size, text == NULL ? "" : text);
	free(text);
}

void harness_init(void)
{
	signal(SIGPIPE, SIG_IGN);
	stored_prepare(&stored);
}

void harness_fini(void)
{
	for (size_t i = 0; i < STOREDS_MAX; i++) {
		struct stored *of = storeds[i];

		if (of == NULL || of->folder[0] == '\0')
			continue;
		show_log(of);
		if (of->pid != 0) {
			kill(of->pid, SIGKILL);
			stored_wait(of);
		}
		clear_away(of);
	}
}

/* ---- starting ---- */

static const char *daemon_path(void)
{
	const char *path = getenv("KYNETA_STORED_BIN");

	return path != NULL ? path : STORED_BIN;
}

/* The sanitizers insist on coming first, unless told otherwise. */
static void preload_faults(const struct stored *of)
{
	const char *before = getenv("ASAN_OPTIONS");
	char text[1024], path[HARNESS_PATH_SIZE];

	if (of->fault == NULL)
		return;
	snprintf(text, sizeof(text), "%s%sverify_asan_link_order=0", before == NULL ? "" : before,
		 before == NULL ? "" : ":");
	setenv("ASAN_OPTIONS", text, 1);
	set_path(path, of, "fault");
	setenv(FAULT_FILE_VARIABLE, path, 1);
	setenv("LD_PRELOAD", FAULT_LIBRARY, 1);
}

/* In the new process. */
static void become_daemon(const struct stored *of, pid_t parent)
{
	const char *arguments[8 + HARNESS_OPTIONS_MAX] = {daemon_path(), "--config",   "/dev/null", "--socket",
							  of->socket,	 "--database", of->database};
	size_t count = 7;
	int log = open(of->log, O_WRONLY | O_CREAT | O_APPEND, 0600), nothing = open("/dev/null", O_RDONLY);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || log < 0 || nothing < 0)
		_exit(126);
	dup2(nothing, STDIN_FILENO);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	for (size_t i = 0; i < HARNESS_OPTIONS_MAX && of->options[i] != NULL; i++)
		arguments[count++] = of->options[i];
	if (of->file_size_limit != 0) {
		struct rlimit limit = {of->file_size_limit, of->file_size_limit};

		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &limit);
	}
	preload_faults(of);
	execv(arguments[0], (char *const *)(uintptr_t)arguments);
	fprintf(stderr, "cannot run %s: %s\n", arguments[0], strerror(errno));
	_exit(127);
}

void stored_launch(struct stored *of)
{
	pid_t parent = getpid();

	cr_assert_eq(of->pid, 0);
	of->pid = fork();
	cr_assert_geq(of->pid, 0);
	if (of->pid == 0)
		become_daemon(of, parent);
}

/* One try to connect, and wait until the daemon has seen the connection go: it must not count against any limit. */
static bool answers(const struct stored *of)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = {.tv_sec = HARNESS_PATIENCE_MS / 1000};
	bool is_there;
	char byte;

	strcpy(address.sun_path, of->socket);
	is_there = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	if (is_there) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		shutdown(fd, SHUT_WR);
		is_there = read(fd, &byte, 1) == 0;
	}
	close(fd);
	return is_there;
}

static void await_ready(struct stored *of)
{
	int process = (int)syscall(SYS_pidfd_open, of->pid, 0);
	struct pollfd ended = {.fd = process, .events = POLLIN};
	bool ready = false;

	cr_assert_geq(process, 0);
	for (int i = 0; !ready && i < HARNESS_PATIENCE_MS / LOOK_AGAIN_MS; i++) {
		ready = answers(of);
		if (!ready && poll(&ended, 1, LOOK_AGAIN_MS) > 0)
			break;
	}
	close(process);
	cr_assert(ready, "the daemon does not serve");
}

void stored_restart(struct stored *of)
{
	stored_launch(of);
	await_ready(of);
}

void stored_start(struct stored *of, ...)
{
	va_list arguments;
	const char *option;
	size_t count = 0;

	va_start(arguments, of);
	while ((option = va_arg(arguments, const char *)) != NULL && count < HARNESS_OPTIONS_MAX - 1)
		of->options[count++] = option;
	va_end(arguments);
	of->options[count] = NULL;
	stored_restart(of);
}

/* ---- ending ---- */

void stored_signal(const struct stored *of, int number)
{
	cr_assert_neq(of->pid, 0);
	cr_assert_eq(kill(of->pid, number), 0);
}

int stored_wait(struct stored *of)
{
	int status;
	pid_t pid;

	do {
		pid = waitpid(of->pid, &status, 0);
	} while (pid < 0 && errno == EINTR);
	cr_assert_eq(pid, of->pid);
	of->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void stored_stop(struct stored *of)
{
	stored_signal(of, SIGTERM);
	cr_assert_eq(stored_wait(of), 0, "the daemon did not end well");
}

void stored_kill(struct stored *of)
{
	stored_signal(of, SIGKILL);
	cr_assert_eq(stored_wait(of), -SIGKILL);
}

void stored_end(struct stored *of)
{
	if (of->pid != 0)
		stored_stop(of);
	clear_away(of);
}

bool stored_has_said(const struct stored *of, const char *text)
{
	size_t size = 0;
	char *log = file_read(of->log, &size);
	bool found = log != NULL && memmem(log, size, text, strlen(text)) != NULL;

	free(log);
	return found;
}

/* ---- faults ---- */

void stored_use_faults(struct stored *of)
{
	char path[HARNESS_PATH_SIZE];
	int fd;

	cr_assert_eq(access(FAULT_LIBRARY, R_OK), 0, "%s is not there", FAULT_LIBRARY);
	set_path(path, of, "fault");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, sizeof(*of->fault)), 0);
	of->fault = mmap(NULL, sizeof(*of->fault), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cr_assert_neq((void *)of->fault, MAP_FAILED);
	close(fd);
}

void stored_hold_syncs(struct stored *of)
{
	atomic_store(&of->fault->hold, 1);
}

void stored_release_syncs(struct stored *of)
{
	atomic_store(&of->fault->hold, 0);
	syscall(SYS_futex, &of->fault->hold, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void stored_await_sync(struct stored *of, unsigned before)
{
	for (int i = 0; i < HARNESS_PATIENCE_MS / LOOK_AGAIN_MS; i++) {
		if (atomic_load(&of->fault->syncs) > before)
			return;
		poll(NULL, 0, LOOK_AGAIN_MS);
	}
	cr_assert_fail("no sync began");
}

/* ---- files ---- */

void *file_read(const char *path, size_t *size)
{
	FILE *file = fopen(path, "re");
	char *data = NULL;
	long end;

	if (file == NULL)
		return NULL;
	if (fseek(file, 0, SEEK_END) == 0 && (end = ftell(file)) >= 0 && fseek(file, 0, SEEK_SET) == 0) {
		data = malloc((size_t)end + 1);
		*size = data == NULL ? 0 : fread(data, 1, (size_t)end, file);
	}
	fclose(file);
	return data;
}

void file_write(const char *path, const void *data, size_t size)
{
	FILE *file = fopen(path, "we");

	cr_assert_not_null(file, "%s: %s", path, strerror(errno));
	cr_assert_eq(fwrite(data, 1, size, file), size);
	cr_assert_eq(fclose(file), 0);
}

void file_copy(const char *from, const char *to)
{
	size_t size = 0;
	void *data = file_read(from, &size);

	cr_assert_not_null(data, "%s cannot be read", from);
	file_write(to, data, size);
	free(data);
}

const char *fixture_path(const char *name)
{
	static char path[PATH_MAX];
	const char *folder = getenv("KYNETA_FIXTURES");

	snprintf(path, sizeof(path), "%s/%s", folder != NULL ? folder : FIXTURES, name);
	return access(path, R_OK) == 0 ? path : NULL;
}
