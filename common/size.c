/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/size.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/checked.h"

static const char size_units[] = "KMGTPE";

int size_parse(const char *text, uint64_t *ret)
{
	const char *unit;
	char *end;
	unsigned shift = 0;
	uint64_t number, bytes;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno)
		return -ERANGE;
	if (*end) {
		unit = strchr(size_units, toupper((unsigned char)*end));
		if (unit) {
			shift = 10 * (unsigned)(unit - size_units + 1);
			end++;
			if (strcasecmp(end, "iB") == 0)
				end += 2;
		}
		if (*end)
			return -EINVAL;
	}
	if (!checked_mul(number, UINT64_C(1) << shift, &bytes) || bytes > INT64_MAX)
		return -ERANGE;
	*ret = bytes;
	return 0;
}

char *size_format(char *out, uint64_t bytes)
{
	int unit = -1;

	while (bytes && bytes % 1024 == 0 && size_units[unit + 1]) {
		bytes /= 1024;
		unit++;
	}
	if (unit < 0)
		snprintf(out, 32, "%" PRIu64 " bytes", bytes);
	else
		snprintf(out, 32, "%" PRIu64 " %ciB", bytes, size_units[unit]);
	return out;
}
