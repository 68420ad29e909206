#include "daemon/document.h"

#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

/* What an entry costs beside its key and meta: the entry itself and its place in the table. */
#define DOCUMENT_OVERHEAD (sizeof(struct document) + 2 * sizeof(void *))

struct meta_text *meta_text_new(struct span text)
{
	struct meta_text *meta = malloc(sizeof(*meta) + text.size);

	if (meta == NULL)
		return NULL;
	meta->references = 1;
	meta->size = text.size;
	memcpy(meta->text, text.data, text.size);
	return meta;
}

void meta_text_release(struct meta_text *meta)
{
	if (meta != NULL && --meta->references == 0)
		free(meta);
}

static struct meta_text *meta_text_share(struct meta_text *meta)
{
	if (meta != NULL)
		meta->references++;
	return meta;
}

void document_cache_init(struct document_cache *cache, size_t limit_bytes)
{
	*cache = (struct document_cache){.limit_bytes = limit_bytes};
}

static size_t document_bytes(const struct document *document)
{
	const struct meta_text *meta = document->committed.meta;

	return DOCUMENT_OVERHEAD + document->key_size + (meta == NULL ? 0 : sizeof(*meta) + meta->size);
}

/* The list from oldest to newest. */
static void unlink_document(struct document_cache *cache, struct document *document)
{
	if (document->older != NULL)
		document->older->newer = document->newer;
	else
		cache->oldest = document->newer;
	if (document->newer != NULL)
		document->newer->older = document->older;
	else
		cache->newest = document->older;
}

static void link_newest(struct document_cache *cache, struct document *document)
{
	document->older = cache->newest;
	document->newer = NULL;
	if (cache->newest != NULL)
		cache->newest->newer = document;
	else
		cache->oldest = document;
	cache->newest = document;
}

static void document_drop(struct document_cache *cache, struct document *document)
{
	assert(!document->changed);
	unlink_document(cache, document);
	HASH_DEL(cache->table, document);
	cache->bytes -= document_bytes(document);
	meta_text_release(document->committed.meta);
	meta_text_release(document->state.meta);
	free(document);
}

/* Drops the oldest that can go; what the batch has changed stays, so the limit may be exceeded by one batch. */
static void make_room(struct document_cache *cache)
{
	struct document *document = cache->oldest;

	while (document != NULL && cache->bytes > cache->limit_bytes) {
		struct document *newer = document->newer;

		if (!document->changed)
			document_drop(cache, document);
		document = newer;
	}
}

void document_forget_all(struct document_cache *cache)
{
	while (cache->oldest != NULL)
		document_drop(cache, cache->oldest);
}

void document_cache_free(struct document_cache *cache)
{
	document_rollback(cache);
	document_forget_all(cache);
	free(cache->key);
	*cache = (struct document_cache){0};
}

/* The key of an entry: which store, which document. */
static bool make_key(struct document_cache *cache, const struct store *store, struct span id, size_t *size)
{
	*size = sizeof(store) + id.size;
	if (*size > cache->key_capacity) {
		uint8_t *key = realloc(cache->key, *size * 2);

		if (key == NULL)
			return false;
		cache->key = key;
		cache->key_capacity = *size * 2;
	}
	memcpy(cache->key, &store, sizeof(store));
	if (id.size > 0)
		memcpy(cache->key + sizeof(store), id.data, id.size);
	return true;
}

struct document *document_find(struct document_cache *cache, const struct store *store, struct span id)
{
	struct document *document = cache->newest;
	size_t size = sizeof(store) + id.size;

	/* Clients write to one document for a while. */
	if (document != NULL && document->key_size == size && memcmp(document->key, &store, sizeof(store)) == 0 &&
	    (id.size == 0 || memcmp(document->key + sizeof(store), id.data, id.size) == 0))
		return document;
	if (!make_key(cache, store, id, &size))
		return NULL;
	HASH_FIND(hh, cache->table, cache->key, size, document);
	if (document != NULL && document != cache->newest) {
		unlink_document(cache, document);
		link_newest(cache, document);
	}
	return document;
}

struct document *document_add(struct document_cache *cache, const struct store *store, struct span id,
			      struct document_state committed)
{
	struct document *document;
	size_t size;

	make_room(cache);
	if (!make_key(cache, store, id, &size))
		goto no_memory;
	document = calloc(1, sizeof(*document) + size);
	if (document == NULL)
		goto no_memory;
	memcpy(document->key, cache->key, size);
	document->key_size = size;
	document->committed = committed;
	document->state = committed;
	meta_text_share(document->state.meta);
	HASH_ADD_KEYPTR(hh, cache->table, document->key, document->key_size, document);
	if (!hash_added(document->hh)) {
		meta_text_release(document->state.meta);
		free(document);
		goto no_memory;
	}
	link_newest(cache, document);
	cache->bytes += document_bytes(document);
	return document;
no_memory:
	meta_text_release(committed.meta);
	return NULL;
}

void document_change(struct document_cache *cache, struct document *document)
{
	if (document->changed)
		return;
	document->changed = true;
	LL_PREPEND2(cache->changed, document, next_changed);
}

bool document_set_meta(struct document *document, struct span text)
{
	struct meta_text *meta = NULL;

	assert(document->changed);
	if (text.data != NULL && document->state.meta != NULL && span_equal(meta_text_span(document->state.meta), text))
		return true;
	if (text.data != NULL) {
		meta = meta_text_new(text);
		if (meta == NULL)
			return false;
	}
	meta_text_release(document->state.meta);
	document->state.meta = meta;
	return true;
}

/* Makes one of the two states the other; the counted bytes are those of the committed one. */
static void settle(struct document_cache *cache, bool keep)
{
	struct document *document, *next;

	for (document = cache->changed; document != NULL; document = next) {
		struct document_state *from = keep ? &document->state : &document->committed;
		struct document_state *to = keep ? &document->committed : &document->state;

		next = document->next_changed;
		cache->bytes -= document_bytes(document);
		meta_text_release(to->meta);
		*to = *from;
		meta_text_share(to->meta);
		document->changed = false;
		cache->bytes += document_bytes(document);
	}
	cache->changed = NULL;
}

void document_commit(struct document_cache *cache)
{
	settle(cache, true);
}

void document_rollback(struct document_cache *cache)
{
	settle(cache, false);
}
