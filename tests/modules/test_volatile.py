# SPDX-License-Identifier: BSD-2-Clause
"""The driver volatile: what its cache loses and keeps when the power is cut, and how its requests go wrong."""

import os
import signal

import pytest

from daemon import SANITIZED, Daemon, wait_for
from seeds import seeded
from volatile_support import SECTOR, load, set_parameters, stats
from wire_client import (CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, EINVAL, EIO, ENOSPC, FLAG_FUA, FLAG_NO_HOLE, OPT_GO,
                         Wire, go_data, request)

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
COUNT = 64  # sectors that tests look at
OLD, NEW = b"o" * SECTOR, b"n" * SECTOR


@pytest.fixture
def daemon(directory):
    with Daemon(directory) as running:
        # A FLUSH that fails is the server's last word on the disk.
        running.good_statuses = {0, 1}
        load(running)
        yield running


def add(daemon, *keys, size="1M"):
    daemon.ctl("export", "add", ",".join([f"v=volatile:{size}", *keys]))
    return Wire(daemon).go(b"v")


def old_then_new(wire):
    """OLD is durable, NEW isn't."""
    assert wire.write(0, OLD * COUNT) == 0 and wire.command(CMD_FLUSH)[0] == 0
    assert wire.write(0, NEW * COUNT) == 0


def cut(daemon, *percent):
    """Cuts the power and switches it on; what it says, and the first sectors."""
    said = daemon.ctl("ioctl", "v", "cut", *map(str, percent))
    daemon.ctl("ioctl", "v", "power")
    with Wire(daemon).go(b"v") as wire:
        found = wire.read(0, COUNT * SECTOR)
        wire.disconnect()
    return said, [found[at:at + SECTOR] for at in range(0, len(found), SECTOR)]


def test_what_was_written_last_is_read(daemon):
    with add(daemon) as wire:
        assert wire.size == MIB
        assert wire.read(0, MIB) == bytes(MIB)
        old_then_new(wire)
        assert wire.read(0, (COUNT + 1) * SECTOR) == NEW * COUNT + bytes(SECTOR)
        assert stats(daemon)["unflushed"] == COUNT
        assert wire.command(CMD_WRITE_ZEROES, SECTOR, SECTOR)[0] == 0
        assert wire.read(0, 3 * SECTOR) == NEW + bytes(SECTOR) + NEW
        assert wire.command(CMD_READ, 1, SECTOR)[0] == EINVAL
        wire.disconnect()
    with Wire(daemon).go(b"v") as wire:
        assert wire.read(0, 3 * SECTOR) == NEW + bytes(SECTOR) + NEW
        wire.disconnect()


def test_a_cut_loses_what_was_not_flushed_and_nothing_else(daemon):
    with add(daemon) as wire:
        old_then_new(wire)
        assert cut(daemon, 0) == (f"0 of {COUNT} unflushed sectors were kept\n", [OLD] * COUNT)
        assert wire.write(0, NEW * COUNT) == 0
        assert cut(daemon, 100) == (f"{COUNT} of {COUNT} unflushed sectors were kept\n", [NEW] * COUNT)
        wire.disconnect()


@pytest.mark.parametrize("flags", [0, FLAG_FUA])
def test_only_fua_makes_a_change_durable(daemon, flags):
    with add(daemon) as wire:
        old_then_new(wire)
        assert wire.write(0, b"w" * SECTOR, flags=flags) == 0
        assert wire.command(CMD_WRITE_ZEROES, SECTOR, SECTOR, flags)[0] == 0
        assert wire.command(CMD_WRITE_ZEROES, 2 * SECTOR, SECTOR, flags | FLAG_NO_HOLE)[0] == 0
        assert wire.command(CMD_TRIM, 3 * SECTOR, SECTOR, flags)[0] == 0
        changed = [b"w" * SECTOR, bytes(SECTOR), bytes(SECTOR), bytes(SECTOR)] if flags else [OLD] * 4
        assert cut(daemon, 0)[1] == changed + [OLD] * (COUNT - 4)
        wire.disconnect()


@seeded(4)
def test_a_cut_leaves_each_sector_old_or_new(daemon, seed):
    """Without a number the seed says how many: over several cuts there are both."""
    seen = set()
    with add(daemon, f"seed={seed}") as wire:
        for _ in range(4):
            old_then_new(wire)
            found = cut(daemon)[1]
            assert set(found) <= {OLD, NEW}
            seen.update(found)
            old_then_new(wire)
            assert set(cut(daemon, 50)[1]) == {OLD, NEW}
        wire.disconnect()
    assert seen == {OLD, NEW}


