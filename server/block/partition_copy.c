/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/partition_copy.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <platter/driver.h>

#include "common/checked.h"
#include "common/log.h"
#include "server/block/partition.h"

#define MBR_SECTOR 512
#define MBR_FILE_SIZE (UINT64_C(1) << 42)
#define MBR_ENTRIES 446
#define MBR_ENTRY 16
#define MBR_TYPE_GPT 0xee
#define MOST_RECORDS 256 /* extended boot records: as many partitions as the kernel gives a disk */
#define GPT_ENTRY 128
#define BUFFER 65536

struct job {
	const struct partition_source *source;
	struct platter_error *error;
	unsigned char *buffer; /* BUFFER bytes, aligned: what was read last */
	unsigned char mbr[MBR_SECTOR];
	uint64_t sectors;
	int fd;
	unsigned records;
	uint32_t record[MOST_RECORDS]; /* the sectors of the extended boot records so far */
};

struct mbr_entry {
	uint8_t type;
	uint32_t start, size; /* sectors */
};

static uint32_t get_le32(const unsigned char *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return le32toh(value);
}

static uint64_t get_le64(const unsigned char *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return le64toh(value);
}

static struct mbr_entry get_entry(const unsigned char *sector, unsigned index)
{
	const unsigned char *entry = sector + MBR_ENTRIES + index * MBR_ENTRY;

	return (struct mbr_entry){ .type = entry[4], .start = get_le32(entry + 8), .size = get_le32(entry + 12) };
}

static bool is_extended(const struct mbr_entry *entry)
{
	return entry->size && (entry->type == 0x05 || entry->type == 0x0f || entry->type == 0x85);
}

static bool is_boot_record(const unsigned char *sector)
{
	return sector[510] == 0x55 && sector[511] == 0xaa;
}

static bool has_gpt_entry(const unsigned char *sector)
{
	for (unsigned i = 0; i < 4; i++) {
		if (get_entry(sector, i).type == MBR_TYPE_GPT)
			return true;
	}
	return false;
}

static int read_disk(struct job *job, uint64_t offset, size_t length)
{
	int result = job->source->read(job->source->context, offset, job->buffer, length);

	if (result == 0)
		return 0;
	return platter_fail(job->error, -result, "its partition table can't be read: %zu bytes at %" PRIu64 ": %s", length,
			    offset, strerror(-result));
}

static int read_sector(struct job *job, uint64_t sector)
{
	return read_disk(job, sector * job->source->sector_size, job->source->sector_size);
}

static int put(struct job *job, uint64_t offset, const unsigned char *bytes, size_t length)
{
	ssize_t written = pwrite(job->fd, bytes, length, (off_t)offset);
	int code = written < 0 ? errno : ENOSPC;

	if (written == (ssize_t)length)
		return 0;
	return platter_fail(job->error, code, "its partition table can't be copied to memory: %s", strerror(code));
}

static int make_file(struct job *job, uint64_t size)
{
	job->fd = memfd_create("platter-partitions", MFD_CLOEXEC);
	if (job->fd < 0)
		return platter_fail(job->error, errno, "its partition table can't be copied to memory: %s", strerror(errno));
	if (ftruncate(job->fd, (off_t)size) == 0)
		return 0;
	return platter_fail(job->error, errno, "its partition table can't be copied to a file of %" PRIu64 " bytes in memory: %s",
			    size, strerror(errno));
}

/*
 * A file system's boot sector looks like an MBR.  libblkid knows FAT by that sector alone but NTFS only by a file table that
 * it looks for far behind, and which isn't copied: 1 when it is there.
 */
static int is_ntfs(struct job *job)
{
	const unsigned char *boot = job->mbr;
	unsigned sector_size = boot[11] | boot[12] << 8;
	/* From 240 on it is a negative power of two. */
	unsigned cluster = boot[13] < 240 ? boot[13] : 1U << (256 - boot[13]);
	uint64_t offset;
	int result;

	if (memcmp(boot + 3, "NTFS    ", 8) || !checked_mul(get_le64(boot + 48), sector_size * cluster, &offset) ||
	    offset / job->source->sector_size >= job->sectors)
		return 0;
	result = read_sector(job, offset / job->source->sector_size);
	if (result)
		return result;
	offset %= job->source->sector_size;
	return offset <= job->source->sector_size - 4 && memcmp(job->buffer + offset, "FILE", 4) == 0;
}

