/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fuzz target without a fuzzer: gives it the files named on the command
 * line, or the whole corpus, one after the other, and says which one it is at.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

#define MOST_INPUT (1u << 20)

/* Of exactly the input's size, so that the sanitizer sees who reads behind it. */
static void replay(const char *path)
{
	static uint8_t bytes[MOST_INPUT];
	FILE *file = fopen(path, "rb");
	uint8_t *input;
	size_t size;

	if (!file) {
		perror(path);
		exit(EXIT_FAILURE);
	}
	size = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	input = malloc(size + !size);
	if (!input)
		exit(EXIT_FAILURE);
	memcpy(input, bytes, size);
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(input, size);
	free(input);
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int replay_folder(const char *folder)
{
	struct dirent **entries;
	int count = scandir(folder, &entries, is_visible, alphasort);

	if (count <= 0) {
		fprintf(stderr, "%s: there is no corpus\n", folder);
		exit(EXIT_FAILURE);
	}
	for (int i = 0; i < count; i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
		replay(path);
		free(entries[i]);
	}
	free(entries);
	return count;
}

int main(int argc, char **argv)
{
	int count = argc - 1;

	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	if (!count)
		count = replay_folder(FUZZ_CORPUS);
	printf("%d passed\n", count);
	return 0;
}
