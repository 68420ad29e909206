/*
 * What the client does so that nothing is lost, nothing is done twice and no pipeline has a hole: latched documents,
 * daemons that drain, answers that are none, sessions that are forgotten.
 */
#include <poll.h>

#include "tests/unit/client_fake.h"

TestSuite(client_order, .timeout = 60);

/* ---- latched documents ---- */

Test(client_order, what_was_behind_a_failed_write_is_not_sent_again)
{
	struct outcome failed = {.calls = 0}, behind = {.calls = 0}, other = {.calls = 0}, fresh = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	client_append(store, "a", &failed);
	client_append(store, "a", &behind);
	client_append(store, "b", &other);
	kyneta_store_process(store);
	fake_refuse(&fake, 2, ERROR_DISK_FULL, OUTCOME_NOT_APPLIED);
	kyneta_store_process(store);
	cr_assert_outcome(failed, KYNETA_STORE_EDISK_FULL, KYNETA_STORE_NOT_APPLIED);
	cr_assert_eq(behind.calls, 0, "the daemon answers it");
	client_reconnect(&fake, store);
	client_append(store, "a", &fresh);
	kyneta_store_process(store);
	cr_assert_outcome(behind, KYNETA_STORE_EDISK_FULL, KYNETA_STORE_NOT_APPLIED);
	cr_assert_outcome(fresh, KYNETA_STORE_EDISK_FULL, KYNETA_STORE_NOT_APPLIED);
	fake_expect(&fake, OPERATION_APPEND, 4);
	fake_expect_nothing(&fake);
	fake_wrote(&fake, 4, 1);
	kyneta_store_process(store);
	cr_assert_success(other);
	kyneta_store_free(store);
	fake_end(&fake);
}

/* What is not above `through` may have been done; the daemon remembers, so it is asked. */
Test(client_order, daemon_is_asked_about_what_it_may_have_done)
{
	struct outcome failed = {.calls = 0}, recorded = {.calls = 0}, lost = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	client_append(store, "a", &failed);
	client_append(store, "a", &recorded);
	client_append(store, "a", &lost);
	kyneta_store_process(store);
	fake_refuse(&fake, 2, ERROR_BUSY, OUTCOME_NOT_APPLIED);
	kyneta_store_process(store);
	fake.hello.through = 3;
	client_reconnect(&fake, store);
	fake_expect(&fake, OPERATION_APPEND, 3);
	fake_expect_nothing(&fake);
	cr_assert_outcome(lost, KYNETA_STORE_EBUSY, KYNETA_STORE_NOT_APPLIED);
	fake_refuse(&fake, 3, ERROR_BUSY, OUTCOME_NOT_APPLIED);
	kyneta_store_process(store);
	cr_assert_outcome(recorded, KYNETA_STORE_EBUSY, KYNETA_STORE_NOT_APPLIED);
	kyneta_store_free(store);
	fake_end(&fake);
}

/* An answer that overtook an earlier write's: that one is not behind the failure, and is sent again. */
Test(client_order, writes_before_the_failed_one_are_sent_again)
{
	struct outcome before = {.calls = 0}, failed = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	client_append(store, "a", &before);
	client_append(store, "a", &failed);
	kyneta_store_process(store);
	fake_refuse(&fake, 3, ERROR_READ_ONLY, OUTCOME_NOT_APPLIED);
	kyneta_store_process(store);
	client_reconnect(&fake, store);
	fake_expect(&fake, OPERATION_APPEND, 2);
	cr_assert_eq(before.calls, 0);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_order, resume_has_its_place_in_the_order)
{
	struct outcome failed = {.calls = 0}, behind = {.calls = 0}, resumed = {.calls = 0}, after = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	client_append(store, "a", &failed);
	client_append(store, "a", &behind);
	cr_assert_eq(kyneta_store_send_resume(store, outcome_done, &resumed), 0);
	client_append(store, "a", &after);
	kyneta_store_process(store);
	fake_refuse(&fake, 2, ERROR_IO_ERROR, OUTCOME_NOT_APPLIED);
	kyneta_store_process(store);
	client_reconnect(&fake, store);
	cr_assert_outcome(behind, KYNETA_STORE_EIO_ERROR, KYNETA_STORE_NOT_APPLIED);
	fake_expect(&fake, OPERATION_RESUME, 4);
	fake_expect(&fake, OPERATION_APPEND, 5);
	fake_done(&fake, 4);
	fake_wrote(&fake, 5, 1);
	kyneta_store_process(store);
	cr_assert_success(resumed);
	cr_assert_success(after);
	kyneta_store_free(store);
	fake_end(&fake);
}

