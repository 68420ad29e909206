/*
 * calls: the send_… functions. Arguments are checked, the request is encoded into one piece of memory together with its
 * call, and queued. Nothing is sent here.
 *
 * A frame is encoded with the largest id there is, which msgpack writes with eight bytes: the real one is put in its
 * place when the frame is first sent (queue.c).
 */
#include <assert.h>
#include <stdlib.h>

#include "client/handle.h"
#include "protocol/frame.h"
#include "protocol/utf8.h"

#define ID_TO_COME UINT64_MAX
#define ID_HEAD	   0xcf /* msgpack: uint of eight bytes */

/* Records are converted on the stack up to here. */
#define RECORDS_INLINE 8

/* Heads of a record and of a request, generously. */
#define RECORD_OVERHEAD	 32
#define REQUEST_OVERHEAD 64

int calls_usable(const kyneta_store *store)
{
	if (store == NULL)
		return KYNETA_STORE_EMISUSE;
	if (store->connection.phase == PHASE_CLOSED)
		return store->ended_code;
	return store->close_asked ? KYNETA_STORE_ECLOSED : 0;
}

/* ---- checking ---- */

static bool is_text(const void *data, size_t size)
{
	return (data != NULL || size == 0) && utf8_valid(span_of(data, size));
}

static bool is_record(const struct kyneta_store_record *record)
{
	if (record->type == KYNETA_STORE_META)
		return is_text(record->meta, record->meta_size);
	if (record->type != KYNETA_STORE_ENTRY ||
	    (record->kind != KYNETA_STORE_ENTIRETY && record->kind != KYNETA_STORE_SINCE) ||
	    (record->encoding != KYNETA_STORE_JSON && record->encoding != KYNETA_STORE_BINARY))
		return false;
	if (record->data_is_text ? !is_text(record->data, record->data_size)
				 : record->data == NULL && record->data_size > 0)
		return false;
	return is_text(record->version, record->version_size) &&
	       (!record->has_lineage || is_text(record->lineage, record->lineage_size));
}

/* Adds up sizes until it is clear that no frame can hold them. */
static bool add_size(size_t *total, size_t size)
{
	if (size > FRAME_REPLY_MAX || *total + size > FRAME_REPLY_MAX)
		return false;
	*total += size;
	return true;
}

static bool add_record_size(size_t *total, const struct kyneta_store_record *record)
{
	if (record->type == KYNETA_STORE_META)
		return add_size(total, record->meta_size + RECORD_OVERHEAD);
	return add_size(total, record->version_size) && add_size(total, record->data_size) &&
	       add_size(total, record->has_lineage ? record->lineage_size : 0) && add_size(total, RECORD_OVERHEAD);
}

/* What the request needs in the queue, before anything is spent on it. */
static int measure(const kyneta_store *store, size_t id_size, const struct kyneta_store_record *records, size_t count)
{
	size_t size = REQUEST_OVERHEAD + sizeof(struct call);
	bool fits = add_size(&size, id_size);

	for (size_t i = 0; fits && i < count; i++)
		fits = add_record_size(&size, &records[i]);
	if (!fits)
		return KYNETA_STORE_EFRAME_TOO_LARGE;
	/* An empty queue takes any request: waiting would not make more room. */
	if (store->queue.bytes > 0 && store->queue.bytes + size > store->options.queue_limit_bytes)
		return KYNETA_STORE_EFULL;
	return 0;
}

/* ---- encoding ---- */

static struct record to_record(const struct kyneta_store_record *public)
{
	struct record record = {.type = RECORD_META};

	if (public->type == KYNETA_STORE_META) {
		record.meta = span_of(public->meta, public->meta_size);
		return record;
	}
	record.type = RECORD_ENTRY;
	record.kind = (enum entry_kind) public->kind;
	record.encoding = (enum entry_encoding) public->encoding;
	record.version = span_of(public->version, public->version_size);
	record.data = span_of(public->data, public->data_size);
	record.data_is_text = public->data_is_text;
	record.has_lineage = public->has_lineage;
	if (public->has_lineage)
		record.lineage = span_of(public->lineage, public->lineage_size);
	return record;
}

