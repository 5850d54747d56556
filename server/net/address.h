/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses as people write them and read them. */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <stdbool.h>
#include <sys/types.h>

struct platter_error;

#define ADDRESS_TEXT 64
#define ADDRESS_DEFAULT_PORT "10809"

struct address {
	bool is_unix;
	char tls[16];    /* the mode of TLS; "": it isn't said */
	mode_t mode;     /* of a unix socket's file */
	char host[256];  /* or its path */
	char port[16];
};

/*
 * unix:PATH, tcp:HOST, tcp:HOST:PORT, tcp:[IPV6]:PORT; HOST may be * for every address.  Behind these, after commas:
 * tls=MODE, which is not looked at, and mode=OCTAL behind a path.
 */
int address_parse(struct address *address, const char *text, struct platter_error *error);

/* Likewise what may stand behind "unix:". */
int address_parse_unix(struct address *address, const char *text, struct platter_error *error);

/*
 * A server that was just killed may still listen: the kernel ends what it had
 * in flight first.  Whoever finds an address in use (RESULT -EADDRINUSE) waits a
 * moment here and tries again, until this says that it has been so for long.
 */
bool address_in_use_for_long(int result, unsigned *tries);

/* "192.0.2.1:1234", "[2001:db8::1]:1234" of a TCP socket's two ends, in TEXT (ADDRESS_TEXT bytes), which is returned. */
char *address_of_socket(int fd, char *text);
char *address_of_peer(int fd, char *text);

#endif
