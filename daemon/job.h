/*
 * job: one request on its way through the daemon, from the frame to the reply.
 *
 * A job and its frame are one allocation; the decoded request is views into it. Its owner is, in turn: the connection
 * (while the frame is read and while it waits for its turn), the writer or a reader (while it is carried out), the
 * connection again (which answers and frees it). Only the owner touches it.
 */
#ifndef KYNETA_DAEMON_JOB_H
#define KYNETA_DAEMON_JOB_H

#include "daemon/refusal.h"
#include "protocol/message.h"

struct connection;
struct grant;
struct lane;
struct quota;
struct session;
struct store;

/* Kinds of work beyond the operations of the wire, for the writer. */
enum job_kind {
	JOB_REQUEST, /* request.operation says what */
	JOB_HELLO,   /* find the store, take the session up */
	JOB_CLAIM,   /* write down (or, without exclusive, remove) who has the store exclusively */
	JOB_LEAVE,   /* the connection is gone: let its session go */
	JOB_PAIR,    /* write down that the store's tables belong together */
};

/* Room for the message of a job, where one is put together. */
#define JOB_MESSAGE_SIZE 1024

/* Which table of metadata the records that a hello names are known to belong to: that of the hello? */
enum pairing { PAIRING_NONE, PAIRING_SAME, PAIRING_OTHER };

struct job {
	struct job *next; /* in whatever list the owner keeps */
	enum job_kind kind;
	struct connection *connection; /* loop thread only */
	struct store *store;	       /* from hello on */
	struct session *session;       /* writer thread only */
	const struct grant *grant;     /* of the connection, which outlives its jobs; from hello's answer on */
	uint64_t arrived_us;	       /* its last byte */
	size_t charge;		       /* bytes counted against the limits while the job lives */
	bool large;		       /*   … and among those of connections that hold much */
	struct request request;

	/* order (order.h): loop thread only */
	struct lane *lane;
	struct job *lane_next;
	bool ready;
	bool counted_out; /* among the writes that the writer has */
	uint64_t writes_before, lists_before;

	/* the result */
	int code; /* enum error_code; set before the writer gets it: fail with this, in order */
	enum error_outcome outcome;
	enum refusal_kind refusal; /* why, if it was a rule or a quota */
	const char *detail;	   /* static */
	char *message;		   /* owned; NULL: the code's meaning */
	size_t message_size;	   /* it may hold NUL, as an id may; a NUL of its own stands behind it */
	struct position at;
	bool duplicate;
	bool unanswered;     /* nothing true can be answered: the connection is to be closed instead */
	struct buffer reply; /* reads: the whole frame */

	/* reads: room for the reply (connection_read.c) */
	uint64_t reply_reserved; /* the reply may take so much, */
	uint64_t reply_needs; /*   and was not made, because it would take this much more than that; 0: it was made */
	uint64_t next_record_bytes; /* the page ended before a record of so many bytes, which fits into no page; or 0 */

	/* writer thread only */
	bool set_aside; /* the database refused it: the batch is run again without it */
	bool preset;	/* code was set before the writer saw it */

	/* hello */
	const struct quota *quota; /* the limits of stores, by the rules of the connection */
	bool bound; /* there are rules about stores, and they concern the peer: its tables must be known to be a pair */
	bool vouches; /* there are, and they do not concern it, so that it may say which tables are */
	enum pairing pairing;
	uint64_t through;
	bool claimed; /* somebody has the store exclusively, as written down: */
	uint8_t claimant[SESSION_SIZE];

	size_t frame_size;
	uint8_t frame[];
};

/* job_new(frame_size) - zeroed but for the frame; NULL without memory. */
struct job *job_new(size_t frame_size);

/* job_free(job) - with everything it owns. NULL is fine. */
void job_free(struct job *job);

/* job_fail(job, code, outcome, message) - set the result to an error; @message is copied (NULL: the code's meaning). */
void job_fail(struct job *job, int code, enum error_outcome outcome, const char *message);

/* job_fail_text(job, …) - the same with any text (SPAN_NONE: the code's meaning). */
void job_fail_text(struct job *job, int code, enum error_outcome outcome, struct span message);

/* job_message(job) - what its error says. */
struct span job_message(const struct job *job);

/* A first-in first-out list of jobs. */
struct job_list {
	struct job *head;
	struct job **tail; /* NULL while empty: zero-initialised is empty */
	size_t count;
};

static inline void job_list_push(struct job_list *list, struct job *job)
{
	job->next = NULL;
	if (list->head == NULL)
		list->head = job;
	else
		*list->tail = job;
	list->tail = &job->next;
	list->count++;
}

/* job_list_unpop(list, job) - put it back to the front. */
static inline void job_list_unpop(struct job_list *list, struct job *job)
{
	job->next = list->head;
	if (list->head == NULL)
		list->tail = &job->next;
	list->head = job;
	list->count++;
}

static inline struct job *job_list_pop(struct job_list *list)
{
	struct job *job = list->head;

	if (job != NULL) {
		list->head = job->next;
		job->next = NULL;
		list->count--;
	}
	return job;
}

/* job_list_move(to, from) - append all of @from to @to; @from is empty then. */
static inline void job_list_move(struct job_list *to, struct job_list *from)
{
	if (from->head == NULL)
		return;
	if (to->head == NULL)
		to->head = from->head;
	else
		*to->tail = from->head;
	to->tail = from->tail;
	to->count += from->count;
	*from = (struct job_list){0};
}

#endif
