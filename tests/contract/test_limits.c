/*
 * Limits: backpressure that drops nothing, and peers that hold things up.
 */
#include "tests/contract/calls.h"
#include "tests/contract/database.h"
#include "tests/contract/wire.h"

#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

TestSuite(limits, .init = harness_init, .fini = harness_fini, .timeout = 120);

/* Looks until a counter has reached @least; it must, sooner or later. */
static uint64_t await_stat(kyneta_store *store, const char *name, uint64_t least)
{
	uint64_t value = 0;

	for (int i = 0; i < HARNESS_PATIENCE_MS; i++) {
		value = stat_of(store, name);
		if (value >= least)
			return value;
		poll(NULL, 0, 1);
	}
	cr_assert_fail("%s is %llu and not %llu", name, (unsigned long long)value, (unsigned long long)least);
	return value;
}

/* Answers 2 … last, all of them, in this order. */
static void must_answer_all(struct wire *wire, uint64_t last)
{
	struct reply reply;

	for (uint64_t id = 2; id <= last; id++)
		ANSWER(wire, id, 0);
}

Test(limits, hello_tells_the_limits)
{
	struct hello hello = hello_plain();
	struct hello_reply reply;
	struct wire wire;

	stored_start(&stored, NULL);
	reply = wire_hello(&wire, &stored, &hello);
	cr_assert_eq(reply.version, 1);
	cr_assert_eq(reply.frame_limit, 64 << 20);
	cr_assert_eq(reply.in_flight_limit, 1024);
	cr_assert_eq(reply.page_limit, 1 << 20);
	wire_close(&wire);
	stored_end(&stored);
}

/* ---- requests in flight ---- */

/* From here on syncs are held, and the writer waits for one: what comes now waits for the writer. */
static void keep_writer_busy(struct wire *wire)
{
	struct hello hello = hello_plain();
	unsigned before = atomic_load(&stored.fault->syncs);

	wire_hello(wire, &stored, &hello);
	stored_hold_syncs(&stored);
	wire_simple(wire, 2, OPERATION_DELETE, S("warm"));
	stored_await_sync(&stored, before);
}

Test(limits, in_flight_limit_holds_back_and_drops_nothing)
{
	struct record record = wire_meta(META);
	struct buffer out = BUFFER_EMPTY;
	struct hello hello = hello_plain();
	struct wire wire, busy;
	kyneta_store *store;

	stored_use_faults(&stored);
	stored_start(&stored, "--max-requests-per-connection", "4", NULL);
	store = store_open();
	OK(APPEND(store, S("warm"), meta(META)));
	cr_assert_eq(wire_hello(&wire, &stored, &hello).in_flight_limit, 4);
	keep_writer_busy(&busy);
	/* In one piece: many small ones would fill the socket before they are read. */
	for (uint64_t id = 2; id <= 500; id++) {
		struct request request = request_of(id, OPERATION_APPEND, S("doc"));

		wire_encode(&wire, &out, &request, &record, 1);
	}
	wire_bytes(&wire, out.data, out.size);
	buffer_free(&out);
	/* Its four, what keeps the writer busy, and the request that asks. */
	await_stat(store, "requests_in_flight", 6);
	for (int i = 0; i < 20; i++)
		cr_assert_eq(stat_of(store, "requests_in_flight"), 6);
	stored_release_syncs(&stored);
	wire_close(&busy);
	must_answer_all(&wire, 500);
	cr_assert_eq(count_records(store, S("doc")), 499);
	wire_close(&wire);
	store_leave(store);
	stored_end(&stored);
}

Test(limits, in_flight_limit_of_all_connections_drops_nothing)
{
	struct hello hello = hello_plain();
	struct wire wires[8];

	stored_start(&stored, "--max-requests-per-connection", "4", "--max-requests", "4", NULL);
	for (size_t i = 0; i < 8; i++)
		wire_hello(&wires[i], &stored, &hello);
	for (uint64_t id = 2; id <= 200; id++)
		for (size_t i = 0; i < 8; i++)
			wire_append(&wires[i], id, S("doc"), wire_meta(META));
	for (size_t i = 0; i < 8; i++) {
		must_answer_all(&wires[i], 200);
		wire_close(&wires[i]);
	}
	stored_stop(&stored);
	ROWS("SELECT count(*) FROM kyneta_records", "1592\n");
	stored_end(&stored);
}

