/* row: records become exactly the rows of the reference, and any row that is a record becomes one again. */
#include "daemon/row.h"

#include "tests/unit/random.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct buffer scratch, other;

static void tear_down(void)
{
	buffer_free(&scratch);
	buffer_free(&other);
}

TestSuite(row, .fini = tear_down);

static struct span text(const char *string)
{
	return span_of_string(string);
}

static struct record string_entry(const char *version, struct span data)
{
	return (struct record){.type = RECORD_ENTRY,
			       .kind = ENTRY_SINCE,
			       .encoding = ENCODING_JSON,
			       .version = text(version),
			       .data = data,
			       .data_is_text = true};
}

static void assert_span(struct span actual, struct span expected, const char *about)
{
	cr_assert(span_equal(actual, expected), "%s: %.*s instead of %.*s", about, (int)actual.size,
		  (const char *)actual.data, (int)expected.size, (const char *)expected.data);
}

static void assert_same(const struct record *actual, const struct record *expected)
{
	cr_assert_eq(actual->type, expected->type);
	cr_assert_eq(actual->kind, expected->kind);
	cr_assert_eq(actual->encoding, expected->encoding);
	cr_assert_eq(actual->data_is_text, expected->data_is_text);
	cr_assert_eq(actual->has_lineage, expected->has_lineage);
	assert_span(actual->meta, expected->meta, "meta");
	assert_span(actual->version, expected->version, "version");
	assert_span(actual->data, expected->data, "data");
	assert_span(actual->lineage, expected->lineage, "lineage");
}

/* Encodes, compares the payload, and decodes again. */
static void assert_round_trip(const struct record *record, struct span payload)
{
	struct engine_row row;
	struct record back;
	const char *reason;

	cr_assert_eq(row_encode(record, &scratch, &row), 0);
	cr_assert(row.has_payload);
	assert_span(row.payload, payload, "payload");
	cr_assert_eq(row.has_blob, record->type == RECORD_ENTRY && !record->data_is_text);
	cr_assert_eq(row_decode(&row, &other, &back, &reason), 0, "%s", reason);
	assert_same(&back, record);
}

/* A row with this payload; @blob NULL: none. */
static struct engine_row entry_row(const char *payload, const char *blob)
{
	struct engine_row row = {.kind = text("entry"), .has_payload = true, .payload = text(payload)};

	row.has_blob = blob != NULL;
	if (blob != NULL)
		row.blob = text(blob);
	return row;
}

static struct record decode(struct engine_row row)
{
	struct record record;
	const char *reason;

	cr_assert_eq(row_decode(&row, &other, &record, &reason), 0, "%.*s: %s", (int)row.payload.size,
		     (const char *)row.payload.data, reason);
	return record;
}

static void assert_corrupt(struct engine_row row, const char *expected)
{
	struct record record;
	const char *reason = NULL;

	cr_assert_eq(row_decode(&row, &other, &record, &reason), ERROR_CORRUPT, "%.*s", (int)row.payload.size,
		     (const char *)row.payload.data);
	cr_assert_str_eq(reason, expected);
}

/* ---- as the reference writes ---- */

Test(row, meta_is_verbatim)
{
	const char *json = " {\"b\" : 1, \"a\":\"\\ud800\", \"replicaType\":[\"plain\",1,0]} ";
	struct record record = {.type = RECORD_META, .meta = text(json)};
	struct engine_row row;

	assert_round_trip(&record, text(json));
	cr_assert_eq(row_encode(&record, &scratch, &row), 0);
	assert_span(row.kind, text("meta"), "kind");
}

Test(row, string_entry)
{
	struct record record = string_entry("12", text("x"));

	assert_round_trip(&record,
			  text("{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"12\",\"data\":\"x\"}"));
}

Test(row, every_kind_encoding_and_lineage)
{
	static const char *const kinds[] = {"entirety", "since"}, *const encodings[] = {"json", "binary"};

	for (int kind = ENTRY_ENTIRETY; kind <= ENTRY_SINCE; kind++)
		for (int encoding = ENCODING_JSON; encoding <= ENCODING_BINARY; encoding++)
			for (int shape = 0; shape < 4; shape++) {
				bool is_text = (shape & 1) != 0, lineage = (shape & 2) != 0;
				struct record record = string_entry("v", text("d"));
				char payload[128];

				record.kind = (enum entry_kind)kind;
				record.encoding = (enum entry_encoding)encoding;
				record.data_is_text = is_text;
				record.has_lineage = lineage;
				if (lineage)
					record.lineage = text("4e92");
				snprintf(payload, sizeof(payload),
					 "{\"kind\":\"%s\",\"encoding\":\"%s\",\"version\":\"v\"%s%s}", kinds[kind],
					 encodings[encoding], is_text ? ",\"data\":\"d\"" : "",
					 lineage ? ",\"lineage\":\"4e92\"" : "");
				assert_round_trip(&record, text(payload));
			}
}

