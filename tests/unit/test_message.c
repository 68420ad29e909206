/*
 * message: properties of every message, over random ones and over damaged ones.
 *
 * What one side writes the other reads, and msgpack-c too; whatever bytes come, decoding stays inside of them, gives
 * only codes that it may give, views that lie in the frame, and asks the allocator for nothing.
 */
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/pack.h"
#include "protocol/utf8.h"
#include "tests/unit/allocations.h"
#include "tests/unit/guarded.h"
#include "tests/unit/notation.h"
#include "tests/unit/random.h"

#include <criterion/criterion.h>

#define LENGTH(table) (sizeof(table) / sizeof((table)[0]))
#define RECORDS_MAX   8
#define OPERATIONS    12

Test(message, names)
{
	static const char *const names[OPERATIONS] = {"hello",	"append",	"load_all",	"replace",
						      "delete", "current_meta", "list_doc_ids", "close",
						      "ping",	"sync",		"stats",	"resume"};

	for (unsigned i = 0; i < OPERATIONS; i++) {
		cr_expect_str_eq(operation_name(i), names[i]);
		cr_expect_eq(operation_is_write(i), i == 1 || i == 3 || i == 4);
	}
	cr_expect_str_eq(operation_name(OPERATIONS), "unknown");
	cr_expect_str_eq(operation_name(UINT64_MAX), "unknown");
}

/* ---- entries that are written and read at a glance ---- */

static void pack_by_msgpack(struct buffer *out, const struct record *record)
{
	pack_array(out, 5);
	pack_uint(out, 1);
	pack_uint(out, record->kind);
	pack_uint(out, record->encoding);
	pack_str(out, record->version);
	if (record->data_is_text)
		pack_str(out, record->data);
	else
		pack_bin(out, record->data);
}

static bool same_bytes(const struct record *record)
{
	struct buffer ours = BUFFER_EMPTY, theirs = BUFFER_EMPTY;
	bool same;

	record_pack(&ours, record);
	pack_by_msgpack(&theirs, record);
	same = !ours.failed && !theirs.failed && span_equal(buffer_span(&ours), buffer_span(&theirs));
	buffer_free(&ours);
	buffer_free(&theirs);
	return same;
}

Test(message, plain_entries_have_the_bytes_of_msgpack)
{
	static const size_t sizes[] = {0, 1, 31, 32, 255, 256, 65535, 65536};
	static uint8_t bytes[65536];

	memset(bytes, 'x', sizeof(bytes));
	for (size_t i = 0; i < LENGTH(sizes) * LENGTH(sizes); i++) {
		for (unsigned forms = 0; forms < 8; forms++) {
			struct record record = {.type = RECORD_ENTRY,
						.kind = (forms & 1) != 0 ? ENTRY_SINCE : ENTRY_ENTIRETY,
						.encoding = (forms & 2) != 0 ? ENCODING_BINARY : ENCODING_JSON,
						.version = span_of(bytes, sizes[i % LENGTH(sizes)]),
						.data = span_of(bytes, sizes[i / LENGTH(sizes)]),
						.data_is_text = (forms & 4) != 0};

			cr_assert(same_bytes(&record), "version of %zu, data of %zu, forms %u", record.version.size,
				  record.data.size, forms);
		}
	}
}

/* ---- random messages ---- */

/* Sizes around where msgpack's heads grow. */
static struct span random_text(struct random *random)
{
	static const size_t sizes[] = {0, 1, 2, 15, 31, 32, 33, 255, 256, 257, 1000, 65535, 65536};
	static uint8_t text[65536];

	if (text[0] == 0) {
		memset(text, 'x', sizeof(text));
		text[1] = 0;
	}
	return span_of(text, sizes[random_below(random, random_below(random, 20) == 0 ? LENGTH(sizes) : 7)]);
}

static bool random_bool(struct random *random)
{
	return random_below(random, 2) == 0;
}

static struct record random_record(struct random *random)
{
	struct record record = {.type = RECORD_META};