/* Why the chain of extended boot records can't go on at SECTOR; NULL when it can. */
static const char *record_fault(const struct job *job, uint64_t sector)
{
	if (sector >= job->sectors)
		return "it is beyond the disk's end";
	if (sector > UINT32_MAX)
		return "its sector takes more than 32 bits";
	for (unsigned i = 0; i < job->records; i++) {
		if (job->record[i] == sector)
			return "it has been there before";
	}
	return job->records == MOST_RECORDS ? "there were 256 of them already" : NULL;
}

/* Where the record in the buffer, which lies at SECTOR, says that the next one is; FAULT is set when it can't be used. */
static uint64_t next_record(const struct job *job, uint32_t base, uint32_t sector, const char **fault)
{
	uint64_t next = 0;

	if (!is_boot_record(job->buffer))
		*fault = "it has no signature";
	for (unsigned i = 0; i < 4; i++) {
		struct mbr_entry entry = get_entry(job->buffer, i);

		/* libblkid takes the first link, and counts sectors in 32 bits. */
		if (is_extended(&entry) && entry.start && !next)
			next = (uint64_t)base + entry.start;
		if (entry.size && !is_extended(&entry) && entry.start > UINT32_MAX - sector)
			*fault = "it has a partition whose start takes more than 32 bits";
	}
	return next;
}

/*
 * Copies the chain of extended boot records that starts at BASE, which the others' places are relative to.  A bad record
 * and what may follow it is left out: in the copy the chain ends there, or libblkid notices the partitions it knows.
 */
static int copy_chain(struct job *job, uint32_t base)
{
	uint64_t sector = base;

	while (sector) {
		const char *fault = record_fault(job, sector);
		uint64_t next = 0;
		int result;

		if (!fault) {
			result = read_sector(job, sector);
			if (result)
				return result;
			job->record[job->records++] = (uint32_t)sector;
			next = next_record(job, base, (uint32_t)sector, &fault);
		}
		if (fault) {
			log_warning("%s: the extended boot record at sector %" PRIu64
				    " is left out, and with it the logical partitions from there on: %s",
				    job->source->name, sector, fault);
			return 0;
		}
		result = put(job, sector * MBR_SECTOR, job->buffer, MBR_SECTOR);
		if (result)
			return result;
		sector = next;
	}
	return 0;
}

static int copy_mbr(struct job *job)
{
	int result = make_file(job, MBR_FILE_SIZE);

	if (result == 0)
		result = put(job, 0, job->mbr, MBR_SECTOR);
	for (unsigned i = 0; i < 4 && result == 0; i++) {
		struct mbr_entry entry = get_entry(job->mbr, i);

		if (is_extended(&entry))
			result = copy_chain(job, entry.start);
	}
	return result;
}

bool partition_copy_parse_gpt(const unsigned char *header, struct partition_gpt *gpt)
{
	if (memcmp(header, "EFI PART", 8))
		return false;
	*gpt = (struct partition_gpt){ .entries = get_le64(header + 72), .count = get_le32(header + 80),
				       .size = get_le32(header + 84) };
	return true;
}

/* Copies the LENGTH bytes at OFFSET, and what is left of their last sector. */
static int copy_range(struct job *job, uint64_t offset, uint64_t length)
{
	uint64_t end = offset + round_up(length, job->source->sector_size);

	while (offset < end) {
		size_t part = end - offset < BUFFER ? (size_t)(end - offset) : BUFFER;
		int result = read_disk(job, offset, part);

		if (result == 0)
			result = put(job, offset, job->buffer, part);
		if (result)
			return result;
		offset += part;
	}
	return 0;
}

