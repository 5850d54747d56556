/* SPDX-License-Identifier: BSD-2-Clause */
#include <err.h>
#include <errno.h>
#include <stdlib.h>

#include "bench/load_connection.h"

/* A write's header stands before its payload, which starts with a cache line of its own. */
#define HEADER_ROOM 64

void *load_allocate(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size);

	if (!memory)
		errx(1, "out of memory");
	return memory;
}

struct connection *connection_new(struct stream stream, uint64_t region, unsigned share, unsigned shares)
{
	struct connection *connection = load_allocate(1, sizeof(*connection));

	connection->stream = stream;
	connection->region = region;
	connection->share = share;
	connection->shares = shares;
	connection->random = UINT64_C(0x2545f4914f6cdd1d) * (share + 1);
	return connection;
}

void connection_free(struct connection *connection)
{
	load_disconnect(&connection->stream);
	free(connection);
}

static size_t write_stride(const struct job *job)
{
	return HEADER_ROOM + job->block;
}

static size_t header_size(const struct job *job)
{
	return job->extended ? NBD_EXTENDED_REQUEST_SIZE : NBD_REQUEST_SIZE;
}

/* What is the same in all requests that do COMMAND with LENGTH bytes. */
static void encode_header(uint8_t *at, const struct job *job, uint16_t command, uint32_t length)
{
	put_be32(at, job->extended ? NBD_EXTENDED_REQUEST_MAGIC : NBD_REQUEST_MAGIC);
	put_be16(at + 4, job->extended && command == NBD_CMD_WRITE ? NBD_CMD_FLAG_PAYLOAD_LEN : 0);
	put_be16(at + 6, command);
	if (job->extended)
		put_be64(at + 24, length);
	else
		put_be32(at + 24, length);
}

/* Everything of a request that is the same each time is encoded once, here. */
void connection_start(struct connection *connection, const struct job *job)
{
	size_t stride = job->write ? write_stride(job) : header_size(job);
	size_t header = job->write ? HEADER_ROOM - header_size(job) : 0;

	connection->budget = job->per_connection;
	connection->started = 0;
	connection->depth = job->depth;
	connection->next_block = connection->region / job->stride * connection->share / connection->shares;
	connection->slots = load_allocate(job->depth, sizeof(*connection->slots));
	connection->free_slots = load_allocate(job->depth, sizeof(*connection->free_slots));
	connection->flushes = load_allocate(job->depth, sizeof(*connection->flushes));
	connection->flush_out = load_allocate(job->depth, header_size(job));
	connection->pending = load_allocate(job->depth, sizeof(*connection->pending));
	connection->out = load_allocate(job->depth, stride);
	for (unsigned i = 0; i < job->depth; i++) {
		connection->free_slots[connection->free_count++] = job->depth - 1 - i;
		encode_header(connection->out + i * stride + header, job, job->write ? NBD_CMD_WRITE : NBD_CMD_READ, job->block);
		encode_header(connection->flush_out + i * header_size(job), job, NBD_CMD_FLUSH, 0);
	}
}

void connection_finish(struct connection *connection)
{
	free(connection->slots);
	free(connection->free_slots);
	free(connection->flushes);
	free(connection->flush_out);
	free(connection->pending);
	free(connection->out);
	connection->free_count = 0;
}

static uint64_t next_offset(struct connection *connection, const struct job *job)
{
	uint64_t blocks = connection->region / job->stride;
	uint64_t block;

	if (job->random) { /* xorshift64* */
		connection->random ^= connection->random >> 12;
		connection->random ^= connection->random << 25;
		connection->random ^= connection->random >> 27;
		block = connection->random * UINT64_C(0x2545f4914f6cdd1d);
		return (uint64_t)(((unsigned __int128)block * blocks) >> 64) * job->stride;
	}
	block = connection->next_block++;
	if (connection->next_block == blocks)
		connection->next_block = 0;
	return block * job->stride;
}

static uint64_t new_cookie(struct connection *connection, unsigned index)
{
	return ++connection->next_cookie * LOAD_MAX_DEPTH + index;
}

