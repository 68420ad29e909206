#include "tests/contract/model_run.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>

#include "tests/contract/calls.h"
#include "tests/contract/model_call.h"
#include "tests/contract/model_text.h"

/* So many runs share a database: each adds its tables. */
#define RUNS_PER_DATABASE 64

/* A bound, not an expectation. Shorter than others: a broken daemon makes many runs reach it. */
#define ANSWER_MS 20000

struct stream {
	kyneta_store_stream *stream;
	bool is_open, is_done;
	unsigned key;
	unsigned char codes[MODEL_LENGTH_MAX + 1];
	size_t count;
	int code;
	struct kyneta_store_position at;
};

struct run {
	struct model model;
	unsigned number; /* in this database */
	const struct sequence *sequence;
	kyneta_store *handles[MODEL_HANDLES];
	struct stream streams[MODEL_HANDLES];
	struct model_call queue[MODEL_STEPS_MAX]; /* not answered yet; the first: what is called now */
	size_t queued_as[MODEL_STEPS_MAX];	  /* their places in the sequence */
	size_t queued;
	struct kyneta_store_error error;
	char found[MODEL_TEXT_MAX];
};

static unsigned runs; /* in this database */
static bool default_tables_are_used;
static unsigned way; /* in which the daemon runs */

/* ---- the daemon ---- */

/*
 * The ways that a request can go: a lone small append is carried out by the loop itself, unless the disk is slow or its
 * speed not known, by the writer otherwise; the writer looks into what it remembers, or into the database.
 */
static const struct {
	bool slow_disk;
	const char *options[6];
} ways[MODEL_WAYS] = {
    {false, {NULL}},
    {true, {NULL}},
    {false, {"--durability=committed", "--wal-bytes=64K", NULL}},
    {false,
     {"--batch-requests=1", "--document-cache-bytes=64K", "--cache-bytes=64K", "--reader-cache-bytes=64K",
      "--readers=1", NULL}},
};

static void start(void)
{
	const char *const *more = ways[way].options;

	if (ways[way].slow_disk)
		stored_use_faults(&stored);
	stored_start(&stored, "--reserve-bytes=0", "--max-stores=4096", "--log-level=warning", more[0], more[1],
		     more[2], more[3], more[4], NULL);
	runs = 0;
	default_tables_are_used = false;
}

void model_renew(void)
{
	if (stored.pid != 0) {
		stored_signal(&stored, SIGKILL);
		stored_wait(&stored);
		stored_end(&stored);
		stored_prepare(&stored);
	}
	start();
}

static void be_ready(const struct sequence *sequence)
{
	bool uses_default = model_store_kinds[sequence->kind].default_tables;

	if (stored.pid == 0 || runs >= RUNS_PER_DATABASE || (uses_default && default_tables_are_used) ||
	    sequence->way != way) {
		way = sequence->way;
		model_renew();
	}
	runs++;
	default_tables_are_used |= uses_default;
}

/* ---- handles ---- */

static unsigned key_of(const struct run *run, unsigned handle)
{
	return run->model.kind->key[model_store_of(handle)];
}

static int open_handle(struct run *run, unsigned handle, bool read_only)
{
	struct kyneta_store_options options = options_for(&stored);
	const struct model_store_kind *kind = run->model.kind;
	unsigned store = model_store_of(handle), forced = kind->forced[store];
	char names[3][32];

	if (!kind->default_tables || store != 0) {
		for (unsigned i = 0; i < 3; i++)
			snprintf(names[i], sizeof(names[i]), "%c%u%c", "mrs"[i], run -> number, "ab"[store]);
		options.meta_table = names[0];
		options.records_table = names[1];
		options.store_table = forced == 2 ? names[2] : NULL;
	}
	options.layout = (int)forced;
	options.deadline_ms = ANSWER_MS;
	options.access = read_only ? KYNETA_STORE_READ_ONLY : KYNETA_STORE_READ_WRITE;
	if (model_has_small_pages(handle)) {
		options.page_bytes = 1;
		options.load_hold_bytes = 0;
		options.durability = KYNETA_STORE_COMMITTED;
	}
	return kyneta_store_open(&options, &run->handles[handle], &run->error);
}

static kyneta_store *handle_of(struct run *run, const struct step *step)
{
	if (run->handles[step->handle] == NULL)
		cr_assert_eq(open_handle(run, step->handle, false), 0, "%s", run->error.message);
	return run->handles[step->handle];
}

static void close_handles(struct run *run)
{
	for (unsigned i = 0; i < MODEL_HANDLES; i++)
		kyneta_store_free(run->handles[i]);
}

