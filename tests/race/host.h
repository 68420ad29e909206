/*
 * host: one client as a host is one, with documents of its own and some that it shares, doing one random thing after
 * the other; and what must be in the store if nothing was lost or doubled, by its own books.
 *
 * A host may change its thread between two calls, as a handle of the client library may.
 */
#ifndef KYNETA_TESTS_RACE_HOST_H
#define KYNETA_TESTS_RACE_HOST_H

#include <kyneta/store.h>

#include "tests/unit/random.h"

#define HOST_DOCUMENTS 3
#define HOST_NAME_SIZE 32
#define HOST_META                                                                                                      \
	"{\"replicaType\":[\"plain\",1,0],\"syncMode\":{\"writerModel\":\"concurrent\",\"delivery\":\"delta-"          \
	"capable\","                                                                                                   \
	"\"durability\":\"persistent\"},\"schemaHash\":\"00\"}"

/* An own document holds its metadata and then the tokens from first to next. */
struct host_document {
	char name[HOST_NAME_SIZE];
	unsigned first, next;
	bool exists;
};

struct host {
	kyneta_store *store;
	unsigned number;
	struct random random;
	struct host_document documents[HOST_DOCUMENTS];
	unsigned logged;  /* tokens in the log that all hosts share */
	unsigned counted; /* times that it raised the counter that all hosts share */
	unsigned unanswered;
};

/* host_open(host, socket, number, seed) - connects; the daemon may be there later. */
void host_open(struct host *host, const char *socket, unsigned number, uint64_t seed);

/* host_found(host) - make the shared documents; one host does, before all others begin. */
void host_found(struct host *host);

/* host_step(host) - do something, wait until it is done, and look at what came of it. */
void host_step(struct host *host);

/* host_check(host) - its own documents hold what they should. */
void host_check(struct host *host);

/* host_check_shared(hosts, count) - and so do the shared ones. */
void host_check_shared(struct host *hosts, unsigned count);

/* host_close(host) - says goodbye. */
void host_close(struct host *host);

#endif
