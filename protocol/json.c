/*
 * json: the walker over checked text, and what its strings and numbers mean.
 *
 * Nothing here can fail on text that json_check() has passed; on any other it still stays within its bytes.
 */
#include "protocol/json.h"

#include "protocol/json_scan.h"

/* The largest integer that JavaScript counts without gaps. */
#define SAFE_INTEGER_MAX ((INT64_C(1) << 53) - 1)
/* 16 digits hold every safe integer; with more behind the first non-zero digit it is not one. */
#define SAFE_DIGITS 16

/* ---- the walker ---- */

/* Behind the string whose opening quote is at @at. */
static const uint8_t *pass_string(const uint8_t *at, const uint8_t *end)
{
	at++;
	for (;;) {
		at = json_skip_plain(at, end);
		if (at == end)
			return end;
		if (*at == '"')
			return at + 1;
		at += end - at >= 2 ? 2 : 1;
	}
}

static const uint8_t *pass_container(const uint8_t *at, const uint8_t *end)
{
	unsigned depth = 0;

	while (at < end) {
		switch (*at) {
		case '"':
			at = pass_string(at, end);
			break;
		case '{':
		case '[':
			depth++;
			at++;
			break;
		case '}':
		case ']':
			at++;
			if (--depth == 0)
				return at;
			break;
		default:
			at++;
		}
	}
	return end;
}

static const uint8_t *pass_word(const uint8_t *at, const uint8_t *end)
{
	while (at < end && !json_is_space(*at) && *at != ',' && *at != '}' && *at != ']')
		at++;
	return at;
}

/* The value at @at; false if there is none before @end. */
static bool value_at(const uint8_t *at, const uint8_t *end, struct json_value *value)
{
	const uint8_t *behind;

	if (at == end)
		return false;
	switch (*at) {
	case '{':
		value->type = JSON_OBJECT;
		behind = pass_container(at, end);
		break;
	case '[':
		value->type = JSON_ARRAY;
		behind = pass_container(at, end);
		break;
	case '"':
		value->type = JSON_STRING;
		behind = pass_string(at, end);
		break;
	default:
		value->type = *at == 'n' ? JSON_NULL : *at == 't' ? JSON_TRUE : *at == 'f' ? JSON_FALSE : JSON_NUMBER;
		behind = pass_word(at, end);
	}
	value->text = span_of(at, (size_t)(behind - at));
	return behind > at;
}

struct json_value json_root(struct span text)
{
	struct json_value value = {JSON_NULL, SPAN_NONE};
	const uint8_t *end;

	if (text.size == 0)
		return value;
	end = text.data + text.size;
	value_at(json_skip_space(text.data, end), end, &value);
	return value;
}

struct json_iterator json_iterate(struct json_value value)
{
	const uint8_t *at = value.text.data;

	if ((value.type != JSON_OBJECT && value.type != JSON_ARRAY) || value.text.size < 2)
		return (struct json_iterator){at, at};
	return (struct json_iterator){at + 1, at + value.text.size - 1};
}

bool json_next_element(struct json_iterator *iterator, struct json_value *value)
{
	const uint8_t *at = json_skip_space(iterator->at, iterator->end);

	if (at < iterator->end && *at == ',')
		at = json_skip_space(at + 1, iterator->end);
	if (!value_at(at, iterator->end, value))
		return false;
	iterator->at = value->text.data + value->text.size;
	return true;
}

bool json_next_member(struct json_iterator *iterator, struct json_value *key, struct json_value *value)
{
	const uint8_t *at;

	if (!json_next_element(iterator, key))
		return false;
	at = json_skip_space(iterator->at, iterator->end);
	if (at < iterator->end && *at == ':')
		at = json_skip_space(at + 1, iterator->end);
	if (!value_at(at, iterator->end, value))
		return false;
	iterator->at = value->text.data + value->text.size;
	return true;
}

bool json_member(struct json_value object, const char *name, struct json_value *value)
{
	struct json_iterator iterator;
	struct json_value key, member;
	bool found = false;

	if (object.type != JSON_OBJECT)
		return false;
	iterator = json_iterate(object);
	while (json_next_member(&iterator, &key, &member)) {
		if (json_string_is(key, name)) {
			*value = member;
			found = true;
		}
	}
	return found;
}

/* ---- strings ---- */

/* What is between the quotes. */
static struct span inside(struct json_value value)
{
	if (value.type != JSON_STRING || value.text.size < 2)
		return SPAN_NONE;
	return span_of(value.text.data + 1, value.text.size - 2);
}

bool json_string_plain(struct json_value value, struct span *characters)
{
	struct span content = inside(value);

	if (value.type != JSON_STRING || (content.size > 0 && memchr(content.data, '\\', content.size) != NULL))
		return false;
	*characters = content;
	return true;
}

/*
 * The escape behind the backslash at *at: its code point, two escaped surrogates that belong together taken as one.
 * A surrogate that stands alone is given as it is.
 */