/* Waits until the daemon has read what was sent. */
static void await_read(const struct wire *wire)
{
	int unread = 1;

	for (int i = 0; i < HARNESS_PATIENCE_MS && unread > 0; i++) {
		cr_assert_eq(ioctl(wire->fd, SIOCOUTQ, &unread), 0);
		if (unread > 0)
			poll(NULL, 0, 1);
	}
	cr_assert_eq(unread, 0);
}

/* All of them are taken in the very turn in which there is room again. */
Test(limits, bad_frames_that_were_held_back_end_their_connections)
{
	struct hello hello = hello_plain();
	struct wire holder, wires[8];
	struct reply reply;

	stored_use_faults(&stored);
	stored_start(&stored, "--max-requests-per-connection", "1", "--max-requests", "1", NULL);
	wire_hello(&holder, &stored, &hello);
	wire_append(&holder, 2, S("warm"), wire_meta(META));
	ANSWER(&holder, 2, 0);
	for (size_t i = 0; i < 8; i++)
		wire_hello(&wires[i], &stored, &hello);
	stored_hold_syncs(&stored);
	wire_append(&holder, 3, S("doc"), wire_meta(META));
	await_read(&holder);
	for (size_t i = 0; i < 8; i++) {
		wire_bytes(&wires[i], "\0\0\0\1\xc1", 5);
		await_read(&wires[i]);
	}
	stored_release_syncs(&stored);
	ANSWER(&holder, 3, 0);
	for (size_t i = 0; i < 8; i++) {
		ANSWER(&wires[i], 0, 100);
		cr_assert(wire_ended(&wires[i]));
		wire_close(&wires[i]);
	}
	wire_append(&holder, 4, S("doc"), wire_meta(META));
	ANSWER(&holder, 4, 0);
	wire_close(&holder);
	stored_end(&stored);
}

/* ---- bytes of requests ---- */

struct flood {
	struct wire wire;
	struct buffer bytes;
	pthread_t thread;
};

static void *pour(void *context)
{
	struct flood *flood = context;
	size_t done = 0;
	ssize_t count = 1;

	/* If the daemon closes it an answer is missing, which the test notices: here nothing may be asserted. */
	while (done < flood->bytes.size && count > 0) {
		count = send(flood->wire.fd, flood->bytes.data + done, flood->bytes.size - done, MSG_NOSIGNAL);
		done += count > 0 ? (size_t)count : 0;
	}
	return NULL;
}

/* Appends of 50,000 bytes each, sent by a thread of their own: the daemon stops taking them. Hello was said. */
static void flood_pour(struct flood *flood, uint64_t last)
{
	static char data[50000];
	struct record records[] = {wire_meta(META), wire_entry("v", span_of(data, sizeof(data)))};

	memset(data, 'x', sizeof(data));
	flood->bytes = BUFFER_EMPTY;
	for (uint64_t id = 2; id <= last; id++) {
		struct request request = request_of(id, OPERATION_APPEND, S("doc"));

		wire_encode(&flood->wire, &flood->bytes, &request, records, 2);
	}
	cr_assert_eq(pthread_create(&flood->thread, NULL, pour, flood), 0);
}

static void flood_start(struct flood *flood, uint64_t last)
{
	struct hello hello = hello_plain();

	wire_hello(&flood->wire, &stored, &hello);
	flood_pour(flood, last);
}

static void flood_end(struct flood *flood, uint64_t last)
{
	must_answer_all(&flood->wire, last);
	pthread_join(flood->thread, NULL);
	buffer_free(&flood->bytes);
	wire_close(&flood->wire);
}

Test(limits, request_bytes_of_a_connection_are_bounded)
{
	struct hello hello = hello_plain();
	struct flood flood;
	kyneta_store *store;
	struct wire busy;

	stored_use_faults(&stored);
	stored_start(&stored, "--max-frame-bytes", "64K", "--max-request-bytes-per-connection", "128K", NULL);
	store = store_open();
	OK(APPEND(store, S("warm"), meta(META)));
	wire_hello(&flood.wire, &stored, &hello);
	keep_writer_busy(&busy);
	flood_pour(&flood, 60);
	await_stat(store, "request_bytes", 100000);
	for (int i = 0; i < 50; i++)
		cr_assert_leq(stat_of(store, "request_bytes"), 128 * 1024 + 4096);
	stored_release_syncs(&stored);
	wire_close(&busy);
	flood_end(&flood, 60);
	cr_assert_eq(count_records(store, S("doc")), 118);
	store_leave(store);
	stored_end(&stored);
}

