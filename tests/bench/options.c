#include "tests/bench/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The document that is loaded beside the work: far behind the work's own, in records of this size. */
#define BESIDE_DOCUMENT 90000000
#define BESIDE_BYTES	(64 << 10)

static const char usage_text[] =
    "Usage: kyneta-store-bench [options] [-- options of the daemon]\n"
    "\n"
    "Without options that say what work: synced appends per second through the daemon, at 1 connection with 1 request\n"
    "in flight, 8 with 1, and 8 with 64, beside a plain SQLite loop in this process with one transaction per append.\n"
    "Else the work that is asked for, on a daemon of its own for each round, and how long the answers took.\n"
    "\n"
    "How many\n"
    "  --connections N       (1)\n"
    "  --in-flight N         requests without an answer on each connection (1)\n"
    "  --generators N        processes that make the load (1)\n"
    "  --rate R              requests per second, whatever the answers do: latencies count from the moment at which a\n"
    "                        request was due; without it each answer sends the next request\n"
    "What\n"
    "  --mix NAME=WEIGHT,…   of append, replace, load_all, current_meta and list (append=1)\n"
    "  --documents N         (one for each connection)\n"
    "  --records N           in each document beforehand, beside its metadata (0)\n"
    "  --matches N           ids that a list finds, 1, 10, 100 … (1000)\n"
    "  --bytes N             of a record's data (200)\n"
    "  --text                strings, not bytes\n"
    "  --durability D        synced or committed (synced)\n"
    "  --trace FILE          the recorded calls of FILE, or of lines A to B with FILE:A-B; each connection is a host\n"
    "                        with documents of its own\n"
    "  --no-fill             the documents are there\n"
    "Meanwhile\n"
    "  --idle N              connections that do nothing\n"
    "  --load-beside N       one more connection loads a document of N bytes again and again\n"
    "How long\n"
    "  --seconds S           of each measurement (1)\n"
    "  --warm-up S           before it (0.2)\n"
    "  --requests N          exactly so many instead\n"
    "  --rounds N            alternations; medians are taken (5)\n"
    "Beside what\n"
    "  --raw                 SQLite in this process, with the daemon's own order, batches and checkpoints\n"
    "  --raw-defaults        the same, with SQLite's own cache and checkpoints\n"
    "  --slow-fsync MS       each fsync takes so much longer, here and there\n"
    "On what\n"
    "  --backend NAME        %s, or processes (each opens the SQLite file itself) (kyneta)\n"
    "  --address ADDRESS     a server that runs already: a daemon's or Redis's socket, PostgreSQL's connection string\n"
    "  --daemon PATH         the daemon to start (kyneta-stored of this build)\n"
    "  --folder PATH         where the databases go ($TMPDIR, else /tmp)\n"
    "As what\n"
    "  --json                every round's figures, for programs\n"
    "  --plot FILE           latencies by percentile, as SVG\n"
    "  --machine             nothing but what the disk's sync and the kernel's wake-ups take here\n"
    "  --check               fail if the first figure's ratio at 8 x 64 is below 5\n"
    "\n"
    "Numbers take k, M and G (1024). Exit status: 0; 1 if something failed, or --check missed its goal; 2 bad "
    "options.\n";

static _Noreturn void bad(const char *option, const char *takes, const char *text)
{
	fprintf(stderr, "kyneta-store-bench: --%s takes %s, got \"%s\"\n", option, takes, text);
	exit(2);
}

static double number(const char *option, const char *text, double least, double most)
{
	char *end, takes[96];
	double value = strtod(text, &end);

	if (end != text && *end != '\0' && strchr("kMG", *end) != NULL && end[1] == '\0')
		value *= *end == 'k' ? 1024.0 : *end == 'M' ? 1048576.0 : 1073741824.0;
	else if (*end != '\0' || end == text)
		value = -1;
	snprintf(takes, sizeof(takes), "a number from %.10g to %.10g", least, most);
	if (!(value >= least && value <= most))
		bad(option, takes, text);
	return value;
}

static void parse_weight(struct work *work, char *pair)
{
	char *equals = strchr(pair, '=');
	unsigned i = 0;

	if (equals != NULL)
		*equals = '\0';
	while (i < WORK_OPERATIONS && strcmp(pair, work_operation_name((enum work_operation)i)) != 0)
		i++;
	if (i == WORK_OPERATIONS)
		bad("mix", "append, replace, load_all, current_meta and list with weights", pair);
	work->weights[i] = equals == NULL ? 1 : (unsigned)number("mix", equals + 1, 0, 1e6);
}