def test_the_same_seed_does_the_same(daemon):
    def contents(seed):
        with add(daemon, f"seed={seed}") as wire:
            old_then_new(wire)
            found = cut(daemon, 50)[1]
            wire.disconnect()
        daemon.ctl("export", "remove", "--drain", "v")
        return found

    assert contents(1) == contents(1) != contents(2)


def test_without_power_nothing_works(daemon):
    with add(daemon) as wire:
        old_then_new(wire)
        daemon.ctl("ioctl", "v", "cut")
        assert stats(daemon)["power"] == "off" and stats(daemon)["unflushed"] == 0
        assert wire.command(CMD_READ, 0, SECTOR)[0] == EIO
        for command in (CMD_TRIM, CMD_WRITE_ZEROES):
            assert wire.command(command, 0, SECTOR)[0] == EIO
        assert wire.write(0, NEW) == EIO
        wire.disconnect()
    wait_for(lambda: daemon.ctl_json("lsblk")["disks"][0]["users"] == 0, "the client has gone")
    with Wire(daemon) as other:
        other.flags()
        assert b"power is off" in other.option(OPT_GO, go_data(b"v"))[-1][1]
    assert "off already" in daemon.ctl("ioctl", "v", "cut", status=1)
    daemon.ctl("ioctl", "v", "power")
    assert "on already" in daemon.ctl("ioctl", "v", "power", status=1)
    with Wire(daemon).go(b"v") as wire:
        assert wire.write(0, NEW) == 0 and wire.read(0, SECTOR) == NEW
        wire.disconnect()


def test_its_commands_explain_themselves(daemon):
    with add(daemon) as wire:
        listed = daemon.ctl("ioctl", "v")
        assert all(word in listed for word in ("cut", "[PERCENT]", "power", "stats", "unflushed sectors"))
        for arguments in (("cut", "101"), ("cut", "x"), ("cut", "-1"), ("cut", ""), ("cut", "1", "2"), ("power", "1"), ("stats", "all")):
            assert "expected" in daemon.ctl("ioctl", "v", *arguments, status=1)
        assert wire.write(0, NEW) == 0
        wire.disconnect()


def test_what_is_in_flight_at_a_cut_fails(daemon):
    with add(daemon, "seed=1,queue.scheduler=none") as wire:
        old_then_new(wire)
        assert wire.command(CMD_FLUSH)[0] == 0
        set_parameters(daemon, delay_us=1000000)
        for sector in range(COUNT):
            wire.send(request(CMD_WRITE, sector * SECTOR, SECTOR, cookie=sector, payload=b"x" * SECTOR))
        daemon.ctl("ioctl", "v", "cut", "100")
        daemon.ctl("ioctl", "v", "power")
        set_parameters(daemon, delay_us=0)
        failed = {cookie for error, cookie, _ in (wire.reply() for _ in range(COUNT)) if error == EIO}
        assert len(failed) > COUNT / 2
        with Wire(daemon).go(b"v") as other:
            found = other.read(0, COUNT * SECTOR)
            other.disconnect()
        # Not even after the power came back is any of it done.
        assert {sector for sector in range(COUNT) if found[sector * SECTOR:(sector + 1) * SECTOR] == NEW} == failed
        wire.disconnect()


def test_a_write_that_takes_time_may_be_torn(daemon):
    with add(daemon, "seed=1") as wire:
        old_then_new(wire)
        assert wire.command(CMD_FLUSH)[0] == 0
        set_parameters(daemon, delay_us=2000000, pieces=64)
        wire.send(request(CMD_WRITE, 0, COUNT * SECTOR, payload=b"x" * COUNT * SECTOR))
        wait_for(lambda: stats(daemon)["versions"], "a part has been written")
        daemon.ctl("ioctl", "v", "cut", "100")
        set_parameters(daemon, delay_us=0)
        assert wire.reply()[0] == EIO
        daemon.ctl("ioctl", "v", "power")
        found = Wire(daemon).go(b"v").read(0, COUNT * SECTOR)
        assert {found[at:at + SECTOR] for at in range(0, len(found), SECTOR)} == {NEW, b"x" * SECTOR}
        wire.disconnect()


