/*
 * Streams and listings: the numbers of records, delete, prefixes, calls that do not wait for each other, close.
 */
#include "tests/contract/calls.h"
#include "tests/contract/database.h"

#include <stdio.h>

TestSuite(streams, .init = harness_init, .fini = harness_fini, .timeout = 120);

#define PLAIN_2 META_WITH("[\"plain\",2,0]", SYNC_MODE, "h1")

/* ---- numbers ---- */

#define SEQS "SELECT seq FROM kyneta_records WHERE doc_id = 'doc' ORDER BY seq"

Test(streams, seq_starts_at_0_and_goes_on)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	cr_assert_eq(at.next, 1);
	OK(APPEND(store, S("doc"), since("v1", "x"), since("v2", "x")));
	cr_assert_eq(at.next, 3);
	/* A refused write leaves no gap. */
	FAILS(202, APPEND(store, S("doc"), meta(PLAIN_2)));
	FAILS(200, APPEND(store, S("new"), since("v", "x")));
	OK(APPEND(store, S("doc"), since("v3", "x")));
	cr_assert_eq(at.next, 4);
	store_leave(store);
	stored_stop(&stored);
	ROWS(SEQS, "0\n1\n2\n3\n");
	/* Not the connection's, and not the daemon's memory: the file's. */
	stored_restart(&stored);
	store = store_open();
	OK(APPEND(store, S("doc"), since("v4", "x")));
	cr_assert_eq(at.next, 5);
	store_leave(store);
	stored_stop(&stored);
	ROWS(SEQS, "0\n1\n2\n3\n4\n");
	stored_end(&stored);
}

Test(streams, seq_starts_over_with_replace_and_delete)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META), since("v1", "x"), since("v2", "x"), since("v3", "x")));
	OK(REPLACE(store, S("doc"), meta(META), since("v3", "y")));
	cr_assert_eq(at.next, 2);
	OK(APPEND(store, S("doc"), since("v4", "x")));
	cr_assert_eq(at.next, 3);
	store_leave(store);
	stored_stop(&stored);
	ROWS(SEQS, "0\n1\n2\n");
	stored_restart(&stored);
	store = store_open();
	OK(DELETE(store, S("doc")));
	cr_assert_eq(at.next, 0);
	OK(APPEND(store, S("doc"), meta(META)));
	cr_assert_eq(at.next, 1);
	store_leave(store);
	stored_stop(&stored);
	ROWS(SEQS, "0\n");
	stored_end(&stored);
}

/* ---- delete ---- */

Test(streams, delete_removes_stream_and_index)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(DELETE(store, S("never there")));
	OK(APPEND(store, S("doc"), meta(META), since("v1", "x")));
	OK(APPEND(store, S("doc2"), meta(META)));
	OK(DELETE(store, S("doc")));
	OK(DELETE(store, S("doc")));
	EMPTY(store, S("doc"));
	CURRENT(store, S("doc"), NULL);
	LISTED(store, S(""), S("doc2"));
	STREAM(store, S("doc2"), meta(META));
	store_leave(store);
	stored_stop(&stored);
	ROWS("SELECT doc_id FROM kyneta_records UNION ALL SELECT doc_id FROM kyneta_doc_meta", "'doc2'\n'doc2'\n");
	stored_end(&stored);
}

Test(streams, deleted_document_comes_back_with_another_identity)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META), since("v1", "x")));
	OK(DELETE(store, S("doc")));
	FAILS(200, APPEND(store, S("doc"), since("v1", "x")));
	OK(APPEND(store, S("doc"), meta(META_WITH("[\"yjs\",9,1]", OTHER_SYNC_MODE, "h9"))));
	STREAM(store, S("doc"), meta(META_WITH("[\"yjs\",9,1]", OTHER_SYNC_MODE, "h9")));
	FAILS(202, APPEND(store, S("doc"), meta(META)));
	store_leave(store);
	stored_end(&stored);
}

/* ---- reading what is not there ---- */

Test(streams, unknown_document_has_nothing)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	for (int round = 0; round < 2; round++) {
		EMPTY(store, S("unknown"));
		cr_assert_eq(at.next, 0);
		CURRENT(store, S("unknown"), NULL);
		cr_assert_eq(at.next, 0);
		OK(APPEND(store, S("doc"), meta(META)));
	}
	store_leave(store);
	stored_end(&stored);
}

