# SPDX-License-Identifier: BSD-2-Clause
"""A disk that stands on another shares its home reactor with it, wherever the other lived before."""

import re

from daemon import Daemon, wait_for
from modules_support import build, by_thread, module
from wire_client import CMD_FLUSH, Wire

TELL = '''
#include <unistd.h>
static void tell(struct platter_disk *disk, const char *what)
{
    platter_log(PLATTER_LOG_NOTICE, "%s: %s on %d", platter_disk_name(disk), what, gettid());
}
'''
# Completes from a thread of its own: what comes back has to find its way home.
LOWER = by_thread("lower", 'tell(disk, "submit"); from_thread(request);', TELL)
UPPER = TELL + '''
struct upper { const char *name; struct platter_lower *lower; };
struct passing { struct platter_request *request; struct platter_lower_io io; };
static int probe(struct platter_disk *disk, const struct platter_args *args, bool ro, struct platter_error *error)
{
    struct upper *upper = calloc(1, sizeof(*upper));
    upper->name = platter_args_string(args, "disk", "");
    platter_disk_set_data(disk, upper);
    return 0;
}
static void removed(struct platter_disk *disk) { free(platter_disk_data(disk)); }
static int opened(struct platter_disk *disk, struct platter_geometry *geometry, struct platter_error *error)
{
    struct upper *upper = platter_disk_data(disk);
    int result = platter_lower_open(disk, upper->name, &upper->lower, error);
    if (result == 0) geometry->bytes = platter_lower_bytes(upper->lower);
    if (result == 0) geometry->capabilities = PLATTER_DISK_FLUSH;
    return result;
}
static int released(struct platter_disk *disk, struct platter_error *error)
{
    platter_lower_close(((struct upper *)platter_disk_data(disk))->lower);
    return 0;
}
static void done(struct platter_lower_io *io, int error)
{
    struct passing *passing = (struct passing *)((char *)io - offsetof(struct passing, io));
    tell(passing->request->disk, "done");
    platter_request_complete(passing->request, error);
}
static void submit(struct platter_disk *disk, struct platter_request *request)
{
    struct passing *passing = (struct passing *)request->data;
    tell(disk, "submit");
    passing->request = request;
    passing->io = (struct platter_lower_io){ .op = request->op, .flags = request->flags, .iovcnt = request->iovcnt,
        .iov = request->iov, .offset = request->offset, .length = request->length, .done = done };
    platter_lower_submit(((struct upper *)platter_disk_data(disk))->lower, &passing->io);
}
static const struct platter_key keys[] = { { "disk", PLATTER_KEY_STRING, "below" }, { NULL } };
static const struct platter_disk_ops ops = { .size = sizeof(ops), .open = opened, .release = released, .submit = submit };
static const struct platter_driver driver = { .size = sizeof(driver), .name = "upper", .description = "on top",
    .keys = keys, .ops = &ops, .probe = probe, .remove = removed };
static int start(void) { return platter_register_driver(&driver); }
static void end(void) { platter_unregister_driver(&driver); }
''' + module("upper") + "PLATTER_INIT(start); PLATTER_EXIT(end);"


def threads(daemon, disk, since):
    """The threads that DISK was called on, in the log from SINCE on."""
    return set(re.findall(rf"\b{disk}: (?:submit|done) on (\d+)", daemon.log()[since:]))


def use(daemon, name, writes=True):
    """From four connections at once."""
    wires = [Wire(daemon).go(name) for _ in range(4)]
    for number, wire in enumerate(wires):
        assert not writes or wire.write(number * 4096, bytes([number + 1]) * 4096) == 0
        assert wire.command(CMD_FLUSH)[0] == 0
    for number, wire in enumerate(wires):
        assert wire.read(number * 4096, 4096) == bytes([number + 1]) * 4096
        wire.disconnect()
    wait_for(lambda: all(disk["users"] == 0 for disk in daemon.ctl_json("lsblk")["disks"]), "nobody uses them")


def test_upper_and_lower_disk_are_served_by_one_thread(directory):
    names = ("l0", "l1", "l2", "l3")
    with Daemon(directory, "a=ram:1M", options=["--threads", "2"]) as daemon:
        for name, source in (("lower", LOWER), ("upper", UPPER)):
            daemon.ctl("insmod", build(directory, name, source, "-D_GNU_SOURCE"))
        daemon.ctl("export", "add", *[f"{name}=lower:1M" for name in names])
        for name in names:
            use(daemon, name.encode())
        homes = {name: threads(daemon, name, 0) for name in names}
        assert all(len(one) == 1 for one in homes.values()) and len(set.union(*homes.values())) == 2
        # Some have their home where the disk on top has it, the others elsewhere.
        daemon.ctl("export", "add", "u0=upper:l0", "u1=upper:l2", "u2=upper:l1", "u3=upper:l3", "top=upper:u3")
        moved = set()
        for lower, upper in (("l0", "u0"), ("l2", "u1"), ("l1", "u2"), ("l3", "u3"), ("u3", "top")):
            since = len(daemon.log())
            use(daemon, upper.encode())
            home = threads(daemon, upper, since)
            assert len(home) == 1 and threads(daemon, lower, since) == home
            moved.add(lower in homes and homes[lower] != home)
            # There it stays when it has clients of its own again.
            since = len(daemon.log())
            use(daemon, lower.encode())
            assert threads(daemon, lower, since) == home
        assert moved == {True, False}


def test_who_may_be_served_anywhere_isn_t_when_a_disk_below_may_not(directory):
    """Clients of a read-only disk are spread over the reactors, unless it stands on a disk that has one."""
    with Daemon(directory, "a=ram:1M", options=["--threads", "2"]) as daemon:
        for name, source in (("lower", LOWER), ("upper", UPPER)):
            daemon.ctl("insmod", build(directory, name, source, "-D_GNU_SOURCE"))
        daemon.ctl("export", "add", "l=lower:1M", "lr=lower:1M,readonly", "u=upper:l,readonly", "ur=upper:lr,readonly")
        use(daemon, b"l")
        since = len(daemon.log())
        use(daemon, b"u", writes=False)
        assert len(threads(daemon, "u", since)) == 1 and threads(daemon, "l", since) == threads(daemon, "u", since)
        # Where both may be called by every reactor, each does all of a request itself.
        wires = [Wire(daemon).go(b"ur") for _ in range(4)]
        for wire in wires:
            assert wire.read(0, 4096) == bytes(4096)
        assert len(threads(daemon, "ur", 0)) == 2 and threads(daemon, "lr", 0) == threads(daemon, "ur", 0)
        for wire in wires:
            wire.disconnect()
