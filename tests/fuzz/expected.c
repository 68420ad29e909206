#include "tests/fuzz/expected.h"

#include "protocol/frame.h"

static void add(struct expected *expected, const struct request *request, int code)
{
	expected->replies[expected->count++] =
	    (struct expected_reply){.id = request->id, .operation = request->operation, .code = code};
}

/* The first request. False: the connection ends with it. */
static bool add_hello(struct expected *expected, const struct request *request, int code)
{
	const struct hello *hello = &request->hello;
	bool speaks_others = hello->lowest > 0 && hello->highest >= hello->lowest &&
			     (hello->lowest > PROTOCOL_VERSION || hello->highest < PROTOCOL_VERSION);

	if (request->operation != OPERATION_HELLO)
		code = ERROR_HELLO_EXPECTED;
	else if (speaks_others)
		code = ERROR_NO_COMMON_VERSION;
	add(expected, request, code == 0 ? EXPECTED_ANY : code);
	expected->has_hello = code == 0;
	expected->hello = *hello;
	return code == 0;
}

static int code_of(const struct expected *expected, const struct request *request, int code)
{
	if (operation_is_write(request->operation) && expected->hello.access == ACCESS_READ_ONLY)
		return ERROR_READ_ONLY;
	if (code != 0)
		return code;
	switch (request->operation) {
	case OPERATION_PING:
	case OPERATION_STATS:
	case OPERATION_SYNC:
	case OPERATION_RESUME:
	case OPERATION_CLOSE:
		return 0;
	default:
		return EXPECTED_ANY;
	}
}

/* Any other. False: the connection ends with it. */
static bool add_request(struct expected *expected, const struct request *request, int code, uint64_t *last_id)
{
	if (request->id == 0) {
		expected->end_code = ERROR_BAD_ARGUMENT;
		return false;
	}
	if (request->id <= *last_id) {
		add(expected, request, ERROR_BAD_ARGUMENT);
		return true;
	}
	*last_id = request->id;
	code = code_of(expected, request, code);
	add(expected, request, code);
	return code != 0 || request->operation != OPERATION_CLOSE;
}

void expected_read(struct expected *expected, struct span stream, size_t frame_limit)
{
	struct span input = stream;
	struct request request;
	uint64_t last_id = HELLO_ID;
	const char *reason;
	size_t length;
	bool goes_on = true;
	int code;

	memset(expected, 0, sizeof(*expected));
	while (goes_on && input.size >= FRAME_HEADER_SIZE && expected->count < EXPECTED_MAX) {
		length = frame_length(cut_bytes(&input, FRAME_HEADER_SIZE).data);
		if (length == 0) {
			expected->end_code = ERROR_MALFORMED;
			break;
		}
		if (length > (expected->has_hello ? frame_limit : FRAME_HELLO_MAX)) {
			expected->end_code = ERROR_FRAME_TOO_LARGE;
			break;
		}
		if (length > input.size)
			break;
		code = request_decode(cut_bytes(&input, length), &request, &reason);
		if (code == ERROR_MALFORMED) {
			expected->end_code = code;
			break;
		}
		goes_on = expected->has_hello ? add_request(expected, &request, code, &last_id)
					      : add_hello(expected, &request, code);
	}
	expected->size = expected->count < EXPECTED_MAX ? stream.size : stream.size - input.size;
}

static void take_last_word(struct expected *expected, const struct reply *reply)
{
	MUST(expected->refused ? reply->code == 0 : reply->code == (uint64_t)expected->end_code,
	     "the connection ends with %llu, not %d", (unsigned long long)reply->code, expected->end_code);
	MUST(reply->outcome == OUTCOME_NONE, "an outcome of the connection itself");
	expected->end_code = 0;
	expected->ended = true;
}

/* Of those with this id and no reply: one for which this is the only right one, or else one that takes any. */
static struct expected_reply *find(struct expected *expected, uint64_t id, uint64_t code)
{
	struct expected_reply *found = NULL;

	for (unsigned i = 0; i < expected->count; i++) {
		struct expected_reply *reply = &expected->replies[i];

		if (reply->answered || reply->id != id)
			continue;
		if (reply->code == (int)code)
			return reply;
		if (reply->code == EXPECTED_ANY && found == NULL)
			found = reply;
	}
	return found;
}

struct reply expected_reply(struct expected *expected, struct span body)
{
	struct expected_reply *wanted;
	struct reply reply;
	uint64_t id, code;

	MUST(!expected->ended, "a message after the last");
	MUST(reply_peek(body, &id, &code) == 0, "no message");
	wanted = find(expected, id, code);
	MUST(reply_decode(body, wanted != NULL ? wanted->operation : OPERATION_PING, &reply) == 0, "no reply");
	if (wanted == NULL) {
		MUST(id == 0, "nobody asked for %llu, code %llu", (unsigned long long)id, (unsigned long long)code);
		take_last_word(expected, &reply);
		return reply;
	}
	wanted->answered = true;
	expected->answered++;
	MUST(code == 0 || id == 0 || operation_is_write(wanted->operation) == (reply.outcome != OUTCOME_NONE),
	     "op %llu has outcome %d", (unsigned long long)wanted->operation, (int)reply.outcome);
	MUST(reply.outcome != OUTCOME_UNKNOWN, "nobody knows");
	if (wanted == &expected->replies[0] && code != 0) {
		expected->refused = true;
		expected->ended = true;
	}
	expected->writes += operation_is_write(wanted->operation);
	if (wanted->operation == OPERATION_CLOSE && code == 0)
		expected->closed = true;
	return reply;
}

void expected_end(const struct expected *expected)
{
	MUST(expected->refused || expected->answered == expected->count, "%u of %u requests were answered",
	     expected->answered, expected->count);
	MUST(expected->refused || expected->end_code == 0, "the connection did not say %d", expected->end_code);
}
