/*
 * restart_client: a client that works without pause, for test_restart.py.
 *
 *     restart_client SOCKET NUMBER LOG
 *
 * It keeps WINDOW calls in flight: appends (of identical records too), replaces, deletes and loads of a few documents
 * of its own, and appends to one document that all clients share. It does nothing about a daemon that is killed and
 * started again: that is the library's part. What it asked for and what was answered goes to LOG, one line each, in the
 * order in which it happened:
 *
 *     w CALL OPERATION DOCUMENT RECORD...    a write is queued: a append, r replace, d delete
 *     a CALL GENERATION NEXT DUPLICATE       it was carried out
 *     l CALL DOCUMENT                        a load is queued
 *     r CALL RECORD...                       what it gave
 *     f CALL CODE MESSAGE                    a call failed
 *
 * A record is one word: mN is metadata with N as schemaHash, sWORD an entry whose data is text, bWORD one whose data is
 * bytes; the whole word is the entry's version and data.
 *
 * Lines on stdin tell it what to do. Each is answered with one line on stdout:
 *
 *     run N     work; "ran" when N more calls are answered; it goes on working
 *     status    "unanswered N": writes without an answer after everything that has come was read, the window filled
 * again and sent hold      wait until everything is answered; ask for a document that fills the socket, so that
 * whatever is answered after it cannot come; then send writes, and read nothing any more: "held N DOCUMENT NEXT", N
 *               writes, the last of which takes DOCUMENT to NEXT records
 *     go        read again, and work
 *     finish    wait until everything is answered, close, end: "finished CALLS RESENT DUPLICATES CONNECTS"
 */
#include <kyneta/store.h>

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WINDOW	     16
#define OWN	     3 /* documents: with the shared one, so few that several calls for one are in flight */
#define SHARED	     OWN
#define RECORDS_MAX  4	/* in a write */
#define LENGTH_MAX   60 /* of an own document: it is replaced then */
#define WORD_SIZE    32
#define WAIT_MS	     120000 /* a bound, not an expectation */
#define SAME_RECORDS 3	    /* so many neighbours are the same */

static const char BALLAST[] = "ballast";

struct document {
	char name[WORD_SIZE];
	uint64_t length; /* when everything queued was carried out */
	unsigned words;	 /* entries made for it */
	bool exists;
};

struct client {
	kyneta_store *store;
	FILE *log;
	unsigned number;
	unsigned random;
	struct document documents[OWN + 1];
	unsigned long calls, answered, target; /* target: say "ran" at so many answers; 0: no one waits */
	unsigned unanswered, unanswered_writes;
	bool working;
};

/* A call on its way; freed by its answer. */
struct call {
	struct client *client;
	unsigned long number;
	char *records; /* of a load */
	size_t records_size;
	FILE *stream;
	bool is_write;
};

