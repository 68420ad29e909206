/* Records in the JSON form of recorded sessions, read and written. */
#include <criterion/criterion.h>

#include "client/ctl/record_json.h"
#include "client/ctl/session.h"
#include "ctl_fixtures.h"

/* The bytes that writing a record gives. */
static struct buffer written(const struct kyneta_store_record *record)
{
	struct buffer out = BUFFER_EMPTY, scratch = BUFFER_EMPTY;
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);

	cr_assert_not_null(file);
	cr_assert(record_json_write(file, &scratch, record));
	cr_assert_eq(fclose(file), 0);
	buffer_append(&out, text, size);
	free(text);
	buffer_free(&scratch);
	return out;
}

static int parse(const char *text, size_t size, struct buffer *storage, struct kyneta_store_record *record,
		 const char **reason)
{
	struct span span = span_of(text, size);

	cr_assert(json_check(span, SESSION_DEPTH_MAX), "%s", text);
	buffer_reset(storage);
	cr_assert(buffer_reserve(storage, RECORD_JSON_ROOM(span)));
	return record_json_read(json_root(span), storage, record, reason);
}

/* ---- round trips ---- */

struct trips {
	struct session_records records;
	struct buffer storage;
	unsigned read;
	unsigned refused;
};

/* What was read is written as it stood. */
static void expect_same(struct json_value value, const struct kyneta_store_record *record)
{
	struct buffer text = written(record);

	cr_expect(span_equal(buffer_span(&text), value.text), "%.*s\n%.*s", (int)value.text.size, value.text.data,
		  (int)text.size, text.data);
	buffer_free(&text);
}

static void trip_list(struct trips *trips, struct json_value list)
{
	struct json_iterator records = json_iterate(list);
	struct kyneta_store_record record;
	struct json_value value;
	const char *reason;

	while (json_next_element(&records, &value)) {
		buffer_reset(&trips->storage);
		cr_assert(buffer_reserve(&trips->storage, RECORD_JSON_ROOM(value.text)));
		cr_assert_eq(record_json_read(value, &trips->storage, &record, &reason), 0, "%s", reason);
		expect_same(value, &record);
		trips->read++;
	}
}

static void trip_line(struct span line, void *context)
{
	struct trips *trips = context;
	struct session_call call;
	const char *reason;

	cr_assert_eq(session_read(line, &call, &reason), 0, "%s: %.*s", reason, (int)line.size, line.data);
	if (call.op == SESSION_REPLACE)
		trip_list(trips, call.records);
	if (call.op == SESSION_LOAD_ALL && session_has(call.expect) && call.expect.type == JSON_ARRAY)
		trip_list(trips, call.expect);
	if (call.op != SESSION_APPEND)
		return;
	if (session_records_read(&trips->records, &call, &reason) != 0) {
		cr_expect(session_has(call.error), "%s: %.*s", reason, (int)line.size, line.data);
		trips->refused++;
		return;
	}
	cr_assert_eq(trips->records.count, 1);
	expect_same(call.record, trips->records.records);
	trips->read++;
}

Test(ctl_record_json, every_record_of_the_sessions_is_written_as_it_was)
{
	struct trips trips = {.read = 0};

	ctl_fixtures_each(trip_line, &trips);
	cr_expect_gt(trips.read, 100);
	cr_expect_leq(trips.refused, 2, "only the unknown kind of session-small: %u", trips.refused);
	session_records_free(&trips.records);
	buffer_free(&trips.storage);
}

Test(ctl_record_json, long_data_goes_together_without_a_seam)
{
	static const size_t sizes[] = {0, 1, 2, 3, 49151, 49152, 49153, 98304, 200001};
	struct buffer storage = BUFFER_EMPTY;
	const char *reason;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct kyneta_store_record record = {.type = KYNETA_STORE_ENTRY, .version = "", .data_size = sizes[i]};
		uint8_t *data = malloc(sizes[i] + 1);

		cr_assert_not_null(data);
		for (int text = 0; text < 2; text++) {
			struct kyneta_store_record back;
			struct buffer json;

			/* A character of two bytes stands across every seam, for one parity or the other. */
			for (size_t at = 0; at < sizes[i]; at++)
				data[at] = text == 0 ? (uint8_t)(at * 7) : (at % 2 == sizes[i] % 2 ? 0xc3 : 0xa9);
			if (text == 1 && sizes[i] % 2 == 1)
				data[0] = '\n';
			record.data = data;
			record.data_is_text = text == 1;
			json = written(&record);
			cr_assert_eq(parse((const char *)json.data, json.size, &storage, &back, &reason), 0, "%s",
				     reason);
			cr_expect(record_json_equal(&record, &back), "%zu bytes", sizes[i]);
			buffer_free(&json);
		}
		free(data);
	}
	buffer_free(&storage);
}

