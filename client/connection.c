/*
 * connection: the socket under a handle.
 *
 * The caller waits on an epoll descriptor that lives as long as the handle; sockets come and go inside it. Nothing ever
 * asks it what happened: every turn just tries to read and to write, so that the common turn costs one system call for
 * each.
 *
 * A Unix socket connects at once or not at all. What may pass (no daemon yet, its backlog full, no descriptors) is
 * tried again after a backoff that doubles from attempt to attempt, with jitter, so that ten thousand clients of a
 * restarted daemon do not come in one instant. What cannot pass by waiting (no permission, a path that is none) ends
 * the handle.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/handle.h"
#include "protocol/frame.h"

#define NS_PER_MS UINT64_C(1000000)

/* Of a daemon that does not say. */
#define IN_FLIGHT_LIMIT_DEFAULT 1024

static void set_phase(struct connection *connection, enum phase phase)
{
	static const bool is_allowed[4][4] = {
	    [PHASE_WAITING] = {[PHASE_HELLO] = true, [PHASE_CLOSED] = true},
	    [PHASE_HELLO] = {[PHASE_WAITING] = true, [PHASE_READY] = true, [PHASE_CLOSED] = true},
	    [PHASE_READY] = {[PHASE_WAITING] = true, [PHASE_CLOSED] = true},
	    [PHASE_CLOSED] = {[PHASE_CLOSED] = true},
	};

	assert(is_allowed[connection->phase][phase]);
	connection->phase = phase;
}

/* ---- beginning and end ---- */

static int fill_random(void *bytes, size_t size)
{
	ssize_t got;

	do
		got = getrandom(bytes, size, 0);
	while (got < 0 && errno == EINTR);
	return got == (ssize_t)size ? 0 : -1;
}

int connection_init(kyneta_store *store, struct kyneta_store_error *error)
{
	struct connection *connection = &store->connection;

	connection->phase = PHASE_WAITING;
	connection->socket = -1;
	connection->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (connection->epoll < 0)
		return failure_fill(error, KYNETA_STORE_ESOCKET, KYNETA_STORE_NO_OUTCOME, "epoll_create1: %s",
				    strerror(errno));
	if (fill_random(store->session, sizeof(store->session)) != 0 ||
	    fill_random(&store->random, sizeof(store->random)) != 0)
		return failure_fill(error, KYNETA_STORE_ESOCKET, KYNETA_STORE_NO_OUTCOME, "getrandom: %s",
				    strerror(errno));
	return 0;
}

static void drop_socket(struct connection *connection)
{
	if (connection->socket >= 0)
		close(connection->socket);
	connection->socket = -1;
	connection->want_write = false;
	connection->send_failed = false;
	connection->draining = false;
	connection->leaving = false;
	connection->hello_sent = 0;
	connection->inbox_start = 0;
	connection->inbox_end = 0;
}

void connection_close(kyneta_store *store, enum phase phase)
{
	drop_socket(&store->connection);
	set_phase(&store->connection, phase);
}

void connection_deinit(kyneta_store *store)
{
	drop_socket(&store->connection);
	if (store->connection.epoll >= 0)
		close(store->connection.epoll);
	free(store->connection.inbox);
}

/* ---- connecting ---- */

/* splitmix64: jitter needs no more. */
static uint64_t random_below(kyneta_store *store, uint64_t bound)
{
	uint64_t mixed = store->random += UINT64_C(0x9e3779b97f4a7c15);

	mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
	return bound == 0 ? 0 : (mixed ^ mixed >> 31) % bound;
}

/* The first attempt after a connection that worked comes soon, within the base; then the wait doubles. */
static void schedule_attempt(kyneta_store *store)
{
	struct connection *connection = &store->connection;
	uint64_t most = (uint64_t)store->options.backoff_max_ms * NS_PER_MS;
	uint64_t wait = (uint64_t)store->options.backoff_base_ms * NS_PER_MS;

	for (unsigned i = 1; i < connection->attempts && wait < most; i++)
		wait *= 2;
	if (wait > most)
		wait = most;
	if (connection->attempts == 0)
		wait = random_below(store, wait);
	else
		wait = wait / 2 + random_below(store, wait / 2);
	connection->retry_ns = handle_clock_ns() + wait;
	connection->attempts++;
}

static bool is_hopeless(int number)
{
	switch (number) {
	case EACCES:
	case EPERM:
	case ENOTDIR:
	case ELOOP:
	case ENAMETOOLONG:
	case EPROTOTYPE:
	case EAFNOSUPPORT:
		return true;
	default:
		return false;
	}
}

static void attempt_failed(kyneta_store *store, const char *what, int number)
{
	struct kyneta_store_error error;

	failure_fill(&error, KYNETA_STORE_ESOCKET, KYNETA_STORE_NO_OUTCOME, "%s %s: %s", what, store->path,
		     strerror(number));
	if (is_hopeless(number) || !handle_reconnects(store)) {
		handle_end(store, &error);
		return;
	}
	store->last_failure = error;
	schedule_attempt(store);
	handle_state(store, &error);
}