Test(row, bytes_entry_keeps_its_bytes_beside)
{
	struct record record = string_entry("", span_of("\0\xff\"", 3));
	struct engine_row row;

	record.data_is_text = false;
	assert_round_trip(&record, text("{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"\"}"));
	cr_assert_eq(row_encode(&record, &scratch, &row), 0);
	assert_span(row.blob, record.data, "blob");
}

Test(row, empty_bytes_are_bytes)
{
	struct record record = string_entry("", SPAN_NONE);
	struct engine_row row;

	record.data_is_text = false;
	assert_round_trip(&record, text("{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"\"}"));
	cr_assert_eq(row_encode(&record, &scratch, &row), 0);
	cr_assert(row.has_blob);
	cr_assert_eq(row.blob.size, 0);
}

Test(row, empty_string_is_a_string)
{
	struct record record = string_entry("", SPAN_NONE);

	record.has_lineage = true;
	assert_round_trip(&record, text("{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"\",\"data\":\"\","
					"\"lineage\":\"\"}"));
}

/* What JSON.stringify makes of a string. */
static const struct {
	const char *string;
	size_t size;
	const char *json;
} STRINGIFIED[] = {
#define S(string, json)                                                                                                \
	{                                                                                                              \
		string, sizeof(string) - 1, json                                                                       \
	}
    S("", ""),
    S("plain", "plain"),
    S("\"", "\\\""),
    S("\\", "\\\\"),
    S("/", "/"),
    S("\b\t\n\f\r", "\\b\\t\\n\\f\\r"),
    S("\0", "\\u0000"),
    S("\1\2\x0b\x0e\x1b\x1f", "\\u0001\\u0002\\u000b\\u000e\\u001b\\u001f"),
    S("\x7f", "\x7f"),
    S("\xc3\xa9 e\xcc\x81", "\xc3\xa9 e\xcc\x81"),
    S("\xe2\x80\xa8\xe2\x80\xa9", "\xe2\x80\xa8\xe2\x80\xa9"),
    S("\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"),
    S("\xef\xbf\xbd\xef\xbf\xbf", "\xef\xbf\xbd\xef\xbf\xbf"),
    S("<script>&'", "<script>&'"),
    S("{\"title\":\"a\\nb\"}", "{\\\"title\\\":\\\"a\\\\nb\\\"}"),
    S("1234567\"", "1234567\\\""),
    S("12345678\"90123456\\", "12345678\\\"90123456\\\\"),
    S("\\u0041", "\\\\u0041"),
#undef S
};

Test(row, strings_as_json_stringify_writes_them)
{
	for (size_t i = 0; i < sizeof(STRINGIFIED) / sizeof(STRINGIFIED[0]); i++) {
		struct span string = span_of(STRINGIFIED[i].string, STRINGIFIED[i].size);
		struct record record = string_entry("", string);
		char payload[512];

		record.version = string;
		record.has_lineage = true;
		record.lineage = string;
		snprintf(
		    payload, sizeof(payload),
		    "{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"%s\",\"data\":\"%s\",\"lineage\":\"%s\"}",
		    STRINGIFIED[i].json, STRINGIFIED[i].json, STRINGIFIED[i].json);
		assert_round_trip(&record, text(payload));
	}
}

Test(row, plain_strings_are_read_in_place)
{
	struct engine_row row = entry_row(
	    "{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"12\",\"data\":\"\xc3\xa9 long enough\"}", NULL);
	struct record record = decode(row);

	cr_assert(record.data.data > row.payload.data && record.data.data < row.payload.data + row.payload.size);
	cr_assert(record.version.data > row.payload.data && record.version.data < record.data.data);
	cr_assert_eq(other.size, 0);
}

