/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/tls.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/tls_file.h"

static char groups[] = TLS_GROUPS; /* never written to; the macro that takes it wants no constant */

static const unsigned char session_context[] = "platter";

static int keys_index = -1;     /* of an SSL_CTX's list of them */
static int identity_index = -1; /* of the one that an SSL asked for last */

static void free_keys(void *parent, void *keys, CRYPTO_EX_DATA *data, int index, long number, void *argument)
{
	(void)parent, (void)data, (void)index, (void)number, (void)argument;
	tls_free_keys(keys);
}

/* The callback of OpenSSL: IDENTITY's key and its length, or 0: it has none. */
static unsigned find_key(SSL *ssl, const char *identity, unsigned char *bytes, unsigned most)
{
	struct tls_key *keys = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), keys_index);
	const struct tls_key *key = tls_find_key(keys, identity);

	if (!key || key->length > most)
		return 0;
	/* It lives as long as the context, and so longer than SSL. */
	SSL_set_ex_data(ssl, identity_index, (char *)(uintptr_t)key->identity);
	memcpy(bytes, key->bytes, key->length);
	return key->length;
}

static int load_keys(SSL_CTX *context, const char *path, const struct tls_reason *reason)
{
	struct tls_key *keys;
	int result = tls_load_keys(&keys, path, reason);

	if (result < 0)
		return result;
	if (SSL_CTX_set_ex_data(context, keys_index, keys) != 1) {
		tls_free_keys(keys);
		return tls_fail(reason, ENOMEM, "no memory");
	}
	SSL_CTX_set_psk_server_callback(context, find_key);
	return 0;
}

static int load_authority(SSL_CTX *context, const struct tls_files *files, const struct tls_reason *reason)
{
	int mode = SSL_VERIFY_PEER | (files->verify_peer ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
	char authority[PATH_MAX];
	int result;

	snprintf(authority, sizeof(authority), "%s/ca-cert.pem", files->certificates);
	if (access(authority, F_OK) < 0 && errno == ENOENT && !files->verify_peer)
		return 0;
	result = tls_load_authority(context, files->certificates, reason);
	if (result < 0)
		return result;
	SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(authority));
	SSL_CTX_set_verify(context, mode, NULL);
	return 0;
}

static int load_certificates(SSL_CTX *context, const struct tls_files *files, const struct tls_reason *reason)
{
	char certificate[PATH_MAX], key[PATH_MAX];
	int result;

	snprintf(certificate, sizeof(certificate), "%s/server-cert.pem", files->certificates);
	snprintf(key, sizeof(key), "%s/server-key.pem", files->certificates);
	result = tls_check_secret(key, reason);
	if (result < 0)
		return result;
	SSL_CTX_set_default_passwd_cb(context, tls_know_no_passphrase);
	if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
		return tls_fail_file(reason, certificate);
	if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(context) != 1)
		return tls_fail_file(reason, key);
	return load_authority(context, files, reason);
}

static bool set_rules(SSL_CTX *context)
{
	SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
				     SSL_OP_NO_TICKET);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* Else a read goes on for as long as there are messages that bring no data. */
	SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_early_data(context, 0);
	SSL_CTX_set_dh_auto(context, 1);
	/* A ticket after the handshake would break clients whose kernel does TLS.  A PSK counts as a session, of this context. */
	return SSL_CTX_set_num_tickets(context, 0) && SSL_CTX_set_session_id_context(context, session_context, sizeof(session_context)) &&
	       SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) &&
	       SSL_CTX_set_ciphersuites(context, TLS_SUITES_1_3) && SSL_CTX_set_cipher_list(context, TLS_SUITES_1_2) &&
	       SSL_CTX_set1_groups_list(context, groups);
}

int tls_load(SSL_CTX **ret, const struct tls_files *files, char *text, size_t size)
{
	const struct tls_reason reason = { text, size };
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	int result = 0;

	if (keys_index < 0)
		keys_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_keys);
	if (identity_index < 0)
		identity_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	if (!context || keys_index < 0 || identity_index < 0 || !set_rules(context))
		result = tls_fail_openssl(&reason, "TLS");
	if (result == 0 && files->certificates)
		result = load_certificates(context, files, &reason);
	if (result == 0 && files->psk)
		result = load_keys(context, files->psk, &reason);
	if (result < 0) {
		SSL_CTX_free(context);
		return result;
	}
	*ret = context;
	return 0;
}

