/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The NBD session as a function on bytes.  The wire tests hold the real daemon
 * to every rule; here is what a socket can't show: that the answer doesn't
 * depend on how the bytes were cut, and that nothing is taken too early.
 */
#include <errno.h>
#include <string.h>

#include "common/wire.h"
#include "server/nbd/reply.h"
#include "server/nbd/session.h"
#include "tests/unit/fake.h"
#include "tests/unit/unit.h"

/* A connection without a socket. */
struct peer {
	struct fake *fake;
	struct nbd_session session;
	uint8_t input[1 << 16];
	size_t length;         /* of the input not yet used */
	struct output sent;    /* everything that went out */
	size_t payload;        /* bytes of the WRITE's data that are in */
};

static void no_notice(struct nbd_session *session)
{
	(void)session;
}

static void no_memory_ready(struct budget_waiter *waiter)
{
	(void)waiter;
}

static void collect_output(struct peer *peer)
{
	struct nbd_session *session = &peer->session;
	struct list_head *node;

	output_append(&peer->sent, session->out.bytes, session->out.length);
	output_free(&session->out);
	while ((node = list_pop(&session->replies))) {
		struct request *request = container_of(node, struct request, link);

		output_append(&peer->sent, request->header, request->header_length);
		for (unsigned i = 0; i < request->driver.iovcnt; i++)
			output_append(&peer->sent, request->driver.iov[i].iov_base, request->driver.iov[i].iov_len);
		nbd_sent(session, request);
	}
}

/* One step; false when it waits for more. */
static bool step(struct peer *peer)
{
	struct nbd_session *session = &peer->session;
	size_t used = 0;

	switch (session->want) {
	case NBD_WANT_OPEN:
		nbd_opened(session, 0, NULL);
		return true;
	case NBD_WANT_SKIP:
		used = session->skip < peer->length ? session->skip : peer->length;
		session->skip -= used;
		if (session->skip == 0)
			nbd_skipped(session);
		break;
	case NBD_WANT_PAYLOAD: {
		struct request *request = session->payload;

		if (request->driver.iovcnt == 0)
			assert_int_equal(request_allocate(request), 0);
		used = request->driver.length - peer->payload;
		used = used < peer->length ? used : peer->length;
		memcpy((uint8_t *)request->driver.iov[0].iov_base + peer->payload, peer->input, used);
		peer->payload += used;
		if (peer->payload == request->driver.length) {
			peer->payload = 0;
			nbd_payload_done(session);
		}
		break;
	}
	case NBD_WANT_CLOSE:
	case NBD_WANT_DROP:
		return false;
	default:
		used = nbd_feed(session, peer->input, peer->length);
	}
	peer->length -= used;
	memmove(peer->input, peer->input + used, peer->length);
	return used > 0;
}

static void feed(struct peer *peer, const void *bytes, size_t length)
{
	memcpy(peer->input + peer->length, bytes, length);
	peer->length += length;
	while (step(peer))
		;
	fake_dispatch(peer->fake);
	collect_output(peer);
}

static struct peer *peer_new(void)
{
	struct peer *peer = test_calloc(1, sizeof(*peer));

	peer->fake = fake_new();
	peer->fake->at_once = true;
	nbd_init(&peer->session, &peer->fake->block, NBD_TLS_ON, no_notice, no_memory_ready);
	collect_output(peer);
	return peer;
}

static void peer_free(struct peer *peer)
{
	nbd_abandon(&peer->session);
	nbd_mute(&peer->session);
	assert_int_equal(peer->session.in_flight, 0);
	assert_int_equal(peer->fake->block.budget.used, 0);
	nbd_destroy(&peer->session);
	output_free(&peer->sent);
	fake_free(peer->fake);
	test_free(peer);
}

static void add_option(struct output *to, uint32_t option, const void *data, uint32_t length)
{
	output_be64(to, NBD_OPTS_MAGIC);
	output_be32(to, option);
	output_be32(to, length);
	output_append(to, data, length);
}

static void add_request(struct output *to, uint16_t flags, uint16_t type, uint64_t cookie, uint64_t offset, uint32_t length)
{
	output_be32(to, NBD_REQUEST_MAGIC);
	output_be16(to, flags);
	output_be16(to, type);
	output_be64(to, cookie);
	output_be64(to, offset);
	output_be32(to, length);
}

static const uint8_t go_fake[] = { 0, 0, 0, 4, 'f', 'a', 'k', 'e', 0, 1, 0, NBD_INFO_BLOCK_SIZE };

