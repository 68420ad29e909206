#include "client/ctl/seen.h"

#include <openssl/evp.h>
#include <stdlib.h>

#define FIRST_SLOTS 1024

struct seen {
	uint64_t *slots; /* 0: free */
	size_t size;	 /* a power of two */
	size_t used;
};

struct seen *seen_new(void)
{
	struct seen *seen = calloc(1, sizeof(*seen));

	if (seen == NULL)
		return NULL;
	seen->size = FIRST_SLOTS;
	seen->slots = calloc(seen->size, sizeof(*seen->slots));
	if (seen->slots == NULL) {
		free(seen);
		return NULL;
	}
	return seen;
}

void seen_free(struct seen *seen)
{
	if (seen == NULL)
		return;
	free(seen->slots);
	free(seen);
}

/* Where @key is, or would go. */
static uint64_t *slot_of(uint64_t *slots, size_t size, uint64_t key)
{
	size_t at = key & (size - 1);

	while (slots[at] != 0 && slots[at] != key)
		at = (at + 1) & (size - 1);
	return &slots[at];
}

static bool grow(struct seen *seen)
{
	size_t size = seen->size * 2;
	uint64_t *slots = calloc(size, sizeof(*slots));

	if (slots == NULL)
		return false;
	for (size_t i = 0; i < seen->size; i++)
		if (seen->slots[i] != 0)
			*slot_of(slots, size, seen->slots[i]) = seen->slots[i];
	free(seen->slots);
	seen->slots = slots;
	seen->size = size;
	return true;
}

/* Never 0, which is a free slot; 0: libcrypto failed. */
static uint64_t key_of(struct span id)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	uint64_t key;

	if (EVP_Digest(id.data, id.size, digest, NULL, EVP_sha256(), NULL) != 1)
		return 0;
	memcpy(&key, digest, sizeof(key));
	return key | (key == 0);
}

bool seen_has(const struct seen *seen, struct span id)
{
	uint64_t key = key_of(id);

	return key != 0 && *slot_of(seen->slots, seen->size, key) == key;
}

enum seen_result seen_add(struct seen *seen, struct span id)
{
	uint64_t key = key_of(id), *slot;

	if (key == 0)
		return SEEN_FAILED;
	slot = slot_of(seen->slots, seen->size, key);
	if (*slot == key)
		return SEEN_BEFORE;
	if (seen->used >= seen->size / 4 * 3) {
		if (!grow(seen))
			return SEEN_FAILED;
		slot = slot_of(seen->slots, seen->size, key);
	}
	*slot = key;
	seen->used++;
	return SEEN_NEW;
}
