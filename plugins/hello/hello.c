/* SPDX-License-Identifier: BSD-2-Clause */
#include <platter/module.h>

static const char *whom = "world";
PLATTER_PARAM(whom, charp, 0644, "whom to greet");

static int hello_init(void)
{
	platter_log(PLATTER_LOG_NOTICE, "hello: Hello, %s!", whom);
	return 0;
}

static void hello_exit(void)
{
	platter_log(PLATTER_LOG_NOTICE, "hello: Goodbye, %s!", whom);
}

PLATTER_MODULE("hello", "1.0", "BSD-2-Clause", "the Platter authors", "says hello and goodbye");
PLATTER_INIT(hello_init);
PLATTER_EXIT(hello_exit);
