/*
 * Positions: `at`, `expect`, conflicts, and generations that never go back.
 */
#include "tests/contract/calls.h"
#include "tests/contract/database.h"
#include "tests/contract/wire.h"

TestSuite(positions, .init = harness_init, .fini = harness_fini, .timeout = 120);

/* append_expecting(…) - one entry, if the document stands there. */
static int append_expecting(kyneta_store *store, struct span id, struct kyneta_store_position position)
{
	struct kyneta_store_write write = expecting(position);
	struct kyneta_store_record record = since("v", "expected");

	return append(store, id, &record, 1, &write);
}

static int replace_expecting(kyneta_store *store, struct span id, struct kyneta_store_position position)
{
	struct kyneta_store_write write = expecting(position);
	struct kyneta_store_record record = meta(META);

	return replace(store, id, &record, 1, &write);
}

static int delete_expecting(kyneta_store *store, struct span id, struct kyneta_store_position position)
{
	struct kyneta_store_write write = expecting(position);

	return delete_with(store, id, &write);
}

/* ---- at ---- */

Test(positions, every_answer_tells_where_the_document_stands)
{
	struct kyneta_store_position appended, replaced;
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META), since("v1", "x")));
	appended = at;
	cr_assert_eq(appended.next, 2);
	SAME_POSITION(position_of(store, S("doc")), appended);
	STREAM(store, S("doc"), meta(META), since("v1", "x"));
	SAME_POSITION(at, appended);

	OK(REPLACE(store, S("doc"), meta(META), since("v1", "x")));
	replaced = at;
	cr_assert_eq(replaced.next, 2);
	cr_assert_neq(replaced.generation, appended.generation, "the same records, but not the same stream");
	SAME_POSITION(position_of(store, S("doc")), replaced);
	STREAM(store, S("doc"), meta(META), since("v1", "x"));
	SAME_POSITION(at, replaced);

	OK(DELETE(store, S("doc")));
	cr_assert_eq(at.next, 0);
	cr_assert_neq(at.generation, replaced.generation);
	SAME_POSITION(position_of(store, S("doc")), at);
	store_leave(store);
	stored_end(&stored);
}

Test(positions, generation_changes_with_replace_and_delete_only)
{
	struct kyneta_store_position first;
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	first = at;
	OK(APPEND(store, S("doc"), since("v1", "x")));
	OK(APPEND(store, S("doc"), meta(META)));
	cr_assert_eq(at.generation, first.generation);
	/* Neither what is refused nor what happens to others changes it. */
	FAILS(201, REPLACE(store, S("doc"), since("v1", "x")));
	FAILS(202, REPLACE(store, S("doc"), meta(META_WITH("[\"yjs\",1,0]", SYNC_MODE, "h"))));
	OK(REPLACE(store, S("other"), meta(META)));
	OK(DELETE(store, S("other")));
	/* A delete of what is not there changes nothing either. */
	first.next = 3;
	SAME_POSITION(position_of(store, S("doc")), first);
	OK(DELETE(store, S("nothing")));
	SAME_POSITION(position_of(store, S("nothing")), at);
	store_leave(store);
	stored_end(&stored);
}

/* Over everything that can happen to a document. */
Test(positions, generation_never_goes_back)
{
	uint64_t generation = 0;
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	for (int round = 0; round < 12; round++) {
		if (round % 2 == 0)
			OK(REPLACE(store, S("doc"), meta(META)));
		else
			OK(DELETE(store, S("doc")));
		cr_assert_gt(at.generation, generation);
		generation = at.generation;
		if (round % 4 == 1) {
			stored_stop(&stored);
			stored_restart(&stored);
		} else if (round % 4 == 3) {
			stored_kill(&stored);
			stored_restart(&stored);
		}
		cr_assert_eq(position_of(store, S("doc")).generation, generation, "it changed over a restart");
		OK(APPEND(store, S("doc"), meta(META)));
		cr_assert_eq(at.generation, generation);
		/* Others take numbers from the same counter. */
		OK(REPLACE(store, S("other"), meta(META)));
	}
	store_leave(store);
	stored_end(&stored);
}

/*
 * After power loss, commits that were not synced may be gone, and their generations would be given out a second time: a
 * daemon that finds that the machine went down while it ran (its row b has another boot's name) jumps ahead.
 */
