/*
 * meta: what is refused, what is compared, and the exact texts that hosts know.
 */
#include "protocol/meta.h"
#include "tests/unit/guarded.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))

#define MODE		 "{\"writerModel\":\"serialized\",\"delivery\":\"delta-capable\",\"durability\":\"persistent\"}"
#define MODE_WRITERS	 "{\"writerModel\":\"concurrent\",\"delivery\":\"delta-capable\",\"durability\":\"persistent\"}"
#define MODE_SHORT	 "{\"writerModel\":\"serialized\",\"delivery\":\"delta-capable\",\"durability\":\"transient\"}"
#define MODE_WHOLE	 "{\"writerModel\":\"serialized\",\"delivery\":\"snapshot-only\",\"durability\":\"persistent\"}"
#define HASH		 "\"schemaHash\":\"00ff\""
#define META(type, mode) "{\"replicaType\":" type ",\"syncMode\":" mode "," HASH "}"

static struct meta read_meta(const char *text)
{
	const char *reason = NULL;
	struct meta meta;

	cr_assert_eq(meta_read(span_of_string(text), &meta, &reason), 0, "%s: %s", text, reason);
	cr_assert_null(reason);
	return meta;
}

Test(meta, views_into_the_text)
{
	const char *text = " {\"note\":[1,{\"syncProtocol\":2}], \"replicaType\" : [ \"pl\\u0061in\" , 2 , 1.0 "
			   "],\"syncMode\": " MODE_SHORT ","
			   "\"schemaHash\":\"\\udbff\",\"more\":null}\n";
	struct meta meta = read_meta(text);

	cr_expect_eq(meta.text.data, (const uint8_t *)text);
	cr_expect_eq(meta.text.size, strlen(text));
	cr_expect_eq(meta.layout, LAYOUT_2);
	cr_expect(json_string_is(meta.replica_name, "plain"));
	cr_expect_eq(meta.replica_major, 2);
	cr_expect_eq(meta.replica_minor, 1);
	cr_expect(span_equal(meta.sync_mode.text, span_of_string(MODE_SHORT)));
	cr_expect(json_string_is(meta.writer_model, "serialized"));
	cr_expect(json_string_is(meta.delivery, "delta-capable"));
	cr_expect(json_string_is(meta.durability, "transient"));
	cr_expect_eq(read_meta("{\"replicaType\":[\"\",-1,0],\"syncProtocol\":" MODE "," HASH "}").layout, LAYOUT_1);
	cr_expect_str_eq(meta_key(LAYOUT_1), "syncProtocol");
	cr_expect_str_eq(meta_key(LAYOUT_2), "syncMode");
	cr_expect_str_eq(meta_key(LAYOUT_NONE), "syncMode");
}

Test(meta, of_a_key_that_comes_twice_the_last_counts)
{
	struct meta meta =
	    read_meta("{\"replicaType\":5,\"replicaType\":[\"a\",1,0],\"syncMode\":1,\"syncMode\":{\"writerModel\":1,"
		      "\"writerModel\":\"w\",\"delivery\":\"d\",\"durability\":\"p\"},\"schemaHash\":0," HASH "}");

	cr_expect(json_string_is(meta.replica_name, "a"));
	cr_expect(json_string_is(meta.writer_model, "w"));
}

