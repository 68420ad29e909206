#include "client/ctl/ctl.h"

#include "client/ctl/ids.h"

/* Of a message or an id, in a line on stderr. */
#define SHOWN_MAX 400

void ctl_store_options(const struct ctl *ctl, struct kyneta_store_options *options)
{
	const struct options *given = &ctl->options;

	*options = (struct kyneta_store_options)KYNETA_STORE_OPTIONS_INIT;
	options->path = given->socket;
	options->name = "kyneta-storectl";
	options->meta_table = given->meta_table;
	options->records_table = given->records_table;
	options->store_table = given->store_table;
	options->layout = given->layout;
	options->durability = given->durability;
}

int ctl_access(const struct ctl *ctl)
{
	if (!ctl->options.command->writes)
		return KYNETA_STORE_READ_ONLY;
	return ctl->options.exclusive ? KYNETA_STORE_EXCLUSIVE : KYNETA_STORE_READ_WRITE;
}

/* ---- telling ---- */

static void tell_visible(struct span text)
{
	struct buffer visible = BUFFER_EMPTY;

	output_visible(&visible, text, SHOWN_MAX);
	if (text.size == 0)
		buffer_append(&visible, "\"\"", 2);
	if (!visible.failed)
		fwrite(visible.data, 1, visible.size, stderr);
	buffer_free(&visible);
}

static void tell_start(const struct ctl *ctl, struct span what)
{
	fprintf(stderr, "kyneta-storectl: %s", ctl->options.command->name);
	if (what.data != NULL) {
		putc(' ', stderr);
		tell_visible(what);
	}
	fputs(": ", stderr);
}

static void tell_outcome(int outcome)
{
	if (outcome == KYNETA_STORE_UNKNOWN)
		fputs(" (outcome unknown: it may have been applied)", stderr);
}

static int exit_of(int code)
{
	switch (code) {
	case KYNETA_STORE_EDEADLINE:
	case KYNETA_STORE_ESOCKET:
	case KYNETA_STORE_EPROTOCOL:
		return CTL_UNREACHABLE;
	case KYNETA_STORE_ENO_SUCH_STORE:
		return CTL_NOT_FOUND;
	default:
		return CTL_FAILED;
	}
}

static struct span message_of(const struct kyneta_store_error *error)
{
	size_t size = strnlen(error->message, sizeof(error->message));

	return span_of(error->message, size);
}

int ctl_error(const struct ctl *ctl, struct span what, const struct kyneta_store_error *error)
{
	tell_start(ctl, what);
	fputs(kyneta_store_error_name(error->code), stderr);
	if (error->message[0] != '\0') {
		fputs(": ", stderr);
		tell_visible(message_of(error));
	}
	if (error->code == KYNETA_STORE_ECONFLICT && error->has_position)
		fprintf(stderr, " (it stands at %llu:%llu)", (unsigned long long)error->position.generation,
			(unsigned long long)error->position.next);
	if (error->code == KYNETA_STORE_ENO_SUCH_STORE)
		fputs(" (its first write makes it)", stderr);
	tell_outcome(error->outcome);
	putc('\n', stderr);
	return exit_of(error->code);
}

int ctl_problem(const struct ctl *ctl, struct span what, const char *problem)
{
	tell_start(ctl, what);
	fprintf(stderr, "%s\n", problem);
	return CTL_FAILED;
}

/* Which socket, who named it, and what it last said. */
static void tell_socket(const struct ctl *ctl, const struct handle *handle)
{
	tell_visible(span_of_string(ctl->options.socket));
	fprintf(stderr, " (%s)", ctl->options.socket_origin);
	if (handle->error.code != 0 && handle->error.message[0] != '\0') {
		fputs(": ", stderr);
		tell_visible(message_of(&handle->error));
	}
}

int ctl_unfinished(const struct ctl *ctl, struct span what, const struct handle *handle, enum loop_result result,
		   int outcome)
{
	tell_start(ctl, what);
	if (result == LOOP_INTERRUPTED) {
		fputs("interrupted", stderr);
		tell_outcome(outcome);
		putc('\n', stderr);
		return 128 + loop_signal();
	}
	fprintf(stderr, "no %s within %g s at ", handle->was_ready ? "answer" : "daemon",
		ctl->loop.timeout_ms / 1000.0);
	tell_socket(ctl, handle);
	tell_outcome(outcome);
	fputs("; is it running? systemctl status kyneta-stored\n", stderr);
	return CTL_UNREACHABLE;
}