def test_requests_that_take_time_are_done_in_another_order(daemon):
    with add(daemon, "seed=1,queue.scheduler=none") as wire:
        set_parameters(daemon, delay_us=100000, pieces=3)
        for sector in range(COUNT):
            wire.send(request(CMD_WRITE, sector * 4 * SECTOR, 4 * SECTOR, cookie=sector, payload=bytes([sector]) * 4 * SECTOR))
        order = [wire.reply()[1] for _ in range(COUNT)]
        assert sorted(order) == list(range(COUNT)) and order != sorted(order)
        assert wire.read(0, COUNT * 4 * SECTOR) == b"".join(bytes([sector]) * 4 * SECTOR for sector in range(COUNT))
        wire.disconnect()


def test_the_server_orders_changes_of_the_same_data(daemon):
    with add(daemon, "seed=1") as wire, Wire(daemon).go(b"v") as other:
        set_parameters(daemon, delay_us=3000, pieces=4)
        for number in range(COUNT):
            for each in (wire, other):
                each.send(request(CMD_WRITE, number % 7 * SECTOR, 8 * SECTOR, payload=bytes([number]) * 8 * SECTOR))
        assert all(each.reply()[0] == 0 for each in (wire, other) for _ in range(COUNT))
        assert stats(daemon)["overlaps"] == 0 and "bug of the server" not in daemon.log()
        wire.disconnect()
        other.disconnect()


def test_a_flush_covers_nothing_that_comes_while_it_runs(daemon):
    with add(daemon, "seed=1") as wire:
        old_then_new(wire)
        assert wire.write(SECTOR, OLD) == 0
        set_parameters(daemon, delay_us=2000000)
        before = stats(daemon)["requests"]
        wire.send(request(CMD_FLUSH, cookie=9))
        wait_for(lambda: stats(daemon)["requests"] > before, "the flush runs")
        set_parameters(daemon, delay_us=0)
        assert wire.write(0, b"late" * 128) == 0
        assert wire.reply()[:2] == (0, 9)
        assert cut(daemon, 0)[1] == [NEW, OLD] + [NEW] * (COUNT - 2)
        wire.disconnect()


@pytest.mark.parametrize("ops, code, error", [("w", 28, ENOSPC), ("w", 5, EIO), ("rtz", 5, EIO), ("wtz", 0, EIO)])
def test_requests_fail_as_told_and_do_nothing(daemon, ops, code, error):
    with add(daemon) as wire:
        old_then_new(wire)
        set_parameters(daemon, fail_per_million=1000000, ops=ops, code=code)
        results = {"r": wire.command(CMD_READ, 0, SECTOR)[0], "w": wire.write(0, b"x" * SECTOR),
                   "t": wire.command(CMD_TRIM, SECTOR, SECTOR)[0], "z": wire.command(CMD_WRITE_ZEROES, SECTOR, SECTOR)[0]}
        assert results == {op: error if op in ops else 0 for op in "rwtz"}
        assert stats(daemon)["failed"] == len(ops)
        set_parameters(daemon, fail_per_million=0)
        assert wire.read(0, 2 * SECTOR) == (NEW if "w" in ops else b"x" * SECTOR) + (NEW if "z" in ops else bytes(SECTOR))
        wire.disconnect()


def test_some_of_many_requests_fail(daemon):
    with add(daemon) as wire:
        set_parameters(daemon, fail_per_million=300000)
        errors = [wire.command(CMD_READ, 0, SECTOR)[0] for _ in range(100)]
        assert set(errors) == {0, EIO} and 10 < errors.count(EIO) < 60
        wire.disconnect()


def test_a_flush_fails_and_leaves_the_cache_as_it_was(daemon):
    with add(daemon) as wire:
        old_then_new(wire)
        set_parameters(daemon, fail_per_million=1000000, ops="f")
        assert wire.command(CMD_FLUSH)[0] == EIO
        assert cut(daemon, 0)[1] == [OLD] * COUNT
        wire.disconnect()


@pytest.mark.parametrize("command", [CMD_WRITE, CMD_WRITE_ZEROES])
def test_a_shortened_change_is_its_first_part(daemon, command):
    value = b"x" * SECTOR if command == CMD_WRITE else bytes(SECTOR)
    lengths = set()
    with add(daemon) as wire:
        set_parameters(daemon, ops="wz", pieces=3)
        for _ in range(20):
            set_parameters(daemon, short_per_million=0)
            assert wire.write(0, OLD * COUNT) == 0
            set_parameters(daemon, short_per_million=1000000)
            payload = value * COUNT if command == CMD_WRITE else b""
            assert wire.command(command, 0, COUNT * SECTOR, payload=payload)[0] == EIO
            found = wire.read(0, COUNT * SECTOR)
            length = found.count(value) if command == CMD_WRITE else found.count(bytes(SECTOR))
            assert found == value * length + OLD * (COUNT - length)
            lengths.add(length)
        assert len(lengths) > 5
        wire.disconnect()


