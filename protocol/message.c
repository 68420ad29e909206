/*
 * message: what requests and replies share: names, positions, records.
 */
#include "protocol/message.h"

#include "protocol/elements.h"
#include "protocol/pack.h"

/* The first element of a record. */
#define RECORD_TAG_META	 0
#define RECORD_TAG_ENTRY 1

/* msgpack's heads of a plain entry: an array of five, three small uints that are their own heads, a short str, a str or
 * bin. */
#define PLAIN_ARRAY	    0x95
#define PLAIN_STR	    0xa0
#define PLAIN_STR_MASK	    0x1f
#define PLAIN_HEAD_BYTES    5
#define PLAIN_BIN8	    0xc4
#define PLAIN_BIN16	    0xc5
#define PLAIN_STR8	    0xd9
#define PLAIN_STR16	    0xda
#define PLAIN_DATA_HEAD_MAX 3

const char *operation_name(uint64_t operation)
{
	switch (operation) {
#define X(constant, number, name)                                                                                      \
	case number:                                                                                                   \
		return #name;
		OPERATION_LIST(X)
#undef X
	default:
		return "unknown";
	}
}

bool elements_leave(struct elements *elements, struct unpack *unpack)
{
	for (; elements->left > 0; elements->left--) {
		if (!unpack_skip(&elements->unpack))
			return false;
	}
	*unpack = elements->unpack;
	return true;
}

/* ---- positions ---- */

bool element_position(struct elements *elements, struct position *out)
{
	struct elements inner;
	struct position position;

	if (elements->left == 0 || !elements_enter(&elements->unpack, &inner) ||
	    !element_uint(&inner, &position.generation) || !element_uint(&inner, &position.next) ||
	    !elements_leave(&inner, &elements->unpack))
		return false;
	elements->left--;
	*out = position;
	return true;
}

void pack_position(struct buffer *out, struct position position)
{
	pack_array(out, 2);
	pack_uint(out, position.generation);
	pack_uint(out, position.next);
}

/* ---- records ---- */

/* [1, kind, encoding, version, data] or with lineage; the tag is already taken. */
static const char *take_entry(struct elements *elements, struct record *record)
{
	uint64_t kind, encoding;

	record->type = RECORD_ENTRY;
	if (!element_uint(elements, &kind) || kind > ENTRY_SINCE)
		return "kind must be 0 (entirety) or 1 (since)";
	record->kind = (enum entry_kind)kind;
	if (!element_uint(elements, &encoding) || encoding > ENCODING_BINARY)
		return "encoding must be 0 (json) or 1 (binary)";
	record->encoding = (enum entry_encoding)encoding;
	if (!element_str(elements, &record->version))
		return "version must be a str";
	record->data_is_text = element_str(elements, &record->data);
	if (!record->data_is_text && !element_bin(elements, &record->data))
		return "data must be a str or a bin";
	record->has_lineage = element_str(elements, &record->lineage);
	if (!record->has_lineage && !element_nil(elements))
		return "lineage must be a str or nil";
	return NULL;
}

/*
 * Nearly every record is an entry without lineage, its heads in their shortest form and its version below 32 bytes:
 * such a one is read here at a glance. False: it is another, and nothing was taken.
 */
static bool take_plain_entry(struct unpack *unpack, struct record *record)
{
	const uint8_t *at = unpack->at, *end = unpack->end;
	size_t version, head, size;

	if (end - at < PLAIN_HEAD_BYTES || at[0] != PLAIN_ARRAY || at[1] != RECORD_TAG_ENTRY || at[2] > ENTRY_SINCE ||
	    at[3] > ENCODING_BINARY || (at[4] & ~PLAIN_STR_MASK) != PLAIN_STR)
		return false;
	version = at[4] & PLAIN_STR_MASK;
	if ((size_t)(end - at) < PLAIN_HEAD_BYTES + version + PLAIN_DATA_HEAD_MAX)
		return false;
	record->kind = (enum entry_kind)at[2];
	record->encoding = (enum entry_encoding)at[3];
	record->version = span_of(at + PLAIN_HEAD_BYTES, version);
	at += PLAIN_HEAD_BYTES + version;
	switch (at[0]) {
	case PLAIN_BIN8:
	case PLAIN_STR8:
		head = 2;
		size = at[1];
		break;
	case PLAIN_BIN16:
	case PLAIN_STR16:
		head = 3;
		size = (size_t)at[1] << 8 | at[2];
		break;
	default:
		return false;
	}
	if ((size_t)(end - at) < head + size)
		return false;
	record->type = RECORD_ENTRY;
	record->meta = SPAN_NONE;
	record->data = span_of(at + head, size);
	record->data_is_text = at[0] == PLAIN_STR8 || at[0] == PLAIN_STR16;
	record->has_lineage = false;
	record->lineage = SPAN_NONE;
	unpack->at = at + head + size;
	return true;
}

