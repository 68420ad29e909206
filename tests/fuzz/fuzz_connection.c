/*
 * connection: bytes sent to a daemon, a whole one in this process, with a real store in memory.
 *
 * The first byte says what store there is, the second in what pieces the rest is sent; then nothing more is sent, and
 * everything that comes is read. What must come is worked out beside it (expected.h). Afterwards nothing is left of the
 * connection in the daemon's counters, and another client finds a store in which everything holds that must hold: each
 * document's metadata is the last of its stream, all of a stream agree, and it is as long as it says.
 *
 * Then everything is as before: what was changed is put back; a daemon that may remember more than documents (sessions,
 * claims, other stores) is stopped, and begins anew on an empty file.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <kyneta/store.h>

#include "daemon/stats.h"
#include "protocol/frame.h"
#include "tests/fuzz/expected.h"
#include "tests/inside/inside.h"

#define FRAME_LIMIT 8192
#define INPUT_MAX   65536 /* fits into a socket: nobody must read for it to be sent */
#define PIECES_MAX  64
#define PONG_BYTES  16 /* the answer to a ping is not larger */
#define RECORDS	    30 /* of the larger document: some pages */

/* Inputs on one daemon at most: what it remembers of deleted documents adds up. */
#define INPUTS_MAX 1000

#define SYNC_MODE "{\"writerModel\":\"serialized\",\"delivery\":\"delta-capable\",\"durability\":\"persistent\"}"
#define META(key) "{\"replicaType\":[\"plain\",1,0],\"" key "\":" SYNC_MODE ",\"schemaHash\":\"00\"}"

/* What store there is: the number is the layout. */
enum base { BASE_EMPTY, BASE_LAYOUT_1, BASE_LAYOUT_2, BASE_COUNT };

/* The documents that are there in the beginning, but for BASE_EMPTY. */
static const char *const names[] = {"a", "ab"};
#define NAMES 2

/* A daemon, and the other client that it has. */
struct world {
	struct inside inside;
	enum base base;
	kyneta_store *client;
	struct kyneta_store_position positions[NAMES]; /* in the beginning */
	unsigned inputs;			       /* since it began */
};

static struct world worlds[BASE_COUNT];

#define MUST_SUCCEED(call)                                                                                             \
	do {                                                                                                           \
		struct kyneta_store_error error = {0};                                                                 \
		MUST((call) == 0, "%d %s", error.code, error.message);                                                 \
	} while (0)

/* ---- before and after ---- */

static void configure(struct config *config)
{
	config->max_connections = 8;
	config->max_frame_bytes = FRAME_LIMIT;
	config->max_request_bytes_per_connection = 2 * FRAME_LIMIT;
	config->max_request_bytes = 4 * FRAME_LIMIT;
	config->max_requests_per_connection = 8;
	config->max_reply_bytes_per_connection = 8192;
	config->page_bytes = 1024;
	config->wal_bytes = 65536;
	config->cache_bytes = 1 << 20;
	config->document_cache_bytes = 65536;
	config->max_stores = 8;
	config->readers = 1;
}

/* Document @number as it is in the beginning. */
static void put(struct world *world, unsigned number)
{
	const char *meta = world->base == BASE_LAYOUT_1 ? META("syncProtocol") : META("syncMode");
	struct kyneta_store_record records[RECORDS] = {
	    {.type = KYNETA_STORE_META, .meta = meta, .meta_size = strlen(meta)}};

	for (unsigned i = 1; i < RECORDS; i++)
		records[i] = (struct kyneta_store_record){.type = KYNETA_STORE_ENTRY,
							  .data_is_text = i % 2 == 0,
							  .version = "version",
							  .version_size = i % 8,
							  .data = "some \"data\" that is not always the same\n",
							  .data_size = 39 - i,
							  .has_lineage = i % 3 == 0,
							  .lineage = "l",
							  .lineage_size = i % 2};
	MUST_SUCCEED(kyneta_store_replace(world->client, names[number], strlen(names[number]), records,
					  number == 0 ? 2 : RECORDS, NULL, &world->positions[number], &error));
}

static void enter(struct world *world)
{
	struct kyneta_store_options options = KYNETA_STORE_OPTIONS_INIT;

	options.path = world->inside.socket;
	options.no_session = true;
	options.no_reconnect = true;
	MUST_SUCCEED(kyneta_store_open(&options, &world->client, &error));
}

static void leave(struct world *world)
{
	MUST_SUCCEED(kyneta_store_close(world->client, &error));
	kyneta_store_free(world->client);
}

