/*
 * attacker: peers that mean harm, for test_hostile.py and tests/bench/hostile.
 *
 *     attacker KIND SOCKET CONNECTIONS [BYTES]
 *
 *     silent    connect, and say nothing
 *     idle      say hello, and then nothing
 *     dribble   begin a frame of BYTES and send one byte of it every 10 ms
 *     deaf      ask for the document "big" (and for stats) as often as possible, and read no answer
 *     flood     append to a document of its own as often as possible, and read the answers
 *     large     send appends of BYTES as fast as possible, which are refused (no metadata), and read the answers
 *     half      append a little, close its own side, read the answers, and come again
 *     cut       begin a frame of BYTES, send half of it, vanish, and come again
 *     garbage   send random bytes, and come again
 *     storm     connect, say hello, vanish, and come again
 *
 * One process, one thread, no waiting: each connection does what its socket takes. Says "begun" when each connection
 * has got as far as it gets by itself (where hello is said: its answer is there; of those that come again: each has
 * come once); goes on until stdin ends, then tells "connects N ends N bytes N answers N" and ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol/frame.h"
#include "protocol/message.h"

#define EVENTS_MAX	 256
#define DRIBBLE_MS	 10
#define CONNECT_AGAIN_MS 10
#define RANDOM_BYTES	 4096
#define FRAME_OTHER	 64 /* more than a frame has beside its data */

/* From here on an id always takes nine bytes, and can be put into a frame that is there already. */
#define FIRST_ID (UINT64_C(1) << 32)

/*
 * What is sent again and again is a message: many small frames, or one large one. Each connection has a copy of its own
 * of what differs, the ids: of the whole message, or of the beginning of the large frame.
 */
#define SMALL_FRAME   4096
#define MESSAGE_BYTES 16384
#define ID_OFFSET     (FRAME_HEADER_SIZE + 2)

enum phase { CONNECTING, GREETING, ATTACKING };

struct peer {
	int fd; /* -1: to connect again with the next tick */
	unsigned number;
	enum phase phase;
	bool begun; /* ever */
	uint32_t watched;
	uint64_t next_id;
	uint8_t *own;
	size_t sent; /* of the message (or hello) in progress */
};

static struct attack {
	const char *name;
	void (*run)(struct peer *peer); /* the socket takes bytes, or (dribble) it is time */
	bool hello, reads, returns;
	uint32_t events; /* waited for while attacking, beside EPOLLIN */
} attack;

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static struct peer *peers;
static unsigned peers_count, begun_count;
static size_t frame_bytes = 1 << 20;
static struct buffer hello, frame;
static size_t message_bytes, message_frames, own_bytes;
static int epoll_fd;
static unsigned long long connects, ends, bytes_sent, answers;

