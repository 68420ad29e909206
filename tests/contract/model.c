#include "tests/contract/model.h"

#include <inttypes.h>
#include <strings.h>

#include "tests/contract/model_text.h"

void model_init(struct model *model, const struct sequence *sequence, enum model_mistake mistake)
{
	*model = (struct model){.mistake = mistake, .kind = &model_store_kinds[sequence->kind]};
	for (unsigned i = 0; i < MODEL_STORES; i++)
		for (unsigned j = 0; j < MODEL_DOCUMENTS; j++)
			model->stores[i].documents[j].meta = MODEL_RECORD_NONE;
	memcpy(model->synced, model->stores, sizeof(model->synced));
}

static unsigned store_index(const struct model *model, const struct step *step)
{
	return model->mistake == MISTAKE_ONE_STORE ? 0 : model_store_of(step->handle);
}

static struct model_store *store_of(struct model *model, const struct step *step)
{
	return &model->stores[store_index(model, step)];
}

struct model_document *model_document_of(struct model *model, const struct step *step)
{
	return &store_of(model, step)->documents[step->document];
}

static bool exists(const struct model_document *document)
{
	return document->meta != MODEL_RECORD_NONE;
}

/* ---- positions ---- */

static void put_position(char *text, size_t size, const char *generation, uint64_t next)
{
	snprintf(text, size, "at [%s, %" PRIu64 "]", generation, next);
}

void model_show_position(struct model_document *document, struct kyneta_store_position at, char *text, size_t size)
{
	const char *generation = "some";

	if (document->knows_generation)
		generation = at.generation == document->generation  ? "same"
			     : at.generation > document->generation ? "new"
								    : "older";
	put_position(text, size, generation, at.next);
	document->knows_generation = true;
	document->generation = at.generation;
}

/* The same, as it must be. */
static const char *expected_position(const struct model_document *document, bool is_new)
{
	static char text[64];

	put_position(text, sizeof(text),
		     !document->knows_generation ? "some"
		     : is_new			 ? "new"
						 : "same",
		     document->length);
	return text;
}

bool model_expect(struct model *model, const struct step *step, struct kyneta_store_position *position)
{
	const struct model_document *document = model_document_of(model, step);
	struct kyneta_store_position here = {document->generation, document->length};

	switch ((enum step_expect)step->expect) {
	case EXPECT_NEXT_AND_ONE:
		here.next++;
		break;
	case EXPECT_ANOTHER_GENERATION:
		here.generation++;
		break;
	case EXPECT_WHERE_IT_STOOD:
		if (document->has_earlier)
			here = document->earlier;
		else
			here.next++;
		break;
	case EXPECT_NOTHING:
	case EXPECT_WHERE_IT_STANDS:
	case EXPECT_COUNT:
		break;
	}
	*position = here;
	return step->expect != EXPECT_NOTHING;
}

static bool stands_as_expected(struct model *model, const struct step *step)
{
	const struct model_document *document = model_document_of(model, step);
	struct kyneta_store_position expect;

	if (!model_expect(model, step, &expect))
		return true;
	return expect.next == document->length &&
	       (model->mistake == MISTAKE_EXPECT_NEXT || expect.generation == document->generation);
}

/* ---- the rules of metadata ---- */

/* A write that is being looked at: what its metas are compared with, and what was wrong. */
struct checked {
	struct model *model;
	const struct step *step;
	unsigned layout;   /* of the store, or what this makes it; 0: not known yet */
	unsigned existing; /* codes of metas */
	unsigned previous;
	unsigned told; /* whose syncMode a mismatch tells; existing, if nothing is wrong with the model */
	struct model_outcome *outcome;
};

static bool refuse(struct checked *checked, int code, const struct text *message)
{
	text_failure(checked->outcome->text, MODEL_TEXT_MAX, code, KYNETA_STORE_NOT_APPLIED, message);
	return false;
}

