/* reader: when small reads are answered at once, on the calling thread. */
#include "daemon/reader.h"

#include <criterion/criterion.h>
#include <time.h>

#include "daemon/clock.h"
#include "daemon/gate.h"

/* Far beyond what a look-up may take. */
#define SLOW_US 5000

static enum pace { QUICK, SLEEPS, SPINS } look_up;
static struct gate gate;
static struct readers *readers;

static int open_reader(struct engine *engine, struct engine_reader **reader, struct failure *failure)
{
	static const struct engine_class *class;
	static struct engine_reader only;

	(void)failure;
	class = engine->class;
	only.class = class;
	*reader = &only;
	return 0;
}

static void close_reader(struct engine_reader *reader)
{
	(void)reader;
}

/* What is asked for is not found out: it is about how long that takes. */
static int begin(struct engine_reader *reader, struct failure *failure)
{
	uint64_t until = clock_us() + SLOW_US;

	(void)reader;
	while (look_up != QUICK && clock_us() < until)
		if (look_up == SLEEPS)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	return failure_set(failure, ERROR_IO_ERROR, "a look-up of the test");
}

static const struct engine_class class = {
    .name = "test",
    .reader_open = open_reader,
    .reader_close = close_reader,
    .reader_begin = begin,
};

static void finished(void *context, struct job_list *jobs)
{
	(void)context;
	(void)jobs;
}

static void set_up(void)
{
	static struct engine engine = {.class = &class};
	struct readers_options options = {.engine = &engine, .gate = &gate, .finished = finished};
	struct failure failure = {0};

	gate_init(&gate);
	cr_assert_eq(readers_start(&options, &readers, &failure), 0);
}

static void tear_down(void)
{
	readers_stop(readers);
	gate_destroy(&gate);
}

TestSuite(reader, .init = set_up, .fini = tear_down, .timeout = 60);

/* So many requests of this kind: were they answered at once? */
static bool ask(enum pace how, enum operation operation, size_t count)
{
	struct job_list jobs = {0};
	size_t answered = 0;
	bool at_once;

	look_up = how;
	for (size_t i = 0; i < count; i++) {
		struct job *job = job_new(0);

		job->request.operation = operation;
		job_list_push(&jobs, job);
	}
	at_once = readers_at_once(readers, &jobs);
	for (struct job *job; (job = job_list_pop(&jobs)) != NULL; job_free(job))
		answered += job->code == ERROR_IO_ERROR;
	cr_assert_eq(answered, at_once ? count : 0);
	return at_once;
}

Test(reader, answers_a_few_small_reads_at_once)
{
	cr_assert(ask(QUICK, OPERATION_CURRENT_META, 1));
	cr_assert(ask(QUICK, OPERATION_CURRENT_META, 8));
	cr_assert_not(ask(QUICK, OPERATION_CURRENT_META, 9));
	cr_assert_not(ask(QUICK, OPERATION_CURRENT_META, 0));
	cr_assert_not(ask(QUICK, OPERATION_LOAD_ALL, 1));
	gate_close(&gate);
	cr_assert_not(ask(QUICK, OPERATION_CURRENT_META, 1));
	gate_open(&gate);
	cr_assert(ask(QUICK, OPERATION_CURRENT_META, 1));
}

Test(reader, leaves_them_to_the_threads_after_one_that_waited_for_the_disk)
{
	int tries = 0;

	/* The test's own thread may sleep for longer than they are left. */
	do
		cr_assert_lt(tries++, 20);
	while (!ask(SLEEPS, OPERATION_CURRENT_META, 1) || ask(QUICK, OPERATION_CURRENT_META, 1));
}

Test(reader, goes_on_after_one_that_lost_the_processor)
{
	cr_assert(ask(SPINS, OPERATION_CURRENT_META, 1));
	cr_assert(ask(QUICK, OPERATION_CURRENT_META, 1));
}
