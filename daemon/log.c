#include "daemon/log.h"

#include "protocol/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4000

/* The prefix, the text and the newline: below PIPE_BUF, so that lines of several processes do not mix in one pipe. */
#define LINE_SIZE (LINE_MAX_BYTES + 64)

static _Atomic int threshold = LOG_INFO;

static pthread_once_t journal_once = PTHREAD_ONCE_INIT;
static bool journal; /* written under journal_once only */

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

_Bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&threshold, memory_order_relaxed);
}

/* The variable is inherited by children whose stderr goes elsewhere: only the device and inode in it tell. */
static void find_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t device, inode;
	struct stat status;

	journal = stream != NULL && sscanf(stream, "%" SCNuMAX ":%" SCNuMAX, &device, &inode) == 2 &&
		  fstat(STDERR_FILENO, &status) == 0 && device == (uintmax_t)status.st_dev &&
		  inode == (uintmax_t)status.st_ino;
}

_Bool log_to_journal(void)
{
	pthread_once(&journal_once, find_journal);
	return journal;
}

/* Bytes of the UTF-8 character that @text begins with; 0 if it begins with none. */
static size_t character_size(const unsigned char *text, size_t size)
{
	size_t wanted = text[0] < 0x80 ? 1 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;

	return size >= wanted && utf8_valid(span_of(text, wanted)) ? wanted : 0;
}

/* C0, DEL, C1, and the two characters that Unicode calls ends of lines. */
static bool is_control(const unsigned char *text, size_t size)
{
	if (size == 1)
		return text[0] < 0x20 || text[0] == 0x7f;
	if (size == 2)
		return text[0] == 0xc2 && text[1] < 0xa0;
	return size == 3 && text[0] == 0xe2 && text[1] == 0x80 && (text[2] == 0xa8 || text[2] == 0xa9);
}

size_t log_escape(const char *text, size_t size, char *out, size_t out_size)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *at = (const unsigned char *)text;
	size_t length = 0;

	if (out_size == 0)
		return 0;
	while (size > 0) {
		size_t taken = character_size(at, size);
		bool plain = taken > 0 && !is_control(at, taken);

		if (taken == 0)
			taken = 1;
		if (length + (plain ? taken : 4 * taken) >= out_size)
			break;
		for (size_t i = 0; i < taken; i++) {
			if (plain) {
				out[length++] = (char)at[i];
				continue;
			}
			out[length++] = '\\';
			out[length++] = 'x';
			out[length++] = hex[at[i] >> 4];
			out[length++] = hex[at[i] & 15];
		}
		at += taken;
		size -= taken;
	}
	out[length] = '\0';
	return length;
}

static const char *level_name(enum log_level level)
{
	switch (level) {
#define X(constant, number, name)                                                                                      \
	case LOG_##constant:                                                                                           \
		return #name;
		LOG_LEVEL_LIST(X)
#undef X
	}
	return "?";
}

static size_t write_prefix(enum log_level level, char *out, size_t size)
{
	struct timespec now = {0};
	struct tm utc = {0};
	char seconds[32] = "";
	int length;

	if (journal) {
		length = snprintf(out, size, "<%d>", (int)level);
	} else {
		clock_gettime(CLOCK_REALTIME, &now);
		gmtime_r(&now.tv_sec, &utc);
		strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &utc);
		length = snprintf(out, size, "%s.%03ldZ %s: ", seconds, now.tv_nsec / 1000000, level_name(level));
	}
	return length < 0 ? 0 : (size_t)length;
}

/* A line that cannot be written is lost: there is nowhere to say so, and a full pipe must not stop the daemon. */
static void write_all(const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t written = write(STDERR_FILENO, bytes, size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return;
		bytes += written;
		size -= (size_t)written;
	}
}

void log_write(enum log_level level, const char *format, ...)
{
	int saved = errno;
	/* A character more than fits: where vsnprintf cuts one, log_escape does not come any more. */
	char text[LINE_MAX_BYTES + 5], line[LINE_SIZE];
	va_list arguments;
	size_t length;
	int wanted;

	if (!log_enabled(level))
		return;
	log_to_journal();
	va_start(arguments, format);
	wanted = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (wanted < 0) {
		errno = saved;
		return;
	}
	if ((size_t)wanted >= sizeof(text))
		wanted = (int)sizeof(text) - 1;
	length = write_prefix(level, line, sizeof(line));
	length += log_escape(text, (size_t)wanted, line + length, LINE_MAX_BYTES + 1);
	line[length++] = '\n';
	write_all(line, length);
	errno = saved;
}
