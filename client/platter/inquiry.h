/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Questions to the supervisor of a device: a line of JSON each way, over the
 * unix socket STATE_DIRECTORY/nbdN.sock.  {"ask": "status"} is for everybody,
 * the others are for root: "reconnect" does that; "hold" has it leave the
 * device alone until the connection ends, since somebody detaches it.
 */
#ifndef CLIENT_INQUIRY_H
#define CLIENT_INQUIRY_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "client/platter/problem.h"

#define INQUIRY_MOST 16     /* askers at a time */
#define INQUIRY_LINE 512    /* bytes of a question */

/* --- Those who ask */

/* Connects to the supervisor of device INDEX; -1: there is none. */
int inquiry_open(unsigned index);

/* Asks QUESTION: the answer, to be freed, NULL: there was none, or it was a refusal. */
json_t *inquiry_ask(int fd, const char *question, struct problem *problem);

/* --- The supervisor */

struct inquiry {
	int listener;
	ino_t node;             /* of its socket in the file system */
	struct asker {
		int fd;             /* -1: free */
		bool allowed;       /* to change something */
		bool holds;
		char line[INQUIRY_LINE];
		size_t length;
	} askers[INQUIRY_MOST];
	/* Answers QUESTION; the object is freed after it was sent.  NULL, PROBLEM: a refusal. */
	json_t *(*answer)(void *argument, struct asker *asker, const char *question, struct problem *problem);
	void *argument;
};

/* Listens, as the only one: another supervisor that is alive is STATUS_OTHER.  Under state_lock(), and so is the end. */
int inquiry_listen(struct inquiry *inquiry, unsigned index, struct problem *problem);
/* From here on there is no supervisor, for those who ask; what was asked before may be answered. */
void inquiry_refuse(struct inquiry *inquiry);
/* One that doesn't listen, too. */
void inquiry_close(struct inquiry *inquiry, unsigned index);

/* Its descriptors to be waited for, as pollfd[INQUIRY_MOST + 1]; and what is to be done when they were. */
struct pollfd;
void inquiry_prepare(const struct inquiry *inquiry, struct pollfd *slots);
void inquiry_handle(struct inquiry *inquiry, const struct pollfd *slots);

/* Whether anybody holds the device. */
bool inquiry_is_held(const struct inquiry *inquiry);

#endif
