/*
 * trace: recorded calls of real hosts, in memory, to be sent again.
 *
 * The file's format is that of the recorded sessions (one JSON object a line, plain or gzipped). Appends and metadata
 * lookups are taken; other calls are left out and counted.
 */
#ifndef KYNETA_BENCH_TRACE_H
#define KYNETA_BENCH_TRACE_H

#include "tests/bench/work.h"

struct trace_call {
	enum work_operation operation;
	uint32_t document; /* its place in trace.documents */
	const struct kyneta_store_record *records;
	size_t count;
};

struct trace {
	struct trace_call *calls;
	size_t calls_count;
	struct span *documents;
	size_t documents_count;
	size_t left_out;
	uint64_t data_bytes; /* of all entries */
	/* what the above are views into, one for each call */
	struct trace_line *lines;
};

/*
 * trace_read(trace, name) - read "FILE" or "FILE:FIRST-LAST" (line numbers, both counted in). 0, or -1 with a line on
 * stderr. trace_free() either way.
 */
int trace_read(struct trace *trace, const char *name);
void trace_free(struct trace *trace);

#endif
