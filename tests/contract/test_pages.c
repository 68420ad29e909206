/*
 * Pages: cursors, limits, records larger than a page, and what changes a stream while it is read.
 */
#include "tests/contract/calls.h"
#include "tests/contract/database.h"
#include "tests/contract/wire.h"

#include <stdio.h>
#include <stdlib.h>

TestSuite(pages, .init = harness_init, .fini = harness_fini, .timeout = 120);

/* A reader at the level of pages. */
struct reading {
	struct wire wire;
	uint64_t id;
	struct span document, prefix;
	uint64_t limit;
	bool has_cursor;
	uint8_t cursor[8192];
	size_t cursor_size;
};

static void reading_open(struct reading *reading)
{
	struct hello hello = hello_plain();

	*reading = (struct reading){.id = 1};
	wire_hello(&reading->wire, &stored, &hello);
}

/* Asks for the next page. The reply is valid until the next one. */
static struct reply next_page(struct reading *reading, enum operation operation)
{
	struct request request = request_of(++reading->id, operation, reading->document);
	struct reply reply;

	request.prefix = reading->prefix;
	request.limit = reading->limit;
	request.has_cursor = reading->has_cursor;
	request.cursor = span_of(reading->cursor, reading->cursor_size);
	wire_ask(&reading->wire, &request, NULL, 0);
	reply = wire_answer(&reading->wire, reading->id);
	if (reply.code == 0) {
		reading->has_cursor = reply.has_cursor;
		reading->cursor_size = reply.has_cursor ? reply.cursor.size : 0;
		cr_assert_leq(reading->cursor_size, sizeof(reading->cursor));
		if (reply.has_cursor)
			memcpy(reading->cursor, reply.cursor.data, reply.cursor.size);
	}
	return reply;
}

/* Adds the entries of a page to the sum; each entry's version is its number, from 1 on. */
static uint64_t check_page(const struct reply *reply, uint64_t seen)
{
	struct record_iterator iterator = record_list_start(&reply->records);
	struct record record;

	while (record_list_next(&iterator, &record)) {
		char version[24];

		if (seen > 0) {
			snprintf(version, sizeof(version), "%llu", (unsigned long long)seen);
			cr_assert(span_equal(record.version, span_of_string(version)), "record %s is not there",
				  version);
		}
		seen++;
	}
	return seen;
}

/* "doc": a meta, then entries 1 … count - 1, of so many bytes each. */
static kyneta_store *fill(unsigned count, size_t bytes)
{
	kyneta_store *store = store_open();
	char *data = malloc(bytes + 1), version[16];
	unsigned answered = 0;

	memset(data, 'd', bytes);
	data[bytes] = '\0';
	send_record(store, S("doc"), meta(META), &answered);
	for (unsigned i = 1; i < count; i++) {
		snprintf(version, sizeof(version), "%u", i);
		send_record(store, S("doc"), since(version, data), &answered);
	}
	OK(kyneta_store_flush(store, &failure));
	free(data);
	return store;
}

/* ---- load_all ---- */

Test(pages, pages_join_to_the_whole_stream)
{
	struct reading reading;
	struct reply reply;
	kyneta_store *store;
	uint64_t seen = 0, pages = 0;
	struct position end = {0, 0};

	stored_start(&stored, NULL);
	store = fill(1000, 100);
	reading_open(&reading);
	reading.document = S("doc");
	reading.limit = 2000;
	do {
		reply = next_page(&reading, OPERATION_LOAD_ALL);
		cr_assert_eq(reply.code, 0);
		cr_assert_leq(reply.records.packed.size, 2000 + 64, "%zu bytes", reply.records.packed.size);
		cr_assert_gt(reply.records.count, 5, "a page is filled");
		cr_assert(pages == 0 || (reply.at.generation == end.generation && reply.at.next == end.next),
			  "where the read ends is the same on every page");
		end = reply.at;
		seen = check_page(&reply, seen);
		pages++;
	} while (reading.has_cursor);
	cr_assert_eq(seen, 1000);
	cr_assert_eq(end.next, 1000);
	cr_assert_gt(pages, 40);
	wire_close(&reading.wire);
	store_leave(store);
	stored_end(&stored);
}

