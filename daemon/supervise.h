/*
 * supervise: the service manager, systemd by name: the sockets it hands over, and what it is told.
 *
 * Sockets are bound and kept by systemd (socket activation); the daemon serves them, and neither binds nor removes
 * anything: over a restart they stay, and whoever connects meanwhile waits in their backlog.
 *
 * systemd is told when the daemon is ready, reloads or stops; in a STATUS line what it does; and, if it asks for that
 * (WatchdogSec=), twice in that time and more often that it is alive: only while the loop turns and the writer gets
 * somewhere. While the database is opened or closed, and while requests are finished at the end, the time that systemd
 * allows for it is extended as long as there is progress.
 *
 * Without a service manager (no NOTIFY_SOCKET, LISTEN_PID, WATCHDOG_PID in the environment) all of this does nothing.
 */
#ifndef KYNETA_DAEMON_SUPERVISE_H
#define KYNETA_DAEMON_SUPERVISE_H

#include <stdbool.h>
#include <stdint.h>

#define SUPERVISE_SOCKETS_MAX	   16
#define SUPERVISE_SOCKET_NAME_SIZE 256
#define SUPERVISE_SOCKET_PATH_SIZE 128
#define SUPERVISE_STATUS_SIZE	   128

/* A listening socket that was handed over. */
struct supervise_socket {
	int fd;
	char name[SUPERVISE_SOCKET_NAME_SIZE]; /* as LISTEN_FDNAMES has it */
	char path[SUPERVISE_SOCKET_PATH_SIZE]; /* where it is bound; '@' before an abstract name */
};

struct supervise_sockets {
	unsigned count;
	struct supervise_socket sockets[SUPERVISE_SOCKETS_MAX];
};

/*
 * supervise_take_sockets(sockets, message, size) - those that were handed over; none is fine. 0; or -1 with one line in
 * @message, if one of them is not a Unix stream socket that listens, or there are too many. Once per process, before
 * threads start: it clears the variables.
 */
int supervise_take_sockets(struct supervise_sockets *sockets, char *message, unsigned long size);

/* The messages. supervise_status: one line, for `systemctl status`. Any thread. */
void supervise_ready(void);	/* at the start, and after each reloading */
void supervise_reloading(void); /* supervise_ready() must follow */
void supervise_stopping(void);
void supervise_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What is remembered between two ticks. */
struct supervise {
	uint64_t watchdog_us; /* 0: nobody asks */
	uint64_t fed_us, extended_us, told_us;
	char told[SUPERVISE_STATUS_SIZE];
};

/* supervise_init(supervise) - asks whether there is a watchdog. */
void supervise_init(struct supervise *supervise);

/* supervise_tick_ms(supervise, longest_ms) - how often supervise_tick wants to be called: longest_ms or less. */
uint64_t supervise_tick_ms(const struct supervise *supervise, uint64_t longest_ms);

/*
 * supervise_tick(supervise, now_us, alive) - from the loop: feed the watchdog if the writer is @alive too, and renew
 * the STATUS line now and then if it says something else than before.
 */
void supervise_tick(struct supervise *supervise, uint64_t now_us, bool alive);

/* supervise_extend(supervise, now_us) - there is progress in starting or stopping: let it take longer. Cheap to call
 * often. */
void supervise_extend(struct supervise *supervise, uint64_t now_us);

/* supervise_describe(out, connections, stores, appends) - "serving 12 connections, 3 stores, 41k appends". */
void supervise_describe(char out[SUPERVISE_STATUS_SIZE], uint64_t connections, uint64_t stores, uint64_t appends);

#endif
