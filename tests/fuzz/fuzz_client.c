/*
 * client: the client library with calls of every kind in flight, and a daemon that answers with any bytes at all.
 *
 * The first byte says which calls are made, the second in what pieces the rest comes; then the daemon is gone. Each
 * call is answered once; the records and ids of streams are good ones, of the bytes that came, and come only before
 * their answer; what the library holds is justified by what came; and then the handle has ended, with a reason.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <kyneta/store.h>

#include "protocol/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "tests/inside/inside.h"

#define INPUT_MAX  65536 /* fits into a socket */
#define PIECES_MAX 16
#define CALLS_MAX  16

/* Bits of the first byte. */
#define PAUSES	    1 /* a stream pauses after its first item */
#define STOPS	    2 /* … or wants no more */
#define NO_SESSION  4
#define CALLS_SHIFT 3 /* which calls: where to begin in the list */

static struct inside place; /* its folder; no daemon */
static int listener = -1;

struct call {
	bool made, answered;
	unsigned items;
	kyneta_store_stream *stream;
};

/* One run. */
struct run {
	kyneta_store *store;
	uint8_t how;
	struct call calls[CALLS_MAX];
	unsigned count;
	size_t item_bytes; /* of all streams */
	int ended;	   /* code of the error with which the handle ended */
};

/* ---- the other end ---- */

static void end_listener(void)
{
	close(listener);
	inside_remove(&place);
}

static void start_listener(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	inside_prepare(&place, NULL);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", place.socket);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(listener >= 0 && bind(listener, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
		 listen(listener, 1) == 0,
	     "%s", strerror(errno));
	atexit(end_listener);
}

/* ---- answers ---- */

static struct call *call_of(struct run *run, const void *context)
{
	struct call *call = &run->calls[(const struct call *)context - run->calls];

	MUST(call->made && !call->answered, "call %td is answered twice, or was never made", call - run->calls);
	return call;
}

static struct run *current;

static void answered(void *context, const struct kyneta_store_answer *answer)
{
	struct call *call = call_of(current, context);
	const struct kyneta_store_error *error = answer->error;

	call->answered = true;
	call->stream = NULL;
	if (error != NULL) {
		MUST(error->code > 0 && error->outcome >= KYNETA_STORE_NO_OUTCOME &&
			 error->outcome <= KYNETA_STORE_UNKNOWN,
		     "code %d, outcome %d", error->code, error->outcome);
		MUST(strlen(error->message) < sizeof(error->message) && utf8_valid(span_of_string(error->message)) &&
			 strlen(error->detail) < sizeof(error->detail),
		     "its message");
		return;
	}
	MUST(answer->meta == NULL || utf8_valid(span_of(answer->meta, answer->meta_size)),
	     "metadata that is not UTF-8");
}

static bool item(struct call *call, size_t size)
{
	call->items++;
	current->item_bytes += size;
	if ((current->how & PAUSES) != 0 && call->items == 1 && call->stream != NULL)
		kyneta_store_stream_pause(call->stream);
	return (current->how & STOPS) == 0;
}

static bool take_record(void *context, const struct kyneta_store_record *record)
{
	MUST(record->type == KYNETA_STORE_META || record->type == KYNETA_STORE_ENTRY, "type %d", record->type);
	MUST(utf8_valid(span_of(record->meta, record->meta_size)) &&
		 utf8_valid(span_of(record->version, record->version_size)) &&
		 utf8_valid(span_of(record->lineage, record->lineage_size)),
	     "a text that is not UTF-8");
	MUST(!record->data_is_text || utf8_valid(span_of(record->data, record->data_size)), "data that is not UTF-8");
	return item(call_of(current, context),
		    record->meta_size + record->version_size + record->data_size + record->lineage_size);
}

static bool take_id(void *context, const char *id, size_t size)
{
	MUST(utf8_valid(span_of(id, size)), "an id that is not UTF-8");
	return item(call_of(current, context), size);
}

static void state_changed(void *context, int state, const struct kyneta_store_error *error)
{
	struct run *run = context;

	if (state == KYNETA_STORE_CLOSED)
		run->ended = error == NULL ? -1 : error->code;
}

/* ---- calls ---- */

