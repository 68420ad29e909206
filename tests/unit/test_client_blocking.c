/*
 * The calls that wait, against a daemon on a thread of its own.
 */
#include <poll.h>
#include <pthread.h>

#include "tests/unit/client_serve.h"

TestSuite(client_blocking, .timeout = 60);

struct server {
	struct served served;
	pthread_t thread;
	int stop[2];
	kyneta_store *store;
};

static void *run(void *context)
{
	struct server *server = context;
	struct served *served = &server->served;
	struct pollfd polled[2] = {{.fd = server->stop[0], .events = POLLIN}};

	for (;;) {
		polled[1].fd = served->fake.connection >= 0 ? served->fake.connection : served->fake.listener;
		polled[1].events = served->fake.out.size > 0 ? POLLIN | POLLOUT : POLLIN;
		poll(polled, 2, -1);
		if (polled[0].revents != 0)
			return NULL;
		serve(served);
	}
}

static void start(struct server *server)
{
	struct kyneta_store_options options;
	struct kyneta_store_error error;

	memset(server, 0, sizeof(*server));
	fake_start(&server->served.fake);
	cr_assert_eq(pipe(server->stop), 0);
	cr_assert_eq(pthread_create(&server->thread, NULL, run, server), 0);
	options = fake_options(&server->served.fake);
	cr_assert_eq(kyneta_store_open(&options, &server->store, &error), 0);
}

static void stop(struct server *server)
{
	kyneta_store_free(server->store);
	close(server->stop[1]);
	pthread_join(server->thread, NULL);
	close(server->stop[0]);
	fake_end(&server->served.fake);
}

static bool count_record(void *context, const struct kyneta_store_record *record)
{
	int *count = context;

	cr_assert(record->type == KYNETA_STORE_ENTRY &&
		  (record->data_size == 4 || record->data_size == SERVE_HUGE_SIZE));
	return ++*count != 100;
}

static bool count_id(void *context, const char *id, size_t id_size)
{
	int *count = context;

	cr_assert(span_equal(span_of(id, id_size), SPAN_LITERAL("id")));
	return ++*count != 100;
}

Test(client_blocking, writes)
{
	struct kyneta_store_record record = {.type = KYNETA_STORE_META, .meta = FAKE_META, .meta_size = 9};
	struct kyneta_store_position at = {0, 0};
	struct kyneta_store_error error = {.code = 7};
	struct server server;

	start(&server);
	cr_assert_eq(kyneta_store_append(server.store, "a", 1, &record, 1, NULL, &at, &error), 0);
	cr_assert_eq(at.next, 1u);
	cr_assert_eq(error.code, 7, "written on failure only");
	cr_assert_eq(kyneta_store_replace(server.store, "a", 1, &record, 1, NULL, &at, NULL), 0);
	cr_assert_eq(at.next, 2u);
	cr_assert_eq(kyneta_store_delete(server.store, "a", 1, NULL, NULL, NULL), 0);
	cr_assert_eq(kyneta_store_delete(server.store, "full", 4, NULL, &at, &error), KYNETA_STORE_EDISK_FULL);
	cr_assert_eq(at.next, 2u, "written on success only");
	cr_assert_eq(error.code, KYNETA_STORE_EDISK_FULL);
	cr_assert_eq(error.outcome, KYNETA_STORE_NOT_APPLIED);
	cr_assert_str_eq(error.message, "no space");
	cr_assert_eq(server.served.counts[OPERATION_RESUME], 0);
	cr_assert_eq(kyneta_store_delete(server.store, "full", 4, NULL, &at, &error), KYNETA_STORE_EDISK_FULL);
	cr_assert_eq(server.served.counts[OPERATION_RESUME], 1);
	cr_assert_eq(kyneta_store_append(server.store, "a", 1, NULL, 1, NULL, NULL, &error), KYNETA_STORE_EMISUSE);
	cr_assert_eq(error.outcome, KYNETA_STORE_NOT_APPLIED);
	stop(&server);
}

