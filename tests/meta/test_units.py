# SPDX-License-Identifier: BSD-2-Clause
"""What systemd itself says of our units."""

import os
import re
import shutil
import subprocess

import pytest

from daemon import PLATTERCTL, PLATTERD

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "systemd")
needs = {tool: pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed")
         for tool in ("systemd-analyze", "systemd-sysusers", "systemd-tmpfiles")}


@pytest.fixture
def units(directory):
    """As they are installed, but with the programs that were built."""
    with open(os.path.join(FOLDER, "platterd.service.in"), encoding="utf-8") as file:
        text = file.read()
    for name, value in (("@sbindir@/platterd", os.path.abspath(PLATTERD)), ("@bindir@/platterctl", os.path.abspath(PLATTERCTL)),
                        ("@sysconfdir@", "/etc")):
        assert name in text
        text = text.replace(name, value)
    with open(os.path.join(directory, "platterd.service"), "w", encoding="utf-8") as file:
        file.write(text)
    for name in os.listdir(FOLDER):
        if name.endswith(".socket"):
            shutil.copy(os.path.join(FOLDER, name), directory)
    return sorted(os.path.join(directory, name) for name in os.listdir(directory))


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **more)


@needs["systemd-analyze"]
def test_they_are_understood(units):
    done = run("systemd-analyze", "verify", "--man=no", *units)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs["systemd-analyze"]
def test_a_mistake_would_be_seen(units):
    service = next(path for path in units if path.endswith(".service"))
    with open(service, "a", encoding="utf-8") as file:
        file.write("[Service]\nTypo=yes\n")
    assert "'Typo'" in run("systemd-analyze", "verify", "--man=no", service).stderr


@needs["systemd-analyze"]
def test_the_service_may_do_no_more_than_it_must(units):
    """Its exposure is 1.5 at most, with exports of files; clients' users are seen as they are."""
    service = next(path for path in units if path.endswith(".service"))
    done = run("systemd-analyze", "security", "--offline=true", "--threshold=15", service)
    assert done.returncode == 0, done.stdout
    assert float(re.search(r"Overall exposure level for platterd.service: ([\d.]+)", done.stdout)[1]) <= 1.5
    with open(service, encoding="utf-8") as file:
        assert "PrivateUsers=no" in file.read()


@needs["systemd-sysusers"]
def test_the_user_that_it_runs_as_is_made(units):
    done = run("systemd-sysusers", "--dry-run", os.path.join(FOLDER, "sysusers.d/platter.conf"))
    assert done.returncode == 0 and not re.search("ignor|unknown|fail", done.stderr, re.I), done.stderr
    with open(next(path for path in units if path.endswith(".service")), encoding="utf-8") as file:
        assert "User=platter\n" in file.read()


@needs["systemd-tmpfiles"]
@pytest.mark.skipif(os.getuid() != 0, reason="only root can give directories away")
def test_the_directory_of_its_sockets_is_root_s(directory):
    done = run("systemd-tmpfiles", "--root", directory, "--create", os.path.join(FOLDER, "tmpfiles.d/platter.conf"))
    assert (done.returncode, done.stderr) == (0, "")
    status = os.stat(os.path.join(directory, "run/platter"))
    assert (status.st_mode & 0o777, status.st_uid) == (0o755, 0)
