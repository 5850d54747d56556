/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/directory.h"
#include "tests/unit/module_fixture.h"
#include "tests/unit/unit.h"

static void test_a_module_says_what_it_is(void **state)
{
	struct fixture fixture;
	struct module_info *info = &fixture.info;

	(void)state;
	fixture_open(&fixture, fixture_module("libc.so", "int puts(const char *); int use(void) { return puts(\"\"); }", ""));
	assert_string_equal(fixture.error.text, "");
	module_file_close(&fixture.file); /* nothing points into it */
	assert_string_equal(info->name, "module_example");
	assert_string_equal(info->version, "1.0");
	assert_string_equal(info->license, "Dual BSD/GPL");
	assert_string_equal(info->author, "the tests");
	assert_string_equal(info->description, "an example");
	assert_int_equal(info->aliases.count, 1);
	assert_string_equal(info->aliases.names[0], "driver:example");
	assert_int_equal(info->softdeps.count, 2);
	assert_string_equal(info->softdeps.names[0], "stack");
	assert_string_equal(info->softdeps.names[1], "other");
	assert_int_equal(info->needed.count, 1);
	assert_memory_equal(info->needed.names[0], "libc.so", 7);
	assert_int_equal(info->abi.size, sizeof(struct platter_abi));
	assert_int_equal(info->abi.version, PLATTER_ABI);
	assert_int_equal(info->abi.param, sizeof(struct platter_param));
	fixture_close(&fixture);
}

/* The linker and the compiler decide on the order. */
static const struct module_info_param *find_param(const struct module_info *info, const char *name)
{
	for (size_t i = 0; i < info->param_count; i++)
		if (strcmp(info->params[i].name, name) == 0)
			return &info->params[i];
	fail_msg("no parameter %s", name);
	return NULL;
}

static void test_a_module_says_what_it_takes_and_offers(void **state)
{
	const struct module_info_param *param;
	struct fixture fixture;
	struct module_info *info = &fixture.info;

	(void)state;
	fixture_open(&fixture, directory_path("module_example.so"));
	assert_int_equal(info->param_count, 3);
	param = find_param(info, "count");
	assert_string_equal(param->type, "int");
	assert_int_equal(param->permissions, 0644);
	assert_string_equal(param->description, "how many");
	param = find_param(info, "sizes");
	assert_string_equal(param->type, "ulong[]");
	assert_int_equal(param->permissions, 0);
	assert_string_equal(find_param(info, "name")->type, "charp");
	assert_int_equal(info->import_count, 1);
	assert_string_equal(info->imports[0].name, "their_function");
	assert_string_equal(info->imports[0].version, "1");
	assert_int_equal(info->export_count, 1);
	assert_string_equal(info->exports[0].name, "our_function");
	assert_string_equal(info->exports[0].version, "2");
	assert_true(info->exports[0].gpl_only);
	fixture_close(&fixture);
}

static void test_a_smaller_abi_has_zeroes(void **state)
{
	struct module_section section;
	struct fixture fixture;
	const uint32_t size = 12;
	size_t whole;
	unsigned char *bytes = fixture_bytes(directory_path("module_example.so"), &whole);

	(void)state;
	fixture_open(&fixture, directory_path("module_example.so"));
	assert_int_equal(module_file_section(&fixture.file, ".platter.abi", &section, &fixture.error), 0);
	memcpy(bytes + (section.bytes - fixture.file.image), &size, sizeof(size));
	fixture_close(&fixture);
	fixture_open(&fixture, directory_write("smaller.so", bytes, whole));
	assert_int_equal(fixture.result, 0);
	assert_int_equal(fixture.info.abi.size, size);
	assert_int_equal(fixture.info.abi.version, PLATTER_ABI);
	assert_true(fixture.info.abi.request > 0);
	assert_int_equal(fixture.info.abi.geometry, 0);
	assert_int_equal(fixture.info.abi.param, 0);
	fixture_close(&fixture);
	free(bytes);
}

/* What parsing the SIZE bytes of TEXT results in. */
static int parse(struct module_info *info, const char *text, size_t size, struct platter_error *error)
{
	/* Of exactly that size, for the address sanitizer. */
	char *copy = malloc(size ? size : 1);
	int result;

	assert_non_null(copy);
	memcpy(copy, text, size);
	*info = (struct module_info){ 0 };
	*error = (struct platter_error){ "" };
	result = module_info_parse(info, "test.so", copy, size, error);
	free(copy);
	return result;
}

