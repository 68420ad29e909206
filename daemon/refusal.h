/*
 * refusal: what somebody can be refused for by rules and quotas, each once in REFUSAL_LIST. Counted in all (stats.h),
 * by user (account.h) and by store.
 */
#ifndef KYNETA_DAEMON_REFUSAL_H
#define KYNETA_DAEMON_REFUSAL_H

/* X(constant, name among the counters) */
#define REFUSAL_LIST(X)                                                                                                \
	X(DENIED, denied)                                                                                              \
	X(CONNECTIONS, over_connections)                                                                               \
	X(REQUESTS, over_requests)                                                                                     \
	X(REQUEST_BYTES, over_request_bytes)                                                                           \
	X(STORED_BYTES, over_stored_bytes) X(DOCUMENTS, over_documents)

enum refusal_kind {
	REFUSAL_NONE,
#define X(constant, name) REFUSAL_##constant,
	REFUSAL_LIST(X)
#undef X
	    REFUSAL_COUNT,
};

#endif
