/*
 * import: writes of a file, into one store.
 *
 * Takes append, replace and delete lines as `export` writes them and as recorded sessions have them, and passes over
 * reads and over calls that were refused when they were recorded. Many lines are under way at once, bounded in number
 * and bytes; the library keeps those of one document in order.
 *
 * Documents that the store has already are not touched unless that is asked for: lines are read ahead to ask the daemon
 * (ahead.h), and the first line of a document that does not exist is written only if it still does not. With --merge
 * nobody asks.
 *
 * Lines are written with durability `committed` (unless told otherwise), and a `sync` comes at the end: success means
 * that everything is on the disk.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "client/ctl/ahead.h"
#include "client/ctl/commands.h"
#include "client/ctl/ctl.h"
#include "client/ctl/progress.h"

/* Enough to keep the daemon's batches full; it takes 1,024 of a connection. A single line may be larger than the bytes.
 */
#define UNDER_WAY_MAX	    512
#define UNDER_WAY_BYTES_MAX ((size_t)32 << 20)

/* How many writes are queued before the socket is looked at. */
#define WRITES_PER_TURN 32

/* Of a document's id, to tell a failure; in bytes. */
#define ID_KEPT 256

struct import {
	struct ctl *ctl;
	struct ahead ahead;
	struct progress progress;
	struct seen *kept; /* documents that were there before and are left alone; NULL with --merge */
	uint64_t kept_count;
	struct session_records records;
	size_t under_way;
	size_t under_way_bytes;
	unsigned queued; /* since the socket was looked at */
	int status;	 /* of the command; once it is not CTL_OK no further line is taken */
	bool partial;	 /* something failed and was passed over */
	uint64_t line;	 /* the last one that was taken */
	uint64_t written, failed, documents;
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

/*
 * A line failed: the daemon refused it (@error), or it has a @problem of its own. The first one stops the import,
 * unless failures are to be passed over and this one is about the line alone.
 */
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

static void wait_for_room(struct import *import, size_t bytes)
{
	while (import->status == CTL_OK && import->under_way > 0 &&
	       (import->under_way >= UNDER_WAY_MAX || import->under_way_bytes + bytes > UNDER_WAY_BYTES_MAX))
		turn(import, true);
	if (import->status == CTL_OK && import->queued >= WRITES_PER_TURN)
		turn(import, false);
}

/* ---- writing ---- */

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

static int send_write(struct import *import, const struct ahead_line *line, enum session_op op,
		      const struct kyneta_store_write *write, struct item *item)
{
	kyneta_store *store = import->ctl->handle.store;
	const struct session_records *records = &import->records;
	const char *id = (const char *)line->id.data;

	if (op == SESSION_APPEND)
		return kyneta_store_send_append(store, id, line->id.size, records->records, records->count, write,
						on_done, item);
	if (op == SESSION_REPLACE)
		return kyneta_store_send_replace(store, id, line->id.size, records->records, records->count, write,
						 on_done, item);
	return kyneta_store_send_delete(store, id, line->id.size, write, on_done, item);
}

/* Queues @op of a line's document: the line's own, or the delete before it. */
static void put_under_way(struct import *import, const struct ahead_line *line, enum session_op op,
			  const struct kyneta_store_write *write, bool extra)
{
	struct kyneta_store_error refused = {.outcome = KYNETA_STORE_NOT_APPLIED};
	struct item *item = malloc(sizeof(*item));

	if (item == NULL) {
		fail(import, line->number, line->id, NULL, "no memory");
		return;
	}
	item->import = import;
	item->line = line->number;
	item->bytes = extra ? 0 : line->size;
	item->extra = extra;
	item->id_size = line->id.size < ID_KEPT ? line->id.size : ID_KEPT;
	memcpy(item->id, line->id.data, item->id_size);
	while ((refused.code = send_write(import, line, op, write, item)) == KYNETA_STORE_EFULL &&
	       import->status == CTL_OK && import->under_way > 0)
		turn(import, true);
	if (refused.code != 0) {
		fail(import, line->number, line->id, &refused, NULL);
		free(item);
		return;
	}
	import->under_way++;
	import->under_way_bytes += item->bytes;
	import->queued++;
}

/* The document was there before: its lines are not written. */
static void keep(struct import *import, const struct ahead_line *line)
{
	import->kept_count++;
	if (seen_add(import->kept, line->id) == SEEN_FAILED)
		stop(import, ctl_problem(import->ctl, line->id, "no memory"));
	fail(import, line->number, line->id, NULL,
	     "this document exists already; --merge appends to it, --overwrite deletes it first");
}

/* The first line of a document, and the daemon has answered whether it exists. True if the line may be written. */
static bool meet(struct import *import, const struct ahead_line *line, struct kyneta_store_write *write)
{
	const struct ctl_reply *asked = line->asked;
	struct kyneta_store_write anyhow = *write;

	if (asked->failed) {
		stop(import, ctl_error(import->ctl, line->id, &asked->error));
		return false;
	}
	if (asked->has_meta && !import->ctl->options.overwrite) {
		keep(import, line);
		return false;
	}
	import->documents++;
	if (asked->has_meta) {
		put_under_way(import, line, SESSION_DELETE, &anyhow, true);
	} else {
		write->has_expect = true;
		write->expect = asked->at;
	}
	return import->status == CTL_OK;
}

static void do_line(struct import *import, const struct ahead_line *line)
{
	struct kyneta_store_write write = KYNETA_STORE_WRITE_INIT;
	const char *problem = line->problem;

	write.durability = import->ctl->options.durability;
	wait_for_room(import, line->size);
	while (line->asked != NULL && !line->asked->done && import->status == CTL_OK)
		turn(import, true);
	if (import->status != CTL_OK)
		return;
	if (import->kept_count > 0 && problem == NULL && seen_has(import->kept, line->id)) {
		import->failed++;
		return;
	}
	/* Also if the line itself is no good: the next one of this document will not be asked for. */
	if (line->asked != NULL && !meet(import, line, &write))
		return;
	if (problem == NULL && line->call.op != SESSION_DELETE)
		(void)session_records_read(&import->records, &line->call, &problem);
	if (problem != NULL)
		fail(import, line->number, SPAN_NONE, NULL, problem);
	else
		put_under_way(import, line, line->call.op, &write, false);
}

/* ---- the whole ---- */

static void do_lines(struct import *import)
{
	struct ahead_line *line;

	while (import->status == CTL_OK && loop_signal() == 0) {
		ahead_fill(&import->ahead);
		line = ahead_first(&import->ahead);
		if (line == NULL)
			break;
		do_line(import, line);
		/* Otherwise what it asked may still be answered: it goes when the handle is closed. */
		if (import->status != CTL_OK)
			return;
		import->line = line->number;
		ahead_drop(&import->ahead);
		progress_show(&import->progress, import->line, lines_percent(import->ahead.lines));
	}
	if (import->ahead.trouble != NULL && loop_signal() == 0)
		fail(import, lines_number(import->ahead.lines), SPAN_NONE, NULL, import->ahead.trouble);
}

static bool can_wait(const struct import *import)
{
	return import->status != CTL_UNREACHABLE && import->ctl->handle.state != KYNETA_STORE_CLOSED;
}

/* What is under way is answered, and on the disk. */
static void finish(struct import *import)
{
	struct ctl *ctl = import->ctl;
	struct ctl_reply synced = {.ctl = ctl};
	kyneta_store *store = ctl->handle.store;

	ctl->loop.finishing = true;
	while (import->under_way > 0 && can_wait(import))
		turn(import, true);
	progress_clear(&import->progress);
	if (can_wait(import))
		stop(import,
		     ctl_await(ctl, SPAN_NONE, kyneta_store_send_sync(store, ctl_reply_done, &synced), &synced));
	ctl_close(ctl);
	if (loop_signal() != 0) {
		fprintf(stderr, "kyneta-storectl: import: interrupted after line %" PRIu64 "\n", import->line);
		import->status = 128 + loop_signal();
	}
}

static void show_summary(struct import *import)
{
	struct output *output = &import->ctl->output;

	output_begin(output, 9);
	output_number(output, "written", import->written);
	if (import->kept != NULL)
		output_number(output, "documents", import->documents);
	output_number(output, "skipped", import->ahead.skipped);
	output_number(output, "failed", import->failed);
	output_decimal(output, "seconds", progress_seconds(&import->progress), "s");
	output_end(output);
}

static int run(struct import *import, struct lines *lines)
{
	struct ctl *ctl = import->ctl;
	bool asks = !ctl->options.merge;
	int status;

	if (asks)
		import->kept = seen_new();
	if (ahead_init(&import->ahead, ctl, lines, asks) != 0 || (asks && import->kept == NULL))
		return ctl_problem(ctl, SPAN_NONE, "no memory");
	status = ctl_open(ctl, ctl_access(ctl));
	if (status != CTL_OK)
		return status;
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
	struct lines *lines;
	int status;

	if (ctl->options.durability == KYNETA_STORE_DEFAULT)
		ctl->options.durability = KYNETA_STORE_COMMITTED;
	if (lines_open(&lines, path, &reason) != 0)
		return ctl_problem(ctl, span_of_string(path), reason);
	status = run(&import, lines);
	session_records_free(&import.records);
	ahead_free(&import.ahead);
	seen_free(import.kept);
	lines_close(lines);
	return status;
}
