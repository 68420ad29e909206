/*
 * connection: one client, from accept to close. Loop thread only.
 *
 *   GREETING   its first frame must be hello
 *   WAITING    hello was received; its session is still held by another connection, which finishes first
 *   HELLO      hello is with the writer (which store, what of the session), then perhaps its claim
 *   OPEN       requests are taken
 *   ENDING     nothing more is read; what was accepted is carried out and answered, then the socket is closed
 *   CLOSED     libuv is closing the handle
 *
 * Input (connection_input.c): bytes become frames; each frame is one allocation together with its job, charged before
 * it is allocated. At a limit the socket is not read and nothing is dropped. Requests (connection_request.c) go through
 * their order (order.h) to the writer or a reader and come back with a result. Output (connection_output.c): replies
 * are gathered and written once per loop turn. Who may do what, and how much (connection_access.c).
 */
#ifndef KYNETA_DAEMON_CONNECTION_H
#define KYNETA_DAEMON_CONNECTION_H

#include <uv.h>

#include "daemon/account.h"
#include "daemon/grant.h"
#include "daemon/hash.h"
#include "daemon/job.h"
#include "daemon/notice.h"
#include "daemon/order.h"
#include "daemon/peer.h"

struct config;
struct server;
struct server_listener;

#define CONNECTION_STATE_LIST(X) X(GREETING) X(WAITING) X(HELLO) X(OPEN) X(ENDING) X(CLOSED)

enum connection_state {
#define X(name) CONNECTION_##name,
	CONNECTION_STATE_LIST(X)
#undef X
};

#define CONNECTION_NAME_SIZE 64

/* Buffers handed to one write; more wait for the next. */
#define CONNECTION_WRITE_BUFFERS 16

/* Bytes of replies on their way out. */
struct chunk {
	struct chunk *next;
	struct buffer bytes;
	size_t sent;
};

struct connection {
	uv_pipe_t pipe;
	uv_write_t write;
	struct server *server;
	struct config *config;		/* in force when it was accepted: its own limits, not those of all together */
	struct connection *prev, *next; /* all of the server's */
	struct connection *dirty_next;	/* those with something to do at the end of this turn */
	struct connection *wait_prev, *wait_next; /* those that wait for what all together have (server_wait) */
	bool waits;
	bool dirty;
	enum connection_state state;

	/* the peer */
	struct peer peer;
	struct account *account;			/* its user's */
	struct connection *account_prev, *account_next; /* those that were admitted */
	struct user_quota quota;			/* of its user, all its connections together */
	bool has_quota;					/* of requests or their bytes */
	bool admitted;
	struct grant grant; /* once hello was accepted */
	char name[CONNECTION_NAME_SIZE];
	struct store *store; /* once hello was accepted */
	struct session *session;
	struct handle *handle; /* the session's name, if it has one */
	enum access_mode access;
	bool create;
	bool opened;	      /* counted in by claim_open */
	struct job *leave;    /* kept ready for the end: leaving must not fail */
	struct job *greeting; /* hello, while its claim is written down */
	struct job *waiting;  /* hello, while WAITING */
	bool session_ended;   /* close was carried out */

	/* input */
	uint8_t header[4];
	size_t header_have;
	struct job *partial; /* a frame that has begun */
	size_t partial_have;
	struct buffer stash; /* received and not taken yet: a limit was reached, or hello is not answered */
	size_t stash_taken;
	bool reading;	      /* the socket is read */
	bool held_back;	      /* a limit keeps the next frame out */
	enum notice held_by;  /*   … this one; NOTICE_COUNT: none, or not one of ours */
	bool waits_for_quota; /*   … its user's quota, and that was counted */
	bool no_more;	      /* nothing more is to be taken: end of file, or close was received */
	size_t drain_bytes;   /* had arrived when the daemon was told to stop, and are not read yet */
	uint64_t last_id;
	uint64_t since_ms;	 /* accepted */
	uint64_t frame_since_ms; /* the frame in progress began, time in which nothing was read left out; 0: none */
	uint64_t stopped_ms;	 /* not reading since */

	/* requests */
	struct order order;
	struct connection *turn_prev, *turn_next; /* those whose writes wait for their turn */
	bool awaits_turn;
	uint64_t writes_out;	    /* with the writer */
	uint64_t in_flight;	    /* received, not answered */
	uint64_t request_bytes;	    /* charged */
	uint64_t reply_reserved;    /* for what is being read */
	struct job_list reads;	    /* their turn has come, but there is no room for their replies */
	uint64_t next_record_bytes; /* the record before which the last page ended, if it does not fit into one */
	uint64_t last_meta_bytes;

	/* output */
	struct chunk *out_head, *out_tail;
	uint64_t out_bytes;
	size_t writing;		    /* chunks handed to libuv, */
	struct chunk *writing_last; /*   and the last of them */
	bool mute;		    /* the peer takes no more replies: they are thrown away */
	uint64_t out_progress_ms;
	uint64_t out_last_bytes;

	/* the end */
	int end_code; /* sent before closing, if not 0 */
	const char *end_reason;
	bool turned_away; /* at accept: it never got in */
	bool lingers;	  /* after the last word, to see that it is heard */
	uint64_t linger_until_ms;
};

/* The connections of one session: the one that has it, and a newer one that waits for it. */
struct handle {
	UT_hash_handle hh;
	uint8_t id[SESSION_SIZE];
	struct connection *holder, *waiting;
};

/* connection_accept(server, listener) - take the next client from a listening socket; without memory it waits there. */
void connection_accept(struct server *server, struct server_listener *listener);

