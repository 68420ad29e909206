#include "client/ctl/session.h"

#include <stdlib.h>

#include "client/ctl/fields.h"
#include "client/ctl/record_json.h"

static const char *const names[] = {
#define SESSION_OP_NAME(value, name) [value] = (name),
    SESSION_OPS(SESSION_OP_NAME)
#undef SESSION_OP_NAME
};

#define OPS (sizeof(names) / sizeof(names[0]))

const char *session_op_name(enum session_op op)
{
	return names[op];
}

bool session_is_write(enum session_op op)
{
	return op == SESSION_APPEND || op == SESSION_REPLACE || op == SESSION_DELETE;
}

static bool read_op(struct json_value value, enum session_op *op)
{
	for (size_t i = 0; i < OPS; i++) {
		if (json_string_is(value, names[i])) {
			*op = (enum session_op)i;
			return true;
		}
	}
	return false;
}

/* What each operation cannot do without. */
static const char *missing(const struct session_call *call)
{
	switch (call->op) {
	case SESSION_APPEND:
		if (!session_has(call->record))
			return "append without a record";
		break;
	case SESSION_REPLACE:
		if (!session_has(call->records))
			return "replace without records";
		break;
	case SESSION_DELETE:
	case SESSION_CURRENT_META:
	case SESSION_LOAD_ALL:
		break;
	case SESSION_OPEN:
	case SESSION_LIST_DOC_IDS:
	case SESSION_CLOSE:
		return NULL;
	}
	return session_has(call->doc) ? NULL : "no docId";
}

/* Where each value of a line goes, and what it must be; JSON_NULL: anything. */
enum place { OP, STORE, TABLES, DOC, RECORD, RECORDS, PREFIX, EXPECT, ERROR, INFLIGHT, PLACES };

static const enum json_type types[PLACES] = {
    [OP] = JSON_STRING,	   [STORE] = JSON_STRING,    [TABLES] = JSON_OBJECT, [DOC] = JSON_STRING,
    [RECORD] = JSON_NULL,  [RECORDS] = JSON_ARRAY,   [PREFIX] = JSON_STRING, [EXPECT] = JSON_NULL,
    [ERROR] = JSON_STRING, [INFLIGHT] = JSON_NUMBER,
};

int session_read(struct span text, struct session_call *call, const char **reason)
{
	struct field fields[PLACES] = {
	    [OP] = {.name = "op"},	   [STORE] = {.name = "store"},
	    [TABLES] = {.name = "tables"}, [DOC] = {.name = "docId"},
	    [RECORD] = {.name = "record"}, [RECORDS] = {.name = "records"},
	    [PREFIX] = {.name = "prefix"}, [EXPECT] = {.name = "expect"},
	    [ERROR] = {.name = "error"},   [INFLIGHT] = {.name = "inflight"},
	};
	int64_t inflight = 0;

	if (!json_check(text, SESSION_DEPTH_MAX)) {
		*reason = "not JSON, or nested too deep";
		return -1;
	}
	fields_read(json_root(text), fields, PLACES);
	for (int i = 0; i < PLACES; i++) {
		if (types[i] != JSON_NULL && field_has(&fields[i]) && !field_is(&fields[i], types[i])) {
			*reason =
			    "op, store, docId, prefix and error are strings, records is an array, tables an object, "
			    "inflight a number";
			return -1;
		}
	}
	if (!field_has(&fields[OP]) || !read_op(fields[OP].value, &call->op)) {
		*reason = "no op, or not one that is known";
		return -1;
	}
	if (field_has(&fields[INFLIGHT]) && (!json_integer(fields[INFLIGHT].value, &inflight) || inflight < 0)) {
		*reason = "inflight is not a number of calls";
		return -1;
	}
	call->inflight = (uint64_t)inflight;
	call->store = fields[STORE].value;
	call->tables = fields[TABLES].value;
	call->doc = fields[DOC].value;
	call->record = fields[RECORD].value;
	call->records = fields[RECORDS].value;
	call->prefix = fields[PREFIX].value;
	call->expect = fields[EXPECT].value;
	call->error = fields[ERROR].value;
	*reason = missing(call);
	return *reason == NULL ? 0 : -1;
}

static int add_record(struct session_records *records, struct json_value record, const char **reason)
{
	if (records->count == records->capacity) {
		size_t capacity = 2 * records->capacity + 8;
		struct kyneta_store_record *grown = reallocarray(records->records, capacity, sizeof(*grown));

		if (grown == NULL) {
			*reason = "no memory";
			return -1;
		}
		records->records = grown;
		records->capacity = capacity;
	}
	if (record_json_read(record, &records->storage, &records->records[records->count], reason) != 0)
		return -1;
	records->count++;
	return 0;
}

int session_records_read(struct session_records *records, const struct session_call *call, const char **reason)
{
	struct json_value text = call->op == SESSION_APPEND ? call->record : call->records;
	struct json_iterator elements;
	struct json_value record;

	records->count = 0;
	buffer_reset(&records->storage);
	if (!buffer_reserve(&records->storage, RECORD_JSON_ROOM(text.text))) {
		*reason = "no memory";
		return -1;
	}
	if (call->op == SESSION_APPEND)
		return add_record(records, call->record, reason);
	elements = json_iterate(call->records);
	while (json_next_element(&elements, &record))
		if (add_record(records, record, reason) != 0)
			return -1;
	return 0;
}

void session_records_free(struct session_records *records)
{
	buffer_free(&records->storage);
	free(records->records);
}

static int meta_layout(struct json_value record)
{
	struct json_value meta, key;

	if (record.type != JSON_OBJECT || !json_member(record, "meta", &meta) || meta.type != JSON_OBJECT)
		return 0;
	if (json_member(meta, "syncMode", &key))
		return 2;
	return json_member(meta, "syncProtocol", &key) ? 1 : 0;
}

int session_layout(struct span line)
{
	struct json_iterator records;
	struct session_call call;
	struct json_value record;
	const char *reason;
	int layout = 0;

	if (session_read(line, &call, &reason) != 0)
		return 0;
	if (call.op == SESSION_APPEND)
		return meta_layout(call.record);
	if (call.op != SESSION_REPLACE)
		return 0;
	records = json_iterate(call.records);
	while (layout == 0 && json_next_element(&records, &record))
		layout = meta_layout(record);
	return layout;
}
