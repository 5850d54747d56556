/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/module_symbols.h"

#include <dlfcn.h>
#include <errno.h>
#include <gnu/lib-names.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platter/driver.h>

#include "common/log.h"

/* Version indexes have 15 bits; a symbol with 0 or 1 has no version. */
#define MOST_VERSIONS 0x8000
/* Records of versions that are looked at; lists that run into each other would take forever. */
#define MOST_RECORDS (1u << 16)

/* Names of unknown symbols in one message, in one line of the log, and such lines of one module. */
#define MESSAGE_SIZE (64u << 10)
#define LINE_SIZE 1500
#define MOST_LINES 50

/* What the kernel says behind each. */
#define UNKNOWN_ERROR " (err -2)"

/* A version that the module wants of a library. */
struct version {
	const char *library;     /* in the file's image; NULL: no such version */
	const char *name;
};

struct library {
	const char *name;        /* the info's or the file's */
	void *handle;            /* NULL: not loaded */
};

struct search {
	const struct module_file *file;
	const struct module_info *info;
	bool (*known)(void *context, const char *name);
	void *context;
	struct version *versions;       /* by index */
	struct library *libraries;      /* those it needs, the C library, and those that versions name */
	size_t library_count;
	struct module_names *unknown;
	size_t undecided;               /* symbols that a library may have which isn't loaded */
	struct platter_error *error;
};

enum verdict {
	FOUND,
	UNKNOWN,
	UNDECIDED,
};

/* --- Libraries and versions */

static int add_library(struct search *search, const char *name)
{
	struct library *libraries;

	for (size_t i = 0; i < search->library_count; i++)
		if (strcmp(search->libraries[i].name, name) == 0)
			return 0;
	libraries = reallocarray(search->libraries, search->library_count + 1, sizeof(*libraries));
	if (!libraries)
		return platter_fail(search->error, ENOMEM, "%s: no memory", search->file->path);
	search->libraries = libraries;
	libraries[search->library_count++] = (struct library){ name, dlopen(name, RTLD_NOLOAD | RTLD_LAZY) };
	return 0;
}

static void *library_handle(const struct search *search, const char *name)
{
	for (size_t i = 0; i < search->library_count; i++)
		if (strcmp(search->libraries[i].name, name) == 0)
			return search->libraries[i].handle;
	return NULL;
}

static bool is_needed(const struct module_info *info, const char *library)
{
	for (size_t i = 0; i < info->needed.count; i++)
		if (strcmp(info->needed.names[i], library) == 0)
			return true;
	return false;
}

static int fail_versions(const struct search *search)
{
	return platter_fail(search->error, ENOEXEC, "%s: the file is damaged: its list of needed versions is invalid; build or copy "
			    "it anew", search->file->path);
}

/* The versions that are needed of one library: NEED's list, which starts at OFFSET. */
static int read_library_versions(struct search *search, Elf_Data *data, const GElf_Verneed *need, size_t offset,
				 unsigned *records)
{
	const char *library = module_file_string(search->file, need->vn_file);
	int result;

	if (!library || !*library)
		return fail_versions(search);
	result = add_library(search, library);
	/* ld.so has nothing but an assertion for the versions of a library that isn't needed, nor there. */
	if (result == 0 && !is_needed(search->info, library) && !library_handle(search, library))
		return fail_versions(search);
	for (unsigned i = 0; i < need->vn_cnt && result == 0; i++) {
		GElf_Vernaux record;
		const char *name;

		if (++*records > MOST_RECORDS || offset > data->d_size || !gelf_getvernaux(data, (int)offset, &record))
			return fail_versions(search);
		name = module_file_string(search->file, record.vna_name);
		if (!name || !*name)
			return fail_versions(search);
		search->versions[record.vna_other & (MOST_VERSIONS - 1)] = (struct version){ library, name };
		offset += record.vna_next;
	}
	return result;
}

static int read_versions(struct search *search)
{
	const struct module_file *file = search->file;
	uint64_t address, count, available;
	unsigned records = 0;
	size_t offset = 0;
	const char *bytes;
	Elf_Data *data;
	int result = 0;

	if (!module_file_tag(file, DT_VERNEED, &address) || !module_file_tag(file, DT_VERNEEDNUM, &count))
		return 0;
	bytes = module_file_at(file, address, &available);
	data = bytes ? elf_getdata_rawchunk(file->elf, bytes - file->image, (size_t)available, ELF_T_VNEED) : NULL;
	for (uint64_t i = 0; i < count && result == 0; i++) {
		GElf_Verneed need;

		if (++records > MOST_RECORDS || !data || offset > data->d_size || !gelf_getverneed(data, (int)offset, &need))
			return fail_versions(search);
		result = read_library_versions(search, data, &need, offset + need.vn_aux, &records);
		offset += need.vn_next;
	}
	return result;
}

/* --- Symbols */

static bool has_symbol(void *handle, const char *name, const char *version)
{
	void *address;

	dlerror();
	address = version ? dlvsym(handle, name, version) : dlsym(handle, name);
	return address || !dlerror(); /* a symbol's value may be 0 */
}

