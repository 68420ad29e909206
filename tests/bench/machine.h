/*
 * machine: what is physically here, so that figures from elsewhere can be judged: no daemon can be faster than the
 * disk's sync and the kernel's wake-ups.
 */
#ifndef KYNETA_BENCH_MACHINE_H
#define KYNETA_BENCH_MACHINE_H

#include <stdbool.h>

struct machine {
	double sync_us;	       /* an fdatasync of a page */
	double round_trip_us;  /* over a Unix socket, to another process that answers at once */
	double with_thread_us; /* the same, answered by another thread of that process, which has to be woken and wakes
				  back */
};

/* machine_measure(machine, folder) - medians. 0, or -1 with a line on stderr. */
int machine_measure(struct machine *machine, const char *folder);

/* machine_print(machine, json) - to stdout. */
void machine_print(const struct machine *machine, bool json);

#endif
