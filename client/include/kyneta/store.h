/*
 * kyneta/store.h - libkyneta-store, the C client of kyneta-stored.
 *
 * A handle is one store as one host uses it. Two ways to use it, on the same handle:
 *
 *   blocking      kyneta_store_append() and its kin return when the daemon has answered;
 *   non-blocking  kyneta_store_send_append() and its kin queue a request and return; the answer comes to a callback,
 *                 from kyneta_store_process(), which the caller's event loop calls when kyneta_store_fd() is
 *                 readable or kyneta_store_timeout() has run out. The blocking calls are made of these.
 *
 * What every call guarantees
 *   - Requests of one handle take effect in the order of the calls, per document; a read sees every earlier write.
 *   - A lost connection or a restarted daemon is invisible: the handle connects again (backoff with jitter), says hello
 *     with its session, and sends what is unanswered again under the same ids. Nothing is lost, nothing is applied
 *     twice. Only a deadline (kyneta_store_options.deadline_ms), kyneta_store_free(), or a refused hello ends the
 *     waiting. (A read that is sent again may see writes that were called after it.)
 *   - No pipeline has a hole. When a write fails for a reason outside itself (a code from 400 on: no space, a passed
 *     deadline …), later writes to that document fail with the same code, until kyneta_store_send_resume(): writes
 *     called after it are taken again. The blocking calls resume by themselves.
 *   - Every queued request gets exactly one callback.
 *   - Output arguments are written on success only; struct kyneta_store_error is written on failure only.
 *   - Sizes are always explicit; document ids, versions and data may hold NUL. Strings must be valid UTF-8.
 *   - Memory handed in may be reused when the call returns. Memory handed to a callback is valid during the callback.
 *   - One thread at a time per handle; different handles are independent. No signals (MSG_NOSIGNAL), no inherited
 *     descriptors (CLOEXEC), no global state. A handle does not survive fork(): make it in the process that uses it.
 *
 * Return values: 0, or a positive error code: the daemon's (protocol/PROTOCOL.md) or one of KYNETA_STORE_E* below.
 */
#ifndef KYNETA_STORE_H
#define KYNETA_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define KYNETA_STORE_API __attribute__((visibility("default")))
#else
#define KYNETA_STORE_API
#endif

#define KYNETA_STORE_DEFAULT_SOCKET "/run/kyneta-store/kyneta-store.sock"

typedef struct kyneta_store kyneta_store;

/* ---- errors ---- */

enum kyneta_store_error_code {
	KYNETA_STORE_OK = 0,
	/* the daemon's own */
	KYNETA_STORE_EMALFORMED = 100,
	KYNETA_STORE_EFRAME_TOO_LARGE = 101,
	KYNETA_STORE_ENO_COMMON_VERSION = 102,
	KYNETA_STORE_EHELLO_EXPECTED = 103,
	KYNETA_STORE_EUNKNOWN_OP = 104,
	KYNETA_STORE_EBAD_ARGUMENT = 105,
	KYNETA_STORE_EENTRY_BEFORE_META = 200,
	KYNETA_STORE_EMETA_MISSING = 201,
	KYNETA_STORE_EREPLICA_TYPE_MISMATCH = 202,
	KYNETA_STORE_ESYNC_MODE_MISMATCH = 203,
	KYNETA_STORE_EBAD_META = 204,
	KYNETA_STORE_ETOO_LARGE = 205,
	KYNETA_STORE_ECONFLICT = 300,
	KYNETA_STORE_ECHANGED = 301,
	KYNETA_STORE_EBUSY = 400,
	KYNETA_STORE_EDENIED = 401,
	KYNETA_STORE_EREAD_ONLY = 402,
	KYNETA_STORE_ESTORE_IN_USE = 403,
	KYNETA_STORE_ETOO_MANY_CONNECTIONS = 404,
	KYNETA_STORE_EDISK_FULL = 500,
	KYNETA_STORE_EIO_ERROR = 501,
	KYNETA_STORE_ECORRUPT = 502,
	KYNETA_STORE_EDRAINING = 503,
	KYNETA_STORE_EINCOMPATIBLE_FORMAT = 504,
	KYNETA_STORE_ENO_SUCH_STORE = 505,
	/* this library's */
	KYNETA_STORE_EDEADLINE = 1000, /* the deadline passed; a write's outcome is unknown if it had been sent */
	KYNETA_STORE_EMEMORY = 1001,   /* no memory; nothing was done */
	KYNETA_STORE_ECLOSED = 1002,   /* the handle was closed or freed before the answer came */
	/*
	 * Not connected, and reconnecting is off or hopeless (a path over 107 bytes, no permission); of a write: the
	 * connection was lost, and nobody can tell what became of it (no session, or the daemon has forgotten it).
	 */
	KYNETA_STORE_ESOCKET = 1003,
	KYNETA_STORE_EPROTOCOL = 1004, /* the peer does not speak this protocol */
	KYNETA_STORE_EMISUSE = 1005, /* an argument no daemon could accept (NULL, invalid UTF-8), a call out of place */
	KYNETA_STORE_ERESTARTED = 1006, /* load: the document changed after records were handed out; it starts over */
	KYNETA_STORE_EFULL = 1007	/* the handle's queue holds its limit (queue_limit_bytes); process first */
};

