/*
 * model_shrink: the shortest sequence that still fails.
 *
 * Delta debugging: steps are left out, half of them at a time, then fewer, down to each alone; then records of writes;
 * then every number in a step becomes 0, if that still fails. Any difference counts as the failure: what is left is
 * the shortest way to some difference.
 */
#ifndef KYNETA_TESTS_CONTRACT_MODEL_SHRINK_H
#define KYNETA_TESTS_CONTRACT_MODEL_SHRINK_H

#include "tests/contract/model_step.h"

/* Does this sequence fail? */
typedef bool (*model_fails_fn)(void *context, const struct sequence *sequence);

/* model_shrink(sequence, fails, context) - *sequence fails, before and after. */
void model_shrink(struct sequence *sequence, model_fails_fn fails, void *context);

#endif
