/*
 * reply: what a daemon sends, byte for byte, and what a client takes from a daemon that it need not trust.
 */
#include "protocol/frame.h"
#include "protocol/message.h"
#include "tests/unit/notation.h"

#include <criterion/criterion.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))

static struct buffer scratch;

static struct reply decoded(uint64_t operation, const char *text)
{
	struct reply reply;

	cr_assert_eq(reply_decode(notation_pack(text, &scratch), operation, &reply), 0, "%s", text);
	return reply;
}

/* ---- decoding ---- */

Test(reply, malformed)
{
	static const struct {
		enum operation operation;
		const char *text;
	} table[] = {
	    {OPERATION_PING, ""},
	    {OPERATION_PING, "nil"},
	    {OPERATION_PING, "{2:0}"},
	    {OPERATION_PING, "[]"},
	    {OPERATION_PING, "[2]"},
	    {OPERATION_PING, "[nil,0]"},
	    {OPERATION_PING, "[2,nil]"},
	    {OPERATION_PING, "[-2,0]"},
	    {OPERATION_PING, "[2,0] nil"},
	    {OPERATION_PING, "[2,0,\"\\xff\"]"},
	    {OPERATION_PING, "[2,0,[[[[]]]]]"},
	    {OPERATION_PING, "[2,100,5]"},
	    {OPERATION_PING, "[2,100,\"m\",2]"},
	    {OPERATION_PING, "[2,100,\"m\",-1]"},
	    {OPERATION_PING, "[2,100,\"m\",true]"},
	    {OPERATION_PING, "[0,100,5]"},
	    {OPERATION_APPEND, "[2,300,\"m\",0,5]"},
	    {OPERATION_APPEND, "[2,300,\"m\",0,[1]]"},
	    {OPERATION_APPEND, "[2,300,\"m\",0,[1,nil]]"},
	    {OPERATION_HELLO, "[1,102,\"m\",nil,\"1\",2]"},
	    {OPERATION_HELLO, "[1,102,\"m\",nil,1,\"2\"]"},
	    {OPERATION_HELLO, "[1,504,\"m\",nil,5]"},
	    {OPERATION_HELLO, "[1,0]"},
	    {OPERATION_HELLO, "[1,0,nil]"},
	    {OPERATION_HELLO, "[1,0,\"1\"]"},
	    {OPERATION_HELLO, "[1,0,1,5]"},
	    {OPERATION_HELLO, "[1,0,1,nil,3]"},
	    {OPERATION_HELLO, "[1,0,1,nil,\"2\"]"},
	    {OPERATION_HELLO, "[1,0,1,nil,0,-1]"},
	    {OPERATION_HELLO, "[1,0,1,nil,0,0,\"x\"]"},
	    {OPERATION_HELLO, "[1,0,1,nil,0,0,1,\"x\"]"},
	    {OPERATION_HELLO, "[1,0,1,nil,0,0,1,1,\"x\"]"},
	    {OPERATION_APPEND, "[2,0]"},
	    {OPERATION_APPEND, "[2,0,nil,false]"},
	    {OPERATION_REPLACE, "[2,0,[1],false]"},
	    {OPERATION_DELETE, "[2,0,[1,2],0]"},
	    {OPERATION_DELETE, "[2,0,{1:2},false]"},
	    {OPERATION_LOAD_ALL, "[2,0]"},
	    {OPERATION_LOAD_ALL, "[2,0,nil,[1,2]]"},
	    {OPERATION_LOAD_ALL, "[2,0,[]]"},
	    {OPERATION_LOAD_ALL, "[2,0,[],[1]]"},
	    {OPERATION_LOAD_ALL, "[2,0,[[2]],[1,2]]"},
	    {OPERATION_LOAD_ALL, "[2,0,[[0,\"{}\"],[1,0,0,\"v\",5]],[1,2]]"},
	    {OPERATION_LOAD_ALL, "[2,0,[[0,\"{}\"],5],[1,2]]"},
	    {OPERATION_LOAD_ALL, "[2,0,[],[1,2],\"c\"]"},
	    {OPERATION_CURRENT_META, "[2,0]"},
	    {OPERATION_CURRENT_META, "[2,0,nil]"},
	    {OPERATION_CURRENT_META, "[2,0,b\"{}\",[1,2]]"},
	    {OPERATION_CURRENT_META, "[2,0,\"{}\",5]"},
	    {OPERATION_LIST_DOC_IDS, "[2,0]"},
	    {OPERATION_LIST_DOC_IDS, "[2,0,nil]"},
	    {OPERATION_LIST_DOC_IDS, "[2,0,[\"a\",5]]"},
	    {OPERATION_LIST_DOC_IDS, "[2,0,[\"a\",b\"b\"]]"},
	    {OPERATION_LIST_DOC_IDS, "[2,0,[],\"c\"]"},
	    {OPERATION_STATS, "[2,0]"},
	    {OPERATION_STATS, "[2,0,[]]"},
	    {OPERATION_STATS, "[2,0,{1:2}]"},
	};
	struct reply reply;

	for (size_t i = 0; i < LENGTH(table); i++)
		cr_expect_eq(reply_decode(notation_pack(table[i].text, &scratch), table[i].operation, &reply),
			     ERROR_MALFORMED, "%s", table[i].text);
	buffer_free(&scratch);
}

