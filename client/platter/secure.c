/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/secure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "client/platter/uri.h"
#include "common/ktls.h"
#include "common/tls_file.h"
#include "common/tls_watch.h"

struct secure {
	int fd;
	SSL_CTX *context;
	SSL *ssl;
	struct tls_watch watch;
	struct tls_key key;      /* that the server has to know, too */
};

static char groups[] = TLS_GROUPS; /* never written to; the macro that takes it wants no constant */
static int index_of_secure = -1;   /* in an SSL */

/* --- Credentials */

/* The callback of OpenSSL. */
static unsigned give_key(SSL *ssl, const char *hint, char *identity, unsigned most_identity, unsigned char *bytes, unsigned most)
{
	const struct tls_key *key = &((struct secure *)SSL_get_ex_data(ssl, index_of_secure))->key;

	(void)hint;
	if (strlen(key->identity) >= most_identity || key->length > most)
		return 0;
	strcpy(identity, key->identity);
	memcpy(bytes, key->bytes, key->length);
	return key->length;
}

static int load_key(struct secure *secure, const struct uri *uri, const struct tls_reason *reason)
{
	const struct tls_key *found;
	struct tls_key *keys;
	int result = tls_load_keys(&keys, uri->psk, reason);

	if (result < 0)
		return result;
	found = uri->user ? tls_find_key(keys, uri->user) : keys->next ? NULL : keys;
	if (found)
		secure->key = *found;
	else if (uri->user)
		result = tls_fail(reason, ENOENT, "%s: it has no key for %s", uri->psk, uri->user);
	else
		result = tls_fail(reason, EINVAL, "%s: which of its keys? Write nbds://IDENTITY@...", uri->psk);
	tls_free_keys(keys);
	SSL_CTX_set_psk_client_callback(secure->context, give_key);
	return result;
}

/* libnbd's names: a certificate of our own is there if the server wants one. */
static int load_certificates(struct secure *secure, const char *directory, bool trusts_any, const struct tls_reason *reason)
{
	char certificate[4096], key[4096];
	int result = trusts_any ? 0 : tls_load_authority(secure->context, directory, reason);

	snprintf(certificate, sizeof(certificate), "%s/client-cert.pem", directory);
	snprintf(key, sizeof(key), "%s/client-key.pem", directory);
	if (result < 0)
		return result;
	if (access(certificate, F_OK) < 0 && errno == ENOENT)
		return 0;
	if (tls_check_secret(key, reason) < 0)
		return -EPERM;
	SSL_CTX_set_default_passwd_cb(secure->context, tls_know_no_passphrase);
	if (SSL_CTX_use_certificate_chain_file(secure->context, certificate) != 1)
		return tls_fail_file(reason, certificate);
	if (SSL_CTX_use_PrivateKey_file(secure->context, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(secure->context) != 1)
		return tls_fail_file(reason, key);
	return 0;
}

static int load(struct secure *secure, const struct uri *uri, const struct tls_reason *reason)
{
	SSL_CTX *context = secure->context;

	SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* Else a read goes on for as long as there are messages that bring no data, and nobody looks at the clock. */
	SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
	if (!SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) || !SSL_CTX_set_ciphersuites(context, TLS_SUITES_1_3) ||
	    !SSL_CTX_set_cipher_list(context, TLS_SUITES_1_2) || !SSL_CTX_set1_groups_list(context, groups) || tls_watch_allow(context) < 0)
		return tls_fail_openssl(reason, "TLS");
	if (!uri->trusts_any)
		SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	if (uri->psk)
		return load_key(secure, uri, reason);
	if (uri->certificates)
		return load_certificates(secure, uri->certificates, uri->trusts_any, reason);
	return SSL_CTX_set_default_verify_paths(context) ? 0 : tls_fail_openssl(reason, "the system's certificates");
}

/* Whom the server's certificate has to be for; of a unix socket's any that is trusted is good. */
static bool expect_host(SSL *ssl, const struct uri *uri)
{
	const char *host = uri->hostname ? uri->hostname : uri->host;
	unsigned char address[sizeof(struct in6_addr)];

	if (!host)
		return true;
	if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	/* What SSL_set_tlsext_host_name() stands for, which casts the constant away. */
	return SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *)(uintptr_t)host) && SSL_set1_host(ssl, host);
}

static int make_ssl(struct secure *secure, const struct uri *uri, const struct tls_reason *reason)
{
	if (index_of_secure < 0)
		index_of_secure = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	secure->ssl = SSL_new(secure->context);
	if (!secure->ssl || index_of_secure < 0 || !SSL_set_ex_data(secure->ssl, index_of_secure, secure) ||
	    !SSL_set_fd(secure->ssl, secure->fd) || !expect_host(secure->ssl, uri) || tls_watch_start(&secure->watch, secure->ssl) < 0)
		return tls_fail_openssl(reason, "TLS");
	SSL_set_connect_state(secure->ssl);
	return 0;
}

