/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/module_names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

/* A longer name is cut where it is shown. */
#define SHOWN_NAME 128
/* Kept free for " and N more". */
#define SHOWN_REST 30

int module_names_add(struct module_names *list, const char *name, size_t length)
{
	char *copy;

	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 4;
		char **names = reallocarray(list->names, room, sizeof(*names));

		if (!names)
			return -ENOMEM;
		list->names = names;
		list->room = room;
	}
	copy = strndup(name, length);
	if (!copy)
		return -ENOMEM;
	list->names[list->count++] = copy;
	return 0;
}

void module_names_free(struct module_names *list)
{
	if (!list)
		return;
	for (size_t i = 0; i < list->count; i++)
		free(list->names[i]);
	free(list->names);
	*list = (struct module_names){ 0 };
}

size_t module_names_fill(char *out, size_t size, const struct module_names *list, size_t from, const char *after)
{
	size_t used = 0;
	size_t i;

	out[0] = '\0';
	for (i = from; i < list->count; i++) {
		const char *name = list->names[i];
		char shown[SHOWN_NAME];
		int length;

		log_printable(shown, sizeof(shown), name, (unsigned)strnlen(name, SHOWN_NAME));
		length = snprintf(out + used, size - used, "%s%s%s", i > from ? ", " : "", shown, after);
		if ((size_t)length >= size - used) {
			out[used] = '\0';
			break;
		}
		used += (size_t)length;
	}
	return i;
}

char *module_names_join(char *out, size_t size, const struct module_names *list, const char *after)
{
	size_t shown = module_names_fill(out, size, list, 0, after);
	size_t used;

	if (shown == list->count)
		return out;
	shown = module_names_fill(out, size - SHOWN_REST, list, 0, after);
	used = strlen(out);
	snprintf(out + used, size - used, "%s%zu %s", shown ? " and " : "", list->count - shown, shown ? "more" : "names");
	return out;
}