static void add_type(struct text *message, unsigned code)
{
	const struct model_meta *meta = model_meta_of(code);

	text_add(message, "[");
	for (const char *byte = meta->type; *byte != '\0'; byte++)
		if (*byte != '"')
			text_add_bytes(message, span_of(byte, 1));
	text_add(message, ",%s]", meta->minor);
}

static bool differ(struct checked *checked, bool in_type, unsigned before, unsigned code)
{
	bool within = before != checked->existing;
	struct text message = TEXT_EMPTY;

	text_add(&message, "Store: %s mismatch %s — %s",
		 in_type		? "replicaType"
		 : checked->layout == 1 ? "syncProtocol"
					: "syncMode",
		 within ? "within batch" : "for document", within ? "" : "existing ");
	if (in_type)
		add_type(&message, before);
	else
		text_add(&message, "%s", model_meta_of(within ? before : checked->told)->text);
	text_add(&message, within ? " vs " : " vs incoming ");
	if (in_type)
		add_type(&message, code);
	else
		text_add(&message, "%s", model_meta_of(code)->text);
	return refuse(checked, in_type ? 202 : 203, &message);
}

static bool same_identity(struct checked *checked, unsigned before, unsigned code)
{
	const struct model_meta *a = model_meta_of(before), *b = model_meta_of(code);
	bool same_type = strcmp(a->type, b->type) == 0, same_mode = strcmp(a->mode, b->mode) == 0;

	if (checked->model->mistake == MISTAKE_MINOR)
		same_type = same_type && strcmp(a->minor, b->minor) == 0;
	if (!same_mode && (same_type || checked->model->mistake == MISTAKE_MODE_BEFORE_TYPE))
		return differ(checked, false, before, code);
	return same_type || differ(checked, true, before, code);
}

static bool check_meta(struct checked *checked, unsigned code)
{
	const struct model_meta *meta = model_meta_of(code);
	unsigned key = checked->model->kind->key[model_store_of(checked->step->handle)];

	if (meta->other_key)
		key = 3 - key;
	if (meta->is_bad)
		return refuse(checked, 204, NULL);
	if (checked->layout == 0)
		checked->layout = key;
	if (key != checked->layout && checked->model->mistake != MISTAKE_OTHER_KEY)
		return refuse(checked, 204, NULL);
	if (checked->existing != MODEL_RECORD_NONE && !same_identity(checked, checked->existing, code))
		return false;
	if (checked->previous != MODEL_RECORD_NONE && checked->model->mistake != MISTAKE_WITHIN_BATCH &&
	    !same_identity(checked, checked->previous, code))
		return false;
	checked->previous = code;
	return true;
}

/* Is the metadata there that the write needs? */
static bool has_meta(struct checked *checked)
{
	const struct step *step = checked->step;
	struct model *model = checked->model;
	const struct span id = model_documents[step->document];
	unsigned looked_at = model->mistake == MISTAKE_META_FIRST && step->count > 0 ? 1 : step->count;
	struct text message = TEXT_EMPTY;

	if (step->kind == STEP_APPEND &&
	    (checked->existing != MODEL_RECORD_NONE || model->mistake == MISTAKE_ENTRY_FIRST))
		return true;
	if (step->count == 0 && model->mistake == MISTAKE_EMPTY_REPLACE)
		return true;
	for (unsigned i = 0; i < looked_at; i++)
		if (model_is_meta(step->records[i]))
			return true;
	if (step->kind == STEP_REPLACE) {
		text_add(&message, "Store: batch must contain at least one meta record");
		return refuse(checked, 201, &message);
	}
	text_add(&message, "Store: first record for doc '");
	text_add_bytes(&message, id);
	text_add(&message, "' must be meta, got entry");
	return refuse(checked, 200, &message);
}

/* ---- writes ---- */

