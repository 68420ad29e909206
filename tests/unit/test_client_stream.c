/*
 * Streams: pages asked for ahead, the hold, pauses, documents that change.
 */
#include "tests/unit/client_fake.h"

TestSuite(client_stream, .timeout = 60);

/* A consumer that keeps what it gets, and pauses or stops where it was told. */
struct consumer {
	kyneta_store_stream *stream;
	int count;
	int pause_at; /* pause once so many are taken; 0: never */
	int stop_at;
	char text[256]; /* versions or ids, each and a blank */
	struct outcome outcome;
};

static bool consume(struct consumer *consumer, const void *bytes, size_t size)
{
	strncat(consumer->text, bytes, size);
	strcat(consumer->text, " ");
	consumer->count++;
	if (consumer->count == consumer->pause_at)
		kyneta_store_stream_pause(consumer->stream);
	return consumer->count != consumer->stop_at;
}

static bool each_record(void *context, const struct kyneta_store_record *record)
{
	if (record->type == KYNETA_STORE_META)
		return consume(context, "meta", 4);
	return consume(context, record->version, record->version_size);
}

static bool each_id(void *context, const char *id, size_t id_size)
{
	return consume(context, id, id_size);
}

static void done(void *context, const struct kyneta_store_answer *answer)
{
	struct consumer *consumer = context;

	outcome_done(&consumer->outcome, answer);
}

static void load(kyneta_store *store, struct consumer *consumer)
{
	cr_assert_eq(kyneta_store_send_load_all(store, "doc", 3, each_record, done, consumer, &consumer->stream), 0);
	kyneta_store_process(store);
}

/* A page of entries with versions @first … @first + @count - 1, each with @data_size bytes; @cursor "": the last one.
 */
static void fake_page(struct fake *fake, uint64_t id, int first, int count, size_t data_size, const char *cursor)
{
	uint8_t *data = calloc(1, data_size + 1);
	struct record record = {.type = RECORD_ENTRY, .kind = ENTRY_SINCE, .encoding = ENCODING_BINARY};
	struct page page;
	char version[16];

	page_begin(&fake->out, id, &page);
	for (int i = first; i < first + count; i++) {
		snprintf(version, sizeof(version), "%d", i);
		record.version = span_of_string(version);
		record.data = span_of(data, data_size);
		record_pack(&fake->out, &record);
		page.count++;
	}
	page_end_records(&fake->out, &page, (struct position){9, 100}, cursor[0] != '\0', span_of_string(cursor));
	fake_send(fake);
	free(data);
}

static void expect_cursor(struct fake *fake, enum operation operation, uint64_t id, const char *cursor)
{
	struct request request = fake_expect(fake, operation, id);

	cr_assert_eq(request.has_cursor, cursor[0] != '\0');
	cr_assert(span_equal(request.cursor, span_of_string(cursor)));
}

/* Options with which nothing is held back. */
static struct kyneta_store_options eager(const struct fake *fake)
{
	struct kyneta_store_options options = fake_options(fake);

	options.load_hold_bytes = 0;
	return options;
}

