/*
 * replay: carries out a recorded session, and checks everything it expects.
 *
 * Every store of the session has a handle of its own, from its `open` line to its `close` line; a session without such
 * lines works on a store that is opened when it is first used and closed at the end. One call is under way at a time;
 * or, as in the recording: a line says how many calls of its handle were unanswered when it was made, and it is sent
 * when no more are than that. The library keeps the calls of a document in order, so that a read expects the same
 * either way.
 */
#include <stdlib.h>

#include "client/ctl/commands.h"
#include "client/ctl/ctl.h"
#include "client/ctl/expectation.h"
#include "client/ctl/lines.h"
#include "client/ctl/progress.h"
#include "client/ctl/record_json.h"

/* Of a document's name in a mismatch, in characters. */
#define SHOWN_MAX 80

/* How far into a file the first metadata is looked for, to learn its layout. */
#define LAYOUT_LINES_MAX 10000

struct replay;

/* One store of the session. */
struct place {
	struct replay *replay;
	struct place *next;
	struct span name;
	bool open;
	bool closed; /* by a line or at the end: its close was answered */
	struct handle handle;
	uint64_t unanswered;
};

struct call {
	struct place *place;
	uint64_t line;
	struct expectation expectation;
	size_t doc_size;
	uint8_t doc[]; /* what stands in the line */
};

struct replay {
	struct ctl *ctl;
	struct lines *lines;
	struct progress progress;
	struct place *places;
	int layout;
	int status; /* of the command; once it is not CTL_OK no further line is taken */
	struct buffer storage;
	struct buffer id;
	struct session_records records;
	struct kyneta_store_error lost; /* of a call that was not heard; code 0: none */
	uint64_t calls, reads, refused, mismatches, max_in_flight;
};

static void fail(struct replay *replay, int status)
{
	if (replay->status == CTL_OK)
		replay->status = status;
}

static void fail_line(struct replay *replay, const char *problem)
{
	char where[40];

	progress_clear(&replay->progress);
	snprintf(where, sizeof(where), "line %llu", (unsigned long long)lines_number(replay->lines));
	fail(replay, ctl_problem(replay->ctl, span_of_string(where), problem));
}

/* ---- verdicts ---- */

static void show_mismatch(struct replay *replay, const struct call *call)
{
	struct output *output = &replay->ctl->output;
	const struct expectation *expectation = &call->expectation;
	struct buffer head = BUFFER_EMPTY;

	progress_clear(&replay->progress);
	if (output->mode == OUTPUT_JSON) {
		output_begin(output, 0);
		output_number(output, "line", call->line);
		output_text(output, "op", span_of_string(session_op_name(expectation->op)));
		if (call->doc_size > 0)
			output_raw_json(output, expectation->op == SESSION_LIST_DOC_IDS ? "prefix" : "docId",
					span_of(call->doc, call->doc_size));
		output_text(output, "expected", buffer_span(&expectation->expected));
		output_text(output, "got", buffer_span(&expectation->got));
		output_end(output);
		return;
	}
	fprintf(output->file, "line %llu: %s ", (unsigned long long)call->line, session_op_name(expectation->op));
	output_visible(&head, span_of(call->doc, call->doc_size), SHOWN_MAX);
	buffer_append(&head, "\n  expected: ", 13);
	output_visible(&head, buffer_span(&expectation->expected), 0);
	buffer_append(&head, "\n  got:      ", 13);
	output_visible(&head, buffer_span(&expectation->got), 0);
	buffer_append_byte(&head, '\n');
	output->failed |= head.failed;
	fwrite(head.data, 1, head.size, output->file);
	buffer_free(&head);
}

static void count(struct replay *replay, const struct call *call, enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_DONE:
		break;
	case VERDICT_AS_READ:
		replay->reads++;
		break;
	case VERDICT_REFUSED:
		replay->refused++;
		break;
	case VERDICT_MISMATCH:
		replay->mismatches++;
		show_mismatch(replay, call);
		if (!replay->ctl->options.keep_going)
			fail(replay, CTL_MISMATCH);
		break;
	}
}

static void call_free(struct call *call)
{
	expectation_free(&call->expectation);
	free(call);
}

/* The call found no daemon, or the handle was given up: that says nothing about what it does. */
static bool was_not_heard(int code)
{
	return code >= KYNETA_STORE_EDEADLINE && code != KYNETA_STORE_ERESTARTED && code != KYNETA_STORE_EMISUSE;
}

