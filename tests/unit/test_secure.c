/* SPDX-License-Identifier: BSD-2-Clause */
/* The client's TLS on a socket whose other end is OpenSSL in this thread, too. */
#include "client/platter/secure.h"

#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/platter/uri.h"
#include "tests/unit/tls_pair.h"
#include "tests/unit/unit.h"

static struct pair pair; /* for its server's context */
static SSL *server;
static struct secure *secure;
static struct problem problem;
static int ends[2];
static short events;

/* A kernel that takes the keys of one direction only. */
static bool half_a_kernel;

int __real_setsockopt(int fd, int level, int option, const void *value, socklen_t size);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t size);

int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
	if (!half_a_kernel)
		return __real_setsockopt(fd, level, option, value, size);
	errno = EINVAL;
	return level == SOL_TLS && option == TLS_RX ? -1 : 0;
}

static int begin(void **state)
{
	const struct uri uri = { .tls = true, .trusts_any = true };

	(void)state;
	pair_open(&pair, pair_suites[0], 2);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	server = SSL_new(pair.server_context);
	assert_non_null(server);
	assert_int_equal(SSL_set_fd(server, ends[0]), 1);
	SSL_set_accept_state(server);
	secure = secure_new(ends[1], &uri, &problem);
	assert_non_null(secure);
	while (secure_handshake(secure, &events, &problem) < 0) {
		assert_int_equal(errno, EAGAIN);
		SSL_do_handshake(server);
	}
	assert_int_equal(SSL_do_handshake(server), 1);
	return 0;
}

static int end(void **state)
{
	(void)state;
	secure_free(secure);
	SSL_free(server);
	close(ends[0]);
	close(ends[1]);
	pair_close(&pair);
	return 0;
}

/* However many messages there are behind each other: whoever receives can look at the clock. */
static void test_each_message_that_is_no_data_comes_back(void **state)
{
	enum { UPDATES = 100 };
	unsigned waits = 0;
	char byte = 0;

	(void)state;
	for (int i = 0; i < UPDATES; i++) {
		assert_int_equal(SSL_key_update(server, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(server), 1);
	}
	assert_int_equal(SSL_write(server, "!", 1), 1);
	while (secure_receive(secure, &byte, 1, &events, &problem) < 0) {
		assert_int_equal(errno, EAGAIN);
		assert_int_equal(events, POLLIN);
		waits++;
	}
	assert_int_equal(byte, '!');
	/* And the tickets. */
	assert_int_equal(waits, UPDATES + 2);
}

static void test_no_goodbye_where_the_kernel_would_seal_it_again(void **state)
{
	char byte;

	(void)state;
	half_a_kernel = true;
	assert_int_equal(secure_hand_over(secure), -ENOTRECOVERABLE);
	half_a_kernel = false;
	secure_close(secure);
	assert_int_equal(recv(ends[0], &byte, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
}

static void test_a_goodbye_where_the_kernel_has_no_tls(void **state)
{
	char byte;

	(void)state;
	/* As on any unix socket. */
	assert_int_equal(secure_hand_over(secure), -EOPNOTSUPP);
	secure_close(secure);
	assert_int_equal(SSL_read(server, &byte, 1), 0);
	assert_int_equal(SSL_get_error(server, 0), SSL_ERROR_ZERO_RETURN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_goodbye_where_the_kernel_would_seal_it_again, begin, end),
		cmocka_unit_test_setup_teardown(test_a_goodbye_where_the_kernel_has_no_tls, begin, end),
		cmocka_unit_test_setup_teardown(test_each_message_that_is_no_data_comes_back, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
