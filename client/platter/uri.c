/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/uri.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uriparser/Uri.h>

#include "client/platter/problem.h"
#include "common/wire.h"

#define DEFAULT_PORT "10809"

static const struct {
	const char *name;
	bool tls, is_unix;
} schemes[] = {
	{ "nbd", false, false },
	{ "nbds", true, false },
	{ "nbd+unix", false, true },
	{ "nbds+unix", true, true },
};

static char *copy(const UriTextRangeA *range)
{
	return range->first ? strndup(range->first, (size_t)(range->afterLast - range->first)) : strdup("");
}

/* A copy without its %XX. */
static char *decoded(const UriTextRangeA *range)
{
	char *text = copy(range);

	if (text)
		uriUnescapeInPlaceExA(text, URI_FALSE, URI_BR_DONT_TOUCH);
	return text;
}

static int take_scheme(struct uri *uri, bool *is_unix, const UriUriA *parsed, struct problem *problem)
{
	char *scheme = copy(&parsed->scheme);
	int result = -1;

	if (!scheme)
		return problem_memory(problem);
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]) && result < 0; i++) {
		if (strcmp(scheme, schemes[i].name) != 0)
			continue;
		uri->tls = schemes[i].tls;
		*is_unix = schemes[i].is_unix;
		result = 0;
	}
	if (result < 0)
		problem_set(problem, STATUS_USAGE, "%s%snot one of nbd://, nbds://, nbd+unix:// and nbds+unix://", scheme,
			    *scheme ? "://: " : "a scheme is missing: ");
	/* Of nbd:SERVER:PORT the rest would be an export's name. */
	if (result == 0 && strncmp(parsed->scheme.afterLast, "://", 3) != 0)
		result = problem_set(problem, STATUS_USAGE, "it begins with %s://", scheme);
	free(scheme);
	return result;
}

/* The path without its first slash. */
static int take_export(struct uri *uri, const UriUriA *parsed, struct problem *problem)
{
	size_t length = 0, room = 1;
	char *name;

	for (const UriPathSegmentA *at = parsed->pathHead; at; at = at->next)
		room += (size_t)(at->text.afterLast - at->text.first) + 1;
	name = malloc(room);
	if (!name)
		return problem_memory(problem);
	for (const UriPathSegmentA *at = parsed->pathHead; at; at = at->next) {
		size_t part = (size_t)(at->text.afterLast - at->text.first);

		memcpy(name + length, at->text.first, part);
		length += part;
		if (at->next)
			name[length++] = '/';
	}
	name[length] = '\0';
	uriUnescapeInPlaceExA(name, URI_FALSE, URI_BR_DONT_TOUCH);
	uri->export = name;
	if (strlen(name) > NBD_MAX_STRING)
		return problem_set(problem, STATUS_USAGE, "the export's name has %zu bytes; %d is the most", strlen(name), NBD_MAX_STRING);
	return 0;
}

/* One parameter; a value that was taken is the caller's no more. */
static int take_parameter(struct uri *uri, const char *key, const char *value, struct problem *problem)
{
	const struct {
		const char *key;
		char **place;
	} texts[] = {
		{ "socket", &uri->socket },
		{ "tls-certificates", &uri->certificates },
		{ "tls-psk-file", &uri->psk },
		{ "tls-hostname", &uri->hostname },
	};

	if (!uri->tls && strncmp(key, "tls-", 4) == 0)
		return problem_set(problem, STATUS_USAGE, "%s=: without TLS; write nbds instead of nbd for that", key);
	if (strcmp(key, "tls-verify-peer") == 0) {
		if (!value || (strcmp(value, "true") != 0 && strcmp(value, "false") != 0))
			return problem_set(problem, STATUS_USAGE, "tls-verify-peer=%s: neither true nor false", value ? value : "");
		uri->trusts_any = *value == 'f';
		return 0;
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (strcmp(key, texts[i].key) != 0)
			continue;
		if (!value || !*value)
			return problem_set(problem, STATUS_USAGE, "%s=: a value is missing", key);
		if (*texts[i].place)
			return problem_set(problem, STATUS_USAGE, "%s= stands there twice", key);
		*texts[i].place = strdup(value);
		return *texts[i].place ? 0 : problem_memory(problem);
	}
	return problem_set(problem, STATUS_USAGE, "%s=: not a parameter that this URI can have", key);
}

static int take_query(struct uri *uri, const UriUriA *parsed, struct problem *problem)
{
	UriQueryListA *list = NULL;
	int count, result = 0;

	if (!parsed->query.first)
		return 0;
	if (uriDissectQueryMallocExA(&list, &count, parsed->query.first, parsed->query.afterLast, URI_FALSE,
				     URI_BR_DONT_TOUCH) != URI_SUCCESS)
		return problem_memory(problem);
	for (const UriQueryListA *at = list; at && result == 0; at = at->next)
		result = take_parameter(uri, at->key, at->value, problem);
	uriFreeQueryListA(list);
	return result;
}

