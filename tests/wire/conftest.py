# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures of the wire tests."""

import shutil
import tempfile

import pytest


@pytest.fixture(scope="module")
def scratch():
    """A directory for all tests of a module."""
    path = tempfile.mkdtemp(prefix="platter-")
    yield path
    shutil.rmtree(path, ignore_errors=True)
