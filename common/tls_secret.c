/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/tls_secret.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

struct suite {
	unsigned number;
	const char *digest;
	size_t secret, key; /* bytes */
};

static const struct suite suites[] = {
	{ TLS_AES_128_GCM_SHA256, "SHA256", 32, 16 },
	{ TLS_AES_256_GCM_SHA384, "SHA384", 48, 32 },
	{ TLS_CHACHA20_POLY1305_SHA256, "SHA256", 32, 32 },
};

static int find_suite(const struct suite **ret, unsigned number, const struct tls_secret *secret)
{
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
		if (suites[i].number != number)
			continue;
		*ret = &suites[i];
		return secret->length == suites[i].secret ? 0 : -EINVAL;
	}
	return -ENOTSUP;
}

/* RFC 8446, 7.1: HKDF-Expand-Label, of a secret and no context. */
static bool expand(void *to, size_t length, const char *digest, const char *label, const struct tls_secret *secret)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, NULL);
	EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	const OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret->bytes, secret->length),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, (char[]){ "tls13 " }, strlen("tls13 ")),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, (char *)(uintptr_t)label, strlen(label)),
		OSSL_PARAM_construct_end(),
	};
	bool done = context && EVP_KDF_derive(context, to, length, parameters) == 1;

	EVP_KDF_CTX_free(context);
	EVP_KDF_free(kdf);
	return done;
}

int tls_secret_keys(struct tls_keys *ret, unsigned suite, const struct tls_secret *secret)
{
	const struct suite *found;
	int result = find_suite(&found, suite, secret);

	if (result < 0)
		return result;
	*ret = (struct tls_keys){ .length = found->key };
	if (expand(ret->key, ret->length, found->digest, "key", secret) &&
	    expand(ret->iv, sizeof(ret->iv), found->digest, "iv", secret))
		return 0;
	OPENSSL_cleanse(ret, sizeof(*ret));
	return -ENOMEM;
}

int tls_secret_update(struct tls_secret *secret, unsigned suite)
{
	const struct suite *found;
	struct tls_secret next = { .length = secret->length };
	int result = find_suite(&found, suite, secret);

	if (result == 0 && !expand(next.bytes, next.length, found->digest, "traffic upd", secret))
		result = -ENOMEM;
	if (result == 0)
		*secret = next;
	OPENSSL_cleanse(&next, sizeof(next));
	return result;
}
