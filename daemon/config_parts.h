/*
 * config_parts: what config's files use of each other (config.h). Nobody else includes it.
 *
 *   config.c            a configuration: made, filled value by value, checked as a whole, freed
 *   config_file.c       the file and its drop-ins
 *   config_arguments.c  the command line
 *   config_print.c      what is printed: help, the table of options, a configuration, the example of one
 */
#ifndef KYNETA_DAEMON_CONFIG_PARTS_H
#define KYNETA_DAEMON_CONFIG_PARTS_H

#include <stdio.h>

#include "daemon/config.h"
#include "daemon/option.h"

#define PROGRAM "kyneta-stored"

/* ---- config.c ---- */

/* config_keep_text(config, text) - a copy that lives as long as @config; NULL without memory. */
const char *config_keep_text(struct config *config, const char *text);

/*
 * config_set(config, row, text, source, complaints) - take @text for this option, or complain. @text and the name in
 * @source must live as long as @config.
 */
bool config_set(struct config *config, const struct option_row *row, const char *text,
		const struct config_source *source, struct complaints *complaints);

/* config_print_field(config, row, out) - the option's value, as it would be taken; a long path is cut. */
void config_print_field(const struct config *config, const struct option_row *row, char out[OPTION_TEXT_SIZE]);

/* ---- config_file.c ---- */

/*
 * config_read_files(config, path, complaints) - @path, which must be there (NULL: the default path, which need not),
 * and its drop-ins.
 */
void config_read_files(struct config *config, const char *path, struct complaints *complaints);

/* ---- config_arguments.c ---- */

struct config_arguments {
	const char *given[OPTION_COUNT]; /* the text for each row; NULL: not given */
	const char *file;		 /* --config; NULL: not given */
	bool check;			 /* --check-config */
	bool quiet;			 /* --quiet */
};

/* config_read_arguments(arguments, argc, argv, complaints) - answers --help and its like on stdout. */
enum config_result config_read_arguments(struct config_arguments *arguments, int argc, char **argv,
					 struct complaints *complaints);

/* config_complain_of_name(complaints, prefix, what, dashes, name) - there is no such option or key; which was meant? */
void config_complain_of_name(struct complaints *complaints, const char *prefix, const char *what, const char *dashes,
			     const char *name);

/* ---- config_print.c ---- */

void config_print_help(FILE *out);
void config_print_options(FILE *out);
void config_print_example(FILE *out);

/* config_print(out, config) - every option and setting as it stands in a file, each with where it is from. */
void config_print(FILE *out, const struct config *config);

/* config_flush(complaints) - what was printed is out: CONFIG_DONE; or it is not, with a complaint: CONFIG_WRONG. */
enum config_result config_flush(struct complaints *complaints);

#endif