static uint32_t take_escape(const uint8_t **at, const uint8_t *end)
{
	static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";
	const uint8_t *letter = *at + 1;
	const char *known;
	int unit, low;

	if (letter == end) {
		*at = end;
		return '\\';
	}
	*at = letter + 1;
	if (*letter != 'u' || end - letter < 5) {
		known = memchr(letters, *letter, sizeof(letters) - 1);
		return known != NULL ? (uint32_t)meanings[known - letters] : *letter;
	}
	*at = letter + 5;
	unit = json_hex4(letter + 1);
	if ((unit & 0xfc00) == 0xd800 && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u') {
		low = json_hex4(*at + 2);
		if (low >= 0 && (low & 0xfc00) == 0xdc00) {
			*at += 6;
			return 0x10000u + ((uint32_t)(unit & 0x3ff) << 10 | (uint32_t)(low & 0x3ff));
		}
	}
	return (uint32_t)unit;
}

static size_t put_utf8(uint8_t out[4], uint32_t point)
{
	if (point < 0x80) {
		out[0] = (uint8_t)point;
		return 1;
	}
	if (point < 0x800) {
		out[0] = (uint8_t)(0xc0 | point >> 6);
		out[1] = (uint8_t)(0x80 | (point & 0x3f));
		return 2;
	}
	if (point < 0x10000) {
		out[0] = (uint8_t)(0xe0 | point >> 12);
		out[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
		out[2] = (uint8_t)(0x80 | (point & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | point >> 18);
	out[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
	out[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
	out[3] = (uint8_t)(0x80 | (point & 0x3f));
	return 4;
}

/* A surrogate alone has no UTF-8: U+FFFD in its place. */
static inline uint32_t well_formed(uint32_t point)
{
	return (point & 0xfffff800u) == 0xd800 ? 0xfffd : point;
}

void json_string_decode(struct json_value value, struct buffer *out)
{
	struct span content = inside(value);
	const uint8_t *at = content.data, *end, *run;
	uint8_t *to;

	/* What a string means is never longer than how it is written, so everything goes straight to its place. */
	if (content.size == 0 || !buffer_reserve(out, content.size))
		return;
	end = at + content.size;
	to = out->data + out->size;
	while (at < end) {
		if (*at == '\\') {
			to += put_utf8(to, well_formed(take_escape(&at, end)));
			continue;
		}
		/* In checked text only an escape ends the run. */
		run = json_skip_plain(at + 1, end);
		memcpy(to, at, (size_t)(run - at));
		to += run - at;
		at = run;
	}
	out->size = (size_t)(to - out->data);
}

/* The next piece of what a string means: a run without escapes in place, or one escape written to @scratch. */
static struct span next_piece(const uint8_t **at, const uint8_t *end, uint8_t scratch[4])
{
	const uint8_t *start = *at, *escape;

	if (*start == '\\')
		return span_of(scratch, put_utf8(scratch, take_escape(at, end)));
	escape = memchr(start, '\\', (size_t)(end - start));
	*at = escape != NULL ? escape : end;
	return span_of(start, (size_t)(*at - start));
}

/* Compares what a string means, piece by piece, with another sequence of pieces. */
struct pieces {
	const uint8_t *at;
	const uint8_t *end;
	struct span piece;
	uint8_t scratch[4];
};

static struct pieces pieces_of(struct span content)
{
	const uint8_t *end = content.size == 0 ? content.data : content.data + content.size;

	return (struct pieces){content.data, end, SPAN_NONE, {0}};
}

/* Is there anything left? The current piece is not empty then. */
static bool pieces_left(struct pieces *pieces)
{
	if (pieces->piece.size == 0 && pieces->at < pieces->end)
		pieces->piece = next_piece(&pieces->at, pieces->end, pieces->scratch);
	return pieces->piece.size > 0;
}

static void pieces_advance(struct pieces *pieces, size_t size)
{
	pieces->piece = span_of(pieces->piece.data + size, pieces->piece.size - size);
}

/* A surrogate alone compares as its three bytes, which no valid text holds: equal only to itself. */
bool json_string_equal(struct json_value a, struct json_value b)
{
	struct pieces left = pieces_of(inside(a)), right = pieces_of(inside(b));
	size_t common;

	if (a.type != JSON_STRING || b.type != JSON_STRING)
		return false;
	if (span_equal(a.text, b.text))
		return true;
	while (pieces_left(&left) && pieces_left(&right)) {
		common = left.piece.size < right.piece.size ? left.piece.size : right.piece.size;
		if (memcmp(left.piece.data, right.piece.data, common) != 0)
			return false;
		pieces_advance(&left, common);
		pieces_advance(&right, common);
	}
	return !pieces_left(&left) && !pieces_left(&right);
}

bool json_string_is(struct json_value value, const char *text)
{
	struct span content = inside(value);
	struct pieces pieces;
	size_t left = strlen(text);

	/* What a string means is never longer than how it is written, and shorter if there is an escape in it. */
	if (value.type != JSON_STRING || content.size < left)
		return false;
	if (content.size == left)
		return left == 0 || (memcmp(content.data, text, left) == 0 && memchr(text, '\\', left) == NULL);
	pieces = pieces_of(content);
	while (pieces_left(&pieces)) {
		if (pieces.piece.size > left || memcmp(pieces.piece.data, text, pieces.piece.size) != 0)
			return false;
		text += pieces.piece.size;
		left -= pieces.piece.size;
		pieces_advance(&pieces, pieces.piece.size);
	}
	return left == 0;
}

/* ---- numbers ---- */

/* The digits of a number without its sign and exponent: significant * 10^scale. */
struct decimal {
	uint64_t significant;
	int64_t scale;
	bool too_long; /* more digits than a safe integer has, the last one not zero */
};

static struct decimal take_decimal(const uint8_t **at, const uint8_t *end)
{
	struct decimal decimal = {0, 0, false};
	unsigned digits = 0; /* of significant */
	int64_t zeros = 0;   /* read since the last digit that was not zero */
	bool fraction = false;

	for (; *at < end && (json_is_digit(**at) || **at == '.'); ++*at) {
		if (**at == '.') {
			fraction = true;
			continue;
		}
		if (fraction)
			decimal.scale--;
		if (**at == '0') {
			zeros += digits > 0;
			continue;
		}
		if (digits > 0 && (int64_t)digits + zeros >= SAFE_DIGITS) {
			decimal.too_long = true;
			continue;
		}
		for (; zeros > 0; zeros--, digits++)
			decimal.significant *= 10;
		decimal.significant = decimal.significant * 10 + (uint64_t)(**at - '0');
		digits++;
	}
	decimal.scale += zeros;
	return decimal;
}

/* Far beyond it nothing but zero is an integer in range, so more digits change nothing. */
#define EXPONENT_MAX (INT64_C(1) << 40)

static int64_t take_exponent(const uint8_t *at, const uint8_t *end)
{
	int64_t exponent = 0;
	bool negative;

	if (at == end)
		return 0;
	at++;
	negative = at < end && *at == '-';
	if (at < end && (*at == '-' || *at == '+'))
		at++;
	for (; at < end && json_is_digit(*at); at++) {
		if (exponent < EXPONENT_MAX)
			exponent = exponent * 10 + (*at - '0');
	}
	return negative ? -exponent : exponent;
}

bool json_integer(struct json_value value, int64_t *out)
{
	struct decimal decimal;
	const uint8_t *at, *end;
	bool negative;

	if (value.type != JSON_NUMBER || value.text.size == 0)
		return false;
	at = value.text.data;
	end = at + value.text.size;
	negative = *at == '-';
	if (negative)
		at++;
	decimal = take_decimal(&at, end);
	if (decimal.too_long)
		return false;
	decimal.scale += take_exponent(at, end);
	if (decimal.significant == 0) {
		*out = 0;
		return true;
	}
	if (decimal.scale < 0)
		return false;
	for (; decimal.scale > 0 && decimal.significant <= (uint64_t)SAFE_INTEGER_MAX; decimal.scale--)
		decimal.significant *= 10;
	if (decimal.significant > (uint64_t)SAFE_INTEGER_MAX)
		return false;
	*out = negative ? -(int64_t)decimal.significant : (int64_t)decimal.significant;
	return true;
}

/* ---- writing ---- */

static void escape_byte(struct buffer *out, uint8_t byte)
{
	static const char hex[] = "0123456789abcdef";
	char escape[6] = {'\\', 'u', '0', '0', 0, 0};

	switch (byte) {
	case '"':
	case '\\':
		escape[1] = (char)byte;
		break;
	case '\b':
		escape[1] = 'b';
		break;
	case '\t':
		escape[1] = 't';
		break;
	case '\n':
		escape[1] = 'n';
		break;
	case '\f':
		escape[1] = 'f';
		break;
	case '\r':
		escape[1] = 'r';
		break;
	default:
		escape[4] = hex[byte >> 4];
		escape[5] = hex[byte & 0xf];
	}
	buffer_append(out, escape, escape[1] == 'u' ? 6 : 2);
}

void json_escape(struct buffer *out, struct span text)
{
	const uint8_t *at = text.data, *end, *plain;

	if (text.size > SIZE_MAX - 2 || !buffer_reserve(out, text.size + 2)) {
		out->failed = true;
		return;
	}
	end = text.size == 0 ? at : at + text.size;
	if (at == end || json_skip_plain(at, end) == end) {
		uint8_t *to = out->data + out->size;

		*to++ = '"';
		if (at != end)
			memcpy(to, at, text.size);
		to[text.size] = '"';
		out->size += text.size + 2;
		return;
	}
	buffer_append_byte(out, '"');
	while (at < end) {
		plain = json_skip_plain(at, end);
		buffer_append(out, at, (size_t)(plain - at));
		if (plain < end)
			escape_byte(out, *plain++);
		at = plain;
	}
	buffer_append_byte(out, '"');
}
