#include "client/ctl/commands.h"

#include "client/ctl/ctl.h"

/* Stop handing out rows when nobody can take them any more, or the user has had enough. */
static bool goes_on(const struct ctl *ctl)
{
	return !ferror(ctl->output.file) && loop_signal() == 0;
}

static int not_found(const struct ctl *ctl, struct span id)
{
	ctl_problem(ctl, id, "no such document");
	return CTL_NOT_FOUND;
}

/* ---- the daemon ---- */

int command_ping(struct ctl *ctl)
{
	struct ctl_reply reply = {.ctl = ctl};
	struct kyneta_store_status status;
	int64_t start_us;
	int rc;

	rc = ctl_open(ctl, ctl_access(ctl));
	if (rc != CTL_OK)
		return rc;
	start_us = loop_now_us();
	rc = ctl_await(ctl, SPAN_NONE, kyneta_store_send_ping(ctl->handle.store, ctl_reply_done, &reply), &reply);
	if (rc != CTL_OK)
		return rc;
	kyneta_store_get_status(ctl->handle.store, &status);
	output_begin(&ctl->output, 11);
	output_text(&ctl->output, "daemon", span_of_string(status.daemon));
	output_text(&ctl->output, "socket", span_of_string(ctl->options.socket));
	output_number(&ctl->output, "layout", (uint64_t)status.layout);
	output_decimal(&ctl->output, "roundTripMs", (double)(loop_now_us() - start_us) / 1000, "ms");
	output_end(&ctl->output);
	return CTL_OK;
}

/* A counter's name, with those of the maps that it is in; how many columns most of them fit in. */
#define STAT_NAME_SIZE	1024
#define STAT_NAME_WIDTH 52

static bool ends_with(const char *text, size_t size, const char *end)
{
	size_t end_size = strlen(end);

	return size >= end_size && memcmp(text + size - end_size, end, end_size) == 0;
}

static bool show_stat(void *context, const char *name, size_t name_size, uint64_t number, const char *text,
		      size_t text_size)
{
	struct ctl *ctl = context;
	char shown[STAT_NAME_SIZE];

	snprintf(shown, sizeof(shown), "%.*s", (int)name_size, name);
	if (text != NULL)
		output_text(&ctl->output, shown, span_of(text, text_size));
	else if (ends_with(name, name_size, "bytes"))
		output_size(&ctl->output, shown, number);
	else
		output_number(&ctl->output, shown, number);
	return true;
}

int command_stats(struct ctl *ctl)
{
	struct kyneta_store_error error;
	int rc;

	rc = ctl_open(ctl, ctl_access(ctl));
	if (rc != CTL_OK)
		return rc;
	output_begin(&ctl->output, STAT_NAME_WIDTH);
	rc = kyneta_store_stats(ctl->handle.store, show_stat, ctl, &error);
	if (rc != 0)
		return ctl_error(ctl, SPAN_NONE, &error);
	output_end(&ctl->output);
	return CTL_OK;
}

/* ---- documents ---- */

static bool show_id(void *context, const char *id, size_t id_size)
{
	struct ctl_reply *reply = context;

	loop_progress(&reply->ctl->loop);
	output_id(&reply->ctl->output, span_of(id, id_size));
	return goes_on(reply->ctl);
}

int command_list(struct ctl *ctl)
{
	struct ctl_reply reply = {.ctl = ctl};
	struct buffer storage = BUFFER_EMPTY;
	struct span prefix = SPAN_NONE;
	int rc = CTL_OK, sent;

	if (ctl->options.argument_count > 0)
		rc = ctl_id(ctl, 0, &storage, &prefix);
	if (rc == CTL_OK)
		rc = ctl_open(ctl, ctl_access(ctl));
	if (rc == CTL_OK) {
		sent = kyneta_store_send_list_doc_ids(ctl->handle.store, (const char *)prefix.data, prefix.size,
						      show_id, ctl_reply_done, &reply, NULL);
		rc = ctl_await(ctl, SPAN_NONE, sent, &reply);
	}
	buffer_free(&storage);
	return rc;
}

static int show_meta(struct ctl *ctl, struct span id, const struct ctl_reply *reply)
{
	struct output *output = &ctl->output;
	char position[48];

	if (reply->meta.failed)
		return ctl_problem(ctl, id, "no memory");
	if (!reply->has_meta)
		return not_found(ctl, id);
	output_begin(output, 8);
	if (output->mode == OUTPUT_JSON) {
		output_text(output, "docId", id);
		output_raw_json(output, "meta", buffer_span(&reply->meta));
		output_number(output, "generation", reply->at.generation);
		output_number(output, "next", reply->at.next);
	} else {
		snprintf(position, sizeof(position), "%llu:%llu", (unsigned long long)reply->at.generation,
			 (unsigned long long)reply->at.next);
		output_raw_json(output, "meta", buffer_span(&reply->meta));
		output_number(output, "records", reply->at.next);
		output_text(output, "position", span_of_string(position));
	}
	output_end(output);
	return CTL_OK;
}

int command_meta(struct ctl *ctl)
{
	struct ctl_reply reply = {.ctl = ctl};
	struct buffer storage = BUFFER_EMPTY;
	struct span id;
	int rc, sent;

	rc = ctl_id(ctl, 0, &storage, &id);
	if (rc == CTL_OK)
		rc = ctl_open(ctl, ctl_access(ctl));
	if (rc == CTL_OK) {
		sent = kyneta_store_send_current_meta(ctl->handle.store, (const char *)id.data, id.size, ctl_reply_done,
						      &reply);
		rc = ctl_await(ctl, id, sent, &reply);
	}
	if (rc == CTL_OK)
		rc = show_meta(ctl, id, &reply);
	buffer_free(&reply.meta);
	buffer_free(&storage);
	return rc;
}

struct load {
	struct ctl_reply reply; /* first: the request's context is both */
	uint64_t seq;
};

static bool show_record(void *context, const struct kyneta_store_record *record)
{
	struct load *load = context;
	struct ctl *ctl = load->reply.ctl;

	loop_progress(&ctl->loop);
	output_record(&ctl->output, load->seq++, record);
	return goes_on(ctl);
}

int command_load(struct ctl *ctl)
{
	struct load load = {.reply = {.ctl = ctl}};
	struct buffer storage = BUFFER_EMPTY;
	struct span id;
	int rc, sent;

	rc = ctl_id(ctl, 0, &storage, &id);
	if (rc == CTL_OK)
		rc = ctl_open(ctl, ctl_access(ctl));
	if (rc == CTL_OK) {
		sent = kyneta_store_send_load_all(ctl->handle.store, (const char *)id.data, id.size, show_record,
						  ctl_reply_done, &load, NULL);
		rc = ctl_await(ctl, id, sent, &load.reply);
	}
	if (rc == CTL_OK && load.seq == 0)
		rc = not_found(ctl, id);
	buffer_free(&storage);
	return rc;
}
