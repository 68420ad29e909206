#include "daemon/server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>
#include <utlist.h>

#include "daemon/clock.h"
#include "daemon/latency.h"
#include "daemon/listener.h"
#include "daemon/log.h"
#include "daemon/reader.h"
#include "daemon/stats.h"
#include "daemon/writer.h"

#define TICK_MS		 1000
#define TICK_DRAINING_MS 10

/* What is answered at once may start what waited for it: so often in a turn, before other sockets have theirs. */
#define AT_ONCE_ROUNDS 2

/* How long a dying daemon tries to get its last answers out. */
#define LAST_WORDS_MS 2000

/* Descriptors that connections may not have: the daemon's own, and some for what a library opens for a moment. */
#define DESCRIPTORS_KEPT       32
#define DESCRIPTORS_PER_READER 2

/* Connections that wait for what all together have: so many look again in one turn of the loop. */
#define WAITING_VISITS 64

uint64_t server_now_ms(struct server *server)
{
	return uv_now(&server->loop);
}

/* ---- results ---- */

void server_finished(struct server *server, struct job_list *jobs, bool fatal)
{
	bool wake;

	pthread_mutex_lock(&server->mutex);
	wake = server->finished.head == NULL;
	job_list_move(&server->finished, jobs);
	server->fatal |= fatal;
	pthread_mutex_unlock(&server->mutex);
	if (wake || fatal)
		eventfd_write(server->wake_fd, 1);
}

/* The database failed: what could be told is told, then the process ends without touching the database again. */
static void die(struct server *server)
{
	uint64_t until = uv_hrtime() / 1000000 + LAST_WORDS_MS;
	struct connection *connection;
	bool left = true;

	while (left && uv_hrtime() / 1000000 < until) {
		left = false;
		DL_FOREACH (server->connections, connection) {
			connection_out_flush(connection);
			left |= !connection->mute && !connection_out_empty(connection) && connection->writing > 0;
		}
		if (left)
			uv_run(&server->loop, UV_RUN_NOWAIT);
	}
	log_write(LOG_CRITICAL,
		  "ending: the database could not be written; what was acknowledged is found again at the next start");
	_exit(EXIT_CODE_STORAGE);
}

static void answer(struct server *server, struct job_list *jobs)
{
	struct job *job;

	if (jobs->head == NULL)
		return;
	server->now_us = clock_us();
	while ((job = job_list_pop(jobs)) != NULL) {
		if (job->connection != server->asker)
			server->askers++;
		server->asker = job->connection;
		if (job->connection != NULL)
			connection_answer(job->connection, job);
		else
			job_free(job);
	}
}

/* None is left in the list then: it holds none that is closed when the loop goes on and frees them. */
static void turn_dirty(struct server *server)
{
	while (server->dirty != NULL) {
		struct connection *connection = server->dirty;

		server->dirty = connection->dirty_next;
		connection_turn(connection);
	}
}

void server_wait(struct server *server, struct connection *connection)
{
	if (connection->waits)
		return;
	connection->waits = true;
	DL_APPEND2(server->waiting, connection, wait_prev, wait_next);
	server->waiting_count++;
}

void server_wait_no_more(struct server *server, struct connection *connection)
{
	if (!connection->waits)
		return;
	connection->waits = false;
	DL_DELETE2(server->waiting, connection, wait_prev, wait_next);
	server->waiting_count--;
}

/*
 * Something was given back: those who wait look again, in the order in which they came, and queue up anew if it was in
 * vain. A few in one turn of the loop, so that many of them do not stop it; then it comes round at once.
 */
static void turn_waiting(struct server *server)
{
	unsigned visits = 0;

	if (server->freed)
		server->waiting_to_visit = server->waiting_count;
	server->freed = false;
	while (server->waiting != NULL && server->waiting_to_visit > 0 && visits++ < WAITING_VISITS) {
		struct connection *connection = server->waiting;

		server->waiting_to_visit--;
		server_wait_no_more(server, connection);
		connection_touch(connection);
		turn_dirty(server);
	}
	if (server->waiting != NULL && server->waiting_to_visit > 0)
		eventfd_write(server->wake_fd, 1);
}

