/*
 * frames: a stream of bytes, cut into frames; each is checked, walked and written anew.
 *
 * Whether a frame is one good msgpack value is decided a second time here, by the letter of msgpack's specification and
 * in another way; what is good is compared with what msgpack-c makes of it, value by value. And reading unchecked
 * bytes stays within them.
 */
#include <msgpack.h>

#include "protocol/frame.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/allocations.h"

/* Places in a frame at which reading unchecked begins. */
#define STARTS_MAX 64

/* ---- the second opinion: how many bytes a value has; 0: it is none ---- */

static size_t value_size(struct span bytes, unsigned depth);

/* RFC 3629, character by character. */
static bool is_text(const uint8_t *at, size_t size)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t character;
	unsigned length;

	for (; size > 0; at += length, size -= length) {
		length = *at < 0x80 ? 1 : *at >> 5 == 6 ? 2 : *at >> 4 == 14 ? 3 : *at >> 3 == 30 ? 4 : 0;
		if (length == 0 || length > size)
			return false;
		character = length == 1 ? *at : *at & (0x7fu >> length);
		for (unsigned i = 1; i < length; i++) {
			if (at[i] >> 6 != 2)
				return false;
			character = character << 6 | (at[i] & 0x3fu);
		}
		if (character < least[length] || character > 0x10ffff || (character >= 0xd800 && character <= 0xdfff))
			return false;
	}
	return true;
}

static uint64_t number_at(struct span bytes, unsigned size)
{
	uint64_t number = 0;

	for (unsigned i = 1; i <= size; i++)
		number = number << 8 | bytes.data[i];
	return number;
}

/* So many values behind a head. */
static size_t values_size(struct span bytes, size_t head, uint64_t count, unsigned depth)
{
	size_t size = head, one;

	if (depth == 0)
		return 0;
	for (; count > 0; count--, size += one) {
		one = value_size(span_of(bytes.data + size, bytes.size - size), depth - 1);
		if (one == 0)
			return 0;
	}
	return size;
}

/* So many bytes behind a head. */
static size_t body_size(struct span bytes, size_t head, uint64_t body, bool text)
{
	if (body > bytes.size - head || (text && !is_text(bytes.data + head, (size_t)body)))
		return 0;
	return head + (size_t)body;
}

/* The forms from 0xc0 to 0xdf. */
static size_t form_size(struct span bytes, unsigned depth)
{
	static const uint8_t width[] = {0, 0, 0, 0, 1, 2, 4, 1, 2, 4, 0, 0, 0, 0, 0, 0,
					0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4};
	static const uint8_t fixed[] = {0, 0, 0, 0, 0, 0, 0, 0, 0,  0, 4, 8, 1, 2, 4, 8,
					1, 2, 4, 8, 2, 3, 5, 9, 17, 0, 0, 0, 0, 0, 0, 0};
	uint8_t form = *bytes.data & 0x1f;
	size_t head = 1 + (size_t)width[form];
	uint64_t number;

	if (form == 1 || head > bytes.size)
		return 0;
	number = number_at(bytes, width[form]);
	if (form >= 0x1c)
		return values_size(bytes, head, form < 0x1e ? number : 2 * number, depth);
	if (form >= 0x19)
		return body_size(bytes, head, number, true);
	if (form >= 7 && form <= 9)
		number++; /* the type of an ext */
	return body_size(bytes, head, number + fixed[form], false);
}

static size_t value_size(struct span bytes, unsigned depth)
{
	uint8_t head;

	if (bytes.size == 0)
		return 0;
	head = *bytes.data;
	if (head < 0x80 || head >= 0xe0)
		return 1;
	if (head < 0x90)
		return values_size(bytes, 1, 2 * (head & 0xfu), depth);
	if (head < 0xa0)
		return values_size(bytes, 1, head & 0xfu, depth);
	if (head < 0xc0)
		return body_size(bytes, 1, head & 0x1fu, true);
	return form_size(bytes, depth);
}

/* ---- msgpack-c ---- */

static int write_bytes(void *data, const char *bytes, size_t size)
{
	buffer_append(data, bytes, size);
	return 0;
}

static void compare(struct unpack *unpack, const msgpack_object *object);

static void compare_span(struct span span, const char *data, uint32_t size)
{
	MUST(span_equal(span, span_of(data, size)), "%zu bytes and %u", span.size, size);
}

static void compare_values(struct unpack *unpack, const msgpack_object *object)
{
	uint32_t count = 0;

	if (object->type == MSGPACK_OBJECT_ARRAY) {
		MUST(unpack_array(unpack, &count) && count == object->via.array.size, "array of %u", count);
		for (uint32_t i = 0; i < count; i++)
			compare(unpack, &object->via.array.ptr[i]);
		return;
	}
	MUST(unpack_map(unpack, &count) && count == object->via.map.size, "map of %u", count);
	for (uint32_t i = 0; i < count; i++) {
		compare(unpack, &object->via.map.ptr[i].key);
		compare(unpack, &object->via.map.ptr[i].val);
	}
}

static void must_pass(struct unpack *unpack, enum unpack_type type)
{
	MUST(unpack_peek(unpack) == type && unpack_skip(unpack), "type %d", (int)type);
}

