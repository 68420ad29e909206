/*
 * Endings: peers that leave, daemons that stop, and daemons in each other's way.
 */
#include "tests/contract/calls.h"
#include "tests/contract/database.h"
#include "tests/contract/wire.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(endings, .init = harness_init, .fini = harness_fini, .timeout = 120);

/* A daemon with a document "doc" of one meta. */
static void start(struct wire *wire, const char *option, const char *value)
{
	struct hello hello = hello_plain();
	struct reply reply;

	stored_use_faults(&stored);
	stored_start(&stored, option, value, NULL);
	wire_hello(wire, &stored, &hello);
	wire_append(wire, 2, S("doc"), wire_meta(META));
	ANSWER(wire, 2, 0);
}

/* Lets its writer wait for a sync, with a write of "busy" under way. A hello would wait, too. */
static void hold(struct wire *wire)
{
	unsigned before = atomic_load(&stored.fault->syncs);

	stored_hold_syncs(&stored);
	wire_append(wire, 3, S("busy"), wire_meta(META));
	stored_await_sync(&stored, before);
}

static void start_held(struct wire *wire, const char *option, const char *value)
{
	start(wire, option, value);
	hold(wire);
}

/* The daemon says that it is draining. */
static void must_say_draining(struct wire *wire)
{
	struct reply reply;

	ANSWER(wire, 0, 0);
	cr_assert_eq(reply.event, EVENT_DRAINING);
}

/* ---- peers that leave ---- */

Test(endings, half_close_is_legal)
{
	struct wire wire;
	struct reply reply;

	start_held(&wire, NULL, NULL);
	for (uint64_t id = 4; id < 50; id++)
		wire_append(&wire, id, S("doc"), wire_meta(META));
	wire_simple(&wire, 50, OPERATION_LOAD_ALL, S("doc"));
	shutdown(wire.fd, SHUT_WR);
	stored_release_syncs(&stored);
	for (uint64_t id = 3; id <= 50; id++)
		ANSWER(&wire, id, 0);
	cr_assert_eq(reply.records.count, 47);
	cr_assert(wire_ended(&wire));
	wire_close(&wire);
	stored_end(&stored);
}

/* Hosts delete and exit. Everything received is carried out, though nobody reads the replies. */
Test(endings, what_a_vanished_peer_had_sent_is_carried_out)
{
	struct wire wire;

	start_held(&wire, NULL, NULL);
	for (uint64_t id = 4; id < 300; id++)
		wire_append(&wire, id, S("doc"), wire_meta(META));
	wire_simple(&wire, 300, OPERATION_DELETE, S("busy"));
	wire_close(&wire);
	stored_release_syncs(&stored);
	stored_stop(&stored);
	ROWS("SELECT doc_id, count(*) FROM kyneta_records GROUP BY doc_id", "'doc'|297\n");
	stored_end(&stored);
}

Test(endings, frame_that_was_cut_is_not_carried_out)
{
	struct hello hello = hello_plain();
	struct request request = request_of(3, OPERATION_APPEND, S("doc"));
	struct record record = wire_meta(META);
	struct buffer out = BUFFER_EMPTY;
	struct wire wire;
	struct reply reply;
	kyneta_store *store;

	stored_start(&stored, NULL);
	wire_hello(&wire, &stored, &hello);
	wire_append(&wire, 2, S("doc"), record);
	wire_encode(&wire, &out, &request, &record, 1);
	wire_bytes(&wire, out.data, out.size - 1);
	buffer_free(&out);
	shutdown(wire.fd, SHUT_WR);
	ANSWER(&wire, 2, 0);
	cr_assert(wire_ended(&wire));
	wire_close(&wire);
	store = store_open();
	STREAM(store, S("doc"), meta(META));
	store_leave(store);
	stored_end(&stored);
}

/* ---- a daemon that stops ---- */

/* Under load: what was accepted is carried out and answered; what is answered is there, and nothing else is. */
static void drain_under_load(int signal_number)
{
	enum { CLIENTS = 4, WRITES = 400 };
	struct hello hello = hello_plain();
	struct wire wires[CLIENTS], first;
	unsigned done = 0;

	start(&first, "--batch-requests", "16");
	for (size_t i = 0; i < CLIENTS; i++)
		wire_hello(&wires[i], &stored, &hello);
	hold(&first);
	for (size_t i = 0; i < CLIENTS; i++)
		for (uint64_t id = 2; id < 2 + WRITES; id++)
			wire_append(&wires[i], id, S("doc"), wire_meta(META));
	stored_signal(&stored, signal_number);
	must_say_draining(&first);
	stored_release_syncs(&stored);
	for (size_t i = 0; i < CLIENTS; i++) {
		bool told = false;
		struct reply reply;

		while (wire_next(&wires[i], &reply)) {
			told |= reply.id == 0 && reply.event == EVENT_DRAINING;
			cr_assert(reply.code == 0 || reply.code == 503);
			done += reply.id != 0 && reply.code == 0;
		}
		cr_assert(told);
		wire_close(&wires[i]);
	}
	cr_assert_eq(stored_wait(&stored), 0);
	wire_close(&first);
	/* All of it had been sent before the signal. */
	cr_assert_eq(done, CLIENTS * WRITES);
	ROWS("SELECT doc_id, count(*) FROM kyneta_records GROUP BY doc_id", "'busy'|1\n'doc'|1601\n");
	stored_end(&stored);
}

Test(endings, sigterm_under_load_answers_everything_accepted)
{
	drain_under_load(SIGTERM);
}

Test(endings, sigint_does_the_same)
{
	drain_under_load(SIGINT);
}

