#include "tests/contract/calls.h"

#include <stdlib.h>

_Thread_local struct kyneta_store_error failure;
_Thread_local struct kyneta_store_position at;

/* ---- handles ---- */

struct kyneta_store_options options_for(const struct stored *of)
{
	struct kyneta_store_options options = KYNETA_STORE_OPTIONS_INIT;

	options.path = of->socket;
	options.name = "contract";
	options.deadline_ms = HARNESS_PATIENCE_MS;
	options.backoff_base_ms = 1;
	options.backoff_max_ms = 20;
	return options;
}

struct kyneta_store_options options_named(const char *meta_table, const char *records_table, const char *store_table)
{
	struct kyneta_store_options options = options_for(&stored);

	options.meta_table = meta_table;
	options.records_table = records_table;
	options.store_table = store_table;
	return options;
}

int store_layout(const kyneta_store *store)
{
	struct kyneta_store_status status;

	kyneta_store_get_status(store, &status);
	return status.layout;
}

kyneta_store *store_open_with(const struct kyneta_store_options *options)
{
	kyneta_store *store = NULL;

	OK(kyneta_store_open(options, &store, &failure));
	cr_assert_not_null(store);
	return store;
}

kyneta_store *store_open(void)
{
	struct kyneta_store_options options = options_for(&stored);

	return store_open_with(&options);
}

int store_try(const struct kyneta_store_options *options)
{
	kyneta_store *store = NULL;
	int code = kyneta_store_open(options, &store, &failure);

	if (code == 0)
		kyneta_store_free(store);
	return code;
}

void store_leave(kyneta_store *store)
{
	OK(kyneta_store_close(store, &failure));
	kyneta_store_free(store);
}

/* ---- calls ---- */

int append(kyneta_store *store, struct span id, const struct kyneta_store_record *records, size_t count,
	   const struct kyneta_store_write *write)
{
	return kyneta_store_append(store, (const char *)id.data, id.size, records, count, write, &at, &failure);
}

int replace(kyneta_store *store, struct span id, const struct kyneta_store_record *records, size_t count,
	    const struct kyneta_store_write *write)
{
	return kyneta_store_replace(store, (const char *)id.data, id.size, records, count, write, &at, &failure);
}

int delete_with(kyneta_store *store, struct span id, const struct kyneta_store_write *write)
{
	return kyneta_store_delete(store, (const char *)id.data, id.size, write, &at, &failure);
}

struct kyneta_store_write expecting(struct kyneta_store_position position)
{
	struct kyneta_store_write write = KYNETA_STORE_WRITE_INIT;

	write.has_expect = true;
	write.expect = position;
	return write;
}

struct kyneta_store_write durable(int durability)
{
	struct kyneta_store_write write = KYNETA_STORE_WRITE_INIT;

	write.durability = durability;
	return write;
}

void must_succeed(void *context, const struct kyneta_store_answer *answer)
{
	unsigned *answered = context;

	cr_assert_null(answer->error, "%s", answer->error == NULL ? "" : answer->error->message);
	(*answered)++;
}

void send_record(kyneta_store *store, struct span id, struct kyneta_store_record record, unsigned *answered)
{
	cr_assert_eq(
	    kyneta_store_send_append(store, (const char *)id.data, id.size, &record, 1, NULL, must_succeed, answered),
	    0);
}

struct kyneta_store_position position_of(kyneta_store *store, struct span id)
{
	char *text = NULL;

	OK(kyneta_store_current_meta(store, (const char *)id.data, id.size, &text, NULL, &at, &failure));
	kyneta_store_release(text);
	return at;
}

static bool count_one(void *context, const struct kyneta_store_record *record)
{
	size_t *count = context;

	(void)record;
	(*count)++;
	return true;
}

size_t count_records(kyneta_store *store, struct span id)
{
	size_t count = 0;

	OK(kyneta_store_load_all(store, (const char *)id.data, id.size, count_one, &count, &at, &failure));
	return count;
}

struct stat_wanted {
	const char *name;
	bool found;
	uint64_t number;
};

static bool look_at_stat(void *context, const char *name, size_t name_size, uint64_t number, const char *text,
			 size_t text_size)
{
	struct stat_wanted *wanted = context;

	(void)text_size;
	if (text == NULL && name_size == strlen(wanted->name) && memcmp(name, wanted->name, name_size) == 0) {
		wanted->found = true;
		wanted->number = number;
	}
	return true;
}

