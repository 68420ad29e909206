/*
 * import: writes of a file, into one store.
 *
 * Takes append, replace and delete lines as `export` writes them and as recorded sessions have them, and passes over
 * reads and over calls that were refused when they were recorded. Many lines are under way at once, bounded in number
 * and bytes; the library keeps those of one document in order.
 *
 * Documents that the store has already are not touched unless that is asked for. So before the first line of a document
 * the daemon is asked whether it exists, and that line is written only if it still does not; of each document met,
 * eight bytes are remembered. With --merge nobody asks, and nothing is remembered.
 *
 * Lines are written with durability `committed` (unless told otherwise), and a `sync` comes at the end: success means
 * that everything is on the disk.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "client/ctl/commands.h"
#include "client/ctl/ctl.h"
#include "client/ctl/lines.h"
#include "client/ctl/progress.h"
#include "client/ctl/record_json.h"
#include "client/ctl/seen.h"
#include "client/ctl/session.h"

/* Enough to keep the daemon's batches full; it takes 1,024 of a connection. A single line may be larger than the bytes.
 */
#define UNDER_WAY_MAX	    512
#define UNDER_WAY_BYTES_MAX ((size_t)32 << 20)

/* How many lines are queued before the socket is looked at. */
#define LINES_PER_TURN 32

/* Of a document's id, to tell a failure; in bytes. */
#define ID_KEPT 256

struct import {
	struct ctl *ctl;
	struct lines *lines;
	struct progress progress;
	struct seen *met;  /* documents that are the import's own now; NULL with --merge */
	struct seen *kept; /* documents that were there before and are left alone */
	struct buffer id;  /* of the document in hand, */
	struct buffer next_id;
	bool has_id;
	bool is_kept; /*   which is one of those left alone */
	struct session_records records;
	size_t under_way;
	size_t under_way_bytes;
	unsigned queued; /* since the socket was looked at */
	int status;	 /* of the command; once it is not CTL_OK no further line is taken */
	bool partial;	 /* something failed and was passed over */
	uint64_t written, failed, skipped, documents;
};

/* One write under way. */
struct item {
	struct import *import;
	uint64_t line;
	size_t bytes;
	bool extra; /* not a line's own: the delete before it */
	size_t id_size;
	uint8_t id[ID_KEPT];
};

/* ---- failures ---- */

static void stop(struct import *import, int status)
{
	if (import->status == CTL_OK)
		import->status = status;
}

static void describe(struct buffer *what, uint64_t line, struct span id)
{
	char number[32];
	int size = snprintf(number, sizeof(number), "line %" PRIu64, line);

	buffer_append(what, number, (size_t)size);
	if (id.size > 0) {
		buffer_append(what, ", ", 2);
		buffer_append(what, id.data, id.size);
	}
}

/* A line failed. The first one stops the import, unless failures are to be passed over and this one is about the line
 * itself. */
static void fail(struct import *import, uint64_t line, struct span id, const struct kyneta_store_error *error,
		 const char *problem)
{
	bool passed = import->ctl->options.keep_going && (error == NULL || error->code < KYNETA_STORE_EBUSY);
	struct buffer what = BUFFER_EMPTY;
	int status;

	import->failed++;
	/* What fails after that was under way already, and mostly for the same reason. */
	if (import->status != CTL_OK)
		return;
	progress_clear(&import->progress);
	describe(&what, line, id);
	if (error != NULL)
		status = ctl_error(import->ctl, buffer_span(&what), error);
	else
		status = ctl_problem(import->ctl, buffer_span(&what), problem);
	buffer_free(&what);
	if (passed)
		import->partial = true;
	else
		stop(import, status);
}

static void fail_here(struct import *import, const char *problem)
{
	fail(import, lines_number(import->lines), SPAN_NONE, NULL, problem);
}

/* ---- waiting ---- */

/* One turn of the loop; whatever ends the waiting stops the import. */
static void turn(struct import *import, bool wait)
{
	struct handle *handle = &import->ctl->handle;
	enum loop_result result = loop_turn(&import->ctl->loop, wait);

	import->queued = 0;
	if (result == LOOP_INTERRUPTED) {
		stop(import, 128 + loop_signal());
	} else if (result == LOOP_TIMEOUT && import->status != CTL_UNREACHABLE) {
		progress_clear(&import->progress);
		import->status = ctl_unfinished(import->ctl, SPAN_NONE, handle, result, KYNETA_STORE_UNKNOWN);
	} else if (handle->state == KYNETA_STORE_CLOSED && import->status == CTL_OK) {
		progress_clear(&import->progress);
		import->status = ctl_closed(import->ctl, SPAN_NONE, handle);
	}
}

static bool can_wait(const struct import *import)
{
	return import->status != CTL_UNREACHABLE && import->ctl->handle.state != KYNETA_STORE_CLOSED;
}

static void on_done(void *context, const struct kyneta_store_answer *answer)
{
	struct item *item = context;
	struct import *import = item->import;

	loop_progress(&import->ctl->loop);
	import->under_way--;
	import->under_way_bytes -= item->bytes;
	if (answer->error != NULL)
		fail(import, item->line, span_of(item->id, item->id_size), answer->error, NULL);
	else if (!item->extra)
		import->written++;
	free(item);
}

