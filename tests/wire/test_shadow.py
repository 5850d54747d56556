# SPDX-License-Identifier: BSD-2-Clause
"""
Requests at random, many in flight, on one connection and on several, against a copy of what the disk must hold.
Requests that are in flight together don't overlap, so that each has one right answer.
"""

import random

import pytest

from seeds import seeded
from shared import KIB, MIB, own_daemon, sparse_file
from wire_client import (CMD_CACHE, CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, FLAG_FUA, FLAG_NO_HOLE, Wire,
                         request)

SIZE = 16 * MIB
# Where bugs like to live: buffers, segments and headers begin and end here.
EDGES = [0, 28, 512, 4096, 4096 - 28, 64 * KIB, 256 * KIB, 256 * KIB - 28, MIB]


@pytest.fixture(scope="module", params=[["1"], ["2"], ["1", "--poll-us=50"], ["1", "--poll-us=auto"]],
                ids=["one reactor", "two reactors", "one that polls", "one that polls when it pays"])
def daemon(scratch, request):
    with own_daemon(f"ram=ram:{SIZE}", f"file={sparse_file(scratch, SIZE)}", options=["--threads", *request.param], tcp=True) as running:
        yield running


class Shadow:
    """What the disk holds, but for ranges that were trimmed since the last settle_trims()."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.data = bytearray(SIZE)
        self.trimmed = []

    def choose_range(self, taken):
        """A range that overlaps none of TAKEN."""
        while True:
            length = max(1, self.rng.choice(EDGES) + self.rng.randrange(-2, 3) if self.rng.random() < 0.5 else self.rng.randrange(1, 20000))
            offset = self.rng.choice([self.rng.randrange(SIZE - length + 1), (self.rng.randrange(SIZE) & ~0xFFFF) % (SIZE - length + 1)])
            if all(offset + length <= start or end <= offset for start, end in taken):
                taken.append((offset, offset + length))
                return offset, length

    def step(self, cookie, taken):
        """A request, and how much data its reply has, and what that must be."""
        command = self.rng.choices([CMD_READ, CMD_WRITE, CMD_WRITE_ZEROES, CMD_TRIM, CMD_CACHE, CMD_FLUSH], [8, 8, 2, 1, 1, 1])[0]
        flags = FLAG_FUA if self.rng.random() < 0.05 else 0
        if command == CMD_FLUSH:
            return request(CMD_FLUSH, 0, 0, flags, cookie), 0, None
        offset, length = self.choose_range(taken)
        if command == CMD_READ:
            return request(CMD_READ, offset, length, flags, cookie), length, offset
        if command == CMD_WRITE:
            payload = self.rng.randbytes(length)
            self.data[offset:offset + length] = payload
            return request(CMD_WRITE, offset, length, flags, cookie, payload), 0, None
        if command == CMD_WRITE_ZEROES:
            self.data[offset:offset + length] = bytes(length)
            return request(command, offset, length, flags | self.rng.choice([0, FLAG_NO_HOLE]), cookie), 0, None
        if command == CMD_TRIM:
            self.trimmed.append((offset, length))
        return request(command, offset, length, flags, cookie), 0, None


def receive(wire, expected, data):
    """The replies to one batch; EXPECTED: cookie -> (length, offset)."""
    while expected:
        header = wire.receive(16)
        assert header[:8] == b"\x67\x44\x66\x98\0\0\0\0"
        length, offset = expected.pop(int.from_bytes(header[8:], "big"))
        if length:
            assert wire.receive(length) == data[offset:offset + length], (offset, length)


def settle_trims(wire, shadow):
    """Reads trimmed ranges once: each byte is what it was, or zero; from then on it stays what it is."""
    for offset, length in shadow.trimmed:
        now = wire.read(offset, length)
        old = shadow.data[offset:offset + length]
        assert now == old or not any(now) or all(new in (0, was) for new, was in zip(now, old))
        shadow.data[offset:offset + length] = now
    shadow.trimmed.clear()


def run(wires, seed, batches, most):
    shadow = Shadow(seed)
    wires[0].command(CMD_WRITE_ZEROES, 0, SIZE)
    for _ in range(batches):
        taken, sent = [], []
        for wire in wires:
            batch = [shadow.step(n, taken) for n in range(shadow.rng.randrange(1, most))]
            sent.append((wire, {n: part[1:] for n, part in enumerate(batch)}))
            # One segment, or cut somewhere, so that headers and payloads begin anywhere in a receive.
            data = b"".join(part[0] for part in batch)
            cut = shadow.rng.randrange(len(data) + 1)
            wire.send(data[:cut])
            wire.send(data[cut:])
        for wire, expected in sent:
            receive(wire, expected, shadow.data)
        settle_trims(wires[0], shadow)
    assert wires[-1].read(0, SIZE) == shadow.data


@pytest.mark.parametrize("name", [b"ram", b"file"])
@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
@seeded(3)
def test_one_connection(daemon, name, tcp, seed):
    with Wire(daemon, tcp=tcp) as wire:
        run([wire.go(name)], seed, 25, 20)


@pytest.mark.parametrize("name", [b"ram", b"file"])
@seeded(3)
def test_several_connections(daemon, name, seed):
    wires = [Wire(daemon, tcp=n % 2 == 1).go(name) for n in range(4)]
    run(wires, seed, 15, 8)
    for wire in wires:
        wire.disconnect()
