/* store_read: load_all, current_meta and list_doc_ids, one page or one answer at a time (store.h). */
#include "daemon/cursor.h"
#include "daemon/grant.h"
#include "daemon/row.h"
#include "daemon/stats.h"
#include "daemon/store.h"

/* A thread's scratch or value that something large made larger than this is given back. */
#define SCRATCH_KEPT_BYTES (1024 * 1024)

/* What a record or id costs in a page beside its bytes: enough that a page of tiny ones stays a page. */
#define PAGE_ITEM_BYTES 8

/* A guess at a row's bytes. */
#define PAGE_ROW_BYTES 256

/* The generation of a document in this snapshot: its own number, or the floor if that is higher. */
static int read_number(struct store_reading *reading, struct span key, uint64_t *number, struct failure *failure)
{
	const struct engine_class *class = reading->reader->class;
	bool found;
	int code;

	buffer_reset(&reading->value);
	code = class->reader_get_own(reading->reader, key, &found, &reading->value, failure);
	if (code == 0)
		*number = found ? own_number(buffer_span(&reading->value)) : 0;
	return code;
}

static int read_generation(struct store_reading *reading, const struct engine_tables *tables, struct span document,
			   uint64_t *generation, struct failure *failure)
{
	uint64_t floor;
	int code = read_number(reading, OWN_KEY_FLOOR, &floor, failure);

	if (code != 0)
		return code;
	own_key_generation(&reading->key, tables, document);
	if (reading->key.failed)
		return failure_no_memory(failure);
	code = read_number(reading, buffer_span(&reading->key), generation, failure);
	if (code == 0 && *generation < floor)
		*generation = floor;
	return code;
}

/* What is read of a document first: does it exist, its meta (in reading->value), where it stands. */
static int read_document(struct store_reading *reading, const struct engine_tables *tables, struct span document,
			 bool *found, struct position *at, struct failure *failure)
{
	int code = read_generation(reading, tables, document, &at->generation, failure);

	*found = false;
	at->next = 0;
	if (code != 0 || tables->layout == LAYOUT_NONE)
		return code;
	buffer_reset(&reading->value);
	code = reading->reader->class->reader_get_document(reading->reader, tables, document, found, &reading->value,
							   &at->next, failure);
	if (code == 0 && reading->value.failed)
		return failure_no_memory(failure);
	return code;
}

static int read_meta(struct store_reading *reading, const struct engine_tables *tables, struct job *job,
		     struct failure *failure)
{
	struct position at;
	bool found;
	int code = read_document(reading, tables, job->request.document, &found, &at, failure);

	if (code != 0)
		return code;
	if (reading->value.size > job->reply_reserved) {
		job->reply_needs = reading->value.size;
	} else {
		reply_encode_meta(&job->reply, job->request.id, found, buffer_span(&reading->value), at);
		stats_add(metas, 1);
	}
	if (reading->value.capacity > SCRATCH_KEPT_BYTES)
		buffer_free(&reading->value);
	return 0;
}

/* ---- load_all ---- */

struct load {
	struct store_reading *reading;
	struct job *job;
	struct page page;
	uint64_t limit;
	size_t start;
	uint64_t next; /* the first record not in the page */
	int code;
	struct failure *failure;
};

/* An upper bound of what a row takes in a page, but for escapes. */
static size_t row_bytes(const struct engine_row *row)
{
	return PAGE_ITEM_BYTES + row->payload.size + row->blob.size;
}

static bool load_row(void *context, uint64_t seq, const struct engine_row *row)
{
	struct load *load = context;
	struct buffer *out = &load->job->reply;
	struct record record;
	const char *reason = "";

	/* At least one, if there is room for it; and none that would carry the page beyond what was asked for. */
	if (load->page.count == 0 && row_bytes(row) > load->job->reply_reserved) {
		load->job->reply_needs = row_bytes(row);
		return false;
	}
	if (load->page.count > 0 && out->size - load->start + row_bytes(row) > load->limit) {
		load->job->next_record_bytes = row_bytes(row) > load->limit ? row_bytes(row) : 0;
		return false;
	}
	load->code = row_decode(row, &load->reading->scratch, &record, &reason);
	if (load->code != 0) {
		failure_set(load->failure, load->code, "record %llu cannot be read: %s", (unsigned long long)seq,
			    reason);
		return false;
	}
	record_pack(out, &record);
	load->page.count++;
	load->next = seq + 1;
	return !out->failed;
}

/* Where to go on: by the cursor, or the whole stream as it stands. */
static int load_range(struct store_reading *reading, const struct engine_tables *tables, struct job *job,
		      struct load_cursor *cursor, struct failure *failure)
{
	const struct request *request = &job->request;
	struct position at;
	bool found;
	int code;

	if (!request->has_cursor) {
		code = read_document(reading, tables, request->document, &found, &at, failure);
		if (code == 0)
			*cursor = (struct load_cursor){at.generation, 0, at.next};
		return code;
	}
	if (!cursor_get_load(request->cursor, tables->key, request->document, cursor))
		return failure_set(failure, ERROR_BAD_ARGUMENT, "this cursor was not made for this document");
	/* Not the whole position: where records are large, looking for the last one costs more than a page. */
	code = read_generation(reading, tables, request->document, &at.generation, failure);
	if (code == 0 && cursor->generation != at.generation)
		code = failure_set(failure, ERROR_CHANGED, "the document was replaced or deleted while it was read");
	return code;
}

