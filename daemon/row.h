/*
 * row: records <-> the stored JSON and blob, byte for byte what the reference writes.
 *
 *   meta row      payload = the meta's JSON; no blob
 *   string entry  payload = {"kind":"since","encoding":"json","version":"…","data":"…"[,"lineage":"…"]}; no blob
 *   bytes entry   payload = {"kind":"entirety","encoding":"binary","version":"…"[,"lineage":"…"]}; blob = the bytes
 */
#ifndef KYNETA_DAEMON_ROW_H
#define KYNETA_DAEMON_ROW_H

#include "daemon/engine.h"
#include "protocol/message.h"

/*
 * row_encode(record, scratch, row) - the row of a record. An entry's payload is written to @scratch (reset first) and
 * the row points into it and into the record. 0, or ERROR_IO_ERROR when there is no memory.
 */
int row_encode(const struct record *record, struct buffer *scratch, struct engine_row *row);

/*
 * row_decode(row, scratch, record) - the record of a row. Rows as the reference writes them are read in place, without
 * a copy unless a string has escapes (those go to @scratch, which is reset first); rows with other white space, key
 * order or unknown keys are read too; "epoch" (2.2.0) is read as lineage. The record points into the row and into
 * @scratch. 0; ERROR_CORRUPT for a row that is no record, with *reason (static); ERROR_IO_ERROR when there is no
 * memory. A meta row's text is given as it is. A lone surrogate in an entry's strings becomes U+FFFD.
 */
int row_decode(const struct engine_row *row, struct buffer *scratch, struct record *record, const char **reason);

#endif