struct secure *secure_new(int fd, const struct uri *uri, struct problem *problem)
{
	struct secure *secure = calloc(1, sizeof(*secure));
	struct problem said = { .text = "" };
	const struct tls_reason reason = { said.text, sizeof(said.text) };

	if (!secure) {
		problem_memory(problem);
		return NULL;
	}
	secure->fd = fd;
	secure->context = SSL_CTX_new(TLS_client_method());
	if (secure->context && load(secure, uri, &reason) == 0 && make_ssl(secure, uri, &reason) == 0)
		return secure;
	problem_set(problem, STATUS_TLS, "%s", said.text[0] ? said.text : "no memory");
	secure_free(secure);
	return NULL;
}

void secure_free(struct secure *secure)
{
	if (!secure)
		return;
	tls_watch_forget(&secure->watch);
	SSL_free(secure->ssl);
	SSL_CTX_free(secure->context);
	OPENSSL_cleanse(&secure->key, sizeof(secure->key));
	free(secure);
}

/* --- What goes through it */

static void set_reason(struct secure *secure, struct problem *problem)
{
	unsigned long error = ERR_peek_error();
	const char *why = ERR_reason_error_string(error);
	long verdict = SSL_get_verify_result(secure->ssl);

	if (ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED && verdict != X509_V_OK)
		problem_set(problem, STATUS_TLS, "the server's certificate isn't accepted: %s", X509_verify_cert_error_string(verdict));
	else
		problem_set(problem, STATUS_TLS, "TLS with the server: %s", why ? why : "it hung up");
	ERR_clear_error();
}

/* What a call that came to RESULT, nothing, means. */
static int ended(struct secure *secure, int result, short *events, struct problem *problem)
{
	switch (SSL_get_error(secure->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		*events = POLLIN;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_WANT_WRITE:
		*events = POLLOUT;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		set_reason(secure, problem);
		errno = EPROTO;
		return -1;
	}
}

/* A key proves who the server is: without one a certificate does, and where neither is asked for nothing does. */
static int check_key(struct secure *secure, struct problem *problem)
{
	if (!secure->key.length || SSL_get0_peer_certificate(secure->ssl) == NULL)
		return 0;
	problem_set(problem, STATUS_TLS, "the server doesn't know the key of %s: it answers with a certificate", secure->key.identity);
	errno = EPROTO;
	return -1;
}

int secure_handshake(struct secure *secure, short *events, struct problem *problem)
{
	int result;

	ERR_clear_error();
	result = SSL_do_handshake(secure->ssl);
	if (result == 1)
		return check_key(secure, problem);
	if (ended(secure, result, events, problem) == 0) {
		problem_set(problem, STATUS_TLS, "TLS with the server: it ended it");
		errno = EPROTO;
	}
	return -1;
}

ssize_t secure_send(struct secure *secure, const void *bytes, size_t length, short *events, struct problem *problem)
{
	size_t sent;

	ERR_clear_error();
	if (SSL_write_ex(secure->ssl, bytes, length, &sent) == 1)
		return (ssize_t)sent;
	return ended(secure, 0, events, problem);
}

ssize_t secure_receive(struct secure *secure, void *bytes, size_t length, short *events, struct problem *problem)
{
	size_t received;

	ERR_clear_error();
	if (SSL_read_ex(secure->ssl, bytes, length, &received) == 1)
		return (ssize_t)received;
	return ended(secure, 0, events, problem);
}

void secure_close(struct secure *secure)
{
	ERR_clear_error();
	SSL_shutdown(secure->ssl);
	ERR_clear_error();
}

int secure_hand_over(struct secure *secure)
{
	int result;

	/* A record that has begun, or data of one, would be lost. */
	if (!tls_watch_is_ready(&secure->watch) || tls_watch_missing(&secure->watch.in) || SSL_pending(secure->ssl))
		return -EOPNOTSUPP;
	result = ktls_attach(secure->fd);
	if (result == 0)
		result = ktls_start(&secure->watch, secure->fd);
	/* The kernel would seal OpenSSL's goodbye once more, under the number that OpenSSL had used. */
	if (result == -ENOTRECOVERABLE)
		SSL_set_quiet_shutdown(secure->ssl, 1);
	return result;
}

void secure_describe(const struct secure *secure, char *text)
{
	snprintf(text, SECURE_TEXT, "%s %s", SSL_get_version(secure->ssl), SSL_get_cipher_name(secure->ssl));
}