/* The set of latched documents is bounded: beyond it all of them are latched, until a resume. */
Test(client_order, more_latches_than_are_kept_latch_everything)
{
	struct outcome failed = {.calls = 0}, innocent = {.calls = 0}, resumed = {.calls = 0}, after = {.calls = 0};
	kyneta_store *store;
	struct fake fake;
	uint64_t id = 1;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	for (int i = 0; i < 4097; i++) { /* one more than are kept */
		char document[32];

		snprintf(document, sizeof(document), "%d", i);
		client_append(store, document, &failed);
		kyneta_store_process(store);
		fake_expect(&fake, OPERATION_APPEND, ++id);
		fake_refuse(&fake, id, ERROR_READ_ONLY, OUTCOME_NOT_APPLIED);
		kyneta_store_process(store);
		cr_assert_eq(failed.calls, i + 1);
	}
	client_reconnect(&fake, store);
	client_append(store, "innocent", &innocent);
	kyneta_store_process(store);
	cr_assert_outcome(innocent, KYNETA_STORE_EREAD_ONLY, KYNETA_STORE_NOT_APPLIED);
	fake_expect_nothing(&fake);
	cr_assert_eq(kyneta_store_send_resume(store, outcome_done, &resumed), 0);
	client_append(store, "innocent", &after);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_RESUME, id + 1);
	fake_expect(&fake, OPERATION_APPEND, id + 2);
	fake_done(&fake, id + 1);
	fake_wrote(&fake, id + 2, 1);
	kyneta_store_process(store);
	cr_assert_success(resumed);
	cr_assert_success(after);
	kyneta_store_free(store);
	fake_end(&fake);
}

/* A write that is wrong by itself stops nothing. */
Test(client_order, failures_of_their_own_latch_nothing)
{
	struct outcome failed = {.calls = 0}, behind = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	client_append(store, "a", &failed);
	client_append(store, "a", &behind);
	kyneta_store_process(store);
	fake_refuse(&fake, 2, ERROR_CONFLICT, OUTCOME_NOT_APPLIED);
	kyneta_store_process(store);
	cr_assert_outcome(failed, KYNETA_STORE_ECONFLICT, KYNETA_STORE_NOT_APPLIED);
	client_reconnect(&fake, store);
	fake_expect(&fake, OPERATION_APPEND, 3);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_order, blocking_writes_resume_by_themselves)
{
	struct kyneta_store_options options;
	struct outcome failed = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	options = fake_options(&fake);
	options.deadline_ms = 20; /* nobody answers: what is looked at is what was sent */
	store = client_ready(&fake, &options);
	client_append(store, "a", &failed);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_APPEND, 2);
	fake_refuse(&fake, 2, ERROR_DISK_FULL, OUTCOME_NOT_APPLIED);
	kyneta_store_process(store);
	cr_assert_eq(kyneta_store_delete(store, "b", 1, NULL, NULL, NULL), KYNETA_STORE_EDEADLINE);
	fake_expect(&fake, OPERATION_DELETE, 3);
	cr_assert_eq(kyneta_store_delete(store, "a", 1, NULL, NULL, NULL), KYNETA_STORE_EDEADLINE);
	fake_expect(&fake, OPERATION_RESUME, 4);
	fake_expect(&fake, OPERATION_DELETE, 5);
	fake_expect_nothing(&fake);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_order, writes_behind_a_deadline_fail)
{
	struct outcome late = {.calls = 0}, behind = {.calls = 0}, other = {.calls = 0}, again = {.calls = 0};
	struct kyneta_store_options options;
	struct pollfd nothing = {.fd = -1};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	options = fake_options(&fake);
	options.deadline_ms = 20;
	store = client_ready(&fake, &options);
	client_append(store, "a", &late);
	kyneta_store_process(store);
	while (late.calls == 0) {
		poll(&nothing, 1, kyneta_store_timeout(store));
		kyneta_store_process(store);
	}
	cr_assert_outcome(late, KYNETA_STORE_EDEADLINE, KYNETA_STORE_UNKNOWN);
	client_append(store, "a", &behind);
	client_append(store, "b", &other);
	cr_assert_eq(kyneta_store_send_resume(store, NULL, NULL), 0);
	client_append(store, "a", &again);
	kyneta_store_process(store);
	cr_assert_outcome(behind, KYNETA_STORE_EDEADLINE, KYNETA_STORE_NOT_APPLIED);
	fake_expect(&fake, OPERATION_APPEND, 2);
	fake_expect(&fake, OPERATION_APPEND, 3);
	fake_expect(&fake, OPERATION_RESUME, 4);
	fake_expect(&fake, OPERATION_APPEND, 5);
	kyneta_store_free(store);
	fake_end(&fake);
}

