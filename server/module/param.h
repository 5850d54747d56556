/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parameters of a loaded module: set from text before its init runs, and
 * later, while it runs, from the control socket.
 *
 * Reading is free: a module's threads read its variables, and param_format()
 * does, while another thread sets them.  Every value is stored whole (an array
 * element by element, with its count last), and a string that was replaced
 * stays valid until param_table_destroy().  Setting isn't: whoever calls
 * param_set() or param_parse() holds the one lock of the module's parameters.
 */
#ifndef MODULE_PARAM_H
#define MODULE_PARAM_H

#include <stddef.h>

#include <platter/module.h>

struct platter_error;

/* The longest string of a charp, as in the kernel. */
#define PARAM_STRING_MAX 1024

struct param_table {
	const char *module;                       /* its name, for messages; the caller's */
	const struct platter_param *params, *end; /* the module's */
	/*
	 * All that the host ever stored in a charp; the module's own first value
	 * is never here.  The same text isn't kept twice, so that going to and
	 * fro between a few values doesn't grow; modules must not write to them.
	 * A tree, as of tsearch(3): there may be as many as a request has room for.
	 */
	void *strings;
};

/* Refuses (-EINVAL) a table that no compiler made from the macros: no or wrong names, unknown types, names twice. */
int param_table_init(struct param_table *table, const char *module, const struct platter_param *params,
		     const struct platter_param *end, struct platter_error *error);

/* Frees the strings: once nothing of the module runs any more.  Its variables aren't touched. */
void param_table_destroy(struct param_table *table);

/* NULL when there is none; '-' and '_' are the same. */
const struct platter_param *param_find(const struct param_table *table, const char *name);

/*
 * Sets PARAM, one of TABLE's, from TEXT as the kernel's modules take it:
 * numbers in decimal, 0x hexadecimal and 0 octal, with a sign where the type
 * has one; y, yes, on, true, t, 1 and their opposites; for an array its
 * elements, separated by commas.  TEXT NULL, "NAME" without a value, means yes.
 * All elements are set or none.  -EINVAL: not a value of the type, too many or
 * empty elements; -ERANGE: out of the type's range; -ENOSPC: a string is too
 * long; -ENOMEM.  Permissions are the caller's affair.
 */
int param_set(struct param_table *table, const struct platter_param *param, const char *text,
	      struct platter_error *error);

/*
 * Sets what ARGS say, each "NAME=value" or "NAME"; of a name that comes twice
 * the last counts.  When there are unknown ones, all are named and nothing is
 * set (-ENOENT); at another error those before it have been set.
 */
int param_parse(struct param_table *table, const char *const *args, size_t count, struct platter_error *error);

/*
 * The value as the kernel prints it: decimal, Y or N, elements separated by
 * commas, "(null)" for a charp that points nowhere.  The caller frees it; NULL:
 * no memory.
 */
char *param_format(const struct platter_param *param);

#endif
