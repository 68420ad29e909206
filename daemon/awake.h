/*
 * awake: a loop that is asked one thing after the other by somebody who waits for the answer does not sleep between
 * them. Being woken takes longer than most answers: a processor that sleeps has to wake up first.
 *
 * Only while the next question comes within AWAKE_US of the last answer, as seen the last time; whoever takes longer
 * finds a loop that sleeps. And only on a calm machine: there must be another processor for who asks, and as the
 * kernel's pressure information tells hardly anybody who waits for one. Where nothing tells, the loop sleeps.
 */
#ifndef KYNETA_DAEMON_AWAKE_H
#define KYNETA_DAEMON_AWAKE_H

#include <stdbool.h>
#include <stdint.h>

struct awake {
	bool calm;	   /* there is a processor to spare */
	bool worthwhile;   /* the last question came soon */
	uint64_t since_us; /* the answers are out; 0: the loop has something to do */
};

/* awake_look(awake) - at the machine: at the beginning, and once a second. */
void awake_look(struct awake *awake);

/* awake_wait(awake, fd) - all is answered: look at the loop's descriptor for a moment, if that is worthwhile. */
void awake_wait(struct awake *awake, int fd);

/* awake_woken(awake) - the loop has something to do again. */
void awake_woken(struct awake *awake);

/* awake_is_calm(pressure) - what /proc/pressure/cpu says. */
bool awake_is_calm(const char *pressure);

#endif
