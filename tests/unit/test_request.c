/*
 * request: what a daemon takes, what it refuses and in which words, and what a client sends.
 */
#include "protocol/frame.h"
#include "protocol/message.h"
#include "tests/unit/guarded.h"
#include "tests/unit/notation.h"

#include <criterion/criterion.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))

#define HELLO	  "[1,0,\"kyneta-store\",1,1"
#define SESSION	  "b\"0123456789abcdef\""
#define WELL_FORM "not exactly one whole msgpack value, at most four deep and with valid UTF-8"
#define START	  "a request must be an array that begins with two uints"

static struct request decoded(const char *text, struct buffer *out)
{
	const char *reason;
	struct request request;
	int code = request_decode(notation_pack(text, out), &request, &reason);

	cr_assert_eq(code, 0, "%s: %d %s", text, code, reason);
	cr_assert_null(reason);
	return request;
}

/* ---- what is refused ---- */

Test(request, malformed)
{
	static const struct {
		const char *text, *reason;
	} table[] = {
	    {"", WELL_FORM},
	    {"[2,8] [3,8]", WELL_FORM},
	    {"[2,8] nil", WELL_FORM},
	    {"[2,1,\"\\xff\"]", WELL_FORM},
	    {"[2,1,\"\\xed\\xa0\\x80\"]", WELL_FORM},
	    {"[2,8,nil,\"\\xc0\\x80\"]", WELL_FORM},
	    {"[2,8,{\"\\xff\":1}]", WELL_FORM},
	    {"[2,8,[[[[]]]]]", WELL_FORM},
	    {"[2,1,\"doc\",[[0,[[]]]]]", WELL_FORM},
	    {"nil", START},
	    {"2", START},
	    {"\"kyneta-store\"", START},
	    {"{2:8}", START},
	    {"[]", START},
	    {"[2]", START},
	    {"[nil,8]", START},
	    {"[-1,8]", START},
	    {"[\"2\",8]", START},
	    {"[2,nil]", START},
	    {"[2,-8]", START},
	    {"[2,\"ping\"]", START},
	    {"[2,f]", START},
	    {"[2,[8]]", START},
	    {"[1,0]", "wrong magic"},
	    {"[1,0,nil,1,1]", "wrong magic"},
	    {"[1,0,\"kyneta-stor\",1,1]", "wrong magic"},
	    {"[1,0,\"kyneta-store\\x00\",1,1]", "wrong magic"},
	    {"[1,0,\"Kyneta-store\",1,1]", "wrong magic"},
	    {"[1,0,b\"kyneta-store\",1,1]", "wrong magic"},
	    {"[7,0,\"redis\",1,1]", "wrong magic"},
	};
	struct buffer out = BUFFER_EMPTY;
	struct request request;
	const char *reason;

	for (size_t i = 0; i < LENGTH(table); i++) {
		cr_expect_eq(request_decode(notation_pack(table[i].text, &out), &request, &reason), ERROR_MALFORMED,
			     "%s", table[i].text);
		cr_expect_str_eq(reason, table[i].reason, "%s", table[i].text);
	}
	buffer_free(&out);
}

Test(request, unknown_operations)
{
	static const char *const table[] = {"[2,12]", "[2,31]", "[3,32,1]", "[2,4294967296]",
					    "[9,18446744073709551615,\"x\"]"};
	struct buffer out = BUFFER_EMPTY;
	struct request request;
	const char *reason;

	for (size_t i = 0; i < LENGTH(table); i++) {
		cr_expect_eq(request_decode(notation_pack(table[i], &out), &request, &reason), ERROR_UNKNOWN_OP, "%s",
			     table[i]);
		cr_expect_str_eq(reason, "this operation is not known");
		cr_expect_geq(request.id, 2);
		cr_expect_geq(request.operation, 12);
	}
	buffer_free(&out);
}

