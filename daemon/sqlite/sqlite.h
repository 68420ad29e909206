/*
 * sqlite: the default engine (daemon/engine.h says what it must do). Shared by the rooms of this folder; nobody else
 * includes it.
 *
 *   sqlite.c       open, take, close; the class table
 *   transaction.c  begin, commit, rollback, sync; waiting for locks of other programs
 *   checkpoint.c   moving the log into the database; making everything durable
 *   watch.c        what goes on in the files: progress, and how long the syncs of the log take
 *   facts.c        looking at tables: are they there, of the right shape, with rows, and what is in them
 *   schema.c       the tables of a store: looked for, remembered, made
 *   detect.c       which store these tables are, or why it is refused; without any SQL
 *   statements.c   the writer's statements on rows, metadata and own rows
 *   reader.c       read-only handles
 *   reserve.c      disk space kept aside, and the limit of growth on a full disk
 *   trouble.c      what an SQLite result code means for the daemon
 *
 * One connection writes and checkpoints, ever: releases before 3.51.3 can lose committed pages when two connections do.
 * The database, its -wal and its -shm are never opened or closed except by SQLite: closing any descriptor drops its
 * POSIX locks.
 */
#ifndef KYNETA_DAEMON_SQLITE_SQLITE_H
#define KYNETA_DAEMON_SQLITE_SQLITE_H

#include "daemon/engine.h"

#include <sqlite3.h>
#include <stdatomic.h>

/* The tables of a store whose names nobody chose; of metadata by layout. */
extern const char *const sqlite_default_meta[];
#define SQLITE_DEFAULT_RECORDS "kyneta_records"
#define SQLITE_DEFAULT_STORE   "kyneta_store_meta"

/* The daemon's own table. */
#define SQLITE_OWN_TABLE "kyneta_stored"

/* The writer's statements on one store. */
enum sqlite_writer_statement {
	WRITER_PUT_ROW,
	WRITER_PUT_ENTRY,
	WRITER_PUT_META,
	WRITER_DELETE_ROWS,
	WRITER_DELETE_META,
	WRITER_DOCUMENT,
	WRITER_DOCUMENT_BYTES,
	WRITER_STORE_BYTES,
	WRITER_STATEMENTS,
};

/* The writer's statements on the daemon's own table. */
enum sqlite_own_statement {
	OWN_PUT,
	OWN_DELETE,
	OWN_GET,
	OWN_EACH,
	OWN_STATEMENTS,
};

/* Names of tables, NUL-terminated; NULL: not given, not known. */
struct sqlite_names {
	char *meta;
	char *records;
	char *store;
};

/* Immutable once found: what changes about it, the prepared statements, each connection keeps under its number. */
struct sqlite_tables {
	struct engine_tables base;
	struct sqlite_tables *next; /* all that were ever found; writer thread */
	unsigned number;	    /* from 0 */
	struct sqlite_names asked;  /* what the hello said, to look again; records is always set */
	uint64_t asked_layout;
	struct sqlite_names found; /* the tables of a store that is there; all NULL without a layout */
};

/* Prepared when first used. */
struct sqlite_writer_statements {
	sqlite3_stmt *of[WRITER_STATEMENTS];
};

/* How long the busy handler goes on. */
struct sqlite_patience {
	bool limited; /* give up after budget_us; else never */
	uint64_t budget_us;
	uint64_t started_us; /* of the wait in progress */
	uint64_t told_us;    /* when options.waiting was last called */
};

/* watch.c: one for each file that is watched. */
struct sqlite_watch {
	sqlite3_io_methods methods; /* first: the file points here */
	const sqlite3_io_methods *own;
	struct sqlite_engine *engine;
	uint64_t sync_us; /* spent in syncs */
};

