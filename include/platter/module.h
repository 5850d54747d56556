/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Modules: drivers, and libraries for them, that are loaded into a running
 * platterd.  A module is a shared object of one or more files that include this
 * header, one of which names it:
 *
 *	PLATTER_MODULE("hello", "1.0", "BSD-2-Clause", "A. Author", "a first module");
 *	PLATTER_INIT(hello_init);
 *	PLATTER_EXIT(hello_exit);
 *
 * What the macros say lies in the file as text ("key=value" strings in the
 * section .platter.info), so that it can be read without running anything.
 * See platter-module(3).
 */
#ifndef PLATTER_MODULE_H
#define PLATTER_MODULE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include <platter/disk.h>
#include <platter/driver.h>
#include <platter/host.h>
#include <platter/lower.h>

/* Changes when modules must be built anew.  The daemon loads only its own. */
#define PLATTER_ABI 3

/* --- What the macros are made of */

#define PLATTER_TEXT__(x) #x
#define PLATTER_TEXT_(x) PLATTER_TEXT__(x)
#define PLATTER_JOIN__(a, b) a##b
#define PLATTER_JOIN_(a, b) PLATTER_JOIN__(a, b)
#define PLATTER_UNIQUE_(prefix) PLATTER_JOIN_(prefix, __COUNTER__)
#define PLATTER_INFO_(text)                                                                                \
	static const char PLATTER_UNIQUE_(platter_info_)[]                                                 \
		__attribute__((used, section(".platter.info"), aligned(1))) = text
/* An entry of a table that the linker makes of all that the module's files say. */
#define PLATTER_ENTRY_(table) __attribute__((used, section(PLATTER_TEXT_(table)), aligned(8)))
#define PLATTER_HIDDEN_ __attribute__((visibility("hidden")))
#define PLATTER_WEAK_ __attribute__((weak, visibility("hidden")))

/*
 * What the module's idea of the host is: the versions and sizes that it was
 * built with, in the section .platter.abi, without relocations.
 */
struct platter_abi {
	uint32_t size;          /* sizeof(struct platter_abi) */
	uint32_t version;       /* PLATTER_ABI */
	uint32_t request;       /* sizeof of each of the structures */
	uint32_t geometry;
	uint32_t disk_ops;
	uint32_t driver;
	uint32_t fd_io;
	uint32_t timer;
	uint32_t param;
	uint32_t lower_io;
};

/* --- Parameters */

enum platter_param_type {
	PLATTER_TYPE_byte,   /* uint8_t */
	PLATTER_TYPE_short,
	PLATTER_TYPE_ushort,
	PLATTER_TYPE_int,
	PLATTER_TYPE_uint,
	PLATTER_TYPE_long,
	PLATTER_TYPE_ulong,
	PLATTER_TYPE_bool,
	PLATTER_TYPE_charp,  /* const char *; the host's string, or the module's own first value */
};

/* The C type of each. */
#define PLATTER_CTYPE_byte uint8_t
#define PLATTER_CTYPE_short short
#define PLATTER_CTYPE_ushort unsigned short
#define PLATTER_CTYPE_int int
#define PLATTER_CTYPE_uint unsigned int
#define PLATTER_CTYPE_long long
#define PLATTER_CTYPE_ulong unsigned long
#define PLATTER_CTYPE_bool bool
#define PLATTER_CTYPE_charp const char *

struct platter_param {
	const char *name;
	uint32_t type;          /* enum platter_param_type */
	uint32_t permissions;   /* 0: invisible, 0444: readable, 0644: can be set at run time, too; 0400, 0600: not by all */
	void *value;
	uint32_t most;          /* elements of an array; 0: a single value */
	uint32_t reserved;
	unsigned int *count;    /* of an array: elements that were given; may be NULL */
};