static unsigned as_kept(const struct model *model, unsigned code)
{
	if (model->mistake == MISTAKE_EMPTY_BYTES && code == MODEL_EMPTY_BYTES)
		return MODEL_EMPTY_TEXT;
	if (model->mistake == MISTAKE_EMPTY_LINEAGE && code == MODEL_EMPTY_LINEAGE)
		return MODEL_NO_LINEAGE;
	return code;
}

static void add_record(const struct model *model, struct model_document *document, unsigned code, bool is_first_meta)
{
	if (model_is_meta(code)) {
		if (model->mistake == MISTAKE_IDENTICAL_META && document->meta == code)
			return;
		if (model->mistake != MISTAKE_FIRST_META || is_first_meta)
			document->meta = code;
	}
	document->records[document->length++] = (unsigned char)as_kept(model, code);
}

static void add_records(const struct model *model, struct model_document *document, const struct step *step,
			unsigned count)
{
	unsigned metas = 0;

	for (unsigned i = 0; i < count; i++) {
		metas += model_is_meta(step->records[i]);
		add_record(model, document, step->records[i], metas == 1);
	}
}

static void note_earlier(struct model_document *document)
{
	document->has_earlier = document->knows_generation;
	document->earlier = (struct kyneta_store_position){document->generation, document->length};
}

static void clear(struct model_document *document)
{
	document->length = 0;
	document->meta = MODEL_RECORD_NONE;
	document->replaced++;
}

/* All of it is allowed: carry it out. Is the document's generation a new one then? */
static bool change(struct model *model, const struct step *step, struct model_document *document)
{
	bool was_there = exists(document) || document->length > 0;
	unsigned meta = document->meta;

	if (step->kind == STEP_DELETE && !was_there)
		return model->mistake == MISTAKE_DELETE_NOTHING;
	note_earlier(document);
	if (step->kind == STEP_APPEND) {
		add_records(model, document, step, step->count);
		return false;
	}
	clear(document);
	if (step->kind == STEP_DELETE && model->mistake == MISTAKE_DELETE_KEEPS_META)
		document->meta = meta;
	if (step->kind == STEP_DELETE && model->mistake == MISTAKE_DELETE_KEEPS_NEXT)
		document->length = document->earlier.next;
	add_records(model, document, step, step->count);
	return step->kind == STEP_DELETE || model->mistake != MISTAKE_REPLACE_KEEPS_GENERATION;
}

static bool check_rules(struct checked *checked, struct model_document *document)
{
	const struct step *step = checked->step;

	if (!has_meta(checked))
		return false;
	for (unsigned i = 0; i < step->count; i++) {
		if (!model_is_meta(step->records[i]) || check_meta(checked, step->records[i]))
			continue;
		if (checked->model->mistake == MISTAKE_TORN_WRITE && step->kind == STEP_APPEND)
			add_records(checked->model, document, step, i);
		return false;
	}
	return true;
}

/* What is wrong with the call, whatever the documents hold. */
static bool check_arguments(struct checked *checked)
{
	const struct step *step = checked->step;
	struct model *model = checked->model;

	for (unsigned i = 0; i < step->count; i++)
		if (model_is_no_text(step->records[i]))
			return refuse(checked, KYNETA_STORE_EMISUSE, NULL);
	if (model->read_only[step->handle] && model->mistake != MISTAKE_READ_ONLY_WRITES)
		return refuse(checked, 402, NULL);
	if (step->kind == STEP_APPEND && step->count == 0 && model->mistake != MISTAKE_EMPTY_APPEND)
		return refuse(checked, 105, NULL);
	return true;
}

static bool check_expect(struct checked *checked)
{
	struct model_document *document = model_document_of(checked->model, checked->step);

	if (stands_as_expected(checked->model, checked->step))
		return true;
	text_failure(checked->outcome->text, MODEL_TEXT_MAX, 300, KYNETA_STORE_NOT_APPLIED, NULL);
	text_append(checked->outcome->text, MODEL_TEXT_MAX, expected_position(document, false));
	return false;
}

