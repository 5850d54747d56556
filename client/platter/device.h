/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel shows of its NBD devices: /dev/nbdN, /sys/block/nbdN. */
#ifndef CLIENT_DEVICE_H
#define CLIENT_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/platter/problem.h"

#define DEVICE_PATH 32    /* bytes of /dev/nbdN */
#define DEVICE_BACKEND 8192

/* N of "nbdN" or "/dev/nbdN"; -1: TEXT is neither. */
int device_index(const char *text);

/* "/dev/nbdN"; PATH has DEVICE_PATH bytes; returns PATH. */
char *device_path(char *path, unsigned index);

/* Whether it has sockets, or had: whoever attached it. */
bool device_is_attached(unsigned index);

/* What it was said to be of when it was attached, BACKEND has DEVICE_BACKEND bytes; false: nothing was, or it isn't attached. */
bool device_backend(unsigned index, char *backend);

/* Bytes; 0: none, or unknown. */
uint64_t device_size(unsigned index);

/* Each that is there, in no order, until EACH says false. */
void device_each(bool (*each)(unsigned index, void *argument), void *argument);

/*
 * Whether the kernel's driver uses SOCKET, which it was given in place of a dead one, of a device whose requests have that
 * timeout (seconds, never 0): where none was dead it takes it without a word, and drops it.
 */
bool device_took(int socket, uint64_t timeout);

/* How large a device's requests are at most, of a server that takes them up to MAXIMUM, bytes; 0: it said nothing. */
uint32_t device_request(uint32_t maximum);

/* Has them be so. */
void device_tune(unsigned index, uint32_t maximum);

/*
 * Waits until its node is there and can be read, its partitions are known, and udev, where there is one, has made the links
 * of NAME.  STATUS_NOT_ATTACHED: it was detached meanwhile.  A read may have to wait for what the supervisor does.
 */
int device_settle(unsigned index, const char *name, uint64_t deadline, struct problem *problem);

/* Waits until it has no sockets any more. */
bool device_wait_gone(unsigned index, uint64_t deadline);

#endif
