/*
 * server: the loop thread: sockets, limits, results, signals.
 *
 * It touches no database. Requests go to the writer and the readers at the end of each loop turn (one lock each),
 * results come back in a list with one wake-up, and each connection writes once per turn.
 *
 * Stopping: SIGTERM or SIGINT closes the listening sockets, tells every client (`draining`), takes what was already
 * received, finishes it, and ends. SIGHUP: whoever owns the configuration reads it again. A second signal ends at once:
 * the database is consistent at any time.
 */
#ifndef KYNETA_DAEMON_SERVER_H
#define KYNETA_DAEMON_SERVER_H

#include <pthread.h>
#include <uv.h>

#include "daemon/awake.h"
#include "daemon/config.h"
#include "daemon/connection.h"
#include "daemon/job.h"
#include "daemon/supervise.h"

struct writer;
struct readers;

#define SERVER_SCRATCH_SIZE  (64 * 1024)
#define SERVER_LISTENERS_MAX 16

struct server_listener {
	uv_pipe_t pipe;
	bool waits; /* there was no memory or descriptor for a connection that has arrived */
};

struct server {
	struct config *config; /* the server's own reference */
	struct writer *writer;
	struct readers *readers;
	struct supervise *supervise;
	uv_loop_t loop;
	struct server_listener listeners[SERVER_LISTENERS_MAX];
	unsigned listener_count;
	int wake_fd; /* an eventfd: uv_async_t would spin until the waking thread is through with its write */
	uv_poll_t wake;
	uv_check_t turn;     /* the end of a turn: after the sockets were served, */
	uv_prepare_t before; /*   and before the loop sleeps */
	uv_timer_t tick;
	uv_signal_t sigterm, sigint, sighup;
	void (*on_hangup)(void *context); /* SIGHUP came: read the configuration again. NULL: nobody does. */
	void *hangup_context;
	uint64_t started_ms;
	uint64_t now_us; /* when the input in hand came, or the answers */

	struct connection *connections;
	uint64_t connection_count;
	uint64_t turned_away; /* of these, so many never got in and are about to go … */
	uint64_t lingering;   /* … and of those, so many are given the time to hear it */
	struct accounts accounts;
	struct store *open_stores; /* with connections */
	struct connection *dirty;
	struct handle *handles;
	struct job_list to_writer, to_readers; /* handed over at the end of the turn */
	size_t outstanding;		       /* with the threads now */
	bool answered;			       /* results came back in this turn */
	const struct connection *asker;	       /* was answered since the loop last slept; only compared */
	unsigned askers;		       /* 2: several were */
	struct awake awake;

	/* what is held in all */
	uint64_t in_flight, request_bytes, reply_bytes, reply_reserved;
	struct connection *beyond;  /* has a reply for which there was no room; or NULL */
	uint64_t large_bytes;	    /* of request_bytes: of connections that hold much (connection_input.c) */
	uint64_t stash_bytes;	    /* received beyond a limit */
	struct connection *waiting; /* for one of these to shrink; first come, first served */
	uint64_t waiting_count, waiting_to_visit;
	bool freed; /* one of them did */
	struct notices notices;

	/* writes with the writer, and connections that take turns for it (connection_write.c) */
	uint64_t writes_out, write_bytes_out;
	struct connection *turns;
	uint64_t turns_count;

	/* filled by the writer and the readers */
	pthread_mutex_t mutex;
	struct job_list finished;
	bool fatal;

	bool draining, stopped;
	uint64_t drain_until_ms;
	int exit_code;
	uint8_t scratch[SERVER_SCRATCH_SIZE];
};

/*
 * server_init(server, config, listen_fds, count, message, size) - everything but the threads. 0, or -1 with @message.
 * @config is referred to until server_run ends. The sockets listen already, at most SERVER_LISTENERS_MAX; they are the
 * server's then.
 */
int server_init(struct server *server, struct config *config, const int *listen_fds, unsigned count, char *message,
		unsigned long size);

/*
 * server_reload(server, config) - go on with @config instead. Totals hold at once; connections that are there keep what
 * they began with (struct connection's config), those that come have the new one. Loop thread only.
 */
void server_reload(struct server *server, struct config *config);

/* server_run(server) - until it was stopped; returns the exit code. */
int server_run(struct server *server);

/* server_finished(server, jobs, fatal) - results, from any thread. @jobs is empty then. */
void server_finished(struct server *server, struct job_list *jobs, bool fatal);

/*
 * server_feed(server) - writes have been pushed to to_writer, in the middle of a turn: let a writer that has nothing to
 * do begin with them while the rest is read.
 */
void server_feed(struct server *server);

/* server_has_descriptor(server) - may another connection have one? What the daemon itself needs is kept free. */
bool server_has_descriptor(const struct server *server);

/* server_accept_waiting(server) - what had to wait may be accepted now. */
void server_accept_waiting(struct server *server);

/* server_wait(server, connection) - it waits for what all connections have together: it has a turn when some is freed.
 */
void server_wait(struct server *server, struct connection *connection);
void server_wait_no_more(struct server *server, struct connection *connection);

/* server_now_ms(server) - the loop's clock. */
uint64_t server_now_ms(struct server *server);

#endif
