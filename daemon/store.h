/*
 * store: the seven operations and their rules, in terms of an engine. It knows no sockets and no threads.
 *
 * Writes run on the writer thread, inside the batch's transaction, against what is remembered of each document
 * (document.h): the committed state with the batch so far on top. Reads run on a reader thread inside one snapshot and
 * give whole reply frames.
 *
 * Generations: every replace and delete gives its document a new number from one stored counter. A document without a
 * number of its own has the floor; the floor rises to a new number when another program has written to the file.
 */
#ifndef KYNETA_DAEMON_STORE_H
#define KYNETA_DAEMON_STORE_H

#include <stdatomic.h>

#include "daemon/document.h"
#include "daemon/engine.h"
#include "daemon/job.h"
#include "daemon/usage.h"

/* One store. Made by the writer for the first hello that names it; lives until the daemon ends. */
struct store {
	struct store *next;
	/* As found. Changed only by the writer; readers take what is there. */
	_Atomic(const struct engine_tables *) tables;
	/* writer thread */
	struct table_names names; /* as first asked for, in */
	uint8_t *names_memory;
	unsigned sessions;		     /* open on it */
	const struct engine_tables *created; /* made by this batch, not committed yet */
	bool stale;			     /* another program wrote: look again before using it */
	struct failure refused;		     /* code 0: fine */
	struct usage usage;
	/* loop thread */
	struct store *open_prev, *open_next; /* those with connections */
	uint64_t refusals[REFUSAL_COUNT];
	/* loop thread (claim.h) */
	unsigned connections, writers;
	bool held;		   /* exclusively, by: */
	struct connection *holder; /* NULL while the holder's connection is lost */
	uint8_t holder_session[SESSION_SIZE];
	bool holder_has_session;
	uint64_t held_until_ms; /* while the holder's connection is lost */
	bool claim_read;	/* what was written down before this daemon started has been looked at */
};

/* store_tables(store) - the tables as the batch sees them: those that it made itself are not committed yet. Writer
 * thread. */
static inline const struct engine_tables *store_tables(const struct store *store)
{
	return store->created != NULL ? store->created : atomic_load(&store->tables);
}

/* store_name(tables) - what people call the store: its table of metadata, or the one that it would get. */
static inline const char *store_name(const struct engine_tables *tables)
{
	if (tables->layout != LAYOUT_NONE)
		return tables->metadata[tables->layout];
	return tables->metadata[LAYOUT_2] != NULL ? tables->metadata[LAYOUT_2] : tables->metadata[LAYOUT_1];
}

/* The writer's view of all stores. Writer thread only. */
struct stores {
	struct engine *engine;
	struct store *head;
	unsigned count;
	uint64_t max_count;
	struct document_cache documents;
	uint64_t generation, generation_pending; /* the counter; _pending: with this batch */
	uint64_t floor, floor_pending;
	/*
	 * After a power loss `committed` writes may be gone, and with them numbers that were given out. So the first
	 * transaction writes down under which boot of the machine it happens, a clean end removes that, and a start
	 * that finds another boot's jumps over every number that can have been lost.
	 */
	char boot[64];
	bool boot_written;
	struct buffer scratch; /* of the row being written */
	struct buffer key;
	struct buffer meta;
};

/* stores_init(…) - reads the counters; after a power loss writes new ones, synced, before anything is answered. */
int stores_init(struct stores *stores, struct engine *engine, uint64_t max_count, uint64_t cache_bytes,
		struct failure *failure);
/* stores_end(stores) - a clean end: what follows is a checkpoint that makes everything durable. */
void stores_end(struct stores *stores);
void stores_free(struct stores *stores);

/* stores_limit(stores, max_count, cache_bytes) - the same limits anew; what is open stays open. */
void stores_limit(struct stores *stores, uint64_t max_count, uint64_t cache_bytes);

/*
 * A store that was never made and that nobody has open goes when room is needed for another.
 *
 * stores_find(stores, hello, bound, pairing, store, failure) - the store a hello names: looked for, accepted and taken
 * in use; remembered. Outside a transaction. Fails with INCOMPATIBLE_FORMAT, BAD_ARGUMENT (the records table is in
 * another store), BUSY (too many stores), DENIED (@bound, and the tables are not known to be a pair), or what the
 * engine says. @pairing, unless it is NULL: are they?
 */
int stores_find(struct stores *stores, const struct hello *hello, bool bound, enum pairing *pairing,
		struct store **store, struct failure *failure);

/*
 * Which table of metadata a records table belongs to is not written in the file of a store. Where rules tell stores
 * apart by their metadata it has to be known, or whoever may open one could name another's records. Nor does the file
 * always tell which layout an empty store has. So both are noted with the daemon's own rows, for stores that are not
 * the default one: when the daemon makes one, and when somebody opens it to write whom no rule binds.
 *
 * stores_write_pairing(stores, store, failure) - note that the store's tables belong together, and its layout. Inside a
 * transaction.
 */
int stores_write_pairing(struct stores *stores, const struct store *store, struct failure *failure);

/* stores_refresh(stores) - look again at stores that another program may have changed. Outside a transaction. */
void stores_refresh(struct stores *stores);

/*
 * Another program has written to the file: stores_forget() drops what is remembered (between transactions;
 * stores_refresh follows), stores_raise_floor() gives every document a new number (inside the next one): nothing that
 * was read before is known to hold.
 */
void stores_forget(struct stores *stores);
void stores_raise_floor(struct stores *stores);

/* A batch, attempt by attempt. */
int stores_finish(struct stores *stores, struct failure *failure); /* before commit: write the counters */
void stores_committed(struct stores *stores);
void stores_rolled_back(struct stores *stores);

/*
 * store_write(stores, job, failure) - carry out an append, replace or delete. 0: done, job->at is set; a rule's
 * refusal: job is failed and nothing was changed, ERROR_NONE is returned too; an engine's failure: its code, the
 * transaction is to be rolled back.
 */
int store_write(struct stores *stores, struct job *job, struct failure *failure);

/* store_position(stores, job, at, failure) - where the job's document stands now, this batch included. */
int store_position(struct stores *stores, struct job *job, struct position *at, struct failure *failure);

/*
 * store_read(reading, job) - carry out load_all, current_meta or list_doc_ids within the snapshot that is open;
 * request.limit is the largest page; job->reply is the whole reply frame, an error's too. Returns the code of an
 * engine's failure (the reply is its error), else 0.
 */
struct store_reading {
	struct engine_reader *reader;
	struct buffer scratch, key, value;
};
int store_read(struct store_reading *reading, struct job *job);

/* The keys of the daemon's own rows. */
void own_key_generation(struct buffer *key, const struct engine_tables *tables, struct span document);
void own_key_session(struct buffer *key, const char *store_key, const uint8_t session[SESSION_SIZE]);
void own_key_claim(struct buffer *key, const char *store_key);
void own_key_usage(struct buffer *key, const char *store_key);
void own_key_pairing(struct buffer *key, const char *store_key);
#define OWN_KEY_COUNTER	   SPAN_LITERAL("c")
#define OWN_KEY_FLOOR	   SPAN_LITERAL("f")
#define OWN_KEY_BOOT	   SPAN_LITERAL("b")
#define OWN_PREFIX_SESSION SPAN_LITERAL("s")

/* Numbers in own rows: eight bytes, big-endian. own_number(value): 0 for anything else. */
uint64_t own_number(struct span value);
void own_number_put(struct buffer *out, uint64_t number);

#endif
