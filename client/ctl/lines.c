#include "client/ctl/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define CHUNK_BYTES ((size_t)128 << 10)

struct lines {
	gzFile file;
	int64_t file_bytes; /* as stored, packed or not; -1: a pipe */
	uint64_t number;
	uint8_t *chunk; /* read from the file, [chunk_at, chunk_end) not looked at yet */
	size_t chunk_at;
	size_t chunk_end;
	struct buffer line; /* used only for a line that crosses the end of a chunk */
};

static int64_t regular_size(int fd)
{
	struct stat status;

	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
		return -1;
	return status.st_size;
}

int lines_open(struct lines **out, const char *path, const char **reason)
{
	struct lines *lines;
	int fd;

	/* A copy of descriptor 0, so that closing the lines does not close the standard input. */
	fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		*reason = strerror(errno);
		return -1;
	}
	lines = calloc(1, sizeof(*lines));
	if (lines == NULL)
		goto no_memory;
	lines->chunk = malloc(CHUNK_BYTES);
	if (lines->chunk == NULL)
		goto no_memory;
	lines->file_bytes = regular_size(fd);
	lines->file = gzdopen(fd, "rb");
	if (lines->file == NULL)
		goto no_memory;
	if (gzbuffer(lines->file, CHUNK_BYTES) != 0)
		goto no_memory;
	*out = lines;
	return 0;
no_memory:
	*reason = "no memory";
	if (lines == NULL || lines->file == NULL)
		close(fd);
	lines_close(lines);
	return -1;
}

/* Reads the next chunk. As lines_next(), LINES_END at the end of the file. */
static enum lines_result refill(struct lines *lines, const char **reason)
{
	int error = Z_OK;
	int got;

	errno = 0;
	got = gzread(lines->file, lines->chunk, CHUNK_BYTES);
	/* A file that ends in the middle of its packed data gives what there is, and no error but this one. */
	if (got <= 0)
		gzerror(lines->file, &error);
	if (error == Z_ERRNO) {
		*reason = errno == 0 ? "read error" : strerror(errno);
		return LINES_FAILED;
	}
	if (error == Z_BUF_ERROR) {
		*reason = "the gzipped file is cut short";
		return LINES_FAILED;
	}
	if (error != Z_OK && error != Z_STREAM_END) {
		*reason = "the gzipped file is damaged";
		return LINES_FAILED;
	}
	lines->chunk_at = 0;
	lines->chunk_end = got > 0 ? (size_t)got : 0;
	return got > 0 ? LINES_ONE : LINES_END;
}

/* The rest of a line that began in an earlier chunk, or the whole of one that begins in this one. */
static enum lines_result next_line(struct lines *lines, struct span *line, const char **reason)
{
	enum lines_result result;

	buffer_reset(&lines->line);
	for (;;) {
		const uint8_t *start = lines->chunk + lines->chunk_at;
		size_t left = lines->chunk_end - lines->chunk_at;
		const uint8_t *feed = left == 0 ? NULL : memchr(start, '\n', left);
		size_t taken = feed == NULL ? left : (size_t)(feed - start);

		if (feed != NULL && lines->line.size == 0) {
			lines->chunk_at += taken + 1;
			*line = span_of(start, taken);
			return LINES_ONE;
		}
		if (taken > LINES_LINE_MAX - lines->line.size) {
			*reason = "a line is longer than 2 GiB";
			return LINES_FAILED;
		}
		buffer_append(&lines->line, start, taken);
		if (lines->line.failed) {
			*reason = "no memory for a line";
			return LINES_FAILED;
		}
		lines->chunk_at += taken;
		if (feed != NULL) {
			lines->chunk_at++;
			break;
		}
		result = refill(lines, reason);
		if (result == LINES_FAILED)
			return result;
		if (result == LINES_END) {
			if (lines->line.size == 0)
				return LINES_END;
			break;
		}
	}
	*line = buffer_span(&lines->line);
	return LINES_ONE;
}

static bool blank(struct span line)
{
	for (size_t i = 0; i < line.size; i++)
		if (line.data[i] != ' ' && line.data[i] != '\t' && line.data[i] != '\r')
			return false;
	return true;
}

enum lines_result lines_next(struct lines *lines, struct span *line, const char **reason)
{
	enum lines_result result;

	do {
		result = next_line(lines, line, reason);
		if (result != LINES_ONE)
			return result;
		lines->number++;
	} while (blank(*line));
	return LINES_ONE;
}

uint64_t lines_number(const struct lines *lines)
{
	return lines->number;
}

int lines_percent(const struct lines *lines)
{
	int64_t at;

	if (lines->file_bytes <= 0)
		return -1;
	at = gzoffset(lines->file);
	if (at < 0)
		return -1;
	return at >= lines->file_bytes ? 100 : (int)(at * 100 / lines->file_bytes);
}

void lines_close(struct lines *lines)
{
	if (lines == NULL)
		return;
	if (lines->file != NULL)
		gzclose_r(lines->file);
	buffer_free(&lines->line);
	free(lines->chunk);
	free(lines);
}
