/* SPDX-License-Identifier: BSD-2-Clause */
/* A relay between the kernel and a server whose TLS changes nothing: what it does when one of them hangs up. */
#include "client/platter/relay.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/platter/secure.h"
#include "tests/unit/unit.h"

/* So long nothing is to happen... */
#define MOMENT_MS 50
/* ...and who turns in circles does so more often than this. */
#define FEW 10

struct secure {
	int fd;
};

static struct secure secure;
static int kernel, server; /* the other ends */
static atomic_uint calls;

/* --- TLS, and what the relay does with it */

static ssize_t done(ssize_t result, short wanted, short *events)
{
	atomic_fetch_add(&calls, 1);
	if (result < 0)
		*events = wanted;
	return result;
}

ssize_t secure_send(struct secure *self, const void *bytes, size_t length, short *events, struct problem *problem)
{
	(void)problem;
	return done(send(self->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL), POLLOUT, events);
}

ssize_t secure_receive(struct secure *self, void *bytes, size_t length, short *events, struct problem *problem)
{
	(void)problem;
	return done(recv(self->fd, bytes, length, MSG_DONTWAIT), POLLIN, events);
}

void secure_close(struct secure *self)
{
	(void)self;
}

void secure_free(struct secure *self)
{
	(void)self;
}

ssize_t __real_send(int fd, const void *bytes, size_t length, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t length, int flags);

ssize_t __wrap_send(int fd, const void *bytes, size_t length, int flags)
{
	atomic_fetch_add(&calls, 1);
	return __real_send(fd, bytes, length, flags);
}

/* --- Tests */

static size_t stuff(int fd)
{
	static const char bytes[4096];
	size_t total = 0;
	ssize_t length;

	while ((length = __real_send(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		total += (size_t)length;
	assert_int_equal(errno, EAGAIN);
	return total;
}

static void begin(void)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	secure.fd = ends[0];
	server = ends[1];
}

static void begin_relay(void)
{
	struct problem problem;

	kernel = relay_begin(&secure, secure.fd, &problem);
	assert_true(kernel >= 0);
}

/* It has nothing to do, and does nothing. */
static void assert_quiet(void)
{
	unsigned before;

	(void)poll(NULL, 0, MOMENT_MS);
	before = atomic_load(&calls);
	(void)poll(NULL, 0, MOMENT_MS);
	assert_in_range(atomic_load(&calls) - before, 0, FEW);
}

/* All that comes until the end, but for the last bytes, which are TEXT. */
static size_t read_out(int fd, const char *text)
{
	char bytes[5000] = "";
	size_t total = 0, kept = 0, end = strlen(text);
	ssize_t length;

	while ((length = recv(fd, bytes + kept, sizeof(bytes) - kept, 0)) > 0) {
		size_t have = kept + (size_t)length;

		total += (size_t)length;
		kept = have < end ? have : end;
		memmove(bytes, bytes + have - kept, kept);
	}
	assert_int_equal(kept, end);
	assert_memory_equal(bytes, text, end);
	return total - end;
}

static void test_the_kernel_hangs_up_while_the_server_takes_nothing(void **state)
{
	size_t before;

	(void)state;
	begin();
	before = stuff(secure.fd);
	begin_relay();
	assert_int_equal(__real_send(kernel, "goodbye", 7, 0), 7);
	assert_quiet();
	close(kernel);
	assert_quiet();
	/* It gets all that it was to get. */
	assert_int_equal(read_out(server, "goodbye"), before);
	close(server);
}

static void test_the_server_hangs_up_while_the_kernel_takes_nothing(void **state)
{
	size_t sent = 0, more;

	(void)state;
	begin();
	begin_relay();
	/* As much as both sockets and the relay hold. */
	do {
		more = stuff(server);
		sent += more;
		assert_quiet();
	} while (more);
	close(server);
	assert_quiet();
	assert_int_equal(read_out(kernel, ""), sent);
	close(kernel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_kernel_hangs_up_while_the_server_takes_nothing),
		cmocka_unit_test(test_the_server_hangs_up_while_the_kernel_takes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
