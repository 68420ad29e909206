/*
 * model_call: one call of the model test, through the client library, and what came of it.
 *
 * Either the blocking call is made, or its non-blocking twin is queued, so that several are on their way at once; the
 * answer is there when the handle was flushed. What came of it is shown in order afterwards, the same either way.
 */
#ifndef KYNETA_TESTS_CONTRACT_MODEL_CALL_H
#define KYNETA_TESTS_CONTRACT_MODEL_CALL_H

#include "tests/contract/model.h"

struct model_call {
	struct step step;
	unsigned key; /* the layout whose key its metadata has */
	bool has_expect;
	struct kyneta_store_position expect;
	/* What came of it. */
	unsigned answers; /* exactly one */
	struct kyneta_store_error error;
	struct kyneta_store_position at;
	size_t count; /* of the records, or ids, that came */
	unsigned char codes[MODEL_LENGTH_MAX + 1];
};

/* model_call_is_one(step) - is it a call with one answer: a write, current_meta, load_all, list_doc_ids or sync? */
bool model_call_is_one(const struct step *step);

/* model_call_is_write(step) */
bool model_call_is_write(const struct step *step);

/* model_call_init(call, step, key) - nothing is expected, nothing came. */
void model_call_init(struct model_call *call, const struct step *step, unsigned key);

/* model_call_now(call, store) - make it, and wait for what comes. */
void model_call_now(struct model_call *call, kyneta_store *store);

/* model_call_queue(call, store) - queue it; *call is filled in until kyneta_store_flush(store) returns. */
void model_call_queue(struct model_call *call, kyneta_store *store);

/* model_call_show(call, model, text) - what came of it, as in a struct model_outcome; @model learns generations. */
void model_call_show(const struct model_call *call, struct model *model, char text[MODEL_TEXT_MAX]);

/* model_call_show_failure(error, is_write, text) - the same of a failure. */
void model_call_show_failure(const struct kyneta_store_error *error, bool is_write, char text[MODEL_TEXT_MAX]);

#endif
