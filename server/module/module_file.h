/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A module's file, read and never run: the parts of an ELF file that ld.so goes
 * by, found the way it finds them (segments and the dynamic table, not section
 * headers), and the sections that modules are described in.
 *
 * The file is copied into memory once, so that nothing changes beneath the
 * reader, and each offset, size and string in it is checked before it is used:
 * it may be damaged or hostile.  libelf does the layouts of 32 and 64 bits and
 * of both byte orders.
 *
 * Any thread; an object is used by one at a time.
 */
#ifndef MODULE_MODULE_FILE_H
#define MODULE_MODULE_FILE_H

#include <gelf.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/block/error.h"

/* A larger file is refused: it is read into memory as a whole. */
#define MODULE_FILE_MOST ((size_t)64 << 20)

struct module_file {
	const char *path;         /* the caller's, for messages */
	char *image;              /* the file's bytes */
	size_t size;
	Elf *elf;
	GElf_Ehdr header;
	size_t segment_count;
	bool native;              /* of this program's class, byte order and machine */
	Elf_Data *dynamic;        /* NULL: it isn't linked, as a .o file */
	int dynamic_count;        /* entries before the DT_NULL */
	const char *strings;      /* of dynamic table and symbols; NULL: none */
	size_t strings_size;
	/* Of a native file. */
	Elf_Data *symbols;        /* the dynamic ones; NULL: none */
	int symbol_count;         /* with the empty one at 0 */
	Elf_Data *versions;       /* an index for each of these; NULL: none */
};

/*
 * Reads the file open as FD, from its start, wherever FD stands.  PATH, for
 * messages, stays the caller's and outlives FILE; so may FD, which isn't kept.
 * FILE needs no preparation, and module_file_close() in any case.  0, or
 * -ENOEXEC: not an ELF file, or damaged; -EINVAL: not a regular file; -EFBIG;
 * -ENOMEM; what read(2) fails with.  ERROR says which.
 */
int module_file_open(struct module_file *file, int fd, const char *path, struct platter_error *error);

/* Frees what FILE has; it may be all zero, NULL or closed before. */
void module_file_close(struct module_file *file);

/* The ELF header of the running program, as the linker made it: what a native file has in common with it. */
const ElfW(Ehdr) *module_file_our_header(void);

/* A section's bytes, in FILE's image. */
struct module_section {
	const char *bytes;
	size_t size;
};

/*
 * Finds the section NAME.  0; -ENOENT, which leaves ERROR alone: there is none;
 * -ENOEXEC: it lies outside the file, is compressed, without bytes in the file or there twice.
 */
int module_file_section(const struct module_file *file, const char *name, struct module_section *section,
			struct platter_error *error);

/* Segment INDEX, below segment_count.  All PT_LOADs lie within the file and ascend. */
GElf_Phdr module_file_segment(const struct module_file *file, size_t index);

/* Entry INDEX, below dynamic_count, of the dynamic table. */
GElf_Dyn module_file_dynamic(const struct module_file *file, int index);

/* Whether the dynamic table has TAG, and its VALUE: the last one's, which ld.so takes. */
bool module_file_tag(const struct module_file *file, int64_t tag, uint64_t *value);

/* The bytes of the file that are loaded to ADDRESS, and how many follow; NULL when there are none. */
const char *module_file_at(const struct module_file *file, uint64_t address, uint64_t *available);

/* The string at OFFSET of the dynamic string table; NULL when it doesn't lie and end there. */
const char *module_file_string(const struct module_file *file, uint64_t offset);

/* A dynamic symbol. */
struct module_file_symbol {
	const char *name;       /* in FILE's image; not empty */
	GElf_Sym elf;
	bool defined;
	unsigned version;       /* index of its version: 0 and 1 are none */
};

/* Symbol INDEX, from 1 to below symbol_count.  False: it has no name, as sections' have not. */
bool module_file_symbol(const struct module_file *file, int index, struct module_file_symbol *symbol);

#endif
