/*
 * Sessions: what was sent twice is carried out once, over lost connections, take-overs and the death of the daemon.
 */
#include "tests/contract/calls.h"
#include "tests/contract/database.h"
#include "tests/contract/wire.h"

#include <errno.h>
#include <stdio.h>

TestSuite(sessions, .init = harness_init, .fini = harness_fini, .timeout = 120);

/* Rows of sessions among the daemon's own. */
#define SESSION_ROWS "SELECT count(*) FROM kyneta_stored WHERE substr(key, 1, 1) = x'73'"

/* ---- through ---- */

Test(sessions, through_is_the_highest_write_that_was_carried_out)
{
	struct hello_reply hello;
	struct reply reply;
	struct wire wire;

	stored_start(&stored, NULL);
	hello = wire_enter(&wire, 1);
	cr_assert_eq(hello.through, 0);
	wire_append(&wire, 2, S("doc"), wire_meta(META));
	ANSWER(&wire, 2, 0);
	cr_assert_not(reply.duplicate);
	wire_append(&wire, 7, S("doc"), wire_entry("v", span_of_string("x")));
	ANSWER(&wire, 7, 0);
	/* Reads and the like have ids too, but leave no trace. */
	wire_simple(&wire, 8, OPERATION_CURRENT_META, S("doc"));
	ANSWER(&wire, 8, 0);
	wire_simple(&wire, 9, OPERATION_SYNC, SPAN_NONE);
	ANSWER(&wire, 9, 0);
	wire_close(&wire);
	hello = wire_enter(&wire, 1);
	cr_assert_eq(hello.through, 7);
	wire_close(&wire);
	/* Another session knows nothing of it. */
	hello = wire_enter(&wire, 2);
	cr_assert_eq(hello.through, 0);
	wire_close(&wire);
	stored_end(&stored);
}

Test(sessions, through_counts_refused_writes)
{
	struct reply reply;
	struct wire wire;

	stored_start(&stored, NULL);
	wire_enter(&wire, 1);
	wire_append(&wire, 5, S("doc"), wire_entry("v", span_of_string("x")));
	ANSWER(&wire, 5, 200);
	wire_close(&wire);
	cr_assert_eq(wire_enter(&wire, 1).through, 5);
	wire_close(&wire);
	stored_end(&stored);
}

Test(sessions, through_survives_restart_and_crash)
{
	struct reply reply;
	struct wire wire;

	stored_start(&stored, NULL);
	wire_enter(&wire, 1);
	wire_append(&wire, 2, S("doc"), wire_meta(META));
	ANSWER(&wire, 2, 0);
	stored_stop(&stored);
	wire_close(&wire);
	stored_restart(&stored);
	cr_assert_eq(wire_enter(&wire, 1).through, 2);
	wire_append(&wire, 3, S("doc"), wire_meta(META));
	ANSWER(&wire, 3, 0);
	stored_kill(&stored);
	wire_close(&wire);
	stored_restart(&stored);
	cr_assert_eq(wire_enter(&wire, 1).through, 3);
	wire_close(&wire);
	stored_end(&stored);
}

/* ---- sent again ---- */