Test(row, any_bytes_come_back)
{
	struct random random = {77};
	static const char alphabet[] = "ab\"\\\n\x01/u0 ";
	char data[300], version[40];

	for (int round = 0; round < 20000; round++) {
		struct record record = string_entry("", SPAN_NONE);
		size_t size = random_below(&random, sizeof(data)),
		       version_size = random_below(&random, sizeof(version));
		struct engine_row row;
		struct record back;
		const char *reason;

		for (size_t i = 0; i < size; i++)
			data[i] = alphabet[random_below(&random, sizeof(alphabet))];
		for (size_t i = 0; i < version_size; i++)
			version[i] = alphabet[random_below(&random, sizeof(alphabet))];
		record.data = span_of(data, size);
		record.version = span_of(version, version_size);
		record.has_lineage = (round & 1) != 0;
		if (record.has_lineage)
			record.lineage = span_of(version, version_size / 2);
		cr_assert_eq(row_encode(&record, &scratch, &row), 0);
		cr_assert_eq(row_decode(&row, &other, &back, &reason), 0, "%s", reason);
		assert_same(&back, &record);
	}
}

/* ---- as others may have written ---- */

Test(row, epoch_is_lineage)
{
	struct record record =
	    decode(entry_row("{\"kind\":\"entirety\",\"encoding\":\"json\",\"version\":\"1\",\"data\":\"{}\","
			     "\"epoch\":\"4e920da5e77fffec\"}",
			     NULL));

	cr_assert(record.has_lineage);
	assert_span(record.lineage, text("4e920da5e77fffec"), "lineage");
}

Test(row, lineage_wins_over_epoch)
{
	struct record record =
	    decode(entry_row("{\"kind\":\"entirety\",\"encoding\":\"json\",\"version\":\"1\",\"data\":\"{}\","
			     "\"epoch\":\"a\",\"lineage\":\"b\"}",
			     NULL));

	assert_span(record.lineage, text("b"), "lineage");
}

static const char *const VARIANTS[] = {
    " {\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"v\\\"\",\"data\":\"d\\n\",\"lineage\":\"l\"}\n",
    "{ \"kind\" : \"since\" , \"encoding\" : \"json\" , \"version\" : \"v\\\"\" , \"data\" : \"d\\n\" , \"lineage\" : "
    "\"l\" }",
    "{\"data\":\"d\\n\",\"version\":\"v\\\"\",\"kind\":\"since\",\"lineage\":\"l\",\"encoding\":\"json\"}",
    "{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"v\\\"\",\"data\":\"d\\n\",\"lineage\":\"l\",\"more\":[{}]"
    "}",
    "{\"kind\":\"\\u0073ince\",\"encoding\":\"json\",\"version\":\"v\\u0022\",\"d\\u0061ta\":\"d\\u000A\",\"lineage\":"
    "\"\\u006c\"}",
    "{\"kind\":\"entirety\",\"encoding\":\"json\",\"version\":\"v\\\"\",\"data\":\"d\\n\",\"lineage\":\"l\",\"kind\":"
    "\"since\"}",
    "{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"v\\\"\",\"data\":\"d\\n\",\"lineage\":null,\"lineage\":"
    "\"l\"}",
};

Test(row, other_orders_spaces_and_members)
{
	struct record expected = string_entry("v\"", text("d\n"));

	expected.has_lineage = true;
	expected.lineage = text("l");
	for (size_t i = 0; i < sizeof(VARIANTS) / sizeof(VARIANTS[0]); i++) {
		struct record record = decode(entry_row(VARIANTS[i], NULL));

		assert_same(&record, &expected);
	}
}

Test(row, null_lineage_is_none)
{
	cr_assert_not(
	    decode(
		entry_row("{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"\",\"data\":\"\",\"lineage\":null}",
			  NULL))
		.has_lineage);
}

Test(row, blob_wins_over_data)
{
	struct record record =
	    decode(entry_row("{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"\",\"data\":\"text\"}", "blob"));

	cr_assert_not(record.data_is_text);
	assert_span(record.data, text("blob"), "data");
}

Test(row, lone_surrogates_become_replacement_characters)
{
	struct record record =
	    decode(entry_row("{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"v\\ud800\","
			     "\"data\":\"lone \\udfff x\\ud83d\\ude00\",\"lineage\":\"\\ud800\\ud800\"}",
			     NULL));

	assert_span(record.version, text("v\xef\xbf\xbd"), "version");
	assert_span(record.data, text("lone \xef\xbf\xbd x\xf0\x9f\x98\x80"), "data");
	assert_span(record.lineage, text("\xef\xbf\xbd\xef\xbf\xbd"), "lineage");
}

/* ---- no records ---- */

#define NOT_AN_OBJECT "the payload is not a JSON object"
#define NO_VERSION    "the payload's version is not a string"
#define NO_DATA	      "there is neither a blob nor a string in the payload's data"

