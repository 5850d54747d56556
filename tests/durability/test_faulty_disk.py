# SPDX-License-Identifier: BSD-2-Clause
"""Files and block devices with bad sectors, or that fail to flush; see rig.py."""

import contextlib

import pytest

from daemon import Daemon
from rig import KINDS, SECTOR, Rig
from wire_client import CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, EIO, FLAG_FUA, Wire, request

KIB, MIB = 1 << 10, 1 << 20
SIZE = 4 * MIB
BLOCK = 4 * KIB
# The requests of a batch are neighbours, and one of them meets the bad sector.
COUNT, BAD = 16, 5
START = 2 * MIB
BAD_SECTOR = (START + BAD * BLOCK) // SECTOR + 3
# A loop device's cache takes every write, and fails to write back.
ANSWERED_BY_THE_DISK = [kind for kind in KINDS if kind != "loop"]


@contextlib.contextmanager
def faulty(directory, kind, *errors, content=None, sick=False, scheduler="merge"):
    """A client of a faulty disk that is served as KIND; neighbours are merged if they come within moments.

    SICK: it will fail to make something durable."""
    with Rig(directory, SIZE, errors, content) as rig, rig.backend(kind) as path:
        spec = f"d={path},queue.scheduler={scheduler},queue.plug_us=20000"
        with Daemon(directory, spec, command=rig.command) as daemon, Wire(daemon) as wire:
            wire.go(b"d")
            if sick:
                # Its end says so, too, even if the error was forgotten.
                daemon.good_statuses = {1}
            yield rig, daemon, wire


def batch(wire, command, blocks, flags=0):
    """Neighbours in one go; BLOCKS are what is written. Their (error, data)."""
    length = BLOCK if command == CMD_READ else 0
    wire.send(b"".join(request(command, START + n * BLOCK, BLOCK, flags, n, block if command == CMD_WRITE else b"")
                       for n, block in enumerate(blocks)))
    answers = {cookie: (error, data) for error, cookie, data in (wire.reply(length) for _ in blocks)}
    return [answers[n] for n in range(len(blocks))]


def merged(daemon, op):
    return next(disk["ops"][op]["merged"] for disk in daemon.ctl_json("stats")["disks"] if disk["name"] == "d")


def blocks_of(*letters):
    return [letter * BLOCK for letter in letters]


OLD = blocks_of(*(bytes([n]) for n in range(0x40, 0x40 + COUNT)))
NEW = blocks_of(*(bytes([n]) for n in range(0x60, 0x60 + COUNT)))
CONTENT = bytes(START) + b"".join(OLD)


def stored(rig):
    content = rig.content()
    return [content[START + n * BLOCK:START + (n + 1) * BLOCK] for n in range(COUNT)]


@pytest.mark.parametrize("kind", ANSWERED_BY_THE_DISK)
def test_a_write_to_a_bad_sector_fails_alone(directory, kind):
    """Those that were merged with it succeed, and are on the disk."""
    with faulty(directory, kind, {"iotype": "write", "sector": BAD_SECTOR}, content=CONTENT) as (rig, daemon, wire):
        answers = batch(wire, CMD_WRITE, NEW)
        assert merged(daemon, "write") > 0
        assert [error for error, _ in answers] == [EIO if n == BAD else 0 for n in range(COUNT)]
        # It is no failure to make anything durable.
        assert wire.command(CMD_FLUSH)[0] == 0
        assert stored(rig) == [OLD[n] if n == BAD else NEW[n] for n in range(COUNT)]
        assert [data for _, data in batch(wire, CMD_READ, NEW)] == stored(rig)


@pytest.mark.parametrize("kind", ANSWERED_BY_THE_DISK)
def test_a_fua_write_to_a_bad_sector_is_sticky(directory, kind):
    with faulty(directory, kind, {"iotype": "write", "sector": BAD_SECTOR}, content=CONTENT, sick=True) as (rig, daemon, wire):
        assert batch(wire, CMD_WRITE, NEW, FLAG_FUA)[BAD][0] == EIO
        assert wire.command(CMD_FLUSH)[0] == EIO
        daemon.ctl("clear-error", "d")
        # All but the bad one, once more.
        for n in set(range(COUNT)) - {BAD}:
            assert wire.write(START + n * BLOCK, NEW[n], FLAG_FUA) == 0
        assert stored(rig) == [OLD[n] if n == BAD else NEW[n] for n in range(COUNT)]


