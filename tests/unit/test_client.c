/*
 * The client's core: connecting, pipelines, limits, endings.
 */
#include <poll.h>
#include <sys/stat.h>

#include "tests/unit/client_fake.h"

TestSuite(client, .timeout = 60);

struct states {
	int count;
	int state[32];
	int code[32];
};

static void note_state(void *context, int state, const struct kyneta_store_error *error)
{
	struct states *states = context;

	if (states->count < 32) {
		states->state[states->count] = state;
		states->code[states->count] = error != NULL ? error->code : 0;
	}
	states->count++;
}

/* ---- hello ---- */

Test(client, says_hello)
{
	struct states states = {.count = 0};
	struct kyneta_store_options options;
	struct kyneta_store_status status;
	struct request request;
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	options = fake_options(&fake);
	options.name = "unit";
	options.records_table = "r";
	options.layout = 2;
	options.no_create = true;
	options.access = KYNETA_STORE_EXCLUSIVE;
	options.state = note_state;
	options.state_context = &states;
	store = client_new(&options);
	cr_assert_eq(kyneta_store_timeout(store), 0);
	cr_assert_eq(client_status(store).state, KYNETA_STORE_CONNECTING);
	cr_assert_eq(kyneta_store_process(store), 0);
	request = fake_accept(&fake);
	cr_assert_eq(request.hello.lowest, 1u);
	cr_assert_eq(request.hello.highest, 1u);
	cr_assert(span_equal(request.hello.client, SPAN_LITERAL("unit")));
	cr_assert(span_equal(request.hello.records_table, SPAN_LITERAL("r")));
	cr_assert_eq(request.hello.layout, 2u);
	cr_assert(!request.hello.create);
	cr_assert_eq(request.hello.access, (uint64_t)ACCESS_EXCLUSIVE);
	cr_assert(request.hello.has_session);
	cr_assert_eq(kyneta_store_timeout(store), -1);
	fake_greet(&fake);
	cr_assert_eq(kyneta_store_process(store), 0);
	status = client_status(store);
	cr_assert_eq(status.state, KYNETA_STORE_READY);
	cr_assert_eq(status.layout, 2);
	cr_assert_eq(status.connects, 1u);
	cr_assert_str_eq(status.daemon, "fake");
	cr_assert_eq(states.count, 1);
	cr_assert_eq(states.state[0], KYNETA_STORE_READY);
	kyneta_store_free(store);
	cr_assert_eq(states.count, 1);
	fake_end(&fake);
}

Test(client, every_handle_has_a_session_of_its_own)
{
	uint8_t first[SESSION_SIZE];
	kyneta_store *a, *b;
	struct fake fake;

	fake_start(&fake);
	a = client_ready(&fake, NULL);
	memcpy(first, fake.session, SESSION_SIZE);
	client_reconnect(&fake, a);
	cr_assert_eq(memcmp(first, fake.session, SESSION_SIZE), 0, "a reconnect keeps it");
	b = client_ready(&fake, NULL);
	cr_assert_neq(memcmp(first, fake.session, SESSION_SIZE), 0);
	kyneta_store_free(a);
	kyneta_store_free(b);
	fake_end(&fake);
}

Test(client, hello_cut_anywhere_is_said_again)
{
	kyneta_store *store;
	struct buffer reply = BUFFER_EMPTY;
	struct fake fake;

	fake_start(&fake);
	reply_encode_hello(&reply, HELLO_ID, &fake.hello);
	for (size_t size = 0; size < reply.size; size++) {
		struct kyneta_store_options options = fake_options(&fake);

		store = client_new(&options);
		kyneta_store_process(store);
		fake_accept(&fake);
		fake_send_bytes(&fake, reply.data, size);
		kyneta_store_process(store);
		client_reconnect(&fake, store);
		cr_assert_eq(client_status(store).state, KYNETA_STORE_READY);
		kyneta_store_free(store);
	}
	buffer_free(&reply);
	fake_end(&fake);
}

