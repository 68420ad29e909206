/*
 * memory_client: a host whose memory runs out in the middle of a set of calls, for client_out_of_memory.py.
 *
 *     memory_client SOCKET TAG blocking|queued
 *
 * It makes each call once, with the blocking API or with the other one, on documents whose names begin with TAG. In
 * between it cuts its own connections. A call may fail; whatever does, it goes on with the next. Then it says "done"
 * and reads a byte from stdin: from there on there is memory again, and its handle must work.
 *
 * It allocates nothing itself: what fails is the library's. On stdout is what it was told, a line each, CALL being a
 * number:
 *
 *     w CALL OPERATION DOCUMENT WORD...   a write: a append, r replace, d delete
 *     a CALL NEXT DUPLICATE               it was carried out
 *     l CALL DOCUMENT, i CALL PREFIX      load_all, list_doc_ids
 *     x CALL WORD                         a record or an id that one of them gave
 *     c CALL DOCUMENT                     current_meta
 *     m CALL NEXT WORD                    what it gave; - if there is none
 *     s, p, t, u, e CALL                  sync, ping, stats, resume, close
 *     o CALL                              any of those without an answer of its own, a load or a list was done
 *     f CALL CODE OUTCOME                 any of them failed
 *     n CALL CODE                         it was not even queued
 *     opened CODE                         what making a handle came to
 *
 * A record is one word: m… is metadata, s… an entry with text, b… one with bytes, B… a large one; its data is the word
 * again and again.
 */
#include <errno.h>
#include <kyneta/store.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CALLS_MAX   64
#define RECORDS_MAX 32
#define WORD_SIZE   16
#define SMALL_TIMES 10	  /* a word in its data */
#define LARGE_TIMES 40000 /* more than one read takes */
#define DATA_SIZE   (WORD_SIZE * LARGE_TIMES)
#define NAME_SIZE   400 /* longer than what is kept on a stack */

#define DESCRIPTORS_MOST 64    /* that this process has */
#define DEADLINE_MS	 60000 /* a bound, not an expectation */

struct call {
	char kind;
	unsigned answers;
};

static struct client {
	kyneta_store *store;
	bool is_blocking;
	bool is_closed;
	unsigned count, unanswered;
	struct call calls[CALLS_MAX];
} client;

static struct kyneta_store_options options = KYNETA_STORE_OPTIONS_INIT;