Test(reply, errors_and_events)
{
	struct reply reply = decoded(OPERATION_PING, "[2,400,\"later\",0,5,6]");

	cr_expect(reply.id == 2 && reply.code == ERROR_BUSY && reply.outcome == OUTCOME_NOT_APPLIED);
	cr_expect(span_equal(reply.message, SPAN_LITERAL("later")));
	reply = decoded(OPERATION_LOAD_ALL, "[2,777]");
	cr_expect(reply.code == 777 && reply.outcome == OUTCOME_NONE && reply.message.size == 0);
	reply = decoded(OPERATION_APPEND, "[2,501,\"m\",1]");
	cr_expect_eq(reply.outcome, OUTCOME_UNKNOWN);
	reply = decoded(OPERATION_APPEND, "[2,300,\"m\",0,[7,8,9]]");
	cr_expect(reply.has_detail_position && reply.detail_position.generation == 7 &&
		  reply.detail_position.next == 8);
	reply = decoded(OPERATION_APPEND, "[2,300,nil,0]");
	cr_expect(!reply.has_detail_position);
	reply = decoded(OPERATION_HELLO, "[1,102,\"m\",nil,3,4]");
	cr_expect(reply.detail_lowest == 3 && reply.detail_highest == 4 && reply.outcome == OUTCOME_NONE);
	reply = decoded(OPERATION_HELLO, "[1,504,\"m\",nil,\"mixed-layouts\"]");
	cr_expect(span_equal(reply.detail_text, SPAN_LITERAL("mixed-layouts")));
	/* Unasked, whatever was asked last. */
	reply = decoded(OPERATION_HELLO, "[0,1]");
	cr_expect(reply.id == 0 && reply.code == 0 && reply.event == EVENT_DRAINING);
	reply = decoded(OPERATION_LOAD_ALL, "[0,99,\"an event of later\",[]]");
	cr_expect(reply.code == 0 && reply.event == 99);
	reply = decoded(OPERATION_LOAD_ALL, "[0,101,\"too large\"]");
	cr_expect(reply.code == ERROR_FRAME_TOO_LARGE && reply.event == 0);
	cr_expect(span_equal(reply.message, SPAN_LITERAL("too large")));
	buffer_free(&scratch);
}

Test(reply, results)
{
	struct reply reply = decoded(OPERATION_HELLO, "[1,0,1,\"d 1\",2,30,40,50,60,[]]");
	struct record_iterator records;
	struct record record;
	struct span text;
	uint64_t number;

	cr_expect(reply.hello.version == 1 && reply.hello.layout == 2 && reply.hello.through == 30);
	cr_expect(reply.hello.frame_limit == 40 && reply.hello.in_flight_limit == 50 && reply.hello.page_limit == 60);
	cr_expect(span_equal(reply.hello.daemon, SPAN_LITERAL("d 1")));
	reply = decoded(OPERATION_HELLO, "[1,0,1]");
	cr_expect(reply.hello.version == 1 && reply.hello.through == 0 && reply.hello.daemon.size == 0);
	reply = decoded(OPERATION_DELETE, "[2,0,[7,8,\"x\"],true,1]");
	cr_expect(reply.at.generation == 7 && reply.at.next == 8 && reply.duplicate);
	reply = decoded(OPERATION_APPEND, "[2,0,[7,8]]");
	cr_expect(!reply.duplicate);
	reply = decoded(OPERATION_LOAD_ALL, "[2,0,[[0,\"{}\"],[1,0,1,\"v\",b\"x\"]],[1,2],b\"c\"]");
	cr_expect(reply.records.count == 2 && reply.at.next == 2 && reply.has_cursor);
	cr_expect(span_equal(reply.cursor, SPAN_LITERAL("c")));
	records = record_list_start(&reply.records);
	cr_expect(record_list_next(&records, &record) && record.type == RECORD_META);
	cr_expect(record_list_next(&records, &record) && span_equal(record.data, SPAN_LITERAL("x")));
	cr_expect(!record_list_next(&records, &record));
	reply = decoded(OPERATION_LOAD_ALL, "[2,0,[],[0,0]]");
	cr_expect(reply.records.count == 0 && !reply.has_cursor);
	reply = decoded(OPERATION_CURRENT_META, "[2,0,\"{}\",[1,2]]");
	cr_expect(reply.has_meta && span_equal(reply.meta, SPAN_LITERAL("{}")) && reply.at.next == 2);
	reply = decoded(OPERATION_CURRENT_META, "[2,0,nil,[1,0]]");
	cr_expect(!reply.has_meta && reply.at.generation == 1);
	reply = decoded(OPERATION_LIST_DOC_IDS, "[2,0,[\"\",\"b\"],b\"\"]");
	cr_expect(reply.documents_count == 2 && reply.has_cursor && reply.cursor.size == 0);
	cr_expect(unpack_str(&reply.documents, &text) && text.size == 0);
	cr_expect(unpack_str(&reply.documents, &text) && span_equal(text, SPAN_LITERAL("b")));
	reply = decoded(OPERATION_STATS, "[2,0,{\"a\":1,\"b\":\"x\",\"c\":{\"d\":2}}]");
	cr_expect_eq(reply.stats_count, 3);
	cr_expect(unpack_str(&reply.stats, &text) && unpack_uint(&reply.stats, &number) && number == 1);
	reply = decoded(OPERATION_PING, "[2,0,\"whatever\"]");
	cr_expect_eq(reply.id, 2);
	reply = decoded(4711, "[2,0,5]");
	cr_expect_eq(reply.code, 0);
	buffer_free(&scratch);
}