/* What to make room for at once: growing by doubling would copy a large page several times over. */
static size_t page_estimate(const struct load *load, const struct load_cursor *cursor)
{
	uint64_t rows = cursor->end - cursor->next, most = load->limit + PAGE_ROW_BYTES;

	return rows < most / PAGE_ROW_BYTES ? rows * PAGE_ROW_BYTES : most;
}

static int read_page(struct store_reading *reading, const struct engine_tables *tables, struct job *job,
		     struct failure *failure)
{
	struct load load = {.reading = reading, .job = job, .limit = job->request.limit, .failure = failure};
	struct load_cursor cursor;
	struct span bytes;
	bool more;
	int code = load_range(reading, tables, job, &cursor, failure);

	if (code != 0)
		return code;
	buffer_reserve(&job->reply, page_estimate(&load, &cursor));
	page_begin(&job->reply, job->request.id, &load.page);
	load.start = job->reply.size;
	load.next = cursor.next;
	if (cursor.next < cursor.end)
		code = reading->reader->class->reader_rows(reading->reader, tables, job->request.document, cursor.next,
							   cursor.end, load_row, &load, failure);
	if (code == 0)
		code = load.code;
	if (code != 0 || job->reply_needs > 0)
		return code;
	more = load.page.count > 0 && load.next < cursor.end;
	buffer_reset(&reading->value);
	if (more)
		cursor_put_load(&reading->value, tables->key, job->request.document,
				(struct load_cursor){cursor.generation, load.next, cursor.end});
	bytes = buffer_span(&reading->value);
	page_end_records(&job->reply, &load.page, (struct position){cursor.generation, cursor.end}, more, bytes);
	stats_add(pages, 1);
	stats_add(records_read, load.page.count);
	if (reading->scratch.capacity > SCRATCH_KEPT_BYTES)
		buffer_free(&reading->scratch);
	return reading->value.failed ? failure_no_memory(failure) : 0;
}

/* ---- list_doc_ids ---- */

struct listing {
	struct job *job;
	struct page page;
	struct buffer *last;
	uint64_t limit;
	size_t start;
	bool more;
};

static bool list_document(void *context, struct span document)
{
	struct listing *listing = context;
	struct buffer *out = &listing->job->reply;

	if (listing->page.count == 0 && document.size > listing->job->reply_reserved) {
		listing->job->reply_needs = document.size;
		return false;
	}
	if (listing->page.count > 0 && out->size - listing->start + PAGE_ITEM_BYTES + document.size > listing->limit) {
		listing->more = true;
		return false;
	}
	page_document(out, document);
	listing->page.count++;
	buffer_reset(listing->last);
	buffer_append(listing->last, document.data, document.size);
	return !out->failed;
}

static int read_listing(struct store_reading *reading, const struct engine_tables *tables, struct job *job,
			struct failure *failure)
{
	struct listing listing = {.job = job, .last = &reading->value, .limit = job->request.limit};
	struct span prefix = job->request.prefix, after = SPAN_NONE;
	int code = 0;

	if (job->request.has_cursor && !cursor_get_list(job->request.cursor, tables->key, prefix, &after))
		return failure_set(failure, ERROR_BAD_ARGUMENT, "this cursor was not made for this prefix");
	page_begin(&job->reply, job->request.id, &listing.page);
	listing.start = job->reply.size;
	buffer_reset(&reading->value);
	if (tables->layout != LAYOUT_NONE)
		code = reading->reader->class->reader_documents(
		    reading->reader, tables, prefix, job->request.has_cursor, after, list_document, &listing, failure);
	if (code != 0 || job->reply_needs > 0)
		return code;
	buffer_reset(&reading->key);
	if (listing.more)
		cursor_put_list(&reading->key, tables->key, prefix, buffer_span(&reading->value));
	page_end_documents(&job->reply, &listing.page, listing.more, buffer_span(&reading->key));
	stats_add(listings, 1);
	return reading->key.failed || reading->value.failed ? failure_no_memory(failure) : 0;
}

int store_read(struct store_reading *reading, struct job *job)
{
	const struct engine_tables *tables = atomic_load(&job->store->tables);
	struct failure failure = {0};
	int code;

	if (tables->layout != LAYOUT_NONE && !grant_allows(job->grant, tables->layout, RIGHT_READ)) {
		job_fail(job, ERROR_DENIED, OUTCOME_NONE,
			 "[store] does not let this user read the store, as it was made");
		job->refusal = REFUSAL_DENIED;
		return 0;
	}
	if (job->request.operation == OPERATION_CURRENT_META)
		code = read_meta(reading, tables, job, &failure);
	else if (job->request.operation == OPERATION_LOAD_ALL)
		code = read_page(reading, tables, job, &failure);
	else
		code = read_listing(reading, tables, job, &failure);
	if (code == 0 && job->reply.failed)
		code = failure_no_memory(&failure);
	if (code == 0 && job->reply_needs > 0)
		buffer_free(&job->reply);
	if (code == 0)
		return 0;
	buffer_free(&job->reply);
	job_fail(job, code, OUTCOME_NONE, failure.message);
	job->detail = failure.detail;
	return code == ERROR_BAD_ARGUMENT || code == ERROR_CHANGED ? 0 : code;
}
