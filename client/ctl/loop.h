/*
 * loop: handles to the daemon, and waiting for what comes over them.
 *
 * Everything kyneta-storectl does over a socket goes through here, so that waiting is the same everywhere: it ends when
 * nothing has come for as long as --timeout allows, or when the user interrupts, however much is under way; and a long
 * transfer may take as long as it goes on.
 */
#ifndef KYNETA_CTL_LOOP_H
#define KYNETA_CTL_LOOP_H

#include "client/include/kyneta/store.h"

/* How many stores one recorded session may use at the same time. */
#define LOOP_HANDLES_MAX 64

struct handle {
	kyneta_store *store;
	struct loop *loop;
	int state;			 /* enum kyneta_store_state */
	bool was_ready;			 /* hello was answered at least once */
	struct kyneta_store_error error; /* of the last lost, failed or refused connection; code 0: none */
};

struct loop {
	struct handle *handles[LOOP_HANDLES_MAX];
	size_t count;
	int timeout_ms;	   /* -1: wait for ever */
	int64_t waited_us; /* since anything came */
	bool progress;	   /* set by callbacks: something came */
	bool finishing;	   /* what is under way is waited for although the user interrupted */
};

enum loop_result { LOOP_OK = 0, LOOP_TIMEOUT, LOOP_INTERRUPTED };

/* loop_init(loop, timeout_ms) - no handles yet. */
void loop_init(struct loop *loop, int timeout_ms);

/*
 * loop_open(loop, handle, options) - a handle that has said hello. @options' state callback is the loop's. @handle must
 * stay where it is until loop_close(). *result tells how the waiting ended; LOOP_OK does not mean that the daemon
 * agreed: look at handle->state, and at handle->error if it is KYNETA_STORE_CLOSED. 0, or the code of
 * kyneta_store_new() with handle->error set and nothing to close.
 */
int loop_open(struct loop *loop, struct handle *handle, struct kyneta_store_options *options, enum loop_result *result);

/* loop_close(handle) - free it; what is unanswered gets its callback. Does nothing to a handle that is not open. */
void loop_close(struct handle *handle);

/*
 * loop_turn(loop, wait) - let all handles do what they can; with @wait, sleep until one of them can. Callbacks of
 * requests say loop_progress(). LOOP_TIMEOUT: nothing came for timeout_ms of waiting.
 */
enum loop_result loop_turn(struct loop *loop, bool wait);

/* loop_progress(loop) - something came: waiting starts anew. */
static inline void loop_progress(struct loop *loop)
{
	loop->progress = true;
}

/*
 * loop_catch_signals() - from now on SIGINT, SIGTERM and SIGHUP are noted once, and loop_signal() gives the one that
 * came (0: none); another one half a second later ends the program as usual.
 */
void loop_catch_signals(void);
int loop_signal(void);

/* loop_now_us() - a clock that only goes forward. */
int64_t loop_now_us(void);

#endif
