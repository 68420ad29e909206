/*
 * blocking: the calls that wait. Each queues one request and runs turns until its callback came.
 *
 * Between turns it waits on the socket itself: asking the epoll descriptor around it costs more.
 */
#include <poll.h>
#include <stdlib.h>

#include "client/handle.h"

#define NS_PER_MS UINT64_C(1000000)

/* What a blocking call waits for. Lives on its stack. */
struct waiter {
	bool is_done;
	int code;
	struct kyneta_store_error *error;
	struct kyneta_store_position at;
	/* current_meta */
	bool wants_meta;
	char *meta;
	size_t meta_size;
	/* load, list, stats */
	kyneta_store_record_fn each_record;
	kyneta_store_id_fn each_id;
	kyneta_store_stat_fn each_stat;
	void *context;
};

/* ---- waiting ---- */

static void wait_for_events(kyneta_store *store, int limit_ms)
{
	const struct connection *connection = &store->connection;
	short wanted = connection->want_write ? POLLIN | POLLOUT : POLLIN;
	struct pollfd poll_socket = {.fd = connection->socket, .events = wanted};
	int timeout = kyneta_store_timeout(store);

	if (limit_ms >= 0 && (timeout < 0 || limit_ms < timeout))
		timeout = limit_ms;
	/* A signal ends the wait early: one turn for nothing. */
	if (timeout != 0)
		poll(&poll_socket, 1, timeout);
}

/* The request goes out before the wait, and the wait before the turn: one system call each. */
static void wait_until_done(kyneta_store *store, const struct waiter *waiter)
{
	kyneta_store_push(store);
	while (!waiter->is_done) {
		wait_for_events(store, -1);
		handle_turn(store);
	}
}

static void done(void *context, const struct kyneta_store_answer *answer)
{
	struct waiter *waiter = context;

	waiter->is_done = true;
	waiter->at = answer->at;
	if (answer->error == NULL)
		return;
	waiter->code = answer->error->code;
	if (waiter->error != NULL)
		*waiter->error = *answer->error;
}

static void done_meta(void *context, const struct kyneta_store_answer *answer)
{
	struct waiter *waiter = context;

	done(context, answer);
	if (answer->error != NULL || answer->meta == NULL || !waiter->wants_meta)
		return;
	waiter->meta = malloc(answer->meta_size + 1);
	if (waiter->meta == NULL) {
		waiter->code = failure_fill(waiter->error, KYNETA_STORE_EMEMORY, KYNETA_STORE_NO_OUTCOME,
					    "no memory for the metadata");
		return;
	}
	memcpy(waiter->meta, answer->meta, answer->meta_size);
	waiter->meta[answer->meta_size] = '\0';
	waiter->meta_size = answer->meta_size;
}

/* ---- beginning ---- */

/* Why a request was not even queued. */
static const char *reason_of(int code)
{
	switch (code) {
	case KYNETA_STORE_EMISUSE:
		return "an argument that no daemon could accept, or a call from a callback of the same handle";
	case KYNETA_STORE_EMEMORY:
		return "no memory for the request";
	case KYNETA_STORE_EFULL:
		return "the handle's queue is full";
	case KYNETA_STORE_EFRAME_TOO_LARGE:
		return "the request is larger than any frame";
	case KYNETA_STORE_ECLOSED:
		return "the handle is closed";
	default:
		return "the handle has ended";
	}
}

/* @code is what send_… returned. The result of the call, once it is there. */
static int finish(kyneta_store *store, struct waiter *waiter, int code, bool is_write)
{
	const char *reason = reason_of(code);

	if (code == 0) {
		wait_until_done(store, waiter);
		return waiter->code;
	}
	/* A handle that has ended says why. */
	if (store != NULL && store->connection.phase == PHASE_CLOSED && code == store->last_failure.code)
		reason = store->last_failure.message;
	return failure_fill(waiter->error, code, is_write ? KYNETA_STORE_NOT_APPLIED : KYNETA_STORE_NO_OUTCOME, "%s",
			    reason);
}

/* Can this handle wait now? */
static int may_wait(const kyneta_store *store)
{
	return store == NULL || store->in_callback ? KYNETA_STORE_EMISUSE : 0;
}

/* A write: if an earlier one to the document failed, it is resumed first. */
static int may_write(kyneta_store *store, const char *id, size_t id_size)
{
	int code = may_wait(store);

	if (code != 0 || !latch_any(&store->latches) || (id == NULL && id_size > 0))
		return code;
	if (!latch_holds(&store->latches, store->queue.epoch, span_of(id, id_size)))
		return 0;
	return kyneta_store_send_resume(store, NULL, NULL);
}

static int finish_write(kyneta_store *store, struct waiter *waiter, int code, struct kyneta_store_position *at)
{
	code = finish(store, waiter, code, true);
	if (code == 0 && at != NULL)
		*at = waiter->at;
	return code;
}

/* ---- the calls ---- */