	if (random_below(random, 4) == 0) {
		record.meta = random_text(random);
		return record;
	}
	record.type = RECORD_ENTRY;
	record.kind = random_bool(random) ? ENTRY_SINCE : ENTRY_ENTIRETY;
	record.encoding = random_bool(random) ? ENCODING_BINARY : ENCODING_JSON;
	record.version = random_text(random);
	record.data_is_text = random_bool(random);
	record.data = random_text(random);
	record.has_lineage = random_bool(random);
	if (record.has_lineage)
		record.lineage = random_text(random);
	return record;
}

static struct hello random_hello(struct random *random)
{
	struct hello hello = {
	    .lowest = random_number(random) / 2 + 1, .access = random_below(random, 3), .create = random_bool(random)};

	hello.highest = hello.lowest + random_below(random, 3);
	hello.client = random_text(random);
	hello.meta_table = random_bool(random) ? SPAN_NONE : SPAN_LITERAL("m");
	hello.records_table = random_bool(random) ? SPAN_NONE : SPAN_LITERAL("r");
	hello.layout = random_below(random, 3);
	if (hello.layout != 1)
		hello.store_table = random_bool(random) ? SPAN_NONE : SPAN_LITERAL("s");
	hello.has_session = random_bool(random);
	if (hello.has_session)
		hello.session = SPAN_LITERAL("0123456789abcdef");
	return hello;
}

static struct request random_request(struct random *random, uint64_t operation)
{
	struct request request = {.operation = operation, .durability = DURABILITY_DEFAULT, .hello.create = true};

	request.id = operation == OPERATION_HELLO ? 1 : random_number(random) | 2;
	if (operation == OPERATION_HELLO)
		request.hello = random_hello(random);
	if (operation >= OPERATION_APPEND && operation <= OPERATION_CURRENT_META)
		request.document = random_text(random);
	if (operation_is_write(operation)) {
		request.durability = (enum durability)((int)random_below(random, 3) - 1);
		request.has_expect = random_bool(random);
		if (request.has_expect)
			request.expect = (struct position){random_number(random), random_number(random)};
	}
	if (operation == OPERATION_LIST_DOC_IDS)
		request.prefix = random_text(random);
	if (operation == OPERATION_LIST_DOC_IDS || operation == OPERATION_LOAD_ALL) {
		request.limit = random_bool(random) ? 0 : random_number(random);
		request.has_cursor = random_bool(random);
		if (request.has_cursor)
			request.cursor = random_text(random);
	}
	return request;
}

static size_t random_records(struct random *random, uint64_t operation, struct record *records)
{
	size_t count;

	if (operation != OPERATION_APPEND && operation != OPERATION_REPLACE)
		return 0;
	count = random_below(random, RECORDS_MAX) + (operation == OPERATION_APPEND);
	for (size_t i = 0; i < count; i++)
		records[i] = random_record(random);
	return count;
}

static bool record_equal(const struct record *a, const struct record *b)
{
	return a->type == b->type && span_equal(a->meta, b->meta) && a->kind == b->kind && a->encoding == b->encoding &&
	       span_equal(a->version, b->version) && span_equal(a->data, b->data) &&
	       a->data_is_text == b->data_is_text && a->has_lineage == b->has_lineage &&
	       span_equal(a->lineage, b->lineage);
}

static bool position_equal(struct position a, struct position b)
{
	return a.generation == b.generation && a.next == b.next;
}

static void expect_hello(const struct hello *a, const struct hello *b)
{
	cr_assert(a->lowest == b->lowest && a->highest == b->highest && span_equal(a->client, b->client));
	cr_assert(span_equal(a->meta_table, b->meta_table) && span_equal(a->records_table, b->records_table));
	cr_assert(span_equal(a->store_table, b->store_table) && a->layout == b->layout && a->create == b->create);
	cr_assert(a->access == b->access && a->has_session == b->has_session && span_equal(a->session, b->session));
}

static void expect_request(const struct request *a, const struct request *b)
{
	cr_assert(a->id == b->id && a->operation == b->operation && span_equal(a->document, b->document));
	cr_assert(a->durability == b->durability && a->has_expect == b->has_expect &&
		  position_equal(a->expect, b->expect));
	cr_assert(a->has_cursor == b->has_cursor && span_equal(a->cursor, b->cursor) && a->limit == b->limit);
	cr_assert(span_equal(a->prefix, b->prefix));
	expect_hello(&a->hello, &b->hello);
}