Test(pages, one_page_is_enough_for_a_small_document)
{
	struct reading reading;
	struct reply reply;
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = fill(10, 10);
	reading_open(&reading);
	reading.document = S("doc");
	reply = next_page(&reading, OPERATION_LOAD_ALL);
	cr_assert_eq(reply.records.count, 10);
	cr_assert_not(reply.has_cursor);
	reading.document = S("unknown");
	reply = next_page(&reading, OPERATION_LOAD_ALL);
	cr_assert_eq(reply.records.count, 0);
	cr_assert_not(reply.has_cursor);
	wire_close(&reading.wire);
	store_leave(store);
	stored_end(&stored);
}

Test(pages, page_limit_is_the_daemons_option_and_caps_what_is_asked_for)
{
	struct hello hello = hello_plain();
	struct reading reading;
	struct reply reply;
	kyneta_store *store;
	struct wire wire;

	stored_start(&stored, "--page-bytes", "4096", NULL);
	store = fill(200, 100);
	cr_assert_eq(wire_hello(&wire, &stored, &hello).page_limit, 4096);
	wire_close(&wire);
	reading_open(&reading);
	reading.document = S("doc");
	for (int i = 0; i < 3; i++) {
		reading.limit = (uint64_t[]){0, 1000000, UINT64_MAX}[i];
		reading.has_cursor = false;
		reply = next_page(&reading, OPERATION_LOAD_ALL);
		cr_assert(reply.has_cursor);
		cr_assert_leq(reply.records.packed.size, 4096 + 64);
		cr_assert_gt(reply.records.packed.size, 3000);
	}
	wire_close(&reading.wire);
	store_leave(store);
	stored_end(&stored);
}

Test(pages, limit_of_next_to_nothing_gives_one_record_at_a_time)
{
	struct reading reading;
	struct reply reply;
	kyneta_store *store;
	uint64_t seen = 0;

	stored_start(&stored, NULL);
	store = fill(20, 100);
	reading_open(&reading);
	reading.document = S("doc");
	reading.limit = 1;
	do {
		reply = next_page(&reading, OPERATION_LOAD_ALL);
		cr_assert_eq(reply.records.count, 1);
		seen = check_page(&reply, seen);
	} while (reading.has_cursor);
	cr_assert_eq(seen, 20);
	wire_close(&reading.wire);
	store_leave(store);
	stored_end(&stored);
}

/* Larger than the page, larger even than the frame limit of the daemon that gives it. */
Test(pages, record_larger_than_a_page_comes_alone)
{
	static char big[3 << 20];
	struct reading reading;
	struct reply reply;
	kyneta_store *store;

	memset(big, 'b', sizeof(big));
	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META), since("1", "small"), entirety("2", span_of(big, sizeof(big))),
		  since("3", "small")));
	stored_stop(&stored);
	stored.options[0] = "--max-frame-bytes";
	stored.options[1] = "1M";
	stored.options[2] = NULL;
	stored_restart(&stored);
	reading_open(&reading);
	reading.document = S("doc");
	reply = next_page(&reading, OPERATION_LOAD_ALL);
	cr_assert_eq(reply.records.count, 2);
	reply = next_page(&reading, OPERATION_LOAD_ALL);
	cr_assert_eq(reply.records.count, 1);
	cr_assert_gt(reply.records.packed.size, sizeof(big));
	reply = next_page(&reading, OPERATION_LOAD_ALL);
	cr_assert_eq(reply.records.count, 1);
	cr_assert_not(reply.has_cursor);
	STREAM(store, S("doc"), meta(META), since("1", "small"), entirety("2", span_of(big, sizeof(big))),
	       since("3", "small"));
	wire_close(&reading.wire);
	store_leave(store);
	stored_end(&stored);
}

/* ---- what changes meanwhile ---- */

/* The first page of "doc", then something happens, then the rest. */
static uint64_t interrupted(void (*happens)(kyneta_store *store), uint64_t *seen)
{
	struct reading reading;
	struct reply reply;
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = fill(100, 100);
	reading_open(&reading);
	reading.document = S("doc");
	reading.limit = 2000;
	reply = next_page(&reading, OPERATION_LOAD_ALL);
	*seen = check_page(&reply, 0);
	happens(store);
	do {
		reply = next_page(&reading, OPERATION_LOAD_ALL);
		if (reply.code == 0)
			*seen = check_page(&reply, *seen);
	} while (reply.code == 0 && reading.has_cursor);
	wire_close(&reading.wire);
	store_leave(store);
	stored_end(&stored);
	return reply.code;
}

