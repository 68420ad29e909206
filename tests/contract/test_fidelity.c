/*
 * Fidelity: what metadata is, and that everything comes back as it went in.
 */
#include "tests/contract/calls.h"
#include "tests/contract/database.h"
#include "tests/contract/wire.h"

#include <stdio.h>

TestSuite(fidelity, .init = harness_init, .fini = harness_fini, .timeout = 120);

/* ---- what metadata is ---- */

static void nest(char *out, size_t depth)
{
	size_t at_byte = 0;

	memset(out + at_byte, '[', depth);
	at_byte += depth;
	memset(out + at_byte, ']', depth);
	out[at_byte + depth] = '\0';
}

Test(fidelity, bad_meta_is_refused)
{
	static const char *const bad[] = {
	    "",
	    "{",
	    "nonsense",
	    "[]",
	    "\"text\"",
	    "null",
	    "{}",
	    META " x",
	    "{\"syncMode\":" SYNC_MODE ",\"schemaHash\":\"h\"}",
	    META_WITH("[\"plain\",1]", SYNC_MODE, "h"),
	    META_WITH("[\"plain\",1,0,0]", SYNC_MODE, "h"),
	    META_WITH("[1,1,0]", SYNC_MODE, "h"),
	    META_WITH("[\"plain\",\"1\",0]", SYNC_MODE, "h"),
	    META_WITH("[\"plain\",1.5,0]", SYNC_MODE, "h"),
	    META_WITH("\"plain\"", SYNC_MODE, "h"),
	    "{\"replicaType\":[\"plain\",1,0],\"schemaHash\":\"h\"}",
	    META_WITH("[\"plain\",1,0]", "\"serialized\"", "h"),
	    META_WITH("[\"plain\",1,0]", "{\"writerModel\":\"serialized\",\"delivery\":\"delta-capable\"}", "h"),
	    META_WITH("[\"plain\",1,0]",
		      "{\"writerModel\":\"serialized\",\"delivery\":\"delta-capable\",\"durability\":1}", "h"),
	    "{\"replicaType\":[\"plain\",1,0],\"syncMode\":" SYNC_MODE ",\"schemaHash\":1}",
	};
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		FAILS(204, APPEND(store, S("doc"), meta(bad[i])));
		cr_assert_eq(failure.outcome, KYNETA_STORE_NOT_APPLIED);
		cr_assert_gt(failure.message_size, 0, "it must say what is wrong");
		FAILS(204, REPLACE(store, S("doc"), meta(META), meta(bad[i])));
	}
	NONE_LISTED(store, S(""));
	store_leave(store);
	stored_end(&stored);
}

Test(fidelity, meta_may_be_512_deep_and_no_deeper)
{
	char nested[2048], json[4096];
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	nest(nested, 511);
	snprintf(json, sizeof(json),
		 "{\"replicaType\":[\"plain\",1,0],\"syncMode\":" SYNC_MODE ",\"schemaHash\":\"h\",\"deep\":%s}",
		 nested);
	OK(APPEND(store, S("doc"), meta(json)));
	CURRENT(store, S("doc"), json);
	nest(nested, 512);
	snprintf(json, sizeof(json),
		 "{\"replicaType\":[\"plain\",1,0],\"syncMode\":" SYNC_MODE ",\"schemaHash\":\"h\",\"deep\":%s}",
		 nested);
	FAILS(204, APPEND(store, S("doc"), meta(json)));
	cr_assert_eq(count_records(store, S("doc")), 1);
	store_leave(store);
	stored_end(&stored);
}

/* ---- fidelity ---- */

