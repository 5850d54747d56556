/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disks and requests: the contract between the block layer and a driver.
 *
 * A driver adds disks (see driver.h); the block layer opens a disk when the
 * first client needs it, hands it requests, and releases it after the last
 * client has gone.  Structures start with their size and grow only at the end:
 * what a driver leaves out is filled with zero.
 *
 * Errors are 0 or a negative errno everywhere in this interface.
 */
#ifndef PLATTER_DISK_H
#define PLATTER_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Modules call what is declared here. */
#pragma GCC visibility push(default)

struct platter_disk;    /* the host's; a driver keeps its own data with platter_disk_set_data() */
struct platter_error;   /* where a failing call puts its reason, with platter_fail() */

/* What a request asks for. */
enum platter_op {
	PLATTER_OP_READ = 0,
	PLATTER_OP_WRITE = 1,
	PLATTER_OP_FLUSH = 2,  /* every write that was completed before is durable afterwards; no range */
	PLATTER_OP_TRIM = 3,   /* the range's content isn't needed any more; doing nothing is allowed */
	PLATTER_OP_ZEROES = 4, /* the whole range reads as zeroes afterwards */
	PLATTER_OP_CACHE = 5,  /* the range will be read soon; a hint */
	PLATTER_OP_EXTENTS = 6, /* what the range is, in CONTEXT's sense: answered by platter_request_extent() */
};

/* Request flags. */
#define PLATTER_REQ_FUA (1u << 0)       /* WRITE, TRIM, ZEROES: durable before completion */
#define PLATTER_REQ_NO_HOLE (1u << 1)   /* ZEROES: keep or allocate the range's space */
#define PLATTER_REQ_FAST_ZERO (1u << 2) /* ZEROES: -ENOTSUP, and no change, unless faster than writing */
#define PLATTER_REQ_ONCE (1u << 3)      /* WRITE, TRIM, ZEROES: somebody waits to hear that it is durable: -EIO isn't tried again */
#define PLATTER_REQ_ONE (1u << 4)       /* EXTENTS: only the first one is wanted */

/* Bytes of every request that belong to the driver while it has the request; aligned for any type. */
#define PLATTER_REQUEST_DATA_SIZE 256

/*
 * One request.  The host fills it and keeps it until platter_request_complete();
 * the range lies within the disk and is aligned to its minimum block size.
 */
struct platter_request {
	uint16_t op;       /* enum platter_op */
	uint16_t flags;    /* PLATTER_REQ_* */
	uint32_t iovcnt;
	uint64_t offset;   /* bytes */
	uint64_t length;   /* bytes; READ, WRITE: the sum of the segments */
	/*
	 * READ: where the data goes.  WRITE: the data, not to be changed.
	 * READ on a disk with PLATTER_DISK_LENDS: empty; see platter_request_lend().
	 */
	struct iovec *iov;
	struct platter_disk *disk;
	uint32_t context; /* EXTENTS: 0: where there is data; N: the Nth of the operations' `contexts` */
	/* The driver's while it has the request; undefined at first. */
	unsigned char data[PLATTER_REQUEST_DATA_SIZE] __attribute__((aligned(16)));
};

/* What a disk can do, bits of platter_geometry.capabilities. */
#define PLATTER_DISK_READ_ONLY (1u << 0)  /* no WRITE, TRIM or ZEROES is sent */
#define PLATTER_DISK_ROTATIONAL (1u << 1) /* seeks cost */
#define PLATTER_DISK_FLUSH (1u << 2)      /* FLUSH and PLATTER_REQ_FUA mean something: they are advertised */
#define PLATTER_DISK_TRIM (1u << 3)       /* takes TRIM */
#define PLATTER_DISK_ZEROES (1u << 4)     /* takes ZEROES with every flag; without it clients write the zeroes */
#define PLATTER_DISK_CACHE (1u << 5)      /* takes CACHE */
#define PLATTER_DISK_COHERENT (1u << 6)   /* a FLUSH covers the writes of all connections (CAN_MULTI_CONN) */
#define PLATTER_DISK_LENDS (1u << 7)      /* READs are answered with the driver's own memory */
#define PLATTER_DISK_ANY_THREAD (1u << 8) /* submit may run on several reactors at once, for writes, too */
#define PLATTER_DISK_EXTENTS (1u << 9)    /* takes EXTENTS; of a disk that doesn't, everything counts as data */

