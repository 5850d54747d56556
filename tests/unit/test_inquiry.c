/* SPDX-License-Identifier: BSD-2-Clause */
/* Questions to a supervisor: whose are answered, and what those who ask badly, or too many, bring about. */
#include "client/platter/inquiry.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/directory.h"
#include "tests/unit/mutate.h"
#include "tests/unit/unit.h"

#define INDEX 3
#define NOBODY 65534u

/* --- Askers of our choice */

int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *length);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *length);

static uid_t asking;

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	int result = __real_getsockopt(fd, level, name, value, length);

	if (name == SO_PEERCRED)
		((struct ucred *)value)->uid = asking;
	return result;
}

/* --- A supervisor that knows "status", "hold" and "no" */

static struct inquiry inquiry;
static unsigned answered;

static json_t *answer(void *argument, struct asker *asker, const char *question, struct problem *problem)
{
	assert_ptr_equal(argument, &answered);
	answered++;
	asker->holds = strcmp(question, "hold") == 0;
	if (strcmp(question, "no") != 0)
		return json_pack("{s:s}", "you asked", question);
	problem_set(problem, STATUS_BUSY, "not now");
	return NULL;
}

/* All that there is to be done. */
static void turn(void)
{
	struct pollfd slots[INQUIRY_MOST + 1];

	do {
		inquiry_prepare(&inquiry, slots);
		assert_true(poll(slots, INQUIRY_MOST + 1, 0) >= 0);
		inquiry_handle(&inquiry, slots);
		inquiry_prepare(&inquiry, slots);
	} while (poll(slots, INQUIRY_MOST + 1, 0) > 0);
}

static int ask_as(uid_t uid)
{
	int fd;

	asking = uid;
	fd = inquiry_open(INDEX);
	assert_true(fd >= 0);
	turn();
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	turn();
}

/* What has come; "": nothing; NULL: it was hung up on. */
static const char *heard(int fd)
{
	static char text[4096];
	ssize_t length = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	if (length == 0)
		return NULL;
	text[length < 0 ? 0 : length] = '\0';
	return text;
}

static int setup(void **state)
{
	struct problem problem;

	directory_setup(state);
	/* Which STATE_DIRECTORY is here. */
	assert_int_equal(chdir(directory_name()), 0);
	inquiry = (struct inquiry){ .answer = answer, .argument = &answered };
	answered = 0;
	assert_int_equal(inquiry_listen(&inquiry, INDEX, &problem), 0);
	return 0;
}

static int teardown(void **state)
{
	inquiry_close(&inquiry, INDEX);
	/* Once more does nothing. */
	inquiry_close(&inquiry, INDEX);
	assert_int_equal(access("nbd3.sock", F_OK), -1);
	assert_int_equal(chdir("/"), 0);
	return directory_teardown(state);
}

/* --- */

static void test_an_answer(void **state)
{
	int fd = ask_as(NOBODY);

	(void)state;
	say(fd, "{\"ask\": \"sta");
	assert_string_equal(heard(fd), "");
	say(fd, "tus\"}\n");
	assert_string_equal(heard(fd), "{\"you asked\":\"status\"}\n");
	/* The next question. */
	say(fd, "{\"ask\": \"status\"}\n");
	assert_string_equal(heard(fd), "{\"you asked\":\"status\"}\n");
	close(fd);
	assert_int_equal(answered, 2);
}

static void test_who_may(void **state)
{
	int nobody = ask_as(NOBODY), root = ask_as(0), own = ask_as(geteuid());

	(void)state;
	say(nobody, "{\"ask\": \"hold\"}\n");
	assert_says(heard(nobody), "{\"problem\":\"only root may\",\"status\":4}");
	assert_int_equal(answered, 0);
	assert_false(inquiry_is_held(&inquiry));
	say(root, "{\"ask\": \"no\"}\n");
	assert_says(heard(root), "{\"problem\":\"not now\",\"status\":5}");
	say(own, "{\"ask\": \"hold\"}\n");
	assert_says(heard(own), "hold");
	assert_true(inquiry_is_held(&inquiry));
	/* As long as it stays. */
	close(own);
	turn();
	assert_false(inquiry_is_held(&inquiry));
	close(nobody);
	close(root);
}

static void test_one_supervisor(void **state)
{
	struct inquiry second = { 0 };
	struct problem problem;

	(void)state;
	assert_int_equal(inquiry_listen(&second, INDEX, &problem), -1);
	assert_int_equal(problem.status, STATUS_OTHER);
	assert_says(problem.text, "nbd3 has a supervisor, which is alive");
	turn();
	/* One that is gone leaves its socket behind. */
	close(inquiry.listener);
	assert_int_equal(inquiry_open(INDEX), -1);
	assert_int_equal(inquiry_listen(&inquiry, INDEX, &problem), 0);
}

/* The next one has its place before it has gone, and keeps that. */
static void test_one_that_ends(void **state)
{
	struct inquiry first = inquiry;
	struct problem problem;

	(void)state;
	inquiry_refuse(&first);
	assert_int_equal(inquiry_open(INDEX), -1);
	assert_int_equal(inquiry_listen(&inquiry, INDEX, &problem), 0);
	inquiry_close(&first, INDEX);
	close(ask_as(0));
}

static void test_what_is_no_question(void **state)
{
	static const char *const texts[] = { "\n", "hello\n", "{}\n", "[]\n", "{\"ask\": 1}\n", "{\"ask\": null}\n", "\"status\"\n", "{\"ask\"\n" };
	char line[INQUIRY_LINE + 1];
	int fd = ask_as(0);

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		say(fd, texts[i]);
		assert_says(heard(fd), "{\"problem\":\"not a question: ");
	}
	/* What isn't text can't be repeated. */
	say(fd, "\xff\xfe\n");
	assert_null(heard(fd));
	close(fd);
	/* A line that doesn't end. */
	fd = ask_as(0);
	memset(line, ' ', sizeof(line));
	line[INQUIRY_LINE - 2] = '\0';
	say(fd, line);
	assert_string_equal(heard(fd), "");
	say(fd, " ");
	assert_null(heard(fd));
	close(fd);
	assert_int_equal(answered, 0);
}

static void test_more_than_there_is_room_for(void **state)
{
	int askers[INQUIRY_MOST], another, root;

	(void)state;
	for (unsigned i = 0; i < INQUIRY_MOST; i++)
		askers[i] = ask_as(NOBODY);
	another = ask_as(NOBODY);
	assert_null(heard(another));
	/* Who may change something isn't kept out by those who may not. */
	root = ask_as(0);
	assert_null(heard(askers[0]));
	say(root, "{\"ask\": \"hold\"}\n");
	assert_says(heard(root), "hold");
	say(askers[1], "{\"ask\": \"status\"}\n");
	assert_says(heard(askers[1]), "status");
	for (unsigned i = 0; i < INQUIRY_MOST; i++)
		close(askers[i]);
	close(another);
	close(root);
}

static void test_spoilt_questions(void **state)
{
	uint64_t random = mutate_seed();
	int fd = ask_as(NOBODY);

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		char *text = mutate("{\"ask\": \"status\"}\n{\"ask\": \"hold\"}\n", &random);
		const char *said;

		(void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
		turn();
		free(text);
		said = heard(fd);
		if (said)
			continue;
		close(fd);
		fd = ask_as(NOBODY);
	}
	assert_false(inquiry_is_held(&inquiry));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_an_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_may, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_supervisor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_that_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_no_question, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_than_there_is_room_for, setup, teardown),
		cmocka_unit_test_setup_teardown(test_spoilt_questions, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