Test(request, bad_arguments_of_hello)
{
#define LOWEST	   "lowest must be a uint from 1 on"
#define HIGHEST	   "highest must be a uint not below lowest"
#define ACCESS	   "access must be nil, 0 (read-write), 1 (read-only) or 2 (exclusive)"
#define CLIENT	   "session must be nil or a bin of 16 bytes"
#define STORE(map) HELLO ",nil," map "]"
	static const struct {
		const char *text, *reason;
	} table[] = {
	    {"[1,0,\"kyneta-store\"]", LOWEST},
	    {"[1,0,\"kyneta-store\",nil,1]", LOWEST},
	    {"[1,0,\"kyneta-store\",0,1]", LOWEST},
	    {"[1,0,\"kyneta-store\",-1,1]", LOWEST},
	    {"[1,0,\"kyneta-store\",\"1\",1]", LOWEST},
	    {"[1,0,\"kyneta-store\",1]", HIGHEST},
	    {"[1,0,\"kyneta-store\",2,1]", HIGHEST},
	    {"[1,0,\"kyneta-store\",1,nil]", HIGHEST},
	    {HELLO ",5]", "client must be nil or a str"},
	    {HELLO ",b\"x\"]", "client must be nil or a str"},
	    {STORE("[]"), "store must be nil or a map"},
	    {STORE("\"x\""), "store must be nil or a map"},
	    {STORE("{1:2}"), "store: a key must be a str"},
	    {STORE("{\"meta\":\"a\",nil:2}"), "store: a key must be a str"},
	    {STORE("{b\"meta\":\"a\"}"), "store: a key must be a str"},
	    {STORE("{\"meta\":1}"), "store: a table name must be a str"},
	    {STORE("{\"records\":b\"a\"}"), "store: a table name must be a str"},
	    {STORE("{\"store\":[]}"), "store: a table name must be a str"},
	    {STORE("{\"meta\":\"\"}"), "store: a table name must not be empty"},
	    {STORE("{\"records\":\"\"}"), "store: a table name must not be empty"},
	    {STORE("{\"store\":\"\"}"), "store: a table name must not be empty"},
	    {STORE("{\"meta\":\"a\\x00b\"}"), "store: a table name must not hold NUL"},
	    {STORE("{\"meta\":\"\\x00\"}"), "store: a table name must not hold NUL"},
	    {STORE("{\"meta\":\"sqlite_\"}"), "store: a table name must not start with sqlite_"},
	    {STORE("{\"records\":\"sqlite_master\"}"), "store: a table name must not start with sqlite_"},
	    {STORE("{\"store\":\"SQLite_x\"}"), "store: a table name must not start with sqlite_"},
	    {STORE("{\"meta\":\"kyneta_stored\"}"), "store: a table name must not start with kyneta_stored"},
	    {STORE("{\"meta\":\"KYNETA_STORED_2\"}"), "store: a table name must not start with kyneta_stored"},
	    {STORE("{\"layout\":0}"), "store: layout must be 1 or 2"},
	    {STORE("{\"layout\":3}"), "store: layout must be 1 or 2"},
	    {STORE("{\"layout\":\"1\"}"), "store: layout must be 1 or 2"},
	    {STORE("{\"layout\":-1}"), "store: layout must be 1 or 2"},
	    {STORE("{\"create\":0}"), "store: create must be a bool"},
	    {STORE("{\"create\":\"true\"}"), "store: create must be a bool"},
	    {STORE("{\"store\":\"s\",\"layout\":1}"), "store: layout 1 has no table that store could name"},
	    {STORE("{\"layout\":1,\"store\":\"s\"}"), "store: layout 1 has no table that store could name"},
	    {HELLO ",nil,nil,3]", ACCESS},
	    {HELLO ",nil,nil,-1]", ACCESS},
	    {HELLO ",nil,nil,true]", ACCESS},
	    {HELLO ",nil,nil,nil,\"0123456789abcdef\"]", CLIENT},
	    {HELLO ",nil,nil,nil,b\"0123456789abcde\"]", CLIENT},
	    {HELLO ",nil,nil,nil,b\"0123456789abcdef0\"]", CLIENT},
	    {HELLO ",nil,nil,nil,b\"\"]", CLIENT},
	    {"[0,0,\"kyneta-store\",1,1]", "the id of hello must be 1"},
	    {"[2,0,\"kyneta-store\",1,1]", "the id of hello must be 1"},
	};
	struct buffer out = BUFFER_EMPTY;
	struct request request;
	const char *reason;

	for (size_t i = 0; i < LENGTH(table); i++) {
		cr_expect_eq(request_decode(notation_pack(table[i].text, &out), &request, &reason), ERROR_BAD_ARGUMENT,
			     "%s", table[i].text);
		cr_expect_str_eq(reason, table[i].reason, "%s", table[i].text);
		cr_expect_eq(request.operation, OPERATION_HELLO);
	}
	buffer_free(&out);
}