Test(positions, power_loss_gives_new_generations)
{
	struct kyneta_store_position before;
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(REPLACE(store, S("doc"), meta(META)));
	before = at;
	stored_kill(&stored);
	kyneta_store_free(store);
	database_execute(&stored, "UPDATE kyneta_stored SET value = CAST('another boot' AS BLOB) WHERE key = x'62'");
	stored_restart(&stored);
	store = store_open();
	cr_assert_gt(position_of(store, S("doc")).generation, before.generation);
	FAILS(300, append_expecting(store, S("doc"), before));
	OK(append_expecting(store, S("doc"), failure.position));
	store_leave(store);
	stored_end(&stored);
}

/* ---- expect ---- */

Test(positions, expect_lets_through_exactly_that_position)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	/* What does not exist stands somewhere too. */
	OK(replace_expecting(store, S("doc"), position_of(store, S("doc"))));
	OK(append_expecting(store, S("doc"), at));
	OK(append_expecting(store, S("doc"), at));
	STREAM(store, S("doc"), meta(META), since("v", "expected"), since("v", "expected"));
	OK(replace_expecting(store, S("doc"), at));
	STREAM(store, S("doc"), meta(META));
	OK(delete_expecting(store, S("doc"), at));
	OK(delete_expecting(store, S("doc"), at));
	EMPTY(store, S("doc"));
	store_leave(store);
	stored_end(&stored);
}

/* A position that is not the document's: refused, told where it stands, and nothing happens. */
static void must_conflict(kyneta_store *store, struct span id, struct kyneta_store_position wrong)
{
	struct kyneta_store_position now = position_of(store, id);
	int (*const calls[])(kyneta_store *, struct span,
			     struct kyneta_store_position) = {append_expecting, replace_expecting, delete_expecting};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		FAILS(300, calls[i](store, id, wrong));
		cr_assert_eq(failure.outcome, KYNETA_STORE_NOT_APPLIED);
		cr_assert(failure.has_position);
		SAME_POSITION(failure.position, now);
		SAME_POSITION(position_of(store, id), now);
	}
}

Test(positions, conflict_tells_where_the_document_stands)
{
	struct kyneta_store_position old, now;
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(REPLACE(store, S("doc"), meta(META), since("v1", "x")));
	old = at;
	must_conflict(store, S("doc"), (struct kyneta_store_position){old.generation, old.next + 1});
	must_conflict(store, S("doc"), (struct kyneta_store_position){old.generation, old.next - 1});
	must_conflict(store, S("doc"), (struct kyneta_store_position){old.generation + 1, old.next});
	must_conflict(store, S("doc"), (struct kyneta_store_position){UINT64_MAX, UINT64_MAX});
	OK(APPEND(store, S("doc"), since("v2", "y")));
	must_conflict(store, S("doc"), old);
	/* The same number of records, but other ones. */
	OK(REPLACE(store, S("doc"), meta(META), since("v1", "x")));
	now = at;
	cr_assert_eq(now.next, old.next);
	must_conflict(store, S("doc"), old);
	OK(DELETE(store, S("doc")));
	must_conflict(store, S("doc"), now);
	store_leave(store);
	stored_end(&stored);
}

Test(positions, conflict_is_told_of_what_does_not_exist)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	must_conflict(store, S("doc"), (struct kyneta_store_position){7, 7});
	NONE_LISTED(store, S(""));
	OK(APPEND(store, S("other"), meta(META)));
	must_conflict(store, S("doc"), (struct kyneta_store_position){7, 7});
	LISTED(store, S(""), S("other"));
	store_leave(store);
	stored_end(&stored);
}

Test(positions, expect_is_looked_at_before_the_rules)
{
	struct kyneta_store_write wrong = expecting((struct kyneta_store_position){9, 9});
	struct kyneta_store_record record = since("v", "x"), bad = meta("{}");
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	FAILS(300, append(store, S("doc"), &record, 1, &wrong));  /* else 200 */
	FAILS(300, replace(store, S("doc"), &record, 1, &wrong)); /* else 201 */
	FAILS(300, replace(store, S("doc"), NULL, 0, &wrong));
	FAILS(300, append(store, S("doc"), &bad, 1, &wrong)); /* else 204 */
	/* But after the arguments. */
	FAILS(105, append(store, S("doc"), NULL, 0, &wrong));
	store_leave(store);
	stored_end(&stored);
}

Test(positions, expect_survives_a_restart)
{
	struct kyneta_store_position before;
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(REPLACE(store, S("doc"), meta(META), since("v1", "x")));
	before = at;
	stored_stop(&stored);
	stored_restart(&stored);
	OK(append_expecting(store, S("doc"), before));
	before = at;
	stored_kill(&stored);
	stored_restart(&stored);
	OK(append_expecting(store, S("doc"), before));
	store_leave(store);
	stored_end(&stored);
}

