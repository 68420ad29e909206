#include "tests/bench/target.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <kyneta/store.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/slow_fsync.h"

#define START_DEADLINE_MS 30000
#define ARGUMENTS_MAX	  64
#define RECORD_LIBRARY	  "libbench-record.so"
#define FSYNC_LIBRARY	  "libbench-fsync.so"

static const char *const file_names[] = {"bench.db",	     "bench.db-wal", "bench.db-shm", "bench.db.lock",
					 "bench.db.reserve", "socket",	     "socket.lock"};

/* The target and the yardstick's, for a run that is broken off. */
static struct target *live[2];
static pid_t live_owner;

static int fail(const char *what, const char *name)
{
	fprintf(stderr, "kyneta-store-bench: %s %s: %s\n", what, name, strerror(errno));
	return -1;
}

/* ---- the daemon's process ---- */

/* After fork: the environment of the libraries that stand in front of SQLite and the C library. */
static void preload(const struct target *target, const struct target_options *options)
{
	char libraries[2 * TARGET_PATH_SIZE], number[32];
	size_t used = 0;

	libraries[0] = '\0';
	if (options->record) {
		used = (size_t)snprintf(libraries, sizeof(libraries), "%s/" RECORD_LIBRARY, options->libraries);
		snprintf(number, sizeof(number), "%d", target->log_fd);
		setenv(LOG_VARIABLE, number, 1);
		fcntl(target->log_fd, F_SETFD, 0);
	}
	if (options->slow_fsync_us > 0 && used < sizeof(libraries)) {
		snprintf(libraries + used, sizeof(libraries) - used, "%s%s/" FSYNC_LIBRARY, used > 0 ? ":" : "",
			 options->libraries);
		snprintf(number, sizeof(number), "%llu", (unsigned long long)options->slow_fsync_us);
		setenv(SLOW_FSYNC_VARIABLE, number, 1);
	}
	if (libraries[0] != '\0')
		setenv("LD_PRELOAD", libraries, 1);
}

static void run_daemon(const struct target *target, const struct target_options *options)
{
	const char *argv[ARGUMENTS_MAX] = {options->daemon, "--config",	      "/dev/null",   "--socket", target->socket,
					   "--database",    target->database, "--log-level", "warning"};
	size_t count = 9;

	for (size_t i = 0; options->arguments != NULL && options->arguments[i] != NULL && count + 1 < ARGUMENTS_MAX;
	     i++)
		argv[count++] = options->arguments[i];
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	preload(target, options);
	execv(options->daemon, (char *const *)(uintptr_t)argv);
	fail("cannot run", options->daemon);
	_exit(127);
}

int target_wait(const char *socket)
{
	struct kyneta_store_options options = KYNETA_STORE_OPTIONS_INIT;
	struct kyneta_store_error error;
	kyneta_store *store;

	options.path = socket;
	options.deadline_ms = START_DEADLINE_MS;
	options.backoff_base_ms = 5;
	options.backoff_max_ms = 20;
	if (kyneta_store_open(&options, &store, &error) != 0) {
		fprintf(stderr, "kyneta-store-bench: the daemon does not answer: %s\n", error.message);
		return -1;
	}
	kyneta_store_free(store);
	return 0;
}

static int make_log(struct target *target)
{
	void *memory;

	target->log_fd = memfd_create("statements", MFD_CLOEXEC);
	if (target->log_fd < 0 || ftruncate(target->log_fd, (off_t)LOG_BYTES) != 0)
		return fail("cannot make", "the log of statements");
	memory = mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, target->log_fd, 0);
	if (memory == MAP_FAILED)
		return fail("cannot map", "the log of statements");
	target->log = memory;
	atomic_store(&target->log->end, sizeof(*target->log));
	return 0;
}

/* ---- its folder ---- */

/* Calls nothing that a signal handler may not. */
static void remove_folder(const struct target *target)
{
	char path[TARGET_PATH_SIZE + 32];
	size_t size = strlen(target->folder);

	memcpy(path, target->folder, size);
	path[size] = '/';
	for (size_t i = 0; i < sizeof(file_names) / sizeof(file_names[0]); i++) {
		memcpy(path + size + 1, file_names[i], strlen(file_names[i]) + 1);
		unlink(path);
	}
	rmdir(target->folder);
}

