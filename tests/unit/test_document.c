/* What the writer remembers of documents: committed state, the batch on top, bounded. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "daemon/document.h"

static struct document_cache cache;
static const struct store *const store_a = (const struct store *)&cache, *const store_b =
									     (const struct store *)&store_a;

static void init(void)
{
	document_cache_init(&cache, 1 << 20);
}

static void fini(void)
{
	document_cache_free(&cache);
}

TestSuite(document, .init = init, .fini = fini);

static struct document *remember(const struct store *store, const char *id, const char *meta, uint64_t next)
{
	struct document_state state = {.next = next};

	if (meta != NULL)
		state.meta = meta_text_new(span_of_string(meta));
	return document_add(&cache, store, span_of_string(id), state);
}

Test(document, stores_are_told_apart)
{
	remember(store_a, "x", "{}", 3);
	cr_assert_null(document_find(&cache, store_b, SPAN_LITERAL("x")));
	cr_assert_eq(document_find(&cache, store_a, SPAN_LITERAL("x"))->state.next, 3);
	cr_assert_null(document_find(&cache, store_a, SPAN_LITERAL("")));
}

Test(document, rollback_forgets_the_batch_and_commit_keeps_it)
{
	struct document *document = remember(store_a, "x", "{\"a\":1}", 3);

	document_change(&cache, document);
	document->state.next = 7;
	cr_assert(document_set_meta(document, SPAN_LITERAL("{\"b\":2}")));
	document_rollback(&cache);
	cr_assert_eq(document->state.next, 3);
	cr_assert(span_equal(meta_text_span(document->state.meta), SPAN_LITERAL("{\"a\":1}")));

	document_change(&cache, document);
	document->state.next = 8;
	document_set_meta(document, SPAN_NONE);
	document_commit(&cache);
	cr_assert_eq(document->committed.next, 8);
	cr_assert_null(document->committed.meta);
	document_rollback(&cache);
	cr_assert_eq(document->state.next, 8, "nothing is left to roll back");
}

Test(document, empty_meta_text_is_not_no_meta)
{
	struct document *document = remember(store_a, "x", NULL, 0);

	document_change(&cache, document);
	cr_assert(document_set_meta(document, SPAN_LITERAL("")));
	cr_assert_not_null(document->state.meta);
}

Test(document, oldest_go_first_but_never_what_the_batch_changed)
{
	struct document *changed;
	char id[16];

	cache.limit_bytes = 100 * (sizeof(struct document) + 64);
	changed = remember(store_a, "changed", "{}", 0);
	document_change(&cache, changed);
	for (int i = 0; i < 1000; i++) {
		snprintf(id, sizeof(id), "%d", i);
		remember(store_a, id, "{}", 0);
		cr_assert(i < 5 || document_find(&cache, store_a, SPAN_LITERAL("5")) != NULL);
	}
	cr_assert_leq(cache.bytes, cache.limit_bytes + 2 * (sizeof(struct document) + 64));
	cr_assert_eq(document_find(&cache, store_a, SPAN_LITERAL("changed")), changed);
	cr_assert_not_null(document_find(&cache, store_a, SPAN_LITERAL("5")), "used all the time");
	cr_assert_null(document_find(&cache, store_a, SPAN_LITERAL("6")));
	document_commit(&cache);
	document_forget_all(&cache);
	cr_assert_eq(cache.bytes, 0);
}
