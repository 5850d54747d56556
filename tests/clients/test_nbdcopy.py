# SPDX-License-Identifier: BSD-2-Clause
"""nbdcopy: large sparse files to exports and back, with several connections."""

import os
import subprocess

import pytest
from client_support import MIB, backed, digest, run, sparse_file, uri
from daemon import Daemon

SIZE = 256 * MIB


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = sparse_file(tmp_path_factory.mktemp("source") / "source.img", SIZE, 40)
    yield path, digest(path)
    os.unlink(path)


@pytest.mark.parametrize("kind, transport, connections", [
    ("ram", "unix", 1), ("ram", "tcp", 4), ("file", "unix", 4), ("file", "tcp", 1),
    ("ram", "unix, key", 4), ("file", "tcp, certificate", 4)])
def test_file_to_export_and_back(directory, source, transport, kind, connections):
    path, expected = source
    back = os.path.join(directory, "back.img")
    with backed(directory, kind, SIZE, transport) as daemon:
        export = uri(daemon, transport)
        run("nbdcopy", f"--connections={connections}", "--flush", path, export)
        if kind == "file":
            assert digest(os.path.join(directory, "export.img")) == expected
        run("nbdcopy", f"--connections={connections}", export, back)
    assert digest(back) == expected


@pytest.mark.parametrize("options", [["--synchronous"], ["--request-size=32768", "--requests=64"],
                                     [f"--request-size={32 * MIB}", "--requests=2"], ["--allocated"],
                                     ["--threads=2", "--connections=8"]])
def test_other_ways_to_copy(directory, options):
    size = 24 * MIB + 513
    path = sparse_file(os.path.join(directory, "source.img"), size, 20, seed=2)
    back = os.path.join(directory, "back.img")
    with backed(directory, "ram", size, "unix") as daemon:
        run("nbdcopy", *options, path, daemon.uri())
        run("nbdcopy", *options, daemon.uri(), back)
    assert digest(back) == digest(path)


def test_old_content_is_overwritten_by_holes(directory):
    """What is a hole in the source must be zero in the export, whatever was there."""
    size = 32 * MIB
    path = sparse_file(os.path.join(directory, "source.img"), size, 5, seed=3)
    with backed(directory, "file", size, "unix") as daemon:
        with open(os.path.join(directory, "export.img"), "r+b") as file:
            file.write(b"\xa5" * size)
        run("nbdcopy", path, daemon.uri())
    assert digest(os.path.join(directory, "export.img")) == digest(path)


def test_export_to_export_of_one_server(directory):
    size = 64 * MIB
    path = sparse_file(os.path.join(directory, "source.img"), size, 20, seed=4)
    with Daemon(directory, f"a={path},readonly", f"b=ram:{size}") as daemon:
        run("nbdcopy", daemon.uri("a"), daemon.uri("b"))
        back = os.path.join(directory, "back.img")
        run("nbdcopy", daemon.uri("b"), back)
    assert digest(back) == digest(path)


def test_export_to_stdout(directory):
    path = sparse_file(os.path.join(directory, "source.img"), 8 * MIB, 5, seed=5)
    with Daemon(directory, path) as daemon:
        ran = subprocess.run(["nbdcopy", daemon.uri(), "-"], stdout=subprocess.PIPE, timeout=60, check=True)
    with open(path, "rb") as file:
        assert ran.stdout == file.read()


def test_copying_to_a_read_only_export_fails(directory):
    path = sparse_file(os.path.join(directory, "source.img"), MIB + 4096 * 32, 1)
    with Daemon(directory, "ram:2M,readonly") as daemon:
        run("nbdcopy", path, daemon.uri(), status=1)
        assert daemon.alive()


def test_null_takes_and_gives_everything(directory):
    with Daemon(directory, "null:256M", tcp=True) as daemon:
        run("nbdcopy", daemon.uri(), daemon.tcp_uri())
        run("nbdcopy", daemon.tcp_uri(), "null:")