/* Every kind of write, twice; between the two the daemon is stopped, killed, or only the connection is lost. */
static void send_again(void (*between)(struct stored *stored))
{
	struct record records[] = {wire_meta(META), wire_entry("v", span_of_string("x"))};
	struct request requests[] = {
	    request_of(2, OPERATION_APPEND, S("appended")),
	    request_of(3, OPERATION_REPLACE, S("replaced")),
	    request_of(4, OPERATION_DELETE, S("deleted")),
	};
	struct position first[3];
	struct reply reply;
	struct wire wire;
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("deleted"), meta(META)));
	wire_enter(&wire, 1);
	for (size_t i = 0; i < 3; i++) {
		wire_ask(&wire, &requests[i], records, 2);
		ANSWER(&wire, requests[i].id, 0);
		cr_assert_not(reply.duplicate);
		first[i] = reply.at;
	}
	if (between != NULL) {
		between(&stored);
		stored_restart(&stored);
	}
	wire_close(&wire);
	cr_assert_eq(wire_enter(&wire, 1).through, 4);
	for (size_t i = 0; i < 3; i++) {
		wire_ask(&wire, &requests[i], records, 2);
		ANSWER(&wire, requests[i].id, 0);
		cr_assert(reply.duplicate);
		cr_assert_eq(reply.at.generation, first[i].generation);
		cr_assert_eq(reply.at.next, first[i].next);
	}
	cr_assert_eq(count_records(store, S("appended")), 2);
	cr_assert_eq(count_records(store, S("replaced")), 2);
	cr_assert_eq(count_records(store, S("deleted")), 0);
	wire_close(&wire);
	store_leave(store);
	stored_end(&stored);
}

Test(sessions, write_sent_again_is_carried_out_once)
{
	send_again(NULL);
}

Test(sessions, write_sent_again_after_a_restart_is_carried_out_once)
{
	send_again(stored_stop);
}

Test(sessions, write_sent_again_after_a_crash_is_carried_out_once)
{
	send_again(stored_kill);
}

Test(sessions, duplicate_tells_where_the_document_stands_today)
{
	struct reply reply;
	struct wire wire;
	kyneta_store *store;

	stored_start(&stored, NULL);
	wire_enter(&wire, 1);
	wire_append(&wire, 2, S("doc"), wire_meta(META));
	ANSWER(&wire, 2, 0);
	wire_close(&wire);
	store = store_open();
	OK(REPLACE(store, S("doc"), meta(META), since("v", "x")));
	OK(APPEND(store, S("doc"), since("v", "y")));
	wire_enter(&wire, 1);
	wire_append(&wire, 2, S("doc"), wire_meta(META));
	ANSWER(&wire, 2, 0);
	cr_assert(reply.duplicate);
	cr_assert_eq(reply.at.generation, at.generation);
	cr_assert_eq(reply.at.next, 3);
	wire_close(&wire);
	store_leave(store);
	stored_end(&stored);
}

/* So many documents that the look for a store does not come across the last ones' pages. */
static void make_many_documents(void)
{
	kyneta_store *store = store_open();
	unsigned answered = 0;
	char id[32];

	for (int i = 0; i < 2000; i++) {
		snprintf(id, sizeof(id), "doc/%05d", i);
		send_record(store, span_of_string(id), meta(META), &answered);
	}
	OK(kyneta_store_flush(store, &failure));
	store_leave(store);
}

/*
 * Whoever asks what became of a write that was carried out never hears that it was not, whatever else fails. Where its
 * document stands cannot be read: so nothing is answered, and it is asked again. Of one that was refused the failure is
 * no lie.
 */
Test(sessions, carried_out_write_is_never_said_to_have_failed)
{
	struct request refused = request_of(3, OPERATION_DELETE, S("doc/01900"));
	struct reply reply;
	struct wire wire;

	stored_use_faults(&stored);
	stored_start(&stored, NULL);
	make_many_documents();
	wire_enter(&wire, 1);
	wire_append(&wire, 2, S("doc/01900"), wire_meta(META));
	ANSWER(&wire, 2, 0);
	refused.has_expect = true;
	wire_ask(&wire, &refused, NULL, 0);
	ANSWER(&wire, 3, 300);
	wire_close(&wire);
	stored_stop(&stored);
	stored_restart(&stored);
	wire_enter(&wire, 1);
	atomic_store(&stored.fault->read_error, EIO);
	wire_ask(&wire, &refused, NULL, 0);
	ANSWER(&wire, 3, 502);
	cr_assert_eq(reply.outcome, OUTCOME_NOT_APPLIED);
	wire_close(&wire);
	atomic_store(&stored.fault->read_error, 0);
	wire_enter(&wire, 1);
	atomic_store(&stored.fault->read_error, EIO);
	wire_append(&wire, 2, S("doc/01900"), wire_meta(META));
	cr_assert(wire_ended(&wire));
	wire_close(&wire);
	atomic_store(&stored.fault->read_error, 0);
	wire_enter(&wire, 1);
	wire_append(&wire, 2, S("doc/01900"), wire_meta(META));
	ANSWER(&wire, 2, 0);
	cr_assert(reply.duplicate);
	cr_assert_eq(reply.at.next, 2);
	wire_close(&wire);
	stored_end(&stored);
}

