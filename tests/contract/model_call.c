#include "tests/contract/model_call.h"

#include "tests/contract/calls.h"
#include "tests/contract/model_text.h"

#define UNTOUCHED UINT64_C(0x5a5a5a5a5a5a5a5a)

bool model_call_is_write(const struct step *step)
{
	return step->kind == STEP_APPEND || step->kind == STEP_REPLACE || step->kind == STEP_DELETE;
}

bool model_call_is_one(const struct step *step)
{
	return model_call_is_write(step) || step->kind == STEP_META || step->kind == STEP_LOAD ||
	       step->kind == STEP_LIST || step->kind == STEP_SYNC;
}

void model_call_init(struct model_call *call, const struct step *step, unsigned key)
{
	*call = (struct model_call){.step = *step, .key = key, .at = {UNTOUCHED, UNTOUCHED}};
}

static struct span id_of(const struct step *step)
{
	return step->kind == STEP_LIST ? model_prefixes[step->document] : model_documents[step->document];
}

static struct kyneta_store_write write_of(const struct model_call *call,
					  struct kyneta_store_record records[MODEL_RECORDS_MAX])
{
	struct kyneta_store_write write = KYNETA_STORE_WRITE_INIT;
	const struct step *step = &call->step;

	for (unsigned i = 0; i < step->count; i++)
		records[i] = model_record(step->records[i], call->key);
	write.has_expect = call->has_expect;
	write.expect = call->expect;
	if (step->durability != 0)
		write.durability = model_has_small_pages(step->handle) ? KYNETA_STORE_SYNCED : KYNETA_STORE_COMMITTED;
	return write;
}

/* ---- what comes ---- */

static void take_code(struct model_call *call, unsigned code)
{
	if (call->count <= MODEL_LENGTH_MAX)
		call->codes[call->count] = (unsigned char)code;
	call->count++;
}

static bool take_record(void *context, const struct kyneta_store_record *record)
{
	struct model_call *call = context;

	take_code(call, model_code_of(record, call->key));
	return call->count <= MODEL_LENGTH_MAX;
}

static bool take_id(void *context, const char *id, size_t id_size)
{
	unsigned number = 0;

	while (number < MODEL_DOCUMENTS && !span_equal(model_documents[number], span_of(id, id_size)))
		number++;
	take_code(context, number);
	return true;
}

static void take_meta(struct model_call *call, const char *text, size_t size)
{
	struct kyneta_store_record record = meta_of(span_of(text, size));

	if (text != NULL)
		take_code(call, model_code_of(&record, call->key));
}

/* ---- now ---- */

static int write_now(struct model_call *call, kyneta_store *store)
{
	struct kyneta_store_record records[MODEL_RECORDS_MAX];
	const struct kyneta_store_write write = write_of(call, records);
	const struct span id = id_of(&call->step);

	if (call->step.kind == STEP_APPEND)
		return kyneta_store_append(store, (const char *)id.data, id.size, records, call->step.count, &write,
					   &call->at, &call->error);
	if (call->step.kind == STEP_REPLACE)
		return kyneta_store_replace(store, (const char *)id.data, id.size, records, call->step.count, &write,
					    &call->at, &call->error);
	return kyneta_store_delete(store, (const char *)id.data, id.size, &write, &call->at, &call->error);
}

static int meta_now(struct model_call *call, kyneta_store *store)
{
	const struct span id = id_of(&call->step);
	size_t size = 0;
	char *text;
	int code =
	    kyneta_store_current_meta(store, (const char *)id.data, id.size, &text, &size, &call->at, &call->error);

	if (code != 0)
		return code;
	take_meta(call, text, size);
	kyneta_store_release(text);
	return 0;
}

void model_call_now(struct model_call *call, kyneta_store *store)
{
	const struct span id = id_of(&call->step);
	int code;

	if (model_call_is_write(&call->step))
		code = write_now(call, store);
	else if (call->step.kind == STEP_META)
		code = meta_now(call, store);
	else if (call->step.kind == STEP_LOAD)
		code = kyneta_store_load_all(store, (const char *)id.data, id.size, take_record, call, &call->at,
					     &call->error);
	else if (call->step.kind == STEP_LIST)
		code = kyneta_store_list_doc_ids(store, (const char *)id.data, id.size, take_id, call, &call->error);
	else
		code = kyneta_store_sync(store, &call->error);
	call->answers = code == call->error.code;
}