/* ---- listing ---- */

Test(streams, prefix_is_literal_case_sensitive_and_binary)
{
	const struct span ids[] = {
	    SPAN_LITERAL("Doc"),
	    SPAN_LITERAL("doc"),
	    SPAN_LITERAL("doc%"),
	    SPAN_LITERAL("doc%x"),
	    SPAN_LITERAL("doc_x"),
	    SPAN_LITERAL("docx"),
	    SPAN_LITERAL("doc\\x"),
	    SPAN_LITERAL("doc\0x"),
	    SPAN_LITERAL("\xc3\xa9"),
	    SPAN_LITERAL("\xc3\xaa"),
	    SPAN_LITERAL("e\xcc\x81"),
	    SPAN_LITERAL("\xf4\x8f\xbf\xbf"),
	    SPAN_LITERAL("\xf4\x8f\xbf\xbf!"),
	};
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	NONE_LISTED(store, S(""));
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		OK(APPEND(store, ids[i], meta(META)));
	LISTED(store, S("D"), S("Doc"));
	LISTED(store, S("doc%"), S("doc%"), S("doc%x"));
	LISTED(store, S("doc_"), S("doc_x"));
	LISTED(store, S("doc\\"), S("doc\\x"));
	LISTED(store, S("doc\0"), S("doc\0x"));
	LISTED(store, S("doc"), S("doc"), S("doc\0x"), S("doc%"), S("doc%x"), S("doc\\x"), S("doc_x"), S("docx"));
	LISTED(store, S("\xc3\xa9"), S("\xc3\xa9"));
	LISTED(store, S("\xf4\x8f\xbf\xbf"), S("\xf4\x8f\xbf\xbf"), S("\xf4\x8f\xbf\xbf!"));
	NONE_LISTED(store, S("DOC"));
	NONE_LISTED(store, S("docs"));
	NONE_LISTED(store, S("doc%x!"));
	/* By bytes: upper case before lower case, ASCII before the rest. */
	LISTED(store, S(""), S("Doc"), S("doc"), S("doc\0x"), S("doc%"), S("doc%x"), S("doc\\x"), S("doc_x"), S("docx"),
	       S("e\xcc\x81"), S("\xc3\xa9"), S("\xc3\xaa"), S("\xf4\x8f\xbf\xbf"), S("\xf4\x8f\xbf\xbf!"));
	store_leave(store);
	stored_end(&stored);
}

/* Bytes the daemon has read by read(2) and its kin so far: SQLite reads its files by pread. */
static unsigned long long bytes_read(void)
{
	char path[64], line[128];
	unsigned long long bytes = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/io", (int)stored.pid);
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "rchar: %llu", &bytes) == 1)
			break;
	fclose(file);
	return bytes;
}

/* Few ids among many, with a cache that holds next to nothing: what is read is what is returned, not the table. */
Test(streams, listing_costs_what_it_returns)
{
	unsigned long long before, table;
	static char filler[2000];
	unsigned answered = 0;
	kyneta_store *store;
	char id[2100];

	memset(filler, 'f', sizeof(filler) - 1);
	stored_start(&stored, "--reader-cache-bytes", "65536", "--cache-bytes", "65536", NULL);
	store = store_open();
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(id, sizeof(id), "many/%05u/%s", i, filler);
		send_record(store, span_of_string(id), meta(META), &answered);
	}
	OK(kyneta_store_flush(store, &failure));
	OK(APPEND(store, S("few/1"), meta(META)));
	OK(APPEND(store, S("few/2"), meta(META)));
	stored_stop(&stored);
	stored_restart(&stored);
	LISTED(store, S("few/"), S("few/1"), S("few/2"));
	before = bytes_read();
	LISTED(store, S("few/"), S("few/1"), S("few/2"));
	table = 2000 * sizeof(filler);
	cr_assert_gt(before, 0);
	cr_assert_lt(bytes_read() - before, table / 20);
	store_leave(store);
	stored_end(&stored);
}

/* ---- calls that do not wait for each other ---- */

struct story {
	unsigned at;
	size_t loaded, loaded_next;
	bool meta_there, meta_gone;
};

