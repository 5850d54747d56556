# SPDX-License-Identifier: BSD-2-Clause
"""mount.nbd and umount.nbd, as far as they need no kernel driver: how they are called, and what they exit with."""

import os
import subprocess

import pytest

from daemon import PLATTER


@pytest.fixture
def helper(directory):
    """Runs platter under another name, and with a mount and umount that only tell how they were called."""
    for name in ("mount.nbd", "umount.nbd"):
        os.symlink(os.path.abspath(PLATTER), os.path.join(directory, name))
    for name in ("mount", "umount"):
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\necho {name} "$@"\nexit 5\n')
        os.chmod(os.path.join(directory, name), 0o755)

    def run(name, *arguments):
        done = subprocess.run([os.path.join(directory, name), *arguments], capture_output=True, text=True, timeout=60, check=False,
                              env=os.environ | {"PATH": directory})
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.parametrize("arguments", [(), ("nbd://h/x",), ("nbd://h/x", "/mnt", "more"), ("-x", "nbd://h/x", "/mnt"), ("nbd://h/x", "/mnt", "-o")])
def test_usage_of_mount(helper, arguments):
    status, printed, said = helper("mount.nbd", *arguments)
    assert (status, printed) == (1, "") and "mount.nbd: error: usage: mount.nbd URI|NAME DIRECTORY" in said


@pytest.mark.parametrize("arguments", [(), ("/mnt", "more"), ("-x", "/mnt")])
def test_usage_of_umount(helper, arguments):
    status, printed, said = helper("umount.nbd", *arguments)
    assert (status, printed) == (1, "") and "umount.nbd: error: usage: umount.nbd DIRECTORY" in said


def test_options_are_checked(helper):
    status, printed, said = helper("mount.nbd", "nbd://h/x", "/mnt", "-n", "-o", "rw,nbd-fast")
    assert (status, printed, said) == (1, "", "mount.nbd: error: -o nbd-fast: not an option of platter attach\n")


@pytest.mark.parametrize("what, options, says", [
    ("http://h/x", "rw", "http://: not one of nbd://"),
    ("nbd://h/x", "ro,timeout=soon", "timeout=soon: not a number of seconds"),
    ("nbd://h/x", "nbd-connections=99,noatime", "connections=99: not a number"),
    ("--force", "rw", "--force: a scheme is missing"),
])
def test_what_cannot_be_attached_is_not_mounted(helper, what, options, says):
    status, printed, said = helper("mount.nbd", "-o", options, "--", what, "/mnt")
    assert (status, printed) == (32, "") and said.count("\n") == 1 and says in said


def test_it_can_pretend(helper):
    assert helper("mount.nbd", "http://h/x", "/mnt", "-f") == (0, "", "")


def test_umount_goes_on_as_it_was_called(helper, directory):
    assert helper("umount.nbd", directory, "-l", "-f", "-t", "nbd") == (5, f"umount -i -l -f {directory}\n", "")
