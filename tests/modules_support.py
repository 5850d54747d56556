# SPDX-License-Identifier: BSD-2-Clause
"""Modules that tests write, compile and load."""

import os
import re
import shlex
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CC = shlex.split(os.environ.get("CC", "cc"))

with open(os.path.join(ROOT, "man/platter-module.3"), encoding="utf-8") as _file:
    MANUAL = _file.read()
# The manual's literal blocks: what is between .Bd -literal and .Ed, as a reader sees it.
LISTINGS = [text.replace("\\e", "\\") for text in re.findall(r"^\.Bd -literal.*\n((?:.*\n)*?)\.Ed$", MANUAL, re.M)]


def manual_program(name):
    """The listing of the module NAME."""
    found = [text for text in LISTINGS if f'PLATTER_MODULE("{name}"' in text]
    assert len(found) == 1
    return found[0]


def build(directory, name, source, *flags):
    """Compiles SOURCE, which need not include the header, to DIRECTORY/NAME.so; its path."""
    path = os.path.join(directory, name + ".so")
    # A new file each time: the old one may be mapped.
    if os.path.exists(path):
        os.unlink(path)
    subprocess.run([*CC, "-w", "-O1", "-fPIC", "-fvisibility=hidden", "-shared", "-I", os.path.join(ROOT, "include"), *flags,
                    "-x", "c", "-", "-o", path],
                   input="#include <errno.h>\n#include <stdbool.h>\n#include <stdlib.h>\n#include <string.h>\n"
                         "#include <platter/module.h>\n" + source, text=True, check=True, timeout=60)
    os.chmod(path, 0o644)
    return path


def module(name, license="MIT", version="1.0"):
    return f'PLATTER_MODULE("{name}", "{version}", "{license}", "the tests", "a test");\n'


def hello(name="hello", text="hello"):
    return f'''
        static int start(void) {{ platter_log(PLATTER_LOG_WARNING, "{text}"); return 0; }}
        static void end(void) {{ platter_log(PLATTER_LOG_WARNING, "goodbye"); }}
        {module(name)} PLATTER_INIT(start); PLATTER_EXIT(end);
    '''


def driver(name="mem", init="", exit="platter_unregister_driver(&driver);", more=""):
    """A driver of disks in memory that completes inside submit."""
    return f'''
        struct mem {{ uint64_t size; char *memory; }};
        static int mem_probe(struct platter_disk *disk, const struct platter_args *args, bool ro, struct platter_error *error)
        {{
            struct mem *mem = calloc(1, sizeof(*mem));
            mem->size = platter_args_size(args, "size", 0);
            if (mem->size == 0) {{ free(mem); return platter_fail(error, EINVAL, "no size"); }}
            mem->memory = calloc(1, mem->size);
            platter_disk_set_data(disk, mem);
            platter_disk_set_capacity(disk, mem->size);
            return 0;
        }}
        static void mem_remove(struct platter_disk *disk)
        {{
            struct mem *mem = platter_disk_data(disk);
            free(mem->memory); free(mem);
        }}
        static int mem_open(struct platter_disk *disk, struct platter_geometry *geometry, struct platter_error *error)
        {{
            struct mem *mem = platter_disk_data(disk);
            geometry->bytes = mem->size;
            geometry->capabilities = PLATTER_DISK_FLUSH;
            return 0;
        }}
        static void mem_submit(struct platter_disk *disk, struct platter_request *request)
        {{
            struct mem *mem = platter_disk_data(disk);
            char *at = mem->memory + request->offset;
            for (uint32_t i = 0; i < request->iovcnt; i++) {{
                if (request->op == PLATTER_OP_READ) memcpy(request->iov[i].iov_base, at, request->iov[i].iov_len);
                if (request->op == PLATTER_OP_WRITE) memcpy(at, request->iov[i].iov_base, request->iov[i].iov_len);
                at += request->iov[i].iov_len;
            }}
            platter_request_complete(request, 0);
        }}
        static const struct platter_key keys[] = {{ {{ "size", PLATTER_KEY_SIZE, "of the disk" }}, {{ NULL }} }};
        static const struct platter_disk_ops ops = {{ .size = sizeof(ops), .open = mem_open, .submit = mem_submit }};
        static const struct platter_driver driver = {{ .size = sizeof(driver), .name = "{name}", .description = "memory",
            .keys = keys, .ops = &ops, .probe = mem_probe, .remove = mem_remove }};
        static int start(void) {{ int result = platter_register_driver(&driver); if (result < 0) return result; {init} return 0; }}
        static void end(void) {{ {exit} }}
        {more}
        {module(name)} PLATTER_INIT(start); PLATTER_EXIT(end); PLATTER_ALIAS("driver:{name}");
    '''


