/*
 * document: what the writer remembers of hot documents: identity, next seq, generation.
 *
 * Each entry has the committed state and, while a batch that changed it runs, the batch's state on top. A rollback
 * forgets the top, a commit keeps it. Bounded by bytes: the least recently used go first, never one that the batch has
 * changed. Writer thread only.
 */
#ifndef KYNETA_DAEMON_DOCUMENT_H
#define KYNETA_DAEMON_DOCUMENT_H

#include "daemon/hash.h"
#include "protocol/span.h"

struct store;

/* The text of a meta, shared by the states that have it. */
struct meta_text {
	unsigned references;
	size_t size;
	uint8_t text[];
};

struct document_state {
	struct meta_text *meta; /* NULL: the document does not exist */
	uint64_t next;
	uint64_t generation;
	bool own_generation; /* the number is the document's own, not the floor */
};

struct document {
	UT_hash_handle hh; /* keyed by store and id */
	struct document *older, *newer;
	struct document *next_changed;
	struct document_state committed;
	struct document_state state; /* with the batch so far */
	bool changed;
	size_t key_size;
	uint8_t key[];
};

struct document_cache {
	struct document *table;
	struct document *oldest, *newest;
	struct document *changed;
	size_t bytes, limit_bytes;
	uint8_t *key; /* scratch */
	size_t key_capacity;
};

void document_cache_init(struct document_cache *cache, size_t limit_bytes);
void document_cache_free(struct document_cache *cache);

/* document_find(cache, store, id) - what is remembered, or NULL. Valid until the next document_add or _forget_all. */
struct document *document_find(struct document_cache *cache, const struct store *store, struct span id);

/* document_add(cache, store, id, committed) - remember a state that was read; takes over its meta's reference. NULL
 * without memory. */
struct document *document_add(struct document_cache *cache, const struct store *store, struct span id,
			      struct document_state committed);

/* document_change(cache, document) - the batch is about to change document->state. */
void document_change(struct document_cache *cache, struct document *document);

/* document_set_meta(document, text) - replace state.meta by a copy of @text (SPAN_NONE: none). False without memory. */
bool document_set_meta(struct document *document, struct span text);

void document_commit(struct document_cache *cache);
void document_rollback(struct document_cache *cache);
void document_forget_all(struct document_cache *cache); /* not while anything is changed */

/* meta_text_new(text) - a copy with one reference; NULL without memory. */
struct meta_text *meta_text_new(struct span text);
void meta_text_release(struct meta_text *meta);

static inline struct span meta_text_span(const struct meta_text *meta)
{
	return meta == NULL ? SPAN_NONE : span_of(meta->text, meta->size);
}

#endif