enum kyneta_store_outcome { KYNETA_STORE_NO_OUTCOME = -1, KYNETA_STORE_NOT_APPLIED = 0, KYNETA_STORE_UNKNOWN = 1 };

/* Where a document's stream stands: changes with every write; `next` is the seq of its next record. */
struct kyneta_store_position {
	uint64_t generation;
	uint64_t next;
};

/* What went wrong. message is UTF-8, NUL-terminated, cut to fit; message_size its full length before cutting. */
struct kyneta_store_error {
	int code;
	int outcome; /* enum kyneta_store_outcome: for writes, whether it may have been applied */
	bool has_position;
	struct kyneta_store_position position; /* KYNETA_STORE_ECONFLICT: where the document stands */
	char detail[64];		       /* KYNETA_STORE_EINCOMPATIBLE_FORMAT: "mixed-layouts" … */
	size_t message_size;
	char message[1024];
};

/* kyneta_store_error_name(code) - "disk_full", "deadline" …; static, never NULL. Any thread. */
KYNETA_STORE_API const char *kyneta_store_error_name(int code);

/* ---- records ---- */

enum kyneta_store_record_type { KYNETA_STORE_META = 0, KYNETA_STORE_ENTRY = 1 };
enum kyneta_store_entry_kind { KYNETA_STORE_ENTIRETY = 0, KYNETA_STORE_SINCE = 1 };
enum kyneta_store_encoding { KYNETA_STORE_JSON = 0, KYNETA_STORE_BINARY = 1 };

struct kyneta_store_record {
	int type; /* enum kyneta_store_record_type */
	/* KYNETA_STORE_META: the metadata's JSON, kept verbatim */
	const char *meta;
	size_t meta_size;
	/* KYNETA_STORE_ENTRY */
	int kind;	   /* enum kyneta_store_entry_kind */
	int encoding;	   /* enum kyneta_store_encoding */
	bool data_is_text; /* data is a string (valid UTF-8), not bytes; comes back as it went in */
	bool has_lineage;
	const char *version;
	size_t version_size;
	const void *data;
	size_t data_size;
	const char *lineage;
	size_t lineage_size;
};

/* ---- handles ---- */

enum kyneta_store_access { KYNETA_STORE_READ_WRITE = 0, KYNETA_STORE_READ_ONLY = 1, KYNETA_STORE_EXCLUSIVE = 2 };
enum kyneta_store_durability {
	KYNETA_STORE_DEFAULT = -1,  /* the daemon's */
	KYNETA_STORE_COMMITTED = 0, /* survives the death of the daemon */
	KYNETA_STORE_SYNCED = 1	    /* survives power loss */
};

