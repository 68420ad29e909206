/*
 * stream: load and list, page by page.
 *
 * A page is asked for as soon as the one before it is there, before that one is handed out: the daemon reads while the
 * consumer works. Never more than one page is ahead. In the steady state a page is handed out from the receive buffer,
 * without a copy; only what must wait is kept in memory of its own:
 *
 * At the start a load holds its pages back, up to load_hold_bytes. As long as nothing was handed out, a document that
 * is replaced or deleted meanwhile (`changed`) is simply read again from its start. A listing never changes like that.
 *
 * A paused stream keeps the rest of its page and the one that was already on its way, and asks for nothing.
 *
 * A cursor is all that the daemon needs to go on, and it is here: so a lost connection costs a stream nothing.
 */
#include <stdlib.h>

#include "client/handle.h"
#include "protocol/utf8.h"

struct held_page {
	STAILQ_ENTRY(held_page) link;
	struct record_iterator items; /* or ids: packed values, and how many */
	size_t size;
	uint8_t bytes[];
};

STAILQ_HEAD(held_pages, held_page);

struct kyneta_store_stream {
	LIST_ENTRY(kyneta_store_stream) link;
	kyneta_store *store;
	uint8_t operation; /* load_all or list_doc_ids */
	kyneta_store_record_fn each_record;
	kyneta_store_id_fn each_id;
	kyneta_store_done_fn done;
	void *context;
	struct call *call; /* the page that was asked for; NULL: none */
	struct buffer cursor;
	struct held_pages held;
	size_t held_bytes;
	bool last;	/* the last page is there: nothing is left to ask for */
	bool releasing; /* the hold is over */
	bool handed;	/* something was handed out */
	bool paused;
	bool stopped; /* the consumer wants no more */
	bool due;     /* was continued */
	bool failed;  /* with error, once what is held is handed out */
	struct kyneta_store_position at;
	struct kyneta_store_error error;
	size_t name_size; /* the document or the prefix */
	uint8_t name[];
};

/* ---- beginning and end ---- */

static void drop_held(kyneta_store_stream *stream)
{
	struct held_page *page;

	while ((page = STAILQ_FIRST(&stream->held)) != NULL) {
		STAILQ_REMOVE_HEAD(&stream->held, link);
		free(page);
	}
	stream->held_bytes = 0;
}

static void stream_free(kyneta_store_stream *stream)
{
	drop_held(stream);
	buffer_free(&stream->cursor);
	free(stream);
}

/* Done is called, the stream is gone. */
static void end(kyneta_store *store, kyneta_store_stream *stream, const struct kyneta_store_error *error)
{
	struct kyneta_store_answer answer = {.error = error, .at = stream->at};

	LIST_REMOVE(stream, link);
	store->streams_open--;
	if (stream->call != NULL)
		queue_abandon(&store->queue, stream->call);
	if (stream->done != NULL) {
		store->in_callback = true;
		stream->done(stream->context, &answer);
		store->in_callback = false;
	}
	stream_free(stream);
}

static void fail(kyneta_store_stream *stream, const struct kyneta_store_error *error)
{
	stream->failed = true;
	stream->last = true;
	stream->error = *error;
	if (!stream->handed)
		drop_held(stream);
}

/* End it if nothing more will come of it. Returns true if it is gone. */
static bool end_if_over(kyneta_store *store, kyneta_store_stream *stream)
{
	bool is_over = stream->last && STAILQ_EMPTY(&stream->held) && (!stream->paused || stream->failed);

	if (!stream->stopped && !is_over)
		return false;
	end(store, stream, stream->failed && !stream->stopped ? &stream->error : NULL);
	return true;
}

void stream_end_all(kyneta_store *store, const struct kyneta_store_error *error)
{
	kyneta_store_stream *stream;

	while ((stream = LIST_FIRST(&store->streams)) != NULL) {
		stream->call = NULL;
		end(store, stream, error);
	}
}

bool stream_all_paused(const kyneta_store *store)
{
	const kyneta_store_stream *stream;

	LIST_FOREACH(stream, &store->streams, link)
	{
		if (!stream->paused)
			return false;
	}
	return true;
}

/* ---- asking ---- */

static void out_of_memory(kyneta_store_stream *stream)
{
	struct kyneta_store_error error;

	failure_fill(&error, KYNETA_STORE_EMEMORY, KYNETA_STORE_NO_OUTCOME, "no memory for a page");
	fail(stream, &error);
}

/* Ask for the next page, unless one is on its way already. It is queued, not sent. */
static void ask(kyneta_store *store, kyneta_store_stream *stream)
{
	struct request request = {
	    .operation = stream->operation,
	    .has_cursor = stream->cursor.size > 0,
	    .cursor = buffer_span(&stream->cursor),
	    .limit = store->options.page_bytes,
	    .durability = DURABILITY_DEFAULT,
	};

	if (stream->call != NULL || stream->last || stream->stopped)
		return;
	if (stream->operation == OPERATION_LOAD_ALL)
		request.document = span_of(stream->name, stream->name_size);
	else
		request.prefix = span_of(stream->name, stream->name_size);
	stream->call = calls_send_page(store, stream, &request);
	if (stream->call == NULL)
		out_of_memory(stream);
}

