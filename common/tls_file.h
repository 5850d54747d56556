/* SPDX-License-Identifier: BSD-2-Clause */
/* The files that credentials for TLS lie in, for servers and clients, and why they can't be used. */
#ifndef COMMON_TLS_FILE_H
#define COMMON_TLS_FILE_H

#include <stddef.h>

#include "common/tls.h"

#define TLS_MOST_PSK 512 /* bytes; psktool makes no longer ones, and OpenSSL takes them */

/* OpenSSL's names of suites, for TLS 1.3 and 1.2, and groups.  A PSK's hash is SHA-256, which the chosen suite has to have. */
#define TLS_SUITES_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define TLS_SUITES_1_2 "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE-PSK-CHACHA20-POLY1305:DHE-PSK-AES128-GCM-SHA256:DHE-PSK-AES256-GCM-SHA384"
#define TLS_GROUPS "X25519:P-256:P-384"

/* A pre-shared key. */
struct tls_key {
	struct tls_key *next;
	char identity[TLS_MOST_IDENTITY];
	unsigned char bytes[TLS_MOST_PSK];
	unsigned length;
};

/* Where the reason of a failure goes. */
struct tls_reason {
	char *text;
	size_t size;
};

/* Says so; -ERROR. */
int tls_fail(const struct tls_reason *reason, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* OpenSSL's own reason, behind WHAT. */
int tls_fail_openssl(const struct tls_reason *reason, const char *what);
/* OpenSSL's reason for a failure with PATH, or the system's. */
int tls_fail_file(const struct tls_reason *reason, const char *path);

/* What must stay secret isn't to be read by everybody. */
int tls_check_secret(const char *path, const struct tls_reason *reason);

/* Whom to trust: those in DIRECTORY's ca-cert.pem and whom these vouch for, but for those in ca-crl.pem, if it is there. */
int tls_load_authority(struct ssl_ctx_st *context, const char *directory, const struct tls_reason *reason);

/* For OpenSSL, which would ask at the terminal: nobody is there to know an encrypted key's passphrase. */
int tls_know_no_passphrase(char *text, int size, int writing, void *argument);

/* All keys of a file of lines IDENTITY:KEY, as psktool makes them; to be freed.  There is at least one. */
int tls_load_keys(struct tls_key **keys, const char *path, const struct tls_reason *reason);
/* NULL: none. */
const struct tls_key *tls_find_key(const struct tls_key *keys, const char *identity);
/* Wipes them; NULL is allowed. */
void tls_free_keys(struct tls_key *keys);

#endif
