/*
 * soak_client: a client that makes random calls, for soak.
 *
 *     soak_client SOCKET NUMBER TAG DEADLINE_MS
 *
 * NUMBER chooses its own documents and how large its pages are; TAG is in the name of every record that it makes and
 * must be its process's alone; DEADLINE_MS is that of its calls, -1: none. It keeps up to WINDOW calls in flight, often
 * several for one document, and knows nothing of what happens to the daemon.
 *
 * Lines on stdin tell it what to do. Its log (logged_client.h) is its stdout, and so are the answers to these, which
 * stand behind everything that came before them:
 *
 *     run N SEED    make N calls, which follow from SEED but for what was answered; "! ran" when all are answered
 *     pause         the daemon is dead: take what it still said, and then nothing more: "! paused"
 *     go            go on
 *     finish        close, and end: "! finished RESENT DUPLICATES CONNECTS RESTARTS", counted since its beginning
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/system/logged_client.h"
#include "tests/unit/random.h"

#define WINDOW	32
#define OWN	3
#define SHARED	26
#define GROWING 4 /* each so many-th document is seldom replaced */

enum state { WORKING, PAUSED, FINISHED };

struct client {
	struct logged_client logged;
	unsigned number;
	const char *tag;
	unsigned long records; /* made so far */
	struct random random;  /* decides what is called */
	struct random aside;   /* decides what depends on answers: it must not shift what random decides */
	struct logged_document documents[OWN + SHARED];
	unsigned document;   /* of the last call */
	unsigned long to_do; /* calls to be made */
	bool reports;	     /* say "ran" once all is answered */
	enum state state;
};

static unsigned below(struct client *client, unsigned bound)
{
	return random_below(&client->random, bound);
}

/* ---- calls ---- */

static void next_word(struct client *client, struct word *word, char type)
{
	word_make(word, "%c%s.%lu", type, client->tag, ++client->records);
}

static void write_words(struct client *client, struct logged_document *document, char operation, bool expecting,
			const char *types)
{
	static struct word words[WORD_RECORDS_MAX]; /* large */
	struct kyneta_store_position expect = document->position;
	int durability = below(client, 3) == 0 ? KYNETA_STORE_COMMITTED : KYNETA_STORE_SYNCED;
	size_t count = strlen(types);

	for (size_t i = 0; i < count; i++)
		next_word(client, &words[i], types[i]);
	logged_write(&client->logged, document, operation, durability,
		     expecting && document->has_position ? &expect : NULL, words, count);
}

/* @count entries of either type behind what is in @types. */
static const char *entries(struct client *client, char types[WORD_RECORDS_MAX + 1], unsigned count)
{
	size_t size = strlen(types);

	for (unsigned i = 0; i < count; i++)
		types[size++] = below(client, 2) == 0 ? 's' : 'b';
	types[size] = '\0';
	return types;
}

static void append(struct client *client, struct logged_document *document, unsigned count)
{
	char types[WORD_RECORDS_MAX + 1] = "";

	write_words(client, document, 'a', below(client, 8) == 0, entries(client, types, count));
}

static void append_meta(struct client *client, struct logged_document *document)
{
	char types[WORD_RECORDS_MAX + 1] = "m";

	write_words(client, document, 'a', below(client, 8) == 0, entries(client, types, below(client, 4)));
}

static void replace(struct client *client, struct logged_document *document)
{
	char types[WORD_RECORDS_MAX + 1] = "";
	unsigned before = below(client, 3);

	entries(client, types, before);
	strcat(types, "m");
	write_words(client, document, 'r', below(client, 2) == 0, entries(client, types, below(client, 4)));
}

static void list(struct client *client)
{
	static const char *const prefixes[] = {"", "own/", "shared/", "shared/1", "nothing"};

	logged_list(&client->logged, prefixes[below(client, sizeof(prefixes) / sizeof(*prefixes))]);
}

static struct logged_document *choose_document(struct client *client)
{
	if (below(client, 2) == 0)
		client->document = below(client, OWN + SHARED);
	return &client->documents[client->document];
}

static void work(struct client *client)
{
	struct logged_document *document = choose_document(client);
	bool grows = client->document % GROWING == 0 && below(client, 10) > 0;
	unsigned dice = below(client, 100);

	if (dice < 8)
		append_meta(client, document);
	else if (dice < 14 && !grows)
		replace(client, document);
	else if (dice < 17 && !grows)
		write_words(client, document, 'd', below(client, 3) == 0, "");
	else if (dice < 29)
		append(client, document, 2 + below(client, WORD_RECORDS_MAX - 1));
	else if (dice < 43)
		logged_load(&client->logged, document);
	else if (dice < 52)
		logged_current_meta(&client->logged, document);
	else if (dice < 54)
		list(client);
	else if (dice < 56)
		logged_sync(&client->logged);
	else
		append(client, document, 1);
}

static void fill(struct client *client)
{
	while (client->to_do > 0 && client->logged.unanswered < WINDOW) {
		if (client->logged.has_latched && random_below(&client->aside, 16) == 0) {
			logged_resume(&client->logged);
			continue;
		}
		client->to_do--;
		work(client);
	}
}

