# SPDX-License-Identifier: BSD-2-Clause
"""What all tests share: each has a directory of its own, short enough for socket paths, which goes with the test."""

import shutil
import tempfile

import pytest


@pytest.fixture
def directory():
    path = tempfile.mkdtemp(prefix="platter-")
    yield path
    shutil.rmtree(path, ignore_errors=True)