enum kyneta_store_state {
	KYNETA_STORE_CONNECTING, /* not connected yet, or again */
	KYNETA_STORE_READY,	 /* hello was answered */
	KYNETA_STORE_CLOSED	 /* closed, or given up: see the error handed to the state callback */
};

/*
 * Options. Always start from KYNETA_STORE_OPTIONS_INIT: later versions add fields at the end, size tells which are
 * there.
 */
struct kyneta_store_options {
	size_t size;
	const char *path;	/* NULL: $KYNETA_STORE_SOCKET, then KYNETA_STORE_DEFAULT_SOCKET */
	const char *name;	/* this client's name for the daemon's log; NULL: none */
	const char *meta_table; /* names of the store's tables; NULL: the defaults */
	const char *records_table;
	const char *store_table;
	int layout;	/* of a new store: 0 (by its first metadata), 1, 2 */
	bool no_create; /* a store that does not exist is an error */
	int access;	/* enum kyneta_store_access */
	int durability; /* of every write that does not say otherwise */
	/* No session: nothing is promised about sending again; unanswered writes end as unknown. */
	bool no_session;
	bool no_reconnect; /* a lost connection ends the handle */
	/* Of every call, from the call on; of load and list, for each page, from when it is asked for; -1: wait for
	 * ever (the default). */
	int deadline_ms;
	int backoff_base_ms;	  /* first wait before connecting again, default 100; doubled each time, with jitter */
	int backoff_max_ms;	  /* at most, default 5,000 */
	size_t queue_limit_bytes; /* of queued requests; default 256 MiB. An empty queue takes a larger one, too */
	size_t page_bytes;	  /* aimed-for page of load and list; 0: the daemon's (1 MiB) */
	/* Load holds back up to this before the first record (default 8 MiB), so that a document that is replaced
	 * meanwhile is read again unnoticed. */
	size_t load_hold_bytes;
	/*
	 * Called from process (or a blocking call) when the state changes, and after each attempt to connect that
	 * failed; error is set for a lost or refused connection. It may queue calls, like any callback.
	 */
	void (*state)(void *context, int state, const struct kyneta_store_error *error);
	void *state_context;
};
#define KYNETA_STORE_OPTIONS_INIT                                                                                      \
	{                                                                                                              \
		sizeof(struct kyneta_store_options), NULL, NULL, NULL, NULL, NULL, 0, false, KYNETA_STORE_READ_WRITE,  \
		    KYNETA_STORE_DEFAULT, false, false, -1, 100, 5000, (size_t)256 << 20, 0, (size_t)8 << 20, NULL,    \
		    NULL                                                                                               \
	}

/*
 * kyneta_store_new(options, store, error) - a handle. Begins to connect, does not wait; requests may be queued at once.
 * @options may be NULL. 0, KYNETA_STORE_EMEMORY, KYNETA_STORE_EMISUSE or KYNETA_STORE_ESOCKET (path too long; no
 * descriptor). The first attempt to connect is made by the first kyneta_store_process() or blocking call.
 */
KYNETA_STORE_API int kyneta_store_new(const struct kyneta_store_options *options, kyneta_store **store,
				      struct kyneta_store_error *error);

/*
 * kyneta_store_open(options, store, error) - the same, and wait until hello was answered (within deadline_ms).
 * Fails with whatever the daemon refused.
 */
KYNETA_STORE_API int kyneta_store_open(const struct kyneta_store_options *options, kyneta_store **store,
				       struct kyneta_store_error *error);

/*
 * kyneta_store_close(store, error) - blocking: everything queued before is carried out and answered (streams are read
 * to their end), the session ends. The handle stays, closed, until kyneta_store_free(); closing twice is harmless. Once
 * all is answered, close does not wait for a daemon that cannot be reached. A passed deadline ends the handle.
 */
KYNETA_STORE_API int kyneta_store_close(kyneta_store *store, struct kyneta_store_error *error);

