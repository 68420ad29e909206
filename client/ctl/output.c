#include "client/ctl/output.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/ctl/record_json.h"
#include "protocol/json.h"

/* Where nothing tells the width of the terminal. */
#define WIDTH_DEFAULT 100

void output_init(struct output *output, bool json)
{
	struct winsize size;

	*output = (struct output){.mode = OUTPUT_PLAIN, .file = stdout, .width = WIDTH_DEFAULT};
	if (json)
		output->mode = OUTPUT_JSON;
	else if (isatty(STDOUT_FILENO))
		output->mode = OUTPUT_TERMINAL;
	if (output->mode == OUTPUT_TERMINAL && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
		output->width = size.ws_col;
}

int output_finish(struct output *output)
{
	int rc = fflush(output->file) != 0 || ferror(output->file) ? -1 : 0;

	if (output->failed) {
		errno = ENOMEM;
		rc = -1;
	}
	buffer_free(&output->scratch);
	return rc;
}

/* ---- visible text ---- */

/* One character of UTF-8; what is none is taken as one byte above U+10FFFF. */
static uint32_t next_character(const uint8_t **at, const uint8_t *end)
{
	uint32_t first = *(*at)++, point;
	int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;

	if (first < 0x80)
		return first;
	if (more == 0 || first >= 0xf8 || end - *at < more)
		return 0x110000 + first;
	point = first & (0x3fu >> more);
	for (int i = 0; i < more; i++) {
		if (((*at)[i] & 0xc0) != 0x80)
			return 0x110000 + first;
		point = point << 6 | ((*at)[i] & 0x3f);
	}
	*at += more;
	return point;
}

/* Characters that move the cursor, turn the writing direction, break the line, or are not seen at all. */
static bool plays_tricks(uint32_t point)
{
	return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x00ad || point == 0x061c ||
	       point == 0x180e || (point >= 0x200b && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
	       (point >= 0x2060 && point <= 0x206f) || point == 0xfeff || (point >= 0xfff9 && point <= 0xfffb) ||
	       (point >= 0xe0000 && point <= 0xe007f);
}

/* As JSON escapes it, so that --escaped can read it again. Gives the columns it takes. */
static size_t append_escape(struct buffer *buffer, uint32_t point)
{
	static const char letters[] = "btnfr", meanings[] = "\b\t\n\f\r";
	const char *known = point == 0 || point >= 0x20 ? NULL : memchr(meanings, (int)point, sizeof(meanings) - 1);
	char text[16];
	int size;

	if (known != NULL)
		size = snprintf(text, sizeof(text), "\\%c", letters[known - meanings]);
	else if (point >= 0x10000)
		size = snprintf(text, sizeof(text), "\\u%04x\\u%04x", 0xd7c0 + (point >> 10), 0xdc00 + (point & 0x3ff));
	else
		size = snprintf(text, sizeof(text), "\\u%04x", point);
	buffer_append(buffer, text, (size_t)size);
	return (size_t)size;
}

/* Appends the character at *at, made visible. Gives the columns it takes. */
static size_t append_character(struct buffer *buffer, const uint8_t **at, const uint8_t *end, bool reversible)
{
	const uint8_t *start = *at;
	uint32_t point = next_character(at, end);

	if (plays_tricks(point))
		return append_escape(buffer, point);
	if (point == '\\' && reversible) {
		buffer_append(buffer, "\\\\", 2);
		return 2;
	}
	if (point >= 0x110000)
		buffer_append(buffer, "\xef\xbf\xbd", 3);
	else
		buffer_append(buffer, start, (size_t)(*at - start));
	return 1;
}

static void append_visible(struct buffer *buffer, struct span text, size_t limit, bool reversible)
{
	const uint8_t *at = text.data;
	const uint8_t *end = text.size == 0 ? at : at + text.size;
	size_t columns = 0;

	while (at < end) {
		size_t before = buffer->size;

		columns += append_character(buffer, &at, end, reversible);
		if (limit != 0 && columns > limit) {
			buffer->size = before;
			buffer_append(buffer, "…", sizeof("…") - 1);
			return;
		}
	}
}

void output_visible(struct buffer *buffer, struct span text, size_t limit)
{
	append_visible(buffer, text, limit, false);
}

void output_human_size(char text[OUTPUT_SIZE_TEXT], uint64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(text, OUTPUT_SIZE_TEXT, "%" PRIu64 " B", bytes);
		return;
	}
	for (; value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
		value /= 1024;
	snprintf(text, OUTPUT_SIZE_TEXT, "%.1f %s", value, units[unit]);
}

static void write_scratch(struct output *output)
{
	output->failed |= output->scratch.failed;
	if (output->scratch.size > 0)
		fwrite(output->scratch.data, 1, output->scratch.size, output->file);
}

static void write_visible(struct output *output, struct span text, size_t limit)
{
	buffer_reset(&output->scratch);
	output_visible(&output->scratch, text, limit);
	write_scratch(output);
}

static void write_json_string(struct output *output, struct span text)
{
	if (!record_json_write_string(output->file, &output->scratch, text))
		output->failed = true;
}

/* ---- facts ---- */

void output_begin(struct output *output, int name_width)
{
	output->name_width = name_width;
	output->first = true;
}

static void write_name(struct output *output, const char *name)
{
	switch (output->mode) {
	case OUTPUT_JSON:
		fputs(output->first ? "{" : ",", output->file);
		write_json_string(output, span_of_string(name));
		putc(':', output->file);
		break;
	case OUTPUT_TERMINAL:
		fprintf(output->file, "%-*s  ", output->name_width, name);
		break;
	case OUTPUT_PLAIN:
		fprintf(output->file, "%s\t", name);
		break;
	}
	output->first = false;
}

static void end_value(struct output *output)
{
	if (output->mode != OUTPUT_JSON)
		putc('\n', output->file);
}

void output_text(struct output *output, const char *name, struct span text)
{
	write_name(output, name);
	if (output->mode == OUTPUT_JSON)
		write_json_string(output, text);
	else
		write_visible(output, text, 0);
	end_value(output);
}

void output_number(struct output *output, const char *name, uint64_t number)
{
	write_name(output, name);
	fprintf(output->file, "%" PRIu64, number);
	end_value(output);
}

void output_size(struct output *output, const char *name, uint64_t bytes)
{
	char text[OUTPUT_SIZE_TEXT];

	if (output->mode != OUTPUT_TERMINAL) {
		output_number(output, name, bytes);
		return;
	}
	output_human_size(text, bytes);
	write_name(output, name);
	fputs(text, output->file);
	end_value(output);
}

void output_decimal(struct output *output, const char *name, double number, const char *unit)
{
	write_name(output, name);
	fprintf(output->file, "%.3f", number);
	if (output->mode == OUTPUT_TERMINAL)
		fprintf(output->file, " %s", unit);
	end_value(output);
}

void output_boolean(struct output *output, const char *name, bool value)
{
	write_name(output, name);
	fputs(value ? "true" : "false", output->file);
	end_value(output);
}

void output_raw_json(struct output *output, const char *name, struct span json)
{
	write_name(output, name);
	if (output->mode == OUTPUT_TERMINAL) {
		write_visible(output, json, 0);
	} else {
		/* Line feeds can stand only between its tokens. */
		for (size_t i = 0; i < json.size; i++)
			putc(json.data[i] == '\n' || json.data[i] == '\r' ? ' ' : json.data[i], output->file);
	}
	end_value(output);
}

void output_end(struct output *output)
{
	if (output->mode == OUTPUT_JSON)
		fputs(output->first ? "{}\n" : "}\n", output->file);
}

/* ---- documents ---- */

void output_id(struct output *output, struct span id)
{
	if (output->mode == OUTPUT_JSON) {
		fputs("{\"docId\":", output->file);
		write_json_string(output, id);
		fputs("}\n", output->file);
		return;
	}
	buffer_reset(&output->scratch);
	append_visible(&output->scratch, id, 0, true);
	write_scratch(output);
	putc('\n', output->file);
}

/* What an entry's bytes begin with, in hexadecimal. */
static void write_bytes(struct output *output, struct span bytes, size_t limit)
{
	size_t shown = bytes.size <= limit / 2 ? bytes.size : limit / 2;

	for (size_t i = 0; i < shown; i++)
		fprintf(output->file, "%02x", bytes.data[i]);
	if (shown < bytes.size)
		fputs("…", output->file);
}

/* The columns before the data, on a terminal: seq, kind, encoding, size, version. */
#define RECORD_COLUMNS 54
#define VERSION_SHOWN  12

static void write_columns(struct output *output, uint64_t seq, const char *kind, const char *encoding, uint64_t size,
			  struct span version)
{
	char human[OUTPUT_SIZE_TEXT];

	buffer_reset(&output->scratch);
	output_visible(&output->scratch, version, output->mode == OUTPUT_TERMINAL ? VERSION_SHOWN : 0);
	buffer_append_byte(&output->scratch, '\0');
	if (output->scratch.failed) {
		output->failed = true;
		return;
	}
	if (output->mode == OUTPUT_PLAIN) {
		fprintf(output->file, "%" PRIu64 "\t%s\t%s\t%" PRIu64 "\t%s\t", seq, kind, encoding, size,
			(const char *)output->scratch.data);
		return;
	}
	output_human_size(human, size);
	fprintf(output->file, "%7" PRIu64 "  %-8s  %-6s  %10s  %-*s  ", seq, kind, encoding, human, VERSION_SHOWN + 1,
		(const char *)output->scratch.data);
}

void output_record(struct output *output, uint64_t seq, const struct kyneta_store_record *record)
{
	size_t room = output->width > RECORD_COLUMNS + 8 ? output->width - RECORD_COLUMNS - 1 : 8;
	const char *kind = record->kind == KYNETA_STORE_SINCE ? "since" : "entirety";
	const char *encoding = record->encoding == KYNETA_STORE_BINARY ? "binary" : "json";

	if (output->mode == OUTPUT_JSON) {
		if (!record_json_write(output->file, &output->scratch, record))
			output->failed = true;
	} else if (record->type == KYNETA_STORE_META) {
		write_columns(output, seq, "meta", "-", record->meta_size, SPAN_NONE);
		write_visible(output, span_of(record->meta, record->meta_size), room);
	} else {
		write_columns(output, seq, kind, encoding, record->data_size,
			      span_of(record->version, record->version_size));
		if (record->data_is_text)
			write_visible(output, span_of(record->data, record->data_size), room);
		else
			write_bytes(output, span_of(record->data, record->data_size), room);
	}
	putc('\n', output->file);
}
