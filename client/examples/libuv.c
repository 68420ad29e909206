/*
 * libuv: the non-blocking calls inside an event loop.
 *
 *     example-libuv [SOCKET]         without an argument: $KYNETA_STORE_SOCKET, or the default
 *
 * A handle needs two things of a loop: to be told when its descriptor is readable, and when its time is up. Both mean
 * "call kyneta_store_process()"; afterwards the time is asked for anew. That is all of struct bridge below, and any
 * loop will do.
 *
 * The program appends a number of entries to a document, all at once and without waiting for one another; when all are
 * answered it loads the document and counts them, then closes.
 */
#include <kyneta/store.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#define ENTRIES 100

static const char id[] = "example/libuv";
static const char meta[] = "{\"replicaType\":[\"plain\",1,0],\"syncMode\":{\"writerModel\":\"serialized\","
			   "\"delivery\":\"delta-capable\",\"durability\":\"persistent\"},\"schemaHash\":\"example\"}";

/* ---- a handle in a loop ---- */

struct bridge {
	uv_poll_t poll;
	uv_timer_t timer;
	kyneta_store *store;
};

static void turn(struct bridge *bridge);

static void on_readable(uv_poll_t *poll, int status, int events)
{
	(void)status; /* an error of the descriptor, too, is for process to find out */
	(void)events;
	turn(poll->data);
}

static void on_time(uv_timer_t *timer)
{
	turn(timer->data);
}

/* Let the handle work, then arrange for its next turn. */
static void turn(struct bridge *bridge)
{
	int timeout;

	if (kyneta_store_process(bridge->store) != 0)
		fprintf(stderr, "the store is gone\n"); /* every callback was called with the reason */
	timeout = kyneta_store_timeout(bridge->store);
	if (timeout >= 0)
		uv_timer_start(&bridge->timer, on_time, (uint64_t)timeout, 0);
	else
		uv_timer_stop(&bridge->timer);
}

static int bridge_start(struct bridge *bridge, uv_loop_t *loop, kyneta_store *store)
{
	int result;

	bridge->store = store;
	bridge->poll.data = bridge;
	bridge->timer.data = bridge;
	uv_timer_init(loop, &bridge->timer);
	result = uv_poll_init(loop, &bridge->poll, kyneta_store_fd(store));
	if (result == 0)
		result = uv_poll_start(&bridge->poll, UV_READABLE, on_readable);
	if (result == 0)
		result = uv_timer_start(&bridge->timer, on_time, 0, 0); /* the first turn connects */
	return result;
}

/* From here on the loop has nothing to do with the handle any more, and ends if that was all. */
static void bridge_stop(struct bridge *bridge)
{
	uv_close((uv_handle_t *)&bridge->poll, NULL);
	uv_close((uv_handle_t *)&bridge->timer, NULL);
}

/* ---- the program ---- */

struct program {
	struct bridge bridge;
	int unanswered;
	int failures;
	int loaded;
};

static bool succeeded(struct program *program, const char *what, const struct kyneta_store_answer *answer)
{
	if (answer->error == NULL)
		return true;
	fprintf(stderr, "%s: %s (%s)\n", what, answer->error->message, kyneta_store_error_name(answer->error->code));
	program->failures++;
	return false;
}

static void closed(void *context, const struct kyneta_store_answer *answer)
{
	struct program *program = context;

	if (succeeded(program, "close", answer))
		printf("closed\n");
	bridge_stop(&program->bridge);
}

static bool count_record(void *context, const struct kyneta_store_record *record)
{
	struct program *program = context;

	(void)record;
	program->loaded++;
	return true;
}

static void loaded(void *context, const struct kyneta_store_answer *answer)
{
	struct program *program = context;

	if (succeeded(program, "load", answer))
		printf("loaded %d records\n", program->loaded);
	if (program->loaded != ENTRIES + 1)
		program->failures++;
	if (kyneta_store_send_close(program->bridge.store, closed, program) != 0)
		bridge_stop(&program->bridge);
}

static void written(void *context, const struct kyneta_store_answer *answer)
{
	struct program *program = context;

	succeeded(program, "write", answer);
	if (--program->unanswered > 0)
		return;
	printf("all writes are answered\n");
	/* A callback may queue requests; the turn it runs in sends them. */
	if (kyneta_store_send_load_all(program->bridge.store, id, strlen(id), count_record, loaded, program, NULL) != 0)
		bridge_stop(&program->bridge);
}

/* Queue everything at once. Requests for one document take effect in this order. */
static void write_document(struct program *program)
{
	kyneta_store *store = program->bridge.store;
	struct kyneta_store_record record = {.type = KYNETA_STORE_META, .meta = meta, .meta_size = strlen(meta)};
	char version[16];

	program->unanswered += kyneta_store_send_delete(store, id, strlen(id), NULL, written, program) == 0;
	program->unanswered += kyneta_store_send_append(store, id, strlen(id), &record, 1, NULL, written, program) == 0;
	record = (struct kyneta_store_record){.type = KYNETA_STORE_ENTRY,
					      .kind = KYNETA_STORE_SINCE,
					      .encoding = KYNETA_STORE_BINARY,
					      .version = version,
					      .data = "\x01\x02\x03",
					      .data_size = 3};
	for (int i = 0; i < ENTRIES; i++) {
		record.version_size = (size_t)snprintf(version, sizeof(version), "%d", i);
		program->unanswered +=
		    kyneta_store_send_append(store, id, strlen(id), &record, 1, NULL, written, program) == 0;
	}
}

int main(int argc, char **argv)
{
	struct kyneta_store_options options = KYNETA_STORE_OPTIONS_INIT;
	struct kyneta_store_error error;
	struct program program = {.failures = 0};
	kyneta_store *store;

	options.path = argc > 1 ? argv[1] : NULL;
	options.name = "example-libuv";
	options.deadline_ms = 5000;
	if (kyneta_store_new(&options, &store, &error) != 0) {
		fprintf(stderr, "%s\n", error.message);
		return 1;
	}
	if (bridge_start(&program.bridge, uv_default_loop(), store) != 0)
		return 1;
	write_document(&program);
	uv_run(uv_default_loop(), UV_RUN_DEFAULT);
	uv_loop_close(uv_default_loop());
	kyneta_store_free(store);
	return program.failures > 0 || program.loaded != ENTRIES + 1;
}