Test(reply, peek)
{
	static const char *const none[] = {"", "nil", "[]", "[5]", "[nil,5]", "[5,nil]", "{5:5}"};
	uint64_t id, code;

	cr_assert_eq(reply_peek(notation_pack("[5,300,\"m\"]", &scratch), &id, &code), 0);
	cr_expect(id == 5 && code == 300);
	cr_assert_eq(reply_peek(notation_pack("[0,1]", &scratch), &id, &code), 0);
	cr_expect(id == 0 && code == 1);
	for (size_t i = 0; i < LENGTH(none); i++)
		cr_expect_eq(reply_peek(notation_pack(none[i], &scratch), &id, &code), ERROR_MALFORMED, "%s", none[i]);
	buffer_free(&scratch);
}

/* ---- encoding ---- */

/* The one frame in @out is that message; @out is emptied. */
static void expect_frame(struct buffer *out, const char *text)
{
	struct span body;

	cr_assert(!out->failed);
	cr_assert_geq(out->size, FRAME_HEADER_SIZE);
	body = span_of(out->data + FRAME_HEADER_SIZE, out->size - FRAME_HEADER_SIZE);
	cr_expect_eq(frame_length(out->data), body.size, "%s", text);
	cr_expect(span_equal(body, notation_pack(text, &scratch)), "%s", text);
	buffer_reset(out);
}

Test(reply, results_encoded)
{
	struct hello_reply hello = {1, SPAN_LITERAL("d"), 300, 2, 1 << 26, 1024, 1 << 20};
	struct buffer out = BUFFER_EMPTY;
	size_t mark;

	reply_encode_empty(&out, 70000);
	expect_frame(&out, "[70000,0]");
	reply_encode_hello(&out, 1, &hello);
	expect_frame(&out, "[1,0,1,\"d\",2,300,67108864,1024,1048576]");
	hello.daemon = SPAN_NONE;
	reply_encode_hello(&out, 1, &hello);
	expect_frame(&out, "[1,0,1,nil,2,300,67108864,1024,1048576]");
	reply_encode_write(&out, UINT64_MAX, (struct position){UINT64_MAX, UINT64_MAX}, true);
	expect_frame(&out, "[18446744073709551615,0,[18446744073709551615,18446744073709551615],true]");
	reply_encode_write(&out, 2, (struct position){0, 1}, false);
	expect_frame(&out, "[2,0,[0,1],false]");
	reply_encode_meta(&out, 2, true, SPAN_LITERAL("{}"), (struct position){3, 4});
	expect_frame(&out, "[2,0,\"{}\",[3,4]]");
	reply_encode_meta(&out, 2, false, SPAN_NONE, (struct position){3, 0});
	expect_frame(&out, "[2,0,nil,[3,0]]");
	reply_encode_event(&out, EVENT_DRAINING);
	expect_frame(&out, "[0,1]");
	mark = stats_begin(&out, 9, 2);
	stats_uint(&out, "appends", 1000000);
	stats_text(&out, "version", SPAN_LITERAL("0.1.0"));
	stats_end(&out, mark);
	expect_frame(&out, "[9,0,{\"appends\":1000000,\"version\":\"0.1.0\"}]");
	buffer_free(&out);
	buffer_free(&scratch);
}

