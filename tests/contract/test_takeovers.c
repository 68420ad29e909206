/*
 * Take-overs: a second connection in the session of a first, which is finished, answered and closed before.
 */
#include "tests/contract/calls.h"
#include "tests/contract/database.h"
#include "tests/contract/wire.h"

#include <stdio.h>
#include <sys/socket.h>

TestSuite(takeovers, .init = harness_init, .fini = harness_fini, .timeout = 120);

/* The new connection gets its answer when the old one has finished what it had queued, and is closed. */
Test(takeovers, take_over_waits_for_the_old_connection)
{
	struct hello hello = hello_session(1);
	struct reply reply;
	struct wire old, new;
	unsigned before;

	stored_use_faults(&stored);
	stored_start(&stored, NULL);
	wire_enter(&old, 1);
	wire_append(&old, 2, S("doc"), wire_meta(META));
	ANSWER(&old, 2, 0);
	stored_hold_syncs(&stored);
	before = atomic_load(&stored.fault->syncs);
	wire_append(&old, 3, S("doc"), wire_entry("v", span_of_string("x")));
	wire_append(&old, 4, S("doc"), wire_entry("v", span_of_string("y")));
	wire_append(&old, 5, S("doc"), wire_entry("v", span_of_string("z")));
	stored_await_sync(&stored, before);
	wire_connect(&new, &stored);
	wire_send_hello(&new, &hello);
	/* A round trip of a third one: the daemon has seen the hello by now. */
	wire_refused(&stored, &(struct hello){.lowest = 9, .highest = 9, .create = true});
	stored_release_syncs(&stored);
	reply = wire_answer(&new, 1);
	cr_assert_eq(reply.code, 0);
	cr_assert_eq(reply.hello.through, 5, "what the old connection had queued is finished");
	/* The old one was answered, and then closed. */
	ANSWER(&old, 3, 0);
	ANSWER(&old, 4, 0);
	ANSWER(&old, 5, 0);
	cr_assert(wire_ended(&old));
	wire_append(&new, 4, S("doc"), wire_entry("v", span_of_string("y")));
	ANSWER(&new, 4, 0);
	cr_assert(reply.duplicate);
	wire_append(&new, 6, S("doc"), wire_entry("v", span_of_string("!")));
	ANSWER(&new, 6, 0);
	cr_assert_not(reply.duplicate);
	cr_assert_eq(reply.at.next, 5);
	wire_close(&old);
	wire_close(&new);
	stored_end(&stored);
}

/* A third one comes while the second waits: the last one wins, and the one between is closed unanswered. */
Test(takeovers, last_take_over_wins)
{
	struct hello hello = hello_session(1);
	struct wire old, between, last;
	struct reply reply;
	unsigned before;

	stored_use_faults(&stored);
	stored_start(&stored, NULL);
	wire_enter(&old, 1);
	wire_append(&old, 2, S("doc"), wire_meta(META));
	ANSWER(&old, 2, 0);
	stored_hold_syncs(&stored);
	before = atomic_load(&stored.fault->syncs);
	wire_append(&old, 3, S("doc"), wire_meta(META));
	stored_await_sync(&stored, before);
	wire_connect(&between, &stored);
	wire_send_hello(&between, &hello);
	wire_refused(&stored, &(struct hello){.lowest = 9, .highest = 9, .create = true});
	wire_connect(&last, &stored);
	wire_send_hello(&last, &hello);
	cr_assert(wire_ended(&between));
	stored_release_syncs(&stored);
	ANSWER(&last, 1, 0);
	cr_assert_eq(reply.hello.through, 3);
	ANSWER(&old, 3, 0);
	cr_assert(wire_ended(&old));
	wire_close(&old);
	wire_close(&between);
	wire_close(&last);
	stored_end(&stored);
}

/* What the old connection sends after that is not read, let alone carried out. */
Test(takeovers, nothing_more_is_read_from_the_old_connection)
{
	struct wire old, new;
	struct reply reply;
	kyneta_store *store;

	stored_start(&stored, NULL);
	wire_enter(&old, 1);
	wire_append(&old, 2, S("doc"), wire_meta(META));
	ANSWER(&old, 2, 0);
	cr_assert_eq(wire_enter(&new, 1).through, 2);
	{
		struct request request = request_of(3, OPERATION_APPEND, S("doc"));
		struct record record = wire_entry("v", span_of_string("too late"));
		struct buffer out = BUFFER_EMPTY;

		wire_encode(&old, &out, &request, &record, 1);
		send(old.fd, out.data, out.size, MSG_NOSIGNAL); /* may fail: the daemon has closed it */
		buffer_free(&out);
	}
	cr_assert(wire_ended(&old));
	wire_append(&new, 3, S("doc"), wire_entry("v", span_of_string("in time")));
	ANSWER(&new, 3, 0);
	cr_assert_not(reply.duplicate);
	store = store_open();
	STREAM(store, S("doc"), meta(META), since("v", "in time"));
	store_leave(store);
	wire_close(&old);
	wire_close(&new);
	stored_end(&stored);
}

/* Whatever was in the air: after a take-over and a second sending everything is there once. */
Test(takeovers, take_overs_under_load_lose_and_double_nothing)
{
	const uint64_t last = 401;
	struct wire old, new;
	struct reply reply;

	stored_start(&stored, "--batch-requests", "8", NULL);
	wire_enter(&old, 1);
	wire_append(&old, 2, S("doc"), wire_meta(META));
	for (int round = 0; round < 8; round++) {
		uint64_t through;

		for (uint64_t id = 3; id <= last; id++) {
			char version[24];
			struct request request = request_of(id, OPERATION_APPEND, S("doc"));
			struct buffer out = BUFFER_EMPTY;
			struct record record;

			snprintf(version, sizeof(version), "%llu", (unsigned long long)id);
			record = wire_entry(version, span_of_string("x"));
			wire_encode(&old, &out, &request, &record, 1);
			/* Only part of it in each round, so that every take-over finds something new. */
			if (id <= last * (uint64_t)(round + 1) / 8)
				wire_bytes(&old, out.data, out.size);
			buffer_free(&out);
		}
		through = wire_enter(&new, 1).through;
		cr_assert_leq(through, last);
		while (wire_next(&old, &reply))
			cr_assert(reply.code == 0 && reply.id <= through);
		wire_close(&old);
		old = new;
		if (through < 2)
			wire_append(&old, 2, S("doc"), wire_meta(META));
	}
	for (uint64_t id = 3; id <= last; id++) {
		char version[24];

		snprintf(version, sizeof(version), "%llu", (unsigned long long)id);
		wire_append(&old, id, S("doc"), wire_entry(version, span_of_string("x")));
		ANSWER(&old, id, 0);
	}
	wire_close(&old);
	stored_stop(&stored);
	cr_assert_eq(database_number(&stored, "SELECT count(*) FROM kyneta_records"), (long long)last - 1);
	cr_assert_eq(database_number(&stored, "SELECT count(*) FROM kyneta_records WHERE seq > 0 AND "
					      "CAST(json_extract(payload, '$.version') AS INTEGER) <> seq + 2"),
		     0, "in order");
	stored_end(&stored);
}
