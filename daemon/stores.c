/* stores: which stores there are, their counters, and what a batch does to all of them (store.h). */
#include "daemon/log.h"
#include "daemon/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* More numbers than one write-ahead log can hold replaces and deletes; and far from where counting would end. */
#define POWER_LOSS_JUMP (UINT64_C(1) << 28)

static int read_number(struct stores *stores, struct span key, uint64_t *number, struct failure *failure)
{
	struct engine *engine = stores->engine;
	bool found;
	int code;

	buffer_reset(&stores->meta);
	code = engine->class->get_own(engine, key, &found, &stores->meta, failure);
	if (code == 0)
		*number = found ? own_number(buffer_span(&stores->meta)) : 0;
	return code;
}

/* The counters as the file has them: at the start, and after another program has written. */
static int read_counters(struct stores *stores, struct failure *failure)
{
	int code = read_number(stores, OWN_KEY_COUNTER, &stores->generation, failure);

	if (code == 0)
		code = read_number(stores, OWN_KEY_FLOOR, &stores->floor, failure);
	stores->generation_pending = stores->generation;
	stores->floor_pending = stores->floor;
	return code;
}

/* Which boot of the machine this is; empty if it does not say. */
static void read_boot(struct stores *stores)
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (file == NULL)
		return;
	if (fgets(stores->boot, sizeof(stores->boot), file) == NULL)
		stores->boot[0] = '\0';
	stores->boot[strcspn(stores->boot, "\n")] = '\0';
	fclose(file);
}

static int jump(struct stores *stores, struct failure *failure)
{
	const struct engine_class *class = stores->engine->class;
	bool foreign;
	int code = class->begin(stores->engine, true, &foreign, failure);

	if (code != 0)
		return code;
	stores->generation_pending += POWER_LOSS_JUMP;
	stores->floor_pending = stores->generation_pending;
	code = stores_finish(stores, failure);
	if (code == 0)
		code = class->commit(stores->engine, failure);
	if (code == 0) {
		stores_committed(stores);
	} else {
		class->rollback(stores->engine);
		stores_rolled_back(stores);
	}
	return code;
}

static int check_boot(struct stores *stores, struct failure *failure)
{
	bool found;
	int code;

	buffer_reset(&stores->meta);
	code = stores->engine->class->get_own(stores->engine, OWN_KEY_BOOT, &found, &stores->meta, failure);
	if (code != 0 || !found)
		return code;
	/* Where the machine does not say, each crash of the daemon may have been one of the machine. */
	if (stores->boot[0] != '\0' && span_equal(buffer_span(&stores->meta), span_of_string(stores->boot)))
		return 0;
	log_write(LOG_NOTICE, "the machine went down while the daemon ran%s: documents get new generations",
		  stores->boot[0] == '\0' ? ", for all that is known" : "");
	code = jump(stores, failure);
	if (code == ERROR_DISK_FULL) {
		stores->engine->class->release_reserve(stores->engine);
		code = jump(stores, failure);
	}
	return code;
}

int stores_init(struct stores *stores, struct engine *engine, uint64_t max_count, uint64_t cache_bytes,
		struct failure *failure)
{
	int code;

	*stores = (struct stores){.engine = engine, .max_count = max_count};
	document_cache_init(&stores->documents, cache_bytes);
	read_boot(stores);
	code = read_counters(stores, failure);
	return code == 0 ? check_boot(stores, failure) : code;
}

void stores_limit(struct stores *stores, uint64_t max_count, uint64_t cache_bytes)
{
	stores->max_count = max_count;
	stores->documents.limit_bytes = cache_bytes;
}

void stores_free(struct stores *stores)
{
	document_cache_free(&stores->documents);
	while (stores->head != NULL) {
		struct store *store = stores->head;

		stores->head = store->next;
		free(store->names_memory);
		free(store);
	}
	buffer_free(&stores->scratch);
	buffer_free(&stores->key);
	buffer_free(&stores->meta);
}

/* Copies a name to @at, and moves @at behind it. */
static struct span copy_name(uint8_t **at, struct span from)
{
	struct span copy = span_of(*at, from.size);

	if (from.size > 0)
		memcpy(*at, from.data, from.size);
	*at += from.size;
	return copy;
}

static bool names_equal(const struct table_names *a, const struct table_names *b)
{
	return span_equal(a->meta, b->meta) && span_equal(a->records, b->records) && span_equal(a->store, b->store);
}

static struct store *store_new(struct stores *stores, const struct table_names *names)
{
	struct store *store = calloc(1, sizeof(*store));
	uint8_t *at;

