/*
 * fuzz: what the fuzz targets share. Each target is one file with LLVMFuzzerTestOneInput(), linked with libFuzzer, or
 * else with main.c, which AFL++ and everything else takes.
 *
 * A target asserts with MUST: what holds for every input, not only that nothing crashes.
 */
#ifndef KYNETA_TESTS_FUZZ_FUZZ_H
#define KYNETA_TESTS_FUZZ_FUZZ_H

#include "protocol/message.h"
#include "tests/inside/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- inputs that have several parts ---- */

/* cut_byte(input) - the first byte; 0 at the end. */
static inline uint8_t cut_byte(struct span *input)
{
	uint8_t byte = 0;

	if (input->size > 0) {
		byte = *input->data;
		*input = span_of(input->data + 1, input->size - 1);
	}
	return byte;
}

/* cut_number(input) - the next eight bytes, big-endian. */
static inline uint64_t cut_number(struct span *input)
{
	uint64_t number = 0;

	for (unsigned i = 0; i < 8; i++)
		number = number << 8 | cut_byte(input);
	return number;
}

/* cut_bytes(input, size) - so many bytes, or what is left. */
static inline struct span cut_bytes(struct span *input, size_t size)
{
	struct span part = span_of(input->data, size < input->size ? size : input->size);

	*input = span_of(input->data + part.size, input->size - part.size);
	return part;
}

/* cut_part(input) - a byte says how many follow. */
static inline struct span cut_part(struct span *input)
{
	return cut_bytes(input, cut_byte(input));
}

/* cut_to_nul(input) - what stands before the next NUL, or all of it. */
static inline struct span cut_to_nul(struct span *input)
{
	const uint8_t *nul = input->size == 0 ? NULL : memchr(input->data, 0, input->size);
	struct span part = cut_bytes(input, nul == NULL ? input->size : (size_t)(nul - input->data));

	cut_byte(input);
	return part;
}

/* ---- messages ---- */

/* Everything that a decoder gives is a view into what it was given. */
static inline bool is_within(struct span part, struct span whole)
{
	return part.size == 0 ||
	       (part.data >= whole.data && part.data + part.size <= whole.data + whole.size && part.size <= whole.size);
}

static inline bool same_position(struct position a, struct position b)
{
	return a.generation == b.generation && a.next == b.next;
}

static inline bool same_record(const struct record *a, const struct record *b)
{
	if (a->type != b->type)
		return false;
	if (a->type == RECORD_META)
		return span_equal(a->meta, b->meta);
	return a->kind == b->kind && a->encoding == b->encoding && span_equal(a->version, b->version) &&
	       a->data_is_text == b->data_is_text && span_equal(a->data, b->data) && a->has_lineage == b->has_lineage &&
	       span_equal(a->lineage, b->lineage);
}

/* Record by record. */
static inline bool same_records(const struct record_list *a, const struct record_list *b)
{
	struct record_iterator of_a = record_list_start(a), of_b = record_list_start(b);
	struct record record_a, record_b;

	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++) {
		if (!record_list_next(&of_a, &record_a) || !record_list_next(&of_b, &record_b) ||
		    !same_record(&record_a, &record_b))
			return false;
	}
	return true;
}

#endif