Test(client, reply_arrives_byte_by_byte)
{
	struct outcome outcome = {.calls = 0};
	struct buffer reply = BUFFER_EMPTY;
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	client_append(store, "a", &outcome);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_APPEND, 2);
	reply_encode_write(&reply, 2, (struct position){7, 300}, false);
	for (size_t i = 0; i < reply.size; i++) {
		cr_assert_eq(outcome.calls, 0);
		fake_send_bytes(&fake, reply.data + i, 1);
		kyneta_store_process(store);
	}
	cr_assert_success(outcome);
	cr_assert_eq(outcome.next, 300u);
	buffer_free(&reply);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client, refusals_that_pass_are_tried_again)
{
	static const uint64_t codes[] = {ERROR_BUSY, ERROR_TOO_MANY_CONNECTIONS, ERROR_DRAINING};
	struct states states = {.count = 0};
	struct kyneta_store_options options;
	struct outcome outcome = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	options = fake_options(&fake);
	options.state = note_state;
	options.state_context = &states;
	store = client_new(&options);
	client_append(store, "a", &outcome);
	for (size_t i = 0; i < 3; i++) {
		kyneta_store_process(store);
		fake_accept(&fake);
		/* as an answer to hello, and as an error about the connection */
		fake_refuse(&fake, i == 1 ? 0 : HELLO_ID, codes[i], OUTCOME_NONE);
		cr_assert_eq(kyneta_store_process(store), 0);
		cr_assert_eq(states.code[i], (int)codes[i]);
		cr_assert_eq(states.state[i], KYNETA_STORE_CONNECTING);
	}
	kyneta_store_process(store);
	fake_accept(&fake);
	fake_drain(&fake);
	kyneta_store_process(store);
	kyneta_store_process(store);
	fake_accept(&fake);
	fake_greet(&fake);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_APPEND, 2);
	fake_wrote(&fake, 2, 1);
	kyneta_store_process(store);
	cr_assert_success(outcome);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client, final_refusal_ends_the_handle_also_on_a_reconnect)
{
	struct outcome sent = {.calls = 0}, unsent = {.calls = 0}, late = {.calls = 0};
	struct kyneta_store_error error;
	struct states states = {.count = 0};
	struct kyneta_store_options options;
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	options = fake_options(&fake);
	options.state = note_state;
	options.state_context = &states;
	store = client_ready(&fake, &options);
	client_append(store, "a", &sent);
	kyneta_store_process(store);
	fake_cut(&fake);
	kyneta_store_process(store);
	client_append(store, "a", &unsent);
	kyneta_store_process(store);
	fake_accept(&fake);
	fake_refuse(&fake, HELLO_ID, ERROR_STORE_IN_USE, OUTCOME_NONE);
	cr_assert_eq(kyneta_store_process(store), KYNETA_STORE_ESTORE_IN_USE);
	cr_assert_outcome(sent, KYNETA_STORE_ESTORE_IN_USE, KYNETA_STORE_UNKNOWN);
	cr_assert_outcome(unsent, KYNETA_STORE_ESTORE_IN_USE, KYNETA_STORE_NOT_APPLIED);
	cr_assert_eq(client_status(store).state, KYNETA_STORE_CLOSED);
	cr_assert_eq(states.state[states.count - 1], KYNETA_STORE_CLOSED);
	cr_assert_eq(states.code[states.count - 1], KYNETA_STORE_ESTORE_IN_USE);
	cr_assert_eq(send_entry(store, "a", 1, &late), KYNETA_STORE_ESTORE_IN_USE);
	cr_assert_eq(kyneta_store_ping(store, &error), KYNETA_STORE_ESTORE_IN_USE);
	cr_assert_str_eq(error.message, "store_in_use");
	cr_assert_eq(kyneta_store_timeout(store), -1);
	cr_assert_eq(kyneta_store_process(store), KYNETA_STORE_ESTORE_IN_USE);
	kyneta_store_free(store);
	cr_assert_eq(sent.calls + unsent.calls + late.calls, 2);
	fake_end(&fake);
}

/* ---- pipelines ---- */

Test(client, pipeline_goes_out_in_order_and_answers_come_in_any)
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

Test(client, push_sends_and_does_not_read)
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

Test(client, keeps_the_daemons_limit_of_requests_in_flight)
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
Test(client, does_not_run_away_from_an_unanswered_write)
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

Test(client, queue_has_a_limit)
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

Test(client, too_large_a_frame_fails_here)
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

Test(client, large_frames_cross_in_pieces)
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

/* ---- a lost connection ---- */

