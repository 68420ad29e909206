/*
 * reply: both directions of what a daemon answers. A client checks it as strictly as a daemon checks a request.
 */
#include "protocol/elements.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/pack.h"
#include "protocol/utf8.h"

/* The second element of an unasked message is an event below this and an error from it on. */
#define ERROR_CODE_LOWEST 100

/* ---- decoding ---- */

static bool take_uint_or_nil(struct elements *elements, uint64_t *out)
{
	return element_uint(elements, out) || element_nil(elements);
}

static bool take_str_or_nil(struct elements *elements, struct span *out)
{
	return element_str(elements, out) || element_nil(elements);
}

static bool decode_hello(struct elements *results, struct hello_reply *hello)
{
	return element_uint(results, &hello->version) && take_str_or_nil(results, &hello->daemon) &&
	       take_uint_or_nil(results, &hello->layout) && hello->layout <= LAYOUT_2 &&
	       take_uint_or_nil(results, &hello->through) && take_uint_or_nil(results, &hello->frame_limit) &&
	       take_uint_or_nil(results, &hello->in_flight_limit) && take_uint_or_nil(results, &hello->page_limit);
}

static bool take_cursor(struct elements *results, struct reply *reply)
{
	reply->has_cursor = element_bin(results, &reply->cursor);
	return reply->has_cursor || element_nil(results);
}

static bool decode_meta(struct elements *results, struct reply *reply)
{
	reply->has_meta = element_str(results, &reply->meta);
	return (reply->has_meta || element_nil(results)) && element_position(results, &reply->at);
}

static bool decode_documents(struct elements *results, struct reply *reply)
{
	struct elements documents;
	struct span document;

	if (results->left == 0 || !elements_enter(&results->unpack, &documents))
		return false;
	reply->documents = documents.unpack;
	reply->documents_count = documents.left;
	while (documents.left > 0) {
		if (!element_str(&documents, &document))
			return false;
	}
	results->unpack = documents.unpack;
	results->left--;
	return take_cursor(results, reply);
}

static bool decode_stats(struct elements *results, struct reply *reply)
{
	struct unpack unpack;
	struct span name;

	if (!element_map(results, &reply->stats, &reply->stats_count))
		return false;
	unpack = reply->stats;
	for (uint32_t i = 0; i < reply->stats_count; i++) {
		if (!unpack_str(&unpack, &name) || !unpack_skip(&unpack))
			return false;
	}
	return true;
}

static bool decode_results(struct elements *results, uint64_t operation, struct reply *reply)
{
	switch (operation) {
	case OPERATION_HELLO:
		return decode_hello(results, &reply->hello);
	case OPERATION_APPEND:
	case OPERATION_REPLACE:
	case OPERATION_DELETE:
		return element_position(results, &reply->at) &&
		       (element_bool(results, &reply->duplicate) || element_nil(results));
	case OPERATION_LOAD_ALL:
		return element_records(results, &reply->records) == NULL && element_position(results, &reply->at) &&
		       take_cursor(results, reply);
	case OPERATION_CURRENT_META:
		return decode_meta(results, reply);
	case OPERATION_LIST_DOC_IDS:
		return decode_documents(results, reply);
	case OPERATION_STATS:
		return decode_stats(results, reply);
	default:
		return true;
	}
}

static bool decode_error(struct elements *elements, struct reply *reply)
{
	uint64_t outcome;

	if (!take_str_or_nil(elements, &reply->message))
		return false;
	if (element_uint(elements, &outcome)) {
		if (outcome > OUTCOME_UNKNOWN)
			return false;
		reply->outcome = (enum error_outcome)outcome;
	} else if (!element_nil(elements)) {
		return false;
	}
	switch (reply->code) {
	case ERROR_CONFLICT:
		reply->has_detail_position = element_position(elements, &reply->detail_position);
		return reply->has_detail_position || element_nil(elements);
	case ERROR_NO_COMMON_VERSION:
		return take_uint_or_nil(elements, &reply->detail_lowest) &&
		       take_uint_or_nil(elements, &reply->detail_highest);
	case ERROR_INCOMPATIBLE_FORMAT:
		return take_str_or_nil(elements, &reply->detail_text);
	default:
		return true;
	}
}

static bool decode_start(struct span bytes, struct elements *elements, uint64_t *id, uint64_t *code)
{
	struct unpack unpack = unpack_start(bytes);

	return elements_enter(&unpack, elements) && element_uint(elements, id) && element_uint(elements, code);
}

int reply_peek(struct span bytes, uint64_t *id, uint64_t *code)
{
	struct elements elements;

	return decode_start(bytes, &elements, id, code) ? 0 : ERROR_MALFORMED;
}

int reply_decode(struct span bytes, uint64_t operation, struct reply *reply)
{
	struct elements elements;
	bool good;

	memset(reply, 0, sizeof(*reply));
	reply->outcome = OUTCOME_NONE;
	if (!unpack_check(bytes) || !decode_start(bytes, &elements, &reply->id, &reply->code))
		return ERROR_MALFORMED;
	if (reply->id == 0 && reply->code < ERROR_CODE_LOWEST) {
		reply->event = reply->code;
		reply->code = 0;
		return 0;
	}
	good = reply->code == 0 ? decode_results(&elements, operation, reply) : decode_error(&elements, reply);
	return good ? 0 : ERROR_MALFORMED;
}

/* ---- encoding ---- */

/* Every reply starts with its id and 0 or an error; @count elements in all, about @size bytes beside the heads. */
static size_t begin(struct buffer *out, size_t size, size_t count, uint64_t id, uint64_t code)
{
	size_t mark;

	buffer_reserve(out, size <= SIZE_MAX - PACK_HEADS_SIZE ? size + PACK_HEADS_SIZE : size);
	mark = frame_begin(out);
	pack_array(out, count);
	pack_uint(out, id);
	pack_uint(out, code);
	return mark;
}

