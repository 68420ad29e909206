/*
 * wire: a client that says what the library never would, frame by frame.
 *
 * Requests are built with the protocol's own encoders and may be sent before anything is read. Replies are taken one by
 * one; each is decoded as the answer to what was asked under its id, and is valid until the next is taken.
 */
#ifndef KYNETA_TESTS_CONTRACT_WIRE_H
#define KYNETA_TESTS_CONTRACT_WIRE_H

#include "protocol/frame.h"
#include "protocol/message.h"
#include "tests/contract/harness.h"

struct wire {
	int fd;
	struct buffer in; /* received; the frame handed out last begins at taken - frame_size */
	size_t taken;
	uint64_t *operations; /* asked, by id */
	size_t operations_count;
};

/* wire_connect(wire, stored) - without a word. */
void wire_connect(struct wire *wire, const struct stored *stored);

/* wire_hello(wire, stored, hello) - connect and say hello; it must be accepted. The name in the reply is gone. */
struct hello_reply wire_hello(struct wire *wire, const struct stored *stored, const struct hello *hello);

/* wire_enter(wire, session) - the same, on the default store of `stored` in this session (hello_session). */
struct hello_reply wire_enter(struct wire *wire, uint8_t session);

/* wire_refused(stored, hello) - connect, say hello, and expect an error and the end of the connection: its code. */
uint64_t wire_refused(const struct stored *stored, const struct hello *hello);

void wire_close(struct wire *wire);

/* wire_leave(wire) - say that nothing more comes, and wait until the daemon has closed the connection. */
void wire_leave(struct wire *wire);

/* wire_bytes(wire, data, size) - send these; waits while the daemon does not read. */
void wire_bytes(struct wire *wire, const void *data, size_t size);

/* wire_try_bytes(wire, data, size) - send what fits, without waiting; returns how much. */
size_t wire_try_bytes(struct wire *wire, const void *data, size_t size);

/* wire_send_hello(wire, hello) - only ask. */
void wire_send_hello(struct wire *wire, const struct hello *hello);

/* wire_ask(wire, request, records, count) - send a request. */
void wire_ask(struct wire *wire, const struct request *request, const struct record *records, size_t count);

/* wire_encode(wire, out, request, records, count) - the same, but into @out. */
void wire_encode(struct wire *wire, struct buffer *out, const struct request *request, const struct record *records,
		 size_t count);

/* wire_next(wire, reply) - the next frame; false at the end of the connection. */
bool wire_next(struct wire *wire, struct reply *reply);

/* wire_ended(wire) - the next thing is the end of the connection. */
bool wire_ended(struct wire *wire);

/* wire_answer(wire, id) - the next frame, which must be the answer to @id. */
struct reply wire_answer(struct wire *wire, uint64_t id);

/* hello_with(…) - a hello to the default store; @session NULL: none, else its first byte, the rest are zero. */
struct hello hello_plain(void);
struct hello hello_session(uint8_t session);

/* Requests. */
struct request request_of(uint64_t id, enum operation operation, struct span document);

/* Records. */
static inline struct record wire_meta(const char *json)
{
	return (struct record){.type = RECORD_META, .meta = span_of_string(json)};
}

static inline struct record wire_entry(const char *version, struct span data)
{
	return (struct record){.type = RECORD_ENTRY,
			       .kind = ENTRY_SINCE,
			       .version = span_of_string(version),
			       .data = data,
			       .data_is_text = true};
}

/* wire_append(wire, id, document, record) - ask for an append of one record. */
void wire_append(struct wire *wire, uint64_t id, struct span document, struct record record);

/* wire_simple(wire, id, operation, document) - ask for anything that takes no more than a document. */
void wire_simple(struct wire *wire, uint64_t id, enum operation operation, struct span document);

/* reply_message_is(reply, text) */
bool reply_message_is(const struct reply *reply, const char *text);

/* ANSWER(wire, id, code): the next frame answers @id with @code; the reply is in `reply`, which must be there. */
#define ANSWER(wire, id, wanted)                                                                                       \
	do {                                                                                                           \
		reply = wire_answer(wire, id);                                                                         \
		cr_assert_eq(reply.code, wanted, "%llu: code %llu: %.*s", (unsigned long long)(id),                    \
			     (unsigned long long)reply.code, (int)reply.message.size,                                  \
			     (const char *)reply.message.data);                                                        \
	} while (0)

#endif
