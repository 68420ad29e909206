#include "daemon/row.h"

#include "protocol/json.h"
#include "protocol/utf8.h"

/* A cursor over the text of an entry's payload that looks as the reference writes it. */
struct scan {
	const uint8_t *at;
	const uint8_t *end;
};

/* A string between its quotes. */
struct scanned {
	struct span text;
	bool escaped; /* holds a backslash: what it means must be decoded */
	bool foreign; /* holds a byte above U+007F: must be checked as UTF-8 */
};

static const char KIND_KEY[] = "{\"kind\":";
static const char ENCODING_KEY[] = ",\"encoding\":";
static const char VERSION_KEY[] = ",\"version\":";
static const char DATA_KEY[] = ",\"data\":";
static const char LINEAGE_KEY[] = ",\"lineage\":";
static const char EPOCH_KEY[] = ",\"epoch\":";

static const struct span META = {(const uint8_t *)"meta", 4};
static const struct span ENTRY = {(const uint8_t *)"entry", 5};

#define BYTES(byte) ((uint64_t)(byte)*UINT64_C(0x0101010101010101))

/* The high bit of each byte of @word that is zero (and perhaps of some after it: only the first one counts). */
static inline uint64_t zero_bytes(uint64_t word)
{
	return (word - BYTES(0x01)) & ~word & BYTES(0x80);
}

/*
 * Passes over bytes that stand for themselves in a JSON string: stops at a quote, a backslash or a control character.
 * Eight bytes at a time, since this is where the bytes of every entry that is read go through.
 */
static const uint8_t *skip_plain(const uint8_t *at, const uint8_t *end, bool *foreign)
{
	uint64_t high = 0;

	while (end - at >= 8) {
		uint64_t word;

		memcpy(&word, at, sizeof(word));
		/* A byte below 0x20 borrows when 0x20 is taken away; those above 0x7f are masked out. */
		uint64_t special = zero_bytes(word ^ BYTES('"')) | zero_bytes(word ^ BYTES('\\')) |
				   ((word - BYTES(0x20)) & ~word & BYTES(0x80));
		if (special != 0)
			break;
		high |= word;
		at += 8;
	}
	while (at < end && *at != '"' && *at != '\\' && *at >= 0x20)
		high |= *at++;
	if ((high & BYTES(0x80)) != 0)
		*foreign = true;
	return at;
}

static bool scan_literal(struct scan *scan, const char *literal, size_t size)
{
	if ((size_t)(scan->end - scan->at) < size || memcmp(scan->at, literal, size) != 0)
		return false;
	scan->at += size;
	return true;
}

#define SCAN_LITERAL(scan, literal) scan_literal(scan, literal, sizeof(literal) - 1)

static bool is_hex(uint8_t byte)
{
	return (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'f');
}

/* The escape whose backslash is here. */
static bool scan_escape(struct scan *scan)
{
	const uint8_t *at = scan->at;

	if (scan->end - at < 2)
		return false;
	switch (at[1]) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		scan->at += 2;
		return true;
	case 'u':
		if (scan->end - at < 6 || !is_hex(at[2]) || !is_hex(at[3]) || !is_hex(at[4]) || !is_hex(at[5]))
			return false;
		scan->at += 6;
		return true;
	default:
		return false;
	}
}

/* The string that begins here, checked but for its UTF-8. */
static bool scan_string(struct scan *scan, struct scanned *string)
{
	*string = (struct scanned){SPAN_NONE, false, false};
	if (!SCAN_LITERAL(scan, "\""))
		return false;
	const uint8_t *start = scan->at;

	for (;;) {
		scan->at = skip_plain(scan->at, scan->end, &string->foreign);
		if (scan->at == scan->end || *scan->at < 0x20)
			return false;
		if (*scan->at == '"')
			break;
		string->escaped = true;
		if (!scan_escape(scan))
			return false;
	}
	string->text = span_of(start, (size_t)(scan->at - start));
	scan->at++;
	return true;
}

/*
 * What a scanned string means: in place, or decoded to @scratch, which has room for all that the payload can mean, so
 * that spans into it stay good. False if it is no valid UTF-8.
 */
