/*
 * usage: how much each store holds, for its quota.
 *
 * What counts: the bytes of ids, payloads and blobs in its records, of ids and metadata in its table of metadata; and
 * how many documents have metadata. What the database adds (pages, keys, its log) does not.
 *
 * A store is counted from the first hello under a quota on, as long as the daemon runs. The count is written down with
 * the daemon's own rows in the very transaction that changes it, so that a restart has it at once; without such a row
 * the whole store is read, once. A store that is changed without being counted loses its row. A row also tells the
 * floor of the generations (store.h) under which it was written: when another program has written to the file the floor
 * rises, and everything is counted anew. So a count that is there is true, unless somebody wrote to the file while no
 * daemon ran.
 *
 * What a batch did lies on top until the commit, as with documents. Writer thread only, but for usage_shown().
 */
#ifndef KYNETA_DAEMON_USAGE_H
#define KYNETA_DAEMON_USAGE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "daemon/document.h"
#include "daemon/failure.h"
#include "daemon/job.h"

struct store;
struct stores;

struct usage_figures {
	uint64_t bytes, documents;
	bool known; /* false: to be counted before the next change */
};

struct usage {
	bool counted;
	bool row;	     /* there is one in the database, */
	bool row_looked_for; /*   as far as that is known */
	bool changed;	     /* by this batch: the figures, or a row that must go */
	struct usage_figures committed, pending;
	_Atomic bool shown_known;
	_Atomic uint64_t shown_bytes, shown_documents;
};

/*
 * usage_open(stores, store, limited, failure) - a hello was said; @limited: under a quota. Outside a transaction. If
 * the store cannot be counted now, that is tried again at the next write.
 */
int usage_open(struct stores *stores, struct store *store, bool limited, struct failure *failure);

/* usage_concerns(usage) - has a change of the store anything to do with this module? */
static inline bool usage_concerns(const struct usage *usage)
{
	return usage->counted || usage->row;
}

/*
 * usage_charge(stores, job, document, meta, layout, failure) - before @job changes @document, whose metadata will be
 * @meta (SPAN_NONE: stays as it is, or goes by a delete), in a store that has @layout or gets it: count that. 0: go on,
 * or a quota is used up: then the job is failed, and nothing was counted. Else an engine's failure. Only if
 * usage_concerns().
 */
int usage_charge(struct stores *stores, struct job *job, const struct document *document, struct span meta,
		 enum layout layout, struct failure *failure);

/* A batch, attempt by attempt: before commit; after it; after a rollback. */
int usage_finish(struct stores *stores, struct store *store, struct failure *failure);
void usage_committed(struct store *store);
void usage_rolled_back(struct store *store);

/* usage_forget(store) - another program has written to the file. */
void usage_forget(struct store *store);

/* usage_shown(usage, bytes, documents) - the committed figures; false: it is not counted. Any thread. */
bool usage_shown(const struct usage *usage, uint64_t *bytes, uint64_t *documents);

#endif
