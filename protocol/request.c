/*
 * request: both directions of what a client asks. The operations of PROTOCOL.md, one function per shape of arguments.
 */
#include "protocol/elements.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/pack.h"

/* ---- decoding: each returns NULL, or a static text that says what is wrong ---- */

static const char *take_document(struct elements *arguments, struct request *request)
{
	return element_str(arguments, &request->document) ? NULL : "doc must be a str";
}

static const char *take_durability(struct elements *arguments, struct request *request)
{
	uint64_t durability;

	if (element_nil(arguments))
		return NULL;
	if (!element_uint(arguments, &durability) || durability > DURABILITY_SYNCED)
		return "durability must be nil, 0 (committed) or 1 (synced)";
	request->durability = (enum durability)durability;
	return NULL;
}

static const char *take_expect(struct elements *arguments, struct request *request)
{
	if (element_nil(arguments))
		return NULL;
	request->has_expect = element_position(arguments, &request->expect);
	return request->has_expect ? NULL : "expect must be nil or [generation, next]";
}

static const char *take_cursor(struct elements *arguments, struct request *request)
{
	if (element_nil(arguments))
		return NULL;
	request->has_cursor = element_bin(arguments, &request->cursor);
	return request->has_cursor ? NULL : "cursor must be nil or a bin";
}

static const char *take_limit(struct elements *arguments, struct request *request)
{
	if (element_nil(arguments) || element_uint(arguments, &request->limit))
		return NULL;
	return "limit must be nil or a uint";
}

static const char *decode_write(struct elements *arguments, struct request *request)
{
	const char *reason = take_document(arguments, request);

	if (reason == NULL && request->operation != OPERATION_DELETE)
		reason = element_records(arguments, &request->records);
	if (reason == NULL && request->operation == OPERATION_APPEND && request->records.count == 0)
		reason = "records must not be empty";
	if (reason == NULL)
		reason = take_durability(arguments, request);
	if (reason == NULL)
		reason = take_expect(arguments, request);
	return reason;
}

static const char *decode_load_all(struct elements *arguments, struct request *request)
{
	const char *reason = take_document(arguments, request);

	if (reason == NULL)
		reason = take_cursor(arguments, request);
	if (reason == NULL)
		reason = take_limit(arguments, request);
	return reason;
}

static const char *decode_list_doc_ids(struct elements *arguments, struct request *request)
{
	const char *reason = NULL;

	if (!element_nil(arguments) && !element_str(arguments, &request->prefix))
		reason = "prefix must be nil or a str";
	if (reason == NULL)
		reason = take_cursor(arguments, request);
	if (reason == NULL)
		reason = take_limit(arguments, request);
	return reason;
}

/* ---- hello ---- */

/* Does @name start with @prefix (lower case), taking ASCII letters as the database does: without regard to case? */
static bool starts_with(struct span name, const char *prefix)
{
	size_t size = strlen(prefix);
	uint8_t byte;

	if (name.size < size)
		return false;
	for (size_t i = 0; i < size; i++) {
		byte = name.data[i];
		if (byte >= 'A' && byte <= 'Z')
			byte = (uint8_t)(byte + ('a' - 'A'));
		if (byte != (uint8_t)prefix[i])
			return false;
	}
	return true;
}

static const char *take_table(struct unpack *map, struct span *name)
{
	if (unpack_nil(map))
		return NULL;
	if (!unpack_str(map, name))
		return "store: a table name must be a str";
	if (name->size == 0)
		return "store: a table name must not be empty";
	if (memchr(name->data, 0, name->size) != NULL)
		return "store: a table name must not hold NUL";
	if (starts_with(*name, "sqlite_"))
		return "store: a table name must not start with sqlite_";
	if (starts_with(*name, "kyneta_stored"))
		return "store: a table name must not start with kyneta_stored";
	return NULL;
}

static const char *take_layout(struct unpack *map, struct hello *hello)
{
	if (unpack_nil(map))
		return NULL;
	if (!unpack_uint(map, &hello->layout) || (hello->layout != 1 && hello->layout != 2))
		return "store: layout must be 1 or 2";
	return NULL;
}

/* The value of one key; keys that are not known are passed over. */
static const char *take_store_value(struct unpack *map, struct span key, struct hello *hello)
{
	if (span_equal(key, SPAN_LITERAL("meta")))
		return take_table(map, &hello->meta_table);
	if (span_equal(key, SPAN_LITERAL("records")))
		return take_table(map, &hello->records_table);
	if (span_equal(key, SPAN_LITERAL("store")))
		return take_table(map, &hello->store_table);
	if (span_equal(key, SPAN_LITERAL("layout")))
		return take_layout(map, hello);
	if (span_equal(key, SPAN_LITERAL("create")))
		return unpack_nil(map) || unpack_bool(map, &hello->create) ? NULL : "store: create must be a bool";
	return unpack_skip(map) ? NULL : "store is cut short";
}

