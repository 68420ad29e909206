/*
 * message: requests and replies, typed; both directions of each side by side.
 *
 * A message is one msgpack array in one frame (frame.h). Decoding checks everything, copies nothing and allocates
 * nothing: spans point into the frame. Encoding appends whole frames to a buffer, header included.
 */
#ifndef KYNETA_PROTOCOL_MESSAGE_H
#define KYNETA_PROTOCOL_MESSAGE_H

#include "protocol/buffer.h"
#include "protocol/error.h"
#include "protocol/meta.h"
#include "protocol/span.h"
#include "protocol/unpack.h"

#define PROTOCOL_MAGIC	 "kyneta-store"
#define PROTOCOL_VERSION 1
#define SESSION_SIZE	 16
#define HELLO_ID	 1

/* X(constant, number, name) */
#define OPERATION_LIST(X)                                                                                              \
	X(HELLO, 0, hello)                                                                                             \
	X(APPEND, 1, append)                                                                                           \
	X(LOAD_ALL, 2, load_all)                                                                                       \
	X(REPLACE, 3, replace)                                                                                         \
	X(DELETE, 4, delete)                                                                                           \
	X(CURRENT_META, 5, current_meta)                                                                               \
	X(LIST_DOC_IDS, 6, list_doc_ids)                                                                               \
	X(CLOSE, 7, close)                                                                                             \
	X(PING, 8, ping)                                                                                               \
	X(SYNC, 9, sync)                                                                                               \
	X(STATS, 10, stats)                                                                                            \
	X(RESUME, 11, resume)

enum operation {
#define X(constant, number, name) OPERATION_##constant = (number),
	OPERATION_LIST(X)
#undef X
};

/* operation_name(operation) - "append" …; "unknown" for others. */
const char *operation_name(uint64_t operation);

static inline bool operation_is_write(uint64_t operation)
{
	return operation == OPERATION_APPEND || operation == OPERATION_REPLACE || operation == OPERATION_DELETE;
}

enum durability { DURABILITY_DEFAULT = -1, DURABILITY_COMMITTED = 0, DURABILITY_SYNCED = 1 };
enum access_mode { ACCESS_READ_WRITE = 0, ACCESS_READ_ONLY = 1, ACCESS_EXCLUSIVE = 2 };
enum event_kind { EVENT_DRAINING = 1 };

/* Where a document's stream stands: "at" on the wire. */
struct position {
	uint64_t generation;
	uint64_t next;
};

enum record_type { RECORD_META, RECORD_ENTRY };
enum entry_kind { ENTRY_ENTIRETY = 0, ENTRY_SINCE = 1 };
enum entry_encoding { ENCODING_JSON = 0, ENCODING_BINARY = 1 };

struct record {
	enum record_type type;
	struct span meta; /* RECORD_META: its JSON; nothing else is set then */
	enum entry_kind kind;
	enum entry_encoding encoding;
	struct span version;
	struct span data;
	bool data_is_text; /* str or bin: this, not the encoding, decides where it is stored */
	bool has_lineage;
	struct span lineage;
};

/* Records still packed, but checked: record_list_next cannot fail on them. */
struct record_list {
	struct span packed;
	uint32_t count;
	uint32_t metas; /* so many of them */
};

/* record_list_start(list) / record_list_next(iterator, record) - walk a checked list; false at its end. */
struct record_iterator {
	struct unpack unpack;
	uint32_t left;
};
struct record_iterator record_list_start(const struct record_list *list);
bool record_list_next(struct record_iterator *iterator, struct record *record);

/* record_pack(out, record) - append one record in its wire form. */
void record_pack(struct buffer *out, const struct record *record);

struct hello {
	uint64_t lowest, highest;
	struct span client; /* empty: nil */
	/* The store: names are empty when not given. */
	struct span meta_table, records_table, store_table;
	uint64_t layout; /* 0 not given, 1, 2 */
	bool create;
	uint64_t access; /* enum access_mode */
	bool has_session;
	struct span session; /* SESSION_SIZE bytes */
};

struct request {
	uint64_t id;
	uint64_t operation;
	struct span document;
	struct record_list records;
	enum durability durability;
	bool has_expect;
	struct position expect;
	bool has_cursor;
	struct span cursor;
	uint64_t limit; /* 0: nil */
	struct span prefix;
	struct hello hello;
};

