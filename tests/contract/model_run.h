/*
 * model_run: does the daemon what the model says?
 *
 * A sequence is run on two stores that nobody has used before, in the database of the test's daemon, through the client
 * library. The daemon runs in the sequence's way; calls wait for the answers of those before them, or do not. Behind
 * the last step all loads are ended, and every document of it is loaded.
 */
#ifndef KYNETA_TESTS_CONTRACT_MODEL_RUN_H
#define KYNETA_TESTS_CONTRACT_MODEL_RUN_H

#include "tests/contract/model.h"

/* Where daemon and model differ. */
struct model_difference {
	size_t step; /* the sequence's length: behind its last one */
	struct step what;
	char expected[MODEL_TEXT_MAX], found[MODEL_TEXT_MAX];
};

/* model_run(sequence, mistake, difference) - true: they agree. */
bool model_run(const struct sequence *sequence, enum model_mistake mistake, struct model_difference *difference);

/* model_renew() - a new daemon, whatever became of the last one, on a new database. */
void model_renew(void);

#endif
