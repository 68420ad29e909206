/*
 * space: what becomes of writes while the disk is full. Writer thread.
 *
 * The first write that finds no space begins it: the reserve is given back, the log moved into the database. From then
 * on the database grows no more, so that what the reserve gave back is there for the log. Reads go on; deletes and
 * replaces do, as far as their log finds room, since they free space or use what is there; appends do as long as
 * something inside of the database is unused. Everything else is refused: disk_full, not applied. It is over when there
 * is space for the reserve again and some more.
 */
#ifndef KYNETA_DAEMON_SPACE_H
#define KYNETA_DAEMON_SPACE_H

#include "daemon/engine.h"

struct gate;
struct job;

struct space {
	struct engine *engine;
	struct gate *gate;
	bool full;
	bool has_unused;       /* inside of the database, as of the batch's beginning */
	uint64_t next_look_us; /* not full: for a reserve that could not be made before, or is gone */
};

void space_init(struct space *space, struct engine *engine, struct gate *gate);

/* space_look(space) - between batches: is there space again? */
void space_look(struct space *space);

/*
 * space_make_room(space, fatal) - there was no space, and nothing of the transaction is left. The first time the disk
 * counts as full from then on; later the log alone can be made to start over. Is it worth trying again? *fatal: the
 * database may not be touched any more.
 */
bool space_make_room(struct space *space, bool *fatal);

/*
 * space_admit(space, job, admitted, failure) - while the disk is full: may this write be tried? If not it is failed.
 * Sets the limit for it. Returns a failure of the engine, or 0.
 */
int space_admit(struct space *space, struct job *job, bool *admitted, struct failure *failure);

/* space_spare(space, failure) - while the disk is full: what follows is the daemon's own. */
int space_spare(struct space *space, struct failure *failure);

#endif
