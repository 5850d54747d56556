/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/net/address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include <platter/driver.h>

#include "common/escape.h"

#define IN_USE_SECONDS 2
#define IN_USE_TRIES_PER_SECOND 10

static int parse_mode(struct address *address, const char *text, struct platter_error *error)
{
	unsigned long mode;
	char *end;

	mode = strtoul(text + 5, &end, 8);
	if (*end || end == text + 5 || text[5] == '-' || mode > 0777)
		return platter_fail(error, EINVAL, "%s: the mode must be octal, up to 777", text);
	address->mode = (mode_t)mode;
	return 0;
}

static int parse_option(struct address *address, const char *text, struct platter_error *error)
{
	if (strncmp(text, "tls=", 4) == 0 && text[4]) {
		snprintf(address->tls, sizeof(address->tls), "%s", text + 4);
		return 0;
	}
	if (address->is_unix && strncmp(text, "mode=", 5) == 0)
		return parse_mode(address, text, error);
	return platter_fail(error, EINVAL, address->is_unix ?
			    "%s: not known behind a path; write mode=OCTAL or tls=MODE, and \\, for a comma in a path" :
			    "%s: not known behind an address; write tls=MODE", text);
}

/* What stands behind commas; it is cut to pieces.  NULL: nothing. */
static int parse_options(struct address *address, char *options, struct platter_error *error)
{
	int result = 0;

	while (result == 0 && options) {
		char *next = escape_cut(options, ",");

		result = parse_option(address, options, error);
		options = next;
	}
	return result;
}

/* TEXT is cut to pieces. */
static int parse_unix(struct address *address, char *text, struct platter_error *error)
{
	char *options = escape_cut(text, ",");
	const char *path = escape_remove(text);

	if (!*path)
		return platter_fail(error, EINVAL, "unix: the path is missing; write unix:PATH");
	if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return platter_fail(error, ENAMETOOLONG, "unix:%s: a socket's path has at most 107 bytes", path);
	address->is_unix = true;
	address->mode = 0600;
	snprintf(address->host, sizeof(address->host), "%s", path);
	return parse_options(address, options, error);
}

static int parse_host(struct address *address, const char *text, struct platter_error *error)
{
	const char *host = text;
	const char *colon = strrchr(text, ':');
	size_t length;
	char *end;

	if (*text == '[') {
		const char *bracket = strchr(text, ']');

		if (!bracket || (bracket[1] && bracket[1] != ':'))
			return platter_fail(error, EINVAL, "tcp:%s: write [ADDRESS]:PORT", text);
		host = text + 1;
		length = (size_t)(bracket - host);
		colon = bracket[1] ? bracket + 1 : NULL;
	} else {
		if (colon && strchr(text, ':') != colon)
			return platter_fail(error, EINVAL, "tcp:%s: an IPv6 address belongs in brackets", text);
		length = colon ? (size_t)(colon - text) : strlen(text);
	}
	if (length == 0 || length >= sizeof(address->host))
		return platter_fail(error, EINVAL, "tcp:%s: the host is missing or too long; * means every address", text);
	snprintf(address->host, sizeof(address->host), "%.*s", (int)length, host);
	snprintf(address->port, sizeof(address->port), "%s", ADDRESS_DEFAULT_PORT);
	if (colon) {
		unsigned long port = strtoul(colon + 1, &end, 10);

		if (*end || end == colon + 1 || port > 65535 || colon[1] == '-')
			return platter_fail(error, EINVAL, "tcp:%s: the port must be a number up to 65535", text);
		snprintf(address->port, sizeof(address->port), "%lu", port);
	}
	return 0;
}

/* TEXT is cut to pieces. */
static int parse_tcp(struct address *address, char *text, struct platter_error *error)
{
	char *options = escape_cut(text, ",");
	int result = parse_host(address, text, error);

	return result < 0 ? result : parse_options(address, options, error);
}

static int parse_copy(struct address *address, const char *text, int (*parse)(struct address *, char *, struct platter_error *),
		      struct platter_error *error)
{
	char *copy = strdup(text);
	int result = copy ? parse(address, copy, error) : platter_fail(error, ENOMEM, "no memory");

	free(copy);
	return result;
}

int address_parse_unix(struct address *address, const char *text, struct platter_error *error)
{
	*address = (struct address){ .is_unix = true };
	return parse_copy(address, text, parse_unix, error);
}

int address_parse(struct address *address, const char *text, struct platter_error *error)
{
	*address = (struct address){ .is_unix = false };
	if (strncmp(text, "tcp:", 4) == 0)
		return parse_copy(address, text + 4, parse_tcp, error);
	if (strncmp(text, "unix:", 5) != 0)
		return platter_fail(error, EINVAL, "\"%s\": write unix:PATH or tcp:HOST[:PORT]", text);
	return address_parse_unix(address, text + 5, error);
}

bool address_in_use_for_long(int result, unsigned *tries)
{
	static const struct timespec pause = { .tv_nsec = 1000000000 / IN_USE_TRIES_PER_SECOND };

	if (result != -EADDRINUSE || ++*tries > IN_USE_SECONDS * IN_USE_TRIES_PER_SECOND)
		return true;
	nanosleep(&pause, NULL);
	return false;
}

static char *format(int result, const struct sockaddr_storage *address, socklen_t length, char *text)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (result < 0 || getnameinfo((const struct sockaddr *)address, length, host, sizeof(host), port, sizeof(port),
				      NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(text, ADDRESS_TEXT, "unknown");
	else
		snprintf(text, ADDRESS_TEXT, strchr(host, ':') ? "[%.46s]:%.8s" : "%.46s:%.8s", host, port);
	return text;
}

char *address_of_socket(int fd, char *text)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	int result = getsockname(fd, (struct sockaddr *)&address, &length);

	return format(result, &address, length, text);
}

char *address_of_peer(int fd, char *text)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	int result = getpeername(fd, (struct sockaddr *)&address, &length);

	return format(result, &address, length, text);
}
