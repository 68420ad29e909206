/* config_arguments: the command line (config_parts.h). */
#include "daemon/config_parts.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "daemon/log.h"

/* What getopt_long returns for the options that are not in the table; a row's number is counted from ROW_FIRST. */
enum {
	ARGUMENT_CONFIG = 256,
	ARGUMENT_CHECK,
	ARGUMENT_EXAMPLE,
	ARGUMENT_QUIET,
	ARGUMENT_VERSION,
	ARGUMENT_OPTIONS,
	ROW_FIRST
};

static const struct option others[] = {
    {"config", required_argument, NULL, ARGUMENT_CONFIG},
    {"check-config", no_argument, NULL, ARGUMENT_CHECK},
    {"example-config", no_argument, NULL, ARGUMENT_EXAMPLE},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, ARGUMENT_VERSION},
    {"options", no_argument, NULL, ARGUMENT_OPTIONS},
    {"quiet", no_argument, NULL, ARGUMENT_QUIET},
};

#define OTHER_COUNT (sizeof(others) / sizeof(others[0]))

/* Answers on stdout. */
static enum config_result answer(int option, struct complaints *complaints)
{
	if (option == ARGUMENT_VERSION)
		puts(PROGRAM " " KYNETA_VERSION);
	else if (option == ARGUMENT_OPTIONS)
		config_print_options(stdout);
	else if (option == ARGUMENT_EXAMPLE)
		config_print_example(stdout);
	else
		config_print_help(stdout);
	return config_flush(complaints);
}

void config_complain_of_name(struct complaints *complaints, const char *prefix, const char *what, const char *dashes,
			     const char *name)
{
	const struct option_row *meant = option_nearest(name);
	char quoted[OPTION_TEXT_SIZE];

	log_escape(name, strlen(name), quoted, sizeof(quoted));
	if (meant != NULL)
		complaints_add(complaints, "%sunknown %s %s%s; did you mean %s%s?", prefix, what, dashes, quoted,
			       dashes, meant->name);
	else
		complaints_add(complaints, "%sunknown %s %s%s; --help tells them all", prefix, what, dashes, quoted);
}

/* getopt_long found no such option, no value, or one too many: says which. */
static void complain_of_argument(struct complaints *complaints, int found, char **argv)
{
	const char *argument = argv[optind - 1];
	char takes[OPTION_TEXT_SIZE], name[OPTION_TEXT_SIZE];

	if (found == ':' && optopt >= ROW_FIRST) {
		option_print_takes(&option_rows[optopt - ROW_FIRST], takes);
		complaints_add(complaints, "--%s takes %s, got nothing", option_rows[optopt - ROW_FIRST].name, takes);
	} else if (found == ':') {
		complaints_add(complaints, "--config takes a file, got nothing");
	} else if (optopt >= ARGUMENT_CONFIG || (optopt == 'h' && strncmp(argument, "--", 2) == 0)) {
		log_escape(argument, strcspn(argument, "="), name, sizeof(name));
		complaints_add(complaints, "%s takes no value", name);
	} else if (optopt != 0) {
		complaints_add(complaints, "unknown option -%c; --help tells them all", optopt);
	} else {
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(argument + 2, "="), argument + 2);
		config_complain_of_name(complaints, "", "option", "--", name);
	}
}

static bool is_taken(const struct option_row *row, const char *text, struct complaints *complaints)
{
	static const struct config_source source = {.origin = CONFIG_COMMAND_LINE};
	struct config unused;

	return config_set(&unused, row, text, &source, complaints);
}

enum config_result config_read_arguments(struct config_arguments *arguments, int argc, char **argv,
					 struct complaints *complaints)
{
	struct option options[OTHER_COUNT + OPTION_COUNT + 1] = {0};
	bool unknown = false; /* then a word may be the value of an option that was not meant so */
	int found;

	memcpy(options, others, sizeof(others));
	for (size_t i = 0; i < OPTION_COUNT; i++)
		options[OTHER_COUNT + i] =
		    (struct option){option_rows[i].name, required_argument, NULL, ROW_FIRST + (int)i};
	optind = 0; /* glibc's way to begin anew */
	opterr = 0;
	while ((found = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (found) {
		case ARGUMENT_CONFIG:
			arguments->file = optarg;
			break;
		case ARGUMENT_CHECK:
			arguments->check = true;
			break;
		case ARGUMENT_QUIET:
			arguments->quiet = true;
			break;
		case 'h':
		case ARGUMENT_EXAMPLE:
		case ARGUMENT_VERSION:
		case ARGUMENT_OPTIONS:
			return answer(found, complaints);
		case ':':
		case '?':
			unknown = true;
			complain_of_argument(complaints, found, argv);
			break;
		default:
			/* What a later one overrides must be right all the same. */
			if (is_taken(&option_rows[found - ROW_FIRST], optarg, complaints))
				arguments->given[found - ROW_FIRST] = optarg;
		}
	}
	if (optind < argc && !unknown) {
		char quoted[OPTION_TEXT_SIZE];

		log_escape(argv[optind], strlen(argv[optind]), quoted, sizeof(quoted));
		complaints_add(complaints, "takes options only, got \"%s\"", quoted);
	}
	if (arguments->quiet && !arguments->check)
		complaints_add(complaints, "--quiet goes with --check-config");
	return complaints_any(complaints) ? CONFIG_WRONG : CONFIG_RUN;
}
