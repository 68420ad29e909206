/*
 * blocking: a document, from nothing to read back, with the calls that wait.
 *
 *     example-blocking [SOCKET]         without an argument: $KYNETA_STORE_SOCKET, or the default
 *
 * Build it against an installed library with
 *
 *     cc blocking.c -o blocking $(pkg-config --cflags --libs kyneta-store)
 */
#include <kyneta/store.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char id[] = "example/blocking";

/* A document begins with its metadata: what replica wrote it, and how it is synchronized. */
static const char meta[] = "{\"replicaType\":[\"plain\",1,0],\"syncMode\":{\"writerModel\":\"serialized\","
			   "\"delivery\":\"delta-capable\",\"durability\":\"persistent\"},\"schemaHash\":\"example\"}";

static _Noreturn void give_up(const char *what, const struct kyneta_store_error *error)
{
	fprintf(stderr, "%s: %s (%s)\n", what, error->message, kyneta_store_error_name(error->code));
	exit(1);
}

/* Called for each record of the document, in order. What it points to is gone when this returns. */
static bool print_record(void *context, const struct kyneta_store_record *record)
{
	int *count = context;

	(*count)++;
	if (record->type == KYNETA_STORE_META)
		printf("  meta   %.*s\n", (int)record->meta_size, record->meta);
	else
		printf("  entry  version %.*s, %zu bytes: %.*s\n", (int)record->version_size, record->version,
		       record->data_size, (int)record->data_size, (const char *)record->data);
	return true; /* false would stop the load */
}

int main(int argc, char **argv)
{
	struct kyneta_store_options options = KYNETA_STORE_OPTIONS_INIT;
	struct kyneta_store_error error;
	struct kyneta_store_position at;
	kyneta_store *store;
	int count = 0;

	options.path = argc > 1 ? argv[1] : NULL;
	options.name = "example-blocking";
	options.deadline_ms = 5000; /* without it, calls wait for the daemon as long as it takes */
	if (kyneta_store_open(&options, &store, &error) != 0)
		give_up("open", &error);

	/* Start from nothing, so that the example can be run twice. */
	if (kyneta_store_delete(store, id, strlen(id), NULL, NULL, &error) != 0)
		give_up("delete", &error);

	/* Both records go in together, or not at all; when the call returns they are on the disk. */
	const struct kyneta_store_record records[] = {
	    {.type = KYNETA_STORE_META, .meta = meta, .meta_size = strlen(meta)},
	    {.type = KYNETA_STORE_ENTRY,
	     .kind = KYNETA_STORE_ENTIRETY,
	     .encoding = KYNETA_STORE_JSON,
	     .version = "1",
	     .version_size = 1,
	     .data_is_text = true,
	     .data = "{\"hello\":\"world\"}",
	     .data_size = 17},
	};
	if (kyneta_store_append(store, id, strlen(id), records, 2, NULL, &at, &error) != 0)
		give_up("append", &error);
	printf("appended; the next record will be number %llu\n", (unsigned long long)at.next);

	printf("%s holds:\n", id);
	if (kyneta_store_load_all(store, id, strlen(id), print_record, &count, NULL, &error) != 0)
		give_up("load", &error);
	printf("%d records\n", count);

	if (kyneta_store_close(store, &error) != 0)
		give_up("close", &error);
	kyneta_store_free(store);
	return 0;
}
