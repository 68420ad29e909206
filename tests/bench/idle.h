/*
 * idle: connections that say hello and then nothing.
 */
#ifndef KYNETA_BENCH_IDLE_H
#define KYNETA_BENCH_IDLE_H

struct idle {
	int *sockets;
	unsigned count;
};

/* idle_open(idle, address, count) - returns when all are answered. 0, or -1 with a line on stderr. idle_close() either
 * way. */
int idle_open(struct idle *idle, const char *address, unsigned count);
void idle_close(struct idle *idle);

#endif
