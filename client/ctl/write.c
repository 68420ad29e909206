/*
 * write: the commands that change one document by one request.
 */
#include "client/ctl/commands.h"
#include "client/ctl/ctl.h"
#include "client/ctl/input.h"

static void show_write(struct ctl *ctl, struct span id, size_t records, const struct ctl_reply *reply)
{
	unsigned long long generation = reply->at.generation, next = reply->at.next;
	struct output *output = &ctl->output;

	switch (output->mode) {
	case OUTPUT_JSON:
		output_begin(output, 0);
		output_text(output, "docId", id);
		output_number(output, "generation", generation);
		output_number(output, "next", next);
		output_boolean(output, "duplicate", reply->duplicate);
		output_end(output);
		break;
	case OUTPUT_PLAIN:
		/* As --expect takes it. */
		fprintf(output->file, "%llu:%llu\n", generation, next);
		break;
	case OUTPUT_TERMINAL:
		if (ctl->options.command->bit == COMMAND_DELETE)
			fprintf(output->file, "deleted; the document stands at %llu:%llu\n", generation, next);
		else
			fprintf(output->file, "%zu record%s written; the document stands at %llu:%llu\n", records,
				records == 1 ? "" : "s", generation, next);
		break;
	}
}

static int send_write(struct ctl *ctl, struct span id, const struct input *input, struct ctl_reply *reply)
{
	struct kyneta_store_write write = KYNETA_STORE_WRITE_INIT;
	kyneta_store *store = ctl->handle.store;
	const char *name = (const char *)id.data;

	write.durability = ctl->options.durability;
	write.has_expect = ctl->options.has_expect;
	write.expect = ctl->options.expect;
	if (ctl->options.command->bit == COMMAND_APPEND)
		return kyneta_store_send_append(store, name, id.size, input->records, input->count, &write,
						ctl_reply_done, reply);
	if (ctl->options.command->bit == COMMAND_REPLACE)
		return kyneta_store_send_replace(store, name, id.size, input->records, input->count, &write,
						 ctl_reply_done, reply);
	return kyneta_store_send_delete(store, name, id.size, &write, ctl_reply_done, reply);
}

static int write_document(struct ctl *ctl, const struct input *input)
{
	struct ctl_reply reply = {.ctl = ctl};
	struct buffer storage = BUFFER_EMPTY;
	struct span id;
	int rc;

	rc = ctl_id(ctl, 0, &storage, &id);
	if (rc == CTL_OK)
		rc = ctl_open(ctl, ctl_access(ctl));
	if (rc == CTL_OK)
		rc = ctl_await(ctl, id, send_write(ctl, id, input, &reply), &reply);
	if (rc == CTL_OK)
		show_write(ctl, id, input->count, &reply);
	buffer_free(&storage);
	return rc;
}

static int write_records(struct ctl *ctl)
{
	struct input input;
	int rc;

	if (input_gather(&input, &ctl->options) == 0)
		rc = write_document(ctl, &input);
	else if (loop_signal() != 0)
		rc = ctl_unfinished(ctl, SPAN_NONE, &ctl->handle, LOOP_INTERRUPTED, KYNETA_STORE_NOT_APPLIED);
	else
		rc = ctl_problem(ctl, SPAN_NONE, input.problem);
	input_free(&input);
	return rc;
}

int command_append(struct ctl *ctl)
{
	return write_records(ctl);
}

int command_replace(struct ctl *ctl)
{
	return write_records(ctl);
}

int command_delete(struct ctl *ctl)
{
	static const struct input none;

	return write_document(ctl, &none);
}