@pytest.mark.parametrize("kind", ["file, direct", "loop, direct"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_fua_write_is_not_tried_again(directory, kind, count):
    """It would succeed, and nobody would hear that the disk had failed; alone, and in a group that shares a sync."""
    with faulty(directory, kind, {"iotype": "write", "sector": BAD_SECTOR, "once": True}, content=CONTENT, sick=True) as (rig, daemon, wire):
        apart = [START + (BAD + n * 2 * COUNT) * BLOCK for n in range(count)]
        wire.send(b"".join(request(CMD_WRITE, at, BLOCK, FLAG_FUA, n, NEW[BAD]) for n, at in enumerate(apart)))
        assert EIO in [wire.reply(0)[0] for _ in apart]
        assert wire.command(CMD_FLUSH)[0] == EIO
        daemon.ctl("clear-error", "d")
        assert [wire.write(at, NEW[BAD], FLAG_FUA) for at in apart] == [0] * count


def test_a_write_that_only_a_cache_took_fails_at_the_flush(directory):
    with faulty(directory, "loop", {"iotype": "write", "sector": BAD_SECTOR}, content=CONTENT, sick=True) as (rig, daemon, wire):
        assert [error for error, _ in batch(wire, CMD_WRITE, NEW)] == [0] * COUNT
        assert [wire.command(CMD_FLUSH)[0] for _ in range(3)] == [EIO] * 3
        assert wire.write(0, b"x" * BLOCK, FLAG_FUA) == EIO
        daemon.ctl("clear-error", "d")
        # All but the bad one, once more: nobody knows what else the cache gave up.
        for n in set(range(COUNT)) - {BAD}:
            assert wire.write(START + n * BLOCK, NEW[n]) == 0
        assert wire.command(CMD_FLUSH)[0] == 0
        assert stored(rig) == [OLD[n] if n == BAD else NEW[n] for n in range(COUNT)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_read_of_a_bad_sector_fails_alone(directory, kind):
    with faulty(directory, kind, {"iotype": "read", "sector": BAD_SECTOR}, content=CONTENT) as (_, daemon, wire):
        answers = batch(wire, CMD_READ, OLD)
        assert merged(daemon, "read") > 0
        assert answers == [(EIO, b"") if n == BAD else (0, OLD[n]) for n in range(COUNT)]
        # It can be written, and the disk is well.
        assert wire.write(START, NEW[0]) == 0
        assert wire.command(CMD_FLUSH)[0] == 0


@pytest.mark.parametrize("command", [CMD_READ, CMD_WRITE])
def test_what_the_kernel_merges_fails_alone_too(directory, command):
    """It fails all of a batch for one, where Platter leaves them as they are."""
    error = {"iotype": "read" if command == CMD_READ else "write", "sector": BAD_SECTOR}
    with faulty(directory, "loop, direct", error, content=CONTENT, scheduler="none") as (_, daemon, wire):
        for _ in range(10):
            assert [error for error, _ in batch(wire, command, NEW)] == [EIO if n == BAD else 0 for n in range(COUNT)]
        assert merged(daemon, "read") + merged(daemon, "write") == 0


@pytest.mark.parametrize("command", [CMD_TRIM, CMD_WRITE_ZEROES])
@pytest.mark.parametrize("kind", ["file", "loop, direct"])
def test_a_discard_that_fails_fails_alone(directory, kind, command):
    """On neither are these merged; zeroes without a hole are written."""
    with faulty(directory, kind, {"iotype": "discard", "sector": BAD_SECTOR}, content=CONTENT) as (rig, _, wire):
        answers = batch(wire, command, OLD)
        assert [error for error, _ in answers] == [EIO if n == BAD else 0 for n in range(COUNT)]
        assert wire.command(CMD_FLUSH)[0] == 0
        assert stored(rig) == [OLD[n] if n == BAD else bytes(BLOCK) for n in range(COUNT)]


PROMISES = {"flush": (CMD_FLUSH,), "fua": (CMD_WRITE, START, BLOCK, FLAG_FUA, OLD[0]), "trim": (CMD_TRIM, 0, BLOCK, FLAG_FUA),
            "zeroes": (CMD_WRITE_ZEROES, 0, BLOCK, FLAG_FUA)}


@pytest.mark.parametrize("first", ["flush", "fua"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_flush_is_remembered_until_it_is_forgotten(directory, kind, first):
    """The disk fails once and is well then: it is Platter that mustn't be."""
    with faulty(directory, kind, {"iotype": "flush", "once": True}, sick=True) as (rig, daemon, wire):
        assert batch(wire, CMD_WRITE, NEW) == [(0, b"")] * COUNT
        assert wire.command(*PROMISES[first])[0] == EIO
        for name, promise in PROMISES.items():
            assert wire.command(*promise)[0] == EIO, name
        # What promises nothing goes on.
        assert wire.write(0, b"y" * BLOCK) == 0
        assert wire.read(0, BLOCK) == b"y" * BLOCK
        assert daemon.ctl("clear-error", "d") == ""
        assert batch(wire, CMD_WRITE, NEW) == [(0, b"")] * COUNT
        assert wire.command(CMD_FLUSH)[0] == 0
        assert stored(rig) == NEW
        for name, promise in PROMISES.items():
            assert wire.command(*promise)[0] == 0, name


@pytest.mark.parametrize("kind", ["file", "loop, direct"])
def test_a_flush_that_fails_again_after_it_was_forgotten_is_remembered_again(directory, kind):
    with faulty(directory, kind, {"iotype": "flush"}, sick=True) as (_, daemon, wire):
        for _ in range(2):
            assert wire.write(0, b"x" * BLOCK) == 0
            assert wire.command(CMD_FLUSH)[0] == EIO
            assert wire.write(0, b"x" * BLOCK, FLAG_FUA) == EIO
            assert daemon.ctl_json("clear-error", "d") == {"cleared": True}
        assert daemon.log().count("d: making data durable failed") == 2
