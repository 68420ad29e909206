/*
 * model_step: what the model test does, as data.
 *
 * A sequence of steps follows from a seed, and is fixed before the first one is done: any of them can be left out, and
 * the others stay what they are. Everything in a step is a small number, an index into the tables of model_data.h or a
 * choice; 0 is always the simplest. So a failing sequence can be made shorter (model_shrink.h), and written as one line
 * that does the same again:
 *
 *     kind=4 piped=1 a1.0.0.0:0,21 l0.3.0.0
 *
 * There are two stores and, on each, two handles. Handle 0 and 1 are on store a, 2 and 3 on store b. The second of each
 * pair reads pages of one record, and writes `committed`.
 */
#ifndef KYNETA_TESTS_CONTRACT_MODEL_STEP_H
#define KYNETA_TESTS_CONTRACT_MODEL_STEP_H

#include "tests/unit/random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define MODEL_WAYS	  4
#define MODEL_STORES	  2
#define MODEL_HANDLES	  4
#define MODEL_STEPS_MAX	  48
#define MODEL_RECORDS_MAX 5 /* in a write */

/* A load in pages of one record that pauses behind the first has fetched at most so many. */
#define MODEL_PAGES_AHEAD 2

static inline unsigned model_store_of(unsigned handle)
{
	return handle / 2;
}

static inline bool model_has_small_pages(unsigned handle)
{
	return handle % 2 == 1;
}

/* X(letter, NAME): the letter is the step's in a line. */
#define MODEL_STEPS(X)                                                                                                 \
	X('a', APPEND)                                                                                                 \
	X('r', REPLACE)                                                                                                \
	X('d', DELETE)                                                                                                 \
	X('m', META) /* current_meta */                                                                                \
	X('l', LOAD) /* load_all */                                                                                    \
	X('i', LIST) /* list_doc_ids */                                                                                \
	X('s', SYNC)                                                                                                   \
	X('b', BEGIN)  /* load_all, paused behind its first record */                                                  \
	X('e', END)    /* the rest of it */                                                                            \
	X('o', REOPEN) /* close the handle, open it anew */                                                            \
	X('t', RESTART)                                                                                                \
	X('k', CRASH)

enum step_kind {
#define X(letter, name) STEP_##name,
	MODEL_STEPS(X)
#undef X
};

/* What a write expects of the document. */
enum step_expect {
	EXPECT_NOTHING,
	EXPECT_WHERE_IT_STANDS,
	EXPECT_NEXT_AND_ONE,
	EXPECT_ANOTHER_GENERATION,
	EXPECT_WHERE_IT_STOOD, /* before the last change */
	EXPECT_COUNT
};

struct step {
	unsigned char kind; /* enum step_kind */
	unsigned char handle;
	unsigned char document; /* or prefix */
	unsigned char expect;	/* enum step_expect; of REOPEN: read-only? */
	unsigned char durability;
	unsigned char count;
	unsigned char records[MODEL_RECORDS_MAX];
};

struct sequence {
	unsigned char kind;  /* of its stores: model_data.h */
	unsigned char way;   /* in which the daemon runs: model_run.c */
	unsigned char piped; /* not 0: calls are made without waiting for the answers of those before */
	size_t count;
	struct step steps[MODEL_STEPS_MAX];
};

/* sequence_make(sequence, seed) - @seed is not 0. */
void sequence_make(struct sequence *sequence, uint64_t seed);

/* sequence_write(sequence, out) - as one line, without its end. sequence_read(sequence, text) - false: it is none. */
void sequence_write(const struct sequence *sequence, FILE *out);
bool sequence_read(struct sequence *sequence, const char *text);

/* step_show(step, out) - as a call, to be read by a person. */
void step_show(const struct step *step, FILE *out);

#endif
