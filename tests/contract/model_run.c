#include "tests/contract/model_run.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>

#include "tests/contract/calls.h"
#include "tests/contract/model_text.h"

/* So many runs share a database: each adds its tables. */
#define RUNS_PER_DATABASE 64

/* A bound, not an expectation. Shorter than others: a broken daemon makes many runs reach it. */
#define ANSWER_MS 20000

#define UNTOUCHED UINT64_C(0x5a5a5a5a5a5a5a5a)

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
	bool has_expect;
	struct kyneta_store_position expect; /* of the current step */
	struct kyneta_store_error error;
	char found[MODEL_TEXT_MAX];
};

static unsigned runs; /* in this database */
static bool default_tables_are_used;

/* ---- the daemon ---- */

static void start(void)
{
	stored_start(&stored, "--reserve-bytes=0", "--max-stores=4096", "--log-level=warning", NULL);
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

	if (stored.pid == 0 || runs >= RUNS_PER_DATABASE || (uses_default && default_tables_are_used))
		model_renew();
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

/* ---- what came of it ---- */

static void put_failure(struct run *run, bool is_write)
{
	struct text message = TEXT_EMPTY;
	const struct kyneta_store_error *error = &run->error;
	bool is_fixed = error->code >= 200 && error->code <= 203;

	text_add_bytes(&message, span_of(error->message, error->message_size < sizeof(error->message)
							     ? error->message_size
							     : sizeof(error->message) - 1));
	text_failure(run->found, MODEL_TEXT_MAX, error->code, is_write ? error->outcome : KYNETA_STORE_NO_OUTCOME,
		     is_fixed ? &message : NULL);
}

static void put_position(struct run *run, const struct step *step, struct kyneta_store_position position)
{
	char text[64];

	model_show_position(model_document_of(&run->model, step), position, text, sizeof(text));
	text_append(run->found, MODEL_TEXT_MAX, text);
}

static void put_code(struct run *run, unsigned code)
{
	text_append_number(run->found, MODEL_TEXT_MAX, code);
}

/* ---- steps ---- */

static void do_write(struct run *run, const struct step *step)
{
	kyneta_store *store = handle_of(run, step);
	const struct span id = model_documents[step->document];
	struct kyneta_store_record records[MODEL_RECORDS_MAX];
	struct kyneta_store_write write = KYNETA_STORE_WRITE_INIT;
	struct kyneta_store_position position = {UNTOUCHED, UNTOUCHED};
	int code;

	for (unsigned i = 0; i < step->count; i++)
		records[i] = model_record(step->records[i], key_of(run, step->handle));
	write.has_expect = run->has_expect;
	write.expect = run->expect;
	if (step->durability != 0)
		write.durability = model_has_small_pages(step->handle) ? KYNETA_STORE_SYNCED : KYNETA_STORE_COMMITTED;
	if (step->kind == STEP_APPEND)
		code = kyneta_store_append(store, (const char *)id.data, id.size, records, step->count, &write,
					   &position, &run->error);
	else if (step->kind == STEP_REPLACE)
		code = kyneta_store_replace(store, (const char *)id.data, id.size, records, step->count, &write,
					    &position, &run->error);
	else
		code = kyneta_store_delete(store, (const char *)id.data, id.size, &write, &position, &run->error);
	if (code == 0) {
		text_append(run->found, MODEL_TEXT_MAX, "done ");
		put_position(run, step, position);
		return;
	}
	put_failure(run, true);
	if (code == KYNETA_STORE_ECONFLICT)
		put_position(run, step, run->error.position);
	if (position.generation != UNTOUCHED || position.next != UNTOUCHED)
		text_append(run->found, MODEL_TEXT_MAX, "and a position");
}

static void do_meta(struct run *run, const struct step *step)
{
	const struct span id = model_documents[step->document];
	struct kyneta_store_position position;
	struct kyneta_store_record record;
	size_t size = 0;
	char *text;

	if (kyneta_store_current_meta(handle_of(run, step), (const char *)id.data, id.size, &text, &size, &position,
				      &run->error) != 0) {
		put_failure(run, false);
		return;
	}
	record = meta_of(span_of(text, size));
	if (text == NULL)
		text_append(run->found, MODEL_TEXT_MAX, "none ");
	else
		put_code(run, model_code_of(&record, key_of(run, step->handle)));
	kyneta_store_release(text);
	put_position(run, step, position);
}

static bool take_id(void *context, const char *id, size_t id_size)
{
	struct run *run = context;
	unsigned number = 0;

	while (number < MODEL_DOCUMENTS && !span_equal(model_documents[number], span_of(id, id_size)))
		number++;
	put_code(run, number);
	return true;
}

static void do_list(struct run *run, const struct step *step)
{
	const struct span prefix = model_prefixes[step->document];

	if (kyneta_store_list_doc_ids(handle_of(run, step), (const char *)prefix.data, prefix.size, take_id, run,
				      &run->error) != 0)
		put_failure(run, false);
}

static void do_sync(struct run *run, const struct step *step)
{
	if (kyneta_store_sync(handle_of(run, step), &run->error) != 0)
		put_failure(run, false);
}

static void do_reopen(struct run *run, const struct step *step)
{
	if (run->streams[step->handle].is_open)
		return;
	if (run->handles[step->handle] != NULL) {
		if (kyneta_store_close(run->handles[step->handle], &run->error) != 0)
			put_failure(run, false);
		kyneta_store_free(run->handles[step->handle]);
		run->handles[step->handle] = NULL;
	}
	if (open_handle(run, step->handle, step->expect != 0) != 0)
		put_failure(run, false);
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
		put_code(run, stream->codes[i]);
}

static void do_load(struct run *run, const struct step *step)
{
	struct stream load = {.key = key_of(run, step->handle)};
	const struct span id = model_documents[step->document];

	if (kyneta_store_load_all(handle_of(run, step), (const char *)id.data, id.size, take_record, &load, &load.at,
				  &run->error) != 0) {
		put_failure(run, false);
		return;
	}
	put_codes(run, &load);
	put_position(run, step, load.at);
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
	put_failure(run, false);
	/* What was handed out before is of the document that was. */
	if (stream->count > snapshot->length || memcmp(stream->codes, snapshot->records, stream->count) != 0)
		put_codes(run, stream);
}

/* ---- a sequence ---- */

static void do_step(struct run *run, const struct step *step)
{
	run->found[0] = '\0';
	switch ((enum step_kind)step->kind) {
	case STEP_APPEND:
	case STEP_REPLACE:
	case STEP_DELETE:
		do_write(run, step);
		break;
	case STEP_META:
		do_meta(run, step);
		break;
	case STEP_LOAD:
		do_load(run, step);
		break;
	case STEP_LIST:
		do_list(run, step);
		break;
	case STEP_SYNC:
		do_sync(run, step);
		break;
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
	}
}

/* What the step expects needs a generation: asked for if nothing has told it yet. */
static void set_expect(struct run *run, const struct step *step)
{
	bool is_write = step->kind == STEP_APPEND || step->kind == STEP_REPLACE || step->kind == STEP_DELETE;

	run->has_expect = is_write && step->expect != EXPECT_NOTHING;
	if (!run->has_expect)
		return;
	if (!model_document_of(&run->model, step)->knows_generation)
		do_meta(run, step);
	model_expect(&run->model, step, &run->expect);
}

static bool run_step(struct run *run, const struct step *step, size_t number, struct model_difference *difference)
{
	struct model_outcome expected;

	set_expect(run, step);
	model_apply(&run->model, step, &expected);
	do_step(run, step);
	if (strcmp(run->found, expected.text) == 0 ||
	    (expected.other[0] != '\0' && strcmp(run->found, expected.other) == 0))
		return true;
	difference->step = number;
	difference->what = *step;
	strcpy(difference->expected, expected.text);
	strcpy(difference->found, run->found);
	return false;
}

/* What is there when all steps are done. */
static bool run_end(struct run *run, struct model_difference *difference)
{
	const struct sequence *sequence = run->sequence;
	bool agree = true;

	for (unsigned char i = 0; agree && i < MODEL_HANDLES; i++)
		agree = run_step(run, &(struct step){.kind = STEP_END, .handle = i}, sequence->count, difference);
	for (size_t i = 0; agree && i < sequence->count; i++) {
		const struct step *step = &sequence->steps[i];

		if (step->kind == STEP_APPEND || step->kind == STEP_REPLACE || step->kind == STEP_DELETE)
			agree = run_step(
			    run, &(struct step){.kind = STEP_LOAD, .handle = step->handle, .document = step->document},
			    sequence->count, difference);
	}
	return agree;
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