Test(meta, refused)
{
#define TYPE_WRONG "replicaType is not [string, integer, integer]"
#define MODE_WRONG "syncMode is not an object with the strings writerModel, delivery and durability"
#define TEXT_WRONG "not JSON, or nested deeper than 512"
#define HASH_WRONG "schemaHash is not a string"
	static const struct {
		const char *text, *reason;
	} table[] = {
	    {"", TEXT_WRONG},
	    {"{", TEXT_WRONG},
	    {"\xff", TEXT_WRONG},
	    {META("[\"a\",1,0]", MODE) "x", TEXT_WRONG},
	    {"null", "not a JSON object"},
	    {"[]", "not a JSON object"},
	    {"\"{}\"", "not a JSON object"},
	    {"{}", TYPE_WRONG},
	    {META("null", MODE), TYPE_WRONG},
	    {META("\"a\"", MODE), TYPE_WRONG},
	    {META("{}", MODE), TYPE_WRONG},
	    {META("[]", MODE), TYPE_WRONG},
	    {META("[\"a\"]", MODE), TYPE_WRONG},
	    {META("[\"a\",1]", MODE), TYPE_WRONG},
	    {META("[\"a\",1,0,0]", MODE), TYPE_WRONG},
	    {META("[1,1,0]", MODE), TYPE_WRONG},
	    {META("[\"a\",\"1\",0]", MODE), TYPE_WRONG},
	    {META("[\"a\",1,null]", MODE), TYPE_WRONG},
	    {META("[\"a\",1.5,0]", MODE), TYPE_WRONG},
	    {META("[\"a\",1,1e99]", MODE), TYPE_WRONG},
	    {"{\"replicaType\":[\"a\",1,0]," HASH "}", "neither syncMode nor syncProtocol"},
	    {"{\"replicaType\":[\"a\",1,0],\"syncMode\":" MODE ",\"syncProtocol\":" MODE "," HASH "}",
	     "both syncMode and syncProtocol"},
	    {META("[\"a\",1,0]", "null"), MODE_WRONG},
	    {META("[\"a\",1,0]", "\"serialized\""), MODE_WRONG},
	    {META("[\"a\",1,0]", "[]"), MODE_WRONG},
	    {META("[\"a\",1,0]", "{}"), MODE_WRONG},
	    {META("[\"a\",1,0]", "{\"writerModel\":\"a\",\"delivery\":\"b\"}"), MODE_WRONG},
	    {META("[\"a\",1,0]", "{\"writerModel\":\"a\",\"durability\":\"b\"}"), MODE_WRONG},
	    {META("[\"a\",1,0]", "{\"delivery\":\"a\",\"durability\":\"b\"}"), MODE_WRONG},
	    {META("[\"a\",1,0]", "{\"writerModel\":1,\"delivery\":\"b\",\"durability\":\"c\"}"), MODE_WRONG},
	    {META("[\"a\",1,0]", "{\"writerModel\":\"a\",\"delivery\":null,\"durability\":\"c\"}"), MODE_WRONG},
	    {META("[\"a\",1,0]", "{\"writerModel\":\"a\",\"delivery\":\"b\",\"durability\":{}}"), MODE_WRONG},
	    {"{\"replicaType\":[\"a\",1,0],\"syncProtocol\":1," HASH "}",
	     "syncProtocol is not an object with the strings writerModel, delivery and durability"},
	    {"{\"replicaType\":[\"a\",1,0],\"syncMode\":" MODE "}", HASH_WRONG},
	    {"{\"replicaType\":[\"a\",1,0],\"syncMode\":" MODE ",\"schemaHash\":null}", HASH_WRONG},
	    {"{\"replicaType\":[\"a\",1,0],\"syncMode\":" MODE ",\"schemaHash\":1}", HASH_WRONG},
	};
	struct guarded place = guarded_make(512);

	for (size_t i = 0; i < LENGTH(table); i++) {
		const char *reason = NULL;
		struct meta meta;

		cr_expect_eq(meta_read(guarded_copy(&place, span_of_string(table[i].text)), &meta, &reason), -1, "%s",
			     table[i].text);
		cr_expect_str_eq(reason, table[i].reason, "%s", table[i].text);
	}
	guarded_free(&place);
}

Test(meta, depth)
{
	static char text[4096];
	const char *reason;
	struct meta meta;

	for (int depth = 511; depth <= 512; depth++) {
		int size =
		    snprintf(text, sizeof(text), "{\"replicaType\":[\"a\",1,0],\"syncMode\":" MODE "," HASH ",\"x\":");

		memset(text + size, '[', (size_t)depth);
		memset(text + size + depth, ']', (size_t)depth);
		memcpy(text + size + 2 * depth, "}", 2);
		cr_expect_eq(meta_read(span_of_string(text), &meta, &reason), depth == 511 ? 0 : -1, "%d", depth);
	}
}

Test(meta, cut_short_anywhere_it_is_refused)
{
	const char *text = META("[\"pl\\u0061in\",1,0]", MODE);
	struct guarded place = guarded_make(512);
	const char *reason;
	struct meta meta;

	for (size_t size = 0; size < strlen(text); size++)
		cr_expect_eq(meta_read(guarded_copy(&place, span_of(text, size)), &meta, &reason), -1);
	guarded_free(&place);
}

