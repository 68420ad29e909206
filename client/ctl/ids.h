/*
 * ids: document ids and prefixes as they are written on the command line.
 *
 * As they are; or with --escaped as `list` prints them, so that an id with a line feed, a NUL or a character that
 * cannot be seen can be written at all.
 */
#ifndef KYNETA_CTL_IDS_H
#define KYNETA_CTL_IDS_H

#include "protocol/buffer.h"

/*
 * ids_read(argument, escaped, storage, id) - the id that @argument stands for; a view into it or into @storage. 0, or
 * -1 if it is not UTF-8, or not written as escapes are.
 */
int ids_read(const char *argument, bool escaped, struct buffer *storage, struct span *id);

#endif
