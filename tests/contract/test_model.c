/*
 * Random sequences of calls, by the thousand: the daemon does what a simple model of the contract says (model.h).
 *
 *     contract-model                            other sequences each time
 *     contract-model --seed N                   the same again
 *     contract-model --sequences N              so many of them
 *     contract-model --replay "kind=0 a0.0.0.0:0 …"    this one, which a failure printed
 *     contract-model --mistake NAME             with a model that is wrong: fails, and shows how failures look
 *
 * A sequence that fails is made as short as it goes, and printed as calls and as a line to replay. That this works is
 * tested with models that are wrong (MODEL_MISTAKES).
 */
#include <criterion/criterion.h>
#include <criterion/options.h>
#include <stdlib.h>
#include <sys/random.h>

#include "tests/contract/harness.h"
#include "tests/contract/model_run.h"
#include "tests/contract/model_shrink.h"

TestSuite(model, .init = harness_init, .fini = harness_fini, .timeout = 600);

#define SEQUENCES	    896
#define SEQUENCES_SANITIZED 256
/* Within so many sequences each mistake must show. */
#define SEQUENCES_TO_FAIL 20000

/* The sanitizers look at the daemon, which makes no mistakes here: one of so many then. */
#define MISTAKES_SANITIZED_STEP 8

/* Options reach the tests, which are processes of their own, through the environment. */
#define SEED_VARIABLE	   "KYNETA_MODEL_SEED"
#define SEQUENCES_VARIABLE "KYNETA_MODEL_SEQUENCES"
#define REPLAY_VARIABLE	   "KYNETA_MODEL_REPLAY"
#define MISTAKE_VARIABLE   "KYNETA_MODEL_MISTAKE"

static const struct {
	const char *name, *belief;
	size_t steps;
} mistakes[] = {
#define X(name, belief, steps) {#name, belief, steps},
    MODEL_MISTAKES(X)
#undef X
};

static enum model_mistake mistake_of(const char *name)
{
	unsigned found = 0;

	while (name != NULL && found < MISTAKE_COUNT && strcmp(mistakes[found].name, name) != 0)
		found++;
	cr_assert_lt(found, MISTAKE_COUNT, "no mistake is called %s", name);
	return (enum model_mistake)found;
}

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);

	return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static uint64_t any_seed(void)
{
	uint32_t seed;

	cr_assert_eq(getrandom(&seed, sizeof(seed), 0), (ssize_t)sizeof(seed));
	return 1 + (uint64_t)seed;
}

static bool is_sanitized(void)
{
	const char *text = getenv("KYNETA_SANITIZED");

	return text != NULL && strcmp(text, "1") == 0;
}

/* ---- a failure ---- */

struct failing {
	enum model_mistake mistake;
	struct model_difference difference;
};

/* On a database of its own, that nothing before can have spoiled. */
static bool fails(void *context, const struct sequence *sequence)
{
	struct failing *failing = context;
	struct model_difference difference;

	if (failing->mistake == MISTAKE_NONE)
		model_renew();
	if (model_run(sequence, failing->mistake, &difference))
		return false;
	failing->difference = difference;
	return true;
}

static void show(const struct sequence *sequence, const struct failing *failing)
{
	for (size_t i = 0; i < sequence->count && i < failing->difference.step; i++) {
		fprintf(stderr, "    ");
		step_show(&sequence->steps[i], stderr);
		fprintf(stderr, ";\n");
	}
	fprintf(stderr, "    ");
	step_show(&failing->difference.what, stderr);
	fprintf(stderr, ";%s\n        must give: %s\n        and gives: %s\n    again: contract-model%s%s --replay \"",
		failing->difference.step == sequence->count ? " (behind the last step)" : "",
		failing->difference.expected, failing->difference.found,
		failing->mistake == MISTAKE_NONE ? "" : " --mistake ",
		failing->mistake == MISTAKE_NONE ? "" : mistakes[failing->mistake].name);
	sequence_write(sequence, stderr);
	fprintf(stderr, "\"\n");
}

/* Makes *sequence, which has failed, as short as it goes, and prints it. */
static void explain(struct sequence *sequence, struct failing *failing, uint64_t first_seed, uint64_t seed)
{
	fprintf(stderr, "the sequence of seed %llu, %zu steps, fails", (unsigned long long)seed, sequence->count);
	if (!fails(failing, sequence)) {
		fprintf(stderr, " only behind others: contract-model --seed %llu --sequences %llu\n",
			(unsigned long long)first_seed, (unsigned long long)(seed - first_seed + 1));
		show(sequence, failing);
		return;
	}
	model_shrink(sequence, fails, failing);
	fails(failing, sequence);
	fprintf(stderr, "; made short:\n");
	show(sequence, failing);
}

