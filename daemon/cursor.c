#include "daemon/cursor.h"

#include <string.h>

#define TAG_LOAD       1
#define TAG_LIST       2
#define NUMBER_SIZE    8
#define LOAD_SIZE      (1 + 4 * NUMBER_SIZE)
#define LIST_HEAD_SIZE (1 + NUMBER_SIZE)

/* FNV-1a, 64 bits: a few lines, no key, and the same on every start of every daemon. */
static uint64_t check_add(uint64_t check, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++)
		check = (check ^ bytes[i]) * UINT64_C(0x100000001b3);
	return check;
}

static uint64_t check_of(uint8_t tag, const char *store_key, struct span of, const void *content, size_t size)
{
	uint64_t check = UINT64_C(0xcbf29ce484222325);
	uint64_t of_size = of.size;

	check = check_add(check, &tag, 1);
	check = check_add(check, store_key, strlen(store_key) + 1);
	check = check_add(check, &of_size, sizeof(of_size));
	check = check_add(check, of.data, of.size);
	return check_add(check, content, size);
}

static void put_number(uint8_t *to, uint64_t number)
{
	for (int i = NUMBER_SIZE - 1; i >= 0; i--, number >>= 8)
		to[i] = (uint8_t)number;
}

static uint64_t get_number(const uint8_t *from)
{
	uint64_t number = 0;

	for (int i = 0; i < NUMBER_SIZE; i++)
		number = number << 8 | from[i];
	return number;
}

void cursor_put_load(struct buffer *out, const char *store_key, struct span document, struct load_cursor cursor)
{
	uint8_t bytes[LOAD_SIZE] = {TAG_LOAD};
	uint8_t *content = bytes + 1 + NUMBER_SIZE;

	put_number(content, cursor.generation);
	put_number(content + NUMBER_SIZE, cursor.next);
	put_number(content + 2 * NUMBER_SIZE, cursor.end);
	put_number(bytes + 1, check_of(TAG_LOAD, store_key, document, content, 3 * NUMBER_SIZE));
	buffer_append(out, bytes, sizeof(bytes));
}

bool cursor_get_load(struct span bytes, const char *store_key, struct span document, struct load_cursor *cursor)
{
	const uint8_t *content;

	if (bytes.size != LOAD_SIZE || bytes.data[0] != TAG_LOAD)
		return false;
	content = bytes.data + 1 + NUMBER_SIZE;
	if (get_number(bytes.data + 1) != check_of(TAG_LOAD, store_key, document, content, 3 * NUMBER_SIZE))
		return false;
	*cursor = (struct load_cursor){get_number(content), get_number(content + NUMBER_SIZE),
				       get_number(content + 2 * NUMBER_SIZE)};
	return true;
}

void cursor_put_list(struct buffer *out, const char *store_key, struct span prefix, struct span last)
{
	uint8_t head[LIST_HEAD_SIZE] = {TAG_LIST};

	put_number(head + 1, check_of(TAG_LIST, store_key, prefix, last.data, last.size));
	buffer_append(out, head, sizeof(head));
	buffer_append(out, last.data, last.size);
}

bool cursor_get_list(struct span bytes, const char *store_key, struct span prefix, struct span *last)
{
	struct span content;

	if (bytes.size < LIST_HEAD_SIZE || bytes.data[0] != TAG_LIST)
		return false;
	content = span_of(bytes.data + LIST_HEAD_SIZE, bytes.size - LIST_HEAD_SIZE);
	if (get_number(bytes.data + 1) != check_of(TAG_LIST, store_key, prefix, content.data, content.size))
		return false;
	*last = content;
	return true;
}
