/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copies that leave the processor's caches alone.  A disk is larger than they
 * are: an ordinary copy would first fetch every line of the old content from
 * memory only to overwrite it, and throw out what other requests still need.
 */
#ifndef RAM_STREAM_H
#define RAM_STREAM_H

#include <stddef.h>

/* From here on it is faster than memcpy(). */
#define STREAM_LEAST 4096

/* Like memcpy(), for any alignment and length. */
void stream_copy(void *to, const void *from, size_t bytes);

#endif
