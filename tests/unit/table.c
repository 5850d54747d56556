/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

struct table_disk *table_disk_new(uint64_t bytes, unsigned sector_size)
{
	struct table_disk *disk = calloc(1, sizeof(*disk));

	assert_non_null(disk);
	disk->bytes = bytes;
	disk->sector_size = sector_size;
	return disk;
}

static const unsigned char *find(const struct table_disk *disk, uint64_t offset)
{
	for (unsigned i = 0; i < disk->pages; i++) {
		if (disk->page[i].offset == offset / TABLE_PAGE)
			return disk->page[i].bytes + offset % TABLE_PAGE;
	}
	return NULL;
}

unsigned char *table_byte(struct table_disk *disk, uint64_t offset)
{
	const unsigned char *byte = find(disk, offset);

	if (!byte) {
		assert_true(disk->pages < TABLE_MOST_PAGES);
		disk->page[disk->pages++].offset = offset / TABLE_PAGE;
		byte = find(disk, offset);
	}
	return disk->page[0].bytes + (byte - disk->page[0].bytes);
}

void table_put(struct table_disk *disk, uint64_t offset, const void *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		*table_byte(disk, offset + i) = ((const unsigned char *)bytes)[i];
}

void table_put_number(struct table_disk *disk, uint64_t offset, uint64_t value, unsigned length)
{
	for (unsigned i = 0; i < length; i++)
		*table_byte(disk, offset + i) = (unsigned char)(value >> (8 * i));
}

static uint64_t get_number(struct table_disk *disk, uint64_t offset, unsigned length)
{
	uint64_t value = 0;

	while (length--)
		value = value << 8 | *table_byte(disk, offset + length);
	return value;
}

int table_read(void *context, uint64_t offset, void *buffer, size_t length)
{
	struct table_disk *disk = context;
	unsigned char *out = buffer;

	assert_true(length > 0 && length <= 65536);
	assert_true(offset % disk->sector_size == 0 && length % disk->sector_size == 0);
	assert_true(offset <= disk->bytes && length <= disk->bytes - offset);
	assert_true((uintptr_t)buffer % 4096 == 0);
	disk->reads++;
	if (disk->bad && disk->bad >= offset && disk->bad < offset + length)
		return -EIO;
	for (size_t done = 0; done < length; done += 512) {
		const unsigned char *bytes = find(disk, offset + done);

		if (bytes)
			memcpy(out + done, bytes, 512);
		else
			memset(out + done, 0, 512);
	}
	return 0;
}

void table_mbr(struct table_disk *disk, uint64_t sector, unsigned index, uint8_t type, uint32_t start, uint32_t size)
{
	uint64_t offset = sector * disk->sector_size;

	table_put(disk, offset + 510, "\x55\xaa", 2);
	table_put_number(disk, offset + 446 + index * 16 + 4, type, 1);
	table_put_number(disk, offset + 446 + index * 16 + 8, start, 4);
	table_put_number(disk, offset + 446 + index * 16 + 12, size, 4);
}

void table_protect(struct table_disk *disk)
{
	table_mbr(disk, 0, 0, 0xee, 1, UINT32_MAX);
}

static uint32_t sum(struct table_disk *disk, uint64_t offset, uint64_t length)
{
	uint32_t crc = UINT32_MAX;

	for (uint64_t i = 0; i < length; i++) {
		crc ^= *table_byte(disk, offset + i);
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
	}
	return ~crc;
}

void table_gpt_sum(struct table_disk *disk, uint64_t header)
{
	uint64_t offset = header * disk->sector_size;
	uint64_t entries = get_number(disk, offset + 72, 8) * disk->sector_size;
	uint64_t length = get_number(disk, offset + 80, 4) * get_number(disk, offset + 84, 4);

	if (length < 1024 * 1024)
		table_put_number(disk, offset + 88, sum(disk, entries, length), 4);
	table_put_number(disk, offset + 16, 0, 4);
	table_put_number(disk, offset + 16, sum(disk, offset, 92), 4);
}

void table_gpt(struct table_disk *disk, struct table_gpt gpt)
{
	uint64_t last = disk->bytes / disk->sector_size - 1;
	uint64_t offset = gpt.header * disk->sector_size;
	uint64_t room = 128 * 128 / disk->sector_size;
	uint64_t entries;

	table_put(disk, offset, "EFI PART\0\0\1\0\x5c\0\0\0", 16);
	table_put_number(disk, offset + 24, gpt.header, 8);
	table_put_number(disk, offset + 32, gpt.header == 1 ? last : 1, 8);
	table_put_number(disk, offset + 40, gpt.first_usable ? gpt.first_usable : 2 + room, 8);
	table_put_number(disk, offset + 48, gpt.last_usable ? gpt.last_usable : last - room - 1, 8);
	table_put_number(disk, offset + 72, gpt.entries ? gpt.entries : gpt.header == 1 ? 2 : last - room, 8);
	table_put_number(disk, offset + 80, gpt.count ? gpt.count : 128, 4);
	table_put_number(disk, offset + 84, gpt.size ? gpt.size : 128, 4);
	entries = get_number(disk, offset + 72, 8) * disk->sector_size;
	for (unsigned i = 0; i < gpt.used; i++) {
		if (!gpt.entry[i].last)
			continue;
		table_put(disk, entries + i * 128, "\xaf\x3d\xc6\x0f\x83\x84\x72\x47\x8e\x79\x3d\x69\xd8\x47\x7d\xe4", 16);
		table_put_number(disk, entries + i * 128 + 16, i + 1, 8);
		table_put_number(disk, entries + i * 128 + 32, gpt.entry[i].first, 8);
		table_put_number(disk, entries + i * 128 + 40, gpt.entry[i].last, 8);
		table_put(disk, entries + i * 128 + 56, "r\0\xf6\0", 4);
	}
	table_gpt_sum(disk, gpt.header);
}

void table_both_gpts(struct table_disk *disk, const struct table_gpt_entry *entry, unsigned used)
{
	table_protect(disk);
	table_gpt(disk, (struct table_gpt){ .header = 1, .entry = entry, .used = used });
	table_gpt(disk, (struct table_gpt){ .header = disk->bytes / disk->sector_size - 1, .entry = entry, .used = used });
}