/* The session comes before expect: what was done is done, wherever the document stands by now. */
Test(sessions, repeated_write_with_expect_is_answered_from_memory)
{
	struct request request = request_of(2, OPERATION_APPEND, S("doc"));
	struct record record = wire_meta(META);
	struct reply reply;
	struct wire wire;

	stored_start(&stored, NULL);
	wire_enter(&wire, 1);
	wire_simple(&wire, 2, OPERATION_CURRENT_META, S("doc"));
	ANSWER(&wire, 2, 0);
	request.id = 3;
	request.has_expect = true;
	request.expect = reply.at;
	wire_ask(&wire, &request, &record, 1);
	ANSWER(&wire, 3, 0);
	wire_close(&wire);
	wire_enter(&wire, 1);
	wire_ask(&wire, &request, &record, 1);
	ANSWER(&wire, 3, 0);
	cr_assert(reply.duplicate);
	wire_close(&wire);
	stored_end(&stored);
}

Test(sessions, read_sent_again_is_just_answered)
{
	struct reply reply;
	struct wire wire;

	stored_start(&stored, NULL);
	wire_enter(&wire, 1);
	wire_append(&wire, 4, S("doc"), wire_meta(META));
	ANSWER(&wire, 4, 0);
	wire_close(&wire);
	wire_enter(&wire, 1);
	/* Its id lies below through: that concerns writes only. */
	wire_simple(&wire, 3, OPERATION_CURRENT_META, S("doc"));
	ANSWER(&wire, 3, 0);
	cr_assert(reply.has_meta);
	wire_close(&wire);
	stored_end(&stored);
}

/* ---- refused writes are remembered ---- */

static void refused_again(void (*between)(struct stored *stored))
{
	/* An id may hold NUL, and so may what is said about it. */
	const struct span document = S("d\0c");
	const struct span text = S("Store: first record for doc 'd\0c' must be meta, got entry");
	struct record entry = wire_entry("v", span_of_string("x"));
	struct request conflict = request_of(4, OPERATION_DELETE, document);
	struct reply reply;
	struct wire wire;
	kyneta_store *store;

	stored_start(&stored, NULL);
	conflict.has_expect = true;
	conflict.expect = (struct position){99, 1};
	wire_enter(&wire, 1);
	wire_append(&wire, 2, document, entry);
	ANSWER(&wire, 2, 200);
	wire_append(&wire, 3, document, wire_meta(META)); /* now it would be welcome */
	ANSWER(&wire, 3, 0);
	wire_ask(&wire, &conflict, NULL, 0);
	ANSWER(&wire, 4, 300);
	if (between != NULL) {
		between(&stored);
		stored_restart(&stored);
	}
	wire_close(&wire);
	cr_assert_eq(wire_enter(&wire, 1).through, 4);
	wire_append(&wire, 2, document, entry);
	ANSWER(&wire, 2, 200);
	cr_assert(span_equal(reply.message, text));
	cr_assert_eq(reply.outcome, OUTCOME_NOT_APPLIED);
	wire_append(&wire, 3, document, wire_meta(META));
	ANSWER(&wire, 3, 0);
	cr_assert(reply.duplicate);
	wire_ask(&wire, &conflict, NULL, 0);
	ANSWER(&wire, 4, 300);
	cr_assert_eq(reply.detail_position.next, 1);
	wire_close(&wire);
	store = store_open();
	STREAM(store, document, meta(META));
	store_leave(store);
	stored_end(&stored);
}