/* What an extent is, bits; 0: data, or not known. */
#define PLATTER_EXTENT_HOLE (1u << 0) /* no space is set aside for it: a write there may find none */
#define PLATTER_EXTENT_ZERO (1u << 1) /* it reads as zeroes */

/* What `open` tells the host about a disk. */
struct platter_geometry {
	uint32_t size;             /* sizeof(struct platter_geometry), filled in by the host */
	uint32_t capabilities;     /* PLATTER_DISK_* */
	uint64_t bytes;            /* the disk's size: a multiple of min_block, above 0, at most 2^63 - 1 */
	uint32_t min_block;        /* a power of two from 1 to 65536; requests are multiples of it.  0: 1 */
	uint32_t preferred_block;  /* a power of two from 512, at least min_block.  0: 4096 or min_block */
	uint32_t memory_alignment; /* of segments' addresses, a power of two up to 4096.  0: 1 */
	uint32_t max_segments;     /* in one READ or WRITE.  0: 1024 */
	uint64_t max_request;      /* bytes of one READ or WRITE, a multiple of min_block.  0: no limit */
	uint64_t max_zeroes;       /* bytes of one ZEROES, likewise: what runs inside submit should stay short */
	uint64_t max_trim;         /* bytes of one TRIM or CACHE, likewise */
	uint32_t queue_depth;      /* requests given to it at a time, on each reactor; with `handle` at most 16.  0: 128 */
};

/* What check_events found, bits. */
#define PLATTER_EVENT_RESIZED (1u << 0)      /* the disk has another size: revalidate tells which */
#define PLATTER_EVENT_MEDIA_CHANGE (1u << 1) /* there is another medium, or none any more */

#define PLATTER_MOST_CONTEXTS 8

/* A command of a driver's own. */
struct platter_command {
	const char *name;
	const char *arguments; /* for people, for example "[PATH]"; "" for none */
	const char *help;      /* one line */
};

/* Where an ioctl puts what it has to say. */
struct platter_reply;

/*
 * A disk's operations.  All but submit run on a thread that may block, one at a
 * time for a disk, but possibly beside submit.  submit runs on the disk's home
 * reactor and must not block.  A disk that is read-only, or has
 * PLATTER_DISK_ANY_THREAD, has no home: its submit may run on several reactors
 * at once.
 */
struct platter_disk_ops {
	uint32_t size; /* sizeof(struct platter_disk_ops) */
	/* The first user is here: fill in GEOMETRY.  On failure platter_fail() says why and nobody calls release. */
	int (*open)(struct platter_disk *disk, struct platter_geometry *geometry, struct platter_error *error);
	/* Optional.  The last user has gone, no request is running: make everything durable. */
	int (*release)(struct platter_disk *disk, struct platter_error *error);
	/*
	 * Starts a request; it is completed exactly once, inside this call, later
	 * or from any thread, by platter_request_complete().  Either this or `handle`.
	 */
	void (*submit)(struct platter_disk *disk, struct platter_request *request);
	/* Optional.  Finds out how large the disk is now, in bytes; whether it is open or not. */
	int (*revalidate)(struct platter_disk *disk, uint64_t *bytes, struct platter_error *error);
	/* Optional.  Makes it BYTES large; smaller only while nobody uses it.  Needs revalidate. */
	int (*resize)(struct platter_disk *disk, uint64_t bytes, struct platter_error *error);
	/* Optional.  What has happened since the last call, PLATTER_EVENT_*; see platter_disk_set_events(). */
	unsigned (*check_events)(struct platter_disk *disk);
	/* Optional.  One of `commands`, by the name that was looked up there, with ARGC arguments; open or not. */
	int (*ioctl)(struct platter_disk *disk, const char *command, unsigned argc, const char *const *argv,
		     struct platter_reply *reply, struct platter_error *error);
	const struct platter_command *commands; /* ended by a NULL name; NULL: none */
	/*
	 * Instead of submit, for a driver that would rather wait: does a request,
	 * on a thread of the I/O pool, and returns 0 or -errno, which completes it.
	 * Several run at once, up to 16 for a disk; not for PLATTER_DISK_LENDS.
	 */
	int (*handle)(struct platter_disk *disk, struct platter_request *request);
	/*
	 * What else clients can ask of ranges, with PLATTER_DISK_EXTENTS: names of metadata contexts, NAMESPACE:NAME, ended by
	 * NULL; NULL: nothing.  At most PLATTER_MOST_CONTEXTS of at most 95 bytes, of a namespace other than base, qemu and
	 * x-platter.  The kinds that platter_request_extent() is told are the context's own bits.
	 */
	const char *const *contexts;
};

