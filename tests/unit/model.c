/* SPDX-License-Identifier: BSD-2-Clause */
/* The model's clients: what they ask for, and whether the answers are right. */
#include "tests/unit/model.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "server/block/queue.h"

const char *(*model_context)(void);
struct model *model;

static struct queue *queue_of(void)
{
	return &model->fake->disk->queues[0];
}

/* What a WRITE's blocks begin and end with; the rest would only take time. */
static uint64_t stamp(unsigned block, uint32_t version)
{
	return (uint64_t)version << 8 | block;
}

uint64_t model_content(unsigned block, uint32_t version)
{
	return model->kind[version] == PLATTER_OP_WRITE ? stamp(block, version) : 0;
}

static void check_read(const struct model_op *op)
{
	for (unsigned i = 0; i < op->count; i++) {
		unsigned block = op->first + i;
		uint64_t word = model_word(op->data + i * model->size);
		uint32_t version = (uint32_t)(word >> 8);

		if (word == 0)
			model_check(model_content(block, op->seen[block]) == 0 || model->zeroed[block] > op->seen[block], "result",
			      "a READ found zeroes in block %u, after version %u", block, op->seen[block]);
		else
			model_check(word >> 8 <= model->versions && word == model_content(block, version) && version >= op->seen[block],
			      "result", "a READ found %#jx in block %u, after version %u", (uintmax_t)word, block,
			      op->seen[block]);
	}
}

/* The cache has what it said, and what FUA promised is durable. */
static void check_change(const struct model_op *op)
{
	for (unsigned block = op->first; block < op->first + op->count; block++) {
		uint32_t cached = model->cached[block];

		model_check(model->pending[block][0] == op, "order", "a change of block %u ended before an earlier one", block);
		model_check(cached == op->version ||
			      (cached == model->version[block] && (op->op == PLATTER_OP_TRIM || op->request->error)),
		      "result", "block %u has version %u instead of %u", block, cached, op->version);
		model_check(model_word(model->memory + block * model->size) == model_content(block, cached), "result",
		      "block %u has not the content of version %u", block, cached);
		model->version[block] = cached;
		if (op->request->error)
			continue;
		if (op->op != PLATTER_OP_TRIM)
			model->replied[block] = op->version;
		if (!op->sync || cached != op->version)
			continue;
		model_check(model->durable[block] >= cached, "durable", "FUA of block %u, version %u, but %u is durable", block, cached,
		      model->durable[block]);
		model->floor[block] = cached;
	}
}

static void check_flush(const struct model_op *op)
{
	for (unsigned block = 0; block < model->blocks; block++) {
		model_check(model->durable[block] >= op->seen[block], "durable", "FLUSH after version %u of block %u, but %u is durable",
		      op->seen[block], block, model->durable[block]);
		model->floor[block] = model_later(model->floor[block], op->seen[block]);
	}
}

static void check_error(const struct model_op *op)
{
	int error = op->request->error;
	bool all = op->done == (1u << op->count) - 1;

	model_check(!op->sync || !model->failed || error == -EIO, "sticky", "op %u ended with %d after a failure", op->op, error);
	if (op->sync && error == -EIO && model->failed) {
		model->refused += !op->started;
		model->known = true;
		return;
	}
	if (error == -ENOMEM && model->no_memory)
		return;
	model_check(error == op->error, "result", "op %u ended with %d instead of %d", op->op, error, op->error);
	model_check(error || op->op == PLATTER_OP_FLUSH || all, "result", "op %u ended with blocks %#x of %u done", op->op, op->done,
	      op->count);
}

static void leave(struct model_op *op)
{
	for (unsigned block = op->first; model_is_change(op->op) && block < op->first + op->count; block++) {
		struct model_op **pending = model->pending[block];
		unsigned place = 0;

		while (pending[place] != op)
			place++;
		memmove(&pending[place], &pending[place + 1], (--model->pending_count[block] - place) * sizeof(*pending));
	}
	op->request = NULL;
	model->waiting--;
}

