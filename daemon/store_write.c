/* store_write: append, replace and delete, and the rules that each of them keeps (store.h). */
#include "daemon/grant.h"
#include "daemon/log.h"
#include "daemon/row.h"
#include "daemon/store.h"

#include <stdio.h>
#include <stdlib.h>

/* The job is refused by a rule: nothing was changed, the batch goes on. */
static int refuse(struct job *job, int code, const char *message)
{
	job_fail(job, code, OUTCOME_NOT_APPLIED, message);
	return 0;
}

/* The same with a text that was put together in @text, which is released. */
static int refuse_with(struct job *job, int code, struct buffer *text)
{
	job_fail_text(job, code, OUTCOME_NOT_APPLIED, text->failed ? SPAN_NONE : buffer_span(text));
	buffer_free(text);
	return 0;
}

static int read_generation(struct stores *stores, const struct engine_tables *tables, struct span id,
			   struct document_state *state, struct failure *failure)
{
	struct engine *engine = stores->engine;
	bool found;
	int code;

	own_key_generation(&stores->key, tables, id);
	buffer_reset(&stores->meta);
	if (stores->key.failed)
		return failure_no_memory(failure);
	code = engine->class->get_own(engine, buffer_span(&stores->key), &found, &stores->meta, failure);
	if (code != 0)
		return code;
	state->own_generation = found;
	state->generation = found ? own_number(buffer_span(&stores->meta)) : 0;
	if (state->generation < stores->floor_pending)
		state->generation = stores->floor_pending;
	return 0;
}

/* A document's state, remembered or read. The state read is the committed one: nobody has changed the document in this
 * batch. */
static int document_get(struct stores *stores, struct store *store, struct span id, struct document **document,
			struct failure *failure)
{
	const struct engine_tables *tables = store_tables(store);
	struct document_state state = {0};
	struct engine *engine = stores->engine;
	int code;

	*document = document_find(&stores->documents, store, id);
	if (*document != NULL)
		return 0;
	code = read_generation(stores, tables, id, &state, failure);
	if (code != 0)
		return code;
	if (tables->layout != LAYOUT_NONE) {
		bool found;

		buffer_reset(&stores->meta);
		code = engine->class->get_document(engine, tables, id, &found, &stores->meta, &state.next, failure);
		if (code != 0)
			return code;
		if (stores->meta.failed)
			return failure_no_memory(failure);
		if (found) {
			state.meta = meta_text_new(buffer_span(&stores->meta));
			if (state.meta == NULL)
				return failure_no_memory(failure);
		}
	}
	*document = document_add(&stores->documents, store, id, state);
	return *document == NULL ? failure_no_memory(failure) : 0;
}

int store_position(struct stores *stores, struct job *job, struct position *at, struct failure *failure)
{
	struct document *document;
	int code = document_get(stores, job->store, job->request.document, &document, failure);

	if (code == 0)
		*at = (struct position){document->state.generation, document->state.next};
	return code;
}

/* The layout that this request's metas must have: the store's, or what a new one gets. LAYOUT_NONE: the first meta
 * decides. */
static enum layout wanted_layout(const struct store *store)
{
	const struct engine_tables *tables = store_tables(store);

	if (tables->layout != LAYOUT_NONE)
		return tables->layout;
	if (tables->layout_forced != LAYOUT_NONE)
		return tables->layout_forced;
	if (store->names.layout != 0)
		return (enum layout)store->names.layout;
	return store->names.store.size > 0 ? LAYOUT_2 : LAYOUT_NONE;
}

struct metas {
	struct meta existing, previous, current;
	bool has_existing, has_previous;
	enum layout layout;
};

static int check_layout(struct job *job, struct metas *metas)
{
	bool forced = store_tables(job->store)->layout_forced != LAYOUT_NONE;
	char text[256];

	if (metas->layout == LAYOUT_NONE)
		metas->layout = metas->current.layout;
	if (metas->current.layout == metas->layout)
		return 0;
	snprintf(
	    text, sizeof(text),
	    forced ? "the metadata has the key %s, but with these names, beside what is there, the store can only get "
		     "layout %d, whose key is %s; for layout 2, name each of its tables"
		   : "the metadata has the key %s, but this store has layout %d, whose key is %s; migrate the store "
		     "(or the client) first",
	    meta_key(metas->current.layout), (int)metas->layout, meta_key(metas->layout));
	refuse(job, ERROR_BAD_META, text);
	return -1;
}