/* One frame, which msgpack-c takes for one array, too; gives what is in it. */
static struct span frame_body(const struct buffer *out, const struct guarded *place)
{
	msgpack_unpacked unpacked;
	struct span body;
	size_t offset = 0;

	cr_assert(!out->failed);
	cr_assert_eq(frame_length(out->data), out->size - FRAME_HEADER_SIZE);
	body = guarded_copy(place, span_of(out->data + FRAME_HEADER_SIZE, out->size - FRAME_HEADER_SIZE));
	msgpack_unpacked_init(&unpacked);
	cr_assert_eq(msgpack_unpack_next(&unpacked, (const char *)body.data, body.size, &offset),
		     MSGPACK_UNPACK_SUCCESS);
	cr_assert_eq(offset, body.size);
	cr_assert_eq(unpacked.data.type, MSGPACK_OBJECT_ARRAY);
	msgpack_unpacked_destroy(&unpacked);
	return body;
}

Test(message, requests_come_back_as_they_went)
{
	struct guarded place = guarded_make(1u << 22);
	struct buffer out = BUFFER_EMPTY;
	struct random random = {29};

	for (unsigned round = 0; round < 20000; round++) {
		struct record records[RECORDS_MAX + 1], record;
		struct request sent = random_request(&random, round % OPERATIONS), received;
		size_t count = random_records(&random, sent.operation, records);
		struct record_iterator iterator;
		const char *reason;

		buffer_reset(&out);
		request_encode(&out, &sent, records, count);
		cr_assert_eq(request_decode(frame_body(&out, &place), &received, &reason), 0, "%s: %s",
			     operation_name(sent.operation), reason);
		expect_request(&sent, &received);
		cr_assert_eq(received.records.count, count);
		iterator = record_list_start(&received.records);
		for (size_t i = 0; i < count; i++)
			cr_assert(record_list_next(&iterator, &record) && record_equal(&record, &records[i]));
		cr_assert(!record_list_next(&iterator, &record));
		cr_assert_eq(iterator.unpack.at, iterator.unpack.end);
	}
	buffer_free(&out);
	guarded_free(&place);
}

static void encode_random_page(struct random *random, struct buffer *out, uint64_t id, uint64_t operation)
{
	struct page page;
	struct record record;

	page_begin(out, id, &page);
	for (uint32_t i = random_below(random, RECORDS_MAX); i > 0; i--, page.count++) {
		record = random_record(random);
		if (operation == OPERATION_LOAD_ALL)
			record_pack(out, &record);
		else
			page_document(out, random_text(random));
	}
	if (operation == OPERATION_LOAD_ALL)
		page_end_records(out, &page, (struct position){random_number(random), random_number(random)},
				 random_bool(random), random_text(random));
	else
		page_end_documents(out, &page, random_bool(random), random_text(random));
}

static void encode_random_error(struct random *random, struct buffer *out, uint64_t id)
{
	static const uint64_t codes[] = {ERROR_CONFLICT, ERROR_NO_COMMON_VERSION, ERROR_INCOMPATIBLE_FORMAT, ERROR_BUSY,
					 999};
	struct error_detail detail = {
	    {random_number(random), random_number(random)}, random_text(random), random_number(random), 1};

	reply_encode_error(out, id, codes[random_below(random, LENGTH(codes))], random_text(random),
			   (enum error_outcome)((int)random_below(random, 3) - 1),
			   random_bool(random) ? &detail : NULL);
}

/* A random reply to @operation; the decoded one must encode to the same bytes again (see reencode). */
static void encode_random_reply(struct random *random, struct buffer *out, uint64_t operation)
{
	struct hello_reply hello = {random_number(random),   random_text(random),   random_number(random),
				    random_below(random, 3), random_number(random), random_number(random),
				    random_number(random)};
	struct position at = {random_number(random), random_number(random)};
	uint64_t id = random_number(random) | 2;

	if (random_below(random, 5) == 0) {
		encode_random_error(random, out, random_below(random, 3) == 0 ? 0 : id);
		return;
	}
	switch ((enum operation)operation) {
	case OPERATION_HELLO:
		reply_encode_hello(out, id, &hello);
		break;
	case OPERATION_APPEND:
	case OPERATION_REPLACE:
	case OPERATION_DELETE:
		reply_encode_write(out, id, at, random_bool(random));
		break;
	case OPERATION_CURRENT_META:
		reply_encode_meta(out, id, random_bool(random), random_text(random), at);
		break;
	case OPERATION_LOAD_ALL:
	case OPERATION_LIST_DOC_IDS:
		encode_random_page(random, out, id, operation);
		break;
	case OPERATION_STATS:
		id = stats_begin(out, id, 2);
		stats_uint(out, "number", at.next);
		stats_text(out, "text", random_text(random));
		stats_end(out, id);
		break;
	case OPERATION_CLOSE:
	case OPERATION_PING:
	case OPERATION_SYNC:
	case OPERATION_RESUME:
		reply_encode_empty(out, id);
		break;
	}
}

