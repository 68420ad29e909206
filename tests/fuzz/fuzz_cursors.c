/*
 * cursors: given bytes, and cursors forged with any content, against a store with a few documents.
 *
 * The first byte says what the rest is. Bytes are a cursor only if they are the very ones that would be written for
 * what they say, and never for another document. A forged one, which the check does not hold up, reads what its sender
 * could read anyway: records of its document, in order, from where it says; ids that begin with the prefix and come
 * after; or it is refused. A reply is always a whole good frame, no larger than the limit allows.
 */
#include "daemon/cursor.h"
#include "daemon/grant.h"
#include "daemon/row.h"
#include "daemon/store.h"
#include "protocol/frame.h"
#include "tests/fuzz/fuzz.h"
#include "tests/inside/inside.h"

#define PAGE_BYTES 1024
#define DOCUMENTS  4 /* with 0, 10, 20 and 30 entries behind their metadata; two in each prefix */
#define STEP	   10
#define ID_SIZE	   32

/* Room for a reply at first: for the smaller records. */
#define SMALL_ROOM 64

/* More than any item is. */
#define ITEM_BYTES 512

/* What a page takes beside its items, at most. */
#define REPLY_BYTES 128

/* What the lowest bits of the first byte mean; the next two choose the document. */
enum kind { LOAD_BYTES, LOAD_FORGED, LIST_BYTES, LIST_FORGED };
#define DOCUMENT_SHIFT 2

static const char META[] = "{\"replicaType\":[\"plain\",1,0],\"syncMode\":{\"writerModel\":\"serialized\",\"delivery\":"
			   "\"delta-capable\",\"durability\":\"persistent\"},\"schemaHash\":\"00\"}";

static struct inside place; /* its folder; no daemon */
static struct engine *engine;
static const struct engine_tables *tables;
static struct store store;
static struct grant grant = {.in = {[LAYOUT_2] = {.rights = RIGHT_READ}}};
static struct store_reading reading;

#define MUST_DO(call)                                                                                                  \
	do {                                                                                                           \
		struct failure failure;                                                                                \
		MUST((call) == 0, "%s", failure.message);                                                              \
	} while (0)

/* ---- the store ---- */

static struct span id_of(unsigned number, char text[ID_SIZE])
{
	return span_of(text, (size_t)snprintf(text, ID_SIZE, "%s%u", number < 2 ? "a" : "b", number));
}

/* Record @seq of document @number. */
static struct record record_of(unsigned number, uint64_t seq, char text[ID_SIZE])
{
	if (seq == 0)
		return (struct record){.type = RECORD_META, .meta = SPAN_LITERAL(META)};
	snprintf(text, ID_SIZE, "%u.%llu", number, (unsigned long long)seq);
	return (struct record){.type = RECORD_ENTRY,
			       .version = span_of_string(text),
			       .data = span_of_string(text),
			       .data_is_text = seq % 2 == 0};
}

static uint64_t length_of(unsigned number)
{
	return 1 + STEP * number;
}

static void fill(unsigned number)
{
	struct buffer scratch = BUFFER_EMPTY;
	char id_text[ID_SIZE], text[ID_SIZE];
	struct span id = id_of(number, id_text);
	struct engine_row row;

	MUST_DO(engine->class->put_meta(engine, tables, id, SPAN_LITERAL(META), &failure));
	for (uint64_t seq = 0; seq < length_of(number); seq++) {
		struct record record = record_of(number, seq, text);

		MUST(row_encode(&record, &scratch, &row) == 0, "no memory");
		MUST_DO(engine->class->put_row(engine, tables, id, seq, &row, &failure));
	}
	buffer_free(&scratch);
}

static void close_store(void)
{
	buffer_free(&reading.scratch);
	buffer_free(&reading.key);
	buffer_free(&reading.value);
	engine->class->reader_close(reading.reader);
	MUST_DO(engine->class->close(engine, true, &failure));
	inside_remove(&place);
}

static void waiting(void *context, const char *what)
{
	(void)context;
	MUST(false, "%s", what);
}

static void open_store(void)
{
	struct table_names names = {.layout = 0};
	struct engine_options options = {
	    .wal_limit_bytes = 1 << 20, .cache_bytes = 1 << 20, .reader_cache_bytes = 1 << 20, .waiting = waiting};
	bool foreign;

	inside_prepare(&place, NULL);
	options.path = place.database;
	MUST_DO(engine_sqlite.open(&options, &engine, &failure));
	MUST_DO(engine->class->find(engine, &names, &tables, &failure));
	MUST_DO(engine->class->take(engine, &failure));
	MUST_DO(engine->class->begin(engine, true, &foreign, &failure));
	MUST_DO(engine->class->create(engine, tables, LAYOUT_2, &tables, &failure));
	for (unsigned i = 0; i < DOCUMENTS; i++)
		fill(i);
	MUST_DO(engine->class->commit(engine, &failure));
	store.tables = tables;
	MUST_DO(engine->class->reader_open(engine, &reading.reader, &failure));
	atexit(close_store);
}

