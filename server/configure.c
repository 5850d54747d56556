/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/configure.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "common/ktls.h"
#include "common/log.h"
#include "common/tls.h"
#include "server/block/error.h"
#include "server/config.h"
#include "server/module/modprobe.h"
#include "server/net/credentials.h"
#include "server/net/listen.h"
#include "server/net/tls.h"
#include "server/options.h"
#include "server/spec.h"

/* By the option, or by the kernel. */
static bool want_kernel_tls(enum options_ktls when)
{
	struct utsname system;

	if (when != OPTIONS_KTLS_AUTO || uname(&system) < 0)
		return when == OPTIONS_KTLS_ON;
	if (ktls_is_mature(system.release))
		return true;
	log_info("Linux %s receives slowly with kernel TLS, so it isn't used; 6.5 doesn't, and --ktls=on has it used here, too",
		 system.release);
	return false;
}

int configure_tls(const struct options *options)
{
	const struct tls_files files = { options->tls_certificates, options->tls_psk, options->tls_verify_peer };
	struct platter_error error = { "" };

	/* A reload may bring some. */
	tls_allow_kernel(want_kernel_tls(options->ktls));
	if (!files.certificates && !files.psk) {
		if (!options->tls_verify_peer)
			return 0;
		log_error("--tls-verify-peer: certificates are missing; write --tls-certificates=DIR");
		return -1;
	}
	if (credentials_load(&files, &error) == 0)
		return 0;
	log_error("%s", error.text);
	return -1;
}

static void open_log(const struct options *options)
{
	if (options->verbose)
		log_open("platterd", options->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
}

/* Reads CONFIG and has OPTIONS follow it. */
static int read_config(struct options *options, struct config *config)
{
	const char *path = strcmp(options->config, "none") == 0 ? NULL : options->config;
	int result = config_read(config, path, options->config_given);

	if (result != -ENOMEM) {
		(void)config_options(config, options);
		modprobe_set_directories(options->modules, options->module_conf);
		result = config_check(config, options);
	}
	if (result == -ENOMEM)
		log_error("no memory");
	else if (result < 0)
		config_log_problems(config);
	return result;
}

static bool check_export(const char *text)
{
	struct platter_error error = { "" };
	struct spec spec;

	if (spec_check(&spec, text, &error) < 0) {
		log_error("%s: %s", text, error.text);
		return false;
	}
	spec_free(&spec);
	return true;
}

static bool check_address(const char *text)
{
	struct platter_error error = { "" };
	enum nbd_tls tls;

	if (listen_check(text, &tls, &error) < 0)
		log_error("--listen=%s: %s", text, error.text);
	return !*error.text;
}

/* For --check-config: what the command line says, too, as far as nothing has to be opened for it. */
static bool check_all(const struct options *options)
{
	bool right = configure_tls(options) == 0;

	for (char **text = options->exports; *text; text++)
		right &= check_export(*text);
	for (const char **address = options->listen; *address; address++)
		right &= check_address(*address);
	return right;
}

int configure(struct options *options, struct options *given, struct config *config, int argc, char **argv, int *status)
{
	int result = options_parse(options, argc, argv, status);

	*given = *options;
	if (result < 0)
		return result;
	open_log(options);
	result = read_config(options, config);
	open_log(options);
	if (options->check_config && !check_all(options))
		result = -EINVAL;
	if (result == 0 && options->check_config) {
		*status = EXIT_SUCCESS;
		return -ECANCELED;
	}
	return result;
}