struct sqlite_engine {
	struct engine base;
	struct engine_options options; /* path is a copy */
	char *path;
	char *waiting_text; /* for options.waiting: who holds what */
	sqlite3 *db;
	uint64_t page_bytes;
	uint64_t log_frames; /* as of the last commit */
	bool taken;	     /* WAL, and everything there is durable */
	bool log_found;	 /* a log with content lay beside the file when it was opened: not ours to empty until taken */
	int synchronous; /* PRAGMA synchronous in force: 1 NORMAL, 2 FULL */
	bool foreign;	 /* another program wrote, seen outside of begin */
	int64_t data_version; /* as of the last look */
	enum engine_growth growth;
	uint64_t pages_full; /* what the database had when growth was limited, */
	uint64_t pages_most; /*   and what SQLite allows otherwise */
	struct sqlite_patience patience;
	struct sqlite_watch database_watch, log_watch;
	sqlite3_stmt *begin_statement, *commit_statement, *rollback_statement, *version_statement;
	sqlite3_stmt *own[OWN_STATEMENTS];
	struct sqlite_tables *tables;
	struct sqlite_tables *forgotten; /* their numbers are free */
	unsigned tables_count;
	struct sqlite_writer_statements *statements; /* tables_count of them, by number */
	atomic_bool own_table; /* the daemon's own table may be there: readers need not ask while it is not */
};

static inline struct sqlite_engine *sqlite_engine(struct engine *engine)
{
	return (struct sqlite_engine *)engine;
}

static inline bool sqlite_begins_with(struct span bytes, struct span prefix)
{
	return bytes.size >= prefix.size && (prefix.size == 0 || memcmp(bytes.data, prefix.data, prefix.size) == 0);
}

/* ---- watch.c ---- */

/* sqlite_progress(engine) - tell options.progress. */
static inline void sqlite_progress(const struct sqlite_engine *engine)
{
	if (engine->options.progress != NULL)
		engine->options.progress(engine->options.context);
}

/* sqlite_watch(engine) - once the database is open: progress is told from now on. */
void sqlite_watch(struct sqlite_engine *engine);

/* sqlite_watch_commit(engine) - from now on count the time that syncs of the log take: sqlite_sync_us. */
void sqlite_watch_commit(struct sqlite_engine *engine);
uint64_t sqlite_sync_us(struct engine *engine);

/* ---- trouble.c ---- */

/* What was going on: decides whether a failed write leaves the truth unknown. */
enum sqlite_stage {
	STAGE_STATEMENT,  /* anything that a rollback undoes */
	STAGE_CHECKPOINT, /* moving the log into the database */
	STAGE_COMMIT,
};

/*
 * sqlite_trouble(db, result, stage, what, failure) - the error code for the SQLite result code @result that the last
 * call on @db gave, with *failure filled in. @what: what failed, for a person ("commit").
 */
int sqlite_trouble(sqlite3 *db, int result, enum sqlite_stage stage, const char *what, struct failure *failure);

/* sqlite_table_missing(db) - did the last call on @db fail because a table is not there? */
bool sqlite_table_missing(sqlite3 *db);

/* ---- transaction.c ---- */

void sqlite_patience_start(struct sqlite_engine *engine, bool limited, uint64_t budget_us);
int sqlite_busy(void *engine, int count); /* busy handler of the writer's connection */

/* sqlite_run(engine, sql, what, failure) - execute @sql without a result; waits out locks of other programs. */
int sqlite_run(struct sqlite_engine *engine, const char *sql, const char *what, struct failure *failure);

/* sqlite_synchronous(engine, level, failure) - outside a transaction. */
int sqlite_synchronous(struct sqlite_engine *engine, int level, struct failure *failure);

/* sqlite_data_version(engine, version, failure) - moves whenever another connection commits. */
int sqlite_data_version(struct sqlite_engine *engine, int64_t *version, struct failure *failure);

int sqlite_begin(struct engine *engine, bool synced, bool *foreign, struct failure *failure);
int sqlite_try_begin(struct engine *engine, bool synced, bool *foreign, struct failure *failure);
int sqlite_commit(struct engine *engine, struct failure *failure);
void sqlite_rollback(struct engine *engine);
bool sqlite_in_transaction(struct engine *engine);

/* ---- checkpoint.c ---- */

int sqlite_log_hook(void *engine, sqlite3 *db, const char *name, int frames); /* sqlite3_wal_hook */
uint64_t sqlite_log_bytes(struct engine *engine);
int sqlite_sync(struct engine *engine, struct failure *failure);
int sqlite_checkpoint(struct engine *engine, const struct engine_gate *gate, struct engine_checkpoint_result *result,
		      struct failure *failure);