Test(fidelity, meta_is_kept_verbatim)
{
	static const char json[] =
	    " { \"schemaHash\" : \"\\u0068\\/\\ud83d\\ude00 \xf0\x9f\x98\x80\" ,\t\"x\":1e400, "
	    "\"replicaType\":[ \"plain\",1 , 0.0 ],\"dup\":1,\"dup\":2,\r\n\"syncMode\":" SYNC_MODE
	    ",\"__proto__\":{},\"lone\":\"\\ud800\",\"\":\"\xe2\x80\xa8\" } ";
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(json)));
	CURRENT(store, S("doc"), json);
	STREAM(store, S("doc"), meta(json));
	stored_stop(&stored);
	stored_restart(&stored);
	CURRENT(store, S("doc"), json);
	STREAM(store, S("doc"), meta(json));
	store_leave(store);
	stored_stop(&stored);
	cr_assert_eq(database_number(&stored, "SELECT (SELECT data FROM kyneta_doc_meta) = (SELECT payload FROM "
					      "kyneta_records)"),
		     1);
	stored_end(&stored);
}

/* Every kind, encoding, type of data and lineage, and text and bytes at the edges: all of it comes back, over a
 * restart. */
static size_t all_kinds(struct kyneta_store_record *records)
{
	const struct span texts[] = {
	    SPAN_LITERAL(""),
	    SPAN_LITERAL("plain"),
	    SPAN_LITERAL("nul \0 inside"),
	    SPAN_LITERAL("\0"),
	    SPAN_LITERAL("line \xe2\x80\xa8 para \xe2\x80\xa9"),
	    SPAN_LITERAL("\xf0\x9f\x98\x80 e\xcc\x81 \xc3\xa9 \x7f / \\ \" ' \b\t\n\f\r\x01\x1f"),
	    SPAN_LITERAL("\xef\xbf\xbf \xef\xbf\xbd \xed\x9f\xbf \xf4\x8f\xbf\xbf"),
	    SPAN_LITERAL("\\ud800 {\"data\":\"x\"}"),
	};
	const struct span bytes[] = {
	    SPAN_LITERAL(""),
	    SPAN_LITERAL("\0"),
	    SPAN_LITERAL("\0\xff\xfe\x80 not utf-8"),
	    SPAN_LITERAL("text"),
	};
	size_t count = 0;

	for (int kind = 0; kind < 2; kind++) {
		for (int encoding = 0; encoding < 2; encoding++) {
			for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
				records[count++] = entry(kind, encoding, true, texts[i], texts[i]);
				records[count++] =
				    with_lineage(entry(kind, encoding, true, S("v"), texts[i]), texts[i]);
			}
			for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
				records[count++] = entry(kind, encoding, false, S(""), bytes[i]);
				records[count++] = with_lineage(entry(kind, encoding, false, S("v"), bytes[i]), S(""));
			}
		}
	}
	return count;
}

Test(fidelity, entries_come_back_as_they_went_in)
{
	struct kyneta_store_record records[128] = {meta(META)};
	size_t count = 1 + all_kinds(records + 1);
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(append(store, S("batch"), records, count, NULL));
	for (size_t i = 0; i < count; i++)
		OK(append(store, S("single"), &records[i], 1, NULL));
	OK(replace(store, S("replaced"), records, count, NULL));
	for (int round = 0; round < 2; round++) {
		stream_is(store, S("batch"), records, count, __FILE__, __LINE__);
		stream_is(store, S("single"), records, count, __FILE__, __LINE__);
		stream_is(store, S("replaced"), records, count, __FILE__, __LINE__);
		if (round == 0) {
			stored_stop(&stored);
			stored_restart(&stored);
		}
	}
	store_leave(store);
	stored_end(&stored);
}