Test(client, unanswered_requests_are_sent_again_under_their_ids)
{
	struct outcome a = {.calls = 0}, b = {.calls = 0}, c = {.calls = 0}, d = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	client_append(store, "a", &a);
	client_append(store, "b", &b);
	cr_assert_eq(kyneta_store_send_current_meta(store, "a", 1, outcome_done, &c), 0);
	kyneta_store_process(store);
	fake_wrote(&fake, 3, 1);
	kyneta_store_process(store);
	cr_assert_success(b);
	fake_cut(&fake);
	kyneta_store_process(store);
	client_append(store, "a", &d);
	kyneta_store_process(store);
	fake_accept(&fake);
	fake_expect_nothing(&fake);
	fake.hello.through = 3;
	fake_greet(&fake);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_APPEND, 2);
	fake_expect(&fake, OPERATION_CURRENT_META, 4);
	fake_expect(&fake, OPERATION_APPEND, 5);
	fake_duplicate(&fake, 2);
	reply_encode_meta(&fake.out, 4, true, SPAN_LITERAL("{}"), (struct position){1, 2});
	fake_send(&fake);
	fake_wrote(&fake, 5, 3);
	kyneta_store_process(store);
	cr_assert_success(a);
	cr_assert(a.duplicate);
	cr_assert_success(c);
	cr_assert_str_eq(c.meta, "{}");
	cr_assert_success(d);
	cr_assert_eq(client_status(store).resent, 2u);
	cr_assert_eq(client_status(store).duplicates, 1u);
	cr_assert_eq(client_status(store).connects, 2u);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client, request_cut_in_the_middle_is_sent_whole)
{
	struct outcome large = {.calls = 0}, small = {.calls = 0};
	struct request request;
	kyneta_store *store;
	bool is_whole;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	cr_assert_eq(send_entry(store, "a", 4 << 20, &large), 0);
	client_append(store, "a", &small);
	kyneta_store_process(store);
	cr_assert(!fake_next(&fake, &request), "only a part fits");
	client_reconnect(&fake, store);
	do {
		is_whole = fake_next(&fake, &request);
		kyneta_store_process(store);
	} while (!is_whole);
	cr_assert_eq(request.id, 2u);
	fake_expect(&fake, OPERATION_APPEND, 3);
	cr_assert_eq(client_status(store).resent, 1u);
	kyneta_store_free(store);
	cr_assert_outcome(large, KYNETA_STORE_ECLOSED, KYNETA_STORE_UNKNOWN);
	cr_assert_outcome(small, KYNETA_STORE_ECLOSED, KYNETA_STORE_UNKNOWN);
	fake_end(&fake);
}

Test(client, answers_before_the_end_are_taken)
{
	struct outcome first = {.calls = 0}, second = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	client_append(store, "a", &first);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_APPEND, 2);
	fake_wrote(&fake, 2, 1);
	close(fake.connection);
	fake.connection = -1;
	client_append(store, "a", &second);
	kyneta_store_push(store); /* finds the connection closed */
	cr_assert_eq(first.calls, 0);
	kyneta_store_process(store);
	cr_assert_success(first);
	kyneta_store_process(store);
	kyneta_store_process(store);
	fake_accept(&fake);
	fake_greet(&fake);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_APPEND, 3);
	cr_assert_eq(client_status(store).resent, 0u, "it was never sent");
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client, daemon_that_is_away_is_waited_for)
{
	struct outcome outcome = {.calls = 0};
	struct states states = {.count = 0};
	struct kyneta_store_options options;
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	fake_unlisten(&fake);
	options = fake_options(&fake);
	options.state = note_state;
	options.state_context = &states;
	store = client_new(&options);
	client_append(store, "a", &outcome);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(kyneta_store_process(store), 0);
	cr_assert_eq(states.count, 5);
	cr_assert_eq(states.code[4], KYNETA_STORE_ESOCKET);
	cr_assert_eq(states.state[4], KYNETA_STORE_CONNECTING);
	fake_listen(&fake);
	kyneta_store_process(store);
	fake_accept(&fake);
	fake_greet(&fake);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_APPEND, 2);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client, full_backlog_is_waited_for)
{
	struct kyneta_store_options options;
	kyneta_store *stores[40];
	int connections[40], greeted = 0;
	struct fake fake;

	fake_start(&fake); /* its backlog takes 17 */
	options = fake_options(&fake);
	for (int i = 0; i < 40; i++) {
		stores[i] = client_new(&options);
		cr_assert_eq(kyneta_store_process(stores[i]), 0);
	}
	while (greeted < 40) {
		cr_assert(fake_try_accept(&fake));
		fake_expect(&fake, OPERATION_HELLO, HELLO_ID);
		fake_greet(&fake);
		connections[greeted++] = fake.connection;
		fake.connection = -1;
		for (int i = 0; i < 40; i++)
			cr_assert_eq(kyneta_store_process(stores[i]), 0);
	}
	for (int i = 0; i < 40; i++) {
		cr_assert_eq(client_status(stores[i]).connects, 1u);
		kyneta_store_free(stores[i]);
		close(connections[i]);
	}
	fake_end(&fake);
}

