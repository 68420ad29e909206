/* Lines of recorded sessions taken apart, digests, and what calls are held against. */
#include <criterion/criterion.h>

#include "client/ctl/digest.h"
#include "client/ctl/expectation.h"
#include "client/ctl/session.h"
#include "ctl_fixtures.h"

static struct session_call read_call(const char *text)
{
	struct session_call call;
	const char *reason = "";

	cr_assert_eq(session_read(span_of_string(text), &call, &reason), 0, "%s: %s", text, reason);
	return call;
}

Test(ctl_session, what_is_no_call_is_refused)
{
	static const char *const texts[] = {
	    "",
	    "x",
	    "[]",
	    "{}",
	    "{\"op\":1}",
	    "{\"op\":\"vacuum\"}",
	    "{\"op\":\"delete\"}",
	    "{\"op\":\"delete\",\"docId\":1}",
	    "{\"op\":\"append\",\"docId\":\"a\"}",
	    "{\"op\":\"replace\",\"docId\":\"a\"}",
	    "{\"op\":\"replace\",\"docId\":\"a\",\"records\":{}}",
	    "{\"op\":\"open\",\"tables\":[]}",
	    "{\"op\":\"close\",\"store\":1}",
	    "{\"op\":\"close\",\"inflight\":-1}",
	    "{\"op\":\"close\",\"inflight\":0.5}",
	    "{\"op\":\"close\",\"inflight\":\"1\"}",
	    "{\"op\":\"close\"} {}",
	};
	struct session_call call;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *reason = NULL;

		cr_expect_eq(session_read(span_of_string(texts[i]), &call, &reason), -1, "%s", texts[i]);
		cr_expect_not_null(reason);
	}
}

Test(ctl_session, what_is_not_there_has_no_text)
{
	struct session_call call = read_call("{\"note\":1,\"op\":\"listDocIds\",\"inflight\":7}");

	cr_expect_eq(call.op, SESSION_LIST_DOC_IDS);
	cr_expect_eq(call.inflight, 7);
	cr_expect(!session_has(call.doc) && !session_has(call.prefix) && !session_has(call.expect));
	call = read_call("{\"op\":\"currentMeta\",\"docId\":\"\",\"expect\":null}");
	cr_expect(session_has(call.expect) && session_has(call.doc));
}