int ctl_closed(const struct ctl *ctl, struct span what, const struct handle *handle)
{
	if (exit_of(handle->error.code) != CTL_UNREACHABLE)
		return ctl_error(ctl, what, &handle->error);
	tell_start(ctl, what);
	fprintf(stderr, "%s: ", kyneta_store_error_name(handle->error.code));
	tell_socket(ctl, handle);
	fputs("; is it kyneta-stored's, and running? systemctl status kyneta-stored\n", stderr);
	return CTL_UNREACHABLE;
}

int ctl_id(const struct ctl *ctl, int index, struct buffer *storage, struct span *id)
{
	const char *argument = ctl->options.arguments[index];

	if (ids_read(argument, ctl->options.escaped, storage, id) == 0)
		return CTL_OK;
	ctl_problem(ctl, span_of_string(argument),
		    ctl->options.escaped ? "not an id as `list` prints them" : "not valid UTF-8");
	return CTL_USAGE;
}

/* ---- one handle, one request ---- */

/*
 * A store that has not been made yet cannot be opened read-only; but the daemon is there, and some commands are about
 * it alone. Opening makes no store either way.
 */
static bool store_is_optional(const struct ctl *ctl, int access)
{
	return access == KYNETA_STORE_READ_ONLY && ctl->handle.error.code == KYNETA_STORE_ENO_SUCH_STORE &&
	       (ctl->options.command->bit & (COMMAND_PING | COMMAND_STATS)) != 0;
}

int ctl_open(struct ctl *ctl, int access)
{
	struct kyneta_store_options options;
	enum loop_result result;
	int rc, status;

	ctl_store_options(ctl, &options);
	options.access = access;
	/* The only request without a non-blocking form, so that the loop cannot end it. */
	if (ctl->options.command->bit == COMMAND_STATS)
		options.deadline_ms = ctl->loop.timeout_ms;
	rc = loop_open(&ctl->loop, &ctl->handle, &options, &result);
	if (rc != 0) {
		ctl->handle.error.code = rc;
		return ctl_closed(ctl, SPAN_NONE, &ctl->handle);
	}
	if (result == LOOP_OK && ctl->handle.state == KYNETA_STORE_READY)
		return CTL_OK;
	if (result != LOOP_OK)
		status = ctl_unfinished(ctl, SPAN_NONE, &ctl->handle, result, KYNETA_STORE_NO_OUTCOME);
	else if (store_is_optional(ctl, access)) {
		loop_close(&ctl->handle);
		return ctl_open(ctl, KYNETA_STORE_READ_WRITE);
	} else
		status = ctl_closed(ctl, SPAN_NONE, &ctl->handle);
	loop_close(&ctl->handle);
	return status;
}

void ctl_reply_done(void *context, const struct kyneta_store_answer *answer)
{
	struct ctl_reply *reply = context;

	loop_progress(&reply->ctl->loop);
	reply->done = true;
	if (answer->error != NULL) {
		reply->failed = true;
		reply->error = *answer->error;
		return;
	}
	reply->at = answer->at;
	reply->duplicate = answer->duplicate;
	reply->has_meta = answer->meta != NULL;
	buffer_append(&reply->meta, answer->meta, answer->meta_size);
}

int ctl_await(struct ctl *ctl, struct span what, int sent, struct ctl_reply *reply)
{
	struct kyneta_store_error refused = {.code = sent, .outcome = KYNETA_STORE_NOT_APPLIED};
	enum loop_result result = LOOP_OK;

	if (sent != 0)
		return ctl_error(ctl, what, &refused);
	while (!reply->done && result == LOOP_OK)
		result = loop_turn(&ctl->loop, true);
	if (!reply->done) {
		/* What was under way is answered by that, and the answer says whether it may have arrived. */
		loop_close(&ctl->handle);
		return ctl_unfinished(ctl, what, &ctl->handle, result, reply->error.outcome);
	}
	if (!reply->failed)
		return CTL_OK;
	if (ctl->handle.state == KYNETA_STORE_CLOSED && exit_of(reply->error.code) == CTL_UNREACHABLE)
		return ctl_closed(ctl, what, &ctl->handle);
	return ctl_error(ctl, what, &reply->error);
}

void ctl_close(struct ctl *ctl)
{
	struct ctl_reply reply = {.ctl = ctl};
	struct handle *handle = &ctl->handle;

	if (handle->store == NULL)
		return;
	if (ctl->options.command->writes && handle->state == KYNETA_STORE_READY &&
	    kyneta_store_send_close(handle->store, ctl_reply_done, &reply) == 0) {
		loop_progress(&ctl->loop);
		while (!reply.done && loop_turn(&ctl->loop, true) == LOOP_OK)
			;
	}
	loop_close(handle);
}