static const char *take_store(struct elements *arguments, struct hello *hello)
{
	struct unpack map;
	const char *reason;
	struct span key;
	uint32_t pairs;

	if (element_nil(arguments))
		return NULL;
	if (!element_map(arguments, &map, &pairs))
		return "store must be nil or a map";
	for (uint32_t i = 0; i < pairs; i++) {
		if (!unpack_str(&map, &key))
			return "store: a key must be a str";
		reason = take_store_value(&map, key, hello);
		if (reason != NULL)
			return reason;
	}
	if (hello->layout == LAYOUT_1 && hello->store_table.size > 0)
		return "store: layout 1 has no table that store could name";
	return NULL;
}

static const char *take_versions(struct elements *arguments, struct hello *hello)
{
	if (!element_uint(arguments, &hello->lowest) || hello->lowest == 0)
		return "lowest must be a uint from 1 on";
	if (!element_uint(arguments, &hello->highest) || hello->highest < hello->lowest)
		return "highest must be a uint not below lowest";
	return NULL;
}

static const char *take_session(struct elements *arguments, struct hello *hello)
{
	if (element_nil(arguments))
		return NULL;
	hello->has_session = element_bin(arguments, &hello->session) && hello->session.size == SESSION_SIZE;
	return hello->has_session ? NULL : "session must be nil or a bin of 16 bytes";
}

/* Everything behind the magic. */
static const char *decode_hello(struct elements *arguments, struct hello *hello)
{
	const char *reason = take_versions(arguments, hello);

	if (reason == NULL && !element_nil(arguments) && !element_str(arguments, &hello->client))
		reason = "client must be nil or a str";
	if (reason == NULL)
		reason = take_store(arguments, hello);
	if (reason == NULL && !element_nil(arguments) &&
	    (!element_uint(arguments, &hello->access) || hello->access > ACCESS_EXCLUSIVE))
		reason = "access must be nil, 0 (read-write), 1 (read-only) or 2 (exclusive)";
	if (reason == NULL)
		reason = take_session(arguments, hello);
	return reason;
}

static bool take_magic(struct elements *arguments)
{
	struct span magic;

	return element_str(arguments, &magic) && span_equal(magic, SPAN_LITERAL(PROTOCOL_MAGIC));
}

static const char *decode_arguments(struct elements *arguments, struct request *request)
{
	switch ((enum operation)request->operation) {
	case OPERATION_HELLO:
		return decode_hello(arguments, &request->hello);
	case OPERATION_APPEND:
	case OPERATION_REPLACE:
	case OPERATION_DELETE:
		return decode_write(arguments, request);
	case OPERATION_LOAD_ALL:
		return decode_load_all(arguments, request);
	case OPERATION_CURRENT_META:
		return take_document(arguments, request);
	case OPERATION_LIST_DOC_IDS:
		return decode_list_doc_ids(arguments, request);
	case OPERATION_CLOSE:
	case OPERATION_PING:
	case OPERATION_SYNC:
	case OPERATION_STATS:
	case OPERATION_RESUME:
		return NULL;
	}
	return "this operation is not known";
}

static bool is_known(uint64_t operation)
{
	switch (operation) {
#define X(constant, number, name) case number:
		OPERATION_LIST(X)
#undef X
		return true;
	default:
		return false;
	}
}

/* The start of every request, id and op, and the magic of a hello; NULL, or what makes it no request at all. */
static const char *decode_start(struct span bytes, struct elements *arguments, struct request *request)
{
	struct unpack unpack = unpack_start(bytes);

	if (!unpack_check(bytes))
		return "not exactly one whole msgpack value, at most four deep and with valid UTF-8";
	if (!elements_enter(&unpack, arguments) || !element_uint(arguments, &request->id) ||
	    !element_uint(arguments, &request->operation))
		return "a request must be an array that begins with two uints";
	if (request->operation == OPERATION_HELLO && !take_magic(arguments))
		return "wrong magic";
	return NULL;
}

int request_decode(struct span bytes, struct request *request, const char **reason)
{
	struct elements arguments;

	memset(request, 0, sizeof(*request));
	request->durability = DURABILITY_DEFAULT;
	request->hello.create = true;
	*reason = decode_start(bytes, &arguments, request);
	if (*reason != NULL)
		return ERROR_MALFORMED;
	if (!is_known(request->operation)) {
		*reason = "this operation is not known";
		return ERROR_UNKNOWN_OP;
	}
	*reason = decode_arguments(&arguments, request);
	if (*reason == NULL && request->operation == OPERATION_HELLO && request->id != HELLO_ID)
		*reason = "the id of hello must be 1";
	if (*reason == NULL && request->operation != OPERATION_HELLO && request->id <= HELLO_ID)
		*reason = "the id must be 2 or more";
	return *reason == NULL ? 0 : ERROR_BAD_ARGUMENT;
}

/* ---- encoding ---- */

