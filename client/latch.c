/*
 * latch: documents whose writes fail until resume.
 *
 * When a write fails for a reason outside itself, the daemon fails every later write of the connection to that
 * document, until a resume. A new connection knows nothing of that, so the library remembers it: what was behind the
 * failed write must not be sent again, or a pipeline would have a hole. The library's own reasons (a passed deadline; a
 * lost connection without a session) latch a document in the same way.
 *
 * A resume takes its place in the order of the calls: each one begins a new epoch. A latch concerns the calls of its
 * own epoch that came after the failed one: their ids are higher, or not given yet. So nothing has to be done when a
 * resume is sent or answered, except to forget old latches.
 */
#include <stdlib.h>

#include "client/handle.h"

/* FNV-1a */
static unsigned hash_of(const void *bytes, size_t size)
{
	const uint8_t *byte = bytes;
	unsigned hash = 2166136261u;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ byte[i]) * 16777619u;
	return hash;
}

/* Documents that are told apart, and the bytes of their ids. */
#define LATCHES_MAX	  4096
#define LATCHES_BYTES_MAX (1u << 20)

#define HASH_FUNCTION(bytes, size, hash) ((hash) = hash_of((bytes), (size)))
#define HASH_NONFATAL_OOM		 1
#define uthash_nonfatal_oom(latch)	 ((latch)->refused = true)
#include <uthash.h>

struct latch {
	UT_hash_handle hh;
	int code;
	bool refused; /* there was no memory to put it into the table */
	uint64_t id;  /* of the write that failed; 0: all writes of the epoch came after it */
	uint64_t epoch;
	size_t document_size;
	uint8_t key[]; /* the epoch, then the document */
};

/* Keys of ordinary documents are made on the stack. */
#define KEY_INLINE 256

struct key {
	uint8_t *bytes;
	size_t size;
	uint8_t room[KEY_INLINE];
};

static bool key_make(struct key *key, uint64_t epoch, struct span document)
{
	key->size = sizeof(epoch) + document.size;
	key->bytes = key->size <= sizeof(key->room) ? key->room : malloc(key->size);
	if (key->bytes == NULL)
		return false;
	memcpy(key->bytes, &epoch, sizeof(epoch));
	if (document.size > 0)
		memcpy(key->bytes + sizeof(epoch), document.data, document.size);
	return true;
}

static void key_free(struct key *key)
{
	if (key->bytes != key->room)
		free(key->bytes);
}

static struct latch *find(const struct latches *latches, const struct key *key)
{
	struct latch *latch;

	HASH_FIND(hh, latches->table, key->bytes, key->size, latch);
	return latch;
}

static bool insert(struct latches *latches, const struct key *key, const struct call *call, int code)
{
	struct latch *latch;

	if (HASH_COUNT(latches->table) >= LATCHES_MAX || call->document_size > LATCHES_BYTES_MAX - latches->bytes)
		return false;
	latch = calloc(1, sizeof(*latch) + key->size);
	if (latch == NULL)
		return false;
	latch->code = code;
	latch->id = call->id;
	latch->epoch = call->epoch;
	latch->document_size = call->document_size;
	memcpy(latch->key, key->bytes, key->size);
	HASH_ADD_KEYPTR(hh, latches->table, latch->key, key->size, latch);
	if (latch->refused) {
		free(latch);
		return false;
	}
	latches->bytes += latch->document_size;
	return true;
}

static void latch_everything(struct latches *latches, const struct call *call, int code)
{
	/* What is latched already stays so; a later epoch's calls all come after the first failure. */
	if (latches->all) {
		if (call->epoch > latches->all_last_epoch)
			latches->all_last_epoch = call->epoch;
		return;
	}
	latches->all = true;
	latches->all_epoch = latches->all_last_epoch = call->epoch;
	latches->all_id = call->id;
	latches->all_code = code;
}

static bool all_covers(const struct latches *latches, uint64_t epoch)
{
	return latches->all && epoch >= latches->all_epoch && epoch <= latches->all_last_epoch;
}

void latch_add(struct latches *latches, const struct call *call, int code)
{
	struct key key;
	bool is_kept = false;

	if (key_make(&key, call->epoch, call_document(call))) {
		/* The first failure of an epoch says which calls are behind it. */
		is_kept = find(latches, &key) != NULL || insert(latches, &key, call, code);
		key_free(&key);
	}
	if (!is_kept)
		latch_everything(latches, call, code);
}

static bool is_behind(const struct call *call, uint64_t id)
{
	return call->id == 0 || call->id > id;
}

int latch_find(const struct latches *latches, const struct call *call)
{
	struct latch *latch;
	struct key key;

	if (all_covers(latches, call->epoch) && is_behind(call, latches->all_id))
		return latches->all_code;
	if (latches->table == NULL)
		return 0;
	/* Without the memory to look, the write must not go. */
	if (!key_make(&key, call->epoch, call_document(call)))
		return KYNETA_STORE_EMEMORY;
	latch = find(latches, &key);
	key_free(&key);
	return latch != NULL && is_behind(call, latch->id) ? latch->code : 0;
}

bool latch_holds(const struct latches *latches, uint64_t epoch, struct span document)
{
	struct latch *latch;
	struct key key;

	if (all_covers(latches, epoch))
		return true;
	if (latches->table == NULL)
		return false;
	if (!key_make(&key, epoch, document))
		return true; /* a resume too many does no harm */
	latch = find(latches, &key);
	key_free(&key);
	return latch != NULL;
}

static void drop(struct latches *latches, struct latch *latch)
{
	HASH_DEL(latches->table, latch);
	latches->bytes -= latch->document_size;
	free(latch);
}

void latch_prune(struct latches *latches, uint64_t epoch)
{
	struct latch *latch, *following;

	HASH_ITER (hh, latches->table, latch, following) {
		if (latch->epoch < epoch)
			drop(latches, latch);
	}
	if (latches->all_last_epoch < epoch)
		latches->all = false;
	else if (latches->all_epoch < epoch)
		latches->all_epoch = epoch;
}

void latch_clear(struct latches *latches)
{
	latch_prune(latches, UINT64_MAX);
}
