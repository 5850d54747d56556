/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/module_check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <platter/driver.h>
#include <platter/module.h>

#include "server/module/module_names.h"

/* Room in a reason for a list of names, beside path and explanation. */
#define LIST_SIZE 256

#define HOST_PREFIX "platter_"

struct subject {
	const struct module_file *file;
	const struct module_info *info;
	struct platter_error *error;
};

/* --- What it is */

static const char *machine_name(char *out, size_t size, unsigned machine, unsigned bits, unsigned order)
{
	static const struct {
		unsigned machine;
		const char *name;
	} names[] = { { EM_X86_64, "x86-64" }, { EM_386, "x86" },	{ EM_AARCH64, "arm64" },   { EM_ARM, "arm" },
		      { EM_RISCV, "RISC-V" },  { EM_PPC64, "PowerPC" }, { EM_S390, "IBM Z" },	   { EM_MIPS, "MIPS" },
		      { EM_PPC, "PowerPC" },   { EM_SPARCV9, "SPARC" }, { EM_LOONGARCH, "LoongArch" } };
	char number[32];
	const char *name = number;

	snprintf(number, sizeof(number), "machine %u", machine);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].machine == machine)
			name = names[i].name;
	snprintf(out, size, "%s, %s bit, %s endian", name, bits == ELFCLASS64 ? "64" : "32",
		 order == ELFDATA2LSB ? "little" : "big");
	return out;
}

static int check_machine(const struct subject *subject)
{
	const GElf_Ehdr *header = &subject->file->header;
	const ElfW(Ehdr) *our = module_file_our_header();
	char its[64], ours[64];

	if (subject->file->native)
		return 0;
	return platter_fail(subject->error, ENOEXEC, "%s: built for another machine (%s; this platterd: %s)", subject->file->path,
			    machine_name(its, sizeof(its), header->e_machine, header->e_ident[EI_CLASS], header->e_ident[EI_DATA]),
			    machine_name(ours, sizeof(ours), our->e_machine, our->e_ident[EI_CLASS], our->e_ident[EI_DATA]));
}

static bool has_segment(const struct module_file *file, uint32_t type)
{
	for (size_t i = 0; i < file->segment_count; i++)
		if (module_file_segment(file, i).p_type == type)
			return true;
	return false;
}

static int check_type(const struct subject *subject)
{
	const struct module_file *file = subject->file;
	uint64_t flags = 0;

	module_file_tag(file, DT_FLAGS_1, &flags);
	if (file->header.e_type == ET_EXEC || has_segment(file, PT_INTERP) || (flags & DF_1_PIE))
		return platter_fail(subject->error, ENOEXEC, "%s: a program, not a module; link it with -shared", file->path);
	if (file->header.e_type != ET_DYN || !file->dynamic || !file->symbols)
		return platter_fail(subject->error, ENOEXEC, "%s: not a shared object; link it with -shared", file->path);
	return 0;
}

/* --- What it was built against */

static int check_abi(const struct subject *subject)
{
	uint32_t version = subject->info->abi.version;

	if (version == PLATTER_ABI)
		return 0;
	return platter_fail(subject->error, ENOEXEC, "%s: built for ABI version %" PRIu32 ", this platterd has %d; build it anew",
			    subject->file->path, version, PLATTER_ABI);
}

