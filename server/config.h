/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Configuration: a file and the directory of drop-ins beside it, see
 * platterd.conf(5).  Reading and checking it changes nothing.
 */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include <stdbool.h>

#include "server/config_text.h"

struct options;

struct config_file {
	struct list_head link;
	char *path;
};

struct config_listener {
	struct list_head link;
	char *address;  /* as of --listen */
};

struct config {
	struct config_text text;
	struct list_head files;     /* struct config_file: those that were read */
	struct list_head listeners; /* struct config_listener */
	struct list_head exports;   /* struct definition, with the rules that hold for all */
};

/* The configuration says what is wrong with it in text.problems; so these return 0 or -EINVAL (-ENOMEM). */

/* Reads PATH and the files of PATH.d that end in .conf, in the order of their names, as far as they are there.  NULL: nothing. */
int config_read(struct config *config, const char *path, bool must_exist);
/* Sets what it says of OPTIONS where the command line doesn't; that stays CONFIG's. */
int config_options(struct config *config, struct options *options);
/* Then looks at all else, with OPTIONS as they are now: fills in `listeners` and `exports`. */
int config_check(struct config *config, const struct options *options);
/* NULL is allowed, and zeroes are; the memory of CONFIG itself stays. */
void config_free(struct config *config);

/* Logs what is wrong. */
void config_log_problems(const struct config *config);

/* Whether there is anything to read. */
bool config_exists(const char *path);

/* Calls EACH for the modules that are to be loaded, in order. */
void config_each_module(const struct config *config, void (*each)(const char *name, void *argument), void *argument);

/* For config_sections.c: whether sections of this kind have a name; SETTING of SECTION is wrong, and WHY. */
bool config_is_named(const struct config_section *section);
void config_wrong(struct config *config, const struct config_section *section, const struct config_setting *setting,
		  const char *why);

#endif