static void ended(struct request *request)
{
	struct model_op *op = &model->ops[request->cookie];

	model_check(op->request == request, "once", "op %u ended twice", request->driver.op);
	if (request->error == -ECANCELED) {
		model_check(op->owner == model->dropping && !op->started, "once", "op %u was cancelled, started: %d", op->op, op->started);
		model->cancelled++;
	} else {
		check_error(op);
		if (model_is_change(op->op) && op->started)
			check_change(op);
		if (op->op == PLATTER_OP_READ && request->error == 0)
			check_read(op);
		if (op->op == PLATTER_OP_FLUSH && request->error == 0)
			check_flush(op);
		model->ended[op->op]++;
	}
	leave(op);
	request_put(request);
}

static unsigned free_op(void)
{
	unsigned number = 0;

	while (model->ops[number].request)
		number++;
	return number;
}

static void begin_op(struct model_op *op, const struct model_ask *ask)
{
	op->owner = ask->owner;
	op->op = ask->op;
	op->flags = ask->flags | (ask->flags & PLATTER_REQ_FUA && ask->op != PLATTER_OP_FLUSH ? PLATTER_REQ_ONCE : 0);
	op->sync = ask->op == PLATTER_OP_FLUSH || (ask->flags & PLATTER_REQ_FUA);
	op->doomed = op->sync && model->known;
	op->started = op->again = false;
	op->error = 0;
	op->done = 0;
	op->first = ask->first;
	op->count = ask->count;
	op->since = model->completed;
	if (op->op == PLATTER_OP_FLUSH)
		memcpy(op->seen, model->replied, model->blocks * sizeof(op->seen[0]));
	if (op->op == PLATTER_OP_READ)
		memcpy(&op->seen[op->first], &model->version[op->first], op->count * sizeof(op->seen[0]));
	if (!model_is_change(op->op))
		return;
	model_check(model->versions < MODEL_VERSIONS - 1, "test", "more than %u changes", MODEL_VERSIONS);
	op->version = ++model->versions;
	model->kind[op->version] = (uint8_t)op->op;
	for (unsigned block = op->first; block < op->first + op->count; block++)
		model->pending[block][model->pending_count[block]++] = op;
}

static void give_segments(struct request *request, struct model_op *op, uint32_t cuts)
{
	assert_int_equal(request_reserve_segments(request, MODEL_LONGEST), 0);
	for (unsigned i = 0; i < op->count; i++) {
		uint8_t *block = op->data + i * model->size;

		model_put(block, op->op == PLATTER_OP_WRITE ? stamp(op->first + i, op->version) : MODEL_POISON);
		if (i == 0 || (cuts & 1u << i))
			request->driver.iov[request->driver.iovcnt++] = (struct iovec){ block, model->size };
		else
			request->driver.iov[request->driver.iovcnt - 1].iov_len += model->size;
	}
}

unsigned model_ask(const struct model_ask *ask)
{
	unsigned number = free_op();
	struct model_op *op = &model->ops[number];
	struct request *request = fake_request(model->fake, ask->op, ask->first * model->size,
					       ask->count * model->size);

	begin_op(op, ask);
	request->done = ended;
	request->owner = (void *)(uintptr_t)ask->owner;
	request->from = ask->from;
	request->cookie = number;
	request->driver.flags = ask->flags;
	if (op->op == PLATTER_OP_READ || op->op == PLATTER_OP_WRITE)
		give_segments(request, op, ask->cuts);
	op->request = request;
	model->waiting++;
	queue_add(queue_of(), request);
	return number;
}

void model_drop(const void *owner)
{
	struct list_head *node;

	model->dropping = owner;
	queue_drop(queue_of(), owner);
	model->dropping = NULL;
	for (unsigned i = 0; i < MODEL_OPS; i++) {
		const struct model_op *op = &model->ops[i];

		if (!op->request || op->owner != owner || op->op == PLATTER_OP_FLUSH)
			continue;
		/* For want of memory to split it, it has failed without the driver, and waits for its group or for another try. */
		model_check(op->started || (model->no_memory && (!op->request->mergeable || op->request->error == -ENOMEM)), "once",
		      "op %u hadn't started when its connection ended, and is still there", op->op);
	}
	list_for_each(node, &queue_of()->flush.waiting)
		model_check(container_of(node, struct request, link)->owner != owner, "once", "op %d waits for a connection that ended",
		      PLATTER_OP_FLUSH);
}

void model_settings(void)
{
	const struct limits *limits = &model->fake->disk->limits.limits;

	model->merges |= limits->elevator != &elevator_none && limits->nomerges != QUEUE_MERGES_NONE;
	model->most_kb = model_later(model->most_kb, limits->max_sectors_kb);
	model->most_segments = model_later(model->most_segments, limits->max_segments);
}