/* Takes a free slot and fills in what is particular to one request. */
static unsigned encode_request(struct connection *connection, const struct run *run, uint8_t *requests, size_t stride)
{
	unsigned index = connection->free_slots[--connection->free_count];
	struct slot *slot = &connection->slots[index];
	uint8_t *request;

	slot->cookie = new_cookie(connection, index);
	slot->offset = next_offset(connection, run->job);
	slot->sent_ns = run->now;
	slot->missing = run->job->structured && !run->job->write ? run->job->block : 0;
	/* A write's buffer is its slot's; the headers of reads are rewritten one after the other. */
	request = requests + (run->job->write ? index * stride : 0);
	put_be64(request + 8, slot->cookie);
	put_be64(request + 16, slot->offset);
	return index;
}

static void encode_reads(struct connection *connection, const struct run *run, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		encode_request(connection, run, connection->out + i * header_size(run->job), 0);
	connection->pending[0] = (struct iovec){ connection->out, count * header_size(run->job) };
	connection->pending_count = 1;
}

static void encode_writes(struct connection *connection, const struct run *run, unsigned count)
{
	const struct job *job = run->job;
	size_t header = HEADER_ROOM - header_size(job);
	size_t stride = write_stride(job);

	for (unsigned i = 0; i < count; i++) {
		unsigned index = encode_request(connection, run, connection->out + header, stride);
		uint8_t *slot_memory = connection->out + index * stride;

		stamp_block(slot_memory + HEADER_ROOM, job->block, connection->slots[index].offset, job->seed);
		connection->pending[i] = (struct iovec){ slot_memory + header, header_size(job) + job->block };
	}
	connection->pending_count = count;
}

/* Behind what is pending. */
static void encode_flushes(struct connection *connection, const struct job *job)
{
	while (connection->flush_count) {
		unsigned index = connection->flushes[--connection->flush_count];
		uint8_t *request = connection->flush_out + index * header_size(job);
		struct slot *slot = &connection->slots[index];

		slot->cookie = new_cookie(connection, index);
		put_be64(request + 8, slot->cookie);
		connection->pending[connection->pending_count++] = (struct iovec){ request, header_size(job) };
	}
}

static void pending_advance(struct connection *connection, size_t sent)
{
	while (sent) {
		struct iovec *vec = &connection->pending[connection->pending_first];
		size_t part = sent < vec->iov_len ? sent : vec->iov_len;

		vec->iov_base = (uint8_t *)vec->iov_base + part;
		vec->iov_len -= part;
		sent -= part;
		if (vec->iov_len)
			break;
		connection->pending_first++;
		connection->pending_count--;
	}
}

bool connection_is_behind(const struct connection *connection)
{
	return connection->pending_count || stream_is_behind(&connection->stream);
}

uint64_t connection_due(const struct connection *connection, const struct run *run)
{
	if (connection->budget == 0 || connection->free_count == 0 || connection_is_behind(connection))
		return UINT64_MAX;
	return run->start + connection->started * run->job->interval_ns;
}

/* How many requests may be started now. */
static unsigned startable(const struct connection *connection, const struct run *run)
{
	uint64_t count = connection->free_count < connection->budget ? connection->free_count : connection->budget;

	if (run->job->interval_ns) {
		uint64_t due = (run->now - run->start) / run->job->interval_ns + 1 - connection->started;

		count = count < due ? count : due;
	}
	return (unsigned)count;
}

static void encode(struct connection *connection, const struct run *run, unsigned count)
{
	connection->pending_first = 0;
	connection->budget -= count;
	connection->started += count;
	if (run->job->write)
		encode_writes(connection, run, count);
	else
		encode_reads(connection, run, count);
	encode_flushes(connection, run->job);
}

void connection_send(struct connection *connection, const struct run *run)
{
	unsigned count = startable(connection, run);

	if (connection->pending_count == 0 && (count || connection->flush_count))
		encode(connection, run, count);
	while (connection_is_behind(connection)) {
		ssize_t sent = stream_send(&connection->stream, &connection->pending[connection->pending_first],
					   connection->pending_count);

		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent < 0 && errno != EINTR)
			err(1, "send");
		if (sent > 0)
			pending_advance(connection, (size_t)sent);
	}
}
