/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/fuzz/client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/nbd/context.h"
#include "tests/fuzz/ask.h"
#include "tests/fuzz/fuzz.h"

static void no_notice(struct nbd_session *session)
{
	(void)session;
}

static void no_memory_ready(struct budget_waiter *waiter)
{
	(void)waiter;
}

/* ---- The handshake ---- */

static void put_option(struct output *to, uint32_t option, const void *data, uint32_t length)
{
	output_be64(to, NBD_OPTS_MAGIC);
	output_be32(to, option);
	output_be32(to, length);
	output_append(to, data, length);
}

/* What is called by the INDEX-th name, and that name; false: there is none. */
static bool context_at(struct world *world, unsigned index, struct selected *selected, char name[CONTEXT_NAME_SIZE])
{
	static const char *const marks[] = { "x-platter:dirty", "qemu:dirty-bitmap" };
	const char *fixed = index ? BACKING_CONTEXT : "base:allocation";

	*selected = (struct selected){ .kind = index ? SELECTED_PAGES : SELECTED_ALLOCATION };
	if (index >= 2 + 2 * DIRT_NAMES || (index && !world->all_contexts))
		return false;
	if (index >= 2)
		*selected = (struct selected){ .kind = SELECTED_MARK, .mark = dirt_find(world, (index - 2) / 2) };
	if (index >= 2)
		snprintf(name, CONTEXT_NAME_SIZE, "%s:m%u", marks[index % 2], (index - 2) / 2);
	else
		strcpy(name, fixed);
	return true;
}

/* A mark that isn't set is asked for, too. */
static void put_selection(struct world *world, struct output *to)
{
	struct output data = { .bytes = NULL };
	char name[CONTEXT_NAME_SIZE];
	struct selected selected;
	uint32_t count = 0;

	while (context_at(world, count, &selected, name))
		count++;
	output_append(&data, "\0\0\0\4disk", 8);
	output_be32(&data, count);
	for (unsigned i = 0; context_at(world, i, &selected, name); i++) {
		output_be32(&data, (uint32_t)strlen(name));
		output_append(&data, name, strlen(name));
	}
	put_option(to, NBD_OPT_SET_META_CONTEXT, data.bytes, (uint32_t)data.length);
	output_free(&data);
}

static void put_handshake(const struct client *client, bool contexts, struct output *to)
{
	static const char goes[] = "\0\0\0\4disk\0\0";

	output_be32(to, NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES);
	if (client->form != ANSWER_SIMPLE)
		put_option(to, client->form == ANSWER_EXTENDED ? NBD_OPT_EXTENDED_HEADERS : NBD_OPT_STRUCTURED_REPLY, NULL, 0);
	if (contexts)
		put_selection(client->world, to);
	put_option(to, NBD_OPT_GO, goes, sizeof(goes) - 1);
}

/* An id, and LENGTH - 4 bytes of a name. */
static void note_selected(struct client *client, const uint8_t *data, uint32_t length)
{
	char name[CONTEXT_NAME_SIZE];
	struct selected selected;

	for (unsigned i = 0; context_at(client->world, i, &selected, name); i++) {
		if (strlen(name) != length - 4 || memcmp(name, data + 4, length - 4) != 0)
			continue;
		fuzz_check(selected.kind != SELECTED_MARK || selected.mark, "%s was selected, and isn't there", name);
		selected.id = get_be32(data);
		client->contexts[client->context_count++] = selected;
		return;
	}
	fuzz_fail("\"%.*s\" was selected, which nobody asked for", (int)(length - 4), data + 4);
}

static unsigned count_contexts(struct world *world)
{
	char name[CONTEXT_NAME_SIZE];
	struct selected selected;
	unsigned count = 0;

	for (unsigned i = 0; context_at(world, i, &selected, name); i++)
		count += selected.kind != SELECTED_MARK || selected.mark;
	return count;
}

