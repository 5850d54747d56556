/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/nbd/option.h"

#include <stdio.h>
#include <string.h>
#include <unistr.h>

#include "common/log.h"
#include "common/wire.h"
#include "server/block/disk.h"
#include "server/block/export.h"
#include "server/block/registry.h"
#include "server/nbd/context.h"
#include "server/nbd/info.h"
#include "server/nbd/session.h"
#include "server/nbd/transmission.h"

void option_reply_header(struct nbd_session *session, uint32_t type, size_t length)
{
	output_be64(&session->out, NBD_REP_MAGIC);
	output_be32(&session->out, session->option);
	output_be32(&session->out, type);
	output_be32(&session->out, (uint32_t)length);
}

void option_reply(struct nbd_session *session, uint32_t type, const char *text)
{
	size_t length = text ? strlen(text) : 0;

	option_reply_header(session, type, length);
	output_append(&session->out, text, length);
}

uint32_t option_most_data(uint32_t option)
{
	switch (option) {
	case NBD_OPT_EXPORT_NAME:
		return NBD_MAX_STRING;
	case NBD_OPT_INFO:
	case NBD_OPT_GO:
		return NBD_MOST_OPTION_DATA;
	case NBD_OPT_LIST_META_CONTEXT:
	case NBD_OPT_SET_META_CONTEXT:
		return NBD_MOST_CONTEXT_DATA;
	default:
		return 0;
	}
}

bool option_is_string(const uint8_t *bytes, uint32_t length)
{
	return length <= NBD_MAX_STRING && !memchr(bytes, 0, length) && !u8_check(bytes, length);
}

static void close_session(struct nbd_session *session, enum nbd_want want, const char *reason)
{
	session->state = NBD_STATE_CLOSING;
	session->want = want;
	session->reason = reason;
}

bool option_may_use(struct nbd_session *session, const struct export *export, bool tell)
{
	return !export->access || (session->may_use && session->may_use(session, export, tell));
}

void option_refuse_access(struct nbd_session *session)
{
	option_reply(session, NBD_REP_ERR_POLICY, "the server's rules don't allow that");
}

void option_refuse_unknown(struct nbd_session *session, const char *name, uint32_t length)
{
	char printable[81];
	char text[160];

	snprintf(text, sizeof(text), "there is no export named \"%s\"",
		 log_printable(printable, sizeof(printable), name, length));
	option_reply(session, NBD_REP_ERR_UNKNOWN, text);
}

static void want_open(struct nbd_session *session, struct export *export)
{
	session->opening = export;
	session->want = NBD_WANT_OPEN;
}

static void answer_export_name(struct nbd_session *session, const uint8_t *data, uint32_t length)
{
	struct export *export;

	if (session->form == REPLY_EXTENDED) {
		close_session(session, NBD_WANT_DROP, "NBD_OPT_EXPORT_NAME after NBD_OPT_EXTENDED_HEADERS");
		return;
	}
	export = option_is_string(data, length) ? export_use((const char *)data, length, session->secure) : NULL;
	if (export && option_may_use(session, export, true)) {
		want_open(session, export);
		return;
	}
	close_session(session, NBD_WANT_DROP, export ? "NBD_OPT_EXPORT_NAME for an export that the client may not use" :
						       "NBD_OPT_EXPORT_NAME for an export that doesn't exist");
	export_unuse(export);
}

static void answer_list(struct nbd_session *session)
{
	struct list_head *node;

	registry_lock();
	list_for_each(node, export_list()) {
		const struct export *export = container_of(node, struct export, link);
		const char *text = export_description(export);
		size_t name = strlen(export->name);
		size_t description = strlen(text);

		if (export->removing || (export->tls && !session->secure) || !option_may_use(session, export, false))
			continue;
		option_reply_header(session, NBD_REP_SERVER, 4 + name + description);
		output_be32(&session->out, (uint32_t)name);
		output_append(&session->out, export->name, name);
		output_append(&session->out, text, description);
	}
	registry_unlock();
	option_reply(session, NBD_REP_ACK, NULL);
}

