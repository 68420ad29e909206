/*
 * export: documents as lines that `import` and `replay` take.
 *
 *   {"op":"append","docId":"…","record":{…}}
 *
 * A document whose first record is no metadata (a replace may leave it so) cannot be appended like that: its records up
 * to and with the first metadata make one line {"op":"replace","docId":"…","records":[…]}.
 *
 * One document after the other, in the order of their ids, each as it stands when its turn comes. The first page of the
 * next few is asked for ahead, so that many small documents do not cost a round trip each; nothing else is kept. A
 * document that is replaced or deleted while it is read begins anew; if lines of it are out already, a line
 * {"op":"delete","docId":"…"} comes before the new beginning, which takes them back for whoever reads the lines in
 * order.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#include "client/ctl/commands.h"
#include "client/ctl/ctl.h"
#include "client/ctl/progress.h"
#include "client/ctl/record_json.h"

/* How many documents are being loaded at a time: all but the first are paused, and hold a page (1 MiB) at most. */
#define AHEAD_MAX 16

struct export;

struct document {
	struct ctl_reply reply; /* first: it is the context of a load */
	STAILQ_ENTRY(document) link;
	struct export *export;
	kyneta_store_stream *stream; /* until reply.done */
	uint64_t given;		     /* records that are out */
	FILE *head;		     /* the records before the first metadata, if there are any: not out yet, */
	char *head_text;	     /*   but here */
	size_t head_size;
	size_t id_size;
	uint8_t id[];
};

struct export
{
	struct ctl_reply listing; /* first: it is the context of the listing */
	struct ctl *ctl;
	struct progress progress;
	kyneta_store_stream *ids; /* until listing.done */
	STAILQ_HEAD(, document) ahead;
	size_t ahead_count;
	bool no_memory;
	bool partial; /* a document could not be exported */
	uint64_t documents;
	uint64_t records;
};

static struct span id_of(const struct document *document)
{
	return span_of(document->id, document->id_size);
}

static void begin_line(struct export *export, const char *op, struct span id)
{
	struct output *output = &export->ctl->output;

	fprintf(output->file, "{\"op\":\"%s\",\"docId\":", op);
	if (!record_json_write_string(output->file, &output->scratch, id))
		output->failed = true;
}

static bool goes_on(const struct export *export)
{
	return !ferror(export->ctl->output.file) && !export->ctl->output.failed && loop_signal() == 0;
}

static void drop_head(struct document *document)
{
	if (document->head != NULL)
		fclose(document->head);
	free(document->head_text);
	document->head = NULL;
	document->head_text = NULL;
}

/* The metadata came: the records before it go out with it, in one line. */
static void put_head(struct document *document, const struct kyneta_store_record *meta)
{
	struct output *output = &document->export->ctl->output;

	if (fflush(document->head) != 0)
		output->failed = true;
	begin_line(document->export, "replace", id_of(document));
	fputs(",\"records\":[", output->file);
	fwrite(document->head_text, 1, document->head_size, output->file);
	if (!record_json_write(output->file, &output->scratch, meta))
		output->failed = true;
	fputs("]}\n", output->file);
	drop_head(document);
}

static void keep_in_head(struct document *document, const struct kyneta_store_record *record)
{
	struct output *output = &document->export->ctl->output;

	if (document->head == NULL)
		document->head = open_memstream(&document->head_text, &document->head_size);
	if (document->head == NULL || !record_json_write(document->head, &output->scratch, record) ||
	    putc(',', document->head) == EOF)
		output->failed = true;
}

static void put_record(struct document *document, const struct kyneta_store_record *record)
{
	struct output *output = &document->export->ctl->output;

	begin_line(document->export, "append", id_of(document));
	fputs(",\"record\":", output->file);
	if (!record_json_write(output->file, &output->scratch, record))
		output->failed = true;
	fputs("}\n", output->file);
}

static bool on_record(void *context, const struct kyneta_store_record *record)
{
	struct document *document = context;
	struct export *export = document->export;
	bool is_head = document->head != NULL || document->given == 0;

	loop_progress(&export->ctl->loop);
	if (is_head && record->type != KYNETA_STORE_META)
		keep_in_head(document, record);
	else if (document->head != NULL)
		put_head(document, record);
	else
		put_record(document, record);
	export->records++;
	document->given++;
	progress_show(&export->progress, export->records, -1);
	return goes_on(export);
}

/* Begins to load a document; what fails is its answer. Its records wait until it is the first. */
static void load(struct document *document)
{
	struct export *export = document->export;
	int sent;

	document->reply = (struct ctl_reply){.ctl = export->ctl};
	sent = kyneta_store_send_load_all(export->ctl->handle.store, (const char *)document->id, document->id_size,
					  on_record, ctl_reply_done, document, &document->stream);
	if (sent != 0) {
		document->reply.done = document->reply.failed = true;
		document->reply.error = (struct kyneta_store_error){.code = sent};
		return;
	}
	kyneta_store_stream_pause(document->stream);
}

