#include "tests/bench/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/clock.h"
#include "tests/bench/generator.h"

/* A generator, seen by the parent. */
struct child {
	pid_t pid;
	int socket;
	struct generator_result *result;
};

struct load {
	const struct load_group *groups;
	unsigned groups_count;
	struct child *children;
	unsigned count, first_count; /* all; of the first group */
	_Atomic int *phase;	     /* in memory shared with the children, before their results */
	struct generator_result *results;
	size_t memory_size;
	void *memory;
};

static int fail(const char *what)
{
	fprintf(stderr, "kyneta-store-bench: %s: %s\n", what, strerror(errno));
	return -1;
}

static int make_memory(struct load *load)
{
	for (unsigned i = 0; i < load->groups_count; i++)
		load->count += load->groups[i].work->generators;
	load->first_count = load->groups[0].work->generators;
	load->memory_size = 64 + load->count * sizeof(*load->results);
	load->memory = mmap(NULL, load->memory_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	load->children = calloc(load->count, sizeof(*load->children));
	if (load->memory == MAP_FAILED || load->children == NULL)
		return fail("load");
	load->phase = load->memory;
	load->results = (void *)((char *)load->memory + 64);
	return 0;
}

static int start_child(struct load *load, const struct load_group *group, unsigned number, struct child *child)
{
	struct generator_options options = {
	    .group = group, .number = number, .phase = load->phase, .result = child->result};
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
		return fail("socketpair");
	fflush(NULL);
	child->pid = fork();
	if (child->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Wait for the moment, not for 50 us more. */
		prctl(PR_SET_TIMERSLACK, 1);
		close(sockets[0]);
		options.parent = sockets[1];
		_exit(generator_run(&options));
	}
	close(sockets[1]);
	child->socket = sockets[0];
	return child->pid < 0 ? fail("fork") : 0;
}

static int start_children(struct load *load)
{
	struct child *child = load->children;

	for (unsigned i = 0; i < load->count; i++) {
		load->children[i].socket = -1;
		load->children[i].result = &load->results[i];
	}
	for (unsigned i = 0; i < load->groups_count; i++)
		for (unsigned j = 0; j < load->groups[i].work->generators; j++)
			if (start_child(load, &load->groups[i], j, child++) != 0)
				return -1;
	return 0;
}

/* Waits until all have their connections, then lets all begin. */
static int begin(struct load *load)
{
	char byte;

	for (unsigned i = 0; i < load->count; i++)
		if (read(load->children[i].socket, &byte, 1) != 1)
			return -1; /* it has said why */
	for (unsigned i = 0; i < load->count; i++)
		if (write(load->children[i].socket, &byte, 1) != 1)
			return -1;
	return 0;
}

static int wait_for(struct child *child)
{
	int status;

	if (child->pid <= 0)
		return 0;
	if (waitpid(child->pid, &status, 0) != child->pid)
		return fail("waitpid");
	child->pid = 0;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* A generator that failed closes its socket: then there is nothing to wait for. */
static int wait_until(struct load *load, uint64_t ns)
{
	struct child *child = &load->children[0];
	char byte;

	clock_wait_until(ns);
	for (; child < load->children + load->count; child++)
		if (recv(child->socket, &byte, 1, MSG_DONTWAIT) == 0)
			return -1;
	return 0;
}

static int count_by_time(struct load *load, const struct load_hooks *hooks, double *seconds)
{
	const struct work *work = load->groups[0].work;
	uint64_t start;
	int failed = wait_until(load, clock_ns() + (uint64_t)(work->warm_up * (double)NS_PER_SECOND));

	start = clock_ns();
	atomic_store(load->phase, PHASE_COUNTING);
	if (hooks != NULL)
		hooks->begin(hooks->context);
	if (failed == 0)
		failed = wait_until(load, start + (uint64_t)(work->seconds * (double)NS_PER_SECOND));
	*seconds = clock_seconds(clock_ns() - start);
	atomic_store(load->phase, PHASE_STOPPING);
	if (hooks != NULL)
		hooks->end(hooks->context);
	return failed;
}

/* The first group ends by itself. */
static int count_all(struct load *load, const struct load_hooks *hooks, double *seconds)
{
	uint64_t begin_ns = UINT64_MAX, end_ns = 0;
	int failed = 0;

	for (unsigned i = 0; i < load->first_count; i++)
		failed |= wait_for(&load->children[i]);
	atomic_store(load->phase, PHASE_STOPPING);
	if (hooks != NULL)
		hooks->end(hooks->context);
	for (unsigned i = 0; i < load->first_count; i++) {
		if (load->results[i].begin_ns < begin_ns)
			begin_ns = load->results[i].begin_ns;
		if (load->results[i].end_ns > end_ns)
			end_ns = load->results[i].end_ns;
	}
	*seconds = clock_seconds(end_ns - begin_ns);
	return failed;
}

static void add_up(const struct load *load, double seconds)
{
	const struct generator_result *part = load->results;

	for (unsigned i = 0; i < load->groups_count; i++) {
		struct load_result *result = load->groups[i].result;

		memset(result, 0, sizeof(*result));
		result->seconds = seconds;
		for (unsigned j = 0; j < load->groups[i].work->generators; j++, part++) {
			result->requests += part->requests;
			result->items += part->items;
			result->cpu += (double)part->cpu_ns / (double)(part->end_ns - part->begin_ns + 1);
			for (unsigned k = 0; k < WORK_OPERATIONS; k++) {
				histogram_merge(&result->latency[k], &part->latency[k]);
				histogram_merge(&result->all, &part->latency[k]);
			}
		}
	}
}

static void release(struct load *load)
{
	for (unsigned i = 0; load->results != NULL && i < load->count; i++) {
		if (load->children[i].pid > 0) {
			kill(load->children[i].pid, SIGKILL);
			wait_for(&load->children[i]);
		}
		if (load->children[i].socket >= 0)
			close(load->children[i].socket);
	}
	free(load->children);
	if (load->memory != MAP_FAILED)
		munmap(load->memory, load->memory_size);
}

int load_run(const struct load_group *groups, unsigned count, const struct load_hooks *hooks)
{
	struct load load = {.groups = groups, .groups_count = count, .memory = MAP_FAILED};
	bool by_time = groups[0].work->requests == 0;
	double seconds = 0;
	int failed = make_memory(&load);

	if (failed == 0)
		failed = start_children(&load);
	if (failed == 0 && !by_time) {
		atomic_store(load.phase, PHASE_COUNTING);
		if (hooks != NULL)
			hooks->begin(hooks->context);
	}
	if (failed == 0)
		failed = begin(&load);
	if (failed == 0)
		failed = by_time ? count_by_time(&load, hooks, &seconds) : count_all(&load, hooks, &seconds);
	for (unsigned i = 0; failed == 0 && i < load.count; i++)
		failed = wait_for(&load.children[i]);
	if (failed == 0)
		add_up(&load, seconds);
	release(&load);
	return failed;
}