static bool scanned_characters(struct scanned string, struct buffer *scratch, struct span *characters)
{
	if (string.foreign && !utf8_valid(string.text))
		return false;
	if (!string.escaped) {
		*characters = string.text;
		return true;
	}
	struct json_value quoted = {JSON_STRING, {string.text.data - 1, string.text.size + 2}};
	size_t start = scratch->size;

	json_string_decode(quoted, scratch);
	*characters = span_of(scratch->data + start, scratch->size - start);
	return true;
}

/* Reads a payload exactly as the reference writes it. False: it is something else, good or bad; read it the long way.
 */
static bool decode_canonical(const struct engine_row *row, struct buffer *scratch, struct record *record)
{
	struct scan scan = {row->payload.data, row->payload.data + row->payload.size};
	struct scanned version, data = {SPAN_NONE, false, false}, lineage = {SPAN_NONE, false, false};

	if (!SCAN_LITERAL(&scan, KIND_KEY))
		return false;
	if (SCAN_LITERAL(&scan, "\"since\""))
		record->kind = ENTRY_SINCE;
	else if (SCAN_LITERAL(&scan, "\"entirety\""))
		record->kind = ENTRY_ENTIRETY;
	else
		return false;
	if (!SCAN_LITERAL(&scan, ENCODING_KEY))
		return false;
	if (SCAN_LITERAL(&scan, "\"json\""))
		record->encoding = ENCODING_JSON;
	else if (SCAN_LITERAL(&scan, "\"binary\""))
		record->encoding = ENCODING_BINARY;
	else
		return false;
	if (!SCAN_LITERAL(&scan, VERSION_KEY) || !scan_string(&scan, &version))
		return false;
	record->data_is_text = !row->has_blob;
	if (record->data_is_text && (!SCAN_LITERAL(&scan, DATA_KEY) || !scan_string(&scan, &data)))
		return false;
	record->has_lineage = SCAN_LITERAL(&scan, LINEAGE_KEY) || SCAN_LITERAL(&scan, EPOCH_KEY);
	if (record->has_lineage && !scan_string(&scan, &lineage))
		return false;
	if (!SCAN_LITERAL(&scan, "}") || scan.at != scan.end)
		return false;

	if ((version.escaped || data.escaped || lineage.escaped) && !buffer_reserve(scratch, row->payload.size))
		return false;
	record->data = row->blob;
	return scanned_characters(version, scratch, &record->version) &&
	       (!record->data_is_text || scanned_characters(data, scratch, &record->data)) &&
	       (!record->has_lineage || scanned_characters(lineage, scratch, &record->lineage));
}

/* The characters of a member that must be a string. */
static bool member_characters(struct json_value object, const char *name, struct buffer *scratch,
			      struct span *characters)
{
	struct json_value value;

	if (!json_member(object, name, &value) || value.type != JSON_STRING)
		return false;
	if (json_string_plain(value, characters))
		return true;
	size_t start = scratch->size;

	json_string_decode(value, scratch);
	*characters = span_of(scratch->data + start, scratch->size - start);
	return true;
}

/* "lineage", or as 2.2.0 called it "epoch"; null as good as not there. */
static bool member_lineage(struct json_value object, struct buffer *scratch, struct record *record)
{
	struct json_value value;
	const char *name = "lineage";

	if (!json_member(object, name, &value)) {
		name = "epoch";
		if (!json_member(object, name, &value))
			return true;
	}
	if (value.type == JSON_NULL)
		return true;
	record->has_lineage = true;
	return member_characters(object, name, scratch, &record->lineage);
}

