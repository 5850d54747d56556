# SPDX-License-Identifier: BSD-2-Clause
"""The file driver under a limit on file sizes that comes and goes: what exceeds it is no space, and nobody dies of SIGXFSZ."""

import os
import subprocess

import pytest
from daemon import Daemon
from driver_support import KIB, MIB, connect, content, errors_of, make_file, noise
from wire_client import CMD_FLUSH, CMD_READ, CMD_WRITE, ENOSPC, FLAG_FUA, Wire, check_error_offset, request

LIMIT, SIZE = 2 * MIB, 8 * MIB
# Written at once, by the pool because it is long, and by the ring.
WAYS = {"at once": ("", 64 * KIB), "pool": ("", 3 * MIB // 2), "ring": (",direct=on", 64 * KIB)}


def limit(daemon, size):
    """The soft limit, which is what counts; the hard one stays, for it to be lifted again."""
    subprocess.run(["prlimit", f"--pid={daemon.pid}", f"--fsize={size}:unlimited"], timeout=60, check=True)


@pytest.fixture(params=WAYS)
def limited(request, directory):
    keys, length = WAYS[request.param]
    data = noise(SIZE)
    path = make_file(directory, data)
    if keys:
        try:
            os.close(os.open(path, os.O_RDWR | os.O_DIRECT))
        except OSError as error:
            pytest.skip(f"the file system of {directory} has no O_DIRECT: {error}")
    with Daemon(directory, "d=" + path + keys) as daemon, connect(daemon, b"d") as wire:
        limit(daemon, LIMIT)
        yield daemon, wire, path, data, length


def test_a_limit_holds_until_it_is_lifted(limited):
    daemon, wire, path, data, length = limited
    payload = noise(length, 2)
    for flags in (0, FLAG_FUA):
        assert wire.write(4 * MIB, payload, flags) == ENOSPC
        assert wire.write(LIMIT - length, payload, flags) == 0
    assert wire.command(CMD_FLUSH)[0] == 0
    assert content(path) == data[:LIMIT - length] + payload + data[LIMIT:]
    limit(daemon, "unlimited")
    assert wire.write(4 * MIB, payload, FLAG_FUA) == 0
    assert wire.read(4 * MIB, length) == payload


def test_a_write_across_a_limit_fails(limited):
    """A part of it may be there; never what lies beyond, and never with success."""
    _, wire, path, data, length = limited
    at = LIMIT - 4096
    assert wire.write(at, noise(length, 2)) == ENOSPC
    found = content(path)
    assert found[:at] == data[:at] and found[LIMIT:] == data[LIMIT:]
    assert wire.command(CMD_FLUSH)[0] == 0


def test_those_who_can_be_told_learn_where_a_limit_was(limited):
    daemon, _, path, _, length = limited
    with Wire(daemon).go(b"d", structured=True) as wire:
        payload = noise(length, 3)
        wire.send(request(CMD_WRITE, LIMIT - 4096, length, payload=payload))
        _, (chunk,) = wire.chunks()
        check_error_offset(chunk, ENOSPC, LIMIT)
        assert content(path)[LIMIT - 4096:LIMIT] == payload[:4096]


def test_a_limit_fails_only_what_exceeds_it(limited):
    """Neighbours up to the limit and beyond, which are merged, and reads among them."""
    daemon, wire, path, data, _ = limited
    daemon.ctl("queue", "d", "scheduler=merge", "plug_us=20000")
    count, block = 16, 16 * KIB
    start = LIMIT - count // 2 * block
    payloads = [noise(block, n) for n in range(count)]
    requests = [request(CMD_WRITE, start + n * block, block, cookie=n, payload=payload) for n, payload in enumerate(payloads)]
    requests.append(request(CMD_READ, 4 * MIB, block, cookie=count))
    assert errors_of(wire, requests, {count: block}) == [0] * (count // 2) + [ENOSPC] * (count // 2) + [0]
    assert content(path) == data[:start] + b"".join(payloads[:count // 2]) + data[LIMIT:]