Test(client_blocking, reads)
{
	struct kyneta_store_position at = {0, 0};
	char *meta = NULL;
	size_t meta_size = 0;
	struct server server;
	int count = 0;

	start(&server);
	cr_assert_eq(kyneta_store_current_meta(server.store, "a", 1, &meta, &meta_size, &at, NULL), 0);
	cr_assert_str_eq(meta, FAKE_META);
	cr_assert_eq(meta_size, strlen(FAKE_META));
	cr_assert_eq(at.next, 6u);
	kyneta_store_release(meta);
	cr_assert_eq(kyneta_store_current_meta(server.store, "none", 4, &meta, NULL, NULL, NULL), 0);
	cr_assert_null(meta);
	cr_assert_eq(kyneta_store_load_all(server.store, "a", 1, count_record, &count, &at, NULL), 0);
	cr_assert_eq(count, 6);
	count = 0;
	cr_assert_eq(kyneta_store_load_all(server.store, "moving", 6, count_record, &count, NULL, NULL), 0);
	cr_assert_eq(count, 6);
	cr_assert_eq(client_status(server.store).restarts, 1u);
	count = 99; /* stops at 100 */
	cr_assert_eq(kyneta_store_load_all(server.store, "a", 1, count_record, &count, NULL, NULL), 0);
	cr_assert_eq(count, 100);
	count = 0;
	cr_assert_eq(kyneta_store_load_all(server.store, "none", 4, count_record, &count, NULL, NULL), 0);
	cr_assert_eq(kyneta_store_load_all(server.store, "huge", 4, count_record, &count, NULL, NULL), 0);
	cr_assert_eq(count, 1);
	count = 0;
	cr_assert_eq(kyneta_store_list_doc_ids(server.store, NULL, 0, count_id, &count, NULL), 0);
	cr_assert_eq(count, 6);
	stop(&server);
}

struct stats {
	int left; /* so many are wanted */
	char text[256];
};

static bool note_stat(void *context, const char *name, size_t name_size, uint64_t number, const char *text,
		      size_t text_size)
{
	struct stats *stats = context;
	char line[128];

	if (text == NULL)
		snprintf(line, sizeof(line), "%.*s %d\n", (int)name_size, name, (int)number);
	else
		snprintf(line, sizeof(line), "%.*s %.*s\n", (int)name_size, name, (int)text_size, text);
	strcat(stats->text, line);
	return --stats->left > 0;
}

Test(client_blocking, stats_are_told_with_the_names_of_their_maps)
{
	struct stats stats = {.left = 100}, some = {.left = 4};
	struct server server;

	start(&server);
	cr_assert_eq(kyneta_store_stats(server.store, note_stat, &stats, NULL), 0);
	cr_assert_str_eq(stats.text, "requests 12345\nversion fake\nempty \nusers.1000.connections 3\n"
				     "users.1000.name anna\nlast 7\n");
	cr_assert_eq(kyneta_store_stats(server.store, note_stat, &some, NULL), 0);
	cr_assert_str_eq(some.text, "requests 12345\nversion fake\nempty \nusers.1000.connections 3\n");
	stop(&server);
}

Test(client_blocking, others)
{
	struct outcome outcome = {.calls = 0};
	struct server server;

	start(&server);
	cr_assert_eq(kyneta_store_ping(server.store, NULL), 0);
	cr_assert_eq(kyneta_store_sync(server.store, NULL), 0);
	for (int i = 0; i < 5000; i++)
		client_append(server.store, "a", &outcome);
	cr_assert_eq(kyneta_store_flush(server.store, NULL), 0);
	cr_assert_eq(outcome.calls, 5000);
	cr_assert_eq(outcome.code, 0);
	for (int i = 0; i < 50; i++)
		client_append(server.store, "a", &outcome);
	cr_assert_eq(kyneta_store_close(server.store, NULL), 0);
	cr_assert_eq(outcome.calls, 5050);
	cr_assert_eq(kyneta_store_close(server.store, NULL), 0);
	cr_assert_eq(kyneta_store_flush(server.store, NULL), 0);
	stop(&server);
}
