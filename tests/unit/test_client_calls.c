/*
 * Calls: pipelines, limits, arguments, callbacks, deadlines.
 */
#include <poll.h>

#include "tests/unit/client_fake.h"

TestSuite(client_calls, .timeout = 60);

/* ---- pipelines ---- */

Test(client_calls, pipeline_goes_out_in_order_and_answers_come_in_any)
{
	struct outcome outcomes[100];
	kyneta_store *store;
	char id[16];
	struct fake fake;

	memset(outcomes, 0, sizeof(outcomes));
	fake_start(&fake);
	store = client_ready(&fake, NULL);
	for (int i = 0; i < 100; i++) {
		snprintf(id, sizeof(id), "doc%d", i);
		client_append(store, id, &outcomes[i]);
	}
	cr_assert_eq(client_status(store).queued, 100u);
	kyneta_store_push(store);
	for (uint64_t i = 0; i < 100; i++) {
		struct request request = fake_expect(&fake, OPERATION_APPEND, 2 + i);

		snprintf(id, sizeof(id), "doc%d", (int)i);
		cr_assert(span_equal(request.document, span_of_string(id)));
	}
	for (uint64_t i = 100; i-- > 0;)
		fake_wrote(&fake, 2 + i, i);
	kyneta_store_process(store);
	for (uint64_t i = 0; i < 100; i++) {
		cr_assert_success(outcomes[i]);
		cr_assert_eq(outcomes[i].next, i);
	}
	cr_assert_eq(client_status(store).queued, 0u);
	cr_assert_eq(client_status(store).queued_bytes, 0u);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_calls, push_sends_and_does_not_read)
{
	struct outcome first = {.calls = 0}, second = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	client_append(store, "a", &first);
	cr_assert_eq(kyneta_store_timeout(store), 0, "something waits to be sent");
	kyneta_store_push(store);
	cr_assert_eq(kyneta_store_timeout(store), -1);
	fake_expect(&fake, OPERATION_APPEND, 2);
	fake_wrote(&fake, 2, 1);
	client_append(store, "a", &second);
	kyneta_store_push(store);
	cr_assert_eq(first.calls, 0);
	fake_expect(&fake, OPERATION_APPEND, 3);
	kyneta_store_process(store);
	cr_assert_success(first);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_calls, keeps_the_daemons_limit_of_requests_in_flight)
{
	struct outcome outcome = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	fake.hello.in_flight_limit = 4;
	store = client_ready(&fake, NULL);
	for (int i = 0; i < 10; i++)
		cr_assert_eq(kyneta_store_send_ping(store, outcome_done, &outcome), 0);
	kyneta_store_process(store);
	for (uint64_t id = 2; id < 6; id++)
		fake_expect(&fake, OPERATION_PING, id);
	fake_expect_nothing(&fake);
	cr_assert_eq(kyneta_store_timeout(store), -1, "nothing can be done but wait");
	fake_done(&fake, 4);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_PING, 6);
	fake_expect_nothing(&fake);
	for (uint64_t id = 2; id < 12; id++) {
		if (id == 4)
			continue;
		fake_done(&fake, id);
		kyneta_store_process(store);
	}
	cr_assert_eq(outcome.calls, 10);
	kyneta_store_free(store);
	fake_end(&fake);
}