/* ---- draining ---- */

Test(client_order, draining_daemon_gets_nothing_new)
{
	struct outcome sent = {.calls = 0}, held = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	client_append(store, "a", &sent);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_APPEND, 2);
	fake_drain(&fake);
	kyneta_store_process(store);
	client_append(store, "a", &held);
	kyneta_store_process(store);
	fake_expect_nothing(&fake);
	cr_assert_eq(kyneta_store_timeout(store), -1);
	fake_wrote(&fake, 2, 1);
	kyneta_store_process(store);
	cr_assert_success(sent);
	cr_assert(!fake_read(&fake), "the client has left");
	kyneta_store_process(store);
	fake_accept(&fake);
	fake.hello.through = 2;
	fake_greet(&fake);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_APPEND, 3);
	cr_assert_eq(client_status(store).resent, 0u);
	kyneta_store_free(store);
	fake_end(&fake);
}

/*
 * 2: a, refused. 3: b, unanswered. 4: a, unanswered, so refused. 5: read of a. 6: read of b. 7: listing, which sees all
 * writes. 8: c, refused. 9: a, never sent.
 */
Test(client_order, refused_writes_get_new_ids_and_keep_their_order)
{
	struct outcome outcomes[9];
	struct request request;
	kyneta_store *store;
	struct fake fake;

	memset(outcomes, 0, sizeof(outcomes));
	fake_start(&fake);
	store = client_ready(&fake, NULL);
	client_append(store, "a", &outcomes[0]);
	client_append(store, "b", &outcomes[1]);
	client_append(store, "a", &outcomes[2]);
	cr_assert_eq(kyneta_store_send_current_meta(store, "a", 1, outcome_done, &outcomes[3]), 0);
	cr_assert_eq(kyneta_store_send_current_meta(store, "b", 1, outcome_done, &outcomes[4]), 0);
	cr_assert_eq(kyneta_store_send_list_doc_ids(store, NULL, 0, NULL, outcome_done, &outcomes[5], NULL), 0);
	client_append(store, "c", &outcomes[6]);
	kyneta_store_process(store);
	fake_drain(&fake);
	kyneta_store_process(store);
	client_append(store, "a", &outcomes[7]);
	kyneta_store_process(store);
	for (uint64_t id = 2; id < 9; id++)
		fake_expect(&fake,
			    id == 5 || id == 6 ? OPERATION_CURRENT_META
			    : id == 7	       ? OPERATION_LIST_DOC_IDS
					       : OPERATION_APPEND,
			    id);
	fake_expect_nothing(&fake);
	fake_refuse(&fake, 2, ERROR_DRAINING, OUTCOME_NOT_APPLIED);
	fake_refuse(&fake, 8, ERROR_DRAINING, OUTCOME_NOT_APPLIED);
	fake_refuse(&fake, 6, ERROR_DRAINING, OUTCOME_NONE);
	kyneta_store_process(store);
	client_reconnect(&fake, store);
	fake_expect(&fake, OPERATION_APPEND, 3);
	fake_expect(&fake, OPERATION_CURRENT_META, 6);
	request = fake_expect(&fake, OPERATION_APPEND, 9);
	cr_assert(span_equal(request.document, SPAN_LITERAL("a")));
	fake_expect(&fake, OPERATION_APPEND, 10);
	fake_expect(&fake, OPERATION_CURRENT_META, 11);
	fake_expect(&fake, OPERATION_LIST_DOC_IDS, 12);
	request = fake_expect(&fake, OPERATION_APPEND, 13);
	cr_assert(span_equal(request.document, SPAN_LITERAL("c")));
	request = fake_expect(&fake, OPERATION_APPEND, 14);
	cr_assert(span_equal(request.document, SPAN_LITERAL("a")));
	fake_expect_nothing(&fake);
	for (int i = 0; i < 8; i++)
		cr_assert_eq(outcomes[i].calls, 0);
	kyneta_store_free(store);
	/* Those that were refused were not done; now they are sent once more, and nobody knows. */
	cr_assert_outcome(outcomes[0], KYNETA_STORE_ECLOSED, KYNETA_STORE_UNKNOWN);
	fake_end(&fake);
}

