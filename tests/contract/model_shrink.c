#include "tests/contract/model_shrink.h"

#include <string.h>

struct shrinking {
	struct sequence *best;
	model_fails_fn fails;
	void *context;
};

/* The better one, if it fails too. */
static bool take(struct shrinking *shrinking, const struct sequence *candidate)
{
	if (!shrinking->fails(shrinking->context, candidate))
		return false;
	*shrinking->best = *candidate;
	return true;
}

static bool leave_out(struct shrinking *shrinking, size_t first, size_t count)
{
	struct sequence candidate = *shrinking->best;

	memmove(candidate.steps + first, candidate.steps + first + count,
		(candidate.count - first - count) * sizeof(*candidate.steps));
	candidate.count -= count;
	return take(shrinking, &candidate);
}

/* From behind: the end of a sequence is what failed, what comes before it leads there. */
static bool leave_out_steps(struct shrinking *shrinking)
{
	bool any = false;

	for (size_t size = shrinking->best->count / 2; size > 0; size /= 2)
		for (size_t first = shrinking->best->count; first >= size; first = first > size ? first - size : 0)
			if (first >= size && first <= shrinking->best->count)
				any |= leave_out(shrinking, first - size, size);
	return any;
}

static bool leave_out_records(struct shrinking *shrinking, size_t number)
{
	bool any = false;

	for (unsigned i = shrinking->best->steps[number].count; i-- > 0;) {
		struct sequence candidate = *shrinking->best;
		struct step *step = &candidate.steps[number];

		memmove(step->records + i, step->records + i + 1, step->count - i - 1U);
		step->count--;
		any |= take(shrinking, &candidate);
	}
	return any;
}

/* @field, of the sequence that is the best, becomes 0. */
static bool simplify(struct shrinking *shrinking, unsigned char *field)
{
	size_t offset = (size_t)(field - (unsigned char *)shrinking->best);
	struct sequence candidate = *shrinking->best;

	if (*field == 0)
		return false;
	((unsigned char *)&candidate)[offset] = 0;
	return take(shrinking, &candidate);
}

static bool simplify_step(struct shrinking *shrinking, size_t number)
{
	struct step *step = &shrinking->best->steps[number];
	bool any = leave_out_records(shrinking, number);

	any |= simplify(shrinking, &step->handle);
	any |= simplify(shrinking, &step->document);
	any |= simplify(shrinking, &step->expect);
	any |= simplify(shrinking, &step->durability);
	for (unsigned i = 0; i < step->count; i++)
		any |= simplify(shrinking, &step->records[i]);
	return any;
}

void model_shrink(struct sequence *sequence, model_fails_fn fails, void *context)
{
	struct shrinking shrinking = {sequence, fails, context};
	bool any;

	do {
		any = leave_out_steps(&shrinking);
		for (size_t i = 0; i < sequence->count; i++)
			any |= simplify_step(&shrinking, i);
		any |= simplify(&shrinking, &sequence->kind);
		any |= simplify(&shrinking, &sequence->way);
		any |= simplify(&shrinking, &sequence->piped);
	} while (any);
}
