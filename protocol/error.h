/*
 * error: every code that goes over the wire, once.
 *
 * ERROR_LIST is the one table: enum, names, and the table in PROTOCOL.md (a test compares them) come from it.
 */
#ifndef KYNETA_PROTOCOL_ERROR_H
#define KYNETA_PROTOCOL_ERROR_H

#include <stdbool.h>
#include <stdint.h>

/* X(constant, code, name, what a person should know) */
#define ERROR_LIST(X)                                                                                                  \
	X(MALFORMED, 100, malformed, "the frame is not one well-formed message")                                       \
	X(FRAME_TOO_LARGE, 101, frame_too_large, "the frame is larger than the limit")                                 \
	X(NO_COMMON_VERSION, 102, no_common_version, "no protocol version is spoken by both sides")                    \
	X(HELLO_EXPECTED, 103, hello_expected, "the first request must be hello")                                      \
	X(UNKNOWN_OP, 104, unknown_op, "this operation is not known")                                                  \
	X(BAD_ARGUMENT, 105, bad_argument, "an argument is missing or has a wrong type or value")                      \
	X(ENTRY_BEFORE_META, 200, entry_before_meta, "the first record of a document must be its metadata")            \
	X(META_MISSING, 201, meta_missing, "a replacing batch must hold metadata")                                     \
	X(REPLICA_TYPE_MISMATCH, 202, replica_type_mismatch, "the document has another replicaType")                   \
	X(SYNC_MODE_MISMATCH, 203, sync_mode_mismatch, "the document has another syncMode")                            \
	X(BAD_META, 204, bad_meta, "the metadata is not what a store can keep")                                        \
	X(TOO_LARGE, 205, too_large, "a record is larger than the database can hold")                                  \
	X(CONFLICT, 300, conflict, "the document does not stand where it was expected")                                \
	X(CHANGED, 301, changed, "the document was replaced or deleted while it was read")                             \
	X(BUSY, 400, busy, "a quota is used up; try again later")                                                      \
	X(DENIED, 401, denied, "not allowed")                                                                          \
	X(READ_ONLY, 402, read_only, "opened for reading only")                                                        \
	X(STORE_IN_USE, 403, store_in_use, "the store is in exclusive use")                                            \
	X(TOO_MANY_CONNECTIONS, 404, too_many_connections, "the limit of connections is reached")                      \
	X(DISK_FULL, 500, disk_full, "no space is left")                                                               \
	X(IO_ERROR, 501, io_error, "reading or writing the database failed")                                           \
	X(CORRUPT, 502, corrupt, "the database is damaged")                                                            \
	X(DRAINING, 503, draining, "the daemon is stopping")                                                           \
	X(INCOMPATIBLE_FORMAT, 504, incompatible_format, "the store has a format that must not be touched")            \
	X(NO_SUCH_STORE, 505, no_such_store, "there is no such store")

enum error_code {
	ERROR_NONE = 0,
#define X(constant, code, name, meaning) ERROR_##constant = (code),
	ERROR_LIST(X)
#undef X
};

/* What became of a failed write. */
enum error_outcome { OUTCOME_NONE = -1, OUTCOME_NOT_APPLIED = 0, OUTCOME_UNKNOWN = 1 };

/* error_name(code) - "malformed" …; "unknown_error" for a code that is not in the table. Never NULL. */
const char *error_name(uint64_t code);

/* error_meaning(code) - what the code means, for a person. Never NULL. */
const char *error_meaning(uint64_t code);

/* error_is_outside(code) - did the write fail for a reason outside itself (4xx, 5xx), so that a pipeline must stop? */
static inline bool error_is_outside(uint64_t code)
{
	return code >= 400 && code < 600;
}

#endif
