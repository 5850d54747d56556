# SPDX-License-Identifier: BSD-2-Clause
"""Incremental backups with the clients that there are: a full copy, and then what nbdinfo or qemu says was changed."""

import json
import random

import pytest

from client_support import MIB, backed, digest, run
from wire_client import Wire

SIZE = 64 * MIB


def by_nbdinfo(daemon, mark):
    """[(offset, length), ...] of what was changed since MARK."""
    parts = json.loads(run("nbdinfo", "--json", f"--map=x-platter:dirty:{mark}", daemon.uri("d")))
    assert sum(part["length"] for part in parts) == SIZE
    return [(part["offset"], part["length"]) for part in parts if part["type"]]


def by_qemu(daemon, mark):
    """The same; qemu shows what is dirty in a bitmap as what isn't data."""
    options = (f"driver=nbd,export=d,server.type=unix,server.path={daemon.socket},"
               f"x-dirty-bitmap=qemu:dirty-bitmap:{mark}")
    parts = json.loads(run("qemu-img", "map", "--output=json", "--image-opts", options))
    assert sum(part["length"] for part in parts) == SIZE
    return [(part["start"], part["length"]) for part in parts if not part["data"]]


def write(wire, lots, changed):
    for _ in range(30):
        length = lots.choice([1, 512, 4096, 100000, MIB])
        offset = lots.randrange(SIZE - length)
        changed.update(range(offset // 65536, (offset + length - 1) // 65536 + 1))
        assert wire.write(offset, lots.randbytes(length)) == 0


@pytest.mark.parametrize("map_of", [by_nbdinfo, by_qemu])
@pytest.mark.parametrize("kind", ["ram", "file"])
def test_full_and_incremental_backups_are_the_disk(directory, kind, map_of):
    lots = random.Random(8)
    backup = f"{directory}/backup"
    with backed(directory, kind, SIZE, "unix") as daemon:
        disk, = (one["name"] for one in daemon.ctl_json("lsblk")["disks"])
        daemon.ctl("export", "add", f"d=disk:{disk}")
        with Wire(daemon).go(b"d") as wire:
            write(wire, lots, set())
            daemon.ctl("mark", disk, "m0")
            run("nbdcopy", daemon.uri("d"), backup)
            for number in range(3):
                changed = set()
                write(wire, lots, changed)
                daemon.ctl("mark", disk, f"m{number + 1}")
                parts = map_of(daemon, f"m{number}")
                assert sum(length for _, length in parts) == len(changed) * 65536
                # Only that is copied.
                with open(backup, "r+b") as file:
                    for offset, length in parts:
                        file.seek(offset)
                        file.write(wire.read(offset, length))
                daemon.ctl("unmark", disk, f"m{number}")
                run("nbdcopy", daemon.uri("d"), f"{directory}/whole")
                assert digest(backup) == digest(f"{directory}/whole")
            wire.disconnect()
