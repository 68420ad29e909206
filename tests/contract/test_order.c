/*
 * Order: what waits for what on one connection, and how a failure stops the writes behind it.
 */
#include "tests/contract/calls.h"
#include "tests/contract/database.h"
#include "tests/contract/wire.h"

#include <errno.h>
#include <stdio.h>

TestSuite(order, .init = harness_init, .fini = harness_fini, .timeout = 120);

static struct record numbered(char version[24], uint64_t number)
{
	snprintf(version, 24, "%llu", (unsigned long long)number);
	return wire_entry(version, span_of_string("x"));
}

/* A daemon whose syncs wait, with a document "doc" of one meta; the writer is busy with a write of "busy". */
static void start_held(struct wire *wire)
{
	struct hello hello = hello_plain();
	struct reply reply;
	unsigned before;

	stored_use_faults(&stored);
	stored_start(&stored, NULL);
	wire_hello(wire, &stored, &hello);
	wire_append(wire, 2, S("doc"), wire_meta(META));
	ANSWER(wire, 2, 0);
	stored_hold_syncs(&stored);
	before = atomic_load(&stored.fault->syncs);
	wire_append(wire, 3, S("busy"), wire_meta(META));
	stored_await_sync(&stored, before);
}

/* ---- reads and writes of one document ---- */

Test(order, read_waits_for_earlier_writes)
{
	char version[24];
	struct wire wire;
	struct reply reply;

	start_held(&wire);
	wire_append(&wire, 4, S("doc"), numbered(version, 4));
	wire_simple(&wire, 5, OPERATION_LOAD_ALL, S("doc"));
	wire_simple(&wire, 6, OPERATION_CURRENT_META, S("doc"));
	/* Other documents do not wait. */
	wire_simple(&wire, 7, OPERATION_CURRENT_META, S("other"));
	ANSWER(&wire, 7, 0);
	stored_release_syncs(&stored);
	ANSWER(&wire, 3, 0);
	ANSWER(&wire, 4, 0);
	for (int i = 0; i < 2; i++) { /* among themselves they may overtake */
		cr_assert(wire_next(&wire, &reply));
		cr_assert(reply.id == 5 || reply.id == 6);
		cr_assert_eq(reply.at.next, 2);
	}
	wire_close(&wire);
	stored_end(&stored);
}

/* A pipeline that goes back and forth: every read sees exactly the writes before it. */
Test(order, write_waits_for_earlier_reads)
{
	struct hello hello = hello_plain();
	const uint64_t rounds = 300;
	uint64_t reads = 0;
	struct reply reply;
	struct wire wire;

	stored_start(&stored, "--batch-requests", "8", NULL);
	wire_hello(&wire, &stored, &hello);
	wire_append(&wire, 2, S("doc"), wire_meta(META));
	for (uint64_t i = 0; i < rounds; i++) {
		char version[24];

		wire_simple(&wire, 3 + 3 * i, i % 2 == 0 ? OPERATION_LOAD_ALL : OPERATION_CURRENT_META, S("doc"));
		wire_append(&wire, 4 + 3 * i, S("doc"), numbered(version, i));
		wire_append(&wire, 5 + 3 * i, S("other"), wire_meta(META));
	}
	while (reads < rounds) {
		cr_assert(wire_next(&wire, &reply));
		cr_assert_eq(reply.code, 0);
		if (reply.id < 3 || reply.id % 3 != 0)
			continue;
		cr_assert_eq(reply.at.next, 1 + (reply.id - 3) / 3);
		reads++;
	}
	wire_close(&wire);
	stored_end(&stored);
}

Test(order, writes_of_a_document_are_answered_in_the_order_sent)
{
	struct hello hello = hello_plain();
	uint64_t last = 1, next = 0;
	struct reply reply;
	struct wire wire;

	stored_start(&stored, "--batch-requests", "3", NULL);
	wire_hello(&wire, &stored, &hello);
	for (uint64_t id = 2; id < 200; id++)
		wire_append(&wire, id, S("doc"), wire_meta(META));
	for (uint64_t id = 2; id < 200; id++) {
		cr_assert(wire_next(&wire, &reply));
		cr_assert_eq(reply.id, ++last);
		cr_assert_eq(reply.at.next, ++next);
	}
	wire_close(&wire);
	stored_end(&stored);
}

