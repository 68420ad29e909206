#include "tests/bench/work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/bench/trace.h"

#define META                                                                                                           \
	"{\"replicaType\":[\"bench\",1,0],\"syncMode\":{\"writerModel\":\"serialized\",\"delivery\":\"delta-"          \
	"capable\",\"durability\":\"persistent\"},\"schemaHash\":\"00\"}"

#define DOCUMENT_PREFIX "bench/"
#define DOCUMENT_DIGITS 8

/* xorshift64*: the same numbers in every run. */
static uint64_t random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

static uint64_t random_below(uint64_t *state, uint64_t limit)
{
	return (random_next(state) >> 16) % limit;
}

const char *work_operation_name(enum work_operation operation)
{
	static const char *const names[] = {
#define X(constant, name) name,
	    WORK_LIST(X)
#undef X
	};

	return names[operation];
}

/* Nothing that a database could compress; a string is in the alphabet of base64. */
static uint8_t *make_data(const struct work *work)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t *data = malloc(work->bytes + 1);
	uint64_t random = 1;

	for (size_t i = 0; data != NULL && i < work->bytes; i++) {
		uint8_t byte = (uint8_t)(random_next(&random) >> 56);

		data[i] = work->text ? (uint8_t)alphabet[byte % 64] : byte;
	}
	return data;
}

/* Shared by the processes that make the load. */
static int make_counters(struct work *work)
{
	void *memory = mmap(NULL, work->documents_total * sizeof(*work->next), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return -1;
	work->next = memory;
	return 0;
}

int work_prepare(struct work *work)
{
	work->weight_sum = 0;
	for (unsigned i = 0; i < WORK_OPERATIONS; i++)
		work->weight_sum += work->weights[i];
	if (work->trace != NULL)
		work->documents_total = (uint64_t)work->connections * work->trace->documents_count;
	else
		work->documents_total = work->documents != 0 ? work->documents : work->connections;
	work->data = make_data(work);
	if (work->data == NULL || make_counters(work) != 0) {
		work_release(work);
		return -1;
	}
	work->meta =
	    (struct kyneta_store_record){.type = KYNETA_STORE_META, .meta = META, .meta_size = sizeof(META) - 1};
	work->entry = (struct kyneta_store_record){.type = KYNETA_STORE_ENTRY,
						   .kind = KYNETA_STORE_SINCE,
						   .encoding = work->text ? KYNETA_STORE_JSON : KYNETA_STORE_BINARY,
						   .data_is_text = work->text,
						   .version = "1",
						   .version_size = 1,
						   .data = work->data,
						   .data_size = work->bytes};
	return 0;
}

void work_release(struct work *work)
{
	free(work->data);
	work->data = NULL;
	if (work->next != NULL)
		munmap((void *)(uintptr_t)work->next, work->documents_total * sizeof(*work->next));
	work->next = NULL;
}

void work_source_init(struct work_source *source, const struct work *work, unsigned connection)
{
	*source = (struct work_source){
	    .work = work, .connection = connection, .random = UINT64_C(0x9e3779b97f4a7c15) * (connection + 1)};
	source->pair[0] = work->meta;
	source->pair[1] = work->entry;
	source->pair[1].kind = KYNETA_STORE_ENTIRETY;
}

void work_source_free(struct work_source *source)
{
	buffer_free(&source->document);
}

void work_document(const struct work *work, uint64_t number, struct buffer *out)
{
	char digits[DOCUMENT_DIGITS];

	number += work->first_document;
	for (unsigned i = DOCUMENT_DIGITS; i-- > 0; number /= 10)
		digits[i] = (char)('0' + number % 10);
	buffer_append(out, DOCUMENT_PREFIX, sizeof(DOCUMENT_PREFIX) - 1);
	buffer_append(out, digits, sizeof(digits));
}

/* One of the connection's own; with fewer documents than connections they are shared. */
static uint64_t choose_document(struct work_source *source)
{
	uint64_t total = source->work->documents_total, connections = source->work->connections;
	uint64_t own = source->connection % total, share;

	if (total <= connections)
		return own;
	share = (total - own + connections - 1) / connections;
	return own + connections * random_below(&source->random, share);
}

static enum work_operation choose_operation(struct work_source *source)
{
	const struct work *work = source->work;
	uint64_t ticket;
	unsigned i = 0;

	if (work->weights[WORK_APPEND] == work->weight_sum)
		return WORK_APPEND;
	ticket = random_below(&source->random, work->weight_sum);
	for (; ticket >= work->weights[i]; i++)
		ticket -= work->weights[i];
	return (enum work_operation)i;
}

/* A prefix of an id that @matches ids begin with: one digit less for each power of ten. */
static size_t prefix_size(size_t id_size, uint64_t matches)
{
	for (; matches >= 10; matches /= 10)
		id_size--;
	return id_size;
}

static const struct work_request *next_of_trace(struct work_source *source)
{
	const struct trace *trace = source->work->trace;
	const struct trace_call *call = &trace->calls[source->trace_at];
	struct work_request *request = &source->request;
	const struct span *name = &trace->documents[call->document];
	char host[48];
	int size;

	/* Another host's document is another document, and so is the next pass's: a host writes its metadata first. */
	size =
	    snprintf(host, sizeof(host), "host %u/%llu/", source->connection, (unsigned long long)source->trace_pass);
	buffer_append(&source->document, host, (size_t)size);
	buffer_append(&source->document, name->data, name->size);
	request->operation = call->operation;
	request->records = call->records;
	request->count = call->count;
	request->next = &source->work->next[source->connection * trace->documents_count + call->document];
	if (++source->trace_at == trace->calls_count) {
		source->trace_at = 0;
		source->trace_pass++;
	}
	return request;
}

const struct work_request *work_next(struct work_source *source)
{
	const struct work *work = source->work;
	struct work_request *request = &source->request;
	uint64_t document;

	buffer_reset(&source->document);
	*request = (struct work_request){.durability = work->durability};
	if (work->trace != NULL) {
		next_of_trace(source);
		request->document = buffer_span(&source->document);
		return request;
	}
	request->operation = choose_operation(source);
	document = choose_document(source);
	work_document(work, document, &source->document);
	request->document = buffer_span(&source->document);
	request->next = &work->next[document];
	if (request->operation == WORK_APPEND) {
		request->records = &work->entry;
		request->count = 1;
	} else if (request->operation == WORK_REPLACE) {
		request->records = source->pair;
		request->count = 2;
	} else if (request->operation == WORK_LIST) {
		request->document.size = prefix_size(request->document.size, work->matches);
	}
	return request;
}
