/* SPDX-License-Identifier: BSD-2-Clause */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/module/module_symbols.h"
#include "tests/unit/directory.h"
#include "tests/unit/module_fixture.h"
#include "tests/unit/unit.h"

#define MUTATIONS 4000

/* Expects the good module with SIZE bytes at OFFSET replaced to be refused for TEXT. */
static void patched_refused(size_t offset, const void *patch, size_t size, const char *text)
{
	size_t whole;
	unsigned char *bytes = fixture_bytes(directory_path("module_example.so"), &whole);

	assert_true(offset + size <= whole);
	memcpy(bytes + offset, patch, size);
	fixture_refused(directory_write("patched.so", bytes, whole), text);
	free(bytes);
}

static void open_good(struct fixture *fixture)
{
	fixture_open(fixture, directory_path("module_example.so"));
	assert_string_equal(fixture->error.text, "");
	assert_int_equal(fixture->result, 0);
}

static void test_a_good_module_is_accepted(void **state)
{
	struct fixture fixture;

	(void)state;
	open_good(&fixture);
	fixture_close(&fixture);
	module_file_close(NULL);
	module_info_free(NULL);
}

static void test_older_hash_tables_serve_as_well(void **state)
{
	struct fixture fixture;

	(void)state;
	fixture_open(&fixture, fixture_module("sysv.so", "", "-Wl,--hash-style=sysv"));
	assert_string_equal(fixture.error.text, "");
	fixture_close(&fixture);
}

static void test_other_machines_are_refused(void **state)
{
	const uint16_t machine = EM_AVR;
	const unsigned char class = sizeof(void *) == 8 ? ELFCLASS32 : ELFCLASS64;
	const unsigned char order = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2MSB : ELFDATA2LSB;

	(void)state;
	patched_refused(offsetof(ElfW(Ehdr), e_machine), &machine, sizeof(machine), "built for another machine (machine 83, ");
	/* The rest of the file is nonsense then. */
	patched_refused(EI_CLASS, &class, 1, "");
	patched_refused(EI_DATA, &order, 1, "");
}

static void test_what_is_no_shared_object_is_refused(void **state)
{
	size_t size;
	unsigned char *bytes = fixture_bytes(directory_path("module_example.so"), &size);
	const uint16_t type = ET_EXEC;

	(void)state;
	fixture_refused(directory_write("empty.so", "", 0), "is empty");
	fixture_refused(directory_write("text.so", "#!/bin/sh\n", 10), "not an ELF file");
	fixture_refused(directory_write("archive.so", "!<arch>\n", 8), "not an ELF file");
	fixture_refused(directory_write("half.so", bytes, size / 2), "damaged");
	fixture_refused(directory_path("."), "not a regular file");
	fixture_refused(fixture_compile("library.so", "int f(void) { return 1; }", "-shared"), "no section .platter.info");
	fixture_refused(fixture_module("object.so", "", "-c"), "not a shared object");
	fixture_refused(fixture_compile("program.so", "#include \"" FIXTURE_ROOT "/tests/meta/module_example.c\"\n"
					"int main(void) { return 0; }", "-pie"), "a program, not a module");
	patched_refused(offsetof(ElfW(Ehdr), e_type), &type, sizeof(type), "a program, not a module");
	free(bytes);
}

static void test_another_abi_is_refused(void **state)
{
	uint32_t abi[sizeof(struct platter_abi) / 4] = { sizeof(struct platter_abi), PLATTER_ABI };
	struct module_section section;
	struct fixture fixture;
	char text[128];
	size_t offset;

	(void)state;
	open_good(&fixture);
	assert_int_equal(module_file_section(&fixture.file, ".platter.abi", &section, &fixture.error), 0);
	offset = (size_t)(section.bytes - fixture.file.image);
	fixture_close(&fixture);
	abi[1] = PLATTER_ABI + 1;
	snprintf(text, sizeof(text), "built for ABI version %d, this platterd has %d", PLATTER_ABI + 1, PLATTER_ABI);
	patched_refused(offset, abi, sizeof(abi), text);
	abi[1] = PLATTER_ABI;
	abi[offsetof(struct platter_abi, disk_ops) / 4] = 9600;
	abi[offsetof(struct platter_abi, timer) / 4] = 4096;
	snprintf(text, sizeof(text), "(struct platter_disk_ops: 9600 bytes, this platterd knows %zu; struct platter_timer: 4096 bytes",
		 sizeof(struct platter_disk_ops));
	patched_refused(offset, abi, sizeof(abi), text);
	abi[0] = sizeof(abi) + 4;
	patched_refused(offset, abi, sizeof(abi), ".platter.abi says that it has");
}

