#include "tests/bench/backend.h"

#include <string.h>

static const struct backend *const backends[] = {
    &backend_kyneta,
#ifdef BENCH_HAVE_REDIS
    &backend_redis,
#endif
#ifdef BENCH_HAVE_POSTGRES
    &backend_postgres,
#endif
};

const struct backend *backend_find(const char *name)
{
	for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++)
		if (strcmp(backends[i]->name, name) == 0)
			return backends[i];
	return NULL;
}

const char *backend_names(void)
{
	return "kyneta"
#ifdef BENCH_HAVE_REDIS
	       ", redis"
#endif
#ifdef BENCH_HAVE_POSTGRES
	       ", postgres"
#endif
	    ;
}
