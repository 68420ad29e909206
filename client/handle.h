/*
 * handle: what the rooms of the client library share. Not installed.
 *
 *   handle.c      the public handle: options, new and free, the turn of process(), how it ends
 *   connection.c  socket, backoff, hello; bytes out and bytes in
 *   queue.c       the calls without an answer: their order, ids, deadlines, and what a lost connection means for them
 *   calls.c       the send_… functions: arguments checked, the request encoded, queued
 *   answer.c      what a reply means to the call it answers
 *   stream.c      load and list: pages, prefetch, hold, pause
 *   latch.c       documents whose writes fail until resume
 *   blocking.c    the blocking calls, made of all that
 *   failure.c     names and texts of errors
 *
 * How a call lives. send_…() encodes its frame and puts it at the end of the queue. The next turn writes it (several
 * per system call, straight from the frames) and gives it its id at that moment, so that ids rise in the order of the
 * wire. It stays queued until its reply is there: a lost connection only sets the queue back to its first call, and
 * everything in it is written again under the ids it has. A call leaves the queue by its reply, its deadline, or the
 * end of the handle, and each of these calls its callback once.
 *
 * Callbacks run only inside a turn (process, the blocking calls) and in free. A callback may queue calls; it cannot run
 * a turn, so nothing below has to expect the connection to change under it while it calls back, except by its own hand.
 *
 * One thread at a time per handle; no field needs a lock.
 */
#ifndef KYNETA_CLIENT_HANDLE_H
#define KYNETA_CLIENT_HANDLE_H

#include <sys/queue.h>
#include <sys/uio.h>

#include "client/include/kyneta/store.h"
#include "protocol/buffer.h"
#include "protocol/message.h"

/* The last code that the daemon may use; from 1000 on they are the library's. */
#define DAEMON_CODE_MAX 999

/* Frames handed to the kernel with one call: more than fill its socket buffer if they are small, few enough for the
 * stack. */
#define SEND_VECTORS 256

/* The receive buffer: at rest, and while streams are open (a page of the default 1 MiB and some). */
#define INBOX_SIZE	  ((size_t)64 << 10)
#define INBOX_STREAM_SIZE ((size_t)2 << 20)

/* One turn reads at most about this much, so that a flood of replies leaves the caller's event loop its time. */
#define TURN_RECEIVE_MAX ((size_t)4 << 20)

/* Encoding scratch larger than this is given back after use. */
#define SCRATCH_KEEP ((size_t)256 << 10)

/* ---- calls ---- */

/* Where the eight bytes of the id are in every frame: after the length, the array's head and the head of the id. */
#define CALL_ID_AT 6

TAILQ_HEAD(call_list, call);

struct call {
	TAILQ_ENTRY(call) link;		 /* in queue.calls, queue.ended or kyneta_store.closing */
	TAILQ_ENTRY(call) deadline_link; /* in queue.deadlines, if has_deadline */
	struct call *table_next;	 /* in queue.table, if on_wire */
	uint64_t id;			 /* 0: not given yet */
	uint64_t epoch;			 /* how many resumes were queued before it */
	uint64_t deadline_ns;
	kyneta_store_done_fn done; /* NULL: nobody asks */
	void *context;
	kyneta_store_stream *stream; /* a page of it; done is NULL then */
	const char *ended_reason;    /* why it ended here (static), with: */
	int ended_code;
	int ended_outcome;
	uint8_t operation;
	bool has_deadline;
	bool on_wire;	/* wholly written to this connection and not answered */
	bool touched;	/* a byte of it was written to some connection: it may have been carried out */
	bool again;	/* refused by a draining daemon: to be sent under a new id */
	bool abandoned; /* its callback was called, or nobody waits; only its reply, or end, is still waited for */
	uint32_t document_size;
	size_t
	    document_at; /* where the document's id is in the frame, if document_size or operation say there is one */
	size_t frame_size;
	uint8_t frame[];
};

/* What a call answers to: the public answer, and behind it the whole reply for the library's own callbacks. */
struct full_answer {
	struct kyneta_store_answer public;
	const struct reply *reply; /* NULL unless the daemon answered with success */
};