Test(sessions, refused_write_stays_refused)
{
	refused_again(NULL);
}

Test(sessions, refused_write_stays_refused_over_a_crash)
{
	refused_again(stored_kill);
}

/* Whatever the reason: access and arguments too. */
Test(sessions, write_with_a_bad_argument_is_remembered)
{
	struct record record = wire_meta(META);
	struct request request = request_of(2, OPERATION_APPEND, S("doc"));
	struct reply reply;
	struct wire wire;

	stored_start(&stored, NULL);
	wire_enter(&wire, 1);
	wire_ask(&wire, &request, NULL, 0);
	ANSWER(&wire, 2, 105);
	cr_assert_eq(reply.outcome, OUTCOME_NOT_APPLIED);
	wire_append(&wire, 3, S("other"), record);
	ANSWER(&wire, 3, 0);
	wire_close(&wire);
	cr_assert_eq(wire_enter(&wire, 1).through, 3);
	wire_ask(&wire, &request, &record, 1);
	ANSWER(&wire, 2, 105);
	wire_close(&wire);
	stored_end(&stored);
}

/* As many writes back as may be in flight; and the row grows no further. */
Test(sessions, refused_writes_are_remembered_as_far_as_the_in_flight_limit)
{
	const uint64_t window = 1024, last = 2 * window;
	struct record record = wire_entry("v", span_of_string("x"));
	struct reply reply;
	struct wire wire;

	stored_start(&stored, NULL);
	cr_assert_eq(wire_enter(&wire, 1).in_flight_limit, window);
	for (uint64_t id = 2; id <= last; id++) {
		wire_append(&wire, id, S("doc"), record);
		/* Reads have ids as well; they do not push any write out. */
		if (id > last - 10)
			wire_simple(&wire, id += 1000, OPERATION_PING, SPAN_NONE);
	}
	for (uint64_t answered = 0; answered<2; answered += reply.id> last - 10)
		cr_assert(wire_next(&wire, &reply));
	wire_close(&wire);
	stored_kill(&stored);
	stored_restart(&stored);
	wire_enter(&wire, 1);
	for (uint64_t id = last - window + 20; id <= last - 10; id++) {
		wire_append(&wire, id, S("doc"), record);
		ANSWER(&wire, id, 200);
	}
	wire_close(&wire);
	stored_stop(&stored);
	cr_assert_lt(
	    database_number(&stored, "SELECT length(value) FROM kyneta_stored WHERE substr(key, 1, 1) = x'73'"),
	    110000);
	stored_end(&stored);
}

/* ---- the order of a session's writes ---- */

Test(sessions, writes_are_carried_out_in_the_order_of_their_ids)
{
	struct buffer out = BUFFER_EMPTY;
	uint64_t through, last = 601;
	char version[24], id[16], sql[128];
	struct wire wire;

	stored_start(&stored, "--batch-requests", "16", NULL);
	wire_enter(&wire, 1);
	for (uint64_t n = 2; n <= last; n++) {
		struct record records[] = {wire_meta(META), wire_entry(version, span_of_string("x"))};
		struct request request;

		snprintf(version, sizeof(version), "%llu", (unsigned long long)n);
		snprintf(id, sizeof(id), "doc %llu", (unsigned long long)n % 7);
		records[1] = wire_entry(version, span_of_string("x"));
		request = request_of(n, OPERATION_APPEND, span_of_string(id));
		wire_encode(&wire, &out, &request, records, 2);
	}
	wire_bytes(&wire, out.data, out.size);
	buffer_free(&out);
	/* Killed somewhere in the middle. */
	for (int i = 0; i < 40; i++) {
		struct reply reply;

		cr_assert(wire_next(&wire, &reply));
	}
	stored_kill(&stored);
	wire_close(&wire);
	stored_restart(&stored);
	through = wire_enter(&wire, 1).through;
	wire_close(&wire);
	stored_stop(&stored);
	cr_assert_geq(through, 41);
	/* Exactly those up to through are there. */
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM kyneta_records WHERE kind = 'entry'");
	cr_assert_eq(database_number(&stored, sql), (long long)through - 1);
	snprintf(sql, sizeof(sql),
		 "SELECT max(CAST(json_extract(payload, '$.version') AS INTEGER)) FROM "
		 "kyneta_records WHERE kind = 'entry'");
	cr_assert_eq(database_number(&stored, sql), (long long)through);
	stored_end(&stored);
}