/* From NBD_INFO_EXPORT the size, behind its type, and the transmission flags; and which contexts were selected. */
static void read_replies(struct client *client, const struct output *out, bool contexts)
{
	bool informed = false;

	for (size_t at = NBD_GREETING_SIZE; at + NBD_OPTION_REPLY_SIZE <= out->length;) {
		const uint8_t *reply = out->bytes + at, *data = reply + NBD_OPTION_REPLY_SIZE;

		if (get_be32(reply + 12) == NBD_REP_META_CONTEXT)
			note_selected(client, data, get_be32(reply + 16));
		if (get_be32(reply + 8) == NBD_OPT_GO && get_be32(reply + 12) == NBD_REP_INFO && get_be16(data) == NBD_INFO_EXPORT) {
			fuzz_check(get_be64(data + 2) == client->world->backing->bytes, "a size of %" PRIu64, get_be64(data + 2));
			client->flags = get_be16(data + 10);
			informed = true;
		}
		at += NBD_OPTION_REPLY_SIZE + get_be32(reply + 16);
	}
	fuzz_check(informed, "no NBD_INFO_EXPORT in the answer to NBD_OPT_GO");
	fuzz_check(!contexts || client->context_count == count_contexts(client->world), "%u contexts were selected",
		   client->context_count);
}

static void shake_hands(struct client *client, bool contexts)
{
	struct output bytes = { .bytes = NULL };
	struct nbd_session *session = &client->session;
	size_t used = 0;

	put_handshake(client, contexts, &bytes);
	while (session->want == NBD_WANT_BYTES && used < bytes.length)
		used += nbd_feed(session, bytes.bytes + used, bytes.length - used);
	fuzz_check(session->want == NBD_WANT_OPEN, "after the handshake, it wants %u", session->want);
	nbd_opened(session, 0, NULL);
	fuzz_check(session->state == NBD_STATE_TRANSMISSION, "NBD_OPT_GO didn't succeed");
	read_replies(client, &session->out, contexts);
	output_free(&session->out);
	output_free(&bytes);
}

void client_open(struct client *client, struct world *world, enum answer_form form, bool contexts)
{
	if (client->open)
		return;
	*client = (struct client){ .world = world, .open = true, .form = form };
	list_init(&client->sent);
	list_init(&client->taken);
	nbd_init(&client->session, &world->backing->block, NBD_TLS_OFF, no_notice, no_memory_ready);
	shake_hands(client, contexts && form != ANSWER_SIMPLE);
}

/* ---- What is asked ---- */

void client_ask(struct client *client, const struct wanted *wanted)
{
	struct ask *ask;

	if (!client->open || client->finishing)
		return;
	ask = ask_new(client, wanted);
	client->last = *wanted;
	list_add_tail(&ask->link, &client->sent);
}

/* The payload into own memory, or into an input buffer's end, behind which nothing is to be read. */
static void fill_payload(struct client *client, const struct ask *ask)
{
	struct request *request = client->session.payload;
	const uint8_t *content = ask_content(ask);
	struct buffer *buffer;

	fuzz_check(request->driver.length == ask->answer.length, "a payload of another length");
	if (ask->number & 1) {
		fuzz_check(request_allocate(request) == 0, "no memory for a payload");
		for (unsigned i = 0; i < request->driver.iovcnt; i++) {
			memcpy(request->driver.iov[i].iov_base, content, request->driver.iov[i].iov_len);
			content += request->driver.iov[i].iov_len;
		}
		return;
	}
	buffer = buffer_get(&client->session.block->buffers, BUFFER_SEGMENT);
	fuzz_check(buffer, "no memory for a payload");
	memcpy(buffer->memory + BUFFER_SEGMENT_SIZE - ask->answer.length, content, ask->answer.length);
	request_borrow(request, buffer, buffer->memory + BUFFER_SEGMENT_SIZE - ask->answer.length);
	buffer_put(buffer);
}

