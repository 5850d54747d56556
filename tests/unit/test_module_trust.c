/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/module/module_trust.h"
#include "tests/unit/directory.h"
#include "tests/unit/module_fixture.h"
#include "tests/unit/unit.h"

static void distrusted(const char *path, int expected, const char *text)
{
	struct platter_error error = { "" };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	assert_true(fd >= 0);
	assert_int_equal(module_trust(fd, path, &error), expected);
	assert_says(error.text, text);
	close(fd);
}

static void test_only_trusted_files_are_loaded(void **state)
{
	const char *path = directory_write("file.so", "x", 1);
	struct platter_error error;
	int fd;

	(void)state;
	distrusted(path, 0, "");
	assert_int_equal(chmod(path, 0664), 0);
	distrusted(path, -EPERM, "(mode 0664); chmod go-w ");
	assert_int_equal(chmod(path, 0602), 0);
	distrusted(path, -EPERM, "others than its owner may write it (mode 0602)");
	assert_int_equal(chmod(path, 0600), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 12345, 0), 0);
		distrusted(path, -EPERM, "belongs to the user 12345");
		assert_int_equal(chown(path, 0, 0), 0);
	}
	assert_int_equal(truncate(path, (off_t)MODULE_FILE_MOST + 1), 0);
	distrusted(path, -EFBIG, "a module has at most 67108864");
	distrusted(directory_path("."), -EINVAL, "not a regular file");
	assert_int_equal(mkfifo(directory_path("fifo"), 0600), 0);
	distrusted(directory_path("fifo"), -EINVAL, "not a regular file");

	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(truncate(path, 1), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(module_trust(fd, path, &error), -EPERM);
	directory_write("file.so", "y", 1);
	assert_int_equal(module_trust(fd, path, &error), -EPERM);
	assert_non_null(strstr(error.text, "was removed or replaced"));
	close(fd);
}

static void test_directories_that_all_may_change_are_refused(void **state)
{
	const char *path;

	(void)state;
	assert_int_equal(mkdir(directory_path("open"), 0755), 0);
	assert_int_equal(mkdir(directory_path("open/below"), 0755), 0);
	path = directory_write("open/below/file.so", "x", 1);
	distrusted(path, 0, "");
	assert_int_equal(chmod(directory_path("open"), 0777), 0);
	distrusted(path, -EPERM, "/open: everybody may replace what is in this directory (mode 0777)");
	assert_int_equal(chmod(directory_path("open"), 01777), 0);
	distrusted(path, 0, "");
	assert_int_equal(chmod(directory_path("open"), 0775), 0); /* as /usr/local/lib may be */
	distrusted(path, 0, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_trusted_files_are_loaded),
		cmocka_unit_test(test_directories_that_all_may_change_are_refused),
	};

	return cmocka_run_group_tests(tests, fixture_setup, directory_teardown);
}
