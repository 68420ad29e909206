/*
 * notice: what the log says of peers, without letting them fill it. Loop thread.
 *
 * Each kind of line is written a few times in a while; what is left out is counted, and told when the while is over.
 * Limits that act on a peer are kinds of their own: each has a counter (stats.h) of all times.
 */
#ifndef KYNETA_DAEMON_NOTICE_H
#define KYNETA_DAEMON_NOTICE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/log.h"
#include "daemon/peer.h"

/* So many lines of a kind in so long. */
#define NOTICE_LINES	   10
#define NOTICE_INTERVAL_MS 10000

/* X(name of the limit and, after "limit_", of its counter; level; what is said) */
#define LIMIT_LIST(X)                                                                                                  \
	X(max_connections, WARNING, "refused: there are as many connections as may be (max-connections)")              \
	X(max_frame_bytes, WARNING,                                                                                    \
	  "closed: a frame is larger than may be (max-frame-bytes; 4096 bytes before hello)")                          \
	X(max_requests_per_connection, INFO, "held back: too many requests in flight (max-requests-per-connection)")   \
	X(max_requests, INFO, "held back: too many requests in flight in all (max-requests)")                          \
	X(max_request_bytes_per_connection, INFO,                                                                      \
	  "held back: too many bytes of requests (max-request-bytes-per-connection)")                                  \
	X(max_request_bytes, INFO, "held back: too many bytes of requests in all (max-request-bytes)")                 \
	X(max_reply_bytes_per_connection, INFO,                                                                        \
	  "held back: it does not take its replies (max-reply-bytes-per-connection)")                                  \
	X(max_reply_bytes, INFO, "held back: replies are not taken, in all (max-reply-bytes)")                         \
	X(hello_timeout, WARNING, "closed: it said no hello in time (hello-timeout)")                                  \
	X(frame_timeout, WARNING, "closed: a frame took too long to arrive (frame-timeout)")                           \
	X(reply_timeout, WARNING, "closed: it goes on asking but does not take its replies (reply-timeout)")

enum notice {
#define X(name, level, text) NOTICE_limit_##name,
	LIMIT_LIST(X)
#undef X
	    NOTICE_LIMITS,
	NOTICE_HELLO = NOTICE_LIMITS,
	NOTICE_HELLO_REFUSED,
	NOTICE_MALFORMED,
	NOTICE_CUT_FRAME,
	NOTICE_TAKEOVER,
	NOTICE_ACCEPT,
	NOTICE_COUNT,
};

struct notices {
	struct {
		uint64_t since_ms;
		unsigned written;
		uint64_t left_out;
	} of[NOTICE_COUNT];
};

/* notice_due(notices, notice, now_ms) - is a line of this kind to be written? */
bool notice_due(struct notices *notices, enum notice notice, uint64_t now_ms);

/*
 * notice_limit(notices, limit, now_ms, peer, name) - a limit acted: count it, and say so. @name: how the peer calls
 * itself, or "".
 */
void notice_limit(struct notices *notices, enum notice limit, uint64_t now_ms, const struct peer *peer,
		  const char *name);

/* notices_tick(notices, now_ms) - now and then: say what was left out. */
void notices_tick(struct notices *notices, uint64_t now_ms);

#endif