/* ---- what waits for everything ---- */

Test(order, listing_waits_for_all_earlier_writes)
{
	struct wire wire;
	struct reply reply;
	struct span id;

	start_held(&wire);
	wire_append(&wire, 4, S("new"), wire_meta(META));
	wire_simple(&wire, 5, OPERATION_DELETE, S("doc"));
	wire_simple(&wire, 6, OPERATION_LIST_DOC_IDS, SPAN_NONE);
	/* And later writes wait for it. */
	wire_append(&wire, 7, S("later"), wire_meta(META));
	stored_release_syncs(&stored);
	ANSWER(&wire, 3, 0);
	ANSWER(&wire, 4, 0);
	ANSWER(&wire, 5, 0);
	ANSWER(&wire, 6, 0);
	cr_assert_eq(reply.documents_count, 2);
	cr_assert(unpack_str(&reply.documents, &id) && span_equal(id, S("busy")));
	cr_assert(unpack_str(&reply.documents, &id) && span_equal(id, S("new")));
	ANSWER(&wire, 7, 0);
	wire_close(&wire);
	stored_end(&stored);
}

Test(order, sync_waits_for_all_earlier_writes)
{
	struct wire wire;
	struct reply reply;
	unsigned before;

	start_held(&wire);
	{
		struct request request = request_of(4, OPERATION_APPEND, S("doc"));
		struct record record = wire_meta(META);

		request.durability = DURABILITY_COMMITTED;
		wire_ask(&wire, &request, &record, 1);
	}
	before = atomic_load(&stored.fault->syncs);
	wire_simple(&wire, 5, OPERATION_SYNC, SPAN_NONE);
	stored_release_syncs(&stored);
	ANSWER(&wire, 3, 0);
	ANSWER(&wire, 4, 0);
	ANSWER(&wire, 5, 0);
	cr_assert_gt(atomic_load(&stored.fault->syncs_ended), before);
	wire_close(&wire);
	stored_end(&stored);
}

/* close: everything sent before it is carried out and answered, the session ends, the connection too. */
Test(order, close_waits_for_everything)
{
	struct wire wire;
	struct reply reply;
	unsigned answered = 0;

	start_held(&wire);
	for (uint64_t id = 4; id < 40; id++)
		wire_append(&wire, id, S("doc"), wire_meta(META));
	wire_simple(&wire, 40, OPERATION_LOAD_ALL, S("doc"));
	wire_simple(&wire, 41, OPERATION_LIST_DOC_IDS, SPAN_NONE);
	wire_simple(&wire, 42, OPERATION_CLOSE, SPAN_NONE);
	/* What comes after it is ignored. */
	wire_append(&wire, 43, S("ignored"), wire_meta(META));
	stored_release_syncs(&stored);
	while (wire_next(&wire, &reply)) {
		cr_assert_eq(reply.code, 0);
		answered++;
		if (reply.id == 42)
			cr_assert_eq(answered, 40, "close is the last to be answered");
		cr_assert_leq(reply.id, 42);
	}
	cr_assert_eq(answered, 40);
	wire_close(&wire);
	stored_stop(&stored);
	ROWS("SELECT doc_id, count(*) FROM kyneta_records GROUP BY doc_id", "'busy'|1\n'doc'|37\n");
	stored_end(&stored);
}

/* Two connections: what was acknowledged is seen by every read sent after. */
Test(order, acknowledged_writes_are_seen_by_all)
{
	kyneta_store *store, *other;

	stored_start(&stored, "--readers", "4", NULL);
	store = store_open();
	other = store_open();
	for (unsigned i = 0; i < 300; i++) {
		OK(APPEND(store, S("doc"), meta(META)));
		cr_assert_eq(position_of(other, S("doc")).next, i + 1);
	}
	store_leave(store);
	store_leave(other);
	stored_end(&stored);
}