static int make(struct run *run, struct call *call, unsigned kind)
{
	static const struct kyneta_store_record record = {
	    .type = KYNETA_STORE_ENTRY, .version = "v", .version_size = 1, .data = "d", .data_size = 1};
	kyneta_store *store = run->store;

	switch (kind % 9) {
	case 0:
		return kyneta_store_send_append(store, "a", 1, &record, 1, NULL, answered, call);
	case 1:
		return kyneta_store_send_load_all(store, "a", 1, take_record, answered, call, &call->stream);
	case 2:
		return kyneta_store_send_list_doc_ids(store, "p", 1, take_id, answered, call, &call->stream);
	case 3:
		return kyneta_store_send_current_meta(store, "a", 1, answered, call);
	case 4:
		return kyneta_store_send_replace(store, "b", 1, &record, 1, NULL, answered, call);
	case 5:
		return kyneta_store_send_delete(store, "b", 1, NULL, answered, call);
	case 6:
		return kyneta_store_send_resume(store, answered, call);
	case 7:
		return kyneta_store_send_sync(store, answered, call);
	default:
		return kyneta_store_send_ping(store, answered, call);
	}
}

static void make_calls(struct run *run)
{
	for (; run->count < CALLS_MAX; run->count++) {
		struct call *call = &run->calls[run->count];

		call->made = true;
		MUST(make(run, call, run->count + (run->how >> CALLS_SHIFT)) == 0, "call %u", run->count);
	}
}

/* ---- a run ---- */

static void begin(struct run *run)
{
	struct kyneta_store_options options = KYNETA_STORE_OPTIONS_INIT;

	options.path = place.socket;
	options.no_session = (run->how & NO_SESSION) != 0;
	options.no_reconnect = true;
	options.load_hold_bytes = 512;
	options.state = state_changed;
	options.state_context = run;
	MUST(kyneta_store_new(&options, &run->store, NULL) == 0, "no handle");
	make_calls(run);
	MUST(kyneta_store_process(run->store) == 0, "it cannot connect");
}

/* Everything that has come is taken, and every paused stream goes on. */
static void process(struct run *run)
{
	for (unsigned i = 0; i < CALLS_MAX; i++) {
		if (run->calls[i].stream != NULL && run->calls[i].items > 0)
			kyneta_store_stream_continue(run->calls[i].stream);
	}
	kyneta_store_process(run->store);
}

static void feed(struct run *run, int fd, struct span input, size_t piece)
{
	if (piece == 0 || input.size / piece > PIECES_MAX)
		piece = input.size / PIECES_MAX + 1;
	while (input.size > 0 && run->ended == 0) {
		struct span part = cut_bytes(&input, piece);
		ssize_t sent = send(fd, part.data, part.size, MSG_NOSIGNAL);

		MUST(sent == (ssize_t)part.size || (sent < 0 && errno == EPIPE), "%s", strerror(errno));
		process(run);
	}
}

/* Without a daemon the handle ends, as soon as its streams have gone on to their end. */
static void finish(struct run *run)
{
	struct kyneta_store_status status;

	for (unsigned i = 0; i < INPUT_MAX && run->ended == 0; i++)
		process(run);
	MUST(run->ended > 0, "it ended with %d", run->ended);
	kyneta_store_process(run->store);
	kyneta_store_get_status(run->store, &status);
	MUST(status.state == KYNETA_STORE_CLOSED && status.layout >= 0 && status.layout <= 2, "state %d, layout %d",
	     status.state, status.layout);
	kyneta_store_free(run->store);
	for (unsigned i = 0; i < run->count; i++)
		MUST(run->calls[i].answered, "call %u has no answer", i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size < INPUT_MAX ? size : INPUT_MAX);
	struct run run = {.how = cut_byte(&input)};
	size_t piece = cut_byte(&input);
	int fd;

	if (listener < 0)
		start_listener();
	current = &run;
	begin(&run);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	MUST(fd >= 0, "%s", strerror(errno));
	feed(&run, fd, input, piece);
	close(fd);
	finish(&run);
	MUST(run.item_bytes <= size, "%zu bytes of records and ids from %zu", run.item_bytes, size);
	return 0;
}
