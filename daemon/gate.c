#include "daemon/gate.h"

#include "daemon/stats.h"

void gate_init(struct gate *gate)
{
	*gate = (struct gate){.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
}

void gate_destroy(struct gate *gate)
{
	pthread_cond_destroy(&gate->changed);
	pthread_mutex_destroy(&gate->mutex);
}

void gate_enter(struct gate *gate)
{
	pthread_mutex_lock(&gate->mutex);
	while (gate->closed)
		pthread_cond_wait(&gate->changed, &gate->mutex);
	gate->inside++;
	pthread_mutex_unlock(&gate->mutex);
}

bool gate_try_enter(struct gate *gate)
{
	bool entered;

	pthread_mutex_lock(&gate->mutex);
	entered = !gate->closed;
	gate->inside += entered;
	pthread_mutex_unlock(&gate->mutex);
	return entered;
}

void gate_leave(struct gate *gate)
{
	pthread_mutex_lock(&gate->mutex);
	gate->left++;
	if (--gate->inside == 0 && gate->closed)
		pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->mutex);
}

void gate_close(struct gate *gate)
{
	pthread_mutex_lock(&gate->mutex);
	gate->closed = true;
	gate->left = 0;
	while (gate->inside > 0)
		pthread_cond_wait(&gate->changed, &gate->mutex);
	stats_max(gate_pages_max, gate->left);
	pthread_mutex_unlock(&gate->mutex);
}

void gate_open(struct gate *gate)
{
	pthread_mutex_lock(&gate->mutex);
	gate->closed = false;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->mutex);
}

static void close_hook(void *context)
{
	gate_close(context);
}

static void open_hook(void *context)
{
	gate_open(context);
}

struct engine_gate gate_hooks(struct gate *gate)
{
	return (struct engine_gate){close_hook, open_hook, gate};
}
