#include "tests/system/logged_client.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A call on its way; freed by its answer. */
struct call {
	struct logged_client *client;
	struct logged_document *document; /* NULL: of no document */
	unsigned long number;
	char kind; /* the letter of its line */
	char *words;
	size_t words_size;
	FILE *stream; /* writes words: what a load or listing gave */
};

void give_up(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

static unsigned long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned long long)now.tv_sec * 1000000000ULL + (unsigned long long)now.tv_nsec;
}

/* ---- records ---- */

/* Most entries are small; one in many fills pages. */
static unsigned repetitions(const char *text)
{
	unsigned weight = 0;

	for (const char *byte = text; *byte != '\0'; byte++)
		weight += (unsigned char)*byte;
	return weight % 61 == 0 ? 200 : 1 + weight % 8;
}

static void make_meta(struct word *word)
{
	int size = snprintf(word->meta, sizeof(word->meta),
			    "{\"replicaType\":[\"plain\",1,0],\"syncMode\":{\"writerModel\":\"concurrent\","
			    "\"delivery\":\"delta-capable\",\"durability\":\"persistent\"},\"schemaHash\":\"%s\"}",
			    word->text + 1);

	word->record =
	    (struct kyneta_store_record){.type = KYNETA_STORE_META, .meta = word->meta, .meta_size = (size_t)size};
}

static void make_entry(struct word *word)
{
	bool is_text = word->text[0] == 's';
	size_t size = strlen(word->text), count = repetitions(word->text);

	for (size_t i = 0; i < count; i++)
		memcpy(word->data + i * size, word->text, size);
	word->record = (struct kyneta_store_record){.type = KYNETA_STORE_ENTRY,
						    .kind = KYNETA_STORE_SINCE,
						    .encoding = is_text ? KYNETA_STORE_JSON : KYNETA_STORE_BINARY,
						    .data_is_text = is_text,
						    .version = word->text,
						    .version_size = size,
						    .data = word->data,
						    .data_size = count * size};
}

static void make_record(struct word *word)
{
	if (word->text[0] == 'm')
		make_meta(word);
	else
		make_entry(word);
}

void word_make(struct word *word, const char *format, ...)
{
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vsnprintf(word->text, sizeof(word->text), format, arguments);
	va_end(arguments);
	if (size < 1 || (size_t)size >= sizeof(word->text))
		give_up("%s… is too long", word->text);
	make_record(word);
}

static bool same_bytes(const void *a, size_t a_size, const void *b, size_t b_size)
{
	return a_size == b_size && (a_size == 0 || memcmp(a, b, a_size) == 0);
}

static bool is_whole(const struct kyneta_store_record *found, const struct kyneta_store_record *made)
{
	if (found->type == KYNETA_STORE_META)
		return same_bytes(found->meta, found->meta_size, made->meta, made->meta_size);
	return found->kind == made->kind && found->encoding == made->encoding &&
	       found->data_is_text == made->data_is_text && !found->has_lineage &&
	       same_bytes(found->data, found->data_size, made->data, made->data_size);
}

/* What a word of this record would begin with and be called. */
static void name_of(const struct kyneta_store_record *record, struct word *word)
{
	static const char before[] = "\"schemaHash\":\"";
	const char *start = record->version, *quote;
	size_t size = record->version_size;

	if (record->type == KYNETA_STORE_META) {
		start = memmem(record->meta, record->meta_size, before, sizeof(before) - 1);
		size = start == NULL ? 0 : record->meta_size - (size_t)(start - record->meta) - (sizeof(before) - 1);
		start = start == NULL ? "" : start + sizeof(before) - 1;
		quote = memchr(start, '"', size);
		size = quote == NULL ? 0 : (size_t)(quote - start);
	}
	snprintf(word->text, sizeof(word->text), "%s%.*s", record->type == KYNETA_STORE_META ? "m" : "", (int)size,
		 start);
	for (char *byte = word->text; *byte != '\0'; byte++)
		if (*byte <= ' ')
			*byte = '?';
}

static void print_record(FILE *to, const struct kyneta_store_record *record)
{
	static struct word word; /* large */

	name_of(record, &word);
	make_record(&word);
	fprintf(to, " %s%s", is_whole(record, &word.record) ? "" : "!", word.text);
}

/* ---- answers ---- */

static void print_position(FILE *to, const struct kyneta_store_position *position)
{
	if (position == NULL)
		fputs(" -", to);
	else
		fprintf(to, " %llu.%llu", (unsigned long long)position->generation, (unsigned long long)position->next);
}

static void print_failure(const struct call *call, const struct kyneta_store_error *error)
{
	FILE *log = call->client->log;

	fprintf(log, "f %lu %llu %d %d", call->number, now_ns(), error->code, error->outcome);
	print_position(log, error->has_position ? &error->position : NULL);
	fprintf(log, " %s /%s\n", error->message, call->words == NULL ? "" : call->words);
}

static void print_success(const struct call *call, const struct kyneta_store_answer *answer)
{
	FILE *log = call->client->log;
	bool is_positioned = call->kind == 'w' || call->kind == 'l' || call->kind == 'c';
	char kind = call->kind == 'w' ? 'a' : call->kind == 'l' ? 'r' : call->kind == 'c' ? 'm' : 'o';

	fprintf(log, "%c %lu %llu", call->kind == 'i' ? 'd' : kind, call->number, now_ns());
	if (is_positioned)
		print_position(log, &answer->at);
	if (call->kind == 'w')
		fprintf(log, " %d", answer->duplicate);
	if (call->kind == 'c' && answer->meta == NULL)
		fputs(" -", log);
	else if (call->kind == 'c')
		print_record(log, &(struct kyneta_store_record){
				      .type = KYNETA_STORE_META, .meta = answer->meta, .meta_size = answer->meta_size});
	fprintf(log, "%s\n", call->words == NULL ? "" : call->words);
}

