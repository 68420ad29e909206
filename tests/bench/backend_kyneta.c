/* The daemon, through the client library (backend.h). */
#include "tests/bench/backend.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

struct kyneta_link {
	struct backend_link base;
	kyneta_store *store;
	struct kyneta_request *free;
};

/* One request in flight: the callbacks' context. */
struct kyneta_request {
	struct kyneta_link *link;
	struct kyneta_request *next; /* free */
	void *token;
	uint64_t items;
};

static int fail(const char *what, const char *message)
{
	fprintf(stderr, "kyneta-store-bench: %s: %s\n", what, message);
	return -1;
}

/* The daemon was started for this run: it is empty. */
static int kyneta_reset(const char *address)
{
	(void)address;
	return 0;
}

static int kyneta_open(const char *address, struct backend_link **out)
{
	struct kyneta_store_options options = KYNETA_STORE_OPTIONS_INIT;
	struct kyneta_link *link = calloc(1, sizeof(*link));
	struct kyneta_store_error error;

	if (link == NULL)
		return fail(address, "no memory");
	options.path = address;
	options.name = "bench";
	/* A daemon that goes away in the middle of a measurement is a failure, not a pause. */
	options.no_reconnect = true;
	if (kyneta_store_open(&options, &link->store, &error) != 0) {
		free(link);
		return fail(address, error.message);
	}
	link->base.backend = &backend_kyneta;
	link->base.fd = kyneta_store_fd(link->store);
	*out = &link->base;
	return 0;
}

static void kyneta_close(struct backend_link *base)
{
	struct kyneta_link *link = (struct kyneta_link *)base;

	kyneta_store_free(link->store);
	while (link->free != NULL) {
		struct kyneta_request *request = link->free;

		link->free = request->next;
		free(request);
	}
	free(link);
}

static struct kyneta_request *take_request(struct kyneta_link *link, void *token)
{
	struct kyneta_request *request = link->free;

	if (request != NULL)
		link->free = request->next;
	else
		request = malloc(sizeof(*request));
	if (request != NULL)
		*request = (struct kyneta_request){.link = link, .token = token};
	return request;
}

static void give_back(struct kyneta_request *request)
{
	request->next = request->link->free;
	request->link->free = request;
}

static void answered(void *context, const struct kyneta_store_answer *answer)
{
	struct kyneta_request *request = context;
	struct kyneta_link *link = request->link;
	void *token = request->token;
	uint64_t items = request->items;

	give_back(request);
	link->base.done(token, answer->error == NULL ? NULL : answer->error->message, items);
}

static bool count_record(void *context, const struct kyneta_store_record *record)
{
	struct kyneta_request *request = context;

	(void)record;
	request->items++;
	return true;
}

static bool count_id(void *context, const char *id, size_t id_size)
{
	struct kyneta_request *request = context;

	(void)id;
	(void)id_size;
	request->items++;
	return true;
}

static int kyneta_send(struct backend_link *base, const struct work_request *work, void *token)
{
	struct kyneta_link *link = (struct kyneta_link *)base;
	struct kyneta_request *request = take_request(link, token);
	struct kyneta_store_write write = KYNETA_STORE_WRITE_INIT;
	const char *id = (const char *)work->document.data;
	size_t id_size = work->document.size;
	kyneta_store *store = link->store;
	int code = KYNETA_STORE_EMEMORY;

	write.durability = work->durability;
	if (request == NULL)
		return fail("cannot send", "no memory");
	switch (work->operation) {
	case WORK_APPEND:
		code =
		    kyneta_store_send_append(store, id, id_size, work->records, work->count, &write, answered, request);
		break;
	case WORK_REPLACE:
		code = kyneta_store_send_replace(store, id, id_size, work->records, work->count, &write, answered,
						 request);
		break;
	case WORK_LOAD:
		code = kyneta_store_send_load_all(store, id, id_size, count_record, answered, request, NULL);
		break;
	case WORK_META:
		code = kyneta_store_send_current_meta(store, id, id_size, answered, request);
		break;
	case WORK_LIST:
		code = kyneta_store_send_list_doc_ids(store, id, id_size, count_id, answered, request, NULL);
		break;
	case WORK_OPERATIONS:
		break;
	}
	if (code == 0)
		return 0;
	give_back(request);
	return fail("cannot send", kyneta_store_error_name(code));
}

static int kyneta_push(struct backend_link *base)
{
	kyneta_store_push(((struct kyneta_link *)base)->store);
	return 0;
}

/* The handle's descriptor says by itself when there is something to do. */
static short kyneta_events(const struct backend_link *base)
{
	(void)base;
	return POLLIN;
}

static int kyneta_process(struct backend_link *base)
{
	int code = kyneta_store_process(((struct kyneta_link *)base)->store);

	return code == 0 ? 0 : fail("the daemon", kyneta_store_error_name(code));
}

const struct backend backend_kyneta = {
    .name = "kyneta",
    .operations = (1u << WORK_OPERATIONS) - 1,
    .reset = kyneta_reset,
    .open = kyneta_open,
    .close = kyneta_close,
    .send = kyneta_send,
    .push = kyneta_push,
    .events = kyneta_events,
    .process = kyneta_process,
};
