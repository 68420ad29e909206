#include "daemon/session.h"

#include <stdlib.h>
#include <time.h>
#include <utlist.h>

#include "daemon/hash.h"
#include "daemon/store.h"

/* A hello alone renews the stored time of last use when this part of the timeout has gone by: by default, once a day.
 */
#define SESSION_RENEW_SHARE 7

#define SESSION_ROW_VERSION 1

/* The default in-flight limit: a client that was promised it may hold so many writes without an answer. */
#define SESSION_WINDOW_MIN 1024

struct refusal {
	struct refusal *prev, *next;
	uint64_t id;
	uint64_t ordinal; /* which write of the session it was */
	int code;
	size_t message_size;
	char message[]; /* empty: the code's meaning */
};

struct latch {
	UT_hash_handle hh;
	bool fresh;   /* set by this batch */
	bool cleared; /* by this batch */
	int code;
	char *message;
	size_t bytes; /* that it takes */
	size_t size;
	uint8_t id[];
};

struct session {
	struct session *next_changed;
	bool changed;
	bool named;
	bool ended;
	bool lost;   /* see session_lose */
	bool renew;  /* the time of last use is old: write it with the next batch */
	bool stored; /* there is a row */
	uint8_t id[SESSION_SIZE];
	char *store_key;
	uint64_t last_use; /* as stored */
	uint64_t through, through_pending;
	uint64_t writes, writes_pending; /* how many ids that is: reads use ids too, so distance says nothing */
	struct refusal *refusals;	 /* ascending ids */
	struct refusal *pending;	 /* of this batch */
	struct latch *latches;
	bool all_latched; /* too many to tell apart */
	int all_code;
};

void sessions_init(struct sessions *sessions, struct engine *engine, uint64_t window, uint64_t timeout)
{
	/* Rows outlive configurations: never fewer than the protocol's default. */
	*sessions = (struct sessions){.engine = engine, .window = SESSION_WINDOW_MIN};
	sessions_limit(sessions, window, timeout);
}

void sessions_limit(struct sessions *sessions, uint64_t window, uint64_t timeout)
{
	if (sessions->window < window)
		sessions->window = window;
	sessions->renew_seconds = timeout / SESSION_RENEW_SHARE;
}

void sessions_free(struct sessions *sessions)
{
	buffer_free(&sessions->key);
	buffer_free(&sessions->value);
}

static uint64_t now_seconds(void)
{
	return (uint64_t)time(NULL);
}

static void drop_refusal(struct sessions *sessions, struct refusal **list, struct refusal *refusal)
{
	DL_DELETE(*list, refusal);
	sessions->refusal_bytes -= refusal->message_size;
	free(refusal);
}

static void drop_refusals(struct sessions *sessions, struct refusal **list)
{
	struct refusal *refusal, *next;

	DL_FOREACH_SAFE (*list, refusal, next) {
		drop_refusal(sessions, list, refusal);
	}
}

static void drop_latch(struct sessions *sessions, struct session *session, struct latch *latch)
{
	HASH_DEL(session->latches, latch);
	sessions->latch_bytes -= latch->bytes;
	free(latch->message);
	free(latch);
}

void session_close(struct sessions *sessions, struct session *session)
{
	struct latch *latch, *next;

	if (session == NULL)
		return;
	if (session->changed)
		LL_DELETE2(sessions->changed, session, next_changed);
	HASH_ITER (hh, session->latches, latch, next)
		drop_latch(sessions, session, latch);
	drop_refusals(sessions, &session->refusals);
	drop_refusals(sessions, &session->pending);
	free(session->store_key);
	free(session);
}

uint64_t session_through(const struct session *session)
{
	return session->through;
}

/* ---- the stored row: version, last use, through, writes; then for each refusal id, ordinal, code, size of message,
 * message ---- */

static struct refusal *refusal_new(struct sessions *sessions, uint64_t id, uint64_t ordinal, int code,
				   struct span message)
{
	struct refusal *refusal;

	if (message.size > SESSIONS_REFUSAL_BYTES - sessions->refusal_bytes)
		message.size = 0;
	refusal = malloc(sizeof(*refusal) + message.size);
	if (refusal == NULL)
		return NULL;
	sessions->refusal_bytes += message.size;
	refusal->message_size = message.size;
	refusal->id = id;
	refusal->ordinal = ordinal;
	refusal->code = code;
	if (message.size > 0)
		memcpy(refusal->message, message.data, message.size);
	return refusal;
}

