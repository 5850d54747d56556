/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stdbool.h>

/* Whether TEXT can be shown anywhere as it is: UTF-8 without control characters. */
bool utf8_is_line(const char *text);

#endif
