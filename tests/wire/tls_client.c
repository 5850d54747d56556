/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client whose TLS does on request what other clients don't: tls_client PORT CA-FILE EXPORT ACT.  It prints what comes of
 * the ACT; its status is 0 when that is as it should be.  TLS_SUITE in the environment names the only suite it knows.
 *
 * hold     writes and reads, says "ready", waits for the end of its standard input, writes and reads again, says goodbye,
 *          and so does the server: "goodbye"
 * wait     likewise, but waits for the server's "goodbye"
 * half     reads twice, with half the second request's record before "ready", then the rest
 * early    sends requests that end in the middle of a record before it has the answer to its GO: "answered"
 * update   changes its key, and has the server do so, too: "answered", or "ended" in good order
 * updates  does so again and again, with requests before, between and behind: "answered"
 * flood    changes its key more often in a row than anybody would: "ended"
 * torrent  likewise, before it sends its GO: "ended"
 * alert    sends a fatal alert: "ended"
 * corrupt  sends a record that is changed on its way: "ended"
 */
#include <arpa/inet.h>
#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common/wire.h"

#define BLOCK 70000 /* no multiple of anything: several records, the last one short */

static SSL *ssl;
static int fd;

/* --- Bytes */

static void check(bool condition, const char *what)
{
	if (condition)
		return;
	ERR_print_errors_fp(stderr);
	errx(EXIT_FAILURE, "%s", what);
}

static void send_all(const void *bytes, size_t length)
{
	check(send(fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length, "send");
}

/* Sends what TLS has made, but for the last KEPT bytes. */
static void flush_but(size_t kept)
{
	char *bytes;
	BIO *made = SSL_get_wbio(ssl);
	size_t length = (size_t)BIO_get_mem_data(made, &bytes) - kept;

	send_all(bytes, length);
	check(BIO_read(made, bytes, (int)length) == (int)length, "BIO_read");
}

/* For a later flush_but(). */
static void put(const void *bytes, size_t length)
{
	check(SSL_write(ssl, bytes, (int)length) == (int)length, "SSL_write");
}

/* False: the other end has said goodbye. */
static bool get(void *bytes, size_t length)
{
	for (size_t done = 0; done < length;) {
		int result = SSL_read(ssl, (char *)bytes + done, (int)(length - done));

		if (result <= 0 && SSL_get_error(ssl, result) == SSL_ERROR_ZERO_RETURN && done == 0)
			return false;
		check(result > 0, "SSL_read");
		done += (size_t)result;
	}
	return true;
}

/* --- NBD */

static void put_option(uint32_t option, const void *data, uint32_t length)
{
	uint8_t header[NBD_OPTION_HEADER_SIZE];

	put_be64(header, NBD_OPTS_MAGIC);
	put_be32(header + 8, option);
	put_be32(header + 12, length);
	if (!ssl) {
		send_all(header, sizeof(header));
		return;
	}
	put(header, sizeof(header));
	put(data, length);
}

static void start_tls(const char *authority)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	uint8_t bytes[NBD_OPTION_REPLY_SIZE];

	check(recv(fd, bytes, NBD_GREETING_SIZE, MSG_WAITALL) == NBD_GREETING_SIZE, "greeting");
	put_be32(bytes, NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES);
	send_all(bytes, NBD_CLIENT_FLAGS_SIZE);
	put_option(NBD_OPT_STARTTLS, NULL, 0);
	check(recv(fd, bytes, sizeof(bytes), MSG_WAITALL) == sizeof(bytes) && get_be32(bytes + 12) == NBD_REP_ACK, "STARTTLS");
	check(SSL_CTX_load_verify_locations(context, authority, NULL) == 1, authority);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	if (getenv("TLS_SUITE"))
		check(SSL_CTX_set_ciphersuites(context, getenv("TLS_SUITE")) == 1, "TLS_SUITE");
	ssl = SSL_new(context);
	SSL_set_bio(ssl, BIO_new_socket(fd, BIO_NOCLOSE), BIO_new_socket(fd, BIO_NOCLOSE));
	check(SSL_connect(ssl) == 1, "TLS handshake");
	/* What is sent goes our own way from here on. */
	SSL_set0_wbio(ssl, BIO_new(BIO_s_mem()));
	SSL_CTX_free(context);
}