static const struct {
	const char *payload;
	const char *reason;
} DAMAGED[] = {
    {"", NOT_AN_OBJECT},
    {"[]", NOT_AN_OBJECT},
    {"null", NOT_AN_OBJECT},
    {"\"since\"", NOT_AN_OBJECT},
    {"{", NOT_AN_OBJECT},
    {"{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"\",\"data\":\"\"", NOT_AN_OBJECT},
    {"{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"\",\"data\":\"\"}x", NOT_AN_OBJECT},
    {"{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"\",\"data\":\"\xff\"}", NOT_AN_OBJECT},
    {"{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"\xed\xa0\x80\",\"data\":\"\"}", NOT_AN_OBJECT},
    {"{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"\",\"data\":\"\\\xc3\xa9\"}", NOT_AN_OBJECT},
    {"{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"\",\"data\":\"\\x\"}", NOT_AN_OBJECT},
    {"{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"\",\"data\":\"\\u12g4\"}", NOT_AN_OBJECT},
    {"{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"\",\"data\":\"\\u12\"}", NOT_AN_OBJECT},
    {"{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"\",\"data\":\"\\", NOT_AN_OBJECT},
    {"{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"\",\"data\":\"a\nb\"}", NOT_AN_OBJECT},
    {"{}", "the payload's kind is neither entirety nor since"},
    {"{\"kind\":\"until\",\"encoding\":\"json\",\"version\":\"\",\"data\":\"\"}",
     "the payload's kind is neither entirety nor since"},
    {"{\"kind\":\"since\",\"version\":\"\",\"data\":\"\"}", "the payload's encoding is neither json nor binary"},
    {"{\"kind\":\"since\",\"encoding\":7,\"version\":\"\",\"data\":\"\"}",
     "the payload's encoding is neither json nor binary"},
    {"{\"kind\":\"since\",\"encoding\":\"json\",\"data\":\"\"}", NO_VERSION},
    {"{\"kind\":\"since\",\"encoding\":\"json\",\"version\":7,\"data\":\"\"}", NO_VERSION},
    {"{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"\"}", NO_DATA},
    {"{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"\",\"data\":{}}", NO_DATA},
    {"{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"\",\"data\":\"\",\"lineage\":7}",
     "the payload's lineage is not a string"},
};

Test(row, damaged_entries)
{
	for (size_t i = 0; i < sizeof(DAMAGED) / sizeof(DAMAGED[0]); i++)
		assert_corrupt(entry_row(DAMAGED[i].payload, NULL), DAMAGED[i].reason);
}

Test(row, damaged_rows)
{
	struct engine_row row = entry_row("{}", NULL);

	row.kind = text("Meta");
	assert_corrupt(row, "the row is neither meta nor entry");
	row.kind = SPAN_NONE;
	assert_corrupt(row, "the row is neither meta nor entry");
	row.kind = text("meta");
	row.payload = text("[]");
	assert_corrupt(row, "the metadata is not a JSON object");
	row.payload = text("{\"a\":\"\xff\"}");
	assert_corrupt(row, "the metadata is not a JSON object");
	row.has_payload = false;
	assert_corrupt(row, "the row has no payload");
}

/* Every prefix of a good row, and every row with one byte changed, is a record or refused: never read beyond its end.
 */
Test(row, cut_and_changed_rows)
{
	static const char good[] = "{\"kind\":\"since\",\"encoding\":\"json\",\"version\":\"v\\u00e9\",\"data\":"
				   "\"\xc3\xa9\\\"\",\"lineage\":\"l\"}";
	size_t size = sizeof(good) - 1;

	for (size_t cut = 0; cut < size; cut++) {
		/* Memory of exactly this size, so that a sanitizer sees a step too far. */
		uint8_t *copy = malloc(cut == 0 ? 1 : cut);
		struct engine_row row = {.kind = text("entry"), .has_payload = true, .payload = span_of(copy, cut)};

		memcpy(copy, good, cut);
		assert_corrupt(row, NOT_AN_OBJECT);
		free(copy);
	}
	for (size_t at = 0; at < size; at++)
		for (int byte = 0; byte < 256; byte++) {
			uint8_t changed[sizeof(good)];
			struct engine_row row = {
			    .kind = text("entry"), .has_payload = true, .payload = span_of(changed, size)};
			struct record record;
			const char *reason;

			memcpy(changed, good, sizeof(good));
			changed[at] = (uint8_t)byte;
			int code = row_decode(&row, &other, &record, &reason);

			cr_assert(code == 0 || code == ERROR_CORRUPT);
		}
}
