/* SPDX-License-Identifier: BSD-2-Clause */
/* cmocka with what it wants included before it, and what it lacks. */
#ifndef UNIT_UNIT_H
#define UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* TEXT, a message, has EXPECTED in it. */
#define assert_says(text, expected)                                                       \
	do {                                                                              \
		if (!strstr(text, expected))                                              \
			fail_msg("\"%s\" doesn't say \"%s\"", text, expected); \
	} while (0)

#endif
