/*
 * rows: stored rows of random records, compared with what others make of them.
 *
 *     rows write SEED COUNT    random records, each written as a row, which jansson must read the same, and printed for
 *                              rows.mjs: kind, encoding, version, data or "-", lineage or "-", payload; in hex
 *     rows read                the same lines on stdin, payloads written by another: each must be read as that record
 */
#include <string.h>

#include "daemon/row.h"
#include "protocol/utf8.h"
#include "tests/inside/must.h"
#include "tests/unit/random.h"
#include "tests/unit/second_opinion.h"

#define FIELDS	      6
#define SIZE_MAX_TEXT 40

static void random_text(struct random *random, struct buffer *out)
{
	static const uint32_t limits[] = {0x20, 0x80, 0x80, 0x100, 0x2030, 0xd800, 0x10000, 0x110000};

	buffer_reset(out);
	for (uint32_t i = random_below(random, SIZE_MAX_TEXT); i > 0; i--) {
		uint32_t c = random_below(random, limits[random_below(random, 8)]);

		if (random_below(random, 8) == 0)
			c = (uint8_t) "\"\\/\b\f\n\r\t\x7f"[random_below(random, 9)];
		if (c >= 0xd800 && c < 0xe000)
			c = 0x2028;
		if (c < 0x80) {
			buffer_append_byte(out, (uint8_t)c);
			continue;
		}
		if (c >= 0x10000) {
			buffer_append_byte(out, (uint8_t)(0xf0 | c >> 18));
			buffer_append_byte(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
		} else if (c >= 0x800) {
			buffer_append_byte(out, (uint8_t)(0xe0 | c >> 12));
		} else {
			buffer_append_byte(out, (uint8_t)(0xc0 | c >> 6));
		}
		if (c >= 0x800)
			buffer_append_byte(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buffer_append_byte(out, (uint8_t)(0x80 | (c & 0x3f)));
	}
}

static void print_hex(struct span bytes, char end)
{
	for (size_t i = 0; i < bytes.size; i++)
		printf("%02x", bytes.data[i]);
	putchar(end);
}

static void must_say(const json_t *payload, const char *key, struct span ours, unsigned long long seed)
{
	const json_t *value = json_object_get(payload, key);

	MUST(jansson_is(value, JANSSON_STRING) &&
		 span_equal(ours, span_of(json_string_value(value), json_string_length(value))),
	     "seed %llu: jansson reads another %s", seed, key);
}

static void ask_jansson(const struct record *record, struct span payload, unsigned long long seed)
{
	json_error_t error;
	json_t *root = second_opinion(payload, &error);

	MUST(root != NULL, "seed %llu: %s: %.*s", seed, error.text, (int)payload.size, payload.data);
	must_say(root, "version", record->version, seed);
	if (record->data_is_text)
		must_say(root, "data", record->data, seed);
	if (record->has_lineage)
		must_say(root, "lineage", record->lineage, seed);
	MUST(json_object_size(root) == 3 + (size_t)record->data_is_text + (size_t)record->has_lineage,
	     "seed %llu: other keys", seed);
	json_decref(root);
}

static void write_rows(unsigned long long seed, unsigned long long count)
{
	struct buffer version = BUFFER_EMPTY, data = BUFFER_EMPTY, lineage = BUFFER_EMPTY, scratch = BUFFER_EMPTY;
	struct random random = {seed * 2 + 1};
	struct engine_row row;

	for (; count > 0; count--) {
		struct record record = {.type = RECORD_ENTRY,
					.kind = (enum entry_kind)random_below(&random, 2),
					.encoding = (enum entry_encoding)random_below(&random, 2),
					.data_is_text = random_below(&random, 4) > 0,
					.has_lineage = random_below(&random, 2) == 0};

		random_text(&random, &version);
		random_text(&random, &data);
		random_text(&random, &lineage);
		record.version = buffer_span(&version);
		record.data = buffer_span(&data);
		record.lineage = record.has_lineage ? buffer_span(&lineage) : SPAN_NONE;
		MUST(row_encode(&record, &scratch, &row) == 0, "no memory");
		ask_jansson(&record, row.payload, seed);
		printf("%d %d ", (int)record.kind, (int)record.encoding);
		print_hex(record.version, ' ');
		record.data_is_text ? print_hex(record.data, ' ') : (void)fputs("- ", stdout);
		record.has_lineage ? print_hex(record.lineage, ' ') : (void)fputs("- ", stdout);
		print_hex(row.payload, '\n');
	}
	buffer_free(&version);
	buffer_free(&data);
	buffer_free(&lineage);
	buffer_free(&scratch);
}

static struct span from_hex(const char *text, struct buffer *out)
{
	char digits[3] = "";

	buffer_reset(out);
	for (; *text != '\0' && *text != '-'; text += 2) {
		memcpy(digits, text, 2);
		buffer_append_byte(out, (uint8_t)strtoul(digits, NULL, 16));
	}
	return buffer_span(out);
}

/* Where the fields of a line begin; each ends with a NUL. */
static void split(char *line, char *fields[FIELDS])
{
	line[strcspn(line, "\n")] = '\0';
	for (unsigned i = 0; i < FIELDS; i++)
		MUST((fields[i] = strsep(&line, " ")) != NULL, "not so many fields");
}

static void read_row(char *line, struct buffer fields_bytes[FIELDS], struct buffer *scratch)
{
	char *fields[FIELDS];
	struct engine_row row = {.kind = SPAN_LITERAL("entry"), .has_payload = true};
	struct record record;
	const char *reason = "";

	split(line, fields);
	row.has_blob = *fields[3] == '-';
	row.payload = from_hex(fields[5], &fields_bytes[5]);
	MUST(row_decode(&row, scratch, &record, &reason) == 0, "%s: %.*s", reason, (int)row.payload.size,
	     row.payload.data);
	MUST((int)record.kind == atoi(fields[0]) && (int)record.encoding == atoi(fields[1]) &&
		 span_equal(record.version, from_hex(fields[2], &fields_bytes[2])) &&
		 (row.has_blob || span_equal(record.data, from_hex(fields[3], &fields_bytes[3]))) &&
		 record.has_lineage == (*fields[4] != '-') &&
		 span_equal(record.lineage, from_hex(fields[4], &fields_bytes[4])),
	     "another record: %.*s", (int)row.payload.size, row.payload.data);
}

static void read_rows(void)
{
	struct buffer fields[FIELDS] = {BUFFER_EMPTY}, scratch = BUFFER_EMPTY;
	unsigned long count = 0;
	char *line = NULL;
	size_t capacity = 0;

	for (; getline(&line, &capacity, stdin) > 0; count++)
		read_row(line, fields, &scratch);
	for (unsigned i = 0; i < FIELDS; i++)
		buffer_free(&fields[i]);
	buffer_free(&scratch);
	free(line);
	printf("%lu\n", count);
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "write") == 0)
		write_rows(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
	else if (argc == 2 && strcmp(argv[1], "read") == 0)
		read_rows();
	else
		return 2;
	return 0;
}
