/*
 * kyneta-stored: the store daemon.
 *
 * Starting, in this order: options; locks on the database and the socket, so that there is one daemon for each; the
 * database (recovered and checkpointed); the writer and the readers; the socket, last, so that whoever connects is
 * served. Every failure is one line and an exit code.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/config.h"
#include "daemon/engine.h"
#include "daemon/gate.h"
#include "daemon/listener.h"
#include "daemon/lockfile.h"
#include "daemon/log.h"
#include "daemon/reader.h"
#include "daemon/server.h"
#include "daemon/writer.h"

#define MESSAGE_SIZE 1024

/* Descriptors beside those of connections: the database's, the loop's, standard ones, and some to spare. */
#define OTHER_DESCRIPTORS 64

/* What log_escape makes of a byte at most. */
#define ESCAPED_SIZE 4

struct daemon {
	struct config config;
	int database_lock, socket_lock, listen_fd;
	struct engine *engine;
	struct gate gate;
	struct writer *writer;
	struct readers *readers;
	struct server server;
};

/* One line, whatever is in the names that it quotes. */
static int fail(const char *message)
{
	char line[ESCAPED_SIZE * MESSAGE_SIZE + 1];

	log_escape(message, strlen(message), line, sizeof(line));
	fprintf(stderr, "kyneta-stored: %s\n", line);
	return EXIT_CODE_START;
}

static rlim_t descriptors_wanted(const struct config *config)
{
	return (rlim_t)config->max_connections + OTHER_DESCRIPTORS;
}

/* *@descriptors: how many may be open now. Fails if the daemon itself cannot do with them. */
static int raise_descriptor_limit(const struct config *config, rlim_t *descriptors)
{
	rlim_t wanted = descriptors_wanted(config);
	struct rlimit limit = {wanted, wanted};
	char message[MESSAGE_SIZE];

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted) {
		rlim_t before = limit.rlim_cur;

		limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			limit.rlim_cur = before;
	}
	*descriptors = limit.rlim_cur;
	if (*descriptors >= OTHER_DESCRIPTORS)
		return 0;
	snprintf(message, sizeof(message), "only %llu descriptors may be open, %d are needed without any connection",
		 (unsigned long long)*descriptors, OTHER_DESCRIPTORS);
	return fail(message);
}

static void waiting(void *context, const char *what)
{
	(void)context;
	log_write(LOG_WARNING, "%s", what);
}

static int take_locks(struct daemon *daemon)
{
	char about[MESSAGE_SIZE], message[MESSAGE_SIZE];

	snprintf(about, sizeof(about), "pid %d, socket %s, database %s", (int)getpid(), daemon->config.socket,
		 daemon->config.database);
	if (lockfile_take(daemon->config.database, about, &daemon->database_lock, message, sizeof(message)) != 0 ||
	    lockfile_take(daemon->config.socket, about, &daemon->socket_lock, message, sizeof(message)) != 0)
		return fail(message);
	return 0;
}

static int open_database(struct daemon *daemon)
{
	const struct config *config = &daemon->config;
	struct engine_options options = {
	    .path = config->database,
	    .wal_limit_bytes = config->wal_bytes,
	    .cache_bytes = config->cache_bytes,
	    .reader_cache_bytes = config->reader_cache_bytes,
	    .reserve_bytes = config->reserve_bytes,
	    .waiting = waiting,
	};
	struct failure failure = {0};

	if (engine_sqlite.open(&options, &daemon->engine, &failure) != 0)
		return fail(failure.message);
	return 0;
}

static void writer_finished(void *context, struct job_list *jobs, bool fatal)
{
	server_finished(context, jobs, fatal);
}

static void readers_finished(void *context, struct job_list *jobs)
{
	server_finished(context, jobs, false);
}

