/*
 * What the operations mean: metadata and its index, first entries, replace, and the identity of a document.
 */
#include "tests/contract/calls.h"
#include "tests/contract/database.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(semantics, .init = harness_init, .fini = harness_fini, .timeout = 120);

#define META_2 META_WITH("[\"plain\",1,0]", SYNC_MODE, "h2")

/* ---- metadata: a row, and the index ---- */

Test(semantics, meta_is_a_row_and_replaces_the_index)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	OK(APPEND(store, S("doc"), since("v1", "one")));
	OK(APPEND(store, S("doc"), meta(META_2)));
	OK(APPEND(store, S("doc"), since("v2", "two")));
	STREAM(store, S("doc"), meta(META), since("v1", "one"), meta(META_2), since("v2", "two"));
	CURRENT(store, S("doc"), META_2);
	store_leave(store);
	stored_stop(&stored);
	ROWS("SELECT doc_id, data FROM kyneta_doc_meta", "'doc'|'" META_2 "'\n");
	ROWS("SELECT seq, kind, payload, blob FROM kyneta_records ORDER BY seq",
	     "0|'meta'|'" META "'|NULL\n"
	     "1|'entry'|'{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"v1\",\"data\":\"one\"}'|NULL\n"
	     "2|'meta'|'" META_2 "'|NULL\n"
	     "3|'entry'|'{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"v2\",\"data\":\"two\"}'|NULL\n");
	stored_end(&stored);
}

Test(semantics, identical_meta_adds_a_row)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	OK(APPEND(store, S("doc"), meta(META)));
	OK(APPEND(store, S("doc"), meta(META), meta(META)));
	STREAM(store, S("doc"), meta(META), meta(META), meta(META), meta(META));
	store_leave(store);
	stored_end(&stored);
}

Test(semantics, current_meta_is_the_index_and_never_the_stream)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	store_leave(store);
	stored_stop(&stored);
	database_execute(&stored, "UPDATE kyneta_doc_meta SET data = '" META_2 "'");
	stored_restart(&stored);
	store = store_open();
	CURRENT(store, S("doc"), META_2);
	STREAM(store, S("doc"), meta(META));
	store_leave(store);
	stored_end(&stored);
}

/* A snapshot of the file at any moment: the index is the stream's last meta. */
struct snapshots {
	atomic_bool stop;
	atomic_ulong taken, wrong;
};

static void *take_snapshots(void *context)
{
	struct snapshots *snapshots = context;

	do {
		snapshots->wrong += (unsigned long)database_number(
		    &stored, "SELECT count(*) FROM kyneta_doc_meta m WHERE data IS NOT (SELECT payload FROM "
			     "kyneta_records r WHERE r.doc_id = m.doc_id AND kind = 'meta' ORDER BY seq DESC LIMIT 1)");
		snapshots->taken++;
	} while (!snapshots->stop);
	return NULL;
}

Test(semantics, row_and_index_change_in_one_transaction)
{
	struct snapshots snapshots = {false, 0, 0};
	unsigned answered = 0;
	kyneta_store *store;
	pthread_t thread;
	char json[512];

	stored_start(&stored, "--batch-requests", "4", NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	cr_assert_eq(pthread_create(&thread, NULL, take_snapshots, &snapshots), 0);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(json, sizeof(json), META_WITH("[\"plain\",1,%u]", SYNC_MODE, "%u"), i, i);
		send_record(store, S("doc"), meta(json), &answered);
	}
	OK(kyneta_store_flush(store, &failure));
	snapshots.stop = true;
	pthread_join(thread, NULL);
	cr_assert_eq(answered, 1000);
	cr_assert_gt(snapshots.taken, 0);
	cr_assert_eq(snapshots.wrong, 0);
	store_leave(store);
	stored_end(&stored);
}

/* ---- an entry before any meta ---- */