uint64_t stat_of(kyneta_store *store, const char *name)
{
	struct stat_wanted wanted = {.name = name};

	OK(kyneta_store_stats(store, look_at_stat, &wanted, &failure));
	cr_assert(wanted.found, "there is no counter %s", name);
	return wanted.number;
}

/* ---- comparing ---- */

static bool same_bytes(const void *a, size_t a_size, const void *b, size_t b_size)
{
	return a_size == b_size && (a_size == 0 || memcmp(a, b, a_size) == 0);
}

bool records_same(const struct kyneta_store_record *a, const struct kyneta_store_record *b)
{
	if (a->type != b->type)
		return false;
	if (a->type == KYNETA_STORE_META)
		return same_bytes(a->meta, a->meta_size, b->meta, b->meta_size);
	return a->kind == b->kind && a->encoding == b->encoding && a->data_is_text == b->data_is_text &&
	       a->has_lineage == b->has_lineage &&
	       same_bytes(a->version, a->version_size, b->version, b->version_size) &&
	       same_bytes(a->data, a->data_size, b->data, b->data_size) &&
	       (!a->has_lineage || same_bytes(a->lineage, a->lineage_size, b->lineage, b->lineage_size));
}

struct stream_wanted {
	const struct kyneta_store_record *records;
	size_t count, seen;
	size_t wrong; /* the first that is not as wanted */
};

static bool compare_record(void *context, const struct kyneta_store_record *record)
{
	struct stream_wanted *wanted = context;

	if (wanted->wrong > wanted->seen &&
	    (wanted->seen >= wanted->count || !records_same(&wanted->records[wanted->seen], record)))
		wanted->wrong = wanted->seen;
	wanted->seen++;
	return true;
}

void stream_is(kyneta_store *store, struct span id, const struct kyneta_store_record *records, size_t count,
	       const char *file, int line)
{
	struct stream_wanted wanted = {.records = records, .count = count, .wrong = SIZE_MAX};
	int code = kyneta_store_load_all(store, (const char *)id.data, id.size, compare_record, &wanted, &at, &failure);

	cr_assert_eq(code, 0, "%s:%d: %d %s", file, line, code, failure.message);
	cr_assert_eq(wanted.wrong, SIZE_MAX, "%s:%d: record %zu is not as it should be", file, line, wanted.wrong);
	cr_assert_eq(wanted.seen, count, "%s:%d: %zu records, not %zu", file, line, wanted.seen, count);
}

void current_is(kyneta_store *store, struct span id, const char *json, const char *file, int line)
{
	char *text = NULL;
	size_t size = 0;
	int code = kyneta_store_current_meta(store, (const char *)id.data, id.size, &text, &size, &at, &failure);

	cr_assert_eq(code, 0, "%s:%d: %d %s", file, line, code, failure.message);
	if (json == NULL)
		cr_assert_null(text, "%s:%d: there is metadata: %s", file, line, text);
	else
		cr_assert(text != NULL && same_bytes(text, size, json, strlen(json)), "%s:%d: the metadata is %s", file,
			  line, text == NULL ? "(none)" : text);
	kyneta_store_release(text);
}

struct list_wanted {
	const struct span *ids;
	size_t count, seen, wrong;
};

static bool compare_id(void *context, const char *id, size_t id_size)
{
	struct list_wanted *wanted = context;

	if (wanted->wrong > wanted->seen &&
	    (wanted->seen >= wanted->count || !span_equal(wanted->ids[wanted->seen], span_of(id, id_size))))
		wanted->wrong = wanted->seen;
	wanted->seen++;
	return true;
}

void list_is(kyneta_store *store, struct span prefix, const struct span *ids, size_t count, const char *file, int line)
{
	struct list_wanted wanted = {.ids = ids, .count = count, .wrong = SIZE_MAX};
	int code =
	    kyneta_store_list_doc_ids(store, (const char *)prefix.data, prefix.size, compare_id, &wanted, &failure);

	cr_assert_eq(code, 0, "%s:%d: %d %s", file, line, code, failure.message);
	cr_assert_eq(wanted.wrong, SIZE_MAX, "%s:%d: id %zu is not as it should be", file, line, wanted.wrong);
	cr_assert_eq(wanted.seen, count, "%s:%d: %zu ids, not %zu", file, line, wanted.seen, count);
}