/* ---- commands ---- */

static int state_of(const struct client *client)
{
	struct kyneta_store_status status;

	kyneta_store_get_status(client->logged.store, &status);
	return status.state;
}

/* What is said stands in the log, behind what it speaks of. */
static void say(struct client *client, const char *what)
{
	fprintf(client->logged.log, "! %s\n", what);
	if (fflush(client->logged.log) != 0)
		give_up("log: %s", strerror(errno));
}

static void pause_client(struct client *client)
{
	/* The end of the connection stands behind all that the daemon has said. */
	while (state_of(client) == KYNETA_STORE_READY) {
		logged_process(&client->logged);
		if (state_of(client) == KYNETA_STORE_READY)
			logged_is_readable(&client->logged, -1);
	}
	say(client, "paused");
	client->state = PAUSED;
}

static void finish(struct client *client)
{
	struct kyneta_store_status known;
	struct kyneta_store_error error;
	char text[128];

	if (kyneta_store_close(client->logged.store, &error) != 0)
		give_up("close: %s", error.message);
	kyneta_store_get_status(client->logged.store, &known);
	kyneta_store_free(client->logged.store);
	snprintf(text, sizeof(text), "finished %llu %llu %llu %llu", (unsigned long long)known.resent,
		 (unsigned long long)known.duplicates, (unsigned long long)known.connects,
		 (unsigned long long)known.restarts);
	say(client, text);
	client->state = FINISHED;
}

static void start_run(struct client *client, const char *arguments)
{
	unsigned long long seed = 0;

	if (sscanf(arguments, "%lu %llu", &client->to_do, &seed) != 2 || seed == 0)
		give_up("run takes a number and a seed that is not 0");
	client->random.state = seed;
	client->aside.state = seed;
	client->reports = true;
}

static void obey(struct client *client, const char *line)
{
	if (strncmp(line, "run ", 4) == 0)
		start_run(client, line + 4);
	else if (strcmp(line, "pause") == 0)
		pause_client(client);
	else if (strcmp(line, "go") == 0)
		client->state = WORKING;
	else if (strcmp(line, "finish") == 0)
		finish(client);
	else
		give_up("what is %s", line);
}

/* Commands are short, and never more than a few at once: whole lines come. */
static void read_commands(struct client *client)
{
	char lines[512], *line = lines, *end;
	ssize_t size = read(STDIN_FILENO, lines, sizeof(lines) - 1);

	if (size <= 0)
		give_up("nobody is there any more");
	lines[size] = '\0';
	while ((end = strchr(line, '\n')) != NULL) {
		*end = '\0';
		obey(client, line);
		line = end + 1;
	}
}

static void run(struct client *client)
{
	struct logged_client *logged = &client->logged;
	struct pollfd polls[] = {{STDIN_FILENO, POLLIN, 0}, {kyneta_store_fd(logged->store), POLLIN, 0}};

	while (client->state != FINISHED) {
		int timeout_ms = -1;

		if (client->state == WORKING) {
			fill(client);
			logged_process(logged);
			timeout_ms =
			    client->to_do > 0 && logged->unanswered < WINDOW ? 0 : kyneta_store_timeout(logged->store);
			if (client->reports && client->to_do == 0 && logged->unanswered == 0) {
				client->reports = false;
				say(client, "ran");
			}
		}
		polls[0].revents = 0;
		if (poll(polls, client->state == WORKING ? 2 : 1, timeout_ms) < 0 && errno != EINTR)
			give_up("poll: %s", strerror(errno));
		if (polls[0].revents != 0)
			read_commands(client);
	}
}

/* ---- start ---- */

static void set_options(const struct client *client, struct kyneta_store_options *options, char **argv)
{
	static const size_t page_bytes[] = {0, 1, 600, 4000};
	unsigned kind = client->number % (sizeof(page_bytes) / sizeof(*page_bytes));

	options->path = argv[1];
	options->name = "soak_client";
	options->deadline_ms = atoi(argv[4]);
	options->backoff_base_ms = 2;
	options->backoff_max_ms = 50;
	options->page_bytes = page_bytes[kind];
	/* Some hand records out at once, and so see loads that start over. */
	if (kind == 2)
		options->load_hold_bytes = 0;
}

int main(int argc, char **argv)
{
	struct kyneta_store_options options = KYNETA_STORE_OPTIONS_INIT;
	struct kyneta_store_error error;
	struct client client = {.logged.log = stdout};

	if (argc != 5)
		give_up("takes SOCKET NUMBER TAG DEADLINE_MS");
	client.number = (unsigned)atoi(argv[2]);
	client.tag = argv[3];
	for (unsigned i = 0; i < OWN; i++)
		snprintf(client.documents[i].name, WORD_SIZE, "own/%u.%u", client.number, i);
	for (unsigned i = 0; i < SHARED; i++)
		snprintf(client.documents[OWN + i].name, WORD_SIZE, "shared/%02u", i);
	set_options(&client, &options, argv);
	if (kyneta_store_new(&options, &client.logged.store, &error) != 0)
		give_up("%s", error.message);
	run(&client);
	return 0;
}
