/*
 * The client when there is no memory: each allocation of a whole conversation fails once, alone or with all that follow
 * in the same call. Whatever happens, every call that was taken gets its callback once, with success or with the
 * reason, and once there is memory again the handle works.
 */
#include "tests/unit/allocations.h"
#include "tests/unit/client_serve.h"

TestSuite(client_memory, .timeout = 120);

/* Allocations fail only inside the client's calls. */
static unsigned long until_failure;

static void begin_client(void)
{
	allocations_until_failure = until_failure;
}

/* A failure lasts until the end of the call that it happened in. */
static void end_client(void)
{
	until_failure = allocations_until_failure == 1 ? 0 : allocations_until_failure;
	allocations_until_failure = 0;
}

#define CLIENT(call) (begin_client(), result = (call), end_client(), result)

struct conversation {
	struct served served;
	kyneta_store *store;
	struct outcome outcomes[64];
	bool taken[64];
	int count;
};

/* Note whether the next call was taken. */
static void note(struct conversation *conversation, int code)
{
	cr_assert(code == 0 || code == KYNETA_STORE_EMEMORY, "%d", code);
	conversation->taken[conversation->count++] = code == 0;
}

static struct outcome *next_outcome(struct conversation *conversation)
{
	return &conversation->outcomes[conversation->count];
}

static void turns(struct conversation *conversation, int count)
{
	int result;

	for (int i = 0; i < count; i++) {
		serve(&conversation->served);
		cr_assert_eq(CLIENT(kyneta_store_process(conversation->store)), 0);
	}
}

static void append(struct conversation *conversation, const char *id, size_t records)
{
	struct kyneta_store_record record[16];
	int result;

	for (size_t i = 0; i < records; i++)
		record[i] = (struct kyneta_store_record){.type = KYNETA_STORE_META, .meta = FAKE_META, .meta_size = 9};
	note(conversation, CLIENT(kyneta_store_send_append(conversation->store, id, strlen(id), record, records, NULL,
							   outcome_done, next_outcome(conversation))));
}

static void load(struct conversation *conversation, const char *id)
{
	int result;

	note(conversation, CLIENT(kyneta_store_send_load_all(conversation->store, id, strlen(id), NULL, outcome_done,
							     next_outcome(conversation), NULL)));
}

static void talk(struct conversation *conversation)
{
	char long_id[400];
	int result;

	memset(long_id, 'i', sizeof(long_id) - 1);
	long_id[sizeof(long_id) - 1] = '\0';
	append(conversation, "a", 1);
	append(conversation, "a", 12);
	turns(conversation, 4);
	append(conversation, "full", 1);
	append(conversation, "full", 1);
	append(conversation, long_id, 1);
	load(conversation, "a");
	load(conversation, "moving");
	load(conversation, "huge");
	turns(conversation, 6);
	append(conversation, "full", 1);
	append(conversation, long_id, 1);
	note(conversation,
	     CLIENT(kyneta_store_send_resume(conversation->store, outcome_done, next_outcome(conversation))));
	fake_cut(&conversation->served.fake);
	append(conversation, "full", 1);
	note(conversation, CLIENT(kyneta_store_send_current_meta(conversation->store, "a", 1, outcome_done,
								 next_outcome(conversation))));
	note(conversation, CLIENT(kyneta_store_send_list_doc_ids(conversation->store, "", 0, NULL, outcome_done,
								 next_outcome(conversation), NULL)));
	turns(conversation, 20);
}

static void check(struct conversation *conversation)
{
	for (int i = 0; i < conversation->count; i++) {
		int code = conversation->outcomes[i].code;

		cr_assert_eq(conversation->outcomes[i].calls, conversation->taken[i] ? 1 : 0, "call %d", i);
		cr_assert(code == 0 || code == KYNETA_STORE_EMEMORY || code == KYNETA_STORE_EDISK_FULL, "call %d: %d",
			  i, code);
	}
}

/* Returns false once there were not so many allocations. */
static bool converse(unsigned long failing)
{
	static struct conversation conversation;
	struct outcome last = {.calls = 0};
	struct kyneta_store_options options;
	bool happened;
	int result;

	memset(&conversation, 0, sizeof(conversation));
	fake_start(&conversation.served.fake);
	options = fake_options(&conversation.served.fake);
	until_failure = failing;
	result = CLIENT(kyneta_store_new(&options, &conversation.store, NULL));
	if (result == 0) {
		talk(&conversation);
		happened = until_failure == 0;
		until_failure = 0;
		for (int i = 0; i < 200; i++)
			turns(&conversation, 1);
		check(&conversation);
		cr_assert_eq(kyneta_store_send_ping(conversation.store, outcome_done, &last), 0);
		turns(&conversation, 4);
		cr_assert_success(last);
		kyneta_store_free(conversation.store);
	} else {
		cr_assert_eq(result, KYNETA_STORE_EMEMORY);
		cr_assert_null(conversation.store);
		happened = true;
	}
	fake_end(&conversation.served.fake);
	return happened;
}

Test(client_memory, every_allocation_may_fail)
{
	unsigned long failing = 1;

	while (converse(failing))
		failing++;
	cr_assert_gt(failing, 40u, "only %lu allocations", failing);
	cr_log_info("each of %lu allocations failed", failing - 1);
}
