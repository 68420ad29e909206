#include "tests/race/host.h"

#include <string.h>

#include "tests/inside/must.h"

#define LOG	   "log"
#define COUNTER	   "counter"
#define BURST_MAX  8
#define LENGTH_MAX 60 /* of an own document: it is replaced then */
#define TOKEN_SIZE 32

/* A bound, not an expectation. */
#define PATIENCE_MS 120000

#define MUST_SUCCEED(call)                                                                                             \
	do {                                                                                                           \
		struct kyneta_store_error error = {0};                                                                 \
		MUST((call) == 0, "%d %s", error.code, error.message);                                                 \
	} while (0)

static struct kyneta_store_record meta(void)
{
	return (struct kyneta_store_record){
	    .type = KYNETA_STORE_META, .meta = HOST_META, .meta_size = sizeof(HOST_META) - 1};
}

/* The token is version and data; every other one is bytes. */
static struct kyneta_store_record entry(char token[TOKEN_SIZE], unsigned host, unsigned number)
{
	size_t size = (size_t)snprintf(token, TOKEN_SIZE, "%u.%u", host, number);

	return (struct kyneta_store_record){
	    .type = KYNETA_STORE_ENTRY,
	    .kind = KYNETA_STORE_SINCE,
	    .encoding = number % 2 == 0 ? KYNETA_STORE_JSON : KYNETA_STORE_BINARY,
	    .data_is_text = number % 2 == 0,
	    .version = token,
	    .version_size = size,
	    .data = token,
	    .data_size = size,
	};
}

void host_open(struct host *host, const char *socket, unsigned number, uint64_t seed)
{
	struct kyneta_store_options options = KYNETA_STORE_OPTIONS_INIT;

	*host = (struct host){.number = number, .random = {seed * 0x9e3779b97f4a7c15 + number + 1}};
	for (unsigned i = 0; i < HOST_DOCUMENTS; i++)
		snprintf(host->documents[i].name, HOST_NAME_SIZE, "own %u.%u", number, i);
	options.path = socket;
	options.durability = number % 2 == 0 ? KYNETA_STORE_SYNCED : KYNETA_STORE_COMMITTED;
	options.deadline_ms = PATIENCE_MS;
	options.backoff_base_ms = 1;
	options.backoff_max_ms = 20;
	options.page_bytes = 512;
	MUST_SUCCEED(kyneta_store_new(&options, &host->store, &error));
}

void host_close(struct host *host)
{
	MUST_SUCCEED(kyneta_store_close(host->store, &error));
	kyneta_store_free(host->store);
}

/* ---- own documents ---- */

static void answered(void *context, const struct kyneta_store_answer *answer)
{
	struct host *host = context;

	MUST(answer->error == NULL, "%d %s", answer->error->code, answer->error->message);
	host->unanswered--;
}

static void send_append(struct host *host, const char *name, struct kyneta_store_record record)
{
	MUST(kyneta_store_send_append(host->store, name, strlen(name), &record, 1, NULL, answered, host) == 0, "%s",
	     name);
	host->unanswered++;
}

static void flush(struct host *host)
{
	MUST_SUCCEED(kyneta_store_flush(host->store, &error));
	MUST(host->unanswered == 0, "%u calls have no answer", host->unanswered);
}

static void append_burst(struct host *host, struct host_document *document)
{
	char token[TOKEN_SIZE];

	if (!document->exists)
		send_append(host, document->name, meta());
	document->exists = true;
	for (unsigned i = 1 + random_below(&host->random, BURST_MAX); i > 0; i--)
		send_append(host, document->name, entry(token, host->number, document->next++));
	flush(host);
}

static void replace(struct host *host, struct host_document *document)
{
	char token[TOKEN_SIZE];
	struct kyneta_store_record records[] = {meta(), entry(token, host->number, document->next)};

	MUST_SUCCEED(
	    kyneta_store_replace(host->store, document->name, strlen(document->name), records, 2, NULL, NULL, &error));
	document->first = document->next++;
	document->exists = true;
}

static void delete (struct host *host, struct host_document *document)
{
	MUST_SUCCEED(kyneta_store_delete(host->store, document->name, strlen(document->name), NULL, NULL, &error));
	document->first = document->next;
	document->exists = false;
}

/* A stream as it comes: metadata, then tokens of one host, one after the other. */
struct expected {
	struct host *host;
	unsigned next;
	bool metas;
};

static bool compare(void *context, const struct kyneta_store_record *record)
{
	struct expected *expected = context;
	struct kyneta_store_record wanted;
	char token[TOKEN_SIZE];

	if (record->type == KYNETA_STORE_META) {
		MUST(!expected->metas, "metadata twice");
		expected->metas = true;
		return true;
	}
	wanted = entry(token, expected->host->number, expected->next++);
	MUST(record->data_is_text == wanted.data_is_text && record->version_size == wanted.version_size &&
		 memcmp(record->version, token, wanted.version_size) == 0 && record->data_size == wanted.data_size &&
		 memcmp(record->data, token, wanted.data_size) == 0,
	     "not %s but %.*s", token, (int)record->version_size, record->version);
	return true;
}

static void load(struct host *host, struct host_document *document)
{
	struct expected expected = {.host = host, .next = document->first};
	struct kyneta_store_position at;

	MUST_SUCCEED(kyneta_store_load_all(host->store, document->name, strlen(document->name), compare, &expected, &at,
					   &error));
	MUST(expected.metas == document->exists, "%s", document->name);
	MUST(expected.next == document->next, "%s: %u, not %u", document->name, expected.next, document->next);
	MUST(at.next == document->next - document->first + (document->exists ? 1 : 0), "%s stands at %llu",
	     document->name, (unsigned long long)at.next);
}