static void wait_for_room(struct import *import, size_t bytes)
{
	while (import->status == CTL_OK && import->under_way > 0 &&
	       (import->under_way >= UNDER_WAY_MAX || import->under_way_bytes + bytes > UNDER_WAY_BYTES_MAX))
		turn(import, true);
	if (import->status == CTL_OK && import->queued >= LINES_PER_TURN)
		turn(import, false);
}

/* ---- one line ---- */

static int send_write(struct import *import, enum session_op op, const struct kyneta_store_write *write,
		      struct item *item)
{
	kyneta_store *store = import->ctl->handle.store;
	const struct session_records *records = &import->records;
	const char *id = (const char *)import->id.data;
	size_t id_size = import->id.size;

	if (op == SESSION_APPEND)
		return kyneta_store_send_append(store, id, id_size, records->records, records->count, write, on_done,
						item);
	if (op == SESSION_REPLACE)
		return kyneta_store_send_replace(store, id, id_size, records->records, records->count, write, on_done,
						 item);
	return kyneta_store_send_delete(store, id, id_size, write, on_done, item);
}

/* Queues a write of the document in hand. @expect NULL: wherever it stands. */
static void put_under_way(struct import *import, enum session_op op, const struct kyneta_store_position *expect,
			  size_t bytes, bool extra)
{
	struct kyneta_store_write write = KYNETA_STORE_WRITE_INIT;
	struct kyneta_store_error refused = {.outcome = KYNETA_STORE_NOT_APPLIED};
	struct item *item = malloc(sizeof(*item));

	if (item == NULL) {
		fail_here(import, "no memory");
		return;
	}
	item->import = import;
	item->line = lines_number(import->lines);
	item->bytes = bytes;
	item->extra = extra;
	item->id_size = import->id.size < ID_KEPT ? import->id.size : ID_KEPT;
	memcpy(item->id, import->id.data, item->id_size);
	write.durability = import->ctl->options.durability;
	if (expect != NULL) {
		write.has_expect = true;
		write.expect = *expect;
	}
	while ((refused.code = send_write(import, op, &write, item)) == KYNETA_STORE_EFULL &&
	       import->status == CTL_OK && import->under_way > 0)
		turn(import, true);
	if (refused.code != 0) {
		fail(import, item->line, span_of(item->id, item->id_size), &refused, NULL);
		free(item);
		return;
	}
	import->under_way++;
	import->under_way_bytes += bytes;
	import->queued++;
}

/*
 * Asks whether the document in hand exists. *at: where it stands. False: there is no answer, and the import has been
 * stopped.
 */
static bool ask(struct import *import, bool *exists, struct kyneta_store_position *at)
{
	struct ctl_reply reply = {.ctl = import->ctl};
	kyneta_store *store = import->ctl->handle.store;

	reply.error.code = kyneta_store_send_current_meta(store, (const char *)import->id.data, import->id.size,
							  ctl_reply_done, &reply);
	if (reply.error.code == 0) {
		while (!reply.done && import->status == CTL_OK)
			turn(import, true);
		/* Its context is about to go. */
		if (!reply.done)
			loop_close(&import->ctl->handle);
	}
	if (import->status == CTL_OK && reply.error.code != 0)
		stop(import, ctl_error(import->ctl, buffer_span(&import->id), &reply.error));
	*exists = reply.has_meta;
	*at = reply.at;
	buffer_free(&reply.meta);
	return import->status == CTL_OK;
}

/*
 * The first line of a document. True if the line may be written, *expect NULL or where the document must stand then.
 */
static bool meet(struct import *import, struct kyneta_store_position *at, const struct kyneta_store_position **expect)
{
	bool exists;

	*expect = NULL;
	if (!ask(import, &exists, at))
		return false;
	if (exists && !import->ctl->options.overwrite) {
		import->is_kept = true;
		if (seen_add(import->kept, buffer_span(&import->id)) == SEEN_FAILED)
			fail_here(import, "no memory");
		fail(import, lines_number(import->lines), buffer_span(&import->id), NULL,
		     "this document exists already; --merge appends to it, --overwrite deletes it first");
		return false;
	}
	if (exists)
		put_under_way(import, SESSION_DELETE, NULL, 0, true);
	else
		*expect = at;
	import->documents++;
	return import->status == CTL_OK;
}

/* Makes the document of this line the one in hand. -1: the line is no good, for *reason. */
static int take_id(struct import *import, struct json_value doc, bool *changed, const char **reason)
{
	struct span id;

	buffer_reset(&import->next_id);
	if (record_json_text(doc, &import->next_id, &id, reason) != 0)
		return -1;
	*changed = !import->has_id || !span_equal(id, buffer_span(&import->id));
	if (!*changed)
		return 0;
	buffer_reset(&import->id);
	buffer_append(&import->id, id.data, id.size);
	import->has_id = !import->id.failed;
	import->is_kept = import->kept != NULL && seen_has(import->kept, id);
	*reason = "no memory";
	return import->has_id ? 0 : -1;
}