/* Reads a payload of any order, with any white space and any other members. */
static int decode_general(const struct engine_row *row, struct buffer *scratch, struct record *record,
			  const char **reason)
{
	struct json_value object, kind, encoding;

	*reason = "the payload is not a JSON object";
	if (!json_check(row->payload, JSON_DEPTH_MAX))
		return ERROR_CORRUPT;
	object = json_root(row->payload);
	if (object.type != JSON_OBJECT)
		return ERROR_CORRUPT;
	/* Decoded text is never longer than what stands for it, so that no later string moves an earlier one. */
	if (!buffer_reserve(scratch, row->payload.size))
		return ERROR_IO_ERROR;

	*reason = "the payload's kind is neither entirety nor since";
	if (!json_member(object, "kind", &kind))
		return ERROR_CORRUPT;
	if (json_string_is(kind, "since"))
		record->kind = ENTRY_SINCE;
	else if (json_string_is(kind, "entirety"))
		record->kind = ENTRY_ENTIRETY;
	else
		return ERROR_CORRUPT;

	*reason = "the payload's encoding is neither json nor binary";
	if (!json_member(object, "encoding", &encoding))
		return ERROR_CORRUPT;
	if (json_string_is(encoding, "json"))
		record->encoding = ENCODING_JSON;
	else if (json_string_is(encoding, "binary"))
		record->encoding = ENCODING_BINARY;
	else
		return ERROR_CORRUPT;

	*reason = "the payload's version is not a string";
	if (!member_characters(object, "version", scratch, &record->version))
		return ERROR_CORRUPT;
	*reason = "there is neither a blob nor a string in the payload's data";
	record->data_is_text = !row->has_blob;
	record->data = row->blob;
	if (record->data_is_text && !member_characters(object, "data", scratch, &record->data))
		return ERROR_CORRUPT;
	*reason = "the payload's lineage is not a string";
	if (!member_lineage(object, scratch, record))
		return ERROR_CORRUPT;
	return 0;
}

static int decode_meta(const struct engine_row *row, struct record *record, const char **reason)
{
	*reason = "the metadata is not a JSON object";
	if (!json_check(row->payload, JSON_DEPTH_MAX) || json_root(row->payload).type != JSON_OBJECT)
		return ERROR_CORRUPT;
	record->type = RECORD_META;
	record->meta = row->payload;
	return 0;
}

int row_decode(const struct engine_row *row, struct buffer *scratch, struct record *record, const char **reason)
{
	int code;

	*record = (struct record){.type = RECORD_ENTRY};
	buffer_reset(scratch);
	*reason = "the row has no payload";
	if (!row->has_payload)
		return ERROR_CORRUPT;
	if (span_equal(row->kind, META))
		return decode_meta(row, record, reason);
	*reason = "the row is neither meta nor entry";
	if (!span_equal(row->kind, ENTRY))
		return ERROR_CORRUPT;
	if (decode_canonical(row, scratch, record))
		return 0;

	*record = (struct record){.type = RECORD_ENTRY};
	buffer_reset(scratch);
	code = decode_general(row, scratch, record, reason);
	if (scratch->failed) {
		*reason = "there is no memory";
		return ERROR_IO_ERROR;
	}
	return code;
}

#define APPEND_LITERAL(buffer, literal) buffer_append(buffer, literal, sizeof(literal) - 1)

/* What every payload begins with, up to the version. */
static struct span payload_head(const struct record *record)
{
#define HEAD(kind, encoding) SPAN_LITERAL("{\"kind\":\"" kind "\",\"encoding\":\"" encoding "\",\"version\":")
	if (record->kind == ENTRY_SINCE)
		return record->encoding == ENCODING_JSON ? HEAD("since", "json") : HEAD("since", "binary");
	return record->encoding == ENCODING_JSON ? HEAD("entirety", "json") : HEAD("entirety", "binary");
#undef HEAD
}

int row_encode(const struct record *record, struct buffer *scratch, struct engine_row *row)
{
	struct span head;

	buffer_reset(scratch);
	if (record->type == RECORD_META) {
		*row = (struct engine_row){.kind = META, .has_payload = true, .payload = record->meta};
		return 0;
	}

	head = payload_head(record);
	buffer_append(scratch, head.data, head.size);
	json_escape(scratch, record->version);
	if (record->data_is_text) {
		APPEND_LITERAL(scratch, DATA_KEY);
		json_escape(scratch, record->data);
	}
	if (record->has_lineage) {
		APPEND_LITERAL(scratch, LINEAGE_KEY);
		json_escape(scratch, record->lineage);
	}
	APPEND_LITERAL(scratch, "}");
	if (scratch->failed)
		return ERROR_IO_ERROR;
	*row = (struct engine_row){.kind = ENTRY, .has_payload = true, .payload = buffer_span(scratch)};
	if (!record->data_is_text) {
		row->has_blob = true;
		row->blob = record->data;
	}
	return 0;
}
