#include "daemon/usage.h"

#include <stdio.h>
#include <stdlib.h>

#include "daemon/clock.h"
#include "daemon/grant.h"
#include "daemon/log.h"
#include "daemon/row.h"
#include "daemon/store.h"

/* A row: the floor of the generations, bytes, documents. */
#define USAGE_ROW_SIZE 24

static void show(struct usage *usage)
{
	atomic_store_explicit(&usage->shown_bytes, usage->committed.bytes, memory_order_relaxed);
	atomic_store_explicit(&usage->shown_documents, usage->committed.documents, memory_order_relaxed);
	atomic_store_explicit(&usage->shown_known, usage->counted && usage->committed.known, memory_order_relaxed);
}

bool usage_shown(const struct usage *usage, uint64_t *bytes, uint64_t *documents)
{
	*bytes = atomic_load_explicit(&usage->shown_bytes, memory_order_relaxed);
	*documents = atomic_load_explicit(&usage->shown_documents, memory_order_relaxed);
	return atomic_load_explicit(&usage->shown_known, memory_order_relaxed);
}

/* ---- finding out ---- */

/* Looks for the row; figures->known: it is there, and nobody else has written to the file since. */
static int read_row(struct stores *stores, struct store *store, struct usage_figures *figures, struct failure *failure)
{
	struct engine *engine = stores->engine;
	struct span row;
	int code;

	own_key_usage(&stores->key, atomic_load(&store->tables)->key);
	buffer_reset(&stores->meta);
	if (stores->key.failed)
		return failure_no_memory(failure);
	code = engine->class->get_own(engine, buffer_span(&stores->key), &store->usage.row, &stores->meta, failure);
	if (code != 0)
		return code;
	row = buffer_span(&stores->meta);
	figures->known = row.size == USAGE_ROW_SIZE && own_number(span_of(row.data, 8)) == stores->floor;
	if (figures->known) {
		figures->bytes = own_number(span_of(row.data + 8, 8));
		figures->documents = own_number(span_of(row.data + 16, 8));
	}
	store->usage.row_looked_for = true;
	return 0;
}

/* Reads the whole store. Inside a transaction: with what it has changed so far. */
static int count(struct stores *stores, struct store *store, struct usage_figures *figures, struct failure *failure)
{
	const struct engine_tables *tables = store_tables(store);
	struct engine *engine = stores->engine;
	uint64_t start_us = clock_us();
	int code = engine->class->store_bytes(engine, tables, &figures->bytes, &figures->documents, failure);

	figures->known = code == 0;
	if (code == 0 && tables->layout != LAYOUT_NONE)
		log_write(LOG_INFO, "store %s: counted for its quota: %llu bytes, %llu documents, in %llu ms",
			  store_name(tables), (unsigned long long)figures->bytes,
			  (unsigned long long)figures->documents, (unsigned long long)((clock_us() - start_us) / 1000));
	return code;
}

int usage_open(struct stores *stores, struct store *store, bool limited, struct failure *failure)
{
	struct usage *usage = &store->usage;
	struct usage_figures found = {.known = false};
	struct failure uncounted = {0};
	int code;

	if (usage->row_looked_for && (usage->counted || !limited))
		return 0;
	code = read_row(stores, store, &found, failure);
	if (code != 0 || !limited)
		return code;
	if (!found.known && count(stores, store, &found, &uncounted) != 0)
		log_write(LOG_WARNING, "store %s: it cannot be counted for its quota now: %s",
			  store_name(atomic_load(&store->tables)), uncounted.message);
	usage->counted = true;
	usage->committed = usage->pending = found;
	show(usage);
	return 0;
}

/* ---- changes ---- */

/* What a request adds and takes away. */
struct change {
	uint64_t more_bytes, less_bytes;
	uint64_t more_documents, less_documents;
};

static int add_records(struct stores *stores, const struct request *request, struct change *change,
		       struct failure *failure)
{
	struct record_iterator iterator = record_list_start(&request->records);
	struct record record;

	while (record_list_next(&iterator, &record)) {
		struct engine_row row;

		if (row_encode(&record, &stores->scratch, &row) != 0)
			return failure_no_memory(failure);
		change->more_bytes += request->document.size + row.payload.size + row.blob.size;
	}
	return 0;
}

/* The metadata that the document has then: none, or @meta in the place of what it has. */
static void change_meta(const struct request *request, const struct document *document, struct span meta,
			struct change *change)
{
	bool had = document->state.meta != NULL, has = meta.data != NULL;

