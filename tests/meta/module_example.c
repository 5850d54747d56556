/* SPDX-License-Identifier: BSD-2-Clause */
/* Uses every macro of include/platter/module.h; test_tree.py compiles it as C and C++ of all ages. */
#include <errno.h>
#include <stdbool.h>

#include <platter/module.h>

#ifdef __cplusplus
extern "C" {
#endif
#define their_function_VERSION "1"
typedef int their_function_FN(int number);
#define our_function_VERSION "2"
typedef int our_function_FN(int number);
#ifdef __cplusplus
}
#endif

static int count = 3;
PLATTER_PARAM(count, int, 0644, "how many");
static const char *name = "nobody";
PLATTER_PARAM(name, charp, 0444, "whose");
static unsigned long sizes[4];
static unsigned int sizes_given;
PLATTER_PARAM_ARRAY(sizes, ulong, sizes_given, 0, "how large");

PLATTER_IMPORT(their_function);
PLATTER_EXPORT_SYMBOL_GPL(our_function);

int our_function(int number)
{
	return their_function(number) + count + (name ? 1 : 0) + (int)sizes[0] + (int)sizes_given;
}

static int example_init(void)
{
	return our_function(1) > 0 ? 0 : -ENODEV;
}

static void example_exit(void)
{
	count = 0;
}

PLATTER_MODULE("module_example", "1.0", "Dual BSD/GPL", "the tests", "an example");
PLATTER_INIT(example_init);
PLATTER_EXIT(example_exit);
PLATTER_ALIAS("driver:example");
PLATTER_SOFTDEP("stack other");
