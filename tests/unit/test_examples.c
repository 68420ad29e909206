/*
 * examples: the messages of PROTOCOL.md, byte by byte, are what this code reads and writes.
 *
 * A line "A> what" begins a message from a client, "A< what" one from the daemon; A names the connection. Hex follows,
 * "#" begins a comment, "=>" ends the message.
 */
#include "protocol/frame.h"
#include "protocol/message.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define REQUESTS_MAX 256

struct asked {
	char connection;
	uint64_t id, operation;
};

static struct asked asked[REQUESTS_MAX];
static size_t asked_count;
static unsigned requests, replies, unasked, no_messages;

/* What the reply to @id on @connection was asked by; the last one counts (a client may come back). */
static uint64_t operation_of(char connection, uint64_t id)
{
	for (size_t i = asked_count; i > 0; i--) {
		if (asked[i - 1].connection == connection && asked[i - 1].id == id)
			return asked[i - 1].operation;
	}
	cr_assert_fail("a reply %lu on %c that nobody asked for", (unsigned long)id, connection);
	return 0;
}

/* A request that was taken means the same when it is written again. */
static void expect_same_again(const struct request *request)
{
	struct record_iterator iterator = record_list_start(&request->records);
	struct record *records = calloc((size_t)request->records.count + 1, sizeof(*records));
	struct buffer out = BUFFER_EMPTY;
	struct request again;
	const char *reason;

	cr_assert_not_null(records);
	for (uint32_t i = 0; i < request->records.count; i++)
		cr_assert(record_list_next(&iterator, &records[i]));
	request_encode(&out, request, records, request->records.count);
	cr_assert_eq(
	    request_decode(span_of(out.data + FRAME_HEADER_SIZE, out.size - FRAME_HEADER_SIZE), &again, &reason), 0);
	cr_assert(again.id == request->id && again.operation == request->operation);
	cr_assert(span_equal(again.document, request->document) && span_equal(again.prefix, request->prefix));
	cr_assert(span_equal(again.cursor, request->cursor) && again.limit == request->limit);
	cr_assert(again.durability == request->durability && again.has_expect == request->has_expect);
	cr_assert(span_equal(again.records.packed, request->records.packed));
	buffer_free(&out);
	free(records);
}

static void read_request(char connection, struct span body)
{
	struct request request;
	const char *reason;
	int code = request_decode(body, &request, &reason);

	if (code == ERROR_MALFORMED) {
		no_messages++;
		return;
	}
	cr_assert_lt(asked_count, REQUESTS_MAX);
	asked[asked_count++] = (struct asked){connection, request.id, request.operation};
	requests++;
	if (code == 0)
		expect_same_again(&request);
}

static void read_reply(char connection, struct span body)
{
	struct reply reply;
	uint64_t id, code;

	cr_assert_eq(reply_peek(body, &id, &code), 0);
	cr_assert_eq(reply_decode(body, id == 0 ? OPERATION_PING : operation_of(connection, id), &reply), 0,
		     "reply %lu on %c", (unsigned long)id, connection);
	replies++;
	unasked += id == 0;
}

static void read_frame(char connection, char direction, const struct buffer *bytes)
{
	struct span body;

	cr_assert_geq(bytes->size, FRAME_HEADER_SIZE);
	body = span_of(bytes->data + FRAME_HEADER_SIZE, bytes->size - FRAME_HEADER_SIZE);
	if (frame_length(bytes->data) != body.size) {
		cr_assert_eq(direction, '>', "only a client sends lengths that are wrong");
		no_messages++;
		return;
	}
	if (direction == '>')
		read_request(connection, body);
	else
		read_reply(connection, body);
}

static void read_hex(const char *line, struct buffer *bytes)
{
	char *end;

	for (;;) {
		while (*line == ' ')
			line++;
		if (!isxdigit((unsigned char)*line))
			return;
		buffer_append_byte(bytes, (uint8_t)strtoul(line, &end, 16));
		cr_assert_eq(end - line, 2, "%s", line);
		line = end;
	}
}

static bool begins_message(const char *line)
{
	return (isupper((unsigned char)line[0]) || line[0] == '-') && (line[1] == '>' || line[1] == '<') &&
	       (line[2] == ' ' || line[2] == '\n');
}

Test(examples, are_read)
{
	FILE *file = fopen(SOURCE_ROOT "/protocol/PROTOCOL.md", "r");
	struct buffer bytes = BUFFER_EMPTY;
	char connection = 0, direction = 0, *line = NULL;
	bool in_example = false;
	size_t size = 0;

	cr_assert_not_null(file);
	while (getline(&line, &size, file) > 0) {
		if (strncmp(line, "```", 3) == 0) {
			in_example = strcmp(line, "```example\n") == 0;
		} else if (in_example && begins_message(line)) {
			connection = line[0];
			direction = line[1];
			buffer_reset(&bytes);
		} else if (in_example && strncmp(line, "=>", 2) == 0) {
			read_frame(connection, direction, &bytes);
			direction = 0;
		} else if (in_example && direction != 0) {
			read_hex(line, &bytes);
		}
	}
	free(line);
	fclose(file);
	buffer_free(&bytes);
	cr_expect_geq(requests, 25);
	cr_expect_geq(replies, 25);
	cr_expect_geq(unasked, 3);
	cr_expect_geq(no_messages, 2);
}