struct queue {
	struct call_list
	    calls;	    /* in the order of the wire: those with an id by rising id, then those that never had one */
	struct call *next;  /* the first that is not wholly written to this connection; NULL: none */
	size_t next_offset; /* how much of it is */
	struct call *oldest_write; /* the first write that is on_wire and not abandoned; NULL: none */
	struct call_list
	    deadlines; /* all have the same time to live, so the order of the calls is the order of the deadlines */
	struct call_list ended; /* ended on this side; their callbacks are due in the next turn */
	struct call **table;	/* on_wire calls by id; chained */
	size_t table_mask;
	uint64_t next_id;
	uint64_t epoch;
	size_t on_wire;
	bool held_back; /* the next call waits for another's answer, though there is room */
	bool postponed; /* a write was answered on this connection, and yet is to be sent again */
	size_t waiting; /* calls whose callback was not called yet, but for pages */
	size_t bytes;
};

/* queue_init(queue) / queue_deinit(queue) - False: no memory. To deinit it must be empty. */
bool queue_init(struct queue *queue);
void queue_deinit(struct queue *queue);

/* queue_enter(queue, call) - count it and watch its deadline; queue_leave() undoes that (but for `waiting`). */
void queue_enter(struct queue *queue, struct call *call);
void queue_leave(struct queue *queue, struct call *call);

/* queue_place(queue, call) - at the end, to be sent. Takes ownership. */
void queue_place(struct queue *queue, struct call *call);

/* queue_remove(queue, call) - out of the queue, wherever it stands in it; not if it is partly written. Gives it to the
 * caller. */
void queue_remove(struct queue *queue, struct call *call);

/* queue_is_written(queue, call) - does this connection hold at least a part of it, unanswered? */
bool queue_is_written(const struct queue *queue, const struct call *call);

/* queue_abandon(queue, call) - nobody waits for it any more: freed now, or when its reply is there if it is written, or
 * with those that ended. */
void queue_abandon(struct queue *queue, struct call *call);

/* queue_find(queue, id) - the call on the wire that has this id, or NULL. */
struct call *queue_find(const struct queue *queue, uint64_t id);

/*
 * queue_postpone(queue, call) - its answer was none, and the daemon goes away: to be sent again on the next connection,
 * under its id. queue_again(queue, call) - the same, but its id is used up, and nothing was done.
 */
void queue_postpone(struct queue *queue, struct call *call);
void queue_again(struct queue *queue, struct call *call);

/*
 * queue_awaits_write(queue, call) - is there a write before @call, that @call should see, which was postponed? Then its
 * answer is too old, whatever it says.
 */
bool queue_awaits_write(const struct queue *queue, const struct call *call);

/* queue_end(queue, call, code, outcome, reason) - ended on this side: its callback comes in the next turn. */
void queue_end(struct queue *queue, struct call *call, int code, int outcome, const char *reason);

/*
 * queue_gather(store, vectors) - the next bytes to write, at most SEND_VECTORS frames; returns how many. Gives ids;
 * ends calls that must not be sent (too large a frame, a latched document). queue_written(store, size) - so many bytes
 * of them were taken.
 */
size_t queue_gather(kyneta_store *store, struct iovec *vectors);
void queue_written(kyneta_store *store, size_t size);

/* queue_connected(queue, in_flight_limit) - a new connection: size the table. */
void queue_connected(struct queue *queue, uint64_t in_flight_limit);

/* queue_disconnect(queue) - nothing is on the wire any more; what was abandoned is gone. */
void queue_disconnect(struct queue *queue);

/* queue_lost(store) - the connection is gone: make everything unanswered ready to be sent again, in an order that keeps
 * the promises. */
void queue_lost(kyneta_store *store);

/* queue_end_sent_writes(store, reason) - nobody can say any more what became of writes that were sent: they end so. */
void queue_end_sent_writes(kyneta_store *store, const char *reason);

static inline struct span call_document(const struct call *call)
{
	return (struct span){call->frame + call->document_at, call->document_size};
}

