/*
 * unpack: one function reads a head and proves that what it announces fits into the bytes that are left; everything
 * else is built on it. Nothing recurses: what is open is a short array of counts.
 */
#include "protocol/unpack.h"

#include "protocol/utf8.h"

#include <endian.h>

/* One head, understood. */
struct token {
	enum unpack_type type;
	uint64_t value;	     /* the number; the size of the body; the count of elements or pairs */
	const uint8_t *body; /* what follows the head */
};

/* The heads from 0xc0 to 0xdf: how many bytes of number follow the first byte, and how much body beyond that number. */
struct form {
	uint8_t type;
	uint8_t number_size;
	uint8_t body_size;
};

static const struct form forms[32] = {
    {UNPACK_NIL, 0, 0},	     {UNPACK_INVALID, 0, 0},  {UNPACK_BOOL, 0, 0},     {UNPACK_BOOL, 0, 0},
    {UNPACK_BIN, 1, 0},	     {UNPACK_BIN, 2, 0},      {UNPACK_BIN, 4, 0},      {UNPACK_EXT, 1, 1},
    {UNPACK_EXT, 2, 1},	     {UNPACK_EXT, 4, 1},      {UNPACK_FLOAT, 0, 4},    {UNPACK_FLOAT, 0, 8},
    {UNPACK_UINT, 1, 0},     {UNPACK_UINT, 2, 0},     {UNPACK_UINT, 4, 0},     {UNPACK_UINT, 8, 0},
    {UNPACK_NEGATIVE, 1, 0}, {UNPACK_NEGATIVE, 2, 0}, {UNPACK_NEGATIVE, 4, 0}, {UNPACK_NEGATIVE, 8, 0},
    {UNPACK_EXT, 0, 2},	     {UNPACK_EXT, 0, 3},      {UNPACK_EXT, 0, 5},      {UNPACK_EXT, 0, 9},
    {UNPACK_EXT, 0, 17},     {UNPACK_STR, 1, 0},      {UNPACK_STR, 2, 0},      {UNPACK_STR, 4, 0},
    {UNPACK_ARRAY, 2, 0},    {UNPACK_ARRAY, 4, 0},    {UNPACK_MAP, 2, 0},      {UNPACK_MAP, 4, 0},
};

static inline uint64_t read_number(const uint8_t *at, size_t size)
{
	uint16_t two;
	uint32_t four;
	uint64_t eight;

	switch (size) {
	case 1:
		return at[0];
	case 2:
		memcpy(&two, at, sizeof(two));
		return be16toh(two);
	case 4:
		memcpy(&four, at, sizeof(four));
		return be32toh(four);
	case 8:
		memcpy(&eight, at, sizeof(eight));
		return be64toh(eight);
	default:
		return 0;
	}
}

/* Does what the head announces fit? Elements are at least one byte each, pairs at least two. */
static inline struct token fit(struct token token, const uint8_t *end)
{
	size_t left = (size_t)(end - token.body);
	bool fits = true;

	if (token.type == UNPACK_STR || token.type == UNPACK_BIN || token.type == UNPACK_ARRAY ||
	    token.type == UNPACK_EXT || token.type == UNPACK_FLOAT)
		fits = token.value <= left;
	else if (token.type == UNPACK_MAP)
		fits = token.value <= left / 2;
	if (!fits)
		token.type = UNPACK_INVALID;
	return token;
}

static struct token read_form(const uint8_t *at, const uint8_t *end)
{
	const struct form *form = &forms[*at - 0xc0];
	struct token token = {(enum unpack_type)form->type, *at & 1u, at + 1};

	if (form->number_size > (size_t)(end - token.body))
		return (struct token){UNPACK_INVALID, 0, at};
	if (token.type == UNPACK_BOOL)
		return token;
	token.value = read_number(token.body, form->number_size) + form->body_size;
	token.body += form->number_size;
	/* A signed number without its sign bit is what others write for an unsigned one. */
	if (token.type == UNPACK_NEGATIVE && (token.value >> (form->number_size * 8 - 1)) == 0)
		token.type = UNPACK_UINT;
	return fit(token, end);
}

