/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/nbd/session.h"

#include "server/block/block.h"
#include "server/block/disk.h"
#include "server/block/export.h"
#include "server/block/request.h"
#include "server/nbd/context.h"
#include "server/nbd/handshake.h"
#include "server/nbd/option.h"
#include "server/nbd/transmission.h"

void nbd_init(struct nbd_session *session, struct block *block, enum nbd_tls tls, void (*notify)(struct nbd_session *session),
	      void (*memory_ready)(struct budget_waiter *waiter))
{
	*session = (struct nbd_session){ .block = block, .tls = tls, .notify = notify };
	session->memory.ready = memory_ready;
	list_init(&session->memory.link);
	list_init(&session->replies);
	list_init(&session->held);
	software_queue_init(&session->software);
	session->software.account = &session->account;
	handshake_greet(session);
}

size_t nbd_feed(struct nbd_session *session, const uint8_t *bytes, size_t length)
{
	switch (session->state) {
	case NBD_STATE_FLAGS:
	case NBD_STATE_OPTIONS:
		return handshake_feed(session, bytes, length);
	case NBD_STATE_TRANSMISSION:
		return transmission_feed(session, bytes, length);
	case NBD_STATE_CLOSING:
		break;
	}
	return length;
}

void nbd_skipped(struct nbd_session *session)
{
	session->skip = 0;
	if (session->state == NBD_STATE_OPTIONS) {
		handshake_skipped(session);
	} else {
		session->want = NBD_WANT_BYTES;
		session->need = transmission_header_size(session);
	}
}

void nbd_secured(struct nbd_session *session)
{
	session->secure = true;
	/* What was said in plain text may have been said by anybody. */
	session->form = REPLY_SIMPLE;
	context_forget(session);
	session->want = NBD_WANT_BYTES;
	session->need = NBD_OPTION_HEADER_SIZE;
}

void nbd_payload_done(struct nbd_session *session)
{
	transmission_payload_done(session);
}

void nbd_opened(struct nbd_session *session, int result, const char *reason)
{
	export_unuse(session->export);
	session->export = NULL;
	if (result == 0)
		session->export = session->opening;
	else
		export_unuse(session->opening);
	session->opening = NULL;
	option_opened(session, result, reason);
}

void nbd_sent(struct nbd_session *session, struct request *request)
{
	session->in_flight--;
	session->in_flight_bytes -= request->reserved;
	request_put(request);
}

void nbd_hang_up(struct nbd_session *session)
{
	session->hung_up = true;
	/* What is still read waits for no memory; those behind it in the line have their turn. */
	budget_forget(&session->block->budget, &session->memory);
}

static void drop_list(struct nbd_session *session, struct list_head *list)
{
	struct list_head *node;

	while ((node = list_pop(list)))
		nbd_sent(session, container_of(node, struct request, link));
}

static void drop_payload(struct nbd_session *session)
{
	if (session->payload)
		nbd_sent(session, session->payload);
	session->payload = NULL;
}

/* Drops what no driver has seen yet. */
static void drop_unstarted(struct nbd_session *session)
{
	drop_payload(session);
	drop_list(session, &session->held);
	session->dropping = true;
	if (session->export && session->in_flight)
		queue_drop(&disk_whole(session->export->disk)->queues[session->block->index], session);
	session->dropping = false;
}

void nbd_end_of_input(struct nbd_session *session)
{
	if (session->state != NBD_STATE_CLOSING)
		drop_unstarted(session);
	session->state = NBD_STATE_CLOSING;
	session->want = NBD_WANT_CLOSE;
}

void nbd_stop(struct nbd_session *session)
{
	drop_payload(session);
	drop_list(session, &session->held);
	session->state = NBD_STATE_CLOSING;
	session->want = NBD_WANT_CLOSE;
}

void nbd_abandon(struct nbd_session *session)
{
	session->state = NBD_STATE_CLOSING;
	budget_forget(&session->block->budget, &session->memory);
	drop_unstarted(session);
}

void nbd_mute(struct nbd_session *session)
{
	session->muted = true;
	output_free(&session->out);
	drop_list(session, &session->replies);
}

void nbd_destroy(struct nbd_session *session)
{
	export_unuse(session->opening);
	export_unuse(session->export);
	context_forget(session);
	output_free(&session->out);
}
