/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/control/event.h"

#include <jansson.h>
#include <stdlib.h>

#include <platter/disk.h>

#include "server/block/disk.h"
#include "server/records.h"

void event_tell(const char *what, const char *name)
{
	json_t *event = json_pack("{s:s, s:s}", "event", what, "name", name);
	char *text = event ? json_dumps(event, JSON_COMPACT) : NULL;

	if (text)
		records_add(RECORD_EVENT, LOG_LEVEL_INFO, text);
	free(text);
	json_decref(event);
}

void event_media(const struct disk *disk, unsigned events)
{
	if (events & PLATTER_EVENT_MEDIA_CHANGE)
		event_tell("media-changed", disk->name);
	if (events & PLATTER_EVENT_RESIZED)
		event_tell("resized", disk->name);
}
