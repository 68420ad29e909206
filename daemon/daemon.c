#include "daemon/daemon.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "daemon/engine.h"
#include "daemon/listener.h"
#include "daemon/lockfile.h"
#include "daemon/log.h"
#include "daemon/reader.h"
#include "daemon/writer.h"

static void waiting(void *context, const char *what)
{
	(void)context;
	log_write(LOG_WARNING, "%s", what);
}

static int take_locks(struct daemon *daemon, char *message, unsigned long size)
{
	char about[DAEMON_MESSAGE_SIZE];

	snprintf(about, sizeof(about), "pid %d, socket %s, database %s", (int)getpid(), daemon->config->socket,
		 daemon->config->database);
	if (lockfile_take(daemon->config->database, about, &daemon->database_lock, message, size) != 0)
		return -1;
	return lockfile_take(daemon->config->socket, about, &daemon->socket_lock, message, size);
}

static int open_database(struct daemon *daemon, struct failure *failure)
{
	const struct config *config = daemon->config;
	struct engine_options options = {
	    .path = config->database,
	    .wal_limit_bytes = config->wal_bytes,
	    .cache_bytes = config->cache_bytes,
	    .reader_cache_bytes = config->reader_cache_bytes,
	    .reserve_bytes = config->reserve_bytes,
	    .waiting = waiting,
	};

	return engine_sqlite.open(&options, &daemon->engine, failure);
}

static void writer_finished(void *context, struct job_list *jobs, bool fatal)
{
	server_finished(context, jobs, fatal);
}

static void readers_finished(void *context, struct job_list *jobs)
{
	server_finished(context, jobs, false);
}

static struct writer_limits writer_limits(const struct config *config)
{
	return (struct writer_limits){
	    .batch_requests = config->batch_requests,
	    .batch_bytes = config->batch_bytes,
	    .document_cache_bytes = config->document_cache_bytes,
	    .max_stores = config->max_stores,
	    .session_window = config->max_requests_per_connection,
	    .session_timeout = config->session_timeout,
	    .synced_by_default = config->durability == DURABILITY_SYNCED,
	};
}

static int start_threads(struct daemon *daemon, struct failure *failure)
{
	const struct config *config = daemon->config;
	struct writer_options writer = {
	    .engine = daemon->engine,
	    .gate = &daemon->gate,
	    .wal_bytes = config->wal_bytes,
	    .limits = writer_limits(config),
	    .finished = writer_finished,
	    .context = &daemon->server,
	};
	struct readers_options readers = {
	    .engine = daemon->engine,
	    .gate = &daemon->gate,
	    .threads = config->readers,
	    .finished = readers_finished,
	    .context = &daemon->server,
	};

	gate_init(&daemon->gate);
	if (writer_start(&writer, &daemon->writer, failure) != 0 ||
	    readers_start(&readers, &daemon->readers, failure) != 0)
		return -1;
	daemon->server.writer = daemon->writer;
	daemon->server.readers = daemon->readers;
	return 0;
}

/* Everything that listens or may start a thread. */
static int start_serving(struct daemon *daemon, char *message, unsigned long size)
{
	struct config *config = daemon->config;
	struct failure failure = {0};

	if (listener_open(config->socket, (unsigned)config->socket_mode, &daemon->listen_fd, message, size) != 0 ||
	    server_init(&daemon->server, config, daemon->listen_fd, message, size) != 0)
		return -1;
	if (start_threads(daemon, &failure) != 0) {
		snprintf(message, size, "%s", failure.message);
		return -1;
	}
	return 0;
}

int daemon_start(struct daemon *daemon, char *message, unsigned long size)
{
	struct failure failure = {0};
	sigset_t all, before;
	int result;

	if (take_locks(daemon, message, size) != 0)
		return -1;
	if (open_database(daemon, &failure) != 0) {
		snprintf(message, size, "%s", failure.message);
		return -1;
	}
	/* Signals go to the loop thread alone; one that comes from the moment we listen waits until the loop can take
	 * it. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = start_serving(daemon, message, size);
	sigdelset(&before, SIGHUP);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return result;
}

static void log_change(void *context, const char *line)
{
	(void)context;
	log_write(LOG_NOTICE, "%s", line);
}

static void log_kept(void *context, const char *line)
{
	(void)context;
	log_write(LOG_WARNING, "%s", line);
}

int daemon_reload(struct daemon *daemon, struct config *config)
{
	struct complaints changes = {0}, kept = {0};
	struct writer_limits limits;
	int result = config_keep_started(config, daemon->config, &changes, &kept);

	if (result == 0) {
		config_unref(daemon->config);
		daemon->config = config;
		log_set_level((enum log_level)config->log_level);
		limits = writer_limits(config);
		writer_limit(daemon->writer, &limits);
		server_reload(&daemon->server, config);
		log_write(LOG_NOTICE, "the configuration was read again");
		complaints_tell(&changes, log_change, NULL);
		complaints_tell(&kept, log_kept, NULL);
	} else {
		log_write(LOG_ERROR, "the configuration stays as it was: out of memory");
	}
	complaints_free(&changes);
	complaints_free(&kept);
	return result;
}

int daemon_run(struct daemon *daemon)
{
	return server_run(&daemon->server);
}

/* Everything in the reverse order; the database last, checkpointed. */
int daemon_finish(struct daemon *daemon)
{
	struct failure failure = {0};

	readers_stop(daemon->readers);
	writer_stop(daemon->writer);
	unlink(daemon->config->socket);
	gate_destroy(&daemon->gate);
	if (daemon->engine->class->close(daemon->engine, true, &failure) != 0) {
		log_write(LOG_CRITICAL, "closing the database failed: %s", failure.message);
		return EXIT_CODE_STORAGE;
	}
	close(daemon->socket_lock);
	close(daemon->database_lock);
	config_unref(daemon->config);
	return EXIT_CODE_OK;
}
