/* SPDX-License-Identifier: BSD-2-Clause */
/* The kept state of devices: what is written is read again, whatever is in it; what doesn't fit the kernel's isn't found. */
#include "client/platter/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/platter/device.h"
#include "tests/unit/directory.h"
#include "tests/unit/mutate.h"
#include "tests/unit/unit.h"

#define UUID "0f3c9a51-7d2e-4b60-9c1f-5e8d7a6b4c3d"

static struct problem problem;

/* --- A directory instead of STATE_DIRECTORY, and a kernel with devices */

/* With offsets of 64 bits fopen() is this one. */
FILE *__real_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
bool __wrap_device_backend(unsigned index, char *backend);
void __wrap_device_each(bool (*each)(unsigned index, void *argument), void *argument);

static const char *here(const char *path)
{
	size_t length = strlen(STATE_DIRECTORY "/");

	return strncmp(path, STATE_DIRECTORY "/", length) == 0 ? directory_path(path + length) : path;
}

FILE *__wrap_fopen64(const char *path, const char *mode)
{
	return __real_fopen64(here(path), mode);
}

int __wrap_rename(const char *from, const char *to)
{
	return __real_rename(here(from), here(to));
}

int __wrap_unlink(const char *path)
{
	return __real_unlink(here(path));
}

#define DEVICES 4
static const char *backends[DEVICES];

bool __wrap_device_backend(unsigned index, char *backend)
{
	if (index >= DEVICES || !backends[index])
		return false;
	strcpy(backend, backends[index]);
	return true;
}

/* In no order. */
void __wrap_device_each(bool (*each)(unsigned index, void *argument), void *argument)
{
	for (unsigned i = DEVICES; i > 0; i--)
		if (!each(i - 1, argument))
			return;
}

static int setup(void **state)
{
	memset(backends, 0, sizeof(backends));
	return directory_setup(state);
}

/* --- */

static void set(struct state *state, const char *key, const char *value)
{
	if (settings_set(&state->settings, key, value, &problem) < 0)
		fail_msg("%s", problem.text);
}

static void make(struct state *state, unsigned index, const char *uri, const char *name)
{
	*state = (struct state){ .index = index, .links = 2, .size = UINT64_C(1) << 40, .flags = 0x1ff, .minimum = 512, .maximum = 1 << 25,
				 .identity = UUID };
	settings_init(&state->settings);
	set(state, "uri", uri);
	set(state, "name", name);
	if (settings_complete(&state->settings, &problem) < 0)
		fail_msg("%s", problem.text);
	state->backend = uri_canonical(&state->settings.uri);
}

static void write_one(const struct state *state)
{
	if (state_write(state, &problem) < 0)
		fail_msg("%s", problem.text);
}

static void test_what_was_written_is_found(void **unused)
{
	struct state written, found;

	(void)unused;
	make(&written, 3, "nbds://u@h:1/x?tls-psk-file=/keys", "vm1");
	set(&written, "device", "nbd3");
	set(&written, "read-only", NULL);
	set(&written, "connections", "2");
	set(&written, "timeout", "7");
	set(&written, "dead-timeout", "infinity");
	write_one(&written);
	backends[3] = written.backend;
	for (unsigned i = 0; i < 3; i++) {
		static const char *const names[] = { "vm1", "nbd3", "/dev/nbd3" };

		assert_int_equal(state_find(&found, names[i], &problem), 0);
		assert_int_equal(found.index, 3);
		assert_int_equal(found.links, 2);
		assert_true(found.size == UINT64_C(1) << 40);
		assert_int_equal(found.flags, 0x1ff);
		assert_int_equal(found.minimum, 512);
		assert_int_equal(found.maximum, 1 << 25);
		assert_string_equal(found.identity, UUID);
		assert_string_equal(found.backend, "nbds://h:1/x");
		assert_string_equal(found.settings.uri.psk, "/keys");
		assert_int_equal(found.settings.device, 3);
		assert_true(found.settings.read_only);
		assert_int_equal(found.settings.timeout, 7);
		assert_true(found.settings.dead_timeout == SETTINGS_FOR_EVER);
		state_free(&found);
	}
	state_free(&written);
}

/* For shells each is between quotes, and so is what udev takes as it is. */
static void test_quotes(void **unused)
{
	static const char psk[] = "/keys/\"of\" $HOME `id` \\ \\\\ 'x'=y # \xc3\xa9";
	struct state written, found;
	char *path, *line = NULL;
	size_t room = 0;
	FILE *file;

	(void)unused;
	make(&written, 0, "nbds://h/%22%0APLATTER_SIZE%3D%221%24x", "vm1");
	set(&written, "tls-psk", psk);
	assert_string_equal(written.settings.uri.export, "\"\nPLATTER_SIZE=\"1$x");
	write_one(&written);
	backends[0] = written.backend;
	assert_int_equal(state_find(&found, "vm1", &problem), 0);
	assert_string_equal(found.settings.psk, psk);
	assert_true(found.size == UINT64_C(1) << 40);
	assert_string_equal(found.settings.uri.export, written.settings.uri.export);
	state_free(&found);
	state_free(&written);

	/* The shell agrees. */
	assert_true(asprintf(&path, ". %s; printf '%%s\\n' \"$PLATTER_TLS_PSK\" \"$PLATTER_PATH\"", directory_path("nbd0")) > 0);
	file = popen(path, "r");
	assert_non_null(file);
	assert_true(getline(&line, &room, file) > 0);
	line[strcspn(line, "\n")] = '\0';
	assert_string_equal(line, psk);
	assert_true(getline(&line, &room, file) > 0);
	assert_string_equal(line, "nbd-h:10809-\\x22\\x0aPLATTER_SIZE=\\x221\\x24x\n");
	assert_int_equal(pclose(file), 0);
	free(path);
	free(line);
}

