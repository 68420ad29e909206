/*
 * hash: uthash, told that running out of memory is no reason to end the process.
 *
 * After HASH_ADD…(hh, table, …, element) ask hash_added(element->hh): false means that there was no memory and the
 * element is not in the table.
 */
#ifndef KYNETA_DAEMON_HASH_H
#define KYNETA_DAEMON_HASH_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define hash_added(handle) ((handle).tbl != NULL)

#endif