/*
 * kyneta_store_free(store) - release the handle. Requests still queued get their callback with KYNETA_STORE_ECLOSED
 * (outcome unknown if they may have been sent). NULL is fine. From a callback it does nothing.
 */
KYNETA_STORE_API void kyneta_store_free(kyneta_store *store);

/* What is known about a handle. */
struct kyneta_store_status {
	int state;     /* enum kyneta_store_state */
	int layout;    /* of the store, as of hello: 1, 2; 0: not made yet, or empty and nothing tells */
	size_t queued; /* calls whose callback was not called yet */
	size_t queued_bytes;
	uint64_t connects;   /* successful hellos */
	uint64_t resent;     /* requests sent again after a lost connection */
	uint64_t duplicates; /* writes answered as already carried out */
	uint64_t restarts;   /* loads started over because the document changed */
	char daemon[64];     /* what the daemon calls itself */
};
KYNETA_STORE_API void kyneta_store_get_status(const kyneta_store *store, struct kyneta_store_status *status);

/* ---- blocking calls ----
 *
 * @id/@id_size: the document. @error may be NULL. A document whose write failed for a reason outside itself (a code
 * from 400 on) is resumed by the next blocking write by itself: nothing else of this thread is in flight.
 */

/* Options of one write; NULL for the handle's defaults. */
struct kyneta_store_write {
	int durability;	 /* enum kyneta_store_durability */
	bool has_expect; /* apply only if the document stands exactly at expect, else KYNETA_STORE_ECONFLICT */
	struct kyneta_store_position expect;
};
#define KYNETA_STORE_WRITE_INIT                                                                                        \
	{                                                                                                              \
		KYNETA_STORE_DEFAULT, false,                                                                           \
		{                                                                                                      \
			0, 0                                                                                           \
		}                                                                                                      \
	}

/* kyneta_store_append(…) - add records at the end, together or not at all. @at (may be NULL): where the document stands
 * then. */
KYNETA_STORE_API int kyneta_store_append(kyneta_store *store, const char *id, size_t id_size,
					 const struct kyneta_store_record *records, size_t count,
					 const struct kyneta_store_write *write, struct kyneta_store_position *at,
					 struct kyneta_store_error *error);

/* kyneta_store_replace(…) - swap the whole stream for these records, atomically. */
KYNETA_STORE_API int kyneta_store_replace(kyneta_store *store, const char *id, size_t id_size,
					  const struct kyneta_store_record *records, size_t count,
					  const struct kyneta_store_write *write, struct kyneta_store_position *at,
					  struct kyneta_store_error *error);

/* kyneta_store_delete(…) - remove the document; fine if there is none. */
KYNETA_STORE_API int kyneta_store_delete(kyneta_store *store, const char *id, size_t id_size,
					 const struct kyneta_store_write *write, struct kyneta_store_position *at,
					 struct kyneta_store_error *error);

/*
 * kyneta_store_current_meta(…) - the metadata, as JSON. *meta is allocated (kyneta_store_release), NUL-terminated for
 * convenience; NULL if the document is unknown. @meta_size and @at may be NULL.
 */
KYNETA_STORE_API int kyneta_store_current_meta(kyneta_store *store, const char *id, size_t id_size, char **meta,
					       size_t *meta_size, struct kyneta_store_position *at,
					       struct kyneta_store_error *error);

/* kyneta_store_release(memory) - free what a blocking call allocated. */
KYNETA_STORE_API void kyneta_store_release(void *memory);

/*
 * kyneta_store_load_all(…) - every record in order: @each is called for each, on this thread; false stops (the call
 * then returns 0). Pages are fetched ahead. The call may not be nested in a callback of the same handle. If the
 * document is replaced or deleted meanwhile the load starts over by itself as long as nothing was handed out
 * (load_hold_bytes); after that it fails with KYNETA_STORE_ERESTARTED: what was handed out is not the document any
 * more.
 */
