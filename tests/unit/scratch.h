/*
 * scratch: a folder of its own for a test, with everything in it gone at the end.
 */
#ifndef KYNETA_TESTS_UNIT_SCRATCH_H
#define KYNETA_TESTS_UNIT_SCRATCH_H

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SCRATCH_SIZE 64

/* scratch_make(folder) - make one below /tmp: a socket's path must be short, whatever TMPDIR says. */
static inline void scratch_make(char folder[SCRATCH_SIZE])
{
	snprintf(folder, SCRATCH_SIZE, "/tmp/kyneta-unit-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
}

static inline int scratch_remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

static inline void scratch_remove(const char *folder)
{
	cr_assert_eq(nftw(folder, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

#endif
