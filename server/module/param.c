/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/param.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/block/error.h"
#include "server/module/modname.h"

/* How much of a wrong value a message shows, so that there is room for what is wrong with it. */
#define SHOWN 100

/* An element that was parsed and isn't stored yet. */
struct value {
	uint64_t number; /* of a signed type: in two's complement */
	char *string;
};

static const struct type {
	size_t size;
	int64_t least;
	uint64_t most;
} types[] = {
	[PLATTER_TYPE_byte] = { sizeof(uint8_t), 0, UINT8_MAX },
	[PLATTER_TYPE_short] = { sizeof(short), SHRT_MIN, SHRT_MAX },
	[PLATTER_TYPE_ushort] = { sizeof(unsigned short), 0, USHRT_MAX },
	[PLATTER_TYPE_int] = { sizeof(int), INT_MIN, INT_MAX },
	[PLATTER_TYPE_uint] = { sizeof(unsigned int), 0, UINT_MAX },
	[PLATTER_TYPE_long] = { sizeof(long), LONG_MIN, LONG_MAX },
	[PLATTER_TYPE_ulong] = { sizeof(unsigned long), 0, ULONG_MAX },
	[PLATTER_TYPE_bool] = { sizeof(bool), 0, 1 },
	[PLATTER_TYPE_charp] = { sizeof(char *), 0, 0 },
};

int param_table_init(struct param_table *table, const char *module, const struct platter_param *params,
		     const struct platter_param *end, struct platter_error *error)
{
	*table = (struct param_table){ .module = module, .params = params, .end = params };
	for (; table->end < end; table->end++) {
		const struct platter_param *param = table->end;

		if (!param->name || !modname_valid(param->name))
			return platter_fail(error, EINVAL, "%s: parameter '%s': a name has letters, digits, - and _ only", module,
					    param->name ? param->name : "");
		if (param->type >= sizeof(types) / sizeof(types[0]))
			return platter_fail(error, EINVAL, "%s: parameter '%s' has the unknown type %u", module, param->name,
					    param->type);
		if (!param->value)
			return platter_fail(error, EINVAL, "%s: parameter '%s' has no variable", module, param->name);
		if (param_find(table, param->name))
			return platter_fail(error, EINVAL, "%s: there are two parameters '%s'", module, param->name);
	}
	return 0;
}

void param_table_destroy(struct param_table *table)
{
	tdestroy(table->strings, free);
	table->strings = NULL;
}

static const struct platter_param *find(const struct param_table *table, const char *name, size_t length)
{
	for (const struct platter_param *param = table->params; param < table->end; param++)
		if (modname_equal_length(param->name, name, length))
			return param;
	return NULL;
}

const struct platter_param *param_find(const struct param_table *table, const char *name)
{
	return find(table, name, strlen(name));
}

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The table's copy of TEXT; NULL: no memory. */
static char *keep_string(struct param_table *table, const char *text)
{
	char **kept = tfind(text, &table->strings, compare);
	char *copy;

	if (kept)
		return *kept;
	copy = strdup(text);
	if (copy && tsearch(copy, &table->strings, compare))
		return copy;
	free(copy);
	return NULL;
}

/* As kstrtoull() and kstrtoll(), but for the newline that they take for echo's sake. */
static int parse_number(const struct type *type, const char *text, uint64_t *ret)
{
	bool negative = *text == '-' && type->least < 0;
	const char *digits = text + (negative || *text == '+');
	uint64_t number, most = negative ? -(uint64_t)type->least : type->most;
	int base = 10;
	char *end;

	if (digits[0] == '0')
		base = tolower((unsigned char)digits[1]) == 'x' ? 16 : 8;
	/* strtoull() would skip blanks and take another sign. */
	if (!isdigit((unsigned char)digits[0]))
		return -EINVAL;
	errno = 0;
	number = strtoull(digits, &end, base);
	if (*end)
		return -EINVAL;
	if (errno || number > most)
		return -ERANGE;
	*ret = negative ? -number : number;
	return 0;
}