static void on_done(void *context, const struct kyneta_store_answer *answer)
{
	struct call *call = context;
	struct replay *replay = call->place->replay;

	loop_progress(&replay->ctl->loop);
	call->place->unanswered--;
	if (answer->error != NULL && was_not_heard(answer->error->code)) {
		replay->lost = *answer->error;
	} else {
		count(replay, call, expectation_judge(&call->expectation, answer));
		/* Not a rule but the machine: nothing that follows would be as recorded. */
		if (answer->error != NULL && answer->error->code >= KYNETA_STORE_EBUSY)
			fail(replay, CTL_MISMATCH);
	}
	call_free(call);
}

static bool on_record(void *context, const struct kyneta_store_record *record)
{
	struct call *call = context;

	loop_progress(&call->place->replay->ctl->loop);
	expectation_record(&call->expectation, record);
	return true;
}

static bool on_id(void *context, const char *id, size_t id_size)
{
	struct call *call = context;

	loop_progress(&call->place->replay->ctl->loop);
	expectation_id(&call->expectation, span_of(id, id_size));
	return true;
}

/* ---- stores ---- */

static struct place *find_place(struct replay *replay, const struct session_call *call)
{
	struct json_value name = call->store;
	struct span text = session_has(name) ? name.text : SPAN_LITERAL("\"main\"");
	struct place *place;

	for (place = replay->places; place != NULL; place = place->next)
		if (span_equal(place->name, text))
			return place;
	place = calloc(1, sizeof(*place) + text.size);
	if (place == NULL)
		return NULL;
	memcpy(place + 1, text.data, text.size);
	place->name = span_of(place + 1, text.size);
	place->replay = replay;
	place->next = replay->places;
	replay->places = place;
	return place;
}

/* The waiting ended without what was waited for. An interruption is told at the end. */
static void give_up(struct place *place, enum loop_result result)
{
	struct replay *replay = place->replay;

	progress_clear(&replay->progress);
	if (result == LOOP_INTERRUPTED)
		fail(replay, 128 + loop_signal());
	else
		fail(replay, ctl_unfinished(replay->ctl, SPAN_NONE, &place->handle, result, KYNETA_STORE_NO_OUTCOME));
}

/* Waits until at most @most calls of @place are unanswered. */
static void wait_for_answers(struct place *place, uint64_t most)
{
	struct replay *replay = place->replay;
	enum loop_result result;

	while (place->unanswered > most && place->handle.state != KYNETA_STORE_CLOSED) {
		result = loop_turn(&replay->ctl->loop, true);
		if (result != LOOP_OK) {
			give_up(place, result);
			return;
		}
	}
	if (place->handle.state == KYNETA_STORE_CLOSED && !place->closed) {
		progress_clear(&replay->progress);
		fail(replay, ctl_closed(replay->ctl, SPAN_NONE, &place->handle));
	}
}

/* The name of a table in an open line, as a C string at the end of @storage; NULL: the default. */
static const char *table_name(struct json_value tables, const char *key, struct buffer *storage)
{
	size_t start = storage->size;
	struct json_value name;

	if (!json_member(tables, key, &name) || name.type != JSON_STRING)
		return NULL;
	json_string_decode(name, storage);
	buffer_append_byte(storage, '\0');
	return storage->failed ? NULL : (const char *)storage->data + start;
}

static void open_place(struct place *place, const struct session_call *call)
{
	struct replay *replay = place->replay;
	struct kyneta_store_options options;
	enum loop_result result;
	int rc;

	ctl_store_options(replay->ctl, &options);
	options.access = ctl_access(replay->ctl);
	options.layout = replay->layout;
	buffer_reset(&replay->storage);
	if (session_has(call->tables) && buffer_reserve(&replay->storage, call->tables.text.size + 3)) {
		bool first = replay->layout == 1;

		options.meta_table = table_name(call->tables, first ? "meta" : "docMeta", &replay->storage);
		options.records_table = table_name(call->tables, "records", &replay->storage);
		options.store_table = first ? NULL : table_name(call->tables, "storeMeta", &replay->storage);
	}
	rc = loop_open(&replay->ctl->loop, &place->handle, &options, &result);
	if (rc != 0) {
		place->handle.error.code = rc;
		fail(replay, ctl_closed(replay->ctl, SPAN_NONE, &place->handle));
		return;
	}
	place->open = true;
	place->closed = false;
	if (result != LOOP_OK)
		give_up(place, result);
	else if (place->handle.state == KYNETA_STORE_CLOSED)
		fail(replay, ctl_closed(replay->ctl, SPAN_NONE, &place->handle));
}