static void feed_payload(struct client *client)
{
	struct ask *ask = container_of(client->taken.prev, struct ask, link);

	fuzz_check(!ask->faults, "the payload of a refused write is wanted");
	fill_payload(client, ask);
	ask->whole = true;
	ask->arrived = shadow_arrive(&client->world->shadow);
	nbd_payload_done(&client->session);
}

/* What the session wants behind a header that it took, LEFT bytes of whose payload are still to come. */
static void check_taken(struct client *client, struct ask *ask, uint64_t left)
{
	struct nbd_session *session = &client->session;
	const struct answer *answer = &ask->answer;

	switch (session->want) {
	case NBD_WANT_PAYLOAD:
		fuzz_check(answer->type == NBD_CMD_WRITE && left, "a payload is wanted for command %u", answer->type);
		ask->whole = false;
		break;
	case NBD_WANT_SKIP:
		fuzz_check(left && session->skip == left && ask->faults, "%" PRIu64 " bytes are skipped behind command %u", session->skip,
			   answer->type);
		break;
	case NBD_WANT_CLOSE:
		fuzz_check(answer->type == NBD_CMD_DISC, "the connection is closed after command %u", answer->type);
		client->finishing = true;
		break;
	default:
		fuzz_check(session->want == NBD_WANT_BYTES && session->need == ask_header_size(client), "it wants %u, %zu bytes",
			   session->want, session->need);
		fuzz_check(answer->type != NBD_CMD_DISC && !left, "nothing is wanted behind command %u", answer->type);
	}
}

static bool feed_header(struct client *client)
{
	struct nbd_session *session = &client->session;
	uint8_t header[ASK_MOST_HEADER];
	size_t size = ask_header_size(client), used, length;
	struct ask *ask;

	if (list_empty(&client->sent))
		return false;
	ask = list_first_entry(&client->sent, struct ask, link);
	ask_arrives(client, ask);
	length = ask_put_header(client, ask, header);
	fuzz_check(nbd_feed(session, header, ask->number % size) == 0, "a request's beginning was taken");
	/* It may be answered inside. */
	list_del_init(&ask->link);
	list_add_tail(&ask->link, &client->taken);
	ask->whole = true;
	ask->arrived = shadow_arrive(&client->world->shadow);
	used = nbd_feed(session, header, length);
	fuzz_check((session->want == NBD_WANT_DROP) == ask->drops, "a connection %s: %s", ask->drops ? "lasts" : "is dropped",
		   session->reason ? session->reason : "");
	if (ask->drops) {
		client_end(client, CLIENT_IS_KILLED);
	} else if (used == 0) {
		fuzz_check(session->want == NBD_WANT_ROOM || session->want == NBD_WANT_MEMORY, "it takes nothing, but wants %u",
			   session->want);
		list_del_init(&ask->link);
		list_add(&ask->link, &client->sent);
		return false;
	} else {
		fuzz_check(used == size || used == length, "of a header, %zu bytes were taken", used);
		check_taken(client, ask, ask->payload - (used - size));
	}
	return !client->finishing;
}

static bool step(struct client *client)
{
	struct nbd_session *session = &client->session;

	if (!client->open || client->finishing)
		return false;
	switch (session->want) {
	case NBD_WANT_PAYLOAD:
		feed_payload(client);
		return true;
	case NBD_WANT_SKIP:
		session->skip = 0;
		nbd_skipped(session);
		return true;
	default:
		return feed_header(client);
	}
}

bool client_deliver(struct client *client, unsigned steps)
{
	while (steps && step(client))
		steps--;
	return steps == 0;
}

/* ---- What is answered ---- */

static struct ask *find(const struct client *client, uint64_t cookie)
{
	struct list_head *node;

	list_for_each(node, &client->taken) {
		struct ask *ask = container_of(node, struct ask, link);

		if (ask->answer.cookie == cookie)
			return ask;
	}
	fuzz_fail("a reply to nobody, or a second one: cookie %#" PRIx64, cookie);
}