static bool on_id(void *context, const char *id, size_t id_size)
{
	struct export *export = context;
	struct document *document = calloc(1, sizeof(*document) + id_size);

	loop_progress(&export->ctl->loop);
	if (document == NULL) {
		export->no_memory = true;
		return false;
	}
	document->export = export;
	document->id_size = id_size;
	memcpy(document->id, id, id_size);
	STAILQ_INSERT_TAIL(&export->ahead, document, link);
	load(document);
	if (++export->ahead_count == AHEAD_MAX)
		kyneta_store_stream_pause(export->ids);
	return true;
}

static int interrupted(struct export *export)
{
	progress_clear(&export->progress);
	fprintf(stderr, "kyneta-storectl: export: interrupted after %" PRIu64 " documents\n", export->documents);
	return 128 + loop_signal();
}

/* Waits for something to come. CTL_OK, or the exit status: nothing comes any more. */
static int turn(struct export *export, struct span id)
{
	struct ctl *ctl = export->ctl;
	enum loop_result result = loop_turn(&ctl->loop, true);

	if (result == LOOP_OK)
		return CTL_OK;
	if (result == LOOP_INTERRUPTED)
		return interrupted(export);
	progress_clear(&export->progress);
	return ctl_unfinished(ctl, id, &ctl->handle, result, KYNETA_STORE_NO_OUTCOME);
}

static int export_document(struct export *export, struct document *document)
{
	int status;

	for (;;) {
		if (!document->reply.done)
			kyneta_store_stream_continue(document->stream);
		while (!document->reply.done) {
			status = turn(export, id_of(document));
			if (status != CTL_OK)
				return status;
		}
		if (!document->reply.failed)
			break;
		if (document->reply.error.code != KYNETA_STORE_ERESTARTED) {
			progress_clear(&export->progress);
			return ctl_error(export->ctl, id_of(document), &document->reply.error);
		}
		begin_line(export, "delete", id_of(document));
		fputs("}\n", export->ctl->output.file);
		export->records -= document->given;
		document->given = 0;
		drop_head(document);
		load(document);
	}
	if (document->head != NULL && loop_signal() == 0) {
		progress_clear(&export->progress);
		ctl_problem(export->ctl, id_of(document),
			    "left out: no metadata among its records, the file is damaged");
		export->partial = true;
	} else if (document->given > 0) { /* else it was deleted since it was listed */
		export->documents++;
	}
	return CTL_OK;
}

static void drop_first(struct export *export)
{
	struct document *document = STAILQ_FIRST(&export->ahead);

	STAILQ_REMOVE_HEAD(&export->ahead, link);
	drop_head(document);
	free(document);
	/* When half of them are out, so that ids are taken in runs. */
	if (--export->ahead_count == AHEAD_MAX / 2 && !export->listing.done)
		kyneta_store_stream_continue(export->ids);
}

static int export_documents(struct export *export)
{
	struct document *document;
	int status = CTL_OK;

	while ((document = STAILQ_FIRST(&export->ahead)) != NULL || !export->listing.done) {
		if (document == NULL) {
			status = turn(export, SPAN_NONE);
		} else {
			status = export_document(export, document);
			if (status == CTL_OK)
				drop_first(export);
		}
		if (status != CTL_OK)
			return status;
		if (!goes_on(export))
			return loop_signal() != 0 ? interrupted(export) : CTL_FAILED; /* main tells why */
	}
	if (export->no_memory)
		return ctl_problem(export->ctl, SPAN_NONE, "no memory");
	if (export->listing.failed)
		return ctl_error(export->ctl, SPAN_NONE, &export->listing.error);
	return export->partial ? CTL_FAILED : CTL_OK;
}

static int export_prefix(struct export *export, struct span prefix)
{
	struct ctl *ctl = export->ctl;
	struct kyneta_store_error error = {.code = 0};
	int status;

	status = ctl_open(ctl, ctl_access(ctl));
	if (status != CTL_OK)
		return status;
	progress_start(&export->progress, "exporting", "records");
	export->progress.on = export->progress.on && !isatty(STDOUT_FILENO);
	error.code = kyneta_store_send_list_doc_ids(ctl->handle.store, (const char *)prefix.data, prefix.size, on_id,
						    ctl_reply_done, export, &export->ids);
	if (error.code != 0)
		return ctl_error(ctl, SPAN_NONE, &error);
	status = export_documents(export);
	progress_clear(&export->progress);
	if (status == CTL_OK && export->progress.on)
		fprintf(stderr, "exported %" PRIu64 " documents, %" PRIu64 " records in %.1f s\n", export->documents,
			export->records, progress_seconds(&export->progress));
	return status;
}

int command_export(struct ctl *ctl)
{
	struct export export = {.listing = {.ctl = ctl}, .ctl = ctl};
	struct buffer storage = BUFFER_EMPTY;
	struct span prefix = SPAN_NONE;
	int status = CTL_OK;

	STAILQ_INIT(&export.ahead);
	if (ctl->options.argument_count > 0)
		status = ctl_id(ctl, 0, &storage, &prefix);
	if (status == CTL_OK)
		status = export_prefix(&export, prefix);
	/* Ends what is still being loaded, whose callbacks need what is freed here. */
	loop_close(&ctl->handle);
	while (!STAILQ_EMPTY(&export.ahead))
		drop_first(&export);
	buffer_free(&storage);
	return status;
}
