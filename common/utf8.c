/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/utf8.h"

#include <string.h>
#include <unistr.h>

bool utf8_is_line(const char *text)
{
	const uint8_t *at = (const uint8_t *)text;

	if (u8_check(at, strlen(text)))
		return false;
	for (; *at; at++)
		if (*at < 0x20 || *at == 0x7f || (*at == 0xc2 && at[1] < 0xa0))
			return false;
	return true;
}
