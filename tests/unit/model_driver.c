/* SPDX-License-Identifier: BSD-2-Clause */
/* The model's driver: what it is given must be right, and what it does with that is up to the test. */
#include "tests/unit/model.h"

#include <errno.h>
#include <string.h>

#include "server/block/request.h"
#include "tests/unit/mutate.h"

static bool coin(void)
{
	return mutate_random(&model->random) >> 7 & 1;
}

bool model_is_harmless(int error)
{
	return error == -ENOSPC || error == -EINVAL || error == -ENOTSUP || error == -ENOMEM;
}

static void add_member(struct model_piece *piece, struct model_op *op, unsigned first, unsigned count)
{
	if (piece->count && piece->members[piece->count - 1].op == op) {
		piece->members[piece->count - 1].count += count;
		return;
	}
	model_check(piece->count < MODEL_OPS, "merge", "more than %u requests in one", MODEL_OPS);
	piece->members[piece->count].op = op;
	piece->members[piece->count].first = first;
	piece->members[piece->count++].count = count;
}

/* The segments are the requests' own, each at its place: they tell whose they are. */
static void find_by_segments(struct model_piece *piece)
{
	const struct platter_request *request = piece->request;
	uint64_t at = request->offset;

	for (unsigned i = 0; i < request->iovcnt; i++) {
		const struct iovec *segment = &request->iov[i];
		size_t owner = (size_t)((uint8_t *)segment->iov_base - model->ops[0].data) / MODEL_DATA;
		struct model_op *op = &model->ops[owner];
		uint64_t inside;

		model_check(owner < MODEL_OPS, "merge", "segment %u is nobody's", i);
		inside = at - op->first * model->size;
		model_check(segment->iov_base == op->data + inside && inside + segment->iov_len <= op->count * model->size &&
			      segment->iov_len % model->size == 0,
		      "merge", "segment %u is not the data of block %u", i, (unsigned)(at / model->size));
		add_member(piece, op, (unsigned)(at / model->size), (unsigned)(segment->iov_len / model->size));
		at += segment->iov_len;
	}
	model_check(at == request->offset + request->length, "merge", "segments of %ju bytes for %ju",
	      (uintmax_t)(at - request->offset), (uintmax_t)request->length);
}

/* A change without data: whose turn it is in each block. */
static void find_by_turn(struct model_piece *piece)
{
	unsigned block = (unsigned)(piece->request->offset / model->size);
	unsigned end = block + (unsigned)(piece->request->length / model->size);

	while (block < end) {
		struct model_op *op = model->pending[block][0];
		unsigned op_end;

		model_check(model->pending_count[block], "order", "a change of block %u that nobody asked for", block);
		op_end = op->first + op->count < end ? op->first + op->count : end;
		add_member(piece, op, block, op_end - block);
		block = op_end;
	}
}

static struct request *whole_of(const struct model_piece *piece)
{
	struct request *request = request_of(piece->request);

	return request->whole ? request->whole : request;
}

/* What is merged starts together, whatever the first part has of it. */
static void start_company(const struct model_piece *piece)
{
	struct list_head *node;

	list_for_each(node, &whole_of(piece)->members)
		model->ops[container_of(node, struct request, link)->cookie].started = true;
}

static void check_kind(const struct model_piece *piece, const struct model_op *op)
{
	const struct platter_request *request = piece->request;

	model_check(op->request && request->op == op->op, "merge", "op %u as op %u", op->op, request->op);
	model_check((request->flags | (op->flags & PLATTER_REQ_FUA)) == op->flags, "merge", "flags %#x became %#x", op->flags,
	      request->flags);
	model_check(!op->doomed && !op->error, "sticky", "op %u was tried again after %d", op->op, op->error);
	model_check(op->sync == piece->members[0].op->sync, "merge", "op %u with FUA and one without", op->op);
}

/* It overtakes nobody and runs into nobody. */
static void check_turn(const struct model_piece *piece, unsigned member)
{
	const struct model_op *op = piece->members[member].op;

	for (unsigned block = op->first; block < op->first + op->count; block++)
		model_check(model->pending[block][0] == op, "order", "a change of block %u before an earlier one", block);
	for (unsigned i = 0; i < piece->members[member].count; i++) {
		unsigned block = piece->members[member].first + i;

		model_check(!model->busy[block], "order", "two changes of block %u at once", block);
		model->busy[block] = true;
	}
}

