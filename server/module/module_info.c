/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/module_info.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <platter/driver.h>

#include "common/log.h"
#include "common/utf8.h"

/* Where a text is, and where to say what is wrong with it. */
struct place {
	struct module_info *info;
	const char *path;
	const char *line;            /* the whole text, "key=value" */
	struct platter_error *error;
};

static int fail_line(const struct place *place, const char *what)
{
	char shown[96];

	log_printable(shown, sizeof(shown), place->line, (unsigned)strnlen(place->line, MODULE_INFO_LINE));
	return platter_fail(place->error, ENOEXEC, "%s: '%s' in .platter.info: %s", place->path, shown, what);
}

static int fail_memory(const struct place *place)
{
	return platter_fail(place->error, ENOMEM, "%s: no memory", place->path);
}

/* Room for one more of COUNT elements of SIZE bytes, which come in powers of two; NULL: no memory. */
static void *grow(void *array, size_t count, size_t size)
{
	return count & (count - 1) ? array : reallocarray(array, count ? count * 2 : 1, size);
}

/* --- Words */

static bool is_identifier(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)text[i]) && text[i] != '_')
			return false;
	return length > 0 && !isdigit((unsigned char)text[0]);
}

static bool is_module_name(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)text[i]) && text[i] != '_' && text[i] != '-')
			return false;
	return length > 0 && length < MODULE_INFO_NAME && text[0] != '-';
}

/* --- One key each: what stands behind the '=' */

static int parse_once(const struct place *place, char **field, const char *value)
{
	if (*field)
		return fail_line(place, "the key is there twice; PLATTER_MODULE belongs into one of the module's files");
	*field = strdup(value);
	return *field ? 0 : fail_memory(place);
}

static int add_name(const struct place *place, struct module_names *names, const char *name, size_t length)
{
	if (names->count == MODULE_INFO_ENTRIES)
		return fail_line(place, "too many of this key");
	return module_names_add(names, name, length) < 0 ? fail_memory(place) : 0;
}

static int parse_alias(const struct place *place, const char *value)
{
	if (!*value || strchr(value, ' '))
		return fail_line(place, "an alias is one word");
	return add_name(place, &place->info->aliases, value, strlen(value));
}

static int parse_softdep(const struct place *place, const char *value)
{
	int result = 0;

	while (result == 0 && *(value += strspn(value, " "))) {
		size_t length = strcspn(value, " ");

		if (!is_module_name(value, length))
			return fail_line(place, "not names of modules, separated by spaces");
		result = add_name(place, &place->info->softdeps, value, length);
		value += length;
	}
	return result;
}

/* As the kernel has it: what others may the group may, what the group may the owner may, and others don't write. */
static bool are_permissions(unsigned long mode)
{
	unsigned long owner = mode >> 6, group = mode >> 3 & 7, others = mode & 7;

	return !(mode & ~0664UL) && !(group & ~owner) && !(others & ~group);
}

/* NAME:TYPE:PERMISSIONS:DESCRIPTION; the description may have colons. */
static int parse_param(const struct place *place, const char *value)
{
	struct module_info *info = place->info;
	const char *type = strchr(value, ':');
	const char *permissions = type ? strchr(type + 1, ':') : NULL;
	const char *description = permissions ? strchr(permissions + 1, ':') : NULL;
	struct module_info_param *params, *param;
	unsigned long number;
	char *end;

	if (!description || type + 1 == permissions || !is_identifier(value, (size_t)(type - value)))
		return fail_line(place, "not NAME:TYPE:PERMISSIONS:DESCRIPTION");
	number = strtoul(permissions + 1, &end, 0);
	if (end != description || !isdigit((unsigned char)permissions[1]))
		return fail_line(place, "the permissions are no number; write 0, 0444 or 0644");
	if (!are_permissions(number))
		return fail_line(place, "the permissions let others do more than the owner, or write; write 0, 0400, 0600, 0444 or 0644");
	for (size_t i = 0; i < info->param_count; i++)
		if (strncmp(info->params[i].name, value, (size_t)(type - value)) == 0 && !info->params[i].name[type - value])
			return fail_line(place, "the parameter is there twice");
	if (info->param_count == MODULE_INFO_ENTRIES)
		return fail_line(place, "too many parameters");
	params = grow(info->params, info->param_count, sizeof(*params));
	if (!params)
		return fail_memory(place);
	info->params = params;
	param = &params[info->param_count++];
	*param = (struct module_info_param){
		.name = strndup(value, (size_t)(type - value)),
		.type = strndup(type + 1, (size_t)(permissions - type - 1)),
		.description = strdup(description + 1),
		.permissions = (unsigned)number,
	};
	return param->name && param->type && param->description ? 0 : fail_memory(place);
}

