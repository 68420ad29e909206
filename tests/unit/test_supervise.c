/* supervise: the status line, and how often the watchdog is looked after. test_supervise.py has the messages. */
#include "daemon/supervise.h"

#include <criterion/criterion.h>

static void assert_status(uint64_t connections, uint64_t stores, uint64_t appends, const char *expected)
{
	char status[SUPERVISE_STATUS_SIZE];

	supervise_describe(status, connections, stores, appends);
	cr_assert_str_eq(status, expected);
}

Test(supervise, status_line)
{
	assert_status(0, 0, 0, "serving 0 connections, 0 stores, 0 appends");
	assert_status(1, 1, 1, "serving 1 connection, 1 store, 1 append");
	assert_status(12, 3, 41999, "serving 12 connections, 3 stores, 41k appends");
	assert_status(12, 3, 999, "serving 12 connections, 3 stores, 999 appends");
	assert_status(12, 3, 1000, "serving 12 connections, 3 stores, 1.0k appends");
	assert_status(12, 3, 9999, "serving 12 connections, 3 stores, 9.9k appends");
	assert_status(12, 3, 1999999, "serving 12 connections, 3 stores, 1.9M appends");
	assert_status(UINT64_MAX, UINT64_MAX, UINT64_MAX,
		      "serving 18446744073709551615 connections, 18446744073709551615 stores, 18E appends");
}

Test(supervise, ticks_are_as_often_as_the_watchdog_wants)
{
	struct supervise supervise = {.watchdog_us = 0};

	cr_assert_eq(supervise_tick_ms(&supervise, 1000), 1000);
	supervise.watchdog_us = 60000000;
	cr_assert_eq(supervise_tick_ms(&supervise, 1000), 1000);
	supervise.watchdog_us = 400000;
	cr_assert_eq(supervise_tick_ms(&supervise, 1000), 100);
	supervise.watchdog_us = 1;
	cr_assert_eq(supervise_tick_ms(&supervise, 1000), 1);
}
