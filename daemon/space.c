#include "daemon/space.h"

#include "daemon/clock.h"
#include "daemon/gate.h"
#include "daemon/job.h"
#include "daemon/log.h"
#include "daemon/stats.h"

/* How often a reserve that is not there is tried for. */
#define LOOK_INTERVAL_US 10000000

void space_init(struct space *space, struct engine *engine, struct gate *gate)
{
	*space = (struct space){.engine = engine, .gate = gate, .next_look_us = clock_us() + LOOK_INTERVAL_US};
}

/* Whoever looks into the database for appends that may fit takes a failure for "no". */
static void look_inside(struct space *space)
{
	uint64_t bytes = 0;

	space->has_unused = space->engine->class->unused_bytes(space->engine, &bytes, NULL) == 0 && bytes > 0;
}

static void end(struct space *space)
{
	if (space->engine->class->restore_reserve(space->engine, NULL) != 0)
		return;
	/* Fails without memory only, and then the next batch looks again. */
	if (space->engine->class->set_growth(space->engine, GROWTH_FREE, NULL) != 0)
		return;
	space->full = false;
	stats_set(disk_is_full, 0);
	log_write(LOG_NOTICE, "there is space on the disk again: all writes are taken");
}

void space_look(struct space *space)
{
	uint64_t now;

	if (space->full) {
		end(space);
		if (space->full)
			look_inside(space);
		return;
	}
	now = clock_us();
	if (now < space->next_look_us)
		return;
	space->next_look_us = now + LOOK_INTERVAL_US;
	space->engine->class->restore_reserve(space->engine, NULL);
}

/* Moves the log into the database, so that it starts over. False: it did not, perhaps for a fatal reason. */
static bool empty_log(struct space *space, bool *fatal)
{
	struct engine_gate gate = gate_hooks(space->gate);
	struct engine_checkpoint_result result;
	struct failure failure = {0};

	if (space->engine->class->checkpoint(space->engine, &gate, &result, &failure) == 0)
		return result.complete;
	log_write(failure.fatal ? LOG_CRITICAL : LOG_ERROR, "checkpoint on a full disk failed: %s", failure.message);
	*fatal = failure.fatal;
	return false;
}

static void begin(struct space *space, bool *fatal)
{
	stats_add(disk_full, 1);
	stats_set(disk_is_full, 1);
	log_write(LOG_ERROR, "the disk is full: until there is space again only what fits into the database as it is "
			     "is written: deletes, replaces, and what they made room for");
	space->full = true;
	space->engine->class->release_reserve(space->engine);
	empty_log(space, fatal);
	if (*fatal)
		return;
	/* Without memory for that the next write does it. */
	space->engine->class->set_growth(space->engine, GROWTH_SPARE, NULL);
	look_inside(space);
}

bool space_make_room(struct space *space, bool *fatal)
{
	*fatal = false;
	if (space->full)
		return space->engine->class->log_bytes(space->engine) > 0 && empty_log(space, fatal);
	begin(space, fatal);
	return !*fatal;
}

int space_admit(struct space *space, struct job *job, bool *admitted, struct failure *failure)
{
	bool appends = job->request.operation == OPERATION_APPEND;

	*admitted = !appends || space->has_unused;
	if (!*admitted) {
		job_fail(job, ERROR_DISK_FULL, OUTCOME_NOT_APPLIED, "no space is left for the database");
		return 0;
	}
	return space->engine->class->set_growth(space->engine, appends ? GROWTH_NONE : GROWTH_SPARE, failure);
}

int space_spare(struct space *space, struct failure *failure)
{
	return space->engine->class->set_growth(space->engine, GROWTH_SPARE, failure);
}
