/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The handshake: a client's bytes, as they are, to a session with a few
 * exports, in each of the TLS modes.  What the server answers is held against
 * what an oracle makes of the same bytes, and mustn't depend on how they were cut.
 *
 * The input is a byte that says what the server is like, one that says where the
 * client's bytes are cut, and these.  Behind STARTTLS, what follows goes through TLS.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "server/block/access.h"
#include "server/nbd/context.h"
#include "tests/fuzz/backing.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/oracle.h"

#define SETUP_TLS 3u         /* enum nbd_tls; 3: as 0 */
#define SETUP_MEMBER (1u << 2)
#define SETUP_BLOCK_SHIFT 3  /* four bits: the smallest block is two to the power of that */
#define SETUP_SHUTTING_DOWN (1u << 7)

/* A session, and what it was told and said. */
struct peer {
	struct nbd_session session;
	bool member;
	const uint8_t *bytes;
	size_t length, used;
	size_t here;            /* how many of them have come in */
	struct output sent;
};

static void no_notice(struct nbd_session *session)
{
	(void)session;
}

static void no_memory_ready(struct budget_waiter *waiter)
{
	(void)waiter;
}

static bool may_use(struct nbd_session *session, const struct export *export, bool tell)
{
	(void)export;
	(void)tell;
	return container_of(session, struct peer, session)->member;
}

static void collect(struct peer *peer)
{
	output_append(&peer->sent, peer->session.out.bytes, peer->session.out.length);
	output_free(&peer->session.out);
}

/* Of exactly what is here, so that the sanitizer sees who reads behind it. */
static bool feed(struct peer *peer)
{
	size_t length = peer->here - peer->used, used;
	uint8_t *bytes = fuzz_alloc(length + !length);

	memcpy(bytes, peer->bytes + peer->used, length);
	used = nbd_feed(&peer->session, length ? bytes : NULL, length);
	free(bytes);
	fuzz_check(used <= length, "of %zu bytes it has used %zu", length, used);
	peer->used += used;
	return used;
}

static void open_export(struct peer *peer)
{
	struct nbd_session *session = &peer->session;

	if (strcmp(session->opening->name, "broken") == 0)
		nbd_opened(session, -ENOENT, "/dev/\xff\x01: there is no such file");
	else
		nbd_opened(session, 0, NULL);
}

/* As the connection does it, but for the TLS. */
static void secure(struct peer *peer)
{
	struct nbd_session *session = &peer->session;

	export_unuse(session->export);
	session->export = NULL;
	nbd_secured(session);
	fuzz_check(session->secure && session->form == REPLY_SIMPLE && !context_all(session),
		   "something that was said in plain text is kept");
}

static bool skip(struct peer *peer)
{
	uint64_t bytes = peer->here - peer->used;

	bytes = bytes < peer->session.skip ? bytes : peer->session.skip;
	peer->used += bytes;
	peer->session.skip -= bytes;
	if (peer->session.skip)
		return false;
	nbd_skipped(&peer->session);
	return true;
}

/* One step; false when it waits for more, or doesn't go on. */
static bool step(struct peer *peer)
{
	if (peer->session.state == NBD_STATE_TRANSMISSION)
		return false;
	switch (peer->session.want) {
	case NBD_WANT_OPEN:
		open_export(peer);
		return true;
	case NBD_WANT_TLS:
		secure(peer);
		return true;
	case NBD_WANT_SKIP:
		return skip(peer);
	case NBD_WANT_BYTES:
		/* What came out may be too much for another option. */
		return feed(peer) || peer->session.want == NBD_WANT_ROOM;
	case NBD_WANT_ROOM:
		collect(peer);
		return feed(peer);
	default:
		return false;
	}
}

/* The whole of it, CUT bytes at first and then more each time; 0: in one piece. */
static void talk(struct peer *peer, struct backing *backing, const struct oracle_setup *setup, uint8_t cut)
{
	nbd_init(&peer->session, &backing->block, setup->tls, no_notice, no_memory_ready);
	peer->session.may_use = may_use;
	peer->session.shutting_down = setup->shutting_down;
	peer->member = setup->member;
	do {
		size_t more = cut ? cut + peer->here / 8 : peer->length;

		peer->here = peer->length - peer->here < more ? peer->length : peer->here + more;
		while (step(peer))
			;
	} while (peer->here < peer->length && peer->session.state < NBD_STATE_TRANSMISSION);
	collect(peer);
}