Test(client_stream, small_document)
{
	struct consumer consumer = {.count = 0};
	struct record meta = {.type = RECORD_META, .meta = SPAN_LITERAL(FAKE_META)};
	struct page page;
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	load(store, &consumer);
	expect_cursor(&fake, OPERATION_LOAD_ALL, 2, "");
	page_begin(&fake.out, 2, &page);
	record_pack(&fake.out, &meta);
	page.count = 1;
	page_end_records(&fake.out, &page, (struct position){9, 100}, false, SPAN_NONE);
	fake_send(&fake);
	kyneta_store_process(store);
	cr_assert_success(consumer.outcome);
	cr_assert_str_eq(consumer.text, "meta ");
	cr_assert_eq(consumer.outcome.next, 100u);
	fake_expect_nothing(&fake);
	cr_assert_eq(client_status(store).queued, 0u);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_stream, empty_document)
{
	struct consumer consumer = {.count = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	load(store, &consumer);
	fake_page(&fake, 2, 0, 0, 0, "");
	kyneta_store_process(store);
	cr_assert_success(consumer.outcome);
	cr_assert_eq(consumer.count, 0);
	kyneta_store_free(store);
	fake_end(&fake);
}

/* Each page is asked for before the one before it is handed out, and never more than one. */
Test(client_stream, asks_one_page_ahead)
{
	struct kyneta_store_options options;
	struct consumer consumer = {.count = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	options = eager(&fake);
	store = client_ready(&fake, &options);
	load(store, &consumer);
	expect_cursor(&fake, OPERATION_LOAD_ALL, 2, "");
	consumer.pause_at = 1; /* nothing can be sent while each runs, so what is there then was sent before */
	fake_page(&fake, 2, 1, 3, 10, "c1");
	kyneta_store_process(store);
	cr_assert_str_eq(consumer.text, "1 ");
	expect_cursor(&fake, OPERATION_LOAD_ALL, 3, "c1");
	kyneta_store_stream_continue(consumer.stream);
	kyneta_store_process(store);
	cr_assert_str_eq(consumer.text, "1 2 3 ");
	fake_expect_nothing(&fake);
	fake_page(&fake, 3, 4, 2, 10, "c2");
	kyneta_store_process(store);
	expect_cursor(&fake, OPERATION_LOAD_ALL, 4, "c2");
	fake_expect_nothing(&fake);
	fake_page(&fake, 4, 6, 1, 10, "");
	kyneta_store_process(store);
	cr_assert_success(consumer.outcome);
	cr_assert_str_eq(consumer.text, "1 2 3 4 5 6 ");
	fake_expect_nothing(&fake);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_stream, paused_stream_holds_a_page_and_asks_for_nothing)
{
	struct kyneta_store_options options;
	struct consumer consumer = {.pause_at = 2};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	options = eager(&fake);
	store = client_ready(&fake, &options);
	load(store, &consumer);
	fake_expect(&fake, OPERATION_LOAD_ALL, 2);
	fake_page(&fake, 2, 1, 3, 10, "c1");
	kyneta_store_process(store);
	cr_assert_str_eq(consumer.text, "1 2 ");
	fake_expect(&fake, OPERATION_LOAD_ALL, 3);
	fake_page(&fake, 3, 4, 3, 10, "c2");
	for (int i = 0; i < 5; i++)
		kyneta_store_process(store);
	cr_assert_str_eq(consumer.text, "1 2 ");
	fake_expect_nothing(&fake);
	cr_assert_eq(kyneta_store_timeout(store), -1);
	cr_assert_eq(kyneta_store_flush(store, NULL), 0, "what is paused is not waited for");
	/* A lost connection costs it nothing. */
	client_reconnect(&fake, store);
	fake_expect_nothing(&fake);

	consumer.pause_at = 5;
	kyneta_store_stream_continue(consumer.stream);
	cr_assert_eq(kyneta_store_timeout(store), 0);
	kyneta_store_process(store);
	cr_assert_str_eq(consumer.text, "1 2 3 4 5 ");
	expect_cursor(&fake, OPERATION_LOAD_ALL, 4, "c2");
	fake_page(&fake, 4, 7, 1, 10, "");
	kyneta_store_process(store);
	cr_assert_eq(consumer.outcome.calls, 0);
	kyneta_store_stream_continue(consumer.stream);
	kyneta_store_process(store);
	cr_assert_str_eq(consumer.text, "1 2 3 4 5 6 7 ");
	cr_assert_success(consumer.outcome);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_stream, paused_from_the_start_and_at_the_end)
{
	struct kyneta_store_options options;
	struct consumer consumer = {.pause_at = 2};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	options = fake_options(&fake);
	store = client_ready(&fake, &options);
	load(store, &consumer);
	kyneta_store_stream_pause(consumer.stream);
	fake_expect(&fake, OPERATION_LOAD_ALL, 2);
	fake_page(&fake, 2, 1, 1, 10, "c1");
	kyneta_store_process(store);
	fake_expect_nothing(&fake);
	kyneta_store_stream_continue(consumer.stream);
	kyneta_store_process(store);
	expect_cursor(&fake, OPERATION_LOAD_ALL, 3, "c1");
	cr_assert_eq(consumer.count, 0, "held back: the end may still change it");
	fake_page(&fake, 3, 2, 1, 10, "");
	kyneta_store_process(store);
	cr_assert_str_eq(consumer.text, "1 2 ");
	cr_assert_eq(consumer.outcome.calls, 0, "paused with the last record");
	kyneta_store_stream_continue(consumer.stream);
	kyneta_store_process(store);
	cr_assert_success(consumer.outcome);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_stream, consumer_that_has_enough)
{
	struct kyneta_store_options options;
	struct consumer consumer = {.stop_at = 2};
	struct outcome ping = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	options = eager(&fake);
	store = client_ready(&fake, &options);
	load(store, &consumer);
	fake_expect(&fake, OPERATION_LOAD_ALL, 2);
	fake_page(&fake, 2, 1, 3, 10, "c1");
	kyneta_store_process(store);
	cr_assert_success(consumer.outcome);
	cr_assert_str_eq(consumer.text, "1 2 ");
	cr_assert_eq(client_status(store).queued, 0u);
	fake_expect(&fake, OPERATION_LOAD_ALL, 3);
	/* Its page is on its way, and nobody wants it; nor is it asked for again. */
	cr_assert_eq(kyneta_store_send_ping(store, outcome_done, &ping), 0);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_PING, 4);
	fake_page(&fake, 3, 4, 3, 10, "c2");
	fake_done(&fake, 4);
	kyneta_store_process(store);
	cr_assert_success(ping);
	cr_assert_eq(consumer.count, 2);
	fake_expect_nothing(&fake);
	kyneta_store_free(store);
	fake_end(&fake);
}

/* A cursor that makes the request for the next page larger than a frame may be. */
#define LONG_CURSOR                                                                                                    \
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

/* A handle that has read a page whose cursor is too long to go on with; the page is not taken out yet. */
static kyneta_store *stuck_stream(struct fake *fake, struct consumer *consumer)
{
	struct kyneta_store_options options;
	kyneta_store *store;

	fake_start(fake);
	fake->hello.frame_limit = 64;
	options = eager(fake);
	options.no_reconnect = true;
	store = client_ready(fake, &options);
	load(store, consumer);
	fake_expect(fake, OPERATION_LOAD_ALL, 2);
	fake_page(fake, 2, 1, 3, 10, LONG_CURSOR);
	return store;
}

Test(client_stream, page_that_cannot_be_asked_for)
{
	struct consumer consumer = {.count = 0};
	struct fake fake;
	kyneta_store *store = stuck_stream(&fake, &consumer);

	kyneta_store_process(store);
	cr_assert_str_eq(consumer.text, "1 2 3 ");
	cr_assert_eq(consumer.outcome.calls, 1);
	cr_assert_eq(consumer.outcome.code, KYNETA_STORE_EFRAME_TOO_LARGE);
	kyneta_store_free(store);
	fake_end(&fake);
}

/* Its end is still to be told when the consumer has enough. */
Test(client_stream, page_that_cannot_be_asked_for_and_nobody_wants)
{
	struct consumer consumer = {.stop_at = 2};
	struct outcome pings[2] = {{.calls = 0}, {.calls = 0}};
	struct fake fake;
	kyneta_store *store = stuck_stream(&fake, &consumer);

	kyneta_store_process(store);
	cr_assert_success(consumer.outcome);
	cr_assert_eq(client_status(store).queued, 0u);
	cr_assert_eq(client_status(store).queued_bytes, 0u);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(kyneta_store_send_ping(store, outcome_done, &pings[i]), 0);
		kyneta_store_process(store);
		fake_done(&fake, fake_expect(&fake, OPERATION_PING, 3 + i).id);
		kyneta_store_process(store);
		cr_assert_success(pings[i]);
	}
	kyneta_store_free(store);
	fake_end(&fake);
}