static inline size_t call_size(const struct call *call)
{
	return sizeof(*call) + call->frame_size;
}

/* A failed call that was never handed to a daemon did nothing; one that was, nobody knows. */
static inline int call_outcome(const struct call *call)
{
	if (!operation_is_write(call->operation))
		return KYNETA_STORE_NO_OUTCOME;
	return call->touched ? KYNETA_STORE_UNKNOWN : KYNETA_STORE_NOT_APPLIED;
}

/* ---- latches ---- */

struct latch;

/* A document has a failed write, and so later writes of the same epoch must fail too: else a pipeline would have a
 * hole. */
struct latches {
	struct latch *table;
	size_t bytes; /* of the documents' ids in it */
	/* No memory for a latch, or too many: everything behind that write is latched, up to the last such epoch. */
	bool all;
	uint64_t all_id;
	uint64_t all_epoch, all_last_epoch;
	int all_code;
};

/* latch_add(latches, call, code) - @call, a write, failed with @code. */
void latch_add(struct latches *latches, const struct call *call, int code);

/* latch_find(latches, call) - the code that @call, a write, must fail with; 0: it may go. */
int latch_find(const struct latches *latches, const struct call *call);

/* latch_holds(latches, epoch, document) - must a write to @document fail, if it is queued now? */
bool latch_holds(const struct latches *latches, uint64_t epoch, struct span document);

/* latch_prune(latches, epoch) - forget what concerns only calls before @epoch. */
void latch_prune(struct latches *latches, uint64_t epoch);

void latch_clear(struct latches *latches);

static inline bool latch_any(const struct latches *latches)
{
	return latches->table != NULL || latches->all;
}

/* ---- connection ---- */

enum phase {
	PHASE_WAITING, /* no socket; the next attempt at connection.retry_ns */
	PHASE_HELLO,   /* connected, hello not answered */
	PHASE_READY,
	PHASE_CLOSED, /* for good */
};

struct connection {
	enum phase phase;
	int epoll; /* what the caller waits on, for the life of the handle */
	int socket;
	bool want_write;  /* the socket was full: EPOLLOUT is asked for */
	bool send_failed; /* nothing goes out any more; what has come is still read */
	bool draining;	  /* the daemon said that it stops */
	bool leaving;	  /* so, or for its answers: write nothing more, wait for what is unanswered, then go */
	size_t hello_sent;
	uint8_t *inbox;
	size_t inbox_start, inbox_end, inbox_capacity;
	unsigned attempts; /* since it last worked */
	uint64_t retry_ns;
	/* from hello */
	uint64_t through; /* what is unanswered and has a higher id was not carried out on an earlier connection */
	uint64_t frame_limit, in_flight_limit;
};

/* connection_init(store, error) - 0, or an error code with *error filled in. connection_deinit() undoes it, at any
 * stage. */
int connection_init(kyneta_store *store, struct kyneta_store_error *error);
void connection_deinit(kyneta_store *store);

/* connection_attempt(store) - connect and say hello, if it is time. */
void connection_attempt(kyneta_store *store);

/* connection_send(store) - write what is queued, as far as the socket takes it. Calls no callbacks. */
void connection_send(kyneta_store *store);

/* connection_receive(store) - read what is there and hand each frame to answer_frame(). */
void connection_receive(kyneta_store *store);

/* connection_ready(store, hello) - hello was answered. */
void connection_ready(kyneta_store *store, const struct hello_reply *hello);

/* connection_lost(store, error) - close it and try again after the backoff, or end the handle. Calls the state
 * callback. */
void connection_lost(kyneta_store *store, const struct kyneta_store_error *error);

/* connection_close(store, phase) - close the socket, if there is one; what is received but not handed on is gone. */
void connection_close(kyneta_store *store, enum phase phase);

/* connection_leave_when_drained(store) - draining, and everything that was sent is answered: go. */
void connection_leave_when_drained(kyneta_store *store);

/* connection_could_send(store) - is there something that a turn could write now? */
bool connection_could_send(const kyneta_store *store);

/* ---- streams ---- */

LIST_HEAD(stream_list, kyneta_store_stream);