/* All together: whoever holds nothing is still let in, so that the limit cannot lock up. */
Test(limits, request_bytes_in_all_drop_nothing)
{
	struct flood floods[4];

	stored_start(&stored, "--max-frame-bytes", "64K", "--max-request-bytes-per-connection", "64K",
		     "--max-request-bytes", "64K", NULL);
	for (size_t i = 0; i < 4; i++)
		flood_start(&floods[i], 40);
	for (size_t i = 0; i < 4; i++)
		flood_end(&floods[i], 40);
	stored_stop(&stored);
	ROWS("SELECT count(*) FROM kyneta_records", "312\n");
	stored_end(&stored);
}

/* ---- frames ---- */

/* An append whose frame has exactly so many bytes. */
static void append_of_size(struct wire *wire, uint64_t id, size_t frame)
{
	struct request request = request_of(id, OPERATION_APPEND, S("doc"));
	size_t guess = frame > 300 ? frame - 300 : 0;
	char *data = calloc(1, frame);

	for (;;) {
		struct record records[] = {wire_meta(META), wire_entry("v", span_of(data, guess))};
		struct buffer out = BUFFER_EMPTY;

		wire_encode(wire, &out, &request, records, 2);
		if (out.size == frame + FRAME_HEADER_SIZE) {
			wire_bytes(wire, out.data, out.size);
			buffer_free(&out);
			break;
		}
		cr_assert_lt(out.size, frame + FRAME_HEADER_SIZE);
		guess += frame + FRAME_HEADER_SIZE - out.size;
		buffer_free(&out);
	}
	free(data);
}

Test(limits, frame_limit_is_told_by_hello_and_kept)
{
	struct hello hello = hello_plain();
	struct reply reply;
	struct wire wire, other;

	stored_start(&stored, "--max-frame-bytes", "8192", NULL);
	wire_hello(&other, &stored, &hello);
	cr_assert_eq(wire_hello(&wire, &stored, &hello).frame_limit, 8192);
	append_of_size(&wire, 2, 8192);
	ANSWER(&wire, 2, 0);
	append_of_size(&wire, 3, 8193);
	ANSWER(&wire, 0, 101);
	cr_assert(wire_ended(&wire));
	wire_simple(&other, 2, OPERATION_PING, SPAN_NONE);
	ANSWER(&other, 2, 0);
	wire_close(&wire);
	wire_close(&other);
	stored_end(&stored);
}

Test(limits, frame_before_hello_has_4096_bytes_at_most)
{
	static char name[5000];
	struct hello hello = hello_plain();
	struct reply reply;
	struct wire wire;

	memset(name, 'n', sizeof(name));
	stored_start(&stored, NULL);
	for (size_t size = 4000; size < 4200; size++) {
		struct buffer out = BUFFER_EMPTY;
		struct request request = request_of(HELLO_ID, OPERATION_HELLO, SPAN_NONE);

		hello.client = span_of(name, size);
		request.hello = hello;
		wire_connect(&wire, &stored);
		wire_encode(&wire, &out, &request, NULL, 0);
		if (out.size == 4096 + FRAME_HEADER_SIZE || out.size == 4097 + FRAME_HEADER_SIZE) {
			bool fits = out.size == 4096 + FRAME_HEADER_SIZE;

			wire_bytes(&wire, out.data, out.size);
			ANSWER(&wire, fits ? 1 : 0, fits ? 0 : 101);
			if (!fits)
				cr_assert(wire_ended(&wire));
		}
		buffer_free(&out);
		wire_close(&wire);
	}
	stored_end(&stored);
}

/* ---- connections ---- */

