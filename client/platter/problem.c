/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/problem.h"

#include <stdarg.h>
#include <stdio.h>

int problem_set(struct problem *problem, enum status status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(problem->text, sizeof(problem->text), format, args);
	va_end(args);
	problem->status = status;
	return -1;
}

int problem_memory(struct problem *problem)
{
	return problem_set(problem, STATUS_FAILED, "no memory");
}