int kyneta_store_append(kyneta_store *store, const char *id, size_t id_size, const struct kyneta_store_record *records,
			size_t count, const struct kyneta_store_write *write, struct kyneta_store_position *at,
			struct kyneta_store_error *error)
{
	struct waiter waiter = {.error = error};
	int code = may_write(store, id, id_size);

	if (code == 0)
		code = kyneta_store_send_append(store, id, id_size, records, count, write, done, &waiter);
	return finish_write(store, &waiter, code, at);
}

int kyneta_store_replace(kyneta_store *store, const char *id, size_t id_size, const struct kyneta_store_record *records,
			 size_t count, const struct kyneta_store_write *write, struct kyneta_store_position *at,
			 struct kyneta_store_error *error)
{
	struct waiter waiter = {.error = error};
	int code = may_write(store, id, id_size);

	if (code == 0)
		code = kyneta_store_send_replace(store, id, id_size, records, count, write, done, &waiter);
	return finish_write(store, &waiter, code, at);
}

int kyneta_store_delete(kyneta_store *store, const char *id, size_t id_size, const struct kyneta_store_write *write,
			struct kyneta_store_position *at, struct kyneta_store_error *error)
{
	struct waiter waiter = {.error = error};
	int code = may_write(store, id, id_size);

	if (code == 0)
		code = kyneta_store_send_delete(store, id, id_size, write, done, &waiter);
	return finish_write(store, &waiter, code, at);
}

int kyneta_store_current_meta(kyneta_store *store, const char *id, size_t id_size, char **meta, size_t *meta_size,
			      struct kyneta_store_position *at, struct kyneta_store_error *error)
{
	struct waiter waiter = {.error = error, .wants_meta = meta != NULL};
	int code = may_wait(store);

	if (code == 0)
		code = kyneta_store_send_current_meta(store, id, id_size, done_meta, &waiter);
	code = finish(store, &waiter, code, false);
	if (code != 0)
		return code;
	if (meta != NULL)
		*meta = waiter.meta;
	if (meta_size != NULL)
		*meta_size = waiter.meta_size;
	if (at != NULL)
		*at = waiter.at;
	return 0;
}

void kyneta_store_release(void *memory)
{
	free(memory);
}

static bool forward_record(void *context, const struct kyneta_store_record *record)
{
	struct waiter *waiter = context;

	return waiter->each_record == NULL || waiter->each_record(waiter->context, record);
}

int kyneta_store_load_all(kyneta_store *store, const char *id, size_t id_size, kyneta_store_record_fn each,
			  void *context, struct kyneta_store_position *at, struct kyneta_store_error *error)
{
	struct waiter waiter = {.error = error, .each_record = each, .context = context};
	int code = may_wait(store);

	if (code == 0)
		code = kyneta_store_send_load_all(store, id, id_size, forward_record, done, &waiter, NULL);
	code = finish(store, &waiter, code, false);
	if (code == 0 && at != NULL)
		*at = waiter.at;
	return code;
}

static bool forward_id(void *context, const char *id, size_t id_size)
{
	struct waiter *waiter = context;

	return waiter->each_id == NULL || waiter->each_id(waiter->context, id, id_size);
}

int kyneta_store_list_doc_ids(kyneta_store *store, const char *prefix, size_t prefix_size, kyneta_store_id_fn each,
			      void *context, struct kyneta_store_error *error)
{
	struct waiter waiter = {.error = error, .each_id = each, .context = context};
	int code = may_wait(store);

	if (code == 0)
		code = kyneta_store_send_list_doc_ids(store, prefix, prefix_size, forward_id, done, &waiter, NULL);
	return finish(store, &waiter, code, false);
}

/* Counters on their way to the caller. A map's are told with its name and a dot before theirs. */
struct counters {
	const struct waiter *waiter;
	struct unpack unpack;
	struct buffer name;
};

enum told { TOLD, TOLD_ENOUGH, TOLD_NO_MEMORY };

static enum told tell_pairs(struct counters *counters, uint32_t pairs);

/* One counter, whose name is in the buffer. Values that are neither number, text nor map belong to later versions. */
static enum told tell_counter(struct counters *counters)
{
	const struct waiter *waiter = counters->waiter;
	struct unpack *unpack = &counters->unpack;
	const char *name = (const char *)counters->name.data;
	size_t size = counters->name.size;
	struct span text;
	uint64_t number;
	uint32_t pairs;
	bool more;

	if (unpack_map(unpack, &pairs)) {
		buffer_append_byte(&counters->name, '.');
		return tell_pairs(counters, pairs);
	}
	if (unpack_uint(unpack, &number))
		more = waiter->each_stat(waiter->context, name, size, number, NULL, 0);
	else if (unpack_str(unpack, &text))
		more = waiter->each_stat(waiter->context, name, size, 0, text.size > 0 ? (const char *)text.data : "",
					 text.size);
	else
		more = unpack_skip(unpack);
	return more ? TOLD : TOLD_ENOUGH;
}

