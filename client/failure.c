/*
 * failure: names and texts of errors.
 */
#include <stdarg.h>
#include <stdio.h>

#include "client/handle.h"
#include "protocol/error.h"

/* The library's own codes; the daemon's are in protocol/error.h. X(constant, name) */
#define OWN_CODES(X)                                                                                                   \
	X(KYNETA_STORE_OK, ok)                                                                                         \
	X(KYNETA_STORE_EDEADLINE, deadline)                                                                            \
	X(KYNETA_STORE_EMEMORY, memory)                                                                                \
	X(KYNETA_STORE_ECLOSED, closed)                                                                                \
	X(KYNETA_STORE_ESOCKET, socket)                                                                                \
	X(KYNETA_STORE_EPROTOCOL, protocol)                                                                            \
	X(KYNETA_STORE_EMISUSE, misuse)                                                                                \
	X(KYNETA_STORE_ERESTARTED, restarted)                                                                          \
	X(KYNETA_STORE_EFULL, full)

/* The public codes are the wire's. */
#define X(constant, code, name, meaning) _Static_assert((int)KYNETA_STORE_E##constant == (code), "error codes differ");
ERROR_LIST(X)
#undef X
_Static_assert((int)KYNETA_STORE_NO_OUTCOME == (int)OUTCOME_NONE &&
		   (int)KYNETA_STORE_NOT_APPLIED == (int)OUTCOME_NOT_APPLIED &&
		   (int)KYNETA_STORE_UNKNOWN == (int)OUTCOME_UNKNOWN,
	       "outcomes differ");

const char *kyneta_store_error_name(int code)
{
	switch (code) {
#define X(constant, name)                                                                                              \
	case constant:                                                                                                 \
		return #name;
		OWN_CODES(X)
#undef X
	default:
		return error_name(code < 0 ? UINT64_MAX : (uint64_t)code);
	}
}

/* Cut @size bytes of UTF-8 to fit into @room, not in the middle of a character. */
static size_t cut(const char *text, size_t size, size_t room)
{
	if (size < room)
		return size;
	size = room - 1;
	while (size > 0 && ((uint8_t)text[size] & 0xc0) == 0x80)
		size--;
	return size;
}

static void set_message(struct kyneta_store_error *error, const char *text, size_t size)
{
	size_t kept = cut(text, size, sizeof(error->message));

	if (kept > 0)
		memcpy(error->message, text, kept);
	error->message[kept] = '\0';
	error->message_size = size;
}

int failure_fill(struct kyneta_store_error *error, int code, int outcome, const char *format, ...)
{
	char text[sizeof(error->message)];
	va_list arguments;
	int size;

	if (error == NULL)
		return code;
	va_start(arguments, format);
	size = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	memset(error, 0, sizeof(*error));
	error->code = code;
	error->outcome = outcome;
	set_message(error, text, strnlen(text, sizeof(text) - 1));
	if (size > 0)
		error->message_size = (size_t)size;
	return code;
}

void failure_of_reply(struct kyneta_store_error *error, const struct reply *reply)
{
	struct span text = reply->message;
	size_t kept;

	memset(error, 0, sizeof(*error));
	error->code = (int)reply->code;
	error->outcome = (int)reply->outcome;
	if (text.size == 0)
		text = span_of_string(error_meaning(reply->code));
	set_message(error, (const char *)text.data, text.size);
	error->has_position = reply->has_detail_position;
	error->position.generation = reply->detail_position.generation;
	error->position.next = reply->detail_position.next;
	kept = cut((const char *)reply->detail_text.data, reply->detail_text.size, sizeof(error->detail));
	if (kept > 0)
		memcpy(error->detail, reply->detail_text.data, kept);
}