Test(request, bad_arguments)
{
#define DOC	       "doc must be a str"
#define RECORDS	       "records must be an array of records"
#define DURABILITY     "durability must be nil, 0 (committed) or 1 (synced)"
#define EXPECT	       "expect must be nil or [generation, next]"
#define CURSOR	       "cursor must be nil or a bin"
#define LIMIT	       "limit must be nil or a uint"
#define KIND	       "kind must be 0 (entirety) or 1 (since)"
#define ENCODING       "encoding must be 0 (json) or 1 (binary)"
#define DATA	       "data must be a str or a bin"
#define TAG	       "the first element of a record must be a uint"
#define META	       "a meta record must hold its JSON as a str"
#define RECORD(record) "[5,1,\"d\",[" record "]]"
	static const struct {
		const char *text, *reason;
		bool document; /* "d" could be read */
	} table[] = {
	    {"[5,1]", DOC, false},
	    {"[5,1,nil]", DOC, false},
	    {"[5,1,7]", DOC, false},
	    {"[5,1,b\"d\",[[0,\"{}\"]]]", DOC, false},
	    {"[5,2]", DOC, false},
	    {"[5,3,[\"d\"]]", DOC, false},
	    {"[5,4,true]", DOC, false},
	    {"[5,5]", DOC, false},
	    {"[5,1,\"d\"]", RECORDS, true},
	    {"[5,1,\"d\",nil]", RECORDS, true},
	    {"[5,1,\"d\",{}]", RECORDS, true},
	    {"[5,3,\"d\"]", RECORDS, true},
	    {"[5,3,\"d\",\"[]\"]", RECORDS, true},
	    {"[5,1,\"d\",[]]", "records must not be empty", true},
	    {RECORD("nil"), "a record must be an array", true},
	    {RECORD("0,\"{}\""), "a record must be an array", true},
	    {RECORD("{0:\"{}\"}"), "a record must be an array", true},
	    {RECORD("[]"), TAG, true},
	    {RECORD("[nil,\"{}\"]"), TAG, true},
	    {RECORD("[\"meta\",\"{}\"]"), TAG, true},
	    {RECORD("[-1]"), TAG, true},
	    {RECORD("[2]"), "unknown record kind", true},
	    {RECORD("[4294967296,\"{}\"]"), "unknown record kind", true},
	    {RECORD("[0]"), META, true},
	    {RECORD("[0,nil]"), META, true},
	    {RECORD("[0,b\"{}\"]"), META, true},
	    {RECORD("[0,{}]"), META, true},
	    {RECORD("[1]"), KIND, true},
	    {RECORD("[1,2,0,\"v\",\"x\"]"), KIND, true},
	    {RECORD("[1,nil,0,\"v\",\"x\"]"), KIND, true},
	    {RECORD("[1,\"since\",0,\"v\",\"x\"]"), KIND, true},
	    {RECORD("[1,4294967296,0,\"v\",\"x\"]"), KIND, true},
	    {RECORD("[1,0]"), ENCODING, true},
	    {RECORD("[1,0,2,\"v\",\"x\"]"), ENCODING, true},
	    {RECORD("[1,0,true,\"v\",\"x\"]"), ENCODING, true},
	    {RECORD("[1,0,0]"), "version must be a str", true},
	    {RECORD("[1,0,0,nil,\"x\"]"), "version must be a str", true},
	    {RECORD("[1,0,0,b\"v\",\"x\"]"), "version must be a str", true},
	    {RECORD("[1,0,0,\"v\"]"), DATA, true},
	    {RECORD("[1,0,0,\"v\",nil]"), DATA, true},
	    {RECORD("[1,0,0,\"v\",e\"x\"]"), DATA, true},
	    {RECORD("[1,0,0,\"v\",[]]"), DATA, true},
	    {RECORD("[1,0,0,\"v\",\"x\",5]"), "lineage must be a str or nil", true},
	    {RECORD("[1,0,0,\"v\",\"x\",b\"l\"]"), "lineage must be a str or nil", true},
	    {RECORD("[0,\"{}\"],[1,0,0,\"v\",\"x\"],[3]"), "unknown record kind", true},
	    {"[5,3,\"d\",[[0,\"{}\"],5]]", "a record must be an array", true},
	    {"[5,1,\"d\",[[0,\"{}\"]],2]", DURABILITY, true},
	    {"[5,1,\"d\",[[0,\"{}\"]],-1]", DURABILITY, true},
	    {"[5,3,\"d\",[[0,\"{}\"]],true]", DURABILITY, true},
	    {"[5,4,\"d\",\"synced\"]", DURABILITY, true},
	    {"[5,4,\"d\",4294967296]", DURABILITY, true},
	    {"[5,1,\"d\",[[0,\"{}\"]],nil,5]", EXPECT, true},
	    {"[5,1,\"d\",[[0,\"{}\"]],nil,[]]", EXPECT, true},
	    {"[5,1,\"d\",[[0,\"{}\"]],nil,[1]]", EXPECT, true},
	    {"[5,3,\"d\",[[0,\"{}\"]],nil,[nil,1]]", EXPECT, true},
	    {"[5,3,\"d\",[[0,\"{}\"]],nil,[1,nil]]", EXPECT, true},
	    {"[5,4,\"d\",nil,[1,-1]]", EXPECT, true},
	    {"[5,4,\"d\",nil,{1:1}]", EXPECT, true},
	    {"[5,2,\"d\",\"cursor\"]", CURSOR, true},
	    {"[5,2,\"d\",0]", CURSOR, true},
	    {"[5,2,\"d\",nil,\"1\"]", LIMIT, true},
	    {"[5,2,\"d\",nil,-1]", LIMIT, true},
	    {"[5,6,5]", "prefix must be nil or a str", false},
	    {"[5,6,b\"p\"]", "prefix must be nil or a str", false},
	    {"[5,6,nil,\"c\"]", CURSOR, false},
	    {"[5,6,nil,nil,f]", LIMIT, false},
	    {"[0,8]", "the id must be 2 or more", false},
	    {"[1,8]", "the id must be 2 or more", false},
	    {"[1,1,\"d\",[[0,\"{}\"]]]", "the id must be 2 or more", true},
	};
	struct buffer out = BUFFER_EMPTY;
	struct request request;
	const char *reason;

	for (size_t i = 0; i < LENGTH(table); i++) {
		cr_expect_eq(request_decode(notation_pack(table[i].text, &out), &request, &reason), ERROR_BAD_ARGUMENT,
			     "%s", table[i].text);
		cr_expect_str_eq(reason, table[i].reason, "%s", table[i].text);
		cr_expect_eq(request.id, (uint64_t)(table[i].text[1] - '0'));
		cr_expect_eq(request.operation, (uint64_t)(table[i].text[3] - '0'));
		cr_expect_eq(span_equal(request.document, SPAN_LITERAL("d")), table[i].document, "%s", table[i].text);
	}
	buffer_free(&out);
}

