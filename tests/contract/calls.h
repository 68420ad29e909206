/*
 * calls: the client library's calls, short enough that a test reads as its story.
 *
 *   OK(APPEND(store, S("doc"), meta(META), since("v1", "data")));
 *   REFUSED(201, "Store: batch …", REPLACE(store, S("doc"), since("v2", "x")));
 *   STREAM(store, S("doc"), meta(META), since("v1", "data"));
 *
 * The error and the position of the last call on this thread are in `failure` and `at`.
 */
#ifndef KYNETA_TESTS_CONTRACT_CALLS_H
#define KYNETA_TESTS_CONTRACT_CALLS_H

#include "protocol/span.h"
#include "tests/contract/harness.h"

#include <kyneta/store.h>

extern _Thread_local struct kyneta_store_error failure;
extern _Thread_local struct kyneta_store_position at;

/* A document's id, a prefix; may hold NUL. */
#define S(text) SPAN_LITERAL(text)

/* ---- metadata ---- */

#define SYNC_MODE	"{\"writerModel\":\"serialized\",\"delivery\":\"delta-capable\",\"durability\":\"persistent\"}"
#define OTHER_SYNC_MODE "{\"writerModel\":\"concurrent\",\"delivery\":\"delta-capable\",\"durability\":\"persistent\"}"
#define META_WITH(replica_type, mode, hash)                                                                            \
	"{\"replicaType\":" replica_type ",\"syncMode\":" mode ",\"schemaHash\":\"" hash "\"}"
#define META	META_WITH("[\"plain\",1,0]", SYNC_MODE, "h1")
#define META_V1 "{\"replicaType\":[\"plain\",1,0],\"syncProtocol\":" SYNC_MODE ",\"schemaHash\":\"h1\"}"

/* ---- records ---- */

static inline struct kyneta_store_record meta_of(struct span json)
{
	return (struct kyneta_store_record){
	    .type = KYNETA_STORE_META, .meta = (const char *)json.data, .meta_size = json.size};
}

static inline struct kyneta_store_record meta(const char *json)
{
	return meta_of(span_of_string(json));
}

static inline struct kyneta_store_record entry(int kind, int encoding, bool is_text, struct span version,
					       struct span data)
{
	return (struct kyneta_store_record){
	    .type = KYNETA_STORE_ENTRY,
	    .kind = kind,
	    .encoding = encoding,
	    .data_is_text = is_text,
	    .version = (const char *)version.data,
	    .version_size = version.size,
	    .data = data.data,
	    .data_size = data.size,
	};
}

static inline struct kyneta_store_record since(const char *version, const char *text)
{
	return entry(KYNETA_STORE_SINCE, KYNETA_STORE_JSON, true, span_of_string(version), span_of_string(text));
}

static inline struct kyneta_store_record entirety(const char *version, struct span bytes)
{
	return entry(KYNETA_STORE_ENTIRETY, KYNETA_STORE_BINARY, false, span_of_string(version), bytes);
}

static inline struct kyneta_store_record with_lineage(struct kyneta_store_record record, struct span lineage)
{
	record.has_lineage = true;
	record.lineage = (const char *)lineage.data;
	record.lineage_size = lineage.size;
	return record;
}

#define RECORDS(...)                                                                                                   \
	(const struct kyneta_store_record[])                                                                           \
	{                                                                                                              \
		__VA_ARGS__                                                                                            \
	}
#define RECORDS_COUNT(...) (sizeof(RECORDS(__VA_ARGS__)) / sizeof(struct kyneta_store_record))

/* ---- handles ---- */

/* options_for(stored) - defaults, but for the path, a deadline and a short backoff. */
struct kyneta_store_options options_for(const struct stored *stored);

/* options_named(…) - the same for a store with these tables in `stored`; NULL: the default name. */
struct kyneta_store_options options_named(const char *meta_table, const char *records_table, const char *store_table);

/* store_open() - the default store of `stored`. store_open_with(options): any. Both must succeed. */
kyneta_store *store_open(void);
kyneta_store *store_open_with(const struct kyneta_store_options *options);

/* store_try(options) - must fail: its code; failure says the rest. */
int store_try(const struct kyneta_store_options *options);

/* store_layout(store) - as hello told it. */
int store_layout(const kyneta_store *store);

/* store_leave(store) - close and free. */
void store_leave(kyneta_store *store);

/* ---- calls ---- */