/* A draining daemon may not have looked whether it was done before: such an id is kept. */
Test(client_order, refused_write_that_may_be_done_keeps_its_id)
{
	struct outcome outcome = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	client_append(store, "a", &outcome);
	kyneta_store_process(store);
	fake.hello.through = 2;
	client_reconnect(&fake, store);
	fake_expect(&fake, OPERATION_APPEND, 2);
	fake_drain(&fake);
	fake_refuse(&fake, 2, ERROR_DRAINING, OUTCOME_NOT_APPLIED);
	kyneta_store_process(store);
	kyneta_store_process(store);
	fake_accept(&fake);
	fake_greet(&fake);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_APPEND, 2);
	/* Without draining it speaks from memory: the id is used up. */
	fake_refuse(&fake, 2, ERROR_DRAINING, OUTCOME_NOT_APPLIED);
	kyneta_store_process(store);
	kyneta_store_process(store);
	fake_accept(&fake);
	fake_greet(&fake);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_APPEND, 3);
	fake_wrote(&fake, 3, 1);
	kyneta_store_process(store);
	cr_assert_success(outcome);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_order, deadline_of_a_refused_write_says_not_applied)
{
	struct outcome outcome = {.calls = 0};
	struct kyneta_store_options options;
	struct pollfd nothing = {.fd = -1};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	options = fake_options(&fake);
	options.deadline_ms = 50;
	options.backoff_base_ms = 5;
	options.backoff_max_ms = 5;
	store = client_ready(&fake, &options);
	client_append(store, "a", &outcome);
	kyneta_store_process(store);
	fake_unlisten(&fake);
	fake_refuse(&fake, 2, ERROR_DRAINING, OUTCOME_NOT_APPLIED);
	kyneta_store_process(store);
	while (outcome.calls == 0) {
		poll(&nothing, 1, kyneta_store_timeout(store));
		kyneta_store_process(store);
	}
	cr_assert_outcome(outcome, KYNETA_STORE_EDEADLINE, KYNETA_STORE_NOT_APPLIED);
	kyneta_store_free(store);
	fake_end(&fake);
}

/* ---- answers that are none, sessions that are gone ---- */

