/*
 * Access: read-only, exclusive, and stores that must exist.
 */
#include "tests/contract/calls.h"
#include "tests/contract/database.h"
#include "tests/contract/wire.h"

#include <poll.h>
#include <stdlib.h>

TestSuite(access, .init = harness_init, .fini = harness_fini, .timeout = 120);

static struct hello hello_access(enum access_mode mode)
{
	struct hello hello = hello_plain();

	hello.access = mode;
	return hello;
}

static struct hello exclusive_session(uint8_t session)
{
	struct hello hello = hello_session(session);

	hello.access = ACCESS_EXCLUSIVE;
	return hello;
}

/* May somebody write at all? */
static uint64_t writer_refused(void)
{
	struct hello hello = hello_access(ACCESS_READ_WRITE);
	struct reply reply;
	struct wire wire;

	wire_connect(&wire, &stored);
	wire_send_hello(&wire, &hello);
	reply = wire_answer(&wire, HELLO_ID);
	wire_leave(&wire);
	return reply.code;
}

/* A store that is there. */
static void make_store(void)
{
	kyneta_store *store = store_open();

	OK(APPEND(store, S("doc"), meta(META), since("v", "x")));
	store_leave(store);
}

/* ---- read-only ---- */

Test(access, read_only_never_makes_a_store)
{
	struct kyneta_store_options options = options_for(&stored);

	stored_start(&stored, NULL);
	options.access = KYNETA_STORE_READ_ONLY;
	FAILS(505, store_try(&options));
	stored_stop(&stored);
	ROWS("SELECT name FROM sqlite_master WHERE name <> 'kyneta_stored'", "");
	stored_end(&stored);
}

Test(access, read_only_reads_and_does_not_write)
{
	struct kyneta_store_options options = options_for(&stored);
	kyneta_store *store;

	stored_start(&stored, NULL);
	make_store();
	options.access = KYNETA_STORE_READ_ONLY;
	store = store_open_with(&options);
	STREAM(store, S("doc"), meta(META), since("v", "x"));
	CURRENT(store, S("doc"), META);
	LISTED(store, S(""), S("doc"));
	OK(kyneta_store_ping(store, &failure));
	OK(kyneta_store_sync(store, &failure));
	FAILS(402, APPEND(store, S("doc"), since("v", "y")));
	cr_assert_eq(failure.outcome, KYNETA_STORE_NOT_APPLIED);
	FAILS(402, REPLACE(store, S("doc"), meta(META)));
	FAILS(402, DELETE(store, S("doc")));
	/* Access is looked at first: before arguments, expect and rules. */
	FAILS(402, append(store, S("doc"), NULL, 0, NULL));
	FAILS(402, APPEND(store, S("new"), since("v", "y")));
	STREAM(store, S("doc"), meta(META), since("v", "x"));
	store_leave(store);
	stored_end(&stored);
}

/* ---- create: false ---- */

Test(access, store_that_must_exist)
{
	struct kyneta_store_options options = options_for(&stored);
	kyneta_store *store;

	stored_start(&stored, NULL);
	options.no_create = true;
	FAILS(505, store_try(&options));
	make_store();
	store = store_open_with(&options);
	OK(APPEND(store, S("doc"), since("v", "y")));
	store_leave(store);
	options.meta_table = "m";
	options.records_table = "r";
	options.store_table = "s";
	FAILS(505, store_try(&options));
	stored_stop(&stored);
	ROWS("SELECT name FROM sqlite_master WHERE name IN ('m', 'r', 's')", "");
	stored_end(&stored);
}

/* ---- exclusive ---- */

Test(access, exclusive_keeps_writers_out_and_readers_in)
{
	struct hello exclusive = hello_access(ACCESS_EXCLUSIVE), reader = hello_access(ACCESS_READ_ONLY);
	struct wire holder, wire;
	struct reply reply;

	stored_start(&stored, NULL);
	make_store();
	wire_hello(&holder, &stored, &exclusive);
	cr_assert_eq(writer_refused(), 403);
	cr_assert_eq(wire_refused(&stored, &exclusive), 403);
	wire_append(&holder, 2, S("doc"), wire_entry("v", span_of_string("y")));
	ANSWER(&holder, 2, 0);
	wire_hello(&wire, &stored, &reader);
	wire_simple(&wire, 2, OPERATION_LOAD_ALL, S("doc"));
	ANSWER(&wire, 2, 0);
	cr_assert_eq(reply.records.count, 3);
	wire_close(&wire);
	/* It ends with close. */
	wire_simple(&holder, 3, OPERATION_CLOSE, SPAN_NONE);
	ANSWER(&holder, 3, 0);
	cr_assert_eq(writer_refused(), 0);
	wire_close(&holder);
	stored_end(&stored);
}

