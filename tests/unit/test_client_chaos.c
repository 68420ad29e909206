/*
 * The client against a daemon that keeps the protocol's rules, in a world where everything breaks.
 *
 * A schedule is a seed: it decides what is called, what arrives, what is answered and in which order, when the
 * connection breaks, the daemon dies, drains, fails a write, or time passes. At its end nothing breaks any more, and
 * then must hold:
 *
 *   - every call had exactly one callback;
 *   - a write answered with success was done once, one answered with "not applied" was not done;
 *   - "unknown" is only the answer of a deadline, and such a write was done at most once;
 *   - what was done to a document was done in the order of the calls;
 *   - behind a write that failed for a reason outside itself and was not done, nothing was done before the next resume;
 *   - a read saw every write that was called before it; a listing saw those to all documents.
 *
 * Time is the test's own: clock_gettime is replaced.
 */
#include <time.h>

#include "tests/unit/client_fake.h"
#include "tests/unit/random.h"

TestSuite(client_chaos, .timeout = 300);

#define SCHEDULES     1500
#define EVENTS	      250
#define DOCUMENTS     3
#define LIMIT	      4 /* in flight: so few that everything about the limit happens all the time */
#define CALLS_MOST    400
#define IDS_MOST      4096
#define REQUESTS_MOST 64

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

static uint64_t now_ms;

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	(void)clock;
	*now = (struct timespec){(time_t)(now_ms / 1000), (long)(now_ms % 1000) * 1000000};
	return 0;
}

/* ---- what was called ---- */

enum kind { WRITE, READ, LIST, PLAIN };

struct entry {
	enum kind kind;
	int document;
	int epoch;
	int callbacks;
	int code, outcome;
	uint64_t seen; /* a read: how many writes */
	int applied;   /* a write: how often */
	bool is_wrong; /* a write: refused for what it is; it may have been given up before that was heard */
};

/* ---- the daemon ---- */

struct waiting {
	uint64_t id;
	uint64_t operation;
	int document;
	int number; /* of the call, for writes */
};

struct world {
	struct fake fake;
	kyneta_store *store;
	struct random *random;
	struct entry calls[CALLS_MOST];
	int count;
	int epoch;
	/* durable */
	int applied[DOCUMENTS];	     /* how many writes were done */
	int last_applied[DOCUMENTS]; /* the number of the last one */
	uint64_t through;
	uint64_t writes;	    /* how many were decided */
	uint64_t ordinal[IDS_MOST]; /* by id: which of them it was */
	int failed[IDS_MOST];	    /* by id: the code it failed with; 0: it did not */
	int number_of[IDS_MOST];    /* by id: which call has it; -1 */
	/* the connection */
	bool greeted;
	bool draining;
	bool refuses; /* draining, and one was refused: so is everything after it */
	bool records_refusals;
	uint64_t last_id;
	int latched[DOCUMENTS];
	struct waiting requests[REQUESTS_MOST]; /* received, not done */
	int requests_count;
	struct buffer replies[REQUESTS_MOST]; /* done, not sent */
	int reply_about[REQUESTS_MOST];	      /* the document; -1: all */
	int replies_count;
	int unanswered; /* on this connection */
	/* counted over all schedules, so that the test knows it tested something */
	unsigned long *counters;
};

enum counter { RESENT, DUPLICATES, REFUSED, LATCHED, UNKNOWNS, DEADLINES, REPLAYED, COUNTERS };

static const char *const document_names[DOCUMENTS] = {"x", "yy", "zzz"};

static bool chance(struct world *world, unsigned percent)
{
	return random_below(world->random, 100) < percent;
}

static void drop_replies(struct world *world)
{
	for (int i = 0; i < world->replies_count; i++)
		buffer_free(&world->replies[i]);
	world->replies_count = 0;
}

/* A write is decided, one way or the other. */
static void record(struct world *world, uint64_t id, int code)
{
	world->through = id;
	world->ordinal[id] = ++world->writes;
	world->failed[id] = code;
}

/* What is remembered of a write that was decided. Failures are forgotten once there were too many writes after them. */
static int recall(const struct world *world, uint64_t id)
{
	return world->ordinal[id] + LIMIT > world->writes ? world->failed[id] : 0;
}