static int take_place(struct uri *uri, bool is_unix, const UriUriA *parsed, struct problem *problem)
{
	bool has_host = parsed->hostText.first && parsed->hostText.first != parsed->hostText.afterLast;

	if (is_unix) {
		if (!uri->socket)
			return problem_set(problem, STATUS_USAGE, "?socket=PATH is missing: which unix socket?");
		if (has_host)
			return problem_set(problem, STATUS_USAGE, "a unix socket has no host: write nbd+unix:///EXPORT?socket=PATH");
		return 0;
	}
	if (uri->socket)
		return problem_set(problem, STATUS_USAGE, "socket=%s: only nbd+unix:// and nbds+unix:// have one", uri->socket);
	uri->host = has_host ? decoded(&parsed->hostText) : strdup("localhost");
	uri->port = parsed->portText.first && parsed->portText.first != parsed->portText.afterLast ? copy(&parsed->portText)
												     : strdup(DEFAULT_PORT);
	return uri->host && uri->port ? 0 : problem_memory(problem);
}

static int take_all(struct uri *uri, const UriUriA *parsed, struct problem *problem)
{
	bool is_unix = false;

	if (take_scheme(uri, &is_unix, parsed, problem) < 0 || take_export(uri, parsed, problem) < 0 ||
	    take_query(uri, parsed, problem) < 0 || take_place(uri, is_unix, parsed, problem) < 0)
		return -1;
	if (parsed->fragment.first)
		return problem_set(problem, STATUS_USAGE, "a # means nothing here; in a name it is %%23");
	if (parsed->userInfo.first) {
		uri->user = decoded(&parsed->userInfo);
		if (!uri->user)
			return problem_memory(problem);
	}
	return 0;
}

int uri_parse(struct uri *uri, const char *text, struct problem *problem)
{
	const char *wrong = NULL;
	UriUriA parsed;
	int result;

	*uri = (struct uri){ 0 };
	/* It would end the string that it stands for. */
	if (strstr(text, "%00"))
		return problem_set(problem, STATUS_USAGE, "%s: a zero byte (%%00) can't be in it", text);
	if (uriParseSingleUriA(&parsed, text, &wrong) != URI_SUCCESS)
		return problem_set(problem, STATUS_USAGE, "%s: not a URI, from \"%s\" on", text, wrong ? wrong : "");
	result = take_all(uri, &parsed, problem);
	uriFreeUriMembersA(&parsed);
	if (result < 0) {
		struct problem inner = *problem;

		problem_set(problem, inner.status, "%.300s: %.200s", text, inner.text);
		uri_free(uri);
	}
	return result;
}

/* TEXT with %XX for what has a meaning; KEPT stays as it is. */
static char *encode(char *to, const char *text, const char *kept)
{
	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;
		bool plain = (byte >= '0' && byte <= '9') || ((byte | 32) >= 'a' && (byte | 32) <= 'z') || strchr(kept, byte);

		if (plain)
			*to++ = (char)byte;
		else
			to += sprintf(to, "%%%02X", byte);
	}
	*to = '\0';
	return to;
}

char *uri_canonical(const struct uri *uri)
{
	static const char kept[] = "-._~/";
	size_t place = uri->socket ? strlen(uri->socket) : strlen(uri->host) + strlen(uri->port);
	char *text = malloc(64 + 3 * (place + strlen(uri->export)));
	char *end = text;

	if (!text)
		return NULL;
	end += sprintf(end, "nbd%s", uri->tls ? "s" : "");
	if (uri->socket) {
		end += sprintf(end, "+unix:///");
		end = encode(end, uri->export, kept);
		end += sprintf(end, "?socket=");
		encode(end, uri->socket, kept);
		return text;
	}
	end += sprintf(end, strchr(uri->host, ':') ? "://[" : "://");
	end = encode(end, uri->host, "-._~:");
	if (strchr(uri->host, ':'))
		*end++ = ']';
	*end = '\0';
	if (strcmp(uri->port, DEFAULT_PORT) != 0)
		end += sprintf(end, ":%s", uri->port);
	*end++ = '/';
	encode(end, uri->export, kept);
	return text;
}

void uri_free(struct uri *uri)
{
	free(uri->host);
	free(uri->port);
	free(uri->socket);
	free(uri->export);
	free(uri->user);
	free(uri->certificates);
	free(uri->psk);
	free(uri->hostname);
	*uri = (struct uri){ 0 };
}