Test(semantics, entry_before_any_meta_is_refused)
{
	static const char whole[] = "Store: first record for doc 'a\0b' must be meta, got entry";
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	REFUSED(200, "Store: first record for doc 'doc' must be meta, got entry",
		APPEND(store, S("doc"), since("v1", "x")));
	cr_assert_eq(failure.outcome, KYNETA_STORE_NOT_APPLIED);
	REFUSED(200, "Store: first record for doc '' must be meta, got entry", APPEND(store, S(""), since("v1", "x")));
	REFUSED(200, "Store: first record for doc 'it's \"%s\" \xc3\xa9' must be meta, got entry",
		APPEND(store, S("it's \"%s\" \xc3\xa9"), since("v1", "x")));
	FAILS(200, APPEND(store, S("a\0b"), since("v1", "x")));
	cr_assert_eq(failure.message_size, sizeof(whole) - 1);
	cr_assert_eq(memcmp(failure.message, whole, sizeof(whole)), 0);
	EMPTY(store, S("doc"));
	CURRENT(store, S("doc"), NULL);
	NONE_LISTED(store, S(""));
	/* And on a store that is there. */
	OK(APPEND(store, S("other"), meta(META)));
	REFUSED(200, "Store: first record for doc 'doc' must be meta, got entry",
		APPEND(store, S("doc"), since("v1", "x")));
	EMPTY(store, S("doc"));
	LISTED(store, S(""), S("other"));
	store_leave(store);
	stored_stop(&stored);
	ROWS("SELECT count(*) FROM kyneta_records WHERE doc_id <> 'other'", "0\n");
	stored_end(&stored);
}

Test(semantics, long_messages_are_cut_at_a_character)
{
	static const char text[] = "Store: first record for doc '";
	static char id[4 * 3000];
	kyneta_store *store;

	for (size_t i = 0; i < sizeof(id); i += 4)
		memcpy(id + i, "\xf0\x9f\x98\x80", 4);
	stored_start(&stored, NULL);
	store = store_open();
	FAILS(200, APPEND(store, span_of(id, sizeof(id)), since("v1", "x")));
	cr_assert_eq(memcmp(failure.message, text, sizeof(text) - 1), 0);
	cr_assert_gt(strlen(failure.message), 900);
	cr_assert_eq((strlen(failure.message) - (sizeof(text) - 1)) % 4, 0, "%s", failure.message);
	store_leave(store);
	stored_end(&stored);
}

Test(semantics, refused_first_entry_makes_no_store)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	FAILS(200, APPEND(store, S("doc"), since("v1", "x")));
	store_leave(store);
	stored_stop(&stored);
	ROWS("SELECT name FROM sqlite_master WHERE name LIKE 'kyneta!_%' ESCAPE '!' AND name <> 'kyneta_stored'", "");
	stored_end(&stored);
}

Test(semantics, one_append_may_hold_entry_and_meta)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), since("v1", "x"), meta(META), since("v2", "y")));
	STREAM(store, S("doc"), since("v1", "x"), meta(META), since("v2", "y"));
	CURRENT(store, S("doc"), META);
	store_leave(store);
	stored_end(&stored);
}

Test(semantics, records_of_one_append_are_applied_together_or_not_at_all)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	FAILS(202, APPEND(store, S("doc"), since("v1", "x"), since("v2", "y"),
			  meta(META_WITH("[\"plain\",2,0]", SYNC_MODE, "h1"))));
	STREAM(store, S("doc"), meta(META));
	OK(APPEND(store, S("doc"), since("v1", "x"), since("v2", "y"), meta(META_2)));
	STREAM(store, S("doc"), meta(META), since("v1", "x"), since("v2", "y"), meta(META_2));
	store_leave(store);
	stored_stop(&stored);
	ROWS("SELECT seq FROM kyneta_records ORDER BY seq", "0\n1\n2\n3\n");
	stored_end(&stored);
}

/* ---- replace ---- */