static void do_write(struct world *world, const struct waiting *request)
{
	struct entry *call = &world->calls[request->number];

	cr_assert_gt(request->number, world->last_applied[request->document], "done out of order");
	world->last_applied[request->document] = request->number;
	world->applied[request->document]++;
	call->applied++;
}

/* A write's answer; 0 in *code: done. False: no answer any more, the daemon is dead. */
static bool decide(struct world *world, const struct waiting *request, int *code, bool *duplicate)
{
	int latch = world->latched[request->document];

	*code = 0;
	*duplicate = false;
	if (request->id <= world->through) {
		*code = recall(world, request->id);
		*duplicate = *code == 0;
		world->counters[REPLAYED] += *code != 0;
		return true;
	}
	if (latch != 0)
		*code = latch;
	else if (chance(world, 4))
		*code = chance(world, 50) ? ERROR_DISK_FULL : ERROR_BUSY;
	else if (chance(world, 4))
		*code = ERROR_CONFLICT;
	else if (chance(world, 2)) { /* the commit may have come through, or not */
		if (chance(world, 50)) {
			record(world, request->id, 0);
			do_write(world, request);
		}
		world->counters[UNKNOWNS]++;
		return false;
	}
	record(world, request->id, *code);
	world->calls[request->number].is_wrong = *code == ERROR_CONFLICT;
	if (*code == 0)
		do_write(world, request);
	return true;
}

static struct buffer *new_reply(struct world *world, const struct waiting *request)
{
	bool is_about_all = request->operation == OPERATION_LIST_DOC_IDS;

	world->reply_about[world->replies_count] = is_about_all ? -1 : request->document;
	world->replies[world->replies_count] = BUFFER_EMPTY;
	return &world->replies[world->replies_count++];
}

static void reply_error(struct world *world, const struct waiting *request, int code, enum error_outcome outcome)
{
	if (!operation_is_write(request->operation))
		outcome = OUTCOME_NONE;
	reply_encode_error(new_reply(world, request), request->id, (uint64_t)code, SPAN_LITERAL("so"), outcome, NULL);
}

static void reply_page(struct world *world, const struct waiting *request)
{
	struct buffer *out = new_reply(world, request);
	struct page page;
	char text[24];
	int total = 0;

	for (int i = 0; i < DOCUMENTS; i++)
		total += world->applied[i];
	snprintf(text, sizeof(text), "%d", total);
	page_begin(out, request->id, &page);
	page_document(out, span_of_string(text));
	page.count = 1;
	page_end_documents(out, &page, false, SPAN_NONE);
}

/* Returns false if the daemon died of it. */
static bool carry_out(struct world *world, const struct waiting *request)
{
	bool duplicate;
	int code;

	if (world->refuses) {
		world->counters[REFUSED]++;
		if (operation_is_write(request->operation) && world->records_refusals) {
			/* this kind of daemon looks first, and remembers */
			if (request->id > world->through) {
				record(world, request->id, ERROR_DRAINING);
			} else if (recall(world, request->id) == 0) {
				reply_encode_write(new_reply(world, request), request->id, (struct position){1, 1},
						   true);
				return true;
			}
		}
		reply_error(world, request, ERROR_DRAINING, OUTCOME_NOT_APPLIED);
		return true;
	}
	switch (request->operation) {
	case OPERATION_APPEND:
	case OPERATION_REPLACE:
	case OPERATION_DELETE:
		if (!decide(world, request, &code, &duplicate)) {
			reply_error(world, request, ERROR_IO_ERROR, OUTCOME_UNKNOWN);
			return false;
		}
		if (code != 0 && error_is_outside((uint64_t)code))
			world->latched[request->document] = code;
		if (code != 0)
			reply_error(world, request, code, OUTCOME_NOT_APPLIED);
		else
			reply_encode_write(new_reply(world, request), request->id, (struct position){1, 1}, duplicate);
		return true;
	case OPERATION_CURRENT_META:
		reply_encode_meta(new_reply(world, request), request->id, false, SPAN_NONE,
				  (struct position){1, (uint64_t)world->applied[request->document]});
		return true;
	case OPERATION_LIST_DOC_IDS:
		reply_page(world, request);
		return true;
	case OPERATION_RESUME:
		memset(world->latched, 0, sizeof(world->latched));
		reply_encode_empty(new_reply(world, request), request->id);
		return true;
	default:
		reply_encode_empty(new_reply(world, request), request->id);
		return true;
	}
}

static int document_of(struct span name)
{
	return name.size == 0 ? 0 : (int)name.size - 1;
}