static void reencode_page(struct buffer *out, uint64_t operation, struct reply *reply)
{
	struct record_iterator iterator = record_list_start(&reply->records);
	struct record record;
	struct span document;
	struct page page;

	page_begin(out, reply->id, &page);
	if (operation == OPERATION_LOAD_ALL) {
		for (; record_list_next(&iterator, &record); page.count++)
			record_pack(out, &record);
		page_end_records(out, &page, reply->at, reply->has_cursor, reply->cursor);
		return;
	}
	for (; page.count < reply->documents_count && unpack_str(&reply->documents, &document); page.count++)
		page_document(out, document);
	page_end_documents(out, &page, reply->has_cursor, reply->cursor);
}

static void reencode_stats(struct buffer *out, struct reply *reply)
{
	size_t mark = stats_begin(out, reply->id, reply->stats_count);
	struct span text;
	uint64_t number;

	cr_assert(unpack_str(&reply->stats, &text) && unpack_uint(&reply->stats, &number));
	stats_uint(out, "number", number);
	cr_assert(unpack_str(&reply->stats, &text) && unpack_str(&reply->stats, &text));
	stats_text(out, "text", text);
	stats_end(out, mark);
}

static void reencode(struct buffer *out, uint64_t operation, struct reply *reply)
{
	struct error_detail detail = {reply->detail_position, reply->detail_text, reply->detail_lowest,
				      reply->detail_highest};
	bool has_detail = reply->has_detail_position || reply->detail_text.size > 0 || reply->detail_highest > 0;

	if (reply->code != 0)
		reply_encode_error(out, reply->id, reply->code, reply->message, reply->outcome,
				   has_detail ? &detail : NULL);
	else if (operation == OPERATION_HELLO)
		reply_encode_hello(out, reply->id, &reply->hello);
	else if (operation_is_write(operation))
		reply_encode_write(out, reply->id, reply->at, reply->duplicate);
	else if (operation == OPERATION_CURRENT_META)
		reply_encode_meta(out, reply->id, reply->has_meta, reply->meta, reply->at);
	else if (operation == OPERATION_LOAD_ALL || operation == OPERATION_LIST_DOC_IDS)
		reencode_page(out, operation, reply);
	else if (operation == OPERATION_STATS)
		reencode_stats(out, reply);
	else
		reply_encode_empty(out, reply->id);
}

Test(message, replies_come_back_as_they_went)
{
	struct guarded place = guarded_make(1u << 22);
	struct buffer out = BUFFER_EMPTY, again = BUFFER_EMPTY;
	struct random random = {31};

	for (unsigned round = 0; round < 20000; round++) {
		struct reply reply;

		buffer_reset(&out);
		buffer_reset(&again);
		encode_random_reply(&random, &out, round % OPERATIONS);
		cr_assert_eq(reply_decode(frame_body(&out, &place), round % OPERATIONS, &reply), 0, "%s",
			     operation_name(round % OPERATIONS));
		reencode(&again, round % OPERATIONS, &reply);
		/* An empty text as detail cannot be told from none: 504 always has one. */
		if (reply.code != ERROR_INCOMPATIBLE_FORMAT || reply.detail_text.size > 0)
			cr_assert(span_equal(buffer_span(&out), buffer_span(&again)), "%s",
				  operation_name(round % OPERATIONS));
	}
	buffer_free(&out);
	buffer_free(&again);
	guarded_free(&place);
}

/* ---- damaged messages ---- */