/* ---- the tests ---- */

static void replay(const char *line, enum model_mistake mistake)
{
	struct failing failing = {.mistake = mistake};
	struct sequence sequence;

	cr_assert(sequence_read(&sequence, line), "this is no sequence: %s", line);
	if (!fails(&failing, &sequence)) {
		stored_end(&stored);
		return;
	}
	show(&sequence, &failing);
	cr_assert_fail("daemon and model differ");
}

Test(model, random_sequences_agree_with_the_model)
{
	uint64_t count = number_of(SEQUENCES_VARIABLE, is_sanitized() ? SEQUENCES_SANITIZED : SEQUENCES);
	uint64_t first = number_of(SEED_VARIABLE, any_seed());
	struct failing failing = {.mistake = MISTAKE_NONE};
	struct sequence sequence;

	if (getenv(MISTAKE_VARIABLE) != NULL)
		failing.mistake = mistake_of(getenv(MISTAKE_VARIABLE));
	if (getenv(REPLAY_VARIABLE) != NULL) {
		replay(getenv(REPLAY_VARIABLE), failing.mistake);
		return;
	}
	fprintf(stderr, "the sequences of contract-model --seed %llu --sequences %llu\n", (unsigned long long)first,
		(unsigned long long)count);
	for (uint64_t seed = first; seed < first + count; seed++) {
		sequence_make(&sequence, seed);
		if (model_run(&sequence, failing.mistake, &failing.difference))
			continue;
		explain(&sequence, &failing, first, seed);
		cr_assert_fail("daemon and model differ");
	}
	stored_end(&stored);
}

Test(model, every_mistake_in_the_model_is_found_and_made_short)
{
	for (unsigned i = 1; i < MISTAKE_COUNT; i += is_sanitized() ? MISTAKES_SANITIZED_STEP : 1) {
		struct failing failing = {.mistake = (enum model_mistake)i};
		struct sequence sequence, again;
		uint64_t seed = 0;
		char *line = NULL;
		size_t size;
		FILE *out;

		do {
			cr_assert_lt(++seed, SEQUENCES_TO_FAIL, "not noticed: %s", mistakes[i].belief);
			sequence_make(&sequence, seed);
		} while (!fails(&failing, &sequence));
		model_shrink(&sequence, fails, &failing);
		cr_assert_leq(sequence.count, mistakes[i].steps, "%s: %zu steps", mistakes[i].belief, sequence.count);
		/* What is printed does the same again, and is right with the model that is. */
		out = open_memstream(&line, &size);
		cr_assert_not_null(out);
		sequence_write(&sequence, out);
		fclose(out);
		cr_assert(sequence_read(&again, line), "%s", line);
		cr_assert(fails(&failing, &again), "%s", line);
		cr_assert(model_run(&again, MISTAKE_NONE, &failing.difference), "%s", line);
		free(line);
	}
	stored_end(&stored);
}

/* Takes the options that are the model's own, so that Criterion does not see them. They are about one of the tests. */
static int take_options(int argc, char **argv)
{
	static const char *const options[][2] = {{"--seed", SEED_VARIABLE},
						 {"--sequences", SEQUENCES_VARIABLE},
						 {"--replay", REPLAY_VARIABLE},
						 {"--mistake", MISTAKE_VARIABLE}};
	int kept = 1;

	for (int i = 1; i < argc; i++) {
		bool is_taken = false;

		for (size_t j = 0; j < sizeof(options) / sizeof(*options) && i + 1 < argc && !is_taken; j++) {
			is_taken = strcmp(argv[i], options[j][0]) == 0;
			if (is_taken) {
				setenv(options[j][1], argv[++i], 1);
				criterion_options.pattern = "model/random_*";
			}
		}
		if (!is_taken)
			argv[kept++] = argv[i];
	}
	argv[kept] = NULL;
	return kept;
}

int main(int argc, char **argv)
{
	struct criterion_test_set *tests = criterion_initialize();
	int passed = 1;

	argc = take_options(argc, argv);
	if (criterion_handle_args(argc, argv, true))
		passed = criterion_run_all_tests(tests);
	criterion_finalize(tests);
	return passed ? 0 : 1;
}
