/*
 * model_text: what came of a step, as text; the model's and the daemon's are made by the same functions.
 *
 * A text has the room of a struct model_outcome; what does not fit is cut, and shows as a difference.
 */
#ifndef KYNETA_TESTS_CONTRACT_MODEL_TEXT_H
#define KYNETA_TESTS_CONTRACT_MODEL_TEXT_H

#include "protocol/span.h"

#include <stddef.h>

/* A message while it is put together; it may hold NUL. */
struct text {
	size_t size;
	char bytes[1024];
};

#define TEXT_EMPTY                                                                                                     \
	{                                                                                                              \
		0, ""                                                                                                  \
	}

void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_bytes(struct text *text, struct span bytes);

/* text_append(out, size, more), text_append_number(…) - behind what is there; a number has a blank after it. */
void text_append(char *out, size_t size, const char *more);
void text_append_number(char *out, size_t size, unsigned number);

/* text_failure(out, size, code, outcome, message) - a call failed. @message NULL: the contract fixes no text. */
void text_failure(char *out, size_t size, int code, int outcome, const struct text *message);

#endif