static void put_go(const char *export)
{
	uint8_t data[300] = { 0 };
	size_t length = strlen(export);

	check(length <= 255, "a shorter name");
	put_be32(data, (uint32_t)length);
	memcpy(data + 4, export, length);
	put_option(NBD_OPT_GO, data, (uint32_t)length + 6);
}

static void get_go(void)
{
	uint8_t bytes[NBD_OPTION_REPLY_SIZE], data[1024];
	uint32_t type;

	do {
		check(get(bytes, sizeof(bytes)), "the end instead of GO's answer");
		type = get_be32(bytes + 12);
		check(get_be32(bytes + 16) <= sizeof(data) && get(data, get_be32(bytes + 16)), "GO's answer");
	} while (type == NBD_REP_INFO);
	check(type == NBD_REP_ACK, "GO");
}

static void put_request(unsigned type, uint64_t cookie, uint64_t offset, uint32_t length)
{
	uint8_t header[NBD_REQUEST_SIZE] = { 0 };

	put_be32(header, NBD_REQUEST_MAGIC);
	put_be16(header + 6, (uint16_t)type);
	put_be64(header + 8, cookie);
	put_be64(header + 16, offset);
	put_be32(header + 24, length);
	put(header, sizeof(header));
}

static bool get_reply(uint64_t cookie)
{
	uint8_t reply[NBD_SIMPLE_REPLY_SIZE];

	if (!get(reply, sizeof(reply)))
		return false;
	check(get_be32(reply) == NBD_SIMPLE_REPLY_MAGIC && get_be32(reply + 4) == 0 && get_be64(reply + 8) == cookie, "a reply");
	return true;
}

static uint8_t block[BLOCK];

static void put_write(void)
{
	put_request(NBD_CMD_WRITE, 1, 12345, BLOCK);
	put(block, BLOCK);
}

static void put_read(void)
{
	put_request(NBD_CMD_READ, 2, 12345, BLOCK);
}

/* False: the end instead. */
static bool get_read(void)
{
	static uint8_t data[BLOCK];

	if (!get_reply(2))
		return false;
	check(get(data, BLOCK) && memcmp(data, block, BLOCK) == 0, "the data that was written");
	return true;
}

static void expect_goodbye(void)
{
	uint8_t byte;

	check(!get(&byte, 1), "more instead of a goodbye");
}

static void say_goodbye(void)
{
	SSL_shutdown(ssl);
	flush_but(0);
	expect_goodbye();
}

/* --- Acts */

static void write_and_read(void)
{
	put_write();
	put_read();
	flush_but(0);
	check(get_reply(1), "the end instead of a reply");
	check(get_read(), "the end instead of data");
}

static void get_ready(void)
{
	write_and_read();
	puts("ready");
	fflush(stdout);
}

static void wait_for_input(void)
{
	while (getchar() != EOF)
		;
}

static void hold(void)
{
	get_ready();
	wait_for_input();
	write_and_read();
	say_goodbye();
	puts("goodbye");
}

static void half(void)
{
	write_and_read();
	put_read();
	put_read();
	flush_but(20);
	check(get_read(), "the end instead of data");
	puts("ready");
	fflush(stdout);
	wait_for_input();
	flush_but(0);
	check(get_read(), "the end instead of data");
	say_goodbye();
	puts("goodbye");
}

static void wait_for_goodbye(void)
{
	get_ready();
	expect_goodbye();
	puts("goodbye");
}

