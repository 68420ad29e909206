/* In which order the requests of one connection may start. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/hash.h"
#include "daemon/order.h"

static struct order order;

static struct job *add(enum operation operation, const char *document)
{
	struct job *job = job_new(0);

	job->request.operation = operation;
	job->request.document = span_of_string(document);
	cr_assert(order_add(&order, job));
	return job;
}

static void done(struct job *job)
{
	order_done(&order, job);
	job_free(job);
}

static void idle(void)
{
	cr_assert_null(order_next_write(&order));
	cr_assert_null(order_next_read(&order));
}

static void finished(void)
{
	idle();
	cr_assert_null(order.lanes);
	cr_assert_eq(order.added, order.done);
}

TestSuite(order, .fini = finished);

Test(order, writes_start_at_once_and_in_order)
{
	struct job *a = add(OPERATION_APPEND, "x"), *b = add(OPERATION_REPLACE, "y"), *c = add(OPERATION_DELETE, "x");

	cr_assert_eq(order_next_write(&order), a);
	cr_assert_eq(order_next_write(&order), b);
	cr_assert_eq(order_next_write(&order), c, "a pipeline of writes to one document does not wait for answers");
	idle();
	done(a), done(b), done(c);
}

Test(order, read_waits_for_earlier_writes_of_its_document_only)
{
	struct job *w = add(OPERATION_APPEND, "x"), *r = add(OPERATION_LOAD_ALL, "x"),
		   *other = add(OPERATION_CURRENT_META, "y");

	cr_assert_eq(order_next_write(&order), w);
	cr_assert_eq(order_next_read(&order), other);
	cr_assert_null(order_next_read(&order));
	done(w);
	cr_assert_eq(order_next_read(&order), r);
	done(r), done(other);
}

Test(order, write_waits_for_earlier_reads_and_holds_back_all_later_writes)
{
	struct job *r = add(OPERATION_LOAD_ALL, "x"), *w = add(OPERATION_APPEND, "x"),
		   *later = add(OPERATION_APPEND, "y");

	cr_assert_eq(order_next_read(&order), r);
	cr_assert_null(order_next_write(&order),
		       "a later write must not reach the writer before: ids would not be in order");
	done(r);
	cr_assert_eq(order_next_write(&order), w);
	cr_assert_eq(order_next_write(&order), later);
	done(w), done(later);
}

Test(order, reads_of_one_document_run_together)
{
	struct job *a = add(OPERATION_LOAD_ALL, "x"), *b = add(OPERATION_CURRENT_META, "x");

	cr_assert_eq(order_next_read(&order), a);
	cr_assert_eq(order_next_read(&order), b);
	done(b), done(a);
}

Test(order, write_read_write_alternate)
{
	struct job *w1 = add(OPERATION_APPEND, "x"), *r = add(OPERATION_LOAD_ALL, "x"),
		   *w2 = add(OPERATION_APPEND, "x");

	cr_assert_eq(order_next_write(&order), w1);
	idle();
	done(w1);
	cr_assert_null(order_next_write(&order), "the read was first");
	cr_assert_eq(order_next_read(&order), r);
	idle();
	done(r);
	cr_assert_eq(order_next_write(&order), w2);
	done(w2);
}

Test(order, listing_waits_for_all_earlier_writes_and_later_writes_for_it)
{
	struct job *w = add(OPERATION_APPEND, "x"), *l = add(OPERATION_LIST_DOC_IDS, ""),
		   *later = add(OPERATION_APPEND, "z");

	cr_assert_eq(order_next_write(&order), w);
	idle();
	done(w);
	cr_assert_null(order_next_write(&order));
	cr_assert_eq(order_next_read(&order), l);
	idle();
	done(l);
	cr_assert_eq(order_next_write(&order), later);
	done(later);
}

Test(order, sync_and_resume_take_their_place_among_the_writes)
{
	struct job *r = add(OPERATION_LOAD_ALL, "x"), *w = add(OPERATION_APPEND, "x"), *s = add(OPERATION_SYNC, ""),
		   *u = add(OPERATION_RESUME, "");

	cr_assert_null(order_next_write(&order), "sync must not overtake the write before it");
	cr_assert_eq(order_next_read(&order), r);
	done(r);
	cr_assert_eq(order_next_write(&order), w);
	cr_assert_eq(order_next_write(&order), s);
	cr_assert_eq(order_next_write(&order), u);
	done(w), done(s), done(u);
}

Test(order, close_waits_for_everything)
{
	struct job *w = add(OPERATION_APPEND, "x"), *r = add(OPERATION_LOAD_ALL, "y"), *c = add(OPERATION_CLOSE, "");

	cr_assert_eq(order_next_write(&order), w);
	cr_assert_eq(order_next_read(&order), r);
	idle();
	done(w);
	idle();
	done(r);
	cr_assert_eq(order_next_read(&order), c);
	done(c);
}

static unsigned dropped;

static void drop(struct job *job)
{
	dropped++;
	job_free(job);
}

Test(order, drop_forgets_what_has_not_started)
{
	struct job *w = add(OPERATION_APPEND, "x");

	cr_assert_eq(order_next_write(&order), w);
	add(OPERATION_LOAD_ALL, "x");
	add(OPERATION_APPEND, "x");
	add(OPERATION_LOAD_ALL, "y");
	add(OPERATION_SYNC, "");
	add(OPERATION_LIST_DOC_IDS, "");
	add(OPERATION_CLOSE, "");
	order_drop(&order, drop);
	cr_assert_eq(dropped, 6);
	done(w);
}

/*
 * Random traffic against the rules stated directly: whenever a job starts, nothing that it must wait for is unfinished;
 * and everything finishes.
 */