/*
 * A parameter: the variable NAME, of TYPE (one of the words above), is set from
 * "NAME=value" before init runs.  Afterwards, with permissions 0644, it changes
 * while the module runs: read it once where a change in between would harm.
 * The variable stands before the macro and must not be const.
 */
#define PLATTER_PARAM(parameter, type, permissions, description)                                          \
	PLATTER_INFO_("parm=" #parameter ":" #type ":" #permissions ":" description);                     \
	static PLATTER_CTYPE_##type *const PLATTER_JOIN_(platter_check_, parameter)                       \
		__attribute__((unused)) = &parameter;                                                     \
	static const struct platter_param PLATTER_JOIN_(platter_param_, parameter)                        \
		PLATTER_ENTRY_(platter_param) = { #parameter, PLATTER_TYPE_##type, permissions,           \
						  (void *)&parameter, 0, 0, NULL }

/* The same for an array, "NAME=1,2,3"; COUNT: the unsigned int that is told how many were given. */
#define PLATTER_PARAM_ARRAY(parameter, type, count, permissions, description)                             \
	PLATTER_INFO_("parm=" #parameter ":" #type "[]:" #permissions ":" description);                   \
	static PLATTER_CTYPE_##type *const PLATTER_JOIN_(platter_check_, parameter)                       \
		__attribute__((unused)) = parameter;                                                      \
	static const struct platter_param PLATTER_JOIN_(platter_param_, parameter)                        \
		PLATTER_ENTRY_(platter_param) = { #parameter, PLATTER_TYPE_##type, permissions,           \
						  (void *)parameter,                                      \
						  (uint32_t)(sizeof(parameter) / sizeof(parameter[0])), 0, &count }

/* --- Symbols
 *
 * What a module offers to others is declared in a header that both include:
 *
 *	#define stack_find_VERSION "1"
 *	typedef struct platter_disk *stack_find_FN(const char *name);
 *
 * The exporting module defines the function stack_find and writes
 * PLATTER_EXPORT_SYMBOL(stack_find); an importing one writes
 * PLATTER_IMPORT(stack_find), and calls stack_find() as if it were its own.
 * A module that was built against another version isn't loaded: change the
 * version with whatever the function takes, returns or means.
 */

struct platter_export {
	const char *name;
	const char *version;
	void (*address)(void);
	uint32_t gpl_only;
	uint32_t reserved;
};

struct platter_import {
	const char *name;
	const char *version;
	void (**slot)(void);
};

#define PLATTER_EXPORT_(symbol, key, gpl)                                                                  \
	PLATTER_INFO_(key "=" #symbol "@" symbol##_VERSION);                                              \
	symbol##_FN symbol;                                                                               \
	static const struct platter_export PLATTER_JOIN_(platter_export_, symbol)                         \
		PLATTER_ENTRY_(platter_export) = { #symbol, symbol##_VERSION, (void (*)(void))symbol, gpl, 0 }

/* Offers the function SYMBOL to all modules; or to those only whose license is compatible with the GPL. */
#define PLATTER_EXPORT_SYMBOL(symbol) PLATTER_EXPORT_(symbol, "export", 0)
#define PLATTER_EXPORT_SYMBOL_GPL(symbol) PLATTER_EXPORT_(symbol, "export_gpl", 1)

/* Makes another module's SYMBOL callable in this file; that module stays loaded as long as this one. */
#define PLATTER_IMPORT(symbol)                                                                             \
	PLATTER_INFO_("import=" #symbol "@" symbol##_VERSION);                                            \
	static symbol##_FN *symbol;                                                                       \
	static const struct platter_import PLATTER_JOIN_(platter_import_, symbol)                         \
		PLATTER_ENTRY_(platter_import) = { #symbol, symbol##_VERSION, (void (**)(void))(void *)&symbol }

/* --- The module itself */

struct platter_module {
	uint32_t size;          /* sizeof(struct platter_module) */
	uint32_t reserved;
	int (*init)(void);      /* NULL: nothing to do */
	void (*exit)(void);
	const struct platter_param *params, *params_end;
	const struct platter_export *exports, *exports_end;
	const struct platter_import *imports, *imports_end;
};

/* The one symbol that a module shows to the world; PLATTER_MODULE defines it. */
extern const struct platter_module platter_module __attribute__((visibility("default")));

extern const struct platter_param __start_platter_param[] PLATTER_WEAK_;
extern const struct platter_param __stop_platter_param[] PLATTER_WEAK_;
extern const struct platter_export __start_platter_export[] PLATTER_WEAK_;
extern const struct platter_export __stop_platter_export[] PLATTER_WEAK_;
extern const struct platter_import __start_platter_import[] PLATTER_WEAK_;
extern const struct platter_import __stop_platter_import[] PLATTER_WEAK_;
int platter_module_init(void) PLATTER_WEAK_;
void platter_module_exit(void) PLATTER_WEAK_;

/*
 * Names the module; once, in one of its files.  NAME is the file's without
 * ".so".  A LICENSE that is free is one of: GPL, GPL v2, GPL-2.0,
 * GPL-2.0-only, GPL-2.0-or-later, GPL-3.0, GPL-3.0-or-later, LGPL, Dual
 * BSD/GPL, Dual MIT/GPL, BSD-2-Clause, BSD-3-Clause, MIT, ISC, Apache-2.0,
 * MPL-2.0; with any other the module taints the daemon.  All are string literals.
 */
#define PLATTER_MODULE(module_name, module_version, module_license, module_author, module_description)    \
	PLATTER_INFO_("name=" module_name);                                                               \
	PLATTER_INFO_("version=" module_version);                                                         \
	PLATTER_INFO_("license=" module_license);                                                         \
	PLATTER_INFO_("author=" module_author);                                                           \
	PLATTER_INFO_("description=" module_description);                                                 \
	static const struct platter_abi platter_abi                                                       \
		__attribute__((used, section(".platter.abi"), aligned(4))) = {                            \
			sizeof(struct platter_abi), PLATTER_ABI, sizeof(struct platter_request),          \
			sizeof(struct platter_geometry), sizeof(struct platter_disk_ops),                 \
			sizeof(struct platter_driver), sizeof(struct platter_fd_io),                      \
			sizeof(struct platter_timer), sizeof(struct platter_param),                       \
			sizeof(struct platter_lower_io),                                                  \
		};                                                                                        \
	const struct platter_module platter_module = {                                                    \
		sizeof(struct platter_module), 0, platter_module_init, platter_module_exit,               \
		__start_platter_param, __stop_platter_param, __start_platter_export,                      \
		__stop_platter_export, __start_platter_import, __stop_platter_import,                     \
	}

/*
 * FUNCTION, int (void), runs when the module is loaded, on a thread of the
 * control socket; it may block.  0, or -errno: then the module isn't loaded,
 * and what it had registered is taken back.
 */
#define PLATTER_INIT(function)                                                                             \
	PLATTER_HIDDEN_ int platter_module_init(void)                                                     \
	{                                                                                                 \
		return function();                                                                        \
	}                                                                                                 \
	struct platter_module

/* FUNCTION, void (void), runs before the module is unloaded, when nothing uses it any more. */
#define PLATTER_EXIT(function)                                                                             \
	PLATTER_HIDDEN_ void platter_module_exit(void)                                                    \
	{                                                                                                 \
		function();                                                                               \
	}                                                                                                 \
	struct platter_module

/* Another name of the module: "driver:NAME" has it loaded when that driver is asked for. */
#define PLATTER_ALIAS(alias) PLATTER_INFO_("alias=" alias)

/* Modules, separated by spaces, that modprobe(8) is to load before this one if they are there. */
#define PLATTER_SOFTDEP(modules) PLATTER_INFO_("softdep=" modules)

#ifdef __cplusplus
}
#endif

#endif
