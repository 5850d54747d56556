/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/nbd/info.h"

#include <stdio.h>
#include <string.h>

#include "server/block/disk.h"
#include "server/block/export.h"
#include "server/block/registry.h"
#include "server/nbd/context.h"
#include "server/nbd/session.h"

unsigned info_bit(uint16_t type)
{
	return type <= NBD_INFO_BLOCK_SIZE ? 1u << type : 0;
}

uint16_t info_flags(const struct nbd_session *session)
{
	static const struct {
		uint32_t capability;
		uint16_t flags;
		bool writes;
	} map[] = {
		{ PLATTER_DISK_ROTATIONAL, NBD_FLAG_ROTATIONAL, false },
		{ PLATTER_DISK_FLUSH, NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA, false },
		{ PLATTER_DISK_CACHE, NBD_FLAG_SEND_CACHE, false },
		{ PLATTER_DISK_COHERENT, NBD_FLAG_CAN_MULTI_CONN, false },
		{ PLATTER_DISK_TRIM, NBD_FLAG_SEND_TRIM, true },
		{ PLATTER_DISK_ZEROES, NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_FAST_ZERO, true },
	};
	const struct disk *disk = session->export->disk;
	bool read_only = session->export->read_only || disk->read_only;
	uint16_t flags = NBD_FLAG_HAS_FLAGS | (read_only ? NBD_FLAG_READ_ONLY : 0);

	if (session->form != REPLY_SIMPLE)
		flags |= NBD_FLAG_SEND_DF;
	if (session->form == REPLY_EXTENDED && context_all(session))
		flags |= NBD_FLAG_BLOCK_STATUS_PAYLOAD;
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if ((disk->geometry.capabilities & map[i].capability) && !(map[i].writes && read_only))
			flags |= map[i].flags;
	return flags;
}

size_t info_export(uint8_t bytes[INFO_EXPORT_LENGTH], const struct nbd_session *session)
{
	put_be64(bytes, disk_capacity(session->export->disk));
	put_be16(bytes + 8, info_flags(session));
	return INFO_EXPORT_LENGTH;
}

size_t info_block_size(uint8_t bytes[INFO_BLOCK_SIZE_LENGTH], struct disk *disk)
{
	put_be32(bytes, disk_whole(disk)->emulates ? 1 : disk->geometry.min_block);
	put_be32(bytes + 4, disk->geometry.preferred_block);
	put_be32(bytes + 8, NBD_ADVERTISED_MOST);
	return INFO_BLOCK_SIZE_LENGTH;
}

/* As much of TEXT as fits into SIZE bytes, in whole characters. */
static size_t fitting(const char *text, size_t size)
{
	size_t length = strlen(text);

	if (length <= size)
		return length;
	length = size;
	while (length && ((unsigned char)text[length] & 0xc0u) == 0x80)
		length--;
	return length;
}

size_t info_description(char text[INFO_TEXT_SIZE], const struct export *export)
{
	const char *description = export_description(export);
	char uuid[64] = "";
	size_t length;

	registry_lock();
	if (*export_uuid(export))
		snprintf(uuid, sizeof(uuid), "%suuid=%s", *description ? " " : "", export_uuid(export));
	registry_unlock();
	length = fitting(description, NBD_MAX_STRING - strlen(uuid));
	return (size_t)snprintf(text, INFO_TEXT_SIZE, "%.*s%s", (int)length, description, uuid);
}
