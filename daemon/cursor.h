/*
 * cursor: what a client hands back to go on reading. Stateless: everything the daemon needs is in it.
 *
 * A load's cursor says where the stream stood: generation, next record to give, end. A listing's is the last id given.
 * Both carry a check over their content and what they belong to (store, document or prefix), so that a cursor for
 * something else, or bytes made up, are told apart from a real one. The check is against mistakes, not against
 * attackers: a forged cursor reads nothing that its sender may not read anyway.
 */
#ifndef KYNETA_DAEMON_CURSOR_H
#define KYNETA_DAEMON_CURSOR_H

#include "protocol/buffer.h"
#include "protocol/message.h"

struct load_cursor {
	uint64_t generation, next, end;
};

/* cursor_put_…(out, …) - append the bytes of a cursor; @store_key and @of (document or prefix) are what it belongs to.
 */
void cursor_put_load(struct buffer *out, const char *store_key, struct span document, struct load_cursor cursor);
void cursor_put_list(struct buffer *out, const char *store_key, struct span prefix, struct span last);

/* cursor_get_…(bytes, …) - read one back. False: it was not made for this. The last id is a view into @bytes. */
bool cursor_get_load(struct span bytes, const char *store_key, struct span document, struct load_cursor *cursor);
bool cursor_get_list(struct span bytes, const char *store_key, struct span prefix, struct span *last);

#endif