Test(meta, compared)
{
	static const struct {
		const char *existing, *incoming;
		enum meta_difference difference;
	} table[] = {
	    {META("[\"a\",1,0]", MODE), META("[\"a\",1,0]", MODE), META_SAME},
	    {META("[\"a\",1,0]", MODE), META("[\"a\",1,7]", MODE), META_SAME},
	    {META("[\"a\",1,0]", MODE), META("[\"\\u0061\",1.0,0]", MODE), META_SAME},
	    {META("[\"a\",1,0]", MODE),
	     "{\"syncProtocol\":" MODE ",\"replicaType\":[\"a\",1,0],\"schemaHash\":\"x\",\"more\":1}", META_SAME},
	    {META("[\"a\",1,0]", MODE),
	     META("[\"a\",1,0]", "{\"durability\":\"persistent\",\"x\":1,\"delivery\":\"delta-capable\","
				 "\"writerModel\":\"serialized\"}"),
	     META_SAME},
	    {META("[\"a\",1,0]", MODE), META("[\"b\",1,0]", MODE), META_REPLICA_TYPE},
	    {META("[\"a\",1,0]", MODE), META("[\"A\",1,0]", MODE), META_REPLICA_TYPE},
	    {META("[\"a\",1,0]", MODE), META("[\"a\",2,0]", MODE), META_REPLICA_TYPE},
	    {META("[\"a\",1,0]", MODE), META("[\"a\",-1,0]", MODE), META_REPLICA_TYPE},
	    {META("[\"a\",1,0]", MODE), META("[\"b\",1,0]", MODE_SHORT), META_REPLICA_TYPE},
	    {META("[\"a\",1,0]", MODE), META("[\"a\",1,0]", MODE_WRITERS), META_SYNC_MODE},
	    {META("[\"a\",1,0]", MODE), META("[\"a\",1,0]", MODE_WHOLE), META_SYNC_MODE},
	    {META("[\"a\",1,0]", MODE), META("[\"a\",1,0]", MODE_SHORT), META_SYNC_MODE},
	};

	for (size_t i = 0; i < LENGTH(table); i++) {
		struct meta existing = read_meta(table[i].existing), incoming = read_meta(table[i].incoming);

		cr_expect_eq(meta_compare(&existing, &incoming), table[i].difference, "row %zu", i);
		cr_expect_eq(meta_compare(&incoming, &existing), table[i].difference, "row %zu", i);
	}
}

/* As the reference says them, in its recorded sessions. */
Test(meta, texts)
{
	static const struct {
		const char *existing, *incoming;
		enum meta_difference difference;
		bool within_batch;
		enum layout layout;
		const char *text;
	} table[] = {
	    {META("[\"plain\",1,0]", MODE), META("[\"plain\",2,0]", MODE), META_REPLICA_TYPE, false, LAYOUT_2,
	     "Store: replicaType mismatch for document \xe2\x80\x94 existing [plain,1,0] vs incoming [plain,2,0]"},
	    {META("[\"plain\",1,0]", MODE), META("[\"yjs\",1,0]", MODE), META_REPLICA_TYPE, false, LAYOUT_1,
	     "Store: replicaType mismatch for document \xe2\x80\x94 existing [plain,1,0] vs incoming [yjs,1,0]"},
	    {META("[\"plain\",1,0]", MODE), META("[\"plain\",2,0]", MODE), META_REPLICA_TYPE, true, LAYOUT_2,
	     "Store: replicaType mismatch within batch \xe2\x80\x94 [plain,1,0] vs [plain,2,0]"},
	    {META("[\"plain\",1,0]", MODE), META("[\"plain\",1,0]", MODE_WRITERS), META_SYNC_MODE, false, LAYOUT_2,
	     "Store: syncMode mismatch for document \xe2\x80\x94 existing " MODE " vs incoming " MODE_WRITERS},
	    {META("[\"plain\",1,0]", MODE), META("[\"plain\",1,0]", MODE_SHORT), META_SYNC_MODE, false, LAYOUT_1,
	     "Store: syncProtocol mismatch for document \xe2\x80\x94 existing " MODE " vs incoming " MODE_SHORT},
	    {META("[\"plain\",1,0]", MODE), META("[\"plain\",1,0]", MODE_WRITERS), META_SYNC_MODE, true, LAYOUT_2,
	     "Store: syncMode mismatch within batch \xe2\x80\x94 " MODE " vs " MODE_WRITERS},
	    {META("[\"plain\",1,0]", MODE), META("[\"plain\",1,0]", MODE_WRITERS), META_SYNC_MODE, true, LAYOUT_1,
	     "Store: syncProtocol mismatch within batch \xe2\x80\x94 " MODE " vs " MODE_WRITERS},
	    /* Names as they are meant, numbers as JavaScript writes them. */
	    {META("[\"\\u00e9\\\"\\ud800\",1.0,-0]", MODE), META("[\"\",-9007199254740991,1e3]", MODE),
	     META_REPLICA_TYPE, true, LAYOUT_2,
	     "Store: replicaType mismatch within batch \xe2\x80\x94 [\xc3\xa9\"\xef\xbf\xbd,1,0] vs "
	     "[,-9007199254740991,1000]"},
	};
	struct buffer out = BUFFER_EMPTY;

	for (size_t i = 0; i < LENGTH(table); i++) {
		struct meta existing = read_meta(table[i].existing), incoming = read_meta(table[i].incoming);

		buffer_reset(&out);
		meta_mismatch_text(&out, table[i].difference, &existing, &incoming, table[i].within_batch,
				   table[i].layout);
		cr_expect(span_equal(buffer_span(&out), span_of_string(table[i].text)), "%.*s", (int)out.size,
			  out.data);
		cr_expect_eq(meta_compare(&existing, &incoming), table[i].difference);
	}
	buffer_free(&out);
}