Test(ctl_record_json, a_meta_is_kept_but_for_its_lines)
{
	static const char meta[] = "{ \"b\":1,\r\n\t\"a\" : \"\\u00e9\\ud800\\n\" }";
	struct kyneta_store_record record = {.type = KYNETA_STORE_META, .meta = meta, .meta_size = sizeof(meta) - 1};
	static const char expected[] = "{\"kind\":\"meta\",\"meta\":{ \"b\":1,  \t\"a\" : \"\\u00e9\\ud800\\n\" }}";
	struct buffer text = written(&record), storage = BUFFER_EMPTY;
	struct kyneta_store_record back;
	const char *reason;

	cr_expect_eq(text.size, sizeof(expected) - 1);
	cr_expect_arr_eq(text.data, expected, sizeof(expected) - 1);
	cr_assert_eq(parse(expected, sizeof(expected) - 1, &storage, &back, &reason), 0);
	cr_expect_eq(back.meta_size, sizeof(meta) - 1);
	buffer_free(&text);
	buffer_free(&storage);
}

Test(ctl_record_json, a_meta_may_be_as_deep_as_a_store_takes_it)
{
	struct buffer text = BUFFER_EMPTY, storage = BUFFER_EMPTY;
	struct kyneta_store_record record;
	const char *reason;

	buffer_append(&text, "{\"kind\":\"meta\",\"meta\":", 22);
	for (int i = 0; i < JSON_DEPTH_MAX; i++)
		buffer_append(&text, "{\"\":", 4);
	buffer_append_byte(&text, '1');
	for (int i = 0; i < JSON_DEPTH_MAX; i++)
		buffer_append_byte(&text, '}');
	buffer_append(&text, "}", 2);
	cr_assert_eq(parse((const char *)text.data, text.size - 1, &storage, &record, &reason), 0);
	cr_expect_eq(record.meta_size, 5 * JSON_DEPTH_MAX + 1);
	buffer_free(&text);
	buffer_free(&storage);
}

/* ---- what is none ---- */

#define ENTRY(payload) "{\"kind\":\"entry\",\"version\":\"v\",\"payload\":" payload "}"
#define DATA(data)     ENTRY("{\"kind\":\"since\",\"encoding\":\"json\",\"data\":" data "}")