/* What arrived is received, checked against the rules for clients. */
static void receive(struct world *world, unsigned most)
{
	struct request request;
	struct waiting *waiting;

	while (most-- > 0 && world->requests_count < REQUESTS_MOST && fake_next(&world->fake, &request)) {
		if (request.operation == OPERATION_HELLO) {
			world->fake.hello.through = world->through;
			fake_greet(&world->fake);
			world->greeted = true;
			continue;
		}
		cr_assert(world->greeted);
		cr_assert_gt(request.id, world->last_id, "ids must increase");
		cr_assert_lt(request.id, (uint64_t)IDS_MOST);
		world->last_id = request.id;
		cr_assert_lt(world->unanswered++, LIMIT, "more than the limit in flight");
		waiting = &world->requests[world->requests_count++];
		*waiting = (struct waiting){request.id, request.operation, document_of(request.document), -1};
		if (!operation_is_write(request.operation))
			continue;
		waiting->number = (int)request.expect.generation; /* each write carries its number */
		cr_assert(world->number_of[request.id] == -1 || world->number_of[request.id] == waiting->number,
			  "an id used for two writes");
		world->number_of[request.id] = waiting->number;
	}
}

static bool work(struct world *world, unsigned most)
{
	struct waiting request;

	while (most-- > 0 && world->requests_count > 0 && world->replies_count < REQUESTS_MOST) {
		request = world->requests[0];
		world->requests_count--;
		memmove(world->requests, world->requests + 1, (size_t)world->requests_count * sizeof(request));
		if (!carry_out(world, &request))
			return false;
	}
	return true;
}

static bool may_overtake(const struct world *world, int reply)
{
	for (int i = 0; i < reply; i++) {
		if (world->reply_about[i] == world->reply_about[reply] || world->reply_about[i] == -1 ||
		    world->reply_about[reply] == -1)
			return false;
	}
	return true;
}

/* Answers go out in any order, but for those about one document. */
static void answer(struct world *world, unsigned most)
{
	int chosen, behind;

	while (most-- > 0 && world->replies_count > 0) {
		do
			chosen = (int)random_below(world->random, (uint32_t)world->replies_count);
		while (!may_overtake(world, chosen));
		fake_send_bytes(&world->fake, world->replies[chosen].data, world->replies[chosen].size);
		buffer_free(&world->replies[chosen]);
		behind = --world->replies_count - chosen;
		memmove(&world->replies[chosen], &world->replies[chosen + 1], (size_t)behind * sizeof(struct buffer));
		memmove(&world->reply_about[chosen], &world->reply_about[chosen + 1], (size_t)behind * sizeof(int));
		world->unanswered--;
	}
}

static void forget_connection(struct world *world)
{
	fake_cut(&world->fake);
	drop_replies(world);
	world->requests_count = 0;
	world->unanswered = 0;
	world->greeted = false;
	world->draining = false;
	world->refuses = false;
	world->last_id = 0;
	memset(world->latched, 0, sizeof(world->latched));
}

/* The connection breaks; what the daemon has received it still carries out. */
static void cut(struct world *world)
{
	if (world->fake.connection < 0)
		return;
	if (chance(world, 60))
		receive(world, random_below(world->random, 8));
	if (chance(world, 30) && world->replies_count > 0 && world->greeted) { /* an answer arrives in part */
		struct buffer *reply = &world->replies[0];

		send(world->fake.connection, reply->data, random_below(world->random, (uint32_t)reply->size),
		     MSG_NOSIGNAL);
	}
	drop_replies(world);
	work(world, REQUESTS_MOST);
	forget_connection(world);
}

static void crash(struct world *world)
{
	forget_connection(world);
	if (world->fake.listener >= 0)
		fake_unlisten(&world->fake);
}

static void drain(struct world *world)
{
	if (!world->greeted || world->draining)
		return;
	world->draining = true;
	fake_drain(&world->fake);
}

/* ---- the client ---- */

struct context {
	struct world *world;
	int number;
};

static void called_back(void *context, const struct kyneta_store_answer *answered)
{
	struct context *about = context;
	struct entry *call = &about->world->calls[about->number];

	call->callbacks++;
	call->code = answered->error != NULL ? answered->error->code : 0;
	call->outcome = answered->error != NULL ? answered->error->outcome : KYNETA_STORE_NO_OUTCOME;
	if (call->kind == READ)
		call->seen = answered->at.next;
	free(about);
}

