/*
 * queue: the calls without an answer.
 *
 * One list in the order of the wire. `next` stands where this connection's writing stands: what is before it is written
 * and waits for its reply, what is behind it waits for its turn. A lost connection puts `next` back to the front, and
 * that is all that sending again takes, but for two things.
 *
 * A write that a draining daemon refused has used up its id. It needs a new one, and so a new place, behind everything
 * that has one. A write to the same document that was sent after it was refused too, whether its answer came or not,
 * and goes with it; so do reads of that document, and whatever waits for all earlier writes. Writes to other documents
 * keep their ids: nobody knows what became of them.
 *
 * Without a session nobody can ask what became of a write, so a write that was sent ends as unknown.
 *
 * The table finds the call of a reply: ids rise by one, so it is a chained table indexed by the id's low bits, one
 * entry per chain as long as replies keep up.
 */
#include <assert.h>
#include <stdlib.h>

#include "client/handle.h"
#include "protocol/frame.h"

#define TABLE_SIZE_LEAST 1024
#define TABLE_SIZE_MOST	 65536

bool queue_init(struct queue *queue)
{
	memset(queue, 0, sizeof(*queue));
	TAILQ_INIT(&queue->calls);
	TAILQ_INIT(&queue->deadlines);
	TAILQ_INIT(&queue->ended);
	queue->next_id = HELLO_ID + 1;
	queue->table = calloc(TABLE_SIZE_LEAST, sizeof(*queue->table));
	queue->table_mask = TABLE_SIZE_LEAST - 1;
	return queue->table != NULL;
}

void queue_deinit(struct queue *queue)
{
	assert(TAILQ_EMPTY(&queue->calls) && TAILQ_EMPTY(&queue->ended));
	free(queue->table);
	queue->table = NULL;
}

/* ---- coming and going ---- */

void queue_enter(struct queue *queue, struct call *call)
{
	queue->bytes += call_size(call);
	if (call->stream == NULL)
		queue->waiting++;
	if (call->has_deadline)
		TAILQ_INSERT_TAIL(&queue->deadlines, call, deadline_link);
}

void queue_place(struct queue *queue, struct call *call)
{
	TAILQ_INSERT_TAIL(&queue->calls, call, link);
	if (queue->next == NULL)
		queue->next = call;
}

void queue_leave(struct queue *queue, struct call *call)
{
	queue->bytes -= call_size(call);
	if (call->has_deadline)
		TAILQ_REMOVE(&queue->deadlines, call, deadline_link);
	call->has_deadline = false;
}

static bool is_counted_write(const struct call *call)
{
	return call->on_wire && !call->abandoned && operation_is_write(call->operation);
}

/* The oldest write is not that any more: find the next one. Every call is passed once in its life. */
static void advance_oldest_write(struct queue *queue, const struct call *call)
{
	struct call *later;

	if (queue->oldest_write != call)
		return;
	later = TAILQ_NEXT(queue->oldest_write, link);
	while (later != NULL && later != queue->next && !is_counted_write(later))
		later = TAILQ_NEXT(later, link);
	queue->oldest_write = later == queue->next ? NULL : later;
}

static void table_insert(struct queue *queue, struct call *call)
{
	struct call **chain = &queue->table[call->id & queue->table_mask];

	call->table_next = *chain;
	*chain = call;
}

/* Its reply is there, or does not matter any more. */
static void leave_wire(struct queue *queue, struct call *call)
{
	struct call **link = &queue->table[call->id & queue->table_mask];

	while (*link != call)
		link = &(*link)->table_next;
	*link = call->table_next;
	advance_oldest_write(queue, call);
	call->on_wire = false;
	queue->on_wire--;
	queue->held_back = false;
}

void queue_remove(struct queue *queue, struct call *call)
{
	if (call->on_wire)
		leave_wire(queue, call);
	if (queue->next == call) {
		assert(queue->next_offset == 0);
		queue->next = TAILQ_NEXT(call, link);
	}
	TAILQ_REMOVE(&queue->calls, call, link);
	queue_leave(queue, call);
	queue->held_back = false;
}

bool queue_is_written(const struct queue *queue, const struct call *call)
{
	return call->on_wire || (queue->next == call && queue->next_offset > 0);
}

void queue_abandon(struct queue *queue, struct call *call)
{
	if (call->ended_code != 0) { /* it has left the queue, and its end is not told yet */
		call->abandoned = true;
		return;
	}
	if (!queue_is_written(queue, call)) {
		queue_remove(queue, call);
		free(call);
		return;
	}
	if (call->has_deadline)
		TAILQ_REMOVE(&queue->deadlines, call, deadline_link);
	call->has_deadline = false;
	call->abandoned = true;
	call->stream = NULL;
	advance_oldest_write(queue, call);
	queue->held_back = false;
}

struct call *queue_find(const struct queue *queue, uint64_t id)
{
	struct call *call = queue->table[id & queue->table_mask];

