#include "tests/bench/server.h"

#include <stdio.h>
#include <string.h>

static bool take(void *context, const char *name, size_t name_size, uint64_t number, const char *text, size_t text_size)
{
	struct server_counters *counters = context;

	(void)text;
	(void)text_size;
#define X(counter)                                                                                                     \
	if (name_size == sizeof(#counter) - 1 && memcmp(name, #counter, name_size) == 0)                               \
		counters->counter = number;
	SERVER_COUNTERS(X)
	SERVER_LEVELS(X)
#undef X
	return true;
}

int server_read(kyneta_store *store, struct server_counters *counters)
{
	struct kyneta_store_error error;

	memset(counters, 0, sizeof(*counters));
	if (kyneta_store_stats(store, take, counters, &error) == 0)
		return 0;
	fprintf(stderr, "kyneta-store-bench: the daemon's counters: %s\n", error.message);
	return -1;
}

void server_since(struct server_counters *counters, const struct server_counters *before)
{
#define X(counter) counters->counter -= before->counter;
	SERVER_COUNTERS(X)
#undef X
}
