/*
 * big_client: clients with much to do, for test_slow_and_big.py.
 *
 *     big_client fill SOCKET DOCUMENT MIB             append so much, several requests in flight
 *     big_client stream SOCKET DOCUMENT MIB           load that, and check every byte
 *     big_client stream SOCKET DOCUMENT MIB pause     the same; in the middle say "paused", take no record until there
 * is a line on stdin big_client stream SOCKET DOCUMENT MIB stop      the same, but do not even read the socket
 * meanwhile big_client load SOCKET DOCUMENT MIB             load it again and again until stdin ends big_client write
 * SOCKET NUMBER                  replace documents of its own until stdin ends big_client list SOCKET FILE [PREFIX] put
 * the ids into FILE, each with its length before it (u32, big-endian)
 *
 * load and write say "begun" after their first answer. The last line of each tells how much it did, then its resident
 * memory in KiB: after connecting, and the most it ever was.
 *
 * A document of N MiB has metadata and then entries whose number gives their size and each of their bytes.
 */
#include <kyneta/store.h>

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB	      ((size_t)1 << 20)
#define WINDOW	      8 /* requests in flight of fill and write */
#define APPEND_BYTES  MIB
#define RECORDS_MAX   2048
#define SIZES	      7 /* of entries: 1 KiB to 64 KiB */
#define LARGEST	      ((size_t)1024 << (SIZES - 1))
#define OWN_DOCUMENTS 8	  /* of write: so that its database does not grow */
#define REPLACE_BYTES MIB /* large, so that the log grows by little more than what is sent */

static const char META[] = "{\"replicaType\":[\"plain\",1,0],\"syncMode\":{\"writerModel\":\"concurrent\","
			   "\"delivery\":\"delta-capable\",\"durability\":\"persistent\"},\"schemaHash\":\"00\"}";

static _Noreturn __attribute__((format(printf, 1, 2))) void give_up(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("big_client: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

static __attribute__((format(printf, 1, 2))) void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	if (fflush(stdout) != 0)
		give_up("stdout: %s", strerror(errno));
}

static unsigned long number_of(const char *text)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (end == text || *end != '\0')
		give_up("%s is no number", text);
	return number;
}

/* A line of /proc/self/status, in KiB. */
static unsigned long memory(const char *name)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];
	unsigned long kib = 0;

	if (file == NULL)
		give_up("/proc/self/status: %s", strerror(errno));
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, name, strlen(name)) == 0)
			kib = strtoul(line + strlen(name) + 1, NULL, 10);
	fclose(file);
	return kib;
}

static kyneta_store *open_store(const char *path)
{
	struct kyneta_store_options options = KYNETA_STORE_OPTIONS_INIT;
	struct kyneta_store_error error;
	kyneta_store *store;

	options.path = path;
	options.name = "big_client";
	options.durability = KYNETA_STORE_COMMITTED;
	if (kyneta_store_open(&options, &store, &error) != 0)
		give_up("open: %s", error.message);
	return store;
}

static void close_store(kyneta_store *store)
{
	struct kyneta_store_error error;

	if (kyneta_store_close(store, &error) != 0)
		give_up("close: %s", error.message);
	kyneta_store_free(store);
}

static void process(kyneta_store *store)
{
	int code = kyneta_store_process(store);

	if (code != 0)
		give_up("the handle has ended: %s", kyneta_store_error_name(code));
}

/* Waits until there is something to do, and does it. */
static void turn(kyneta_store *store)
{
	struct pollfd poll_fd = {kyneta_store_fd(store), POLLIN, 0};

	if (poll(&poll_fd, 1, kyneta_store_timeout(store)) < 0 && errno != EINTR)
		give_up("poll: %s", strerror(errno));
	process(store);
}

static bool is_told(void)
{
	struct pollfd poll_fd = {STDIN_FILENO, POLLIN, 0};

	return poll(&poll_fd, 1, 0) > 0;
}

/* ---- entries ---- */

static size_t entry_size(uint64_t number)
{
	return (size_t)1024 << number % SIZES;
}

static uint64_t entry_word(uint64_t number, size_t at)
{
	return number * UINT64_C(0x9e3779b97f4a7c15) + at;
}

static void fill_entry(uint64_t *words, uint64_t number)
{
	for (size_t i = 0; i < entry_size(number) / sizeof(*words); i++)
		words[i] = entry_word(number, i);
}

static bool is_entry(const struct kyneta_store_record *record, uint64_t number)
{
	uint64_t word;

	if (record->type != KYNETA_STORE_ENTRY || record->data_is_text || record->data_size != entry_size(number))
		return false;
	for (size_t i = 0; i < record->data_size / sizeof(word); i++) {
		memcpy(&word, (const char *)record->data + i * sizeof(word), sizeof(word));
		if (word != entry_word(number, i))
			return false;
	}
	return true;
}

