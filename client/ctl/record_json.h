/*
 * record_json: a record in the JSON form of recorded sessions.
 *
 *   {"kind":"meta","meta":{…}}
 *   {"kind":"entry","payload":{"kind":"since","encoding":"binary","data":{"$base64":"…"},"lineage":"…"},"version":"…"}
 *
 * Data that is a string stays a string, bytes are {"$base64":"…"}; lineage may be absent. A meta is never taken apart:
 * its text is a slice of the line it stands in, so that its keys keep their order and everything else about it.
 */
#ifndef KYNETA_CTL_RECORD_JSON_H
#define KYNETA_CTL_RECORD_JSON_H

#include <stdio.h>

#include "client/include/kyneta/store.h"
#include "protocol/json.h"

/*
 * record_json_read(value, storage, record, reason) - the record that @value says.
 *
 * What has no escapes in it is a view into the text of @value; the rest is decoded to the end of @storage, which the
 * caller has given room for (RECORD_JSON_ROOM), so that it does not move. Both must outlive @record. 0, or -1 with a
 * static *reason; a string with a lone surrogate (\ud800) outside a meta is refused, as it has no UTF-8.
 */
int record_json_read(struct json_value value, struct buffer *storage, struct kyneta_store_record *record,
		     const char **reason);

/* What decoding all strings of a text can need: no escape and no base64 is shorter than what it stands for. */
#define RECORD_JSON_ROOM(text) ((text).size)

/*
 * record_json_read_expected(…) - the same for a record that was read somewhere: a lone surrogate is U+FFFD, which is
 * what a store gives in its place.
 */
int record_json_read_expected(struct json_value value, struct buffer *storage, struct kyneta_store_record *record,
			      const char **reason);

/*
 * record_json_write(file, scratch, record) - write it on one line, without a line feed, as JSON.stringify does. A line
 * feed or carriage return between the tokens of a meta becomes a space. Any size of data needs only a few KiB of
 * @scratch. False: no memory. Errors of the file are the caller's to see (ferror).
 */
bool record_json_write(FILE *file, struct buffer *scratch, const struct kyneta_store_record *record);

/* record_json_write_string(file, scratch, text) - write a JSON string, any size. False: no memory. */
bool record_json_write_string(FILE *file, struct buffer *scratch, struct span text);

/*
 * record_json_text(value, storage, text, reason) - the characters of a string that is to be sent: as record_json_read()
 * does with each of its strings.
 */
int record_json_text(struct json_value value, struct buffer *storage, struct span *text, const char **reason);

/* record_json_equal(a, b) - the same record, meta for meta text for text? */
bool record_json_equal(const struct kyneta_store_record *a, const struct kyneta_store_record *b);

#endif
