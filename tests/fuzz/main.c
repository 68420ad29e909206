/*
 * main: runs a target on files, or on standard input: to see a finding again in any build and under any tool, and for
 * AFL++.
 */
#include <errno.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

#ifdef __AFL_LOOP /* by its compiler */
#pragma clang diagnostic ignored "-Wgnu-statement-expression"
#pragma clang diagnostic ignored "-Wcast-qual"
#else
#define __AFL_LOOP(count) (!looped++)
static int looped;
#endif

/* Inputs of one process of AFL++. */
#define AFL_INPUTS 1000

/* In memory of exactly this size, so that reading one byte too many is seen. */
static void run(const struct buffer *input)
{
	uint8_t *copy = malloc(input->size > 0 ? input->size : 1);

	MUST(copy != NULL, "no memory");
	if (input->size > 0)
		memcpy(copy, input->data, input->size);
	LLVMFuzzerTestOneInput(copy, input->size);
	free(copy);
}

static void run_stream(FILE *file, const char *path, struct buffer *input)
{
	uint8_t bytes[65536];
	size_t size;

	buffer_reset(input);
	while ((size = fread(bytes, 1, sizeof(bytes), file)) > 0)
		buffer_append(input, bytes, size);
	MUST(!ferror(file) && !input->failed, "%s: %s", path, strerror(errno));
	run(input);
}

int main(int argc, char **argv)
{
	struct buffer input = BUFFER_EMPTY;

	while (argc == 1 && __AFL_LOOP(AFL_INPUTS)) {
		run_stream(stdin, "standard input", &input);
		clearerr(stdin);
	}
	for (int i = 1; i < argc; i++) {
		FILE *file = fopen(argv[i], "rb");

		MUST(file != NULL, "%s: %s", argv[i], strerror(errno));
		run_stream(file, argv[i], &input);
		fclose(file);
	}
	buffer_free(&input);
	return 0;
}