Test(endings, draining_daemon_accepts_nobody)
{
	struct kyneta_store_options options = options_for(&stored);
	struct wire wire;
	struct reply reply;

	start_held(&wire, NULL, NULL);
	stored_signal(&stored, SIGTERM);
	must_say_draining(&wire);
	options.no_reconnect = true;
	cr_assert_neq(store_try(&options), 0);
	stored_release_syncs(&stored);
	ANSWER(&wire, 3, 0);
	cr_assert(wire_ended(&wire));
	cr_assert_eq(stored_wait(&stored), 0);
	wire_close(&wire);
	stored_end(&stored);
}

/* After drain-timeout what has not started is refused: nothing was done. */
Test(endings, what_has_not_started_is_refused_after_drain_timeout)
{
	struct wire wire;
	struct reply reply;

	start_held(&wire, "--drain-timeout", "1");
	wire_simple(&wire, 4, OPERATION_LOAD_ALL, S("busy"));	  /* waits for 3 */
	wire_append(&wire, 5, S("busy"), wire_meta(META));	  /* waits for 4 */
	wire_simple(&wire, 6, OPERATION_LIST_DOC_IDS, SPAN_NONE); /* waits for 5 */
	wire_simple(&wire, 7, OPERATION_PING, SPAN_NONE);
	ANSWER(&wire, 7, 0);
	stored_signal(&stored, SIGTERM);
	must_say_draining(&wire);
	for (int i = 0; i < 3; i++) {
		cr_assert(wire_next(&wire, &reply));
		cr_assert_eq(reply.code, 503);
		cr_assert(reply.id >= 4 && reply.id <= 6);
		cr_assert_eq(reply.outcome, reply.id == 5 ? OUTCOME_NOT_APPLIED : OUTCOME_NONE);
	}
	stored_release_syncs(&stored);
	ANSWER(&wire, 3, 0);
	cr_assert(wire_ended(&wire));
	cr_assert_eq(stored_wait(&stored), 4);
	wire_close(&wire);
	ROWS("SELECT doc_id, count(*) FROM kyneta_records GROUP BY doc_id", "'busy'|1\n'doc'|1\n");
	stored_end(&stored);
}

/* The library hides it: calls wait for the next daemon. */
Test(endings, library_goes_on_with_the_next_daemon)
{
	struct kyneta_store_status status;
	unsigned answered = 0;
	kyneta_store *store;

	stored_start(&stored, "--batch-requests", "8", NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 200; i++)
			send_record(store, S("doc"), since("v", "x"), &answered);
		kyneta_store_push(store);
		stored_stop(&stored);
		stored_restart(&stored);
		OK(kyneta_store_flush(store, &failure));
		cr_assert_eq(answered, 200 * (unsigned)(round + 1));
		cr_assert_eq(count_records(store, S("doc")), 1 + answered);
	}
	kyneta_store_get_status(store, &status);
	cr_assert_eq(status.connects, 6);
	store_leave(store);
	stored_end(&stored);
}

Test(endings, second_signal_ends_at_once_and_still_consistent)
{
	struct wire wire;
	kyneta_store *store;
	size_t count;

	start_held(&wire, NULL, NULL);
	for (uint64_t id = 4; id < 50; id++)
		wire_append(&wire, id, S("doc"), wire_meta(META));
	stored_signal(&stored, SIGTERM);
	must_say_draining(&wire);
	stored_signal(&stored, SIGTERM);
	/* Its syncs still wait. */
	cr_assert_eq(stored_wait(&stored), 4);
	cr_assert(wire_ended(&wire));
	wire_close(&wire);
	stored_release_syncs(&stored);
	ROWS("PRAGMA integrity_check", "'ok'\n");
	stored_restart(&stored);
	store = store_open();
	count = count_records(store, S("doc"));
	cr_assert(count == 1 || count == 47, "%zu", count);
	store_leave(store);
	stored_end(&stored);
}

Test(endings, stopped_daemon_leaves_one_file)
{
	char path[HARNESS_PATH_SIZE + 8];
	kyneta_store *store;
	size_t size;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	store_leave(store);
	stored_stop(&stored);
	snprintf(path, sizeof(path), "%s-wal", stored.database);
	cr_assert_null(file_read(path, &size));
	cr_assert_null(file_read(stored.socket, &size));
	cr_assert_neq(access(stored.socket, F_OK), 0);
	stored_end(&stored);
}

/* ---- daemons in each other's way ---- */

Test(endings, stale_socket_is_replaced)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	stored_kill(&stored);
	cr_assert_eq(access(stored.socket, F_OK), 0);
	stored_restart(&stored);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	store_leave(store);
	stored_end(&stored);
}

/* A second daemon that has this in common with the first must not start, and says who is there. */
static void second_is_refused(struct stored *second)
{
	kyneta_store *store;
	char pid[32];

	stored_start(&stored, NULL);
	stored_launch(second);
	cr_assert_eq(stored_wait(second), 1);
	snprintf(pid, sizeof(pid), "pid %d", (int)stored.pid);
	cr_assert(stored_has_said(second, pid));
	cr_assert(stored_has_said(second, stored.socket));
	/* The first did not notice. */
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	store_leave(store);
	stored_end(second);
	stored_end(&stored);
}

Test(endings, second_daemon_on_the_same_database_names_the_first)
{
	struct stored second;

	stored_prepare(&second);
	memcpy(second.database, stored.database, sizeof(second.database));
	second_is_refused(&second);
}

Test(endings, live_socket_is_never_replaced)
{
	struct stored second;

	stored_prepare(&second);
	memcpy(second.socket, stored.socket, sizeof(second.socket));
	second_is_refused(&second);
}