static void broken_off(int number)
{
	for (size_t i = 0; getpid() == live_owner && i < sizeof(live) / sizeof(live[0]); i++) {
		if (live[i] == NULL)
			continue;
		if (live[i]->daemon > 0 && kill(live[i]->daemon, SIGKILL) == 0)
			waitpid(live[i]->daemon, NULL, 0);
		remove_folder(live[i]);
	}
	_exit(128 + number);
}

static void remember(struct target *target)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
	struct sigaction action = {.sa_handler = broken_off};

	for (size_t i = 0; live_owner == 0 && i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
	live_owner = getpid();
	live[live[0] != NULL] = target;
}

static void forget(const struct target *target)
{
	for (size_t i = 0; i < sizeof(live) / sizeof(live[0]); i++)
		if (live[i] == target)
			live[i] = NULL;
}

/* ---- the target ---- */

int target_start(struct target *target, const struct target_options *options)
{
	memset(target, 0, sizeof(*target));
	target->log_fd = -1;
	snprintf(target->folder, sizeof(target->folder), "%s/kyneta-bench-XXXXXX", options->folder);
	if (mkdtemp(target->folder) == NULL) {
		target->folder[0] = '\0';
		return fail("cannot make a folder in", options->folder);
	}
	remember(target);
	snprintf(target->socket, sizeof(target->socket), "%s/socket", target->folder);
	snprintf(target->database, sizeof(target->database), "%s/bench.db", target->folder);
	if (options->daemon == NULL)
		return 0;
	if (options->record && make_log(target) != 0)
		return -1;
	/* What an earlier measurement has left to be written shall not be written during this one. */
	sync();
	fflush(NULL);
	target->daemon = fork();
	if (target->daemon < 0)
		return fail("cannot start", options->daemon);
	if (target->daemon == 0)
		run_daemon(target, options);
	return target_wait(target->socket);
}

int target_stop(struct target *target)
{
	int status = 0;

	if (target->daemon > 0) {
		kill(target->daemon, SIGTERM);
		waitpid(target->daemon, &status, 0);
		target->daemon = 0;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	fprintf(stderr, "kyneta-store-bench: the daemon ended with status 0x%x\n", (unsigned)status);
	return -1;
}

void target_remove(struct target *target)
{
	if (target->folder[0] != '\0')
		remove_folder(target);
	forget(target);
	if (target->log != NULL)
		munmap(target->log, LOG_BYTES);
	if (target->log_fd >= 0)
		close(target->log_fd);
	target->log = NULL;
	target->log_fd = -1;
}

/* The first number in a thread's schedstat is how long it was running. */
static uint64_t thread_cpu_ns(pid_t daemon, const char *thread)
{
	char path[512];
	unsigned long long ns = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)daemon, thread);
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%llu", &ns) != 1)
		ns = 0;
	fclose(file);
	return ns;
}

void target_cpu_ns(const struct target *target, uint64_t *loop, uint64_t *all)
{
	char path[64];
	struct dirent *entry;
	DIR *folder;

	*loop = *all = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)target->daemon);
	folder = target->daemon > 0 ? opendir(path) : NULL;
	while (folder != NULL && (entry = readdir(folder)) != NULL) {
		uint64_t ns = entry->d_name[0] == '.' ? 0 : thread_cpu_ns(target->daemon, entry->d_name);

		*all += ns;
		if (atoi(entry->d_name) == (int)target->daemon)
			*loop = ns;
	}
	if (folder != NULL)
		closedir(folder);
}

uint64_t target_memory_kib(const struct target *target)
{
	char path[64], line[256];
	unsigned long long kib = 0;
	FILE *file;

	if (target->daemon <= 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)target->daemon);
	file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "VmRSS: %llu kB", &kib) == 1)
			break;
	if (file != NULL)
		fclose(file);
	return kib;
}
