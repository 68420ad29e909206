/*
 * engine: what the store rules need from a database, and no more.
 *
 * One database. One writer: begin, change, commit, checkpoint, all from the writer thread. Any number of readers, each
 * with its own handle on its own thread, read-only, one short snapshot at a time. An engine knows tables and rows; it
 * knows no rules of documents, no sessions, no sockets.
 *
 * Every function returns 0 or a code of protocol/error.h with *failure filled in (failure may be NULL).
 * Spans handed to callbacks are valid only during the callback.
 */
#ifndef KYNETA_DAEMON_ENGINE_H
#define KYNETA_DAEMON_ENGINE_H

#include "daemon/failure.h"
#include "protocol/meta.h"
#include "protocol/span.h"

struct engine;	      /* one database, open */
struct engine_reader; /* one read-only handle on it */

/* The tables of one store: what a hello asked for. Empty span: not given. */
struct table_names {
	struct span meta, records, store;
	uint64_t layout; /* 0: not said; 1, 2: what a new store shall be */
	uint64_t noted;	 /* the layout of tables that do not tell it themselves, as far as it is known; 0: it is not */
};

/*
 * The tables of one store, as found. Immutable; made by engine_find/engine_create, lives until the engine is closed.
 * Engines extend it (the first member of their own struct).
 */
struct engine_tables {
	enum layout layout;	   /* LAYOUT_NONE: the store is not made yet; reading it finds nothing */
	enum layout layout_forced; /* LAYOUT_NONE: a new store's layout is free; else the only one it may get */
	/* LAYOUT_NONE, but its tables are there: empty, and nothing in the database tells which layout they have. */
	bool is_there;
	char *key;	   /* identity: the records table's name folded as the database folds it; NUL-terminated */
	char *description; /* for logs: the records table's name */
	/* By layout: the name of its metadata table, which names the store to people; NULL: it cannot have this layout.
	 */
	char *metadata[LAYOUT_2 + 1];
	bool is_default; /* metadata and records are in the default tables of the layout */
};

/* engine_tables_exist(tables) - is there a store, even though its layout may be unknown while it is empty? */
static inline bool engine_tables_exist(const struct engine_tables *tables)
{
	return tables->layout != LAYOUT_NONE || tables->is_there;
}

struct engine_options {
	const char *path;
	uint64_t wal_limit_bytes; /* checkpoint when the log is larger */
	uint64_t cache_bytes;	  /* the writer's page cache */
	uint64_t reader_cache_bytes;
	uint64_t reserve_bytes; /* size of the reserve file that is released when the disk is full; 0: none */
	/*
	 * Called about once a second while a lock of another program is waited out, and for what went wrong without
	 * being a failure (no space for the reserve); on the thread that opens, later on the writer thread. @what for
	 * the log.
	 */
	void (*waiting)(void *context, const char *what);
	/*
	 * Called often while there is progress, also within one long call: for every read, write and sync of the
	 * writer's files, every few thousand steps of a statement, every turn of waiting. On the thread that opens,
	 * writes or closes; may be NULL.
	 */
	void (*progress)(void *context);
	void *context;
};

/* One row of a records table. */
struct engine_row {
	struct span kind; /* "meta" or "entry" */
	bool has_payload;
	struct span payload; /* JSON */
	bool has_blob;
	struct span blob;
};

/* The gate that readers hold around each snapshot (gate.h implements it); the writer closes it to reset the log. */
struct engine_gate {
	void (*close)(void *context); /* returns when no snapshot is open; none begins until open */
	void (*open)(void *context);
	void *context;
};

struct engine_checkpoint_result {
	uint64_t log_bytes_before;
	bool complete; /* the log starts over */
	uint64_t passive_us, gate_closed_us;
};

/* How much larger the database may become. */
enum engine_growth {
	GROWTH_FREE,  /* as the disk allows */
	GROWTH_SPARE, /* by a part of the reserve: for writes that free space, and for the daemon's own rows */
	GROWTH_NONE,  /* not at all: only what is unused inside of it is filled */
};

struct engine_class {
	const char *name;