/* The next record; NULL or what is wrong. */
static const char *take_record(struct unpack *unpack, struct record *record)
{
	struct elements elements;
	const char *reason;
	uint64_t tag;

	if (take_plain_entry(unpack, record))
		return NULL;

	if (!elements_enter(unpack, &elements))
		return "a record must be an array";
	memset(record, 0, sizeof(*record));
	if (!element_uint(&elements, &tag))
		return "the first element of a record must be a uint";
	switch (tag) {
	case RECORD_TAG_META:
		record->type = RECORD_META;
		reason = element_str(&elements, &record->meta) ? NULL : "a meta record must hold its JSON as a str";
		break;
	case RECORD_TAG_ENTRY:
		reason = take_entry(&elements, record);
		break;
	default:
		reason = "unknown record kind";
	}
	if (reason == NULL && !elements_leave(&elements, unpack))
		reason = "a record is cut short";
	return reason;
}

const char *element_records(struct elements *elements, struct record_list *list)
{
	const uint8_t *start;
	struct unpack unpack = elements->unpack;
	struct record record;
	const char *reason;
	uint32_t count, metas = 0;

	if (elements->left == 0 || !unpack_array(&unpack, &count))
		return "records must be an array of records";
	start = unpack.at;
	for (uint32_t i = 0; i < count; i++) {
		reason = take_record(&unpack, &record);
		if (reason != NULL)
			return reason;
		metas += record.type == RECORD_META;
	}
	*list = (struct record_list){span_of(start, (size_t)(unpack.at - start)), count, metas};
	elements->unpack = unpack;
	elements->left--;
	return NULL;
}

struct record_iterator record_list_start(const struct record_list *list)
{
	return (struct record_iterator){unpack_start(list->packed), list->count};
}

bool record_list_next(struct record_iterator *iterator, struct record *record)
{
	if (iterator->left == 0 || take_record(&iterator->unpack, record) != NULL)
		return false;
	iterator->left--;
	return true;
}

size_t record_packed_max(const struct record *record)
{
	/* Array, tag, kind and encoding one byte each, then up to three heads of five. */
	return 4 + 3 * 5 + record->meta.size + record->version.size + record->data.size + record->lineage.size;
}

/* The other direction of take_plain_entry: the same bytes as the calls below would write, in a few stores. */
static bool pack_plain_entry(struct buffer *out, const struct record *record)
{
	size_t version = record->version.size, size = record->data.size;
	uint8_t *to = out->data + out->size;

	if (record->type != RECORD_ENTRY || record->has_lineage || version > PLAIN_STR_MASK || size > UINT16_MAX ||
	    (record->data_is_text && size <= PLAIN_STR_MASK))
		return false;
	*to++ = PLAIN_ARRAY;
	*to++ = RECORD_TAG_ENTRY;
	*to++ = (uint8_t)record->kind;
	*to++ = (uint8_t)record->encoding;
	*to++ = (uint8_t)(PLAIN_STR | version);
	if (version > 0)
		memcpy(to, record->version.data, version);
	to += version;
	if (size > UINT8_MAX) {
		*to++ = record->data_is_text ? PLAIN_STR16 : PLAIN_BIN16;
		*to++ = (uint8_t)(size >> 8);
	} else {
		*to++ = record->data_is_text ? PLAIN_STR8 : PLAIN_BIN8;
	}
	*to++ = (uint8_t)size;
	if (size > 0)
		memcpy(to, record->data.data, size);
	out->size = (size_t)(to + size - out->data);
	return true;
}

void record_pack(struct buffer *out, const struct record *record)
{
	if (!buffer_reserve(out, record_packed_max(record)) || pack_plain_entry(out, record))
		return;
	if (record->type == RECORD_META) {
		pack_array(out, 2);
		pack_uint(out, RECORD_TAG_META);
		pack_str(out, record->meta);
		return;
	}
	pack_array(out, record->has_lineage ? 6 : 5);
	pack_uint(out, RECORD_TAG_ENTRY);
	pack_uint(out, record->kind);
	pack_uint(out, record->encoding);
	pack_str(out, record->version);
	if (record->data_is_text)
		pack_str(out, record->data);
	else
		pack_bin(out, record->data);
	if (record->has_lineage)
		pack_str(out, record->lineage);
}