static void assert_not_found(const char *name, const char *says)
{
	struct state found;

	assert_int_equal(state_find(&found, name, &problem), -1);
	assert_int_equal(problem.status, STATUS_NOT_ATTACHED);
	assert_says(problem.text, says);
	/* Nothing of it has to be freed, but may be. */
	state_free(&found);
}

static void test_what_is_not_attached_is_not_found(void **unused)
{
	struct state written, *list;

	(void)unused;
	assert_not_found("vm1", "vm1: nothing of that name is attached");
	assert_not_found("nbd2", "nbd2 isn't attached by platter");
	make(&written, 2, "nbd://h/x", "vm1");
	write_one(&written);
	/* It has ended; somebody else has it. */
	assert_not_found("nbd2", "nbd2 isn't attached by platter");
	backends[2] = "nbd://other/x";
	assert_not_found("nbd2", "nbd2 isn't attached by platter");
	assert_not_found("vm1", "vm1: nothing");
	assert_int_equal(state_list(&list), 0);
	free(list);
	backends[2] = written.backend;
	assert_int_equal(state_list(&list), 1);
	state_free(&list[0]);
	free(list);
	state_remove(2);
	assert_not_found("nbd2", "nbd2 isn't attached by platter");
	state_free(&written);
}

static void test_the_list_is_in_order(void **unused)
{
	struct state written[3], found, *list;

	(void)unused;
	make(&written[0], 0, "nbd://h/a", "a");
	make(&written[1], 1, "nbd://h/b", "b");
	make(&written[2], 3, "nbd://h/c", "c");
	for (unsigned i = 0; i < 3; i++) {
		write_one(&written[i]);
		backends[written[i].index] = written[i].backend;
	}
	assert_int_equal(state_list(&list), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_string_equal(list[i].settings.name, written[i].settings.name);
		state_free(&list[i]);
	}
	free(list);
	assert_int_equal(state_find(&found, "b", &problem), 0);
	assert_int_equal(found.index, 1);
	state_free(&found);
	for (unsigned i = 0; i < 3; i++)
		state_free(&written[i]);
}

/* More connections than a supervisor has room for. */
static void test_numbers_that_cannot_be(void **unused)
{
	struct state written;

	(void)unused;
	make(&written, 0, "nbd://h/x", "vm1");
	backends[0] = written.backend;
	for (unsigned i = 0; i < 2; i++) {
		written.links = i ? SETTINGS_MOST_CONNECTIONS + 1 : 0;
		write_one(&written);
		assert_not_found("nbd0", "isn't attached by platter");
	}
	state_free(&written);
}

static void test_spoilt_files(void **unused)
{
	static const char good[] = "PLATTER_URI=\"nbd://h/x\"\nPLATTER_NAME=\"vm1\"\nPLATTER_DEVICE=\"nbd1\"\nPLATTER_READ_ONLY=\"yes\"\n"
				   "PLATTER_TIMEOUT=\"30\"\nPLATTER_DEAD_TIMEOUT=\"infinity\"\nPLATTER_LINKS=\"1\"\nPLATTER_SIZE=\"512\"\n"
				   "PLATTER_IDENTITY=\"" UUID "\"\nPLATTER_BACKEND=\"nbd://h/x\"\nANOTHERS=\"x\"\nPLATTER_NEW=\"x\"\n";
	uint64_t random = mutate_seed();
	struct state found;

	(void)unused;
	backends[1] = "nbd://h/x";
	directory_write_text("nbd1", good);
	assert_int_equal(state_find(&found, "vm1", &problem), 0);
	state_free(&found);
	for (unsigned i = 0; i < 3000; i++) {
		char *text = mutate(good, &random);

		directory_write_text("nbd1", text);
		if (state_find(&found, "nbd1", &problem) == 0) {
			assert_string_equal(found.backend, backends[1]);
			assert_in_range(found.links, 1, SETTINGS_MOST_CONNECTIONS);
			state_free(&found);
		}
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_was_written_is_found, setup, directory_teardown),
		cmocka_unit_test_setup_teardown(test_quotes, setup, directory_teardown),
		cmocka_unit_test_setup_teardown(test_what_is_not_attached_is_not_found, setup, directory_teardown),
		cmocka_unit_test_setup_teardown(test_the_list_is_in_order, setup, directory_teardown),
		cmocka_unit_test_setup_teardown(test_numbers_that_cannot_be, setup, directory_teardown),
		cmocka_unit_test_setup_teardown(test_spoilt_files, setup, directory_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
