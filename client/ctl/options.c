#include "client/ctl/options.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/ctl.h"

#define ALL                                                                                                            \
	(COMMAND_PING | COMMAND_STATS | COMMAND_LIST | COMMAND_META | COMMAND_LOAD | COMMAND_APPEND |                  \
	 COMMAND_REPLACE | COMMAND_DELETE | COMMAND_REPLAY | COMMAND_EXPORT | COMMAND_IMPORT | COMMAND_TOP)
#define ONE_WRITE (COMMAND_APPEND | COMMAND_REPLACE | COMMAND_DELETE)
#define WRITES	  (ONE_WRITE | COMMAND_REPLAY | COMMAND_IMPORT)
#define RECORDS	  (COMMAND_APPEND | COMMAND_REPLACE)
#define IDS	  (COMMAND_LIST | COMMAND_META | COMMAND_LOAD | ONE_WRITE | COMMAND_EXPORT)

/* value, name, letter or 0, argument or NULL, commands, help */
#define OPTIONS(X)                                                                                                     \
	X(SOCKET, "socket", 's', "PATH", ALL, "the daemon's socket (else $KYNETA_STORE_SOCKET, else the default)")     \
	X(JSON, "json", 'j', NULL, ALL, "for programs: one JSON object per line")                                      \
	X(TIMEOUT, "timeout", 't', "SECONDS", ALL, "how long to wait for an answer; 0: for ever (default 5)")          \
	X(META_TABLE, "meta-table", 0, "NAME", ALL, "the store's table of metadata")                                   \
	X(RECORDS_TABLE, "records-table", 0, "NAME", ALL, "the store's table of records")                              \
	X(STORE_TABLE, "store-table", 0, "NAME", ALL, "the store's table of its format (layout 2)")                    \
	X(HELP, "help", 'h', NULL, ALL, "this text")                                                                   \
	X(PROGRAM_VERSION, "version", 'V', NULL, 0, "the version of this program")                                     \
	X(ESCAPED, "escaped", 'e', NULL, IDS, "DOC or PREFIX is written as `list` prints it: \\n, \\u0000, \\\\ …")    \
	X(LAYOUT, "layout", 0, "1|2", WRITES,                                                                          \
	  "layout of a store that is not made yet (default: by its first metadata)")                                   \
	X(DURABILITY, "durability", 0, "committed|synced", WRITES,                                                     \
	  "survive a crash of the daemon, or power loss too (default: the daemon's)")                                  \
	X(EXCLUSIVE, "exclusive", 0, NULL, WRITES,                                                                     \
	  "refuse if another client writes to the store, and keep others out")                                         \
	X(EXPECT, "expect", 0, "GEN:NEXT", ONE_WRITE, "only if the document stands exactly there (see `meta`)")        \
	X(FILE_NAME, "file", 'f', "FILE", RECORDS, "take the records from FILE, one JSON record per line")             \
	X(META, "meta", 0, "JSON", RECORDS, "a meta record, before any entry")                                         \
	X(ENTRY, "entry", 0, "DATA", RECORDS, "an entry whose data is this string")                                    \
	X(BINARY, "binary", 0, "FILE", RECORDS, "an entry whose data are the bytes of FILE (-: standard input)")       \
	X(VERSION, "version", 0, "V", RECORDS, "the entry's version (default: empty)")                                 \
	X(KIND, "kind", 0, "since|entirety", RECORDS, "the entry's kind (default since)")                              \
	X(LINEAGE, "lineage", 0, "L", RECORDS, "the entry's lineage (default: none)")                                  \
	X(IN_FLIGHT, "in-flight", 0, NULL, COMMAND_REPLAY, "keep as many calls unanswered as the recording had")       \
	X(CONTINUE, "continue", 0, NULL, COMMAND_REPLAY | COMMAND_IMPORT, "go on after a failure")                     \
	X(MERGE, "merge", 0, NULL, COMMAND_IMPORT, "apply every line to what is there: append to existing documents")  \
	X(OVERWRITE, "overwrite", 0, NULL, COMMAND_IMPORT, "delete a document that exists before its first line")      \
	X(STORE, "store", 0, "NAME", COMMAND_IMPORT, "the store whose lines are taken from a session (default main)")  \
	X(INTERVAL, "interval", 'i', "SECONDS", COMMAND_TOP, "between two looks (default 1)")                          \
	X(LOOKS, "count", 'n', "N", COMMAND_TOP, "end after so many looks (default: when interrupted)")