static _Noreturn __attribute__((format(printf, 1, 2))) void give_up(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("attacker: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

/* ---- frames ---- */

static void encode_hello(void)
{
	struct request request = {.id = HELLO_ID, .operation = OPERATION_HELLO};

	request.hello = (struct hello){.lowest = PROTOCOL_VERSION,
				       .highest = PROTOCOL_VERSION,
				       .client = SPAN_LITERAL("attacker"),
				       .create = true};
	request_encode(&hello, &request, NULL, 0);
}

/* An append of @size bytes, or another request. */
static void encode_frame(enum operation operation, const char *document, const char *meta, size_t size)
{
	uint8_t *data = calloc(1, size + 1);
	struct record records[2] = {{.type = RECORD_META, .meta = span_of_string(meta)},
				    {.type = RECORD_ENTRY, .kind = ENTRY_SINCE, .encoding = ENCODING_BINARY}};
	struct request request = {.id = FIRST_ID, .operation = operation, .document = span_of_string(document)};
	bool has_meta = meta[0] != '\0';

	if (data == NULL)
		give_up("no memory");
	records[1].version = SPAN_LITERAL("v");
	records[1].data = span_of(data, size);
	request.durability = DURABILITY_COMMITTED;
	request_encode(&frame, &request, has_meta ? records : records + 1,
		       operation == OPERATION_APPEND ? 1u + has_meta : 0);
	if (frame.failed)
		give_up("no memory");
	free(data);
	message_frames = frame.size > SMALL_FRAME ? 1 : MESSAGE_BYTES / frame.size;
	message_bytes = frame.size * message_frames;
	own_bytes = frame.size > SMALL_FRAME ? ID_OFFSET + 8 : message_bytes;
}

/* The next message of a connection: new ids. */
static void number_frames(struct peer *peer)
{
	for (size_t i = 0; i < message_frames; i++) {
		uint8_t *id = peer->own + i * frame.size + ID_OFFSET;

		for (unsigned byte = 0; byte < 8; byte++)
			id[byte] = (uint8_t)(peer->next_id >> (56 - 8 * byte));
		peer->next_id++;
	}
}

static void make_own(struct peer *peer)
{
	peer->own = malloc(own_bytes);
	if (peer->own == NULL)
		give_up("no memory");
	for (size_t at = 0; at < own_bytes; at += frame.size)
		memcpy(peer->own + at, frame.data, own_bytes < frame.size ? own_bytes : frame.size);
}

/* ---- connections ---- */

static void watch(struct peer *peer, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = peer};

	if (peer->watched == events)
		return;
	if (epoll_ctl(epoll_fd, peer->watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, peer->fd, &event) != 0)
		give_up("epoll_ctl: %s", strerror(errno));
	peer->watched = events;
}

static void hang_up(struct peer *peer)
{
	close(peer->fd);
	peer->fd = -1;
	peer->watched = 0;
}

/* It has got as far as it gets by itself. */
static void begun(struct peer *peer)
{
	if (peer->begun)
		return;
	peer->begun = true;
	if (++begun_count == peers_count) {
		puts("begun");
		fflush(stdout);
	}
}

static void begin_attack(struct peer *peer)
{
	peer->phase = ATTACKING;
	peer->sent = 0;
	peer->next_id = FIRST_ID;
	watch(peer, (attack.reads ? EPOLLIN : 0) | attack.events | EPOLLRDHUP);
	if (!attack.returns)
		begun(peer);
}

static void connect_peer(struct peer *peer)
{
	peer->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (peer->fd < 0)
		give_up("socket %u: %s", peer->number, strerror(errno));
	/* The daemon accepts no one at the moment (EAGAIN), or has ended. */
	if (connect(peer->fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		if (errno != EAGAIN && errno != ECONNREFUSED && errno != ENOENT)
			give_up("connect: %s", strerror(errno));
		hang_up(peer);
		return;
	}
	connects++;
	peer->sent = 0;
	peer->phase = GREETING;
	if (attack.hello)
		watch(peer, EPOLLOUT | EPOLLIN);
	else
		begin_attack(peer);
}

static void come_again(struct peer *peer)
{
	begun(peer);
	hang_up(peer);
	connect_peer(peer);
}

/* The daemon has closed it. */
static void ended(struct peer *peer)
{
	ends++;
	hang_up(peer);
}

static bool is_over(ssize_t result)
{
	return result < 0 && errno != EAGAIN && errno != EINTR;
}

static void greet(struct peer *peer, uint32_t events)
{
	uint8_t reply[FRAME_HEADER_SIZE + FRAME_HELLO_MAX];
	ssize_t got;

	if ((events & EPOLLOUT) != 0 && peer->sent < hello.size) {
		got = send(peer->fd, hello.data + peer->sent, hello.size - peer->sent, MSG_NOSIGNAL);
		if (is_over(got)) {
			ended(peer);
			return;
		}
		peer->sent += got < 0 ? 0 : (size_t)got;
		if (peer->sent == hello.size)
			watch(peer, EPOLLIN);
	}
	if ((events & (EPOLLIN | EPOLLHUP)) != 0) {
		got = recv(peer->fd, reply, sizeof(reply), 0);
		/* Element 2 of the reply is the code: 0, or hello was refused. */
		if (got == 0 || is_over(got) || (got > 6 && reply[6] != 0))
			ended(peer);
		else if (got > 0)
			begin_attack(peer);
	}
}

/* Counts what comes as far as it is one small answer each. */
static void read_answers(struct peer *peer)
{
	static uint8_t bytes[1 << 16];
	ssize_t got = recv(peer->fd, bytes, sizeof(bytes), 0);

	if (got == 0 || is_over(got)) {
		if (attack.returns)
			come_again(peer);
		else
			ended(peer);
		return;
	}
	for (ssize_t at = 0; at + FRAME_HEADER_SIZE <= got; at += FRAME_HEADER_SIZE + frame_length(bytes + at))
		answers++;
}

/* ---- attacks ---- */

/* Sends on with the message in progress, up to its @most first bytes. False: not now, or the end. */
static bool send_message(struct peer *peer, size_t most)
{
	struct iovec parts[2];
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	size_t left = most - peer->sent, own;
	ssize_t sent;

	if (peer->sent == 0)
		number_frames(peer);
	own = peer->sent < own_bytes ? own_bytes - peer->sent : 0;
	own = own < left ? own : left;
	parts[0] = (struct iovec){peer->own + peer->sent, own};
	parts[1] = (struct iovec){frame.data + peer->sent + own, left - own};
	if (left == own)
		message.msg_iovlen = 1;
	sent = sendmsg(peer->fd, &message, MSG_NOSIGNAL);
	if (is_over(sent)) {
		if (attack.returns)
			come_again(peer);
		else
			ended(peer);
		return false;
	}
	if (sent < 0)
		return false;
	bytes_sent += (unsigned long long)sent;
	peer->sent += (size_t)sent;
	return true;
}

static void run_frames(struct peer *peer)
{
	if (send_message(peer, message_bytes) && peer->sent == message_bytes)
		peer->sent = 0;
}

static void run_dribble(struct peer *peer)
{
	if (peer->sent < message_bytes)
		send_message(peer, peer->sent + 1);
}

static void run_half(struct peer *peer)
{
	run_frames(peer);
	if (peer->fd >= 0 && peer->next_id > FIRST_ID && peer->sent == 0) {
		shutdown(peer->fd, SHUT_WR);
		watch(peer, EPOLLIN);
	}
}

static void run_cut(struct peer *peer)
{
	if (send_message(peer, frame.size / 2) && peer->sent == frame.size / 2)
		come_again(peer);
}

static void run_garbage(struct peer *peer)
{
	uint8_t bytes[RANDOM_BYTES];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)random();
	bytes[0] = bytes[1] = 0; /* lengths that are believed, now and then */
	if (is_over(send(peer->fd, bytes, sizeof(bytes), MSG_NOSIGNAL)))
		come_again(peer);
}

static void run_nothing(struct peer *peer)
{
	watch(peer, EPOLLRDHUP);
}

static const struct attack ATTACKS[] = {
    {"silent", run_nothing, .hello = false},
    {"idle", run_nothing, .hello = true, .reads = true},
    {"dribble", run_dribble, .hello = true},
    {"deaf", run_frames, .hello = true, .events = EPOLLOUT},
    {"flood", run_frames, .hello = true, .reads = true, .events = EPOLLOUT},
    {"large", run_frames, .hello = true, .reads = true, .events = EPOLLOUT},
    {"half", run_half, .hello = true, .reads = true, .returns = true, .events = EPOLLOUT},
    {"cut", run_cut, .hello = true, .returns = true, .events = EPOLLOUT},
    {"garbage", run_garbage, .hello = false, .reads = true, .returns = true, .events = EPOLLOUT},
    {"storm", come_again, .hello = true, .returns = true, .events = EPOLLOUT},
};

static const char META[] = "{\"replicaType\":[\"plain\",1,0],\"syncMode\":{\"writerModel\":\"concurrent\","
			   "\"delivery\":\"delta-capable\",\"durability\":\"persistent\"},\"schemaHash\":\"00\"}";

static void choose(const char *name)
{
	for (size_t i = 0; i < sizeof(ATTACKS) / sizeof(ATTACKS[0]); i++)
		if (strcmp(ATTACKS[i].name, name) == 0)
			attack = ATTACKS[i];
	if (attack.name == NULL)
		give_up("there is no attack \"%s\"", name);
	encode_hello();
	if (strcmp(name, "deaf") == 0)
		encode_frame(OPERATION_LOAD_ALL, "big", "", 0);
	else if (strcmp(name, "flood") == 0 || strcmp(name, "half") == 0)
		encode_frame(OPERATION_APPEND, "attacked", META, 200);
	else
		encode_frame(OPERATION_APPEND, "nothing", "",
			     frame_bytes > FRAME_OTHER ? frame_bytes - FRAME_OTHER : 0);
}

/* ---- the loop ---- */

static void on_event(struct peer *peer, uint32_t events)
{
	if (peer->fd < 0)
		return;
	if (peer->phase == GREETING) {
		greet(peer, events);
		return;
	}
	if ((events & EPOLLIN) != 0)
		read_answers(peer);
	else if ((events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) != 0 && attack.returns)
		come_again(peer);
	else if ((events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) != 0)
		ended(peer);
	if ((events & EPOLLOUT) != 0 && peer->fd >= 0 && peer->phase == ATTACKING)
		attack.run(peer);
}

static void tick(void)
{
	for (unsigned i = 0; i < peers_count; i++) {
		if (peers[i].fd < 0)
			connect_peer(&peers[i]);
		else if (peers[i].phase == ATTACKING && attack.run == run_dribble)
			run_dribble(&peers[i]);
	}
}

static void watch_fd(int fd, void *mark)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = mark};

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		give_up("epoll_ctl: %s", strerror(errno));
}

