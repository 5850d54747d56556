# SPDX-License-Identifier: BSD-2-Clause
"""The table of who keeps which rules can be made, and the published one has them all."""

import os
import re
import subprocess
import sys

import pytest

from daemon import PLATTERD
from rules.peers import peers
from rules.suite import all_rules

FOLDER = os.path.dirname(os.path.abspath(__file__))
PUBLISHED = os.path.join(FOLDER, "../../INTEROP.md")


def rows(table):
    """{rule: [cells of the servers]}."""
    found = re.findall(r"^\| ([\w.-]+) \| (?:MUST|SHOULD) \| .* \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", table, re.M)
    return {name: list(cells) for name, *cells in found}


def test_the_table_can_be_made():
    missing = [peer.name for peer in peers(PLATTERD) if not peer.program]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    names = ("go", "read-only", "tls-1.2")
    command = [sys.executable, os.path.join(FOLDER, "interop.py"), "--platterd", PLATTERD, "--patience=60",
               *(f"--rule={name}" for name in names)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert rows(done.stdout) == {name: ["yes"] * 4 for name in names}


def test_the_published_table_has_all_the_rules():
    with open(PUBLISHED, encoding="utf-8") as file:
        published = rows(file.read())
    assert list(published) == [rule.name for _, rules in all_rules() for rule in rules]
    assert all(platterd in ("yes", "-") for platterd, *_ in published.values())