/* ---- steps that are more than a call ---- */

static void do_reopen(struct run *run, const struct step *step)
{
	if (run->streams[step->handle].is_open)
		return;
	if (run->handles[step->handle] != NULL) {
		if (kyneta_store_close(run->handles[step->handle], &run->error) != 0)
			model_call_show_failure(&run->error, false, run->found);
		kyneta_store_free(run->handles[step->handle]);
		run->handles[step->handle] = NULL;
	}
	if (open_handle(run, step->handle, step->expect != 0) != 0)
		model_call_show_failure(&run->error, false, run->found);
	else
		snprintf(run->found, MODEL_TEXT_MAX, "layout %d", store_layout(run->handles[step->handle]));
}

static void do_restart(const struct step *step)
{
	if (step->kind == STEP_CRASH)
		stored_kill(&stored);
	else
		stored_stop(&stored);
	stored_restart(&stored);
}

/* ---- loads ---- */

static bool take_record(void *context, const struct kyneta_store_record *record)
{
	struct stream *stream = context;

	if (stream->count <= MODEL_LENGTH_MAX)
		stream->codes[stream->count] = (unsigned char)model_code_of(record, stream->key);
	stream->count++;
	if (stream->stream != NULL && stream->count == 1)
		kyneta_store_stream_pause(stream->stream);
	return stream->count <= MODEL_LENGTH_MAX;
}

static void take_end(void *context, const struct kyneta_store_answer *answer)
{
	struct stream *stream = context;

	stream->is_done = true;
	stream->code = answer->error == NULL ? 0 : answer->error->code;
	stream->at = answer->at;
}

static void put_codes(struct run *run, const struct stream *stream)
{
	for (size_t i = 0; i < stream->count && i <= MODEL_LENGTH_MAX; i++)
		text_append_number(run->found, MODEL_TEXT_MAX, stream->codes[i]);
}

static void process_until(kyneta_store *store, const struct stream *stream, size_t count)
{
	while (!stream->is_done && stream->count < count) {
		struct pollfd wait = {kyneta_store_fd(store), POLLIN, 0};

		kyneta_store_process(store);
		if (!stream->is_done && stream->count < count)
			poll(&wait, 1, kyneta_store_timeout(store));
	}
}

static void do_begin(struct run *run, const struct step *step)
{
	const struct span id = model_documents[step->document];
	struct stream *stream = &run->streams[step->handle];
	kyneta_store *store = handle_of(run, step);

	if (stream->is_open)
		return;
	*stream = (struct stream){.is_open = true, .key = key_of(run, step->handle)};
	cr_assert_eq(kyneta_store_send_load_all(store, (const char *)id.data, id.size, take_record, take_end, stream,
						&stream->stream),
		     0);
	process_until(store, stream, 1);
}

static void do_end(struct run *run, const struct step *step)
{
	const struct model_document *snapshot = &run->model.streams[step->handle].snapshot;
	struct stream *stream = &run->streams[step->handle];

	if (!stream->is_open)
		return;
	if (!stream->is_done)
		kyneta_store_stream_continue(stream->stream);
	process_until(run->handles[step->handle], stream, SIZE_MAX);
	stream->is_open = false;
	if (stream->code == 0) {
		put_codes(run, stream);
		snprintf(run->found + strlen(run->found), MODEL_TEXT_MAX - strlen(run->found), "at %" PRIu64,
			 stream->at.next);
		return;
	}
	run->error = (struct kyneta_store_error){.code = stream->code};
	model_call_show_failure(&run->error, false, run->found);
	/* What was handed out before is of the document that was. */
	if (stream->count > snapshot->length || memcmp(stream->codes, snapshot->records, stream->count) != 0)
		put_codes(run, stream);
}

/* ---- a sequence ---- */

static bool compare(struct run *run, const struct step *step, size_t number, const struct model_outcome *expected,
		    struct model_difference *difference)
{
	if (strcmp(run->found, expected->text) == 0 ||
	    (expected->other[0] != '\0' && strcmp(run->found, expected->other) == 0))
		return true;
	difference->step = number;
	difference->what = *step;
	strcpy(difference->expected, expected->text);
	strcpy(difference->found, run->found);
	return false;
}

/* Everything queued is answered, and judged in the order of the calls. */
static bool settle(struct run *run, struct model_difference *difference)
{
	size_t count = run->queued;
	bool agree = true;

	run->queued = 0;
	if (count == 0)
		return true;
	cr_assert_eq(kyneta_store_flush(run->handles[run->queue[0].step.handle], &run->error), 0, "%s",
		     run->error.message);
	for (size_t i = 0; agree && i < count; i++) {
		const struct model_call *call = &run->queue[i];
		struct model_outcome expected;

		model_apply(&run->model, &call->step, &expected);
		model_call_show(call, &run->model, run->found);
		agree = compare(run, &call->step, run->queued_as[i], &expected, difference);
	}
	return agree;
}