static const char *const samples[] = {
    "[1,0,\"kyneta-store\",1,1,\"me\",{\"meta\":\"m\",\"records\":\"r\",\"store\":\"s\",\"layout\":2,\"create\":false,"
    "\"x\":[1]},2,"
    "b\"0123456789abcdef\"]",
    "[300,1,\"doc\",[[0,\"{}\"],[1,1,0,\"v\",\"text\"],[1,0,1,\"v\",b\"data\",\"line\"]],1,[7,8]]",
    "[2,3,\"doc\",[[0,\"{}\"]],0,nil]",
    "[2,4,\"doc\",nil,[70000,1]]",
    "[2,2,\"doc\",b\"cursor\",1000]",
    "[2,5,\"doc\"]",
    "[2,6,\"prefix\",b\"cursor\",1000]",
    "[2,7]",
    "[2,8,{1:f},e\"ext\",-5,true]",
    /* replies */
    "[1,0,1,\"daemon\",2,300,67108864,1024,1048576]",
    "[2,0,[70000,8],true]",
    "[2,0,[[0,\"{}\"],[1,1,0,\"v\",\"text\"],[1,0,1,\"v\",b\"data\",\"line\"]],[7,8],b\"cursor\"]",
    "[2,0,\"{}\",[7,8]]",
    "[2,0,[\"a\",\"b\",\"c\"],b\"cursor\"]",
    "[2,0,{\"a\":1,\"b\":\"x\",\"c\":{\"d\":2}}]",
    "[2,300,\"message\",0,[7,8]]",
    "[1,102,\"message\",nil,1,2]",
    "[1,504,\"message\",nil,\"mixed-layouts\"]",
    "[0,1]",
    "[0,101,\"message\"]",
};

static void expect_inside(struct span frame, struct span view)
{
	if (view.size > 0)
		cr_assert(view.data >= frame.data && view.data + view.size <= frame.data + frame.size);
}

static void expect_text(struct span frame, struct span view)
{
	expect_inside(frame, view);
	cr_assert(utf8_valid(view));
}

/* A list that passed holds as many whole records as it says, and nothing else. */
static void expect_records(struct span frame, const struct record_list *list)
{
	struct record_iterator iterator = record_list_start(list);
	struct record record;
	uint32_t count = 0;

	expect_inside(frame, list->packed);
	for (; record_list_next(&iterator, &record); count++) {
		expect_text(frame, record.meta);
		expect_text(frame, record.version);
		expect_text(frame, record.lineage);
		if (record.data_is_text)
			expect_text(frame, record.data);
		else
			expect_inside(frame, record.data);
	}
	cr_assert_eq(count, list->count);
	cr_assert_eq(iterator.unpack.at, iterator.unpack.end);
}

static void decode_as_request(struct span frame)
{
	struct request request;
	const char *reason = "";
	int code = request_decode(frame, &request, &reason);

	cr_assert(code == 0 || code == ERROR_MALFORMED || code == ERROR_UNKNOWN_OP || code == ERROR_BAD_ARGUMENT);
	cr_assert_eq(code == 0, reason == NULL);
	if (code != 0)
		cr_assert(strlen(reason) > 5);
	expect_text(frame, request.document);
	if (code != 0)
		return;
	expect_records(frame, &request.records);
	expect_text(frame, request.prefix);
	expect_inside(frame, request.cursor);
	expect_inside(frame, request.hello.session);
	expect_text(frame, request.hello.client);
	expect_text(frame, request.hello.meta_table);
	expect_text(frame, request.hello.records_table);
	expect_text(frame, request.hello.store_table);
}

static void decode_as_reply(struct span frame, uint64_t operation)
{
	struct reply reply;
	struct span text;
	uint64_t id, code;

	reply_peek(frame, &id, &code);
	if (reply_decode(frame, operation, &reply) != 0)
		return;
	cr_assert_eq(reply_peek(frame, &id, &code), 0);
	cr_assert_eq(id, reply.id);
	cr_assert_eq(code, reply.id == 0 && code < 100 ? reply.event : reply.code);
	expect_text(frame, reply.message);
	expect_text(frame, reply.detail_text);
	expect_text(frame, reply.hello.daemon);
	expect_text(frame, reply.meta);
	expect_inside(frame, reply.cursor);
	expect_records(frame, &reply.records);
	for (uint32_t i = 0; i < reply.documents_count; i++) {
		cr_assert(unpack_str(&reply.documents, &text));
		expect_text(frame, text);
	}
	for (uint32_t i = 0; i < reply.stats_count; i++)
		cr_assert(unpack_str(&reply.stats, &text) && unpack_skip(&reply.stats));
}