static void on_closed(void *context, const struct kyneta_store_answer *answer)
{
	struct place *place = context;

	loop_progress(&place->replay->ctl->loop);
	place->unanswered--;
	place->closed = answer->error == NULL;
}

/* Everything sent before is carried out and answered; then the handle is gone. */
static void close_place(struct place *place)
{
	if (!place->open)
		return;
	if (place->handle.state != KYNETA_STORE_CLOSED &&
	    kyneta_store_send_close(place->handle.store, on_closed, place) == 0) {
		place->unanswered++;
		wait_for_answers(place, 0);
	}
	loop_close(&place->handle);
	place->open = false;
}

/* ---- calls ---- */

static int send_call(struct replay *replay, const struct session_call *session, struct call *call, const char **reason)
{
	struct kyneta_store_write write = KYNETA_STORE_WRITE_INIT;
	kyneta_store *store = call->place->handle.store;
	struct json_value name = session->op == SESSION_LIST_DOC_IDS ? session->prefix : session->doc;
	struct span id = SPAN_NONE;
	const struct kyneta_store_record *records;
	size_t count;
	const char *text;

	write.durability = replay->ctl->options.durability;
	*reason = NULL;
	buffer_reset(&replay->id);
	if (session_has(name) && record_json_text(name, &replay->id, &id, reason) != 0)
		return -1;
	if ((session->op == SESSION_APPEND || session->op == SESSION_REPLACE) &&
	    session_records_read(&replay->records, session, reason) != 0)
		return -1;
	records = replay->records.records;
	count = replay->records.count;
	text = (const char *)id.data;
	switch (session->op) {
	case SESSION_APPEND:
		return kyneta_store_send_append(store, text, id.size, records, count, &write, on_done, call);
	case SESSION_REPLACE:
		return kyneta_store_send_replace(store, text, id.size, records, count, &write, on_done, call);
	case SESSION_DELETE:
		return kyneta_store_send_delete(store, text, id.size, &write, on_done, call);
	case SESSION_CURRENT_META:
		return kyneta_store_send_current_meta(store, text, id.size, on_done, call);
	case SESSION_LOAD_ALL:
		return kyneta_store_send_load_all(store, text, id.size, on_record, on_done, call, NULL);
	case SESSION_LIST_DOC_IDS:
		return kyneta_store_send_list_doc_ids(store, text, id.size, on_id, on_done, call, NULL);
	case SESSION_OPEN:
	case SESSION_CLOSE:
		break;
	}
	return KYNETA_STORE_EMISUSE;
}

static struct call *call_new(struct place *place, const struct session_call *session)
{
	struct json_value name = session->op == SESSION_LIST_DOC_IDS ? session->prefix : session->doc;
	struct call *call = malloc(sizeof(*call) + name.text.size);

	if (call == NULL)
		return NULL;
	if (expectation_init(&call->expectation, session) != 0) {
		free(call);
		return NULL;
	}
	call->place = place;
	call->line = lines_number(place->replay->lines);
	call->doc_size = name.text.size;
	if (name.text.size > 0)
		memcpy(call->doc, name.text.data, name.text.size);
	return call;
}

static void make_call(struct place *place, const struct session_call *session)
{
	struct replay *replay = place->replay;
	struct call *call = call_new(place, session);
	const char *reason = NULL;
	int rc;

	if (call == NULL) {
		fail_line(replay, "no memory");
		return;
	}
	while ((rc = send_call(replay, session, call, &reason)) == KYNETA_STORE_EFULL && place->unanswered > 0 &&
	       replay->status == CTL_OK)
		wait_for_answers(place, place->unanswered - 1);
	if (rc != 0) {
		if (reason == NULL)
			reason = kyneta_store_error_name(rc);
		count(replay, call, expectation_refused(&call->expectation, reason));
		call_free(call);
		return;
	}
	if (place->unanswered > replay->max_in_flight)
		replay->max_in_flight = place->unanswered;
	place->unanswered++;
	kyneta_store_push(place->handle.store);
}