_Noreturn static void give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn static void give_up(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

/* ---- records ---- */

static void make_meta(struct kyneta_store_record *record, const char *word)
{
	static char texts[RECORDS_MAX][256];
	static unsigned used;
	char *text = texts[used++ % RECORDS_MAX];
	int size = snprintf(text, sizeof(texts[0]),
			    "{\"replicaType\":[\"plain\",1,0],\"syncMode\":{\"writerModel\":\"concurrent\","
			    "\"delivery\":\"delta-capable\",\"durability\":\"persistent\"},\"schemaHash\":\"%s\"}",
			    word);

	*record = (struct kyneta_store_record){.type = KYNETA_STORE_META, .meta = text, .meta_size = (size_t)size};
}

static void make_entry(struct kyneta_store_record *record, const char *word)
{
	static char large[DATA_SIZE], small[RECORDS_MAX][WORD_SIZE * SMALL_TIMES];
	static unsigned used;
	size_t size = strlen(word), times = word[0] == 'B' ? LARGE_TIMES : SMALL_TIMES;
	char *data = word[0] == 'B' ? large : small[used++ % RECORDS_MAX];

	for (size_t i = 0; i < times; i++)
		memcpy(data + i * size, word, size);
	*record = (struct kyneta_store_record){.type = KYNETA_STORE_ENTRY,
					       .kind = KYNETA_STORE_SINCE,
					       .encoding = word[0] == 's' ? KYNETA_STORE_JSON : KYNETA_STORE_BINARY,
					       .data_is_text = word[0] == 's',
					       .version = word,
					       .version_size = size,
					       .data = data,
					       .data_size = size * times};
}

static size_t make_records(struct kyneta_store_record *records, char words[RECORDS_MAX][WORD_SIZE], const char *text)
{
	size_t count = 0;
	int size;

	while (sscanf(text, "%15s%n", words[count], &size) == 1) {
		if (words[count][0] == 'm')
			make_meta(&records[count], words[count]);
		else
			make_entry(&records[count], words[count]);
		count++;
		text += size;
	}
	return count;
}

/* ---- what it is told ---- */

static unsigned begin(char kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
static unsigned begin(char kind, const char *format, ...)
{
	unsigned number = client.count++;
	va_list arguments;

	client.calls[number].kind = kind;
	printf("%c %u", kind, number);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	return number;
}

static void tell_failure(unsigned number, int code, const struct kyneta_store_error *error)
{
	if (error->code != code)
		give_up("call %u returned %d, and its error is %d", number, code, error->code);
	printf("f %u %d %d\n", number, code, error->outcome);
}

/* The name of metadata: its schemaHash, which is the last of it. */
static void tell_meta(unsigned number, uint64_t next, const char *meta, size_t size)
{
	const char *start = meta + size;

	if (meta == NULL) {
		printf("m %u %llu -\n", number, (unsigned long long)next);
		return;
	}
	while (start > meta && start[-1] != ':')
		start--;
	printf("m %u %llu %.*s\n", number, (unsigned long long)next, (int)(meta + size - start - 3), start + 1);
}

static void tell_done(unsigned number, const struct kyneta_store_position *at, bool duplicate)
{
	if (client.calls[number].kind == 'w')
		printf("a %u %llu %d\n", number, (unsigned long long)at->next, duplicate);
	else
		printf("o %u\n", number);
	client.is_closed |= client.calls[number].kind == 'e';
}

static void answered(void *context, const struct kyneta_store_answer *answer)
{
	struct call *call = context;
	unsigned number = (unsigned)(call - client.calls);

	if (++call->answers > 1)
		give_up("call %u is answered again", number);
	client.unanswered--;
	if (answer->error != NULL)
		tell_failure(number, answer->error->code, answer->error);
	else if (call->kind == 'c')
		tell_meta(number, answer->at.next, answer->meta, answer->meta_size);
	else
		tell_done(number, &answer->at, answer->duplicate);
}

/* What a queued call came to at first. */
static void queued(unsigned number, int code)
{
	if (code == 0)
		client.unanswered++;
	else
		printf("n %u %d\n", number, code);
}

/* What a blocking one came to. */
static void finished(unsigned number, int code, const struct kyneta_store_position *at,
		     const struct kyneta_store_error *error)
{
	if (code == 0)
		tell_done(number, at, false);
	else
		tell_failure(number, code, error);
}

static bool take_record(void *context, const struct kyneta_store_record *record)
{
	unsigned number = (unsigned)((struct call *)context - client.calls);
	char words[RECORDS_MAX][WORD_SIZE], name[WORD_SIZE];
	struct kyneta_store_record expected;

	if (record->type == KYNETA_STORE_META) {
		const char *start = record->meta + record->meta_size;

		while (start > record->meta && start[-1] != ':')
			start--;
		printf("x %u %.*s\n", number, (int)(record->meta + record->meta_size - start - 3), start + 1);
		return true;
	}
	snprintf(name, sizeof(name), "%.*s", (int)record->version_size, record->version);
	make_records(&expected, words, name);
	if (record->data_size != expected.data_size || memcmp(record->data, expected.data, expected.data_size) != 0)
		give_up("call %u: %s is not whole", number, name);
	printf("x %u %s\n", number, name);
	return true;
}

static bool take_id(void *context, const char *id, size_t id_size)
{
	printf("x %u %.*s\n", (unsigned)((struct call *)context - client.calls), (int)id_size, id);
	return true;
}

static bool take_counter(void *context, const char *name, size_t name_size, uint64_t number, const char *text,
			 size_t text_size)
{
	(void)context, (void)name, (void)name_size, (void)number, (void)text, (void)text_size;
	return true;
}

/* ---- calls ---- */

static void write_words(const char *document, char operation, int durability, const char *words)
{
	unsigned number = begin('w', " %c %s %s", operation, document, words);
	struct kyneta_store_write write = {.durability = durability};
	struct kyneta_store_record records[RECORDS_MAX];
	char names[RECORDS_MAX][WORD_SIZE];
	size_t size = strlen(document), count = make_records(records, names, words);
	struct kyneta_store_position at = {0};
	struct kyneta_store_error error;
	kyneta_store *store = client.store;
	struct call *call = &client.calls[number];

	if (client.is_blocking && operation == 'a')
		finished(number, kyneta_store_append(store, document, size, records, count, &write, &at, &error), &at,
			 &error);
	else if (client.is_blocking && operation == 'r')
		finished(number, kyneta_store_replace(store, document, size, records, count, &write, &at, &error), &at,
			 &error);
	else if (client.is_blocking)
		finished(number, kyneta_store_delete(store, document, size, &write, &at, &error), &at, &error);
	else if (operation == 'a')
		queued(number, kyneta_store_send_append(store, document, size, records, count, &write, answered, call));
	else if (operation == 'r')
		queued(number,
		       kyneta_store_send_replace(store, document, size, records, count, &write, answered, call));
	else
		queued(number, kyneta_store_send_delete(store, document, size, &write, answered, call));
}

static void load(const char *document)
{
	unsigned number = begin('l', " %s", document);
	struct call *call = &client.calls[number];
	struct kyneta_store_error error;
	size_t size = strlen(document);

	if (client.is_blocking)
		finished(number, kyneta_store_load_all(client.store, document, size, take_record, call, NULL, &error),
			 NULL, &error);
	else
		queued(number,
		       kyneta_store_send_load_all(client.store, document, size, take_record, answered, call, NULL));
}

static void list(const char *prefix)
{
	unsigned number = begin('i', " %s", prefix);
	struct call *call = &client.calls[number];
	struct kyneta_store_error error;
	size_t size = strlen(prefix);

	if (client.is_blocking)
		finished(number, kyneta_store_list_doc_ids(client.store, prefix, size, take_id, call, &error), NULL,
			 &error);
	else
		queued(number,
		       kyneta_store_send_list_doc_ids(client.store, prefix, size, take_id, answered, call, NULL));
}

static void current_meta(const char *document)
{
	unsigned number = begin('c', " %s", document);
	struct kyneta_store_position at;
	struct kyneta_store_error error;
	size_t size = strlen(document), meta_size = 0;
	char *meta;
	int code;

	if (!client.is_blocking) {
		queued(number,
		       kyneta_store_send_current_meta(client.store, document, size, answered, &client.calls[number]));
		return;
	}
	code = kyneta_store_current_meta(client.store, document, size, &meta, &meta_size, &at, &error);
	if (code != 0) {
		tell_failure(number, code, &error);
		return;
	}
	tell_meta(number, at.next, meta, meta_size);
	kyneta_store_release(meta);
}

static int wait_for(char kind, struct kyneta_store_error *error)
{
	switch (kind) {
	case 's':
		return kyneta_store_sync(client.store, error);
	case 'p':
		return kyneta_store_ping(client.store, error);
	case 't':
		return kyneta_store_stats(client.store, take_counter, NULL, error);
	default:
		return kyneta_store_close(client.store, error);
	}
}

static int queue(char kind, struct call *call)
{
	switch (kind) {
	case 's':
		return kyneta_store_send_sync(client.store, answered, call);
	case 'p':
		return kyneta_store_send_ping(client.store, answered, call);
	case 'u':
		return kyneta_store_send_resume(client.store, answered, call);
	default:
		return kyneta_store_send_close(client.store, answered, call);
	}
}

static void simple(char kind)
{
	struct kyneta_store_error error;
	unsigned number;

	/* Blocking calls resume by themselves; the others have no stats. */
	if (kind == (client.is_blocking ? 'u' : 't'))
		return;
	number = begin(kind, "%s", "");
	if (client.is_blocking)
		finished(number, wait_for(kind, &error), NULL, &error);
	else
		queued(number, queue(kind, &client.calls[number]));
}

/* ---- turns ---- */

/* Until everything queued is answered. */
static void settle(void)
{
	struct pollfd polled = {.fd = kyneta_store_fd(client.store)};

	while (client.unanswered > 0) {
		int code;

		polled.events = kyneta_store_events(client.store);
		if (poll(&polled, 1, kyneta_store_timeout(client.store)) < 0 && errno != EINTR)
			give_up("poll: %s", strerror(errno));
		code = kyneta_store_process(client.store);
		if (code != 0 && !client.is_closed)
			give_up("the handle has ended: %s", kyneta_store_error_name(code));
	}
}

/* Everything that this process is connected to is the daemon. What was sent is on its way; answers are lost. */
static void cut_connections(void)
{
	struct sockaddr_storage name;

	kyneta_store_push(client.store);
	for (int fd = STDERR_FILENO + 1; fd < DESCRIPTORS_MOST; fd++) {
		socklen_t size = sizeof(name);

		if (getpeername(fd, (struct sockaddr *)&name, &size) == 0)
			shutdown(fd, SHUT_RDWR);
	}
}

/* There is memory for it at the latest when the allocations that fail are used up. */
static void open_handle(int access)
{
	struct kyneta_store_error error;
	int code;

	options.access = access;
	do {
		code = client.is_blocking ? kyneta_store_open(&options, &client.store, &error)
					  : kyneta_store_new(&options, &client.store, &error);
		printf("opened %d\n", code);
	} while (code == KYNETA_STORE_EMEMORY);
	if (code != 0)
		give_up("no handle: %s", error.message);
	client.is_closed = false;
}

static void close_handle(void)
{
	simple('e');
	settle();
}

/* ---- the set of calls ---- */

struct names {
	char a[NAME_SIZE], b[NAME_SIZE], many[NAME_SIZE], none[NAME_SIZE], tag[NAME_SIZE];
};

static void name_documents(struct names *names, const char *tag)
{
	int size = snprintf(names->b, sizeof(names->b), "%s/b", tag);

	snprintf(names->a, sizeof(names->a), "%s/a", tag);
	snprintf(names->many, sizeof(names->many), "%s/many", tag);
	snprintf(names->none, sizeof(names->none), "%s/none", tag);
	snprintf(names->tag, sizeof(names->tag), "%s/", tag);
	memset(names->b + size, 'b', sizeof(names->b) - 1 - (size_t)size);
}

static void talk(const struct names *names)
{
	write_words(names->a, 'a', KYNETA_STORE_SYNCED, "m1 s2 b3");
	write_words(names->a, 'a', KYNETA_STORE_COMMITTED, "s4");
	write_words(names->b, 'a', KYNETA_STORE_COMMITTED, "m5 B6");
	write_words(names->none, 'a', KYNETA_STORE_COMMITTED, "s7");
	write_words(names->many, 'a', KYNETA_STORE_COMMITTED,
		    "m10 s11 s12 s13 s14 s15 s16 s17 s18 s19 b20 b21 b22 b23 b24 b25 b26 b27 b28 b29");
	load(names->a);
	load(names->b);
	load(names->many);
	current_meta(names->a);
	current_meta(names->none);
	list(names->tag);
	simple('s');
	simple('p');
	simple('t');
	settle();
	write_words(names->many, 'r', KYNETA_STORE_COMMITTED, "s30 m31 B32");
	write_words(names->b, 'd', KYNETA_STORE_COMMITTED, "");
	write_words(names->b, 'a', KYNETA_STORE_COMMITTED, "m33");
	write_words(names->a, 'a', KYNETA_STORE_COMMITTED, "s34");
	write_words(names->a, 'a', KYNETA_STORE_COMMITTED, "b35");
	cut_connections();
	write_words(names->a, 'a', KYNETA_STORE_COMMITTED, "b36");
	load(names->a);
	load(names->many);
	settle();
	simple('u');
	write_words(names->a, 'a', KYNETA_STORE_COMMITTED, "s37");
}

/* Writes that fail from outside, and what is behind them until resume. */
static void talk_without_permission(const struct names *names)
{
	load(names->a);
	write_words(names->a, 'a', KYNETA_STORE_COMMITTED, "s40");
	write_words(names->a, 'a', KYNETA_STORE_COMMITTED, "s41");
	write_words(names->b, 'a', KYNETA_STORE_COMMITTED, "s42");
	settle();
	write_words(names->b, 'a', KYNETA_STORE_COMMITTED, "s43");
	simple('u');
	write_words(names->b, 'a', KYNETA_STORE_COMMITTED, "s44");
	cut_connections();
	settle();
}

int main(int argc, char **argv)
{
	static char output[1 << 16];
	static struct names names;
	char byte;

	if (argc != 4)
		give_up("takes SOCKET TAG blocking|queued");
	setvbuf(stdout, output, _IOFBF, sizeof(output));
	client.is_blocking = strcmp(argv[3], "blocking") == 0;
	name_documents(&names, argv[2]);
	options.path = argv[1];
	options.deadline_ms = DEADLINE_MS;
	options.backoff_base_ms = 1;
	options.backoff_max_ms = 10;

	open_handle(KYNETA_STORE_READ_ONLY);
	talk_without_permission(&names);
	close_handle();
	kyneta_store_free(client.store);
	open_handle(KYNETA_STORE_READ_WRITE);
	talk(&names);
	close_handle();

	printf("done\n");
	fflush(stdout);
	if (read(STDIN_FILENO, &byte, 1) != 1)
		give_up("nobody is there any more");
	if (client.is_closed) {
		kyneta_store_free(client.store);
		open_handle(KYNETA_STORE_READ_WRITE);
	}
	simple('u');
	simple('p');
	write_words(names.none, 'a', KYNETA_STORE_SYNCED, "m50 s51");
	load(names.none);
	close_handle();
	if (!client.is_closed)
		give_up("it cannot be closed");
	kyneta_store_free(client.store);
	return 0;
}