/* Libraries that end the process when they come into it late, and what begins the names that they define. */
static bool is_sanitizers(const char *name)
{
	static const char *const prefixes[] = { "__asan_", "__hwasan_", "__lsan_", "__msan_", "__tsan_" };

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

/*
 * As ld.so does: NAME, with its version if it has one, is looked for in all
 * libraries.  (In that of its version alone it can't be: dlsym() finds nothing
 * in ld.so itself, but does in the C library, which needs it.)
 */
static enum verdict look_up(const struct search *search, const struct module_file_symbol *symbol)
{
	const struct version *version = &search->versions[symbol->version];
	enum verdict verdict = UNKNOWN;

	if (search->known(search->context, symbol->name))
		return FOUND;
	if (strncmp(symbol->name, "platter_", strlen("platter_")) == 0)
		return UNKNOWN;
	if (is_sanitizers(symbol->name))
		return has_symbol(RTLD_DEFAULT, symbol->name, NULL) ? FOUND : UNKNOWN;
	for (size_t i = 0; i < search->library_count; i++) {
		const struct library *library = &search->libraries[i];

		if (library->handle && has_symbol(library->handle, symbol->name, version->name))
			return FOUND;
		if (!library->handle && (!version->library || strcmp(version->library, library->name) == 0))
			verdict = UNDECIDED;
	}
	return verdict;
}

static int add_unknown(struct search *search, const struct module_file_symbol *symbol)
{
	const struct version *version = &search->versions[symbol->version];
	char *name = NULL;
	int result = -ENOMEM;

	if (symbol->version > 1) {
		if (asprintf(&name, "%s@%s", symbol->name, version->name) < 0)
			name = NULL;
	} else {
		name = strdup(symbol->name);
	}
	if (name)
		result = module_names_add(search->unknown, name, strlen(name));
	free(name);
	return result < 0 ? platter_fail(search->error, ENOMEM, "%s: no memory", search->file->path) : 0;
}

/* Looks all of them up, in what is loaded now. */
static int look_up_all(struct search *search)
{
	int result = 0;

	search->undecided = 0;
	for (int i = 1; i < search->file->symbol_count && result == 0; i++) {
		struct module_file_symbol symbol;
		enum verdict verdict;

		if (!module_file_symbol(search->file, i, &symbol) || symbol.defined ||
		    GELF_ST_BIND(symbol.elf.st_info) == STB_WEAK || GELF_ST_BIND(symbol.elf.st_info) == STB_LOCAL)
			continue;
		if (symbol.version > 1 && !search->versions[symbol.version].library)
			return fail_versions(search);
		verdict = look_up(search, &symbol);
		if (verdict == UNKNOWN)
			result = add_unknown(search, &symbol);
		search->undecided += verdict == UNDECIDED;
	}
	if (result == 0 && search->unknown->count > 0) {
		char list[sizeof(search->error->text) - MODULE_INFO_NAME - 32];

		result = platter_fail(search->error, ENOENT, "%s: Unknown symbol %s", search->info->name,
				      module_names_join(list, sizeof(list), search->unknown, UNKNOWN_ERROR));
	}
	return result;
}

/* Whether ld.so looks for LIBRARY where dlopen() from here doesn't. */
static bool found_elsewhere(const struct search *search, const char *library)
{
	uint64_t value;

	return strchr(library, '$') || module_file_tag(search->file, DT_RUNPATH, &value) ||
	       module_file_tag(search->file, DT_RPATH, &value);
}

static int load_libraries(struct search *search)
{
	for (size_t i = 0; i < search->library_count; i++) {
		struct library *library = &search->libraries[i];

		if (library->handle)
			continue;
		library->handle = dlopen(library->name, RTLD_NOW | RTLD_LOCAL);
		if (!library->handle && !found_elsewhere(search, library->name))
			return platter_fail(search->error, ENOENT, "%s: a library that it needs can't be loaded: %s",
					    search->info->name, dlerror());
	}
	return 0;
}

static int check_all(struct search *search)
{
	int result;

	search->versions = calloc(MOST_VERSIONS, sizeof(*search->versions));
	if (!search->versions)
		return platter_fail(search->error, ENOMEM, "%s: no memory", search->file->path);
	result = add_library(search, LIBC_SO);
	for (size_t i = 0; i < search->info->needed.count && result == 0; i++)
		result = add_library(search, search->info->needed.names[i]);
	if (result == 0)
		result = read_versions(search);
	if (result == 0)
		result = look_up_all(search);
	if (result < 0 || search->undecided == 0)
		return result;
	result = load_libraries(search);
	return result < 0 ? result : look_up_all(search);
}

int module_symbols_check(const struct module_file *file, const struct module_info *info,
			 bool (*known)(void *context, const char *name), void *context, struct module_names *unknown,
			 struct platter_error *error)
{
	struct search search = { .file = file, .info = info, .known = known, .context = context, .unknown = unknown,
				 .error = error };
	int result = check_all(&search);

	for (size_t i = 0; i < search.library_count; i++)
		if (search.libraries[i].handle)
			dlclose(search.libraries[i].handle);
	free(search.libraries);
	free(search.versions);
	return result;
}

char *module_symbols_message(const char *module, const struct module_names *unknown)
{
	char *list = malloc(MESSAGE_SIZE), *message;

	if (!list || asprintf(&message, "%s: Unknown symbol %s", module,
			      module_names_join(list, MESSAGE_SIZE, unknown, UNKNOWN_ERROR)) < 0)
		message = NULL;
	free(list);
	return message;
}

void module_symbols_log(const char *module, const struct module_names *unknown)
{
	size_t shown = 0;

	for (unsigned line = 0; shown < unknown->count; line++) {
		char list[LINE_SIZE];

		if (line == MOST_LINES) {
			log_warning("%s: and %zu more", module, unknown->count - shown);
			return;
		}
		shown = module_names_fill(list, sizeof(list), unknown, shown, UNKNOWN_ERROR);
		log_warning("%s: Unknown symbol %s", module, list);
	}
}
