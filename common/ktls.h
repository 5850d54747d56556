/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernel TLS: once the kernel knows the keys of both directions it seals and
 * opens the records of a TCP socket, which from then on gives and takes plain
 * text.  That is for TLS 1.3, whose secrets and numbers of records are known
 * (common/tls_watch.h).
 *
 * In this order: ktls_attach() before the handshake; ktls_start() where both
 * directions are between two records; then ktls_next() on what isn't data, and
 * ktls_close().
 */
#ifndef COMMON_KTLS_H
#define COMMON_KTLS_H

#include <stdbool.h>

#include <linux/tls.h>

struct tls_stream;
struct tls_watch;

/* What setsockopt(2) takes with TLS_TX or TLS_RX. */
union ktls_crypto {
	struct tls_crypto_info info;
	struct tls12_crypto_info_aes_gcm_128 aes_gcm_128;
	struct tls12_crypto_info_aes_gcm_256 aes_gcm_256;
	struct tls12_crypto_info_chacha20_poly1305 chacha20_poly1305;
};

/*
 * Key, initialization vector and number of STREAM's next record, in TLS 1.3 with SUITE (its number on the wire): the size of
 * what is used of RET, which is secret.  Fails as tls_secret_keys() does.
 */
int ktls_crypto(union ktls_crypto *ret, unsigned suite, const struct tls_stream *stream);

/*
 * Whether a kernel of that RELEASE (uname -r) waits well for records.  Before Linux 6.5 a socket polls as readable when part of
 * one is there: io_uring tries to receive it 128 times, and then has a worker thread wait.
 */
bool ktls_is_mature(const char *release);

/*
 * Prepares a connected socket, on which nothing changes yet: -ENOENT where the kernel has no TLS, or its module isn't loaded;
 * -EOPNOTSUPP for what isn't TCP.  May take as long as the module does to load.
 */
int ktls_attach(int fd);

/*
 * The kernel goes on where the OpenSSL is that WATCH knows all of.  -errno: it can't, and all stays as it was;
 * -ENOTRECOVERABLE: it did so for one direction only, so that the connection has to end.
 */
int ktls_start(const struct tls_watch *watch, int fd);

/* Version and cipher of what the kernel sends on a connected socket, as OpenSSL calls them; NULL: it does no TLS there. */
const char *ktls_cipher(int fd);

/*
 * After a receive that failed with EIO, since what is next isn't data: takes that, and says in a few words, for people, why
 * it is the end; NULL: the other side has said goodbye.
 */
const char *ktls_next(int fd);

/* Says goodbye, as far as there is room for it in the socket. */
void ktls_close(int fd);

#endif
