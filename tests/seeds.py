# SPDX-License-Identifier: BSD-2-Clause
"""
Seeds of the random tests.  PLATTER_TEST_SEED=N gives all of them others, PLATTER_TEST_ROUNDS=N has the tests that
repeat themselves do so N times, PLATTER_TEST_SECONDS=N has those that go on for a time do so for N seconds;
`make nightly` sets them.  A failing test's name holds its seed.
"""

import os

import pytest

BASE = int(os.environ.get("PLATTER_TEST_SEED", "0"))
ROUNDS = int(os.environ.get("PLATTER_TEST_ROUNDS", "0"))
SECONDS = int(os.environ.get("PLATTER_TEST_SECONDS", "0"))


def seeded(count):
    """Runs a test with COUNT values of its parameter `seed`; `pytest -m seeded` chooses all that are marked so."""
    def mark(function):
        return pytest.mark.seeded(pytest.mark.parametrize("seed", range(BASE * 1000, BASE * 1000 + count))(function))
    return mark


def rounds(usual):
    return ROUNDS or usual


def seconds(usual):
    return SECONDS or usual
