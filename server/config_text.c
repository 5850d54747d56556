/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/config_text.h"

#include <config.h>

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Of a line; where the library doesn't let itself be told, it takes fewer. */
#define LONGEST_LINE 16384

static const char blanks[] = " \t\r\v\f";
static const char byte_order_mark[] = "\xef\xbb\xbf";

/* A file that is being read. */
struct reading {
	struct config_text *text;
	const char *next;               /* the line to come */
	struct config_place place;      /* the current one */
	struct config_section *section; /* NULL: none has begun, or a wrong one */
	bool expecting;                 /* the line should be a setting */
	bool lost;                      /* its section's beginning was wrong, as was said */
};

int config_text_init(struct config_text *text)
{
	*text = (struct config_text){ .count = 0 };
	list_init(&text->sections);
	text->report = open_memstream(&text->problems, &text->length);
	return text->report ? 0 : -ENOMEM;
}

static void setting_free(struct config_setting *setting)
{
	free(setting->key);
	free(setting->value);
	free(setting);
}

static void section_free(struct config_section *section)
{
	struct list_head *node;

	while ((node = list_pop(&section->settings)))
		setting_free(container_of(node, struct config_setting, link));
	free(section->kind);
	free(section->name);
	free(section);
}

void config_text_free(struct config_text *text)
{
	struct list_head *node;

	if (!text->report)
		return;
	while ((node = list_pop(&text->sections)))
		section_free(container_of(node, struct config_section, link));
	fclose(text->report);
	free(text->problems);
	*text = (struct config_text){ .count = 0 };
}

void config_text_problem(struct config_text *text, const struct config_place *place, const char *format, ...)
{
	va_list args;

	if (place)
		fprintf(text->report, "%s:%u: ", place->file, place->line);
	va_start(args, format);
	vfprintf(text->report, format, args);
	va_end(args);
	putc('\n', text->report);
	fflush(text->report);
	text->count++;
}

static struct config_section *find_section(const struct config_text *text, const char *kind, const char *name)
{
	struct list_head *node;

	list_for_each(node, &text->sections) {
		struct config_section *section = container_of(node, struct config_section, link);

		if (strcmp(section->kind, kind) == 0 && (name ? section->name && strcmp(section->name, name) == 0 : !section->name))
			return section;
	}
	return NULL;
}

struct config_section *config_text_section(const struct config_text *text, const char *kind)
{
	return find_section(text, kind, NULL);
}

static struct config_setting *find_setting(const struct config_section *section, const char *key)
{
	struct list_head *node;

	list_for_each(node, &section->settings)
		if (strcmp(container_of(node, struct config_setting, link)->key, key) == 0)
			return container_of(node, struct config_setting, link);
	return NULL;
}

const struct config_setting *config_text_setting(const struct config_section *section, const char *key)
{
	return section ? find_setting(section, key) : NULL;
}

static struct config_section *add_section(struct reading *reading, const char *kind, const char *name)
{
	struct config_section *section = find_section(reading->text, kind, name);

	if (section)
		return section;
	section = calloc(1, sizeof(*section));
	if (!section)
		return NULL;
	list_init(&section->settings);
	section->kind = strdup(kind);
	section->name = name ? strdup(name) : NULL;
	section->place = reading->place;
	if (!section->kind || (name && !section->name)) {
		section_free(section);
		return NULL;
	}
	list_add_tail(&section->link, &reading->text->sections);
	return section;
}

/* What stands in brackets, LENGTH bytes with them.  Here and not in the library, which would cut names at 50 bytes. */
static void begin_section(struct reading *reading, const char *line, size_t length)
{
	char *text = strndup(line + 1, length - 1);
	char *end = text ? strrchr(text, ']') : NULL;
	char *kind, *name;

	reading->section = NULL;
	reading->lost = true;
	if (!end || end[1 + strspn(end + 1, blanks)]) {
		config_text_problem(reading->text, &reading->place,
				    text ? "%.*s: write [KIND] or [KIND NAME] on a line of its own" : "%.*s: no memory",
				    (int)(length < 64 ? length : 64), line);
		free(text);
		return;
	}
	while (end > text && strchr(blanks, end[-1]))
		end--;
	*end = '\0';
	kind = text + strspn(text, blanks);
	name = kind + strcspn(kind, blanks);
	if (*name)
		*name++ = '\0';
	name += strspn(name, blanks);
	reading->section = add_section(reading, kind, *name ? name : NULL);
	reading->lost = !reading->section;
	if (reading->lost)
		config_text_problem(reading->text, &reading->place, "[%s]: no memory", kind);
	free(text);
}

