# SPDX-License-Identifier: BSD-2-Clause
"""What is set of a queue while its disk is used, requests on their way, counts from the next one on that the driver is given."""

import pytest

from control_client import ControlClient
from daemon import Daemon, wait_for
from wire_client import CMD_READ, CMD_WRITE, Wire, request

BLOCK = 4096
# Behind what is written in a row; no neighbours.
APART = range(128, 256, 2)


class Client:
    """Of the disk h, whose driver keeps what it is given: sees what that is, and has it end.  It counts in blocks."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.control = ControlClient(daemon)
        self.wire = Wire(daemon).go(b"h")
        self.apart = iter(APART)
        self.answers = {}  # of each block that is on its way, who waits for one, with how much data

    def set(self, *settings):
        self.daemon.ctl("queue", "h", *settings)

    def in_flight(self):
        (disk,) = self.control.result("stats", disk="h")["disks"]
        return sum(op["in_flight"] for op in disk["ops"].values())

    def send(self, command, *blocks, wire=None):
        payload, answer = (bytes(BLOCK), 0) if command == CMD_WRITE else (b"", BLOCK)
        wire = wire or self.wire
        wire.send(b"".join(request(command, block * BLOCK, BLOCK, cookie=block, payload=payload) for block in blocks))
        self.answers.update({block: (wire, answer) for block in blocks})
        # The reactor is asked between two turns: then the driver has been given what it was to be given.
        wait_for(lambda: self.in_flight() == len(self.answers), "they are there")

    def write(self, *blocks):
        self.send(CMD_WRITE, *blocks)

    def write_apart(self, count):
        self.write(*(next(self.apart) for _ in range(count)))

    def given(self):
        """What the driver has: [(first, count), ...]."""
        assert self.in_flight() == len(self.answers)
        lines = self.control.result("disk.ioctl", disk="h", command="list")["text"].splitlines()
        return [tuple(int(number) // BLOCK for number in line.split()) for line in lines]

    def end(self, count=1):
        """The oldest COUNT that the driver has; what it has then."""
        for first, blocks in self.given()[:count]:
            self.control.result("disk.ioctl", disk="h", command="end")
            for block in range(first, first + blocks):
                wire, length = self.answers.pop(block)
                assert wire.reply(length)[0] == 0
        return self.given()

    def end_all(self):
        while self.end():
            pass
        assert not self.answers


@pytest.fixture
def client(directory, hold_module):
    with Daemon(directory, options=["--threads", "1"]) as daemon:
        daemon.ctl("insmod", hold_module)
        daemon.ctl("export", "add", "h=hold:1M,depth=128")
        one = Client(daemon)
        yield one
        one.end_all()
        one.wire.disconnect()


@pytest.fixture
def other(client):
    with Wire(client.daemon).go(b"h") as wire:
        yield wire
        client.end_all()


@pytest.mark.parametrize("scheduler", ["none", "merge", "deadline"])
def test_queue_depth(client, scheduler):
    client.set(f"scheduler={scheduler}")
    client.write_apart(6)
    assert len(client.given()) == 6
    client.set("queue_depth=4")
    client.write_apart(8)
    assert len(client.given()) == 6
    assert len(client.end(2)) == 4
    assert len(client.end(2)) == 4
    client.set("queue_depth=100")
    assert len(client.end()) == 9


def test_async_depth(client):
    """It counts as long as reads come: one did within the hour."""
    client.set("scheduler=deadline", "read_expire=3600000")
    client.send(CMD_READ, 0)
    assert client.end() == []
    client.write_apart(20)
    assert len(client.given()) == 8
    client.set("async_depth=3")
    assert len(client.end(5)) == 3
    assert len(client.end()) == 3
    client.set("async_depth=10")
    assert len(client.end()) == 10


def test_fair_depth(client, other):
    """It counts as long as another connection has something there, too."""
    client.write_apart(20)
    client.send(CMD_WRITE, 0, wire=other)
    client.write_apart(10)
    assert len(client.given()) == 20 + 1
    client.set("fair_depth=18")
    assert len(client.end(3)) == 18 + 1
    client.set("fair_depth=4")
    assert len(client.end()) == 17 + 1
    client.set("fair_depth=100")
    assert len(client.end()) == 25 + 1


def singles(first, count):
    return [(block, 1) for block in range(first, first + count)]


@pytest.mark.parametrize("scheduler", ["merge", "deadline"])
def test_run_depth(client, scheduler):
    """A run begins with the second of a row."""
    def in_a_row(first):
        for block in range(first, first + 8):
            client.write(block)
        return client.given()

    client.set(f"scheduler={scheduler}")
    assert in_a_row(0) == singles(0, 3)
    assert client.end(2) == [(2, 1), (3, 5)]
    client.end_all()
    client.set("run_depth=4")
    assert in_a_row(16) == singles(16, 5)
    client.end_all()
    client.set("run_depth=0")
    assert in_a_row(32) == singles(32, 8)


@pytest.mark.parametrize("scheduler", ["merge", "deadline"])
def test_max_sectors_kb(client, scheduler):
    client.set(f"scheduler={scheduler}", "queue_depth=1")
    client.write_apart(1)
    client.write(*range(32))
    client.set("max_sectors_kb=16")
    assert client.end() == [(0, 4)]
    assert client.end() == [(4, 4)]
    client.set("max_sectors_kb=30")
    assert client.end() == [(8, 7)]
    client.set("max_sectors_kb=1280")
    assert client.end() == [(15, 17)]


def test_nomerges(client):
    """0: with all; 1: only with what is behind the one that came first; 2: not at all."""
    client.set("scheduler=merge", "queue_depth=1")
    all_one = [(0, 5)]
    behind = [(2, 3), (1, 1), (0, 1)]
    alone = [(2, 1), (1, 1), (0, 1), (3, 1), (4, 1)]
    for nomerges, merged in ((0, all_one), (2, alone), (1, behind), (0, all_one)):
        client.set(f"nomerges={nomerges}")
        # It counts for what comes once the driver has been given something.
        client.write_apart(1)
        client.write(2, 1, 0, 3, 4)
        assert [client.end() for _ in merged] == [[one] for one in merged]
        client.end_all()
