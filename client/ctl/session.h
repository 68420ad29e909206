/*
 * session: one line of a recorded session, taken apart.
 *
 * A session is a file of calls as hosts made them, one JSON object per line: what was called, and for reads what must
 * come back. `replay` carries out and checks all of it, `import` takes the writes, `export` writes lines of the same
 * form.
 *
 *   {"op":"open","store":"main","tables":{"docMeta":"…","records":"…","storeMeta":"…","meta":"…"}}
 *   {"op":"append","docId":"…","record":{…},"inflight":3}
 *   {"op":"replace","docId":"…","records":[{…},…],"error":"the exact text it is refused with"}
 *   {"op":"delete","docId":"…"}
 *   {"op":"currentMeta","docId":"…","expect":{…} or null}
 *   {"op":"loadAll","docId":"…","expect":[{…},…] or {"count":n,"sha256":"…"}}
 *   {"op":"listDocIds","prefix":"…","expect":["…",…]}
 *   {"op":"close"}
 *
 * All values are views into the line; other keys are passed over.
 */
#ifndef KYNETA_CTL_SESSION_H
#define KYNETA_CTL_SESSION_H

#include "client/include/kyneta/store.h"
#include "protocol/json.h"

/* A meta may be nested as deep as JSON_DEPTH_MAX, inside of a record, of an array, of the line. */
#define SESSION_DEPTH_MAX (JSON_DEPTH_MAX + 3)

#define SESSION_OPS(X)                                                                                                 \
	X(SESSION_OPEN, "open")                                                                                        \
	X(SESSION_APPEND, "append")                                                                                    \
	X(SESSION_REPLACE, "replace")                                                                                  \
	X(SESSION_DELETE, "delete")                                                                                    \
	X(SESSION_CURRENT_META, "currentMeta")                                                                         \
	X(SESSION_LOAD_ALL, "loadAll")                                                                                 \
	X(SESSION_LIST_DOC_IDS, "listDocIds")                                                                          \
	X(SESSION_CLOSE, "close")

#define SESSION_OP_VALUE(value, name) value,
enum session_op { SESSION_OPS(SESSION_OP_VALUE) };
#undef SESSION_OP_VALUE

/* A value that is absent has no text (session_has). Strings among these are checked to be strings, and so on. */
struct session_call {
	enum session_op op;
	struct json_value store;   /* string: which store; absent: the one called main */
	struct json_value tables;  /* object */
	struct json_value doc;	   /* string; always there where the operation has a document */
	struct json_value record;  /* append: any value */
	struct json_value records; /* replace: array */
	struct json_value prefix;  /* string */
	struct json_value expect;  /* any value */
	struct json_value error;   /* string */
	uint64_t inflight;	   /* calls on the same handle that were unanswered when this one was made */
};

/* session_has(value) - is it there? */
static inline bool session_has(struct json_value value)
{
	return value.text.data != NULL;
}

/* session_read(line, call, reason) - take a line apart. 0, or -1 with a static *reason. */
int session_read(struct span line, struct session_call *call, const char **reason);

/* session_op_name(op) - "append", as in the file. */
const char *session_op_name(enum session_op op);

/* session_is_write(op) - append, replace or delete? */
bool session_is_write(enum session_op op);

/* The records of one line after the other; the memory is used again. Begin with all zero. */
struct session_records {
	struct kyneta_store_record *records;
	size_t count;
	size_t capacity;
	struct buffer storage;
};

/*
 * session_records_read(records, call, reason) - the record of an append or the records of a replace, as views into the
 * line and into the storage: valid until the next time. 0, or -1 with a static *reason why they cannot be sent.
 */
int session_records_read(struct session_records *records, const struct session_call *call, const char **reason);

void session_records_free(struct session_records *records);

/*
 * session_layout(line) - the layout that the first meta on this line is of, by its key: 1 or 2; 0: none on it.
 * The line need not be a good one.
 */
int session_layout(struct span line);

#endif
