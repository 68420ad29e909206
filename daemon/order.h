/*
 * order: in which order the requests of one connection may start.
 *
 *   - Per document, in the order sent: a read starts when the earlier writes to its document are done, a write when the
 *     earlier reads of its document are.
 *   - Writes (and sync and resume, which take their place among them) start in the order sent, all of them: the writes
 * of a session must reach the writer in id order.
 *   - A listing waits for all earlier writes, and later writes wait for it. Close waits for everything before it.
 *   - Otherwise requests overtake each other freely.
 *
 * Waiting always points backwards in the order sent, so nothing can wait in a circle. Loop thread only.
 */
#ifndef KYNETA_DAEMON_ORDER_H
#define KYNETA_DAEMON_ORDER_H

#include "daemon/job.h"

struct order {
	struct lane *lanes;	  /* documents with unfinished requests, by the hash of their ids */
	struct job_list writes;	  /* not started, in the order sent */
	struct job_list reads;	  /* may start */
	struct job_list barriers; /* listings and close, not started, in the order sent */
	uint64_t writes_added, writes_done;
	uint64_t lists_added, lists_done;
	uint64_t added, done;
};

/* order_add(order, job) - a request was received. False without memory (the job stays the caller's). */
bool order_add(struct order *order, struct job *job);

/* order_peek_write(order) - what order_next_write would return. */
const struct job *order_peek_write(const struct order *order);

/* order_next_write(order) - the next job for the writer that may start now, in order; NULL: none. */
struct job *order_next_write(struct order *order);

/* order_next_read(order) - the next load_all, current_meta, list_doc_ids or close that may start now; NULL: none. */
struct job *order_next_read(struct order *order);

/* order_done(order, job) - a job that had started is finished. */
void order_done(struct order *order, struct job *job);

/* order_drop(order) - forget everything that has not started: each job goes to @drop. */
void order_drop(struct order *order, void (*drop)(struct job *job));

#endif