/* The way to compact beside others: what was appended after the read is never lost. */
Test(positions, replace_with_expect_loses_nothing)
{
	kyneta_store *store, *other;
	struct kyneta_store_position read;

	stored_start(&stored, NULL);
	store = store_open();
	other = store_open();
	OK(APPEND(store, S("doc"), meta(META), since("v1", "x")));
	STREAM(store, S("doc"), meta(META), since("v1", "x"));
	read = at;
	OK(APPEND(other, S("doc"), since("v2", "y")));
	FAILS(300, replace_expecting(store, S("doc"), read));
	STREAM(store, S("doc"), meta(META), since("v1", "x"), since("v2", "y"));
	OK(replace_expecting(store, S("doc"), failure.position));
	STREAM(other, S("doc"), meta(META));
	store_leave(store);
	store_leave(other);
	stored_end(&stored);
}

/* In one pipeline, too, each write sees what those before it did. */
Test(positions, expect_sees_the_batch_so_far)
{
	struct kyneta_store_position here;
	struct request request;
	struct record record = wire_entry("v", span_of_string("x"));
	struct reply reply;
	struct wire wire;
	kyneta_store *store;

	stored_use_faults(&stored);
	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	here = at;
	wire_hello(&wire, &stored, &(struct hello){.lowest = 1, .highest = 1, .create = true});
	stored_hold_syncs(&stored);
	for (uint64_t id = 2; id < 8; id++) { /* each expects what the one before it left, but the last */
		request = request_of(id, OPERATION_APPEND, S("doc"));
		request.has_expect = true;
		request.expect = (struct position){here.generation, here.next + (id < 7 ? id - 2 : 0)};
		wire_ask(&wire, &request, &record, 1);
	}
	stored_release_syncs(&stored);
	for (uint64_t id = 2; id < 7; id++) {
		ANSWER(&wire, id, 0);
		cr_assert_eq(reply.at.next, here.next + id - 1);
	}
	ANSWER(&wire, 7, 300);
	cr_assert_eq(reply.detail_position.next, here.next + 5);
	cr_assert_eq(count_records(store, S("doc")), 6);
	wire_close(&wire);
	store_leave(store);
	stored_end(&stored);
}

/* ---- other programs on the file ---- */

Test(positions, another_programs_writes_are_noticed)
{
	struct kyneta_store_position before;
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META), since("v1", "x")));
	before = at;
	database_execute(&stored,
			 "INSERT INTO kyneta_records VALUES ('doc', 2, 'entry', "
			 "'{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"v2\",\"data\":\"y\"}', NULL)");
	STREAM(store, S("doc"), meta(META), since("v1", "x"), since("v2", "y"));
	/* The next number is the file's, not the one remembered. */
	OK(APPEND(store, S("doc"), since("v3", "z")));
	cr_assert_eq(at.next, 4);
	cr_assert_gt(at.generation, before.generation, "nobody can say what else happened meanwhile");
	STREAM(store, S("doc"), meta(META), since("v1", "x"), since("v2", "y"), since("v3", "z"));
	cr_assert_eq(stat_of(store, "foreign_changes"), 1);
	store_leave(store);
	stored_end(&stored);
}

/* A replace by a program that knows no generations: an expect from before it must not pass. */
Test(positions, another_programs_replace_is_a_conflict)
{
	struct kyneta_store_position before;
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META), since("v1", "x")));
	before = at;
	database_execute(&stored, "UPDATE kyneta_records SET payload = replace(payload, 'v1', 'v9')");
	FAILS(300, append_expecting(store, S("doc"), before));
	cr_assert_gt(failure.position.generation, before.generation);
	cr_assert_eq(failure.position.next, before.next);
	SAME_POSITION(position_of(store, S("doc")), failure.position);
	/* And it does not come back with a restart. */
	before = failure.position;
	stored_kill(&stored);
	stored_restart(&stored);
	SAME_POSITION(position_of(store, S("doc")), before);
	store_leave(store);
	stored_end(&stored);
}

Test(positions, another_programs_identity_is_the_documents)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	database_execute(&stored, "UPDATE kyneta_doc_meta SET data = replace(data, 'plain', 'yjs')");
	FAILS(202, APPEND(store, S("doc"), meta(META)));
	OK(APPEND(store, S("doc"), meta(META_WITH("[\"yjs\",1,0]", SYNC_MODE, "h1"))));
	database_execute(&stored, "DELETE FROM kyneta_doc_meta; DELETE FROM kyneta_records");
	FAILS(200, APPEND(store, S("doc"), since("v", "x")));
	OK(APPEND(store, S("doc"), meta(META)));
	STREAM(store, S("doc"), meta(META));
	store_leave(store);
	stored_end(&stored);
}
