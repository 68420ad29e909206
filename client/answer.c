/*
 * answer: what the daemon's frames mean.
 *
 * Every reply belongs to a call on the wire; anything else, and anything that is not a message, means that the peer is
 * not the daemon this library was made for, and ends the handle: connecting again would bring the same.
 */
#include <stdlib.h>

#include "client/handle.h"

static void protocol_error(kyneta_store *store, const char *what)
{
	struct kyneta_store_error error;

	failure_fill(&error, KYNETA_STORE_EPROTOCOL, KYNETA_STORE_NO_OUTCOME, "%s: %s", store->path, what);
	handle_end(store, &error);
}

/* ---- hello, and what comes unasked ---- */

/* Refusals that pass by themselves. */
static bool may_pass(uint64_t code)
{
	return code == ERROR_BUSY || code == ERROR_TOO_MANY_CONNECTIONS || code == ERROR_DRAINING;
}

/* The daemon ends the connection. */
static void refused(kyneta_store *store, const struct reply *reply)
{
	struct kyneta_store_error error;

	if (reply->code > DAEMON_CODE_MAX) {
		protocol_error(store, "sent an error that no daemon knows");
		return;
	}
	failure_of_reply(&error, reply);
	if (may_pass(reply->code))
		connection_lost(store, &error); /* which ends the handle if it does not reconnect */
	else
		handle_end(store, &error);
}

static void draining(kyneta_store *store)
{
	struct kyneta_store_error error;

	/* Without reconnecting there is nothing better than to go on until the daemon closes. */
	if (!handle_reconnects(store))
		return;
	store->connection.draining = true;
	store->connection.leaving = true;
	if (store->connection.phase == PHASE_READY)
		return;
	failure_fill(&error, KYNETA_STORE_EDRAINING, KYNETA_STORE_NO_OUTCOME, "%s", error_meaning(ERROR_DRAINING));
	connection_lost(store, &error);
}

static void unasked(kyneta_store *store, const struct reply *reply)
{
	if (reply->code != 0)
		refused(store, reply);
	else if (reply->event == EVENT_DRAINING)
		draining(store);
}

/* Does the daemon still know what it acknowledged? */
static void compare_sessions(kyneta_store *store, uint64_t through)
{
	if (store->options.no_session || through >= store->acknowledged)
		return;
	if (through == 0)
		queue_end_sent_writes(store,
				      "the daemon has forgotten the session, and with it what became of the write");
	store->writes_lost = true;
	store->acknowledged = through;
}

static void hello_answered(kyneta_store *store, const struct hello_reply *hello)
{
	size_t size = hello->daemon.size;

	if (hello->version != PROTOCOL_VERSION) {
		protocol_error(store, "chose a version of the protocol that was not offered");
		return;
	}
	if (size > sizeof(store->daemon) - 1)
		size = sizeof(store->daemon) - 1;
	memset(store->daemon, 0, sizeof(store->daemon));
	if (size > 0)
		memcpy(store->daemon, hello->daemon.data, size);
	store->layout = (int)hello->layout;
	compare_sessions(store, hello->through);
	connection_ready(store, hello);
}

/* The first frame of a connection. */
static void answer_hello(kyneta_store *store, uint64_t id, struct span bytes)
{
	struct reply reply;

	if (id > HELLO_ID || reply_decode(bytes, OPERATION_HELLO, &reply) != 0)
		protocol_error(store, "answered hello with something else");
	else if (id == 0)
		unasked(store, &reply);
	else if (reply.code != 0)
		refused(store, &reply);
	else
		hello_answered(store, &reply.hello);
}

/* ---- replies ---- */

struct kyneta_store_record answer_record(const struct record *record)
{
	return (struct kyneta_store_record){
	    .type = record->type == RECORD_META ? KYNETA_STORE_META : KYNETA_STORE_ENTRY,
	    .meta = (const char *)record->meta.data,
	    .meta_size = record->meta.size,
	    .kind = (int)record->kind,
	    .encoding = (int)record->encoding,
	    .data_is_text = record->data_is_text,
	    .has_lineage = record->has_lineage,
	    .version = (const char *)record->version.data,
	    .version_size = record->version.size,
	    .data = record->data.data,
	    .data_size = record->data.size,
	    .lineage = (const char *)record->lineage.data,
	    .lineage_size = record->lineage.size,
	};
}

/* The epochs before the oldest call that is still unanswered are over. */
static void forget_old_latches(kyneta_store *store)
{
	uint64_t epoch = store->queue.epoch;
	struct call *call;

	if (!latch_any(&store->latches))
		return;
	TAILQ_FOREACH(call, &store->queue.calls, link)
	{
		if (call->epoch < epoch)
			epoch = call->epoch;
	}
	latch_prune(&store->latches, epoch);
}

