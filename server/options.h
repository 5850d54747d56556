/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line, and what configuration files say in its place. */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "server/engine/engine.h"

/* Kernel TLS: where it is mature, wherever it can be had, nowhere. */
enum options_ktls { OPTIONS_KTLS_AUTO, OPTIONS_KTLS_ON, OPTIONS_KTLS_OFF };

struct platter_error;

struct options {
	uint32_t given;           /* bits, by option: it is on the command line */
	const char *config;       /* the configuration file; "none" */
	bool config_given;        /* it must be there */
	bool check_config;        /* look at that and end */
	const char **listen;      /* addresses; NULL-terminated */
	char **exports;           /* what spec_parse() reads; NULL-terminated */
	const char *tls;          /* the mode where a listener says nothing; NULL: as the credentials are */
	const char *tls_certificates, *tls_psk; /* see struct tls_files */
	bool tls_verify_peer;
	enum options_ktls ktls;
	const char *control;      /* PATH[,mode=OCTAL]; NULL: the default, "none": none */
	const char *modules, *module_conf; /* directories */
	unsigned threads;
	uint64_t poll_ns;
	enum engine_polling polling;
	unsigned max_connections;
	unsigned drain_seconds;
	unsigned watchdog_seconds;
	uint64_t memory;          /* bytes of requests' data, in all */
	bool verbose, debug;
};

/* 0: go on.  Otherwise the program is to end with *STATUS: it was asked for help, or an error was printed. */
int options_parse(struct options *options, int argc, char **argv, int *status);

/* For configuration files: whether SECTION has options; those that it has, in order, NULL behind the last. */
bool options_has_section(const char *section);
const char *options_key(const char *section, unsigned index);

/*
 * Sets KEY of SECTION, where the command line doesn't say it; VALUE stays the caller's.  -ENOENT: there is none; -EINVAL,
 * with the reason.
 */
int options_set(struct options *options, const char *section, const char *key, const char *value, struct platter_error *error);

/* Whether the command line says it. */
bool options_is_given(const struct options *options, const char *section, const char *key);

#endif
