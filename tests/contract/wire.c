#include "tests/contract/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_SIZE (256 * 1024)

void wire_connect(struct wire *wire, const struct stored *of)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = HARNESS_PATIENCE_MS / 1000};

	*wire = (struct wire){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	strcpy(address.sun_path, of->socket);
	cr_assert_eq(connect(wire->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	setsockopt(wire->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(wire->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

void wire_close(struct wire *wire)
{
	close(wire->fd);
	buffer_free(&wire->in);
	free(wire->operations);
}

void wire_leave(struct wire *wire)
{
	struct reply reply;

	shutdown(wire->fd, SHUT_WR);
	while (wire_next(wire, &reply))
		;
	wire_close(wire);
}

/* ---- asking ---- */

void wire_bytes(struct wire *wire, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t sent = send(wire->fd, at, size, MSG_NOSIGNAL);

		cr_assert_gt(sent, 0, "sending: %s", strerror(errno));
		at += sent;
		size -= (size_t)sent;
	}
}

size_t wire_try_bytes(struct wire *wire, const void *data, size_t size)
{
	ssize_t sent = send(wire->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

	cr_assert(sent >= 0 || errno == EAGAIN, "sending: %s", strerror(errno));
	return sent < 0 ? 0 : (size_t)sent;
}

static void remember(struct wire *wire, uint64_t id, uint64_t operation)
{
	if (id >= wire->operations_count) {
		size_t count = (size_t)id * 2 + 64;

		wire->operations = realloc(wire->operations, count * sizeof(*wire->operations));
		cr_assert_not_null(wire->operations);
		memset(wire->operations + wire->operations_count, 0,
		       (count - wire->operations_count) * sizeof(*wire->operations));
		wire->operations_count = count;
	}
	wire->operations[id] = operation;
}

void wire_encode(struct wire *wire, struct buffer *out, const struct request *request, const struct record *records,
		 size_t count)
{
	remember(wire, request->id, request->operation);
	request_encode(out, request, records, count);
	cr_assert(!out->failed);
}

void wire_ask(struct wire *wire, const struct request *request, const struct record *records, size_t count)
{
	struct buffer out = BUFFER_EMPTY;

	wire_encode(wire, &out, request, records, count);
	wire_bytes(wire, out.data, out.size);
	buffer_free(&out);
}

struct request request_of(uint64_t id, enum operation operation, struct span document)
{
	return (struct request){
	    .id = id, .operation = (uint64_t)operation, .document = document, .durability = DURABILITY_DEFAULT};
}

void wire_append(struct wire *wire, uint64_t id, struct span document, struct record record)
{
	struct request request = request_of(id, OPERATION_APPEND, document);

	wire_ask(wire, &request, &record, 1);
}

void wire_simple(struct wire *wire, uint64_t id, enum operation operation, struct span document)
{
	struct request request = request_of(id, operation, document);

	wire_ask(wire, &request, NULL, 0);
}

/* ---- answers ---- */

/* A whole frame from the front of what was received; SPAN_NONE: not there yet. */
static struct span whole_frame(const struct wire *wire)
{
	const uint8_t *start = wire->in.data == NULL ? NULL : wire->in.data + wire->taken;
	size_t have = wire->in.size - wire->taken, length;

	if (have < FRAME_HEADER_SIZE)
		return SPAN_NONE;
	length = frame_length(start);
	return have - FRAME_HEADER_SIZE < length ? SPAN_NONE : span_of(start + FRAME_HEADER_SIZE, length);
}

/* False: the end. */
static bool receive(struct wire *wire)
{
	ssize_t got;

	if (wire->taken > 0) {
		memmove(wire->in.data, wire->in.data + wire->taken, wire->in.size - wire->taken);
		wire->in.size -= wire->taken;
		wire->taken = 0;
	}
	cr_assert(buffer_reserve(&wire->in, READ_SIZE));
	do {
		got = recv(wire->fd, wire->in.data + wire->in.size, READ_SIZE, 0);
	} while (got < 0 && errno == EINTR);
	/* A daemon that was killed with something unread resets the connection. */
	if (got < 0 && errno == ECONNRESET)
		got = 0;
	cr_assert_geq(got, 0, "receiving: %s", strerror(errno));
	wire->in.size += (size_t)got;
	return got > 0;
}

bool wire_next(struct wire *wire, struct reply *reply)
{
	uint64_t id = 0, code = 0, operation;
	struct span frame;

	while ((frame = whole_frame(wire)).size == 0)
		if (!receive(wire))
			return false;
	wire->taken += FRAME_HEADER_SIZE + frame.size;
	cr_assert_eq(reply_peek(frame, &id, &code), 0);
	cr_assert(id == 0 || id < wire->operations_count, "an answer to %llu, which was not asked",
		  (unsigned long long)id);
	operation = id == 0 ? 0 : wire->operations[id];
	cr_assert_eq(reply_decode(frame, operation, reply), 0, "a reply that cannot be decoded");
	return true;
}

bool wire_ended(struct wire *wire)
{
	struct reply reply;

	return !wire_next(wire, &reply);
}

struct reply wire_answer(struct wire *wire, uint64_t id)
{
	struct reply reply = {0};

	cr_assert(wire_next(wire, &reply), "the connection ended before %llu was answered", (unsigned long long)id);
	cr_assert_eq(reply.id, id, "%llu was answered (%llu), not %llu", (unsigned long long)reply.id,
		     (unsigned long long)reply.code, (unsigned long long)id);
	return reply;
}

/* ---- hello ---- */

struct hello hello_plain(void)
{
	return (struct hello){.lowest = PROTOCOL_VERSION, .highest = PROTOCOL_VERSION, .create = true};
}

struct hello hello_session(uint8_t session)
{
	static uint8_t sessions[256][SESSION_SIZE];
	struct hello hello = hello_plain();

	sessions[session][0] = session;
	hello.has_session = true;
	hello.session = span_of(sessions[session], SESSION_SIZE);
	return hello;
}

void wire_send_hello(struct wire *wire, const struct hello *hello)
{
	struct request request = request_of(HELLO_ID, OPERATION_HELLO, SPAN_NONE);

	request.hello = *hello;
	wire_ask(wire, &request, NULL, 0);
}

struct hello_reply wire_hello(struct wire *wire, const struct stored *of, const struct hello *hello)
{
	struct reply reply;

	wire_connect(wire, of);
	wire_send_hello(wire, hello);
	ANSWER(wire, HELLO_ID, 0);
	reply.hello.daemon = SPAN_NONE;
	return reply.hello;
}

struct hello_reply wire_enter(struct wire *wire, uint8_t session)
{
	struct hello hello = hello_session(session);

	return wire_hello(wire, &stored, &hello);
}

uint64_t wire_refused(const struct stored *of, const struct hello *hello)
{
	struct wire wire;
	struct reply reply;

	wire_connect(&wire, of);
	wire_send_hello(&wire, hello);
	reply = wire_answer(&wire, HELLO_ID);
	cr_assert_neq(reply.code, 0, "hello was accepted");
	cr_assert(wire_ended(&wire));
	wire_close(&wire);
	return reply.code;
}

bool reply_message_is(const struct reply *reply, const char *text)
{
	return span_equal(reply->message, span_of_string(text));
}