static enum told tell_pairs(struct counters *counters, uint32_t pairs)
{
	size_t outer = counters->name.size;
	enum told told = TOLD;
	struct span name;

	for (uint32_t i = 0; told == TOLD && i < pairs; i++) {
		if (!unpack_str(&counters->unpack, &name))
			return TOLD_ENOUGH;
		counters->name.size = outer;
		buffer_append(&counters->name, name.data, name.size);
		told = counters->name.failed ? TOLD_NO_MEMORY : tell_counter(counters);
	}
	return told;
}

static void done_stats(void *context, const struct kyneta_store_answer *answer)
{
	/* Every answer is the first member of a full one. */
	const struct full_answer *full = (const struct full_answer *)answer;
	struct counters counters = {.waiter = context, .name = BUFFER_EMPTY};
	struct waiter *waiter = context;

	done(context, answer);
	if (answer->error != NULL || waiter->each_stat == NULL)
		return;
	counters.unpack = full->reply->stats;
	if (tell_pairs(&counters, full->reply->stats_count) == TOLD_NO_MEMORY)
		waiter->code = failure_fill(waiter->error, KYNETA_STORE_EMEMORY, KYNETA_STORE_NO_OUTCOME,
					    "no memory for the name of a counter");
	buffer_free(&counters.name);
}

int kyneta_store_stats(kyneta_store *store, kyneta_store_stat_fn each, void *context, struct kyneta_store_error *error)
{
	struct waiter waiter = {.error = error, .each_stat = each, .context = context};
	int code = may_wait(store);

	if (code == 0)
		code = calls_send_stats(store, done_stats, &waiter);
	return finish(store, &waiter, code, false);
}

int kyneta_store_sync(kyneta_store *store, struct kyneta_store_error *error)
{
	struct waiter waiter = {.error = error};
	int code = may_wait(store);

	if (code == 0)
		code = kyneta_store_send_sync(store, done, &waiter);
	return finish(store, &waiter, code, false);
}

int kyneta_store_ping(kyneta_store *store, struct kyneta_store_error *error)
{
	struct waiter waiter = {.error = error};
	int code = may_wait(store);

	if (code == 0)
		code = kyneta_store_send_ping(store, done, &waiter);
	return finish(store, &waiter, code, false);
}

int kyneta_store_close(kyneta_store *store, struct kyneta_store_error *error)
{
	struct waiter waiter = {.error = error};
	int code = may_wait(store);

	if (code == 0 && store->close_done)
		return 0;
	if (code == 0)
		code = kyneta_store_send_close(store, done, &waiter);
	return finish(store, &waiter, code, false);
}

/* ---- waiting for other things ---- */

static bool is_idle(const kyneta_store *store)
{
	return store->queue.waiting == 0 && stream_all_paused(store);
}

int kyneta_store_flush(kyneta_store *store, struct kyneta_store_error *error)
{
	struct waiter waiter = {.error = error};
	int code = may_wait(store);

	if (code != 0)
		return finish(store, &waiter, code, false);
	kyneta_store_push(store);
	while (!is_idle(store)) {
		wait_for_events(store, -1);
		handle_turn(store);
	}
	if (store->connection.phase == PHASE_CLOSED && !store->close_done)
		return finish(store, &waiter, store->ended_code, false);
	return 0;
}

/* Turns until hello was answered or refused, or the time is up. */
static int wait_for_hello(kyneta_store *store, struct kyneta_store_error *error)
{
	int limit_ms = store->options.deadline_ms;
	uint64_t end_ns = handle_clock_ns() + (limit_ms < 0 ? 0 : (uint64_t)limit_ms * NS_PER_MS), now_ns;

	handle_turn(store);
	while (store->connection.phase != PHASE_READY) {
		if (store->connection.phase == PHASE_CLOSED) {
			if (error != NULL)
				*error = store->last_failure;
			return store->ended_code;
		}
		now_ns = handle_clock_ns();
		if (limit_ms >= 0 && now_ns >= end_ns)
			return failure_fill(error, KYNETA_STORE_EDEADLINE, KYNETA_STORE_NO_OUTCOME,
					    "not connected in %d ms; %s", limit_ms,
					    store->last_failure.code != 0 ? store->last_failure.message
									  : "hello was not answered");
		wait_for_events(store, limit_ms < 0 ? -1 : (int)((end_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS));
		handle_turn(store);
	}
	return 0;
}

int kyneta_store_open(const struct kyneta_store_options *options, kyneta_store **store,
		      struct kyneta_store_error *error)
{
	kyneta_store *opened = NULL;
	int code;

	if (store == NULL)
		return failure_fill(error, KYNETA_STORE_EMISUSE, KYNETA_STORE_NO_OUTCOME, "store must not be NULL");
	code = kyneta_store_new(options, &opened, error);
	if (code != 0)
		return code;
	code = wait_for_hello(opened, error);
	if (code != 0) {
		kyneta_store_free(opened);
		return code;
	}
	*store = opened;
	return 0;
}
