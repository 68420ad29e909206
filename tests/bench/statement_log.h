/*
 * statement_log: everything that the daemon's writer did to its database, in the order in which it did it.
 *
 * The yardstick is SQLite itself with the daemon's own order and batches. What these were only the daemon's calls of
 * SQLite can say, so a library that is loaded into it (record_statements.c) notes them as they come: the daemon knows
 * nothing about it, and every statement is there, whatever the daemon may do next year: its batches, session rows,
 * pragmas and checkpoints. raw.c carries them out again.
 *
 * The log is memory shared between the two, so that nothing is written to the disk that is being measured. Noting a
 * statement takes time, so a daemon that is measured does not: the same work is done once more for this. Of values only
 * those of up to LOG_VALUE_MAX bytes are kept, and all of the first parameter's, which are keys; of others the size.
 */
#ifndef KYNETA_BENCH_STATEMENT_LOG_H
#define KYNETA_BENCH_STATEMENT_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The number of the log's descriptor, for the process that notes. */
#define LOG_VARIABLE "KYNETA_BENCH_STATEMENTS"

/* Of address space; memory is taken as it fills. An append is about 100 bytes of it. */
#define LOG_BYTES ((uint64_t)16 << 30)

#define LOG_VALUE_MAX	   32
#define LOG_PARAMETERS_MAX 8
#define LOG_STATEMENTS_MAX 256

struct statement_log {
	_Atomic uint64_t end; /* of the entries, from the start of this struct; only grows */
	atomic_bool overflow; /* something is missing */
};

enum log_kind {
	LOG_PREPARE,	/* statement is what the text means from now on */
	LOG_EXECUTE,	/* the text, at once */
	LOG_STEP,	/* statement, with values */
	LOG_CHECKPOINT, /* statement is the mode */
};

/* Entries follow each other, each rounded up to 8 bytes. */
struct log_entry {
	uint32_t size; /* with this header */
	uint8_t kind;  /* enum log_kind */
	uint8_t count; /* of values */
	uint16_t statement;
	/* LOG_PREPARE, LOG_EXECUTE: NUL-terminated text. LOG_STEP: values */
};

enum log_type { LOG_NULL, LOG_INTEGER, LOG_TEXT, LOG_BLOB };

struct log_value {
	uint8_t type;  /* enum log_type */
	uint8_t there; /* the bytes follow, rounded up to 8 */
	uint32_t size;
	int64_t integer; /* LOG_INTEGER */
};

static inline uint64_t log_round(uint64_t size)
{
	return (size + 7) & ~(uint64_t)7;
}

#endif