static int check_same(struct job *job, const struct metas *metas, const struct meta *before, bool within_batch)
{
	enum meta_difference difference = meta_compare(before, &metas->current);
	struct buffer text = BUFFER_EMPTY;

	if (difference == META_SAME)
		return 0;
	meta_mismatch_text(&text, difference, before, &metas->current, within_batch, metas->layout);
	refuse_with(job, difference == META_REPLICA_TYPE ? ERROR_REPLICA_TYPE_MISMATCH : ERROR_SYNC_MODE_MISMATCH,
		    &text);
	return -1;
}

/* 0: every meta of the request is fine, *last is the last one's text (SPAN_NONE: there is none); -1: the job was
 * refused. */
static int check_metas(struct job *job, const struct document_state *state, struct span *last, enum layout *layout)
{
	struct record_iterator iterator = record_list_start(&job->request.records);
	struct metas metas;
	struct record record;
	const char *reason;

	*last = SPAN_NONE;
	*layout = wanted_layout(job->store);
	if (job->request.records.metas == 0)
		return 0;
	metas = (struct metas){.layout = *layout};
	while (record_list_next(&iterator, &record)) {
		if (record.type != RECORD_META)
			continue;
		if (meta_read(record.meta, &metas.current, &reason) != 0) {
			char text[256];

			snprintf(text, sizeof(text), "the metadata is refused: %s", reason);
			refuse(job, ERROR_BAD_META, text);
			return -1;
		}
		if (check_layout(job, &metas) != 0)
			return -1;
		/* A stored meta that cannot be read (written by another program) is no reason to refuse a good one. */
		if (!metas.has_existing && !metas.has_previous && state->meta != NULL)
			metas.has_existing = meta_read(meta_text_span(state->meta), &metas.existing, &reason) == 0;
		if (metas.has_existing && check_same(job, &metas, &metas.existing, false) != 0)
			return -1;
		if (metas.has_previous && check_same(job, &metas, &metas.previous, true) != 0)
			return -1;
		metas.previous = metas.current;
		metas.has_previous = true;
		*last = record.meta;
	}
	*layout = metas.layout;
	return 0;
}

static int refuse_entry_first(struct job *job)
{
	struct span id = job->request.document;
	struct buffer text = BUFFER_EMPTY;
	static const char before[] = "Store: first record for doc '", after[] = "' must be meta, got entry";

	buffer_append(&text, before, sizeof(before) - 1);
	buffer_append(&text, id.data, id.size);
	buffer_append(&text, after, sizeof(after) - 1);
	return refuse_with(job, ERROR_ENTRY_BEFORE_META, &text);
}

/*
 * The last checks before anything is changed: may the store be made with this layout, and does it hold that much more?
 * 0, or an engine's failure; the job may be refused then.
 */
static int check_room(struct stores *stores, struct job *job, const struct document *document, struct span last_meta,
		      enum layout layout, struct failure *failure)
{
	if (!engine_tables_exist(store_tables(job->store)) && !grant_allows(job->grant, layout, RIGHT_CREATE)) {
		job->refusal = REFUSAL_DENIED;
		return refuse(job, ERROR_DENIED,
			      "[create] and [store] do not let this user make a store of this layout");
	}
	if (!usage_concerns(&job->store->usage))
		return 0;
	return usage_charge(stores, job, document, last_meta, layout, failure);
}

/* A new store gets its tables, in this batch's transaction. */
static int make_store(struct stores *stores, struct store *store, enum layout layout, struct failure *failure)
{
	const struct engine_tables *tables = store_tables(store), *created;
	int code;

	if (tables->layout != LAYOUT_NONE)
		return 0;
	code = stores->engine->class->create(stores->engine, tables, layout, &created, failure);
	if (code != 0)
		return code;
	store->created = created;
	log_write(LOG_NOTICE, "store %s: made, layout %d", created->description, (int)layout);
	return created->is_default ? 0 : stores_write_pairing(stores, store, failure);
}

static int put_records(struct stores *stores, struct job *job, struct document *document, struct span last_meta,
		       struct failure *failure)
{
	struct record_iterator iterator = record_list_start(&job->request.records);
	const struct engine_tables *tables = store_tables(job->store);
	struct engine *engine = stores->engine;
	struct record record;
	int code;

	while (record_list_next(&iterator, &record)) {
		struct engine_row row;

		if (row_encode(&record, &stores->scratch, &row) != 0)
			return failure_no_memory(failure);
		code =
		    engine->class->put_row(engine, tables, job->request.document, document->state.next, &row, failure);
		if (code != 0)
			return code;
		document->state.next++;
	}
	if (stores->scratch.capacity > (1u << 20))
		buffer_free(&stores->scratch);
	if (last_meta.data == NULL)
		return 0;
	if (!document_set_meta(document, last_meta))
		return failure_no_memory(failure);
	return engine->class->put_meta(engine, tables, job->request.document, last_meta, failure);
}

