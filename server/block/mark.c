/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/block/mark.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <platter/driver.h>

#include "common/list.h"
#include "server/block/extents.h"

#define WORD_BITS 64
/* A page of bits, for 2 GiB. */
#define LEAF_WORDS 512
#define LEAF_BITS (LEAF_WORDS * WORD_BITS)
/* Of one mark: for 128 TiB. */
#define MOST_LEAVES (UINT64_C(1) << 16)

/* A bit for each granule. */
struct leaf {
	uint64_t words[LEAF_WORDS];
};

/* In place of any leaf that is dirty all over. */
static struct leaf full;

struct mark {
	struct list_head link; /* in marks->list, or not */
	struct marks *marks;   /* whose lock protects what follows */
	atomic_uint users;
	uint64_t since;
	uint64_t dirty;        /* granules */
	struct leaf **leaves;  /* NULL, or behind them: clean; or &full */
	uint64_t count;        /* of leaves */
	bool lost;             /* a change couldn't be noted, or isn't any more: everything is dirty */
	char name[];
};

void marks_init(struct marks *marks)
{
	atomic_init(&marks->any, false);
	pthread_mutex_init(&marks->lock, NULL);
	list_init(&marks->list);
}

static void take_away(struct marks *marks, struct mark *mark)
{
	list_del_init(&mark->link);
	atomic_store(&marks->any, !list_empty(&marks->list));
	mark->lost = true;
	mark_unuse(mark);
}

unsigned marks_destroy(struct marks *marks)
{
	unsigned count = 0;

	for (; !list_empty(&marks->list); count++)
		take_away(marks, list_first_entry(&marks->list, struct mark, link));
	pthread_mutex_destroy(&marks->lock);
	return count;
}

static struct mark *find(const struct marks *marks, const char *name)
{
	struct list_head *node;

	list_for_each(node, &marks->list) {
		struct mark *mark = container_of(node, struct mark, link);

		if (strcmp(mark->name, name) == 0)
			return mark;
	}
	return NULL;
}

static unsigned count_marks(const struct marks *marks)
{
	struct list_head *node;
	unsigned count = 0;

	list_for_each(node, &marks->list)
		count++;
	return count;
}

/* It becomes the end of a context's name, and an argument of other programs. */
static bool is_name(const char *name)
{
	size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

	return length && length <= MARK_NAME_MOST && !name[length];
}

static struct mark *new_mark(struct marks *marks, const char *name)
{
	struct mark *mark = calloc(1, sizeof(*mark) + strlen(name) + 1);

	if (!mark)
		return NULL;
	strcpy(mark->name, name);
	mark->marks = marks;
	mark->since = (uint64_t)time(NULL);
	atomic_init(&mark->users, 1);
	return mark;
}

static int add(struct marks *marks, const char *name, struct platter_error *error)
{
	struct mark *mark;

	if (find(marks, name))
		return platter_fail(error, EEXIST, "the disk has a mark \"%s\" already", name);
	if (count_marks(marks) == MARK_MOST)
		return platter_fail(error, ENOSPC, "a disk has no more than %d marks", MARK_MOST);
	mark = new_mark(marks, name);
	if (!mark)
		return platter_fail(error, ENOMEM, "no memory");
	list_add_tail(&mark->link, &marks->list);
	atomic_store(&marks->any, true);
	return 0;
}

int marks_set(struct marks *marks, const char *name, struct platter_error *error)
{
	int result;

	if (!is_name(name))
		return platter_fail(error, EINVAL, "\"%.80s\": a mark's name is up to %d letters, digits, and of \"_.-\"", name, MARK_NAME_MOST);
	pthread_mutex_lock(&marks->lock);
	result = add(marks, name, error);
	pthread_mutex_unlock(&marks->lock);
	return result;
}

int marks_unset(struct marks *marks, const char *name, struct platter_error *error)
{
	struct mark *mark;

	pthread_mutex_lock(&marks->lock);
	mark = find(marks, name);
	if (mark)
		take_away(marks, mark);
	pthread_mutex_unlock(&marks->lock);
	return mark ? 0 : platter_fail(error, ENOENT, "the disk has no mark \"%.80s\"", name);
}

void marks_lose(struct marks *marks)
{
	struct list_head *node;

	pthread_mutex_lock(&marks->lock);
	list_for_each(node, &marks->list)
		container_of(node, struct mark, link)->lost = true;
	pthread_mutex_unlock(&marks->lock);
}

static bool grow(struct mark *mark, uint64_t count)
{
	struct leaf **leaves;

	if (count <= mark->count)
		return true;
	leaves = count <= MOST_LEAVES ? reallocarray(mark->leaves, count, sizeof(*leaves)) : NULL;
	if (!leaves)
		return false;
	memset(leaves + mark->count, 0, (count - mark->count) * sizeof(*leaves));
	mark->leaves = leaves;
	mark->count = count;
	return true;
}

static void free_leaf(struct leaf *leaf)
{
	if (leaf != &full)
		free(leaf);
}