static bool may_write(struct checked *checked, struct model_document *document)
{
	if (!check_arguments(checked))
		return false;
	if (checked->model->mistake == MISTAKE_EXPECT_LAST)
		return (checked->step->kind == STEP_DELETE || check_rules(checked, document)) && check_expect(checked);
	return check_expect(checked) && (checked->step->kind == STEP_DELETE || check_rules(checked, document));
}

/* The first meta of the stream, in the mistake that tells it. */
static unsigned told_meta(const struct model *model, const struct model_document *document)
{
	for (size_t i = 0; model->mistake == MISTAKE_STORED_TEXT && i < document->length; i++)
		if (model_is_meta(document->records[i]))
			return document->records[i];
	return document->meta;
}

static void write(struct model *model, const struct step *step, struct model_outcome *outcome)
{
	struct model_document *document = model_document_of(model, step);
	struct model_store *store = store_of(model, step);
	unsigned forced = model->kind->forced[model_store_of(step->handle)];
	struct checked checked = {.model = model,
				  .step = step,
				  .layout = store->layout != 0 ? store->layout : forced,
				  .existing = document->meta,
				  .previous = MODEL_RECORD_NONE,
				  .told = told_meta(model, document),
				  .outcome = outcome};
	bool is_new;

	if (!may_write(&checked, document))
		return;
	is_new = change(model, step, document);
	if (step->kind != STEP_DELETE)
		store->layout = checked.layout;
	if (model_has_small_pages(step->handle) == (step->durability == 1))
		memcpy(model->synced, model->stores, sizeof(model->synced));
	text_append(outcome->text, MODEL_TEXT_MAX, "done ");
	text_append(outcome->text, MODEL_TEXT_MAX, expected_position(document, is_new));
}

/* ---- reads ---- */

static void put_records(const struct model_document *document, char *text)
{
	for (size_t i = 0; i < document->length; i++)
		text_append_number(text, MODEL_TEXT_MAX, document->records[i]);
}

static void load(struct model *model, const struct step *step, struct model_outcome *outcome)
{
	struct model_document *document = model_document_of(model, step);

	put_records(document, outcome->text);
	text_append(outcome->text, MODEL_TEXT_MAX, expected_position(document, false));
}

static void current_meta(struct model *model, const struct step *step, struct model_outcome *outcome)
{
	struct model_document *document = model_document_of(model, step);

	if (exists(document))
		text_append_number(outcome->text, MODEL_TEXT_MAX, document->meta);
	else
		text_append(outcome->text, MODEL_TEXT_MAX, "none ");
	text_append(outcome->text, MODEL_TEXT_MAX, expected_position(document, false));
}

static bool begins(const struct model *model, struct span id, struct span prefix)
{
	const char *a = (const char *)id.data, *b = (const char *)prefix.data;

	if (model->mistake == MISTAKE_PREFIX_NUL)
		return strncmp(a, b, strnlen(b, prefix.size)) == 0;
	if (id.size < prefix.size)
		return false;
	if (model->mistake == MISTAKE_PREFIX_CASE)
		return strncasecmp(a, b, prefix.size) == 0;
	for (size_t i = 0; i < prefix.size; i++) {
		bool is_pattern = b[i] == '_' || b[i] == '%';

		if (a[i] != b[i] && !(model->mistake == MISTAKE_PREFIX_PATTERN && is_pattern))
			return false;
	}
	return true;
}

static void list(struct model *model, const struct step *step, struct model_outcome *outcome)
{
	const struct model_store *store = store_of(model, step);

	for (unsigned i = 0; i < MODEL_DOCUMENTS; i++)
		if (exists(&store->documents[i]) && begins(model, model_documents[i], model_prefixes[step->document]))
			text_append_number(outcome->text, MODEL_TEXT_MAX, i);
}

/* ---- loads that are begun and ended ---- */