static void parse_mix(struct work *work, char *text)
{
	unsigned sum = 0;

	memset(work->weights, 0, sizeof(work->weights));
	for (char *pair = strtok(text, ","); pair != NULL; pair = strtok(NULL, ","))
		parse_weight(work, pair);
	for (unsigned i = 0; i < WORK_OPERATIONS; i++)
		sum += work->weights[i];
	if (sum == 0)
		bad("mix", "at least one weight above 0", text);
}

/* One of the options that say what work; false: another one. */
static bool parse_work(struct work *work, int option, char *text)
{
	switch (option) {
	case 'c':
		work->connections = (unsigned)number("connections", text, 1, 1e6);
		return true;
	case 'i':
		work->in_flight = (unsigned)number("in-flight", text, 1, 65536);
		return true;
	case 'g':
		work->generators = (unsigned)number("generators", text, 1, 1024);
		return true;
	case 'a':
		work->rate = number("rate", text, 0.001, 1e9);
		return true;
	case 'm':
		parse_mix(work, text);
		return true;
	case 'D':
		work->documents = (uint64_t)number("documents", text, 1, 8e7);
		return true;
	case 'n':
		work->records = (uint64_t)number("records", text, 0, 1e10);
		return true;
	case 'M':
		work->matches = (uint64_t)number("matches", text, 1, 1e8);
		return true;
	case 't':
		work->text = true;
		return true;
	case 'y':
		if (strcmp(text, "synced") != 0 && strcmp(text, "committed") != 0)
			bad("durability", "synced or committed", text);
		work->durability = text[0] == 's' ? KYNETA_STORE_SYNCED : KYNETA_STORE_COMMITTED;
		return true;
	case 'q':
		work->requests = (uint64_t)number("requests", text, 1, 1e15);
		return true;
	default:
		return false;
	}
}

static void parse_backend(struct measure_options *measure, const char *text)
{
	measure->backend = strcmp(text, "processes") == 0 ? NULL : backend_find(text);
	if (measure->backend == NULL && strcmp(text, "processes") != 0) {
		char takes[128];

		snprintf(takes, sizeof(takes), "%s or processes", backend_names());
		bad("backend", takes, text);
	}
}

/* One of the options that say how it is measured; false: another one. */
static bool parse_measure(struct options *options, int option, char *text)
{
	struct measure_options *measure = &options->measure;

	switch (option) {
	case 'T':
		options->trace_name = text;
		return true;
	case 'N':
		measure->fill = false;
		return true;
	case 'I':
		measure->idle = (unsigned)number("idle", text, 1, 1e6);
		return true;
	case 'L':
		options->beside.records = (uint64_t)number("load-beside", text, 1, 1e12) / BESIDE_BYTES + 1;
		measure->beside = &options->beside;
		return true;
	case 'R':
		measure->raw = true;
		return true;
	case 'S':
		measure->raw_defaults = true;
		return true;
	case 'f':
		measure->target.slow_fsync_us = (uint64_t)(number("slow-fsync", text, 0, 10000) * 1000);
		return true;
	case 'B':
		parse_backend(measure, text);
		return true;
	case 'A':
		measure->address = text;
		return true;
	default:
		return false;
	}
}

/* One of the options that do not say what work. */
static bool parse_common(struct options *options, int option, char *text)
{
	struct measure_options *measure = &options->measure;

	switch (option) {
	case 'd':
		snprintf(options->daemon, sizeof(options->daemon), "%s", text);
		return true;
	case 'F':
		measure->target.folder = text;
		return true;
	case 'r':
		measure->rounds = (unsigned)number("rounds", text, 1, ROUNDS_MAX);
		return true;
	case 's':
		options->work.seconds = number("seconds", text, 0.01, 86400);
		return true;
	case 'w':
		options->work.warm_up = number("warm-up", text, 0, 86400);
		return true;
	case 'b':
		options->work.bytes = (size_t)number("bytes", text, 0, 64 << 20);
		return true;
	case 'k':
		options->check = true;
		return true;
	default:
		return false;
	}
}

/* The daemon and the libraries of the same build. */
static void find_build(struct options *options)
{
	char self[sizeof(options->libraries)];
	ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[size < 0 ? 0 : size] = '\0';
	slash = strrchr(self, '/');
	if (slash != NULL)
		*slash = '\0';
	memcpy(options->libraries, self, sizeof(self));
	snprintf(options->daemon, sizeof(options->daemon), "%s/../../daemon/kyneta-stored", self);
}

