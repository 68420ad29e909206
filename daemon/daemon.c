#include "daemon/daemon.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/engine.h"
#include "daemon/listener.h"
#include "daemon/lockfile.h"
#include "daemon/log.h"
#include "daemon/reader.h"
#include "daemon/writer.h"

static void waiting(void *context, const char *what)
{
	const struct daemon *daemon = context;

	log_write(LOG_WARNING, "%s", what);
	if (!daemon->serving)
		supervise_status("%s", what);
}

static void progress(void *context)
{
	struct daemon *daemon = context;

	pulse_beat(&daemon->pulse);
	if (!daemon->serving)
		supervise_extend(&daemon->supervise, clock_us());
}

static void describe_sockets(struct daemon *daemon)
{
	const struct supervise_sockets *given = &daemon->sockets;
	size_t length = 0;

	if (given->count == 0)
		snprintf(daemon->listens_on, sizeof(daemon->listens_on), "%s", daemon->config->socket);
	for (unsigned i = 0; i < given->count && length < sizeof(daemon->listens_on); i++)
		length += (size_t)snprintf(daemon->listens_on + length, sizeof(daemon->listens_on) - length, "%s%s",
					   i == 0 ? "" : ", ", given->sockets[i].path);
}

static int take_locks(struct daemon *daemon, char *message, unsigned long size)
{
	char about[DAEMON_MESSAGE_SIZE];

	snprintf(about, sizeof(about), "pid %d, socket %s, database %s", (int)getpid(), daemon->listens_on,
		 daemon->config->database);
	daemon->socket_lock = -1;
	if (lockfile_take(daemon->config->database, about, &daemon->database_lock, message, size) != 0 ||
	    (daemon->sockets.count == 0 &&
	     lockfile_take(daemon->config->socket, about, &daemon->socket_lock, message, size) != 0))
		return EXIT_CODE_START;
	return 0;
}

/* Will trying again help without anybody doing something about it? */
static int exit_code_of(const struct failure *failure)
{
	switch (failure->code) {
	case ERROR_DISK_FULL:
	case ERROR_IO_ERROR:
	case ERROR_BUSY:
		return EXIT_CODE_LATER;
	default:
		return EXIT_CODE_START;
	}
}

static int open_database(struct daemon *daemon, char *message, unsigned long size)
{
	const struct config *config = daemon->config;
	struct engine_options options = {
	    .path = config->database,
	    .wal_limit_bytes = config->wal_bytes,
	    .cache_bytes = config->cache_bytes,
	    .reader_cache_bytes = config->reader_cache_bytes,
	    .reserve_bytes = config->reserve_bytes,
	    .waiting = waiting,
	    .progress = progress,
	    .context = daemon,
	};
	struct failure failure = {0};

	supervise_status("opening the database %s", config->database);
	if (engine_sqlite.open(&options, &daemon->engine, &failure) == 0)
		return 0;
	snprintf(message, size, "%s", failure.message);
	return exit_code_of(&failure);
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
	    .pulse = &daemon->pulse,
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
	daemon->serving = true;
	if (writer_start(&writer, &daemon->writer, failure) != 0 ||
	    readers_start(&readers, &daemon->readers, failure) != 0)
		return -1;
	daemon->server.writer = daemon->writer;
	daemon->server.readers = daemon->readers;
	daemon->server.supervise = &daemon->supervise;
	return 0;
}

/* The sockets to serve: those that were handed over, or one of our own. */
static int get_sockets(struct daemon *daemon, int fds[SUPERVISE_SOCKETS_MAX], unsigned *count, char *message,
		       unsigned long size)
{
	const struct supervise_sockets *given = &daemon->sockets;

	*count = given->count;
	for (unsigned i = 0; i < given->count; i++) {
		log_write(LOG_INFO, "serving %s, given by the service manager as %s", given->sockets[i].path,
			  given->sockets[i].name);
		fds[i] = given->sockets[i].fd;
	}
	if (given->count > 0) {
		log_write(LOG_INFO, "socket (%s) and socket-mode are not used: the service manager gives the sockets",
			  daemon->config->socket);
		return 0;
	}
	*count = 1;
	return listener_open(daemon->config->socket, (unsigned)daemon->config->socket_mode,
			     (gid_t)daemon->config->socket_group, &fds[0], message, size);
}

/* Everything that listens or may start a thread. */
static int start_serving(struct daemon *daemon, char *message, unsigned long size)
{
	struct config *config = daemon->config;
	int fds[SUPERVISE_SOCKETS_MAX];
	struct failure failure = {0};
	unsigned count;

	if (get_sockets(daemon, fds, &count, message, size) != 0)
		return EXIT_CODE_START;
	if (server_init(&daemon->server, config, fds, count, message, size) != 0)
		return EXIT_CODE_LATER;
	if (start_threads(daemon, &failure) != 0) {
		snprintf(message, size, "%s", failure.message);
		return exit_code_of(&failure);
	}
	return 0;
}

int daemon_start(struct daemon *daemon, char *message, unsigned long size)
{
	sigset_t all, before;
	int code;

	supervise_init(&daemon->supervise);
	describe_sockets(daemon);
	code = take_locks(daemon, message, size);
	if (code == 0)
		code = open_database(daemon, message, size);
	if (code != 0)
		return code;
	/* Signals go to the loop thread alone; one that comes from the moment we listen waits until the loop can take
	 * it. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = start_serving(daemon, message, size);
	sigdelset(&before, SIGHUP);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return code;
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
	supervise_ready();
	return server_run(&daemon->server);
}

/* Everything in the reverse order; the database last, checkpointed. */
int daemon_finish(struct daemon *daemon)
{
	struct failure failure = {0};

	readers_stop(daemon->readers);
	writer_stop(daemon->writer);
	daemon->serving = false;
	supervise_status("closing the database %s", daemon->config->database);
	if (daemon->sockets.count == 0)
		unlink(daemon->config->socket);
	gate_destroy(&daemon->gate);
	if (daemon->engine->class->close(daemon->engine, true, &failure) != 0) {
		log_write(LOG_CRITICAL, "closing the database failed: %s", failure.message);
		return EXIT_CODE_STORAGE;
	}
	if (daemon->socket_lock >= 0)
		close(daemon->socket_lock);
	close(daemon->database_lock);
	config_unref(daemon->config);
	return EXIT_CODE_OK;
}