static void begin(struct world *world)
{
	world->inputs = 0;
	inside_start(&world->inside);
	enter(world);
	for (unsigned i = 0; world->base != BASE_EMPTY && i < NAMES; i++)
		put(world, i);
}

/* After its client has left. */
static void begin_anew(struct world *world)
{
	inside_stop(&world->inside);
	inside_clear(&world->inside);
	begin(world);
}

static void end_worlds(void)
{
	for (unsigned i = 0; i < BASE_COUNT; i++) {
		if (worlds[i].client == NULL)
			continue;
		leave(&worlds[i]);
		inside_stop(&worlds[i].inside);
		inside_remove(&worlds[i].inside);
	}
}

/* The world of a base, which begins when it is first asked for. */
static struct world *world_of(enum base base)
{
	static bool at_exit;
	struct world *world = &worlds[base];

	if (!at_exit)
		atexit(end_worlds);
	at_exit = true;
	if (world->client == NULL) {
		world->base = base;
		inside_prepare(&world->inside, configure);
		begin(world);
	}
	return world;
}

/* ---- the connection ---- */

static int open_connection(const struct world *world)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", world->inside.socket);
	MUST(fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0, "%s", strerror(errno));
	return fd;
}

/* The daemon may have heard enough before everything was sent. */
static void send_pieces(int fd, struct span stream, size_t piece)
{
	if (piece == 0 || stream.size / piece > PIECES_MAX)
		piece = stream.size / PIECES_MAX + 1;
	while (stream.size > 0) {
		struct span part = cut_bytes(&stream, piece);
		ssize_t sent = send(fd, part.data, part.size, MSG_NOSIGNAL);

		if (sent < 0) {
			MUST(errno == EPIPE || errno == ECONNRESET, "%s", strerror(errno));
			return;
		}
		MUST((size_t)sent == part.size, "%zd of %zu bytes", sent, part.size);
	}
	shutdown(fd, SHUT_WR);
}