Test(access, exclusive_is_refused_while_others_write)
{
	struct hello writing = hello_access(ACCESS_READ_WRITE), exclusive = hello_access(ACCESS_EXCLUSIVE),
		     reading = hello_access(ACCESS_READ_ONLY);
	struct wire writer, reader, holder;

	stored_start(&stored, NULL);
	make_store();
	wire_hello(&reader, &stored, &reading);
	wire_hello(&writer, &stored, &writing);
	cr_assert_eq(wire_refused(&stored, &exclusive), 403);
	wire_leave(&writer);
	/* Readers are not in the way. */
	wire_hello(&holder, &stored, &exclusive);
	cr_assert_eq(writer_refused(), 403);
	wire_close(&holder);
	wire_close(&reader);
	stored_end(&stored);
}

Test(access, exclusive_through_the_library)
{
	struct kyneta_store_options options = options_for(&stored);
	kyneta_store *store;

	stored_start(&stored, NULL);
	options.access = KYNETA_STORE_EXCLUSIVE;
	store = store_open_with(&options);
	OK(APPEND(store, S("doc"), meta(META)));
	FAILS(403, store_try(&options));
	options.access = KYNETA_STORE_READ_WRITE;
	FAILS(403, store_try(&options));
	store_leave(store);
	store = store_open_with(&options);
	store_leave(store);
	stored_end(&stored);
}

Test(access, exclusive_without_a_session_ends_with_its_connection)
{
	struct hello exclusive = hello_access(ACCESS_EXCLUSIVE);
	struct wire wire;

	stored_start(&stored, NULL);
	make_store();
	wire_hello(&wire, &stored, &exclusive);
	wire_leave(&wire);
	cr_assert_eq(writer_refused(), 0);
	stored_end(&stored);
}

Test(access, exclusive_is_kept_for_its_session)
{
	struct hello mine = exclusive_session(1), other = exclusive_session(2), reader = hello_access(ACCESS_READ_ONLY);
	struct wire wire;

	stored_start(&stored, NULL);
	make_store();
	wire_hello(&wire, &stored, &mine);
	wire_leave(&wire); /* the connection is lost, and no word of close */
	cr_assert_eq(writer_refused(), 403);
	cr_assert_eq(wire_refused(&stored, &other), 403);
	wire_hello(&wire, &stored, &reader);
	wire_leave(&wire);
	/* Its holder finds it as it was. */
	wire_hello(&wire, &stored, &mine);
	cr_assert_eq(writer_refused(), 403);
	wire_leave(&wire);
	/* And gives it up by coming back for less. */
	mine.access = ACCESS_READ_WRITE;
	wire_hello(&wire, &stored, &mine);
	cr_assert_eq(writer_refused(), 0);
	wire_leave(&wire);
	cr_assert_eq(writer_refused(), 0);
	stored_end(&stored);
}

/* Over a restart and a crash, too: it is written down. */
static void exclusive_survives(void (*ending)(struct stored *stored))
{
	struct hello mine = exclusive_session(1);
	struct reply reply;
	struct wire wire;

	stored_start(&stored, NULL);
	make_store();
	wire_hello(&wire, &stored, &mine);
	ending(&stored);
	wire_close(&wire);
	stored_restart(&stored);
	cr_assert_eq(writer_refused(), 403);
	wire_hello(&wire, &stored, &mine);
	cr_assert_eq(writer_refused(), 403);
	wire_simple(&wire, 2, OPERATION_CLOSE, SPAN_NONE);
	ANSWER(&wire, 2, 0);
	wire_leave(&wire);
	cr_assert_eq(writer_refused(), 0);
	/* Nothing of it is left. */
	stored_kill(&stored);
	stored_restart(&stored);
	cr_assert_eq(writer_refused(), 0);
	stored_end(&stored);
}

Test(access, exclusive_survives_a_restart)
{
	exclusive_survives(stored_stop);
}

Test(access, exclusive_survives_a_crash)
{
	exclusive_survives(stored_kill);
}

/* Refused as long as it is kept; then it is free. How long that takes is not looked at. */
static void await_free(void)
{
	unsigned refused = 0;

	while (writer_refused() == 403 && refused < HARNESS_PATIENCE_MS / 10) {
		refused++;
		poll(NULL, 0, 10);
	}
	cr_assert_eq(writer_refused(), 0);
}

Test(access, exclusive_is_free_again_after_claim_timeout)
{
	struct hello mine = exclusive_session(1);
	struct wire wire;

	stored_start(&stored, "--claim-timeout", "1", NULL);
	make_store();
	wire_hello(&wire, &stored, &mine);
	wire_leave(&wire);
	await_free();
	/* Over a crash, and nobody returns. */
	wire_hello(&wire, &stored, &mine);
	stored_kill(&stored);
	wire_close(&wire);
	stored_restart(&stored);
	await_free();
	stored_end(&stored);
}

Test(access, exclusive_concerns_one_store)
{
	struct kyneta_store_options options = options_for(&stored);
	struct hello exclusive = hello_access(ACCESS_EXCLUSIVE);
	kyneta_store *store;
	struct wire wire;

	stored_start(&stored, NULL);
	wire_hello(&wire, &stored, &exclusive);
	options.meta_table = "m";
	options.records_table = "r";
	options.store_table = "s";
	store = store_open_with(&options);
	OK(APPEND(store, S("doc"), meta(META)));
	store_leave(store);
	cr_assert_eq(writer_refused(), 403);
	wire_close(&wire);
	stored_end(&stored);
}
