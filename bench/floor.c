/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * platter-floor: the yardstick.  A minimal NBD server that shows what ordinary
 * copying sockets allow: blocking, one thread, one connection after the other
 * (a second one waits until the first has gone), one export, no features.
 * Each turn receives a batch, parses all whole requests and answers them with
 * one gather send.  It checks enough not to crash, and no more: for
 * measurements, not for use.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/size.h"
#include "common/wire.h"

#define BUFFER_SIZE ((size_t)4 << 20)
#define MAX_LENGTH ((uint32_t)2 << 20) /* of one request */
#define MAX_REPLIES 512                /* two iovecs each: IOV_MAX */

static uint8_t *memory; /* the export, or NULL when it is FILE_FD */
static int file_fd = -1;
static uint64_t export_size;
static uint64_t poll_ns;
static int sndbuf;

static uint8_t *input, *file_data;
static size_t input_first, input_end, file_used;
static uint8_t headers[MAX_REPLIES][NBD_SIMPLE_REPLY_SIZE];
static struct iovec replies[2 * MAX_REPLIES];
static unsigned reply_count, vec_count;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static ssize_t receive_polling(int fd, void *to, size_t room)
{
	uint64_t until = now_ns() + poll_ns;
	ssize_t got;

	do {
		got = recv(fd, to, room, MSG_DONTWAIT);
		if (got >= 0 || errno != EAGAIN)
			return got;
	} while (now_ns() < until);
	return recv(fd, to, room, 0);
}

/* Appends what has come to the input; false when the client has gone. */
static bool receive(int fd)
{
	uint8_t *to;
	ssize_t got;

	if (input_first) {
		memmove(input, input + input_first, input_end - input_first);
		input_end -= input_first;
		input_first = 0;
	}
	to = input + input_end;
	got = poll_ns ? receive_polling(fd, to, BUFFER_SIZE - input_end) : recv(fd, to, BUFFER_SIZE - input_end, 0);
	if (got <= 0)
		return false;
	input_end += (size_t)got;
	return true;
}

static bool send_all(int fd, struct iovec *vecs, unsigned count)
{
	struct msghdr message = { .msg_iov = vecs, .msg_iovlen = count };

	while (message.msg_iovlen) {
		ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);

		if (sent < 0)
			return false;
		while (message.msg_iovlen && (size_t)sent >= message.msg_iov->iov_len) {
			sent -= (ssize_t)message.msg_iov->iov_len;
			message.msg_iov++;
			message.msg_iovlen--;
		}
		if (message.msg_iovlen) {
			message.msg_iov->iov_base = (uint8_t *)message.msg_iov->iov_base + sent;
			message.msg_iov->iov_len -= (size_t)sent;
		}
	}
	return true;
}

/* Sends the replies that have gathered. */
static bool flush_replies(int fd)
{
	bool sent = send_all(fd, replies, vec_count);

	reply_count = vec_count = 0;
	file_used = 0;
	return sent;
}

static void add_reply(uint64_t cookie, uint32_t error, void *data, size_t length)
{
	uint8_t *header = headers[reply_count++];

	put_be32(header, NBD_SIMPLE_REPLY_MAGIC);
	put_be32(header + 4, error);
	put_be64(header + 8, cookie);
	replies[vec_count++] = (struct iovec){ header, NBD_SIMPLE_REPLY_SIZE };
	if (length && !error)
		replies[vec_count++] = (struct iovec){ data, length };
}

static void serve_read(uint64_t cookie, uint64_t offset, uint32_t length)
{
	uint8_t *data;
	bool failed;

	if (memory) {
		add_reply(cookie, NBD_SUCCESS, memory + offset, length);
		return;
	}
	data = file_data + file_used;
	file_used += length;
	failed = pread(file_fd, data, length, (off_t)offset) != (ssize_t)length;
	add_reply(cookie, failed ? NBD_EIO : NBD_SUCCESS, data, length);
}

static void serve_write(uint64_t cookie, uint64_t offset, uint32_t length, const uint8_t *payload)
{
	bool failed = false;

	if (memory)
		memcpy(memory + offset, payload, length);
	else
		failed = pwrite(file_fd, payload, length, (off_t)offset) != (ssize_t)length;
	add_reply(cookie, failed ? NBD_EIO : NBD_SUCCESS, NULL, 0);
}

