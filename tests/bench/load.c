#include "load.h"

#include <errno.h>
#include <kyneta/store.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define META                                                                                                           \
	"{\"replicaType\":[\"bench\",1,0],\"syncMode\":{\"writerModel\":\"serialized\",\"delivery\":\"delta-"          \
	"capable\","                                                                                                   \
	"\"durability\":\"persistent\"},\"schemaHash\":\"00\"}"

struct load;

struct client {
	struct load *load;
	kyneta_store *store;
	char document[32];
	uint64_t answered;
};

struct load {
	const struct load_options *options;
	struct client *clients;
	struct kyneta_store_record entry;
	bool stopping;
	unsigned in_flight;
	int failed;
};

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void send_one(struct client *client);

static void answered(void *context, const struct kyneta_store_answer *answer)
{
	struct client *client = context;

	client->load->in_flight--;
	if (answer->error != NULL) {
		if (!client->load->failed)
			fprintf(stderr, "kyneta-store-bench: an append failed: %s\n", answer->error->message);
		client->load->failed = -1;
		client->load->stopping = true;
		return;
	}
	client->answered++;
	if (!client->load->stopping)
		send_one(client);
}

static void send_one(struct client *client)
{
	struct kyneta_store_write write = KYNETA_STORE_WRITE_INIT;
	int code;

	write.durability = client->load->options->durability;
	code = kyneta_store_send_append(client->store, client->document, strlen(client->document), &client->load->entry,
					1, &write, answered, client);
	if (code != 0) {
		fprintf(stderr, "kyneta-store-bench: cannot send: %s\n", kyneta_store_error_name(code));
		client->load->failed = -1;
		client->load->stopping = true;
		return;
	}
	client->load->in_flight++;
}

static int open_client(struct load *load, struct client *client, unsigned number)
{
	struct kyneta_store_options options = KYNETA_STORE_OPTIONS_INIT;
	struct kyneta_store_record meta = {.type = KYNETA_STORE_META, .meta = META, .meta_size = sizeof(META) - 1};
	struct kyneta_store_error error;

	client->load = load;
	options.path = load->options->socket;
	options.name = "bench";
	snprintf(client->document, sizeof(client->document), "bench/%u", number);
	if (kyneta_store_open(&options, &client->store, &error) != 0 ||
	    kyneta_store_append(client->store, client->document, strlen(client->document), &meta, 1, NULL, NULL,
				&error) != 0) {
		fprintf(stderr, "kyneta-store-bench: %s\n", error.message);
		return -1;
	}
	return 0;
}

/* Runs the clients' loops until the time is over and everything sent is answered. */
static void loop(struct load *load, int epoll, double end)
{
	struct epoll_event events[64];

	while (load->in_flight > 0) {
		int count = epoll_wait(epoll, events, 64, 100);

		if (now() >= end)
			load->stopping = true;
		for (int i = 0; i < count; i++) {
			struct client *client = events[i].data.ptr;

			if (kyneta_store_process(client->store) != 0)
				load->failed = -1;
			kyneta_store_push(client->store);
		}
		if (load->failed)
			return;
	}
}

static int open_clients(struct load *load, int epoll)
{
	for (unsigned i = 0; i < load->options->connections; i++) {
		struct client *client = &load->clients[i];
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};

		if (open_client(load, client, i) != 0 ||
		    epoll_ctl(epoll, EPOLL_CTL_ADD, kyneta_store_fd(client->store), &event) != 0)
			return -1;
	}
	return 0;
}

int load_run(const struct load_options *options, struct load_result *result)
{
	struct load load = {.options = options};
	char *data = malloc(options->entry_bytes + 1);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	double start;

	load.clients = calloc(options->connections, sizeof(*load.clients));
	if (data == NULL || load.clients == NULL || epoll < 0) {
		load.failed = -1;
		goto out;
	}
	memset(data, 'x', options->entry_bytes);
	load.entry = (struct kyneta_store_record){.type = KYNETA_STORE_ENTRY,
						  .kind = KYNETA_STORE_SINCE,
						  .encoding = KYNETA_STORE_BINARY,
						  .version = "1",
						  .version_size = 1,
						  .data = data,
						  .data_size = options->entry_bytes};
	load.failed = open_clients(&load, epoll);
	start = now();
	for (unsigned i = 0; !load.failed && i < options->connections; i++) {
		for (unsigned j = 0; j < options->in_flight; j++)
			send_one(&load.clients[i]);
		kyneta_store_push(load.clients[i].store);
	}
	if (!load.failed)
		loop(&load, epoll, start + options->seconds);
	result->seconds = now() - start;
	result->requests = 0;
	for (unsigned i = 0; i < options->connections; i++)
		result->requests += load.clients[i].answered;
out:
	for (unsigned i = 0; load.clients != NULL && i < options->connections; i++)
		kyneta_store_free(load.clients[i].store);
	free(load.clients);
	free(data);
	if (epoll >= 0)
		close(epoll);
	return load.failed;
}