static void begin(struct model *model, const struct step *step)
{
	struct model_stream *stream = &model->streams[step->handle];

	if (stream->is_open)
		return;
	*stream = (struct model_stream){true, step->document, *model_document_of(model, step)};
}

/* The snapshot of the first page; or, if the document was replaced since, a refusal, unless all had come already. */
static void end(struct model *model, const struct step *step, struct model_outcome *outcome)
{
	struct model_stream *stream = &model->streams[step->handle];
	const struct step of_document = {.handle = step->handle, .document = (unsigned char)stream->document};
	const struct model_document *now;
	struct model_document *then = &stream->snapshot;
	bool is_replaced;

	if (!stream->is_open)
		return;
	stream->is_open = false;
	now = model_document_of(model, &of_document);
	is_replaced = now->replaced != then->replaced;
	if (is_replaced && model_has_small_pages(step->handle)) {
		if (then->length > MODEL_PAGES_AHEAD) {
			text_failure(outcome->text, MODEL_TEXT_MAX, KYNETA_STORE_ERESTARTED, KYNETA_STORE_NO_OUTCOME,
				     NULL);
			if (model->mistake != MISTAKE_PAGES_MIX || now->length < then->length)
				return;
			outcome->text[0] = '\0';
			memcpy(then->records + MODEL_PAGES_AHEAD, now->records + MODEL_PAGES_AHEAD,
			       then->length - MODEL_PAGES_AHEAD);
		} else if (then->length > 1) {
			text_failure(outcome->other, MODEL_TEXT_MAX, KYNETA_STORE_ERESTARTED, KYNETA_STORE_NO_OUTCOME,
				     NULL);
		}
	}
	if (!is_replaced && model->mistake == MISTAKE_PAGES_GROW)
		then = model_document_of(model, &of_document);
	put_records(then, outcome->text);
	snprintf(outcome->text + strlen(outcome->text), MODEL_TEXT_MAX - strlen(outcome->text), "at %zu", then->length);
}

/* ---- the others ---- */

static void reopen(struct model *model, const struct step *step, struct model_outcome *outcome)
{
	const struct model_store *store = store_of(model, step);

	if (model->streams[step->handle].is_open)
		return;
	model->read_only[step->handle] = step->expect != 0 && store->layout != 0;
	if (step->expect != 0 && store->layout == 0)
		text_failure(outcome->text, MODEL_TEXT_MAX, 505, KYNETA_STORE_NO_OUTCOME, NULL);
	else
		snprintf(outcome->text, MODEL_TEXT_MAX, "layout %u", store->layout);
}

static void lose(struct model *model)
{
	if (model->mistake != MISTAKE_CRASH_LOSES)
		return;
	for (unsigned i = 0; i < MODEL_STORES; i++) {
		for (unsigned j = 0; j < MODEL_DOCUMENTS; j++) {
			struct model_document *now = &model->stores[i].documents[j];
			struct model_document before = model->synced[i].documents[j];

			before.knows_generation = now->knows_generation;
			before.generation = now->generation;
			*now = before;
		}
	}
}

void model_apply(struct model *model, const struct step *step, struct model_outcome *outcome)
{
	outcome->text[0] = outcome->other[0] = '\0';
	switch ((enum step_kind)step->kind) {
	case STEP_APPEND:
	case STEP_REPLACE:
	case STEP_DELETE:
		write(model, step, outcome);
		break;
	case STEP_META:
		current_meta(model, step, outcome);
		break;
	case STEP_LOAD:
		load(model, step, outcome);
		break;
	case STEP_LIST:
		list(model, step, outcome);
		break;
	case STEP_BEGIN:
		begin(model, step);
		break;
	case STEP_END:
		end(model, step, outcome);
		break;
	case STEP_REOPEN:
		reopen(model, step, outcome);
		break;
	case STEP_CRASH:
		lose(model);
		break;
	case STEP_SYNC:
	case STEP_RESTART:
		memcpy(model->synced, model->stores, sizeof(model->synced));
		break;
	}
}
