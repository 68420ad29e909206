#include "daemon/supervise.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "daemon/clock.h"
#include "daemon/stats.h"

/* The watchdog is fed so many times in the time that it allows, and looked after that often at least. */
#define FEEDS_PER_TIMEOUT 4

#define STATUS_EVERY_US UINT64_C(5000000)

/* An extension: longer than one sync takes on a slow disk, since nothing is seen of it meanwhile. And how often. */
#define EXTENSION_US	   UINT64_C(120000000)
#define EXTENSION_EVERY_US UINT64_C(2000000)

/* ---- sockets ---- */

static void describe_address(int fd, char out[SUPERVISE_SOCKET_PATH_SIZE])
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t size = sizeof(address);
	size_t length;

	out[0] = '\0';
	if (getsockname(fd, (struct sockaddr *)&address, &size) != 0 || size <= offsetof(struct sockaddr_un, sun_path))
		return;
	length = size - offsetof(struct sockaddr_un, sun_path);
	if (length > sizeof(address.sun_path))
		length = sizeof(address.sun_path);
	/* An abstract name begins with NUL. */
	if (address.sun_path[0] == '\0')
		address.sun_path[0] = '@';
	snprintf(out, SUPERVISE_SOCKET_PATH_SIZE, "%.*s", (int)length, address.sun_path);
}

static int take_socket(struct supervise_socket *socket, int fd, const char *name, char *message, size_t size)
{
	*socket = (struct supervise_socket){.fd = fd};
	snprintf(socket->name, sizeof(socket->name), "%s", name);
	if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) <= 0) {
		snprintf(message, size,
			 "descriptor %d (%s) from the service manager is not a Unix stream socket that listens", fd,
			 socket->name);
		return -1;
	}
	describe_address(fd, socket->path);
	return 0;
}

int supervise_take_sockets(struct supervise_sockets *sockets, char *message, unsigned long size)
{
	char **names = NULL;
	int result = 0, count = sd_listen_fds_with_names(1, &names);

	sockets->count = 0;
	if (count < 0) {
		snprintf(message, size, "cannot take the sockets of the service manager: %s", strerror(-count));
		return -1;
	}
	if (count > SUPERVISE_SOCKETS_MAX) {
		snprintf(message, size, "the service manager gives %d sockets, at most %d can be served", count,
			 SUPERVISE_SOCKETS_MAX);
		result = -1;
	}
	for (int i = 0; result == 0 && i < count; i++) {
		result = take_socket(&sockets->sockets[i], SD_LISTEN_FDS_START + i, names[i], message, size);
		sockets->count += result == 0;
	}
	for (int i = 0; i < count; i++)
		free(names[i]);
	free(names);
	return result;
}

/* ---- messages ---- */

/* That it cannot be told is no reason not to serve; systemd itself gives up on a service that does not get ready. */
void supervise_ready(void)
{
	(void)sd_notify(0, "READY=1");
}

void supervise_reloading(void)
{
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_us());
}

void supervise_stopping(void)
{
	(void)sd_notify(0, "STOPPING=1");
}

void supervise_status(const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	(void)sd_notifyf(0, "STATUS=%s", text);
}

/* ---- ticks ---- */

void supervise_init(struct supervise *supervise)
{
	*supervise = (struct supervise){.extended_us = clock_us()};
	if (sd_watchdog_enabled(0, &supervise->watchdog_us) <= 0)
		supervise->watchdog_us = 0;
}

uint64_t supervise_tick_ms(const struct supervise *supervise, uint64_t longest_ms)
{
	uint64_t feed_ms = supervise->watchdog_us / FEEDS_PER_TIMEOUT / 1000;

	if (supervise->watchdog_us == 0 || feed_ms >= longest_ms)
		return longest_ms;
	return feed_ms == 0 ? 1 : feed_ms;
}

/* Of a count, what a person wants to know: "999", "41k", "1.2M". */
static void print_count(char *out, size_t size, uint64_t count)
{
	static const char letters[] = "kMGTPE";
	uint64_t unit = 1;
	int letter = -1;

	while (count / unit >= 1000) {
		unit *= 1000;
		letter++;
	}
	if (letter < 0)
		snprintf(out, size, "%" PRIu64, count);
	else if (count / unit < 10)
		snprintf(out, size, "%" PRIu64 ".%" PRIu64 "%c", count / unit, count % unit / (unit / 10),
			 letters[letter]);
	else
		snprintf(out, size, "%" PRIu64 "%c", count / unit, letters[letter]);
}

void supervise_describe(char out[SUPERVISE_STATUS_SIZE], uint64_t connections, uint64_t stores, uint64_t appends)
{
	char number[32];

	print_count(number, sizeof(number), appends);
	snprintf(out, SUPERVISE_STATUS_SIZE, "serving %" PRIu64 " connection%s, %" PRIu64 " store%s, %s append%s",
		 connections, connections == 1 ? "" : "s", stores, stores == 1 ? "" : "s", number,
		 appends == 1 ? "" : "s");
}

static void feed(struct supervise *supervise, uint64_t now_us)
{
	if (now_us - supervise->fed_us < supervise->watchdog_us / FEEDS_PER_TIMEOUT)
		return;
	supervise->fed_us = now_us;
	(void)sd_notify(0, "WATCHDOG=1");
}

void supervise_tick(struct supervise *supervise, uint64_t now_us, bool alive)
{
	char status[SUPERVISE_STATUS_SIZE];

	if (alive && supervise->watchdog_us > 0)
		feed(supervise, now_us);
	if (supervise->told_us != 0 && now_us - supervise->told_us < STATUS_EVERY_US)
		return;
	supervise->told_us = now_us;
	supervise_describe(status, stats_get(connections), stats_get(stores), stats_get(appends));
	if (strcmp(status, supervise->told) == 0)
		return;
	memcpy(supervise->told, status, sizeof(supervise->told));
	supervise_status("%s", status);
}

void supervise_extend(struct supervise *supervise, uint64_t now_us)
{
	if (now_us - supervise->extended_us < EXTENSION_EVERY_US)
		return;
	supervise->extended_us = now_us;
	(void)sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%" PRIu64, EXTENSION_US);
}