static void current_meta(struct host *host, struct host_document *document)
{
	char *text = NULL;

	MUST_SUCCEED(
	    kyneta_store_current_meta(host->store, document->name, strlen(document->name), &text, NULL, NULL, &error));
	MUST((text != NULL) == document->exists, "%s", document->name);
	kyneta_store_release(text);
}

/* ---- shared documents ---- */

void host_found(struct host *host)
{
	const char *const names[] = {LOG, COUNTER};
	const struct kyneta_store_record record = meta();

	for (unsigned i = 0; i < 2; i++)
		MUST_SUCCEED(
		    kyneta_store_append(host->store, names[i], strlen(names[i]), &record, 1, NULL, NULL, &error));
}

static void log_burst(struct host *host)
{
	char token[TOKEN_SIZE];

	for (unsigned i = 1 + random_below(&host->random, BURST_MAX); i > 0; i--)
		send_append(host, LOG, entry(token, host->number, host->logged++));
	flush(host);
}

/* Counted up only if nobody else was faster. */
static void count_up(struct host *host)
{
	struct kyneta_store_write write = KYNETA_STORE_WRITE_INIT;
	struct kyneta_store_error error = {0};
	struct kyneta_store_record record;
	char token[TOKEN_SIZE], *text = NULL;
	int code;

	code = kyneta_store_current_meta(host->store, COUNTER, strlen(COUNTER), &text, NULL, &write.expect, &error);
	MUST(code == 0 && text != NULL, "%d %s", code, error.message);
	kyneta_store_release(text);
	write.has_expect = true;
	record = entry(token, host->number, host->counted);
	code = kyneta_store_append(host->store, COUNTER, strlen(COUNTER), &record, 1, &write, NULL, &error);
	MUST(code == 0 || code == KYNETA_STORE_ECONFLICT, "%d %s", code, error.message);
	host->counted += code == 0;
}

static bool pass_id(void *context, const char *id, size_t size)
{
	(void)context;
	MUST(id != NULL && size > 0, "an id of nobody");
	return true;
}

static bool pass_stat(void *context, const char *name, size_t name_size, uint64_t number, const char *text,
		      size_t text_size)
{
	(void)context;
	(void)name;
	(void)number;
	(void)text;
	(void)text_size;
	return name_size > 0;
}

static void ask_the_daemon(struct host *host)
{
	MUST_SUCCEED(kyneta_store_ping(host->store, &error));
	MUST_SUCCEED(kyneta_store_stats(host->store, pass_stat, NULL, &error));
	MUST_SUCCEED(kyneta_store_sync(host->store, &error));
}

/* ---- what a host does ---- */

void host_step(struct host *host)
{
	struct host_document *document = &host->documents[random_below(&host->random, HOST_DOCUMENTS)];
	uint32_t choice = random_below(&host->random, 20);

	if (document->next - document->first > LENGTH_MAX)
		replace(host, document);
	else if (choice < 7)
		append_burst(host, document);
	else if (choice < 8)
		replace(host, document);
	else if (choice < 9)
		delete (host, document);
	else if (choice < 12)
		load(host, document);
	else if (choice < 14)
		current_meta(host, document);
	else if (choice < 16)
		log_burst(host);
	else if (choice < 18)
		count_up(host);
	else if (choice < 19)
		MUST_SUCCEED(kyneta_store_list_doc_ids(host->store, "own ", 4, pass_id, NULL, &error));
	else
		ask_the_daemon(host);
}

void host_check(struct host *host)
{
	for (unsigned i = 0; i < HOST_DOCUMENTS; i++) {
		load(host, &host->documents[i]);
		current_meta(host, &host->documents[i]);
	}
}

/* Tokens of all hosts: how many of each have come. */
struct seen {
	unsigned *numbers;
	unsigned hosts, metas;
};

static bool count_token(void *context, const struct kyneta_store_record *record)
{
	struct seen *seen = context;
	unsigned host = 0, number = 0;
	char token[TOKEN_SIZE];

	if (record->type == KYNETA_STORE_META) {
		seen->metas++;
		return true;
	}
	snprintf(token, sizeof(token), "%.*s", (int)record->version_size, record->version);
	MUST(sscanf(token, "%u.%u", &host, &number) == 2 && host < seen->hosts, "%s", token);
	MUST(seen->numbers[host] == number, "host %u: not %u but %u", host, seen->numbers[host], number);
	seen->numbers[host]++;
	return true;
}

static void check_document(kyneta_store *store, const char *name, struct seen *seen)
{
	seen->metas = 0;
	memset(seen->numbers, 0, seen->hosts * sizeof(seen->numbers[0]));
	MUST_SUCCEED(kyneta_store_load_all(store, name, strlen(name), count_token, seen, NULL, &error));
	MUST(seen->metas == 1, "%s has metadata %u times", name, seen->metas);
}

void host_check_shared(struct host *hosts, unsigned count)
{
	struct seen seen = {.numbers = calloc(count, sizeof(unsigned)), .hosts = count};

	MUST(seen.numbers != NULL, "no memory");
	check_document(hosts[0].store, LOG, &seen);
	for (unsigned i = 0; i < count; i++)
		MUST(seen.numbers[i] == hosts[i].logged, "host %u: %u tokens, not %u", i, seen.numbers[i],
		     hosts[i].logged);
	check_document(hosts[0].store, COUNTER, &seen);
	for (unsigned i = 0; i < count; i++)
		MUST(seen.numbers[i] == hosts[i].counted, "host %u: %u tokens, not %u", i, seen.numbers[i],
		     hosts[i].counted);
	free(seen.numbers);
}