/* connection_answer(connection, job) - a job came back from the writer or a reader: answer and free it. */
void connection_answer(struct connection *connection, struct job *job);

/* connection_turn(connection) - the end of a loop turn: start what can start, write what can be written, close what is
 * through. */
void connection_turn(struct connection *connection);

/* connection_tick(connection, now_ms) - once a second: time limits. */
void connection_tick(struct connection *connection, uint64_t now_ms);

/* connection_drain(connection) - the daemon stops: say so, take what has arrived by now, then end. */
void connection_drain(struct connection *connection);

/* connection_drop(connection) - close at once; what was accepted is still carried out, its replies are not sent. */
void connection_drop(struct connection *connection);

/* ---- between the files of this module ---- */

void connection_set_state(struct connection *connection, enum connection_state state);
void connection_touch(struct connection *connection); /* there is something to do at the end of this turn */

/* connection_end(connection, code, reason) - ENDING: read no more; @code (0: none) is sent as the last frame; @reason
 * is static. */
void connection_end(struct connection *connection, int code, const char *reason);

/* connection_reject(connection, code, reason) - the same, for what nobody may send: told in the log. */
void connection_reject(struct connection *connection, int code, const char *reason);

/* connection_notice(connection, notice, level, format, …) - a line about its peer, unless there were many. */
void connection_notice(struct connection *connection, enum notice notice, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* connection_admit(connection) - it was accepted: find out who it is. False: it may not be here, and is ending. */
bool connection_admit(struct connection *connection);
void connection_leave_account(struct connection *connection);

/* connection_refused(connection, refusal, text) - count it, and log it unless that was done just now. */
void connection_refused(struct connection *connection, enum refusal_kind refusal, const char *text);

/*
 * connection_within_quota(connection, charge) - may its user have one more request in flight, of so many bytes? If not
 * its connections are held back until connection_quota_freed(account), which is for accounts that are waited for.
 */
bool connection_within_quota(struct connection *connection, uint64_t charge);
void connection_quota_freed(struct account *account);

/* connection_frame_limit(connection), connection_in_flight_limit(connection) - what hello tells, within the quota. */
uint64_t connection_frame_limit(const struct connection *connection);
uint64_t connection_in_flight_limit(const struct connection *connection);

/* connection_over_quota(connection) - a hello came: NULL, or why its user may not say one now; static. */
const char *connection_over_quota(struct connection *connection);

/*
 * connection_prepare_hello(connection, hello) - what the writer must know of the rules to find the store.
 * connection_grant(connection, text, size) - the store is found: decide what the connection may do with it. 0; or
 * ERROR_DENIED with the rule in @text.
 */
void connection_prepare_hello(const struct connection *connection, struct job *hello);
int connection_grant(struct connection *connection, char *text, size_t size);

/* connection_opened(connection, hello) - it has its store open now; connection_left(connection): not any more. */
void connection_opened(struct connection *connection, const struct job *hello);
void connection_left(struct connection *connection);

/* connection_job_refused(connection, job) - the writer or a reader refused it, by a rule or a quota: count that. */
void connection_job_refused(struct connection *connection, const struct job *job);

/* connection_answer_stats(connection, id) - the counters. */
void connection_answer_stats(struct connection *connection, uint64_t id);

void connection_input_start(struct connection *connection);
void connection_input_discard(struct connection *connection); /* read on, and forget what comes */
void connection_input_stop(struct connection *connection);
void connection_input_resume(struct connection *connection); /* take from the stash, then read on */
void connection_input_free(struct connection *connection);

/* connection_request(connection, job) - a whole frame is in @job. */
void connection_request(struct connection *connection, struct job *job);
void connection_pump(struct connection *connection);	 /* hand over what may start now */
void connection_hello_go(struct connection *connection); /* the session is free now */

/*
 * connection_write_pump(connection) - hand over the writes that may start. connection_write_turns(server) - those that
 * waited for their turn. connection_write_answered(connection, job) - the writer gave it back.
 * connection_write_leave(connection) - it takes no more turns.
 */
void connection_write_pump(struct connection *connection);
void connection_write_turns(struct server *server);
void connection_write_answered(struct connection *connection, struct job *job);
void connection_write_leave(struct connection *connection);

/*
 * connection_read_pump(connection) - start the reads that there is room for. connection_read_answered(connection, job)
 * - a reader gave it back: false, it must be read again (the job is taken). connection_read_drop(connection, drop) -
 * forget those that wait for room. connection_read_leave(connection) - it takes no more replies.
 */
void connection_read_pump(struct connection *connection);
bool connection_read_answered(struct connection *connection, struct job *job);
void connection_read_drop(struct connection *connection, void (*drop)(struct job *job));
void connection_read_leave(struct connection *connection);
void connection_charge(struct connection *connection, struct job *job);
void connection_discharge(struct connection *connection, struct job *job); /* and free it */

/*
 * connection_out(connection) - where to append small replies; NULL without memory (the connection is dropped then).
 * connection_out_done(connection, out, before) - they were appended since the buffer had @before bytes.
 */
struct buffer *connection_out(struct connection *connection);
void connection_out_done(struct connection *connection, struct buffer *out, size_t before);
void connection_out_take(struct connection *connection, struct buffer *bytes); /* a whole frame, taken over */
void connection_out_flush(struct connection *connection);
void connection_out_free(struct connection *connection);
bool connection_out_empty(const struct connection *connection);

/* connection_error(connection, id, code, …) - an error reply. @detail as of reply_encode_error, or NULL. */
void connection_error(struct connection *connection, uint64_t id, int code, struct span message,
		      enum error_outcome outcome, const struct error_detail *detail);

#endif
