/* SPDX-License-Identifier: BSD-2-Clause */
/* Unix sockets that listen, and their files. */
#ifndef NET_UNIX_SOCKET_H
#define NET_UNIX_SOCKET_H

#include <sys/types.h>

struct platter_error;

struct unix_socket {
	int fd;
	char *path;    /* NULL: it has no file any more */
	dev_t device;  /* of the file, and... */
	ino_t inode;   /* ...which it is: another server may have replaced it */
};

/* Listens at PATH, with MODE; takes the place of a server that is gone. */
int unix_socket_listen(struct unix_socket *ret, const char *path, mode_t mode, struct platter_error *error);

/* Removes the file, if it is still ours. */
void unix_socket_unlink(struct unix_socket *bound);
/* That, and closes the socket, unless its fd is -1. */
void unix_socket_close(struct unix_socket *bound);

#endif