static void set_defaults(struct options *options)
{
	*options = (struct options){
	    .first = true,
	    .work = {.connections = 1,
		     .in_flight = 1,
		     .generators = 1,
		     .matches = 1000,
		     .bytes = 200,
		     .durability = KYNETA_STORE_SYNCED,
		     .weights = {[WORK_APPEND] = 1},
		     .warm_up = 0.2,
		     .seconds = 1},
	    .beside = {.connections = 1,
		       .in_flight = 1,
		       .generators = 1,
		       .documents = 1,
		       .first_document = BESIDE_DOCUMENT,
		       .bytes = BESIDE_BYTES,
		       .weights = {[WORK_LOAD] = 1}},
	    .measure = {.backend = &backend_kyneta, .fill = true, .rounds = 5},
	};
	find_build(options);
	options->measure.work = &options->work;
	options->measure.target.folder = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
	options->measure.target.daemon = options->daemon;
	options->measure.target.libraries = options->libraries;
}

static _Noreturn void cannot(const char *why)
{
	fprintf(stderr, "kyneta-store-bench: %s\n", why);
	exit(2);
}

/* What one option alone cannot say. */
static void check_together(struct options *options)
{
	const struct measure_options *measure = &options->measure;
	struct work *work = &options->work;
	bool own_daemon = measure->backend == &backend_kyneta && measure->address == NULL;

	if ((measure->raw || measure->raw_defaults) && !own_daemon)
		cannot("--raw needs the daemon's own batches, so a daemon that is started here");
	if (measure->raw && (work->weights[WORK_LOAD] | work->weights[WORK_META] | work->weights[WORK_LIST]) != 0)
		cannot("--raw is for writes only");
	if (measure->backend != NULL && !own_daemon && measure->address == NULL)
		cannot("this --backend needs the --address of a server that runs");
	if ((measure->beside != NULL || measure->idle > 0) && measure->backend != &backend_kyneta)
		cannot("--load-beside and --idle are for the daemon only");
	for (unsigned i = 0; measure->backend != NULL && i < WORK_OPERATIONS; i++)
		if (work->weights[i] > 0 && (measure->backend->operations & 1u << i) == 0)
			cannot("this --backend cannot do all of the --mix");
	if (work->generators > work->connections)
		work->generators = work->connections;
	if (work->rate > 0 && work->requests > 0)
		cannot("--rate goes on for --seconds, not for --requests");
}

void options_parse(struct options *options, int argc, char **argv)
{
	static const struct option list[] = {
	    {"connections", required_argument, NULL, 'c'},
	    {"in-flight", required_argument, NULL, 'i'},
	    {"generators", required_argument, NULL, 'g'},
	    {"rate", required_argument, NULL, 'a'},
	    {"mix", required_argument, NULL, 'm'},
	    {"documents", required_argument, NULL, 'D'},
	    {"records", required_argument, NULL, 'n'},
	    {"matches", required_argument, NULL, 'M'},
	    {"text", no_argument, NULL, 't'},
	    {"durability", required_argument, NULL, 'y'},
	    {"requests", required_argument, NULL, 'q'},
	    {"trace", required_argument, NULL, 'T'},
	    {"no-fill", no_argument, NULL, 'N'},
	    {"idle", required_argument, NULL, 'I'},
	    {"load-beside", required_argument, NULL, 'L'},
	    {"raw", no_argument, NULL, 'R'},
	    {"raw-defaults", no_argument, NULL, 'S'},
	    {"slow-fsync", required_argument, NULL, 'f'},
	    {"backend", required_argument, NULL, 'B'},
	    {"address", required_argument, NULL, 'A'},
	    {"daemon", required_argument, NULL, 'd'},
	    {"folder", required_argument, NULL, 'F'},
	    {"rounds", required_argument, NULL, 'r'},
	    {"seconds", required_argument, NULL, 's'},
	    {"warm-up", required_argument, NULL, 'w'},
	    {"bytes", required_argument, NULL, 'b'},
	    {"check", no_argument, NULL, 'k'},
	    {"json", no_argument, NULL, 'j'},
	    {"machine", no_argument, NULL, 'P'},
	    {"plot", required_argument, NULL, 'p'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	int option;

	set_defaults(options);
	while ((option = getopt_long(argc, argv, "h", list, NULL)) != -1) {
		if (option == '?')
			exit(2); /* getopt has said which */
		if (option == 'h') {
			printf(usage_text, backend_names());
			exit(0);
		}
		if (parse_common(options, option, optarg))
			continue;
		options->first = false;
		if (option == 'P')
			options->machine = true;
		else if (option == 'j')
			options->json = true;
		else if (option == 'p')
			options->plot = optarg;
		else if (!parse_work(&options->work, option, optarg))
			parse_measure(options, option, optarg);
	}
	options->measure.target.arguments = (const char *const *)(uintptr_t)(argv + optind);
	options->measure.target.record = options->measure.raw || options->measure.raw_defaults;
	check_together(options);
}