static void check_state(const struct peer *peer, const struct oracle_state *state)
{
	const struct nbd_session *session = &peer->session;

	switch (state->end) {
	case ORACLE_WAITS:
		fuzz_check(session->state < NBD_STATE_TRANSMISSION && (session->want == NBD_WANT_BYTES || session->want == NBD_WANT_SKIP),
			   "it should wait for more, and is in state %u, wants %u", session->state, session->want);
		break;
	case ORACLE_DROPPED:
		fuzz_check(session->want == NBD_WANT_DROP, "it should drop the client, and wants %u", session->want);
		break;
	case ORACLE_ABORTED:
		fuzz_check(session->want == NBD_WANT_CLOSE, "it should close, and wants %u", session->want);
		break;
	case ORACLE_TRANSMITS:
		fuzz_check(session->state == NBD_STATE_TRANSMISSION && session->want == NBD_WANT_BYTES, "it should transmit");
		fuzz_check(strcmp(session->export->name, oracle_exports[state->export].name) == 0, "the export is %s", session->export->name);
		fuzz_check(session->form == state->form && context_all(session) == state->context,
			   "the form of replies or the contexts aren't what was negotiated");
		break;
	}
	fuzz_check(session->secure == state->secure, "TLS is in use, or isn't, against what was said");
}

static void peer_free(struct peer *peer)
{
	nbd_abandon(&peer->session);
	nbd_mute(&peer->session);
	nbd_destroy(&peer->session);
	output_free(&peer->sent);
}

static void add_exports(struct backing *backing)
{
	struct access *access = NULL;
	struct platter_error error;

	fuzz_check(access_add(&access, "uid:0", &error) == 0, "the rule isn't one");
	for (unsigned i = 0; i < oracle_export_count; i++) {
		const struct oracle_export *export = &oracle_exports[i];
		int result = i ? export_add(export->name, export->description, export->uuid, backing->disk, export->read_only,
					    export->tls, export->restricted ? access : NULL) : 0;

		fuzz_check(result == 0, "%s cannot be exported", export->name);
	}
	access_put(access);
}

/* Nobody uses them any more. */
static void check_exports(void)
{
	struct list_head *node;

	list_for_each(node, export_list()) {
		const struct export *export = container_of(node, struct export, link);

		fuzz_check(export->users == 0 && export->references == 1, "%u users and %u references of %s are left", export->users,
			   export->references, export->name);
	}
}

static void play(struct backing *backing, const struct oracle_setup *setup, const struct input *input, uint8_t cut)
{
	struct peer whole = { .bytes = input->bytes, .length = input->left };
	struct peer pieces = whole;
	struct oracle_state state;

	talk(&whole, backing, setup, 0);
	oracle_check(setup, input->bytes, input->left, whole.sent.bytes, whole.sent.length, &state);
	check_state(&whole, &state);
	talk(&pieces, backing, setup, cut ? cut : 1);
	fuzz_check(whole.sent.length == pieces.sent.length && memcmp(whole.sent.bytes, pieces.sent.bytes, whole.sent.length) == 0,
		   "in pieces the same bytes have another answer");
	check_state(&pieces, &state);
	peer_free(&whole);
	peer_free(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	uint8_t how = input_byte(&input), cut = input_byte(&input);
	struct oracle_setup setup = {
		.tls = (how & SETUP_TLS) % 3,
		.member = how & SETUP_MEMBER,
		.shutting_down = how & SETUP_SHUTTING_DOWN,
		.bytes = BACKING_BYTES,
		.flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES |
			 NBD_FLAG_SEND_FAST_ZERO,
		.writing = NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_FAST_ZERO,
		.min_block = 1u << (how >> SETUP_BLOCK_SHIFT & 15) % 15,
		.preferred_block = 4096,
	};
	struct platter_geometry geometry = {
		.bytes = setup.bytes,
		.min_block = setup.min_block,
		.capabilities = PLATTER_DISK_FLUSH | PLATTER_DISK_TRIM | PLATTER_DISK_ZEROES,
	};
	struct backing *backing;

	log_open("fuzz_handshake", (enum log_level)0);
	if (setup.preferred_block < setup.min_block)
		setup.preferred_block = setup.min_block;
	backing = backing_new(&geometry, false);
	add_exports(backing);
	play(backing, &setup, &input, cut);
	check_exports();
	backing_free(backing);
	return 0;
}
