/* SPDX-License-Identifier: BSD-2-Clause */
/* What is attached by a name: files of attach.d, and nbdtab behind them. */
#include "client/platter/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/directory.h"
#include "tests/unit/unit.h"

static struct settings settings;
static struct problem problem;

static int setup(void **state)
{
	if (directory_setup(state) < 0 || mkdir(directory_path("attach.d"), 0700) < 0)
		return -1;
	setenv("PLATTER_ATTACH_D", directory_path("attach.d"), 1);
	setenv("PLATTER_NBDTAB", directory_path("nbdtab"), 1);
	settings_init(&settings);
	return 0;
}

static int teardown(void **state)
{
	settings_free(&settings);
	return directory_teardown(state);
}

static void file(const char *name, const char *text)
{
	char path[64];

	snprintf(path, sizeof(path), "attach.d/%s", name);
	directory_write_text(path, text);
}

static void nbdtab(const char *text)
{
	directory_write_text("nbdtab", text);
}

static void load(const char *name)
{
	settings_free(&settings);
	if (config_load(&settings, name, &problem) < 0)
		fail_msg("%s: %s", name, problem.text);
}

static void refused(const char *name, const char *says)
{
	settings_free(&settings);
	if (config_load(&settings, name, &problem) == 0)
		fail_msg("%s was found", name);
	assert_int_equal(problem.status, STATUS_USAGE);
	assert_says(problem.text, says);
}

static void wrong(const char *text, const char *says)
{
	file("t.conf", text);
	refused("t", says);
	assert_says(problem.text, "attach.d/t.conf:");
}

static void test_names(void **state)
{
	(void)state;
	assert_true(config_is_name("vm1"));
	assert_true(config_is_name("nbd0"));
	assert_true(config_is_name("/dev/nbd0"));
	assert_false(config_is_name("nbd://h/vm1"));
	assert_false(config_is_name("h:1/vm1"));
	assert_false(config_is_name("/etc/passwd"));
}

static void test_a_file(void **state)
{
	(void)state;
	file("t.conf", "# a comment\n; another\n\n[attach]\nuri = nbds://h/x?tls-hostname=y ; the server\r\n  timeout=7\n\tread-only = yes\ntls-psk: /keys");
	load("t");
	assert_string_equal(settings.name, "t");
	assert_string_equal(settings.uri_text, "nbds://h/x?tls-hostname=y");
	assert_int_equal(settings.timeout, 7);
	assert_true(settings.read_only);
	assert_string_equal(settings.psk, "/keys");
	/* It can be completed, as after the command line. */
	assert_int_equal(settings_complete(&settings, &problem), 0);
}

static void test_what_is_wrong_in_a_file(void **state)
{
	char line[10000] = "uri = nbd://h/";

	(void)state;
	wrong("", "a URI is missing");
	wrong("uri = nbd://h/x\ntimout = 5\n", "t.conf:2: timout=5: no such key");
	wrong("uri = nbd://h/x\n\ntimeout = soon\nnonsense = 1\n", "t.conf:3: timeout=soon: not a number of seconds");
	wrong("nonsense\nuri = nbd://h/x\ntimeout = soon\n", "t.conf:1: neither KEY = VALUE nor [attach]");
	wrong("uri = nbd://h/x\ntimeout = 5\ntimeout = 6\n", "t.conf:3: timeout=6: it stands there twice");
	wrong("auto = yes\nauto = no\n", "t.conf:2: auto=no: it stands there twice");
	wrong("[daemon]\nuri = nbd://h/x\n", "t.conf:2: daemon: not a section");
	wrong("name = x\n", "t.conf:1: name=x: the file's name is it");
	wrong("auto = maybe\n", "t.conf:1: auto=maybe: neither yes nor no");
	wrong("timeout =\n", "t.conf:1: timeout: a value is missing");
	wrong("read-only =\n", "t.conf:1: read-only=: neither yes nor no");
	wrong("uri = http://h/x\n", "not one of nbd://");
	wrong("uri = nbd://h/x\ntls-hostname = y\n", "without TLS");
	memset(line + strlen(line), 'x', sizeof(line) - strlen(line) - 1);
	wrong(line, "t.conf:1: the line is too long");
}

static void test_nbdtab(void **state)
{
	(void)state;
	nbdtab("# first\nnbd4 server data timeout=9\nnbd5 server data2 _name=two\nthree server x\n");
	load("data");
	assert_int_equal(settings.device, 4);
	assert_int_equal(settings.timeout, 9);
	load("nbd4");
	assert_string_equal(settings.name, "data");
	load("/dev/nbd5");
	assert_string_equal(settings.name, "two");
	load("three");
	assert_int_equal(settings.device, -1);
	refused("data2", "data2: not a URI, and there is neither");
	refused("nbd6", "nbdtab");
}

static void test_a_file_comes_before_nbdtab(void **state)
{
	(void)state;
	nbdtab("nbd0 server t timeout=9\nnbd1 server u timeout=8\n");
	file("t.conf", "uri = nbd://h/x\n");
	load("t");
	assert_int_equal(settings.device, -1);
	load("u");
	/* What starts a service does so by the name, which is the file's. */
	refused("nbd0", "nbdtab:1: t is another one's name; give it its own (in nbdtab _name=NAME)");
}

static void test_two_of_a_name(void **state)
{
	(void)state;
	nbdtab("nbd0 one data\nnbd1 two data\nnbd0 three other\n");
	load("data");
	assert_string_equal(settings.uri_text, "nbd://one/data");
	load("nbd0");
	assert_string_equal(settings.uri_text, "nbd://one/data");
	refused("nbd1", "nbdtab:2: data is another one's name");
	refused("other", "nbdtab:3: nbd0 is the device of data, too");
}

static void test_a_wrong_line_keeps_no_other(void **state)
{
	(void)state;
	nbdtab("nbd0 one\nnbd1 two data\n");
	load("data");
	/* It could be this one. */
	refused("nbd0", "nbdtab:1: nbd0: device, host and export are needed");
}

static void test_all(void **state)
{
	struct config *list;
	int count;

	(void)state;
	file("b.conf", "uri = nbd://h/x\nauto = no\n");
	file("a.conf", "uri = nbd://h/x\nauto = yes\n");
	file("c.conf.bak", "nonsense\n");
	file(".d.conf", "nonsense\n");
	file("nbd0.conf", "uri = nbd://h/x\n");
	nbdtab("nbd0 s d bs=512,noauto\n\nnonsense\n");
	count = config_list(&list, &problem);
	assert_int_equal(count, 5);
	assert_string_equal(list[0].settings.name, "a");
	assert_false(list[0].manual);
	assert_string_equal(list[1].settings.name, "b");
	assert_true(list[1].manual);
	assert_says(list[2].problem.text, "nbd0: a name has up to");
	assert_int_equal(list[3].problem.status, STATUS_OK);
	assert_true(list[3].manual);
	assert_int_equal(list[3].line, 1);
	assert_says(list[3].notice, "bs=512: ignored");
	assert_says(list[4].problem.text, "nbdtab:3: nonsense: device, host and export are needed");
	config_list_free(list, count);
}

static void test_none(void **state)
{
	struct config *list;

	(void)state;
	assert_int_equal(rmdir(directory_path("attach.d")), 0);
	assert_int_equal(config_list(&list, &problem), 0);
	config_list_free(list, 0);
	refused("t", "t: not a URI, and there is neither");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test_setup_teardown(test_a_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_wrong_in_a_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nbdtab, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_file_comes_before_nbdtab, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_of_a_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_wrong_line_keeps_no_other, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_none, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
