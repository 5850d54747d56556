# SPDX-License-Identifier: BSD-2-Clause
"""Marks: what was changed since one, as clients are told it in the contexts x-platter:dirty: and qemu:dirty-bitmap:."""

import random
import struct

import pytest

from daemon import Daemon
from shared import MIB, noise, sparse_file
from volatile_support import load
from wire_client import (CMD_BLOCK_STATUS, CMD_CACHE, CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE_ZEROES, FLAG_FUA, FLAG_PAYLOAD_LEN,
                         FLAG_REQ_ONE, OPT_LIST_META_CONTEXT, REP_ACK, Wire, context_data, extended_request)

SIZE = 64 * MIB
GRANULE = 65536
DIRTY = 1


@pytest.fixture(params=["ram", "file"])
def daemon(request, directory):
    source = f"ram:{SIZE}" if request.param == "ram" else sparse_file(directory, SIZE)
    with Daemon(directory, "d=" + source, options=["--threads", "2"]) as running:
        yield running


@pytest.fixture(params=["structured", "extended"])
def form(request):
    return {request.param: True}


def dirty_of(wire, offset=0, length=SIZE, name=None):
    """The granules that are dirty, of the only context or of the one called NAME."""
    answer = wire.status(offset, length)
    identifier = next(key for key in answer if name is None or wire.contexts[key] == name)
    found = set()
    for size, flags in answer[identifier]:
        assert flags in (0, DIRTY)
        if flags:
            found |= set(range(offset // GRANULE, (offset + size - 1) // GRANULE + 1))
        offset += size
    return found


def test_what_changes_is_dirty_and_nothing_else(daemon, form):
    daemon.ctl("mark", "d", "m")
    with Wire(daemon).go(b"d", contexts=[b"x-platter:dirty:m"], **form) as wire:
        assert dirty_of(wire) == set()
        for command, offset, length in ((CMD_READ, 0, MIB), (CMD_FLUSH, 0, 0), (CMD_CACHE, 0, MIB)):
            if command != CMD_CACHE or wire.transmission_flags & 1 << 10:
                assert wire.command(command, offset, length)[0] == 0
        assert dirty_of(wire) == set()
        assert wire.write(10 * GRANULE + 5, b"x") == 0
        assert wire.write(20 * GRANULE - 1, b"xy", FLAG_FUA) == 0
        assert dirty_of(wire) == {10, 19, 20}
        assert wire.command(CMD_TRIM, 30 * GRANULE, GRANULE)[0] == 0
        assert wire.command(CMD_WRITE_ZEROES, 40 * GRANULE, 3 * GRANULE + 1)[0] == 0
        assert dirty_of(wire) == {10, 19, 20, 30, 40, 41, 42, 43}
        # Parts of it, and only the first extent.
        assert wire.status(GRANULE * 10 + 7, 9) == {1: [(9, DIRTY)]}
        assert wire.status(GRANULE * 10, GRANULE * 3, FLAG_REQ_ONE) == {1: [(GRANULE, DIRTY)]}
        one, = daemon.ctl_json("marks")["marks"]
        assert one["dirty"] == 8 * GRANULE
        wire.disconnect()


def test_each_mark_has_its_own_beginning(daemon):
    with Wire(daemon).go(b"d") as writer:
        expected = {}
        lots = random.Random(3)
        for number in range(4):
            daemon.ctl("mark", "d", f"m{number}")
            expected[f"m{number}"] = set()
            for _ in range(50):
                offset, length = lots.randrange(SIZE - MIB), lots.choice([1, 4096, GRANULE, 300000])
                assert writer.write(offset, noise(length)) == 0
                for dirty in expected.values():
                    dirty |= set(range(offset // GRANULE, (offset + length - 1) // GRANULE + 1))
        names = [f"x-platter:dirty:{name}".encode() for name in expected]
        with Wire(daemon).go(b"d", structured=True, contexts=[b"base:allocation", *names, b"qemu:dirty-bitmap:m2"]) as reader:
            assert len(reader.contexts) == 6
            assert len(reader.status(0, SIZE)) == 6
            for name, dirty in expected.items():
                assert dirty_of(reader, name=f"x-platter:dirty:{name}".encode()) == dirty
            assert dirty_of(reader, name=b"qemu:dirty-bitmap:m2") == expected["m2"]
            reader.disconnect()
        writer.disconnect()


def test_contexts_are_listed(daemon):
    def listed(*queries):
        replies = wire.option(OPT_LIST_META_CONTEXT, context_data(b"d", queries))
        assert replies[-1] == (REP_ACK, b"")
        return [data[4:] for _, data in replies[:-1]]

    daemon.ctl("mark", "d", "one")
    daemon.ctl("mark", "d", "two")
    ours = [b"x-platter:dirty:one", b"x-platter:dirty:two"]
    theirs = [b"qemu:dirty-bitmap:one", b"qemu:dirty-bitmap:two"]
    with Wire(daemon) as wire:
        wire.flags()
        wire.option(8)
        assert sorted(listed()) == sorted([b"base:allocation", *ours, *theirs])
        assert listed(b"x-platter:") == listed(b"x-platter:dirty:") == ours
        assert listed(b"qemu:") == listed(b"qemu:dirty-bitmap:") == theirs
        assert listed(b"x-platter:dirty:two", b"qemu:allocation-depth") == ours[1:]
        assert listed(b"x-platter:dirty:three") == []
        # Only whole names select.
        assert wire.set_contexts(b"d", [b"x-platter:dirty:", b"qemu:", b"x-platter:dirty:on"]) == {}
        assert wire.set_contexts(b"d", [theirs[1]]) == {1: theirs[1]}


def test_chosen_contexts(daemon):
    daemon.ctl("mark", "d", "m")
    with Wire(daemon).go(b"d", extended=True, contexts=[b"base:allocation", b"x-platter:dirty:m"]) as wire:
        assert wire.write(GRANULE, bytes(GRANULE)) == 0
        numbers = {name: number for number, name in wire.contexts.items()}
        for names in ([b"x-platter:dirty:m"], [b"base:allocation"], [b"x-platter:dirty:m", b"base:allocation"]):
            payload = struct.pack(f">Q{len(names)}I", 3 * GRANULE, *(numbers[name] for name in names))
            wire.send(extended_request(CMD_BLOCK_STATUS, 0, len(payload), FLAG_PAYLOAD_LEN, payload=payload))
            answer = wire.status_answer()
            assert set(answer) == {numbers[name] for name in names}
            if b"x-platter:dirty:m" in names:
                assert answer[numbers[b"x-platter:dirty:m"]] == [(GRANULE, 0), (GRANULE, DIRTY), (GRANULE, 0)]
        wire.disconnect()


def test_a_mark_that_is_gone_calls_everything_dirty(daemon):
    daemon.ctl("mark", "d", "m")
    with Wire(daemon).go(b"d", structured=True, contexts=[b"x-platter:dirty:m"]) as wire:
        assert dirty_of(wire) == set()
        daemon.ctl("unmark", "d", "m")
        assert wire.status(0, SIZE) == {1: [(SIZE, DIRTY)]}
        # Another one of that name isn't the same.
        daemon.ctl("mark", "d", "m")
        assert wire.status(0, SIZE) == {1: [(SIZE, DIRTY)]}
        wire.disconnect()
    assert daemon.ctl_json("marks")["marks"][0]["dirty"] == 0


def test_they_go_with_their_disk(daemon):
    daemon.ctl("mark", "d", "m")
    daemon.ctl("export", "remove", "d")
    assert "d: gone with it: 1 mark\n" in daemon.log()
    assert daemon.ctl_json("marks") == {"marks": []}
    daemon.ctl("export", "add", "d=ram:1M")
    daemon.ctl("mark", "d", "n")
    daemon.stop()
    assert daemon.log().count("gone with it: 1 mark\n") == 2


def test_what_a_disk_gains_and_loses_is_changed(daemon):
    daemon.ctl("mark", "d", "m")
    with Wire(daemon).go(b"d") as wire:
        assert wire.write(SIZE - MIB, bytes(MIB)) == 0
        wire.disconnect()
    daemon.ctl("mark", "d", "n")
    daemon.ctl("export", "resize", "d", str(2 * SIZE))
    with Wire(daemon).go(b"d", structured=True, contexts=[b"x-platter:dirty:n"]) as wire:
        assert dirty_of(wire, 0, 2 * SIZE) == set(range(SIZE // GRANULE, 2 * SIZE // GRANULE))
        wire.disconnect()
    # And what it lost before, even if it is there again.
    daemon.ctl("mark", "d", "o")
    daemon.ctl("export", "resize", "d", str(SIZE // 2))
    daemon.ctl("export", "resize", "d", str(SIZE))
    with Wire(daemon).go(b"d", structured=True, contexts=[b"x-platter:dirty:o"]) as wire:
        assert dirty_of(wire) == set(range(SIZE // 2 // GRANULE, SIZE // GRANULE))
        wire.disconnect()


def test_far_out_costs_little(directory):
    """A mark isn't as large as its disk."""
    with Daemon(directory, "d=null:100T") as daemon:
        for number in range(11):
            daemon.ctl("mark", "d", f"m{number}")
        with Wire(daemon).go(b"d", extended=True, contexts=[b"x-platter:dirty:m0"]) as wire:
            assert wire.write(4096, bytes(4096)) == 0
            before = daemon.memory()
            assert wire.write(100 * (1 << 40) - 4096, bytes(4096)) == 0
            assert daemon.memory() - before < 16 * MIB
            assert wire.status(0, 100 << 40) == {1: [(GRANULE, DIRTY), ((100 << 40) - 2 * GRANULE, 0), (GRANULE, DIRTY)]}
            assert wire.command(CMD_WRITE_ZEROES, 1, (100 << 40) - 1)[0] == 0
            assert wire.status(0, 100 << 40) == {1: [(100 << 40, DIRTY)]}
            assert daemon.memory() - before < 16 * MIB
            wire.disconnect()
        assert {one["dirty"] for one in daemon.ctl_json("marks")["marks"]} == {100 << 40}


def test_blocks_that_are_dirty_in_part(directory):
    """Ranges that aren't blocks of the disk's."""
    with Daemon(directory) as daemon:
        load(daemon)
        daemon.ctl("export", "add", "d=volatile:1M,unaligned=emulate")
        daemon.ctl("mark", "d", "m")
        with Wire(daemon).go(b"d", structured=True, contexts=[b"x-platter:dirty:m"]) as wire:
            assert wire.write(GRANULE, b"x") == 0
            assert wire.status(1, GRANULE + 4096) == {1: [(GRANULE - 1, 0), (4097, DIRTY)]}
            assert wire.status(GRANULE - 1, 2) == {1: [(1, 0), (1, DIRTY)]}
            assert wire.status(GRANULE, 1) == {1: [(1, DIRTY)]}
            wire.disconnect()
