/*
 * digest: SHA-256 over the records of one document, as recorded sessions note what a loadAll must give.
 *
 * One line per record, each ending in a line feed: `meta|H(text of the meta)`, or
 * `entry|kind|encoding|H(version)|H(lineage) or -|s or b|H(data)`; s: data is a string, b: bytes;
 * H: SHA-256 in hexadecimal. The digest is H of all lines together.
 */
#ifndef KYNETA_CTL_DIGEST_H
#define KYNETA_CTL_DIGEST_H

#include "client/include/kyneta/store.h"
#include "protocol/span.h"

#define DIGEST_HEX_SIZE 64

struct digest;

/* digest_new() - over no records yet. NULL: no memory. */
struct digest *digest_new(void);

/* digest_free(digest) - NULL is fine. */
void digest_free(struct digest *digest);

/* digest_add(digest, record) - the next record. False: libcrypto failed; the digest is worth nothing then. */
bool digest_add(struct digest *digest, const struct kyneta_store_record *record);

/* digest_finish(digest, hex) - write the digest, NUL-terminated. Nothing can be added after that. False: as digest_add.
 */
bool digest_finish(struct digest *digest, char hex[DIGEST_HEX_SIZE + 1]);

#endif
