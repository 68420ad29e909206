/*
 * meta: StoreMeta, read from its JSON and compared by the rules of a store.
 *
 * The text itself is kept verbatim by whoever owns it; a struct meta is a view into it.
 */
#ifndef KYNETA_PROTOCOL_META_H
#define KYNETA_PROTOCOL_META_H

#include "protocol/buffer.h"
#include "protocol/json.h"
#include "protocol/span.h"

/* The layouts of a store differ in the name of one key of every meta. */
enum layout {
	LAYOUT_NONE = 0, /* not made yet */
	LAYOUT_1 = 1,	 /* syncProtocol */
	LAYOUT_2 = 2,	 /* syncMode */
};

struct meta {
	struct span text;				      /* the whole JSON */
	enum layout layout;				      /* by which of the two keys it has */
	struct json_value replica_name;			      /* replicaType: name, */
	int64_t replica_major;				      /*   major, */
	int64_t replica_minor;				      /*   minor */
	struct json_value sync_mode;			      /* the object, as written */
	struct json_value writer_model, delivery, durability; /* its three strings */
};

/*
 * meta_read(text, meta, reason) - check and read a meta. 0, or -1 with *reason a static text ("not a JSON object" …)
 * that says what is wrong: not JSON, not an object, deeper than 512, replicaType not [string, integer, integer],
 * neither or both of syncMode/syncProtocol, not an object with the three strings, schemaHash not a string.
 */
int meta_read(struct span text, struct meta *meta, const char **reason);

/* meta_key(layout) - "syncProtocol" or "syncMode". */
const char *meta_key(enum layout layout);

enum meta_difference { META_SAME, META_REPLICA_TYPE, META_SYNC_MODE };

/* meta_compare(a, b) - the first difference that matters: name and major of replicaType, then syncMode's three keys. */
enum meta_difference meta_compare(const struct meta *existing, const struct meta *incoming);

/*
 * meta_mismatch_text(out, difference, existing, incoming, within_batch, layout) - append the contract's exact text:
 *   Store: replicaType mismatch for document — existing [plain,1,0] vs incoming [plain,2,0]
 *   Store: syncMode mismatch within batch — {JSON} vs {JSON}
 * The key named is that of @layout.
 */
void meta_mismatch_text(struct buffer *out, enum meta_difference difference, const struct meta *existing,
			const struct meta *incoming, bool within_batch, enum layout layout);

#endif
