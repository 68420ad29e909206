/* latency: percentiles of the last ten to twenty seconds, as they stand in a reply to stats. */
#include "daemon/latency.h"
#include "protocol/unpack.h"

#include <criterion/criterion.h>

#define WINDOW 10

static void tick(unsigned seconds)
{
	while (seconds-- > 0)
		latency_tick();
}

/* The number that goes by @name; fails the test if there is none. */
static uint64_t number_of(const char *name)
{
	struct buffer out = BUFFER_EMPTY;
	struct unpack unpack;
	uint64_t value = 0;
	struct span key;
	bool found = false;

	latency_stats(&out);
	unpack = unpack_start(buffer_span(&out));
	for (uint32_t i = 0; i < latency_pairs(); i++) {
		cr_assert(unpack_str(&unpack, &key));
		if (span_equal(key, span_of_string(name))) {
			cr_assert(unpack_uint(&unpack, &value));
			found = true;
		} else {
			cr_assert(unpack_skip(&unpack));
		}
	}
	cr_expect(unpack.at == unpack.end, "as many pairs as were announced");
	cr_expect(found, "%s", name);
	buffer_free(&out);
	return value;
}

Test(latency, each_operation_by_itself)
{
	for (uint64_t i = 1; i <= 100; i++)
		latency_record(OPERATION_APPEND, i);
	latency_record(OPERATION_LOAD_ALL, 7);
	latency_record(OPERATION_PING, 9999);
	cr_expect_eq(number_of("append_p50_us"), 50);
	cr_expect_eq(number_of("append_p99_us"), 99);
	cr_expect_eq(number_of("append_max_us"), 100);
	cr_expect_eq(number_of("load_all_max_us"), 7);
	cr_expect_eq(number_of("replace_max_us"), 0);
	cr_expect_eq(number_of("current_meta_p99_us"), 0);
}

Test(latency, forgets_after_ten_to_twenty_seconds)
{
	latency_record(OPERATION_DELETE, 5);
	tick(2 * WINDOW - 1);
	cr_expect_eq(number_of("delete_max_us"), 5);
	latency_record(OPERATION_DELETE, 3);
	tick(1);
	cr_expect_eq(number_of("delete_max_us"), 3);
	tick(2 * WINDOW);
	cr_expect_eq(number_of("delete_max_us"), 0);
}