/* ---- handing out ---- */

static bool give_record(kyneta_store_stream *stream, struct record_iterator *items)
{
	struct kyneta_store_record public;
	struct record record;

	if (!record_list_next(items, &record)) {
		items->left = 0;
		return true;
	}
	public = answer_record(&record);
	return stream->each_record == NULL || stream->each_record(stream->context, &public);
}

static bool give_id(kyneta_store_stream *stream, struct record_iterator *items)
{
	struct span id;

	if (!unpack_str(&items->unpack, &id)) {
		items->left = 0;
		return true;
	}
	items->left--;
	return stream->each_id == NULL || stream->each_id(stream->context, (const char *)id.data, id.size);
}

/* Hand out a page until it ends, the stream is paused, or the consumer wants no more. */
static void hand_out(kyneta_store *store, kyneta_store_stream *stream, struct record_iterator *items)
{
	bool wants_more;

	store->in_callback = true;
	while (items->left > 0 && !stream->paused && !stream->stopped) {
		stream->handed = true;
		wants_more =
		    stream->operation == OPERATION_LOAD_ALL ? give_record(stream, items) : give_id(stream, items);
		stream->stopped = !wants_more;
	}
	store->in_callback = false;
}

/* Keep what is left of a page in memory of its own. */
static void hold(kyneta_store_stream *stream, const struct record_iterator *items)
{
	size_t size = (size_t)(items->unpack.end - items->unpack.at);
	struct held_page *page = malloc(sizeof(*page) + size);

	if (page == NULL) {
		out_of_memory(stream);
		return;
	}
	if (size > 0)
		memcpy(page->bytes, items->unpack.at, size);
	page->size = size;
	page->items = (struct record_iterator){unpack_start(span_of(page->bytes, size)), items->left};
	STAILQ_INSERT_TAIL(&stream->held, page, link);
	stream->held_bytes += size;
}

/* Hand out what is held, as far as the consumer takes it. With the last held page in hand the next one is asked for. */
static void hand_out_held(kyneta_store *store, kyneta_store_stream *stream)
{
	struct held_page *page;

	while (!stream->paused && !stream->stopped && (page = STAILQ_FIRST(&stream->held)) != NULL) {
		if (STAILQ_NEXT(page, link) == NULL && stream->call == NULL) {
			ask(store, stream);
			connection_send(store);
			if (STAILQ_EMPTY(&stream->held))
				return; /* failed, and nothing of it was handed out: nothing of it shall be */
		}
		hand_out(store, stream, &page->items);
		if (page->items.left > 0)
			return;
		STAILQ_REMOVE_HEAD(&stream->held, link);
		stream->held_bytes -= page->size;
		free(page);
	}
}

/* ---- pages ---- */

/* The page's items, without the rest of the reply. */
static struct record_iterator page_items(const kyneta_store_stream *stream, const struct reply *reply)
{
	struct record_iterator items;
	struct unpack rest;

	if (stream->operation == OPERATION_LOAD_ALL)
		return record_list_start(&reply->records);
	items = (struct record_iterator){reply->documents, reply->documents_count};
	rest = reply->documents;
	for (uint32_t i = 0; i < items.left; i++) {
		if (!unpack_skip(&rest))
			break;
	}
	items.unpack.end = rest.at;
	return items;
}

static bool keep_cursor(kyneta_store_stream *stream, const struct reply *reply)
{
	buffer_reset(&stream->cursor);
	stream->last = !reply->has_cursor || reply->cursor.size == 0;
	if (!stream->last)
		buffer_append(&stream->cursor, reply->cursor.data, reply->cursor.size);
	return !stream->cursor.failed;
}

/* Should this page wait, because a change of the document could still go unnoticed? */
static bool holds_back(const kyneta_store *store, kyneta_store_stream *stream, const struct record_iterator *items)
{
	size_t size = (size_t)(items->unpack.end - items->unpack.at);

	if (stream->operation == OPERATION_LOAD_ALL && !stream->releasing && !stream->last &&
	    stream->held_bytes + size < store->options.load_hold_bytes)
		return true;
	stream->releasing = true;
	return false;
}

