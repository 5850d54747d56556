/* SPDX-License-Identifier: BSD-2-Clause */
/* Receivers that wait for another one's end: when one is given up, and which. */
#include "client/platter/receiver.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static struct receivers receivers;
static struct receiver_look looks[SETTINGS_MOST_CONNECTIONS];
static unsigned waits;

/* All of a device's connections are made at the same time, and nothing came but the handshake. */
static int setup(void **state)
{
	(void)state;
	memset(&receivers, 0, sizeof(receivers));
	memset(looks, 0, sizeof(looks));
	for (unsigned i = 0; i < SETTINGS_MOST_CONNECTIONS; i++)
		looks[i] = (struct receiver_look){ .alive = true, .since_ns = 1000, .came = 200 };
	waits = 99;
	return 0;
}

static int look(unsigned count)
{
	return receiver_judge(&receivers, looks, count, &waits);
}

static void answers(unsigned which, unsigned bytes)
{
	looks[which].came += bytes;
	looks[which].waiting += bytes;
}

static void read_all(unsigned which)
{
	looks[which].waiting = 0;
}

/* It has another socket, taken at that time. */
static void anew(unsigned which, uint64_t since_ns)
{
	looks[which] = (struct receiver_look){ .alive = true, .since_ns = since_ns, .came = 200 };
}

static void assert_given_up(int given_up, int wanted, unsigned waiting)
{
	assert_int_equal(given_up, wanted);
	assert_int_equal(waits, waiting);
}

static void test_the_second_of_two(void **state)
{
	(void)state;
	assert_int_equal(look(2), -1);
	answers(1, 528);
	assert_int_equal(look(2), -1);
	assert_int_equal(look(2), -1);
	assert_given_up(look(2), 0, 1);
}

/* Behind the first wait all others: each that is given up has the next one's turn come. */
static void test_four_in_their_order(void **state)
{
	(void)state;
	answers(3, 16);
	look(4);
	look(4);
	assert_given_up(look(4), 0, 3);
	anew(0, 2000);
	assert_int_equal(look(4), -1);
	assert_given_up(look(4), 1, 3);
	anew(1, 3000);
	assert_int_equal(look(4), -1);
	assert_given_up(look(4), 2, 3);
	anew(2, 4000);
	read_all(3);
	for (int i = 0; i < 20; i++)
		assert_int_equal(look(4), -1);
}

/* Two wait, and the first of them is served when the one before it has gone. */
static void test_two_that_wait(void **state)
{
	(void)state;
	answers(1, 16);
	answers(3, 16);
	look(4);
	look(4);
	assert_int_equal(look(4), 0);
	anew(0, 2000);
	read_all(1);
	look(4);
	assert_given_up(look(4), 1, 3);
	anew(1, 3000);
	look(4);
	assert_given_up(look(4), 2, 3);
}

/* While what was given up isn't back, the next one goes all the same. */
static void test_dead_ones_are_passed_over(void **state)
{
	(void)state;
	answers(2, 16);
	look(3);
	look(3);
	assert_int_equal(look(3), 0);
	looks[0].alive = false;
	look(3);
	assert_given_up(look(3), 1, 2);
	looks[1].alive = false;
	for (int i = 0; i < 20; i++)
		assert_int_equal(look(3), -1);
}

/* Whatever it waits for isn't ours: those that came later needn't suffer for it. */
static void test_the_oldest_waits(void **state)
{
	(void)state;
	anew(1, 2000);
	answers(0, 16);
	for (int i = 0; i < 20; i++)
		assert_int_equal(look(2), -1);
}

static void test_all_of_them_wait(void **state)
{
	(void)state;
	answers(0, 16);
	answers(1, 16);
	for (int i = 0; i < 20; i++)
		assert_int_equal(look(2), -1);
}

/* A guest that was suspended, or a machine that is busy: it was late once. */
static void test_late_is_not_never(void **state)
{
	(void)state;
	answers(1, 16);
	look(2);
	look(2);
	read_all(1);
	answers(1, 16);
	assert_int_equal(look(2), -1);
	for (int i = 0; i < 20; i++)
		assert_int_equal(look(2), -1);
}

/* More comes than is read, but some is: under load something waits at each look. */
static void test_always_something_to_read(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		answers(1, 4112);
		assert_int_equal(look(2), -1);
		looks[1].waiting = 100;
	}
}

/* More comes, and none of it is read. */
static void test_more_comes_and_waits(void **state)
{
	(void)state;
	answers(1, 16);
	look(2);
	answers(1, 16);
	look(2);
	answers(1, 16);
	assert_given_up(look(2), 0, 1);
}

static void test_another_socket_begins_anew(void **state)
{
	(void)state;
	answers(1, 16);
	look(2);
	look(2);
	anew(1, 2000);
	answers(1, 16);
	look(2);
	assert_int_equal(look(2), -1);
	assert_int_equal(look(2), 0);
}

/* Once it has read it has a thread, and is only slow. */
static void test_whoever_has_read_runs(void **state)
{
	(void)state;
	look(2);
	answers(1, 528);
	read_all(1);
	look(2);
	answers(1, 528);
	for (int i = 0; i < 20; i++)
		assert_int_equal(look(2), -1);
}

