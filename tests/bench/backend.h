/*
 * backend: what a store under load must offer, so that the same generator loads every store with the same work.
 *
 *   backend_kyneta.c    the daemon, through the client library's non-blocking core
 *   backend_redis.c     Redis Streams, through hiredis, pipelined
 *   backend_postgres.c  PostgreSQL, through libpq's pipeline mode
 *
 * A link is one connection. Requests are answered in any order; each exactly once, from process.
 */
#ifndef KYNETA_BENCH_BACKEND_H
#define KYNETA_BENCH_BACKEND_H

#include "tests/bench/work.h"

struct backend;

/* Every backend's link begins with this. */
struct backend_link {
	const struct backend *backend;
	int fd;
	/*
	 * A request is answered: @problem is NULL, or why it failed. @items: records or ids that a read gave. Called
	 * from process only; may send.
	 */
	void (*done)(void *token, const char *problem, uint64_t items);
};

/* Functions that return int: 0, or -1 with a line on stderr. */
struct backend {
	const char *name;
	unsigned operations; /* bits by enum work_operation */

	/* Make the store at @address empty and ready for links. */
	int (*reset)(const char *address);
	/* Connect; waits until requests can be sent. The caller sets link->done. */
	int (*open)(const char *address, struct backend_link **link);
	void (*close)(struct backend_link *link);
	/* Queue a request; everything in it is copied. */
	int (*send)(struct backend_link *link, const struct work_request *request, void *token);
	/* Send what is queued, as far as the socket takes it. */
	int (*push)(struct backend_link *link);
	/* poll(2) events to wait for on fd now. */
	short (*events)(const struct backend_link *link);
	/* fd is ready: receive answers. */
	int (*process)(struct backend_link *link);
};

extern const struct backend backend_kyneta;
#ifdef BENCH_HAVE_REDIS
extern const struct backend backend_redis;
#endif
#ifdef BENCH_HAVE_POSTGRES
extern const struct backend backend_postgres;
#endif

/* backend_find(name) - NULL: there is none of that name in this build. backend_names() - "kyneta, redis". */
const struct backend *backend_find(const char *name);
const char *backend_names(void);

#endif