static void test_malformed_text_is_refused(void **state)
{
	static const struct {
		const char *text;
		const char *reason;
	} texts[] = {
		{ "name", "'name' in .platter.info: not KEY=VALUE" },
		{ "=x", "not KEY=VALUE" },
		{ "name=\xff", "not UTF-8" },
		{ "author=\xc0\x80", "not UTF-8" },
		{ "description=a\033[2J", "control characters" },
		{ "description=a\xc2\x9b", "control characters" },
		{ "name=a\0name=b", "'name=b' in .platter.info: the key is there twice" },
		{ "license=a\0license=a", "twice" },
		{ "alias=", "an alias is one word" },
		{ "alias=a b", "an alias is one word" },
		{ "softdep=a ../b", "not names of modules" },
		{ "parm=count:int:0644", "not NAME:TYPE:PERMISSIONS:DESCRIPTION" },
		{ "parm=count::0644:x", "not NAME:TYPE:PERMISSIONS:DESCRIPTION" },
		{ "parm=:int:0644:x", "not NAME:TYPE:PERMISSIONS:DESCRIPTION" },
		{ "parm=2count:int:0644:x", "not NAME:TYPE:PERMISSIONS:DESCRIPTION" },
		{ "parm=count:int:S_IRUGO:x", "the permissions are no number" },
		{ "parm=count:int::x", "the permissions are no number" },
		{ "parm=count:int:-1:x", "the permissions are no number" },
		{ "parm=count:int:01000:x", "the permissions let others do more" },
		{ "parm=count:int:0666:x", "the permissions let others do more" },
		{ "parm=count:int:0604:x", "the permissions let others do more" },
		{ "parm=count:int:0464:x", "the permissions let others do more" },
		{ "parm=count:int:0004:x", "the permissions let others do more" },
		{ "parm=count:int:0755:x", "the permissions let others do more" },
		{ "parm=count:int:644:x", "the permissions let others do more" },
		{ "parm=a:int:0:x\0parm=a:uint:0:y", "the parameter is there twice" },
		{ "import=f", "not SYMBOL@VERSION" },
		{ "import=f@", "not SYMBOL@VERSION" },
		{ "import=@1", "not SYMBOL@VERSION" },
		{ "export=f-g@1", "not SYMBOL@VERSION" },
		{ "export=f@1\0export_gpl=f@1", "the symbol is exported twice" },
	};
	struct platter_error error;
	struct module_info info;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		size_t size = strlen(texts[i].text) + 1;

		/* Those with two texts. */
		if (strstr(texts[i].reason, "twice"))
			size += strlen(texts[i].text + size) + 1;
		assert_int_equal(parse(&info, texts[i].text, size, &error), -ENOEXEC);
		assert_says(error.text, texts[i].reason);
		module_info_free(&info);
	}
	assert_int_equal(parse(&info, "name=x", 6, &error), -ENOEXEC);
	assert_non_null(strstr(error.text, "has no end"));
	module_info_free(&info);
}

static void test_what_is_well_formed_is_taken(void **state)
{
	static const char text[] = "\0\0name=x\0\0\0future=1\0parm=a:int:292:b: c=d\0import=f@1\0import=f@1\0import=f@2\0"
				   "description=\xc3\xa4 = b\0softdep=  a  b-c \0softdep=\0export=g@v1";
	struct platter_error error;
	struct module_info info;

	(void)state;
	assert_int_equal(parse(&info, text, sizeof(text), &error), 0);
	assert_string_equal(info.params[0].description, "b: c=d");
	assert_int_equal(info.params[0].permissions, 0444);
	assert_int_equal(info.import_count, 2); /* of two files, and of two versions: the binder refuses one of these */
	assert_string_equal(info.description, "\xc3\xa4 = b");
	assert_int_equal(info.softdeps.count, 2);
	assert_false(info.exports[0].gpl_only);
	module_info_free(&info);
	assert_int_equal(parse(&info, "", 0, &error), 0);
	module_info_free(&info);
}

static void test_too_much_is_refused(void **state)
{
	const size_t size = MODULE_INFO_TEXT + 1;
	char *text = calloc(1, size);
	struct platter_error error;
	struct module_info info;
	size_t used = 0;

	(void)state;
	assert_non_null(text);
	assert_int_equal(parse(&info, text, size, &error), -ENOEXEC);
	assert_int_equal(parse(&info, text, size - 1, &error), 0);
	memset(text, 'a', MODULE_INFO_LINE);
	text[4] = '=';
	assert_int_equal(parse(&info, text, MODULE_INFO_LINE + 1, &error), -ENOEXEC);
	assert_non_null(strstr(error.text, "too long"));
	text[MODULE_INFO_LINE - 1] = '\0';
	assert_int_equal(parse(&info, text, MODULE_INFO_LINE, &error), 0);
	for (unsigned i = 0; i <= MODULE_INFO_ENTRIES; i++)
		used += (size_t)sprintf(text + used, "import=f%u@1", i) + 1;
	assert_int_equal(parse(&info, text, used, &error), -ENOEXEC);
	assert_non_null(strstr(error.text, "too many symbols"));
	module_info_free(&info);
	free(text);
}

static void test_what_is_missing_is_named(void **state)
{
	(void)state;
	fixture_refused(fixture_compile("nameless.so", "#include <platter/module.h>\nPLATTER_ALIAS(\"x\");", "-shared"),
			".platter.info has no name; write PLATTER_MODULE");
	fixture_refused(fixture_compile("path.so", "#include <platter/module.h>\nPLATTER_MODULE(\"../x\", \"\", \"\", \"\", \"\");",
					"-shared"), "'../x' is no module's name");
	fixture_refused(fixture_compile("half.so", "#include <platter/module.h>\n#define I(t) PLATTER_INFO_(t)\n"
					"I(\"name=x\"); I(\"version=1\"); I(\"license=MIT\"); I(\"author=a\"); I(\"description=d\");",
					"-shared"), "no section .platter.abi");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_module_says_what_it_is),
		cmocka_unit_test(test_a_module_says_what_it_takes_and_offers),
		cmocka_unit_test(test_a_smaller_abi_has_zeroes),
		cmocka_unit_test(test_malformed_text_is_refused),
		cmocka_unit_test(test_what_is_well_formed_is_taken),
		cmocka_unit_test(test_too_much_is_refused),
		cmocka_unit_test(test_what_is_missing_is_named),
	};

	return cmocka_run_group_tests(tests, fixture_setup, directory_teardown);
}
