/*
 * Redis: each document a stream, each record an entry of it (XADD), pipelined; metadata a key beside it (backend.h).
 *
 * Whether an answer means fsynced is the server's configuration: appendfsync always or everysec.
 */
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/backend.h"
#include "tests/bench/payload.h"

/* Replies come in the order of the commands: a ring of who waits for them. */
struct waiting {
	void *token;
	bool last; /* of its request's commands */
};

struct redis_link {
	struct backend_link base;
	redisContext *context;
	struct waiting *ring; /* capacity is a power of two */
	size_t capacity, head, tail;
	bool unsent;
	struct buffer key, payload;
};

static int fail(const char *what, const char *reason)
{
	fprintf(stderr, "kyneta-store-bench: Redis: %s: %s\n", what, reason);
	return -1;
}

static redisContext *connect_server(const char *address)
{
	redisContext *context = redisConnectUnix(address);

	if (context != NULL && context->err == 0)
		return context;
	fail(address, context == NULL ? "no memory" : context->errstr);
	if (context != NULL)
		redisFree(context);
	return NULL;
}

static int redis_reset(const char *address)
{
	redisContext *context = connect_server(address);
	redisReply *reply;
	int failed = -1;

	if (context == NULL)
		return -1;
	reply = redisCommand(context, "FLUSHALL SYNC");
	if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
		fail("FLUSHALL", reply == NULL ? context->errstr : reply->str);
	else
		failed = 0;
	if (reply != NULL)
		freeReplyObject(reply);
	redisFree(context);
	return failed;
}

static int redis_open(const char *address, struct backend_link **out)
{
	struct redis_link *link = calloc(1, sizeof(*link));

	if (link == NULL)
		return fail(address, "no memory");
	link->context = connect_server(address);
	if (link->context == NULL) {
		free(link);
		return -1;
	}
	link->base = (struct backend_link){.backend = &backend_redis, .fd = link->context->fd};
	fcntl(link->base.fd, F_SETFL, fcntl(link->base.fd, F_GETFL) | O_NONBLOCK);
	link->context->flags &= ~REDIS_BLOCK;
	*out = &link->base;
	return 0;
}

static void redis_close(struct backend_link *base)
{
	struct redis_link *link = (struct redis_link *)base;

	redisFree(link->context);
	free(link->ring);
	buffer_free(&link->key);
	buffer_free(&link->payload);
	free(link);
}

/* ---- sending ---- */

static int wait_for_reply(struct redis_link *link, void *token, bool last)
{
	if (link->tail - link->head == link->capacity) {
		size_t capacity = link->capacity == 0 ? 64 : link->capacity * 2;
		struct waiting *ring = calloc(capacity, sizeof(*ring));

		if (ring == NULL)
			return fail("send", "no memory");
		for (size_t i = link->head; i != link->tail; i++)
			ring[i & (capacity - 1)] = link->ring[i & (link->capacity - 1)];
		free(link->ring);
		link->ring = ring;
		link->capacity = capacity;
	}
	link->ring[link->tail++ & (link->capacity - 1)] = (struct waiting){token, last};
	return 0;
}

static int command(struct redis_link *link, int count, const char **words, const size_t *sizes, void *token, bool last)
{
	if (redisAppendCommandArgv(link->context, count, words, sizes) != REDIS_OK)
		return fail("send", link->context->errstr);
	link->unsent = true;
	return wait_for_reply(link, token, last);
}

/* "meta:" and the document. */
static struct span meta_key(struct redis_link *link, struct span document)
{
	buffer_reset(&link->key);
	buffer_append(&link->key, "meta:", 5);
	buffer_append(&link->key, document.data, document.size);
	return buffer_span(&link->key);
}

static int add_record(struct redis_link *link, struct span document, const struct kyneta_store_record *record,
		      void *token, bool last)
{
	/* p: everything about the record but its bytes, as the daemon stores it. */
	const char *words[] = {"XADD", (const char *)document.data, "*", "p", NULL, "d", record->data};
	size_t sizes[] = {4, document.size, 1, 1, 0, 1, record->data_size};
	struct span key;

	buffer_reset(&link->payload);
	payload_write(&link->payload, record);
	words[4] = (const char *)link->payload.data;
	sizes[4] = link->payload.size;
	if (record->type == KYNETA_STORE_META) {
		key = meta_key(link, document);
		const char *set[] = {"SET", (const char *)key.data, record->meta};
		const size_t set_sizes[] = {3, key.size, record->meta_size};

		if (command(link, 3, set, set_sizes, token, false) != 0)
			return -1;
	}
	return command(link, record->type == KYNETA_STORE_META || record->data_is_text ? 5 : 7, words, sizes, token,
		       last);
}

static int redis_send(struct backend_link *base, const struct work_request *request, void *token)
{
	struct redis_link *link = (struct redis_link *)base;

	if (request->operation == WORK_META) {
		struct span key = meta_key(link, request->document);
		const char *words[] = {"GET", (const char *)key.data};
		const size_t sizes[] = {3, key.size};

		return command(link, 2, words, sizes, token, true);
	}
	for (size_t i = 0; i < request->count; i++)
		if (add_record(link, request->document, &request->records[i], token, i + 1 == request->count) != 0)
			return -1;
	return 0;
}

static int redis_push(struct backend_link *base)
{
	struct redis_link *link = (struct redis_link *)base;
	int done = 0;

	if (!link->unsent)
		return 0;
	if (redisBufferWrite(link->context, &done) != REDIS_OK)
		return fail("write", link->context->errstr);
	link->unsent = !done;
	return 0;
}

static short redis_events(const struct backend_link *base)
{
	return ((const struct redis_link *)base)->unsent ? POLLIN | POLLOUT : POLLIN;
}

/* ---- receiving ---- */

static void take_reply(struct redis_link *link, const redisReply *reply)
{
	struct waiting waiting = link->ring[link->head++ & (link->capacity - 1)];
	const char *problem = reply->type == REDIS_REPLY_ERROR ? reply->str : NULL;

	if (waiting.last || problem != NULL)
		link->base.done(waiting.token, problem, 0);
}

static int redis_process(struct backend_link *base)
{
	struct redis_link *link = (struct redis_link *)base;
	void *reply = NULL;

	if (redis_push(base) != 0)
		return -1;
	if (redisBufferRead(link->context) != REDIS_OK)
		return fail("read", link->context->errstr);
	for (;;) {
		if (redisReaderGetReply(link->context->reader, &reply) != REDIS_OK)
			return fail("read", link->context->reader->errstr);
		if (reply == NULL)
			return 0;
		take_reply(link, reply);
		freeReplyObject(reply);
	}
}

const struct backend backend_redis = {
    .name = "redis",
    .operations = 1u << WORK_APPEND | 1u << WORK_META,
    .reset = redis_reset,
    .open = redis_open,
    .close = redis_close,
    .send = redis_send,
    .push = redis_push,
    .events = redis_events,
    .process = redis_process,
};
