/*
 * client_fake: a daemon that does what the test says, step by step, in the test's own thread.
 *
 * The client never blocks, so a test plays both sides by turns: queue calls, let the client have its turn, look at what
 * arrived, answer, let the client have its turn. Nothing depends on time.
 */
#ifndef KYNETA_TESTS_UNIT_CLIENT_FAKE_H
#define KYNETA_TESTS_UNIT_CLIENT_FAKE_H

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "client/include/kyneta/store.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "tests/unit/scratch.h"

struct fake {
	char folder[SCRATCH_SIZE];
	char path[SCRATCH_SIZE + 8];
	int listener;
	int connection;
	struct buffer in;
	size_t taken;
	struct buffer out;
	/* what hello is answered with */
	struct hello_reply hello;
	uint8_t session[SESSION_SIZE]; /* of the last hello */
	bool has_session;
};

static inline void fake_listen(struct fake *fake)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memcpy(address.sun_path, fake->path, strlen(fake->path));
	fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cr_assert_geq(fake->listener, 0);
	cr_assert_eq(bind(fake->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(fake->listener, 16), 0);
}

/* The daemon goes away: nobody listens. fake_listen() brings it back. */
static inline void fake_unlisten(struct fake *fake)
{
	close(fake->listener);
	unlink(fake->path);
	fake->listener = -1;
}

static inline void fake_start(struct fake *fake)
{
	memset(fake, 0, sizeof(*fake));
	scratch_make(fake->folder);
	snprintf(fake->path, sizeof(fake->path), "%s/s", fake->folder);
	fake->connection = -1;
	fake->hello = (struct hello_reply){.version = 1,
					   .daemon = SPAN_LITERAL("fake"),
					   .layout = 2,
					   .frame_limit = FRAME_LIMIT_DEFAULT,
					   .in_flight_limit = 1024,
					   .page_limit = 1 << 20};
	fake_listen(fake);
}

/* The connection breaks. */
static inline void fake_cut(struct fake *fake)
{
	if (fake->connection >= 0)
		close(fake->connection);
	fake->connection = -1;
	buffer_reset(&fake->in);
	buffer_reset(&fake->out);
	fake->taken = 0;
}

static inline void fake_end(struct fake *fake)
{
	fake_cut(fake);
	if (fake->listener >= 0)
		close(fake->listener);
	buffer_free(&fake->in);
	buffer_free(&fake->out);
	scratch_remove(fake->folder);
}

static inline bool fake_try_accept(struct fake *fake)
{
	fake_cut(fake);
	fake->connection = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return fake->connection >= 0;
}

/* Read what is there. False at the end of the stream. */
static inline bool fake_read(struct fake *fake)
{
	ssize_t got;

	for (;;) {
		cr_assert(buffer_reserve(&fake->in, 65536));
		got = recv(fake->connection, fake->in.data + fake->in.size, 65536, MSG_DONTWAIT);
		if (got <= 0)
			return got < 0;
		fake->in.size += (size_t)got;
	}
}

/* The next whole request, if there is one. It points into fake->in. */
static inline bool fake_next(struct fake *fake, struct request *request)
{
	const char *reason = "";
	uint32_t length;

	fake_read(fake);
	if (fake->in.size - fake->taken < FRAME_HEADER_SIZE)
		return false;
	length = frame_length(fake->in.data + fake->taken);
	if (fake->in.size - fake->taken - FRAME_HEADER_SIZE < length)
		return false;
	cr_assert_eq(request_decode(span_of(fake->in.data + fake->taken + FRAME_HEADER_SIZE, length), request, &reason),
		     0, "%s", reason);
	fake->taken += FRAME_HEADER_SIZE + length;
	return true;
}

/* Exactly this request is next. */
static inline struct request fake_expect(struct fake *fake, enum operation operation, uint64_t id)
{
	struct request request;

	cr_assert(fake_next(fake, &request), "%s with id %lu did not come", operation_name(operation),
		  (unsigned long)id);
	cr_assert_eq(request.operation, (uint64_t)operation, "%s came instead of %s", operation_name(request.operation),
		     operation_name(operation));
	cr_assert_eq(request.id, id, "id %lu came instead of %lu", (unsigned long)request.id, (unsigned long)id);
	return request;
}

static inline void fake_expect_nothing(struct fake *fake)
{
	struct request request;

	cr_assert(!fake_next(fake, &request), "%s with id %lu came unexpectedly", operation_name(request.operation),
		  (unsigned long)request.id);
}

/* Send what was encoded into fake->out; to nobody, if the client has left. */
static inline void fake_send(struct fake *fake)
{
	size_t sent = 0;
	ssize_t took;

	cr_assert(!fake->out.failed);
	while (sent < fake->out.size) {
		took = send(fake->connection, fake->out.data + sent, fake->out.size - sent, MSG_NOSIGNAL);
		if (took < 0 && (errno == EPIPE || errno == ECONNRESET))
			break;
		cr_assert_gt(took, 0, "the client's socket is full: let it read first");
		sent += (size_t)took;
	}
	buffer_reset(&fake->out);
}

static inline void fake_send_bytes(struct fake *fake, const void *bytes, size_t size)
{
	buffer_append(&fake->out, bytes, size);
	fake_send(fake);
}

/* Accept, and take the hello. */
static inline struct request fake_accept(struct fake *fake)
{
	struct request request;

	cr_assert(fake_try_accept(fake), "nobody connects");
	request = fake_expect(fake, OPERATION_HELLO, HELLO_ID);
	fake->has_session = request.hello.has_session;
	if (fake->has_session)
		memcpy(fake->session, request.hello.session.data, SESSION_SIZE);
	return request;
}

