# SPDX-License-Identifier: BSD-2-Clause
"""A reply means that the kernel has the data: a server that is killed in the middle loses nothing of it; see ledger.py."""

import os
import random
import signal

import pytest

from daemon import Daemon
from ledger import Lost
from load import Disk, Load
from seeds import rounds, seeded
from volatile_support import load

SECTORS = 8192


def kill_again_and_again(directory, seed, count, disks, start):
    """START starts a server of DISKS, in whose middle it is killed; the next one, at once, has all that was answered."""
    chosen = random.Random(seed)
    for number in range(count + 1):
        with start() as daemon:
            try:
                for disk in disks:
                    disk.ledger.verify(disk.read_all(daemon))
                if number == count:
                    return
                clients = Load(daemon, disks, chosen)
                clients.run(chosen.randrange(1, 600))
                daemon.stop(signal.SIGKILL)
                clients.bury()
            except Lost as lost:
                raise Lost(f"seed {seed}, round {number}: {lost}") from None


@pytest.mark.parametrize("keys", [
    ",queue.scheduler=none", ",queue.scheduler=merge", ",queue.scheduler=deadline",
    ",direct=on,queue.scheduler=none", ",direct=on,queue.scheduler=merge",
    ",direct=on,queue.scheduler=deadline,queue.queue_depth=1,queue.plug_us=1000"])
@seeded(1)
def test_files_have_what_was_answered(directory, keys, seed):
    disks = [Disk(name, number, SECTORS, lasting=True) for number, name in enumerate(("a", "b"), 1)]
    specs = []
    for disk in disks:
        path = os.path.join(directory, disk.name + ".img")
        with open(path, "wb") as file:
            file.truncate(SECTORS * 512)
        specs.append(f"{disk.name}={path}{keys}")
    kill_again_and_again(directory, seed, rounds(20), disks, lambda: Daemon(directory, *specs))


def volatile_server(directory):
    daemon = Daemon(directory)
    load(daemon)
    daemon.ctl("export", "add", f"v=volatile:{SECTORS * 512},cache=256K,store={directory}/v.store")
    return daemon


@seeded(1)
def test_a_disk_with_a_cache_has_what_was_flushed(directory, seed):
    kill_again_and_again(directory, seed, rounds(5), [Disk("v", 1, SECTORS)], lambda: volatile_server(directory))


@seeded(1)
def test_a_disk_that_loses_answered_writes_is_caught(directory, seed):
    """That is, the tests above can fail."""
    with pytest.raises(Lost, match=f"seed {seed}, round .*may be"):
        kill_again_and_again(directory, seed, 50, [Disk("v", 1, SECTORS, lasting=True)], lambda: volatile_server(directory))
