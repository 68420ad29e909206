/*
 * Durability: what is synced, when, and what survives the death of the daemon. Syncs are counted and held back by the
 * disk of the test (fault.h); whether they reach the platters is the kernel's word.
 */
#include "tests/contract/calls.h"
#include "tests/contract/database.h"
#include "tests/contract/wire.h"

TestSuite(durability, .init = harness_init, .fini = harness_fini, .timeout = 120);

static unsigned syncs(void)
{
	return atomic_load(&stored.fault->syncs);
}

static int append_durable(kyneta_store *store, int durability)
{
	struct kyneta_store_write write = durable(durability);
	struct kyneta_store_record record = since("v", "x");

	return append(store, S("doc"), &record, 1, &write);
}

/* A daemon with a document, on a disk that counts. */
static kyneta_store *start(const char *option, const char *value)
{
	kyneta_store *store;

	stored_use_faults(&stored);
	stored_start(&stored, option, value, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	OK(kyneta_store_sync(store, &failure));
	return store;
}

Test(durability, synced_is_synced_before_the_reply)
{
	kyneta_store *store = start(NULL, NULL);
	unsigned before;

	for (int i = 0; i < 5; i++) {
		before = syncs();
		OK(append_durable(store, KYNETA_STORE_SYNCED));
		cr_assert_gt(syncs(), before);
	}
	before = syncs();
	{
		struct kyneta_store_write write = durable(KYNETA_STORE_SYNCED);
		struct kyneta_store_record record = meta(META);

		OK(replace(store, S("doc"), &record, 1, &write));
		cr_assert_gt(syncs(), before);
		before = syncs();
		OK(delete_with(store, S("doc"), &write));
		cr_assert_gt(syncs(), before);
	}
	store_leave(store);
	stored_end(&stored);
}

Test(durability, committed_waits_for_no_sync)
{
	kyneta_store *store = start(NULL, NULL);
	unsigned before = syncs();

	/* Were there one, these would never be answered. */
	stored_hold_syncs(&stored);
	for (int i = 0; i < 5; i++)
		OK(append_durable(store, KYNETA_STORE_COMMITTED));
	cr_assert_eq(syncs(), before);
	cr_assert_eq(count_records(store, S("doc")), 6);
	stored_release_syncs(&stored);
	store_leave(store);
	stored_end(&stored);
}

Test(durability, default_is_synced)
{
	kyneta_store *store = start(NULL, NULL);
	unsigned before = syncs();

	OK(append_durable(store, KYNETA_STORE_DEFAULT));
	cr_assert_gt(syncs(), before);
	store_leave(store);
	stored_end(&stored);
}

Test(durability, default_is_the_daemons_option)
{
	kyneta_store *store = start("--durability", "committed");
	unsigned before = syncs();

	OK(append_durable(store, KYNETA_STORE_DEFAULT));
	cr_assert_eq(syncs(), before);
	OK(append_durable(store, KYNETA_STORE_SYNCED));
	cr_assert_gt(syncs(), before);
	store_leave(store);
	stored_end(&stored);
}

Test(durability, handles_have_a_default_of_their_own)
{
	kyneta_store *store = start(NULL, NULL), *other;
	struct kyneta_store_options options = options_for(&stored);
	unsigned before;

	options.durability = KYNETA_STORE_COMMITTED;
	other = store_open_with(&options);
	before = syncs();
	OK(APPEND(other, S("doc"), since("v", "x")));
	cr_assert_eq(syncs(), before);
	store_leave(other);
	store_leave(store);
	stored_end(&stored);
}

/* One member that asks is enough: nobody's synced write is answered before a sync, whoever shares its commit. */
Test(durability, batch_is_synced_if_any_member_asks)
{
	kyneta_store *store = start(NULL, NULL);
	struct record record = wire_entry("v", span_of_string("x"));
	struct wire wire;
	struct reply reply;
	unsigned before;

	wire_hello(&wire, &stored, &(struct hello){.lowest = 1, .highest = 1, .create = true});
	/* The first holds the writer up, and the others become one batch. */
	stored_hold_syncs(&stored);
	before = syncs();
	for (uint64_t id = 2; id < 8; id++) {
		struct request request = request_of(id, OPERATION_APPEND, S("doc"));

		request.durability = id == 2 || id == 5 ? DURABILITY_SYNCED : DURABILITY_COMMITTED;
		wire_ask(&wire, &request, &record, 1);
		if (id == 2)
			stored_await_sync(&stored, before);
	}
	stored_release_syncs(&stored);
	for (uint64_t id = 2; id < 8; id++) {
		ANSWER(&wire, id, 0);
		cr_assert_geq(atomic_load(&stored.fault->syncs_ended) - before, id < 5 ? 1 : 2);
	}
	wire_close(&wire);
	store_leave(store);
	stored_end(&stored);
}

Test(durability, sync_syncs_what_was_acknowledged)
{
	kyneta_store *store = start(NULL, NULL);
	unsigned before = syncs();

	OK(append_durable(store, KYNETA_STORE_COMMITTED));
	cr_assert_eq(syncs(), before);
	OK(kyneta_store_sync(store, &failure));
	cr_assert_gt(syncs(), before);
	store_leave(store);
	stored_end(&stored);
}

/* What a session's earlier connections were promised is its own affair as well. */
Test(durability, sync_covers_earlier_connections_of_the_session)
{
	struct hello hello = hello_session(1);
	struct request request = request_of(2, OPERATION_APPEND, S("doc"));
	struct record record = wire_meta(META);
	kyneta_store *store = start(NULL, NULL);
	struct reply reply;
	struct wire wire;
	unsigned before;

	wire_hello(&wire, &stored, &hello);
	request.durability = DURABILITY_COMMITTED;
	wire_ask(&wire, &request, &record, 1);
	ANSWER(&wire, 2, 0);
	wire_leave(&wire);
	before = syncs();
	wire_hello(&wire, &stored, &hello);
	wire_simple(&wire, 3, OPERATION_SYNC, SPAN_NONE);
	ANSWER(&wire, 3, 0);
	cr_assert_gt(syncs(), before);
	wire_close(&wire);
	store_leave(store);
	stored_end(&stored);
}

Test(durability, sync_waits_for_earlier_writes)
{
	kyneta_store *store = start(NULL, NULL);
	unsigned answered = 0, before = syncs();
	struct kyneta_store_record record = since("v", "x");
	struct kyneta_store_write write = durable(KYNETA_STORE_COMMITTED);

	for (int i = 0; i < 100; i++)
		cr_assert_eq(kyneta_store_send_append(store, "doc", 3, &record, 1, &write, must_succeed, &answered), 0);
	OK(kyneta_store_sync(store, &failure));
	cr_assert_eq(answered, 100);
	cr_assert_gt(syncs(), before);
	store_leave(store);
	stored_end(&stored);
}

/* A delete of nothing writes nothing; but what it stands on must be synced all the same. */
Test(durability, synced_delete_of_nothing_syncs_what_it_saw)
{
	kyneta_store *store = start(NULL, NULL);
	struct kyneta_store_write committed = durable(KYNETA_STORE_COMMITTED), synced = durable(KYNETA_STORE_SYNCED);
	unsigned before;

	OK(delete_with(store, S("doc"), &committed));
	before = syncs();
	OK(delete_with(store, S("doc"), &synced));
	cr_assert_gt(syncs(), before);
	store_leave(store);
	stored_end(&stored);
}

/* Sent again and asking for more than the first time: it is answered when what it did is synced. */
Test(durability, repeated_write_that_asks_for_synced_waits_for_it)
{
	struct hello hello = hello_session(1);
	struct request request = request_of(2, OPERATION_APPEND, S("new"));
	struct record record = wire_meta(META);
	kyneta_store *store = start(NULL, NULL);
	struct wire wire;
	struct reply reply;
	unsigned before;

	wire_hello(&wire, &stored, &hello);
	request.durability = DURABILITY_COMMITTED;
	wire_ask(&wire, &request, &record, 1);
	ANSWER(&wire, 2, 0);
	wire_close(&wire);
	before = syncs();
	wire_hello(&wire, &stored, &hello);
	wire_ask(&wire, &request, &record, 1);
	ANSWER(&wire, 2, 0);
	cr_assert(reply.duplicate);
	cr_assert_eq(syncs(), before);
	wire_close(&wire);
	wire_hello(&wire, &stored, &hello);
	request.durability = DURABILITY_SYNCED;
	wire_ask(&wire, &request, &record, 1);
	ANSWER(&wire, 2, 0);
	cr_assert(reply.duplicate);
	cr_assert_gt(syncs(), before);
	wire_close(&wire);
	store_leave(store);
	stored_end(&stored);
}

Test(durability, committed_survives_the_death_of_the_daemon)
{
	kyneta_store *store = start(NULL, NULL);

	for (int i = 0; i < 10; i++)
		OK(append_durable(store, KYNETA_STORE_COMMITTED));
	stored_kill(&stored);
	stored_restart(&stored);
	cr_assert_eq(count_records(store, S("doc")), 11);
	store_leave(store);
	stored_end(&stored);
}

/* After a crash "it is there" means "it is on the disk", before the first hello is answered. */
Test(durability, restart_syncs_what_it_finds_before_it_serves)
{
	kyneta_store *store = start(NULL, NULL);
	struct stored copy;
	unsigned before;

	stored_prepare(&copy);
	OK(append_durable(store, KYNETA_STORE_COMMITTED));
	stored_kill(&stored);
	kyneta_store_free(store);
	before = syncs();
	stored_restart(&stored);
	store = store_open();
	cr_assert_gt(syncs(), before);
	/* All of it is in the database itself: a copy without the log has it. */
	file_copy(stored.database, copy.database);
	cr_assert_eq(database_number(&copy, "SELECT count(*) FROM kyneta_records"), 2);
	store_leave(store);
	stored_end(&copy);
	stored_end(&stored);
}

Test(durability, restart_that_cannot_sync_does_not_serve)
{
	kyneta_store *store = start(NULL, NULL);

	OK(append_durable(store, KYNETA_STORE_COMMITTED));
	stored_kill(&stored);
	kyneta_store_free(store);
	atomic_store(&stored.fault->sync_error, 5 /* EIO */);
	stored_launch(&stored);
	cr_assert_eq(stored_wait(&stored), 5);
	atomic_store(&stored.fault->sync_error, 0);
	stored_restart(&stored);
	store = store_open();
	cr_assert_eq(count_records(store, S("doc")), 2);
	store_leave(store);
	stored_end(&stored);
}

/* A file that others wrote becomes durable when it is taken in use; if that fails, trying again would prove nothing. */
Test(durability, file_that_cannot_be_synced_is_not_served)
{
	struct hello hello = hello_plain();
	kyneta_store *store;

	database_execute(&stored, "CREATE TABLE other (x)");
	stored_use_faults(&stored);
	stored_start(&stored, NULL);
	atomic_store(&stored.fault->sync_error, 5 /* EIO */);
	cr_assert_eq(wire_refused(&stored, &hello), 501);
	cr_assert_eq(stored_wait(&stored), 3);
	atomic_store(&stored.fault->sync_error, 0);
	stored_restart(&stored);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	store_leave(store);
	stored_end(&stored);
}

/* A failed sync: nobody knows what is on the disk. The client is told so, and the daemon ends. */
Test(durability, failed_sync_is_unknown_and_ends_the_daemon)
{
	kyneta_store *store = start(NULL, NULL);
	struct hello hello = hello_plain();
	struct wire wire;
	struct reply reply;

	kyneta_store_free(store);
	wire_hello(&wire, &stored, &hello);
	atomic_store(&stored.fault->sync_error, 5 /* EIO */);
	wire_append(&wire, 2, S("doc"), wire_entry("v", span_of_string("x")));
	ANSWER(&wire, 2, 501);
	cr_assert_eq(reply.outcome, OUTCOME_UNKNOWN);
	cr_assert(wire_ended(&wire));
	cr_assert_eq(stored_wait(&stored), 3);
	wire_close(&wire);
	/* Recovery decides, and the daemon serves again. */
	atomic_store(&stored.fault->sync_error, 0);
	stored_restart(&stored);
	store = store_open();
	cr_assert_geq(count_records(store, S("doc")), 1);
	store_leave(store);
	stored_end(&stored);
}