/* What the call expects needs a generation: asked for if nothing has told it yet. All before it is settled. */
static void set_expect(struct run *run, struct model_call *call)
{
	struct model_call ask;

	call->has_expect = model_call_is_write(&call->step) && call->step.expect != EXPECT_NOTHING;
	if (!call->has_expect)
		return;
	if (!model_document_of(&run->model, &call->step)->knows_generation) {
		model_call_init(
		    &ask,
		    &(struct step){.kind = STEP_META, .handle = call->step.handle, .document = call->step.document},
		    call->key);
		model_call_now(&ask, handle_of(run, &call->step));
		model_call_show(&ask, &run->model, run->found);
	}
	model_expect(&run->model, &call->step, &call->expect);
}

/*
 * Several calls are on their way at once: of one handle, since two have no order; and nothing comes behind a read in
 * many pages, which may see it or not.
 */
static bool queue_step(struct run *run, const struct step *step, size_t number, struct model_difference *difference)
{
	bool has_expect = model_call_is_write(step) && step->expect != EXPECT_NOTHING;
	bool is_paged = model_has_small_pages(step->handle) && (step->kind == STEP_LOAD || step->kind == STEP_LIST);
	struct model_call *call;

	if ((run->queued > 0 && run->queue[0].step.handle != step->handle) || has_expect ||
	    run->queued == MODEL_STEPS_MAX)
		if (!settle(run, difference))
			return false;
	call = &run->queue[run->queued];
	model_call_init(call, step, key_of(run, step->handle));
	set_expect(run, call);
	run->queued_as[run->queued++] = number;
	model_call_queue(call, handle_of(run, step));
	return !is_paged || settle(run, difference);
}

static void do_step(struct run *run, const struct step *step)
{
	struct model_call *call = &run->queue[0];

	run->found[0] = '\0';
	switch ((enum step_kind)step->kind) {
	case STEP_BEGIN:
		do_begin(run, step);
		break;
	case STEP_END:
		do_end(run, step);
		break;
	case STEP_REOPEN:
		do_reopen(run, step);
		break;
	case STEP_RESTART:
	case STEP_CRASH:
		do_restart(step);
		break;
	case STEP_APPEND:
	case STEP_REPLACE:
	case STEP_DELETE:
	case STEP_META:
	case STEP_LOAD:
	case STEP_LIST:
	case STEP_SYNC:
		model_call_now(call, handle_of(run, step));
		model_call_show(call, &run->model, run->found);
		break;
	}
}

static bool run_step(struct run *run, const struct step *step, size_t number, struct model_difference *difference)
{
	struct model_outcome expected;

	if (run->sequence->piped && model_call_is_one(step))
		return queue_step(run, step, number, difference);
	if (!settle(run, difference))
		return false;
	model_call_init(&run->queue[0], step, key_of(run, step->handle));
	set_expect(run, &run->queue[0]);
	model_apply(&run->model, step, &expected);
	do_step(run, step);
	return compare(run, step, number, &expected, difference);
}

/* What is there when all steps are done. */
static bool run_end(struct run *run, struct model_difference *difference)
{
	const struct sequence *sequence = run->sequence;
	bool agree = settle(run, difference);

	for (unsigned char i = 0; agree && i < MODEL_HANDLES; i++)
		agree = run_step(run, &(struct step){.kind = STEP_END, .handle = i}, sequence->count, difference);
	for (size_t i = 0; agree && i < sequence->count; i++) {
		const struct step *step = &sequence->steps[i];

		if (model_call_is_write(step))
			agree = run_step(
			    run, &(struct step){.kind = STEP_LOAD, .handle = step->handle, .document = step->document},
			    sequence->count, difference);
	}
	return agree && settle(run, difference);
}

bool model_run(const struct sequence *sequence, enum model_mistake mistake, struct model_difference *difference)
{
	static struct run run; /* large */
	bool agree = true;

	be_ready(sequence);
	run = (struct run){.number = runs, .sequence = sequence};
	model_init(&run.model, sequence, mistake);
	for (size_t i = 0; agree && i < sequence->count; i++)
		agree = run_step(&run, &sequence->steps[i], i, difference);
	agree = agree && run_end(&run, difference);
	close_handles(&run);
	return agree;
}