	/*
	 * Opens the database, or makes a new one. Only looks at an existing file: nothing in it changes (a file that
	 * this daemon had in use before is recovered and checkpointed, TRUNCATE with full sync, before this returns).
	 * Fails with ERROR_IO_ERROR, _BAD_ARGUMENT (no folder, or not a file), _DENIED (permission), _CORRUPT (not a
	 * database, or not in UTF-8), _DISK_FULL (the reserve was given back and did not help), _INCOMPATIBLE_FORMAT (a
	 * table of the daemon's name is another program's); the message is one line and names the path. Waits for locks
	 * of other programs without end.
	 */
	int (*open)(const struct engine_options *options, struct engine **engine, struct failure *failure);
	/* Closes: readers must be closed. @clean checkpoints first; a fatal failure ends the process without this. */
	int (*close)(struct engine *engine, bool clean, struct failure *failure);

	/* -- writer thread, outside a transaction -- */

	/*
	 * Looks for a store by the rules in sqlite/detect.c. ERROR_INCOMPATIBLE_FORMAT with failure->detail set, the
	 * file untouched; ERROR_BAD_ARGUMENT for names that cannot be; or *tables (layout LAYOUT_NONE if there is no
	 * store yet). The same names and the same findings give the same object; each other one is kept until the
	 * engine is closed, so the caller bounds how many names it asks for.
	 */
	int (*find)(struct engine *engine, const struct table_names *names, const struct engine_tables **tables,
		    struct failure *failure);
	/*
	 * The first store was accepted: take the file in use (WAL, everything in it on the disk, the reserve).
	 * Idempotent. Called before the first hello on a store is answered.
	 */
	int (*take)(struct engine *engine, struct failure *failure);
	/*
	 * Nobody uses these tables of a store that was never made (LAYOUT_NONE) any more: they are freed. Other tables
	 * are kept until the engine is closed.
	 */
	void (*forget)(struct engine *engine, const struct engine_tables *tables);

	/*
	 * Begins a transaction whose commit will be synced or not. *foreign: another program changed the file since the
	 * last one, so nothing remembered about it holds.
	 */
	int (*begin)(struct engine *engine, bool synced, bool *foreign, struct failure *failure);
	/* The same, but ERROR_BUSY rather than wait for another program. */
	int (*try_begin)(struct engine *engine, bool synced, bool *foreign, struct failure *failure);
	/* A failure has rolled back, unless failure->fatal: then nobody knows. */
	int (*commit)(struct engine *engine, struct failure *failure);
	/* Of the last commit: the time that went into syncing; the rest is work that no disk is to blame for. */
	uint64_t (*sync_us)(struct engine *engine);
	void (*rollback)(struct engine *engine);
	/* Everything committed so far is on the disk when this returns. Outside a transaction. */
	int (*sync)(struct engine *engine, struct failure *failure);
	/* Size of the log, bytes, as of the last commit. */
	uint64_t (*log_bytes)(struct engine *engine);
	/* Moves the log into the database: first beside the readers, then with the gate closed so that the log starts
	 * over. */
	int (*checkpoint)(struct engine *engine, const struct engine_gate *gate,
			  struct engine_checkpoint_result *result, struct failure *failure);
	/*
	 * The reserve. release: the disk was found full, give it back so that reads and deletes go on. restore: try to
	 * have it again (idempotent, a few system calls if it is there; nothing before take); while growth is limited
	 * only if a margin beside it is free too, so that a full disk is not found full again at once. Outside a
	 * transaction.
	 */
	void (*release_reserve)(struct engine *engine);
	int (*restore_reserve)(struct engine *engine, struct failure *failure);
	/*
	 * Limits the growth of the database, counted from where it stood when growth was last free. Beyond the limit
	 * writes fail with ERROR_DISK_FULL. Also inside a transaction.
	 */
	int (*set_growth)(struct engine *engine, enum engine_growth growth, struct failure *failure);
	/* Bytes inside of the database that nothing uses. */
	int (*unused_bytes)(struct engine *engine, uint64_t *bytes, struct failure *failure);

	/* -- writer thread, inside a transaction -- */

