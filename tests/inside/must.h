/*
 * must: what has to hold, in programs that are no Criterion tests. If it does not, they say what and abort, so that
 * whoever runs them (a fuzzer, a debugger, a suite) sees where.
 */
#ifndef KYNETA_TESTS_INSIDE_MUST_H
#define KYNETA_TESTS_INSIDE_MUST_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* MUST(condition, format, …) - the format and what it shows are looked at only when it does not hold. */
#define MUST(condition, ...)                                                                                           \
	do {                                                                                                           \
		if (__builtin_expect(!(condition), 0))                                                                 \
			must_fail(__FILE__, __LINE__, #condition, __VA_ARGS__);                                        \
	} while (0)

static inline _Noreturn __attribute__((format(printf, 4, 5))) void
must_fail(const char *file, int line, const char *condition, const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "%s:%d: must hold: %s: ", file, line, condition);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	abort();
}

#endif