static int start_threads(struct daemon *daemon)
{
	const struct config *config = &daemon->config;
	struct writer_options writer = {
	    .engine = daemon->engine,
	    .gate = &daemon->gate,
	    .batch_requests = config->batch_requests,
	    .batch_bytes = config->batch_bytes,
	    .wal_bytes = config->wal_bytes,
	    .document_cache_bytes = config->document_cache_bytes,
	    .max_stores = config->max_stores,
	    .session_window = config->max_requests_per_connection,
	    .session_timeout = config->session_timeout,
	    .synced_by_default = config->durability == DURABILITY_SYNCED,
	    .finished = writer_finished,
	    .context = &daemon->server,
	};
	struct readers_options readers = {
	    .engine = daemon->engine,
	    .gate = &daemon->gate,
	    .threads = config->readers,
	    .page_bytes = config->page_bytes,
	    .finished = readers_finished,
	    .context = &daemon->server,
	};
	struct failure failure = {0};

	gate_init(&daemon->gate);
	if (writer_start(&writer, &daemon->writer, &failure) != 0 ||
	    readers_start(&readers, &daemon->readers, &failure) != 0)
		return fail(failure.message);
	daemon->server.writer = daemon->writer;
	daemon->server.readers = daemon->readers;
	return 0;
}

static int start(struct daemon *daemon)
{
	char message[MESSAGE_SIZE];
	sigset_t all, before;
	int code = take_locks(daemon);

	if (code == 0)
		code = open_database(daemon);
	if (code != 0)
		return code;
	/* Signals go to the loop thread alone; one that comes from the moment we listen waits until the loop can take
	 * it. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (listener_open(daemon->config.socket, (unsigned)daemon->config.socket_mode, &daemon->listen_fd, message,
			  sizeof(message)) != 0)
		return fail(message);
	if (server_init(&daemon->server, &daemon->config, daemon->listen_fd, message, sizeof(message)) != 0)
		code = fail(message);
	else
		code = start_threads(daemon);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return code;
}

/* Everything in the reverse order; the database last, checkpointed. */
static int finish(struct daemon *daemon)
{
	struct failure failure = {0};

	readers_stop(daemon->readers);
	writer_stop(daemon->writer);
	unlink(daemon->config.socket);
	gate_destroy(&daemon->gate);
	if (daemon->engine->class->close(daemon->engine, true, &failure) != 0) {
		log_write(LOG_CRITICAL, "closing the database failed: %s", failure.message);
		return EXIT_CODE_STORAGE;
	}
	close(daemon->socket_lock);
	close(daemon->database_lock);
	return EXIT_CODE_OK;
}

int main(int argc, char **argv)
{
	static struct daemon daemon;
	char message[MESSAGE_SIZE];
	rlim_t descriptors;
	int code, finished;

	switch (config_read(&daemon.config, argc, argv, message, sizeof(message))) {
	case CONFIG_DONE:
		return EXIT_CODE_OK;
	case CONFIG_WRONG:
		fail(message);
		return EXIT_CODE_USAGE;
	case CONFIG_RUN:
		break;
	}
	signal(SIGPIPE, SIG_IGN);
	log_set_level((enum log_level)daemon.config.log_level);
	code = raise_descriptor_limit(&daemon.config, &descriptors);
	if (code == 0)
		code = start(&daemon);
	if (code != 0)
		return code;
	if (descriptors < descriptors_wanted(&daemon.config))
		log_write(LOG_WARNING,
			  "only %llu descriptors may be open: fewer than max-connections (%llu) and %d more",
			  (unsigned long long)descriptors, (unsigned long long)daemon.config.max_connections,
			  OTHER_DESCRIPTORS);
	log_write(LOG_NOTICE, "kyneta-stored %s: ready, socket %s, database %s", KYNETA_VERSION, daemon.config.socket,
		  daemon.config.database);
	code = server_run(&daemon.server);
	finished = finish(&daemon);
	log_write(LOG_NOTICE, "ended");
	return code != EXIT_CODE_OK ? code : finished;
}
