/* gate: closing waits for those inside, and for nobody else. */
#include "daemon/gate.h"
#include "daemon/stats.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <stdatomic.h>

static struct gate gate;
static _Atomic bool is_inside, is_shut;

static bool is_closing(void)
{
	bool closed;

	pthread_mutex_lock(&gate.mutex);
	closed = gate.closed;
	pthread_mutex_unlock(&gate.mutex);
	return closed;
}

static pthread_t start(void *(*run)(void *))
{
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, run, NULL), 0);
	return thread;
}

static void *enter_and_leave(void *context)
{
	gate_enter(&gate);
	atomic_store(&is_inside, true);
	gate_leave(&gate);
	return context;
}

static void *shut(void *context)
{
	gate_close(&gate);
	atomic_store(&is_shut, true);
	return context;
}

static void set_up(void)
{
	gate_init(&gate);
	atomic_store(&is_inside, false);
	atomic_store(&is_shut, false);
}

static void tear_down(void)
{
	gate_destroy(&gate);
}

TestSuite(gate, .init = set_up, .fini = tear_down, .timeout = 60);

Test(gate, lets_many_in_at_once)
{
	gate_enter(&gate);
	pthread_join(start(enter_and_leave), NULL);
	cr_assert(atomic_load(&is_inside));
	gate_leave(&gate);
}

Test(gate, closing_an_empty_one_waits_for_nobody)
{
	gate_close(&gate);
	cr_assert_eq(stats_get(gate_pages_max), 0);
	gate_open(&gate);
	gate_enter(&gate);
	gate_leave(&gate);
}

Test(gate, closing_waits_for_those_inside_and_keeps_others_out)
{
	pthread_t closer, reader;

	gate_enter(&gate);
	gate_enter(&gate);
	closer = start(shut);
	while (!is_closing())
		sched_yield();
	reader = start(enter_and_leave);
	gate_leave(&gate);
	cr_assert_not(atomic_load(&is_shut)); /* one is still inside */
	gate_leave(&gate);
	pthread_join(closer, NULL);
	/* It came while the gate closed: neither waited for nor let in. */
	cr_assert_not(atomic_load(&is_inside));
	cr_assert_eq(gate.inside, 0);
	cr_assert_eq(stats_get(gate_pages_max), 2);
	gate_open(&gate);
	pthread_join(reader, NULL);
	cr_assert(atomic_load(&is_inside));
}

Test(gate, hooks_do_the_same)
{
	struct engine_gate hooks = gate_hooks(&gate);
	pthread_t reader;

	hooks.close(hooks.context);
	reader = start(enter_and_leave);
	cr_assert_not(atomic_load(&is_inside));
	hooks.open(hooks.context);
	pthread_join(reader, NULL);
	cr_assert(atomic_load(&is_inside));
}