/*
 * sqlite_settle(engine, patient, failure) - all of the log into the database, and all of it on the disk: log emptied,
 * database and folder synced, whoever wrote them. Not @patient: if another program's reader is in the way the log
 * stays; ERROR_BUSY.
 */
int sqlite_settle(struct sqlite_engine *engine, bool patient, struct failure *failure);

/* sqlite_sync_folder(engine, failure) - the database's name is on the disk. */
int sqlite_sync_folder(struct sqlite_engine *engine, struct failure *failure);

/* ---- detect.c ---- */

enum sqlite_table_state {
	TABLE_ABSENT,
	TABLE_FOREIGN, /* something else has the name */
	TABLE_EMPTY,
	TABLE_FILLED,
};

enum sqlite_format { FORMAT_NONE, FORMAT_MALFORMED, FORMAT_OTHER_MAJOR, FORMAT_1 };

/* One table, by the name it has if it is there, and by what is in it. */
struct sqlite_table {
	const char *name;
	enum sqlite_table_state state;
};

/* Everything that the decision depends on. */
struct sqlite_facts {
	bool meta_given, store_given;
	uint64_t asked_layout, noted_layout;
	/* The tables that the store would have. With meta_given both are the same one. */
	struct sqlite_table meta[3]; /* [LAYOUT_1], [LAYOUT_2] */
	struct sqlite_table records, store;
	/* The tables of the default names, whoever they belong to. */
	struct sqlite_table default_meta[3];
	bool meta_is_default[3]; /* the store's metadata is (or would be) the default table of this layout */
	bool records_is_default;
	enum sqlite_format format;
	char format_text[64]; /* the start of the format row, for messages */
	enum layout key[3];   /* which key the metas in meta[…] have; LAYOUT_NONE: no rows, or unreadable */
	enum layout
	    records_key; /* the key that metas in records have if any was found that is not the one of the layout */
};

/* What became of looking: the first members of struct engine_tables. */
struct sqlite_finding {
	enum layout layout, forced;
	bool is_there;
};

/* sqlite_detect(facts, finding, failure) - by the rules in detect.c. 0 or ERROR_INCOMPATIBLE_FORMAT. */
int sqlite_detect(const struct sqlite_facts *facts, struct sqlite_finding *finding, struct failure *failure);

/* sqlite_detect_mixed_records(facts, layout, failure) - a store of @layout whose records hold metas of the other one.
 */
int sqlite_detect_mixed_records(const struct sqlite_facts *facts, enum layout layout, struct failure *failure);

/* ---- facts.c ---- */

/* sqlite_look(db, asked, asked_layout, noted_layout, facts, failure) - what there is. Inside a transaction of whatever
 * kind, so that everything seen is one state. */
int sqlite_look(sqlite3 *db, const struct sqlite_names *asked, uint64_t asked_layout, uint64_t noted_layout,
		struct sqlite_facts *facts, struct failure *failure);
/*
 * sqlite_look_at_records(db, table, layout, key, failure) - the key of the first rows of documents: whether one is a
 * meta with the key of the other layout. Then a package of another layout has written to these records, and this store
 * is not all there is. LAYOUT_NONE: no metas were seen.
 */
int sqlite_look_at_records(sqlite3 *db, const char *table, enum layout layout, enum layout *key,
			   struct failure *failure);
/* sqlite_own_table_found(engine, found, failure) - is the daemon's own table there? ERROR_INCOMPATIBLE_FORMAT if the
 * name is taken. */
int sqlite_own_table_found(struct sqlite_engine *engine, bool *found, struct failure *failure);

/* ---- schema.c ---- */

int sqlite_find(struct engine *engine, const struct table_names *names, const struct engine_tables **tables,
		struct failure *failure);
void sqlite_forget(struct engine *engine, const struct engine_tables *tables);
int sqlite_create(struct engine *engine, const struct engine_tables *tables, enum layout layout,
		  const struct engine_tables **created, struct failure *failure);
void sqlite_tables_free(struct sqlite_tables *tables);

/* ---- statements.c ---- */

/* sqlite_prepare(db, statement, format, name, name2, failure) - once; @format's %w are table names. */
int sqlite_prepare(sqlite3 *db, sqlite3_stmt **statement, const char *format, const char *name, const char *name2,
		   struct failure *failure);
