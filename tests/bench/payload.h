/*
 * payload: an entry's JSON as the daemon stores it, for backends with a table of the same shape.
 */
#ifndef KYNETA_BENCH_PAYLOAD_H
#define KYNETA_BENCH_PAYLOAD_H

#include <kyneta/store.h>

#include "protocol/buffer.h"

/* payload_write(out, record) - append it; of a meta the metadata itself. */
void payload_write(struct buffer *out, const struct kyneta_store_record *record);

#endif