Test(fidelity, type_of_data_decides_where_it_is_stored)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	/* Bytes that call themselves JSON, text that calls itself binary, and nothing at all of both. */
	OK(APPEND(store, S("doc"), entry(KYNETA_STORE_SINCE, KYNETA_STORE_JSON, false, S("v"), S("{}"))));
	OK(APPEND(store, S("doc"), entry(KYNETA_STORE_ENTIRETY, KYNETA_STORE_BINARY, true, S("v"), S("t/\"\x7f\x1f"))));
	OK(APPEND(store, S("doc"), entry(KYNETA_STORE_ENTIRETY, KYNETA_STORE_BINARY, false, S(""), S(""))));
	OK(APPEND(store, S("doc"), entry(KYNETA_STORE_SINCE, KYNETA_STORE_JSON, true, S(""), S(""))));
	OK(APPEND(store, S("doc"), with_lineage(since("v", "d"), S("l"))));
	OK(APPEND(store, S("doc"), with_lineage(entirety("v", S("\1\2")), S("l"))));
	store_leave(store);
	stored_stop(&stored);
	ROWS("SELECT payload, blob FROM kyneta_records WHERE seq > 0 ORDER BY seq",
	     "'{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"v\"}'|x'7b7d'\n"
	     "'{\"kind\":\"entirety\",\"encoding\":\"binary\",\"version\":\"v\",\"data\":\"t/\\\"\x7f\\u001f\"}'|NULL\n"
	     "'{\"kind\":\"entirety\",\"encoding\":\"binary\",\"version\":\"\"}'|x''\n"
	     "'{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"\",\"data\":\"\"}'|NULL\n"
	     "'{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"v\",\"data\":\"d\",\"lineage\":\"l\"}'|NULL\n"
	     "'{\"kind\":\"entirety\",\"encoding\":\"binary\",\"version\":\"v\",\"lineage\":\"l\"}'|x'0102'\n");
	stored_end(&stored);
}

/* Ids at the edges; each is a document of its own. */
Test(fidelity, any_text_is_an_id)
{
	static char longest[5000], emoji[5000 * 4];
	const struct span ids[] = {
	    S(""),
	    S("\0"),
	    S("a"),
	    S("a\0"),
	    S("a\0b"),
	    S("a b"),
	    S(" a"),
	    S("%"),
	    S("_"),
	    S("\\"),
	    S("'"),
	    S("\""),
	    S("\t\n"),
	    S("e\xcc\x81"),
	    S("\xc3\xa9"),
	    S("\xe2\x80\xa8"),
	    S("\xf0\x9f\x98\x80"),
	    S("\x7f"),
	    span_of(longest, sizeof(longest)),
	    span_of(emoji, sizeof(emoji)),
	};
	const size_t count = sizeof(ids) / sizeof(ids[0]);
	kyneta_store *store;

	memset(longest, 'x', sizeof(longest));
	for (size_t i = 0; i < sizeof(emoji); i += 4)
		memcpy(emoji + i, "\xf0\x9f\x98\x80", 4);
	stored_start(&stored, NULL);
	store = store_open();
	for (size_t i = 0; i < count; i++) {
		char number[16];

		snprintf(number, sizeof(number), "%zu", i);
		OK(APPEND(store, ids[i], meta(META), since(number, "x")));
	}
	for (size_t i = 0; i < count; i++) {
		char number[16];

		snprintf(number, sizeof(number), "%zu", i);
		STREAM(store, ids[i], meta(META), since(number, "x"));
		CURRENT(store, ids[i], META);
		LISTED(store, ids[count - 1], ids[count - 1]);
	}
	for (size_t i = 0; i < count; i++) {
		OK(DELETE(store, ids[i]));
		EMPTY(store, ids[i]);
		CURRENT(store, ids[i], NULL);
	}
	NONE_LISTED(store, S(""));
	store_leave(store);
	stored_end(&stored);
}