/* A reply larger than what there is room for is not made: it tells how much it needs, and is then. */
static void read_with_room(struct job *job)
{
	job->reply_reserved = SMALL_ROOM;
	MUST(store_read(&reading, job) == 0, "%d %s", job->code, job->message);
	if (job->reply_needs == 0)
		return;
	MUST(job->code == 0 && job->reply.size == 0, "not made, and %zu bytes", job->reply.size);
	MUST(job->reply_needs > job->reply_reserved, "there was room");
	job->reply_reserved = job->reply_needs;
	job->reply_needs = 0;
	MUST(store_read(&reading, job) == 0, "%d %s", job->code, job->message);
	MUST(job->reply_needs == 0, "it needs still more");
}

/* Carries a read out; false if it was refused, for a reason that is the cursor's. */
static bool carry_out(struct job *job, struct reply *reply)
{
	struct span body;

	job->store = &store;
	job->grant = &grant;
	job->request.id = 2;
	MUST_DO(reading.reader->class->reader_begin(reading.reader, &failure));
	read_with_room(job);
	reading.reader->class->reader_end(reading.reader);
	if (job->code != 0) {
		MUST(job->code == ERROR_BAD_ARGUMENT || job->code == ERROR_CHANGED, "%d %s", job->code, job->message);
		MUST(job->reply.size == 0, "an error, and a page");
		return false;
	}
	MUST(frame_length(job->reply.data) == job->reply.size - FRAME_HEADER_SIZE, "a frame of %zu", job->reply.size);
	body = span_of(job->reply.data + FRAME_HEADER_SIZE, job->reply.size - FRAME_HEADER_SIZE);
	MUST(reply_decode(body, job->request.operation, reply) == 0 && reply->id == 2 && reply->code == 0, "no reply");
	MUST(job->reply.capacity <= 2 * (job->request.limit + ITEM_BYTES), "%zu bytes for a page", job->reply.capacity);
	return true;
}

/* Only a single item may be larger than the page. */
static void check_size(const struct job *job, uint32_t count)
{
	MUST(count <= 1 || job->reply.size <= job->request.limit + REPLY_BYTES, "%zu bytes, the limit is %llu",
	     job->reply.size, (unsigned long long)job->request.limit);
}

/* ---- load_all ---- */

static void check_page(const struct job *job, const struct reply *reply, unsigned number, struct load_cursor from)
{
	struct record_iterator iterator = record_list_start(&reply->records);
	uint64_t seq = from.next, end = from.end < length_of(number) ? from.end : length_of(number);
	struct record record, wanted;
	struct load_cursor next;
	char text[ID_SIZE];

	for (; record_list_next(&iterator, &record); seq++) {
		MUST(seq < end, "record %llu of %llu", (unsigned long long)seq, (unsigned long long)end);
		wanted = record_of(number, seq, text);
		MUST(same_record(&record, &wanted), "not record %llu", (unsigned long long)seq);
	}
	MUST(reply->at.generation == from.generation && reply->at.next == from.end, "at");
	MUST(reply->records.count > 0 || from.next >= end, "no record, and there are some");
	MUST(reply->has_cursor || reply->records.count == 0 || seq == end, "the end, and there is more");
	check_size(job, reply->records.count);
	if (reply->has_cursor) {
		MUST(cursor_get_load(reply->cursor, tables->key, job->request.document, &next), "not our own cursor");
		MUST(next.generation == from.generation && next.end == from.end && next.next == seq, "another cursor");
	}
}

/* The cursor is what would be written for what it says; and never one for something else. */
static void check_load_cursor(struct span bytes, struct span id, struct load_cursor cursor)
{
	struct buffer again = BUFFER_EMPTY;
	struct load_cursor other;

	cursor_put_load(&again, tables->key, id, cursor);
	MUST(span_equal(buffer_span(&again), bytes), "other bytes for the same");
	MUST(!cursor_get_load(bytes, tables->key, SPAN_LITERAL("another"), &other), "good for another document");
	MUST(!cursor_get_load(bytes, "another", id, &other), "good for another store");
	again.data[again.size - 1] ^= 1;
	MUST(!cursor_get_load(buffer_span(&again), tables->key, id, &other), "good though it was changed");
	buffer_free(&again);
}