	/* Is the transaction still there after a failed call? (The database may have rolled back by itself.) */
	bool (*in_transaction)(struct engine *engine);
	/*
	 * Makes the tables of a new store, as far as they are not there. The result holds from the commit on.
	 * ERROR_INCOMPATIBLE_FORMAT if another program has made them meanwhile, of another layout or in a way that is
	 * refused.
	 */
	int (*create)(struct engine *engine, const struct engine_tables *tables, enum layout layout,
		      const struct engine_tables **created, struct failure *failure);
	/* ERROR_TOO_LARGE beyond what a row can hold (put_meta too); the transaction goes on. */
	int (*put_row)(struct engine *engine, const struct engine_tables *tables, struct span document, uint64_t seq,
		       const struct engine_row *row, struct failure *failure);
	int (*put_meta)(struct engine *engine, const struct engine_tables *tables, struct span document,
			struct span meta, struct failure *failure);
	int (*delete_rows)(struct engine *engine, const struct engine_tables *tables, struct span document,
			   struct failure *failure);
	int (*delete_meta)(struct engine *engine, const struct engine_tables *tables, struct span document,
			   struct failure *failure);
	/* The daemon's own table (made when first needed). A value is at most a few MiB. */
	int (*put_own)(struct engine *engine, struct span key, struct span value, struct failure *failure);
	int (*delete_own)(struct engine *engine, struct span key, struct failure *failure);
	/* Calls @each for every own row whose key begins with @prefix, in order; stops when it returns false. Also
	 * outside. */
	int (*each_own)(struct engine *engine, struct span prefix,
			bool (*each)(void *context, struct span key, struct span value), void *context,
			struct failure *failure);

	/* -- the writer's reads: inside or outside a transaction, seeing its own changes; @value is appended -- */

	int (*get_own)(struct engine *engine, struct span key, bool *found, struct buffer *value,
		       struct failure *failure);
	/* The metadata row, valid UTF-8 or ERROR_CORRUPT, and where the next row goes (0 without rows). */
	int (*get_document)(struct engine *engine, const struct engine_tables *tables, struct span document,
			    bool *found, struct buffer *meta, uint64_t *next, struct failure *failure);
	/* Bytes of the ids, payloads and blobs in the document's rows of the records table. Costs a look at each. */
	int (*document_bytes)(struct engine *engine, const struct engine_tables *tables, struct span document,
			      uint64_t *bytes, struct failure *failure);
	/* The same of all rows, with the ids and metadata of the metadata table; and how many rows that one has. Reads
	 * the whole store. */
	int (*store_bytes)(struct engine *engine, const struct engine_tables *tables, uint64_t *bytes,
			   uint64_t *documents, struct failure *failure);

	/* -- readers: any thread, one thread at a time per reader -- */

	int (*reader_open)(struct engine *engine, struct engine_reader **reader, struct failure *failure);
	void (*reader_close)(struct engine_reader *reader);
	/* One snapshot: everything read between the two is one state of the database. */
	int (*reader_begin)(struct engine_reader *reader, struct failure *failure);
	void (*reader_end)(struct engine_reader *reader);
	int (*reader_get_own)(struct engine_reader *reader, struct span key, bool *found, struct buffer *value,
			      struct failure *failure);
	int (*reader_get_document)(struct engine_reader *reader, const struct engine_tables *tables,
				   struct span document, bool *found, struct buffer *meta, uint64_t *next,
				   struct failure *failure);
	/* Rows with first <= seq < end in order, until @each returns false. */
	int (*reader_rows)(struct engine_reader *reader, const struct engine_tables *tables, struct span document,
			   uint64_t first, uint64_t end,
			   bool (*each)(void *context, uint64_t seq, const struct engine_row *row), void *context,
			   struct failure *failure);
	/*
	 * Ids that begin with @prefix and come after @after (by bytes; without has_after: from the first), until @each
	 * returns false. Costs what it returns. An id that is not valid UTF-8 is ERROR_CORRUPT: left out, it would be
	 * lost.
	 */
	int (*reader_documents)(struct engine_reader *reader, const struct engine_tables *tables, struct span prefix,
				bool has_after, struct span after, bool (*each)(void *context, struct span document),
				void *context, struct failure *failure);
};

/* Every engine begins with this. */
struct engine {
	const struct engine_class *class;
};
struct engine_reader {
	const struct engine_class *class;
};

extern const struct engine_class engine_sqlite;

#endif
