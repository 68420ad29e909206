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

void job_fail_text(struct job *job, int code, enum error_outcome outcome, struct span message)
{
	/* Without memory the code's meaning stands in. */
	char *copy = message.data == NULL ? NULL : malloc(message.size + 1);

	if (copy != NULL) {
		memcpy(copy, message.data, message.size);
		copy[message.size] = '\0';
	}
	free(job->message);
	job->message = copy;
	job->message_size = copy == NULL ? 0 : message.size;
	job->code = code;
	job->outcome = outcome;
}

void job_fail(struct job *job, int code, enum error_outcome outcome, const char *message)
{
	job_fail_text(job, code, outcome, message == NULL ? SPAN_NONE : span_of_string(message));
}

struct span job_message(const struct job *job)
{
	if (job->message == NULL)
		return span_of_string(error_meaning((uint64_t)job->code));
	return span_of(job->message, job->message_size);
}
