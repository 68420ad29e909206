/*
 * options: what was asked for on the command line.
 *
 * All options of all commands are rows of one table: names, which commands take them, help. They may stand before or
 * after the command. A mistake is told in one line on stderr and ends the program with CTL_USAGE.
 */
#ifndef KYNETA_CTL_OPTIONS_H
#define KYNETA_CTL_OPTIONS_H

#include <stdio.h>

#include "client/include/kyneta/store.h"

struct ctl;

/* The commands, as bits: which of them an option belongs to. */
enum command_bit {
	COMMAND_PING = 1 << 0,
	COMMAND_STATS = 1 << 1,
	COMMAND_LIST = 1 << 2,
	COMMAND_META = 1 << 3,
	COMMAND_LOAD = 1 << 4,
	COMMAND_APPEND = 1 << 5,
	COMMAND_REPLACE = 1 << 6,
	COMMAND_DELETE = 1 << 7,
	COMMAND_REPLAY = 1 << 8,
	COMMAND_EXPORT = 1 << 9,
	COMMAND_IMPORT = 1 << 10,
	COMMAND_TOP = 1 << 11,
};

/* One command of kyneta-storectl. */
struct command {
	const char *name;
	enum command_bit bit;
	bool writes;	       /* else the store is opened read-only */
	int least, most;       /* arguments; most -1: any number */
	const char *arguments; /* as in the usage: "DOC [RECORD…]" */
	const char *summary;   /* one line */
	const char *help;      /* the rest, lines */
	int (*run)(struct ctl *ctl);
};

enum options_action { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION };

struct options {
	enum options_action action;
	const struct command *command; /* NULL: none given */
	char **arguments;	       /* of the command */
	int argument_count;

	/* the store and the way to it */
	const char *socket;	   /* never NULL */
	const char *socket_origin; /* where that name comes from: "--socket", "$KYNETA_STORE_SOCKET", "the default" */
	const char *meta_table, *records_table, *store_table; /* NULL: the defaults */
	int layout;					      /* 0: not given */
	int durability;					      /* enum kyneta_store_durability */
	bool exclusive;
	int timeout_ms; /* -1: wait for ever */

	int interval_ms; /* top */
	uint64_t count;	 /* top; 0: until interrupted */

	bool json;
	bool escaped;
	bool has_expect;
	struct kyneta_store_position expect;

	/* records to write */
	const char *file;
	const char *meta;
	const char *entry;   /* data that is a string */
	const char *binary;  /* a file whose bytes are the data */
	const char *version; /* of the entry */
	const char *lineage;
	int kind; /* enum kyneta_store_entry_kind */

	/* replay, import */
	bool in_flight;
	bool keep_going;
	bool merge;
	bool overwrite;
	const char *store;
};

/*
 * options_parse(options, commands, argc, argv) - read the command line. @commands ends with a row without a name. argv
 * may be permuted and must outlive @options. 0, or CTL_USAGE after telling on stderr what is wrong.
 */
int options_parse(struct options *options, const struct command *commands, int argc, char **argv);

/* options_help(file, command) - list the options of a command; NULL: those that all commands take. */
void options_help(FILE *file, const struct command *command);

#endif