Test(fidelity, text_that_is_not_utf_8_is_refused)
{
	const struct span bad[] = {
	    SPAN_LITERAL("\xff"),	  SPAN_LITERAL("\xc0\x80"),
	    SPAN_LITERAL("\xed\xa0\x80"), SPAN_LITERAL("\xf4\x90\x80\x80"),
	    SPAN_LITERAL("cut \xe2\x82"),
	};
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct reply reply;
		struct wire wire;

		/* The library does not even send it. */
		FAILS(KYNETA_STORE_EMISUSE, APPEND(store, bad[i], meta(META)));
		FAILS(KYNETA_STORE_EMISUSE, APPEND(store, S("doc"), meta_of(bad[i])));
		FAILS(KYNETA_STORE_EMISUSE, APPEND(store, S("doc"), meta(META),
						   entry(KYNETA_STORE_SINCE, KYNETA_STORE_JSON, true, S("v"), bad[i])));
		FAILS(KYNETA_STORE_EMISUSE, APPEND(store, S("doc"), meta(META),
						   entry(KYNETA_STORE_SINCE, KYNETA_STORE_JSON, true, bad[i], S("d"))));
		FAILS(KYNETA_STORE_EMISUSE, APPEND(store, S("doc"), meta(META), with_lineage(since("v", "d"), bad[i])));
		/* Whoever does is not understood. */
		wire_hello(&wire, &stored, &(struct hello){.lowest = 1, .highest = 1, .create = true});
		wire_append(&wire, 2, S("doc"), wire_entry("v", bad[i]));
		ANSWER(&wire, 0, 100);
		cr_assert(wire_ended(&wire));
		wire_close(&wire);
	}
	/* As bytes they are fine. */
	OK(APPEND(store, S("doc"), meta(META), entirety("v", bad[0])));
	STREAM(store, S("doc"), meta(META), entirety("v", bad[0]));
	store_leave(store);
	stored_end(&stored);
}

/* Rows as another program may have written them. */
Test(fidelity, escaped_lone_surrogates_are_read)
{
#define LONE_META "{\"replicaType\":[\"plain\",1,0],\"syncMode\":" SYNC_MODE ",\"schemaHash\":\"\\ud800\"}"
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	store_leave(store);
	stored_stop(&stored);
	database_execute(
	    &stored, "UPDATE kyneta_doc_meta SET data = '" LONE_META "';"
		     "UPDATE kyneta_records SET payload = '" LONE_META "';"
		     "INSERT INTO kyneta_records VALUES ('doc', 1, 'entry', '{\"kind\":\"since\",\"encoding\":\"json\","
		     "\"version\":\"\\udfff\",\"data\":\"a\\ud800b\",\"lineage\":\"\\ud800\\ud800\"}', NULL)");
	stored_restart(&stored);
	store = store_open();
	CURRENT(store, S("doc"), LONE_META);
	STREAM(store, S("doc"), meta(LONE_META),
	       with_lineage(since("\xef\xbf\xbd", "a\xef\xbf\xbd"
						  "b"),
			    S("\xef\xbf\xbd\xef\xbf\xbd")));
	/* And the other direction: a meta's escape is text like any other. */
	OK(APPEND(store, S("doc"), meta(LONE_META)));
	CURRENT(store, S("doc"), LONE_META);
	store_leave(store);
	stored_stop(&stored);
	cr_assert_eq(database_number(&stored, "SELECT count(*) FROM kyneta_records WHERE seq = 1 AND payload LIKE "
					      "'%\"a\\ud800b\"%'"),
		     1);
	stored_end(&stored);
#undef LONE_META
}

/* Release 2.2.0 wrote "epoch" where later ones write "lineage". */
Test(fidelity, epoch_is_read_as_lineage)
{
	kyneta_store *store;

	stored_start(&stored, NULL);
	store = store_open();
	OK(APPEND(store, S("doc"), meta(META)));
	store_leave(store);
	stored_stop(&stored);
	database_execute(&stored, "INSERT INTO kyneta_records VALUES ('doc', 1, 'entry', '{\"kind\":\"since\","
				  "\"encoding\":\"json\",\"version\":\"v\",\"data\":\"d\",\"epoch\":\"e\"}', NULL)");
	stored_restart(&stored);
	store = store_open();
	STREAM(store, S("doc"), meta(META), with_lineage(since("v", "d"), S("e")));
	store_leave(store);
	stored_end(&stored);
}