Test(client, backoff_grows_and_has_a_limit)
{
	struct kyneta_store_options options;
	int waits[8], longest = 0;
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	fake_unlisten(&fake);
	options = fake_options(&fake);
	options.backoff_base_ms = 100000;
	options.backoff_max_ms = 400000;
	/* The first wait is anywhere below the base: of several handles, one waits more than a tenth of it. */
	for (int i = 0; i < 8; i++) {
		store = client_new(&options);
		kyneta_store_process(store);
		waits[i] = kyneta_store_timeout(store);
		cr_assert(waits[i] >= 0 && waits[i] <= 100000, "%d", waits[i]);
		longest = waits[i] > longest ? waits[i] : longest;
		kyneta_store_free(store);
	}
	cr_assert_gt(longest, 10000);
	fake_end(&fake);
}

Test(client, hopeless_paths_end_the_handle)
{
	struct outcome outcome = {.calls = 0};
	struct kyneta_store_options options = KYNETA_STORE_OPTIONS_INIT;
	struct kyneta_store_error error;
	char path[200], folder[SCRATCH_SIZE];
	kyneta_store *store = NULL;

	memset(path, 'x', sizeof(path));
	path[108] = '\0';
	options.path = path;
	cr_assert_eq(kyneta_store_new(&options, &store, &error), KYNETA_STORE_ESOCKET);
	cr_assert_not_null(strstr(error.message, "107 bytes"));
	cr_assert_null(store);
	cr_assert_eq(kyneta_store_open(&options, &store, NULL), KYNETA_STORE_ESOCKET);
	cr_assert_null(store);
	path[107] = '\0';
	cr_assert_eq(kyneta_store_new(&options, &store, &error), 0);
	kyneta_store_free(store);

	/* A folder that is a file. */
	scratch_make(folder);
	snprintf(path, sizeof(path), "%s/file", folder);
	fclose(fopen(path, "w"));
	strcat(path, "/s");
	store = client_new(&options);
	client_append(store, "a", &outcome);
	cr_assert_eq(kyneta_store_process(store), KYNETA_STORE_ESOCKET);
	cr_assert_outcome(outcome, KYNETA_STORE_ESOCKET, KYNETA_STORE_NOT_APPLIED);
	kyneta_store_free(store);
	cr_assert_eq(kyneta_store_open(&options, &store, &error), KYNETA_STORE_ESOCKET);
	cr_assert_not_null(strstr(error.message, "Not a directory"), "%s", error.message);
	scratch_remove(folder);
}

Test(client, without_reconnecting_a_lost_connection_is_the_end)
{
	struct outcome write = {.calls = 0}, read = {.calls = 0}, drained = {.calls = 0};
	struct kyneta_store_options options;
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	options = fake_options(&fake);
	options.no_reconnect = true;
	store = client_ready(&fake, &options);
	client_append(store, "a", &drained);
	client_append(store, "b", &write);
	cr_assert_eq(kyneta_store_send_current_meta(store, "a", 1, outcome_done, &read), 0);
	kyneta_store_process(store);
	fake_drain(&fake);
	fake_refuse(&fake, 2, ERROR_DRAINING, OUTCOME_NOT_APPLIED);
	cr_assert_eq(kyneta_store_process(store), 0);
	cr_assert_outcome(drained, KYNETA_STORE_EDRAINING, KYNETA_STORE_NOT_APPLIED);
	fake_cut(&fake);
	cr_assert_eq(kyneta_store_process(store), KYNETA_STORE_ESOCKET);
	cr_assert_outcome(write, KYNETA_STORE_ESOCKET, KYNETA_STORE_UNKNOWN);
	cr_assert_outcome(read, KYNETA_STORE_ESOCKET, KYNETA_STORE_NO_OUTCOME);
	kyneta_store_free(store);
	fake_unlisten(&fake);
	store = client_new(&options);
	cr_assert_eq(kyneta_store_process(store), KYNETA_STORE_ESOCKET);
	kyneta_store_free(store);
	fake_end(&fake);
}

/* ---- a peer that is no daemon ---- */

