/* SPDX-License-Identifier: BSD-2-Clause */
/* The symbols that modules can use: the host's interface. */
#ifndef MODULE_SYMBOL_H
#define MODULE_SYMBOL_H

#include <stdbool.h>
#include <stddef.h>

struct symbol {
	const char *name;
	void (*address)(void);
};

/* The INDEX-th of the host's, in the order of their names; NULL past the last. */
const struct symbol *symbol_host(size_t index);

/* For module_symbols_check(): whether the host has NAME.  CONTEXT is ignored. */
bool symbol_is_host(void *context, const char *name);

#endif
