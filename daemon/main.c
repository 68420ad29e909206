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

/* The command line, to be read again on SIGHUP. */
struct command_line {
	struct daemon *daemon;
	int argc;
	char **argv;
};

/* Descriptors beside those of connections: the database's, the loop's, standard ones, and some to spare. */
#define OTHER_DESCRIPTORS 64

/* What log_escape makes of a byte at most. */
#define ESCAPED_SIZE 4

/* One line, whatever is in the names that it quotes. Why it does not start is told whatever the log-level. */
static int fail(int code, const char *message)
{
	char line[ESCAPED_SIZE * DAEMON_MESSAGE_SIZE + 1];

	log_escape(message, strlen(message), line, sizeof(line));
	if (log_to_journal())
		log_write(LOG_CRITICAL, "%s", message);
	else
		fprintf(stderr, "kyneta-stored: %s\n", line);
	supervise_status("%s", line);
	return code;
}

static void print_complaint(void *context, const char *line)
{
	(void)context;
	fail(EXIT_CODE_USAGE, line);
}

static void log_complaint(void *context, const char *line)
{
	(void)context;
	log_write(LOG_ERROR, "the configuration stays as it was: %s", line);
}

/* ---- descriptors ---- */

static rlim_t descriptors_wanted(const struct config *config)
{
	return (rlim_t)config->max_connections + OTHER_DESCRIPTORS;
}

/* Raises the limit as far as it goes; returns how many may be open now. */
static rlim_t raise_descriptor_limit(const struct config *config)
{
	rlim_t wanted = descriptors_wanted(config);
	struct rlimit limit = {wanted, wanted};

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted) {
		rlim_t before = limit.rlim_cur;

		limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			limit.rlim_cur = before;
	}
	return limit.rlim_cur;
}

/* The daemon itself cannot do with so few. */
static int fail_for_descriptors(rlim_t descriptors)
{
	char message[DAEMON_MESSAGE_SIZE];

	snprintf(message, sizeof(message), "only %llu descriptors may be open, %d are needed without any connection",
		 (unsigned long long)descriptors, OTHER_DESCRIPTORS);
	return fail(EXIT_CODE_START, message);
}

static void warn_of_descriptors(const struct config *config, rlim_t descriptors)
{
	if (descriptors < descriptors_wanted(config))
		log_write(
		    LOG_WARNING, "only %llu descriptors may be open: fewer than max-connections (%llu) and %d more",
		    (unsigned long long)descriptors, (unsigned long long)config->max_connections, OTHER_DESCRIPTORS);
}

/* ---- */

/* SIGHUP: everything is read again, and taken as a whole or not at all. Loop thread. */
static void reload(void *context)
{
	const struct command_line *line = context;
	struct complaints complaints = {0};
	struct config *config;

	supervise_reloading();
	if (config_read(&config, line->argc, line->argv, &complaints) != CONFIG_RUN)
		complaints_tell(&complaints, log_complaint, NULL);
	else if (daemon_reload(line->daemon, config) == 0)
		warn_of_descriptors(config, raise_descriptor_limit(config));
	else
		config_unref(config);
	complaints_free(&complaints);
	supervise_ready();
}

int main(int argc, char **argv)
{
	static struct daemon daemon;
	struct command_line command_line = {&daemon, argc, argv};
	struct complaints complaints = {0};
	char message[DAEMON_MESSAGE_SIZE];
	rlim_t descriptors;
	sigset_t hangup; /* waits until there is a loop that reads the configuration again */
	int code, finished;

	sigemptyset(&hangup);
	sigaddset(&hangup, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &hangup, NULL);
	switch (config_read(&daemon.config, argc, argv, &complaints)) {
	case CONFIG_DONE:
		return EXIT_CODE_OK;
	case CONFIG_WRONG:
		complaints_tell(&complaints, print_complaint, NULL);
		code = complaints.no_memory ? EXIT_CODE_LATER : EXIT_CODE_USAGE;
		complaints_free(&complaints);
		return code;
	case CONFIG_RUN:
		break;
	}
	signal(SIGPIPE, SIG_IGN);
	log_set_level((enum log_level)daemon.config->log_level);
	descriptors = raise_descriptor_limit(daemon.config);
	if (descriptors < OTHER_DESCRIPTORS)
		return fail_for_descriptors(descriptors);
	if (supervise_take_sockets(&daemon.sockets, message, sizeof(message)) != 0)
		return fail(EXIT_CODE_START, message);
	code = daemon_start(&daemon, message, sizeof(message));
	if (code != 0)
		return fail(code, message);
	warn_of_descriptors(daemon.config, descriptors);
	log_write(LOG_NOTICE, "kyneta-stored %s: ready, socket %s, database %s", KYNETA_VERSION, daemon.listens_on,
		  daemon.config->database);
	daemon.server.on_hangup = reload;
	daemon.server.hangup_context = &command_line;
	code = daemon_run(&daemon);
	finished = daemon_finish(&daemon);
	log_write(LOG_NOTICE, "ended");
	return code != EXIT_CODE_OK ? code : finished;
}
