#include "tests/bench/machine.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/clock.h"
#include "tests/bench/measure.h"

#define ROUND_TRIPS 5000

/* The smallest daemon there can be: a loop, and a thread behind it. */
struct answerer {
	int socket, done;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	bool asked;
};

static void *work(void *context)
{
	struct answerer *answerer = context;
	uint64_t one = 1;

	do {
		pthread_mutex_lock(&answerer->mutex);
		while (!answerer->asked)
			pthread_cond_wait(&answerer->wake, &answerer->mutex);
		answerer->asked = false;
		pthread_mutex_unlock(&answerer->mutex);
	} while (write(answerer->done, &one, sizeof(one)) == sizeof(one));
	return NULL;
}

static void ask(struct answerer *answerer)
{
	pthread_mutex_lock(&answerer->mutex);
	answerer->asked = true;
	pthread_mutex_unlock(&answerer->mutex);
	pthread_cond_signal(&answerer->wake);
}

static _Noreturn void answer(int socket, bool with_thread)
{
	struct answerer answerer = {.socket = socket, .done = eventfd(0, EFD_CLOEXEC)};
	struct pollfd wait[2] = {{socket, POLLIN, 0}, {answerer.done, POLLIN, 0}};
	pthread_t thread;
	uint64_t count;
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pthread_mutex_init(&answerer.mutex, NULL);
	pthread_cond_init(&answerer.wake, NULL);
	if (answerer.done < 0 || pthread_create(&thread, NULL, work, &answerer) != 0)
		_exit(1);
	for (;;) {
		poll(wait, 2, -1);
		if (wait[0].revents != 0 && read(socket, &byte, 1) != 1)
			_exit(0);
		if (wait[1].revents != 0 && read(answerer.done, &count, sizeof(count)) != sizeof(count))
			_exit(1);
		if (wait[0].revents != 0 && with_thread)
			ask(&answerer);
		else if (write(socket, &byte, 1) != 1)
			_exit(1);
	}
}

static int measure_round_trip(bool with_thread, double *us)
{
	static struct histogram took;
	char byte = 0;
	int sockets[2], failed = 0;
	pid_t child;

	histogram_reset(&took);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
		return -1;
	fflush(NULL);
	child = fork();
	if (child == 0) {
		close(sockets[0]);
		answer(sockets[1], with_thread);
	}
	close(sockets[1]);
	for (unsigned i = 0; child > 0 && !failed && i < ROUND_TRIPS; i++) {
		uint64_t start = clock_ns();

		failed = write(sockets[0], &byte, 1) != 1 || read(sockets[0], &byte, 1) != 1;
		histogram_record(&took, clock_ns() - start);
	}
	close(sockets[0]);
	if (child > 0)
		waitpid(child, NULL, 0);
	if (child < 0 || failed)
		return -1;
	*us = (double)histogram_quantile(&took, 0.5) / 1000;
	return 0;
}

int machine_measure(struct machine *machine, const char *folder)
{
	if (measure_sync(folder, &machine->sync_us) != 0)
		return -1;
	if (measure_round_trip(false, &machine->round_trip_us) == 0 &&
	    measure_round_trip(true, &machine->with_thread_us) == 0)
		return 0;
	fprintf(stderr, "kyneta-store-bench: round trips: %s\n", strerror(errno));
	return -1;
}

void machine_print(const struct machine *machine, bool json)
{
	static const char text[] = "an fdatasync takes %.0f us, a round trip over a Unix socket %.1f us, with another "
				   "thread behind it %.1f us, %ld processors\n";
	static const char program[] = "{\"fdatasync_us\":%.1f,\"round_trip_us\":%.1f,"
				      "\"round_trip_with_thread_us\":%.1f,\"processors\":%ld}\n";

	printf(json ? program : text, machine->sync_us, machine->round_trip_us, machine->with_thread_us,
	       sysconf(_SC_NPROCESSORS_ONLN));
}