struct seen {
	struct job *job;
	unsigned document;
	enum operation operation;
	bool started, ended;
};

static bool is_read(enum operation operation)
{
	return operation == OPERATION_LOAD_ALL || operation == OPERATION_CURRENT_META;
}

static bool must_wait(const struct seen *earlier, const struct seen *later)
{
	bool write = operation_is_write(later->operation);
	bool earlier_write = operation_is_write(earlier->operation);

	if (later->operation == OPERATION_CLOSE)
		return true;
	if (later->operation == OPERATION_LIST_DOC_IDS)
		return earlier_write;
	if (write && earlier->operation == OPERATION_LIST_DOC_IDS)
		return true;
	if (earlier->document != later->document)
		return false;
	return (is_read(later->operation) && earlier_write) || (write && is_read(earlier->operation));
}

static void check_start(struct seen *seen, unsigned count, const struct job *job)
{
	unsigned i;

	for (i = 0; i < count && (seen[i].job != job || seen[i].ended);
	     i++) /* freed jobs leave their address to others */
		;
	cr_assert_lt(i, count);
	for (unsigned j = 0; j < i; j++) {
		cr_assert(seen[j].ended || !must_wait(&seen[j], &seen[i]), "request %u started before %u was done", i,
			  j);
		if (operation_is_write(seen[i].operation) && operation_is_write(seen[j].operation))
			cr_assert(seen[j].started, "write %u reached the writer before %u", i, j);
	}
	seen[i].started = true;
}

Test(order, random_traffic)
{
	static const enum operation operations[] = {OPERATION_APPEND,	OPERATION_REPLACE,	OPERATION_DELETE,
						    OPERATION_LOAD_ALL, OPERATION_CURRENT_META, OPERATION_LIST_DOC_IDS,
						    OPERATION_SYNC};
	static struct seen seen[300];

	srand(4711);
	for (unsigned round = 0; round < 200; round++) {
		unsigned added = 0, ended = 0, count = 50 + (unsigned)rand() % 250;

		memset(seen, 0, sizeof(seen));
		while (ended < count) {
			struct job *job;
			unsigned pick;

			if (added < count && rand() % 3 != 0) {
				char name[8];
				struct seen *new = &seen[added++];

				new->document = (unsigned)rand() % 4;
				new->operation = operations[(unsigned)rand() % 7];
				snprintf(name, sizeof(name), "%u", new->document);
				new->job = add(new->operation, name);
				continue;
			}
			while ((job = rand() % 2 ? order_next_write(&order) : order_next_read(&order)) != NULL)
				check_start(seen, added, job);
			pick = added == 0 ? 0 : (unsigned)rand() % added;
			if (seen[pick].started && !seen[pick].ended) {
				seen[pick].ended = true;
				ended++;
				done(seen[pick].job);
			}
		}
	}
}

struct hashed {
	unsigned hash, number;
};

static int by_hash(const void *a, const void *b)
{
	const struct hashed *one = a, *two = b;

	return (one->hash > two->hash) - (one->hash < two->hash);
}

/* Two documents that the order cannot tell apart. */
static void find_twins(char *one, char *two, size_t size)
{
	enum { COUNT = 400000 };
	struct hashed *all = calloc(COUNT, sizeof(*all));

	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(one, size, "document %u", i);
		HASH_VALUE(one, strlen(one), all[i].hash);
		all[i].number = i;
	}
	qsort(all, COUNT, sizeof(*all), by_hash);
	for (unsigned i = 1; i < COUNT; i++) {
		if (all[i].hash != all[i - 1].hash)
			continue;
		snprintf(one, size, "document %u", all[i - 1].number);
		snprintf(two, size, "document %u", all[i].number);
		free(all);
		return;
	}
	cr_assert_fail("there are no two with the same hash");
}

Test(order, documents_of_one_hash_wait_for_each_other)
{
	char one[32], two[32];
	struct job *w, *r;

	find_twins(one, two, sizeof(one));
	w = add(OPERATION_APPEND, one);
	r = add(OPERATION_LOAD_ALL, two);
	cr_assert_eq(order_next_write(&order), w);
	idle();
	done(w);
	cr_assert_eq(order_next_read(&order), r);
	idle();
	done(r);
}
