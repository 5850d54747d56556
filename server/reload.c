/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/reload.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <platter/driver.h>

#include "common/log.h"
#include "common/tls.h"
#include "server/block/error.h"
#include "server/config.h"
#include "server/listening.h"
#include "server/module/modprobe.h"
#include "server/net/credentials.h"
#include "server/net/tls.h"
#include "server/notify.h"
#include "server/options.h"
#include "server/reload_exports.h"
#include "server/remarks.h"

static struct {
	pthread_mutex_t lock;        /* one at a time, and what follows from one */
	struct options given;        /* the command line alone */
	const struct config *first;  /* what the server was started with */
	struct config *current;      /* NULL: the first still counts */
	char *certificates, *psk;    /* what the last reload gave to TLS; NULL: none did */
	atomic_bool allowed;
} reload = { .lock = PTHREAD_MUTEX_INITIALIZER };

void reload_init(const struct options *given, const struct config *config, struct pool *pool)
{
	reload.given = *given;
	reload.first = config;
	reload_exports_init(&reload.lock, config, pool);
}

int reload_add_all(void)
{
	struct list_head remarks = LIST_HEAD_INIT(remarks), *node;
	int result = 0;

	pthread_mutex_lock(&reload.lock);
	reload_exports_settle(&remarks);
	pthread_mutex_unlock(&reload.lock);
	list_for_each(node, &remarks)
		if (container_of(node, struct remark, link)->kind == REMARK_FAILED)
			result = -EINVAL;
	remarks_free(&remarks);
	return result;
}

void reload_allow(void)
{
	atomic_store(&reload.allowed, true);
}

bool reload_is_possible(void)
{
	return strcmp(reload.given.config, "none") != 0 && config_exists(reload.given.config);
}

char *reload_path(void)
{
	char *here, *path = NULL;

	if (strcmp(reload.given.config, "none") == 0)
		return NULL;
	if (*reload.given.config == '/')
		return strdup(reload.given.config);
	here = getcwd(NULL, 0);
	if (here && asprintf(&path, "%s/%s", here, reload.given.config) < 0)
		path = NULL;
	free(here);
	return path;
}

/* The first step that could fail, and then nothing has happened. */
static int change_tls(const struct options *options, struct list_head *remarks, struct platter_error *error)
{
	char *certificates = options->tls_certificates ? strdup(options->tls_certificates) : NULL;
	char *psk = options->tls_psk ? strdup(options->tls_psk) : NULL;
	const struct tls_files files = { certificates, psk, options->tls_verify_peer };
	int result = 0;

	if ((options->tls_certificates && !certificates) || (options->tls_psk && !psk))
		result = platter_fail(error, ENOMEM, "no memory");
	else if (certificates || psk)
		result = credentials_load(&files, error);
	else if (credentials_exist())
		remark_add(remarks, REMARK_RESTART, NULL, "[tls] certificates and psk");
	if (result < 0 || (!certificates && !psk)) {
		free(certificates);
		free(psk);
		return result;
	}
	free(reload.certificates);
	free(reload.psk);
	reload.certificates = certificates;
	reload.psk = psk;
	return 0;
}

static const char *value_of(const struct config *config, const char *section, const char *key)
{
	const struct config_setting *setting = config_text_setting(config_text_section(&config->text, section), key);

	return setting ? setting->value : "";
}

/* Names KEY if it counts only at the start and says something else than then. */
static void look_at_fixed(const struct config *config, const char *section, const char *key, struct list_head *remarks)
{
	if (!options_is_given(&reload.given, section, key) &&
	    strcmp(value_of(config, section, key), value_of(reload.first, section, key)) != 0)
		remark_add(remarks, REMARK_RESTART, NULL, "[%s] %s", section, key);
}

static void load_module(const char *name, void *argument)
{
	struct platter_error error = { "" };
	char *whole = NULL;

	if (modprobe_load(name, NULL, 0, &whole, &error) < 0)
		remark_add(argument, REMARK_FAILED, NULL, "%s: not loaded: %s", name, whole ? whole : error.text);
	free(whole);
}

/* CONFIG is right. */
static void apply(struct config *config, const struct options *options, struct list_head *remarks)
{
	const char *key;

	for (unsigned i = 0; (key = options_key("daemon", i)); i++)
		look_at_fixed(config, "daemon", key, remarks);
	look_at_fixed(config, "tls", "ktls", remarks);
	config_each_module(config, load_module, remarks);
	reload_exports_use(config);
	reload_exports_settle(remarks);
	listening_change(options, config, remarks);
	config_free(reload.current);
	free(reload.current);
	reload.current = config;
}

static int read_again(struct config *config, struct options *options, struct list_head *remarks, char **whole,
		      struct platter_error *error)
{
	int result;

	if (!atomic_load(&reload.allowed))
		return platter_fail(error, EAGAIN, "the server is still starting");
	if (!reload_is_possible())
		return platter_fail(error, ENOENT, "there is no configuration: %s", strcmp(reload.given.config, "none") == 0 ?
				    "the server was started with --config=none" : reload.given.config);
	result = config_read(config, reload.given.config, reload.given.config_given);
	if (result != -ENOMEM) {
		(void)config_options(config, options);
		result = config_check(config, options);
	}
	if (result == -ENOMEM)
		return platter_fail(error, ENOMEM, "no memory");
	if (result == 0)
		return change_tls(options, remarks, error);
	*whole = strndup(config->text.problems, config->text.length - 1);
	return platter_fail(error, EINVAL, "the configuration is wrong");
}

int reload_run(struct list_head *remarks, char **whole, struct platter_error *error)
{
	struct config *config = calloc(1, sizeof(*config));
	struct options options = reload.given;
	int result;

	*whole = NULL;
	if (!config)
		return platter_fail(error, ENOMEM, "no memory");
	pthread_mutex_lock(&reload.lock);
	notify_reloading();
	result = read_again(config, &options, remarks, whole, error);
	if (result == 0) {
		apply(config, &options, remarks);
		log_notice("the configuration was read again");
	} else {
		if (*whole)
			config_log_problems(config);
		log_error("the configuration is not used, all stays as it is: %s", error->text);
		config_free(config);
		free(config);
	}
	if (atomic_load(&reload.allowed))
		notify_reloaded();
	pthread_mutex_unlock(&reload.lock);
	return result;
}

int reload_tls(struct platter_error *error)
{
	int result;

	pthread_mutex_lock(&reload.lock);
	notify_reloading();
	result = credentials_reload(error);
	if (atomic_load(&reload.allowed))
		notify_reloaded();
	pthread_mutex_unlock(&reload.lock);
	return result;
}

void reload_stop(void)
{
	reload_exports_stop();
}

void reload_free(void)
{
	config_free(reload.current);
	free(reload.current);
	free(reload.certificates);
	free(reload.psk);
	reload_exports_free();
	listening_free();
}