static bool take_number(struct span *from, uint64_t *number)
{
	if (from->size < 8)
		return false;
	*number = own_number(span_of(from->data, 8));
	*from = span_of(from->data + 8, from->size - 8);
	return true;
}

static bool session_decode(struct sessions *sessions, struct session *session, struct span row)
{
	uint64_t version;

	if (!take_number(&row, &version) || version != SESSION_ROW_VERSION || !take_number(&row, &session->last_use) ||
	    !take_number(&row, &session->through) || !take_number(&row, &session->writes))
		return false;
	while (row.size > 0) {
		uint64_t id, ordinal, code, size;
		struct refusal *refusal;

		if (!take_number(&row, &id) || !take_number(&row, &ordinal) || !take_number(&row, &code) ||
		    !take_number(&row, &size) || size > row.size)
			return false;
		refusal = refusal_new(sessions, id, ordinal, (int)code, span_of(row.data, (size_t)size));
		if (refusal == NULL)
			return false;
		DL_APPEND(session->refusals, refusal);
		row = span_of(row.data + size, row.size - (size_t)size);
	}
	session->through_pending = session->through;
	session->writes_pending = session->writes;
	session->stored = true;
	return true;
}

/* Is the refusal still among the last writes? A client has no more than these without an answer. */
static bool within_window(const struct sessions *sessions, const struct refusal *refusal, uint64_t writes)
{
	return refusal->ordinal + sessions->window > writes;
}

static void encode_refusals(struct sessions *sessions, const struct session *session, const struct refusal *list)
{
	const struct refusal *refusal;

	DL_FOREACH (list, refusal) {
		if (!within_window(sessions, refusal, session->writes_pending))
			continue;
		own_number_put(&sessions->value, refusal->id);
		own_number_put(&sessions->value, refusal->ordinal);
		own_number_put(&sessions->value, (uint64_t)refusal->code);
		own_number_put(&sessions->value, refusal->message_size);
		buffer_append(&sessions->value, refusal->message, refusal->message_size);
	}
}

static int write_row(struct sessions *sessions, const struct session *session, struct failure *failure)
{
	own_key_session(&sessions->key, session->store_key, session->id);
	buffer_reset(&sessions->value);
	own_number_put(&sessions->value, SESSION_ROW_VERSION);
	own_number_put(&sessions->value, now_seconds());
	own_number_put(&sessions->value, session->through_pending);
	own_number_put(&sessions->value, session->writes_pending);
	encode_refusals(sessions, session, session->refusals);
	encode_refusals(sessions, session, session->pending);
	if (sessions->key.failed || sessions->value.failed)
		return failure_set(failure, ERROR_IO_ERROR, "out of memory");
	return sessions->engine->class->put_own(sessions->engine, buffer_span(&sessions->key),
						buffer_span(&sessions->value), failure);
}

static void mark_changed(struct sessions *sessions, struct session *session)
{
	if (session->changed)
		return;
	session->changed = true;
	LL_PREPEND2(sessions->changed, session, next_changed);
}

int session_open(struct sessions *sessions, const char *store_key, const uint8_t *id, struct session **out,
		 struct failure *failure)
{
	struct session *session = calloc(1, sizeof(*session));
	bool found = false;
	int code;

	if (session == NULL || (session->store_key = strdup(store_key)) == NULL)
		goto no_memory;
	if (id != NULL) {
		session->named = true;
		memcpy(session->id, id, SESSION_SIZE);
		own_key_session(&sessions->key, store_key, id);
		buffer_reset(&sessions->value);
		if (sessions->key.failed)
			goto no_memory;
		code = sessions->engine->class->get_own(sessions->engine, buffer_span(&sessions->key), &found,
							&sessions->value, failure);
		if (code != 0) {
			session_close(sessions, session);
			return code;
		}
	}
	if (found && !session_decode(sessions, session, buffer_span(&sessions->value))) {
		session_close(sessions, session);
		return failure_set(failure, ERROR_CORRUPT, "the stored row of this session cannot be read");
	}
	/* A hello is a use: a session that only reads must not be forgotten. */
	if (session->stored && session->last_use + sessions->renew_seconds < now_seconds()) {
		session->renew = true;
		mark_changed(sessions, session);
	}
	*out = session;
	return 0;
no_memory:
	session_close(sessions, session);
	return failure_set(failure, ERROR_IO_ERROR, "out of memory");
}