/* ---- failures from outside ---- */

/* A full disk, and a pipeline that goes on: what is behind the failed write of its document must fail, too. */
static void fill_disk(struct wire *wire, const struct hello *hello)
{
	struct reply reply;

	stored_use_faults(&stored);
	stored_start(&stored, NULL);
	wire_hello(wire, &stored, hello);
	wire_append(wire, 2, S("doc"), wire_meta(META));
	ANSWER(wire, 2, 0);
	wire_append(wire, 3, S("other"), wire_meta(META));
	ANSWER(wire, 3, 0);
	atomic_store(&stored.fault->write_error, ENOSPC);
	wire_append(wire, 4, S("doc"), wire_entry("4", span_of_string("x")));
	ANSWER(wire, 4, 500);
	cr_assert_eq(reply.outcome, OUTCOME_NOT_APPLIED);
}

Test(order, failure_from_outside_latches_its_document_until_resume)
{
	struct hello hello = hello_plain();
	struct reply reply;
	struct wire wire;
	kyneta_store *store;

	fill_disk(&wire, &hello);
	/* There is room again; but the pipeline must not have a hole. */
	atomic_store(&stored.fault->write_error, 0);
	wire_append(&wire, 5, S("doc"), wire_entry("5", span_of_string("x")));
	wire_simple(&wire, 6, OPERATION_DELETE, S("doc"));
	{
		struct request request = request_of(7, OPERATION_REPLACE, S("doc"));
		struct record record = wire_meta(META);

		wire_ask(&wire, &request, &record, 1);
	}
	for (uint64_t id = 5; id <= 7; id++) {
		ANSWER(&wire, id, 500);
		cr_assert_eq(reply.outcome, OUTCOME_NOT_APPLIED);
	}
	/* Reads go on, other documents do, and other connections. */
	wire_simple(&wire, 8, OPERATION_CURRENT_META, S("doc"));
	ANSWER(&wire, 8, 0);
	cr_assert_eq(reply.at.next, 1);
	wire_append(&wire, 9, S("other"), wire_entry("9", span_of_string("x")));
	ANSWER(&wire, 9, 0);
	store = store_open();
	OK(APPEND(store, S("doc"), since("s", "x")));
	store_leave(store);
	wire_append(&wire, 10, S("doc"), wire_entry("10", span_of_string("x")));
	ANSWER(&wire, 10, 500);
	/* resume takes its place among the writes: what was sent before it fails, what comes after is taken. */
	wire_append(&wire, 11, S("doc"), wire_entry("11", span_of_string("x")));
	wire_simple(&wire, 12, OPERATION_RESUME, SPAN_NONE);
	wire_append(&wire, 13, S("doc"), wire_entry("13", span_of_string("x")));
	ANSWER(&wire, 11, 500);
	ANSWER(&wire, 12, 0);
	ANSWER(&wire, 13, 0);
	cr_assert_eq(reply.at.next, 3);
	wire_close(&wire);
	stored_end(&stored);
}

Test(order, latch_ends_with_its_connection)
{
	struct hello hello = hello_plain();
	struct reply reply;
	struct wire wire;

	fill_disk(&wire, &hello);
	atomic_store(&stored.fault->write_error, 0);
	wire_close(&wire);
	wire_hello(&wire, &stored, &hello);
	wire_append(&wire, 2, S("doc"), wire_entry("2", span_of_string("x")));
	ANSWER(&wire, 2, 0);
	wire_close(&wire);
	stored_end(&stored);
}

