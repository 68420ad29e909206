/*
 * requests: the body of a frame, read as a request.
 *
 * What is a request lies within its bytes, keeps its limits, and is the same after it was encoded and read again; what
 * is none is refused with a code and a reason by which a client can be answered. Nothing is allocated.
 */
#include "protocol/frame.h"
#include "protocol/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/allocations.h"

static void check_text(struct span text, struct span body)
{
	MUST(is_within(text, body), "a text outside");
	MUST(utf8_valid(text), "a text that is not UTF-8");
}

static void check_records(const struct record_list *records, struct span body)
{
	struct record_iterator iterator = record_list_start(records);
	struct record record;
	uint32_t count = 0;

	MUST(is_within(records->packed, body), "records outside");
	MUST(records->count <= records->packed.size, "%u records in %zu bytes", records->count, records->packed.size);
	for (; record_list_next(&iterator, &record); count++) {
		check_text(record.meta, body);
		check_text(record.version, body);
		check_text(record.lineage, body);
		if (record.data_is_text)
			check_text(record.data, body);
		MUST(is_within(record.data, body), "data outside");
		MUST(record.type == RECORD_ENTRY || (!record.has_lineage && record.version.size == 0),
		     "a mixed record");
	}
	MUST(count == records->count, "%u of %u records", count, records->count);
}

static void check_hello(const struct hello *hello, struct span body)
{
	const struct span tables[] = {hello->meta_table, hello->records_table, hello->store_table};

	MUST(hello->lowest >= 1 && hello->highest >= hello->lowest, "versions");
	MUST(hello->layout <= LAYOUT_2 && hello->access <= ACCESS_EXCLUSIVE, "layout, access");
	MUST(!hello->has_session || hello->session.size == SESSION_SIZE, "session");
	MUST(is_within(hello->session, body), "session outside");
	MUST(hello->layout != LAYOUT_1 || hello->store_table.size == 0, "layout 1 has no such table");
	check_text(hello->client, body);
	for (unsigned i = 0; i < 3; i++) {
		check_text(tables[i], body);
		MUST(tables[i].size == 0 || memchr(tables[i].data, 0, tables[i].size) == NULL, "NUL in a name");
		MUST(tables[i].size < 7 || strncasecmp((const char *)tables[i].data, "sqlite_", 7) != 0,
		     "a name of SQLite's");
	}
}

static void check(const struct request *request, struct span body)
{
	MUST(request->id >= 1 && (request->operation == OPERATION_HELLO) == (request->id == HELLO_ID), "id");
	MUST(request->durability >= DURABILITY_DEFAULT && request->durability <= DURABILITY_SYNCED, "durability");
	MUST(request->operation != OPERATION_APPEND || request->records.count > 0, "an append of nothing");
	MUST(is_within(request->cursor, body), "cursor outside");
	check_text(request->document, body);
	check_text(request->prefix, body);
	check_records(&request->records, body);
	if (request->operation == OPERATION_HELLO)
		check_hello(&request->hello, body);
}

static bool same_hello(const struct hello *a, const struct hello *b)
{
	return a->lowest == b->lowest && a->highest == b->highest && span_equal(a->client, b->client) &&
	       span_equal(a->meta_table, b->meta_table) && span_equal(a->records_table, b->records_table) &&
	       span_equal(a->store_table, b->store_table) && a->layout == b->layout && a->create == b->create &&
	       a->access == b->access && a->has_session == b->has_session && span_equal(a->session, b->session);
}

static bool same_request(const struct request *a, const struct request *b)
{
	return a->id == b->id && a->operation == b->operation && span_equal(a->document, b->document) &&
	       same_records(&a->records, &b->records) && a->durability == b->durability &&
	       a->has_expect == b->has_expect && same_position(a->expect, b->expect) &&
	       a->has_cursor == b->has_cursor && span_equal(a->cursor, b->cursor) && a->limit == b->limit &&
	       span_equal(a->prefix, b->prefix) && same_hello(&a->hello, &b->hello);
}

/* What a client that means the same would send. */
static void encode(struct buffer *out, const struct request *request)
{
	struct record_iterator iterator = record_list_start(&request->records);
	struct record *records = calloc(request->records.count + 1, sizeof(*records));

	MUST(records != NULL, "no memory");
	for (uint32_t i = 0; i < request->records.count; i++)
		record_list_next(&iterator, &records[i]);
	request_encode(out, request, records, request->records.count);
	MUST(!out->failed && frame_length(out->data) == out->size - FRAME_HEADER_SIZE, "a frame of %zu", out->size);
	free(records);
}

static struct span body_of(const struct buffer *frame)
{
	return span_of(frame->data + FRAME_HEADER_SIZE, frame->size - FRAME_HEADER_SIZE);
}

static void encode_and_read_again(const struct request *request)
{
	struct buffer first = BUFFER_EMPTY, second = BUFFER_EMPTY;
	struct request again;
	const char *reason = "";

	encode(&first, request);
	MUST(request_decode(body_of(&first), &again, &reason) == 0, "%s", reason);
	MUST(same_request(request, &again), "it is another request");
	encode(&second, &again);
	MUST(span_equal(buffer_span(&first), buffer_span(&second)), "other bytes for the same");
	buffer_free(&first);
	buffer_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span body = span_of(data, size);
	unsigned long allocations = allocations_made;
	struct request request;
	const char *reason = NULL;
	int code = request_decode(body, &request, &reason);

	MUST(allocations_made == allocations, "it allocates");
	switch (code) {
	case 0:
		check(&request, body);
		encode_and_read_again(&request);
		break;
	case ERROR_UNKNOWN_OP:
		MUST(request.operation > OPERATION_RESUME, "%llu is known", (unsigned long long)request.operation);
		break;
	case ERROR_BAD_ARGUMENT:
		MUST(request.operation <= OPERATION_RESUME, "%llu is not known", (unsigned long long)request.operation);
		check_text(request.document, body);
		break;
	default:
		MUST(code == ERROR_MALFORMED, "code %d", code);
	}
	MUST(code == 0 || (reason != NULL && *reason != '\0'), "no reason");
	MUST(unpack_check(body) || code == ERROR_MALFORMED, "not msgpack, and code %d", code);
	return 0;
}
