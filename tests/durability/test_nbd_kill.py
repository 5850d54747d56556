# SPDX-License-Identifier: BSD-2-Clause
"""A disk that another server has goes on through that server's kills: nothing fails, and nothing that was answered is lost."""

import random
import signal

import pytest

from ledger import Lost
from load import Disk, Load
from nbd_support import Front, image, upstream
from seeds import rounds, seeded

SECTORS = 8192


@pytest.mark.parametrize("keys", ["", ",connections=16", ",connections=4,queue.scheduler=merge"])
@seeded(1)
def test_the_server_is_killed_again_and_again(directory, keys, seed):
    chosen = random.Random(seed)
    path = image(directory, SECTORS * 512)
    disk = Disk("r", 1, SECTORS, lasting=True)
    server = upstream(directory, "x=" + path)
    try:
        with Front(directory, server.uri("x"), keys=keys) as front:
            clients = Load(front, [disk], chosen)
            for _ in range(rounds(10)):
                clients.run(chosen.randrange(1, 600))
                # With requests on their way.
                server.stop(signal.SIGKILL)
                server = upstream(directory, "x=" + path)
                clients.run(chosen.randrange(1, 300))
            clients.drain()
            disk.ledger.verify(disk.read_all(front))
            assert "no connection" not in front.log()
    except Lost as lost:
        raise Lost(f"seed {seed}: {lost}\nthe last lines of the front's log:\n{front.log()[-4000:]}"
                   f"\nof the server's:\n{server.log()[-2000:]}") from None
    finally:
        server.stop(signal.SIGKILL)
    with open(path, "rb") as file:
        disk.ledger.verify(file.read())


@seeded(1)
def test_both_servers_are_killed_again_and_again(directory, seed):
    """What was answered is in the other server by then."""
    chosen = random.Random(seed)
    path = image(directory, SECTORS * 512)
    disk = Disk("r", 1, SECTORS, lasting=True)
    for number in range(rounds(5) + 1):
        with upstream(directory, "x=" + path) as server, Front(directory, server.uri("x"), keys=",connections=2") as front:
            try:
                disk.ledger.verify(disk.read_all(front))
                clients = Load(front, [disk], chosen)
                clients.run(chosen.randrange(1, 600))
                for one in chosen.sample([server, front], 2):
                    one.stop(signal.SIGKILL)
                clients.bury()
            except Lost as lost:
                raise Lost(f"seed {seed}, round {number}: {lost}") from None
