/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/partition.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <blkid.h>
#include <unistr.h>

#include <platter/driver.h>

#include "common/checked.h"
#include "common/log.h"
#include "server/block/partition_copy.h"

#define MOST_WARNINGS 16 /* for partitions; what the disk holds is not to fill the log */
#define GPT_GUID 16
#define GPT_LEAST_SIZE (1440 * 1024) /* a disk has to be larger for libblkid: else it is a floppy */

struct scan {
	const struct partition_source *source;
	struct partition_copy copy;
	struct partition *out;
	unsigned most, found, left_out;
};

static void leave_out(struct scan *scan, int number, const char *why)
{
	if (scan->left_out++ < MOST_WARNINGS)
		log_warning("%s: partition %d is left out: %s", scan->source->name, number, why);
}

static void copy_text(char *out, size_t size, const char *text)
{
	size_t length = text ? strlen(text) : 0;

	if (length >= size || (length && u8_check((const uint8_t *)text, length)))
		length = 0;
	if (length)
		memcpy(out, text, length);
	out[length] = '\0';
}

static void describe(struct partition *partition, blkid_partition found)
{
	const char *type = blkid_partition_get_type_string(found);

	if (type)
		copy_text(partition->type, sizeof(partition->type), type);
	else
		snprintf(partition->type, sizeof(partition->type), "0x%02x",
			 (unsigned)blkid_partition_get_type(found) & 0xff);
	copy_text(partition->uuid, sizeof(partition->uuid), blkid_partition_get_uuid(found));
	copy_text(partition->label, sizeof(partition->label), blkid_partition_get_name(found));
}

/* Where FOUND is on the disk.  Returns what is wrong with it, or NULL. */
static const char *place(const struct scan *scan, blkid_partition found, struct partition *partition)
{
	blkid_loff_t start = blkid_partition_get_start(found);
	blkid_loff_t size = blkid_partition_get_size(found);
	uint64_t bytes = round_down(scan->source->bytes, scan->source->sector_size);

	/* A GPT's partition that ends before it starts has a negative size, or any after an overflow. */
	if (start < 0 || size <= 0)
		return "it is empty";
	if (!checked_mul((uint64_t)start, scan->copy.unit, &partition->start) ||
	    !checked_mul((uint64_t)size, scan->copy.unit, &partition->length) ||
	    !range_within(partition->start, partition->length, bytes))
		return "it reaches beyond the disk's end";
	return NULL;
}

static void take(struct scan *scan, blkid_partition found)
{
	struct partition partition = { .number = (unsigned)blkid_partition_get_partno(found) };
	const char *fault = place(scan, found, &partition);

	if (!fault && scan->found == scan->most)
		fault = "there are too many";
	if (fault) {
		leave_out(scan, blkid_partition_get_partno(found), fault);
		return;
	}
	describe(&partition, found);
	scan->out[scan->found++] = partition;
}

/* libblkid says nothing of a GPT's entries that aren't in its usable range, so they are looked for. */
static void find_forgotten(struct scan *scan, blkid_partlist list, off_t header_offset)
{
	static const unsigned char unused[GPT_GUID];
	unsigned char header[512];
	struct partition_gpt gpt;

	if (pread(scan->copy.fd, header, sizeof(header), header_offset) != (ssize_t)sizeof(header) ||
	    !partition_copy_parse_gpt(header, &gpt))
		return;
	for (uint32_t i = 0; i < gpt.count && i < PARTITION_COPY_MOST_ENTRIES; i++) {
		uint64_t entry = gpt.entries * scan->copy.sector_size + (uint64_t)i * gpt.size;
		unsigned char type[GPT_GUID];

		if (pread(scan->copy.fd, type, sizeof(type), (off_t)entry) == (ssize_t)sizeof(type) &&
		    memcmp(type, unused, sizeof(type)) && !blkid_partlist_get_partition_by_partno(list, (int)i + 1))
			leave_out(scan, (int)i + 1, "it isn't in the range that the GPT says is usable");
	}
}

static void take_all(struct scan *scan, blkid_partlist list)
{
	blkid_parttable table = blkid_partlist_get_table(list);
	blkid_loff_t offset = blkid_parttable_get_offset(table);

	for (int i = 0; i < blkid_partlist_numof_partitions(list); i++) {
		blkid_partition found = blkid_partlist_get_partition(list, i);

		if (blkid_partition_get_table(found) == table && !blkid_partition_is_extended(found))
			take(scan, found);
	}
	if (scan->copy.gpt)
		find_forgotten(scan, list, offset);
	if (scan->copy.gpt && (uint64_t)offset != scan->copy.sector_size)
		log_warning("%s: the first GPT is broken: its backup at the disk's end is used", scan->source->name);
	if (scan->left_out > MOST_WARNINGS)
		log_warning("%s: %u more partitions are left out", scan->source->name, scan->left_out - MOST_WARNINGS);
}

/* An MBR without partitions, or a file system, is all right; a protective MBR with nothing to protect isn't. */
static int no_table(const struct scan *scan, struct platter_error *error)
{
	const struct partition_source *source = scan->source;
	int foreign;

	if (!scan->copy.gpt)
		return 0;
	foreign = partition_copy_is_foreign(source, error);
	if (foreign < 0)
		return foreign;
	if (foreign)
		return platter_fail(error, EINVAL, "its GPT is for sectors of %u bytes, not %u",
				    source->sector_size == 512 ? 4096 : 512, source->sector_size);
	if (source->bytes <= GPT_LEAST_SIZE)
		return platter_fail(error, EINVAL, "it has %" PRIu64 " bytes: a GPT is read only from more than %d",
				    source->bytes, GPT_LEAST_SIZE);
	return platter_fail(error, EINVAL,
			    "its MBR announces a GPT, but neither that at sector 1 nor its backup at sector %" PRIu64 " is valid",
			    source->bytes / source->sector_size - 1);
}

/* PROBE doesn't own the file. */
static int set_up(blkid_probe probe, const struct partition_copy *copy)
{
	/* The others that libblkid knows find too much where there is nothing. */
	static char dos[] = "dos", gpt[] = "gpt";
	char *types[] = { copy->gpt ? gpt : dos, NULL };

	if (!probe || blkid_probe_set_device(probe, copy->fd, 0, 0) ||
	    blkid_probe_set_sectorsize(probe, copy->sector_size) ||
	    blkid_probe_filter_partitions_type(probe, BLKID_FLTR_ONLYIN, types))
		return -ENOMEM;
	return 0;
}

int partition_scan(const struct partition_source *source, struct partition *out, unsigned most,
		   struct platter_error *error)
{
	struct scan scan = { .source = source, .out = out, .most = most };
	blkid_probe probe;
	blkid_partlist list = NULL;
	int result;

	if (source->sector_size != 512 && source->sector_size != 4096)
		return platter_fail(error, EINVAL, "partitions need sectors of 512 or 4096 bytes, not %u", source->sector_size);
	result = partition_copy_make(&scan.copy, source, error);
	if (result <= 0)
		return result;
	probe = blkid_new_probe();
	result = set_up(probe, &scan.copy);
	errno = 0;
	if (result == 0)
		list = blkid_probe_get_partitions(probe);
	if (result || (!list && errno == ENOMEM)) {
		result = platter_fail(error, ENOMEM, "there is no memory for reading its partition table");
	} else if (list) {
		take_all(&scan, list);
		result = (int)scan.found;
	} else {
		result = no_table(&scan, error);
	}
	blkid_free_probe(probe);
	partition_copy_end(&scan.copy);
	return result;
}