	if (store == NULL)
		return NULL;
	/* One byte more, so that no names at all are not "no memory". */
	at = store->names_memory = malloc(names->meta.size + names->records.size + names->store.size + 1);
	if (at == NULL) {
		free(store);
		return NULL;
	}
	store->names.meta = copy_name(&at, names->meta);
	store->names.records = copy_name(&at, names->records);
	store->names.store = copy_name(&at, names->store);
	store->names.layout = names->layout;
	store->next = stores->head;
	stores->head = store;
	stores->count++;
	return store;
}

/* Was it never made, and has nobody it open? (A claim on it that waits for its holder does not count.) */
static bool is_droppable(const struct store *store)
{
	return store->sessions == 0 && atomic_load(&store->tables)->layout == LAYOUT_NONE;
}

static void drop_store(struct stores *stores, struct store **at)
{
	struct store *store = *at;

	document_forget_all(&stores->documents); /* some may be this store's, by its address */
	stores->engine->class->forget(stores->engine, atomic_load(&store->tables));
	*at = store->next;
	free(store->names_memory);
	free(store);
	stores->count--;
}

/* Makes room: hellos alone must not use the places up. */
static bool drop_unmade(struct stores *stores)
{
	for (struct store **at = &stores->head; *at != NULL; at = &(*at)->next) {
		if (!is_droppable(*at))
			continue;
		drop_store(stores, at);
		return true;
	}
	return false;
}

/* Are these two findings of one records table one store: is, or would be, the table of metadata the same? (Names fold
 * as in SQLite: only ASCII.) */
static bool is_same_store(const struct engine_tables *a, const struct engine_tables *b)
{
	bool same = false;

	for (int layout = LAYOUT_1; layout <= LAYOUT_2; layout++) {
		if (a->metadata[layout] == NULL || b->metadata[layout] == NULL)
			continue;
		if (strcasecmp(a->metadata[layout], b->metadata[layout]) != 0)
			return false;
		same = true;
	}
	return same;
}

/* Nothing came of these tables. But others may have asked for the same ones in other words. */
static void release_tables(struct stores *stores, const struct engine_tables *tables)
{
	for (const struct store *store = stores->head; store != NULL; store = store->next)
		if (atomic_load(&store->tables) == tables)
			return;
	stores->engine->class->forget(stores->engine, tables);
}

/* The store was looked for again, and found as @tables. */
static void found_again(struct stores *stores, struct store *store, const struct table_names *names,
			const struct engine_tables *tables)
{
	store->refused.code = 0;
	store->stale = false;
	/* Other words for a store that is not made yet change nothing about it. */
	if (tables->layout == LAYOUT_NONE && atomic_load(&store->tables)->layout == LAYOUT_NONE &&
	    !names_equal(&store->names, names))
		release_tables(stores, tables);
	else
		atomic_store(&store->tables, tables);
}

/*
 * The store whose records table is @tables's. One table belongs to one store: found under other names for its metadata,
 * it would be two caches over the same rows, and one of them would hide the other's documents.
 */
static int store_of_tables(struct stores *stores, const struct table_names *names, const struct engine_tables *tables,
			   struct store **store, struct failure *failure)
{
	struct store **at = &stores->head;
	const struct engine_tables *known;

	while (*at != NULL && strcmp(atomic_load(&(*at)->tables)->key, tables->key) != 0)
		at = &(*at)->next;
	known = *at == NULL ? NULL : atomic_load(&(*at)->tables);
	if (known != NULL && (names_equal(&(*at)->names, names) || is_same_store(known, tables))) {
		*store = *at;
		found_again(stores, *store, names, tables);
		return 0;
	}
	if (known != NULL && !is_droppable(*at)) {
		failure_set(failure, ERROR_BAD_ARGUMENT,
			    "the table %s belongs to a store with other names for its metadata", known->description);
		release_tables(stores, tables);
		return ERROR_BAD_ARGUMENT;
	}
	if (known != NULL)
		drop_store(stores, at);
	*store = store_new(stores, names);
	if (*store == NULL) {
		release_tables(stores, tables);
		return failure_no_memory(failure);
	}
	atomic_store(&(*store)->tables, tables);
	return 0;
}

/*
 * What is noted of the store that has these records: the name of its table of metadata and, behind a NUL, the digit of
 * its layout as far as that was known. Is it the one of @tables? *layout, of the same: 0 if it is not noted.
 */
