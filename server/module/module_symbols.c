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
#include "server/module/module_library.h"

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
	const char *name;         /* the info's or the file's */
	void *handle;             /* NULL: not loaded */
	struct module_file *file; /* of one that isn't loaded, if it was read; else NULL */
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
	libraries[search->library_count++] = (struct library){ .name = name, .handle = dlopen(name, RTLD_NOLOAD | RTLD_LAZY) };
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

static bool defines(const struct module_file *file, const char *name)
{
	struct module_file_symbol symbol;

	for (int i = 1; i < file->symbol_count; i++)
		if (module_file_symbol(file, i, &symbol) && symbol.defined && strcmp(symbol.name, name) == 0)
			return true;
	return false;
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

		if (library->handle ? has_symbol(library->handle, symbol->name, version->name) :
				      library->file && defines(library->file, symbol->name))
			return FOUND;
		if (!library->handle && !library->file && (!version->library || strcmp(version->library, library->name) == 0))
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

/* Whether the symbol with the number I must be somewhere. */
static bool is_wanted(const struct module_file *file, int i, struct module_file_symbol *symbol)
{
	return module_file_symbol(file, i, symbol) && !symbol->defined && GELF_ST_BIND(symbol->elf.st_info) != STB_WEAK &&
	       GELF_ST_BIND(symbol->elf.st_info) != STB_LOCAL;
}

static bool lacks_any(const struct search *search)
{
	struct module_file_symbol symbol;

	for (int i = 1; i < search->file->symbol_count; i++)
		if (is_wanted(search->file, i, &symbol) && look_up(search, &symbol) == UNKNOWN)
			return true;
	return false;
}

/* Looks all of them up, in what is loaded or was read. */
static int look_up_all(struct search *search)
{
	int result = 0;

	for (int i = 1; i < search->file->symbol_count && result == 0; i++) {
		struct module_file_symbol symbol;

		if (!is_wanted(search->file, i, &symbol))
			continue;
		if (symbol.version > 1 && !search->versions[symbol.version].library)
			return fail_versions(search);
		if (look_up(search, &symbol) == UNKNOWN)
			result = add_unknown(search, &symbol);
	}
	if (result == 0 && search->unknown->count > 0) {
		char list[sizeof(search->error->text) - MODULE_INFO_NAME - 32];

		result = platter_fail(search->error, ENOENT, "%s: Unknown symbol %s", search->info->name,
				      module_names_join(list, sizeof(list), search->unknown, UNKNOWN_ERROR));
	}
	return result;
}

/* The libraries that aren't loaded, and those that they need in turn. */
static int read_libraries(struct search *search)
{
	int result = 0;

	for (size_t i = 0; i < search->library_count && result == 0; i++) {
		struct module_file *file;

		if (search->libraries[i].handle)
			continue;
		file = malloc(sizeof(*file));
		if (!file)
			return platter_fail(search->error, ENOMEM, "%s: no memory", search->file->path);
		/* One that can't be read may have anything. */
		if (module_library_read(file, search->libraries[i].name) < 0) {
			module_file_close(file);
			free(file);
			continue;
		}
		search->libraries[i].file = file;
		for (int n = 0; n < file->dynamic_count && result == 0; n++) {
			GElf_Dyn entry = module_file_dynamic(file, n);
			const char *name = entry.d_tag == DT_NEEDED ? module_file_string(file, entry.d_un.d_val) : NULL;

			if (name)
				result = add_library(search, name);
		}
	}
	return result;
}

static int check_all(struct search *search, bool read)
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
	/* Once it is refused, all that is unknown is named. */
	if (result == 0 && (read || search->unknown->count || lacks_any(search)))
		result = read_libraries(search);
	return result < 0 ? result : look_up_all(search);
}

static void forget(struct search *search)
{
	for (size_t i = 0; i < search->library_count; i++) {
		if (search->libraries[i].handle)
			dlclose(search->libraries[i].handle);
		module_file_close(search->libraries[i].file);
		free(search->libraries[i].file);
	}
	free(search->libraries);
	free(search->versions);
}

int module_symbols_check(const struct module_file *file, const struct module_info *info, bool read,
			 bool (*known)(void *context, const char *name), void *context, struct module_names *unknown,
			 struct platter_error *error)
{
	struct search search = { .file = file, .info = info, .known = known, .context = context, .unknown = unknown,
				 .error = error };
	int result = check_all(&search, read);

	forget(&search);
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