/* ---- the row ---- */

Test(sessions, session_is_stored_with_its_writes_and_gone_with_close)
{
	struct reply reply;
	struct wire wire;

	stored_start(&stored, NULL);
	wire_enter(&wire, 1);
	wire_append(&wire, 2, S("doc"), wire_meta(META));
	ANSWER(&wire, 2, 0);
	ROWS(SESSION_ROWS, "1\n");
	wire_append(&wire, 3, S("doc"), wire_meta(META));
	ANSWER(&wire, 3, 0);
	ROWS(SESSION_ROWS, "1\n");
	wire_close(&wire);
	wire_enter(&wire, 1);
	ROWS(SESSION_ROWS, "1\n");
	wire_simple(&wire, 4, OPERATION_CLOSE, SPAN_NONE);
	ANSWER(&wire, 4, 0);
	cr_assert(wire_ended(&wire));
	wire_close(&wire);
	ROWS(SESSION_ROWS, "0\n");
	/* Forgotten: the same id is a new write now. */
	cr_assert_eq(wire_enter(&wire, 1).through, 0);
	wire_append(&wire, 2, S("doc"), wire_meta(META));
	ANSWER(&wire, 2, 0);
	cr_assert_not(reply.duplicate);
	cr_assert_eq(reply.at.next, 3);
	wire_close(&wire);
	stored_end(&stored);
}

Test(sessions, without_a_session_nothing_is_stored_or_promised)
{
	struct hello hello = hello_plain();
	struct reply reply;
	struct wire wire;

	stored_start(&stored, NULL);
	for (int i = 1; i <= 2; i++) {
		wire_hello(&wire, &stored, &hello);
		wire_append(&wire, 2, S("doc"), wire_meta(META));
		ANSWER(&wire, 2, 0);
		cr_assert_not(reply.duplicate);
		cr_assert_eq(reply.at.next, (uint64_t)i);
		wire_close(&wire);
	}
	stored_stop(&stored);
	if (database_number(&stored, "SELECT count(*) FROM sqlite_master WHERE name = 'kyneta_stored'") > 0)
		ROWS(SESSION_ROWS, "0\n");
	stored_end(&stored);
}

/* One handle's session on one store has nothing to do with the same bytes on another. */
Test(sessions, session_belongs_to_its_store)
{
	struct hello main_store = hello_session(1), other_store = hello_session(1);
	struct reply reply;
	struct wire wire;

	stored_start(&stored, NULL);
	other_store.meta_table = S("other_meta");
	other_store.records_table = S("other_records");
	other_store.store_table = S("other_store");
	wire_hello(&wire, &stored, &main_store);
	wire_append(&wire, 9, S("doc"), wire_meta(META));
	ANSWER(&wire, 9, 0);
	wire_close(&wire);
	cr_assert_eq(wire_hello(&wire, &stored, &other_store).through, 0);
	wire_append(&wire, 3, S("doc"), wire_meta(META));
	ANSWER(&wire, 3, 0);
	cr_assert_not(reply.duplicate);
	wire_close(&wire);
	cr_assert_eq(wire_hello(&wire, &stored, &main_store).through, 9);
	wire_close(&wire);
	cr_assert_eq(wire_hello(&wire, &stored, &other_store).through, 3);
	wire_close(&wire);
	stored_end(&stored);
}