enum option_id {
#define OPTION_ID(id, name, letter, argument, commands, help) OPTION_##id,
	OPTIONS(OPTION_ID) OPTION_COUNT
};

static const struct row {
	const char *name;
	char letter;
	const char *argument;
	unsigned commands;
	const char *help;
} rows[OPTION_COUNT] = {
#define OPTION_ROW(id, name, letter, argument, commands, help) [OPTION_##id] = {name, letter, argument, commands, help},
    OPTIONS(OPTION_ROW)};

/* What getopt_long gives for a row: beyond all letters. */
#define FIRST_VALUE 256

static int wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int wrong(const char *format, ...)
{
	va_list arguments;

	fputs("kyneta-storectl: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs(" (see kyneta-storectl help)\n", stderr);
	return CTL_USAGE;
}

static int wrong_value(enum option_id id, const char *value)
{
	return wrong("--%s takes %s, not '%s'", rows[id].name, rows[id].argument, value);
}

/* ---- values ---- */

static bool parse_choice(const char *value, const char *first, const char *second, int *choice)
{
	if (strcmp(value, first) == 0)
		*choice = 0;
	else if (strcmp(value, second) == 0)
		*choice = 1;
	else
		return false;
	return true;
}

static bool parse_timeout(const char *value, int *timeout_ms)
{
	char *end;
	double seconds = strtod(value, &end);

	if (end == value || *end != '\0' || !(seconds >= 0 && seconds <= 1e6))
		return false;
	*timeout_ms = seconds > 0 ? (int)(seconds * 1000 + 0.999) : -1;
	return true;
}

static bool parse_number(const char **at, uint64_t *number)
{
	const char *start = *at;

	*number = 0;
	for (; **at >= '0' && **at <= '9'; ++*at)
		if (__builtin_mul_overflow(*number, 10, number) ||
		    __builtin_add_overflow(*number, (uint64_t)(**at - '0'), number))
			return false;
	return *at != start;
}

static bool parse_position(const char *value, struct kyneta_store_position *position)
{
	return parse_number(&value, &position->generation) && *value++ == ':' &&
	       parse_number(&value, &position->next) && *value == '\0';
}

/* Options that only remember their argument. */
static const char **string_place(struct options *options, enum option_id id)
{
	switch ((int)id) {
	case OPTION_META_TABLE:
		return &options->meta_table;
	case OPTION_RECORDS_TABLE:
		return &options->records_table;
	case OPTION_STORE_TABLE:
		return &options->store_table;
	case OPTION_FILE_NAME:
		return &options->file;
	case OPTION_META:
		return &options->meta;
	case OPTION_ENTRY:
		return &options->entry;
	case OPTION_BINARY:
		return &options->binary;
	case OPTION_VERSION:
		return &options->version;
	case OPTION_LINEAGE:
		return &options->lineage;
	case OPTION_STORE:
		return &options->store;
	default:
		return NULL;
	}
}

/* Options that are there or not. */
static bool *switch_place(struct options *options, enum option_id id)
{
	switch ((int)id) {
	case OPTION_JSON:
		return &options->json;
	case OPTION_ESCAPED:
		return &options->escaped;
	case OPTION_EXCLUSIVE:
		return &options->exclusive;
	case OPTION_IN_FLIGHT:
		return &options->in_flight;
	case OPTION_CONTINUE:
		return &options->keep_going;
	case OPTION_MERGE:
		return &options->merge;
	case OPTION_OVERWRITE:
		return &options->overwrite;
	default:
		return NULL;
	}
}

static bool apply_value(struct options *options, enum option_id id, const char *value)
{
	switch ((int)id) {
	case OPTION_SOCKET:
		options->socket = value;
		options->socket_origin = "--socket";
		return *value != '\0';
	case OPTION_TIMEOUT:
		return parse_timeout(value, &options->timeout_ms);
	case OPTION_LAYOUT:
		if (!parse_choice(value, "1", "2", &options->layout))
			return false;
		options->layout++;
		return true;
	case OPTION_DURABILITY:
		return parse_choice(value, "committed", "synced", &options->durability);
	case OPTION_KIND:
		return parse_choice(value, "entirety", "since", &options->kind);
	case OPTION_INTERVAL:
		return parse_timeout(value, &options->interval_ms) && options->interval_ms > 0;
	case OPTION_LOOKS:
		return parse_number(&value, &options->count) && *value == '\0' && options->count > 0;
	case OPTION_EXPECT:
		options->has_expect = true;
		return parse_position(value, &options->expect);
	default:
		return false;
	}
}

static int apply(struct options *options, enum option_id id, const char *value)
{
	const char **string = string_place(options, id);
	bool *flag = switch_place(options, id);

	if (id == OPTION_HELP || id == OPTION_PROGRAM_VERSION)
		options->action = id == OPTION_HELP ? OPTIONS_HELP : OPTIONS_VERSION;
	else if (flag != NULL)
		*flag = true;
	else if (string != NULL)
		*string = value;
	else if (!apply_value(options, id, value))
		return wrong_value(id, value);
	return 0;
}

/* ---- the command line ---- */

/* Two options are called version: that of the program, and that of an entry, of the commands that write one. */
static bool offered(enum option_id id, const struct command *command)
{
	bool entry = command != NULL && (command->bit & RECORDS) != 0;

	if (id == OPTION_VERSION || id == OPTION_PROGRAM_VERSION)
		return (id == OPTION_VERSION) == entry;
	return true;
}

/*
 * Reads options up to the first argument (@command NULL), or to the end. Each option seen is noted in @seen, so that
 * options before the command can be held against it.
 */
static int parse_some(struct options *options, const struct command *command, int argc, char **argv, bool *seen)
{
	struct option longs[OPTION_COUNT + 1] = {{0}};
	char letters[2 * OPTION_COUNT + 3] = "";
	size_t count = 0, letter = 0;
	int value, rc;

	letters[letter++] = command == NULL ? '+' : '-';
	letters[letter++] = ':';
	for (int id = 0; id < OPTION_COUNT; id++) {
		int argument = rows[id].argument == NULL ? no_argument : required_argument;

		if (!offered((enum option_id)id, command))
			continue;
		longs[count++] = (struct option){rows[id].name, argument, NULL, FIRST_VALUE + id};
		if (rows[id].letter != 0) {
			letters[letter++] = rows[id].letter;
			if (argument == required_argument)
				letters[letter++] = ':';
		}
	}
	opterr = 0;
	while ((value = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		int id = value - FIRST_VALUE;

		if (value == 1) {
			options->arguments[options->argument_count++] = optarg;
			continue;
		}
		if (value == '?' && optopt >= FIRST_VALUE)
			return wrong("--%s takes no argument", rows[optopt - FIRST_VALUE].name);
		if (value == '?' && optopt != 0)
			return wrong("unknown option -%c", optopt);
		if (value == '?')
			return wrong("unknown option %s", argv[optind - 1]);
		if (value == ':')
			return wrong("%s needs an argument", argv[optind - 1]);
		for (int i = 0; id < 0 && i < OPTION_COUNT; i++)
			if (rows[i].letter == value)
				id = i;
		seen[id] = true;
		rc = apply(options, (enum option_id)id, optarg);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int check(const struct options *options, const bool *seen)
{
	const struct command *command = options->command;

	for (int id = 0; id < OPTION_COUNT; id++)
		if (seen[id] && id != OPTION_PROGRAM_VERSION && (rows[id].commands & (unsigned)command->bit) == 0)
			return wrong("--%s is not an option of %s", rows[id].name, command->name);
	if (options->argument_count < command->least || (command->most >= 0 && options->argument_count > command->most))
		return wrong("usage: kyneta-storectl %s%s%s", command->name, *command->arguments == '\0' ? "" : " ",
			     command->arguments);
	if (options->merge && options->overwrite)
		return wrong("--merge and --overwrite exclude each other");
	if (options->entry != NULL && options->binary != NULL)
		return wrong("--entry and --binary exclude each other");
	if (options->entry == NULL && options->binary == NULL &&
	    (seen[OPTION_VERSION] || seen[OPTION_KIND] || seen[OPTION_LINEAGE]))
		return wrong(
		    "--version, --kind and --lineage say more about --entry or --binary, and neither is given");
	return 0;
}

static void set_defaults(struct options *options)
{
	const char *socket = getenv("KYNETA_STORE_SOCKET");

	*options = (struct options){
	    .socket = KYNETA_STORE_DEFAULT_SOCKET,
	    .socket_origin = "the default",
	    .durability = KYNETA_STORE_DEFAULT,
	    .timeout_ms = 5000,
	    .interval_ms = 1000,
	    .version = "",
	    .kind = KYNETA_STORE_SINCE,
	    .store = "main",
	};
	if (socket != NULL && *socket != '\0') {
		options->socket = socket;
		options->socket_origin = "$KYNETA_STORE_SOCKET";
	}
}

static const struct command *find(const struct command *commands, const char *name)
{
	for (; commands->name != NULL; commands++)
		if (strcmp(commands->name, name) == 0)
			return commands;
	return NULL;
}

/* `help [COMMAND]` is the same as `[COMMAND] --help`. */
static int parse_help(struct options *options, const struct command *commands, int argc, char **argv)
{
	options->action = OPTIONS_HELP;
	if (optind + 1 >= argc)
		return 0;
	options->command = find(commands, argv[optind + 1]);
	return options->command != NULL ? 0 : wrong("unknown command '%s'", argv[optind + 1]);
}

int options_parse(struct options *options, const struct command *commands, int argc, char **argv)
{
	bool seen[OPTION_COUNT] = {false};
	int rc;

	set_defaults(options);
	optind = 0;
	rc = parse_some(options, NULL, argc, argv, seen);
	if (rc != 0 || options->action != OPTIONS_RUN)
		return rc;
	if (optind >= argc)
		return wrong("no command");
	if (strcmp(argv[optind], "help") == 0)
		return parse_help(options, commands, argc, argv);
	options->command = find(commands, argv[optind]);
	if (options->command == NULL)
		return wrong("unknown command '%s'", argv[optind]);

	/* The arguments are gathered where the command was; getopt has gone past whatever is overwritten. */
	options->arguments = argv + optind;
	argc -= optind;
	argv += optind;
	optind = 0;
	rc = parse_some(options, options->command, argc, argv, seen);
	if (rc != 0 || options->action != OPTIONS_RUN)
		return rc;
	for (; optind < argc; optind++)
		options->arguments[options->argument_count++] = argv[optind];
	return check(options, seen);
}

void options_help(FILE *file, const struct command *command)
{
	for (int id = 0; id < OPTION_COUNT; id++) {
		bool common = rows[id].commands == ALL;
		char name[64], letter[8] = "";

		if (command == NULL ? !common && id != OPTION_PROGRAM_VERSION
				    : (rows[id].commands & (unsigned)command->bit) == 0)
			continue;
		if (rows[id].letter != 0)
			snprintf(letter, sizeof(letter), "-%c, ", rows[id].letter);
		snprintf(name, sizeof(name), "%s--%s%s%s", letter, rows[id].name, rows[id].argument == NULL ? "" : " ",
			 rows[id].argument == NULL ? "" : rows[id].argument);
		fprintf(file, "  %-30s %s\n", name, rows[id].help);
	}
}
