# SPDX-License-Identifier: BSD-2-Clause
"""How many reactors there are, and which of them serves a connection."""

import os
import re

import pytest

from daemon import Daemon, wait_for
from shared import MIB, own_daemon, sparse_file
from wire_client import Wire


def connections(daemon):
    """How many each reactor has."""
    daemon.stats()
    latest = dict(re.findall(r"reactor (\d+): (\d+) connections", daemon.log()))
    return [int(count) for count in latest.values()]


def reactors(directory, *command):
    with Daemon(directory, "ram:1M", command=command) as daemon:
        return int(re.search(r"(\d+) reactors? on", daemon.log())[1])


def test_there_is_one_for_each_core_that_may_be_used(directory):
    cores = sorted(os.sched_getaffinity(0))
    assert reactors(directory) == min(len(cores), 1024)
    assert reactors(directory, "taskset", "-c", str(cores[-1])) == 1
    if len(cores) > 2:
        assert reactors(directory, "taskset", "-c", f"{cores[0]},{cores[-1]}") == 2


@pytest.fixture(scope="module")
def daemon(scratch):
    with own_daemon("null=null:1M", "fixed-ram=ram:1M,readonly", f"fixed-file={sparse_file(scratch, MIB)},readonly", "home=ram:1M",
                    options=["--threads", "3"]) as running:
        yield running


@pytest.mark.parametrize("name", [b"null", b"fixed-ram", b"fixed-file"])
def test_who_needs_no_home_goes_where_there_is_least_to_do(daemon, name):
    def spread(*counts):
        """Each moves once, in the moment in which it has its answer."""
        wait_for(lambda: sorted(connections(daemon)) == [*counts], f"the connections are spread like {counts}")

    spread(0, 0, 0)
    at_home = [Wire(daemon).go(b"home") for _ in range(4)]
    spread(0, 0, 4)
    anywhere = [Wire(daemon).go(name) for _ in range(8)]
    spread(4, 4, 4)
    for wire in at_home:
        wire.disconnect()
    spread(0, 4, 4)
    anywhere += [Wire(daemon).go(name) for _ in range(4)]
    spread(4, 4, 4)
    for wire in anywhere:
        wire.disconnect()