/* INFO and GO: name length, name, number of information requests, the requests. */
static void answer_info(struct nbd_session *session, const uint8_t *data, uint32_t length)
{
	uint32_t name_length;
	uint16_t count;
	struct export *export;

	if (length < 6 || (name_length = get_be32(data)) > length - 6) {
		option_reply(session, NBD_REP_ERR_INVALID, "the export name doesn't fit into the option");
		return;
	}
	count = get_be16(data + 4 + name_length);
	if (length - 6 - name_length != 2u * count) {
		option_reply(session, NBD_REP_ERR_INVALID, "the number of information requests doesn't fit the option's length");
		return;
	}
	if (!option_is_string(data + 4, name_length)) {
		option_reply(session, NBD_REP_ERR_INVALID, "the export name is not UTF-8 of at most 4096 bytes without NUL");
		return;
	}
	session->infos = 0;
	for (uint16_t i = 0; i < count; i++)
		session->infos |= info_bit(get_be16(data + 6 + name_length + 2u * i));
	session->by_default = name_length == 0;
	export = export_use((const char *)data + 4, name_length, session->secure);
	if (export && option_may_use(session, export, true)) {
		want_open(session, export);
	} else if (export) {
		option_refuse_access(session);
		export_unuse(export);
	} else if (session->tls != NBD_TLS_OFF && !session->secure) {
		/* Whether there is one isn't told. */
		option_reply(session, NBD_REP_ERR_TLS_REQD, "there is no such export, or it needs TLS");
	} else {
		option_refuse_unknown(session, (const char *)data + 4, name_length);
	}
}

static void answer_abort(struct nbd_session *session)
{
	option_reply(session, NBD_REP_ACK, NULL);
	close_session(session, NBD_WANT_CLOSE, NULL);
}

static void answer_starttls(struct nbd_session *session)
{
	if (session->tls == NBD_TLS_OFF) {
		option_reply(session, NBD_REP_ERR_POLICY, "this server doesn't use TLS here");
	} else if (session->secure) {
		option_reply(session, NBD_REP_ERR_INVALID, "TLS is in use already");
	} else {
		option_reply(session, NBD_REP_ACK, NULL);
		session->want = NBD_WANT_TLS;
	}
}

/* Extended headers have them, and can't be taken back. */
static void answer_structured_reply(struct nbd_session *session)
{
	if (session->form == REPLY_EXTENDED) {
		option_reply(session, NBD_REP_ERR_EXT_HEADER_REQD, "extended headers were negotiated, which come with structured replies");
		return;
	}
	session->form = REPLY_STRUCTURED;
	option_reply(session, NBD_REP_ACK, NULL);
}

/* Whether the option has to wait for TLS: then that was said. */
static bool refuse_insecure(struct nbd_session *session)
{
	if (session->tls != NBD_TLS_REQUIRED || session->secure || session->option == NBD_OPT_STARTTLS ||
	    session->option == NBD_OPT_ABORT)
		return false;
	if (session->option == NBD_OPT_EXPORT_NAME)
		close_session(session, NBD_WANT_DROP, "NBD_OPT_EXPORT_NAME without TLS, which is required");
	else
		option_reply(session, NBD_REP_ERR_TLS_REQD, "this server wants TLS first");
	return true;
}

/* Whether the server stops: then that was said. */
static bool refuse_late(struct nbd_session *session)
{
	if (!session->shutting_down || session->option == NBD_OPT_ABORT)
		return false;
	if (session->option == NBD_OPT_EXPORT_NAME)
		close_session(session, NBD_WANT_DROP, NULL);
	else
		option_reply(session, NBD_REP_ERR_SHUTDOWN, "the server is shutting down");
	return true;
}

static void refuse_unsupported(struct nbd_session *session)
{
	option_reply(session, NBD_REP_ERR_UNSUP, "this server doesn't know the option");
}

void option_skipped(struct nbd_session *session)
{
	if (refuse_insecure(session) || refuse_late(session))
		return;
	switch (session->option) {
	case NBD_OPT_ABORT:
		/* Whatever its data are, they mean nothing. */
		answer_abort(session);
		break;
	case NBD_OPT_LIST:
	case NBD_OPT_STARTTLS:
	case NBD_OPT_STRUCTURED_REPLY:
	case NBD_OPT_EXTENDED_HEADERS:
		option_reply(session, NBD_REP_ERR_INVALID, "the option takes no data");
		break;
	case NBD_OPT_INFO:
	case NBD_OPT_GO:
	case NBD_OPT_LIST_META_CONTEXT:
	case NBD_OPT_SET_META_CONTEXT:
		if (session->option == NBD_OPT_SET_META_CONTEXT)
			context_forget(session);
		option_reply(session, NBD_REP_ERR_TOO_BIG, "the option's data is too long");
		break;
	default:
		refuse_unsupported(session);
	}
}

