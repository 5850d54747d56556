# SPDX-License-Identifier: BSD-2-Clause
"""What tests of modules share."""

import os
import subprocess

import pytest

from daemon import PLATTERCTL
from modules_support import ROOT, build

PLUGINS = ("stack", "delay", "error", "linear", "pattern")


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    """The plugins as modules, with their index."""
    directory = str(tmp_path_factory.mktemp("plugins"))
    os.chmod(directory, 0o755)
    for name in PLUGINS:
        with open(os.path.join(ROOT, "plugins", name, name + ".c"), encoding="utf-8") as source:
            build(directory, name, source.read(), "-I", ROOT)
    subprocess.run([PLATTERCTL, "depmod", directory], check=True, timeout=60)
    return directory