static void serve_flush(uint64_t cookie)
{
	bool failed = !memory && fdatasync(file_fd) < 0;

	add_reply(cookie, failed ? NBD_EIO : NBD_SUCCESS, NULL, 0);
}

/* Serves the next request if it is there whole: 1, or 0 when it is not; -1 to hang up. */
static int serve_request(int fd)
{
	const uint8_t *request = input + input_first;
	size_t available = input_end - input_first;
	uint64_t cookie, offset;
	uint32_t length;
	uint16_t command;

	if (available < NBD_REQUEST_SIZE)
		return 0;
	command = get_be16(request + 6);
	cookie = get_be64(request + 8);
	offset = get_be64(request + 16);
	length = get_be32(request + 24);
	if (get_be32(request) != NBD_REQUEST_MAGIC || command == NBD_CMD_DISC || length > MAX_LENGTH)
		return -1;
	if (command == NBD_CMD_WRITE && available < NBD_REQUEST_SIZE + length)
		return 0;
	if (reply_count == MAX_REPLIES || file_used + length > BUFFER_SIZE)
		if (!flush_replies(fd))
			return -1;
	input_first += NBD_REQUEST_SIZE + (command == NBD_CMD_WRITE ? length : 0);
	if (!range_within(offset, length, export_size))
		add_reply(cookie, NBD_EINVAL, NULL, 0);
	else if (command == NBD_CMD_READ)
		serve_read(cookie, offset, length);
	else if (command == NBD_CMD_WRITE)
		serve_write(cookie, offset, length, request + NBD_REQUEST_SIZE);
	else if (command == NBD_CMD_FLUSH)
		serve_flush(cookie);
	else
		add_reply(cookie, NBD_EINVAL, NULL, 0);
	return 1;
}

static void transmission(int fd)
{
	int served;

	do {
		while ((served = serve_request(fd)) > 0)
			;
	} while (flush_replies(fd) && served == 0 && receive(fd));
}

/* Waits until LENGTH bytes of input are there and takes them; NULL when the client has gone. */
static const uint8_t *take(int fd, size_t length)
{
	while (input_end - input_first < length)
		if (!receive(fd))
			return NULL;
	input_first += length;
	return input + input_first - length;
}

static bool send_option_reply(int fd, uint32_t option, uint32_t type, const void *payload, uint32_t length)
{
	uint8_t reply[NBD_OPTION_REPLY_SIZE + 12];
	struct iovec vec = { reply, NBD_OPTION_REPLY_SIZE + length };

	put_be64(reply, NBD_REP_MAGIC);
	put_be32(reply + 8, option);
	put_be32(reply + 12, type);
	put_be32(reply + 16, length);
	if (length)
		memcpy(reply + NBD_OPTION_REPLY_SIZE, payload, length);
	return send_all(fd, &vec, 1);
}

static bool send_export(int fd, uint32_t option, bool zeroes)
{
	uint8_t info[12];
	uint8_t old_reply[10 + NBD_EXPORT_NAME_ZEROES] = { 0 };
	struct iovec vec = { old_reply, zeroes ? sizeof(old_reply) : 10 };

	put_be16(info, NBD_INFO_EXPORT);
	put_be64(info + 2, export_size);
	put_be16(info + 10, NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH);
	if (option == NBD_OPT_EXPORT_NAME) {
		memcpy(old_reply, info + 2, 10);
		return send_all(fd, &vec, 1);
	}
	return send_option_reply(fd, option, NBD_REP_INFO, info, sizeof(info)) &&
	       send_option_reply(fd, option, NBD_REP_ACK, NULL, 0);
}

