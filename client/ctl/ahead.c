#include "client/ctl/ahead.h"

#include <stdlib.h>

#include "client/ctl/record_json.h"

int ahead_init(struct ahead *ahead, struct ctl *ctl, struct lines *lines, bool remember)
{
	*ahead = (struct ahead){.ctl = ctl, .lines = lines};
	STAILQ_INIT(&ahead->queue);
	if (!remember)
		return 0;
	ahead->met = seen_new();
	return ahead->met != NULL ? 0 : -1;
}

static void line_free(struct ahead_line *line)
{
	if (line->asked != NULL)
		buffer_free(&line->asked->meta);
	free(line->asked);
	buffer_free(&line->id_storage);
	free(line);
}

/* Is it a write to the store whose lines are taken, which was carried out when it was recorded? */
static bool is_wanted(const struct ahead *ahead, const struct session_call *call)
{
	const char *store = ahead->ctl->options.store;

	if (!session_is_write(call->op) || session_has(call->error))
		return false;
	return session_has(call->store) ? json_string_is(call->store, store) : strcmp(store, "main") == 0;
}

/* Is this the first line of a document? Noted if it is. */
static enum seen_result meet(struct ahead *ahead, struct span id)
{
	if (ahead->met == NULL || (ahead->has_last_id && span_equal(id, buffer_span(&ahead->last_id))))
		return SEEN_BEFORE;
	buffer_reset(&ahead->last_id);
	buffer_append(&ahead->last_id, id.data, id.size);
	ahead->has_last_id = !ahead->last_id.failed;
	return seen_add(ahead->met, id);
}

static void ask(struct ahead *ahead, struct ahead_line *line)
{
	struct ctl_reply *reply = calloc(1, sizeof(*reply));
	int sent;

	if (reply == NULL) {
		line->problem = "no memory";
		return;
	}
	reply->ctl = ahead->ctl;
	line->asked = reply;
	sent = kyneta_store_send_current_meta(ahead->ctl->handle.store, (const char *)line->id.data, line->id.size,
					      ctl_reply_done, reply);
	if (sent != 0) {
		reply->done = reply->failed = true;
		reply->error = (struct kyneta_store_error){.code = sent, .outcome = KYNETA_STORE_NO_OUTCOME};
	}
}

/* Takes apart a line that is in the queue already. False: it is none to be written. */
static bool prepare(struct ahead *ahead, struct ahead_line *line)
{
	enum seen_result met;

	if (session_read(span_of(line->text, line->size), &line->call, &line->problem) != 0)
		return true;
	if (!is_wanted(ahead, &line->call))
		return false;
	if (record_json_text(line->call.doc, &line->id_storage, &line->id, &line->problem) != 0)
		return true;
	line->problem = NULL;
	met = meet(ahead, line->id);
	if (met == SEEN_FAILED)
		line->problem = "no memory";
	else if (met == SEEN_NEW)
		ask(ahead, line);
	return true;
}

static void add_line(struct ahead *ahead, struct span text)
{
	struct ahead_line *line = malloc(sizeof(*line) + text.size);

	if (line == NULL) {
		ahead->ended = true;
		ahead->trouble = "no memory for a line";
		return;
	}
	*line = (struct ahead_line){.number = lines_number(ahead->lines), .size = text.size};
	memcpy(line->text, text.data, text.size);
	if (!prepare(ahead, line)) {
		ahead->skipped++;
		line_free(line);
		return;
	}
	STAILQ_INSERT_TAIL(&ahead->queue, line, link);
	ahead->count++;
	ahead->bytes += text.size;
}

void ahead_fill(struct ahead *ahead)
{
	enum lines_result result;
	struct span text;

	while (!ahead->ended && ahead->count < AHEAD_LINES_MAX && ahead->bytes < AHEAD_BYTES_MAX &&
	       loop_signal() == 0) {
		result = lines_next(ahead->lines, &text, &ahead->trouble);
		if (result == LINES_ONE) {
			add_line(ahead, text);
			continue;
		}
		ahead->ended = true;
		if (result == LINES_END)
			ahead->trouble = NULL;
	}
}

struct ahead_line *ahead_first(struct ahead *ahead)
{
	return STAILQ_FIRST(&ahead->queue);
}

void ahead_drop(struct ahead *ahead)
{
	struct ahead_line *line = STAILQ_FIRST(&ahead->queue);

	STAILQ_REMOVE_HEAD(&ahead->queue, link);
	ahead->count--;
	ahead->bytes -= line->size;
	line_free(line);
}

void ahead_free(struct ahead *ahead)
{
	while (ahead->count > 0)
		ahead_drop(ahead);
	buffer_free(&ahead->last_id);
	seen_free(ahead->met);
}
