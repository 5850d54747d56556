/* SPDX-License-Identifier: BSD-2-Clause */
/* Who uses a device: what the kernel's NBD driver doesn't ask before it disconnects one. */
#ifndef CLIENT_USERS_H
#define CLIENT_USERS_H

#include <stdbool.h>
#include <stddef.h>

/* Names them in TEXT, as "mounted on /mnt, swap, used by dm-0"; false: nobody is found. */
bool users_find(unsigned index, char *text, size_t size);

#endif