/* Whole words; the kernel looks at the first letter or two, and takes "nearly" for a no. */
static int parse_bool(const char *text, uint64_t *ret)
{
	static const char *const words[] = { "n", "y", "no", "yes", "off", "on", "false", "true", "f", "t", "0", "1" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcasecmp(text, words[i]) == 0) {
			*ret = i % 2;
			return 0;
		}
	}
	return -EINVAL;
}

/* What PARAM takes, for messages. */
static const char *expected(const struct platter_param *param, char *text, size_t size)
{
	const struct type *type = &types[param->type];

	if (param->type == PLATTER_TYPE_bool)
		return "y or n";
	if (param->type == PLATTER_TYPE_charp)
		snprintf(text, size, "a string of at most %d bytes", PARAM_STRING_MAX);
	else
		snprintf(text, size, "a number from %" PRId64 " to %" PRIu64, type->least, type->most);
	return text;
}

/* "delay: 'x' invalid for parameter 'usecs': a number from 0 to 255"; ELEMENT: of an array, from 1, or 0. */
static int invalid(const struct param_table *table, const struct platter_param *param, const char *text, size_t element,
		   int result, struct platter_error *error)
{
	char range[80], where[32] = "";
	bool empty = !*text && param->most;

	if (element)
		snprintf(where, sizeof(where), ", element %zu", element);
	return platter_fail(error, -result, "%s: '%.*s%s' invalid for parameter '%s'%s:%s %s", table->module, SHOWN, text,
			    strlen(text) > SHOWN ? "..." : "", param->name, where, empty ? " it is empty; write" : "",
			    expected(param, range, sizeof(range)));
}

static int parse_value(struct param_table *table, const struct platter_param *param, const char *text, size_t element,
		       struct value *value, struct platter_error *error)
{
	int result = 0;

	if (!*text && param->most)
		result = -EINVAL;
	else if (param->type == PLATTER_TYPE_bool)
		result = parse_bool(text, &value->number);
	else if (param->type != PLATTER_TYPE_charp)
		result = parse_number(&types[param->type], text, &value->number);
	else if (strlen(text) > PARAM_STRING_MAX)
		result = -ENOSPC;
	if (result < 0)
		return invalid(table, param, text, element, result, error);
	if (param->type != PLATTER_TYPE_charp)
		return 0;
	value->string = keep_string(table, text);
	return value->string ? 0 : platter_fail(error, ENOMEM, "no memory");
}

/* Stores one element whole: readers on other threads see the old value or the new one. */
static void store(const struct platter_param *param, size_t element, const struct value *value)
{
	size_t size = types[param->type].size;
	void *at = (char *)param->value + element * size;

	if (param->type == PLATTER_TYPE_charp)
		__atomic_store_n((char **)at, value->string, __ATOMIC_RELEASE);
	else if (size == sizeof(uint8_t))
		__atomic_store_n((uint8_t *)at, (uint8_t)value->number, __ATOMIC_RELEASE);
	else if (size == sizeof(uint16_t))
		__atomic_store_n((uint16_t *)at, (uint16_t)value->number, __ATOMIC_RELEASE);
	else if (size == sizeof(uint32_t))
		__atomic_store_n((uint32_t *)at, (uint32_t)value->number, __ATOMIC_RELEASE);
	else
		__atomic_store_n((uint64_t *)at, value->number, __ATOMIC_RELEASE);
}

static void store_count(const struct platter_param *param, size_t count)
{
	if (param->count)
		__atomic_store_n(param->count, (unsigned int)count, __ATOMIC_RELEASE);
}

static size_t count_elements(const char *text)
{
	size_t count = 1;

	for (; *text; text++)
		count += *text == ',';
	return count;
}

/* TEXT is cut into its elements. */
static int set_array(struct param_table *table, const struct platter_param *param, char *text,
		     struct platter_error *error)
{
	size_t count = count_elements(text);
	struct value *values;
	char *element;
	int result = 0;

	if (count > param->most)
		return platter_fail(error, EINVAL, "%s: '%.*s%s' invalid for parameter '%s': %zu elements, it takes at most %u",
				    table->module, SHOWN, text, strlen(text) > SHOWN ? "..." : "", param->name, count, param->most);
	values = calloc(count, sizeof(*values));
	if (!values)
		return platter_fail(error, ENOMEM, "no memory");
	for (size_t i = 0; result == 0 && (element = strsep(&text, ",")); i++)
		result = parse_value(table, param, element, i + 1, &values[i], error);
	for (size_t i = 0; result == 0 && i < count; i++)
		store(param, i, &values[i]);
	if (result == 0)
		store_count(param, count);
	free(values);
	return result;
}

