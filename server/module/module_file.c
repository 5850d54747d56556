/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/module/module_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <platter/driver.h>

#include "common/checked.h"

static int fail_damaged(const struct module_file *file, const char *what, struct platter_error *error)
{
	return platter_fail(error, ENOEXEC, "%s: the file is damaged: %s; build or copy it anew", file->path, what);
}

/* --- Reading */

static int read_image(struct module_file *file, int fd, struct platter_error *error)
{
	struct stat status;
	size_t done = 0;

	if (fstat(fd, &status) < 0)
		return platter_fail(error, errno, "%s: %s", file->path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return platter_fail(error, EINVAL, "%s: not a regular file", file->path);
	if ((uint64_t)status.st_size > MODULE_FILE_MOST)
		return platter_fail(error, EFBIG, "%s: %jd bytes; a module has at most %zu", file->path,
				    (intmax_t)status.st_size, MODULE_FILE_MOST);
	if (status.st_size == 0)
		return platter_fail(error, ENOEXEC, "%s: the file is empty", file->path);
	file->size = (size_t)status.st_size;
	file->image = malloc(file->size);
	if (!file->image)
		return platter_fail(error, ENOMEM, "%s: no memory to read it", file->path);
	while (done < file->size) {
		ssize_t count = pread(fd, file->image + done, file->size - done, (off_t)done);

		if (count < 0 && errno != EINTR)
			return platter_fail(error, errno, "%s: %s", file->path, strerror(errno));
		if (count == 0)
			return platter_fail(error, ENOEXEC, "%s: became shorter while it was read; try again", file->path);
		done += count > 0 ? (size_t)count : 0;
	}
	return 0;
}

const ElfW(Ehdr) *module_file_our_header(void)
{
	/* The linker's. */
	extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

	return &__ehdr_start;
}

static int read_header(struct module_file *file, struct platter_error *error)
{
	const ElfW(Ehdr) *ours = module_file_our_header();

	elf_version(EV_CURRENT);
	file->elf = elf_memory(file->image, file->size);
	if (!file->elf || elf_kind(file->elf) != ELF_K_ELF || !gelf_getehdr(file->elf, &file->header))
		return platter_fail(error, ENOEXEC, "%s: not an ELF file", file->path);
	file->native = file->header.e_ident[EI_CLASS] == ours->e_ident[EI_CLASS] &&
		       file->header.e_ident[EI_DATA] == ours->e_ident[EI_DATA] && file->header.e_machine == ours->e_machine;
	return 0;
}

/* --- Segments and the dynamic table */

GElf_Phdr module_file_segment(const struct module_file *file, size_t index)
{
	GElf_Phdr segment = { 0 };

	if (!gelf_getphdr(file->elf, (int)index, &segment))
		segment.p_type = PT_NULL;
	return segment;
}

/* ld.so maps the segments as they stand here: what lies beyond the file's end would be a SIGBUS, not an error. */
static int read_segments(struct module_file *file, struct platter_error *error)
{
	uint64_t last = 0;

	if (elf_getphdrnum(file->elf, &file->segment_count) < 0)
		return fail_damaged(file, "its program headers lie outside of it", error);
	for (size_t i = 0; i < file->segment_count; i++) {
		GElf_Phdr segment = module_file_segment(file, i);

		if (segment.p_type != PT_LOAD)
			continue;
		if (!range_within(segment.p_offset, segment.p_filesz, file->size))
			return fail_damaged(file, "a segment lies beyond its end", error);
		if (segment.p_filesz > segment.p_memsz || !range_within(segment.p_vaddr, segment.p_memsz, INT64_MAX) ||
		    segment.p_vaddr < last)
			return fail_damaged(file, "a segment overlaps another, or has no valid size", error);
		last = segment.p_vaddr + segment.p_memsz;
	}
	return 0;
}

const char *module_file_at(const struct module_file *file, uint64_t address, uint64_t *available)
{
	for (size_t i = 0; i < file->segment_count; i++) {
		GElf_Phdr segment = module_file_segment(file, i);

		if (segment.p_type == PT_LOAD && address >= segment.p_vaddr && address - segment.p_vaddr < segment.p_filesz) {
			*available = segment.p_filesz - (address - segment.p_vaddr);
			return file->image + segment.p_offset + (address - segment.p_vaddr);
		}
	}
	return NULL;
}

/* SIZE bytes from ADDRESS as entries of TYPE; NULL when they aren't all in the file. */
static Elf_Data *data_at(const struct module_file *file, uint64_t address, uint64_t size, Elf_Type type)
{
	uint64_t available;
	const char *bytes = module_file_at(file, address, &available);

	if (!bytes || size == 0 || size > available)
		return NULL;
	return elf_getdata_rawchunk(file->elf, bytes - file->image, (size_t)size, type);
}

GElf_Dyn module_file_dynamic(const struct module_file *file, int index)
{
	GElf_Dyn entry = { .d_tag = DT_NULL };

	gelf_getdyn(file->dynamic, index, &entry);
	return entry;
}

bool module_file_tag(const struct module_file *file, int64_t tag, uint64_t *value)
{
	for (int i = file->dynamic_count - 1; i >= 0; i--) {
		GElf_Dyn entry = module_file_dynamic(file, i);

		if (entry.d_tag == tag) {
			*value = entry.d_un.d_val;
			return true;
		}
	}
	return false;
}

static int read_dynamic(struct module_file *file, struct platter_error *error)
{
	GElf_Phdr found = { 0 };
	GElf_Dyn entry;
	uint64_t address, size, available;

	for (size_t i = 0; i < file->segment_count; i++) {
		GElf_Phdr segment = module_file_segment(file, i);

		if (segment.p_type == PT_DYNAMIC) /* the last one is ld.so's, too */
			found = segment;
	}
	if (found.p_type != PT_DYNAMIC)
		return 0;
	file->dynamic = data_at(file, found.p_vaddr, found.p_filesz, ELF_T_DYN);
	if (!file->dynamic)
		return fail_damaged(file, "its dynamic table lies outside of it", error);
	do {
		if (!gelf_getdyn(file->dynamic, file->dynamic_count, &entry))
			return fail_damaged(file, "its dynamic table has no end", error);
		file->dynamic_count++;
	} while (entry.d_tag != DT_NULL);
	file->dynamic_count--;
	if (!module_file_tag(file, DT_STRTAB, &address) || !module_file_tag(file, DT_STRSZ, &size))
		return 0;
	file->strings = module_file_at(file, address, &available);
	if (!file->strings || size > available)
		return fail_damaged(file, "its dynamic strings lie outside of it", error);
	file->strings_size = (size_t)size;
	return 0;
}

const char *module_file_string(const struct module_file *file, uint64_t offset)
{
	if (!file->strings || offset >= file->strings_size ||
	    !memchr(file->strings + offset, '\0', file->strings_size - (size_t)offset))
		return NULL;
	return file->strings + offset;
}

/* --- Symbols */

/* The word INDEX of COUNT at WORDS, which may be aligned to nothing. */
static bool word_at(const char *words, uint64_t count, uint64_t index, uint32_t *word)
{
	if (index >= count)
		return false;
	memcpy(word, words + index * sizeof(*word), sizeof(*word));
	return true;
}

/*
 * How many symbols the GNU hash table at ADDRESS knows of: the last one is the
 * end of the chain that starts at the highest bucket.  0: the table is damaged.
 */
static uint64_t count_gnu_hash(const struct module_file *file, uint64_t address)
{
	uint64_t available = 0, highest = 0, start, count;
	const char *words = module_file_at(file, address, &available);
	uint32_t buckets, first, bloom, word;

	count = words ? available / sizeof(uint32_t) : 0;
	if (!word_at(words, count, 0, &buckets) || !word_at(words, count, 1, &first) || !word_at(words, count, 2, &bloom))
		return 0;
	start = 4 + (uint64_t)bloom * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
	for (uint32_t i = 0; i < buckets; i++) {
		if (!word_at(words, count, start + i, &word))
			return 0;
		if (word > highest)
			highest = word;
	}
	if (highest < first)
		return first;
	start += buckets;
	do {
		if (!word_at(words, count, start + highest - first, &word))
			return 0;
		highest++;
	} while (!(word & 1));
	return highest;
}

/* The number of dynamic symbols is nowhere but in the hash tables.  Of the older one the fourth field is it. */
static uint64_t count_symbols(const struct module_file *file)
{
	uint64_t address, available;
	const char *words;
	uint32_t count;

	if (module_file_tag(file, DT_GNU_HASH, &address))
		return count_gnu_hash(file, address);
	if (!module_file_tag(file, DT_HASH, &address))
		return 0;
	words = module_file_at(file, address, &available);
	return words && word_at(words, available / sizeof(count), 1, &count) ? count : 0;
}

/* Only of native files: the tables' layouts differ. */
static int read_symbols(struct module_file *file, struct platter_error *error)
{
	uint64_t address, count;

	if (!file->native || !module_file_tag(file, DT_SYMTAB, &address))
		return 0;
	count = count_symbols(file);
	if (count == 0 || count > file->size)
		return fail_damaged(file, "its table of symbols has no valid hash table", error);
	file->symbols = data_at(file, address, count * sizeof(ElfW(Sym)), ELF_T_SYM);
	if (!file->symbols)
		return fail_damaged(file, "its symbols lie outside of it", error);
	file->symbol_count = (int)count;
	for (int i = 0; i < file->symbol_count; i++) {
		GElf_Sym symbol;

		if (!gelf_getsym(file->symbols, i, &symbol) || (symbol.st_name && !module_file_string(file, symbol.st_name)))
			return fail_damaged(file, "a symbol's name lies outside of it", error);
	}
	if (!module_file_tag(file, DT_VERSYM, &address))
		return 0;
	file->versions = data_at(file, address, count * sizeof(GElf_Versym), ELF_T_HALF);
	return file->versions ? 0 : fail_damaged(file, "its symbols' versions lie outside of it", error);
}

bool module_file_symbol(const struct module_file *file, int index, struct module_file_symbol *symbol)
{
	GElf_Versym version = 0;

	if (!gelf_getsym(file->symbols, index, &symbol->elf))
		return false;
	symbol->name = module_file_string(file, symbol->elf.st_name);
	if (!symbol->name || !*symbol->name)
		return false;
	if (file->versions)
		gelf_getversym(file->versions, index, &version);
	symbol->version = version & 0x7fff; /* the highest bit: hidden */
	symbol->defined = symbol->elf.st_shndx != SHN_UNDEF;
	return true;
}

/* --- Sections */

int module_file_section(const struct module_file *file, const char *name, struct module_section *section,
			struct platter_error *error)
{
	Elf_Scn *scn = NULL;
	size_t names;
	bool found = false;

	if (elf_getshdrstrndx(file->elf, &names) < 0)
		return -ENOENT;
	while ((scn = elf_nextscn(file->elf, scn))) {
		GElf_Shdr header;
		const char *other = gelf_getshdr(scn, &header) ? elf_strptr(file->elf, names, header.sh_name) : NULL;

		if (!other || strcmp(other, name) != 0)
			continue;
		if (found || header.sh_type == SHT_NOBITS || (header.sh_flags & SHF_COMPRESSED) ||
		    !range_within(header.sh_offset, header.sh_size, file->size))
			return platter_fail(error, ENOEXEC,
					    "%s: the section %s is there twice, without bytes, compressed or outside of the file",
					    file->path, name);
		section->bytes = file->image + header.sh_offset;
		section->size = (size_t)header.sh_size;
		found = true;
	}
	return found ? 0 : -ENOENT;
}

/* --- The whole */

int module_file_open(struct module_file *file, int fd, const char *path, struct platter_error *error)
{
	int result;

	*file = (struct module_file){ .path = path };
	result = read_image(file, fd, error);
	if (result == 0)
		result = read_header(file, error);
	if (result == 0)
		result = read_segments(file, error);
	if (result == 0)
		result = read_dynamic(file, error);
	if (result == 0)
		result = read_symbols(file, error);
	return result;
}

void module_file_close(struct module_file *file)
{
	if (!file)
		return;
	elf_end(file->elf);
	free(file->image);
	*file = (struct module_file){ 0 };
}
