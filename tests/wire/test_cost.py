# SPDX-License-Identifier: BSD-2-Clause
"""What a request costs once things are warm: no allocation, and few system calls."""

import pytest

from batches import DEPTH, MIXES, batch_of
from daemon import wait_for
from shared import KIB, MIB, SANITIZED, own_daemon, sparse_file
from wire_client import CMD_READ, CMD_WRITE, Wire

ROUNDS = 10000 // DEPTH + 1
LARGE = {"large reads": [(CMD_READ, 300 * KIB)], "large writes": [(CMD_WRITE, 300 * KIB)], "larger writes": [(CMD_WRITE, MIB)]}


@pytest.fixture(scope="module")
def daemon(scratch):
    with own_daemon("ram=ram:64M", "null=null:64M", f"file={sparse_file(scratch, 64 * MIB)}", options=["--threads", "1", "--poll-us", "0"]) as running:
        yield running


def cost(daemon, wire, mix, depth, rounds):
    """Counters of ROUNDS batches, after some that make things warm."""
    sent, received = batch_of(mix, depth)
    before = None
    for done in range(rounds + 20):
        if done == 20:
            before = daemon.stats()
        wire.send(sent)
        wire.receive(received)
    after = daemon.stats()
    difference = {name: after[name] - before[name] for name in after}
    assert difference["requests"] == rounds * depth
    return difference


@pytest.mark.parametrize("name", [b"ram", b"null", b"file"])
@pytest.mark.parametrize("mix", MIXES)
def test_no_request_is_allocated_when_warm(daemon, name, mix):
    with Wire(daemon) as wire:
        assert cost(daemon, wire.go(name), MIXES[mix], DEPTH, ROUNDS)["request allocations"] == 0


@pytest.mark.parametrize("name", [b"ram", b"null", b"file"])
@pytest.mark.parametrize("mix", LARGE)
def test_buffers_are_used_again(daemon, name, mix):
    with Wire(daemon) as wire:
        difference = cost(daemon, wire.go(name), LARGE[mix], 4, 60)
    # How many are in use at a time depends on who is quicker, but 60 rounds move 72 MiB and more.
    assert difference["bytes of buffers"] <= 8 * MIB


@pytest.mark.skipif(SANITIZED, reason="a batch may come in parts when the server is slow")
@pytest.mark.parametrize("name", [b"ram", b"null"])
@pytest.mark.parametrize("mix", MIXES)
def test_at_most_one_system_call_for_ten_pipelined_requests(daemon, name, mix):
    with Wire(daemon) as wire:
        difference = cost(daemon, wire.go(name), MIXES[mix], DEPTH, ROUNDS)
    assert difference["system calls"] / difference["requests"] <= 0.1


@pytest.mark.skipif(SANITIZED, reason="a batch may come in parts when the server is slow")
@pytest.mark.parametrize("name", [b"ram", b"file"])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_few_small_writes_at_a_time_come_with_one_receive(daemon, name, depth):
    """And with one send; a file's own work is none of the ring's here."""
    with Wire(daemon) as wire:
        difference = cost(daemon, wire.go(name), MIXES["writes"], depth, 200)
    assert difference["operations"] <= 200 * 2.2


@pytest.mark.skipif(SANITIZED, reason="a batch may come in parts when the server is slow")
@pytest.mark.parametrize("company", [False, True])
def test_who_sends_hundreds_of_requests_shares_the_turns(daemon, company):
    """But not when nobody else is there."""
    with Wire(daemon) as wire, Wire(daemon) as other:
        wire.go(b"ram")
        if company:
            other.go(b"ram")
        else:
            other.socket.close()
            wait_for(lambda: daemon.stats()["connections"] == 1, "the other one has gone")
        difference = cost(daemon, wire, [(CMD_READ, 512)], 256, 20)
    # 64 in a turn, and one more turn or two when they are through; whole batches come with one or two receives.
    least, most = (20 * 4, 20 * 8) if company else (20, 20 * 4 - 1)
    assert least <= difference["turns"] <= most


@pytest.mark.parametrize("name", [b"ram", b"null"])
def test_waiting_costs_nothing(daemon, name):
    with Wire(daemon) as wire:
        wire.go(name)
        before = daemon.stats()
        for _ in range(100):
            wire.read(0, 512)
        # A receive and a send each, and the counters themselves.
        assert daemon.stats()["system calls"] - before["system calls"] <= 100 * 4 + 20


@pytest.fixture(scope="module")
def secured():
    with own_daemon("ram=ram:64M", options=["--threads", "1", "--poll-us", "0"], tls=True) as running:
        yield running


@pytest.mark.skipif(SANITIZED, reason="a batch may come in parts when the server is slow")
@pytest.mark.parametrize("length, depth, sends", [(4 * KIB, 8, 1), (4 * KIB, 32, 3), (128 * KIB, 1, 1)])
def test_in_tls_many_small_replies_go_out_in_parts(secured, length, depth, sends):
    """So that the client isn't idle while the last ones are encrypted; what is one reply goes at once."""
    with Wire(secured) as wire:
        difference = cost(secured, wire.go(b"ram"), [(CMD_READ, length)], depth, 50)
    # And a receive for each batch.
    assert 50 * (sends + 1) <= difference["operations"] <= 50 * (sends + 1) * 1.1
