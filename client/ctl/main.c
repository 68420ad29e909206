/*
 * kyneta-storectl: the command line of kyneta-stored.
 */
#include <errno.h>

#include "client/ctl/commands.h"
#include "client/ctl/ctl.h"

static const struct command commands[] = {
    {"ping", COMMAND_PING, false, 0, 0, "", "is the daemon there?",
     "Prints what the daemon calls itself, the layout of the store (0: not made yet), and how long a round trip "
     "takes.\n",
     command_ping},
    {"stats", COMMAND_STATS, false, 0, 0, "", "the daemon's counters", "", command_stats},
    {"top", COMMAND_TOP, false, 0, 0, "", "what the daemon is doing, look after look",
     "Rates since the last look, and how long requests took in the last ten to twenty seconds, from the arrival of "
     "their\n"
     "last byte to their answer. Ends with --count, or when it is interrupted.\n",
     command_top},
    {"list", COMMAND_LIST, false, 0, 1, "[PREFIX]", "the ids of documents, those that begin with PREFIX",
     "One id per line, in the order of their bytes. Control characters and others that are not seen are written as\n"
     "\\n or \\u001b, and a backslash is doubled; --escaped takes ids in this form.\n",
     command_list},
    {"meta", COMMAND_META, false, 1, 1, "DOC", "the metadata of a document, and where it stands",
     "The position is what --expect of a write takes.\n", command_meta},
    {"load", COMMAND_LOAD, false, 1, 1, "DOC", "the records of a document",
     "One record per line: number, kind, encoding, size, version, and what its data begins with. With --json: the\n"
     "whole record, in the form that append and replace take.\n",
     command_load},
    {"append", COMMAND_APPEND, true, 1, -1, "DOC [RECORD...]", "add records at the end of a document",
     "The records are --meta and --entry or --binary, then the RECORD arguments, then the lines of --file; if there "
     "is\n"
     "none of these, the lines of the standard input. All of them are written together, or none.\n"
     "A record is a JSON object:\n"
     "  {\"kind\":\"meta\",\"meta\":{…}}\n"
     "  {\"kind\":\"entry\",\"payload\":{\"kind\":\"since\",\"encoding\":\"json\",\"data\":\"…\"},\"version\":\"…\"}\n"
     "with \"data\":{\"$base64\":\"…\"} for bytes. The metadata is kept as it is written, to the byte.\n"
     "Prints where the document stands then, as --expect takes it.\n",
     command_append},
    {"replace", COMMAND_REPLACE, true, 1, -1, "DOC [RECORD...]", "put records in the place of all that a document has",
     "Takes records as append does; at least one of them must be metadata.\n", command_replace},
    {"delete", COMMAND_DELETE, true, 1, 1, "DOC", "delete a document; fine if there is none", "", command_delete},
    {"replay", COMMAND_REPLAY, true, 1, 1, "FILE", "carry out a recorded session and check what it expects",
     "FILE (- is the standard input) may be gzipped. One call at a time, or with --in-flight as in the recording. "
     "Table\n"
     "names in the session are taken; --layout, else the session's first metadata, says which of them. Stops at the\n"
     "first mismatch, unless --continue is given.\n",
     command_replay},
    {"export", COMMAND_EXPORT, false, 0, 1, "[PREFIX]", "write documents to the standard output, for import",
     "One JSON object per record and line, which import and replay take. Each document is written as it stands when "
     "its\n"
     "turn comes; one that is replaced meanwhile begins anew after a line that deletes it.\n",
     command_export},
    {"import", COMMAND_IMPORT, true, 0, 1, "[FILE]", "write what export wrote, or the writes of a recorded session",
     "FILE (none or -: the standard input) may be gzipped. Documents that exist already are refused, unless --merge "
     "or\n"
     "--overwrite is given. Stops at the first failure; lines behind it that were under way may be written, and to go\n"
     "on start again with --overwrite. --continue passes over lines that are refused for what they say, not over a "
     "full\n"
     "disk or the like. Everything is on the disk when it ends well.\n",
     command_import},
    {NULL, COMMAND_PING, false, 0, 0, NULL, NULL, NULL, NULL},
};

static void help_program(void)
{
	puts("kyneta-storectl - look into and change the stores of kyneta-stored\n\n"
	     "usage: kyneta-storectl [OPTION...] COMMAND [ARGUMENT...]\n"
	     "       kyneta-storectl help COMMAND\n\ncommands:");
	for (const struct command *command = commands; command->name != NULL; command++)
		printf("  %-8s %-14s  %s\n", command->name, command->arguments, command->summary);
	puts("\noptions of every command, before or after it (-- ends them):");
	options_help(stdout, NULL);
	puts("\nWithout --json, output to a terminal is aligned; to a file or pipe it is one row per line with tabs, "
	     "sizes in "
	     "bytes.\n\nexit status:");
#define EXIT_ROW(value, status, meaning) printf("  %3d  %s\n", status, meaning);
	CTL_EXITS(EXIT_ROW)
#undef EXIT_ROW
}

static void help_command(const struct command *command)
{
	printf("usage: kyneta-storectl %s%s%s [OPTION...]\n\n%s\n%s%s\noptions:\n", command->name,
	       *command->arguments == '\0' ? "" : " ", command->arguments, command->summary,
	       *command->help == '\0' ? "" : "\n", command->help);
	options_help(stdout, command);
}

static int finish_output(struct ctl *ctl, int status)
{
	/* Nobody reads on: that is not worth a word. */
	if (output_finish(&ctl->output) == 0)
		return status;
	if (errno != EPIPE)
		ctl_problem(ctl, SPAN_LITERAL("(output)"), strerror(errno));
	return status == CTL_OK ? CTL_FAILED : status;
}

static int run(const struct options *options)
{
	struct ctl ctl = {.options = *options};
	int status;

	output_init(&ctl.output, options->json);
	loop_init(&ctl.loop, options->timeout_ms);
	loop_catch_signals();
	status = options->command->run(&ctl);
	ctl_close(&ctl);
	return finish_output(&ctl, status);
}

int main(int argc, char **argv)
{
	struct options options;
	int status;

	status = options_parse(&options, commands, argc, argv);
	if (status != CTL_OK)
		return status;
	switch (options.action) {
	case OPTIONS_VERSION:
		printf("kyneta-storectl %s\n", KYNETA_VERSION);
		break;
	case OPTIONS_HELP:
		if (options.command == NULL)
			help_program();
		else
			help_command(options.command);
		break;
	case OPTIONS_RUN:
		return run(&options);
	}
	return fflush(stdout) == 0 ? CTL_OK : CTL_FAILED;
}