static void append_some(kyneta_store *store)
{
	for (int i = 0; i < 20; i++)
		OK(APPEND(store, S("doc"), since("later", "x")));
}

Test(pages, appends_meanwhile_are_not_seen)
{
	uint64_t seen;

	cr_assert_eq(interrupted(append_some, &seen), 0);
	cr_assert_eq(seen, 100);
}

static void change_others(kyneta_store *store)
{
	OK(REPLACE(store, S("doc2"), meta(META)));
	OK(REPLACE(store, S("do"), meta(META)));
	OK(DELETE(store, S("doc2")));
	FAILS(201, REPLACE(store, S("doc"), since("v", "refused")));
}

Test(pages, other_documents_never_cause_changed)
{
	uint64_t seen;

	cr_assert_eq(interrupted(change_others, &seen), 0);
	cr_assert_eq(seen, 100);
}

static void replace_it(kyneta_store *store)
{
	static const struct kyneta_store_record filler = {
	    .type = KYNETA_STORE_ENTRY, .version = "new", .version_size = 3, .data = "", .data_is_text = true};
	struct kyneta_store_record records[100];

	for (size_t i = 0; i < 100; i++)
		records[i] = filler;
	records[0] = meta(META);
	OK(replace(store, S("doc"), records, 100, NULL));
}

Test(pages, replace_meanwhile_is_changed_and_never_a_mix)
{
	uint64_t seen;

	cr_assert_eq(interrupted(replace_it, &seen), 301);
	cr_assert_lt(seen, 100);
}

static void delete_it(kyneta_store *store)
{
	OK(DELETE(store, S("doc")));
}

Test(pages, delete_meanwhile_is_changed)
{
	uint64_t seen;

	cr_assert_eq(interrupted(delete_it, &seen), 301);
}

static void delete_and_bring_back(kyneta_store *store)
{
	OK(DELETE(store, S("doc")));
	replace_it(store);
	OK(APPEND(store, S("doc"), since("v", "x")));
}

Test(pages, document_that_came_back_is_changed)
{
	uint64_t seen;

	cr_assert_eq(interrupted(delete_and_bring_back, &seen), 301);
}

/* A cursor is stateless: it outlives its connection and its daemon. */
static void cursor_outlives(void (*ending)(struct stored *stored))
{
	struct reading reading;
	struct reply reply;
	kyneta_store *store;
	uint64_t seen;

	stored_start(&stored, NULL);
	store = fill(100, 100);
	reading_open(&reading);
	reading.document = S("doc");
	reading.limit = 2000;
	reply = next_page(&reading, OPERATION_LOAD_ALL);
	seen = check_page(&reply, 0);
	do {
		struct hello hello = hello_plain();

		ending(&stored);
		stored_restart(&stored);
		OK(APPEND(store, S("doc"), since("later", "x")));
		wire_close(&reading.wire);
		wire_hello(&reading.wire, &stored, &hello);
		reply = next_page(&reading, OPERATION_LOAD_ALL);
		cr_assert_eq(reply.code, 0);
		seen = check_page(&reply, seen);
	} while (reading.has_cursor);
	cr_assert_eq(seen, 100);
	wire_close(&reading.wire);
	store_leave(store);
	stored_end(&stored);
}

Test(pages, cursor_outlives_a_restart)
{
	cursor_outlives(stored_stop);
}

Test(pages, cursor_outlives_a_crash)
{
	cursor_outlives(stored_kill);
}

/* ---- cursors that are not one's own ---- */