static void test_platter_module_must_be_shown(void **state)
{
	struct fixture fixture;
	ElfW(Sym) symbol;
	size_t offset = 0, content = 0;
	uint32_t size;
	char flags[256];

	(void)state;
	snprintf(flags, sizeof(flags), "-Wl,--version-script=%s",
		 directory_write("script", "{ global: our_function; local: *; };", 36));
	fixture_refused(fixture_module("hidden.so", "", flags), "doesn't show the object platter_module");

	open_good(&fixture);
	for (int i = 1; i < fixture.file.symbol_count; i++) {
		struct module_file_symbol found;

		if (module_file_symbol(&fixture.file, i, &found) && strcmp(found.name, "platter_module") == 0) {
			const char *bytes = (const char *)fixture.file.symbols->d_buf + (size_t)i * sizeof(symbol);
			uint64_t available;

			memcpy(&symbol, bytes, sizeof(symbol));
			offset = (size_t)(bytes - fixture.file.image);
			content = (size_t)(module_file_at(&fixture.file, found.elf.st_value, &available) - fixture.file.image);
		}
	}
	fixture_close(&fixture);
	assert_true(offset > 0);
	size = sizeof(struct platter_module) + 8;
	patched_refused(content, &size, sizeof(size), "built against a later Platter (struct platter_module: ");
	size -= 16;
	patched_refused(content, &size, sizeof(size), " are needed; build it against this platterd's headers");
	symbol.st_size -= 8;
	patched_refused(offset, &symbol, sizeof(symbol), " are needed; build it against this platterd's headers");
	symbol.st_value = (ElfW(Addr))1 << 30;
	patched_refused(offset, &symbol, sizeof(symbol), "platter_module is not in it");
}

static void test_what_harms_the_process_is_refused(void **state)
{
	static const struct {
		const char *more;
		const char *flags;
		const char *text;
	} modules[] = {
		{ "", "-Wl,-z,nodelete", "DF_1_NODELETE" },
		{ "", "-Wl,-z,execstack", "wants an executable stack" },
		{ "__thread int local; int use(void) { return local; }", "-ftls-model=initial-exec", "DF_STATIC_TLS" },
		{ "__asm__(\".pushsection .text.more, \\\"ax\\\"\\n.dc.a platter_module\\n.popsection\\n\");", "-Wl,-z,notext",
		  "has text relocations" },
		{ "__asm__(\".pushsection .both, \\\"awx\\\"\\n.long 1\\n.popsection\\n\");", "",
		  "writable and executable" },
		{ "__asm__(\".data\\n.globl one, two\\n.type one, %gnu_unique_object\\n.type two, %gnu_unique_object\\n\""
		  "\"one: .long 1\\n.size one, 4\\ntwo: .long 2\\n.size two, 4\\n.text\\n\");", "", "(STB_GNU_UNIQUE): " },
		{ "int platter_fd_io_2; void platter_log(enum platter_log_level level, const char *format, ...) "
		  "{ platter_fd_io_2 = 1; }", "", "defines names of the host's:" },
		{ "void platter_log(enum platter_log_level level, const char *format, ...) { }", "", "host's: platter_log;" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++)
		fixture_refused(fixture_module("harmful.so", modules[i].more, modules[i].flags), modules[i].text);
	/* All are named; the linker decides on the order. */
	fixture_module("two.so", "int platter_one; void platter_two(void) { }", "");
	fixture_refused(directory_path("two.so"), "platter_one");
	fixture_refused(directory_path("two.so"), "platter_two");
}

static void test_a_missing_stack_header_means_an_executable_stack(void **state)
{
	const uint32_t none = PT_NULL;
	struct fixture fixture;
	size_t offset = 0;

	(void)state;
	open_good(&fixture);
	for (size_t i = 0; i < fixture.file.segment_count; i++)
		if (module_file_segment(&fixture.file, i).p_type == PT_GNU_STACK)
			offset = fixture.file.header.e_phoff + i * sizeof(ElfW(Phdr));
	fixture_close(&fixture);
	assert_true(offset > 0);
	patched_refused(offset, &none, sizeof(none), "wants an executable stack");
}

/* --- Hostile files */

static uint32_t random_below(uint64_t *seed, uint32_t limit)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((*seed >> 33) % limit);
}

