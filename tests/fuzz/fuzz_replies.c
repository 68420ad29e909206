/*
 * replies: the body of a frame, read as the answer to an operation; the first byte says which.
 *
 * What is a reply lies within its bytes and is the same after the daemon's encoders wrote it and it was read again.
 * Nothing is allocated, and what is peeked is what is read.
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

static void check(const struct reply *reply, struct span body)
{
	struct record_iterator iterator = record_list_start(&reply->records);
	struct record record;
	uint32_t count = 0;

	check_text(reply->message, body);
	check_text(reply->detail_text, body);
	check_text(reply->meta, body);
	check_text(reply->hello.daemon, body);
	MUST(is_within(reply->cursor, body), "cursor outside");
	MUST(is_within(reply->records.packed, body), "records outside");
	MUST(reply->outcome >= OUTCOME_NONE && reply->outcome <= OUTCOME_UNKNOWN, "outcome");
	while (record_list_next(&iterator, &record))
		count++;
	MUST(count == reply->records.count && count <= body.size, "%u of %u records", count, reply->records.count);
	MUST(reply->documents_count <= body.size && reply->stats_count <= body.size, "more than there are bytes");
}

/* ---- written anew, by what the daemon has for it ---- */

static void encode_error(struct buffer *out, const struct reply *reply)
{
	const struct error_detail detail = {
	    .position = reply->detail_position,
	    .text = reply->detail_text,
	    .lowest = reply->detail_lowest,
	    .highest = reply->detail_highest,
	};

	reply_encode_error(out, reply->id, reply->code, reply->message, reply->outcome, &detail);
}

static void encode_records(struct buffer *out, const struct reply *reply)
{
	struct record_iterator iterator = record_list_start(&reply->records);
	struct record record;
	struct page page;

	page_begin(out, reply->id, &page);
	for (; record_list_next(&iterator, &record); page.count++)
		record_pack(out, &record);
	page_end_records(out, &page, reply->at, reply->has_cursor, reply->cursor);
}

static void encode_documents(struct buffer *out, const struct reply *reply)
{
	struct unpack documents = reply->documents;
	struct span document = SPAN_NONE;
	struct page page;

	page_begin(out, reply->id, &page);
	for (; page.count < reply->documents_count; page.count++) {
		MUST(unpack_str(&documents, &document), "document %u", page.count);
		page_document(out, document);
	}
	page_end_documents(out, &page, reply->has_cursor, reply->cursor);
}

/* False: nothing of the daemon's writes this. */
static bool encode(struct buffer *out, const struct reply *reply, uint64_t operation)
{
	if (reply->id == 0 && reply->code == 0) {
		reply_encode_event(out, (enum event_kind)reply->event);
		return reply->event == EVENT_DRAINING;
	}
	if (reply->code != 0) {
		encode_error(out, reply);
		return true;
	}
	switch (operation) {
	case OPERATION_HELLO:
		reply_encode_hello(out, reply->id, &reply->hello);
		return true;
	case OPERATION_APPEND:
	case OPERATION_REPLACE:
	case OPERATION_DELETE:
		reply_encode_write(out, reply->id, reply->at, reply->duplicate);
		return true;
	case OPERATION_LOAD_ALL:
		encode_records(out, reply);
		return true;
	case OPERATION_CURRENT_META:
		reply_encode_meta(out, reply->id, reply->has_meta, reply->meta, reply->at);
		return true;
	case OPERATION_LIST_DOC_IDS:
		encode_documents(out, reply);
		return true;
	case OPERATION_STATS: /* made of the daemon's own counters */
		return false;
	default:
		reply_encode_empty(out, reply->id);
		return true;
	}
}

static bool same_documents(const struct reply *a, const struct reply *b)
{
	struct unpack of_a = a->documents, of_b = b->documents;
	struct span document_a = SPAN_NONE, document_b = SPAN_NONE;

	if (a->documents_count != b->documents_count)
		return false;
	for (uint32_t i = 0; i < a->documents_count; i++) {
		if (!unpack_str(&of_a, &document_a) || !unpack_str(&of_b, &document_b) ||
		    !span_equal(document_a, document_b))
			return false;
	}
	return true;
}

static bool same_hello(const struct hello_reply *a, const struct hello_reply *b)
{
	return a->version == b->version && span_equal(a->daemon, b->daemon) && a->through == b->through &&
	       a->layout == b->layout && a->frame_limit == b->frame_limit && a->in_flight_limit == b->in_flight_limit &&
	       a->page_limit == b->page_limit;
}

/* About the connection itself there is neither outcome nor detail, so they need not come back. */
static bool same_error(const struct reply *a, const struct reply *b)
{
	if (a->code != b->code || !span_equal(a->message, b->message))
		return false;
	return a->id == 0 || (a->outcome == b->outcome && same_position(a->detail_position, b->detail_position) &&
			      span_equal(a->detail_text, b->detail_text) && a->detail_lowest == b->detail_lowest &&
			      a->detail_highest == b->detail_highest);
}

static bool same_reply(const struct reply *a, const struct reply *b)
{
	return a->id == b->id && a->event == b->event && same_error(a, b) && same_hello(&a->hello, &b->hello) &&
	       same_position(a->at, b->at) && a->duplicate == b->duplicate && same_records(&a->records, &b->records) &&
	       a->has_cursor == b->has_cursor && span_equal(a->cursor, b->cursor) && a->has_meta == b->has_meta &&
	       span_equal(a->meta, b->meta) && same_documents(a, b);
}

static void encode_and_read_again(const struct reply *reply, uint64_t operation)
{
	struct buffer out = BUFFER_EMPTY;
	struct reply again;

	if (encode(&out, reply, operation)) {
		MUST(!out.failed && frame_length(out.data) == out.size - FRAME_HEADER_SIZE, "a frame of %zu", out.size);
		MUST(reply_decode(span_of(out.data + FRAME_HEADER_SIZE, out.size - FRAME_HEADER_SIZE), operation,
				  &again) == 0,
		     "written anew it is refused");
		MUST(same_reply(reply, &again), "it is another reply");
	}
	buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span body = span_of(data, size);
	uint64_t operation = cut_byte(&body), id = 0, code = 0;
	unsigned long allocations = allocations_made;
	struct reply reply;
	bool peeked = reply_peek(body, &id, &code) == 0, read = reply_decode(body, operation, &reply) == 0;

	MUST(allocations_made == allocations, "it allocates");
	MUST(!read || (peeked && unpack_check(body)), "no message, and yet a reply");
	if (!read)
		return 0;
	MUST(id == reply.id && code == (reply.event != 0 ? reply.event : reply.code), "peeked %llu, %llu",
	     (unsigned long long)id, (unsigned long long)code);
	check(&reply, body);
	encode_and_read_again(&reply, operation);
	return 0;
}