static void compare(struct unpack *unpack, const msgpack_object *object)
{
	struct span span = SPAN_NONE;
	uint64_t number = 0;
	bool truth = false;

	switch (object->type) {
	case MSGPACK_OBJECT_NIL:
		MUST(unpack_nil(unpack), "nil");
		break;
	case MSGPACK_OBJECT_BOOLEAN:
		MUST(unpack_bool(unpack, &truth) && truth == object->via.boolean, "bool");
		break;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		MUST(unpack_uint(unpack, &number) && number == object->via.u64, "uint %llu",
		     (unsigned long long)number);
		break;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		must_pass(unpack, UNPACK_NEGATIVE);
		break;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		must_pass(unpack, UNPACK_FLOAT);
		break;
	case MSGPACK_OBJECT_EXT:
		must_pass(unpack, UNPACK_EXT);
		break;
	case MSGPACK_OBJECT_STR:
		MUST(unpack_str(unpack, &span), "str");
		compare_span(span, object->via.str.ptr, object->via.str.size);
		break;
	case MSGPACK_OBJECT_BIN:
		MUST(unpack_bin(unpack, &span), "bin");
		compare_span(span, object->via.bin.ptr, object->via.bin.size);
		break;
	case MSGPACK_OBJECT_ARRAY:
	case MSGPACK_OBJECT_MAP:
		compare_values(unpack, object);
		break;
	}
}

/* What msgpack-c reads, and what it writes of that, in a frame; both mean the same to us. */
static void compare_with_msgpack_c(struct span body)
{
	struct unpack unpack = unpack_start(body);
	struct buffer out = BUFFER_EMPTY;
	msgpack_packer packer = {&out, write_bytes};
	msgpack_unpacked unpacked;
	size_t offset = 0, mark;

	msgpack_unpacked_init(&unpacked);
	MUST(msgpack_unpack_next(&unpacked, (const char *)body.data, body.size, &offset) == MSGPACK_UNPACK_SUCCESS,
	     "msgpack-c refuses it");
	MUST(offset == body.size, "msgpack-c takes %zu of %zu bytes", offset, body.size);
	compare(&unpack, &unpacked.data);
	MUST(unpack.at == unpack.end, "something is left");

	mark = frame_begin(&out);
	msgpack_pack_object(&packer, unpacked.data);
	frame_end(&out, mark);
	MUST(!out.failed && frame_length(out.data) == out.size - FRAME_HEADER_SIZE, "a frame of %zu", out.size);
	body = span_of(out.data + FRAME_HEADER_SIZE, out.size - FRAME_HEADER_SIZE);
	MUST(unpack_check(body), "written anew it is refused");
	unpack = unpack_start(body);
	compare(&unpack, &unpacked.data);
	msgpack_unpacked_destroy(&unpacked);
	buffer_free(&out);
}

/* ---- unchecked bytes ---- */

/* Whoever takes a value goes on behind it, whoever does not stays where it is. */
static void must_move(const struct unpack *before, const struct unpack *after, bool taken)
{
	MUST(after->end == before->end && after->at <= after->end, "beyond the end");
	MUST(taken ? after->at > before->at : after->at == before->at, "%s", taken ? "taken" : "not taken");
}

#define TAKE(call)                                                                                                     \
	do {                                                                                                           \
		after = start;                                                                                         \
		bool taken = call;                                                                                     \
		must_move(&start, &after, taken);                                                                      \
		takers += taken;                                                                                       \
	} while (0)

static void read_unchecked(struct unpack start)
{
	enum unpack_type type = unpack_peek(&start);
	struct unpack after;
	struct span span = SPAN_NONE;
	unsigned takers = 0;
	uint64_t number;
	uint32_t count;
	bool truth;

	TAKE(unpack_nil(&after));
	TAKE(unpack_bool(&after, &truth));
	TAKE(unpack_uint(&after, &number));
	TAKE(unpack_array(&after, &count));
	TAKE(unpack_map(&after, &count));
	TAKE(unpack_str(&after, &span));
	MUST(is_within(span, span_of(start.at, (size_t)(start.end - start.at))), "str");
	TAKE(unpack_bin(&after, &span));
	MUST(is_within(span, span_of(start.at, (size_t)(start.end - start.at))), "bin");
	MUST(takers == (type >= UNPACK_NIL && type <= UNPACK_MAP && type != UNPACK_NEGATIVE && type != UNPACK_FLOAT),
	     "%u take a value of type %d", takers, (int)type);
	TAKE(unpack_skip(&after));
}

static void run_frame(struct span body)
{
	unsigned long allocations = allocations_made;
	size_t size = value_size(body, UNPACK_DEPTH_MAX);
	bool good = unpack_check(body);

	MUST(good == (size > 0 && size == body.size), "%d, but %zu of %zu bytes", good, size, body.size);
	for (size_t i = 0; i < body.size && i < STARTS_MAX; i++)
		read_unchecked(unpack_start(span_of(body.data + i, body.size - i)));
	MUST(allocations_made == allocations, "it allocates");
	if (good)
		compare_with_msgpack_c(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size);
	uint8_t header[FRAME_HEADER_SIZE];
	uint32_t length;

	while (input.size >= FRAME_HEADER_SIZE) {
		length = frame_length(cut_bytes(&input, FRAME_HEADER_SIZE).data);
		frame_put_length(header, length);
		MUST(frame_length(header) == length, "%u", length);
		run_frame(cut_bytes(&input, length));
	}
	return 0;
}
