#include "client/ctl/record_json.h"

#include <openssl/evp.h>

#include "client/ctl/fields.h"

/* A multiple of 3 and of 4: pieces of base64 go together without padding between them. */
#define PIECE_BYTES ((size_t)3 << 14)

static int refuse(const char **reason, const char *text)
{
	*reason = text;
	return -1;
}

/* ---- reading ---- */

static unsigned hex4(const uint8_t *digits)
{
	unsigned value = 0;

	for (int i = 0; i < 4; i++) {
		unsigned digit = digits[i];

		value = value << 4 | (digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
	}
	return value;
}

static bool is_low_escape(const uint8_t *at, const uint8_t *end)
{
	if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
		return false;
	return (hex4(at + 2) & 0xfc00) == 0xdc00;
}

/* Has a checked string the escape of half a surrogate pair in it? */
static bool has_lone_surrogate(struct span text)
{
	const uint8_t *at = text.data;
	const uint8_t *end = text.data + text.size;

	while ((at = memchr(at, '\\', (size_t)(end - at))) != NULL) {
		unsigned unit;

		if (at[1] != 'u') {
			at += 2;
			continue;
		}
		unit = hex4(at + 2);
		at += 6;
		if ((unit & 0xf800) != 0xd800)
			continue;
		if ((unit & 0x0400) != 0 || !is_low_escape(at, end))
			return true;
		at += 6;
	}
	return false;
}

static int read_text(struct json_value value, bool expected, struct buffer *storage, struct span *text,
		     const char **reason)
{
	size_t start = storage->size;

	if (json_string_plain(value, text))
		return 0;
	if (!expected && has_lone_surrogate(value.text))
		return refuse(reason, "a string holds half a surrogate pair, which has no UTF-8");
	json_string_decode(value, storage);
	if (storage->failed)
		return refuse(reason, "no memory");
	*text = span_of(storage->data + start, storage->size - start);
	return 0;
}

int record_json_text(struct json_value value, struct buffer *storage, struct span *text, const char **reason)
{
	return read_text(value, false, storage, text, reason);
}

/* Appends the bytes that padded base64 stands for. EVP_DecodeBlock alone would let pass white space and padding inside.
 */
static bool decode_base64(struct span text, struct buffer *out)
{
	size_t padding = 0;

	if (text.size % 4 != 0)
		return false;
	while (padding < 2 && padding < text.size && text.data[text.size - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < text.size - padding; i++)
		if (text.data[i] < '+' || text.data[i] == '-' || text.data[i] == '=')
			return false;
	if (!buffer_reserve(out, text.size / 4 * 3))
		return false;
	for (size_t at = 0; at < text.size;) {
		size_t piece = text.size - at < PIECE_BYTES ? text.size - at : PIECE_BYTES;
		int got = EVP_DecodeBlock(out->data + out->size, text.data + at, (int)piece);

		if (got < 0 || (size_t)got != piece / 4 * 3)
			return false;
		out->size += (size_t)got;
		at += piece;
	}
	out->size -= padding;
	return true;
}

static int read_bytes(struct json_value object, struct buffer *storage, struct span *bytes, const char **reason)
{
	size_t start = storage->size;
	struct json_value base64;
	struct span text;

	if (object.type != JSON_OBJECT || !json_member(object, "$base64", &base64) || base64.type != JSON_STRING)
		return refuse(reason, "data is neither a string nor {\"$base64\":\"…\"}");
	if (!json_string_plain(base64, &text) || !decode_base64(text, storage))
		return refuse(reason, "data is not padded base64");
	*bytes = span_of(storage->data + start, storage->size - start);
	return 0;
}

static bool read_choice(const struct field *field, const char *const choices[2], int *choice)
{
	for (int i = 0; i < 2; i++) {
		if (field_is(field, JSON_STRING) && json_string_is(field->value, choices[i])) {
			*choice = i;
			return true;
		}
	}
	return false;
}

static int read_data(struct json_value data, bool expected, struct buffer *storage, struct kyneta_store_record *record,
		     const char **reason)
{
	struct span bytes;
	int rc;

	record->data_is_text = data.type == JSON_STRING;
	if (record->data_is_text)
		rc = read_text(data, expected, storage, &bytes, reason);
	else
		rc = read_bytes(data, storage, &bytes, reason);
	if (rc != 0)
		return rc;
	record->data = bytes.data;
	record->data_size = bytes.size;
	return 0;
}

static int read_payload(struct json_value payload, bool expected, struct buffer *storage,
			struct kyneta_store_record *record, const char **reason)
{
	static const char *const kinds[2] = {"entirety", "since"};
	static const char *const encodings[2] = {"json", "binary"};
	enum { KIND, ENCODING, DATA, LINEAGE, COUNT };
	struct field fields[COUNT] = {
	    [KIND] = {.name = "kind"},
	    [ENCODING] = {.name = "encoding"},
	    [DATA] = {.name = "data"},
	    [LINEAGE] = {.name = "lineage"},
	};
	struct span lineage;

	fields_read(payload, fields, COUNT);
	if (!read_choice(&fields[KIND], kinds, &record->kind))
		return refuse(reason, "payload.kind is neither \"entirety\" nor \"since\"");
	if (!read_choice(&fields[ENCODING], encodings, &record->encoding))
		return refuse(reason, "payload.encoding is neither \"json\" nor \"binary\"");
	if (!field_has(&fields[DATA]))
		return refuse(reason, "an entry has no data");
	if (read_data(fields[DATA].value, expected, storage, record, reason) != 0)
		return -1;
	record->has_lineage = field_has(&fields[LINEAGE]);
	if (!record->has_lineage)
		return 0;
	if (!field_is(&fields[LINEAGE], JSON_STRING))
		return refuse(reason, "payload.lineage is not a string");
	if (read_text(fields[LINEAGE].value, expected, storage, &lineage, reason) != 0)
		return -1;
	record->lineage = (const char *)lineage.data;
	record->lineage_size = lineage.size;
	return 0;
}

static int read_record(struct json_value value, bool expected, struct buffer *storage,
		       struct kyneta_store_record *record, const char **reason)
{
	enum { KIND, META, PAYLOAD, VERSION, COUNT };
	struct field fields[COUNT] = {
	    [KIND] = {.name = "kind"},
	    [META] = {.name = "meta"},
	    [PAYLOAD] = {.name = "payload"},
	    [VERSION] = {.name = "version"},
	};
	struct span version;

	*record = (struct kyneta_store_record){.type = KYNETA_STORE_META};
	if (value.type == JSON_OBJECT)
		fields_read(value, fields, COUNT);
	if (!field_is(&fields[KIND], JSON_STRING))
		return refuse(reason, "a record is an object with a kind");
	if (json_string_is(fields[KIND].value, "meta")) {
		if (!field_has(&fields[META]))
			return refuse(reason, "a record of kind \"meta\" has no meta");
		record->meta = (const char *)fields[META].value.text.data;
		record->meta_size = fields[META].value.text.size;
		return 0;
	}
	if (!json_string_is(fields[KIND].value, "entry"))
		return refuse(reason, "the kind of a record is neither \"meta\" nor \"entry\"");

	record->type = KYNETA_STORE_ENTRY;
	if (!field_is(&fields[VERSION], JSON_STRING))
		return refuse(reason, "an entry has no version that is a string");
	if (read_text(fields[VERSION].value, expected, storage, &version, reason) != 0)
		return -1;
	record->version = (const char *)version.data;
	record->version_size = version.size;
	if (!field_is(&fields[PAYLOAD], JSON_OBJECT))
		return refuse(reason, "an entry has no payload that is an object");
	return read_payload(fields[PAYLOAD].value, expected, storage, record, reason);
}

int record_json_read(struct json_value value, struct buffer *storage, struct kyneta_store_record *record,
		     const char **reason)
{
	return read_record(value, false, storage, record, reason);
}

int record_json_read_expected(struct json_value value, struct buffer *storage, struct kyneta_store_record *record,
			      const char **reason)
{
	return read_record(value, true, storage, record, reason);
}

/* ---- writing ---- */

static void put(FILE *file, const char *text)
{
	fputs(text, file);
}

/* The longest beginning of @text of at most @size bytes that does not end inside a character. */
static size_t whole_characters(struct span text, size_t size)
{
	if (text.size <= size)
		return text.size;
	while (size > 0 && (text.data[size] & 0xc0) == 0x80)
		size--;
	return size;
}

bool record_json_write_string(FILE *file, struct buffer *scratch, struct span text)
{
	putc('"', file);
	while (text.size > 0) {
		size_t piece = whole_characters(text, PIECE_BYTES);

		buffer_reset(scratch);
		json_escape(scratch, span_of(text.data, piece));
		if (scratch->failed)
			return false;
		fwrite(scratch->data + 1, 1, scratch->size - 2, file);
		text.data += piece;
		text.size -= piece;
	}
	putc('"', file);
	return true;
}

static bool write_base64(FILE *file, struct buffer *scratch, struct span bytes)
{
	buffer_reset(scratch);
	if (!buffer_reserve(scratch, PIECE_BYTES / 3 * 4 + 1))
		return false;
	for (size_t at = 0; at < bytes.size;) {
		size_t piece = bytes.size - at < PIECE_BYTES ? bytes.size - at : PIECE_BYTES;
		int size = EVP_EncodeBlock(scratch->data, bytes.data + at, (int)piece);

		fwrite(scratch->data, 1, (size_t)size, file);
		at += piece;
	}
	return true;
}

/* Line feeds can stand only between the tokens of JSON, where a space means the same. */
static void write_meta(FILE *file, struct span meta)
{
	size_t start = 0;

	for (size_t i = 0; i < meta.size; i++) {
		if (meta.data[i] != '\n' && meta.data[i] != '\r')
			continue;
		fwrite(meta.data + start, 1, i - start, file);
		putc(' ', file);
		start = i + 1;
	}
	fwrite(meta.data + start, 1, meta.size - start, file);
}

bool record_json_write(FILE *file, struct buffer *scratch, const struct kyneta_store_record *record)
{
	struct span data = span_of(record->data, record->data_size);
	bool written;

	if (record->type == KYNETA_STORE_META) {
		put(file, "{\"kind\":\"meta\",\"meta\":");
		write_meta(file, span_of(record->meta, record->meta_size));
		put(file, "}");
		return true;
	}
	put(file, "{\"kind\":\"entry\",\"payload\":{\"kind\":");
	put(file, record->kind == KYNETA_STORE_SINCE ? "\"since\"" : "\"entirety\"");
	put(file, ",\"encoding\":");
	put(file, record->encoding == KYNETA_STORE_BINARY ? "\"binary\"" : "\"json\"");
	put(file, ",\"data\":");
	if (record->data_is_text) {
		written = record_json_write_string(file, scratch, data);
	} else {
		put(file, "{\"$base64\":\"");
		written = write_base64(file, scratch, data);
		put(file, "\"}");
	}
	if (!written)
		return false;
	if (record->has_lineage) {
		put(file, ",\"lineage\":");
		if (!record_json_write_string(file, scratch, span_of(record->lineage, record->lineage_size)))
			return false;
	}
	put(file, "},\"version\":");
	if (!record_json_write_string(file, scratch, span_of(record->version, record->version_size)))
		return false;
	put(file, "}");
	return true;
}

/* ---- comparing ---- */

bool record_json_equal(const struct kyneta_store_record *a, const struct kyneta_store_record *b)
{
	if (a->type != b->type)
		return false;
	if (a->type == KYNETA_STORE_META)
		return span_equal(span_of(a->meta, a->meta_size), span_of(b->meta, b->meta_size));
	return a->kind == b->kind && a->encoding == b->encoding && a->data_is_text == b->data_is_text &&
	       a->has_lineage == b->has_lineage &&
	       span_equal(span_of(a->version, a->version_size), span_of(b->version, b->version_size)) &&
	       span_equal(span_of(a->data, a->data_size), span_of(b->data, b->data_size)) &&
	       (!a->has_lineage ||
		span_equal(span_of(a->lineage, a->lineage_size), span_of(b->lineage, b->lineage_size)));
}