static bool is_for_us(const struct import *import, const struct session_call *call)
{
	const char *store = import->ctl->options.store;

	if (!session_is_write(call->op) || session_has(call->error))
		return false;
	return session_has(call->store) ? json_string_is(call->store, store) : strcmp(store, "main") == 0;
}

static void do_line(struct import *import, struct span line)
{
	const struct kyneta_store_position *expect = NULL;
	enum seen_result met = SEEN_BEFORE;
	struct kyneta_store_position at;
	struct session_call call;
	const char *reason;
	bool changed;

	if (session_read(line, &call, &reason) != 0) {
		fail_here(import, reason);
		return;
	}
	if (!is_for_us(import, &call)) {
		import->skipped++;
		return;
	}
	if (take_id(import, call.doc, &changed, &reason) != 0 ||
	    (call.op != SESSION_DELETE && session_records_read(&import->records, &call, &reason) != 0)) {
		fail_here(import, reason);
		return;
	}
	if (changed && import->met != NULL && !import->is_kept)
		met = seen_add(import->met, buffer_span(&import->id));
	if (met == SEEN_FAILED) {
		fail_here(import, "no memory");
		return;
	}
	if (import->is_kept) {
		import->failed++;
		return;
	}
	wait_for_room(import, line.size);
	if (import->status != CTL_OK || (met == SEEN_NEW && !meet(import, &at, &expect)))
		return;
	put_under_way(import, call.op, expect, line.size, false);
}

/* ---- the whole ---- */

static void do_lines(struct import *import)
{
	enum lines_result result = LINES_ONE;
	const char *reason;
	struct span line;

	while (import->status == CTL_OK && loop_signal() == 0) {
		result = lines_next(import->lines, &line, &reason);
		if (result != LINES_ONE)
			break;
		do_line(import, line);
		progress_show(&import->progress, lines_number(import->lines), lines_percent(import->lines));
	}
	if (result == LINES_FAILED && loop_signal() == 0)
		fail_here(import, reason);
}

/* What is under way is answered, and on the disk. */
static void finish(struct import *import)
{
	struct ctl *ctl = import->ctl;
	struct ctl_reply synced = {.ctl = ctl}, closed = {.ctl = ctl};
	kyneta_store *store = ctl->handle.store;
	int rc = CTL_OK;

	ctl->loop.finishing = true;
	while (import->under_way > 0 && store != NULL && can_wait(import))
		turn(import, true);
	progress_clear(&import->progress);
	if (store != NULL && can_wait(import)) {
		rc = ctl_await(ctl, SPAN_NONE, kyneta_store_send_sync(store, ctl_reply_done, &synced), &synced);
		if (rc == CTL_OK)
			rc =
			    ctl_await(ctl, SPAN_NONE, kyneta_store_send_close(store, ctl_reply_done, &closed), &closed);
		stop(import, rc);
	}
	loop_close(&ctl->handle);
	if (loop_signal() != 0) {
		fprintf(stderr, "kyneta-storectl: import: interrupted after line %" PRIu64 "\n",
			lines_number(import->lines));
		import->status = 128 + loop_signal();
	}
}

static void show_summary(struct import *import)
{
	struct output *output = &import->ctl->output;

	output_begin(output, 9);
	output_number(output, "written", import->written);
	if (import->met != NULL)
		output_number(output, "documents", import->documents);
	output_number(output, "skipped", import->skipped);
	output_number(output, "failed", import->failed);
	output_decimal(output, "seconds", progress_seconds(&import->progress), "s");
	output_end(output);
}

static int run(struct import *import)
{
	struct ctl *ctl = import->ctl;
	int rc;

	if (!ctl->options.merge) {
		import->met = seen_new();
		import->kept = seen_new();
		if (import->met == NULL || import->kept == NULL)
			return ctl_problem(ctl, SPAN_NONE, "no memory");
	}
	rc = ctl_open(ctl, ctl_access(ctl));
	if (rc != CTL_OK)
		return rc;
	progress_start(&import->progress, "importing", "lines");
	do_lines(import);
	finish(import);
	show_summary(import);
	return import->status == CTL_OK && import->partial ? CTL_FAILED : import->status;
}

int command_import(struct ctl *ctl)
{
	const char *path = ctl->options.argument_count > 0 ? ctl->options.arguments[0] : "-", *reason;
	struct import import = {.ctl = ctl, .status = CTL_OK};
	int rc;

	if (ctl->options.durability == KYNETA_STORE_DEFAULT)
		ctl->options.durability = KYNETA_STORE_COMMITTED;
	if (lines_open(&import.lines, path, &reason) != 0)
		return ctl_problem(ctl, span_of_string(path), reason);
	rc = run(&import);
	session_records_free(&import.records);
	buffer_free(&import.id);
	buffer_free(&import.next_id);
	seen_free(import.met);
	seen_free(import.kept);
	lines_close(import.lines);
	return rc;
}