int session_end(struct sessions *sessions, struct session *session, struct failure *failure)
{
	if (!session->named || !session->stored)
		return 0;
	own_key_session(&sessions->key, session->store_key, session->id);
	if (sessions->key.failed)
		return failure_set(failure, ERROR_IO_ERROR, "out of memory");
	session->ended = true;
	return sessions->engine->class->delete_own(sessions->engine, buffer_span(&sessions->key), failure);
}

/* ---- expiry ---- */

struct expiry {
	uint64_t before;
	struct buffer keys; /* size (8 bytes) and key, each */
};

static bool collect_expired(void *context, struct span key, struct span value)
{
	struct expiry *expiry = context;
	uint64_t version, last_use;

	if (take_number(&value, &version) && take_number(&value, &last_use) && last_use < expiry->before) {
		own_number_put(&expiry->keys, key.size);
		buffer_append(&expiry->keys, key.data, key.size);
	}
	return !expiry->keys.failed;
}

int sessions_expire(struct sessions *sessions, uint64_t before, uint64_t *removed, struct failure *failure)
{
	const struct engine_class *class = sessions->engine->class;
	struct expiry expiry = {.before = before};
	struct span keys;
	uint64_t size;
	int code;

	*removed = 0;
	code = class->each_own(sessions->engine, OWN_PREFIX_SESSION, collect_expired, &expiry, failure);
	keys = buffer_span(&expiry.keys);
	while (code == 0 && take_number(&keys, &size)) {
		code = class->delete_own(sessions->engine, span_of(keys.data, (size_t)size), failure);
		keys = span_of(keys.data + size, keys.size - (size_t)size);
		(*removed)++;
	}
	buffer_free(&expiry.keys);
	return code;
}

/* ---- answers from before ---- */

static const struct refusal *find_refusal(const struct refusal *list, uint64_t id)
{
	const struct refusal *refusal;

	DL_FOREACH (list, refusal) {
		if (refusal->id == id)
			return refusal;
	}
	return NULL;
}

bool session_recall(struct session *session, struct job *job)
{
	const struct refusal *refusal;

	if (!session->named || job->request.id > session->through)
		return false;
	refusal = find_refusal(session->refusals, job->request.id);
	if (refusal != NULL)
		job_fail_text(job, refusal->code, OUTCOME_NOT_APPLIED,
			      refusal->message_size > 0 ? span_of(refusal->message, refusal->message_size) : SPAN_NONE);
	else {
		job_fail(job, 0, OUTCOME_NONE, NULL);
		job->duplicate = true;
	}
	return true;
}

static struct latch *find_latch(struct session *session, struct span id)
{
	struct latch *latch;

	HASH_FIND(hh, session->latches, id.data, id.size, latch);
	return latch;
}

bool session_latched(struct session *session, struct job *job)
{
	struct latch *latch;

	if (session->all_latched) {
		job_fail(job, session->all_code, OUTCOME_NOT_APPLIED,
			 "an earlier write of this connection failed; resume first");
		return true;
	}
	if (session->latches == NULL)
		return false;
	latch = find_latch(session, job->request.document);
	if (latch == NULL || latch->cleared)
		return false;
	job_fail(job, latch->code, OUTCOME_NOT_APPLIED, latch->message);
	return true;
}