/* Frames as they come, to the end. */
static void receive(int fd, struct expected *expected)
{
	struct buffer in = BUFFER_EMPTY;
	uint8_t bytes[16384];
	struct span left;
	ssize_t got;

	while ((got = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		buffer_append(&in, bytes, (size_t)got);
	MUST(!in.failed, "no memory");
	left = buffer_span(&in);
	while (left.size > 0) {
		size_t length;

		MUST(left.size >= FRAME_HEADER_SIZE, "%zu bytes are left", left.size);
		length = frame_length(cut_bytes(&left, FRAME_HEADER_SIZE).data);
		MUST(length <= left.size, "a frame of %zu bytes, and %zu are there", length, left.size);
		expected_reply(expected, cut_bytes(&left, length));
	}
	/* A connection that was reset while something was still being sent may have lost what was on its way. */
	if (got == 0)
		expected_end(expected);
	buffer_free(&in);
}

static void run(const struct world *world, struct span stream, size_t piece, struct expected *expected)
{
	int fd = open_connection(world);

	send_pieces(fd, stream, piece);
	receive(fd, expected);
	close(fd);
}

/* ---- what is there afterwards ---- */

/* A stream as it goes by: its last metadata. */
struct stream {
	struct buffer meta;
	uint64_t records;
};

static bool take_record(void *context, const struct kyneta_store_record *record)
{
	struct stream *stream = context;
	struct span text = span_of(record->meta, record->meta_size);
	struct meta before, now;
	const char *reason;

	stream->records++;
	if (record->type != KYNETA_STORE_META)
		return true;
	MUST(meta_read(text, &now, &reason) == 0, "%s", reason);
	if (stream->meta.size > 0) {
		MUST(meta_read(buffer_span(&stream->meta), &before, &reason) == 0, "%s", reason);
		MUST(meta_compare(&before, &now) == META_SAME, "two that do not agree");
	}
	buffer_reset(&stream->meta);
	buffer_append(&stream->meta, text.data, text.size);
	return true;
}

static struct kyneta_store_position check_document(struct world *world, struct span id)
{
	const char *name = (const char *)id.data;
	struct stream stream = {.meta = BUFFER_EMPTY};
	struct kyneta_store_position at, again;
	char *meta = NULL;
	size_t size = 0;

	MUST_SUCCEED(kyneta_store_load_all(world->client, name, id.size, take_record, &stream, &at, &error));
	MUST_SUCCEED(kyneta_store_current_meta(world->client, name, id.size, &meta, &size, &again, &error));
	MUST(meta != NULL && span_equal(span_of(meta, size), buffer_span(&stream.meta)), "not the last metadata");
	MUST(at.next == stream.records, "%llu records, and next is %llu", (unsigned long long)stream.records,
	     (unsigned long long)at.next);
	MUST(at.generation == again.generation && at.next == again.next, "it stands at two places");
	kyneta_store_release(meta);
	buffer_free(&stream.meta);
	return at;
}

/* The ids of a store, each with its size before it. */
static bool collect_id(void *context, const char *id, size_t size)
{
	buffer_append(context, &size, sizeof(size));
	buffer_append(context, id, size);
	return true;
}

/* Which of the documents that are there in the beginning is it? NAMES: none. */
static unsigned number_of(const struct world *world, struct span id)
{
	unsigned number = 0;

	while (number < NAMES && (world->base == BASE_EMPTY || !span_equal(id, span_of_string(names[number]))))
		number++;
	return number;
}

static bool is_as_it_was(struct world *world, unsigned number)
{
	const struct kyneta_store_position *was = &world->positions[number];
	struct kyneta_store_position at;
	char *meta;

	MUST_SUCCEED(
	    kyneta_store_current_meta(world->client, names[number], strlen(names[number]), &meta, NULL, &at, &error));
	kyneta_store_release(meta);
	return at.generation == was->generation && at.next == was->next;
}

/* Checks every document that was written to, and puts everything back. */
static void check_store(struct world *world)
{
	bool found[NAMES + 1] = {false};
	struct buffer ids = BUFFER_EMPTY;
	struct span left, id;
	unsigned number;
	size_t size;

	MUST_SUCCEED(kyneta_store_list_doc_ids(world->client, NULL, 0, collect_id, &ids, &error));
	left = buffer_span(&ids);
	while (left.size > 0) {
		memcpy(&size, cut_bytes(&left, sizeof(size)).data, sizeof(size));
		id = cut_bytes(&left, size);
		number = number_of(world, id);
		found[number] = true;
		if (number < NAMES && is_as_it_was(world, number))
			continue;
		check_document(world, id);
		if (number < NAMES)
			put(world, number);
		else
			MUST_SUCCEED(
			    kyneta_store_delete(world->client, (const char *)id.data, id.size, NULL, NULL, &error));
	}
	for (unsigned i = 0; world->base != BASE_EMPTY && i < NAMES; i++) {
		if (!found[i])
			put(world, i);
	}
	buffer_free(&ids);
}

/* Nothing is held for the connection any more: this client's is the only one, and its answer may just be counted out.
 */
static void check_counters(struct world *world)
{
	MUST_SUCCEED(kyneta_store_ping(world->client, &error));
	MUST(stats_get(connections) == 1, "%llu connections", (unsigned long long)stats_get(connections));
	MUST(stats_get(requests_in_flight) == 0 && stats_get(request_bytes) == 0, "%llu requests, %llu bytes of them",
	     (unsigned long long)stats_get(requests_in_flight), (unsigned long long)stats_get(request_bytes));
	MUST(stats_get(reply_bytes) <= PONG_BYTES, "%llu bytes of replies", (unsigned long long)stats_get(reply_bytes));
}

/* May the daemon remember more of this than documents of a store that was there before? */
static bool is_remembered(const struct world *world, const struct expected *expected)
{
	const struct hello *hello = &expected->hello;
	bool is_named = hello->meta_table.size > 0 || hello->records_table.size > 0 || hello->store_table.size > 0;

	if (world->inputs >= INPUTS_MAX)
		return true;
	return expected->writes > 0 &&
	       (is_named || world->base == BASE_EMPTY || (hello->has_session && !expected->closed));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct expected expected;
	struct span input = span_of(data, size < INPUT_MAX ? size : INPUT_MAX);
	struct world *world = world_of((enum base)(cut_byte(&input) % BASE_COUNT));
	size_t piece = cut_byte(&input);
	bool exclusive;

	world->inputs++;
	expected_read(&expected, input, FRAME_LIMIT);
	exclusive = expected.has_hello && expected.hello.access == ACCESS_EXCLUSIVE;
	if (exclusive) {
		/* The store must be free; and it may be claimed afterwards, also from its client. */
		leave(world);
		run(world, span_of(input.data, expected.size), piece, &expected);
		begin_anew(world);
		return 0;
	}
	run(world, span_of(input.data, expected.size), piece, &expected);
	check_counters(world);
	check_store(world);
	if (is_remembered(world, &expected)) {
		leave(world);
		begin_anew(world);
	}
	return 0;
}