/* The document's stream starts over under a new number. */
static int new_generation(struct stores *stores, struct job *job, struct document *document, struct failure *failure)
{
	document->state.generation = ++stores->generation_pending;
	document->state.own_generation = true;
	document->state.next = 0;
	own_key_generation(&stores->key, store_tables(job->store), job->request.document);
	buffer_reset(&stores->meta);
	own_number_put(&stores->meta, document->state.generation);
	if (stores->key.failed || stores->meta.failed)
		return failure_no_memory(failure);
	return stores->engine->class->put_own(stores->engine, buffer_span(&stores->key), buffer_span(&stores->meta),
					      failure);
}

static int apply_append(struct stores *stores, struct job *job, struct document *document, struct failure *failure)
{
	enum layout layout;
	struct span last_meta;
	int code;

	if (document->state.meta == NULL && job->request.records.metas == 0)
		return refuse_entry_first(job);
	if (check_metas(job, &document->state, &last_meta, &layout) != 0)
		return 0;
	code = check_room(stores, job, document, last_meta, layout, failure);
	if (code == 0 && job->code == 0)
		code = make_store(stores, job->store, layout, failure);
	if (code != 0 || job->code != 0)
		return code;
	document_change(&stores->documents, document);
	return put_records(stores, job, document, last_meta, failure);
}

static int apply_replace(struct stores *stores, struct job *job, struct document *document, struct failure *failure)
{
	struct engine *engine = stores->engine;
	enum layout layout;
	struct span last_meta;
	int code;

	if (job->request.records.metas == 0)
		return refuse(job, ERROR_META_MISSING, "Store: batch must contain at least one meta record");
	if (check_metas(job, &document->state, &last_meta, &layout) != 0)
		return 0;
	code = check_room(stores, job, document, last_meta, layout, failure);
	if (code == 0 && job->code == 0)
		code = make_store(stores, job->store, layout, failure);
	if (code != 0 || job->code != 0)
		return code;
	document_change(&stores->documents, document);
	if (document->state.next > 0) {
		code = engine->class->delete_rows(engine, store_tables(job->store), job->request.document, failure);
		if (code != 0)
			return code;
	}
	code = new_generation(stores, job, document, failure);
	return code != 0 ? code : put_records(stores, job, document, last_meta, failure);
}

static int apply_delete(struct stores *stores, struct job *job, struct document *document, struct failure *failure)
{
	const struct engine_tables *tables = store_tables(job->store);
	struct engine *engine = stores->engine;
	int code;

	if (document->state.meta == NULL && document->state.next == 0)
		return 0; /* there is none: nothing to number either */
	code = check_room(stores, job, document, SPAN_NONE, tables->layout, failure);
	if (code != 0)
		return code;
	document_change(&stores->documents, document);
	code = engine->class->delete_rows(engine, tables, job->request.document, failure);
	if (code == 0)
		code = engine->class->delete_meta(engine, tables, job->request.document, failure);
	if (code == 0)
		code = new_generation(stores, job, document, failure);
	if (code == 0)
		document_set_meta(document, SPAN_NONE);
	return code;
}

int store_write(struct stores *stores, struct job *job, struct failure *failure)
{
	const struct request *request = &job->request;
	struct document *document;
	enum layout layout;
	int code;

	job->refusal = REFUSAL_NONE;
	if (job->store->refused.code != 0) {
		job_fail(job, job->store->refused.code, OUTCOME_NOT_APPLIED, job->store->refused.message);
		job->detail = job->store->refused.detail;
		return 0;
	}
	layout = store_tables(job->store)->layout;
	if (layout != LAYOUT_NONE && !grant_allows(job->grant, layout, RIGHT_WRITE)) {
		job->refusal = REFUSAL_DENIED;
		return refuse(job, ERROR_DENIED, "[store] does not let this user write the store, as it was made");
	}
	code = document_get(stores, job->store, request->document, &document, failure);
	if (code != 0)
		return code;
	job->at = (struct position){document->state.generation, document->state.next};
	if (request->has_expect &&
	    (request->expect.generation != job->at.generation || request->expect.next != job->at.next))
		return refuse(job, ERROR_CONFLICT, "the document does not stand where it was expected");
	if (request->operation == OPERATION_APPEND)
		code = apply_append(stores, job, document, failure);
	else if (request->operation == OPERATION_REPLACE)
		code = apply_replace(stores, job, document, failure);
	else
		code = apply_delete(stores, job, document, failure);
	if (code == 0 && job->code == 0)
		job->at = (struct position){document->state.generation, document->state.next};
	return code;
}
