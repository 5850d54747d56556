# SPDX-License-Identifier: BSD-2-Clause
"""The module volatile in a test's daemon: where it is, and what its disks say."""

import os
import shutil

from daemon import PLATTERD

SECTOR = 512


def load(daemon, **parameters):
    """Loads the module as it was built, which may be with sanitizers."""
    path = shutil.copy(os.path.join(os.path.dirname(PLATTERD), "plugins/volatile/volatile.so"), daemon.directory)
    os.chmod(path, 0o644)
    daemon.ctl("insmod", path, *(f"{name}={value}" for name, value in parameters.items()))


def stats(daemon, disk="v"):
    """The numbers that the disk's ioctl stats prints."""
    lines = (line.split() for line in daemon.ctl("ioctl", disk, "stats").splitlines())
    return {name: value if name == "power" else int(value) for name, value in lines}


def set_parameters(daemon, **parameters):
    for name, value in parameters.items():
        daemon.ctl("param", "volatile", name, str(value))