/* Where a document's id is in the frame: the third element of those requests that have one. */
static void find_document(struct call *call)
{
	struct unpack unpack = unpack_start(span_of(call->frame, call->frame_size));
	struct span document;
	uint64_t operation;

	unpack.at += CALL_ID_AT + sizeof(uint64_t);
	if (!unpack_uint(&unpack, &operation) || !unpack_str(&unpack, &document))
		return;
	call->document_at = (size_t)(document.data - call->frame);
	call->document_size = (uint32_t)document.size;
}

static void trim_scratch(struct buffer *scratch)
{
	if (scratch->capacity > SCRATCH_KEEP)
		buffer_free(scratch);
}

/* The call of a request; NULL: no memory. It is in no list yet. */
static struct call *make_call(kyneta_store *store, struct request *request, const struct record *records, size_t count)
{
	struct buffer *scratch = &store->scratch;
	struct call *call = NULL;

	request->id = ID_TO_COME;
	buffer_reset(scratch);
	request_encode(scratch, request, records, count);
	if (!scratch->failed)
		call = malloc(sizeof(*call) + scratch->size);
	if (call == NULL) {
		buffer_free(scratch);
		return NULL;
	}
	memset(call, 0, sizeof(*call));
	call->operation = (uint8_t)request->operation;
	call->frame_size = scratch->size;
	memcpy(call->frame, scratch->data, scratch->size);
	assert(call->frame[CALL_ID_AT - 1] == ID_HEAD);
	trim_scratch(scratch);
	if (request->operation != OPERATION_LIST_DOC_IDS)
		find_document(call);
	call->epoch = store->queue.epoch;
	if (store->options.deadline_ms >= 0) {
		call->has_deadline = true;
		call->deadline_ns = handle_clock_ns() + (uint64_t)store->options.deadline_ms * UINT64_C(1000000);
	}
	return call;
}

struct call *calls_send_page(kyneta_store *store, kyneta_store_stream *stream, struct request *request)
{
	struct call *call = make_call(store, request, NULL, 0);

	if (call == NULL)
		return NULL;
	call->stream = stream;
	queue_enter(&store->queue, call);
	queue_place(&store->queue, call);
	return call;
}

static int submit(kyneta_store *store, struct request *request, const struct record *records, size_t count,
		  kyneta_store_done_fn done, void *context)
{
	struct call *call = make_call(store, request, records, count);

	if (call == NULL)
		return KYNETA_STORE_EMEMORY;
	call->done = done;
	call->context = context;
	queue_enter(&store->queue, call);
	queue_place(&store->queue, call);
	return 0;
}

static int submit_records(kyneta_store *store, struct request *request, const struct kyneta_store_record *records,
			  size_t count, kyneta_store_done_fn done, void *context)
{
	struct record room[RECORDS_INLINE] = {{0}}, *converted = room;
	int code;

	if (count > RECORDS_INLINE)
		converted = calloc(count, sizeof(*converted));
	if (converted == NULL)
		return KYNETA_STORE_EMEMORY;
	for (size_t i = 0; i < count; i++)
		converted[i] = to_record(&records[i]);
	code = submit(store, request, converted, count, done, context);
	if (converted != room)
		free(converted);
	return code;
}

/* ---- writes ---- */

static int set_conditions(const kyneta_store *store, struct request *request, const struct kyneta_store_write *write)
{
	int durability = write != NULL ? write->durability : KYNETA_STORE_DEFAULT;

	if (durability == KYNETA_STORE_DEFAULT)
		durability = store->options.durability;
	if (durability < KYNETA_STORE_DEFAULT || durability > KYNETA_STORE_SYNCED)
		return KYNETA_STORE_EMISUSE;
	request->durability = (enum durability)durability;
	if (write != NULL && write->has_expect) {
		request->has_expect = true;
		request->expect = (struct position){write->expect.generation, write->expect.next};
	}
	return 0;
}