/* Ends REQUEST, which the driver doesn't touch any more.  Any thread. */
void platter_request_complete(struct platter_request *request, int error);

/*
 * Says of a REQUEST that will be completed with an error how many bytes, from its beginning on, were done as it asked;
 * a client that can be told learns where the error was.  A READ's are then in its segments.  Whoever has the request.
 */
void platter_request_progress(struct platter_request *request, uint64_t bytes);

/*
 * Answers part of a READ of a PLATTER_DISK_LENDS disk with LENGTH bytes at
 * MEMORY, behind the parts lent before; NULL: with zeroes, of which clients that can take it so are only told.
 * The memory stays in place until the disk is released; its content may change while the reply is on its way.
 * In submit or, before the request is completed, elsewhere on its reactor.  -ENOBUFS when
 * there is no room for another segment: room for one in each 256 KiB of the request, and
 * two more, is certain; for others it takes memory.  -EINVAL: the request isn't so long.
 */
int platter_request_lend(struct platter_request *request, const void *memory, size_t length);

/*
 * Answers part of an EXTENTS request: the next LENGTH bytes, behind those told
 * before, the first ones at the request's offset, are of KIND: PLATTER_EXTENT_*, or what the request's context says.
 * Neighbours of one kind become one extent, and what lies beyond the range is cut off.  True: no more is wanted.  A
 * request may be completed before all of its range was told, but not before anything was.  Of other requests nothing is
 * wanted.  Any thread that has the request.
 */
bool platter_request_extent(struct platter_request *request, uint64_t length, uint32_t kind);

/* The driver's own data for the disk; NULL until set. */
void platter_disk_set_data(struct platter_disk *disk, void *data);
void *platter_disk_data(const struct platter_disk *disk);

/*
 * The disk's size, for a driver that knows it before it is opened; 0, or more than 2^63 - 1: unknown.  In the operations
 * that may block.
 */
void platter_disk_set_capacity(struct platter_disk *disk, uint64_t bytes);

/* Has check_events called every MILLISECONDS, from 100 on; 0: only on request.  In probe. */
void platter_disk_set_events(struct platter_disk *disk, uint32_t milliseconds);

/*
 * What clients that come back know the disk by: WHAT stays the same as long as its content does, for example an absolute
 * path; NULL: the content is new with each disk.  By default it is the disk's name.  In probe, and in the other operations
 * that may block when there is another content, which nobody uses yet.  -ENOMEM.
 */
int platter_disk_set_identity(struct platter_disk *disk, const char *what);

/* How many use the disk or wait for it to open.  In an operation that may block. */
unsigned platter_disk_users(struct platter_disk *disk);

/* A line for whoever sent the ioctl. */
void platter_reply(struct platter_reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The disk's name, which is also its export's.  Valid as long as the disk. */
const char *platter_disk_name(const struct platter_disk *disk);

#pragma GCC visibility pop

#endif
