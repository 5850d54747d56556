/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/tls_file.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common/utf8.h"

int tls_fail(const struct tls_reason *reason, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason->text, reason->size, format, arguments);
	va_end(arguments);
	return -error;
}

int tls_fail_openssl(const struct tls_reason *reason, const char *what)
{
	unsigned long error = ERR_peek_error();
	const char *why = ERR_reason_error_string(error);

	if (ERR_GET_REASON(error) == ERR_R_INTERRUPTED_OR_CANCELLED)
		why = "it is encrypted, and nobody is there to tell its passphrase; take one that isn't, with mode 0600";
	ERR_clear_error();
	return tls_fail(reason, EINVAL, "%s: %s", what, why ? why : "cannot be used");
}

int tls_fail_file(const struct tls_reason *reason, const char *path)
{
	int error = access(path, R_OK) < 0 ? errno : 0;

	if (error) {
		ERR_clear_error();
		return tls_fail(reason, error, "%s: %s", path, strerror(error));
	}
	return tls_fail_openssl(reason, path);
}

int tls_check_secret(const char *path, const struct tls_reason *reason)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return tls_fail(reason, errno, "%s: %s", path, strerror(errno));
	if (status.st_mode & S_IRWXO)
		return tls_fail(reason, EPERM, "%s: everybody on this machine may read or change it; chmod o= it", path);
	return 0;
}

/*
 * The callback of OpenSSL, which wants the issuer, and a list of its, even of what is trusted by itself.  Its flag for that
 * (PARTIAL_CHAIN) would end chains there even where they go on: an authority above could not revoke it any more.
 */
static int trust_what_is_there(int good, X509_STORE_CTX *context)
{
	int error = X509_STORE_CTX_get_error(context);
	bool last = X509_STORE_CTX_get_error_depth(context) == sk_X509_num(X509_STORE_CTX_get0_chain(context)) - 1;

	/* The former says that the last one comes from the file, and not from the other end. */
	if (good || !last || (error != X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT && error != X509_V_ERR_UNABLE_TO_GET_CRL))
		return good;
	X509_STORE_CTX_set_error(context, X509_V_OK);
	return 1;
}

/* Certificates that have been revoked. */
static int load_revoked(X509_STORE *store, const char *path, const struct tls_reason *reason)
{
	X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());

	if (!lookup || X509_load_crl_file(lookup, path, X509_FILETYPE_PEM) <= 0)
		return tls_fail_file(reason, path);
	X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return 0;
}

int tls_load_authority(SSL_CTX *context, const char *directory, const struct tls_reason *reason)
{
	X509_STORE *store = SSL_CTX_get_cert_store(context);
	char authority[PATH_MAX], revoked[PATH_MAX];

	snprintf(authority, sizeof(authority), "%s/ca-cert.pem", directory);
	snprintf(revoked, sizeof(revoked), "%s/ca-crl.pem", directory);
	if (SSL_CTX_load_verify_locations(context, authority, NULL) != 1)
		return tls_fail_file(reason, authority);
	X509_STORE_set_verify_cb(store, trust_what_is_there);
	/* An absent list revokes nothing; one that can't be read isn't absent. */
	if (access(revoked, F_OK) < 0 && errno == ENOENT)
		return 0;
	return load_revoked(store, revoked, reason);
}

int tls_know_no_passphrase(char *text, int size, int writing, void *argument)
{
	(void)text, (void)size, (void)writing, (void)argument;
	return -1;
}

void tls_free_keys(struct tls_key *key)
{
	while (key) {
		struct tls_key *next = key->next;

		OPENSSL_cleanse(key, sizeof(*key));
		free(key);
		key = next;
	}
}

const struct tls_key *tls_find_key(const struct tls_key *keys, const char *identity)
{
	while (keys && strcmp(keys->identity, identity) != 0)
		keys = keys->next;
	return keys;
}

static int hex_digit(char character)
{
	if (character >= '0' && character <= '9')
		return character - '0';
	return isxdigit((unsigned char)character) ? (character | 0x20) - 'a' + 10 : -1;
}

/* LENGTH characters in hexadecimal; how many bytes they are, 0: they aren't that, or more than MOST. */
static size_t parse_hex(unsigned char *bytes, size_t most, const char *text, size_t length)
{
	if (length % 2 || length / 2 > most)
		return 0;
	for (size_t i = 0; i < length; i += 2) {
		int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);

		if (high < 0 || low < 0)
			return 0;
		bytes[i / 2] = (unsigned char)(high << 4 | low);
	}
	return length / 2;
}

/* A "#" and hexadecimal: psktool's way to write an identity that has a colon. */
static bool parse_identity(struct tls_key *key, const char *text, size_t length)
{
	if (text[0] == '#')
		length = parse_hex((unsigned char *)key->identity, sizeof(key->identity) - 1, text + 1, length - 1);
	else if (length < sizeof(key->identity))
		memcpy(key->identity, text, length);
	else
		length = 0;
	/* It is shown to people. */
	return length && strlen(key->identity) == length && utf8_is_line(key->identity);
}

/* "IDENTITY:KEY"; false: that it isn't. */
static bool parse_key(struct tls_key *key, const char *line, size_t length)
{
	/* An identity may have colons, a key may not. */
	const char *colon = memrchr(line, ':', length);
	const char *hex = colon ? colon + 1 : NULL;

	if (!colon || colon == line)
		return false;
	key->length = (unsigned)parse_hex(key->bytes, sizeof(key->bytes), hex, (size_t)(line + length - hex));
	return key->length && parse_identity(key, line, (size_t)(colon - line));
}

/* A line that begins with "#", unless it is an identity's. */
static bool is_comment(const char *line, size_t length)
{
	const char *colon = memchr(line, ':', length);

	return line[0] == '#' && (!colon || colon == line + 1 || strspn(line + 1, "0123456789abcdefABCDEF") < (size_t)(colon - line - 1));
}

static int add_key(struct tls_key **keys, const char *line, size_t length)
{
	struct tls_key *key = calloc(1, sizeof(*key));

	if (!key)
		return -ENOMEM;
	if (!parse_key(key, line, length)) {
		free(key);
		return -EINVAL;
	}
	key->next = *keys;
	*keys = key;
	return 0;
}

static int read_keys(FILE *file, struct tls_key **keys, const char *path, const struct tls_reason *reason)
{
	char *line = NULL;
	size_t size = 0;
	unsigned number = 0;
	ssize_t length;
	int result = 0;

	while (result == 0 && (length = getline(&line, &size, file)) >= 0) {
		number++;
		while (length && isspace((unsigned char)line[length - 1]))
			length--;
		if (length && !is_comment(line, (size_t)length))
			result = add_key(keys, line, (size_t)length);
	}
	if (line)
		OPENSSL_cleanse(line, size);
	free(line);
	if (result < 0)
		return tls_fail(reason, -result, "%s, line %u: %s", path, number,
			    result == -ENOMEM ? "no memory" : "not IDENTITY:KEY with a key of 1 to 512 bytes in hexadecimal");
	return *keys ? 0 : tls_fail(reason, EINVAL, "%s: there is no key in it", path);
}

int tls_load_keys(struct tls_key **keys, const char *path, const struct tls_reason *reason)
{
	FILE *file;
	int result = tls_check_secret(path, reason);

	*keys = NULL;
	if (result < 0)
		return result;
	file = fopen(path, "re");
	if (!file)
		return tls_fail(reason, errno, "%s: %s", path, strerror(errno));
	result = read_keys(file, keys, path, reason);
	fclose(file);
	if (result < 0) {
		tls_free_keys(*keys);
		*keys = NULL;
	}
	return result;
}