	while (call != NULL && call->id != id)
		call = call->table_next;
	return call;
}

void queue_postpone(struct queue *queue, struct call *call)
{
	leave_wire(queue, call);
	if (operation_is_write(call->operation))
		queue->postponed = true;
}

void queue_again(struct queue *queue, struct call *call)
{
	queue_postpone(queue, call);
	call->again = true;
	call->touched = false;
}

void queue_end(struct queue *queue, struct call *call, int code, int outcome, const char *reason)
{
	queue_remove(queue, call);
	call->ended_code = code;
	call->ended_outcome = outcome;
	call->ended_reason = reason;
	TAILQ_INSERT_TAIL(&queue->ended, call, link);
}

static bool has_document(const struct call *call)
{
	return operation_is_write(call->operation) || call->operation == OPERATION_LOAD_ALL ||
	       call->operation == OPERATION_CURRENT_META;
}

static bool waits_for_all_writes(const struct call *call)
{
	return call->operation == OPERATION_LIST_DOC_IDS || call->operation == OPERATION_SYNC ||
	       call->operation == OPERATION_CLOSE;
}

static bool must_see(const struct call *call, const struct call *write)
{
	return waits_for_all_writes(call) ||
	       (has_document(call) && span_equal(call_document(write), call_document(call)));
}

bool queue_awaits_write(const struct queue *queue, const struct call *call)
{
	const struct call *earlier;

	if (!queue->postponed || operation_is_write(call->operation))
		return false;
	for (earlier = TAILQ_FIRST(&queue->calls); earlier != call; earlier = TAILQ_NEXT(earlier, link)) {
		if (operation_is_write(earlier->operation) && !earlier->on_wire && must_see(call, earlier))
			return true;
	}
	return false;
}

/* ---- writing ---- */

static void give_id(struct queue *queue, struct call *call)
{
	call->id = queue->next_id++;
	for (unsigned i = 0; i < 8; i++)
		call->frame[CALL_ID_AT + i] = (uint8_t)(call->id >> (56 - 8 * i));
}

/*
 * A write to a latched document. If its id is not above `through`, it may have been carried out on an earlier
 * connection: the daemon, asked again, tells, and does nothing. If it is above, or has none yet, it was not carried
 * out, and must not be.
 */
static int latched(const kyneta_store *store, const struct call *call)
{
	if (!operation_is_write(call->operation) || !latch_any(&store->latches))
		return 0;
	if (call->id != 0 && call->id <= store->connection.through)
		return 0;
	return latch_find(&store->latches, call);
}

/* Calls that must not be sent end here. */
static bool refuse(kyneta_store *store, struct call *call)
{
	int code = latched(store, call);

	if (code != 0) {
		queue_end(&store->queue, call, code, KYNETA_STORE_NOT_APPLIED,
			  "an earlier write to the document failed; its writes are taken again after a resume");
		return true;
	}
	if (call->operation == OPERATION_SYNC && store->writes_lost) {
		store->writes_lost = false;
		queue_end(&store->queue, call, KYNETA_STORE_EIO_ERROR, KYNETA_STORE_NO_OUTCOME,
			  "writes that were acknowledged as committed, not as synced, were lost with the power");
		return true;
	}

	if (call->frame_size - FRAME_HEADER_SIZE > store->connection.frame_limit) {
		queue_end(&store->queue, call, KYNETA_STORE_EFRAME_TOO_LARGE, call_outcome(call),
			  "the request is larger than the daemon's limit of a frame");
		return true;
	}
	return false;
}

/*
 * The daemon remembers failed writes of a session only among its last in-flight-limit ids. So a write is not sent that
 * far ahead of one that is unanswered: its answer could be lost, and then its fate forgotten.
 */
static bool too_far_ahead(const struct call *call, uint64_t oldest_write_id, uint64_t limit)
{
	return operation_is_write(call->operation) && call->id - oldest_write_id >= limit;
}

size_t queue_gather(kyneta_store *store, struct iovec *vectors)
{
	struct queue *queue = &store->queue;
	uint64_t limit = store->connection.in_flight_limit;
	uint64_t oldest_write_id = queue->oldest_write != NULL ? queue->oldest_write->id : 0;
	size_t offset = queue->next_offset, count = 0;
	struct call *call = queue->next, *following;

	for (; call != NULL && count < SEND_VECTORS && queue->on_wire + count < limit; call = following) {
		following = TAILQ_NEXT(call, link);
		if (offset == 0 && refuse(store, call))
			continue;
		if (call->id == 0)
			give_id(queue, call);
		if (oldest_write_id == 0 && operation_is_write(call->operation))
			oldest_write_id = call->id;
		if (too_far_ahead(call, oldest_write_id, limit)) {
			queue->held_back = count == 0;
			break;
		}
		vectors[count++] = (struct iovec){call->frame + offset, call->frame_size - offset};
		offset = 0;
	}
	return count;
}

/* The first byte of a call is written. */
static void touch(kyneta_store *store, struct call *call)
{
	if (call->touched)
		store->resent++;
	call->touched = true;
}