/* ---- what is taken ---- */

Test(request, hello)
{
	struct buffer out = BUFFER_EMPTY;
	struct request request = decoded(HELLO "]", &out);

	cr_expect_eq(request.id, 1);
	cr_expect_eq(request.operation, OPERATION_HELLO);
	cr_expect_eq(request.hello.lowest, 1);
	cr_expect_eq(request.hello.highest, 1);
	cr_expect_eq(request.hello.client.size + request.hello.meta_table.size + request.hello.records_table.size +
			 request.hello.store_table.size,
		     0);
	cr_expect_eq(request.hello.layout, 0);
	cr_expect_eq(request.hello.access, ACCESS_READ_WRITE);
	cr_expect(request.hello.create && !request.hello.has_session);

	request = decoded(
	    "[s64:1,u32:0,\"kyneta-store\",7,9,\"me\",{\"store\":\"s\",\"layout\":2,\"later\":[{}],\"create\":false,"
	    "\"records\":\"r\",\"meta\":\"x\\\"; DROP TABLE y; --\"},2," SESSION ",[\"later\"],{}]",
	    &out);
	cr_expect_eq(request.hello.lowest, 7);
	cr_expect_eq(request.hello.highest, 9);
	cr_expect(span_equal(request.hello.client, SPAN_LITERAL("me")));
	cr_expect(span_equal(request.hello.meta_table, SPAN_LITERAL("x\"; DROP TABLE y; --")));
	cr_expect(span_equal(request.hello.records_table, SPAN_LITERAL("r")));
	cr_expect(span_equal(request.hello.store_table, SPAN_LITERAL("s")));
	cr_expect_eq(request.hello.layout, 2);
	cr_expect_eq(request.hello.access, ACCESS_EXCLUSIVE);
	cr_expect(!request.hello.create && request.hello.has_session);
	cr_expect(span_equal(request.hello.session, SPAN_LITERAL("0123456789abcdef")));

	request = decoded(
	    HELLO ",nil,{\"meta\":nil,\"layout\":1,\"store\":nil,\"create\":nil,\"records\":\"sqlite\"},0,nil]", &out);
	cr_expect_eq(request.hello.layout, 1);
	cr_expect(request.hello.create);
	cr_expect(span_equal(request.hello.records_table, SPAN_LITERAL("sqlite")));
	buffer_free(&out);
}