static void decode_as_everything(struct span frame)
{
	decode_as_request(frame);
	for (uint64_t operation = 0; operation <= OPERATIONS; operation++)
		decode_as_reply(frame, operation);
}

Test(message, cut_short_anywhere_it_is_malformed)
{
	struct guarded place = guarded_make(512);
	struct buffer out = BUFFER_EMPTY;
	struct request request;
	struct reply reply;
	const char *reason;

	for (size_t i = 0; i < LENGTH(samples); i++) {
		struct span whole = notation_pack(samples[i], &out);

		decode_as_everything(guarded_copy(&place, whole));
		for (size_t size = 0; size < whole.size; size++) {
			struct span cut = guarded_copy(&place, span_of(whole.data, size));

			cr_assert_eq(request_decode(cut, &request, &reason), ERROR_MALFORMED);
			for (uint64_t operation = 0; operation < OPERATIONS; operation++)
				cr_assert_eq(reply_decode(cut, operation, &reply), ERROR_MALFORMED);
			decode_as_everything(cut);
		}
	}
	buffer_free(&out);
	guarded_free(&place);
}

Test(message, every_byte_changed_to_every_other)
{
	struct guarded place = guarded_make(512);
	struct buffer out = BUFFER_EMPTY;

	for (size_t i = 0; i < LENGTH(samples); i++) {
		struct span whole = notation_pack(samples[i], &out);

		for (size_t at = 0; at < whole.size; at++) {
			uint8_t kept = out.data[at];

			for (unsigned byte = 0; byte < 0x100; byte++) {
				out.data[at] = (uint8_t)byte;
				decode_as_everything(guarded_copy(&place, whole));
			}
			out.data[at] = kept;
		}
	}
	buffer_free(&out);
	guarded_free(&place);
}

/* Random bytes, of which many are heads, and random damage in several places. */
Test(message, garbage)
{
	static const uint8_t heads[] = {0x90, 0x91, 0x92, 0x95, 0x96, 0x9f, 0x80, 0x81, 0xdc, 0xdd, 0xde,
					0xdf, 0xa0, 0xa3, 0xd9, 0xda, 0xdb, 0xc4, 0xc6, 0xc0, 0xc2, 0xc3,
					0x00, 0x01, 0x02, 0xcc, 0xcf, 0xd3, 0xc7, 0xd4, 0xff, 0xc1};
	struct guarded place = guarded_make(512);
	struct buffer out = BUFFER_EMPTY;
	struct random random = {37};

	for (unsigned round = 0; round < 100000; round++) {
		if (round % 2 == 0) {
			notation_pack(samples[random_below(&random, LENGTH(samples))], &out);
			for (uint32_t i = random_below(&random, 6); i > 0; i--)
				out.data[random_below(&random, (uint32_t)out.size)] =
				    heads[random_below(&random, LENGTH(heads))];
		} else {
			buffer_reset(&out);
			for (uint32_t i = random_below(&random, 60); i > 0; i--)
				buffer_append_byte(&out, heads[random_below(&random, LENGTH(heads))]);
		}
		decode_as_everything(guarded_copy(&place, buffer_span(&out)));
	}
	buffer_free(&out);
	guarded_free(&place);
}

/* ---- memory ---- */

static void decode_and_walk(struct span frame)
{
	struct request request;
	struct record_iterator iterator;
	struct record record;
	const char *reason;
	uint32_t count = 0;

	if (request_decode(frame, &request, &reason) != 0)
		return;
	iterator = record_list_start(&request.records);
	while (record_list_next(&iterator, &record))
		count++;
	cr_assert_eq(count, request.records.count);
}