/* What is quicker done than handed to a thread. Was there anything? */
static bool answer_at_once(struct server *server)
{
	struct job_list writes = server->to_writer, reads = server->to_readers;
	bool fatal = false, wrote, read;

	/* Answers start what waited for them: that is for the lists themselves. */
	server->to_writer = server->to_readers = (struct job_list){0};
	/* Not before the results of all earlier writes are here: so answers come in the order of what they answer. */
	wrote = server->outstanding == 0 && writer_at_once(server->writer, &writes, &fatal);
	read = readers_at_once(server->readers, &reads);
	if (!wrote)
		job_list_move(&server->to_writer, &writes);
	if (!read)
		job_list_move(&server->to_readers, &reads);
	stats_add(at_once, (wrote ? writes.count : 0) + (read ? reads.count : 0));
	if (wrote)
		answer(server, &writes);
	if (read)
		answer(server, &reads);
	if (fatal)
		die(server);
	return wrote || read;
}

void server_feed(struct server *server)
{
	server->outstanding += server->to_writer.count;
	writer_submit(server->writer, &server->to_writer);
}

static void turn(struct server *server)
{
	int rounds = 0;

	turn_dirty(server);
	while (rounds++ < AT_ONCE_ROUNDS && answer_at_once(server))
		turn_dirty(server);
	turn_waiting(server);
	connection_write_turns(server);
	if (server->answered)
		writer_answered(server->writer);
	server->answered = false;
	server->outstanding += server->to_writer.count + server->to_readers.count;
	writer_submit(server->writer, &server->to_writer);
	readers_submit(server->readers, &server->to_readers);
}

static void on_wake(uv_poll_t *handle, int status, int events)
{
	struct server *server = handle->data;
	eventfd_t count;
	struct job_list jobs;
	bool fatal;

	(void)status;
	(void)events;
	eventfd_read(server->wake_fd, &count); /* before the list is taken: whoever adds to an empty one wakes again */
	pthread_mutex_lock(&server->mutex);
	jobs = server->finished;
	server->finished = (struct job_list){0};
	fatal = server->fatal;
	server->fatal = false;
	pthread_mutex_unlock(&server->mutex);
	server->outstanding -= jobs.count;
	server->answered = true;
	answer(server, &jobs);
	if (fatal)
		die(server);
}

static void on_check(uv_check_t *handle)
{
	struct server *server = handle->data;

	awake_woken(&server->awake);
	turn(server);
}

static void on_prepare(uv_prepare_t *handle)
{
	struct server *server = handle->data;

	turn(server);
	/* One that waits for its answers, and no other. */
	if (server->askers == 1 && server->outstanding == 0 && !server->draining)
		awake_wait(&server->awake, uv_backend_fd(&server->loop));
	server->askers = 0;
	server->asker = NULL;
}

/* ---- stopping ---- */