def test_a_shortened_flush_makes_some_sectors_durable(daemon):
    with add(daemon, "seed=1") as wire:
        old_then_new(wire)
        set_parameters(daemon, ops="f", short_per_million=1000000)
        assert wire.command(CMD_FLUSH)[0] == EIO
        assert 0 < stats(daemon)["unflushed"] < COUNT
        assert set(cut(daemon, 0)[1]) == {OLD, NEW}
        wire.disconnect()


@pytest.mark.parametrize("lie", ["flush", "fua"])
def test_it_lies_when_told_to(daemon, lie):
    with add(daemon) as wire:
        old_then_new(wire)
        set_parameters(daemon, lie=lie)
        assert wire.write(0, b"x" * SECTOR, flags=FLAG_FUA) == 0
        kept = cut(daemon, 0)[1]
        assert kept == [OLD if lie == "fua" else b"x" * SECTOR] + [OLD] * (COUNT - 1)
        assert wire.write(SECTOR, NEW) == 0 and wire.command(CMD_FLUSH)[0] == 0
        assert cut(daemon, 0)[1][1] == (OLD if lie == "flush" else NEW)
        wire.disconnect()


def test_a_store_outlives_the_disk_and_the_server(directory):
    store = os.path.join(directory, "store")
    with Daemon(directory) as daemon:
        load(daemon)
        with add(daemon, f"store={store}") as wire:
            old_then_new(wire)
            assert "another disk has it" in daemon.ctl("export", "add", f"w=volatile:1M,store={store}", status=1)
            wire.disconnect()
        # The last user has gone: nothing stays volatile.
        daemon.ctl("export", "remove", "--drain", "v")
        assert "leave the size away" in daemon.ctl("export", "add", f"v=volatile:2M,store={store}", status=1)
        daemon.ctl("export", "add", f"v=volatile,store={store}")
        with Wire(daemon).go(b"v") as wire:
            assert wire.size == MIB and wire.read(0, COUNT * SECTOR) == NEW * COUNT
            assert wire.write(0, b"x" * SECTOR, flags=FLAG_FUA) == 0
            assert wire.write(SECTOR, b"y" * SECTOR) == 0
            daemon.stop(signal.SIGKILL)
    with Daemon(directory) as daemon:
        load(daemon)
        with add(daemon, f"store={store}") as wire:
            assert wire.read(0, COUNT * SECTOR) == b"x" * SECTOR + NEW * (COUNT - 1)
            wire.disconnect()


@pytest.mark.parametrize("keys, said", [
    ("0", "multiple of 512"), ("1000", "multiple of 512"), ("1M,cache=0", "the cache must"), ("1M,store=/nowhere/x", "No such file"),
    ("1M,store=/dev/null", "not a regular file"), ("4E", "4611686018427387904 bytes"),
])
def test_disks_that_cannot_be(daemon, keys, said):
    assert said in daemon.ctl("export", "add", "v=volatile:" + keys, status=1)
    assert daemon.ctl_json("lsblk")["disks"] == []


def test_memory_is_for_what_was_written(daemon, directory):
    store = os.path.join(directory, "store")
    with add(daemon, "cache=1M", f"store={store}", size="64G") as wire:
        assert wire.command(CMD_TRIM, 0, GIB)[0] == 0
        assert wire.command(CMD_WRITE_ZEROES, 63 * GIB, GIB)[0] == 0
        for at in range(0, 64 * GIB, 4 * GIB):
            assert wire.write(at, os.urandom(64 * KIB)) == 0
        assert wire.command(CMD_FLUSH)[0] == 0
        assert wire.read(8 * GIB - MIB, MIB) == bytes(MIB)
        assert MIB <= os.stat(store).st_blocks * 512 < 2 * MIB
        # A cache that is full writes back.
        assert wire.write(GIB, os.urandom(4 * MIB)) == 0
        assert stats(daemon)["versions"] == 2 * KIB and stats(daemon)["written_back"] >= 6 * KIB
        assert SANITIZED or daemon.memory() < 64 * MIB
        wire.disconnect()