static void do_line(struct replay *replay, struct span line)
{
	bool in_flight = replay->ctl->options.in_flight;
	struct session_call call;
	struct place *place;
	const char *reason;

	if (session_read(line, &call, &reason) != 0) {
		fail_line(replay, reason);
		return;
	}
	place = find_place(replay, &call);
	if (place == NULL) {
		fail_line(replay, "no memory");
		return;
	}
	replay->calls++;
	if (call.op == SESSION_OPEN && place->open)
		fail_line(replay, "this store is open already");
	else if (call.op == SESSION_OPEN || (!place->open && call.op != SESSION_CLOSE))
		open_place(place, &call);
	if (call.op == SESSION_OPEN || !place->open || replay->status != CTL_OK)
		return;
	wait_for_answers(place, in_flight ? call.inflight : 0);
	if (replay->status != CTL_OK)
		return;
	if (call.op == SESSION_CLOSE) {
		close_place(place);
		return;
	}
	make_call(place, &call);
	if (!in_flight)
		wait_for_answers(place, 0);
}

/* ---- the whole ---- */

/* The layout of the session, by its first metadata; 0 if it cannot be known. */
static int find_layout(const char *path)
{
	struct lines *lines;
	const char *reason;
	struct span line;
	int layout = 0;

	if (strcmp(path, "-") == 0 || lines_open(&lines, path, &reason) != 0)
		return 0;
	while (layout == 0 && lines_number(lines) < LAYOUT_LINES_MAX && lines_next(lines, &line, &reason) == LINES_ONE)
		layout = session_layout(line);
	lines_close(lines);
	return layout;
}

static void do_lines(struct replay *replay)
{
	enum lines_result result = LINES_ONE;
	const char *reason;
	struct span line;

	while (replay->status == CTL_OK && loop_signal() == 0) {
		result = lines_next(replay->lines, &line, &reason);
		if (result != LINES_ONE)
			break;
		do_line(replay, line);
		progress_show(&replay->progress, replay->calls, lines_percent(replay->lines));
	}
	if (result == LINES_FAILED && loop_signal() == 0)
		fail_line(replay, reason);
}

static void close_all(struct replay *replay)
{
	struct place *place;

	/* What was sent is still answered, whatever ended the replay; but not waited for where nobody answers. */
	replay->ctl->loop.finishing = true;
	for (place = replay->places; place != NULL; place = place->next) {
		if (replay->status != CTL_UNREACHABLE)
			close_place(place);
		loop_close(&place->handle);
	}
	progress_clear(&replay->progress);
	if (replay->status == CTL_OK && replay->lost.code != 0)
		replay->status = ctl_error(replay->ctl, SPAN_NONE, &replay->lost);
	if (loop_signal() != 0) {
		fprintf(stderr, "kyneta-storectl: replay: interrupted after line %llu\n",
			(unsigned long long)lines_number(replay->lines));
		replay->status = 128 + loop_signal();
	}
}

static void show_summary(struct replay *replay)
{
	struct output *output = &replay->ctl->output;

	output_begin(output, 16);
	output_number(output, "calls", replay->calls);
	output_number(output, "readsChecked", replay->reads);
	output_number(output, "refused", replay->refused);
	output_number(output, "mismatches", replay->mismatches);
	output_number(output, "maxInFlight", replay->max_in_flight);
	output_decimal(output, "seconds", progress_seconds(&replay->progress), "s");
	output_end(output);
}

static void free_all(struct replay *replay)
{
	while (replay->places != NULL) {
		struct place *place = replay->places;

		replay->places = place->next;
		free(place);
	}
	buffer_free(&replay->storage);
	buffer_free(&replay->id);
	session_records_free(&replay->records);
	lines_close(replay->lines);
}

int command_replay(struct ctl *ctl)
{
	const char *path = ctl->options.arguments[0], *reason;
	struct replay replay = {.ctl = ctl, .status = CTL_OK, .layout = ctl->options.layout};

	if (lines_open(&replay.lines, path, &reason) != 0)
		return ctl_problem(ctl, span_of_string(path), reason);
	if (replay.layout == 0)
		replay.layout = find_layout(path);
	progress_start(&replay.progress, "replaying", "calls");
	do_lines(&replay);
	close_all(&replay);
	show_summary(&replay);
	free_all(&replay);
	if (replay.status == CTL_OK && replay.mismatches > 0)
		return CTL_MISMATCH;
	return replay.status;
}