/* Seven days after its last use a session is forgotten; the time is in its row (a uint64 after the version). */
Test(sessions, old_sessions_are_forgotten)
{
	struct reply reply;
	struct wire wire;

	stored_start(&stored, NULL);
	for (uint8_t session = 1; session <= 2; session++) {
		wire_enter(&wire, session);
		wire_append(&wire, 2, S("doc"), wire_meta(META));
		ANSWER(&wire, 2, 0);
		wire_close(&wire);
	}
	stored_stop(&stored);
	database_execute(&stored, "UPDATE kyneta_stored SET value = substr(value, 1, 8) || x'0000000000000001' || "
				  "substr(value, 17) WHERE substr(key, 1, 2) = x'7301'");
	stored_restart(&stored);
	wire_enter(&wire, 3);
	wire_append(&wire, 2, S("doc"), wire_meta(META)); /* the writer looks after its work */
	ANSWER(&wire, 2, 0);
	wire_append(&wire, 3, S("doc"), wire_meta(META));
	ANSWER(&wire, 3, 0);
	wire_close(&wire);
	cr_assert_eq(wire_enter(&wire, 1).through, 0);
	wire_close(&wire);
	cr_assert_eq(wire_enter(&wire, 2).through, 2);
	wire_close(&wire);
	stored_end(&stored);
}

/* ---- through the library ---- */

/* The daemon dies under a pipeline; the calls do not notice. */
Test(sessions, library_sends_again_what_a_dead_daemon_left_unanswered)
{
	struct kyneta_store_status status;
	kyneta_store *store;
	unsigned answered = 0;

	stored_use_faults(&stored);
	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	for (int round = 0; round < 5; round++) {
		unsigned before = atomic_load(&stored.fault->syncs);

		/* Identical records, several in flight, and at least one of them with the writer. */
		stored_hold_syncs(&stored);
		for (int i = 0; i < 20; i++)
			send_record(store, S("doc"), since("v", "the same"), &answered);
		kyneta_store_push(store);
		stored_await_sync(&stored, before);
		stored_kill(&stored);
		stored_release_syncs(&stored);
		stored_restart(&stored);
		OK(kyneta_store_flush(store, &failure));
		cr_assert_eq(answered, 20 * (unsigned)(round + 1));
		cr_assert_eq(count_records(store, S("doc")), 1 + answered);
	}
	kyneta_store_get_status(store, &status);
	cr_assert_eq(status.connects, 6);
	cr_assert_gt(status.resent, 0);
	cr_assert_gt(status.duplicates, 0);
	store_leave(store);
	stored_end(&stored);
}

static void must_be_unknown(void *context, const struct kyneta_store_answer *answer)
{
	unsigned *unknown = context;

	cr_assert_not_null(answer->error);
	*unknown += answer->error->outcome == KYNETA_STORE_UNKNOWN;
}

Test(sessions, library_without_a_session_says_unknown)
{
	struct kyneta_store_options options = options_for(&stored);
	struct kyneta_store_record record = since("v", "x");
	unsigned unknown = 0, before;
	kyneta_store *store;

	stored_use_faults(&stored);
	stored_start(&stored, NULL);
	options.no_session = true;
	store = store_open_with(&options);
	OK(APPEND(store, S("doc"), meta(META)));
	before = atomic_load(&stored.fault->syncs);
	stored_hold_syncs(&stored);
	cr_assert_eq(kyneta_store_send_append(store, "doc", 3, &record, 1, NULL, must_be_unknown, &unknown), 0);
	kyneta_store_push(store);
	stored_await_sync(&stored, before);
	stored_kill(&stored);
	stored_release_syncs(&stored);
	stored_restart(&stored);
	OK(kyneta_store_flush(store, &failure));
	cr_assert_eq(unknown, 1);
	store_leave(store);
	stored_end(&stored);
}