static void expect_protocol_error(const void *bytes, size_t size)
{
	struct outcome outcome = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	client_append(store, "a", &outcome);
	kyneta_store_process(store);
	fake_send_bytes(&fake, bytes, size);
	cr_assert_eq(kyneta_store_process(store), KYNETA_STORE_EPROTOCOL);
	cr_assert_outcome(outcome, KYNETA_STORE_EPROTOCOL, KYNETA_STORE_UNKNOWN);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client, garbage_ends_the_handle)
{
	expect_protocol_error("\x00\x00\x00\x00", 4);			       /* an empty frame */
	expect_protocol_error("\xff\xff\xff\xff", 4);			       /* 4 GiB */
	expect_protocol_error("\x00\x00\x00\x01\xc0", 5);		       /* nil */
	expect_protocol_error("\x00\x00\x00\x03\x92\x63\x00", 7);	       /* an id that was not used */
	expect_protocol_error("\x00\x00\x00\x03\x92\x01\x00", 7);	       /* hello once more */
	expect_protocol_error("\x00\x00\x00\x03\x92\x02\x00", 7);	       /* an append without a position */
	expect_protocol_error("\x00\x00\x00\x06\x92\x02\xcd\x03\xe8\xc0", 10); /* bytes left over */
	expect_protocol_error("\x00\x00\x00\x06\x93\x02\xcd\x03\xe8\xc0", 10); /* code 1000 */
	expect_protocol_error("HTTP/1.1 400 Bad Request\r\n\r\n", 28);
}

Test(client, garbage_instead_of_hello)
{
	struct kyneta_store_options options;
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	options = fake_options(&fake);
	store = client_new(&options);
	kyneta_store_process(store);
	fake_accept(&fake);
	fake_send_bytes(&fake, "\x00\x00\x00\x03\x92\x02\x00", 7);
	cr_assert_eq(kyneta_store_process(store), KYNETA_STORE_EPROTOCOL);
	kyneta_store_free(store);

	store = client_new(&options);
	kyneta_store_process(store);
	fake_accept(&fake);
	fake.hello.version = 2;
	fake_greet(&fake);
	cr_assert_eq(kyneta_store_process(store), KYNETA_STORE_EPROTOCOL);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client, error_about_the_connection_is_final_or_passes)
{
	struct outcome outcome = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	client_append(store, "a", &outcome);
	kyneta_store_process(store);
	fake_send_bytes(&fake, "\x00\x00\x00\x03\x92\x00\x07", 7); /* an event of a later version */
	fake_refuse(&fake, 0, ERROR_BUSY, OUTCOME_NONE);
	cr_assert_eq(kyneta_store_process(store), 0);
	cr_assert_eq(outcome.calls, 0);
	kyneta_store_process(store);
	fake_accept(&fake);
	fake_greet(&fake);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_APPEND, 2);
	fake_refuse(&fake, 0, ERROR_MALFORMED, OUTCOME_NONE);
	cr_assert_eq(kyneta_store_process(store), KYNETA_STORE_EMALFORMED);
	cr_assert_outcome(outcome, KYNETA_STORE_EMALFORMED, KYNETA_STORE_UNKNOWN);
	kyneta_store_free(store);
	fake_end(&fake);
}

/* ---- close and free ---- */

