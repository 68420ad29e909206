/* How a loop stays awake between questions. */
#include "daemon/awake.h"

#include <criterion/criterion.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemon/clock.h"

TestSuite(awake, .timeout = 60);

Test(awake, pressure_tells_whether_the_machine_is_calm)
{
	cr_assert(awake_is_calm(
	    "some avg10=0.00 avg60=99.00 avg300=99.00 total=5\nfull avg10=0.00 avg60=0 avg300=0 total=0\n"));
	cr_assert(awake_is_calm("some avg10=14.99 avg60=0.00 avg300=0.00 total=5\n"));
	cr_assert_not(awake_is_calm("some avg10=15.00 avg60=0.00 avg300=0.00 total=5\n"));
	cr_assert_not(awake_is_calm("some avg10=100.00 avg60=0.00 avg300=0.00 total=5\n"));
	cr_assert_not(awake_is_calm(""));
	cr_assert_not(awake_is_calm("full avg10=0.00"));
}

/* What comes later than it looks for is not waited for the next time. */
Test(awake, waits_only_for_whoever_came_soon_the_last_time)
{
	struct awake awake = {.calm = true, .worthwhile = true};
	uint64_t before = clock_us();

	awake_wait(&awake, -1); /* poll() leaves that out: nothing comes */
	cr_assert_geq(clock_us() - before, 50);
	awake_woken(&awake);
	cr_assert_not(awake.worthwhile);
	/* Woken without a wait: nothing is learnt. */
	awake.worthwhile = true;
	awake_woken(&awake);
	cr_assert(awake.worthwhile);
}

/* What is there already ends the look: with a descriptor that is ready it would else take its whole time, every time.
 */
Test(awake, whatever_comes_ends_the_wait)
{
	int fd = eventfd(1, EFD_CLOEXEC);
	unsigned soon = 0;

	for (int i = 0; i < 1000; i++) {
		struct awake awake = {.calm = true, .worthwhile = true};

		awake_wait(&awake, fd);
		awake_woken(&awake);
		soon += awake.worthwhile;
	}
	cr_assert_gt(soon, 0);
	close(fd);
}
