# SPDX-License-Identifier: BSD-2-Clause
"""What tests of the control socket share."""

import os

import pytest

from modules_support import build, module

# A disk keeps all requests that it is given, `depth` at a time, until its ioctl says how the oldest one ends.
HOLD = r"""
    #include <pthread.h>
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct platter_request *held[1024];
    static unsigned count;
    static uint64_t depth;
    static int hold_probe(struct platter_disk *disk, const struct platter_args *args, bool read_only, struct platter_error *error)
    {
        depth = platter_args_number(args, "depth", 1);
        platter_disk_set_capacity(disk, 1 << 20);
        return 0;
    }
    static int hold_open(struct platter_disk *disk, struct platter_geometry *geometry, struct platter_error *error)
    {
        geometry->bytes = 1 << 20;
        geometry->capabilities = PLATTER_DISK_FLUSH | PLATTER_DISK_COHERENT;
        geometry->queue_depth = depth;
        return 0;
    }
    static void hold_submit(struct platter_disk *disk, struct platter_request *request)
    {
        for (uint32_t i = 0; request->op == PLATTER_OP_READ && i < request->iovcnt; i++)
            memset(request->iov[i].iov_base, 0, request->iov[i].iov_len);
        pthread_mutex_lock(&lock);
        held[count++] = request;
        pthread_mutex_unlock(&lock);
    }
    static void list(struct platter_reply *reply)
    {
        pthread_mutex_lock(&lock);
        for (unsigned i = 0; i < count; i++)
            platter_reply(reply, "%llu %llu", (unsigned long long)held[i]->offset, (unsigned long long)held[i]->length);
        pthread_mutex_unlock(&lock);
    }
    static int hold_ioctl(struct platter_disk *disk, const char *command, unsigned argc, const char *const *argv,
                          struct platter_reply *reply, struct platter_error *error)
    {
        struct platter_request *request = NULL;
        if (strcmp(command, "list") == 0) {
            list(reply);
            return 0;
        }
        pthread_mutex_lock(&lock);
        if (count > 0) {
            request = held[0];
            memmove(held, held + 1, --count * sizeof(held[0]));
        }
        pthread_mutex_unlock(&lock);
        if (!request)
            return platter_fail(error, EINVAL, "nothing is held");
        platter_request_complete(request, strcmp(command, "end") == 0 ? 0 : -EIO);
        return 0;
    }
    static const struct platter_command commands[] = { { "end", "", "well" }, { "fail", "", "badly" },
        { "list", "", "offsets and lengths" }, { NULL } };
    static const struct platter_key keys[] = { { "size", PLATTER_KEY_SIZE, "1M" }, { "depth", PLATTER_KEY_NUMBER, "1" }, { NULL } };
    static const struct platter_disk_ops ops = { .size = sizeof(ops), .open = hold_open, .submit = hold_submit,
        .ioctl = hold_ioctl, .commands = commands };
    static const struct platter_driver driver = { .size = sizeof(driver), .name = "hold", .description = "holds", .keys = keys,
        .ops = &ops, .probe = hold_probe };
    static int start(void) { return platter_register_driver(&driver); }
    static void end(void) { platter_unregister_driver(&driver); }
    PLATTER_INIT(start); PLATTER_EXIT(end);
"""


@pytest.fixture(scope="module")
def hold_module(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("hold"))
    os.chmod(directory, 0o755)
    return build(directory, "hold", HOLD + module("hold"))