Test(reply, errors_encoded)
{
	struct error_detail detail = {
	    .position = {7, 8}, .text = SPAN_LITERAL("mixed-layouts"), .lowest = 1, .highest = 2};
	struct buffer out = BUFFER_EMPTY;

	reply_encode_error(&out, 2, ERROR_CONFLICT, SPAN_LITERAL("m"), OUTCOME_NOT_APPLIED, &detail);
	expect_frame(&out, "[2,300,\"m\",0,[7,8]]");
	reply_encode_error(&out, 2, ERROR_CONFLICT, SPAN_LITERAL("m"), OUTCOME_NOT_APPLIED, NULL);
	expect_frame(&out, "[2,300,\"m\",0]");
	reply_encode_error(&out, 1, ERROR_INCOMPATIBLE_FORMAT, SPAN_LITERAL("m"), OUTCOME_NONE, &detail);
	expect_frame(&out, "[1,504,\"m\",nil,\"mixed-layouts\"]");
	reply_encode_error(&out, 1, ERROR_NO_COMMON_VERSION, SPAN_LITERAL("m"), OUTCOME_NONE, &detail);
	expect_frame(&out, "[1,102,\"m\",nil,1,2]");
	reply_encode_error(&out, 5, ERROR_IO_ERROR, SPAN_LITERAL(""), OUTCOME_UNKNOWN, &detail);
	expect_frame(&out, "[5,501,\"\",1]");
	reply_encode_error(&out, 0, ERROR_MALFORMED, SPAN_LITERAL("m"), OUTCOME_NONE, NULL);
	expect_frame(&out, "[0,100,\"m\"]");
	/* What is no text is cut off before the peer takes the whole frame for garbage. */
	reply_encode_error(&out, 2, ERROR_IO_ERROR, SPAN_LITERAL("caf\xc3\xa9 \xe2\x82"), OUTCOME_NOT_APPLIED, NULL);
	expect_frame(&out, "[2,501,\"caf\\xc3\\xa9 \",0]");
	buffer_free(&out);
	buffer_free(&scratch);
}

Test(reply, pages_encoded)
{
	struct record record = {.type = RECORD_ENTRY, .version = SPAN_LITERAL("v"), .data = SPAN_LITERAL("x")};
	struct buffer out = BUFFER_EMPTY;
	struct record read;
	struct reply reply;
	struct page page;
	struct span text;

	/* Behind another frame: marks are places in the buffer, not in the frame. */
	for (uint32_t count = 0; count < 70000; count = count * 7 + 1) {
		struct record_iterator records;

		buffer_reset(&out);
		reply_encode_empty(&out, 3);
		page_begin(&out, 300, &page);
		for (page.count = 0; page.count < count; page.count++)
			record_pack(&out, &record);
		page_end_records(&out, &page, (struct position){1, count}, count % 2 == 0, SPAN_LITERAL("c"));
		cr_assert(!out.failed);
		cr_assert_eq(frame_length(out.data + page.frame), out.size - page.frame - FRAME_HEADER_SIZE);
		text = span_of(out.data + page.frame + FRAME_HEADER_SIZE, out.size - page.frame - FRAME_HEADER_SIZE);
		cr_assert_eq(reply_decode(text, OPERATION_LOAD_ALL, &reply), 0);
		cr_expect(reply.id == 300 && reply.records.count == count && reply.at.next == count);
		cr_expect_eq(reply.has_cursor, count % 2 == 0);
		records = record_list_start(&reply.records);
		for (uint32_t i = 0; i < count; i++)
			cr_assert(record_list_next(&records, &read) && read.data.size == 1);
	}
	buffer_reset(&out);
	page_begin(&out, 300, &page);
	page_document(&out, SPAN_LITERAL(""));
	page_document(&out, SPAN_LITERAL("doc"));
	page.count = 2;
	page_end_documents(&out, &page, true, SPAN_LITERAL("doc"));
	text = span_of(out.data + FRAME_HEADER_SIZE, out.size - FRAME_HEADER_SIZE);
	cr_assert_eq(reply_decode(text, OPERATION_LIST_DOC_IDS, &reply), 0);
	cr_expect(reply.documents_count == 2 && span_equal(reply.cursor, SPAN_LITERAL("doc")));
	cr_expect(unpack_str(&reply.documents, &text) && text.size == 0);
	cr_expect(unpack_str(&reply.documents, &text) && span_equal(text, SPAN_LITERAL("doc")));
	buffer_free(&out);
}