static int check_sizes(const struct subject *subject)
{
	const struct platter_abi *abi = &subject->info->abi;
	const struct {
		const char *name;
		uint32_t its;
		size_t ours;
	} sizes[] = {
		{ "platter_request", abi->request, sizeof(struct platter_request) },
		{ "platter_geometry", abi->geometry, sizeof(struct platter_geometry) },
		{ "platter_disk_ops", abi->disk_ops, sizeof(struct platter_disk_ops) },
		{ "platter_driver", abi->driver, sizeof(struct platter_driver) },
		{ "platter_fd_io", abi->fd_io, sizeof(struct platter_fd_io) },
		{ "platter_timer", abi->timer, sizeof(struct platter_timer) },
		{ "platter_param", abi->param, sizeof(struct platter_param) },
		{ "platter_lower_io", abi->lower_io, sizeof(struct platter_lower_io) },
	};
	char list[LIST_SIZE];
	size_t used = 0;

	_Static_assert(sizeof(*abi) / sizeof(uint32_t) == sizeof(sizes) / sizeof(sizes[0]) + 2, "each size is compared");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		if (sizes[i].its > sizes[i].ours && used < sizeof(list))
			used += (size_t)snprintf(list + used, sizeof(list) - used,
						 "%sstruct %s: %" PRIu32 " bytes, this platterd knows %zu", used ? "; " : "",
						 sizes[i].name, sizes[i].its, sizes[i].ours);
	if (used == 0)
		return 0;
	return platter_fail(subject->error, ENOEXEC, "%s: built against a later Platter (%s); build it against this one's headers",
			    subject->file->path, list);
}

/* --- The symbols that it shows */

static bool find_symbol(const struct module_file *file, const char *name, struct module_file_symbol *symbol)
{
	for (int i = 1; i < file->symbol_count; i++)
		if (module_file_symbol(file, i, symbol) && symbol->defined && strcmp(symbol->name, name) == 0)
			return true;
	return false;
}

static int check_module_symbol(const struct subject *subject)
{
	const struct module_file *file = subject->file;
	struct module_file_symbol symbol;
	uint64_t available;
	const char *bytes;
	uint32_t size;

	if (!find_symbol(file, "platter_module", &symbol) || GELF_ST_BIND(symbol.elf.st_info) != STB_GLOBAL ||
	    GELF_ST_TYPE(symbol.elf.st_info) != STT_OBJECT || GELF_ST_VISIBILITY(symbol.elf.st_other) != STV_DEFAULT)
		return platter_fail(subject->error, ENOEXEC,
				    "%s: doesn't show the object platter_module; write PLATTER_MODULE(...) in one of its files, and "
				    "let the linker export it", file->path);
	bytes = module_file_at(file, symbol.elf.st_value, &available);
	if (!bytes || available < sizeof(struct platter_module) || symbol.elf.st_shndx == SHN_ABS ||
	    symbol.elf.st_value % _Alignof(struct platter_module))
		return platter_fail(subject->error, ENOEXEC, "%s: the file is damaged: platter_module is not in it; build or copy it anew",
				    file->path);
	/* Its first field; the symbol's size may have the address sanitizer's padding in it. */
	memcpy(&size, bytes, sizeof(size));
	if (size > sizeof(struct platter_module))
		return platter_fail(subject->error, ENOEXEC,
				    "%s: built against a later Platter (struct platter_module: %" PRIu32 " bytes, this platterd knows "
				    "%zu); build it against this one's headers", file->path, size, sizeof(struct platter_module));
	if (size < sizeof(struct platter_module) || symbol.elf.st_size < size)
		return platter_fail(subject->error, ENOEXEC, "%s: struct platter_module has %" PRIu32 " bytes, %zu are needed; build it "
				    "against this platterd's headers", file->path, size, sizeof(struct platter_module));
	return 0;
}

/* Fails with the names of all defined symbols that are WRONG: "PATH: WHAT a, b; ADVICE". */
static int check_names(const struct subject *subject, bool (*wrong)(const struct module_file_symbol *symbol), const char *what,
		       const char *advice)
{
	struct module_names names = { 0 };
	struct module_file_symbol symbol;
	char list[LIST_SIZE];
	int result = 0;

	for (int i = 1; i < subject->file->symbol_count && result == 0; i++)
		if (module_file_symbol(subject->file, i, &symbol) && symbol.defined && wrong(&symbol))
			result = module_names_add(&names, symbol.name, strlen(symbol.name));
	if (result < 0)
		platter_fail(subject->error, ENOMEM, "%s: no memory", subject->file->path);
	else if (names.count > 0)
		result = platter_fail(subject->error, ENOEXEC, "%s: %s %s; %s", subject->file->path, what,
				      module_names_join(list, sizeof(list), &names, ""), advice);
	module_names_free(&names);
	return result;
}

