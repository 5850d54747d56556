# SPDX-License-Identifier: BSD-2-Clause
"""The file driver: which files it serves, what it says of them, and what it refuses."""

import os
import random
import socket
import subprocess

import pytest
from daemon import Daemon
from driver_support import GIB, KIB, MIB, connect, content, make_file, noise, read_all, refusal
from wire_client import (
    CAN_MULTI_CONN, CMD_TRIM, CMD_WRITE_ZEROES, EPERM, ERR_UNKNOWN, INFO_BLOCK_SIZE, OPT_GO, READ_ONLY, SEND_CACHE,
    SEND_FLUSH, SEND_FUA, SEND_TRIM, SEND_WRITE_ZEROES, Wire, go_data)

WRITERS = SEND_TRIM | SEND_WRITE_ZEROES


@pytest.mark.parametrize("size", [1, 511, 512, MIB + 1, 6 * GIB + 3])
def test_size_is_the_files_to_the_byte(directory, size):
    path = make_file(directory, size)
    with Daemon(directory, path) as daemon, connect(daemon, infos=[INFO_BLOCK_SIZE]) as wire:
        assert wire.size == size
        assert wire.block_sizes[:2] == (1, 4096)
        assert wire.read(size - 1, 1) == b"\0"
        assert wire.write(size - 1, b"z") == 0
        assert wire.read(size - 1, 1) == b"z"


def test_flags_of_a_writable_file(directory):
    path = make_file(directory, MIB)
    with Daemon(directory, path) as daemon, connect(daemon) as wire:
        expected = SEND_FLUSH | SEND_FUA | SEND_CACHE | CAN_MULTI_CONN | WRITERS
        assert wire.transmission_flags & (expected | READ_ONLY) == expected


def test_reads_and_writes_of_any_offset_and_length(directory):
    data = bytearray(noise(3 * MIB + 13))
    path = make_file(directory, data)
    random_pieces = random.Random(7)
    with Daemon(directory, path) as daemon, connect(daemon) as wire:
        for number in range(60):
            at = random_pieces.randrange(len(data))
            length = random_pieces.randrange(1, min(len(data) - at, 700 * KIB) + 1)
            if number % 2:
                data[at:at + length] = noise(length, number)
                assert wire.write(at, data[at:at + length]) == 0
            else:
                assert wire.read(at, length) == data[at:at + length]
        assert read_all(wire, len(data)) == data
    assert content(path) == data


def check_read_only(daemon, path):
    before = content(path)
    with connect(daemon) as wire:
        assert wire.transmission_flags & (READ_ONLY | WRITERS) == READ_ONLY
        assert wire.write(0, b"x" * 512) == EPERM
        assert wire.command(CMD_TRIM, 0, 4096)[0] == EPERM
        assert wire.command(CMD_WRITE_ZEROES, 0, 4096)[0] == EPERM
        assert wire.read(0, len(before)) == before
    assert content(path) == before


@pytest.mark.parametrize("key", ["readonly", "readonly=on"])
def test_readonly_forbids_what_changes_the_file(directory, key):
    path = make_file(directory, noise(64 * KIB))
    with Daemon(directory, f"{path},{key}") as daemon:
        check_read_only(daemon, path)


def as_nobody(directory):
    """A command prefix for somebody who isn't above permissions, and who may use DIRECTORY."""
    os.chmod(directory, 0o777)
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []


def test_file_that_may_only_be_read_is_served_read_only(directory):
    path = make_file(directory, noise(64 * KIB))
    os.chmod(path, 0o444)
    with Daemon(directory, path, command=as_nobody(directory)) as daemon:
        check_read_only(daemon, path)


def test_immutable_file_is_served_read_only(directory):
    path = make_file(directory, noise(64 * KIB))
    changed = subprocess.run(["chattr", "+i", path], stderr=subprocess.PIPE, timeout=60, check=False)
    if changed.returncode:
        pytest.skip(f"no immutable files here: {changed.stderr.decode().strip()}")
    try:
        with Daemon(directory, path) as daemon:
            check_read_only(daemon, path)
    finally:
        subprocess.run(["chattr", "-i", path], timeout=60, check=True)


def test_file_that_may_not_be_read_is_refused(directory):
    path = make_file(directory, MIB)
    os.chmod(path, 0)
    assert "Permission denied" in refusal(directory, path, command=as_nobody(directory))


def test_missing_file_is_refused(directory):
    assert "No such file" in refusal(directory, directory + "/missing")
    os.symlink("missing", directory + "/dangling")
    assert "No such file" in refusal(directory, directory + "/dangling")


def test_directory_is_refused(directory):
    assert "is a directory" in refusal(directory, directory)


def test_what_is_neither_file_nor_block_device_is_refused(directory):
    os.mkfifo(directory + "/fifo")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(directory + "/socket")
    for path in ("/dev/null", "/dev/zero", directory + "/fifo", directory + "/socket"):
        assert "neither a regular file nor a block device" in refusal(directory, path)
    listener.close()


def test_empty_file_is_refused(directory):
    assert "empty" in refusal(directory, make_file(directory, 0))


def test_file_without_a_path_is_refused(directory):
    assert "path" in refusal(directory, "file")
    assert "path" in refusal(directory, "file:")
    assert "path" in refusal(directory, "x=file,readonly")


def test_symlink_is_followed(directory):
    path = make_file(directory, noise(4096))
    os.symlink("disk.img", directory + "/link")
    with Daemon(directory, directory + "/link") as daemon, connect(daemon) as wire:
        assert wire.read(0, 4096) == content(path)


def test_a_file_that_grew_is_larger_for_the_next_client(directory):
    path = make_file(directory, noise(4096))
    with Daemon(directory, path) as daemon:
        with connect(daemon) as wire:
            os.truncate(path, 10000)
            assert wire.size == 4096
            wire.disconnect()
        with connect(daemon) as wire:
            assert wire.size == 10000
            assert wire.read(4096, 5904) == bytes(5904)


def test_a_file_that_became_empty_is_refused_to_clients_until_it_has_bytes_again(directory):
    path = make_file(directory, noise(4096))
    with Daemon(directory, path) as daemon:
        os.truncate(path, 0)
        with Wire(daemon) as wire:
            wire.flags()
            assert wire.option(OPT_GO, go_data())[-1][0] == ERR_UNKNOWN
        os.truncate(path, 512)
        with connect(daemon) as wire:
            assert wire.size == 512