typedef bool (*kyneta_store_record_fn)(void *context, const struct kyneta_store_record *record);
KYNETA_STORE_API int kyneta_store_load_all(kyneta_store *store, const char *id, size_t id_size,
					   kyneta_store_record_fn each, void *context, struct kyneta_store_position *at,
					   struct kyneta_store_error *error);

/* kyneta_store_list_doc_ids(…) - the ids that begin with @prefix (NULL: all) and have metadata, ordered by bytes. */
typedef bool (*kyneta_store_id_fn)(void *context, const char *id, size_t id_size);
KYNETA_STORE_API int kyneta_store_list_doc_ids(kyneta_store *store, const char *prefix, size_t prefix_size,
					       kyneta_store_id_fn each, void *context,
					       struct kyneta_store_error *error);

/*
 * kyneta_store_sync(…) - when it returns 0, everything acknowledged on this handle is on the disk.
 * KYNETA_STORE_EIO_ERROR, once, if writes that were acknowledged as committed, not as synced, were lost with the power.
 */
KYNETA_STORE_API int kyneta_store_sync(kyneta_store *store, struct kyneta_store_error *error);

/* kyneta_store_ping(…) - a round trip to the daemon. */
KYNETA_STORE_API int kyneta_store_ping(kyneta_store *store, struct kyneta_store_error *error);

/*
 * kyneta_store_stats(…) - the daemon's counters, in a stable order. A value is a number (text NULL) or a text. Those of
 * a map are named after it: "users.1000.connections".
 */
typedef bool (*kyneta_store_stat_fn)(void *context, const char *name, size_t name_size, uint64_t number,
				     const char *text, size_t text_size);
KYNETA_STORE_API int kyneta_store_stats(kyneta_store *store, kyneta_store_stat_fn each, void *context,
					struct kyneta_store_error *error);

/*
 * kyneta_store_flush(…) - wait until everything queued is answered, but for paused streams. 0, however the answers
 * were; or why the handle ended.
 */
KYNETA_STORE_API int kyneta_store_flush(kyneta_store *store, struct kyneta_store_error *error);

/* ---- the non-blocking core ---- */

/*
 * kyneta_store_fd(store) - a descriptor to wait for: readable whenever something came from the daemon, or a full socket
 * takes more. It is the same one for the life of the handle, over reconnects too. Do not read from it.
 * kyneta_store_events(store) - poll(2) events to wait for on it (POLLIN always).
 * kyneta_store_timeout(store) - milliseconds until process must be called anyway (to connect, for a deadline, or
 * because calls are queued); -1: not needed; 0: at once. Ask again after every process, and after queueing without
 * kyneta_store_push().
 * kyneta_store_process(store) - do what can be done without waiting: connect, send, receive, call callbacks. Returns 0,
 * or the code that ended the handle (state KYNETA_STORE_CLOSED).
 */
KYNETA_STORE_API int kyneta_store_fd(const kyneta_store *store);
KYNETA_STORE_API short kyneta_store_events(const kyneta_store *store);
KYNETA_STORE_API int kyneta_store_timeout(const kyneta_store *store);
KYNETA_STORE_API int kyneta_store_process(kyneta_store *store);

/*
 * The answer to a request: error is NULL on success. at: writes, current_meta, and the end of a load. meta:
 * current_meta (NULL: unknown document). duplicate: the daemon had carried it out already, before the connection was
 * lost.
 */
struct kyneta_store_answer {
	const struct kyneta_store_error *error;
	struct kyneta_store_position at;
	bool duplicate;
	const char *meta;
	size_t meta_size;
};
typedef void (*kyneta_store_done_fn)(void *context, const struct kyneta_store_answer *answer);

