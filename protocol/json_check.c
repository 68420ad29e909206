/*
 * json_check: is a text JSON? No tree and no recursion: whether a bracket closes an object or an array is one bit per
 * level.
 */
#include "protocol/json.h"
#include "protocol/json_scan.h"
#include "protocol/utf8.h"

struct checker {
	const uint8_t *at;
	const uint8_t *end;
	unsigned depth;
	unsigned depth_max;
	uint64_t objects[JSON_CHECK_DEPTH_MAX / 64]; /* bit @depth - 1: is that level an object? */
};

static bool in_object(const struct checker *checker)
{
	unsigned level = checker->depth - 1;

	return (checker->objects[level / 64] >> (level % 64) & 1) != 0;
}

static bool enter(struct checker *checker, bool object)
{
	unsigned level = checker->depth;
	uint64_t bit = UINT64_C(1) << (level % 64);

	if (level == checker->depth_max)
		return false;
	checker->depth++;
	if (object)
		checker->objects[level / 64] |= bit;
	else
		checker->objects[level / 64] &= ~bit;
	return true;
}

static bool take(struct checker *checker, uint8_t byte)
{
	if (checker->at == checker->end || *checker->at != byte)
		return false;
	checker->at++;
	return true;
}

static bool check_escape(struct checker *checker)
{
	if (checker->at == checker->end)
		return false;
	switch (*checker->at++) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		return true;
	case 'u':
		if (checker->end - checker->at < 4 || json_hex4(checker->at) < 0)
			return false;
		checker->at += 4;
		return true;
	default:
		return false;
	}
}

static bool check_string(struct checker *checker)
{
	if (!take(checker, '"'))
		return false;
	for (;;) {
		checker->at = json_skip_plain(checker->at, checker->end);
		if (checker->at == checker->end)
			return false;
		switch (*checker->at++) {
		case '"':
			return true;
		case '\\':
			if (!check_escape(checker))
				return false;
			break;
		default: /* a control character must be escaped */
			return false;
		}
	}
}

static bool check_digits(struct checker *checker)
{
	const uint8_t *start = checker->at;

	while (checker->at < checker->end && json_is_digit(*checker->at))
		checker->at++;
	return checker->at > start;
}

static bool check_number(struct checker *checker)
{
	take(checker, '-');
	if (!take(checker, '0') && !check_digits(checker))
		return false;
	if (take(checker, '.') && !check_digits(checker))
		return false;
	if (take(checker, 'e') || take(checker, 'E')) {
		if (!take(checker, '+'))
			take(checker, '-');
		return check_digits(checker);
	}
	return true;
}

static bool check_literal(struct checker *checker, const char *literal, size_t size)
{
	if ((size_t)(checker->end - checker->at) < size || memcmp(checker->at, literal, size) != 0)
		return false;
	checker->at += size;
	return true;
}

static bool check_scalar(struct checker *checker)
{
	switch (*checker->at) {
	case '"':
		return check_string(checker);
	case 't':
		return check_literal(checker, "true", 4);
	case 'f':
		return check_literal(checker, "false", 5);
	case 'n':
		return check_literal(checker, "null", 4);
	default:
		return check_number(checker);
	}
}

/* A key and its colon. */
static bool check_key(struct checker *checker)
{
	checker->at = json_skip_space(checker->at, checker->end);
	if (!check_string(checker))
		return false;
	checker->at = json_skip_space(checker->at, checker->end);
	return take(checker, ':');
}

/*
 * From the start of a value to its end, or, through the brackets that open there, to the start of the first value in
 * them: *complete tells which.
 */
static bool check_value(struct checker *checker, bool *complete)
{
	bool object;

	checker->at = json_skip_space(checker->at, checker->end);
	if (checker->at == checker->end)
		return false;
	if (*checker->at != '{' && *checker->at != '[') {
		*complete = true;
		return check_scalar(checker);
	}
	object = *checker->at++ == '{';
	if (!enter(checker, object))
		return false;
	checker->at = json_skip_space(checker->at, checker->end);
	/* An empty one: what closes it is seen by whoever looks behind a complete value. */
	*complete = checker->at < checker->end && *checker->at == (object ? '}' : ']');
	return *complete || !object || check_key(checker);
}

bool json_check(struct span text, unsigned depth_max)
{
	struct checker checker;
	bool complete;

	/* Outside of strings only ASCII is taken, so that text need not be looked at for UTF-8 again inside of them. */
	if (text.size == 0 || !utf8_valid(text))
		return false;
	checker.at = text.data;
	checker.end = text.data + text.size;
	checker.depth = 0;
	checker.depth_max = depth_max < JSON_CHECK_DEPTH_MAX ? depth_max : JSON_CHECK_DEPTH_MAX;
	for (;;) {
		if (!check_value(&checker, &complete))
			return false;
		while (complete) {
			checker.at = json_skip_space(checker.at, checker.end);
			if (checker.depth == 0)
				return checker.at == checker.end;
			if (take(&checker, ',')) {
				if (in_object(&checker) && !check_key(&checker))
					return false;
				complete = false;
			} else {
				if (!take(&checker, in_object(&checker) ? '}' : ']'))
					return false;
				checker.depth--;
			}
		}
	}
}
