/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/inquiry.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "client/platter/state.h"

/* Longer than any supervisor takes for an answer. */
#define ANSWER_SECONDS 30
#define MOST_ANSWER (256u << 10)
/* For one that ends, and fewer than it keeps waiting. */
#define TRIES 10
#define PAUSE_NS 100000000

static void address_of(struct sockaddr_un *address, unsigned index)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(address->sun_path, sizeof(address->sun_path), "%s/nbd%u.sock", STATE_DIRECTORY, index);
}

/* --- Those who ask */

int inquiry_open(unsigned index)
{
	const struct timeval patience = { .tv_sec = ANSWER_SECONDS };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;

	if (fd < 0)
		return -1;
	address_of(&address, index);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* A line, without its end; NULL: it doesn't come. */
static char *read_line(int fd)
{
	char *line = malloc(MOST_ANSWER);
	size_t length = 0;

	while (line && length < MOST_ANSWER) {
		ssize_t got = recv(fd, line + length, MOST_ANSWER - length, 0);
		char *end;

		if (got <= 0)
			break;
		end = memchr(line + length, '\n', (size_t)got);
		length += (size_t)got;
		if (end) {
			*end = '\0';
			return line;
		}
	}
	free(line);
	return NULL;
}

json_t *inquiry_ask(int fd, const char *question, struct problem *problem)
{
	char text[INQUIRY_LINE];
	int length = snprintf(text, sizeof(text), "{\"ask\": \"%s\"}\n", question);
	const char *refusal;
	json_t *answer;
	char *line;

	if (send(fd, text, (size_t)length, MSG_NOSIGNAL) != length || !(line = read_line(fd))) {
		problem_set(problem, STATUS_FAILED, "the device's supervisor doesn't answer");
		return NULL;
	}
	answer = json_loads(line, 0, NULL);
	free(line);
	refusal = json_string_value(json_object_get(answer, "problem"));
	if (answer && !refusal)
		return answer;
	problem_set(problem, refusal ? (enum status)json_integer_value(json_object_get(answer, "status")) : STATUS_FAILED, "%s",
		    refusal ? refusal : "the device's supervisor answers nonsense");
	json_decref(answer);
	return NULL;
}

/* --- The supervisor */

static void hang_up(struct asker *asker)
{
	if (asker->fd >= 0)
		close(asker->fd);
	*asker = (struct asker){ .fd = -1 };
}

/* Another one may be about to end, since its device has just gone. */
static bool is_alone(unsigned index)
{
	const struct timespec pause = { 0, PAUSE_NS };

	for (unsigned i = 0; i < TRIES; i++) {
		int other = inquiry_open(index);

		if (other < 0)
			return true;
		close(other);
		nanosleep(&pause, NULL);
	}
	return false;
}

int inquiry_listen(struct inquiry *inquiry, unsigned index, struct problem *problem)
{
	struct sockaddr_un address;
	struct stat status;

	inquiry->listener = -1;
	for (unsigned i = 0; i < INQUIRY_MOST; i++)
		inquiry->askers[i].fd = -1;
	if (!is_alone(index))
		return problem_set(problem, STATUS_OTHER, "nbd%u has a supervisor, which is alive", index);
	address_of(&address, index);
	unlink(address.sun_path);
	inquiry->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (inquiry->listener < 0 || bind(inquiry->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(address.sun_path, 0666) < 0 || stat(address.sun_path, &status) < 0 || listen(inquiry->listener, INQUIRY_MOST) < 0)
		return problem_set(problem, STATUS_FAILED, "%s: %s", address.sun_path, strerror(errno));
	inquiry->node = status.st_ino;
	return 0;
}

void inquiry_refuse(struct inquiry *inquiry)
{
	if (inquiry->listener >= 0)
		shutdown(inquiry->listener, SHUT_RDWR);
}

void inquiry_close(struct inquiry *inquiry, unsigned index)
{
	struct sockaddr_un address;
	struct stat status;

	for (unsigned i = 0; i < INQUIRY_MOST; i++)
		hang_up(&inquiry->askers[i]);
	if (inquiry->listener < 0)
		return;
	close(inquiry->listener);
	inquiry->listener = -1;
	address_of(&address, index);
	/* The number may be another device's by now, with a supervisor of its own. */
	if (stat(address.sun_path, &status) == 0 && status.st_ino == inquiry->node)
		unlink(address.sun_path);
}

bool inquiry_is_held(const struct inquiry *inquiry)
{
	for (unsigned i = 0; i < INQUIRY_MOST; i++)
		if (inquiry->askers[i].holds)
			return true;
	return false;
}

void inquiry_prepare(const struct inquiry *inquiry, struct pollfd *slots)
{
	for (unsigned i = 0; i < INQUIRY_MOST; i++)
		slots[i] = (struct pollfd){ .fd = inquiry->askers[i].fd, .events = POLLIN };
	slots[INQUIRY_MOST] = (struct pollfd){ .fd = inquiry->listener, .events = POLLIN };
}

/* Those who may only look don't keep the others out: NULL, there is no room. */
static struct asker *find_room(struct inquiry *inquiry, bool allowed)
{
	for (unsigned i = 0; i < INQUIRY_MOST; i++)
		if (inquiry->askers[i].fd < 0)
			return &inquiry->askers[i];
	for (unsigned i = 0; i < INQUIRY_MOST && allowed; i++)
		if (!inquiry->askers[i].allowed)
			return &inquiry->askers[i];
	return NULL;
}

static void accept_one(struct inquiry *inquiry)
{
	int fd = accept4(inquiry->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t length = sizeof(peer);
	struct asker *asker;
	bool allowed;

	if (fd < 0)
		return;
	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
	allowed = peer.uid == 0 || peer.uid == geteuid();
	asker = find_room(inquiry, allowed);
	if (!asker) {
		close(fd);
		return;
	}
	hang_up(asker);
	*asker = (struct asker){ .fd = fd, .allowed = allowed };
}

static json_t *answer_line(struct inquiry *inquiry, struct asker *asker, struct problem *problem)
{
	json_t *question = json_loads(asker->line, 0, NULL), *answer = NULL;
	const char *ask = json_string_value(json_object_get(question, "ask"));

	if (!ask)
		problem_set(problem, STATUS_USAGE, "not a question: %.100s", asker->line);
	else if (!asker->allowed && strcmp(ask, "status") != 0)
		problem_set(problem, STATUS_PERMISSION, "only root may");
	else
		answer = inquiry->answer(inquiry->argument, asker, ask, problem);
	json_decref(question);
	return answer ? answer : json_pack("{s:s, s:i}", "problem", problem->text, "status", (int)problem->status);
}

/* What a socket doesn't take at once is nobody's who reads. */
static void say(struct asker *asker, json_t *answer)
{
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	size_t length = text ? strlen(text) : 0;

	if (text)
		text[length] = '\n';
	if (!text || send(asker->fd, text, length + 1, MSG_NOSIGNAL) != (ssize_t)length + 1)
		hang_up(asker);
	free(text);
	json_decref(answer);
}

static void read_asker(struct inquiry *inquiry, struct asker *asker)
{
	ssize_t got = recv(asker->fd, asker->line + asker->length, sizeof(asker->line) - 1 - asker->length, 0);
	struct problem problem = { 0 };
	char *end;

	if (got <= 0) {
		if (got == 0 || (errno != EAGAIN && errno != EINTR))
			hang_up(asker);
		return;
	}
	asker->length += (size_t)got;
	asker->line[asker->length] = '\0';
	end = strchr(asker->line, '\n');
	if (!end) {
		if (asker->length == sizeof(asker->line) - 1)
			hang_up(asker);
		return;
	}
	*end = '\0';
	asker->length = 0;
	say(asker, answer_line(inquiry, asker, &problem));
}

void inquiry_handle(struct inquiry *inquiry, const struct pollfd *slots)
{
	for (unsigned i = 0; i < INQUIRY_MOST; i++)
		if (slots[i].fd >= 0 && slots[i].revents)
			read_asker(inquiry, &inquiry->askers[i]);
	if (slots[INQUIRY_MOST].revents)
		accept_one(inquiry);
}
