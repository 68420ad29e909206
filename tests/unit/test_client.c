/*
 * The client and its connection: hello, refusals, lost connections, peers that are no daemon.
 */
#include "tests/unit/client_fake.h"

TestSuite(client, .timeout = 60);

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

Test(client, who_is_turned_away_does_not_come_back)
{
	struct outcome outcome = {.calls = 0};
	struct kyneta_store_options options;
	struct kyneta_store_error error;
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	options = fake_options(&fake);
	store = client_new(&options);
	client_append(store, "a", &outcome);
	kyneta_store_process(store);
	fake_accept(&fake);
	/* Nobody asks for its hello: the connection is closed right behind the word. */
	fake_refuse(&fake, 0, ERROR_DENIED, OUTCOME_NONE);
	fake_cut(&fake);
	cr_assert_eq(kyneta_store_process(store), KYNETA_STORE_EDENIED);
	cr_assert_outcome(outcome, KYNETA_STORE_EDENIED, KYNETA_STORE_NOT_APPLIED);
	cr_assert_eq(client_status(store).state, KYNETA_STORE_CLOSED);
	cr_assert_eq(kyneta_store_timeout(store), -1);
	cr_assert_eq(kyneta_store_ping(store, &error), KYNETA_STORE_EDENIED);
	cr_assert_str_eq(error.message, "denied");
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
