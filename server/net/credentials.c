/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/net/credentials.h"

#include <errno.h>
#include <pthread.h>

#include <openssl/ssl.h>
#include <platter/driver.h>

#include "common/log.h"
#include "common/tls.h"
#include "common/tls_watch.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static SSL_CTX *current;
static struct tls_files configured;

int credentials_load(const struct tls_files *files, struct platter_error *error)
{
	SSL_CTX *context, *old;
	char reason[256];
	int result = tls_load(&context, files, reason, sizeof(reason));

	if (result < 0)
		return platter_fail(error, -result, "%s", reason);
	if (tls_watch_allow(context) < 0) {
		SSL_CTX_free(context);
		return platter_fail(error, ENOMEM, "no memory");
	}
	pthread_mutex_lock(&lock);
	old = current;
	current = context;
	configured = *files;
	pthread_mutex_unlock(&lock);
	SSL_CTX_free(old);
	return 0;
}

int credentials_reload(struct platter_error *error)
{
	struct tls_files files;
	int result;

	pthread_mutex_lock(&lock);
	files = configured;
	pthread_mutex_unlock(&lock);
	if (!files.certificates && !files.psk)
		return platter_fail(error, ENOENT, "TLS isn't used: the server was started without --tls-certificates and --tls-psk");
	result = credentials_load(&files, error);
	if (result == 0)
		log_notice("TLS: certificates and keys read again: new connections use them");
	return result;
}

bool credentials_exist(void)
{
	bool exist;

	pthread_mutex_lock(&lock);
	exist = current;
	pthread_mutex_unlock(&lock);
	return exist;
}

SSL *credentials_use(void)
{
	SSL *ssl;

	pthread_mutex_lock(&lock);
	ssl = current ? SSL_new(current) : NULL;
	pthread_mutex_unlock(&lock);
	return ssl;
}

void credentials_forget(void)
{
	SSL_CTX_free(current);
	current = NULL;
}