static bool latch_document(struct sessions *sessions, struct session *session, const struct job *job)
{
	struct span id = job->request.document;
	struct latch *latch = find_latch(session, id);
	size_t bytes = sizeof(*latch) + id.size + (job->message == NULL ? 0 : strlen(job->message)) + 2;

	if (latch != NULL && !latch->cleared)
		return true;
	if (latch != NULL)
		drop_latch(sessions, session, latch); /* cleared by this very batch: a rollback would run it anew */
	if (HASH_COUNT(session->latches) >= SESSION_LATCHES_MAX ||
	    bytes > SESSIONS_LATCH_BYTES - sessions->latch_bytes) {
		session->all_latched = true;
		session->all_code = job->code;
		return true;
	}
	latch = calloc(1, sizeof(*latch) + id.size + 1);
	if (latch == NULL)
		return false;
	latch->fresh = true;
	latch->code = job->code;
	latch->message = job->message == NULL ? NULL : strdup(job->message);
	latch->bytes = bytes;
	latch->size = id.size;
	if (id.size > 0)
		memcpy(latch->id, id.data, id.size);
	HASH_ADD_KEYPTR(hh, session->latches, latch->id, latch->size, latch);
	if (!hash_added(latch->hh)) {
		free(latch->message);
		free(latch);
		return false;
	}
	sessions->latch_bytes += bytes;
	return true;
}

/* A message for the row: cut at a character. */
static struct span short_message(const struct job *job)
{
	struct span text = job_message(job);

	if (text.size > SESSION_MESSAGE_MAX) {
		text.size = SESSION_MESSAGE_MAX;
		while (text.size > 0 && (text.data[text.size] & 0xc0) == 0x80)
			text.size--;
	}
	return text;
}

bool session_record(struct sessions *sessions, struct session *session, struct job *job)
{
	bool recalled = session->named && job->request.id <= session->through;

	mark_changed(sessions, session);
	if (job->code != 0 && error_is_outside((uint64_t)job->code) && !latch_document(sessions, session, job))
		return false;
	if (!session->named || recalled)
		return true;
	if (job->code != 0) {
		struct refusal *refusal =
		    refusal_new(sessions, job->request.id, session->writes_pending + 1, job->code, short_message(job));

		if (refusal == NULL)
			return false;
		DL_APPEND(session->pending, refusal);
	}
	session->writes_pending++;
	if (job->request.id > session->through_pending)
		session->through_pending = job->request.id;
	return true;
}

void session_lose(struct session *session)
{
	session->lost = true;
}

bool session_lost(const struct session *session)
{
	return session->lost;
}

void session_resume(struct sessions *sessions, struct session *session)
{
	struct latch *latch, *next;

	mark_changed(sessions, session);
	session->all_latched = false;
	HASH_ITER (hh, session->latches, latch, next)
		latch->cleared = true;
}

/* ---- the batch ---- */

bool sessions_renewing(const struct sessions *sessions)
{
	const struct session *session;

	LL_FOREACH2(sessions->changed, session, next_changed)
	{
		if (session->renew)
			return true;
	}
	return false;
}

int sessions_finish(struct sessions *sessions, struct failure *failure)
{
	struct session *session;
	int code = 0;

	LL_FOREACH2(sessions->changed, session, next_changed)
	{
		if (!session->named || session->ended || session->lost ||
		    (session->through_pending == session->through && !session->renew))
			continue;
		code = write_row(sessions, session, failure);
		if (code != 0)
			break;
	}
	return code;
}

static void keep_refusals(struct sessions *sessions, struct session *session)
{
	struct refusal *refusal, *next;

	DL_CONCAT(session->refusals, session->pending);
	session->pending = NULL;
	DL_FOREACH_SAFE (session->refusals, refusal, next) {
		if (within_window(sessions, refusal, session->writes))
			break;
		drop_refusal(sessions, &session->refusals, refusal);
	}
}

static void settle(struct sessions *sessions, bool keep)
{
	struct session *session, *after;

	for (session = sessions->changed; session != NULL; session = after) {
		struct latch *latch, *next;

		after = session->next_changed;
		HASH_ITER (hh, session->latches, latch, next) {
			if (keep ? latch->cleared : latch->fresh)
				drop_latch(sessions, session, latch);
			else
				latch->fresh = latch->cleared = false;
		}
		if (keep) {
			session->stored |= session->through != session->through_pending;
			session->renew = false;
			session->through = session->through_pending;
			session->writes = session->writes_pending;
			keep_refusals(sessions, session);
		} else {
			session->through_pending = session->through;
			session->writes_pending = session->writes;
			drop_refusals(sessions, &session->pending);
		}
		session->ended = false;
		session->changed = false;
	}
	sessions->changed = NULL;
}

void sessions_committed(struct sessions *sessions)
{
	settle(sessions, true);
}

void sessions_rolled_back(struct sessions *sessions)
{
	settle(sessions, false);
}