/* How many wait for one of their connection's places in the driver, of which it has some. */
static unsigned count_for_places(const struct queue *queue)
{
	struct list_head *turn, *node;
	unsigned count = 0;

	for (unsigned side = 0; side < SOFTWARE_SIDES; side++) {
		list_for_each(turn, &queue->software.full[side]) {
			list_for_each(node, &container_of(turn, struct software_side_list, turn)->requests) {
				model_check(container_of(turn, struct software_side_list, turn)->places > 0, "progress",
					    "%u: a connection without a place in the driver waits for one of them", side);
				count++;
			}
		}
	}
	return count;
}

void model_check_waiting(void)
{
	const struct queue *queue = queue_of();
	bool held_back = queue->elevator == &elevator_deadline &&
			 (queue->changes_in_driver >= queue->limits.async_depth || queue->change_bytes >= ELEVATOR_ASYNC_BYTES);
	bool plugged = queue->unplug_at > model->fake->block.now;

	model_check(queue->in_driver == model->count, "limits", "%u requests in the driver, and the queue says %u", model->count,
	      queue->in_driver);
	model_check(queue->waiting == count_for_places(queue) || queue->in_driver >= queue->limits.queue_depth || held_back || plugged,
		    "progress",
	      "%u requests wait, and the driver has %u", queue->waiting, queue->in_driver);
	model_check(list_empty(&queue->flush.waiting) || queue->flush.running, "progress", "FLUSH or FUA wait for a group of %u",
		    queue->flush.running);
	for (unsigned i = 0; i < RUN_MOST; i++)
		model_check(list_empty(&queue->runs.runs[i].followers) || queue->runs.runs[i].in_driver, "progress",
			    "requests wait for %u of their run", queue->runs.runs[i].in_driver);
	model_check(!model->waiting || model->count || plugged, "progress", "%u requests wait for nothing", model->waiting);
	model_check(model->waiting || !model->count, "once", "the driver has %u requests that nobody waits for", model->count);
}

void model_check_idle(void)
{
	model_check(!model->waiting && !model->count && !queue_of()->waiting, "once", "%u requests have not ended", model->waiting);
	for (unsigned block = 0; block < model->blocks; block++) {
		model_check(model->cached[block] == model->version[block], "result", "block %u has version %u", block, model->cached[block]);
		model_check(model->durable[block] >= model->floor[block], "durable", "block %u has version %u after a loss of power", block,
		      model->durable[block]);
	}
}

void model_new(void)
{
	model = test_calloc(1, sizeof(*model));
	model->memory = mmap(NULL, MODEL_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(model->memory, MAP_FAILED);
	for (unsigned i = 0; i < MODEL_OPS; i++) {
		model->ops[i].data = model->memory + (size_t)MODEL_BLOCKS * MODEL_BLOCK + i * MODEL_DATA;
		model->pieces[i] = &model->memory_of_pieces[i];
	}
	model->fake = fake_new();
	model->fake->submit = model_submit;
}

void model_free(void)
{
	fake_free(model->fake);
	munmap(model->memory, MODEL_MEMORY);
	test_free(model);
}

static void clear(uint32_t *versions)
{
	memset(versions, 0, model->blocks * sizeof(*versions));
}

void model_reset(unsigned blocks, size_t size)
{
	struct queue *queue = queue_of();

	model->blocks = blocks;
	model->size = size;
	model->failed = model->known = model->unreported = model->merges = model->no_memory = false;
	model->most_kb = model->most_segments = 0;
	model->versions = 0;
	model->kind[0] = PLATTER_OP_ZEROES;
	clear(model->version);
	clear(model->replied);
	clear(model->floor);
	clear(model->cached);
	clear(model->durable);
	clear(model->lost);
	clear(model->zeroed);
	for (unsigned block = 0; block < blocks; block++)
		model_put(model->memory + block * model->size, 0);
	model->fake->disk->geometry.bytes = blocks * size;
	model->fake->disk->failure = 0;
	list_del_init(&queue->dirty);
	list_del_init(&queue->plugged);
	queue_destroy(queue);
	queue_init(queue, model->fake->disk);
	queue->block = &model->fake->block;
}
