#include "daemon/pattern.h"

#include <fnmatch.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

size_t pattern_closeness(const char *pattern, const char *store)
{
	if (strcasecmp(pattern, store) == 0)
		return SIZE_MAX;
	return fnmatch(pattern, store, FNM_CASEFOLD) == 0 ? strlen(pattern) : 0;
}
