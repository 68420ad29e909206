/*
 * races: hosts on several threads against the daemon's own threads, all in one process, so that ThreadSanitizer or
 * Helgrind sees both ends of every access, of the client library's too.
 *
 *     races [--steps N] [--seed N] [--lives N]
 *
 * Workers take a host that is free, and let it do a step; so every handle goes from thread to thread. Others come and
 * go meanwhile without any manners: they leave in the middle of a frame, of a reply, of a take-over. The log is small,
 * so that checkpoints close the gate all the time; the limits are low, so that everybody waits for everybody; and the
 * daemon gets other options in the middle of each of its lives, and is stopped and started again between them, which
 * no host may notice. At the end every document holds
 * what the hosts' books say.
 *
 * The schedule is the machine's: a seed gives the same steps, not the same run.
 *
 * Helgrind does not know C11's atomics, and would take each for a race: it is told to pass over those that are in one
 * place, the daemon's counters and this program's. For the others there is helgrind.supp.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#if __has_include(<valgrind/helgrind.h>)
#include <valgrind/helgrind.h>
#else
#define VALGRIND_HG_DISABLE_CHECKING(start, size) ((void)(start), (void)(size))
#endif

#include "daemon/stats.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "tests/inside/inside.h"
#include "tests/inside/must.h"
#include "tests/race/host.h"

#define WORKERS 4
#define RUDES	2
#define HOSTS	6

struct seat {
	pthread_mutex_t mutex;
	struct host host;
};

struct race {
	struct inside inside;
	struct seat seats[HOSTS];
	unsigned long steps, lives;
	uint64_t seed;
	/* Without order: a lock here would hide the races of those who count. */
	struct {
		_Atomic unsigned long steps_begun;
		_Atomic bool over;
	} signs;
};

struct worker {
	struct race *race;
	pthread_t thread;
	unsigned number;
};

/* ---- those who behave ---- */

static void *work(void *context)
{
	struct worker *worker = context;
	struct race *race = worker->race;
	struct random random = {race->seed * 31 + worker->number + 1};

	while (atomic_fetch_add_explicit(&race->signs.steps_begun, 1, memory_order_relaxed) < race->steps) {
		struct seat *seat = &race->seats[random_below(&random, HOSTS)];

		while (pthread_mutex_trylock(&seat->mutex) != 0)
			seat = &race->seats[random_below(&random, HOSTS)];
		host_step(&seat->host);
		pthread_mutex_unlock(&seat->mutex);
	}
	return NULL;
}

/* ---- those who do not ---- */

/* A socket to the daemon; -1 while there is none. */
static int rude_connect(const struct race *race)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	MUST(fd >= 0, "%s", strerror(errno));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", race->inside.socket);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Some of the frames, and then nothing more. */
static void rude_send(int fd, const struct buffer *frames, size_t size)
{
	ssize_t sent = send(fd, frames->data, size < frames->size ? size : frames->size, MSG_NOSIGNAL);

	MUST(sent >= 0 || errno == EPIPE || errno == ECONNRESET, "%s", strerror(errno));
}

/* A connection that says hello in a session which several use, asks for more than it reads, and is gone. */
static void rude_raw(const struct race *race, struct random *random)
{
	uint8_t session[SESSION_SIZE] = {(uint8_t)random_below(random, 2)};
	struct request hello = {.id = HELLO_ID, .operation = OPERATION_HELLO};
	struct request request = {.id = 2, .operation = OPERATION_LOAD_ALL, .document = SPAN_LITERAL("log")};
	struct buffer frames = BUFFER_EMPTY;
	uint8_t byte;
	int fd = rude_connect(race);

	if (fd < 0)
		return;
	hello.hello = (struct hello){
	    .lowest = 1, .highest = 1, .create = true, .has_session = true, .session = span_of(session, SESSION_SIZE)};
	request_encode(&frames, &hello, NULL, 0);
	for (; request.id < 20; request.id++)
		request_encode(&frames, &request, NULL, 0);
	MUST(!frames.failed, "no memory");
	rude_send(fd, &frames, random_below(random, (uint32_t)frames.size + 1));
	if (random_below(random, 2) == 0) {
		shutdown(fd, SHUT_WR);
		recv(fd, &byte, 1, 0);
	}
	close(fd);
	buffer_free(&frames);
}

static void rude_answer(void *context, const struct kyneta_store_answer *answer)
{
	unsigned *unanswered = context;

	(void)answer;
	(*unanswered)--;
}