static inline void fake_greet(struct fake *fake)
{
	reply_encode_hello(&fake->out, HELLO_ID, &fake->hello);
	fake_send(fake);
}

/* ---- answers, each sent at once ---- */

static inline void fake_done(struct fake *fake, uint64_t id)
{
	reply_encode_empty(&fake->out, id);
	fake_send(fake);
}

static inline void fake_wrote(struct fake *fake, uint64_t id, uint64_t next)
{
	reply_encode_write(&fake->out, id, (struct position){1, next}, false);
	fake_send(fake);
}

static inline void fake_duplicate(struct fake *fake, uint64_t id)
{
	reply_encode_write(&fake->out, id, (struct position){1, 0}, true);
	fake_send(fake);
}

static inline void fake_refuse(struct fake *fake, uint64_t id, uint64_t code, enum error_outcome outcome)
{
	reply_encode_error(&fake->out, id, code, span_of_string(error_name(code)), outcome, NULL);
	fake_send(fake);
}

static inline void fake_drain(struct fake *fake)
{
	reply_encode_event(&fake->out, EVENT_DRAINING);
	fake_send(fake);
}

/* ---- the client's side ---- */

/* What became of calls: one per call, or one for several. */
struct outcome {
	int calls;
	int code; /* of the last */
	int outcome;
	bool duplicate;
	uint64_t next;
	struct kyneta_store_error error;
	char meta[64];
};

static inline void outcome_done(void *context, const struct kyneta_store_answer *answer)
{
	struct outcome *outcome = context;

	outcome->calls++;
	outcome->code = answer->error != NULL ? answer->error->code : 0;
	outcome->outcome = answer->error != NULL ? answer->error->outcome : KYNETA_STORE_NO_OUTCOME;
	outcome->duplicate = answer->duplicate;
	outcome->next = answer->at.next;
	if (answer->error != NULL)
		outcome->error = *answer->error;
	if (answer->meta != NULL && answer->meta_size < sizeof(outcome->meta))
		memcpy(outcome->meta, answer->meta, answer->meta_size);
}

/* What the state callback was told. */
struct states {
	int count;
	int state[32];
	int code[32];
};

static inline void note_state(void *context, int state, const struct kyneta_store_error *error)
{
	struct states *states = context;

	if (states->count < 32) {
		states->state[states->count] = state;
		states->code[states->count] = error != NULL ? error->code : 0;
	}
	states->count++;
}

#define cr_assert_outcome(got, want_code, want_outcome)                                                                \
	do {                                                                                                           \
		cr_assert_eq((got).calls, 1, "%d callbacks", (got).calls);                                             \
		cr_assert_eq((got).code, (want_code), "code %d: %s", (got).code, (got).error.message);                 \
		cr_assert_eq((got).outcome, (want_outcome), "outcome %d", (got).outcome);                              \
	} while (0)
#define cr_assert_success(got) cr_assert_outcome(got, 0, KYNETA_STORE_NO_OUTCOME)

#define FAKE_META "{\"replicaType\":[\"plain\",1,0]}"

/* Options for a test: no time passes between attempts to connect. */
static inline struct kyneta_store_options fake_options(const struct fake *fake)
{
	struct kyneta_store_options options = KYNETA_STORE_OPTIONS_INIT;

	options.path = fake->path;
	options.backoff_base_ms = 0;
	options.backoff_max_ms = 0;
	return options;
}

static inline kyneta_store *client_new(const struct kyneta_store_options *options)
{
	struct kyneta_store_error error;
	kyneta_store *store = NULL;

	cr_assert_eq(kyneta_store_new(options, &store, &error), 0, "%s", error.message);
	return store;
}

/* A handle that has said hello and was greeted. */
static inline kyneta_store *client_ready(struct fake *fake, const struct kyneta_store_options *options)
{
	struct kyneta_store_options defaults = fake_options(fake);
	kyneta_store *store = client_new(options != NULL ? options : &defaults);

	kyneta_store_process(store);
	fake_accept(fake);
	fake_greet(fake);
	kyneta_store_process(store);
	return store;
}

/* The connection breaks, and the client comes back. */
static inline void client_reconnect(struct fake *fake, kyneta_store *store)
{
	fake_cut(fake);
	kyneta_store_process(store); /* sees the end */
	kyneta_store_process(store); /* connects */
	fake_accept(fake);
	fake_greet(fake);
	kyneta_store_process(store);
}

static inline int send_entry(kyneta_store *store, const char *id, size_t data_size, struct outcome *outcome)
{
	struct kyneta_store_record record = {.type = KYNETA_STORE_ENTRY,
					     .kind = KYNETA_STORE_SINCE,
					     .encoding = KYNETA_STORE_BINARY,
					     .version = "v",
					     .version_size = 1,
					     .data_size = data_size};
	uint8_t *data = calloc(1, data_size + 1);
	int code;

	record.data = data;
	code = kyneta_store_send_append(store, id, strlen(id), &record, 1, NULL, outcome_done, outcome);
	free(data);
	return code;
}

/* An append of a small entry; it must be taken. */
static inline void client_append(kyneta_store *store, const char *id, struct outcome *outcome)
{
	cr_assert_eq(send_entry(store, id, 3, outcome), 0);
}

static inline struct kyneta_store_status client_status(const kyneta_store *store)
{
	struct kyneta_store_status status;

	kyneta_store_get_status(store, &status);
	return status;
}

#endif
