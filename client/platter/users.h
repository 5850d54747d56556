/* SPDX-License-Identifier: BSD-2-Clause */
/* Who uses a device: what the kernel's NBD driver doesn't ask before it disconnects one. */
#ifndef CLIENT_USERS_H
#define CLIENT_USERS_H

#include <stddef.h>

enum users {
	USERS_NONE,
	USERS_OPEN,   /* processes that have it open, perhaps only to look at it */
	USERS_CLAIM,  /* mounts, swap, other devices */
};

/* Names them in TEXT, as "mounted on /mnt, swap on /dev/nbd0p2, used by dm-0, open in dd (123)". */
enum users users_find(unsigned index, char *text, size_t size);

/* Unmounts what is mounted from it, the latest first, and has nobody swap to it; what is in use stays. */
void users_end(unsigned index);

#endif
