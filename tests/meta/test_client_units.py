# SPDX-License-Identifier: BSD-2-Clause
"""What systemd itself says of the service of each attached device."""

import os
import re
import shutil
import subprocess

import pytest

from daemon import PLATTER

SERVICE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "systemd/platter@.service.in")

pytestmark = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


@pytest.fixture
def unit(directory):
    """As it is installed, for one name, but with the program that was built."""
    with open(SERVICE, encoding="utf-8") as file:
        text = file.read()
    assert "@sbindir@/platter " in text
    path = os.path.join(directory, "platter@vm1.service")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace("@sbindir@/platter", os.path.abspath(PLATTER)))
    return path


def verify(path):
    return subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, timeout=60, check=False)


def test_it_is_understood(unit):
    done = verify(unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_mistake_would_be_seen(unit):
    with open(unit, "a", encoding="utf-8") as file:
        file.write("Typo=yes\n")
    assert "'Typo'" in verify(unit).stderr


def test_what_it_runs_is_understood(unit):
    """platter takes the words: what it complains of comes later."""
    with open(unit, encoding="utf-8") as file:
        commands = re.findall(r"^Exec\w+=(.*)$", file.read(), re.M)
    assert len(commands) == 3
    for command in commands:
        done = subprocess.run(command.replace("%i", "no-such-name").split(), capture_output=True, text=True, timeout=60, check=False)
        assert re.search(r"no-such-name: (nothing of that name is attached|not a URI, and there is neither)", done.stderr), done