static int read_pairing(struct stores *stores, const struct engine_tables *tables, enum pairing *pairing,
			uint64_t *layout, struct failure *failure)
{
	struct span noted;
	size_t name_size;
	bool found;
	int code;

	*pairing = PAIRING_NONE;
	*layout = 0;
	own_key_pairing(&stores->key, tables->key);
	buffer_reset(&stores->meta);
	if (stores->key.failed)
		return failure_no_memory(failure);
	code =
	    stores->engine->class->get_own(stores->engine, buffer_span(&stores->key), &found, &stores->meta, failure);
	if (code != 0 || !found)
		return code;
	noted = buffer_span(&stores->meta);
	name_size = noted.size == 0 ? 0 : strnlen((const char *)noted.data, noted.size);
	*pairing = PAIRING_OTHER;
	for (int each = LAYOUT_1; each <= LAYOUT_2; each++) {
		const char *name = tables->metadata[each];

		if (name != NULL && strlen(name) == name_size &&
		    strncasecmp(name, (const char *)noted.data, name_size) == 0)
			*pairing = PAIRING_SAME;
	}
	if (*pairing == PAIRING_SAME && noted.size == name_size + 2)
		*layout = noted.data[name_size + 1] == '1' ? LAYOUT_1 : LAYOUT_2;
	return 0;
}

/* Looks for a store's tables; where they are empty and do not tell their layout, it is what was noted. */
static int find_tables(struct stores *stores, const struct table_names *names, const struct engine_tables **tables,
		       struct failure *failure)
{
	const struct engine_class *class = stores->engine->class;
	struct table_names noted = *names;
	const struct engine_tables *first;
	enum pairing pairing;
	int code = class->find(stores->engine, names, &first, failure);

	if (code == 0 && first->is_there) {
		code = read_pairing(stores, first, &pairing, &noted.noted, failure);
		if (code == 0 && noted.noted != 0) {
			release_tables(stores, first);
			return class->find(stores->engine, &noted, tables, failure);
		}
		if (code != 0)
			release_tables(stores, first);
	}
	if (code == 0)
		*tables = first;
	return code;
}

/* Is this a store that somebody may open who is bound by rules? */
static int check_pairing(struct stores *stores, const struct engine_tables *tables, bool bound, enum pairing *pairing,
			 struct failure *failure)
{
	bool free = !engine_tables_exist(tables) || tables->is_default;
	uint64_t layout;
	int code = read_pairing(stores, tables, pairing, &layout, failure);

	if (code != 0 || !bound || *pairing == PAIRING_SAME || (*pairing == PAIRING_NONE && free))
		return code;
	return failure_set(failure, ERROR_DENIED,
			   "[store] knows %.200s, but not that its records are in %.200s: root or the daemon's own "
			   "user must have opened these together, to write",
			   store_name(tables), tables->description);
}

static struct store *store_by_names(struct stores *stores, const struct table_names *names)
{
	for (struct store *store = stores->head; store != NULL; store = store->next)
		if (names_equal(&store->names, names))
			return store;
	return NULL;
}

int stores_find(struct stores *stores, const struct hello *hello, bool bound, enum pairing *pairing,
		struct store **store, struct failure *failure)
{
	struct table_names names = {hello->meta_table, hello->records_table, hello->store_table, hello->layout, 0};
	struct engine *engine = stores->engine;
	const struct engine_tables *tables;
	int code;

	*store = store_by_names(stores, &names);
	if (*store != NULL && !(*store)->stale && (*store)->refused.code == 0 &&
	    atomic_load(&(*store)->tables)->layout != LAYOUT_NONE)
		return pairing == NULL ? 0
				       : check_pairing(stores, atomic_load(&(*store)->tables), bound, pairing, failure);
	if (*store != NULL && names.layout != 0)
		(*store)->names.layout = names.layout; /* not made yet: the latest wish counts */
	if (*store == NULL && stores->count >= stores->max_count && !drop_unmade(stores))
		return failure_set(failure, ERROR_BUSY, "%u stores are in use, which is the limit (max-stores)",
				   stores->count);
	code = find_tables(stores, &names, &tables, failure);
	/* Before it is remembered: who is denied must not be in others' way. */
	if (code == 0 && pairing != NULL) {
		code = check_pairing(stores, tables, bound, pairing, failure);
		if (code != 0)
			release_tables(stores, tables);
	}
	if (code == 0)
		code = store_of_tables(stores, &names, tables, store, failure);
	if (code == 0)
		code = engine->class->take(engine, failure);
	return code;
}

