# SPDX-License-Identifier: BSD-2-Clause
"""platter attach NAME: what files say, what the command line adds, and how mistakes in files are told."""

import os

import pytest

from platter_support import USAGE, refused


@pytest.fixture
def files(directory):
    """Writes nbdtab, or files of attach.d; what it is called with is the environment that has platter read them."""
    attach_d = os.path.join(directory, "attach.d")
    os.mkdir(attach_d)
    environment = os.environ | {"PLATTER_ATTACH_D": attach_d, "PLATTER_NBDTAB": os.path.join(directory, "nbdtab")}

    def write(name, text):
        with open(os.path.join(directory if name == "nbdtab" else attach_d, name), "w", encoding="utf-8") as file:
            file.write(text)
        return environment

    return write


@pytest.mark.parametrize("name, text, argument, says", [
    ("a.conf", "uri = nbd://h/x\ntimeout = soon\n", "a", "a.conf:2: timeout=soon: not a number of seconds from 1 to 4000000"),
    ("nbdtab", "nbd7 h x conns=none\n", "x", "nbdtab:1: connections=none: not a number"),
    ("nbdtab", "nbd7 h x\n", "nbd8", "nbd8: not a URI, and there is neither"),
    ("nbdtab", "nbd7 h x\n", "y", "nor such a line in"),
])
def test_mistakes(files, name, text, argument, says):
    refused(USAGE, "attach", argument, says=says, env=files(name, text))


def test_options_count_more_than_files(files):
    environment = files("a.conf", "uri = nbds://h/x\n")
    refused(USAGE, "attach", "--timeout=x", "a", says="attach: timeout=x: not a number", env=environment)
    refused(USAGE, "attach", "a", "--name=nbd1", says="attach: nbd1: a name has up to 64", env=environment)
