/* SPDX-License-Identifier: BSD-2-Clause */
/* What went wrong, for people and for scripts; see EXIT STATUS in platter(8). */
#ifndef CLIENT_PROBLEM_H
#define CLIENT_PROBLEM_H

/* What platter exits with; numbers that scripts rely on. */
enum status {
	STATUS_OK = 0,
	STATUS_FAILED = 1,        /* none of those below */
	STATUS_USAGE = 2,         /* the command line or a file of the configuration is wrong */
	STATUS_NOT_ATTACHED = 3,
	STATUS_PERMISSION = 4,
	STATUS_BUSY = 5,          /* somebody uses the device */
	STATUS_OTHER = 6,         /* the name or the device belongs to another export */
	STATUS_UNREACHABLE = 7,   /* no server answers */
	STATUS_REFUSED = 8,       /* the server says no, or isn't what is wanted */
	STATUS_TLS = 9,
	STATUS_TIMEOUT = 10,      /* it didn't become ready in time */
	STATUS_KERNEL = 11,       /* the kernel can't */
	STATUS_DEGRADED = 12,     /* attached, but not every connection is alive */
};

struct problem {
	enum status status;
	char text[512];           /* a line without its end: what, with which value, what to do */
};

/* Says so; -1, for the caller to return. */
int problem_set(struct problem *problem, enum status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* That there is no memory; -1. */
int problem_memory(struct problem *problem);

#endif
