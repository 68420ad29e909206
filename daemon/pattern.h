/*
 * pattern: names of stores as sections of the configuration give them: a name, or a pattern (fnmatch(3)) of names.
 *
 * Names of tables fold as in SQLite, by ASCII alone. Any thread.
 */
#ifndef KYNETA_DAEMON_PATTERN_H
#define KYNETA_DAEMON_PATTERN_H

#include <stddef.h>

/*
 * pattern_closeness(pattern, store) - 0: it does not fit this store. Else the larger the closer: the very name before
 * any pattern, a longer pattern before a shorter one.
 */
size_t pattern_closeness(const char *pattern, const char *store);

#endif
