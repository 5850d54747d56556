/* SPDX-License-Identifier: BSD-2-Clause */
/* What the command line says of exports and addresses. */
#include <errno.h>
#include <string.h>

#include "server/block/args.h"
#include "server/block/error.h"
#include "server/net/address.h"
#include "server/block/driver.h"
#include "server/spec.h"
#include "tests/unit/unit.h"

static struct spec parsed(const char *text)
{
	struct platter_error error = { "" };
	struct spec spec;

	if (spec_parse(&spec, text, &error) < 0)
		fail_msg("%s: %s", text, error.text);
	return spec;
}

/* One text: driver, name, and the value of one of its keys. */
static void check(const char *text, const char *driver, const char *name, const char *key, const char *value)
{
	struct spec spec = parsed(text);

	assert_string_equal(spec.driver->name, driver);
	if (name)
		assert_string_equal(spec.name, name);
	else
		assert_null(spec.name);
	assert_string_equal(platter_args_string(args_driver_side(spec.args), key, "(none)"), value);
	spec_free(&spec);
}

static void test_names_drivers_and_paths(void **state)
{
	(void)state;
	check("ram:1G", "ram", NULL, "size", "1G");
	check("ram:size=1G", "ram", NULL, "size", "1G");
	check("ram,size=1G", "ram", NULL, "size", "1G");
	check("vm1=ram:1G", "ram", "vm1", "size", "1G");
	check("/srv/disk.img", "file", NULL, "path", "/srv/disk.img");
	check("./disk.img", "file", NULL, "path", "./disk.img");
	check("vm1=/srv/disk.img,direct=on", "file", "vm1", "path", "/srv/disk.img");
	check("file:/srv/a:b.img", "file", NULL, "path", "/srv/a:b.img");
	check("file:path=/srv/a=b:c.img", "file", NULL, "path", "/srv/a=b:c.img");
	check("/srv/a=b:c.img", "file", NULL, "path", "/srv/a=b:c.img");
	check("./a:b=c.img", "file", NULL, "path", "./a:b=c.img");
	check("a/b/c=ram:1M", "ram", "a/b/c", "size", "1M");
	check("null", "null", NULL, "size", "(none)");
}

static void test_a_backslash_takes_the_meaning(void **state)
{
	(void)state;
	check("/srv/a\\,b\\=c\\:d.img", "file", NULL, "path", "/srv/a,b=c:d.img");
	check("a\\=b=ram:1M", "ram", "a=b", "size", "1M");
	check("file:/srv/a\\=b", "file", NULL, "path", "/srv/a=b");
	check("file:path=/srv/a\\\\b", "file", NULL, "path", "/srv/a\\b");
}

static void test_keys(void **state)
{
	struct spec spec = parsed("x=/srv/a,direct,readonly,description=my disk,share=off,uuid=01234567-89AB-cdef-0123-456789abcdef");
	const struct platter_args *args = args_driver_side(spec.args);

	(void)state;
	assert_true(spec.read_only);
	assert_string_equal(spec.description, "my disk");
	assert_string_equal(spec.uuid, "01234567-89ab-cdef-0123-456789abcdef");
	assert_true(platter_args_bool(args, "direct", false));
	assert_false(platter_args_bool(args, "share", true));
	spec_free(&spec);
	spec = parsed("ram:4K,huge=off");
	assert_int_equal(platter_args_size(args_driver_side(spec.args), "size", 0), 4096);
	assert_int_equal(platter_args_size(args_driver_side(spec.args), "nothing", 7), 7);
	spec_free(&spec);
}

static void test_what_is_wrong_is_named(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ "foo:1G", "\"foo\"" },
		{ "disk.img", "\"disk.img\"" },
		{ "=ram:1G", "name" },
		{ "\xff=ram:1G", "UTF-8" },
		{ "ram:1X", "1X" },
		{ "ram:1G,size=2G", "twice" },
		{ "ram:1G,colour=red", "colour" },
		{ "ram:1G,huge=maybe", "maybe" },
		{ "ram:1G,readonly=maybe", "maybe" },
		{ "ram,size", "missing" },
		{ "null:1G,delay=-1", "-1" },
		{ "null:1G,delay=1s", "1s" },
		{ "", "unknown driver" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct platter_error error = { "" };
		struct spec spec;

		assert_int_not_equal(spec_parse(&spec, cases[i].text, &error), 0);
		assert_says(error.text, cases[i].expected);
	}
}

static void address(const char *text, const char *host, const char *port)
{
	struct platter_error error = { "" };
	struct address result;

	if (address_parse(&result, text, &error) < 0)
		fail_msg("%s: %s", text, error.text);
	assert_string_equal(result.host, host);
	assert_string_equal(result.port, port);
}

static void test_addresses(void **state)
{
	struct platter_error error;
	struct address result;

	(void)state;
	address("tcp:localhost", "localhost", "10809");
	address("tcp:127.0.0.1:0", "127.0.0.1", "0");
	address("tcp:[::]:10809", "::", "10809");
	address("tcp:[::1]", "::1", "10809");
	address("tcp:*:65535", "*", "65535");
	address("unix:/run/p.sock", "/run/p.sock", "");
	address("unix:/run/p\\,q.sock,mode=660", "/run/p,q.sock", "");
	assert_int_equal(address_parse(&result, "unix:/p,mode=0660", &error), 0);
	assert_int_equal(result.mode, 0660);
	assert_int_equal(address_parse(&result, "unix:/p", &error), 0);
	assert_int_equal(result.mode, 0600);
}

static void test_wrong_addresses_are_refused(void **state)
{
	static const char *const texts[] = { "",	   "/run/p.sock",  "tcp:",	  "tcp::1",	 "tcp:host:",
					     "tcp:host:x", "tcp:h:65536",  "tcp:h:-1",	  "tcp:::1:10",	 "tcp:[::1",
					     "tcp:[::1]x", "unix:",	   "unix:,mode=1", "unix:/p,mode=8", "unix:/p,mode=1777",
					     "unix:/p,q.sock", "unix:/p,mod=660", "unix:/p,mode=-1", "unix:/p," };
	struct platter_error error;
	struct address result;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (address_parse(&result, texts[i], &error) == 0)
			fail_msg("%s was taken", texts[i]);
}

static int start(void **state)
{
	(void)state;
	return driver_init();
}

static int end(void **state)
{
	(void)state;
	driver_exit();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_drivers_and_paths),
		cmocka_unit_test(test_a_backslash_takes_the_meaning),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_what_is_wrong_is_named),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_wrong_addresses_are_refused),
	};

	return cmocka_run_group_tests(tests, start, end);
}