static struct kyneta_store_record entry_record(const void *data, size_t size)
{
	return (struct kyneta_store_record){.type = KYNETA_STORE_ENTRY,
					    .kind = KYNETA_STORE_SINCE,
					    .encoding = KYNETA_STORE_BINARY,
					    .version = "1",
					    .version_size = 1,
					    .data = data,
					    .data_size = size};
}

static const struct kyneta_store_record meta_record = {
    .type = KYNETA_STORE_META, .meta = META, .meta_size = sizeof(META) - 1};

/* ---- fill ---- */

static void written(void *context, const struct kyneta_store_answer *answer)
{
	unsigned *unanswered = context;

	if (answer->error != NULL)
		give_up("write: %s", answer->error->message);
	--*unanswered;
}

/* The next entries, about APPEND_BYTES together, as one request. Returns their bytes. */
static size_t append_some(kyneta_store *store, const char *document, uint64_t *number, unsigned *unanswered)
{
	static struct kyneta_store_record records[RECORDS_MAX];
	static uint64_t data[(APPEND_BYTES + LARGEST) / sizeof(uint64_t)];
	size_t count = 0, size = 0;

	for (; size < APPEND_BYTES && count < RECORDS_MAX; count++) {
		fill_entry(data + size / sizeof(*data), *number);
		records[count] = entry_record(data + size / sizeof(*data), entry_size(*number));
		size += entry_size((*number)++);
	}
	if (kyneta_store_send_append(store, document, strlen(document), records, count, NULL, written, unanswered) != 0)
		give_up("append was not queued");
	++*unanswered;
	return size;
}

static void fill(const char *path, const char *document, size_t mib)
{
	kyneta_store *store = open_store(path);
	unsigned unanswered = 1;
	uint64_t number = 0;
	size_t size = 0;

	if (kyneta_store_send_append(store, document, strlen(document), &meta_record, 1, NULL, written, &unanswered) !=
	    0)
		give_up("append was not queued");
	while (size < mib * MIB || unanswered > 0) {
		while (size < mib * MIB && unanswered < WINDOW)
			size += append_some(store, document, &number, &unanswered);
		turn(store);
	}
	close_store(store);
	say("filled %llu", (unsigned long long)number);
}

/* ---- stream, load ---- */

enum pause { NO_PAUSE, PAUSE, STOP };

struct stream {
	kyneta_store_stream *stream;
	uint64_t number; /* of the next entry */
	size_t size, pause_at;
	bool has_meta, paused, done;
};

static bool take_record(void *context, const struct kyneta_store_record *record)
{
	struct stream *stream = context;

	if (!stream->has_meta) {
		stream->has_meta = true;
		if (record->type != KYNETA_STORE_META || record->meta_size != meta_record.meta_size)
			give_up("the document does not begin with its metadata");
		return true;
	}
	if (!is_entry(record, stream->number))
		give_up("entry %llu is another one", (unsigned long long)stream->number);
	stream->number++;
	stream->size += record->data_size;
	if (stream->pause_at > 0 && stream->size >= stream->pause_at) {
		stream->pause_at = 0;
		stream->paused = true;
		kyneta_store_stream_pause(stream->stream);
	}
	return true;
}

static void stream_done(void *context, const struct kyneta_store_answer *answer)
{
	struct stream *stream = context;

	if (answer->error != NULL)
		give_up("load: %s", answer->error->message);
	stream->done = true;
}

static void wait_for_line(kyneta_store *store, enum pause how)
{
	struct pollfd polls[] = {{STDIN_FILENO, POLLIN, 0}, {kyneta_store_fd(store), POLLIN, 0}};

	while (polls[0].revents == 0) {
		if (how == PAUSE)
			process(store);
		if (poll(polls, how == PAUSE ? 2 : 1, how == PAUSE ? kyneta_store_timeout(store) : -1) < 0 &&
		    errno != EINTR)
			give_up("poll: %s", strerror(errno));
	}
}

static void check_whole(const struct stream *stream, size_t mib)
{
	if (!stream->has_meta || stream->size < mib * MIB)
		give_up("only %zu bytes were there", stream->size);
}

