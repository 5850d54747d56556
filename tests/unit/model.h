/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a disk's queue owes to its clients and to its driver, written down a
 * second time and as simply as possible: every block's changes in the order of
 * arrival, the one that its content comes from, and the one from which on it is
 * durable.  The queue under test is the real one; the driver below it is the
 * model's, a disk with a volatile cache that does what the test decides, and
 * each request that comes down, and each answer, is held against these rules:
 *
 * once     Every request ends once.  One that was dropped never reached the
 *          driver, and one that never reached it is dropped.
 * order    Changes of the same data go to the driver one after the other, in
 *          the order of arrival.
 * result   Each request gets its own: no innocent one fails, no failed one
 *          passes, and what a READ returns was there between question and answer.
 * merge    Only what is alike and adjacent becomes one, within the limits, and
 *          what failed in company is tried alone.
 * limits   A driver is given no more than it takes, nor more at a time.
 * durable  What FLUSH or FUA has promised survives a loss of power.
 * sticky   Once the disk has failed to make data durable, no FLUSH and no FUA
 *          succeeds, nor is tried.
 * progress Whoever waits has somebody to wait for, and not for ever.
 */
#ifndef UNIT_MODEL_H
#define UNIT_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/unit/fake.h"
#include "tests/unit/unit.h"

/* A test may do with less. */
#ifndef MODEL_BLOCK
#define MODEL_BLOCK (512u << 10) /* bytes of a block, at most */
#define MODEL_BLOCKS 128  /* that the disk has, at most */
#define MODEL_LONGEST 16  /* blocks of a request */
#define MODEL_OPS 64      /* requests at a time */
#define MODEL_VERSIONS 65536
#endif

/* Memory of the disk's content and the requests' data; mostly untouched, for only a block's ends are looked at. */
#define MODEL_DATA ((size_t)MODEL_LONGEST * MODEL_BLOCK)
#define MODEL_MEMORY ((size_t)MODEL_BLOCKS * MODEL_BLOCK + MODEL_OPS * MODEL_DATA)

/* A request of a client's. */
struct model_op {
	struct request *request; /* NULL: this one is free */
	const void *owner;
	enum platter_op op;
	uint16_t flags;
	bool sync;               /* FLUSH or FUA */
	bool doomed;             /* it came when the disk had failed */
	bool started;            /* the driver has seen some of it */
	bool again;              /* what it was merged into has failed */
	int error;               /* what the driver said of it alone */
	uint32_t version;        /* changes are numbered as they come, from 1 */
	uint32_t done;           /* its blocks that the driver has done, bits */
	unsigned first, count;   /* blocks */
	uint64_t since;          /* model.completed when it came */
	uint32_t seen[MODEL_BLOCKS]; /* READ: each block's version then; FLUSH: the newest that was answered with success */
	uint8_t *data;
};

/* Something that the driver has: a request, a part of one, or several as one. */
struct model_piece {
	struct platter_request *request;
	struct {
		struct model_op *op;
		unsigned first, count; /* blocks of the disk */
	} members[MODEL_OPS];
	unsigned count;
	bool applied;                /* to the cache; it may be, before it is back */
	uint32_t cover[MODEL_BLOCKS]; /* FLUSH: what was in the cache when it came */
};

struct model {
	struct fake *fake;
	uint64_t random;             /* of the driver's whims; 0: it has none */
	bool fua_syncs;              /* FUA hears of earlier failures, as on a file */
	/* Asked when the driver is given PIECES[index]: the test may complete it there and then. */
	void (*submitted)(unsigned index);

	unsigned blocks;
	size_t size;                 /* of a block, bytes */
	struct model_op ops[MODEL_OPS];
	unsigned waiting;            /* of these, that have not ended */
	struct model_piece *pieces[MODEL_OPS]; /* in the driver, the oldest first; then free ones */
	struct model_piece memory_of_pieces[MODEL_OPS];
	unsigned count;
	bool no_memory;              /* there was none at times: a request may fail for that */
	const void *dropping;        /* whose requests are being dropped */
	bool merges;                 /* the settings allow it, or did */
	unsigned most_kb, most_segments; /* likewise: how much */