int stores_write_pairing(struct stores *stores, const struct store *store, struct failure *failure)
{
	const struct engine_tables *tables = store_tables(store);
	const char *name = store_name(tables);

	own_key_pairing(&stores->key, tables->key);
	buffer_reset(&stores->meta);
	buffer_append(&stores->meta, name, strlen(name));
	if (tables->layout != LAYOUT_NONE) {
		buffer_append_byte(&stores->meta, '\0');
		buffer_append_byte(&stores->meta, tables->layout == LAYOUT_1 ? '1' : '2');
	}
	if (stores->key.failed || stores->meta.failed)
		return failure_no_memory(failure);
	return stores->engine->class->put_own(stores->engine, buffer_span(&stores->key), buffer_span(&stores->meta),
					      failure);
}

void stores_refresh(struct stores *stores)
{
	for (struct store *store = stores->head; store != NULL; store = store->next) {
		const struct engine_tables *tables;

		if (!store->stale)
			continue;
		store->stale = false;
		store->refused.code = 0;
		if (find_tables(stores, &store->names, &tables, &store->refused) != 0) {
			log_write(LOG_ERROR, "store %s is refused from now on: %s",
				  atomic_load(&store->tables)->description, store->refused.message);
			continue;
		}
		atomic_store(&store->tables, tables);
	}
}

void stores_forget(struct stores *stores)
{
	document_forget_all(&stores->documents);
	for (struct store *store = stores->head; store != NULL; store = store->next) {
		store->stale = true;
		usage_forget(store);
	}
}

void stores_raise_floor(struct stores *stores)
{
	document_forget_all(&stores->documents); /* their generations are from below */
	stores->floor_pending = ++stores->generation_pending;
}

static int write_number(struct stores *stores, struct span key, uint64_t number, struct failure *failure)
{
	buffer_reset(&stores->meta);
	own_number_put(&stores->meta, number);
	if (stores->meta.failed)
		return failure_no_memory(failure);
	return stores->engine->class->put_own(stores->engine, key, buffer_span(&stores->meta), failure);
}

void stores_end(struct stores *stores)
{
	const struct engine_class *class = stores->engine->class;
	bool foreign;
	int code;

	/* Failing costs a jump at the next start, nothing else. */
	if (!stores->boot_written || class->begin(stores->engine, false, &foreign, NULL) != 0)
		return;
	code = class->delete_own(stores->engine, OWN_KEY_BOOT, NULL);
	if (code == 0 && foreign) {
		/* Nobody will be told that another program has written, unless it is written down now. */
		stores_raise_floor(stores);
		code = write_number(stores, OWN_KEY_COUNTER, stores->generation_pending, NULL);
		if (code == 0)
			code = write_number(stores, OWN_KEY_FLOOR, stores->floor_pending, NULL);
	}
	if (code != 0 || class->commit(stores->engine, NULL) != 0)
		class->rollback(stores->engine);
}

int stores_finish(struct stores *stores, struct failure *failure)
{
	int code = 0;

	if (!stores->boot_written)
		code =
		    stores->engine->class->put_own(stores->engine, OWN_KEY_BOOT, span_of_string(stores->boot), failure);
	if (code == 0 && stores->generation_pending != stores->generation)
		code = write_number(stores, OWN_KEY_COUNTER, stores->generation_pending, failure);
	if (code == 0 && stores->floor_pending != stores->floor)
		code = write_number(stores, OWN_KEY_FLOOR, stores->floor_pending, failure);
	for (struct store *store = stores->head; code == 0 && store != NULL; store = store->next)
		if (store->usage.changed)
			code = usage_finish(stores, store, failure);
	return code;
}

static void settle_stores(struct stores *stores, bool keep)
{
	for (struct store *store = stores->head; store != NULL; store = store->next) {
		if (store->created != NULL && keep)
			atomic_store(&store->tables, store->created);
		store->created = NULL;
		if (!usage_concerns(&store->usage))
			continue;
		if (keep)
			usage_committed(store);
		else
			usage_rolled_back(store);
	}
}

void stores_committed(struct stores *stores)
{
	document_commit(&stores->documents);
	settle_stores(stores, true);
	stores->boot_written = true;
	stores->generation = stores->generation_pending;
	stores->floor = stores->floor_pending;
}

void stores_rolled_back(struct stores *stores)
{
	document_rollback(&stores->documents);
	settle_stores(stores, false);
	stores->generation_pending = stores->generation;
	stores->floor_pending = stores->floor;
}
