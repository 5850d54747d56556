/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's NBD driver by generic netlink (linux/nbd-netlink.h, drivers/block/nbd.c). */
#ifndef CLIENT_NETLINK_H
#define CLIENT_NETLINK_H

#include <stdint.h>

#include "client/platter/problem.h"

struct netlink;

/* What CONNECT says of a device. */
struct netlink_device {
	int index;               /* -1: whichever is free */
	uint64_t size;           /* bytes */
	uint64_t block_size;     /* bytes, the logical one */
	uint16_t flags;          /* NBD_FLAG_..., as the server sent them */
	uint64_t timeout;        /* seconds that a request may take */
	uint64_t dead_timeout;   /* seconds that requests wait for a new connection */
	const char *backend;     /* what the device is of; nobody else's sockets are accepted then */
};

/* With the kernel's driver, which is loaded if it isn't there. */
int netlink_open(struct netlink **ret, struct problem *problem);
/* NULL is allowed. */
void netlink_close(struct netlink *netlink);

/* Makes a device of COUNT sockets: its number.  Waits a while for those who just look at devices that are free. */
int netlink_connect(struct netlink *netlink, const struct netlink_device *device, const int *sockets, unsigned count,
		    struct problem *problem);

/* Has device INDEX use SOCKET instead of the first that is dead: see device_took(). */
int netlink_replace(struct netlink *netlink, unsigned index, const char *backend, int socket, struct problem *problem);

int netlink_resize(struct netlink *netlink, unsigned index, const char *backend, uint64_t size, struct problem *problem);

/* Whoever has it open or not: its requests fail. */
int netlink_disconnect(struct netlink *netlink, unsigned index, struct problem *problem);

/* A descriptor that is readable when some connection of some device has died; netlink_dead() says of which device, -1: none left. */
int netlink_watch(struct netlink *netlink, struct problem *problem);
int netlink_dead(struct netlink *netlink);

#endif
