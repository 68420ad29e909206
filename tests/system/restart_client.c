/*
 * restart_client: a client that works without pause, for test_restart.py.
 *
 *     restart_client SOCKET NUMBER LOG
 *
 * It keeps WINDOW calls in flight: appends (of identical records too), replaces, deletes and loads of a few documents
 * of its own, and appends to one document that all clients share. It does nothing about a daemon that is killed and
 * started again: that is the library's part. What it asked for and what was answered goes to LOG (logged_client.h).
 *
 * Lines on stdin tell it what to do. Each is answered with one line on stdout:
 *
 *     run N     work; "ran" when N more calls are answered; it goes on working
 *     status    "unanswered N": writes without an answer after everything that has come was read, the window filled
 *               again and sent
 *     hold      wait until everything is answered; ask for a document that fills the socket, so that whatever is
 *               answered after it cannot come; then send writes, and read nothing any more: "held N DOCUMENT NEXT", N
 *               writes, the last of which takes DOCUMENT to NEXT records
 *     go        read again, and work
 *     finish    wait until everything is answered, close, end: "finished CALLS RESENT DUPLICATES CONNECTS"
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/system/logged_client.h"
#include "tests/unit/random.h"

#define WINDOW	     16
#define OWN	     3 /* documents: with the shared one, so few that several calls for one are in flight */
#define SHARED	     OWN
#define RECORDS_MAX  4	    /* in a write */
#define LENGTH_MAX   60	    /* of an own document: it is replaced then */
#define WAIT_MS	     120000 /* a bound, not an expectation */
#define SAME_RECORDS 3	    /* so many neighbours are the same */

struct document {
	struct logged_document logged;
	uint64_t length; /* when everything queued was carried out */
	unsigned words;	 /* entries made for it */
	bool exists;
};

struct client {
	struct logged_client logged;
	unsigned number;
	struct random random;
	struct document documents[OWN + 1];
	struct logged_document ballast;
	unsigned long target; /* say "ran" at so many answers; 0: no one waits */
	bool working;
};

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

static unsigned below(struct client *client, unsigned bound)
{
	return random_below(&client->random, bound);
}

/* ---- calls ---- */

static void write_records(struct client *client, struct document *document, char operation, const struct word *words,
			  size_t count)
{
	int durability = below(client, 4) == 0 ? KYNETA_STORE_COMMITTED : KYNETA_STORE_DEFAULT;

	logged_write(&client->logged, &document->logged, operation, durability, NULL, words, count);
	document->exists = operation != 'd';
	document->length = operation == 'a' ? document->length + count : count;
}

/* Runs of identical records: what tells them apart is only how many there are. */
static void next_entry(struct client *client, struct document *document, struct word *word)
{
	unsigned number = document->words++ / SAME_RECORDS;
	char type = number % 2 == 0 ? 's' : 'b';

	if (document == &client->documents[SHARED] && below(client, 4) == 0)
		word_make(word, "ssame"); /* every client's */
	else if (document == &client->documents[SHARED])
		word_make(word, "%c%u.%u", type, client->number, number);
	else
		word_make(word, "%c%u", type, number % 5);
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
			word_make(&words[i], "m%u", below(client, 1000));
		else
			next_entry(client, document, &words[i]);
	}
	write_records(client, document, 'r', words, count);
}

static void append_meta(struct client *client, struct document *document)
{
	struct word words[2];

	word_make(&words[0], "m%u", below(client, 1000));
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
		logged_load(&client->logged, &document->logged);
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

static void fill(struct client *client)
{
	while (client->working && client->logged.unanswered < WINDOW)
		work(client);
}

static void wait_for_all(struct client *client)
{
	client->working = false;
	logged_wait(&client->logged);
}

/* ---- commands ---- */

static void status(struct client *client)
{
	do
		logged_process(&client->logged);
	while (logged_is_readable(&client->logged, 0));
	fill(client);
	kyneta_store_push(client->logged.store);
	say("unanswered %u", client->logged.unanswered_writes);
}

static void hold(struct client *client)
{
	struct document *last = &client->documents[0];

	wait_for_all(client);
	logged_load(&client->logged, &client->ballast);
	kyneta_store_push(client->logged.store);
	/* Its first bytes are there: what is answered now stands behind the rest of them. */
	if (!logged_is_readable(&client->logged, WAIT_MS))
		give_up("%s does not come", client->ballast.name);
	for (unsigned i = 0; i < WINDOW; i++) {
		struct document *document = &client->documents[i % (OWN + 1)];

		if (document->exists)
			append(client, document);
		else
			append_meta(client, document);
	}
	append_meta(client, last);
	kyneta_store_push(client->logged.store);
	say("held %u %s %llu", client->logged.unanswered_writes, last->logged.name, (unsigned long long)last->length);
}

static void finish(struct client *client)
{
	struct kyneta_store_status known;
	struct kyneta_store_error error;

	wait_for_all(client);
	kyneta_store_get_status(client->logged.store, &known);
	if (kyneta_store_close(client->logged.store, &error) != 0)
		give_up("close: %s", error.message);
	kyneta_store_free(client->logged.store);
	if (fclose(client->logged.log) != 0)
		give_up("log: %s", strerror(errno));
	say("finished %lu %llu %llu %llu", client->logged.calls, (unsigned long long)known.resent,
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
		client->target = client->logged.answered + strtoul(line + 4, NULL, 10);
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
	struct logged_client *logged = &client->logged;
	struct pollfd polls[] = {{STDIN_FILENO, POLLIN, 0}, {kyneta_store_fd(logged->store), POLLIN, 0}};
	bool holding = false, more = true;
	int timeout_ms = -1;

	while (more) {
		if (!holding) {
			fill(client);
			logged_process(logged);
			timeout_ms = kyneta_store_timeout(logged->store);
			if (client->target > 0 && logged->answered >= client->target) {
				client->target = 0;
				say("ran");
			}
			if (client->working && logged->unanswered < WINDOW)
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
	struct client client = {.ballast = {.name = "ballast"}};
	struct kyneta_store_error error;

	if (argc != 4)
		give_up("takes SOCKET NUMBER LOG");
	client.number = (unsigned)atoi(argv[2]);
	client.random.state = 2463534242U + client.number;
	client.logged.log = fopen(argv[3], "w");
	if (client.logged.log == NULL)
		give_up("%s: %s", argv[3], strerror(errno));
	for (unsigned i = 0; i < OWN; i++)
		snprintf(client.documents[i].logged.name, WORD_SIZE, "own/%u.%u", client.number, i);
	strcpy(client.documents[SHARED].logged.name, "shared");
	client.documents[SHARED].exists = true;

	options.path = argv[1];
	options.name = "restart_client";
	if (kyneta_store_new(&options, &client.logged.store, &error) != 0)
		give_up("%s", error.message);
	run(&client);
	return 0;
}