int sqlite_bind_text(sqlite3_stmt *statement, int index, struct span text);
int sqlite_bind_blob(sqlite3_stmt *statement, int index, struct span blob);
struct span sqlite_column(sqlite3_stmt *statement, int index);

/* The metadata of a document and its last row: one statement, so that both come from one snapshot wherever it is run.
 */
#define SQLITE_DOCUMENT_SQL                                                                                            \
	"SELECT (SELECT data FROM main.\"%w\" WHERE doc_id = ?1), "                                                    \
	"(SELECT seq FROM main.\"%w\" WHERE doc_id = ?1 ORDER BY seq DESC LIMIT 1)"

/* sqlite_read_document(db, statement, …) - run SQLITE_DOCUMENT_SQL. Not found: outputs but *next (then 0 or more) as
 * they were. */
int sqlite_read_document(sqlite3 *db, sqlite3_stmt *statement, struct span document, bool *found, struct buffer *meta,
			 uint64_t *next, struct failure *failure);
/* sqlite_read_own(db, statement, …) - one own row; prepares *statement if it is NULL. */
int sqlite_read_own(sqlite3 *db, sqlite3_stmt **statement, struct span key, bool *found, struct buffer *value,
		    struct failure *failure);

int sqlite_put_row(struct engine *engine, const struct engine_tables *tables, struct span document, uint64_t seq,
		   const struct engine_row *row, struct failure *failure);
int sqlite_put_meta(struct engine *engine, const struct engine_tables *tables, struct span document, struct span meta,
		    struct failure *failure);
int sqlite_delete_rows(struct engine *engine, const struct engine_tables *tables, struct span document,
		       struct failure *failure);
int sqlite_delete_meta(struct engine *engine, const struct engine_tables *tables, struct span document,
		       struct failure *failure);
int sqlite_get_document(struct engine *engine, const struct engine_tables *tables, struct span document, bool *found,
			struct buffer *meta, uint64_t *next, struct failure *failure);
int sqlite_document_bytes(struct engine *engine, const struct engine_tables *tables, struct span document,
			  uint64_t *bytes, struct failure *failure);
int sqlite_store_bytes(struct engine *engine, const struct engine_tables *tables, uint64_t *bytes, uint64_t *documents,
		       struct failure *failure);
int sqlite_put_own(struct engine *engine, struct span key, struct span value, struct failure *failure);
int sqlite_delete_own(struct engine *engine, struct span key, struct failure *failure);
int sqlite_get_own(struct engine *engine, struct span key, bool *found, struct buffer *value, struct failure *failure);
int sqlite_each_own(struct engine *engine, struct span prefix,
		    bool (*each)(void *context, struct span key, struct span value), void *context,
		    struct failure *failure);

/* ---- reader.c ---- */

int sqlite_reader_open(struct engine *engine, struct engine_reader **reader, struct failure *failure);
void sqlite_reader_close(struct engine_reader *reader);
int sqlite_reader_begin(struct engine_reader *reader, struct failure *failure);
void sqlite_reader_end(struct engine_reader *reader);
int sqlite_reader_get_own(struct engine_reader *reader, struct span key, bool *found, struct buffer *value,
			  struct failure *failure);
int sqlite_reader_get_document(struct engine_reader *reader, const struct engine_tables *tables, struct span document,
			       bool *found, struct buffer *meta, uint64_t *next, struct failure *failure);
int sqlite_reader_rows(struct engine_reader *reader, const struct engine_tables *tables, struct span document,
		       uint64_t first, uint64_t end,
		       bool (*each)(void *context, uint64_t seq, const struct engine_row *row), void *context,
		       struct failure *failure);
int sqlite_reader_documents(struct engine_reader *reader, const struct engine_tables *tables, struct span prefix,
			    bool has_after, struct span after, bool (*each)(void *context, struct span document),
			    void *context, struct failure *failure);

/* ---- reserve.c ---- */

void sqlite_release_reserve(struct engine *engine);
int sqlite_restore_reserve(struct engine *engine, struct failure *failure);
int sqlite_set_growth(struct engine *engine, enum engine_growth growth, struct failure *failure);
int sqlite_unused_bytes(struct engine *engine, uint64_t *bytes, struct failure *failure);

#endif