/* … and when the handle ends in the same turn. */
Test(client_stream, page_that_cannot_be_asked_for_when_the_handle_ends)
{
	struct consumer consumer = {.count = 0};
	struct fake fake;
	kyneta_store *store = stuck_stream(&fake, &consumer);

	fake_send_bytes(&fake, "\0\0\0\1\xc1", 5);
	cr_assert_eq(kyneta_store_process(store), KYNETA_STORE_EPROTOCOL);
	cr_assert_str_eq(consumer.text, "1 2 3 ");
	cr_assert_eq(consumer.outcome.calls, 1);
	cr_assert_eq(consumer.outcome.code, KYNETA_STORE_EFRAME_TOO_LARGE);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_stream, changed_while_held_back_is_read_again)
{
	struct consumer consumer = {.count = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	load(store, &consumer);
	fake_expect(&fake, OPERATION_LOAD_ALL, 2);
	fake_page(&fake, 2, 1, 3, 10, "c1");
	kyneta_store_process(store);
	expect_cursor(&fake, OPERATION_LOAD_ALL, 3, "c1");
	cr_assert_eq(consumer.count, 0);
	fake_refuse(&fake, 3, ERROR_CHANGED, OUTCOME_NONE);
	kyneta_store_process(store);
	expect_cursor(&fake, OPERATION_LOAD_ALL, 4, "");
	fake_page(&fake, 4, 7, 2, 10, "");
	kyneta_store_process(store);
	cr_assert_success(consumer.outcome);
	cr_assert_str_eq(consumer.text, "7 8 ");
	cr_assert_eq(client_status(store).restarts, 1u);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_stream, changed_after_something_was_handed_out_is_said)
{
	struct kyneta_store_options options;
	struct consumer consumer = {.count = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	options = fake_options(&fake);
	options.load_hold_bytes = 60;
	store = client_ready(&fake, &options);
	load(store, &consumer);
	fake_expect(&fake, OPERATION_LOAD_ALL, 2);
	fake_page(&fake, 2, 1, 2, 10, "c1");
	kyneta_store_process(store);
	cr_assert_eq(consumer.count, 0);
	fake_expect(&fake, OPERATION_LOAD_ALL, 3);
	fake_page(&fake, 3, 3, 2, 10, "c2");
	kyneta_store_process(store);
	cr_assert_str_eq(consumer.text, "1 2 3 4 ", "the hold is full");
	fake_expect(&fake, OPERATION_LOAD_ALL, 4);
	fake_refuse(&fake, 4, ERROR_CHANGED, OUTCOME_NONE);
	kyneta_store_process(store);
	cr_assert_outcome(consumer.outcome, KYNETA_STORE_ERESTARTED, KYNETA_STORE_NO_OUTCOME);
	kyneta_store_free(store);
	fake_end(&fake);
}

/* Paused with pages in hand: they are handed out before the bad news. */
Test(client_stream, failure_waits_for_what_is_held)
{
	struct kyneta_store_options options;
	struct consumer consumer = {.pause_at = 1};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	options = eager(&fake);
	store = client_ready(&fake, &options);
	load(store, &consumer);
	fake_page(&fake, 2, 1, 3, 10, "c1");
	kyneta_store_process(store);
	fake_refuse(&fake, 3, ERROR_CORRUPT, OUTCOME_NONE);
	kyneta_store_process(store);
	cr_assert_eq(consumer.outcome.calls, 0);
	kyneta_store_stream_continue(consumer.stream);
	kyneta_store_process(store);
	cr_assert_str_eq(consumer.text, "1 2 3 ");
	cr_assert_outcome(consumer.outcome, KYNETA_STORE_ECORRUPT, KYNETA_STORE_NO_OUTCOME);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_stream, failure_of_the_first_page)
{
	struct consumer consumer = {.count = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	load(store, &consumer);
	kyneta_store_stream_pause(consumer.stream);
	fake_refuse(&fake, 2, ERROR_DENIED, OUTCOME_NONE);
	kyneta_store_process(store);
	cr_assert_outcome(consumer.outcome, KYNETA_STORE_EDENIED, KYNETA_STORE_NO_OUTCOME);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_stream, goes_on_where_it_was_on_the_next_connection)
{
	struct kyneta_store_options options;
	struct consumer consumer = {.count = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	options = eager(&fake);
	store = client_ready(&fake, &options);
	load(store, &consumer);
	fake_expect(&fake, OPERATION_LOAD_ALL, 2);
	fake_page(&fake, 2, 1, 2, 10, "c1");
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_LOAD_ALL, 3);
	client_reconnect(&fake, store);
	expect_cursor(&fake, OPERATION_LOAD_ALL, 3, "c1");
	fake_drain(&fake);
	fake_refuse(&fake, 3, ERROR_DRAINING, OUTCOME_NONE);
	kyneta_store_process(store);
	kyneta_store_process(store);
	fake_accept(&fake);
	fake_greet(&fake);
	kyneta_store_process(store);
	expect_cursor(&fake, OPERATION_LOAD_ALL, 3, "c1");
	fake_page(&fake, 3, 3, 1, 10, "");
	kyneta_store_process(store);
	cr_assert_success(consumer.outcome);
	cr_assert_str_eq(consumer.text, "1 2 3 ");
	kyneta_store_free(store);
	fake_end(&fake);
}

/* Pages much larger than the socket's buffer, several in the hold, the rest straight from the receive buffer. */
Test(client_stream, large_document)
{
	struct kyneta_store_options options;
	struct consumer consumer = {.count = 0};
	struct request request;
	kyneta_store *store;
	struct fake fake;
	char cursor[16];
	size_t sent;
	ssize_t took;
	int page = 0;

	fake_start(&fake);
	options = fake_options(&fake);
	options.load_hold_bytes = 3 << 20;
	store = client_ready(&fake, &options);
	load(store, &consumer);
	while (consumer.outcome.calls == 0) {
		cr_assert(fake_next(&fake, &request));
		snprintf(cursor, sizeof(cursor), "%s%.0d", page == 0 ? "" : "c", page);
		cr_assert(span_equal(request.cursor, span_of_string(cursor)));
		fake_expect_nothing(&fake);
		{
			struct record record = {.type = RECORD_ENTRY, .data = SPAN_NONE};
			uint8_t *data = calloc(1, 1 << 20);
			struct page out;

			page_begin(&fake.out, request.id, &out);
			record.version = SPAN_LITERAL("v");
			record.data = span_of(data, 1 << 20);
			record_pack(&fake.out, &record);
			out.count = 1;
			page++;
			snprintf(cursor, sizeof(cursor), "c%d", page);
			page_end_records(&fake.out, &out, (struct position){1, 10}, page < 10, span_of_string(cursor));
			free(data);
		}
		for (sent = 0; sent < fake.out.size; sent += (size_t)took) {
			took = send(fake.connection, fake.out.data + sent, fake.out.size - sent, MSG_DONTWAIT);
			took = took < 0 ? 0 : took;
			kyneta_store_process(store);
		}
		buffer_reset(&fake.out);
		kyneta_store_process(store);
		cr_assert_eq(consumer.count, page < 3 ? 0 : page, "page %d: %d records", page, consumer.count);
	}
	cr_assert_success(consumer.outcome);
	cr_assert_eq(consumer.count, 10);
	kyneta_store_free(store);
	fake_end(&fake);
}

static void fake_ids(struct fake *fake, uint64_t id, const char *const *ids, int count, const char *cursor)
{
	struct page page;

	page_begin(&fake->out, id, &page);
	for (int i = 0; i < count; i++, page.count++)
		page_document(&fake->out, span_of_string(ids[i]));
	page_end_documents(&fake->out, &page, cursor[0] != '\0', span_of_string(cursor));
	fake_send(fake);
}

Test(client_stream, listing)
{
	static const char *const first[] = {"a", "b", "c"}, *const second[] = {"d", "e"};
	struct consumer consumer = {.pause_at = 2};
	struct request request;
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	cr_assert_eq(kyneta_store_send_list_doc_ids(store, "", 0, each_id, done, &consumer, &consumer.stream), 0);
	kyneta_store_process(store);
	request = fake_expect(&fake, OPERATION_LIST_DOC_IDS, 2);
	cr_assert_eq(request.prefix.size, 0u);
	fake_ids(&fake, 2, first, 3, "c");
	kyneta_store_process(store);
	cr_assert_str_eq(consumer.text, "a b ");
	expect_cursor(&fake, OPERATION_LIST_DOC_IDS, 3, "c");
	fake_ids(&fake, 3, second, 2, "");
	kyneta_store_process(store);
	kyneta_store_stream_continue(consumer.stream);
	kyneta_store_process(store);
	cr_assert_success(consumer.outcome);
	cr_assert_str_eq(consumer.text, "a b c d e ");
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_stream, close_waits_for_streams)
{
	struct consumer consumer = {.pause_at = 1};
	struct outcome closed = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	load(store, &consumer);
	cr_assert_eq(kyneta_store_send_close(store, outcome_done, &closed), 0);
	fake_expect(&fake, OPERATION_LOAD_ALL, 2);
	fake_page(&fake, 2, 1, 1, 10, "c1");
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_LOAD_ALL, 3);
	fake_page(&fake, 3, 2, 1, 10, "");
	kyneta_store_process(store);
	fake_expect_nothing(&fake);
	kyneta_store_stream_continue(consumer.stream);
	kyneta_store_process(store);
	cr_assert_success(consumer.outcome);
	fake_expect(&fake, OPERATION_CLOSE, 4);
	kyneta_store_free(store);
	cr_assert_outcome(closed, KYNETA_STORE_ECLOSED, KYNETA_STORE_NO_OUTCOME);
	fake_end(&fake);
}
