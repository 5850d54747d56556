# SPDX-License-Identifier: BSD-2-Clause
"""What the RAM disk costs as a module: what it costs linked in, but for a jump where it calls the host."""

import os
import sys

import pytest
from daemon import PLATTERD, SANITIZED

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../bench"))
from block_cost import BlockCost  # noqa: E402

BENCH = os.path.join(os.path.dirname(PLATTERD), "bench")
# A request through the layer is some hundred instructions; of another order are counts of something else.
LEAST, MOST = 100, 10000


@pytest.fixture
def cost(directory):
    return BlockCost(os.path.join(BENCH, "platter-block"), os.path.join(BENCH, "ram.so"), directory)


@pytest.mark.parametrize("op", ["read", "write"])
def test_linked_and_as_a_module_in_one_run(cost, op):
    figures = cost.nanoseconds(3, 1000, *cost.driver_arguments(op))
    assert list(figures) == ["linked", "module"]
    assert all(len(rounds) == 3 and min(rounds) > 0 for rounds in figures.values())


@pytest.mark.skipif(SANITIZED, reason="valgrind cannot run what the address sanitizer has instrumented")
@pytest.mark.parametrize("op", ["read", "write"])
def test_a_module_takes_the_instructions_that_it_takes_linked_in(cost, op):
    count = cost.instructions(2000, *cost.driver_arguments(op), "--size", "4M")
    assert LEAST < count["linked"] < MOST
    assert LEAST < count["module"] <= 1.02 * count["linked"]