Test(semantics, replace_needs_a_meta)
{
	static const char text[] = "Store: batch must contain at least one meta record";
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	REFUSED(201, text, replace(store, S("doc"), NULL, 0, NULL));
	REFUSED(201, text, REPLACE(store, S("doc"), since("v1", "x")));
	cr_assert_eq(failure.outcome, KYNETA_STORE_NOT_APPLIED);
	EMPTY(store, S("doc"));
	OK(APPEND(store, S("doc"), meta(META), since("v1", "x")));
	REFUSED(201, text, replace(store, S("doc"), NULL, 0, NULL));
	REFUSED(201, text, REPLACE(store, S("doc"), since("v1", "x"), since("v2", "y")));
	STREAM(store, S("doc"), meta(META), since("v1", "x"));
	store_leave(store);
	stored_end(&stored);
}

Test(semantics, replace_keeps_the_order_of_its_batch)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META), since("v1", "x"), since("v2", "y"), since("v3", "z")));
	OK(REPLACE(store, S("doc"), entirety("v3", S("xyz")), meta(META), since("v4", "!")));
	STREAM(store, S("doc"), entirety("v3", S("xyz")), meta(META), since("v4", "!"));
	store_leave(store);
	stored_end(&stored);
}

Test(semantics, last_meta_of_a_batch_becomes_the_index_row_whole)
{
	static const char first[] =
	    "{\"replicaType\":[\"plain\",1,0],\"syncMode\":" SYNC_MODE ",\"schemaHash\":\"h1\",\"extra\":{\"a\":1}}";
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(REPLACE(store, S("doc"), meta(first), since("v1", "x"), meta(META_2), since("v2", "y")));
	CURRENT(store, S("doc"), META_2);
	OK(REPLACE(store, S("doc"), meta(META_2), meta(first)));
	CURRENT(store, S("doc"), first);
	OK(APPEND(store, S("doc"), meta(first), meta(META_2)));
	CURRENT(store, S("doc"), META_2);
	store_leave(store);
	stored_stop(&stored);
	ROWS("SELECT data FROM kyneta_doc_meta", "'" META_2 "'\n");
	stored_end(&stored);
}

Test(semantics, replace_makes_a_document)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(REPLACE(store, S("doc"), meta(META), entirety("v1", S("all"))));
	STREAM(store, S("doc"), meta(META), entirety("v1", S("all")));
	CURRENT(store, S("doc"), META);
	LISTED(store, S(""), S("doc"));
	store_leave(store);
	stored_end(&stored);
}

/* Readers beside a writer that replaces: each read is one batch, whole. */
struct watch {
	atomic_bool stop;
	atomic_uint reads;
	char wrong[256];
};

struct watched_load {
	unsigned records;
	char number[16];
	bool same;
};

static bool watch_record(void *context, const struct kyneta_store_record *record)
{
	struct watched_load *load = context;
	char number[16];

	load->records++;
	if (record->type == KYNETA_STORE_META)
		return true;
	snprintf(number, sizeof(number), "%.*s", (int)record->version_size, record->version);
	if (load->number[0] == '\0')
		memcpy(load->number, number, sizeof(number));
	load->same = load->same && strcmp(load->number, number) == 0;
	return true;
}

static void *watch(void *context)
{
	struct kyneta_store_options options = options_for(&stored);
	struct watch *watch = context;
	kyneta_store *store = store_open_with(&options);

	while (!watch->stop && watch->wrong[0] == '\0') {
		struct watched_load load = {.same = true};
		char *json = NULL;

		OK(kyneta_store_load_all(store, "doc", 3, watch_record, &load, NULL, &failure));
		OK(kyneta_store_current_meta(store, "doc", 3, &json, NULL, NULL, &failure));
		if (load.records != 4 || !load.same || json == NULL)
			snprintf(watch->wrong, sizeof(watch->wrong), "%u records, %s, %s", load.records,
				 load.same ? "of one batch" : "of several", json == NULL ? "no meta" : "meta");
		kyneta_store_release(json);
		watch->reads++;
	}
	store_leave(store);
	return NULL;
}