/*
 * Copies the header at SECTOR with its entries, which must lie between the two headers: they are not to bring along
 * a header that was left out.  Whether it is valid is for libblkid to say.
 */
static int copy_header(struct job *job, uint64_t sector)
{
	uint64_t sector_size = job->source->sector_size;
	uint64_t end = (job->sectors - 1) * sector_size; /* where the backup is */
	struct partition_gpt gpt;
	uint64_t offset;
	int result = read_sector(job, sector);

	if (result || !partition_copy_parse_gpt(job->buffer, &gpt))
		return result;
	if (gpt.size != GPT_ENTRY || !gpt.count || gpt.count > PARTITION_COPY_MOST_ENTRIES || gpt.entries < 2 ||
	    !checked_mul(gpt.entries, sector_size, &offset) ||
	    !range_within(offset, round_up((uint64_t)gpt.count * gpt.size, sector_size), end)) {
		log_warning("%s: the GPT header at sector %" PRIu64 " is left aside: %" PRIu32 " entries of %" PRIu32
			    " bytes at sector %" PRIu64,
			    job->source->name, sector, gpt.count, gpt.size, gpt.entries);
		return 0;
	}
	result = put(job, sector * sector_size, job->buffer, sector_size);
	return result ? result : copy_range(job, offset, (uint64_t)gpt.count * gpt.size);
}

static int copy_gpt(struct job *job)
{
	int result = make_file(job, job->sectors * job->source->sector_size);

	if (result == 0)
		result = put(job, 0, job->mbr, MBR_SECTOR);
	if (result == 0)
		result = copy_header(job, 1);
	if (result == 0 && job->sectors > 2)
		result = copy_header(job, job->sectors - 1);
	return result;
}

/* 1: the file holds a copy.  0: there is nothing to look at. */
static int run(struct job *job, bool *gpt)
{
	int result = read_sector(job, 0);

	if (result || !is_boot_record(job->buffer))
		return result;
	memcpy(job->mbr, job->buffer, sizeof(job->mbr));
	*gpt = has_gpt_entry(job->mbr);
	if (*gpt) {
		result = copy_gpt(job);
	} else {
		result = is_ntfs(job);
		if (result > 0)
			return 0;
		if (result == 0)
			result = copy_mbr(job);
	}
	return result ? result : 1;
}

int partition_copy_make(struct partition_copy *copy, const struct partition_source *source, struct platter_error *error)
{
	struct job job = { .source = source, .error = error, .sectors = source->bytes / source->sector_size, .fd = -1 };
	int result;

	*copy = (struct partition_copy){ .fd = -1 };
	if (job.sectors < 2)
		return 0; /* no room for a table and a partition */
	job.buffer = aligned_alloc(4096, BUFFER);
	if (!job.buffer)
		return platter_fail(error, ENOMEM, "there is no memory for reading its partition table");
	result = run(&job, &copy->gpt);
	free(job.buffer);
	copy->fd = job.fd;
	copy->sector_size = copy->gpt ? source->sector_size : MBR_SECTOR;
	copy->unit = copy->gpt ? 512 : source->sector_size;
	if (result <= 0)
		partition_copy_end(copy);
	return result;
}

void partition_copy_end(struct partition_copy *copy)
{
	if (copy->fd >= 0)
		close(copy->fd);
	copy->fd = -1;
}

int partition_copy_is_foreign(const struct partition_source *source, struct platter_error *error)
{
	unsigned other = source->sector_size == 512 ? 4096 : 512;
	struct job job = { .source = source, .error = error, .sectors = source->bytes / source->sector_size };
	struct partition_gpt gpt;
	int result;

	if (other / source->sector_size >= job.sectors)
		return 0;
	job.buffer = aligned_alloc(4096, BUFFER);
	if (!job.buffer)
		return platter_fail(error, ENOMEM, "there is no memory for reading its partition table");
	result = read_sector(&job, other / source->sector_size);
	if (result == 0)
		result = partition_copy_parse_gpt(job.buffer + other % source->sector_size, &gpt);
	free(job.buffer);
	return result;
}