static bool count_loaded(void *context, const struct kyneta_store_record *record)
{
	struct story *story = context;

	(void)record;
	story->loaded++;
	return true;
}

static void done_loaded(void *context, const struct kyneta_store_answer *answer)
{
	struct story *story = context;

	cr_assert_null(answer->error);
	story->loaded_next = answer->at.next;
	story->at++;
}

static void done_there(void *context, const struct kyneta_store_answer *answer)
{
	struct story *story = context;

	story->meta_there = answer->meta != NULL;
	story->at++;
}

static void done_gone(void *context, const struct kyneta_store_answer *answer)
{
	struct story *story = context;

	story->meta_gone = answer->error == NULL && answer->meta == NULL;
	story->at++;
}

Test(streams, calls_take_effect_in_the_order_sent)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	for (unsigned i = 0; i < 50; i++) {
		struct story story = {0};

		send_record(store, S("doc"), meta(META), &story.at);
		send_record(store, S("doc"), since("v1", "x"), &story.at);
		cr_assert_eq(kyneta_store_send_load_all(store, "doc", 3, count_loaded, done_loaded, &story, NULL), 0);
		send_record(store, S("doc"), since("v2", "x"), &story.at);
		cr_assert_eq(kyneta_store_send_current_meta(store, "doc", 3, done_there, &story), 0);
		cr_assert_eq(kyneta_store_send_delete(store, "doc", 3, NULL, must_succeed, &story.at), 0);
		cr_assert_eq(kyneta_store_send_current_meta(store, "doc", 3, done_gone, &story), 0);
		OK(kyneta_store_flush(store, &failure));
		cr_assert_eq(story.at, 7);
		cr_assert_eq(story.loaded, 2);
		cr_assert_eq(story.loaded_next, 2);
		cr_assert(story.meta_there);
		cr_assert(story.meta_gone);
	}
	store_leave(store);
	stored_end(&stored);
}

/* ---- ping and stats ---- */

static bool look_at_value(void *context, const char *name, size_t name_size, uint64_t number, const char *text,
			  size_t text_size)
{
	unsigned *values = context;

	(void)number;
	cr_assert(name != NULL && name_size > 0);
	cr_assert(text == NULL || text_size > 0);
	(*values)++;
	return true;
}

Test(streams, ping_and_stats_are_answered)
{
	kyneta_store *store;
	unsigned values = 0;

	stored_start(&stored, NULL);
	store = store_open();
	OK(kyneta_store_ping(store, &failure));
	OK(kyneta_store_stats(store, look_at_value, &values, &failure));
	cr_assert_gt(values, 10);
	OK(APPEND(store, S("doc"), meta(META)));
	OK(APPEND(store, S("doc"), meta(META)));
	OK(REPLACE(store, S("doc"), meta(META)));
	OK(DELETE(store, S("doc")));
	cr_assert_eq(stat_of(store, "appends"), 2);
	cr_assert_eq(stat_of(store, "replaces"), 1);
	cr_assert_eq(stat_of(store, "deletes"), 1);
	cr_assert_eq(stat_of(store, "connections"), 1);
	cr_assert_eq(stat_of(store, "pid"), (uint64_t)stored.pid);
	store_leave(store);
	stored_end(&stored);
}

/* ---- close ---- */

Test(streams, close_finishes_what_was_sent)
{
	kyneta_store *store;
	unsigned answered = 0;
	char id[16];

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("old"), meta(META)));
	for (unsigned i = 0; i < 300; i++) {
		snprintf(id, sizeof(id), "%03u", i);
		send_record(store, span_of_string(id), meta(META), &answered);
	}
	cr_assert_eq(kyneta_store_send_delete(store, "old", 3, NULL, must_succeed, &answered), 0);
	OK(kyneta_store_close(store, &failure));
	cr_assert_eq(answered, 301);
	OK(kyneta_store_close(store, &failure));
	OK(kyneta_store_close(store, &failure));
	FAILS(KYNETA_STORE_ECLOSED, APPEND(store, S("late"), meta(META)));
	kyneta_store_free(store);
	stored_stop(&stored);
	ROWS("SELECT count(*), min(doc_id), max(doc_id) FROM kyneta_doc_meta", "300|'000'|'299'\n");
	stored_end(&stored);
}