static void stream(const char *path, const char *document, size_t mib, enum pause how)
{
	kyneta_store *store = open_store(path);
	struct stream stream = {.pause_at = how == NO_PAUSE ? 0 : mib * MIB / 2};
	unsigned long before = memory("VmRSS");

	if (kyneta_store_send_load_all(store, document, strlen(document), take_record, stream_done, &stream,
				       &stream.stream) != 0)
		give_up("load was not queued");
	while (!stream.done) {
		turn(store);
		if (!stream.paused)
			continue;
		say("paused");
		wait_for_line(store, how);
		stream.paused = false;
		kyneta_store_stream_continue(stream.stream);
	}
	check_whole(&stream, mib);
	say("streamed %llu %lu %lu", (unsigned long long)stream.number, before, memory("VmHWM"));
	close_store(store);
}

static void load(const char *path, const char *document, size_t mib)
{
	kyneta_store *store = open_store(path);
	struct kyneta_store_error error;
	unsigned long before = memory("VmRSS"), loads = 0;

	do {
		struct stream stream = {.number = 0};

		if (kyneta_store_load_all(store, document, strlen(document), take_record, &stream, NULL, &error) != 0)
			give_up("load: %s", error.message);
		check_whole(&stream, mib);
		if (loads++ == 0)
			say("begun");
	} while (!is_told());
	say("loaded %lu %lu %lu", loads, before, memory("VmHWM"));
	close_store(store);
}

/* ---- write ---- */

static void replace_one(kyneta_store *store, const char *writer, unsigned long turns, unsigned *unanswered)
{
	static uint64_t data[REPLACE_BYTES / sizeof(uint64_t)];
	struct kyneta_store_record records[] = {meta_record, entry_record(data, sizeof(data))};
	char document[64];

	data[0] = turns;
	snprintf(document, sizeof(document), "writer/%s/%lu", writer, turns % OWN_DOCUMENTS);
	if (kyneta_store_send_replace(store, document, strlen(document), records, 2, NULL, written, unanswered) != 0)
		give_up("replace was not queued");
	++*unanswered;
}

static void write_on(const char *path, const char *writer)
{
	kyneta_store *store = open_store(path);
	unsigned long before = memory("VmRSS"), writes = 0;
	unsigned unanswered = 0;
	bool begun = false, told = false;

	while (!told || unanswered > 0) {
		while (!told && unanswered < WINDOW)
			replace_one(store, writer, writes++, &unanswered);
		turn(store);
		if (!begun && unanswered < WINDOW)
			say("begun");
		begun = begun || unanswered < WINDOW;
		told = told || is_told();
	}
	say("wrote %lu %lu %lu", writes, before, memory("VmHWM"));
	close_store(store);
}

/* ---- list ---- */

struct listing {
	FILE *file;
	unsigned long count;
};

static bool take_id(void *context, const char *id, size_t id_size)
{
	struct listing *listing = context;
	unsigned char length[] = {(unsigned char)(id_size >> 24), (unsigned char)(id_size >> 16),
				  (unsigned char)(id_size >> 8), (unsigned char)id_size};

	listing->count++;
	return fwrite(length, sizeof(length), 1, listing->file) == 1 &&
	       fwrite(id, 1, id_size, listing->file) == id_size;
}

static void list(const char *path, const char *name, const char *prefix)
{
	kyneta_store *store = open_store(path);
	struct listing listing = {.file = fopen(name, "wb")};
	struct kyneta_store_error error;
	unsigned long before;

	if (listing.file == NULL)
		give_up("%s: %s", name, strerror(errno));
	before = memory("VmRSS");
	if (kyneta_store_list_doc_ids(store, prefix, prefix == NULL ? 0 : strlen(prefix), take_id, &listing, &error) !=
	    0)
		give_up("list: %s", error.message);
	if (ferror(listing.file) || fclose(listing.file) != 0)
		give_up("%s cannot be written", name);
	say("listed %lu %lu %lu", listing.count, before, memory("VmHWM"));
	close_store(store);
}

/* ---- the command line ---- */

static enum pause pause_named(const char *name)
{
	if (strcmp(name, "pause") != 0 && strcmp(name, "stop") != 0)
		give_up("there is no pause called %s", name);
	return name[0] == 'p' ? PAUSE : STOP;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "fill") == 0 && argc == 5)
		fill(argv[2], argv[3], number_of(argv[4]));
	else if (strcmp(what, "stream") == 0 && (argc == 5 || argc == 6))
		stream(argv[2], argv[3], number_of(argv[4]), argc == 5 ? NO_PAUSE : pause_named(argv[5]));
	else if (strcmp(what, "load") == 0 && argc == 5)
		load(argv[2], argv[3], number_of(argv[4]));
	else if (strcmp(what, "write") == 0 && argc == 4)
		write_on(argv[2], argv[3]);
	else if (strcmp(what, "list") == 0 && (argc == 4 || argc == 5))
		list(argv[2], argv[3], argc == 5 ? argv[4] : NULL);
	else
		give_up("see the beginning of its source for what it takes");
	return 0;
}