static void check_merged(const struct model_piece *piece)
{
	const struct platter_request *request = piece->request;
	bool part = request_of(piece->request)->whole;

	model_check(model->merges && request->op != PLATTER_OP_CACHE, "merge", "%u of op %u became one", piece->count, request->op);
	for (unsigned i = 0; i < piece->count; i++) {
		const struct model_op *op = piece->members[i].op;

		model_check((part && (i == 0 || i == piece->count - 1)) || piece->members[i].count == op->count, "merge",
		      "%u of %u blocks of a request", piece->members[i].count, op->count);
		model_check(!op->again, "merge", "op %u was tried in company again", op->op);
	}
	model_check(part || (request->length <= (uint64_t)model->most_kb << 10 && request->iovcnt <= model->most_segments), "merge",
	      "%ju bytes in %u segments", (uintmax_t)request->length, request->iovcnt);
	model->merged++;
}

static void check_bulk(const struct platter_request *request, uint64_t most)
{
	model_check(!most || request->offset / most == (request->offset + request->length - 1) / most, "limits",
	      "op %u of %ju bytes at %ju: a part ends at a multiple of %ju", request->op, (uintmax_t)request->length,
	      (uintmax_t)request->offset, (uintmax_t)most);
}

static void check_limits(const struct platter_request *request)
{
	const struct platter_geometry *geometry = &model->fake->disk->geometry;
	unsigned depth = model->fake->disk->limits.limits.queue_depth;

	model_check(model->count < depth, "limits", "%u requests at a time instead of %u", model->count + 1, depth);
	if (request->op == PLATTER_OP_FLUSH)
		return;
	model_check(request->length && request->offset % model->size == 0 && request->length % model->size == 0 &&
		      request->offset + request->length <= geometry->bytes,
	      "limits", "op %u of %ju bytes at %ju", request->op, (uintmax_t)request->length, (uintmax_t)request->offset);
	model_check(request->iovcnt <= geometry->max_segments, "limits", "%u segments", request->iovcnt);
	if (request->op == PLATTER_OP_READ || request->op == PLATTER_OP_WRITE)
		model_check(!geometry->max_request || request->length <= geometry->max_request, "limits", "%ju bytes",
		      (uintmax_t)request->length);
	else
		check_bulk(request, request->op == PLATTER_OP_ZEROES ? geometry->max_zeroes : geometry->max_trim);
}

static void check_piece(struct model_piece *piece)
{
	struct platter_request *request = piece->request;

	check_limits(request);
	if (request->op == PLATTER_OP_FLUSH) {
		model_check(!model->known, "sticky", "a FLUSH was tried after a failure, %u in the driver", model->count);
		memcpy(piece->cover, model->cached, model->blocks * sizeof(piece->cover[0]));
		model->syncs++;
		return;
	}
	if (request->op == PLATTER_OP_READ || request->op == PLATTER_OP_WRITE)
		find_by_segments(piece);
	else if (request->op == PLATTER_OP_CACHE)
		add_member(piece, &model->ops[whole_of(piece)->cookie], (unsigned)(request->offset / model->size),
			   (unsigned)(request->length / model->size));
	else
		find_by_turn(piece);
	for (unsigned i = 0; i < piece->count; i++) {
		check_kind(piece, piece->members[i].op);
		if (model_is_change(request->op))
			check_turn(piece, i);
		piece->members[i].op->started = true;
	}
	start_company(piece);
	if (piece->count > 1)
		check_merged(piece);
	model->parts += request_of(request)->whole != NULL;
}

/* The whole effect on the cache, or where it FAILS what chance wants of it. */
static void apply(struct model_piece *piece, bool fails)
{
	const struct platter_request *request = piece->request;

	if (piece->applied)
		return;
	piece->applied = true;
	for (unsigned i = 0; i < piece->count; i++) {
		struct model_op *op = piece->members[i].op;

		for (unsigned j = 0; j < piece->members[i].count; j++) {
			unsigned block = piece->members[i].first + j;
			uint8_t *theirs = op->data + (block - op->first) * model->size;
			uint8_t *ours = model->memory + block * model->size;

			if (fails && coin())
				continue;
			if (request->op == PLATTER_OP_READ)
				model_put(theirs, model_word(ours));
			/* TRIM may do nothing. */
			if (!model_is_change(request->op) || (request->op == PLATTER_OP_TRIM && coin()))
				continue;
			model_put(ours, request->op == PLATTER_OP_WRITE ? model_word(theirs) : 0);
			model->cached[block] = op->version;
			if (request->op != PLATTER_OP_WRITE)
				model->zeroed[block] = op->version;
		}
	}
}

