/*
 * daemon: everything put together, started and ended in order.
 *
 * Starting, in this order: locks on the database and the socket, so that there is one daemon for each; the database
 * (recovered and checkpointed); the writer and the readers; the socket, last, so that whoever connects is served.
 * Sockets that the service manager has handed over take the place of the one of the options: they are served, and
 * neither locked nor removed.
 *
 * It uses nothing of the process but descriptors, threads, signals, and the environment variables of the service
 * manager, and gives everything back: main() runs one, and a test may run one after the other as threads of its own.
 * All calls from one thread, which becomes the loop thread.
 */
#ifndef KYNETA_DAEMON_DAEMON_H
#define KYNETA_DAEMON_DAEMON_H

#include "daemon/config.h"
#include "daemon/gate.h"
#include "daemon/pulse.h"
#include "daemon/server.h"
#include "daemon/supervise.h"

#define DAEMON_MESSAGE_SIZE 1024
#define DAEMON_PATHS_SIZE   512

/* All zero but for config and sockets, which daemon_start() wants; daemon_finish() gives config back. */
struct daemon {
	struct config *config;		    /* its own reference */
	struct supervise_sockets sockets;   /* handed over; count 0: none */
	char listens_on[DAEMON_PATHS_SIZE]; /* where, for a person */
	int database_lock, socket_lock;	    /* -1: not taken */
	struct supervise supervise;
	struct pulse pulse;
	bool serving; /* the writer runs: starting is over, and stopping has not come to the database */
	struct engine *engine;
	struct gate gate;
	struct writer *writer;
	struct readers *readers;
	struct server server;
};

/*
 * daemon_start(daemon, message, size) - until it listens. 0; or an exit code with one line in @message: the process is
 * to end then, since what was started is not taken back.
 */
int daemon_start(struct daemon *daemon, char *message, unsigned long size);

/*
 * daemon_reload(daemon, config) - go on with @config, whose reference is taken over: what can change without a restart
 * does, and the log tells what does not. Logs and returns -1 if that is not possible; then all is as before, and the
 * reference stays the caller's. From within daemon_run().
 */
int daemon_reload(struct daemon *daemon, struct config *config);

/* daemon_run(daemon) - say that it is ready, and serve until a signal ends it; returns the exit code. */
int daemon_run(struct daemon *daemon);

/* daemon_finish(daemon) - give everything back, the database checkpointed; returns the exit code. */
int daemon_finish(struct daemon *daemon);

#endif