static bool host_has(void *context, const char *name)
{
	(*(unsigned *)context)++;
	return strcmp(name, "platter_log") == 0;
}

/* One to eight bytes of BYTES become others, or words that are at the limits. */
static void mutate(unsigned char *bytes, size_t size, uint64_t *seed)
{
	static const uint64_t limits[] = { 0, 1, UINT64_MAX, INT64_MAX, UINT32_MAX, INT32_MAX, UINT64_C(1) << 63, 0x10000, 0xff00 };

	for (uint32_t count = 1 + random_below(seed, 8); count > 0; count--) {
		size_t offset = random_below(seed, (uint32_t)size - 8);

		/* Half of the changes hit the headers, where they count most: at the start and, of sections, at the end. */
		if (random_below(seed, 4) == 0)
			offset = random_below(seed, 1024);
		else if (random_below(seed, 3) == 0)
			offset = size - 8 - random_below(seed, 2048);
		if (random_below(seed, 2))
			bytes[offset] = (unsigned char)random_below(seed, 256);
		else
			memcpy(bytes + (offset & ~(size_t)7), &limits[random_below(seed, sizeof(limits) / sizeof(limits[0]))],
			       random_below(seed, 2) ? 8 : 4);
	}
}

static void test_mutated_files_do_no_harm(void **state)
{
	uint64_t seed = 3;
	size_t size, length, accepted = 0;
	/* With versions of symbols, which the example doesn't need. */
	const char *path = fixture_module("versions.so", "int puts(const char *); int use(void) { return puts(\"\"); }", "");
	unsigned char *good = fixture_bytes(path, &size), *bytes = malloc(size);
	unsigned asked = 0;

	(void)state;
	assert_non_null(bytes);
	for (unsigned i = 0; i < MUTATIONS; i++) {
		struct platter_error error = { "" };
		struct module_names unknown = { 0 };
		struct fixture fixture;
		int fd = memfd_create("mutated", MFD_CLOEXEC);

		memcpy(bytes, good, size);
		mutate(bytes, size, &seed);
		length = random_below(&seed, 8) ? size : random_below(&seed, (uint32_t)size);
		assert_int_equal(pwrite(fd, bytes, length, 0), length);
		fixture_take(&fixture, fd);
		if (fixture.result == 0 &&
		    module_symbols_check(&fixture.file, &fixture.info, i % 2, host_has, &asked, &unknown, &error) == 0)
			accepted++;
		module_names_free(&unknown);
		fixture_close(&fixture);
	}
	/* Most changes hit code or padding; if hardly any file passed, or nearly all did, they would test nothing. */
	assert_in_range(accepted, MUTATIONS / 50, MUTATIONS * 4 / 5);
	free(bytes);
	free(good);
}

static void test_every_truncation_is_refused(void **state)
{
	size_t size, step;
	unsigned char *good = fixture_bytes(directory_path("module_example.so"), &size);

	(void)state;
	step = size / 500 + 1;
	for (size_t length = 0; length < size; length += length < 256 ? 1 : step) {
		struct fixture fixture;
		int fd = memfd_create("truncated", MFD_CLOEXEC);

		assert_int_equal(pwrite(fd, good, length, 0), length);
		fixture_take(&fixture, fd);
		assert_true(fixture.result < 0);
		fixture_close(&fixture);
	}
	free(good);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_good_module_is_accepted),
		cmocka_unit_test(test_older_hash_tables_serve_as_well),
		cmocka_unit_test(test_other_machines_are_refused),
		cmocka_unit_test(test_what_is_no_shared_object_is_refused),
		cmocka_unit_test(test_another_abi_is_refused),
		cmocka_unit_test(test_platter_module_must_be_shown),
		cmocka_unit_test(test_what_harms_the_process_is_refused),
		cmocka_unit_test(test_a_missing_stack_header_means_an_executable_stack),
		cmocka_unit_test(test_mutated_files_do_no_harm),
		cmocka_unit_test(test_every_truncation_is_refused),
	};

	return cmocka_run_group_tests(tests, fixture_setup, directory_teardown);
}