/* The daemon remembers failed writes only so far back: see queue.c. */
Test(client_calls, does_not_run_away_from_an_unanswered_write)
{
	struct outcome slow = {.calls = 0}, fast = {.calls = 0}, read = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	fake.hello.in_flight_limit = 4;
	store = client_ready(&fake, NULL);
	client_append(store, "slow", &slow);
	for (uint64_t id = 3; id < 6; id++) {
		client_append(store, "fast", &fast);
		kyneta_store_process(store);
		fake_wrote(&fake, id, id);
		kyneta_store_process(store);
	}
	cr_assert_eq(fast.calls, 3);
	client_append(store, "fast", &fast);
	kyneta_store_process(store);
	for (uint64_t id = 2; id < 6; id++)
		fake_expect(&fake, OPERATION_APPEND, id);
	fake_expect_nothing(&fake);
	cr_assert_eq(kyneta_store_timeout(store), -1, "waits without spinning");
	cr_assert_eq(kyneta_store_send_ping(store, outcome_done, &read), 0);
	kyneta_store_process(store);
	fake_expect_nothing(&fake);
	fake_wrote(&fake, 2, 1);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_APPEND, 6);
	fake_expect(&fake, OPERATION_PING, 7);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_calls, queue_has_a_limit)
{
	struct outcome outcome = {.calls = 0};
	struct kyneta_store_options options;
	kyneta_store *store;
	struct fake fake;
	int queued = 0;

	fake_start(&fake);
	options = fake_options(&fake);
	options.queue_limit_bytes = 64 << 10;
	store = client_new(&options);
	while (send_entry(store, "a", 1000, &outcome) == 0)
		queued++;
	cr_assert(queued > 20 && queued < 64, "%d", queued);
	cr_assert_eq(send_entry(store, "a", 1000, &outcome), KYNETA_STORE_EFULL);
	cr_assert_eq(kyneta_store_send_load_all(store, "a", 1, NULL, outcome_done, &outcome, NULL), 0,
		     "a little one may still fit");
	kyneta_store_free(store);
	cr_assert_eq(outcome.calls, queued + 1);

	/* An empty queue takes anything that a frame can hold. */
	store = client_new(&options);
	cr_assert_eq(send_entry(store, "a", 1 << 20, &outcome), 0);
	cr_assert_eq(send_entry(store, "a", 1, &outcome), KYNETA_STORE_EFULL);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_calls, too_large_a_frame_fails_here)
{
	struct outcome large = {.calls = 0}, small = {.calls = 0};
	struct kyneta_store_record record = {.type = KYNETA_STORE_META, .meta = "x", .meta_size = (size_t)2 << 30};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	fake.hello.frame_limit = 4096;
	store = client_ready(&fake, NULL);
	cr_assert_eq(send_entry(store, "a", 5000, &large), 0);
	client_append(store, "a", &small);
	kyneta_store_process(store);
	cr_assert_outcome(large, KYNETA_STORE_EFRAME_TOO_LARGE, KYNETA_STORE_NOT_APPLIED);
	fake_expect(&fake, OPERATION_APPEND, 2);
	fake_expect_nothing(&fake);
	cr_assert_eq(kyneta_store_send_append(store, "a", 1, &record, 1, NULL, outcome_done, &large),
		     KYNETA_STORE_EFRAME_TOO_LARGE, "larger than any frame: not even read");
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_calls, large_frames_cross_in_pieces)
{
	struct outcome outcome = {.calls = 0}, meta = {.calls = 0};
	struct request request;
	struct buffer text = BUFFER_EMPTY;
	struct pollfd ready;
	kyneta_store *store;
	bool is_whole = false;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	cr_assert_eq(send_entry(store, "a", 8 << 20, &outcome), 0);
	ready = (struct pollfd){.fd = kyneta_store_fd(store), .events = kyneta_store_events(store)};
	kyneta_store_process(store);
	while (!is_whole) {
		is_whole = fake_next(&fake, &request);
		cr_assert_eq(poll(&ready, 1, 0), is_whole ? 0 : 1, "readable as long as there is more to send");
		kyneta_store_process(store);
	}
	cr_assert_eq(request.id, 2u);
	fake_wrote(&fake, 2, 1);
	kyneta_store_process(store);
	cr_assert_success(outcome);

	for (size_t i = 0; i < 3 << 20; i++)
		buffer_append_byte(&text, 'x');
	cr_assert_eq(kyneta_store_send_current_meta(store, "a", 1, outcome_done, &meta), 0);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_CURRENT_META, 3);
	reply_encode_meta(&fake.out, 3, true, buffer_span(&text), (struct position){1, 1});
	for (size_t at = 0; at < fake.out.size; at += 50000) {
		size_t size = fake.out.size - at < 50000 ? fake.out.size - at : 50000;

		cr_assert_eq(meta.calls, 0);
		cr_assert_eq(send(fake.connection, fake.out.data + at, size, 0), (ssize_t)size);
		kyneta_store_process(store);
	}
	cr_assert_success(meta);
	buffer_free(&text);
	kyneta_store_free(store);
	fake_end(&fake);
}

