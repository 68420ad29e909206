#include "tests/inside/inside.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"
#include "tests/inside/must.h"

void inside_prepare(struct inside *inside, void (*configure)(struct config *config))
{
	const char *parent = getenv("TMPDIR");

	memset(inside, 0, sizeof(*inside));
	inside->configure = configure;
	if (parent == NULL)
		parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(inside->folder, sizeof(inside->folder), "%s/kyneta-inside-XXXXXX", parent);
	MUST(mkdtemp(inside->folder) != NULL, "%s: %s", inside->folder, strerror(errno));
	snprintf(inside->socket, sizeof(inside->socket), "%s/socket", inside->folder);
	snprintf(inside->database, sizeof(inside->database), "%s/exchange.db", inside->folder);
	signal(SIGPIPE, SIG_IGN);
	sem_init(&inside->ready, 0, 0);
}

static struct config *new_config(const struct inside *inside)
{
	struct config *config = config_new();

	MUST(config != NULL, "no memory");
	config->socket = inside->socket;
	config->database = inside->database;
	config->reserve_bytes = 0;
	/* A peer that vanishes is worth a line in a daemon's log, and here it is the test. */
	config->log_level = LOG_CRITICAL;
	if (inside->configure != NULL)
		inside->configure(config);
	return config;
}

/* On the loop thread: what libuv does when a signal has come. */
static void on_wake(uv_async_t *handle)
{
	struct inside *inside = handle->data;
	struct server *server = &inside->daemon->server;

	if (atomic_load(&inside->stop)) {
		uv_close((uv_handle_t *)handle, NULL);
		server->sigterm.signal_cb(&server->sigterm, SIGTERM);
	} else {
		server->sighup.signal_cb(&server->sighup, SIGHUP);
	}
}

static void on_hangup(void *context)
{
	struct inside *inside = context;

	MUST(daemon_reload(inside->daemon, new_config(inside)) == 0, "no memory");
}

static void *run(void *context)
{
	struct inside *inside = context;
	struct daemon *daemon = inside->daemon;
	char message[DAEMON_MESSAGE_SIZE] = "";
	int code;

	daemon->config = new_config(inside);
	log_set_level((enum log_level)daemon->config->log_level);
	MUST(daemon_start(daemon, message, sizeof(message)) == 0, "%s", message);
	uv_async_init(&daemon->server.loop, &inside->wake, on_wake);
	inside->wake.data = inside;
	daemon->server.on_hangup = on_hangup;
	daemon->server.hangup_context = inside;
	sem_post(&inside->ready);
	code = daemon_run(daemon);
	inside->exit_code = daemon_finish(daemon);
	if (code != EXIT_CODE_OK)
		inside->exit_code = code;
	return NULL;
}

void inside_start(struct inside *inside)
{
	inside->daemon = calloc(1, sizeof(*inside->daemon));
	MUST(inside->daemon != NULL, "no memory");
	inside->stop = false;
	MUST(pthread_create(&inside->thread, NULL, run, inside) == 0, "no thread");
	while (sem_wait(&inside->ready) != 0)
		;
}

void inside_reload(struct inside *inside)
{
	uv_async_send(&inside->wake);
}

void inside_stop(struct inside *inside)
{
	atomic_store(&inside->stop, true);
	uv_async_send(&inside->wake);
	MUST(pthread_join(inside->thread, NULL) == 0, "not its thread");
	MUST(inside->exit_code == EXIT_CODE_OK, "it ended with %d", inside->exit_code);
	free(inside->daemon);
	inside->daemon = NULL;
}

void inside_clear(struct inside *inside)
{
	MUST(unlink(inside->database) == 0, "%s: %s", inside->database, strerror(errno));
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

void inside_remove(struct inside *inside)
{
	sem_destroy(&inside->ready);
	MUST(nftw(inside->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0, "%s: %s", inside->folder,
	     strerror(errno));
}