static void succeeded(kyneta_store *store, struct call *call, const struct reply *reply)
{
	struct full_answer answer = {.reply = reply};
	kyneta_store_stream *stream = call->stream;
	uint8_t operation = call->operation;

	if (stream != NULL) {
		free(call);
		stream_page(store, stream, reply);
		return;
	}
	answer.public.at.generation = reply->at.generation;
	answer.public.at.next = reply->at.next;
	answer.public.duplicate = reply->duplicate;
	if (reply->has_meta) {
		/* An empty text is not NULL. */
		answer.public.meta = reply->meta.size > 0 ? (const char *)reply->meta.data : "";
		answer.public.meta_size = reply->meta.size;
	}
	if (reply->duplicate)
		store->duplicates++;
	if (operation_is_write(operation) && call->id > store->acknowledged)
		store->acknowledged = call->id;
	if (operation == OPERATION_RESUME)
		forget_old_latches(store);
	handle_finish(store, call, &answer);
	if (operation == OPERATION_CLOSE)
		handle_closed(store);
}

static void failed(kyneta_store *store, struct call *call, const struct reply *reply)
{
	struct kyneta_store_error error;

	failure_of_reply(&error, reply);
	if (operation_is_write(call->operation) && error.outcome == KYNETA_STORE_NO_OUTCOME)
		error.outcome = KYNETA_STORE_UNKNOWN; /* a daemon that does not say */
	handle_fail(store, call, &error);
}

/*
 * A write refused by draining: nothing was done. As it was answered, its id is used up, and it needs a new one.
 *
 * But one whose id is not above `through` may have been carried out before this connection, and a draining daemon may
 * not have looked: it keeps its id, under which it can never be done twice. Unless the daemon did not say that it
 * drains: then it spoke from the session's memory, and would say the same for ever. If in that case a resume is behind
 * the write, what is behind the resume may be done by now, and it is too late to send this one again: it has failed.
 */
static bool refused_by_draining(kyneta_store *store, struct call *call)
{
	const struct connection *connection = &store->connection;

	if (call->id <= connection->through && connection->draining)
		queue_postpone(&store->queue, call);
	else if (call->id > connection->through || call->epoch == store->queue.epoch)
		queue_again(&store->queue, call);
	else
		return false;
	return true;
}

/*
 * Some answers are none, as they come from a daemon that is about to end: the next one is asked. Draining is one; an
 * unknown outcome, in a session, is another: the next daemon knows, and answers for the same id. And the answer to a
 * read is too old if a write before it was answered like that, and is still to come.
 */
static bool ask_again(kyneta_store *store, struct call *call, const struct reply *reply)
{
	bool is_write = operation_is_write(call->operation);
	bool is_unknown = reply->code != 0 && reply->outcome == OUTCOME_UNKNOWN && !store->options.no_session;

	if (!handle_reconnects(store))
		return false;
	if (is_write && reply->code == ERROR_DRAINING) {
		if (!refused_by_draining(store, call))
			return false;
	} else if (reply->code == ERROR_DRAINING || (is_write && is_unknown) ||
		   queue_awaits_write(&store->queue, call)) {
		queue_postpone(&store->queue, call);
	} else {
		return false;
	}
	store->connection.leaving = true;
	return true;
}

static void answer_call(kyneta_store *store, struct call *call, const struct reply *reply)
{
	if (reply->code > DAEMON_CODE_MAX) {
		protocol_error(store, "sent an error that no daemon knows");
		return;
	}
	if (!call->abandoned && ask_again(store, call, reply))
		return;
	store->connection.attempts = 0;
	if (operation_is_write(call->operation) && error_is_outside(reply->code))
		latch_add(&store->latches, call, (int)reply->code);
	queue_remove(&store->queue, call);
	if (call->abandoned)
		free(call);
	else if (reply->code != 0)
		failed(store, call, reply);
	else
		succeeded(store, call, reply);
}

void answer_frame(kyneta_store *store, struct span bytes)
{
	struct reply reply;
	struct call *call;
	uint64_t id, code;

	if (reply_peek(bytes, &id, &code) != 0) {
		protocol_error(store, "sent something that is no message");
		return;
	}
	if (store->connection.phase == PHASE_HELLO) {
		answer_hello(store, id, bytes);
		return;
	}
	call = id != 0 ? queue_find(&store->queue, id) : NULL;
	if (id != 0 && call == NULL)
		protocol_error(store, "answered a request that was not asked");
	else if (reply_decode(bytes, call != NULL ? call->operation : OPERATION_PING, &reply) != 0)
		protocol_error(store, "sent a reply that is not one to its request");
	else if (call == NULL)
		unasked(store, &reply);
	else
		answer_call(store, call, &reply);
}