/* ---- callbacks and misuse ---- */

struct nested {
	kyneta_store *store;
	int codes[4];
	int queued;
	struct outcome later;
};

static void nest(void *context, const struct kyneta_store_answer *answer)
{
	struct nested *nested = context;

	(void)answer;
	nested->codes[0] = kyneta_store_process(nested->store);
	nested->codes[1] = kyneta_store_ping(nested->store, NULL);
	nested->codes[2] = kyneta_store_flush(nested->store, NULL);
	nested->codes[3] = kyneta_store_close(nested->store, NULL);
	kyneta_store_free(nested->store); /* does nothing here */
	nested->queued = send_entry(nested->store, "next", 3, &nested->later);
}

Test(client_calls, callbacks_may_queue_and_nothing_else)
{
	struct nested nested = {.queued = -1};
	struct fake fake;

	fake_start(&fake);
	nested.store = client_ready(&fake, NULL);
	cr_assert_eq(kyneta_store_send_ping(nested.store, nest, &nested), 0);
	kyneta_store_process(nested.store);
	fake_expect(&fake, OPERATION_PING, 2);
	fake_done(&fake, 2);
	kyneta_store_process(nested.store);
	for (int i = 0; i < 4; i++)
		cr_assert_eq(nested.codes[i], KYNETA_STORE_EMISUSE);
	cr_assert_eq(nested.queued, 0);
	fake_expect(&fake, OPERATION_APPEND, 3); /* sent in the turn that queued it */
	fake_wrote(&fake, 3, 1);
	kyneta_store_process(nested.store);
	cr_assert_success(nested.later);
	kyneta_store_free(nested.store);
	fake_end(&fake);
}

static int append_record(kyneta_store *store, struct kyneta_store_record record)
{
	static struct outcome unused;

	return kyneta_store_send_append(store, "a", 1, &record, 1, NULL, outcome_done, &unused);
}

Test(client_calls, arguments_no_daemon_could_accept)
{
	struct kyneta_store_record good = {.type = KYNETA_STORE_ENTRY, .version = "v", .version_size = 1}, bad;
	struct kyneta_store_write write = {.durability = 2};
	struct outcome unused = {.calls = 0};
	struct kyneta_store_options options;
	kyneta_store *store, *other = NULL;
	struct fake fake;
	char name[4200];

	fake_start(&fake);
	options = fake_options(&fake);
	store = client_new(&options);
	cr_assert_eq(append_record(NULL, good), KYNETA_STORE_EMISUSE);
	cr_assert_eq(append_record(store, good), 0);
	bad = good, bad.type = 2;
	cr_assert_eq(append_record(store, bad), KYNETA_STORE_EMISUSE);
	bad = good, bad.kind = 2;
	cr_assert_eq(append_record(store, bad), KYNETA_STORE_EMISUSE);
	bad = good, bad.encoding = -1;
	cr_assert_eq(append_record(store, bad), KYNETA_STORE_EMISUSE);
	bad = good, bad.version = "\xff";
	cr_assert_eq(append_record(store, bad), KYNETA_STORE_EMISUSE);
	bad = good, bad.data = NULL, bad.data_size = 1;
	cr_assert_eq(append_record(store, bad), KYNETA_STORE_EMISUSE);
	bad = good, bad.data = "\xff", bad.data_size = 1;
	cr_assert_eq(append_record(store, bad), 0, "bytes are bytes");
	bad.data_is_text = true;
	cr_assert_eq(append_record(store, bad), KYNETA_STORE_EMISUSE);
	bad = good, bad.lineage = "\xc0\x80", bad.lineage_size = 2;
	cr_assert_eq(append_record(store, bad), 0, "not there");
	bad.has_lineage = true;
	cr_assert_eq(append_record(store, bad), KYNETA_STORE_EMISUSE);
	bad = (struct kyneta_store_record){.type = KYNETA_STORE_META, .meta = NULL, .meta_size = 3};
	cr_assert_eq(append_record(store, bad), KYNETA_STORE_EMISUSE);
	cr_assert_eq(kyneta_store_send_delete(store, NULL, 1, NULL, outcome_done, &unused), KYNETA_STORE_EMISUSE);
	cr_assert_eq(kyneta_store_send_delete(store, "\xed\xa0\x80", 3, NULL, outcome_done, &unused),
		     KYNETA_STORE_EMISUSE);
	cr_assert_eq(kyneta_store_send_delete(store, "a", 1, &write, outcome_done, &unused), KYNETA_STORE_EMISUSE);
	cr_assert_eq(kyneta_store_send_append(store, "a", 1, NULL, 1, NULL, outcome_done, &unused),
		     KYNETA_STORE_EMISUSE);
	cr_assert_eq(kyneta_store_send_current_meta(store, "\x80", 1, outcome_done, &unused), KYNETA_STORE_EMISUSE);
	cr_assert_eq(kyneta_store_send_load_all(store, "\x80", 1, NULL, outcome_done, &unused, NULL),
		     KYNETA_STORE_EMISUSE);
	cr_assert_eq(kyneta_store_append(store, NULL, 1, NULL, 0, NULL, NULL, NULL), KYNETA_STORE_EMISUSE);
	kyneta_store_free(store);

	cr_assert_eq(kyneta_store_new(&options, NULL, NULL), KYNETA_STORE_EMISUSE);
	options.layout = 3;
	cr_assert_eq(kyneta_store_new(&options, &other, NULL), KYNETA_STORE_EMISUSE);
	options = fake_options(&fake);
	options.size = 8;
	cr_assert_eq(kyneta_store_new(&options, &other, NULL), KYNETA_STORE_EMISUSE);
	options = fake_options(&fake);
	options.name = "\xff";
	cr_assert_eq(kyneta_store_new(&options, &other, NULL), KYNETA_STORE_EMISUSE);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	options.name = name;
	cr_assert_eq(kyneta_store_new(&options, &other, NULL), KYNETA_STORE_EMISUSE, "hello would not fit");
	cr_assert_null(other);
	fake_end(&fake);
}

