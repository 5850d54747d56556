# SPDX-License-Identifier: BSD-2-Clause
"""The module nbd in a test's daemon, and the servers that it forwards to."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess

import pytest

from daemon import PLATTERCTL, PLATTERD, Daemon, end_process, wait_for

MIB = 1 << 20
MODULE = os.path.join(os.path.dirname(PLATTERD), "plugins/nbd/nbd.so")

if not os.path.exists(MODULE):
    pytest.skip("the module nbd isn't built: configure found no libnbd", allow_module_level=True)


def folder(directory, name):
    path = os.path.join(directory, name)
    os.makedirs(path, exist_ok=True)
    return path


def image(directory, size, name="disk.img"):
    path = os.path.join(directory, name)
    with open(path, "wb") as file:
        file.truncate(size)
    return path


class Front(Daemon):
    """A platterd whose export `r` is that of the server at URI; KEYS begin with a comma."""

    def __init__(self, directory, uri, *exports, keys="", **keywords):
        home = folder(directory, "front")
        modules = folder(directory, "plugins")
        if not os.path.exists(os.path.join(modules, "nbd.so")):
            os.chmod(shutil.copy(MODULE, modules), 0o644)
            subprocess.run([PLATTERCTL, "depmod", modules], check=True, timeout=60)
        keywords["options"] = ["--modules", modules, *keywords.get("options", ())]
        super().__init__(home, f"r=nbd:uri={uri}{keys}", *exports, **keywords)

    def connections(self):
        """What the disk says of each."""
        return self.ctl("ioctl", "r", "connections").splitlines()

    def users(self):
        return next(disk["users"] for disk in self.ctl_json("lsblk")["disks"] if disk["name"] == "r")

    def wait_until_closed(self):
        wait_for(lambda: self.users() == 0 and not self.connections(), "the disk is released")


def upstream(directory, *exports, name="upstream", **keywords):
    """A platterd to forward to; one that follows another in its folder has the same addresses, but for TCP."""
    return Daemon(folder(directory, name), *exports, **keywords)


@contextlib.contextmanager
def server(directory, *command, ready):
    """Another server, whose unix socket is READY; it is killed in the end, for some wait for their clients."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(ready)
    with open(os.path.join(directory, "server.log"), "ab") as log:
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: answers(ready) or process.poll() is not None, f"{command[0]} listens")
        assert process.poll() is None, command
        yield process
    finally:
        end_process(process, signal.SIGKILL)


def answers(path):
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


@contextlib.contextmanager
def nbdkit(directory, *arguments):
    """nbdkit with ARGUMENTS, whose address is given."""
    path = os.path.join(directory, "nbdkit.sock")
    with server(directory, "nbdkit", "--foreground", "--unix", path, *arguments, ready=path):
        yield f"nbd+unix:///?socket={path}"


@contextlib.contextmanager
def qemu_nbd(directory, file, *arguments):
    path = os.path.join(directory, "qemu.sock")
    with server(directory, "qemu-nbd", "--persistent", "--socket", path, "--format", "raw", "--shared", "8", "--discard", "unmap",
                "--cache", "none" if "--read-only" in arguments else "writeback", *arguments, file, ready=path):
        yield f"nbd+unix:///?socket={path}"
