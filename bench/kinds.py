# SPDX-License-Identifier: BSD-2-Clause
"""The servers that take part."""

import fnmatch

import servers
from servers import Kind

WITH_TLS = (*servers.COMMON, *servers.TLS)
EVERYWHERE = (*WITH_TLS, "direct", "delay")


def chosen(name, patterns):
    return not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def all_kinds(options):
    def polling(program, place):
        return servers.platterd(program, place, "--threads", "1", "--poll-us", str(options.poll_us))

    def floor_polling(program, place):
        return servers.floor_polling(program, place, options.poll_us)

    def qemu_native(program, place):
        return servers.qemu(program, place, "native")

    return [
        Kind("floor", options.floor, servers.floor),
        # How fast an answer can be to a client that itself sleeps.
        Kind("floor-poll", options.floor, floor_polling, cases=["read-4k-qd1"]),
        Kind("platterd", options.platterd, servers.platterd, media=EVERYWHERE, control=options.platterctl),
        Kind("platterd-poll", options.platterd, polling),
        # Neither nbdkit's file plugin nor nbd-server can bypass the page cache.
        Kind("nbdkit", "nbdkit", servers.nbdkit, "--version", media=WITH_TLS),
        Kind("qemu-storage-daemon", "qemu-storage-daemon", servers.qemu, "--version", image=True,
             media=(*WITH_TLS, "direct")),
        Kind("qemu-storage-daemon, native", "qemu-storage-daemon", qemu_native, media=("direct",)),
        Kind("nbd-server", "nbd-server", servers.nbd_server, "-V", export="disk", image=True, daemon=True, media=WITH_TLS),
    ]
