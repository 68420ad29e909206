#include "daemon/order.h"

#include "daemon/hash.h"

#include <assert.h>
#include <stdlib.h>

/*
 * One document's unfinished requests on one connection. Documents are told apart by a hash alone, since a peer decides
 * how large its ids are: two that share one wait for each other, which is no more than slow.
 */
struct lane {
	UT_hash_handle hh;
	unsigned hash;		/* of the document */
	unsigned writes_active; /* free to start, as far as this document goes, and not done */
	unsigned reads_active;
	struct job *waiting, **waiting_tail;
};

enum order_class { CLASS_WRITE, CLASS_AMONG_WRITES, CLASS_READ, CLASS_LIST, CLASS_CLOSE };

static enum order_class classify(const struct job *job)
{
	switch (job->request.operation) {
	case OPERATION_APPEND:
	case OPERATION_REPLACE:
	case OPERATION_DELETE:
		return CLASS_WRITE;
	case OPERATION_SYNC:
	case OPERATION_RESUME:
		return CLASS_AMONG_WRITES;
	case OPERATION_LIST_DOC_IDS:
		return CLASS_LIST;
	case OPERATION_CLOSE:
		return CLASS_CLOSE;
	default:
		return CLASS_READ;
	}
}

static struct lane *lane_get(struct order *order, struct span id)
{
	struct lane *lane;
	unsigned hash;

	HASH_VALUE(id.data, id.size, hash);
	HASH_FIND_BYHASHVALUE(hh, order->lanes, &hash, sizeof(hash), hash, lane);
	if (lane != NULL)
		return lane;
	lane = calloc(1, sizeof(*lane));
	if (lane == NULL)
		return NULL;
	lane->hash = hash;
	HASH_ADD_BYHASHVALUE(hh, order->lanes, hash, sizeof(lane->hash), hash, lane);
	if (!hash_added(lane->hh)) {
		free(lane);
		return NULL;
	}
	return lane;
}

static void lane_wait(struct lane *lane, struct job *job)
{
	job->lane_next = NULL;
	if (lane->waiting == NULL)
		lane->waiting = job;
	else
		*lane->waiting_tail = job;
	lane->waiting_tail = &job->lane_next;
}

/* Lets start what may start, as far as this document goes; drops a lane nobody needs. */
static void lane_release(struct order *order, struct lane *lane)
{
	while (lane->waiting != NULL) {
		struct job *job = lane->waiting;

		if (classify(job) == CLASS_WRITE) {
			if (lane->reads_active > 0)
				break;
			lane->writes_active++;
			job->ready = true;
			lane->waiting = job->lane_next;
		} else {
			if (lane->writes_active > 0)
				break;
			lane->reads_active++;
			lane->waiting = job->lane_next;
			job_list_push(&order->reads, job);
		}
	}
	if (lane->waiting == NULL && lane->writes_active == 0 && lane->reads_active == 0) {
		HASH_DEL(order->lanes, lane);
		free(lane);
	}
}

bool order_add(struct order *order, struct job *job)
{
	enum order_class class = classify(job);

	if (class == CLASS_WRITE || class == CLASS_READ) {
		job->lane = lane_get(order, job->request.document);
		if (job->lane == NULL)
			return false;
	}
	job->lists_before = order->lists_added;
	job->writes_before = order->writes_added;
	order->added++;
	switch (class) {
	case CLASS_WRITE:
		order->writes_added++;
		job_list_push(&order->writes, job);
		lane_wait(job->lane, job);
		lane_release(order, job->lane);
		break;
	case CLASS_AMONG_WRITES:
		order->writes_added++;
		job->ready = true;
		job_list_push(&order->writes, job);
		break;
	case CLASS_READ:
		lane_wait(job->lane, job);
		lane_release(order, job->lane);
		break;
	case CLASS_LIST:
		order->lists_added++;
		job_list_push(&order->barriers, job);
		break;
	case CLASS_CLOSE:
		job_list_push(&order->barriers, job);
		break;
	}
	return true;
}

const struct job *order_peek_write(const struct order *order)
{
	const struct job *job = order->writes.head;

	return job == NULL || !job->ready || order->lists_done < job->lists_before ? NULL : job;
}

struct job *order_next_write(struct order *order)
{
	return order_peek_write(order) == NULL ? NULL : job_list_pop(&order->writes);
}

struct job *order_next_read(struct order *order)
{
	struct job *job = order->barriers.head;

	if (order->reads.head != NULL)
		return job_list_pop(&order->reads);
	if (job == NULL)
		return NULL;
	if (classify(job) == CLASS_CLOSE ? order->done + 1 < order->added : order->writes_done < job->writes_before)
		return NULL;
	return job_list_pop(&order->barriers);
}

void order_done(struct order *order, struct job *job)
{
	struct lane *lane = job->lane;

	order->done++;
	switch (classify(job)) {
	case CLASS_WRITE:
		order->writes_done++;
		assert(lane->writes_active > 0);
		lane->writes_active--;
		lane_release(order, lane);
		break;
	case CLASS_AMONG_WRITES:
		order->writes_done++;
		break;
	case CLASS_READ:
		assert(lane->reads_active > 0);
		lane->reads_active--;
		lane_release(order, lane);
		break;
	case CLASS_LIST:
		order->lists_done++;
		break;
	case CLASS_CLOSE:
		break;
	}
	job->lane = NULL;
}

static void drop_list(struct order *order, struct job_list *list, void (*drop)(struct job *job))
{
	struct job *job;

	while ((job = job_list_pop(list)) != NULL) {
		order->added--;
		drop(job);
	}
}

void order_drop(struct order *order, void (*drop)(struct job *job))
{
	struct lane *lane, *next;
	struct job_list reads = {0};

	/* Reads wait only in their lanes, writes also in the list of writes: take each from one place. */
	HASH_ITER (hh, order->lanes, lane, next) {
		for (struct job *job = lane->waiting, *after; job != NULL; job = after) {
			after = job->lane_next;
			if (classify(job) == CLASS_READ)
				job_list_push(&reads, job);
		}
		lane->waiting = NULL;
	}
	for (struct job *job = order->reads.head; job != NULL; job = job->next)
		job->lane->reads_active--;
	for (struct job *job = order->writes.head; job != NULL; job = job->next) {
		if (job->lane != NULL && job->ready)
			job->lane->writes_active--;
		order->writes_added--;
	}
	for (struct job *job = order->barriers.head; job != NULL; job = job->next)
		order->lists_added -= classify(job) == CLASS_LIST;
	drop_list(order, &reads, drop);
	drop_list(order, &order->reads, drop);
	drop_list(order, &order->writes, drop);
	drop_list(order, &order->barriers, drop);
	HASH_ITER (hh, order->lanes, lane, next)
		lane_release(order, lane);
}