/* A session with a bit of everything. */
static void add_dialogue(struct output *to)
{
	output_be32(to, NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES);
	add_option(to, NBD_OPT_LIST_META_CONTEXT, NULL, 0);
	add_option(to, 4711, "whatever this is", 16);
	add_option(to, NBD_OPT_LIST, NULL, 0);
	add_option(to, NBD_OPT_LIST, "x", 1);
	add_option(to, NBD_OPT_INFO, "\0\0\0\1x\0\0", 7);
	add_option(to, NBD_OPT_INFO, "\xff\xff\xff\xff\0\0", 6);
	add_option(to, NBD_OPT_GO, go_fake, sizeof(go_fake));
	add_request(to, 0, NBD_CMD_WRITE, 1, 100, 5);
	output_append(to, "hello", 5);
	add_request(to, 0, NBD_CMD_READ, 2, 98, 10);
	add_request(to, 0, NBD_CMD_WRITE, 3, UINT64_MAX - 3, 5);
	output_append(to, "skip!", 5);
	add_request(to, 0x8000, NBD_CMD_WRITE, 4, 0, 3);
	output_append(to, "bad", 3);
	add_request(to, 0, 999, 5, 0, 0);
	add_request(to, NBD_CMD_FLAG_FUA, NBD_CMD_WRITE_ZEROES, 6, 100, 2);
	add_request(to, 0, NBD_CMD_FLUSH, 7, 0, 0);
	add_request(to, 0, NBD_CMD_READ, 8, 100, 5);
	add_request(to, 0, NBD_CMD_READ, 9, 0, 0);
	add_request(to, 0, NBD_CMD_DISC, 0, 0, 0);
}

/* The answers to the dialogue fed in pieces of SIZE bytes. */
static void answers(struct output *to, size_t size)
{
	struct output dialogue = { .bytes = NULL };
	struct peer *peer = peer_new();

	add_dialogue(&dialogue);
	for (size_t at = 0; at < dialogue.length; at += size)
		feed(peer, dialogue.bytes + at, dialogue.length - at < size ? dialogue.length - at : size);
	assert_int_equal(peer->session.want, NBD_WANT_CLOSE);
	/* Without the greeting. */
	output_append(to, peer->sent.bytes + NBD_GREETING_SIZE, peer->sent.length - NBD_GREETING_SIZE);
	output_free(&dialogue);
	peer_free(peer);
}

/* Where the handshake's replies end: at the ACK of GO. */
static size_t handshake_length(const struct output *answered)
{
	for (size_t at = 0; at + NBD_OPTION_REPLY_SIZE <= answered->length;) {
		bool go = get_be32(answered->bytes + at + 8) == NBD_OPT_GO && get_be32(answered->bytes + at + 12) == NBD_REP_ACK;

		at += NBD_OPTION_REPLY_SIZE + get_be32(answered->bytes + at + 16);
		if (go)
			return at;
	}
	return 0;
}

/* Replies to requests may come in any order: the READs' are found by their cookie. */
static const uint8_t *find_reply(const struct output *answered, uint64_t cookie)
{
	for (size_t at = handshake_length(answered); at + NBD_SIMPLE_REPLY_SIZE <= answered->length;) {
		uint64_t found = get_be64(answered->bytes + at + 8);

		assert_int_equal(get_be32(answered->bytes + at), NBD_SIMPLE_REPLY_MAGIC);
		if (found == cookie)
			return answered->bytes + at;
		at += NBD_SIMPLE_REPLY_SIZE + (found == 2 ? 10 : found == 8 ? 5 : 0);
	}
	fail_msg("no reply to %u", (unsigned)cookie);
	return NULL;
}

static void check_answers(const struct output *answered, const struct output *whole)
{
	static const uint32_t errors[] = { 0, 0, 0, NBD_ENOSPC, NBD_EINVAL, NBD_EINVAL, 0, 0, 0, 0 };
	size_t handshake = handshake_length(whole);

	assert_int_equal(answered->length, whole->length);
	assert_true(handshake > 200);
	assert_memory_equal(answered->bytes, whole->bytes, handshake);
	for (uint64_t cookie = 1; cookie < sizeof(errors) / sizeof(errors[0]); cookie++)
		assert_int_equal(get_be32(find_reply(answered, cookie) + 4), errors[cookie]);
}

