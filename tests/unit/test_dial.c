/* SPDX-License-Identifier: BSD-2-Clause */
/* From addresses to a connection: who is tried, when, and what is said where nobody answers. */
#include "client/platter/dial.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/platter/uri.h"
#include "common/clock.h"
#include "tests/unit/directory.h"
#include "tests/unit/unit.h"

#define MS UINT64_C(1000000)
/* Emulators and sanitizers are slow; nothing waits this long when all is well. */
#define LONG (UINT64_C(60000) * MS)
#define HEAD_START (250 * MS)

static struct dial dial;
static struct problem problem;
static int opened[16];
static unsigned count;

static int keep(int fd)
{
	assert_true(fd >= 0);
	opened[count++] = fd;
	return fd;
}

static void add(int fd)
{
	struct dial_address *address = &dial.list[dial.count++];

	address->length = sizeof(address->address);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address->address, &address->length), 0);
}

static int bound(int family)
{
	int fd = keep(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	bool is_six = family == AF_INET6;

	assert_int_equal(bind(fd, is_six ? (struct sockaddr *)&six : (struct sockaddr *)&four, is_six ? sizeof(six) : sizeof(four)), 0);
	return fd;
}

/* It answers. */
static int add_alive(int family)
{
	int fd = bound(family);

	assert_int_equal(listen(fd, 16), 0);
	add(fd);
	return fd;
}

/* It is refused: the port is taken, so that nobody else gets it, but nobody listens. */
static void add_refused(void)
{
	add(bound(AF_INET));
}

/* It never answers: its queue is full, and the kernel drops what comes. */
static void add_dead(void)
{
	int listener = bound(AF_INET);
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	assert_int_equal(listen(listener, 0), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	for (unsigned i = 0; i < 4; i++)
		(void)connect(keep(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)), (struct sockaddr *)&address, length);
	add(listener);
}

static unsigned descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned many = 0;

	while (readdir(directory))
		many++;
	closedir(directory);
	return many;
}

/* What it took is in TOOK; nothing but the winner stays open. */
static int try_to_connect(uint64_t patience, int cancel, uint64_t *took)
{
	unsigned before = descriptors();
	uint64_t begin = clock_ns();
	int fd = dial_connect(&dial, begin + patience, cancel, &problem);

	*took = clock_ns() - begin;
	assert_int_equal(descriptors(), before + (fd >= 0));
	return fd < 0 ? fd : keep(fd);
}

static void assert_peer(int fd, unsigned which)
{
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);

	assert_int_equal(getpeername(fd, (struct sockaddr *)&peer, &length), 0);
	assert_int_equal(length, dial.list[which].length);
	assert_memory_equal(&peer, &dial.list[which].address, sizeof(struct sockaddr_in));
}

static int setup(void **state)
{
	dial.count = 0;
	count = 0;
	return directory_setup(state);
}

static int teardown(void **state)
{
	for (unsigned i = 0; i < count; i++)
		close(opened[i]);
	return directory_teardown(state);
}

/* --- Who answers */

static int option(int fd, int level, int name)
{
	socklen_t length = sizeof(int);
	int value = -1;

	assert_int_equal(getsockopt(fd, level, name, &value, &length), 0);
	return value;
}

static void test_a_connection(void **state)
{
	char text[DIAL_TEXT], expected[DIAL_TEXT];
	uint64_t took;
	int fd;

	(void)state;
	add_alive(AF_INET);
	fd = try_to_connect(LONG, -1, &took);
	assert_peer(fd, 0);
	dial_peer(fd, text);
	snprintf(expected, sizeof(expected), "127.0.0.1:%u", ntohs(((struct sockaddr_in *)&dial.list[0].address)->sin_port));
	assert_string_equal(text, expected);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	/* A peer that vanished is noticed in time, with requests under way or without. */
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), DIAL_SILENCE_SECONDS * 1000);
	assert_in_range(option(fd, IPPROTO_TCP, TCP_KEEPIDLE) + option(fd, IPPROTO_TCP, TCP_KEEPINTVL) * option(fd, IPPROTO_TCP, TCP_KEEPCNT), 1,
			DIAL_SILENCE_SECONDS);
}

static void test_the_next_one_where_the_first_refuses(void **state)
{
	uint64_t took;
	int fd;

	(void)state;
	for (unsigned i = 0; i < 12; i++)
		add_refused();
	add_alive(AF_INET);
	fd = try_to_connect(LONG, -1, &took);
	assert_peer(fd, 12);
	/* None of them has a head start. */
	assert_true(took < 12 * HEAD_START);
}

static void test_the_next_one_where_the_first_is_dead(void **state)
{
	uint64_t took;
	int fd;

	(void)state;
	add_dead();
	add_alive(AF_INET);
	fd = try_to_connect(LONG, -1, &took);
	assert_peer(fd, 1);
	assert_true(took >= HEAD_START);
}

static void test_the_first_of_several_is_preferred(void **state)
{
	uint64_t took;

	(void)state;
	add_alive(AF_INET);
	add_alive(AF_INET);
	assert_peer(try_to_connect(LONG, -1, &took), 0);
}

