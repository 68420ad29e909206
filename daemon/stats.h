/*
 * stats: counters, each once in STATS_LIST: field, name on the wire and meaning.
 *
 * Counted with relaxed atomics on whatever thread sees the event; the `stats` operation reads them on the loop thread.
 */
#ifndef KYNETA_DAEMON_STATS_H
#define KYNETA_DAEMON_STATS_H

#include <stdatomic.h>
#include <stdint.h>

/* X(field and name, meaning) */
#define STATS_LIST(X)                                                                                                  \
	X(connections, "connections open now")                                                                         \
	X(connections_accepted, "connections accepted since the start")                                                \
	X(accepts_paused, "times no connection was accepted for want of descriptors or memory")                        \
	X(connections_refused, "connections refused: too many, or not allowed")                                        \
	X(takeovers, "sessions taken over by a new connection")                                                        \
	X(limit_max_connections, "times a limit acted on a peer: max-connections")                                     \
	X(limit_max_frame_bytes, "max-frame-bytes")                                                                    \
	X(limit_max_requests_per_connection, "max-requests-per-connection")                                            \
	X(limit_max_requests, "max-requests")                                                                          \
	X(limit_max_request_bytes_per_connection, "max-request-bytes-per-connection")                                  \
	X(limit_max_request_bytes, "max-request-bytes")                                                                \
	X(limit_max_reply_bytes_per_connection, "max-reply-bytes-per-connection")                                      \
	X(limit_max_reply_bytes, "max-reply-bytes")                                                                    \
	X(limit_hello_timeout, "hello-timeout")                                                                        \
	X(limit_frame_timeout, "frame-timeout")                                                                        \
	X(limit_reply_timeout, "reply-timeout")                                                                        \
	X(timeouts, "connections closed for saying nothing, dribbling, or not taking replies")                         \
	X(requests, "requests received")                                                                               \
	X(requests_in_flight, "requests received and not answered yet")                                                \
	X(request_bytes, "bytes of unanswered requests held now")                                                      \
	X(stash_bytes, "bytes received beyond a limit")                                                                \
	X(reply_bytes, "bytes of replies not taken yet")                                                               \
	X(bad_frames, "frames that were not messages")                                                                 \
	X(errors, "requests answered with an error")                                                                   \
	X(at_once, "requests carried out by the loop thread itself, since nobody else could have joined them")         \
	X(appends, "append requests carried out")                                                                      \
	X(replaces, "replace requests carried out")                                                                    \
	X(deletes, "delete requests carried out")                                                                      \
	X(duplicates, "writes sent again and answered as carried out before")                                          \
	X(pages, "pages of load_all read")                                                                             \
	X(metas, "current_meta requests read")                                                                         \
	X(listings, "pages of list_doc_ids read")                                                                      \
	X(records_read, "records read")                                                                                \
	X(batches, "commits")                                                                                          \
	X(batch_requests, "writes in these commits")                                                                   \
	X(batches_again, "batches run again because the database refused one of their writes")                         \
	X(batches_synced, "commits that were synced")                                                                  \
	X(commit_us, "microseconds spent in commits")                                                                  \
	X(checkpoints, "checkpoints")                                                                                  \
	X(checkpoints_complete, "checkpoints after which the log started over")                                        \
	X(checkpoint_us, "microseconds spent in checkpoints")                                                          \
	X(gate_closed_us, "microseconds the readers were kept out for checkpoints")                                    \
	X(gate_closed_max_us, "the longest of these")                                                                  \
	X(gate_pages_max, "the most pages that ended while a checkpoint waited for the readers")                       \
	X(wal_bytes, "size of the write-ahead log after the last commit")                                              \
	X(wal_peak_bytes, "the largest it has been")                                                                   \
	X(foreign_changes, "times another program was found to have written to the file")                              \
	X(disk_full, "times the disk was found full")                                                                  \
	X(disk_is_full, "1 while it is")                                                                               \
	X(stores, "stores in use")                                                                                     \
	X(denied, "connections, hellos and writes that the rules do not allow")                                        \
	X(over_connections, "connections refused: over a user's quota of connections")                                 \
	X(over_requests, "times requests waited or a hello was refused: over a user's quota of requests")              \
	X(over_request_bytes, "the same: over a user's quota of request bytes")                                        \
	X(over_stored_bytes, "writes refused: over a store's quota of stored bytes")                                   \
	X(over_documents, "writes refused: over a store's quota of documents")

struct stats {
#define X(name, meaning) _Atomic uint64_t name;
	STATS_LIST(X)
#undef X
};

extern struct stats stats;

#define stats_add(name, amount) atomic_fetch_add_explicit(&stats.name, (uint64_t)(amount), memory_order_relaxed)
#define stats_sub(name, amount) atomic_fetch_sub_explicit(&stats.name, (uint64_t)(amount), memory_order_relaxed)
#define stats_set(name, value)	atomic_store_explicit(&stats.name, (uint64_t)(value), memory_order_relaxed)
#define stats_get(name)		atomic_load_explicit(&stats.name, memory_order_relaxed)
/* Only one thread may raise a given maximum. */
#define stats_max(name, value)                                                                                         \
	do {                                                                                                           \
		if ((uint64_t)(value) > stats_get(name))                                                               \
			stats_set(name, value);                                                                        \
	} while (0)

#endif
