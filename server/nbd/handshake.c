/* SPDX-License-Identifier: BSD-2-Clause */
/* The handshake: greeting, client flags, and the stream of options. */
#include "server/nbd/handshake.h"

#include "common/wire.h"
#include "server/nbd/option.h"
#include "server/nbd/session.h"

#define SERVER_FLAGS (NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES)

void handshake_greet(struct nbd_session *session)
{
	session->state = NBD_STATE_FLAGS;
	session->want = NBD_WANT_BYTES;
	session->need = NBD_CLIENT_FLAGS_SIZE;
	output_be64(&session->out, NBD_MAGIC);
	output_be64(&session->out, NBD_OPTS_MAGIC);
	output_be16(&session->out, SERVER_FLAGS);
}

static size_t need(struct nbd_session *session, size_t bytes)
{
	session->want = NBD_WANT_BYTES;
	session->need = bytes;
	return 0;
}

static size_t drop(struct nbd_session *session, const char *reason)
{
	session->state = NBD_STATE_CLOSING;
	session->want = NBD_WANT_DROP;
	session->reason = reason;
	return 0;
}

static size_t feed_flags(struct nbd_session *session, const uint8_t *bytes)
{
	uint32_t flags = get_be32(bytes);

	/* The client's bits are the server's, answered. */
	if (flags & ~SERVER_FLAGS)
		return drop(session, "unknown client flags");
	/* Without this there is no TLS. */
	if (!(flags & NBD_FLAG_C_FIXED_NEWSTYLE)) {
		if (session->tls == NBD_TLS_REQUIRED)
			return drop(session, "TLS is required, and the client cannot have it");
		session->tls = NBD_TLS_OFF;
	}
	session->no_zeroes = flags & NBD_FLAG_C_NO_ZEROES;
	session->state = NBD_STATE_OPTIONS;
	need(session, NBD_OPTION_HEADER_SIZE);
	return NBD_CLIENT_FLAGS_SIZE;
}

/* Data that isn't looked at is thrown away before the option is answered. */
static size_t skip_data(struct nbd_session *session, uint32_t length)
{
	if (length > NBD_MOST_OPTION_SKIP)
		return drop(session, "option data of more than 1 MiB");
	session->skip = length;
	session->want = NBD_WANT_SKIP;
	return NBD_OPTION_HEADER_SIZE;
}

static size_t feed_option(struct nbd_session *session, const uint8_t *bytes, size_t available)
{
	uint32_t length = get_be32(bytes + 12);
	bool skip;

	if (get_be64(bytes) != NBD_OPTS_MAGIC)
		return drop(session, "an option without its magic");
	if (session->out.length > NBD_MOST_OUTPUT) {
		session->want = NBD_WANT_ROOM;
		return 0;
	}
	/* Before its data are there. */
	if (session->options == NBD_MOST_OPTIONS)
		return drop(session, "too many options");
	session->option = get_be32(bytes + 8);
	skip = length > option_most_data(session->option);
	if (skip && session->option == NBD_OPT_EXPORT_NAME)
		return drop(session, "an export name of more than 4096 bytes");
	if (!skip && available < NBD_OPTION_HEADER_SIZE + length)
		return need(session, NBD_OPTION_HEADER_SIZE + length);
	session->options++;
	if (skip)
		return skip_data(session, length);
	need(session, NBD_OPTION_HEADER_SIZE);
	option_answer(session, bytes + NBD_OPTION_HEADER_SIZE, length);
	return NBD_OPTION_HEADER_SIZE + length;
}

size_t handshake_feed(struct nbd_session *session, const uint8_t *bytes, size_t length)
{
	bool flags = session->state == NBD_STATE_FLAGS;
	size_t least = flags ? NBD_CLIENT_FLAGS_SIZE : NBD_OPTION_HEADER_SIZE;

	if (length < least)
		return need(session, least);
	return flags ? feed_flags(session, bytes) : feed_option(session, bytes, length);
}

void handshake_skipped(struct nbd_session *session)
{
	need(session, NBD_OPTION_HEADER_SIZE);
	option_skipped(session);
}
