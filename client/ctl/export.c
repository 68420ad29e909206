/*
 * export: documents as lines that `import` and `replay` take.
 *
 *   {"op":"append","docId":"…","record":{…}}
 *
 * One document after the other, in the order of their ids, each as it stands when its turn comes. Nothing is kept but a
 * page of ids, a page of records and what a load holds back. A document that is replaced or deleted while it is read
 * begins anew; if lines of it are out already, a line {"op":"delete","docId":"…"} comes before the new beginning, which
 * takes them back for whoever reads the lines in order.
 */
#include <inttypes.h>
#include <unistd.h>

#include "client/ctl/commands.h"
#include "client/ctl/ctl.h"
#include "client/ctl/progress.h"
#include "client/ctl/record_json.h"

struct export
{
	struct ctl_reply listing; /* first: it is the context of the listing */
	struct ctl *ctl;
	struct progress progress;
	kyneta_store_stream *ids;
	struct buffer id; /* of the document in hand */
	bool has_id;
	uint64_t documents;
	uint64_t records;
	uint64_t given; /* records of the document in hand */
};

static bool on_id(void *context, const char *id, size_t id_size)
{
	struct export *export = context;

	loop_progress(&export->ctl->loop);
	buffer_reset(&export->id);
	buffer_append(&export->id, id, id_size);
	export->has_id = true;
	/* No further id until this document is out. */
	kyneta_store_stream_pause(export->ids);
	return true;
}

static void begin_line(struct export *export, const char *op)
{
	struct output *output = &export->ctl->output;

	fprintf(output->file, "{\"op\":\"%s\",\"docId\":", op);
	if (!record_json_write_string(output->file, &output->scratch, buffer_span(&export->id)))
		output->failed = true;
}

/* The context of a load: its reply first, as ctl_reply_done wants it. */
struct load {
	struct ctl_reply reply;
	struct export *export;
};

static bool on_record(void *context, const struct kyneta_store_record *record)
{
	struct load *load = context;
	struct export *export = load->export;
	struct output *output = &export->ctl->output;

	loop_progress(&export->ctl->loop);
	begin_line(export, "append");
	fputs(",\"record\":", output->file);
	if (!record_json_write(output->file, &output->scratch, record))
		output->failed = true;
	fputs("}\n", output->file);
	export->records++;
	export->given++;
	progress_show(&export->progress, export->records, -1);
	return !ferror(output->file) && !output->failed && loop_signal() == 0;
}

/* Waits for a load to end. LOOP_OK, or how the waiting ended. */
static enum loop_result load_once(struct export *export, struct load *load)
{
	kyneta_store *store = export->ctl->handle.store;
	enum loop_result result = LOOP_OK;
	int sent;

	*load = (struct load){.reply = {.ctl = export->ctl}, .export = export};
	sent = kyneta_store_send_load_all(store, (const char *)export->id.data, export->id.size, on_record,
					  ctl_reply_done, load, NULL);
	if (sent != 0) {
		load->reply.failed = true;
		load->reply.error = (struct kyneta_store_error){.code = sent};
		return LOOP_OK;
	}
	while (!load->reply.done && result == LOOP_OK)
		result = loop_turn(&export->ctl->loop, true);
	if (!load->reply.done)
		loop_close(&export->ctl->handle);
	return result;
}

static int interrupted(struct export *export)
{
	progress_clear(&export->progress);
	fprintf(stderr,
		"kyneta-storectl: export: interrupted; %" PRIu64 " documents are out, and %" PRIu64
		" records of the next one\n",
		export->documents, export->given);
	return 128 + loop_signal();
}

static int export_document(struct export *export)
{
	struct span id = buffer_span(&export->id);
	enum loop_result result;
	struct load load;

	if (export->id.failed)
		return ctl_problem(export->ctl, SPAN_NONE, "no memory");
	export->given = 0;
	for (;;) {
		result = load_once(export, &load);
		if (loop_signal() != 0)
			return interrupted(export);
		progress_clear(&export->progress);
		if (result != LOOP_OK)
			return ctl_unfinished(export->ctl, id, &export->ctl->handle, result, KYNETA_STORE_NO_OUTCOME);
		if (!load.reply.failed)
			break;
		if (load.reply.error.code != KYNETA_STORE_ERESTARTED)
			return ctl_error(export->ctl, id, &load.reply.error);
		begin_line(export, "delete");
		fputs("}\n", export->ctl->output.file);
		export->records -= export->given;
		export->given = 0;
	}
	/* One that was deleted since it was listed is no document. */
	if (export->given > 0)
		export->documents++;
	return CTL_OK;
}

static int export_documents(struct export *export)
{
	enum loop_result result = LOOP_OK;
	int rc;

	while (!export->listing.done || export->has_id) {
		if (export->has_id) {
			rc = export_document(export);
			if (rc != CTL_OK)
				return rc;
			export->has_id = false;
			export->given = 0;
			if (ferror(export->ctl->output.file) || export->ctl->output.failed)
				return CTL_FAILED; /* main tells why */
			if (!export->listing.done)
				kyneta_store_stream_continue(export->ids);
			result = loop_turn(&export->ctl->loop, false);
		} else {
			result = loop_turn(&export->ctl->loop, true);
		}
		if (result == LOOP_INTERRUPTED)
			return interrupted(export);
		if (result != LOOP_OK)
			return ctl_unfinished(export->ctl, SPAN_NONE, &export->ctl->handle, result,
					      KYNETA_STORE_NO_OUTCOME);
	}
	if (export->listing.failed)
		return ctl_error(export->ctl, SPAN_NONE, &export->listing.error);
	return CTL_OK;
}

int command_export(struct ctl *ctl)
{
	struct export export = {.listing = {.ctl = ctl}, .ctl = ctl};
	struct buffer storage = BUFFER_EMPTY;
	struct span prefix = SPAN_NONE;
	int rc = CTL_OK, sent;

	if (ctl->options.argument_count > 0)
		rc = ctl_id(ctl, 0, &storage, &prefix);
	if (rc == CTL_OK)
		rc = ctl_open(ctl, ctl_access(ctl));
	if (rc != CTL_OK)
		goto out;
	progress_start(&export.progress, "exporting", "records");
	export.progress.on &= !isatty(STDOUT_FILENO);
	sent = kyneta_store_send_list_doc_ids(ctl->handle.store, (const char *)prefix.data, prefix.size, on_id,
					      ctl_reply_done, &export, &export.ids);
	if (sent != 0) {
		struct kyneta_store_error error = {.code = sent};

		rc = ctl_error(ctl, SPAN_NONE, &error);
		goto out;
	}
	rc = export_documents(&export);
	progress_clear(&export.progress);
	if (rc == CTL_OK && export.progress.on)
		fprintf(stderr, "exported %" PRIu64 " documents, %" PRIu64 " records in %.1f s\n", export.documents,
			export.records, progress_seconds(&export.progress));
	/* Ends the listing, whose callbacks need what is freed here. */
	loop_close(&ctl->handle);
out:
	buffer_free(&export.id);
	buffer_free(&storage);
	return rc;
}