Test(limits, one_connection_too_many_is_told_and_closed)
{
	struct hello hello = hello_plain();
	struct wire wires[2], extra;
	struct reply reply;

	stored_start(&stored, "--max-connections", "2", NULL);
	wire_hello(&wires[0], &stored, &hello);
	wire_hello(&wires[1], &stored, &hello);
	for (int i = 0; i < 3; i++) {
		wire_connect(&extra, &stored);
		ANSWER(&extra, 0, 404);
		cr_assert(wire_ended(&extra));
		wire_close(&extra);
	}
	wire_simple(&wires[0], 2, OPERATION_PING, SPAN_NONE);
	ANSWER(&wires[0], 2, 0);
	wire_leave(&wires[1]);
	wire_hello(&wires[1], &stored, &hello);
	wire_close(&wires[0]);
	wire_close(&wires[1]);
	stored_end(&stored);
}

static void note_state(void *context, int state, const struct kyneta_store_error *error)
{
	int *code = context;

	if (state == KYNETA_STORE_CONNECTING && error != NULL)
		*code = error->code;
}

/* The library takes it for "not now" and comes back. */
Test(limits, library_waits_for_a_free_connection)
{
	struct kyneta_store_options options = options_for(&stored);
	struct hello hello = hello_plain();
	unsigned answered = 0;
	kyneta_store *store;
	struct wire wire;
	int code = 0;

	stored_start(&stored, "--max-connections", "1", NULL);
	wire_hello(&wire, &stored, &hello);
	options.state = note_state;
	options.state_context = &code;
	OK(kyneta_store_new(&options, &store, &failure));
	send_record(store, S("doc"), meta(META), &answered);
	while (code == 0) {
		struct pollfd ready = {.fd = kyneta_store_fd(store), .events = kyneta_store_events(store)};

		poll(&ready, 1, kyneta_store_timeout(store));
		cr_assert_eq(kyneta_store_process(store), 0);
	}
	cr_assert_eq(code, 404);
	wire_leave(&wire);
	OK(kyneta_store_flush(store, &failure));
	cr_assert_eq(answered, 1);
	store_leave(store);
	stored_end(&stored);
}

/* ---- replies that nobody takes ---- */

#define REPLY_OPTIONS "--page-bytes", "64K", "--max-reply-bytes-per-connection", "256K", "--max-reply-bytes", "1M"

/* "doc" of about 60 KB, a peer that asks for it 300 times and reads nothing, and a store that goes on beside it. */
static kyneta_store *neglect(struct wire *wire)
{
	static char data[60000];
	struct hello hello = hello_plain();
	kyneta_store *store = store_open();

	OK(APPEND(store, S("doc"), meta(META), entirety("v", span_of(data, sizeof(data)))));
	wire_hello(wire, &stored, &hello);
	for (uint64_t id = 2; id <= 301; id++)
		wire_simple(wire, id, OPERATION_LOAD_ALL, S("doc"));
	await_stat(store, "reply_bytes", 100000);
	return store;
}

Test(limits, peer_that_does_not_read_holds_up_only_itself)
{
	struct reply reply;
	struct wire wire;
	kyneta_store *store;

	stored_start(&stored, REPLY_OPTIONS, NULL);
	store = neglect(&wire);
	for (int i = 0; i < 50; i++) {
		OK(APPEND(store, S("other"), meta(META)));
		cr_assert_eq(count_records(store, S("doc")), 2);
		cr_assert_leq(stat_of(store, "reply_bytes"), 256 * 1024 + 64 * 1024 + 4096);
	}
	/* When it reads at last everything comes. */
	for (int i = 0; i < 300; i++) {
		cr_assert(wire_next(&wire, &reply));
		cr_assert_eq(reply.code, 0);
		cr_assert_eq(reply.records.count, 2);
	}
	wire_close(&wire);
	store_leave(store);
	stored_end(&stored);
}

Test(limits, peer_that_takes_no_reply_is_closed_after_reply_timeout)
{
	unsigned answered = 0;
	struct reply reply;
	struct wire wire;
	kyneta_store *store;

	stored_start(&stored, REPLY_OPTIONS, "--reply-timeout", "1", NULL);
	store = neglect(&wire);
	await_stat(store, "timeouts", 1);
	while (wire_next(&wire, &reply))
		answered++;
	cr_assert_lt(answered, 300);
	wire_close(&wire);
	OK(APPEND(store, S("doc"), since("v", "x")));
	store_leave(store);
	stored_end(&stored);
}

/* ---- peers that say nothing, or dribble ---- */

