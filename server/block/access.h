/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who may use an export: rules, of which a client has to meet one.
 *
 *	cert:NAME   the client's certificate is NAME's: its subject, its common name or one of its alternative names
 *	psk:NAME    it knows NAME's key
 *	uid:USER    on a unix socket: it runs as USER, a number or a name
 *	gid:GROUP   likewise as, or also as, GROUP
 *	net:ADDRESS[/BITS]  it comes from there, by TCP
 *	@FILE       one of the rules in this file, a line each
 */
#ifndef BLOCK_ACCESS_H
#define BLOCK_ACCESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/types.h>

struct access;
struct platter_error;

#define ACCESS_MOST_GROUPS 64

/* A client, as far as it is known. */
struct access_client {
	bool local;                /* on a unix socket: these are known */
	uid_t uid;
	gid_t groups[ACCESS_MOST_GROUPS];
	unsigned group_count;
	bool remote;               /* by TCP: this is known, an IPv4 address mapped */
	struct in6_addr address;
	const char *names;         /* of its certificate, each with its end, an empty one behind the last; NULL: it has none */
	const char *key;           /* the identity whose key it knows; NULL */
};

/* Adds RULE to *ACCESS, which is made when it is NULL.  On failure nobody is let in by it: the caller gives up. */
int access_add(struct access **access, const char *rule, struct platter_error *error);

/* Shared by those who have a reference.  NULL, no rules at all, is allowed. */
struct access *access_get(struct access *access);
void access_put(struct access *access);

/* How an IPv4 address is written in six. */
void access_map_ipv4(struct in6_addr *address, const struct in_addr *from);

/* ACCESS NULL allows everybody, one without rules nobody. */
bool access_allows(const struct access *access, const struct access_client *client);

#endif
