# SPDX-License-Identifier: BSD-2-Clause
"""The null driver: zeroes in, zeroes out, as slowly as it is told; and with it, what slow opening does."""

import time

import pytest
from daemon import Daemon, wait_for
from driver_support import GIB, KIB, MIB, connect, errors_of, pipelined_reads, refusal
from strace import ENVIRONMENT, Strace
from wire_client import (
    CMD_CACHE, CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE_ZEROES, FIXED_NEWSTYLE, FLAG_FUA, NO_ZEROES, OPT_GO, REP_ACK, Wire,
    go_data, option, request)

OPEN_DELAY = 0.4
SLOW = f"null:4M,open-delay={int(OPEN_DELAY * 1000)}"
# What strace shows of it; a sanitizer's threads sleep, too.
SLEEP = f"tv_nsec={int(OPEN_DELAY * 1e9)}}}"


def test_reads_are_zeroes_and_writes_are_forgotten(directory):
    with Daemon(directory, "null:16M") as daemon, connect(daemon) as wire:
        assert wire.size == 16 * MIB
        assert wire.write(MIB + 3, b"x" * (3 * MIB)) == 0
        assert wire.read(0, 16 * MIB) == bytes(16 * MIB)
        for command in (CMD_TRIM, CMD_WRITE_ZEROES, CMD_CACHE):
            assert wire.command(command, 0, 16 * MIB)[0] == 0
        assert wire.command(CMD_FLUSH)[0] == 0
        assert wire.write(0, b"x", FLAG_FUA) == 0


def test_sizes(directory):
    for size in (1, 2**63 - 1):
        with Daemon(directory, f"null:{size}") as daemon, connect(daemon) as wire:
            assert wire.size == size
            assert wire.read(size - 1, 1) == b"\0"
    with Daemon(directory, "null") as daemon, connect(daemon) as wire:
        assert wire.size == GIB
    assert "size" in refusal(directory, "null:0")


def test_delay_is_that_of_every_request(directory):
    with Daemon(directory, "null:4M,delay=100000") as daemon, connect(daemon) as wire:
        for command in (CMD_READ, CMD_WRITE_ZEROES):
            start = time.monotonic()
            assert wire.command(command, 0, 4096)[0] == 0
            assert time.monotonic() - start >= 0.1


def test_delays_run_side_by_side(directory):
    with Daemon(directory, "null:4M,delay=200000") as daemon, connect(daemon) as wire:
        start = time.monotonic()
        assert pipelined_reads(wire, range(0, 40 * 4096, 4096), 4096) == [bytes(4096)] * 40
        assert 0.2 <= time.monotonic() - start < 4
        assert errors_of(wire, [request(CMD_FLUSH, cookie=number) for number in range(10)]) == [0] * 10


def go(wire, export=b""):
    wire.flags()
    wire.send(option(OPT_GO, go_data(export)))


def opened(wire):
    assert wire.option_replies(OPT_GO)[-1][0] == REP_ACK
    assert wire.command(CMD_READ, 0, 512) == (0, bytes(512))


def sleeps(trace):
    """How often the disk was opened."""
    return len(trace.calls(SLEEP))


def test_clients_that_come_at_once_share_one_open(directory):
    with Daemon(directory, SLOW, environment=ENVIRONMENT) as daemon:
        wires = [Wire(daemon) for _ in range(5)]
        with Strace(daemon, "nanosleep,clock_nanosleep") as trace:
            start = time.monotonic()
            for wire in wires:
                go(wire)
            for wire in wires:
                opened(wire)
            assert time.monotonic() - start >= OPEN_DELAY
            # While it is open, nobody waits.
            with connect(daemon) as wire:
                assert wire.read(0, 512) == bytes(512)
        assert sleeps(trace) == 1
        for wire in wires:
            wire.disconnect()


def open_anew(daemon, trace):
    """Connects until the disk has been opened once more: the last client's release may still run when the next one comes."""
    before = trace.text().count(SLEEP)

    def opened_again():
        with connect(daemon) as wire:
            wire.disconnect()
        return trace.text().count(SLEEP) > before
    wait_for(opened_again, "the disk is opened anew")


def test_disk_is_opened_anew_after_its_last_client(directory):
    with Daemon(directory, SLOW, environment=ENVIRONMENT) as daemon:
        with connect(daemon) as wire, Strace(daemon, "nanosleep,clock_nanosleep") as trace:
            wire.disconnect()
            open_anew(daemon, trace)


def test_open_holds_up_no_other_disk(directory):
    with Daemon(directory, "slow=null:1M,open-delay=1500", "fast=null:1M", options=["--threads", "1"]) as daemon:
        start = time.monotonic()
        with Wire(daemon) as wire:
            go(wire, b"slow")
            with connect(daemon, b"fast") as other:
                assert other.read(0, 4096) == bytes(4096)
            assert time.monotonic() - start < 1.4
            opened(wire)
            assert time.monotonic() - start >= 1.5


@pytest.mark.parametrize("clients", [1, 8])
def test_client_that_leaves_during_the_open_leaves_nothing_behind(directory, clients):
    with Daemon(directory, SLOW, environment=ENVIRONMENT) as daemon:
        baseline = daemon.descriptors()
        with Strace(daemon, "nanosleep,clock_nanosleep") as trace:
            for _ in range(clients):
                with Wire(daemon) as wire:
                    go(wire)
            wait_for(lambda: SLEEP in trace.text(), "the open begins")
            # Their use of the disk was dropped, too.
            open_anew(daemon, trace)
        wait_for(lambda: daemon.descriptors() == baseline, "the connections' descriptors are closed")
        assert daemon.stop() == 0


def test_one_that_leaves_during_the_open_takes_it_from_nobody(directory):
    with Daemon(directory, SLOW) as daemon, Wire(daemon) as staying:
        with Wire(daemon) as leaving:
            go(leaving)
            go(staying)
        opened(staying)
        assert staying.read(0, 64 * KIB) == bytes(64 * KIB)


def test_server_that_is_stopped_during_an_open_ends(directory):
    with Daemon(directory, SLOW) as daemon, Wire(daemon) as wire:
        wire.flags(FIXED_NEWSTYLE | NO_ZEROES)
        wire.send(option(OPT_GO, go_data()))
        assert daemon.stop() == 0