static uint64_t count_bits(const struct leaf *leaf)
{
	uint64_t bits = 0;

	if (leaf == &full)
		return LEAF_BITS;
	for (unsigned i = 0; leaf && i < LEAF_WORDS; i++)
		bits += (unsigned)__builtin_popcountll(leaf->words[i]);
	return bits;
}

/* Bits FIRST to LAST of a leaf. */
static bool set_in_leaf(struct mark *mark, struct leaf **at, unsigned first, unsigned last)
{
	if (*at == &full)
		return true;
	if (first == 0 && last == LEAF_BITS - 1) {
		mark->dirty += LEAF_BITS - count_bits(*at);
		free_leaf(*at);
		*at = &full;
		return true;
	}
	if (!*at)
		*at = calloc(1, sizeof(**at));
	if (!*at)
		return false;
	while (first <= last) {
		unsigned inside = first % WORD_BITS, count = WORD_BITS - inside;
		uint64_t *word = &(*at)->words[first / WORD_BITS], bits;

		if (count > last - first + 1)
			count = last - first + 1;
		bits = (count == WORD_BITS ? UINT64_MAX : (UINT64_C(1) << count) - 1) << inside;
		mark->dirty += (unsigned)__builtin_popcountll(bits & ~*word);
		*word |= bits;
		first += count;
	}
	return true;
}

static void set_bits(struct mark *mark, uint64_t first, uint64_t last)
{
	if (!mark->lost)
		mark->lost = !grow(mark, last / LEAF_BITS + 1);
	while (first <= last && !mark->lost) {
		uint64_t leaf = first / LEAF_BITS, end = leaf * LEAF_BITS + LEAF_BITS - 1;

		end = end < last ? end : last;
		mark->lost = !set_in_leaf(mark, &mark->leaves[leaf], (unsigned)(first % LEAF_BITS), (unsigned)(end % LEAF_BITS));
		first = end + 1;
	}
}

void marks_change(struct marks *marks, uint64_t offset, uint64_t length)
{
	struct list_head *node;

	if (length == 0)
		return;
	pthread_mutex_lock(&marks->lock);
	list_for_each(node, &marks->list)
		set_bits(container_of(node, struct mark, link), offset / MARK_GRANULE, (offset + length - 1) / MARK_GRANULE);
	pthread_mutex_unlock(&marks->lock);
}

unsigned marks_use(struct marks *marks, struct mark *list[MARK_MOST])
{
	struct list_head *node;
	unsigned count = 0;

	pthread_mutex_lock(&marks->lock);
	list_for_each(node, &marks->list)
		list[count++] = mark_use(container_of(node, struct mark, link));
	pthread_mutex_unlock(&marks->lock);
	return count;
}

struct mark *mark_use(struct mark *mark)
{
	atomic_fetch_add(&mark->users, 1);
	return mark;
}

void mark_unuse(struct mark *mark)
{
	if (!mark || atomic_fetch_sub(&mark->users, 1) > 1)
		return;
	for (uint64_t i = 0; i < mark->count; i++)
		free_leaf(mark->leaves[i]);
	free(mark->leaves);
	free(mark);
}

const char *mark_name(const struct mark *mark)
{
	return mark->name;
}

/* From bit FIRST on: how many bits of LEAF are as that one is, which becomes DIRTY. */
static unsigned row_in_leaf(const struct leaf *leaf, unsigned first, bool *dirty)
{
	unsigned word = first / WORD_BITS;
	uint64_t bits;

	*dirty = leaf == &full || (leaf && (leaf->words[word] >> first % WORD_BITS & 1));
	if (!leaf || leaf == &full)
		return LEAF_BITS - first;
	/* Ones where it is different. */
	bits = (*dirty ? ~leaf->words[word] : leaf->words[word]) >> first % WORD_BITS << first % WORD_BITS;
	while (!bits && ++word < LEAF_WORDS)
		bits = *dirty ? ~leaf->words[word] : leaf->words[word];
	return bits ? word * WORD_BITS + (unsigned)__builtin_ctzll(bits) - first : LEAF_BITS - first;
}

void mark_tell(struct mark *mark, uint64_t offset, struct extents *extents)
{
	bool enough = false;

	pthread_mutex_lock(&mark->marks->lock);
	while (!enough) {
		uint64_t granule = offset / MARK_GRANULE, leaf = granule / LEAF_BITS, length = UINT64_MAX - offset;
		bool dirty = mark->lost;

		if (leaf < mark->count && !mark->lost)
			length = (granule + row_in_leaf(mark->leaves[leaf], (unsigned)(granule % LEAF_BITS), &dirty)) * MARK_GRANULE - offset;
		enough = extents_add(extents, length, dirty ? MARK_DIRTY : 0);
		offset += length;
	}
	pthread_mutex_unlock(&mark->marks->lock);
}

struct mark_status mark_status(struct mark *mark)
{
	struct mark_status status = { .since = mark->since };

	pthread_mutex_lock(&mark->marks->lock);
	status.dirty = mark->lost ? 0 : mark->dirty * MARK_GRANULE;
	status.all = mark->lost;
	pthread_mutex_unlock(&mark->marks->lock);
	return status;
}
