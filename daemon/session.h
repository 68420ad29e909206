/*
 * session: what is known of a client handle's writes, so that sending again neither loses nor doubles.
 *
 * For each session the database holds, written in the very transaction that carries a batch out: `through`, the highest
 * write id that was carried out or refused, and, among the last ones, every id that was refused, with code and message.
 * A write whose id is not above `through` is answered from that.
 *
 * A connection without a session has one too, without a name: nothing of it is stored.
 *
 * Here also lives the latch of a connection: after a write failed for a reason outside itself (4xx, 5xx), every later
 * write to that document fails the same way until resume, so that a pipeline never leaves a hole.
 *
 * What a batch did is on top until the commit, like a document's state. Writer thread only.
 */
#ifndef KYNETA_DAEMON_SESSION_H
#define KYNETA_DAEMON_SESSION_H

#include "daemon/engine.h"
#include "daemon/job.h"

/* A message longer than this is cut in the stored row. */
#define SESSION_MESSAGE_MAX 512

/* Documents latched on one connection before all of them are; and bytes of latches of all connections together. */
#define SESSION_LATCHES_MAX  4096
#define SESSIONS_LATCH_BYTES ((size_t)16 << 20)

/* Bytes of messages of refused writes, of all sessions together: beyond, their codes alone are kept. */
#define SESSIONS_REFUSAL_BYTES ((size_t)16 << 20)

struct session;

struct sessions {
	struct engine *engine;
	struct session *changed; /* by this batch */
	uint64_t window;	 /* refused ids kept: the in-flight limit */
	uint64_t renew_seconds;	 /* age of the stored time of last use from which a hello renews it */
	size_t latch_bytes, refusal_bytes;
	struct buffer key, value; /* scratch */
};

/* sessions_init(sessions, engine, window, timeout) - @timeout: seconds after which a session is forgotten. */
void sessions_init(struct sessions *sessions, struct engine *engine, uint64_t window, uint64_t timeout);
void sessions_free(struct sessions *sessions);

/* sessions_limit(sessions, window, timeout) - the same limits anew; the window never shrinks, since connections that
 * were told of a larger one may still be there. */
void sessions_limit(struct sessions *sessions, uint64_t window, uint64_t timeout);

/*
 * session_open(sessions, store_key, id, session, failure) - the session of a new connection; @id NULL: without a name.
 * Read from the database if it is there.
 */
int session_open(struct sessions *sessions, const char *store_key, const uint8_t *id, struct session **session,
		 struct failure *failure);

/* session_close(sessions, session) - the connection is gone; what is stored stays. NULL is fine. */
void session_close(struct sessions *sessions, struct session *session);

/* session_end(sessions, session, failure) - the client closed it: its row goes with this batch. */
int session_end(struct sessions *sessions, struct session *session, struct failure *failure);

uint64_t session_through(const struct session *session);

/* sessions_expire(sessions, before) - remove what was last used before @before (seconds since 1970). Inside a
 * transaction. */
int sessions_expire(struct sessions *sessions, uint64_t before, uint64_t *removed, struct failure *failure);

/*
 * session_recall(session, job) - was this write carried out or refused before? Then the job's result is set (an error,
 * or duplicate) and true is returned; at is left to the caller.
 */
bool session_recall(struct session *session, struct job *job);

/* session_latched(session, job) - is the job's document latched? Then the job is failed the same way and true is
 * returned. */
bool session_latched(struct session *session, struct job *job);

/*
 * session_record(sessions, session, job) - the batch has an answer to this write (job->code). Advances through, keeps a
 * refusal, latches after a failure from outside. False without memory.
 */
bool session_record(struct sessions *sessions, struct session *session, struct job *job);

/*
 * session_lose(session) - a write failed, and there is no memory to remember that, neither for whoever asks again nor
 * for the writes behind it. From here on nothing of this connection may be carried out or answered; it is to be closed.
 * Its client takes up the session as the database holds it, which knows nothing of the write, and sends it again.
 */
void session_lose(struct session *session);
bool session_lost(const struct session *session);

/* session_resume(session) - writes are taken again. */
void session_resume(struct sessions *sessions, struct session *session);

/* sessions_renewing(sessions) - is there a time of last use to be written down, and so a transaction needed? */
bool sessions_renewing(const struct sessions *sessions);

/* sessions_finish(sessions, failure) - before commit: write the rows of the changed sessions. */
int sessions_finish(struct sessions *sessions, struct failure *failure);
void sessions_committed(struct sessions *sessions);
void sessions_rolled_back(struct sessions *sessions);

#endif