static inline struct token read_token(const uint8_t *at, const uint8_t *end)
{
	uint8_t head;

	if (at == end)
		return (struct token){UNPACK_END, 0, at};
	head = *at;
	if (head < 0x80)
		return (struct token){UNPACK_UINT, head, at + 1};
	if (head < 0x90)
		return fit((struct token){UNPACK_MAP, head & 0x0fu, at + 1}, end);
	if (head < 0xa0)
		return fit((struct token){UNPACK_ARRAY, head & 0x0fu, at + 1}, end);
	if (head < 0xc0)
		return fit((struct token){UNPACK_STR, head & 0x1fu, at + 1}, end);
	if (head < 0xe0)
		return read_form(at, end);
	return (struct token){UNPACK_NEGATIVE, head, at + 1};
}

/* Passes over one whole value. Its cost is that of the bytes passed, whatever they declare. */
static bool walk(struct unpack *unpack, bool check_text)
{
	uint64_t left[UNPACK_DEPTH_MAX + 1] = {1};
	const uint8_t *at = unpack->at;
	unsigned depth = 0;
	struct token token;

	for (;;) {
		token = read_token(at, unpack->end);
		at = token.body;
		left[depth]--;
		switch (token.type) {
		case UNPACK_END:
		case UNPACK_INVALID:
			return false;
		case UNPACK_STR:
			if (check_text && !utf8_valid(span_of(at, (size_t)token.value)))
				return false;
			at += token.value;
			break;
		case UNPACK_BIN:
		case UNPACK_EXT:
		case UNPACK_FLOAT:
			at += token.value;
			break;
		case UNPACK_ARRAY:
		case UNPACK_MAP:
			if (depth == UNPACK_DEPTH_MAX)
				return false;
			left[++depth] = token.type == UNPACK_MAP ? token.value * 2 : token.value;
			break;
		case UNPACK_NIL:
		case UNPACK_BOOL:
		case UNPACK_UINT:
		case UNPACK_NEGATIVE:
			break;
		}
		while (left[depth] == 0) {
			if (depth == 0) {
				unpack->at = at;
				return true;
			}
			depth--;
		}
	}
}

bool unpack_check(struct span bytes)
{
	struct unpack unpack = unpack_start(bytes);

	return walk(&unpack, true) && unpack.at == unpack.end;
}

bool unpack_skip(struct unpack *unpack)
{
	return walk(unpack, false);
}

enum unpack_type unpack_peek(const struct unpack *unpack)
{
	return read_token(unpack->at, unpack->end).type;
}

bool unpack_nil(struct unpack *unpack)
{
	if (unpack->at == unpack->end || *unpack->at != 0xc0)
		return false;
	unpack->at++;
	return true;
}

bool unpack_bool(struct unpack *unpack, bool *out)
{
	if (unpack->at == unpack->end || (*unpack->at != 0xc2 && *unpack->at != 0xc3))
		return false;
	*out = *unpack->at == 0xc3;
	unpack->at++;
	return true;
}

bool unpack_uint(struct unpack *unpack, uint64_t *out)
{
	struct token token = read_token(unpack->at, unpack->end);

	if (token.type != UNPACK_UINT)
		return false;
	*out = token.value;
	unpack->at = token.body;
	return true;
}

static inline bool take_body(struct unpack *unpack, enum unpack_type type, struct span *out)
{
	struct token token = read_token(unpack->at, unpack->end);

	if (token.type != type)
		return false;
	*out = span_of(token.body, (size_t)token.value);
	unpack->at = token.body + token.value;
	return true;
}

bool unpack_str(struct unpack *unpack, struct span *out)
{
	return take_body(unpack, UNPACK_STR, out);
}

bool unpack_bin(struct unpack *unpack, struct span *out)
{
	return take_body(unpack, UNPACK_BIN, out);
}

static inline bool enter(struct unpack *unpack, enum unpack_type type, uint32_t *count)
{
	struct token token = read_token(unpack->at, unpack->end);

	if (token.type != type)
		return false;
	*count = (uint32_t)token.value;
	unpack->at = token.body;
	return true;
}

bool unpack_array(struct unpack *unpack, uint32_t *count)
{
	return enter(unpack, UNPACK_ARRAY, count);
}

bool unpack_map(struct unpack *unpack, uint32_t *pairs)
{
	return enter(unpack, UNPACK_MAP, pairs);
}
