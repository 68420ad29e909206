/*
 * top: what the daemon is doing, look after look.
 *
 * Rates are differences of two replies to stats; the latencies are those of the last ten to twenty seconds, as the
 * daemon counts them.
 */
#include "client/ctl/commands.h"

#include <errno.h>
#include <time.h>

#include "client/ctl/ctl.h"

/* X(counter of the daemon): those that are looked at */
#define SEEN_LIST(X)                                                                                                   \
	X(uptime_seconds)                                                                                              \
	X(connections)                                                                                                 \
	X(stores)                                                                                                      \
	X(requests)                                                                                                    \
	X(requests_in_flight)                                                                                          \
	X(errors)                                                                                                      \
	X(batches)                                                                                                     \
	X(batches_synced)                                                                                              \
	X(batch_requests)                                                                                              \
	X(commit_us)                                                                                                   \
	X(checkpoints)                                                                                                 \
	X(wal_bytes)                                                                                                   \
	X(records_read)

/* X(operation, its counter) */
#define OPERATION_LIST(X)                                                                                              \
	X(append, appends)                                                                                             \
	X(replace, replaces)                                                                                           \
	X(delete, deletes)                                                                                             \
	X(load_all, pages)                                                                                             \
	X(current_meta, metas)                                                                                         \
	X(list_doc_ids, listings)

struct operation_seen {
	uint64_t count, p50_us, p99_us, max_us;
};

struct seen_stats {
	int64_t at_us;
#define X(name) uint64_t name;
	SEEN_LIST(X)
#undef X
#define X(name, counter) struct operation_seen name;
	OPERATION_LIST(X)
#undef X
};

static bool see(void *context, const char *name, size_t name_size, uint64_t number, const char *text, size_t text_size)
{
	struct span found = span_of(name, name_size);
	struct seen_stats *stats = context;

	(void)text_size;
	if (text != NULL)
		return true;
#define X(counter)                                                                                                     \
	if (span_equal(found, SPAN_LITERAL(#counter)))                                                                 \
		stats->counter = number;
	SEEN_LIST(X)
#undef X
#define X(operation, counter)                                                                                          \
	if (span_equal(found, SPAN_LITERAL(#counter)))                                                                 \
		stats->operation.count = number;                                                                       \
	if (span_equal(found, SPAN_LITERAL(#operation "_p50_us")))                                                     \
		stats->operation.p50_us = number;                                                                      \
	if (span_equal(found, SPAN_LITERAL(#operation "_p99_us")))                                                     \
		stats->operation.p99_us = number;                                                                      \
	if (span_equal(found, SPAN_LITERAL(#operation "_max_us")))                                                     \
		stats->operation.max_us = number;
	OPERATION_LIST(X)
#undef X
	return true;
}

/* Since the last look; a daemon that was started anew counts from nothing. */
static uint64_t grown(uint64_t before, uint64_t now)
{
	return now >= before ? now - before : now;
}

static double per_second(const struct seen_stats *before, const struct seen_stats *now, uint64_t grown_by)
{
	int64_t us = now->at_us - before->at_us;

	return us > 0 ? (double)grown_by * 1e6 / (double)us : 0;
}

static double mean(uint64_t sum, uint64_t count)
{
	return count > 0 ? (double)sum / (double)count : 0;
}

static void show_operation(struct output *output, const char *name, double rate, const struct operation_seen *seen)
{
	char text[160];

	if (output->mode == OUTPUT_JSON) {
		snprintf(text, sizeof(text), "{\"perSecond\":%.1f,\"p50Us\":%llu,\"p99Us\":%llu,\"maxUs\":%llu}", rate,
			 (unsigned long long)seen->p50_us, (unsigned long long)seen->p99_us,
			 (unsigned long long)seen->max_us);
		output_raw_json(output, name, span_of_string(text));
		return;
	}
	snprintf(text, sizeof(text), "%9.0f per s   p50 %7llu us   p99 %7llu us   max %8llu us", rate,
		 (unsigned long long)seen->p50_us, (unsigned long long)seen->p99_us, (unsigned long long)seen->max_us);
	output_text(output, name, span_of_string(text));
}

static void show(struct output *output, const struct seen_stats *before, const struct seen_stats *now)
{
	uint64_t batches = grown(before->batches, now->batches);

	if (output->mode == OUTPUT_TERMINAL)
		fputs("\033[H\033[2J", output->file);
	output_begin(output, 18);
	output_number(output, "uptimeSeconds", now->uptime_seconds);
	output_number(output, "connections", now->connections);
	output_number(output, "stores", now->stores);
	output_number(output, "requestsInFlight", now->requests_in_flight);
	output_decimal(output, "requestsPerSecond", per_second(before, now, grown(before->requests, now->requests)),
		       "");
	output_decimal(output, "errorsPerSecond", per_second(before, now, grown(before->errors, now->errors)), "");
#define X(operation, counter)                                                                                          \
	show_operation(output, #operation,                                                                             \
		       per_second(before, now, grown(before->operation.count, now->operation.count)),                  \
		       &now->operation);
	OPERATION_LIST(X)
#undef X
	output_decimal(output, "recordsReadPerSecond",
		       per_second(before, now, grown(before->records_read, now->records_read)), "");
	output_decimal(output, "commitsPerSecond", per_second(before, now, batches), "");
	output_decimal(output, "syncedPerSecond",
		       per_second(before, now, grown(before->batches_synced, now->batches_synced)), "");
	output_decimal(output, "writesPerCommit", mean(grown(before->batch_requests, now->batch_requests), batches),
		       "");
	output_decimal(output, "commitUs", mean(grown(before->commit_us, now->commit_us), batches), "us");
	output_number(output, "checkpoints", now->checkpoints);
	output_size(output, "walBytes", now->wal_bytes);
	output_end(output);
	if (output->mode == OUTPUT_PLAIN)
		fputc('\n', output->file);
	fflush(output->file);
}

/* Until the next look is due, or the user has had enough. */
static void rest(int64_t until_us)
{
	int64_t left_us;

	while (loop_signal() == 0 && (left_us = until_us - loop_now_us()) > 0) {
		struct timespec left = {(time_t)(left_us / 1000000), (long)(left_us % 1000000) * 1000};

		if (nanosleep(&left, NULL) != 0 && errno != EINTR)
			return;
	}
}

static int look(struct ctl *ctl, struct seen_stats *stats)
{
	struct kyneta_store_error error;

	*stats = (struct seen_stats){0};
	if (kyneta_store_stats(ctl->handle.store, see, stats, &error) != 0)
		return ctl_error(ctl, SPAN_NONE, &error);
	stats->at_us = loop_now_us();
	return CTL_OK;
}

int command_top(struct ctl *ctl)
{
	const struct options *options = &ctl->options;
	int64_t interval_us = (int64_t)options->interval_ms * 1000;
	struct seen_stats before, now;
	int rc = ctl_open(ctl, ctl_access(ctl));

	if (rc == CTL_OK)
		rc = look(ctl, &before);
	for (uint64_t i = 0; rc == CTL_OK && (options->count == 0 || i < options->count); i++) {
		rest(before.at_us + interval_us);
		if (loop_signal() != 0 || ferror(ctl->output.file))
			break;
		rc = look(ctl, &now);
		if (rc == CTL_OK)
			show(&ctl->output, &before, &now);
		before = now;
	}
	return rc;
}