Test(message, decoding_allocates_nothing)
{
	struct request request = {
	    .id = 2, .operation = OPERATION_APPEND, .document = SPAN_LITERAL("doc"), .durability = DURABILITY_DEFAULT};
	static struct record records[1024];
	struct buffer out = BUFFER_EMPTY, page_out = BUFFER_EMPTY;
	size_t mebibyte = 1u << 20;
	uint8_t *data = malloc(mebibyte);
	struct reply reply;
	struct page page;

	cr_assert_not_null(data);
	memset(data, 'x', mebibyte);
	records[0] = (struct record){
	    .type = RECORD_ENTRY, .version = SPAN_LITERAL("v"), .data = span_of(data, mebibyte), .data_is_text = true};
	request_encode(&out, &request, records, 1);
	cr_assert_gt(out.size, mebibyte);
	allocations_made = 0;
	decode_and_walk(span_of(out.data + FRAME_HEADER_SIZE, out.size - FRAME_HEADER_SIZE));
	cr_assert_eq(allocations_made, 0, "one record of 1 MiB");

	for (size_t i = 0; i < LENGTH(records); i++)
		records[i] =
		    (struct record){.type = RECORD_ENTRY, .version = SPAN_LITERAL("v"), .data = span_of(data, 1024)};
	buffer_reset(&out);
	request_encode(&out, &request, records, LENGTH(records));
	page_begin(&page_out, 2, &page);
	for (page.count = 0; page.count < LENGTH(records); page.count++)
		record_pack(&page_out, &records[page.count]);
	page_end_records(&page_out, &page, (struct position){0, 1024}, false, SPAN_NONE);
	allocations_made = 0;
	decode_and_walk(span_of(out.data + FRAME_HEADER_SIZE, out.size - FRAME_HEADER_SIZE));
	cr_assert_eq(reply_decode(span_of(page_out.data + 4, page_out.size - 4), OPERATION_LOAD_ALL, &reply), 0);
	cr_assert_eq(reply.records.count, LENGTH(records));
	decode_and_walk(SPAN_LITERAL("\xdd\xff\xff\xff\xff"));
	decode_and_walk(SPAN_LITERAL("\x96\x02\x01\xa1"
				     "d\xdd\x7f\xff\xff\xff\xc0\xc0"));
	cr_assert_eq(allocations_made, 0, "1,024 records of 1 KiB, and bombs");
	free(data);
	buffer_free(&out);
	buffer_free(&page_out);
}

Test(message, encoding_reserves_once)
{
	struct request request = {
	    .id = 2, .operation = OPERATION_APPEND, .document = SPAN_LITERAL("doc"), .durability = DURABILITY_DEFAULT};
	static uint8_t data[300000];
	struct record record = {
	    .type = RECORD_ENTRY, .version = SPAN_LITERAL("v"), .data = span_of(data, sizeof(data))};
	struct buffer out = BUFFER_EMPTY;

	allocations_made = 0;
	request_encode(&out, &request, &record, 1);
	cr_assert_leq(allocations_made, 2);
	buffer_reset(&out);
	allocations_made = 0;
	request_encode(&out, &request, &record, 1);
	for (unsigned i = 0; i < 1000; i++)
		reply_encode_write(&out, i, (struct position){i, i}, false);
	cr_assert_leq(allocations_made, 1, "a buffer that is used again asks for nothing more");
	buffer_free(&out);
}

/* Whichever allocation is the last that succeeds, an encoder ends with a failed buffer or a whole frame, never with
 * half a frame. */
Test(message, encoders_survive_a_lack_of_memory)
{
	struct buffer out = BUFFER_EMPTY;
	unsigned failed = 0;

	for (unsigned long granted = 0; granted < 10; granted++) {
		for (unsigned round = 0; round < 400; round++) {
			struct random random = {round + 1};
			struct record records[RECORDS_MAX + 1];
			struct request request = random_request(&random, round % OPERATIONS);
			size_t count = random_records(&random, request.operation, records);

			allocations_until_failure = granted + 1;
			if (round % 2 == 0)
				request_encode(&out, &request, records, count);
			else
				encode_random_reply(&random, &out, round / 2 % OPERATIONS);
			allocations_until_failure = 0;
			failed += out.failed;
			if (!out.failed)
				cr_assert_eq(frame_length(out.data), out.size - FRAME_HEADER_SIZE);
			buffer_free(&out);
		}
		if (granted == 0)
			cr_assert_eq(failed, 400, "without memory nothing is written");
	}
}