void option_answer(struct nbd_session *session, const uint8_t *data, uint32_t length)
{
	if (refuse_insecure(session) || refuse_late(session))
		return;
	switch (session->option) {
	case NBD_OPT_EXPORT_NAME:
		answer_export_name(session, data, length);
		break;
	case NBD_OPT_ABORT:
		answer_abort(session);
		break;
	case NBD_OPT_LIST:
		answer_list(session);
		break;
	case NBD_OPT_STARTTLS:
		answer_starttls(session);
		break;
	case NBD_OPT_STRUCTURED_REPLY:
		answer_structured_reply(session);
		break;
	case NBD_OPT_EXTENDED_HEADERS:
		session->form = REPLY_EXTENDED;
		option_reply(session, NBD_REP_ACK, NULL);
		break;
	case NBD_OPT_INFO:
	case NBD_OPT_GO:
		answer_info(session, data, length);
		break;
	case NBD_OPT_LIST_META_CONTEXT:
	case NBD_OPT_SET_META_CONTEXT:
		context_answer(session, data, length);
		break;
	default:
		refuse_unsupported(session);
	}
}

static void append_info(struct nbd_session *session, enum nbd_info type, const void *payload, size_t length)
{
	option_reply_header(session, NBD_REP_INFO, 2 + length);
	output_be16(&session->out, (uint16_t)type);
	output_append(&session->out, payload, length);
}

static void append_infos(struct nbd_session *session)
{
	const struct export *export = session->export;
	uint8_t bytes[INFO_BLOCK_SIZE_LENGTH];
	char text[INFO_TEXT_SIZE];

	append_info(session, NBD_INFO_EXPORT, bytes, info_export(bytes, session));
	if (session->by_default || (session->infos & info_bit(NBD_INFO_NAME)))
		append_info(session, NBD_INFO_NAME, export->name, strlen(export->name));
	if (session->infos & info_bit(NBD_INFO_DESCRIPTION))
		append_info(session, NBD_INFO_DESCRIPTION, text, info_description(text, export));
	if (session->infos & info_bit(NBD_INFO_BLOCK_SIZE))
		append_info(session, NBD_INFO_BLOCK_SIZE, bytes, info_block_size(bytes, export->disk));
}

/* EXPORT_NAME's only answer: what INFO_EXPORT has, and 124 zeroes for old clients. */
static void answer_old_style(struct nbd_session *session)
{
	static const uint8_t zeroes[NBD_EXPORT_NAME_ZEROES];
	uint8_t bytes[INFO_EXPORT_LENGTH];

	output_append(&session->out, bytes, info_export(bytes, session));
	if (!session->no_zeroes)
		output_append(&session->out, zeroes, sizeof(zeroes));
	transmission_start(session);
}

/* What the driver says may hold a path of any bytes, but what goes out is UTF-8. */
static void refuse_open(struct nbd_session *session, const char *reason)
{
	char printable[512];

	option_reply(session, NBD_REP_ERR_UNKNOWN, log_printable(printable, sizeof(printable), reason, (unsigned)strlen(reason)));
}

void option_opened(struct nbd_session *session, int result, const char *reason)
{
	session->want = NBD_WANT_BYTES;
	session->need = NBD_OPTION_HEADER_SIZE;
	/* It may have begun before. */
	if (refuse_late(session))
		return;
	if (result < 0 && session->option == NBD_OPT_EXPORT_NAME) {
		close_session(session, NBD_WANT_DROP, "NBD_OPT_EXPORT_NAME for an export that cannot be opened");
	} else if (result < 0) {
		refuse_open(session, reason);
	} else if (session->option == NBD_OPT_EXPORT_NAME) {
		answer_old_style(session);
	} else {
		append_infos(session);
		option_reply(session, NBD_REP_ACK, NULL);
		if (session->option == NBD_OPT_GO)
			transmission_start(session);
	}
}
