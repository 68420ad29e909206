#include "tests/bench/fill.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

/* Requests without an answer, at most; and about so many bytes. */
#define IN_FLIGHT	512
#define IN_FLIGHT_BYTES (64 << 20)

/* Records in one request, at most; and about so many bytes. */
#define CHUNK_RECORDS 1000
#define CHUNK_BYTES   (1 << 20)

struct fill {
	const struct backend *backend;
	const struct work *work;
	struct backend_link *link;
	struct kyneta_store_record *records; /* the metadata, and as many entries as fit one request */
	uint64_t chunk;			     /* entries in one request */
	unsigned window;		     /* requests without an answer */
	struct buffer id;
	unsigned in_flight;
	bool failed;
};

static void answered(void *token, const char *problem, uint64_t items)
{
	struct fill *fill = token;

	(void)items;
	fill->in_flight--;
	if (problem != NULL && !fill->failed) {
		fprintf(stderr, "kyneta-store-bench: filling: %s\n", problem);
		fill->failed = true;
	}
}

/* Sends what is queued, and waits until no more than @most are without an answer. */
static int settle(struct fill *fill, unsigned most)
{
	const struct backend *backend = fill->backend;

	if (backend->push(fill->link) != 0)
		return -1;
	while (fill->in_flight > most && !fill->failed) {
		struct pollfd wait = {fill->link->fd, backend->events(fill->link), 0};

		poll(&wait, 1, -1);
		if (backend->process(fill->link) != 0 || backend->push(fill->link) != 0)
			return -1;
	}
	return fill->failed ? -1 : 0;
}

static int fill_document(struct fill *fill, uint64_t number)
{
	const struct work *work = fill->work;
	uint64_t left = work->records;
	bool first = true;

	buffer_reset(&fill->id);
	work_document(work, number, &fill->id);
	while (first || left > 0) {
		uint64_t count = left < fill->chunk ? left : fill->chunk;
		struct work_request request = {.operation = WORK_APPEND,
					       .document = buffer_span(&fill->id),
					       .records = fill->records + (first ? 0 : 1),
					       .count = count + first,
					       .durability = KYNETA_STORE_COMMITTED,
					       .next = &work->next[number]};

		if (fill->in_flight >= fill->window && settle(fill, fill->window / 2) != 0)
			return -1;
		if (fill->backend->send(fill->link, &request, fill) != 0)
			return -1;
		fill->in_flight++;
		left -= count;
		first = false;
	}
	return 0;
}

static bool make_records(struct fill *fill)
{
	const struct work *work = fill->work;
	uint64_t fit = CHUNK_BYTES / (work->bytes + 64) + 1;

	uint64_t window;

	fill->chunk = fit < CHUNK_RECORDS ? fit : CHUNK_RECORDS;
	window = IN_FLIGHT_BYTES / (fill->chunk * (work->bytes + 64)) + 1;
	fill->window = window < IN_FLIGHT ? (unsigned)window : IN_FLIGHT;
	fill->records = calloc(fill->chunk + 1, sizeof(*fill->records));
	if (fill->records == NULL)
		return false;
	fill->records[0] = work->meta;
	for (uint64_t i = 1; i <= fill->chunk; i++)
		fill->records[i] = work->entry;
	return true;
}

int fill_run(const struct backend *backend, const char *address, const struct work *work)
{
	struct fill fill = {.backend = backend, .work = work};
	int failed;

	if (work->trace != NULL)
		return 0;
	if (!make_records(&fill))
		return -1;
	failed = backend->open(address, &fill.link);
	if (failed == 0) {
		fill.link->done = answered;
		for (uint64_t i = 0; failed == 0 && i < work->documents_total; i++)
			failed = fill_document(&fill, i);
		if (failed == 0)
			failed = settle(&fill, 0);
		backend->close(fill.link);
	}
	buffer_free(&fill.id);
	free(fill.records);
	return failed;
}