Test(pages, cursor_belongs_to_its_document)
{
	struct reading reading;
	struct reply reply;
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = fill(100, 100);
	OK(APPEND(store, S("other"), meta(META)));
	reading_open(&reading);
	reading.document = S("doc");
	reading.limit = 2000;
	reply = next_page(&reading, OPERATION_LOAD_ALL);
	cr_assert(reply.has_cursor);
	reading.document = S("other");
	cr_assert_eq(next_page(&reading, OPERATION_LOAD_ALL).code, 105);
	reading.document = S("unknown");
	cr_assert_eq(next_page(&reading, OPERATION_LOAD_ALL).code, 105);
	/* Nor is it one of a listing. */
	cr_assert_eq(next_page(&reading, OPERATION_LIST_DOC_IDS).code, 105);
	/* Every byte of it counts. */
	reading.document = S("doc");
	for (size_t i = 0; i < reading.cursor_size; i++) {
		reading.cursor[i] ^= 0x10;
		cr_assert_eq(next_page(&reading, OPERATION_LOAD_ALL).code, 105);
		reading.cursor[i] ^= 0x10;
	}
	reading.cursor_size--;
	cr_assert_eq(next_page(&reading, OPERATION_LOAD_ALL).code, 105);
	reading.cursor_size++;
	cr_assert_eq(next_page(&reading, OPERATION_LOAD_ALL).code, 0, "the connection lives, and so does the cursor");
	wire_close(&reading.wire);
	store_leave(store);
	stored_end(&stored);
}

Test(pages, cursor_belongs_to_its_store)
{
	struct hello hello = hello_plain();
	struct reading reading;
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = fill(100, 100);
	reading_open(&reading);
	reading.document = S("doc");
	reading.limit = 2000;
	next_page(&reading, OPERATION_LOAD_ALL);
	wire_close(&reading.wire);
	hello.meta_table = S("m");
	hello.records_table = S("r");
	hello.store_table = S("s");
	wire_hello(&reading.wire, &stored, &hello);
	cr_assert_eq(next_page(&reading, OPERATION_LOAD_ALL).code, 105);
	wire_close(&reading.wire);
	store_leave(store);
	stored_end(&stored);
}

/* ---- listings ---- */

static kyneta_store *fill_ids(unsigned count)
{
	kyneta_store *store = store_open();
	unsigned answered = 0;
	char id[32];

	for (unsigned i = 0; i < count; i++) {
		snprintf(id, sizeof(id), "a/%04u", i);
		send_record(store, span_of_string(id), meta(META), &answered);
	}
	send_record(store, S("b/1"), meta(META), &answered);
	OK(kyneta_store_flush(store, &failure));
	return store;
}

/* Checks that the page's ids are "a/NNNN" from @next on, those of @odd only if so; returns the number after the last.
 */
static unsigned check_ids(struct reply *reply, unsigned next, unsigned step)
{
	struct span id;

	for (uint32_t i = 0; i < reply->documents_count; i++, next += step) {
		char wanted[32];

		snprintf(wanted, sizeof(wanted), "a/%04u", next);
		cr_assert(unpack_str(&reply->documents, &id));
		cr_assert(span_equal(id, span_of_string(wanted)), "%.*s, not %s", (int)id.size, (const char *)id.data,
			  wanted);
	}
	return next;
}

Test(pages, listing_comes_in_pages)
{
	struct reading reading;
	struct reply reply;
	kyneta_store *store;
	unsigned next = 0, pages = 0;

	stored_start(&stored, NULL);
	store = fill_ids(500);
	reading_open(&reading);
	reading.prefix = S("a/");
	reading.limit = 200;
	do {
		reply = next_page(&reading, OPERATION_LIST_DOC_IDS);
		cr_assert_eq(reply.code, 0);
		cr_assert_gt(reply.documents_count, 0);
		next = check_ids(&reply, next, 1);
		pages++;
	} while (reading.has_cursor);
	cr_assert_eq(next, 500);
	cr_assert_gt(pages, 15);
	reading.limit = 1;
	reply = next_page(&reading, OPERATION_LIST_DOC_IDS);
	cr_assert_eq(reply.documents_count, 1);
	wire_close(&reading.wire);
	store_leave(store);
	stored_end(&stored);
}