/*
 * request_decode(bytes, request, reason) - read one request from a frame's bytes (without header).
 *
 * 0; or ERROR_MALFORMED (the connection is lost), ERROR_UNKNOWN_OP or ERROR_BAD_ARGUMENT (the connection lives:
 * request->id and ->operation are set, ->document too if it could be read) with *reason a static text that names the
 * argument. In a hello a wrong magic is ERROR_MALFORMED.
 */
int request_decode(struct span bytes, struct request *request, const char **reason);

/*
 * request_encode(out, request, records, count) - append the frame of a request. Its records are taken from the array
 * @records (append, replace), everything else from @request.
 */
void request_encode(struct buffer *out, const struct request *request, const struct record *records, size_t count);

struct hello_reply {
	uint64_t version;
	struct span daemon;
	uint64_t through;
	uint64_t layout;
	uint64_t frame_limit, in_flight_limit, page_limit;
};

/* A reply, decoded as far as its kind goes. */
struct reply {
	uint64_t id;   /* 0: unasked */
	uint64_t code; /* 0: success (with id 0: an event) */
	/* errors */
	struct span message;
	enum error_outcome outcome;
	bool has_detail_position;
	struct position detail_position;	/* ERROR_CONFLICT */
	struct span detail_text;		/* ERROR_INCOMPATIBLE_FORMAT */
	uint64_t detail_lowest, detail_highest; /* ERROR_NO_COMMON_VERSION */
	/* events */
	uint64_t event;
	/* results: those of the operation asked for */
	struct hello_reply hello;
	struct position at; /* append, replace, delete, load_all, current_meta */
	bool duplicate;
	struct record_list records; /* load_all */
	bool has_cursor;
	struct span cursor;
	bool has_meta;
	struct span meta;
	struct unpack documents; /* list_doc_ids: documents_count strs follow */
	uint32_t documents_count;
	struct unpack stats; /* stats: stats_count pairs of str and value (uint, str, or nested map) follow */
	uint32_t stats_count;
};

/* reply_peek(bytes, id, code) - the first two elements, to find out what was asked. 0 or ERROR_MALFORMED. */
int reply_peek(struct span bytes, uint64_t *id, uint64_t *code);

/* reply_decode(bytes, operation, reply) - read a reply to @operation (any for id 0). 0 or ERROR_MALFORMED. */
int reply_decode(struct span bytes, uint64_t operation, struct reply *reply);

/* Encoders of the daemon's side: each appends one whole frame. */
void reply_encode_empty(struct buffer *out, uint64_t id); /* close, ping, sync, resume */
void reply_encode_hello(struct buffer *out, uint64_t id, const struct hello_reply *hello);
void reply_encode_write(struct buffer *out, uint64_t id, struct position at, bool duplicate);
void reply_encode_meta(struct buffer *out, uint64_t id, bool has_meta, struct span meta, struct position at);
void reply_encode_event(struct buffer *out, enum event_kind kind);

/*
 * reply_encode_error(…) - @detail may be NULL; a position (300), a text (504) or a pair of uints (102) goes in by the
 * code. With id 0 there is neither outcome nor detail. A message that is no UTF-8 is cut where it stops being it.
 */
struct error_detail {
	struct position position;
	struct span text;
	uint64_t lowest, highest;
};
void reply_encode_error(struct buffer *out, uint64_t id, uint64_t code, struct span message, enum error_outcome outcome,
			const struct error_detail *detail);

/*
 * Pages are written while they are read, so their counts are filled in at the end:
 *   page_begin(out, id, &page); record_pack(out, …) or page_document(out, …) any number of times, counted in
 *   page.count by the caller; then page_end_records / page_end_documents, at the end of all without a cursor.
 */
struct page {
	size_t frame;	/* mark of the frame */
	size_t counted; /* where the array's count goes */
	uint32_t count;
};
void page_begin(struct buffer *out, uint64_t id, struct page *page);
void page_document(struct buffer *out, struct span document);
void page_end_records(struct buffer *out, const struct page *page, struct position at, bool has_cursor,
		      struct span cursor);
void page_end_documents(struct buffer *out, const struct page *page, bool has_cursor, struct span cursor);

/* stats: mark = stats_begin(out, id, pairs); stats_uint / _text / _map @pairs times in all; stats_end(out, mark). */
size_t stats_begin(struct buffer *out, uint64_t id, uint32_t pairs);
void stats_uint(struct buffer *out, const char *name, uint64_t value);
void stats_text(struct buffer *out, const char *name, struct span text);
void stats_map(struct buffer *out, const char *name, uint32_t pairs, struct span packed); /* @pairs, packed before */
void stats_end(struct buffer *out, size_t mark);

#endif
