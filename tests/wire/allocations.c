/* SPDX-License-Identifier: BSD-2-Clause */
/* Preloaded, it counts what a program allocates; the file $ALLOCATIONS has the number, eight bytes in the machine's order. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

/* The C library's own: looking them up with dlsym would allocate. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static uint64_t early;
static uint64_t *counter = &early;

static void count(void)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static void *map(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("ALLOCATIONS");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *shared;

	if (fd < 0)
		_exit(99);
	shared = map(NULL, sizeof(*counter), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		_exit(99);
	close(fd);
	counter = shared;
}

EXPORTED void *malloc(size_t size)
{
	count();
	return __libc_malloc(size);
}

EXPORTED void *calloc(size_t number, size_t size)
{
	count();
	return __libc_calloc(number, size);
}

EXPORTED void *realloc(void *memory, size_t size)
{
	count();
	return __libc_realloc(memory, size);
}

EXPORTED void *memalign(size_t alignment, size_t size)
{
	count();
	return __libc_memalign(alignment, size);
}

EXPORTED void *aligned_alloc(size_t alignment, size_t size)
{
	count();
	return __libc_memalign(alignment, size);
}

EXPORTED int posix_memalign(void **memory, size_t alignment, size_t size)
{
	count();
	*memory = __libc_memalign(alignment, size);
	return *memory ? 0 : ENOMEM;
}

EXPORTED void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	count();
	return map(address, length, protection, flags, fd, offset);
}

EXPORTED void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset)
{
	count();
	return map(address, length, protection, flags, fd, offset);
}
