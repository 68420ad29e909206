/*
 * expectation: what a recorded call must give, held against what it gave.
 *
 * A loadAll or listDocIds is compared as its records and ids come, so that nothing of a long answer is kept; the first
 * difference is. Ids are expected in the order of their bytes, which is how sessions note them and the daemon lists.
 */
#ifndef KYNETA_CTL_EXPECTATION_H
#define KYNETA_CTL_EXPECTATION_H

#include "client/ctl/digest.h"
#include "client/ctl/session.h"

/* How much of what was expected and of what came is kept to be shown, in bytes. */
#define EXPECTATION_SHOWN_MAX 400

enum verdict {
	VERDICT_DONE,	  /* succeeded, and nothing more is known about it */
	VERDICT_AS_READ,  /* a read gave what it must */
	VERDICT_REFUSED,  /* refused, as it must be */
	VERDICT_MISMATCH, /* expectation->expected and ->got tell the difference */
};

struct expectation {
	enum session_op op;
	uint8_t *texts; /* what the values are views into */
	struct json_value error;
	struct json_value value;
	bool differs;
	bool has_list; /* value is an array, walked by left */
	struct json_iterator left;
	uint64_t count; /* of records or ids that came */
	struct digest *digest;
	struct buffer storage;
	struct buffer expected;
	struct buffer got;
};

/* expectation_init(expectation, call) - what @call expects, copied from its line. 0, or -1: no memory. */
int expectation_init(struct expectation *expectation, const struct session_call *call);

void expectation_free(struct expectation *expectation);

/* expectation_record(expectation, record), expectation_id(expectation, id) - the next that came. */
void expectation_record(struct expectation *expectation, const struct kyneta_store_record *record);
void expectation_id(struct expectation *expectation, struct span id);

/* expectation_judge(expectation, answer) - the call is over. Once. */
enum verdict expectation_judge(struct expectation *expectation, const struct kyneta_store_answer *answer);

/* expectation_refused(expectation, reason) - the call could not be sent at all, for this reason. Instead of the above.
 */
enum verdict expectation_refused(struct expectation *expectation, const char *reason);

#endif