static void send_replace(kyneta_store *store, unsigned number, unsigned *answered)
{
	struct kyneta_store_record records[4];
	char version[24];

	snprintf(version, sizeof(version), "%u", number);
	records[0] = records[2] = records[3] = since(version, "x");
	records[1] = meta(META);
	cr_assert_eq(kyneta_store_send_replace(store, "doc", 3, records, 4, NULL, must_succeed, answered), 0);
}

Test(semantics, no_reader_sees_the_empty_state_of_a_replace)
{
	struct watch watched = {0};
	unsigned answered = 0;
	kyneta_store *store;
	pthread_t thread;

	stored_start(&stored, "--batch-requests", "2", NULL);
	store = store_open();
	send_replace(store, 0, &answered);
	OK(kyneta_store_flush(store, &failure));
	cr_assert_eq(pthread_create(&thread, NULL, watch, &watched), 0);
	/* Until the reader has really been beside it. */
	for (unsigned i = 1; i <= 500 || (watched.reads < 20 && watched.wrong[0] == '\0'); i++) {
		send_replace(store, i, &answered);
		if (i % 16 == 0)
			OK(kyneta_store_flush(store, &failure));
	}
	OK(kyneta_store_flush(store, &failure));
	watched.stop = true;
	pthread_join(thread, NULL);
	cr_assert_str_empty(watched.wrong, "%s", watched.wrong);
	store_leave(store);
	stored_end(&stored);
}

/* ---- identity ---- */

#define PLAIN_2	     META_WITH("[\"plain\",2,0]", SYNC_MODE, "h1")
#define OTHER_NAME   META_WITH("[\"yjs\",1,0]", SYNC_MODE, "h1")
#define OTHER_MODE   META_WITH("[\"plain\",1,0]", OTHER_SYNC_MODE, "h1")
#define BOTH_OTHER   META_WITH("[\"plain\",2,0]", OTHER_SYNC_MODE, "h1")
#define NOT_METADATA "{}"

Test(semantics, replica_type_is_compared_with_the_stored_meta)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	REFUSED(202,
		"Store: replicaType mismatch for document \xe2\x80\x94 existing [plain,1,0] vs incoming [plain,2,0]",
		APPEND(store, S("doc"), meta(PLAIN_2)));
	cr_assert_eq(failure.outcome, KYNETA_STORE_NOT_APPLIED);
	REFUSED(202, "Store: replicaType mismatch for document \xe2\x80\x94 existing [plain,1,0] vs incoming [yjs,1,0]",
		REPLACE(store, S("doc"), meta(OTHER_NAME)));
	/* replicaType is looked at first. */
	REFUSED(202,
		"Store: replicaType mismatch for document \xe2\x80\x94 existing [plain,1,0] vs incoming [plain,2,0]",
		APPEND(store, S("doc"), meta(BOTH_OTHER)));
	STREAM(store, S("doc"), meta(META));
	CURRENT(store, S("doc"), META);
	store_leave(store);
	stored_end(&stored);
}

Test(semantics, sync_mode_is_compared_with_the_stored_meta)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	REFUSED(203,
		"Store: syncMode mismatch for document \xe2\x80\x94 existing " SYNC_MODE
		" vs incoming " OTHER_SYNC_MODE,
		APPEND(store, S("doc"), meta(OTHER_MODE)));
	cr_assert_eq(failure.outcome, KYNETA_STORE_NOT_APPLIED);
	REFUSED(203,
		"Store: syncMode mismatch for document \xe2\x80\x94 existing " SYNC_MODE
		" vs incoming " OTHER_SYNC_MODE,
		REPLACE(store, S("doc"), meta(OTHER_MODE)));
	STREAM(store, S("doc"), meta(META));
	store_leave(store);
	stored_end(&stored);
}