static void close_handle(uv_handle_t *handle)
{
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

/* Nothing is open any more: let the loop run out. */
static void stop(struct server *server)
{
	sigset_t hangup;

	/* Without its handle SIGHUP would end the daemon before the database is closed. */
	sigemptyset(&hangup);
	sigaddset(&hangup, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &hangup, NULL);
	server->stopped = true;
	close_handle((uv_handle_t *)&server->wake);
	close_handle((uv_handle_t *)&server->turn);
	close_handle((uv_handle_t *)&server->before);
	close_handle((uv_handle_t *)&server->tick);
	close_handle((uv_handle_t *)&server->sigterm);
	close_handle((uv_handle_t *)&server->sigint);
	close_handle((uv_handle_t *)&server->sighup);
}

static void refuse_unstarted(struct job *job)
{
	struct connection *connection = job->connection;
	bool is_write = operation_is_write(job->request.operation);

	connection_error(connection, job->request.id, ERROR_DRAINING, SPAN_LITERAL("the daemon is stopping"),
			 is_write ? OUTCOME_NOT_APPLIED : OUTCOME_NONE, NULL);
	connection_discharge(connection, job);
}

static void drain_deadline(struct server *server)
{
	struct connection *connection, *next;

	if (server->exit_code == EXIT_CODE_FORCED) {
		log_write(LOG_ERROR, "ending: what was accepted could not be finished in time");
		_exit(EXIT_CODE_FORCED);
	}
	log_write(LOG_WARNING, "the drain timeout is over: what has not started is refused");
	server->exit_code = EXIT_CODE_FORCED;
	server->drain_until_ms += server->config->drain_timeout * 1000;
	DL_FOREACH_SAFE (server->connections, connection, next) {
		connection_read_drop(connection, refuse_unstarted);
		order_drop(&connection->order, refuse_unstarted);
		connection_end(connection, 0, "the daemon stops");
		connection_touch(connection);
	}
}

static void drain_tick(struct server *server)
{
	struct connection *connection;

	/* Not before the last job is back: the threads wake this loop up. */
	if (server->connections == NULL && server->outstanding == 0 && server->to_writer.head == NULL) {
		stop(server);
		return;
	}
	if (server_now_ms(server) >= server->drain_until_ms)
		drain_deadline(server);
	DL_FOREACH (server->connections, connection) {
		connection_touch(connection);
	}
}

/* The loop turns; the writer must get somewhere too. */
static void supervise(struct server *server)
{
	bool alive = writer_alive(server->writer);
	uint64_t now_us = clock_us();

	supervise_tick(server->supervise, now_us, alive);
	if (server->draining && alive)
		supervise_extend(server->supervise, now_us);
}

bool server_has_descriptor(const struct server *server)
{
	uint64_t kept = DESCRIPTORS_KEPT + DESCRIPTORS_PER_READER * server->config->readers;
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) != 0 || server->connection_count + kept < limit.rlim_cur;
}

void server_accept_waiting(struct server *server)
{
	if (server->draining)
		return;
	for (unsigned i = 0; i < server->listener_count; i++)
		if (server->listeners[i].waits)
			connection_accept(server, &server->listeners[i]);
}

static void on_tick(uv_timer_t *handle)
{
	struct server *server = handle->data;
	struct connection *connection, *next;
	uint64_t now_ms = server_now_ms(server);

	supervise(server);
	DL_FOREACH_SAFE (server->connections, connection, next) {
		connection_tick(connection, now_ms);
	}
	if (server->draining) {
		drain_tick(server);
	} else {
		latency_tick();
		awake_look(&server->awake);
		server_accept_waiting(server);
	}
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct server *server = handle->data;
	struct connection *connection;

	if (server->draining) {
		log_write(LOG_WARNING, "ending at once: a second signal");
		_exit(EXIT_CODE_FORCED);
	}
	log_write(LOG_NOTICE, "stopping on %s: %llu connections, %llu requests in flight",
		  number == SIGTERM ? "SIGTERM" : "SIGINT", (unsigned long long)server->connection_count,
		  (unsigned long long)server->in_flight);
	supervise_stopping();
	server->draining = true;
	server->drain_until_ms = server_now_ms(server) + server->config->drain_timeout * 1000;
	for (unsigned i = 0; i < server->listener_count; i++)
		close_handle((uv_handle_t *)&server->listeners[i].pipe);
	DL_FOREACH (server->connections, connection) {
		connection_drain(connection);
	}
	uv_timer_start(&server->tick, on_tick, 0, TICK_DRAINING_MS);
}

/* ---- another configuration ---- */

static void on_hangup(uv_signal_t *handle, int number)
{
	struct server *server = handle->data;

	(void)number;
	if (!server->draining && server->on_hangup != NULL)
		server->on_hangup(server->hangup_context);
}

void server_reload(struct server *server, struct config *config)
{
	config_ref(config);
	config_unref(server->config);
	server->config = config;
}

/* ---- starting ---- */

