#include "client/ctl/input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/lines.h"
#include "client/ctl/record_json.h"
#include "client/ctl/session.h"
#include "protocol/utf8.h"

static int fail(struct input *input, const char *where, const char *problem)
{
	snprintf(input->problem, sizeof(input->problem), "%s%s%s", where, *where == '\0' ? "" : ": ", problem);
	return -1;
}

/* Room for one more record and what it is a view into. NULL: there is none, the problem is told. */
static struct kyneta_store_record *grow(struct input *input, size_t bytes)
{
	size_t capacity = input->capacity == 0 ? 16 : input->capacity * 2;
	struct kyneta_store_record *records;
	struct buffer *texts;

	if (bytes > INPUT_BYTES_MAX - input->bytes) {
		fail(input, "", "more than 1 GiB for one write; use import");
		return NULL;
	}
	input->bytes += bytes;
	if (input->count == input->capacity) {
		records = reallocarray(input->records, capacity, sizeof(*records));
		if (records == NULL)
			goto no_memory;
		input->records = records;
		texts = reallocarray(input->texts, capacity * 2, sizeof(*texts));
		if (texts == NULL)
			goto no_memory;
		input->texts = texts;
		input->capacity = capacity;
	}
	input->texts[2 * input->count] = BUFFER_EMPTY;
	input->texts[2 * input->count + 1] = BUFFER_EMPTY;
	input->records[input->count] = (struct kyneta_store_record){.type = KYNETA_STORE_META};
	return &input->records[input->count++];
no_memory:
	fail(input, "", "no memory");
	return NULL;
}

/* A record in its JSON form; @line is copied. */
static int add_line(struct input *input, struct span line, const char *where)
{
	struct kyneta_store_record *record = grow(input, line.size);
	const char *reason;
	struct buffer *text;

	if (record == NULL)
		return -1;
	text = &input->texts[2 * (input->count - 1)];
	buffer_append(text, line.data, line.size);
	if (text->failed || !buffer_reserve(&text[1], RECORD_JSON_ROOM(line)))
		return fail(input, where, "no memory");
	if (!json_check(buffer_span(text), SESSION_DEPTH_MAX))
		return fail(input, where, "not JSON, or nested too deep");
	if (record_json_read(json_root(buffer_span(text)), &text[1], record, &reason) != 0)
		return fail(input, where, reason);
	return 0;
}

static int add_lines(struct input *input, const char *path)
{
	enum lines_result result;
	struct lines *lines;
	const char *reason;
	struct span line;
	char where[32];

	if (lines_open(&lines, path, &reason) != 0)
		return fail(input, path, reason);
	while ((result = lines_next(lines, &line, &reason)) == LINES_ONE) {
		snprintf(where, sizeof(where), "line %llu", (unsigned long long)lines_number(lines));
		if (add_line(input, line, where) != 0) {
			lines_close(lines);
			return -1;
		}
	}
	if (result == LINES_FAILED)
		fail(input, path, reason);
	lines_close(lines);
	return result == LINES_END ? 0 : -1;
}

static int read_file(struct input *input, const char *path, struct buffer *out)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rbe");
	size_t got = 1;
	int rc = 0;

	if (file == NULL)
		return fail(input, path, strerror(errno));
	while (got > 0 && out->size <= INPUT_BYTES_MAX && buffer_reserve(out, 65536)) {
		got = fread(out->data + out->size, 1, 65536, file);
		out->size += got;
	}
	if (ferror(file))
		rc = fail(input, path, strerror(errno));
	else if (out->failed)
		rc = fail(input, path, "no memory");
	else if (out->size > INPUT_BYTES_MAX)
		rc = fail(input, path, "more than 1 GiB");
	if (file != stdin)
		fclose(file);
	return rc;
}

static int add_meta(struct input *input, const char *meta)
{
	struct kyneta_store_record *record = grow(input, strlen(meta));

	if (record == NULL)
		return -1;
	record->meta = meta;
	record->meta_size = strlen(meta);
	return utf8_valid(span_of_string(meta)) ? 0 : fail(input, "--meta", "not valid UTF-8");
}

static int add_entry(struct input *input, const struct options *options)
{
	struct kyneta_store_record *record = grow(input, 0);
	struct buffer *bytes;

	if (record == NULL)
		return -1;
	record->type = KYNETA_STORE_ENTRY;
	record->kind = options->kind;
	record->encoding = options->binary != NULL ? KYNETA_STORE_BINARY : KYNETA_STORE_JSON;
	record->data_is_text = options->binary == NULL;
	record->version = options->version;
	record->version_size = strlen(options->version);
	record->has_lineage = options->lineage != NULL;
	if (record->has_lineage) {
		record->lineage = options->lineage;
		record->lineage_size = strlen(options->lineage);
	}
	if (!utf8_valid(span_of_string(options->version)) ||
	    (record->has_lineage && !utf8_valid(span_of_string(options->lineage))))
		return fail(input, "--version or --lineage", "not valid UTF-8");
	if (options->binary == NULL) {
		record->data = options->entry;
		record->data_size = strlen(options->entry);
		return utf8_valid(span_of_string(options->entry)) ? 0 : fail(input, "--entry", "not valid UTF-8");
	}
	bytes = &input->texts[2 * (input->count - 1)];
	if (read_file(input, options->binary, bytes) != 0)
		return -1;
	record->data = bytes->data;
	record->data_size = bytes->size;
	return 0;
}

int input_gather(struct input *input, const struct options *options)
{
	char where[32];

	*input = (struct input){.records = NULL};
	if (options->meta != NULL && add_meta(input, options->meta) != 0)
		return -1;
	if ((options->entry != NULL || options->binary != NULL) && add_entry(input, options) != 0)
		return -1;
	for (int i = 1; i < options->argument_count; i++) {
		snprintf(where, sizeof(where), "record %d", i);
		if (add_line(input, span_of_string(options->arguments[i]), where) != 0)
			return -1;
	}
	if (options->file != NULL)
		return add_lines(input, options->file);
	return input->count > 0 ? 0 : add_lines(input, "-");
}

void input_free(struct input *input)
{
	for (size_t i = 0; i < 2 * input->count; i++)
		buffer_free(&input->texts[i]);
	free(input->texts);
	free(input->records);
}