static void test_the_answer_does_not_depend_on_the_cuts(void **state)
{
	struct output whole = { .bytes = NULL };

	(void)state;
	answers(&whole, 1 << 15);
	check_answers(&whole, &whole);
	for (size_t size = 1; size < NBD_REQUEST_SIZE; size++) {
		struct output pieces = { .bytes = NULL };

		answers(&pieces, size);
		check_answers(&pieces, &whole);
		/* Fed by and by, each request has ended before the next one comes. */
		assert_memory_equal(find_reply(&pieces, 2) + 16, "\0\0hello\0\0\0", 10);
		assert_memory_equal(find_reply(&pieces, 8) + 16, "\0\0llo", 5);
		output_free(&pieces);
	}
	output_free(&whole);
}

static struct peer *peer_in_transmission(bool structured)
{
	struct output bytes = { .bytes = NULL };
	struct peer *peer = peer_new();

	output_be32(&bytes, NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES);
	if (structured)
		add_option(&bytes, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
	add_option(&bytes, NBD_OPT_GO, go_fake, sizeof(go_fake));
	feed(peer, bytes.bytes, bytes.length);
	assert_int_equal(peer->session.state, NBD_STATE_TRANSMISSION);
	output_free(&bytes);
	output_free(&peer->sent);
	return peer;
}

static void feed_request(struct peer *peer, uint16_t flags, uint16_t type, uint64_t cookie, uint64_t offset, uint32_t length)
{
	struct output bytes = { .bytes = NULL };

	add_request(&bytes, flags, type, cookie, offset, length);
	feed(peer, bytes.bytes, bytes.length);
	output_free(&bytes);
}

static void test_a_refused_request_allocates_nothing(void **state)
{
	struct peer *peer = peer_in_transmission(false);

	(void)state;
	feed_request(peer, 0, NBD_CMD_WRITE, 1, 1 << 20, 64 << 20);
	assert_int_equal(peer->session.want, NBD_WANT_SKIP);
	assert_true(peer->session.skip == 64 << 20);
	assert_int_equal(peer->fake->block.budget.used, 0);
	assert_int_equal(peer->fake->block.buffers.bytes, 0);
	assert_int_equal(get_be32(peer->sent.bytes + 4), NBD_ENOSPC);
	peer_free(peer);
}

static void test_a_payload_that_is_not_whole_is_never_written(void **state)
{
	struct peer *peer = peer_in_transmission(false);

	(void)state;
	feed_request(peer, 0, NBD_CMD_WRITE, 1, 0, 4096);
	feed(peer, "almost nothing", 14);
	nbd_end_of_input(&peer->session);
	fake_dispatch(peer->fake);
	assert_int_equal(peer->fake->total, 0);
	assert_int_equal(peer->session.want, NBD_WANT_CLOSE);
	peer_free(peer);
}

static void test_after_a_hang_up_requests_wait_for_disc(void **state)
{
	struct peer *peer = peer_in_transmission(false);

	(void)state;
	nbd_hang_up(&peer->session);
	feed_request(peer, 0, NBD_CMD_TRIM, 1, 0, 4096);
	feed_request(peer, 0, NBD_CMD_READ, 2, 0, 4096);
	assert_int_equal(peer->fake->total, 0);
	feed_request(peer, 0, NBD_CMD_DISC, 0, 0, 0);
	assert_int_equal(peer->fake->total, 1); /* nobody waits for what the READ would bring */
	peer_free(peer);

	peer = peer_in_transmission(false);
	nbd_hang_up(&peer->session);
	feed_request(peer, 0, NBD_CMD_TRIM, 1, 0, 4096);
	nbd_end_of_input(&peer->session);
	fake_dispatch(peer->fake);
	assert_int_equal(peer->fake->total, 0);
	peer_free(peer);
}

static void test_a_connection_at_its_limit_is_not_read(void **state)
{
	struct output bytes = { .bytes = NULL };
	struct peer *peer = peer_in_transmission(false);

	(void)state;
	add_request(&bytes, 0, NBD_CMD_TRIM, 1, 0, 1);
	/* Done, but unsent: what a client that doesn't read leaves behind. */
	for (unsigned i = 0; i < 256; i++) {
		assert_int_equal(nbd_feed(&peer->session, bytes.bytes, bytes.length), bytes.length);
		fake_dispatch(peer->fake);
	}
	assert_int_equal(peer->session.in_flight, 256);
	assert_int_equal(nbd_feed(&peer->session, bytes.bytes, bytes.length), 0);
	assert_int_equal(peer->session.want, NBD_WANT_ROOM);
	collect_output(peer);
	assert_int_equal(nbd_feed(&peer->session, bytes.bytes, bytes.length), bytes.length);
	fake_dispatch(peer->fake);
	output_free(&bytes);
	peer_free(peer);
}

/* A READ fails, and its driver says more than it has lent: 8 pieces of 512 bytes. */
static void lend_and_fail(struct fake *fake, struct platter_request *request)
{
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(platter_request_lend(request, fake->memory, 512), 0);
	platter_request_progress(request, (uint64_t)fake->result);
	platter_request_complete(request, -EIO);
}

/* What a driver, which lends its memory, brings about with a READ; the answer is in peer->sent. */
static struct peer *read_what_is_lent(void (*submit)(struct fake *fake, struct platter_request *request), int progress, uint32_t length,
				      bool structured)
{
	struct peer *peer = peer_in_transmission(structured);

	peer->fake->submit = submit;
	peer->fake->result = progress;
	peer->fake->disk->geometry.capabilities |= PLATTER_DISK_LENDS;
	platter_disk_set_capacity(&peer->fake->disk->driver_side, 1 << 20);
	feed_request(peer, 0, NBD_CMD_READ, 1, 0, length);
	return peer;
}

static void test_progress_is_as_much_as_was_lent(void **state)
{
	struct peer *peer = read_what_is_lent(lend_and_fail, 8 * 512, 16384, true);

	(void)state;
	assert_int_equal(get_be16(peer->sent.bytes + 6), NBD_REPLY_TYPE_OFFSET_DATA);
	assert_int_equal(get_be32(peer->sent.bytes + 16), 8 + 8 * 512);
	assert_int_equal(get_be16(peer->sent.bytes + NBD_CHUNK_HEADER_SIZE + 8 + 8 * 512 + 6), NBD_REPLY_TYPE_ERROR_OFFSET);
	peer_free(peer);

	peer = read_what_is_lent(lend_and_fail, 8 * 512 + 1, 16384, true);
	assert_int_equal(get_be16(peer->sent.bytes + 6), NBD_REPLY_TYPE_ERROR);
	assert_int_equal(peer->sent.length, NBD_CHUNK_HEADER_SIZE + get_be32(peer->sent.bytes + 16));
	peer_free(peer);
}

/* As many segments as a request can have, one of which is a hole that takes two to be filled. */
static void lend_too_many(struct fake *fake, struct platter_request *request)
{
	assert_int_equal(platter_request_lend(request, NULL, BUFFER_SEGMENT_SIZE + 1), 0);
	for (unsigned i = 0; i < 16383; i++)
		assert_int_equal(platter_request_lend(request, fake->memory, 1), 0);
	platter_request_complete(request, 0);
}

static void test_holes_that_cannot_be_filled_are_an_error_without_data(void **state)
{
	struct peer *peer = read_what_is_lent(lend_too_many, 0, BUFFER_SEGMENT_SIZE + 1 + 16383, false);

	(void)state;
	assert_int_equal(peer->sent.length, NBD_SIMPLE_REPLY_SIZE);
	assert_int_equal(get_be32(peer->sent.bytes + 4), NBD_EINVAL);
	peer_free(peer);
}

static void test_errors_have_their_names_on_the_wire(void **state)
{
	static const struct {
		int error;
		uint32_t expected;
	} cases[] = {
		{ 0, NBD_SUCCESS },        { -EPERM, NBD_EPERM },   { -EACCES, NBD_EPERM },   { -EROFS, NBD_EPERM },
		{ -EIO, NBD_EIO },         { -ENXIO, NBD_EIO },     { -ETIMEDOUT, NBD_EIO },  { -ESTALE, NBD_EIO },
		{ -ENOMEM, NBD_ENOMEM },   { -EINVAL, NBD_EINVAL }, { -ENOSPC, NBD_ENOSPC },  { -EDQUOT, NBD_ENOSPC },
		{ -EFBIG, NBD_ENOSPC },    { -12345, NBD_EIO },     { -ESHUTDOWN, NBD_EIO },  { -EOVERFLOW, NBD_EIO },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(reply_error(cases[i].error), cases[i].expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_answer_does_not_depend_on_the_cuts),
		cmocka_unit_test(test_a_refused_request_allocates_nothing),
		cmocka_unit_test(test_a_payload_that_is_not_whole_is_never_written),
		cmocka_unit_test(test_after_a_hang_up_requests_wait_for_disc),
		cmocka_unit_test(test_a_connection_at_its_limit_is_not_read),
		cmocka_unit_test(test_progress_is_as_much_as_was_lent),
		cmocka_unit_test(test_holes_that_cannot_be_filled_are_an_error_without_data),
		cmocka_unit_test(test_errors_have_their_names_on_the_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