static bool listed(void *context, const char *id, size_t id_size)
{
	struct context *about = context;
	char text[24] = "";

	memcpy(text, id, id_size);
	about->world->calls[about->number].seen = strtoul(text, NULL, 10);
	return true;
}

static int send_write(struct world *world, const char *id, struct context *about)
{
	struct kyneta_store_record record = {.type = KYNETA_STORE_META, .meta = FAKE_META, .meta_size = 9};
	struct kyneta_store_write write = {KYNETA_STORE_DEFAULT, true, {(uint64_t)about->number, 0}};

	switch (random_below(world->random, 3)) {
	case 0:
		return kyneta_store_send_append(world->store, id, strlen(id), &record, 1, &write, called_back, about);
	case 1:
		return kyneta_store_send_replace(world->store, id, strlen(id), &record, 1, &write, called_back, about);
	default:
		return kyneta_store_send_delete(world->store, id, strlen(id), &write, called_back, about);
	}
}

static void call(struct world *world)
{
	struct context *about;
	struct entry *entry;
	const char *id;
	unsigned kind = random_below(world->random, 100);
	int code;

	if (world->count == CALLS_MOST)
		return;
	about = malloc(sizeof(*about));
	*about = (struct context){world, world->count};
	entry = &world->calls[world->count];
	*entry = (struct entry){.document = (int)random_below(world->random, DOCUMENTS), .epoch = world->epoch};
	id = document_names[entry->document];
	if (kind < 65) {
		entry->kind = WRITE;
		code = send_write(world, id, about);
	} else if (kind < 85) {
		entry->kind = READ;
		code = kyneta_store_send_current_meta(world->store, id, strlen(id), called_back, about);
	} else if (kind < 90) {
		entry->kind = LIST;
		code = kyneta_store_send_list_doc_ids(world->store, NULL, 0, listed, called_back, about, NULL);
	} else if (kind < 95) {
		entry->kind = PLAIN;
		code = kyneta_store_send_resume(world->store, called_back, about);
		world->epoch++;
	} else {
		entry->kind = PLAIN;
		code = kyneta_store_send_ping(world->store, called_back, about);
	}
	cr_assert_eq(code, 0);
	world->count++;
}

/* ---- schedules ---- */

static void accept_or_not(struct world *world)
{
	if (world->fake.listener < 0) {
		fake_listen(&world->fake);
		return;
	}
	/* A new connection takes the session over: what the old one had received is finished first. */
	if (world->fake.connection >= 0)
		return;
	fake_try_accept(&world->fake);
}

/* The client left: what it sent is carried out. */
static bool client_left(struct world *world)
{
	if (fake_read(&world->fake))
		return false;
	receive(world, REQUESTS_MOST);
	drop_replies(world);
	work(world, REQUESTS_MOST);
	forget_connection(world);
	return true;
}

static void daemon_turn(struct world *world)
{
	if (world->fake.connection < 0) {
		accept_or_not(world);
		return;
	}
	if (client_left(world))
		return;
	receive(world, random_below(world->random, 6));
	if (world->draining && chance(world, 50))
		world->refuses = true;
	if (!work(world, random_below(world->random, 6))) {
		answer(world, chance(world, 50) ? REQUESTS_MOST : 0);
		crash(world);
		return;
	}
	answer(world, random_below(world->random, 6));
}

static void event(struct world *world)
{
	unsigned chosen = random_below(world->random, 100);

	if (chosen < 35)
		call(world);
	else if (chosen < 60)
		kyneta_store_process(world->store);
	else if (chosen < 65)
		kyneta_store_push(world->store);
	else if (chosen < 89)
		daemon_turn(world);
	else if (chosen < 92)
		cut(world);
	else if (chosen < 93)
		crash(world);
	else if (chosen < 95)
		drain(world);
	else
		now_ms += random_below(world->random, 30);
}

static bool all_answered(const struct world *world)
{
	for (int i = 0; i < world->count; i++) {
		if (world->calls[i].callbacks == 0)
			return false;
	}
	return true;
}