Test(ctl_record_json, what_is_no_record_is_refused)
{
	static const char *const texts[] = {
	    "1",
	    "[]",
	    "{}",
	    "{\"kind\":1}",
	    "{\"kind\":\"weird\"}",
	    "{\"kind\":\"meta\"}",
	    "{\"kind\":\"entry\"}",
	    "{\"kind\":\"entry\",\"version\":\"\"}",
	    "{\"kind\":\"entry\",\"version\":1,\"payload\":{}}",
	    ENTRY("[]"),
	    ENTRY("{}"),
	    ENTRY("{\"kind\":\"whole\",\"encoding\":\"json\",\"data\":\"\"}"),
	    ENTRY("{\"kind\":\"since\",\"encoding\":\"xml\",\"data\":\"\"}"),
	    ENTRY("{\"kind\":\"since\",\"encoding\":\"json\"}"),
	    ENTRY("{\"kind\":\"since\",\"encoding\":\"json\",\"data\":\"\",\"lineage\":null}"),
	    DATA("1"),
	    DATA("null"),
	    DATA("[]"),
	    DATA("{}"),
	    DATA("{\"$base64\":1}"),
	    DATA("{\"$base64\":\"A\"}"),
	    DATA("{\"$base64\":\"AA\"}"),
	    DATA("{\"$base64\":\"AAA\"}"),
	    DATA("{\"$base64\":\"A===\"}"),
	    DATA("{\"$base64\":\"====\"}"),
	    DATA("{\"$base64\":\"AA==AAAA\"}"),
	    DATA("{\"$base64\":\" AAA\"}"),
	    DATA("{\"$base64\":\"AAAAAAA \"}"),
	    DATA("{\"$base64\":\"AAAA----\"}"),
	    DATA("{\"$base64\":\"AA_A\"}"),
	    DATA("{\"$base64\":\"AAAA\\nAAA\"}"),
	    DATA("\"\\ud800\""),
	    DATA("\"\\udc00\""),
	    DATA("\"x\\\\\\ud83dx\""),
	    DATA("\"\\ud83d\\ud83d\\ude00\""),
	    ("{\"kind\":\"entry\",\"version\":\"\\udfff\",\"payload\":"
	     "{\"kind\":\"since\",\"encoding\":\"json\",\"data\":\"\"}}"),
	};
	struct buffer storage = BUFFER_EMPTY;
	struct kyneta_store_record record;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *reason = NULL;

		cr_expect_eq(parse(texts[i], strlen(texts[i]), &storage, &record, &reason), -1, "%s", texts[i]);
		cr_expect_not_null(reason);
	}
	buffer_free(&storage);
}

static void expect_data(const char *text, const void *data, size_t size)
{
	struct buffer storage = BUFFER_EMPTY;
	struct kyneta_store_record record;
	const char *reason;

	cr_assert_eq(parse(text, strlen(text), &storage, &record, &reason), 0, "%s: %s", text, reason);
	cr_expect(span_equal(span_of(record.data, record.data_size), span_of(data, size)), "%s", text);
	buffer_free(&storage);
}

Test(ctl_record_json, data_is_what_it_says)
{
	expect_data(DATA("\"\""), "", 0);
	expect_data(DATA("\"\\ud83d\\ude00\\u0000\\\\ud800\""), "😀\0\\ud800", 11);
	expect_data(DATA("{\"$base64\":\"\"}"), "", 0);
	expect_data(DATA("{\"$base64\":\"AA==\"}"), "\0", 1);
	expect_data(DATA("{\"$base64\":\"/+8=\"}"), "\xff\xef", 2);
	expect_data(DATA("{\"$base64\":\"AAEC\"}"), "\0\1\2", 3);
	expect_data(DATA("1,\"data\":\"the last one counts\""), "the last one counts", 19);
}

Test(ctl_record_json, what_is_expected_may_hold_half_a_pair)
{
	static const char text[] = DATA("\"a\\ud800b\"");
	struct buffer storage = BUFFER_EMPTY;
	struct kyneta_store_record record;
	const char *reason;

	cr_assert(buffer_reserve(&storage, sizeof(text)));
	cr_assert_eq(record_json_read_expected(json_root(span_of(text, sizeof(text) - 1)), &storage, &record, &reason),
		     0);
	cr_expect_eq(record.data_size, 5);
	cr_expect_arr_eq(record.data,
			 "a\xef\xbf\xbd"
			 "b",
			 5);
	buffer_free(&storage);
}

Test(ctl_record_json, every_field_counts_in_a_comparison)
{
	struct kyneta_store_record entry = {
	    .type = KYNETA_STORE_ENTRY, .version = "v", .version_size = 1, .data = "d", .data_size = 1};
	struct kyneta_store_record others[8];

	for (size_t i = 0; i < 8; i++)
		others[i] = entry;
	others[0].type = KYNETA_STORE_META;
	others[1].kind = KYNETA_STORE_SINCE;
	others[2].encoding = KYNETA_STORE_BINARY;
	others[3].data_is_text = true;
	others[4].has_lineage = true;
	others[5].version = "w";
	others[6].data = "e";
	others[7].data_size = 0;
	cr_expect(record_json_equal(&entry, &entry));
	for (size_t i = 0; i < 8; i++)
		cr_expect(!record_json_equal(&entry, &others[i]), "%zu", i);
}