int append(kyneta_store *store, struct span id, const struct kyneta_store_record *records, size_t count,
	   const struct kyneta_store_write *write);
int replace(kyneta_store *store, struct span id, const struct kyneta_store_record *records, size_t count,
	    const struct kyneta_store_write *write);
int delete_with(kyneta_store *store, struct span id, const struct kyneta_store_write *write);
struct kyneta_store_write expecting(struct kyneta_store_position position);
struct kyneta_store_write durable(int durability);

/* send_record(store, id, record, answered) - queue an append, which must succeed; counts *answered up when it did. */
void send_record(kyneta_store *store, struct span id, struct kyneta_store_record record, unsigned *answered);
void must_succeed(void *answered, const struct kyneta_store_answer *answer);

/* position_of(store, id) - where a document stands now. */
struct kyneta_store_position position_of(kyneta_store *store, struct span id);

/* count_records(store, id) - how many records load_all gives. */
size_t count_records(kyneta_store *store, struct span id);

/* stat_of(store, name) - one of the daemon's counters. */
uint64_t stat_of(kyneta_store *store, const char *name);

#define APPEND(store, id, ...)	append(store, id, RECORDS(__VA_ARGS__), RECORDS_COUNT(__VA_ARGS__), NULL)
#define REPLACE(store, id, ...) replace(store, id, RECORDS(__VA_ARGS__), RECORDS_COUNT(__VA_ARGS__), NULL)
#define DELETE(store, id)	delete_with(store, id, NULL)

/* ---- assertions ---- */

#define OK(call) cr_assert_eq(call, 0, "%s: %d %s", #call, failure.code, failure.message)

#define REFUSED(wanted, text, call)                                                                                    \
	do {                                                                                                           \
		int refused_code = (call);                                                                             \
		cr_assert_eq(refused_code, wanted, "%s: %d %s", #call, refused_code,                                   \
			     refused_code == 0 ? "" : failure.message);                                                \
		cr_assert_str_eq(failure.message, text, "it says: %s", failure.message);                               \
	} while (0)

/* The same where the text is not fixed. */
#define FAILS(wanted, call)                                                                                            \
	do {                                                                                                           \
		int fails_code = (call);                                                                               \
		cr_assert_eq(fails_code, wanted, "%s: %d %s", #call, fails_code,                                       \
			     fails_code == 0 ? "" : failure.message);                                                  \
	} while (0)

/* Positions, compared as a whole. */
#define SAME_POSITION(a, b)                                                                                            \
	do {                                                                                                           \
		struct kyneta_store_position position_a = (a), position_b = (b);                                       \
		cr_assert(position_a.generation == position_b.generation && position_a.next == position_b.next,        \
			  "[%llu, %llu] and [%llu, %llu]", (unsigned long long)position_a.generation,                  \
			  (unsigned long long)position_a.next, (unsigned long long)position_b.generation,              \
			  (unsigned long long)position_b.next);                                                        \
	} while (0)

/* STREAM(store, id, records…): load_all gives exactly these. EMPTY(store, id): none. */
#define STREAM(store, id, ...)                                                                                         \
	stream_is(store, id, RECORDS(__VA_ARGS__), RECORDS_COUNT(__VA_ARGS__), __FILE__, __LINE__)
#define EMPTY(store, id) stream_is(store, id, NULL, 0, __FILE__, __LINE__)
void stream_is(kyneta_store *store, struct span id, const struct kyneta_store_record *records, size_t count,
	       const char *file, int line);

/* CURRENT(store, id, json): the document's metadata; NULL: there is none. */
#define CURRENT(store, id, json) current_is(store, id, json, __FILE__, __LINE__)
void current_is(kyneta_store *store, struct span id, const char *json, const char *file, int line);

/* LISTED(store, prefix, ids…): exactly these, in this order. NONE_LISTED(store, prefix). */
#define LISTED(store, prefix, ...)                                                                                     \
	list_is(store, prefix, (const struct span[]){__VA_ARGS__},                                                     \
		sizeof((const struct span[]){__VA_ARGS__}) / sizeof(struct span), __FILE__, __LINE__)
#define NONE_LISTED(store, prefix) list_is(store, prefix, NULL, 0, __FILE__, __LINE__)
void list_is(kyneta_store *store, struct span prefix, const struct span *ids, size_t count, const char *file, int line);

/* records_same(a, b) - field by field. */
bool records_same(const struct kyneta_store_record *a, const struct kyneta_store_record *b);

#endif
