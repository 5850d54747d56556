/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/fuzz/fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

uint64_t fuzz_now;

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	if (!fuzz_now || clock != CLOCK_MONOTONIC)
		return __real_clock_gettime(clock, now);
	now->tv_sec = (time_t)(fuzz_now / 1000000000);
	now->tv_nsec = (long)(fuzz_now % 1000000000);
	return 0;
}

void fuzz_fail(const char *format, ...)
{
	va_list arguments;

	fputs("A rule is broken: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	abort();
}

void *fuzz_alloc(size_t size)
{
	void *memory = calloc(1, size);

	fuzz_check(memory, "no memory for the target itself");
	return memory;
}
