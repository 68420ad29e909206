#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <kyneta/store.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_DEADLINE_MS 10000
#define ARGUMENTS_MAX	  32

static void run_daemon(const struct target *target, const char *program, const char *const *arguments)
{
	const char *argv[ARGUMENTS_MAX] = {program,	     "--socket",    target->socket, "--database",
					   target->database, "--log-level", "warning"};
	size_t count = 7;

	for (; arguments != NULL && *arguments != NULL && count + 1 < ARGUMENTS_MAX; arguments++)
		argv[count++] = *arguments;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execv(program, (char *const *)(uintptr_t)argv);
	fprintf(stderr, "kyneta-store-bench: cannot run %s: %s\n", program, strerror(errno));
	_exit(127);
}

static int wait_until_ready(const struct target *target)
{
	struct kyneta_store_options options = KYNETA_STORE_OPTIONS_INIT;
	struct kyneta_store_error error;
	kyneta_store *store;

	options.path = target->socket;
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

int target_start(struct target *target, const char *parent, const char *program, const char *const *arguments)
{
	memset(target, 0, sizeof(*target));
	snprintf(target->folder, sizeof(target->folder), "%s/kyneta-bench-XXXXXX", parent);
	if (mkdtemp(target->folder) == NULL) {
		fprintf(stderr, "kyneta-store-bench: cannot make a folder in %s: %s\n", parent, strerror(errno));
		return -1;
	}
	snprintf(target->socket, sizeof(target->socket), "%s/socket", target->folder);
	snprintf(target->database, sizeof(target->database), "%s/bench.db", target->folder);
	if (program == NULL)
		return 0;
	fflush(NULL);
	target->daemon = fork();
	if (target->daemon < 0)
		return -1;
	if (target->daemon == 0)
		run_daemon(target, program, arguments);
	return wait_until_ready(target);
}

int target_stop(struct target *target)
{
	static const char *const names[] = {"bench.db",		"bench.db-wal", "bench.db-shm", "bench.db.lock",
					    "bench.db.reserve", "socket",	"socket.lock"};
	char path[TARGET_PATH_SIZE + 32];
	int status = 0;

	if (target->daemon > 0) {
		kill(target->daemon, SIGTERM);
		waitpid(target->daemon, &status, 0);
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", target->folder, names[i]);
		unlink(path);
	}
	rmdir(target->folder);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}