Test(request, writes)
{
	struct buffer out = BUFFER_EMPTY;
	struct request request = decoded(
	    "[18446744073709551615,1,\"\\x00d\",[[0,\"{}\",5],[1,1,0,\"v\",\"text\"],[1,0,1,\"\",b\"\",\"l\",9],"
	    "[1,s8:0,u64:1,\"v\",b\"\\xff\\x00\",nil]],1,[7,u8:8,9],[[]]]",
	    &out);
	struct record_iterator iterator = record_list_start(&request.records);
	struct record record;

	cr_expect_eq(request.id, UINT64_MAX);
	cr_expect(span_equal(request.document, span_of("\0d", 2)));
	cr_expect_eq(request.durability, DURABILITY_SYNCED);
	cr_expect(request.has_expect);
	cr_expect_eq(request.expect.generation, 7);
	cr_expect_eq(request.expect.next, 8);
	cr_assert_eq(request.records.count, 4);
	cr_assert(record_list_next(&iterator, &record));
	cr_expect_eq(record.type, RECORD_META);
	cr_expect(span_equal(record.meta, SPAN_LITERAL("{}")));
	cr_assert(record_list_next(&iterator, &record));
	cr_expect_eq(record.type, RECORD_ENTRY);
	cr_expect_eq(record.meta.size, 0, "nothing is left of the one before");
	cr_expect_eq(record.kind, ENTRY_SINCE);
	cr_expect_eq(record.encoding, ENCODING_JSON);
	cr_expect(span_equal(record.version, SPAN_LITERAL("v")));
	cr_expect(record.data_is_text && span_equal(record.data, SPAN_LITERAL("text")));
	cr_expect(!record.has_lineage);
	cr_assert(record_list_next(&iterator, &record));
	cr_expect_eq(record.kind, ENTRY_ENTIRETY);
	cr_expect_eq(record.encoding, ENCODING_BINARY);
	cr_expect_eq(record.version.size, 0);
	cr_expect(!record.data_is_text && record.data.size == 0);
	cr_expect(record.has_lineage && span_equal(record.lineage, SPAN_LITERAL("l")));
	cr_assert(record_list_next(&iterator, &record));
	cr_expect(!record.data_is_text && span_equal(record.data, span_of("\xff\0", 2)));
	cr_expect(!record.has_lineage);
	cr_assert(!record_list_next(&iterator, &record));
	cr_assert(!record_list_next(&iterator, &record), "and again");

	request = decoded("[2,3,\"\",[]]", &out);
	cr_expect_eq(request.records.count, 0, "that a batch needs metadata is a rule of the store");
	cr_expect_eq(request.durability, DURABILITY_DEFAULT);
	cr_expect(!request.has_expect);
	request = decoded("[2,3,\"d\",[[0,\"\"]],0,nil]", &out);
	cr_expect_eq(request.durability, DURABILITY_COMMITTED);
	request = decoded("[2,4,\"d\",nil,[18446744073709551615,0]]", &out);
	cr_expect(request.has_expect && request.expect.generation == UINT64_MAX && request.expect.next == 0);
	request = decoded("[2,4,\"d\"]", &out);
	cr_expect(!request.has_expect);
	buffer_free(&out);
}