/*
 * SYMBOL@VERSION into SYMBOLS.  Each of a module's files may import what it
 * uses, so an import may be there twice; the linker lets nothing be exported twice.
 */
static int parse_symbol(const struct place *place, const char *value, struct module_info_symbol **symbols, size_t *count,
			const struct module_info_symbol *like)
{
	const char *at = strchr(value, '@');
	size_t length = at ? (size_t)(at - value) : 0;
	struct module_info_symbol *more;

	if (!at || !at[1] || !is_identifier(value, length))
		return fail_line(place, "not SYMBOL@VERSION");
	for (size_t i = 0; i < *count; i++) {
		const struct module_info_symbol *other = &(*symbols)[i];

		if (strncmp(other->name, value, length) != 0 || other->name[length])
			continue;
		if (symbols == &place->info->exports)
			return fail_line(place, "the symbol is exported twice");
		if (strcmp(other->version, at + 1) == 0)
			return 0;
	}
	if (*count == MODULE_INFO_ENTRIES)
		return fail_line(place, "too many symbols");
	more = grow(*symbols, *count, sizeof(*more));
	if (!more)
		return fail_memory(place);
	*symbols = more;
	more += (*count)++;
	*more = *like;
	more->name = strndup(value, length);
	more->version = strdup(at + 1);
	return more->name && more->version ? 0 : fail_memory(place);
}

static int parse_value(const struct place *place, const char *key, size_t length, const char *value)
{
	static const struct module_info_symbol open_to_all = { .gpl_only = false }, gpl_only = { .gpl_only = true };
	struct module_info *info = place->info;
	const struct {
		const char *key;
		char **field;
	} once[] = { { "name", &info->name },     { "version", &info->version },         { "license", &info->license },
		     { "author", &info->author }, { "description", &info->description } };

	for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++)
		if (strlen(once[i].key) == length && memcmp(once[i].key, key, length) == 0)
			return parse_once(place, once[i].field, value);
	if (length == strlen("alias") && memcmp(key, "alias", length) == 0)
		return parse_alias(place, value);
	if (length == strlen("softdep") && memcmp(key, "softdep", length) == 0)
		return parse_softdep(place, value);
	if (length == strlen("parm") && memcmp(key, "parm", length) == 0)
		return parse_param(place, value);
	if (length == strlen("import") && memcmp(key, "import", length) == 0)
		return parse_symbol(place, value, &info->imports, &info->import_count, &open_to_all);
	if (length == strlen("export") && memcmp(key, "export", length) == 0)
		return parse_symbol(place, value, &info->exports, &info->export_count, &open_to_all);
	if (length == strlen("export_gpl") && memcmp(key, "export_gpl", length) == 0)
		return parse_symbol(place, value, &info->exports, &info->export_count, &gpl_only);
	return 0; /* a later Platter's */
}

/* --- The whole */

int module_info_parse(struct module_info *info, const char *path, const char *text, size_t size,
		      struct platter_error *error)
{
	struct place place = { .info = info, .path = path, .error = error };

	if (size > MODULE_INFO_TEXT)
		return platter_fail(error, ENOEXEC, "%s: .platter.info has %zu bytes; at most %zu are read", path, size,
				    MODULE_INFO_TEXT);
	if (size > 0 && text[size - 1] != '\0')
		return platter_fail(error, ENOEXEC, "%s: the last text in .platter.info has no end", path);
	for (const char *end = text + size; text < end; text += strlen(text) + 1) {
		const char *equal = strchr(text, '=');
		int result;

		if (!*text) /* padding */
			continue;
		place.line = text;
		if (strlen(text) >= MODULE_INFO_LINE)
			return fail_line(&place, "too long");
		if (!equal || equal == text)
			return fail_line(&place, "not KEY=VALUE");
		if (!utf8_is_line(text))
			return fail_line(&place, "not UTF-8, or with control characters");
		result = parse_value(&place, text, (size_t)(equal - text), equal + 1);
		if (result < 0)
			return result;
	}
	return 0;
}