/* Nothing breaks any more. */
static void finish(struct world *world)
{
	for (int turn = 0; turn < 2000 && !all_answered(world); turn++) {
		if (world->fake.connection < 0 || world->draining) {
			cut(world);
			accept_or_not(world);
		} else if (!client_left(world)) {
			receive(world, REQUESTS_MOST);
			if (!work(world, REQUESTS_MOST)) {
				answer(world, REQUESTS_MOST);
				crash(world);
			} else {
				answer(world, REQUESTS_MOST);
			}
		}
		cr_assert_eq(kyneta_store_process(world->store), 0);
		now_ms += 1;
	}
	cr_assert(all_answered(world));
}

/* ---- what must hold ---- */

static void check_write(const struct world *world, int number)
{
	const struct entry *entry = &world->calls[number];

	if (entry->code == 0)
		cr_assert_eq(entry->applied, 1, "call %d: success, done %d times", number, entry->applied);
	else if (entry->outcome == KYNETA_STORE_NOT_APPLIED)
		cr_assert_eq(entry->applied, 0, "call %d: %d, not applied, but done", number, entry->code);
	else
		cr_assert(entry->code == KYNETA_STORE_EDEADLINE && entry->applied <= 1,
			  "call %d: %d, unknown, done %d times", number, entry->code, entry->applied);
	if (entry->code < 400 || entry->applied > 0 || entry->is_wrong)
		return;
	for (int later = number + 1; later < world->count; later++) {
		const struct entry *other = &world->calls[later];

		if (other->kind == WRITE && other->document == entry->document && other->epoch == entry->epoch)
			cr_assert_eq(other->applied, 0, "call %d was done behind call %d, which failed with %d", later,
				     number, entry->code);
	}
}

static void check_read(const struct world *world, int number)
{
	const struct entry *entry = &world->calls[number];
	uint64_t before = 0;

	if (entry->code != 0)
		return;
	for (int i = 0; i < number; i++) {
		const struct entry *other = &world->calls[i];

		before += other->kind == WRITE && other->applied > 0 &&
			  (entry->kind == LIST || other->document == entry->document);
	}
	cr_assert_geq(entry->seen, before, "call %d does not see all earlier writes", number);
}

static void check(struct world *world)
{
	struct kyneta_store_status status = client_status(world->store);

	cr_assert_eq(status.queued, 0u);
	world->counters[RESENT] += status.resent;
	world->counters[DUPLICATES] += status.duplicates;
	for (int i = 0; i < world->count; i++) {
		cr_assert_eq(world->calls[i].callbacks, 1);
		world->counters[DEADLINES] += world->calls[i].code == KYNETA_STORE_EDEADLINE;
		world->counters[LATCHED] += world->calls[i].code == KYNETA_STORE_EDISK_FULL;
		if (world->calls[i].kind == WRITE)
			check_write(world, i);
		else if (world->calls[i].kind != PLAIN)
			check_read(world, i);
	}
}

static void run_schedule(uint64_t seed, unsigned long *counters)
{
	static struct world world;
	struct kyneta_store_options options;
	struct random random = {seed * UINT64_C(0x9e3779b97f4a7c15)};

	memset(&world, 0, sizeof(world));
	world.random = &random;
	world.counters = counters;
	for (int i = 0; i < IDS_MOST; i++)
		world.number_of[i] = -1;
	for (int i = 0; i < DOCUMENTS; i++)
		world.last_applied[i] = -1;
	world.records_refusals = chance(&world, 50);
	fake_start(&world.fake);
	world.fake.hello.in_flight_limit = LIMIT;
	options = fake_options(&world.fake);
	options.backoff_base_ms = 1;
	options.backoff_max_ms = 8;
	if (chance(&world, 50))
		options.deadline_ms = 100;
	world.store = client_new(&options);
	for (int i = 0; i < EVENTS; i++)
		event(&world);
	finish(&world);
	check(&world);
	kyneta_store_free(world.store);
	drop_replies(&world);
	fake_end(&world.fake);
}

Test(client_chaos, nothing_is_lost_and_nothing_is_done_twice)
{
	static const char *const names[COUNTERS] = {
	    "sent again", "duplicates",	      "refused by a draining daemon", "latched", "unknown answers",
	    "deadlines",  "replayed refusals"};
	unsigned long counters[COUNTERS] = {0};

	for (uint64_t seed = 1; seed <= SCHEDULES; seed++)
		run_schedule(seed, counters);
	for (int i = 0; i < COUNTERS; i++)
		cr_assert_gt(counters[i], 50u, "%s: only %lu in all schedules", names[i], counters[i]);
}
