# SPDX-License-Identifier: BSD-2-Clause
"""Whatever was answered as durable is there when the power of the disks was cut, and nothing foreign is; see ledger.py."""

import os
import random

import pytest

from control_client import ControlClient
from daemon import Daemon, wait_for
from ledger import Lost
from load import Disk, Load
from seeds import rounds, seeded
from volatile_support import load, stats

SECTORS = 2048
# How the queue of each disk is set, how much the load has that can be merged, and how much of it is, at least and at most.
SETUPS = {
    "none": (["scheduler=none"], 4, 0, 0.1),
    "merge": (["scheduler=merge"], 4, 0.2, 1),
    "deadline": (["scheduler=deadline"], 4, 0.2, 1),
    "merge, all that can": (["scheduler=merge", "queue_depth=1", "plug_us=2000"], 40, 0.5, 1),
    # As long as it isn't known what the clients send, each has few places among those that are sorted.
    "deadline, all that can": (["scheduler=deadline", "queue_depth=1", "plug_us=2000"], 40, 0.4, 1),
}


class Machine:
    """A daemon with two disks of the driver volatile; their stores stay when the disks are removed and added again."""

    def __init__(self, daemon, attributes=(), neighbours=4):
        self.daemon = daemon
        self.attributes = attributes
        self.neighbours = neighbours
        self.disks = [Disk(name, number, SECTORS) for number, name in enumerate(("v", "w"), 1)]
        self.control = ControlClient(daemon)
        self.merged = self.requests = 0

    def plug_in(self, seed):
        for disk in self.disks:
            store = os.path.join(self.daemon.directory, disk.name + ".store")
            self.control.result("export.add", spec=f"{disk.name}=volatile:{SECTORS * 512},seed={seed},cache=256K,store={store}")
            if self.attributes:
                self.daemon.ctl("queue", disk.name, *self.attributes)

    def set(self, **parameters):
        for name, value in parameters.items():
            self.control.result("module.param.set", name="volatile", param=name, value=str(value))

    def ioctl(self, command):
        for disk in self.disks:
            self.control.result("disk.ioctl", disk=disk.name, command=command)

    def verify(self):
        for disk in self.disks:
            disk.ledger.verify(disk.read_all(self.daemon))

    def unplug(self):
        """Only this makes the server forget that a FLUSH failed for want of power."""
        for disk in self.disks:
            assert stats(self.daemon, disk.name)["overlaps"] == 0
            ops = self.control.result("stats", disk=disk.name)["disks"][0]["ops"]
            self.merged += sum(op["merged"] for op in ops.values())
            self.requests += sum(op["requests"] for op in ops.values())
            self.control.result("export.remove", name=disk.name, drain=60)


def one_round(machine, seed):
    """What it does depends on SEED alone; what the server makes of it, also on time."""
    chosen = random.Random(seed)
    faulty = chosen.random() < 0.2
    machine.plug_in(chosen.randrange(1 << 32))
    machine.set(delay_us=chosen.choice([0, 0, 100, 1000, 5000]), pieces=chosen.choice([1, 3, 16]),
                fail_per_million=20000 if faulty else 0, short_per_million=20000 if faulty else 0)
    clients = Load(machine.daemon, machine.disks, chosen, faulty, machine.neighbours)
    clients.run(chosen.randrange(10, 400))
    machine.ioctl("cut")
    machine.set(delay_us=0, fail_per_million=0, short_per_million=0)
    clients.drain()
    machine.ioctl("power")
    machine.verify()
    machine.unplug()


def many_rounds(directory, seed, count, attributes=(), neighbours=4, **parameters):
    """The share of the requests that were merged."""
    with Daemon(directory) as daemon:
        # A FLUSH that a power cut ended has failed.
        daemon.good_statuses = {0, 1}
        load(daemon, **parameters)
        machine = Machine(daemon, attributes, neighbours)
        for number in range(count):
            try:
                one_round(machine, f"{seed}.{number}")
            except Lost as lost:
                raise Lost(f"seed {seed}, round {number}: {lost}") from None
        return machine.merged / machine.requests


@pytest.mark.parametrize("setup", SETUPS)
@seeded(2)
def test_nothing_durable_is_lost(directory, setup, seed):
    attributes, neighbours, least, most = SETUPS[setup]
    assert least <= many_rounds(directory, seed, rounds(30), attributes, neighbours) <= most


@pytest.mark.parametrize("lie", ["flush", "fua"])
@seeded(2)
def test_a_disk_that_lies_is_caught(directory, lie, seed):
    """That is, the test above can fail."""
    with pytest.raises(Lost, match=f"seed {seed}, round .*may be"):
        many_rounds(directory, seed, 30, lie=lie)