void stream_page(kyneta_store *store, kyneta_store_stream *stream, const struct reply *reply)
{
	struct record_iterator items = page_items(stream, reply);
	bool is_held;

	stream->call = NULL;
	stream->at.generation = reply->at.generation;
	stream->at.next = reply->at.next;
	if (!keep_cursor(stream, reply)) {
		out_of_memory(stream);
		end_if_over(store, stream);
		return;
	}
	is_held = holds_back(store, stream, &items);
	if (!stream->paused) {
		ask(store, stream);
		connection_send(store);
	}
	if (stream->failed)
		items.left = 0;
	if (!is_held) {
		hand_out_held(store, stream);
		if (STAILQ_EMPTY(&stream->held))
			hand_out(store, stream, &items);
	}
	if (items.left > 0 && !stream->stopped)
		hold(stream, &items);
	end_if_over(store, stream);
}

/* The document is another one now: from the start, as if nothing had been read. */
static void restart(kyneta_store *store, kyneta_store_stream *stream)
{
	store->restarts++;
	drop_held(stream);
	buffer_reset(&stream->cursor);
	stream->releasing = false;
	if (!stream->paused)
		ask(store, stream);
}

void stream_error(kyneta_store *store, kyneta_store_stream *stream, const struct kyneta_store_error *error)
{
	struct kyneta_store_error restarted;

	stream->call = NULL;
	if (error->code != KYNETA_STORE_ECHANGED || stream->operation != OPERATION_LOAD_ALL) {
		fail(stream, error);
	} else if (stream->handed) {
		failure_fill(
		    &restarted, KYNETA_STORE_ERESTARTED, KYNETA_STORE_NO_OUTCOME,
		    "the document was replaced or deleted while it was loaded; what was handed out is not it any more");
		fail(stream, &restarted);
	} else {
		restart(store, stream);
	}
	end_if_over(store, stream);
}

static void run_one(kyneta_store *store, kyneta_store_stream *stream)
{
	stream->due = false;
	if (stream->paused)
		return;
	if (stream->releasing)
		hand_out_held(store, stream);
	if (!stream->paused && (!stream->releasing || STAILQ_EMPTY(&stream->held)))
		ask(store, stream);
	end_if_over(store, stream);
}

void stream_run(kyneta_store *store)
{
	kyneta_store_stream *stream, *following;

	if (!store->streams_due)
		return;
	store->streams_due = false;
	for (stream = LIST_FIRST(&store->streams); stream != NULL; stream = following) {
		following = LIST_NEXT(stream, link);
		if (stream->due)
			run_one(store, stream);
	}
}

/* ---- the public side ---- */

void kyneta_store_stream_pause(kyneta_store_stream *stream)
{
	stream->paused = true;
}

void kyneta_store_stream_continue(kyneta_store_stream *stream)
{
	stream->paused = false;
	stream->due = true;
	stream->store->streams_due = true;
}

static int begin(kyneta_store *store, uint8_t operation, const void *name, size_t size, kyneta_store_stream **out)
{
	kyneta_store_stream *stream;
	int code = calls_usable(store);

	if (code != 0)
		return code;
	if ((name == NULL && size > 0) || !utf8_valid(span_of(name, size)))
		return KYNETA_STORE_EMISUSE;
	if (size > store->options.queue_limit_bytes)
		return KYNETA_STORE_EFRAME_TOO_LARGE;
	if (store->queue.bytes > 0 && store->queue.bytes + size > store->options.queue_limit_bytes)
		return KYNETA_STORE_EFULL;
	stream = calloc(1, sizeof(*stream) + size);
	if (stream == NULL)
		return KYNETA_STORE_EMEMORY;
	stream->store = store;
	stream->operation = operation;
	STAILQ_INIT(&stream->held);
	if (size > 0)
		memcpy(stream->name, name, size);
	stream->name_size = size;
	ask(store, stream);
	if (stream->failed) {
		stream_free(stream);
		return KYNETA_STORE_EMEMORY;
	}
	LIST_INSERT_HEAD(&store->streams, stream, link);
	store->streams_open++;
	*out = stream;
	return 0;
}

int kyneta_store_send_load_all(kyneta_store *store, const char *id, size_t id_size, kyneta_store_record_fn each,
			       kyneta_store_done_fn done, void *context, kyneta_store_stream **stream)
{
	kyneta_store_stream *begun = NULL;
	int code = begin(store, OPERATION_LOAD_ALL, id, id_size, &begun);

	if (code != 0)
		return code;
	begun->each_record = each;
	begun->done = done;
	begun->context = context;
	if (stream != NULL)
		*stream = begun;
	return 0;
}

int kyneta_store_send_list_doc_ids(kyneta_store *store, const char *prefix, size_t prefix_size, kyneta_store_id_fn each,
				   kyneta_store_done_fn done, void *context, kyneta_store_stream **stream)
{
	kyneta_store_stream *begun = NULL;
	int code = begin(store, OPERATION_LIST_DOC_IDS, prefix, prefix_size, &begun);

	if (code != 0)
		return code;
	begun->each_id = each;
	begun->done = done;
	begun->context = context;
	if (stream != NULL)
		*stream = begun;
	return 0;
}