Test(client_calls, requests_say_what_was_asked)
{
	struct kyneta_store_record records[12];
	struct kyneta_store_write write = {KYNETA_STORE_COMMITTED, true, {5, 6}};
	struct kyneta_store_options options;
	struct record_iterator iterator;
	struct outcome unused = {.calls = 0};
	struct request request;
	struct record record;
	kyneta_store *store;
	struct fake fake;

	for (int i = 0; i < 12; i++)
		records[i] = (struct kyneta_store_record){.type = KYNETA_STORE_ENTRY,
							  .kind = KYNETA_STORE_SINCE,
							  .encoding = KYNETA_STORE_BINARY,
							  .version = "v\0w",
							  .version_size = 3,
							  .has_lineage = i % 2 == 1,
							  .lineage = "l",
							  .lineage_size = 1,
							  .data_is_text = i % 3 == 1};
	records[5] = (struct kyneta_store_record){.type = KYNETA_STORE_META, .meta = FAKE_META, .meta_size = 9};
	fake_start(&fake);
	options = fake_options(&fake);
	options.durability = KYNETA_STORE_SYNCED;
	options.page_bytes = 1234;
	store = client_ready(&fake, &options);
	cr_assert_eq(kyneta_store_send_replace(store, "", 0, records, 12, &write, outcome_done, &unused), 0);
	cr_assert_eq(kyneta_store_send_append(store, "a\0b", 3, records, 1, NULL, outcome_done, &unused), 0);
	cr_assert_eq(kyneta_store_send_delete(store, "d", 1, NULL, outcome_done, &unused), 0);
	cr_assert_eq(kyneta_store_send_sync(store, outcome_done, &unused), 0);
	cr_assert_eq(kyneta_store_send_resume(store, NULL, NULL), 0);
	cr_assert_eq(kyneta_store_send_list_doc_ids(store, "pre", 3, NULL, outcome_done, &unused, NULL), 0);
	kyneta_store_process(store);
	request = fake_expect(&fake, OPERATION_REPLACE, 2);
	cr_assert_eq(request.document.size, 0u);
	cr_assert_eq(request.durability, DURABILITY_COMMITTED);
	cr_assert(request.has_expect);
	cr_assert_eq(request.expect.generation, 5u);
	cr_assert_eq(request.expect.next, 6u);
	cr_assert_eq(request.records.count, 12u);
	iterator = record_list_start(&request.records);
	for (int i = 0; i < 12; i++) {
		cr_assert(record_list_next(&iterator, &record));
		cr_assert_eq((int)record.type, records[i].type);
		cr_assert_eq(record.has_lineage, records[i].has_lineage);
		cr_assert_eq(record.data_is_text, records[i].data_is_text);
		cr_assert(span_equal(record.meta, span_of(records[i].meta, records[i].meta_size)));
		cr_assert(span_equal(record.version, span_of(records[i].version, records[i].version_size)));
	}
	request = fake_expect(&fake, OPERATION_APPEND, 3);
	cr_assert(span_equal(request.document, span_of("a\0b", 3)));
	cr_assert_eq(request.durability, DURABILITY_SYNCED);
	cr_assert(!request.has_expect);
	fake_expect(&fake, OPERATION_DELETE, 4);
	fake_expect(&fake, OPERATION_SYNC, 5);
	fake_expect(&fake, OPERATION_RESUME, 6);
	request = fake_expect(&fake, OPERATION_LIST_DOC_IDS, 7);
	cr_assert(span_equal(request.prefix, SPAN_LITERAL("pre")));
	cr_assert_eq(request.limit, 1234u);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_calls, errors_say_what_the_daemon_said)
{
	struct outcome conflict = {.calls = 0}, format = {.calls = 0};
	struct error_detail detail = {.position = {3, 4}, .text = SPAN_LITERAL("mixed-layouts")};
	struct buffer text = BUFFER_EMPTY;
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	client_append(store, "a", &conflict);
	client_append(store, "b", &format);
	kyneta_store_process(store);
	for (int i = 0; i < 400; i++)
		buffer_append(&text, "\xe2\x80\x94", 3);
	reply_encode_error(&fake.out, 2, ERROR_CONFLICT, buffer_span(&text), OUTCOME_NOT_APPLIED, &detail);
	reply_encode_error(&fake.out, 3, ERROR_INCOMPATIBLE_FORMAT, SPAN_LITERAL(""), OUTCOME_NOT_APPLIED, &detail);
	fake_send(&fake);
	kyneta_store_process(store);
	cr_assert_outcome(conflict, KYNETA_STORE_ECONFLICT, KYNETA_STORE_NOT_APPLIED);
	cr_assert(conflict.error.has_position);
	cr_assert_eq(conflict.error.position.generation, 3u);
	cr_assert_eq(conflict.error.position.next, 4u);
	cr_assert_eq(conflict.error.message_size, 1200u);
	cr_assert_eq(strlen(conflict.error.message), 1023u / 3 * 3, "cut between characters");
	cr_assert_outcome(format, KYNETA_STORE_EINCOMPATIBLE_FORMAT, KYNETA_STORE_NOT_APPLIED);
	cr_assert_str_eq(format.error.detail, "mixed-layouts");
	buffer_free(&text);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_calls, error_names)
{
	cr_assert_str_eq(kyneta_store_error_name(0), "ok");
	cr_assert_str_eq(kyneta_store_error_name(KYNETA_STORE_EDISK_FULL), "disk_full");
	cr_assert_str_eq(kyneta_store_error_name(KYNETA_STORE_EDEADLINE), "deadline");
	cr_assert_str_eq(kyneta_store_error_name(KYNETA_STORE_EFULL), "full");
	cr_assert_str_eq(kyneta_store_error_name(-1), "unknown_error");
	cr_assert_str_eq(kyneta_store_error_name(1 << 30), "unknown_error");
	cr_assert_str_eq(kyneta_store_version(), KYNETA_VERSION);
}