static int check_complete(const struct module_info *info, const char *path, struct platter_error *error)
{
	const char *missing = !info->name	 ? "name" :
			      !info->version	 ? "version" :
			      !info->license	 ? "license" :
			      !info->author	 ? "author" :
			      !info->description ? "description" : NULL;

	if (missing)
		return platter_fail(error, ENOEXEC, "%s: .platter.info has no %s; write PLATTER_MODULE(...) in one of its files",
				    path, missing);
	if (!is_module_name(info->name, strlen(info->name))) {
		char shown[MODULE_INFO_NAME];

		log_printable(shown, sizeof(shown), info->name, (unsigned)strlen(info->name));
		return platter_fail(error, ENOEXEC,
				    "%s: '%s' is no module's name: up to %d letters, digits, '_' and '-', which doesn't come first",
				    path, shown, MODULE_INFO_NAME - 1);
	}
	return 0;
}

/* The file's own size decides how much is there; a later Platter's is longer. */
static int read_abi(struct platter_abi *abi, const struct module_file *file, struct platter_error *error)
{
	const unsigned char order = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
	uint32_t words[sizeof(*abi) / sizeof(uint32_t)] = { 0 };
	struct module_section section;
	int result = module_file_section(file, ".platter.abi", &section, error);

	if (result == -ENOENT)
		return platter_fail(error, ENOEXEC, "%s: not a Platter module: it has no section .platter.abi", file->path);
	if (result < 0)
		return result;
	memcpy(words, section.bytes, section.size < sizeof(words) ? section.size : sizeof(words));
	if (file->header.e_ident[EI_DATA] != order)
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			words[i] = __builtin_bswap32(words[i]);
	if (words[0] < offsetof(struct platter_abi, request) || words[0] > section.size)
		return platter_fail(error, ENOEXEC, "%s: .platter.abi says that it has %u bytes, and has %zu", file->path, words[0],
				    section.size);
	memcpy(abi, words, words[0] < sizeof(*abi) ? words[0] : sizeof(*abi));
	return 0;
}

static int read_needed(struct module_names *needed, const struct module_file *file, struct platter_error *error)
{
	for (int i = 0; i < file->dynamic_count; i++) {
		GElf_Dyn entry = module_file_dynamic(file, i);
		const char *name;

		if (entry.d_tag != DT_NEEDED)
			continue;
		name = module_file_string(file, entry.d_un.d_val);
		if (!name || !*name || !utf8_is_line(name))
			return platter_fail(error, ENOEXEC, "%s: the file is damaged: the name of a library that it needs is invalid",
					    file->path);
		if (module_names_add(needed, name, strlen(name)) < 0)
			return platter_fail(error, ENOMEM, "%s: no memory", file->path);
	}
	return 0;
}

int module_info_read(struct module_info *info, const struct module_file *file, struct platter_error *error)
{
	struct module_section section;
	int result;

	*info = (struct module_info){ 0 };
	result = module_file_section(file, ".platter.info", &section, error);
	if (result == -ENOENT)
		return platter_fail(error, ENOEXEC, "%s: not a Platter module: it has no section .platter.info", file->path);
	if (result == 0)
		result = module_info_parse(info, file->path, section.bytes, section.size, error);
	if (result == 0)
		result = check_complete(info, file->path, error);
	if (result == 0)
		result = read_abi(&info->abi, file, error);
	if (result == 0)
		result = read_needed(&info->needed, file, error);
	return result;
}

static void free_symbols(struct module_info_symbol *symbols, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(symbols[i].name);
		free(symbols[i].version);
	}
	free(symbols);
}

void module_info_free(struct module_info *info)
{
	if (!info)
		return;
	free(info->name);
	free(info->version);
	free(info->license);
	free(info->author);
	free(info->description);
	module_names_free(&info->aliases);
	module_names_free(&info->softdeps);
	module_names_free(&info->needed);
	for (size_t i = 0; i < info->param_count; i++) {
		free(info->params[i].name);
		free(info->params[i].type);
		free(info->params[i].description);
	}
	free(info->params);
	free_symbols(info->imports, info->import_count);
	free_symbols(info->exports, info->export_count);
	*info = (struct module_info){ 0 };
}
