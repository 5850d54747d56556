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
/* Of one mark, 256 MiB: for 128 TiB. */
#define MOST_WORDS (UINT64_C(1) << 25)

struct mark {
	struct list_head link; /* in marks->list, or not */
	struct marks *marks;   /* whose lock protects what follows */
	atomic_uint users;
	uint64_t since;
	uint64_t *words;       /* a bit for each granule; what lies behind them is clean */
	uint64_t count;        /* of words */
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

/* Room for the bit of GRANULE. */
static bool grow(struct mark *mark, uint64_t granule)
{
	uint64_t count = mark->count ? mark->count : 64;
	uint64_t *words;

	if (granule / WORD_BITS >= MOST_WORDS)
		return false;
	while (count <= granule / WORD_BITS)
		count *= 2;
	if (count == mark->count)
		return true;
	words = reallocarray(mark->words, count, sizeof(*words));
	if (!words)
		return false;
	memset(words + mark->count, 0, (count - mark->count) * sizeof(*words));
	mark->words = words;
	mark->count = count;
	return true;
}

static void set_bits(struct mark *mark, uint64_t first, uint64_t last)
{
	if (mark->lost)
		return;
	mark->lost = !grow(mark, last);
	while (first <= last && !mark->lost) {
		uint64_t inside = first % WORD_BITS, count = WORD_BITS - inside;

		if (count > last - first + 1)
			count = last - first + 1;
		mark->words[first / WORD_BITS] |= (count == WORD_BITS ? UINT64_MAX : (UINT64_C(1) << count) - 1) << inside;
		first += count;
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
	free(mark->words);
	free(mark);
}

const char *mark_name(const struct mark *mark)
{
	return mark->name;
}

/* Whether GRANULE is dirty, and where, behind it, that changes; UINT64_MAX: nowhere. */
static bool row_at(const struct mark *mark, uint64_t granule, uint64_t *end)
{
	uint64_t word = granule / WORD_BITS, bits;
	bool dirty;

	*end = UINT64_MAX;
	if (mark->lost || word >= mark->count)
		return mark->lost;
	dirty = mark->words[word] >> granule % WORD_BITS & 1;
	/* Ones where it is different. */
	bits = (dirty ? ~mark->words[word] : mark->words[word]) >> granule % WORD_BITS << granule % WORD_BITS;
	while (!bits && ++word < mark->count)
		bits = dirty ? ~mark->words[word] : mark->words[word];
	if (bits)
		*end = word * WORD_BITS + (unsigned)__builtin_ctzll(bits);
	else if (dirty)
		*end = mark->count * WORD_BITS;
	return dirty;
}

void mark_tell(struct mark *mark, uint64_t offset, struct extents *extents)
{
	bool enough = false;

	pthread_mutex_lock(&mark->marks->lock);
	while (!enough) {
		uint64_t end;
		bool dirty = row_at(mark, offset / MARK_GRANULE, &end);
		uint64_t length = end > UINT64_MAX / MARK_GRANULE ? UINT64_MAX - offset : end * MARK_GRANULE - offset;

		enough = extents_add(extents, length, dirty ? MARK_DIRTY : 0);
		offset += length;
	}
	pthread_mutex_unlock(&mark->marks->lock);
}

struct mark_status mark_status(struct mark *mark)
{
	struct mark_status status = { .since = mark->since };

	pthread_mutex_lock(&mark->marks->lock);
	status.all = mark->lost;
	for (uint64_t i = 0; i < mark->count && !mark->lost; i++)
		status.dirty += (uint64_t)__builtin_popcountll(mark->words[i]) * MARK_GRANULE;
	pthread_mutex_unlock(&mark->marks->lock);
	return status;
}
