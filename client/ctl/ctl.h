/*
 * ctl: one run of kyneta-storectl, and what all its commands share: how it ends, and how failures are told.
 */
#ifndef KYNETA_CTL_CTL_H
#define KYNETA_CTL_CTL_H

#include "client/ctl/loop.h"
#include "client/ctl/options.h"
#include "client/ctl/output.h"

/* value, status, what it means */
#define CTL_EXITS(X)                                                                                                   \
	X(CTL_OK, 0, "done")                                                                                           \
	X(CTL_FAILED, 1, "the daemon refused, or the command failed")                                                  \
	X(CTL_USAGE, 2, "the command line was wrong; nothing was done")                                                \
	X(CTL_UNREACHABLE, 3, "no daemon, or no answer in time (--timeout)")                                           \
	X(CTL_MISMATCH, 4, "replay: something was not as recorded")                                                    \
	X(CTL_NOT_FOUND, 5, "no such document, or the store has not been made yet")                                    \
	X(CTL_INTERRUPTED, 130, "interrupted (128 and the number of the signal)")

enum ctl_exit {
#define CTL_EXIT_VALUE(value, status, meaning) value = (status),
	CTL_EXITS(CTL_EXIT_VALUE)
#undef CTL_EXIT_VALUE
};

struct ctl {
	struct options options;
	struct output output;
	struct loop loop;
	struct handle handle; /* of commands that use one store */
};

/* ctl_store_options(ctl, options) - the options of a handle, as the command line has them. */
void ctl_store_options(const struct ctl *ctl, struct kyneta_store_options *options);

/*
 * ctl_open(ctl, access) - open ctl->handle with an access of enum kyneta_store_access. CTL_OK, or the exit status after
 * telling why not.
 */
int ctl_open(struct ctl *ctl, int access);

/* ctl_access(ctl) - what the command needs: read-only, read-write, or exclusive if that was asked for. */
int ctl_access(const struct ctl *ctl);

/*
 * ctl_close(ctl) - end the session of ctl->handle, if it is open and was for writing, so that the daemon need not
 * remember it, nor keep the store for it; then close the handle. Everything was answered before; if this is not,
 * nothing is lost.
 */
void ctl_close(struct ctl *ctl);

/*
 * ctl_error(ctl, what, error) - tell in one line on stderr that the command failed, with @what (a document's id, a
 * file; may be SPAN_NONE), and give the exit status.
 */
int ctl_error(const struct ctl *ctl, struct span what, const struct kyneta_store_error *error);

/* ctl_problem(ctl, what, problem) - the same for what is not the daemon's doing: a file, an argument. Gives CTL_FAILED.
 */
int ctl_problem(const struct ctl *ctl, struct span what, const char *problem);

/*
 * ctl_unfinished(ctl, what, handle, result, outcome) - tell that waiting ended with LOOP_TIMEOUT or LOOP_INTERRUPTED,
 * and give the exit status. @outcome: enum kyneta_store_outcome of the write under way.
 */
int ctl_unfinished(const struct ctl *ctl, struct span what, const struct handle *handle, enum loop_result result,
		   int outcome);

/* ctl_closed(ctl, what, handle) - tell that a handle is closed, and why; give the exit status. */
int ctl_closed(const struct ctl *ctl, struct span what, const struct handle *handle);

/*
 * ctl_id(ctl, index, storage, id) - the argument at @index as a document's id, a view into it or into @storage. CTL_OK,
 * or CTL_USAGE after telling that it cannot be one.
 */
int ctl_id(const struct ctl *ctl, int index, struct buffer *storage, struct span *id);

/* The answer to one request. */
struct ctl_reply {
	struct ctl *ctl;
	bool done;
	bool failed;
	struct kyneta_store_error error; /* if it failed */
	struct kyneta_store_position at;
	bool duplicate;
	bool has_meta;
	struct buffer meta;
};

/* ctl_reply_done - the callback of a request whose context is a struct ctl_reply. */
void ctl_reply_done(void *context, const struct kyneta_store_answer *answer);

/*
 * ctl_await(ctl, what, sent, reply) - wait for the answer to a request that was queued with @sent as its result.
 * CTL_OK, or the exit status after telling what went wrong; ctl->handle may be closed then.
 */
int ctl_await(struct ctl *ctl, struct span what, int sent, struct ctl_reply *reply);

#endif
