/*
 * rows: what is stored, as the reference or anybody else may have written it, read as a record; and any record, stored
 * and read again.
 *
 * The first byte says which. A row that can be read lies within its bytes and its scratch, holds valid UTF-8, means
 * what jansson reads in it, and comes back the same after it was written anew; the scratch grows no larger than the
 * payload. A record of any content is stored as JSON that jansson reads the same, and comes back as it went in.
 */
#include "daemon/row.h"
#include "protocol/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/second_opinion.h"

/* Bits of the first byte. */
#define IS_RECORD  1 /* build a record; else a row is given */
#define HAS_BLOB   2
#define IS_META	   4
#define NO_PAYLOAD 8
/* … of a record */
#define IS_SINCE    2
#define IS_BINARY   4
#define IS_TEXT	    8
#define HAS_LINEAGE 16

/* A buffer grows in steps, the smallest of which is this or less. */
#define SCRATCH_MIN 256

static void check_against(const json_t *payload, const char *key, struct span ours)
{
	const json_t *value = json_object_get(payload, key);

	MUST(jansson_is(value, JANSSON_STRING), "jansson sees no %s", key);
	MUST(span_equal(ours, span_of(json_string_value(value), json_string_length(value))),
	     "%s is not what jansson reads", key);
}

/* Of lineage and epoch the former counts if both are there, though it be null, which is as good as none. */
static const char *lineage_key(const json_t *payload)
{
	return json_object_get(payload, "lineage") != NULL ? "lineage" : "epoch";
}

static void check_entry_against(struct span payload, const struct record *record)
{
	json_error_t error;
	json_t *root = second_opinion(payload, &error);

	if (root == NULL) {
		MUST(!second_opinion_counts(&error), "jansson refuses it: %s", error.text);
		return;
	}
	check_against(root, "kind", record->kind == ENTRY_SINCE ? SPAN_LITERAL("since") : SPAN_LITERAL("entirety"));
	check_against(root, "encoding",
		      record->encoding == ENCODING_BINARY ? SPAN_LITERAL("binary") : SPAN_LITERAL("json"));
	check_against(root, "version", record->version);
	if (record->data_is_text)
		check_against(root, "data", record->data);
	if (record->has_lineage)
		check_against(root, lineage_key(root), record->lineage);
	else
		MUST(!jansson_is(json_object_get(root, lineage_key(root)), JANSSON_STRING), "a lineage was lost");
	json_decref(root);
}

static void check_record(const struct engine_row *row, const struct buffer *scratch, const struct record *record)
{
	const struct span *texts[] = {&record->version, &record->lineage, &record->data};

	MUST(scratch->capacity <= SCRATCH_MIN || scratch->capacity <= 2 * row->payload.size, "%zu bytes for %zu",
	     scratch->capacity, row->payload.size);
	if (record->type == RECORD_META) {
		MUST(span_equal(record->meta, row->payload) && utf8_valid(record->meta), "not the metadata");
		return;
	}
	MUST(record->data_is_text == !row->has_blob, "data");
	MUST(row->has_blob ? span_equal(record->data, row->blob) : utf8_valid(record->data), "data");
	for (unsigned i = 0; i < 2; i++)
		MUST(utf8_valid(*texts[i]), "not UTF-8");
	for (unsigned i = 0; i < (row->has_blob ? 2u : 3u); i++)
		MUST(is_within(*texts[i], row->payload) || is_within(*texts[i], buffer_span(scratch)),
		     "a view outside");
	check_entry_against(row->payload, record);
}

/* Stored and read again, twice: the same record, the same bytes. */
static void store_and_read_again(const struct record *record)
{
	struct buffer first = BUFFER_EMPTY, second = BUFFER_EMPTY, scratch = BUFFER_EMPTY;
	struct engine_row row, again;
	struct record read;
	const char *reason = "";

	MUST(row_encode(record, &first, &row) == 0, "no memory");
	MUST(row_decode(&row, &scratch, &read, &reason) == 0, "%s", reason);
	check_record(&row, &scratch, &read);
	MUST(same_record(record, &read), "it is another record");
	MUST(row_encode(&read, &second, &again) == 0, "no memory");
	MUST(span_equal(row.payload, again.payload) && row.has_blob == again.has_blob &&
		 span_equal(row.blob, again.blob),
	     "other bytes for the same");
	buffer_free(&first);
	buffer_free(&second);
	buffer_free(&scratch);
}

static void run_row(uint8_t how, struct span input)
{
	struct engine_row row = {
	    .kind = (how & IS_META) != 0 ? SPAN_LITERAL("meta") : SPAN_LITERAL("entry"),
	    .has_payload = (how & NO_PAYLOAD) == 0,
	    .has_blob = (how & HAS_BLOB) != 0,
	};
	struct buffer scratch = BUFFER_EMPTY;
	struct record record;
	const char *reason = NULL;
	int code;

	row.blob = row.has_blob ? cut_part(&input) : SPAN_NONE;
	row.payload = row.has_payload ? input : SPAN_NONE;
	code = row_decode(&row, &scratch, &record, &reason);
	MUST(code == 0 || (code == ERROR_CORRUPT && reason != NULL), "code %d", code);
	if (code == 0) {
		check_record(&row, &scratch, &record);
		store_and_read_again(&record);
	}
	buffer_free(&scratch);
}

/* A part of the input that is text: as far as it is. */
static struct span cut_text(struct span *input)
{
	struct span part = cut_part(input);

	part.size = utf8_prefix(part);
	return part;
}

static void run_record(uint8_t how, struct span input)
{
	struct record record = {
	    .type = RECORD_ENTRY,
	    .kind = (how & IS_SINCE) != 0 ? ENTRY_SINCE : ENTRY_ENTIRETY,
	    .encoding = (how & IS_BINARY) != 0 ? ENCODING_BINARY : ENCODING_JSON,
	    .data_is_text = (how & IS_TEXT) != 0,
	    .has_lineage = (how & HAS_LINEAGE) != 0,
	};

	record.version = cut_text(&input);
	if (record.has_lineage)
		record.lineage = cut_text(&input);
	record.data = input;
	if (record.data_is_text)
		record.data.size = utf8_prefix(record.data);
	store_and_read_again(&record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size);
	uint8_t how = cut_byte(&input);

	if ((how & IS_RECORD) != 0)
		run_record(how, input);
	else
		run_row(how, input);
	return 0;
}