static void receive(struct client *client, struct request *request)
{
	struct output bytes = { .bytes = NULL };
	struct ask *ask;
	size_t at = 0;

	output_append(&bytes, request->header, request->header_length);
	for (unsigned i = 0; i < request->driver.iovcnt; i++)
		output_append(&bytes, request->driver.iov[i].iov_base, request->driver.iov[i].iov_len);
	fuzz_check(bytes.length == request->answer_length, "an answer of %zu bytes that is said to have %" PRIu64, bytes.length,
		   request->answer_length);
	nbd_sent(&client->session, request);
	ask = find(client, answer_cookie(bytes.bytes, bytes.length));
	fuzz_check(ask->whole, "a reply to a write whose payload isn't there");
	while (at < bytes.length)
		at += answer_take(&ask->answer, bytes.bytes + at, bytes.length - at);
	fuzz_check(ask->answer.done, "an answer without DONE");
	output_free(&bytes);
	ask_check_answer(client, ask);
	ask_free(client, ask, ask->answer.error == NBD_SUCCESS);
}

void client_receive(struct client *client, unsigned count)
{
	struct list_head *node;

	if (!client->open)
		return;
	fuzz_check(client->session.out.length == 0, "options' replies in the transmission phase");
	while (count-- && (node = list_pop(&client->session.replies)))
		receive(client, container_of(node, struct request, link));
	client_check(client);
}

void client_excuse(struct world *world, const struct platter_request *request)
{
	if (request->op == PLATTER_OP_FLUSH)
		world->sync_failed = true;
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct list_head *node;

		if (!world->clients[i].open)
			continue;
		list_for_each(node, &world->clients[i].taken)
			ask_excuse(world, container_of(node, struct ask, link), request);
	}
}

/* ---- The end ---- */

static bool wants_input(const struct client *client)
{
	enum nbd_want want = client->session.want;

	return !client->finishing && (want == NBD_WANT_BYTES || want == NBD_WANT_SKIP || want == NBD_WANT_PAYLOAD);
}

void client_end(struct client *client, enum client_end end)
{
	struct nbd_session *session = &client->session;

	if (!client->open || client->finishing || ((end == CLIENT_ENDS || end == CLIENT_IS_STOPPED) && !wants_input(client)))
		return;
	client->leaving |= end != CLIENT_IS_STOPPED;
	client->finishing = end != CLIENT_HANGS_UP && end != CLIENT_IS_DEAF;
	switch (end) {
	case CLIENT_ENDS:
		nbd_end_of_input(session);
		break;
	case CLIENT_IS_STOPPED:
		nbd_stop(session);
		break;
	case CLIENT_IS_KILLED:
		nbd_abandon(session);
		nbd_mute(session);
		break;
	case CLIENT_LINGERS:
		nbd_abandon(session);
		break;
	case CLIENT_IS_DEAF:
		nbd_mute(session);
		nbd_hang_up(session);
		break;
	default:
		nbd_hang_up(session);
	}
}

static void forget(struct client *client, struct list_head *asks)
{
	struct list_head *node, *following;

	list_for_each_safe(node, following, asks) {
		struct ask *ask = container_of(node, struct ask, link);

		fuzz_check(client->leaving || asks == &client->sent || !ask->whole || ask->answer.type == NBD_CMD_DISC,
			   "command %u was never answered", ask->answer.type);
		ask_free(client, ask, false);
	}
}

void client_check(struct client *client)
{
	struct nbd_session *session = &client->session;

	if (!client->open || !client->finishing || session->in_flight)
		return;
	fuzz_check(session->in_flight_bytes == 0, "%" PRIu64 " bytes are in flight, and no request", session->in_flight_bytes);
	fuzz_check(session->software.open == 0, "%u requests of a connection that has none", session->software.open);
	forget(client, &client->sent);
	forget(client, &client->taken);
	software_queue_leave(&session->software);
	nbd_destroy(session);
	client->open = false;
}
