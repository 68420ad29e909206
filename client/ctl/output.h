/*
 * output: what a command answers, on stdout.
 *
 * Three forms of the same facts:
 *   on a terminal   aligned, sizes in KiB and MiB, cut to its width;
 *   to a file/pipe  one row per line, columns separated by tabs, sizes in bytes;
 *   --json          one JSON object per line.
 * In the first two, text from documents is made visible: control characters, and those that reorder or hide text, are
 * shown as escapes (\n, \u001b, \u202e), so that no document id can play tricks with a terminal. In listed ids a
 * backslash is doubled, so that none can be taken for another, and what is printed can be given back with --escaped.
 */
#ifndef KYNETA_CTL_OUTPUT_H
#define KYNETA_CTL_OUTPUT_H

#include <stdio.h>

#include "client/include/kyneta/store.h"
#include "protocol/buffer.h"

enum output_mode { OUTPUT_PLAIN, OUTPUT_TERMINAL, OUTPUT_JSON };

struct output {
	enum output_mode mode;
	FILE *file;
	size_t width; /* of the terminal, in columns */
	struct buffer scratch;
	int name_width; /* of the facts in hand */
	bool first;	/* no fact of the object in hand written yet */
	bool failed;	/* no memory */
};

/* output_init(output, json) - answer on stdout, in the form that suits it. */
void output_init(struct output *output, bool json);

/* output_finish(output) - flush. 0, or -1 with errno set if anything could not be written. */
int output_finish(struct output *output);

/*
 * Facts: names with values; a JSON object, or a line for each. The names go to --json as they are.
 * @name_width: of the widest name, to align on a terminal.
 */
void output_begin(struct output *output, int name_width);
void output_text(struct output *output, const char *name, struct span text);
void output_number(struct output *output, const char *name, uint64_t number);
void output_size(struct output *output, const char *name, uint64_t bytes);
void output_decimal(struct output *output, const char *name, double number, const char *unit);
void output_boolean(struct output *output, const char *name, bool value);
void output_raw_json(struct output *output, const char *name, struct span json);
void output_end(struct output *output);

/* output_id(output, id) - one line with a document id, {"docId":…} in JSON. */
void output_id(struct output *output, struct span id);

/* output_record(output, seq, record) - one line with a record: a short view of it, or in JSON all of it. */
void output_record(struct output *output, uint64_t seq, const struct kyneta_store_record *record);

/*
 * output_visible(buffer, text, limit) - append @text with everything that a terminal might act upon made visible. Where
 * it would take more than @limit columns (0: no limit) it is cut off, and an ellipsis tells so. A character is taken
 * for one column wide. @text need not be valid UTF-8.
 */
void output_visible(struct buffer *buffer, struct span text, size_t limit);

/* output_human_size(text, bytes) - "947 B", "1.2 KiB". */
#define OUTPUT_SIZE_TEXT 24
void output_human_size(char text[OUTPUT_SIZE_TEXT], uint64_t bytes);

#endif