	/* Per block. */
	struct model_op *pending[MODEL_BLOCKS][MODEL_OPS]; /* changes that have not ended, in the order of arrival */
	unsigned pending_count[MODEL_BLOCKS];
	bool busy[MODEL_BLOCKS];         /* the driver has a change of it */
	uint32_t version[MODEL_BLOCKS];  /* its content's, as far as answers tell */
	uint32_t replied[MODEL_BLOCKS];  /* the newest that was answered with success */
	uint32_t floor[MODEL_BLOCKS];    /* the oldest that it may have after a loss of power */
	/* The driver's: in the cache, durable, and given up after a failure. */
	uint32_t cached[MODEL_BLOCKS], durable[MODEL_BLOCKS], lost[MODEL_BLOCKS];
	uint32_t zeroed[MODEL_BLOCKS];   /* the newest that left zeroes in the cache */
	uint8_t *memory;                 /* MODEL_MEMORY: first its content */
	bool unreported;                 /* a failure of which nobody has heard */
	bool failed;                     /* the driver has failed a FLUSH or FUA */
	bool known;                      /* ...and somebody was told */

	uint32_t versions;               /* so far */
	uint8_t kind[MODEL_VERSIONS];    /* enum platter_op of each */

	uint64_t completed;              /* by the driver */
	/* What happened; not reset. */
	uint64_t ended[PLATTER_OP_CACHE + 1], cancelled, retried, merged, parts, syncs, refused;
};

/* There is one at a time. */
extern struct model *model;

/* What a failing check says of where the test is. */
extern const char *(*model_context)(void);

/* Makes the one model. */
void model_new(void);
void model_free(void);

/* A disk of BLOCKS zeroes, of SIZE bytes each, whose queue is as new; nothing waits. */
void model_reset(unsigned blocks, size_t size);

/* For a change of the queue's settings: what they are now. */
void model_settings(void);

/* What a client asks for. */
struct model_ask {
	enum platter_op op;
	uint16_t flags;
	unsigned first, count;       /* blocks */
	uint32_t cuts;               /* bit N: block N of it begins a new segment */
	struct software_queue *from; /* NULL: no connection's */
	const void *owner;
};

/* Queues it; the number of its op.  There is a free one. */
unsigned model_ask(const struct model_ask *ask);

/* The driver completes PIECES[index], with RESULT or worse. */
void model_complete(unsigned index, int result);

/* Whether one that can fail does so with ERROR without data having been lost. */
bool model_is_harmless(int error);

/* The cache writes BLOCK back by itself, or fails to, which the next sync is told. */
void model_write_back(unsigned block, bool fail);

/* OWNER has gone: queue_drop(). */
void model_drop(const void *owner);

/* Who waits has a reason: to be called when there is nothing to dispatch. */
void model_check_waiting(void);

/* Nothing waits, and every block is as it should be. */
void model_check_idle(void);

/* For the parts of the model: says which rule is broken, how, and where. */
#define model_check(condition, rule, ...)                \
	do {                                             \
		if (!(condition))                        \
			model_broken(rule, __VA_ARGS__); \
	} while (0)
#define model_broken(rule, format, ...) fail_msg("%s: " format "; %s", rule, __VA_ARGS__, model_context())

#define MODEL_POISON UINT64_C(0xdbdbdbdbdbdbdbdb)

/* The driver's submit. */
void model_submit(struct fake *fake, struct platter_request *request);

/* What BLOCK begins and ends with that has VERSION. */
uint64_t model_content(unsigned block, uint32_t version);

static inline void model_put(uint8_t *memory, uint64_t word)
{
	uint64_t *words = (uint64_t *)(void *)memory;

	words[0] = words[model->size / sizeof(*words) - 1] = word;
}

/* What is there; a block of which one end is another's is nobody's. */
static inline uint64_t model_word(const uint8_t *memory)
{
	const uint64_t *words = (const uint64_t *)(const void *)memory;

	return words[0] == words[model->size / sizeof(*words) - 1] ? words[0] : MODEL_POISON;
}

static inline bool model_is_change(unsigned op)
{
	return op == PLATTER_OP_WRITE || op == PLATTER_OP_TRIM || op == PLATTER_OP_ZEROES;
}

static inline uint32_t model_later(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

#endif