/*
 * kyneta_store_send_…() - queue a request. Return 0 and @done (NULL: nobody asks) will be called exactly once, from
 * kyneta_store_process() (or any blocking call on the handle, or kyneta_store_free); or an error, and it never will:
 * KYNETA_STORE_EMISUSE, KYNETA_STORE_EFULL, KYNETA_STORE_EMEMORY, KYNETA_STORE_EFRAME_TOO_LARGE, KYNETA_STORE_ECLOSED
 * after close, or why the handle ended. They copy their arguments, send nothing by themselves before
 * kyneta_store_process() or kyneta_store_push(), and may be called from callbacks.
 *
 * A deadline that passes calls @done with KYNETA_STORE_EDEADLINE. A write of which nothing was sent will never be sent
 * (not applied). Of one that was sent at least in part nobody knows (unknown): it may still be applied, but is not sent
 * again. In both cases later writes to the document fail until resume, as behind any failed write.
 */
KYNETA_STORE_API int kyneta_store_send_append(kyneta_store *store, const char *id, size_t id_size,
					      const struct kyneta_store_record *records, size_t count,
					      const struct kyneta_store_write *write, kyneta_store_done_fn done,
					      void *context);
KYNETA_STORE_API int kyneta_store_send_replace(kyneta_store *store, const char *id, size_t id_size,
					       const struct kyneta_store_record *records, size_t count,
					       const struct kyneta_store_write *write, kyneta_store_done_fn done,
					       void *context);
KYNETA_STORE_API int kyneta_store_send_delete(kyneta_store *store, const char *id, size_t id_size,
					      const struct kyneta_store_write *write, kyneta_store_done_fn done,
					      void *context);
KYNETA_STORE_API int kyneta_store_send_current_meta(kyneta_store *store, const char *id, size_t id_size,
						    kyneta_store_done_fn done, void *context);
KYNETA_STORE_API int kyneta_store_send_sync(kyneta_store *store, kyneta_store_done_fn done, void *context);
KYNETA_STORE_API int kyneta_store_send_ping(kyneta_store *store, kyneta_store_done_fn done, void *context);
/* Writes to documents with a failed write (a code from 400 on) are taken again: all writes queued after this. */
KYNETA_STORE_API int kyneta_store_send_resume(kyneta_store *store, kyneta_store_done_fn done, void *context);
/*
 * Ends the session when everything queued before is answered, streams included; the handle is closed then. Nothing can
 * be queued after it but close again.
 */
KYNETA_STORE_API int kyneta_store_send_close(kyneta_store *store, kyneta_store_done_fn done, void *context);

/*
 * Streams: @each for every record or id, then @done. False from @each ends the stream: no more pages are asked for,
 * @done comes with success.
 */
typedef struct kyneta_store_stream kyneta_store_stream;
/*
 * kyneta_store_send_load_all(…) - *stream (may be NULL) is valid until @done was called.
 */
KYNETA_STORE_API int kyneta_store_send_load_all(kyneta_store *store, const char *id, size_t id_size,
						kyneta_store_record_fn each, kyneta_store_done_fn done, void *context,
						kyneta_store_stream **stream);
KYNETA_STORE_API int kyneta_store_send_list_doc_ids(kyneta_store *store, const char *prefix, size_t prefix_size,
						    kyneta_store_id_fn each, kyneta_store_done_fn done, void *context,
						    kyneta_store_stream **stream);
/*
 * kyneta_store_stream_pause(stream) - call @each no more after the current record. What is left of the current page is
 * held meanwhile, and the next one if it was on its way; nothing is asked for beyond it, so no deadline runs, and the
 * daemon holds nothing. kyneta_store_stream_continue(stream) goes on, with the next kyneta_store_process(). Both may be
 * called from callbacks.
 */
KYNETA_STORE_API void kyneta_store_stream_pause(kyneta_store_stream *stream);
KYNETA_STORE_API void kyneta_store_stream_continue(kyneta_store_stream *stream);

/* kyneta_store_push(store) - send what is queued now, as far as the socket takes it, without reading. Never blocks. */
KYNETA_STORE_API void kyneta_store_push(kyneta_store *store);

/* kyneta_store_version() - of the library, "0.1.0". */
KYNETA_STORE_API const char *kyneta_store_version(void);

#ifdef __cplusplus
}
#endif

#endif
