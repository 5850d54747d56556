# SPDX-License-Identifier: BSD-2-Clause
"""The file driver: a reply means that the kernel has the data, so that killing the server loses nothing of it."""

import random
import select
import signal
import struct

import pytest
from daemon import Daemon
from driver_support import KIB, MIB, connect, content, make_file
from seeds import rounds, seeded
from wire_client import CMD_WRITE, CMD_WRITE_ZEROES, FLAG_FUA, FLAG_NO_HOLE, Closed, request

BLOCK = 4 * KIB
BLOCKS = 4 * MIB // BLOCK
DEPTH = 12


def stamp(block, version):
    return struct.pack(">QQ", block, version) * (BLOCK // 16)


class Load:
    """Stamped writes on several connections; knows what each block may hold."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.version = 0
        self.acknowledged = [bytes(BLOCK)] * BLOCKS
        self.flying = {}  # block -> what is being written there; never two writes of one block
        self.requests = {}  # cookie -> blocks
        self.replies = 0

    def start(self, wire):
        """Sends a request for blocks that no other request is writing."""
        count = self.random.choice([1, 1, 1, 2, 5, 16, 70])
        first = self.random.randrange(BLOCKS - count)
        blocks = range(first, first + count)
        if any(block in self.flying for block in blocks):
            return
        self.version += 1
        zeroes = self.random.random() < 0.2
        flags = self.random.choice([0, 0, 0, FLAG_FUA]) | (self.random.choice([0, FLAG_NO_HOLE]) if zeroes else 0)
        for block in blocks:
            self.flying[block] = bytes(BLOCK) if zeroes else stamp(block, self.version)
        self.requests[self.version] = blocks
        payload = b"" if zeroes else b"".join(self.flying[block] for block in blocks)
        wire.send(request(CMD_WRITE_ZEROES if zeroes else CMD_WRITE, first * BLOCK, count * BLOCK, flags, self.version, payload))
        wire.in_flight += 1

    def answer(self, wire):
        error, cookie, _ = wire.reply()
        assert error == 0
        for block in self.requests.pop(cookie):
            self.acknowledged[block] = self.flying.pop(block)
        wire.in_flight -= 1
        self.replies += 1

    def check(self, found):
        """Each block has what was acknowledged last, or what was on its way there."""
        for block in range(BLOCKS):
            here = found[block * BLOCK:(block + 1) * BLOCK]
            assert here in (self.acknowledged[block], self.flying.get(block)), f"block {block}: {here[:16].hex()}"

    def settle(self, found):
        """What was on its way has arrived, or never will."""
        self.acknowledged = [found[block * BLOCK:(block + 1) * BLOCK] for block in range(BLOCKS)]
        self.flying.clear()
        self.requests.clear()


def kill_under_load(daemon, load, replies):
    wires = [connect(daemon) for _ in range(3)]
    for wire in wires:
        wire.in_flight = 0
    end = load.replies + replies
    while load.replies < end:
        for wire in wires:
            while wire.in_flight < DEPTH:
                load.start(wire)
        for ready in select.select([wire.socket for wire in wires], [], [], 60)[0]:
            load.answer(next(wire for wire in wires if wire.socket is ready))
    daemon.stop(signal.SIGKILL)
    # What the server sent before it died counts, too.
    for wire in wires:
        try:
            while True:
                load.answer(wire)
        except Closed:
            wire.socket.close()


@pytest.mark.parametrize("keys", ["", ",direct=on"])
@seeded(2)
def test_what_was_acknowledged_survives_kill(directory, keys, seed):
    """The next server starts at once, when the kernel may still be busy with the last one's writes."""
    path = make_file(directory, BLOCKS * BLOCK)
    load = Load(seed)
    for _ in range(rounds(6)):
        with Daemon(directory, path + keys) as daemon:
            found = content(path)
            load.check(found)
            load.settle(found)
            kill_under_load(daemon, load, load.random.randrange(1, 300))
    with Daemon(directory, path + keys) as daemon, connect(daemon) as wire:
        load.check(wire.read(0, BLOCKS * BLOCK))
    load.check(content(path))
