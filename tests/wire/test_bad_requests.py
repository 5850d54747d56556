# SPDX-License-Identifier: BSD-2-Clause
"""Requests that no client should send, and clients that take no answers: no other client notices."""

import struct

import pytest

from baseline import leaves_nothing
from daemon import wait_for
from shared import KIB, MIB, SANITIZED, harmless, own_daemon, sparse_file
from wire_client import (CMD_DISC, CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, EINVAL, ENOSPC, REPLY_MAGIC,
                         REQUEST_MAGIC, Wire, request)

SIZE = 80 * MIB


@pytest.fixture(scope="module")
def daemon(scratch):
    with own_daemon("ram=ram:80M", f"file={sparse_file(scratch, SIZE)}") as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(daemon):
    with leaves_nothing(daemon):
        yield


@pytest.fixture(params=[b"ram", b"file"])
def name(request):
    return request.param


@pytest.mark.parametrize("magic", [*(REQUEST_MAGIC ^ 1 << bit for bit in range(32)), 0x12560953, REPLY_MAGIC, 0x21E41C71], ids=hex)
def test_wrong_request_magic_ends_the_connection_without_a_reply(daemon, magic):
    with Wire(daemon) as wire:
        wire.go(b"ram").send(request(CMD_READ, 0, 512, magic=magic))
        assert wire.closed()


def test_wrong_magic_behind_good_requests(daemon, name):
    with harmless(daemon, name), Wire(daemon) as wire:
        wire.go(name).send(request(CMD_READ, MIB, 4096) * 50 + request(CMD_READ, 0, 512, magic=0) + request(CMD_FLUSH) * 50)
        while wire.socket.recv(MIB):
            pass


@pytest.mark.parametrize("offset, length", [(SIZE, 1), (SIZE - 512, 1024), (2**64 - 512, 1024), (2**63, 2**32 - 1), (0, 2**32 - 1)])
def test_requests_past_the_end_change_nothing(daemon, name, offset, length):
    with harmless(daemon, name), Wire(daemon) as wire:
        wire.go(name)
        tail = wire.read(SIZE - MIB, MIB)
        for command in CMD_WRITE_ZEROES, CMD_TRIM, CMD_READ:
            assert wire.command(command, offset, length)[0] == (ENOSPC if command == CMD_WRITE_ZEROES else EINVAL)
        assert wire.read(SIZE - MIB, MIB) == tail


def test_every_type_and_flag_at_random_stays_in_step(daemon, name):
    with harmless(daemon, name), Wire(daemon) as wire:
        wire.go(name)
        for flags in range(0, 0x10000, 251):
            # DISC would be obeyed, and a write would want its payload.
            types = [n for n in (0, 3, 4, 5, 6, 7, 8, 0x100, 0xFFFF)]
            wire.send(b"".join(request(n, SIZE + 1, 0, flags | 2, n) for n in types if n != 6))
            for n in types:
                if n != 6:
                    assert wire.reply() == (EINVAL, n, b"")


def flood(wire, data):
    """Sends as much as the server takes from a client that reads nothing."""
    wire.socket.settimeout(0.2)
    try:
        while True:
            wire.send(data)
    except TimeoutError:
        pass
    wire.socket.settimeout(60)


@pytest.mark.parametrize("length, most", [(512, 2 * MIB), (64 * KIB, 24 * MIB), (64 * MIB, 80 * MIB)])
def test_a_client_that_never_reads_its_replies_takes_bounded_memory(daemon, name, length, most):
    with harmless(daemon, name) as honest, Wire(daemon) as wire:
        wire.go(name)
        before = daemon.memory()
        flood(wire, request(CMD_READ, MIB, length) * 1000)
        assert honest.works()
        assert SANITIZED or daemon.memory() < before + most


def test_a_client_that_reads_late_gets_all_its_replies(daemon, name):
    with harmless(daemon, name) as honest, Wire(daemon) as wire:
        wire.go(name)
        wire.socket.setblocking(False)
        sent = b"".join(request(CMD_READ, MIB, 100 * KIB, cookie=n) for n in range(1000))
        try:
            taken = wire.socket.send(sent)
        except BlockingIOError:
            taken = 0
        honest.works()
        wire.socket.settimeout(60)
        assert sorted(wire.reply(100 * KIB)[1] for _ in range(taken // 28)) == list(range(taken // 28))


def test_errors_without_end_take_bounded_memory(daemon, name):
    with harmless(daemon, name) as honest, Wire(daemon) as wire:
        wire.go(name)
        before = daemon.memory()
        flood(wire, request(99, 0, 512) * 1000)
        assert honest.works()
        assert SANITIZED or daemon.memory() < before + 4 * MIB


@pytest.mark.parametrize("length", [4096, 8 * MIB])
def test_a_hang_up_with_64_reads_in_flight(daemon, name, length):
    with harmless(daemon, name):
        for reset in False, True:
            with Wire(daemon) as wire:
                wire.go(name).send(request(CMD_READ, 0, length) * 64)
                # The first reply is on its way.
                assert struct.unpack(">II", wire.receive(8)) == (REPLY_MAGIC, 0)
                if reset:
                    wire.socket.setsockopt(1, 13, struct.pack("ii", 1, 0))


def test_writes_without_their_payload_reserve_no_memory(daemon, name):
    with harmless(daemon, name) as honest:
        before = daemon.memory()
        wires = [Wire(daemon).go(name) for _ in range(20)]
        for wire in wires:
            wire.send(request(CMD_WRITE, MIB, 32 * MIB) + b"x" * 5000)
        assert honest.works()
        wait_for(lambda: SANITIZED or daemon.memory() < before + 20 * MIB, "little memory is used")
        for wire in wires:
            wire.socket.close()


def test_disc_among_garbage_ends_the_connection_there(daemon, name):
    with harmless(daemon, name), Wire(daemon) as wire:
        wire.go(name).send(request(CMD_DISC) + b"garbage" * 1000)
        assert wire.closed()