static void note_position(const struct call *call, const struct kyneta_store_answer *answer)
{
	struct logged_document *document = call->document;

	if (document == NULL || (answer->error != NULL && !answer->error->has_position))
		return;
	/* A duplicate's is today's, and may count records that nobody here has seen. */
	document->has_position = !answer->duplicate;
	document->position = answer->error != NULL ? answer->error->position : answer->at;
}

static void answered(void *context, const struct kyneta_store_answer *answer)
{
	struct call *call = context;
	struct logged_client *client = call->client;

	if (call->stream != NULL && fclose(call->stream) != 0)
		give_up("no memory");
	if (answer->error != NULL)
		print_failure(call, answer->error);
	else
		print_success(call, answer);
	note_position(call, answer);
	if (call->kind == 'w' && answer->error != NULL && answer->error->code >= KYNETA_STORE_EBUSY)
		client->has_latched = true;
	client->answered++;
	client->unanswered--;
	client->unanswered_writes -= call->kind == 'w';
	free(call->words);
	free(call);
}

static bool take_record(void *context, const struct kyneta_store_record *record)
{
	print_record(((struct call *)context)->stream, record);
	return true;
}

static bool take_id(void *context, const char *id, size_t id_size)
{
	fprintf(((struct call *)context)->stream, " %.*s", (int)id_size, id);
	return true;
}

/* ---- calls ---- */

static struct call *new_call(struct logged_client *client, char kind, struct logged_document *document)
{
	struct call *call = calloc(1, sizeof(*call));

	if (call == NULL)
		give_up("no memory");
	*call = (struct call){.client = client, .document = document, .number = ++client->calls, .kind = kind};
	client->unanswered++;
	client->unanswered_writes += kind == 'w';
	fprintf(client->log, "%c %lu %llu", kind, call->number, now_ns());
	return call;
}

static struct call *new_stream(struct logged_client *client, char kind, struct logged_document *document)
{
	struct call *call = new_call(client, kind, document);

	call->stream = open_memstream(&call->words, &call->words_size);
	if (call->stream == NULL)
		give_up("no memory");
	return call;
}

static void must_be_taken(int code)
{
	if (code != 0)
		give_up("a call was not taken: %s", kyneta_store_error_name(code));
}

void logged_write(struct logged_client *client, struct logged_document *document, char operation, int durability,
		  const struct kyneta_store_position *expect, const struct word *words, size_t count)
{
	struct kyneta_store_write write = {.durability = durability, .has_expect = expect != NULL};
	struct kyneta_store_record records[WORD_RECORDS_MAX];
	struct call *call = new_call(client, 'w', document);
	size_t size = strlen(document->name);
	int code;

	fprintf(client->log, " %c %s", operation, document->name);
	print_position(client->log, expect);
	if (expect != NULL)
		write.expect = *expect;
	for (size_t i = 0; i < count; i++) {
		records[i] = words[i].record;
		fprintf(client->log, " %s", words[i].text);
	}
	fputc('\n', client->log);
	if (operation == 'a')
		code = kyneta_store_send_append(client->store, document->name, size, records, count, &write, answered,
						call);
	else if (operation == 'r')
		code = kyneta_store_send_replace(client->store, document->name, size, records, count, &write, answered,
						 call);
	else
		code = kyneta_store_send_delete(client->store, document->name, size, &write, answered, call);
	must_be_taken(code);
}

void logged_load(struct logged_client *client, struct logged_document *document)
{
	struct call *call = new_stream(client, 'l', document);

	fprintf(client->log, " %s\n", document->name);
	must_be_taken(kyneta_store_send_load_all(client->store, document->name, strlen(document->name), take_record,
						 answered, call, NULL));
}

void logged_current_meta(struct logged_client *client, struct logged_document *document)
{
	struct call *call = new_call(client, 'c', document);

	fprintf(client->log, " %s\n", document->name);
	must_be_taken(
	    kyneta_store_send_current_meta(client->store, document->name, strlen(document->name), answered, call));
}

void logged_list(struct logged_client *client, const char *prefix)
{
	struct call *call = new_stream(client, 'i', NULL);

	fprintf(client->log, " %s\n", prefix);
	must_be_taken(
	    kyneta_store_send_list_doc_ids(client->store, prefix, strlen(prefix), take_id, answered, call, NULL));
}

void logged_sync(struct logged_client *client)
{
	struct call *call = new_call(client, 's', NULL);

	fputc('\n', client->log);
	must_be_taken(kyneta_store_send_sync(client->store, answered, call));
}

void logged_resume(struct logged_client *client)
{
	struct call *call = new_call(client, 'u', NULL);

	client->has_latched = false;
	fputc('\n', client->log);
	must_be_taken(kyneta_store_send_resume(client->store, answered, call));
}

/* ---- turns ---- */

void logged_process(struct logged_client *client)
{
	int code;

	/* Nothing is sent that is not in the log. */
	if (fflush(client->log) != 0)
		give_up("log: %s", strerror(errno));
	code = kyneta_store_process(client->store);
	if (code != 0)
		give_up("the handle has ended: %s", kyneta_store_error_name(code));
}

bool logged_is_readable(const struct logged_client *client, int timeout_ms)
{
	struct pollfd poll_fd = {kyneta_store_fd(client->store), POLLIN, 0};

	return poll(&poll_fd, 1, timeout_ms) > 0;
}

void logged_wait(struct logged_client *client)
{
	while (client->unanswered > 0) {
		logged_process(client);
		if (client->unanswered > 0)
			logged_is_readable(client, kyneta_store_timeout(client->store));
	}
}
