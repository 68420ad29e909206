#include "tests/bench/idle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol/frame.h"
#include "protocol/message.h"

static int fail(const char *what, unsigned number)
{
	fprintf(stderr, "kyneta-store-bench: idle connection %u: %s: %s\n", number, what, strerror(errno));
	return -1;
}

/* With a session, as every host has one. */
static void encode_hello(struct buffer *frame, unsigned number)
{
	uint8_t session[SESSION_SIZE] = "idle";
	struct request request = {.id = HELLO_ID, .operation = OPERATION_HELLO};

	memcpy(session + 8, &number, sizeof(number));
	request.hello = (struct hello){.lowest = PROTOCOL_VERSION,
				       .highest = PROTOCOL_VERSION,
				       .client = SPAN_LITERAL("idle"),
				       .create = true,
				       .has_session = true,
				       .session = span_of(session, sizeof(session))};
	buffer_reset(frame);
	request_encode(frame, &request, NULL, 0);
}

static int say_hello(int fd, struct buffer *frame, unsigned number)
{
	uint8_t reply[FRAME_HEADER_SIZE + FRAME_HELLO_MAX];

	encode_hello(frame, number);
	if (frame->failed || send(fd, frame->data, frame->size, MSG_NOSIGNAL) != (ssize_t)frame->size)
		return fail("hello", number);
	if (recv(fd, reply, sizeof(reply), 0) <= FRAME_HEADER_SIZE)
		return fail("no answer", number);
	return 0;
}

int idle_open(struct idle *idle, const char *address, unsigned count)
{
	struct sockaddr_un path = {.sun_family = AF_UNIX};
	struct buffer frame = BUFFER_EMPTY;
	int failed = 0;

	*idle = (struct idle){.sockets = calloc(count, sizeof(*idle->sockets))};
	if (idle->sockets == NULL)
		return fail("no memory", 0);
	snprintf(path.sun_path, sizeof(path.sun_path), "%s", address);
	while (failed == 0 && idle->count < count) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0) {
			failed = fail("socket", idle->count);
			break;
		}
		idle->sockets[idle->count++] = fd;
		if (connect(fd, (const struct sockaddr *)&path, sizeof(path)) != 0)
			failed = fail("connect", idle->count);
		else
			failed = say_hello(fd, &frame, idle->count);
	}
	buffer_free(&frame);
	return failed;
}

void idle_close(struct idle *idle)
{
	for (unsigned i = 0; i < idle->count; i++)
		close(idle->sockets[i]);
	free(idle->sockets);
	*idle = (struct idle){.sockets = NULL};
}
