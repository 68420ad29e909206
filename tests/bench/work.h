/*
 * work: what is asked of a store: which requests, on which documents, in which order. Says nothing about when.
 *
 * A source is one connection's stream of requests, the same in every run: random choices come from a generator that is
 * seeded with the connection's number. With a trace, a source is one host of the recording, on documents of its own.
 */
#ifndef KYNETA_BENCH_WORK_H
#define KYNETA_BENCH_WORK_H

#include <kyneta/store.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buffer.h"

struct trace;

/* X(constant, name) */
#define WORK_LIST(X)                                                                                                   \
	X(APPEND, "append")                                                                                            \
	X(REPLACE, "replace")                                                                                          \
	X(LOAD, "load_all")                                                                                            \
	X(META, "current_meta")                                                                                        \
	X(LIST, "list")

enum work_operation {
#define X(constant, name) WORK_##constant,
	WORK_LIST(X)
#undef X
	    WORK_OPERATIONS
};

struct work {
	unsigned connections, in_flight;
	unsigned generators;	 /* processes that make the load */
	uint64_t documents;	 /* 0: one for each connection */
	uint64_t first_document; /* its number: so that two works can have different ones */
	uint64_t records;	 /* in each document beforehand, beside its metadata */
	uint64_t matches;	 /* ids that a list finds: a power of ten */
	size_t bytes;		 /* of a record's data */
	bool text;		 /* a string, not bytes */
	int durability;		 /* enum kyneta_store_durability */
	unsigned weights[WORK_OPERATIONS];
	const struct trace *trace; /* instead of the above from documents to weights; NULL: none */
	/* when */
	double rate;	   /* requests per second, whatever the answers do (open loop); 0: each answer sends the next */
	double warm_up;	   /* seconds that are not counted */
	double seconds;	   /* that are */
	uint64_t requests; /* instead of a time: exactly so many, from the first one on; 0: by time */
	/* made by work_prepare */
	struct kyneta_store_record meta, entry;
	uint8_t *data;
	unsigned weight_sum;
	uint64_t documents_total;
	_Atomic uint64_t *next; /* by document: the seq of its next record, for backends whose clients count */
};

/* work_prepare(work) - make what all requests share; 0, or -1 without memory. work_release() undoes it. */
int work_prepare(struct work *work);
void work_release(struct work *work);

/* work_operation_name(operation) - "append" … */
const char *work_operation_name(enum work_operation operation);

struct work_request {
	enum work_operation operation;
	struct span document; /* WORK_LIST: the prefix */
	const struct kyneta_store_record *records;
	size_t count;
	int durability;
	_Atomic uint64_t *next; /* of the document; NULL for reads */
};

struct work_source {
	const struct work *work;
	unsigned connection;
	uint64_t random;
	uint64_t trace_at, trace_pass;
	struct buffer document;
	struct kyneta_store_record pair[2];
	struct work_request request;
};

void work_source_init(struct work_source *source, const struct work *work, unsigned connection);
void work_source_free(struct work_source *source);

/* work_next(source) - the next request; valid until the next call. */
const struct work_request *work_next(struct work_source *source);

/* work_document(work, number, out) - append the id of the work's document @number to @out. */
void work_document(const struct work *work, uint64_t number, struct buffer *out);

#endif