/* Each of the three keys counts. */
Test(semantics, sync_mode_must_agree_on_its_three_keys)
{
#define MODE(model, delivery, durability)                                                                              \
	"{\"writerModel\":\"" model "\",\"delivery\":\"" delivery "\",\"durability\":\"" durability "\"}"
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"),
		  meta(META_WITH("[\"plain\",1,0]", MODE("serialized", "delta-capable", "persistent"), "h"))));
	FAILS(203, APPEND(store, S("doc"),
			  meta(META_WITH("[\"plain\",1,0]", MODE("concurrent", "delta-capable", "persistent"), "h"))));
	FAILS(203, APPEND(store, S("doc"),
			  meta(META_WITH("[\"plain\",1,0]", MODE("serialized", "snapshot-only", "persistent"), "h"))));
	FAILS(203, APPEND(store, S("doc"),
			  meta(META_WITH("[\"plain\",1,0]", MODE("serialized", "delta-capable", "transient"), "h"))));
	cr_assert_eq(count_records(store, S("doc")), 1);
	store_leave(store);
	stored_end(&stored);
#undef MODE
}

Test(semantics, sync_mode_is_told_as_it_is_stored)
{
#define SPACED                                                                                                         \
	"{ \"extra\" : [1, 2],\"delivery\": \"delta-capable\", "                                                       \
	"\"durability\":\"persistent\",\"writerModel\":\"serialized\" }"
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"),
		  meta("{\"replicaType\":[\"plain\",1,0],\"syncMode\":" SPACED ",\"schemaHash\":\"h\"}")));
	OK(APPEND(store, S("doc"), meta(META)));
	OK(APPEND(store, S("doc"),
		  meta("{\"replicaType\":[\"plain\",1,0],\"syncMode\":" SPACED ",\"schemaHash\":\"h\"}")));
	REFUSED(203,
		"Store: syncMode mismatch for document \xe2\x80\x94 existing " SPACED " vs incoming " OTHER_SYNC_MODE,
		APPEND(store, S("doc"), meta(OTHER_MODE)));
	store_leave(store);
	stored_end(&stored);
#undef SPACED
}

Test(semantics, metas_are_compared_within_a_batch)
{
	static const char type_text[] =
	    "Store: replicaType mismatch within batch \xe2\x80\x94 [plain,1,0] vs [plain,2,0]";
	static const char mode_text[] =
	    "Store: syncMode mismatch within batch \xe2\x80\x94 " SYNC_MODE " vs " OTHER_SYNC_MODE;
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	REFUSED(202, type_text, REPLACE(store, S("doc"), meta(META), since("v1", "x"), meta(PLAIN_2)));
	REFUSED(203, mode_text, REPLACE(store, S("doc"), meta(META), meta(META_2), meta(OTHER_MODE)));
	REFUSED(202, type_text, APPEND(store, S("doc"), meta(META), meta(PLAIN_2)));
	REFUSED(203, mode_text, APPEND(store, S("doc"), meta(META), meta(OTHER_MODE)));
	REFUSED(202, type_text, REPLACE(store, S("doc"), meta(META), meta(BOTH_OTHER)));
	/* With the one just before it, not with the first. */
	REFUSED(
	    202, "Store: replicaType mismatch within batch \xe2\x80\x94 [plain,1,7] vs [plain,2,0]",
	    REPLACE(store, S("doc"), meta(META), meta(META_WITH("[\"plain\",1,7]", SYNC_MODE, "h")), meta(PLAIN_2)));
	EMPTY(store, S("doc"));
	NONE_LISTED(store, S(""));
	store_leave(store);
	stored_end(&stored);
}

