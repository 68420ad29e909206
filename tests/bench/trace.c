#include "tests/bench/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/fields.h"
#include "client/ctl/lines.h"
#include "client/ctl/record_json.h"

struct trace_line {
	struct buffer text, storage, document;
	struct kyneta_store_record record;
};

static int fail(const char *name, uint64_t number, const char *reason)
{
	fprintf(stderr, "kyneta-store-bench: %s: line %llu: %s\n", name, (unsigned long long)number, reason);
	return -1;
}

/* The file's name without ":FIRST-LAST", to be freed; NULL without memory. */
static char *split_name(const char *name, uint64_t *first, uint64_t *last)
{
	const char *colon = strrchr(name, ':');
	unsigned long long from, to;
	int end = 0;

	*first = 1;
	*last = UINT64_MAX;
	if (colon == NULL || sscanf(colon, ":%llu-%llu%n", &from, &to, &end) != 2 || colon[end] != '\0')
		return strdup(name);
	*first = from;
	*last = to;
	return strndup(name, (size_t)(colon - name));
}

/* The document's number; SIZE_MAX without memory. */
static size_t find_document(struct trace *trace, struct span id)
{
	struct span *documents;

	for (size_t i = trace->documents_count; i-- > 0;)
		if (span_equal(trace->documents[i], id))
			return i;
	documents = reallocarray(trace->documents, trace->documents_count + 1, sizeof(*documents));
	if (documents == NULL)
		return SIZE_MAX;
	trace->documents = documents;
	documents[trace->documents_count] = id;
	return trace->documents_count++;
}

static bool grow(struct trace *trace)
{
	size_t count = trace->calls_count, capacity = count == 0 ? 1024 : count * 2;
	struct trace_call *calls;
	struct trace_line *lines;

	/* A power of two, or nothing: then it is full. */
	if (count != 0 && (count < 1024 || (count & (count - 1)) != 0))
		return true;
	calls = reallocarray(trace->calls, capacity, sizeof(*calls));
	if (calls != NULL)
		trace->calls = calls;
	lines = reallocarray(trace->lines, capacity, sizeof(*lines));
	if (lines != NULL)
		trace->lines = lines;
	return calls != NULL && lines != NULL;
}

/* Reads one line into trace->lines[calls_count] and calls[calls_count]; false: not a call that is sent. */
static bool read_call(struct trace *trace, struct trace_line *line, const char **reason)
{
	struct field fields[] = {{.name = "op"}, {.name = "docId"}, {.name = "record"}};
	struct trace_call *call = &trace->calls[trace->calls_count];
	struct span id;
	size_t document;

	*call = (struct trace_call){.operation = WORK_APPEND};
	fields_read(json_root(buffer_span(&line->text)), fields, 3);
	if (!field_is(&fields[0], JSON_STRING) || !field_is(&fields[1], JSON_STRING))
		return false;
	if (json_string_is(fields[0].value, "currentMeta"))
		call->operation = WORK_META;
	else if (!json_string_is(fields[0].value, "append") || !field_has(&fields[2]))
		return false;
	if (call->operation == WORK_APPEND) {
		if (!buffer_reserve(&line->storage, RECORD_JSON_ROOM(line->text)))
			goto no_memory;
		if (record_json_read(fields[2].value, &line->storage, &line->record, reason) != 0)
			return false;
		call->count = 1;
		trace->data_bytes += line->record.data_size;
	}
	if (record_json_text(fields[1].value, &line->document, &id, reason) != 0)
		return false;
	document = find_document(trace, id);
	if (document == SIZE_MAX)
		goto no_memory;
	call->document = (uint32_t)document;
	return true;
no_memory:
	*reason = "no memory";
	return false;
}

static void line_free(struct trace_line *line)
{
	buffer_free(&line->text);
	buffer_free(&line->storage);
	buffer_free(&line->document);
}

/* One line of the file; *reason is set if it cannot be read. */
static void take_line(struct trace *trace, struct span text, const char **reason)
{
	struct trace_line *line;

	*reason = "no memory";
	if (!grow(trace))
		return;
	line = &trace->lines[trace->calls_count];
	memset(line, 0, sizeof(*line));
	buffer_append(&line->text, text.data, text.size);
	if (!line->text.failed) {
		*reason = NULL;
		if (!json_check(buffer_span(&line->text), JSON_CHECK_DEPTH_MAX))
			*reason = "not JSON";
		else if (read_call(trace, line, reason)) {
			trace->calls_count++;
			return;
		}
		trace->left_out++;
	}
	line_free(line);
}

int trace_read(struct trace *trace, const char *name)
{
	uint64_t first, last, number = 0;
	enum lines_result result = LINES_END;
	const char *reason = "no memory";
	struct lines *lines;
	struct span text;
	char *path;

	*trace = (struct trace){.calls = NULL};
	path = split_name(name, &first, &last);
	if (path == NULL || lines_open(&lines, path, &reason) != 0) {
		free(path);
		return fail(name, 0, reason);
	}
	free(path);
	reason = NULL;
	while (reason == NULL && number < last && (result = lines_next(lines, &text, &reason)) == LINES_ONE) {
		number = lines_number(lines);
		if (number >= first && number <= last)
			take_line(trace, text, &reason);
	}
	lines_close(lines);
	if (reason != NULL)
		return fail(name, number, reason);
	if (trace->calls_count == 0)
		return fail(name, number, "there is no append up to here");
	/* Only now, that nothing moves any more. */
	for (size_t i = 0; i < trace->calls_count; i++)
		trace->calls[i].records = &trace->lines[i].record;
	return 0;
}

void trace_free(struct trace *trace)
{
	for (size_t i = 0; i < trace->calls_count; i++)
		line_free(&trace->lines[i]);
	free(trace->lines);
	free(trace->calls);
	free(trace->documents);
	*trace = (struct trace){.calls = NULL};
}