static void pack_str_or_nil(struct buffer *out, struct span text)
{
	if (text.size > 0)
		pack_str(out, text);
	else
		pack_nil(out);
}

static void pack_bin_or_nil(struct buffer *out, bool is_there, struct span bytes)
{
	if (is_there)
		pack_bin(out, bytes);
	else
		pack_nil(out);
}

static void pack_limit(struct buffer *out, uint64_t limit)
{
	if (limit > 0)
		pack_uint(out, limit);
	else
		pack_nil(out);
}

/* The rest of every write. */
static void pack_conditions(struct buffer *out, const struct request *request)
{
	if (request->durability == DURABILITY_DEFAULT)
		pack_nil(out);
	else
		pack_uint(out, (uint64_t)request->durability);
	if (request->has_expect)
		pack_position(out, request->expect);
	else
		pack_nil(out);
}

static void pack_named_table(struct buffer *out, const char *key, struct span name)
{
	if (name.size == 0)
		return;
	pack_str(out, span_of_string(key));
	pack_str(out, name);
}

static void pack_store(struct buffer *out, const struct hello *hello)
{
	size_t pairs = (size_t)(hello->meta_table.size > 0) + (hello->records_table.size > 0) +
		       (hello->store_table.size > 0) + (hello->layout != LAYOUT_NONE) + !hello->create;

	if (pairs == 0) {
		pack_nil(out);
		return;
	}
	pack_map(out, pairs);
	pack_named_table(out, "meta", hello->meta_table);
	pack_named_table(out, "records", hello->records_table);
	pack_named_table(out, "store", hello->store_table);
	if (hello->layout != LAYOUT_NONE) {
		pack_str(out, SPAN_LITERAL("layout"));
		pack_uint(out, hello->layout);
	}
	if (!hello->create) {
		pack_str(out, SPAN_LITERAL("create"));
		pack_bool(out, false);
	}
}

static void encode_hello(struct buffer *out, const struct hello *hello)
{
	pack_str(out, SPAN_LITERAL(PROTOCOL_MAGIC));
	pack_uint(out, hello->lowest);
	pack_uint(out, hello->highest);
	pack_str_or_nil(out, hello->client);
	pack_store(out, hello);
	pack_uint(out, hello->access);
	pack_bin_or_nil(out, hello->has_session, hello->session);
}

static void encode_write(struct buffer *out, const struct request *request, const struct record *records, size_t count)
{
	size_t size = request->document.size + PACK_HEADS_SIZE;

	for (size_t i = 0; i < count; i++)
		size += record_packed_max(&records[i]);
	if (!buffer_reserve(out, size))
		return;
	pack_str(out, request->document);
	if (request->operation != OPERATION_DELETE) {
		pack_array(out, count);
		for (size_t i = 0; i < count; i++)
			record_pack(out, &records[i]);
	}
	pack_conditions(out, request);
}

static void encode_read(struct buffer *out, struct request const *request)
{
	if (request->operation == OPERATION_LIST_DOC_IDS)
		pack_str_or_nil(out, request->prefix);
	else
		pack_str(out, request->document);
	if (request->operation == OPERATION_CURRENT_META)
		return;
	pack_bin_or_nil(out, request->has_cursor, request->cursor);
	pack_limit(out, request->limit);
}

/* How many elements follow the operation. */
static size_t argument_count(enum operation operation)
{
	switch (operation) {
	case OPERATION_HELLO:
		return 7;
	case OPERATION_APPEND:
	case OPERATION_REPLACE:
		return 4;
	case OPERATION_LOAD_ALL:
	case OPERATION_DELETE:
	case OPERATION_LIST_DOC_IDS:
		return 3;
	case OPERATION_CURRENT_META:
		return 1;
	case OPERATION_CLOSE:
	case OPERATION_PING:
	case OPERATION_SYNC:
	case OPERATION_STATS:
	case OPERATION_RESUME:
		return 0;
	}
	return 0;
}

void request_encode(struct buffer *out, const struct request *request, const struct record *records, size_t count)
{
	enum operation operation = (enum operation)request->operation;
	size_t mark = frame_begin(out);

	pack_array(out, 2 + argument_count(operation));
	pack_uint(out, request->id);
	pack_uint(out, request->operation);
	switch (operation) {
	case OPERATION_HELLO:
		encode_hello(out, &request->hello);
		break;
	case OPERATION_APPEND:
	case OPERATION_REPLACE:
	case OPERATION_DELETE:
		encode_write(out, request, records, count);
		break;
	case OPERATION_LOAD_ALL:
	case OPERATION_CURRENT_META:
	case OPERATION_LIST_DOC_IDS:
		encode_read(out, request);
		break;
	case OPERATION_CLOSE:
	case OPERATION_PING:
	case OPERATION_SYNC:
	case OPERATION_STATS:
	case OPERATION_RESUME:
		break;
	}
	frame_end(out, mark);
}
