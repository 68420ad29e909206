#include "client/ctl/loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>

/* Some send the same signal twice at once (timeout(1): to the process and to its group): that is one wish, not two. */
#define SECOND_SIGNAL_US 500000

static volatile sig_atomic_t caught;
static int64_t caught_us; /* of the handler alone */

static void on_signal(int number)
{
	int saved = errno;

	if (caught == 0) {
		caught_us = loop_now_us();
		caught = number;
	} else if (loop_now_us() - caught_us > SECOND_SIGNAL_US) {
		signal(number, SIG_DFL);
		raise(number); /* comes when this handler returns */
	}
	errno = saved;
}

static void each_signal(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

void loop_catch_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal};
	struct sigaction old;

	each_signal(&action.sa_mask);
	/* No SA_RESTART: a read or write that blocks is to end. */
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
}

int loop_signal(void)
{
	return caught;
}

int64_t loop_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void loop_init(struct loop *loop, int timeout_ms)
{
	*loop = (struct loop){.timeout_ms = timeout_ms};
}

static void on_state(void *context, int state, const struct kyneta_store_error *error)
{
	struct handle *handle = context;

	handle->state = state;
	if (state == KYNETA_STORE_READY) {
		handle->was_ready = true;
		handle->error.code = 0;
		loop_progress(handle->loop);
	}
	if (error != NULL)
		handle->error = *error;
}

static void note_end(struct handle *handle, int code)
{
	if (code == 0 || handle->state == KYNETA_STORE_CLOSED)
		return;
	handle->state = KYNETA_STORE_CLOSED;
	if (handle->error.code == 0) {
		handle->error.code = code;
		handle->error.outcome = KYNETA_STORE_NO_OUTCOME;
	}
}

int loop_open(struct loop *loop, struct handle *handle, struct kyneta_store_options *options, enum loop_result *result)
{
	int rc;

	*handle = (struct handle){.loop = loop, .state = KYNETA_STORE_CONNECTING};
	*result = LOOP_OK;
	options->state = on_state;
	options->state_context = handle;
	if (loop->count == LOOP_HANDLES_MAX) {
		handle->error.code = KYNETA_STORE_EMISUSE;
		strcpy(handle->error.message, "too many stores are open at the same time");
		return KYNETA_STORE_EMISUSE;
	}
	rc = kyneta_store_new(options, &handle->store, &handle->error);
	if (rc != 0)
		return rc;
	loop->handles[loop->count++] = handle;
	loop_progress(loop);
	while (handle->state == KYNETA_STORE_CONNECTING && *result == LOOP_OK)
		*result = loop_turn(loop, true);
	return 0;
}

void loop_close(struct handle *handle)
{
	struct loop *loop = handle->loop;

	if (handle->store == NULL)
		return;
	for (size_t i = 0; i < loop->count; i++) {
		if (loop->handles[i] == handle) {
			loop->handles[i] = loop->handles[--loop->count];
			break;
		}
	}
	kyneta_store_free(handle->store);
	handle->store = NULL;
}

/* What is left of the time in which something must come, and when a handle wants to be called at the latest; -1: never.
 */
static int poll_timeout(const struct loop *loop)
{
	int timeout_ms = -1;

	if (loop->timeout_ms >= 0) {
		int64_t left_us = (int64_t)loop->timeout_ms * 1000 - loop->waited_us;

		timeout_ms = left_us > 0 ? (int)((left_us + 999) / 1000) : 0;
	}
	for (size_t i = 0; i < loop->count; i++) {
		const struct handle *handle = loop->handles[i];
		int own_ms = handle->state == KYNETA_STORE_CLOSED ? -1 : kyneta_store_timeout(handle->store);

		if (own_ms >= 0 && (timeout_ms < 0 || own_ms < timeout_ms))
			timeout_ms = own_ms;
	}
	return timeout_ms;
}

static void sleep_until_ready(struct loop *loop)
{
	struct pollfd fds[LOOP_HANDLES_MAX];
	struct timespec time, *limit = NULL;
	sigset_t block, old;
	int timeout_ms = poll_timeout(loop);
	int64_t start_us;

	for (size_t i = 0; i < loop->count; i++) {
		const struct handle *handle = loop->handles[i];
		bool closed = handle->state == KYNETA_STORE_CLOSED;

		fds[i] = (struct pollfd){.fd = closed ? -1 : kyneta_store_fd(handle->store)};
		fds[i].events = kyneta_store_events(handle->store);
	}
	if (timeout_ms >= 0) {
		time = (struct timespec){timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
		limit = &time;
	}
	/* Blocked while looking whether one came, so that none comes unnoticed between that and the sleep. */
	each_signal(&block);
	sigprocmask(SIG_BLOCK, &block, &old);
	if (caught == 0 || loop->finishing) {
		start_us = loop_now_us();
		ppoll(fds, (nfds_t)loop->count, limit, &old);
		loop->waited_us += loop_now_us() - start_us;
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
}

enum loop_result loop_turn(struct loop *loop, bool wait)
{
	if (loop->progress)
		loop->waited_us = 0;
	loop->progress = false;
	if (wait)
		sleep_until_ready(loop);
	if (caught != 0 && !loop->finishing)
		return LOOP_INTERRUPTED;
	for (size_t i = 0; i < loop->count; i++)
		note_end(loop->handles[i], kyneta_store_process(loop->handles[i]->store));
	if (loop->progress || loop->timeout_ms < 0 || loop->waited_us < (int64_t)loop->timeout_ms * 1000)
		return LOOP_OK;
	return LOOP_TIMEOUT;
}
