#include "daemon/job.h"

#include <stdlib.h>
#include <string.h>

struct job *job_new(size_t frame_size)
{
	struct job *job;

	if (frame_size > SIZE_MAX - sizeof(*job))
		return NULL;
	job = malloc(sizeof(*job) + frame_size);
	if (job == NULL)
		return NULL;
	memset(job, 0, sizeof(*job));
	job->frame_size = frame_size;
	job->outcome = OUTCOME_NONE;
	return job;
}

void job_free(struct job *job)
{
	if (job == NULL)
		return;
	free(job->message);
	buffer_free(&job->reply);
	free(job);
}

void job_fail(struct job *job, int code, enum error_outcome outcome, const char *message)
{
	char *copy = message == NULL ? NULL : strdup(message);

	free(job->message);
	job->message = copy; /* without memory the code's meaning stands in */
	job->code = code;
	job->outcome = outcome;
}
