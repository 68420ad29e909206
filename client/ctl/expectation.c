#include "client/ctl/expectation.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/ctl/fields.h"
#include "client/ctl/record_json.h"

static struct json_value copy_value(struct json_value value, uint8_t **at)
{
	if (!session_has(value))
		return value;
	memcpy(*at, value.text.data, value.text.size);
	value.text.data = *at;
	*at += value.text.size;
	return value;
}

int expectation_init(struct expectation *expectation, const struct session_call *call)
{
	uint8_t *at;

	*expectation = (struct expectation){.op = call->op};
	expectation->texts = malloc(call->error.text.size + call->expect.text.size + 1);
	if (expectation->texts == NULL)
		return -1;
	at = expectation->texts;
	expectation->error = copy_value(call->error, &at);
	expectation->value = copy_value(call->expect, &at);
	if (!session_has(expectation->value))
		return 0;
	expectation->has_list = expectation->value.type == JSON_ARRAY;
	expectation->left = json_iterate(expectation->value);
	if (call->op == SESSION_LOAD_ALL && !expectation->has_list) {
		expectation->digest = digest_new();
		if (expectation->digest == NULL) {
			expectation_free(expectation);
			return -1;
		}
	}
	return 0;
}

void expectation_free(struct expectation *expectation)
{
	free(expectation->texts);
	expectation->texts = NULL;
	digest_free(expectation->digest);
	expectation->digest = NULL;
	buffer_free(&expectation->storage);
	buffer_free(&expectation->expected);
	buffer_free(&expectation->got);
}

/* ---- differences ---- */

static void put(struct buffer *buffer, const char *text)
{
	buffer_append(buffer, text, strlen(text));
}

/* Cut to what is shown; an end inside a character is seen to where it is shown. */
static void put_cut(struct buffer *buffer, struct span text)
{
	if (text.size <= EXPECTATION_SHOWN_MAX) {
		buffer_append(buffer, text.data, text.size);
		return;
	}
	buffer_append(buffer, text.data, EXPECTATION_SHOWN_MAX);
	put(buffer, "…");
}

static void put_record(struct buffer *buffer, const struct kyneta_store_record *record)
{
	struct buffer scratch = BUFFER_EMPTY;
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);
	bool written;

	if (file == NULL)
		return;
	written = record_json_write(file, &scratch, record);
	if (fclose(file) == 0 && written)
		put_cut(buffer, span_of(text, size));
	free(text);
	buffer_free(&scratch);
}

/* The first difference is the one to show; false if there was one before. */
static bool begin_difference(struct expectation *expectation)
{
	if (expectation->differs)
		return false;
	expectation->differs = true;
	return true;
}

static void differ(struct expectation *expectation, struct span expected, struct span got)
{
	if (!begin_difference(expectation))
		return;
	put_cut(&expectation->expected, expected);
	put_cut(&expectation->got, got);
}

static void put_item(struct expectation *expectation, struct buffer *buffer)
{
	char place[40];

	snprintf(place, sizeof(place), "%s %llu: ", expectation->op == SESSION_LOAD_ALL ? "record" : "id",
		 (unsigned long long)expectation->count);
	put(buffer, place);
}

/* ---- what comes ---- */

static void compare_record(struct expectation *expectation, const struct kyneta_store_record *record)
{
	struct kyneta_store_record expected;
	struct json_value element;
	const char *reason;
	bool more = json_next_element(&expectation->left, &element);

	buffer_reset(&expectation->storage);
	if (more && buffer_reserve(&expectation->storage, RECORD_JSON_ROOM(element.text)) &&
	    record_json_read_expected(element, &expectation->storage, &expected, &reason) == 0 &&
	    record_json_equal(&expected, record))
		return;
	if (!begin_difference(expectation))
		return;
	put_item(expectation, &expectation->expected);
	put_cut(&expectation->expected, more ? element.text : SPAN_LITERAL("none"));
	put_item(expectation, &expectation->got);
	put_record(&expectation->got, record);
}

void expectation_record(struct expectation *expectation, const struct kyneta_store_record *record)
{
	if (expectation->has_list)
		compare_record(expectation, record);
	else if (expectation->digest != NULL && !digest_add(expectation->digest, record))
		differ(expectation, SPAN_LITERAL("a digest"), SPAN_LITERAL("a failure of libcrypto"));
	expectation->count++;
}

