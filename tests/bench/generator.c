#include "tests/bench/generator.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/clock.h"

/* How often the phase is looked at while nothing happens. */
#define LOOK_NS (NS_PER_SECOND / 20)

/* Answers that do not come for so long after the end will not come. */
#define DRAIN_NS (120 * NS_PER_SECOND)

/* Open loop: requests without an answer beyond this wait here, with their due time running. */
#define OUTSTANDING_MAX 1000000

struct generator;
struct connection;

/* One request in flight. */
struct slot {
	struct slot *next; /* free */
	struct connection *connection;
	uint64_t since_ns;
	enum work_operation operation;
};

struct connection {
	struct generator *generator;
	struct backend_link *link;
	struct work_source source;
	uint64_t left; /* requests to send */
	uint32_t events;
	bool dirty; /* something was queued and not pushed */
};

struct generator {
	const struct generator_options *options;
	const struct work *work;
	const struct backend *backend;
	struct generator_result *result;
	struct connection *connections;
	unsigned count;
	int epoll;
	uint64_t outstanding;
	struct slot *free;
	bool stopping, failed;
	/* open loop */
	uint64_t due_ns, interval_ns, sent;
};

static void fail(struct generator *generator, const char *what, const char *reason)
{
	if (!generator->failed)
		fprintf(stderr, "kyneta-store-bench: %s: %s\n", what, reason);
	generator->failed = true;
	generator->stopping = true;
}

static void answered(void *token, const char *problem, uint64_t items);

/* ---- connections ---- */

static int watch(struct generator *generator, struct connection *connection)
{
	short wanted = generator->backend->events(connection->link);
	uint32_t events = (wanted & POLLIN ? EPOLLIN : 0u) | (wanted & POLLOUT ? EPOLLOUT : 0u);
	struct epoll_event event = {.events = events, .data.ptr = connection};
	int operation = connection->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (events == connection->events)
		return 0;
	connection->events = events;
	return epoll_ctl(generator->epoll, operation, connection->link->fd, &event);
}

/* How many of the requests are this connection's: as equal as can be. */
static uint64_t share_of(const struct work *work, unsigned connection)
{
	if (work->requests == 0)
		return UINT64_MAX;
	return work->requests / work->connections + (connection < work->requests % work->connections);
}

static int open_connections(struct generator *generator)
{
	const struct load_group *group = generator->options->group;
	const struct work *work = generator->work;

	for (unsigned i = generator->options->number; i < work->connections; i += work->generators) {
		struct connection *connection = &generator->connections[generator->count];

		if (group->backend->open(group->address, &connection->link) != 0)
			return -1;
		generator->count++;
		connection->generator = generator;
		connection->link->done = answered;
		connection->left = share_of(work, i);
		work_source_init(&connection->source, work, i);
		if (watch(generator, connection) != 0) {
			fail(generator, "epoll", strerror(errno));
			return -1;
		}
	}
	return 0;
}

static void close_connections(struct generator *generator)
{
	for (unsigned i = 0; i < generator->count; i++) {
		generator->backend->close(generator->connections[i].link);
		work_source_free(&generator->connections[i].source);
	}
	while (generator->free != NULL) {
		struct slot *slot = generator->free;

		generator->free = slot->next;
		free(slot);
	}
}

/* ---- requests ---- */

static void send_one(struct connection *connection, struct slot *slot, uint64_t since_ns)
{
	struct generator *generator = connection->generator;
	const struct work_request *request = work_next(&connection->source);

	slot->connection = connection;
	slot->since_ns = since_ns;
	slot->operation = request->operation;
	if (generator->backend->send(connection->link, request, slot) != 0) {
		generator->failed = generator->stopping = true;
		return;
	}
	connection->left--;
	connection->dirty = true;
	generator->outstanding++;
}

static void answered(void *token, const char *problem, uint64_t items)
{
	struct slot *slot = token;
	struct connection *connection = slot->connection;
	struct generator *generator = connection->generator;
	uint64_t now = clock_ns();

	generator->outstanding--;
	if (problem != NULL) {
		fail(generator, "a request failed", problem);
		return;
	}
	if (atomic_load_explicit(generator->options->phase, memory_order_relaxed) == PHASE_COUNTING) {
		generator->result->requests++;
		generator->result->items += items;
		histogram_record(&generator->result->latency[slot->operation], now - slot->since_ns);
	}
	if (generator->interval_ns == 0 && !generator->stopping && connection->left > 0) {
		send_one(connection, slot, now);
		return;
	}
	slot->next = generator->free;
	generator->free = slot;
}

static struct slot *take_slot(struct generator *generator)
{
	struct slot *slot = generator->free;

	if (slot != NULL)
		generator->free = slot->next;
	else
		slot = malloc(sizeof(*slot));
	if (slot == NULL)
		fail(generator, "generator", "no memory");
	return slot;
}

