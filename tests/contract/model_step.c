#include "tests/contract/model_step.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tests/contract/model_data.h"

/* How often of a hundred steps; restarts cost most of the time. */
static const unsigned char weights[] = {
    [STEP_APPEND] = 36, [STEP_REPLACE] = 10, [STEP_DELETE] = 7, [STEP_META] = 9, [STEP_LOAD] = 12,
    [STEP_LIST] = 8,	[STEP_SYNC] = 1,     [STEP_BEGIN] = 6,	[STEP_END] = 6,	 [STEP_REOPEN] = 4,
};

/* One sequence of so many has each of these, once. */
#define RESTART_EVERY 12
#define CRASH_EVERY   12
/* One sequence of so many uses the stores' default tables, for which there must be a new database. */
#define DEFAULT_EVERY 48
/* So many seeds in a row have the daemon run in the same way: it has to be a new one for another. */
#define SAME_WAY 64
/* One record of so many is any of the table; the others make a document that goes on. */
#define ANY_RECORD_EVERY 5

/* ---- making ---- */

static enum step_kind choose_kind(struct random *random)
{
	unsigned dice = random_below(random, 99);

	for (unsigned kind = 0; kind < sizeof(weights); kind++) {
		if (dice < weights[kind])
			return (enum step_kind)kind;
		dice -= weights[kind];
	}
	return STEP_APPEND;
}

static unsigned char choose_record(struct random *random, bool is_meta)
{
	if (random_below(random, ANY_RECORD_EVERY) == 0)
		return (unsigned char)random_below(random, MODEL_RECORD_CODES);
	if (is_meta)
		return (unsigned char)random_below(random, 3);
	return (unsigned char)(MODEL_METAS + random_below(random, MODEL_ENTRIES - 2));
}

static void make_write(struct step *step, struct random *random)
{
	/* One in eight expects, and most of these rightly. */
	if (random_below(random, 8) == 0)
		step->expect = (unsigned char)(1 + random_below(random, EXPECT_COUNT - 1));
	else if (random_below(random, 8) == 0)
		step->expect = EXPECT_WHERE_IT_STANDS;
	step->durability = (unsigned char)random_below(random, 2);
	if (step->kind == STEP_DELETE)
		return;
	step->count = (unsigned char)(random_below(random, 2) == 0 ? 1 : random_below(random, MODEL_RECORDS_MAX + 1));
	for (unsigned i = 0; i < step->count; i++)
		step->records[i] =
		    choose_record(random, step->kind == STEP_REPLACE ? i == 0 : random_below(random, 5) == 0);
}

static void make_step(struct step *step, struct random *random, unsigned documents)
{
	*step = (struct step){.kind = (unsigned char)choose_kind(random)};
	step->handle = (unsigned char)random_below(random, MODEL_HANDLES);
	/* Few documents, so that something happens to each. */
	step->document = (unsigned char)(step->kind == STEP_LIST ? random_below(random, MODEL_PREFIXES)
								 : random_below(random, documents));
	if (step->kind == STEP_APPEND || step->kind == STEP_REPLACE || step->kind == STEP_DELETE)
		make_write(step, random);
	else if (step->kind == STEP_REOPEN)
		step->expect = random_below(random, 4) == 0;
}

static void put_step(struct sequence *sequence, struct random *random, enum step_kind kind)
{
	sequence->steps[random_below(random, (uint32_t)sequence->count)] = (struct step){.kind = (unsigned char)kind};
}

