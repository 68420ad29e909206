/*
 * The end of a handle: close and free.
 */
#include "tests/unit/client_fake.h"

TestSuite(client_close, .timeout = 60);

Test(client_close, close_goes_last_and_ends_the_handle)
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

Test(client_close, close_is_said_again_on_the_next_connection)
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

Test(client_close, close_does_not_wait_for_a_daemon_that_is_gone)
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

Test(client_close, free_calls_every_callback_once)
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
