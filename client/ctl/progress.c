#include "client/ctl/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "client/ctl/loop.h"

#define INTERVAL_US 100000

void progress_start(struct progress *progress, const char *verb, const char *things)
{
	*progress = (struct progress){.on = isatty(STDERR_FILENO) == 1, .verb = verb, .things = things};
	progress->start_us = loop_now_us();
	progress->next_us = progress->start_us + INTERVAL_US;
}

double progress_seconds(const struct progress *progress)
{
	return (double)(loop_now_us() - progress->start_us) / 1e6;
}

void progress_show(struct progress *progress, uint64_t done, int percent)
{
	char share[16] = "";
	int64_t now_us;

	if (!progress->on)
		return;
	now_us = loop_now_us();
	if (now_us < progress->next_us)
		return;
	progress->next_us = now_us + INTERVAL_US;
	progress->shown = true;
	if (percent >= 0)
		snprintf(share, sizeof(share), " %d %%", percent);
	fprintf(stderr, "\r%s%s: %" PRIu64 " %s, %.0f/s\033[K", progress->verb, share, done, progress->things,
		(double)done / progress_seconds(progress));
}

void progress_clear(struct progress *progress)
{
	if (!progress->shown)
		return;
	fputs("\r\033[K", stderr);
	progress->shown = false;
}