static int open_socket(kyneta_store *store)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct epoll_event event = {.events = EPOLLIN};
	const char *what = "socket for";
	int number, result, fd;

	memcpy(address.sun_path, store->path, strlen(store->path)); /* its length was checked at the start */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		goto failed;
	what = "cannot connect to";
	do
		result = connect(fd, (const struct sockaddr *)&address, sizeof(address));
	while (result != 0 && errno == EINTR);
	if (result != 0)
		goto failed;
	what = "epoll for";
	if (epoll_ctl(store->connection.epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		goto failed;
	return fd;

failed:
	number = errno;
	if (fd >= 0)
		close(fd);
	attempt_failed(store, what, number);
	return -1;
}

void connection_attempt(kyneta_store *store)
{
	struct connection *connection = &store->connection;
	int fd;

	if (connection->phase != PHASE_WAITING ||
	    (connection->retry_ns > 0 && handle_clock_ns() < connection->retry_ns))
		return;
	fd = open_socket(store);
	if (fd < 0)
		return;
	connection->socket = fd;
	set_phase(connection, PHASE_HELLO);
	connection_send(store);
}

void connection_ready(kyneta_store *store, const struct hello_reply *hello)
{
	struct connection *connection = &store->connection;

	connection->through = hello->through;
	connection->frame_limit = hello->frame_limit > 0 ? hello->frame_limit : FRAME_LIMIT_DEFAULT;
	connection->in_flight_limit = hello->in_flight_limit > 0 ? hello->in_flight_limit : IN_FLIGHT_LIMIT_DEFAULT;
	set_phase(connection, PHASE_READY);
	queue_connected(&store->queue, connection->in_flight_limit);
	store->connects++;
	store->last_failure.code = 0;
	handle_state(store, NULL);
}

void connection_lost(kyneta_store *store, const struct kyneta_store_error *error)
{
	if (!handle_reconnects(store)) {
		handle_end(store, error);
		return;
	}
	connection_close(store, PHASE_WAITING);
	store->last_failure = *error;
	queue_lost(store);
	schedule_attempt(store);
	handle_state(store, error);
}

void connection_leave_when_drained(kyneta_store *store)
{
	struct connection *connection = &store->connection;
	struct kyneta_store_error error;

	if (connection->phase != PHASE_READY || !connection->leaving || store->queue.on_wire > 0)
		return;
	failure_fill(&error, KYNETA_STORE_EDRAINING, KYNETA_STORE_NO_OUTCOME, "%s", error_meaning(ERROR_DRAINING));
	connection_lost(store, &error);
}

/* ---- writing ---- */

static void want_write(struct connection *connection, bool wanted)
{
	struct epoll_event event = {.events = wanted ? EPOLLIN | EPOLLOUT : EPOLLIN};

	if (connection->want_write == wanted)
		return;
	/* Changing what is already watched takes no memory; should it fail all the same, the next turn tries again. */
	if (epoll_ctl(connection->epoll, EPOLL_CTL_MOD, connection->socket, &event) == 0)
		connection->want_write = wanted;
}

/*
 * Returns the bytes taken: 0 if the socket is full or broken. What came before it broke is still read; the end of that
 * is where the connection is found lost.
 */
static size_t send_vectors(struct connection *connection, struct iovec *vectors, size_t count)
{
	struct msghdr message = {.msg_iov = vectors, .msg_iovlen = count};
	ssize_t sent;

	do
		sent = sendmsg(connection->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return (size_t)sent;
	if (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM) {
		connection->send_failed = true;
		shutdown(connection->socket, SHUT_RDWR);
	}
	return 0;
}

static void send_hello(kyneta_store *store)
{
	struct connection *connection = &store->connection;
	size_t left = store->hello.size - connection->hello_sent;
	struct iovec vector = {store->hello.data + connection->hello_sent, left};

	if (left == 0 || connection->send_failed)
		return;
	connection->hello_sent += send_vectors(connection, &vector, 1);
	want_write(connection, connection->hello_sent < store->hello.size && !connection->send_failed);
}

bool connection_could_send(const kyneta_store *store)
{
	const struct connection *connection = &store->connection;

	return connection->phase == PHASE_READY && !connection->leaving && !connection->send_failed &&
	       store->queue.next != NULL && !store->queue.held_back &&
	       store->queue.on_wire < connection->in_flight_limit;
}

void connection_send(kyneta_store *store)
{
	struct connection *connection = &store->connection;
	struct iovec vectors[SEND_VECTORS];
	size_t count, size, sent;

	if (connection->phase == PHASE_HELLO)
		send_hello(store);
	while (connection_could_send(store)) {
		count = queue_gather(store, vectors);
		if (count == 0)
			continue;
		size = 0;
		for (size_t i = 0; i < count; i++)
			size += vectors[i].iov_len;
		sent = send_vectors(connection, vectors, count);
		queue_written(store, sent);
		if (sent < size) {
			want_write(connection, !connection->send_failed);
			return;
		}
	}
	if (connection->phase == PHASE_READY)
		want_write(connection, false);
}

/* ---- reading ---- */

static void peer_failed(kyneta_store *store, const char *what)
{
	struct kyneta_store_error error;

	failure_fill(&error, KYNETA_STORE_EPROTOCOL, KYNETA_STORE_NO_OUTCOME, "%s: %s", store->path, what);
	handle_end(store, &error);
}

static void peer_gone(kyneta_store *store, int number)
{
	struct kyneta_store_error error;

	failure_fill(&error, KYNETA_STORE_ESOCKET, KYNETA_STORE_NO_OUTCOME, "the connection to %s was lost: %s",
		     store->path, number == 0 ? "closed by the daemon" : strerror(number));
	connection_lost(store, &error);
}

/* The bytes of the frame at the front that are known to come, header included; at least one more than are there. */
static size_t frame_wanted(const struct connection *connection)
{
	size_t available = connection->inbox_end - connection->inbox_start;

	if (available < FRAME_HEADER_SIZE)
		return FRAME_HEADER_SIZE;
	return FRAME_HEADER_SIZE + frame_length(connection->inbox + connection->inbox_start);
}

/*
 * Make room to read into. A large frame grows the buffer by doubling as its bytes come: a length alone is no reason to
 * spend memory.
 */
static bool make_room(struct connection *connection)
{
	size_t available = connection->inbox_end - connection->inbox_start;
	size_t wanted = frame_wanted(connection);
	size_t capacity = connection->inbox_capacity * 2;
	uint8_t *inbox;

	if (connection->inbox_start > 0 && available > 0)
		memmove(connection->inbox, connection->inbox + connection->inbox_start, available);
	connection->inbox_start = 0;
	connection->inbox_end = available;
	if (available < connection->inbox_capacity)
		return true;
	if (capacity > wanted)
		capacity = wanted;
	if (capacity < INBOX_SIZE)
		capacity = INBOX_SIZE;
	inbox = realloc(connection->inbox, capacity);
	if (inbox == NULL)
		return false;
	connection->inbox = inbox;
	connection->inbox_capacity = capacity;
	return true;
}

/* Give back what a large frame needed. */
static void shrink_inbox(const kyneta_store *store, struct connection *connection)
{
	size_t kept = store->streams_open > 0 ? INBOX_STREAM_SIZE : INBOX_SIZE;

	if (connection->inbox_start != connection->inbox_end || connection->inbox_capacity <= kept)
		return;
	free(connection->inbox);
	connection->inbox = NULL;
	connection->inbox_capacity = 0;
	connection->inbox_start = 0;
	connection->inbox_end = 0;
}

static void take_frames(kyneta_store *store)
{
	struct connection *connection = &store->connection;
	const uint8_t *frame;
	uint32_t length;

	while (connection->inbox_end - connection->inbox_start >= FRAME_HEADER_SIZE) {
		frame = connection->inbox + connection->inbox_start;
		length = frame_length(frame);
		if (length == 0 || length > FRAME_REPLY_MAX) {
			peer_failed(store, "sent a frame of an impossible length");
			return;
		}
		if (connection->inbox_end - connection->inbox_start - FRAME_HEADER_SIZE < length)
			return;
		connection->inbox_start += FRAME_HEADER_SIZE + (size_t)length;
		answer_frame(store, span_of(frame + FRAME_HEADER_SIZE, length));
		if (connection->socket < 0)
			return;
	}
}

void connection_receive(kyneta_store *store)
{
	struct connection *connection = &store->connection;
	struct kyneta_store_error error;
	size_t total = 0, room;
	ssize_t got;

	while (connection->socket >= 0 && total < TURN_RECEIVE_MAX) {
		if (!make_room(connection)) {
			failure_fill(&error, KYNETA_STORE_EMEMORY, KYNETA_STORE_NO_OUTCOME, "no memory for a reply");
			connection_lost(store, &error);
			return;
		}
		room = connection->inbox_capacity - connection->inbox_end;
		do
			got = recv(connection->socket, connection->inbox + connection->inbox_end, room, MSG_DONTWAIT);
		while (got < 0 && errno == EINTR);
		if (got < 0 && errno == EAGAIN)
			break;
		if (got <= 0) {
			peer_gone(store, got < 0 ? errno : 0);
			return;
		}
		connection->inbox_end += (size_t)got;
		total += (size_t)got;
		take_frames(store);
		if ((size_t)got < room)
			break;
	}
	shrink_inbox(store, connection);
}