Test(ctl_session, the_layout_is_that_of_the_first_meta)
{
	static const struct {
		const char *line;
		int layout;
	} cases[] = {
	    {"{\"op\":\"open\"}", 0},
	    {"not json", 0},
	    {"{\"op\":\"append\",\"docId\":\"a\",\"record\":{\"kind\":\"entry\"}}", 0},
	    {"{\"op\":\"append\",\"docId\":\"a\",\"record\":{\"kind\":\"meta\",\"meta\":{\"syncMode\":{}}}}", 2},
	    {"{\"op\":\"append\",\"docId\":\"a\",\"record\":{\"kind\":\"meta\",\"meta\":{\"syncProtocol\":{}}}}", 1},
	    {"{\"op\":\"replace\",\"docId\":\"a\",\"records\":[1,{\"kind\":\"meta\",\"meta\":{\"syncProtocol\":1}}]}",
	     1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(session_layout(span_of_string(cases[i].line)), cases[i].layout, "%s", cases[i].line);
}

/* ---- digests ---- */

/* The digest of what a document holds, from the last replace that made all of it. */
struct digests {
	struct session_records records;
	char hex[DIGEST_HEX_SIZE + 1];
	uint8_t doc[64];
	size_t doc_size;
	unsigned compared;
};

static void digest_replace(struct digests *digests, const struct session_call *call)
{
	struct digest *digest = digest_new();
	const char *reason;

	cr_assert_not_null(digest);
	cr_assert_eq(session_records_read(&digests->records, call, &reason), 0, "%s", reason);
	for (size_t i = 0; i < digests->records.count; i++)
		cr_assert(digest_add(digest, &digests->records.records[i]));
	cr_assert(digest_finish(digest, digests->hex));
	digest_free(digest);
	digests->doc_size = call->doc.text.size < sizeof(digests->doc) ? call->doc.text.size : 0;
	memcpy(digests->doc, call->doc.text.data, digests->doc_size);
}

static void digest_line(struct span line, void *context)
{
	struct digests *digests = context;
	struct session_call call;
	struct json_value sha256;
	const char *reason;

	cr_assert_eq(session_read(line, &call, &reason), 0);
	if (call.op == SESSION_REPLACE && !session_has(call.error)) {
		digest_replace(digests, &call);
		return;
	}
	if (session_has(call.doc) && span_equal(call.doc.text, span_of(digests->doc, digests->doc_size)) &&
	    call.op == SESSION_LOAD_ALL && call.expect.type == JSON_OBJECT) {
		cr_assert(json_member(call.expect, "sha256", &sha256));
		cr_expect(json_string_is(sha256, digests->hex));
		digests->compared++;
	}
	digests->doc_size = 0;
}

Test(ctl_session, digests_are_those_of_the_sessions)
{
	struct digests digests = {.compared = 0};

	ctl_fixtures_each(digest_line, &digests);
	cr_expect_geq(digests.compared, 2);
	session_records_free(&digests.records);
}

/* Computed by hand: sha256sum over the lines that digest.h describes. */
Test(ctl_session, a_digest_is_that_of_its_lines)
{
	static const struct kyneta_store_record records[] = {
	    {.type = KYNETA_STORE_META, .meta = "{}", .meta_size = 2},
	    {.type = KYNETA_STORE_ENTRY,
	     .kind = KYNETA_STORE_SINCE,
	     .encoding = KYNETA_STORE_BINARY,
	     .version = "v",
	     .version_size = 1,
	     .data = "",
	     .has_lineage = true,
	     .lineage = "l",
	     .lineage_size = 1},
	    {.type = KYNETA_STORE_ENTRY, .data_is_text = true, .version = "", .data = "d", .data_size = 1},
	};
	struct digest *digest = digest_new();
	char hex[DIGEST_HEX_SIZE + 1];

	for (size_t i = 0; i < 3; i++)
		cr_assert(digest_add(digest, &records[i]));
	cr_assert(digest_finish(digest, hex));
	cr_expect_str_eq(hex, "3e1836786618810d2ebfc4babb1a3c722ad34c6d4bdbd6c3ab2ec44f96359fdd");
	digest_free(digest);
	digest = digest_new();
	cr_assert(digest_finish(digest, hex));
	cr_expect_str_eq(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	digest_free(digest);
}

/* ---- expectations ---- */

static struct expectation *start(struct expectation *expectation, const char *line)
{
	struct session_call call = read_call(line);

	cr_assert_eq(expectation_init(expectation, &call), 0);
	return expectation;
}

static enum verdict end(struct expectation *expectation, const char *meta)
{
	struct kyneta_store_answer answer = {.meta = meta, .meta_size = meta == NULL ? 0 : strlen(meta)};
	enum verdict verdict = expectation_judge(expectation, &answer);

	expectation_free(expectation);
	return verdict;
}

static enum verdict refuse(struct expectation *expectation, const char *message)
{
	struct kyneta_store_error error = {.code = KYNETA_STORE_EENTRY_BEFORE_META, .message_size = strlen(message)};
	struct kyneta_store_answer answer = {.error = &error};
	enum verdict verdict;

	snprintf(error.message, sizeof(error.message), "%.*s", (int)sizeof(error.message) - 1, message);
	verdict = expectation_judge(expectation, &answer);
	expectation_free(expectation);
	return verdict;
}

#define APPEND	"{\"op\":\"append\",\"docId\":\"a\",\"record\":1"
#define META_OF "{\"op\":\"currentMeta\",\"docId\":\"a\",\"expect\":"
#define LIST_OF "{\"op\":\"listDocIds\",\"expect\":"
#define LOAD_OF "{\"op\":\"loadAll\",\"docId\":\"a\",\"expect\":"
#define RECORD(data)                                                                                                   \
	"{\"kind\":\"entry\",\"payload\":{\"kind\":\"since\",\"encoding\":\"json\",\"data\":" data "},\"version\":"    \
	"\"\"}"

Test(ctl_session, refusals_must_be_worded_exactly)
{
	struct expectation expectation;
	char long_message[2001], line[2100];

	cr_expect_eq(end(start(&expectation, APPEND "}"), NULL), VERDICT_DONE);
	cr_expect_eq(end(start(&expectation, APPEND ",\"error\":\"no\"}"), NULL), VERDICT_MISMATCH);
	cr_expect_eq(refuse(start(&expectation, APPEND "}"), "no"), VERDICT_MISMATCH);
	cr_expect_eq(refuse(start(&expectation, APPEND ",\"error\":\"no\"}"), "no"), VERDICT_REFUSED);
	cr_expect_eq(refuse(start(&expectation, APPEND ",\"error\":\"n\\u006f\"}"), "no"), VERDICT_REFUSED);
	cr_expect_eq(refuse(start(&expectation, APPEND ",\"error\":\"no\"}"), "No"), VERDICT_MISMATCH);
	cr_expect_eq(refuse(start(&expectation, APPEND ",\"error\":\"no\"}"), "no!"), VERDICT_MISMATCH);
	cr_expect_eq(refuse(start(&expectation, META_OF "null}"), "no"), VERDICT_MISMATCH);

	/* The library cuts messages; of a long one the beginning and the length are compared. */
	memset(long_message, 'x', 2000);
	long_message[2000] = '\0';
	snprintf(line, sizeof(line), APPEND ",\"error\":\"%s\"}", long_message);
	cr_expect_eq(refuse(start(&expectation, line), long_message), VERDICT_REFUSED);
	cr_expect_eq(refuse(start(&expectation, line), long_message + 1), VERDICT_MISMATCH);
	long_message[900] = 'y';
	cr_expect_eq(refuse(start(&expectation, line), long_message), VERDICT_MISMATCH);
}

Test(ctl_session, what_cannot_be_sent_is_refused)
{
	struct expectation expectation;

	start(&expectation, APPEND ",\"error\":\"anything\"}");
	cr_expect_eq(expectation_refused(&expectation, "reason"), VERDICT_REFUSED);
	expectation_free(&expectation);
	start(&expectation, APPEND "}");
	cr_expect_eq(expectation_refused(&expectation, "reason"), VERDICT_MISMATCH);
	cr_expect(span_equal(buffer_span(&expectation.got), SPAN_LITERAL("cannot be sent: reason")));
	expectation_free(&expectation);
}

Test(ctl_session, a_meta_is_compared_as_text)
{
	struct expectation expectation;

	cr_expect_eq(end(start(&expectation, "{\"op\":\"currentMeta\",\"docId\":\"a\"}"), "{}"), VERDICT_DONE);
	cr_expect_eq(end(start(&expectation, META_OF "null}"), NULL), VERDICT_AS_READ);
	cr_expect_eq(end(start(&expectation, META_OF "null}"), "{}"), VERDICT_MISMATCH);
	cr_expect_eq(end(start(&expectation, META_OF "{\"a\":1}}"), "{\"a\":1}"), VERDICT_AS_READ);
	cr_expect_eq(end(start(&expectation, META_OF "{\"a\":1}}"), "{\"a\": 1}"), VERDICT_MISMATCH);
	cr_expect_eq(end(start(&expectation, META_OF "{\"a\":1}}"), NULL), VERDICT_MISMATCH);
}

static enum verdict list(const char *line, const char *const *ids)
{
	struct expectation expectation;

	start(&expectation, line);
	for (; *ids != NULL; ids++)
		expectation_id(&expectation, span_of_string(*ids));
	return end(&expectation, NULL);
}

Test(ctl_session, listings_are_compared_in_order)
{
	cr_expect_eq(list(LIST_OF "[]}", (const char *const[]){NULL}), VERDICT_AS_READ);
	cr_expect_eq(list(LIST_OF "[]}", (const char *const[]){"a", NULL}), VERDICT_MISMATCH);
	cr_expect_eq(list(LIST_OF "[\"a\",\"\\u00e9\"]}", (const char *const[]){"a", "é", NULL}), VERDICT_AS_READ);
	cr_expect_eq(list(LIST_OF "[\"a\",\"b\"]}", (const char *const[]){"b", "a", NULL}), VERDICT_MISMATCH);
	cr_expect_eq(list(LIST_OF "[\"a\",\"b\"]}", (const char *const[]){"a", NULL}), VERDICT_MISMATCH);
	cr_expect_eq(list(LIST_OF "7}", (const char *const[]){NULL}), VERDICT_MISMATCH);
}

static enum verdict load(const char *line, const char *const *texts)
{
	struct kyneta_store_record record = {
	    .type = KYNETA_STORE_ENTRY, .kind = KYNETA_STORE_SINCE, .data_is_text = true, .version = ""};
	struct expectation expectation;

	start(&expectation, line);
	for (; *texts != NULL; texts++) {
		record.data = *texts;
		record.data_size = strlen(*texts);
		expectation_record(&expectation, &record);
	}
	return end(&expectation, NULL);
}

Test(ctl_session, loads_are_compared_record_by_record)
{
	cr_expect_eq(load(LOAD_OF "[]}", (const char *const[]){NULL}), VERDICT_AS_READ);
	cr_expect_eq(load(LOAD_OF "[" RECORD("\"x\"") "]}", (const char *const[]){"x", NULL}), VERDICT_AS_READ);
	cr_expect_eq(load(LOAD_OF "[" RECORD("\"x\"") "]}", (const char *const[]){"y", NULL}), VERDICT_MISMATCH);
	cr_expect_eq(load(LOAD_OF "[" RECORD("\"x\"") "]}", (const char *const[]){NULL}), VERDICT_MISMATCH);
	cr_expect_eq(load(LOAD_OF "[]}", (const char *const[]){"x", NULL}), VERDICT_MISMATCH);
	cr_expect_eq(load(LOAD_OF "[" RECORD("{\"$base64\":\"eA==\"}") "]}", (const char *const[]){"x", NULL}),
		     VERDICT_MISMATCH);
	cr_expect_eq(load(LOAD_OF "[7]}", (const char *const[]){"x", NULL}), VERDICT_MISMATCH);
}

Test(ctl_session, loads_are_compared_by_digest)
{
#define NOTHING "\"sha256\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\""
	cr_expect_eq(load(LOAD_OF "{\"count\":0," NOTHING "}}", (const char *const[]){NULL}), VERDICT_AS_READ);
	cr_expect_eq(load(LOAD_OF "{\"count\":1," NOTHING "}}", (const char *const[]){NULL}), VERDICT_MISMATCH);
	cr_expect_eq(load(LOAD_OF "{\"count\":0,\"sha256\":\"\"}}", (const char *const[]){NULL}), VERDICT_MISMATCH);
	cr_expect_eq(load(LOAD_OF "{\"count\":0}}", (const char *const[]){NULL}), VERDICT_MISMATCH);
	cr_expect_eq(load(LOAD_OF "{" NOTHING "}}", (const char *const[]){NULL}), VERDICT_MISMATCH);
	cr_expect_eq(load(LOAD_OF "{\"count\":0," NOTHING "}}", (const char *const[]){"x", NULL}), VERDICT_MISMATCH);
}