void reply_encode_empty(struct buffer *out, uint64_t id)
{
	frame_end(out, begin(out, 0, 2, id, ERROR_NONE));
}

void reply_encode_hello(struct buffer *out, uint64_t id, const struct hello_reply *hello)
{
	size_t mark = begin(out, hello->daemon.size, 9, id, ERROR_NONE);

	pack_uint(out, hello->version);
	if (hello->daemon.size > 0)
		pack_str(out, hello->daemon);
	else
		pack_nil(out);
	pack_uint(out, hello->layout);
	pack_uint(out, hello->through);
	pack_uint(out, hello->frame_limit);
	pack_uint(out, hello->in_flight_limit);
	pack_uint(out, hello->page_limit);
	frame_end(out, mark);
}

void reply_encode_write(struct buffer *out, uint64_t id, struct position at, bool duplicate)
{
	size_t mark = begin(out, 0, 4, id, ERROR_NONE);

	pack_position(out, at);
	pack_bool(out, duplicate);
	frame_end(out, mark);
}

void reply_encode_meta(struct buffer *out, uint64_t id, bool has_meta, struct span meta, struct position at)
{
	size_t mark = begin(out, meta.size, 4, id, ERROR_NONE);

	if (has_meta)
		pack_str(out, meta);
	else
		pack_nil(out);
	pack_position(out, at);
	frame_end(out, mark);
}

void reply_encode_event(struct buffer *out, enum event_kind kind)
{
	frame_end(out, begin(out, 0, 2, 0, kind));
}

static size_t detail_count(uint64_t code, const struct error_detail *detail)
{
	if (detail == NULL)
		return 0;
	switch (code) {
	case ERROR_CONFLICT:
	case ERROR_INCOMPATIBLE_FORMAT:
		return 1;
	case ERROR_NO_COMMON_VERSION:
		return 2;
	default:
		return 0;
	}
}

static void pack_detail(struct buffer *out, uint64_t code, const struct error_detail *detail)
{
	if (code == ERROR_CONFLICT) {
		pack_position(out, detail->position);
	} else if (code == ERROR_INCOMPATIBLE_FORMAT) {
		pack_str(out, detail->text);
	} else {
		pack_uint(out, detail->lowest);
		pack_uint(out, detail->highest);
	}
}

void reply_encode_error(struct buffer *out, uint64_t id, uint64_t code, struct span message, enum error_outcome outcome,
			const struct error_detail *detail)
{
	size_t details = detail_count(code, detail), mark;

	/* A message may quote what an operating system or a database said: one that is not UTF-8 would cost the
	 * connection. */
	message.size = utf8_prefix(message);
	/* An error about the connection itself has no outcome. */
	mark = begin(out, message.size + (details > 0 ? detail->text.size : 0), id == 0 ? 3 : 4 + details, id, code);
	pack_str(out, message);
	if (id != 0) {
		if (outcome == OUTCOME_NONE)
			pack_nil(out);
		else
			pack_uint(out, (uint64_t)outcome);
		if (details > 0)
			pack_detail(out, code, detail);
	}
	frame_end(out, mark);
}

/* ---- pages ---- */

#define ARRAY_OF_4 0x94
#define ARRAY_OF_5 0x95
#define ARRAY_LONG 0xdd /* a count of four bytes follows, so that any count fits into the place left for it */

void page_begin(struct buffer *out, uint64_t id, struct page *page)
{
	static const uint8_t count[4];

	page->frame = begin(out, 0, 4, id, ERROR_NONE);
	buffer_append_byte(out, ARRAY_LONG);
	page->counted = out->size;
	page->count = 0;
	buffer_append(out, count, sizeof(count));
}

void page_document(struct buffer *out, struct span document)
{
	pack_str(out, document);
}

/* Fills in what page_begin could not know, and the end that both kinds of page share. */
static void page_end(struct buffer *out, const struct page *page, uint8_t head, bool has_cursor, struct span cursor)
{
	if (has_cursor)
		pack_bin(out, cursor);
	else
		pack_nil(out);
	if (out->failed)
		return;
	out->data[page->frame + FRAME_HEADER_SIZE] = head;
	/* An array's count is written as a frame's length is. */
	frame_put_length(out->data + page->counted, page->count);
	frame_end(out, page->frame);
}

void page_end_records(struct buffer *out, const struct page *page, struct position at, bool has_cursor,
		      struct span cursor)
{
	pack_position(out, at);
	page_end(out, page, ARRAY_OF_5, has_cursor, cursor);
}

void page_end_documents(struct buffer *out, const struct page *page, bool has_cursor, struct span cursor)
{
	page_end(out, page, ARRAY_OF_4, has_cursor, cursor);
}

/* ---- stats ---- */

size_t stats_begin(struct buffer *out, uint64_t id, uint32_t pairs)
{
	size_t mark = begin(out, 0, 3, id, ERROR_NONE);

	pack_map(out, pairs);
	return mark;
}

void stats_uint(struct buffer *out, const char *name, uint64_t value)
{
	pack_str(out, span_of_string(name));
	pack_uint(out, value);
}

void stats_text(struct buffer *out, const char *name, struct span text)
{
	pack_str(out, span_of_string(name));
	pack_str(out, text);
}

void stats_map(struct buffer *out, const char *name, uint32_t pairs, struct span packed)
{
	pack_str(out, span_of_string(name));
	pack_map(out, pairs);
	buffer_append(out, packed.data, packed.size);
}

void stats_end(struct buffer *out, size_t mark)
{
	frame_end(out, mark);
}