static void on_connection(uv_stream_t *stream, int status)
{
	/* The pipe is the listener's first member. */
	struct server_listener *listener = (struct server_listener *)stream;

	struct server *server = stream->data;

	if (status == 0)
		connection_accept(server, listener);
	else if (notice_due(&server->notices, NOTICE_ACCEPT, server_now_ms(server)))
		log_write(LOG_ERROR, "accepting a connection failed: %s", uv_strerror(status));
}

static int init_failed(int status, const char *what, char *message, unsigned long size)
{
	snprintf(message, size, "%s: %s", what, uv_strerror(status));
	return -1;
}

/* libuv aborts when it cannot grow its table of descriptors, the one thing that it reallocates here. Say so instead. */
static void *reallocate_for_loop(void *memory, size_t size)
{
	void *grown = realloc(memory, size);

	if (grown == NULL && size > 0) {
		log_write(LOG_CRITICAL, "ending: no memory for the event loop");
		_exit(EXIT_CODE_LATER);
	}
	return grown;
}

static int listen_on(struct server *server, int fd)
{
	struct server_listener *listener = &server->listeners[server->listener_count++];
	int status;

	uv_pipe_init(&server->loop, &listener->pipe, 0);
	listener->pipe.data = server;
	status = uv_pipe_open(&listener->pipe, fd);
	/* Nobody is taken before the loop runs. */
	return status != 0 ? status : uv_listen((uv_stream_t *)&listener->pipe, LISTENER_BACKLOG, on_connection);
}

int server_init(struct server *server, struct config *config, const int *listen_fds, unsigned count, char *message,
		unsigned long size)
{
	uv_handle_t *handles[] = {
	    (uv_handle_t *)&server->wake,   (uv_handle_t *)&server->turn,    (uv_handle_t *)&server->before,
	    (uv_handle_t *)&server->tick,   (uv_handle_t *)&server->sigterm, (uv_handle_t *)&server->sigint,
	    (uv_handle_t *)&server->sighup,
	};
	int status;

	memset(server, 0, sizeof(*server));
	server->config = config_ref(config);
	pthread_mutex_init(&server->mutex, NULL);
	awake_look(&server->awake);
	uv_replace_allocator(malloc, reallocate_for_loop, calloc, free);
	status = uv_loop_init(&server->loop);
	if (status != 0)
		return init_failed(status, "cannot make an event loop", message, size);
	server->started_ms = uv_now(&server->loop);
	uv_check_init(&server->loop, &server->turn);
	uv_prepare_init(&server->loop, &server->before);
	uv_timer_init(&server->loop, &server->tick);
	uv_signal_init(&server->loop, &server->sigterm);
	uv_signal_init(&server->loop, &server->sigint);
	uv_signal_init(&server->loop, &server->sighup);
	server->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	status = server->wake_fd < 0 ? -errno : uv_poll_init(&server->loop, &server->wake, server->wake_fd);
	if (status == 0)
		status = uv_poll_start(&server->wake, UV_READABLE, on_wake);
	if (status != 0)
		return init_failed(status, "cannot make a wake-up", message, size);
	for (size_t i = 0; i < sizeof(handles) / sizeof(handles[0]); i++)
		handles[i]->data = server;
	for (unsigned i = 0; i < count && status == 0; i++)
		status = listen_on(server, listen_fds[i]);
	if (status != 0)
		return init_failed(status, "cannot listen", message, size);
	/* The loop does not run yet, but from here on a signal is kept for it. */
	uv_signal_start(&server->sigterm, on_signal, SIGTERM);
	uv_signal_start(&server->sigint, on_signal, SIGINT);
	uv_signal_start(&server->sighup, on_hangup, SIGHUP);
	return 0;
}

int server_run(struct server *server)
{
	uv_check_start(&server->turn, on_check);
	uv_prepare_start(&server->before, on_prepare);
	uv_timer_start(&server->tick, on_tick, 0, supervise_tick_ms(server->supervise, TICK_MS));
	uv_run(&server->loop, UV_RUN_DEFAULT);
	uv_loop_close(&server->loop);
	close(server->wake_fd);
	config_unref(server->config);
	accounts_free(&server->accounts);
	return server->exit_code;
}
