/*
 * ahead: the lines of an import, read some way ahead of what is written.
 *
 * Before the first line of a document is written, the daemon is asked whether the document exists. A round trip for
 * each would cost more than the writing; so lines are read ahead, as far as the bounds below allow, and what there is
 * to ask is asked while earlier lines are written. Which documents were met is remembered in eight bytes for each.
 */
#ifndef KYNETA_CTL_AHEAD_H
#define KYNETA_CTL_AHEAD_H

#include <sys/queue.h>

#include "client/ctl/ctl.h"
#include "client/ctl/lines.h"
#include "client/ctl/seen.h"
#include "client/ctl/session.h"

/* A single line may be larger than the bytes. */
#define AHEAD_LINES_MAX 256
#define AHEAD_BYTES_MAX ((size_t)4 << 20)

/* One line that is to be written. */
struct ahead_line {
	STAILQ_ENTRY(ahead_line) link;
	uint64_t number;
	const char *problem; /* static: why it cannot be taken; nothing below is valid then */
	struct session_call call;
	struct span id;
	struct buffer id_storage;
	struct ctl_reply *asked; /* the first line of a document: does it exist? NULL: not asked */
	size_t size;
	uint8_t text[];
};

struct ahead {
	struct ctl *ctl;
	struct lines *lines;
	struct seen *met; /* NULL: ask nothing, remember nothing */
	struct buffer last_id;
	bool has_last_id;
	STAILQ_HEAD(, ahead_line) queue;
	size_t count;
	size_t bytes;
	bool ended;	     /* no more lines in the file */
	const char *trouble; /* why the file could not be read further; after the lines in the queue */
	uint64_t skipped;    /* lines that are no writes to the store asked for */
};

/* ahead_init(ahead, ctl, lines, remember) - begin. 0, or -1: no memory. */
int ahead_init(struct ahead *ahead, struct ctl *ctl, struct lines *lines, bool remember);

/* ahead_fill(ahead) - read and ask as far as the bounds allow. Lines in the queue do not move. */
void ahead_fill(struct ahead *ahead);

/* ahead_first(ahead) - the next line, NULL: none. If it was asked for, wait for the answer before it is written. */
struct ahead_line *ahead_first(struct ahead *ahead);

/* ahead_drop(ahead) - the first line is done with. What it asked must be answered. */
void ahead_drop(struct ahead *ahead);

/* ahead_free(ahead) - after the handle was closed, so that nothing is asked any more. */
void ahead_free(struct ahead *ahead);

#endif