Test(request, reads)
{
	struct buffer out = BUFFER_EMPTY;
	struct request request = decoded("[2,2,\"d\"]", &out);

	cr_expect(!request.has_cursor && request.limit == 0);
	request = decoded("[2,2,\"d\",b\"\\x01\\x02\",1000,nil]", &out);
	cr_expect(request.has_cursor && span_equal(request.cursor, span_of("\1\2", 2)));
	cr_expect_eq(request.limit, 1000);
	request = decoded("[2,2,\"d\",b\"\",0]", &out);
	cr_expect(request.has_cursor && request.cursor.size == 0 && request.limit == 0);
	request = decoded("[2,5,\"d\",8]", &out);
	cr_expect(span_equal(request.document, SPAN_LITERAL("d")));
	request = decoded("[2,6]", &out);
	cr_expect(request.prefix.size == 0 && !request.has_cursor);
	request = decoded("[2,6,\"a%\",nil,18446744073709551615]", &out);
	cr_expect(span_equal(request.prefix, SPAN_LITERAL("a%")));
	cr_expect_eq(request.limit, UINT64_MAX);
	for (unsigned operation = OPERATION_CLOSE; operation <= OPERATION_RESUME; operation++) {
		char text[32];

		snprintf(text, sizeof(text), "[%u,%u]", operation, operation);
		cr_expect_eq(decoded(text, &out).operation, operation);
		snprintf(text, sizeof(text), "[%u,%u,5,\"later\"]", operation, operation);
		cr_expect_eq(decoded(text, &out).id, operation);
	}
	buffer_free(&out);
}

/* ---- what a client sends, byte for byte ---- */