void sequence_make(struct sequence *sequence, uint64_t seed)
{
	struct random random = {.state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
	unsigned documents;

	random_next(&random);
	documents = 1 + random_below(&random, random_below(&random, 2) == 0 ? 3 : MODEL_DOCUMENTS);
	*sequence = (struct sequence){.count = 4 + random_below(&random, MODEL_STEPS_MAX - 3)};
	sequence->kind = (unsigned char)random_below(&random, 2);
	if (random_below(&random, DEFAULT_EVERY) == 0)
		sequence->kind = (unsigned char)(2 + random_below(&random, MODEL_STORE_KINDS - 2));
	for (size_t i = 0; i < sequence->count; i++)
		make_step(&sequence->steps[i], &random, documents);
	if (random_below(&random, RESTART_EVERY) == 0)
		put_step(sequence, &random, STEP_RESTART);
	if (random_below(&random, CRASH_EVERY) == 0)
		put_step(sequence, &random, STEP_CRASH);
	sequence->piped = (unsigned char)random_below(&random, 2);
	sequence->way = (unsigned char)(seed / SAME_WAY % MODEL_WAYS);
}

/* ---- as a line ---- */

static const char letters[] = {
#define X(letter, name) letter,
    MODEL_STEPS(X)
#undef X
};

void sequence_write(const struct sequence *sequence, FILE *out)
{
	fprintf(out, "kind=%u", sequence->kind);
	if (sequence->way != 0)
		fprintf(out, " way=%u", sequence->way);
	if (sequence->piped != 0)
		fprintf(out, " piped=%u", sequence->piped);
	for (size_t i = 0; i < sequence->count; i++) {
		const struct step *step = &sequence->steps[i];

		fprintf(out, " %c%u.%u.%u.%u", letters[step->kind], step->handle, step->document, step->expect,
			step->durability);
		for (unsigned j = 0; j < step->count; j++)
			fprintf(out, "%c%u", j == 0 ? ':' : ',', step->records[j]);
	}
}

/* The number at *@text, which must be below @limit; *@text is then behind it. */
static bool read_number(const char **text, unsigned limit, unsigned char *number)
{
	unsigned long value;
	char *end;

	if (!isdigit((unsigned char)**text))
		return false;
	value = strtoul(*text, &end, 10);
	*text = end;
	*number = (unsigned char)value;
	return value < limit;
}

static bool read_letter(const char **text, char letter)
{
	if (**text != letter)
		return false;
	++*text;
	return true;
}

static bool read_records(struct step *step, const char **text)
{
	if (!read_letter(text, ':'))
		return true;
	do
		if (step->count >= MODEL_RECORDS_MAX ||
		    !read_number(text, MODEL_RECORD_CODES, &step->records[step->count++]))
			return false;
	while (read_letter(text, ','));
	return true;
}

static bool read_step(struct step *step, const char **text)
{
	const char *letter = **text == '\0' ? NULL : memchr(letters, **text, sizeof(letters));

	*step = (struct step){0};
	if (letter == NULL)
		return false;
	++*text;
	step->kind = (unsigned char)(letter - letters);
	return read_number(text, MODEL_HANDLES, &step->handle) && read_letter(text, '.') &&
	       read_number(text, step->kind == STEP_LIST ? MODEL_PREFIXES : MODEL_DOCUMENTS, &step->document) &&
	       read_letter(text, '.') && read_number(text, EXPECT_COUNT, &step->expect) && read_letter(text, '.') &&
	       read_number(text, 2, &step->durability) && read_records(step, text);
}

/* @name and a number, which may be missing: then it is 0. */
static bool read_choice(const char **text, const char *name, unsigned limit, unsigned char *number)
{
	size_t size = strlen(name);

	if (strncmp(*text, name, size) != 0)
		return true;
	*text += size;
	return read_number(text, limit, number);
}

bool sequence_read(struct sequence *sequence, const char *text)
{
	*sequence = (struct sequence){0};
	if (!read_choice(&text, "kind=", MODEL_STORE_KINDS, &sequence->kind) ||
	    !read_choice(&text, " way=", MODEL_WAYS, &sequence->way) ||
	    !read_choice(&text, " piped=", 2, &sequence->piped))
		return false;
	while (read_letter(&text, ' '))
		if (sequence->count >= MODEL_STEPS_MAX || !read_step(&sequence->steps[sequence->count++], &text))
			return false;
	return *text == '\0';
}

/* ---- for a person ---- */

static void show_text(FILE *out, struct span text)
{
	fputc('"', out);
	for (size_t i = 0; i < text.size; i++) {
		if (i == 40) {
			fprintf(out, "…%zu", text.size);
			break;
		}
		if (text.data[i] < ' ' || text.data[i] == '"' || text.data[i] == '\\' || text.data[i] >= 0x7f)
			fprintf(out, "\\x%02x", text.data[i]);
		else
			fputc(text.data[i], out);
	}
	fputc('"', out);
}

static void show_record(FILE *out, unsigned code)
{
	struct kyneta_store_record record = model_record(code, 2);

	if (model_is_meta(code)) {
		const struct model_meta *meta = model_meta_of(code);

		if (meta->type == NULL)
			fprintf(out, "bad meta %u", code);
		else
			fprintf(out, "meta %u [\"%s,%s] mode %s%s", code, meta->type, meta->minor, meta->mode,
				meta->other_key ? ", other key" : "");
		return;
	}
	fprintf(out, "entry %u %s %s ", code, record.kind == KYNETA_STORE_SINCE ? "since" : "entirety",
		record.encoding == KYNETA_STORE_JSON ? "json" : "binary");
	show_text(out, span_of(record.version, record.version_size));
	fprintf(out, record.data_is_text ? " text " : " bytes ");
	show_text(out, span_of(record.data, record.data_size));
	if (record.has_lineage) {
		fprintf(out, " lineage ");
		show_text(out, span_of(record.lineage, record.lineage_size));
	}
}

static void show_write(const struct step *step, const char *name, FILE *out)
{
	static const char *const expects[] = {"", ", expecting where it stands", ", expecting its next and one",
					      ", expecting another generation",
					      ", expecting where it stood before the last change"};

	fprintf(out, "%s(", name);
	show_text(out, model_documents[step->document]);
	if (step->kind != STEP_DELETE)
		fprintf(out, ", {");
	for (unsigned i = 0; i < step->count; i++) {
		fprintf(out, i == 0 ? "" : "; ");
		show_record(out, step->records[i]);
	}
	fprintf(out, "%s%s%s)", step->kind != STEP_DELETE ? "}" : "", expects[step->expect],
		step->durability == 0		      ? ""
		: model_has_small_pages(step->handle) ? ", synced"
						      : ", committed");
}

void step_show(const struct step *step, FILE *out)
{
	static const char *const names[] = {[STEP_APPEND] = "append",
					    [STEP_REPLACE] = "replace",
					    [STEP_DELETE] = "delete",
					    [STEP_META] = "current_meta",
					    [STEP_LOAD] = "load_all",
					    [STEP_LIST] = "list_doc_ids",
					    [STEP_SYNC] = "sync",
					    [STEP_BEGIN] = "begin_load",
					    [STEP_END] = "end_load",
					    [STEP_REOPEN] = "reopen",
					    [STEP_RESTART] = "restart the daemon",
					    [STEP_CRASH] = "kill the daemon"};
	const char *name = names[step->kind];

	if (step->kind != STEP_RESTART && step->kind != STEP_CRASH)
		fprintf(out, "%c%u.", "ab"[model_store_of(step->handle)], step -> handle % 2);
	switch ((enum step_kind)step->kind) {
	case STEP_APPEND:
	case STEP_REPLACE:
	case STEP_DELETE:
		show_write(step, name, out);
		break;
	case STEP_META:
	case STEP_LOAD:
	case STEP_BEGIN:
	case STEP_LIST:
		fprintf(out, "%s(", name);
		show_text(out,
			  step->kind == STEP_LIST ? model_prefixes[step->document] : model_documents[step->document]);
		fprintf(out, ")");
		break;
	case STEP_REOPEN:
		fprintf(out, "%s(%s)", name, step->expect != 0 ? "read-only" : "");
		break;
	case STEP_SYNC:
	case STEP_END:
		fprintf(out, "%s()", name);
		break;
	case STEP_RESTART:
	case STEP_CRASH:
		fputs(name, out);
		break;
	}
}
