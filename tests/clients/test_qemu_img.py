# SPDX-License-Identifier: BSD-2-Clause
"""qemu-img: images to exports and back, comparing and describing them."""

import json
import os

import pytest
from client_support import MIB, TRANSPORTS, backed, digest, run, sparse_file, uri
from daemon import Daemon

SIZE = 64 * MIB


@pytest.fixture
def source(directory):
    return sparse_file(os.path.join(directory, "source.img"), SIZE, 30)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("kind", ["ram", "file"])
def test_convert_there_compare_and_convert_back(directory, source, transport, kind):
    back = os.path.join(directory, "back.img")
    with backed(directory, kind, SIZE, transport) as daemon:
        export = uri(daemon, transport)
        run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, export)
        run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, export)
        run("qemu-img", "convert", "-f", "raw", "-O", "raw", export, back)
    assert digest(back) == digest(source)


@pytest.mark.parametrize("options", [["-m", "16", "-W"], ["-t", "none", "-T", "none"], ["-t", "writethrough"], ["-S", "0"],
                                     ["--target-is-zero"]])
def test_other_ways_to_convert(directory, source, options):
    with backed(directory, "file", SIZE, "unix") as daemon:
        run("qemu-img", "convert", "-n", *options, "-f", "raw", "-O", "raw", source, daemon.uri())
    assert digest(os.path.join(directory, "export.img")) == digest(source)


def test_old_content_is_overwritten_by_holes(directory, source):
    with backed(directory, "ram", SIZE, "unix") as daemon:
        run("qemu-io", "-f", "raw", "-c", f"write -P 0xa5 0 {SIZE}", daemon.uri())
        run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, daemon.uri())
        run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, daemon.uri())


@pytest.mark.parametrize("kind", ["ram", "file"])
def test_map_has_what_was_written(directory, kind):
    """Where there is data, and what is a hole."""
    with backed(directory, kind, SIZE, "unix") as daemon:
        run("qemu-io", "-f", "raw", "-c", "write 16M 1M", daemon.uri())
        parts = json.loads(run("qemu-img", "map", "--output=json", "-f", "raw", daemon.uri()))
    assert [(part["start"], part["length"], part["data"], part["zero"]) for part in parts] == [
        (0, 16 * MIB, False, True), (16 * MIB, MIB, True, False), (17 * MIB, SIZE - 17 * MIB, False, True)]


def test_odd_sizes_can_be_converted(directory):
    """Without block status this version of qemu never ended."""
    image = os.path.join(directory, "odd")
    with open(image, "wb") as file:
        file.write(b"o" * (MIB + 1))
    with Daemon(directory, image) as daemon:
        run("qemu-img", "convert", "-f", "raw", "-O", "raw", daemon.uri(), image + ".back")
    with open(image + ".back", "rb") as file:
        assert file.read(MIB + 1) == b"o" * (MIB + 1)


def test_compare_finds_a_single_byte(directory, source):
    with backed(directory, "file", SIZE, "unix") as daemon:
        run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, daemon.uri())
        run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, daemon.uri())
        run("qemu-io", "-f", "raw", "-c", f"write -P 0x21 {SIZE - 7} 1", daemon.uri())
        run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, daemon.uri(), status=1)


def test_a_file_that_is_served_is_locked_for_qemu(directory, source):
    with Daemon(directory, source):
        run("qemu-io", "-f", "raw", "-c", "read 0 4k", source, status=1)
    run("qemu-io", "-f", "raw", "-c", "read 0 4k", source)


def test_qcow2_lives_on_an_export(directory, source):
    """A format with its own metadata, refcounts and flushes, on top of the export."""
    back = os.path.join(directory, "back.img")
    with backed(directory, "ram", 2 * SIZE, "unix") as daemon:
        run("qemu-img", "create", "-f", "qcow2", daemon.uri(), SIZE)
        run("qemu-img", "convert", "-n", "-f", "raw", "-O", "qcow2", source, daemon.uri())
        run("qemu-img", "check", "-f", "qcow2", daemon.uri())
        run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", source, daemon.uri())
        run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", daemon.uri(), back)
    assert digest(back) == digest(source)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_info_knows_the_size(directory, transport):
    with Daemon(directory, "a=ram:1M", "b=null:5G,readonly", tcp=transport == "tcp") as daemon:
        for name, size in (("", MIB), ("a", MIB), ("b", 5 << 30)):
            described = json.loads(run("qemu-img", "info", "--output=json", "-U", "-f", "raw", uri(daemon, transport, name)))
            assert described["virtual-size"] == size


def test_unknown_export_is_an_error(directory):
    with Daemon(directory, "a=ram:1M") as daemon:
        run("qemu-img", "info", "-f", "raw", daemon.uri("nothere"), status=1)
        run("qemu-img", "info", "-f", "raw", daemon.uri("x" * 4000), status=1)
        run("qemu-img", "info", "-f", "raw", daemon.uri("a"))