static void expect_frame(const struct request *request, const struct record *records, size_t count, const char *text)
{
	struct buffer frame = BUFFER_EMPTY, expected = BUFFER_EMPTY;
	struct span body;

	/* Behind something else: a frame is appended. */
	buffer_append(&frame, "before", 6);
	request_encode(&frame, request, records, count);
	cr_assert(!frame.failed);
	body = span_of(frame.data + 6 + FRAME_HEADER_SIZE, frame.size - 6 - FRAME_HEADER_SIZE);
	cr_expect_eq(frame_length(frame.data + 6), body.size);
	cr_expect(span_equal(body, notation_pack(text, &expected)), "%s", text);
	buffer_free(&frame);
	buffer_free(&expected);
}

Test(request, encoded)
{
	struct record records[] = {
	    {.type = RECORD_META, .meta = SPAN_LITERAL("{}")},
	    {.type = RECORD_ENTRY,
	     .kind = ENTRY_SINCE,
	     .version = SPAN_LITERAL("v"),
	     .data = SPAN_LITERAL("x"),
	     .data_is_text = true},
	    {.type = RECORD_ENTRY, .encoding = ENCODING_BINARY, .has_lineage = true},
	};
	struct request request = {
	    .id = 300, .operation = OPERATION_APPEND, .document = SPAN_LITERAL("d"), .durability = DURABILITY_DEFAULT};

	expect_frame(&request, records, 3,
		     "[300,1,\"d\",[[0,\"{}\"],[1,1,0,\"v\",\"x\"],[1,0,1,\"\",b\"\",\"\"]],nil,nil]");
	request.operation = OPERATION_REPLACE;
	request.durability = DURABILITY_SYNCED;
	expect_frame(&request, NULL, 0, "[300,3,\"d\",[],1,nil]");
	request.operation = OPERATION_DELETE;
	request.durability = DURABILITY_COMMITTED;
	request.has_expect = true;
	request.expect = (struct position){70000, 5};
	expect_frame(&request, NULL, 0, "[300,4,\"d\",0,[70000,5]]");
	request.operation = OPERATION_LOAD_ALL;
	expect_frame(&request, NULL, 0, "[300,2,\"d\",nil,nil]");
	request.has_cursor = true;
	request.cursor = SPAN_LITERAL("c");
	request.limit = 9;
	expect_frame(&request, NULL, 0, "[300,2,\"d\",b\"c\",9]");
	request.operation = OPERATION_LIST_DOC_IDS;
	expect_frame(&request, NULL, 0, "[300,6,nil,b\"c\",9]");
	request.prefix = SPAN_LITERAL("p");
	expect_frame(&request, NULL, 0, "[300,6,\"p\",b\"c\",9]");
	request.operation = OPERATION_CURRENT_META;
	expect_frame(&request, NULL, 0, "[300,5,\"d\"]");
	for (request.operation = OPERATION_CLOSE; request.operation <= OPERATION_RESUME; request.operation++) {
		char text[32];

		snprintf(text, sizeof(text), "[300,%d]", (int)request.operation);
		expect_frame(&request, NULL, 0, text);
	}
}

Test(request, hello_encoded)
{
	struct request request = {
	    .id = HELLO_ID, .operation = OPERATION_HELLO, .hello = {.lowest = 1, .highest = 1, .create = true}};

	expect_frame(&request, NULL, 0, HELLO ",nil,nil,0,nil]");
	request.hello.client = SPAN_LITERAL("me");
	request.hello.meta_table = SPAN_LITERAL("m");
	request.hello.records_table = SPAN_LITERAL("r");
	request.hello.store_table = SPAN_LITERAL("s");
	request.hello.layout = 2;
	request.hello.create = false;
	request.hello.access = ACCESS_READ_ONLY;
	request.hello.has_session = true;
	request.hello.session = SPAN_LITERAL("0123456789abcdef");
	expect_frame(
	    &request, NULL, 0,
	    HELLO ",\"me\",{\"meta\":\"m\",\"records\":\"r\",\"store\":\"s\",\"layout\":2,\"create\":false},1," SESSION
		  "]");
}
