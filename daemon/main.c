/*
 * kyneta-stored: the store daemon.
 *
 * Options first, then what the process may use, then the daemon itself (daemon.h). Every failure is one line and an
 * exit code.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "daemon/daemon.h"
#include "daemon/log.h"

/* Descriptors beside those of connections: the database's, the loop's, standard ones, and some to spare. */
#define OTHER_DESCRIPTORS 64

/* What log_escape makes of a byte at most. */
#define ESCAPED_SIZE 4

/* One line, whatever is in the names that it quotes. */
static int fail(const char *message)
{
	char line[ESCAPED_SIZE * DAEMON_MESSAGE_SIZE + 1];

	log_escape(message, strlen(message), line, sizeof(line));
	fprintf(stderr, "kyneta-stored: %s\n", line);
	return EXIT_CODE_START;
}

static rlim_t descriptors_wanted(const struct config *config)
{
	return (rlim_t)config->max_connections + OTHER_DESCRIPTORS;
}

/* *@descriptors: how many may be open now. Fails if the daemon itself cannot do with them. */
static int raise_descriptor_limit(const struct config *config, rlim_t *descriptors)
{
	rlim_t wanted = descriptors_wanted(config);
	struct rlimit limit = {wanted, wanted};
	char message[DAEMON_MESSAGE_SIZE];

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted) {
		rlim_t before = limit.rlim_cur;

		limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			limit.rlim_cur = before;
	}
	*descriptors = limit.rlim_cur;
	if (*descriptors >= OTHER_DESCRIPTORS)
		return 0;
	snprintf(message, sizeof(message), "only %llu descriptors may be open, %d are needed without any connection",
		 (unsigned long long)*descriptors, OTHER_DESCRIPTORS);
	return fail(message);
}

int main(int argc, char **argv)
{
	static struct daemon daemon;
	char message[DAEMON_MESSAGE_SIZE];
	rlim_t descriptors;
	int code, finished;

	switch (config_read(&daemon.config, argc, argv, message, sizeof(message))) {
	case CONFIG_DONE:
		return EXIT_CODE_OK;
	case CONFIG_WRONG:
		fail(message);
		return EXIT_CODE_USAGE;
	case CONFIG_RUN:
		break;
	}
	signal(SIGPIPE, SIG_IGN);
	log_set_level((enum log_level)daemon.config.log_level);
	code = raise_descriptor_limit(&daemon.config, &descriptors);
	if (code != 0)
		return code;
	if (daemon_start(&daemon, message, sizeof(message)) != 0)
		return fail(message);
	if (descriptors < descriptors_wanted(&daemon.config))
		log_write(LOG_WARNING,
			  "only %llu descriptors may be open: fewer than max-connections (%llu) and %d more",
			  (unsigned long long)descriptors, (unsigned long long)daemon.config.max_connections,
			  OTHER_DESCRIPTORS);
	log_write(LOG_NOTICE, "kyneta-stored %s: ready, socket %s, database %s", KYNETA_VERSION, daemon.config.socket,
		  daemon.config.database);
	code = daemon_run(&daemon);
	finished = daemon_finish(&daemon);
	log_write(LOG_NOTICE, "ended");
	return code != EXIT_CODE_OK ? code : finished;
}