static void run_load(unsigned number, struct span bytes, uint64_t limit)
{
	struct job job = {.request = {.operation = OPERATION_LOAD_ALL, .limit = limit}};
	struct load_cursor cursor = {0};
	struct reply reply;
	char text[ID_SIZE];
	bool ours;

	job.request.document = id_of(number, text);
	job.request.cursor = bytes;
	job.request.has_cursor = bytes.size > 0;
	ours = cursor_get_load(bytes, tables->key, job.request.document, &cursor);
	if (ours)
		check_load_cursor(bytes, job.request.document, cursor);
	if (!job.request.has_cursor)
		cursor = (struct load_cursor){0, 0, length_of(number)};
	if (carry_out(&job, &reply)) {
		MUST(ours || !job.request.has_cursor, "no cursor of ours, and accepted");
		check_page(&job, &reply, number, cursor);
	} else {
		MUST(job.code == (ours ? ERROR_CHANGED : ERROR_BAD_ARGUMENT), "code %d", job.code);
	}
	free(job.message);
	buffer_free(&job.reply);
}

static void run_load_forged(unsigned number, struct span input)
{
	struct buffer bytes = BUFFER_EMPTY;
	struct load_cursor cursor;
	uint64_t limit = 1 + 4 * (uint64_t)cut_byte(&input);
	char text[ID_SIZE];

	cursor.generation = cut_byte(&input);
	cursor.next = cut_number(&input);
	cursor.end = cut_number(&input);
	cursor_put_load(&bytes, tables->key, id_of(number, text), cursor);
	run_load(number, buffer_span(&bytes), limit);
	buffer_free(&bytes);
}

/* ---- list_doc_ids ---- */

static void check_listing(const struct job *job, struct reply *reply, struct span last)
{
	struct span prefix = job->request.prefix, id = SPAN_NONE, next;
	uint32_t count = 0;

	for (; count < reply->documents_count; count++) {
		MUST(unpack_str(&reply->documents, &id), "id %u", count);
		MUST((count == 0 && !job->request.has_cursor) || span_compare(last, id) < 0, "out of order");
		MUST(id.size >= prefix.size && span_equal(span_of(id.data, prefix.size), prefix), "not of the prefix");
		last = id;
	}
	MUST(count <= DOCUMENTS, "%u documents", count);
	check_size(job, count);
	if (reply->has_cursor) {
		MUST(cursor_get_list(reply->cursor, tables->key, prefix, &next), "not our own cursor");
		MUST(count > 0 && span_equal(next, last), "another cursor");
	}
}

static void check_list_cursor(struct span bytes, struct span prefix, struct span last)
{
	struct buffer again = BUFFER_EMPTY;
	struct span other;

	MUST(is_within(last, bytes), "a view outside");
	cursor_put_list(&again, tables->key, prefix, last);
	MUST(span_equal(buffer_span(&again), bytes), "other bytes for the same");
	MUST(!cursor_get_list(bytes, tables->key, SPAN_LITERAL("another"), &other), "good for another prefix");
	again.data[again.size - 1] ^= 1;
	MUST(!cursor_get_list(buffer_span(&again), tables->key, prefix, &other), "good though it was changed");
	buffer_free(&again);
}

static void run_list(struct span prefix, struct span bytes, uint64_t limit)
{
	struct job job = {.request = {.operation = OPERATION_LIST_DOC_IDS, .limit = limit, .prefix = prefix}};
	struct span last = SPAN_NONE;
	struct reply reply;
	bool ours = cursor_get_list(bytes, tables->key, prefix, &last);

	job.request.cursor = bytes;
	job.request.has_cursor = bytes.size > 0;
	if (ours)
		check_list_cursor(bytes, prefix, last);
	if (carry_out(&job, &reply)) {
		MUST(ours || !job.request.has_cursor, "no cursor of ours, and accepted");
		check_listing(&job, &reply, last);
	} else {
		MUST(job.code == ERROR_BAD_ARGUMENT && !ours, "code %d", job.code);
	}
	free(job.message);
	buffer_free(&job.reply);
}

/* The first bytes of an id; there are two kinds. */
static struct span prefix_of(unsigned number)
{
	return number == 0   ? SPAN_NONE
	       : number == 1 ? SPAN_LITERAL("a")
	       : number == 2 ? SPAN_LITERAL("b")
			     : SPAN_LITERAL("b3");
}

static void run_list_forged(unsigned number, struct span input)
{
	struct buffer bytes = BUFFER_EMPTY;
	uint64_t limit = 1 + (uint64_t)cut_byte(&input);

	cursor_put_list(&bytes, tables->key, prefix_of(number), input);
	run_list(prefix_of(number), buffer_span(&bytes), limit);
	buffer_free(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size);
	uint8_t how = cut_byte(&input);
	unsigned number = (how >> DOCUMENT_SHIFT) % DOCUMENTS;

	if (engine == NULL)
		open_store();
	switch ((enum kind)(how & ((1 << DOCUMENT_SHIFT) - 1))) {
	case LOAD_BYTES:
		run_load(number, input, PAGE_BYTES);
		break;
	case LOAD_FORGED:
		run_load_forged(number, input);
		break;
	case LIST_BYTES:
		run_list(prefix_of(number), input, PAGE_BYTES);
		break;
	case LIST_FORGED:
		run_list_forged(number, input);
		break;
	}
	return 0;
}