/* ---- queued ---- */

static void take_answer(void *context, const struct kyneta_store_answer *answer)
{
	struct model_call *call = context;

	call->answers++;
	if (answer->error != NULL) {
		call->error = *answer->error;
		return;
	}
	call->at = answer->at;
	if (call->step.kind == STEP_META)
		take_meta(call, answer->meta, answer->meta_size);
}

static int queue_write(struct model_call *call, kyneta_store *store)
{
	struct kyneta_store_record records[MODEL_RECORDS_MAX];
	const struct kyneta_store_write write = write_of(call, records);
	const struct span id = id_of(&call->step);

	if (call->step.kind == STEP_APPEND)
		return kyneta_store_send_append(store, (const char *)id.data, id.size, records, call->step.count,
						&write, take_answer, call);
	if (call->step.kind == STEP_REPLACE)
		return kyneta_store_send_replace(store, (const char *)id.data, id.size, records, call->step.count,
						 &write, take_answer, call);
	return kyneta_store_send_delete(store, (const char *)id.data, id.size, &write, take_answer, call);
}

void model_call_queue(struct model_call *call, kyneta_store *store)
{
	const struct span id = id_of(&call->step);
	int code;

	if (model_call_is_write(&call->step))
		code = queue_write(call, store);
	else if (call->step.kind == STEP_META)
		code = kyneta_store_send_current_meta(store, (const char *)id.data, id.size, take_answer, call);
	else if (call->step.kind == STEP_LOAD)
		code = kyneta_store_send_load_all(store, (const char *)id.data, id.size, take_record, take_answer, call,
						  NULL);
	else if (call->step.kind == STEP_LIST)
		code = kyneta_store_send_list_doc_ids(store, (const char *)id.data, id.size, take_id, take_answer, call,
						      NULL);
	else
		code = kyneta_store_send_sync(store, take_answer, call);
	if (code == 0)
		return;
	call->answers++;
	call->error.code = code;
	call->error.outcome = KYNETA_STORE_NOT_APPLIED;
}

/* ---- shown ---- */

void model_call_show_failure(const struct kyneta_store_error *error, bool is_write, char text[MODEL_TEXT_MAX])
{
	struct text message = TEXT_EMPTY;
	bool is_fixed = error->code >= 200 && error->code <= 203;

	text_add_bytes(&message, span_of(error->message, error->message_size < sizeof(error->message)
							     ? error->message_size
							     : sizeof(error->message) - 1));
	text_failure(text, MODEL_TEXT_MAX, error->code, is_write ? error->outcome : KYNETA_STORE_NO_OUTCOME,
		     is_fixed ? &message : NULL);
}

static void show_position(const struct model_call *call, struct kyneta_store_position position, struct model *model,
			  char text[MODEL_TEXT_MAX])
{
	char shown[64];

	model_show_position(model_document_of(model, &call->step), position, shown, sizeof(shown));
	text_append(text, MODEL_TEXT_MAX, shown);
}

static void show_error(const struct model_call *call, struct model *model, char text[MODEL_TEXT_MAX])
{
	bool is_write = model_call_is_write(&call->step);

	model_call_show_failure(&call->error, is_write, text);
	if (is_write && call->error.code == KYNETA_STORE_ECONFLICT)
		show_position(call, call->error.position, model, text);
	if (call->at.generation != UNTOUCHED || call->at.next != UNTOUCHED)
		text_append(text, MODEL_TEXT_MAX, "and a position");
}

void model_call_show(const struct model_call *call, struct model *model, char text[MODEL_TEXT_MAX])
{
	text[0] = '\0';
	if (call->answers != 1)
		text_append(text, MODEL_TEXT_MAX, call->answers == 0 ? "no answer " : "several answers ");
	for (size_t i = 0; i < call->count && i <= MODEL_LENGTH_MAX; i++)
		text_append_number(text, MODEL_TEXT_MAX, call->codes[i]);
	if (call->error.code != 0) {
		show_error(call, model, text);
		return;
	}
	if (model_call_is_write(&call->step))
		text_append(text, MODEL_TEXT_MAX, "done ");
	else if (call->step.kind == STEP_META && call->count == 0)
		text_append(text, MODEL_TEXT_MAX, "none ");
	if (call->step.kind != STEP_LIST && call->step.kind != STEP_SYNC)
		show_position(call, call->at, model, text);
}