Test(client_order, unknown_outcome_is_asked_again)
{
	struct outcome outcome = {.calls = 0}, behind = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	client_append(store, "a", &outcome);
	kyneta_store_process(store);
	fake_refuse(&fake, 2, ERROR_IO_ERROR, OUTCOME_UNKNOWN);
	kyneta_store_process(store);
	cr_assert_eq(outcome.calls, 0);
	client_append(store, "a", &behind);
	kyneta_store_process(store);
	fake_accept(&fake);
	fake.hello.through = 2;
	fake_greet(&fake);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_APPEND, 2);
	fake_expect(&fake, OPERATION_APPEND, 3);
	fake_duplicate(&fake, 2);
	fake_wrote(&fake, 3, 2);
	kyneta_store_process(store);
	cr_assert_success(outcome);
	cr_assert_success(behind);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_order, without_a_session_sent_writes_end_as_unknown)
{
	struct outcome sent = {.calls = 0}, refused = {.calls = 0}, unsent = {.calls = 0}, read = {.calls = 0};
	struct outcome behind = {.calls = 0};
	struct kyneta_store_options options;
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	options = fake_options(&fake);
	options.no_session = true;
	store = client_ready(&fake, &options);
	cr_assert(!fake.has_session);
	client_append(store, "a", &sent);
	client_append(store, "b", &refused);
	cr_assert_eq(kyneta_store_send_current_meta(store, "a", 1, outcome_done, &read), 0);
	kyneta_store_process(store);
	fake_refuse(&fake, 3, ERROR_DRAINING, OUTCOME_NOT_APPLIED);
	kyneta_store_process(store);
	client_append(store, "c", &unsent);
	client_append(store, "a", &behind);
	client_reconnect(&fake, store);
	cr_assert_outcome(sent, KYNETA_STORE_ESOCKET, KYNETA_STORE_UNKNOWN);
	cr_assert_outcome(behind, KYNETA_STORE_ESOCKET, KYNETA_STORE_NOT_APPLIED);
	fake_expect(&fake, OPERATION_CURRENT_META, 4);
	fake_expect(&fake, OPERATION_APPEND, 5); /* b: nothing was done */
	fake_expect(&fake, OPERATION_APPEND, 6); /* c */
	fake_expect_nothing(&fake);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_order, forgotten_session_leaves_writes_unknown)
{
	struct outcome known = {.calls = 0}, sent = {.calls = 0}, unsent = {.calls = 0}, read = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	client_append(store, "a", &known);
	kyneta_store_process(store);
	fake_wrote(&fake, 2, 1);
	kyneta_store_process(store);
	client_append(store, "b", &sent);
	cr_assert_eq(kyneta_store_send_current_meta(store, "b", 1, outcome_done, &read), 0);
	kyneta_store_process(store);
	fake_cut(&fake);
	kyneta_store_process(store);
	client_append(store, "c", &unsent);
	kyneta_store_process(store);
	fake_accept(&fake);
	fake.hello.through = 0;
	fake_greet(&fake);
	kyneta_store_process(store);
	cr_assert_outcome(sent, KYNETA_STORE_ESOCKET, KYNETA_STORE_UNKNOWN);
	fake_expect(&fake, OPERATION_CURRENT_META, 4);
	fake_expect(&fake, OPERATION_APPEND, 5);
	fake_expect_nothing(&fake);
	/* That is over; a session without acknowledged writes may well be unknown. */
	client_reconnect(&fake, store);
	fake_expect(&fake, OPERATION_CURRENT_META, 4);
	fake_expect(&fake, OPERATION_APPEND, 5);
	cr_assert_eq(unsent.calls, 0);
	kyneta_store_free(store);
	fake_end(&fake);
}

Test(client_order, sync_tells_of_lost_writes)
{
	struct outcome kept = {.calls = 0}, gone = {.calls = 0}, sync_1 = {.calls = 0}, sync_2 = {.calls = 0};
	kyneta_store *store;
	struct fake fake;

	fake_start(&fake);
	store = client_ready(&fake, NULL);
	client_append(store, "a", &kept);
	client_append(store, "a", &gone);
	kyneta_store_process(store);
	fake_wrote(&fake, 2, 1);
	fake_wrote(&fake, 3, 2);
	kyneta_store_process(store);
	fake.hello.through = 2;
	client_reconnect(&fake, store);
	cr_assert_eq(kyneta_store_send_sync(store, outcome_done, &sync_1), 0);
	kyneta_store_process(store);
	cr_assert_outcome(sync_1, KYNETA_STORE_EIO_ERROR, KYNETA_STORE_NO_OUTCOME);
	fake_expect_nothing(&fake);
	client_reconnect(&fake, store);
	cr_assert_eq(kyneta_store_send_sync(store, outcome_done, &sync_2), 0);
	kyneta_store_process(store);
	fake_expect(&fake, OPERATION_SYNC, 4);
	fake_done(&fake, 4);
	kyneta_store_process(store);
	cr_assert_success(sync_2);
	kyneta_store_free(store);
	fake_end(&fake);
}
