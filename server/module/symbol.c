/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/symbol.h"

#include <string.h>

#include <platter/driver.h>
#include <platter/host.h>
#include <platter/lower.h>

#include "server/module/interface.h"

/* So that all of them are linked in, too. */
#define ENTRY(function) { #function, (void (*)(void))function },
static const struct symbol symbols[] = { INTERFACE(ENTRY) };

const struct symbol *symbol_host(size_t index)
{
	return index < sizeof(symbols) / sizeof(symbols[0]) ? &symbols[index] : NULL;
}

bool symbol_is_host(void *context, const char *name)
{
	(void)context;
	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++)
		if (strcmp(symbols[i].name, name) == 0)
			return true;
	return false;
}