void expectation_id(struct expectation *expectation, struct span id)
{
	struct json_value element;
	bool more;

	if (expectation->has_list) {
		more = json_next_element(&expectation->left, &element);
		buffer_reset(&expectation->storage);
		if (more)
			json_string_decode(element, &expectation->storage);
		if ((!more || !span_equal(buffer_span(&expectation->storage), id)) && begin_difference(expectation)) {
			put_item(expectation, &expectation->expected);
			put_cut(&expectation->expected, more ? element.text : SPAN_LITERAL("none"));
			put_item(expectation, &expectation->got);
			put_cut(&expectation->got, id);
		}
	}
	expectation->count++;
}

/* ---- the end ---- */

static void check_list_end(struct expectation *expectation)
{
	struct json_value element;

	if (!json_next_element(&expectation->left, &element) || !begin_difference(expectation))
		return;
	put_item(expectation, &expectation->expected);
	put_cut(&expectation->expected, element.text);
	put_item(expectation, &expectation->got);
	put(&expectation->got, "none");
}

static void check_digest(struct expectation *expectation)
{
	struct field fields[] = {{.name = "count"}, {.name = "sha256"}};
	char hex[DIGEST_HEX_SIZE + 1], got[DIGEST_HEX_SIZE + 80];
	int64_t count = -1;

	fields_read(expectation->value, fields, 2);
	if (field_has(&fields[0]))
		json_integer(fields[0].value, &count);
	if (!digest_finish(expectation->digest, hex)) {
		differ(expectation, SPAN_LITERAL("a digest"), SPAN_LITERAL("a failure of libcrypto"));
		return;
	}
	if (count >= 0 && (uint64_t)count == expectation->count && field_has(&fields[1]) &&
	    json_string_is(fields[1].value, hex))
		return;
	snprintf(got, sizeof(got), "{\"count\":%llu,\"sha256\":\"%s\"}", (unsigned long long)expectation->count, hex);
	differ(expectation, expectation->value.text, span_of_string(got));
}

static void check_meta(struct expectation *expectation, const struct kyneta_store_answer *answer)
{
	struct span got = answer->meta == NULL ? SPAN_LITERAL("null") : span_of(answer->meta, answer->meta_size);

	if (!span_equal(got, expectation->value.text))
		differ(expectation, expectation->value.text, got);
}

static enum verdict judge_success(struct expectation *expectation, const struct kyneta_store_answer *answer)
{
	if (session_has(expectation->error))
		differ(expectation, expectation->error.text, SPAN_LITERAL("success"));
	else if (!session_has(expectation->value) || session_is_write(expectation->op))
		return VERDICT_DONE;
	else if (expectation->op == SESSION_CURRENT_META)
		check_meta(expectation, answer);
	else if (expectation->digest != NULL)
		check_digest(expectation);
	else if (expectation->has_list)
		check_list_end(expectation);
	else
		differ(expectation, expectation->value.text,
		       SPAN_LITERAL("what an expectation like this does not describe"));
	return expectation->differs ? VERDICT_MISMATCH : VERDICT_AS_READ;
}

/* How much of the message there is; a longer one was cut. */
static struct span message_of(const struct kyneta_store_error *error)
{
	size_t size = error->message_size;

	if (size >= sizeof(error->message)) {
		size = sizeof(error->message) - 1;
		while (size > 0 && error->message[size - 1] == '\0')
			size--;
	}
	return span_of(error->message, size);
}

static enum verdict judge_refusal(struct expectation *expectation, const struct kyneta_store_error *error)
{
	struct span message = message_of(error), expected;

	if (session_has(expectation->error)) {
		buffer_reset(&expectation->storage);
		json_string_decode(expectation->error, &expectation->storage);
		expected = buffer_span(&expectation->storage);
		if (expected.size == error->message_size && expected.size >= message.size) {
			expected.size = message.size;
			if (span_equal(expected, message))
				return VERDICT_REFUSED;
		}
	}
	if (begin_difference(expectation)) {
		put_cut(&expectation->expected,
			session_has(expectation->error) ? expectation->error.text : SPAN_LITERAL("success"));
		put(&expectation->got, kyneta_store_error_name(error->code));
		put(&expectation->got, ": ");
		put_cut(&expectation->got, message);
	}
	return VERDICT_MISMATCH;
}

enum verdict expectation_judge(struct expectation *expectation, const struct kyneta_store_answer *answer)
{
	if (answer->error != NULL)
		return judge_refusal(expectation, answer->error);
	return judge_success(expectation, answer);
}

enum verdict expectation_refused(struct expectation *expectation, const char *reason)
{
	if (session_has(expectation->error))
		return VERDICT_REFUSED;
	if (begin_difference(expectation)) {
		put(&expectation->expected, "success");
		put(&expectation->got, "cannot be sent: ");
		put(&expectation->got, reason);
	}
	return VERDICT_MISMATCH;
}
