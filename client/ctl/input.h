/*
 * input: the records that a single append or replace is to write, gathered from the command line, a file or the
 * standard input.
 */
#ifndef KYNETA_CTL_INPUT_H
#define KYNETA_CTL_INPUT_H

#include "client/ctl/options.h"
#include "protocol/buffer.h"

/* One write is one message to the daemon; far more than it takes is not even read. */
#define INPUT_BYTES_MAX ((size_t)1 << 30)

struct input {
	struct kyneta_store_record *records;
	size_t count;
	size_t capacity;
	size_t bytes;
	struct buffer *texts; /* what the records are views into, two for each */
	char problem[256];    /* why gathering failed */
};

/*
 * input_gather(input, options) - the records of @options: --meta and --entry or --binary, and the arguments behind the
 * document; if there are none of these, the lines of --file or of the standard input. 0, or -1 with input->problem.
 * Call input_free() either way.
 */
int input_gather(struct input *input, const struct options *options);

void input_free(struct input *input);

#endif