int param_set(struct param_table *table, const struct platter_param *param, const char *text,
	      struct platter_error *error)
{
	struct value value = { .string = NULL };
	char *copy;
	int result;

	if (!text && param->type != PLATTER_TYPE_bool)
		return platter_fail(error, EINVAL, "%s: a value is missing: write %s=...", table->module, param->name);
	if (!text)
		text = "y";
	if (param->most) {
		copy = strdup(text);
		result = copy ? set_array(table, param, copy, error) : platter_fail(error, ENOMEM, "no memory");
		free(copy);
		return result;
	}
	result = parse_value(table, param, text, 0, &value, error);
	if (result == 0)
		store(param, 0, &value);
	return result;
}

/* Adds "'NAME'" to LIST, behind a comma, as long as there is room. */
static void list_name(char *list, size_t size, const char *name, size_t length)
{
	size_t used = strlen(list);

	snprintf(list + used, size - used, "%s'%.*s'", used ? ", " : "", (int)(length < SHOWN ? length : SHOWN), name);
}

int param_parse(struct param_table *table, const char *const *args, size_t count, struct platter_error *error)
{
	char unknown[200] = "", known[200] = "";
	int result = 0;

	for (size_t i = 0; i < count; i++)
		if (!find(table, args[i], strcspn(args[i], "=")))
			list_name(unknown, sizeof(unknown), args[i], strcspn(args[i], "="));
	for (const struct platter_param *param = table->params; param < table->end; param++)
		list_name(known, sizeof(known), param->name, strlen(param->name));
	if (*unknown)
		return platter_fail(error, ENOENT, "%s: unknown parameter %s (there are: %s)", table->module, unknown,
				    *known ? known : "none");
	for (size_t i = 0; result == 0 && i < count; i++) {
		size_t length = strcspn(args[i], "=");

		result = param_set(table, find(table, args[i], length), args[i][length] ? args[i] + length + 1 : NULL, error);
	}
	return result;
}

static uint64_t load(const struct platter_param *param, size_t element)
{
	size_t size = types[param->type].size;
	void *at = (char *)param->value + element * size;

	if (size == sizeof(uint8_t))
		return __atomic_load_n((uint8_t *)at, __ATOMIC_ACQUIRE);
	if (size == sizeof(uint16_t))
		return __atomic_load_n((uint16_t *)at, __ATOMIC_ACQUIRE);
	if (size == sizeof(uint32_t))
		return __atomic_load_n((uint32_t *)at, __ATOMIC_ACQUIRE);
	return __atomic_load_n((uint64_t *)at, __ATOMIC_ACQUIRE);
}

static void print(FILE *out, const struct platter_param *param, size_t element)
{
	const struct type *type = &types[param->type];
	unsigned unused_bits = 64 - 8 * (unsigned)type->size;
	const char *string;

	if (param->type == PLATTER_TYPE_charp) {
		string = __atomic_load_n((char **)param->value + element, __ATOMIC_ACQUIRE);
		fputs(string ? string : "(null)", out);
	} else if (param->type == PLATTER_TYPE_bool) {
		fputs(load(param, element) ? "Y" : "N", out);
	} else if (type->least < 0) {
		fprintf(out, "%" PRId64, (int64_t)(load(param, element) << unused_bits) >> unused_bits);
	} else {
		fprintf(out, "%" PRIu64, load(param, element));
	}
}

char *param_format(const struct platter_param *param)
{
	size_t count = param->most ? param->most : 1, size;
	unsigned int given = param->count ? __atomic_load_n(param->count, __ATOMIC_ACQUIRE) : param->most;
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);
	bool failed;

	if (!out)
		return NULL;
	if (param->most && given < count)
		count = given;
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			fputc(',', out);
		print(out, param, i);
	}
	failed = ferror(out);
	if (fclose(out) != 0 || failed) {
		free(text);
		text = NULL;
	}
	return text;
}