/* A handle of the library with calls in flight, given up without a word. */
static void rude_handle(const struct race *race, struct random *random)
{
	static const struct kyneta_store_record meta = {
	    .type = KYNETA_STORE_META, .meta = HOST_META, .meta_size = sizeof(HOST_META) - 1};
	struct kyneta_store_options options = KYNETA_STORE_OPTIONS_INIT;
	unsigned unanswered = 0;
	kyneta_store *store;

	options.path = race->inside.socket;
	options.no_reconnect = true;
	options.access = (int)random_below(random, 3);
	options.records_table = random_below(random, 2) == 0 ? "others" : NULL;
	options.meta_table = options.records_table != NULL ? "others_meta" : NULL;
	options.store_table = options.records_table != NULL ? "others_store" : NULL;
	if (options.records_table == NULL && options.access == KYNETA_STORE_EXCLUSIVE)
		options.access = KYNETA_STORE_READ_WRITE; /* the hosts have it open */
	MUST(kyneta_store_new(&options, &store, NULL) == 0, "no handle");
	for (uint32_t i = random_below(random, 8); i > 0; i--) {
		char name[HOST_NAME_SIZE];
		size_t size = (size_t)snprintf(name, sizeof(name), "rude %u", random_below(random, 4));

		if (kyneta_store_send_append(store, name, size, &meta, 1, NULL, rude_answer, &unanswered) == 0)
			unanswered++;
		if (kyneta_store_send_current_meta(store, name, size, rude_answer, &unanswered) == 0)
			unanswered++;
	}
	for (uint32_t i = random_below(random, 4); i > 0; i--)
		kyneta_store_process(store);
	if (random_below(random, 2) == 0)
		kyneta_store_flush(store, NULL);
	kyneta_store_free(store);
	MUST(unanswered == 0, "%u calls have no answer", unanswered);
}

static void *be_rude(void *context)
{
	struct worker *worker = context;
	struct race *race = worker->race;
	struct random random = {race->seed * 37 + worker->number + 1};

	while (!atomic_load_explicit(&race->signs.over, memory_order_relaxed)) {
		if (random_below(&random, 2) == 0)
			rude_raw(race, &random);
		else
			rude_handle(race, &random);
	}
	return NULL;
}

/* ---- the race ---- */

/* Low limits, that change a little each time. */
static void configure(struct config *config)
{
	static unsigned times; /* read and written on one loop thread after the other */

	times++;
	config->max_connections = 1000;
	config->wal_bytes = 64 * 1024;
	config->page_bytes = 1024;
	config->max_reply_bytes_per_connection = 8 * 1024;
	config->max_requests_per_connection = 8 + times % 3;
	config->max_requests = 24 + times % 5;
	config->readers = 3;
	config->document_cache_bytes = 64 * 1024;
}

static void begin(struct race *race)
{
	VALGRIND_HG_DISABLE_CHECKING(&stats, sizeof(stats));
	VALGRIND_HG_DISABLE_CHECKING(&race->signs, sizeof(race->signs));
	inside_prepare(&race->inside, configure);
	inside_start(&race->inside);
	for (unsigned i = 0; i < HOSTS; i++) {
		pthread_mutex_init(&race->seats[i].mutex, NULL);
		host_open(&race->seats[i].host, race->inside.socket, i, race->seed);
	}
	host_found(&race->seats[0].host);
}

/* Waits until the workers have begun so many steps. */
static void await_steps(struct race *race, unsigned long steps)
{
	const struct timespec moment = {.tv_nsec = 1000000};

	while (atomic_load_explicit(&race->signs.steps_begun, memory_order_relaxed) < steps)
		nanosleep(&moment, NULL);
}

static void start_all(struct race *race, struct worker *workers, unsigned count, void *(*run)(void *context))
{
	for (unsigned i = 0; i < count; i++) {
		workers[i] = (struct worker){.race = race, .number = i};
		MUST(pthread_create(&workers[i].thread, NULL, run, &workers[i]) == 0, "no thread");
	}
}

static void join_all(struct worker *workers, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		pthread_join(workers[i].thread, NULL);
}

static void run(struct race *race)
{
	struct worker workers[WORKERS], rudes[RUDES];

	start_all(race, workers, WORKERS, work);
	start_all(race, rudes, RUDES, be_rude);
	for (unsigned long life = 1; life < 2 * race->lives; life++) {
		await_steps(race, race->steps * life / race->lives / 2);
		if (life % 2 == 1) {
			inside_reload(&race->inside);
			continue;
		}
		inside_stop(&race->inside);
		inside_start(&race->inside);
	}
	join_all(workers, WORKERS);
	atomic_store_explicit(&race->signs.over, true, memory_order_relaxed);
	join_all(rudes, RUDES);
}

static void end(struct race *race)
{
	struct host hosts[HOSTS];

	for (unsigned i = 0; i < HOSTS; i++) {
		host_check(&race->seats[i].host);
		hosts[i] = race->seats[i].host;
		pthread_mutex_destroy(&race->seats[i].mutex);
	}
	host_check_shared(hosts, HOSTS);
	for (unsigned i = 0; i < HOSTS; i++)
		host_close(&hosts[i]);
	inside_stop(&race->inside);
	inside_remove(&race->inside);
}

static unsigned long number_of(const char *text)
{
	char *rest;
	unsigned long number = strtoul(text, &rest, 10);

	MUST(*text != '\0' && *rest == '\0', "not a number: %s", text);
	return number;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"steps", required_argument, NULL, 'n'},
						{"seed", required_argument, NULL, 's'},
						{"lives", required_argument, NULL, 'l'},
						{NULL, 0, NULL, 0}};
	static struct race race = {.steps = 4000, .lives = 3, .seed = 1};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'n')
			race.steps = number_of(optarg);
		else if (option == 's')
			race.seed = number_of(optarg);
		else if (option == 'l')
			race.lives = number_of(optarg);
		else
			return 2;
	}
	begin(&race);
	run(&race);
	end(&race);
	printf("1..1\nok - %lu steps of %d hosts on %d threads, %lu lives of the daemon (seed %llu)\n", race.steps,
	       HOSTS, WORKERS, race.lives, (unsigned long long)race.seed);
	return 0;
}