/*
 * The identity whose key was used; NULL: none was.  Asking for one proves nothing: where its hash doesn't fit the
 * suite, the handshake goes on without it.
 */
const char *tls_key_identity(struct ssl_st *ssl)
{
	if (SSL_version(ssl) >= TLS1_3_VERSION)
		return SSL_session_reused(ssl) ? SSL_get_ex_data(ssl, identity_index) : NULL;
	return SSL_get_psk_identity(ssl);
}

/* How subjects are written: shown, with everything but ASCII in hexadecimal; and as people write them. */
#define SHOWN XN_FLAG_RFC2253
#define WRITTEN (XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB)

/* The subject of CERTIFICATE, as much of it as there is room for; how long it is, 0: it can't be told. */
static size_t subject_of(X509 *certificate, unsigned long how, char *text, size_t size)
{
	BIO *bio = BIO_new(BIO_s_mem());
	size_t length = 0;
	int read = 0;

	if (bio && X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, how) >= 0) {
		length = BIO_ctrl_pending(bio);
		read = BIO_read(bio, text, (int)size - 1);
	}
	BIO_free(bio);
	text[read > 0 ? read : 0] = '\0';
	return length;
}

void tls_peer(struct ssl_st *ssl, char *text, size_t size)
{
	X509 *certificate = SSL_get0_peer_certificate(ssl);
	const char *identity = tls_key_identity(ssl);

	text[0] = '\0';
	if (certificate && subject_of(certificate, SHOWN, text, size) >= size)
		memcpy(text + size - sizeof("..."), "...", sizeof("..."));
	else if (!certificate && identity)
		snprintf(text, size, "%s", identity);
}

/* Names, one behind the other. */
struct names {
	char *bytes;
	size_t length, size;
};

/* One of LENGTH bytes; what has a NUL inside is none.  Without memory it is missing, and so can't let anybody in. */
static void add_name(struct names *names, const char *name, size_t length)
{
	if (length == 0 || memchr(name, '\0', length))
		return;
	if (names->length + length + 2 > names->size) {
		size_t size = 2 * (names->length + length + 2);
		char *bytes = realloc(names->bytes, size);

		if (!bytes)
			return;
		names->bytes = bytes;
		names->size = size;
	}
	memcpy(names->bytes + names->length, name, length);
	names->length += length;
	names->bytes[names->length++] = '\0';
	names->bytes[names->length] = '\0';
}

static void add_subject(struct names *names, X509 *certificate, unsigned long how)
{
	char subject[1024];
	size_t length = subject_of(certificate, how, subject, sizeof(subject));

	/* A part of one might look like another. */
	if (length < sizeof(subject))
		add_name(names, subject, length);
}

/* A name that nobody can take for a subject. */
static void add_string(struct names *names, const ASN1_STRING *string)
{
	unsigned char *text = NULL;
	int length = ASN1_STRING_to_UTF8(&text, string);

	if (length > 0 && !memchr(text, '=', (size_t)length))
		add_name(names, (const char *)text, (size_t)length);
	if (length >= 0)
		OPENSSL_free(text);
}

static void add_common_name(struct names *names, X509 *certificate)
{
	X509_NAME *subject = X509_get_subject_name(certificate);
	int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	if (index >= 0)
		add_string(names, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
}

static void add_alternatives(struct names *names, X509 *certificate)
{
	GENERAL_NAMES *alternatives = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; alternatives && i < sk_GENERAL_NAME_num(alternatives); i++) {
		int type;
		const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(alternatives, i), &type);

		if (type == GEN_DNS || type == GEN_EMAIL || type == GEN_URI)
			add_string(names, value);
	}
	GENERAL_NAMES_free(alternatives);
}

char *tls_certificate_names(struct ssl_st *ssl)
{
	X509 *certificate = SSL_get0_peer_certificate(ssl);
	struct names names = { .bytes = NULL };

	if (!certificate)
		return NULL;
	add_subject(&names, certificate, SHOWN);
	add_subject(&names, certificate, WRITTEN);
	add_common_name(&names, certificate);
	add_alternatives(&names, certificate);
	ERR_clear_error();
	return names.bytes;
}