static void make_durable(unsigned block, uint32_t version)
{
	if (version > model->lost[block])
		model->durable[block] = model_later(model->durable[block], version);
}

/* As the kernel's: a failure takes some of the data along, and whoever syncs next is told, once. */
static int sync_cache(const struct model_piece *piece, int result)
{
	if (model->unreported && result == 0)
		result = -EIO;
	model->unreported = false;
	for (unsigned block = 0; block < model->blocks; block++) {
		if (result == 0 || coin())
			make_durable(block, piece->cover[block]);
		else if (piece->cover[block] > model->durable[block])
			model->lost[block] = model_later(model->lost[block], piece->cover[block]);
	}
	return result;
}

static int force_unit_access(const struct model_piece *piece, int result)
{
	if (result)
		return result;
	if (model->fua_syncs && model->unreported) {
		model->unreported = false;
		return -EIO;
	}
	for (unsigned i = 0; i < piece->count; i++) {
		for (unsigned j = 0; j < piece->members[i].count; j++) {
			unsigned block = piece->members[i].first + j;

			/* It goes past the cache: what that gave up of it meanwhile doesn't matter. */
			if (model->cached[block] == piece->members[i].op->version)
				model->durable[block] = model->cached[block];
		}
	}
	return 0;
}

void model_write_back(unsigned block, bool fail)
{
	if (!fail) {
		make_durable(block, model->cached[block]);
	} else if (model->cached[block] > model->durable[block]) {
		model->lost[block] = model->cached[block];
		model->unreported = true;
	}
}

/* What came back so failed for all that were in it: they are tried alone, unless the disk has failed. */
static void note_failure(const struct model_piece *piece, int result)
{
	struct request *whole = whole_of(piece);
	struct list_head *node;

	if (piece->count && piece->members[0].op->sync && !model_is_harmless(result))
		model->failed = true;
	if (list_empty(&whole->members)) {
		piece->members[0].op->error = result;
		return;
	}
	list_for_each(node, &whole->members) {
		struct model_op *op = &model->ops[container_of(node, struct request, link)->cookie];

		op->again = !op->sync || model_is_harmless(result);
		op->error = op->again ? 0 : result;
		op->done = 0;
		model->retried += op->again;
	}
}

static void note_result(const struct model_piece *piece, int result)
{
	for (unsigned i = 0; i < piece->count; i++) {
		struct model_op *op = piece->members[i].op;

		for (unsigned j = 0; j < piece->members[i].count; j++) {
			if (model_is_change(op->op))
				model->busy[piece->members[i].first + j] = false;
			op->done |= 1u << (piece->members[i].first + j - op->first);
		}
	}
	if (result && piece->request->op != PLATTER_OP_FLUSH)
		note_failure(piece, result);
	else if (result)
		model->failed = true;
}

void model_complete(unsigned index, int result)
{
	struct model_piece *piece = model->pieces[index];

	apply(piece, result != 0);
	if (piece->request->op == PLATTER_OP_FLUSH)
		result = sync_cache(piece, result);
	else if (piece->request->flags & PLATTER_REQ_FUA)
		result = force_unit_access(piece, result);
	note_result(piece, result);
	model->count--;
	memmove(&model->pieces[index], &model->pieces[index + 1], (model->count - index) * sizeof(piece));
	model->pieces[model->count] = piece;
	model->completed++;
	platter_request_complete(piece->request, result);
}

void model_submit(struct fake *fake, struct platter_request *request)
{
	unsigned index = model->count;
	struct model_piece *piece = model->pieces[index];

	(void)fake;
	piece->request = request;
	piece->count = 0;
	piece->applied = false;
	check_piece(piece);
	model->count++;
	if (coin())
		apply(piece, false);
	if (model->submitted)
		model->submitted(index);
}

