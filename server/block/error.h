/* SPDX-License-Identifier: BSD-2-Clause */
/* The reason of a failure, for people; platter_fail() fills it in. */
#ifndef BLOCK_ERROR_H
#define BLOCK_ERROR_H

struct platter_error {
	char text[512]; /* "" until something failed */
};

#endif
