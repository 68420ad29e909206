/*
 * model_data: the stores, documents, prefixes and records that the model test chooses from.
 *
 * A record is a number. Of metadata the tables tell what the rules need to know of it, so that the model reads no JSON;
 * of entries only what they are. The first of each table is the simplest.
 */
#ifndef KYNETA_TESTS_CONTRACT_MODEL_DATA_H
#define KYNETA_TESTS_CONTRACT_MODEL_DATA_H

#include "protocol/span.h"

#include <kyneta/store.h>

#define MODEL_DOCUMENTS	   9
#define MODEL_PREFIXES	   (MODEL_DOCUMENTS + 3)
#define MODEL_METAS	   20
#define MODEL_ENTRIES	   18
#define MODEL_RECORD_CODES (MODEL_METAS + MODEL_ENTRIES)
#define MODEL_RECORD_NONE  255 /* no record of the tables */
#define MODEL_STORE_KINDS  6

/* Entries that differ in nothing but what their names say. */
#define MODEL_NO_LINEAGE    (MODEL_METAS + 0)
#define MODEL_EMPTY_BYTES   (MODEL_METAS + 2)
#define MODEL_EMPTY_TEXT    (MODEL_METAS + 3)
#define MODEL_EMPTY_LINEAGE (MODEL_METAS + 11)

/* The documents' ids, in the order of a listing, and prefixes. */
extern const struct span model_documents[MODEL_DOCUMENTS];
extern const struct span model_prefixes[MODEL_PREFIXES];

/* How the two stores of a sequence are asked for. */
struct model_store_kind {
	bool default_tables; /* of store a: only one such sequence in a database */
	unsigned key[2];     /* the layout whose key their metadata has, mostly */
	unsigned forced[2];  /* the layout that a new store gets, whatever the metadata; 0: its */
};
extern const struct model_store_kind model_store_kinds[MODEL_STORE_KINDS];

struct model_meta {
	const char *json; /* @: the key */
	bool other_key;	  /* the key is that of the other layout */
	bool is_bad;	  /* no store takes it */
	bool is_no_text;  /* not UTF-8: the library does not take it */
	const char *type; /* what must be the same: name and major of replicaType, */
	const char *minor;
	const char *mode; /* the strings of syncMode, */
	const char *text; /* and how it is written */
};

static inline bool model_is_meta(unsigned code)
{
	return code < MODEL_METAS;
}

/* model_meta_of(code) - metadata. */
const struct model_meta *model_meta_of(unsigned code);

/* model_is_no_text(code) - does this record hold text that is not UTF-8? */
bool model_is_no_text(unsigned code);

/* model_record(code, key) - the record; the layout @key says which key metadata has. Valid for ever. */
struct kyneta_store_record model_record(unsigned code, unsigned key);

/* model_code_of(record, key) - the other way round, or MODEL_RECORD_NONE. */
unsigned model_code_of(const struct kyneta_store_record *record, unsigned key);

#endif