Test(client, close_goes_last_and_ends_the_handle)
{
	struct outcome write = {.calls = 0}, close_1 = {.calls = 0}, close_2 = {.calls = 0}, close_3 = {.calls = 0};
	struct kyneta_store_error error;
	struct states states = {.count = 0};
	struct kyneta_store_options options;
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	options = fake_options(&fake);
	options.state = note_state;
	options.state_context = &states;
	store = client_ready(&fake, &options);
	client_append(store, "a", &write);
	cr_assert_eq(kyneta_store_send_close(store, outcome_done, &close_1), 0);
	cr_assert_eq(send_entry(store, "a", 1, &write), KYNETA_STORE_ECLOSED);
	cr_assert_eq(kyneta_store_send_close(store, outcome_done, &close_2), 0);
	cr_assert_eq(client_status(store).queued, 3u);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_APPEND, 2);
	fake_expect_nothing(&fake); /* the session must outlive the answer */
	fake_wrote(&fake, 2, 1);
	kyneta_store_process(store);
	cr_assert_success(write);
	fake_expect(&fake, OPERATION_CLOSE, 3);
	fake_done(&fake, 3);
	cr_assert_eq(kyneta_store_process(store), 0);
	cr_assert_success(close_1);
	cr_assert_success(close_2);
	cr_assert_eq(states.count, 2);
	cr_assert_eq(states.state[1], KYNETA_STORE_CLOSED);
	cr_assert_eq(states.code[1], 0);
	cr_assert(!fake_read(&fake), "the socket is closed");
	cr_assert_eq(kyneta_store_send_close(store, outcome_done, &close_3), 0);
	cr_assert_eq(kyneta_store_timeout(store), 0);
	cr_assert_eq(kyneta_store_process(store), 0);
	cr_assert_success(close_3);
	cr_assert_eq(kyneta_store_close(store, &error), 0);
	cr_assert_eq(kyneta_store_ping(store, &error), KYNETA_STORE_ECLOSED);
	cr_assert_eq(client_status(store).queued, 0u);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client, close_is_said_again_on_the_next_connection)
{
	struct outcome outcome = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	cr_assert_eq(kyneta_store_send_close(store, outcome_done, &outcome), 0);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_CLOSE, 2);
	client_reconnect(&fake, store);
	fake_expect(&fake, OPERATION_CLOSE, 2);
	fake_done(&fake, 2);
	kyneta_store_process(store);
	cr_assert_success(outcome);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client, close_does_not_wait_for_a_daemon_that_is_gone)
{
	struct outcome write = {.calls = 0}, closed = {.calls = 0};
	struct kyneta_store_options options;
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	client_append(store, "a", &write);
	cr_assert_eq(kyneta_store_send_close(store, outcome_done, &closed), 0);
	kyneta_store_process(store);
	fake_unlisten(&fake);
	fake_cut(&fake);
	for (int i = 0; i < 5; i++)
		kyneta_store_process(store);
	cr_assert_eq(closed.calls, 0, "a write waits for its answer");
	fake_listen(&fake);
	kyneta_store_process(store);
	fake_accept(&fake);
	fake_greet(&fake);
	kyneta_store_process(store);
	fake_wrote(&fake, 2, 1);
	kyneta_store_process(store);
	cr_assert_success(write);
	fake_unlisten(&fake);
	fake_cut(&fake);
	kyneta_store_process(store);
	kyneta_store_process(store);
	cr_assert_success(closed);
	kyneta_store_free(store);

	/* Never connected: nothing to close. */
	options = fake_options(&fake);
	store = client_new(&options);
	cr_assert_eq(kyneta_store_close(store, NULL), 0);
	kyneta_store_free(store);
	fake_listen(&fake);
	fake_end(&fake);
}

Test(client, free_calls_every_callback_once)
{
	struct outcome sent = {.calls = 0}, unsent = {.calls = 0}, stream = {.calls = 0}, closed = {.calls = 0};
	struct outcome list = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	client_append(store, "a", &sent);
	kyneta_store_process(store);
	client_append(store, "a", &unsent);
	cr_assert_eq(kyneta_store_send_load_all(store, "a", 1, NULL, outcome_done, &stream, NULL), 0);
	cr_assert_eq(kyneta_store_send_list_doc_ids(store, NULL, 0, NULL, outcome_done, &list, NULL), 0);
	cr_assert_eq(kyneta_store_send_close(store, outcome_done, &closed), 0);
	cr_assert_eq(client_status(store).queued, 5u);
	kyneta_store_free(store);
	cr_assert_outcome(sent, KYNETA_STORE_ECLOSED, KYNETA_STORE_UNKNOWN);
	cr_assert_outcome(unsent, KYNETA_STORE_ECLOSED, KYNETA_STORE_NOT_APPLIED);
	cr_assert_outcome(stream, KYNETA_STORE_ECLOSED, KYNETA_STORE_NO_OUTCOME);
	cr_assert_outcome(list, KYNETA_STORE_ECLOSED, KYNETA_STORE_NO_OUTCOME);
	cr_assert_outcome(closed, KYNETA_STORE_ECLOSED, KYNETA_STORE_NO_OUTCOME);
	kyneta_store_free(NULL);
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

Test(client, callbacks_may_queue_and_nothing_else)
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

Test(client, arguments_no_daemon_could_accept)
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

Test(client, requests_say_what_was_asked)
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

Test(client, errors_say_what_the_daemon_said)
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

Test(client, error_names)
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

Test(client, deadline_before_and_after_sending)
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

Test(client, deadline_of_a_frame_that_is_half_sent)
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

Test(client, deadline_of_close_ends_the_handle)
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