Test(semantics, stored_meta_is_compared_before_the_batch)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	REFUSED(202,
		"Store: replicaType mismatch for document \xe2\x80\x94 existing [plain,1,0] vs incoming [plain,2,0]",
		REPLACE(store, S("doc"), meta(META_2), meta(PLAIN_2)));
	/* In order of the records: the first wrong one tells. */
	REFUSED(203,
		"Store: syncMode mismatch for document \xe2\x80\x94 existing " SYNC_MODE
		" vs incoming " OTHER_SYNC_MODE,
		REPLACE(store, S("doc"), meta(OTHER_MODE), meta(PLAIN_2)));
	/* For each meta: is it one at all, then is it the document's. */
	FAILS(202, REPLACE(store, S("doc"), meta(PLAIN_2), meta(NOT_METADATA)));
	FAILS(204, REPLACE(store, S("doc"), meta(NOT_METADATA), meta(PLAIN_2)));
	/* Whether there is any comes before all that. */
	FAILS(201, REPLACE(store, S("doc"), since("v1", "x")));
	FAILS(200, APPEND(store, S("new"), since("v1", "x")));
	STREAM(store, S("doc"), meta(META));
	store_leave(store);
	stored_end(&stored);
}

Test(semantics, texts_of_a_1_x_store_say_sync_protocol)
{
#define V1(mode) "{\"replicaType\":[\"plain\",1,0],\"syncProtocol\":" mode ",\"schemaHash\":\"h\"}"
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(V1(SYNC_MODE))));
	REFUSED(203,
		"Store: syncProtocol mismatch for document \xe2\x80\x94 existing " SYNC_MODE
		" vs incoming " OTHER_SYNC_MODE,
		APPEND(store, S("doc"), meta(V1(OTHER_SYNC_MODE))));
	REFUSED(203, "Store: syncProtocol mismatch within batch \xe2\x80\x94 " SYNC_MODE " vs " OTHER_SYNC_MODE,
		REPLACE(store, S("new"), meta(V1(SYNC_MODE)), meta(V1(OTHER_SYNC_MODE))));
	store_leave(store);
	stored_end(&stored);
#undef V1
}

Test(semantics, minor_is_free)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	OK(APPEND(store, S("doc"), meta(META_WITH("[\"plain\",1,7]", SYNC_MODE, "h1"))));
	OK(REPLACE(store, S("doc"), meta(META_WITH("[\"plain\",1,3]", SYNC_MODE, "h1")),
		   meta(META_WITH("[\"plain\",1,0]", SYNC_MODE, "h1"))));
	/* 1.0 is the integer 1, as JavaScript has it; and a name is the characters that it means. */
	OK(APPEND(store, S("doc"), meta(META_WITH("[\"pl\\u0061in\",1.0,0]", SYNC_MODE, "h1"))));
	store_leave(store);
	stored_end(&stored);
}

Test(semantics, other_keys_are_neither_compared_nor_lost)
{
#define KEYS(keys)                                                                                                     \
	"{\"z\":" keys ",\"replicaType\":[\"plain\",1,0],\"syncMode\":" SYNC_MODE ",\"schemaHash\":\"h\",\"a\":[]}"
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(KEYS("{\"b\":1,\"a\":2}"))));
	OK(APPEND(store, S("doc"), meta(KEYS("null"))));
	OK(APPEND(store, S("doc"), meta(META)));
	STREAM(store, S("doc"), meta(KEYS("{\"b\":1,\"a\":2}")), meta(KEYS("null")), meta(META));
	store_leave(store);
	stored_end(&stored);
#undef KEYS
}

Test(semantics, schema_hash_last_writer_wins)
{
	kyneta_store *store, *other;

	stored_start(&stored, NULL);
	store = store_open();
	other = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	OK(APPEND(other, S("doc"), meta(META_2)));
	CURRENT(store, S("doc"), META_2);
	OK(APPEND(store, S("doc"), meta(META)));
	CURRENT(other, S("doc"), META);
	store_leave(store);
	store_leave(other);
	stored_end(&stored);
}