static void test_version_6(void **state)
{
	char text[DIAL_TEXT], expected[DIAL_TEXT];
	int probe = socket(AF_INET6, SOCK_STREAM, 0);
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	uint64_t took;

	(void)state;
	if (probe < 0 || bind(probe, (struct sockaddr *)&any, sizeof(any)) < 0) {
		print_message("no IPv6 here\n");
		if (probe >= 0)
			close(probe);
		return;
	}
	keep(probe);
	add_alive(AF_INET6);
	dial_peer(try_to_connect(LONG, -1, &took), text);
	snprintf(expected, sizeof(expected), "[::1]:%u", ntohs(((struct sockaddr_in6 *)&dial.list[0].address)->sin6_port));
	assert_string_equal(text, expected);
}

/* --- Nobody */

static void assert_unreachable(const char *says)
{
	uint64_t took;

	assert_int_equal(try_to_connect(LONG, -1, &took), -1);
	assert_int_equal(problem.status, STATUS_UNREACHABLE);
	assert_says(problem.text, says);
}

static void test_all_refuse(void **state)
{
	(void)state;
	assert_unreachable("no address");
	for (unsigned i = 0; i < DIAL_MOST; i++) {
		add(bound(AF_INET));
		close(opened[--count]);
	}
	assert_unreachable(": Connection refused");
	assert_says(problem.text, "127.0.0.1:");
}

static void test_no_longer_than_there_is_time(void **state)
{
	uint64_t took;

	(void)state;
	add_dead();
	add_dead();
	assert_int_equal(try_to_connect(300 * MS, -1, &took), -1);
	assert_true(took >= 300 * MS);
	assert_int_equal(problem.status, STATUS_UNREACHABLE);
	assert_says(problem.text, ": Connection timed out");
	/* That is over before it begins. */
	assert_int_equal(try_to_connect(0, -1, &took), -1);
	assert_says(problem.text, ": Connection timed out");
}

static void test_called_off(void **state)
{
	int bell = keep(eventfd(1, EFD_CLOEXEC));
	uint64_t took;

	(void)state;
	add_dead();
	assert_int_equal(try_to_connect(LONG, bell, &took), -1);
	assert_int_equal(problem.status, STATUS_FAILED);
	assert_says(problem.text, "called off");
	/* With every address there can be. */
	while (dial.count < DIAL_MOST) {
		dial.list[dial.count] = dial.list[0];
		dial.count++;
	}
	assert_int_equal(try_to_connect(LONG, bell, &took), -1);
	assert_says(problem.text, "called off");
}

/* --- Addresses */

static int resolve(const char *text)
{
	struct uri uri;
	int result;

	assert_int_equal(uri_parse(&uri, text, &problem), 0);
	result = dial_resolve(&dial, &uri, &problem);
	uri_free(&uri);
	return result;
}

static void test_numbers(void **state)
{
	const struct sockaddr_in *four = (const struct sockaddr_in *)&dial.list[0].address;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&dial.list[0].address;

	(void)state;
	assert_int_equal(resolve("nbd://127.0.0.7/x"), 0);
	assert_int_equal(dial.count, 1);
	assert_int_equal(dial.list[0].length, sizeof(*four));
	assert_int_equal(four->sin_family, AF_INET);
	assert_int_equal(ntohs(four->sin_port), 10809);
	assert_int_equal(ntohl(four->sin_addr.s_addr), 0x7f000007);
	assert_int_equal(resolve("nbd://[fd00::7]:77/x"), 0);
	assert_int_equal(dial.count, 1);
	assert_int_equal(six->sin6_family, AF_INET6);
	assert_int_equal(ntohs(six->sin6_port), 77);
}

/* Which the resolver finds out without asking anybody. */
static void test_no_host(void **state)
{
	(void)state;
	assert_int_equal(resolve("nbd://a..b/x"), -1);
	assert_int_equal(problem.status, STATUS_UNREACHABLE);
	assert_says(problem.text, "a..b: ");
	assert_int_equal(dial.count, 0);
}

static void test_unix_sockets(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = keep(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	char text[DIAL_TEXT], uri[300];
	uint64_t took;

	(void)state;
	strcpy(address.sun_path, directory_path("s"));
	snprintf(uri, sizeof(uri), "nbd+unix:///x?socket=%s", address.sun_path);
	assert_int_equal(resolve(uri), 0);
	assert_unreachable("/s: No such file or directory");
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_unreachable("/s: Connection refused");
	assert_int_equal(listen(fd, 1), 0);
	dial_peer(try_to_connect(LONG, -1, &took), text);
	assert_string_equal(text, address.sun_path);
	dial_peer(-1, text);
	assert_string_equal(text, "");

	memset(address.sun_path, 'p', sizeof(address.sun_path));
	snprintf(uri, sizeof(uri), "nbd+unix:///x?socket=%.*s", (int)sizeof(address.sun_path), address.sun_path);
	assert_int_equal(resolve(uri), -1);
	assert_int_equal(problem.status, STATUS_USAGE);
	assert_says(problem.text, "too long for a socket's path; 107 bytes are the most");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_next_one_where_the_first_refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_next_one_where_the_first_is_dead, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_first_of_several_is_preferred, setup, teardown),
		cmocka_unit_test_setup_teardown(test_version_6, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_refuse, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_longer_than_there_is_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_called_off, setup, teardown),
		cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_host, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unix_sockets, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