static int send_write(kyneta_store *store, enum operation operation, struct span id,
		      const struct kyneta_store_record *records, size_t count, const struct kyneta_store_write *write,
		      kyneta_store_done_fn done, void *context)
{
	struct request request = {.operation = operation, .document = id};
	int code = calls_usable(store);

	if (code != 0)
		return code;
	if (!is_text(id.data, id.size) || (records == NULL && count > 0))
		return KYNETA_STORE_EMISUSE;
	code = measure(store, id.size, records, count);
	if (code != 0)
		return code;
	for (size_t i = 0; i < count; i++) {
		if (!is_record(&records[i]))
			return KYNETA_STORE_EMISUSE;
	}
	code = set_conditions(store, &request, write);
	if (code != 0)
		return code;
	return submit_records(store, &request, records, count, done, context);
}

int kyneta_store_send_append(kyneta_store *store, const char *id, size_t id_size,
			     const struct kyneta_store_record *records, size_t count,
			     const struct kyneta_store_write *write, kyneta_store_done_fn done, void *context)
{
	return send_write(store, OPERATION_APPEND, span_of(id, id_size), records, count, write, done, context);
}

int kyneta_store_send_replace(kyneta_store *store, const char *id, size_t id_size,
			      const struct kyneta_store_record *records, size_t count,
			      const struct kyneta_store_write *write, kyneta_store_done_fn done, void *context)
{
	return send_write(store, OPERATION_REPLACE, span_of(id, id_size), records, count, write, done, context);
}

int kyneta_store_send_delete(kyneta_store *store, const char *id, size_t id_size,
			     const struct kyneta_store_write *write, kyneta_store_done_fn done, void *context)
{
	return send_write(store, OPERATION_DELETE, span_of(id, id_size), NULL, 0, write, done, context);
}

/* ---- the others ---- */

int kyneta_store_send_current_meta(kyneta_store *store, const char *id, size_t id_size, kyneta_store_done_fn done,
				   void *context)
{
	struct request request = {.operation = OPERATION_CURRENT_META, .document = span_of(id, id_size)};
	int code = calls_usable(store);

	if (code != 0)
		return code;
	if (!is_text(id, id_size))
		return KYNETA_STORE_EMISUSE;
	code = measure(store, id_size, NULL, 0);
	if (code != 0)
		return code;
	return submit(store, &request, NULL, 0, done, context);
}

/* Requests without arguments. */
static int send_plain(kyneta_store *store, enum operation operation, kyneta_store_done_fn done, void *context)
{
	struct request request = {.operation = operation};
	int code = calls_usable(store);

	if (code != 0)
		return code;
	code = measure(store, 0, NULL, 0);
	if (code != 0)
		return code;
	return submit(store, &request, NULL, 0, done, context);
}

int kyneta_store_send_sync(kyneta_store *store, kyneta_store_done_fn done, void *context)
{
	return send_plain(store, OPERATION_SYNC, done, context);
}

int kyneta_store_send_ping(kyneta_store *store, kyneta_store_done_fn done, void *context)
{
	return send_plain(store, OPERATION_PING, done, context);
}

int calls_send_stats(kyneta_store *store, kyneta_store_done_fn done, void *context)
{
	return send_plain(store, OPERATION_STATS, done, context);
}

int kyneta_store_send_resume(kyneta_store *store, kyneta_store_done_fn done, void *context)
{
	int code = send_plain(store, OPERATION_RESUME, done, context);

	if (code == 0)
		store->queue.epoch++;
	return code;
}

/*
 * Close waits in a list of its own until everything else is answered. It would be correct for the daemon to see it
 * right behind the rest; but it ends the session, and if then the connection were lost with the answers on their way,
 * nobody could tell any more what became of those writes.
 */
int kyneta_store_send_close(kyneta_store *store, kyneta_store_done_fn done, void *context)
{
	struct request request = {.operation = OPERATION_CLOSE};
	struct call *call;

	if (store == NULL)
		return KYNETA_STORE_EMISUSE;
	if (store->connection.phase == PHASE_CLOSED && !store->close_done)
		return store->ended_code;
	call = make_call(store, &request, NULL, 0);
	if (call == NULL)
		return KYNETA_STORE_EMEMORY;
	call->done = done;
	call->context = context;
	queue_enter(&store->queue, call);
	store->close_asked = true;
	if (store->close_done) { /* already closed: well done again */
		queue_leave(&store->queue, call);
		TAILQ_INSERT_TAIL(&store->queue.ended, call, link);
	} else {
		TAILQ_INSERT_TAIL(&store->closing, call, link);
	}
	return 0;
}