static _Noreturn __attribute__((format(printf, 1, 2))) void give_up(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("restart_client: ", stderr);
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

/* xorshift: the same calls in every run, whatever the timing. */
static unsigned below(struct client *client, unsigned bound)
{
	client->random ^= client->random << 13;
	client->random ^= client->random >> 17;
	client->random ^= client->random << 5;
	return client->random % bound;
}

/* ---- records ---- */

struct word {
	char text[WORD_SIZE];
	char meta[256];
	struct kyneta_store_record record;
};

static void make_meta(struct word *word, unsigned number)
{
	snprintf(word->text, sizeof(word->text), "m%u", number);
	snprintf(word->meta, sizeof(word->meta),
		 "{\"replicaType\":[\"plain\",1,0],\"syncMode\":{\"writerModel\":\"concurrent\","
		 "\"delivery\":\"delta-capable\",\"durability\":\"persistent\"},\"schemaHash\":\"%u\"}",
		 number);
	word->record = (struct kyneta_store_record){
	    .type = KYNETA_STORE_META, .meta = word->meta, .meta_size = strlen(word->meta)};
}

/* @word->text is there already. */
static void make_entry(struct word *word)
{
	bool is_text = word->text[0] == 's';

	word->record = (struct kyneta_store_record){.type = KYNETA_STORE_ENTRY,
						    .kind = KYNETA_STORE_SINCE,
						    .encoding = is_text ? KYNETA_STORE_JSON : KYNETA_STORE_BINARY,
						    .data_is_text = is_text,
						    .version = word->text,
						    .version_size = strlen(word->text),
						    .data = word->text,
						    .data_size = strlen(word->text)};
}

static bool log_record(void *context, const struct kyneta_store_record *record)
{
	struct call *call = context;
	const char *hash;

	if (record->type == KYNETA_STORE_ENTRY) {
		fprintf(call->stream, " %.*s", (int)record->version_size, record->version);
		return true;
	}
	hash = memmem(record->meta, record->meta_size, "\"schemaHash\":\"", 14);
	fprintf(call->stream, " m%d", hash == NULL ? -1 : atoi(hash + 14));
	return true;
}

/* ---- answers ---- */

static void answered(struct call *call, const struct kyneta_store_answer *answer)
{
	struct client *client = call->client;

	if (answer->error != NULL)
		fprintf(client->log, "f %lu %d %s\n", call->number, answer->error->code, answer->error->message);
	else if (call->is_write)
		fprintf(client->log, "a %lu %llu %llu %d\n", call->number, (unsigned long long)answer->at.generation,
			(unsigned long long)answer->at.next, answer->duplicate);
	client->answered++;
	client->unanswered--;
	client->unanswered_writes -= call->is_write;
}

static void written(void *context, const struct kyneta_store_answer *answer)
{
	answered(context, answer);
	free(context);
}

static void loaded(void *context, const struct kyneta_store_answer *answer)
{
	struct call *call = context;

	fclose(call->stream);
	if (answer->error == NULL)
		fprintf(call->client->log, "r %lu%s\n", call->number, call->records);
	answered(call, answer);
	free(call->records);
	free(call);
}

/* ---- calls ---- */

static struct call *new_call(struct client *client, bool is_write)
{
	struct call *call = calloc(1, sizeof(*call));

	if (call == NULL)
		give_up("no memory");
	call->client = client;
	call->number = ++client->calls;
	call->is_write = is_write;
	client->unanswered++;
	client->unanswered_writes += is_write;
	return call;
}

static void load(struct client *client, const char *name)
{
	struct call *call = new_call(client, false);

	call->stream = open_memstream(&call->records, &call->records_size);
	if (call->stream == NULL)
		give_up("no memory");
	fprintf(client->log, "l %lu %s\n", call->number, name);
	if (kyneta_store_send_load_all(client->store, name, strlen(name), log_record, loaded, call, NULL) != 0)
		give_up("load was not queued");
}

static void write_records(struct client *client, struct document *document, char operation, const struct word *words,
			  size_t count)
{
	struct kyneta_store_write write = KYNETA_STORE_WRITE_INIT;
	struct kyneta_store_record records[RECORDS_MAX];
	struct call *call = new_call(client, true);
	size_t size = strlen(document->name);
	int code;

	fprintf(client->log, "w %lu %c %s", call->number, operation, document->name);
	for (size_t i = 0; i < count; i++) {
		records[i] = words[i].record;
		fprintf(client->log, " %s", words[i].text);
	}
	fputc('\n', client->log);
	if (below(client, 4) == 0)
		write.durability = KYNETA_STORE_COMMITTED;
	if (operation == 'a')
		code = kyneta_store_send_append(client->store, document->name, size, records, count, &write, written,
						call);
	else if (operation == 'r')
		code = kyneta_store_send_replace(client->store, document->name, size, records, count, &write, written,
						 call);
	else
		code = kyneta_store_send_delete(client->store, document->name, size, &write, written, call);
	if (code != 0)
		give_up("a write was not queued: %d", code);
	document->exists = operation != 'd';
	document->length = operation == 'a' ? document->length + count : count;
}

/* Runs of identical records: what tells them apart is only how many there are. */
static void next_entry(struct client *client, struct document *document, struct word *word)
{
	unsigned number = document->words++ / SAME_RECORDS;

	if (document == &client->documents[SHARED] && below(client, 4) == 0)
		strcpy(word->text, "ssame"); /* every client's */
	else if (document == &client->documents[SHARED])
		snprintf(word->text, sizeof(word->text), "%c%u.%u", number % 2 == 0 ? 's' : 'b', client->number,
			 number);
	else
		snprintf(word->text, sizeof(word->text), "%c%u", number % 2 == 0 ? 's' : 'b', number % 5);
	make_entry(word);
}

static void append(struct client *client, struct document *document)
{
	struct word words[RECORDS_MAX];
	size_t count = below(client, 3) > 0 ? 1 : 1 + below(client, RECORDS_MAX);

	for (size_t i = 0; i < count; i++)
		next_entry(client, document, &words[i]);
	write_records(client, document, 'a', words, count);
}

/* From nothing, or in place of everything: metadata somewhere among the records. */
static void replace(struct client *client, struct document *document)
{
	struct word words[RECORDS_MAX];
	size_t count = 1 + below(client, RECORDS_MAX);
	size_t meta = below(client, (unsigned)count);

	for (size_t i = 0; i < count; i++) {
		if (i == meta)
			make_meta(&words[i], below(client, 1000));
		else
			next_entry(client, document, &words[i]);
	}
	write_records(client, document, 'r', words, count);
}

static void append_meta(struct client *client, struct document *document)
{
	struct word words[2];

	make_meta(&words[0], below(client, 1000));
	next_entry(client, document, &words[1]);
	write_records(client, document, 'a', words, 1 + below(client, 2));
}

static void work(struct client *client)
{
	struct document *document = &client->documents[below(client, OWN + 1)];
	unsigned dice = below(client, 100);

	if (document == &client->documents[SHARED])
		append(client, document);
	else if (dice < 10)
		load(client, document->name);
	else if (dice < 16 || document->length >= LENGTH_MAX)
		replace(client, document);
	else if (dice < 20)
		write_records(client, document, 'd', NULL, 0);
	else if (dice < 24 || !document->exists)
		append_meta(client, document);
	else
		append(client, document);
}

/* ---- turns ---- */

static void process(struct client *client)
{
	int code = kyneta_store_process(client->store);

	if (code != 0)
		give_up("the handle has ended: %s", kyneta_store_error_name(code));
}

static void fill(struct client *client)
{
	while (client->working && client->unanswered < WINDOW)
		work(client);
}

static bool is_readable(struct client *client, int timeout_ms)
{
	struct pollfd poll_fd = {kyneta_store_fd(client->store), POLLIN, 0};

	return poll(&poll_fd, 1, timeout_ms) > 0;
}

static void wait_for_all(struct client *client)
{
	client->working = false;
	while (client->unanswered > 0) {
		process(client);
		if (client->unanswered > 0)
			is_readable(client, kyneta_store_timeout(client->store));
	}
}

/* ---- commands ---- */

static void status(struct client *client)
{
	do
		process(client);
	while (is_readable(client, 0));
	fill(client);
	kyneta_store_push(client->store);
	say("unanswered %u", client->unanswered_writes);
}

static void hold(struct client *client)
{
	struct document *last = &client->documents[0];

	wait_for_all(client);
	load(client, BALLAST);
	kyneta_store_push(client->store);
	/* Its first bytes are there: what is answered now stands behind the rest of them. */
	if (!is_readable(client, WAIT_MS))
		give_up("%s does not come", BALLAST);
	for (unsigned i = 0; i < WINDOW; i++) {
		struct document *document = &client->documents[i % (OWN + 1)];

		if (document->exists)
			append(client, document);
		else
			append_meta(client, document);
	}
	append_meta(client, last);
	kyneta_store_push(client->store);
	say("held %u %s %llu", client->unanswered_writes, last->name, (unsigned long long)last->length);
}

static void finish(struct client *client)
{
	struct kyneta_store_status known;
	struct kyneta_store_error error;

	wait_for_all(client);
	kyneta_store_get_status(client->store, &known);
	if (kyneta_store_close(client->store, &error) != 0)
		give_up("close: %s", error.message);
	kyneta_store_free(client->store);
	if (fclose(client->log) != 0)
		give_up("log: %s", strerror(errno));
	say("finished %lu %llu %llu %llu", client->calls, (unsigned long long)known.resent,
	    (unsigned long long)known.duplicates, (unsigned long long)known.connects);
}

/* Returns whether there is more to do. */
static bool obey(struct client *client, bool *holding)
{
	char line[128];
	ssize_t size = read(STDIN_FILENO, line, sizeof(line) - 1);

	if (size <= 0)
		give_up("nobody is there any more");
	line[size] = '\0';
	if (strncmp(line, "run ", 4) == 0) {
		client->working = true;
		client->target = client->answered + strtoul(line + 4, NULL, 10);
	} else if (strcmp(line, "status\n") == 0) {
		status(client);
	} else if (strcmp(line, "hold\n") == 0) {
		hold(client);
		*holding = true;
	} else if (strcmp(line, "go\n") == 0) {
		*holding = false;
		client->working = true;
		say("going");
	} else if (strcmp(line, "finish\n") == 0) {
		finish(client);
		return false;
	} else {
		give_up("what is %s", line);
	}
	return true;
}

static void run(struct client *client)
{
	struct pollfd polls[] = {{STDIN_FILENO, POLLIN, 0}, {kyneta_store_fd(client->store), POLLIN, 0}};
	bool holding = false, more = true;
	int timeout_ms = -1;

	while (more) {
		if (!holding) {
			fill(client);
			process(client);
			timeout_ms = kyneta_store_timeout(client->store);
			if (client->target > 0 && client->answered >= client->target) {
				client->target = 0;
				say("ran");
			}
			if (client->working && client->unanswered < WINDOW)
				timeout_ms = 0;
		}
		polls[0].revents = 0;
		if (poll(polls, holding ? 1 : 2, holding ? -1 : timeout_ms) < 0 && errno != EINTR)
			give_up("poll: %s", strerror(errno));
		if (polls[0].revents != 0)
			more = obey(client, &holding);
	}
}

int main(int argc, char **argv)
{
	struct kyneta_store_options options = KYNETA_STORE_OPTIONS_INIT;
	struct kyneta_store_error error;
	struct client client = {.working = false};

	if (argc != 4)
		give_up("takes SOCKET NUMBER LOG");
	client.number = (unsigned)atoi(argv[2]);
	client.random = 2463534242U + client.number;
	client.log = fopen(argv[3], "w");
	if (client.log == NULL)
		give_up("%s: %s", argv[3], strerror(errno));
	for (unsigned i = 0; i < OWN; i++)
		snprintf(client.documents[i].name, sizeof(client.documents[i].name), "own/%u.%u", client.number, i);
	strcpy(client.documents[SHARED].name, "shared");
	client.documents[SHARED].exists = true;

	options.path = argv[1];
	options.name = "restart_client";
	if (kyneta_store_new(&options, &client.store, &error) != 0)
		give_up("%s", error.message);
	run(&client);
	return 0;
}