static void early(const char *export)
{
	put_go(export);
	put_write();
	put_read();
	/* The last record is one of 28 bytes: it breaks off after its header, and the other end may have all the time. */
	flush_but(40);
	get_go();
	check(get_reply(1), "the end instead of a reply");
	flush_but(3);
	flush_but(0);
	check(get_read(), "the end instead of data");
	write_and_read();
	say_goodbye();
	puts("answered");
}

static void update(void)
{
	write_and_read();
	check(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) == 1, "SSL_key_update");
	put_read();
	flush_but(0);
	puts(get_read() ? "answered" : "ended");
}

static void change_key(int update)
{
	check(SSL_key_update(ssl, update) == 1 && SSL_do_handshake(ssl) == 1, "SSL_key_update");
}

static void updates(void)
{
	for (int i = 0; i < 100; i++) {
		change_key(i & 1 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
		put_write();
		if (i & 2)
			change_key(SSL_KEY_UPDATE_REQUESTED);
		if (i & 4)
			change_key(SSL_KEY_UPDATE_NOT_REQUESTED);
		put_read();
		flush_but(10);
		flush_but(0);
		check(get_reply(1), "the end instead of a reply");
		check(get_read(), "the end instead of data");
	}
	say_goodbye();
	puts("answered");
}

/* After what ends it at once there may be a goodbye, or not. */
static void expect_the_end(void)
{
	uint8_t byte;

	check(SSL_read(ssl, &byte, 1) <= 0, "more instead of the end");
	puts("ended");
}

static void flood(void)
{
	write_and_read();
	for (int i = 0; i < 100; i++)
		change_key(SSL_KEY_UPDATE_REQUESTED);
	flush_but(0);
	expect_the_end();
}

static void torrent(const char *export)
{
	for (int i = 0; i < 100; i++)
		change_key(SSL_KEY_UPDATE_NOT_REQUESTED);
	put_go(export);
	flush_but(0);
	expect_the_end();
}

static void corrupt(void)
{
	char *bytes;

	write_and_read();
	put_read();
	check(BIO_get_mem_data(SSL_get_wbio(ssl), &bytes) > 20, "a record");
	bytes[10] ^= 1;
	flush_but(0);
	expect_the_end();
}

/* As OpenSSL sends one on its own: for a record that isn't as it should be. */
static void alert(void)
{
	write_and_read();
	SSL_set0_rbio(ssl, BIO_new(BIO_s_mem()));
	BIO_write(SSL_get_rbio(ssl), "\27\3\3\0\21no record of TLS", 22);
	check(SSL_read(ssl, block, 1) <= 0, "a fault");
	flush_but(0);
	while (recv(fd, block, sizeof(block), 0) > 0)
		;
	puts("ended");
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const char *act = argc == 5 ? argv[4] : "";

	if (argc != 5)
		errx(EXIT_FAILURE, "write tls_client PORT CA-FILE EXPORT ACT");
	for (size_t i = 0; i < BLOCK; i++)
		block[i] = (uint8_t)(i * 7 + i / 256);
	address.sin_port = htons((uint16_t)atoi(argv[1]));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	check(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "connect");
	start_tls(argv[2]);
	if (strcmp(act, "early") == 0) {
		early(argv[3]);
	} else if (strcmp(act, "torrent") == 0) {
		torrent(argv[3]);
	} else {
		put_go(argv[3]);
		flush_but(0);
		get_go();
		if (strcmp(act, "hold") == 0)
			hold();
		else if (strcmp(act, "half") == 0)
			half();
		else if (strcmp(act, "wait") == 0)
			wait_for_goodbye();
		else if (strcmp(act, "update") == 0)
			update();
		else if (strcmp(act, "updates") == 0)
			updates();
		else if (strcmp(act, "flood") == 0)
			flood();
		else if (strcmp(act, "alert") == 0)
			alert();
		else if (strcmp(act, "corrupt") == 0)
			corrupt();
		else
			errx(EXIT_FAILURE, "%s: no such act", act);
	}
	SSL_free(ssl);
	close(fd);
	return EXIT_SUCCESS;
}
