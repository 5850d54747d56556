# SPDX-License-Identifier: BSD-2-Clause
"""How connections end: what is in flight, what has not started, and what came in only in part."""

import socket

import pytest

from daemon import wait_for
from shared import KIB, MIB, close, half_close, noise, own_daemon, reset, sparse_file
from wire_client import CMD_DISC, CMD_FLUSH, CMD_READ, CMD_WRITE, Closed, Wire, request

SIZE = 16 * MIB
# Requests of one connection that the server takes at a time.
MOST_IN_FLIGHT = 256
QUEUE_DEPTH = 128


@pytest.fixture(scope="module")
def daemon(scratch):
    with own_daemon(f"ram=ram:{SIZE}", f"file={sparse_file(scratch, SIZE)}", "slow=null:1M,delay=300000", "null=null:1M",
                    options=["--threads", "1"], tcp=True) as running:
        yield running


@pytest.fixture(params=[b"ram", b"file"])
def name(request):
    return request.param


def replies_until_closed(wire, length=0):
    replies = []
    while True:
        try:
            replies.append(wire.reply(length))
        except Closed:
            return replies


def taken(daemon):
    return daemon.stats()["requests"]


def alone(daemon):
    wait_for(lambda: daemon.stats()["connections"] == 0, "the connection is gone")


@pytest.mark.parametrize("count", [1, 10, 300])
def test_disc_answers_what_is_in_flight(daemon, count):
    with Wire(daemon) as wire:
        wire.go(b"slow").send(b"".join(request(CMD_READ, 0, 16, cookie=n) for n in range(count)) + request(CMD_DISC))
        assert sorted(replies_until_closed(wire, 16)) == [(0, n, bytes(16)) for n in range(count)]


def test_disc_answers_large_replies_whole(daemon, name):
    with Wire(daemon) as wire:
        wire.go(name).send(request(CMD_READ, 0, 4 * MIB) * 20 + request(CMD_DISC))
        assert [error for error, _, _ in replies_until_closed(wire, 4 * MIB)] == [0] * 20


def test_nothing_behind_disc_is_done(daemon, name):
    with Wire(daemon) as wire:
        wire.go(name)
        assert wire.write(0, bytes(512)) == 0
        wire.send(request(CMD_DISC) + request(CMD_WRITE, 0, 512, payload=b"x" * 512) + request(CMD_FLUSH))
        assert wire.closed()
    alone(daemon)
    with Wire(daemon) as wire:
        assert wire.go(name).read(0, 512) == bytes(512)


def test_half_close_answers_what_is_in_flight(daemon):
    before = taken(daemon)
    with Wire(daemon) as wire:
        wire.go(b"slow").send(b"".join(request(CMD_READ, 0, 16, cookie=n) for n in range(50)))
        wait_for(lambda: taken(daemon) == before + 50, "the requests are taken")
        wire.socket.shutdown(socket.SHUT_WR)
        assert sorted(replies_until_closed(wire, 16)) == [(0, n, bytes(16)) for n in range(50)]


def test_half_close_starts_nothing_new(daemon):
    before = taken(daemon)
    with Wire(daemon) as wire:
        wire.go(b"slow").send(b"".join(request(CMD_READ, 0, 16, cookie=n) for n in range(MOST_IN_FLIGHT + 100)))
        wait_for(lambda: taken(daemon) == before + MOST_IN_FLIGHT, "as many requests as may be are taken")
        wire.socket.shutdown(socket.SHUT_WR)
        # What the driver has is answered; what waits behind that, or in the socket, never starts.
        assert sorted(replies_until_closed(wire, 16)) == [(0, n, bytes(16)) for n in range(QUEUE_DEPTH)]


def fill_pipe(daemon, wire, name):
    """Leaves the server with more replies than it can send: it stops reading."""
    before = taken(daemon)
    wire.go(name).send(request(CMD_READ, 0, 128 * KIB) * (2 * MOST_IN_FLIGHT))
    wait_for(lambda: taken(daemon) >= before + MOST_IN_FLIGHT, "the server has its hands full")


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_writes_before_a_hang_up_without_disc_are_dropped(daemon, name, tcp):
    with Wire(daemon) as wire:
        assert wire.go(name).write(MIB, bytes(4096)) == 0
    with Wire(daemon, tcp=tcp) as wire:
        fill_pipe(daemon, wire, name)
        wire.send(request(CMD_WRITE, MIB, 4096, payload=b"late" * 1024))
        wire.socket.shutdown(socket.SHUT_WR)
        while wire.socket.recv(MIB):
            pass
    alone(daemon)
    with Wire(daemon) as wire:
        assert wire.go(name).read(MIB, 4096) == bytes(4096)


# A TCP connection that is closed while replies are unread is reset: what the server has not got is lost.
@pytest.mark.parametrize("end, tcp", [(close, False), (half_close, False), (half_close, True)], ids=["close", "half close", "half close tcp"])
@pytest.mark.parametrize("length", [16, 4096, 64 * KIB])
def test_writes_before_a_hang_up_with_disc_are_done(daemon, name, tcp, length, end):
    data = noise(length, length + tcp)
    with Wire(daemon, tcp=tcp) as wire:
        fill_pipe(daemon, wire, name)
        # No more than fits into the sockets beside what the server hasn't read.
        wire.send(request(CMD_WRITE, MIB, length, payload=data) + request(CMD_DISC))
        end(wire)
    alone(daemon)
    with Wire(daemon) as wire:
        assert wire.go(name).read(MIB, length) == data


@pytest.mark.parametrize("length, count", [(4096, 1), (4096, 20), (64 * KIB, 40), (MIB, 6)])
def test_writes_before_disc_and_a_close_are_done(daemon, name, length, count):
    for round_ in range(5):
        data = noise(length * count, round_ + length)
        with Wire(daemon) as wire:
            wire.go(name).send(b"".join(request(CMD_WRITE, n * length, length, 0, n, data[n * length:(n + 1) * length])
                                        for n in range(count)) + request(CMD_DISC))
        alone(daemon)
        with Wire(daemon) as wire:
            assert wire.go(name).read(0, length * count) == data


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
@pytest.mark.parametrize("end", [close, reset, half_close])
@pytest.mark.parametrize("length", [100, 4096, 8192, 200 * KIB, 256 * KIB, 256 * KIB + 1, MIB, 5 * MIB])
def test_a_payload_that_came_in_part_is_not_written(daemon, name, length, end, tcp):
    with Wire(daemon) as other:
        other.go(name)
        before = noise(length)
        assert other.write(4096, before) == 0
        for sent in 0, 1, length // 2, length - 1:
            with Wire(daemon, tcp=tcp) as wire:
                wire.go(name).send(request(CMD_WRITE, 4096, length) + b"!" * sent)
                end(wire)
            wait_for(lambda: daemon.stats()["connections"] == 1, "the connection is gone")
            assert other.read(4096, length) == before


def test_a_client_that_shut_its_reading_side_cannot_send_for_ever(daemon):
    """None of it may run before DISC, and all of it would have to be kept."""
    before = daemon.memory()
    with Wire(daemon) as wire:
        wire.go(b"ram")
        wire.socket.shutdown(socket.SHUT_RD)
        with pytest.raises(OSError):
            for _ in range(512):
                wire.send(request(CMD_WRITE, 0, MIB, payload=bytes(MIB)))
        assert daemon.memory() - before < 128 * MIB