static bool is_host_name(const struct module_file_symbol *symbol)
{
	return strncmp(symbol->name, HOST_PREFIX, strlen(HOST_PREFIX)) == 0 && strcmp(symbol->name, "platter_module") != 0;
}

static int check_host_names(const struct subject *subject)
{
	return check_names(subject, is_host_name, "defines names of the host's:",
			   "names that begin with " HOST_PREFIX " are platterd's: rename them, or make them static");
}

/* --- What it does to the process's memory */

static int check_text_relocations(const struct subject *subject)
{
	uint64_t value, flags = 0;

	module_file_tag(subject->file, DT_FLAGS, &flags);
	if (!module_file_tag(subject->file, DT_TEXTREL, &value) && !(flags & DF_TEXTREL))
		return 0;
	return platter_fail(subject->error, ENOEXEC, "%s: has text relocations; compile all of it with -fPIC",
			    subject->file->path);
}

/*
 * ld.so takes a missing PT_GNU_STACK for a wish for an executable stack on all
 * machines but 64-bit PowerPC, whose linkers leave it out.
 */
static int check_stack(const struct subject *subject)
{
	const struct module_file *file = subject->file;
	bool executable = file->header.e_machine != EM_PPC64 && !has_segment(file, PT_GNU_STACK);

	for (size_t i = 0; i < file->segment_count; i++) {
		GElf_Phdr segment = module_file_segment(file, i);

		if (segment.p_type == PT_GNU_STACK && (segment.p_flags & PF_X))
			executable = true;
	}
	if (!executable)
		return 0;
	return platter_fail(subject->error, ENOEXEC,
			    "%s: wants an executable stack; link it with -Wl,-z,noexecstack and do without nested functions", file->path);
}

static int check_segments(const struct subject *subject)
{
	for (size_t i = 0; i < subject->file->segment_count; i++) {
		GElf_Phdr segment = module_file_segment(subject->file, i);

		if (segment.p_type == PT_LOAD && (segment.p_flags & PF_W) && (segment.p_flags & PF_X))
			return platter_fail(subject->error, ENOEXEC,
					    "%s: has memory that is writable and executable (at 0x%jx); look for sections with both "
					    "flags, or for -Wl,-N", subject->file->path, (uintmax_t)segment.p_vaddr);
	}
	return 0;
}

/* --- Whether it goes when dlclose() says so */

static int check_flags(const struct subject *subject)
{
	uint64_t flags = 0, flags_1 = 0;

	module_file_tag(subject->file, DT_FLAGS, &flags);
	module_file_tag(subject->file, DT_FLAGS_1, &flags_1);
	if (flags_1 & DF_1_NODELETE)
		return platter_fail(subject->error, ENOEXEC, "%s: can't be unloaded (DF_1_NODELETE); link it without -Wl,-z,nodelete",
				    subject->file->path);
	if (flags & DF_STATIC_TLS)
		return platter_fail(subject->error, ENOEXEC,
				    "%s: can't be unloaded (DF_STATIC_TLS); compile it without -ftls-model=initial-exec",
				    subject->file->path);
	return 0;
}

static bool is_unique(const struct module_file_symbol *symbol)
{
	return GELF_ST_BIND(symbol->elf.st_info) == STB_GNU_UNIQUE;
}

static int check_unique(const struct subject *subject)
{
	return check_names(subject, is_unique, "can't be unloaded, for it has unique symbols (STB_GNU_UNIQUE):",
			   "compile it with -fno-gnu-unique");
}

int module_check(const struct module_file *file, const struct module_info *info, struct platter_error *error)
{
	static int (*const checks[])(const struct subject *subject) = {
		check_machine, check_type, check_abi, check_sizes, check_module_symbol, check_host_names,
		check_text_relocations, check_stack, check_segments, check_flags, check_unique,
	};
	const struct subject subject = { file, info, error };
	int result = 0;

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]) && result == 0; i++)
		result = checks[i](&subject);
	return result;
}