static void push(struct generator *generator, struct connection *connection)
{
	if (!connection->dirty)
		return;
	connection->dirty = false;
	if (generator->backend->push(connection->link) != 0)
		generator->failed = generator->stopping = true;
	if (watch(generator, connection) != 0)
		fail(generator, "epoll", strerror(errno));
}

/* Closed loop: as many on each connection as it shall always have. */
static void send_first(struct generator *generator)
{
	uint64_t now = clock_ns();

	for (unsigned i = 0; i < generator->count && !generator->failed; i++) {
		struct connection *connection = &generator->connections[i];

		for (unsigned j = 0; j < generator->work->in_flight && connection->left > 0; j++) {
			struct slot *slot = take_slot(generator);

			if (slot == NULL || generator->failed)
				return;
			send_one(connection, slot, now);
		}
		push(generator, connection);
	}
}

/* Open loop: everything that is due, to one connection after the other. */
static void send_due(struct generator *generator)
{
	uint64_t now = clock_ns(), first = generator->sent;

	while (generator->due_ns <= now && generator->outstanding < OUTSTANDING_MAX && !generator->stopping) {
		struct slot *slot = take_slot(generator);

		if (slot == NULL)
			return;
		send_one(&generator->connections[generator->sent++ % generator->count], slot, generator->due_ns);
		generator->due_ns += generator->interval_ns;
	}
	for (; first < generator->sent && first < generator->sent + generator->count; first++)
		push(generator, &generator->connections[first % generator->count]);
}

/* ---- the loop ---- */

static bool all_sent(const struct generator *generator)
{
	for (unsigned i = 0; i < generator->count; i++)
		if (generator->connections[i].left > 0)
			return false;
	return true;
}

static struct timespec time_to_wait(const struct generator *generator)
{
	uint64_t wait = LOOK_NS, now;

	if (generator->interval_ns != 0 && !generator->stopping) {
		now = clock_ns();
		if (generator->due_ns <= now)
			wait = 0;
		else if (generator->due_ns - now < wait)
			wait = generator->due_ns - now;
	}
	return (struct timespec){0, (long)wait};
}

static void handle(struct generator *generator, struct connection *connection)
{
	if (generator->backend->process(connection->link) != 0) {
		generator->failed = generator->stopping = true;
		return;
	}
	connection->dirty = true;
	push(generator, connection);
}

static void loop(struct generator *generator)
{
	struct epoll_event events[256];
	uint64_t stop_ns = 0;

	while (!generator->failed) {
		struct timespec wait = time_to_wait(generator);
		int count = epoll_pwait2(generator->epoll, events, sizeof(events) / sizeof(events[0]), &wait, NULL);

		for (int i = 0; i < count && !generator->failed; i++)
			handle(generator, events[i].data.ptr);
		if (generator->interval_ns != 0)
			send_due(generator);
		if (!generator->stopping && atomic_load(generator->options->phase) == PHASE_STOPPING)
			generator->stopping = true;
		if (generator->stopping && stop_ns == 0)
			stop_ns = clock_ns();
		if (generator->outstanding == 0 && (generator->stopping || all_sent(generator)))
			return;
		if (stop_ns != 0 && clock_ns() - stop_ns > DRAIN_NS)
			fail(generator, "at the end", "answers are missing");
	}
}

static int run(struct generator *generator)
{
	char byte = 'r';

	if (open_connections(generator) != 0 || write(generator->options->parent, &byte, 1) != 1 ||
	    read(generator->options->parent, &byte, 1) != 1)
		return 1;
	generator->result->cpu_ns = clock_cpu_ns();
	generator->result->begin_ns = clock_ns();
	if (generator->work->rate > 0) {
		double per_second = generator->work->rate / generator->work->generators;

		generator->interval_ns = (uint64_t)((double)NS_PER_SECOND / per_second);
		generator->due_ns = generator->result->begin_ns;
	} else {
		send_first(generator);
	}
	loop(generator);
	generator->result->end_ns = clock_ns();
	generator->result->cpu_ns = clock_cpu_ns() - generator->result->cpu_ns;
	return generator->failed ? 1 : 0;
}

int generator_run(const struct generator_options *options)
{
	struct generator generator = {.options = options,
				      .work = options->group->work,
				      .backend = options->group->backend,
				      .result = options->result,
				      .epoll = epoll_create1(EPOLL_CLOEXEC)};
	int status = 1;

	generator.connections = calloc(generator.work->connections, sizeof(*generator.connections));
	if (generator.connections == NULL || generator.epoll < 0)
		fprintf(stderr, "kyneta-store-bench: generator: %s\n", strerror(errno));
	else
		status = run(&generator);
	if (status == 0)
		close_connections(&generator);
	free(generator.connections);
	close(generator.epoll);
	return status;
}
