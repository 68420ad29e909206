/*
 * model: what a store must do, in memory.
 *
 * The rules of the seven operations, as simple as can be: documents in an array, records as numbers. It is told each
 * step before the daemon is, and says what must come of it, as text: what the call returns, and where the document
 * stands. Of a generation only the contract's promises are known: that it is the same, or a new one, which is higher.
 * What number it is, the model learns from answers, and needs it only to say what a write expects.
 *
 * A model may be wrong on purpose, in one of the ways of MODEL_MISTAKES: a test that compares it with the daemon must
 * fail then.
 */
#ifndef KYNETA_TESTS_CONTRACT_MODEL_H
#define KYNETA_TESTS_CONTRACT_MODEL_H

#include "tests/contract/model_data.h"
#include "tests/contract/model_step.h"

/* X(NAME, what the model believes, steps): a sequence of so many steps is left when it is made short. */
#define MODEL_MISTAKES(X)                                                                                              \
	X(NONE, "", 0)                                                                                                 \
	X(IDENTICAL_META, "an identical meta adds no row", 2)                                                          \
	X(FIRST_META, "the first meta of a batch is the current one", 2)                                               \
	X(ENTRY_FIRST, "an entry may come before any meta", 1)                                                         \
	X(META_FIRST, "the meta of a batch must be its first record", 1)                                               \
	X(EMPTY_REPLACE, "an empty batch is an empty document", 1)                                                     \
	X(MINOR, "the minor of replicaType is compared", 2)                                                            \
	X(MODE_BEFORE_TYPE, "syncMode is compared before replicaType", 2)                                              \
	X(WITHIN_BATCH, "metas of a batch are not compared with each other", 1)                                        \
	X(STORED_TEXT, "a mismatch tells syncMode as its first meta had it", 2)                                        \
	X(TORN_WRITE, "records before a refused one stay", 1)                                                          \
	X(OTHER_KEY, "a store takes metas with either key", 1)                                                         \
	X(EXPECT_NEXT, "expect looks at next only", 1)                                                                 \
	X(EXPECT_LAST, "expect is checked after the document's rules", 1)                                              \
	X(REPLACE_KEEPS_GENERATION, "a replace keeps the generation", 1)                                               \
	X(DELETE_KEEPS_META, "a delete keeps the metadata", 3)                                                         \
	X(DELETE_KEEPS_NEXT, "next goes on after a delete", 2)                                                         \
	X(DELETE_NOTHING, "to delete nothing makes a new generation", 2)                                               \
	X(EMPTY_BYTES, "empty bytes are empty text", 1)                                                                \
	X(EMPTY_LINEAGE, "an empty lineage is none", 2)                                                                \
	X(PREFIX_CASE, "a prefix ignores case", 2)                                                                     \
	X(PREFIX_PATTERN, "% and _ in a prefix stand for anything", 2)                                                 \
	X(PREFIX_NUL, "a prefix ends at NUL", 2)                                                                       \
	X(ONE_STORE, "the two stores are one", 2)                                                                      \
	X(CRASH_LOSES, "a crash loses what was committed and not synced", 2)                                           \
	X(PAGES_GROW, "a load sees what is appended behind its first page", 2)                                         \
	X(PAGES_MIX, "a load goes on in the document that replaced its own", 5)                                        \
	X(READ_ONLY_WRITES, "a handle that only reads writes", 3)                                                      \
	X(EMPTY_APPEND, "an append of nothing succeeds", 1)

enum model_mistake {
#define X(name, belief, steps) MISTAKE_##name,
	MODEL_MISTAKES(X)
#undef X
	    MISTAKE_COUNT
};

#define MODEL_LENGTH_MAX (MODEL_STEPS_MAX * MODEL_RECORDS_MAX)
#define MODEL_TEXT_MAX	 4096

struct model_document {
	size_t length;
	unsigned char records[MODEL_LENGTH_MAX];
	unsigned meta; /* MODEL_RECORD_NONE: there is no document */
	/* As learned from answers. */
	bool knows_generation, has_earlier;
	uint64_t generation;
	struct kyneta_store_position earlier; /* where it stood before its last change */
	uint64_t replaced;		      /* how often its stream was replaced or deleted */
};

struct model_store {
	unsigned layout; /* 0: not made yet */
	struct model_document documents[MODEL_DOCUMENTS];
};

/* A load_all that has begun. */
struct model_stream {
	bool is_open;
	unsigned document;
	struct model_document snapshot;
};

struct model {
	enum model_mistake mistake;
	const struct model_store_kind *kind;
	struct model_store stores[MODEL_STORES];
	struct model_store synced[MODEL_STORES]; /* MISTAKE_CRASH_LOSES */
	bool read_only[MODEL_HANDLES];
	struct model_stream streams[MODEL_HANDLES];
};

/* What must come of a step, and where its document then stands. */
struct model_outcome {
	char text[MODEL_TEXT_MAX];
	char other[MODEL_TEXT_MAX]; /* empty: nothing else may come of it */
};

void model_init(struct model *model, const struct sequence *sequence, enum model_mistake mistake);

/* model_document_of(model, step) - the document of a step; MISTAKE_ONE_STORE knows but one store. */
struct model_document *model_document_of(struct model *model, const struct step *step);

/* model_expect(model, step, position) - what the step expects; false: nothing. The generation must be known. */
bool model_expect(struct model *model, const struct step *step, struct kyneta_store_position *position);

/* model_apply(model, step, outcome) - carry it out. */
void model_apply(struct model *model, const struct step *step, struct model_outcome *outcome);

/* model_show_position(document, at, text, size) - as it is in an outcome; *document learns its generation. */
void model_show_position(struct model_document *document, struct kyneta_store_position at, char *text, size_t size);

#endif