/* stream_page(store, stream, reply) - a page is there. The reply's bytes are read before it returns. */
void stream_page(kyneta_store *store, kyneta_store_stream *stream, const struct reply *reply);

/* stream_error(store, stream, error) - its page cannot be had. */
void stream_error(kyneta_store *store, kyneta_store_stream *stream, const struct kyneta_store_error *error);

/* stream_run(store) - go on with streams that were continued. */
void stream_run(kyneta_store *store);

/* stream_end_all(store, error) - the handle ends: every stream's done is called. */
void stream_end_all(kyneta_store *store, const struct kyneta_store_error *error);

/* stream_all_paused(store) - nothing more comes from any stream unless it is continued. */
bool stream_all_paused(const kyneta_store *store);

/* ---- the handle ---- */

struct kyneta_store {
	/* options */
	struct kyneta_store_options options; /* pointers in it are not used after new, but for the callback's context */
	char *path;
	struct buffer hello; /* the frame, made once */
	uint8_t session[SESSION_SIZE];
	uint64_t random; /* for the backoff's jitter */

	struct connection connection;
	struct queue queue;
	struct latches latches;
	struct stream_list streams;
	size_t streams_open;
	bool streams_due;	  /* a stream was continued: the next turn goes on with it */
	struct call_list closing; /* close, held back until everything else is answered; the first one will be sent */
	bool close_asked;
	bool close_done; /* ended by close, not by a failure */
	int ended_code;	 /* PHASE_CLOSED: why */
	bool in_callback;
	struct buffer scratch;			/* for encoding */
	struct kyneta_store_error last_failure; /* of connecting, until it worked: what a deadline can tell */

	int layout;
	uint64_t acknowledged; /* the highest id of a write that was answered as carried out */
	bool writes_lost;      /* the daemon knows less than was acknowledged: the next sync must say so */
	uint64_t connects, resent, duplicates, restarts;
	char daemon[64];
};

static inline bool handle_reconnects(const kyneta_store *store)
{
	return !store->options.no_reconnect;
}

/* handle_turn(store) - one turn: deadlines, connect, receive, send, callbacks. */
void handle_turn(kyneta_store *store);

/* handle_end(store, error) - the handle is closed for good; every call gets its callback with @error (or its own
 * outcome). */
void handle_end(kyneta_store *store, const struct kyneta_store_error *error);

/* handle_closed(store) - close was answered: ends well. */
void handle_closed(kyneta_store *store);

/* handle_state(store, error) - tell the state callback. */
void handle_state(kyneta_store *store, const struct kyneta_store_error *error);

/* handle_finish(store, call, answer) - call the callback of a call that is in no list any more, and free it. */
void handle_finish(kyneta_store *store, struct call *call, const struct full_answer *answer);

/* handle_fail(store, call, error) - the same with an error; a stream's page goes to its stream. */
void handle_fail(kyneta_store *store, struct call *call, const struct kyneta_store_error *error);

uint64_t handle_clock_ns(void);

/* ---- calls.c, for the blocking calls and the streams ---- */

int calls_send_stats(kyneta_store *store, kyneta_store_done_fn done, void *context);

/* calls_send_page(store, stream, request) - ask for a page. NULL: no memory. */
struct call *calls_send_page(kyneta_store *store, kyneta_store_stream *stream, struct request *request);

/* calls_usable(store) - 0, or what a send_… function answers for the state the handle is in. */
int calls_usable(const kyneta_store *store);

/* ---- answer.c ---- */

/* answer_frame(store, bytes) - one frame from the daemon. May lose the connection or end the handle. */
void answer_frame(kyneta_store *store, struct span bytes);

/* answer_record(record) - the public form of a record. */
struct kyneta_store_record answer_record(const struct record *record);

/* ---- failure.c ---- */

/* failure_fill(error, code, outcome, format, …) - @error may be NULL. Returns @code. */
int failure_fill(struct kyneta_store_error *error, int code, int outcome, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* failure_of_reply(error, reply) - what the daemon said. */
void failure_of_reply(struct kyneta_store_error *error, const struct reply *reply);

#endif