/* Whether the client has got the export; every name is good. */
static bool negotiation(int fd)
{
	uint8_t greeting[NBD_GREETING_SIZE];
	struct iovec vec = { greeting, sizeof(greeting) };
	const uint8_t *taken;
	bool zeroes, answered;

	put_be64(greeting, NBD_MAGIC);
	put_be64(greeting + 8, NBD_OPTS_MAGIC);
	put_be16(greeting + 16, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	if (!send_all(fd, &vec, 1) || !(taken = take(fd, NBD_CLIENT_FLAGS_SIZE)))
		return false;
	zeroes = !(get_be32(taken) & NBD_FLAG_C_NO_ZEROES);
	for (;;) {
		uint32_t option, length;

		taken = take(fd, NBD_OPTION_HEADER_SIZE);
		if (!taken || get_be64(taken) != NBD_OPTS_MAGIC)
			return false;
		option = get_be32(taken + 8);
		length = get_be32(taken + 12);
		if (length > MAX_LENGTH || !take(fd, length))
			return false;
		if (option == NBD_OPT_EXPORT_NAME || option == NBD_OPT_GO || option == NBD_OPT_INFO)
			answered = send_export(fd, option, zeroes);
		else
			answered = send_option_reply(fd, option, option == NBD_OPT_ABORT ? NBD_REP_ACK : NBD_REP_ERR_UNSUP,
						     NULL, 0);
		if (!answered || option == NBD_OPT_ABORT)
			return false;
		if (option == NBD_OPT_EXPORT_NAME || option == NBD_OPT_GO)
			return true;
	}
}

static int listen_at(const char *unix_path, const char *tcp_port)
{
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	struct sockaddr_in loopback = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(unix_path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1, bound;

	if (fd < 0)
		err(1, "socket");
	if (unix_path) {
		snprintf(local.sun_path, sizeof(local.sun_path), "%s", unix_path);
		unlink(unix_path);
		bound = bind(fd, (const struct sockaddr *)&local, sizeof(local));
	} else {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		loopback.sin_port = htons((uint16_t)atoi(tcp_port));
		bound = bind(fd, (const struct sockaddr *)&loopback, sizeof(loopback));
	}
	if (bound < 0 || listen(fd, SOMAXCONN) < 0)
		err(1, "%s", unix_path ? unix_path : tcp_port);
	return fd;
}

static void *map(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		err(1, "mmap");
	return at;
}

static void open_memory(const char *size)
{
	if (size_parse(size, &export_size) < 0 || export_size == 0)
		errx(1, "%s: not a size", size);
	memory = map(export_size);
	memset(memory, 0x5a, export_size); /* else the first reads measure page faults */
}

static void open_file(const char *path)
{
	struct stat status;

	file_fd = open(path, O_RDWR | O_CLOEXEC);
	if (file_fd < 0 || fstat(file_fd, &status) < 0)
		err(1, "%s", path);
	export_size = (uint64_t)status.st_size;
	file_data = map(BUFFER_SIZE);
}

static void serve_clients(int listener)
{
	for (;;) {
		int one = 1;
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			err(1, "accept");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* fails on a unix socket, harmlessly */
		if (sndbuf)
			setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf));
		input_first = input_end = 0;
		if (negotiation(fd))
			transmission(fd);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "unix", required_argument, NULL, 'u' },   { "tcp", required_argument, NULL, 't' },
		{ "memory", required_argument, NULL, 'm' }, { "file", required_argument, NULL, 'f' },
		{ "sndbuf", required_argument, NULL, 's' }, { "poll-us", required_argument, NULL, 'p' },
		{ 0 },
	};
	const char *unix_path = NULL, *tcp_port = NULL;
	int key;

	while ((key = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (key) {
		case 'u': unix_path = optarg; break;
		case 't': tcp_port = optarg; break;
		case 'm': open_memory(optarg); break;
		case 'f': open_file(optarg); break;
		case 's': sndbuf = atoi(optarg); break;
		case 'p': poll_ns = (uint64_t)atoi(optarg) * 1000; break;
		default: return 1;
		}
	}
	if (optind < argc || !unix_path == !tcp_port || !memory == (file_fd < 0))
		errx(1, "usage: platter-floor (--unix PATH | --tcp PORT) (--memory SIZE | --file PATH) "
			"[--sndbuf BYTES] [--poll-us N]");
	input = map(BUFFER_SIZE);
	serve_clients(listen_at(unix_path, tcp_port));
}