static void loop(void)
{
	static char on_stdin, on_timer;
	struct itimerspec every = {{0, DRIBBLE_MS * 1000000L}, {0, DRIBBLE_MS * 1000000L}};
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	struct epoll_event events[EVENTS_MAX];
	uint64_t ticks;

	if (timer < 0 || timerfd_settime(timer, 0, &every, NULL) != 0)
		give_up("timer: %s", strerror(errno));
	watch_fd(STDIN_FILENO, &on_stdin);
	watch_fd(timer, &on_timer);
	for (;;) {
		int count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr == &on_stdin)
				return;
			if (events[i].data.ptr != &on_timer)
				on_event(events[i].data.ptr, events[i].events);
			else if (read(timer, &ticks, sizeof(ticks)) > 0)
				tick();
		}
	}
}

int main(int argc, char **argv)
{
	struct rlimit limit;

	if (argc < 4 || argc > 5)
		give_up("usage: attacker KIND SOCKET CONNECTIONS [BYTES]");
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[2]);
	peers_count = (unsigned)strtoul(argv[3], NULL, 10);
	if (argc == 5)
		frame_bytes = strtoul(argv[4], NULL, 10);
	peers = calloc(peers_count, sizeof(*peers));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (peers == NULL || epoll_fd < 0)
		give_up("%s", strerror(errno));
	choose(argv[1]);
	for (unsigned i = 0; i < peers_count; i++) {
		peers[i].number = i;
		make_own(&peers[i]);
		connect_peer(&peers[i]);
	}
	loop();
	printf("connects %llu ends %llu bytes %llu answers %llu\n", connects, ends, bytes_sent, answers);
	for (unsigned i = 0; i < peers_count; i++)
		free(peers[i].own);
	free(peers);
	buffer_free(&hello);
	buffer_free(&frame);
	return 0;
}