/* The layer of TLS may take a record before anybody asks for it. */
static void test_layer_of_tls_reads(void **state)
{
	(void)state;
	looks[1].layered = true;
	look(2);
	answers(1, 528);
	read_all(1);
	look(2);
	answers(1, 528);
	look(2);
	look(2);
	assert_given_up(look(2), 0, 1);
}

static void test_unix_sockets(void **state)
{
	(void)state;
	looks[0].came = looks[1].came = 0;
	look(2);
	looks[1].waiting = 16;
	assert_int_equal(look(2), -1);
	looks[1].waiting = 32;
	assert_int_equal(look(2), -1);
	assert_int_equal(look(2), -1);
	assert_given_up(look(2), 0, 1);
}

static void test_unix_socket_that_is_read(void **state)
{
	(void)state;
	looks[0].came = looks[1].came = 0;
	looks[1].waiting = 528;
	look(2);
	looks[1].waiting = 16;
	for (int i = 0; i < 20; i++)
		assert_int_equal(look(2), -1);
}

/* What is on its way would wait for the timeout: a better moment is awaited, but not for ever. */
static void test_busy_one(void **state)
{
	(void)state;
	looks[0].busy = true;
	answers(1, 16);
	for (int i = 0; i < 5; i++)
		assert_int_equal(look(2), -1);
	looks[0].busy = false;
	assert_given_up(look(2), 0, 1);
}

static void test_always_busy(void **state)
{
	int turns = 0;

	(void)state;
	looks[0].busy = true;
	answers(1, 16);
	while (look(2) < 0)
		assert_true(++turns < 10);
	assert_true(turns > 5);
}

static void test_settled(void **state)
{
	(void)state;
	look(1);
	assert_true(receiver_settled(&receivers, 1));
	look(2);
	assert_false(receiver_settled(&receivers, 2));
	answers(0, 16);
	read_all(0);
	look(2);
	assert_false(receiver_settled(&receivers, 2));
	answers(1, 16);
	read_all(1);
	look(2);
	assert_true(receiver_settled(&receivers, 2));
	anew(0, 2000);
	look(2);
	assert_false(receiver_settled(&receivers, 2));
	looks[0].alive = false;
	look(2);
	assert_true(receiver_settled(&receivers, 2));
}

/* Two ends of TCP; what the far one sends has come when a peek sees it. */
static void connect_tcp(int ends[2])
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(ends[0], (struct sockaddr *)&address, length), 0);
	ends[1] = accept(listener, NULL, NULL);
	assert_true(ends[1] >= 0);
	close(listener);
}

static void assert_sees(const int ends[2], uint64_t counted)
{
	struct receiver_look seen = { 0 };
	char bytes[10] = "123456789";

	receiver_look(ends[0], &seen);
	assert_int_equal(seen.came, 0);
	assert_int_equal(seen.waiting, 0);
	assert_int_equal(send(ends[1], bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(recv(ends[0], bytes, sizeof(bytes), MSG_PEEK | MSG_WAITALL), sizeof(bytes));
	receiver_look(ends[0], &seen);
	assert_int_equal(seen.came, counted);
	assert_int_equal(seen.waiting, sizeof(bytes));
	assert_false(seen.layered);
	assert_int_equal(recv(ends[0], bytes, 4, MSG_WAITALL), 4);
	seen = (struct receiver_look){ 0 };
	receiver_look(ends[0], &seen);
	assert_int_equal(seen.came, counted);
	assert_int_equal(seen.waiting, sizeof(bytes) - 4);
	close(ends[0]);
	close(ends[1]);
}

static void test_look_at_tcp(void **state)
{
	int ends[2];

	(void)state;
	connect_tcp(ends);
	assert_sees(ends, 10);
}

static void test_look_at_a_unix_socket(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_sees(ends, 0);
}

/* Its request has just gone out. */
static void test_look_at_a_busy_one(void **state)
{
	struct receiver_look seen = { 0 };
	int ends[2];

	(void)state;
	connect_tcp(ends);
	assert_int_equal(send(ends[0], "x", 1, 0), 1);
	receiver_look(ends[0], &seen);
	assert_true(seen.busy);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_the_second_of_two, setup),
		cmocka_unit_test_setup(test_four_in_their_order, setup),
		cmocka_unit_test_setup(test_two_that_wait, setup),
		cmocka_unit_test_setup(test_dead_ones_are_passed_over, setup),
		cmocka_unit_test_setup(test_the_oldest_waits, setup),
		cmocka_unit_test_setup(test_all_of_them_wait, setup),
		cmocka_unit_test_setup(test_late_is_not_never, setup),
		cmocka_unit_test_setup(test_always_something_to_read, setup),
		cmocka_unit_test_setup(test_more_comes_and_waits, setup),
		cmocka_unit_test_setup(test_another_socket_begins_anew, setup),
		cmocka_unit_test_setup(test_whoever_has_read_runs, setup),
		cmocka_unit_test_setup(test_layer_of_tls_reads, setup),
		cmocka_unit_test_setup(test_unix_sockets, setup),
		cmocka_unit_test_setup(test_unix_socket_that_is_read, setup),
		cmocka_unit_test_setup(test_busy_one, setup),
		cmocka_unit_test_setup(test_always_busy, setup),
		cmocka_unit_test_setup(test_settled, setup),
		cmocka_unit_test(test_look_at_tcp),
		cmocka_unit_test(test_look_at_a_unix_socket),
		cmocka_unit_test(test_look_at_a_busy_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