/* In a session the failed write is remembered; answered from memory it latches as it did. */
Test(order, failure_answered_from_memory_latches_too)
{
	struct hello hello = hello_session(1);
	struct reply reply;
	struct wire wire;

	fill_disk(&wire, &hello);
	atomic_store(&stored.fault->write_error, 0);
	/* One that can be stored again, so that the session's row is. */
	wire_append(&wire, 5, S("other"), wire_entry("5", span_of_string("x")));
	ANSWER(&wire, 5, 0);
	wire_close(&wire);
	cr_assert_eq(wire_hello(&wire, &stored, &hello).through, 5);
	wire_append(&wire, 4, S("doc"), wire_entry("4", span_of_string("x")));
	ANSWER(&wire, 4, 500);
	cr_assert_eq(reply.outcome, OUTCOME_NOT_APPLIED);
	wire_append(&wire, 6, S("doc"), wire_entry("6", span_of_string("x")));
	ANSWER(&wire, 6, 500);
	wire_simple(&wire, 7, OPERATION_RESUME, SPAN_NONE);
	ANSWER(&wire, 7, 0);
	wire_append(&wire, 8, S("doc"), wire_entry("8", span_of_string("x")));
	ANSWER(&wire, 8, 0);
	cr_assert_eq(reply.at.next, 2);
	wire_close(&wire);
	stored_end(&stored);
}

Test(order, refusals_by_rules_latch_nothing)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	FAILS(200, APPEND(store, S("doc"), since("v", "x")));
	OK(APPEND(store, S("doc"), meta(META)));
	FAILS(201, REPLACE(store, S("doc"), since("v", "x")));
	FAILS(202, APPEND(store, S("doc"), meta(META_WITH("[\"yjs\",1,0]", SYNC_MODE, "h"))));
	FAILS(204, APPEND(store, S("doc"), meta("{}")));
	FAILS(105, append(store, S("doc"), NULL, 0, NULL));
	OK(APPEND(store, S("doc"), since("v", "x")));
	store_leave(store);
	stored_end(&stored);
}

/* Writing where one may only read is a failure of this kind, and stays one. */
Test(order, read_only_latches_and_resume_changes_nothing)
{
	struct hello hello = hello_plain();
	struct reply reply;
	struct wire wire;
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	hello.access = ACCESS_READ_ONLY;
	wire_hello(&wire, &stored, &hello);
	wire_append(&wire, 2, S("doc"), wire_meta(META));
	ANSWER(&wire, 2, 402);
	cr_assert_eq(reply.outcome, OUTCOME_NOT_APPLIED);
	wire_simple(&wire, 3, OPERATION_RESUME, SPAN_NONE);
	ANSWER(&wire, 3, 0);
	wire_append(&wire, 4, S("doc"), wire_meta(META));
	ANSWER(&wire, 4, 402);
	wire_close(&wire);
	store_leave(store);
	stored_end(&stored);
}

/* ---- a full disk ---- */

/* The reserve gives deletes and replaces room, as long as the database does not grow; reads never stopped. */
Test(order, full_disk_takes_reads_deletes_and_replaces)
{
	static char large[20 << 20];
	kyneta_store *store;

	memset(large, 'x', sizeof(large) - 1);
	stored_use_faults(&stored);
	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META), since("v", "x"), since("v", "y")));
	OK(APPEND(store, S("doomed"), meta(META)));
	atomic_store(&stored.fault->reserve_helps, 1);
	atomic_store(&stored.fault->write_error, ENOSPC);
	FAILS(500, APPEND(store, S("doc"), since("v", "z")));
	cr_assert_eq(failure.outcome, KYNETA_STORE_NOT_APPLIED);
	STREAM(store, S("doc"), meta(META), since("v", "x"), since("v", "y"));
	FAILS(500, APPEND(store, S("new"), meta(META)));
	OK(DELETE(store, S("doomed")));
	FAILS(500, REPLACE(store, S("other"), meta(META), since("v", large)));
	OK(REPLACE(store, S("doc"), meta(META), since("v", "x"), since("v", "y"), since("v", "z")));
	OK(REPLACE(store, S("doc"), meta(META), since("v", "xy")));
	/* Space returns: the reserve is made again, and everything is taken. */
	atomic_store(&stored.fault->reserve_helps, 0);
	OK(APPEND(store, S("doc"), since("v", "z")));
	STREAM(store, S("doc"), meta(META), since("v", "xy"), since("v", "z"));
	LISTED(store, S(""), S("doc"));
	store_leave(store);
	stored_end(&stored);
}