Test(limits, peer_without_hello_is_closed_after_hello_timeout)
{
	struct hello hello = hello_plain();
	struct wire wire, other;
	struct reply reply;

	stored_start(&stored, "--hello-timeout", "1", NULL);
	wire_hello(&other, &stored, &hello);
	wire_connect(&wire, &stored);
	cr_assert(wire_ended(&wire));
	wire_close(&wire);
	/* Whoever has said hello may be silent. */
	wire_simple(&other, 2, OPERATION_PING, SPAN_NONE);
	ANSWER(&other, 2, 0);
	wire_close(&other);
	stored_end(&stored);
}

Test(limits, frame_that_does_not_become_whole_is_closed_after_frame_timeout)
{
	struct hello hello = hello_plain();
	struct reply reply;
	struct wire wire;

	stored_start(&stored, "--frame-timeout", "1", NULL);
	for (size_t cut = 2; cut <= 6; cut += 4) { /* within the length, and behind it */
		wire_hello(&wire, &stored, &hello);
		wire_append(&wire, 2, S("doc"), wire_meta(META));
		wire_bytes(&wire, "\0\0\0\x03\x92\x03\x08", cut);
		ANSWER(&wire, 2, 0);
		cr_assert(wire_ended(&wire));
		wire_close(&wire);
	}
	stored_end(&stored);
}

/* ---- a daemon that stood still ---- */

#define STILL_TIMEOUT_S 4

static uint64_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec;
}

/* Whoever is late when it goes on: begun a hello, a frame, and not taken replies. */
struct late {
	struct wire hello, frame, replies;
	kyneta_store *store;
};

static void late_start(struct late *late)
{
	struct hello hello = hello_plain();

	late->store = neglect(&late->replies);
	wire_hello(&late->frame, &stored, &hello);
	wire_connect(&late->hello, &stored);
	wire_bytes(&late->hello, "\0\0", 2);
	await_read(&late->hello);
	wire_bytes(&late->frame, "\0\0", 2);
	await_read(&late->frame);
}

static void late_end(struct late *late)
{
	wire_close(&late->hello);
	wire_close(&late->frame);
	wire_close(&late->replies);
	store_leave(late->store);
}

/* The rest of what they send, without the two first bytes of each, which are zero. */
static void late_catch_up(struct late *late)
{
	struct hello hello = hello_plain();
	struct request greeting = {.id = HELLO_ID, .operation = OPERATION_HELLO, .hello = hello};
	struct request ping = request_of(2, OPERATION_PING, SPAN_NONE);
	struct buffer bytes = BUFFER_EMPTY;

	wire_encode(&late->hello, &bytes, &greeting, NULL, 0);
	wire_bytes(&late->hello, bytes.data + 2, bytes.size - 2);
	bytes.size = 0;
	wire_encode(&late->frame, &bytes, &ping, NULL, 0);
	wire_bytes(&late->frame, bytes.data + 2, bytes.size - 2);
	buffer_free(&bytes);
}

/* As when the machine was asleep: its clock says that everybody is late, and what they sent lies there. */
Test(limits, daemon_that_stood_still_counts_nobody_late)
{
	struct reply reply;
	struct late late;
	uint64_t began;

	stored_start(&stored, REPLY_OPTIONS, "--hello-timeout", "4", "--frame-timeout", "4", "--reply-timeout", "4",
		     NULL);
	began = seconds();
	late_start(&late);
	cr_assert_eq(kill(stored.pid, SIGSTOP), 0);
	while (seconds() - began > STILL_TIMEOUT_S / 2) { /* the test itself was late */
		kill(stored.pid, SIGCONT);
		late_end(&late);
		began = seconds();
		late_start(&late);
		cr_assert_eq(kill(stored.pid, SIGSTOP), 0);
	}
	sleep(STILL_TIMEOUT_S + 1);
	late_catch_up(&late);
	for (int i = 0; i < 2; i++) {
		cr_assert(wire_next(&late.replies, &reply));
		cr_assert_eq(reply.code, 0);
	}
	cr_assert_eq(kill(stored.pid, SIGCONT), 0);
	for (int i = 2; i < 300; i++) {
		cr_assert(wire_next(&late.replies, &reply), "not taken in time: %d", i);
		cr_assert_eq(reply.code, 0);
	}
	ANSWER(&late.frame, 2, 0);
	ANSWER(&late.hello, HELLO_ID, 0);
	late_end(&late);
	stored_end(&stored);
}