void queue_written(kyneta_store *store, size_t size)
{
	struct queue *queue = &store->queue;
	struct call *call;
	size_t left;

	while (size > 0) {
		call = queue->next;
		if (queue->next_offset == 0)
			touch(store, call);
		left = call->frame_size - queue->next_offset;
		if (size < left) {
			queue->next_offset += size;
			return;
		}
		size -= left;
		queue->next_offset = 0;
		queue->next = TAILQ_NEXT(call, link);
		call->on_wire = true;
		queue->on_wire++;
		table_insert(queue, call);
		if (queue->oldest_write == NULL && is_counted_write(call))
			queue->oldest_write = call;
	}
}

/* ---- connections come and go ---- */

void queue_connected(struct queue *queue, uint64_t in_flight_limit)
{
	size_t size = TABLE_SIZE_LEAST;
	struct call **table;

	assert(queue->on_wire == 0);
	while (size < in_flight_limit && size < TABLE_SIZE_MOST)
		size *= 2;
	if (size <= queue->table_mask + 1)
		return;
	table = calloc(size, sizeof(*table));
	if (table == NULL)
		return; /* the chains are longer, that is all */
	free(queue->table);
	queue->table = table;
	queue->table_mask = size - 1;
}

static void clear_table(struct queue *queue)
{
	memset(queue->table, 0, (queue->table_mask + 1) * sizeof(*queue->table));
}

void queue_disconnect(struct queue *queue)
{
	struct call *call, *following;

	clear_table(queue);
	queue->on_wire = 0;
	queue->next_offset = 0;
	queue->oldest_write = NULL;
	queue->held_back = false;
	queue->postponed = false;
	for (call = TAILQ_FIRST(&queue->calls); call != NULL; call = following) {
		following = TAILQ_NEXT(call, link);
		call->on_wire = false;
		if (call->abandoned) {
			queue_remove(queue, call);
			free(call);
		}
	}
	queue->next = TAILQ_FIRST(&queue->calls);
}

static struct call **bucket_of(struct queue *queue, struct span document)
{
	uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

	for (size_t i = 0; i < document.size; i++)
		hash = (hash ^ document.data[i]) * UINT64_C(1099511628211);
	return &queue->table[(hash ^ hash >> 32) & queue->table_mask];
}

/* Was a write to the call's document moved? Between two connections the table is free to answer that. */
static bool follows_moved_write(struct queue *queue, const struct call *call)
{
	struct call *moved;

	if (!has_document(call))
		return false;
	moved = *bucket_of(queue, call_document(call));
	while (moved != NULL && !span_equal(call_document(moved), call_document(call)))
		moved = moved->table_next;
	return moved != NULL;
}

/* What was refused by a draining daemon, and what must not overtake it, goes behind everything that keeps its id. */
static void move_refused(struct queue *queue)
{
	struct call_list moved = TAILQ_HEAD_INITIALIZER(moved);
	struct call *call, *following, **bucket;
	bool any_write = false;

	for (call = TAILQ_FIRST(&queue->calls); call != NULL && call->id != 0; call = following) {
		following = TAILQ_NEXT(call, link);
		if (!call->again && !(any_write && waits_for_all_writes(call)) && !follows_moved_write(queue, call))
			continue;
		TAILQ_REMOVE(&queue->calls, call, link);
		TAILQ_INSERT_TAIL(&moved, call, link);
		call->id = 0;
		call->again = false;
		call->touched = false;
		if (!operation_is_write(call->operation))
			continue;
		any_write = true;
		bucket = bucket_of(queue, call_document(call));
		call->table_next = *bucket;
		*bucket = call;
	}
	/* @call is now the first that never had an id. */
	while ((following = TAILQ_FIRST(&moved)) != NULL) {
		TAILQ_REMOVE(&moved, following, link);
		if (call != NULL)
			TAILQ_INSERT_BEFORE(call, following, link);
		else
			TAILQ_INSERT_TAIL(&queue->calls, following, link);
	}
	clear_table(queue);
}

void queue_end_sent_writes(kyneta_store *store, const char *reason)
{
	struct call *call, *following;

	for (call = TAILQ_FIRST(&store->queue.calls); call != NULL; call = following) {
		following = TAILQ_NEXT(call, link);
		if (!operation_is_write(call->operation) || !call->touched)
			continue;
		latch_add(&store->latches, call, KYNETA_STORE_ESOCKET);
		queue_end(&store->queue, call, KYNETA_STORE_ESOCKET, KYNETA_STORE_UNKNOWN, reason);
	}
}

void queue_lost(kyneta_store *store)
{
	struct queue *queue = &store->queue;

	queue_disconnect(queue);
	move_refused(queue);
	queue->next = TAILQ_FIRST(&queue->calls);
	if (store->options.no_session)
		queue_end_sent_writes(store, "the connection was lost, and without a session nobody can ask what "
					     "became of the write");
}