/* ---- deadlines ---- */

Test(client_calls, deadline_before_and_after_sending)
{
	struct outcome unsent = {.calls = 0}, sent = {.calls = 0}, read = {.calls = 0}, later = {.calls = 0};
	struct kyneta_store_options options;
	struct pollfd nothing = {.fd = -1};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	options = fake_options(&fake);
	options.deadline_ms = 30;
	store = client_new(&options);
	client_append(store, "a", &unsent);
	cr_assert_eq(kyneta_store_timeout(store), 0);
	kyneta_store_process(store);
	fake_accept(&fake);
	while (unsent.calls == 0) {
		poll(&nothing, 1, kyneta_store_timeout(store));
		kyneta_store_process(store);
	}
	cr_assert_outcome(unsent, KYNETA_STORE_EDEADLINE, KYNETA_STORE_NOT_APPLIED);
	fake_greet(&fake);
	kyneta_store_process(store);
	fake_expect_nothing(&fake);

	client_append(store, "b", &sent);
	cr_assert_eq(kyneta_store_send_current_meta(store, "b", 1, outcome_done, &read), 0);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_APPEND, 2);
	fake_expect(&fake, OPERATION_CURRENT_META, 3);
	while (read.calls == 0) {
		poll(&nothing, 1, kyneta_store_timeout(store));
		kyneta_store_process(store);
	}
	cr_assert_outcome(sent, KYNETA_STORE_EDEADLINE, KYNETA_STORE_UNKNOWN);
	cr_assert_outcome(read, KYNETA_STORE_EDEADLINE, KYNETA_STORE_NO_OUTCOME);
	cr_assert_eq(client_status(store).queued, 0u);

	/* The late answer is swallowed; on the next connection nothing is sent again. */
	fake_wrote(&fake, 2, 1);
	kyneta_store_process(store);
	cr_assert_eq(sent.calls, 1);
	client_reconnect(&fake, store);
	fake_expect_nothing(&fake);
	cr_assert_eq(kyneta_store_send_ping(store, outcome_done, &later), 0);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_PING, 4);
	kyneta_store_free(store);
	cr_assert_eq(unsent.calls + sent.calls + read.calls + later.calls, 4);
	fake_end(&fake);
}