# What the driver above does with a request in the end.
COMPLETE = "platter_request_complete(request, 0);\n        }"


def variant(name, complete, more="", ops="", **keywords):
    """The driver above with another way to end a request; MORE stands before it, OPS instead of its submit."""
    source = driver(name, **keywords)
    assert COMPLETE in source
    source = source.replace(COMPLETE, complete + "\n        }")
    source = source.replace("struct mem {", more + "\nstruct mem {", 1)
    return source.replace(".submit = mem_submit };", (ops or ".submit = mem_submit") + " };")


# A thread that completes what it is given, and is joined by exit: after its last request it still has to return.
THREAD = '''
#include <pthread.h>
struct given { struct platter_request *request; struct given *next; };
static pthread_t thread;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static struct given *given;
static bool ending;
static void *work(void *none)
{
    pthread_mutex_lock(&lock);
    while (given || !ending) {
        struct given *taken = given;
        if (!taken) { pthread_cond_wait(&more, &lock); continue; }
        given = taken->next;
        pthread_mutex_unlock(&lock);
        platter_request_complete(taken->request, 0);
        pthread_mutex_lock(&lock);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}
static void from_thread(struct platter_request *request)
{
    struct given *new = (struct given *)request->data;
    new->request = request;
    pthread_mutex_lock(&lock);
    new->next = given; given = new;
    pthread_cond_signal(&more);
    pthread_mutex_unlock(&lock);
}
static void stop_thread(void)
{
    pthread_mutex_lock(&lock);
    ending = true;
    pthread_cond_signal(&more);
    pthread_mutex_unlock(&lock);
    pthread_join(thread, NULL);
}
'''


def by_thread(name, complete="from_thread(request);", more=""):
    """The driver above, whose requests are completed by a thread of its own."""
    return variant(name, complete, THREAD + more, init="return -pthread_create(&thread, NULL, work, NULL);",
                   exit="platter_unregister_driver(&driver); stop_thread();")


TIMER = '''
struct wait { struct platter_timer timer; struct platter_request *request; };
static void rang(struct platter_timer *timer) { platter_request_complete(((struct wait *)timer)->request, 0); }
static void by_timer(struct platter_request *request)
{
    struct wait *wait = (struct wait *)request->data;
    wait->timer.done = rang; wait->request = request; platter_timer_start(request->disk, &wait->timer, 1000000);
}
'''


def symbol(name="twice", version="1"):
    """What a header that two modules share would declare."""
    return f'#define {name}_VERSION "{version}"\ntypedef int {name}_FN(int);\n'


def exporter(module_name="lib", name="twice", version="1", gpl=""):
    return symbol(name, version) + f'''
        PLATTER_EXPORT_SYMBOL{gpl}({name});
        int {name}(int number) {{ return 2 * number; }}
        {module(module_name)}
    '''


def importer(module_name="user", names=("twice",), version="1", license="MIT"):
    calls = " + ".join(f"{name}(21)" for name in names)
    return "".join(symbol(name, version) + f"PLATTER_IMPORT({name});\n" for name in names) + f'''
        static int start(void) {{ platter_log(PLATTER_LOG_WARNING, "twice is %d", {calls}); return 0; }}
        {module(module_name, license)} PLATTER_INIT(start);
    '''