/* Whatever happens meanwhile it goes on: those that were there all the time come, once. */
Test(pages, listing_is_never_changed)
{
	struct reading reading;
	struct reply reply;
	kyneta_store *store;
	unsigned next = 0;
	char id[32];

	stored_start(&stored, NULL);
	store = fill_ids(100);
	reading_open(&reading);
	reading.prefix = S("a/");
	reading.limit = 1;
	for (unsigned i = 0; i < 50; i++) {
		struct hello hello = hello_plain();

		reply = next_page(&reading, OPERATION_LIST_DOC_IDS);
		cr_assert_eq(reply.code, 0);
		cr_assert_eq(reply.documents_count, 1);
		next = check_ids(&reply, next, 2);
		/* The one just given goes, the next one too, and one comes far behind. */
		snprintf(id, sizeof(id), "a/%04u", next - 2);
		OK(DELETE(store, span_of_string(id)));
		snprintf(id, sizeof(id), "a/%04u", next - 1);
		OK(DELETE(store, span_of_string(id)));
		snprintf(id, sizeof(id), "A/%04u", i);
		OK(REPLACE(store, span_of_string(id), meta(META)));
		if (i % 16 == 0) {
			stored_kill(&stored);
			stored_restart(&stored);
			wire_close(&reading.wire);
			wire_hello(&reading.wire, &stored, &hello);
		}
	}
	cr_assert_eq(next, 100);
	if (reading.has_cursor) {
		reply = next_page(&reading, OPERATION_LIST_DOC_IDS);
		cr_assert_eq(reply.documents_count, 0);
		cr_assert_not(reply.has_cursor);
	}
	wire_close(&reading.wire);
	store_leave(store);
	stored_end(&stored);
}

Test(pages, cursor_belongs_to_its_prefix)
{
	struct reading reading;
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = fill_ids(100);
	reading_open(&reading);
	reading.limit = 100;
	reading.prefix = S("a/");
	cr_assert_eq(next_page(&reading, OPERATION_LIST_DOC_IDS).code, 0);
	cr_assert(reading.has_cursor);
	reading.prefix = S("a");
	cr_assert_eq(next_page(&reading, OPERATION_LIST_DOC_IDS).code, 105);
	reading.prefix = S("");
	cr_assert_eq(next_page(&reading, OPERATION_LIST_DOC_IDS).code, 105);
	reading.prefix = S("b/");
	cr_assert_eq(next_page(&reading, OPERATION_LIST_DOC_IDS).code, 105);
	reading.prefix = S("a/");
	reading.cursor[reading.cursor_size - 1] ^= 1;
	cr_assert_eq(next_page(&reading, OPERATION_LIST_DOC_IDS).code, 105);
	reading.cursor[reading.cursor_size - 1] ^= 1;
	cr_assert_eq(next_page(&reading, OPERATION_LIST_DOC_IDS).code, 0);
	/* No prefix and the empty one are the same. */
	reading.has_cursor = false;
	reading.prefix = SPAN_NONE;
	cr_assert_eq(next_page(&reading, OPERATION_LIST_DOC_IDS).code, 0);
	reading.prefix = S("");
	cr_assert_eq(next_page(&reading, OPERATION_LIST_DOC_IDS).code, 0);
	wire_close(&reading.wire);
	store_leave(store);
	stored_end(&stored);
}

/* ---- through the library ---- */

static bool replace_in_the_middle(void *context, const struct kyneta_store_record *record)
{
	unsigned *seen = context;

	(void)record;
	if (++*seen == 1) {
		kyneta_store *other = store_open();

		OK(REPLACE(other, S("doc"), meta(META), since("1", "new")));
		store_leave(other);
	}
	return true;
}

Test(pages, library_reads_pages_and_tells_when_it_had_to_start_over)
{
	struct kyneta_store_options options = options_for(&stored);
	kyneta_store *store, *reader;
	unsigned seen = 0;

	stored_start(&stored, NULL);
	store = fill(2000, 100);
	options.page_bytes = 1024;
	reader = store_open_with(&options);
	cr_assert_eq(count_records(reader, S("doc")), 2000);
	store_leave(reader);
	/* Nothing held back: the first records are out when the document is replaced. */
	options.load_hold_bytes = 0;
	reader = store_open_with(&options);
	FAILS(KYNETA_STORE_ERESTARTED,
	      kyneta_store_load_all(reader, "doc", 3, replace_in_the_middle, &seen, NULL, &failure));
	STREAM(reader, S("doc"), meta(META), since("1", "new"));
	store_leave(reader);
	store_leave(store);
	stored_end(&stored);
}