Test(client_calls, deadline_of_a_frame_that_is_half_sent)
{
	struct outcome large = {.calls = 0}, next = {.calls = 0};
	struct kyneta_store_options options;
	struct pollfd nothing = {.fd = -1};
	struct request request;
	kyneta_store *store;
	bool is_whole;
	struct fake fake;

	fake_start(&fake);
	options = fake_options(&fake);
	options.deadline_ms = 30;
	store = client_ready(&fake, &options);
	cr_assert_eq(send_entry(store, "a", 4 << 20, &large), 0);
	kyneta_store_process(store);
	while (large.calls == 0) {
		poll(&nothing, 1, kyneta_store_timeout(store));
		kyneta_store_process(store);
	}
	cr_assert_outcome(large, KYNETA_STORE_EDEADLINE, KYNETA_STORE_UNKNOWN);
	/* The frame is completed all the same: the stream must stay whole. */
	do {
		is_whole = fake_next(&fake, &request);
		kyneta_store_process(store);
	} while (!is_whole);
	cr_assert_eq(request.id, 2u);
	cr_assert_eq(kyneta_store_send_ping(store, outcome_done, &next), 0);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_PING, 3);
	fake_wrote(&fake, 2, 1);
	fake_done(&fake, 3);
	kyneta_store_process(store);
	cr_assert_success(next);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_calls, deadline_of_close_ends_the_handle)
{
	struct outcome closed = {.calls = 0};
	struct kyneta_store_options options;
	struct kyneta_store_error error;
	kyneta_store *store, *opened = NULL;
	struct fake fake;

	fake_start(&fake);
	options = fake_options(&fake);
	options.deadline_ms = 20;
	store = client_ready(&fake, &options);
	cr_assert_eq(kyneta_store_close(store, &error), KYNETA_STORE_EDEADLINE);
	cr_assert_eq(kyneta_store_send_close(store, outcome_done, &closed), KYNETA_STORE_EDEADLINE);
	cr_assert_eq(closed.calls, 0);
	kyneta_store_free(store);
	fake_unlisten(&fake);
	options.backoff_base_ms = 1;
	cr_assert_eq(kyneta_store_open(&options, &opened, &error), KYNETA_STORE_EDEADLINE);
	cr_assert_not_null(strstr(error.message, "No such file"), "%s", error.message);
	cr_assert_null(opened);
	fake_end(&fake);
}