	if (had) {
		change->less_bytes += request->document.size + meta_text_span(document->state.meta).size;
		change->less_documents++;
	}
	if (has) {
		change->more_bytes += request->document.size + meta.size;
		change->more_documents++;
	}
}

static int find_change(struct stores *stores, const struct job *job, const struct document *document, struct span meta,
		       struct change *change, struct failure *failure)
{
	const struct request *request = &job->request;
	struct engine *engine = stores->engine;
	int code = 0;

	*change = (struct change){0};
	if (request->operation != OPERATION_APPEND && document->state.next > 0)
		code = engine->class->document_bytes(engine, store_tables(job->store), request->document,
						     &change->less_bytes, failure);
	if (code == 0 && request->operation != OPERATION_DELETE)
		code = add_records(stores, request, change, failure);
	if (request->operation == OPERATION_DELETE || meta.data != NULL)
		change_meta(request, document, meta, change);
	return code;
}

static void refuse(struct job *job, const char *what, enum refusal_kind refusal, uint64_t limit, uint64_t after)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "the store's quota of %s is used up: it may hold %llu, and would hold %llu after this", what,
		 (unsigned long long)limit, (unsigned long long)after);
	job_fail(job, ERROR_BUSY, OUTCOME_NOT_APPLIED, text);
	job->refusal = refusal;
}

/* Nothing that makes the store smaller, or leaves it as large as it is, is ever refused. */
static bool admit(struct job *job, const struct store_quota *quota, const struct usage_figures *now,
		  const struct usage_figures *after)
{
	if (after->bytes > now->bytes && after->bytes > quota->stored_bytes)
		refuse(job, "stored-bytes", REFUSAL_STORED_BYTES, quota->stored_bytes, after->bytes);
	else if (after->documents > now->documents && after->documents > quota->documents)
		refuse(job, "documents", REFUSAL_DOCUMENTS, quota->documents, after->documents);
	else
		return true;
	return false;
}

/* A count that another program has made wrong must not wrap around. */
static uint64_t less(uint64_t from, uint64_t amount)
{
	return from > amount ? from - amount : 0;
}

int usage_charge(struct stores *stores, struct job *job, const struct document *document, struct span meta,
		 enum layout layout, struct failure *failure)
{
	struct usage *usage = &job->store->usage;
	struct usage_figures after;
	struct change change;
	int code = 0;

	if (!usage->counted) {
		usage->changed = true;
		return 0;
	}
	if (!usage->pending.known)
		code = count(stores, job->store, &usage->pending, failure);
	if (code == 0)
		code = find_change(stores, job, document, meta, &change, failure);
	if (code != 0)
		return code;
	after.known = true;
	after.bytes = less(usage->pending.bytes + change.more_bytes, change.less_bytes);
	after.documents = less(usage->pending.documents + change.more_documents, change.less_documents);
	if (!admit(job, &job->grant->in[layout].quota, &usage->pending, &after))
		return 0;
	usage->pending = after;
	usage->changed = true;
	return 0;
}

/* ---- the batch ---- */

static int write_row(struct stores *stores, const struct usage_figures *figures, struct failure *failure)
{
	buffer_reset(&stores->meta);
	own_number_put(&stores->meta, stores->floor_pending);
	own_number_put(&stores->meta, figures->bytes);
	own_number_put(&stores->meta, figures->documents);
	if (stores->meta.failed)
		return failure_no_memory(failure);
	return stores->engine->class->put_own(stores->engine, buffer_span(&stores->key), buffer_span(&stores->meta),
					      failure);
}

int usage_finish(struct stores *stores, struct store *store, struct failure *failure)
{
	const struct usage *usage = &store->usage;

	own_key_usage(&stores->key, store_tables(store)->key);
	if (stores->key.failed)
		return failure_no_memory(failure);
	if (usage->counted && usage->pending.known)
		return write_row(stores, &usage->pending, failure);
	return stores->engine->class->delete_own(stores->engine, buffer_span(&stores->key), failure);
}

void usage_committed(struct store *store)
{
	struct usage *usage = &store->usage;

	if (usage->changed)
		usage->row = usage->counted && usage->pending.known;
	usage->changed = false;
	usage->committed = usage->pending;
	show(usage);
}

void usage_rolled_back(struct store *store)
{
	struct usage *usage = &store->usage;

	usage->changed = false;
	usage->pending = usage->committed;
}

void usage_forget(struct store *store)
{
	struct usage *usage = &store->usage;

	usage->committed.known = usage->pending.known = false;
	show(usage);
}