/* A line that should be a setting and wasn't. */
static void complain_of_line(struct reading *reading)
{
	if (reading->expecting)
		config_text_problem(reading->text, &reading->place, "write KEY = VALUE, or [KIND NAME]; a comment begins with #");
	reading->expecting = false;
}

/* The library's way to get at lines. */
static char *next_line(char *line, int size, void *stream)
{
	struct reading *reading = stream;
	const char *start = reading->next;
	size_t length;

	complain_of_line(reading);
	if (!*start)
		return NULL;
	reading->place.line++;
	length = strcspn(start, "\n");
	reading->next = start[length] ? start + length + 1 : start + length;
	/* A line that begins with blanks goes on from the one before, for the library: here blanks mean nothing. */
	while (length && strchr(blanks, *start)) {
		start++;
		length--;
	}
	if (length && *start == '[') {
		begin_section(reading, start, length);
		length = 0;
	} else if (length + 2 > (size_t)size) {
		config_text_problem(reading->text, &reading->place, "longer than the %d bytes that are read", size - 2);
		length = 0;
	}
	reading->expecting = length && !strchr(";#", *start);
	memcpy(line, start, length);
	line[length] = '\n';
	line[length + 1] = '\0';
	return line;
}

static bool adds_up(const char *key)
{
	return strcmp(key, "allow") == 0 || strcmp(key, "load") == 0;
}

/* What a setting of KEY takes the place of. */
static struct config_setting *earlier(const struct config_section *section, const char *key)
{
	return adds_up(key) ? NULL : find_setting(section, key);
}

static bool set(struct reading *reading, const char *key, const char *value)
{
	struct config_setting *setting = calloc(1, sizeof(*setting));
	struct config_setting *before = earlier(reading->section, key);

	if (!setting)
		return false;
	setting->key = strdup(key);
	setting->value = strdup(value);
	setting->place = reading->place;
	if (!setting->key || !setting->value) {
		setting_free(setting);
		return false;
	}
	list_add_tail(&setting->link, &reading->section->settings);
	if (before) {
		list_del_init(&before->link);
		setting_free(before);
	}
	return true;
}

/* The library has found one. */
static int found(void *user, const char *section, const char *key, const char *value)
{
	struct reading *reading = user;
	const struct config_setting *before;

	(void)section;
	reading->expecting = false;
	if (!reading->section) {
		if (!reading->lost)
			config_text_problem(reading->text, &reading->place,
					    "%s = %s: stands in no section; write one before it, as [daemon]", key, value);
		return 1;
	}
	before = earlier(reading->section, key);
	if (before && before->place.file == reading->place.file)
		config_text_problem(reading->text, &reading->place, "%s = %s: given twice, in line %u, too", key, value,
				    before->place.line);
	else if (!*key)
		config_text_problem(reading->text, &reading->place, "= %s: a key is missing", value);
	else if (!set(reading, key, value))
		config_text_problem(reading->text, &reading->place, "%s: no memory", key);
	return 1;
}

void config_text_parse(struct config_text *text, const char *file, const char *content)
{
	struct reading reading = { .text = text, .next = content, .place = { .file = file } };

	if (strncmp(content, byte_order_mark, sizeof(byte_order_mark) - 1) == 0)
		reading.next += sizeof(byte_order_mark) - 1;
#if HAVE_DECL_INI_MAX_LINE
	ini_max_line = LONGEST_LINE;
#endif
	if (ini_parse_stream(next_line, &reading, found, &reading) < 0)
		config_text_problem(text, NULL, "%s: no memory", file);
}
